/* What a starting process takes over from the last one. */
#include "db/startup.h"

#include "common/err.h"
#include "db/db_private.h"

int db_conn_close_stale(struct db *db, int64_t now)
{
    sqlite3_stmt *st = db_prepare(db->main, "UPDATE connection SET closed = datetime(?1, 'unixepoch'), "
                                            "close_reason = 'the server was not stopped cleanly' WHERE closed IS NULL");
    int rc;

    if (!st)
        return db_err(sqlite3_errcode(db->main));
    sqlite3_bind_int64(st, 1, now);
    rc = sqlite3_step(st);
    sqlite3_finalize(st);
    return db_err(rc);
}

int db_session_close_all(struct db *db, int64_t now)
{
    sqlite3_stmt *st =
        db_prepare(db->main, "UPDATE msrp_session SET state = CASE WHEN expires <= datetime(?1, 'unixepoch') "
                             "THEN 'expired' ELSE 'closed' END WHERE state = 'active'");
    int rc;

    if (!st)
        return db_err(sqlite3_errcode(db->main));
    sqlite3_bind_int64(st, 1, now);
    rc = sqlite3_step(st);
    sqlite3_finalize(st);
    return db_err(rc);
}

int db_loc_drop_streams(struct db *db)
{
    return db_err(db_exec(db->main, "DELETE FROM location WHERE connection_id > 0"));
}

int db_conn_max_id(struct db *db, uint64_t *max)
{
    sqlite3_stmt *st = db_prepare(db->main, "SELECT coalesce(max(conn_id), 0) FROM connection");
    int rc;

    *max = 0;
    if (!st)
        return db_err(sqlite3_errcode(db->main));
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        *max = (uint64_t)sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return db_err(rc);
}

int db_session_each_live(struct db *db, int64_t now, bool (*fn)(const struct db_session *s, void *arg), void *arg)
{
    sqlite3_stmt *st = db_prepare(db->main, "UPDATE msrp_session SET state = 'expired' WHERE state = 'active' AND "
                                            "expires <= datetime(?1, 'unixepoch')");
    struct db_session s;
    int rc;

    if (!st)
        return db_err(sqlite3_errcode(db->main));
    sqlite3_bind_int64(st, 1, now);
    rc = sqlite3_step(st);
    sqlite3_finalize(st);
    if (rc != SQLITE_DONE)
        return db_err(rc);
    st = db_prepare(db->main, "SELECT " DB_SESSION_COLUMNS
                              " FROM msrp_session WHERE state = 'active' ORDER BY created, session_id");
    if (!st)
        return db_err(sqlite3_errcode(db->main));
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        db_session_read(st, &s);
        if (!fn(&s, arg))
            break;
    }
    sqlite3_finalize(st);
    return db_err(rc);
}
