/* Tests of the relay with its clients on two workers. */
#include "tests/unit/harness.h"

extern const struct suite account_suite, bounds_suite, cross_suite, ends_suite, limits_suite, failure_suite, inner_suite, flow_suite, forward_suite, policy_suite, relays_suite,
    resume_suite, session_suite, script_suite, script_sessions_suite, script_waits_suite, soak_suite, stream_suite, table_suite, room_suite, fair_suite, ahead_suite;

int main(int argc, char **argv)
{
    const struct suite *const suites[] = { &limits_suite, &ends_suite, &cross_suite, &forward_suite, &failure_suite, &relays_suite, &inner_suite, &resume_suite, &script_suite, &script_sessions_suite, &script_waits_suite, &session_suite, &stream_suite,
                                           &soak_suite,    &bounds_suite,  &flow_suite,   &policy_suite,  &account_suite,
                                           &table_suite, &room_suite, &fair_suite, &ahead_suite };

    return run_suites("unit-msrp-cross", suites, TD_ARRAY_LEN(suites), argc, argv);
}
