/* Unit tests of common/. */
#include "tests/unit/harness.h"

extern const struct suite sv_suite, wheel_suite, ring_suite, hash_suite, loop_suite, conf_suite, utf8_suite;

int main(int argc, char **argv)
{
    const struct suite *const suites[] = { &sv_suite, &wheel_suite, &ring_suite, &hash_suite, &loop_suite, &conf_suite, &utf8_suite };

    return run_suites("unit-common", suites, TD_ARRAY_LEN(suites), argc, argv);
}
