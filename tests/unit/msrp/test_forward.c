/* Requests on their way: which are forwarded, where to, and what becomes of them (RFC 4976 s.6). */
#include <stdio.h>
#include <stdlib.h>

#include "msrp/private.h"
#include "msrp/txn.h"
#include "tests/unit/msrp/rig.h"

static struct rig r;

/* C has the token U; F listens. */
static struct peer *start(const char *option)
{
    struct peer *c;

    rig_start(&r, option);
    snprintf(r.var['C'], RIG_VAR_MAX, "msrp://alice-pc.invalid:49152/a1;tcp");
    snprintf(r.var['D'], RIG_VAR_MAX, "msrp://dave-pc.invalid:49153/d1;tcp");
    c = rig_peer(&r);
    say_auth(c, 'C', 'U');
    rig_listen(&r, 'F', 0);
    return c;
}

/* A second client D with the token V. */
static struct peer *start_two(struct peer **c, const char *option)
{
    struct peer *d;

    *c = start(option);
    d = rig_peer(&r);
    say_auth(d, 'D', 'V');
    return d;
}

#define HELLO "Message-ID: m-0001\nByte-Range: 1-5/5\nContent-Type: text/plain\n\nhello\n"

/* M-FWD-08, M-FWD-09, M-FWD-14, M-FWD-20, M-FWD-21, M-FRM-08, X-02 */
TEST(send_to_a_foreign_endpoint_is_answered_at_once_and_goes_on_with_paths_rewritten)
{
    struct peer *c = start(NULL), *f;

    say(c, "MSRP b001send SEND\nTo-Path: %U %F\nFrom-Path: %C\n" HELLO "-------b001send$\n");
    EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
    f = rig_accept(&r);
    CHECK_FATAL(f != NULL);
    EXPECT(f, "MSRP %1 SEND\nTo-Path: %F\nFrom-Path: %U %C\n" HELLO "-------%1$\n");
    CHECK(strcmp(r.var['1'], "b001send") != 0);
    say(f, "MSRP %1 200 OK\nTo-Path: %U\nFrom-Path: %F\n-------%1$\n");
    EXPECT_NOTHING(c);
    EXPECT_NOTHING(f);
    rig_stop(&r);
}

/* M-FWD-06, M-FWD-07, M-NAT-02: nobody resolves or dials the client's own address, nobody asks F who it is. */
TEST(send_to_a_token_reaches_its_owner_from_anyone)
{
    struct peer *c = start(NULL), *x = rig_peer(&r);

    say(x, "MSRP k001send SEND\nTo-Path: %U %C\nFrom-Path: msrp://x.invalid:9/x;tcp\n" HELLO "-------k001send$\n");
    EXPECT(x, "MSRP k001send 200 OK\nTo-Path: msrp://x.invalid:9/x;tcp\nFrom-Path: %U\n-------k001send$\n");
    EXPECT(c, "MSRP %1 SEND\nTo-Path: %C\nFrom-Path: %U msrp://x.invalid:9/x;tcp\n" HELLO "-------%1$\n");
    CHECK(rig_accept(&r) == NULL);
    rig_stop(&r);
}

/* M-FWD-12, X-12: both clients are ours. */
TEST(two_tokens_in_a_row_are_resolved_inside)
{
    struct peer *c, *d = start_two(&c, NULL);

    say(c, "MSRP w002send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\n" HELLO "-------w002send$\n");
    EXPECT(c, "MSRP w002send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------w002send$\n");
    EXPECT(d, "MSRP %1 SEND\nTo-Path: %D\nFrom-Path: %V %U %C\n" HELLO "-------%1$\n");
    say(d, "MSRP %1 200 OK\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
    EXPECT_NOTHING(c);
    EXPECT_NOTHING(d);
    /* and back */
    say(d, "MSRP w003send SEND\nTo-Path: %V %U %C\nFrom-Path: %D\n" HELLO "-------w003send$\n");
    EXPECT(d, "MSRP w003send 200 OK\nTo-Path: %D\nFrom-Path: %V\n-------w003send$\n");
    EXPECT(c, "MSRP %2 SEND\nTo-Path: %C\nFrom-Path: %U %V %D\n" HELLO "-------%2$\n");
    /* Variant of X-12: a failure comes with both tokens in its From-Path. */
    say(c, "MSRP %2 413 Stop\nTo-Path: %U\nFrom-Path: %C\n-------%2$\n");
    EXPECT(d, "MSRP %3 REPORT\nTo-Path: %D\nFrom-Path: %V %U\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 413 "
              "Stop\n-------%3$\n");
    rig_stop(&r);
}

/* M-FWD-13 */
TEST(paths_that_go_round_in_circles_are_refused)
{
    struct peer *c, *d = start_two(&c, NULL);
    struct buf path = BUF_INIT;

    say(c, "MSRP l001send SEND\nTo-Path: %U %U %C\nFrom-Path: %C\n" HELLO "-------l001send$\n");
    EXPECT(c, "MSRP l001send 403 Forbidden\nTo-Path: %C\nFrom-Path: %U\n-------l001send$\n");
    say(c, "MSRP l002send SEND\nTo-Path: %U %V %U %C\nFrom-Path: %C\n" HELLO "-------l002send$\n");
    EXPECT(c, "MSRP l002send 403 Forbidden\nTo-Path: %C\nFrom-Path: %U\n-------l002send$\n");
    say(c, "MSRP l003send SEND\nTo-Path: %U %V %C\nFrom-Path: %C\n" HELLO "-------l003send$\n");
    EXPECT(c, "MSRP l003send 403 Forbidden\nTo-Path: %C\nFrom-Path: %U\n-------l003send$\n");
    buf_puts(&path, "%U %V %D");
    for (int i = 0; i < 14; i++)
        buf_puts(&path, " msrp://h:1/x;tcp");
    {
        char text[2400];

        snprintf(text, sizeof text, "MSRP l004send SEND\nTo-Path: %s\nFrom-Path: %%C\n" HELLO "-------l004send$\n",
                 path.p);
        say(c, text);
        buf_fini(&path);
    }
    EXPECT(c, "MSRP l004send 400 Bad Request\nTo-Path: %C\nFrom-Path: %U\n-------l004send$\n");
    EXPECT_NOTHING(c);
    EXPECT_NOTHING(d);
    rig_stop(&r);
}

/* M-FWD-02, X-11b */
TEST(request_for_another_relay_closes_the_connection_without_a_word)
{
    struct peer *c = start(NULL), *x = rig_peer(&r), *y = rig_peer(&r);

    say(x, "MSRP k002send SEND\nTo-Path: %F\nFrom-Path: msrp://x.invalid:9/x;tcp\n" HELLO "-------k002send$\n");
    EXPECT_END(x);
    say(y,
        "MSRP k002send SEND\nTo-Path: msrp://other.invalid:5061/A;tcp %F\nFrom-Path: msrp://x.invalid:9/x;tcp\n" HELLO
        "-------k002send$\n");
    EXPECT_END(y);
    CHECK(rig_accept(&r) == NULL);
    EXPECT_NOTHING(c);
    rig_stop(&r);
}

/* M-FWD-03, X-11a, M-URI-07 */
TEST(unknown_token_is_481_unless_nobody_wants_to_know)
{
    struct peer *c = start(NULL), *x = rig_peer(&r);

    say(x, "MSRP k001send SEND\nTo-Path: %N %C\nFrom-Path: %F\n" HELLO "-------k001send$\n");
    EXPECT(x, "MSRP k001send 481 No such session\nTo-Path: %F\nFrom-Path: %N\n-------k001send$\n");
    snprintf(r.var['W'], RIG_VAR_MAX, "%s", r.var['U']); /* one letter in the other case */
    for (char *at = strstr(r.var['W'], ":5061/") + 6;; at++)
        if ((*at | 0x20) >= 'a' && (*at | 0x20) <= 'z') {
            *at ^= 0x20;
            break;
        }
    say(x, "MSRP k002send SEND\nTo-Path: %W %C\nFrom-Path: %F\n" HELLO "-------k002send$\n");
    EXPECT(x, "MSRP k002send 481 No such session\nTo-Path: %F\nFrom-Path: %W\n-------k002send$\n");
    say(x, "MSRP k003send SEND\nTo-Path: msrp://%E;tcp %C\nFrom-Path: %F\n" HELLO "-------k003send$\n");
    EXPECT(x, "MSRP k003send 481 No such session\nTo-Path: %F\nFrom-Path: msrp://%E;tcp\n-------k003send$\n");
    snprintf(r.var['W'], RIG_VAR_MAX, "msrps%.400s", r.var['U'] + strlen("msrp")); /* the whole URI is the token */
    say(x, "MSRP k009send SEND\nTo-Path: %W %C\nFrom-Path: %F\n" HELLO "-------k009send$\n");
    EXPECT(x, "MSRP k009send 481 No such session\nTo-Path: %F\nFrom-Path: %W\n-------k009send$\n");
    x = rig_peer(&r); /* five refusals would end it */
    say(x, "MSRP k004send SEND\nTo-Path: %N %C\nFrom-Path: %F\nFailure-Report: no\n" HELLO "-------k004send$\n");
    say(x, "MSRP k005rprt REPORT\nTo-Path: %N %C\nFrom-Path: %F\nMessage-ID: m-1\nMessage-ID: m-1\nStatus: 000 200 "
           "OK\n-------k005rprt$\n");
    say(x, "MSRP k006rprt REPORT\nTo-Path: %N %C\nFrom-Path: %F\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 "
           "200 OK\n-------k006rprt$\n");
    EXPECT_NOTHING(x);
    say(x, "MSRP k007nick NICKNAME\nTo-Path: %N %C\nFrom-Path: %F\n-------k007nick$\n");
    EXPECT(x, "MSRP k007nick 481 No such session\nTo-Path: %F\nFrom-Path: %N\n-------k007nick$\n");
    /* M-FWD-24: that nobody wants to know is said of a SEND alone */
    say(x, "MSRP k008nick NICKNAME\nTo-Path: %N %C\nFrom-Path: %F\nFailure-Report: no\n-------k008nick$\n");
    EXPECT(x, "MSRP k008nick 481 No such session\nTo-Path: %F\nFrom-Path: %N\n-------k008nick$\n");
    EXPECT_NOTHING(c);
    rig_stop(&r);
}

/* M-FWD-04, M-FWD-05, M-SEC-01, X-11c */
TEST(knowing_a_token_does_not_open_the_relay)
{
    struct peer *c = start(NULL), *x = rig_peer(&r);

    say(x, "MSRP k003send SEND\nTo-Path: %U %F\nFrom-Path: msrp://x.invalid:9/x;tcp\n" HELLO "-------k003send$\n");
    EXPECT(x, "MSRP k003send 403 Forbidden\nTo-Path: msrp://x.invalid:9/x;tcp\nFrom-Path: %U\n-------k003send$\n");
    say(x, "MSRP k004send SEND\nTo-Path: %U %F\nFrom-Path: %C\n" HELLO "-------k004send$\n"); /* in the owner's name */
    EXPECT(x, "MSRP k004send 403 Forbidden\nTo-Path: %C\nFrom-Path: %U\n-------k004send$\n");
    say(x, "MSRP k005rprt REPORT\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0001\nStatus: 000 200 "
           "OK\n-------k005rprt$\n");
    EXPECT_NOTHING(x);
    CHECK(rig_accept(&r) == NULL);
    EXPECT_NOTHING(c);
    rig_stop(&r);
}

/* M-FWD-06, M-FWD-12, M-NAT-01: a client is the end of the way, whoever sends and through however many tokens; nobody
 * is dialled. */
TEST(nothing_lies_beyond_a_client)
{
    struct peer *c, *d = start_two(&c, NULL), *x = rig_peer(&r);
    struct heard h;
    uint64_t made = r.next_id;

    say(x, "MSRP e001send SEND\nTo-Path: %U %C %F\nFrom-Path: msrp://x.invalid:9/x;tcp\n" HELLO "-------e001send$\n");
    EXPECT(x, "MSRP e001send 403 Forbidden\nTo-Path: msrp://x.invalid:9/x;tcp\nFrom-Path: %U\n-------e001send$\n");
    say(c, "MSRP e002send SEND\nTo-Path: %U %C %F\nFrom-Path: %C\n" HELLO "-------e002send$\n");
    EXPECT(c, "MSRP e002send 403 Forbidden\nTo-Path: %C\nFrom-Path: %U\n-------e002send$\n");
    say(c, "MSRP e003send SEND\nTo-Path: %U %V %D %F\nFrom-Path: %C\n" HELLO "-------e003send$\n");
    EXPECT(c, "MSRP e003send 403 Forbidden\nTo-Path: %C\nFrom-Path: %U\n-------e003send$\n");
    EXPECT_NOTHING(d);
    snprintf(r.var['S'], RIG_VAR_MAX, "msrps%s", strchr(r.var['F'], ':')); /* where a relay could be */
    say_auth(c, 'S', 'W');
    say(c, "MSRP e004send SEND\nTo-Path: %W %S %F\nFrom-Path: %S\n" HELLO "-------e004send$\n");
    CHECK_FATAL(hear(c, &h) && sv_eq(h.start, SV("MSRP e004send 403 Forbidden")));
    CHECK_INT(r.next_id, made);
    rig_stop(&r);
}

/* M-TLS-02, M-TLS-07, X-11d: more than one URI in From-Path is a relay's, and this one has shown no certificate. */
TEST(relay_without_a_certificate_is_refused)
{
    struct peer *c = start(NULL), *x = rig_peer(&r);

    say(x,
        "MSRP k006send SEND\nTo-Path: %U %C\nFrom-Path: msrp://r.invalid:2855/r;tcp %F\n" HELLO "-------k006send$\n");
    EXPECT(x, "MSRP k006send 403 Forbidden\nTo-Path: msrp://r.invalid:2855/r;tcp\nFrom-Path: %U\n-------k006send$\n");
    say(x, "MSRP k007nick NICKNAME\nTo-Path: %U %C\nFrom-Path: msrp://r.invalid:2855/r;tcp %F\n-------k007nick$\n");
    EXPECT(x,
           "MSRP k007nick 403 Forbidden\nTo-Path: msrp://r.invalid:2855/r;tcp %F\nFrom-Path: %U\n-------k007nick$\n");
    EXPECT_NOTHING(c);
    rig_stop(&r);
}

/* M-TLS-06, M-DNS-02, M-URI-02, M-SEC-02 */
TEST(next_hop_that_must_not_or_cannot_be_dialled_is_refused)
{
    struct peer *c = start(NULL), *x = rig_peer(&r);

    say(c, "MSRP n001send SEND\nTo-Path: %U %F msrp://b.invalid:1/b;tcp\nFrom-Path: %C\n" HELLO "-------n001send$\n");
    EXPECT(c, "MSRP n001send 403 Forbidden\nTo-Path: %C\nFrom-Path: %U\n-------n001send$\n");
    say(c, "MSRP n002send SEND\nTo-Path: %U msrp://127.0.0.1/b;tcp\nFrom-Path: %C\n" HELLO "-------n002send$\n");
    EXPECT(c, "MSRP n002send 400 Bad Request\nTo-Path: %C\nFrom-Path: %U\n-------n002send$\n");
    say(c, "MSRP n003send SEND\nTo-Path: %U msrp://127.0.0.1:9999/b;sctp9\nFrom-Path: %C\n" HELLO "-------n003send$\n");
    EXPECT(c, "MSRP n003send 481 No such session\nTo-Path: %C\nFrom-Path: %U\n-------n003send$\n");
    say(c, "MSRP n004send SEND\nTo-Path: %U msrps://127.0.0.1:9999/r;ws msrp://b.invalid:1/b;tcp\nFrom-Path: %C\n" HELLO "-------n004send$\n");
    EXPECT(c, "MSRP n004send 481 No such session\nTo-Path: %C\nFrom-Path: %U\n-------n004send$\n");
    say(x, "MSRP n005send SEND\nTo-Path: %U %C\nFrom-Path: msrp://x.invalid/x;tcp\n" HELLO "-------n005send$\n"); /* who could not be answered */
    EXPECT(x, "MSRP n005send 400 Bad Request\nTo-Path: msrp://x.invalid/x;tcp\nFrom-Path: %U\n-------n005send$\n");
    EXPECT_NOTHING(c);
    CHECK(rig_accept(&r) == NULL);
    rig_stop(&r);
}

/* M-FWD-11, M-FWD-32, M-NAT-03 */
TEST(keep_alive_to_the_own_token_is_answered_and_nothing_else_ends_here)
{
    struct peer *c = start(NULL), *x = rig_peer(&r);

    say(c, "MSRP p001send SEND\nTo-Path: %U\nFrom-Path: %C\nMessage-ID: m-0001\n-------p001send$\n");
    EXPECT(c, "MSRP p001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------p001send$\n");
    say(c,
        "MSRP p002send SEND\nTo-Path: %U\nFrom-Path: %C\nMessage-ID: m-0001\nFailure-Report: no\n-------p002send$\n");
    say(c, "MSRP p003send SEND\nTo-Path: %U\nFrom-Path: %C\nMessage-ID: m-0001\nFailure-Report: "
           "partial\n-------p003send$\n");
    EXPECT_NOTHING(c);
    say(c, "MSRP p004send SEND\nTo-Path: %U\nFrom-Path: %C\n" HELLO "-------p004send$\n");
    EXPECT(c, "MSRP p004send 481 No such session\nTo-Path: %C\nFrom-Path: %U\n-------p004send$\n");
    say(c,
        "MSRP p005rprt REPORT\nTo-Path: %U\nFrom-Path: %C\nMessage-ID: m-0001\nStatus: 000 200 OK\n-------p005rprt$\n");
    EXPECT_NOTHING(c);
    say(c, "MSRP p006frob FROB\nTo-Path: %U\nFrom-Path: %C\n-------p006frob$\n");
    EXPECT(c, "MSRP p006frob 501 Not implemented\nTo-Path: %C\nFrom-Path: %U\n-------p006frob$\n");
    say(x,
        "MSRP p007send SEND\nTo-Path: %U\nFrom-Path: %F\nMessage-ID: m-0001\n-------p007send$\n"); /* not the owner */
    EXPECT(x, "MSRP p007send 481 No such session\nTo-Path: %F\nFrom-Path: %U\n-------p007send$\n");
    EXPECT_NOTHING(c);
    rig_stop(&r);
}

/* M-FWD-30, M-FWD-34, M-RSP-05, M-FWD-32, X-11e */
TEST(unknown_method_and_its_response_travel_end_to_end)
{
    struct peer *c = start(NULL), *f;

    say(c, "MSRP q001nick NICKNAME\nTo-Path: %U %F\nFrom-Path: %C\nUse-Nickname: \"Alice\"\n-------q001nick$\n");
    f = rig_accept(&r);
    CHECK_FATAL(f != NULL);
    EXPECT(f, "MSRP %1 NICKNAME\nTo-Path: %F\nFrom-Path: %U %C\nUse-Nickname: \"Alice\"\n-------%1$\n");
    EXPECT_NOTHING(c);
    say(f, "MSRP %1 423 Taken already\nTo-Path: %U %C\nFrom-Path: %F\nX-Why: it is\n-------%1$\n");
    EXPECT(c, "MSRP q001nick 423 Taken already\nTo-Path: %C\nFrom-Path: %U %F\nX-Why: it is\n-------q001nick$\n");
    say(f, "MSRP %1 200 OK\nTo-Path: %U %C\nFrom-Path: %F\n-------%1$\n"); /* a second one */
    EXPECT_NOTHING(c);
    rig_stop(&r);
}

/* M-FWD-34: 30 s, then the mapping is forgotten. */
TEST(late_response_to_another_method_is_dropped)
{
    struct peer *c = start(NULL), *f;

    say(c, "MSRP q002nick NICKNAME\nTo-Path: %U %F\nFrom-Path: %C\n-------q002nick$\n");
    f = rig_accept(&r);
    EXPECT(f, "MSRP %1 NICKNAME\nTo-Path: %F\nFrom-Path: %U %C\n-------%1$\n");
    rig_pass(&r, 31000);
    say(f, "MSRP %1 200 OK\nTo-Path: %U %C\nFrom-Path: %F\n-------%1$\n");
    EXPECT_NOTHING(c);
    CHECK_INT(rig_stat(&r, STAT_msrp_transactions), 0);
    rig_stop(&r);
}

/* M-HDR-01, M-HDR-02, M-HDR-03, M-FWD-14, M-URI-11 */
TEST(everything_but_paths_and_identifier_is_forwarded_byte_for_byte)
{
    struct peer *c, *d = start_two(&c, NULL);

    say(c, "MSRP r001send SEND\nto-path:\t %U %V %D\nFROM-PATH:%C\nx-foo:bar\nMessage-ID:   m-0001\nX-Empty:\nX-Foo: "
           "\xe2\x82\xac\n"
           "Success-Report:  YES\nByte-Range:  1-5/5\nContent-Disposition: "
           "inline\nContent-Type:text/plain;x=\"y\"\n\nhello\n-------r001send$\n");
    EXPECT(d, "MSRP %1 SEND\nTo-Path: %D\nFrom-Path: %V %U %C\nx-foo:bar\nMessage-ID:   m-0001\nX-Empty:\nX-Foo: "
              "\xe2\x82\xac\n"
              "Success-Report:  YES\nByte-Range:  1-5/5\nContent-Disposition: "
              "inline\nContent-Type:text/plain;x=\"y\"\n\nhello\n-------%1$\n");
    EXPECT(c, "MSRP r001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------r001send$\n");
    rig_stop(&r);
}

/* M-FRM-14, M-FRM-15, M-ACM-02, M-CHK-02, M-CHK-03 */
TEST(bodiless_and_empty_messages_stay_what_they_are)
{
    struct peer *c, *d = start_two(&c, NULL);

    say(c, "MSRP s001send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\n-------s001send$\n");
    EXPECT(d, "MSRP %1 SEND\nTo-Path: %D\nFrom-Path: %V %U %C\nMessage-ID: m-0001\n-------%1$\n");
    say(c, "MSRP s002send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0002\nByte-Range: 1-0/0\nContent-Type: "
           "text/plain\n\n\n-------s002send$\n");
    EXPECT(d, "MSRP %2 SEND\nTo-Path: %D\nFrom-Path: %V %U %C\nMessage-ID: m-0002\nByte-Range: 1-0/0\nContent-Type: "
              "text/plain\n\n\n-------%2$\n");
    say(c, "MSRP s003send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0003\nContent-Type: "
           "text/plain\n\n-------s003send$\n");
    EXPECT(d, "MSRP %3 SEND\nTo-Path: %D\nFrom-Path: %V %U %C\nMessage-ID: m-0003\nContent-Type: "
              "text/plain\n\n\n-------%3$\n");
    say(c, "MSRP s004send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0004\nContent-Type: "
           "text/plain\n\nx\n-------s004send+\n");
    EXPECT(d, "MSRP %4 SEND\nTo-Path: %D\nFrom-Path: %V %U %C\nMessage-ID: m-0004\nContent-Type: "
              "text/plain\n\nx\n-------%4+\n");
    rig_stop(&r);
}

/* M-FRM-17: one octet per segment, and all in one. */
TEST(split_of_the_stream_does_not_show_downstream)
{
    static const char frames[] = "MSRP t001send SEND\r\nTo-Path: %s %s %s\r\nFrom-Path: %s\r\nMessage-ID: "
                                 "m-0001\r\nByte-Range: 1-22/22\r\nContent-Type: "
                                 "text/plain\r\n\r\n-------t001send-\r\nab\r\n\r\n-------t001send$\r\n"
                                 "MSRP t002rprt REPORT\r\nTo-Path: %s %s %s\r\nFrom-Path: %s\r\nMessage-ID: "
                                 "m-0002\r\nStatus: 000 200 OK\r\n-------t002rprt$\r\n";
    struct peer *c, *d = start_two(&c, NULL);
    char text[2000];
    const char *u = r.var['U'], *v = r.var['V'], *dd = r.var['D'], *cc = r.var['C'];
    int n = snprintf(text, sizeof text, frames, u, v, dd, cc, u, v, dd, cc);

    for (int piece = 1; piece < n; piece += piece < 40 ? 7 : 211) {
        memset(r.var['1'], 0, 3 * RIG_VAR_MAX);
        for (int at = 0; at < n; at += piece)
            say_bytes(c, text + at, (size_t)TD_MIN(piece, n - at));
        EXPECT(c, "MSRP t001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------t001send$\n");
        EXPECT(d, "MSRP %1 SEND\nTo-Path: %D\nFrom-Path: %V %U %C\nMessage-ID: m-0001\nByte-Range: "
                  "1-22/22\nContent-Type: text/plain\n\n"
                  "-------t001send-\nab\n\n-------%1$\n");
        EXPECT(
            d,
            "MSRP %2 REPORT\nTo-Path: %D\nFrom-Path: %V %U %C\nMessage-ID: m-0002\nStatus: 000 200 OK\n-------%2$\n");
        say(d, "MSRP %1 200 OK\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
    }
    rig_stop(&r);
}

/* M-FLOW-05, M-FWD-09 */
TEST(a_thousand_sends_in_one_burst_get_their_answers_in_order)
{
    struct peer *c, *d = start_two(&c, NULL);
    struct buf burst = BUF_INIT;
    struct heard h;
    bool same = true;

    for (int i = 0; i < 1000; i++)
        buf_printf(&burst,
                   "MSRP t%03dsend SEND\r\nTo-Path: %s %s %s\r\nFrom-Path: %s\r\nMessage-ID: m-%04d\r\nContent-Type: "
                   "a/b\r\n\r\n%d\r\n-------t%03dsend$\r\n",
                   i, r.var['U'], r.var['V'], r.var['D'], r.var['C'], i, i, i);
    say_bytes(c, burst.p, burst.n);
    for (int i = 0; i < 1000; i++) {
        char want[64];

        CHECK_FATAL(hear(c, &h));
        snprintf(want, sizeof want, "MSRP t%03dsend 200 OK", i);
        same &= sv_eq(h.start, sv_of(want));
        CHECK_FATAL(hear(d, &h));
        snprintf(want, sizeof want, "%d", i);
        same &= sv_eq(h.body, sv_of(want));
    }
    CHECK(same);
    buf_fini(&burst);
    rig_stop(&r);
}

/* M-FRM-20, M-FRM-21, M-HDR-04, M-HDR-06, M-CHK-16, X-11f */
TEST(broken_but_framed_request_is_400_and_the_connection_goes_on)
{
    static const char *const bad[] = { "Byte-Range: 1-5/5\nContent-Type: text/plain\n\nhello\n",
                                       "Message-ID: m-0001\nByte-Range: 0-5/5\nContent-Type: a/b\n\nhello\n",
                                       "Message-ID: m-0001\nFailure-Report: maybe\n",
                                       "Message-ID: m-0001\nByte-Range: 1-*/99999999999999999999\n",
                                       "Message-ID: m-0001\nMessage-ID: m-0001\n",
                                       "Message-ID: m-0001\n\nno type\n" };
    struct peer *c, *d = start_two(&c, NULL);
    char text[600];

    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++) {
        snprintf(text, sizeof text, "MSRP z001send SEND\nTo-Path: %%U %%V %%D\nFrom-Path: %%C\n%s-------z001send$\n",
                 bad[i]);
        say(c, text);
        EXPECT(c, "MSRP z001send 400 Bad Request\nTo-Path: %C\nFrom-Path: %U\n-------z001send$\n");
    }
    say(c, "MSRP z002send SEND\nFrom-Path: %C\nTo-Path: %U %V %D\n" HELLO "-------z002send$\n"); /* M-FRM-05 */
    EXPECT(c, "MSRP z002send 400 Bad Request\nTo-Path: %C\nFrom-Path: %U\n-------z002send$\n");
    say(c, "MSRP z003send send\nTo-Path: %U %V %D\nFrom-Path: %C\n" HELLO "-------z003send$\n"); /* M-FRM-01 */
    EXPECT(c, "MSRP z003send 400 Bad Request\nTo-Path: %C\nFrom-Path: %U\n-------z003send$\n");
    say(c, "MSRP z004rprt REPORT\nTo-Path: %U %V %D\nFrom-Path: %C\nStatus: 000 200 OK\n-------z004rprt$\n");
    say(c, "MSRP z005send SEND\nFrom-Path: %C\nMessage-ID: m-0001\n-------z005send$\n");
    say(c, "MSRP z006send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nFailure-Report: no\n-------z006send$\n");
    EXPECT_NOTHING(c);
    EXPECT_NOTHING(d);
    say(c, "MSRP z007send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\n" HELLO "-------z007send$\n");
    EXPECT(c, "MSRP z007send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------z007send$\n");
    rig_stop(&r);
}

/* M-FRM-20 */
TEST(lost_framing_is_400_where_it_can_be_said_and_then_the_end)
{
    struct peer *c = start(NULL), *x[4];

    for (size_t i = 0; i < TD_ARRAY_LEN(x); i++)
        x[i] = rig_peer(&r);
    say(x[0], "MSRP y001send SEND\nTo-Path: %U %C\nFrom-Path: %F\n folded\nMessage-ID: m-0001\n-------y001send$\n");
    EXPECT(x[0], "MSRP y001send 400 Bad Request\nTo-Path: %F\nFrom-Path: %U\n-------y001send$\n");
    EXPECT_END(x[0]);
    say(x[1], "MSRP y002send SEND\nTo-Path: %U %C\nFrom-Path: %F\nFailure-Report: no\nno header\n");
    EXPECT_END(x[1]);
    say(x[2], "MSRP y003rprt REPORT\nTo-Path: %U %C\nFrom-Path: %F\nno header\n");
    EXPECT_END(x[2]);
    say(x[3], "MSRP y4 SEND\nTo-Path: %U %C\nFrom-Path: %F\n");
    EXPECT_END(x[3]);
    EXPECT_NOTHING(c);
    rig_stop(&r);
}

/* M-MUX-04 */
TEST(sip_on_an_msrp_connection_is_lost_framing)
{
    struct peer *c = start(NULL);

    say(c, "REGISTER sip:tandem.example SIP/2.0\n");
    EXPECT_END(c);
    rig_stop(&r);
}

/* M-FRM-19 */
TEST(body_of_a_report_has_at_most_10240_octets)
{
    struct peer *c, *d = start_two(&c, NULL);
    char *body = malloc(MSRP_OTHER_BODY_MAX + 2);
    struct heard h;

    CHECK_FATAL(body != NULL);
    memset(body, 'x', MSRP_OTHER_BODY_MAX + 2);
    say(c, "MSRP v001rprt REPORT\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\nContent-Type: a/b\n\n");
    say_bytes(c, body, MSRP_OTHER_BODY_MAX);
    say(c, "\n-------v001rprt$\n");
    CHECK_FATAL(hear(d, &h));
    CHECK_INT(h.body.n, MSRP_OTHER_BODY_MAX);
    CHECK(h.flag == '$');
    say(c, "MSRP v002rprt REPORT\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\nContent-Type: a/b\n\n");
    say_bytes(c, body, MSRP_OTHER_BODY_MAX + 1);
    say(c, "\n-------v002rprt$\n");
    say(c, "MSRP v003rprt REPORT\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\n-------v003rprt+\n");
    EXPECT_NOTHING(d);
    EXPECT_NOTHING(c);
    say(c, "MSRP v005frob FROB\nTo-Path: %U %V %D\nFrom-Path: %C\nContent-Type: a/b\n\nx\n-------v005frob+\n"); /* nor is it cut */
    EXPECT(c, "MSRP v005frob 400 Bad Request\nTo-Path: %C\nFrom-Path: %U\n-------v005frob$\n");
    EXPECT_NOTHING(d);
    say(c, "MSRP v004rprt REPORT\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\n-------v004rprt$\n");
    EXPECT(d, "MSRP %1 REPORT\nTo-Path: %D\nFrom-Path: %V %U %C\nMessage-ID: m-0001\n-------%1$\n");
    free(body);
    rig_stop(&r);
}

/* M-CON-07, M-CON-08, M-ACM-03: F's own address cannot be dialled; its SEND has bound its connection. */
TEST(answer_to_a_foreign_endpoint_uses_the_connection_it_came_by)
{
    struct peer *c = start(NULL), *x = rig_peer(&r);

    snprintf(r.var['G'], RIG_VAR_MAX, "msrp://10.0.0.5:9/f;tcp");
    say(x, "MSRP g001send SEND\nTo-Path: %U %C\nFrom-Path: %G\nMessage-ID: m-0001\n-------g001send$\n");
    EXPECT(x, "MSRP g001send 200 OK\nTo-Path: %G\nFrom-Path: %U\n-------g001send$\n");
    EXPECT(c, "MSRP %1 SEND\nTo-Path: %C\nFrom-Path: %U %G\nMessage-ID: m-0001\n-------%1$\n");
    say(c, "MSRP g002send SEND\nTo-Path: %U msrp://10.0.0.5:9/f;TCP\nFrom-Path: %C\n" HELLO "-------g002send$\n");
    EXPECT(c, "MSRP g002send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------g002send$\n");
    EXPECT(x, "MSRP %2 SEND\nTo-Path: msrp://10.0.0.5:9/f;TCP\nFrom-Path: %U %C\n" HELLO "-------%2$\n");
    rig_stop(&r);
}

/* M-CON-08: two sessions of one host and port are two endpoints. */
TEST(endpoints_are_told_apart_by_their_whole_uri)
{
    struct peer *c = start(NULL), *x = rig_peer(&r), *y = rig_peer(&r);

    snprintf(r.var['G'], RIG_VAR_MAX, "msrp://10.0.0.5:9/f1;tcp");
    snprintf(r.var['H'], RIG_VAR_MAX, "msrp://10.0.0.5:9/f2;tcp");
    say(x, "MSRP g001send SEND\nTo-Path: %U %C\nFrom-Path: %G\nMessage-ID: m-0001\n-------g001send$\n");
    EXPECT(x, "MSRP g001send 200 OK\nTo-Path: %G\nFrom-Path: %U\n-------g001send$\n");
    EXPECT(c, "MSRP %1 SEND\nTo-Path: %C\nFrom-Path: %U %G\nMessage-ID: m-0001\n-------%1$\n");
    say(y, "MSRP h001send SEND\nTo-Path: %U %C\nFrom-Path: %H\nMessage-ID: m-0001\n-------h001send$\n");
    EXPECT(y, "MSRP h001send 200 OK\nTo-Path: %H\nFrom-Path: %U\n-------h001send$\n");
    EXPECT(c, "MSRP %2 SEND\nTo-Path: %C\nFrom-Path: %U %H\nMessage-ID: m-0001\n-------%2$\n");
    say(c, "MSRP h002send SEND\nTo-Path: %U %H\nFrom-Path: %C\n" HELLO "-------h002send$\n");
    EXPECT(c, "MSRP h002send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------h002send$\n");
    EXPECT(y, "MSRP %3 SEND\nTo-Path: %H\nFrom-Path: %U %C\n" HELLO "-------%3$\n");
    EXPECT_NOTHING(x);
    rig_stop(&r);
}

/* M-ACM-03: port 9 says that the endpoint will connect itself. It is not dialled, whoever it is and whatever for; until
 * it has come it is 408, and the one connection it then makes is no reason to take its sender for a shared one. */
TEST(port_9_is_never_dialled)
{
    struct peer *c = start(NULL), *x;
    int64_t open = rig_stat(&r, STAT_conn_open);

    snprintf(r.var['G'], RIG_VAR_MAX, "msrp://127.0.0.1:9/f;tcp");
    snprintf(r.var['H'], RIG_VAR_MAX, "msrps://127.0.0.1:9/h;tcp");
    for (int i = 0; i < 2; i++) {
        r.var['2'][0] = '\0';
        say(c, i ? "MSRP g000send SEND\nTo-Path: %U %H %F\nFrom-Path: %C\n" HELLO "-------g000send$\n"
                 : "MSRP g000send SEND\nTo-Path: %U %G\nFrom-Path: %C\n" HELLO "-------g000send$\n");
        EXPECT(c, "MSRP g000send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------g000send$\n");
        EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: %U\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 408 Downstream "
                  "transaction timed out\n-------%2$\n");
    }
    say(c, "MSRP g001rprt REPORT\nTo-Path: %U %G\nFrom-Path: %C\nMessage-ID: m-0001\nStatus: 000 200 OK\n-------g001rprt$\n");
    say(c, "MSRP g001frob FROB\nTo-Path: %U %G\nFrom-Path: %C\n-------g001frob$\n");
    EXPECT_NOTHING(c);
    CHECK_INT(rig_stat(&r, STAT_conn_open), open);
    CHECK_INT(rig_stat(&r, STAT_msrp_dropped), 4);
    x = rig_peer(&r);
    say(x, "MSRP g002send SEND\nTo-Path: %U %C\nFrom-Path: %G\nMessage-ID: m-0001\n-------g002send$\n");
    EXPECT(x, "MSRP g002send 200 OK\nTo-Path: %G\nFrom-Path: %U\n-------g002send$\n");
    EXPECT(c, "MSRP %1 SEND\nTo-Path: %C\nFrom-Path: %U %G\nMessage-ID: m-0001\n-------%1$\n");
    say(c, "MSRP g003send SEND\nTo-Path: %U %G\nFrom-Path: %C\n" HELLO "-------g003send$\n");
    EXPECT(c, "MSRP g003send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------g003send$\n");
    EXPECT(x, "MSRP %3 SEND\nTo-Path: %G\nFrom-Path: %U %C\n" HELLO "-------%3$\n");
    list_each(node, &c->worker->conns) {
        const struct msrp_conn *m = msrp_of(list_item(node, struct conn, all_node));

        CHECK(!m || !m->shared);
    }
    rig_stop(&r);
}

/* M-CON-09 */
TEST(second_connection_of_a_foreign_endpoint_is_506_while_the_first_lives)
{
    struct peer *c = start(NULL), *x = rig_peer(&r), *y = rig_peer(&r);

    say(x, "MSRP g001send SEND\nTo-Path: %U %C\nFrom-Path: %F\nMessage-ID: m-0001\n-------g001send$\n");
    EXPECT(x, "MSRP g001send 200 OK\nTo-Path: %F\nFrom-Path: %U\n-------g001send$\n");
    EXPECT(c, "MSRP %1 SEND\nTo-Path: %C\nFrom-Path: %U %F\nMessage-ID: m-0001\n-------%1$\n");
    say(y, "MSRP g002send SEND\nTo-Path: %U %C\nFrom-Path: %F\nMessage-ID: m-0001\n-------g002send$\n");
    EXPECT(y, "MSRP g002send 506 Session bound to another connection\nTo-Path: %F\nFrom-Path: %U\n-------g002send$\n");
    EXPECT_NOTHING(c);
    peer_close(x);
    say(y, "MSRP g003send SEND\nTo-Path: %U %C\nFrom-Path: %F\nMessage-ID: m-0001\n-------g003send$\n");
    EXPECT(y, "MSRP g003send 200 OK\nTo-Path: %F\nFrom-Path: %U\n-------g003send$\n");
    EXPECT(c, "MSRP %2 SEND\nTo-Path: %C\nFrom-Path: %U %F\nMessage-ID: m-0001\n-------%2$\n");
    rig_stop(&r);
}

/* M-CON-07, M-CON-10, M-URI-02: the binding dies with its connection, the token does not, and a new one is found
 * wherever it is. */
TEST(foreign_endpoint_that_comes_back_by_another_connection_is_found_there)
{
    struct peer *c = start(NULL), *x;
    char text[400];

    snprintf(r.var['G'], RIG_VAR_MAX, "msrp://127.0.0.1:9/f;sctp"); /* nothing that could be dialled */
    for (int i = 0; i < 4; i++) {
        r.var['1'][0] = r.var['2'][0] = '\0';
        x = rig_peer(&r);
        say(x, "MSRP g001send SEND\nTo-Path: %U %C\nFrom-Path: %G\nMessage-ID: m-0001\nFailure-Report: "
               "no\n-------g001send$\n");
        EXPECT(c, "MSRP %1 SEND\nTo-Path: %C\nFrom-Path: %U %G\nMessage-ID: m-0001\nFailure-Report: no\n-------%1$\n");
        snprintf(text, sizeof text,
                 "MSRP g%03dsend SEND\nTo-Path: %%U %%G\nFrom-Path: %%C\n" HELLO "-------g%03dsend$\n", i, i);
        say(c, text);
        snprintf(text, sizeof text, "MSRP g%03dsend 200 OK\nTo-Path: %%C\nFrom-Path: %%U\n-------g%03dsend$\n", i, i);
        EXPECT(c, text);
        EXPECT(x, "MSRP %2 SEND\nTo-Path: %G\nFrom-Path: %U %C\n" HELLO "-------%2$\n");
        say(x, "MSRP %2 200 OK\nTo-Path: %U\nFrom-Path: %G\n-------%2$\n");
        peer_close(x);
    }
    say(c, "MSRP g009send SEND\nTo-Path: %U %G\nFrom-Path: %C\n" HELLO "-------g009send$\n"); /* nobody is there now */
    EXPECT(c, "MSRP g009send 481 No such session\nTo-Path: %C\nFrom-Path: %U\n-------g009send$\n");
    rig_stop(&r);
}

/* M-CON-06 */
TEST(next_hop_that_was_lost_is_dialled_again_by_whoever_needs_it)
{
    struct peer *c, *d = start_two(&c, NULL), *f;

    for (int i = 0; i < 3; i++) {
        memset(r.var['1'], 0, 2 * RIG_VAR_MAX);
        say(c, "MSRP h001send SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0001\nFailure-Report: "
               "no\n-------h001send$\n");
        f = rig_accept(&r);
        CHECK_FATAL(f != NULL);
        EXPECT(f, "MSRP %1 SEND\nTo-Path: %F\nFrom-Path: %U %C\nMessage-ID: m-0001\nFailure-Report: no\n-------%1$\n");
        say(d, "MSRP h002send SEND\nTo-Path: %V %F\nFrom-Path: %D\nMessage-ID: m-0002\nFailure-Report: "
               "no\n-------h002send$\n");
        EXPECT(f, "MSRP %2 SEND\nTo-Path: %F\nFrom-Path: %V %D\nMessage-ID: m-0002\nFailure-Report: no\n-------%2$\n");
        peer_close(f);
        r.var['1'][0] = '\0';
        say(d, "MSRP h003send SEND\nTo-Path: %V %F\nFrom-Path: %D\nMessage-ID: m-0003\nFailure-Report: "
               "no\n-------h003send$\n");
        f = rig_accept(&r);
        CHECK_FATAL(f != NULL);
        EXPECT(f, "MSRP %1 SEND\nTo-Path: %F\nFrom-Path: %V %D\nMessage-ID: m-0003\nFailure-Report: no\n-------%1$\n");
        peer_close(f);
    }
    rig_stop(&r);
}

/* M-CON-06, M-FWD-10 */
TEST(two_clients_share_one_connection_to_the_same_next_hop)
{
    struct peer *c, *d = start_two(&c, NULL), *f;

    say(c, "MSRP h001send SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0001\n-------h001send$\n");
    f = rig_accept(&r);
    EXPECT(f, "MSRP %1 SEND\nTo-Path: %F\nFrom-Path: %U %C\nMessage-ID: m-0001\n-------%1$\n");
    say(d, "MSRP h002send SEND\nTo-Path: %V %F\nFrom-Path: %D\nMessage-ID: m-0002\n-------h002send$\n");
    EXPECT(f, "MSRP %2 SEND\nTo-Path: %F\nFrom-Path: %V %D\nMessage-ID: m-0002\n-------%2$\n");
    CHECK(rig_accept(&r) == NULL);
    rig_stop(&r);
}

/* M-CON-10, M-TOK-05, M-NAT-01: 408 while it could be resumed, 481 afterwards, and in no case a frame for anybody. */
TEST(token_of_a_lost_connection_routes_nothing_and_another_connection_does_not_revive_it)
{
    struct peer *c = start(NULL), *x = rig_peer(&r), *again;
    struct heard h;

    peer_close(c);
    say(x, "MSRP i001send SEND\nTo-Path: %U %C\nFrom-Path: %F\n" HELLO "-------i001send$\n");
    CHECK_FATAL(hear(x, &h) && hear(x, &h));
    CHECK(sv_starts(heard_header(&h, "Status"), SV("000 408 ")));
    again = rig_peer(&r);
    say(again, "MSRP i002send SEND\nTo-Path: %U %F\nFrom-Path: %C\n" HELLO "-------i002send$\n");
    CHECK_FATAL(hear(again, &h) && hear(again, &h));
    CHECK(sv_starts(heard_header(&h, "Status"), SV("000 408 ")));
    CHECK(rig_accept(&r) == NULL);
    rig_pass(&r, 61000);
    x = rig_peer(&r);
    say(x, "MSRP i003send SEND\nTo-Path: %U %C\nFrom-Path: %F\n" HELLO "-------i003send$\n");
    EXPECT(x, "MSRP i003send 481 No such session\nTo-Path: %F\nFrom-Path: %U\n-------i003send$\n");
    CHECK_INT(rig_stat(&r, STAT_sessions), 0);
    rig_stop(&r);
}

/* M-RSP-01, M-RSP-02, M-RSP-03, M-FRM-06, M-FRM-22, M-FRM-23 */
TEST(responses_that_match_nothing_are_dropped_and_never_answered)
{
    struct peer *c, *d = start_two(&c, NULL);

    say(c, "MSRP j001send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\n" HELLO "-------j001send$\n");
    EXPECT(c, "MSRP j001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------j001send$\n");
    EXPECT(d, "MSRP %1 SEND\nTo-Path: %D\nFrom-Path: %V %U %C\n" HELLO "-------%1$\n");
    say(d, "MSRP aaaaaaaaaaaaaaaa 413 x\nTo-Path: %V\nFrom-Path: %D\n-------aaaaaaaaaaaaaaaa$\n");
    say(d, "MSRP abcd 413 x\nTo-Path: %V\nFrom-Path: %D\n-------abcd$\n");
    say(d, "MSRP %1 413 x\nTo-Path: msrp://other.invalid:1/z;tcp\nFrom-Path: %D\n-------%1$\n"); /* not for us */
    say(d, "MSRP %1 413 x\nTo-Path: %V\n-------%1$\n"); /* no From-Path */
    say(d, "MSRP %1 413 x\nTo-Path: %V\nFrom-Path: %D\nContent-Type: a/b\n\nbody\n-------%1$\n"); /* a body */
    EXPECT_NOTHING(c);
    EXPECT_NOTHING(d);
    say(d, "MSRP %1 413\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n"); /* no comment: ours is used */
    EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: %U %V\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 413 "
              "Stop\n-------%2$\n");
    say(d, "MSRP %1 200 OK\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
    say(d, "MSRP %1 413 x\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
    EXPECT_NOTHING(c);
    rig_stop(&r);
}

/* M-RSP-06 */
TEST(response_counts_only_on_the_connection_the_request_went_to)
{
    struct peer *c, *d = start_two(&c, NULL), *x = rig_peer(&r);

    say(c, "MSRP j002send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\n" HELLO "-------j002send$\n");
    EXPECT(c, "MSRP j002send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------j002send$\n");
    EXPECT(d, "MSRP %1 SEND\nTo-Path: %D\nFrom-Path: %V %U %C\n" HELLO "-------%1$\n");
    say(x, "MSRP %1 413 x\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
    say(c, "MSRP %1 413 x\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
    EXPECT_NOTHING(c);
    say(x, "MSRP %1 200 OK\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
    rig_pass(&r, 29000);
    EXPECT_NOTHING(c);
    rig_pass(&r, 2000);
    EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: %U %V\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 408 "
              "Downstream transaction timed out\n-------%2$\n");
    rig_stop(&r);
}

/* M-FRM-18: our next identifier stands in the body. */
TEST(identifier_that_stands_in_the_body_is_not_used)
{
    struct peer *c, *d = start_two(&c, NULL);
    struct rng before;
    struct heard h;
    char text[800];
    uint8_t first;

    rng_bytes(&d->worker->rng, &first, 1); /* its pool is filled */
    before = d->worker->rng;
    say(c, "MSRP o001send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\n" HELLO "-------o001send$\n");
    CHECK_FATAL(hear(d, &h) && sv_copy(h.tid, r.var['1'], RIG_VAR_MAX));
    say(d, "MSRP %1 200 OK\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
    d->worker->rng = before; /* the same identifier would come again */
    say(c, "MSRP o002send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\n" HELLO "-------o002send$\n");
    CHECK_FATAL(hear(d, &h));
    CHECK(sv_eq(h.tid, sv_of(r.var['1'])));
    say(d, "MSRP %1 200 OK\nTo-Path: %V\nFrom-Path: %D\n-------%1$\n");
    for (int i = 0; i < 2; i++) {
        d->worker->rng = before;
        snprintf(text, sizeof text,
                 "MSRP o003send SEND\nTo-Path: %%U %%V %%D\nFrom-Path: %%C\nMessage-ID: m-0003\n%sContent-Type: "
                 "a/b\n\nab\n-------%%1$%s-------o003send$\n",
                 i ? "Failure-Report: no\n" : "", i ? "\n" : "\ncd\n");
        say(c, text);
        CHECK_FATAL(hear(d, &h));
        CHECK(!sv_eq(h.tid, sv_of(r.var['1'])));
        snprintf(text, sizeof text, "ab\r\n-------%s$%s", r.var['1'], i ? "" : "\r\ncd");
        CHECK(sv_eq(h.body, sv_of(text)));
    }
    rig_stop(&r);
}

/* M-FRM-16, M-FRM-18: a body that ends like the beginning of any end-line clashes with none. */
TEST(body_that_ends_in_hyphens_is_forwarded)
{
    static const char line[] = "\r\n-------abcd";
    struct peer *c, *d = start_two(&c, NULL);
    struct heard h;

    for (size_t n = 1; n < sizeof line; n++) {
        say(c, "MSRP e001send SEND\nTo-Path: %U %V %D\nFrom-Path: %C\nMessage-ID: m-0001\nContent-Type: a/b\n\nab");
        say_bytes(c, line, n);
        say(c, "\n-------e001send$\n");
        CHECK_FATAL(hear(d, &h));
        CHECK(h.body.n == n + 2 && memcmp(h.body.p + 2, line, n) == 0);
        EXPECT(c, "MSRP e001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------e001send$\n");
    }
    rig_stop(&r);
}

SUITE(forward_suite, TEST_ROW(send_to_a_foreign_endpoint_is_answered_at_once_and_goes_on_with_paths_rewritten),
      TEST_ROW(send_to_a_token_reaches_its_owner_from_anyone), TEST_ROW(two_tokens_in_a_row_are_resolved_inside),
      TEST_ROW(paths_that_go_round_in_circles_are_refused),
      TEST_ROW(request_for_another_relay_closes_the_connection_without_a_word),
      TEST_ROW(unknown_token_is_481_unless_nobody_wants_to_know), TEST_ROW(knowing_a_token_does_not_open_the_relay),
      TEST_ROW(nothing_lies_beyond_a_client), TEST_ROW(relay_without_a_certificate_is_refused),
      TEST_ROW(next_hop_that_must_not_or_cannot_be_dialled_is_refused),
      TEST_ROW(keep_alive_to_the_own_token_is_answered_and_nothing_else_ends_here),
      TEST_ROW(unknown_method_and_its_response_travel_end_to_end), TEST_ROW(late_response_to_another_method_is_dropped),
      TEST_ROW(everything_but_paths_and_identifier_is_forwarded_byte_for_byte),
      TEST_ROW(bodiless_and_empty_messages_stay_what_they_are), TEST_ROW(split_of_the_stream_does_not_show_downstream),
      TEST_ROW(a_thousand_sends_in_one_burst_get_their_answers_in_order),
      TEST_ROW(broken_but_framed_request_is_400_and_the_connection_goes_on),
      TEST_ROW(lost_framing_is_400_where_it_can_be_said_and_then_the_end),
      TEST_ROW(sip_on_an_msrp_connection_is_lost_framing), TEST_ROW(body_of_a_report_has_at_most_10240_octets),
      TEST_ROW(answer_to_a_foreign_endpoint_uses_the_connection_it_came_by),
      TEST_ROW(endpoints_are_told_apart_by_their_whole_uri), TEST_ROW(port_9_is_never_dialled),
      TEST_ROW(second_connection_of_a_foreign_endpoint_is_506_while_the_first_lives),
      TEST_ROW(foreign_endpoint_that_comes_back_by_another_connection_is_found_there),
      TEST_ROW(next_hop_that_was_lost_is_dialled_again_by_whoever_needs_it),
      TEST_ROW(two_clients_share_one_connection_to_the_same_next_hop),
      TEST_ROW(token_of_a_lost_connection_routes_nothing_and_another_connection_does_not_revive_it),
      TEST_ROW(responses_that_match_nothing_are_dropped_and_never_answered),
      TEST_ROW(response_counts_only_on_the_connection_the_request_went_to),
      TEST_ROW(body_that_ends_in_hyphens_is_forwarded), TEST_ROW(identifier_that_stands_in_the_body_is_not_used));
