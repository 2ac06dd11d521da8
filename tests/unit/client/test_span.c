/* Which octets of a message are there. */
#include "client/span.h"

#include "tests/unit/harness.h"

TEST(octets_in_order_are_one_range_and_full_at_the_total)
{
    struct span s = { .n = 0 };

    CHECK(span_is_full(&s, 0));
    for (uint64_t at = 1; at <= 10000; at += 100)
        CHECK(span_add(&s, at, 100));
    CHECK_INT(s.n, 1);
    CHECK(span_is_full(&s, 10000));
    CHECK(!span_is_full(&s, 10001));
    CHECK(!span_is_full(&s, 9999));
}

/* M-CHK-17: chunks may come in any order, and twice. */
TEST(octets_in_any_order_and_twice_are_full_only_when_all_are_there)
{
    const struct {
        uint64_t start, n;
    } parts[] = { { 301, 100 }, { 1, 100 }, { 301, 50 }, { 101, 100 }, { 250, 60 }, { 201, 60 } };
    struct span s = { .n = 0 };

    for (size_t i = 0; i < TD_ARRAY_LEN(parts); i++) {
        CHECK(!span_is_full(&s, 400));
        CHECK(span_add(&s, parts[i].start, parts[i].n));
    }
    CHECK(span_is_full(&s, 400));
    CHECK_INT(s.n, 1);
}

TEST(one_hole_too_many_is_refused_and_changes_nothing)
{
    struct span s = { .n = 0 };

    for (uint64_t i = 0; i < SPAN_MAX; i++)
        CHECK(span_add(&s, 1 + 10 * i, 5));
    CHECK(!span_add(&s, 100000, 1));
    CHECK_INT(s.n, SPAN_MAX);
    CHECK(span_add(&s, 6, 5)); /* closes a hole, so it fits */
    CHECK_INT(s.n, SPAN_MAX - 1);
}

TEST(positions_at_the_64_bit_limit_do_not_wrap)
{
    struct span s = { .n = 0 };

    CHECK(!span_add(&s, UINT64_MAX - 1, 5));
    CHECK_INT(s.n, 0);
}

SUITE(span_suite, TEST_ROW(octets_in_order_are_one_range_and_full_at_the_total),
      TEST_ROW(octets_in_any_order_and_twice_are_full_only_when_all_are_there),
      TEST_ROW(one_hole_too_many_is_refused_and_changes_nothing), TEST_ROW(positions_at_the_64_bit_limit_do_not_wrap));
