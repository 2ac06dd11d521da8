/* Which protocol does a connection speak? Decisions on bytes, then on real loopback connections. */
#include "net/sniff.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/buf.h"
#include "net/listener.h"
#include "tests/unit/harness.h"

/* From a heap copy of exactly these bytes: valgrind and ASan see a byte read too far. */
static enum sniffed sniff_copy(const char *p, size_t n)
{
    char *copy = malloc(n ? n : 1);
    enum sniffed s;

    CHECK_FATAL(copy != NULL);
    if (n)
        memcpy(copy, p, n);
    s = sniff(copy, n);
    free(copy);
    return s;
}

static enum sniffed sniff_text(const char *text)
{
    return sniff_copy(text, strlen(text));
}

/* M-MUX-01, M-MUX-02, and the table X-13 */
static const struct {
    const char *text;
    enum sniffed as;
} first_lines[] = {
    { "\x16\x03\x01\x02", SNIFF_TLS },
    { "MSRP a001auth AUTH\r\n", SNIFF_MSRP },
    { "MSRP abcd SEND\r\n", SNIFF_MSRP },
    { "MSRP abcd 200 OK\r\n", SNIFF_MSRP },
    { "MSRP abcd 200\r\n", SNIFF_MSRP },
    { "MSRP a.-+%=Z9 SEND\r\n", SNIFF_MSRP },
    { "MSRP sip:bob@tandem.example SIP/2.0\r\n", SNIFF_SIP },
    { "MSRP sips:bob@tandem.example SIP/2.0\r\n", SNIFF_SIP },
    { "MSRP tel:+15551234 SIP/2.0\r\n", SNIFF_SIP },
    { "MSRP bob SIP/2.0\r\n", SNIFF_SIP },
    { "MSRP abcd SEND SIP/2.0\r\n", SNIFF_SIP },
    { "MSRP abcd SIP/2.0\r\n", SNIFF_SIP },
    { "MSRP abcd sip/2.0\r\n", SNIFF_SIP },
    { "MSRP abcd SIP/2.01\r\n", SNIFF_MSRP },
    { "MSRP abcd\r\n", SNIFF_SIP },
    { "MSRP\r\n", SNIFF_SIP },
    { "MSRPX abcd SEND\r\n", SNIFF_SIP },
    { "msrp abcd SEND\r\n", SNIFF_SIP }, /* M-FRM-01 */
    { "OPTIONS sip:edge.tandem.example SIP/2.0\r\n", SNIFF_SIP },
    { "MESSAGE sip:bob@tandem.example SIP/2.0\r\n", SNIFF_SIP },
    { "SIP/2.0 200 OK\r\n", SNIFF_SIP },
    { "GETX sip:bob@tandem.example SIP/2.0\r\n", SNIFF_SIP },
    { "anything else\r\n", SNIFF_SIP },
    { "GET / HTTP/1.1\r\n", SNIFF_HTTP },
    { "POST /x HTTP/1.1\r\n", SNIFF_HTTP },
    { "OPTIONS * HTTP/1.0\r\n", SNIFF_HTTP },
    { "OPTIONS sip:a HTTP/1.2\r\n", SNIFF_SIP },
    { " HTTP/1.1\r\n", SNIFF_HTTP },
    { "\r\n\r\n", SNIFF_PING },
    { "\r\nMSRP", SNIFF_CRLF },
    { "\r\n\rx", SNIFF_CRLF },
    { "\rx", SNIFF_BAD },
    { "\n", SNIFF_BAD },
    { "OPTIONS sip:a SIP/2.0\n", SNIFF_BAD },
};

TEST(the_whole_first_line_tells_the_protocol)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(first_lines); i++)
        if (sniff_text(first_lines[i].text) != first_lines[i].as) {
            printf("row %zu: %d\n", i, sniff_text(first_lines[i].text));
            CHECK(!"told rightly");
        }
}

/* M-MUX-03: one octet per segment. Every prefix is undecided or decided like the whole. */
TEST(a_prefix_is_undecided_or_decided_like_the_whole)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(first_lines); i++)
        for (size_t n = 0; n < strlen(first_lines[i].text); n++) {
            enum sniffed s = sniff_copy(first_lines[i].text, n);

            CHECK(s == SNIFF_MORE || s == first_lines[i].as);
        }
    CHECK_INT(sniff_text("MSRP a001auth AUTH\r"), SNIFF_MORE);
    CHECK_INT(sniff_text("MSRP sip:bob@tandem.example SIP/2.0"), SNIFF_MORE);
    CHECK_INT(sniff_text("M"), SNIFF_MORE);
    CHECK_INT(sniff_text("GET"), SNIFF_MORE);
    CHECK_INT(sniff_text("\r"), SNIFF_MORE);
    CHECK_INT(sniff_text("\r\n"), SNIFF_MORE);
    CHECK_INT(sniff_text("\r\n\r"), SNIFF_MORE);
    CHECK_INT(sniff_copy(NULL, 0), SNIFF_MORE);
}

/* The verdict does not change with what follows the first line. */
TEST(what_follows_the_first_line_does_not_count)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(first_lines); i++) {
        char text[200];

        snprintf(text, sizeof text, "%sMSRP zzzz SEND\r\nGET / SIP/2.0\r\n", first_lines[i].text);
        CHECK_INT(sniff_text(text), first_lines[i].as);
    }
}

/* M-MUX-03: the first line, CRLF included, has at most 4 KiB. */
TEST(first_line_at_its_limit_is_told_and_one_past_it_is_refused)
{
    char line[SNIFF_LINE_MAX + 8];

    memset(line, 'x', sizeof line);
    CHECK_INT(sniff_copy(line, SNIFF_LINE_MAX - 1), SNIFF_MORE);
    CHECK_INT(sniff_copy(line, SNIFF_LINE_MAX), SNIFF_BAD);
    memcpy(line + SNIFF_LINE_MAX - 2, "\r\n", 2);
    CHECK_INT(sniff_copy(line, SNIFF_LINE_MAX), SNIFF_SIP);
    memcpy(line + SNIFF_LINE_MAX - 2, "x\r\n", 3);
    CHECK_INT(sniff_copy(line, SNIFF_LINE_MAX + 1), SNIFF_BAD);
}

TEST(any_single_byte_is_judged_without_harm)
{
    for (int c = 0; c < 256; c++) {
        char text[4] = { (char)c, '\r', '\n', 'x' };
        enum sniffed one = sniff_copy(text, 1), line = sniff_copy(text, 4);

        CHECK(c == 0x16 ? one == SNIFF_TLS : c == '\n' ? one == SNIFF_BAD : one == SNIFF_MORE);
        CHECK(line == SNIFF_SIP || c == 0x16 || c == '\r' || c == '\n');
    }
}

/* ---- connections ---- */

/* What a protocol saw of the one connection it got. */
struct seen {
    struct buf got;
    int calls, downs;
};

struct bench {
    struct worker worker;
    uint64_t next_id;
    struct listener *listener;
    struct seen msrp, sip;
    int fd; /* the client's */
};

static size_t gather(struct conn *c, const char *p, size_t n)
{
    struct seen *s = c->proto_ctx;

    s->calls++;
    buf_add(&s->got, p, n);
    return n;
}

static void gone(struct conn *c, enum close_reason reason)
{
    ((struct seen *)c->proto_ctx)->downs++;
}

static const struct conn_proto gatherer = { .name = "test", .data = gather, .down = gone, .keep_max = 16 };

static void bench_init(struct bench *b, uint8_t protocols, int64_t first_line_ms)
{
    struct addr at;
    int one = 1;

    memset(b, 0, sizeof *b);
    CHECK_FATAL(worker_init(&b->worker, 0, &b->next_id) == 0);
    b->worker.first_line_ms = first_line_ms;
    b->worker.protos[PROTO_MSRP] = (struct proto_slot){ &gatherer, &b->msrp };
    b->worker.protos[PROTO_SIP] = (struct proto_slot){ &gatherer, &b->sip };
    CHECK_FATAL(addr_from_host(&at, SV("127.0.0.1"), 0));
    CHECK_FATAL(listener_new(&b->listener, &b->worker, &at, PORT_TCP, protocols) == 0);
    b->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_FATAL(b->fd >= 0 && connect(b->fd, &at.sa, addr_len(&at)) == 0);
    CHECK_FATAL(setsockopt(b->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
}

static void bench_fini(struct bench *b)
{
    close(b->fd);
    listener_free(&b->listener);
    worker_fini(&b->worker);
    buf_fini(&b->msrp.got);
    buf_fini(&b->sip.got);
}

static void turn(struct bench *b)
{
    for (int i = 0; i < 4; i++)
        loop_turn(b->worker.loop, 2);
}

static void say(struct bench *b, const char *text)
{
    CHECK(send(b->fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
    turn(b);
}

/* What the server has sent by now, as text; "(end)" is appended when it has closed. */
static const char *heard(struct bench *b)
{
    static char text[4096];
    size_t n = 0;

    for (;;) {
        ssize_t got = recv(b->fd, text + n, sizeof text - n - 8, MSG_DONTWAIT);

        if (got > 0) {
            n += (size_t)got;
            continue;
        }
        snprintf(text + n, sizeof text - n, "%s", got == 0 || errno == ECONNRESET ? "(end)" : "");
        return text;
    }
}

static bool holds(const struct buf *b, const char *text)
{
    return b->n == strlen(text) && (b->n == 0 || memcmp(b->p, text, b->n) == 0);
}

/* M-MUX-01 */
TEST(msrp_and_sip_on_one_port_reach_their_protocol_with_their_first_bytes)
{
    struct bench b;

    bench_init(&b, PORT_SIP | PORT_MSRP, 5000);
    say(&b, "MSRP abcd SEND\r\nTo-Path");
    CHECK(holds(&b.msrp.got, "MSRP abcd SEND\r\nTo-Path") && b.sip.calls == 0);
    bench_fini(&b);
    bench_init(&b, PORT_SIP | PORT_MSRP, 5000);
    say(&b, "MSRP sip:bob@x SIP/2.0\r\nVia"); /* M-MUX-02 */
    CHECK(holds(&b.sip.got, "MSRP sip:bob@x SIP/2.0\r\nVia") && b.msrp.calls == 0);
    bench_fini(&b);
}

/* M-MUX-03 */
TEST(detection_takes_one_octet_per_segment)
{
    static const char text[] = "MSRP a001auth AUTH\r\nTo";
    struct bench b;

    bench_init(&b, PORT_SIP | PORT_MSRP, 5000);
    for (size_t i = 0; i < sizeof text - 1; i++) {
        const char one[2] = { text[i], 0 };

        say(&b, one);
        CHECK((b.msrp.calls > 0) == (i >= 19)); /* not before the first line is whole */
    }
    CHECK(holds(&b.msrp.got, text) && b.sip.calls == 0);
    bench_fini(&b);
}

/* M-MUX-03, RFC 5626 s.5.4 */
TEST(double_crlf_is_answered_and_leaves_the_protocol_open)
{
    struct bench b;

    bench_init(&b, PORT_SIP | PORT_MSRP, 5000);
    say(&b, "\r\n\r\n");
    CHECK_STR(heard(&b), "\r\n");
    say(&b, "\r\n");
    say(&b, "\r\n");
    CHECK_STR(heard(&b), "\r\n");
    say(&b, "\r\n");
    CHECK_STR(heard(&b), "");
    CHECK(b.msrp.calls == 0 && b.sip.calls == 0);
    say(&b, "MSRP abcd SEND\r\n");
    CHECK(holds(&b.msrp.got, "MSRP abcd SEND\r\n"));
    CHECK_STR(heard(&b), "");
    bench_fini(&b);
}

TEST(port_without_sip_answers_no_keep_alive)
{
    struct bench b;

    bench_init(&b, PORT_MSRP, 5000);
    say(&b, "\r\n\r\nMSRP abcd SEND\r\n");
    CHECK_STR(heard(&b), "");
    CHECK(holds(&b.msrp.got, "MSRP abcd SEND\r\n"));
    bench_fini(&b);
}

/* M-MUX-04 */
TEST(connection_keeps_its_protocol_for_life)
{
    struct bench b;

    bench_init(&b, PORT_SIP | PORT_MSRP, 5000);
    say(&b, "MSRP abcd SEND\r\n");
    say(&b, "REGISTER sip:tandem.example SIP/2.0\r\n");
    say(&b, "GET / HTTP/1.1\r\n\r\n\r\n\r\n");
    CHECK(
        holds(&b.msrp.got, "MSRP abcd SEND\r\nREGISTER sip:tandem.example SIP/2.0\r\nGET / HTTP/1.1\r\n\r\n\r\n\r\n"));
    CHECK(b.sip.calls == 0);
    CHECK_STR(heard(&b), "");
    bench_fini(&b);
}

TEST(protocol_that_the_port_does_not_serve_is_closed)
{
    struct bench b;

    bench_init(&b, PORT_MSRP, 5000);
    say(&b, "OPTIONS sip:a SIP/2.0\r\n");
    CHECK_STR(heard(&b), "(end)");
    CHECK(b.sip.calls == 0 && b.msrp.calls == 0);
    CHECK_INT(stats_get(&b.worker.stats, STAT_sniff_failed), 1);
    bench_fini(&b);
    bench_init(&b, PORT_SIP, 5000);
    say(&b, "MSRP abcd SEND\r\n");
    CHECK_STR(heard(&b), "(end)");
    CHECK(b.sip.calls == 0 && b.msrp.calls == 0);
    bench_fini(&b);
}

/* a TLS record on a port without TLS. */
TEST(tls_where_there_is_none_is_closed)
{
    struct bench b;

    bench_init(&b, PORT_SIP | PORT_MSRP, 5000);
    say(&b, "\x16\x03\x01\x02");
    CHECK_STR(heard(&b), "(end)");
    bench_fini(&b);
}

/* M-MUX-03 */
TEST(four_kilobytes_without_a_line_are_closed)
{
    struct bench b;
    char *text = malloc(SNIFF_LINE_MAX + 1);

    CHECK_FATAL(text != NULL);
    memset(text, 'x', SNIFF_LINE_MAX);
    text[SNIFF_LINE_MAX] = '\0';
    bench_init(&b, PORT_SIP | PORT_MSRP, 5000);
    say(&b, text + 1);
    CHECK_STR(heard(&b), "");
    say(&b, "x");
    CHECK_STR(heard(&b), "(end)");
    CHECK(b.sip.calls == 0 && b.msrp.calls == 0);
    bench_fini(&b);
    free(text);
}

/* silence, and keep-alives that never become a message. */
TEST(no_first_line_in_time_is_closed)
{
    struct bench b;

    bench_init(&b, PORT_SIP | PORT_MSRP, 60);
    say(&b, "");
    say(&b, "\r\n\r\nMSRP ab");
    CHECK_STR(heard(&b), "\r\n");
    for (int i = 0; i < 100 && strcmp(heard(&b), "(end)") != 0; i++)
        loop_turn(b.worker.loop, 5);
    CHECK_STR(heard(&b), "(end)");
    CHECK_INT(stats_get(&b.worker.stats, STAT_conn_open), 0);
    bench_fini(&b);
    bench_init(&b, PORT_SIP | PORT_MSRP, 60);
    say(&b, "MSRP abcd SEND\r\n"); /* once told, this clock stops */
    for (int i = 0; i < 20; i++)
        loop_turn(b.worker.loop, 5);
    CHECK_STR(heard(&b), "");
    CHECK(b.msrp.downs == 0);
    bench_fini(&b);
}

SUITE(sniff_suite, TEST_ROW(the_whole_first_line_tells_the_protocol),
      TEST_ROW(a_prefix_is_undecided_or_decided_like_the_whole), TEST_ROW(what_follows_the_first_line_does_not_count),
      TEST_ROW(first_line_at_its_limit_is_told_and_one_past_it_is_refused),
      TEST_ROW(any_single_byte_is_judged_without_harm),
      TEST_ROW(msrp_and_sip_on_one_port_reach_their_protocol_with_their_first_bytes),
      TEST_ROW(detection_takes_one_octet_per_segment), TEST_ROW(double_crlf_is_answered_and_leaves_the_protocol_open),
      TEST_ROW(port_without_sip_answers_no_keep_alive), TEST_ROW(connection_keeps_its_protocol_for_life),
      TEST_ROW(protocol_that_the_port_does_not_serve_is_closed), TEST_ROW(tls_where_there_is_none_is_closed),
      TEST_ROW(four_kilobytes_without_a_line_are_closed), TEST_ROW(no_first_line_in_time_is_closed));
