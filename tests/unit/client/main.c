/* Unit tests of client/. */
#include "tests/unit/harness.h"

extern const struct suite wire_suite, digest_suite, sdp_suite, span_suite, session_suite, auth_suite, programs_suite;

int main(int argc, char **argv)
{
    const struct suite *const suites[] = { &wire_suite,    &digest_suite, &sdp_suite,     &span_suite,
                                           &session_suite, &auth_suite,   &programs_suite };

    return run_suites("unit-client", suites, TD_ARRAY_LEN(suites), argc, argv);
}
