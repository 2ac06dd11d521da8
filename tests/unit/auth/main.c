/* Unit tests of auth/. */
#include "tests/unit/harness.h"

extern const struct suite digest_suite, nonce_suite, authn_suite;

int main(int argc, char **argv)
{
    const struct suite *const suites[] = { &digest_suite, &nonce_suite, &authn_suite };

    return run_suites("unit-auth", suites, TD_ARRAY_LEN(suites), argc, argv);
}
