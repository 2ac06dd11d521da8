/* Clients of other relays: AUTHs that come through these, and the tokens they give (RFC 4976 s.6.3). */
#include <stdio.h>
#include <stdlib.h>

#include "msrp/private.h"
#include "net/resolve.h"
#include "tests/unit/msrp/rig.h"

static struct rig r;
static struct tlsio_server *nobody, *relay_b, *relay_c;
static struct peer *b; /* the link of relay B: between dave (D) and B there is relay Q */

#define HELLO "Message-ID: m-0001\nByte-Range: 1-5/5\nContent-Type: text/plain\n\nhello\n"

static void start(void)
{
    const struct conf_list none = { 0 };

    rig_start_tls(&r, "msrp.require_tls=yes");
    nobody = rig_identity(&r, "nobody", NULL, 0);
    relay_b = rig_identity(&r, "relay-b", "dns:relay.b.example dns:localhost", 0);
    relay_c = rig_identity(&r, "relay-c", "dns:relay.c.example", 0);
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        CHECK_FATAL(resolver_new(&r.workers[i].resolver, r.workers[i].loop, &none) == 0);
    snprintf(r.var['B'], RIG_VAR_MAX, "msrps://relay.b.example:2855/rB7;tcp");
    snprintf(r.var['Q'], RIG_VAR_MAX, "msrps://relay.q.example:2855/q1;tcp");
    snprintf(r.var['D'], RIG_VAR_MAX, "msrps://dave-pc.invalid:40000/d4;tcp");
    snprintf(r.var['X'], RIG_VAR_MAX, "msrps://x.invalid:9/x;tcp");
    b = rig_peer_tls(&r, relay_b);
}

/* F listens and is called localhost. */
static void listen_as_localhost(char name)
{
    char port[16];

    rig_listen(&r, name, 0);
    CHECK_FATAL(sscanf(r.var[(int)name], "msrp://127.0.0.1:%15[0-9]", port) == 1);
    snprintf(r.var[(int)name], RIG_VAR_MAX, "msrps://localhost:%s/f0;tcp", port);
}

/* An AUTH with this From-Path, and its token, the last of Use-Path: %T. */
static void auth_for(struct peer *p, const char *from_path)
{
    char text[400];
    struct heard h;
    struct sv uri;

    snprintf(text, sizeof text, "MSRP a001auth AUTH\nTo-Path: msrps://%%E;tcp\nFrom-Path: %s\n-------a001auth$\n", from_path);
    say(p, text);
    CHECK_FATAL(hear(p, &h));
    uri = heard_header(&h, "Use-Path");
    CHECK_FATAL(uri.n > 0);
    while (sv_find(uri, ' ') < uri.n)
        uri = sv_from(uri, sv_find(uri, ' ') + 1);
    CHECK_FATAL(sv_copy(uri, r.var['T'], RIG_VAR_MAX));
}

static void start_with_token(void)
{
    start();
    auth_for(b, "%B %Q %D");
}

/* M-TOK-04, M-AUTH-33, M-AUTH-16 */
TEST(use_path_names_the_inner_relays_first)
{
    start();
    say(b, "MSRP a001auth AUTH\nTo-Path: msrps://%E;tcp\nFrom-Path: %B %Q %D\n-------a001auth$\n");
    {
        struct heard h;
        struct sv path;
        char begin[4 * RIG_VAR_MAX];

        CHECK_FATAL(hear(b, &h));
        CHECK(sv_eq(h.start, SV("MSRP a001auth 200 OK")));
        path = heard_header(&h, "To-Path");
        snprintf(begin, sizeof begin, "%s %s %s", r.var['B'], r.var['Q'], r.var['D']);
        CHECK(sv_eq(path, sv_of(begin)));
        path = heard_header(&h, "Use-Path");
        snprintf(begin, sizeof begin, "%s %s msrps://edge.tandem.example:5061/", r.var['Q'], r.var['B']);
        CHECK(sv_starts(path, sv_of(begin)));
        CHECK(path.n == strlen(begin) + SESSION_ID_LEN + 4);
    }
    rig_stop(&r);
}

/* M-AUTH-33 */
TEST(auth_of_a_relay_without_proof_is_refused)
{
    struct peer *x;

    start();
    x = rig_peer_tls(&r, nobody);
    say(x, "MSRP a001auth AUTH\nTo-Path: msrps://%E;tcp\nFrom-Path: %B %D\n-------a001auth$\n");
    EXPECT(x, "MSRP a001auth 403 Forbidden\nTo-Path: %B %D\nFrom-Path: msrps://%E;tcp\n-------a001auth$\n");
    x = rig_peer_tls(&r, relay_c);
    say(x, "MSRP a001auth AUTH\nTo-Path: msrps://%E;tcp\nFrom-Path: %B %D\n-------a001auth$\n");
    EXPECT(x, "MSRP a001auth 403 Forbidden\nTo-Path: %B %D\nFrom-Path: msrps://%E;tcp\n-------a001auth$\n");
    snprintf(r.var['P'], RIG_VAR_MAX, "msrp://relay.c.example:2855/p1;tcp"); /* M-TLS-02: no way back in the clear */
    say(x, "MSRP a002auth AUTH\nTo-Path: msrps://%E;tcp\nFrom-Path: %P %D\n-------a002auth$\n");
    EXPECT(x, "MSRP a002auth 403 Forbidden\nTo-Path: %P %D\nFrom-Path: msrps://%E;tcp\n-------a002auth$\n");
    CHECK(session_table_count(r.shared->sessions) == 0);
    rig_stop(&r);
}

/* M-AUTH-17: others use that link, too. */
TEST(failed_auths_do_not_end_a_relays_link)
{
    start();
    r.verdict = AUTHN_CHALLENGE;
    for (int i = 0; i < 20; i++) {
        say(b, "MSRP a001auth AUTH\nTo-Path: msrps://%E;tcp\nFrom-Path: %B %D\nAuthorization: Digest x\n-------a001auth$\n");
        EXPECT(b, "MSRP a001auth 401 Unauthorized\nTo-Path: %B %D\nFrom-Path: msrps://%E;tcp\nWWW-Authenticate: Digest "
                  "realm=\"x\"\n-------a001auth$\n");
    }
    EXPECT_NOTHING(b);
    rig_stop(&r);
}

/* p sends an AUTH with credentials over its token %T to the relay that it is itself, and refuses it. */
static void refuse_itself(struct peer *p, const char *outer, const char *client)
{
    char text[600];

    snprintf(text, sizeof text, "MSRP o001auth AUTH\nTo-Path: %%T %s\nFrom-Path: %s\nAuthorization: Digest x\n-------o001auth$\n",
             outer, client);
    say(p, text);
    snprintf(text, sizeof text, "MSRP %%9 AUTH\nTo-Path: %s\nFrom-Path: %%T %s\nAuthorization: Digest x\n-------%%9$\n", outer, client);
    r.var['9'][0] = '\0';
    EXPECT(p, text);
    snprintf(text, sizeof text, "MSRP %%9 401 No\nTo-Path: %%T %s\nFrom-Path: %s\n-------%%9$\n", client, outer);
    say(p, text);
    snprintf(text, sizeof text, "MSRP o001auth 401 No\nTo-Path: %s\nFrom-Path: %%T %s\n-------o001auth$\n", client, outer);
    EXPECT(p, text);
}

/* M-AUTH-17: the link of a relay is not closed for that, be it that a client of ours is the relay. */
TEST(relay_that_is_its_own_client_keeps_its_link)
{
    start();
    auth_for(b, "%D");
    say(b, "MSRP b001send SEND\nTo-Path: %T %D\nFrom-Path: %B %X\nFailure-Report: no\n" HELLO "-------b001send$\n");
    EXPECT(b, "MSRP %1 SEND\nTo-Path: %D\nFrom-Path: %T %B %X\nFailure-Report: no\n" HELLO "-------%1$\n");
    for (int i = 0; i < 20; i++)
        refuse_itself(b, "%B", "%D");
    EXPECT_NOTHING(b);
    rig_stop(&r);
}

/* M-AUTH-17: the connection that ends for it may be the one on which the refusal came. */
TEST(refusal_may_end_the_connection_that_it_came_on)
{
    struct peer *c, *g;

    start();
    listen_as_localhost('G');
    snprintf(r.var['C'], RIG_VAR_MAX, "msrps://alice-pc.invalid:49152/a1;tcp");
    c = rig_peer_tls(&r, nobody);
    say_auth(c, 'C', 'U');
    say(c, "MSRP c001send SEND\nTo-Path: %U %G %D\nFrom-Path: %C\nFailure-Report: no\n" HELLO "-------c001send$\n");
    g = rig_accept_tls(&r, relay_b);
    CHECK_FATAL(g != NULL);
    EXPECT(g, "MSRP %1 SEND\nTo-Path: %G %D\nFrom-Path: %U %C\nFailure-Report: no\n" HELLO "-------%1$\n");
    auth_for(g, "%X");
    for (int i = 0; i < r.conf->auth.max_failures; i++)
        refuse_itself(g, "%G", "%X");
    EXPECT_END(g);
    CHECK_INT(rig_stat(&r, STAT_msrp_transactions), 0);
    rig_stop(&r);
}

/* M-FWD-05, M-FWD-06, M-FWD-08, M-FWD-20, M-REP-01, M-TOK-06: SEND, REPORT and others, both ways through three
 * relays */
TEST(token_of_a_relay_is_used_in_both_directions)
{
    struct peer *f;

    start_with_token();
    listen_as_localhost('F');
    say(b, "MSRP b001send SEND\nTo-Path: %T %F\nFrom-Path: %B %Q %D\n" HELLO "-------b001send$\n");
    EXPECT(b, "MSRP b001send 200 OK\nTo-Path: %B\nFrom-Path: %T\n-------b001send$\n");
    f = rig_accept_tls(&r, relay_c); /* an endpoint: whoever it is */
    CHECK_FATAL(f != NULL);
    EXPECT(f, "MSRP %1 SEND\nTo-Path: %F\nFrom-Path: %T %B %Q %D\n" HELLO "-------%1$\n");
    say(f, "MSRP %1 415 Not that\nTo-Path: %T\nFrom-Path: %F\n-------%1$\n");
    EXPECT(b, "MSRP %2 REPORT\nTo-Path: %B %Q %D\nFrom-Path: %T\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 415 Not "
              "that\n-------%2$\n");
    say(b, "MSRP b002nick NICKNAME\nTo-Path: %T %F\nFrom-Path: %B %Q %D\n-------b002nick$\n");
    EXPECT(f, "MSRP %3 NICKNAME\nTo-Path: %F\nFrom-Path: %T %B %Q %D\n-------%3$\n");
    say(f, "MSRP %3 200 OK\nTo-Path: %T %B %Q %D\nFrom-Path: %F\n-------%3$\n");
    EXPECT(b, "MSRP b002nick 200 OK\nTo-Path: %B %Q %D\nFrom-Path: %T %F\n-------b002nick$\n");
    say(b, "MSRP b003rept REPORT\nTo-Path: %T %F\nFrom-Path: %B\nMessage-ID: m-old\nByte-Range: 1-2/2\nStatus: 000 408 "
           "x\n-------b003rept$\n"); /* of B itself */
    EXPECT(f, "MSRP %4 REPORT\nTo-Path: %F\nFrom-Path: %T %B\nMessage-ID: m-old\nByte-Range: 1-2/2\nStatus: 000 408 "
              "x\n-------%4$\n");

    say(f, "MSRP f001send SEND\nTo-Path: %T %B %Q %D\nFrom-Path: %F\n" HELLO "-------f001send$\n");
    EXPECT(f, "MSRP f001send 200 OK\nTo-Path: %F\nFrom-Path: %T\n-------f001send$\n");
    EXPECT(b, "MSRP %5 SEND\nTo-Path: %B %Q %D\nFrom-Path: %T %F\n" HELLO "-------%5$\n");
    say(b, "MSRP %5 413 Stop\nTo-Path: %T\nFrom-Path: %B\n-------%5$\n");
    EXPECT(f, "MSRP %6 REPORT\nTo-Path: %F\nFrom-Path: %T\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 413 "
              "Stop\n-------%6$\n");
    say(f, "MSRP f002nick NICKNAME\nTo-Path: %T %B %Q %D\nFrom-Path: %F\n-------f002nick$\n");
    EXPECT(b, "MSRP %7 NICKNAME\nTo-Path: %B %Q %D\nFrom-Path: %T %F\n-------%7$\n");
    say(b, "MSRP %7 200 OK\nTo-Path: %T %F\nFrom-Path: %B %Q %D\n-------%7$\n");
    EXPECT(f, "MSRP f002nick 200 OK\nTo-Path: %F\nFrom-Path: %T %B %Q %D\n-------f002nick$\n");
    rig_stop(&r);
}

/* M-TOK-06, M-FWD-05: the certificate is the proof, not the path, and not the certificate of somebody else. */
TEST(token_of_a_relay_is_not_for_others)
{
    static const char *const froms[] = { "%B %D", "msrps://relay.c.example:1/c;tcp %D", "%D" };
    struct peer *x;

    start_with_token();
    listen_as_localhost('F');
    x = rig_peer_tls(&r, relay_c);
    for (size_t i = 0; i < TD_ARRAY_LEN(froms); i++) {
        char text[300];
        struct heard h;

        snprintf(text, sizeof text, "MSRP k001send SEND\nTo-Path: %%T %%F\nFrom-Path: %s\n" HELLO "-------k001send$\n", froms[i]);
        say(x, text);
        CHECK_FATAL(hear(x, &h));
        CHECK(sv_eq(h.start, SV("MSRP k001send 403 Forbidden")));
    }
    say(b, "MSRP b001send SEND\nTo-Path: %T %F\nFrom-Path: msrps://relay.c.example:1/c;tcp %D\n" HELLO "-------b001send$\n");
    EXPECT(b, "MSRP b001send 403 Forbidden\nTo-Path: msrps://relay.c.example:1/c;tcp\nFrom-Path: %T\n-------b001send$\n");
    say(x, "MSRP k002auth AUTH\nTo-Path: %T\nFrom-Path: msrps://relay.c.example:1/c;tcp %D\n-------k002auth$\n");
    EXPECT(x, "MSRP k002auth 403 Forbidden\nTo-Path: msrps://relay.c.example:1/c;tcp %D\nFrom-Path: %T\n-------k002auth$\n");
    CHECK(rig_accept(&r) == NULL);
    rig_stop(&r);
}

/* M-TOK-06, M-COD-02: the link is lost, and the relay comes back. */
TEST(token_of_a_relay_outlives_its_link)
{
    struct heard h;
    struct peer *x;

    start_with_token();
    x = rig_peer_tls(&r, nobody);
    peer_reset(b);
    say(x, "MSRP k001send SEND\nTo-Path: %T %B %Q %D\nFrom-Path: %X\n" HELLO "-------k001send$\n"); /* B cannot be dialled */
    EXPECT(x, "MSRP k001send 200 OK\nTo-Path: %X\nFrom-Path: %T\n-------k001send$\n");
    EXPECT(x, "MSRP %1 REPORT\nTo-Path: %X\nFrom-Path: %T\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 408 Downstream "
              "transaction timed out\n-------%1$\n");
    for (char id = '2'; id < '6'; id += 2) { /* the second time on another worker, when there is one */
        char text[200];

        b = rig_peer_tls(&r, relay_b);
        say(b, "MSRP b001send SEND\nTo-Path: %T %X\nFrom-Path: %B %Q %D\nFailure-Report: no\n" HELLO "-------b001send$\n");
        CHECK_FATAL(hear(x, &h) && sv_eq(heard_header(&h, "Failure-Report"), SV("no"))); /* x had bound X */
        say(x, "MSRP k002send SEND\nTo-Path: %T %B %Q %D\nFrom-Path: %X\nFailure-Report: no\n" HELLO "-------k002send$\n");
        snprintf(text, sizeof text, "MSRP %%%c SEND\nTo-Path: %%B %%Q %%D\nFrom-Path: %%T %%X\nFailure-Report: no\n" HELLO
                                    "-------%%%c$\n", id, id);
        EXPECT(b, text);
        peer_close(b);
    }
    rig_stop(&r);
}

/* M-TOK-06, M-CON-14, M-REP-04: no link is there, so one is opened, for requests and for our REPORTs. */
TEST(relay_is_dialled_when_it_has_no_link)
{
    struct peer *c, *x, *g;

    start();
    listen_as_localhost('G');
    auth_for(b, "%G %Q %D");
    snprintf(r.var['C'], RIG_VAR_MAX, "msrps://alice-pc.invalid:49152/a1;tcp");
    c = rig_peer_tls(&r, nobody);
    say_auth(c, 'C', 'U');
    x = rig_peer_tls(&r, nobody);
    say(b, "MSRP b001send SEND\nTo-Path: %U %C\nFrom-Path: %G %Q %D\n" HELLO "-------b001send$\n");
    EXPECT(b, "MSRP b001send 200 OK\nTo-Path: %G\nFrom-Path: %U\n-------b001send$\n");
    EXPECT(c, "MSRP %1 SEND\nTo-Path: %C\nFrom-Path: %U %G %Q %D\n" HELLO "-------%1$\n");
    peer_close(b);
    say(c, "MSRP %1 413 Stop\nTo-Path: %U\nFrom-Path: %C\n-------%1$\n");
    g = rig_accept_tls(&r, relay_b);
    CHECK_FATAL(g != NULL);
    EXPECT(g, "MSRP %2 REPORT\nTo-Path: %G %Q %D\nFrom-Path: %U\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 413 "
              "Stop\n-------%2$\n");
    say(x, "MSRP k001send SEND\nTo-Path: %T %G %Q %D\nFrom-Path: %X\n" HELLO "-------k001send$\n");
    EXPECT(x, "MSRP k001send 200 OK\nTo-Path: %X\nFrom-Path: %T\n-------k001send$\n");
    EXPECT(g, "MSRP %3 SEND\nTo-Path: %G %Q %D\nFrom-Path: %T %X\n" HELLO "-------%3$\n");
    CHECK(rig_accept(&r) == NULL);
    say(g, "MSRP g001send SEND\nTo-Path: %T %X\nFrom-Path: %G %Q %D\n" HELLO "-------g001send$\n"); /* any connection with it */
    EXPECT(g, "MSRP g001send 200 OK\nTo-Path: %G\nFrom-Path: %T\n-------g001send$\n");
    EXPECT(x, "MSRP %4 SEND\nTo-Path: %X\nFrom-Path: %T %G %Q %D\n" HELLO "-------%4$\n");
    rig_stop(&r);
}

/* M-REP-04: a link that breaks in the very moment is none: the REPORT goes by another. */
TEST(report_does_not_go_down_with_a_link_that_ends)
{
    struct peer *c, *b2;
    struct heard h;

    start();
    snprintf(r.var['C'], RIG_VAR_MAX, "msrps://alice-pc.invalid:49152/a1;tcp");
    c = rig_peer_tls(&r, nobody);
    say_auth(c, 'C', 'U');
    say(b, "MSRP b001send SEND\nTo-Path: %U %C\nFrom-Path: %B %D\n" HELLO "-------b001send$\n");
    EXPECT(b, "MSRP b001send 200 OK\nTo-Path: %B\nFrom-Path: %U\n-------b001send$\n");
    EXPECT(c, "MSRP %1 SEND\nTo-Path: %C\nFrom-Path: %U %B %D\n" HELLO "-------%1$\n");
    b2 = rig_peer_tls(&r, relay_b);
    say(b2, "MSRP b002send SEND\nTo-Path: %U %C\nFrom-Path: %B %D\nFailure-Report: no\n" HELLO "-------b002send$\n");
    CHECK_FATAL(hear(c, &h));
    list_each(node, &b->worker->conns) {
        struct conn *link = list_item(node, struct conn, all_node);

        if (link->user && msrp_of(link)->relay_link) { /* b's is the older one */
            conn_doom(link, CLOSE_QUEUE_FULL);
            break;
        }
    }
    say(c, "MSRP %1 413 Stop\nTo-Path: %U\nFrom-Path: %C\n-------%1$\n");
    EXPECT(b2, "MSRP %2 REPORT\nTo-Path: %B %D\nFrom-Path: %U\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 413 "
               "Stop\n-------%2$\n");
    rig_stop(&r);
}

/* M-ACM-03: nor is a relay dialled at port 9, for its client's frames or for our REPORTs; its own link is good whatever
 * it says. */
TEST(relay_at_port_9_is_not_dialled)
{
    struct peer *c, *x;
    uint64_t made;

    start();
    snprintf(r.var['C'], RIG_VAR_MAX, "msrps://alice-pc.invalid:49152/a1;tcp");
    snprintf(r.var['G'], RIG_VAR_MAX, "msrps://localhost:9/g;tcp");
    c = rig_peer_tls(&r, nobody);
    say_auth(c, 'C', 'U');
    x = rig_peer_tls(&r, nobody);
    auth_for(b, "%G %D");
    say(b, "MSRP b001send SEND\nTo-Path: %U %C\nFrom-Path: %G %D\n" HELLO "-------b001send$\n");
    EXPECT(b, "MSRP b001send 200 OK\nTo-Path: %G\nFrom-Path: %U\n-------b001send$\n");
    EXPECT(c, "MSRP %1 SEND\nTo-Path: %C\nFrom-Path: %U %G %D\n" HELLO "-------%1$\n");
    say(x, "MSRP k001send SEND\nTo-Path: %T %G %D\nFrom-Path: %X\nFailure-Report: no\n" HELLO "-------k001send$\n");
    EXPECT(b, "MSRP %2 SEND\nTo-Path: %G %D\nFrom-Path: %T %X\nFailure-Report: no\n" HELLO "-------%2$\n");
    peer_close(b);
    rig_turn(&r);
    made = r.next_id; /* of connections, were it only to try */
    say(c, "MSRP %1 413 Stop\nTo-Path: %U\nFrom-Path: %C\n-------%1$\n");
    CHECK_INT(rig_stat(&r, STAT_msrp_reports_made), 0);
    say(x, "MSRP k002send SEND\nTo-Path: %T %G %D\nFrom-Path: %X\n" HELLO "-------k002send$\n");
    EXPECT(x, "MSRP k002send 200 OK\nTo-Path: %X\nFrom-Path: %T\n-------k002send$\n");
    EXPECT(x, "MSRP %3 REPORT\nTo-Path: %X\nFrom-Path: %T\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 408 Downstream "
              "transaction timed out\n-------%3$\n");
    CHECK_INT(r.next_id, made);
    rig_stop(&r);
}

/* M-REP-04: an endpoint is not called back, nor is anybody for a response. */
TEST(report_to_an_endpoint_that_is_gone_is_dropped)
{
    struct peer *c, *x;
    uint64_t made;

    start();
    listen_as_localhost('G');
    snprintf(r.var['C'], RIG_VAR_MAX, "msrps://alice-pc.invalid:49152/a1;tcp");
    c = rig_peer_tls(&r, nobody);
    say_auth(c, 'C', 'U');
    x = rig_peer_tls(&r, relay_b); /* M-TLS-09: its certificate makes it no relay */
    say(x, "MSRP k001send SEND\nTo-Path: %U %C\nFrom-Path: %G\n" HELLO "-------k001send$\n");
    EXPECT(x, "MSRP k001send 200 OK\nTo-Path: %G\nFrom-Path: %U\n-------k001send$\n");
    EXPECT(c, "MSRP %1 SEND\nTo-Path: %C\nFrom-Path: %U %G\n" HELLO "-------%1$\n");
    say(b, "MSRP b001nick NICKNAME\nTo-Path: %U %C\nFrom-Path: %G %D\n-------b001nick$\n");
    EXPECT(c, "MSRP %2 NICKNAME\nTo-Path: %C\nFrom-Path: %U %G %D\n-------%2$\n");
    peer_close(x);
    peer_close(b);
    rig_turn(&r);
    made = r.next_id;
    say(c, "MSRP %1 413 Stop\nTo-Path: %U\nFrom-Path: %C\n-------%1$\n");
    say(c, "MSRP %2 200 OK\nTo-Path: %U %G %D\nFrom-Path: %C\n-------%2$\n");
    CHECK_INT(r.next_id, made);
    EXPECT_NOTHING(c);
    rig_stop(&r);
}

/* M-CON-14 */
TEST(link_that_a_relay_has_opened_is_used_whatever_the_port)
{
    struct peer *c;

    start();
    listen_as_localhost('G');
    snprintf(r.var['C'], RIG_VAR_MAX, "msrps://alice-pc.invalid:49152/a1;tcp");
    c = rig_peer_tls(&r, nobody);
    say_auth(c, 'C', 'U');
    say(b, "MSRP b001send SEND\nTo-Path: %U %C\nFrom-Path: msrps://LOCALHOST:1/z;tcp %D\n" HELLO "-------b001send$\n");
    EXPECT(b, "MSRP b001send 200 OK\nTo-Path: msrps://LOCALHOST:1/z;tcp\nFrom-Path: %U\n-------b001send$\n");
    EXPECT(c, "MSRP %1 SEND\nTo-Path: %C\nFrom-Path: %U msrps://LOCALHOST:1/z;tcp %D\n" HELLO "-------%1$\n");
    say(c, "MSRP c001send SEND\nTo-Path: %U %G %D\nFrom-Path: %C\n" HELLO "-------c001send$\n");
    EXPECT(c, "MSRP c001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------c001send$\n");
    EXPECT(b, "MSRP %2 SEND\nTo-Path: %G %D\nFrom-Path: %U %C\n" HELLO "-------%2$\n");
    CHECK(rig_accept(&r) == NULL);
    say(c, "MSRP c002send SEND\nTo-Path: %U msrps://relay.c.example:2855/c;tcp %D\nFrom-Path: %C\n" HELLO "-------c002send$\n"); /* not for another's */
    EXPECT_NOTHING(b);
    rig_stop(&r);
}

/* M-TLS-09: it is answered where it came from, as every endpoint is (M-CON-07). */
TEST(endpoint_with_a_certificate_is_an_endpoint)
{
    struct peer *c, *again;

    start();
    listen_as_localhost('G');
    snprintf(r.var['C'], RIG_VAR_MAX, "msrps://alice-pc.invalid:49152/a1;tcp");
    c = rig_peer_tls(&r, nobody);
    say_auth(c, 'C', 'U');
    say(b, "MSRP g001send SEND\nTo-Path: %U %C\nFrom-Path: %G\n" HELLO "-------g001send$\n");
    EXPECT(b, "MSRP g001send 200 OK\nTo-Path: %G\nFrom-Path: %U\n-------g001send$\n");
    EXPECT(c, "MSRP %1 SEND\nTo-Path: %C\nFrom-Path: %U %G\n" HELLO "-------%1$\n");
    say(c, "MSRP c001send SEND\nTo-Path: %U %G\nFrom-Path: %C\n" HELLO "-------c001send$\n");
    EXPECT(c, "MSRP c001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------c001send$\n");
    EXPECT(b, "MSRP %2 SEND\nTo-Path: %G\nFrom-Path: %U %C\n" HELLO "-------%2$\n");
    CHECK(rig_accept(&r) == NULL);
    again = rig_peer_tls(&r, relay_b); /* M-CON-09: it may be a relay with two links */
    say(again, "MSRP g002send SEND\nTo-Path: %U %C\nFrom-Path: %G\n" HELLO "-------g002send$\n");
    EXPECT(again, "MSRP g002send 200 OK\nTo-Path: %G\nFrom-Path: %U\n-------g002send$\n");
    rig_stop(&r);
}

/* M-FWD-12, M-FWD-13: a client of ours and one of another relay, both with tokens of ours. */
TEST(tokens_of_a_client_and_of_a_relay_in_a_row)
{
    struct peer *c;

    start_with_token();
    snprintf(r.var['C'], RIG_VAR_MAX, "msrps://alice-pc.invalid:49152/a1;tcp");
    c = rig_peer_tls(&r, nobody);
    say_auth(c, 'C', 'U');
    say(c, "MSRP c001send SEND\nTo-Path: %U %T %B %Q %D\nFrom-Path: %C\n" HELLO "-------c001send$\n");
    EXPECT(c, "MSRP c001send 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------c001send$\n");
    EXPECT(b, "MSRP %1 SEND\nTo-Path: %B %Q %D\nFrom-Path: %T %U %C\n" HELLO "-------%1$\n");
    say(b, "MSRP b001send SEND\nTo-Path: %T %U %C\nFrom-Path: %B %Q %D\n" HELLO "-------b001send$\n");
    EXPECT(b, "MSRP b001send 200 OK\nTo-Path: %B\nFrom-Path: %T\n-------b001send$\n");
    EXPECT(c, "MSRP %2 SEND\nTo-Path: %C\nFrom-Path: %U %T %B %Q %D\n" HELLO "-------%2$\n");
    say(b, "MSRP b002send SEND\nTo-Path: %T %B %T %D\nFrom-Path: %B %Q %D\n" HELLO "-------b002send$\n"); /* a loop */
    EXPECT(b, "MSRP b002send 403 Forbidden\nTo-Path: %B\nFrom-Path: %T\n-------b002send$\n");
    say(b, "MSRP b003send SEND\nTo-Path: %T %U %B %D\nFrom-Path: %B %Q %D\n" HELLO "-------b003send$\n"); /* U is not B's */
    EXPECT(b, "MSRP b003send 403 Forbidden\nTo-Path: %B\nFrom-Path: %T\n-------b003send$\n");
    rig_stop(&r);
}

/* M-TOK-09, M-AUTH-23: by whatever link of that relay; its end moves on the worker where the session lives. */
TEST(token_of_a_relay_is_refreshed_and_expires)
{
    struct peer *again;

    start_with_token();
    for (int i = 0; i < 2; i++) {
        rig_pass(&r, 40000);
        again = rig_peer_tls(&r, relay_b);
        say(again, "MSRP a002auth AUTH\nTo-Path: %T\nFrom-Path: %B %Q %D\nExpires: 60\n-------a002auth$\n");
        EXPECT(again, "MSRP a002auth 200 OK\nTo-Path: %B %Q %D\nFrom-Path: %T\nUse-Path: %Q %B %T\nExpires: 60\n-------a002auth$\n");
    }
    /* M-CON-03: a keep-alive of its owner is a success, on a new link too */
    again = rig_peer_tls(&r, relay_b);
    say(again, "MSRP b000send SEND\nTo-Path: %T\nFrom-Path: %B\nMessage-ID: m-0001\n-------b000send$\n");
    EXPECT(again, "MSRP b000send 200 OK\nTo-Path: %B\nFrom-Path: %T\n-------b000send$\n");
    rig_pass(&r, 59000);
    EXPECT_NOTHING(again);
    CHECK(session_table_count(r.shared->sessions) == 1);
    rig_pass(&r, 2000);
    CHECK(session_table_count(r.shared->sessions) == 0);
    CHECK(rig_stat(&r, STAT_sessions) == 0);
    say(again, "MSRP b001send SEND\nTo-Path: %T %X\nFrom-Path: %B %Q %D\n" HELLO "-------b001send$\n");
    EXPECT(again, "MSRP b001send 481 No such session\nTo-Path: %B\nFrom-Path: %T\n-------b001send$\n");
    rig_stop(&r);
}

/* M-TOK-06, M-TOK-12: the same user, and even the same From-Path, do not make a client of a relay or a relay of a
 * client. */
TEST(token_stays_with_the_kind_of_owner_that_got_it)
{
    struct peer *c, *x;

    start_with_token();
    c = rig_peer_tls(&r, nobody);
    say(c, "MSRP a002auth AUTH\nTo-Path: %T\nFrom-Path: %B\n-------a002auth$\n");
    EXPECT(c, "MSRP a002auth 403 Forbidden\nTo-Path: %B\nFrom-Path: %T\n-------a002auth$\n");
    x = rig_peer_tls(&r, nobody);
    say(x, "MSRP k001send SEND\nTo-Path: %T %B %Q %D\nFrom-Path: %X\n" HELLO "-------k001send$\n");
    EXPECT(x, "MSRP k001send 200 OK\nTo-Path: %X\nFrom-Path: %T\n-------k001send$\n");
    EXPECT(b, "MSRP %1 SEND\nTo-Path: %B %Q %D\nFrom-Path: %T %X\n" HELLO "-------%1$\n");
    snprintf(r.var['C'], RIG_VAR_MAX, "msrps://relay.b.example:2855/c1;tcp");
    say_auth(c, 'C', 'U');
    say(b, "MSRP a003auth AUTH\nTo-Path: %U\nFrom-Path: %C %D\n-------a003auth$\n");
    EXPECT(b, "MSRP a003auth 481 No such session\nTo-Path: %C %D\nFrom-Path: %U\n-------a003auth$\n");
    say(x, "MSRP k002send SEND\nTo-Path: %U %C\nFrom-Path: %X\n" HELLO "-------k002send$\n");
    EXPECT(x, "MSRP k002send 200 OK\nTo-Path: %X\nFrom-Path: %U\n-------k002send$\n");
    EXPECT(c, "MSRP %2 SEND\nTo-Path: %C\nFrom-Path: %U %X\n" HELLO "-------%2$\n");
    rig_stop(&r);
}

/* M-FR-01, M-FR-02, M-AUTH-23: it ends in the middle of a chunk, wherever that is read and written. */
TEST(chunk_is_cut_off_when_the_token_of_a_relay_expires)
{
    static char half[4096];
    struct peer *x;
    struct heard h;

    start();
    memset(half, 'a', sizeof half);
    say(b, "MSRP a001auth AUTH\nTo-Path: msrps://%E;tcp\nFrom-Path: %B %D\nExpires: 60\n-------a001auth$\n");
    CHECK_FATAL(hear(b, &h));
    CHECK_FATAL(sv_copy(sv_from(heard_header(&h, "Use-Path"), strlen(r.var['B']) + 1), r.var['T'], RIG_VAR_MAX));
    x = rig_peer_tls(&r, nobody);
    say(x, "MSRP k001send SEND\nTo-Path: %T %B %D\nFrom-Path: %X\nMessage-ID: m-0001\nByte-Range: 1-*/8192\nContent-Type: a/b\n\n");
    say_bytes(x, half, sizeof half);
    rig_pass(&r, 61000);
    for (int i = 0; i < 4; i++) { /* M-FR-02: it fails once */
        say_bytes(x, half, sizeof half / 4);
        rig_turn(&r);
    }
    say_bytes(x, "\r\n-------k001send$\r\n", 21);
    EXPECT(x, "MSRP %1 REPORT\nTo-Path: %X\nFrom-Path: %T\nMessage-ID: m-0001\nByte-Range: 1-4096/8192\nStatus: 000 481 No such "
              "session\n-------%1$\n");
    EXPECT(x, "MSRP k001send 200 OK\nTo-Path: %X\nFrom-Path: %T\n-------k001send$\n");
    CHECK_FATAL(hear(b, &h));
    CHECK(h.flag == '#' && h.body.n == 4096);
    rig_stop(&r);
}

/* What passes is counted, on whatever worker it passes. */
TEST(traffic_of_a_relays_token_is_counted)
{
    struct msrp_uri u;
    struct session *s;
    struct peer *x;

    start_with_token();
    CHECK_FATAL(msrp_uri_parse(&u, sv_of(r.var['T'])));
    s = session_find(r.shared->sessions, u.session);
    CHECK_FATAL(s != NULL);
    x = rig_peer_tls(&r, nobody);
    say(x, "MSRP k001send SEND\nTo-Path: %T %B %Q %D\nFrom-Path: %X\n" HELLO "-------k001send$\n");
    EXPECT(b, "MSRP %1 SEND\nTo-Path: %B %Q %D\nFrom-Path: %T %X\n" HELLO "-------%1$\n");
    b = rig_peer_tls(&r, relay_b);
    b = rig_peer_tls(&r, relay_b); /* RIG_WORKERS 2: one of all these is on the other worker */
    for (int i = 0; i < 3; i++)
        say(b, "MSRP b001send SEND\nTo-Path: %T %X\nFrom-Path: %B %Q %D\nFailure-Report: no\n" HELLO "-------b001send$\n");
    rig_pass(&r, 1000);
    CHECK(s->frames_out == 1 && s->bytes_out == 5);
    CHECK(s->frames_in == 3 && s->bytes_in == 15);
    CHECK(s->changed_told == 0);
    session_unref(&s);
    rig_stop(&r);
}

SUITE(inner_suite, TEST_ROW(use_path_names_the_inner_relays_first), TEST_ROW(auth_of_a_relay_without_proof_is_refused),
      TEST_ROW(failed_auths_do_not_end_a_relays_link),
      TEST_ROW(relay_that_is_its_own_client_keeps_its_link), TEST_ROW(refusal_may_end_the_connection_that_it_came_on), TEST_ROW(token_of_a_relay_is_used_in_both_directions),
      TEST_ROW(token_of_a_relay_is_not_for_others), TEST_ROW(token_of_a_relay_outlives_its_link),
      TEST_ROW(relay_is_dialled_when_it_has_no_link), TEST_ROW(report_does_not_go_down_with_a_link_that_ends), TEST_ROW(relay_at_port_9_is_not_dialled),
      TEST_ROW(report_to_an_endpoint_that_is_gone_is_dropped),
      TEST_ROW(link_that_a_relay_has_opened_is_used_whatever_the_port), TEST_ROW(endpoint_with_a_certificate_is_an_endpoint),
      TEST_ROW(tokens_of_a_client_and_of_a_relay_in_a_row), TEST_ROW(token_of_a_relay_is_refreshed_and_expires), TEST_ROW(token_stays_with_the_kind_of_owner_that_got_it),
      TEST_ROW(chunk_is_cut_off_when_the_token_of_a_relay_expires), TEST_ROW(traffic_of_a_relays_token_is_counted));
