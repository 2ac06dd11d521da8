/* Room for new connections when there are as many as may be. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "msrp/private.h"
#include "net/limit.h"
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

/* M-CON-04, M-CON-05: not one with a token, though it is the oldest; of the others the one used longest ago; when all are needed nobody enters.
 * With two workers the one to go may be the other's. */
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

/* M-CON-04, M-CON-05: a connection to a next hop counts like any other; it goes when it has no transaction open, and one that is
 * dialled makes another go. */
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
    CHECK_FATAL(hear(c, &h));
    CHECK(sv_starts(h.start, SV("MSRP b001send 408 ")));
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

SUITE(room_suite, TEST_ROW(connection_that_nobody_needs_makes_room_for_a_new_one),
      TEST_ROW(connection_whose_token_has_ended_makes_room), TEST_ROW(connections_dialled_count_and_make_room),
      TEST_ROW(next_hop_is_not_dialled_beyond_the_limit), TEST_ROW(connection_that_nobody_needs_gives_its_descriptor));
