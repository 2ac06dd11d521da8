/* What slow, dying and greedy peers can do to others, and what they can make us keep. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/msrp/rig.h"

static struct rig r;

/* Say as much of it as the relay takes. */
static size_t push(struct peer *p, const char *bytes, size_t n)
{
    size_t said = 0;

    for (int idle = 0; said < n && idle < 20;) {
        ssize_t sent = send(p->fd, bytes + said, n - said, MSG_DONTWAIT | MSG_NOSIGNAL);

        said += sent > 0 ? (size_t)sent : 0;
        idle = sent > 0 ? 0 : idle + 1;
        rig_wait(&r, 0);
    }
    return said;
}

static struct peer *client(char name, char token)
{
    struct peer *p = rig_peer(&r);

    snprintf(r.var[(int)name], RIG_VAR_MAX, "msrp://client%c.invalid:9/%c;tcp", name, name);
    say_auth(p, name, token);
    return p;
}

static void frame_to(struct buf *b, char to, char token, int number, size_t size)
{
    buf_printf(b, "MSRP t%06d SEND\r\nTo-Path: %s %s %s\r\nFrom-Path: %s\r\nMessage-ID: m%06d\r\nFailure-Report: no\r\n"
               "Byte-Range: 1-%zu/%zu\r\nContent-Type: a/b\r\n\r\n", number, r.var['U'], r.var[(int)token], r.var[(int)to], r.var['C'],
               number, size, size);
    for (size_t i = 0; i < size; i++)
        buf_putc(b, 'x');
    buf_printf(b, "\r\n-------t%06d$\r\n", number);
}

/* M-FLOW-01: a source that has filled two next hops goes on only when both can take more, whichever reads first. */
TEST(source_of_two_full_next_hops_waits_for_both)
{
    enum { FRAMES = 3000, SIZE = 8000, BUFFER = 256 * 1024 };
    struct peer *c, *d, *f;
    struct buf b = BUF_INIT;
    size_t most = 0, at = 0;
    int to_d = 0, to_f = 0;
    struct heard h;

    rig_start(&r, "msrp.buffer=256k");
    c = client('C', 'U');
    d = client('D', 'V');
    rig_peer(&r); /* so that F is on the worker of D, when there are two */
    f = client('F', 'W');
    for (int i = 0; i < FRAMES; i++)
        frame_to(&b, i % 2 ? 'D' : 'F', i % 2 ? 'V' : 'W', i, SIZE);
    for (int step = 0; at < b.n || to_d + to_f < FRAMES; step++) {
        size_t said = push(c, b.p + at, b.n - at);

        at += said;
        most = TD_MAX(most, rig_longest_queue(&r));
        if (step > 100 || at == b.n) /* F is slow to begin */
            peer_read(f, SIZE_MAX);
        while (peer_frame(f, &h))
            to_f++;
        peer_read(d, SIZE_MAX);
        while (peer_frame(d, &h))
            to_d++;
        CHECK_FATAL(!c->ended && !d->ended && !f->ended && step < 10000);
        rig_wait(&r, 0);
    }
    CHECK_INT(to_d, FRAMES / 2);
    CHECK_INT(to_f, FRAMES / 2);
    CHECK(most < 3 * BUFFER); /* its buffer, and with two workers a ring on top */
    CHECK_INT(rig_stat(&r, STAT_msrp_refused), 0);
    buf_fini(&b);
    rig_stop(&r);
}

/* A token's foreign endpoints are looked through for every new path, under a lock: there are only so many. */
TEST(foreign_endpoints_of_a_token_are_bounded)
{
    struct peer *f;
    char text[400];

    rig_start(&r, NULL);
    client('C', 'U');
    f = rig_peer(&r);
    for (int i = 0; i <= BINDINGS_PER_SESSION; i++) {
        struct heard h;

        snprintf(text, sizeof text, "MSRP f%06d SEND\nTo-Path: %%U %%C\nFrom-Path: msrp://f%d.invalid:9/f;tcp\nMessage-ID: m-0001\n-------f%06d$\n",
                 i, i, i);
        say(f, text);
        CHECK_FATAL(hear(f, &h));
        CHECK(sv_starts(sv_from(h.start, 5 + h.tid.n), i < BINDINGS_PER_SESSION ? SV(" 200 OK") : SV(" 403 ")));
    }
    peer_close(f); /* they go with their connection */
    f = rig_peer(&r);
    say(f, "MSRP f900000 SEND\nTo-Path: %U %C\nFrom-Path: msrp://f900.invalid:9/f;tcp\nMessage-ID: m-0001\n-------f900000$\n");
    EXPECT(f, "MSRP f900000 200 OK\nTo-Path: msrp://f900.invalid:9/f;tcp\nFrom-Path: %U\n-------f900000$\n");
    rig_stop(&r);
}

/* With a leak checker this proves more than it says. */
TEST(chunk_that_is_open_when_the_relay_stops_is_forgotten)
{
    struct peer *c;
    char bytes[5000];

    rig_start(&r, NULL);
    c = client('C', 'U');
    client('D', 'V');
    memset(bytes, 'x', sizeof bytes);
    say(c, "MSRP b001send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\nByte-Range: 1-*/9000\nContent-Type: a/b\n\n");
    say_bytes(c, bytes, sizeof bytes);
    CHECK_INT(rig_stat(&r, STAT_msrp_chunks), 1);
    for (unsigned i = RIG_WORKERS; i-- > 0;)
        conn_close_all(&r.workers[i], CLOSE_STOP);
    CHECK_INT(rig_stat(&r, STAT_msrp_chunks), 0);
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        listener_free(&r.listeners[i]);
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        worker_fini(&r.workers[i]);
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        relay_free(&r.relays[i]);
    relay_shared_free(&r.shared);
    conf_free(&r.conf);
    for (size_t i = 0; i < r.n_peers; i++) {
        close(r.peers[i].fd);
        buf_fini(&r.peers[i].got);
    }
}

SUITE(bounds_suite, TEST_ROW(source_of_two_full_next_hops_waits_for_both), TEST_ROW(foreign_endpoints_of_a_token_are_bounded),
      TEST_ROW(chunk_that_is_open_when_the_relay_stops_is_forgotten));
