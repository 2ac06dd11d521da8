/* The intrusive hash table and its keyed hash function. */
#include "common/hash.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/crypto.h"
#include "common/err.h"

enum { MOVE_PER_INSERT = 4 };

static uint64_t siphash_key[2];
static pthread_once_t siphash_once = PTHREAD_ONCE_INIT;

static void siphash_seed(void)
{
    crypto_random(siphash_key, sizeof siphash_key);
}

static inline uint64_t rotl(uint64_t v, int b)
{
    return v << b | v >> (64 - b);
}

#define SIPROUND                       \
    do {                               \
        v0 += v1, v1 = rotl(v1, 13);   \
        v1 ^= v0, v0 = rotl(v0, 32);   \
        v2 += v3, v3 = rotl(v3, 16);   \
        v3 ^= v2, v0 += v3;            \
        v3 = rotl(v3, 21), v3 ^= v0;   \
        v2 += v1, v1 = rotl(v1, 17);   \
        v1 ^= v2, v2 = rotl(v2, 32);   \
    } while (0)

uint64_t hash_bytes(const void *p, size_t n)
{
    const unsigned char *in = p;
    uint64_t v0, v1, v2, v3, m, last = (uint64_t)n << 56;

    pthread_once(&siphash_once, siphash_seed);
    v0 = siphash_key[0] ^ 0x736f6d6570736575ULL;
    v1 = siphash_key[1] ^ 0x646f72616e646f6dULL;
    v2 = siphash_key[0] ^ 0x6c7967656e657261ULL;
    v3 = siphash_key[1] ^ 0x7465646279746573ULL;
    for (; n >= 8; n -= 8, in += 8) {
        memcpy(&m, in, 8);
        v3 ^= m;
        SIPROUND;
        SIPROUND;
        v0 ^= m;
    }
    for (size_t i = 0; i < n; i++)
        last |= (uint64_t)in[i] << (8 * i);
    v3 ^= last;
    SIPROUND;
    SIPROUND;
    v0 ^= last;
    v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        SIPROUND;
    return v0 ^ v1 ^ v2 ^ v3;
}

int hash_init(struct hash *h, unsigned log2_slots)
{
    *h = (struct hash){ .n_slots = (size_t)1 << log2_slots };
    h->slots = calloc(h->n_slots, sizeof *h->slots);
    return h->slots ? TD_OK : TD_ENOMEM;
}

void hash_fini(struct hash *h)
{
    free(h->slots);
    free(h->old_slots);
    *h = (struct hash){ 0 };
}

static struct hash_node **hash_slot(const struct hash *h, uint64_t hash)
{
    if (h->old_slots) {
        size_t i = hash & (h->n_old - 1);

        if (i >= h->moved)
            return &h->old_slots[i];
    }
    return &h->slots[hash & (h->n_slots - 1)];
}

static void hash_move_some(struct hash *h)
{
    for (int i = 0; i < MOVE_PER_INSERT && h->old_slots; i++) {
        struct hash_node *node = h->old_slots[h->moved], *next;

        h->moved++;
        for (; node; node = next) {
            struct hash_node **to = &h->slots[node->hash & (h->n_slots - 1)];

            next = node->next;
            node->next = *to;
            *to = node;
        }
        if (h->moved == h->n_old) {
            free(h->old_slots);
            h->old_slots = NULL;
        }
    }
}

void hash_insert(struct hash *h, struct hash_node *node, uint64_t hash)
{
    struct hash_node **slot;

    if (h->old_slots) {
        hash_move_some(h);
    } else if (h->n >= h->n_slots) {
        /* Out of memory here only means longer chains. */
        struct hash_node **grown = calloc(h->n_slots * 2, sizeof *grown);

        if (grown) {
            h->old_slots = h->slots;
            h->n_old = h->n_slots;
            h->moved = 0;
            h->slots = grown;
            h->n_slots *= 2;
        }
    }
    node->hash = hash;
    slot = hash_slot(h, hash);
    node->next = *slot;
    *slot = node;
    h->n++;
}

void hash_remove(struct hash *h, struct hash_node *node)
{
    struct hash_node **at = hash_slot(h, node->hash);

    for (; *at; at = &(*at)->next) {
        if (*at == node) {
            *at = node->next;
            node->next = NULL;
            h->n--;
            return;
        }
    }
}

static struct hash_node *hash_match(struct hash_node *node, uint64_t hash)
{
    while (node && node->hash != hash)
        node = node->next;
    return node;
}

struct hash_node *hash_first(const struct hash *h, uint64_t hash)
{
    return hash_match(*hash_slot(h, hash), hash);
}

struct hash_node *hash_next(const struct hash_node *node)
{
    return hash_match(node->next, node->hash);
}

void hash_each(struct hash *h, void (*fn)(struct hash_node *node, void *arg), void *arg)
{
    struct hash_node *node, *next;

    while (h->old_slots)
        hash_move_some(h);
    for (size_t i = 0; i < h->n_slots; i++)
        for (node = h->slots[i]; node; node = next) {
            next = node->next;
            fn(node, arg);
        }
}
