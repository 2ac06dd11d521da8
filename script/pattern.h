/* Patterns of Lua 5.4 (its manual, section 6.4.1), matched within a number of steps.
 *
 * Lua's own matcher goes back and forth without an end that could be told: on some kilobytes from a peer a pattern with several .* takes
 * hours. This one counts. */
#pragma once

#include "common/sv.h"

enum { PATTERN_CAPTURES = 32 };

struct pattern_capture {
    const char *p;           /* where it begins, in the subject */
    ptrdiff_t n;             /* bytes; or: */
#define PATTERN_OPEN (-1)     /* it has not ended */
#define PATTERN_POSITION (-2) /* () */
};

struct pattern {
    struct sv subject, text; /* borrowed; text: without its anchor; a NUL stands behind both, as behind all texts of Lua */
    uint64_t steps;          /* that may still be taken */
    const char *fault;       /* out, static: what is wrong with the pattern, or that steps is 0 */
    unsigned depth;
    unsigned n;              /* captures of the last match */
    struct pattern_capture captures[PATTERN_CAPTURES];
};

/* Match at this place of the subject: the end of what fits, or NULL: nothing, or p->fault is set. */
const char *pattern_match(struct pattern *p, const char *at);
/* Has it none of the characters that mean something? */
bool pattern_is_plain(struct sv text);
