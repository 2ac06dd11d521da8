/* The pump, with the test as client and as SIP process. */
#include "net/pump.h"
#include "tests/unit/harness.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/err.h"
#include "net/listener.h"
#include "net/ws.h"

static const char message[] =
    "MESSAGE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
    "To: <sip:b@c>\r\nCall-ID: x\r\nCSeq: 1 MESSAGE\r\nContent-Length: 4\r\n\r\nbody";
static const char answer[] = "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
                             "To: <sip:b@c>;tag=2\r\nCall-ID: x\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n";

struct rig {
    struct worker w;
    struct pump *pump;
    uint64_t ids;
    int control;        /* its end of the control socket; -1: none */
    int client;         /* our end of the client's connection */
    struct conn *conn;  /* the pump's end */
    struct conn_ref ref;
};

static void turns(struct rig *r, int n)
{
    while (n-- > 0)
        loop_turn(r->w.loop, 5);
}

static void link_up(struct rig *r)
{
    uint16_t ports[PUMP_KIND_N][2] = { [PUMP_TCP] = { 1, 0 }, [PUMP_WS] = { 1, 0 } };
    struct pump_link *link;
    int sv[2];

    CHECK_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == 0);
    CHECK_FATAL(pump_link_new(&link, sv[0], ports) == TD_OK);
    r->control = sv[1];
    pump_link_up(r->pump, link);
    pump_link_unref(&link);
    turns(r, 3);
}

static void link_down(struct rig *r)
{
    close(r->control);
    r->control = -1;
    pump_link_down(r->pump);
    turns(r, 3);
}

static void rig_open_with(struct rig *r, bool with_link, const struct conn_proto *proto)
{
    const struct pump_limits limits = { .idle_ms = 1000, .message_ms = 150, .dial_ms = 1000 };
    struct addr peer, local;
    int sv[2];

    *r = (struct rig){ .control = -1 };
    CHECK_FATAL(worker_init(&r->w, 0, &r->ids) == TD_OK);
    CHECK_FATAL(pump_new(&r->pump, &r->w, &limits) == TD_OK);
    if (with_link)
        link_up(r);
    CHECK_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) == 0);
    CHECK_FATAL(addr_from_text(&peer, SV("192.0.2.1:1234")) && addr_from_text(&local, SV("192.0.2.2:5060")));
    CHECK_FATAL(conn_new(&r->conn, &r->w, sv[0], true, &peer, &local) == TD_OK);
    r->client = sv[1];
    r->ref = conn_ref(r->conn);
    r->w.protos[PROTO_SIP] = (struct proto_slot){ &pump_proto, r->pump };
    r->conn->port_transports = PORT_TCP | PORT_WS;
    r->conn->port_protocols = PORT_SIP;
    conn_set_proto(r->conn, proto, r->pump, NULL);
    if (proto->up)
        proto->up(r->conn);
    turns(r, 3);
}

static void rig_open(struct rig *r, bool with_link)
{
    rig_open_with(r, with_link, &pump_proto);
}

static void rig_close(struct rig *r)
{
    pump_free(&r->pump);
    worker_fini(&r->w);
    close(r->client);
    if (r->control >= 0)
        close(r->control);
}

/* file: what came with it, or -1. */
static bool next_record_with(struct rig *r, struct pump_rec *rec, int *file)
{
    struct iovec iov = { .iov_base = rec, .iov_len = sizeof *rec };
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space };
    ssize_t n = recvmsg(r->control, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;

    *file = -1;
    if (c)
        memcpy(file, CMSG_DATA(c), sizeof *file);
    return n > 0 && pump_rec_check(rec, (size_t)n);
}

static bool next_record(struct rig *r, struct pump_rec *rec)
{
    int file;
    bool got = next_record_with(r, rec, &file);

    CHECK(file < 0);
    return got;
}

/* The SIP process's end of the leg. */
static int leg_of(struct rig *r, struct pump_rec *rec)
{
    int leg;

    CHECK_FATAL(next_record_with(r, rec, &leg));
    CHECK_INT(rec->type, PUMP_ANNOUNCE);
    CHECK_FATAL(leg >= 0);
    return leg;
}

static void put(int fd, const void *p, size_t n)
{
    CHECK_INT(send(fd, p, n, MSG_NOSIGNAL), n);
}

/* What is there to read, NUL-terminated; -1 nothing, 0 end of stream. */
static ssize_t get(int fd, char *out, size_t size)
{
    ssize_t n = recv(fd, out, size - 1, MSG_DONTWAIT);

    out[n > 0 ? n : 0] = '\0';
    return n;
}

TEST(leg_comes_with_the_announcement_of_its_flow)
{
    struct rig r;
    struct pump_rec rec;
    char text[ADDR_TEXT_MAX];
    int leg;

    rig_open(&r, true);
    leg = leg_of(&r, &rec);
    CHECK_INT(rec.conn_id, r.ref.id);
    CHECK_INT(rec.kind, PUMP_TCP);
    CHECK_STR(addr_text(&rec.peer, text), "192.0.2.1:1234");
    CHECK_STR(addr_text(&rec.local, text), "192.0.2.2:5060");
    close(leg);
    rig_close(&r);
}

TEST(only_whole_messages_cross_in_both_directions)
{
    struct rig r;
    struct pump_rec rec;
    char got[4096];
    int leg;

    rig_open(&r, true);
    leg = leg_of(&r, &rec);
    put(r.client, message, sizeof message - 2);
    turns(&r, 3);
    CHECK_INT(get(leg, got, sizeof got), -1);
    put(r.client, message + sizeof message - 2, 1);
    turns(&r, 3);
    CHECK_INT(get(leg, got, sizeof got), sizeof message - 1);
    CHECK_STR(got, message);
    put(leg, answer, 30);
    turns(&r, 3);
    CHECK_INT(get(r.client, got, sizeof got), -1);
    put(leg, answer + 30, sizeof answer - 1 - 30);
    turns(&r, 3);
    CHECK_INT(get(r.client, got, sizeof got), sizeof answer - 1);
    CHECK_STR(got, answer);
    close(leg);
    rig_close(&r);
}

TEST(sip_process_that_dies_costs_half_messages_and_no_client)
{
    struct rig r;
    struct pump_rec rec;
    char got[4096];
    int leg;

    rig_open(&r, true);
    leg = leg_of(&r, &rec);
    put(r.client, message, 100);
    put(leg, answer, 50);
    turns(&r, 3);
    close(leg);
    link_down(&r);
    CHECK_INT(get(r.client, got, sizeof got), -1); /* neither closed nor given half an answer */
    put(r.client, message + 100, sizeof message - 1 - 100);
    turns(&r, 3);
    link_up(&r);
    leg = leg_of(&r, &rec);
    CHECK_INT(rec.conn_id, r.ref.id); /* the same flow */
    turns(&r, 3);
    CHECK_INT(get(leg, got, sizeof got), sizeof message - 1);
    CHECK_STR(got, message);
    put(leg, answer, sizeof answer - 1);
    turns(&r, 3);
    CHECK_INT(get(r.client, got, sizeof got), sizeof answer - 1);
    close(leg);
    rig_close(&r);
}

TEST(clients_without_a_sip_process_wait_for_one)
{
    struct rig r;
    struct pump_rec rec;
    char got[4096];
    int leg;

    rig_open(&r, false);
    put(r.client, message, sizeof message - 1);
    turns(&r, 5);
    CHECK(conn_deref(&r.w, r.ref) != NULL);
    link_up(&r);
    leg = leg_of(&r, &rec);
    turns(&r, 3);
    CHECK_INT(get(leg, got, sizeof got), sizeof message - 1);
    close(leg);
    rig_close(&r);
}

TEST(ended_leg_is_asked_about_and_only_a_yes_closes_the_client)
{
    struct rig r;
    struct pump_rec rec;
    char got[64];
    int leg;

    rig_open(&r, true);
    leg = leg_of(&r, &rec);
    close(leg);
    turns(&r, 3);
    CHECK_FATAL(next_record(&r, &rec));
    CHECK_INT(rec.type, PUMP_ASK);
    CHECK_INT(rec.conn_id, r.ref.id);
    CHECK_INT(get(r.client, got, sizeof got), -1);
    rec.type = PUMP_GONE;
    pump_tell(r.pump, &rec);
    turns(&r, 3);
    CHECK_INT(get(r.client, got, sizeof got), 0);
    CHECK(conn_deref(&r.w, r.ref) == NULL);
    CHECK_FATAL(next_record(&r, &rec));
    CHECK_INT(rec.type, PUMP_CLOSED);
    rig_close(&r);
}

TEST(client_that_goes_takes_its_leg_along_and_is_reported)
{
    struct rig r;
    struct pump_rec rec;
    char got[64];
    int leg;

    rig_open(&r, true);
    leg = leg_of(&r, &rec);
    shutdown(r.client, SHUT_RDWR);
    turns(&r, 4);
    CHECK_INT(get(leg, got, sizeof got), 0);
    CHECK_FATAL(next_record(&r, &rec));
    CHECK_INT(rec.type, PUMP_CLOSED);
    CHECK_INT(rec.conn_id, r.ref.id);
    close(leg);
    turns(&r, 2);
    rig_close(&r);
}

/* RFC 3261 s.18.2.2: it has asked, and says that it sends no more. */
static int half_close(struct rig *r)
{
    struct pump_rec rec;
    char got[1024];
    int leg = leg_of(r, &rec);

    put(r->client, message, sizeof message - 1);
    turns(r, 4);
    CHECK_INT(get(leg, got, sizeof got), sizeof message - 1);
    shutdown(r->client, SHUT_WR);
    turns(r, 4);
    CHECK_FATAL(next_record(r, &rec));
    CHECK_INT(rec.type, PUMP_ENDING);
    CHECK_INT(rec.conn_id, r->ref.id);
    CHECK_INT(get(r->client, got, sizeof got), 2); /* the empty line */
    return leg;
}

/* S-VIA-05 */
TEST(client_that_closes_its_half_gets_the_answer_and_then_its_end)
{
    static const char trying[] = "SIP/2.0 100 Trying\r\nContent-Length: 0\r\n\r\n";
    struct rig r;
    struct pump_rec rec;
    char got[1024];
    int leg;

    rig_open(&r, true);
    leg = half_close(&r);
    put(leg, trying, sizeof trying - 1);
    turns(&r, 4);
    CHECK_INT(get(r.client, got, sizeof got), sizeof trying - 1);
    put(leg, answer, sizeof answer - 1);
    turns(&r, 4);
    CHECK_INT(get(r.client, got, sizeof got), sizeof answer - 1);
    CHECK_INT(get(r.client, got, sizeof got), 0);
    CHECK(conn_deref(&r.w, r.ref) == NULL);
    CHECK_FATAL(next_record(&r, &rec));
    CHECK_INT(rec.type, PUMP_CLOSED);
    CHECK_INT(get(leg, got, sizeof got), 0);
    close(leg);
    rig_close(&r);
}

TEST(client_that_closes_its_half_and_is_never_answered_ends_after_64_T1)
{
    struct rig r;
    struct pump_rec rec;
    char got[64];
    int leg;

    rig_open(&r, true);
    leg = half_close(&r);
    wheel_advance(loop_wheel(r.w.loop), loop_now_ms(r.w.loop) + 31500);
    turns(&r, 1);
    CHECK(conn_deref(&r.w, r.ref) != NULL);
    wheel_advance(loop_wheel(r.w.loop), loop_now_ms(r.w.loop) + 32100);
    turns(&r, 2);
    CHECK(conn_deref(&r.w, r.ref) == NULL);
    CHECK_FATAL(next_record(&r, &rec));
    CHECK_INT(rec.type, PUMP_CLOSED);
    CHECK_INT(get(r.client, got, sizeof got), 0);
    close(leg);
    rig_close(&r);
}

TEST(client_that_has_closed_its_half_ends_with_the_sip_process)
{
    struct rig r;
    char got[64];
    int leg;

    rig_open(&r, true);
    leg = half_close(&r);
    close(leg);
    link_down(&r);
    turns(&r, 2);
    CHECK(conn_deref(&r.w, r.ref) == NULL);
    CHECK_INT(get(r.client, got, sizeof got), 0);
    rig_close(&r);
}

/* Else whoever goes there later would wait for the same answer, that never comes. */
TEST(failed_connection_is_told_when_the_control_socket_has_room_again)
{
    uint16_t ports[PUMP_KIND_N][2] = { [PUMP_TCP] = { 1, 0 } };
    struct pump_rec rec = { .type = PUMP_DIAL, .kind = PUMP_TCP, .dial_id = 77 };
    struct pump_link *link;
    struct sockaddr_storage ss = { 0 };
    socklen_t len = sizeof ss;
    struct rig r;
    int sv[2], fill, deaf = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), n = 0;

    rig_open(&r, false);
    CHECK_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) == 0);
    fill = dup(sv[0]);
    CHECK_FATAL(pump_link_new(&link, sv[0], ports) == TD_OK);
    r.control = sv[1];
    pump_link_up(r.pump, link);
    pump_link_unref(&link);
    turns(&r, 3);
    close(leg_of(&r, &(struct pump_rec){ 0 }));
    CHECK_FATAL(addr_from_text(&rec.peer, SV("127.0.0.1:0")) && bind(deaf, &rec.peer.sa, addr_len(&rec.peer)) == 0);
    CHECK_FATAL(getsockname(deaf, (struct sockaddr *)&ss, &len) == 0);
    addr_from_socket(&rec.peer, &ss); /* bound, and nobody listens there */
    while (send(fill, "x", 1, MSG_NOSIGNAL) == 1)
        n++;
    CHECK(n > 0 && errno == EAGAIN);
    pump_tell(r.pump, &rec);
    turns(&r, 10);
    for (char c; n > 0; n--)
        CHECK_INT(recv(r.control, &c, 1, MSG_DONTWAIT), 1);
    for (int i = 0; i < 200 && !(next_record(&r, &rec) && rec.type == PUMP_DIAL_FAILED); i++)
        turns(&r, 1);
    CHECK_INT(rec.type, PUMP_DIAL_FAILED);
    CHECK_INT(rec.dial_id, 77);
    close(fill);
    close(deaf);
    rig_close(&r);
}

/* S-OUT-10 */
TEST(double_crlf_gets_one_crlf)
{
    struct rig r;
    struct pump_rec rec;
    char got[64];
    int leg;

    rig_open(&r, true);
    leg = leg_of(&r, &rec);
    put(r.client, "\r\n\r", 3);
    turns(&r, 3);
    CHECK_INT(get(r.client, got, sizeof got), -1);
    put(r.client, "\n", 1);
    turns(&r, 3);
    CHECK_INT(get(r.client, got, sizeof got), 2);
    CHECK_INT(get(leg, got, sizeof got), -1);
    close(leg);
    rig_close(&r);
}

/* What waits for a SIP process that reads nothing is bounded by the sockets and a few messages. */
TEST(full_leg_pauses_its_client)
{
    struct rig r;
    struct pump_rec rec;
    size_t sent = 0;
    char got[65536];
    int leg, idle = 0;
    ssize_t n;

    rig_open(&r, true);
    leg = leg_of(&r, &rec);
    while (idle < 20 && sent < (8u << 20)) {
        n = send(r.client, message, sizeof message - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n == (ssize_t)sizeof message - 1) {
            sent += (size_t)n;
            idle = 0;
        } else {
            CHECK_FATAL(n < 0 && errno == EAGAIN);
            turns(&r, 1);
            idle++;
        }
    }
    CHECK(sent < (8u << 20));
    CHECK(r.conn->pauses & CONN_PAUSE_PUMP);
    CHECK(r.conn->kept_n <= 256 * 1024);
    for (size_t read = 0; read < sent;) { /* and all of it comes when it reads again */
        turns(&r, 1);
        n = get(leg, got, sizeof got);
        CHECK_FATAL(n != 0);
        read += n > 0 ? (size_t)n : 0;
    }
    close(leg);
    rig_close(&r);
}

/* Turns until the client's connection has ended; one waits up to 5 ms for the next event. */
static bool is_ended(struct rig *r)
{
    char got[64];

    for (int i = 0; i < 2000; i++) {
        if (get(r->client, got, sizeof got) == 0)
            return true;
        turns(r, 1);
    }
    return false;
}

TEST(unfinished_message_and_silence_end_the_client)
{
    struct rig r;
    struct pump_rec rec;
    int leg;

    rig_open(&r, true);
    leg = leg_of(&r, &rec);
    put(r.client, message, 20);
    CHECK(is_ended(&r));
    close(leg);
    rig_close(&r);

    rig_open(&r, true);
    leg = leg_of(&r, &rec);
    CHECK(is_ended(&r));
    close(leg);
    rig_close(&r);
}

/* S-TRN-04: the idle time, ten minutes in the server, begins with the last use. */
TEST(a_flow_is_kept_for_the_idle_time_after_its_last_use)
{
    struct rig r;
    struct pump_rec rec;
    uint64_t used_ms;
    int leg;

    rig_open(&r, true);
    leg = leg_of(&r, &rec);
    turns(&r, 30);
    put(r.client, "\r\n\r\n", 4);
    turns(&r, 1);
    used_ms = loop_now_ms(r.w.loop);
    CHECK(is_ended(&r));
    CHECK(loop_now_ms(r.w.loop) - used_ms >= 990); /* of 1000; a tick of the wheel is 10 */
    close(leg);
    rig_close(&r);
}

/* The refused body is skipped as it comes; what follows passes. */
TEST(refused_message_is_answered_skipped_and_the_next_one_passes)
{
    struct rig r;
    struct pump_rec rec;
    struct buf big = BUF_INIT;
    char got[4096];
    int leg;

    rig_open(&r, true);
    leg = leg_of(&r, &rec);
    buf_printf(&big,
               "MESSAGE sip:b SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nFrom: <sip:a>;tag=1\r\nTo: <sip:b>\r\nCall-ID: x\r\n"
               "CSeq: 1 MESSAGE\r\nContent-Length: 70000\r\n\r\n");
    put(r.client, big.p, big.n);
    turns(&r, 2);
    for (int i = 0; i < 70; i++) {
        memset(got, 'x', 1000);
        put(r.client, got, 1000);
        turns(&r, 1);
    }
    put(r.client, message, sizeof message - 1);
    turns(&r, 3);
    CHECK(get(r.client, got, sizeof got) > 0);
    CHECK(strncmp(got, "SIP/2.0 513 ", 12) == 0);
    CHECK_INT(get(leg, got, sizeof got), sizeof message - 1);
    CHECK_STR(got, message);
    buf_fini(&big);
    close(leg);
    rig_close(&r);
}

/* ---- WebSocket ---- */

enum { FIN = 0x80, CONT = 0, TEXT = 1, BINARY = 2, CLOSE = 8 };

static const char bare[] = "MESSAGE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/WS h.invalid;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
                           "To: <sip:b@c>\r\nCall-ID: x\r\nCSeq: 1 MESSAGE\r\n\r\nbody"; /* no Content-Length */

/* A client that has shaken hands. */
static int rig_open_ws(struct rig *r)
{
    static const char handshake[] = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n";
    struct pump_rec rec;
    char got[1024];
    int leg;

    rig_open_with(r, true, &wsio_proto);
    put(r->client, handshake, sizeof handshake - 1);
    turns(r, 3);
    CHECK(get(r->client, got, sizeof got) > 0);
    CHECK(strncmp(got, "HTTP/1.1 101 ", 13) == 0);
    leg = leg_of(r, &rec);
    CHECK_INT(rec.kind, PUMP_WS);
    CHECK_INT(rec.conn_id, r->ref.id);
    return leg;
}

/* Masked with zeros. */
static void put_frame(struct rig *r, int first, const char *p, size_t n)
{
    const uint8_t small[6] = { (uint8_t)first, (uint8_t)(0x80 | n) }, large[8] = { (uint8_t)first, 0x80 | 126, (uint8_t)(n >> 8), (uint8_t)n };

    put(r->client, n < 126 ? small : large, n < 126 ? sizeof small : sizeof large);
    if (n)
        put(r->client, p, n);
    turns(r, 3);
}

/* The next message that the client gets: its payload in out; its opcode, or -1 when there is none. */
static int get_frame(struct rig *r, char *out, size_t size)
{
    uint8_t head[4];
    size_t n;

    if (recv(r->client, head, 2, MSG_DONTWAIT) != 2)
        return -1;
    n = head[1];
    if (n == 126) {
        CHECK_FATAL(recv(r->client, head + 2, 2, MSG_DONTWAIT) == 2);
        n = (size_t)head[2] << 8 | head[3];
    }
    CHECK_FATAL(n < size);
    CHECK_INT(recv(r->client, out, n, MSG_DONTWAIT), n);
    out[n] = '\0';
    return head[0] & 15;
}

/* S-WS-02, S-WS-03 */
TEST(one_message_of_a_websocket_is_one_message_of_the_leg)
{
    static const char with_length[] = "MESSAGE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/WS h.invalid;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
                                      "To: <sip:b@c>\r\nCall-ID: x\r\nCSeq: 1 MESSAGE\r\nContent-Length: 4\r\n\r\nbody";
    static const char latin1[] = "SIP/2.0 200 OK\r\nVia: SIP/2.0/WS h.invalid\r\nContent-Length: 1\r\n\r\n\xe4";
    char got[4096];
    struct rig r;
    int leg = rig_open_ws(&r);

    put_frame(&r, TEXT, bare, 50);
    put_frame(&r, CONT, bare + 50, 100);
    CHECK_INT(get(leg, got, sizeof got), -1);
    put_frame(&r, FIN | CONT, bare + 150, sizeof bare - 1 - 150);
    CHECK_INT(get(leg, got, sizeof got), sizeof with_length - 1);
    CHECK_STR(got, with_length);
    put_frame(&r, FIN | BINARY, message, sizeof message - 1);
    CHECK_INT(get(leg, got, sizeof got), sizeof message - 1);
    CHECK_STR(got, message);
    put(leg, answer, 30);
    turns(&r, 3);
    CHECK_INT(get_frame(&r, got, sizeof got), -1);
    put(leg, answer + 30, sizeof answer - 1 - 30);
    put(leg, latin1, sizeof latin1 - 1);
    turns(&r, 3);
    CHECK_INT(get_frame(&r, got, sizeof got), TEXT);
    CHECK_STR(got, answer);
    CHECK_INT(get_frame(&r, got, sizeof got), BINARY);
    CHECK_STR(got, latin1);
    CHECK_INT(get_frame(&r, got, sizeof got), -1);
    close(leg);
    rig_close(&r);
}

/* S-WS-02, S-OUT-10: nothing is nothing, two CRLF are a ping; what can be answered is; two in one and a part end it. */
TEST(what_is_no_message_does_not_reach_the_leg)
{
    static const char *const bad[] = { "two", "part" };
    char got[4096];
    struct rig r;

    for (int i = 0; i < 2; i++) {
        int leg = rig_open_ws(&r);
        struct buf text = BUF_INIT;

        put_frame(&r, FIN | TEXT, "", 0);
        put_frame(&r, FIN | TEXT, "\r\n", 2);
        CHECK_INT(get_frame(&r, got, sizeof got), -1);
        put_frame(&r, FIN | TEXT, "\r\n\r\n", 4);
        CHECK_INT(get_frame(&r, got, sizeof got), TEXT);
        CHECK_STR(got, "\r\n");
        buf_add(&text, message, sizeof message - 2); /* one octet short: its Content-Length is wrong */
        put_frame(&r, FIN | TEXT, text.p, text.n);
        CHECK_INT(get_frame(&r, got, sizeof got), TEXT);
        CHECK(strncmp(got, "SIP/2.0 400 ", 12) == 0);
        buf_clear(&text);
        buf_add(&text, message, i == 0 ? sizeof message - 1 : 40);
        if (i == 0)
            buf_add(&text, message, sizeof message - 1);
        put_frame(&r, FIN | TEXT, text.p, text.n);
        while (get_frame(&r, got, sizeof got) == TEXT)
            ;
        if (memcmp(got, "\x03\xea", 2) != 0) /* 1002 */
            printf("%s\n", bad[i]);
        CHECK(memcmp(got, "\x03\xea", 2) == 0);
        CHECK(get(leg, got, sizeof got) <= 0);
        buf_fini(&text);
        close(leg);
        rig_close(&r);
    }
}

TEST(websocket_gets_its_share_of_a_turn_and_the_rest_in_the_next_ones)
{
    enum { N = 40 };
    char got[65536];
    struct buf all = BUF_INIT;
    struct rig r;
    int leg = rig_open_ws(&r);
    size_t first, read;

    for (int i = 0; i < N; i++) {
        const uint8_t head[8] = { FIN | TEXT, 0x80 | 126, 1024 >> 8, 0 };

        buf_add(&all, head, sizeof head);
        buf_add(&all, bare, sizeof bare - 1);
        for (size_t n = sizeof bare - 1; n < 1024; n++)
            buf_putc(&all, 'x');
    }
    put(r.client, all.p, all.n);
    turns(&r, 1);
    read = first = (size_t)TD_MAX(get(leg, got, sizeof got), (ssize_t)0);
    for (int i = 0; i < 50 && read < N * 1024; i++) {
        turns(&r, 1);
        read += (size_t)TD_MAX(get(leg, got, sizeof got), (ssize_t)0);
    }
    CHECK(first <= 10 * 1100);
    CHECK_INT(read, N * (1024 + sizeof "Content-Length: 888\r\n" - 1));
    buf_fini(&all);
    close(leg);
    rig_close(&r);
}

/* S-WS-07: the page's socket is the same, and what it says meanwhile waits. */
TEST(websocket_outlives_the_sip_process)
{
    char got[4096];
    struct pump_rec rec;
    struct rig r;
    int leg = rig_open_ws(&r);

    put(leg, answer, 50); /* half an answer, which is never passed on */
    turns(&r, 3);
    close(leg);
    link_down(&r);
    put_frame(&r, FIN | TEXT, message, sizeof message - 1);
    CHECK_INT(get_frame(&r, got, sizeof got), -1);
    link_up(&r);
    leg = leg_of(&r, &rec);
    CHECK_INT(rec.kind, PUMP_WS);
    CHECK_INT(rec.conn_id, r.ref.id);
    turns(&r, 3);
    CHECK_INT(get(leg, got, sizeof got), sizeof message - 1);
    put(leg, answer, sizeof answer - 1);
    turns(&r, 3);
    CHECK_INT(get_frame(&r, got, sizeof got), TEXT);
    CHECK_STR(got, answer);
    close(leg);
    rig_close(&r);
}

SUITE(pump_suite, TEST_ROW(one_message_of_a_websocket_is_one_message_of_the_leg), TEST_ROW(what_is_no_message_does_not_reach_the_leg),
      TEST_ROW(websocket_gets_its_share_of_a_turn_and_the_rest_in_the_next_ones), TEST_ROW(websocket_outlives_the_sip_process),
       TEST_ROW(leg_comes_with_the_announcement_of_its_flow),
      TEST_ROW(only_whole_messages_cross_in_both_directions),
      TEST_ROW(sip_process_that_dies_costs_half_messages_and_no_client),
      TEST_ROW(clients_without_a_sip_process_wait_for_one),
      TEST_ROW(ended_leg_is_asked_about_and_only_a_yes_closes_the_client),
      TEST_ROW(client_that_goes_takes_its_leg_along_and_is_reported), TEST_ROW(client_that_closes_its_half_gets_the_answer_and_then_its_end),
      TEST_ROW(client_that_closes_its_half_and_is_never_answered_ends_after_64_T1), TEST_ROW(client_that_has_closed_its_half_ends_with_the_sip_process),
      TEST_ROW(failed_connection_is_told_when_the_control_socket_has_room_again), TEST_ROW(double_crlf_gets_one_crlf),
      TEST_ROW(full_leg_pauses_its_client), TEST_ROW(unfinished_message_and_silence_end_the_client),
      TEST_ROW(a_flow_is_kept_for_the_idle_time_after_its_last_use),
      TEST_ROW(refused_message_is_answered_skipped_and_the_next_one_passes));
