/* Nonces and the counts already used with them. */
#include "auth/nonce.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/crypto.h"
#include "common/err.h"
#include "common/hash.h"
#include "common/list.h"

enum {
    STRIPES = 64,
    TIME_BYTES = 4,
    RANDOM_BYTES = 8,
    SEED_BYTES = TIME_BYTES + RANDOM_BYTES,
    MAC_BYTES = 16,
    KEY_BYTES = 32
};
enum { OPAQUE_LEN = 22, STRIPE_MAX = NONCE_TABLE_MAX / STRIPES, WINDOW = 64 };

struct used {
    struct hash_node node;
    struct list age; /* in the order of first use */
    uint8_t seed[SEED_BYTES];
    uint64_t issued;
    uint32_t highest;
    uint64_t window; /* bit i: count highest - 1 - i was used */
};

struct stripe {
    pthread_mutex_t lock;
    struct hash table;
    struct list age;
    struct crypto_mac *mac;      /* owned: by the secret of the nonces made now; each stripe has its own */
    struct crypto_mac *last_mac; /* owned: by the one before it; NULL: there was none */
    uint64_t mac_made;
    uint64_t forgotten; /* nonces issued then or before, and not in the table, are stale; 0: none was forgotten */
};

struct nonces {
    char opaque[OPAQUE_LEN + 1];
    struct stripe stripes[STRIPES];
};

static int secret_draw(struct crypto_mac **out)
{
    uint8_t key[KEY_BYTES];

    crypto_random(key, sizeof key);
    return crypto_mac_new(out, sv_make(key, sizeof key));
}

int nonces_new(struct nonces **out)
{
    struct nonces *n = calloc(1, sizeof *n);
    int err = TD_OK;

    *out = NULL;
    if (!n)
        return TD_ENOMEM;
    crypto_random_name(n->opaque, OPAQUE_LEN);
    for (int i = 0; i < STRIPES; i++) {
        pthread_mutex_init(&n->stripes[i].lock, NULL);
        list_init(&n->stripes[i].age);
        if (!err)
            err = hash_init(&n->stripes[i].table, 4);
        if (!err)
            err = secret_draw(&n->stripes[i].mac);
    }
    if (err)
        nonces_free(&n);
    *out = n;
    return err;
}

static void used_free(struct stripe *s, struct used *u)
{
    hash_remove(&s->table, &u->node);
    list_remove(&u->age);
    free(u);
}

void nonces_free(struct nonces **np)
{
    struct nonces *n = *np;

    if (!n)
        return;
    *np = NULL;
    for (int i = 0; i < STRIPES; i++) {
        list_each_safe(node, &n->stripes[i].age)
            used_free(&n->stripes[i], list_item(node, struct used, age));
        hash_fini(&n->stripes[i].table);
        crypto_mac_free(&n->stripes[i].mac);
        crypto_mac_free(&n->stripes[i].last_mac);
        pthread_mutex_destroy(&n->stripes[i].lock);
    }
    free(n);
}

const char *nonces_opaque(const struct nonces *n)
{
    return n->opaque;
}

static struct stripe *stripe_of(struct nonces *n, uint64_t seed_hash)
{
    return &n->stripes[seed_hash >> 58];
}

/* HMAC(secret, seed | realm). The stripe is locked. */
static void nonce_mac(struct crypto_mac *mac, const uint8_t seed[SEED_BYTES], struct sv realm, uint8_t out[32])
{
    crypto_mac_add(mac, sv_make(seed, SEED_BYTES));
    crypto_mac_add(mac, realm);
    crypto_mac_end(mac, out);
}

/* A new secret once a lifetime, so that what the one that is dropped has made is stale by then. The stripe is locked. */
static void secret_rotate(struct stripe *s, uint64_t now_s, uint64_t lifetime_s)
{
    struct crypto_mac *fresh;

    if (!s->mac_made)
        s->mac_made = now_s;
    if (now_s <= s->mac_made + lifetime_s || secret_draw(&fresh)) /* without memory the old one serves on */
        return;
    crypto_mac_free(&s->last_mac);
    s->last_mac = s->mac;
    s->mac = fresh;
    s->mac_made = now_s;
}

static void to_hex(const uint8_t *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
}

static bool from_hex(struct sv hex, uint8_t *out)
{
    for (size_t i = 0; i < hex.n; i++) {
        char c = hex.p[i];
        unsigned v = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 16;

        if (v > 15)
            return false;
        out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] | v : v << 4);
    }
    return true;
}

void nonce_make(struct nonces *n, struct sv realm, uint64_t now_s, uint64_t lifetime_s, char out[NONCE_LEN + 1])
{
    uint8_t seed[SEED_BYTES], mac[32];
    struct stripe *s;

    for (int i = 0; i < TIME_BYTES; i++)
        seed[i] = (uint8_t)(now_s >> (8 * (TIME_BYTES - 1 - i)));
    crypto_random(seed + TIME_BYTES, RANDOM_BYTES);
    s = stripe_of(n, hash_bytes(seed, SEED_BYTES));
    pthread_mutex_lock(&s->lock);
    secret_rotate(s, now_s, lifetime_s);
    nonce_mac(s->mac, seed, realm, mac);
    pthread_mutex_unlock(&s->lock);
    to_hex(seed, SEED_BYTES, out);
    to_hex(mac, MAC_BYTES, out + 2 * SEED_BYTES);
    out[NONCE_LEN] = '\0';
}

static uint64_t seed_time(const uint8_t seed[SEED_BYTES])
{
    uint64_t t = 0;

    for (int i = 0; i < TIME_BYTES; i++)
        t = t << 8 | seed[i];
    return t;
}

/* Has this secret made it? */
static bool is_by(struct crypto_mac *by, const uint8_t bytes[NONCE_LEN / 2], struct sv realm)
{
    uint8_t mac[32];

    nonce_mac(by, bytes, realm, mac);
    return crypto_equal(sv_make(bytes + SEED_BYTES, MAC_BYTES), sv_make(mac, MAC_BYTES));
}

enum nonce_state nonce_check(struct nonces *n, struct sv nonce, struct sv realm, uint64_t now_s,
                             uint64_t lifetime_s)
{
    uint8_t bytes[NONCE_LEN / 2];
    struct stripe *s;
    bool ours;

    if (nonce.n != NONCE_LEN || !from_hex(nonce, bytes))
        return NONCE_FOREIGN;
    s = stripe_of(n, hash_bytes(bytes, SEED_BYTES));
    pthread_mutex_lock(&s->lock);
    ours = is_by(s->mac, bytes, realm) || (s->last_mac && is_by(s->last_mac, bytes, realm));
    pthread_mutex_unlock(&s->lock);
    if (!ours)
        return NONCE_FOREIGN;
    /* Another thread's clock may have ticked before ours: then it is new. */
    return now_s > seed_time(bytes) + lifetime_s ? NONCE_STALE : NONCE_GOOD;
}

/* Has this count not been used? Then it is now. */
static bool take_count(struct used *u, uint32_t nc)
{
    uint32_t behind;

    if (nc > u->highest) {
        uint32_t ahead = nc - u->highest;

        u->window = ahead >= WINDOW ? 0 : u->window << ahead;
        if (ahead <= WINDOW)
            u->window |= (uint64_t)1 << (ahead - 1);
        u->highest = nc;
        return true;
    }
    behind = u->highest - nc;
    if (behind == 0 || behind > WINDOW || u->window >> (behind - 1) & 1)
        return false;
    u->window |= (uint64_t)1 << (behind - 1);
    return true;
}

static struct used *used_find(struct stripe *s, uint64_t hash, const uint8_t seed[SEED_BYTES])
{
    for (struct hash_node *node = hash_first(&s->table, hash); node; node = hash_next(node)) {
        struct used *u = TD_CONTAINER_OF(node, struct used, node);

        if (memcmp(u->seed, seed, SEED_BYTES) == 0)
            return u;
    }
    return NULL;
}

/* Room for one more: the over-aged ones go (their time is over anyway), and the oldest if there is none of those. */
static void stripe_make_room(struct stripe *s, uint64_t now_s, uint64_t lifetime_s)
{
    while (!list_is_empty(&s->age)) {
        struct used *oldest = list_item(s->age.next, struct used, age);

        if (now_s <= oldest->issued + lifetime_s) {
            if (s->table.n < STRIPE_MAX)
                return;
            s->forgotten = TD_MAX(s->forgotten, oldest->issued);
        }
        used_free(s, oldest);
    }
}

bool nonce_use(struct nonces *n, struct sv nonce, uint32_t nc, uint64_t now_s, uint64_t first_use_s, uint64_t lifetime_s)
{
    uint8_t seed[SEED_BYTES];
    struct stripe *s;
    struct used *u;
    uint64_t hash, issued;
    bool good = false;

    if (nc == 0 || nonce.n != NONCE_LEN || !from_hex(sv_upto(nonce, sizeof seed * 2), seed))
        return false;
    hash = hash_bytes(seed, sizeof seed);
    issued = seed_time(seed);
    s = stripe_of(n, hash);
    pthread_mutex_lock(&s->lock);
    u = used_find(s, hash, seed);
    if (u) {
        good = take_count(u, nc);
        goto out;
    }
    if (now_s > issued + first_use_s || (s->forgotten && issued <= s->forgotten))
        goto out;
    stripe_make_room(s, now_s, lifetime_s);
    u = calloc(1, sizeof *u);
    if (!u) /* what cannot be remembered cannot be accepted */
        goto out;
    memcpy(u->seed, seed, sizeof seed);
    u->issued = issued;
    u->highest = nc;
    hash_insert(&s->table, &u->node, hash);
    list_append(&s->age, &u->age);
    good = true;
out:
    pthread_mutex_unlock(&s->lock);
    return good;
}
