/* Queries of scripts: they read, within bounds, and nothing that is put into a parameter changes what is asked. */
#include "db/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "db/db_private.h"
#include "tests/unit/db/dbtest.h"

struct answer {
    int done, err;
    char why[DB_QUERY_WHY_MAX];
    struct db_rows *rows;
};

static struct db *db;
static struct mailbox *mb;

static void take(int err, const char *why, struct db_rows *rows, void *arg)
{
    struct answer *a = arg;

    a->done++;
    a->err = err;
    snprintf(a->why, sizeof a->why, "%s", why);
    a->rows = rows;
}

static void start(void)
{
    scratch_begin();
    db = open_started();
    CHECK_FATAL(db_query_open(db) == 0 && db_query_open(db) == 0 && mailbox_new(&mb) == 0);
    change("INSERT INTO subscriber (username, domain, ha1) VALUES ('alice', 'example.com', 'x'), ('bob', 'example.com', 'y')");
}

static void stop(void)
{
    db_stop(db);
    mailbox_free(&mb);
    db_close(&db);
    scratch_end();
}

static void ask(struct answer *a, const char *sql, const struct db_param *params, size_t n)
{
    struct db_query *q;

    memset(a, 0, sizeof *a);
    CHECK_FATAL(db_query_start(db, sv_of(sql), params, n, mb, take, a, &q) == 0);
    CHECK_FATAL(mail_until(mb, &a->done));
    CHECK(a->done == 1 && (a->rows != NULL) == (a->err == 0));
}

static void refuse(const char *sql, int err, const char *why)
{
    struct answer a;

    ask(&a, sql, NULL, 0);
    if (a.err != err || !strstr(a.why, why))
        fprintf(stderr, "%s: %d %s\n", sql, a.err, a.why);
    CHECK(a.err == err && strstr(a.why, why));
    free(a.rows);
}

TEST(a_query_brings_names_and_values_of_each_kind)
{
    struct db_param params[] = { { SV("$var(who)"), { DB_TEXT, 0, SV("alice' OR '1'='1") } }, { SV("$n"), { DB_INT, 5, { 0 } } }, { SV("$x"), { DB_NULL, 0, { 0 } } } };
    struct answer a;

    start();
    ask(&a, "SELECT username, NULL AS empty, 7, 1.5 FROM subscriber ORDER BY username;\n", NULL, 0);
    CHECK_FATAL(a.rows != NULL);
    CHECK(a.rows->n_rows == 2 && a.rows->n_columns == 4 && sv_eq(a.rows->cells[1].text, SV("empty")));
    CHECK(sv_eq(db_rows_cell(a.rows, 1, 0)->text, SV("bob")) && db_rows_cell(a.rows, 0, 1)->kind == DB_NULL);
    CHECK(db_rows_cell(a.rows, 1, 2)->kind == DB_INT && db_rows_cell(a.rows, 1, 2)->i == 7 && sv_eq(db_rows_cell(a.rows, 0, 3)->text, SV("1.5")));
    free(a.rows);
    for (int i = 0; i < 2; i++) { /* prepared once, bound anew */
        ask(&a, "SELECT count(*), $n, $x IS NULL FROM subscriber WHERE username = $var(who)", params, 3);
        CHECK_FATAL(a.rows != NULL);
        CHECK(db_rows_cell(a.rows, 0, 0)->i == i && db_rows_cell(a.rows, 0, 1)->i == 5 && db_rows_cell(a.rows, 0, 2)->i == 1);
        free(a.rows);
        params[0].value.text = SV("alice");
    }
    stop();
}

TEST(a_query_only_reads_and_not_the_keys_of_the_server)
{
    start();
    refuse("DELETE FROM subscriber", TD_EPERM, "not authorized");
    refuse("INSERT INTO subscriber (username) VALUES ('x') RETURNING 1", TD_EPERM, "not authorized");
    refuse("PRAGMA query_only = 0", TD_EPERM, "not authorized");
    refuse("ATTACH ':memory:' AS x", TD_EPERM, "not authorized");
    refuse("SELECT * FROM secret", TD_EPERM, "prohibited");
    refuse("SELECT * FROM (SELECT username FROM subscriber UNION SELECT hex(value) FROM secret)", TD_EPERM, "prohibited");
    refuse("SELECT load_extension('x')", TD_EIO, "");
    refuse("SELECT 1; SELECT 2", TD_EINVAL, "one SELECT");
    refuse("  ", TD_EINVAL, "one SELECT");
    refuse("SELECT ? FROM subscriber", TD_EINVAL, "a parameter is");
    refuse("SELECT $var(x)", TD_EINVAL, "a parameter is");
    refuse("SELEC", TD_EIO, "syntax error");
    CHECK_INT(look_number("SELECT count(*) FROM subscriber"), 2);
    stop();
}

TEST(a_query_has_bounds)
{
    static char text[DB_QUERY_SQL_MAX + 2];
    struct db_param many[DB_QUERY_PARAMS_MAX + 1] = { { SV("$a"), { DB_NULL, 0, { 0 } } } };
    struct db_query *q;
    struct answer a;

    start();
    ask(&a, "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 256) SELECT i FROM n", NULL, 0);
    CHECK(a.rows && a.rows->n_rows == DB_QUERY_ROWS_MAX);
    free(a.rows);
    refuse("WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 257) SELECT i FROM n", TD_ELIMIT, "LIMIT");
    refuse("WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 240) SELECT i,i,i,i,i,i,i,i,i,i,i,i,i,i,i,i,i,i FROM n", TD_ELIMIT, "LIMIT");
    refuse("SELECT hex(zeroblob(40000))", TD_ELIMIT, "LIMIT");
    refuse("SELECT zeroblob(2000000)", TD_EIO, "too big");
    refuse("WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n", TD_ETIMEOUT, "500 ms");
    memset(text, ' ', DB_QUERY_SQL_MAX + 1);
    CHECK_INT(db_query_start(db, sv_of(text), NULL, 0, mb, take, &a, &q), TD_ELIMIT);
    CHECK_INT(db_query_start(db, SV("SELECT 1"), many, DB_QUERY_PARAMS_MAX + 1, mb, take, &a, &q), TD_ELIMIT);
    stop();
}

TEST(a_query_that_is_given_up_is_not_answered_and_all_are_at_the_end)
{
    struct answer a = { 0 }, b = { 0 };
    struct db_query *q;

    start();
    for (int i = 0; i < 2; i++) {
        CHECK_FATAL(db_query_start(db, SV("SELECT 1"), NULL, 0, mb, take, &a, &q) == 0);
        db_query_cancel(q);
        CHECK_FATAL(db_query_start(db, SV("SELECT 1"), NULL, 0, mb, take, &b, &q) == 0);
        if (i == 0)
            CHECK(mail_until(mb, &b.done));
        free(b.rows);
        b.rows = NULL;
    }
    db_stop(db);
    mailbox_run(mb);
    CHECK(a.done == 0 && b.done == 2 && db->pending_queries == 0);
    free(b.rows);
    CHECK_INT(db_query_start(db, SV("SELECT 1"), NULL, 0, mb, take, &a, &q), TD_ECLOSED);
    stop();
}

SUITE(query_suite, TEST_ROW(a_query_brings_names_and_values_of_each_kind), TEST_ROW(a_query_only_reads_and_not_the_keys_of_the_server),
      TEST_ROW(a_query_has_bounds), TEST_ROW(a_query_that_is_given_up_is_not_answered_and_all_are_at_the_end));
