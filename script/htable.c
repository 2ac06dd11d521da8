/* Hash tables shared by all scripts of a process. */
#include "script/htable.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/err.h"
#include "common/hash.h"

enum { STRIPES = 16, SWEEP_MS = 1000, SIZE_MAX_LOG2 = 20 };

struct entry {
    struct hash_node node;
    uint64_t expires_ms; /* 0: never */
    bool is_int;
    int64_t i;
    uint32_t key_n, text_n;
    char bytes[];        /* key, text */
};

struct stripe {
    pthread_mutex_t lock;
    struct hash hash;    /* struct entry, owned */
    uint64_t swept_ms;
};

struct htable {
    char *name;          /* owned */
    unsigned log2_slots;
    int64_t autoexpire_s;
    bool updateexpire, has_initval;
    int64_t initval;
    size_t stripe_max;   /* entries */
    struct stripe stripes[STRIPES];
};

struct htables {
    size_t n;
    struct htable *v;    /* owned */
};

/* ---- definitions ---- */

static bool read_option(struct htable *t, struct sv name, struct sv value)
{
    bool minus = value.n && value.p[0] == '-';
    uint64_t n;

    if (!sv_to_u64(sv_from(value, minus), &n, NULL) || n > INT32_MAX)
        return false;
    if (sv_eq(name, SV("initval"))) {
        t->has_initval = true;
        t->initval = minus ? -(int64_t)n : (int64_t)n;
        return true;
    }
    if (minus)
        return false;
    if (sv_eq(name, SV("size")) && n >= 1 && n <= SIZE_MAX_LOG2)
        t->log2_slots = (unsigned)n;
    else if (sv_eq(name, SV("autoexpire")))
        t->autoexpire_s = (int64_t)n;
    else if (sv_eq(name, SV("updateexpire")) && n <= 1)
        t->updateexpire = n;
    else
        return false;
    return true;
}

static bool read_definition(struct htable *t, struct sv text)
{
    size_t arrow = sv_find(text, '=');
    struct sv rest;

    t->log2_slots = 8;
    t->updateexpire = true;
    if (arrow == 0 || arrow + 1 >= text.n || text.p[arrow + 1] != '>')
        return false;
    for (rest = sv_from(text, arrow + 2); rest.n;) {
        struct sv option = sv_upto(rest, sv_find(rest, ';'));
        size_t is = sv_find(option, '=');

        if (option.n && !read_option(t, sv_upto(option, is), sv_from(option, is + 1)))
            return false;
        rest = sv_from(rest, option.n + 1);
    }
    t->name = sv_dup(sv_upto(text, arrow));
    return t->name != NULL;
}

int htables_new(struct htables **out, const struct conf_list *defs, struct buf *fault)
{
    struct htables *t = calloc(1, sizeof *t);
    int err = TD_ENOMEM;

    *out = NULL;
    if (!t)
        return err;
    t->v = calloc(defs->n + 1, sizeof *t->v);
    if (!t->v)
        goto out;
    for (size_t i = 0; i < defs->n; i++) {
        struct htable *table = &t->v[t->n++];

        for (int k = 0; k < STRIPES; k++)
            pthread_mutex_init(&table->stripes[k].lock, NULL);
        if (!read_definition(table, sv_of(defs->v[i]))) {
            buf_printf(fault, "script.htable: '%s' is not NAME=>OPTION=VALUE;... with size, autoexpire, updateexpire, initval", defs->v[i]);
            err = TD_EINVAL;
            goto out;
        }
        table->stripe_max = TD_MAX(((size_t)HTABLE_PER_SLOT << table->log2_slots) / STRIPES, (size_t)1);
        for (size_t k = 0; k + 1 < t->n; k++)
            if (strcmp(t->v[k].name, table->name) == 0) {
                buf_printf(fault, "script.htable: '%s' is there twice", table->name);
                err = TD_EINVAL;
                goto out;
            }
        for (int k = 0; k < STRIPES; k++)
            if (hash_init(&table->stripes[k].hash, 2))
                goto out;
    }
    *out = t;
    t = NULL;
    err = TD_OK;
out:
    htables_free(&t);
    return err;
}

static void entry_free(struct hash_node *n, void *arg)
{
    hash_remove(arg, n);
    free(TD_CONTAINER_OF(n, struct entry, node));
}

void htables_free(struct htables **tp)
{
    struct htables *t = *tp;

    if (!t)
        return;
    *tp = NULL;
    for (size_t i = 0; t->v && i < t->n; i++) {
        for (int k = 0; k < STRIPES; k++) {
            struct stripe *s = &t->v[i].stripes[k];

            if (s->hash.slots)
                hash_each(&s->hash, entry_free, &s->hash);
            hash_fini(&s->hash);
            pthread_mutex_destroy(&s->lock);
        }
        free(t->v[i].name);
    }
    free(t->v);
    free(t);
}

struct htable *htables_find(const struct htables *t, struct sv name)
{
    for (size_t i = 0; i < t->n; i++)
        if (sv_eq(sv_of(t->v[i].name), name))
            return &t->v[i];
    return NULL;
}

/* ---- one stripe, under its lock ---- */

static struct stripe *stripe_lock(struct htable *t, struct sv key, uint64_t *hash)
{
    struct stripe *s;

    *hash = hash_bytes(key.p, key.n);
    s = &t->stripes[*hash >> 60];
    pthread_mutex_lock(&s->lock);
    return s;
}

_Static_assert(STRIPES == 16, "the four highest bits of the hash choose the stripe");

static bool is_over(const struct entry *e, uint64_t now_ms)
{
    return e->expires_ms && e->expires_ms <= now_ms;
}

static void drop(struct stripe *s, struct entry *e)
{
    hash_remove(&s->hash, &e->node);
    free(e);
}

static struct entry *find(struct stripe *s, struct sv key, uint64_t hash, uint64_t now_ms)
{
    for (struct hash_node *n = hash_first(&s->hash, hash); n; n = hash_next(n)) {
        struct entry *e = TD_CONTAINER_OF(n, struct entry, node);

        if (!sv_eq(sv_make(e->bytes, e->key_n), key))
            continue;
        if (!is_over(e, now_ms))
            return e;
        drop(s, e);
        return NULL;
    }
    return NULL;
}

struct sweep {
    struct stripe *s;
    uint64_t now_ms;
};

static void sweep_one(struct hash_node *n, void *arg)
{
    struct sweep *w = arg;
    struct entry *e = TD_CONTAINER_OF(n, struct entry, node);

    if (is_over(e, w->now_ms))
        drop(w->s, e);
}

/* Looked through at most once a second, so that a table full of what lives on costs little. */
static bool has_room(struct htable *t, struct stripe *s, uint64_t now_ms)
{
    if (s->hash.n < t->stripe_max)
        return true;
    if (now_ms - s->swept_ms >= SWEEP_MS || s->swept_ms == 0) {
        s->swept_ms = now_ms;
        hash_each(&s->hash, sweep_one, &(struct sweep){ s, now_ms });
    }
    return s->hash.n < t->stripe_max;
}

static uint64_t expiry(const struct htable *t, const struct entry *old, int64_t expires_s, uint64_t now_ms)
{
    if (expires_s < 0) {
        if (old && !t->updateexpire)
            return old->expires_ms;
        expires_s = t->autoexpire_s;
    }
    return expires_s ? now_ms + (uint64_t)TD_MIN(expires_s, (int64_t)INT32_MAX) * 1000 : 0;
}

/* A value in the place of the old one, if there is one. */
static bool put(struct htable *t, struct stripe *s, struct sv key, uint64_t hash, bool is_int, int64_t i, struct sv text,
                int64_t expires_s, uint64_t now_ms)
{
    struct entry *old = find(s, key, hash, now_ms), *e;
    uint64_t expires_ms = expiry(t, old, expires_s, now_ms);

    if (old && old->text_n == text.n) {
        e = old;
    } else {
        if (!old && !has_room(t, s, now_ms))
            return false;
        e = malloc(sizeof *e + key.n + text.n);
        if (!e)
            return false;
        if (old)
            drop(s, old);
        e->key_n = (uint32_t)key.n;
        e->text_n = (uint32_t)text.n;
        memcpy(e->bytes, key.p, key.n);
        hash_insert(&s->hash, &e->node, hash);
    }
    e->expires_ms = expires_ms;
    e->is_int = is_int;
    e->i = i;
    if (text.n)
        memcpy(e->bytes + key.n, text.p, text.n);
    return true;
}

static bool is_good_key(struct sv key)
{
    return key.n && key.n <= HTABLE_KEY_MAX;
}

/* ---- what is asked of a table ---- */

bool htable_get(struct htable *t, struct sv key, uint64_t now_ms, struct htable_value *out)
{
    uint64_t hash;
    struct stripe *s = stripe_lock(t, key, &hash);
    const struct entry *e = find(s, key, hash, now_ms);

    if (e) {
        out->is_int = e->is_int;
        out->i = e->i;
        out->n = e->text_n;
        memcpy(out->text, e->bytes + e->key_n, e->text_n);
    }
    pthread_mutex_unlock(&s->lock);
    if (!e && t->has_initval) {
        out->is_int = true;
        out->i = t->initval;
        out->n = 0;
    }
    return e || t->has_initval;
}

bool htable_set_text(struct htable *t, struct sv key, struct sv value, int64_t expires_s, uint64_t now_ms)
{
    struct stripe *s;
    uint64_t hash;
    bool done;

    if (!is_good_key(key) || value.n > HTABLE_VALUE_MAX)
        return false;
    s = stripe_lock(t, key, &hash);
    done = put(t, s, key, hash, false, 0, value, expires_s, now_ms);
    pthread_mutex_unlock(&s->lock);
    return done;
}

bool htable_set_int(struct htable *t, struct sv key, int64_t value, int64_t expires_s, uint64_t now_ms)
{
    struct stripe *s;
    uint64_t hash;
    bool done;

    if (!is_good_key(key))
        return false;
    s = stripe_lock(t, key, &hash);
    done = put(t, s, key, hash, true, value, SV(""), expires_s, now_ms);
    pthread_mutex_unlock(&s->lock);
    return done;
}

bool htable_add(struct htable *t, struct sv key, int64_t by, uint64_t now_ms, int64_t *out)
{
    struct stripe *s;
    struct entry *e;
    uint64_t hash;
    bool done;

    if (!is_good_key(key))
        return false;
    s = stripe_lock(t, key, &hash);
    e = find(s, key, hash, now_ms);
    *out = (int64_t)((uint64_t)(e ? e->i : t->initval) + (uint64_t)by);
    done = (!e || e->is_int) && put(t, s, key, hash, true, *out, SV(""), -1, now_ms);
    pthread_mutex_unlock(&s->lock);
    return done;
}

bool htable_set_expires(struct htable *t, struct sv key, int64_t expires_s, uint64_t now_ms)
{
    uint64_t hash;
    struct stripe *s = stripe_lock(t, key, &hash);
    struct entry *e = find(s, key, hash, now_ms);

    if (e)
        e->expires_ms = expiry(t, NULL, TD_MAX(expires_s, (int64_t)0), now_ms);
    pthread_mutex_unlock(&s->lock);
    return e != NULL;
}

bool htable_get_expires(struct htable *t, struct sv key, uint64_t now_ms, int64_t *out)
{
    uint64_t hash;
    struct stripe *s = stripe_lock(t, key, &hash);
    const struct entry *e = find(s, key, hash, now_ms);

    if (e)
        *out = e->expires_ms ? (int64_t)((e->expires_ms - now_ms + 999) / 1000) : 0;
    pthread_mutex_unlock(&s->lock);
    return e != NULL;
}

bool htable_remove(struct htable *t, struct sv key, uint64_t now_ms)
{
    uint64_t hash;
    struct stripe *s = stripe_lock(t, key, &hash);
    struct entry *e = find(s, key, hash, now_ms);

    if (e)
        drop(s, e);
    pthread_mutex_unlock(&s->lock);
    return e != NULL;
}

void htable_reset(struct htable *t)
{
    for (int k = 0; k < STRIPES; k++) {
        pthread_mutex_lock(&t->stripes[k].lock);
        hash_each(&t->stripes[k].hash, entry_free, &t->stripes[k].hash);
        pthread_mutex_unlock(&t->stripes[k].lock);
    }
}

size_t htable_count(struct htable *t)
{
    size_t n = 0;

    for (int k = 0; k < STRIPES; k++) {
        pthread_mutex_lock(&t->stripes[k].lock);
        n += t->stripes[k].hash.n;
        pthread_mutex_unlock(&t->stripes[k].lock);
    }
    return n;
}

size_t htable_max(const struct htable *t)
{
    return t->stripe_max * STRIPES;
}
