/* One receiver that does not read, or hardly, and the others on the connection of its sender. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "msrp/private.h"
#include "msrp/txn.h"
#include "tests/unit/msrp/rig.h"

static struct rig r;
static struct peer *c, *d, *f; /* C sends to D, who is slow, and to F, who is not */

enum { SIZE = 8000, MANY = 4000 /* more than any kernel buffers */ };

/* far: with two workers D is on another one than C. */
static void start(bool far)
{
    rig_start(&r, "msrp.buffer=256k");
    c = rig_client(&r, 'C', 'U');
    if (!far)
        rig_peer(&r);
    d = rig_client(&r, 'D', 'V');
    f = rig_client(&r, 'F', 'W');
}

/* Nobody answers, and it is nobody's fault: the sender asks for failures only. */
static void frame(struct buf *b, char to, char token, int number, size_t size)
{
    buf_printf(b, "MSRP t%06d SEND\r\nTo-Path: %s %s %s\r\nFrom-Path: %s\r\nMessage-ID: m%06d\r\nFailure-Report: partial\r\n"
               "Byte-Range: 1-%zu/%zu\r\nContent-Type: a/b\r\n\r\n",
               number, r.var['U'], r.var[(int)token], r.var[(int)to], r.var['C'], number, size, size);
    add_octets(b, size);
    buf_printf(b, "\r\n-------t%06d$\r\n", number);
}

/* What a peer has heard of each kind: messages that came to their end, failure REPORTs. */
struct tally {
    int sends, reports;
};

static void listen_to(struct peer *p, struct tally *t)
{
    struct heard h;

    peer_read(p, 256 * 1024);
    while (peer_frame(p, &h)) {
        struct sv what = sv_from(h.start, 5 + h.tid.n);

        t->sends += sv_starts(what, SV(" SEND")) && h.flag == '$';
        if (sv_starts(what, SV(" REPORT"))) {
            t->reports++;
            CHECK(sv_starts(heard_header(&h, "Status"), SV("000 408")));
        }
    }
}

/* All of these bytes are said and heard of by C, while no time passes; how many messages reached F. */
static void say_all(struct buf *b, size_t *at, struct tally *to_c, struct tally *to_f)
{
    for (int idle = 0, heard = 0; idle < 20; idle++) {
        size_t said = push(c, b->p + *at, b->n - *at);

        *at += said;
        idle = said || to_c->reports + to_f->sends != heard ? 0 : idle;
        heard = to_c->reports + to_f->sends;
        rig_wait(&r, idle > 15);
        listen_to(c, to_c);
        listen_to(f, to_f);
    }
}

/* F's next message is behind D's: half a minute after D takes no more it comes. The system goes on taking a little for D, the more the more D has read
 * before, and that buys time. */
static void until_f_hears(struct buf *b, size_t *at, struct tally *to_c, struct tally *to_f, int at_most)
{
    int seconds = 0, before = to_f->sends;

    for (; to_f->sends == before && seconds < 100; seconds++) {
        rig_pass(&r, 1000);
        say_all(b, at, to_c, to_f);
    }
    CHECK(seconds >= 29 && seconds <= at_most);
    CHECK_INT(*at, b->n);
    CHECK_INT(to_f->sends, before + 1);
}

/* M-FLOW-02: D holds the connection for half a minute, once; then what C has for D fails, and F hears all that is for
 * F. */
static void check_shared(bool far)
{
    struct tally to_c = { 0 }, to_d = { 0 }, to_f = { 0 };
    struct buf b = BUF_INIT;
    size_t at = 0;
    int reports;

    start(far);
    frame(&b, 'F', 'W', 999990, 10); /* C serves both */
    say_all(&b, &at, &to_c, &to_f);
    CHECK_INT(to_f.sends, 1);
    buf_clear(&b);
    at = 0;
    for (int i = 0; i < MANY; i++)
        frame(&b, 'D', 'V', i, SIZE);
    frame(&b, 'F', 'W', 999991, 10);
    say_all(&b, &at, &to_c, &to_f);
    CHECK_FATAL(at < b.n);
    CHECK_INT(to_c.reports, 0);
    until_f_hears(&b, &at, &to_c, &to_f, 60);
    CHECK(to_c.reports > 0);
    CHECK(rig_longest_queue(&r) < 512 * 1024);
    CHECK_INT(rig_stat(&r, STAT_msrp_too_slow), to_c.reports);

    buf_clear(&b); /* and from now on at once; nobody hears of what nobody wants to hear of (M-FWD-24), and a REPORT waits (M-FWD-33) */
    at = 0;
    buf_printf(&b, "MSRP t000000 SEND\r\nTo-Path: %s %s %s\r\nFrom-Path: %s\r\nMessage-ID: lost\r\nFailure-Report: no\r\n-------t000000$\r\n",
               r.var['U'], r.var['V'], r.var['D'], r.var['C']);
    buf_printf(&b, "MSRP t000001 REPORT\r\nTo-Path: %s %s %s\r\nFrom-Path: %s\r\nMessage-ID: told\r\nByte-Range: 1-1/1\r\nStatus: 000 408 x\r\n-------t000001$\r\n",
               r.var['U'], r.var['V'], r.var['D'], r.var['C']);
    for (int i = 0; i < MANY; i++)
        frame(&b, i % 2 ? 'D' : 'F', i % 2 ? 'V' : 'W', i, SIZE);
    say_all(&b, &at, &to_c, &to_f);
    CHECK_INT(at, b.n);
    CHECK_INT(to_f.sends, 2 + MANY / 2);

    for (int i = 0, before = -1; i < 50; i = before == to_d.sends ? i + 1 : 0) { /* D reads again: nothing of what was taken is lost */
        before = to_d.sends;
        listen_to(d, &to_d);
        rig_wait(&r, 0);
    }
    CHECK_INT(to_d.sends + to_c.reports, MANY + MANY / 2);
    CHECK_INT(to_d.reports, 1);
    buf_clear(&b);
    at = 0;
    frame(&b, 'D', 'V', 1, 10);
    say_all(&b, &at, &to_c, &to_f);
    listen_to(d, &to_d);
    CHECK_INT(to_d.sends + to_c.reports, MANY + MANY / 2 + 1);

    buf_clear(&b); /* who has read so much may hold the connection again, but for no longer than the first time */
    at = 0;
    for (int i = 0; i < MANY; i++)
        frame(&b, 'D', 'V', i, SIZE);
    frame(&b, 'F', 'W', 999992, 10);
    reports = to_c.reports;
    say_all(&b, &at, &to_c, &to_f);
    CHECK_FATAL(at < b.n);
    CHECK_INT(to_c.reports, reports);
    until_f_hears(&b, &at, &to_c, &to_f, 80);
    CHECK(to_c.reports > reports);
    buf_fini(&b);
    rig_stop(&r);
}

TEST(receiver_that_does_not_read_stops_a_shared_connection_once)
{
    check_shared(true);
    check_shared(false);
}

/* M-FLOW-02, M-FR-02: the chunk on its way ends with `#`, the rest is read over, one REPORT tells the sender. */
static void check_stream(bool far)
{
    struct tally to_c = { 0 }, to_f = { 0 };
    struct buf b = BUF_INIT, heard = BUF_INIT;
    size_t at = 0;
    struct heard h;

    start(far);
    frame(&b, 'F', 'W', 999990, 10);
    buf_printf(&b, "MSRP bulk0001 SEND\r\nTo-Path: %s %s %s\r\nFrom-Path: %s\r\nMessage-ID: bulk\r\nFailure-Report: partial\r\n"
               "Byte-Range: 1-*/%d\r\nContent-Type: a/b\r\n\r\n", r.var['U'], r.var['V'], r.var['D'], r.var['C'], SIZE * MANY);
    add_octets(&b, SIZE * MANY);
    buf_puts(&b, "\r\n-------bulk0001$\r\n");
    frame(&b, 'F', 'W', 999991, 10);
    say_all(&b, &at, &to_c, &to_f);
    CHECK_FATAL(at < b.n);
    until_f_hears(&b, &at, &to_c, &to_f, 60);
    CHECK_INT(to_c.reports, 1);
    for (int i = 0; i < 200; i++) {
        peer_read(d, SIZE_MAX);
        rig_wait(&r, 0);
    }
    CHECK_FATAL(peer_frame(d, &h));
    CHECK(h.flag == '#' && h.body.n > 0 && h.body.n < (size_t)SIZE * MANY);
    rig_pass(&r, 40000);
    listen_to(c, &to_c);
    CHECK_INT(to_c.reports, 1);
    CHECK_INT(rig_stat(&r, STAT_msrp_chunks), 0);
    buf_fini(&b);
    buf_fini(&heard);
    rig_stop(&r);
}

TEST(chunk_for_a_receiver_that_does_not_read_is_given_up_on_a_shared_connection)
{
    check_stream(true);
    check_stream(false);
}

/* M-FLOW-02: reading a little now and then wins no more time than it is worth. */
TEST(receiver_that_trickles_does_not_hold_a_shared_connection_for_ever)
{
    struct tally to_c = { 0 }, to_f = { 0 };
    struct buf b = BUF_INIT;
    size_t at = 0;
    int seconds = 0;

    start(true);
    frame(&b, 'F', 'W', 999990, 10);
    for (int i = 0; i < MANY; i++)
        frame(&b, 'D', 'V', i, SIZE);
    frame(&b, 'F', 'W', 999991, 10);
    for (; to_f.sends < 2 && seconds < 300; seconds++) {
        say_all(&b, &at, &to_c, &to_f);
        peer_read(d, 1024);
        rig_pass(&r, 1000);
    }
    CHECK(seconds >= 30 && seconds < 40);
    CHECK(!d->ended);
    buf_fini(&b);
    rig_stop(&r);
}

static int64_t held(void)
{
    int64_t sum = 0;

    for (unsigned i = 0; i < RIG_WORKERS; i++)
        sum += r.workers[i].held + r.workers[i].pool.held;
    return sum;
}

/* Both read all there is for them; no time passes. */
static void hear_all(struct peer *p, struct peer *q, struct tally *to_p, struct tally *to_q)
{
    for (int idle = 0, before = -1; idle < 50; idle = before == to_p->sends + to_q->sends ? idle + 1 : 0) {
        before = to_p->sends + to_q->sends;
        listen_to(p, to_p);
        listen_to(q, to_q);
        rig_wait(&r, 0);
    }
}

/* M-FLOW-02: one who does not read and one who trickles on the same connection hold it for half a minute each; what is
 * held for them stays within their buffers, and all of it is given back. */
TEST(two_slow_receivers_hold_no_more_than_their_buffers)
{
    enum { N = 1200, BUFFER = 256 * 1024, CROSSING = 2 * REMOTE_MAX + WORKER_READ_SIZE, SETTLE_MS = 31000 };
    struct tally to_c = { 0 }, to_d = { 0 }, to_e = { 0 }, to_f = { 0 };
    int little = 128 * 1024, seconds = 0;
    int64_t before, most = 0;
    struct buf b = BUF_INIT;
    struct peer *e;
    size_t at = 0;

    start(true);
    e = rig_client(&r, 'G', 'S');
    setsockopt(d->fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    setsockopt(e->fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    frame(&b, 'D', 'V', 999990, 10);
    frame(&b, 'G', 'S', 999991, 10);
    frame(&b, 'F', 'W', 999992, 10);
    say_all(&b, &at, &to_c, &to_f);
    hear_all(d, e, &to_d, &to_e);
    rig_pass(&r, SETTLE_MS);
    before = held(); /* with the routes, and no transaction */
    buf_clear(&b);
    at = 0;
    for (int i = 0; i < N; i++) {
        frame(&b, 'D', 'V', i, SIZE);
        frame(&b, 'G', 'S', N + i, SIZE);
        frame(&b, 'F', 'W', 2 * N + i, 10);
    }
    for (; to_f.sends < N + 1 && seconds < 200; seconds++) {
        int64_t now;

        say_all(&b, &at, &to_c, &to_f);
        now = held() - rig_stat(&r, STAT_msrp_transactions) * (int64_t)sizeof(struct txn);
        most = TD_MAX(most, now - before);
        CHECK(rig_longest_queue(&r) <= BUFFER + CROSSING);
        peer_read(e, 1024);
        rig_pass(&r, 1000);
    }
    CHECK(seconds >= 30 && seconds < 75);
    CHECK(most > BUFFER && most <= 2 * (BUFFER + CROSSING));
    CHECK(to_c.reports > 0);
    CHECK_INT(rig_stat(&r, STAT_msrp_too_slow), to_c.reports);
    hear_all(d, e, &to_d, &to_e);
    CHECK_INT(to_d.sends + to_e.sends + to_c.reports, 2 * N + 2); /* nothing that was taken is lost */
    rig_pass(&r, SETTLE_MS);
    CHECK_INT(rig_stat(&r, STAT_msrp_transactions), 0);
    CHECK_INT(held(), before);
    buf_fini(&b);
    rig_stop(&r);
}

/* M-FLOW-03: C, who is not read because D is full, hears what others say to him, and what the relay has to tell him. */
static void check_paused(bool far)
{
    struct tally to_c = { 0 }, to_f = { 0 };
    struct buf b = BUF_INIT;
    size_t at = 0;

    start(far);
    for (int i = 0; i < MANY; i++)
        frame(&b, 'D', 'V', i, SIZE);
    say_all(&b, &at, &to_c, &to_f);
    CHECK_FATAL(at < b.n);
    CHECK_INT(to_c.sends + to_c.reports, 0);
    say(f, "MSRP f001send SEND\nTo-Path: %W %U %C\nFrom-Path: %F\nMessage-ID: m-f1\nContent-Type: a/b\n\nhello\n-------f001send$\n");
    say(f, "MSRP f002rprt REPORT\nTo-Path: %W %U %C\nFrom-Path: %F\nMessage-ID: m-f1\nByte-Range: 1-1/1\nStatus: 000 408 x\n-------f002rprt$\n");
    listen_to(c, &to_c);
    CHECK_INT(to_c.sends, 1);
    CHECK_INT(to_c.reports, 1);
    peer_reset(d);
    for (int i = 0; to_c.reports < 2 && i < 100; i++) {
        rig_wait(&r, 0);
        listen_to(c, &to_c);
    }
    CHECK(to_c.reports > 1); /* of what D had not read */
    buf_fini(&b);
    rig_stop(&r);
}

TEST(sender_that_is_not_read_hears_what_there_is_for_him)
{
    check_paused(true);
    check_paused(false);
}

/* M-FLOW-01, M-FLOW-02: who speaks to one peer only waits for him, however long it takes. */
TEST(receiver_that_trickles_holds_its_only_sender)
{
    struct tally to_c = { 0 }, to_f = { 0 }, to_x = { 0 };
    struct buf b = BUF_INIT;
    struct peer *x;
    int little = 128 * 1024;
    size_t at = 0;

    start(true);
    setsockopt(d->fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    for (int i = 0; i < MANY; i++)
        frame(&b, 'D', 'V', i, SIZE);
    for (int seconds = 0; seconds < 300; seconds++) {
        say_all(&b, &at, &to_c, &to_f);
        peer_read(d, 5000);
        rig_pass(&r, 1000);
    }
    CHECK(at < b.n);
    CHECK_INT(to_c.reports, 0);
    CHECK(!d->ended);
    x = rig_peer(&r); /* nor is another one failed that begins now */
    buf_clear(&b);
    for (int i = 0; i < MANY; i++) {
        buf_printf(&b, "MSRP x%06d SEND\r\nTo-Path: %s %s\r\nFrom-Path: msrp://x.invalid:9/x;tcp\r\nMessage-ID: x%06d\r\n"
                       "Content-Type: a/b\r\n\r\n%0*d\r\n-------x%06d$\r\n", i, r.var['V'], r.var['D'], i, SIZE, i, i);
    }
    at = 0;
    for (int idle = 0; idle < 20; idle++) {
        size_t n = push(x, b.p + at, b.n - at);

        at += n;
        idle = n ? 0 : idle;
        listen_to(x, &to_x);
    }
    CHECK(at < b.n);
    CHECK(to_x.reports == 0 && !x->ended);
    buf_fini(&b);
    rig_stop(&r);
}

/* All transactions that a next hop may have open, and one more: that one fails at once. */
static void fill_transactions(struct tally *to_c)
{
    struct buf b = BUF_INIT;
    size_t at = 0;

    for (int i = 0; i <= TXNS_PER_CONN; i++) {
        buf_printf(&b, "MSRP t%06d SEND\r\nTo-Path: %s %s %s\r\nFrom-Path: %s\r\nMessage-ID: m%06d\r\n-------t%06d$\r\n", i,
                   r.var['U'], r.var['V'], r.var['D'], r.var['C'], i, i);
        if (b.n < 60000 && i < TXNS_PER_CONN)
            continue;
        while (at < b.n) {
            at += push(c, b.p + at, b.n - at);
            hear_rest(d);
            listen_to(c, to_c);
        }
        buf_clear(&b);
        at = 0;
    }
    for (int i = 0; i < 50; i++) {
        rig_turn(&r);
        hear_rest(d);
        listen_to(c, to_c);
    }
    buf_fini(&b);
}

/* M-FLOW-03: so many REPORTs at once are neither lost nor the end of a connection, and hardly anything of them waits in
 * its queue. */
static void check_burst(bool far, bool in_time)
{
    struct tally to_c = { 0 };

    start(far);
    fill_transactions(&to_c);
    CHECK_INT(rig_stat(&r, STAT_msrp_transactions), TXNS_PER_CONN);
    CHECK_INT(to_c.reports, 1);
    if (in_time)
        peer_reset(d);
    else
        rig_pass(&r, 31000);
    rig_turn(&r);
    CHECK_INT(rig_stat(&r, STAT_msrp_transactions), 0);
    CHECK(rig_longest_queue(&r) < 1024 * 1024);
    for (int idle = 0, before = 0; idle < 100; idle = before == to_c.reports ? idle + 1 : 0) {
        before = to_c.reports;
        rig_wait(&r, 0);
        listen_to(c, &to_c);
        CHECK_FATAL(!c->ended);
    }
    CHECK_INT(to_c.reports, TXNS_PER_CONN + 1);
    rig_stop(&r);
}

TEST(all_transactions_of_a_next_hop_may_fail_at_once)
{
    check_burst(true, true);
    check_burst(false, false);
    check_burst(true, false);
}

/* M-FLOW-03, section 11: who is owed REPORTs and does not read is closed like anybody else, and what he was owed is
 * forgotten. */
TEST(reports_are_not_kept_for_a_sender_that_does_not_read)
{
    struct tally to_c = { 0 };
    int64_t open;
    int seconds;

    start(true);
    fill_transactions(&to_c);
    peer_reset(d);
    open = rig_stat(&r, STAT_conn_open);
    for (seconds = 0; rig_stat(&r, STAT_conn_open) == open && seconds < 300; seconds++)
        rig_pass(&r, 1000);
    CHECK(seconds >= 60 && seconds < 150); /* the kernel goes on taking a little for some time */
    CHECK(rig_stat(&r, STAT_msrp_dropped) > TXNS_PER_CONN / 2);
    rig_stop(&r);
}

/* As much of it as the relay takes, while nobody reads and no time passes. */
static void say_long(struct buf *b, size_t *at)
{
    for (size_t said = 1; said; *at += said)
        said = push(c, b->p + *at, b->n - *at);
}

static struct msrp_conn *owner_of(char token)
{
    struct session *v = session_find(r.shared->sessions, sv_make(strrchr(r.var[(int)token], '/') + 1, SESSION_ID_LEN));
    struct msrp_conn *m;

    CHECK_FATAL(v != NULL);
    m = msrp_of(conn_deref(d->worker, v->owner));
    session_unref(&v);
    return m;
}

/* M-FLOW-01: what waits for a next hop is bounded however many sessions it is of, and all of it comes in the end. */
TEST(what_waits_of_many_sessions_has_a_limit)
{
    enum { SOURCES = 8, BUFFER = 256 * 1024, LIMIT = SESSIONS_AHEAD * BUFFER, CROSSING = SOURCES * (2 * REMOTE_MAX + WORKER_READ_SIZE) };
    struct buf b[SOURCES] = { BUF_INIT };
    struct tally to_d = { 0 };
    struct peer *x[SOURCES];
    size_t at[SOURCES] = { 0 };
    int little = 128 * 1024;
    struct msrp_conn *to;

    start(false);
    setsockopt(d->fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    to = owner_of('V');
    for (int i = 0; i < SOURCES; i++) {
        x[i] = rig_peer(&r);
        buf_printf(&b[i], "MSRP bulk%04d SEND\r\nTo-Path: %s %s\r\nFrom-Path: msrp://x%d.invalid:9/x;tcp\r\nMessage-ID: bulk\r\nFailure-Report: no\r\n"
                   "Content-Type: a/b\r\n\r\n", i, r.var['V'], r.var['D'], i);
        add_octets(&b[i], 12 * BUFFER);
        buf_printf(&b[i], "\r\n-------bulk%04d$\r\n", i);
    }
    for (int idle = 0; idle < 20; idle++) {
        for (int i = 0; i < SOURCES; i++) {
            size_t n = push(x[i], b[i].p + at[i], b[i].n - at[i]);

            at[i] += n;
            idle = n ? 0 : idle;
        }
        rig_pass(&r, 5);
    }
    CHECK(to->ahead >= LIMIT / 2 && to->ahead <= LIMIT + WORKER_READ_SIZE + (RIG_WORKERS > 1 ? CROSSING : 0));
    for (int turns = 0; to_d.sends < SOURCES && turns < 100000; turns++) {
        for (int i = 0; i < SOURCES; i++)
            at[i] += push(x[i], b[i].p + at[i], b[i].n - at[i]);
        listen_to(d, &to_d);
        rig_wait(&r, 0);
    }
    CHECK_INT(to_d.sends, SOURCES);
    CHECK_INT(to->ahead, 0);
    for (int i = 0; i < SOURCES; i++)
        buf_fini(&b[i]);
    rig_stop(&r);
}

/* M-FLOW-01, M-FAIR-07: for a receiver that keeps up nothing is kept beside its queue, and the system may hold more for it; it is slow once its
 * source has waited for it, and then again when it has caught up and stops once more. */
TEST(octets_are_kept_for_a_slow_receiver_only)
{
    struct msrp_conn *to;
    struct tally to_d = { 0 };
    struct buf b = BUF_INIT;
    size_t at = 0;

    start(false);
    to = owner_of('V');
    frame(&b, 'D', 'V', 1, 64 << 20);
    for (int stop = 0; stop < 2; stop++) {
        size_t fast = at + (16 << 20);
        uint64_t began;

        while (at < fast) { /* D reads as fast as it comes */
            at += push(c, b.p + at, TD_MIN(b.n - at, 65536U));
            listen_to(d, &to_d);
        }
        began = loop_now_ms(d->worker->loop);
        say_long(&b, &at);
        for (int i = 0; i < 200 && !to->conn->keeps_up; i++) {
            rig_turn(&r);
            listen_to(d, &to_d);
        }
        CHECK(to->conn->keeps_up || loop_now_ms(d->worker->loop) - began >= 20); /* on a machine that is very slow, D is, too */
        began = loop_now_ms(d->worker->loop);
        say_long(&b, &at); /* and no more */
        CHECK(to->ahead == 0 || loop_now_ms(d->worker->loop) - began >= 20);
        rig_pass(&r, 40);
        CHECK(!to->conn->keeps_up);
        say_long(&b, &at);
        CHECK(to->ahead >= 256 * 1024 - 65536 && to->ahead <= 256 * 1024 + 65536);
        for (int i = 0; to->ahead && i < 10000; i++) {
            rig_turn(&r);
            listen_to(d, &to_d);
        }
        CHECK_INT(to->ahead, 0);
    }
    buf_fini(&b);
    rig_stop(&r);
}

SUITE(flow_suite, TEST_ROW(what_waits_of_many_sessions_has_a_limit), TEST_ROW(octets_are_kept_for_a_slow_receiver_only), TEST_ROW(all_transactions_of_a_next_hop_may_fail_at_once),
      TEST_ROW(reports_are_not_kept_for_a_sender_that_does_not_read), TEST_ROW(receiver_that_does_not_read_stops_a_shared_connection_once),
      TEST_ROW(chunk_for_a_receiver_that_does_not_read_is_given_up_on_a_shared_connection),
      TEST_ROW(receiver_that_trickles_does_not_hold_a_shared_connection_for_ever),
      TEST_ROW(receiver_that_trickles_holds_its_only_sender), TEST_ROW(two_slow_receivers_hold_no_more_than_their_buffers),
      TEST_ROW(sender_that_is_not_read_hears_what_there_is_for_him));
