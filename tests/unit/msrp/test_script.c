/* Scripts and frames: K-EVT-01, K-PAR-01, and that a script never costs a message. */
#include "tests/unit/msrp/script_rig.h"

static const struct {
    const char *what;
    char frame;
    const char *code;
} cases[] = {
#define CASE(what, frame, code) { what, frame, code },
#include "tests/unit/msrp/script_case_tbl.h"
#undef CASE
};

static bool has_case(const char *what)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(cases); i++)
        if (strcmp(cases[i].what, what) == 0)
            return true;
    fprintf(stderr, "no case for %s\n", what);
    return false;
}

TEST(every_function_variable_and_transformation_has_a_case)
{
    const struct script_api *a = &msrp_script_api;
    char what[128];

    for (size_t i = 0; i < a->n_funcs; i++) {
        snprintf(what, sizeof what, "KSR.%s.%s", a->funcs[i].module, a->funcs[i].name);
        CHECK(has_case(what));
    }
    for (size_t i = 0; i < a->n_vars; i++) {
        const struct script_var *v = &a->vars[i];

        snprintf(what, sizeof what, v->key && !*v->key ? "$%s" : "$%s(%s)", v->class_, v->key ? v->key : v->param);
        CHECK(has_case(what));
    }
    for (size_t i = 0; i < a->n_trans; i++) {
        snprintf(what, sizeof what, "{%s.%s%s}", a->trans[i].class_, a->trans[i].name, a->trans[i].params);
        CHECK(has_case(what));
    }
}

TEST(every_case_runs_through)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(cases); i++) {
        struct peer *c = start(NULL);
        int64_t runs, errors;

        CHECK_FATAL(use_with("KSR.pv.sets('$var(u)', 'MSRPS://joe:pw@[2001:db8::1]:99/a/b;tcp;x=y;z')", cases[i].code));
        say(c, cases[i].frame == 'S' ? SEND : cases[i].frame == 'A' ? AUTH : cases[i].frame == 'N' ? AUTH_NOTHING : RESPONSE);
        rig_turn(&r);
        runs = rig_stat(&r, STAT_script_runs);
        errors = rig_stat(&r, STAT_script_errors);
        if (runs != 1 || errors != 0)
            fprintf(stderr, "%s: %s\n", cases[i].what, cases[i].code);
        CHECK(runs == 1 && errors == 0);
        stop();
    }
}

/* K-EVT-01: nothing is relayed or answered unless the script does it; what follows is a frame of its own. */
TEST(what_a_script_does_not_order_is_not_done)
{
    struct peer *c = start(NULL);

    CHECK_FATAL(use(""));
    say(c, SEND SEND AUTH);
    EXPECT_NOTHING(c);
    CHECK(rig_accept(&r) == NULL);
    CHECK_INT(rig_stat(&r, STAT_script_runs), 3);
    stop();
}

/* K-EVT-01: a script that ends in an error: the built-in routing handles that frame, once, whatever had been
 * ordered. */
TEST(a_script_that_fails_leaves_the_frame_to_the_built_in_routing)
{
    static const char *const ways[] = {
        "error('x')", "KSR.msrp.reply(403, 'No') error('x')", "KSR.msrp.relay() KSR.msrp.reply(200, 'OK') error('x')", "while true do end",
        "KSR.msrp.relay() local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end", "local n = 'tm' KSR[n].t_relay()",
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(ways); i++) {
        struct peer *c = start(NULL), *f;

        CHECK_FATAL(use(ways[i]));
        say(c, SEND);
        EXPECT(c, OK_SEND);
        f = rig_accept(&r);
        CHECK_FATAL(f != NULL);
        EXPECT(f, FORWARDED);
        EXPECT_NOTHING(f);
        EXPECT_NOTHING(c);
        CHECK_INT(rig_stat(&r, STAT_script_errors), 1);
        stop();
    }
}

/* K-EVT-01: nor is what it had ordered done for the next frame. */
TEST(what_a_script_had_ordered_before_it_failed_is_forgotten)
{
    struct peer *c = start(NULL), *f;

    CHECK_FATAL(use("if KSR.pv.get('$msrp(method)') == 'SEND' then KSR.msrp.reply(403, 'No') error('x') end"));
    say(c, SEND);
    EXPECT(c, OK_SEND);
    f = rig_accept(&r);
    CHECK_FATAL(f != NULL);
    EXPECT(f, FORWARDED);
    say(c, AUTH);
    EXPECT_NOTHING(c);
    CHECK_INT(rig_stat(&r, STAT_script_errors), 1);
    stop();
}

/* K-PAR-01 K-PAR-02 K-PAR-03 K-PAR-04: what the guide to Kamailio's module msrp names is there, whatever the tables say: parameters, event, functions, keys, parts. */
TEST(every_name_of_the_module_guide_is_offered)
{
    static char p1[] = "msrp.sipmsg=1", p2[] = "msrp.cmap_size=8", p3[] = "msrp.timer_interval=90", p4[] = "msrp.auth_min_expires=90",
                p5[] = "msrp.auth_max_expires=1800", p6[] = "msrp.use_path_addr=msrp.example.org:5061", p7[] = "msrp.event_callback=ksr_msrp_event", p8[] = "script.file=x.lua";
    char *parameters[] = { p1, p2, p3, p4, p5, p6, p7, p8 };
    struct buf faults = BUF_INIT;
    struct conf *conf;
    struct peer *c = start(NULL);

    CHECK_INT(conf_load(&conf, NULL, parameters, TD_ARRAY_LEN(parameters), &faults), 0);
    conf_free(&conf);
    buf_fini(&faults);
    CHECK_FATAL(use("for f in ('relay reply is_request is_reply set_dst relay_flags reply_flags cmap_save cmap_lookup forward'):gmatch('%S+') do\n"
                    " assert(type(KSR.msrp[f]) == 'function') end\n"
                    "for key in ('buf body code hdrs msgid conid method buflen sessid reason crthop bodylen transid prevhop nexthop lasthop srcaddr srcsock '\n"
                    " .. 'firsthop prevhops nexthops'):gmatch('%S+') do KSR.pv.get('$msrp(' .. key .. ')') end\n"
                    "for part in ('user host port session proto userinfo params scheme'):gmatch('%S+') do\n"
                    " assert(not KSR.pv.is_null('$(msrp(crthop){msrpuri.' .. part .. '})')) end\n"
                    "KSR.msrp.reply(200, 'OK')"));
    say(c, SEND);
    EXPECT(c, OK_SEND);
    CHECK_INT(rig_stat(&r, STAT_script_errors), 0);
    stop();
}

TEST(a_script_may_leave_a_frame_to_the_built_in_routing)
{
    struct peer *c = start(NULL), *f;

    CHECK_FATAL(use("KSR.msrp.reply(403, 'No') KSR.msrp.default()"));
    say(c, SEND);
    EXPECT(c, OK_SEND);
    f = rig_accept(&r);
    CHECK_FATAL(f != NULL);
    EXPECT(f, FORWARDED);
    EXPECT_NOTHING(c);
    CHECK_INT(rig_stat(&r, STAT_script_errors), 0);
    stop();
}

TEST(a_script_relays_with_the_transactions_and_reports_of_the_relay)
{
    struct peer *c = start(NULL), *f;

    CHECK_FATAL(use("if KSR.msrp.is_reply() > 0 then KSR.msrp.relay() return end\n"
                    "assert(KSR.msrp.cmap_lookup() == 1) KSR.msrp.reply(200, 'Fine', 'X-Note: a') KSR.msrp.relay()"));
    say(c, SEND);
    EXPECT(c, "MSRP s0001 200 Fine\nTo-Path: %C\nFrom-Path: %U\nX-Note: a\n-------s0001$\n");
    f = rig_accept(&r);
    CHECK_FATAL(f != NULL);
    EXPECT(f, FORWARDED);
    say(f, "MSRP %1 415 No text\nTo-Path: %U\nFrom-Path: %F\n-------%1$\n");
    EXPECT(c, "MSRP %2 REPORT\nTo-Path: %C\nFrom-Path: %U\nMessage-ID: m-0001\nByte-Range: 1-5/5\nStatus: 000 415 No text\n-------%2$\n");
    stop();
}

/* The last of the headers may lack its CRLF; a response needs no text. With a way and without one. */
TEST(a_script_answers_with_headers_as_it_writes_them)
{
    static const char *const headers[] = { "", "X-A: 1", "X-A: 1\\r\\n", "X-A: 1\\r\\nX-B: 2", "X-A: 1\\r\\nX-B: 2\\r\\n" };
    struct peer *c = start(NULL);

    for (size_t i = 0; i < TD_ARRAY_LEN(headers) * 2; i++) {
        const char *lines = headers[i / 2];
        char code[200], want[200];

        snprintf(code, sizeof code, "%s KSR.msrp.reply(488, '%s', '%s')", i & 1 ? "KSR.msrp.cmap_lookup()" : "", i < 4 ? "" : "No", lines);
        snprintf(want, sizeof want, "MSRP s0001 488%s\nTo-Path: %%C\nFrom-Path: %%U\n%s%s-------s0001$\n", i < 4 ? "" : " No", *lines ? "X-A: 1\n" : "",
                 strstr(lines, "X-B") ? "X-B: 2\n" : "");
        CHECK_FATAL(use(code));
        say(c, SEND);
        EXPECT(c, want);
    }
    CHECK_INT(rig_stat(&r, STAT_script_errors), 0);
    stop();
}

TEST(a_response_ends_its_transaction_even_if_the_script_does_nothing_with_it)
{
    struct peer *c = start(NULL), *f;

    CHECK_FATAL(use("if KSR.msrp.is_request() > 0 then KSR.msrp.relay() end"));
    say(c, SEND);
    f = rig_accept(&r);
    CHECK_FATAL(f != NULL);
    EXPECT(f, FORWARDED);
    say(f, "MSRP %1 200 OK\nTo-Path: %U\nFrom-Path: %F\n-------%1$\n");
    rig_pass(&r, 40000);
    EXPECT_NOTHING(c);
    CHECK_INT(rig_stat(&r, STAT_msrp_timeouts), 0);
    /* one that goes back to somebody (M-FWD-34) is the script's to pass on */
    say(c, "MSRP n0001 NICKNAME\nTo-Path: %U %F\nFrom-Path: %C\n-------n0001$\n");
    EXPECT(f, "MSRP %3 NICKNAME\nTo-Path: %F\nFrom-Path: %U %C\n-------%3$\n");
    say(f, "MSRP %3 200 OK\nTo-Path: %U %C\nFrom-Path: %F\n-------%3$\n");
    EXPECT_NOTHING(c);
    stop();
}

/* RFC 4975 s.7.2: a 2xx says that all of the chunk is there. */
TEST(a_chunk_in_pieces_is_answered_when_its_last_octet_is_there)
{
    struct peer *c = start(NULL), *f;
    static char part[3000];
    struct heard h;

    memset(part, 'x', sizeof part);
    CHECK_FATAL(use("KSR.msrp.reply(200, 'Late') KSR.msrp.relay()"));
    say(c, "MSRP s0001 SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0001\nByte-Range: 1-*/9000\nContent-Type: text/plain\n\n");
    say_bytes(c, part, sizeof part);
    say_bytes(c, part, sizeof part);
    EXPECT_NOTHING(c);
    f = rig_accept(&r);
    CHECK_FATAL(f != NULL);
    say_bytes(c, part, sizeof part);
    EXPECT_NOTHING(c);
    say(c, "\n-------s0001$\n");
    EXPECT(c, "MSRP s0001 200 Late\nTo-Path: %C\nFrom-Path: %U\n-------s0001$\n");
    CHECK_FATAL(hear(f, &h));
    CHECK_INT(rig_stat(&r, STAT_script_runs), 1);
    /* and when it goes nowhere */
    CHECK_FATAL(use("KSR.msrp.reply(200, 'Late')"));
    say(c, "MSRP s0002 SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0002\nByte-Range: 1-*/9000\nContent-Type: text/plain\n\n");
    say_bytes(c, part, sizeof part);
    EXPECT_NOTHING(c);
    say(c, "\n-------s0002$\n");
    EXPECT(c, "MSRP s0002 200 Late\nTo-Path: %C\nFrom-Path: %U\n-------s0002$\n");
    stop();
}

TEST(a_refusal_goes_out_at_once_and_the_rest_of_the_chunk_goes_nowhere)
{
    struct peer *c = start(NULL);
    static char part[3000];

    memset(part, 'x', sizeof part);
    CHECK_FATAL(use("KSR.msrp.reply(413, 'Too much')"));
    say(c, "MSRP s0001 SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0001\nByte-Range: 1-*/9000\nContent-Type: text/plain\n\n");
    say_bytes(c, part, sizeof part);
    EXPECT(c, "MSRP s0001 413 Too much\nTo-Path: %C\nFrom-Path: %U\n-------s0001$\n");
    say_bytes(c, part, sizeof part);
    say(c, "\n-------s0001$\n" AUTH);
    EXPECT(c, "MSRP a0001 413 Too much\nTo-Path: %C\nFrom-Path: msrp://%E;tcp\n-------a0001$\n");
    EXPECT_NOTHING(c);
    CHECK_INT(rig_stat(&r, STAT_script_runs), 2);
    stop();
}

/* M-REP-05, RFC 4975 s.7.1.2: what the sender has declined is not sent. */
TEST(what_the_sender_does_not_want_to_hear_is_not_sent)
{
    struct peer *c = start(NULL);

    CHECK_FATAL(use("local code = KSR.pv.get('$msrp(msgid)') == 'm-bad' and 400 or 200\n"
                    "assert(KSR.msrp.reply(code, 'x') == (KSR.pv.get('$msrp(method)') == 'REPORT' and -1 or 1))"));
    say(c, "MSRP s0001 SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-bad\nFailure-Report: no\n-------s0001$\n");
    say(c, "MSRP s0002 SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-good\nFailure-Report: partial\n-------s0002$\n");
    say(c, "MSRP s0003 REPORT\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-bad\nByte-Range: 1-5/5\nStatus: 000 200\n-------s0003$\n");
    EXPECT_NOTHING(c);
    say(c, "MSRP s0004 SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-bad\nFailure-Report: partial\n-------s0004$\n");
    EXPECT(c, "MSRP s0004 400 x\nTo-Path: %C\nFrom-Path: %U\n-------s0004$\n");
    CHECK_INT(rig_stat(&r, STAT_script_errors), 0);
    stop();
}

#define REPORTED(tid, from, range) "MSRP " tid " REPORT\nTo-Path: %C\nFrom-Path: " from "\nMessage-ID: m-0001\n" range "Status: 000 408 Downstream transaction timed out\n-------" tid "$\n"

/* M-COD-01: what cannot be delivered is taken all the same, and reported. RFC 4975 s.7.1.2: unless nobody wants to hear
 * it. */
TEST(a_script_reports_what_has_failed)
{
    struct peer *c = start(NULL);
    static char part[3000];

    memset(part, 'x', sizeof part);
    CHECK_FATAL(use("KSR.msrp.report(408) assert(KSR.msrp.reply(200, 'OK') == 1)"));
    say(c, SEND);
    EXPECT(c, OK_SEND);
    EXPECT(c, REPORTED("%2", "%U", "Byte-Range: 1-5/5\n"));
    say(c, "MSRP s0002 SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-no\nFailure-Report: no\n-------s0002$\n");
    EXPECT_NOTHING(c);
    CHECK_FATAL(use("assert(KSR.msrp.report(500, KSR.pv.get('$msrp(lasthop)')) == 1)\n" /* the last one counts */
                    "assert(KSR.msrp.report(408, KSR.pv.get('$msrp(crthop)') .. ' ' .. KSR.pv.get('$msrp(lasthop)')) == 1)"));
    say(c, SEND);
    EXPECT(c, REPORTED("%3", "%U %F", "Byte-Range: 1-5/5\n"));
    /* a chunk that is still coming is answered at once, as it goes nowhere; what comes behind it is a frame again */
    CHECK_FATAL(use("KSR.msrp.reply(200, 'OK') assert(KSR.msrp.report(408) == 1)"));
    say(c, "MSRP s0001 SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0001\nByte-Range: 1-*/9000\nContent-Type: text/plain\n\n");
    say_bytes(c, part, sizeof part);
    EXPECT(c, OK_SEND);
    EXPECT(c, REPORTED("%4", "%U", "Byte-Range: 1-0/9000\n"));
    say(c, "\n-------s0001$\n" SEND);
    EXPECT(c, OK_SEND);
    EXPECT(c, REPORTED("%5", "%U", "Byte-Range: 1-5/5\n"));
    EXPECT_NOTHING(c);
    /* nor does its connection wait, when it is to be closed behind that */
    CHECK_FATAL(use("KSR.msrp.reply_flags(2) KSR.msrp.reply(200, 'OK') assert(KSR.msrp.report(408) == 1)"));
    say(c, "MSRP s0001 SEND\nTo-Path: %U %F\nFrom-Path: %C\nMessage-ID: m-0001\nByte-Range: 1-*/9000\nContent-Type: text/plain\n\n");
    say_bytes(c, part, sizeof part);
    EXPECT(c, OK_SEND);
    EXPECT(c, REPORTED("%6", "%U", "Byte-Range: 1-0/9000\n"));
    EXPECT_END(c);
    CHECK(rig_accept(&r) == NULL);
    CHECK_INT(rig_stat(&r, STAT_script_errors), 0);
    stop();
}

/* What KSR.tcpops knows, whatever worker has it. */
TEST(a_script_learns_that_a_connection_has_ended)
{
    struct peer *c = start("script.htable=t=>size=4"), *x = rig_peer(&r);

    CHECK_FATAL(use("if KSR.pv.is_null('$sht(t=>id)') then KSR.pv.seti('$sht(t=>id)', KSR.pv.get('$msrp(conid)')) end\n"
                    "KSR.msrp.reply(KSR.tcpops.tcp_conid_alive(KSR.pv.get('$sht(t=>id)')) > 0 and 403 or 481, 'x')"));
    say(x, SEND);
    EXPECT(x, "MSRP s0001 403 x\nTo-Path: %C\nFrom-Path: %U\n-------s0001$\n");
    say(c, SEND);
    EXPECT(c, "MSRP s0001 403 x\nTo-Path: %C\nFrom-Path: %U\n-------s0001$\n");
    peer_close(x);
    rig_turn(&r);
    say(c, SEND);
    EXPECT(c, "MSRP s0001 481 x\nTo-Path: %C\nFrom-Path: %U\n-------s0001$\n");
    stop();
}

TEST(flags_close_the_connection_behind_an_answer_or_a_message)
{
    struct peer *c = start(NULL), *f, *x = rig_peer(&r);

    CHECK_FATAL(use("KSR.msrp.relay_flags(2) assert(KSR.msrp.relay() == 1)"));
    say(c, SEND);
    f = rig_accept(&r);
    CHECK_FATAL(f != NULL);
    EXPECT(f, FORWARDED);
    EXPECT_NOTHING(f);
    say(f, "MSRP %1 200 OK\nTo-Path: %U\nFrom-Path: %F\n-------%1$\n");
    EXPECT_END(f);
    EXPECT_NOTHING(c);
    CHECK_FATAL(use("KSR.msrp.reply_flags(2) assert(KSR.msrp.reply(403, 'Go') == 1)"));
    say(x, SEND SEND);
    EXPECT(x, "MSRP s0001 403 Go\nTo-Path: %C\nFrom-Path: %U\n-------s0001$\n");
    EXPECT_END(x);
    CHECK_INT(rig_stat(&r, STAT_script_errors), 0);
    stop();
}

/* What is asked about a next hop must not end it: all that comes in one read reaches a connection that ends with it. */
TEST(next_hop_that_is_to_end_takes_all_that_was_read_at_once)
{
    enum { N = 40, BODY = 1000 };
    struct peer *c = start("msrp.buffer=16k"), *f;
    struct buf b = BUF_INIT;
    struct heard h;

    say(c, SEND);
    f = rig_accept(&r);
    CHECK_FATAL(f != NULL);
    EXPECT(f, FORWARDED);
    say(f, "MSRP %1 200 OK\nTo-Path: %U\nFrom-Path: %F\n-------%1$\n");
    EXPECT(c, "MSRP s0001 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------s0001$\n");
    CHECK_FATAL(use("KSR.msrp.relay_flags(2) assert(KSR.msrp.relay() == 1)"));
    for (int i = 0; i < N; i++)
        buf_printf(&b, "MSRP n%03d SEND\r\nTo-Path: %s %s\r\nFrom-Path: %s\r\nMessage-ID: m-%03d\r\nFailure-Report: no\r\n"
                   "Content-Type: a/b\r\n\r\n%0*d\r\n-------n%03d$\r\n", i, r.var['U'], r.var['F'], r.var['C'], i, BODY, i, i);
    say_bytes(c, b.p, b.n);
    for (int i = 0; i < N; i++)
        CHECK_FATAL(hear(f, &h) && h.body.n == BODY);
    EXPECT_END(f);
    EXPECT_NOTHING(c);
    buf_fini(&b);
    stop();
}

/* M-CON-03: a request that a script accepts is an accepted one; without any, the fifth refusal is the last. */
TEST(what_a_script_accepts_ends_probation)
{
    struct peer *c = start(NULL), *x = rig_peer(&r);

    CHECK_FATAL(use("KSR.msrp.reply(KSR.pv.get('$msrp(method)') == 'AUTH' and 200 or 403, 'x')"));
    say(x, AUTH);
    EXPECT(x, "MSRP a0001 200 x\nTo-Path: %C\nFrom-Path: msrp://%E;tcp\n-------a0001$\n");
    for (int i = 0; i < 6; i++) {
        say(x, SEND);
        EXPECT(x, "MSRP s0001 403 x\nTo-Path: %C\nFrom-Path: %U\n-------s0001$\n");
    }
    EXPECT_NOTHING(x);
    peer_close(c);
    c = rig_peer(&r);
    for (int i = 0; i < 5; i++) {
        say(c, SEND);
        EXPECT(c, "MSRP s0001 403 x\nTo-Path: %C\nFrom-Path: %U\n-------s0001$\n");
    }
    EXPECT_END(c);
    stop();
}

SUITE(script_suite, TEST_ROW(every_function_variable_and_transformation_has_a_case), TEST_ROW(every_case_runs_through),
      TEST_ROW(what_a_script_does_not_order_is_not_done), TEST_ROW(a_script_that_fails_leaves_the_frame_to_the_built_in_routing),
      TEST_ROW(what_a_script_had_ordered_before_it_failed_is_forgotten), TEST_ROW(every_name_of_the_module_guide_is_offered),
      TEST_ROW(a_script_may_leave_a_frame_to_the_built_in_routing),
      TEST_ROW(a_script_relays_with_the_transactions_and_reports_of_the_relay), TEST_ROW(a_script_answers_with_headers_as_it_writes_them),
      TEST_ROW(a_response_ends_its_transaction_even_if_the_script_does_nothing_with_it),
      TEST_ROW(a_chunk_in_pieces_is_answered_when_its_last_octet_is_there),
      TEST_ROW(a_refusal_goes_out_at_once_and_the_rest_of_the_chunk_goes_nowhere),
      TEST_ROW(what_the_sender_does_not_want_to_hear_is_not_sent), TEST_ROW(a_script_reports_what_has_failed),
      TEST_ROW(a_script_learns_that_a_connection_has_ended), TEST_ROW(flags_close_the_connection_behind_an_answer_or_a_message),
      TEST_ROW(next_hop_that_is_to_end_takes_all_that_was_read_at_once), TEST_ROW(what_a_script_accepts_ends_probation));
