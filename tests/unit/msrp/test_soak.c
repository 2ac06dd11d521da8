/* Three clients send each other random messages in random chunks and read at random paces; every octet is accounted
 * for.
 *
 * M-CHK-08, M-CHK-12, M-FAIR-04, M-FAIR-06, M-FWD-20, M-FWD-21, M-FLOW-01, M-FRM-16, M-FRM-18 all at once. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "msrp/frame.h"
#include "tests/unit/msrp/rig.h"

enum { CLIENTS = 3, MESSAGES = 500, BODY_MAX = 60000, OPEN_MAX = 3 };

struct message {
    int from, to;
    char *body; /* owned */
    size_t size, said, heard;
    const char *failure; /* header line or "" */
    bool complete;
};

struct client {
    struct peer *peer;
    struct buf out; /* owned: still to be written */
    int open[OPEN_MAX]; /* messages being said; -1: none */
    unsigned wants, answers; /* chunks to be answered with 200, and those that were */
    unsigned reports; /* REPORTs said to it by the others, and heard */
    unsigned reports_heard;
};

static struct rig r;
static struct message messages[MESSAGES];
static struct client clients[CLIENTS];
static uint32_t seed;
static int next_message, next_tid;
static bool good;

static uint32_t draw(uint32_t below)
{
    seed = seed * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)seed * below) >> 32);
}

static void fill(char *p, size_t n)
{
    static const char *const bits[] = {
        "\r\n", "-------", "\r\n-------", "$\r\n", "zzzz", "\r\n-------zzzz$\r\n", "-", "MSRP abcd SEND\r\n"
    };

    for (size_t i = 0; i < n;) {
        const char *bit = bits[draw(TD_ARRAY_LEN(bits))];
        size_t len = strlen(bit);

        if (draw(3) == 0 && i + len <= n) {
            memcpy(p + i, bit, len);
            i += len;
        } else {
            p[i++] = (char)draw(256);
        }
    }
}

static void new_message(int id, int from)
{
    static const char *const failures[] = { "", "Failure-Report: yes\r\n", "Failure-Report: partial\r\n",
                                            "Failure-Report: no\r\n" };
    struct message *m = &messages[id];

    *m = (struct message){ .from = from,
                           .to = (from + 1 + (int)draw(CLIENTS - 1)) % CLIENTS,
                           .failure = failures[draw(4)] };
    m->size = draw(4) ? draw(3000) : draw(BODY_MAX);
    m->body = malloc(m->size + 1);
    CHECK_FATAL(m->body != NULL);
    fill(m->body, m->size);
}

/* One more chunk of one of this client's messages. */
static void say_chunk(int who)
{
    struct client *c = &clients[who];
    int *slot = &c->open[draw(OPEN_MAX)];
    struct message *m;
    size_t n;
    char end[24], tid[16], flag;

    if (*slot < 0) {
        if (next_message == MESSAGES)
            return;
        new_message(next_message, who);
        *slot = next_message++;
    }
    m = &messages[*slot];
    n = draw(2) ? m->size - m->said : draw((uint32_t)(m->size - m->said) + 1);
    flag = m->said + n == m->size ? '$' : '+';
    snprintf(tid, sizeof tid, "t%06d", next_tid++);
    snprintf(end, sizeof end, n <= 2048 && draw(2) ? "%zu" : "*", m->said + n);
    buf_printf(&c->out,
               "MSRP %s SEND\r\nTo-Path: %s %s %s\r\nFrom-Path: %s\r\nMessage-ID: m-%05d\r\n%sByte-Range: "
               "%zu-%s/%zu\r\nContent-Type: a/b\r\n\r\n",
               tid, r.var['U' + who], r.var['U' + m->to], r.var['A' + m->to], r.var['A' + who], *slot, m->failure,
               m->said + 1, end, m->size);
    buf_add(&c->out, m->body + m->said, n);
    buf_printf(&c->out, "\r\n-------%s%c\r\n", tid, flag);
    m->said += n;
    c->wants += m->failure[0] == '\0' || strstr(m->failure, "yes") != NULL;
    if (flag == '$')
        *slot = -1;
}

/* A frame has come to this client. */
static void heard(int who, const struct heard *h)
{
    struct client *c = &clients[who];
    struct sv id = heard_header(h, "Message-ID"), range = heard_header(h, "Byte-Range");
    uint64_t number = MESSAGES, start = 0;
    struct message *m;

    if (sv_starts(sv_from(h->start, 5 + h->tid.n), SV(" 200 OK"))) {
        c->answers++;
        good &= h->tid.p[0] == 't';
        return;
    }
    if (sv_starts(sv_from(h->start, 5 + h->tid.n), SV(" REPORT"))) {
        good &= sv_eq(heard_header(h, "Status"), SV("000 200 OK"));
        c->reports_heard++;
        return;
    }
    good &= sv_starts(sv_from(h->start, 5 + h->tid.n), SV(" SEND")) && sv_to_u64(sv_from(id, 2), &number, NULL) &&
            number < MESSAGES;
    if (number >= MESSAGES)
        return;
    m = &messages[number];
    good &= sv_to_u64(sv_upto(range, sv_find(range, '-')), &start, NULL) && start == m->heard + 1 && m->to == who &&
            !m->complete;
    good &= m->heard + h->body.n <= m->size && h->has_body;
    if (!good)
        return;
    good &= h->body.n == 0 || memcmp(m->body + m->heard, h->body.p, h->body.n) == 0;
    m->heard += h->body.n;
    m->complete = h->flag == '$';
    good &= h->flag == (m->complete ? '$' : '+') && m->complete == (m->heard == m->size && m->complete);
    if (m->failure[0] == '\0' || strstr(m->failure, "yes") || draw(2))
        buf_printf(&c->out, "MSRP " SV_FMT " 200 OK\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------" SV_FMT "$\r\n",
                   SV_ARG(h->tid), r.var['U' + who], r.var['A' + who], SV_ARG(h->tid));
    if (m->complete && draw(2)) {
        buf_printf(&c->out,
                   "MSRP r%06d REPORT\r\nTo-Path: %s %s %s\r\nFrom-Path: %s\r\nMessage-ID: " SV_FMT
                   "\r\nStatus: 000 200 OK\r\n-------r%06d$\r\n",
                   next_tid, r.var['U' + who], r.var['U' + m->from], r.var['A' + m->from], r.var['A' + who], SV_ARG(id),
                   next_tid);
        next_tid++;
        clients[m->from].reports++;
    }
}

static bool is_done(void)
{
    if (next_message < MESSAGES)
        return false;
    for (int i = 0; i < MESSAGES; i++)
        if (!messages[i].complete)
            return false;
    for (int i = 0; i < CLIENTS; i++)
        if (clients[i].out.n || clients[i].answers < clients[i].wants || clients[i].reports_heard < clients[i].reports)
            return false;
    return true;
}

static void step(void)
{
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &clients[i];
        struct heard h;

        if (c->out.n < 20000)
            say_chunk(i);
        if (c->out.n && draw(4)) {
            ssize_t n = send(c->peer->fd, c->out.p, 1 + draw((uint32_t)TD_MIN(c->out.n, (size_t)40000)),
                             MSG_DONTWAIT | MSG_NOSIGNAL);

            if (n > 0)
                buf_drop_front(&c->out, (size_t)n);
        }
        if (draw(3))
            peer_read(c->peer, draw(2) ? draw(200) : draw(100000));
        while (good && peer_frame(c->peer, &h))
            heard(i, &h);
        good &= !c->peer->ended;
    }
    rig_wait(&r, 0);
}

TEST(random_traffic_arrives_whole_in_order_and_answered_once)
{
    for (uint32_t round = 1; round <= 2; round++) {
        int steps = 0;

        rig_start(&r, NULL);
        seed = round;
        next_message = next_tid = 0;
        good = true;
        for (int i = 0; i < CLIENTS; i++) {
            clients[i] = (struct client){ .out = BUF_INIT, .open = { -1, -1, -1 } };
            snprintf(r.var['A' + i], RIG_VAR_MAX, "msrp://client%d.invalid:9/c%d;tcp", i, i);
            clients[i].peer = rig_peer(&r);
            say_auth(clients[i].peer, (char)('A' + i), (char)('U' + i));
        }
        while (good && !is_done() && steps < 200000)
            steps++, step();
        CHECK(good);
        CHECK(is_done());
        rig_turn(&r);
        for (int i = 0; i < CLIENTS; i++) {
            CHECK_INT(clients[i].answers, clients[i].wants);
            EXPECT_NOTHING(clients[i].peer);
            buf_fini(&clients[i].out);
        }
        CHECK_INT(rig_stat(&r, STAT_msrp_chunks), 0);
        CHECK_INT(rig_stat(&r, STAT_msrp_refused), 0);
        rig_pass(&r, 31000);
        CHECK_INT(rig_stat(&r, STAT_msrp_transactions), 0);
        for (int i = 0; i < CLIENTS; i++)
            EXPECT_NOTHING(clients[i].peer); /* nothing was left to time out */
        for (int i = 0; i < next_message; i++)
            free(messages[i].body);
        rig_stop(&r);
    }
}

/* ---- peers that come and go ---- */

enum { GUESTS = 6 };

static struct guest {
    struct peer *peer; /* NULL: not there */
    struct buf out; /* owned */
} guests[GUESTS];

static void arrive(int who)
{
    guests[who].peer = rig_peer(&r);
    say_auth(guests[who].peer, (char)('G' + who), (char)('U' + who));
}

static void leave(int who)
{
    if (draw(2))
        peer_reset(guests[who].peer);
    else
        peer_close(guests[who].peer);
    guests[who].peer = NULL;
    buf_clear(&guests[who].out);
}

/* A frame of any kind, to a token that may have died. */
static void say_anything(int who)
{
    static const char *const methods[] = { "SEND", "SEND", "SEND", "SEND", "REPORT", "NICKNAME", "AUTH" };
    static const char *const failures[] = { "", "Failure-Report: partial\r\n", "Failure-Report: no\r\n" };
    struct guest *g = &guests[who];
    const char *method = methods[draw(TD_ARRAY_LEN(methods))];
    int to = (int)draw(GUESTS);
    size_t n = method[0] != 'S' ? draw(200) : draw(3) ? draw(5000) : draw(BODY_MAX);
    static char body[BODY_MAX];

    if (!r.var['U' + to][0])
        return;
    fill(body, n);
    buf_printf(&g->out, "MSRP t%06d %s\r\nTo-Path: %s %s %s\r\nFrom-Path: %s\r\nMessage-ID: m-%05u\r\n%s", next_tid,
               method, r.var['U' + who], r.var['U' + to], r.var['G' + to], r.var['G' + who], draw(50),
               failures[draw(3)]);
    if (draw(5)) {
        buf_puts(&g->out, "Content-Type: a/b\r\n\r\n");
        buf_add(&g->out, body, n);
        buf_puts(&g->out, "\r\n");
    }
    buf_printf(&g->out, "-------t%06d%c\r\n", next_tid, method[0] == 'S' ? "$+#"[draw(3)] : '$');
    next_tid++;
}

static void answer_anything(int who, const struct heard *h)
{
    static const unsigned statuses[] = { 200, 200, 200, 413, 481, 999 };

    if (sv_starts(sv_from(h->start, 5 + h->tid.n), SV(" REPORT")) || h->start.p[6 + h->tid.n] <= '9' || draw(3) == 0)
        return;
    buf_printf(&guests[who].out, "MSRP " SV_FMT " %u x\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------" SV_FMT "$\r\n",
               SV_ARG(h->tid), statuses[draw(TD_ARRAY_LEN(statuses))], r.var['U' + who], r.var['G' + who],
               SV_ARG(h->tid));
}

static void live(int who)
{
    struct guest *g = &guests[who];
    struct heard h;

    if (!g->peer) {
        if (draw(10) == 0)
            arrive(who);
        return;
    }
    if (g->out.n < 30000 && draw(2))
        say_anything(who);
    if (g->out.n && draw(3)) {
        uint32_t some = 1 + draw((uint32_t)TD_MIN(g->out.n, draw(2) ? (size_t)500 : (size_t)60000));
        ssize_t n = send(g->peer->fd, g->out.p, some, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n > 0)
            buf_drop_front(&g->out, (size_t)n);
    }
    if (draw(2))
        peer_read(g->peer, draw(2) ? draw(300) : draw(100000));
    while (peer_frame(g->peer, &h))
        answer_anything(who, &h);
    if (g->peer->ended || draw(150) == 0)
        leave(who);
}

/* M-CHK-14, M-CON-10, M-REP-04, M-TMR-05: whatever was open when they left is over, and nothing of it stays. */
TEST(peers_that_come_and_go_at_random_moments_leave_nothing_behind)
{
    rig_start(&r, NULL);
    seed = 99;
    next_tid = 0;
    for (int i = 0; i < GUESTS; i++) {
        guests[i] = (struct guest){ .out = BUF_INIT };
        snprintf(r.var['G' + i], RIG_VAR_MAX, "msrp://client%d.invalid:9/c%d;tcp", i, i);
    }
    for (int step = 0; step < 6000; step++) {
        for (int i = 0; i < GUESTS; i++)
            live(i);
        rig_wait(&r, 0);
        if (draw(200) == 0)
            rig_pass(&r, draw(20000));
    }
    CHECK(rig_stat(&r, STAT_msrp_forwarded) > 1000);
    for (int i = 0; i < GUESTS; i++) {
        if (guests[i].peer)
            leave(i);
        buf_fini(&guests[i].out);
    }
    rig_pass(&r, 61000); /* nobody resumes a token */
    CHECK_INT(rig_stat(&r, STAT_conn_open), 0);
    CHECK_INT(rig_stat(&r, STAT_sessions), 0);
    CHECK_INT(rig_stat(&r, STAT_msrp_transactions), 0);
    CHECK_INT(rig_stat(&r, STAT_msrp_chunks), 0);
    CHECK_INT(session_table_count(r.shared->sessions), 0);
    rig_stop(&r);
}

SUITE(soak_suite, TEST_ROW(random_traffic_arrives_whole_in_order_and_answered_once),
      TEST_ROW(peers_that_come_and_go_at_random_moments_leave_nothing_behind));
