/* Where does a SIP message end, and may it pass? */
#include "net/sipframe.h"
#include "tests/unit/harness.h"

#include <stdlib.h>

static const char good[] = "MESSAGE sip:bob@example.com SIP/2.0\r\n"
                           "Via: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bK1\r\n"
                           "Max-Forwards: 70\r\n"
                           "f: <sip:alice@example.com>;tag=1\r\n"
                           "To: <sip:bob@example.com>\r\n"
                           "Call-ID: x@y\r\n"
                           "CSeq: 1 MESSAGE\r\n"
                           "Content-Length: 5\r\n"
                           "\r\n"
                           "hello";
static const char response[] = "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
                               "To: <sip:b@c>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nl: 0\r\n\r\n";

static const char short_response[] = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
                                     "To: <sip:b@c>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nl: 9\r\n\r\nhello";

static struct sipframe frame_of(const char *text, size_t n)
{
    struct sipframe f;

    sipframe_read(text, n, 0, &f);
    return f;
}

/* The good message with one text replaced; the caller frees it. */
static char *with(const char *from, const char *to, size_t *n)
{
    const char *at = strstr(good, from);
    struct buf b = BUF_INIT;

    CHECK_FATAL(at != NULL);
    buf_add(&b, good, (size_t)(at - good));
    buf_puts(&b, to);
    buf_puts(&b, at + strlen(from));
    *n = b.n;
    return b.p;
}

static void expect(const char *from, const char *to, enum sipframe_kind kind, int status)
{
    size_t n;
    char *text = with(from, to, &n);
    struct sipframe f = frame_of(text, n);

    CHECK_INT(f.kind, kind);
    CHECK_INT(f.status, status);
    if (kind == SIPFRAME_OK || kind == SIPFRAME_REFUSE)
        CHECK_INT(f.len, n);
    free(text);
}

/* S-MSG-04 */
TEST(every_split_point_gives_the_same_frame)
{
    size_t head = sizeof good - 1 - 5, scanned = 0;

    for (size_t n = 1; n < sizeof good; n++) {
        struct sipframe f;

        sipframe_read(good, n, scanned, &f);
        if (n < head) {
            CHECK_INT(f.kind, SIPFRAME_MORE);
            scanned = n;
        } else {
            CHECK_INT(f.kind, SIPFRAME_OK);
            CHECK_INT(f.head, head);
            CHECK_INT(f.len, sizeof good - 1);
        }
    }
}

/* S-MSG-03 */
TEST(empty_lines_between_messages_are_crlf)
{
    CHECK_INT(frame_of("\r", 1).kind, SIPFRAME_MORE);
    CHECK_INT(frame_of("\r\n", 2).kind, SIPFRAME_CRLF);
    CHECK_INT(frame_of("\r\n", 2).len, 2);
    CHECK_INT(frame_of("\rX", 2).kind, SIPFRAME_BROKEN);
    CHECK_INT(frame_of("", 0).kind, SIPFRAME_MORE);
}

/* S-MSG-10 S-MSG-11 S-MSG-12 */
TEST(malformed_but_framed_messages_are_refused_with_a_status)
{
    expect("To:", "Too:", SIPFRAME_REFUSE, 400);
    expect("Call-ID", "From: <sip:c@d>\r\nCall-ID", SIPFRAME_REFUSE, 400);
    expect("Call-ID", "CSeq: 1 MESSAGE\r\nCall-ID", SIPFRAME_REFUSE, 400);
    expect("Call-ID", "Max-Forwards: 1\r\nCall-ID", SIPFRAME_REFUSE, 400);
    expect("1 MESSAGE", "1 INVITE", SIPFRAME_REFUSE, 400);
    expect("1 MESSAGE", "2147483648 MESSAGE", SIPFRAME_REFUSE, 400);
    expect("1 MESSAGE", "2147483647 MESSAGE", SIPFRAME_OK, 0);
    expect("SIP/2.0\r\nVia", "SIP/3.0\r\nVia", SIPFRAME_REFUSE, 505);
    expect("SIP/2.0\r\nVia", "HTTP/1.1\r\nVia", SIPFRAME_REFUSE, 400);
    expect("SIP/2.0\r\nVia", "sip/2.0\r\nVia", SIPFRAME_OK, 0);
    expect("sip:bob@example.com SIP", "sip:bob @example.com SIP", SIPFRAME_REFUSE, 400);
    expect("MESSAGE sip", "MES{SAGE sip", SIPFRAME_REFUSE, 400);
    expect("Call-ID: x@y", "Call-ID x@y", SIPFRAME_REFUSE, 400);
}

/* A second Via is none of the edge's business, and a Max-Forwards may be missing; compact names count as the long ones: S-MSG-01. */
TEST(what_may_be_repeated_or_missing_passes)
{
    expect("Call-ID", "Via: SIP/2.0/UDP x;branch=z9hG4bK2\r\nCall-ID", SIPFRAME_OK, 0);
    expect("Max-Forwards: 70\r\n", "", SIPFRAME_OK, 0);
    expect("Call-ID", "Subject: a\r\nSubject: b\r\nCall-ID", SIPFRAME_OK, 0);
    expect("Call-ID: x@y", "Call-ID:\r\n x@y", SIPFRAME_OK, 0);
    expect("Content-Length: 5", "l  :\t5 ", SIPFRAME_OK, 0);
}

/* S-MSG-04: without a length nobody knows where the next message begins. */
TEST(what_leaves_the_end_unknown_breaks_the_stream)
{
    expect("Content-Length: 5\r\n", "", SIPFRAME_BROKEN, 400);
    expect("Content-Length: 5", "Content-Length: 5\r\nl: 5", SIPFRAME_BROKEN, 400);
    expect("Content-Length: 5", "Content-Length: +5", SIPFRAME_BROKEN, 400);
    expect("Content-Length: 5", "Content-Length: 5x", SIPFRAME_BROKEN, 400);
    expect("Content-Length: 5", "Content-Length:", SIPFRAME_BROKEN, 400);
    expect("Content-Length: 5", "Content-Length:\r\n 5", SIPFRAME_BROKEN, 400);
    expect("Content-Length: 5", "Content-Length: 99999999999999999999", SIPFRAME_BROKEN, 400);
    expect("Content-Length: 5", "Content-Length: 16777217", SIPFRAME_BROKEN, 400);
}

/* Sofia takes a bare LF for a line end; two parsers must not see two messages in the same bytes. */
TEST(bare_line_ends_and_nul_break_the_stream_unanswered)
{
    size_t n;
    char *text;

    expect("\r\nCall-ID", "\nCall-ID", SIPFRAME_BROKEN, 0);
    expect("\r\nCall-ID", "\rCall-ID", SIPFRAME_BROKEN, 0);
    expect("\r\nCall-ID", "\n\nCall-ID", SIPFRAME_BROKEN, 0);
    text = with("x@y", "x?y", &n);
    *strchr(text, '?') = '\0';
    /* strchr stops at nothing before it: the only question mark is ours */
    CHECK_INT(frame_of(text, n).kind, SIPFRAME_BROKEN);
    free(text);
}

/* S-MSG-13: at the limit and one past it. */
TEST(limits_of_line_count_size_and_values)
{
    struct buf b = BUF_INIT;
    size_t n;
    char *text;

    for (int over = 0; over <= 1; over++) {
        buf_clear(&b);
        buf_puts(&b, "X: ");
        while (b.n < (size_t)(SIPFRAME_LINE_MAX + over))
            buf_putc(&b, 'y');
        buf_puts(&b, "\r\nTo: <sip");
        expect("To: <sip", b.p, over ? SIPFRAME_REFUSE : SIPFRAME_OK, over ? 513 : 0);

        buf_clear(&b);
        for (int i = 7; i < SIPFRAME_HEADERS_MAX + over; i++)
            buf_puts(&b, "X: y\r\n");
        buf_puts(&b, "To: <sip");
        expect("To: <sip", b.p, over ? SIPFRAME_REFUSE : SIPFRAME_OK, over ? 513 : 0);

        buf_clear(&b);
        buf_printf(&b, "Content-Length: %05d", SIPFRAME_MAX - (int)(sizeof good - 1 - 5) - 4 + over);
        text = with("Content-Length: 5", b.p, &n);
        CHECK_INT(frame_of(text, n).kind, over ? SIPFRAME_REFUSE : SIPFRAME_OK);
        CHECK_INT(frame_of(text, n).len, SIPFRAME_MAX + over);
        free(text);

        buf_clear(&b);
        buf_puts(&b, "Accept: a/b");
        for (int i = 0; i < SIPFRAME_VALUES_MAX + over; i++)
            buf_puts(&b, ",a");
        buf_puts(&b, "\r\nTo: <sip");
        expect("To: <sip", b.p, over ? SIPFRAME_REFUSE : SIPFRAME_OK, over ? 513 : 0);
    }
    buf_clear(&b);
    while (b.n < SIPFRAME_MAX)
        buf_putc(&b, 'a');
    CHECK_INT(frame_of(b.p, SIPFRAME_MAX - 1).kind, SIPFRAME_MORE);
    CHECK_INT(frame_of(b.p, SIPFRAME_MAX).kind, SIPFRAME_BROKEN);
    buf_fini(&b);
}

/* S-MSG-14 */
TEST(responses_pass_and_bad_ones_are_dropped_unanswered)
{
    struct sipframe f = frame_of(response, sizeof response - 1);
    char copy[sizeof response];
    struct buf out = BUF_INIT;

    CHECK_INT(f.kind, SIPFRAME_OK);
    CHECK_INT(f.len, sizeof response - 1);
    memcpy(copy, response, sizeof copy);
    for (const char *bad = "07"; *bad; bad++) {
        copy[8] = *bad;
        f = frame_of(copy, sizeof copy - 1);
        CHECK_INT(f.kind, SIPFRAME_REFUSE);
        CHECK_INT(f.status, 0);
        CHECK(!sipframe_answer(&out, copy, &f));
    }
    CHECK_INT(out.n, 0);
    buf_fini(&out);
}

/* S-VAL-10, S-TXN-10 */
TEST(answer_copies_what_identifies_the_request)
{
    size_t n;
    char *text = with("Call-ID", "Via: SIP/2.0/UDP two\r\nFrom: <sip:second@one>\r\nCall-ID", &n);
    struct sipframe f = frame_of(text, n);
    struct buf out = BUF_INIT;

    CHECK_INT(f.status, 400);
    CHECK_FATAL(sipframe_answer(&out, text, &f));
    CHECK_STR(out.p, "SIP/2.0 400 Missing or Repeated Mandatory Header\r\n"
                     "Via: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bK1\r\n"
                     "f: <sip:alice@example.com>;tag=1\r\n"
                     "To: <sip:bob@example.com>;tag=refused\r\n"
                     "Via: SIP/2.0/UDP two\r\n"
                     "Call-ID: x@y\r\n"
                     "CSeq: 1 MESSAGE\r\n"
                     "Content-Length: 0\r\n\r\n");
    free(text);
    buf_clear(&out);
    text = with("MESSAGE sip", "ACK sip", &n);
    f = frame_of(text, n);
    CHECK_INT(f.kind, SIPFRAME_REFUSE);
    CHECK(!sipframe_answer(&out, text, &f));
    free(text);
    text = with("Via:", "Vix:", &n);
    f = frame_of(text, n);
    CHECK(!sipframe_answer(&out, text, &f));
    free(text);
    buf_fini(&out);
}

TEST(length_of_our_own_messages)
{
    CHECK_INT(sipframe_length(good, sizeof good - 1, 0, 100000), sizeof good - 1);
    CHECK_INT(sipframe_length(good, 40, 0, 100000), 0);
    CHECK_INT(sipframe_length(good, sizeof good - 1, 0, 100), -1);
    CHECK_INT(sipframe_length("\r\n", 2, 0, 100), 2);
}

/* S-MSG-05: what a datagram may lack, and what lies behind its body. */
TEST(datagrams_need_no_content_length_and_may_have_more)
{
    struct sipframe f;
    size_t n;
    char *text = with("Content-Length: 5\r\n", "", &n);

    sipframe_datagram(text, n, &f);
    CHECK_INT(f.kind, SIPFRAME_OK);
    CHECK_INT(f.len, n);
    free(text);
    text = with("Content-Length: 5", "Content-Length: 3", &n);
    sipframe_datagram(text, n, &f);
    CHECK_INT(f.kind, SIPFRAME_OK);
    CHECK_INT(f.len, n - 2);
    free(text);
    text = with("Content-Length: 5", "Content-Length: 6", &n);
    sipframe_datagram(text, n, &f);
    CHECK_INT(f.kind, SIPFRAME_REFUSE);
    CHECK_INT(f.status, 400);
    free(text);
    sipframe_datagram(short_response, sizeof short_response - 1, &f); /* and of a response nobody is told */
    CHECK_INT(f.kind, SIPFRAME_REFUSE);
    CHECK_INT(f.status, 0);
    text = with("Content-Length: 5", "Content-Length: -1", &n);
    sipframe_datagram(text, n, &f);
    CHECK_INT(f.kind, SIPFRAME_REFUSE);
    CHECK_INT(f.status, 400);
    free(text);
    sipframe_datagram(good, 60, &f);
    CHECK_INT(f.kind, SIPFRAME_BROKEN);
    CHECK_INT(f.status, 0);
    sipframe_datagram(response, sizeof response - 3, &f); /* cut before the last line end */
    CHECK_INT(f.kind, SIPFRAME_BROKEN);
}

/* S-WS-02 */
TEST(websocket_message_is_one_message_and_may_leave_its_length_out)
{
    static const struct {
        const char *from, *to; /* changed in the good message */
        const char *behind;
        enum sipframe_kind kind;
        int status;
    } rows[] = {
        { "hello", "hello", "", SIPFRAME_OK, 0 },
        { "Content-Length: 5\r\n", "", "", SIPFRAME_OK, 0 },
        { "Content-Length: 5\r\n", "", " and more", SIPFRAME_OK, 0 },
        { "MESSAGE sip", "\r\n\r\nMESSAGE sip", "", SIPFRAME_OK, 0 },
        { "Length: 5", "Length: 4", "", SIPFRAME_REFUSE, 400 },
        { "Length: 5", "Length: 6", "", SIPFRAME_REFUSE, 400 },
        { "Length: 5", "Length: five", "", SIPFRAME_REFUSE, 400 },
        { "Length: 5", "Length: 5\r\nl: 5", "", SIPFRAME_REFUSE, 400 },
        { "hello", "hello", "\r\n", SIPFRAME_REFUSE, 400 },
        { "hello", "hello", good, SIPFRAME_BROKEN, 0 },
        { "hello", "hello", response, SIPFRAME_BROKEN, 0 },
        { "\r\n\r\nhello", "", "", SIPFRAME_BROKEN, 0 },
        { "\r\nhello", "", "", SIPFRAME_BROKEN, 0 },
    };
    struct sipframe f;
    size_t skip;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct buf b = BUF_INIT;
        size_t n;
        char *text = with(rows[i].from, rows[i].to, &n);

        buf_add(&b, text, n);
        buf_puts(&b, rows[i].behind);
        sipframe_message(b.p, b.n, &skip, &f);
        if (f.kind != rows[i].kind || f.status != rows[i].status)
            printf("row %zu: %d %d %s\n", i, f.kind, f.status, f.reason ? f.reason : "");
        CHECK_INT(f.kind, rows[i].kind);
        CHECK_INT(f.status, rows[i].status);
        CHECK(f.kind != SIPFRAME_OK || (skip + f.len == b.n && f.has_length == (strstr(text, "Content-Length") != NULL)));
        free(text);
        buf_fini(&b);
    }
    sipframe_message("\r\n\r\n", 4, &skip, &f);
    CHECK(f.kind == SIPFRAME_CRLF && f.len == 4);
}

SUITE(sipframe_suite, TEST_ROW(every_split_point_gives_the_same_frame), TEST_ROW(empty_lines_between_messages_are_crlf),
      TEST_ROW(malformed_but_framed_messages_are_refused_with_a_status),
      TEST_ROW(what_may_be_repeated_or_missing_passes), TEST_ROW(what_leaves_the_end_unknown_breaks_the_stream),
      TEST_ROW(bare_line_ends_and_nul_break_the_stream_unanswered), TEST_ROW(limits_of_line_count_size_and_values),
      TEST_ROW(responses_pass_and_bad_ones_are_dropped_unanswered), TEST_ROW(answer_copies_what_identifies_the_request),
      TEST_ROW(length_of_our_own_messages), TEST_ROW(datagrams_need_no_content_length_and_may_have_more),
      TEST_ROW(websocket_message_is_one_message_and_may_leave_its_length_out));
