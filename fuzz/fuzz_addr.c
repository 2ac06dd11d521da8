/* Fuzz target: addresses and CIDR blocks as text.
 *
 * What parses also prints, and what was printed parses to the same address. */
#include "fuzz/fuzz.h"

#include "net/addr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sv text = sv_make(data, size);
    struct addr a, again;
    struct cidr block;
    char out[ADDR_TEXT_MAX];

    if (addr_from_text(&a, text)) {
        addr_text(&a, out);
        FUZZ_CHECK(addr_from_text(&again, sv_of(out)));
        FUZZ_CHECK(addr_eq(&a, &again));
        FUZZ_CHECK(addr_kind(&a) == addr_kind(&again));
    }
    if (addr_from_host(&a, text, 5060)) {
        addr_host_text(&a, out);
        FUZZ_CHECK(addr_from_host(&again, sv_of(out), 5060));
        FUZZ_CHECK(addr_eq(&a, &again));
    }
    if (cidr_parse(&block, text))
        FUZZ_CHECK(cidr_has(&block, &block.base));
    return 0;
}
