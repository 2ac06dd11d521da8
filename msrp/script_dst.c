/* Where a script sends frames itself: KSR.msrp.set_dst() and forward().
 *
 * Such a way needs no token, as it is the script's to know who may use it. What holds in spite of scripts: addresses
 * that must not be dialled (M-SEC-02), how many connections are opened for whom (M-SEC-05), and that what waits for one
 * is bounded (M-CON-16). Connections are found by the address of their peer, which is what $msrp(srcaddr) says of
 * them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "msrp/script_private.h"

enum { AT_MAX = ADDR_TEXT_MAX * 2 + 32, SOCKET_MAX = ADDR_TEXT_MAX + 8 };

/* ---- connections by address ---- */

static void at_key(char out[AT_MAX], bool secure, const struct addr *peer, const struct addr *local)
{
    char a[ADDR_TEXT_MAX], b[ADDR_TEXT_MAX];

    snprintf(out, AT_MAX, "at %s %s %s", secure ? "msrps" : "msrp", addr_text(peer, a), local ? addr_text(local, b) : "");
}

static void id_key(char out[AT_MAX], uint64_t id)
{
    snprintf(out, AT_MAX, "id %" PRIu64, id);
}

static struct peer_entry *enter(struct msrp_conn *m, const char *key)
{
    struct peer_entry *e = peer_entry_new(key, conn_ref(m->conn));

    if (e)
        peer_add(m->relay->shared->sessions, e);
    return e;
}

void dst_enter(struct msrp_conn *m)
{
    char key[AT_MAX];

    at_key(key, conn_is_tls(m->conn), &m->conn->peer, NULL);
    m->orders->at = enter(m, key);
    at_key(key, conn_is_tls(m->conn), &m->conn->peer, &m->conn->local);
    m->orders->at_socket = enter(m, key);
    id_key(key, m->conn->id);
    m->orders->at_id = enter(m, key);
}

static void leave(struct msrp_conn *m, struct peer_entry **e)
{
    if (*e)
        peer_leave(m->relay->shared->sessions, *e);
    free(*e);
    *e = NULL;
}

void dst_leave(struct msrp_conn *m)
{
    leave(m, &m->orders->at);
    leave(m, &m->orders->at_socket);
    leave(m, &m->orders->at_id);
    route_unref(m->relay, &m->orders->sent);
    route_memory_unref(&m->orders->memory);
    buf_fini(&m->orders->sent_for);
    buf_fini(&m->orders->dst);
}

void ksr_conid_alive(struct script_call *c)
{
    const struct relay *relay = event_of(c)->m->relay;
    char key[AT_MAX];

    id_key(key, (uint64_t)c->arg[0].i);
    script_return(c, peer_is_there(relay, peer_find(relay->shared->sessions, key)) ? 1 : -1);
}

/* ---- set_dst ---- */

/* The URI that was set; its text is in o->dst, and behind it the socket. */
static bool dst_uri(const struct orders *o, struct msrp_uri *u, struct sv *socket)
{
    struct sv text = buf_sv(&o->dst), uri = sv_upto(text, sv_find(text, ' '));

    *socket = sv_from(text, uri.n + 1);
    return o->dst.n && msrp_uri_parse(u, uri);
}

void ksr_set_dst(struct script_call *c)
{
    struct frame_event *e = event_of(c);
    struct sv addr = c->arg[0].s, socket = c->arg[1].s;
    struct buf *dst = &e->o->dst;
    struct msrp_uri u;

    buf_clear(dst);
    if (addr.n <= MSRP_URI_MAX && socket.n < SOCKET_MAX) {
        buf_add_sv(dst, addr);
        if (!msrp_uri_parse(&u, addr)) /* $msrp(srcaddr) names no transport */
            buf_puts(dst, ";tcp");
        buf_putc(dst, ' ');
        buf_add_sv(dst, socket);
    }
    if (!dst_uri(e->o, &u, &socket) || !u.port_number || buf_failed(dst))
        buf_clear(dst);
    script_return(c, dst->n ? 1 : -1);
}

/* proto:ADDRESS:PORT. */
static bool parse_socket(struct sv text, struct addr *out)
{
    struct sv proto = sv_upto(text, sv_find(text, ':'));

    return (sv_eq_nocase(proto, SV("tcp")) || sv_eq_nocase(proto, SV("tls"))) && addr_from_text(out, sv_from(text, proto.n + 1));
}

/* 200 and where, or how to refuse. */
static unsigned find(struct frame_event *e, const struct msrp_uri *u, struct sv socket_text, bool is_relay, struct conn_ref *dest)
{
    struct relay *relay = e->m->relay;
    struct addr peer, socket;
    bool has_socket = parse_socket(socket_text, &socket), ours = has_socket && relay_listens_on(relay->shared, &socket);
    bool literal = addr_from_host(&peer, u->host, u->port_number);
    char key[AT_MAX];
    unsigned status;

    if (!sv_eq_nocase(u->transport, SV("tcp")))
        return 481;
    for (int i = has_socket ? 0 : 1; literal && i < 2; i++) { /* with the socket, and, when there is none like it, without */
        at_key(key, u->secure, &peer, i == 0 ? &socket : NULL);
        *dest = peer_find(relay->shared->sessions, key);
        if (peer_is_there(relay, *dest))
            return 200;
        if (i == 0 && ours)
            break;
    }
    e->m->no_dial = e->relay_flags & FLAG_NO_CONNECT;
    status = peer_address(relay, e->m->conn, u, ours ? &socket : NULL, is_relay, dest);
    e->m->no_dial = false;
    return status;
}

/* ---- ways ---- */

/* The last one is good for this frame, too. */
static bool is_same(const struct frame_event *e)
{
    const struct orders *o = e->o;

    return o->sent && sv_eq(o->sent->raw.lines, e->h->paths) && o->sent->auth == (e->h->method == MSRP_AUTH) &&
           sv_eq(buf_sv(&o->sent_for), buf_sv(&o->dst)) && route_is_good(e->m->relay, o->sent);
}

static void remember(struct frame_event *e, struct route *r)
{
    struct orders *o = e->o;

    if (o->sent && o->sent->dest.id != r->dest.id)
        e->m->shared = true;
    route_unref(e->m->relay, &o->sent);
    buf_clear(&o->sent_for);
    buf_add_sv(&o->sent_for, buf_sv(&o->dst));
    if (!buf_failed(&o->sent_for))
        o->sent = route_ref(r);
}

/* Will our own policy refuse it? The octets are counted where that can make the difference. */
static bool is_refused(struct frame_event *e)
{
    static const struct recent none;
    const struct conf *conf = relay_conf(e->m->relay->shared);

    return policy_of_frame(conf, e->o->memory ? &e->o->memory->stopped : &none, e->h, conf->msrp.max_message ? event_body(e).n : 0) != 200;
}

static unsigned find_way(struct frame_event *e, const struct msrp_uri *u, struct sv socket, const struct route_paths *paths, bool keep)
{
    unsigned hops_ended = __atomic_load_n(&e->m->relay->shared->hops_ended, __ATOMIC_ACQUIRE);
    struct conn_ref dest = { .worker = e->m->relay->worker->index };
    bool is_relay = sv_find(paths->to, ' ') < paths->to.n;
    /* what our own policy will refuse gets a route that leads nowhere */
    unsigned status = is_refused(e) ? 200 : find(e, u, socket, is_relay, &dest);

    route_unref(e->m->relay, &e->route);
    if (status != 200) {
        e->waits |= status == ROUTE_WAITS;
        return status;
    }
    if (!e->o->memory)
        e->o->memory = route_memory_new();
    e->route = e->o->memory ? route_of_script(e->m->conn, event_head(e), paths, dest, hops_ended, e->o->memory) : NULL;
    if (!e->route)
        return 408;
    if (keep)
        remember(e, e->route);
    return 200;
}

unsigned dst_look_up(struct frame_event *e)
{
    struct route_paths paths = { 0 };
    struct msrp_uri u;
    struct sv socket;

    if (!e->outer && is_same(e)) {
        route_unref(e->m->relay, &e->route);
        e->route = route_ref(e->o->sent);
        return 200;
    }
    event_paths(e);
    if (e->n_to < 2 || !e->n_from || !dst_uri(e->o, &u, &socket))
        return 400;
    paths.to = sv_from(e->h->to_path, (size_t)(e->paths->to[1].text.p - e->h->to_path.p));
    paths.from1 = e->paths->to[0].text;
    paths.from2 = e->h->from_path;
    if (e->outer)
        paths.second = paths.from1;
    return find_way(e, &u, socket, &paths, !e->outer);
}

/* From-Path with two URIs in front of what it was, the nearer of which is the one that the request came to: as if two
 * relays had been there. */
static struct sv second_of(const struct frame_event *e, struct sv fpath)
{
    struct sv first = sv_upto(fpath, sv_find(fpath, ' ')), rest = sv_from(fpath, first.n + 1), own = e->paths->to[0].text;

    if (sv_starts(rest, own) && sv_eq(sv_from(rest, own.n + 1), e->h->from_path) && rest.n > own.n && rest.p[own.n] == ' ')
        return first;
    return (struct sv){ 0 };
}

void ksr_forward(struct script_call *c)
{
    struct frame_event *e = event_of(c);
    struct sv tpath = c->arg[0].s, fpath = c->arg[1].s, socket = SV("");
    struct msrp_uri to[MSRP_PATH_MAX], from[MSRP_PATH_MAX], u;
    struct route_paths paths = { 0 };
    bool set;

    script_return(c, -1);
    if (e->h->is_response || e->relayed || e->acted || e->report || e->to_us || e->outer)
        return;
    event_paths(e);
    if (!e->n_to || !e->n_from)
        return;
    set = dst_uri(e->o, &u, &socket);
    if (tpath.n ? !msrp_path_parse(tpath, to, MSRP_PATH_MAX) : !set) {
        return;
    } else if (!set) {
        u = to[0];
        if (!u.port_number)
            return;
    }
    if (fpath.n && !msrp_path_parse(fpath, from, MSRP_PATH_MAX))
        return;
    paths.to = tpath.n ? tpath : e->h->to_path;
    paths.from1 = fpath.n ? fpath : tpath.n ? e->h->to_path : e->h->from_path;
    paths.second = second_of(e, fpath);
    e->failed = find_way(e, &u, socket, &paths, false);
    if (e->failed != 200)
        return;
    e->failed = 0;
    e->relayed = true;
    script_return(c, 1);
}
