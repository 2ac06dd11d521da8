/* Tables grow at one end: their rowids follow the time at which a row was made. */
#include "db/prune.h"

#include "db/db_private.h"

/* ?1: the row that the last step has come to, ?2: how many rows, ?3: the time. */
#define NEXT_ROWS(table, made) "(SELECT rowid AS id, " made " AS made FROM " table " WHERE rowid > ?1 ORDER BY rowid LIMIT ?2)"
#define TABLE(table, made, is_old)                                                                                     \
    {                                                                                                                  \
        "SELECT max(id), max(made) < datetime(?3, 'unixepoch'), count(*) FROM " NEXT_ROWS(table, made),                \
        "DELETE FROM " table " WHERE rowid IN (SELECT id FROM " NEXT_ROWS(table, made) ") AND " is_old                 \
    }
#define OLD " < datetime(?3, 'unixepoch')"

static const struct {
    const char *look, *remove;
} tables[] = {
    TABLE("acc", "time", "time" OLD),
    TABLE("acc_msrp", "started", "started" OLD),
    TABLE("connection", "opened", "closed" OLD), /* NULL while it is open: however old, it stays */
    TABLE("msrp_session", "created", "state <> 'active' AND max(expires, last_activity)" OLD),
};

static int prepare(sqlite3 *h, const char *sql, const struct prune *p, int64_t before, sqlite3_stmt **st)
{
    *st = db_prepare(h, sql);
    if (!*st)
        return sqlite3_errcode(h);
    sqlite3_bind_int64(*st, 1, p->after);
    sqlite3_bind_int64(*st, 2, PRUNE_ROWS);
    sqlite3_bind_int64(*st, 3, before);
    return SQLITE_OK;
}

int prune_step(struct prune *p, sqlite3 *h, int64_t before, bool *more)
{
    int64_t last = 0, n = 0;
    bool go_on = false;
    sqlite3_stmt *st;
    int rc = prepare(h, tables[p->table].look, p, before, &st);

    *more = true;
    if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        last = sqlite3_column_int64(st, 0);
        go_on = sqlite3_column_int(st, 1);
        n = sqlite3_column_int64(st, 2);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(st);
    if (rc == SQLITE_OK && n) {
        rc = prepare(h, tables[p->table].remove, p, before, &st);
        if (rc == SQLITE_OK)
            rc = sqlite3_step(st);
        sqlite3_finalize(st);
        if (rc == SQLITE_DONE)
            rc = SQLITE_OK;
    }
    if (rc != SQLITE_OK)
        return rc;
    p->after = last;
    if (n == PRUNE_ROWS && go_on)
        return SQLITE_OK;
    p->after = 0;
    p->table = (p->table + 1) % TD_ARRAY_LEN(tables);
    *more = p->table != 0;
    return SQLITE_OK;
}
