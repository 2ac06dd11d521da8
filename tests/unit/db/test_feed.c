/* Rows of traffic: written soon, lost only when they must be, never blocking. */
#include "db/feed.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/err.h"
#include "common/log.h"
#include "common/mailbox.h"
#include "db/feed_private.h"
#include "db/list.h"
#include "db/location.h"
#include "db/startup.h"
#include "tests/unit/db/dbtest.h"

static const struct db_session alice = {
    .session_id = { "tok1", 4 },
    .username = { "alice", 5 },
    .domain = { "example.com", 11 },
    .conn_id = 7,
    .peer_uri = { "msrps://a.invalid:1/x;tcp", 25 },
    .srcaddr = { "192.0.2.1:5", 11 },
    .srcsock = { "192.0.2.9:5060", 14 },
    .use_path = { "msrps://e:5060/tok1;tcp", 23 },
    .created = 1700000000,
    .expires = 1700003600,
    .last_activity = 1700000001,
    .state = DB_SESSION_ACTIVE,
    .frames_in = 1,
    .frames_out = 2,
    .bytes_in = 3,
    .bytes_out = 4,
};

TEST(a_session_is_written_and_followed_to_its_end)
{
    struct db_session s = alice;
    struct db_feed *f;
    struct db *db;

    scratch_begin();
    db = open_started();
    CHECK_INT(db_feed_new(&f, db), 0);
    db_session_put(f, &alice);
    CHECK(look_until(
        "SELECT session_id || ' ' || username || ' ' || domain || ' ' || conn_id || ' ' || peer_uri || ' ' || srcaddr "
        "|| ' ' || srcsock || ' ' || use_path || ' ' || created || ' ' || expires || ' ' || last_activity || ' ' || "
        "state || ' ' || frames_in || ' ' || frames_out || ' ' || bytes_in || ' ' || bytes_out FROM msrp_session",
        "tok1 alice example.com 7 msrps://a.invalid:1/x;tcp 192.0.2.1:5 192.0.2.9:5060 msrps://e:5060/tok1;tcp "
        "2023-11-14 22:13:20 2023-11-14 23:13:20 2023-11-14 22:13:21 active 1 2 3 4"));
    s.last_activity = 1700000100;
    s.frames_in = 10, s.frames_out = 20, s.bytes_in = 30, s.bytes_out = 40;
    s.expires = 1; /* not looked at, nor what follows */
    s.conn_id = 99;
    s.state = DB_SESSION_EXPIRED;
    db_session_counters(f, &s);
    CHECK(look_until(
        "SELECT last_activity || ' ' || frames_in || ' ' || frames_out || ' ' || bytes_in || ' ' || bytes_out FROM "
        "msrp_session",
        "2023-11-14 22:15:00 10 20 30 40"));
    s.expires = 1700007200;
    s.conn_id = 0;
    s.bytes_out = 50;
    db_session_changed(f, &s);
    CHECK(look_until("SELECT state || ' ' || expires || ' ' || conn_id || ' ' || bytes_out FROM msrp_session",
                     "active 2023-11-15 00:13:20 0 50"));
    s.state = DB_SESSION_CLOSED;
    s.expires = s.bytes_out = 1; /* not looked at */
    db_session_ended(f, &s);
    CHECK(look_until("SELECT state || ' ' || expires || ' ' || conn_id || ' ' || bytes_out FROM msrp_session",
                     "closed 2023-11-15 00:13:20 0 50"));
    db_feed_free(&f);
    db_close(&db);
    scratch_end();
}

/* M-TOK-12: the rows of two workers reach the writer in any order. */
TEST(what_was_put_before_a_session_was_resumed_changes_nothing_after_it)
{
    static const char *const all = "SELECT state || ' ' || conn_id || ' ' || expires || ' ' || frames_in || ' ' || srcaddr || ' ' || "
                                   "resumed FROM msrp_session";
    struct db_session old = alice, now = alice;
    struct db_feed *f;
    struct db *db;

    scratch_begin();
    db = open_started();
    CHECK_INT(db_feed_new(&f, db), 0);
    db_session_put(f, &old);
    now.conn_id = 9;
    now.resumed = 1;
    now.expires = 1700007200;
    now.frames_in = 11;
    now.srcaddr = SV("192.0.2.7:7");
    db_session_put(f, &now);
    old.conn_id = 0;
    old.expires = 1700000060;
    db_session_changed(f, &old);
    db_session_counters(f, &old);
    old.state = DB_SESSION_CLOSED;
    db_session_ended(f, &old);
    db_session_put(f, &old);
    CHECK(look_until(all, "active 9 2023-11-15 00:13:20 11 192.0.2.7:7 1"));
    now.resumed = 2; /* its own row was lost: what comes later tells most of it */
    now.conn_id = 12;
    now.frames_in = 12;
    db_session_changed(f, &now);
    old.resumed = 1;
    db_session_ended(f, &old);
    db_session_counters(f, &now);
    CHECK(look_until(all, "active 12 2023-11-15 00:13:20 12 192.0.2.7:7 2"));
    now.state = DB_SESSION_EXPIRED;
    db_session_ended(f, &now);
    CHECK(look_until("SELECT state FROM msrp_session", "expired"));
    db_feed_free(&f);
    db_close(&db);
    scratch_end();
}

TEST(a_connection_and_accounting_rows_are_written)
{
    const struct db_conn c = { .conn_id = 12, .protocol = SV("msrp"), .transport = SV("tls"), .peer = SV("192.0.2.1:5"),
                               .local = SV("192.0.2.9:5060"), .tls_version = SV("TLS1.3"), .opened = 1700000000 };
    const struct db_acc_msrp m = {
        SV("tok1"), SV("alice"), SV("example.com"), SV("msrp://f"), SV("msrp://t"), SV("mid"),
        99,         200,         1700000000,        1700000002
    };
    const struct db_acc a = { SV("INVITE"), SV("ft"),  SV("tt"), SV("cid"), SV("Not \"here\", it's gone"),
                              404,          1700000000, false };
    const struct db_acc none = { .method = SV("BYE"), .sip_code = 7, .time = 1700000000 };
    struct db_acc once = a;
    struct db_feed *f;
    struct db *db;

    scratch_begin();
    db = open_started();
    CHECK_INT(db_feed_new(&f, db), 0);
    db_conn_opened(f, &c);
    db_acc_msrp(f, &m);
    db_acc(f, &a);
    db_acc(f, &none);
    CHECK(look_until("SELECT conn_id || protocol || transport || peer || local || tls_version || coalesce(tls_cipher, "
                     "'-') || opened "
                     "|| coalesce(closed, '-') FROM connection",
                     "12msrptls192.0.2.1:5192.0.2.9:5060TLS1.3-2023-11-14 22:13:20-"));
    CHECK_STR(look("SELECT session_id || username || domain || from_uri || to_uri || message_id || bytes || status || "
                   "started || "
                   "finished FROM acc_msrp"),
              "tok1aliceexample.commsrp://fmsrp://tmid992002023-11-14 22:13:202023-11-14 22:13:22");
    CHECK_STR(
        look("SELECT method || from_tag || to_tag || callid || sip_code || sip_reason || time FROM acc WHERE id = 1"),
        "INVITEftttcid404Not \"here\", it's gone2023-11-14 22:13:20");
    CHECK_STR(look("SELECT sip_code FROM acc WHERE id = 2"), "007");
    once.is_once = true;
    db_acc(f, &once); /* it is there */
    once.to_tag = SV("other");
    db_acc(f, &once);
    db_acc(f, &once);
    once.sip_code = 480;
    db_acc(f, &once);
    CHECK(look_until("SELECT count(*) FROM acc WHERE sip_code = '480'", "1"));
    CHECK_STR(look("SELECT count(*) || '-' || max(id) FROM acc"), "4-4");
    db_conn_closed(f, 12, 1700000060, SV("closed by the peer"), 1000, 2000);
    CHECK(look_until("SELECT closed || close_reason || bytes_in || bytes_out FROM connection",
                     "2023-11-14 22:14:20closed by the peer10002000"));
    db_feed_free(&f);
    db_close(&db);
    scratch_end();
}

/* Through 180 years by steps that meet every day of the year, and where the calendar is odd. */
TEST(a_time_is_written_as_sqlite_itself_would)
{
    static const int64_t odd[] = { 0, 86399, 951782399, 951782400, 951868800, 4107542399, 4107542400, 253402300799, 253402300800 };
    struct db_feed *f;
    struct db *db;
    int n = 0;

    scratch_begin();
    db = open_started();
    CHECK_INT(db_feed_new(&f, db), 0);
    for (int64_t t = 1; t < (int64_t)180 * 365 * 86400; t += 23 * 86400 + 3607, n++)
        db_acc_msrp(f, &(struct db_acc_msrp){ .bytes = (uint64_t)t, .started = t });
    for (size_t i = 0; i < TD_ARRAY_LEN(odd); i++, n++)
        db_acc_msrp(f, &(struct db_acc_msrp){ .bytes = (uint64_t)odd[i], .started = odd[i] });
    db_feed_free(&f);
    db_close(&db);
    CHECK_INT(look_number("SELECT count(*) FROM acc_msrp"), n);
    CHECK_INT(look_number("SELECT count(*) FROM acc_msrp WHERE started IS NOT datetime(bytes, 'unixepoch')"), 0);
    scratch_end();
}

TEST(a_row_is_visible_to_others_within_a_second)
{
    const struct db_acc a = { .method = SV("BYE"), .sip_code = 200, .time = 1700000000 };
    struct timespec t0, t1;
    struct db_feed *f;
    struct db *db;

    scratch_begin();
    db = open_started();
    CHECK_INT(db_feed_new(&f, db), 0);
    usleep(300000); /* the writer sleeps by now */
    clock_gettime(CLOCK_MONOTONIC, &t0);
    db_acc(f, &a);
    CHECK(look_until("SELECT count(*) FROM acc", "1"));
    clock_gettime(CLOCK_MONOTONIC, &t1);
    CHECK((t1.tv_sec - t0.tv_sec) * 1000 + (t1.tv_nsec - t0.tv_nsec) / 1000000 < 1000);
    db_feed_free(&f);
    db_close(&db);
    scratch_end();
}

TEST(texts_are_data_and_long_ones_are_cut)
{
    static char big[DB_TEXT_MAX + 100];
    struct db_acc_msrp m = { .session_id = SV("'; DROP TABLE acc_msrp; --"), .status = 200 };
    struct db_feed *f;
    struct db *db;

    memset(big, 'x', sizeof big);
    m.to_uri = sv_make(big, sizeof big);
    m.from_uri = sv_make(big, DB_TEXT_MAX);
    scratch_begin();
    db = open_started();
    CHECK_INT(db_feed_new(&f, db), 0);
    db_acc_msrp(f, &m);
    db_feed_free(&f);
    db_close(&db); /* writes what waits */
    CHECK_STR(look("SELECT session_id || length(from_uri) || ' ' || length(to_uri) FROM acc_msrp"),
              "'; DROP TABLE acc_msrp; --2048 2048");
    scratch_end();
}

enum { PER_THREAD = 4000, THREADS = 3 };

static void *produce(void *arg)
{
    struct db_feed *f = arg;

    for (int i = 0; i < PER_THREAD; i++) {
        const struct db_acc_msrp m = {
            .session_id = SV("s"), .bytes = (uint64_t)i, .status = 200, .started = 1, .finished = 2
        };

        db_acc_msrp(f, &m);
        if (i % 500 == 0)
            usleep(1000);
    }
    db_feed_free(&f);
    return NULL;
}

TEST(many_threads_write_while_another_program_reads)
{
    struct stats sum = { 0 };
    pthread_t t[THREADS];
    long last = 0;
    struct db *db;

    scratch_begin();
    db = open_started();
    for (int i = 0; i < THREADS; i++) {
        struct db_feed *f;

        CHECK_INT(db_feed_new(&f, db), 0);
        pthread_create(&t[i], NULL, produce, f);
    }
    for (int i = 0; i < 300 && last < PER_THREAD * THREADS; i++) {
        long count = look_number("SELECT count(*) FROM acc_msrp");

        CHECK(count >= last); /* -1 on an error */
        last = count;
        usleep(5000);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    db_stop(db);
    CHECK_STR(look("SELECT count(*) || ' ' || sum(bytes) FROM acc_msrp"), "12000 23994000");
    CHECK_STR(look("PRAGMA integrity_check"), "ok");
    db_stats_add(db, &sum);
    CHECK_INT(sum.v[STAT_db_rows_written], PER_THREAD * THREADS);
    CHECK_INT(sum.v[STAT_db_rows_lost], 0);
    db_close(&db);
    scratch_end();
}

static void put_acc(struct db_feed *f, int n)
{
    const struct db_acc_msrp m = { .session_id = SV("a-session-identifier-of-usual-length"), .status = 200 };

    for (int i = 0; i < n; i++)
        db_acc_msrp(f, &m);
}

TEST(a_full_queue_loses_accounting_first_and_counts_it)
{
    struct stats sum = { 0 };
    struct db_feed *f;
    struct db *db;
    struct db_session s = alice;
    uint64_t acc_rows;

    scratch_begin();
    struct buf why = BUF_INIT;

    CHECK_INT(db_open(&db, scratch_file(), &why), 0); /* not started: nobody empties the queue */
    CHECK_INT(db_feed_new(&f, db), 0);
    put_acc(f, 60000);
    db_stats_add(db, &sum);
    CHECK(sum.v[STAT_db_rows_lost] > 0);
    acc_rows = 60000 - sum.v[STAT_db_rows_lost];
    CHECK(f->ring.tail_pos <= FEED_SIZE / 4 * 3 + 1024);
    /* There is still room for what opens and closes things. */
    db_session_put(f, &s);
    s.state = DB_SESSION_CLOSED;
    db_session_ended(f, &s);
    memset(&sum, 0, sizeof sum);
    db_stats_add(db, &sum);
    CHECK_INT(60000 - sum.v[STAT_db_rows_lost], acc_rows);
    CHECK_INT(db_start(db), 0);
    CHECK(look_until("SELECT state FROM msrp_session", "closed"));
    db_feed_free(&f);
    db_close(&db);
    CHECK_INT(look_number("SELECT count(*) FROM acc_msrp"), acc_rows);
    scratch_end();
    buf_fini(&why);
}

static void note_err(int err, void *arg)
{
    *(int *)arg = err ? err : 1;
}

static int try_location(struct db *db, struct mailbox *mb, const char *ruid)
{
    const struct db_location l = { .ruid = sv_of(ruid), .username = SV("alice"), .domain = SV("example.com"),
                                   .contact = SV("sip:a@192.0.2.1"), .expires = 1, .callid = SV("c"), .methods = -1 };
    struct db_loc_set *set = db_loc_begin(db);
    int done = 0;

    db_loc_put(set, &l);
    db_loc_commit(set, mb, note_err, &done);
    mail_until(mb, &done);
    return done;
}

/* Registrations without a pause, as after the power was back in a town: each group is there before the last one is on disk. */
TEST(rows_do_not_wait_for_an_end_of_the_registrations)
{
    enum { SETS = 5000 };
    struct mailbox *mb;
    struct db_feed *f;
    struct db *db;

    scratch_begin();
    db = open_started();
    CHECK_INT(db_feed_new(&f, db), 0);
    CHECK_INT(mailbox_new(&mb), 0);
    change("CREATE TABLE seen (acc_rows); CREATE TRIGGER last AFTER INSERT ON location WHEN NEW.ruid = 'last' "
           "BEGIN INSERT INTO seen SELECT count(*) FROM acc_msrp; END");
    for (int i = 0; i < SETS; i++) {
        char ruid[16];
        struct db_location l = { .username = SV("alice"), .domain = SV("example.com"), .contact = SV("sip:a@192.0.2.1"),
                                 .expires = 1, .callid = SV("c"), .methods = -1 };
        struct db_loc_set *set = db_loc_begin(db);

        snprintf(ruid, sizeof ruid, "r%d", i);
        l.ruid = sv_of(ruid);
        db_loc_put(set, &l);
        db_loc_commit(set, NULL, NULL, NULL);
        if (i == SETS / 10)
            put_acc(f, 25000); /* more than half of the queue: not to be waited with */
    }
    CHECK_INT(try_location(db, mb, "last"), 1);
    CHECK(look_number("SELECT acc_rows FROM seen") > 0);
    db_feed_free(&f);
    db_close(&db);
    CHECK_INT(look_number("SELECT count(*) FROM acc_msrp"), 25000);
    mailbox_free(&mb);
    scratch_end();
}

/* In a process of its own: files may not grow any more, then they may again. Exit status 0: all as it should be. */
static int disk_fails_and_comes_back(void)
{
    struct rlimit tight = { 4096, RLIM_INFINITY }, wide = { RLIM_INFINITY, RLIM_INFINITY };
    struct stats sum = { 0 };
    struct timespec t0, t1;
    struct mailbox *mb;
    struct db_feed *f;
    struct db *db = open_started();

    if (mailbox_new(&mb) || db_feed_new(&f, db))
        return 2;
    log_set_level(LOG_LEVEL_ERROR);
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &tight);
    if (try_location(db, mb, "r1") >= 0) /* refused with an error, not dropped, not waiting */
        return 3;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    db_session_put(f, &alice);
    put_acc(f, 60000); /* more than the queue holds */
    clock_gettime(CLOCK_MONOTONIC, &t1);
    if (t1.tv_sec - t0.tv_sec > 1) /* and traffic goes on */
        return 4;
    usleep(500000);
    db_stats_add(db, &sum);
    if (sum.v[STAT_db_rows_lost] == 0 || sum.v[STAT_db_errors] == 0)
        return 5;
    setrlimit(RLIMIT_FSIZE, &wide);
    if (try_location(db, mb, "r2") != 1)
        return 6;
    if (!look_until("SELECT state FROM msrp_session", "active")) /* it waited meanwhile */
        return 7;
    db_feed_free(&f);
    db_close(&db);
    mailbox_free(&mb);
    return look_number("SELECT count(*) FROM acc_msrp") == (long)(60000 - sum.v[STAT_db_rows_lost]) ? 0 : 8;
}

TEST(a_failing_disk_stops_no_traffic_and_all_goes_on_when_it_is_back)
{
    int status;
    pid_t pid;

    scratch_begin();
    fflush(stdout);
    pid = fork();
    if (pid == 0)
        _exit(disk_fails_and_comes_back());
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
    scratch_end();
}

TEST(a_row_that_cannot_be_stored_does_not_hold_up_the_others)
{
    const struct db_acc a = { .method = SV("BYE"), .sip_code = 200, .time = 1700000000 };
    struct stats sum = { 0 };
    struct db_feed *f;
    struct db *db;

    scratch_begin();
    db = open_started();
    CHECK_INT(db_feed_new(&f, db), 0);
    change("DROP TABLE acc_msrp");
    put_acc(f, 2);
    db_acc(f, &a);
    CHECK(look_until("SELECT count(*) FROM acc", "1"));
    db_stop(db);
    db_stats_add(db, &sum);
    CHECK_INT(sum.v[STAT_db_rows_lost], 2);
    CHECK_INT(sum.v[STAT_db_rows_written], 1);
    db_feed_free(&f);
    db_close(&db);
    scratch_end();
}

struct seen {
    int n;
    char first[64];
    int64_t expires;
};

static bool see_session(const struct db_session *s, void *arg)
{
    struct seen *seen = arg;

    if (seen->n++ == 0) {
        sv_copy(s->session_id, seen->first, sizeof seen->first);
        seen->expires = s->expires;
    }
    CHECK(s->state == DB_SESSION_ACTIVE && s->created == 1700000000 && s->bytes_out == 4);
    return !sv_eq(s->session_id, SV("unwanted"));
}

static bool see_conn(const struct db_conn *c, void *arg)
{
    struct seen *seen = arg;

    if (seen->n++ == 0)
        seen->expires = (int64_t)c->conn_id;
    return seen->n < 2;
}

/* M-TOK-12 */
TEST(a_start_after_a_crash_closes_stale_connections_and_takes_over_live_sessions)
{
    struct buf why = BUF_INIT;
    struct seen seen = { 0 };
    struct db_reader *r;
    struct db *db;
    uint64_t max = 99;

    scratch_begin();
    CHECK_INT(db_open(&db, scratch_file(), &why), 0);
    CHECK_INT(db_conn_max_id(db, &max), 0);
    CHECK_INT(max, 0);
    CHECK_INT(db_start(db), 0);
    {
        struct db_session s = alice;
        struct db_conn c = { .conn_id = 41, .opened = 1700000000 };
        struct db_feed *f;

        CHECK_INT(db_feed_new(&f, db), 0);
        db_session_put(f, &s);
        s.session_id = SV("old");
        s.expires = 1700000500;
        db_session_put(f, &s);
        s.session_id = SV("soon");
        s.expires = 1700001030;
        db_session_put(f, &s);
        s.session_id = SV("unwanted");
        s.expires = 1700001020;
        db_session_put(f, &s);
        s.session_id = SV("shut");
        s.expires = 1700009999;
        s.state = DB_SESSION_CLOSED;
        db_session_put(f, &s);
        db_conn_opened(f, &c);
        c.conn_id = 42;
        db_conn_opened(f, &c);
        db_conn_closed(f, 42, 1700000001, SV("closed by the peer"), 1, 1);
        db_feed_free(&f);
    }
    db_close(&db);

    CHECK_INT(db_open(&db, scratch_file(), &why), 0);
    CHECK_INT(db_conn_max_id(db, &max), 0);
    CHECK_INT(max, 42);
    CHECK_INT(db_conn_close_stale(db, 1700001000), 0);
    CHECK_STR(look("SELECT closed || ' ' || close_reason FROM connection WHERE conn_id = 41"),
              "2023-11-14 22:30:00 the server was not stopped cleanly");
    CHECK_STR(look("SELECT closed || ' ' || close_reason FROM connection WHERE conn_id = 42"),
              "2023-11-14 22:13:21 closed by the peer");
    CHECK_INT(db_session_take_over(db, 1700001000, 1700001060, see_session, &seen), 0);
    CHECK_INT(seen.n, 3);
    CHECK_STR(seen.first, "tok1");
    CHECK_INT(seen.expires, 1700001060);
    CHECK_STR(look("SELECT group_concat(session_id || ' ' || state || ' ' || conn_id || ' ' || expires, ', ') FROM "
                   "(SELECT * FROM msrp_session ORDER BY session_id)"),
              "old expired 7 2023-11-14 22:21:40, shut closed 7 2023-11-15 00:59:59, soon active 0 2023-11-14 22:30:30, "
              "tok1 active 0 2023-11-14 22:31:00, unwanted closed 7 2023-11-14 22:30:20");
    CHECK_INT(db_reader_new(&r, db), 0);
    seen = (struct seen){ 0 };
    CHECK_INT(db_list_connections(r, 10, see_conn, &seen), 0);
    CHECK_INT(seen.n, 2);
    CHECK_INT(seen.expires, 42); /* newest first */
    seen = (struct seen){ 0 };
    CHECK_INT(db_list_sessions(r, true, 10, see_session, &seen), 0);
    CHECK_INT(seen.n, 2);
    db_reader_free(&r);
    db_close(&db);
    scratch_end();
    buf_fini(&why);
}

SUITE(feed_suite, TEST_ROW(a_session_is_written_and_followed_to_its_end),
      TEST_ROW(what_was_put_before_a_session_was_resumed_changes_nothing_after_it),
      TEST_ROW(a_connection_and_accounting_rows_are_written), TEST_ROW(a_time_is_written_as_sqlite_itself_would),
      TEST_ROW(a_row_is_visible_to_others_within_a_second),
      TEST_ROW(texts_are_data_and_long_ones_are_cut), TEST_ROW(many_threads_write_while_another_program_reads),
      TEST_ROW(a_full_queue_loses_accounting_first_and_counts_it),
      TEST_ROW(rows_do_not_wait_for_an_end_of_the_registrations), TEST_ROW(a_failing_disk_stops_no_traffic_and_all_goes_on_when_it_is_back),
      TEST_ROW(a_row_that_cannot_be_stored_does_not_hold_up_the_others),
      TEST_ROW(a_start_after_a_crash_closes_stale_connections_and_takes_over_live_sessions));
