/* String views and numbers. */
#include "common/sv.h"

#include "tests/unit/harness.h"

TEST(number_at_the_64_bit_limit_is_read_and_one_past_it_overflows)
{
    uint64_t v = 0;
    bool over = true;

    CHECK(sv_to_u64(SV("18446744073709551615"), &v, &over));
    CHECK(v == UINT64_MAX && !over);
    CHECK(!sv_to_u64(SV("18446744073709551616"), &v, &over) && over);
}

TEST(number_takes_digits_only)
{
    const char *bad[] = { "", "-5", "+5", "1e3", " 1", "1 ", "0x10" };
    uint64_t v;
    bool over;

    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++)
        CHECK(!sv_to_u64(sv_of(bad[i]), &v, &over) && !over);
}

TEST(a_line_has_no_control_characters)
{
    CHECK(sv_is_line(SV("")) && sv_is_line(SV(" ~\x80\xff")));
    for (char c = 0; c < ' '; c++)
        CHECK(!sv_is_line(sv_make(&c, 1)));
    CHECK(!sv_is_line(SV("a\x7f")) && !sv_is_line(SV("a\nb")) && !sv_is_line(SV("a\0b")));
}

TEST(copy_refuses_what_does_not_fit_or_hides_a_nul)
{
    char out[4];

    CHECK(sv_copy(SV("abc"), out, sizeof out));
    CHECK_STR(out, "abc");
    CHECK(!sv_copy(SV("abcd"), out, sizeof out));
    CHECK(!sv_copy(SV("a\0b"), out, sizeof out));
}

TEST(case_is_folded_for_ascii_letters_only)
{
    CHECK(sv_eq_nocase(SV("To-Path"), SV("tO-pATH")));
    CHECK(!sv_eq_nocase(SV("a["), SV("a{")));
}

SUITE(sv_suite, TEST_ROW(number_at_the_64_bit_limit_is_read_and_one_past_it_overflows), TEST_ROW(number_takes_digits_only),
      TEST_ROW(a_line_has_no_control_characters), TEST_ROW(copy_refuses_what_does_not_fit_or_hides_a_nul), TEST_ROW(case_is_folded_for_ascii_letters_only));
