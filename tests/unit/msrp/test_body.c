/* The end of a body: the scan for hyphens and what is held back while a body streams. */
#include <stdio.h>
#include <stdlib.h>

#include "msrp/frame.h"
#include "tests/unit/harness.h"

#define TID "a1b2.-+%=Z9"

static uint32_t seed;

static uint32_t draw(uint32_t below)
{
    seed = seed * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)seed * below) >> 32);
}

static size_t naive_find(const char *p, size_t n, size_t from)
{
    for (size_t i = from; i + 7 <= n; i++)
        if (memcmp(p + i, "-------", 7) == 0)
            return i;
    return n;
}

/* Where the body ends, by the words of RFC 4975 s.7.1. Returns the body's length and *used past the end-line, or
 * SIZE_MAX. */
static size_t naive_end(const char *p, size_t n, const char *tid, size_t *used)
{
    char line[64];

    for (size_t i = 0; i < n; i++)
        for (const char *flag = "$+#"; *flag; flag++) {
            size_t len = (size_t)snprintf(line, sizeof line, "\r\n-------%s%c\r\n", tid, *flag);

            if (i == 0 && n >= len - 2 && memcmp(p, line + 2, len - 2) == 0) {
                *used = len - 2;
                return 0;
            }
            if (i + len <= n && memcmp(p + i, line, len) == 0) {
                *used = i + len;
                return i;
            }
        }
    return SIZE_MAX;
}

/* Streams the bytes through the scan in pieces, from a heap copy of exactly the bytes at hand. Returns the body's
 * length (its bytes in body), or SIZE_MAX when it does not end. */
static size_t stream(const char *p, size_t n, const char *tid, size_t piece, char *body, size_t *used, char *flag)
{
    size_t given = 0, taken = 0, body_n = 0;

    while (given < n) {
        struct msrp_body b;
        char *copy;

        given = TD_MIN(given + piece, n);
        copy = malloc(given - taken);
        CHECK_FATAL(copy != NULL);
        memcpy(copy, p + taken, given - taken);
        b = msrp_body_scan(copy, given - taken, sv_of(tid), taken == 0);
        CHECK_FATAL(b.n <= given - taken && b.used >= b.n && b.used <= given - taken);
        CHECK_FATAL(b.ended || (b.used == b.n && given - taken - b.used <= MSRP_END_LINE_MAX));
        memcpy(body + body_n, copy, b.n);
        body_n += b.n;
        taken += b.used;
        free(copy);
        if (b.ended) {
            *used = taken;
            *flag = b.flag;
            return body_n;
        }
    }
    return SIZE_MAX;
}

/* Runs of every length at every alignment, alone in the data and with neighbours. */
TEST(hyphens_are_found_at_every_alignment_and_length)
{
    enum { ROOM = 64 * 4 };
    char *data = malloc(ROOM);
    bool same = true;

    CHECK_FATAL(data != NULL);
    for (size_t n = 0; n <= ROOM; n++) /* the whole data ends with the block: a byte read too far is seen by valgrind */
        for (size_t at = 0; at + 1 <= n && at < 130; at++)
            for (size_t run = 5; run <= 9 && at + run <= n; run++) {
                char *p = data + ROOM - n;

                memset(p, 'x', n);
                memset(p + at, '-', run);
                same &= msrp_find_hyphens(p, n, 0) == naive_find(p, n, 0);
                same &= msrp_find_hyphens(p, n, at) == naive_find(p, n, at);
            }
    CHECK(same);
    free(data);
}

TEST(long_runs_of_hyphens_are_found_wherever_they_begin)
{
    char data[300];
    bool same = true;

    for (size_t at = 0; at < sizeof data; at++)
        for (size_t run = 1; at + run <= sizeof data; run += 13) {
            memset(data, 'x', sizeof data);
            memset(data + at, '-', run);
            same &= msrp_find_hyphens(data, sizeof data, 0) == naive_find(data, sizeof data, 0);
        }
    CHECK(same);
}

TEST(hyphens_in_random_data_are_found_where_a_simple_search_finds_them)
{
    char data[700];
    bool same = true;
    size_t hits = 0;

    seed = 7;
    for (int round = 0; round < 3000; round++) {
        size_t n = draw(sizeof data), from = draw((uint32_t)n + 1);
        uint32_t density = 1 + draw(16);

        for (size_t i = 0; i < n; i++)
            data[i] = draw(density) ? '-' : (char)draw(256);
        for (size_t i = from;;) {
            size_t at = naive_find(data, n, i);

            same &= msrp_find_hyphens(data, n, i) == at;
            if (at == n)
                break;
            hits++;
            i = at + 1 + draw(20);
            if (i > n)
                break;
        }
    }
    CHECK(same);
    CHECK(hits > 1000);
}

/* M-FRM-10, M-FRM-11, M-FRM-03 */
TEST(only_seven_hyphens_own_tid_and_a_flag_on_a_line_of_its_own_end_a_body)
{
    static const char *const body_data[] = {
        "\r\n------" TID "$\r\n",      "\r\n--------" TID "$\r\n", "\r\n-------" TID "\r\n",
        "\r\n-------" TID "!\r\n",     "\r\n-------" TID "e$\r\n", "\r\n-------" TID "$$\r\n",
        "\r\n-------" TID "$ \r\n",    "\r\n-------" TID "$\n",    "\r\n-------" TID "$\r\r\n",
        "\r\n-------a1B2.-+%=Z9$\r\n", "\n-------" TID "$\r\n",    "\r-------" TID "$\r\n",
        "\r\n -------" TID "$\r\n",    "x-------" TID "$\r\n",     "\r\n-------zzzz$\r\n",
        "\r\n-------" TID "-\r\n",     "\r\n-------$\r\n",         "\n\r-------" TID "$\r\n",
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(body_data); i++)
        for (const char *flag = "$+#"; *flag; flag++) {
            char text[200], body[200];
            size_t n = (size_t)snprintf(text, sizeof text, "ab%scd\r\n-------%s%c\r\nMSRP", body_data[i], TID, *flag);
            size_t expected = strlen(body_data[i]) + 4;

            for (size_t piece = 1; piece <= n; piece++) {
                size_t used = 0;
                char found = 0;

                CHECK_INT(stream(text, n, TID, piece, body, &used, &found), expected);
                CHECK(memcmp(body, text, expected) == 0);
                CHECK_INT(used, n - 4);
                CHECK(found == *flag);
            }
        }
}

/* M-FRM-12 */
TEST(line_break_before_the_end_line_is_not_body)
{
    static const char text[] = "ab\r\n\r\n-------" TID "$\r\n";
    struct msrp_body b = msrp_body_scan(text, sizeof text - 1, SV(TID), true);

    CHECK(b.ended && b.n == 4 && b.flag == '$' && b.used == sizeof text - 1);
}

/* M-FRM-14, M-FRM-15 */
TEST(empty_body_ends_with_or_without_its_line_break)
{
    static const char with[] = "\r\n-------" TID "$\r\n", without[] = "-------" TID "#\r\n";
    struct msrp_body b = msrp_body_scan(with, sizeof with - 1, SV(TID), true);

    CHECK(b.ended && b.n == 0 && b.flag == '$' && b.used == sizeof with - 1);
    b = msrp_body_scan(without, sizeof without - 1, SV(TID), true);
    CHECK(b.ended && b.n == 0 && b.flag == '#' && b.used == sizeof without - 1);
    for (size_t n = 0; n < sizeof without - 1; n++) {
        b = msrp_body_scan(without, n, SV(TID), true);
        CHECK(!b.ended && b.n == 0 && b.used == 0);
    }
    /* Later in a body the same bytes are data: there was no line break before them. */
    b = msrp_body_scan(without, sizeof without - 1, SV(TID), false);
    CHECK(!b.ended && b.n == sizeof without - 1 - 2); /* the line break at the end may be that of an end-line */
}

/* M-FRM-16, M-FRM-17 */
TEST(body_of_every_byte_value_comes_out_unchanged_at_every_split)
{
    enum { BODY = 256 * 3 };
    static const char decoy[] = "\r\n-------zzzz$\r\nMSRP zzzz SEND\r\n\r\n";
    char text[BODY + 200], body[BODY + 200];
    size_t n = 0;

    for (size_t i = 0; i < 256; i++)
        text[n++] = (char)i;
    for (size_t i = 0; i < sizeof decoy - 1; i++)
        text[n++] = decoy[i];
    for (size_t i = 256; i-- > 0;)
        text[n++] = (char)i;
    memcpy(text + n, "\r\n-------" TID "+\r\nrest", sizeof TID + 15);
    for (size_t piece = 1; piece <= n + sizeof TID + 15; piece++) {
        size_t used = 0;
        char flag = 0;

        CHECK_INT(stream(text, n + sizeof TID + 15, TID, piece, body, &used, &flag), n);
        CHECK(memcmp(body, text, n) == 0);
        CHECK(flag == '+' && used == n + 9 + sizeof TID - 1 + 3);
    }
}

/* M-FRM-17: bytes that look like beginnings of end-lines, cut everywhere, against the words of the RFC. */
TEST(random_bodies_of_nearly_end_lines_stream_like_they_are_read_whole)
{
    static const char *const bits[] = {
        "\r\n", "-------", "-",  "abcd",  "abc",       "$",           "\r",
        "\n",   "x",       "--", "#\r\n", "abcd$\r\n", "\r\n-------", "\r\n-------abcd"
    };
    char text[600], body[600];
    bool same = true;
    size_t ended = 0;

    seed = 3;
    for (int round = 0; round < 20000; round++) {
        size_t n = 0, used = 0, expected_used = 0, expected, got;
        uint32_t pieces = draw(40);
        char flag = 0;

        for (uint32_t i = 0; i < pieces; i++) {
            const char *bit = bits[draw(TD_ARRAY_LEN(bits))];

            memcpy(text + n, bit, strlen(bit));
            n += strlen(bit);
        }
        expected = naive_end(text, n, "abcd", &expected_used);
        got = stream(text, n, "abcd", 1 + draw(draw(2) ? 4 : 100), body, &used, &flag);
        same &= got == expected && (got == SIZE_MAX || (used == expected_used && memcmp(body, text, got) == 0));
        ended += got != SIZE_MAX;
    }
    CHECK(same);
    CHECK(ended > 1000 && ended < 19000);
}

/* M-FRM-18: a line that could be an end-line of some tid is passed on in one piece, so that the clash is seen in it. */
TEST(clash_is_seen_wherever_the_bytes_are_split)
{
    static const char text[] =
        "some text\r\n-------0123456789abcdefghijklmnopqrstuv$\r\nmore text that follows it for a while";
    struct sv other = SV("0123456789abcdefghijklmnopqrstuv");
    size_t line = 9, decided = 9 + 2 + 7 + 32 + 1;

    for (size_t n = 1; n < sizeof text; n++) {
        struct msrp_body b = msrp_body_scan(text, n, SV(TID), false);
        size_t first = msrp_body_clash(text, b.n, other, false);
        size_t second = msrp_body_clash(text + b.n, sizeof text - 1 - b.n, other, false);

        CHECK(b.n <= line || b.n >= decided);
        CHECK(n - b.n <= MSRP_END_LINE_MAX);
        CHECK(b.n <= line ? first == SIZE_MAX && second == line - b.n : first == line && second == SIZE_MAX);
    }
    CHECK_INT(msrp_body_scan(text, sizeof text - 1, SV(TID), false).n, sizeof text - 1);
}

/* M-FRM-18 */
TEST(clash_with_another_tid_is_found_where_its_line_begins)
{
    static const char text[] = "one\r\n-------zzzz$\r\ntwo\r\n-------" TID "#\r\n";
    struct msrp_body b = msrp_body_scan(text, sizeof text - 1, SV(TID), true);

    CHECK(b.ended && b.hyphen_lines && b.n == 22);
    CHECK_INT(msrp_body_clash(text, b.n, SV("zzzz"), true), 3);
    CHECK(msrp_body_clash(text, b.n, SV("zzzy"), true) == SIZE_MAX);
    CHECK(msrp_body_clash(text, b.n, SV("zzzzz"), true) == SIZE_MAX);
    CHECK(msrp_body_clash(text, b.n, SV("ZZZZ"), true) == SIZE_MAX);
}

/* M-FRM-18: the line break that the relay itself writes after a body would complete the line. */
TEST(clash_at_the_very_end_or_the_very_front_of_a_body_counts)
{
    CHECK_INT(msrp_body_clash("ab\r\n-------zzzz$", 16, SV("zzzz"), true), 2);
    CHECK_INT(msrp_body_clash("-------zzzz$\r\nab", 16, SV("zzzz"), true), 0);
    CHECK(msrp_body_clash("-------zzzz$\r\nab", 16, SV("zzzz"), false) == SIZE_MAX);
    CHECK(msrp_body_clash("ab\r\n--------zzzz$", 17, SV("zzzz"), true) == SIZE_MAX);
    for (size_t n = 0; n <= 15; n++) /* the beginning of such a line is none */
        CHECK(msrp_body_clash("ab\r\n-------zzzz$", n, SV("zzzz"), true) == SIZE_MAX);
    CHECK(msrp_body_clash("ab\r\n-------zzzz!\r\n", 18, SV("zzzz"), true) == SIZE_MAX);
}

TEST(body_without_lines_of_hyphens_needs_no_look_for_clashes)
{
    static const char plain[] = "a - b ------- c\r\n------ d\r\n-------- e", line[] = "a\r\n-------bcdefghij klm";

    CHECK(!msrp_body_scan(plain, sizeof plain - 1, SV(TID), true).hyphen_lines);
    CHECK(msrp_body_scan(line, sizeof line - 1, SV(TID), true).hyphen_lines);
}

TEST(nothing_to_scan_gives_nothing)
{
    struct msrp_body b = msrp_body_scan(NULL, 0, SV(TID), true);

    CHECK(b.n == 0 && b.used == 0 && !b.ended);
    CHECK_INT(msrp_find_hyphens(NULL, 0, 0), 0);
    CHECK(msrp_body_clash(NULL, 0, SV("zzzz"), true) == SIZE_MAX);
}

/* Bodies made to cost much: each is scanned once, so a megabyte takes milliseconds; a quadratic scan would take
 * hours. */
TEST(hostile_bodies_are_scanned_in_one_pass)
{
    static const char *const fill[] = { "-", "\r\n", "\r\n-", "------x", "\r\n-------a1b2!", "\r\n--------" };
    enum { SIZE = 8 << 20 };
    char *data = malloc(SIZE);

    CHECK_FATAL(data != NULL);
    for (size_t f = 0; f < TD_ARRAY_LEN(fill); f++) {
        size_t len = strlen(fill[f]);
        struct msrp_body b;

        for (size_t i = 0; i < SIZE; i++)
            data[i] = fill[f][i % len];
        b = msrp_body_scan(data, SIZE, SV(TID), false);
        CHECK(!b.ended && SIZE - b.n <= MSRP_END_LINE_MAX);
    }
    free(data);
}

SUITE(body_suite, TEST_ROW(hyphens_are_found_at_every_alignment_and_length),
      TEST_ROW(long_runs_of_hyphens_are_found_wherever_they_begin),
      TEST_ROW(hyphens_in_random_data_are_found_where_a_simple_search_finds_them),
      TEST_ROW(only_seven_hyphens_own_tid_and_a_flag_on_a_line_of_its_own_end_a_body),
      TEST_ROW(line_break_before_the_end_line_is_not_body), TEST_ROW(empty_body_ends_with_or_without_its_line_break),
      TEST_ROW(body_of_every_byte_value_comes_out_unchanged_at_every_split),
      TEST_ROW(random_bodies_of_nearly_end_lines_stream_like_they_are_read_whole),
      TEST_ROW(clash_is_seen_wherever_the_bytes_are_split),
      TEST_ROW(clash_with_another_tid_is_found_where_its_line_begins),
      TEST_ROW(clash_at_the_very_end_or_the_very_front_of_a_body_counts),
      TEST_ROW(body_without_lines_of_hyphens_needs_no_look_for_clashes), TEST_ROW(nothing_to_scan_gives_nothing),
      TEST_ROW(hostile_bodies_are_scanned_in_one_pass));
