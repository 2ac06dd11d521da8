/* Scripts and frames: K-EVT-01, K-PAR-01, and that a script never costs a message. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "db/cred.h"
#include "db/query.h"
#include "msrp/private.h"
#include "msrp/script.h"
#include "tests/unit/msrp/rig.h"

static struct rig r;
static struct script_shared *shared;

static const struct {
    const char *what;
    char frame;
    const char *code;
} cases[] = {
#define CASE(what, frame, code) { what, frame, code },
#include "tests/unit/msrp/script_case_tbl.h"
#undef CASE
};

/* C has the token U, F listens; no script yet. */
static struct peer *start(const char *option)
{
    static const struct script_api *const apis[] = { &msrp_script_api };
    struct buf faults = BUF_INIT;
    struct peer *c;

    rig_start(&r, option);
    CHECK_FATAL(script_shared_new(&shared, r.conf, apis, 1, &faults) == 0);
    snprintf(r.var['C'], RIG_VAR_MAX, "msrp://alice-pc.invalid:49152/a1;tcp");
    c = rig_peer(&r);
    say_auth(c, 'C', 'U');
    rig_listen(&r, 'F', 0);
    buf_fini(&faults);
    return c;
}

static void stop(void)
{
    rig_stop(&r);
    script_shared_free(&shared);
}

static bool use_file(const char *path)
{
    struct buf faults = BUF_INIT;
    bool good = true;

    free(r.conf->script.file);
    r.conf->script.file = sv_dup(sv_of(path));
    for (unsigned i = 0; i < RIG_WORKERS; i++) {
        struct script *s;

        good &= script_new(&s, shared, r.conf, &r.workers[i].stats, 1000, &faults) == 0;
        if (good) {
            script_use_db(s, (struct db *)(void *)&r, NULL); /* rig.c is the database */
            relay_set_script(r.relays[i], s, "event");
        }
    }
    if (!good)
        fprintf(stderr, "%s", faults.p ? faults.p : "");
    buf_fini(&faults);
    return good;
}

/* The body of the function that is run for each frame, in two parts. */
static bool use_with(const char *first, const char *code)
{
    char path[] = "/tmp/tandem-script-XXXXXX";
    int fd = mkstemp(path);
    bool good;

    CHECK_FATAL(fd >= 0);
    dprintf(fd, "function event(name)\nassert(name == 'msrp:frame-in')\n%s\n%s\nend\n", first, code);
    close(fd);
    good = use_file(path);
    unlink(path);
    return good;
}

static bool use(const char *code)
{
    return use_with("", code);
}

#define HEADERS "Message-ID: m-0001\nX-Two: a\nX-Two: b\nByte-Range: 1-5/5\nContent-Type: text/plain\n"
#define SEND "MSRP s0001 SEND\nTo-Path: %U %F\nFrom-Path: %C\n" HEADERS "\nhello\n-------s0001$\n"
#define AUTH "MSRP a0001 AUTH\nTo-Path: msrp://%E;tcp\nFrom-Path: %C\n" \
             "Authorization: Digest username=\"ali\\\"ce\", realm=\"tandem.example\", nonce=\"n\", response=\"r\"\n-------a0001$\n"
#define AUTH_NOTHING "MSRP a0001 AUTH\nTo-Path: %N\nFrom-Path: %C\n-------a0001$\n"
#define RESPONSE "MSRP r0001 200 All good\nTo-Path: %U %C\nFrom-Path: msrp://far.invalid:9/1;tcp msrp://far.invalid:9/2;tcp\n-------r0001$\n"

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

#define OK_SEND "MSRP s0001 200 OK\nTo-Path: %C\nFrom-Path: %U\n-------s0001$\n"
#define FORWARDED "MSRP %1 SEND\nTo-Path: %F\nFrom-Path: %U %C\n" HEADERS "\nhello\n-------%1$\n"

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

SUITE(script_suite, TEST_ROW(every_function_variable_and_transformation_has_a_case), TEST_ROW(every_name_of_the_module_guide_is_offered), TEST_ROW(every_case_runs_through),
      TEST_ROW(a_frame_for_this_server_again_is_for_the_script_again), TEST_ROW(what_a_script_has_answered_and_cannot_send_is_reported), TEST_ROW(what_a_script_accepts_ends_probation),
      TEST_ROW(a_frame_waits_for_a_query_and_its_connection_with_it_but_no_other), TEST_ROW(a_frame_that_waits_may_move), TEST_ROW(a_frame_for_this_server_again_may_wait_there),
      TEST_ROW(a_query_that_fails_is_a_result_and_one_that_never_ends_is_given_up_with_its_connection),
      TEST_ROW(a_frame_that_waits_is_decided_by_the_script_that_had_it),
      TEST_ROW(what_a_script_does_not_order_is_not_done), TEST_ROW(a_script_that_fails_leaves_the_frame_to_the_built_in_routing),
      TEST_ROW(what_a_script_had_ordered_before_it_failed_is_forgotten),
      TEST_ROW(a_script_may_leave_a_frame_to_the_built_in_routing),
      TEST_ROW(a_script_relays_with_the_transactions_and_reports_of_the_relay),
      TEST_ROW(a_script_answers_with_headers_as_it_writes_them), TEST_ROW(a_response_ends_its_transaction_even_if_the_script_does_nothing_with_it),
      TEST_ROW(a_chunk_in_pieces_is_answered_when_its_last_octet_is_there),
      TEST_ROW(a_refusal_goes_out_at_once_and_the_rest_of_the_chunk_goes_nowhere),
      TEST_ROW(what_the_sender_does_not_want_to_hear_is_not_sent), TEST_ROW(a_script_reports_what_has_failed),
      TEST_ROW(a_script_learns_that_a_connection_has_ended), TEST_ROW(flags_close_the_connection_behind_an_answer_or_a_message),
      TEST_ROW(next_hop_that_is_to_end_takes_all_that_was_read_at_once),
      TEST_ROW(an_auth_is_judged_by_the_script_and_saved_for_who_was_authenticated),
      TEST_ROW(a_session_has_a_lifetime_within_bounds_and_somebody_it_belongs_to),
      TEST_ROW(the_bounds_of_cmap_save_are_configured), TEST_ROW(the_table_of_sessions_begins_with_the_slots_that_are_configured),
      TEST_ROW(the_script_runs_when_the_credentials_are_there), TEST_ROW(without_the_sip_view_the_frame_is_still_seen),
      TEST_ROW(the_session_decides_what_cmap_lookup_finds), TEST_ROW(a_script_sends_to_an_address_by_the_connection_that_is_there),
      TEST_ROW(a_script_opens_a_connection_from_the_socket_it_names), TEST_ROW(a_script_opens_no_door),
      TEST_ROW(a_script_opens_no_more_connections_than_the_built_in_routing), TEST_ROW(a_script_forwards_with_other_paths), TEST_ROW(a_message_that_was_stopped_goes_no_farther_by_a_script_either));
