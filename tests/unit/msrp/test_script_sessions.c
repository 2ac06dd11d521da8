/* Scripts and sessions: AUTH, the table of sessions, and where a script may send. */
#include "db/cred.h"
#include "tests/unit/msrp/script_rig.h"

TEST(an_auth_is_judged_by_the_script_and_saved_for_who_was_authenticated)
{
    struct peer *c = start(NULL);
    struct heard h;

    CHECK_FATAL(use("if KSR.auth_db.www_authenticate('', 'subscriber') > 0 then KSR.msrp.cmap_save() return end\n"
                    "assert(KSR.auth.auth_get_www_authenticate('', 1, '$var(w)') == 1)\n"
                    "KSR.msrp.reply(401, 'Unauthorized', KSR.pv.get('$var(w)'))"));
    say(c, AUTH);
    CHECK_FATAL(hear(c, &h));
    CHECK(sv_starts(h.start, SV("MSRP a0001 200 OK")) && heard_header(&h, "Use-Path").n && sv_eq(heard_header(&h, "Expires"), SV("3600")));
    r.verdict = AUTHN_CHALLENGE;
    say(c, AUTH);
    CHECK_FATAL(hear(c, &h));
    CHECK(sv_starts(h.start, SV("MSRP a0001 401 Unauthorized")) && heard_header(&h, "WWW-Authenticate").n);
    /* M-AUTH-17: the fifth failure is answered, then it is over */
    for (int i = 0; i < 4; i++) {
        say(c, AUTH);
        CHECK_FATAL(hear(c, &h));
        CHECK(sv_starts(h.start, SV("MSRP a0001 401 ")));
    }
    EXPECT_END(c);
    CHECK_INT(rig_stat(&r, STAT_script_errors), 0);
    stop();
}

TEST(a_session_has_a_lifetime_within_bounds_and_somebody_it_belongs_to)
{
    struct peer *c = start(NULL);
    struct heard h;

    CHECK_FATAL(use("assert(KSR.msrp.cmap_save() == -1)"));
    say(c, AUTH);
    CHECK_FATAL(hear(c, &h));
    CHECK(sv_starts(h.start, SV("MSRP a0001 403 ")));
    CHECK_FATAL(use("assert(KSR.auth.pv_www_authenticate('', 'x', 0) == 1) local rc = KSR.msrp.cmap_save()\n"
                    "assert(rc == (KSR.hdr.get('Expires') == '5' and -3 or -4), rc)"));
    say(c, "MSRP a0001 AUTH\nTo-Path: msrp://%E;tcp\nFrom-Path: %C\nExpires: 5\n-------a0001$\n");
    CHECK_FATAL(hear(c, &h));
    CHECK(sv_starts(h.start, SV("MSRP a0001 423 ")) && sv_eq(heard_header(&h, "Min-Expires"), SV("60")));
    say(c, "MSRP a0001 AUTH\nTo-Path: msrp://%E;tcp\nFrom-Path: %C\nExpires: 3601\n-------a0001$\n");
    CHECK_FATAL(hear(c, &h));
    CHECK(sv_starts(h.start, SV("MSRP a0001 423 ")) && sv_eq(heard_header(&h, "Max-Expires"), SV("3600")));
    CHECK_INT(rig_stat(&r, STAT_script_errors), 0);
    stop();
}

/* K-PAR-03: the bounds are those of the configuration; without Expires it is the most. */
TEST(the_bounds_of_cmap_save_are_configured)
{
    static const struct {
        const char *option, *expires, *bound, *value;
    } cases_[] = {
        { "msrp.auth_max_expires=1800", "", "Expires", "1800" },       { "msrp.auth_max_expires=1800", "Expires: 1800\n", "Expires", "1800" },
        { "msrp.auth_max_expires=1800", "Expires: 1801\n", "Max-Expires", "1800" }, { "msrp.auth_min_expires=90", "Expires: 90\n", "Expires", "90" },
        { "msrp.auth_min_expires=90", "Expires: 89\n", "Min-Expires", "90" },
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(cases_); i++) {
        struct peer *c = start(cases_[i].option);
        struct heard h;
        char frame[256];

        CHECK_FATAL(use("assert(KSR.auth.pv_www_authenticate('', 'x', 0) == 1) KSR.msrp.cmap_save()"));
        snprintf(frame, sizeof frame, "MSRP a0001 AUTH\nTo-Path: msrp://%%E;tcp\nFrom-Path: %%C\n%s-------a0001$\n", cases_[i].expires);
        say(c, frame);
        CHECK_FATAL(hear(c, &h));
        CHECK(sv_starts(h.start, strcmp(cases_[i].bound, "Expires") == 0 ? SV("MSRP a0001 200 ") : SV("MSRP a0001 423 ")));
        CHECK(sv_eq(heard_header(&h, cases_[i].bound), sv_of(cases_[i].value)));
        stop();
    }
}

/* K-PAR-02: 2^N slots to begin with, and no fewer than two in each of its 64 parts. */
TEST(the_table_of_sessions_begins_with_the_slots_that_are_configured)
{
    static const struct {
        const char *option;
        size_t slots;
    } sizes[] = { { NULL, 256 }, { "msrp.cmap_size=0", 128 }, { "msrp.cmap_size=7", 128 }, { "msrp.cmap_size=12", 4096 } };

    for (size_t i = 0; i < TD_ARRAY_LEN(sizes); i++) {
        rig_start(&r, sizes[i].option);
        CHECK_INT(session_table_slots(r.shared->sessions), sizes[i].slots);
        rig_stop(&r);
    }
}

TEST(the_script_runs_when_the_credentials_are_there)
{
    struct peer *c = start(NULL);
    struct db_cred cred = { .found = true };
    struct heard h;

    CHECK_FATAL(use("local rc = KSR.auth_db.www_authenticate('', 'subscriber') KSR.msrp.reply(200, rc)"));
    r.fetch_later = true;
    say(c, AUTH AUTH);
    EXPECT_NOTHING(c);
    CHECK_INT(rig_stat(&r, STAT_script_runs), 0);
    CHECK_FATAL(r.fetched != NULL);
    r.fetched(0, &cred, r.fetched_arg);
    CHECK_FATAL(hear(c, &h));
    CHECK(sv_starts(h.start, SV("MSRP a0001 200 1")));
    EXPECT_NOTHING(c);
    r.fetched(-1, NULL, r.fetched_arg); /* the database fails */
    CHECK_FATAL(hear(c, &h));
    CHECK(sv_starts(h.start, SV("MSRP a0001 200 -6")));
    CHECK_INT(rig_stat(&r, STAT_script_runs), 2);
    /* and when the connection ends meanwhile */
    say(c, AUTH);
    rig_turn(&r);
    CHECK_FATAL(r.fetched != NULL);
    stop();
    CHECK(r.fetched == NULL);
}

/* K-PAR-01: without the SIP view everything of the frame itself is still there. */
TEST(without_the_sip_view_the_frame_is_still_seen)
{
    struct peer *c = start("msrp.sipmsg=no");

    CHECK_FATAL(use("assert(KSR.pv.get('$rm') == nil and KSR.pv.get('$au') == nil and KSR.pv.get('$hdr(Message-ID)') == nil)\n"
                    "assert(KSR.pv.get('$msrp(transid)') and KSR.pv.get('$si') == '127.0.0.1' and KSR.hdr.get('To-Path'))"));
    say(c, SEND AUTH RESPONSE);
    rig_turn(&r);
    CHECK_INT(rig_stat(&r, STAT_script_runs), 3);
    CHECK_INT(rig_stat(&r, STAT_script_errors), 0);
    stop();
}

TEST(the_session_decides_what_cmap_lookup_finds)
{
    struct peer *c = start(NULL), *x = rig_peer(&r);

    CHECK_FATAL(use("KSR.msrp.reply(200, KSR.msrp.cmap_lookup())"));
    say(c, "MSRP s0001 SEND\nTo-Path: %N %F\nFrom-Path: %C\nMessage-ID: m-0001\n-------s0001$\n");
    EXPECT(c, "MSRP s0001 200 -4\nTo-Path: %C\nFrom-Path: %N\n-------s0001$\n");
    say(c, "MSRP s0002 SEND\nTo-Path: %U\nFrom-Path: %C\nMessage-ID: m-0001\n-------s0002$\n");
    EXPECT(c, "MSRP s0002 200 1\nTo-Path: %C\nFrom-Path: %U\n-------s0002$\n");
    say(x, "MSRP s0003 SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0001\n-------s0003$\n"); /* not its owner */
    EXPECT(x, "MSRP s0003 200 -403\nTo-Path: %C\nFrom-Path: %U\n-------s0003$\n");
    CHECK_FATAL(use("assert(KSR.msrp.cmap_lookup() == -1)"));
    say(x, "MSRP s0004 SEND\nTo-Path: msrp://other.example:9/x;tcp %F\nFrom-Path: %C\nMessage-ID: m-0001\n-------s0004$\n");
    EXPECT_END(x);
    x = rig_peer(&r);
    say(x, "MSRP s0005 SEND\nTo-Path: msrp://other.example:9/x;tcp\nFrom-Path: %C\nMessage-ID: m-0001\n-------s0005$\n");
    EXPECT_END(x);
    CHECK_FATAL(use("assert(KSR.msrp.set_dst('msrp://127.0.0.1:5') == 1 and KSR.msrp.relay() == -1) KSR.msrp.reply(404, 'Nowhere')"));
    say(c, "MSRP s0006 SEND\nTo-Path: %U\nFrom-Path: %C\nMessage-ID: m-0001\n-------s0006$\n"); /* with nothing behind us in To-Path */
    EXPECT(c, "MSRP s0006 404 Nowhere\nTo-Path: %C\nFrom-Path: %U\n-------s0006$\n");
    CHECK_INT(rig_stat(&r, STAT_script_errors), 0); /* else the built-in routing would have closed and answered */
    stop();
}

/* KSR.msrp.set_dst: by the connection that there is, found by its addresses, without any session; the answer goes back
 * by it. */
TEST(a_script_sends_to_an_address_by_the_connection_that_is_there)
{
    struct peer *c = start("script.htable=t=>size=4"), *d = rig_peer(&r);

    CHECK_FATAL(use("local id = KSR.pv.get('$msrp(sessid)')\n"
                    "if id == 'here' then KSR.pv.sets('$sht(t=>addr)', KSR.pv.get('$msrp(srcaddr)')) KSR.pv.sets('$sht(t=>sock)', KSR.pv.get('$msrp(srcsock)')) return KSR.msrp.reply(200, 'OK') end\n"
                    "if KSR.msrp.is_reply() > 0 then return KSR.msrp.relay() end\n"
                    "KSR.msrp.relay_flags(1) assert(KSR.msrp.set_dst(KSR.pv.get('$sht(t=>addr)'), id == 'any' and 'tcp:192.0.2.1:9' or KSR.pv.get('$sht(t=>sock)')) == 1)\n"
                    "KSR.msrp.reply(KSR.msrp.relay() == 1 and 200 or 481, 'x')"));
    say(d, "MSRP d0001 SEND\nTo-Path: msrp://%E/here;tcp\nFrom-Path: msrp://d.invalid:1/d;tcp\nMessage-ID: m-0000\n-------d0001$\n");
    EXPECT(d, "MSRP d0001 200 OK\nTo-Path: msrp://d.invalid:1/d;tcp\nFrom-Path: msrp://%E/here;tcp\n-------d0001$\n");
    for (int i = 0; i < 3; i++) {
        say(c, "MSRP s0001 SEND\nTo-Path: msrp://%E/no;tcp msrp://d.invalid:1/d;tcp\nFrom-Path: %C\n" HEADERS "\nhello\n-------s0001$\n");
        EXPECT(c, "MSRP s0001 200 x\nTo-Path: %C\nFrom-Path: msrp://%E/no;tcp\n-------s0001$\n");
        EXPECT(d, "MSRP %1 SEND\nTo-Path: msrp://d.invalid:1/d;tcp\nFrom-Path: msrp://%E/no;tcp %C\n" HEADERS "\nhello\n-------%1$\n");
        say(d, "MSRP %1 415 No\nTo-Path: msrp://%E/no;tcp\nFrom-Path: msrp://d.invalid:1/d;tcp\n-------%1$\n");
        EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: msrp://%E/no;tcp\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 415 No\n-------%2$\n");
        r.var['1'][0] = r.var['2'][0] = '\0';
    }
    /* an unknown socket is none */
    say(c, "MSRP s0002 SEND\nTo-Path: msrp://%E/any;tcp msrp://d.invalid:1/d;tcp\nFrom-Path: %C\n" HEADERS "\nhello\n-------s0002$\n");
    EXPECT(c, "MSRP s0002 200 x\nTo-Path: %C\nFrom-Path: msrp://%E/any;tcp\n-------s0002$\n");
    EXPECT(d, "MSRP %1 SEND\nTo-Path: msrp://d.invalid:1/d;tcp\nFrom-Path: msrp://%E/any;tcp %C\n" HEADERS "\nhello\n-------%1$\n");
    /* and what has gone is not there */
    peer_close(d);
    rig_turn(&r);
    EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: msrp://%E/any;tcp\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 408 Downstream transaction timed out\n-------%2$\n");
    say(c, "MSRP s0003 SEND\nTo-Path: msrp://%E/any;tcp msrp://d.invalid:1/d;tcp\nFrom-Path: %C\n" HEADERS "\nhello\n-------s0003$\n");
    EXPECT(c, "MSRP s0003 481 x\nTo-Path: %C\nFrom-Path: msrp://%E/any;tcp\n-------s0003$\n");
    EXPECT_NOTHING(c);
    CHECK_INT(rig_stat(&r, STAT_script_errors), 0);
    stop();
}

/* KSR.msrp.set_dst: a connection that is opened leaves from the address of the socket; what waits for it is one
 * connection's queue (M-CON-16). */
TEST(a_script_opens_a_connection_from_the_socket_it_names)
{
    struct peer *c = start("listen.main.address=0.0.0.0:5070"), *f;
    struct sockaddr_in from;
    socklen_t len = sizeof from;

    CHECK_FATAL(use("local f = KSR.pv.get('$msrp(nexthop)') KSR.msrp.set_dst(f, 'tcp:127.0.0.3:5070') assert(KSR.msrp.relay() == 1)"));
    say(c, SEND SEND);
    f = rig_accept(&r);
    CHECK_FATAL(f != NULL && getpeername(f->fd, (struct sockaddr *)&from, &len) == 0);
    CHECK_INT(ntohl(from.sin_addr.s_addr), 0x7f000003);
    EXPECT(f, FORWARDED);
    r.var['1'][0] = '\0';
    EXPECT(f, FORWARDED);
    CHECK(rig_accept(&r) == NULL);
    CHECK_INT(rig_stat(&r, STAT_script_errors), 0);
    stop();
}

/* M-SEC-02: an address that must not be dialled is not dialled for a script either, be it given by number or found by
 * its name. */
TEST(a_script_opens_no_door)
{
    struct peer *c = start("msrp.forward_to=public");

    CHECK_FATAL(use("KSR.msrp.set_dst(KSR.pv.get('$msrp(nexthop)')) assert(KSR.msrp.relay() == -1) assert(KSR.msrp.forward(KSR.pv.get('$msrp(nexthop)')) == -1)\n"
                    "KSR.msrp.reply(403, 'No')"));
    say(c, SEND);
    EXPECT(c, "MSRP s0001 403 No\nTo-Path: %C\nFrom-Path: %U\n-------s0001$\n");
    CHECK(rig_accept(&r) == NULL);
    CHECK_INT(rig_stat(&r, STAT_script_errors), 0);
    stop();
}

/* M-SEC-05: connections opened at a time for one peer are as few with a script. */
TEST(a_script_opens_no_more_connections_than_the_built_in_routing)
{
    int full = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fill[4];
    struct addr at;
    socklen_t len = sizeof at;
    char code[256];
    struct peer *c;
    struct heard h;

    CHECK_FATAL(full >= 0 && addr_from_host(&at, SV("0.0.0.0"), 0));
    CHECK_FATAL(bind(full, &at.sa, addr_len(&at)) == 0 && listen(full, 0) == 0 && getsockname(full, &at.sa, &len) == 0);
    for (size_t i = 0; i < TD_ARRAY_LEN(fill); i++) { /* it takes no more */
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        CHECK(connect(fill[i], &at.sa, addr_len(&at)) != 1);
    }
    c = start(NULL);
    snprintf(code, sizeof code, "n = (n or 1) + 1 KSR.msrp.set_dst('msrp://127.0.0.' .. n .. ':%u') if KSR.msrp.relay() > 0 then KSR.msrp.reply(200, n) end",
             addr_port(&at));
    CHECK_FATAL(use(code));
    for (int i = 0; i < 12; i++)
        say(c, SEND);
    for (int i = 0; i < 8; i++)
        CHECK_FATAL(hear(c, &h));
    EXPECT_NOTHING(c);
    CHECK_INT(rig_stat(&r, STAT_conn_open), 9);
    stop();
    for (size_t i = 0; i < TD_ARRAY_LEN(fill); i++)
        close(fill[i]);
    close(full);
}

/* KSR.msrp.forward: paths as the script says, the one-argument form with a From-Path that is one. */
TEST(a_script_forwards_with_other_paths)
{
    struct peer *c = start(NULL), *f;

    CHECK_FATAL(use("assert(KSR.msrp.forward(KSR.pv.get('$msrp(nexthop)')) == 1)"));
    say(c, SEND);
    f = rig_accept(&r);
    CHECK_FATAL(f != NULL);
    EXPECT(f, "MSRP %1 SEND\nTo-Path: %F\nFrom-Path: %U %F\n" HEADERS "\nhello\n-------%1$\n");
    r.var['1'][0] = '\0';
    CHECK_FATAL(use("KSR.msrp.set_dst(KSR.pv.get('$msrp(nexthop)'))\n"
                    "assert(KSR.msrp.forward('msrp://far.invalid:9/1;tcp ' .. KSR.pv.get('$msrp(nexthop)'), 'msrp://x.invalid:7/y;tcp msrp://z.invalid:7/z;tcp') == 1)"));
    say(c, SEND);
    EXPECT(f, "MSRP %1 SEND\nTo-Path: msrp://far.invalid:9/1;tcp %F\nFrom-Path: msrp://x.invalid:7/y;tcp msrp://z.invalid:7/z;tcp\n" HEADERS "\nhello\n-------%1$\n");
    r.var['1'][0] = '\0';
    CHECK_FATAL(use("KSR.msrp.set_dst(KSR.pv.get('$msrp(nexthop)')) assert(KSR.msrp.forward() == 1)"));
    say(c, SEND);
    EXPECT(f, "MSRP %1 SEND\nTo-Path: %U %F\nFrom-Path: %C\n" HEADERS "\nhello\n-------%1$\n");
    CHECK_INT(rig_stat(&r, STAT_script_errors), 0);
    stop();
}

/* M-FWD-16: of a message that the next hop has stopped no further chunk goes there, though a script finds the way anew for each. */
TEST(a_message_that_was_stopped_goes_no_farther_by_a_script_either)
{
    static const char chunk[] = "MSRP s000%d SEND\nTo-Path: %%U %%F\nFrom-Path: %%C\nMessage-ID: m-0001\nByte-Range: %d-*/15\nContent-Type: text/plain\n\nhello\n"
                                "-------s000%d+\n";
    struct peer *c = start(NULL), *f;
    char text[400];
    struct heard h;

    CHECK_FATAL(use("if KSR.msrp.is_request() > 0 then KSR.msrp.forward(KSR.pv.get('$msrp(nexthop)')) end"));
    snprintf(text, sizeof text, chunk, 1, 1, 1);
    say(c, text);
    f = rig_accept(&r);
    CHECK_FATAL(f != NULL && hear(f, &h));
    CHECK(sv_copy(h.tid, r.var['1'], RIG_VAR_MAX));
    say(f, "MSRP %1 413 Stop\nTo-Path: %U\nFrom-Path: %F\n-------%1$\n");
    CHECK_FATAL(hear(c, &h) && sv_eq(heard_header(&h, "Status"), SV("000 413 Stop")));
    snprintf(text, sizeof text, chunk, 2, 6, 2);
    say(c, text);
    EXPECT(c, "MSRP s0002 413 Stop\nTo-Path: %C\nFrom-Path: %U\n-------s0002$\n");
    EXPECT_NOTHING(f);
    CHECK_INT(rig_stat(&r, STAT_script_errors), 0);
    stop();
}

SUITE(script_sessions_suite, TEST_ROW(an_auth_is_judged_by_the_script_and_saved_for_who_was_authenticated),
      TEST_ROW(a_session_has_a_lifetime_within_bounds_and_somebody_it_belongs_to), TEST_ROW(the_bounds_of_cmap_save_are_configured),
      TEST_ROW(the_table_of_sessions_begins_with_the_slots_that_are_configured), TEST_ROW(the_script_runs_when_the_credentials_are_there),
      TEST_ROW(without_the_sip_view_the_frame_is_still_seen), TEST_ROW(the_session_decides_what_cmap_lookup_finds),
      TEST_ROW(a_script_sends_to_an_address_by_the_connection_that_is_there),
      TEST_ROW(a_script_opens_a_connection_from_the_socket_it_names), TEST_ROW(a_script_opens_no_door),
      TEST_ROW(a_script_opens_no_more_connections_than_the_built_in_routing), TEST_ROW(a_script_forwards_with_other_paths),
      TEST_ROW(a_message_that_was_stopped_goes_no_farther_by_a_script_either));
