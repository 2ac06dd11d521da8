/* Building what goes out, and finding where it goes. */
#include "sip/forward.h"

#include <stdio.h>
#include <stdlib.h>

#include "sip/method.h"

enum {
    FORWARDS_DEFAULT = 70,
    BREADTH_MAX = 60,
    UDP_SIZE_MAX = 1300, /* RFC 3261 s.18.1.1 */
    ADDED_MAX = 250,     /* what our Via and Record-Route add */
};

static const char breadth_name[] = "Max-Breadth";

/* ---- the copy ---- */

static bool set_uri(msg_t *m, sip_t *sip, const url_string_t *uri)
{
    sip_request_t *changed = method_request_line(msg_home(m), sip->sip_request, uri);

    if (!changed || msg_header_insert(m, (msg_pub_t *)sip, (msg_header_t *)changed) < 0)
        return false;
    return changed->rq_url->url_type == url_sip || changed->rq_url->url_type == url_sips;
}

/* A Contact may carry what a Request-URI must not have: S-FWD-01. */
static void strip_uri(su_home_t *home, url_t *u)
{
    u->url_headers = NULL;
    if (u->url_params && url_has_param(u, "method"))
        u->url_params = url_strip_param_string(su_strdup(home, u->url_params), "method");
}

/* Stored Path values go in front of what Route there is: S-PATH-03. */
static bool add_path(msg_t *m, sip_t *sip, const char *path)
{
    su_home_t *home = msg_home(m);
    struct buf all = BUF_INIT;
    bool good;

    buf_puts(&all, path);
    while (sip->sip_route) {
        char *one = sip_header_as_string(home, (sip_header_t *)sip->sip_route);

        buf_printf(&all, ", %s", one ? one : "");
        if (!sip_route_remove(m, sip))
            break;
    }
    good = !buf_failed(&all) && sip_add_make(m, sip, sip_route_class, all.p) >= 0 && sip->sip_route;
    buf_fini(&all);
    return good;
}

/* The next hop is a strict router: S-RT-08. */
static bool serve_strict_router(msg_t *m, sip_t *sip)
{
    su_home_t *home = msg_home(m);
    sip_route_t *first = sip->sip_route, *last;

    if (!first || url_has_param(first->r_url, "lr"))
        return true;
    last = sip_route_create(home, sip->sip_request->rq_url, NULL);
    if (!last || msg_header_insert(m, (msg_pub_t *)sip, (msg_header_t *)last) < 0)
        return false;
    first = sip_route_remove(m, sip);
    return first && set_uri(m, sip, (const url_string_t *)first->r_url);
}

static bool set_max_forwards(msg_t *m, sip_t *sip)
{
    if (sip->sip_max_forwards) {
        sip->sip_max_forwards->mf_count--;
        msg_fragment_clear(sip->sip_max_forwards->mf_common);
        return true;
    }
    return sip_add_make(m, sip, sip_max_forwards_class, "70") >= 0;
}

msg_t *forward_copy(const struct request *r, const struct target *t)
{
    msg_t *m = msg_copy(r->msg);
    sip_t *sip = m ? sip_object(m) : NULL;

    if (!sip)
        return NULL;
    if (t->uri) {
        if (!set_uri(m, sip, (const url_string_t *)t->uri))
            goto bad;
        strip_uri(msg_home(m), sip->sip_request->rq_url);
    }
    if ((t->path && !add_path(m, sip, t->path)) || !serve_strict_router(m, sip) || !set_max_forwards(m, sip))
        goto bad;
    return m;
bad:
    msg_destroy(m);
    return NULL;
}

unsigned forward_breadth(const sip_t *sip)
{
    uint64_t n;

    for (const sip_unknown_t *u = sip->sip_unknown; u; u = u->un_next)
        if (su_casematch(u->un_name, breadth_name) && sv_to_u64(sv_trim(sv_of(u->un_value)), &n, NULL))
            return (unsigned)TD_MIN(n, (uint64_t)BREADTH_MAX);
    return BREADTH_MAX;
}

bool forward_set_breadth(msg_t *m, sip_t *sip, unsigned breadth)
{
    char line[32];

    for (sip_unknown_t *u = sip->sip_unknown, *next; u; u = next) {
        next = u->un_next;
        if (su_casematch(u->un_name, breadth_name))
            msg_header_remove(m, (msg_pub_t *)sip, (msg_header_t *)u);
    }
    snprintf(line, sizeof line, "%s: %u", breadth_name, breadth);
    return sip_add_make(m, sip, sip_unknown_class, line) >= 0;
}

/* ---- the next hop ---- */

/* A sips request goes over TLS on each hop, the last one too: S-TLS-02. */
static enum hop_fault hop_by_flow(struct sipd *d, struct flow *f, bool is_sips, struct next_hop *hop)
{
    hop->tport = f && (!is_sips || flow_is_secure(f)) ? flow_tport(f) : NULL;
    return hop->tport ? HOP_OK : HOP_GONE;
}

static enum hop_fault hop_by_stream(struct sipd *d, const url_t *next, enum pump_kind kind, struct next_hop *hop)
{
    struct addr a;
    uint16_t port = addr_port_of_text(next->url_port, kind == PUMP_TLS ? 5061 : 5060);
    struct flow *f = NULL;

    if (addr_from_host(&a, sv_of(next->url_host), port)) {
        if (addr_kind(&a) == ADDR_NEVER)
            return HOP_FORBIDDEN;
        f = flow_to_peer(d->flows, kind, &a);
    }
    if (f && flow_tport(f))
        return hop_by_flow(d, f, false, hop);
    if (kind != PUMP_TCP && kind != PUMP_TLS)
        return HOP_GONE; /* a WebSocket client cannot be dialled: S-WS-06 */
    hop->must_dial = true;
    hop->dial_kind = kind;
    hop->dial_host = next->url_host;
    hop->dial_port = port;
    return HOP_OK;
}

static enum hop_fault hop_by_url(struct sipd *d, su_home_t *home, const url_t *next, const struct target *t, size_t size, struct next_hop *hop)
{
    char transport[16] = "";
    bool is_sips = next->url_type == url_sips, is_literal;
    struct addr a;

    if (!next->url_host || !*next->url_host)
        return HOP_FAILED;
    if (next->url_params)
        url_param(next->url_params, "transport", transport, sizeof transport);
    if (su_casematch(transport, "ws"))
        return hop_by_stream(d, next, is_sips ? PUMP_WSS : PUMP_WS, hop);
    if (is_sips || t->must_tls || su_casematch(transport, "tls"))
        return hop_by_stream(d, next, PUMP_TLS, hop);
    if (su_casematch(transport, "tcp"))
        return hop_by_stream(d, next, PUMP_TCP, hop);
    is_literal = addr_from_host(&a, sv_of(next->url_host), 5060);
    if (is_literal && addr_kind(&a) == ADDR_NEVER)
        return HOP_FORBIDDEN;
    hop->tport = stack_udp_for(d->stack, "", is_literal ? a.sa.sa_family : AF_INET);
    if (!hop->tport)
        return hop_by_stream(d, next, PUMP_TCP, hop);
    hop->route = url_as_string(home, next);
    if (!hop->route)
        return HOP_FAILED;
    if (size + ADDED_MAX > UDP_SIZE_MAX) {
        struct next_hop by_tcp = { 0 };

        if (hop_by_stream(d, next, PUMP_TCP, &by_tcp) == HOP_OK) {
            by_tcp.route = by_tcp.must_dial ? hop->route : NULL;
            by_tcp.tport = by_tcp.must_dial ? hop->tport : by_tcp.tport;
            *hop = by_tcp;
        }
    }
    return HOP_OK;
}

enum hop_fault hop_find(struct sipd *d, msg_t *copy, sip_t *sip, const struct target *t, size_t size, struct next_hop *hop)
{
    su_home_t *home = msg_home(copy);
    char at[ADDR_TEXT_MAX];
    bool is_sips = sip->sip_request->rq_url->url_type == url_sips;

    *hop = (struct next_hop){ 0 };
    switch (t->hop.kind) {
    case MARK_FLOW:
        return hop_by_flow(d, flow_by_id(d->flows, t->hop.conn_id), is_sips, hop);
    case MARK_UDP:
        if (is_sips)
            return HOP_GONE;
        hop->tport = stack_udp(d->stack, t->hop.ident);
        hop->route = su_sprintf(home, "sip:%s;transport=udp", addr_text(&t->hop.addr, at));
        return hop->tport && hop->route ? HOP_OK : HOP_GONE;
    case MARK_PLAIN:
        break;
    }
    return hop_by_url(d, home, sip->sip_route ? sip->sip_route->r_url : sip->sip_request->rq_url, t, size, hop);
}

/* ---- Record-Route ---- */

static bool is_recorded(sip_method_t method)
{
    switch (method) {
    case sip_method_register:
    case sip_method_message:
    case sip_method_options:
    case sip_method_info:
    case sip_method_bye:
    case sip_method_ack:
    case sip_method_cancel:
    case sip_method_prack:
    case sip_method_publish:
        return false;
    default:
        return true;
    }
}

/* One side of us: the transport towards a neighbour, and its mark. */
struct side {
    const struct flow *flow; /* NULL: UDP */
    const tport_t *tport;
    const struct mark *mark;
};

static int side_kind(const struct side *s)
{
    return s->flow ? (int)s->flow->kind : -1;
}

static void print_side(struct sipd *d, const struct side *s, bool is_sips, const char *callid, struct buf *out)
{
    char at[ADDR_TEXT_MAX], mark[MARK_TEXT_MAX];
    struct mark flow_mark = { .kind = MARK_FLOW, .conn_id = s->flow ? s->flow->id : 0 };
    bool is_tls = s->flow && flow_is_secure(s->flow);

    mark_print(d, s->flow ? &flow_mark : s->mark, callid, mark);
    buf_printf(out, "<%s:", is_sips || is_tls ? "sips" : "sip"); /* never transport=tls: S-TLS-05 */
    if (s->flow)
        buf_puts(out, addr_text(&s->flow->local, at));
    else
        buf_printf(out, "%s:%u", stack_host(d->stack, s->tport), stack_port(d->stack, s->tport));
    if (s->flow && s->flow->kind == PUMP_TCP)
        buf_puts(out, ";transport=tcp");
    else if (s->flow && s->flow->kind != PUMP_TLS)
        buf_puts(out, ";transport=ws");
    buf_printf(out, ";lr;td=%s>", mark);
}

/* RFC 5658: two values when the sides differ, or when one of them needs a mark of its own. */
bool forward_record_route(struct sipd *d, msg_t *copy, sip_t *sip, const struct mark *in, const tport_t *in_tport,
                          uint64_t in_flow, const struct next_hop *hop, const struct target *t)
{
    struct side from = { .flow = in_flow ? flow_by_id(d->flows, in_flow) : NULL, .tport = in_tport, .mark = in };
    struct side to = { .flow =
                           hop->tport && tport_is_secondary(hop->tport) ? flow_of_tport(d->flows, hop->tport) : NULL,
                       .tport = hop->tport,
                       .mark = &t->hop };
    const char *callid = sip->sip_call_id->i_id;
    bool is_sips = sip->sip_request->rq_url->url_type == url_sips ||
                   (sip->sip_route && sip->sip_route->r_url->url_type == url_sips);
    bool is_double = from.flow || to.flow || in->kind != MARK_PLAIN || t->hop.kind != MARK_PLAIN ||
                     side_kind(&from) != side_kind(&to) || tport_parent(from.tport) != tport_parent(to.tport);
    struct buf text = BUF_INIT;
    bool good;

    if (!d->conf->sip.record_route || !is_recorded(sip->sip_request->rq_method))
        return true;
    print_side(d, &from, is_sips, callid, &text);
    good = !buf_failed(&text) && sip_add_make(copy, sip, sip_record_route_class, text.p) >= 0;
    if (good && is_double) {
        buf_clear(&text);
        print_side(d, &to, is_sips, callid, &text);
        good = !buf_failed(&text) && sip_add_make(copy, sip, sip_record_route_class, text.p) >= 0;
    }
    buf_fini(&text);
    return good;
}
