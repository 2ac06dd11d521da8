/* A single-producer single-consumer ring of variable-length records.
 *
 * One thread reserves and commits, another peeks and consumes; no locks. A
 * record lies in one piece (a record never wraps), aligned to 8 bytes, so the consumer
 * works on it in place and consumes it when done. */
#pragma once

#include "common/defs.h"

struct ring {
    uint8_t *mem; /* owned; size is a power of two */
    size_t size;
    uint64_t head_seen; /* producer's copy of head */
    uint64_t tail_pos;  /* producer: next byte to fill */
    char pad0[64];
    uint64_t tail; /* published by the producer */
    char pad1[64];
    uint64_t head; /* published by the consumer */
};

int ring_init(struct ring *r, size_t size);
void ring_fini(struct ring *r);

/* Producer: room for n bytes, or NULL when the ring is too full now. n must be at most
 * size/4. One reservation at a time; it becomes visible with ring_commit(n), n possibly smaller. */
void *ring_reserve(struct ring *r, size_t n);
void ring_commit(struct ring *r, size_t n);

/* Consumer: the oldest record and its length, or NULL. Valid until ring_consume(). */
void *ring_peek(struct ring *r, size_t *n);
void ring_consume(struct ring *r);
