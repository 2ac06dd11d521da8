/* What a sender learns when something goes wrong: Failure-Report, REPORTs, hop timers (RFC 4975 s.5.3, RFC 4976
 * s.6.4.1). */
#include <stdio.h>
#include <stdlib.h>

#include <sys/socket.h>
#include <unistd.h>

#include "msrp/private.h"
#include "net/resolve.h"
#include "tests/unit/msrp/rig.h"

static struct rig r;
static struct peer *c, *d, *f; /* clients with the tokens U and V; the foreign endpoint once it was dialled */

/* The columns of section 9. */
static const struct column {
    const char *header;
    bool yes, partial, no;
} columns[] = { { "", true, false, false },
                { "Failure-Report: yes\n", true, false, false },
                { "Failure-Report: partial\n", false, true, false },
                { "Failure-Report: no\n", false, false, true } };

static void start(int receive_buffer)
{
    rig_start(&r, NULL);
    snprintf(r.var['C'], RIG_VAR_MAX, "msrp://alice-pc.invalid:49152/a1;tcp");
    snprintf(r.var['D'], RIG_VAR_MAX, "msrp://dave-pc.invalid:49153/d1;tcp");
    c = rig_peer(&r);
    say_auth(c, 'C', 'U');
    d = rig_peer(&r);
    say_auth(d, 'D', 'V');
    rig_listen(&r, 'F', receive_buffer);
    CHECK(RIG_WORKERS == 1 || c->worker != d->worker);
}

/* C's SEND to F of five octets, with the header lines of a column. */
static void send_hello(const char *more)
{
    char text[400];

    snprintf(text, sizeof text,
             "MSRP b001send SEND\nTo-Path: %%U %%F\nFrom-Path: %%C\nMessage-ID: m-0001\n%sByte-Range: "
             "1-5/5\nContent-Type: a/b\n\nhello\n"
             "-------b001send$\n",
             more);
    say(c, text);
}

static void expect_hello(const char *more)
{
    char text[400];

    f = rig_accept(&r);
    CHECK_FATAL(f != NULL);
    snprintf(text, sizeof text,
             "MSRP %%1 SEND\nTo-Path: %%F\nFrom-Path: %%U %%C\nMessage-ID: m-0001\n%sByte-Range: 1-5/5\nContent-Type: "
             "a/b\n\nhello\n"
             "-------%%1$\n",
             more);
    EXPECT(f, text);
}

static void expect_ok(const struct column *col)
{
    if (col->yes)
        EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
    EXPECT_NOTHING(c);
}

#define TIMED_OUT "408 Downstream transaction timed out"

static void expect_report(bool wanted, const char *status)
{
    char text[400];

    snprintf(text, sizeof text,
             "MSRP %%2 REPORT\nTo-Path: %%C\nFrom-Path: %%U\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 "
             "%s\n-------%%2$\n",
             status);
    if (wanted)
        EXPECT(c, text);
    EXPECT_NOTHING(c);
}

/* M-FR-01: row "chunk accepted and complete", row "next hop answers 200"; M-FWD-24 */
TEST(accepted_chunk_is_200_to_who_wants_it_and_the_next_hops_200_is_consumed)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(columns); i++) {
        start(0);
        send_hello(columns[i].header);
        expect_ok(&columns[i]);
        expect_hello(columns[i].header);
        say(f, "MSRP %1 200 OK\nTo-Path: %U\nFrom-Path: %F\n-------%1$\n");
        rig_pass(&r, 40000);
        EXPECT_NOTHING(c);
        EXPECT_NOTHING(f);
        rig_stop(&r);
    }
}

/* M-FR-01: row "rejected by E"; M-FR-02: no REPORT besides */
TEST(rejected_chunk_is_an_error_response_unless_nobody_wants_to_know)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(columns); i++) {
        char text[400];

        start(0);
        snprintf(text, sizeof text,
                 "MSRP b001send SEND\nTo-Path: %%N %%F\nFrom-Path: %%C\nMessage-ID: m-0001\n%s-------b001send$\n",
                 columns[i].header);
        say(c, text);
        if (!columns[i].no)
            EXPECT(c, "MSRP b001send 481 No such session\nTo-Path: %C\nFrom-Path: %N\n-------b001send$\n");
        rig_pass(&r, 40000);
        EXPECT_NOTHING(c);
        rig_stop(&r);
    }
}

/* M-FR-01: row "next hop cannot be connected" */
TEST(next_hop_that_cannot_be_connected_is_408)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(columns); i++) {
        start(0);
        close(r.listen_fd); /* its port is free now: the connection is refused */
        r.listen_fd = -1;
        send_hello(columns[i].header);
        if (columns[i].yes)
            EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
        expect_report(!columns[i].no, TIMED_OUT);
        rig_stop(&r);
    }
}

/* M-SEC-02: an address, and a name that is known to have one. */
TEST(address_that_must_not_be_dialled_is_403)
{
    const struct conf_list none = { 0 };

    for (size_t i = 0; i < TD_ARRAY_LEN(columns); i++) {
        start(0);
        CHECK_FATAL(resolver_new(&c->worker->resolver, c->worker->loop, &none) == 0);
        r.shared->reach.has_loopback = false;
        if (i % 2)
            snprintf(r.var['F'], RIG_VAR_MAX, "msrp://localhost:%u/f;tcp", addr_port(&r.at[0]));
        send_hello(columns[i].header);
        if (!columns[i].no)
            EXPECT(c, "MSRP b001send 403 Forbidden\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
        CHECK(rig_accept(&r) == NULL);
        EXPECT_NOTHING(c);
        rig_stop(&r);
    }
}

/* M-SEC-02: our own sockets are nobody's next hop, by address or by a name, though loopback is allowed. */
TEST(own_listener_is_never_dialled)
{
    const struct conf_list none = { 0 };

    for (size_t i = 0; i < 4; i++) {
        unsigned port;
        int64_t open;

        start(0);
        port = addr_port(&r.at[i / 2 % RIG_WORKERS]);
        CHECK_FATAL(resolver_new(&c->worker->resolver, c->worker->loop, &none) == 0);
        open = rig_stat(&r, STAT_conn_open);
        snprintf(r.var['F'], RIG_VAR_MAX, "msrp://%s:%u/f;tcp", i % 2 ? "localhost" : "127.0.0.1", port);
        send_hello("");
        EXPECT(c, "MSRP b001send 403 Forbidden\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
        rig_wait(&r, 5);
        EXPECT_NOTHING(c);
        CHECK_INT(rig_stat(&r, STAT_conn_open), open);
        rig_stop(&r);
    }
}

/* M-SEC-02: a name that takes its time to resolve is judged after the chunk was accepted. */
TEST(name_found_to_be_forbidden_later_is_a_403_report)
{
    start(0);
    send_hello("");
    expect_ok(&columns[0]);
    expect_hello("");
    conn_close(list_item(c->worker->conns.prev, struct conn, all_node), CLOSE_FORBIDDEN); /* as net/dial does it */
    expect_report(true, "403 Forbidden");
    rig_stop(&r);
}

/* M-FR-01: the 200 comes before the REPORT even when it is known at once that nothing can be dialled. */
TEST(report_never_overtakes_the_response)
{
    start(0);
    snprintf(r.var['F'], RIG_VAR_MAX, "msrp://no-such-name.invalid:9/f;tcp");
    send_hello("");
    EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
    expect_report(true, TIMED_OUT);
    rig_stop(&r);
}

/* M-FR-01: row "next hop connection lost, chunk written, no response yet" */
TEST(next_hop_lost_before_its_answer_is_408_at_once)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(columns); i++) {
        start(0);
        send_hello(columns[i].header);
        expect_ok(&columns[i]);
        expect_hello(columns[i].header);
        peer_close(f);
        expect_report(columns[i].yes, TIMED_OUT);
        rig_pass(&r, 40000);
        EXPECT_NOTHING(c);
        rig_stop(&r);
    }
}

/* M-FR-01: row "next hop connection lost, chunk not fully written" */
TEST(next_hop_lost_in_the_middle_of_a_chunk_is_408)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(columns); i++) {
        char text[400], *body = calloc(1, 5000);
        struct heard h;

        CHECK_FATAL(body != NULL);
        start(0);
        snprintf(text, sizeof text,
                 "MSRP b001send SEND\nTo-Path: %%U %%F\nFrom-Path: %%C\nMessage-ID: m-0001\n%sByte-Range: "
                 "1-*/9000\nContent-Type: a/b\n\n",
                 columns[i].header);
        say(c, text);
        say_bytes(c, body, 5000);
        f = rig_accept(&r);
        CHECK_FATAL(f != NULL);
        CHECK(hear_rest(f).n > 5000);
        peer_reset(f);
        if (!columns[i].no)
            EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: %U\nMessage-ID: m-0001\nByte-Range: "
                      "1-5000/9000\nStatus: 000 " TIMED_OUT "\n-------%2$\n");
        EXPECT_NOTHING(c);
        say_bytes(c, body, 4000); /* the rest has nowhere to go and is read over */
        say(c, "\n-------b001send$\n");
        if (columns[i].yes) {
            CHECK_FATAL(hear(c, &h));
            CHECK(sv_eq(h.start, SV("MSRP b001send 200 OK")));
        }
        EXPECT_NOTHING(c);
        rig_stop(&r);
        free(body);
    }
}

/* M-FR-01: row "connection lost, chunk not fully written", also when all that came of it was written and answered, in a
 * piece that ended for an answer to go out. */
TEST(next_hop_lost_between_two_pieces_of_a_chunk_is_408)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(columns); i++) {
        char text[400], body[3000];
        struct heard h;

        memset(body, 'a', sizeof body);
        start(0);
        snprintf(text, sizeof text,
                 "MSRP b001send SEND\nTo-Path: %%U %%F\nFrom-Path: %%C\nMessage-ID: m-0001\n%sByte-Range: "
                 "1-*/9000\nContent-Type: a/b\n\n",
                 columns[i].header);
        say(c, text);
        say_bytes(c, body, sizeof body);
        f = rig_accept(&r);
        CHECK_FATAL(f != NULL);
        CHECK(hear_rest(f).n > sizeof body);
        say(f, "MSRP f001send SEND\nTo-Path: %N %D\nFrom-Path: %F\nMessage-ID: m-0002\n-------f001send$\n");
        CHECK_FATAL(hear(f, &h) && h.flag == '+' && sv_copy(sv_upto(sv_from(h.start, 5), sv_find(sv_from(h.start, 5), ' ')), r.var['1'], RIG_VAR_MAX));
        EXPECT(f, "MSRP f001send 481 No such session\nTo-Path: %F\nFrom-Path: %N\n-------f001send$\n");
        say(f, "MSRP %1 200 OK\nTo-Path: %U\nFrom-Path: %F\n-------%1$\n");
        EXPECT_NOTHING(c);
        peer_close(f);
        if (!columns[i].no)
            EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: %U\nMessage-ID: m-0001\nByte-Range: "
                      "3001-3000/9000\nStatus: 000 " TIMED_OUT "\n-------%2$\n");
        EXPECT_NOTHING(c);
        rig_stop(&r);
    }
}

/* M-FR-01: row "next hop answers non-200 code"; M-RSP-04, M-RSP-07, M-RSP-08, X-06 */
TEST(error_response_of_the_next_hop_becomes_a_report)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(columns); i++) {
        start(0);
        send_hello(columns[i].header);
        expect_ok(&columns[i]);
        expect_hello(columns[i].header);
        say(f, "MSRP %1 415 No such type\nTo-Path: %U\nFrom-Path: %F\n-------%1$\n");
        expect_report(!columns[i].no, "415 No such type");
        rig_pass(&r, 40000);
        EXPECT_NOTHING(c);
        EXPECT_NOTHING(f);
        rig_stop(&r);
    }
}

/* M-FR-01: row "next hop silent 30 s"; M-TMR-03, M-TMR-04, M-HDR-05, X-07 */
TEST(silent_next_hop_is_408_after_30_seconds)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(columns); i++) {
        start(0);
        send_hello(columns[i].header);
        expect_ok(&columns[i]);
        expect_hello(columns[i].header);
        rig_pass(&r, 29000);
        EXPECT_NOTHING(c);
        rig_pass(&r, 2000);
        CHECK_INT(rig_stat(&r, STAT_msrp_transactions), 0); /* already: what is expected below is waited for */
        expect_report(columns[i].yes, TIMED_OUT);
        say(f, "MSRP %1 200 OK\nTo-Path: %U\nFrom-Path: %F\n-------%1$\n");
        say(f, "MSRP %1 413 Stop\nTo-Path: %U\nFrom-Path: %F\n-------%1$\n");
        rig_pass(&r, 40000);
        EXPECT_NOTHING(c);
        CHECK_INT(rig_stat(&r, STAT_msrp_transactions), 0); /* M-TMR-05 */
        rig_stop(&r);
    }
}

/* M-RSP-07 */
TEST(every_three_digit_code_but_2xx_is_a_failure)
{
    static const struct {
        const char *response, *status;
    } rows[] = { { "200 OK", NULL },   { "204", NULL },          { "299 Fine", NULL }, { "199 x", "199 x" },
                 { "300 x", "300 x" }, { "606 Odd", "606 Odd" }, { "999", "999" },     { "000 zero", "000 zero" } };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        char text[300];

        start(0);
        send_hello("");
        expect_ok(&columns[0]);
        expect_hello("");
        snprintf(text, sizeof text, "MSRP %%1 %s\nTo-Path: %%U\nFrom-Path: %%F\n-------%%1$\n", rows[i].response);
        say(f, text);
        expect_report(rows[i].status != NULL, rows[i].status ? rows[i].status : "");
        rig_stop(&r);
    }
}

/* M-SEC-09 */
TEST(comment_copied_into_a_report_is_printable_utf_8_of_128_octets_at_most)
{
    static const struct {
        const char *comment, *copied;
        int fill;
    } rows[] = { { "a\tb", "ab", 0 },
                 { "\xc3\xa9t\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa9t\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
                   0 },
                 { "x", "x", 127 },
                 { "xy", "x", 127 },
                 { "\xc3\xa9", "", 127 }, /* not cut in two */
                 { "\xe2\x82\xac", "", 126 },
                 { "a\xff\xc3(b", "a(b", 0 },
                 { "a\xc3", "a", 0 },
                 { "a\xc2\x85" "b\xc2\x9f\xc2\xa0", "ab\xc2\xa0", 0 },             /* C1 controls */
                 { "a\xed\xa0\x80" "b\xed\x9f\xbf", "ab\xed\x9f\xbf", 0 } };      /* a surrogate */

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        char text[600], fill[128] = "";

        memset(fill, 'f', (size_t)rows[i].fill);
        start(0);
        send_hello("");
        expect_ok(&columns[0]);
        expect_hello("");
        snprintf(text, sizeof text, "MSRP %%1 415 %s%s\nTo-Path: %%U\nFrom-Path: %%F\n-------%%1$\n", fill,
                 rows[i].comment);
        say(f, text);
        snprintf(text, sizeof text, "415 %s%s", fill, rows[i].copied);
        expect_report(true, text);
        rig_stop(&r);
    }
}

/* M-FR-03, M-REP-06, M-REP-07 */
TEST(success_report_passes_back_though_nobody_wants_failures)
{
    start(0);
    send_hello("Failure-Report: no\nSuccess-Report: yes\n");
    expect_hello("Failure-Report: no\nSuccess-Report: yes\n");
    EXPECT_NOTHING(c);
    say(f, "MSRP f9report REPORT\nTo-Path: %U %C\nFrom-Path: %F\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 "
           "200 OK\n-------f9report$\n");
    EXPECT(c, "MSRP %3 REPORT\nTo-Path: %C\nFrom-Path: %U %F\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 200 "
              "OK\n-------%3$\n");
    EXPECT_NOTHING(f);
    say(f, "MSRP %1 413 Stop\nTo-Path: %U\nFrom-Path: %F\n-------%1$\n"); /* nor does the one make the other */
    send_hello("Failure-Report: no\nSuccess-Report: yes\n");
    rig_pass(&r, 1000);
    peer_close(f);
    rig_pass(&r, 40000);
    EXPECT_NOTHING(c);
    rig_stop(&r);
}

/* M-FR-03, M-HDR-07: what a REPORT says of reports has no effect, neither on its way nor on what is said of the message. */
TEST(report_that_wants_no_failures_is_passed_on_and_changes_nothing)
{
    start(0);
    send_hello("");
    EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
    expect_hello("");
    say(f, "MSRP f9report REPORT\nTo-Path: %U %C\nFrom-Path: %F\nMessage-ID: m-0001\nFailure-Report: no\nSuccess-Report: yes\n"
           "Byte-Range: 1-5/5\nStatus: 000 200 OK\n-------f9report$\n");
    EXPECT(c, "MSRP %3 REPORT\nTo-Path: %C\nFrom-Path: %U %F\nMessage-ID: m-0001\nFailure-Report: no\nSuccess-Report: yes\n"
              "Byte-Range: 1-5/5\nStatus: 000 200 OK\n-------%3$\n");
    say(c, "MSRP c9report REPORT\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0001\nFailure-Report: no\nByte-Range: 1-5/5\n"
           "Status: 000 200 OK\n-------c9report$\n");
    EXPECT(f, "MSRP %4 REPORT\nTo-Path: %F\nFrom-Path: %U %C\nMessage-ID: m-0001\nFailure-Report: no\nByte-Range: 1-5/5\n"
              "Status: 000 200 OK\n-------%4$\n");
    say(f, "MSRP %1 413 Stop\nTo-Path: %U\nFrom-Path: %F\n-------%1$\n");
    expect_report(true, "413 Stop");
    EXPECT_NOTHING(f);
    rig_stop(&r);
}

/* M-FR-05, M-REP-05, M-FWD-33 */
TEST(nothing_is_reported_about_what_is_not_a_send)
{
    start(0);
    close(r.listen_fd);
    r.listen_fd = -1;
    say(c, "MSRP b002rprt REPORT\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 "
           "200 OK\n-------b002rprt$\n");
    say(c, "MSRP b003nick NICKNAME\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0001\n-------b003nick$\n");
    rig_pass(&r, 40000);
    EXPECT_NOTHING(c);
    rig_stop(&r);
}

/* M-REP-01 */
TEST(report_goes_to_the_sender_as_his_own_paths_say)
{
    start(0);
    say(c, "MSRP b001send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\nByte-Range: 1-5/5\nContent-Type: "
           "a/b\n\nhello\n-------b001send$\n");
    EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
    EXPECT(d, "MSRP %1 SEND\nTo-Path: %D\nFrom-Path: %V %U %C\nMessage-ID: m-0001\nByte-Range: 1-5/5\nContent-Type: "
              "a/b\n\nhello\n-------%1$\n");
    rig_pass(&r, 31000);
    EXPECT(
        c,
        "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: %U %V\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 " TIMED_OUT
        "\n-------%2$\n");
    CHECK(strcmp(r.var['1'], r.var['2']) != 0);
    rig_stop(&r);
}

/* M-REP-02, M-CHK-18: the end is counted, start and total are the sender's. */
TEST(report_tells_the_octets_that_came_not_those_that_were_announced)
{
    start(0);
    say(c, "MSRP b001send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\nByte-Range: "
           "11-100/100\nContent-Type: a/b\n\nhello\n-------b001send+\n");
    EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
    EXPECT(d, "MSRP %1 SEND\nTo-Path: %D\nFrom-Path: %V %U %C\nMessage-ID: m-0001\nByte-Range: "
              "11-100/100\nContent-Type: a/b\n\nhello\n-------%1+\n");
    say(d, "MSRP %1 413 Stop\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
    EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: %U %V\nMessage-ID: m-0001\nByte-Range: 11-15/100\nStatus: 000 "
              "413 Stop\n-------%2$\n");
    rig_stop(&r);
}

/* M-CHK-03, M-REP-03 */
TEST(report_on_a_send_without_byte_range_or_body)
{
    static const struct {
        const char *more, *range;
    } rows[] = { { "", "1-0/0" },
                 { "Byte-Range: 1-0/0\n", "1-0/0" },
                 { "Byte-Range: 1-*/*\n", "1-*/*" }, /* as received */
                 { "Byte-Range: 6-*/10\n", "6-*/10" },
                 { "Byte-Range: 6-5/*\n", "6-5/*" },
                 { "Content-Type: a/b\n\nhello\n", "1-5/*" },
                 { "Byte-Range: 1-*/*\nContent-Type: a/b\n\nhello\n", "1-5/*" },
                 { "Byte-Range: 6-*/10\nContent-Type: a/b\n\nhello\n", "6-10/10" } };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct heard h;
        char text[400];

        start(0);
        snprintf(text, sizeof text,
                 "MSRP b001send SEND\nTo-Path: %%U %%V %%D\nFrom-Path: %%C\nMessage-ID: m-0001\n%s-------b001send$\n",
                 rows[i].more);
        say(c, text);
        EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
        CHECK_FATAL(hear(d, &h));
        rig_pass(&r, 31000);
        snprintf(text, sizeof text,
                 "MSRP %%2 REPORT\nTo-Path: %%C\nFrom-Path: %%U %%V\nMessage-ID: m-0001\nByte-Range: %s\nStatus: "
                 "000 " TIMED_OUT "\n-------%%2$\n",
                 rows[i].range);
        EXPECT(c, text);
        rig_stop(&r);
    }
}

/* M-COD-03: the codes of our own making are those of the table in section 22, no more. */
TEST(codes_of_our_own_are_a_closed_list)
{
    static const unsigned own[] = { 200, 400, 401, 403, 408, 413, 415, 423, 481, 501, 506 };

    for (unsigned code = 0; code < 1000; code++) {
        bool listed = false;

        for (size_t i = 0; i < TD_ARRAY_LEN(own); i++)
            listed = listed || own[i] == code;
        CHECK_INT(*status_phrase(code) != '\0', listed);
    }
}

/* M-COD-01: 408 is no response, not even where no route could be made; AUTH alone has it as one. */
TEST(a_408_is_never_the_response_to_a_send)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(columns); i++) {
        start(0);
        list_each(node, &c->worker->conns)
            msrp_of(list_item(node, struct conn, all_node))->no_dial = true; /* stands for whatever may be missing */
        send_hello(columns[i].header);
        if (columns[i].yes)
            EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
        expect_report(!columns[i].no, TIMED_OUT);
        say(c, "MSRP b002nick NICKNAME\nTo-Path: %U %F\nFrom-Path: %C\n-------b002nick$\n");
        EXPECT_NOTHING(c);
        CHECK(rig_accept(&r) == NULL);
        rig_stop(&r);
    }
}

/* M-REP-04, M-REP-09 */
TEST(report_for_a_sender_who_is_gone_is_dropped)
{
    start(0);
    say(c, "MSRP b001send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\nContent-Type: "
           "a/b\n\nhello\n-------b001send$\n");
    EXPECT(
        d,
        "MSRP %1 SEND\nTo-Path: %D\nFrom-Path: %V %U %C\nMessage-ID: m-0001\nContent-Type: a/b\n\nhello\n-------%1$\n");
    peer_close(c);
    say(d, "MSRP %1 413 Stop\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
    rig_pass(&r, 31000);
    EXPECT_NOTHING(d);
    CHECK_INT(rig_stat(&r, STAT_msrp_transactions), 0);
    rig_stop(&r);
}

/* M-REP-09: nor is one made for a session that an operator has ended, and with it the sender's connection; but it is,
 * while the connection lives on for another session of his: it can arrive (M-FR-01). */
TEST(report_on_a_message_of_a_session_that_has_ended)
{
    for (int others = 0; others < 2; others++) {
        struct msrp_uri u;

        start(0);
        if (others)
            say_auth(c, 'C', 'W');
        say(c, "MSRP b001send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\nByte-Range: 1-5/5\nContent-Type: "
               "a/b\n\nhello\n-------b001send$\n");
        EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
        EXPECT(d, "MSRP %1 SEND\nTo-Path: %D\nFrom-Path: %V %U %C\nMessage-ID: m-0001\nByte-Range: 1-5/5\nContent-Type: "
                  "a/b\n\nhello\n-------%1$\n");
        CHECK_FATAL(msrp_uri_parse(&u, sv_of(r.var['U'])));
        CHECK(relay_kick(r.shared, u.session));
        rig_turn(&r);
        say(d, "MSRP %1 413 Stop\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
        if (others) {
            EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: %U %V\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 413 "
                      "Stop\n-------%2$\n");
        } else {
            EXPECT_END(c);
        }
        CHECK_INT(rig_stat(&r, STAT_msrp_reports_made), others);
        CHECK_INT(rig_stat(&r, STAT_msrp_transactions), 0);
        EXPECT_NOTHING(d);
        rig_stop(&r);
    }
}

/* M-TMR-01: the chunk takes longer than the timer, to a reader who reads slowly; the clock runs from its last octet. */
TEST(hop_timer_runs_from_the_last_octet_written)
{
    enum { SIZE = 40 << 20 }; /* more than the kernel buffers of both connections */
    char *body = calloc(1, SIZE);
    size_t sent = 0, heard_n = 0;
    struct heard h;

    CHECK_FATAL(body != NULL);
    start(4096);
    say(c, "MSRP b001send SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0001\nByte-Range: "
           "1-*/41943040\nContent-Type: a/b\n\n");
    for (int idle = 0; sent < SIZE && idle < 50;) { /* until the relay takes no more */
        ssize_t n = send(c->fd, body + sent, TD_MIN(SIZE - sent, (size_t)65536), MSG_DONTWAIT | MSG_NOSIGNAL);

        sent += n > 0 ? (size_t)n : 0;
        idle = n > 0 ? 0 : idle + 1;
        rig_wait(&r, 0);
    }
    CHECK(sent < SIZE); /* M-FLOW-01: it pauses the sender, and holds little */
    f = rig_accept(&r);
    CHECK_FATAL(f != NULL);
    CHECK(rig_longest_queue(&r) < 256 * 1024);
    while (sent < SIZE || heard_n < 60) { /* a minute and more passes */
        ssize_t n = send(c->fd, body + sent, SIZE - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

        sent += n > 0 ? (size_t)n : 0;
        rig_pass(&r, 1000);
        heard_n++;
        if (heard_n > 20)
            hear_rest(f);
        CHECK_FATAL(heard_n < 5000);
    }
    say(c, "\n-------b001send$\n");
    CHECK_FATAL(hear(f, &h)); /* all of it was read: now the 30 s have begun */
    EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
    CHECK(h.flag == '$' && h.body.n == SIZE);
    CHECK(sv_copy(h.tid, r.var['1'], RIG_VAR_MAX));
    rig_pass(&r, 20000); /* hearing it may have taken some */
    EXPECT_NOTHING(c);
    rig_pass(&r, 11000);
    EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: %U\nMessage-ID: m-0001\nByte-Range: "
              "1-41943040/41943040\nStatus: 000 " TIMED_OUT "\n-------%2$\n");
    rig_stop(&r);
    free(body);
}

/* Read what has come for C: how many REPORTs, and is this message among them? */
static unsigned count_reports(const char *message_id, bool *has)
{
    struct heard h;
    unsigned n = 0;

    *has = false;
    hear_rest(c);
    while (peer_frame(c, &h)) {
        if (!heard_header(&h, "Status").n)
            continue; /* a 200 */
        n++;
        *has |= sv_eq(heard_header(&h, "Message-ID"), sv_of(message_id));
    }
    return n;
}

/* M-TMR-01: frames that are queued for a reader who stops are not late before they are written. */
TEST(hop_timer_of_a_queued_frame_begins_when_it_has_been_written)
{
    char text[2400], body[2001], last[16] = "";
    unsigned n = 0, n_heard = 0, reports;
    struct heard h;
    bool has;

    memset(body, 'x', sizeof body - 1);
    body[sizeof body - 1] = '\0';
    start(4096);
    f = NULL;
    while (rig_longest_queue(&r) < 200000) {
        CHECK_FATAL(n < 20000);
        snprintf(last, sizeof last, "m-%06u", n++);
        snprintf(text, sizeof text,
                 "MSRP t%06u SEND\nTo-Path: %%U %%F\nFrom-Path: %%C\nMessage-ID: %s\nContent-Type: a/b\n\n%s\n-------t%06u$\n", n, last,
                 body, n);
        say(c, text);
        if (!f) {
            CHECK_FATAL((f = rig_accept(&r)) != NULL);
            list_each(node, &c->worker->conns)
                setsockopt(list_item(node, struct conn, all_node)->io.fd, SOL_SOCKET, SO_SNDBUF, &(int){ 16384 }, sizeof(int));
        }
        CHECK_INT(count_reports(last, &has), 0);
        if (rig_longest_queue(&r) > 60000) /* F does not keep up: now what is for it may wait */
            rig_pass(&r, 1);
    }
    while (rig_longest_queue(&r) >= 120000) { /* he reads a little */
        peer_read(f, 10000);
        rig_turn(&r);
    }
    while (peer_frame(f, &h))
        n_heard++;
    CHECK(rig_longest_queue(&r) > 50000);
    rig_pass(&r, 31000);
    reports = count_reports(last, &has);
    CHECK(n_heard > 10 && reports >= n_heard); /* that something is queued behind them is no matter */
    CHECK(reports < n - 20 && !has); /* those that are on their way, as far as we know */
    while (rig_longest_queue(&r) > 0)
        hear_rest(f);
    rig_pass(&r, 28000);
    count_reports(last, &has);
    CHECK(!has);
    rig_pass(&r, 3000);
    count_reports(last, &has);
    CHECK(has);
    CHECK_INT(rig_stat(&r, STAT_msrp_reports_made), n);
    rig_stop(&r);
}

/* M-TMR-02, M-REP-02, M-FR-04 */
TEST(every_piece_of_an_interrupted_chunk_has_its_own_timer_and_its_own_range)
{
    char body[6000];
    struct heard h;

    memset(body, 'x', sizeof body);
    start(0);
    say(c, "MSRP b001send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\nByte-Range: "
           "101-*/9100\nContent-Type: a/b\n\n");
    say_bytes(c, body, 3000);
    /* the 481 on this one interrupts */
    say(d, "MSRP b002send SEND\nTo-Path: %N %C\nFrom-Path: %D\nMessage-ID: m-0002\n-------b002send$\n");
    CHECK_FATAL(hear(d, &h));
    CHECK(h.flag == '+' && h.body.n == 3000 && sv_eq(heard_header(&h, "Byte-Range"), SV("101-*/9100")));
    EXPECT(d, "MSRP b002send 481 No such session\nTo-Path: %D\nFrom-Path: %N\n-------b002send$\n");
    rig_pass(&r, 20000);
    say_bytes(c, body, 6000);
    say(c, "\n-------b001send$\n");
    CHECK_FATAL(hear(d, &h));
    CHECK(h.flag == '$' && h.body.n == 6000 && sv_eq(heard_header(&h, "Byte-Range"), SV("3101-*/9100")));
    EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
    rig_pass(&r, 9000);
    EXPECT_NOTHING(c);
    rig_pass(&r, 2000);
    EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: %U %V\nMessage-ID: m-0001\nByte-Range: 101-3100/9100\nStatus: "
              "000 " TIMED_OUT "\n-------%2$\n");
    rig_pass(&r, 17000);
    EXPECT_NOTHING(c);
    rig_pass(&r, 3000);
    EXPECT(c, "MSRP %3 REPORT\nTo-Path: %C\nFrom-Path: %U %V\nMessage-ID: m-0001\nByte-Range: 3101-9100/9100\nStatus: "
              "000 " TIMED_OUT "\n-------%3$\n");
    rig_stop(&r);
}

static int64_t held(void)
{
    int64_t sum = 0;

    for (unsigned i = 0; i < RIG_WORKERS; i++)
        sum += r.workers[i].held + r.workers[i].pool.held;
    return sum;
}

/* M-TMR-05: a hundred thousand of them, to two who never answer; half a minute later nothing of it is held. */
TEST(transactions_with_a_silent_sink_are_forgotten_after_30_seconds)
{
    enum { N = 100000 };
    struct buf burst = BUF_INIT;
    struct peer *e;
    int64_t before = 0;
    uint32_t places = 0;

    start(0);
    e = rig_client(&r, 'G', 'S');
    for (int i = -2; i < N; i++) {
        buf_printf(&burst,
                   "MSRP t%06dsend SEND\r\nTo-Path: %s %s %s\r\nFrom-Path: %s\r\nMessage-ID: m-%06d\r\nFailure-Report: "
                   "%s\r\n-------t%06dsend$\r\n",
                   i + 2, r.var['U'], r.var[i % 2 ? 'S' : 'V'], r.var[i % 2 ? 'G' : 'D'], r.var['C'], i + 2, i < 0 ? "no" : "partial", i + 2);
        if (i != -1 && burst.n <= 60000 && i != N - 1)
            continue;
        say_bytes(c, burst.p, burst.n);
        buf_clear(&burst);
        hear_rest(d);
        hear_rest(e);
        d->got.n = e->got.n = 0;
        if (i == -1)
            before = held(); /* with the routes, and no transaction */
    }
    CHECK_INT(rig_stat(&r, STAT_msrp_transactions), N);
    CHECK(held() > before + N * 100);
    rig_pass(&r, 32000);
    CHECK_INT(rig_stat(&r, STAT_msrp_transactions), 0);
    CHECK_INT(held(), before);
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        places += ((struct relay *)r.workers[i].protos[PROTO_MSRP].ctx)->n_txns;
    CHECK(places < 4 * N); /* and their places are used again */
    EXPECT_NOTHING(c);
    buf_fini(&burst);
    rig_stop(&r);
}

SUITE(failure_suite, TEST_ROW(accepted_chunk_is_200_to_who_wants_it_and_the_next_hops_200_is_consumed),
      TEST_ROW(rejected_chunk_is_an_error_response_unless_nobody_wants_to_know),
      TEST_ROW(next_hop_that_cannot_be_connected_is_408), TEST_ROW(address_that_must_not_be_dialled_is_403), TEST_ROW(own_listener_is_never_dialled),
      TEST_ROW(name_found_to_be_forbidden_later_is_a_403_report), TEST_ROW(report_never_overtakes_the_response),
      TEST_ROW(next_hop_lost_before_its_answer_is_408_at_once), TEST_ROW(next_hop_lost_in_the_middle_of_a_chunk_is_408),
      TEST_ROW(next_hop_lost_between_two_pieces_of_a_chunk_is_408),
      TEST_ROW(error_response_of_the_next_hop_becomes_a_report), TEST_ROW(silent_next_hop_is_408_after_30_seconds),
      TEST_ROW(every_three_digit_code_but_2xx_is_a_failure),
      TEST_ROW(comment_copied_into_a_report_is_printable_utf_8_of_128_octets_at_most),
      TEST_ROW(success_report_passes_back_though_nobody_wants_failures),
      TEST_ROW(report_that_wants_no_failures_is_passed_on_and_changes_nothing),
      TEST_ROW(nothing_is_reported_about_what_is_not_a_send), TEST_ROW(report_goes_to_the_sender_as_his_own_paths_say),
      TEST_ROW(report_tells_the_octets_that_came_not_those_that_were_announced),
      TEST_ROW(report_on_a_send_without_byte_range_or_body), TEST_ROW(codes_of_our_own_are_a_closed_list), TEST_ROW(a_408_is_never_the_response_to_a_send),
      TEST_ROW(report_for_a_sender_who_is_gone_is_dropped), TEST_ROW(report_on_a_message_of_a_session_that_has_ended),
      TEST_ROW(hop_timer_runs_from_the_last_octet_written), TEST_ROW(hop_timer_of_a_queued_frame_begins_when_it_has_been_written),
      TEST_ROW(every_piece_of_an_interrupted_chunk_has_its_own_timer_and_its_own_range),
      TEST_ROW(transactions_with_a_silent_sink_are_forgotten_after_30_seconds));
