/* Fuzz target: patterns of scripts on what a peer has sent.
 *
 * The first byte says where the pattern ends and the subject begins. Whatever both are: what is found lies within the subject, the same is
 * found again, and it takes no more steps than there were. */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "script/pattern.h"

enum { STEPS = 20000 };

/* As Lua has its texts: with a NUL behind. */
static struct sv text_of(const uint8_t *p, size_t n)
{
    char *copy = malloc(n + 1);

    FUZZ_CHECK(copy);
    if (n)
        memcpy(copy, p, n);
    copy[n] = '\0';
    return sv_make(copy, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t at = size ? 1 + data[0] % size : 0;
    struct sv pattern = text_of(size ? data + 1 : data, at ? at - 1 : 0), subject = text_of(data + at, size - at);

    for (size_t i = 0; i <= subject.n && i < 64; i++) {
        struct pattern m = { .subject = subject, .text = pattern, .steps = STEPS }, again = m;
        const char *end = pattern_match(&m, subject.p + i);

        FUZZ_CHECK(m.steps <= STEPS);
        FUZZ_CHECK(!m.fault || !end);
        FUZZ_CHECK(!end || (end >= subject.p + i && end <= subject.p + subject.n));
        FUZZ_CHECK(end == pattern_match(&again, subject.p + i) && m.n == again.n && m.fault == again.fault);
        for (unsigned k = 0; end && k < m.n; k++) {
            const struct pattern_capture *c = &m.captures[k];

            FUZZ_CHECK(c->p >= subject.p && c->p <= end && c->n >= PATTERN_POSITION && (c->n < 0 || c->p + c->n <= end));
        }
    }
    free((char *)pattern.p);
    free((char *)subject.p);
    return 0;
}
