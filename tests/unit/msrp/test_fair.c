/* Bulk transfers that share a connection. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "msrp/private.h"
#include "tests/unit/msrp/rig.h"

static struct rig r;

enum { SOURCES = 3, TOTAL = 24 << 20, WINDOW = 3 << 20 };

/* The octets of each message in what D has heard; frames are counted, too. */
struct shares {
    size_t octets[SOURCES], all, before[SOURCES];
    size_t longest; /* piece, while all of them had more to say */
    int windows, unfair;
    bool done[SOURCES];
};

static void hear_shares(struct peer *d, struct shares *s)
{
    struct heard h;

    peer_read(d, 256 * 1024);
    while (peer_frame(d, &h)) {
        struct sv id = heard_header(&h, "Message-ID");
        size_t who = (size_t)(id.p[id.n - 1] - '0');

        CHECK_FATAL(who < SOURCES);
        s->octets[who] += h.body.n;
        s->all += h.body.n;
        if (s->octets[0] > WINDOW && s->octets[1] > WINDOW && s->octets[2] > WINDOW && !s->done[0] && !s->done[1] && !s->done[2])
            s->longest = TD_MAX(s->longest, h.body.n);
        s->done[who] = h.flag == '$';
        if (s->all < (size_t)(s->windows + 1) * WINDOW)
            continue;
        s->windows++;
        for (size_t i = 0; i < SOURCES; i++)
            for (size_t k = 0; k < SOURCES; k++)
                if (!s->done[i] && !s->done[k] && s->octets[i] - s->before[i] > 2 * (s->octets[k] - s->before[k]) + 131072)
                    s->unfair++;
        for (size_t i = 0; i < SOURCES; i++)
            s->before[i] = s->octets[i];
    }
}

/* M-FAIR-02, M-FAIR-03, M-FAIR-04: three long chunks from three connections go to one; all of them advance alike, in
 * long pieces. */
TEST(bulk_of_several_senders_gets_equal_shares_of_a_connection)
{
    static const char tokens[SOURCES] = "UVW", names[SOURCES] = "CDF";
    struct shares s = { 0 };
    struct peer *from[SOURCES], *to;
    char *octets = malloc(TOTAL);
    struct buf head = BUF_INIT;
    size_t said[SOURCES] = { 0 };
    int64_t frames;

    CHECK_FATAL(octets != NULL);
    memset(octets, 'x', TOTAL);
    rig_start(&r, NULL);
    to = rig_client(&r, 'G', 'S');
    for (size_t i = 0; i < SOURCES; i++) {
        from[i] = rig_client(&r, names[i], tokens[i]);
        buf_clear(&head);
        buf_printf(&head, "MSRP bulk000%zu SEND\r\nTo-Path: %s %s %s\r\nFrom-Path: %s\r\nMessage-ID: bulk%zu\r\nFailure-Report: no\r\n"
                   "Byte-Range: 1-*/%d\r\nContent-Type: a/b\r\n\r\n", i, r.var[(int)tokens[i]], r.var['S'], r.var['G'],
                   r.var[(int)names[i]], i, TOTAL);
        say_bytes(from[i], head.p, head.n);
    }
    for (int step = 0; s.all < SOURCES * (size_t)TOTAL && step < 100000; step++) {
        for (size_t i = 0; i < SOURCES; i++) {
            ssize_t n = send(from[i]->fd, octets + said[i], TOTAL - said[i], MSG_DONTWAIT | MSG_NOSIGNAL);

            said[i] += n > 0 ? (size_t)n : 0;
            if (said[i] == TOTAL && n > 0) {
                char end[32];

                snprintf(end, sizeof end, "\n-------bulk000%zu$\n", i);
                say(from[i], end);
            }
        }
        rig_wait(&r, 0);
        hear_shares(to, &s);
    }
    CHECK(s.windows > 10);
    CHECK_INT(s.unfair, 0);
    CHECK(s.longest >= CHUNK_MIN && s.longest <= 3 * WORKER_READ_SIZE); /* four reads a turn, were they alone */
    for (size_t i = 0; i < SOURCES; i++)
        CHECK_INT(s.octets[i], TOTAL);
    frames = rig_stat(&r, STAT_msrp_forwarded);
    CHECK_INT(frames, SOURCES);
    buf_fini(&head);
    free(octets);
    rig_stop(&r);
}

/* ---- both ways at once ---- */

enum { COPY = 6 << 20, SLICE = 24000, BUFFER = 256 * 1024, READ = 65536 };

/* Copies: C to F, D to F, F to C, F to D. No two of them have the same octet at the same place. */
enum { COPIES = 4 };

static char octet(int copy, size_t at)
{
    return (char)('a' + (at + at / 1021 + (size_t)copy * 7) % 26);
}

static void add_slice(struct buf *b, int copy, char token, char to, char from, size_t at, size_t n)
{
    size_t front;

    buf_printf(b, "MSRP copy%d%07zu SEND\r\nTo-Path: %s %s\r\nFrom-Path: %s\r\nMessage-ID: copy%d\r\nFailure-Report: no\r\nByte-Range: %zu-*/%d\r\n"
               "Content-Type: a/b\r\n\r\n", copy, at, r.var[(int)token], r.var[(int)to], r.var[(int)from], copy, at + 1, COPY);
    front = b->n;
    add_octets(b, n);
    for (size_t i = 0; i < n; i++)
        b->p[front + i] = octet(copy, at + i);
    buf_printf(b, "\r\n-------copy%d%07zu%c\r\n", copy, at, at + n == COPY ? '$' : '+');
}

/* What it reads are the octets of its copies, in their order. */
static void hear_copies(struct peer *p, size_t max, size_t got[COPIES])
{
    struct heard h;

    peer_read(p, max);
    while (peer_frame(p, &h)) {
        struct sv id = heard_header(&h, "Message-ID"), range = heard_header(&h, "Byte-Range");
        int copy = id.n == 5 ? id.p[4] - '0' : COPIES;
        uint64_t start;
        bool same = true;

        CHECK_FATAL(copy < COPIES && sv_to_u64(sv_upto(range, sv_find(range, '-')), &start, NULL) && start == got[copy] + 1);
        for (size_t i = 0; i < h.body.n && same; i++)
            same = h.body.p[i] == octet(copy, got[copy] + i);
        CHECK_FATAL(same);
        got[copy] += h.body.n;
        CHECK((h.flag == '$') == (got[copy] == COPY) && h.flag != '#');
    }
}

static int64_t held(void)
{
    int64_t sum = 0;

    for (unsigned i = 0; i < RIG_WORKERS; i++)
        sum += r.workers[i].held + r.workers[i].pool.held;
    return sum;
}

/* When one of the two was complete, how much was there of the other one? Until then: all. */
static size_t least_of(const size_t got[2], size_t least)
{
    size_t less = TD_MIN(got[0], got[1]);

    return least == COPY && (got[0] == COPY || got[1] == COPY) ? TD_MIN(less, (size_t)COPY - 1) : least;
}

static void copy_both_ways(size_t f_reads)
{
    enum { CROSSING = 2 * REMOTE_MAX + WORKER_READ_SIZE, EACH = BUFFER + CONN_TX_HIGH + WORKER_READ_SIZE + CROSSING };
    struct buf said[3] = { BUF_INIT, BUF_INIT, BUF_INIT };
    size_t at[3] = { 0 }, got[COPIES] = { 0 }, least[2] = { COPY, COPY };
    struct peer *from[3] = { 0 };
    int64_t before, most = 0;

    rig_start(&r, "msrp.buffer=256k");
    from[0] = rig_client(&r, 'C', 'U');
    from[1] = rig_client(&r, 'D', 'V');
    rig_listen(&r, 'F', READ);
    before = held();
    add_slice(&said[0], 0, 'U', 'F', 'C', 0, COPY);
    add_slice(&said[1], 1, 'V', 'F', 'D', 0, COPY);
    for (size_t n = 0; n < COPY; n += TD_MIN((size_t)SLICE, COPY - n)) {
        add_slice(&said[2], 2, 'U', 'C', 'F', n, TD_MIN((size_t)SLICE, COPY - n));
        add_slice(&said[2], 3, 'V', 'D', 'F', n, TD_MIN((size_t)SLICE, COPY - n));
    }
    for (int steps = 0; got[0] + got[1] + got[2] + got[3] < (size_t)COPIES * COPY && steps < 100000; steps++) {
        for (int i = 0; i < 3; i++) {
            if (i == 2 && !from[2])
                from[2] = rig_accept(&r);
            CHECK_FATAL(from[i] != NULL && !from[i]->ended);
            if (at[i] < said[i].n) {
                ssize_t n = send(from[i]->fd, said[i].p + at[i], TD_MIN(said[i].n - at[i], (size_t)READ), MSG_DONTWAIT | MSG_NOSIGNAL);

                at[i] += n > 0 ? (size_t)n : 0;
            }
            rig_wait(&r, 0);
            hear_copies(from[i], i == 2 ? f_reads : READ, got);
        }
        most = TD_MAX(most, held() - before);
        for (int i = 0; i < 2; i++)
            least[i] = least_of(got + 2 * i, least[i]);
    }
    for (int i = 0; i < COPIES; i++)
        CHECK_INT(got[i], COPY);
    CHECK(least[0] >= COPY / 2 && least[1] >= COPY / 2);
    CHECK(most <= COPIES * EACH);
    CHECK_INT(rig_stat(&r, STAT_msrp_too_slow), 0);
    for (int i = 0; i < 3; i++)
        buf_fini(&said[i]);
    rig_stop(&r);
}

/* M-FAIR-02, M-FAIR-04, M-CHK-11, M-FLOW-01: C and D copy to F, and F to both of them, on the one connection that these share as they would the link of a
 * relay; all at once, F reading as fast as the others or far slower. No octet is lost or out of its place, neither copy of a direction waits for the
 * other one, and what is held for them stays within their buffers. */
TEST(bulk_goes_both_ways_over_a_shared_connection_at_once)
{
    copy_both_ways(READ);
    copy_both_ways(READ / 16);
}

SUITE(fair_suite, TEST_ROW(bulk_of_several_senders_gets_equal_shares_of_a_connection), TEST_ROW(bulk_goes_both_ways_over_a_shared_connection_at_once));
