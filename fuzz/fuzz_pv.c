/* Fuzz target: pseudo-variables and what is said about a script's source.
 *
 * An expression is taken or refused with a reason, and the same again when it is read twice; the source of a script, whatever its
 * bytes, is read to its end and every fault is one line. */
#include "fuzz/fuzz.h"

#include "script/private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct script_shared shared = { .apis = { &script_core_api }, .n_apis = 1 };
    struct sv text = sv_make(data, size);
    struct buf faults = BUF_INIT, asked = BUF_INIT;
    const char *why = NULL, *again = NULL;
    bool good = pv_check(&shared, text, false, &why);

    FUZZ_CHECK(good == pv_check(&shared, text, false, &again));
    FUZZ_CHECK(good || why);
    FUZZ_CHECK(!good || (size >= 2 && data[0] == '$' && size <= PV_LENGTH_MAX));
    script_scan(&shared, "x.lua", text, &asked, &faults);
    FUZZ_CHECK(faults.n == 0 || faults.p[faults.n - 1] == '\n');
    FUZZ_CHECK(asked.n == 0 || asked.p[asked.n - 1] == ' ');
    buf_fini(&asked);
    buf_fini(&faults);
    return 0;
}
