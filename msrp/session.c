/* The table of MSRP sessions: how they begin, end, and are resumed. */
#include "msrp/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/crypto.h"
#include "common/err.h"
#include "msrp/session_private.h"
#include "net/tls.h"

/* How many sessions a user has; it is there while he has any. By the hash of both names. */
struct session_user {
    struct hash_node node;
    uint64_t n;
    size_t username_n, domain_n;
    char text[];
};

int session_table_new(struct session_table **out, unsigned log2_slots)
{
    struct session_table *t = calloc(1, sizeof *t);
    unsigned each = log2_slots > 6 ? log2_slots - 6 : 1;

    *out = NULL;
    if (!t)
        return TD_ENOMEM;
    for (int i = 0; i < STRIPES; i++) {
        pthread_mutex_init(&t->stripes[i].lock, NULL);
        if (hash_init(&t->stripes[i].sessions, each) || hash_init(&t->stripes[i].users, 1) || hash_init(&t->stripes[i].peers, 1)) {
            session_table_free(&t);
            return TD_ENOMEM;
        }
    }
    *out = t;
    return TD_OK;
}

static void free_session(struct hash_node *n, void *arg)
{
    struct session *s = TD_CONTAINER_OF(n, struct session, node);

    session_unref(&s);
}

static void free_user(struct hash_node *n, void *arg)
{
    free(TD_CONTAINER_OF(n, struct session_user, node));
}

void session_table_free(struct session_table **tp)
{
    struct session_table *t = *tp;

    if (!t)
        return;
    *tp = NULL;
    for (int i = 0; i < STRIPES; i++) {
        hash_each(&t->stripes[i].sessions, free_session, NULL);
        hash_each(&t->stripes[i].users, free_user, NULL);
        hash_fini(&t->stripes[i].sessions);
        hash_fini(&t->stripes[i].users);
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
    if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    free(s->calls);
    free(s);
}

/* ---- how many a user has ---- */

static uint64_t user_hash(struct sv username, struct sv domain)
{
    return hash_bytes(username.p, username.n) ^ hash_bytes(domain.p, domain.n) * 3;
}

static struct session_user *user_locked(struct stripe *st, uint64_t hash, struct sv username, struct sv domain)
{
    for (struct hash_node *n = hash_first(&st->users, hash); n; n = hash_next(n)) {
        struct session_user *u = TD_CONTAINER_OF(n, struct session_user, node);

        if (sv_eq(username, sv_make(u->text, u->username_n)) && sv_eq(domain, sv_make(u->text + u->username_n, u->domain_n)))
            return u;
    }
    return NULL;
}

/* One more session of his. */
static int user_take(struct session_user **out, struct session_table *t, struct sv username, struct sv domain, uint64_t max)
{
    uint64_t hash = user_hash(username, domain);
    struct stripe *st = stripe_of(t, hash);
    struct session_user *u;
    int err = TD_OK;

    pthread_mutex_lock(&st->lock);
    u = user_locked(st, hash, username, domain);
    if (!u) {
        u = calloc(1, sizeof *u + username.n + domain.n);
        if (u) {
            u->username_n = username.n;
            u->domain_n = domain.n;
            memcpy(u->text, username.p, username.n);
            memcpy(u->text + username.n, domain.p, domain.n);
            hash_insert(&st->users, &u->node, hash);
        }
    }
    if (!u)
        err = TD_ENOMEM;
    else if (u->n >= max)
        err = TD_ELIMIT;
    else
        u->n++;
    pthread_mutex_unlock(&st->lock);
    *out = err ? NULL : u;
    return err;
}

static void user_give_back(struct session_table *t, struct session_user *u)
{
    struct stripe *st = stripe_of(t, u->node.hash);

    pthread_mutex_lock(&st->lock);
    if (--u->n == 0) {
        hash_remove(&st->users, &u->node);
        free(u);
    }
    pthread_mutex_unlock(&st->lock);
}

/* ---- beginning ---- */

static void on_time(struct wheel_timer *timer);
static void on_moved(struct post *p);

static char *add(char *at, struct sv in, struct sv *out)
{
    if (in.n)
        memcpy(at, in.p, in.n);
    at[in.n] = '\0';
    *out = sv_make(at, in.n);
    return at + in.n + 1;
}

/* One that is in no table yet, with these texts; nobody's. */
static int new_session(struct session **out, struct sv uri, struct sv client, struct sv username, struct sv domain)
{
    struct session *s = calloc(1, sizeof *s + uri.n + client.n + username.n + domain.n + 4);
    struct sv uri_text, client_text;
    char *at;

    *out = NULL;
    if (!s)
        return TD_ENOMEM;
    at = add(s->text, uri, &uri_text);
    at = add(at, client, &client_text);
    at = add(at, username, &s->username);
    add(at, domain, &s->domain);
    if (!msrp_uri_parse(&s->uri, uri_text) || !msrp_uri_parse(&s->client, client_text)) {
        free(s);
        return TD_EINVAL;
    }
    s->refs = 2;
    list_init(&s->conn_node);
    list_init(&s->changed_node);
    list_init(&s->bindings);
    wheel_timer_init(&s->timer, on_time);
    s->moved_post.fn = on_moved;
    *out = s;
    return TD_OK;
}

static void give_owner(struct session *s, const struct conn *owner)
{
    s->owner = conn_ref(owner);
    if (s->by_relay)
        s->owner.id = 0;
    s->peer = owner->peer;
    s->local = owner->local;
    s->secure_conn = conn_is_tls(owner);
    s->loop = owner->worker->loop;
}

/* Into the table, if there is room; on failure it is freed. */
static int enter(struct session *s, struct session_table *t, uint64_t max, uint64_t max_per_user)
{
    uint64_t hash = hash_bytes(s->uri.session.p, s->uri.session.n);
    struct stripe *st = stripe_of(t, hash);
    int err = __atomic_add_fetch(&t->count, 1, __ATOMIC_RELAXED) > max ? TD_ELIMIT : TD_OK;

    if (!err)
        err = user_take(&s->user, t, s->username, s->domain, max_per_user);
    if (err) {
        __atomic_sub_fetch(&t->count, 1, __ATOMIC_RELAXED);
        free(s);
        return err;
    }
    s->table = t;
    pthread_mutex_lock(&st->lock);
    hash_insert(&st->sessions, &s->node, hash);
    pthread_mutex_unlock(&st->lock);
    return TD_OK;
}

int session_create(struct session **out, struct session_table *t, const struct session_spec *spec, const struct conn *owner)
{
    char id[SESSION_ID_LEN + 1], uri[MSRP_URI_MAX + 1];
    struct session *s;
    int n, err;

    *out = NULL;
    crypto_random_name(id, SESSION_ID_LEN);
    n = snprintf(uri, sizeof uri, "%s://" SV_FMT "/%s;tcp", spec->secure ? "msrps" : "msrp", SV_ARG(spec->authority), id);
    err = new_session(&s, sv_make(uri, TD_MIN((size_t)n, sizeof uri - 1)), spec->client, spec->username, spec->domain);
    if (err)
        return err;
    s->by_relay = spec->by_relay;
    give_owner(s, owner);
    s->created_at = s->last_activity_at = (uint64_t)time(NULL);
    err = enter(s, t, spec->max, spec->max_per_user);
    if (err)
        return err;
    session_refresh(s, spec->expires_s);
    *out = s;
    return TD_OK;
}

int session_restore(struct session **out, struct session_table *t, const struct session_past *past, struct worker *w)
{
    uint64_t now = (uint64_t)time(NULL);
    struct session *s;
    int err = new_session(&s, past->uri, past->client, past->username, past->domain);
    size_t colon;

    *out = NULL;
    if (err)
        return err;
    if (s->uri.session.n != SESSION_ID_LEN) {
        free(s);
        return TD_EINVAL;
    }
    s->state = SESSION_DETACHED;
    s->owner.worker = w->index;
    s->loop = w->loop;
    s->secure_conn = sv_starts(past->source, SV("msrps:"));
    colon = sv_find(past->source, ':');
    if (colon + 3 < past->source.n)
        addr_from_text(&s->peer, sv_from(past->source, colon + 3));
    colon = sv_find(past->socket, ':');
    if (colon + 1 < past->socket.n)
        addr_from_text(&s->local, sv_from(past->socket, colon + 1));
    s->created_at = past->created_at;
    s->last_activity_at = past->last_activity_at;
    s->resumed = past->resumed;
    s->frames_in = past->frames_in;
    s->frames_out = past->frames_out;
    s->bytes_in = past->bytes_in;
    s->bytes_out = past->bytes_out;
    err = enter(s, t, past->max, past->max_per_user);
    if (err)
        return err;
    session_refresh(s, past->expires_at > now ? (uint32_t)TD_MIN(past->expires_at - now, (uint64_t)UINT32_MAX) : 0);
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

/* ---- ending ---- */

/* Owner's worker: what is left of a session that is in the table no more. */
static void finish(struct session *s, enum session_state how)
{
    loop_timer_stop(s->loop, &s->timer);
    list_remove(&s->conn_node);
    if (s->on_end)
        s->on_end(s, how);
    session_unref(&s); /* the table's */
}

void session_end(struct session *s, enum session_state how)
{
    struct session_table *t = s->table;
    struct stripe *st = stripe_of(t, s->node.hash);
    bool live;

    pthread_mutex_lock(&st->lock);
    live = session_is_live(s);
    if (live) {
        __atomic_store_n(&s->state, how, __ATOMIC_RELAXED);
        hash_remove(&st->sessions, &s->node);
    }
    pthread_mutex_unlock(&st->lock);
    if (!live)
        return; /* ended already, or somebody resumes it: its end is under way */
    __atomic_sub_fetch(&t->count, 1, __ATOMIC_RELAXED);
    user_give_back(t, s->user);
    finish(s, how);
}

/* Its lifetime is over, or nobody came back for it. */
static void on_time(struct wheel_timer *timer)
{
    struct session *s = TD_CONTAINER_OF(timer, struct session, timer);

    session_end(s, session_is_active(s) ? SESSION_EXPIRED : SESSION_CLOSED);
}

void session_refresh(struct session *s, uint32_t expires_s)
{
    __atomic_store_n(&s->expires_at, (uint64_t)time(NULL) + expires_s, __ATOMIC_RELAXED);
    loop_timer_start(s->loop, &s->timer, (uint64_t)expires_s * 1000);
}

bool session_detach(struct session *s, uint32_t resume_s)
{
    struct stripe *st = stripe_of(s->table, s->node.hash);
    uint64_t now = (uint64_t)time(NULL);
    bool active;

    pthread_mutex_lock(&st->lock);
    active = session_is_active(s);
    if (active) {
        __atomic_store_n(&s->left, 1, __ATOMIC_RELAXED);
        __atomic_store_n(&s->state, SESSION_DETACHED, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&st->lock);
    list_remove(&s->conn_node);
    if (active && now + resume_s < s->expires_at)
        session_refresh(s, resume_s);
    return active;
}

/* ---- resuming ---- */

static void on_moved(struct post *p)
{
    finish(TD_CONTAINER_OF(p, struct session, moved_post), SESSION_MOVED);
}

/* Under the lock: what stays with the token. */
static void hand_over(struct session *to, struct session *from)
{
    to->table = from->table;
    to->user = from->user;
    to->created_at = from->created_at;
    to->resumed = from->resumed + 1;
    to->last_activity_at = __atomic_load_n(&from->last_activity_at, __ATOMIC_RELAXED);
    to->frames_in = __atomic_load_n(&from->frames_in, __ATOMIC_RELAXED);
    to->frames_out = __atomic_load_n(&from->frames_out, __ATOMIC_RELAXED);
    to->bytes_in = __atomic_load_n(&from->bytes_in, __ATOMIC_RELAXED);
    to->bytes_out = __atomic_load_n(&from->bytes_out, __ATOMIC_RELAXED);
    to->calls = from->calls;
    to->n_calls = from->n_calls;
    from->calls = NULL;
    from->n_calls = 0;
    to->n_bindings = from->n_bindings;
    from->n_bindings = 0;
    list_splice(&to->bindings, &from->bindings);
    list_each(node, &to->bindings) {
        struct binding *b = list_item(node, struct binding, session_node);

        session_unref(&b->session); /* not the last reference: the caller has one */
        b->session = session_ref(to);
    }
}

int session_resume(struct session **out, struct session *old, const struct conn *owner, uint32_t expires_s)
{
    struct stripe *st = stripe_of(old->table, old->node.hash);
    struct session *s;
    int err = new_session(&s, old->uri.text, old->client.text, old->username, old->domain);
    bool live;

    *out = NULL;
    if (err)
        return err;
    s->by_relay = old->by_relay;
    give_owner(s, owner);
    pthread_mutex_lock(&st->lock);
    live = session_is_live(old);
    if (live) {
        __atomic_store_n(&old->state, SESSION_MOVED, __ATOMIC_RELAXED);
        hash_remove(&st->sessions, &old->node);
        hand_over(s, old);
        hash_insert(&st->sessions, &s->node, old->node.hash);
    }
    pthread_mutex_unlock(&st->lock);
    if (!live) {
        free(s);
        return TD_ECLOSED;
    }
    session_refresh(s, expires_s);
    if (old->loop == s->loop)
        finish(old, SESSION_MOVED);
    else
        mailbox_post(loop_mailbox(old->loop), &old->moved_post);
    *out = s;
    return TD_OK;
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
