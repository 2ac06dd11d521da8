/* What a starting process takes over from the last one. */
#include "db/startup.h"

#include "common/crypto.h"
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

int db_loc_drop_streams(struct db *db)
{
    return db_err(db_exec(db->main, "DELETE FROM location WHERE connection_id > 0"));
}

int db_secret(struct db *db, const char *name, char out[DB_SECRET_LEN + 1])
{
    sqlite3_stmt *put = db_prepare(db->main, "INSERT OR IGNORE INTO secret (name, value) VALUES (?1, ?2)");
    sqlite3_stmt *get = db_prepare(db->main, "SELECT value FROM secret WHERE name = ?1");
    int rc = put && get ? SQLITE_OK : sqlite3_errcode(db->main);

    crypto_random_name(out, DB_SECRET_LEN);
    if (rc == SQLITE_OK) {
        db_bind_sv(put, 1, sv_of(name));
        db_bind_sv(put, 2, sv_of(out));
        db_bind_sv(get, 1, sv_of(name));
        rc = sqlite3_step(put);
    }
    if (rc == SQLITE_DONE)
        rc = sqlite3_step(get);
    if (rc == SQLITE_ROW)
        rc = sv_copy(db_column_sv(get, 0), out, DB_SECRET_LEN + 1) ? SQLITE_OK : SQLITE_TOOBIG;
    sqlite3_finalize(put);
    sqlite3_finalize(get);
    return db_err(rc);
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

/* Step a statement with these times and, perhaps, a text as ?3. Takes the statement. */
static int run(sqlite3 *h, const char *sql, int64_t now, int64_t until, struct sv id)
{
    sqlite3_stmt *st = db_prepare(h, sql);
    int rc;

    if (!st)
        return sqlite3_errcode(h);
    sqlite3_bind_int64(st, 1, now);
    sqlite3_bind_int64(st, 2, until);
    db_bind_sv(st, 3, id);
    rc = sqlite3_step(st);
    sqlite3_finalize(st);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int db_session_take_over(struct db *db, int64_t now, int64_t until, bool (*fn)(const struct db_session *s, void *arg), void *arg)
{
    const struct sv none = { 0 };
    struct db_session s;
    sqlite3_stmt *st = NULL;
    int rc = db_exec(db->main, "BEGIN IMMEDIATE");

    if (rc != SQLITE_OK)
        return db_err(rc);
    rc = run(db->main, "UPDATE msrp_session SET state = 'expired' WHERE state = 'active' AND expires <= datetime(?1, 'unixepoch')", now,
             until, none);
    if (rc == SQLITE_OK) {
        /* Those that live longest first: should there not be room for all. */
        st = db_prepare(db->main, "SELECT " DB_SESSION_COLUMNS " FROM msrp_session WHERE state = 'active' ORDER BY expires DESC");
        rc = st ? SQLITE_OK : sqlite3_errcode(db->main);
    }
    while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        db_session_read(st, &s);
        s.expires = TD_MIN(s.expires, until);
        rc = fn(&s, arg) ? SQLITE_OK
                         : run(db->main, "UPDATE msrp_session SET state = 'closed' WHERE session_id = ?3", now, until, s.session_id);
    }
    sqlite3_finalize(st);
    if (rc == SQLITE_DONE)
        rc = run(db->main, "UPDATE msrp_session SET conn_id = 0, expires = min(expires, datetime(?2, 'unixepoch')) "
                           "WHERE state = 'active' AND (conn_id <> 0 OR expires > datetime(?2, 'unixepoch'))", now, until, none);
    if (rc == SQLITE_OK)
        rc = db_exec(db->main, "COMMIT");
    if (rc != SQLITE_OK)
        db_exec(db->main, "ROLLBACK");
    return db_err(rc);
}
