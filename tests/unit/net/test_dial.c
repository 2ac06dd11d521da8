/* The whole of net/ at once: dialling, listening, telling protocols apart, TLS, over loopback. */
#include "net/dial.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/err.h"
#include "net/limit.h"
#include "net/listener.h"
#include "net/resolve.h"
#include "net/tls.h"
#include "tests/unit/harness.h"
#include "tests/unit/net/certs.h"

#define FIRST_LINE "MSRP a1b2c3 SEND\r\n"

enum { TIMEOUT_MS = 5000 };

static struct worker worker;
static uint64_t next_id, clock_ahead;
static struct listener *listener;
static struct addr at; /* where it listens */
static struct certs *certs;

/* One end of a stream, dialled or accepted. */
struct end {
    struct conn *conn; /* NULL once down */
    struct buf got;
    int ups, downs;
    enum close_reason why;
    bool echo;
    bool pause; /* after the first line */
    bool answer; /* the first line, which ends the pause as soon as it is written */
};

static struct end accepted_end, dialled_end;

static size_t end_data(struct conn *c, const char *p, size_t n)
{
    struct end *e = c->user;

    if (e->pause) {
        e->pause = false;
        conn_pause(c, CONN_PAUSE_FLOW);
        n = sizeof FIRST_LINE - 1;
        if (e->answer)
            conn_write_ref(c, p, n);
    }
    if (e->echo)
        conn_write_ref(c, p, n);
    else
        buf_add(&e->got, p, n);
    return n;
}

static void end_up(struct conn *c)
{
    if (!c->user) { /* the sniffer has recognised it */
        c->user = &accepted_end;
        accepted_end.conn = c;
    }
    ((struct end *)c->user)->ups++;
}

static void end_sent(struct conn *c)
{
    if (((struct end *)c->user)->answer)
        conn_resume(c, CONN_PAUSE_FLOW);
}

static void end_down(struct conn *c, enum close_reason reason)
{
    struct end *e = c->user;

    e->downs++;
    e->why = reason;
    e->conn = NULL;
}

static const struct conn_proto end_proto = { .name = "test", .data = end_data, .up = end_up, .sent = end_sent, .down = end_down };

static const char *file(const char *name)
{
    return certs_path(certs, name);
}

static void use_certificate(const char *name)
{
    char cert[64], key[64];
    struct buf fault = BUF_INIT;
    struct tlsio_settings set;

    snprintf(cert, sizeof cert, "%s.pem", name);
    snprintf(key, sizeof key, "%s.key", name);
    set = (struct tlsio_settings){ file(cert), file(key), file("ca.pem"), "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2",
                                   CLIENT_CERT_OPTIONAL, false };
    tlsio_server_free(&worker.tls);
    CHECK_INT(tlsio_server_new(&worker.tls, &set, &fault), TD_OK);
    buf_fini(&fault);
}

static void set_up(void)
{
    next_id = clock_ahead = 0;
    accepted_end = dialled_end = (struct end){ 0 };
    CHECK_FATAL(worker_init(&worker, 0, &next_id) == TD_OK);
    certs = certs_new();
    certs_issue(certs, "relay", "dns:relay.example dns:localhost ip:127.0.0.1 ip:::1", 0);
    certs_issue(certs, "other", "dns:other.example", 0);
    use_certificate("relay");
    worker.protos[PROTO_MSRP] = (struct proto_slot){ &end_proto, NULL };
    CHECK_FATAL(addr_from_text(&at, SV("127.0.0.1:0")));
    CHECK_FATAL(listener_new(&listener, &worker, &at, PORT_TCP | PORT_TLS, PORT_MSRP) == TD_OK);
}

static void tear_down(void)
{
    struct tlsio_server *tls = worker.tls;

    listener_free(&listener);
    worker_fini(&worker);
    tlsio_server_free(&tls);
    buf_fini(&accepted_end.got);
    buf_fini(&dialled_end.got);
    certs_free(&certs);
}

static void turns(int n)
{
    while (n-- > 0)
        loop_turn(worker.loop, 0);
}

static void later(uint64_t ms)
{
    clock_ahead += ms;
    wheel_advance(loop_wheel(worker.loop), loop_now_ms(worker.loop) + clock_ahead);
    turns(3);
}

/* Turns until the condition holds, for 10 s at most. */
#define wait_until(cond)                                             \
    do {                                                             \
        for (int turn_ = 0; turn_ < 10000 && !(cond); turn_++)       \
            loop_turn(worker.loop, 1);                               \
        CHECK(cond);                                                 \
    } while (0)

static struct dial_target target(const char *host, bool tls)
{
    return (struct dial_target){ .host = host, .port = addr_port(&at), .tls = tls, .verify = tls, .timeout_ms = TIMEOUT_MS };
}

static void call(struct dial_target to)
{
    dialled_end = (struct end){ 0 };
    CHECK_FATAL(dial(&dialled_end.conn, &worker, &to, &end_proto, NULL, &dialled_end) == TD_OK);
    CHECK_INT(dialled_end.ups + dialled_end.downs, 0); /* never from inside dial() */
}

static size_t open_conns(void)
{
    return (size_t)stats_get(&worker.stats, STAT_conn_open);
}

/* A socket of the test's own, connected to the listener. */
static int stranger(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK_FATAL(connect(fd, &at.sa, addr_len(&at)) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    return fd;
}

static void say(int fd, const char *p, size_t n)
{
    CHECK(send(fd, p, n, MSG_NOSIGNAL) == (ssize_t)n);
}

/* Until the stream ends: what came. */
static struct buf hear_end(int fd)
{
    struct buf b = BUF_INIT;
    char p[4096];

    for (int i = 0; i < 3000; i++) {
        ssize_t n = recv(fd, p, sizeof p, 0);

        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            CHECK(n == 0); /* ended, not reset */
            return b;
        }
        if (n > 0)
            buf_add(&b, p, (size_t)n);
        else
            loop_turn(worker.loop, 1);
    }
    CHECK(false);
    return b;
}

/* ---- streams ---- */

static void echo(bool tls)
{
    enum { N = 3000000 };
    char *bytes = malloc(N);

    CHECK_FATAL(bytes != NULL);
    for (size_t i = 0; i < N; i++)
        bytes[i] = (char)(i * 2654435761U >> 11);
    memcpy(bytes, FIRST_LINE, sizeof FIRST_LINE - 1);
    set_up();
    accepted_end.echo = true;
    call(target("127.0.0.1", tls));
    conn_write(dialled_end.conn, bytes, N); /* before it is up */
    wait_until(dialled_end.got.n >= N);
    CHECK_INT(dialled_end.ups, 1);
    CHECK_INT(accepted_end.ups, 1);
    CHECK(sv_eq(buf_sv(&dialled_end.got), sv_make(bytes, N)));
    CHECK_STR(conn_transport_text(accepted_end.conn), tls ? "tls" : "tcp");
    CHECK_STR(conn_transport_text(dialled_end.conn), tls ? "tls" : "tcp");
    CHECK_INT(accepted_end.conn->bytes_in, N);
    CHECK_INT(accepted_end.conn->bytes_out, N);
    CHECK(addr_eq(&accepted_end.conn->local, &dialled_end.conn->peer));
    CHECK(addr_eq(&accepted_end.conn->peer, &dialled_end.conn->local));
    CHECK_INT(stats_get(&worker.stats, STAT_tls_handshakes), tls ? 2 : 0);
    conn_finish(dialled_end.conn, CLOSE_DONE);
    wait_until(open_conns() == 0);
    CHECK_INT(accepted_end.downs, 1);
    CHECK_INT(accepted_end.why, CLOSE_PEER);
    tear_down();
    free(bytes);
}

TEST(three_megabytes_go_both_ways_over_tcp)
{
    echo(false);
}

TEST(three_megabytes_go_both_ways_over_tls)
{
    echo(true);
}

/* A TLS peer is paused as any other: what it sent is neither lost nor taken. */
TEST(tls_pauses_and_resumes)
{
    static char bulk[200000];

    set_up();
    call(target("127.0.0.1", true));
    conn_write(dialled_end.conn, FIRST_LINE, sizeof FIRST_LINE - 1);
    wait_until(accepted_end.got.n == sizeof FIRST_LINE - 1);
    conn_pause(accepted_end.conn, CONN_PAUSE_FLOW);
    conn_write(dialled_end.conn, bulk, sizeof bulk);
    turns(50);
    CHECK_INT(accepted_end.got.n, sizeof FIRST_LINE - 1);
    conn_resume(accepted_end.conn, CONN_PAUSE_FLOW);
    wait_until(accepted_end.got.n == sizeof FIRST_LINE - 1 + sizeof bulk);
    conn_finish(accepted_end.conn, CLOSE_DONE);
    wait_until(open_conns() == 0);
    CHECK_INT(dialled_end.why, CLOSE_PEER);
    tear_down();
}

/* As over TCP: who has said all may still listen. */
TEST(close_notify_from_the_peer_does_not_lose_what_is_queued_for_it)
{
    enum { N = 2000000 };
    static char bulk[N];

    set_up();
    call(target("127.0.0.1", true));
    conn_write(dialled_end.conn, FIRST_LINE, sizeof FIRST_LINE - 1);
    wait_until(accepted_end.got.n == sizeof FIRST_LINE - 1);
    CHECK_INT(setsockopt(accepted_end.conn->io.fd, SOL_SOCKET, SO_SNDBUF, &(int){ 32768 }, sizeof(int)), 0);
    conn_pause(dialled_end.conn, CONN_PAUSE_FLOW);
    conn_write(accepted_end.conn, bulk, N);
    tlsio_bye(dialled_end.conn->tls);
    wait_until(accepted_end.downs == 1); /* most of it is still queued */
    CHECK_INT(accepted_end.why, CLOSE_PEER);
    conn_resume(dialled_end.conn, CONN_PAUSE_FLOW);
    wait_until(dialled_end.downs == 1);
    CHECK_INT(dialled_end.got.n, N);
    CHECK_INT(dialled_end.why, CLOSE_PEER);
    wait_until(open_conns() == 0);
    tear_down();
}

/* And over TCP it would be heard, too. */
static void say_all_then_close_notify(void)
{
    static char bulk[10000];
    struct conn *c;

    accepted_end.pause = true;
    call(target("127.0.0.1", true));
    conn_write(dialled_end.conn, FIRST_LINE, sizeof FIRST_LINE - 1);
    conn_write(dialled_end.conn, bulk, sizeof bulk);
    wait_until(dialled_end.ups == 1);
    c = dialled_end.conn;
    conn_finish(c, CLOSE_DONE);
    conn_flush(c); /* so that all of it comes at once */
    wait_until(accepted_end.ups == 1);
    if (!accepted_end.answer) {
        turns(50);
        CHECK_INT(accepted_end.downs, 0);
        CHECK_INT(accepted_end.got.n, sizeof FIRST_LINE - 1);
        CHECK_FATAL(accepted_end.conn != NULL);
        conn_resume(accepted_end.conn, CONN_PAUSE_FLOW);
    }
    wait_until(accepted_end.downs == 1);
    CHECK_INT(accepted_end.why, CLOSE_PEER);
    CHECK_INT(accepted_end.got.n, sizeof FIRST_LINE - 1 + sizeof bulk);
    wait_until(open_conns() == 0);
}

TEST(what_was_said_before_close_notify_is_heard_though_reading_was_paused)
{
    set_up();
    say_all_then_close_notify();
    tear_down();
}

/* Writing what data() has written by reference may end the pause before the connection is known to have ended. */
TEST(what_was_said_before_close_notify_is_heard_though_the_pause_was_over_at_once)
{
    set_up();
    accepted_end.answer = true;
    say_all_then_close_notify();
    tear_down();
}

/* Whoever waits for his octets to be gone learns of it while others are behind them. */
TEST(octets_are_sent_under_tls_though_the_queue_is_never_empty)
{
    enum { N = 2000000 };
    static char bulk[N];
    struct conn *c;

    set_up();
    call(target("127.0.0.1", true));
    conn_write(dialled_end.conn, FIRST_LINE, sizeof FIRST_LINE - 1);
    wait_until(accepted_end.got.n == sizeof FIRST_LINE - 1);
    c = accepted_end.conn;
    CHECK_INT(setsockopt(c->io.fd, SOL_SOCKET, SO_SNDBUF, &(int){ 32768 }, sizeof(int)), 0);
    conn_pause(dialled_end.conn, CONN_PAUSE_FLOW);
    conn_write(c, bulk, N);
    turns(50);
    CHECK(c->cipher.n > 0 && c->sent_pos > 0);
    CHECK(c->sent_pos + c->cipher.n <= c->bytes_out - c->out.n);
    conn_resume(dialled_end.conn, CONN_PAUSE_FLOW);
    wait_until(dialled_end.got.n == N);
    CHECK_INT(c->sent_pos, N);
    tear_down();
}

/* ---- what may go wrong when dialling ---- */

/* M-TLS-04: not an octet reaches a peer whose certificate does not name the host; and both ends know at once. */
TEST(a_peer_with_the_wrong_certificate_gets_nothing)
{
    uint64_t start_ms;

    set_up();
    start_ms = loop_now_ms(worker.loop);
    use_certificate("other");
    call(target("127.0.0.1", true));
    conn_write(dialled_end.conn, FIRST_LINE, sizeof FIRST_LINE - 1);
    wait_until(dialled_end.downs == 1);
    CHECK_INT(dialled_end.why, CLOSE_CERTIFICATE);
    CHECK_INT(dialled_end.ups, 0);
    wait_until(open_conns() == 0);
    CHECK_INT(accepted_end.ups, 0);
    CHECK_INT(stats_get(&worker.stats, STAT_tls_failures), 2);
    CHECK(loop_now_ms(worker.loop) - start_ms < 1000); /* though frames were queued */
    tear_down();
}

TEST(opportunistic_dialling_takes_the_wrong_certificate)
{
    struct dial_target to;

    set_up();
    use_certificate("other");
    to = target("127.0.0.1", true);
    to.verify = false;
    call(to);
    wait_until(dialled_end.ups == 1);
    conn_close(dialled_end.conn, CLOSE_DONE);
    tear_down();
}

TEST(a_closed_port_fails_the_dial)
{
    struct dial_target to;

    set_up();
    to = target("127.0.0.1", false);
    listener_free(&listener);
    call(to);
    wait_until(dialled_end.downs == 1);
    CHECK_INT(dialled_end.why, CLOSE_CONNECT_FAILED);
    CHECK_INT(dialled_end.ups, 0);
    tear_down();
}

static bool refuse_loopback(void *arg, const struct addr *a)
{
    ++*(int *)arg;
    return addr_kind(a) != ADDR_LOOPBACK;
}

/* M-SEC-02 */
TEST(an_address_that_is_not_allowed_is_not_connected_to)
{
    struct dial_target to;
    int asked = 0;

    set_up();
    to = target("127.0.0.1", false);
    to.allow = refuse_loopback;
    to.allow_arg = &asked;
    call(to);
    wait_until(dialled_end.downs == 1);
    CHECK_INT(dialled_end.why, CLOSE_FORBIDDEN);
    CHECK_INT(asked, 1);
    turns(5);
    CHECK_INT(stats_get(&worker.stats, STAT_conn_accepted), 0);
    tear_down();
}

static bool refuse_what_we_serve(void *arg, const struct addr *a)
{
    return !addr_is_served(a, &at);
}

/* M-SEC-02: it would reach our IPv4 listener. */
TEST(a_literal_that_maps_ipv4_is_the_ipv4_address)
{
    struct dial_target to;

    set_up();
    to = target("::ffff:127.0.0.1", false);
    to.allow = refuse_what_we_serve;
    call(to);
    wait_until(dialled_end.downs == 1);
    CHECK_INT(dialled_end.why, CLOSE_FORBIDDEN);
    turns(5);
    CHECK_INT(stats_get(&worker.stats, STAT_conn_accepted), 0);
    to.allow = NULL;
    call(to);
    conn_write(dialled_end.conn, FIRST_LINE, sizeof FIRST_LINE - 1);
    wait_until(accepted_end.ups == 1);
    CHECK(addr_eq(&dialled_end.conn->peer, &at));
    tear_down();
}

TEST(a_name_is_tried_at_each_of_its_addresses)
{
    struct conf_list none = { 0 };

    set_up();
    CHECK_INT(resolver_new(&worker.resolver, worker.loop, &none), TD_OK);
    call(target("localhost", true)); /* perhaps ::1 first, where nobody listens */
    conn_write(dialled_end.conn, FIRST_LINE, sizeof FIRST_LINE - 1);
    wait_until(accepted_end.ups == 1);
    CHECK_INT(dialled_end.ups, 1);
    CHECK_INT(addr_kind(&dialled_end.conn->peer), ADDR_LOOPBACK);
    tear_down();
}

TEST(a_name_that_cannot_be_resolved_fails_the_dial)
{
    struct conf_list none = { 0 };

    set_up();
    CHECK_INT(resolver_new(&worker.resolver, worker.loop, &none), TD_OK);
    call(target("no name", false));
    wait_until(dialled_end.downs == 1);
    CHECK_INT(dialled_end.why, CLOSE_DNS);
    tear_down();
}

TEST(a_peer_that_never_answers_a_client_hello_is_given_up)
{
    struct sockaddr_in silent = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof silent;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct dial_target to;

    set_up();
    CHECK(bind(fd, (struct sockaddr *)&silent, sizeof silent) == 0 && listen(fd, 1) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&silent, &len) == 0);
    to = target("127.0.0.1", true);
    to.port = ntohs(silent.sin_port);
    call(to);
    turns(10);
    CHECK_INT(dialled_end.downs, 0);
    later(2 * TIMEOUT_MS + 100);
    CHECK_INT(dialled_end.downs, 1);
    CHECK_INT(dialled_end.why, CLOSE_CONNECT_TIMEOUT);
    CHECK_INT(dialled_end.ups, 0);
    close(fd);
    tear_down();
}

/* A name server that knows two or three addresses for any name: 127.0.0.9, 127.0.0.1, 127.0.0.8. One question, if there is one. */
static void answer_dns(int fd, uint8_t n_addrs)
{
    static const uint8_t last[] = { 9, 1, 8 };
    static const uint8_t head[] = { 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0 };
    static const uint8_t record[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0 };
    uint8_t m[512 + 80];
    struct sockaddr_storage from;
    socklen_t from_n = sizeof from;
    ssize_t n = recvfrom(fd, m, 512, MSG_DONTWAIT, (struct sockaddr *)&from, &from_n);
    size_t end = 12;

    if (n < 17)
        return;
    while (m[end] && end + m[end] + 6U <= (size_t)n)
        end += m[end] + 1U;
    end += 5;
    memcpy(m + 2, head, sizeof head);
    m[7] = m[end - 3] == 1 ? n_addrs : 0; /* type A */
    for (int i = 0; i < m[7]; i++, end += sizeof record + 1) {
        memcpy(m + end, record, sizeof record);
        m[end + sizeof record] = last[i];
    }
    sendto(fd, m, end, 0, (struct sockaddr *)&from, from_n);
}

/* M-CON-15: an address where TLS fails, in whatever way, is followed by the next one; what was written meanwhile goes there. */
TEST(an_address_whose_handshake_fails_is_followed_by_the_next)
{
    enum { CLOSES, RESETS, TALKS_NONSENSE, IS_SILENT, WAYS };
    static const struct linger at_once = { 1, 0 };

    for (int way = 0; way < WAYS; way++) {
        struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) }, ns = sa;
        int fd[2], dns = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), peer = -1, first = 0;
        char server[ADDR_TEXT_MAX];
        char *servers[] = { server };
        struct conf_list list = { servers, 1 };
        socklen_t n = sizeof ns;
        struct dial_target to;
        struct listener *second;
        struct addr good;

        set_up();
        CHECK_FATAL(bind(dns, (struct sockaddr *)&ns, sizeof ns) == 0 && getsockname(dns, (struct sockaddr *)&ns, &n) == 0);
        snprintf(server, sizeof server, "127.0.0.1:%u", ntohs(ns.sin_port));
        CHECK_INT(resolver_new(&worker.resolver, worker.loop, &list), TD_OK);
        for (int i = 0; i < 2; i++) { /* one port at both addresses */
            fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
            sa.sin_addr.s_addr = htonl(i ? INADDR_LOOPBACK + 8 : INADDR_LOOPBACK);
            CHECK_FATAL(bind(fd[i], (struct sockaddr *)&sa, sizeof sa) == 0 && listen(fd[i], 1) == 0);
            CHECK_FATAL(getsockname(fd[i], (struct sockaddr *)&sa, &n) == 0);
        }
        to = target("two.test", true);
        to.port = ntohs(sa.sin_port);
        to.verify = TLSIO_VERIFY_NONE;
        call(to);
        conn_write(dialled_end.conn, FIRST_LINE, sizeof FIRST_LINE - 1);
        for (int turn = 0; turn < 10000 && peer < 0; turn++) {
            loop_turn(worker.loop, 1);
            answer_dns(dns, 2);
            for (first = 1; first >= 0 && (peer = accept4(fd[first], NULL, NULL, SOCK_CLOEXEC)) < 0;)
                first--;
        }
        CHECK_FATAL(peer >= 0);
        close(fd[!first]); /* whichever is asked first is the bad one, the other one is ours */
        CHECK_FATAL(addr_from_host(&good, first ? SV("127.0.0.1") : SV("127.0.0.9"), to.port));
        CHECK_FATAL(listener_new(&second, &worker, &good, PORT_TLS, PORT_MSRP) == TD_OK);
        turns(5);
        CHECK_INT(dialled_end.ups + dialled_end.downs, 0);
        switch (way) {
        case RESETS:
            setsockopt(peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
            close(peer);
            break;
        case CLOSES:
            close(peer);
            break;
        case TALKS_NONSENSE:
            say(peer, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
            break;
        case IS_SILENT:
            later(TIMEOUT_MS - 1000);
            CHECK_INT(accepted_end.ups, 0);
            later(1100);
            break;
        }
        wait_until(accepted_end.got.n == sizeof FIRST_LINE - 1);
        CHECK_INT(dialled_end.ups, 1);
        CHECK_INT(dialled_end.downs, 0);
        CHECK_FATAL(accepted_end.conn && dialled_end.conn);
        CHECK(addr_eq(&dialled_end.conn->peer, &good));
        conn_finish(dialled_end.conn, CLOSE_DONE);
        wait_until(open_conns() == 0);
        if (way >= TALKS_NONSENSE)
            close(peer);
        close(fd[first]);
        close(dns);
        listener_free(&second);
        tear_down();
    }
}

static bool note_address(void *arg, const struct addr *a)
{
    char text[ADDR_TEXT_MAX];

    buf_printf(arg, "%s ", addr_host_text(a, text));
    return false; /* the next one */
}

/* M-CON-15: the addresses of a name are walked in the order of the answer. */
TEST(addresses_are_walked_in_order)
{
    struct sockaddr_in ns = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int dns = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char server[ADDR_TEXT_MAX];
    char *servers[] = { server };
    struct buf said = BUF_INIT;
    struct conf_list list = { servers, 1 };
    socklen_t n = sizeof ns;
    struct dial_target to;

    set_up();
    CHECK_FATAL(bind(dns, (struct sockaddr *)&ns, sizeof ns) == 0 && getsockname(dns, (struct sockaddr *)&ns, &n) == 0);
    snprintf(server, sizeof server, "127.0.0.1:%u", ntohs(ns.sin_port));
    CHECK_INT(resolver_new(&worker.resolver, worker.loop, &list), TD_OK);
    to = target("three.test", false);
    to.allow = note_address;
    to.allow_arg = &said;
    call(to);
    for (int turn = 0; turn < 10000 && dialled_end.downs == 0; turn++) {
        loop_turn(worker.loop, 1);
        answer_dns(dns, 3);
    }
    CHECK(sv_eq(buf_sv(&said), SV("127.0.0.9 127.0.0.1 127.0.0.8 ")));
    buf_fini(&said);
    close(dns);
    tear_down();
}

/* M-CON-15: each address has its time, and all of them twice that: the third is not asked any more. */
TEST(a_name_of_many_silent_addresses_is_given_up_after_twice_the_time)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) }, ns = sa;
    int fd[3], silent[2], dns = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), asked = 0;
    char server[ADDR_TEXT_MAX];
    char *servers[] = { server };
    struct conf_list list = { servers, 1 };
    socklen_t n = sizeof ns;
    struct dial_target to;

    set_up();
    CHECK_FATAL(bind(dns, (struct sockaddr *)&ns, sizeof ns) == 0 && getsockname(dns, (struct sockaddr *)&ns, &n) == 0);
    snprintf(server, sizeof server, "127.0.0.1:%u", ntohs(ns.sin_port));
    CHECK_INT(resolver_new(&worker.resolver, worker.loop, &list), TD_OK);
    for (int i = 0; i < 3; i++) { /* one port at all addresses */
        fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (i ? 6 + (unsigned)i : 0));
        CHECK_FATAL(bind(fd[i], (struct sockaddr *)&sa, sizeof sa) == 0 && listen(fd[i], 1) == 0);
        CHECK_FATAL(getsockname(fd[i], (struct sockaddr *)&sa, &n) == 0);
    }
    to = target("three.test", true);
    to.port = ntohs(sa.sin_port);
    call(to);
    for (int round = 0; round < 2; round++) {
        for (int turn = 0; turn < 10000 && asked == round; turn++) {
            loop_turn(worker.loop, 1);
            answer_dns(dns, 3);
            for (int i = 0; i < 3 && asked == round; i++) /* and not a word */
                asked += (silent[round] = accept4(fd[i], NULL, NULL, SOCK_CLOEXEC)) >= 0;
        }
        CHECK_INT(asked, round + 1);
        CHECK_INT(dialled_end.downs, 0);
        later(round ? TIMEOUT_MS - 50 : TIMEOUT_MS + 100);
    }
    CHECK_INT(dialled_end.downs, 1);
    CHECK_INT(dialled_end.why, CLOSE_CONNECT_TIMEOUT);
    for (int i = 0; i < 3; i++) {
        CHECK(accept4(fd[i], NULL, NULL, SOCK_CLOEXEC) < 0);
        close(fd[i]);
    }
    close(silent[0]);
    close(silent[1]);
    close(dns);
    tear_down();
}

/* M-NAT-03 */
TEST(the_kernel_keeps_accepted_and_dialled_connections_alive)
{
    set_up();
    call(target("127.0.0.1", false));
    conn_write(dialled_end.conn, FIRST_LINE, sizeof FIRST_LINE - 1);
    wait_until(accepted_end.ups == 1);
    for (int i = 0; i < 2; i++) {
        int on = 0;
        socklen_t n = sizeof on;

        CHECK_INT(getsockopt((i ? &accepted_end : &dialled_end)->conn->io.fd, SOL_SOCKET, SO_KEEPALIVE, &on, &n), 0);
        CHECK(on != 0);
    }
    tear_down();
}

/* Whoever dials may change its mind at any moment. */
TEST(a_dial_may_be_closed_or_finished_at_any_moment)
{
    struct conf_list none = { 0 };

    for (int finish = 0; finish < 2; finish++)
        for (int tls = 0; tls < 2; tls++)
            for (int after = 0; after < 12; after++) {
                set_up();
                CHECK_INT(resolver_new(&worker.resolver, worker.loop, &none), TD_OK);
                call(target("127.0.0.1", tls));
                conn_write(dialled_end.conn, FIRST_LINE, sizeof FIRST_LINE - 1);
                turns(after);
                CHECK_FATAL(dialled_end.conn != NULL);
                if (finish)
                    conn_finish(dialled_end.conn, CLOSE_DONE);
                else
                    conn_close(dialled_end.conn, CLOSE_DONE);
                CHECK_INT(dialled_end.downs, 1);
                CHECK_INT(dialled_end.why, CLOSE_DONE);
                wait_until(open_conns() == 0);
                CHECK_INT(dialled_end.downs, 1);
                tear_down();
            }
}

/* ---- what strangers do ---- */

/* M-MUX-01 */
TEST(a_client_hello_may_come_octet_by_octet)
{
    struct tlsio_session *t;
    struct buf wire = BUF_INIT;
    int fd;

    set_up();
    fd = stranger();
    CHECK_INT(tlsio_dial(&t, worker.tls, "relay.example", TLSIO_VERIFY_HOST, (tlsio_send_fn *)(void *)buf_add, &wire), TD_OK);
    for (size_t i = 0; i < wire.n; i++) {
        say(fd, wire.p + i, 1);
        turns(1);
    }
    for (int i = 0; i < 1000 && tlsio_state(t) == TLSIO_HANDSHAKING; i++) {
        char in[4096], out[4096];
        ssize_t n = recv(fd, in, sizeof in, 0);
        size_t used;

        if (n > 0)
            tlsio_input(t, in, (size_t)n, &used, out, sizeof out);
        else
            loop_turn(worker.loop, 1);
    }
    CHECK_INT(tlsio_state(t), TLSIO_UP);
    tlsio_free(&t);
    buf_fini(&wire);
    close(fd);
    wait_until(open_conns() == 0);
    tear_down();
}

TEST(silence_half_a_line_and_half_a_handshake_have_their_deadlines)
{
    static const char *const starts[] = { "", "MSRP half", "\x16\x03\x01" };

    for (size_t i = 0; i < TD_ARRAY_LEN(starts); i++) {
        struct buf b;
        int fd;

        set_up();
        worker.first_line_ms = 3000;
        worker.handshake_ms = 2000;
        fd = stranger();
        say(fd, starts[i], strlen(starts[i]));
        turns(5);
        CHECK_INT(open_conns(), 1);
        later(1900);
        CHECK_INT(open_conns(), 1);
        later(1300);
        CHECK_INT(open_conns(), 0);
        b = hear_end(fd);
        CHECK_INT(b.n, 0);
        CHECK_INT(stats_get(&worker.stats, STAT_sniff_failed), 1);
        close(fd);
        tear_down();
    }
}

TEST(a_first_line_without_end_and_a_protocol_not_served_are_refused)
{
    static char line[5000];

    memset(line, 'x', sizeof line);
    for (int i = 0; i < 2; i++) {
        struct buf b;
        int fd;

        set_up();
        fd = stranger();
        if (i == 0)
            say(fd, line, sizeof line);
        else
            say(fd, "OPTIONS sip:a@b SIP/2.0\r\n", 25);
        wait_until(open_conns() == 1 || stats_get(&worker.stats, STAT_sniff_failed) == 1);
        wait_until(stats_get(&worker.stats, STAT_sniff_failed) == 1);
        shutdown(fd, SHUT_WR);
        wait_until(open_conns() == 0);
        if (i == 1) {
            b = hear_end(fd);
            CHECK_INT(b.n, 0);
        }
        close(fd);
        tear_down();
    }
}

/* A record that was changed on the way: the peer is told by an alert, then the stream ends. */
TEST(garbage_instead_of_a_tls_record_is_answered_with_an_alert)
{
    struct buf b;
    int fd;

    set_up();
    fd = stranger();
    say(fd, "\x16\x03\x01\x00\x05\xfe\0\0\1x", 10);
    b = hear_end(fd);
    CHECK(b.n >= 7 && b.p[0] == 0x15); /* content type: alert */
    buf_fini(&b);
    shutdown(fd, SHUT_WR);
    wait_until(open_conns() == 0);
    close(fd);
    tear_down();
}

/* M-SEC-04 */
TEST(the_limit_of_an_address_holds_and_is_given_back)
{
    struct limits *limits;
    struct buf b;
    int fds[3];

    set_up();
    CHECK_INT(limits_new(&limits, 100, 2), TD_OK);
    worker.limits = limits;
    for (int i = 0; i < 3; i++)
        fds[i] = stranger();
    wait_until(stats_get(&worker.stats, STAT_conn_refused_limit) == 1);
    CHECK_INT(open_conns(), 2);
    b = hear_end(fds[2]);
    CHECK_INT(b.n, 0);
    close(fds[0]);
    wait_until(open_conns() == 1);
    close(fds[2]);
    fds[2] = stranger();
    wait_until(open_conns() == 2);
    for (int i = 1; i < 3; i++)
        close(fds[i]);
    wait_until(open_conns() == 0);
    tear_down();
    limits_free(&limits);
}

TEST(a_port_in_use_is_told)
{
    struct listener *second;
    struct addr again;

    set_up();
    again = at;
    CHECK_INT(listener_new(&second, &worker, &again, PORT_TCP, PORT_MSRP), TD_EINUSE);
    CHECK(second == NULL);
    tear_down();
}

/* ---- memory ---- */

static void settle(size_t n)
{
    for (int i = 0; i < 5000 && open_conns() != n; i++)
        loop_turn(worker.loop, 1);
    CHECK_INT(open_conns(), n);
}

TEST(an_idle_connection_takes_less_than_a_kilobyte)
{
    enum { N = 1000 };
    static int fds[N];
    size_t before, each;

    set_up();
    for (int round = 0; round < 2; round++) { /* first to let the tables grow */
        before = mallinfo2().uordblks;
        for (int i = 0; i < N; i++) {
            fds[i] = stranger();
            say(fds[i], FIRST_LINE, sizeof FIRST_LINE - 1);
            settle((size_t)i + 1);
        }
        wait_until(accepted_end.ups == N * (round + 1));
        each = (mallinfo2().uordblks - before) / N;
        for (int i = 0; i < N; i++)
            close(fds[i]);
        settle(0);
    }
    printf("(%zu bytes) ", each);
    CHECK(each < 1024);
    tear_down();
}

SUITE(dial_suite, TEST_ROW(three_megabytes_go_both_ways_over_tcp), TEST_ROW(three_megabytes_go_both_ways_over_tls),
      TEST_ROW(tls_pauses_and_resumes), TEST_ROW(close_notify_from_the_peer_does_not_lose_what_is_queued_for_it),
      TEST_ROW(what_was_said_before_close_notify_is_heard_though_reading_was_paused),
      TEST_ROW(what_was_said_before_close_notify_is_heard_though_the_pause_was_over_at_once),
      TEST_ROW(octets_are_sent_under_tls_though_the_queue_is_never_empty),
      TEST_ROW(a_peer_with_the_wrong_certificate_gets_nothing),
      TEST_ROW(opportunistic_dialling_takes_the_wrong_certificate), TEST_ROW(a_closed_port_fails_the_dial),
      TEST_ROW(an_address_that_is_not_allowed_is_not_connected_to), TEST_ROW(a_literal_that_maps_ipv4_is_the_ipv4_address), TEST_ROW(a_name_is_tried_at_each_of_its_addresses),
      TEST_ROW(a_name_that_cannot_be_resolved_fails_the_dial), TEST_ROW(a_peer_that_never_answers_a_client_hello_is_given_up),
      TEST_ROW(addresses_are_walked_in_order), TEST_ROW(an_address_whose_handshake_fails_is_followed_by_the_next),
      TEST_ROW(a_name_of_many_silent_addresses_is_given_up_after_twice_the_time),
      TEST_ROW(the_kernel_keeps_accepted_and_dialled_connections_alive),
      TEST_ROW(a_dial_may_be_closed_or_finished_at_any_moment), TEST_ROW(a_client_hello_may_come_octet_by_octet),
      TEST_ROW(silence_half_a_line_and_half_a_handshake_have_their_deadlines),
      TEST_ROW(a_first_line_without_end_and_a_protocol_not_served_are_refused),
      TEST_ROW(garbage_instead_of_a_tls_record_is_answered_with_an_alert), TEST_ROW(the_limit_of_an_address_holds_and_is_given_back),
      TEST_ROW(a_port_in_use_is_told), TEST_ROW(an_idle_connection_takes_less_than_a_kilobyte));
