/* What waits for a slow next hop: it is kept as octets, not as frames, so that others get in front of it. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "msrp/private.h"
#include "tests/unit/msrp/rig.h"

static struct rig r;
static struct peer *c, *d;
static char *body;

enum { BODY = 1000000 };

static void start(const char *option)
{
    int little = 65536;
    uint32_t seed = 11;

    rig_start(&r, option);
    c = rig_client(&r, 'C', 'U');
    d = rig_client(&r, 'D', 'V');
    setsockopt(d->fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    body = malloc(BODY);
    CHECK_FATAL(body != NULL);
    for (size_t i = 0; i < BODY; i++) {
        seed = seed * 1664525 + 1013904223;
        body[i] = (char)('a' + (seed >> 24) % 26);
    }
}

static void stop(void)
{
    rig_stop(&r);
    free(body);
}

/* A chunk of m-i001: so many octets from there on, and how it ends; 0: not yet. */
static void chunk(const char *tid, size_t first, size_t n, char flag)
{
    char text[300], end[40];

    snprintf(text, sizeof text, "MSRP %s SEND\nTo-Path: %%U %%V %%D\nFrom-Path: %%C\nMessage-ID: m-i001\nByte-Range: %zu-*/%d\n"
             "Content-Type: application/octet-stream\n\n", tid, first, BODY);
    say(c, text);
    say_bytes(c, body + first - 1, n);
    snprintf(end, sizeof end, "\n-------%s%c\n", tid, flag);
    if (flag)
        say(c, end);
}

static void expect_200(const char *tid)
{
    char text[200];

    snprintf(text, sizeof text, "MSRP %s 200 OK\nTo-Path: %%C\nFrom-Path: %%U\n-------%s$\n", tid, tid);
    EXPECT(c, text);
}

static const char own_report[] = "MSRP i002rprt REPORT\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-old\nByte-Range: 1-10/10\n"
                                 "Status: 000 200 OK\n-------i002rprt$\n";
static const char report_to_d[] = "MSRP %2 REPORT\nTo-Path: %D\nFrom-Path: %V %U %C\nMessage-ID: m-old\nByte-Range: 1-10/10\n"
                                  "Status: 000 200 OK\n-------%2$\n";

/* A piece of m-i001 that begins at that position; its octets are the right ones. */
static size_t hear_piece(size_t first, char flag)
{
    char want[60];
    struct heard h;

    CHECK_FATAL(hear(d, &h));
    snprintf(want, sizeof want, "%zu-*/%d", first, BODY);
    CHECK(sv_eq(heard_header(&h, "Message-ID"), SV("m-i001")));
    CHECK(sv_eq(heard_header(&h, "Byte-Range"), sv_of(want)));
    CHECK(sv_eq(heard_header(&h, "Content-Type"), SV("application/octet-stream"))); /* M-CHK-10 */
    CHECK_INT(h.flag, flag);
    CHECK(first - 1 + h.body.n <= BODY && memcmp(h.body.p, body + first - 1, h.body.n) == 0);
    CHECK(sv_copy(h.tid, r.var['1'], RIG_VAR_MAX));
    return h.body.n;
}

static int64_t held(void)
{
    int64_t sum = 0;

    for (unsigned i = 0; i < RIG_WORKERS; i++)
        sum += r.workers[i].held + r.workers[i].pool.held;
    return sum;
}

/* X-09a as it is printed, M-FAIR-01, M-FWD-20, M-CHK-11, M-CHK-12, M-REP-02: all of it has come and been answered when
 * the REPORT does; D is told of that behind a first piece, and refuses the second one. */
TEST(report_of_the_same_sender_overtakes_bulk_that_waits)
{
    char text[300];
    int64_t before;
    size_t n;

    start(NULL);
    before = held();
    chunk("i001send", 1, BODY, '$');
    expect_200("i001send");
    CHECK(held() > before + BODY / 4); /* M-FLOW-04: what waits is counted */
    CHECK_INT(rig_stat(&r, STAT_msrp_chunks), 1); /* and waited for at a stop */
    say(c, own_report);
    n = hear_piece(1, '+');
    CHECK(n >= CHUNK_MIN && n < BODY * 3 / 4);
    say(d, "MSRP %1 200 OK\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
    EXPECT(d, report_to_d);
    CHECK_INT(hear_piece(n + 1, '$'), BODY - n);
    say(d, "MSRP %1 413 Stop\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
    snprintf(text, sizeof text, "MSRP %%3 REPORT\nTo-Path: %%C\nFrom-Path: %%U %%V\nMessage-ID: m-i001\nByte-Range: %zu-%d/%d\n"
             "Status: 000 413 Stop\n-------%%3$\n", n + 1, BODY, BODY);
    EXPECT(c, text);
    CHECK_INT(rig_stat(&r, STAT_msrp_chunks), 0);
    rig_pass(&r, 31000);
    CHECK(held() < before + 65536);
    EXPECT_NOTHING(c);
    stop();
}

/* M-FAIR-06, M-CHK-08, M-CHK-17: a small message of the same session gets in front, chunks of the same message do not,
 * long or short. */
TEST(chunks_of_one_message_that_wait_keep_their_order)
{
    enum { FIRST = 800000, SECOND = 1000, THIRD = 30000 };
    size_t n;

    start(NULL);
    chunk("i001send", 1, FIRST, '+');
    expect_200("i001send");
    chunk("i002send", FIRST + 1, SECOND, '+');
    expect_200("i002send");
    chunk("i003send", FIRST + SECOND + 1, THIRD, 0);
    say(c, "\n-------i003send$\n");
    expect_200("i003send");
    say(c, "MSRP i004send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-small\nContent-Type: a/b\n\nsmall\n-------i004send$\n");
    expect_200("i004send");
    n = hear_piece(1, '+');
    CHECK(n >= CHUNK_MIN && n < FIRST);
    EXPECT(d, "MSRP %2 SEND\nTo-Path: %D\nFrom-Path: %V %U %C\nMessage-ID: m-small\nContent-Type: a/b\n\nsmall\n-------%2$\n");
    CHECK_INT(hear_piece(n + 1, '+'), FIRST - n);
    CHECK_INT(hear_piece(FIRST + 1, '+'), SECOND);
    CHECK_INT(hear_piece(FIRST + SECOND + 1, '$'), THIRD);
    EXPECT_NOTHING(d);
    CHECK_INT(rig_stat(&r, STAT_msrp_chunks), 0);
    stop();
}

/* M-CHK-14, X-09d: nobody waits for octets of a message that cannot be completed; the chunk before, which was answered,
 * still comes. */
TEST(sender_that_dies_takes_what_waits_of_his_chunk_with_him)
{
    enum { FIRST = 700000 };
    int64_t before;
    struct peer *x;
    struct heard h;
    size_t n;

    for (int round = 0; round < 2; round++) {
        start(NULL);
        before = held();
        if (round)
            chunk("i001send", 1, FIRST, '+');
        chunk("i002send", round ? FIRST + 1 : 1, round ? 200000 : 900000, 0);
        if (round)
            expect_200("i001send");
        else
            CHECK(held() > before + 150000);
        peer_reset(c);
        rig_turn(&r);
        if (round) {
            for (n = 0; n < FIRST;)
                n += hear_piece(n + 1, '+');
            CHECK_INT(hear_piece(FIRST + 1, '#'), 0);
        } else {
            CHECK(held() < before + 150000); /* nothing but the queue */
            n = hear_piece(1, '#');
            CHECK(n >= CHUNK_MIN && n < 900000);
        }
        x = rig_peer(&r);
        say(x, "MSRP x001send SEND\nTo-Path: %V %D\nFrom-Path: msrp://x.invalid:9/x;tcp\nMessage-ID: m-x001\n-------x001send$\n");
        CHECK(hear(d, &h) && sv_eq(heard_header(&h, "Message-ID"), SV("m-x001")));
        CHECK_INT(rig_stat(&r, STAT_msrp_chunks), 0);
        stop();
    }
}

/* M-TOK-12, M-FR-01: what was taken from a sender is delivered when his connection has broken, also when he is back on another one, or his token ends
 * while he is away: nobody could tell him that it was not. */
TEST(sender_that_has_left_has_what_waits_delivered)
{
    enum { AWAY, BACK, GONE };

    for (int back = AWAY; back <= GONE; back++) {
        start("msrp.auth_min_expires=10");
        chunk("i001send", 1, BODY, '$');
        expect_200("i001send");
        peer_reset(c);
        rig_turn(&r);
        if (back == GONE) {
            rig_pass(&r, 11000);
            CHECK_INT(rig_stat(&r, STAT_sessions), 1);
        }
        if (back == BACK) {
            c = rig_peer(&r);
            say(c, "MSRP i002auth AUTH\nTo-Path: %U\nFrom-Path: %C\n-------i002auth$\n");
            EXPECT(c, "MSRP i002auth 200 OK\nTo-Path: %C\nFrom-Path: %U\nUse-Path: %U\nExpires: 3600\n-------i002auth$\n");
        }
        CHECK_INT(hear_piece(1, '$'), BODY);
        stop();
    }
}

/* X-09b, M-CHK-13: who gives up himself has all that he has said before delivered. */
TEST(sender_that_gives_up_has_what_waits_delivered)
{
    size_t n = 0;

    start(NULL);
    chunk("i003send", 1, 900000, '#');
    expect_200("i003send");
    n = hear_piece(1, '#');
    CHECK_INT(n, 900000);
    stop();
}

/* M-FR-01, M-REP-02, M-CON-10, M-FR-04: a next hop ends while octets wait for it. One REPORT tells of all that came;
 * nothing with Failure-Report: no. */
TEST(next_hop_that_ends_fails_what_waits_for_it)
{
    char text[300];
    int64_t before;

    start(NULL);
    before = held();
    chunk("i001send", 1, BODY, '$');
    expect_200("i001send");
    peer_reset(d);
    snprintf(text, sizeof text, "MSRP %%1 REPORT\nTo-Path: %%C\nFrom-Path: %%U %%V\nMessage-ID: m-i001\nByte-Range: 1-%d/%d\n"
             "Status: 000 408 Downstream transaction timed out\n-------%%1$\n", BODY, BODY);
    EXPECT(c, text);
    EXPECT_NOTHING(c);
    CHECK_INT(rig_stat(&r, STAT_msrp_chunks), 0);
    CHECK(held() < before + 65536);
    stop();
}

/* M-FAIR-07: whole messages, too, wait beside the queue when it is full, and come in their order. */
TEST(long_messages_wait_beside_a_queue_that_is_full)
{
    enum { N = 110, SIZE = 8000 };
    char text[200];
    struct heard h;

    start(NULL);
    for (int i = 0; i < N; i++) {
        snprintf(text, sizeof text, "MSRP w%03dsend SEND\nTo-Path: %%U %%V %%D\nFrom-Path: %%C\nMessage-ID: m-w%03d\nFailure-Report: no\n"
                 "Content-Type: a/b\n\n", i, i);
        say(c, text);
        say_bytes(c, body + i, SIZE);
        snprintf(text, sizeof text, "\n-------w%03dsend$\n", i);
        say(c, text);
    }
    rig_pass(&r, 40);
    rig_turn(&r);
    CHECK(rig_longest_queue(&r) <= CONN_TX_HIGH + WORKER_READ_SIZE);
    for (int i = 0; i < N; i++) {
        snprintf(text, sizeof text, "m-w%03d", i);
        CHECK_FATAL(hear(d, &h) && sv_eq(heard_header(&h, "Message-ID"), sv_of(text)) && sv_eq(h.body, sv_make(body + i, SIZE)) && h.flag == '$');
    }
    stop();
}

/* M-FR-01: one of two tokens of a connection ends. What waits for it fails; what waits for the other one does not, nor does a request that only its
 * far end answers. */
TEST(what_waits_for_the_other_token_of_a_connection_is_delivered)
{
    enum { FILL = 60, SIZE = 8000, N = 5 };
    char text[300];
    struct msrp_uri u;
    struct heard h;
    int delivered = 0;

    start(NULL);
    say_auth(d, 'D', 'W');
    for (int i = 0; i < FILL; i++) {
        snprintf(text, sizeof text, "MSRP f%03dsend SEND\nTo-Path: %%U %%W %%D\nFrom-Path: %%C\nMessage-ID: m-f%03d\nFailure-Report: no\n"
                 "Content-Type: a/b\n\n", i, i);
        say(c, text);
        say_bytes(c, body, SIZE);
        snprintf(text, sizeof text, "\n-------f%03dsend$\n", i);
        say(c, text);
    }
    say(c, "MSRP n001nick NICKNAME\nTo-Path: %U %V %D\nFrom-Path: %C\n-------n001nick$\n");
    for (int i = 0; i < 2 * N; i++) {
        snprintf(text, sizeof text, "MSRP s%03dsend SEND\nTo-Path: %%U %%%c %%D\nFrom-Path: %%C\nMessage-ID: m-%c%03d\nContent-Type: a/b\n\nhello\n"
                 "-------s%03dsend$\n", i, "VW"[i % 2], "vw"[i % 2], i, i);
        say(c, text);
        snprintf(text, sizeof text, "s%03dsend", i);
        expect_200(text);
    }
    CHECK_FATAL(msrp_uri_parse(&u, sv_of(r.var['V'])));
    CHECK(relay_kick(r.shared, u.session));
    rig_turn(&r);
    for (int i = 0; i < N; i++) {
        CHECK_FATAL(hear(c, &h));
        CHECK(sv_starts(heard_header(&h, "Message-ID"), SV("m-v")) && sv_starts(heard_header(&h, "Status"), SV("000 481")));
    }
    while (delivered < N) {
        CHECK_FATAL(hear(d, &h));
        if (h.start.n > 8 && sv_eq(sv_from(h.start, h.start.n - 8), SV("NICKNAME"))) {
            CHECK_FATAL(sv_copy(h.tid, r.var['1'], RIG_VAR_MAX));
            say(d, "MSRP %1 200 OK\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
        }
        delivered += sv_starts(heard_header(&h, "Message-ID"), SV("m-w"));
    }
    EXPECT(c, "MSRP n001nick 200 OK\nTo-Path: %C\nFrom-Path: %U %V %D\n-------n001nick$\n");
    EXPECT_NOTHING(c);
    stop();
}

/* M-REP-03: a frame without body that waits behind a chunk of its message fails with it, of no octet. */
TEST(bodiless_frame_that_waits_fails_with_the_range_it_came_with)
{
    struct heard h;
    int bodiless = 0;

    start(NULL);
    chunk("i001send", 1, 900000, '+');
    expect_200("i001send");
    say(c, "MSRP i002send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-i001\n-------i002send$\n");
    expect_200("i002send");
    peer_reset(d);
    for (int i = 0; i < 2; i++) {
        CHECK_FATAL(hear(c, &h));
        CHECK(sv_starts(heard_header(&h, "Status"), SV("000 408")));
        bodiless += sv_eq(heard_header(&h, "Byte-Range"), SV("1-0/0"));
    }
    CHECK_INT(bodiless, 1);
    EXPECT_NOTHING(c);
    stop();
}

/* M-FAIR-02, M-FAIR-01: what waits of two senders goes on in turns, in pieces, and neither waits for the end of the other. */
TEST(what_waits_of_two_senders_goes_on_in_turns)
{
    enum { N = 900000 };
    size_t got[2] = { 0 }, alone = 0, longest = 0;
    struct peer *x;
    struct heard h;

    start(NULL);
    x = rig_client(&r, 'F', 'W');
    chunk("i001send", 1, N, '+');
    expect_200("i001send");
    say(x, "MSRP x001send SEND\nTo-Path: %W %V %D\nFrom-Path: %F\nMessage-ID: m-x001\nContent-Type: a/b\n\n");
    say_bytes(x, body, N);
    say(x, "\n-------x001send$\n");
    EXPECT(x, "MSRP x001send 200 OK\nTo-Path: %F\nFrom-Path: %W\n-------x001send$\n");
    for (int i = 0; got[0] + got[1] < 2 * N && i < 100000; i++) {
        peer_read(d, 16384);
        rig_turn(&r);
        while (peer_frame(d, &h)) {
            int who = sv_eq(heard_header(&h, "Message-ID"), SV("m-x001"));

            CHECK_FATAL(got[who] + h.body.n <= N && memcmp(h.body.p, body + got[who], h.body.n) == 0);
            got[who] += h.body.n;
            if (!got[1])
                alone = got[0];
            else if (got[!who] < N)
                longest = TD_MAX(longest, h.body.n);
        }
    }
    CHECK(got[0] == N && got[1] == N);
    CHECK(alone < N && longest < 65536);
    stop();
}

/* M-FWD-16, M-FR-02: 413 to a first piece ends all that waits of the message, which its sender hears once of each
 * chunk. */
TEST(message_that_is_refused_while_it_waits_goes_no_further)
{
    char text[300];
    size_t n;

    start(NULL);
    chunk("i001send", 1, 900000, '+');
    expect_200("i001send");
    chunk("i002send", 900001, 3000, '$');
    expect_200("i002send");
    say(c, own_report);
    n = hear_piece(1, '+');
    say(d, "MSRP %1 413 Stop\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
    snprintf(text, sizeof text, "MSRP %%4 REPORT\nTo-Path: %%C\nFrom-Path: %%U %%V\nMessage-ID: m-i001\nByte-Range: 900001-903000/%d\n"
             "Status: 000 413 Stop\n-------%%4$\n", BODY);
    EXPECT(c, text);
    snprintf(text, sizeof text, "MSRP %%3 REPORT\nTo-Path: %%C\nFrom-Path: %%U %%V\nMessage-ID: m-i001\nByte-Range: 1-%zu/%d\n"
             "Status: 000 413 Stop\n-------%%3$\n", n, BODY);
    EXPECT(c, text);
    EXPECT(d, report_to_d);
    CHECK(hear_piece(n + 1, '#') < 900000 - n);
    EXPECT_NOTHING(d);
    EXPECT_NOTHING(c);
    CHECK_INT(rig_stat(&r, STAT_msrp_chunks), 0);
    stop();
}

/* M-FWD-16: another message of the same sender goes on. */
TEST(message_that_waits_is_not_refused_with_another_one)
{
    enum { N = 250000 };
    size_t n = 0;
    struct heard h;

    start(NULL);
    chunk("i001send", 1, 700000, '+');
    expect_200("i001send");
    say(c, "MSRP i003send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-else\nContent-Type: a/b\n\n");
    say_bytes(c, body, N);
    say(c, "\n-------i003send$\n");
    expect_200("i003send");
    say(c, own_report);
    hear_piece(1, '+');
    say(d, "MSRP %1 413 Stop\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
    CHECK(hear(c, &h) && sv_eq(heard_header(&h, "Message-ID"), SV("m-i001")) && sv_starts(heard_header(&h, "Status"), SV("000 413")));
    while (n < N && hear(d, &h)) {
        if (!sv_eq(heard_header(&h, "Message-ID"), SV("m-else")))
            continue;
        CHECK_FATAL(h.flag != '#' && n + h.body.n <= N && memcmp(h.body.p, body + n, h.body.n) == 0);
        n += h.body.n;
    }
    CHECK_INT(n, N);
    EXPECT_NOTHING(c);
    stop();
}

/* M-FRM-18, M-FRM-16: octets that wait are looked through for the identifier under which they go, wherever they were
 * cut. */
TEST(identifier_in_use_that_waits_ends_the_piece)
{
    enum { FROM = 300000, EVERY = 97 };
    char line[64];
    struct sv seen;
    size_t n = 0, width;
    int pieces = 0;
    struct heard h;

    start(NULL);
    chunk("i001send", 1, FROM, 0);
    seen = hear_rest(d);
    CHECK_FATAL(sv_starts(seen, SV("MSRP ")));
    width = (size_t)snprintf(line, sizeof line, "\r\n-------%.16s$\r\n", seen.p + 5);
    for (size_t at = FROM; at + width < BODY; at += EVERY) {
        memcpy(body + at, line, width);
        line[20] = line[20] == 'q' ? 'r' : 'q'; /* the first one is our identifier, the others are nearly */
    }
    say_bytes(c, body + FROM, BODY - FROM);
    say(c, "\n-------i001send$\n");
    expect_200("i001send");
    do {
        CHECK_FATAL(hear(d, &h));
        CHECK(h.body.n <= BODY - n && memcmp(h.body.p, body + n, h.body.n) == 0);
        n += h.body.n;
        pieces++;
    } while (h.flag == '+');
    CHECK_INT(n, BODY);
    CHECK_INT(pieces, 2);
    stop();
}

/* M-FLOW-01, M-FLOW-02: no more than msrp.buffer of one session waits; then its sender is not read. */
TEST(what_waits_for_a_session_has_a_limit)
{
    enum { BUFFER = 128 * 1024, CROSSING = 256 * 1024 + WORKER_READ_SIZE, QUEUE = CONN_TX_HIGH + WORKER_READ_SIZE };
    char text[300];
    int64_t before, most = 0;
    size_t at = 0;

    start("msrp.buffer=128k");
    before = held();
    snprintf(text, sizeof text, "MSRP i001send SEND\nTo-Path: %%U %%V %%D\nFrom-Path: %%C\nMessage-ID: m-i001\nByte-Range: 1-*/%d\n"
             "Content-Type: application/octet-stream\n\n", BODY);
    say(c, text);
    for (int idle = 0; idle < 20; idle++) {
        size_t n = at < BODY ? push(c, body + at, BODY - at) : 0;

        at += n;
        idle = n ? 0 : idle;
        rig_turn(&r);
        most = TD_MAX(most, held() - before);
    }
    CHECK(most >= BUFFER && most <= BUFFER + QUEUE + (RIG_WORKERS > 1 ? CROSSING : 0) + WORKER_READ_SIZE + 65536);
    CHECK(rig_stat(&r, STAT_msrp_paused) > 0);
    for (int i = 0; at < BODY && i < 10000; i++) {
        hear_rest(d);
        at += push(c, body + at, BODY - at);
    }
    CHECK_INT(at, BODY);
    say(c, "\n-------i001send$\n");
    CHECK_INT(hear_piece(1, '$'), BODY);
    expect_200("i001send");
    stop();
}

SUITE(ahead_suite, TEST_ROW(report_of_the_same_sender_overtakes_bulk_that_waits),
      TEST_ROW(chunks_of_one_message_that_wait_keep_their_order), TEST_ROW(sender_that_dies_takes_what_waits_of_his_chunk_with_him),
      TEST_ROW(sender_that_has_left_has_what_waits_delivered),
      TEST_ROW(sender_that_gives_up_has_what_waits_delivered), TEST_ROW(next_hop_that_ends_fails_what_waits_for_it),
      TEST_ROW(message_that_is_refused_while_it_waits_goes_no_further), TEST_ROW(identifier_in_use_that_waits_ends_the_piece),
      TEST_ROW(what_waits_for_a_session_has_a_limit), TEST_ROW(what_waits_for_the_other_token_of_a_connection_is_delivered),
      TEST_ROW(message_that_waits_is_not_refused_with_another_one),
      TEST_ROW(long_messages_wait_beside_a_queue_that_is_full), TEST_ROW(bodiless_frame_that_waits_fails_with_the_range_it_came_with), TEST_ROW(what_waits_of_two_senders_goes_on_in_turns));
