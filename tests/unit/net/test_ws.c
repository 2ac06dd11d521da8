/* WebSocket: frames, and connections that speak it. */
#include "net/ws.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/err.h"
#include "net/listener.h"
#include "net/wsread.h"
#include "tests/unit/harness.h"

#define HANDSHAKE "GET / HTTP/1.1\r\nHost: edge.tandem.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n"

enum { FIN = 0x80, MASK = 0x80, CONT = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

/* ---- the clock: it takes the place of the C library's for the whole program ---- */

static uint64_t ahead_ms;

int clock_gettime(clockid_t id, struct timespec *ts)
{
    int err = (int)syscall(SYS_clock_gettime, id, ts);
    uint64_t ns = (uint64_t)ts->tv_nsec + ahead_ms % 1000 * 1000000;

    ts->tv_sec += (time_t)(ahead_ms / 1000 + ns / 1000000000);
    ts->tv_nsec = (long)(ns % 1000000000);
    return err;
}

/* ---- frames ---- */

/* A frame as a client sends it; first: FIN and opcode. */
static void add_frame(struct buf *out, int first, const char *payload, size_t n)
{
    static const uint8_t mask[4] = { 0x37, 0xfa, 0x21, 0x3d };

    buf_putc(out, (char)first);
    if (n < 126) {
        buf_putc(out, (char)(MASK | n));
    } else if (n < 65536) {
        buf_putc(out, (char)(MASK | 126));
        buf_putc(out, (char)(n >> 8));
        buf_putc(out, (char)n);
    } else {
        buf_putc(out, (char)(MASK | 127));
        for (int i = 7; i >= 0; i--)
            buf_putc(out, (char)((uint64_t)n >> 8 * i));
    }
    buf_add(out, mask, 4);
    for (size_t i = 0; i < n; i++)
        buf_putc(out, (char)(payload[i] ^ mask[i % 4]));
}

static void add_text(struct buf *out, int first, const char *payload)
{
    add_frame(out, first, payload, strlen(payload));
}

/* All events of a stream, as text, its bytes given in pieces of so many. */
static const char *events(const struct buf *in, size_t piece, size_t max, struct buf *out)
{
    static const char *const names[] = { "more", "message", "ping", "pong", "close", "broken", "too big", "no memory" };
    struct wsread *r;
    bool is_over = false;

    buf_clear(out);
    CHECK_FATAL(wsread_new(&r) == TD_OK);
    CHECK(wsread_is_idle(r));
    for (size_t at = 0; at < in->n && !is_over; at += piece) {
        size_t n = TD_MIN(piece, in->n - at);
        char *copy = malloc(n);
        struct sv part = sv_make(copy, n), what;
        enum wsread_event e;

        CHECK_FATAL(copy != NULL);
        memcpy(copy, in->p + at, n);
        while ((e = wsread_next(r, max, &part, &what)) != WSREAD_MORE) {
            buf_printf(out, "%s(", names[e]);
            buf_add_sv(out, sv_upto(what, 40));
            buf_puts(out, ") ");
            is_over = e >= WSREAD_BROKEN;
            if (is_over)
                break;
        }
        CHECK(is_over || part.n == 0);
        free(copy);
    }
    if (!is_over)
        buf_puts(out, wsread_is_idle(r) ? "idle" : wsread_is_amid(r) ? "amid" : "head");
    wsread_free(&r);
    return out->p ? out->p : "";
}

/* M-WS-03, S-WS-03, M-WS-10, M-WS-11: text and binary alike, fragments with control frames in between, in any split. */
TEST(frames_split_anywhere_give_the_same_messages)
{
    const char *want = "message(one) message(two) ping(are you there?) message(three in fragments) pong() message() close(\x03\xe8" "bye) idle";
    struct buf in = BUF_INIT, out = BUF_INIT;

    add_text(&in, FIN | TEXT, "one");
    add_text(&in, FIN | BINARY, "two");
    add_text(&in, TEXT, "three ");
    add_text(&in, CONT, "in ");
    add_text(&in, FIN | PING, "are you there?");
    add_text(&in, CONT, "");
    add_text(&in, FIN | CONT, "fragments");
    add_text(&in, FIN | PONG, "");
    add_text(&in, FIN | TEXT, "");
    add_text(&in, FIN | CLOSE, "\x03\xe8" "bye");
    for (size_t piece = 1; piece <= in.n; piece++)
        CHECK_STR(events(&in, piece, 1000, &out), want);
    buf_fini(&in);
    buf_fini(&out);
}

TEST(every_form_of_length_is_read)
{
    static const size_t sizes[] = { 0, 1, 125, 126, 127, 65535, 65536, 70000, 200000 };
    struct buf payload = BUF_INIT;

    while (payload.n < 200000)
        buf_printf(&payload, "%zu ", payload.n);
    for (size_t i = 0; i < TD_ARRAY_LEN(sizes); i++) {
        struct buf in = BUF_INIT;
        struct wsread *r;
        struct sv part, what;

        add_frame(&in, FIN | BINARY, payload.p, sizes[i]);
        CHECK_FATAL(wsread_new(&r) == TD_OK);
        part = buf_sv(&in);
        CHECK_INT(wsread_next(r, 200000, &part, &what), WSREAD_MESSAGE);
        CHECK(sv_eq(what, sv_make(payload.p, sizes[i])));
        CHECK(wsread_is_idle(r));
        CHECK_INT(wsread_next(r, 200000, &part, &what), WSREAD_MORE);
        wsread_free(&r);
        buf_fini(&in);
    }
    buf_fini(&payload);
}

/* M-WS-11: RFC 6455 s.5.2, s.5.4, s.5.5. */
TEST(broken_frames_are_told_at_once)
{
    static const struct {
        const char *bytes;
        size_t n;
    } rows[] = {
        { "\x81\x01x", 3 },                                    /* not masked */
        { "\x89\x00", 2 },
        { "\xc1\x81\0\0\0\0x", 7 },                            /* reserved bits */
        { "\xa1\x81\0\0\0\0x", 7 },
        { "\x91\x81\0\0\0\0x", 7 },
        { "\x83\x81\0\0\0\0x", 7 },                            /* reserved opcodes */
        { "\x87\x81\0\0\0\0x", 7 },
        { "\x8b\x81\0\0\0\0x", 7 },
        { "\x8f\x80\0\0\0\0", 6 },
        { "\x80\x81\0\0\0\0x", 7 },                            /* nothing to continue */
        { "\x01\x81\0\0\0\0x\x81\x81\0\0\0\0x", 14 },          /* a message in a message */
        { "\x09\x80\0\0\0\0", 6 },                             /* control frame in fragments */
        { "\x89\xfe\0\x7e\0\0\0\0", 8 },                       /* control frame too long */
        { "\x81\xfe\0\x7d\0\0\0\0", 8 },                       /* length not minimal */
        { "\x81\xff\0\0\0\0\0\0\xff\xff\0\0\0\0", 14 },
        { "\x81\xff\x80\0\0\0\0\0\0\0\0\0\0\0", 14 },          /* length over 2^63 */
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++)
        for (size_t piece = 1; piece <= rows[i].n; piece++) {
            struct buf in = BUF_INIT, out = BUF_INIT;

            buf_add(&in, rows[i].bytes, rows[i].n);
            if (strcmp(events(&in, piece, 1000, &out), "broken() ") != 0)
                printf("row %zu: %s\n", i, out.p);
            CHECK_STR(out.p, "broken() ");
            buf_fini(&in);
            buf_fini(&out);
        }
}

/* M-WS-06, M-SEC-03: told from the head, before there is memory for it; fragments count together. */
TEST(message_at_the_limit_is_taken_and_one_past_it_is_too_big)
{
    struct buf in = BUF_INIT, out = BUF_INIT;
    static const char huge[] = "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0x";

    add_text(&in, FIN | TEXT, "0123456789");
    CHECK_STR(events(&in, 3, 10, &out), "message(0123456789) idle");
    CHECK_STR(events(&in, 3, 9, &out), "too big() ");
    buf_clear(&in);
    add_text(&in, TEXT, "01234");
    add_text(&in, FIN | CONT, "56789");
    CHECK_STR(events(&in, 100, 10, &out), "message(0123456789) idle");
    CHECK_STR(events(&in, 100, 9, &out), "too big() ");
    buf_clear(&in);
    buf_add(&in, huge, sizeof huge - 1);
    CHECK_STR(events(&in, 100, SIZE_MAX / 4, &out), "too big() ");
    buf_fini(&in);
    buf_fini(&out);
}

/* ---- connections ---- */

/* A protocol that notes what it is offered: begins in parentheses, rests in brackets. */
struct seen {
    struct buf got;
    size_t take;      /* at most so many bytes of each offer; 0: all */
    bool pauses;      /* and then pauses the connection */
    bool answers;     /* and writes them back, which lets it go on as soon as they are written */
    int downs;
    enum close_reason why;
    struct conn *conn;
};

struct bench {
    struct worker worker;
    uint64_t next_id;
    struct listener *listener;
    struct seen sip;
    int fd; /* the client's */
};

static void noted_up(struct conn *c)
{
    ((struct seen *)c->proto_ctx)->conn = c;
}

static size_t note(struct conn *c, const char *p, size_t n)
{
    struct seen *s = c->proto_ctx;
    size_t take = s->take ? TD_MIN(s->take, n) : n;

    buf_putc(&s->got, wsio_begins(c) ? '(' : '[');
    buf_add(&s->got, p, TD_MIN(take, (size_t)40));
    buf_putc(&s->got, wsio_begins(c) ? ')' : ']');
    if (s->pauses)
        conn_pause(c, CONN_PAUSE_FLOW);
    if (s->answers)
        conn_write_ref(c, p, take);
    return take;
}

static void noted_sent(struct conn *c)
{
    if (((struct seen *)c->proto_ctx)->answers)
        conn_resume(c, CONN_PAUSE_FLOW);
}

static void gone(struct conn *c, enum close_reason reason)
{
    struct seen *s = c->proto_ctx;

    s->downs++;
    s->why = reason;
    s->conn = NULL;
}

static const struct conn_proto noting = { .name = "test", .websocket = true, .up = noted_up, .data = note, .sent = noted_sent, .down = gone, .keep_max = 1 << 20 };

static void connect_to(struct bench *b)
{
    struct addr at;
    int one = 1;

    CHECK_FATAL(addr_from_host(&at, SV("127.0.0.1"), 0));
    CHECK_FATAL(listener_new(&b->listener, &b->worker, &at, PORT_TCP | PORT_WS, PORT_SIP) == 0);
    b->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_FATAL(b->fd >= 0 && connect(b->fd, &at.sa, addr_len(&at)) == 0);
    CHECK_FATAL(setsockopt(b->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
}

static void bench_init(struct bench *b)
{
    memset(b, 0, sizeof *b);
    CHECK_FATAL(worker_init(&b->worker, 0, &b->next_id) == 0);
    b->worker.protos[PROTO_SIP] = (struct proto_slot){ &noting, &b->sip };
    connect_to(b);
}

static void bench_fini(struct bench *b)
{
    close(b->fd);
    listener_free(&b->listener);
    worker_fini(&b->worker);
    buf_fini(&b->sip.got);
    ahead_ms = 0;
}

static void turn(struct bench *b)
{
    for (int i = 0; i < 4; i++)
        loop_turn(b->worker.loop, 0);
}

static void later(struct bench *b, uint64_t ms)
{
    ahead_ms += ms;
    turn(b);
}

static void say(struct bench *b, const char *p, size_t n)
{
    CHECK(send(b->fd, p, n, MSG_NOSIGNAL) == (ssize_t)n);
    turn(b);
}

static void say_frame(struct bench *b, int first, const char *payload)
{
    struct buf f = BUF_INIT;

    add_text(&f, first, payload);
    say(b, f.p, f.n);
    buf_fini(&f);
}

/* What the server has sent by now, escaped; "(end)" is appended when it has closed. */
static const char *heard(struct bench *b)
{
    static struct buf text;
    char raw[4096];

    buf_clear(&text);
    for (;;) {
        ssize_t got = recv(b->fd, raw, sizeof raw, MSG_DONTWAIT);

        if (got <= 0) {
            buf_puts(&text, got == 0 || errno == ECONNRESET ? "(end)" : "");
            return text.p ? text.p : "";
        }
        buf_add_escaped(&text, sv_make(raw, (size_t)got), sizeof raw);
    }
}

static void shake(struct bench *b)
{
    say(b, HANDSHAKE, sizeof HANDSHAKE - 1);
    CHECK(strncmp(heard(b), "HTTP/1.1 101 ", 13) == 0);
    CHECK_FATAL(b->sip.conn != NULL);
}

static const char *got(struct bench *b)
{
    static char text[512];

    snprintf(text, sizeof text, "%.500s", b->sip.got.p ? b->sip.got.p : "");
    buf_clear(&b->sip.got);
    return text;
}

/* S-WS-01, S-MSG-04, M-MUX-01 */
TEST(handshake_and_messages_come_one_octet_per_segment)
{
    struct bench b;
    struct buf in = BUF_INIT;

    bench_init(&b);
    for (size_t i = 0; i < sizeof HANDSHAKE - 1; i++) {
        CHECK_STR(heard(&b), "");
        say(&b, HANDSHAKE + i, 1);
    }
    CHECK(strncmp(heard(&b), "HTTP/1.1 101 ", 13) == 0);
    add_text(&in, FIN | TEXT, "hello");
    add_text(&in, BINARY, "wor");
    add_text(&in, FIN | PING, "!");
    add_text(&in, FIN | CONT, "ld");
    for (size_t i = 0; i < in.n; i++)
        say(&b, in.p + i, 1);
    CHECK_STR(got(&b), "(hello)(world)");
    CHECK_STR(heard(&b), "\\x8a\\x01!"); /* M-WS-10: the pong did not wait for the message's end */
    CHECK_STR(conn_transport_text(b.sip.conn), "ws");
    CHECK_INT(stats_get(&b.worker.stats, STAT_ws_opened), 1);
    bench_fini(&b);
    buf_fini(&in);
}

TEST(handshake_and_messages_come_in_one_segment)
{
    struct bench b;
    struct buf in = BUF_INIT;

    bench_init(&b);
    buf_puts(&in, HANDSHAKE);
    add_text(&in, FIN | TEXT, "one");
    add_text(&in, FIN | TEXT, "");
    add_text(&in, FIN | TEXT, "two");
    say(&b, in.p, in.n);
    CHECK_STR(got(&b), "(one)(two)");
    bench_fini(&b);
    buf_fini(&in);
}

/* S-WS-03, M-WS-03: text when all of it is UTF-8, else binary; M-WS-11: the server's frames are not masked. */
TEST(messages_go_out_as_text_when_they_are)
{
    struct bench b;
    static char big[70000];

    bench_init(&b);
    shake(&b);
    wsio_write(b.sip.conn, "gr\xc3\xbc\xc3\x9f", 7 - 1);
    turn(&b);
    CHECK_STR(heard(&b), "\\x81\\x06gr\\xc3\\xbc\\xc3\\x9f");
    wsio_write(b.sip.conn, "gr\xfc\xdf", 4);
    turn(&b);
    CHECK_STR(heard(&b), "\\x82\\x04gr\\xfc\\xdf");
    wsio_begin(b.sip.conn, 6, false);
    conn_write(b.sip.conn, "abc", 3);
    conn_write_ref(b.sip.conn, "def", 3);
    turn(&b);
    CHECK_STR(heard(&b), "\\x82\\x06" "abcdef");
    memset(big, 'x', sizeof big);
    wsio_write(b.sip.conn, big, 126);
    wsio_write(b.sip.conn, big, sizeof big);
    turn(&b);
    CHECK(strncmp(heard(&b), "\\x81~\\x00~xxx", 13) == 0);
    bench_fini(&b);
}

/* M-WS-11, M-WS-12 */
TEST(close_is_answered_and_ends_the_connection)
{
    static const struct {
        const char *payload;
        size_t n;
        const char *answer;
        enum close_reason why;
    } rows[] = {
        { "", 0, "\\x88\\x00(end)", CLOSE_PEER },
        { "\x03\xe9going", 7, "\\x88\\x02\\x03\\xe9(end)", CLOSE_PEER },
        { "\x0f\xa0", 2, "\\x88\\x02\\x0f\\xa0(end)", CLOSE_PEER },
        { "\x03", 1, "\\x88\\x02\\x03\\xea(end)", CLOSE_WS_PROTOCOL },
        { "\x03\xed", 2, "\\x88\\x02\\x03\\xea(end)", CLOSE_WS_PROTOCOL }, /* 1005 is never sent */
        { "\x00\x01", 2, "\\x88\\x02\\x03\\xea(end)", CLOSE_WS_PROTOCOL },
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct bench b;
        struct buf f = BUF_INIT;

        bench_init(&b);
        shake(&b);
        add_frame(&f, FIN | CLOSE, rows[i].payload, rows[i].n);
        add_text(&f, FIN | TEXT, "not heard any more");
        say(&b, f.p, f.n);
        CHECK_STR(heard(&b), rows[i].answer);
        CHECK_STR(got(&b), "");
        CHECK_INT(b.sip.downs, 1);
        CHECK_INT(b.sip.why, rows[i].why);
        bench_fini(&b);
        buf_fini(&f);
    }
}

/* M-WS-06, M-WS-11, S-WS-02 */
TEST(fault_ends_the_connection_with_its_status)
{
    struct bench b;

    bench_init(&b);
    shake(&b);
    say(&b, "\x81\x03" "abc", 5);
    CHECK_STR(heard(&b), "\\x88\\x02\\x03\\xea(end)"); /* 1002 */
    CHECK_INT(b.sip.why, CLOSE_WS_PROTOCOL);
    bench_fini(&b);

    bench_init(&b);
    b.worker.ws.max_message = 5;
    shake(&b);
    say_frame(&b, FIN | TEXT, "12345");
    CHECK_STR(got(&b), "(12345)");
    say_frame(&b, FIN | TEXT, "123456");
    CHECK_STR(heard(&b), "\\x88\\x02\\x03\\xf1(end)"); /* 1009 */
    CHECK_INT(b.sip.why, CLOSE_WS_TOO_BIG);
    CHECK_STR(got(&b), "");
    bench_fini(&b);

    bench_init(&b);
    b.sip.take = 3; /* the protocol finds that a message is no whole one */
    shake(&b);
    say_frame(&b, FIN | TEXT, "123456");
    CHECK_STR(heard(&b), "\\x88\\x02\\x03\\xea(end)");
    CHECK_INT(b.sip.why, CLOSE_WS_MESSAGE);
    bench_fini(&b);
}

TEST(protocol_that_ends_the_connection_says_why)
{
    static const struct {
        enum close_reason why;
        const char *bytes;
    } rows[] = {
        { CLOSE_STOP, "\\x88\\x02\\x03\\xe9(end)" },
        { CLOSE_IDLE, "\\x88\\x02\\x03\\xe9(end)" },
        { CLOSE_MOVED, "\\x88\\x02\\x03\\xe8(end)" },
        { CLOSE_WS_MESSAGE, "\\x88\\x02\\x03\\xea(end)" },
        { CLOSE_FORBIDDEN, "\\x88\\x02\\x03\\xf0(end)" },
        { CLOSE_NO_MEMORY, "\\x88\\x02\\x03\\xf3(end)" },
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct bench b;

        bench_init(&b);
        shake(&b);
        conn_finish(b.sip.conn, rows[i].why);
        turn(&b);
        CHECK_STR(heard(&b), rows[i].bytes);
        bench_fini(&b);
    }
}

TEST(what_a_paused_connection_holds_is_offered_when_it_goes_on)
{
    struct bench b;
    struct buf in = BUF_INIT;
    struct conn *c;

    bench_init(&b);
    shake(&b);
    c = b.sip.conn;
    add_text(&in, FIN | TEXT, "abcdef");
    add_text(&in, FIN | TEXT, "ghi");
    add_text(&in, FIN | PING, "");
    b.sip.take = 4;
    b.sip.pauses = true;
    say(&b, in.p, in.n);
    CHECK_STR(got(&b), "(abcd)");
    turn(&b);
    CHECK_STR(got(&b), "");
    conn_resume(c, CONN_PAUSE_FLOW);
    turn(&b);
    CHECK_STR(got(&b), "[ef]");
    conn_resume(c, CONN_PAUSE_FLOW);
    turn(&b);
    CHECK_STR(got(&b), "(ghi)");
    CHECK_STR(heard(&b), "");
    b.sip.pauses = false;
    conn_resume(c, CONN_PAUSE_FLOW);
    turn(&b);
    CHECK_STR(heard(&b), "\\x8a\\x00");
    say_frame(&b, FIN | TEXT, "on");
    CHECK_STR(got(&b), "(on)");
    bench_fini(&b);
    buf_fini(&in);
}

/* What was written by reference is flushed before data() is called again, and that may end the pause in the middle of a message. */
TEST(rest_of_a_message_is_offered_though_the_pause_was_over_at_once)
{
    struct bench b;
    struct buf in = BUF_INIT;

    bench_init(&b);
    shake(&b);
    add_text(&in, FIN | TEXT, "abcdefghij");
    add_text(&in, FIN | TEXT, "kl");
    b.sip.take = 4;
    b.sip.pauses = b.sip.answers = true;
    say(&b, in.p, in.n);
    CHECK_STR(got(&b), "(abcd)[efgh][ij](kl)");
    CHECK_STR(heard(&b), "abcdefghijkl");
    CHECK_INT(b.sip.downs, 0);
    bench_fini(&b);
    buf_fini(&in);
}

/* A client that has said its last word while it was not read is heard to the end. */
TEST(what_was_said_before_the_end_is_heard)
{
    struct bench b;
    struct buf in = BUF_INIT;

    bench_init(&b);
    shake(&b);
    for (int i = 0; i < 3; i++)
        add_text(&in, FIN | TEXT, "word");
    b.sip.pauses = true;
    CHECK(send(b.fd, in.p, in.n, MSG_NOSIGNAL) == (ssize_t)in.n && shutdown(b.fd, SHUT_WR) == 0);
    turn(&b);
    CHECK_STR(got(&b), "(word)");
    for (int i = 0; i < 2; i++) {
        CHECK_FATAL(b.sip.conn != NULL);
        conn_resume(b.sip.conn, CONN_PAUSE_FLOW);
        turn(&b);
        CHECK_STR(got(&b), "(word)");
    }
    conn_resume(b.sip.conn, CONN_PAUSE_FLOW);
    turn(&b);
    CHECK_INT(b.sip.downs, 1);
    CHECK_INT(b.sip.why, CLOSE_PEER);
    bench_fini(&b);
    buf_fini(&in);
}

/* S-WS-08, M-WS-10: silence is answered with a ping, and two pings in vain end it; any sign of life will do. */
TEST(silent_client_is_pinged_and_then_closed)
{
    struct bench b;

    bench_init(&b);
    shake(&b);
    later(&b, 29000);
    CHECK_STR(heard(&b), "");
    later(&b, 1100);
    CHECK_STR(heard(&b), "\\x89\\x00");
    say_frame(&b, FIN | PONG, "");
    later(&b, 29000);
    CHECK_STR(heard(&b), "");
    later(&b, 1100);
    CHECK_STR(heard(&b), "\\x89\\x00");
    later(&b, 30100);
    CHECK_STR(heard(&b), "\\x89\\x00");
    say_frame(&b, FIN | TEXT, "here");
    later(&b, 29000);
    CHECK_STR(heard(&b), "");
    later(&b, 1100);
    later(&b, 30100);
    CHECK_STR(heard(&b), "\\x89\\x00\\x89\\x00");
    CHECK_INT(b.sip.downs, 0);
    later(&b, 30100);
    CHECK_STR(heard(&b), "\\x88\\x02\\x03\\xe9(end)");
    CHECK_INT(b.sip.why, CLOSE_WS_SILENT);
    bench_fini(&b);
}

/* Who is not read cannot be heard. */
TEST(paused_client_is_not_taken_for_dead)
{
    struct bench b;

    bench_init(&b);
    shake(&b);
    conn_pause(b.sip.conn, CONN_PAUSE_FLOW);
    for (int i = 0; i < 10; i++)
        later(&b, 31000);
    CHECK_INT(b.sip.downs, 0);
    bench_fini(&b);
}

TEST(message_that_never_ends_is_given_up)
{
    struct bench b;

    bench_init(&b);
    shake(&b);
    say_frame(&b, TEXT, "begin");
    for (int i = 0; i < 6; i++) { /* signs of life are none of progress */
        later(&b, 9900);
        CHECK_STR(heard(&b), "");
        say_frame(&b, CONT, "x");
    }
    later(&b, 700);
    CHECK_STR(heard(&b), "\\x88\\x02\\x03\\xf0(end)");
    CHECK_INT(b.sip.why, CLOSE_HEADER_TIMEOUT);
    bench_fini(&b);
}

TEST(handshake_that_takes_too_long_is_closed)
{
    struct bench b;

    bench_init(&b);
    say(&b, HANDSHAKE, 40);
    later(&b, (uint64_t)b.worker.handshake_ms - 200);
    CHECK_STR(heard(&b), "");
    later(&b, 400);
    CHECK_STR(heard(&b), "(end)");
    CHECK_INT(stats_get(&b.worker.stats, STAT_conn_open), 0);
    bench_fini(&b);
}

TEST(handshake_that_is_too_long_is_refused)
{
    struct bench b;
    struct buf in = BUF_INIT;

    bench_init(&b);
    buf_puts(&in, "GET / HTTP/1.1\r\n");
    while (in.n < 8 * 1024)
        buf_puts(&in, "X-Filler: something to fill a line\r\n");
    for (size_t at = 0; at < in.n; at += 1000)
        say(&b, in.p + at, TD_MIN((size_t)1000, in.n - at));
    CHECK(strncmp(heard(&b), "HTTP/1.1 431 ", 13) == 0);
    CHECK_INT(stats_get(&b.worker.stats, STAT_ws_refused), 1);
    bench_fini(&b);
    buf_fini(&in);
}

TEST(other_methods_than_get_are_http_too)
{
    struct bench b;

    bench_init(&b);
    say(&b, "POST /x HTTP/1.1\r\nHost: a\r\n\r\n", 29);
    CHECK(strncmp(heard(&b), "HTTP/1.1 405 ", 13) == 0);
    bench_fini(&b);
}

/* Between messages a connection owns no buffer, whatever it has received before. */
TEST(idle_websocket_holds_next_to_nothing)
{
    struct bench b;
    struct buf in = BUF_INIT, payload = BUF_INIT;
    int64_t before, shaken;

    bench_init(&b);
    turn(&b);
    before = b.worker.held;
    shake(&b);
    shaken = b.worker.held;
    CHECK(shaken - before < 400);
    while (payload.n < 300000)
        buf_puts(&payload, "some text ");
    add_frame(&in, FIN | TEXT, payload.p, payload.n);
    CHECK(send(b.fd, in.p, in.n - 1, MSG_NOSIGNAL) == (ssize_t)in.n - 1);
    for (int i = 0; i < 20; i++)
        turn(&b);
    CHECK(b.worker.held > shaken + 300000 - 1);
    say(&b, in.p + in.n - 1, 1);
    CHECK_INT(b.worker.held, shaken);
    CHECK(strncmp(got(&b), "(some text ", 11) == 0);
    bench_fini(&b);
    CHECK_INT(b.worker.held, 0);
    buf_fini(&in);
    buf_fini(&payload);
}

SUITE(ws_suite, TEST_ROW(frames_split_anywhere_give_the_same_messages), TEST_ROW(every_form_of_length_is_read),
      TEST_ROW(broken_frames_are_told_at_once), TEST_ROW(message_at_the_limit_is_taken_and_one_past_it_is_too_big),
      TEST_ROW(handshake_and_messages_come_one_octet_per_segment), TEST_ROW(handshake_and_messages_come_in_one_segment),
      TEST_ROW(messages_go_out_as_text_when_they_are), TEST_ROW(close_is_answered_and_ends_the_connection),
      TEST_ROW(fault_ends_the_connection_with_its_status), TEST_ROW(protocol_that_ends_the_connection_says_why),
      TEST_ROW(what_a_paused_connection_holds_is_offered_when_it_goes_on),
      TEST_ROW(rest_of_a_message_is_offered_though_the_pause_was_over_at_once), TEST_ROW(what_was_said_before_the_end_is_heard),
      TEST_ROW(silent_client_is_pinged_and_then_closed), TEST_ROW(paused_client_is_not_taken_for_dead),
      TEST_ROW(message_that_never_ends_is_given_up), TEST_ROW(handshake_that_takes_too_long_is_closed),
      TEST_ROW(handshake_that_is_too_long_is_refused), TEST_ROW(other_methods_than_get_are_http_too),
      TEST_ROW(idle_websocket_holds_next_to_nothing));
