/* Registrations: atomic, answered after they are on the disk, and still there after a kill. */
#include "db/location.h"

#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/err.h"
#include "db/list.h"
#include "tests/unit/db/dbtest.h"

static struct db_location binding(const char *ruid, const char *user)
{
    return (struct db_location){
        .ruid = sv_of(ruid),
        .username = sv_of(user),
        .domain = SV("example.com"),
        .contact = SV("sip:a@192.0.2.1:5060;ob"),
        .received = SV("sip:198.51.100.7:4000;transport=tls"),
        .path = SV("<sip:p1;lr>,<sip:p2;lr>"),
        .expires = 2000000000,
        .q = 0.5,
        .callid = SV("cid@x"),
        .cseq = 17,
        .last_modified = 1700000000,
        .flags = 1,
        .cflags = 2,
        .user_agent = SV("UA/1"),
        .socket = SV("tls:192.0.2.9:5061"),
        .methods = 8191,
        .instance = SV("<urn:uuid:1>"),
        .reg_id = 1,
        .server_id = 3,
        .connection_id = 44,
        .keepalive = 1,
        .partition = 5,
    };
}

static void note(int err, void *arg)
{
    *(int *)arg = err ? err : 1;
}

static int commit(struct db_loc_set *set, struct mailbox *mb)
{
    int done = 0;

    db_loc_commit(set, mb, note, &done);
    CHECK(mail_until(mb, &done));
    return done;
}

struct found {
    int n;
    char text[4096];
    int64_t methods, expires;
    double q;
};

static bool find(const struct db_location *l, void *arg)
{
    struct found *f = arg;

    f->n++;
    f->methods = l->methods;
    f->expires = l->expires;
    f->q = l->q;
    snprintf(f->text, sizeof f->text,
             SV_FMT " " SV_FMT " " SV_FMT " " SV_FMT " " SV_FMT " " SV_FMT " " SV_FMT " %lld " SV_FMT " " SV_FMT
                    " " SV_FMT " %lld",
             SV_ARG(l->ruid), SV_ARG(l->username), SV_ARG(l->domain), SV_ARG(l->contact), SV_ARG(l->received),
             SV_ARG(l->path), SV_ARG(l->callid), (long long)l->cseq, SV_ARG(l->user_agent), SV_ARG(l->socket),
             SV_ARG(l->instance), (long long)l->connection_id);
    return true;
}

static const char every_column[] = "SELECT ruid || ' ' || username || ' ' || domain || ' ' || contact || ' ' || "
                                   "received || ' ' || path || ' ' || expires || ' ' || "
                                   "q || ' ' || callid || ' ' || cseq || ' ' || last_modified || ' ' || flags || ' ' "
                                   "|| cflags || ' ' || user_agent || ' ' || socket "
                                   "|| ' ' || methods || ' ' || instance || ' ' || reg_id || ' ' || server_id || ' ' "
                                   "|| connection_id || ' ' || keepalive || ' ' || "
                                   "\"partition\" FROM location";

/* S-REG-12 */
TEST(a_binding_is_on_disk_when_it_is_answered_and_comes_back_at_start)
{
    struct db_location l = binding("u1", "alice");
    struct db_loc_set *set;
    struct found f = { 0 };
    struct db_reader *r;
    struct mailbox *mb;
    struct db *db;

    scratch_begin();
    db = open_started();
    CHECK_INT(mailbox_new(&mb), 0);
    set = db_loc_begin(db);
    db_loc_put(set, &l);
    CHECK_INT(commit(set, mb), 1);
    CHECK_STR(
        look(every_column),
        "u1 alice example.com sip:a@192.0.2.1:5060;ob sip:198.51.100.7:4000;transport=tls <sip:p1;lr>,<sip:p2;lr> "
        "2033-05-18 03:33:20 0.5 cid@x 17 2023-11-14 22:13:20 1 2 UA/1 tls:192.0.2.9:5061 8191 <urn:uuid:1> 1 3 44 1 "
        "5");
    /* The same ruid again is an update. */
    l.cseq = 18;
    l.methods = -1;
    l.path = SV("");
    l.q = -1;
    set = db_loc_begin(db);
    db_loc_put(set, &l);
    CHECK_INT(commit(set, mb), 1);
    CHECK_STR(look("SELECT count(*) || ' ' || cseq || ' ' || (methods IS NULL) || (path IS NULL) FROM location"),
              "1 18 11");
    /* So is a refresh, and one of a row that somebody has deleted brings it back. */
    l.cseq = 19;
    l.path = SV("<sip:p3;lr>");
    for (int i = 0; i < 2; i++) {
        set = db_loc_begin(db);
        db_loc_refresh(set, &l);
        CHECK_INT(commit(set, mb), 1);
        CHECK_STR(look("SELECT count(*) || ' ' || cseq || ' ' || path || ' ' || (methods IS NULL) || ' ' || connection_id FROM location"),
                  "1 19 <sip:p3;lr> 1 44");
        set = db_loc_begin(db);
        db_loc_del(set, l.ruid);
        CHECK_INT(commit(set, mb), 1);
    }
    l.path = SV("");
    set = db_loc_begin(db);
    db_loc_refresh(set, &l);
    CHECK_INT(commit(set, mb), 1);
    db_close(&db);

    db = open_started();
    CHECK_INT(db_loc_load(db, 1700000000, find, &f), 0);
    CHECK_INT(f.n, 1);
    CHECK_STR(f.text, "u1 alice example.com sip:a@192.0.2.1:5060;ob sip:198.51.100.7:4000;transport=tls  cid@x 19 UA/1 "
                      "tls:192.0.2.9:5061 <urn:uuid:1> 44");
    CHECK(f.methods == -1 && f.q == -1 && f.expires == 2000000000);
    f.n = 0;
    CHECK_INT(db_loc_load(db, 2000000000, find, &f), 0); /* at its expiry it is gone */
    CHECK_INT(f.n, 0);
    CHECK_INT(db_reader_new(&r, db), 0);
    CHECK_INT(db_list_registrations(r, 1700000000, SV(""), SV(""), find, &f), 0);
    CHECK_INT(f.n, 1);
    CHECK_INT(db_list_registrations(r, 1700000000, SV("bob"), SV("example.com"), find, &f), 0);
    CHECK_INT(f.n, 1);
    CHECK_INT(db_list_registrations(r, 1700000000, SV("alice"), SV("example.com"), find, &f), 0);
    CHECK_INT(f.n, 2);
    db_reader_free(&r);
    db_close(&db);
    mailbox_free(&mb);
    scratch_end();
}

/* S-REG-07 */
TEST(a_change_set_is_all_or_nothing_and_a_bad_one_spoils_no_other)
{
    struct db_location good = binding("g", "alice"), bad = binding("b", "refused");
    struct db_loc_set *one, *two;
    int done_one = 0, done_two = 0;
    struct mailbox *mb;
    struct db *db;

    scratch_begin();
    db = open_started();
    CHECK_INT(mailbox_new(&mb), 0);
    change("CREATE TRIGGER no BEFORE INSERT ON location WHEN NEW.username = 'refused' BEGIN SELECT RAISE(ABORT, 'no'); "
           "END");
    one = db_loc_begin(db);
    good.ruid = SV("half");
    db_loc_put(one, &good);
    db_loc_put(one, &bad);
    two = db_loc_begin(db);
    good.ruid = SV("whole");
    db_loc_put(two, &good);
    db_loc_commit(one, mb, note, &done_one);
    db_loc_commit(two, mb, note, &done_two);
    CHECK(mail_until(mb, &done_one) && mail_until(mb, &done_two));
    CHECK(done_one < 0);
    CHECK_INT(done_two, 1);
    CHECK_STR(look("SELECT group_concat(ruid) FROM location"), "whole");
    db_close(&db);
    mailbox_free(&mb);
    scratch_end();
}

TEST(bindings_are_removed_by_ruid_by_address_of_record_and_by_time)
{
    struct db_location l = binding("", "alice");
    struct db_loc_set *set;
    struct mailbox *mb;
    struct db *db;

    scratch_begin();
    db = open_started();
    CHECK_INT(mailbox_new(&mb), 0);
    set = db_loc_begin(db);
    for (int i = 0; i < 6; i++) {
        const char *const ruids[] = { "a1", "a2", "b1", "b2", "old", "for-ever" };
        const char *const users[] = { "alice", "alice", "bob", "bob", "carol", "dave" };
        const int64_t expires[] = { 2000, 2000, 2000, 2000, 1000, 0 };

        l.ruid = sv_of(ruids[i]);
        l.username = sv_of(users[i]);
        l.expires = expires[i];
        db_loc_put(set, &l);
    }
    CHECK_INT(commit(set, mb), 1);
    set = db_loc_begin(db);
    db_loc_del(set, SV("a1"));
    db_loc_del_aor(set, SV("bob"), SV("example.com"));
    db_loc_del_expired(set, 1000);
    CHECK_INT(commit(set, mb), 1);
    CHECK_STR(look("SELECT group_concat(ruid) FROM (SELECT ruid FROM location ORDER BY ruid)"), "a2,for-ever");
    db_close(&db);
    mailbox_free(&mb);
    scratch_end();
}

TEST(a_lone_registration_waits_for_nobody)
{
    struct db_location l = binding("u", "alice");
    struct timespec t0, t1;
    struct db_loc_set *set;
    struct mailbox *mb;
    struct db *db;
    long best = 1000;

    scratch_begin();
    db = open_started();
    CHECK_INT(mailbox_new(&mb), 0);
    for (int i = 0; i < 5; i++) {
        long ms;

        clock_gettime(CLOCK_MONOTONIC, &t0);
        set = db_loc_begin(db);
        db_loc_put(set, &l);
        CHECK_INT(commit(set, mb), 1);
        clock_gettime(CLOCK_MONOTONIC, &t1);
        ms = (t1.tv_sec - t0.tv_sec) * 1000 + (t1.tv_nsec - t0.tv_nsec) / 1000000;
        best = TD_MIN(best, ms);
    }
    CHECK(best < 100); /* half of what rows of traffic wait for each other */
    db_close(&db);
    mailbox_free(&mb);
    scratch_end();
}

TEST(what_cannot_be_written_is_answered_with_an_error)
{
    static char big[DB_TEXT_MAX + 1];
    struct db_location l = binding("u", "alice");
    struct buf why = BUF_INIT;
    struct db_loc_set *set;
    struct mailbox *mb;
    struct db *db;

    scratch_begin();
    CHECK_INT(mailbox_new(&mb), 0);
    CHECK_INT(db_open(&db, scratch_file(), &why), 0);
    set = db_loc_begin(db);
    db_loc_put(set, &l);
    CHECK_INT(commit(set, mb), TD_ECLOSED); /* not started */
    CHECK_INT(db_start(db), 0);
    memset(big, 'x', sizeof big);
    l.contact = sv_make(big, sizeof big); /* one byte too long: never stored cut */
    set = db_loc_begin(db);
    db_loc_put(set, &l);
    CHECK_INT(commit(set, mb), TD_EINVAL);
    l.contact.n--;
    set = db_loc_begin(db);
    db_loc_put(set, &l);
    CHECK_INT(commit(set, mb), 1);
    set = db_loc_begin(db);
    db_loc_drop(&set);
    CHECK(set == NULL);
    db_stop(db);
    set = db_loc_begin(db);
    db_loc_del(set, SV("u"));
    CHECK_INT(commit(set, mb), TD_ECLOSED);
    db_close(&db);
    CHECK_STR(look("SELECT count(*) FROM location"), "1");
    mailbox_free(&mb);
    scratch_end();
    buf_fini(&why);
}

static void *unlock_later(void *arg)
{
    usleep(300000);
    sqlite3_exec(arg, "COMMIT", NULL, NULL, NULL);
    return NULL;
}

TEST(a_file_locked_by_another_program_delays_and_then_succeeds)
{
    struct db_location l = binding("u", "alice");
    struct db_loc_set *set;
    struct mailbox *mb;
    sqlite3 *other;
    pthread_t t;
    struct db *db;

    scratch_begin();
    db = open_started();
    CHECK_INT(mailbox_new(&mb), 0);
    CHECK_INT(sqlite3_open(scratch_file(), &other), SQLITE_OK);
    CHECK_INT(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    pthread_create(&t, NULL, unlock_later, other);
    set = db_loc_begin(db);
    db_loc_put(set, &l);
    CHECK_INT(commit(set, mb), 1);
    pthread_join(t, NULL);
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    CHECK_STR(look("SELECT ruid FROM location"), "u");
    db_close(&db);
    mailbox_free(&mb);
    scratch_end();
}

/* The child writes bindings one after the other and says so for each that was answered. */
static void write_for_ever(int fd)
{
    struct mailbox *mb;
    struct db *db = open_started();

    if (mailbox_new(&mb))
        _exit(1);
    for (uint32_t i = 0;; i++) {
        char ruid[32];
        struct db_location l;
        struct db_loc_set *set = db_loc_begin(db);

        snprintf(ruid, sizeof ruid, "u%u", i);
        l = binding(ruid, "alice");
        db_loc_put(set, &l);
        if (commit(set, mb) != 1 || write(fd, &i, sizeof i) != sizeof i)
            _exit(1);
    }
}

TEST(what_was_answered_survives_kill_9)
{
    uint32_t last = 0, n = 0;
    char sql[100], expected[24];
    int fds[2], status;
    pid_t pid;

    scratch_begin();
    CHECK_INT(pipe(fds), 0);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        close(fds[0]);
        write_for_ever(fds[1]);
    }
    close(fds[1]);
    while (n < 50 && read(fds[0], &last, sizeof last) == sizeof last)
        n++;
    kill(pid, SIGKILL);
    while (read(fds[0], &last, sizeof last) == sizeof last) /* answered before the kill */
        n++;
    close(fds[0]);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CHECK(n >= 50);
    snprintf(sql, sizeof sql, "SELECT count(*) FROM location WHERE CAST(substr(ruid, 2) AS INTEGER) <= %u", last);
    snprintf(expected, sizeof expected, "%u", last + 1);
    CHECK_STR(look(sql), expected);
    CHECK_STR(look("PRAGMA integrity_check"), "ok");
    scratch_end();
}

SUITE(location_suite, TEST_ROW(a_binding_is_on_disk_when_it_is_answered_and_comes_back_at_start),
      TEST_ROW(a_change_set_is_all_or_nothing_and_a_bad_one_spoils_no_other),
      TEST_ROW(bindings_are_removed_by_ruid_by_address_of_record_and_by_time),
      TEST_ROW(a_lone_registration_waits_for_nobody), TEST_ROW(what_cannot_be_written_is_answered_with_an_error),
      TEST_ROW(a_file_locked_by_another_program_delays_and_then_succeeds), TEST_ROW(what_was_answered_survives_kill_9));
