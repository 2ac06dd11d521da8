/* The accounts: one row for each message that a session sent or was sent, however it ended. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "msrp/private.h"
#include "tests/unit/msrp/rig.h"

static struct rig r;
static struct peer *c, *d; /* clients with the tokens U and V */

static struct row {
    char message_id[40];
    unsigned status;
    uint64_t bytes;
} rows[64];
static unsigned n_rows;

static void on_session(struct worker *w, const struct session *s)
{
}

static void on_session_end(struct worker *w, const struct session *s, enum session_state how)
{
}

static void on_message(struct worker *w, const struct relay_message *m)
{
    struct row *row = &rows[n_rows++];

    CHECK_FATAL(n_rows <= TD_ARRAY_LEN(rows));
    CHECK(sv_copy(m->message_id, row->message_id, sizeof row->message_id));
    row->status = m->status;
    row->bytes = m->bytes;
    CHECK_STR(m->session->username.n == 5 ? "alice" : "", "alice");
    CHECK(m->started_at <= m->finished_at);
}

static const struct relay_observer observer = { on_session, on_session, on_session, on_session_end, on_message };

static void start(const char *option)
{
    rig_start(&r, option);
    r.shared->observer = &observer;
    n_rows = 0;
    snprintf(r.var['C'], RIG_VAR_MAX, "msrp://alice-pc.invalid:49152/a1;tcp");
    snprintf(r.var['D'], RIG_VAR_MAX, "msrp://dave-pc.invalid:49153/d1;tcp");
    c = rig_peer(&r);
    say_auth(c, 'C', 'U');
    d = rig_peer(&r);
    say_auth(d, 'D', 'V');
}

static void stop(void)
{
    rig_stop(&r);
}

static unsigned count; /* of chunks sent, the last of which has this tid */

/* A chunk from C to D; flag 0: it is not ended. */
static void send_chunk(const char *message_id, const char *lines, size_t n, char flag)
{
    char text[600], *body = malloc(n + 1);

    CHECK_FATAL(body != NULL);
    memset(body, 'x', n);
    count++;
    snprintf(text, sizeof text,
             "MSRP acc%05u SEND\nTo-Path: %%U %%V %%D\nFrom-Path: %%C\nMessage-ID: %s\n%sContent-Type: a/b\n\n", count,
             message_id, lines);
    say(c, text);
    say_bytes(c, body, n);
    snprintf(text, sizeof text, "\n-------acc%05u%c\n", count, flag);
    if (flag)
        say(c, text);
    free(body);
}

/* D answers the next chunk that has come to it. */
static void d_answers(unsigned status)
{
    struct heard h;
    char text[200];

    CHECK_FATAL(hear(d, &h));
    CHECK(sv_copy(h.tid, r.var['1'], RIG_VAR_MAX));
    snprintf(text, sizeof text, "MSRP %%1 %03u x\nTo-Path: %%V\nFrom-Path: %%D\n-------%%1$\n", status);
    say(d, text);
}

static void expect_rows(unsigned n, int line)
{
    if (n_rows == n)
        return;
    fprintf(stderr, "line %d: %u rows, not %u\n", line, n_rows, n);
    for (unsigned i = 0; i < n_rows; i++)
        fprintf(stderr, "  %s %u %llu\n", rows[i].message_id, rows[i].status, (unsigned long long)rows[i].bytes);
    CHECK_INT(n_rows, n);
}

static void expect_row(const char *message_id, unsigned status, uint64_t bytes, int line)
{
    expect_rows(1, line);
    CHECK_STR(rows[0].message_id, message_id);
    if (rows[0].status != status || rows[0].bytes != bytes)
        fprintf(stderr, "line %d: status %u bytes %llu\n", line, rows[0].status, (unsigned long long)rows[0].bytes);
    CHECK_INT(rows[0].status, status);
    CHECK_INT(rows[0].bytes, bytes);
    n_rows = 0;
}
#define ROW(message_id, status, bytes) expect_row(message_id, status, bytes, __LINE__)
#define NO_ROW() expect_rows(0, __LINE__)

TEST(row_of_a_message_comes_with_the_answer_to_its_last_chunk)
{
    start(NULL);
    send_chunk("one1", "", 5, '$');
    NO_ROW();
    d_answers(200);
    ROW("one1", 200, 5);
    send_chunk("three", "Byte-Range: 1-*/9000\n", 3000, '+');
    send_chunk("three", "Byte-Range: 3001-*/9000\n", 3000, '+');
    d_answers(200);
    d_answers(200);
    NO_ROW();
    send_chunk("three", "Byte-Range: 6001-*/9000\n", 3000, '$');
    NO_ROW();
    d_answers(200);
    ROW("three", 200, 9000);
    send_chunk("other", "", 5, '$');
    d_answers(204);
    ROW("other", 204, 5);
    stop();
}

TEST(message_nobody_confirms_is_of_status_0)
{
    start(NULL);
    send_chunk("no01", "Failure-Report: no\n", 5, '$');
    ROW("no01", 0, 5);
    send_chunk("no02", "Failure-Report: no\nByte-Range: 1-*/*\n", 3000, '+');
    NO_ROW();
    send_chunk("no02", "Failure-Report: no\nByte-Range: 3001-*/*\n", 3000, '$');
    ROW("no02", 0, 6000);
    send_chunk("no03", "Failure-Report: no\nByte-Range: 1-*/*\n", 30000, '$'); /* in pieces */
    ROW("no03", 0, 30000);
    send_chunk("part", "Failure-Report: partial\nByte-Range: 1-*/*\n", 10, '+');
    send_chunk("part", "Failure-Report: partial\nByte-Range: 11-*/*\n", 10, '$');
    rig_pass(&r, 31000);
    ROW("part", 0, 20);
    send_chunk("lost", "Failure-Report: partial\n", 5, '$');
    rig_turn(&r);
    peer_close(d); /* written, not complained about */
    ROW("lost", 0, 5);
    stop();
}

TEST(failed_message_has_one_row_with_the_first_failure)
{
    start(NULL);
    send_chunk("code", "", 5, '$');
    d_answers(415);
    ROW("code", 415, 5);
    send_chunk("first", "Byte-Range: 1-*/20\n", 10, '+');
    send_chunk("first", "Byte-Range: 11-*/20\n", 10, '$');
    d_answers(500);
    d_answers(200);
    ROW("first", 500, 10);
    for (int i = 0; i < 20; i++)
        send_chunk("many", "Byte-Range: 1-*/*\n", 10, '+');
    for (int i = 0; i < 20; i++)
        d_answers(413);
    ROW("many", 413, 10);
    send_chunk("silent", "", 5, '$');
    rig_pass(&r, 31000);
    ROW("silent", 408, 5);
    send_chunk("p413", "Failure-Report: partial\n", 5, '$');
    { /* the silent one's first */
        struct heard h;

        CHECK_FATAL(hear(d, &h));
    }
    d_answers(413);
    ROW("p413", 413, 5);
    for (int i = 0; i < 20; i++)
        send_chunk("lost", "", 5, '+');
    peer_close(d);
    ROW("lost", 408, 5);
    stop();
}

TEST(message_to_a_next_hop_that_cannot_be_reached_is_of_status_408)
{
    static const struct {
        const char *fr;
        unsigned status;
    } columns[] = { { "", 408 }, { "Failure-Report: partial\n", 408 }, { "Failure-Report: no\n", 0 } };

    for (size_t i = 0; i < TD_ARRAY_LEN(columns); i++) {
        char text[300];

        start(NULL);
        rig_listen(&r, 'F', 0);
        close(r.listen_fd);
        r.listen_fd = -1;
        snprintf(text, sizeof text,
                 "MSRP dead0001 SEND\nTo-Path: %%U %%F\nFrom-Path: %%C\nMessage-ID: dead\n%sContent-Type: "
                 "a/b\n\nhello\n-------dead0001$\n",
                 columns[i].fr);
        say(c, text);
        rig_wait(&r, 10);
        ROW("dead", columns[i].status, 5); /* with no, it is gone from our hands when it is queued */
        stop();
    }
}

TEST(next_hop_lost_in_the_middle_of_a_chunk_is_one_row_of_status_408)
{
    static const char *const columns[] = { "Byte-Range: 1-*/*\n", "Byte-Range: 1-*/*\nFailure-Report: partial\n",
                                           "Byte-Range: 1-*/*\nFailure-Report: no\n" };

    for (size_t i = 0; i < TD_ARRAY_LEN(columns); i++) {
        start(NULL);
        send_chunk("mid1", columns[i], 4000, 0);
        CHECK(hear_rest(d).n > 4000);
        peer_reset(d);
        ROW("mid1", 408, 4000);
        say(c, "the rest\n-------acc00000$\n");
        NO_ROW();
        stop();
    }
}

/* What had come and was too little for a piece of its own counts, too. */
TEST(next_hop_lost_while_octets_wait_is_one_row_of_all_of_them)
{
    struct heard h;

    start(NULL);
    send_chunk("wait", "Byte-Range: 1-*/*\n", 4000, 0);
    say(d, "MSRP d001send SEND\nTo-Path: %V\nFrom-Path: %D\nMessage-ID: m\n-------d001send$\n"); /* its answer interrupts the chunk */
    CHECK(hear(d, &h) && h.body.n == 4000 && h.flag == '+');
    say(c, "a hundred octets, less eighty");
    peer_reset(d);
    ROW("wait", 408, 4000 + 29);
    stop();
}

/* A message that failed has its row, whatever becomes of its later chunks on another connection. */
TEST(failed_message_has_one_row_over_two_connections)
{
    start(NULL);
    rig_listen(&r, 'F', 0);
    for (int i = 0; i < 2; i++) {
        struct peer *f;
        struct heard h;

        say(c, i ? "MSRP two00002 SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: twice\nByte-Range: 2-2/2\nContent-Type: a/b\n\ny\n-------two00002$\n"
                 : "MSRP two00001 SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: twice\nByte-Range: 1-1/2\nContent-Type: a/b\n\nx\n-------two00001+\n");
        f = rig_accept(&r);
        CHECK_FATAL(f != NULL && hear(f, &h) && sv_copy(h.tid, r.var['1'], RIG_VAR_MAX));
        say(f, "MSRP %1 500 x\nTo-Path: %U\nFrom-Path: %F\n-------%1$\n");
        if (i)
            NO_ROW();
        else
            ROW("twice", 500, 1);
        peer_close(f);
    }
    stop();
}

TEST(message_whose_sender_gives_up_or_dies_is_of_status_0)
{
    start(NULL);
    send_chunk("gaveup", "Byte-Range: 1-*/9000\n", 3000, '#');
    d_answers(200);
    ROW("gaveup", 0, 3000);
    send_chunk("later", "Byte-Range: 1-*/9000\n", 3000, '+');
    d_answers(200);
    send_chunk("later", "Byte-Range: 3001-*/9000\n", 0, '#');
    d_answers(200);
    ROW("later", 0, 3000);
    send_chunk("died", "Byte-Range: 1-*/9000\n", 4000, 0);
    peer_reset(c);
    d_answers(200);
    ROW("died", 0, 4000);
    stop();
    start(NULL);
    send_chunk("died2", "Byte-Range: 1-*/9000\nFailure-Report: no\n", 4000, 0);
    peer_reset(c);
    ROW("died2", 0, 4000);
    stop();
}

/* M-FWD-15: what our own policy refuses was refused to a session, and is accounted once; what is refused for other
 * reasons belongs to none. */
TEST(refused_message_has_a_row_when_its_session_is_known)
{
    struct heard h;

    start("msrp.max_message=5000");
    send_chunk("large", "Byte-Range: 1-*/9000\n", 5, '+');
    send_chunk("large", "Byte-Range: 6-*/9000\n", 5, '+');
    ROW("large", 413, 0);
    send_chunk("grows", "Byte-Range: 1-*/*\n", 4000, 0);
    say_bytes(c, "                                                                                ", 80);
    NO_ROW();
    {
        char *more = calloc(1, 2000);

        CHECK_FATAL(more != NULL);
        say_bytes(c, more, 2000);
        free(more);
    }
    d_answers(200); /* to what it got, ended with # */
    ROW("grows", 413, 4080);
    say(c, "\n-------acc99999$\n"); /* still body */
    peer_close(c);
    NO_ROW();
    stop();

    start("msrp.accept_types=text/plain");
    send_chunk("type", "", 5, '$');
    ROW("type", 415, 0);
    say(c, "MSRP acc00001 SEND\nTo-Path: %N %D\nFrom-Path: %C\nMessage-ID: nobody\n-------acc00001$\n"); /* 481 */
    say(c, "MSRP acc00002 SEND\nTo-Path: %U %V %C\nFrom-Path: %C\nMessage-ID: wrong\n-------acc00002$\n"); /* 403 */
    say(c, "MSRP acc00003 REPORT\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: rep1\nByte-Range: 1-1/1\nStatus: 000 "
           "200 OK\n-------acc00003$\n");
    CHECK_FATAL(hear(d, &h));
    NO_ROW();
    stop();
}

/* The next hop says 413 while the chunk is still on its way. */
TEST(message_stopped_by_the_next_hop_is_one_row)
{
    char text[300];
    struct sv start_line;

    start(NULL);
    send_chunk("stop", "Byte-Range: 1-*/*\n", 4000, 0);
    start_line = hear_rest(d);
    start_line = sv_upto(sv_from(start_line, 5), 16);
    CHECK(sv_copy(start_line, r.var['1'], RIG_VAR_MAX));
    snprintf(text, sizeof text, "MSRP %%1 413 Stop\nTo-Path: %%V\nFrom-Path: %%D\n-------%%1$\n");
    say(d, text);
    ROW("stop", 413, 4000);
    send_chunk("xxxx", "", 3000, 0); /* still body of the same chunk */
    peer_close(c);
    NO_ROW();
    stop();
}

static struct session *session_of(char token)
{
    struct msrp_uri u;
    struct session *s;

    CHECK_FATAL(msrp_uri_parse(&u, sv_of(r.var[(int)token])));
    s = session_find(r.shared->sessions, u.session);
    CHECK_FATAL(s != NULL);
    return s;
}

static void end_session(char token)
{
    struct session *s = session_of(token);

    session_end(s, SESSION_EXPIRED);
    session_unref(&s);
}

static struct conn *conn_of(struct peer *p, char token)
{
    struct session *s = session_of(token);
    struct conn *at = conn_deref(p->worker, s->owner);

    session_unref(&s);
    CHECK_FATAL(at != NULL);
    return at;
}

/* The system takes no more for it: so much is queued. */
static void fill_queue(struct conn *to, size_t n)
{
    char *octets = calloc(1, TD_MAX(n, (size_t)65536));

    CHECK_FATAL(octets != NULL);
    while (conn_queued(to) == 0) {
        conn_write(to, octets, 65536);
        conn_flush(to);
    }
    if (n > conn_queued(to))
        conn_write(to, octets, n - conn_queued(to));
    free(octets);
}

/* M-FR-01, last line: a token ends with data queued for its owner, or in the middle of a chunk, and be it the sender's
 * own. What had been written is for the next hop to answer. */
TEST(message_that_a_token_ends_under_is_of_status_481)
{
    start(NULL);
    fill_queue(conn_of(d, 'V'), 0);
    send_chunk("queued", "", 5, '$');
    NO_ROW();
    end_session('V');
    ROW("queued", 481, 5);
    stop();

    start(NULL);
    send_chunk("middle", "Byte-Range: 1-*/9000\n", 4000, 0);
    end_session('V');
    ROW("middle", 481, 4000);
    stop();

    start(NULL);
    send_chunk("mine", "Byte-Range: 1-*/9000\n", 4000, 0);
    end_session('U');
    NO_ROW();
    send_chunk("xxxx", "", 3000, 0); /* still body of the same chunk */
    ROW("mine", 481, 4000);
    stop();

    start(NULL);
    send_chunk("written", "", 5, '$');
    end_session('V');
    NO_ROW();
    d_answers(200);
    ROW("written", 200, 5);
    stop();
}

/* M-TOK-12, M-FLOW-02: its next hop is away for now, or has not read for too long: 408, with all the octets that have
 * come. */
TEST(message_that_cannot_be_passed_on_now_is_of_status_408)
{
    struct conn *to;

    start(NULL);
    peer_close(d);
    send_chunk("away", "", 5, '$');
    ROW("away", 408, 5);
    send_chunk("away2", "Byte-Range: 1-*/9000\n", 4000, '$');
    expect_rows(1, __LINE__);
    CHECK(rows[0].status == 408 && rows[0].bytes <= 4000); /* as much as was there when it was known */
    n_rows = 0;
    rig_pass(&r, 61000); /* nobody has come for it: there is no session any more */
    send_chunk("gone", "", 5, '$');
    NO_ROW();
    stop();

    start(NULL);
    to = conn_of(d, 'V');
    fill_queue(to, msrp_of(to)->buffer);
    msrp_of(to)->hold_spent = true; /* it has held up others for 30 s */
    to->above = 1;
    msrp_of(conn_of(c, 'U'))->shared = true;
    send_chunk("slow", "", 5, '$');
    ROW("slow", 408, 5);
    stop();
}

/* M-CON-17: the server stops, and has waited long enough. */
TEST(message_that_is_open_when_the_server_stops_has_its_row)
{
    static const struct {
        const char *lines;
        size_t n;
        char flag;
        unsigned status;
    } cases[] = { { "", 5, '$', 408 }, { "Failure-Report: partial\n", 5, '$', 0 }, { "Byte-Range: 1-*/9000\n", 4000, 0, 408 },
                  { "Byte-Range: 1-*/9000\nFailure-Report: partial\n", 4000, 0, 0 /* ended with #, written */ } };

    for (size_t i = 0; i < TD_ARRAY_LEN(cases); i++) {
        start(NULL);
        send_chunk("open", cases[i].lines, cases[i].n, cases[i].flag);
        NO_ROW();
        stop();
        ROW("open", cases[i].status, cases[i].n);
    }
}

/* What a session shows of its traffic: a chunk that arrives in pieces is one frame, with all its octets, on both
 * sides. */
TEST(chunk_in_pieces_is_one_frame_of_its_sessions)
{
    struct session *s[2];
    struct msrp_uri u;
    char body[3000], end[40];

    start(NULL);
    memset(body, 'b', sizeof body);
    send_chunk("flow", "Byte-Range: 1-*/9000\n", 6000, 0);
    CHECK(hear_rest(d).n > 6000);
    say_bytes(c, body, sizeof body);
    snprintf(end, sizeof end, "\n-------acc%05u$\n", count);
    say(c, end);
    d_answers(200);
    ROW("flow", 200, 9000);
    for (int i = 0; i < 2; i++) {
        CHECK_FATAL(msrp_uri_parse(&u, sv_of(r.var[i ? 'V' : 'U'])));
        s[i] = session_find(r.shared->sessions, u.session);
        CHECK_FATAL(s[i] != NULL);
    }
    CHECK(s[0]->frames_in == 1 && s[0]->bytes_in == 9000 && s[0]->frames_out == 0 && s[0]->bytes_out == 0);
    CHECK(s[1]->frames_in == 0 && s[1]->bytes_in == 0 && s[1]->frames_out == 1 && s[1]->bytes_out == 9000);
    session_unref(&s[0]);
    session_unref(&s[1]);
    stop();
}

TEST(accounts_can_be_switched_off)
{
    start("accounting.enabled=no");
    send_chunk("one1", "", 5, '$');
    d_answers(200);
    NO_ROW();
    stop();
}

SUITE(account_suite, TEST_ROW(chunk_in_pieces_is_one_frame_of_its_sessions), TEST_ROW(message_that_a_token_ends_under_is_of_status_481),
      TEST_ROW(message_that_cannot_be_passed_on_now_is_of_status_408), TEST_ROW(message_that_is_open_when_the_server_stops_has_its_row),
      TEST_ROW(row_of_a_message_comes_with_the_answer_to_its_last_chunk),
      TEST_ROW(message_nobody_confirms_is_of_status_0), TEST_ROW(failed_message_has_one_row_with_the_first_failure),
      TEST_ROW(message_to_a_next_hop_that_cannot_be_reached_is_of_status_408),
      TEST_ROW(next_hop_lost_in_the_middle_of_a_chunk_is_one_row_of_status_408),
      TEST_ROW(next_hop_lost_while_octets_wait_is_one_row_of_all_of_them), TEST_ROW(failed_message_has_one_row_over_two_connections),
      TEST_ROW(message_whose_sender_gives_up_or_dies_is_of_status_0),
      TEST_ROW(refused_message_has_a_row_when_its_session_is_known),
      TEST_ROW(message_stopped_by_the_next_hop_is_one_row), TEST_ROW(accounts_can_be_switched_off));
