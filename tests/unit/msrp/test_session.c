/* Tokens: what AUTH gives and what ends them; connections: probation and idleness (RFC 4976 s.5.1, s.6.1, s.6.3). */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "msrp/private.h"
#include "msrp/txn.h"
#include "tests/unit/msrp/rig.h"

static struct rig r;
static struct peer *c;

static void start(const char *option)
{
    rig_start(&r, option);
    snprintf(r.var['C'], RIG_VAR_MAX, "msrp://alice-pc.invalid:49152/a1;tcp");
    snprintf(r.var['D'], RIG_VAR_MAX, "msrp://dave-pc.invalid:49153/d1;tcp");
    c = rig_peer(&r);
}

static void say_auth_with(struct peer *p, const char *to, const char *more)
{
    char text[400];

    snprintf(text, sizeof text, "MSRP a002auth AUTH\nTo-Path: %s\nFrom-Path: %%C\n%s-------a002auth$\n", to, more);
    say(p, text);
}

/* A SEND from a stranger to the token arrives at p, or is refused. */
static bool is_routed(struct peer *p, char token)
{
    struct peer *x = rig_peer(&r);
    struct heard h;
    char text[300];
    bool ok;

    snprintf(text, sizeof text,
             "MSRP k001send SEND\nTo-Path: %%%c %%C\nFrom-Path: msrp://x%zu.invalid:9/x;tcp\nMessage-ID: "
             "m-0001\n-------k001send$\n",
             token, r.n_peers);
    say(x, text);
    CHECK_FATAL(hear(x, &h));
    ok = sv_eq(h.start, SV("MSRP k001send 200 OK"));
    CHECK(ok || sv_eq(h.start, SV("MSRP k001send 481 No such session")) ||
          sv_starts(h.start, SV("MSRP k001send 408 ")));
    if (ok) {
        CHECK_FATAL(hear(p, &h));
    } else {
        EXPECT_NOTHING(p);
    }
    return ok;
}

/* M-AUTH-16, M-AUTH-20, M-TOK-02, M-TOK-03, M-URI-04 */
TEST(auth_gives_a_fresh_token_and_its_lifetime)
{
    struct msrp_uri a, b;

    start(NULL);
    say_auth(c, 'C', 'U');
    say_auth(c, 'C', 'V');
    CHECK_FATAL(msrp_uri_parse(&a, sv_of(r.var['U'])) && msrp_uri_parse(&b, sv_of(r.var['V'])));
    CHECK(sv_eq(a.host, SV("edge.tandem.example")) && a.port_number == 5061 && sv_eq(a.transport, SV("tcp")) &&
          !a.params.n && !a.userinfo.n);
    CHECK(a.session.n == 22 && b.session.n == 22 && !sv_eq(a.session, b.session));
    for (size_t i = 0; i < a.session.n; i++)
        CHECK((a.session.p[i] | 0x20) >= 'a' ? (a.session.p[i] | 0x20) <= 'z'
                                             : a.session.p[i] >= '0' && a.session.p[i] <= '9');
    say_auth_with(c, "msrp://alice@EDGE%%2Etandem.example:5061;TCP", "Expires: 60\n");
    {
        struct heard h;

        CHECK_FATAL(hear(c, &h));
        CHECK(sv_eq(h.start, SV("MSRP a002auth 200 OK")));
        CHECK(sv_starts(h.head, SV("To-Path: msrp://alice-pc.invalid:49152/a1;tcp\r\nFrom-Path: "
                                   "msrp://alice@EDGE%2Etandem.example:5061;TCP\r\nUse-Path: ")));
        CHECK(sv_eq(heard_header(&h, "Expires"), SV("60")));
    }
    CHECK_INT(rig_stat(&r, STAT_sessions), 3);
    rig_stop(&r);
}

/* M-URI-10 */
TEST(served_domain_addresses_the_relay_in_auth_only)
{
    struct heard h;
    struct peer *x;

    start("sip.domains=tandem.example");
    say_auth_with(c, "msrp://tandem.example;tcp", "");
    CHECK_FATAL(hear(c, &h) && sv_eq(h.start, SV("MSRP a002auth 200 OK")));
    say_auth_with(c, "msrps://Tandem.example:2855;tcp", "");
    CHECK_FATAL(hear(c, &h) && sv_eq(h.start, SV("MSRP a002auth 200 OK")));
    say_auth_with(c, "msrp://edge.tandem.example;tcp", "");
    CHECK_FATAL(hear(c, &h) && sv_eq(h.start, SV("MSRP a002auth 200 OK")));
    x = rig_peer(&r);
    say_auth_with(x, "msrp://other.example:5061;tcp", "");
    EXPECT_END(x);
    x = rig_peer(&r);
    say(x, "MSRP k001send SEND\nTo-Path: msrp://tandem.example:5061/A;tcp %C\nFrom-Path: "
           "msrp://x.invalid:9/x;tcp\nMessage-ID: m-0001\n-------k001send$\n");
    EXPECT_END(x);
    rig_stop(&r);
}

/* M-AUTH-01 */
TEST(auth_without_tls_is_403_and_the_end)
{
    start("msrp.require_tls=yes");
    say_auth_with(c, "msrps://%E;tcp", "");
    EXPECT(c, "MSRP a002auth 403 Forbidden\nTo-Path: %C\nFrom-Path: msrps://%E;tcp\n-------a002auth$\n");
    EXPECT_END(c);
    rig_stop(&r);
}

/* M-AUTH-20, M-AUTH-21, M-AUTH-22, M-HDR-09, X-10 */
TEST(lifetime_outside_the_limits_is_423_and_gives_no_token)
{
    static const struct {
        const char *expires, *start, *more;
    } rows[] = { { "5", "423 Interval Out-of-Bounds", "Min-Expires: 60\n" },
                 { "0", "423 Interval Out-of-Bounds", "Min-Expires: 60\n" },
                 { "59", "423 Interval Out-of-Bounds", "Min-Expires: 60\n" },
                 { "3601", "423 Interval Out-of-Bounds", "Max-Expires: 3600\n" },
                 { "4294967296", "423 Interval Out-of-Bounds", "Max-Expires: 3600\n" },
                 { "99999999999999999999999", "423 Interval Out-of-Bounds", "Max-Expires: 3600\n" },
                 { "1e3", "400 Bad Request", "" },
                 { "-5", "400 Bad Request", "" },
                 { "", "400 Bad Request", "" } };

    start(NULL);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        char text[300];

        snprintf(text, sizeof text, "Expires: %s\n", rows[i].expires);
        say_auth_with(c, "msrp://%E;tcp", text);
        snprintf(text, sizeof text, "MSRP a002auth %s\nTo-Path: %%C\nFrom-Path: msrp://%%E;tcp\n%s-------a002auth$\n",
                 rows[i].start, rows[i].more);
        EXPECT(c, text);
    }
    CHECK_INT(rig_stat(&r, STAT_sessions), 0);
    r.verdict = AUTHN_CHALLENGE; /* who is not authenticated does not learn the limits */
    r.had_credentials = false;
    say_auth_with(c, "msrp://%E;tcp", "Expires: 5\n");
    EXPECT(c, "MSRP a002auth 401 Unauthorized\nTo-Path: %C\nFrom-Path: msrp://%E;tcp\nWWW-Authenticate: Digest "
              "realm=\"x\"\n-------a002auth$\n");
    r.verdict = AUTHN_OK;
    say_auth_with(c, "msrp://%E;tcp", "Expires: 3600\n");
    {
        struct heard h;

        CHECK_FATAL(hear(c, &h) && sv_eq(heard_header(&h, "Expires"), SV("3600")));
        CHECK(!heard_header(&h, "Min-Expires").p && !heard_header(&h, "Max-Expires").p);
    }
    rig_stop(&r);
}

/* M-AUTH-23 */
TEST(token_is_good_until_its_last_second_and_no_longer)
{
    struct heard h;

    start(NULL);
    say_auth_with(c, "msrp://%E;tcp", "Expires: 60\n");
    CHECK_FATAL(hear(c, &h) && sv_copy(heard_header(&h, "Use-Path"), r.var['U'], RIG_VAR_MAX));
    rig_pass(&r, 59000);
    CHECK(is_routed(c, 'U'));
    rig_pass(&r, 2000);
    CHECK(!is_routed(c, 'U'));
    CHECK_INT(rig_stat(&r, STAT_sessions), 0);
    rig_stop(&r);
}

/* M-AUTH-23: a route that was in use does not outlive its token. */
TEST(token_that_ends_ends_the_routes_over_it)
{
    struct heard h;
    struct peer *x;

    start(NULL);
    say_auth_with(c, "msrp://%E;tcp", "Expires: 60\n");
    CHECK_FATAL(hear(c, &h) && sv_copy(heard_header(&h, "Use-Path"), r.var['U'], RIG_VAR_MAX));
    x = rig_peer(&r);
    snprintf(r.var['X'], RIG_VAR_MAX, "msrp://x.invalid:9/x;tcp");
    say(x, "MSRP k001send SEND\nTo-Path: %U %C\nFrom-Path: %X\nMessage-ID: m-0001\n-------k001send$\n");
    EXPECT(x, "MSRP k001send 200 OK\nTo-Path: %X\nFrom-Path: %U\n-------k001send$\n");
    CHECK_FATAL(hear(c, &h));
    rig_pass(&r, 61000);
    say(x, "MSRP k002send SEND\nTo-Path: %U %C\nFrom-Path: %X\nMessage-ID: m-0001\n-------k002send$\n");
    rig_pass(&r, 100);
    for (;;) { /* a REPORT on the first one, which nobody answered, may come in between */
        CHECK_FATAL(hear(x, &h));
        if (!sv_starts(sv_from(h.start, 5 + h.tid.n), SV(" REPORT")))
            break;
    }
    CHECK(sv_eq(h.start, SV("MSRP k002send 481 No such session")));
    EXPECT_NOTHING(c);
    rig_stop(&r);
}

/* M-TOK-09 */
TEST(refresh_keeps_the_token_and_moves_its_end)
{
    struct heard h;

    start(NULL);
    say_auth_with(c, "msrp://%E;tcp", "Expires: 60\n");
    CHECK_FATAL(hear(c, &h) && sv_copy(heard_header(&h, "Use-Path"), r.var['U'], RIG_VAR_MAX));
    rig_pass(&r, 50000);
    say_auth_with(c, "%U", "Expires: 100\n");
    EXPECT(c, "MSRP a002auth 200 OK\nTo-Path: %C\nFrom-Path: %U\nUse-Path: %U\nExpires: 100\n-------a002auth$\n");
    rig_pass(&r, 90000);
    CHECK(is_routed(c, 'U'));
    CHECK_INT(rig_stat(&r, STAT_sessions), 1);
    say_auth_with(c, "%U", "Expires: 5\n"); /* within the bounds of the first one */
    EXPECT(c, "MSRP a002auth 423 Interval Out-of-Bounds\nTo-Path: %C\nFrom-Path: %U\nMin-Expires: 60\n-------a002auth$\n");
    r.verdict = AUTHN_CHALLENGE;
    say_auth_with(c, "%U", "Expires: 100\n"); /* not without credentials */
    CHECK_FATAL(hear(c, &h) && sv_eq(h.start, SV("MSRP a002auth 401 Unauthorized")));
    rig_pass(&r, 20000);
    CHECK(!is_routed(c, 'U'));
    rig_stop(&r);
}

/* M-TOK-09 */
TEST(refresh_of_somebody_elses_token_is_refused)
{
    struct peer *x;

    start(NULL);
    say_auth(c, 'C', 'U');
    r.user = "mallory";
    say_auth_with(c, "%U", "Expires: 100\n");
    EXPECT(c, "MSRP a002auth 403 Forbidden\nTo-Path: %C\nFrom-Path: %U\n-------a002auth$\n");
    x = rig_peer(&r);
    say_auth_with(x, "%U", "Expires: 100\n");
    {
        struct heard h;

        CHECK_FATAL(hear(x, &h));
        CHECK(sv_starts(h.start, SV("MSRP a002auth 4")) && heard_header(&h, "Use-Path").n == 0);
    }
    CHECK(is_routed(c, 'U'));
    rig_stop(&r);
}

/* M-AUTH-12, M-AUTH-17 */
TEST(five_failed_attempts_end_the_connection_after_the_answer)
{
    static const struct {
        enum authn_verdict verdict;
        bool credentials, stale, counts;
        const char *start;
    } rows[] = { { AUTHN_CHALLENGE, true, false, true, "401 Unauthorized" },
                 { AUTHN_FORBIDDEN, true, false, true, "403 Forbidden" },
                 { AUTHN_CHALLENGE, true, true, false, "401 Unauthorized" },
                 { AUTHN_CHALLENGE, false, false, false, "401 Unauthorized" } };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct heard h;
        char text[100];

        start(NULL);
        r.verdict = rows[i].verdict;
        r.had_credentials = rows[i].credentials;
        r.stale = rows[i].stale;
        snprintf(text, sizeof text, "MSRP a002auth %s", rows[i].start);
        for (int n = 1; n <= 5; n++) {
            say_auth_with(c, "msrp://%E;tcp", "");
            CHECK_FATAL(hear(c, &h) && sv_eq(h.start, sv_of(text)));
            CHECK(heard_header(&h, "WWW-Authenticate").n > 0 || rows[i].verdict != AUTHN_CHALLENGE);
            if (n < 5)
                EXPECT_NOTHING(c);
        }
        CHECK(rows[i].counts ? hear_end(c, __FILE__, __LINE__) : hear_nothing(c, __FILE__, __LINE__));
        CHECK_INT(rig_stat(&r, STAT_sessions), 0);
        rig_stop(&r);
    }
}

/* M-AUTH-08, M-AUTH-33 */
TEST(auth_that_is_malformed_or_in_the_name_of_a_relay_is_refused)
{
    start(NULL);
    r.verdict = AUTHN_BAD;
    say_auth_with(c, "msrp://%E;tcp", "");
    EXPECT(c, "MSRP a002auth 400 Bad Request\nTo-Path: %C\nFrom-Path: msrp://%E;tcp\n-------a002auth$\n");
    r.verdict = AUTHN_OK;
    say(c, "MSRP a003auth AUTH\nTo-Path: msrp://%E;tcp\nFrom-Path: msrp://r.invalid:2855;tcp %C\n-------a003auth$\n");
    EXPECT(c, "MSRP a003auth 403 Forbidden\nTo-Path: msrp://r.invalid:2855;tcp %C\nFrom-Path: "
              "msrp://%E;tcp\n-------a003auth$\n");
    CHECK_INT(rig_stat(&r, STAT_sessions), 0);
    rig_stop(&r);
}

/* M-FLOW-05: two AUTHs in one segment are answered in order, and what follows them waits its turn. */
TEST(pipelined_auths_are_answered_in_order)
{
    struct heard h;

    start(NULL);
    say(c, "MSRP a001auth AUTH\nTo-Path: msrp://%E;tcp\nFrom-Path: %C\n-------a001auth$\n"
           "MSRP a002auth AUTH\nTo-Path: msrp://%E;tcp\nFrom-Path: %C\n-------a002auth$\n"
           "MSRP a003send SEND\nTo-Path: %N %D\nFrom-Path: %C\nMessage-ID: m-0001\n-------a003send$\n");
    CHECK(hear(c, &h) && sv_eq(h.start, SV("MSRP a001auth 200 OK")));
    CHECK(hear(c, &h) && sv_eq(h.start, SV("MSRP a002auth 200 OK")));
    CHECK(hear(c, &h) && sv_eq(h.start, SV("MSRP a003send 481 No such session")));
    rig_stop(&r);
}

/* M-CON-11, M-TOK-10 */
TEST(a_thousand_tokens_of_one_connection_all_work_and_one_more_is_refused)
{
    struct heard h;

    start(NULL);
    for (int i = 0; i < 1000; i++)
        say_auth(c, 'C', i == 0 ? 'U' : i == 500 ? 'V' : 'W');
    CHECK_INT(rig_stat(&r, STAT_sessions), 1000);
    CHECK(is_routed(c, 'U') && is_routed(c, 'V') && is_routed(c, 'W'));
    say_auth_with(c, "msrp://%E;tcp", "");
    CHECK(hear(c, &h) && sv_eq(h.start, SV("MSRP a002auth 403 Forbidden")));
    peer_close(c);
    rig_pass(&r, 61000);
    CHECK_INT(rig_stat(&r, STAT_sessions), 0);
    CHECK_INT(session_table_count(r.shared->sessions), 0);
    rig_stop(&r);
}

/* ---- what the operator does and what the database is told ---- */

static struct {
    int opened, used, changed, ended, messages;
    uint64_t conn_id, expires;
    enum session_state how;
    uint64_t frames_in, bytes_in, frames_out, bytes_out;
    uint64_t message_bytes;
    unsigned status;
    char message_id[40], to[100];
} told;

static void on_opened(struct worker *w, const struct session *s)
{
    told.opened++;
}

static void on_used(struct worker *w, const struct session *s)
{
    told.used++;
    told.frames_in = s->frames_in;
    told.bytes_in = s->bytes_in;
    told.frames_out = s->frames_out;
    told.bytes_out = s->bytes_out;
}

static void on_changed(struct worker *w, const struct session *s)
{
    told.changed++;
    told.conn_id = session_conn_id(s);
    told.expires = s->expires_at;
}

static void on_ended(struct worker *w, const struct session *s, enum session_state how)
{
    told.ended++;
    told.how = how;
}

static void on_message(struct worker *w, const struct relay_message *m)
{
    told.messages++;
    told.message_bytes = m->bytes;
    told.status = m->status;
    sv_copy(m->message_id, told.message_id, sizeof told.message_id);
    sv_copy(m->to_uri, told.to, sizeof told.to);
}

static const struct relay_observer observer = { on_opened, on_used, on_changed, on_ended, on_message };

TEST(observer_is_told_of_sessions_and_messages)
{
    start("accounting.enabled=yes");
    memset(&told, 0, sizeof told);
    r.shared->observer = &observer;
    say_auth(c, 'C', 'U');
    CHECK(told.opened == 1 && told.ended == 0);
    rig_listen(&r, 'F', 0);
    say(c, "MSRP b001send SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0001\nByte-Range: 1-5/5\nContent-Type: "
           "a/b\n\nhello\n"
           "-------b001send$\n");
    {
        struct peer *f = rig_accept(&r);

        CHECK_FATAL(f != NULL);
        EXPECT(f, "MSRP %1 SEND\nTo-Path: %F\nFrom-Path: %U %C\nMessage-ID: m-0001\nByte-Range: 1-5/5\nContent-Type: "
                  "a/b\n\nhello\n"
                  "-------%1$\n");
        CHECK_INT(told.messages, 0); /* not before its answer */
        say(f, "MSRP %1 200 OK\nTo-Path: %U\nFrom-Path: %F\n-------%1$\n");
        CHECK(told.messages == 1 && told.status == 200 && told.message_bytes == 5);
        CHECK_STR(told.message_id, "m-0001");
        CHECK_STR(told.to, r.var['F']);
        say(f, "MSRP f001send SEND\nTo-Path: %U %C\nFrom-Path: %F\nMessage-ID: m-0002\nFailure-Report: "
               "no\nContent-Type: a/b\n\nhey\n"
               "-------f001send$\n");
        CHECK(told.messages == 2 && told.status == 0 && told.message_bytes == 3);
    }
    rig_pass(&r, 1000);
    CHECK(told.used >= 1 && told.frames_in == 1 && told.bytes_in == 5 && told.frames_out == 1 &&
          told.bytes_out == 3);
    CHECK(told.changed == 0);
    peer_close(c); /* it may be resumed, but has no connection */
    CHECK(told.ended == 0 && told.changed == 1 && told.conn_id == 0 && told.expires <= (uint64_t)time(NULL) + 60);
    rig_pass(&r, 61000);
    CHECK(told.ended == 1 && told.how == SESSION_CLOSED);
    rig_stop(&r);
}

TEST(operator_ends_a_session_and_with_its_last_one_the_connection)
{
    struct msrp_uri u, v;
    struct heard h;

    start(NULL);
    memset(&told, 0, sizeof told);
    r.shared->observer = &observer;
    say_auth(c, 'C', 'U');
    say_auth(c, 'C', 'V');
    CHECK_FATAL(msrp_uri_parse(&u, sv_of(r.var['U'])) && msrp_uri_parse(&v, sv_of(r.var['V'])));
    CHECK(!relay_kick(r.shared, SV("AAAAAAAAAAAAAAAAAAAAAA")));
    CHECK(relay_kick(r.shared, u.session));
    rig_turn(&r);
    CHECK(told.ended == 1 && !relay_kick(r.shared, u.session));
    CHECK(!is_routed(c, 'U') && is_routed(c, 'V'));
    CHECK(relay_kick(r.shared, v.session));
    while (hear_more(c, &h)) /* the frame of is_routed() is answered by nobody */
        ;
    EXPECT_END(c);
    CHECK_INT(rig_stat(&r, STAT_sessions), 0);
    rig_stop(&r);
}

/* M-CON-17 */
TEST(relay_that_drains_gives_no_tokens_and_finishes_its_sessions)
{
    start(NULL);
    say_auth(c, 'C', 'U');
    relay_drain(c->worker->protos[PROTO_MSRP].ctx);
    say_auth_with(c, "msrp://%E;tcp", "");
    EXPECT(c, "MSRP a002auth 403 Forbidden\nTo-Path: %C\nFrom-Path: msrp://%E;tcp\n-------a002auth$\n");
    CHECK(is_routed(c, 'U'));
    rig_stop(&r);
}

/* M-URI-10: who listens on all addresses and has no name is the address that he was reached at; a name that was given
 * is his only one. */
TEST(address_that_was_reached_is_ours_as_long_as_there_is_no_name)
{
    static const struct {
        const char *name, *uri;
        bool ours;
    } rows[] = { { "", "msrp://127.0.0.1:5061/x;tcp", true },
                 { "", "msrp://127.0.0.1:5062/x;tcp", false },
                 { "", "msrp://127.0.0.2:5061/x;tcp", false },
                 { "", "msrp://localhost:5061/x;tcp", false },
                 { "edge.tandem.example:5061", "msrp://127.0.0.1:5061/x;tcp", false },
                 { "edge.tandem.example:5061", "msrp://edge.tandem.example:5061/x;tcp", true } };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        char name[100], address[] = "listen.main.address=0.0.0.0:5061", transports[] = "listen.main.transports=tcp";
        struct conn *conn = calloc(1, sizeof *conn);
        struct buf faults = BUF_INIT;
        struct relay relay = { .shared = NULL };
        struct msrp_uri uri;
        struct conf *conf;

        CHECK_FATAL(conn != NULL);
        snprintf(name, sizeof name, "msrp.use_path_addr=%s", rows[i].name);
        CHECK_FATAL(conf_load(&conf, NULL, (char *[]){ address, transports, name }, 3, &faults) == 0);
        CHECK_FATAL(relay_shared_new(&relay.shared, conf, 1, NULL, &faults) == 0);
        CHECK_FATAL(addr_from_text(&conn->local, SV("127.0.0.1:5061")));
        CHECK_FATAL(msrp_uri_parse(&uri, sv_of(rows[i].uri)));
        CHECK_INT(relay_is_us(&relay, conn, &uri, false), rows[i].ours);
        relay_shared_free(&relay.shared);
        conf_free(&conf);
        buf_fini(&faults);
        free(conn);
    }
}

/* ---- the life of a connection ---- */

/* M-CON-03: a 401, a 481 or a keep-alive of nobody is no success. */
TEST(connection_without_an_accepted_request_is_closed_after_30_seconds)
{
    start(NULL);
    r.verdict = AUTHN_CHALLENGE;
    r.had_credentials = false;
    say_auth_with(c, "msrp://%E;tcp", "");
    rig_pass(&r, 15000);
    say(c, "MSRP k001send SEND\nTo-Path: %N %D\nFrom-Path: %C\nMessage-ID: m-0001\n-------k001send$\n");
    {
        struct heard h;

        CHECK_FATAL(hear(c, &h) && hear(c, &h));
    }
    rig_pass(&r, 14000);
    EXPECT_NOTHING(c);
    rig_pass(&r, 2000);
    EXPECT_END(c);
    rig_stop(&r);
}

/* M-CON-03: the 30 seconds run from the accept, or the end of the TLS handshake, not from the first line. */
TEST(probation_begins_when_the_connection_is_there)
{
    for (int tls = 0; tls < 2; tls++) {
        struct peer *x;
        struct heard h;

        if (tls) {
            rig_start_tls(&r, NULL);
            snprintf(r.var['C'], RIG_VAR_MAX, "msrp://alice-pc.invalid:49152/a1;tcp");
            x = rig_peer_tls(&r, rig_identity(&r, "nobody", NULL, 0));
            rig_pass(&r, 20000); /* the handshake has not begun */
            for (int i = 0; i < 1000 && tlsio_state(x->tls) != TLSIO_UP; i++) {
                peer_read(x, 1);
                rig_wait(&r, 1);
            }
            EXPECT_NOTHING(x);
        } else {
            start(NULL);
            x = c;
        }
        r.verdict = AUTHN_CHALLENGE;
        r.had_credentials = false;
        rig_pass(&r, 20000);
        say_auth_with(x, "msrp://%E;tcp", "");
        CHECK_FATAL(hear(x, &h));
        CHECK(sv_eq(h.start, SV("MSRP a002auth 401 Unauthorized")));
        rig_pass(&r, 9000);
        EXPECT_NOTHING(x);
        rig_pass(&r, 2000);
        EXPECT_END(x);
        rig_stop(&r);
    }
}

/* M-CON-03: several unsuccessful requests end it sooner, the last one answered; not once it has had a successful
 * one. */
TEST(fifth_refusal_ends_a_connection_that_has_had_nothing_accepted)
{
    for (int proven = 0; proven < 2; proven++) {
        start(NULL);
        if (proven)
            say_auth(c, 'C', 'U');
        for (int i = 0; i < 20; i++) {
            struct heard h;

            say(c, "MSRP k001send SEND\nTo-Path: %N %D\nFrom-Path: %C\nMessage-ID: m-0001\nContent-Type: a/b\n\nhello\n-------k001send$\n");
            CHECK_FATAL(hear(c, &h));
            CHECK(sv_eq(h.start, SV("MSRP k001send 481 No such session")));
            if (!proven && i == 4)
                break;
            EXPECT_NOTHING(c);
        }
        if (!proven)
            EXPECT_END(c);
        rig_stop(&r);
    }
}

/* M-CON-03: neither are AUTHs that could not be accepted whatever the password. */
TEST(fifth_auth_refused_before_its_credentials_ends_a_connection_too)
{
    start(NULL);
    for (int i = 0; i < 5; i++) {
        struct heard h;

        EXPECT_NOTHING(c);
        say(c, "MSRP k001auth AUTH\nTo-Path: msrp://%E/AAAAAAAAAAAAAAAAAAAAAA;tcp\nFrom-Path: %C\n-------k001auth$\n");
        CHECK_FATAL(hear(c, &h));
        CHECK(sv_eq(h.start, SV("MSRP k001auth 481 No such session")));
    }
    EXPECT_END(c);
    CHECK_INT(rig_stat(&r, STAT_msrp_refused), 5);
    rig_stop(&r);
}

/* M-ACM-01, M-CON-04, M-CON-05 */
TEST(idle_connection_lives_as_long_as_it_has_a_token)
{
    struct heard h;

    start("msrp.auth_max_expires=20000");
    say_auth_with(c, "msrp://%E;tcp", "Expires: 10000\n");
    CHECK_FATAL(hear(c, &h));
    rig_pass(&r, 9900 * 1000);
    EXPECT_NOTHING(c);
    rig_pass(&r, 3800 * 1000);
    EXPECT_END(c);
    rig_stop(&r);
}

/* M-CON-03: a request that is forwarded for somebody who has no token is a success, too. */
TEST(connection_whose_request_was_forwarded_is_not_closed_after_30_seconds)
{
    struct peer *x, *silent;

    start(NULL);
    say_auth(c, 'C', 'U');
    x = rig_peer(&r);
    silent = rig_peer(&r);
    snprintf(r.var['X'], RIG_VAR_MAX, "msrp://x.invalid:9/x;tcp");
    rig_pass(&r, 20000);
    say(x, "MSRP k001send SEND\nTo-Path: %U %C\nFrom-Path: %X\nMessage-ID: m-0001\nFailure-Report: no\n-------k001send$\n");
    EXPECT(c, "MSRP %1 SEND\nTo-Path: %C\nFrom-Path: %U %X\nMessage-ID: m-0001\nFailure-Report: no\n-------%1$\n");
    rig_pass(&r, 31000);
    EXPECT_NOTHING(x);
    EXPECT_END(silent);
    rig_stop(&r);
}

/* M-CON-04, M-CON-05: the connection of an endpoint lives as long as a token that it is bound to. */
TEST(idle_connection_of_an_endpoint_lives_as_long_as_the_token_it_is_bound_to)
{
    struct heard h;
    struct peer *x;

    start("msrp.auth_max_expires=20000");
    say_auth_with(c, "msrp://%E;tcp", "Expires: 10000\n");
    CHECK_FATAL(hear(c, &h) && sv_copy(heard_header(&h, "Use-Path"), r.var['U'], RIG_VAR_MAX));
    x = rig_peer(&r);
    snprintf(r.var['X'], RIG_VAR_MAX, "msrp://x.invalid:9/x;tcp");
    say(x, "MSRP k001send SEND\nTo-Path: %U %C\nFrom-Path: %X\nMessage-ID: m-0001\nFailure-Report: no\n-------k001send$\n");
    EXPECT(c, "MSRP %1 SEND\nTo-Path: %C\nFrom-Path: %U %X\nMessage-ID: m-0001\nFailure-Report: no\n-------%1$\n");
    rig_pass(&r, 9900 * 1000);
    EXPECT_NOTHING(x);
    rig_pass(&r, 3800 * 1000);
    EXPECT_END(x);
    rig_stop(&r);
}

/* M-CON-04: an hour since it was used, not since it was opened. */
TEST(connection_that_is_used_is_not_idle)
{
    struct heard h;
    struct peer *f;

    start("msrp.auth_max_expires=20000");
    say_auth_with(c, "msrp://%E;tcp", "Expires: 20000\n");
    CHECK_FATAL(hear(c, &h) && sv_copy(heard_header(&h, "Use-Path"), r.var['U'], RIG_VAR_MAX));
    rig_listen(&r, 'F', 0);
    say(c, "MSRP k001send SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0001\nFailure-Report: no\n-------k001send$\n");
    f = rig_accept(&r);
    CHECK_FATAL(f != NULL && hear(f, &h));
    rig_pass(&r, 3000 * 1000);
    say(c, "MSRP k002send SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0002\n-------k002send$\n");
    EXPECT(c, "MSRP k002send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------k002send$\n");
    EXPECT(f, "MSRP %1 SEND\nTo-Path: %F\nFrom-Path: %U %C\nMessage-ID: m-0002\n-------%1$\n");
    say(f, "MSRP %1 200 OK\nTo-Path: %U\nFrom-Path: %F\n-------%1$\n");
    rig_pass(&r, 3500 * 1000);
    EXPECT_NOTHING(f);
    rig_pass(&r, 200 * 1000);
    EXPECT_END(f);
    rig_stop(&r);
}

/* M-SEC-04, and section 11, header section completeness. */
TEST(head_that_is_not_complete_in_time_ends_the_connection)
{
    start(NULL);
    say_auth(c, 'C', 'U');
    say(c, "MSRP k001send SEND\nTo-Path: ");
    for (int i = 0; i < 29; i++) { /* a byte now and then does not help */
        rig_pass(&r, 1000);
        say(c, "x");
    }
    EXPECT_NOTHING(c);
    rig_pass(&r, 2000);
    EXPECT_END(c);
    rig_stop(&r);
}

/* M-CON-13 */
TEST(half_closed_peer_gets_what_was_on_its_way)
{
    struct heard h;

    start(NULL);
    say_auth(c, 'C', 'U');
    say(c, "MSRP p001send SEND\nTo-Path: %U\nFrom-Path: %C\nMessage-ID: m-0001\n-------p001send$\nMSRP p0");
    shutdown(c->fd, SHUT_WR);
    CHECK_FATAL(hear(c, &h) && sv_eq(h.start, SV("MSRP p001send 200 OK")));
    EXPECT_END(c);
    rig_pass(&r, 61000);
    CHECK_INT(rig_stat(&r, STAT_sessions), 0);
    rig_stop(&r);
}

/* M-CON-13: also what the system did not take at once. */
TEST(half_closed_peer_gets_what_is_queued_for_it)
{
    enum { SIZE = 4 << 20 };
    char *octets = calloc(1, SIZE);
    struct conn *to;

    start(NULL);
    to = list_item(c->worker->conns.next, struct conn, all_node);
    say_auth(c, 'C', 'U');
    CHECK_FATAL(octets != NULL);
    conn_write(to, octets, SIZE);
    rig_turn(&r);
    CHECK(conn_queued(to) > 0);
    shutdown(c->fd, SHUT_WR);
    rig_turn(&r);
    CHECK(to->ended); /* for its protocol */
    buf_clear(&c->got);
    for (int i = 0; i < 2000 && !c->ended; i++) {
        peer_read(c, SIZE);
        rig_wait(&r, c->got.n == SIZE);
    }
    CHECK(c->ended);
    CHECK_INT(c->got.n, SIZE);
    free(octets);
    rig_stop(&r);
}

/* M-CON-16 */
TEST(frames_for_a_connection_being_opened_keep_their_order)
{
    struct buf burst = BUF_INIT;
    struct peer *f;
    bool same = true;

    start(NULL);
    say_auth(c, 'C', 'U');
    rig_listen(&r, 'F', 0);
    for (int i = 0; i < 300; i++)
        buf_printf(&burst,
                   "MSRP t%03dsend SEND\r\nTo-Path: %s %s\r\nFrom-Path: %s\r\nMessage-ID: m-%04d\r\nFailure-Report: "
                   "no\r\n-------t%03dsend$\r\n",
                   i, r.var['U'], r.var['F'], r.var['C'], i, i);
    say_bytes(c, burst.p, burst.n);
    f = rig_accept(&r);
    CHECK_FATAL(f != NULL);
    for (int i = 0; i < 300; i++) {
        struct heard h;
        char id[16];

        CHECK_FATAL(hear(f, &h));
        snprintf(id, sizeof id, "m-%04d", i);
        same &= sv_eq(heard_header(&h, "Message-ID"), sv_of(id));
    }
    CHECK(same);
    buf_fini(&burst);
    rig_stop(&r);
}

/* ---- identifiers ---- */

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

/* M-FRM-24 */
TEST(a_million_identifiers_are_all_different)
{
    enum { N = 1000000 };
    char(*tids)[16] = malloc(N * sizeof *tids);
    bool good = true;

    CHECK_FATAL(tids != NULL);
    start(NULL);
    for (int i = 0; i < N; i++) {
        tid_make(r.relays[0], tids[i]);
        good &= msrp_tid_is_good(sv_make(tids[i], 16));
    }
    qsort(tids, N, sizeof *tids, compare);
    for (int i = 1; i < N; i++)
        good &= memcmp(tids[i - 1], tids[i], 16) != 0;
    CHECK(good);
    free(tids);
    rig_stop(&r);
}

SUITE(session_suite, TEST_ROW(connection_whose_request_was_forwarded_is_not_closed_after_30_seconds),
      TEST_ROW(idle_connection_of_an_endpoint_lives_as_long_as_the_token_it_is_bound_to), TEST_ROW(connection_that_is_used_is_not_idle),
      TEST_ROW(address_that_was_reached_is_ours_as_long_as_there_is_no_name),
      TEST_ROW(auth_gives_a_fresh_token_and_its_lifetime),
      TEST_ROW(served_domain_addresses_the_relay_in_auth_only), TEST_ROW(auth_without_tls_is_403_and_the_end),
      TEST_ROW(lifetime_outside_the_limits_is_423_and_gives_no_token),
      TEST_ROW(token_is_good_until_its_last_second_and_no_longer), TEST_ROW(token_that_ends_ends_the_routes_over_it),
      TEST_ROW(refresh_keeps_the_token_and_moves_its_end), TEST_ROW(refresh_of_somebody_elses_token_is_refused),
      TEST_ROW(five_failed_attempts_end_the_connection_after_the_answer),
      TEST_ROW(auth_that_is_malformed_or_in_the_name_of_a_relay_is_refused),
      TEST_ROW(pipelined_auths_are_answered_in_order),
      TEST_ROW(a_thousand_tokens_of_one_connection_all_work_and_one_more_is_refused),
      TEST_ROW(observer_is_told_of_sessions_and_messages),
      TEST_ROW(operator_ends_a_session_and_with_its_last_one_the_connection),
      TEST_ROW(relay_that_drains_gives_no_tokens_and_finishes_its_sessions),
      TEST_ROW(connection_without_an_accepted_request_is_closed_after_30_seconds),
      TEST_ROW(probation_begins_when_the_connection_is_there),
      TEST_ROW(fifth_refusal_ends_a_connection_that_has_had_nothing_accepted),
      TEST_ROW(fifth_auth_refused_before_its_credentials_ends_a_connection_too),
      TEST_ROW(idle_connection_lives_as_long_as_it_has_a_token),
      TEST_ROW(head_that_is_not_complete_in_time_ends_the_connection),
      TEST_ROW(half_closed_peer_gets_what_was_on_its_way),
      TEST_ROW(half_closed_peer_gets_what_is_queued_for_it),
      TEST_ROW(frames_for_a_connection_being_opened_keep_their_order),
      TEST_ROW(a_million_identifiers_are_all_different));
