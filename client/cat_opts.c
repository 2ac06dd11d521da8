/* The command line of msrpcat. */
#include "config.h"

#include "client/cat_opts.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum { GRACE_MS = 1000 };

static const char usage[] =
    "usage: msrpcat [OPTION...] listen\n"
    "       msrpcat [OPTION...] send \"URI URI...\" [FILE|-]...\n"
    "       msrpcat [OPTION...] call sip:USER@HOST [FILE|-]...\n"
    "       msrpcat [OPTION...] answer [FILE|-]...\n"
    "  -r, --relay msrp[s]://HOST:PORT  use this relay (else listen here, without one)\n"
    "  -u, --user NAME   -w, --password PASSWORD\n"
    "  -k, --no-verify   take any TLS certificate      --ca FILE  trusted roots\n"
    "  --sip sip:USER@HOST[:PORT][;transport=tls]      own address; SIP goes to HOST:PORT\n"
    "  --proxy sip:HOST:PORT[;transport=tls]           SIP goes there instead\n"
    "  --register        call: register first\n"
    "  --text TEXT       send this text, before the files (repeatable)\n"
    "  --type TYPE       Content-Type of what is sent\n"
    "  --report          ask for success reports and wait for them\n"
    "  --no-failure-report   ask for no answers at all\n"
    "  --chunk N         octets of a chunk (default 0: one chunk a message)\n"
    "  --count N         messages to receive before it ends\n"
    "  --grace SECONDS   wait for failure reports (default 1)\n"
    "  --listen ADDRESS:PORT --cert FILE --key FILE    without a relay\n"
    "  --expires SECONDS --algorithm MD5|SHA-256 --no-uri   of AUTH\n"
    "  -v, --trace       show every SIP message and MSRP frame on stderr\n";

enum opt { OPT_SIP = 256, OPT_PROXY, OPT_REGISTER, OPT_TEXT, OPT_TYPE, OPT_REPORT, OPT_NO_FAILURE, OPT_CHUNK, OPT_COUNT,
           OPT_GRACE, OPT_LISTEN, OPT_CERT, OPT_KEY, OPT_CA, OPT_EXPIRES, OPT_ALGORITHM, OPT_NO_URI };

static const struct option options[] = {
    { "relay", required_argument, NULL, 'r' },
    { "user", required_argument, NULL, 'u' },
    { "password", required_argument, NULL, 'w' },
    { "no-verify", no_argument, NULL, 'k' },
    { "trace", no_argument, NULL, 'v' },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { "sip", required_argument, NULL, OPT_SIP },
    { "proxy", required_argument, NULL, OPT_PROXY },
    { "register", no_argument, NULL, OPT_REGISTER },
    { "text", required_argument, NULL, OPT_TEXT },
    { "type", required_argument, NULL, OPT_TYPE },
    { "report", no_argument, NULL, OPT_REPORT },
    { "no-failure-report", no_argument, NULL, OPT_NO_FAILURE },
    { "chunk", required_argument, NULL, OPT_CHUNK },
    { "count", required_argument, NULL, OPT_COUNT },
    { "grace", required_argument, NULL, OPT_GRACE },
    { "listen", required_argument, NULL, OPT_LISTEN },
    { "cert", required_argument, NULL, OPT_CERT },
    { "key", required_argument, NULL, OPT_KEY },
    { "ca", required_argument, NULL, OPT_CA },
    { "expires", required_argument, NULL, OPT_EXPIRES },
    { "algorithm", required_argument, NULL, OPT_ALGORITHM },
    { "no-uri", no_argument, NULL, OPT_NO_URI },
    { NULL, 0, NULL, 0 },
};

static uint64_t number(const char *what, const char *text, uint64_t max)
{
    uint64_t v;

    if (!sv_to_u64(sv_of(text), &v, NULL) || v > max) {
        fprintf(stderr, "msrpcat: %s: not a number up to %llu: %s\n", what, (unsigned long long)max, text);
        exit(2);
    }
    return v;
}

/* "sip:user@host:port;transport=tls" into the address without port, and host, port and transport. */
static bool read_sip_address(struct cat_opts *o, struct sv uri, bool needs_user)
{
    struct buf hop = BUF_INIT;
    struct sv rest = uri, params, user;
    size_t at;

    if (!sv_starts(rest, SV("sip:")))
        return false;
    rest = sv_from(rest, 4);
    at = sv_find(rest, ';');
    params = sv_from(rest, at);
    rest = sv_upto(rest, at);
    at = sv_find(rest, '@');
    user = sv_upto(rest, at < rest.n ? at : 0);
    if (at < rest.n)
        rest = sv_from(rest, at + 1);
    if (rest.n == 0 || (needs_user && user.n == 0))
        return false;
    o->sip_tls = sv_eq_nocase(params, SV(";transport=tls"));
    if (params.n && !o->sip_tls && !sv_eq_nocase(params, SV(";transport=tcp")))
        return false;
    buf_printf(&hop, "sip:" SV_FMT ";transport=%s", SV_ARG(rest), o->sip_tls ? "tls" : "tcp");
    free(o->sip_hop);
    o->sip_hop = buf_failed(&hop) ? NULL : sv_dup(buf_sv(&hop));
    buf_clear(&hop);
    at = rest.n && rest.p[0] == '[' ? sv_find(rest, ']') + 1 : sv_find(rest, ':');
    rest = sv_upto(rest, at);
    if (needs_user) {
        buf_printf(&hop, "sip:" SV_FMT "@" SV_FMT, SV_ARG(user), SV_ARG(rest));
        free(o->aor);
        o->aor = buf_failed(&hop) ? NULL : sv_dup(buf_sv(&hop));
        if (!o->aor)
            return false;
    }
    buf_fini(&hop);
    return o->sip_hop && sv_copy(rest, o->sip_host, sizeof o->sip_host);
}

static void add_text(struct cat_opts *o, const char *text)
{
    if (o->n_items == ITEMS_MAX) {
        fprintf(stderr, "msrpcat: more than %d messages\n", ITEMS_MAX);
        exit(2);
    }
    cat_item_text(&o->items[o->n_items++], text, NULL);
}

static void read_options(struct cat_opts *o, int argc, char **argv)
{
    int opt;

    o->grace_ms = GRACE_MS;
    o->mc_opts.algorithm = -1;
    while ((opt = getopt_long(argc, argv, "r:u:w:kvhV", options, NULL)) != -1) {
        switch (opt) {
        case 'r': o->relay = optarg; break;
        case 'u': o->user = optarg; break;
        case 'w': o->password = optarg; break;
        case 'k': o->tls.no_verify = true; break;
        case 'v': o->trace = true; break;
        case 'h': fputs(usage, stdout); exit(0);
        case 'V': puts("msrpcat " PACKAGE_VERSION); exit(0);
        case OPT_SIP:
            if (!read_sip_address(o, sv_of(optarg), true)) {
                fprintf(stderr, "msrpcat: --sip: not sip:USER@HOST[:PORT][;transport=tcp|tls]: %s\n", optarg);
                exit(2);
            }
            break;
        case OPT_PROXY: o->proxy = optarg; break;
        case OPT_REGISTER: o->do_register = true; break;
        case OPT_TEXT: add_text(o, optarg); break;
        case OPT_TYPE: o->type = optarg; break;
        case OPT_REPORT: o->wants_report = true; break;
        case OPT_NO_FAILURE: o->no_failure_report = true; break;
        case OPT_CHUNK: o->chunk = number("--chunk", optarg, INT64_MAX); break;
        case OPT_COUNT: o->count = (unsigned long)number("--count", optarg, UINT32_MAX); break;
        case OPT_GRACE: o->grace_ms = 1000 * number("--grace", optarg, 3600); break;
        case OPT_LISTEN: o->listen_at = optarg; break;
        case OPT_CERT: o->tls.certificate = optarg; break;
        case OPT_KEY: o->tls.private_key = optarg; break;
        case OPT_CA: o->tls.ca_file = optarg; break;
        case OPT_EXPIRES: o->mc_opts.expires_s = (uint32_t)number("--expires", optarg, UINT32_MAX); break;
        case OPT_ALGORITHM:
            if (strcmp(optarg, "MD5") != 0 && strcmp(optarg, "SHA-256") != 0) {
                fprintf(stderr, "msrpcat: --algorithm: neither MD5 nor SHA-256: %s\n", optarg);
                exit(2);
            }
            o->mc_opts.algorithm = strcmp(optarg, "MD5") == 0 ? CRYPTO_MD5 : CRYPTO_SHA256;
            break;
        case OPT_NO_URI: o->mc_opts.no_uri = true; break;
        default:
            fputs(usage, stderr);
            exit(2);
        }
    }
    if (o->proxy && !read_sip_address(o, sv_of(o->proxy), false)) {
        fprintf(stderr, "msrpcat: --proxy: not sip:HOST[:PORT][;transport=tcp|tls]: %s\n", o->proxy);
        exit(2);
    }
}

/* The words after the options: mode, target, files. */
static void read_words(struct cat_opts *o, int n, char **words)
{
    static const char *const modes[] = { "listen", "send", "call", "answer" };
    size_t mode = 0;
    int at = 1;

    while (n > 0 && mode < TD_ARRAY_LEN(modes) && strcmp(words[0], modes[mode]) != 0)
        mode++;
    if (n == 0 || mode == TD_ARRAY_LEN(modes)) {
        fputs(usage, stderr);
        exit(2);
    }
    o->mode = (enum mode)mode;
    if (o->mode == MODE_SEND || o->mode == MODE_CALL) {
        if (n < 2) {
            fputs(usage, stderr);
            exit(2);
        }
        o->target = words[at++];
    }
    if ((o->mode == MODE_CALL || o->mode == MODE_ANSWER) && !o->aor) {
        fprintf(stderr, "msrpcat: %s needs --sip\n", words[0]);
        exit(2);
    }
    if (o->mode == MODE_LISTEN && (at < n || o->n_items)) {
        fputs("msrpcat: listen sends nothing\n", stderr);
        exit(2);
    }
    for (; at < n; at++)
        if (o->n_items == ITEMS_MAX || !cat_item_file(&o->items[o->n_items++], words[at], o->type))
            exit(2);
    if (o->n_items == 0 && (o->mode == MODE_SEND || (o->mode == MODE_CALL && o->count == 0)) &&
        !cat_item_file(&o->items[o->n_items++], "-", o->type))
        exit(2);
    for (size_t i = 0; i < o->n_items; i++)
        if (o->type)
            o->items[i].type = o->type;
}

void cat_opts_read(struct cat_opts *o, int argc, char **argv)
{
    memset(o, 0, sizeof *o);
    read_options(o, argc, argv);
    read_words(o, argc - optind, argv + optind);
}

void cat_opts_fini(struct cat_opts *o)
{
    free(o->aor);
    free(o->sip_hop);
}
