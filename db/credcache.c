/* Credentials remembered for a while. */
#include "db/credcache.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/err.h"
#include "common/hash.h"
#include "common/list.h"

enum { STRIPES = 16 };

struct entry {
    struct hash_node node;
    struct list use;
    uint64_t until_ms;
    struct db_cred cred;
    size_t user_n, domain_n;
    char key[]; /* user, NUL, domain */
};

struct stripe {
    pthread_mutex_t lock;
    struct hash table;
    struct list use; /* least recently used first */
};

struct cred_cache {
    struct stripe stripes[STRIPES];
    size_t stripe_max;
    uint64_t generation; /* atomic */
};

int cred_cache_new(struct cred_cache **out, size_t max)
{
    struct cred_cache *c = calloc(1, sizeof *c);
    int err = TD_OK;

    *out = NULL;
    if (!c)
        return TD_ENOMEM;
    c->stripe_max = max / STRIPES;
    for (int i = 0; i < STRIPES; i++) {
        pthread_mutex_init(&c->stripes[i].lock, NULL);
        list_init(&c->stripes[i].use);
        if (!err)
            err = hash_init(&c->stripes[i].table, 4);
    }
    if (err)
        cred_cache_free(&c);
    *out = c;
    return err;
}

static void entry_free(struct stripe *s, struct entry *e)
{
    hash_remove(&s->table, &e->node);
    list_remove(&e->use);
    free(e);
}

static void stripe_clear(struct stripe *s)
{
    list_each_safe(node, &s->use)
        entry_free(s, list_item(node, struct entry, use));
}

void cred_cache_free(struct cred_cache **cp)
{
    struct cred_cache *c = *cp;

    if (!c)
        return;
    *cp = NULL;
    for (int i = 0; i < STRIPES; i++) {
        stripe_clear(&c->stripes[i]);
        hash_fini(&c->stripes[i].table);
        pthread_mutex_destroy(&c->stripes[i].lock);
    }
    free(c);
}

/* The caller has checked the lengths. */
static uint64_t key_hash(struct sv user, struct sv domain)
{
    char key[2 * DB_CRED_NAME_MAX + 1];

    memcpy(key, user.p, user.n);
    key[user.n] = '\0';
    memcpy(key + user.n + 1, domain.p, domain.n);
    return hash_bytes(key, user.n + 1 + domain.n);
}

static struct stripe *stripe_of(struct cred_cache *c, uint64_t hash)
{
    return &c->stripes[hash >> 60];
}

static struct entry *entry_find(struct stripe *s, uint64_t hash, struct sv user, struct sv domain)
{
    for (struct hash_node *n = hash_first(&s->table, hash); n; n = hash_next(n)) {
        struct entry *e = TD_CONTAINER_OF(n, struct entry, node);

        if (sv_eq(sv_make(e->key, e->user_n), user) && sv_eq(sv_make(e->key + e->user_n + 1, e->domain_n), domain))
            return e;
    }
    return NULL;
}

bool cred_cache_get(struct cred_cache *c, struct sv user, struct sv domain, uint64_t now_ms, struct db_cred *out)
{
    uint64_t hash = key_hash(user, domain);
    struct stripe *s = stripe_of(c, hash);
    bool hit = false;
    struct entry *e;

    pthread_mutex_lock(&s->lock);
    e = entry_find(s, hash, user, domain);
    if (e && now_ms < e->until_ms) {
        *out = e->cred;
        list_remove(&e->use);
        list_append(&s->use, &e->use);
        hit = true;
    }
    pthread_mutex_unlock(&s->lock);
    return hit;
}

void cred_cache_put(struct cred_cache *c, struct sv user, struct sv domain, uint64_t now_ms, const struct db_cred *cred,
                    uint64_t generation)
{
    uint64_t hash = key_hash(user, domain);
    struct stripe *s = stripe_of(c, hash);
    struct entry *e;

    pthread_mutex_lock(&s->lock);
    if (generation != cred_cache_generation(c))
        goto out;
    e = entry_find(s, hash, user, domain);
    if (!e) {
        e = calloc(1, sizeof *e + user.n + 1 + domain.n + 1);
        if (!e) /* then it is looked up again next time */
            goto out;
        if (s->table.n >= c->stripe_max)
            entry_free(s, list_item(s->use.next, struct entry, use));
        memcpy(e->key, user.p, user.n);
        memcpy(e->key + user.n + 1, domain.p, domain.n);
        e->user_n = user.n;
        e->domain_n = domain.n;
        list_init(&e->use);
        hash_insert(&s->table, &e->node, hash);
    }
    e->cred = *cred;
    e->until_ms = now_ms + DB_CRED_TTL_MS;
    list_remove(&e->use);
    list_append(&s->use, &e->use);
out:
    pthread_mutex_unlock(&s->lock);
}

uint64_t cred_cache_generation(const struct cred_cache *c)
{
    return __atomic_load_n(&c->generation, __ATOMIC_ACQUIRE);
}

void cred_cache_flush(struct cred_cache *c)
{
    __atomic_add_fetch(&c->generation, 1, __ATOMIC_ACQ_REL); /* first: a put that comes later is refused */
    for (int i = 0; i < STRIPES; i++) {
        pthread_mutex_lock(&c->stripes[i].lock);
        stripe_clear(&c->stripes[i]);
        pthread_mutex_unlock(&c->stripes[i].lock);
    }
}

size_t cred_cache_count(struct cred_cache *c)
{
    size_t n = 0;

    for (int i = 0; i < STRIPES; i++) {
        pthread_mutex_lock(&c->stripes[i].lock);
        n += c->stripes[i].table.n;
        pthread_mutex_unlock(&c->stripes[i].lock);
    }
    return n;
}
