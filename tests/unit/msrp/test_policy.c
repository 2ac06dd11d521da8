/* What the operator does not want to be relayed: sizes, media types, methods (RFC 4976 s.9.4, s.6.4.2). */
#include <stdio.h>
#include <stdlib.h>

#include "msrp/private.h"
#include "tests/unit/msrp/rig.h"

static struct rig r;
static struct peer *c, *d; /* clients with the tokens U and V */

static void start(const char *option)
{
    rig_start(&r, option);
    snprintf(r.var['C'], RIG_VAR_MAX, "msrp://alice-pc.invalid:49152/a1;tcp");
    snprintf(r.var['D'], RIG_VAR_MAX, "msrp://dave-pc.invalid:49153/d1;tcp");
    c = rig_peer(&r);
    say_auth(c, 'C', 'U');
    d = rig_peer(&r);
    say_auth(d, 'D', 'V');
}

/* C's SEND of n octets to D; lines: headers with the flag of their own. */
static void send_octets(const char *tid, const char *message_id, const char *lines, size_t n, char flag)
{
    char text[600], *body = malloc(n + 1);

    CHECK_FATAL(body != NULL);
    memset(body, 'x', n);
    snprintf(text, sizeof text,
             "MSRP %s SEND\nTo-Path: %%U %%V %%D\nFrom-Path: %%C\nMessage-ID: %s\n%sContent-Type: a/b\n\n", tid,
             message_id, lines);
    say(c, text);
    say_bytes(c, body, n);
    snprintf(text, sizeof text, "\n-------%s%c\n", tid, flag);
    if (flag)
        say(c, text);
    free(body);
}

static void expect_status(const char *tid, unsigned status)
{
    char text[200];

    snprintf(text, sizeof text, "MSRP %s %03u %s\nTo-Path: %%C\nFrom-Path: %%U\n-------%s$\n", tid, status,
             status_phrase(status), tid);
    EXPECT(c, text);
}

/* D gets a frame with that flag and so many octets; its identifier is then %1. */
static void expect_chunk(char flag, size_t n)
{
    struct heard h;

    CHECK_FATAL(hear(d, &h));
    CHECK(sv_starts(h.start, SV("MSRP ")));
    CHECK_INT(h.flag, flag);
    CHECK_INT(h.body.n, n);
    CHECK(sv_copy(h.tid, r.var['1'], RIG_VAR_MAX));
}

static void d_answers(unsigned status)
{
    char text[200];

    snprintf(text, sizeof text, "MSRP %%1 %03u x\nTo-Path: %%V\nFrom-Path: %%D\n-------%%1$\n", status);
    say(d, text);
}

/* M-FWD-15: 413 by the announced total, at the limit and one past it; M-FWD-22: at once, with the body still on its
 * way; M-FWD-01: nothing of it is forwarded. */
TEST(message_announced_too_large_is_413_before_its_body_has_come)
{
    start("msrp.max_message=5000");
    send_octets("size0001", "m-001", "Byte-Range: 1-*/5001\n", 10, 0);
    expect_status("size0001", 413);
    EXPECT_NOTHING(d);
    say(c, "the rest\n-------size0001$\n");
    send_octets("size0002", "m-002", "Byte-Range: 5001-5001/*\n", 1, '+'); /* by where it ends */
    expect_status("size0002", 413);
    send_octets("size0003", "m-003", "Byte-Range: 1-*/5000\n", 5000, '$');
    expect_status("size0003", 200);
    expect_chunk('$', 5000);
    EXPECT_NOTHING(d);
    rig_stop(&r);
}

/* M-FWD-15: by the octets that came when nothing was announced, or too little. */
TEST(message_that_turns_out_too_large_is_413)
{
    static const struct {
        const char *range;
        size_t n;
        unsigned status;
    } rows[] = { { "", 1000, 200 },
                 { "", 1001, 413 },
                 { "Byte-Range: 1-*/*\n", 1000, 200 },
                 { "Byte-Range: 1-*/*\n", 1001, 413 },
                 { "Byte-Range: 1-*/500\n", 1001, 413 },
                 { "Byte-Range: 501-*/*\n", 500, 200 },
                 { "Byte-Range: 501-*/*\n", 501, 413 },
                 { "Byte-Range: 1-*/*\n", 100000, 413 } };

    start("msrp.max_message=1000");
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        char tid[16], id[16];

        snprintf(tid, sizeof tid, "count%03zu", i);
        snprintf(id, sizeof id, "m-00%zu", i);
        send_octets(tid, id, rows[i].range, rows[i].n, '$');
        expect_status(tid, rows[i].status);
        if (rows[i].status == 200)
            expect_chunk('$', rows[i].n);
        EXPECT_NOTHING(c);
        EXPECT_NOTHING(d);
    }
    rig_stop(&r);
}

/* M-FWD-15: chunks add up; the same Message-ID keeps getting 413, other messages do not. */
TEST(message_that_was_too_large_stays_refused)
{
    start("msrp.max_message=1000");
    send_octets("more0001", "m-001", "Byte-Range: 1-*/*\n", 600, '+');
    expect_status("more0001", 200);
    expect_chunk('+', 600);
    send_octets("more0002", "m-001", "Byte-Range: 601-*/*\n", 401, '+');
    expect_status("more0002", 413);
    send_octets("more0003", "m-001", "Byte-Range: 1-2/*\n", 2, '$');
    expect_status("more0003", 413);
    send_octets("more0004", "m-002", "Byte-Range: 1-2/*\n", 2, '$');
    expect_status("more0004", 200);
    expect_chunk('$', 2);
    send_octets("more0005", "m-001", "Byte-Range: 1-2/*\nFailure-Report: no\n", 2, '$');
    EXPECT_NOTHING(c);
    EXPECT_NOTHING(d);
    rig_stop(&r);
}

/* M-FWD-15, M-FWD-16: a chunk that streams is ended with #; M-FR-02: its sender hears of it once, whatever the next hop
 * says to what it got; M-FWD-22: the rest is read over. */
TEST(chunk_that_grows_too_large_is_ended_downstream_and_its_sender_told_once)
{
    static const struct {
        const char *fr;
        bool told;
    } columns[] = { { "", true }, { "Failure-Report: partial\n", true }, { "Failure-Report: no\n", false } };
    static const unsigned answers[] = { 200, 413, 500, 0 /* it ends */, 1 /* silence */ };

    for (size_t i = 0; i < TD_ARRAY_LEN(columns) * TD_ARRAY_LEN(answers); i++) {
        unsigned code = answers[i / TD_ARRAY_LEN(columns)];
        const char *fr = columns[i % TD_ARRAY_LEN(columns)].fr;
        char lines[100], rest[3000];
        struct heard h;

        memset(rest, 'y', sizeof rest);
        start("msrp.max_message=5000");
        snprintf(lines, sizeof lines, "Byte-Range: 1-*/*\n%s", fr);
        send_octets("grow0001", "m-001", lines, 4000, 0);
        EXPECT_NOTHING(c);
        say_bytes(c, rest, sizeof rest);
        if (columns[i % TD_ARRAY_LEN(columns)].told)
            expect_status("grow0001", 413);
        CHECK_FATAL(hear(d, &h));
        CHECK_INT(h.flag, '#');
        CHECK_INT(h.body.n, 4000);
        CHECK(sv_copy(h.tid, r.var['1'], RIG_VAR_MAX));
        say_bytes(c, rest, sizeof rest); /* the sender has not heard it yet */
        say(c, "\n-------grow0001$\n");
        if (code >= 200)
            d_answers(code);
        else if (code == 0)
            peer_reset(d);
        rig_pass(&r, 31000);
        EXPECT_NOTHING(c);
        CHECK_INT(rig_stat(&r, STAT_msrp_transactions), 0);
        CHECK_INT(rig_stat(&r, STAT_msrp_chunks), 0);
        CHECK_INT(rig_stat(&r, STAT_msrp_reports_made), 0);
        send_octets("grow0002", "m-001", "", 1, '$');
        if (code)
            expect_status("grow0002", 413);
        rig_stop(&r);
    }
}

/* M-FR-02: all pieces of a chunk that was interrupted count as told; chunks before it do not. */
TEST(failures_of_the_pieces_of_a_refused_chunk_are_not_reported)
{
    char text[200];
    struct heard h;

    start("msrp.max_message=9000");
    send_octets("piec0001", "m-001", "Byte-Range: 1-*/*\n", 3000, '+');
    expect_status("piec0001", 200);
    expect_chunk('+', 3000);
    memcpy(r.var['2'], r.var['1'], RIG_VAR_MAX);
    send_octets("piec0002", "m-001", "Byte-Range: 3001-*/*\n", 3000, 0);
    say(d,
        "MSRP inter001 SEND\nTo-Path: %N %C\nFrom-Path: %D\nMessage-ID: m-009\n-------inter001$\n"); /* its 481 interrupts */
    expect_chunk('+', 3000);
    CHECK_FATAL(hear(d, &h));
    CHECK(sv_eq(h.start, SV("MSRP inter001 481 No such session")));
    send_octets("none0000", "m-000", "", 3001, 0); /* but body, of the chunk above */
    expect_status("piec0002", 413);
    d_answers(500);
    EXPECT_NOTHING(c);
    snprintf(text, sizeof text, "MSRP %%2 500 x\nTo-Path: %%V\nFrom-Path: %%D\n-------%%2$\n");
    say(d, text);
    EXPECT(c, "MSRP %3 REPORT\nTo-Path: %C\nFrom-Path: %U %V\nMessage-ID: m-001\nByte-Range: 1-3000/*\nStatus: 000 500 "
              "x\n-------%3$\n");
    EXPECT_NOTHING(c);
    rig_stop(&r);
}

/* M-FR-02: a sender who has heard that the next hop is gone is not told of the size as well. */
TEST(chunk_whose_next_hop_is_gone_is_not_refused_besides)
{
    char *body = calloc(1, 20000);
    struct heard h;

    CHECK_FATAL(body != NULL);
    start("msrp.max_message=5000");
    send_octets("gone0001", "m-001", "Byte-Range: 1-*/*\n", 4000, 0);
    CHECK(hear_rest(d).n > 4000);
    peer_reset(d);
    EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: %U %V\nMessage-ID: m-001\nByte-Range: 1-4000/*\nStatus: 000 "
              "408 Downstream "
              "transaction timed out\n-------%2$\n");
    say_bytes(c, body, 20000);
    EXPECT_NOTHING(c);
    say(c, "\n-------gone0001$\n");
    CHECK_FATAL(hear(c, &h));
    CHECK(sv_eq(h.start, SV("MSRP gone0001 200 OK")));
    EXPECT_NOTHING(c);
    rig_stop(&r);
    free(body);
}

/* M-FR-02: nor when both happen in the same moment. One signal: the 413, or a REPORT and the 200 for what was taken. */
TEST(chunk_that_grows_too_large_while_its_next_hop_ends_has_one_signal)
{
    char body[3000];

    memset(body, 'y', sizeof body);
    for (int reset_first = 0; reset_first < 2; reset_first++) {
        int refusals = 0, reports = 0, oks = 0;
        struct heard h;

        start("msrp.max_message=5000");
        send_octets("both0001", "m-001", "Byte-Range: 1-*/*\n", 4000, 0);
        CHECK(hear_rest(d).n > 4000);
        if (reset_first)
            peer_reset(d);
        CHECK_INT(push(c, body, sizeof body), sizeof body);
        if (!reset_first)
            peer_reset(d);
        say(c, "\n-------both0001$\n");
        while (hear_more(c, &h)) {
            refusals += sv_eq(h.start, SV("MSRP both0001 413 Stop"));
            oks += sv_eq(h.start, SV("MSRP both0001 200 OK"));
            reports += heard_header(&h, "Status").n > 0;
            rig_pass(&r, 100);
        }
        CHECK_INT(refusals + reports, 1);
        CHECK_INT(oks, reports);
        CHECK_INT(rig_stat(&r, STAT_msrp_chunks), 0);
        rig_stop(&r);
    }
}

/* M-FR-02: a piece of the chunk has failed and been reported, so what our own limit cuts off is reported, too, and the
 * request has its 200. */
TEST(chunk_of_which_a_piece_has_failed_is_reported_and_not_refused)
{
    struct heard h;

    start("msrp.max_message=9000");
    send_octets("piec0003", "m-001", "Byte-Range: 1-*/*\n", 3000, 0);
    say(d, "MSRP inter001 SEND\nTo-Path: %N %C\nFrom-Path: %D\nMessage-ID: m-009\n-------inter001$\n"); /* its 481 interrupts */
    expect_chunk('+', 3000);
    CHECK_FATAL(hear(d, &h));
    d_answers(500);
    CHECK_FATAL(hear(c, &h));
    CHECK(sv_eq(heard_header(&h, "Byte-Range"), SV("1-3000/*")) && sv_starts(heard_header(&h, "Status"), SV("000 500")));
    send_octets("none0000", "m-000", "", 3000, 0); /* but body, of the chunk above */
    send_octets("none0001", "m-000", "", 3001, 0);
    CHECK_FATAL(hear(c, &h));
    CHECK(sv_starts(heard_header(&h, "Byte-Range"), SV("3001-")) && sv_starts(heard_header(&h, "Status"), SV("000 413")));
    CHECK_FATAL(hear(d, &h));
    CHECK_INT(h.flag, '#');
    EXPECT_NOTHING(c);
    say(c, "\n-------piec0003$\n");
    expect_status("piec0003", 200);
    EXPECT_NOTHING(c);
    EXPECT_NOTHING(d);
    CHECK_INT(rig_stat(&r, STAT_msrp_chunks), 0);
    rig_stop(&r);
}

/* M-FWD-15: 415, with * and type/ * in the list; parameters and letter case do not count. M-FWD-22, M-FWD-24 */
TEST(media_type_that_is_not_listed_is_415)
{
    static const struct {
        const char *type;
        bool allowed;
    } rows[] = { { "text/plain", true },
                 { "TEXT/Plain;charset=utf-8", true },
                 { "text/plain ; x=y", true },
                 { "text/html", false },
                 { "text/plainer", false },
                 { "text/plai", false },
                 { "image/png", true },
                 { "Image/x-anything", true },
                 { "imagery/png", false },
                 { "application/octet-stream", false },
                 { "image", false } };

    start("msrp.accept_types=text/plain image/*");
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        char text[400], tid[16];
        struct heard h;

        snprintf(tid, sizeof tid, "type%04zu", i);
        snprintf(text, sizeof text,
                 "MSRP %s SEND\nTo-Path: %%U %%V %%D\nFrom-Path: %%C\nMessage-ID: m-00%zu\nContent-Type: %s\n\nhello",
                 tid, i, rows[i].type);
        say(c, text);
        if (!rows[i].allowed)
            expect_status(tid, 415); /* before its end */
        snprintf(text, sizeof text, "\n-------%s$\n", tid);
        say(c, text);
        if (rows[i].allowed) {
            expect_status(tid, 200);
            CHECK_FATAL(hear(d, &h));
        }
        EXPECT_NOTHING(c);
        EXPECT_NOTHING(d);
    }
    say(c, "MSRP type1000 SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-00y\nFailure-Report: no\nContent-Type: "
           "x/y\n\nhello\n-------type1000$\n");
    EXPECT_NOTHING(c);
    say(c,
        "MSRP type1001 SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-00z\n-------type1001$\n"); /* no body, no type */
    expect_status("type1001", 200);
    expect_chunk('$', 0);
    /* what was refused for its type is not refused for ever, as for its size it is */
    say(c, "MSRP type1002 SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-00w\nContent-Type: x/y\n\nhello\n-------type1002$\n");
    expect_status("type1002", 415);
    say(c, "MSRP type1003 SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-00w\nContent-Type: text/plain\n\nhello\n-------type1003$\n");
    expect_status("type1003", 200);
    expect_chunk('$', 5);
    rig_stop(&r);
}

/* M-FWD-31: 501 with the whole From-Path as To-Path; SEND, REPORT and AUTH are known to all. */
TEST(method_that_is_not_listed_is_501)
{
    start("msrp.methods=NICKNAME INFO");
    say(c, "MSRP frob0001 FROB\nTo-Path: %U %V %D\nFrom-Path: %C\n-------frob0001$\n");
    EXPECT(c, "MSRP frob0001 501 Not implemented\nTo-Path: %C\nFrom-Path: %U\n-------frob0001$\n");
    say(c, "MSRP frob0002 FROB\nTo-Path: %U %V %D\nFrom-Path: %C\nContent-Type: a/b\n\nhello\n-------frob0002$\n");
    EXPECT(c, "MSRP frob0002 501 Not implemented\nTo-Path: %C\nFrom-Path: %U\n-------frob0002$\n");
    EXPECT_NOTHING(d);
    say(c, "MSRP nick0001 NICKNAME\nTo-Path: %U %V %D\nFrom-Path: %C\nUse-Nickname: \"x\"\n-------nick0001$\n");
    EXPECT(d, "MSRP %1 NICKNAME\nTo-Path: %D\nFrom-Path: %V %U %C\nUse-Nickname: \"x\"\n-------%1$\n");
    say(c, "MSRP rprt0001 REPORT\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-001\nByte-Range: 1-1/1\nStatus: 000 "
           "200 OK\n-------rprt0001$\n");
    EXPECT(d, "MSRP %2 REPORT\nTo-Path: %D\nFrom-Path: %V %U %C\nMessage-ID: m-001\nByte-Range: 1-1/1\nStatus: 000 200 "
              "OK\n-------%2$\n");
    send_octets("send0001", "m-001", "", 5, '$');
    expect_status("send0001", 200);
    expect_chunk('$', 5);
    rig_stop(&r);
    start("msrp.methods="); /* none */
    say(c, "MSRP nick0002 NICKNAME\nTo-Path: %U %V %D\nFrom-Path: %C\n-------nick0002$\n");
    EXPECT(c, "MSRP nick0002 501 Not implemented\nTo-Path: %C\nFrom-Path: %U\n-------nick0002$\n");
    EXPECT_NOTHING(d);
    rig_stop(&r);
}

/* M-FWD-15: the order of checks: who may not use the relay learns nothing of its policy. */
TEST(policy_comes_after_the_question_who_may_forward)
{
    start("msrp.max_message=1000");
    say(c, "MSRP late0001 SEND\nTo-Path: %N %D\nFrom-Path: %C\nMessage-ID: m-001\nByte-Range: 1-*/2000\nContent-Type: "
           "a/b\n\nx\n-------late0001$\n");
    EXPECT(c, "MSRP late0001 481 No such session\nTo-Path: %C\nFrom-Path: %N\n-------late0001$\n");
    rig_stop(&r);
}

/* M-FWD-15, M-FWD-31, M-FRM-19, M-FWD-01: what is refused has opened no connection. */
TEST(refused_request_has_dialled_nobody)
{
    static const char *const frames[] = {
        "SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-001\nByte-Range: 1-*/11\nContent-Type: a/b\n\nx\n-------dial0001$\n",
        "SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-002\nByte-Range: 11-*/*\nContent-Type: a/b\n\nx\n-------dial0001$\n",
        "SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-003\nContent-Type: a/b\n\neleven byte\n-------dial0001+\n",
        "SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-003\nContent-Type: a/b\n\nx\n-------dial0001+\n",
        "SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-004\nContent-Type: b/b\n\nx\n-------dial0001+\n",
        "FROB\nTo-Path: %U %F\nFrom-Path: %C\n-------dial0001$\n",
        "NICK\nTo-Path: %U %F\nFrom-Path: %C\n-------dial0001+\n",
    };
    static const unsigned statuses[] = { 413, 413, 413, 413, 415, 501, 400 };
    int64_t open;

    start("msrp.max_message=10");
    {
        static char a_b[] = "a/*", nick[] = "NICK";
        static char *types[] = { a_b }, *methods[] = { nick };
        struct conf_list was_types = r.conf->msrp.accept_types, was_methods = r.conf->msrp.methods;

        r.conf->msrp.accept_types = (struct conf_list){ .v = types, .n = 1 };
        r.conf->msrp.methods = (struct conf_list){ .v = methods, .n = 1 };
        rig_listen(&r, 'F', 0);
        open = rig_stat(&r, STAT_conn_open);
        for (size_t i = 0; i < TD_ARRAY_LEN(frames); i++) {
            char text[400];

            snprintf(text, sizeof text, "MSRP dial0001 %s", frames[i]);
            say(c, text);
            expect_status("dial0001", statuses[i]);
            CHECK_INT(rig_stat(&r, STAT_conn_open), open);
        }
        EXPECT_NOTHING(c);
        say(c, "MSRP dial0002 SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-005\nContent-Type: a/b\n\nten bytes.\n-------dial0002$\n");
        expect_status("dial0002", 200);
        CHECK_INT(rig_stat(&r, STAT_conn_open), open + 1);
        r.conf->msrp.accept_types = was_types;
        r.conf->msrp.methods = was_methods;
    }
    rig_stop(&r);
}

/* M-FWD-16: what was stopped stays stopped when its next hop has gone and come again. */
TEST(stopped_message_stays_so_over_another_connection)
{
    struct peer *f;

    start(NULL);
    rig_listen(&r, 'F', 0);
    say(c, "MSRP stop0001 SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-001\nByte-Range: 1-1/2\nContent-Type: "
           "a/b\n\nx\n-------stop0001+\n");
    expect_status("stop0001", 200);
    f = rig_accept(&r);
    CHECK_FATAL(f != NULL);
    EXPECT(f, "MSRP %1 SEND\nTo-Path: %F\nFrom-Path: %U %C\nMessage-ID: m-001\nByte-Range: 1-1/2\nContent-Type: "
              "a/b\n\nx\n-------%1+\n");
    say(f, "MSRP %1 413 Stop\nTo-Path: %U\nFrom-Path: %F\n-------%1$\n");
    EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: %U\nMessage-ID: m-001\nByte-Range: 1-1/2\nStatus: 000 413 Stop\n-------%2$\n");
    peer_close(f);
    say(c, "MSRP stop0002 SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-001\nByte-Range: 2-2/2\nContent-Type: "
           "a/b\n\ny\n-------stop0002$\n");
    expect_status("stop0002", 413);
    CHECK(rig_accept(&r) == NULL);
    rig_stop(&r);
}

SUITE(policy_suite, TEST_ROW(refused_request_has_dialled_nobody), TEST_ROW(stopped_message_stays_so_over_another_connection),
      TEST_ROW(message_announced_too_large_is_413_before_its_body_has_come),
      TEST_ROW(message_that_turns_out_too_large_is_413), TEST_ROW(message_that_was_too_large_stays_refused),
      TEST_ROW(chunk_that_grows_too_large_is_ended_downstream_and_its_sender_told_once),
      TEST_ROW(failures_of_the_pieces_of_a_refused_chunk_are_not_reported),
      TEST_ROW(chunk_whose_next_hop_is_gone_is_not_refused_besides),
      TEST_ROW(chunk_that_grows_too_large_while_its_next_hop_ends_has_one_signal),
      TEST_ROW(chunk_of_which_a_piece_has_failed_is_reported_and_not_refused), TEST_ROW(media_type_that_is_not_listed_is_415),
      TEST_ROW(method_that_is_not_listed_is_501), TEST_ROW(policy_comes_after_the_question_who_may_forward));
