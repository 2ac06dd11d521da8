/* The queue of bytes waiting to be written. */
#include "net/txq.h"

#include <stdlib.h>
#include <sys/uio.h>

struct tx_block {
    struct tx_block *next;
    const char *p; /* first unsent byte: in mem, or borrowed */
    size_t n;
    bool is_ref;
    char mem[]; /* TX_BLOCK_SIZE bytes, unless is_ref */
};

static void hold(struct tx_pool *pool, int64_t by)
{
    __atomic_store_n(&pool->held, pool->held + by, __ATOMIC_RELAXED);
}

static struct tx_block *pool_get(struct tx_pool *pool, bool is_ref)
{
    struct tx_block **from = is_ref ? &pool->refs : &pool->blocks, *b = *from;

    if (b) {
        *from = b->next;
        *(is_ref ? &pool->n_refs : &pool->n_blocks) -= 1;
    } else {
        b = malloc(sizeof *b + (is_ref ? 0 : TX_BLOCK_SIZE));
        if (!b)
            return NULL;
        b->is_ref = is_ref;
    }
    b->next = NULL;
    b->p = b->mem;
    b->n = 0;
    if (!is_ref)
        hold(pool, TX_BLOCK_SIZE);
    return b;
}

static void pool_put(struct tx_pool *pool, struct tx_block *b)
{
    struct tx_block **to = b->is_ref ? &pool->refs : &pool->blocks;
    size_t *n = b->is_ref ? &pool->n_refs : &pool->n_blocks;

    if (!b->is_ref)
        hold(pool, -TX_BLOCK_SIZE);
    if (*n >= TX_POOL_KEEP) {
        free(b);
        return;
    }
    b->next = *to;
    *to = b;
    ++*n;
}

static void free_all(struct tx_block *b)
{
    while (b) {
        struct tx_block *next = b->next;

        free(b);
        b = next;
    }
}

void tx_pool_fini(struct tx_pool *p)
{
    free_all(p->blocks);
    free_all(p->refs);
    *p = (struct tx_pool){ 0 };
}

static void append(struct txq *q, struct tx_block *b)
{
    if (q->last)
        q->last->next = b;
    else
        q->first = b;
    q->last = b;
}

/* Free bytes behind what is in the last block. */
static size_t tail_room(const struct txq *q)
{
    const struct tx_block *b = q->last;

    return !b || b->is_ref ? 0 : (size_t)(b->mem + TX_BLOCK_SIZE - (b->p + b->n));
}

char *txq_room(struct txq *q, struct tx_pool *pool, size_t n)
{
    if (tail_room(q) < n) {
        struct tx_block *b = n <= TX_ROOM_MAX ? pool_get(pool, false) : NULL;

        if (!b)
            return NULL;
        append(q, b);
    }
    return q->last->mem + (q->last->p - q->last->mem) + q->last->n;
}

void txq_used(struct txq *q, size_t n)
{
    q->last->n += n;
    q->n += n;
}

bool txq_add(struct txq *q, struct tx_pool *pool, const void *p, size_t n)
{
    const char *from = p;

    while (n) {
        size_t room = tail_room(q), take;
        struct tx_block *b = q->last;

        if (room == 0) {
            b = pool_get(pool, false);
            if (!b)
                return false;
            append(q, b);
            room = TX_BLOCK_SIZE;
        }
        take = TD_MIN(n, room);
        memcpy(b->mem + (b->p - b->mem) + b->n, from, take);
        txq_used(q, take);
        from += take;
        n -= take;
    }
    return true;
}

bool txq_add_ref(struct txq *q, struct tx_pool *pool, const void *p, size_t n)
{
    struct tx_block *b;

    if (!n)
        return true;
    b = pool_get(pool, true);
    if (!b)
        return false;
    b->p = p;
    b->n = n;
    append(q, b);
    q->n += n;
    q->n_refs += n;
    return true;
}

bool txq_own(struct txq *q, struct tx_pool *pool)
{
    struct txq owned = { 0 };
    struct tx_block *b;

    if (!q->n_refs)
        return true;
    while ((b = q->first)) {
        q->first = b->next;
        b->next = NULL;
        if (b->is_ref) {
            if (!txq_add(&owned, pool, b->p, b->n)) {
                b->next = q->first;
                q->first = b;
                txq_clear(&owned, pool);
                return false;
            }
            pool_put(pool, b);
        } else if (b->n <= tail_room(&owned)) { /* heads between bodies would leave every block half empty */
            txq_add(&owned, pool, b->p, b->n);
            pool_put(pool, b);
        } else {
            owned.n += b->n;
            append(&owned, b);
        }
    }
    *q = owned;
    return true;
}

void txq_drop(struct txq *q, struct tx_pool *pool, size_t n)
{
    while (n && q->first) {
        struct tx_block *b = q->first;
        size_t take = TD_MIN(n, b->n);

        b->p += take;
        b->n -= take;
        q->n -= take;
        n -= take;
        if (b->is_ref)
            q->n_refs -= take;
        if (b->n == 0) {
            q->first = b->next;
            if (!q->first)
                q->last = NULL;
            pool_put(pool, b);
        }
    }
}

void txq_clear(struct txq *q, struct tx_pool *pool)
{
    txq_drop(q, pool, q->n);
    while (q->first) { /* a block that was made room in and never used */
        struct tx_block *b = q->first;

        q->first = b->next;
        pool_put(pool, b);
    }
    *q = (struct txq){ 0 };
}

struct sv txq_front(const struct txq *q)
{
    const struct tx_block *b = q->first;

    while (b && b->n == 0)
        b = b->next;
    return b ? sv_make(b->p, b->n) : sv_make("", 0);
}

int txq_iov(const struct txq *q, struct iovec *iov, int max)
{
    int n = 0;

    for (const struct tx_block *b = q->first; b && n < max; b = b->next) {
        if (b->n == 0)
            continue;
        iov[n].iov_base = (void *)(uintptr_t)b->p;
        iov[n].iov_len = b->n;
        n++;
    }
    return n;
}
