/* Counters: one block a thread, written by that thread alone, read by any.
 *
 * stats_inc() is a plain add; readers may see a value a moment old, never a torn one. */
#pragma once

#include "common/defs.h"

enum stat_id {
#define STAT(name, kind, text) STAT_##name,
#include "common/stats_tbl.h"
#undef STAT
    STAT_N
};

struct stats {
    uint64_t v[STAT_N];
};

static inline void stats_add(struct stats *s, enum stat_id i, int64_t by)
{
    __atomic_store_n(&s->v[i], s->v[i] + (uint64_t)by, __ATOMIC_RELAXED);
}

static inline void stats_inc(struct stats *s, enum stat_id i)
{
    stats_add(s, i, 1);
}

static inline uint64_t stats_get(const struct stats *s, enum stat_id i)
{
    return __atomic_load_n(&s->v[i], __ATOMIC_RELAXED);
}

const char *stats_name(enum stat_id i);
const char *stats_text(enum stat_id i);
bool stats_is_gauge(enum stat_id i);

/* into += s, counter by counter. */
void stats_sum(struct stats *into, const struct stats *s);
