/* When new requests are refused. */
#include "sip/overload.h"
#include "tests/unit/harness.h"

static const struct overload_state calm = { .transactions = 999, .transactions_max = 1000, .datagrams_percent = 49, .unwritten_ms = 999 };

/* What is seen at this time, and whether a call and a registration are refused then. */
static void look(struct overload *o, struct overload_state s, uint64_t now_ms, bool call, bool registration)
{
    overload_note(o, &s, now_ms);
    CHECK_INT(overload_refuses(o, false), call);
    CHECK_INT(overload_refuses(o, true), registration);
}

/* S-SEC-01 */
TEST(each_sign_of_overload_holds_for_a_second)
{
    struct overload_state many = calm, slow_disk = calm;
    struct overload o = { 0 };
    uint64_t now = 10000;

    many.transactions = 1000;
    slow_disk.unwritten_ms = 1000;
    look(&o, calm, now, false, false);
    look(&o, many, now += 500, true, true);
    look(&o, calm, now += 500, true, true);
    look(&o, many, now += 500, true, true); /* the second begins anew */
    look(&o, calm, now + 999, true, true);
    look(&o, calm, now += 1000, false, false);
    look(&o, slow_disk, now += 500, false, true);
    look(&o, calm, now += 1000, false, false);
}

/* S-SEC-01 */
TEST(a_burst_of_datagrams_is_no_overload_but_a_queue_that_stays_full_is)
{
    struct overload_state full = calm;
    struct overload o = { 0 };

    full.datagrams_percent = 50;
    look(&o, full, 1000, false, false);
    look(&o, calm, 1500, false, false);
    look(&o, full, 2000, false, false);
    look(&o, full, 2500, true, true);
}

/* S-SEC-01 */
TEST(a_turn_of_the_loop_that_takes_a_second_is_overload)
{
    struct overload o = { 0 };

    look(&o, calm, 100000, false, false); /* the first look has none before it */
    look(&o, calm, 101499, false, false);
    look(&o, calm, 102999, true, true);
    look(&o, calm, 103001, true, true); /* at once, as the timer catches up */
}

TEST(the_limit_of_transactions_follows_the_memory)
{
    CHECK_INT(overload_transactions_max(0), 150000); /* not known */
    CHECK_INT(overload_transactions_max((uint64_t)1 << 30), 32768);
    CHECK_INT(overload_transactions_max((uint64_t)64 << 30), 150000);
}

SUITE(overload_suite, TEST_ROW(each_sign_of_overload_holds_for_a_second), TEST_ROW(a_burst_of_datagrams_is_no_overload_but_a_queue_that_stays_full_is),
      TEST_ROW(a_turn_of_the_loop_that_takes_a_second_is_overload), TEST_ROW(the_limit_of_transactions_follows_the_memory));
