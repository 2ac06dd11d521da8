/* Scripts that run once more for a frame that is for this server again, and those that wait for the database. */
#include "db/query.h"
#include "tests/unit/msrp/script_rig.h"

/* What the database has found: one number. */
static void answer_query(int64_t n)
{
    struct db_rows *rows = malloc(sizeof *rows + 2 * sizeof rows->cells[0]);

    CHECK_FATAL(rows != NULL && r.queried != NULL);
    *rows = (struct db_rows){ 1, 1, sizeof *rows + 2 * sizeof rows->cells[0] };
    rows->cells[0] = (struct db_cell){ DB_TEXT, 0, SV("n") };
    rows->cells[1] = (struct db_cell){ DB_INT, n, { 0 } };
    r.queried(0, "", rows, r.queried_arg);
}

/* Each client has a session of the script's: guide, first example. */
#define TABLE_ROUTES \
    "local id, method = KSR.pv.gete('$msrp(sessid)'), KSR.pv.get('$msrp(method)')\n" \
    "if KSR.msrp.is_reply() > 0 then return KSR.msrp.relay() end\n" \
    "if method == 'SAVE' then KSR.pv.sets('$sht(t=>' .. id .. '::addr)', KSR.pv.get('$msrp(srcaddr)')) return KSR.msrp.reply(200, 'OK') end\n" \
    "if KSR.pv.get('$msrp(nexthops)') > 1 then\n" \
    " if method == 'SEND' then KSR.msrp.reply(200, 'OK') end assert(KSR.msrp.relay() == 1 and KSR.msrp.relay() == -1) return end\n"

static void save(struct peer *p, const char *id, const char *uri)
{
    char text[300];

    snprintf(text, sizeof text, "MSRP save1 SAVE\nTo-Path: msrp://%%E/%s;tcp\nFrom-Path: %s\n-------save1$\n", id, uri);
    say(p, text);
    snprintf(text, sizeof text, "MSRP save1 200 OK\nTo-Path: %s\nFrom-Path: msrp://%%E/%s;tcp\n-------save1$\n", uri, id);
    EXPECT(p, text);
}

#define D_URI "msrp://d.invalid:1/d;tcp"
#define PATHS_CD "To-Path: msrp://%E/one;tcp msrp://%E/two;tcp " D_URI "\nFrom-Path: %C\n"

/* K-EVT-01: relay to the next hop that is this server again; there Kamailio sends the frame to itself. */
TEST(a_frame_for_this_server_again_is_for_the_script_again)
{
    struct peer *c = start("script.htable=t=>size=4"), *d = rig_peer(&r);

    CHECK_FATAL(use(TABLE_ROUTES
                    "assert(KSR.msrp.cmap_lookup() == -4 and KSR.msrp.relay() == -1 and KSR.msrp.forward('msrp://x.invalid:9/x;tcp') == -1)\n"
                    "assert(KSR.pv.get('$msrp(prevhops)') == 2 and KSR.pv.get('$msrp(nexthop)') == KSR.pv.get('$msrp(lasthop)'))\n"
                    "assert(KSR.hdr.get('To-Path') == KSR.pv.get('$msrp(crthop)') .. ' ' .. KSR.pv.get('$msrp(lasthop)'))\n"
                    "assert(KSR.hdr.get('From-Path') == KSR.pv.get('$msrp(prevhop)') .. ' ' .. KSR.pv.get('$msrp(firsthop)'))\n"
                    "if method == 'SEND' then\n"
                    " assert(KSR.pv.get('$msrp(hdrs)') == 'To-Path: ' .. KSR.hdr.get('To-Path') .. '\\r\\nFrom-Path: ' .. KSR.hdr.get('From-Path') ..\n"
                    "  '\\r\\nMessage-ID: m-0001\\r\\nX-Two: a\\r\\nX-Two: b\\r\\nByte-Range: 1-5/5\\r\\nContent-Type: text/plain\\r\\n')\n"
                    " assert(KSR.pv.get('$msrp(body)') == 'hello' and KSR.pv.get('$(hdr(X-Two)[1])') == 'b' and KSR.msrp.reply(200, 'OK') == 1) end\n"
                    "KSR.msrp.relay_flags(1) KSR.msrp.set_dst(KSR.pv.gete('$sht(t=>' .. id .. '::addr)'))\n"
                    "assert(KSR.msrp.relay() == 1)"));
    save(c, "one", "%C");
    save(d, "two", D_URI);
    for (int i = 0; i < 2; i++) {
        say(c, "MSRP s0001 SEND\n" PATHS_CD HEADERS "\nhello\n-------s0001$\n");
        EXPECT(c, "MSRP s0001 200 OK\nTo-Path: %C\nFrom-Path: msrp://%E/one;tcp\n-------s0001$\n");
        EXPECT(d, "MSRP %1 SEND\nTo-Path: " D_URI "\nFrom-Path: msrp://%E/two;tcp msrp://%E/one;tcp %C\n" HEADERS "\nhello\n-------%1$\n");
        say(d, "MSRP %1 415 No\nTo-Path: msrp://%E/two;tcp\nFrom-Path: " D_URI "\n-------%1$\n");
        EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: msrp://%E/one;tcp msrp://%E/two;tcp\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 415 No\n-------%2$\n");
        r.var['1'][0] = r.var['2'][0] = '\0';
    }
    /* and a REPORT on the way back */
    say(d, "MSRP d0002 REPORT\nTo-Path: msrp://%E/two;tcp msrp://%E/one;tcp %C\nFrom-Path: " D_URI "\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 200 OK\n-------d0002$\n");
    EXPECT(c, "MSRP %1 REPORT\nTo-Path: %C\nFrom-Path: msrp://%E/one;tcp msrp://%E/two;tcp " D_URI "\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 200 OK\n-------%1$\n");
    EXPECT_NOTHING(d);
    CHECK_INT(rig_stat(&r, STAT_script_errors), 0);
    stop();
}

/* What was answered is not lost in silence: refused there, or forgotten, or for which there is no way at all. */
TEST(what_a_script_has_answered_and_cannot_send_is_reported)
{
    static const struct {
        const char *script, *status;
    } ways[] = {
        { TABLE_ROUTES "KSR.msrp.reply(403, 'No')", "403 Forbidden" },
        { TABLE_ROUTES "KSR.msrp.reply(200, 'OK')", "481 No such session" },
        { TABLE_ROUTES "KSR.msrp.reply(200, 'OK') assert(KSR.msrp.set_dst('msrp://10.0.0.1:5') == 1 and KSR.msrp.relay() == -1)", "403 Forbidden" },
        { "KSR.msrp.reply(200, 'OK') assert(KSR.msrp.set_dst('msrp://10.0.0.1:5') == 1 and KSR.msrp.relay() == -1)", "403 Forbidden" },
        { "KSR.msrp.reply(200, 'OK') assert(KSR.msrp.forward('msrp://10.0.0.1:5/x;tcp') == -1)", "403 Forbidden" },
    };
    struct peer *c = start("script.htable=t=>size=4");

    for (size_t i = 0; i < TD_ARRAY_LEN(ways); i++) {
        char report[400];

        CHECK_FATAL(use(ways[i].script));
        say(c, "MSRP s0001 SEND\n" PATHS_CD HEADERS "\nhello\n-------s0001$\n");
        EXPECT(c, "MSRP s0001 200 OK\nTo-Path: %C\nFrom-Path: msrp://%E/one;tcp\n-------s0001$\n");
        snprintf(report, sizeof report, "MSRP %%2 REPORT\nTo-Path: %%C\nFrom-Path: msrp://%%E/one;tcp\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 %s\n-------%%2$\n", ways[i].status);
        EXPECT(c, report);
        r.var['2'][0] = '\0';
        say(c, "MSRP s0002 SEND\n" PATHS_CD "Message-ID: m-0002\nFailure-Report: no\n-------s0002$\n");
        EXPECT_NOTHING(c);
    }
    /* once, not from there on again: three of ours in one path are one too many */
    CHECK_FATAL(use("KSR.msrp.reply(200, 'OK') assert(KSR.msrp.relay() == (KSR.pv.get('$msrp(prevhops)') == 1 and 1 or -1))"));
    say(c, "MSRP s0005 SEND\nTo-Path: msrp://%E/one;tcp msrp://%E/two;tcp msrp://%E/three;tcp " D_URI "\nFrom-Path: %C\n" HEADERS "\nhello\n-------s0005$\n");
    EXPECT(c, "MSRP s0005 200 OK\nTo-Path: %C\nFrom-Path: msrp://%E/one;tcp\n-------s0005$\n");
    EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: msrp://%E/one;tcp\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 481 No such session\n-------%2$\n");
    /* what has come to its end is none of that: it keeps a connection open, say */
    CHECK_FATAL(use("KSR.msrp.reply(200, 'OK') assert(KSR.msrp.relay() == -1)"));
    say(c, "MSRP s0004 SEND\nTo-Path: %U\nFrom-Path: %C\nMessage-ID: m-0004\n-------s0004$\n");
    EXPECT(c, "MSRP s0004 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------s0004$\n");
    EXPECT_NOTHING(c);
    /* one that fails there has done nothing: the built-in routing knows no such session */
    CHECK_FATAL(use(TABLE_ROUTES "error('there')"));
    say(c, "MSRP s0003 SEND\n" PATHS_CD HEADERS "\nhello\n-------s0003$\n");
    EXPECT(c, "MSRP s0003 481 No such session\nTo-Path: %C\nFrom-Path: msrp://%E/one;tcp\n-------s0003$\n");
    EXPECT_NOTHING(c);
    CHECK_INT(rig_stat(&r, STAT_script_errors), 1);
    stop();
}

#define ASKS "if KSR.msrp.is_reply() > 0 then return KSR.msrp.relay() end local id = KSR.pv.get('$msrp(transid)')\n" \
             "if id:find('s') then assert(KSR.sqlops.sql_query('ca', 'select n from t where id = $msrp(transid)', 'r') == 1) end\n"

/* A frame that waits for the database holds up its connection alone, and goes on where it was; what follows keeps its
 * order. */
TEST(a_frame_waits_for_a_query_and_its_connection_with_it_but_no_other)
{
    struct peer *c = start(NULL), *x = rig_peer(&r);

    CHECK_FATAL(use(ASKS "KSR.msrp.reply(403, KSR.pv.gete('$dbr(r=>[0,0])') .. id)"));
    say(c, SEND "MSRP t0002 SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0002\n-------t0002$\n" SEND);
    EXPECT_NOTHING(c);
    say(x, "MSRP x0001 SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0001\n-------x0001$\n");
    EXPECT(x, "MSRP x0001 403 x0001\nTo-Path: %C\nFrom-Path: %U\n-------x0001$\n");
    CHECK_INT(rig_stat(&r, STAT_script_runs), 2);
    answer_query(7);
    EXPECT(c, "MSRP s0001 403 7s0001\nTo-Path: %C\nFrom-Path: %U\n-------s0001$\n");
    EXPECT(c, "MSRP t0002 403 t0002\nTo-Path: %C\nFrom-Path: %U\n-------t0002$\n");
    EXPECT(c, "MSRP s0001 403 7s0001\nTo-Path: %C\nFrom-Path: %U\n-------s0001$\n"); /* it is remembered */
    CHECK_INT(rig_stat(&r, STAT_script_runs), 4);
    CHECK_INT(rig_stat(&r, STAT_script_errors), 0);
    stop();
}

/* The frame may lie elsewhere when the run goes on; what was found before is still known. */
TEST(a_frame_for_this_server_again_may_wait_there)
{
    struct peer *c = start("script.htable=t=>size=4"), *d = rig_peer(&r);

    CHECK_FATAL(use(TABLE_ROUTES "assert(KSR.sqlops.sql_query('ca', 'select 1', 'r') == 1)\n"
                    "assert(id == 'two' and KSR.pv.get('$msrp(prevhops)') == 2 and KSR.hdr.get('Message-ID') == 'm-0001')\n"
                    "KSR.msrp.set_dst(KSR.pv.get('$sht(t=>two::addr)')) KSR.msrp.relay()"));
    save(d, "two", D_URI);
    say(c, "MSRP s0001 SEND\n" PATHS_CD HEADERS "\nhello\n-------s0001$\n");
    EXPECT_NOTHING(c);
    answer_query(1);
    EXPECT(c, "MSRP s0001 200 OK\nTo-Path: %C\nFrom-Path: msrp://%E/one;tcp\n-------s0001$\n");
    EXPECT(d, "MSRP %1 SEND\nTo-Path: " D_URI "\nFrom-Path: msrp://%E/two;tcp msrp://%E/one;tcp %C\n" HEADERS "\nhello\n-------%1$\n");
    CHECK_INT(rig_stat(&r, STAT_script_errors), 0);
    stop();
}

TEST(a_frame_that_waits_may_move)
{
    static char part[3000];
    struct peer *c = start(NULL), *f;
    struct heard h;

    memset(part, 'x', sizeof part);
    CHECK_FATAL(use("if KSR.msrp.is_reply() > 0 then return KSR.msrp.relay() end\n"
                    "local before = KSR.pv.get('$msrp(buflen)') assert(KSR.msrp.cmap_lookup() == 1)\n"
                    "assert(KSR.sqlops.sql_query('ca', 'select 1', 'r') == 1)\n"
                    "assert(KSR.pv.get('$msrp(buflen)') >= before and KSR.pv.get('$msrp(msgid)') == 'm-0001' and KSR.pv.get('$msrp(nexthops)') == 1)\n"
                    "KSR.msrp.reply(200, 'Late') KSR.msrp.relay()"));
    say(c, "MSRP s0001 SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0001\nByte-Range: 1-*/6000\nContent-Type: text/plain\n\n");
    say_bytes(c, part, 100);
    EXPECT_NOTHING(c);
    say_bytes(c, part, sizeof part);
    answer_query(1);
    say_bytes(c, part, sizeof part - 100);
    say(c, "\n-------s0001$\n");
    EXPECT(c, "MSRP s0001 200 Late\nTo-Path: %C\nFrom-Path: %U\n-------s0001$\n");
    f = rig_accept(&r);
    CHECK_FATAL(f != NULL && hear(f, &h));
    CHECK_INT(rig_stat(&r, STAT_script_errors), 0);
    stop();
}

TEST(a_query_that_fails_is_a_result_and_one_that_never_ends_is_given_up_with_its_connection)
{
    struct peer *c = start(NULL), *x = rig_peer(&r);

    CHECK_FATAL(use("KSR.msrp.reply(403, KSR.sqlops.sql_query('ca', 'select 1', 'r'))"));
    say(c, SEND);
    rig_turn(&r);
    CHECK_FATAL(r.queried != NULL);
    r.queried(-1, "took longer than 500 ms", NULL, r.queried_arg);
    EXPECT(c, "MSRP s0001 403 -1\nTo-Path: %C\nFrom-Path: %U\n-------s0001$\n");
    r.queried = NULL;
    say(x, SEND);
    rig_turn(&r);
    CHECK_FATAL(r.queried != NULL);
    say(c, SEND); /* as it goes on, the script that is replaced goes with its last run */
    rig_turn(&r);
    CHECK_FATAL(use("KSR.msrp.reply(404, 'New')"));
    say(c, AUTH);
    EXPECT_NOTHING(c);
    stop();
    CHECK(r.queried == NULL);
}

/* A script that is taken away or replaced while a frame waits still decides about that frame. */
TEST(a_frame_that_waits_is_decided_by_the_script_that_had_it)
{
    struct peer *c = start(NULL), *f;

    CHECK_FATAL(use("KSR.msrp.reply(403, KSR.sqlops.sql_query('ca', 'select 1', 'r'))"));
    say(c, SEND SEND);
    rig_turn(&r);
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        relay_set_script(r.relays[i], NULL, "");
    answer_query(1);
    EXPECT(c, "MSRP s0001 403 1\nTo-Path: %C\nFrom-Path: %U\n-------s0001$\n");
    EXPECT(c, OK_SEND);
    f = rig_accept(&r);
    CHECK_FATAL(f != NULL);
    EXPECT(f, FORWARDED);
    EXPECT_NOTHING(c);
    stop();
}

SUITE(script_waits_suite, TEST_ROW(a_frame_for_this_server_again_is_for_the_script_again),
      TEST_ROW(what_a_script_has_answered_and_cannot_send_is_reported),
      TEST_ROW(a_frame_waits_for_a_query_and_its_connection_with_it_but_no_other), TEST_ROW(a_frame_for_this_server_again_may_wait_there),
      TEST_ROW(a_frame_that_waits_may_move),
      TEST_ROW(a_query_that_fails_is_a_result_and_one_that_never_ends_is_given_up_with_its_connection),
      TEST_ROW(a_frame_that_waits_is_decided_by_the_script_that_had_it));
