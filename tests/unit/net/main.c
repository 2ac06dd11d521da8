/* Unit tests of net/. */
#include "tests/unit/harness.h"

extern const struct suite addr_suite, conn_suite, dial_suite, limit_suite, resolve_suite, sniff_suite, tls_policy_suite,
    tls_suite, tls_verify_suite, ws_suite, wshand_suite;

int main(int argc, char **argv)
{
    const struct suite *const suites[] = { &addr_suite, &conn_suite, &dial_suite, &limit_suite, &resolve_suite, &sniff_suite, &tls_policy_suite,
                                           &tls_suite, &tls_verify_suite, &ws_suite, &wshand_suite };

    return run_suites("unit-net", suites, TD_ARRAY_LEN(suites), argc, argv);
}
