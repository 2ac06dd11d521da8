/* Unit tests of the SIP side: framing, marks, bindings, the pump. */
#include "tests/unit/harness.h"

extern const struct suite sipframe_suite, sipcheck_suite, uri_suite, clock_suite, later_suite, mark_suite, location_suite, pump_suite, locate_suite, overload_suite;

int main(int argc, char **argv)
{
    static const struct suite *const suites[] = { &sipframe_suite, &sipcheck_suite, &uri_suite, &clock_suite, &later_suite, &mark_suite, &location_suite, &pump_suite, &locate_suite, &overload_suite };

    return run_suites("unit-sip", suites, TD_ARRAY_LEN(suites), argc, argv);
}
