/* Fuzz target: the demultiplexer.
 *
 * What sniff() has decided from the first bytes it must still say when more have come: bytes
 * arrive in any split, and the answer may not depend on it (M-MUX-02, M-MUX-03). */
#include "fuzz/fuzz.h"

#include "net/sniff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data;
    enum sniffed decided = SNIFF_MORE;

    if (size > 2 * SNIFF_LINE_MAX)
        size = 2 * SNIFF_LINE_MAX;
    for (size_t n = 0; n <= size; n++) {
        enum sniffed now = sniff(p, n);

        FUZZ_CHECK(decided == SNIFF_MORE || now == decided);
        decided = now;
        if (n > 256 && n < size && n % 61)
            n += TD_MIN((size_t)60, size - n - 1); /* long inputs: not every split */
    }
    FUZZ_CHECK(size < SNIFF_LINE_MAX || decided != SNIFF_MORE);
    return 0;
}
