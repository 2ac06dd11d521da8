/* Reading the head of a frame: start line, headers, end-line of a frame without body. */
#include <stdio.h>
#include <stdlib.h>

#include "msrp/frame.h"
#include "tests/unit/harness.h"

#define MAX_HEADER 16384
#define TO "To-Path: msrps://edge.tandem.example:5061/U;tcp msrps://bob.invalid:9/b;tcp\r\n"
#define FROM "From-Path: msrps://alice.invalid:9/a;tcp\r\n"
#define PATHS TO FROM
#define END "-------abcd$\r\n"

/* Reads the head from a heap copy of exactly these bytes, so that valgrind and ASan see a byte read too far. The views
 * then point into a copy that is gone: only for the verdict. */
static enum msrp_read verdict(const char *p, size_t n, size_t max_header, struct msrp_head *h)
{
    char *copy = malloc(n ? n : 1);
    enum msrp_read r;

    CHECK_FATAL(copy != NULL);
    memcpy(copy, p, n);
    r = msrp_head_read(h, copy, n, max_header, NULL);
    free(copy);
    return r;
}

static enum msrp_read read_text(struct msrp_head *h, const char *text)
{
    return msrp_head_read(h, text, strlen(text), MAX_HEADER, NULL);
}

static bool is_view(struct sv a, struct sv b)
{
    return a.p == b.p && a.n == b.n;
}

/* Two readings of the same bytes. */
static bool is_same(const struct msrp_head *a, const struct msrp_head *b)
{
    return a->n == b->n && a->fault == b->fault && a->order_fault == b->order_fault && a->has_body == b->has_body && a->flag == b->flag &&
           a->status == b->status && is_view(a->tid, b->tid) && is_view(a->paths, b->paths) && is_view(a->to_path, b->to_path) &&
           is_view(a->from_path, b->from_path) && is_view(a->headers, b->headers) && is_view(a->message_id, b->message_id);
}

/* A good frame. */
static bool is_good(struct msrp_head *h, const char *text)
{
    return read_text(h, text) == MSRP_DONE && !h->fault;
}

/* Well framed, but to be refused (M-FRM-21): read to its end. */
static bool is_faulty(const char *text)
{
    struct msrp_head h;

    return read_text(&h, text) == MSRP_DONE && h.fault && h.tid.n && h.n;
}

static bool is_broken(const char *text)
{
    struct msrp_head h;

    return read_text(&h, text) == MSRP_BROKEN && h.fault;
}

static const char full_send[] = "MSRP a1b2.-+%=Z9 SEND\r\n" PATHS "Message-ID: m-0001\r\n"
                                "Success-Report: yes\r\n"
                                "Failure-Report: partial\r\n"
                                "Byte-Range: 1-*/9000\r\n"
                                "X-Foo:   bar \r\n"
                                "Content-Type: text/plain;charset=utf-8\r\n"
                                "\r\n";

TEST(every_part_of_a_send_is_found)
{
    struct msrp_head h;
    const char *body = full_send + sizeof full_send - 1;

    CHECK_FATAL(is_good(&h, full_send));
    CHECK(sv_eq(h.tid, SV("a1b2.-+%=Z9")));
    CHECK(!h.is_response && h.method == MSRP_SEND && sv_eq(h.method_text, SV("SEND")));
    CHECK(sv_eq(h.paths, SV(PATHS)));
    CHECK(sv_eq(h.to_path, SV("msrps://edge.tandem.example:5061/U;tcp msrps://bob.invalid:9/b;tcp")));
    CHECK(sv_eq(h.from_path, SV("msrps://alice.invalid:9/a;tcp")));
    CHECK(sv_eq(h.message_id, SV("m-0001")));
    CHECK(h.wants_success && h.failure_report == MSRP_FR_PARTIAL);
    CHECK(sv_eq(h.content_type, SV("text/plain;charset=utf-8")));
    CHECK(sv_eq(h.byte_range, SV("1-*/9000")));
    CHECK(h.range.present && h.range.start == 1 && !h.range.end_known && h.range.total_known && h.range.total == 9000);
    CHECK(h.headers.p == h.paths.p + h.paths.n && h.headers.p + h.headers.n + 2 == body);
    CHECK(h.has_body && h.flag == 0);
    CHECK_INT(h.n, sizeof full_send - 1);
    CHECK(!h.order_fault);
}

/* M-FRM-01 */
TEST(protocol_word_and_methods_are_upper_case)
{
    struct msrp_head h;

    CHECK(is_broken("msrp abcd SEND\r\n" PATHS "Message-ID: m-01\r\n" END));
    CHECK(is_broken("Msrp abcd SEND\r\n" PATHS "Message-ID: m-01\r\n" END));
    CHECK(is_faulty("MSRP abcd send\r\n" PATHS "Message-ID: m-01\r\n" END));
    CHECK(is_faulty("MSRP abcd Auth\r\n" PATHS END));
    CHECK(is_good(&h, "MSRP abcd AUTH\r\n" PATHS END) && h.method == MSRP_AUTH);
    CHECK(is_good(&h, "MSRP abcd REPORT\r\n" PATHS "Message-ID: m-01\r\n" END) && h.method == MSRP_REPORT);
    CHECK(is_good(&h, "MSRP abcd NICKNAME\r\n" PATHS END) && h.method == MSRP_OTHER_METHOD);
    CHECK(sv_eq(h.method_text, SV("NICKNAME")));
    CHECK(is_good(&h, "MSRP abcd SENDER\r\n" PATHS END) && h.method == MSRP_OTHER_METHOD);
}

/* M-FRM-01: the answer 400 needs the paths. */
TEST(frame_with_a_lower_case_method_still_tells_its_paths)
{
    struct msrp_head h;

    CHECK_INT(read_text(&h, "MSRP abcd send\r\n" PATHS END), MSRP_DONE);
    CHECK(h.fault && h.method != MSRP_SEND);
    CHECK(sv_eq(h.tid, SV("abcd")) && sv_eq(h.from_path, SV("msrps://alice.invalid:9/a;tcp")));
}

/* M-FRM-02 */
TEST(tid_has_4_to_32_characters_and_begins_with_a_letter_or_digit)
{
    static const char *const bad[] = { "abc",
                                       "0123456789abcdefghijklmnopqrstuvw",
                                       "-abc",
                                       ".abc",
                                       "+abc",
                                       "%abc",
                                       "=abc",
                                       "ab_c",
                                       "ab/c",
                                       "ab,c",
                                       "ab\tc",
                                       "ab\x80"
                                       "c",
                                       "ab~c",
                                       "",
                                       "abc$" };
    static const char *const good[] = { "abcd", "0123456789abcdefghijklmnopqrstuv", "a.-+%=Z9", "0---", "Z..." };
    struct msrp_head h;
    char text[400];

    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++) {
        snprintf(text, sizeof text, "MSRP %s SEND\r\n" PATHS "Message-ID: m-01\r\n-------%s$\r\n", bad[i], bad[i]);
        CHECK(is_broken(text));
        CHECK(!msrp_tid_is_good(sv_of(bad[i])));
    }
    for (size_t i = 0; i < TD_ARRAY_LEN(good); i++) {
        snprintf(text, sizeof text, "MSRP %s SEND\r\n" PATHS "Message-ID: m-01\r\n-------%s$\r\n", good[i], good[i]);
        CHECK(is_good(&h, text) && sv_eq(h.tid, sv_of(good[i])));
        CHECK(msrp_tid_is_good(sv_of(good[i])));
    }
    CHECK(!msrp_tid_is_good(SV("ab\0c")));
}

/* M-FRM-20 */
TEST(start_line_that_cannot_be_parsed_is_a_framing_error)
{
    static const char *const bad[] = { "MSRP",
                                       "MSRP ",
                                       "MSRP abcd",
                                       "MSRP abcd ",
                                       "MSRP  abcd SEND",
                                       "MSRP abcd  SEND",
                                       "MSRP abcd SEND ",
                                       "MSRP abcd SEND x",
                                       "MSRP\tabcd SEND",
                                       "MSRP abcd\tSEND",
                                       "",
                                       " MSRP abcd SEND",
                                       "SEND abcd",
                                       "MSRP abcd 20",
                                       "MSRP abcd 2000",
                                       "MSRP abcd 2x0",
                                       "MSRP abcd 20x OK",
                                       "MSRP abcd 2000 OK",
                                       "GET / HTTP/1.1",
                                       "REGISTER sip:a SIP/2.0",
                                       "MSRP sip:bob@x SIP/2.0" };
    char text[400];

    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++) {
        snprintf(text, sizeof text, "%s\r\n" PATHS "Message-ID: m-01\r\n" END, bad[i]);
        if (!is_broken(text)) {
            printf("accepted: %s\n", bad[i]);
            CHECK(!"broken");
        }
    }
}

/* M-FRM-06, M-FRM-23 */
TEST(response_needs_neither_comment_nor_further_headers)
{
    struct msrp_head h;

    CHECK(is_good(&h, "MSRP abcd 200\r\n" PATHS END) && h.is_response && h.status == 200 && h.comment.n == 0);
    CHECK(h.headers.n == 0 && !h.has_body && h.flag == '$');
    CHECK(is_good(&h, "MSRP abcd 200 \r\n" PATHS END) && h.status == 200 && h.comment.n == 0);
    CHECK(is_good(&h, "MSRP abcd 200 OK\r\n" PATHS END) && sv_eq(h.comment, SV("OK")));
    CHECK(is_good(&h, "MSRP abcd 481 Pas d'\xc3\xa9t\xc3\xa9  x\r\n" PATHS END) && h.status == 481);
    CHECK(sv_eq(h.comment, SV("Pas d'\xc3\xa9t\xc3\xa9  x")));
    CHECK(is_good(&h, "MSRP abcd 000\r\n" PATHS END) && h.is_response && h.status == 0);
    CHECK(is_good(&h, "MSRP abcd 999 x\r\n" PATHS END) && h.status == 999); /* M-RSP-07 */
}

/* M-FRM-22: its body is skipped by the caller, not taken for the next frame. */
TEST(response_with_a_body_says_so)
{
    struct msrp_head h;

    CHECK_INT(read_text(&h, "MSRP abcd 200 OK\r\n" PATHS "\r\nbody\r\n" END), MSRP_DONE);
    CHECK(h.is_response && h.has_body);
}

/* A response is dropped only for what hinders matching it: else a hop timer would fire for a message that arrived. */
TEST(odd_header_values_do_not_spoil_a_response)
{
    struct msrp_head h;

    CHECK(is_good(&h, "MSRP abcd 200 OK\r\n" PATHS
                      "Byte-Range: x\r\nFailure-Report: maybe\r\nSuccess-Report: 1\r\nMessage-ID: _\r\n" END));
}

/* M-FRM-05 */
TEST(paths_that_are_not_the_first_two_headers_are_an_order_fault)
{
    struct msrp_head h;

    CHECK_INT(read_text(&h, "MSRP abcd SEND\r\n" FROM TO "Message-ID: m-01\r\n" END), MSRP_DONE);
    CHECK(h.order_fault && h.fault);
    CHECK(sv_eq(h.from_path, SV("msrps://alice.invalid:9/a;tcp")));
    CHECK_INT(read_text(&h, "MSRP abcd SEND\r\n" TO "Message-ID: m-01\r\n" FROM END), MSRP_DONE);
    CHECK(h.order_fault && h.fault && h.from_path.n);
    CHECK_INT(read_text(&h, "MSRP abcd SEND\r\nMessage-ID: m-01\r\n" PATHS END), MSRP_DONE);
    CHECK(h.order_fault && h.fault && h.from_path.n);
}

/* M-FRM-05: without both paths there is nowhere to answer to; that is no order fault but a drop. */
TEST(missing_or_empty_path_is_a_fault_but_no_order_fault)
{
    static const char *const bad[] = { "MSRP abcd SEND\r\n" TO "Message-ID: m-01\r\n" END,
                                       "MSRP abcd SEND\r\n" FROM "Message-ID: m-01\r\n" END,
                                       "MSRP abcd SEND\r\n" END,
                                       "MSRP abcd SEND\r\n" TO END,
                                       "MSRP abcd 200 OK\r\n" FROM END,
                                       "MSRP abcd SEND\r\nTo-Path:\r\n" FROM "Message-ID: m-01\r\n" END,
                                       "MSRP abcd SEND\r\n" TO "From-Path: \t \r\nMessage-ID: m-01\r\n" END };

    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++) {
        struct msrp_head h;

        CHECK_INT(read_text(&h, bad[i]), MSRP_DONE);
        CHECK(h.fault && !h.order_fault);
        CHECK(h.to_path.n == 0 || h.from_path.n == 0);
    }
}

/* M-FRM-07, M-FRM-20 */
TEST(line_that_is_no_header_is_a_framing_error)
{
    static const char *const bad[] = { " msrps://c:1/c;tcp",
                                       "\tmsrps://c:1/c;tcp",
                                       " Folded: x",
                                       ": x",
                                       "no colon",
                                       "X Y: z",
                                       "X : z",
                                       "X\tY: z",
                                       "X\xc3\xa9: z",
                                       "X\x7f: z",
                                       "a-rather-long-line-without-any-colon",
                                       "a-rather-long-name then: x",
                                       "X-\xc3\xa9-long-name-of-header: z",
                                       "X-\x7f-long-name-of-header: z" };
    char text[400];

    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++) {
        snprintf(text, sizeof text, "MSRP abcd SEND\r\n" TO "%s\r\n" FROM "Message-ID: m-01\r\n" END, bad[i]);
        if (!is_broken(text)) {
            printf("accepted: %s\n", bad[i]);
            CHECK(!"broken");
        }
    }
}

/* M-FRM-20: what had been read is told, so that a 400 can be sent before closing. */
TEST(framing_error_tells_what_had_been_read)
{
    struct msrp_head h;

    CHECK_INT(read_text(&h, "MSRP abcd SEND\r\n" PATHS "Failure-Report: no\r\nno header\r\n"), MSRP_BROKEN);
    CHECK(sv_eq(h.tid, SV("abcd")) && h.method == MSRP_SEND);
    CHECK(h.to_path.n && sv_eq(h.from_path, SV("msrps://alice.invalid:9/a;tcp")));
    CHECK(sv_eq(h.failure_report_text, SV("no")));
    CHECK(h.failure_report == MSRP_FR_NO);
    CHECK_INT(read_text(&h, "MSRP ab SEND\r\n"), MSRP_BROKEN);
    CHECK(h.tid.n == 0);
}

/* M-FRM-09 */
TEST(header_names_have_no_case_and_any_blanks_may_follow_the_colon)
{
    struct msrp_head h;

    CHECK(is_good(&h,
                  "MSRP abcd SEND\r\nto-path:  \tmsrp://a:1;tcp\r\nFROM-PATH:msrp://b:1;tcp\r\nmessage-id:\tm-01 \t\r\n"
                  "SUCCESS-REPORT:YES\r\nfailure-REPORT: No\r\nbyte-range: 1-2/2\r\nEXPIRES: 5\r\nstatus: 000 200\r\n"
                  "authorization: Digest x\r\ncontent-TYPE: a/b\r\n\r\n"));
    CHECK(sv_eq(h.to_path, SV("msrp://a:1;tcp")) && sv_eq(h.from_path, SV("msrp://b:1;tcp")));
    CHECK(sv_eq(h.message_id, SV("m-01")) && h.wants_success && h.failure_report == MSRP_FR_NO);
    CHECK(h.range.end == 2 && sv_eq(h.expires, SV("5")) && sv_eq(h.status_text, SV("000 200")));
    CHECK(sv_eq(h.authorization, SV("Digest x")) && sv_eq(h.content_type, SV("a/b")));
}

/* The comparison of names folds a bit; every other byte in place of each of theirs must make another name. */
TEST(header_name_with_one_byte_changed_is_another_header)
{
    static const char *const names[] = { "Message-ID",   "Byte-Range",    "Status",         "Expires",
                                         "Content-Type", "Authorization", "Failure-Report", "Success-Report" };
    bool same = true;

    for (size_t i = 0; i < TD_ARRAY_LEN(names); i++)
        for (size_t at = 0; names[i][at]; at++)
            for (int c = 0x21; c < 0x7f; c++) {
                struct msrp_head h;
                char text[400], name[32];
                bool known;

                snprintf(name, sizeof name, "%s", names[i]);
                name[at] = (char)c;
                snprintf(text, sizeof text, "MSRP abcd 200\r\n" PATHS "%s: 1-2/2\r\n" END, name);
                known = c == names[i][at] || ((c ^ names[i][at]) == 0x20 && sv_lower(names[i][at]) >= 'a');
                if (read_text(&h, text) != MSRP_DONE) {
                    same &= c == ':' && at == 0; /* an empty name */
                    continue;
                }
                same &=
                    known == (h.message_id.p || h.byte_range.p || h.status_text.p || h.expires.p || h.content_type.p ||
                              h.authorization.p || h.failure_report_text.p || h.success_report.p);
            }
    CHECK(same);
}

/* M-FRM-09, M-FRM-20 */
TEST(bare_line_feed_is_a_framing_error_wherever_it_stands)
{
    CHECK(is_broken("MSRP abcd SEND\n" PATHS "Message-ID: m-01\r\n" END));
    CHECK(
        is_broken("MSRP abcd SEND\r\nTo-Path: msrp://a:1;tcp\nFrom-Path: msrp://b:1;tcp\r\nMessage-ID: m-01\r\n" END));
    CHECK(is_broken("MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\n" END));
    CHECK(is_broken("MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\nContent-Type: a/b\r\n\n"));
    CHECK(is_broken("MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\n-------abcd$\n"));
    CHECK(is_broken("\nMSRP abcd SEND\r\n"));
}

/* RFC 4975 s.9: a header value has visible characters, blanks, tabs and UTF-8. A bare CR or NUL must not travel on. */
TEST(control_character_in_a_header_is_a_fault)
{
    static const char nul[] = "MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\nX: a\0b\r\n" END;
    struct msrp_head h;

    CHECK(is_faulty("MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\nX: a\rFrom-Path: b\r\n" END));
    CHECK(is_faulty("MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\nX: a\r\r\n" END));
    CHECK(is_faulty("MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\nX: \x1b[1m\r\n" END));
    CHECK(msrp_head_read(&h, nul, sizeof nul - 1, MAX_HEADER, NULL) == MSRP_DONE && h.fault);
    CHECK(is_good(&h, "MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\nX: a\tb \xe2\x82\xac \xff\r\n" END));
}

/* M-FRM-10, M-FRM-11, M-FRM-13 */
TEST(request_without_body_ends_with_any_flag_right_after_its_headers)
{
    for (const char *flag = "$+#"; *flag; flag++) {
        struct msrp_head h;
        char text[400];
        size_t n = (size_t)snprintf(text, sizeof text,
                                    "MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\n-------abcd%c\r\nMSRP", *flag);

        CHECK(is_good(&h, text));
        CHECK(!h.has_body && h.flag == *flag && h.n == n - 4);
        CHECK(sv_eq(h.headers, SV("Message-ID: m-01\r\n")));
    }
}

/* M-FRM-10, M-FRM-20: among headers such a line is neither end-line nor header. */
TEST(end_line_of_something_else_among_the_headers_is_a_framing_error)
{
    static const char *const bad[] = { "-------abce$",  "-------abcd",  "-------abcd!",  "-------abcde$",
                                       "--------abcd$", "-------ABCD$", "-------abcd$ ", "-------abcd$\r",
                                       "-------",       "------abcd$",  "-------abcd$$", "-------: x" };
    char text[400];

    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++) {
        snprintf(text, sizeof text, "MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\n%s\r\n", bad[i]);
        CHECK(is_broken(text));
    }
}

/* M-FRM-14 */
TEST(bodiless_and_empty_body_are_told_apart)
{
    struct msrp_head h;

    CHECK(is_good(&h, "MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\n" END) && !h.has_body && !h.content_type.p);
    CHECK(is_good(&h, "MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\nContent-Type: a/b\r\n\r\n\r\n" END) &&
          h.has_body);
    CHECK(is_good(&h, "MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\nContent-Type: a/b\r\n" END) && !h.has_body);
    CHECK(is_faulty("MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\n\r\nx\r\n" END));
}

/* M-FRM-17: every prefix is MORE, and the verdict does not depend on what follows. */
TEST(head_split_at_every_byte_is_read_when_its_last_byte_is_there)
{
    static const char bodiless[] =
        "MSRP abcd REPORT\r\n" PATHS "Message-ID: m-01\r\nByte-Range: 1-2/2\r\nStatus: 000 200 OK\r\n" END;
    struct msrp_head h;

    for (size_t n = 0; n < sizeof full_send - 1; n++)
        CHECK_INT(verdict(full_send, n, MAX_HEADER, &h), MSRP_MORE);
    CHECK_INT(verdict(full_send, sizeof full_send - 1, MAX_HEADER, &h), MSRP_DONE);
    for (size_t n = 0; n < sizeof bodiless - 1; n++)
        CHECK_INT(verdict(bodiless, n, MAX_HEADER, &h), MSRP_MORE);
    CHECK(verdict(bodiless, sizeof bodiless - 1, MAX_HEADER, &h) == MSRP_DONE && h.n == sizeof bodiless - 1);
}

/* M-FRM-17, M-FRM-20: for any bytes and any limit, a head that is read whole is never refused when it comes in pieces,
 * nor the other way round; and it is read the same when its paths are known. */
TEST(verdict_on_random_heads_does_not_depend_on_the_split)
{
    static const char *const lines[] = { "MSRP abcd SEND",
                                         "To-Path: msrp://a:1;tcp",
                                         "From-Path: msrp://b:1;tcp",
                                         "Message-ID: m-01",
                                         "X: y",
                                         "Byte-Range: 1-*/*",
                                         "",
                                         "-------abcd$",
                                         "-------abce$",
                                         " x",
                                         "a\rb: c",
                                         "Failure-Report: no" };
    static const char paths[] = "To-Path: msrp://a:1;tcp\r\nFrom-Path: msrp://b:1;tcp\r\n";
    const struct msrp_paths known = { SV(paths), { paths + 9, 14 }, { paths + 25 + 11, 14 } };
    uint32_t seed = 11;
    bool same = true;
    size_t results[3] = { 0 }, recognised = 0;

    for (int round = 0; round < 3000; round++) {
        char text[800];
        size_t n = 0, limit;
        struct msrp_head whole, part;
        enum msrp_read w;

        for (size_t i = 0; i < 12; i++) {
            seed = seed * 1664525 + 1013904223;
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s",
                                  lines[i < 3 && seed >> 30 ? i : (seed >> 16) % TD_ARRAY_LEN(lines)],
                                  (seed >> 8 & 0xff) < 4 ? "\n" : "\r\n");
        }
        limit = 60 + (seed >> 24);
        w = msrp_head_read(&whole, text, n, limit, NULL);
        results[w]++;
        same &= msrp_head_read(&part, text, n, limit, &known) == w && is_same(&part, &whole);
        recognised += part.paths_known;
        for (size_t cut = 0; cut <= n; cut++) {
            enum msrp_read r = verdict(text, cut, limit, &part);

            if (r == MSRP_MORE) {
                same &= cut < n || w == MSRP_MORE;
                continue;
            }
            same &= r == w && part.n == whole.n && part.tid.n == whole.tid.n && part.to_path.n == whole.to_path.n &&
                    part.from_path.n == whole.from_path.n && part.headers.n == whole.headers.n &&
                    !part.fault == !whole.fault;
        }
    }
    CHECK(same);
    CHECK(results[MSRP_DONE] > 100 && results[MSRP_BROKEN] > 100 && recognised > 100);
}

/* M-FRM-20: the limit counts every byte up to the body, or the whole frame when there is none. */
TEST(head_at_the_size_limit_is_read_and_one_past_it_is_a_framing_error)
{
    static const char bodiless[] = "MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\n" END;
    struct msrp_head h;

    CHECK_INT(verdict(full_send, sizeof full_send - 1, sizeof full_send - 1, &h), MSRP_DONE);
    CHECK_INT(verdict(full_send, sizeof full_send - 1, sizeof full_send - 1 - 1, &h), MSRP_BROKEN);
    CHECK_INT(verdict(bodiless, sizeof bodiless - 1, sizeof bodiless - 1, &h), MSRP_DONE);
    CHECK_INT(verdict(bodiless, sizeof bodiless - 1, sizeof bodiless - 1 - 1, &h), MSRP_BROKEN);
    CHECK_INT(verdict(full_send, 100, 101, &h), MSRP_MORE);
    CHECK_INT(verdict(full_send, 100, 100, &h), MSRP_BROKEN);
    CHECK(h.to_path.n != 0); /* as far as it had been read */
    CHECK_INT(verdict(full_send, 10, 10, &h), MSRP_BROKEN);
}

/* M-FRM-20 */
TEST(line_at_its_limit_is_read_and_one_past_it_is_a_framing_error)
{
    size_t room = MSRP_LINE_MAX + 1000;
    char *text = malloc(room);

    CHECK_FATAL(text != NULL);
    for (size_t len = MSRP_LINE_MAX - 1; len <= MSRP_LINE_MAX + 1; len++)
        for (int first = 0; first < 2; first++) {
            size_t n = (size_t)snprintf(
                       text, room, first ? "MSRP abcd 200 " : "MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\nX: "),
                   line;
            struct msrp_head h;

            line = first ? n : 3;
            memset(text + n, 'y', len - line);
            n += len - line;
            n += (size_t)snprintf(text + n, room - n, "\r\n%s", first ? PATHS END : END);
            CHECK_INT(verdict(text, n, 65536, &h), len <= MSRP_LINE_MAX ? MSRP_DONE : MSRP_BROKEN);
            if (len > MSRP_LINE_MAX) { /* known at the first byte too many, not only when the line ends */
                size_t start = first ? 0 : n - (sizeof END - 1) - 2 - len;

                CHECK_INT(verdict(text, start + MSRP_LINE_MAX + 1, 65536, &h), MSRP_BROKEN);
                CHECK_INT(verdict(text, start + MSRP_LINE_MAX, 65536, &h), MSRP_MORE);
            }
        }
    free(text);
}

/* M-FRM-20 */
TEST(number_of_headers_at_its_limit_is_read_and_one_past_it_is_a_framing_error)
{
    for (int extra = 0; extra < 2; extra++) {
        char text[4096];
        size_t n = (size_t)snprintf(text, sizeof text, "MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\n");
        struct msrp_head h;

        for (int i = 3; i < MSRP_HEADERS_MAX + extra; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, "X-%d: y\r\n", i);
        n += (size_t)snprintf(text + n, sizeof text - n, END);
        CHECK_INT(verdict(text, n, MAX_HEADER, &h), extra ? MSRP_BROKEN : MSRP_DONE);
    }
}

/* M-HDR-11 */
TEST(header_that_may_stand_once_is_a_fault_the_second_time)
{
    static const char *const twice[] = { "To-Path: msrp://x:1;tcp", "From-Path: msrp://x:1;tcp", "Message-ID: m-02",
                                         "Byte-Range: 1-1/1",       "Failure-Report: yes",       "Success-Report: no",
                                         "Status: 000 200",         "Authorization: Digest a",   "Expires: 5",
                                         "Content-Type: a/b" };
    struct msrp_head h;
    char text[600];

    for (size_t i = 0; i < TD_ARRAY_LEN(twice); i++) {
        snprintf(text, sizeof text, "MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\n%s\r\n%s\r\n" END, twice[i],
                 twice[i]);
        CHECK(is_faulty(text));
    }
    /* The first one counts. */
    CHECK_INT(read_text(&h, "MSRP abcd SEND\r\n" PATHS "From-Path: msrp://x:1;tcp\r\nMessage-ID: m-01\r\n" END),
              MSRP_DONE);
    CHECK(h.fault && sv_eq(h.from_path, SV("msrps://alice.invalid:9/a;tcp")));
    CHECK(is_good(&h, "MSRP abcd 401 x\r\n" PATHS "WWW-Authenticate: Digest a\r\nWWW-Authenticate: Digest b\r\n" END));
    CHECK(is_good(&h, "MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\nX-Foo: a\r\nX-Foo: b\r\n" END));
}

/* M-HDR-01, M-HDR-03: what is not known is kept as it is, in place. */
TEST(further_headers_are_one_view_of_the_lines_as_they_came)
{
    struct msrp_head h;

    CHECK(
        is_good(&h, "MSRP abcd SEND\r\n" PATHS "X-Foo:bar  \r\nMessage-ID: m-01\r\nx-: \r\nContent-Type: a/b\r\n\r\n"));
    CHECK(sv_eq(h.headers, SV("X-Foo:bar  \r\nMessage-ID: m-01\r\nx-: \r\nContent-Type: a/b\r\n")));
}

/* M-HDR-04 */
TEST(send_and_report_need_a_message_id_of_the_right_form)
{
    struct msrp_head h;

    CHECK(is_faulty("MSRP abcd SEND\r\n" PATHS END));
    CHECK(is_faulty("MSRP abcd REPORT\r\n" PATHS "Status: 000 200 OK\r\n" END));
    CHECK(is_faulty("MSRP abcd SEND\r\n" PATHS "Message-ID:\r\n" END));
    CHECK(is_faulty("MSRP abcd SEND\r\n" PATHS "Message-ID: a b c d\r\n" END));
    CHECK(is_good(&h, "MSRP abcd AUTH\r\n" PATHS END));
    CHECK(is_good(&h, "MSRP abcd FROB\r\n" PATHS END));
}

/* M-HDR-05 */
TEST(absent_success_report_is_no_and_absent_failure_report_is_yes)
{
    struct msrp_head h;

    CHECK(is_good(&h, "MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\n" END));
    CHECK(!h.wants_success && h.failure_report == MSRP_FR_YES && !h.failure_report_text.p);
}

/* M-HDR-06 */
TEST(report_headers_take_their_words_without_case_and_nothing_else)
{
    static const struct {
        const char *text;
        enum msrp_failure_report value;
    } good[] = { { "yes", MSRP_FR_YES }, { "YES", MSRP_FR_YES },         { "no", MSRP_FR_NO },
                 { "nO", MSRP_FR_NO },   { "partial", MSRP_FR_PARTIAL }, { "Partial", MSRP_FR_PARTIAL } };
    static const char *const bad[] = { "Failure-Report: maybe", "Failure-Report:",         "Failure-Report: yes no",
                                       "Failure-Report: ye",    "Success-Report: partial", "Success-Report:",
                                       "Success-Report: 1",     "Success-Report: yess" };
    struct msrp_head h;
    char text[400];

    for (size_t i = 0; i < TD_ARRAY_LEN(good); i++) {
        snprintf(text, sizeof text, "MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\nFailure-Report: %s\r\n" END,
                 good[i].text);
        CHECK(is_good(&h, text) && h.failure_report == good[i].value);
    }
    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++) {
        snprintf(text, sizeof text, "MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\n%s\r\n" END, bad[i]);
        CHECK(is_faulty(text));
    }
    CHECK(is_good(&h, "MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\nSuccess-Report: Yes\r\n" END) && h.wants_success);
    CHECK(is_good(&h, "MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\nSuccess-Report: NO\r\n" END) && !h.wants_success);
}

/* M-HDR-07 */
TEST(report_headers_in_a_report_have_no_effect)
{
    struct msrp_head h;

    CHECK(is_good(&h, "MSRP abcd REPORT\r\n" PATHS
                      "Message-ID: m-01\r\nFailure-Report: maybe\r\nSuccess-Report: x\r\n" END));
    CHECK(!h.wants_success && h.failure_report == MSRP_FR_YES);
}

/* M-CHK-01, M-CHK-02, M-CHK-03 */
TEST(byte_range_has_four_forms_and_may_be_absent)
{
    struct msrp_range r;
    struct msrp_head h;

    CHECK(msrp_range_parse(&r, SV("1-2/3")) && r.present && r.start == 1 && r.end == 2 && r.total == 3 && r.end_known &&
          r.total_known);
    CHECK(msrp_range_parse(&r, SV("5-*/30")) && r.start == 5 && !r.end_known && r.total_known && r.total == 30);
    CHECK(msrp_range_parse(&r, SV("1-2/*")) && r.end_known && r.end == 2 && !r.total_known);
    CHECK(msrp_range_parse(&r, SV("1-*/*")) && !r.end_known && !r.total_known);
    CHECK(msrp_range_parse(&r, SV("1-0/0")) && r.end == 0 && r.total == 0);
    CHECK(msrp_range_parse(&r, SV("0001-002/03")) && r.start == 1 && r.end == 2 && r.total == 3);
    CHECK(is_good(&h, "MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\n" END) && !h.range.present && !h.byte_range.p);
}

/* M-CHK-15 */
TEST(byte_range_is_read_up_to_the_63_bit_limit)
{
    struct msrp_range r;

    CHECK(msrp_range_parse(&r, SV("1-*/9223372036854775807")) && r.total == INT64_MAX);
    CHECK(msrp_range_parse(&r, SV("1-9223372036854775807/9223372036854775807")) && r.end == INT64_MAX &&
          r.total == INT64_MAX);
    CHECK(msrp_range_parse(&r, SV("9223372036854775807-*/*")) && r.start == INT64_MAX);
    CHECK(!msrp_range_parse(&r, SV("1-*/9223372036854775808")));
    CHECK(!msrp_range_parse(&r, SV("1-9223372036854775808/*")));
    CHECK(!msrp_range_parse(&r, SV("9223372036854775808-*/*")));
    CHECK(!msrp_range_parse(&r, SV("1-*/18446744073709551615")));
    CHECK(!msrp_range_parse(&r, SV("1-*/18446744073709551617")));
    CHECK(!msrp_range_parse(&r, SV("1-*/99999999999999999999")));
    CHECK(is_faulty("MSRP abcd SEND\r\n" PATHS "Message-ID: m-01\r\nByte-Range: 1-*/99999999999999999999\r\n" END));
}

/* M-CHK-16 */
TEST(byte_range_that_contradicts_itself_is_refused)
{
    static const char *const bad[] = { "0-0/0", "0-*/*", "5-3/10", "1-11/10", "2-0/0", "9223372036854775807-1/*" };
    static const char *const good[] = { "5-4/10", "1-10/10", "11-10/10", "5-5/*" };
    struct msrp_range r;

    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++)
        CHECK(!msrp_range_parse(&r, sv_of(bad[i])));
    for (size_t i = 0; i < TD_ARRAY_LEN(good); i++)
        CHECK(msrp_range_parse(&r, sv_of(good[i])));
}

TEST(text_that_is_no_byte_range_is_refused)
{
    static const char *const bad[] = { "",       "1",       "1-",      "1-2",    "1-2/",   "-2/3",
                                       "1/2",    "1-2-3/4", "1-2/3/4", "*-2/3",  "1 -2/3", "1- 2/3",
                                       "1-2 /3", "1-2/3 ",  " 1-2/3",  "1-**/3", "1-*/**", "1--1/3",
                                       "+1-2/3", "1-2/0x3", "1-2/3;x", "1-*2/3", "1/3-2",  "a-b/c" };
    struct msrp_range r;

    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++)
        CHECK(!msrp_range_parse(&r, sv_of(bad[i])));
    CHECK(!msrp_range_parse(&r, sv_make(NULL, 0)));
}

SUITE(head_suite, TEST_ROW(every_part_of_a_send_is_found), TEST_ROW(protocol_word_and_methods_are_upper_case),
      TEST_ROW(frame_with_a_lower_case_method_still_tells_its_paths),
      TEST_ROW(tid_has_4_to_32_characters_and_begins_with_a_letter_or_digit),
      TEST_ROW(start_line_that_cannot_be_parsed_is_a_framing_error),
      TEST_ROW(response_needs_neither_comment_nor_further_headers), TEST_ROW(response_with_a_body_says_so),
      TEST_ROW(odd_header_values_do_not_spoil_a_response),
      TEST_ROW(paths_that_are_not_the_first_two_headers_are_an_order_fault),
      TEST_ROW(missing_or_empty_path_is_a_fault_but_no_order_fault),
      TEST_ROW(line_that_is_no_header_is_a_framing_error), TEST_ROW(framing_error_tells_what_had_been_read),
      TEST_ROW(header_names_have_no_case_and_any_blanks_may_follow_the_colon),
      TEST_ROW(header_name_with_one_byte_changed_is_another_header),
      TEST_ROW(bare_line_feed_is_a_framing_error_wherever_it_stands),
      TEST_ROW(control_character_in_a_header_is_a_fault),
      TEST_ROW(request_without_body_ends_with_any_flag_right_after_its_headers),
      TEST_ROW(end_line_of_something_else_among_the_headers_is_a_framing_error),
      TEST_ROW(bodiless_and_empty_body_are_told_apart),
      TEST_ROW(head_split_at_every_byte_is_read_when_its_last_byte_is_there),
      TEST_ROW(verdict_on_random_heads_does_not_depend_on_the_split),
      TEST_ROW(head_at_the_size_limit_is_read_and_one_past_it_is_a_framing_error),
      TEST_ROW(line_at_its_limit_is_read_and_one_past_it_is_a_framing_error),
      TEST_ROW(number_of_headers_at_its_limit_is_read_and_one_past_it_is_a_framing_error),
      TEST_ROW(header_that_may_stand_once_is_a_fault_the_second_time),
      TEST_ROW(further_headers_are_one_view_of_the_lines_as_they_came),
      TEST_ROW(send_and_report_need_a_message_id_of_the_right_form),
      TEST_ROW(absent_success_report_is_no_and_absent_failure_report_is_yes),
      TEST_ROW(report_headers_take_their_words_without_case_and_nothing_else),
      TEST_ROW(report_headers_in_a_report_have_no_effect), TEST_ROW(byte_range_has_four_forms_and_may_be_absent),
      TEST_ROW(byte_range_is_read_up_to_the_63_bit_limit), TEST_ROW(byte_range_that_contradicts_itself_is_refused),
      TEST_ROW(text_that_is_no_byte_range_is_refused));
