/* Connections over real loopback sockets: the test plays the peer. */
#include "net/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/err.h"
#include "net/conn_private.h"
#include "net/dial.h"
#include "net/limit.h"
#include "net/listener.h"
#include "net/sniff.h"
#include "net/tls.h"
#include "tests/unit/harness.h"
#include "tests/unit/net/certs.h"

static struct worker worker;
static uint64_t next_id;
static uint64_t clock_ahead; /* ms that the test has put the timers forward */

/* What the protocol of a test has seen of one connection, and how it shall behave. */
struct seen {
    struct conn *conn; /* NULL once down */
    struct buf got;
    int ups, drains, downs, calls;
    enum close_reason why;
    bool lines;              /* take whole lines only */
    struct conn *echo_to;    /* write what comes there, by reference */
    void (*act)(struct seen *s, struct sv bytes); /* instead of gathering */
    size_t budget;           /* pause after so many bytes; 0: never */
};

static size_t test_data(struct conn *c, const char *p, size_t n)
{
    struct seen *s = c->user;

    s->calls++;
    if (s->lines) {
        while (n && p[n - 1] != '\n')
            n--;
    }
    if (s->budget && s->got.n + n >= s->budget) {
        n = s->budget - s->got.n;
        s->budget = 0;
        conn_pause(c, CONN_PAUSE_FLOW);
    }
    if (s->act) {
        s->act(s, sv_make(p, n));
        return n;
    }
    if (s->echo_to)
        conn_write_ref(s->echo_to, p, n);
    else
        buf_add(&s->got, p, n);
    return n;
}

static void test_up(struct conn *c)
{
    ((struct seen *)c->user)->ups++;
}

static void test_drained(struct conn *c)
{
    ((struct seen *)c->user)->drains++;
}

static void test_down(struct conn *c, enum close_reason reason)
{
    struct seen *s = c->user;

    s->downs++;
    s->why = reason;
    s->conn = NULL;
}

static const struct conn_proto test_proto = {
    .name = "test", .data = test_data, .up = test_up, .drained = test_drained, .down = test_down, .keep_max = 1000,
};

static void set_up(void)
{
    next_id = 0;
    clock_ahead = 0;
    CHECK_FATAL(worker_init(&worker, 0, &next_id) == TD_OK);
}

static void turns(int n)
{
    while (n-- > 0)
        loop_turn(worker.loop, 0);
}

/* Let the timers believe that so much time went by. */
static void later(uint64_t ms)
{
    clock_ahead += ms;
    wheel_advance(loop_wheel(worker.loop), loop_now_ms(worker.loop) + clock_ahead);
    turns(3);
}

static void tear_down(void)
{
    worker_fini(&worker);
}

/* A connected pair of TCP sockets: fds[0] for us, fds[1] for the peer; both do not block. */
static void tcp_pair(int fds[2])
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK_FATAL(bind(listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(listener, 1) == 0);
    CHECK_FATAL(getsockname(listener, (struct sockaddr *)&at, &len) == 0);
    fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_FATAL(connect(fds[1], (struct sockaddr *)&at, sizeof at) == 0);
    fds[0] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    CHECK_FATAL(fds[0] >= 0 && fcntl(fds[1], F_SETFL, O_NONBLOCK) == 0);
    close(listener);
}

/* A connection whose peer is *peer. buffer: of the kernel, for sending, or 0 for its default. (A small one for
 * receiving would make the kernel wait for window updates, which is slow.) */
static void start_sized(struct seen *s, int *peer, int buffer)
{
    int fds[2], one = 1;

    *s = (struct seen){ 0 };
    tcp_pair(fds);
    if (buffer)
        setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    setsockopt(fds[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    CHECK_FATAL(conn_new(&s->conn, &worker, fds[0], true, NULL, NULL) == TD_OK);
    conn_set_proto(s->conn, &test_proto, NULL, s);
    *peer = fds[1];
}

static void start(struct seen *s, int *peer)
{
    start_sized(s, peer, 0);
}

static void finish(struct seen *s, int peer)
{
    if (s->conn)
        conn_close(s->conn, CLOSE_STOP);
    CHECK_INT(s->downs, 1);
    turns(1);
    buf_fini(&s->got);
    if (peer >= 0)
        close(peer);
}

static void say(int peer, const char *p, size_t n)
{
    CHECK_FATAL(send(peer, p, n, MSG_NOSIGNAL) == (ssize_t)n);
}

/* Read what is there. 1: the stream goes on, 0: it has ended, -1: it was reset. */
static int hear(int peer, struct buf *b)
{
    char p[65536];

    for (;;) {
        ssize_t n = recv(peer, p, sizeof p, 0);

        if (n > 0)
            buf_add(b, p, (size_t)n);
        else if (n < 0 && errno == EINTR)
            continue;
        else
            return n == 0 ? 0 : errno == EAGAIN ? 1 : -1;
    }
}

/* Turns and reads until the peer has so many bytes or its stream has ended; what hear() said last. */
static int hear_all(int peer, struct buf *b, size_t n)
{
    int state = 1;

    for (int i = 0; i < 20000 && state == 1 && b->n < n; i++) {
        loop_turn(worker.loop, 1);
        state = hear(peer, b);
    }
    return state;
}

static int hear_end(int peer, struct buf *b)
{
    return hear_all(peer, b, SIZE_MAX);
}

static void reset(int *peer)
{
    struct linger hard = { 1, 0 };

    setsockopt(*peer, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(*peer);
    *peer = -1;
}

/* Bytes that tell their place. */
static char *pattern(size_t n)
{
    char *p = malloc(n);

    CHECK_FATAL(p != NULL);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(i * 2654435761U >> 11);
    return p;
}

/* ---- reading ---- */

TEST(bytes_arrive_in_order_whatever_the_pieces)
{
    enum { N = 300000 };
    char *bytes = pattern(N);
    struct seen s;
    int peer;

    set_up();
    start(&s, &peer);
    for (size_t at = 0, n = 1; at < N; at += n, n = n * 3 % 9973 + 1) {
        n = TD_MIN(n, N - at);
        say(peer, bytes + at, n);
        turns(1);
    }
    for (int i = 0; i < 1000 && s.got.n < N; i++)
        loop_turn(worker.loop, 1);
    CHECK(sv_eq(buf_sv(&s.got), sv_make(bytes, N)));
    CHECK_INT(s.conn->bytes_in, N);
    finish(&s, peer);
    tear_down();
    free(bytes);
}

TEST(what_is_not_taken_stands_in_front_of_what_comes_next)
{
    static const char text[] = "first\nsecond line\nthird";
    struct seen s;
    int peer;

    set_up();
    start(&s, &peer);
    s.lines = true;
    for (size_t i = 0; i < sizeof text - 1; i++) {
        say(peer, text + i, 1);
        turns(1);
        CHECK_INT(s.got.n, i < 5 ? 0 : i < 17 ? 6 : 18);
    }
    CHECK_INT(s.conn->kept_n, 5);
    say(peer, "\n", 1);
    turns(1);
    CHECK(sv_eq(buf_sv(&s.got), SV("first\nsecond line\nthird\n")));
    CHECK(s.conn->kept == NULL); /* an idle connection owns no buffer */
    finish(&s, peer);
    tear_down();
}

TEST(more_than_a_protocol_may_leave_ends_the_connection)
{
    char bytes[1001];
    struct seen s;
    int peer;

    memset(bytes, 'x', sizeof bytes);
    set_up();
    start(&s, &peer);
    s.lines = true;
    say(peer, bytes, 1000);
    turns(1);
    CHECK_INT(s.downs, 0);
    say(peer, bytes, 1);
    turns(1);
    CHECK_INT(s.downs, 1);
    CHECK_INT(s.why, CLOSE_FRAMING);
    finish(&s, peer);
    tear_down();
}

TEST(a_paused_connection_reads_nothing_until_the_last_reason_is_gone)
{
    struct seen s;
    int peer;

    set_up();
    start(&s, &peer);
    conn_pause(s.conn, CONN_PAUSE_FLOW);
    conn_pause(s.conn, CONN_PAUSE_AUTH);
    say(peer, "hello", 5);
    turns(3);
    CHECK_INT(s.calls, 0);
    conn_resume(s.conn, CONN_PAUSE_FLOW);
    conn_resume(s.conn, CONN_PAUSE_FLOW);
    turns(3);
    CHECK_INT(s.calls, 0);
    conn_resume(s.conn, CONN_PAUSE_AUTH);
    CHECK_INT(s.calls, 0);
    turns(1);
    CHECK(sv_eq(buf_sv(&s.got), SV("hello")));
    finish(&s, peer);
    tear_down();
}

TEST(bytes_kept_by_a_pause_are_offered_after_it_before_new_ones)
{
    struct seen s;
    int peer;

    set_up();
    start(&s, &peer);
    s.budget = 4;
    say(peer, "12345678", 8);
    turns(3);
    CHECK(sv_eq(buf_sv(&s.got), SV("1234")));
    CHECK_INT(s.calls, 1);
    say(peer, "abc", 3);
    turns(3);
    CHECK_INT(s.calls, 1);
    conn_resume(s.conn, CONN_PAUSE_FLOW);
    CHECK_INT(s.calls, 1); /* from the loop, not from inside conn_resume() */
    loop_turn(worker.loop, 1000);
    turns(1);
    CHECK(sv_eq(buf_sv(&s.got), SV("12345678abc")));
    finish(&s, peer);
    tear_down();
}

TEST(a_pause_may_keep_more_than_the_protocol_may_leave)
{
    enum { N = 20000 };
    char *bytes = pattern(N);
    struct seen s;
    int peer;

    set_up();
    start(&s, &peer);
    s.budget = 1;
    say(peer, bytes, N);
    turns(3);
    CHECK_INT(s.got.n, 1);
    CHECK_INT(s.downs, 0);
    conn_resume(s.conn, CONN_PAUSE_FLOW);
    turns(3);
    CHECK(sv_eq(buf_sv(&s.got), sv_make(bytes, N)));
    finish(&s, peer);
    tear_down();
    free(bytes);
}

/* ---- ends ---- */

TEST(a_peer_that_ends_is_told_after_its_last_bytes)
{
    struct seen s;
    struct buf b = BUF_INIT;
    int peer;

    set_up();
    start(&s, &peer);
    say(peer, "last", 4);
    shutdown(peer, SHUT_WR);
    turns(3);
    CHECK(sv_eq(buf_sv(&s.got), SV("last")));
    CHECK_INT(s.downs, 1);
    CHECK_INT(s.why, CLOSE_PEER);
    CHECK_INT(hear_end(peer, &b), 0);
    CHECK(list_is_empty(&worker.conns));
    finish(&s, peer);
    buf_fini(&b);
    tear_down();
}

TEST(the_end_of_a_paused_peer_waits_for_its_bytes)
{
    struct seen s;
    int peer;

    set_up();
    start(&s, &peer);
    s.budget = 2;
    say(peer, "1234", 4);
    turns(2);
    say(peer, "5678", 4);
    shutdown(peer, SHUT_WR);
    turns(3);
    CHECK_INT(s.downs, 0);
    conn_resume(s.conn, CONN_PAUSE_FLOW);
    turns(5);
    CHECK(sv_eq(buf_sv(&s.got), SV("12345678")));
    CHECK_INT(s.downs, 1);
    CHECK_INT(s.why, CLOSE_PEER);
    finish(&s, peer);
    tear_down();
}

TEST(a_reset_ends_the_connection_reading_paused_or_writing)
{
    struct seen s;
    int peer;
    char *bulk = pattern(3000000);

    set_up();
    start(&s, &peer);
    reset(&peer);
    turns(3);
    CHECK_INT(s.why, CLOSE_RESET);
    finish(&s, peer);

    start(&s, &peer);
    conn_pause(s.conn, CONN_PAUSE_FLOW);
    turns(1);
    reset(&peer);
    turns(3);
    CHECK_INT(s.why, CLOSE_RESET);
    finish(&s, peer);

    start_sized(&s, &peer, 32768);
    conn_write(s.conn, bulk, 3000000);
    turns(3);
    CHECK(conn_queued(s.conn) > 0);
    reset(&peer);
    turns(3);
    CHECK_INT(s.why, CLOSE_RESET);
    finish(&s, peer);
    CHECK_INT(stats_get(&worker.stats, STAT_conn_open), 0);
    tear_down();
    free(bulk);
}

TEST(close_loses_the_queue_and_tells_once)
{
    struct conn_ref ref;
    struct seen s, t;
    struct buf b = BUF_INIT;
    int peer, peer2;

    set_up();
    start(&s, &peer);
    ref = conn_ref(s.conn);
    CHECK(conn_deref(&worker, ref) == s.conn);
    conn_write(s.conn, "lost", 4);
    conn_close(s.conn, CLOSE_KICKED);
    CHECK_INT(s.downs, 1);
    CHECK_INT(s.why, CLOSE_KICKED);
    CHECK(conn_deref(&worker, ref) == NULL);
    start(&t, &peer2); /* may take the place of the other */
    CHECK(conn_deref(&worker, ref) == NULL);
    CHECK(conn_deref(&worker, conn_ref(t.conn)) == t.conn);
    CHECK(conn_deref(&worker, (struct conn_ref){ 0 }) == NULL);
    CHECK_INT(hear_end(peer, &b), 0);
    CHECK_INT(b.n, 0);
    finish(&s, peer);
    finish(&t, peer2);
    tear_down();
}

static void close_all(struct seen *s, struct sv bytes)
{
    struct seen *other = s->echo_to ? s->echo_to->user : NULL;

    if (other && other->conn)
        conn_close(other->conn, CLOSE_KICKED);
    conn_write(s->conn, "never sent", 10);
    conn_close(s->conn, CLOSE_DONE);
    CHECK(s->conn == NULL);
}

TEST(a_protocol_may_close_itself_and_others_while_it_reads)
{
    struct seen s, t;
    int peer, peer2;

    set_up();
    start(&s, &peer);
    start(&t, &peer2);
    s.act = close_all;
    s.echo_to = t.conn;
    say(peer2, "both are ready", 14);
    say(peer, "now", 3);
    turns(3);
    CHECK_INT(s.why, CLOSE_DONE);
    CHECK_INT(t.why, CLOSE_KICKED);
    finish(&s, peer);
    finish(&t, peer2);
    tear_down();
}

TEST(finish_sends_what_is_queued_then_ends_the_stream)
{
    enum { N = 2000000 };
    char *bytes = pattern(N);
    struct seen s;
    struct buf b = BUF_INIT;
    int peer;

    set_up();
    start_sized(&s, &peer, 32768);
    conn_write(s.conn, bytes, N);
    conn_finish(s.conn, CLOSE_DONE);
    CHECK_INT(s.downs, 1);
    CHECK_INT(s.why, CLOSE_DONE);
    say(peer, "nobody reads this, but it must not reset the stream", 51);
    CHECK_INT(hear_end(peer, &b), 0);
    CHECK(sv_eq(buf_sv(&b), sv_make(bytes, N)));
    finish(&s, peer);
    turns(3);
    CHECK(list_is_empty(&worker.conns));
    buf_fini(&b);
    tear_down();
    free(bytes);
}

TEST(a_finished_connection_whose_peer_takes_or_ends_nothing_is_given_up)
{
    char *bytes = pattern(2000000);
    struct seen s;
    int peer;

    set_up();
    start_sized(&s, &peer, 32768);
    conn_write(s.conn, bytes, 2000000);
    conn_finish(s.conn, CLOSE_DONE);
    turns(5);
    CHECK(!list_is_empty(&worker.conns));
    later(CONN_FINISH_MS + 100);
    CHECK(list_is_empty(&worker.conns));
    finish(&s, peer);

    start(&s, &peer); /* takes all, but does not end its side */
    conn_write(s.conn, "bye", 3);
    conn_finish(s.conn, CLOSE_DONE);
    turns(5);
    CHECK(!list_is_empty(&worker.conns));
    later(CONN_FINISH_MS + 100);
    CHECK(list_is_empty(&worker.conns));
    finish(&s, peer);
    tear_down();
    free(bytes);
}

/* ---- writing ---- */

TEST(frames_of_a_turn_leave_together_at_its_end)
{
    struct seen s;
    struct buf b = BUF_INIT;
    char *room;
    int peer;

    set_up();
    start(&s, &peer);
    conn_write(s.conn, "one ", 4);
    room = conn_write_room(s.conn, 100);
    CHECK_FATAL(room != NULL);
    memcpy(room, "two ", 4);
    conn_wrote(s.conn, 4);
    conn_write_ref(s.conn, "three", 5);
    CHECK_INT(hear(peer, &b), 1);
    CHECK_INT(b.n, 0);
    CHECK_INT(conn_queued(s.conn), 13);
    loop_soon(worker.loop);
    turns(1);
    CHECK_INT(hear_all(peer, &b, 13), 1);
    CHECK(sv_eq(buf_sv(&b), SV("one two three")));
    CHECK_INT(conn_queued(s.conn), 0);
    CHECK_INT(s.conn->bytes_out, 13);
    finish(&s, peer);
    buf_fini(&b);
    tear_down();
}

TEST(a_slow_reader_gets_every_byte_and_drained_comes_once)
{
    enum { N = 3000000 };
    char *bytes = pattern(N);
    struct seen s;
    struct buf b = BUF_INIT;
    int peer;

    set_up();
    start_sized(&s, &peer, 32768);
    CHECK(!conn_is_full(s.conn));
    for (size_t at = 0; at < N; at += 1000)
        conn_write(s.conn, bytes + at, 1000);
    CHECK(conn_is_full(s.conn));
    turns(3);
    CHECK(conn_is_full(s.conn));
    CHECK_INT(s.drains, 0);
    hear_all(peer, &b, N - s.conn->tx_high);
    CHECK_INT(hear_all(peer, &b, N), 1);
    turns(3);
    CHECK_INT(s.drains, 1);
    CHECK(!conn_is_full(s.conn));
    CHECK_INT(conn_queued(s.conn), 0);
    CHECK(sv_eq(buf_sv(&b), sv_make(bytes, N)));
    finish(&s, peer);
    buf_fini(&b);
    tear_down();
    free(bytes);
}

TEST(drained_is_owed_only_to_who_was_told_full)
{
    char *bytes = pattern(60000);
    struct seen s;
    struct buf b = BUF_INIT;
    int peer;

    set_up();
    start(&s, &peer);
    conn_write(s.conn, bytes, 60000); /* below the high mark */
    CHECK(!conn_is_full(s.conn));
    CHECK_INT(hear_all(peer, &b, 60000), 1);
    CHECK_INT(s.drains, 0);
    finish(&s, peer);
    buf_fini(&b);
    tear_down();
    free(bytes);
}

TEST(a_queue_beyond_its_bound_ends_the_connection_at_the_end_of_the_turn)
{
    enum { PIECE = 100000 };
    char *bytes = pattern(PIECE);
    struct seen s;
    int peer, n = 0;

    set_up();
    start_sized(&s, &peer, 32768);
    s.conn->tx_max = 1000000;
    for (; n < 100 && conn_queued(s.conn) <= s.conn->tx_max; n++)
        conn_write(s.conn, bytes, PIECE);
    CHECK_INT(n, 11);
    conn_write(s.conn, bytes, 1);
    CHECK_INT(s.downs, 0); /* a write never calls down() */
    CHECK(conn_write_room(s.conn, 1) == NULL);
    turns(1);
    CHECK_INT(s.downs, 1);
    CHECK_INT(s.why, CLOSE_QUEUE_FULL);
    finish(&s, peer);
    tear_down();
    free(bytes);
}

TEST(bytes_written_by_reference_survive_the_reuse_of_the_read_buffer)
{
    enum { N = 2000000 };
    char *bytes = pattern(N);
    struct seen from, to;
    struct buf b = BUF_INIT;
    int peer_from, peer_to;
    size_t at = 0;

    set_up();
    start(&from, &peer_from);
    start_sized(&to, &peer_to, 32768); /* takes but a little at once */
    from.echo_to = to.conn;
    while (at < N) {
        ssize_t n = send(peer_from, bytes + at, N - at, MSG_NOSIGNAL);

        at += n > 0 ? (size_t)n : 0;
        turns(1);
        CHECK_INT(to.conn->out.n_refs, 0); /* nothing is borrowed between turns */
    }
    CHECK_INT(hear_all(peer_to, &b, N), 1);
    CHECK(sv_eq(buf_sv(&b), sv_make(bytes, N)));
    finish(&from, peer_from);
    finish(&to, peer_to);
    buf_fini(&b);
    tear_down();
    free(bytes);
}

TEST(a_peer_that_does_not_read_is_given_up_but_not_while_it_reads_a_little)
{
    char *bytes = pattern(3000000);
    struct seen s;
    struct buf b = BUF_INIT;
    int peer;

    set_up();
    start_sized(&s, &peer, 32768);
    conn_write(s.conn, bytes, 3000000);
    turns(3);
    for (int i = 0; i < 5; i++) {
        later(CONN_STALL_MS - 1000);
        CHECK_INT(hear_all(peer, &b, b.n + 400000), 1); /* more than the kernel may hold */
        CHECK_INT(s.downs, 0);
    }
    for (int i = 0; i < 50 && conn_queued(s.conn) < 1000000; i++) { /* the kernel's buffers have grown */
        conn_write(s.conn, bytes, 500000);
        turns(3);
    }
    later(CONN_STALL_MS + 100);
    later(CONN_STALL_MS + 100);
    CHECK_INT(s.downs, 1);
    CHECK_INT(s.why, CLOSE_WRITE_STALL);
    finish(&s, peer);
    buf_fini(&b);
    tear_down();
    free(bytes);
}

/* The pongs of an undecided stream may fill its buffers; then its deadline ends with the first line, and the other one has to begin. */
static struct seen *sniffed;

static void sniffed_up(struct conn *c)
{
    c->user = sniffed;
    sniffed->ups++;
}

static const struct conn_proto sniffed_proto = {
    .name = "test", .data = test_data, .up = sniffed_up, .down = test_down, .keep_max = 1000,
};

TEST(a_peer_that_has_not_read_since_before_its_first_line_is_given_up)
{
    static char pings[40000];
    struct seen s;
    int peer;

    memset(pings, '\n', sizeof pings);
    for (size_t i = 0; i < sizeof pings; i += 2)
        pings[i] = '\r';
    set_up();
    start_sized(&s, &peer, 32768);
    sniffed = &s;
    worker.protos[PROTO_SIP] = (struct proto_slot){ &sniffed_proto, NULL };
    s.conn->port_transports = PORT_TCP;
    s.conn->port_protocols = PORT_SIP;
    conn_set_proto(s.conn, &sniff_proto, NULL, NULL);
    conn_deadline(s.conn, 30000, CLOSE_FIRST_LINE);
    for (int i = 0; i < 100 && conn_queued(s.conn) < 100000; i++) {
        say(peer, pings, sizeof pings);
        turns(3);
    }
    CHECK(conn_queued(s.conn) >= 100000);
    say(peer, "OPTIONS sip:a@b SIP/2.0\r\n", 25);
    for (int i = 0; i < 1000 && !s.ups; i++)
        loop_turn(worker.loop, 10);
    CHECK_FATAL(s.ups == 1);
    later(CONN_STALL_MS - 1000);
    CHECK_INT(s.downs, 0);
    later(CONN_STALL_MS + 100);
    CHECK_INT(s.downs, 1);
    CHECK_INT(s.why, CLOSE_WRITE_STALL);
    finish(&s, peer);
    tear_down();
}

TEST(a_stream_that_was_slow_once_is_not_given_up_when_idle)
{
    char *bytes = pattern(2000000);
    struct seen s;
    struct buf b = BUF_INIT;
    int peer;

    set_up();
    start_sized(&s, &peer, 32768);
    conn_write(s.conn, bytes, 2000000);
    CHECK_INT(hear_all(peer, &b, 2000000), 1);
    later(CONN_STALL_MS + 100);
    later(CONN_STALL_MS + 100);
    CHECK_INT(s.downs, 0);
    finish(&s, peer);
    buf_fini(&b);
    tear_down();
    free(bytes);
}

SUITE(conn_suite, TEST_ROW(bytes_arrive_in_order_whatever_the_pieces), TEST_ROW(what_is_not_taken_stands_in_front_of_what_comes_next),
      TEST_ROW(more_than_a_protocol_may_leave_ends_the_connection),
      TEST_ROW(a_paused_connection_reads_nothing_until_the_last_reason_is_gone),
      TEST_ROW(bytes_kept_by_a_pause_are_offered_after_it_before_new_ones),
      TEST_ROW(a_pause_may_keep_more_than_the_protocol_may_leave), TEST_ROW(a_peer_that_ends_is_told_after_its_last_bytes),
      TEST_ROW(the_end_of_a_paused_peer_waits_for_its_bytes), TEST_ROW(a_reset_ends_the_connection_reading_paused_or_writing),
      TEST_ROW(close_loses_the_queue_and_tells_once), TEST_ROW(a_protocol_may_close_itself_and_others_while_it_reads),
      TEST_ROW(finish_sends_what_is_queued_then_ends_the_stream),
      TEST_ROW(a_finished_connection_whose_peer_takes_or_ends_nothing_is_given_up),
      TEST_ROW(frames_of_a_turn_leave_together_at_its_end), TEST_ROW(a_slow_reader_gets_every_byte_and_drained_comes_once),
      TEST_ROW(drained_is_owed_only_to_who_was_told_full),
      TEST_ROW(a_queue_beyond_its_bound_ends_the_connection_at_the_end_of_the_turn),
      TEST_ROW(bytes_written_by_reference_survive_the_reuse_of_the_read_buffer),
      TEST_ROW(a_peer_that_does_not_read_is_given_up_but_not_while_it_reads_a_little),
      TEST_ROW(a_peer_that_has_not_read_since_before_its_first_line_is_given_up),
      TEST_ROW(a_stream_that_was_slow_once_is_not_given_up_when_idle));
