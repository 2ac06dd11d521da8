/* A queue of bytes waiting to be written, made of pooled blocks.
 *
 * Small writes are copied into 16 KiB blocks; large ones may be queued as
 * references to somebody else's buffer (txq_add_ref), which must be turned into copies with
 * txq_own() before that buffer changes. An empty queue holds no memory: blocks come from and go back to the
 * worker's pool. One thread. */
#pragma once

#include "common/sv.h"

enum { TX_BLOCK_SIZE = 16 * 1024, TX_POOL_KEEP = 64 /* free blocks a pool keeps */ };

struct tx_block;

struct tx_pool {
    struct tx_block *blocks, *refs; /* owned: free ones */
    size_t n_blocks, n_refs;
    int64_t held;                   /* atomic, written by the worker alone: bytes of the blocks in use; 0: all queues are empty */
};

void tx_pool_fini(struct tx_pool *p);

struct txq {
    struct tx_block *first, *last; /* owned */
    size_t n;                      /* bytes queued */
    size_t n_refs;                 /* bytes of them that are borrowed */
};

/* All of these: false when out of memory (nothing was added). */
bool txq_add(struct txq *q, struct tx_pool *pool, const void *p, size_t n);
bool txq_add_ref(struct txq *q, struct tx_pool *pool, const void *p, size_t n);
bool txq_own(struct txq *q, struct tx_pool *pool);

/* Room for n bytes in one piece (n at most TX_ROOM_MAX), to be filled in place; txq_used() says how many were. */
enum { TX_ROOM_MAX = 8 * 1024 };
char *txq_room(struct txq *q, struct tx_pool *pool, size_t n);
void txq_used(struct txq *q, size_t n);

void txq_drop(struct txq *q, struct tx_pool *pool, size_t n);
void txq_clear(struct txq *q, struct tx_pool *pool);

/* The first piece, for who reads it piecewise. Empty when the queue is. */
struct sv txq_front(const struct txq *q);

/* Gather up to max pieces for writev; returns how many. */
struct iovec;
int txq_iov(const struct txq *q, struct iovec *iov, int max);
