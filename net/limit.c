/* Connection limits: a total, and a count for each source, in shards with a lock each. */
#include "net/limit.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

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
    uint64_t open; /* never 0 while in the table */
};

struct shard {
    pthread_mutex_t lock;
    struct hash sources; /* under lock; owns its elements */
};

struct limits {
    uint64_t max, per_address; /* atomic */
    uint64_t open;             /* atomic: in all */
    unsigned n_shards;         /* initialised so far */
    struct shard shards[SHARDS];
};

int limits_new(struct limits **out, uint64_t connections, uint64_t per_address)
{
    struct limits *l = calloc(1, sizeof *l);
    int err = TD_ENOMEM;

    *out = NULL;
    if (!l)
        return err;
    limits_set(l, connections, per_address);
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

static bool enter_source(struct shard *s, const struct source_key *key, uint64_t hash, uint64_t max)
{
    struct source *src = find_source(s, key, hash);

    if (src) {
        if (src->open >= max)
            return false;
        src->open++;
        return true;
    }
    src = max > 0 ? malloc(sizeof *src) : NULL;
    if (!src)
        return false;
    *src = (struct source){ .key = *key, .open = 1 };
    hash_insert(&s->sources, &src->node, hash);
    return true;
}

bool limits_enter(struct limits *l, const struct addr *a)
{
    struct source_key key;
    struct shard *s;
    uint64_t hash;
    bool may;

    if (__atomic_fetch_add(&l->open, 1, __ATOMIC_RELAXED) >= __atomic_load_n(&l->max, __ATOMIC_RELAXED)) {
        __atomic_fetch_sub(&l->open, 1, __ATOMIC_RELAXED);
        return false;
    }
    s = find_shard(l, a, &key, &hash);
    pthread_mutex_lock(&s->lock);
    may = enter_source(s, &key, hash, __atomic_load_n(&l->per_address, __ATOMIC_RELAXED));
    pthread_mutex_unlock(&s->lock);
    if (!may)
        __atomic_fetch_sub(&l->open, 1, __ATOMIC_RELAXED);
    return may;
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
    if (--src->open == 0) {
        hash_remove(&s->sources, &src->node);
        free(src);
    }
    pthread_mutex_unlock(&s->lock);
    __atomic_fetch_sub(&l->open, 1, __ATOMIC_RELAXED);
}
