/* Writes what happens on the workers into the database. */
#include "tandemd/observer.h"

#include <stdio.h>
#include <time.h>

#include "net/conn.h"
#include "net/tls.h"

static struct sv text_or_empty(const char *s)
{
    return sv_of(s ? s : "");
}

static void conn_is_open(struct worker *w, struct conn *c)
{
    char peer[ADDR_TEXT_MAX], local[ADDR_TEXT_MAX];
    struct db_conn row = {
        .conn_id = c->id,
        .protocol = sv_of(c->proto->name),
        .transport = sv_of(conn_transport_text(c)),
        .peer = sv_of(addr_text(&c->peer, peer)),
        .local = sv_of(addr_text(&c->local, local)),
        .opened = (int64_t)c->opened_at,
    };

    if (c->tls) {
        row.tls_version = text_or_empty(tlsio_version_text(c->tls));
        row.tls_cipher = text_or_empty(tlsio_cipher_text(c->tls));
        row.peer_name = text_or_empty(tlsio_peer_name(c->tls));
    }
    db_conn_opened(w->observer, &row);
}

static void conn_is_closed(struct worker *w, struct conn *c)
{
    db_conn_closed(w->observer, c->id, (int64_t)time(NULL), sv_of(close_reason_text((enum close_reason)c->close_reason)), c->bytes_in,
                   c->sent_pos); /* what was still queued never went out */
}

void observer_attach(struct worker *w, struct db_feed *feed)
{
    w->observer = feed;
    w->on_conn_open = conn_is_open;
    w->on_conn_closed = conn_is_closed;
}

/* What of a row changes. */
static struct db_session row_of(const struct session *s)
{
    return (struct db_session){
        .session_id = s->uri.session,
        .conn_id = session_conn_id(s),
        .expires = (int64_t)__atomic_load_n(&s->expires_at, __ATOMIC_RELAXED),
        .last_activity = (int64_t)__atomic_load_n(&s->last_activity_at, __ATOMIC_RELAXED),
        .resumed = s->resumed,
        .frames_in = __atomic_load_n(&s->frames_in, __ATOMIC_RELAXED),
        .frames_out = __atomic_load_n(&s->frames_out, __ATOMIC_RELAXED),
        .bytes_in = __atomic_load_n(&s->bytes_in, __ATOMIC_RELAXED),
        .bytes_out = __atomic_load_n(&s->bytes_out, __ATOMIC_RELAXED),
    };
}

static void session_opened(struct worker *w, const struct session *s)
{
    char src[ADDR_TEXT_MAX + 16], sock[ADDR_TEXT_MAX + 8];
    struct db_session row = row_of(s);

    row.username = s->username;
    row.domain = s->domain;
    row.peer_uri = s->client.text;
    row.srcaddr = session_source_text(s, src, sizeof src);
    row.srcsock = session_socket_text(s, sock, sizeof sock);
    row.use_path = s->uri.text;
    row.created = (int64_t)s->created_at;
    db_session_put(w->observer, &row);
}

static void session_used(struct worker *w, const struct session *s)
{
    const struct db_session row = row_of(s);

    db_session_counters(w->observer, &row);
}

static void session_changed(struct worker *w, const struct session *s)
{
    const struct db_session row = row_of(s);

    db_session_changed(w->observer, &row);
}

static void session_ended(struct worker *w, const struct session *s, enum session_state how)
{
    struct db_session row = row_of(s);

    row.state = how == SESSION_EXPIRED ? DB_SESSION_EXPIRED : DB_SESSION_CLOSED;
    db_session_ended(w->observer, &row);
}

static void message(struct worker *w, const struct relay_message *m)
{
    const struct session *s = m->session;
    struct db_acc_msrp row = {
        .session_id = s ? s->uri.session : SV(""),
        .username = s ? s->username : SV(""),
        .domain = s ? s->domain : SV(""),
        .from_uri = m->from_uri,
        .to_uri = m->to_uri,
        .message_id = m->message_id,
        .bytes = m->bytes,
        .status = (int)m->status,
        .started = (int64_t)m->started_at,
        .finished = (int64_t)m->finished_at,
    };

    db_acc_msrp(w->observer, &row);
}

const struct relay_observer observer_relay = {
    .session_opened = session_opened,
    .session_used = session_used,
    .session_changed = session_changed,
    .session_ended = session_ended,
    .message = message,
};
