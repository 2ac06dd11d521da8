/* What operators ask and tell through the control socket, answered from the workers, the session table and the database. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/err.h"
#include "common/log.h"
#include "db/cred.h"
#include "net/conn.h"
#include "tandemd/edge_private.h"

/* ---- sessions: copied under the table's locks, told afterwards ---- */

struct snapshot {
    struct session **v; /* owned references */
    size_t n, cap;
};

static void take_session(struct session *s, void *arg)
{
    struct snapshot *snap = arg;

    if (snap->n == snap->cap) {
        size_t cap = snap->cap ? snap->cap * 2 : 256;
        struct session **grown = realloc(snap->v, cap * sizeof *grown);

        if (!grown)
            return;
        snap->v = grown;
        snap->cap = cap;
    }
    snap->v[snap->n++] = session_ref(s);
}

static bool tell_session(const struct session *s, rpc_session_fn *emit, void *to)
{
    char id[SESSION_ID_LEN + 1], user[256], domain[256], client[MSRP_URI_MAX + 1], src[96], sock[96], use_path[MSRP_URI_MAX + 1];
    struct rpc_session row = {
        .session_id = id,
        .username = user,
        .domain = domain,
        .conn_id = session_conn_id(s),
        .peer_uri = client,
        .srcaddr = src,
        .srcsock = sock,
        .use_path = use_path,
        .state = "active",
        .created = (int64_t)s->created_at,
        .expires = (int64_t)__atomic_load_n(&s->expires_at, __ATOMIC_RELAXED),
        .last_activity = (int64_t)__atomic_load_n(&s->last_activity_at, __ATOMIC_RELAXED),
        .frames_in = __atomic_load_n(&s->frames_in, __ATOMIC_RELAXED),
        .frames_out = __atomic_load_n(&s->frames_out, __ATOMIC_RELAXED),
        .bytes_in = __atomic_load_n(&s->bytes_in, __ATOMIC_RELAXED),
        .bytes_out = __atomic_load_n(&s->bytes_out, __ATOMIC_RELAXED),
    };

    sv_copy(s->uri.session, id, sizeof id);
    sv_copy(s->username, user, sizeof user);
    sv_copy(s->domain, domain, sizeof domain);
    sv_copy(s->client.text, client, sizeof client);
    sv_copy(s->uri.text, use_path, sizeof use_path);
    session_source_text(s, src, sizeof src);
    session_socket_text(s, sock, sizeof sock);
    return emit(to, &row);
}

static int sessions(void *arg, rpc_session_fn *emit, void *to)
{
    struct edge *e = arg;
    struct snapshot snap = { 0 };
    bool more = true;

    session_each(e->relay_shared->sessions, take_session, &snap);
    for (size_t i = 0; i < snap.n; i++) {
        if (more)
            more = tell_session(snap.v[i], emit, to);
        session_unref(&snap.v[i]);
    }
    free(snap.v);
    return TD_OK;
}

static uint64_t map_size(void *arg)
{
    const struct edge *e = arg;

    return session_table_slots(e->relay_shared->sessions);
}

static int kick(void *arg, const char *session_id)
{
    struct edge *e = arg;

    return relay_kick(e->relay_shared, sv_of(session_id)) ? TD_OK : TD_ENOENT;
}

/* ---- connections: every worker is asked to copy its own ---- */

struct conn_row {
    uint64_t conn_id, bytes_in, bytes_out;
    int64_t opened;
    const char *protocol, *transport;
    char peer[ADDR_TEXT_MAX], local[ADDR_TEXT_MAX], version[16], cipher[64], name[256];
};

struct conn_question {
    struct post post;
    struct worker *worker;  /* borrowed */
    pthread_mutex_t lock;
    pthread_cond_t done_cond;
    bool done;
    struct conn_row *rows;  /* owned */
    size_t n;
};

static void copy_conn(struct conn_row *row, const struct conn *c)
{
    *row = (struct conn_row){
        .conn_id = c->id,
        .bytes_in = c->bytes_in,
        .bytes_out = c->sent_pos,
        .opened = (int64_t)c->opened_at,
        .protocol = c->opened && c->proto ? c->proto->name : "unknown",
        .transport = conn_transport_text(c),
    };
    addr_text(&c->peer, row->peer);
    addr_text(&c->local, row->local);
    if (c->tls) {
        const char *version = tlsio_version_text(c->tls), *cipher = tlsio_cipher_text(c->tls), *name = tlsio_peer_name(c->tls);

        snprintf(row->version, sizeof row->version, "%s", version ? version : "");
        snprintf(row->cipher, sizeof row->cipher, "%s", cipher ? cipher : "");
        snprintf(row->name, sizeof row->name, "%s", name ? name : "");
    }
}

static void on_conn_question(struct post *p)
{
    struct conn_question *q = TD_CONTAINER_OF(p, struct conn_question, post);
    size_t n = 0;

    list_each(node, &q->worker->conns)
        n++;
    q->rows = calloc(n ? n : 1, sizeof *q->rows);
    if (q->rows)
        list_each(node, &q->worker->conns) {
            const struct conn *c = list_item(node, struct conn, all_node);

            if (!c->ended && (c->accepted || c->opened)) /* else a leg of the pump */
                copy_conn(&q->rows[q->n++], c);
        }
    pthread_mutex_lock(&q->lock);
    q->done = true;
    pthread_cond_signal(&q->done_cond);
    pthread_mutex_unlock(&q->lock);
}

static int connections(void *arg, rpc_connection_fn *emit, void *to)
{
    struct edge *e = arg;
    bool more = true;

    for (unsigned i = 0; i < e->n_workers && more; i++) {
        struct conn_question q = { .post.fn = on_conn_question, .worker = &e->workers[i].worker };

        pthread_mutex_init(&q.lock, NULL);
        pthread_cond_init(&q.done_cond, NULL);
        mailbox_post(loop_mailbox(q.worker->loop), &q.post);
        pthread_mutex_lock(&q.lock);
        while (!q.done)
            pthread_cond_wait(&q.done_cond, &q.lock);
        pthread_mutex_unlock(&q.lock);
        for (size_t k = 0; k < q.n && more; k++) {
            const struct conn_row *r = &q.rows[k];
            const struct rpc_connection row = {
                .conn_id = r->conn_id,
                .protocol = r->protocol,
                .transport = r->transport,
                .peer = r->peer,
                .local = r->local,
                .tls_version = r->version,
                .tls_cipher = r->cipher,
                .peer_name = r->name,
                .opened = r->opened,
                .bytes_in = r->bytes_in,
                .bytes_out = r->bytes_out,
            };

            more = emit(to, &row);
        }
        free(q.rows);
        pthread_cond_destroy(&q.done_cond);
        pthread_mutex_destroy(&q.lock);
    }
    return TD_OK;
}

/* ---- sources that are shut out ---- */

static int ban_list(void *arg, rpc_ban_fn *emit, void *to)
{
    struct edge *e = arg;
    int64_t now = (int64_t)time(NULL);
    struct limits_ban *bans;
    bool more = true;
    size_t n;
    int err = limits_bans(e->limits, &bans, &n);

    for (size_t i = 0; !err && more && i < n; i++) {
        char text[ADDR_TEXT_MAX];
        const struct rpc_ban row = {
            .address = addr_host_text(&bans[i].addr, text),
            .until = now + (int64_t)bans[i].left_s,
            .reason = bans[i].reason,
        };

        more = emit(to, &row);
    }
    free(bans);
    return err;
}

/* On a worker: close what is open from sources that are banned now. */
struct eviction {
    struct post post;
    struct worker *worker; /* borrowed */
};

static void on_eviction(struct post *p)
{
    struct eviction *ev = TD_CONTAINER_OF(p, struct eviction, post);

    list_each_safe(node, &ev->worker->conns) {
        struct conn *c = list_item(node, struct conn, all_node);

        if (c->counted && limits_is_banned(ev->worker->limits, &c->peer))
            conn_close(c, CLOSE_KICKED);
    }
    free(ev);
}

static int ban(struct edge *e, const struct addr *a, uint64_t seconds, enum limits_why why)
{
    int err = limits_ban(e->limits, a, seconds, limits_why_text(why));

    for (unsigned i = 0; !err && i < e->n_workers; i++) {
        struct eviction *ev = calloc(1, sizeof *ev);

        if (!ev)
            return TD_ENOMEM;
        ev->post.fn = on_eviction;
        ev->worker = &e->workers[i].worker;
        mailbox_post(loop_mailbox(ev->worker->loop), &ev->post);
    }
    return err;
}

static int ban_add(void *arg, const char *address, int64_t seconds)
{
    struct addr a;

    return addr_from_host(&a, sv_of(address), 0) ? ban(arg, &a, (uint64_t)seconds, LIMITS_BY_HAND) : TD_EINVAL;
}

/* On the control thread: the SIP process learns of it. */
struct ban_note {
    struct post post;
    struct edge *edge; /* back */
    struct addr addr;
    uint64_t seconds;
};

static void on_ban_note(struct post *p)
{
    struct ban_note *n = TD_CONTAINER_OF(p, struct ban_note, post);

    if (n->edge->sipproc)
        sipproc_ban(n->edge->sipproc, &n->addr, n->seconds);
    free(n);
}

void backend_on_ban(void *arg, const struct addr *a, uint64_t seconds)
{
    struct edge *e = arg;
    struct ban_note *n = calloc(1, sizeof *n);

    if (!n)
        return;
    n->post.fn = on_ban_note;
    n->edge = e;
    n->addr = *a;
    n->seconds = seconds;
    mailbox_post(loop_mailbox(e->loop), &n->post);
}

void backend_on_sip_up(void *arg)
{
    struct edge *e = arg;
    struct limits_ban *bans;
    size_t n;

    if (limits_bans(e->limits, &bans, &n) != TD_OK)
        return;
    for (size_t i = 0; i < n; i++)
        sipproc_ban(e->sipproc, &bans[i].addr, bans[i].left_s);
    free(bans);
}

void backend_on_sip_ban(void *arg, const struct addr *a, enum limits_why why)
{
    struct edge *e = arg;
    char text[ADDR_TEXT_MAX];

    if (limits_is_banned(e->limits, a) || ban(e, a, 0, why) != TD_OK)
        return;
    log_notice("sip", 0, "shut out: source=%s reason=\"%s\"", addr_host_text(a, text), limits_why_text(why));
}

static int ban_del(void *arg, const char *address)
{
    struct edge *e = arg;
    struct addr a;

    return addr_from_host(&a, sv_of(address), 0) && limits_unban(e->limits, &a) ? TD_OK : TD_ENOENT;
}

/* ---- the rest ---- */

static void stats(void *arg, struct stats *sum)
{
    struct edge *e = arg;

    stats_sum(sum, &e->stats);
    for (unsigned i = 0; i < e->n_workers; i++)
        stats_sum(sum, &e->workers[i].worker.stats);
    db_stats_add(e->db, sum);
    if (e->sipproc)
        stats_sum(sum, sipproc_stats(e->sipproc));
}

static int reload(void *arg, struct buf *live, struct buf *restart, struct buf *faults)
{
    return edge_reload(arg, live, restart, faults);
}

/* On the control thread: the SIP process remembers credentials, too. */
struct forget_note {
    struct post post;
    struct edge *edge; /* back */
};

static void on_forget_note(struct post *p)
{
    struct forget_note *n = TD_CONTAINER_OF(p, struct forget_note, post);

    if (n->edge->sipproc)
        sipproc_forget(n->edge->sipproc);
    free(n);
}

static int user_changed(void *arg, const char *username, const char *domain)
{
    struct edge *e = arg;
    struct forget_note *n = calloc(1, sizeof *n);

    db_cred_flush(e->db);
    if (!n)
        return TD_ENOMEM;
    n->post.fn = on_forget_note;
    n->edge = e;
    mailbox_post(loop_mailbox(e->loop), &n->post);
    return TD_OK;
}

static int registrations(void *arg, bool (*emit)(const struct db_location *row, void *to), void *to)
{
    struct edge *e = arg;
    int err = TD_OK;

    if (!e->reader)
        err = db_reader_new(&e->reader, e->db);
    return err ? err : db_list_registrations(e->reader, (int64_t)time(NULL), sv_make(NULL, 0), sv_make(NULL, 0), emit, to);
}

void backend_init(struct edge *e)
{
    pthread_mutex_init(&e->reload_lock, NULL);
    e->backend = (struct rpc_backend){
        .arg = e,
        .sessions = sessions,
        .connections = connections,
        .registrations = registrations,
        .stats = stats,
        .map_size = map_size,
        .reload = reload,
        .kick = kick,
        .ban_list = ban_list,
        .ban_add = ban_add,
        .ban_del = ban_del,
        .user_changed = user_changed,
    };
}

void backend_fini(struct edge *e)
{
    db_reader_free(&e->reader);
}
