/* Next hops that are no clients of ours: a connection that is there, or a new one (RFC 4976 s.6.4.2).
 *
 * An endpoint is reached by the connection it has bound (M-CON-07), another relay by one on which both sides have
 * proven their names, whoever opened it (M-CON-14, M-TLS-02). A connection that is being opened queues what is for it
 * (M-CON-16). */
#include <stdio.h>
#include <stdlib.h>

#include "msrp/private.h"
#include "net/dial.h"
#include "net/tls.h"

enum {
    DIALS_PER_CONN = 8,   /* connections being opened at a time for the frames of one (M-SEC-05) */
    DIALS_PER_LINK = 128, /* ... of a relay, with many clients behind it */
    PORT_DISCARD = 9,     /* of an endpoint that will connect itself (RFC 6135 s.4.2) */
    AUTH_PORT = 2855,     /* of a relay that is named without one and has no SRV records (RFC 4976 s.8) */
};

static bool may_dial(void *arg, const struct addr *a)
{
    const struct relay_shared *s = arg;

    if (addr_port(a) == PORT_DISCARD || !conf_list_has_port(&relay_conf(s)->msrp.forward_ports, addr_port(a)))
        return false;
    if (relay_listens_on(s, a))
        return false;
    return reach_allows(&s->reach, a);
}

/* May one more be opened for what comes from there? If not, it pauses until there is one less. */
static bool may_wait_for(struct conn *origin)
{
    const struct msrp_conn *m = msrp_of(origin);

    if (m->n_dials < (m->relay_link ? DIALS_PER_LINK : DIALS_PER_CONN))
        return true;
    conn_pause(origin, CONN_PAUSE_ROUTE);
    return false;
}

/* origin: whose frame it is; NULL: ours. What fails on our side makes a next hop that is as one that has ended, so the
 * sender gets his 200 and a REPORT 408 (M-COD-01). */
static unsigned dial_peer(struct relay *relay, struct conn *origin, const struct msrp_uri *next, bool verify, const struct addr *from,
                          const char *key, struct conn_ref *dest)
{
    char host[MSRP_URI_MAX + 1];
    struct sv bare = next->host;
    struct dial_target target = {
        .host = host,
        .port = next->port_number,
        .service = "_msrps._tcp",
        .default_port = AUTH_PORT,
        .tls = next->secure,
        .verify = verify ? TLSIO_VERIFY_HOST : TLSIO_VERIFY_NONE,
        .timeout_ms = relay_conf(relay->shared)->msrp.connect_timeout * 1000,
        .from = from,
        .allow = may_dial,
        .allow_arg = relay->shared,
    };
    struct peer_entry *entry;
    struct msrp_conn *m;
    struct conn *c;

    *dest = (struct conn_ref){ .worker = relay->worker->index };
    if (relay->stopped || next->port_number == PORT_DISCARD) /* M-ACM-03: it has not come yet */
        return 200;
    if (next->port_number && !conf_list_has_port(&relay_conf(relay->shared)->msrp.forward_ports, next->port_number))
        return 403; /* M-SEC-02: need not be looked up; that of an SRV record is judged by may_dial() */
    if (origin && msrp_of(origin)->no_dial)
        return 408;
    if (origin && !may_wait_for(origin))
        return ROUTE_WAITS;
    if (bare.n > 2 && bare.p[0] == '[')
        bare = sv_make(bare.p + 1, bare.n - 2);
    if (!sv_copy(bare, host, sizeof host))
        return 400;
    entry = peer_entry_new(key, *dest);
    if (!entry)
        return 200;
    if (dial(&c, relay->worker, &target, &msrp_proto, relay, NULL) != 0) {
        free(entry);
        return 200;
    }
    if (c->doomed && c->close_reason == CLOSE_FORBIDDEN) { /* M-SEC-02; a name may be judged later, by hop_down() */
        c->proto = NULL;
        free(entry);
        return 403;
    }
    m = msrp_conn_new(relay, c);
    if (!m) {
        c->proto = NULL;
        free(entry);
        conn_close(c, CLOSE_NO_MEMORY);
        return 200;
    }
    m->peer = entry;
    if (origin) {
        m->dialled_for = conn_ref(origin);
        msrp_of(origin)->n_dials++;
    }
    entry->conn = conn_ref(c);
    /* Somebody else may have been faster; then this one closes for idleness, which costs little and happens rarely. */
    *dest = peer_enter(relay->shared->sessions, entry);
    return 200;
}

void peer_dialled(struct msrp_conn *m)
{
    struct conn *origin = conn_deref(m->relay->worker, m->dialled_for);

    m->dialled_for.id = 0;
    if (!origin)
        return;
    msrp_of(origin)->n_dials--;
    conn_resume(origin, CONN_PAUSE_ROUTE);
}

bool peer_is_there(const struct relay *relay, struct conn_ref ref)
{
    return ref.id && (ref.worker != relay->worker->index || conn_deref(relay->worker, ref));
}

static bool find(struct relay *relay, const char *key, struct conn_ref *dest)
{
    *dest = peer_find(relay->shared->sessions, key);
    return peer_is_there(relay, *dest);
}

unsigned peer_endpoint(struct relay *relay, struct conn *origin, struct session *u, const struct msrp_uri *uri, struct conn_ref *dest)
{
    bool verify = relay_conf(relay->shared)->msrp.endpoint_tls == ENDPOINT_TLS_VERIFY;
    char key[PEER_KEY_MAX];

    *dest = session_bound(u, uri);
    if (peer_is_there(relay, *dest))
        return 200;
    if (!sv_eq_nocase(uri->transport, SV("tcp")))
        return 481; /* nothing that could be dialled (M-URI-02, M-WS-07) */
    peer_key(key, sizeof key, uri, verify);
    return find(relay, key, dest) ? 200 : dial_peer(relay, origin, uri, verify, NULL, key, dest);
}

unsigned peer_address(struct relay *relay, struct conn *origin, const struct msrp_uri *uri, const struct addr *from, bool is_relay,
                      struct conn_ref *dest)
{
    bool verify = is_relay || relay_conf(relay->shared)->msrp.endpoint_tls == ENDPOINT_TLS_VERIFY;
    char key[PEER_KEY_MAX + ADDR_TEXT_MAX], text[ADDR_TEXT_MAX];
    size_t n;

    peer_key(key, PEER_KEY_MAX, uri, verify);
    n = strlen(key);
    if (from)
        snprintf(key + n, sizeof key - n, " %s", addr_host_text(from, text));
    return find(relay, key, dest) ? 200 : dial_peer(relay, origin, uri, verify, from, key, dest);
}

unsigned peer_relay(struct relay *relay, struct conn *origin, const struct msrp_uri *uri, struct conn_ref *dest)
{
    char key[PEER_KEY_MAX], link[PEER_KEY_MAX];
    struct addr literal;

    if (!uri->secure)
        return 403; /* M-TLS-06, M-AUTH-31 */
    if (uri->port_number == 0 && addr_from_host(&literal, uri->host, 0))
        return 400; /* M-DNS-04 */
    if (!sv_eq_nocase(uri->transport, SV("tcp")))
        return 481;
    peer_key(key, sizeof key, uri, true);
    peer_link_key(link, sizeof link, uri->host);
    if (find(relay, key, dest) || find(relay, link, dest))
        return 200;
    return dial_peer(relay, origin, uri, true, NULL, key, dest);
}

void peer_is_relay(struct relay *relay, struct conn *c, struct sv host)
{
    struct msrp_conn *m = msrp_of(c);
    char key[PEER_KEY_MAX];

    m->relay_link = true;
    if (m->peer)
        return; /* dialled, or known already */
    peer_link_key(key, sizeof key, host);
    m->peer = peer_entry_new(key, conn_ref(c));
    if (!m->peer)
        return; /* another one will be opened */
    peer_add(relay->shared->sessions, m->peer);
}

bool peer_other_link(struct relay *relay, const struct route *route, struct conn_ref *to)
{
    struct sv path = sv_from(route->report, SV("To-Path: ").n), first;
    struct msrp_uri uri;

    return route->from_relay && msrp_path_next(&path, &first) && msrp_uri_parse(&uri, first) &&
           peer_relay(relay, NULL, &uri, to) == 200 && to->id;
}
