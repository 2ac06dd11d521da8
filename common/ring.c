/* The single-producer single-consumer record ring.
 *
 * A record is an 8-byte length word and the bytes, padded to 8. When a record would
 * wrap, the producer writes a SKIP word and starts over at the front. */
#include "common/ring.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"

enum { WORD = 8 };
static const uint64_t SKIP = UINT64_MAX;

int ring_init(struct ring *r, size_t size)
{
    assert(size >= 64 && (size & (size - 1)) == 0);
    memset(r, 0, sizeof *r);
    r->mem = malloc(size);
    r->size = size;
    return r->mem ? TD_OK : TD_ENOMEM;
}

void ring_fini(struct ring *r)
{
    free(r->mem);
    r->mem = NULL;
}

static size_t padded(size_t n)
{
    return WORD + ((n + WORD - 1) & ~(size_t)(WORD - 1));
}

static bool has_room(struct ring *r, size_t need)
{
    if (r->size - (r->tail_pos - r->head_seen) >= need)
        return true;
    r->head_seen = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
    return r->size - (r->tail_pos - r->head_seen) >= need;
}

void *ring_reserve(struct ring *r, size_t n)
{
    size_t need = padded(n), at = r->tail_pos & (r->size - 1), to_end = r->size - at;

    assert(n <= r->size / 4);
    if (to_end < need) {
        if (!has_room(r, to_end + need))
            return NULL;
        memcpy(r->mem + at, &SKIP, WORD);
        r->tail_pos += to_end;
        at = 0;
    } else if (!has_room(r, need)) {
        return NULL;
    }
    return r->mem + at + WORD;
}

void ring_commit(struct ring *r, size_t n)
{
    uint64_t word = n;

    memcpy(r->mem + (r->tail_pos & (r->size - 1)), &word, WORD);
    r->tail_pos += padded(n);
    __atomic_store_n(&r->tail, r->tail_pos, __ATOMIC_RELEASE);
}

void *ring_peek(struct ring *r, size_t *n)
{
    for (;;) {
        uint64_t word;
        size_t at = r->head & (r->size - 1);

        if (r->head == __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE))
            return NULL;
        memcpy(&word, r->mem + at, WORD);
        if (word != SKIP) {
            *n = word;
            return r->mem + at + WORD;
        }
        __atomic_store_n(&r->head, r->head + (r->size - at), __ATOMIC_RELEASE);
    }
}

void ring_consume(struct ring *r)
{
    uint64_t word;

    memcpy(&word, r->mem + (r->head & (r->size - 1)), WORD);
    __atomic_store_n(&r->head, r->head + padded(word), __ATOMIC_RELEASE);
}
