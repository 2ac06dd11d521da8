/* What slow, dying and greedy peers can do to others, and what they can make us keep. */
#include <stdio.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "msrp/private.h"
#include "tests/unit/msrp/rig.h"

static struct rig r;

static struct peer *client(char name, char token)
{
    return rig_client(&r, name, token);
}

static void frame_to(struct buf *b, char to, char token, int number, size_t size)
{
    buf_printf(b, "MSRP t%06d SEND\r\nTo-Path: %s %s %s\r\nFrom-Path: %s\r\nMessage-ID: m%06d\r\nFailure-Report: no\r\n"
               "Byte-Range: 1-%zu/%zu\r\nContent-Type: a/b\r\n\r\n", number, r.var['U'],
               r.var[(int)token], r.var[(int)to], r.var['C'], number, size, size);
    add_octets(b, size);
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

        snprintf(text, sizeof text, "MSRP f%06d SEND\nTo-Path: %%U %%C\nFrom-Path: msrp://f%d.invalid:9/f;tcp\n"
                 "Message-ID: m-0001\n-------f%06d$\n",
                 i, i, i);
        say(f, text);
        CHECK_FATAL(hear(f, &h));
        CHECK(sv_starts(sv_from(h.start, 5 + h.tid.n), i < BINDINGS_PER_SESSION ? SV(" 200 OK") : SV(" 403 ")));
    }
    peer_close(f); /* they go with their connection */
    f = rig_peer(&r);
    say(f, "MSRP f900000 SEND\nTo-Path: %U %C\nFrom-Path: msrp://f900.invalid:9/f;tcp\n"
           "Message-ID: m-0001\n-------f900000$\n");
    EXPECT(f, "MSRP f900000 200 OK\nTo-Path: msrp://f900.invalid:9/f;tcp\nFrom-Path: %U\n-------f900000$\n");
    rig_stop(&r);
}

/* The connection of the client with this token. */
static struct conn *owner_of(char token)
{
    struct msrp_uri u;
    struct session *s;
    struct conn *c;

    CHECK_FATAL(msrp_uri_parse(&u, sv_of(r.var[(int)token])));
    s = session_find(r.shared->sessions, u.session);
    CHECK_FATAL(s != NULL);
    c = conn_deref(&r.workers[s->owner.worker], s->owner);
    session_unref(&s);
    return c;
}

/* M-FR-01, M-FR-02: no piece of a chunk goes out of whose failure its sender could not be told. */
TEST(piece_without_room_for_its_transaction_is_a_408_report)
{
    static const char body[3000] = { 'x' };
    struct peer *c, *d, *f;
    unsigned *n_txns;

    rig_start(&r, NULL);
    c = client('C', 'U');
    d = client('D', 'V');
    f = rig_peer(&r);
    snprintf(r.var['F'], RIG_VAR_MAX, "msrp://f.invalid:9/f;tcp");
    n_txns = &((struct msrp_conn *)owner_of('V')->user)->n_txns;
    *n_txns += TXNS_PER_CONN;
    say(c, "MSRP c001send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\nByte-Range: 1-*/6000\nContent-Type: a/b\n\n");
    say_bytes(c, body, sizeof body);
    EXPECT(c, "MSRP %1 REPORT\nTo-Path: %C\nFrom-Path: %U %V\nMessage-ID: m-0001\nByte-Range: 1-0/6000\nStatus: 000 408 Downstream "
              "transaction timed out\n-------%1$\n");
    say_bytes(c, body, sizeof body);
    say(c, "\n-------c001send$\n");
    EXPECT(c, "MSRP c001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------c001send$\n");
    EXPECT_NOTHING(d);

    *n_txns -= TXNS_PER_CONN; /* and when that happens between two pieces */
    say(c, "MSRP c002send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0002\nByte-Range: 1-*/6000\nContent-Type: a/b\n\n");
    say_bytes(c, body, sizeof body);
    *n_txns += TXNS_PER_CONN;
    say(f, "MSRP f001rept REPORT\nTo-Path: %V %D\nFrom-Path: %F\nMessage-ID: m-0003\nByte-Range: 1-1/1\nStatus: 000 200\n-------f001rept$\n");
    say_bytes(c, body, sizeof body);
    EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: %U %V\nMessage-ID: m-0002\nByte-Range: 3001-3000/6000\nStatus: 000 408 "
              "Downstream transaction timed out\n-------%2$\n");
    *n_txns -= TXNS_PER_CONN;
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
    say(c, "MSRP b001send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\n"
           "Byte-Range: 1-*/9000\nContent-Type: a/b\n\n");
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

static struct conn *conn_of(const struct peer *p, const char *token)
{
    struct sv id = sv_make(strrchr(token, '/') + 1, SESSION_ID_LEN);
    struct session *s = session_find(r.shared->sessions, id);
    struct conn *c = s ? conn_deref(p->worker, s->owner) : NULL;

    session_unref(&s);
    return c;
}

/* M-FLOW-01: many sources may find a next hop full at the same moment; it is not closed for what they had said. */
TEST(full_next_hop_is_not_closed_for_one_frame_of_each_of_many_sources)
{
    enum { SOURCES = 10, SIZE = 15000 };
    struct peer *c, *d, *x;
    struct buf b = BUF_INIT;
    struct conn *to;
    size_t limit;
    int heard = 0, said = 0;
    struct heard h;

    rig_start(&r, "msrp.buffer=64k");
    c = client('C', 'U');
    d = client('D', 'V');
    to = conn_of(d, r.var['V']);
    CHECK_FATAL(to != NULL);
    while (said < 5000) { /* until C is paused, between two frames */
        buf_clear(&b);
        frame_to(&b, 'D', 'V', said, SIZE);
        if (send(c->fd, b.p, b.n, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)b.n)
            break;
        said++;
        rig_turn(&r);
        if (rig_stat(&r, STAT_msrp_paused))
            break;
    }
    CHECK_FATAL(rig_stat(&r, STAT_msrp_paused) > 0);
    to->tx_max = conn_queued(to) + 64 * 1024;
    limit = to->tx_max - (RIG_WORKERS - 1) * (size_t)(64 * 1024); /* C waits */
    for (int i = 0; i < SOURCES; i++) {
        if (RIG_WORKERS == 2 && r.n_peers % 2)
            rig_peer(&r); /* sources on the worker of C */
        x = client('X', 'Y');
        memcpy(r.var['U'], r.var['Y'], RIG_VAR_MAX);
        memcpy(r.var['C'], r.var['X'], RIG_VAR_MAX);
        buf_clear(&b);
        frame_to(&b, 'D', 'V', said++, SIZE);
        CHECK_INT(push(x, b.p, b.n), b.n);
        if (r.n_peers >= RIG_PEERS - 1)
            break;
    }
    for (int idle = 0; idle < 50; idle++) {
        peer_read(d, SIZE_MAX);
        while (peer_frame(d, &h))
            heard++, idle = 0;
        rig_wait(&r, 1);
    }
    CHECK_FATAL(!d->ended);
    CHECK_INT(heard, said);
    CHECK_INT(to->tx_max, limit); /* nobody is waited for any more */
    buf_fini(&b);
    rig_stop(&r);
}

/* M-RSP-03: an answer that waits in a connection to which the relay does not listen is not late. */
TEST(answer_behind_bulk_that_must_wait_is_not_late)
{
    struct peer *c, *d, *f;
    struct buf b = BUF_INIT;
    size_t said;

    rig_start(&r, "msrp.buffer=64k");
    c = client('C', 'U');
    d = client('D', 'V');
    f = client('F', 'W');
    say(c, "MSRP c000001 SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\n-------c000001$\n");
    EXPECT(c, "MSRP c000001 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------c000001$\n");
    EXPECT(d, "MSRP %1 SEND\nTo-Path: %D\nFrom-Path: %V %U %C\nMessage-ID: m-0001\n-------%1$\n");
    memcpy(r.var['U'], r.var['V'], RIG_VAR_MAX); /* now D is the source */
    memcpy(r.var['C'], r.var['D'], RIG_VAR_MAX);
    for (int i = 0; i < 3000; i++)
        frame_to(&b, 'F', 'W', i, 8000);
    buf_printf(&b, "MSRP %s 200 OK\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------%s$\r\n", r.var['1'], r.var['V'],
               r.var['D'], r.var['1']);
    said = push(d, b.p, b.n);
    CHECK_FATAL(said < b.n && rig_stat(&r, STAT_msrp_paused) > 0);
    rig_pass(&r, 40000);
    EXPECT_NOTHING(c);
    CHECK_INT(rig_stat(&r, STAT_msrp_transactions), 1);
    peer_reset(f); /* nothing holds D back any more */
    CHECK_INT(push(d, b.p + said, b.n - said), b.n - said);
    for (int i = 0; i < 1000 && rig_stat(&r, STAT_msrp_transactions); i++)
        rig_turn(&r);
    CHECK_INT(rig_stat(&r, STAT_msrp_transactions), 0);
    EXPECT_NOTHING(c);
    EXPECT_NOTHING(d);
    buf_fini(&b);
    rig_stop(&r);
}

/* M-TMR-03, M-TMR-05: an answer that we do not read has as much time again, and no more; one that cannot be there,
 * none. */
TEST(answer_that_is_not_read_is_late_in_the_end)
{
    enum { NOTHING_SAID, SAID, SAID_AND_RESUMED, MEMORY, N_CASES };

    for (int how = 0; how < N_CASES; how++) {
        struct peer *c, *d;
        struct conn *from;

        rig_start(&r, NULL);
        c = client('C', 'U');
        d = client('D', 'V');
        say(c, "MSRP c000001 SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\n-------c000001$\n");
        EXPECT(c, "MSRP c000001 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------c000001$\n");
        EXPECT(d, "MSRP %1 SEND\nTo-Path: %D\nFrom-Path: %V %U %C\nMessage-ID: m-0001\n-------%1$\n");
        from = conn_of(d, r.var['V']);
        conn_pause(from, how == MEMORY ? CONN_PAUSE_MEMORY : CONN_PAUSE_FLOW);
        if (how != NOTHING_SAID)
            say(d, "MSRP %1 200 OK\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
        rig_pass(&r, 29500);
        CHECK_INT(rig_stat(&r, STAT_msrp_transactions), 1);
        if (how == SAID || how == SAID_AND_RESUMED) {
            rig_pass(&r, 21000);
            CHECK_INT(rig_stat(&r, STAT_msrp_transactions), 1);
            EXPECT_NOTHING(c);
            if (how == SAID_AND_RESUMED)
                from->pauses = 0; /* as between conn_resume() and the next read */
            rig_pass(&r, 2000);
            CHECK_INT(rig_stat(&r, STAT_msrp_transactions), 1);
            if (how == SAID_AND_RESUMED) { /* once more it is looked at */
                conn_pause(from, CONN_PAUSE_FLOW);
                conn_resume(from, CONN_PAUSE_FLOW);
                rig_turn(&r);
                CHECK_INT(rig_stat(&r, STAT_msrp_transactions), 0);
                EXPECT_NOTHING(c);
                rig_stop(&r);
                continue;
            }
            rig_pass(&r, 8500);
        } else {
            rig_pass(&r, how == MEMORY ? 3000 : 1000);
        }
        CHECK_INT(rig_stat(&r, STAT_msrp_transactions), 0);
        EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: %U %V\nMessage-ID: m-0001\nByte-Range: 1-0/0\n"
                  "Status: 000 408 Downstream transaction timed out\n-------%2$\n");
        rig_stop(&r);
    }
}

/* M-FR-01: nobody can have what was not written. A 200 that comes before the end of a chunk counts when the end is
 * written, and not when the next hop goes before. */
TEST(success_in_the_middle_of_a_chunk_counts_at_its_end)
{
    char bytes[20000];

    memset(bytes, 'x', sizeof bytes);
    for (int lost = 0; lost < 2; lost++) {
        struct peer *c, *d;
        struct heard h;

        rig_start(&r, NULL);
        c = client('C', 'U');
        d = client('D', 'V');
        say(c, "MSRP b001send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\n"
               "Byte-Range: 1-*/60000\nContent-Type: a/b\n\n");
        say_bytes(c, bytes, sizeof bytes);
        CHECK_FATAL(sv_copy(sv_make(hear_rest(d).p + 5, 16), r.var['1'], RIG_VAR_MAX)); /* D is in the middle of it */
        say(d, "MSRP %1 200 OK\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
        if (lost)
            peer_reset(d);
        say_bytes(c, bytes, sizeof bytes);
        say(c, "\n-------b001send+\n");
        if (lost)
            EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: %U %V\nMessage-ID: m-0001\n"
                      "Byte-Range: 1-20000/60000\nStatus: 000 408 Downstream transaction timed out\n-------%2$\n");
        CHECK(hear_more(d, &h) != lost);
        CHECK(lost || (h.body.n == 2 * sizeof bytes && h.flag == '+'));
        EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
        rig_pass(&r, 40000);
        EXPECT_NOTHING(c);
        rig_stop(&r);
    }
}

/* RFC 4975 s.10.5: who wants no more of a message may say so before the chunk has ended. */
TEST(refusal_in_the_middle_of_a_chunk_counts)
{
    static const char *const answers[] = { "413 Stop", "481 Gone" };
    char bytes[20000];

    memset(bytes, 'x', sizeof bytes);
    for (size_t i = 0; i < TD_ARRAY_LEN(answers); i++) {
        struct peer *c, *d;
        struct heard h;
        char text[300];

        rig_start(&r, NULL);
        c = client('C', 'U');
        d = client('D', 'V');
        say(c, "MSRP b001send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\n"
               "Byte-Range: 1-*/60000\nContent-Type: a/b\n\n");
        say_bytes(c, bytes, sizeof bytes);
        CHECK_FATAL(sv_copy(sv_make(hear_rest(d).p + 5, 16), r.var['1'], RIG_VAR_MAX)); /* D is in the middle of it */
        snprintf(text, sizeof text, "MSRP %%1 %s\nTo-Path: %%V\nFrom-Path: %%D\n-------%%1$\n", answers[i]);
        say(d, text);
        CHECK_FATAL(hear(d, &h));
        CHECK_INT(h.body.n, sizeof bytes);
        CHECK(h.flag == (i == 0 ? '#' : '+'));
        snprintf(text, sizeof text, "MSRP %%2 REPORT\nTo-Path: %%C\nFrom-Path: %%U %%V\nMessage-ID: m-0001\n"
                 "Byte-Range: 1-20000/60000\nStatus: 000 %s\n-------%%2$\n", answers[i]);
        EXPECT(c, text);
        say_bytes(c, bytes, sizeof bytes);
        say(c, "\n-------b001send+\n");
        EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
        CHECK(hear_more(d, &h) == (i != 0));
        rig_stop(&r);
    }
}

/* M-SEC-05: a client's frames open eight connections at a time; those for a ninth wait. */
TEST(only_so_many_connections_are_being_opened_for_one_client)
{
    int full = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fill[4];
    struct addr at;
    socklen_t len = sizeof at;
    struct peer *c;
    struct heard h;
    char text[400];
    int reports = 0;

    CHECK_FATAL(full >= 0 && addr_from_host(&at, SV("0.0.0.0"), 0));
    CHECK_FATAL(bind(full, &at.sa, addr_len(&at)) == 0 && listen(full, 0) == 0 && getsockname(full, &at.sa, &len) == 0);
    for (size_t i = 0; i < TD_ARRAY_LEN(fill); i++) { /* it takes no more */
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        CHECK(connect(fill[i], &at.sa, addr_len(&at)) != 1);
    }
    rig_start(&r, NULL);
    c = client('C', 'U');
    for (int i = 0; i < 10; i++) {
        snprintf(text, sizeof text, "MSRP c%06d SEND\nTo-Path: %%U msrp://127.0.0.%d:%u/f;tcp\nFrom-Path: %%C\n"
                 "Message-ID: m-0001\n-------c%06d$\n", i, i + 2, addr_port(&at), i);
        say(c, text);
    }
    for (int i = 0; i < 8; i++) {
        CHECK_FATAL(hear(c, &h));
        CHECK(sv_starts(sv_from(h.start, 5 + h.tid.n), SV(" 200 OK")));
    }
    EXPECT_NOTHING(c);
    CHECK_INT(rig_stat(&r, STAT_conn_open), 9);
    rig_pass(&r, 12000); /* those have failed */
    for (int i = 0; i < 10; i++) {
        CHECK_FATAL(hear(c, &h));
        reports += sv_starts(sv_from(h.start, 5 + h.tid.n), SV(" REPORT"));
    }
    CHECK_INT(reports, 8);
    CHECK_INT(rig_stat(&r, STAT_conn_open), 3);
    rig_stop(&r);
    for (size_t i = 0; i < TD_ARRAY_LEN(fill); i++)
        close(fill[i]);
    close(full);
}

/* M-FAIR-02: two bulk transfers over one connection both advance, however slowly it is read: both in every stretch
 * of it, and neither gets more than twice the octets of the other. */
TEST(bulk_of_two_sessions_shares_a_connection)
{
    enum { MESSAGE = 12 << 20, STRETCH = 2 << 20 };
    struct peer *c[2], *f = NULL;
    size_t said[2] = { 0 }, got[2] = { 0 }, mark[2] = { 0 }, stretches = 0;
    char *body = malloc(MESSAGE);
    struct heard h;

    CHECK_FATAL(body != NULL);
    memset(body, 'x', MESSAGE);
    rig_start(&r, NULL);
    rig_listen(&r, 'F', 8192);
    c[0] = client('C', 'U');
    c[1] = client('D', 'V');
    say(c[0], "MSRP bulk0000 SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0000\nByte-Range: 1-*/*\nContent-Type: a/b\n\n");
    say(c[1], "MSRP bulk0001 SEND\nTo-Path: %V %F\nFrom-Path: %D\nMessage-ID: m-0001\nByte-Range: 1-*/*\nContent-Type: a/b\n\n");
    for (int idle = 0; got[0] < MESSAGE / 2 && got[1] < MESSAGE / 2 && idle < 1000; idle++) {
        for (int i = 0; i < 2; i++) {
            size_t n = push(c[i], body + said[i], TD_MIN((size_t)MESSAGE - said[i], (size_t)262144));

            said[i] += n;
            idle = n ? 0 : idle;
        }
        if (!f)
            f = rig_accept(&r);
        CHECK_FATAL(f != NULL);
        peer_read(f, 65536);
        rig_turn(&r);
        while (peer_frame(f, &h)) {
            struct sv id = heard_header(&h, "Message-ID");

            CHECK(h.has_body && id.n == 6);
            got[id.p[5] - '0'] += h.body.n;
            idle = 0;
        }
        if (got[0] - mark[0] + got[1] - mark[1] < STRETCH)
            continue;
        if (stretches++) /* not the one in which they began */
            CHECK(got[0] > mark[0] && got[1] > mark[1]);
        mark[0] = got[0];
        mark[1] = got[1];
    }
    CHECK(stretches >= 3);
    CHECK(got[0] <= 2 * got[1] && got[1] <= 2 * got[0]);
    rig_stop(&r);
    free(body);
}

/* In small blocks and in large ones. */
static size_t memory_used(void)
{
    struct mallinfo2 m = mallinfo2();

    return m.uordblks + m.hblkhd;
}

/* M-FRM-21, M-SEC-03: a million frames that are framed but wrong, each answered 400, leave nothing behind. */
TEST(a_million_malformed_frames_keep_no_memory)
{
    enum { ROUNDS = TEST_VOLUME(RIG_WORKERS == 1 ? 1000 : 100), EACH = 1000 };
    static const char *const faults[] = { "Byte-Range: 9-1/5\r\nMessage-ID: m-0001\r\n", "Failure-Report: maybe\r\nMessage-ID: m-0001\r\n",
                                          "", "Message-ID: m-0001\r\nMessage-ID: m-0002\r\n",
                                          "Message-ID: m-0001\r\nByte-Range: 1-*/99999999999999999999\r\n" };
    size_t before = 0, answers = 0;
    struct buf b = BUF_INIT;
    struct peer *c;
    struct heard h;

    rig_start(&r, NULL);
    c = client('C', 'U');
    for (int i = 0; i < EACH; i++) /* each to another place, as a route would be kept for each */
        buf_printf(&b, "MSRP t%06d SEND\r\nTo-Path: %s msrp://h%d.example:9/x;tcp\r\nFrom-Path: %s\r\n%s-------t%06d$\r\n", i, r.var['U'], i,
                   r.var['C'], faults[(size_t)i % TD_ARRAY_LEN(faults)], i);
    for (int round = 0; round < ROUNDS; round++) {
        say_bytes(c, b.p, b.n);
        while (hear(c, &h)) {
            CHECK(sv_eq(sv_from(h.start, h.start.n - 15), SV("400 Bad Request")));
            if (++answers % EACH == 0)
                break;
        }
        if (round == 1) /* buffers have their size by then */
            before = memory_used();
    }
    CHECK_INT(answers, (size_t)ROUNDS * EACH);
    CHECK(memory_used() < before + 65536);
    CHECK_INT(rig_stat(&r, STAT_conn_dialled), 0);
    rig_stop(&r);
    buf_fini(&b);
}

/* M-COD-01, M-AUTH-34, M-FWD-33: when we have no descriptor left, a next hop is one that cannot be reached: a SEND is
 * accepted and reported on, an AUTH answered 408, of a REPORT and of other methods nobody hears. */
TEST(next_hop_for_which_there_is_no_descriptor_is_a_408_report)
{
    struct rlimit all, none;
    struct peer *c;

    rig_start(&r, NULL);
    c = client('C', 'U');
    CHECK_FATAL(getrlimit(RLIMIT_NOFILE, &all) == 0);
    none = all;
    none.rlim_cur = 0;
    CHECK_FATAL(setrlimit(RLIMIT_NOFILE, &none) == 0);
    say(c, "MSRP full0001 SEND\nTo-Path: %U msrp://127.0.0.1:9/x;tcp\nFrom-Path: %C\nMessage-ID: m-0001\nByte-Range: 1-5/5\nContent-Type: "
           "a/b\n\nhello\n-------full0001$\n");
    EXPECT(c, "MSRP full0001 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------full0001$\n");
    EXPECT(c, "MSRP %1 REPORT\nTo-Path: %C\nFrom-Path: %U\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 408 Downstream transaction "
              "timed out\n-------%1$\n");
    say(c, "MSRP full0002 SEND\nTo-Path: %U msrp://127.0.0.1:9/x;tcp\nFrom-Path: %C\nMessage-ID: m-0002\nFailure-Report: no\n-------full0002$\n");
    say(c, "MSRP full0003 REPORT\nTo-Path: %U msrp://127.0.0.1:9/x;tcp\nFrom-Path: %C\nMessage-ID: m-0003\nByte-Range: 1-5/5\nStatus: 000 200 "
           "OK\n-------full0003$\n");
    say(c, "MSRP full0004 FROB\nTo-Path: %U msrp://127.0.0.1:9/x;tcp\nFrom-Path: %C\n-------full0004$\n");
    EXPECT_NOTHING(c);
    say(c, "MSRP full0005 AUTH\nTo-Path: %U msrps://127.0.0.1:9/x;tcp\nFrom-Path: %C\n-------full0005$\n");
    EXPECT(c, "MSRP full0005 408 Downstream transaction timed out\nTo-Path: %C\nFrom-Path: %U\n-------full0005$\n");
    CHECK_FATAL(setrlimit(RLIMIT_NOFILE, &all) == 0);
    rig_listen(&r, 'F', 0); /* and it is over when there is one again */
    say(c, "MSRP full0006 SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0006\n-------full0006$\n");
    EXPECT(c, "MSRP full0006 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------full0006$\n");
    CHECK(rig_accept(&r) != NULL);
    rig_stop(&r);
}

/* One route each for so many senders' names of so many octets; whose routes are looked at. */
static struct msrp_conn *make_routes(struct peer *c, struct peer *d, int from, int to, int name_size)
{
    struct buf b = BUF_INIT;

    for (int i = from; i < to; i++) {
        buf_printf(&b, "MSRP t%06d SEND\r\nTo-Path: %s %s %s\r\nFrom-Path: msrp://c.invalid:9/%0*d;tcp\r\nMessage-ID: m%06d\r\n"
                   "Failure-Report: no\r\n-------t%06d$\r\n", i, r.var['U'], r.var['V'], r.var['D'], name_size, i, i, i);
        if (b.n < 60000 && i + 1 < to)
            continue;
        say_bytes(c, b.p, b.n);
        buf_clear(&b);
        hear_rest(d);
        d->got.n = 0;
    }
    buf_fini(&b);
    return msrp_of(conn_of(c, r.var['U']));
}

/* Section 23: the routes that are remembered for a connection, by number and by the octets of their text: at the limit,
 * and one past it. */
TEST(routes_of_a_connection_are_bounded)
{
    const struct msrp_conn *m;
    struct peer *c, *d;
    size_t each, most;

    rig_start(&r, NULL);
    c = client('C', 'U');
    d = client('D', 'V');
    m = make_routes(c, d, 0, ROUTES_PER_CONN, 8);
    CHECK_INT(m->n_routes, ROUTES_PER_CONN);
    make_routes(c, d, ROUTES_PER_CONN, ROUTES_PER_CONN + 1, 8);
    CHECK_INT(m->n_routes, ROUTES_PER_CONN);
    rig_stop(&r);

    rig_start(&r, NULL);
    c = client('C', 'U');
    d = client('D', 'V');
    m = make_routes(c, d, 0, 1, 900);
    each = m->route_bytes;
    most = ROUTE_BYTES_PER_CONN / each;
    CHECK_FATAL(most < ROUTES_PER_CONN);
    make_routes(c, d, 1, (int)most, 900);
    CHECK_INT(m->n_routes, most);
    make_routes(c, d, (int)most, (int)most + 1, 900);
    CHECK_INT(m->n_routes, most);
    CHECK_INT(m->route_bytes, most * each);
    rig_stop(&r);
}

/* Section 23: what may wait for a connection before its senders are paused: one octet less than the limit, and the
 * limit. */
TEST(buffer_of_a_next_hop_is_full_at_its_limit)
{
    enum { BUFFER = 256 * 1024 };
    char *octets = calloc(1, 8 << 20);
    struct peer *c, *d;
    struct conn *to;
    struct heard h;

    CHECK_FATAL(octets != NULL);
    for (int more = -1; more <= 0; more++) {
        rig_start(&r, "msrp.buffer=256k");
        c = client('C', 'U');
        d = client('D', 'V');
        to = conn_of(d, r.var['V']);
        while (conn_queued(to) == 0) { /* until the system takes no more */
            conn_write(to, octets, 65536);
            conn_flush(to);
        }
        conn_write(to, octets, (size_t)(BUFFER + more) - conn_queued(to));
        for (int i = 0; i < 2; i++)
            say(c, "MSRP c000001 SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\n-------c000001$\n");
        CHECK(hear_more(c, &h) == (RIG_WORKERS == 2 || more < 0)); /* from another worker one gets through before that one's word */
        CHECK(!hear_more(c, &h));
        CHECK_INT(rig_stat(&r, STAT_msrp_forwarded), RIG_WORKERS == 2 || more < 0);
        rig_stop(&r);
    }
    free(octets);
}

/* M-SEC-04: who connects again and again to say what is no frame fills no log. */
TEST(flood_of_malformed_frames_is_no_flood_of_lines)
{
    enum { FRAMES = 200 };
    char line[1000], path[] = "/tmp/tandem-log-XXXXXX";
    int file = mkstemp(path), before = dup(2), lines = 0;
    time_t began = time(NULL);
    FILE *log;

    CHECK_FATAL(file >= 0 && before >= 0);
    unlink(path);
    rig_start(&r, NULL);
    fflush(stderr);
    dup2(file, 2);
    for (int i = 0; i < FRAMES; i++) {
        struct peer *p = rig_peer(&r);

        say(p, "MSRP a SEND\n");
        peer_close(p);
        r.n_peers--;
        buf_fini(&p->got);
        rig_turn(&r);
    }
    dup2(before, 2);
    close(before);
    CHECK_INT(rig_stat(&r, STAT_msrp_malformed), FRAMES);
    rewind(log = fdopen(file, "r"));
    while (fgets(line, sizeof line, log))
        lines++;
    fclose(log);
    CHECK(lines > 0 && lines <= RIG_WORKERS * 2 * (LOG_A_SECOND + 1) * (2 + (int)(time(NULL) - began)));
    rig_stop(&r);
}

SUITE(bounds_suite, TEST_ROW(flood_of_malformed_frames_is_no_flood_of_lines), TEST_ROW(routes_of_a_connection_are_bounded), TEST_ROW(buffer_of_a_next_hop_is_full_at_its_limit),
      TEST_ROW(bulk_of_two_sessions_shares_a_connection), TEST_ROW(a_million_malformed_frames_keep_no_memory), TEST_ROW(next_hop_for_which_there_is_no_descriptor_is_a_408_report),
      TEST_ROW(only_so_many_connections_are_being_opened_for_one_client),
      TEST_ROW(full_next_hop_is_not_closed_for_one_frame_of_each_of_many_sources),
      TEST_ROW(answer_behind_bulk_that_must_wait_is_not_late),
      TEST_ROW(answer_that_is_not_read_is_late_in_the_end), TEST_ROW(refusal_in_the_middle_of_a_chunk_counts),
      TEST_ROW(success_in_the_middle_of_a_chunk_counts_at_its_end),
      TEST_ROW(source_of_two_full_next_hops_waits_for_both), TEST_ROW(foreign_endpoints_of_a_token_are_bounded),
      TEST_ROW(piece_without_room_for_its_transaction_is_a_408_report),
      TEST_ROW(chunk_that_is_open_when_the_relay_stops_is_forgotten));
