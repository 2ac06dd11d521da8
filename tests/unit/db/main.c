/* Unit tests of db/. */
#include "tests/unit/harness.h"

extern const struct suite open_suite, feed_suite, location_suite, cred_suite, prune_suite, query_suite;

int main(int argc, char **argv)
{
    const struct suite *const suites[] = { &open_suite, &feed_suite, &location_suite, &cred_suite, &prune_suite, &query_suite };

    return run_suites("unit-db", suites, TD_ARRAY_LEN(suites), argc, argv);
}
