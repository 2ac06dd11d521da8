/* MSRP on the wire: the client's frame reader, Byte-Ranges and URIs. */
#include "client/wire.h"

#include "common/buf.h"
#include "tests/unit/harness.h"

#define PATHS "To-Path: msrp://b:1/y;tcp\r\nFrom-Path: msrp://a:1/x;tcp\r\n"

/* What a stream gave, as text: H(method or code) B(body) E(flag). */
static void run(struct sv stream, size_t step, struct buf *out)
{
    struct mc_reader r = { .state = MC_AT_START };
    size_t from = 0, to = 0;
    struct mc_event ev = { .kind = MC_EV_MORE };
    bool in_body = false;

    buf_clear(out);
    while (ev.kind != MC_EV_BAD) {
        from += mc_reader_feed(&r, stream.p + from, to - from, &ev);
        if (ev.kind == MC_EV_MORE) {
            if (to == stream.n)
                break;
            to = TD_MIN(to + step, stream.n);
        } else if (ev.kind == MC_EV_HEAD) {
            if (ev.head->method.n)
                buf_printf(out, "H(" SV_FMT " %zu%s)", SV_ARG(ev.head->method), ev.head->n,
                           ev.head->has_body ? " body" : "");
            else
                buf_printf(out, "H(%03u " SV_FMT ")", ev.head->code, SV_ARG(ev.head->comment));
        } else if (ev.kind == MC_EV_BODY) {
            if (!in_body)
                buf_puts(out, "B(");
            buf_add_sv(out, ev.body);
            in_body = true;
        } else {
            if (in_body)
                buf_putc(out, ')');
            in_body = false;
            if (ev.kind == MC_EV_END)
                buf_printf(out, "E(%c)", ev.flag);
            else
                buf_printf(out, "BAD(%s)", ev.rule);
        }
    }
}

static void check(const char *stream, size_t n, const char *expected)
{
    struct buf out = BUF_INIT;

    for (size_t step = 1; step <= n; step += step < 40 ? 1 : n - 40) {
        run(sv_make(stream, n), step, &out);
        CHECK_STR(out.p, expected);
        if (step == n)
            break;
    }
    run(sv_make(stream, n), n, &out);
    CHECK_STR(out.p, expected);
    buf_fini(&out);
}
#define CHECK_STREAM(stream, expected) check(stream, sizeof(stream) - 1, expected)

/* M-FRM-17 */
TEST(frames_split_anywhere_give_the_same_events)
{
    CHECK_STREAM(
        "MSRP a786hjs2 SEND\r\n" PATHS "Message-ID: 87652491\r\nByte-Range: 1-25/25\r\nContent-Type: text/plain\r\n\r\n"
        "Hey Bob, are you there?\r\n\r\n-------a786hjs2$\r\nMSRP a786hjs2 200 OK\r\n" PATHS "-------a786hjs2$\r\n"
        "MSRP b123 REPORT\r\n" PATHS "Message-ID: 1234\r\nStatus: 000 200 OK\r\n-------b123$\r\n",
        "H(SEND 3 body)B(Hey Bob, are you there?\r\n)E($)H(200 OK)E($)H(REPORT 2)E($)");
}

/* M-FRM-10, M-FRM-03, M-FRM-11 */
TEST(only_the_very_end_line_ends_a_body)
{
    CHECK_STREAM(
        "MSRP abcd SEND\r\n" PATHS "Content-Type: text/plain\r\n\r\n"
        "x\r\n------abcd$\r\n\r\n--------abcd$\r\n\r\n-------abcd\r\n\r\n-------abcd!\r\n\r\n-------abcde$\r\n"
        "\r\n-------abCD$\r\n\n-------abcd$\r\n-------abcd$\rz\r\n-------abcd+\r\n",
        "H(SEND 1 "
        "body)B(x\r\n------abcd$\r\n\r\n--------abcd$\r\n\r\n-------abcd\r\n\r\n-------abcd!\r\n\r\n-------abcde$\r\n"
        "\r\n-------abCD$\r\n\n-------abcd$\r\n-------abcd$\rz)E(+)");
}

/* M-FRM-13, M-FRM-14, M-FRM-15 */
TEST(no_body_and_an_empty_body_differ)
{
    CHECK_STREAM("MSRP abcd SEND\r\n" PATHS "Message-ID: 1234\r\n-------abcd$\r\n", "H(SEND 1)E($)");
    CHECK_STREAM("MSRP abcd SEND\r\n" PATHS "Content-Type: a/b\r\n\r\n\r\n-------abcd$\r\n", "H(SEND 1 body)E($)");
    CHECK_STREAM("MSRP abcd SEND\r\n" PATHS "Content-Type: a/b\r\n\r\n-------abcd#\r\n", "H(SEND 1 body)E(#)");
}

/* M-FRM-06, M-FRM-23 */
TEST(response_without_comment_is_read)
{
    CHECK_STREAM("MSRP abcd 200\r\n" PATHS "-------abcd$\r\n", "H(200 )E($)");
}

/* M-FRM-01, M-FRM-02, M-FRM-05, M-FRM-09 */
TEST(broken_heads_are_named)
{
    CHECK_STREAM("msrp abcd SEND\r\n" PATHS, "BAD(start line does not begin with MSRP)");
    CHECK_STREAM("MSRP abc SEND\r\n" PATHS, "BAD(bad transaction id)");
    CHECK_STREAM("MSRP ab_d SEND\r\n" PATHS, "BAD(bad transaction id)");
    CHECK_STREAM("MSRP abcd send\r\n" PATHS, "BAD(bad method)");
    CHECK_STREAM("MSRP abcd SEND\nTo-Path: x\n", "BAD(line does not end with CRLF)");
    CHECK_STREAM("MSRP abcd SEND\r\nFrom-Path: a\r\nTo-Path: b\r\n", "BAD(first header is not To-Path)");
    CHECK_STREAM("MSRP abcd SEND\r\n" PATHS "no colon\r\n", "BAD(header line without a name)");
}

TEST(head_at_the_limit_is_read_and_one_past_it_is_not)
{
    struct buf b = BUF_INIT, out = BUF_INIT;
    size_t fixed;

    buf_puts(&b, "MSRP abcd SEND\r\n" PATHS "X: ");
    fixed = b.n + 2;
    for (size_t i = fixed; i < MC_HEAD_MAX; i++)
        buf_putc(&b, 'x');
    buf_puts(&b, "\r\n-------abcd$\r\n");
    run(buf_sv(&b), 4096, &out);
    CHECK_STR(out.p, "H(SEND 1)E($)");
    b.n = fixed - 2;
    for (size_t i = fixed; i < MC_HEAD_MAX + 1; i++)
        buf_putc(&b, 'x');
    buf_puts(&b, "\r\n-------abcd$\r\n");
    run(buf_sv(&b), 4096, &out);
    CHECK_STR(out.p, "BAD(head too long)");
    buf_fini(&b);
    buf_fini(&out);
}

/* M-FRM-16 */
TEST(every_octet_passes_through_a_body)
{
    struct buf b = BUF_INIT, out = BUF_INIT;
    size_t at;

    buf_puts(&b, "MSRP abcd SEND\r\n" PATHS "Content-Type: a/b\r\n\r\n");
    at = b.n;
    for (int i = 0; i < 4096; i++)
        buf_putc(&b, (char)i);
    buf_puts(&b, "\r\n-------abcd$\r\n");
    run(buf_sv(&b), 7, &out);
    CHECK_INT(out.n, sizeof "H(SEND 1 body)B()E($)" - 1 + 4096);
    CHECK(memcmp(out.p + sizeof "H(SEND 1 body)B(" - 1, b.p + at, 4096) == 0);
    buf_fini(&b);
    buf_fini(&out);
}

/* M-CHK-01, M-CHK-02, M-CHK-15, M-CHK-16 */
TEST(byte_ranges_are_checked)
{
    const char *good[] = { "1-5/5", "1-*/5", "1-5/*", "1-*/*", "1-0/0", "6-5/5", "1-*/9223372036854775807" };
    const char *bad[] = { "0-5/5",
                          "2-0/5",
                          "1-6/5",
                          "7-*/5",
                          "1-5",
                          "-5/5",
                          "1-/5",
                          "1-5/",
                          "a-b/c",
                          "1-5/5 ",
                          "1-*/99999999999999999999",
                          "*-5/5" };
    struct mc_range r;

    for (size_t i = 0; i < TD_ARRAY_LEN(good); i++)
        CHECK(mc_range_parse(sv_of(good[i]), &r));
    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++)
        CHECK(!mc_range_parse(sv_of(bad[i]), &r));
    CHECK(mc_range_parse(SV("2001-*/9000"), &r) && r.start == 2001 && r.end == MC_UNKNOWN && r.total == 9000);
}

/* M-URI-01, M-URI-02 */
TEST(uris_come_apart)
{
    struct mc_uri u;

    CHECK(mc_uri_parse(SV("msrps://alice@[2001:db8::1]:5061/a/b+c=;tcp;x=y"), &u));
    CHECK(u.is_tls && u.port == 5061);
    CHECK(sv_eq(u.user, SV("alice")) && sv_eq(u.host, SV("2001:db8::1")) && sv_eq(u.session, SV("a/b+c=")));
    CHECK(sv_eq(u.transport, SV("tcp")));
    CHECK(mc_uri_parse(SV("MSRP://h;sctp9"), &u) && u.port == 0 && u.session.n == 0 && !u.is_tls);
}

TEST(what_is_no_msrp_uri_is_refused)
{
    const char *bad[] = { "",
                          "msrp",
                          "msrp://",
                          "msrp://h:1/s",
                          "msrp://:1/s;tcp",
                          "sip:h;tcp",
                          "msrp://h:0/s;tcp",
                          "msrp://h:65536/s;tcp",
                          "msrp://[::1/s;tcp",
                          "msrp://h:x/s;tcp",
                          "msrp://h:1/s;",
                          "msrp://h:1/s\x01;tcp" };
    struct mc_uri u;

    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++)
        CHECK(!mc_uri_parse(sv_of(bad[i]), &u));
}

TEST(end_line_is_found_in_text_and_only_there)
{
    const struct sv end = SV("-------abcd");

    CHECK_INT(mc_end_line_find(SV("xx\r\n-------abcd$"), end), 2);
    CHECK_INT(mc_end_line_find(SV("\r\n-------abcd#\r\n"), end), 0);
    CHECK_INT(mc_end_line_find(SV("-------abcd$\r\n-------abcd!\r\n-------abcd"), end),
              sizeof "-------abcd$\r\n-------abcd!\r\n-------abcd" - 1);
}

SUITE(wire_suite, TEST_ROW(frames_split_anywhere_give_the_same_events), TEST_ROW(only_the_very_end_line_ends_a_body),
      TEST_ROW(no_body_and_an_empty_body_differ), TEST_ROW(response_without_comment_is_read),
      TEST_ROW(broken_heads_are_named), TEST_ROW(head_at_the_limit_is_read_and_one_past_it_is_not),
      TEST_ROW(every_octet_passes_through_a_body), TEST_ROW(byte_ranges_are_checked), TEST_ROW(uris_come_apart),
      TEST_ROW(what_is_no_msrp_uri_is_refused), TEST_ROW(end_line_is_found_in_text_and_only_there));
