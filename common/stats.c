/* Names and texts of the counters. */
#include "common/stats.h"

enum { COUNTER, GAUGE };

static const struct {
    const char *name;
    int kind;
    const char *text;
} rows[STAT_N] = {
#define STAT(name, kind, text) { #name, kind, text },
#include "common/stats_tbl.h"
#undef STAT
};

const char *stats_name(enum stat_id i)
{
    return rows[i].name;
}

const char *stats_text(enum stat_id i)
{
    return rows[i].text;
}

bool stats_is_gauge(enum stat_id i)
{
    return rows[i].kind == GAUGE;
}

void stats_sum(struct stats *into, const struct stats *s)
{
    for (int i = 0; i < STAT_N; i++)
        into->v[i] += stats_get(s, (enum stat_id)i);
}
