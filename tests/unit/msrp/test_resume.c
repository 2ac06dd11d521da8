/* Tokens that outlive their connection: detached, resumed, taken over, given up (M-TOK-05, M-TOK-12); and how many
 * there may be. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "common/err.h"
#include "msrp/private.h"
#include "tests/unit/msrp/rig.h"

static struct rig r;
static struct peer *c, *x; /* a client with the token U; a stranger who knows it */

static void start(const char *option)
{
    rig_start(&r, option);
    snprintf(r.var['C'], RIG_VAR_MAX, "msrp://alice-pc.invalid:49152/a1;tcp");
    snprintf(r.var['D'], RIG_VAR_MAX, "msrp://dave-pc.invalid:49153/d1;tcp");
    snprintf(r.var['X'], RIG_VAR_MAX, "msrp://x.invalid:9/x;tcp");
    c = rig_peer(&r);
    say_auth(c, 'C', 'U');
    x = rig_peer(&r);
}

/* One more connection, and another one before it when the next worker shall be skipped: a test that is run twice, with
 * and without, sees a token resumed on the worker it was on and on another one. */
static struct peer *newcomer(int round)
{
    if (round % 2)
        peer_close(rig_peer(&r));
    return rig_peer(&r);
}

static void say_renew(struct peer *p, const char *from)
{
    char text[300];

    snprintf(text, sizeof text, "MSRP a003auth AUTH\nTo-Path: %%U\nFrom-Path: %s\n-------a003auth$\n", from);
    say(p, text);
}

static void resume(struct peer *p)
{
    say_renew(p, "%C");
    EXPECT(p, "MSRP a003auth 200 OK\nTo-Path: %C\nFrom-Path: %U\nUse-Path: %U\nExpires: 3600\n-------a003auth$\n");
}

static void expect_status(struct peer *p, const char *start_of)
{
    struct heard h;

    CHECK_FATAL(hear(p, &h));
    CHECK(sv_starts(h.start, sv_of(start_of)));
    if (!sv_starts(h.start, sv_of(start_of)))
        fprintf(stderr, "%.*s instead of %s\n", (int)h.start.n, h.start.p, start_of);
    EXPECT_NOTHING(p);
}

/* The failure REPORT about a message to a token that is away. */
static void expect_408(struct peer *p)
{
    struct heard h;

    CHECK_FATAL(hear(p, &h));
    CHECK(sv_starts(sv_from(h.start, 5 + h.tid.n), SV(" REPORT")));
    CHECK(sv_starts(heard_header(&h, "Status"), SV("000 408")));
    EXPECT_NOTHING(p);
}

/* A SEND of the stranger to the token. 408 is never a response (M-COD-01). */
static void knock(const char *status)
{
    bool away = strcmp(status, "408") == 0;
    struct heard h;
    char text[100];

    say(x, "MSRP k001send SEND\nTo-Path: %U %C\nFrom-Path: %X\nMessage-ID: m-0001\n-------k001send$\n");
    snprintf(text, sizeof text, "MSRP k001send %s", away ? "200" : status);
    if (away) {
        CHECK_FATAL(hear(x, &h));
        CHECK(sv_starts(h.start, sv_of(text)));
        expect_408(x);
    } else {
        expect_status(x, text);
    }
}

static void expect_knock(struct peer *p)
{
    EXPECT(p, "MSRP %1 SEND\nTo-Path: %C\nFrom-Path: %U %X\nMessage-ID: m-0001\n-------%1$\n");
    say(p, "MSRP %1 200 OK\nTo-Path: %U\nFrom-Path: %C\n-------%1$\n");
    r.var['1'][0] = '\0';
}

static struct session *session_of(char token)
{
    struct msrp_uri u;

    CHECK_FATAL(msrp_uri_parse(&u, sv_of(r.var[(int)token])));
    return session_find(r.shared->sessions, u.session);
}

/* M-TOK-12, M-TOK-05, M-COD-02: a route that led to the lost connection (x has used one) leads to the new one. */
TEST(token_of_a_broken_connection_is_408_until_its_owner_resumes_it)
{
    for (int round = 0; round < 2; round++) {
        struct peer *again;

        start(NULL);
        knock("200");
        expect_knock(c);
        peer_close(c);
        knock("408");
        CHECK_INT(rig_stat(&r, STAT_sessions), 1);
        again = newcomer(round);
        resume(again);
        knock("200");
        expect_knock(again);
        CHECK_INT(rig_stat(&r, STAT_sessions), 1);
        CHECK_INT(rig_stat(&r, STAT_sessions_resumed), 1);
        CHECK_INT(session_table_count(r.shared->sessions), 1);
        peer_close(again); /* and again */
        knock("408");
        again = newcomer(round + 1);
        resume(again);
        knock("200");
        expect_knock(again);
        rig_stop(&r);
    }
}

/* M-TOK-12, M-FR-01, M-FR-05: what is asked for on the way to, and by way of, a detached token. */
TEST(requests_over_a_detached_token_fail_with_408_as_their_sender_wants_to_know)
{
    struct peer *d;

    start(NULL);
    d = rig_peer(&r);
    say_auth(d, 'D', 'V');
    peer_close(c);
    say(x, "MSRP k002send SEND\nTo-Path: %U %C\nFrom-Path: %X\nMessage-ID: m-0001\nFailure-Report: no\n-------k002send$\n"
           "MSRP k003rprt REPORT\nTo-Path: %U %C\nFrom-Path: %X\nMessage-ID: m-0001\nStatus: 000 200\n-------k003rprt$\n");
    EXPECT_NOTHING(x);
    say(x, "MSRP k004send SEND\nTo-Path: %U %C\nFrom-Path: %X\nMessage-ID: m-0001\nFailure-Report: partial\n-------k004send$\n");
    expect_408(x);
    say(x, "MSRP k005nick NICKNAME\nTo-Path: %U %C\nFrom-Path: %X\n-------k005nick$\n");
    EXPECT_NOTHING(x);
    say(x, "MSRP k006send SEND\nTo-Path: %U\nFrom-Path: %X\nMessage-ID: m-0001\n-------k006send$\n");
    EXPECT(x, "MSRP k006send 200 OK\nTo-Path: %X\nFrom-Path: %U\n-------k006send$\n");
    expect_408(x);
    say(d, "MSRP k007send SEND\nTo-Path: %V %U %C\nFrom-Path: %D\nMessage-ID: m-0001\n-------k007send$\n");
    EXPECT(d, "MSRP k007send 200 OK\nTo-Path: %D\nFrom-Path: %V\n-------k007send$\n");
    EXPECT(d, "MSRP %5 REPORT\nTo-Path: %D\nFrom-Path: %V %U\nMessage-ID: m-0001\nByte-Range: 1-0/0\nStatus: 000 408 "
              "Downstream transaction timed out\n-------%5$\n");
    rig_stop(&r);
}

/* M-TOK-05: the connection that comes from where the old one came is nobody's. */
TEST(detached_token_routes_for_nobody_without_an_auth)
{
    struct peer *again;

    start(NULL);
    rig_listen(&r, 'F', 0);
    peer_close(c);
    again = rig_peer(&r);
    say(again, "MSRP s001send SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0001\n-------s001send$\n");
    EXPECT(again, "MSRP s001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------s001send$\n");
    expect_408(again);
    CHECK(rig_accept(&r) == NULL);
    resume(again);
    say(again, "MSRP s002send SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0001\n-------s002send$\n");
    expect_status(again, "MSRP s002send 200");
    CHECK(rig_accept(&r) != NULL);
    rig_stop(&r);
}

/* M-TOK-12 */
TEST(only_the_same_user_from_the_same_uri_resumes)
{
    for (int detached = 0; detached < 2; detached++) {
        struct peer *p;

        start(NULL);
        if (detached)
            peer_close(c);
        p = rig_peer(&r);
        r.user = "mallory";
        say_renew(p, "%C");
        expect_status(p, "MSRP a003auth 403");
        r.user = "alice";
        say_renew(p, "%D");
        expect_status(p, "MSRP a003auth 403");
        say_renew(p, "msrps://alice-pc.invalid:49152/a1;tcp");
        expect_status(p, "MSRP a003auth 403");
        r.verdict = AUTHN_CHALLENGE;
        say_renew(p, "%C");
        expect_status(p, "MSRP a003auth 401");
        r.verdict = AUTHN_OK;
        say(p, "MSRP a004auth AUTH\nTo-Path: %U\nFrom-Path: %C\nExpires: 5\n-------a004auth$\n");
        expect_status(p, "MSRP a004auth 423");
        knock(detached ? "408" : "200");
        if (!detached)
            expect_knock(c);
        CHECK_INT(rig_stat(&r, STAT_sessions_resumed), 0);
        say_renew(p, "msrp://me@ALICE-PC.invalid:49152/a1;TCP"); /* the same URI: RFC 4975 s.6.1 */
        expect_status(p, "MSRP a003auth 200");
        rig_stop(&r);
    }
}

/* M-TOK-12: 60 s are auth_min_expires. */
TEST(token_nobody_resumes_is_481_after_the_shortest_lifetime)
{
    struct peer *p;

    start(NULL);
    peer_close(c);
    rig_pass(&r, 59000);
    x = rig_peer(&r); /* the first one was on probation */
    knock("408");
    rig_pass(&r, 2000);
    knock("481");
    p = rig_peer(&r);
    say_renew(p, "%C");
    expect_status(p, "MSRP a003auth 481");
    CHECK_INT(rig_stat(&r, STAT_sessions), 0);
    rig_stop(&r);

    start(NULL); /* its own lifetime ends sooner */
    say(c, "MSRP a004auth AUTH\nTo-Path: %U\nFrom-Path: %C\nExpires: 60\n-------a004auth$\n");
    expect_status(c, "MSRP a004auth 200");
    rig_pass(&r, 28000);
    peer_close(c);
    rig_pass(&r, 29000);
    x = rig_peer(&r);
    knock("408");
    rig_pass(&r, 4000);
    knock("481");
    rig_stop(&r);

    start(NULL); /* resumed just in time, it lives on */
    peer_close(c);
    rig_pass(&r, 58000);
    p = rig_peer(&r);
    resume(p);
    x = rig_peer(&r);
    rig_pass(&r, 20000);
    knock("200");
    expect_knock(p);
    rig_stop(&r);
}

/* M-TOK-12, M-TOK-05, M-NAT-01: the address of a client has changed, and the relay has not seen the old connection
 * die. */
TEST(owner_takes_his_token_over_from_a_connection_that_seems_alive)
{
    for (int round = 0; round < 2; round++) {
        struct peer *again;

        start(NULL);
        knock("200");
        expect_knock(c);
        say(x, "MSRP k009send SEND\nTo-Path: %U %C\nFrom-Path: %X\nMessage-ID: m-0009\nByte-Range: 1-2/2\nContent-Type: "
               "a/b\n\nhi\n-------k009send$\n"); /* never answered by the old connection */
        expect_status(x, "MSRP k009send 200");
        EXPECT(c, "MSRP %2 SEND\nTo-Path: %C\nFrom-Path: %U %X\nMessage-ID: m-0009\nByte-Range: 1-2/2\nContent-Type: "
                  "a/b\n\nhi\n-------%2$\n");
        again = newcomer(round);
        resume(again);
        EXPECT_END(c); /* nothing else lived on it */
        EXPECT(x, "MSRP %3 REPORT\nTo-Path: %X\nFrom-Path: %U\nMessage-ID: m-0009\nByte-Range: 1-2/2\nStatus: 000 408 "
                  "Downstream transaction timed out\n-------%3$\n");
        knock("200");
        expect_knock(again);
        CHECK_INT(rig_stat(&r, STAT_sessions), 1);
        rig_stop(&r);
    }
}

/* M-TOK-05 */
TEST(old_connection_that_has_other_tokens_stays_and_routes_the_lost_one_no_more)
{
    for (int round = 0; round < 2; round++) {
        struct peer *again, *f;

        start(NULL);
        rig_listen(&r, 'F', 0);
        say_auth(c, 'C', 'V');
        say(c, "MSRP s001send SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0001\n-------s001send$\n");
        expect_status(c, "MSRP s001send 200");
        CHECK_FATAL((f = rig_accept(&r)) != NULL);
        EXPECT(f, "MSRP %4 SEND\nTo-Path: %F\nFrom-Path: %U %C\nMessage-ID: m-0001\n-------%4$\n");
        say(f, "MSRP %4 200 OK\nTo-Path: %U\nFrom-Path: %F\n-------%4$\n");
        again = newcomer(round);
        resume(again);
        say(c, "MSRP s002send SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0002\n-------s002send$\n");
        expect_status(c, "MSRP s002send 403");
        say(c, "MSRP s003send SEND\nTo-Path: %U\nFrom-Path: %C\nMessage-ID: m-0003\n-------s003send$\n");
        expect_status(c, "MSRP s003send 481"); /* no keep-alive either */
        EXPECT_NOTHING(f);
        knock("200");
        expect_knock(again);
        say(c, "MSRP s004send SEND\nTo-Path: %V\nFrom-Path: %C\nMessage-ID: m-0004\n-------s004send$\n");
        expect_status(c, "MSRP s004send 200");
        peer_close(c);
        knock("200");
        expect_knock(again);
        rig_stop(&r);
    }
}

/* M-CON-07: the way to a foreign endpoint that came by itself stays known. */
TEST(bindings_stay_with_a_token_that_is_resumed)
{
    for (int round = 0; round < 2; round++) {
        struct peer *again;

        start(NULL);
        knock("200");
        expect_knock(c);
        peer_close(c);
        again = newcomer(round);
        resume(again);
        say(again, "MSRP s001send SEND\nTo-Path: %U %X\nFrom-Path: %C\nMessage-ID: m-0001\n-------s001send$\n");
        expect_status(again, "MSRP s001send 200");
        EXPECT(x, "MSRP %4 SEND\nTo-Path: %X\nFrom-Path: %U %C\nMessage-ID: m-0001\n-------%4$\n");
        peer_close(x); /* lets go of what has moved */
        {
            struct session *s = session_of('U');

            CHECK(s && s->n_bindings == 0 && list_is_empty(&s->bindings));
            session_unref(&s);
        }
        rig_stop(&r);
    }
}

/* M-TOK-12: the old worker learns of it after its connection has died, or an operator has come in between. */
TEST(token_that_moves_while_its_old_connection_dies_ends_once)
{
    for (int kick = 0; kick < 2; kick++) {
        struct peer *again;
        struct session *s;
        struct heard h;

        start(NULL);
        again = newcomer(1); /* with two workers: on the other one */
        say_auth(again, 'D', 'W');
        CHECK(RIG_WORKERS == 1 || again->worker != c->worker);
        CHECK_FATAL((s = session_of('U')) != NULL);
        shutdown(c->fd, SHUT_RDWR);
        {
            struct session *now, *none;
            struct conn *owner = list_item(again->worker->conns.prev, struct conn, all_node);

            CHECK_INT(session_resume(&now, s, owner, 100), 0);
            CHECK(session_state(s) == SESSION_MOVED && session_state(now) == SESSION_ACTIVE);
            CHECK(session_resume(&none, s, owner, 100) == TD_ECLOSED && none == NULL);
            session_end(s, SESSION_CLOSED); /* says nothing any more */
            CHECK(!session_detach(s, 60));
            session_unref(&now);
        }
        if (kick)
            CHECK(relay_kick(r.shared, s->uri.session));
        rig_turn(&r);
        if (kick) {
            struct session *now = session_of('U');

            CHECK(now == NULL);
            session_unref(&now);
        }
        session_unref(&s);
        while (hear_more(c, &h))
            ;
        rig_pass(&r, 101000);
        CHECK_INT(session_table_count(r.shared->sessions), 1); /* W */
        rig_stop(&r);
    }
}

/* M-TOK-12, M-AUTH-01: an msrps token is not resumed without TLS, nor the other way round. */
TEST(token_is_resumed_over_its_own_transport_only)
{
    struct tlsio_server *nobody;
    struct peer *p;

    rig_start_tls(&r, NULL);
    nobody = rig_identity(&r, "nobody", NULL, 0);
    snprintf(r.var['C'], RIG_VAR_MAX, "msrps://alice-pc.invalid:49152/a1;tcp");
    snprintf(r.var['X'], RIG_VAR_MAX, "msrps://x.invalid:9/x;tcp");
    c = rig_peer_tls(&r, nobody);
    say_auth(c, 'C', 'U');
    peer_close(c);
    p = rig_peer(&r);
    say_renew(p, "%C");
    expect_status(p, "MSRP a003auth 403");
    p = rig_peer_tls(&r, nobody);
    resume(p);
    x = rig_peer_tls(&r, nobody);
    knock("200");
    expect_knock(p);
    p = rig_peer(&r);
    snprintf(r.var['C'], RIG_VAR_MAX, "msrp://alice-pc.invalid:49152/a1;tcp");
    say_auth(p, 'C', 'U');
    peer_close(p);
    p = rig_peer_tls(&r, nobody);
    say_renew(p, "%C");
    expect_status(p, "MSRP a003auth 403");
    rig_stop(&r);
}

/* ---- what was on its way ---- */

static const struct column {
    const char *header;
    bool yes, partial;
} columns[] = { { "", true, false },
                { "Failure-Report: yes\n", true, false },
                { "Failure-Report: partial\n", false, true },
                { "Failure-Report: no\n", false, false } };

/* A token U that lives for two seconds, or is ended by the operator while W keeps its connection. */
static void start_short(void)
{
    start("msrp.auth_min_expires=1");
    say_auth(c, 'C', 'W');
    say(c, "MSRP a004auth AUTH\nTo-Path: %U\nFrom-Path: %C\nExpires: 2\n-------a004auth$\n");
    expect_status(c, "MSRP a004auth 200");
}

static void end_token(bool kick)
{
    if (kick) {
        struct msrp_uri u;

        CHECK_FATAL(msrp_uri_parse(&u, sv_of(r.var['U'])));
        CHECK(relay_kick(r.shared, u.session));
        rig_turn(&r);
    } else {
        rig_pass(&r, 3000);
    }
}

/* M-FR-01: row "U expired / owner gone while queued"; M-FR-02: one REPORT, after the 200. */
TEST(frames_that_wait_for_the_owner_of_a_token_that_ends_are_481)
{
    for (int kick = 0; kick < 2; kick++) {
        struct heard h;
        char text[400];
        int oks = 0, reports[TD_ARRAY_LEN(columns)] = { 0 };

        start_short();
        for (int i = 0; rig_longest_queue(&r) == 0; i++) { /* C does not read */
            static char body[20000];

            CHECK_FATAL(i < 2000);
            snprintf(text, sizeof text, "MSRP f%05dsend SEND\nTo-Path: %%U %%C\nFrom-Path: %%X\nMessage-ID: fill-%d\n"
                     "Failure-Report: no\nByte-Range: 1-20000/20000\nContent-Type: a/b\n\n", i, i);
            say(x, text);
            memset(body, 'x', sizeof body);
            say_bytes(x, body, sizeof body);
            snprintf(text, sizeof text, "\n-------f%05dsend$\n", i);
            say(x, text);
        }
        for (size_t i = 0; i < TD_ARRAY_LEN(columns); i++) {
            snprintf(text, sizeof text, "MSRP b%zusend SEND\nTo-Path: %%U %%C\nFrom-Path: %%X\nMessage-ID: m-00%zu\n%sByte-Range: "
                     "1-5/5\nContent-Type: a/b\n\nhello\n-------b%zusend$\n", i, i, columns[i].header, i);
            say(x, text);
        }
        end_token(kick);
        while (hear_more(x, &h)) {
            struct sv id = heard_header(&h, "Message-ID");

            if (!id.n) {
                CHECK(sv_starts(sv_from(h.start, 5 + h.tid.n), SV(" 200 OK")));
                oks++;
                continue;
            }
            CHECK(sv_eq(heard_header(&h, "Status"), SV("000 481 No such session")));
            CHECK(sv_eq(heard_header(&h, "Byte-Range"), SV("1-5/5")));
            CHECK_FATAL(id.n == 5);
            reports[id.p[4] - '0']++;
            CHECK(oks == 2); /* both 200 were there before */
        }
        CHECK_INT(oks, 2);
        for (size_t i = 0; i < TD_ARRAY_LEN(columns); i++)
            CHECK_INT(reports[i], columns[i].yes || columns[i].partial);
        CHECK_INT(rig_stat(&r, STAT_msrp_transactions), 0);
        rig_stop(&r);
    }
}

/* M-FR-01, M-AUTH-23: a chunk does not go on over a token that has ended; its sender gets one failure signal. */
TEST(chunk_under_way_ends_with_its_token)
{
    static char body[5000];

    for (int kick = 0; kick < 2; kick++)
        for (size_t i = 0; i < TD_ARRAY_LEN(columns); i++) {
            struct sv rest;
            char text[400];

            start_short();
            snprintf(text, sizeof text, "MSRP b001send SEND\nTo-Path: %%U %%C\nFrom-Path: %%X\nMessage-ID: m-0001\n%sByte-Range: "
                     "1-*/9000\nContent-Type: a/b\n\n", columns[i].header);
            memset(body, 'b', sizeof body);
            say(x, text);
            say_bytes(x, body, 5000);
            CHECK(hear_rest(c).n > 5000);
            end_token(kick);
            say_bytes(x, body, 3000);
            rig_turn(&r);
            rest = hear_rest(c);
            CHECK(rest.n > 5000 && rest.n < 5500 && sv_eq(sv_from(rest, rest.n - 3), SV("#\r\n")));
            if (columns[i].yes || columns[i].partial)
                EXPECT(x, "MSRP %2 REPORT\nTo-Path: %X\nFrom-Path: %U\nMessage-ID: m-0001\nByte-Range: "
                          "1-5000/9000\nStatus: 000 481 No such session\n-------%2$\n");
            say_bytes(x, body, 1000);
            say(x, "\n-------b001send$\n");
            if (columns[i].yes)
                EXPECT(x, "MSRP b001send 200 OK\nTo-Path: %X\nFrom-Path: %U\n-------b001send$\n");
            EXPECT_NOTHING(x);
            rig_pass(&r, 25000);
            EXPECT_NOTHING(x);
            CHECK_INT(rig_stat(&r, STAT_msrp_transactions), 0);
            rig_stop(&r);
        }
}

/* M-CHK-13, M-FR-02: the same between two of its pieces, of which the last one has said that there is more. */
TEST(chunk_between_two_pieces_ends_with_its_token)
{
    static char body[5000];

    for (int kick = 0; kick < 2; kick++) {
        struct heard h;

        start_short();
        memset(body, 'b', sizeof body);
        say(x, "MSRP b001send SEND\nTo-Path: %U %C\nFrom-Path: %X\nMessage-ID: m-0001\nByte-Range: 1-*/9000\nContent-Type: a/b\n\n");
        say_bytes(x, body, 5000);
        say(c, "MSRP c001send SEND\nTo-Path: %W\nFrom-Path: %C\nMessage-ID: m-0002\n-------c001send$\n"); /* its answer goes between */
        CHECK(hear(c, &h) && h.body.n == 5000 && h.flag == '+' && sv_copy(h.tid, r.var['1'], RIG_VAR_MAX));
        EXPECT(c, "MSRP c001send 200 OK\nTo-Path: %C\nFrom-Path: %W\n-------c001send$\n");
        say(c, "MSRP %1 200 OK\nTo-Path: %U\nFrom-Path: %C\n-------%1$\n");
        end_token(kick);
        say_bytes(x, body, 3000);
        CHECK(hear(c, &h) && h.has_body && h.body.n == 0 && h.flag == '#' && sv_eq(heard_header(&h, "Byte-Range"), SV("5001-*/9000")));
        CHECK(hear(x, &h) && sv_starts(heard_header(&h, "Status"), SV("000 481")) && sv_starts(heard_header(&h, "Byte-Range"), SV("5001-")));
        say_bytes(x, body, 1000);
        say(x, "\n-------b001send$\n");
        EXPECT(x, "MSRP b001send 200 OK\nTo-Path: %X\nFrom-Path: %U\n-------b001send$\n");
        EXPECT_NOTHING(c);
        EXPECT_NOTHING(x);
        rig_stop(&r);
    }
}

/* M-AUTH-23: nor does what the owner himself sends. */
TEST(upload_ends_with_the_token_of_its_sender)
{
    static char body[5000];

    for (int kick = 0; kick < 2; kick++) {
        struct sv rest;
        struct peer *f;

        start_short();
        rig_listen(&r, 'F', 0);
        memset(body, 'b', sizeof body);
        say(c, "MSRP b001send SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0001\nByte-Range: 1-*/9000\nContent-Type: "
               "a/b\n\n");
        say_bytes(c, body, 5000);
        CHECK_FATAL((f = rig_accept(&r)) != NULL);
        CHECK(hear_rest(f).n > 5000);
        end_token(kick);
        say_bytes(c, body, 3000);
        rest = hear_rest(f);
        CHECK(rest.n < 5500 && sv_eq(sv_from(rest, rest.n - 3), SV("#\r\n")));
        EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: %U\nMessage-ID: m-0001\nByte-Range: "
                  "1-5000/9000\nStatus: 000 481 No such session\n-------%2$\n");
        rig_stop(&r);
    }
}

/* M-FR-01, M-COD-02: the owner's connection has broken, and he may come back. */
TEST(frames_for_a_connection_that_breaks_are_408)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(columns); i++) {
        char text[400];

        start(NULL);
        snprintf(text, sizeof text, "MSRP b001send SEND\nTo-Path: %%U %%C\nFrom-Path: %%X\nMessage-ID: m-0001\n%sByte-Range: "
                 "1-5/5\nContent-Type: a/b\n\nhello\n-------b001send$\n", columns[i].header);
        say(x, text);
        if (columns[i].yes)
            EXPECT(x, "MSRP b001send 200 OK\nTo-Path: %X\nFrom-Path: %U\n-------b001send$\n");
        peer_reset(c);
        if (columns[i].yes)
            EXPECT(x, "MSRP %2 REPORT\nTo-Path: %X\nFrom-Path: %U\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 408 "
                      "Downstream transaction timed out\n-------%2$\n");
        EXPECT_NOTHING(x);
        rig_stop(&r);
    }
}

/* ---- after a restart ---- */

static bool restore(const char *uri, const char *client, uint64_t expires_in)
{
    struct session_past past = {
        .uri = sv_of(uri),
        .client = sv_of(client),
        .username = SV("alice"),
        .domain = SV("tandem.example"),
        .source = SV("msrps://192.0.2.7:1234"),
        .socket = SV("tls:[2001:db8::1]:5061"),
        .created_at = 1000,
        .expires_at = (uint64_t)time(NULL) + expires_in,
        .resumed = 4,
        .last_activity_at = 2000,
        .frames_in = 7,
        .frames_out = 6,
        .bytes_in = 8,
        .bytes_out = 9,
    };

    return relay_restore(r.shared, RIG_WORKERS - 1, &past);
}

/* M-TOK-12 */
TEST(session_of_the_last_process_is_resumed)
{
    struct session *s;
    char text[100];

    start(NULL);
    snprintf(r.var['U'], RIG_VAR_MAX, "msrp://edge.tandem.example:5061/AbcdefghijklmnopqrstuV;tcp");
    CHECK(restore(r.var['U'], r.var['C'], 50));
    CHECK(!restore("msrp://edge.tandem.example:5061/short;tcp", r.var['C'], 50));
    CHECK(!restore("http://edge.tandem.example:5061/AbcdefghijklmnopqrstuV;tcp", r.var['C'], 50));
    CHECK(!restore(r.var['N'], "nonsense", 50));
    CHECK_FATAL((s = session_of('U')) != NULL);
    CHECK(session_state(s) == SESSION_DETACHED && session_conn_id(s) == 0 && s->last_activity_at == 2000);
    CHECK(sv_eq(session_source_text(s, text, sizeof text), SV("msrps://192.0.2.7:1234")));
    CHECK(sv_eq(session_socket_text(s, text, sizeof text), SV("tls:[2001:db8::1]:5061")));
    session_unref(&s);
    knock("408");
    resume(c);
    CHECK_FATAL((s = session_of('U')) != NULL);
    CHECK(s->resumed == 5 && s->created_at == 1000 && s->frames_in == 7 && s->frames_out == 6 && s->bytes_in == 8 && s->bytes_out == 9);
    session_unref(&s);
    knock("200");
    expect_knock(c);
    CHECK(restore("msrp://edge.tandem.example:5061/AbcdefghijklmnopqrstuW;tcp", r.var['C'], 5));
    snprintf(r.var['U'], RIG_VAR_MAX, "msrp://edge.tandem.example:5061/AbcdefghijklmnopqrstuW;tcp");
    rig_pass(&r, 4000);
    knock("408");
    rig_pass(&r, 2000);
    knock("481");
    snprintf(r.var['U'], RIG_VAR_MAX, "msrp://edge.tandem.example:5061/AbcdefghijklmnopqrstuX;tcp");
    CHECK(restore(r.var['U'], r.var['C'], 50));
    CHECK_FATAL((s = session_of('U')) != NULL);
    s->domain = SV("other.example"); /* another realm's alice is another user */
    say_renew(c, "%C");
    EXPECT(c, "MSRP a003auth 403 Forbidden\nTo-Path: %C\nFrom-Path: %U\n-------a003auth$\n");
    session_unref(&s);
    rig_stop(&r);
}

/* ---- how many ---- */

/* M-TOK-10: a user's sessions are counted wherever they are, those that are detached, too. */
TEST(tokens_of_a_user_are_limited_and_those_of_others_are_not_touched)
{
    struct peer *d;

    start("limits.sessions_per_user=3");
    say_auth(c, 'C', 'U');
    d = rig_peer(&r);
    say_auth(d, 'D', 'V');
    say(d, "MSRP a002auth AUTH\nTo-Path: msrp://%E;tcp\nFrom-Path: %D\n-------a002auth$\n");
    expect_status(d, "MSRP a002auth 403");
    r.user = "bob";
    say_auth(d, 'D', 'W');
    r.user = "alice";
    peer_close(c); /* two of them are detached now */
    say(d, "MSRP a002auth AUTH\nTo-Path: msrp://%E;tcp\nFrom-Path: %D\n-------a002auth$\n");
    expect_status(d, "MSRP a002auth 403");
    c = rig_peer(&r);
    resume(c); /* that is none more */
    rig_pass(&r, 61000);
    CHECK_INT(session_table_count(r.shared->sessions), 3);
    say_auth(d, 'D', 'N');
    say(d, "MSRP a002auth AUTH\nTo-Path: msrp://%E;tcp\nFrom-Path: %D\n-------a002auth$\n");
    expect_status(d, "MSRP a002auth 403");
    CHECK_INT(rig_stat(&r, STAT_sessions_refused), 3);
    rig_stop(&r);
}

/* M-TOK-10 */
TEST(tokens_of_all_users_are_limited)
{
    start("limits.sessions=3");
    r.user = "bob";
    say_auth(c, 'C', 'V');
    r.user = "carol";
    say_auth(c, 'C', 'W');
    r.user = "dave";
    say(c, "MSRP a002auth AUTH\nTo-Path: msrp://%E;tcp\nFrom-Path: %D\n-------a002auth$\n");
    expect_status(c, "MSRP a002auth 403");
    CHECK(!restore(r.var['N'], r.var['C'], 50));
    end_token(true);
    say_auth(c, 'D', 'U');
    CHECK_INT(session_table_count(r.shared->sessions), 3);
    rig_stop(&r);
}

SUITE(resume_suite, TEST_ROW(token_of_a_broken_connection_is_408_until_its_owner_resumes_it),
      TEST_ROW(requests_over_a_detached_token_fail_with_408_as_their_sender_wants_to_know),
      TEST_ROW(detached_token_routes_for_nobody_without_an_auth), TEST_ROW(only_the_same_user_from_the_same_uri_resumes),
      TEST_ROW(token_nobody_resumes_is_481_after_the_shortest_lifetime),
      TEST_ROW(owner_takes_his_token_over_from_a_connection_that_seems_alive),
      TEST_ROW(old_connection_that_has_other_tokens_stays_and_routes_the_lost_one_no_more),
      TEST_ROW(bindings_stay_with_a_token_that_is_resumed),
      TEST_ROW(token_that_moves_while_its_old_connection_dies_ends_once),
      TEST_ROW(token_is_resumed_over_its_own_transport_only),
      TEST_ROW(frames_that_wait_for_the_owner_of_a_token_that_ends_are_481), TEST_ROW(chunk_under_way_ends_with_its_token), TEST_ROW(chunk_between_two_pieces_ends_with_its_token),
      TEST_ROW(upload_ends_with_the_token_of_its_sender), TEST_ROW(frames_for_a_connection_that_breaks_are_408),
      TEST_ROW(session_of_the_last_process_is_resumed),
      TEST_ROW(tokens_of_a_user_are_limited_and_those_of_others_are_not_touched),
      TEST_ROW(tokens_of_all_users_are_limited));
