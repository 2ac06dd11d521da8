/* Two endpoints talk over a loopback connection; a scripted peer checks what goes over the wire. */
#include "client/msrp_client.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/msrp_priv.h"
#include "common/buf.h"
#include "common/err.h"
#include "tests/unit/harness.h"

enum { TURNS = 4000 };

/* Both ends of a connection in one process, and what happened to them. */
struct world {
    struct loop *loop;
    struct mc mc;
    struct addr at;
    struct mc_listener *listener;
    struct mc_session *a, *b;
    struct buf got;      /* what b received, in order of arrival */
    unsigned complete, incomplete, done, failed, out_of_order;
    unsigned done_code;
    const char *source;  /* what out_pull gives */
    size_t source_n, source_at, piece;
};

static unsigned in_begin(struct mc_session *s, struct mc_in *m)
{
    return strcmp(m->type, "refuse/me") == 0 ? 415 : 200;
}

static void in_body(struct mc_session *s, struct mc_in *m, uint64_t pos, struct sv bytes)
{
    struct world *w = s->user;

    w->out_of_order += pos != w->got.n + 1;
    buf_add_sv(&w->got, bytes);
}

static void in_done(struct mc_session *s, struct mc_in *m, bool complete)
{
    struct world *w = s->user;

    if (complete)
        w->complete++;
    else
        w->incomplete++;
}

static long out_pull(struct mc_session *s, struct mc_out *m, char *p, size_t n)
{
    struct world *w = s->user;

    n = TD_MIN(n, w->piece);
    n = TD_MIN(n, w->source_n - w->source_at);
    memcpy(p, w->source + w->source_at, n);
    w->source_at += n;
    return (long)n;
}

static void out_done(struct mc_session *s, struct mc_out *m, unsigned code, const char *why)
{
    struct world *w = s->user;

    w->done++;
    w->done_code = code;
}

static void ready(struct mc_session *s)
{
}

static void failed(struct mc_session *s, unsigned code, const char *why)
{
    struct world *w = s->user;

    w->failed++;
}

static const struct mc_ops ops = { .ready = ready, .failed = failed, .in_begin = in_begin, .in_body = in_body,
                                   .in_done = in_done, .out_pull = out_pull, .out_done = out_done };

static void world_init(struct world *w)
{
    static const struct mc_tls_opts tls = { .no_verify = true };
    static const struct mc_opts opts = { .algorithm = -1 };
    struct buf fault = BUF_INIT;

    memset(w, 0, sizeof *w);
    w->piece = SIZE_MAX;
    CHECK_FATAL(loop_new(&w->loop) == 0);
    CHECK_FATAL(mc_init(&w->mc, w->loop, &ops, &opts, &tls, &fault) == 0);
    addr_from_host(&w->at, SV("127.0.0.1"), 0);
    CHECK_FATAL(mc_listener_new(&w->listener, &w->mc.net, &w->at, false) == 0);
    CHECK_FATAL(mc_session_new_direct(&w->a, &w->mc, &w->at, false, w) == 0);
    CHECK_FATAL(mc_session_new_direct(&w->b, &w->mc, &w->at, false, w) == 0);
    CHECK_FATAL(mc_session_set_peer(w->a, sv_of(w->b->path), false));
}

static void world_fini(struct world *w)
{
    mc_session_free(&w->a);
    mc_session_free(&w->b);
    for (int i = 0; i < 100 && !list_is_empty(&w->mc.net.links); i++)
        loop_turn(w->loop, 10);
    mc_listener_free(&w->listener);
    mc_fini(&w->mc);
    loop_free(&w->loop);
    buf_fini(&w->got);
}

static void turn_until(struct world *w, const unsigned *counter, unsigned value)
{
    for (int i = 0; i < TURNS && *counter < value; i++)
        loop_turn(w->loop, 5);
}

static void send_and_check(uint64_t chunk, size_t n, uint64_t size, bool report, size_t piece)
{
    char *body = malloc(n);
    struct world w;
    struct mc_out what = { .type = "application/octet-stream", .size = size, .chunk = chunk, .success_report = report };

    CHECK_FATAL(body != NULL);
    for (size_t i = 0; i < n; i++)
        body[i] = (char)(i * 31 + i / 251);
    world_init(&w);
    w.source = body;
    w.source_n = n;
    w.piece = piece;
    CHECK(mc_session_dial(w.a, NULL, 0) == 0);
    CHECK(mc_session_send(w.a, &what) != NULL);
    turn_until(&w, &w.done, 1);
    CHECK_INT(w.done_code, 200);
    CHECK_INT(w.complete, 1);
    CHECK_INT(w.failed + w.out_of_order, 0);
    CHECK_INT(w.got.n, n);
    CHECK(memcmp(w.got.p, body, n) == 0);
    world_fini(&w);
    free(body);
}

/* M-CHK-06 */
TEST(message_of_any_size_arrives_in_one_chunk)
{
    send_and_check(0, 5000000, 5000000, false, SIZE_MAX);
    send_and_check(0, 1, 1, true, SIZE_MAX);
}

TEST(message_arrives_in_many_chunks_and_is_reported)
{
    send_and_check(2048, 300000, 300000, true, SIZE_MAX);
    send_and_check(7, 100, 100, true, SIZE_MAX);
}

TEST(message_of_unknown_size_ends_where_its_source_ends)
{
    send_and_check(0, 123456, MC_UNKNOWN, true, 1000);
    send_and_check(1000, 5000, MC_UNKNOWN, false, 333);
}

/* M-FRM-14: a message of no octets is a message; M-FRM-13: a SEND without a body is none. */
TEST(empty_message_arrives_and_bodiless_send_does_not_count)
{
    struct mc_out empty = { .type = "text/plain", .mem = "", .size = 0, .success_report = true },
                  bodiless = { .type = NULL };
    struct world w;

    world_init(&w);
    CHECK(mc_session_dial(w.a, NULL, 0) == 0);
    CHECK(mc_session_send(w.a, &bodiless) && mc_session_send(w.a, &empty));
    turn_until(&w, &w.done, 2);
    CHECK_INT(w.done_code, 200);
    CHECK_INT(w.complete, 1);
    CHECK_INT(w.got.n, 0);
    world_fini(&w);
}

TEST(refused_message_fails_with_the_status)
{
    struct mc_out what = { .type = "refuse/me", .mem = "abc", .size = 3 };
    struct world w;

    world_init(&w);
    CHECK(mc_session_dial(w.a, NULL, 0) == 0);
    CHECK(mc_session_send(w.a, &what) != NULL);
    turn_until(&w, &w.done, 1);
    CHECK_INT(w.done_code, 415);
    CHECK_INT(w.complete + w.incomplete, 0);
    world_fini(&w);
}

TEST(both_ends_send_at_once_and_long_chunks_are_interrupted_for_answers)
{
    static char big[3000000];
    struct mc_out what = { .type = "a/b", .mem = big, .size = sizeof big },
                  small = { .type = "a/b", .mem = "x", .size = 1 };
    struct world w;

    world_init(&w);
    CHECK(mc_session_set_peer(w.b, sv_of(w.a->path), false));
    CHECK(mc_session_dial(w.a, NULL, 0) == 0);
    CHECK(mc_session_send(w.a, &small) != NULL); /* joins the connection to b */
    turn_until(&w, &w.done, 1);
    buf_clear(&w.got);
    CHECK(mc_session_send(w.a, &what) && mc_session_send(w.b, &what));
    turn_until(&w, &w.done, 3);
    CHECK_INT(w.done_code, 200);
    CHECK_INT(w.complete, 3);
    CHECK_INT(w.got.n, 2 * sizeof big); /* both ends' octets are counted together; positions are not looked at here */
    world_fini(&w);
}

/* ---- a peer that speaks by script ---- */

static int script_connect(const struct world *w)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK_FATAL(fd >= 0 && connect(fd, &w->at.sa, addr_len(&w->at)) == 0);
    return fd;
}

/* Send a script to b in which %U stands for b's URI; then collect what it says until it has been quiet. */
static void script_say(struct world *w, int fd, const char *text, struct buf *answer)
{
    struct buf b = BUF_INIT;
    const char *at;

    buf_clear(answer);
    while ((at = strstr(text, "%U"))) {
        buf_add(&b, text, (size_t)(at - text));
        buf_puts(&b, w->b->uri);
        text = at + 2;
    }
    buf_puts(&b, text);
    CHECK(send(fd, b.p, b.n, MSG_NOSIGNAL) == (ssize_t)b.n);
    for (int quiet = 0; quiet < 5;) {
        char in[4096];
        ssize_t n;

        loop_turn(w->loop, 2);
        n = recv(fd, in, sizeof in, MSG_DONTWAIT);
        if (n > 0) {
            buf_add(answer, in, (size_t)n);
            quiet = 0;
        } else {
            quiet++;
        }
    }
    buf_fini(&b);
}

#define FROM "From-Path: msrp://peer.invalid:9/p;tcp\r\n"
#define SEND_TO_B(tid, more) "MSRP " tid " SEND\r\nTo-Path: %U\r\n" FROM "Message-ID: m-0001\r\n" more

static void script_check(const char *script, const char *start)
{
    struct buf answer = BUF_INIT;
    struct world w;
    int fd;

    world_init(&w);
    fd = script_connect(&w);
    script_say(&w, fd, script, &answer);
    if (answer.n > strlen(start) && start[0]) {
        answer.n = strlen(start);
        answer.p[answer.n] = '\0';
    }
    CHECK_STR(answer.n ? answer.p : "", start);
    close(fd);
    world_fini(&w);
    buf_fini(&answer);
}

/* M-CHK-03, M-CHK-16, M-HDR-04, M-FR-01 */
TEST(requests_get_the_answer_they_ask_for)
{
    script_check(SEND_TO_B("t001", "Content-Type: a/b\r\n\r\nabc\r\n-------t001$\r\n"),
                 "MSRP t001 200 OK\r\nTo-Path: msrp://peer.invalid:9/p;tcp\r\n");
    script_check(SEND_TO_B("t002", "Byte-Range: 1-3/2\r\nContent-Type: a/b\r\n\r\nabc\r\n-------t002$\r\n"),
                 "MSRP t002 400 ");
    script_check(SEND_TO_B("t003", "Byte-Range: 1-2/2\r\nContent-Type: a/b\r\n\r\nabc\r\n-------t003$\r\n"),
                 "MSRP t003 400 ");
    script_check(SEND_TO_B("t004", "Failure-Report: no\r\nContent-Type: a/b\r\n\r\nabc\r\n-------t004$\r\n"), "");
    script_check(SEND_TO_B("t005", "Failure-Report: partial\r\nContent-Type: a/b\r\n\r\nabc\r\n-------t005$\r\n"), "");
    script_check(
        SEND_TO_B("t006",
                  "Failure-Report: partial\r\nByte-Range: 0-1/1\r\nContent-Type: a/b\r\n\r\nabc\r\n-------t006$\r\n"),
        "MSRP t006 400 ");
    script_check("MSRP t007 SEND\r\nTo-Path: %U\r\n" FROM "Content-Type: a/b\r\n\r\nabc\r\n-------t007$\r\n",
                 "MSRP t007 400 ");
    script_check("MSRP t008 SEND\r\nTo-Path: msrp://127.0.0.1:1/none;tcp\r\n" FROM
                 "Message-ID: m-0001\r\n-------t008$\r\n",
                 "MSRP t008 481 ");
    script_check("MSRP t009 NICKNAME\r\nTo-Path: %U\r\n" FROM "-------t009$\r\n", "MSRP t009 501 ");
    script_check(
        "MSRP t010 REPORT\r\nTo-Path: %U\r\n" FROM "Message-ID: m-0001\r\nStatus: 000 200 OK\r\n-------t010$\r\n", "");
    script_check(SEND_TO_B("t011", "-------t011$\r\n"), "MSRP t011 200 OK\r\n");
}

/* M-CHK-17: the last chunk may come first; one REPORT when all is there, behind the last 200. */
TEST(chunks_out_of_order_make_one_message_and_one_report)
{
    struct buf answer = BUF_INIT;
    struct world w;
    int fd;

    world_init(&w);
    fd = script_connect(&w);
    script_say(
        &w, fd,
        SEND_TO_B("t001",
                  "Success-Report: yes\r\nByte-Range: 4-6/6\r\nContent-Type: a/b\r\n\r\ndef\r\n-------t001$\r\n"),
        &answer);
    CHECK(strstr(answer.p, "MSRP t001 200 ") != NULL && strstr(answer.p, "REPORT") == NULL);
    CHECK_INT(w.complete, 0);
    script_say(
        &w, fd,
        SEND_TO_B("t002",
                  "Success-Report: yes\r\nByte-Range: 1-3/6\r\nContent-Type: a/b\r\n\r\nabc\r\n-------t002+\r\n"),
        &answer);
    CHECK_INT(w.complete, 1);
    CHECK(strncmp(answer.p, "MSRP t002 200 ", 14) == 0);
    CHECK(strstr(answer.p, "Message-ID: m-0001\r\nByte-Range: 1-6/6\r\nStatus: 000 200 OK\r\n") != NULL);
    close(fd);
    world_fini(&w);
    buf_fini(&answer);
}

TEST(aborted_message_is_told_as_incomplete)
{
    struct buf answer = BUF_INIT;
    struct world w;
    int fd;

    world_init(&w);
    fd = script_connect(&w);
    script_say(&w, fd, SEND_TO_B("t001", "Byte-Range: 1-*/6\r\nContent-Type: a/b\r\n\r\nabc\r\n-------t001#\r\n"),
               &answer);
    CHECK_INT(w.complete, 0);
    CHECK_INT(w.incomplete, 1);
    script_say(&w, fd, SEND_TO_B("t002", "Byte-Range: 1-*/6\r\nContent-Type: a/b\r\n\r\nab"), &answer);
    close(fd);
    turn_until(&w, &w.incomplete, 2);
    CHECK_INT(w.incomplete, 2);
    world_fini(&w);
    buf_fini(&answer);
}

/* M-CON-09 at an endpoint: RFC 4975 s.5.4 */
TEST(second_connection_for_a_bound_session_gets_506)
{
    struct buf answer = BUF_INIT;
    struct world w;
    int first, second;

    world_init(&w);
    first = script_connect(&w);
    script_say(&w, first, SEND_TO_B("t001", "-------t001$\r\n"), &answer);
    second = script_connect(&w);
    script_say(&w, second, SEND_TO_B("t002", "-------t002$\r\n"), &answer);
    CHECK(answer.n && strncmp(answer.p, "MSRP t002 506 ", 14) == 0);
    close(first);
    close(second);
    world_fini(&w);
    buf_fini(&answer);
}

/* M-FRM-18: the transaction id is known, as the peer would know it, and its end-line is in what is sent, also across
 * two pieces. */
TEST(end_line_inside_the_body_ends_the_chunk_early)
{
    for (size_t piece = 1; piece <= 60; piece += 59) {
        struct mc_out what = { .type = "a/b", .size = MC_UNKNOWN };
        struct buf body = BUF_INIT;
        struct world w;

        world_init(&w);
        buf_printf(&body, "before\r\n-------%s00000000$\r\nbetween\r\n-------%s00000001+\r\nafter", w.a->tid_prefix,
                   w.a->tid_prefix);
        w.source = body.p;
        w.source_n = body.n;
        w.piece = piece;
        CHECK(mc_session_dial(w.a, NULL, 0) == 0);
        CHECK(mc_session_send(w.a, &what) != NULL);
        turn_until(&w, &w.done, 1);
        CHECK_INT(w.done_code, 200);
        CHECK_INT(w.failed + w.out_of_order, 0);
        CHECK_INT(w.got.n, body.n);
        CHECK(w.got.n == body.n && memcmp(w.got.p, body.p, body.n) == 0);
        CHECK(w.a->txn_next >= 3);
        world_fini(&w);
        buf_fini(&body);
    }
}

TEST(short_message_with_its_own_end_line_goes_out_under_another_number)
{
    struct buf body = BUF_INIT;
    struct world w;
    struct mc_out what = { .type = "a/b" };

    world_init(&w);
    buf_printf(&body, "x\r\n-------%s00000000$\r\ny", w.a->tid_prefix);
    what.mem = body.p;
    what.size = body.n;
    CHECK(mc_session_dial(w.a, NULL, 0) == 0);
    CHECK(mc_session_send(w.a, &what) != NULL);
    turn_until(&w, &w.done, 1);
    CHECK_INT(w.done_code, 200);
    CHECK(w.got.n == body.n && memcmp(w.got.p, body.p, body.n) == 0);
    CHECK_INT(w.a->txn_next, 2);
    world_fini(&w);
    buf_fini(&body);
}

TEST(lost_connection_fails_what_is_under_way_once)
{
    struct mc_out what = { .type = "a/b", .mem = "abc", .size = 3 };
    struct world w;

    world_init(&w);
    mc_listener_free(&w.listener); /* nobody answers */
    CHECK(mc_session_dial(w.a, NULL, 0) == 0);
    CHECK(mc_session_send(w.a, &what) && mc_session_send(w.a, &what));
    turn_until(&w, &w.failed, 1);
    CHECK_INT(w.done, 2);
    CHECK_INT(w.done_code, 0);
    CHECK_INT(w.failed, 1);
    CHECK(mc_session_send(w.a, &what) == NULL);
    world_fini(&w);
}

SUITE(session_suite, TEST_ROW(message_of_any_size_arrives_in_one_chunk),
      TEST_ROW(message_arrives_in_many_chunks_and_is_reported),
      TEST_ROW(message_of_unknown_size_ends_where_its_source_ends),
      TEST_ROW(empty_message_arrives_and_bodiless_send_does_not_count), TEST_ROW(refused_message_fails_with_the_status),
      TEST_ROW(both_ends_send_at_once_and_long_chunks_are_interrupted_for_answers),
      TEST_ROW(requests_get_the_answer_they_ask_for), TEST_ROW(chunks_out_of_order_make_one_message_and_one_report),
      TEST_ROW(aborted_message_is_told_as_incomplete), TEST_ROW(second_connection_for_a_bound_session_gets_506),
      TEST_ROW(end_line_inside_the_body_ends_the_chunk_early),
      TEST_ROW(short_message_with_its_own_end_line_goes_out_under_another_number),
      TEST_ROW(lost_connection_fails_what_is_under_way_once));
