/* The table of MSRP sessions, their bindings, and the dialled peers. */
#include "msrp/session.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/crypto.h"
#include "common/err.h"
#include "net/tls.h"

enum { STRIPES = 64 };

struct stripe {
    pthread_mutex_t lock;
    struct hash sessions, peers;
};

struct session_table {
    struct stripe stripes[STRIPES];
    size_t count; /* atomic */
};

static struct stripe *stripe_of(struct session_table *t, uint64_t hash)
{
    return &t->stripes[hash >> 58];
}

int session_table_new(struct session_table **out, unsigned log2_slots)
{
    struct session_table *t = calloc(1, sizeof *t);
    unsigned each = log2_slots > 6 ? log2_slots - 6 : 1;

    *out = NULL;
    if (!t)
        return TD_ENOMEM;
    for (int i = 0; i < STRIPES; i++) {
        pthread_mutex_init(&t->stripes[i].lock, NULL);
        if (hash_init(&t->stripes[i].sessions, each) || hash_init(&t->stripes[i].peers, 1)) {
            session_table_free(&t);
            return TD_ENOMEM;
        }
    }
    *out = t;
    return TD_OK;
}

void session_table_free(struct session_table **tp)
{
    struct session_table *t = *tp;

    if (!t)
        return;
    *tp = NULL;
    for (int i = 0; i < STRIPES; i++) {
        hash_fini(&t->stripes[i].sessions);
        hash_fini(&t->stripes[i].peers);
        pthread_mutex_destroy(&t->stripes[i].lock);
    }
    free(t);
}

size_t session_table_count(struct session_table *t)
{
    return __atomic_load_n(&t->count, __ATOMIC_RELAXED);
}

size_t session_table_slots(struct session_table *t)
{
    size_t n = 0;

    for (int i = 0; i < STRIPES; i++) {
        pthread_mutex_lock(&t->stripes[i].lock);
        n += t->stripes[i].sessions.n_slots;
        pthread_mutex_unlock(&t->stripes[i].lock);
    }
    return n;
}

struct sv session_source_text(const struct session *s, char *out, size_t size)
{
    char text[ADDR_TEXT_MAX];

    snprintf(out, size, "%s://%s", s->secure_conn ? "msrps" : "msrp", addr_text(&s->peer, text));
    return sv_of(out);
}

struct sv session_socket_text(const struct session *s, char *out, size_t size)
{
    char text[ADDR_TEXT_MAX];

    snprintf(out, size, "%s:%s", s->secure_conn ? "tls" : "tcp", addr_text(&s->local, text));
    return sv_of(out);
}

static struct session *find_locked(struct stripe *st, uint64_t hash, struct sv id)
{
    for (struct hash_node *n = hash_first(&st->sessions, hash); n; n = hash_next(n)) {
        struct session *s = TD_CONTAINER_OF(n, struct session, node);

        if (sv_eq(s->uri.session, id))
            return s;
    }
    return NULL;
}

struct session *session_ref(struct session *s)
{
    __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
    return s;
}

void session_unref(struct session **sp)
{
    struct session *s = *sp;

    *sp = NULL;
    if (s && __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) == 0)
        free(s);
}

static void on_expired(struct wheel_timer *timer);

int session_create(struct session **out, struct session_table *t, const struct session_spec *spec, const struct conn *owner)
{
    char id[SESSION_ID_LEN + 1];
    size_t uri_max = spec->authority.n + SESSION_ID_LEN + 16;
    struct session *s = calloc(1, sizeof *s + uri_max + spec->client.n + 1 + spec->username.n + spec->domain.n);
    struct stripe *st;
    uint64_t hash;
    char *at;
    int n;

    *out = NULL;
    if (!s)
        return TD_ENOMEM;
    crypto_random_name(id, SESSION_ID_LEN);
    at = s->text;
    n = snprintf(at, uri_max, "%s://" SV_FMT "/%s;tcp", spec->secure ? "msrps" : "msrp", SV_ARG(spec->authority), id);
    if (!msrp_uri_parse(&s->uri, sv_make(at, (size_t)n))) {
        free(s);
        return TD_EINVAL;
    }
    at += n + 1;
    memcpy(at, spec->client.p, spec->client.n);
    if (!msrp_uri_parse(&s->client, sv_make(at, spec->client.n))) {
        free(s);
        return TD_EINVAL;
    }
    at += spec->client.n;
    memcpy(at, spec->username.p, spec->username.n);
    s->username = sv_make(at, spec->username.n);
    at += spec->username.n;
    memcpy(at, spec->domain.p, spec->domain.n);
    s->domain = sv_make(at, spec->domain.n);

    s->refs = 2;
    s->owner = conn_ref(owner);
    s->by_relay = spec->by_relay;
    if (s->by_relay)
        s->owner.id = 0;
    s->peer = owner->peer;
    s->local = owner->local;
    s->secure_conn = conn_is_tls(owner);
    s->created_at = s->last_activity_at = (uint64_t)time(NULL);
    s->expires_at = s->created_at + spec->expires_s;
    list_init(&s->conn_node);
    list_init(&s->changed_node);
    list_init(&s->bindings);
    wheel_timer_init(&s->timer, on_expired);
    s->table = t;
    s->loop = owner->worker->loop;
    session_refresh(s, spec->expires_s);

    hash = hash_bytes(s->uri.session.p, s->uri.session.n);
    st = stripe_of(t, hash);
    pthread_mutex_lock(&st->lock);
    hash_insert(&st->sessions, &s->node, hash);
    pthread_mutex_unlock(&st->lock);
    __atomic_add_fetch(&t->count, 1, __ATOMIC_RELAXED);
    *out = s;
    return TD_OK;
}

struct session *session_find(struct session_table *t, struct sv id)
{
    uint64_t hash = hash_bytes(id.p, id.n);
    struct stripe *st = stripe_of(t, hash);
    struct session *s;

    pthread_mutex_lock(&st->lock);
    s = find_locked(st, hash, id);
    if (s)
        session_ref(s);
    pthread_mutex_unlock(&st->lock);
    return s;
}

bool session_is_owner(const struct session *s, const struct conn *c)
{
    if (s->by_relay)
        return c->tls && tlsio_peer_is(c->tls, s->client.host, TLSIO_VERIFY_HOST);
    return s->owner.id == c->id;
}

bool session_leads_to(const struct session *s, const struct msrp_uri *path, size_t n)
{
    return n > 0 && msrp_uri_eq(&path[0], &s->client) && (s->by_relay || n == 1);
}

void session_end(struct session *s, enum session_state how)
{
    struct session_table *t = s->table;
    struct stripe *st = stripe_of(t, s->node.hash);

    if (!session_is_active(s))
        return;
    __atomic_store_n(&s->state, how, __ATOMIC_RELAXED);
    pthread_mutex_lock(&st->lock);
    hash_remove(&st->sessions, &s->node);
    pthread_mutex_unlock(&st->lock);
    __atomic_sub_fetch(&t->count, 1, __ATOMIC_RELAXED);
    loop_timer_stop(s->loop, &s->timer);
    list_remove(&s->conn_node);
    if (s->on_end)
        s->on_end(s, how);
    session_unref(&s); /* the table's */
}

static void on_expired(struct wheel_timer *timer)
{
    session_end(TD_CONTAINER_OF(timer, struct session, timer), SESSION_EXPIRED);
}

void session_refresh(struct session *s, uint32_t expires_s)
{
    __atomic_store_n(&s->expires_at, (uint64_t)time(NULL) + expires_s, __ATOMIC_RELAXED);
    loop_timer_start(s->loop, &s->timer, (uint64_t)expires_s * 1000);
}

struct each {
    void (*fn)(struct session *s, void *arg);
    void *arg;
};

static void each_one(struct hash_node *n, void *arg)
{
    struct each *e = arg;

    e->fn(TD_CONTAINER_OF(n, struct session, node), e->arg);
}

void session_each(struct session_table *t, void (*fn)(struct session *s, void *arg), void *arg)
{
    struct each e = { fn, arg };

    for (int i = 0; i < STRIPES; i++) {
        pthread_mutex_lock(&t->stripes[i].lock);
        hash_each(&t->stripes[i].sessions, each_one, &e);
        pthread_mutex_unlock(&t->stripes[i].lock);
    }
}

/* ---- bindings ---- */

static struct binding *bound_locked(struct session *s, const struct msrp_uri *uri)
{
    list_each(node, &s->bindings) {
        struct binding *b = list_item(node, struct binding, session_node);

        if (msrp_uri_eq(&b->uri, uri))
            return b;
    }
    return NULL;
}

enum bind_result session_bind(struct session *s, const struct msrp_uri *uri, struct conn_ref conn, struct list *conn_bindings)
{
    struct stripe *st = stripe_of(s->table, s->node.hash);
    struct binding *b;
    enum bind_result result = BIND_NEW;

    pthread_mutex_lock(&st->lock);
    b = bound_locked(s, uri);
    if (b) {
        result = b->conn.id == conn.id ? BIND_SAME : BIND_OTHER;
    } else if (s->n_bindings >= BINDINGS_PER_SESSION) {
        result = BIND_FULL;
    } else {
        b = calloc(1, sizeof *b + uri->text.n);
        if (!b) {
            result = BIND_NO_MEMORY;
        } else {
            memcpy(b->text, uri->text.p, uri->text.n);
            msrp_uri_parse(&b->uri, sv_make(b->text, uri->text.n));
            b->session = session_ref(s);
            b->conn = conn;
            list_append(&s->bindings, &b->session_node);
            s->n_bindings++;
            list_append(conn_bindings, &b->conn_node);
        }
    }
    pthread_mutex_unlock(&st->lock);
    return result;
}

struct conn_ref session_bound(struct session *s, const struct msrp_uri *uri)
{
    struct stripe *st = stripe_of(s->table, s->node.hash);
    struct conn_ref ref = { .id = 0 };
    struct binding *b;

    pthread_mutex_lock(&st->lock);
    b = bound_locked(s, uri);
    if (b)
        ref = b->conn;
    pthread_mutex_unlock(&st->lock);
    return ref;
}

void session_unbind_all(struct list *conn_bindings, bool only_dead)
{
    list_each_safe(node, conn_bindings) {
        struct binding *b = list_item(node, struct binding, conn_node);
        struct stripe *st = stripe_of(b->session->table, b->session->node.hash);

        if (only_dead && session_is_active(b->session))
            continue;
        pthread_mutex_lock(&st->lock);
        list_remove(&b->session_node);
        b->session->n_bindings--;
        pthread_mutex_unlock(&st->lock);
        list_remove(&b->conn_node);
        session_unref(&b->session);
        free(b);
    }
}

/* ---- dialled peers ---- */

void peer_key(char *out, size_t size, const struct msrp_uri *uri, bool verified)
{
    int n = snprintf(out, size, "%s " SV_FMT ":%u", !uri->secure ? "msrp" : verified ? "msrps!" : "msrps", SV_ARG(uri->host),
                     uri->port_number);

    for (int i = 0; i < n && (size_t)i < size; i++)
        out[i] = sv_lower(out[i]);
}

static struct peer_entry *peer_locked(struct stripe *st, uint64_t hash, const char *key)
{
    for (struct hash_node *n = hash_first(&st->peers, hash); n; n = hash_next(n)) {
        struct peer_entry *e = TD_CONTAINER_OF(n, struct peer_entry, node);

        if (strcmp(e->key, key) == 0)
            return e;
    }
    return NULL;
}

struct conn_ref peer_find(struct session_table *t, const char *key)
{
    uint64_t hash = hash_bytes(key, strlen(key));
    struct stripe *st = stripe_of(t, hash);
    struct conn_ref ref = { .id = 0 };
    struct peer_entry *e;

    pthread_mutex_lock(&st->lock);
    e = peer_locked(st, hash, key);
    if (e)
        ref = e->conn;
    pthread_mutex_unlock(&st->lock);
    return ref;
}

struct conn_ref peer_enter(struct session_table *t, struct peer_entry *e)
{
    uint64_t hash = hash_bytes(e->key, strlen(e->key));
    struct stripe *st = stripe_of(t, hash);
    struct peer_entry *other;
    struct conn_ref ref;

    pthread_mutex_lock(&st->lock);
    other = peer_locked(st, hash, e->key);
    if (!other) {
        hash_insert(&st->peers, &e->node, hash);
        e->in_table = true;
        other = e;
    }
    ref = other->conn;
    pthread_mutex_unlock(&st->lock);
    return ref;
}

void peer_leave(struct session_table *t, struct peer_entry *e)
{
    struct stripe *st = stripe_of(t, e->node.hash);

    if (!e->in_table)
        return;
    pthread_mutex_lock(&st->lock);
    hash_remove(&st->peers, &e->node);
    pthread_mutex_unlock(&st->lock);
    e->in_table = false;
}
