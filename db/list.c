/* Listings for the control thread. */
#include "db/list.h"

#include <stdlib.h>

#include "common/err.h"
#include "db/db_private.h"

enum { LIST_BUSY_MS = 1000 };

struct db_reader {
    sqlite3 *h; /* owned */
};

int db_reader_new(struct db_reader **out, struct db *db)
{
    struct db_reader *r = calloc(1, sizeof *r);
    int err;

    *out = NULL;
    if (!r)
        return TD_ENOMEM;
    err = db_handle_open(&r->h, db->file, LIST_BUSY_MS, NULL);
    if (err) {
        free(r);
        return err;
    }
    db_exec(r->h, "PRAGMA query_only = 1");
    *out = r;
    return TD_OK;
}

void db_reader_free(struct db_reader **r)
{
    if (!*r)
        return;
    sqlite3_close((*r)->h);
    free(*r);
    *r = NULL;
}

void db_session_read(sqlite3_stmt *st, struct db_session *s)
{
    struct sv state = db_column_sv(st, 11);

    *s = (struct db_session){
        .session_id = db_column_sv(st, 0),
        .username = db_column_sv(st, 1),
        .domain = db_column_sv(st, 2),
        .conn_id = (uint64_t)sqlite3_column_int64(st, 3),
        .peer_uri = db_column_sv(st, 4),
        .srcaddr = db_column_sv(st, 5),
        .srcsock = db_column_sv(st, 6),
        .use_path = db_column_sv(st, 7),
        .created = sqlite3_column_int64(st, 8),
        .expires = sqlite3_column_int64(st, 9),
        .last_activity = sqlite3_column_int64(st, 10),
        .state = sv_eq(state, SV("active"))   ? DB_SESSION_ACTIVE
                 : sv_eq(state, SV("closed")) ? DB_SESSION_CLOSED
                                              : DB_SESSION_EXPIRED,
        .frames_in = (uint64_t)sqlite3_column_int64(st, 12),
        .frames_out = (uint64_t)sqlite3_column_int64(st, 13),
        .bytes_in = (uint64_t)sqlite3_column_int64(st, 14),
        .bytes_out = (uint64_t)sqlite3_column_int64(st, 15),
        .resumed = (uint64_t)sqlite3_column_int64(st, 16),
    };
}

void db_conn_read(sqlite3_stmt *st, struct db_conn *c)
{
    *c = (struct db_conn){
        .conn_id = (uint64_t)sqlite3_column_int64(st, 0),
        .protocol = db_column_sv(st, 1),
        .transport = db_column_sv(st, 2),
        .peer = db_column_sv(st, 3),
        .local = db_column_sv(st, 4),
        .tls_version = db_column_sv(st, 5),
        .tls_cipher = db_column_sv(st, 6),
        .peer_name = db_column_sv(st, 7),
        .opened = sqlite3_column_int64(st, 8),
        .closed = sqlite3_column_int64(st, 9),
        .close_reason = db_column_sv(st, 10),
        .bytes_in = (uint64_t)sqlite3_column_int64(st, 11),
        .bytes_out = (uint64_t)sqlite3_column_int64(st, 12),
    };
}

int db_list_registrations(struct db_reader *r, int64_t now, struct sv username, struct sv domain,
                          bool (*fn)(const struct db_location *row, void *arg), void *arg)
{
    sqlite3_stmt *st = db_prepare(r->h, "SELECT " DB_LOCATION_COLUMNS " FROM location WHERE " DB_LOCATION_LIVE
                                        " AND (?2 = '' OR (username = ?2 AND coalesce(domain, '') = ?3)) "
                                        "ORDER BY username, domain, id");
    struct db_location row;
    int rc;

    if (!st)
        return db_err(sqlite3_errcode(r->h));
    sqlite3_bind_int64(st, 1, now);
    db_bind_sv(st, 2, username);
    db_bind_sv(st, 3, domain);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        db_location_read(st, &row);
        if (!fn(&row, arg))
            break;
    }
    sqlite3_finalize(st);
    return db_err(rc);
}

int db_list_connections(struct db_reader *r, unsigned max, bool (*fn)(const struct db_conn *c, void *arg), void *arg)
{
    sqlite3_stmt *st = db_prepare(r->h, "SELECT " DB_CONN_COLUMNS " FROM connection ORDER BY conn_id DESC LIMIT ?1");
    struct db_conn c;
    int rc;

    if (!st)
        return db_err(sqlite3_errcode(r->h));
    sqlite3_bind_int64(st, 1, max);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        db_conn_read(st, &c);
        if (!fn(&c, arg))
            break;
    }
    sqlite3_finalize(st);
    return db_err(rc);
}

int db_list_sessions(struct db_reader *r, bool active_only, unsigned max,
                     bool (*fn)(const struct db_session *s, void *arg), void *arg)
{
    sqlite3_stmt *st =
        db_prepare(r->h, "SELECT " DB_SESSION_COLUMNS " FROM msrp_session WHERE ?1 = 0 OR state = 'active' "
                         "ORDER BY created DESC, rowid DESC LIMIT ?2");
    struct db_session s;
    int rc;

    if (!st)
        return db_err(sqlite3_errcode(r->h));
    sqlite3_bind_int(st, 1, active_only);
    sqlite3_bind_int64(st, 2, max);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        db_session_read(st, &s);
        if (!fn(&s, arg))
            break;
    }
    sqlite3_finalize(st);
    return db_err(rc);
}
