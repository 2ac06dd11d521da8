/* The sessions of this relay, from an AUTH to their end: given, renewed, left behind by their connection, resumed on
 * another one or after a restart, kicked (RFC 4976 s.5.1, s.6.3; M-TOK-05, M-TOK-09, M-TOK-12).
 *
 * A connection that ends leaves its sessions detached. Their owner, who proves with a digest that he is the same user,
 * takes them up again from the same From-Path URI on another connection; he may do so while the relay still believes in
 * the old one, as a client whose address has changed knows earlier than its relay. From then on the old connection is a
 * stranger's. */
#include <stdlib.h>

#include "common/err.h"
#include "msrp/private.h"
#include "net/idle.h"

enum { SESSION_BYTES = sizeof(struct session) + 256 /* for its texts */ };

static void on_session_end(struct session *s, enum session_state how)
{
    struct relay *relay = s->on_end_arg;
    const struct relay_observer *o = relay->shared->observer;
    struct conn *c = conn_deref(relay->worker, s->owner);
    struct msrp_conn *m = c ? msrp_of(c) : NULL;
    bool used = !list_is_empty(&s->changed_node);

    list_remove(&s->changed_node);
    stats_add(&relay->worker->stats, STAT_sessions, -1);
    relay->worker->held -= SESSION_BYTES;
    if (o && used && o->session_used && how != SESSION_MOVED)
        o->session_used(relay->worker, s);
    if (o && o->session_ended && how != SESSION_MOVED)
        o->session_ended(relay->worker, s, how);
    if (!m)
        return;
    if (--m->n_sessions == 0)
        idle_add(c);
    hop_session_ended(m, s);
    if (how == SESSION_MOVED && list_is_empty(&m->sessions) && list_is_empty(&m->bindings) && !m->peer && !m->auth)
        conn_finish(c, CLOSE_MOVED); /* nothing else lives on it */
}

void token_begin(struct relay *relay, struct msrp_conn *m, struct session *s)
{
    const struct relay_observer *o = relay->shared->observer;

    s->on_end = on_session_end;
    s->on_end_arg = relay;
    stats_add(&relay->worker->stats, STAT_sessions, 1);
    relay->worker->held += SESSION_BYTES;
    if (!m)
        return;
    if (s->by_relay) {
        list_append(&relay->sessions, &s->conn_node);
    } else {
        list_append(&m->sessions, &s->conn_node);
        m->n_sessions++;
        idle_remove(m->conn);
    }
    if (o && o->session_opened)
        o->session_opened(relay->worker, s);
}

/* 200, or how to refuse; 0: it has moved or ended just now. */
static unsigned renew(struct msrp_conn *m, struct session *s, const struct session_spec *who, struct session **out)
{
    struct relay *relay = m->relay;
    const struct relay_observer *o = relay->shared->observer;
    struct msrp_uri client;

    if (who->by_relay && !s->by_relay) /* nor was one of before a restart, as it was his relay's */
        return 481;
    if (!sv_eq(s->username, who->username) || !sv_eq(s->domain, who->domain))
        return 403;
    if (session_is_active(s) && session_is_owner(s, m->conn) && s->loop == relay->worker->loop) {
        session_refresh(s, who->expires_s);
        if (o && o->session_changed)
            o->session_changed(relay->worker, s);
        *out = session_ref(s);
        return 200;
    }
    /* An msrps token promises TLS as far as its owner. */
    if (!msrp_uri_parse(&client, who->client) || !msrp_uri_eq(&client, &s->client) || s->uri.secure != conn_is_secure(m->conn) ||
        who->by_relay != s->by_relay || m->n_sessions >= (uint64_t)relay_conf(relay->shared)->limits.sessions_per_connection)
        return 403;
    switch (session_resume(out, s, m->conn, who->expires_s)) {
    case TD_OK:
        stats_inc(&relay->worker->stats, STAT_sessions_resumed);
        token_begin(relay, m, *out);
        return 200;
    case TD_ECLOSED:
        return 0;
    default:
        return 408;
    }
}

unsigned token_renew(struct msrp_conn *m, struct sv to, const struct session_spec *who, struct session **out)
{
    struct msrp_uri uri;
    unsigned status = msrp_uri_parse(&uri, to) ? 0 : 481;

    *out = NULL;
    while (status == 0) {
        struct session *s = session_find(m->relay->shared->sessions, uri.session);

        status = s && msrp_uri_eq(&s->uri, &uri) ? renew(m, s, who, out) : 481;
        session_unref(&s);
    }
    return status;
}

void token_leave(struct msrp_conn *m, enum close_reason reason)
{
    struct relay *relay = m->relay;
    const struct relay_observer *o = relay->shared->observer;
    /* After a stop all of its lifetime is left: the time to resume it begins with the next start. */
    uint32_t resume_s = reason == CLOSE_STOP ? UINT32_MAX : (uint32_t)relay_conf(relay->shared)->msrp.auth_min_expires;

    while (!list_is_empty(&m->sessions)) {
        struct session *s = list_item(m->sessions.next, struct session, conn_node);

        list_remove(&s->conn_node);
        if (reason == CLOSE_KICKED) {
            session_end(s, SESSION_CLOSED);
        } else if (session_detach(s, resume_s)) {
            list_remove(&s->changed_node);
            if (o && o->session_changed)
                o->session_changed(relay->worker, s);
        }
    }
}

bool relay_restore(struct relay_shared *shared, unsigned worker, struct session_past *past)
{
    struct relay *relay = shared->relays[worker];
    const struct conf *conf = relay_conf(shared);
    struct session *s;

    past->max = (uint64_t)conf->limits.sessions;
    past->max_per_user = (uint64_t)conf->limits.sessions_per_user;
    if (session_restore(&s, shared->sessions, past, relay->worker) != TD_OK)
        return false;
    token_begin(relay, NULL, s);
    session_unref(&s);
    return true;
}

/* ---- the operator ends one ---- */

struct kick {
    struct post post;
    struct relay *relay;
    struct session *session; /* owned reference */
};

static void on_kick(struct post *p)
{
    struct kick *k = TD_CONTAINER_OF(p, struct kick, post);
    struct conn *c = conn_deref(k->relay->worker, k->session->owner);

    if (session_state(k->session) == SESSION_MOVED) {
        relay_kick(k->relay->shared, k->session->uri.session);
    } else {
        session_end(k->session, SESSION_CLOSED);
        if (c && list_is_empty(&msrp_of(c)->sessions))
            conn_finish(c, CLOSE_KICKED);
    }
    session_unref(&k->session);
    free(k);
}

bool relay_kick(struct relay_shared *s, struct sv session_id)
{
    struct session *session = session_find(s->sessions, session_id);
    struct kick *k = session ? calloc(1, sizeof *k) : NULL;

    if (!k) {
        session_unref(&session);
        return false;
    }
    k->post.fn = on_kick;
    k->relay = s->relays[session->owner.worker];
    k->session = session;
    mailbox_post(loop_mailbox(k->relay->worker->loop), &k->post);
    return true;
}
