/* Which octets of a message are there. */
#include "client/span.h"

#include <string.h>

bool span_add(struct span *s, uint64_t start, uint64_t n)
{
    uint64_t end = start + n;
    size_t first = 0, last;

    if (n == 0)
        return true;
    if (end < start)
        return false;
    while (first < s->n && s->r[first].end < start)
        first++;
    for (last = first; last < s->n && s->r[last].start <= end; last++) { /* those it touches melt into one */
        start = TD_MIN(start, s->r[last].start);
        end = TD_MAX(end, s->r[last].end);
    }
    if (last == first) {
        if (s->n == SPAN_MAX)
            return false;
        memmove(&s->r[first + 1], &s->r[first], (s->n - first) * sizeof s->r[0]);
        s->n++;
    } else if (last > first + 1) {
        memmove(&s->r[first + 1], &s->r[last], (s->n - last) * sizeof s->r[0]);
        s->n -= last - first - 1;
    }
    s->r[first].start = start;
    s->r[first].end = end;
    return true;
}

bool span_is_full(const struct span *s, uint64_t total)
{
    return total == 0 || (s->n == 1 && s->r[0].start == 1 && s->r[0].end == total + 1);
}
