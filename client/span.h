/* Which octets of a message are there: a small set of ranges of positions.
 *
 * Holds a bounded number of disjoint ranges, sorted; in the usual case (octets
 * arrive in order) exactly one. Pure. */
#pragma once

#include "common/defs.h"

enum { SPAN_MAX = 16 };

struct span {
    struct { uint64_t start, end; } r[SPAN_MAX]; /* start..end - 1, positions from 1 as in a Byte-Range */
    size_t n;
};

/* Add n octets at position start. False: too many holes, the set is unchanged. */
bool span_add(struct span *s, uint64_t start, uint64_t n);

/* Are all of 1..total there? */
bool span_is_full(const struct span *s, uint64_t total);
