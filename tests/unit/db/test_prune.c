/* Old rows go, little by little; what is alive or young stays. */
#include "db/prune.h"

#include <stdio.h>

#include "common/buf.h"
#include "db/db_private.h"
#include "tests/unit/db/dbtest.h"

enum { NOW = 1700000000, DAY = 86400 };

static struct db *open_quiet(void)
{
    struct buf why = BUF_INIT;
    struct db *db;

    CHECK_FATAL(db_open(&db, scratch_file(), &why) == 0); /* not started: the test is the writer */
    buf_fini(&why);
    return db;
}

/* n rows, one made each minute from `first` on. */
static void fill(struct db *db, const char *table, const char *columns, const char *values, int n, int64_t first)
{
    struct buf sql = BUF_INIT;

    buf_printf(&sql, "WITH RECURSIVE t(i, at) AS (SELECT 0, %lld UNION ALL SELECT i + 1, at + 60 FROM t WHERE i < %d) "
                     "INSERT INTO %s (%s) SELECT %s FROM t", (long long)first, n - 1, table, columns, values);
    CHECK_INT(db_exec(db->main, sql.p), SQLITE_OK);
    buf_fini(&sql);
}

/* Steps that the pass has taken. */
static int run_pass(struct db *db, int64_t before)
{
    struct prune p = { 0 };
    bool more = true;
    int steps = 0;

    for (; more && steps < 1000; steps++)
        CHECK_INT(prune_step(&p, db->main, before, &more), SQLITE_OK);
    CHECK_INT(p.table, 0);
    CHECK_INT(p.after, 0);
    return steps;
}

TEST(rows_older_than_kept_go_from_all_tables_and_others_stay)
{
    struct db *db;

    scratch_begin();
    db = open_quiet();
    fill(db, "acc", "time", "datetime(at, 'unixepoch')", 3, NOW - 60);
    fill(db, "acc_msrp", "started", "datetime(at, 'unixepoch')", 3, NOW - 60);
    fill(db, "connection", "opened, closed", "datetime(at, 'unixepoch'), datetime(at + 60, 'unixepoch')", 3, NOW - 120);
    fill(db, "connection", "opened", "datetime(at, 'unixepoch')", 1, NOW - DAY); /* open */
    fill(db, "msrp_session", "session_id, state, created, expires, last_activity",
         "i, CASE i WHEN 0 THEN 'active' ELSE 'closed' END, datetime(at, 'unixepoch'), datetime(at + 60, 'unixepoch'), datetime(at, 'unixepoch')", 4,
         NOW - 180);
    run_pass(db, NOW);
    CHECK_STR(look("SELECT group_concat(time) FROM acc"), "2023-11-14 22:13:20,2023-11-14 22:14:20");
    CHECK_STR(look("SELECT group_concat(started) FROM acc_msrp"), "2023-11-14 22:13:20,2023-11-14 22:14:20");
    CHECK_STR(look("SELECT group_concat(conn_id || coalesce(closed, ' open')) FROM connection"), "22023-11-14 22:13:20,32023-11-14 22:14:20,4 open");
    CHECK_STR(look("SELECT group_concat(session_id) FROM msrp_session"), "0,2,3");
    run_pass(db, NOW + 365 * DAY);
    CHECK_INT(look_number("SELECT count(*) FROM acc"), 0);
    CHECK_STR(look("SELECT group_concat(session_id || state) FROM msrp_session"), "0active");
    CHECK_INT(look_number("SELECT count(*) FROM connection"), 1);
    db_close(&db);
    scratch_end();
}

TEST(a_step_is_small_and_a_pass_stops_at_the_first_young_row)
{
    struct prune p = { 0 };
    struct db *db;
    bool more;

    scratch_begin();
    db = open_quiet();
    fill(db, "acc", "time", "datetime(at, 'unixepoch')", 2000, NOW - 2000 * 60);
    fill(db, "connection", "opened", "datetime(at, 'unixepoch')", PRUNE_ROWS, NOW - 30 * DAY); /* all still open */
    fill(db, "connection", "opened, closed", "datetime(at, 'unixepoch'), datetime(at, 'unixepoch')", 10, NOW - 2 * DAY);
    CHECK_INT(prune_step(&p, db->main, NOW - 1000 * 60, &more), SQLITE_OK);
    CHECK(more);
    CHECK_INT(look_number("SELECT count(*) FROM acc"), 2000 - PRUNE_ROWS);
    /* 1000 old ones are four steps of all in all five, then one a table, and one more as open connections fill the first. */
    CHECK_INT(run_pass(db, NOW - 1000 * 60), 1000 / PRUNE_ROWS - 1 + 1 + 3 + 1);
    CHECK_INT(look_number("SELECT count(*) FROM acc"), 1000);
    CHECK_INT(look_number("SELECT count(*) FROM connection"), PRUNE_ROWS);
    db_close(&db);
    scratch_end();
}

TEST(the_writer_removes_what_is_older_than_told)
{
    struct db *db;

    scratch_begin();
    db = open_quiet();
    fill(db, "acc", "time", "datetime(at, 'unixepoch')", 2, NOW);
    fill(db, "acc", "time", "datetime('now')", 1, NOW);
    db_keep(db, DAY);
    CHECK_INT(db_start(db), 0);
    CHECK(look_until("SELECT count(*) FROM acc", "1"));
    db_close(&db);
    scratch_end();
}

SUITE(prune_suite, TEST_ROW(rows_older_than_kept_go_from_all_tables_and_others_stay),
      TEST_ROW(a_step_is_small_and_a_pass_stops_at_the_first_young_row), TEST_ROW(the_writer_removes_what_is_older_than_told));
