/* Next hops. */
#include "sip/hop.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "sip/dns.h"

enum {
    DEAF_MS = 300 * 1000,
    OFFER_MS = 1000,     /* a place that may be reached by UDP has so long to take a connection */
    UDP_SIZE_MAX = 1300, /* RFC 3261 s.18.1.1 */
    ADDED_MAX = 250,     /* what our Via and Record-Route add */
    ROUTE_MAX = ADDR_TEXT_MAX + 32,
};

struct hops {
    struct sipd *d;              /* back */
    struct list offer_node;      /* while a connection is offered to a place of UDP */
    uint64_t offered_ms;
    struct mark mark;            /* FLOW and UDP: there and nowhere else */
    bool is_secure;              /* TLS on this hop */
    bool is_large;
    bool was_given;              /* by the mark: there is one hop */
    bool was_blocked, was_unreachable; /* some place */
    char *host;                  /* owned: whom a certificate must name */
    struct locate *search;       /* owned; NULL: the mark says it, or it can be nowhere */
    struct place first;          /* tried before the search: of a response; ANY: none */
    struct place place;          /* being connected to */
    struct flow_dial *dial;      /* owned: while connecting */
    hops_done *done;
    void *arg;
    char route[ROUTE_MAX];
};

static void find_place(struct hops *h);

/* ---- handing out ---- */

static void give(struct hops *h, tport_t *tport, const struct addr *at, const char *transport)
{
    struct next_hop hop = { .route = h->route, .tport = tport, .at = *at };
    char text[ADDR_TEXT_MAX];

    list_remove(&h->offer_node);
    snprintf(h->route, sizeof h->route, "sip:%s;transport=%s", addr_text(at, text), transport);
    h->done(h->arg, HOP_FOUND, &hop);
}

static void give_udp(struct hops *h, tport_t *udp, const struct addr *at)
{
    give(h, udp, at, "udp");
}

static void give_flow(struct hops *h, struct flow *f)
{
    give(h, flow_tport(f), &f->peer, "tcp");
}

static void end(struct hops *h, enum hop_end how)
{
    h->done(h->arg, how, NULL);
}

/* A sips request goes over TLS on each hop, the last one too: S-TLS-02. */
static void follow_mark(struct hops *h)
{
    struct flow *f;
    tport_t *udp;

    if (h->was_given) {
        end(h, HOP_GONE);
        return;
    }
    h->was_given = true;
    if (h->mark.kind == MARK_FLOW) {
        f = flow_by_id(h->d->flows, h->mark.conn_id);
        if (f && (!h->is_secure || flow_is_secure(f)) && flow_tport(f))
            give_flow(h, f);
        else
            end(h, HOP_GONE);
        return;
    }
    udp = h->is_secure ? NULL : stack_udp(h->d->stack, h->mark.ident);
    if (udp)
        give_udp(h, udp, &h->mark.addr);
    else
        end(h, HOP_GONE);
}

/* ---- connecting ---- */

static enum pump_kind kind_of(enum transport t)
{
    return t == TRANSPORT_TLS ? PUMP_TLS : PUMP_TCP;
}

static void use_udp(struct hops *h)
{
    give_udp(h, stack_udp_to(h->d->stack, &h->place.at), &h->place.at);
}

static void note_failure(struct hops *h, const char *why)
{
    struct buf host = BUF_INIT;
    char at[ADDR_TEXT_MAX];

    if (!log_enabled(LOG_LEVEL_DEBUG))
        return;
    buf_add_escaped(&host, sv_of(h->host), RESOLVE_HOST_MAX);
    log_debug("sip", 0, "next hop not used: host=%s address=%s reason=%s", host.p ? host.p : "",
             addr_text(&h->place.at, at), why);
    buf_fini(&host);
}

/* Most phones that register by UDP listen to nothing else: not to be asked again for each call. A table of hashes, each in its place. */
static struct deaf *deaf_of(const struct hops *h, const struct addr *at, uint64_t *hash)
{
    char text[ADDR_TEXT_MAX];

    addr_text(at, text); /* first: the order in which arguments are evaluated is open */
    *hash = hash_bytes(text, strlen(text));
    return &h->d->deaf[*hash % TD_ARRAY_LEN(h->d->deaf)];
}

static bool is_deaf(const struct hops *h, const struct addr *at)
{
    uint64_t hash;
    const struct deaf *d = deaf_of(h, at, &hash);

    return d->hash == hash && sipd_now_ms() < d->until_ms;
}

static void note_deaf(const struct hops *h, const struct addr *at)
{
    uint64_t hash;
    struct deaf *d = deaf_of(h, at, &hash);

    *d = (struct deaf){ .hash = hash, .until_ms = sipd_now_ms() + DEAF_MS };
}

static void on_dialled(void *arg, struct flow *f)
{
    struct hops *h = arg;

    h->dial = NULL;
    if (f && flow_tport(f)) {
        give_flow(h, f);
    } else if (h->place.transport == TRANSPORT_UDP) {
        note_deaf(h, &h->place.at);
        use_udp(h);
    } else {
        note_failure(h, "no connection");
        h->was_unreachable = true;
        find_place(h);
    }
}

void hops_sweep(struct sipd *d, uint64_t now_ms)
{
    while (!list_is_empty(&d->offers)) {
        struct hops *h = list_item(d->offers.next, struct hops, offer_node);

        if (now_ms - h->offered_ms < OFFER_MS)
            break;
        list_remove(&h->offer_node);
        flow_dial_cancel(h->dial); /* the connection is there for the next one, if it is made yet */
        on_dialled(h, NULL);
    }
}

static void use_stream(struct hops *h, enum pump_kind kind)
{
    struct flow *f = flow_to_peer(h->d->flows, kind, &h->place.at, h->host);

    if (f && flow_tport(f)) {
        give_flow(h, f);
        return;
    }
    h->dial = flow_dial(h->d->flows, kind, h->host, &h->place.at, on_dialled, h);
    if (!h->dial)
        on_dialled(h, NULL);
}

/* Is this an address that we go to because somebody has named it? */
static bool may_use(struct hops *h, const struct addr *at)
{
    return addr_port(at) && reach_allows(&h->d->reach, at) && !stack_owns(h->d->stack, at);
}

static void use_place(struct hops *h, const struct place *p)
{
    h->place = *p;
    if (!may_use(h, &p->at)) {
        note_failure(h, "address not allowed");
        h->was_blocked = true;
        find_place(h);
    } else if (p->transport != TRANSPORT_UDP) {
        use_stream(h, kind_of(p->transport));
    } else if (h->is_large && stack_has(h->d->stack, PUMP_TCP, p->at.sa.sa_family) && !is_deaf(h, &p->at)) {
        h->offered_ms = sipd_now_ms();
        list_append(&h->d->offers, &h->offer_node);
        use_stream(h, PUMP_TCP); /* and by UDP when that fails: S-TRN-01 */
    } else {
        use_udp(h);
    }
}

static void on_place(void *arg, enum locate_end how, const struct place *p)
{
    struct hops *h = arg;

    if (how == LOCATE_FOUND)
        use_place(h, p);
    else if (how == LOCATE_FAILED || h->was_unreachable)
        end(h, HOP_FAILED);
    else
        end(h, h->was_blocked ? HOP_FORBIDDEN : HOP_ABSENT);
}

static void find_place(struct hops *h)
{
    struct place first = h->first;

    h->first.transport = TRANSPORT_ANY;
    if (first.transport != TRANSPORT_ANY)
        use_place(h, &first);
    else
        locate_next(h->search, on_place, h);
}

void hops_next(struct hops *h, hops_done *done, void *arg)
{
    h->done = done;
    h->arg = arg;
    if (h->mark.kind != MARK_PLAIN)
        follow_mark(h);
    else if (h->search)
        find_place(h);
    else
        end(h, HOP_FAILED);
}

bool hops_has_more(const struct hops *h)
{
    return h->search && locate_has_more(h->search);
}

/* ---- beginning ---- */

static uint8_t can_send(const struct stack *s, int family)
{
    return (uint8_t)((stack_udp_for(s, "", family) ? 1 << TRANSPORT_UDP : 0) |
                     (stack_has(s, PUMP_TCP, family) ? 1 << TRANSPORT_TCP : 0) |
                     (stack_has(s, PUMP_TLS, family) ? 1 << TRANSPORT_TLS : 0));
}

static bool search(struct hops *h, struct locate_ask *ask)
{
    ask->can[0] = can_send(h->d->stack, AF_INET);
    ask->can[1] = can_send(h->d->stack, AF_INET6);
    h->search = locate_new(dns_table(h->d->dns), ask);
    return h->search != NULL;
}

/* A WebSocket client is reached by the connection that it has opened, or not at all: S-WS-06. */
static void follow_ws(struct hops *h, const url_t *next)
{
    struct addr at;
    enum pump_kind kind = h->is_secure ? PUMP_WSS : PUMP_WS;
    struct flow *f = addr_from_host(&at, sv_of(next->url_host), addr_port_of_text(next->url_port, 0))
                         ? flow_to_peer(h->d->flows, kind, &at, NULL)
                         : NULL;

    h->mark = (struct mark){ .kind = MARK_FLOW, .conn_id = f ? f->id : 0 };
}

/* False: out of memory. */
static bool follow_url(struct hops *h, const url_t *next)
{
    char transport[16] = "", maddr[RESOLVE_HOST_MAX + 1] = "";
    struct locate_ask ask = { .port = addr_port_of_text(next->url_port, 0), .transport = TRANSPORT_ANY,
                              .is_secure = h->is_secure, .is_large = h->is_large };

    if (next->url_params) {
        url_param(next->url_params, "transport", transport, sizeof transport);
        url_param(next->url_params, "maddr", maddr, sizeof maddr);
    }
    h->host = strdup(next->url_host ? next->url_host : "");
    if (!h->host)
        return false;
    ask.host = *maddr ? maddr : h->host;
    if (su_casematch(transport, "ws")) {
        follow_ws(h, next);
        return true;
    }
    if (su_casematch(transport, "tls") || (h->is_secure && su_casematch(transport, "tcp")))
        ask.transport = TRANSPORT_TLS;
    else if (su_casematch(transport, "tcp"))
        ask.transport = TRANSPORT_TCP;
    else if (su_casematch(transport, "udp"))
        ask.transport = TRANSPORT_UDP;
    else if (*transport)
        return true; /* nothing that we speak */
    return !*ask.host || search(h, &ask);
}

static struct hops *hops_alloc(struct sipd *d)
{
    struct hops *h = calloc(1, sizeof *h);

    if (h) {
        h->d = d;
        list_init(&h->offer_node);
        h->mark.kind = MARK_PLAIN;
        h->first.transport = TRANSPORT_ANY;
    }
    return h;
}

struct hops *hops_new(struct sipd *d, const sip_t *sip, const struct target *t, bool is_strict, size_t size)
{
    const url_t *next = t->next ? t->next : sip->sip_route && !is_strict ? sip->sip_route->r_url : sip->sip_request->rq_url;
    struct hops *h = hops_alloc(d);

    if (!h)
        return NULL;
    h->is_secure = next->url_type == url_sips || sip->sip_request->rq_url->url_type == url_sips || t->must_tls;
    h->is_large = size + ADDED_MAX > UDP_SIZE_MAX;
    h->mark = t->hop;
    if (h->mark.kind == MARK_PLAIN && !follow_url(h, next))
        hops_free(&h);
    return h;
}

struct hops *hops_new_response(struct sipd *d, const sip_via_t *via)
{
    const char *transport = sip_via_transport(via);
    struct locate_ask ask = { .host = via->v_host, .port = addr_port_of_text(via->v_port, 0) };
    struct hops *h;

    if (!transport || !via->v_host)
        return NULL;
    ask.transport = su_casematch(transport, "TLS") ? TRANSPORT_TLS : su_casematch(transport, "TCP") ? TRANSPORT_TCP : TRANSPORT_UDP;
    if (ask.transport == TRANSPORT_UDP && !su_casematch(transport, "UDP"))
        return NULL;
    h = hops_alloc(d);
    if (!h)
        return NULL;
    h->host = strdup(via->v_host);
    if (!h->host || !search(h, &ask)) {
        hops_free(&h);
        return NULL;
    }
    if (ask.transport != TRANSPORT_UDP && via->v_received && addr_from_host(&h->first.at, sv_of(via->v_received),
                                          ask.port ? ask.port : ask.transport == TRANSPORT_TLS ? 5061 : 5060))
        h->first.transport = ask.transport;
    return h;
}

void hops_free(struct hops **hp)
{
    struct hops *h = *hp;

    if (!h)
        return;
    *hp = NULL;
    list_remove(&h->offer_node);
    if (h->dial)
        flow_dial_cancel(h->dial);
    locate_free(&h->search);
    free(h->host);
    free(h);
}
