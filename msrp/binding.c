/* Which connection leads where: those bound to the foreign endpoints of a session, and those dialled to next hops. */
#include <stdio.h>
#include <stdlib.h>

#include "msrp/session.h"
#include "msrp/session_private.h"

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
    if (!session_is_live(s)) {
        result = BIND_GONE;
    } else if (b) {
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
            b->stripe = st;
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
        struct stripe *st = b->stripe;
        bool keep;

        pthread_mutex_lock(&st->lock);
        keep = only_dead && session_is_live(b->session);
        if (!keep) {
            list_remove(&b->session_node);
            b->session->n_bindings--;
        }
        pthread_mutex_unlock(&st->lock);
        if (keep)
            continue;
        list_remove(&b->conn_node);
        session_unref(&b->session);
        free(b);
    }
}

/* ---- calls ---- */

static bool has_call_locked(const struct session *s, uint64_t id)
{
    for (unsigned i = 0; i < TD_MIN(s->n_calls, (unsigned)CALLS_PER_SESSION); i++)
        if (s->calls[i] == id)
            return true;
    return false;
}

void session_add_call(struct session *s, struct conn_ref conn)
{
    struct stripe *st = stripe_of(s->table, s->node.hash);

    pthread_mutex_lock(&st->lock);
    if (session_is_live(s) && !has_call_locked(s, conn.id)) {
        unsigned n = s->n_calls;
        /* It grows at each power of two, up to the limit; from there on the oldest is overwritten. */
        uint64_t *grown = n & (n - 1) || n >= CALLS_PER_SESSION ? s->calls : realloc(s->calls, (n ? 2 * n : 1) * sizeof *grown);

        if (grown) {
            s->calls = grown;
            s->calls[s->n_calls++ % CALLS_PER_SESSION] = conn.id;
        }
    }
    pthread_mutex_unlock(&st->lock);
}

bool session_has_call(struct session *s, const struct conn *c)
{
    struct stripe *st = stripe_of(s->table, s->node.hash);
    bool has;

    pthread_mutex_lock(&st->lock);
    has = has_call_locked(s, c->id);
    pthread_mutex_unlock(&st->lock);
    return has;
}

/* ---- dialled peers ---- */

static void lower(char *s, size_t size, int n)
{
    for (int i = 0; i < n && (size_t)i < size; i++)
        s[i] = sv_lower(s[i]);
}

void peer_key(char *out, size_t size, const struct msrp_uri *uri, bool verified)
{
    int n = snprintf(out, size, "%s " SV_FMT ":%u", !uri->secure ? "msrp" : verified ? "msrps!" : "msrps", SV_ARG(uri->host),
                     uri->port_number);

    lower(out, size, n);
}

void peer_link_key(char *out, size_t size, struct sv host)
{
    lower(out, size, snprintf(out, size, "relay " SV_FMT, SV_ARG(host)));
}

struct peer_entry *peer_entry_new(const char *key, struct conn_ref conn)
{
    size_t n = strlen(key) + 1;
    struct peer_entry *e = calloc(1, sizeof *e + n);

    if (!e)
        return NULL;
    memcpy(e->key, key, n);
    e->conn = conn;
    return e;
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

static struct conn_ref enter(struct session_table *t, struct peer_entry *e, bool beside)
{
    uint64_t hash = hash_bytes(e->key, strlen(e->key));
    struct stripe *st = stripe_of(t, hash);
    struct peer_entry *other;
    struct conn_ref ref;

    pthread_mutex_lock(&st->lock);
    other = beside ? NULL : peer_locked(st, hash, e->key);
    if (!other) {
        hash_insert(&st->peers, &e->node, hash);
        e->in_table = true;
        other = e;
    }
    ref = other->conn;
    pthread_mutex_unlock(&st->lock);
    return ref;
}

struct conn_ref peer_enter(struct session_table *t, struct peer_entry *e)
{
    return enter(t, e, false);
}

void peer_add(struct session_table *t, struct peer_entry *e)
{
    enter(t, e, true);
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
