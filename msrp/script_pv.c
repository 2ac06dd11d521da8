/* Variables of MSRP frames: $msrp(key), $hdr(NAME), the SIP view of a frame, and {msrpuri.part} (K-PAR-01). */
#include <stdio.h>

#include "auth/digest.h"
#include "msrp/script_private.h"

/* ---- the frame in parts ---- */

void event_paths(struct frame_event *e)
{
    if (e->paths_known)
        return;
    e->paths_known = true;
    e->n_to = msrp_path_parse(e->h->to_path, e->paths->to, MSRP_PATH_MAX);
    e->n_from = msrp_path_parse(e->h->from_path, e->paths->from, MSRP_PATH_MAX);
}

struct sv event_body(struct frame_event *e)
{
    if (!e->body_known) {
        struct sv rest = sv_from(e->bytes, e->h->n);

        e->body_known = true;
        if (e->h->has_body)
            e->body = sv_upto(rest, msrp_body_scan(rest.p, rest.n, e->h->tid, true).n);
    }
    return e->body;
}

static bool next_header(struct sv *rest, struct sv *name, struct sv *value)
{
    struct sv line = sv_upto(*rest, sv_find(*rest, '\n'));
    size_t colon = sv_find(line, ':');

    if (!rest->n)
        return false;
    *rest = sv_from(*rest, line.n + 1);
    if (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    *name = sv_upto(line, colon);
    *value = sv_trim(sv_from(line, colon + 1));
    return true;
}

/* Search the lines; *left counts those of the name that are still to be passed over. */
static struct sv search(struct sv lines, struct sv wanted, int *left)
{
    struct sv name, value;

    while (next_header(&lines, &name, &value))
        if (sv_eq_nocase(name, wanted) && (*left)-- == 0)
            return value;
    return (struct sv){ 0 };
}

static int count(struct sv lines, struct sv wanted)
{
    struct sv name, value;
    int n = 0;

    while (next_header(&lines, &name, &value))
        n += sv_eq_nocase(name, wanted);
    return n;
}

struct sv event_header(const struct frame_event *e, struct sv name, int index)
{
    struct sv value;

    if (index < 0)
        index += count(e->h->paths, name) + count(e->h->headers, name);
    if (index < 0)
        return (struct sv){ 0 };
    value = search(e->h->paths, name, &index);
    return value.p ? value : search(e->h->headers, name, &index);
}

/* ---- $msrp(key) ---- */

static void set_text(struct script_value *out, struct sv s)
{
    if (s.p)
        script_set_str(out, s);
}

static void set_number(struct script_value *out, uint64_t n)
{
    script_set_int(out, (int64_t)n);
}

#define GETTER(name) void msrp_get_##name(struct script_call *c, const struct script_name *name_, struct script_value *out)

static struct sv whole(struct frame_event *e)
{
    return sv_upto(e->bytes, e->h->n + event_body(e).n);
}

GETTER(buf)
{
    set_text(out, whole(event_of(c)));
}

GETTER(buflen)
{
    set_number(out, whole(event_of(c)).n);
}

GETTER(hdrs)
{
    const struct msrp_head *h = event_of(c)->h;

    /* paths and headers lie behind each other in what was received */
    set_text(out, sv_make(h->paths.p, h->headers.n ? (size_t)(h->headers.p + h->headers.n - h->paths.p) : h->paths.n));
}

GETTER(body)
{
    if (event_of(c)->h->has_body)
        script_set_str(out, event_body(event_of(c)));
}

GETTER(bodylen)
{
    set_number(out, event_body(event_of(c)).n);
}

GETTER(method)
{
    static const int numbers[] = { [MSRP_SEND] = 1, [MSRP_AUTH] = 2, [MSRP_REPORT] = 3 };
    const struct msrp_head *h = event_of(c)->h;

    if (h->is_response)
        return;
    script_set_str(out, h->method_text);
    out->has_int = true;
    out->i = h->method == MSRP_OTHER_METHOD ? 0 : numbers[h->method];
}

GETTER(code)
{
    const struct msrp_head *h = event_of(c)->h;
    char *text;

    if (!h->is_response)
        return;
    text = script_room(c, 4);
    if (!text)
        return;
    snprintf(text, 4, "%03u", h->status % 1000);
    script_set_str(out, sv_make(text, 3));
    out->has_int = true;
    out->i = h->status;
}

GETTER(reason)
{
    if (event_of(c)->h->is_response)
        script_set_str(out, event_of(c)->h->comment);
}

GETTER(transid)
{
    set_text(out, event_of(c)->h->tid);
}

GETTER(msgid)
{
    set_text(out, event_of(c)->h->message_id);
}

/* Words of a path; a frame is shown even where a URI in it does not parse. */
static struct sv word(struct sv path, size_t at)
{
    struct sv w;

    while (msrp_path_next(&path, &w))
        if (at-- == 0)
            return w;
    return (struct sv){ 0 };
}

static size_t words(struct sv path)
{
    size_t n = 0;
    struct sv w;

    while (msrp_path_next(&path, &w))
        n++;
    return n;
}

GETTER(sessid)
{
    struct msrp_uri u;
    struct sv first = word(event_of(c)->h->to_path, 0);

    if (first.p && msrp_uri_parse(&u, first) && u.session.n)
        script_set_str(out, u.session);
}

GETTER(crthop)
{
    set_text(out, word(event_of(c)->h->to_path, 0));
}

GETTER(nexthop)
{
    set_text(out, word(event_of(c)->h->to_path, 1));
}

GETTER(lasthop)
{
    struct sv path = event_of(c)->h->to_path;

    set_text(out, word(path, words(path) - 1));
}

GETTER(prevhop)
{
    set_text(out, word(event_of(c)->h->from_path, 0));
}

GETTER(firsthop)
{
    struct sv path = event_of(c)->h->from_path;

    set_text(out, word(path, words(path) - 1));
}

GETTER(prevhops)
{
    set_number(out, words(event_of(c)->h->from_path));
}

GETTER(nexthops)
{
    size_t n = words(event_of(c)->h->to_path);

    set_number(out, n ? n - 1 : 0);
}

/* ---- where it comes from ---- */

static struct sv with_prefix(struct script_call *c, const char *prefix, const struct addr *a)
{
    char text[ADDR_TEXT_MAX];
    size_t n = strlen(prefix) + strlen(addr_text(a, text));
    char *out = script_room(c, n);

    if (!out)
        return SV("");
    memcpy(out, prefix, strlen(prefix));
    memcpy(out + strlen(prefix), text, n - strlen(prefix));
    return sv_make(out, n);
}

GETTER(srcaddr)
{
    const struct conn *conn = event_of(c)->m->conn;

    script_set_str(out, with_prefix(c, conn_is_tls(conn) ? "msrps://" : "msrp://", &conn->peer));
}

GETTER(srcsock)
{
    const struct conn *conn = event_of(c)->m->conn;

    script_set_str(out, with_prefix(c, conn_is_tls(conn) ? "tls:" : "tcp:", &conn->local));
}

GETTER(conid)
{
    set_number(out, event_of(c)->m->conn->id);
}

/* Address and port of a text, without brackets: what SIP variables show. */
static void set_part(struct script_call *c, const struct addr *a, bool port, struct script_value *out)
{
    char text[ADDR_TEXT_MAX];
    struct sv s = sv_of(addr_text(a, text)), p;
    size_t colon = s.n;
    uint64_t n = 0;

    while (colon && s.p[colon - 1] != ':')
        colon--;
    p = sv_from(s, colon);
    s = sv_upto(s, colon ? colon - 1 : 0);
    if (s.n > 1 && s.p[0] == '[')
        s = sv_make(s.p + 1, s.n - 2);
    if (!port)
        script_set_str(out, script_keep(c, s));
    else if (sv_to_u64(p, &n, NULL))
        set_number(out, n);
}

GETTER(si)
{
    set_part(c, &event_of(c)->m->conn->peer, false, out);
}

GETTER(sp)
{
    set_part(c, &event_of(c)->m->conn->peer, true, out);
}

GETTER(Ri)
{
    set_part(c, &event_of(c)->m->conn->local, false, out);
}

GETTER(Rp)
{
    set_part(c, &event_of(c)->m->conn->local, true, out);
}

GETTER(proto)
{
    script_set_str(out, sv_of(conn_transport_text(event_of(c)->m->conn)));
}

/* ---- the SIP view ---- */

static bool has_view(const struct script_call *c)
{
    return relay_conf(event_of(c)->m->relay->shared)->msrp.sipmsg;
}

/* What Kamailio writes before the frame's own headers. */
static struct sv view_header(const struct frame_event *e, struct sv name)
{
    static const struct {
        const char *name, *value;
    } fixed[] = {
        { "Via", "SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKa" }, { "From", "<b@127.0.0.1>;tag=a" }, { "To", "<a@127.0.0.1>" },
        { "Call-ID", "a" }, { "CSeq", "1 MSRP" }, { "Content-Length", "0" },
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(fixed); i++)
        if (sv_eq_nocase(name, sv_of(fixed[i].name)))
            return sv_of(fixed[i].value);
    if (sv_eq_nocase(name, SV("MSRP-First-Line"))) {
        struct sv line = sv_upto(e->bytes, sv_find(e->bytes, '\r'));

        return line;
    }
    return (struct sv){ 0 };
}

void msrp_get_hdr(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    const struct frame_event *e = event_of(c);
    struct sv value;

    if (!has_view(c))
        return;
    value = view_header(e, name->text);
    if (value.p && name->index == 0)
        script_set_str(out, value);
    else
        set_text(out, event_header(e, name->text, name->index));
}

GETTER(rm)
{
    if (has_view(c))
        script_set_str(out, SV("MSRP"));
}

static void set_credential(struct script_call *c, bool realm, struct script_value *out)
{
    struct digest_cred cred;
    struct sv value;

    if (!has_view(c) || digest_parse(&cred, event_of(c)->h->authorization) != DIGEST_PARSED)
        return;
    value = realm ? cred.realm : cred.username;
    if (value.p)
        script_set_str(out, script_keep(c, value));
}

GETTER(au)
{
    set_credential(c, false, out);
}

GETTER(ar)
{
    set_credential(c, true, out);
}

/* ---- {msrpuri.part} ---- */

static bool set_uri_part(struct script_call *c, struct script_value *v, size_t offset)
{
    struct msrp_uri u;
    const struct sv *part = (const void *)((const char *)&u + offset);

    if (!msrp_uri_parse(&u, script_text(c, v)))
        return false;
    script_set_str(v, part->n ? *part : SV(""));
    return true;
}

#define URI_PART(name, field)                                                                        \
    bool trans_uri_##name(struct script_call *c, struct script_value *v, const struct sv *params)     \
    {                                                                                                \
        return set_uri_part(c, v, offsetof(struct msrp_uri, field));                                 \
    }
URI_PART(userinfo, userinfo)
URI_PART(host, host)
URI_PART(port, port)
URI_PART(session, session)
URI_PART(proto, transport)
URI_PART(params, params)
URI_PART(scheme, scheme)

bool trans_uri_user(struct script_call *c, struct script_value *v, const struct sv *params)
{
    if (!trans_uri_userinfo(c, v, params))
        return false;
    v->s = sv_upto(v->s, sv_find(v->s, ':'));
    return true;
}
