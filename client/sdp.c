/* The few lines of SDP that an MSRP session needs. */
#include "client/sdp.h"

#include <time.h>

#include "client/wire.h"

static bool next_line(struct sv *text, struct sv *line)
{
    size_t at = sv_find(*text, '\n');

    if (text->n == 0)
        return false;
    *line = sv_upto(*text, at);
    *text = sv_from(*text, at + 1);
    if (line->n && line->p[line->n - 1] == '\r')
        line->n--;
    return true;
}

static struct sv word(struct sv *s)
{
    size_t at = sv_find(*s, ' ');
    struct sv w = sv_upto(*s, at);

    *s = sv_from(*s, at + 1);
    return w;
}

/* "message 2855 TCP/TLS/MSRP *" */
static bool read_media(struct sv value, struct mc_sdp *out)
{
    struct sv proto;
    uint64_t port;

    if (!sv_eq_nocase(word(&value), SV("message")))
        return false;
    if (!sv_to_u64(word(&value), &port, NULL) || port > 65535)
        return false;
    proto = word(&value);
    out->port = (uint16_t)port;
    out->is_tls = sv_eq_nocase(proto, SV("TCP/TLS/MSRP"));
    return (out->is_tls || sv_eq_nocase(proto, SV("TCP/MSRP"))) && sv_eq(sv_trim(value), SV("*"));
}

static void read_setup(struct sv value, struct mc_sdp *out)
{
    if (sv_eq_nocase(value, SV("active")))
        out->setup = MC_SETUP_ACTIVE;
    else if (sv_eq_nocase(value, SV("passive")))
        out->setup = MC_SETUP_PASSIVE;
    else if (sv_eq_nocase(value, SV("actpass")))
        out->setup = MC_SETUP_ACTPASS;
}

bool mc_sdp_read(struct sv text, struct mc_sdp *out, const char **fault)
{
    struct sv line;
    bool found = false;

    *out = (struct mc_sdp){ .accept_types = SV("*") };
    while (next_line(&text, &line)) {
        if (line.n < 2 || line.p[1] != '=') {
            *fault = "not a line of SDP";
            return false;
        }
        if (line.p[0] == 'm') {
            if (found)
                break;
            found = read_media(sv_from(line, 2), out);
            continue;
        }
        if (!found || line.p[0] != 'a')
            continue;
        line = sv_from(line, 2);
        if (sv_starts(line, SV("path:")))
            out->path = sv_trim(sv_from(line, 5));
        else if (sv_starts(line, SV("accept-types:")))
            out->accept_types = sv_trim(sv_from(line, 13));
        else if (sv_starts(line, SV("setup:")))
            read_setup(sv_trim(sv_from(line, 6)), out);
    }
    if (!found)
        *fault = "no m=message over MSRP";
    else if (out->port == 0)
        *fault = "the message media was refused";
    else if (!mc_path_is_valid(out->path))
        *fault = "a=path is missing or not made of MSRP URIs";
    else
        return true;
    return false;
}

void mc_sdp_write(struct buf *out, struct sv host, uint16_t port, bool is_tls, struct sv path, enum mc_setup setup)
{
    static const char *const setups[] = { NULL, "active", "passive", "actpass" };
    const char *ip = sv_find(host, ':') < host.n ? "IP6" : "IP4";

    buf_printf(out, "v=0\r\no=- %lld 1 IN %s " SV_FMT "\r\ns=-\r\nc=IN %s " SV_FMT "\r\nt=0 0\r\n",
               (long long)time(NULL), ip, SV_ARG(host), ip, SV_ARG(host));
    buf_printf(out, "m=message %u TCP/%sMSRP *\r\na=accept-types:*\r\na=path:" SV_FMT "\r\n", port,
               is_tls ? "TLS/" : "", SV_ARG(path));
    if (setups[setup])
        buf_printf(out, "a=setup:%s\r\n", setups[setup]);
}
