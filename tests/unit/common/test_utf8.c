/* The UTF-8 validator. */
#include "common/utf8.h"

#include "tests/unit/harness.h"

static const struct {
    struct sv text;
    bool is_good;
} rows[] = {
    { { "", 0 }, true },
    { { "plain text, longer than eight octets", 36 }, true },
    { { "eight by\xc3\xa4 nine", 15 }, true },
    { { "\x00\x7f", 2 }, true },
    { { "\xc2\x80\xdf\xbf", 4 }, true },
    { { "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf", 12 }, true },
    { { "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8 }, true },
    { { "\x80", 1 }, false },             /* no character begins so */
    { { "a\xbf", 2 }, false },
    { { "\xc0\x80", 2 }, false },         /* overlong */
    { { "\xc1\xbf", 2 }, false },
    { { "\xe0\x9f\xbf", 3 }, false },
    { { "\xf0\x8f\xbf\xbf", 4 }, false },
    { { "\xed\xa0\x80", 3 }, false },     /* surrogates */
    { { "\xed\xbf\xbf", 3 }, false },
    { { "\xf4\x90\x80\x80", 4 }, false }, /* beyond U+10FFFF */
    { { "\xf8\x88\x80\x80\x80", 5 }, false },
    { { "\xff", 1 }, false },
    { { "\xc3", 1 }, false },             /* cut */
    { { "\xe2\x82", 2 }, false },
    { { "\xc3\x41", 2 }, false },
    { { "\xe2\x82\xc3\xa4", 4 }, false },
};

TEST(utf8_is_told_from_what_only_looks_like_it)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        if (utf8_is_text(rows[i].text) != rows[i].is_good)
            printf("row %zu\n", i);
        CHECK(utf8_is_text(rows[i].text) == rows[i].is_good);
    }
}

TEST(utf8_in_pieces_gives_the_same_verdict)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++)
        for (size_t at = 0; at <= rows[i].text.n; at++) {
            struct utf8 u = { 0 };

            utf8_feed(&u, sv_upto(rows[i].text, at));
            utf8_feed(&u, sv_from(rows[i].text, at));
            CHECK(utf8_is_good(&u) == rows[i].is_good);
        }
}

SUITE(utf8_suite, TEST_ROW(utf8_is_told_from_what_only_looks_like_it), TEST_ROW(utf8_in_pieces_gives_the_same_verdict));
