/* Sofia's agent and its transports. */
#include "sip/stack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <sofia-sip/su_log.h>

#include "common/err.h"
#include "common/log.h"
#include "sip/clock.h"
#include "sip/datagram.h"
#include "sip/flow.h"
#include "sip/later.h"
#include "sip/method.h"

enum {
    LEG_BACKLOG = 1000,          /* TPTAG_QUEUESIZE is the listen backlog, too, and the bound of a flow's send queue */
    NEVER_MS = 24 * 3600 * 1000, /* Timer C is ours: one sweep for all */
    PRELOAD = 1536,
    PROCEEDING_MAX = 1000000,
    BUFFER_MAX = 256 * 1024,     /* Sofia counts pipelined messages as one; the edge passes none over SIPFRAME_MAX */
    LOCALS_MAX = 256,            /* as many as datagram.c knows sockets */
};

struct local {
    struct addr at;
    const char *advertised; /* borrowed from the configuration of the start: the host that others know; "": at */
    bool is_any; /* listens on all addresses: at holds one of them */
    bool has_udp;
    uint8_t kinds; /* bits of enum pump_kind */
};

/* A transport of Sofia's. */
struct primary {
    char ident[8];
    enum pump_kind kind; /* of internal ones */
    bool is_udp;
    struct addr at;      /* where Sofia listens */
    struct addr public;  /* what others know */
    char host[RESOLVE_HOST_MAX + 1], port[8]; /* of its Via */
    tport_t *tp;         /* borrowed */
};

struct stack {
    const struct conf *conf; /* borrowed */
    su_root_t *root;         /* owned */
    nta_agent_t *nta;        /* owned */
    struct local locals[LOCALS_MAX];
    size_t n_locals;
    struct addr own[LOCALS_MAX]; /* every address of the machine, port 0, when listening on all */
    size_t n_own;
    struct primary *primaries; /* owned */
    size_t n_primaries;
    struct addr udp[LOCALS_MAX]; /* where UDP sockets listen */
    size_t n_udp;
};

/* ---- Sofia's log becomes ours ---- */

static void on_sofia_log(void *stream, char const *fmt, va_list ap)
{
    char text[512];
    struct buf line = BUF_INIT;
    int n;

    if (!log_enabled(LOG_LEVEL_DEBUG))
        return;
    n = vsnprintf(text, sizeof text, fmt, ap);
    if (n <= 0)
        return;
    if (text[TD_MIN((size_t)n, sizeof text - 1) - 1] == '\n')
        n--;
    buf_add_escaped(&line, sv_make(text, TD_MIN((size_t)n, sizeof text - 1)), sizeof text);
    log_debug("sofia", 0, "%s", line.p ? line.p : "");
    buf_fini(&line);
}

/* ---- the configuration's addresses ---- */

static bool is_any(const struct addr *a)
{
    return a->sa.sa_family == AF_INET6 ? IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr)
                                       : a->in.sin_addr.s_addr == INADDR_ANY;
}

static bool is_own(const struct stack *s, const struct addr *a)
{
    for (size_t i = 0; i < s->n_own; i++)
        if (addr_host_eq(a, &s->own[i]))
            return true;
    return false;
}

static void find_own(struct stack *s)
{
    struct ifaddrs *all, *i;

    if (getifaddrs(&all) < 0)
        return;
    for (i = all; i; i = i->ifa_next) {
        struct addr a = { 0 };

        if (s->n_own == LOCALS_MAX) {
            log_warn("sip", 0, "this machine has more than %d addresses; the others are not known to be its own", LOCALS_MAX);
            break;
        }
        if (!i->ifa_addr || (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
            continue;
        memcpy(&a, i->ifa_addr, i->ifa_addr->sa_family == AF_INET ? sizeof a.in : sizeof a.in6);
        addr_set_port(&a, 0);
        if (addr_kind(&a) != ADDR_NEVER && !is_own(s, &a))
            s->own[s->n_own++] = a;
    }
    freeifaddrs(all);
}

/* The address that peers should use for a socket that listens on all: not loopback if there is another. */
static void choose_public(const struct stack *s, struct addr *at)
{
    const struct addr *best = NULL;

    for (size_t i = 0; i < s->n_own; i++)
        if (s->own[i].sa.sa_family == at->sa.sa_family && (!best || addr_kind(best) == ADDR_LOOPBACK))
            best = &s->own[i];
    if (best) {
        uint16_t port = addr_port(at);

        *at = *best;
        addr_set_port(at, port);
    }
}

/* An address of the other family is none that leads there. */
static const char *advertised_for(const struct conf_listen *l, const struct addr *at)
{
    struct addr a;

    return addr_from_host(&a, sv_of(l->advertise), 0) && a.sa.sa_family != at->sa.sa_family ? "" : l->advertise;
}

static int read_listen(struct stack *s, const struct conf_listen *l, struct buf *fault)
{
    if (!conf_list_has(&l->protocols, "sip"))
        return TD_OK;
    for (size_t i = 0; i < l->address.n; i++) {
        struct local *local = &s->locals[s->n_locals];

        if (s->n_locals == LOCALS_MAX) {
            buf_printf(fault, "more than %d listening addresses", LOCALS_MAX);
            return TD_ELIMIT;
        }
        if (!addr_from_text(&local->at, sv_of(l->address.v[i]))) {
            buf_printf(fault, "bad address %s", l->address.v[i]);
            return TD_EINVAL;
        }
        local->is_any = is_any(&local->at);
        local->advertised = advertised_for(l, &local->at);
        local->has_udp = conf_list_has(&l->transports, "udp");
        for (int k = 0; k < PUMP_KIND_N; k++)
            if (conf_list_has(&l->transports, flow_kind_text((enum pump_kind)k)) ||
                (k == PUMP_WSS && s->conf->websocket.tls_in_front && conf_list_has(&l->transports, "ws")))
                local->kinds |= (uint8_t)(1u << k);
        s->n_locals++;
    }
    return TD_OK;
}

/* ---- transports ---- */

static struct primary *primary_new(struct stack *s, const struct local *l)
{
    struct primary *grown = realloc(s->primaries, (s->n_primaries + 1) * sizeof *grown), *p;
    char host[ADDR_TEXT_MAX];

    if (!grown)
        return NULL;
    s->primaries = grown;
    p = &grown[s->n_primaries++];
    *p = (struct primary){ .public = l->at };
    if (l->is_any)
        choose_public(s, &p->public);
    addr_host_text(&p->public, host);
    if (*l->advertised)
        snprintf(p->host, sizeof p->host, "%s", l->advertised);
    else
        snprintf(p->host, sizeof p->host, p->public.sa.sa_family == AF_INET6 ? "[%.60s]" : "%.60s", host);
    snprintf(p->port, sizeof p->port, "%u", addr_port(&p->public));
    return p;
}

/* The same after a restart, as marks have it in them, whatever other addresses there are. */
static void print_ident(const struct stack *s, const struct addr *at, char out[8])
{
    char text[ADDR_TEXT_MAX];
    uint32_t number = 2166136261u; /* FNV-1a */

    for (const char *p = addr_text(at, text); *p; p++)
        number = (number ^ (uint8_t)*p) * 16777619u;
    do
        snprintf(out, 8, "u%06x", (unsigned)(number++ & 0xffffff));
    while (stack_udp(s, out));
}

static int add_udp_at(struct stack *s, const struct addr *where, const char *advertised, struct buf *fault)
{
    const struct local l = { .at = *where, .advertised = advertised };
    struct primary *p = primary_new(s, &l);
    char url[128], at[ADDR_TEXT_MAX];

    if (!p)
        return TD_ENOMEM;
    print_ident(s, where, p->ident);
    p->is_udp = true;
    p->at = *where;
    snprintf(url, sizeof url, "sip:%s;transport=udp", addr_text(where, at));
    if (nta_agent_add_tport(s->nta, (url_string_t *)url, TPTAG_IDENT(p->ident), TPTAG_STUN_SERVER(0), TAG_END()) < 0) {
        buf_printf(fault, "cannot listen on udp %s: %s", at, strerror(errno));
        return errno == EADDRINUSE ? TD_EINUSE : TD_EIO;
    }
    return TD_OK;
}

/* A socket for each address, so that answers leave from where the request came to (S-VIA-03). Sofia would make as many, but all with the
 * name of the first. */
static int add_udp(struct stack *s, const struct local *l, struct buf *fault)
{
    int err = TD_OK;

    if (!l->is_any)
        return add_udp_at(s, &l->at, l->advertised, fault);
    for (size_t i = 0; i < s->n_own && !err; i++) {
        struct addr at = s->own[i];

        addr_set_port(&at, addr_port(&l->at));
        if (at.sa.sa_family != l->at.sa.sa_family)
            continue;
        err = add_udp_at(s, &at, l->advertised, fault);
        if (err == TD_EIO) { /* an address that is coming or going */
            log_warn("sip", 0, "%s", fault->n ? fault->p : "");
            buf_clear(fault);
            s->n_primaries--;
            err = TD_OK;
        }
    }
    return err;
}

static int add_internal(struct stack *s, const struct local *l, enum pump_kind kind, struct buf *fault)
{
    bool is_v6 = l->at.sa.sa_family == AF_INET6;
    struct primary *p;

    for (size_t i = 0; i < s->n_primaries; i++)
        if (!s->primaries[i].is_udp && s->primaries[i].kind == kind &&
            s->primaries[i].public.sa.sa_family == l->at.sa.sa_family)
            return TD_OK;
    p = primary_new(s, l);
    if (!p)
        return TD_ENOMEM;
    p->kind = kind;
    snprintf(p->ident, sizeof p->ident, "%s", flow_kind_text(kind));
    if (nta_agent_add_tport(s->nta,
                            is_v6 ? URL_STRING_MAKE("sip:[::1]:*;transport=tcp")
                                  : URL_STRING_MAKE("sip:127.0.0.1:*;transport=tcp"),
                            TPTAG_IDENT(p->ident), TPTAG_SDWN_ERROR(1), TPTAG_QUEUESIZE(LEG_BACKLOG),
                            TPTAG_IDLE(UINT_MAX), TPTAG_TIMEOUT(UINT_MAX), TAG_END()) < 0) {
        buf_printf(fault, "cannot make the internal listener for %s: %s", p->ident, strerror(errno));
        return TD_EIO;
    }
    return TD_OK;
}

/* After the last nta_agent_add_tport(), which makes all Vias anew: find our primaries, set what their Via says. */
static int fix_vias(struct stack *s, struct buf *fault)
{
    static const char *const protocols[PUMP_KIND_N] = { "SIP/2.0/TCP", "SIP/2.0/TLS", "SIP/2.0/WS", "SIP/2.0/WSS" };

    for (tport_t *tp = tport_primaries(nta_agent_tports(s->nta)); tp; tp = tport_next(tp)) {
        const su_addrinfo_t *ai = tport_get_address(tp);
        sip_via_t *via = (sip_via_t *)tport_magic(tp);

        for (size_t i = 0; i < s->n_primaries; i++) {
            struct primary *p = &s->primaries[i];

            if (p->tp || strcmp(tport_ident(tp), p->ident) != 0 || ai->ai_family != p->public.sa.sa_family)
                continue;
            p->tp = tp;
            memcpy(&p->at, ai->ai_addr, TD_MIN((size_t)ai->ai_addrlen, sizeof p->at));
            if (p->is_udp && addr_port(&p->public) == 0) {
                addr_set_port(&p->public, addr_port(&p->at));
                snprintf(p->port, sizeof p->port, "%u", addr_port(&p->public));
            }
            via->v_host = p->host;
            via->v_port = p->port;
            if (!p->is_udp)
                via->v_protocol = protocols[p->kind];
            break;
        }
    }
    for (size_t i = 0; i < s->n_primaries; i++)
        if (!s->primaries[i].tp) {
            buf_printf(fault, "the transport %s did not come up", s->primaries[i].ident);
            return TD_EIO;
        }
    return TD_OK;
}

static int add_transports(struct stack *s, struct buf *fault)
{
    int err = TD_OK;

    for (size_t i = 0; i < s->n_locals && !err; i++) {
        if (s->locals[i].has_udp)
            err = add_udp(s, &s->locals[i], fault);
        for (int k = 0; k < PUMP_KIND_N && !err; k++)
            if (s->locals[i].kinds & 1u << k)
                err = add_internal(s, &s->locals[i], (enum pump_kind)k, fault);
    }
    if (!err)
        err = fix_vias(s, fault);
    for (size_t i = 0; i < s->n_primaries && !err; i++)
        if (s->primaries[i].is_udp && s->n_udp < LOCALS_MAX)
            s->udp[s->n_udp++] = s->primaries[i].at;
    datagram_guard(s->udp, s->n_udp);
    return err;
}

/* ---- life ---- */

int stack_new(struct stack **out, const struct conf *conf, struct sipd *d, nta_message_f *on_message, struct buf *fault)
{
    struct stack *s = calloc(1, sizeof *s);
    int err = TD_ENOMEM;

    *out = NULL;
    if (!s)
        return err;
    s->conf = conf;
    su_log_redirect(NULL, on_sofia_log, NULL);
    clock_whole_milliseconds();
    find_own(s);
    err = TD_OK;
    for (size_t i = 0; i < conf->n_listen && !err; i++)
        err = read_listen(s, &conf->listen[i], fault);
    if (err)
        goto out;
    err = TD_ENOMEM;
    s->root = su_root_create(NULL);
    if (!s->root)
        goto out;
    /* EXTRACT_COPY: the text of headers is kept, and goes out again as it came (S-MSG-07). */
    s->nta = nta_agent_create(
        s->root, (url_string_t *)-1, on_message, d, NTATAG_MCLASS(method_mclass()), NTATAG_SIPFLAGS(MSG_DO_EXTRACT_COPY), NTATAG_UA(0),
        NTATAG_SERVER_RPORT(1), NTATAG_CLIENT_RPORT(1), NTATAG_MERGE_482(0), NTATAG_PASS_100(1), NTATAG_EXTRA_100(0),
        NTATAG_CANCEL_487(0), NTATAG_CANCEL_2543(0), NTATAG_USE_NAPTR(0), NTATAG_USE_SRV(0), NTATAG_PRELOAD(PRELOAD),
        NTATAG_UDP_MTU(65535), NTATAG_MAXSIZE(BUFFER_MAX), NTATAG_MAX_PROCEEDING(PROCEEDING_MAX),
        NTATAG_TIMER_C(NEVER_MS), NTATAG_BAD_REQ_MASK(0), NTATAG_BAD_RESP_MASK(sip_mask_response), TAG_END());
    if (!s->nta)
        goto out;
    err = add_transports(s, fault);
    if (err)
        goto out;
    *out = s;
    return TD_OK;
out:
    stack_free(&s);
    return err;
}

void stack_free(struct stack **sp)
{
    struct stack *s = *sp;

    if (!s)
        return;
    *sp = NULL;
    datagram_guard(NULL, 0);
    if (s->nta)
        nta_agent_destroy(s->nta);
    if (s->root) {
        later_forget(s->root);
        su_root_destroy(s->root);
    }
    free(s->primaries);
    free(s);
}

void stack_configure(struct stack *s, const struct conf *conf)
{
    s->conf = conf;
}

su_root_t *stack_root(struct stack *s)
{
    return s->root;
}

nta_agent_t *stack_agent(struct stack *s)
{
    return s->nta;
}

void stack_ports(const struct stack *s, uint16_t ports[PUMP_KIND_N][2])
{
    memset(ports, 0, sizeof(uint16_t) * PUMP_KIND_N * 2);
    for (size_t i = 0; i < s->n_primaries; i++)
        if (!s->primaries[i].is_udp)
            ports[s->primaries[i].kind][s->primaries[i].at.sa.sa_family == AF_INET6] = addr_port(&s->primaries[i].at);
}

bool stack_has(const struct stack *s, enum pump_kind kind, int family)
{
    for (size_t i = 0; i < s->n_primaries; i++)
        if (!s->primaries[i].is_udp && s->primaries[i].kind == kind && s->primaries[i].at.sa.sa_family == family)
            return true;
    return false;
}

bool stack_listener(const struct stack *s, size_t *i, struct addr *out)
{
    for (; *i < s->n_primaries; ++*i)
        if (!s->primaries[*i].is_udp) {
            *out = s->primaries[(*i)++].at;
            return true;
        }
    return false;
}

/* ---- who are we? ---- */

static bool has_domain(const struct stack *s, const char *host)
{
    for (size_t i = 0; i < s->conf->sip.domains.n; i++)
        if (sv_eq_nocase(sv_of(host), sv_of(s->conf->sip.domains.v[i])))
            return true;
    return false;
}

static bool is_our_port(const struct stack *s, const char *port, bool is_sips)
{
    uint16_t number = addr_port_of_text(port, is_sips ? 5061 : 5060);

    for (size_t i = 0; i < s->n_locals; i++)
        if (addr_port(&s->locals[i].at) == number)
            return true;
    return false;
}

static bool is_at(const struct stack *s, const struct local *l, const struct addr *a)
{
    if (addr_host_eq(a, &l->at))
        return true;
    return l->is_any && is_own(s, a);
}

static bool is_our_host(const struct stack *s, const char *host)
{
    struct addr a;
    bool is_literal = addr_from_host(&a, sv_of(host), 0);

    for (size_t i = 0; i < s->n_locals; i++)
        if ((is_literal && is_at(s, &s->locals[i], &a)) || (*s->locals[i].advertised && sv_eq_nocase(sv_of(s->locals[i].advertised), sv_of(host))))
            return true;
    return false;
}

static bool is_advertised(const struct local *l, const struct addr *a)
{
    struct addr public;

    return addr_from_host(&public, sv_of(l->advertised), 0) && addr_host_eq(&public, a);
}

bool stack_owns(const struct stack *s, const struct addr *a)
{
    for (size_t i = 0; i < s->n_locals; i++)
        if (addr_port(&s->locals[i].at) == addr_port(a) && (is_at(s, &s->locals[i], a) || is_advertised(&s->locals[i], a)))
            return true;
    return false;
}

/* The listener that a stream with this end of ours came in on, or, when we have dialled it and the port is nobody's, one for its kind at that address. */
static const struct local *listener_of(const struct stack *s, enum pump_kind kind, const struct addr *end)
{
    const struct local *same_host = NULL;

    for (size_t i = 0; i < s->n_locals; i++) {
        const struct local *l = &s->locals[i];

        if (!is_at(s, l, end))
            continue;
        if (addr_port(&l->at) == addr_port(end))
            return l;
        if (!same_host && l->kinds & 1u << kind)
            same_host = l;
    }
    return same_host;
}

void stack_public_text(const struct stack *s, enum pump_kind kind, const struct addr *end, char out[STACK_PUBLIC_MAX])
{
    const struct local *l = listener_of(s, kind, end);
    struct addr at = *end;
    char text[ADDR_TEXT_MAX];

    if (l)
        addr_set_port(&at, addr_port(&l->at));
    for (size_t i = 0; !l && i < s->n_primaries; i++) { /* by an address on which it does not listen */
        const struct primary *p = &s->primaries[i];

        if (!p->is_udp && p->kind == kind && p->at.sa.sa_family == end->sa.sa_family) {
            snprintf(out, STACK_PUBLIC_MAX, "%s:%s", p->host, p->port);
            return;
        }
    }
    if (l && *l->advertised)
        snprintf(out, STACK_PUBLIC_MAX, "%s:%u", l->advertised, addr_port(&at));
    else
        snprintf(out, STACK_PUBLIC_MAX, "%s", addr_text(&at, text));
}

bool stack_is_us(const struct stack *s, const url_t *url)
{
    if (!url->url_host)
        return false;
    if (has_domain(s, url->url_host) && (!url->url_port || !*url->url_port))
        return true;
    return (has_domain(s, url->url_host) || is_our_host(s, url->url_host)) &&
           is_our_port(s, url->url_port, url->url_type == url_sips);
}

bool stack_is_domain(const struct stack *s, const url_t *url)
{
    if (!url->url_host)
        return false;
    return has_domain(s, url->url_host) || (s->conf->sip.domains.n == 0 && stack_is_us(s, url));
}

static const struct primary *primary_of(const struct stack *s, const tport_t *tp)
{
    const tport_t *parent = tport_parent(tp);

    for (size_t i = 0; i < s->n_primaries; i++)
        if (s->primaries[i].tp == parent)
            return &s->primaries[i];
    return NULL;
}

tport_t *stack_udp(const struct stack *s, const char *ident)
{
    for (size_t i = 0; i < s->n_primaries; i++)
        if (s->primaries[i].is_udp && strcmp(s->primaries[i].ident, ident) == 0)
            return s->primaries[i].tp;
    return NULL;
}

void stack_udp_text(const struct stack *s, const tport_t *tp, char *out, size_t size)
{
    const struct primary *p = primary_of(s, tp);
    char at[ADDR_TEXT_MAX];

    snprintf(out, size, "udp:%s", p ? addr_text(&p->at, at) : "");
}

tport_t *stack_udp_for(const struct stack *s, const char *socket, int family)
{
    tport_t *first = NULL;

    for (size_t i = 0; i < s->n_primaries; i++) {
        const struct primary *p = &s->primaries[i];
        char text[ADDR_TEXT_MAX + 4];

        if (!p->is_udp || (p->at.sa.sa_family != AF_INET6) != (family != AF_INET6))
            continue;
        if (!*socket)
            return p->tp;
        stack_udp_text(s, p->tp, text, sizeof text);
        if (strcmp(text, socket) == 0)
            return p->tp;
        if (!first)
            first = p->tp;
    }
    return first;
}

/* Where the kernel would send from. */
static bool find_source(const struct addr *to, struct addr *from)
{
    struct sockaddr_storage ss = { 0 };
    socklen_t len = sizeof ss;
    int fd = socket(to->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool found = fd >= 0 && connect(fd, &to->sa, addr_len(to)) == 0 && getsockname(fd, (struct sockaddr *)&ss, &len) == 0;

    if (found)
        addr_from_socket(from, &ss);
    if (fd >= 0)
        close(fd);
    return found;
}

tport_t *stack_udp_to(const struct stack *s, const struct addr *to)
{
    tport_t *first = stack_udp_for(s, "", to->sa.sa_family);
    struct addr from;
    bool is_known = false;

    for (size_t i = 0; i < s->n_primaries; i++) {
        const struct primary *p = &s->primaries[i];

        if (!p->is_udp || p->tp == first || (p->at.sa.sa_family != AF_INET6) != (to->sa.sa_family != AF_INET6))
            continue;
        if (!is_known && !(is_known = find_source(to, &from)))
            break;
        if (addr_host_eq(&p->at, &from))
            return p->tp;
    }
    return first;
}

const char *stack_host(const struct stack *s, const tport_t *tp)
{
    const struct primary *p = primary_of(s, tp);

    return p ? p->host : "127.0.0.1";
}

uint16_t stack_port(const struct stack *s, const tport_t *tp)
{
    const struct primary *p = primary_of(s, tp);

    return p ? addr_port(&p->public) : 0;
}
