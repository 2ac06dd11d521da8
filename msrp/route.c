/* Routes: may a request with these paths be forwarded, where to, and with which paths? (RFC 4976 s.6.4)
 *
 * The order of checks is that of M-FWD-*: our authority, a live token, then the direction. A request goes outward when it
 * comes on the connection of the token's owner, inward when its next URI is the owner's own; anything else would make an open relay. */
#include <stdlib.h>

#include "common/log.h"
#include "msrp/private.h"
#include "net/dial.h"
#include "net/tls.h"

struct route *route_ref(struct route *r)
{
    __atomic_add_fetch(&r->refs, 1, __ATOMIC_RELAXED);
    return r;
}

void route_unref(struct route **rp)
{
    struct route *r = *rp;

    *rp = NULL;
    if (!r || __atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    session_unref(&r->u1);
    session_unref(&r->u2);
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

void route_drop(struct relay *relay, struct msrp_conn *m, struct route *r)
{
    m->n_routes--;
    m->route_bytes -= r->text_n;
    if (m->last_route == r)
        m->last_route = NULL;
    list_remove(&r->conn_node);
    hash_remove(&relay->routes, &r->node);
    route_unref(&r);
}

bool route_is_live(const struct route *r)
{
    return session_is_active(r->u1) && (!r->u2 || session_is_active(r->u2));
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
    return TD_MAX(session_refusal(r->u1), r->u2 ? session_refusal(r->u2) : 408);
}

/* Still good for new frames? */
static bool is_good(const struct relay *relay, const struct route *r)
{
    if (!route_is_live(r))
        return false;
    if (r->dest.worker == relay->worker->index)
        return conn_deref(relay->worker, r->dest) != NULL;
    return !r->outward || r->u2 || r->hops_ended == __atomic_load_n(&relay->shared->hops_ended, __ATOMIC_ACQUIRE);
}

static struct route *cached(struct relay *relay, struct conn *c, struct sv raw, bool auth)
{
    struct msrp_conn *m = msrp_of(c);
    struct route *r = m->last_route;
    struct hash_node *n;
    uint64_t hash;

    if (r && r->auth == auth && sv_eq(r->raw, raw))
        return r;
    if (list_is_empty(&m->routes))
        return NULL;
    hash = hash_bytes(raw.p, raw.n) ^ c->id;
    for (n = hash_first(&relay->routes, hash); n; n = hash_next(n)) {
        r = TD_CONTAINER_OF(n, struct route, node);
        if (r->origin.id == c->id && r->auth == auth && sv_eq(r->raw, raw))
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
    bool outward;
    unsigned hops_ended; /* as it was before anything was looked up */
    struct conn_ref dest;
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

static bool may_dial(void *arg, const struct addr *a)
{
    const struct relay_shared *s = arg;

    for (size_t i = 0; i < s->n_forward_cidrs; i++)
        if (cidr_has(&s->forward_cidrs[i], a))
            return true;
    switch (addr_kind(a)) {
    case ADDR_PUBLIC:
        return s->forward_public;
    case ADDR_PRIVATE:
        return s->forward_private;
    case ADDR_LOOPBACK:
        return s->forward_loopback;
    case ADDR_NEVER:
        break;
    }
    return false;
}

/* For what fails on our side: a next hop that is as one that has ended, so the sender gets his 200 and a REPORT 408 (M-COD-01). */
static struct conn_ref nowhere(const struct making *k)
{
    return (struct conn_ref){ .worker = k->relay->worker->index };
}

static unsigned dial_peer(struct making *k, const struct msrp_uri *next, bool verify, const char *key)
{
    const struct conf *conf = relay_conf(k->relay->shared);
    char host[MSRP_URI_MAX + 1];
    struct sv bare = next->host;
    struct dial_target target = {
        .host = host,
        .port = next->port_number,
        .tls = next->secure,
        .verify = verify,
        .timeout_ms = conf->msrp.connect_timeout * 1000,
        .allow = may_dial,
        .allow_arg = k->relay->shared,
    };
    struct peer_entry *entry;
    struct msrp_conn *m, *origin = msrp_of(k->c);
    struct conn *c;

    if (origin->no_dial)
        return 408;
    if (origin->n_dials >= DIALS_PER_CONN) {
        conn_pause(k->c, CONN_PAUSE_ROUTE);
        return ROUTE_WAITS;
    }
    if (bare.n > 2 && bare.p[0] == '[')
        bare = sv_make(bare.p + 1, bare.n - 2);
    if (!sv_copy(bare, host, sizeof host))
        return 400;
    entry = calloc(1, sizeof *entry);
    k->dest = nowhere(k);
    if (!entry)
        return 200;
    if (dial(&c, k->relay->worker, &target, &msrp_proto, k->relay, NULL) != 0) {
        free(entry);
        return 200;
    }
    if (c->doomed && c->close_reason == CLOSE_FORBIDDEN) { /* M-SEC-02; a name may be judged later, by hop_down() */
        c->proto = NULL;
        free(entry);
        return 403;
    }
    m = msrp_conn_new(k->relay, c);
    if (!m) {
        c->proto = NULL;
        free(entry);
        conn_close(c, CLOSE_NO_MEMORY);
        return 200;
    }
    m->peer = entry;
    m->dialled_for = conn_ref(k->c);
    origin->n_dials++;
    memcpy(entry->key, key, strlen(key) + 1);
    entry->conn = conn_ref(c);
    /* Somebody else may have been faster; then this one closes for idleness, which costs little and happens rarely. */
    k->dest = peer_enter(k->relay->shared->sessions, entry);
    return 200;
}

void route_dialled(struct msrp_conn *m)
{
    struct conn *origin = conn_deref(m->relay->worker, m->dialled_for);

    m->dialled_for.id = 0;
    if (!origin)
        return;
    msrp_of(origin)->n_dials--;
    conn_resume(origin, CONN_PAUSE_ROUTE);
}

/* Outward, to something that is not one of our clients: a bound connection, one dialled before, a new one. */
static unsigned find_peer(struct making *k)
{
    const struct msrp_uri *next = &k->to[1];
    bool to_relay = k->n_to > 2 || k->h->method == MSRP_AUTH;
    char key[sizeof((struct peer_entry *)0)->key];
    bool verify;

    if (!to_relay) {
        k->dest = session_bound(k->u1, next);
        if (k->dest.id && (k->dest.worker != k->relay->worker->index || conn_deref(k->relay->worker, k->dest)))
            return 200;
    } else if (!next->secure) {
        return 403; /* M-TLS-06 */
    }
    if (next->port_number == 0)
        return 400; /* M-DNS-02 */
    if (!sv_eq_nocase(next->transport, SV("tcp")))
        return 481; /* nothing that could be dialled (M-URI-02, M-WS-07) */
    verify = to_relay || relay_conf(k->relay->shared)->msrp.endpoint_tls == ENDPOINT_TLS_VERIFY;
    peer_key(key, sizeof key, next, verify);
    k->dest = peer_find(k->relay->shared->sessions, key);
    if (k->dest.id && (k->dest.worker != k->relay->worker->index || conn_deref(k->relay->worker, k->dest)))
        return 200;
    return dial_peer(k, next, verify, key);
}

static unsigned outward(struct making *k)
{
    unsigned status;

    if (k->n_from != 1)
        return 403;
    if (!relay_is_us(k->relay, k->c, &k->to[1], false))
        return find_peer(k);
    status = token(&k->u2, k->relay, &k->to[1]);
    if (status == 481)
        return status;
    if (k->u2 == k->u1 || !session_leads_to(k->u2, &k->to[2], k->n_to - 2)) /* M-FWD-12, M-FWD-13 */
        return 403;
    k->dest = status == 408 ? nowhere(k) : k->u2->owner;
    return 200;
}

static unsigned inward(struct making *k)
{
    bool relay_link = is_relay(k->c, &k->from[0]);

    if (!session_leads_to(k->u1, &k->to[1], k->n_to - 1))
        return 403;
    if (k->n_from > 1 && !relay_link)
        return 403; /* M-TLS-02 */
    if (k->u1->uri.secure && !k->c->tls && relay_conf(k->relay->shared)->msrp.require_tls) {
        char key[sizeof((struct peer_entry *)0)->key];
        const struct peer_entry *peer = msrp_of(k->c)->peer; /* M-TLS-10: only if we dialled that endpoint */

        peer_key(key, sizeof key, &k->from[0], false);
        if (!peer || strcmp(peer->key, key) != 0)
            return 403;
    }
    if (!relay_link) {
        struct msrp_conn *m = msrp_of(k->c);

        switch (session_bind(k->u1, &k->from[0], conn_ref(k->c), &m->bindings)) {
        case BIND_NEW:
        case BIND_SAME:
            break;
        case BIND_OTHER:
            return 506; /* M-CON-09 */
        case BIND_FULL:
            return 403;
        case BIND_NO_MEMORY:
        case BIND_GONE: /* just now */
            k->dest = nowhere(k);
            return 200;
        }
    }
    k->dest = k->u1->owner;
    return 200;
}

/* 200 or how to refuse; 0: close the connection. */
static unsigned judge(struct making *k)
{
    unsigned status;

    if (!relay_is_us(k->relay, k->c, &k->to[0], false))
        return 0;
    status = token(&k->u1, k->relay, &k->to[0]);
    if (status == 481)
        return status;
    if (status == 408) { /* whoever asks, and for whatever: it passes (M-TOK-12) */
        k->dest = nowhere(k);
        return 200;
    }
    k->outward = session_is_owner(k->u1, k->c);
    if (k->outward && !session_leads_to(k->u1, &k->to[1], k->n_to - 1))
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

static struct route *build(struct making *k)
{
    const struct msrp_head *h = k->h;
    const struct sv none = { 0 };
    size_t text = 6 * (h->paths.n + 64);
    struct route *r = calloc(1, sizeof *r + text);
    size_t skip = k->u2 ? 2 : 1;
    struct sv rest, u1 = k->to[0].text, u2 = k->u2 ? k->to[1].text : none;
    char *at;

    if (!r)
        return NULL;
    r->refs = 1;
    r->text_n = text;
    r->origin = conn_ref(k->c);
    r->dest = k->dest;
    r->hops_ended = k->hops_ended;
    r->u1 = k->u1;
    r->u2 = k->u2;
    k->u1 = k->u2 = NULL;
    r->outward = k->outward;
    r->auth = h->method == MSRP_AUTH;
    list_init(&r->conn_node);

    at = r->text;
    r->raw = sv_make(at, h->paths.n);
    at = add(at, h->paths);
    rest = sv_make(k->to[skip].text.p, (size_t)(h->to_path.p + h->to_path.n - k->to[skip].text.p));
    at = add_lines(&r->out, at, rest, u2.n ? u2 : u1, u2.n ? u1 : h->from_path, u2.n ? h->from_path : none);
    r->ours = sv_make(r->out.p + 9 + rest.n + 2 + 11, u2.n ? u2.n : u1.n);
    at = add_lines(&r->answer, at, k->from[0].text, u1, none, none);
    at = add_lines(&r->full_answer, at, h->from_path, u1, none, none);
    at = add_lines(&r->end_to_end, at, h->from_path, h->to_path, none, none);
    add_lines(&r->report, at, h->from_path, u1, u2, none);
    /* the two ends, found in the lines above so that they live as long */
    r->to_uri = sv_make(r->out.p + 9 + rest.n - k->to[k->n_to - 1].text.n, k->to[k->n_to - 1].text.n);
    r->from_uri = sv_make(r->full_answer.p + 9 + h->from_path.n - k->from[k->n_from - 1].text.n, k->from[k->n_from - 1].text.n);
    return r;
}

static void remember(struct relay *relay, struct conn *c, struct route *r)
{
    struct msrp_conn *m = msrp_of(c);

    while (m->n_routes >= ROUTES_PER_CONN || (m->n_routes && m->route_bytes + r->text_n > ROUTE_BYTES_PER_CONN))
        route_drop(relay, m, list_item(m->routes.next, struct route, conn_node));
    m->shared = m->n_routes && (m->shared || list_item(m->routes.prev, struct route, conn_node)->dest.id != r->dest.id);
    m->n_routes++;
    m->route_bytes += r->text_n;
    list_append(&m->routes, &r->conn_node);
    hash_insert(&relay->routes, &r->node, hash_bytes(r->raw.p, r->raw.n) ^ c->id);
}

struct route *route_of(struct relay *relay, struct conn *c, const struct msrp_head *h, unsigned *status)
{
    struct msrp_conn *m = msrp_of(c);
    struct route *r = cached(relay, c, h->paths, h->method == MSRP_AUTH);
    struct making k;

    if (TD_LIKELY(r != NULL)) {
        if (TD_LIKELY(is_good(relay, r))) {
            m->last_route = r;
            return r;
        }
        route_drop(relay, m, r);
    }
    memset(&k, 0, sizeof k);
    k.relay = relay;
    k.hops_ended = __atomic_load_n(&relay->shared->hops_ended, __ATOMIC_ACQUIRE);
    k.c = c;
    k.h = h;
    k.n_to = msrp_path_parse(h->to_path, k.to, MSRP_PATH_MAX);
    k.n_from = msrp_path_parse(h->from_path, k.from, MSRP_PATH_MAX);
    r = NULL;
    if (k.n_to < 2 || k.n_from == 0) {
        *status = 400;
    } else {
        *status = judge(&k);
        if (*status == 200) {
            r = build(&k);
            if (!r)
                *status = 408;
        }
    }
    session_unref(&k.u1);
    session_unref(&k.u2);
    if (r) {
        remember(relay, c, r);
        m->last_route = r;
    }
    return r;
}
