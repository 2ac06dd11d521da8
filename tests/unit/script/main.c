/* Unit tests of script/. */
#include "tests/unit/harness.h"

extern const struct suite cases_suite, htable_suite, pattern_suite, pv_suite, sql_suite, state_suite;

int main(int argc, char **argv)
{
    const struct suite *const suites[] = { &htable_suite, &pattern_suite, &pv_suite, &state_suite, &sql_suite, &cases_suite };

    return run_suites("unit-script", suites, TD_ARRAY_LEN(suites), argc, argv);
}
