/* String views: pointer and length into somebody else's bytes.
 *
 * A view never owns and never ends with NUL; it lives as long as the buffer it
 * points into. All functions are pure. ASCII only: protocol text, no locale. */
#pragma once

#include <string.h>

#include "common/defs.h"

struct sv {
    const char *p; /* borrowed */
    size_t n;
};

#define SV(lit) ((struct sv){ (lit), sizeof(lit) - 1 })
#define SV_FMT "%.*s"
#define SV_ARG(s) (int)(s).n, (s).p

static inline struct sv sv_make(const void *p, size_t n)
{
    return (struct sv){ p, n };
}

static inline struct sv sv_of(const char *s)
{
    return (struct sv){ s, s ? strlen(s) : 0 };
}

static inline bool sv_eq(struct sv a, struct sv b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline char sv_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static inline bool sv_eq_nocase(struct sv a, struct sv b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (sv_lower(a.p[i]) != sv_lower(b.p[i]))
            return false;
    return true;
}

static inline bool sv_starts(struct sv s, struct sv prefix)
{
    return s.n >= prefix.n && memcmp(s.p, prefix.p, prefix.n) == 0;
}

/* First index of c, or s.n. */
static inline size_t sv_find(struct sv s, char c)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
    return at ? (size_t)(at - s.p) : s.n;
}

static inline struct sv sv_from(struct sv s, size_t at)
{
    return at >= s.n ? (struct sv){ s.p + s.n, 0 } : (struct sv){ s.p + at, s.n - at };
}

static inline struct sv sv_upto(struct sv s, size_t n)
{
    return (struct sv){ s.p, n < s.n ? n : s.n };
}

static inline struct sv sv_trim(struct sv s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
        s.p++, s.n--;
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

/* Decimal digits only, the whole view, at least one. False: not a number or over UINT64_MAX
 * (*overflow, if given, tells the two apart). */
bool sv_to_u64(struct sv s, uint64_t *out, bool *overflow);

/* No control characters: it may stand in a line that we write, as it is. */
bool sv_is_line(struct sv s);

/* Copy to a NUL-terminated array; false (and an empty string) when it does not fit or holds a NUL. */
bool sv_copy(struct sv s, char *out, size_t size);

/* A heap copy with NUL; NULL when out of memory. The caller frees it. */
char *sv_dup(struct sv s);
