/* The string view functions that are not worth inlining. */
#include "common/sv.h"

#include <stdlib.h>

bool sv_to_u64(struct sv s, uint64_t *out, bool *overflow)
{
    uint64_t v = 0;

    if (overflow)
        *overflow = false;
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    for (size_t i = 0; i < s.n; i++) {
        if (__builtin_mul_overflow(v, (uint64_t)10, &v) || __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v)) {
            if (overflow)
                *overflow = true;
            return false;
        }
    }
    *out = v;
    return true;
}

bool sv_is_line(struct sv s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((uint8_t)s.p[i] < ' ' || s.p[i] == 0x7f)
            return false;
    return true;
}

bool sv_copy(struct sv s, char *out, size_t size)
{
    out[0] = '\0';
    if (s.n >= size || (s.n && memchr(s.p, '\0', s.n)))
        return false;
    if (s.n)
        memcpy(out, s.p, s.n);
    out[s.n] = '\0';
    return true;
}

char *sv_dup(struct sv s)
{
    char *copy = malloc(s.n + 1);

    if (!copy)
        return NULL;
    if (s.n)
        memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    return copy;
}
