/* Chunks in pieces: splitting, interrupting, giving up, back-pressure (RFC 4975 s.7.1.1). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "msrp/private.h"
#include "tests/unit/msrp/rig.h"

static struct rig r;
static struct peer *c, *d;
static char *body;

enum { BODY = 200000 };

/* C and D are clients with the tokens U and V. */
static void start(void)
{
    uint32_t seed = 5;

    rig_start(&r, NULL);
    snprintf(r.var['C'], RIG_VAR_MAX, "msrp://alice-pc.invalid:49152/a1;tcp");
    snprintf(r.var['D'], RIG_VAR_MAX, "msrp://dave-pc.invalid:49153/d1;tcp");
    c = rig_peer(&r);
    say_auth(c, 'C', 'U');
    d = rig_peer(&r);
    say_auth(d, 'D', 'V');
    body = malloc(BODY);
    CHECK_FATAL(body != NULL);
    for (size_t i = 0; i < BODY; i++) {
        seed = seed * 1664525 + 1013904223;
        body[i] = (char)(seed >> 24);
    }
    memcpy(body + 100, "\r\n-------zzzz$\r\n", 16);
    memcpy(body + 70000, "\r\n-------zzzz$\r\n", 16);
}

static void stop(void)
{
    rig_stop(&r);
    free(body);
}

static void head(const char *more)
{
    char text[500];

    snprintf(text, sizeof text, "MSRP b001send SEND\nTo-Path: %%U %%V %%D\nFrom-Path: %%C\nMessage-ID: m-0001\n%s\n",
             more);
    say(c, text);
}

/* Another client's REPORT for D: it must not wait for C's chunk. */
static void report_for_d(const char *message_id)
{
    static struct peer *x;
    char text[500];

    x = rig_peer(&r);
    snprintf(text, sizeof text,
             "MSRP x001rprt REPORT\nTo-Path: %%V %%D\nFrom-Path: msrp://x%s.invalid:9/x;tcp\nMessage-ID: "
             "%s\n-------x001rprt$\n",
             message_id, message_id);
    say(x, text);
}

/* Hear pieces of m-0001 until one does not end with +; other frames are counted. Checks ranges and bytes. Returns
 * the octets. */
static size_t hear_pieces(size_t first, char *flag, int *pieces, int *others)
{
    size_t n = 0;
    struct heard h;

    *pieces = *others = 0;
    do {
        char want[40];
        uint64_t start = 0;
        struct sv range;

        CHECK_FATAL(hear(d, &h));
        if (!sv_eq(heard_header(&h, "Message-ID"), SV("m-0001"))) {
            ++*others;
            continue;
        }
        ++*pieces;
        range = heard_header(&h, "Byte-Range");
        CHECK(sv_to_u64(sv_upto(range, sv_find(range, '-')), &start, NULL) && start == first + n);
        snprintf(want, sizeof want, "%zu-*/200000", first + n);
        CHECK(h.body.n <= CHUNK_MIN || sv_eq(range, sv_of(want))); /* M-CHK-04 */
        CHECK(h.flag != '+' || h.body.n >= CHUNK_MIN); /* M-CHK-07 */
        CHECK(sv_eq(heard_header(&h, "Content-Type"), SV("a/b")) &&
              sv_eq(heard_header(&h, "X-Foo"), SV("bar"))); /* M-CHK-10 */
        CHECK(h.body.n == 0 || memcmp(h.body.p, body + first - 1 + n, h.body.n) == 0);
        n += h.body.n;
    } while (h.flag == '+' || !sv_eq(heard_header(&h, "Message-ID"), SV("m-0001")));
    *flag = h.flag;
    return n;
}

#define HEAD "X-Foo: bar\nByte-Range: 1-*/200000\nContent-Type: a/b\n"

/* M-FRM-16, M-FAIR-03, M-CHK-06 */
TEST(long_chunk_comes_out_as_one_when_nothing_else_waits)
{
    char flag;
    int pieces, others;

    start();
    head(HEAD);
    say_bytes(c, body, BODY);
    say(c, "\n-------b001send$\n");
    CHECK_INT(hear_pieces(1, &flag, &pieces, &others), BODY);
    CHECK(flag == '$' && pieces == 1 && others == 0);
    EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
    EXPECT_NOTHING(d);
    stop();
}

/* M-FWD-23: it goes on before it is complete. */
TEST(chunk_is_forwarded_before_its_end_has_come)
{
    start();
    head(HEAD);
    say_bytes(c, body, 5000);
    CHECK(hear_rest(d).n > 5000);
    EXPECT_NOTHING(c);
    stop();
}

/* M-FAIR-01, M-FAIR-04, M-CHK-08, M-CHK-11, M-CHK-12, X-09a */
TEST(other_frames_interrupt_a_chunk_at_any_moment)
{
    for (size_t piece = 700; piece < 30000; piece = piece * 3 + 1) {
        char flag, id[16];
        int pieces, others, reports = 0;

        start();
        head(HEAD);
        for (size_t at = 0; at < BODY; at += piece) {
            say_bytes(c, body + at, TD_MIN(piece, BODY - at));
            if (reports < 5) {
                snprintf(id, sizeof id, "x-%04d", reports++);
                report_for_d(id);
            }
        }
        say(c, "\n-------b001send$\n");
        CHECK_INT(hear_pieces(1, &flag, &pieces, &others), BODY);
        CHECK(flag == '$' && others == reports && pieces > 1 && pieces <= reports + 1);
        EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
        stop();
    }
}

/* M-CHK-06, M-CHK-11, M-CHK-15, M-REP-02: positions have 63 bits, where a chunk is cut and in what is reported of it. */
TEST(positions_go_on_past_32_bits)
{
    static const struct {
        uint64_t first;
        const char *total;
    } rows[] = { { 4294966296, "9000000000" }, { 9223372036854765807, "*" } };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        uint64_t second;
        char text[300];
        struct heard h;

        start();
        snprintf(text, sizeof text, "Byte-Range: %" PRIu64 "-*/%s\nContent-Type: a/b\n", rows[i].first, rows[i].total);
        head(text);
        say_bytes(c, body, 5000);
        report_for_d("x-0001");
        say_bytes(c, body + 5000, 4000);
        say(c, "\n-------b001send$\n");
        CHECK_FATAL(hear(d, &h));
        snprintf(text, sizeof text, "%" PRIu64 "-*/%s", rows[i].first, rows[i].total);
        CHECK(h.flag == '+' && sv_eq(heard_header(&h, "Byte-Range"), sv_of(text)));
        second = rows[i].first + h.body.n;
        CHECK_FATAL(hear(d, &h) && sv_eq(heard_header(&h, "Message-ID"), SV("x-0001")));
        CHECK_FATAL(hear(d, &h));
        snprintf(text, sizeof text, "%" PRIu64 "-*/%s", second, rows[i].total);
        CHECK(h.flag == '$' && sv_eq(heard_header(&h, "Byte-Range"), sv_of(text)));
        CHECK_INT(second + h.body.n, rows[i].first + 9000);
        CHECK(sv_copy(h.tid, r.var['1'], RIG_VAR_MAX));
        say(d, "MSRP %1 413 Stop\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
        EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
        snprintf(text, sizeof text,
                 "MSRP %%2 REPORT\nTo-Path: %%C\nFrom-Path: %%U %%V\nMessage-ID: m-0001\nByte-Range: %" PRIu64 "-%" PRIu64
                 "/%s\nStatus: 000 413 Stop\n-------%%2$\n",
                 second, rows[i].first + 8999, rows[i].total);
        EXPECT(c, text);
        stop();
    }
}

/* M-CHK-08, M-CHK-12: when a chunk was interrupted behind its last octet, a piece without octets follows for an end-line that says more than "there is
 * more"; octets that have come since and are too few for a piece of their own go with it, whatever it says. */
static void check_end_behind_an_interruption(size_t more, char flag)
{
    char end[] = "\n-------b001send?\n";
    struct heard h;

    start();
    head(HEAD);
    say_bytes(c, body, 50000);
    report_for_d("x-0001");
    CHECK(hear(d, &h) && h.body.n == 50000 && h.flag == '+');
    CHECK(hear(d, &h) && sv_eq(heard_header(&h, "Message-ID"), SV("x-0001")));
    say_bytes(c, body + 50000, more);
    *strchr(end, '?') = flag;
    say(c, end);
    if (flag == '+' && !more) {
        EXPECT_NOTHING(d);
    } else {
        CHECK_FATAL(hear(d, &h));
        CHECK(h.flag == flag && sv_eq(h.body, sv_make(body + 50000, more)));
        CHECK(sv_eq(heard_header(&h, "Byte-Range"), SV("50001-*/200000")));
        CHECK(sv_copy(h.tid, r.var['1'], RIG_VAR_MAX));
    }
    EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
    if (flag == '#') {
        say(d, "MSRP %1 400 Bad\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
        if (more) {
            EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: %U %V\nMessage-ID: m-0001\nByte-Range: 50001-50100/200000\nStatus: 000 400 Bad\n-------%2$\n");
        } else { /* M-REP-02: there is no octet of which its failure could be reported */
            EXPECT_NOTHING(c);
        }
    }
    stop();
}

TEST(end_line_alone_is_a_piece_when_it_says_something)
{
    static const char flags[] = "$#+";

    for (const char *flag = flags; *flag; flag++) {
        check_end_behind_an_interruption(0, *flag);
        check_end_behind_an_interruption(100, *flag);
    }
}

/* M-FAIR-06: the sender's own small message is not stuck behind his bulk; C ends a chunk and sends it. */
TEST(chunks_of_other_messages_may_come_between_the_chunks_of_one)
{
    char flag;
    int pieces, others;

    start();
    head(HEAD);
    say_bytes(c, body, 50000);
    say(c, "\n-------b001send+\n");
    say(c, "MSRP b002send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0002\nContent-Type: "
           "a/b\n\nsmall\n-------b002send$\n");
    head("X-Foo: bar\nByte-Range: 50001-*/200000\nContent-Type: a/b\n");
    say_bytes(c, body + 50000, BODY - 50000);
    say(c, "\n-------b001send$\n");
    CHECK_INT(hear_pieces(1, &flag, &pieces, &others), BODY);
    CHECK(flag == '$' && pieces == 2 && others == 1);
    stop();
}

/* M-FAIR-05, M-CHK-05 */
TEST(chunk_of_2048_octets_is_sent_whole_and_a_longer_one_may_be_interrupted)
{
    struct heard h;

    start();
    head("Byte-Range: 1-2048/2048\nContent-Type: a/b\n");
    say_bytes(c, body, 2000);
    report_for_d("x-0001");
    CHECK_FATAL(hear(d, &h));
    CHECK(sv_eq(heard_header(&h, "Message-ID"), SV("x-0001"))); /* the chunk has not begun */
    memset(body + 2000, 'x', 48); /* none of them might begin an end-line, and be held back */
    say_bytes(c, body + 2000, 48);
    EXPECT_NOTHING(d); /* nor has it with all of its octets: another frame would cut it */
    say(c, "\n-------b001send$\n");
    CHECK_FATAL(hear(d, &h));
    CHECK(h.body.n == 2048 && h.flag == '$' && sv_eq(heard_header(&h, "Byte-Range"), SV("1-2048/2048")));
    head("Byte-Range: 1-2049/2049\nContent-Type: a/b\n");
    say_bytes(c, body, 2049);
    say(c, "\n-------b001send$\n");
    CHECK_FATAL(hear(d, &h));
    CHECK(h.body.n == 2049 && sv_eq(heard_header(&h, "Byte-Range"), SV("1-*/2049")));
    stop();
}

/* M-CHK-07: behind an interruption the next piece waits for 2048 octets, and for no more. */
TEST(next_piece_begins_with_its_2048th_octet)
{
    struct heard h;

    start();
    memset(body + 5000, 'x', CHUNK_MIN);
    head(HEAD);
    say_bytes(c, body, 5000);
    report_for_d("x-0001");
    CHECK(hear(d, &h) && h.body.n == 5000 && h.flag == '+');
    CHECK(hear(d, &h) && sv_eq(heard_header(&h, "Message-ID"), SV("x-0001")));
    say_bytes(c, body + 5000, CHUNK_MIN - 1);
    EXPECT_NOTHING(d);
    say_bytes(c, body + 5000 + CHUNK_MIN - 1, 1);
    CHECK(hear_rest(d).n > CHUNK_MIN);
    stop();
}

/* M-CHK-04, M-CHK-05: the same when all of it is there at once. */
TEST(whole_chunk_of_more_than_2048_octets_leaves_with_an_open_range)
{
    struct buf frame = BUF_INIT;
    struct heard h;

    start();
    for (size_t n = 2048; n <= 2049; n++) {
        buf_clear(&frame);
        buf_printf(&frame, "MSRP b001send SEND\r\nTo-Path: %s %s %s\r\nFrom-Path: %s\r\nMessage-ID: m-0001\r\n",
                   r.var['U'], r.var['V'], r.var['D'], r.var['C']);
        buf_printf(&frame, "Byte-Range: 11-%zu/9000\r\nX-Foo: bar\r\nContent-Type: a/b\r\n\r\n", n + 10);
        buf_add(&frame, body, n);
        buf_puts(&frame, "\r\n-------b001send+\r\n");
        say_bytes(c, frame.p, frame.n);
        CHECK_FATAL(hear(d, &h));
        CHECK(h.body.n == n && memcmp(h.body.p, body, n) == 0 && h.flag == '+');
        CHECK(sv_eq(heard_header(&h, "Byte-Range"), n == 2048 ? SV("11-2058/9000") : SV("11-*/9000")));
        CHECK(sv_eq(heard_header(&h, "X-Foo"), SV("bar")));
    }
    buf_fini(&frame);
    stop();
}

/* M-CHK-03, M-CHK-11: no Byte-Range is invented but for the pieces after the first. */
TEST(chunk_without_byte_range_gets_one_only_when_it_is_cut)
{
    struct heard h;

    start();
    head("Content-Type: a/b\n");
    say_bytes(c, body, 3000);
    report_for_d("x-0001");
    say_bytes(c, body + 3000, 3000);
    say(c, "\n-------b001send$\n");
    CHECK_FATAL(hear(d, &h));
    CHECK(h.body.n == 3000 && h.flag == '+' && !heard_header(&h, "Byte-Range").p);
    CHECK_FATAL(hear(d, &h));
    CHECK_FATAL(hear(d, &h));
    CHECK(h.body.n == 3000 && h.flag == '$' && sv_eq(heard_header(&h, "Byte-Range"), SV("3001-*/*")));
    CHECK(memcmp(h.body.p, body + 3000, 3000) == 0 && sv_eq(heard_header(&h, "Message-ID"), SV("m-0001")));
    stop();
}

/* M-CHK-13, X-09b */
TEST(sender_who_gives_up_ends_the_chunk_downstream)
{
    char flag;
    int pieces, others;

    start();
    head(HEAD);
    say_bytes(c, body, 30000);
    report_for_d("x-0001");
    say(c, "\n-------b001send#\n");
    EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
    CHECK_INT(hear_pieces(1, &flag, &pieces, &others), 30000);
    CHECK(flag == '#' && others == 1 && pieces == 2); /* the second one is empty */
    stop();
}

/* M-CHK-13, X-09c */
TEST(empty_chunk_that_gives_up_is_forwarded_as_such)
{
    start();
    say(c, "MSRP b005send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0004\nByte-Range: "
           "4097-*/9000\nContent-Type: a/b\n\n\n-------b005send#\n");
    EXPECT(d, "MSRP %1 SEND\nTo-Path: %D\nFrom-Path: %V %U %C\nMessage-ID: m-0004\nByte-Range: "
              "4097-*/9000\nContent-Type: a/b\n\n\n-------%1#\n");
    say(d, "MSRP %1 400 Bad\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
    EXPECT(c, "MSRP b005send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b005send$\n");
    EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: %U %V\nMessage-ID: m-0004\nByte-Range: 4097-4096/9000\nStatus: 000 400 Bad\n-------%2$\n");
    stop();
}

/* M-CHK-14, X-09d */
TEST(source_that_dies_ends_the_chunk_and_the_next_hop_stays_usable)
{
    char flag;
    int pieces, others;

    start();
    head(HEAD);
    say_bytes(c, body, 30000);
    peer_reset(c);
    CHECK_INT(hear_pieces(1, &flag, &pieces, &others), 30000);
    CHECK(flag == '#');
    report_for_d("x-0002");
    CHECK_INT(hear_rest(d).n > 0, 1);
    stop();
}

/* M-FRM-18: a body that contains the identifier in use ends the piece before that line, whatever the split. */
TEST(identifier_in_use_that_comes_in_the_body_ends_the_piece)
{
    for (int cut = 0; cut < 40; cut += 3) {
        char flag, line[64];
        int pieces, others;
        struct sv seen;
        size_t n;

        start();
        head(HEAD);
        say_bytes(c, body, 60000);
        seen = hear_rest(d);
        CHECK_FATAL(sv_starts(seen, SV("MSRP ")));
        n = (size_t)snprintf(line, sizeof line, "\r\n-------%.16s$\r\nrest", seen.p + 5);
        memcpy(body + 60000, line, n);
        say_bytes(c, body + 60000, (size_t)cut);
        say_bytes(c, body + 60000 + cut, BODY - 60000 - (size_t)cut);
        say(c, "\n-------b001send$\n");
        CHECK_INT(hear_pieces(1, &flag, &pieces, &others), BODY);
        CHECK(flag == '$' && pieces == 2);
        stop();
    }
}

/* M-FWD-16: who said 413 gets no further octet of that message; other messages go on. */
TEST(message_that_was_stopped_is_sent_no_further)
{
    char flag;
    int pieces, others;
    struct heard h;

    start();
    head(HEAD);
    say_bytes(c, body, 30000);
    report_for_d("x-0001"); /* ends the first piece */
    CHECK_FATAL(hear(d, &h));
    CHECK(h.flag == '+' && sv_copy(h.tid, r.var['1'], RIG_VAR_MAX));
    CHECK_FATAL(hear(d, &h));
    say_bytes(c, body + 30000, 20000); /* the second piece is open */
    say(d, "MSRP %1 413 Stop\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
    EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: %U %V\nMessage-ID: m-0001\nByte-Range: 1-30000/200000\nStatus: "
              "000 413 Stop\n-------%2$\n");
    CHECK_INT(hear_pieces(30001, &flag, &pieces, &others), 20000);
    CHECK(flag == '#' && pieces == 1);
    say_bytes(c, body + 50000, BODY - 50000);
    say(c, "\n-------b001send+\n");
    CHECK_FATAL(hear(c, &h));
    EXPECT_NOTHING(d);
    say(c, "MSRP b002send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\nByte-Range: "
           "200001-200005/200005\nContent-Type: a/b\n\nhello\n-------b002send$\n");
    CHECK_FATAL(hear(c, &h));
    CHECK(sv_starts(h.start, SV("MSRP b002send 413 ")));
    say(c, "MSRP b003send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0002\n-------b003send$\n");
    EXPECT(d, "MSRP %3 SEND\nTo-Path: %D\nFrom-Path: %V %U %C\nMessage-ID: m-0002\n-------%3$\n");
    stop();
}

/* M-FWD-16, M-FR-02: a chunk that is still coming when an earlier one is refused ends with it, without a REPORT of its own. */
TEST(chunk_that_comes_when_an_earlier_one_is_refused_ends_without_a_report)
{
    struct heard h;

    start();
    say(c, "MSRP b000send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\nByte-Range: 1-5/200000\nContent-Type: a/b\n\nhello\n-------b000send+\n");
    EXPECT(c, "MSRP b000send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b000send$\n");
    CHECK(hear(d, &h) && h.body.n == 5 && sv_copy(h.tid, r.var['1'], RIG_VAR_MAX));
    head("Byte-Range: 6-*/200000\nContent-Type: a/b\n");
    say_bytes(c, body, 5000);
    say(d, "MSRP %1 413 Stop\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
    EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: %U %V\nMessage-ID: m-0001\nByte-Range: 1-5/200000\nStatus: 000 413 Stop\n-------%2$\n");
    CHECK(hear(d, &h) && h.body.n == 5000 && h.flag == '#');
    EXPECT_NOTHING(c);
    say_bytes(c, body + 5000, 5000);
    EXPECT_NOTHING(d);
    EXPECT_NOTHING(c);
    stop();
}

/* M-FWD-16: what others send under the same Message-ID is another message. */
TEST(message_that_was_stopped_is_one_senders)
{
    struct peer *x;
    struct heard h;

    start();
    x = rig_peer(&r);
    say(x, "MSRP x001send SEND\nTo-Path: %V %D\nFrom-Path: msrp://x.invalid:9/x;tcp\nMessage-ID: m-0001\nContent-Type: a/b\n\n");
    say_bytes(x, body, 5000);
    head(HEAD);
    say_bytes(c, body, 5000);
    CHECK(hear(d, &h) && h.body.n == 5000 && h.flag == '+'); /* X's, that C's has interrupted */
    CHECK_FATAL(sv_starts(hear_rest(d), SV("MSRP ")));
    CHECK(sv_copy(sv_make(hear_rest(d).p + 5, TID_LEN), r.var['1'], RIG_VAR_MAX));
    say(d, "MSRP %1 413 Stop\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
    CHECK(hear(d, &h) && h.body.n == 5000 && h.flag == '#');
    say_bytes(x, body + 5000, 5000);
    say(x, "\n-------x001send$\n");
    CHECK_FATAL(hear(d, &h));
    CHECK(h.body.n == 5000 && h.flag == '$' && sv_eq(heard_header(&h, "Byte-Range"), SV("5001-*/*")));
    EXPECT(x, "MSRP x001send 200 OK\nTo-Path: msrp://x.invalid:9/x;tcp\nFrom-Path: %V\n-------x001send$\n");
    EXPECT_NOTHING(x);
    stop();
}

/* M-FLOW-03: who asks without reading the answers is not heard until he reads; then every question is answered. */
TEST(questions_of_a_peer_that_does_not_read_are_left_waiting)
{
    enum { N = 120000 };
    struct buf all = BUF_INIT;
    size_t sent = 0, most = 0;
    int answers = 0;
    struct heard h;

    start();
    for (int i = 0; i < N; i++)
        buf_printf(&all, "MSRP t%06d SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: m-0001\r\n-------t%06d$\r\n",
                   i, r.var['U'], r.var['C'], i);
    for (int idle = 0; sent < all.n && idle < 100;) {
        ssize_t n = send(c->fd, all.p + sent, all.n - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

        sent += n > 0 ? (size_t)n : 0;
        idle = n > 0 ? 0 : idle + 1;
        rig_wait(&r, 0);
        most = TD_MAX(most, rig_longest_queue(&r));
    }
    CHECK(sent < all.n);
    CHECK(most < 4 << 20);
    while (answers < N) {
        if (sent < all.n) {
            ssize_t n = send(c->fd, all.p + sent, all.n - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

            sent += n > 0 ? (size_t)n : 0;
        }
        rig_wait(&r, 0);
        peer_read(c, 1 << 16);
        CHECK_FATAL(!c->ended);
        for (; peer_frame(c, &h); answers++) {
            char tid[16];

            snprintf(tid, sizeof tid, "t%06d", answers);
            CHECK_FATAL(sv_eq(h.tid, sv_of(tid)));
        }
    }
    EXPECT_NOTHING(c);
    buf_fini(&all);
    stop();
}

/* M-FLOW-01, M-FAIR-07: the sender is paused, the relay holds little, and every octet arrives in order. */
TEST(slow_reader_pauses_the_sender_and_loses_nothing)
{
    enum { SIZE = 12 << 20 };
    char *bulk = malloc(SIZE);
    size_t sent = 0, most = 0;
    struct heard h;

    CHECK_FATAL(bulk != NULL);
    for (size_t i = 0; i < SIZE; i++)
        bulk[i] = (char)(i * 2654435761u >> 13);
    start();
    head("Byte-Range: 1-*/12582912\nContent-Type: a/b\n");
    for (int idle = 0; sent < SIZE;) {
        ssize_t n = send(c->fd, bulk + sent, SIZE - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

        sent += n > 0 ? (size_t)n : 0;
        idle = n > 0 ? 0 : idle + 1;
        rig_wait(&r, 0);
        most = TD_MAX(most, rig_longest_queue(&r));
        if (idle > 30) { /* nothing goes any more: now D reads a little */
            hear_rest(d);
            idle = 0;
        }
    }
    say(c, "\n-------b001send$\n");
    /* The high mark and one read; across workers also what is in the ring when the pause comes. */
    CHECK(most < CONN_TX_HIGH + WORKER_READ_SIZE + 4096 + (RIG_WORKERS > 1 ? 384 * 1024 : 0));
    CHECK(rig_stat(&r, STAT_msrp_paused) > 0);
    CHECK_FATAL(hear(d, &h));
    CHECK(h.body.n == SIZE && memcmp(h.body.p, bulk, SIZE) == 0 && h.flag == '$');
    EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
    stop();
    free(bulk);
}

SUITE(stream_suite, TEST_ROW(long_chunk_comes_out_as_one_when_nothing_else_waits),
      TEST_ROW(chunk_is_forwarded_before_its_end_has_come), TEST_ROW(other_frames_interrupt_a_chunk_at_any_moment), TEST_ROW(positions_go_on_past_32_bits), TEST_ROW(end_line_alone_is_a_piece_when_it_says_something),
      TEST_ROW(chunks_of_other_messages_may_come_between_the_chunks_of_one),
      TEST_ROW(chunk_of_2048_octets_is_sent_whole_and_a_longer_one_may_be_interrupted),
      TEST_ROW(next_piece_begins_with_its_2048th_octet), TEST_ROW(whole_chunk_of_more_than_2048_octets_leaves_with_an_open_range),
      TEST_ROW(chunk_without_byte_range_gets_one_only_when_it_is_cut),
      TEST_ROW(questions_of_a_peer_that_does_not_read_are_left_waiting),
      TEST_ROW(sender_who_gives_up_ends_the_chunk_downstream), TEST_ROW(empty_chunk_that_gives_up_is_forwarded_as_such),
      TEST_ROW(source_that_dies_ends_the_chunk_and_the_next_hop_stays_usable),
      TEST_ROW(identifier_in_use_that_comes_in_the_body_ends_the_piece),
      TEST_ROW(message_that_was_stopped_is_sent_no_further), TEST_ROW(message_that_was_stopped_is_one_senders),
      TEST_ROW(chunk_that_comes_when_an_earlier_one_is_refused_ends_without_a_report), TEST_ROW(slow_reader_pauses_the_sender_and_loses_nothing));
