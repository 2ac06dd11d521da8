/* How much memory all workers hold for their peers, and whether that is too much (M-FLOW-04).
 *
 * Each worker counts what it holds in a plain number, where buffers, routes, transactions and the like come and go, and
 * tells the others at the end of a turn when that has changed by MEMORY_STEP. Above the limit, until it has fallen
 * below seven eighths of it, bulk is not read, no tokens are given and no connections accepted; everything else goes
 * on. */
#pragma once

#include "net/conn.h"

enum { MEMORY_STEP = 64 * 1024, MEMORY_TLS = 12 * 1024 /* about what an idle TLS session takes */ };

struct memory {
    uint64_t limit;  /* atomic; 0: none */
    int over;        /* atomic: read at every turn, written rarely */
    char pad[64];
    int64_t held;    /* atomic: what the workers have told */
};

/* Any thread. 0: no limit. */
void memory_set(struct memory *m, uint64_t limit);

static inline bool memory_is_over(const struct worker *w)
{
    return w->memory && __atomic_load_n(&w->memory->over, __ATOMIC_RELAXED);
}

/* End of a turn: tell what this worker holds, look at what all do (w->crowded). */
void memory_settle(struct worker *w);

/* The connection is not read until there is memory again. */
void memory_wait(struct conn *c);
