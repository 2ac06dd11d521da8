/* Unit tests of ctl/. */
#include "tests/unit/harness.h"

extern const struct suite method_suite, rpc_suite, show_suite, tandemctl_suite;

int main(int argc, char **argv)
{
    const struct suite *const suites[] = { &method_suite, &rpc_suite, &show_suite, &tandemctl_suite };

    return run_suites("unit-ctl", suites, TD_ARRAY_LEN(suites), argc, argv);
}
