/* An intrusive hash table that grows by itself.
 *
 * The element embeds a struct hash_node and brings its own hash value (use
 * hash_bytes(), which is keyed with a secret of this process, for whatever a
 * peer can choose). Growth is incremental: at most a few buckets move per insertion, so
 * no single insertion is slow. One thread, or the caller's lock. */
#pragma once

#include "common/sv.h"

struct hash_node {
    struct hash_node *next;
    uint64_t hash;
};

struct hash {
    struct hash_node **slots;     /* owned */
    struct hash_node **old_slots; /* owned: while growing */
    size_t n_slots, n_old, moved; /* powers of two; old slots moved so far */
    size_t n;                     /* elements */
};

int hash_init(struct hash *h, unsigned log2_slots);
void hash_fini(struct hash *h); /* frees the table, not the elements */

/* SipHash-2-4 of the bytes, keyed once per process from the CSPRNG. Thread-safe. */
uint64_t hash_bytes(const void *p, size_t n);

void hash_insert(struct hash *h, struct hash_node *node, uint64_t hash);
void hash_remove(struct hash *h, struct hash_node *node);

/* First element with that hash, then the next one; compare the keys yourself. */
struct hash_node *hash_first(const struct hash *h, uint64_t hash);
struct hash_node *hash_next(const struct hash_node *node);

/* Call fn for every element; fn may remove the element it is given. */
void hash_each(struct hash *h, void (*fn)(struct hash_node *node, void *arg), void *arg);
