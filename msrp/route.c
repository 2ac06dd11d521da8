/* Routes: may a request with these paths be forwarded, where to, and with which paths? (RFC 4976 s.6.4)
 *
 * The order of checks is that of M-FWD-*: our authority, a live token, then the direction. A request goes outward when
 * it comes from the token's owner, inward when its next URI is the owner's own; anything else would make an open relay.
 * The owner is a client, known by its connection, or another relay, known by its certificate (M-FWD-05). */
#include <stdlib.h>

#include "common/log.h"
#include "msrp/private.h"
#include "net/memory.h"
#include "net/tls.h"

enum { TRIM_ROUTES = 256 };

/* Its memory is counted with it: that is mostly its own. */
static int64_t route_bytes(const struct route *r)
{
    return (int64_t)(sizeof *r + sizeof *r->memory + r->text_n);
}

struct route *route_ref(struct route *r)
{
    __atomic_add_fetch(&r->refs, 1, __ATOMIC_RELAXED);
    return r;
}

void route_unref(struct relay *relay, struct route **rp)
{
    struct route *r = *rp;

    *rp = NULL;
    if (!r || __atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    relay->worker->held -= route_bytes(r);
    session_unref(&r->u1);
    session_unref(&r->u2);
    route_memory_unref(&r->memory);
    free(r);
}

uint64_t message_hash(struct sv message_id)
{
    return hash_bytes(message_id.p, message_id.n);
}

bool recent_has(const struct recent *r, uint64_t message)
{
    unsigned n = __atomic_load_n(&r->n, __ATOMIC_RELAXED);

    for (unsigned i = 0; i < TD_MIN(n, (unsigned)ROUTE_RECENT); i++)
        if (__atomic_load_n(&r->hash[i], __ATOMIC_RELAXED) == message)
            return true;
    return false;
}

bool recent_put(struct recent *r, uint64_t message)
{
    if (recent_has(r, message))
        return false;
    __atomic_store_n(&r->hash[__atomic_fetch_add(&r->n, 1, __ATOMIC_RELAXED) % ROUTE_RECENT], message,
                     __ATOMIC_RELAXED);
    return true;
}

struct route_memory *route_memory_new(void)
{
    struct route_memory *k = calloc(1, sizeof *k);

    if (k)
        k->refs = 1;
    return k;
}

struct route_memory *route_memory_ref(struct route_memory *k)
{
    __atomic_add_fetch(&k->refs, 1, __ATOMIC_RELAXED);
    return k;
}

void route_memory_unref(struct route_memory **kp)
{
    struct route_memory *k = *kp;

    *kp = NULL;
    if (k && __atomic_sub_fetch(&k->refs, 1, __ATOMIC_ACQ_REL) == 0)
        free(k);
}

void route_drop(struct relay *relay, struct msrp_conn *m, struct route *r)
{
    m->n_routes--;
    m->route_bytes -= r->text_n;
    if (m->last_route == r)
        m->last_route = NULL;
    list_remove(&r->conn_node);
    list_remove(&r->relay_node);
    hash_remove(&relay->routes, &r->node);
    route_unref(relay, &r);
}

void route_trim(struct relay *relay)
{
    for (int n = 0; n < TRIM_ROUTES && !list_is_empty(&relay->remembered); n++) {
        struct route *r = list_item(relay->remembered.next, struct route, relay_node);

        route_drop(relay, msrp_of(conn_deref(relay->worker, r->origin)), r);
    }
    if (!list_is_empty(&relay->remembered))
        loop_soon(relay->worker->loop); /* if it is still too much */
}

bool route_is_live(const struct route *r)
{
    return (!r->u1 || session_is_active(r->u1)) && (!r->u2 || session_is_active(r->u2));
}

struct session *route_target(const struct route *r)
{
    return r->u2 ? r->u2 : r->outward ? NULL : r->u1;
}

bool route_leads_on(const struct route *r)
{
    const struct session *to = route_target(r);

    return !to || session_is_active(to);
}

unsigned route_failure(const struct route *r)
{
    return TD_MAX(r->u1 ? session_refusal(r->u1) : 408, r->u2 ? session_refusal(r->u2) : 408);
}

bool route_is_good(const struct relay *relay, const struct route *r)
{
    if (!route_is_live(r) || (r->in_clear && relay_conf(relay->shared)->msrp.require_tls))
        return false;
    if (r->dest.worker == relay->worker->index)
        return conn_deref(relay->worker, r->dest) != NULL;
    return !r->via_peer || r->hops_ended == __atomic_load_n(&relay->shared->hops_ended, __ATOMIC_ACQUIRE);
}

static struct route *cached(struct relay *relay, struct conn *c, const struct msrp_head *h)
{
    struct msrp_conn *m = msrp_of(c);
    struct route *r = m->last_route;
    bool auth = h->method == MSRP_AUTH;
    struct hash_node *n;
    uint64_t hash;

    if (h->paths_known && r->auth == auth)
        return r;
    if (list_is_empty(&m->routes))
        return NULL;
    hash = hash_bytes(h->paths.p, h->paths.n) ^ c->id;
    for (n = hash_first(&relay->routes, hash); n; n = hash_next(n)) {
        r = TD_CONTAINER_OF(n, struct route, node);
        if (r->origin.id == c->id && r->auth == auth && sv_eq(r->raw.lines, h->paths))
            return r;
    }
    return NULL;
}

/* ---- making one ---- */

struct making {
    struct relay *relay;
    struct conn *c;
    const struct msrp_head *h;
    struct msrp_uri to[MSRP_PATH_MAX], from[MSRP_PATH_MAX];
    size_t n_to, n_from;
    struct session *u1, *u2; /* owned references until the route is made */
    bool outward, via_peer, in_clear;
    bool refused; /* by our own policy, later */
    const char *why; /* static: it goes nowhere; NULL: as its next hop may not be dialled */
    unsigned hops_ended; /* as it was before anything was looked up */
    struct conn_ref dest;
    struct route_memory *memory; /* owned reference until the route is made: that of the route before, which is good no more; NULL: there was none */
};

/* The connection on which a relay has proven to be the host of this URI (M-TLS-02, M-TLS-07). */
static bool is_relay(const struct conn *c, const struct msrp_uri *u)
{
    return c->tls && tlsio_peer_is(c->tls, u->host, TLSIO_VERIFY_HOST);
}

bool route_is_relay_link(const struct conn *c, struct sv from_path)
{
    struct msrp_uri u;
    struct sv first;

    return msrp_path_next(&from_path, &first) && msrp_uri_parse(&u, first) && is_relay(c, &u);
}

/* The session whose Use-Path URI is u, active: 200. Its owner is away: 408. Else 481. */
static unsigned token(struct session **out, struct relay *relay, const struct msrp_uri *u)
{
    struct session *s = u->session.n ? session_find(relay->shared->sessions, u->session) : NULL;
    unsigned status = 200;

    *out = s;
    if (!s || !msrp_uri_eq(&s->uri, u))
        status = 481;
    else if (!session_is_active(s))
        status = session_refusal(s);
    return status;
}

static unsigned refuse(struct making *k, unsigned status, const char *why)
{
    k->why = why;
    return status;
}

/* For what fails on our side: a next hop that is as one that has ended, so the sender gets his 200 and a REPORT 408
 * (M-COD-01). */
static struct conn_ref nowhere(const struct making *k)
{
    return (struct conn_ref){ .worker = k->relay->worker->index };
}

/* Where frames for the owner of a token go. */
static unsigned to_owner(struct making *k, const struct session *s)
{
    if (s->by_relay) {
        if (k->refused) {
            k->dest = nowhere(k);
            return 200;
        }
        k->via_peer = true;
        return peer_relay(k->relay, k->c, &s->client, &k->dest);
    }
    k->dest = s->owner;
    return 200;
}

static unsigned outward(struct making *k)
{
    const struct msrp_uri *next = &k->to[1];
    bool auth = k->h->method == MSRP_AUTH;
    unsigned status;

    k->in_clear = !conn_is_secure(k->c); /* its token is from a time when that was allowed */
    if (k->in_clear && relay_conf(k->relay->shared)->msrp.require_tls)
        return refuse(k, 403, "in the clear");
    if (k->u1->by_relay ? k->n_from > 1 && !is_relay(k->c, &k->from[0]) : k->n_from != 1)
        return refuse(k, 403, "a path through a relay that has not proven its name"); /* M-TLS-07 */
    if (k->u1->by_relay)
        peer_is_relay(k->relay, k->c, k->u1->client.host);
    if (!relay_is_us(k->relay, k->c, next, auth)) {
        if (k->refused) {
            k->dest = nowhere(k);
            return 200;
        }
        k->via_peer = true;
        if (auth || k->n_to > 2)
            return peer_relay(k->relay, k->c, next, &k->dest);
        status = peer_endpoint(k->relay, k->c, k->u1, next, &k->dest);
        if (status == 200 && k->dest.id && k->u1->uri.secure && !next->secure)
            session_add_call(k->u1, k->dest);
        return status;
    }
    status = token(&k->u2, k->relay, next);
    if (status == 481)
        return refuse(k, auth ? 403 : 481, "no such second token");
    if (!session_leads_to(k->u2, &k->to[2], k->n_to - 2)) /* M-FWD-12, M-FWD-13 */
        return refuse(k, 403, "the second token is another client's");
    if (status == 200)
        return to_owner(k, k->u2);
    k->dest = nowhere(k);
    return 200;
}

/* What is sent to that URI from now on goes where this came from (M-CON-07). Relays, too, speak for themselves in their
 * REPORTs, and an endpoint may have a certificate (M-TLS-09), so nobody with one is refused for a second connection. */
static unsigned bind_origin(struct making *k, bool relay_link)
{
    switch (session_bind(k->u1, &k->from[0], conn_ref(k->c), &msrp_of(k->c)->bindings)) {
    case BIND_NEW:
    case BIND_SAME:
        break;
    case BIND_OTHER:
        return relay_link ? 200 : refuse(k, 506, "its From-Path is bound to another connection"); /* M-CON-09 */
    case BIND_FULL:
        return relay_link ? 200 : refuse(k, 403, "too many endpoints of this token");
    case BIND_NO_MEMORY: /* an answer must find its own way */
    case BIND_GONE:      /* the session, just now */
        break;
    }
    return 200;
}

/* Have we dialled that endpoint, in the clear, and for this token? */
static bool is_called(const struct making *k)
{
    const struct peer_entry *peer = msrp_of(k->c)->peer;
    char key[PEER_KEY_MAX];

    peer_key(key, sizeof key, &k->from[0], false);
    return peer && strcmp(peer->key, key) == 0 && session_has_call(k->u1, k->c);
}

static unsigned inward(struct making *k)
{
    bool relay_link = is_relay(k->c, &k->from[0]);
    unsigned status = 200;

    if (!session_leads_to(k->u1, &k->to[1], k->n_to - 1))
        return refuse(k, 403, "neither from the owner of the token nor to him");
    if (k->n_from > 1 && !relay_link)
        return refuse(k, 403, "a path through a relay that has not proven its name"); /* M-TLS-02 */
    if (k->u1->uri.secure && !conn_is_secure(k->c) && !is_called(k)) { /* M-TLS-10 */
        if (relay_conf(k->relay->shared)->msrp.require_tls)
            return refuse(k, 403, "in the clear for a token of TLS");
        k->in_clear = true;
    }
    if (k->n_from > 1)
        peer_is_relay(k->relay, k->c, k->from[0].host);
    else
        status = bind_origin(k, relay_link);
    return status == 200 ? to_owner(k, k->u1) : status;
}

/* 200 or how to refuse; 0: close the connection. */
static unsigned judge(struct making *k)
{
    unsigned status;

    if (!relay_is_us(k->relay, k->c, &k->to[0], false))
        return 0;
    status = token(&k->u1, k->relay, &k->to[0]);
    if (status == 481)
        return refuse(k, status, "no such token");
    if (status == 408) { /* whoever asks, and for whatever: it passes (M-TOK-12) */
        k->dest = nowhere(k);
        return 200;
    }
    for (size_t i = 1; i < k->n_to; i++)
        if (msrp_uri_eq(&k->to[i], &k->to[0]))
            return refuse(k, 403, "the same token twice"); /* M-FWD-13 */
    k->outward = session_is_owner(k->u1, k->c);
    if (k->outward && !msrp_uri_eq(&k->to[1], &k->u1->client)) /* he himself is never dialled, as a relay neither (M-NAT-01) */
        return outward(k);
    k->outward = false;
    return inward(k);
}

static char *add(char *at, struct sv s)
{
    memcpy(at, s.p, s.n);
    return at + s.n;
}

static char *add_lines(struct sv *out, char *at, struct sv to, struct sv from1, struct sv from2, struct sv from3)
{
    char *begin = at;

    at = add(at, SV("To-Path: "));
    at = add(at, to);
    at = add(at, SV("\r\nFrom-Path: "));
    at = add(at, from1);
    if (from2.n) {
        at = add(at, SV(" "));
        at = add(at, from2);
    }
    if (from3.n) {
        at = add(at, SV(" "));
        at = add(at, from3);
    }
    at = add(at, SV("\r\n"));
    *out = sv_make(begin, (size_t)(at - begin));
    return at;
}

/* All lines but the first two. */
static void add_answers(struct route *r, char *at, const struct msrp_head *h, struct sv from1, struct sv u1, struct sv u2)
{
    const struct sv none = { 0 };

    at = add_lines(&r->answer, at, from1, u1, none, none);
    at = add_lines(&r->full_answer, at, h->from_path, u1, none, none);
    at = add_lines(&r->end_to_end, at, h->from_path, h->to_path, none, none);
    add_lines(&r->report, at, h->from_path, u1, u2, none);
}

/* The last URI of a path. */
static struct sv last_of(struct sv path)
{
    size_t n = path.n;

    while (n && path.p[n - 1] != ' ')
        n--;
    return sv_from(path, n);
}

/* memory: an owned reference; NULL: it gets a new one. */
static struct route *new_route(struct conn *c, const struct msrp_head *h, struct conn_ref dest, unsigned hops_ended, struct route_memory *memory,
                               size_t text)
{
    struct route *r = calloc(1, sizeof *r + text);

    if (r)
        r->memory = memory ? memory : route_memory_new();
    if (!r || !r->memory) {
        free(r);
        route_memory_unref(&memory);
        return NULL;
    }
    r->refs = 1;
    r->text_n = text;
    r->origin = conn_ref(c);
    r->dest = dest;
    r->hops_ended = hops_ended;
    r->auth = h->method == MSRP_AUTH;
    list_init(&r->conn_node);
    list_init(&r->relay_node);
    list_init(&r->held_node);
    c->worker->held += route_bytes(r); /* until it is freed, be that by another worker */
    r->raw.lines = sv_make(r->text, h->paths.n);
    r->raw.to = sv_make(r->text + (h->to_path.p - h->paths.p), h->to_path.n);
    r->raw.from = sv_make(r->text + (h->from_path.p - h->paths.p), h->from_path.n);
    add(r->text, h->paths);
    return r;
}

struct route *route_of_script(struct conn *c, const struct msrp_head *h, const struct route_paths *p, struct conn_ref dest, unsigned hops_ended,
                              struct route_memory *memory)
{
    struct sv to = h->to_path, from = h->from_path, u1, from1;
    size_t text = 5 * (h->paths.n + 64) + p->to.n + p->from1.n + p->from2.n + 64;
    struct route *r = msrp_path_next(&to, &u1) && msrp_path_next(&from, &from1) ? new_route(c, h, dest, hops_ended, route_memory_ref(memory), text) : NULL;
    struct sv ours = sv_upto(p->from1, sv_find(p->from1, ' '));
    char *at;

    if (!r)
        return NULL;
    r->outward = r->via_peer = true;
    at = add_lines(&r->out, r->text + r->raw.lines.n, p->to, p->from1, p->from2, sv_make(NULL, 0));
    add_answers(r, at, h, from1, u1, p->second);
    r->ours = sv_make(r->out.p + 9 + p->to.n + 2 + 11, ours.n);
    r->to_uri = last_of(sv_make(r->out.p + 9, p->to.n));
    r->from_uri = last_of(sv_make(r->full_answer.p + 9, h->from_path.n));
    return r;
}

static struct route *build(struct making *k)
{
    const struct msrp_head *h = k->h;
    const struct sv none = { 0 };
    size_t text = 6 * (h->paths.n + 64);
    struct route *r = new_route(k->c, h, k->dest, k->hops_ended, k->memory, text);
    size_t skip = k->u2 ? 2 : 1;
    struct sv rest, u1 = k->to[0].text, u2 = k->u2 ? k->to[1].text : none;
    char *at;

    k->memory = NULL;
    if (!r)
        return NULL;
    r->u1 = k->u1;
    r->u2 = k->u2;
    k->u1 = k->u2 = NULL;
    r->outward = k->outward;
    r->from_relay = k->n_from > 1;
    r->via_peer = k->via_peer;
    r->in_clear = k->in_clear;
    rest = sv_make(k->to[skip].text.p, (size_t)(h->to_path.p + h->to_path.n - k->to[skip].text.p));
    at = add_lines(&r->out, r->text + r->raw.lines.n, rest, u2.n ? u2 : u1, u2.n ? u1 : h->from_path, u2.n ? h->from_path : none);
    r->ours = sv_make(r->out.p + 9 + rest.n + 2 + 11, u2.n ? u2.n : u1.n);
    add_answers(r, at, h, k->from[0].text, u1, u2);
    /* the two ends, found in the lines above so that they live as long */
    r->to_uri = sv_make(r->out.p + 9 + rest.n - k->to[k->n_to - 1].text.n, k->to[k->n_to - 1].text.n);
    r->from_uri = sv_make(r->full_answer.p + 9 + h->from_path.n - k->from[k->n_from - 1].text.n, k->from[k->n_from - 1].text.n);
    return r;
}

static void remember(struct relay *relay, struct conn *c, struct route *r)
{
    struct msrp_conn *m = msrp_of(c);
    uint64_t last;

    while (m->n_routes >= ROUTES_PER_CONN || (m->n_routes && m->route_bytes + r->text_n > ROUTE_BYTES_PER_CONN))
        route_drop(relay, m, list_item(m->routes.next, struct route, conn_node));
    last = m->n_routes ? list_item(m->routes.prev, struct route, conn_node)->dest.id : 0;
    m->shared |= last && r->dest.id && last != r->dest.id;
    m->n_routes++;
    m->route_bytes += r->text_n;
    list_append(&relay->remembered, &r->relay_node);
    memory_settle(relay->worker); /* there may be many in a turn */
    if (r->dest.id)
        list_append(&m->routes, &r->conn_node);
    else
        list_prepend(&m->routes, &r->conn_node); /* it leads nowhere: the first to go, and no next hop to compare with */
    hash_insert(&relay->routes, &r->node, hash_bytes(r->raw.lines.p, r->raw.lines.n) ^ c->id);
}

/* Is it going to be refused by our own policy? The octets are counted where that can make the difference. */
static bool is_refused(const struct making *k, struct sv body)
{
    static const struct recent none;
    const struct conf *conf = relay_conf(k->relay->shared);
    size_t n = k->h->has_body && conf->msrp.max_message ? msrp_body_scan(body.p, body.n, k->h->tid, true).n : 0;

    return policy_of_frame(conf, k->memory ? &k->memory->stopped : &none, k->h, n) != 200;
}

struct route *route_of(struct relay *relay, struct conn *c, const struct msrp_head *h, struct sv body, unsigned *status)
{
    struct msrp_conn *m = msrp_of(c);
    struct route *r = cached(relay, c, h);
    struct making k;

    if (TD_LIKELY(r && route_is_good(relay, r))) {
        m->last_route = r;
        return r;
    }
    if (TD_UNLIKELY(relay->worker->crowded) && h->paths.n > CHUNK_MIN) {
        memory_wait(c); /* as other bulk does */
        *status = ROUTE_WAITS;
        return NULL;
    }
    memset(&k, 0, sizeof k);
    if (r) { /* the way is another one from now on, the messages are the same */
        k.memory = route_memory_ref(r->memory);
        route_drop(relay, m, r);
    }
    k.relay = relay;
    k.hops_ended = __atomic_load_n(&relay->shared->hops_ended, __ATOMIC_ACQUIRE);
    k.c = c;
    k.h = h;
    k.n_to = msrp_path_parse(h->to_path, k.to, MSRP_PATH_MAX);
    k.n_from = msrp_path_parse(h->from_path, k.from, MSRP_PATH_MAX);
    r = NULL;
    if (k.n_to < 2 || k.n_from == 0 || !msrp_path_has_ports(k.from, k.n_from) ||
        (h->method != MSRP_AUTH && !msrp_path_has_ports(k.to + 1, k.n_to - 1))) { /* M-DNS-02; to[0] is ours, with its port, or not for us */
        *status = refuse(&k, 400, "what is no URI in a path, or has no port");
    } else {
        k.refused = is_refused(&k, body);
        *status = judge(&k);
        if (*status == 200) {
            r = build(&k);
            if (!r)
                *status = refuse(&k, 408, "out of memory");
        }
    }
    if (!r && *status > ROUTE_WAITS)
        log_debug("msrp", c->id, "not forwarded: status=%u reason=%s", *status, k.why ? k.why : "the next hop is not to be dialled");
    session_unref(&k.u1);
    session_unref(&k.u2);
    route_memory_unref(&k.memory);
    if (r) {
        remember(relay, c, r);
        m->last_route = r;
    }
    return r;
}
