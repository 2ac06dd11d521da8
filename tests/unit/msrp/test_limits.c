/* The limits of the relay: the defaults, and each on the wire at its limit and one past it. Those of parsers are also
 * in test_head.c, test_uri.c, test_forward.c (bodies), those of tokens, buffers and nonces in test_session.c,
 * test_resume.c, test_bounds.c and auth's test_nonce.c. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "msrp/private.h"
#include "tests/unit/msrp/rig.h"

static struct rig r;
static struct peer *c, *d;

static void start(const char *option)
{
    rig_start(&r, option);
    c = rig_client(&r, 'C', 'U');
    d = rig_client(&r, 'D', 'V');
}

static void expect_start(struct peer *p, const char *text)
{
    struct heard h;

    CHECK_FATAL(hear(p, &h));
    if (!sv_starts(h.start, sv_of(text))) {
        fprintf(stderr, "expected %s, heard " SV_FMT "\n", text, SV_ARG(h.start));
        CHECK(false);
    }
}

/* Section 23: what an operator has who sets nothing. */
TEST(defaults_are_those_of_the_specification)
{
    struct buf faults = BUF_INIT;
    struct conf *conf;

    CHECK_FATAL(conf_load(&conf, NULL, NULL, 0, &faults) == 0);
    CHECK_INT(conf->msrp.max_header, 16 * 1024);
    CHECK_INT(MSRP_LINE_MAX, 8 * 1024);
    CHECK_INT(MSRP_HEADERS_MAX, 64);
    CHECK_INT(MSRP_URI_MAX, 1024);
    CHECK_INT(MSRP_PATH_MAX, 16);
    CHECK_INT(MSRP_OTHER_BODY_MAX, 10240);
    CHECK_INT(conf->msrp.max_message, 0);
    CHECK_INT(WORKER_READ_SIZE, 64 * 1024);
    CHECK_INT(conf->msrp.buffer, 1024 * 1024);
    CHECK_INT(conf->msrp.auth_min_expires, 60);
    CHECK_INT(conf->msrp.auth_max_expires, 3600);
    CHECK_INT(conf->limits.sessions_per_connection, 1000);
    CHECK_INT(conf->limits.sessions_per_user, 2000);
    CHECK_INT(conf->auth.max_failures, 5);
    CHECK_INT(conf->auth.nonce_first_use, 60);
    CHECK_INT(conf->auth.nonce_lifetime, 900);
    conf_free(&conf);
    buf_fini(&faults);
}

/* A SEND whose start line and headers, end-line included, have so many bytes, in lines of no more than 8 KiB. */
static void say_head_of(size_t size)
{
    struct buf b = BUF_INIT;
    size_t rest;

    buf_printf(&b, "MSRP big00001 SEND\r\nTo-Path: %s %s %s\r\nFrom-Path: %s\r\nMessage-ID: m-0001\r\n", r.var['U'], r.var['V'], r.var['D'], r.var['C']);
    for (rest = size - b.n - strlen("-------big00001$\r\n"); rest > 8000; rest -= 8000)
        buf_printf(&b, "X: %07995d\r\n", 0);
    buf_printf(&b, "X: %0*d\r\n-------big00001$\r\n", (int)rest - 5, 0);
    CHECK_INT(b.n, size);
    say_bytes(c, b.p, b.n);
    buf_fini(&b);
}

/* M-FRM-20, M-SEC-04: 16 KiB of a start line and headers pass; with one octet more the framing is lost, which the
 * sender is told. msrp.max_header moves that, as far as its own bounds, and a reload, too. */
TEST(start_line_and_headers_may_have_16_kilobytes_or_what_is_configured)
{
    static const struct {
        const char *option;
        size_t most;
    } rows[] = { { NULL, 16384 }, { "msrp.max_header=2k", 2048 }, { "msrp.max_header=32k", 32768 } };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct heard h;

        start(rows[i].option);
        say_head_of(rows[i].most);
        expect_start(c, "MSRP big00001 200 ");
        CHECK_FATAL(hear(d, &h));
        CHECK(h.all.n > rows[i].most - 200);
        say_head_of(rows[i].most + 1);
        expect_start(c, "MSRP big00001 400 ");
        EXPECT_END(c);
        EXPECT_NOTHING(d);
        rig_stop(&r);
    }
}

/* M-FRM-20, M-SEC-04: 64 headers, the two paths among them. */
TEST(frame_may_have_64_headers)
{
    for (int more = 0; more <= 1; more++) {
        struct buf b = BUF_INIT;
        struct heard h;

        start(NULL);
        buf_printf(&b, "MSRP many0001 SEND\r\nTo-Path: %s %s %s\r\nFrom-Path: %s\r\nMessage-ID: m-0001\r\n", r.var['U'], r.var['V'], r.var['D'], r.var['C']);
        for (int i = 3; i < 64 + more; i++)
            buf_printf(&b, "X-%d: y\r\n", i);
        buf_puts(&b, "-------many0001$\r\n");
        say_bytes(c, b.p, b.n);
        expect_start(c, more ? "MSRP many0001 400 " : "MSRP many0001 200 ");
        CHECK(hear_more(d, &h) == !more);
        if (more)
            EXPECT_END(c);
        rig_stop(&r);
        buf_fini(&b);
    }
}

/* M-URI-01, M-FWD-13: a URI of 1 KiB is read, a longer one is 400; 16 URIs in a path are judged (403: only relays may
 * name more than one), 17 are 400. The connection lives. */
TEST(uri_may_have_a_kilobyte_and_a_path_16_uris)
{
    struct buf b = BUF_INIT;

    start(NULL);
    for (int more = 0; more <= 1; more++) {
        static const char head[] = "msrp://f.invalid:9/";

        buf_clear(&b);
        buf_printf(&b, "MSRP long0001 SEND\r\nTo-Path: %s %s %s\r\nFrom-Path: %s%0*d;tcp\r\nMessage-ID: m-0001\r\n-------long0001$\r\n", r.var['U'],
                   r.var['V'], r.var['D'], head, 1024 + more - (int)strlen(head) - 4, 0);
        say_bytes(c, b.p, b.n);
        expect_start(c, more ? "MSRP long0001 400 " : "MSRP long0001 200 ");
    }
    for (int more = 0; more <= 1; more++) {
        buf_clear(&b);
        buf_printf(&b, "MSRP path0001 SEND\r\nTo-Path: %s %s %s\r\nFrom-Path: %s", r.var['U'], r.var['V'], r.var['D'], r.var['C']);
        for (int i = 1; i < 16 + more; i++)
            buf_printf(&b, " msrp://h%d.invalid:9/x;tcp", i);
        buf_puts(&b, "\r\nMessage-ID: m-0001\r\n-------path0001$\r\n");
        say_bytes(c, b.p, b.n);
        expect_start(c, more ? "MSRP path0001 400 " : "MSRP path0001 403 ");
    }
    say(c, "MSRP good0001 SEND\nTo-Path: %U\nFrom-Path: %C\nMessage-ID: m-0001\n-------good0001$\n");
    expect_start(c, "MSRP good0001 200 ");
    rig_stop(&r);
    buf_fini(&b);
}

static struct conn *conn_of(const struct peer *p, char token)
{
    struct msrp_uri u;
    struct session *s;
    struct conn *at;

    CHECK_FATAL(msrp_uri_parse(&u, sv_of(r.var[(int)token])));
    s = session_find(r.shared->sessions, u.session);
    CHECK_FATAL(s != NULL);
    at = conn_deref(p->worker, s->owner);
    session_unref(&s);
    CHECK_FATAL(at != NULL);
    return at;
}

/* M-FLOW-01, M-SEC-03: of a source that waits no more is kept than one read and what was there before it, however often
 * it sends and is looked at; the rest is in the system's buffers, hence its own concern. */
TEST(what_is_read_and_not_taken_is_no_more_than_one_read)
{
    char *octets = calloc(1, 65536);
    struct conn *from, *to;
    size_t most = 0;
    struct buf b = BUF_INIT;

    CHECK_FATAL(octets != NULL);
    start("msrp.buffer=16k");
    from = conn_of(c, 'U');
    to = conn_of(d, 'V');
    while (conn_queued(to) == 0) {
        conn_write(to, octets, 65536);
        conn_flush(to);
        rig_wait(&r, 1); /* the system may have been busy, and take more now */
    }
    conn_write(to, octets, 65536);
    for (int i = 0; i < 2000; i++) {
        buf_printf(&b, "MSRP t%06d SEND\r\nTo-Path: %s %s %s\r\nFrom-Path: %s\r\nMessage-ID: m-0001\r\nFailure-Report: no\r\nContent-Type: a/b\r\n\r\n", i,
                   r.var['U'], r.var['V'], r.var['D'], r.var['C']);
        add_octets(&b, 2000);
        buf_printf(&b, "\r\n-------t%06d$\r\n", i);
    }
    for (size_t at = 0, idle = 0; at < b.n && idle < 20; idle++) {
        size_t n = push(c, b.p + at, TD_MIN(b.n - at, (size_t)50000));

        at += n;
        idle = n ? 0 : idle;
        most = TD_MAX(most, (size_t)from->kept_n);
        conn_resume(from, CONN_PAUSE_FLOW); /* it looks again, and waits again */
        rig_turn(&r);
        most = TD_MAX(most, (size_t)from->kept_n);
    }
    CHECK(from->pauses != 0);
    CHECK(most > 0 && most <= WORKER_READ_SIZE + 16384);
    rig_stop(&r);
    buf_fini(&b);
    free(octets);
}

/* M-AUTH-20, M-AUTH-22: who asks for no lifetime gets the longest; the shortest may be asked for. */
TEST(lifetime_is_the_longest_when_none_is_asked_for)
{
    struct heard h;

    start(NULL);
    say(c, "MSRP life0001 AUTH\nTo-Path: msrp://%E;tcp\nFrom-Path: %C\n-------life0001$\n");
    CHECK_FATAL(hear(c, &h));
    CHECK(sv_eq(heard_header(&h, "Expires"), SV("3600")));
    say(c, "MSRP life0002 AUTH\nTo-Path: msrp://%E;tcp\nFrom-Path: %C\nExpires: 60\n-------life0002$\n");
    CHECK_FATAL(hear(c, &h));
    CHECK(sv_eq(heard_header(&h, "Expires"), SV("60")));
    rig_stop(&r);
}

/* M-CON-11, M-TOK-10, M-TOK-12: tokens of a connection, as configured; there is room again when one has ended. Another
 * connection of the same user has its own. */
TEST(tokens_of_a_connection_are_as_many_as_configured)
{
    struct msrp_uri u;
    struct session *s;
    struct peer *x;

    start("limits.sessions_per_connection=3");
    say_auth(c, 'C', 'W');
    say_auth(c, 'C', 'X');
    say(c, "MSRP more0001 AUTH\nTo-Path: msrp://%E;tcp\nFrom-Path: %C\n-------more0001$\n");
    expect_start(c, "MSRP more0001 403 ");
    CHECK_INT(rig_stat(&r, STAT_sessions_refused), 1);
    x = rig_client(&r, 'Y', 'Z');
    CHECK(x != NULL);
    CHECK_FATAL(msrp_uri_parse(&u, sv_of(r.var['W'])));
    s = session_find(r.shared->sessions, u.session);
    CHECK_FATAL(s != NULL);
    session_end(s, SESSION_EXPIRED);
    session_unref(&s);
    say(c, "MSRP more0002 AUTH\nTo-Path: msrp://%E;tcp\nFrom-Path: %C\n-------more0002$\n");
    expect_start(c, "MSRP more0002 200 ");
    x = rig_client(&r, 'C', 'V'); /* nor does it take up one more that was given on another */
    peer_close(x);
    say(c, "MSRP more0003 AUTH\nTo-Path: %V\nFrom-Path: %C\n-------more0003$\n");
    expect_start(c, "MSRP more0003 403 ");
    x = rig_peer(&r);
    say(x, "MSRP more0004 AUTH\nTo-Path: %V\nFrom-Path: %C\n-------more0004$\n");
    expect_start(x, "MSRP more0004 200 ");
    rig_stop(&r);
}

/* M-AUTH-17: failed attempts of a connection, as configured. */
TEST(failed_attempts_of_a_connection_are_as_many_as_configured)
{
    start("auth.max_failures=2");
    r.verdict = AUTHN_CHALLENGE;
    for (int i = 1; i <= 2; i++) {
        say(c, "MSRP fail0001 AUTH\nTo-Path: msrp://%E;tcp\nFrom-Path: %C\nAuthorization: Digest x\n-------fail0001$\n");
        expect_start(c, "MSRP fail0001 401 ");
        if (i == 1)
            EXPECT_NOTHING(c);
    }
    EXPECT_END(c);
    rig_stop(&r);
}

SUITE(limits_suite, TEST_ROW(defaults_are_those_of_the_specification), TEST_ROW(start_line_and_headers_may_have_16_kilobytes_or_what_is_configured),
      TEST_ROW(frame_may_have_64_headers), TEST_ROW(uri_may_have_a_kilobyte_and_a_path_16_uris), TEST_ROW(what_is_read_and_not_taken_is_no_more_than_one_read),
      TEST_ROW(lifetime_is_the_longest_when_none_is_asked_for), TEST_ROW(tokens_of_a_connection_are_as_many_as_configured),
      TEST_ROW(failed_attempts_of_a_connection_are_as_many_as_configured));
