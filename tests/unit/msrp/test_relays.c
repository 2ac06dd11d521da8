/* Other relays, and who must prove what by TLS (RFC 4976 s.6, s.9.2). */
#include <stdio.h>
#include <stdlib.h>

#include "msrp/private.h"
#include "net/resolve.h"
#include "tests/unit/msrp/rig.h"

static struct rig r;
static struct peer *c; /* a client with the token U, by TLS */
static struct tlsio_server *nobody, *relay_b;

static void start(void)
{
    const struct conf_list none = { 0 };

    rig_start_tls(&r, "msrp.require_tls=yes");
    nobody = rig_identity(&r, "nobody", NULL, 0);
    relay_b = rig_identity(&r, "relay-b", "dns:relay.b.example dns:localhost", 0);
    snprintf(r.var['C'], RIG_VAR_MAX, "msrps://alice-pc.invalid:49152/a1;tcp");
    snprintf(r.var['R'], RIG_VAR_MAX, "msrps://relay.b.example:2855/rB7;tcp");
    snprintf(r.var['D'], RIG_VAR_MAX, "msrps://dave.b.example:40000/d4;tcp");
    c = rig_peer_tls(&r, nobody);
    CHECK_FATAL(resolver_new(&c->worker->resolver, c->worker->loop, &none) == 0);
    say_auth(c, 'C', 'U');
    CHECK(strncmp(r.var['U'], "msrps://edge.tandem.example:5061/", 33) == 0);
}

/* F listens and is called localhost. */
static void listen_as_localhost(void)
{
    char port[16];

    rig_listen(&r, 'F', 0);
    CHECK_FATAL(sscanf(r.var['F'], "msrp://127.0.0.1:%15[0-9]", port) == 1);
    snprintf(r.var['F'], RIG_VAR_MAX, "msrps://localhost:%s/f0;tcp", port);
}

#define HELLO "Message-ID: m-0001\nByte-Range: 1-5/5\nContent-Type: text/plain\n\nhello\n"

/* M-FWD-20, M-REP-01, M-TLS-07: X-04, second relay */
TEST(relay_with_its_certificate_may_send_for_its_client)
{
    struct peer *x;

    start();
    x = rig_peer_tls(&r, relay_b);
    say(x, "MSRP k001send SEND\nTo-Path: %U %C\nFrom-Path: %R %D\n" HELLO "-------k001send$\n");
    EXPECT(x, "MSRP k001send 200 OK\nTo-Path: %R\nFrom-Path: %U\n-------k001send$\n");
    EXPECT(c, "MSRP %1 SEND\nTo-Path: %C\nFrom-Path: %U %R %D\n" HELLO "-------%1$\n");
    say(c, "MSRP %1 413 Stop\nTo-Path: %U\nFrom-Path: %C\n-------%1$\n");
    EXPECT(x, "MSRP %2 REPORT\nTo-Path: %R %D\nFrom-Path: %U\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 413 "
              "Stop\n-------%2$\n");
    say(x, "MSRP k002nick NICKNAME\nTo-Path: %U %C\nFrom-Path: %R %D\n-------k002nick$\n"); /* M-FWD-34 */
    EXPECT(c, "MSRP %3 NICKNAME\nTo-Path: %C\nFrom-Path: %U %R %D\n-------%3$\n");
    say(c, "MSRP %3 200 OK\nTo-Path: %U %R %D\nFrom-Path: %C\n-------%3$\n");
    EXPECT(x, "MSRP k002nick 200 OK\nTo-Path: %R %D\nFrom-Path: %U %C\n-------k002nick$\n");
    rig_stop(&r);
}

/* M-TLS-07 */
TEST(certificate_of_another_name_or_maker_makes_no_relay)
{
    static const struct {
        const char *san;
        unsigned flags;
    } rows[] = { { "dns:relay.c.example", 0 },
                 { "dns:relay.b.example", CERT_SELF_SIGNED },
                 { "dns:relay.b.example", CERT_EXPIRED },
                 { NULL, 0 } };

    start();
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        char name[16];
        struct peer *x;

        snprintf(name, sizeof name, "other%zu", i);
        x = rig_peer_tls(&r, rig_identity(&r, name, rows[i].san, rows[i].flags));
        say(x, "MSRP k001send SEND\nTo-Path: %U %C\nFrom-Path: %R %D\n" HELLO "-------k001send$\n");
        EXPECT(x, "MSRP k001send 403 Forbidden\nTo-Path: %R\nFrom-Path: %U\n-------k001send$\n");
    }
    EXPECT_NOTHING(c);
    rig_stop(&r);
}

/* M-TLS-03, M-TLS-07: the owner of a token is a client; with a certificate or without, nobody sends through him. */
TEST(client_sends_for_himself_alone)
{
    for (int i = 0; i < 2; i++) {
        start();
        rig_listen(&r, 'F', 0);
        if (i) {
            c = rig_peer_tls(&r, relay_b);
            say_auth(c, 'C', 'U');
        }
        say(c, "MSRP d001send SEND\nTo-Path: %U %F\nFrom-Path: %R %C\n" HELLO "-------d001send$\n");
        EXPECT(c, "MSRP d001send 403 Forbidden\nTo-Path: %R\nFrom-Path: %U\n-------d001send$\n");
        CHECK(rig_accept(&r) == NULL);
        rig_stop(&r);
    }
}

/* M-TLS-10 */
TEST(token_of_the_secure_kind_is_not_reached_in_the_clear)
{
    struct peer *x;

    start();
    x = rig_peer(&r);
    snprintf(r.var['X'], RIG_VAR_MAX, "msrp://x.invalid:9/x;tcp");
    say(x, "MSRP k001send SEND\nTo-Path: %U %C\nFrom-Path: %X\n" HELLO "-------k001send$\n");
    EXPECT(x, "MSRP k001send 403 Forbidden\nTo-Path: %X\nFrom-Path: %U\n-------k001send$\n");
    EXPECT_NOTHING(c);
    rig_stop(&r);
}

/* M-TLS-10, M-TLS-03: a reload that closes the clear way closes it for those who have
 * used it, too; not that of an endpoint we have called. */
TEST(reload_to_require_tls_is_for_connections_that_are_there_too)
{
    struct peer *x, *d, *f = NULL;

    start();
    r.conf->msrp.require_tls = false;
    rig_listen(&r, 'F', 0);
    snprintf(r.var['X'], RIG_VAR_MAX, "msrp://x.invalid:9/x;tcp");
    snprintf(r.var['D'], RIG_VAR_MAX, "msrp://dave-pc.invalid:49153/d1;tcp");
    d = rig_peer(&r);
    say_auth(d, 'D', 'V');
    x = rig_peer(&r);
    for (int after = 0; after < 2; after++) {
        if (after)
            r.conf->msrp.require_tls = true;
        say(c, "MSRP b001send SEND\nTo-Path: %U %F\nFrom-Path: %C\nFailure-Report: no\n" HELLO "-------b001send$\n");
        if (!after)
            f = rig_accept(&r);
        CHECK_FATAL(f != NULL);
        EXPECT(f, "MSRP %1 SEND\nTo-Path: %F\nFrom-Path: %U %C\nFailure-Report: no\n" HELLO "-------%1$\n");
        r.var['1'][0] = '\0';
        say(f, "MSRP f001nick NICKNAME\nTo-Path: %U %C\nFrom-Path: %F\n-------f001nick$\n");
        EXPECT(c, "MSRP %2 NICKNAME\nTo-Path: %C\nFrom-Path: %U %F\n-------%2$\n");
        r.var['2'][0] = '\0';
        say(x, "MSRP k001nick NICKNAME\nTo-Path: %U %C\nFrom-Path: %X\n-------k001nick$\n");
        say(d, "MSRP d001nick NICKNAME\nTo-Path: %V %F\nFrom-Path: %D\n-------d001nick$\n");
        if (after) {
            EXPECT(x, "MSRP k001nick 403 Forbidden\nTo-Path: %X\nFrom-Path: %U\n-------k001nick$\n");
            EXPECT(d, "MSRP d001nick 403 Forbidden\nTo-Path: %D\nFrom-Path: %V\n-------d001nick$\n");
            EXPECT_NOTHING(c);
            EXPECT_NOTHING(f);
        } else {
            EXPECT(c, "MSRP %3 NICKNAME\nTo-Path: %C\nFrom-Path: %U %X\n-------%3$\n");
            EXPECT(f, "MSRP %4 NICKNAME\nTo-Path: %F\nFrom-Path: %V %D\n-------%4$\n");
        }
    }
    rig_stop(&r);
}

/* M-TLS-03, M-TLS-10: an endpoint that we called in the clear may answer that way. */
TEST(plain_endpoint_that_was_called_may_answer_on_that_connection)
{
    struct peer *f;

    start();
    rig_listen(&r, 'F', 0);
    say(c, "MSRP b001send SEND\nTo-Path: %U %F\nFrom-Path: %C\n" HELLO "-------b001send$\n");
    EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
    f = rig_accept(&r);
    CHECK_FATAL(f != NULL);
    EXPECT(f, "MSRP %1 SEND\nTo-Path: %F\nFrom-Path: %U %C\n" HELLO "-------%1$\n");
    say(f, "MSRP f001send SEND\nTo-Path: %U %C\nFrom-Path: %F\n" HELLO "-------f001send$\n");
    EXPECT(f, "MSRP f001send 200 OK\nTo-Path: %F\nFrom-Path: %U\n-------f001send$\n");
    EXPECT(c, "MSRP %2 SEND\nTo-Path: %C\nFrom-Path: %U %F\n" HELLO "-------%2$\n");
    say(f, "MSRP f002send SEND\nTo-Path: %U %C\nFrom-Path: msrp://127.0.0.1:1/z;tcp\n" HELLO "-------f002send$\n"); /* as itself alone */
    EXPECT(f, "MSRP f002send 403 Forbidden\nTo-Path: msrp://127.0.0.1:1/z;tcp\nFrom-Path: %U\n-------f002send$\n");
    EXPECT_NOTHING(c);
    rig_stop(&r);
}

/* M-TLS-10, M-TOK-12: on that connection it reaches the token for whose frames we have called it, wherever that moves,
 * and no other one. */
TEST(plain_endpoint_that_was_called_for_one_token_does_not_reach_another)
{
    struct peer *d, *f;

    start();
    d = rig_peer_tls(&r, nobody);
    snprintf(r.var['G'], RIG_VAR_MAX, "msrps://dora-pc.invalid:49153/d1;tcp");
    say_auth(d, 'G', 'V');
    rig_listen(&r, 'F', 0);
    say(c, "MSRP b001send SEND\nTo-Path: %U %F\nFrom-Path: %C\n" HELLO "-------b001send$\n");
    EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
    f = rig_accept(&r);
    CHECK_FATAL(f != NULL);
    EXPECT(f, "MSRP %1 SEND\nTo-Path: %F\nFrom-Path: %U %C\n" HELLO "-------%1$\n");
    say(f, "MSRP f001send SEND\nTo-Path: %V %G\nFrom-Path: %F\n" HELLO "-------f001send$\n");
    EXPECT(f, "MSRP f001send 403 Forbidden\nTo-Path: %F\nFrom-Path: %V\n-------f001send$\n");
    EXPECT_NOTHING(d);
    say(d, "MSRP d001send SEND\nTo-Path: %V %F\nFrom-Path: %G\n" HELLO "-------d001send$\n");
    EXPECT(d, "MSRP d001send 200 OK\nTo-Path: %G\nFrom-Path: %V\n-------d001send$\n");
    EXPECT(f, "MSRP %2 SEND\nTo-Path: %F\nFrom-Path: %V %G\n" HELLO "-------%2$\n");
    say(f, "MSRP f002send SEND\nTo-Path: %V %G\nFrom-Path: %F\n" HELLO "-------f002send$\n");
    EXPECT(f, "MSRP f002send 200 OK\nTo-Path: %F\nFrom-Path: %V\n-------f002send$\n");
    EXPECT(d, "MSRP %3 SEND\nTo-Path: %G\nFrom-Path: %V %F\n" HELLO "-------%3$\n");
    peer_close(c);
    c = rig_peer_tls(&r, nobody);
    say(c, "MSRP b002auth AUTH\nTo-Path: %U\nFrom-Path: %C\n-------b002auth$\n");
    EXPECT(c, "MSRP b002auth 200 OK\nTo-Path: %C\nFrom-Path: %U\nUse-Path: %U\nExpires: 3600\n-------b002auth$\n");
    say(f, "MSRP f003send SEND\nTo-Path: %U %C\nFrom-Path: %F\n" HELLO "-------f003send$\n");
    EXPECT(f, "MSRP f003send 200 OK\nTo-Path: %F\nFrom-Path: %U\n-------f003send$\n");
    EXPECT(c, "MSRP %4 SEND\nTo-Path: %C\nFrom-Path: %U %F\n" HELLO "-------%4$\n");
    rig_stop(&r);
}

/* M-TLS-10: so many calls are remembered; the oldest is forgotten, and what has ended remembers none. */
TEST(calls_of_a_token_are_bounded)
{
    struct conn fake = { 0 };
    struct session *s;
    struct sv id;

    start();
    id = sv_from(sv_of(r.var['U']), strlen("msrps://edge.tandem.example:5061/"));
    s = session_find(r.shared->sessions, sv_upto(id, sv_find(id, ';')));
    CHECK_FATAL(s != NULL);
    for (uint64_t i = 1; i <= CALLS_PER_SESSION + 1; i++) {
        fake.id = 1000 + i;
        CHECK(!session_has_call(s, &fake));
        for (int again = 0; again < 2; again++)
            session_add_call(s, (struct conn_ref){ .id = fake.id });
        CHECK(session_has_call(s, &fake));
        fake.id = 1001;
        CHECK_INT(session_has_call(s, &fake), i <= CALLS_PER_SESSION);
    }
    fake.id = 1002;
    CHECK(session_has_call(s, &fake));
    session_end(s, SESSION_CLOSED);
    session_add_call(s, (struct conn_ref){ .id = 1 });
    fake.id = 1;
    CHECK(!session_has_call(s, &fake));
    session_unref(&s);
    rig_stop(&r);
}

/* M-FWD-02: on a relay's link the request is discarded and reported, and the link goes on for its other sessions. */
TEST(relay_that_sends_what_is_not_for_us_keeps_its_link)
{
    struct peer *x;

    start();
    x = rig_peer_tls(&r, relay_b);
    say(x,
        "MSRP k001send SEND\nTo-Path: msrps://other.example:9/x;tcp %C\nFrom-Path: %R %D\n" HELLO "-------k001send$\n");
    EXPECT(x, "MSRP %1 REPORT\nTo-Path: %R %D\nFrom-Path: msrps://other.example:9/x;tcp\nMessage-ID: "
              "m-0001\nByte-Range: 1-5/5\n"
              "Status: 000 481 No such session\n-------%1$\n");
    say(x, "MSRP k002send SEND\nTo-Path: msrps://other.example:9/x;tcp %C\nFrom-Path: %R %D\nFailure-Report: no\n" HELLO
           "-------k002send$\n");
    say(x, "MSRP k005send SEND\nTo-Path: msrps://other.example:9/x;tcp %C\nFrom-Path: %R %D\nFailure-Report: partial\n" HELLO
           "-------k005send$\n");
    say(x, "MSRP k003nick NICKNAME\nTo-Path: msrps://other.example:9/x;tcp %C\nFrom-Path: %R %D\n-------k003nick$\n");
    EXPECT_NOTHING(x);
    say(x, "MSRP k004send SEND\nTo-Path: %U %C\nFrom-Path: %R %D\n" HELLO "-------k004send$\n");
    EXPECT(x, "MSRP k004send 200 OK\nTo-Path: %R\nFrom-Path: %U\n-------k004send$\n");
    rig_stop(&r);
}

/* M-FWD-08, M-TLS-02, M-TLS-04, M-RSP-05: X-04, first relay */
TEST(next_relay_is_dialled_by_tls_with_both_certificates)
{
    struct peer *f;

    start();
    listen_as_localhost();
    say(c, "MSRP d001send SEND\nTo-Path: %U %F %D\nFrom-Path: %C\n" HELLO "-------d001send$\n");
    EXPECT(c, "MSRP d001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------d001send$\n");
    f = rig_accept_tls(&r, relay_b);
    CHECK_FATAL(f != NULL);
    EXPECT(f, "MSRP %1 SEND\nTo-Path: %F %D\nFrom-Path: %U %C\n" HELLO "-------%1$\n");
    CHECK(tlsio_peer_is(f->tls, SV("edge.tandem.example"), TLSIO_VERIFY_HOST));
    say(f, "MSRP %1 200 OK\nTo-Path: %U\nFrom-Path: %F\n-------%1$\n");
    say(f, "MSRP d9report REPORT\nTo-Path: %U %C\nFrom-Path: %F %D\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 "
           "200 OK\n-------d9report$\n");
    EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: %U %F %D\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 "
              "200 OK\n-------%2$\n");
    rig_stop(&r);
}

/* M-TLS-04, M-TLS-05: not an octet for a relay that is not who it should be. */
TEST(next_relay_that_cannot_prove_its_name_gets_nothing)
{
    static const struct {
        const char *san;
        unsigned flags;
    } rows[] = { { "dns:relay.c.example", 0 },
                 { "dns:localhost", CERT_SELF_SIGNED },
                 { "dns:localhost", CERT_EXPIRED } };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct peer *f;

        start();
        listen_as_localhost();
        say(c, "MSRP d001send SEND\nTo-Path: %U %F %D\nFrom-Path: %C\n" HELLO "-------d001send$\n");
        EXPECT(c, "MSRP d001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------d001send$\n");
        f = rig_accept_tls(&r, rig_identity(&r, "wrong", rows[i].san, rows[i].flags));
        CHECK_FATAL(f != NULL);
        for (int n = 0; n < 50 && !f->ended; n++)
            hear_rest(f);
        CHECK(f->got.n == 0 && f->ended);
        EXPECT(c, "MSRP %1 REPORT\nTo-Path: %C\nFrom-Path: %U\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 408 "
                  "Downstream transaction timed out\n-------%1$\n");
        rig_stop(&r);
    }
}

/* M-TLS-02: what was opened to an endpoint of unknown identity is no link to a relay at the same place. */
TEST(connection_to_an_unverified_endpoint_is_not_used_for_a_relay)
{
    struct peer *f, *g;

    start();
    listen_as_localhost();
    say(c, "MSRP d001send SEND\nTo-Path: %U %F\nFrom-Path: %C\n" HELLO "-------d001send$\n"); /* M-TLS-08: anybody */
    f = rig_accept_tls(&r, rig_identity(&r, "self", "dns:whoever", CERT_SELF_SIGNED));
    CHECK_FATAL(f != NULL);
    EXPECT(f, "MSRP %1 SEND\nTo-Path: %F\nFrom-Path: %U %C\n" HELLO "-------%1$\n");
    say(c, "MSRP d002send SEND\nTo-Path: %U %F %D\nFrom-Path: %C\n" HELLO "-------d002send$\n");
    g = rig_accept_tls(&r, relay_b);
    CHECK_FATAL(g != NULL);
    EXPECT(g, "MSRP %2 SEND\nTo-Path: %F %D\nFrom-Path: %U %C\n" HELLO "-------%2$\n");
    EXPECT_NOTHING(f);
    rig_stop(&r);
}

/* M-CON-06: one connection for all sessions, by host in any case, port and scheme. */
TEST(connection_to_a_relay_serves_all_clients_and_one_in_the_clear_none_of_tls)
{
    struct peer *d, *f, *plain;

    start();
    d = rig_peer_tls(&r, nobody);
    CHECK(d->worker->resolver || resolver_new(&d->worker->resolver, d->worker->loop, &(struct conf_list){ 0 }) == 0);
    snprintf(r.var['G'], RIG_VAR_MAX, "msrps://dora-pc.invalid:49153/d1;tcp");
    say_auth(d, 'G', 'V');
    listen_as_localhost();
    snprintf(r.var['P'], RIG_VAR_MAX, "msrp://LOCALHOST%s", strchr(r.var['F'] + 8, ':'));
    snprintf(r.var['H'], RIG_VAR_MAX, "msrps://LOCALHOST%s", strchr(r.var['F'] + 8, ':'));
    say(c, "MSRP b001send SEND\nTo-Path: %U %F %D\nFrom-Path: %C\n" HELLO "-------b001send$\n");
    EXPECT(c, "MSRP b001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------b001send$\n");
    f = rig_accept_tls(&r, relay_b);
    CHECK_FATAL(f != NULL);
    EXPECT(f, "MSRP %1 SEND\nTo-Path: %F %D\nFrom-Path: %U %C\n" HELLO "-------%1$\n");
    say(d, "MSRP d001send SEND\nTo-Path: %V %H %D\nFrom-Path: %G\n" HELLO "-------d001send$\n");
    EXPECT(d, "MSRP d001send 200 OK\nTo-Path: %G\nFrom-Path: %V\n-------d001send$\n");
    EXPECT(f, "MSRP %2 SEND\nTo-Path: %H %D\nFrom-Path: %V %G\n" HELLO "-------%2$\n");
    CHECK(rig_accept(&r) == NULL);
    say(d, "MSRP d002send SEND\nTo-Path: %V %P\nFrom-Path: %G\n" HELLO "-------d002send$\n");
    EXPECT(d, "MSRP d002send 200 OK\nTo-Path: %G\nFrom-Path: %V\n-------d002send$\n");
    plain = rig_accept(&r);
    CHECK_FATAL(plain != NULL);
    EXPECT(plain, "MSRP %3 SEND\nTo-Path: %P\nFrom-Path: %V %G\n" HELLO "-------%3$\n");
    EXPECT_NOTHING(f);
    rig_stop(&r);
}

/* M-AUTH-30, M-AUTH-32, X-05 */
TEST(auth_to_an_outer_relay_and_its_answers_pass_through)
{
    struct peer *f;

    start();
    listen_as_localhost();
    say(c, "MSRP e001auth AUTH\nTo-Path: %U %F\nFrom-Path: %C\n-------e001auth$\n");
    f = rig_accept_tls(&r, relay_b);
    CHECK_FATAL(f != NULL);
    EXPECT(f, "MSRP %1 AUTH\nTo-Path: %F\nFrom-Path: %U %C\n-------%1$\n");
    say(f, "MSRP %1 401 Unauthorized\nTo-Path: %U %C\nFrom-Path: %F\nWWW-Authenticate: Digest realm=\"outer\", "
           "qop=\"auth\", nonce=\"n\"\n-------%1$\n");
    EXPECT(c, "MSRP e001auth 401 Unauthorized\nTo-Path: %C\nFrom-Path: %U %F\nWWW-Authenticate: Digest "
              "realm=\"outer\", qop=\"auth\", nonce=\"n\"\n-------e001auth$\n");
    say(c, "MSRP e002auth AUTH\nTo-Path: %U %F\nFrom-Path: %C\nAuthorization: Digest x\n-------e002auth$\n");
    EXPECT(f, "MSRP %2 AUTH\nTo-Path: %F\nFrom-Path: %U %C\nAuthorization: Digest x\n-------%2$\n");
    say(f, "MSRP %2 200 OK\nTo-Path: %U %C\nFrom-Path: %F\nUse-Path: %U msrps://m1.outer.example:9000/o;tcp\nExpires: "
           "1800\n-------%2$\n");
    EXPECT(c, "MSRP e002auth 200 OK\nTo-Path: %C\nFrom-Path: %U %F\nUse-Path: %U "
              "msrps://m1.outer.example:9000/o;tcp\nExpires: 1800\n-------e002auth$\n");
    say(c, "MSRP e003auth AUTH\nTo-Path: %U %F\nFrom-Path: %C\n-------e003auth$\n"); /* M-AUTH-34 */
    EXPECT(f, "MSRP %3 AUTH\nTo-Path: %F\nFrom-Path: %U %C\n-------%3$\n");
    rig_pass(&r, 29000);
    EXPECT_NOTHING(c);
    rig_pass(&r, 2000);
    EXPECT(c, "MSRP e003auth 408 Downstream transaction timed out\nTo-Path: %C\nFrom-Path: %U\n-------e003auth$\n");
    say(f, "MSRP %3 200 OK\nTo-Path: %U %C\nFrom-Path: %F\n-------%3$\n");
    EXPECT_NOTHING(c);
    say(c, "MSRP e004auth AUTH\nTo-Path: %U %F\nFrom-Path: %C\n-------e004auth$\n"); /* nor does anybody wait for what cannot come */
    EXPECT(f, "MSRP %4 AUTH\nTo-Path: %F\nFrom-Path: %U %C\n-------%4$\n");
    peer_close(f);
    EXPECT(c, "MSRP e004auth 408 Downstream transaction timed out\nTo-Path: %C\nFrom-Path: %U\n-------e004auth$\n");
    rig_stop(&r);
}

/* M-AUTH-31 */
TEST(auth_is_not_forwarded_in_the_clear)
{
    start();
    rig_listen(&r, 'F', 0);
    say(c, "MSRP e001auth AUTH\nTo-Path: %U %F\nFrom-Path: %C\n-------e001auth$\n");
    EXPECT(c, "MSRP e001auth 403 Forbidden\nTo-Path: %C\nFrom-Path: %U\n-------e001auth$\n");
    CHECK(rig_accept(&r) == NULL);
    rig_stop(&r);
}

SUITE(relays_suite, TEST_ROW(relay_with_its_certificate_may_send_for_its_client),
      TEST_ROW(certificate_of_another_name_or_maker_makes_no_relay),
      TEST_ROW(client_sends_for_himself_alone), TEST_ROW(token_of_the_secure_kind_is_not_reached_in_the_clear),
      TEST_ROW(reload_to_require_tls_is_for_connections_that_are_there_too),
      TEST_ROW(plain_endpoint_that_was_called_may_answer_on_that_connection),
      TEST_ROW(plain_endpoint_that_was_called_for_one_token_does_not_reach_another),
      TEST_ROW(calls_of_a_token_are_bounded),
      TEST_ROW(relay_that_sends_what_is_not_for_us_keeps_its_link),
      TEST_ROW(next_relay_is_dialled_by_tls_with_both_certificates),
      TEST_ROW(next_relay_that_cannot_prove_its_name_gets_nothing),
      TEST_ROW(connection_to_an_unverified_endpoint_is_not_used_for_a_relay),
      TEST_ROW(connection_to_a_relay_serves_all_clients_and_one_in_the_clear_none_of_tls),
      TEST_ROW(auth_to_an_outer_relay_and_its_answers_pass_through), TEST_ROW(auth_is_not_forwarded_in_the_clear));
