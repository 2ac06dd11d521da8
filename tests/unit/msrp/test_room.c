/* What happens when there are as many connections as may be, or as much memory in use. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "msrp/private.h"
#include "net/limit.h"
#include "net/memory.h"
#include "tests/unit/msrp/rig.h"

static struct rig r;
static struct limits *limits;

static void start(uint64_t connections)
{
    rig_start(&r, NULL);
    CHECK_FATAL(limits_new(&limits, connections, 100) == 0);
    for (unsigned i = 0; i < RIG_WORKERS; i++) {
        r.workers[i].limits = limits;
        r.workers[i].next = &r.workers[(i + 1) % RIG_WORKERS];
    }
}

static void stop(void)
{
    rig_stop(&r);
    limits_free(&limits);
}

static bool has_ended(struct peer *p)
{
    rig_turn(&r);
    peer_read(p, SIZE_MAX);
    return p->ended;
}

/* A request that is answered, so that it was used just now. */
static void use(struct peer *p)
{
    struct heard h;

    say(p, "MSRP u001send SEND\nTo-Path: %N msrp://d.invalid:9/d;tcp\nFrom-Path: msrp://x.invalid:9/x;tcp\nMessage-ID: m-0001\n-------u001send$\n");
    CHECK_FATAL(hear(p, &h));
}

/* M-CON-04, M-CON-05: not one with a token, though it is the oldest; of the others the one used longest ago; when all
 * are needed nobody enters. With two workers the one to go may be the other's. */
TEST(connection_that_nobody_needs_makes_room_for_a_new_one)
{
    struct peer *c, *d, *x, *y, *z;

    start(4);
    c = rig_client(&r, 'C', 'U');
    x = rig_peer(&r);
    d = rig_client(&r, 'D', 'V');
    y = rig_peer(&r);
    use(y); /* it shows what it speaks */
    use(x);
    CHECK_INT(rig_stat(&r, STAT_conn_open), 4);
    rig_peer(&r); /* y's worker is the one that it comes to, or there is just one */
    if (RIG_WORKERS == 1) {
        CHECK(has_ended(y));
        CHECK(!has_ended(x));
    } else {
        CHECK(has_ended(x) + has_ended(y) == 1);
    }
    CHECK_INT(rig_stat(&r, STAT_conn_made_room), 1);
    CHECK_INT(rig_stat(&r, STAT_conn_open), 4);
    rig_client(&r, 'X', 'W'); /* and the places of those two */
    z = rig_client(&r, 'Z', 'S');
    CHECK(has_ended(x) && has_ended(y) && !has_ended(z));
    CHECK_INT(rig_stat(&r, STAT_conn_made_room), 3);
    CHECK(has_ended(rig_peer(&r)));
    CHECK_INT(rig_stat(&r, STAT_conn_refused_limit), 1);
    CHECK(!has_ended(c) && !has_ended(d));
    CHECK_INT(rig_stat(&r, STAT_conn_open), 4);
    say(c, "MSRP b001send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\n-------b001send$\n");
    EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
    EXPECT(d, "MSRP %1 SEND\nTo-Path: %D\nFrom-Path: %V %U %C\nMessage-ID: m-0001\n-------%1$\n");
    stop();
}

/* M-CON-05: nor one that a session's foreign endpoint has come by, though it is silent and has no token. */
TEST(connection_bound_to_a_session_is_needed)
{
    struct peer *c, *x;

    start(2);
    c = rig_client(&r, 'C', 'U');
    x = rig_peer(&r);
    say(x, "MSRP k001send SEND\nTo-Path: %U %C\nFrom-Path: msrp://x.invalid:9/x;tcp\nMessage-ID: m-0001\n-------k001send$\n");
    EXPECT(x, "MSRP k001send 200 OK\nTo-Path: msrp://x.invalid:9/x;tcp\nFrom-Path: %U\n-------k001send$\n");
    EXPECT(c, "MSRP %1 SEND\nTo-Path: %C\nFrom-Path: %U msrp://x.invalid:9/x;tcp\nMessage-ID: m-0001\n-------%1$\n");
    say(c, "MSRP %1 200 OK\nTo-Path: %U\nFrom-Path: %C\n-------%1$\n");
    for (int i = 0; i < 3; i++)
        rig_peer(&r);
    CHECK(!has_ended(x) && !has_ended(c));
    say(c, "MSRP b001send SEND\nTo-Path: %U msrp://x.invalid:9/x;tcp\nFrom-Path: %C\nMessage-ID: m-0002\n-------b001send$\n");
    EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
    EXPECT(x, "MSRP %2 SEND\nTo-Path: msrp://x.invalid:9/x;tcp\nFrom-Path: %U %C\nMessage-ID: m-0002\n-------%2$\n");
    stop();
}

/* M-CON-04: a token that has ended keeps its connection no longer. */
TEST(connection_whose_token_has_ended_makes_room)
{
    struct peer *c, *d;

    start(2);
    c = rig_client(&r, 'C', 'U');
    d = rig_client(&r, 'D', 'V');
    CHECK(has_ended(rig_peer(&r)));
    session_end(list_item(msrp_of(list_item(c->worker->conns.next, struct conn, all_node))->sessions.next, struct session, conn_node),
                SESSION_EXPIRED);
    CHECK(!has_ended(c));
    CHECK(!has_ended(rig_peer(&r)));
    CHECK(has_ended(c) && !has_ended(d));
    stop();
}

/* M-CON-04, M-CON-05: a connection to a next hop counts like any other; it goes when it has no transaction open, and
 * one that is dialled makes another go. */
TEST(connections_dialled_count_and_make_room)
{
    struct peer *c, *f, *x;

    start(2);
    rig_listen(&r, 'F', 0);
    c = rig_client(&r, 'C', 'U');
    if (RIG_WORKERS == 2)
        rig_peer(&r); /* x shall be C's neighbour, then F's connection takes the place of both */
    x = rig_peer(&r);
    use(x);
    say(c, "MSRP b001send SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0001\n-------b001send$\n");
    EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
    f = rig_accept(&r);
    CHECK_FATAL(f != NULL);
    CHECK(has_ended(x));
    EXPECT(f, "MSRP %1 SEND\nTo-Path: %F\nFrom-Path: %U %C\nMessage-ID: m-0001\n-------%1$\n");
    CHECK_INT(rig_stat(&r, STAT_conn_open), 2);
    if (RIG_WORKERS == 1)
        CHECK(has_ended(rig_peer(&r))); /* F owes an answer */
    CHECK(!has_ended(f));
    say(f, "MSRP %1 200 OK\nTo-Path: %U\nFrom-Path: %F\n-------%1$\n");
    CHECK(!has_ended(rig_peer(&r)));
    CHECK(has_ended(f) && !has_ended(c));
    stop();
}

/* All places are taken by those who are needed: the next hop is not dialled, and the sender is told. */
TEST(next_hop_is_not_dialled_beyond_the_limit)
{
    struct peer *c;
    struct heard h;

    start(2);
    rig_listen(&r, 'F', 0);
    c = rig_client(&r, 'C', 'U');
    rig_client(&r, 'D', 'V');
    say(c, "MSRP b001send SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0001\n-------b001send$\n");
    EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
    CHECK_FATAL(hear(c, &h));
    CHECK(sv_starts(heard_header(&h, "Status"), SV("000 408 ")));
    CHECK_INT(rig_stat(&r, STAT_conn_open), 2);
    CHECK_INT(rig_stat(&r, STAT_conn_refused_limit), 1);
    stop();
}

/* M-CON-04: the same when the system has no descriptor left. */
TEST(connection_that_nobody_needs_gives_its_descriptor)
{
    struct rlimit before, few;
    struct peer *c, *x, *y;
    int next;

    start(100);
    c = rig_client(&r, 'C', 'U');
    x = rig_peer(&r);
    if (RIG_WORKERS == 2)
        rig_peer(&r); /* x and y come to one worker */
    getrlimit(RLIMIT_NOFILE, &before);
    few = before;
    next = dup(0);
    close(next);
    few.rlim_cur = (rlim_t)next + 1; /* for the test's own end */
    setrlimit(RLIMIT_NOFILE, &few);
    y = rig_peer(&r);
    rig_turn(&r);
    setrlimit(RLIMIT_NOFILE, &before);
    CHECK(has_ended(x));
    CHECK(!has_ended(c));
    CHECK(!has_ended(y));
    use(y);
    stop();
}

/* ---- memory ---- */

/* M-FLOW-04: at the limit nothing changes, one octet more and it is too much, until an eighth of it is free. */
TEST(memory_ceiling_has_a_low_mark)
{
    enum { LIMIT = 8 * MEMORY_STEP };
    static const struct {
        int64_t held;
        bool crowded;
    } steps[] = { { LIMIT, false }, { 0, false }, { LIMIT + 1, true }, { LIMIT - LIMIT / 8 + 1, true }, { LIMIT - LIMIT / 8 - MEMORY_STEP, false },
                  { LIMIT, false }, { 2 * LIMIT, true }, { 0, false } };
    struct memory memory = { 0 };
    struct worker w;
    uint64_t next_id = 0;

    memory_set(&memory, LIMIT);
    CHECK_FATAL(worker_init(&w, 0, &next_id) == 0);
    w.memory = &memory;
    for (size_t i = 0; i < TD_ARRAY_LEN(steps); i++) {
        w.held = steps[i].held;
        memory_settle(&w);
        CHECK(w.crowded == steps[i].crowded);
        CHECK_INT(stats_get(&w.stats, STAT_memory_held), steps[i].held);
    }
    memory_set(&memory, 0);
    w.held = 100 * LIMIT;
    memory_settle(&w);
    CHECK(!w.crowded);
    worker_fini(&w);
}

/* M-FLOW-04: who has nothing to do may hold what could be let go of, so it is woken: its loop's descriptor can be
 * read. */
TEST(idle_worker_is_woken_when_there_is_too_much_in_memory)
{
    struct memory memory = { 0 };
    struct worker w[2];
    uint64_t next_id = 0;

    memory_set(&memory, 8 * MEMORY_STEP);
    for (unsigned i = 0; i < 2; i++) {
        CHECK_FATAL(worker_init(&w[i], i, &next_id) == 0);
        w[i].memory = &memory;
        w[i].next = &w[!i];
        loop_turn(w[i].loop, 0);
    }
    for (int over = 0; over <= 1; over++) {
        struct pollfd fd = { .events = POLLIN, .fd = loop_fd(w[1].loop) };

        w[0].held = 8 * MEMORY_STEP + over;
        w[0].held_told -= over * MEMORY_STEP; /* as told in steps */
        memory_settle(&w[0]);
        CHECK_INT(poll(&fd, 1, 0), over);
        loop_turn(w[1].loop, 0);
        CHECK(w[1].crowded == over);
        CHECK_INT(poll(&fd, 1, 0), 0);
    }
    for (unsigned i = 0; i < 2; i++)
        worker_fini(&w[i]);
}

/* M-FLOW-04: bulk waits though its receiver reads, no token is given, nobody is let in; small messages pass and are
 * answered. When a slow receiver has read, all goes on, and nothing is lost. */
TEST(bulk_tokens_and_connections_wait_while_there_is_too_much_in_memory)
{
    enum { TOTAL = 16000000, SIZE = 2000, MANY = 8000 };
    struct memory memory = { 0 };
    struct peer *c, *d, *f, *g, *late;
    struct buf fill = BUF_INIT, bulk = BUF_INIT;
    size_t at = 0, said = 0, got = 0;
    struct heard h;

    rig_start(&r, "msrp.buffer=4M");
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        r.workers[i].memory = &memory;
    c = rig_client(&r, 'C', 'U');
    d = rig_client(&r, 'D', 'V');
    f = rig_client(&r, 'F', 'W');
    g = rig_client(&r, 'G', 'S');
    memory_set(&memory, 2 * 1024 * 1024);
    buf_printf(&bulk, "MSRP bulk0001 SEND\r\nTo-Path: %s %s %s\r\nFrom-Path: %s\r\nMessage-ID: bulk\r\nFailure-Report: no\r\n"
               "Byte-Range: 1-*/%d\r\nContent-Type: a/b\r\n\r\n", r.var['S'], r.var['W'], r.var['F'], r.var['G'], TOTAL);
    add_octets(&bulk, TOTAL);
    buf_puts(&bulk, "\r\n-------bulk0001$\r\n");
    said = push(g, bulk.p, 500000);
    peer_read(f, SIZE_MAX);
    for (int i = 0; i < MANY; i++) { /* to D, who does not read */
        buf_printf(&fill, "MSRP t%06d SEND\r\nTo-Path: %s %s %s\r\nFrom-Path: %s\r\nMessage-ID: m%06d\r\nFailure-Report: no\r\n"
                   "Content-Type: a/b\r\n\r\n", i, r.var['U'], r.var['V'], r.var['D'], r.var['C'], i);
        add_octets(&fill, SIZE);
        buf_printf(&fill, "\r\n-------t%06d$\r\n", i);
    }
    at = push(c, fill.p, fill.n);
    rig_pass(&r, 40); /* D does not keep up: now what is for it may wait */
    at += push(c, fill.p + at, fill.n - at);
    CHECK_FATAL(at < fill.n);
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        CHECK(memory_is_over(&r.workers[i]));
    CHECK(rig_stat(&r, STAT_memory_held) > 2 * 1024 * 1024 && rig_stat(&r, STAT_memory_held) < 3 * 1024 * 1024);
    for (int i = 0; i < 50; i++) { /* G says no more than the system takes, whatever F reads */
        said += push(g, bulk.p + said, bulk.n - said);
        peer_read(f, SIZE_MAX);
    }
    CHECK(said < bulk.n);
    CHECK(rig_stat(&r, STAT_memory_paused) > 0);
    CHECK_INT(rig_stat(&r, STAT_msrp_refused), 0);

    say(f, "MSRP a002auth AUTH\nTo-Path: msrp://%E;tcp\nFrom-Path: %F\n-------a002auth$\n");
    say(f, "MSRP s001send SEND\nTo-Path: %W %S %G\nFrom-Path: %F\nMessage-ID: m-0001\n-------s001send$\n");
    CHECK_FATAL(hear(g, &h) && sv_eq(heard_header(&h, "Message-ID"), SV("m-0001")));
    late = rig_peer(&r);
    say_bytes(late, "MSRP", 4);
    rig_pass(&r, 1000);
    CHECK_INT(rig_stat(&r, STAT_conn_accepted), 4);

    for (int idle = 0; got < MANY && idle < 3000; idle++) { /* D reads, and F still does */
        at += push(c, fill.p + at, fill.n - at);
        peer_read(d, SIZE_MAX);
        peer_read(f, SIZE_MAX);
        for (; peer_frame(d, &h); got++)
            idle = 0;
        rig_wait(&r, idle > 0);
    }
    CHECK_INT(got, MANY);
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        CHECK(!memory_is_over(&r.workers[i]));
    rig_pass(&r, 1000);
    CHECK_INT(rig_stat(&r, STAT_conn_accepted), 5);
    while (said < bulk.n) {
        size_t more = push(g, bulk.p + said, bulk.n - said);

        said += more;
        peer_read(f, SIZE_MAX);
    }
    got = 0;
    for (bool refused = false, done = false; !done || !refused;) {
        CHECK_FATAL(hear(f, &h));
        got += h.body.n;
        refused |= sv_starts(h.start, SV("MSRP a002auth 403 "));
        done |= h.flag == '$' && h.body.n;
    }
    CHECK_INT(got, TOTAL);
    rig_client(&r, 'Z', 'Z');
    buf_fini(&fill);
    buf_fini(&bulk);
    rig_stop(&r);
}

static int64_t held(void)
{
    int64_t sum = 0;

    for (unsigned i = 0; i < RIG_WORKERS; i++)
        sum += r.workers[i].held;
    return sum;
}

static struct msrp_conn *newest(unsigned worker)
{
    return msrp_of(list_item(r.workers[worker].conns.prev, struct conn, all_node));
}

/* So many frames, each from another sender's name, hence each with a route of its own; they are heard. */
static void make_routes(struct peer *from, char me, char mine, struct peer *to, char him, char his, int n)
{
    struct buf b = BUF_INIT;
    struct heard h;
    int heard = 0;

    for (int i = 0; i < n; i++) {
        buf_printf(&b, "MSRP t%06d SEND\r\nTo-Path: %s %s %s\r\nFrom-Path: msrp://%c.invalid:9/%0*d;tcp\r\nMessage-ID: m%06d\r\n"
                   "Failure-Report: no\r\n-------t%06d$\r\n", i, r.var[(int)mine], r.var[(int)his], r.var[(int)him], me, 900, i, i, i);
        if (b.n < 60000 && i + 1 < n)
            continue;
        say_bytes(from, b.p, b.n);
        buf_clear(&b);
        for (; hear(to, &h); heard++)
            if (heard + 1 > i)
                break;
        heard = i + 1;
    }
    CHECK_INT(rig_stat(&r, STAT_msrp_dropped), 0);
    buf_fini(&b);
}

/* M-FLOW-04: remembered routes go when there is too much in memory, those made longest ago first, be they of a
 * connection that is silent now, on a worker that has nothing to do. Nobody's frame is lost for it. */
TEST(remembered_routes_go_when_there_is_too_much_in_memory)
{
    enum { LIMIT = 6 * 1024 * 1024 };
    const struct msrp_conn *mc, *md;
    struct memory memory = { 0 };
    struct peer *c, *d;
    int64_t before;

    rig_start(&r, NULL);
    for (unsigned i = 0; i < RIG_WORKERS; i++) {
        r.workers[i].memory = &memory;
        r.workers[i].next = &r.workers[(i + 1) % RIG_WORKERS];
    }
    memory_set(&memory, LIMIT);
    c = rig_client(&r, 'C', 'U');
    mc = newest(0);
    d = rig_client(&r, 'D', 'V');
    md = newest(RIG_WORKERS - 1);
    before = held();
    make_routes(d, 'D', 'V', c, 'C', 'U', 500);
    CHECK_INT(md->n_routes, 500);
    CHECK(held() - before > 500 * 5000 && held() < LIMIT);
    make_routes(c, 'C', 'U', d, 'D', 'V', 1200); /* 7 MB and more */
    CHECK(held() <= LIMIT + MEMORY_STEP && !memory_is_over(&r.workers[0]));
    CHECK_INT(md->n_routes, 0);
    CHECK(mc->n_routes > 300 && mc->n_routes < 1200);
    CHECK_INT(rig_stat(&r, STAT_msrp_forwarded), 1700);
    memory_set(&memory, 1); /* there is nothing but too much: not one of them is kept, and all goes on */
    make_routes(c, 'C', 'U', d, 'D', 'V', 100);
    CHECK_INT(mc->n_routes, 0);
    CHECK_INT(rig_stat(&r, STAT_msrp_forwarded), 1800);
    rig_stop(&r);
}

/* M-FLOW-04, M-TMR-05: a route is counted as long as a transaction holds on to it, though nobody looks it up any more,
 * and be it another worker's transaction. */
TEST(route_counts_as_memory_until_its_last_transaction_has_ended)
{
    struct peer *c, *d;
    struct heard h;
    int64_t before;
    char text[600];

    rig_start(&r, NULL);
    d = rig_client(&r, 'D', 'V');
    before = held();
    c = rig_client(&r, 'C', 'U');
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "MSRP t%06d SEND\nTo-Path: %%U %%V %%D\nFrom-Path: msrp://c.invalid:9/%0300d;tcp\nMessage-ID: m-0001\n"
                 "Failure-Report: partial\n-------t%06d$\n", i, i, i);
        say(c, text);
        CHECK_FATAL(hear(d, &h));
    }
    peer_reset(c);
    CHECK_INT(rig_stat(&r, STAT_msrp_transactions), 100);
    CHECK(held() - before > 100 * 6 * 400);
    rig_pass(&r, 100000); /* and the token is over */
    CHECK_INT(rig_stat(&r, STAT_msrp_transactions), 0);
    CHECK_INT(held(), before);
    rig_stop(&r);
}

/* M-FLOW-04: path lines of the usual size are no bulk; one octet more than that is, when a route is to be made for
 * them. */
TEST(large_paths_wait_while_there_is_too_much_in_memory)
{
    enum { MUCH = 16 * 1024 * 1024 };
    struct memory memory = { 0 };
    struct peer *c, *d;
    struct buf b = BUF_INIT;

    rig_start(&r, NULL);
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        r.workers[i].memory = &memory;
    memory_set(&memory, MUCH / 2);
    c = rig_client(&r, 'C', 'U');
    d = rig_client(&r, 'D', 'V');
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        r.workers[i].held += MUCH;
    rig_turn(&r);
    for (int more = 0; more <= 1; more++) {
        size_t rest = strlen("To-Path:   \r\nFrom-Path: msrp://c.invalid:9/;tcp msrp://c.invalid:9/;tcp msrp://c.invalid:9/;tcp\r\n") +
                      strlen(r.var['U']) + strlen(r.var['V']) + strlen(r.var['D']);
        int each = (int)(CHUNK_MIN - rest) / 3, last = (int)(CHUNK_MIN - rest) - 2 * each + more;

        buf_clear(&b);
        buf_printf(&b, "MSRP t00000%d SEND\r\nTo-Path: %s %s %s\r\nFrom-Path: msrp://c.invalid:9/%0*d;tcp msrp://c.invalid:9/%0*d;tcp "
                   "msrp://c.invalid:9/%0*d;tcp\r\nMessage-ID: m-0001\r\n-------t00000%d$\r\n", more, r.var['U'], r.var['V'], r.var['D'], each, 1,
                   each, 2, last, 3, more);
        say_bytes(c, b.p, b.n);
        if (more == 0) { /* who names three must be a relay: it was judged */
            struct heard h;

            CHECK_FATAL(hear(c, &h));
            CHECK(sv_eq(sv_from(h.start, 13), SV("403 Forbidden")));
        } else {
            EXPECT_NOTHING(c);
            CHECK_INT(rig_stat(&r, STAT_memory_paused), 1);
        }
    }
    say(d, "MSRP d001send SEND\nTo-Path: %V\nFrom-Path: %D\nMessage-ID: m-0001\n-------d001send$\n");
    EXPECT(d, "MSRP d001send 200 OK\nTo-Path: %D\nFrom-Path: %V\n-------d001send$\n");
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        r.workers[i].held -= MUCH;
    rig_pass(&r, 1000);
    {
        struct heard h;

        CHECK_FATAL(hear(c, &h));
        CHECK(sv_eq(h.start, SV("MSRP t000001 403 Forbidden")));
    }
    buf_fini(&b);
    rig_stop(&r);
}

SUITE(room_suite, TEST_ROW(idle_worker_is_woken_when_there_is_too_much_in_memory), TEST_ROW(remembered_routes_go_when_there_is_too_much_in_memory),
      TEST_ROW(route_counts_as_memory_until_its_last_transaction_has_ended), TEST_ROW(large_paths_wait_while_there_is_too_much_in_memory),
      TEST_ROW(memory_ceiling_has_a_low_mark),
      TEST_ROW(bulk_tokens_and_connections_wait_while_there_is_too_much_in_memory), TEST_ROW(connection_that_nobody_needs_makes_room_for_a_new_one),
      TEST_ROW(connection_bound_to_a_session_is_needed), TEST_ROW(connection_whose_token_has_ended_makes_room), TEST_ROW(connections_dialled_count_and_make_room),
      TEST_ROW(next_hop_is_not_dialled_beyond_the_limit), TEST_ROW(connection_that_nobody_needs_gives_its_descriptor));
