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

SUITE(fair_suite, TEST_ROW(bulk_of_several_senders_gets_equal_shares_of_a_connection));
