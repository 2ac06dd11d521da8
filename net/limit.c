/* Limits: a total, and a record for each source with connections or a ban, in shards with a lock each. */
#include "net/limit.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "common/err.h"
#include "common/hash.h"

enum { SHARD_BITS = 6, SHARDS = 1 << SHARD_BITS };

/* What counts as one source: an IPv4 address, or an IPv6 /64, which is what one subscriber is given. */
struct source_key {
    uint16_t family;
    uint8_t bytes[8];
};

struct source {
    struct hash_node node;
    struct source_key key;
    uint64_t open; /* 0 only while banned */
    uint64_t second, requests; /* that came in this second */
    bool by_datagram;          /* kept for its count of requests until a sweep */
    uint64_t banned_until; /* 0: not banned; may be in the past */
    const char *reason;    /* static */
    struct addr addr;      /* that was banned */
};

struct shard {
    pthread_mutex_t lock;
    struct hash sources; /* under lock; owns its elements */
};

struct limits {
    uint64_t max, per_address; /* atomic */
    uint64_t open;             /* atomic: in all */
    uint64_t per_second, ban_s; /* atomic */
    uint64_t n_bans;           /* atomic: sources with banned_until */
    uint64_t n_datagram;       /* atomic: sources made by datagrams */
    limits_watch_fn *watch;    /* NULL: nobody */
    void *watch_arg;           /* borrowed */
    uint64_t (*now_s)(void);
    unsigned n_shards;         /* initialised so far */
    struct shard shards[SHARDS];
};

static uint64_t monotonic_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec;
}

int limits_new(struct limits **out, uint64_t connections, uint64_t per_address)
{
    struct limits *l = calloc(1, sizeof *l);
    int err = TD_ENOMEM;

    *out = NULL;
    if (!l)
        return err;
    l->now_s = monotonic_s;
    limits_set(l, connections, per_address);
    limits_set_requests(l, 0, 1);
    for (; l->n_shards < SHARDS; l->n_shards++) {
        struct shard *s = &l->shards[l->n_shards];

        err = hash_init(&s->sources, 4);
        if (err)
            goto out;
        pthread_mutex_init(&s->lock, NULL);
    }
    *out = l;
    l = NULL;
out:
    limits_free(&l);
    return err;
}

static void free_source(struct hash_node *node, void *arg)
{
    free(TD_CONTAINER_OF(node, struct source, node));
}

void limits_free(struct limits **lp)
{
    struct limits *l = *lp;

    if (!l)
        return;
    *lp = NULL;
    for (unsigned i = 0; i < l->n_shards; i++) {
        hash_each(&l->shards[i].sources, free_source, NULL);
        hash_fini(&l->shards[i].sources);
        pthread_mutex_destroy(&l->shards[i].lock);
    }
    free(l);
}

void limits_set(struct limits *l, uint64_t connections, uint64_t per_address)
{
    __atomic_store_n(&l->max, connections, __ATOMIC_RELAXED);
    __atomic_store_n(&l->per_address, per_address, __ATOMIC_RELAXED);
}

static struct shard *find_shard(struct limits *l, const struct addr *a, struct source_key *key, uint64_t *hash)
{
    *key = (struct source_key){ .family = a->sa.sa_family };
    if (a->sa.sa_family == AF_INET6)
        memcpy(key->bytes, a->in6.sin6_addr.s6_addr, 8);
    else
        memcpy(key->bytes, &a->in.sin_addr, 4);
    *hash = hash_bytes(key, sizeof *key);
    return &l->shards[*hash >> (64 - SHARD_BITS)]; /* the table uses the low bits */
}

static struct source *find_source(struct shard *s, const struct source_key *key, uint64_t hash)
{
    for (struct hash_node *n = hash_first(&s->sources, hash); n; n = hash_next(n)) {
        struct source *src = TD_CONTAINER_OF(n, struct source, node);

        if (memcmp(&src->key, key, sizeof *key) == 0)
            return src;
    }
    return NULL;
}

/* Under the shard's lock, as are those below. */
static void forget_if_idle(struct shard *s, struct source *src)
{
    if (src->open || src->banned_until || src->by_datagram)
        return;
    hash_remove(&s->sources, &src->node);
    free(src);
}

static void lift_ban(struct limits *l, struct source *src)
{
    src->banned_until = 0;
    __atomic_fetch_sub(&l->n_bans, 1, __ATOMIC_RELAXED);
}

/* Banned now? A ban whose time is over is lifted. */
static bool is_banned(struct limits *l, struct source *src, uint64_t now)
{
    if (src->banned_until && src->banned_until <= now)
        lift_ban(l, src);
    return src->banned_until != 0;
}

static struct source *add_source(struct shard *s, const struct source_key *key, uint64_t hash)
{
    struct source *src = calloc(1, sizeof *src);

    if (src) {
        src->key = *key;
        hash_insert(&s->sources, &src->node, hash);
    }
    return src;
}

static bool enter_source(struct limits *l, struct shard *s, const struct source_key *key, uint64_t hash)
{
    uint64_t max = __atomic_load_n(&l->per_address, __ATOMIC_RELAXED);
    struct source *src = find_source(s, key, hash);

    if (src && is_banned(l, src, l->now_s()))
        return false;
    if (!src)
        src = max > 0 ? add_source(s, key, hash) : NULL;
    if (!src)
        return false;
    if (src->open >= max) {
        forget_if_idle(s, src);
        return false;
    }
    src->open++;
    return true;
}

enum limits_entry limits_count(struct limits *l)
{
    uint64_t before = __atomic_fetch_add(&l->open, 1, __ATOMIC_RELAXED);

    return before < __atomic_load_n(&l->max, __ATOMIC_RELAXED) ? LIMITS_ENTERED : LIMITS_CROWDED;
}

void limits_uncount(struct limits *l)
{
    __atomic_fetch_sub(&l->open, 1, __ATOMIC_RELAXED);
}

uint64_t limits_excess(const struct limits *l)
{
    uint64_t open = __atomic_load_n(&l->open, __ATOMIC_RELAXED), max = __atomic_load_n(&l->max, __ATOMIC_RELAXED);

    return open > max ? open - max : 0;
}

enum limits_entry limits_enter(struct limits *l, const struct addr *a)
{
    struct source_key key;
    uint64_t hash;
    struct shard *s = find_shard(l, a, &key, &hash);
    bool may;

    pthread_mutex_lock(&s->lock);
    may = enter_source(l, s, &key, hash);
    pthread_mutex_unlock(&s->lock);
    return may ? limits_count(l) : LIMITS_REFUSED; /* in this order: who has had his share makes nobody else go */
}

void limits_leave(struct limits *l, const struct addr *a)
{
    struct source_key key;
    uint64_t hash;
    struct shard *s = find_shard(l, a, &key, &hash);
    struct source *src;

    pthread_mutex_lock(&s->lock);
    src = find_source(s, &key, hash);
    assert(src); /* who leaves has entered */
    src->open--;
    is_banned(l, src, l->now_s());
    forget_if_idle(s, src);
    pthread_mutex_unlock(&s->lock);
    limits_uncount(l);
}

void limits_set_clock(struct limits *l, uint64_t (*now_s)(void))
{
    l->now_s = now_s;
}

void limits_set_requests(struct limits *l, uint64_t per_second, uint64_t ban_s)
{
    __atomic_store_n(&l->per_second, per_second, __ATOMIC_RELAXED);
    __atomic_store_n(&l->ban_s, ban_s, __ATOMIC_RELAXED);
}

/* A walk over all bans, which lifts those whose time is over. */
struct ban_walk {
    struct limits *limits;
    struct shard *shard;
    uint64_t now;
    struct limits_ban *v; /* NULL: only lift */
    size_t n, room;
};

static void walk_source(struct hash_node *node, void *arg)
{
    struct source *src = TD_CONTAINER_OF(node, struct source, node);
    struct ban_walk *w = arg;

    if (!is_banned(w->limits, src, w->now))
        forget_if_idle(w->shard, src);
    else if (w->n < w->room)
        w->v[w->n++] = (struct limits_ban){ src->addr, src->banned_until - w->now, src->reason };
}

static void walk(struct ban_walk *w, void (*fn)(struct hash_node *node, void *arg))
{
    w->now = w->limits->now_s();
    for (unsigned i = 0; i < SHARDS; i++) {
        w->shard = &w->limits->shards[i];
        pthread_mutex_lock(&w->shard->lock);
        hash_each(&w->shard->sources, fn, w);
        pthread_mutex_unlock(&w->shard->lock);
    }
}

static void walk_bans(struct ban_walk *w)
{
    walk(w, walk_source);
}

/* Room for one more ban? Holds no lock. */
static bool has_room(struct limits *l)
{
    struct ban_walk w = { .limits = l };

    if (__atomic_load_n(&l->n_bans, __ATOMIC_RELAXED) >= LIMITS_BANS_MAX)
        walk_bans(&w);
    return __atomic_load_n(&l->n_bans, __ATOMIC_RELAXED) < LIMITS_BANS_MAX;
}

static void set_ban(struct limits *l, struct source *src, const struct addr *a, uint64_t seconds, const char *reason)
{
    if (!seconds)
        seconds = __atomic_load_n(&l->ban_s, __ATOMIC_RELAXED);
    if (!src->banned_until)
        __atomic_fetch_add(&l->n_bans, 1, __ATOMIC_RELAXED);
    src->banned_until = l->now_s() + seconds;
    src->reason = reason;
    src->addr = *a;
    addr_set_port(&src->addr, 0);
    if (l->watch)
        l->watch(l->watch_arg, &src->addr, seconds);
}

int limits_ban(struct limits *l, const struct addr *a, uint64_t seconds, const char *reason)
{
    struct source_key key;
    uint64_t hash;
    struct shard *s = find_shard(l, a, &key, &hash);
    struct source *src;

    if (!has_room(l))
        return TD_ELIMIT;
    pthread_mutex_lock(&s->lock);
    src = find_source(s, &key, hash);
    if (!src)
        src = add_source(s, &key, hash);
    if (src)
        set_ban(l, src, a, seconds, reason);
    pthread_mutex_unlock(&s->lock);
    return src ? TD_OK : TD_ENOMEM;
}

bool limits_unban(struct limits *l, const struct addr *a)
{
    struct source_key key;
    uint64_t hash;
    struct shard *s = find_shard(l, a, &key, &hash);
    struct source *src;
    bool was;

    pthread_mutex_lock(&s->lock);
    src = find_source(s, &key, hash);
    was = src && is_banned(l, src, l->now_s());
    if (was)
        lift_ban(l, src);
    if (was && l->watch)
        l->watch(l->watch_arg, a, 0);
    if (src)
        forget_if_idle(s, src);
    pthread_mutex_unlock(&s->lock);
    return was;
}

bool limits_is_banned(struct limits *l, const struct addr *a)
{
    struct source_key key;
    uint64_t hash;
    struct shard *s = find_shard(l, a, &key, &hash);
    struct source *src;
    bool banned;

    if (!__atomic_load_n(&l->n_bans, __ATOMIC_RELAXED))
        return false;
    pthread_mutex_lock(&s->lock);
    src = find_source(s, &key, hash);
    banned = src && is_banned(l, src, l->now_s());
    if (src)
        forget_if_idle(s, src);
    pthread_mutex_unlock(&s->lock);
    return banned;
}

/* One more request in this second: is it within the limit, and its source not shut out? */
static bool count_request(struct limits *l, struct source *src, const struct addr *a, uint64_t max, uint64_t now)
{
    bool may;

    if (src->second != now) {
        src->second = now;
        src->requests = 0;
    }
    may = !is_banned(l, src, now) && ++src->requests <= max;
    if (!may && !src->banned_until && __atomic_load_n(&l->n_bans, __ATOMIC_RELAXED) < LIMITS_BANS_MAX)
        set_ban(l, src, a, 0, limits_why_text(LIMITS_REQUESTS));
    return may;
}

bool limits_request(struct limits *l, const struct addr *a)
{
    uint64_t max = __atomic_load_n(&l->per_second, __ATOMIC_RELAXED), now;
    struct source_key key;
    uint64_t hash;
    struct source *src;
    struct shard *s;
    bool may = true;

    if (!max)
        return true;
    s = find_shard(l, a, &key, &hash);
    now = l->now_s();
    pthread_mutex_lock(&s->lock);
    src = find_source(s, &key, hash);
    if (src)
        may = count_request(l, src, a, max, now);
    pthread_mutex_unlock(&s->lock);
    return may;
}

static struct source *add_datagram_source(struct limits *l, struct shard *s, const struct source_key *key, uint64_t hash)
{
    struct source *src;

    if (__atomic_load_n(&l->n_datagram, __ATOMIC_RELAXED) >= LIMITS_DATAGRAM_SOURCES_MAX)
        return NULL;
    src = add_source(s, key, hash);
    if (src) {
        src->by_datagram = true;
        __atomic_fetch_add(&l->n_datagram, 1, __ATOMIC_RELAXED);
    }
    return src;
}

enum limits_verdict limits_datagram(struct limits *l, const struct addr *a)
{
    uint64_t max = __atomic_load_n(&l->per_second, __ATOMIC_RELAXED), now = l->now_s(), hash;
    enum limits_verdict v = LIMITS_PASS;
    struct source_key key;
    struct source *src;
    struct shard *s;

    if (!max)
        return limits_is_banned(l, a) ? LIMITS_DROP : LIMITS_PASS;
    s = find_shard(l, a, &key, &hash);
    pthread_mutex_lock(&s->lock);
    src = find_source(s, &key, hash);
    if (!src)
        src = add_datagram_source(l, s, &key, hash);
    if (src && is_banned(l, src, now))
        v = LIMITS_DROP;
    else if (src && !count_request(l, src, a, max, now))
        v = src->banned_until ? LIMITS_BAN : LIMITS_DROP;
    pthread_mutex_unlock(&s->lock);
    return v;
}

static void sweep_source(struct hash_node *node, void *arg)
{
    struct source *src = TD_CONTAINER_OF(node, struct source, node);
    struct ban_walk *w = arg;

    if (src->by_datagram && src->second < w->now) {
        src->by_datagram = false;
        __atomic_fetch_sub(&w->limits->n_datagram, 1, __ATOMIC_RELAXED);
    }
    is_banned(w->limits, src, w->now);
    forget_if_idle(w->shard, src);
}

void limits_sweep(struct limits *l)
{
    struct ban_walk w = { .limits = l };

    walk(&w, sweep_source);
}

void limits_watch(struct limits *l, limits_watch_fn *fn, void *arg)
{
    l->watch = fn;
    l->watch_arg = arg;
}

const char *limits_why_text(enum limits_why why)
{
    static const char *const texts[LIMITS_WHY_N] = { "by hand", "too many requests", "a scanner" };

    return texts[why];
}

int limits_bans(struct limits *l, struct limits_ban **out, size_t *n)
{
    /* the room is for those that are there now; what is added meanwhile is left out */
    struct ban_walk w = { .limits = l, .room = __atomic_load_n(&l->n_bans, __ATOMIC_RELAXED) };

    *out = NULL;
    *n = 0;
    w.v = calloc(w.room ? w.room : 1, sizeof *w.v);
    if (!w.v)
        return TD_ENOMEM;
    walk_bans(&w);
    *out = w.v;
    *n = w.n;
    return TD_OK;
}
