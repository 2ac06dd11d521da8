/* The tables, and how an older file becomes a present one.
 *
 * subscriber, location and acc have the columns of Kamailio 5.6 (versions 7, 9, 5), so that its tools and rows
 * work. A migration is a row of a table below; its number is what PRAGMA user_version counts. */
#include "db/migrate.h"

#include <string.h>

#include "common/err.h"
#include "db/db_private.h"

struct column {
    const char *name, *type;
};

struct table {
    const char *name;
    int kamailio; /* its table_version there; 0: a table of our own */
    const struct column *columns;
    size_t n;
    const char *constraint; /* ", ..." or "" */
    const char *indexes;    /* SQL */
};

#define COLUMNS(...) (const struct column[]){ __VA_ARGS__ }, TD_ARRAY_LEN(((const struct column[]){ __VA_ARGS__ }))
#define TIME "TIMESTAMP WITHOUT TIME ZONE"
#define COUNT "INTEGER DEFAULT 0 NOT NULL"
#define WORDS "TEXT DEFAULT '' NOT NULL"

static const struct table base[] = {
    { "version", 1,
      COLUMNS({ "id", "INTEGER PRIMARY KEY NOT NULL" }, { "table_name", "VARCHAR(32) NOT NULL" },
              { "table_version", "INTEGER DEFAULT 0 NOT NULL" }),
      ", CONSTRAINT version_table_name_idx UNIQUE (table_name)", "" },
    { "subscriber", 7,
      COLUMNS({ "id", "INTEGER PRIMARY KEY NOT NULL" }, { "username", "VARCHAR(64) DEFAULT '' NOT NULL" },
              { "domain", "VARCHAR(64) DEFAULT '' NOT NULL" }, { "password", "VARCHAR(64) DEFAULT '' NOT NULL" },
              { "ha1", "VARCHAR(128) DEFAULT '' NOT NULL" }, { "ha1b", "VARCHAR(128) DEFAULT '' NOT NULL" },
              { "ha1_sha256", "VARCHAR(128) DEFAULT '' NOT NULL" }, { "blocked", COUNT }),
      ", CONSTRAINT subscriber_account_idx UNIQUE (username, domain)",
      "CREATE INDEX IF NOT EXISTS subscriber_username_idx ON subscriber (username);" },
    { "location", 9,
      COLUMNS({ "id", "INTEGER PRIMARY KEY NOT NULL" }, { "ruid", "VARCHAR(64) DEFAULT '' NOT NULL" },
              { "username", "VARCHAR(64) DEFAULT '' NOT NULL" }, { "domain", "VARCHAR(64) DEFAULT NULL" },
              { "contact", "VARCHAR(512) DEFAULT '' NOT NULL" }, { "received", "VARCHAR(128) DEFAULT NULL" },
              { "path", "VARCHAR(512) DEFAULT NULL" }, { "expires", TIME " DEFAULT '2030-05-28 21:32:15' NOT NULL" },
              { "q", "REAL DEFAULT 1.0 NOT NULL" }, { "callid", "VARCHAR(255) DEFAULT 'Default-Call-ID' NOT NULL" },
              { "cseq", "INTEGER DEFAULT 1 NOT NULL" },
              { "last_modified", TIME " DEFAULT '2000-01-01 00:00:01' NOT NULL" }, { "flags", COUNT },
              { "cflags", COUNT }, { "user_agent", "VARCHAR(255) DEFAULT '' NOT NULL" },
              { "socket", "VARCHAR(64) DEFAULT NULL" }, { "methods", "INTEGER DEFAULT NULL" },
              { "instance", "VARCHAR(255) DEFAULT NULL" }, { "reg_id", COUNT }, { "server_id", COUNT },
              { "connection_id", COUNT }, { "keepalive", COUNT }, { "partition", COUNT }),
      ", CONSTRAINT location_ruid_idx UNIQUE (ruid)",
      "CREATE INDEX IF NOT EXISTS location_account_contact_idx ON location (username, domain, contact);"
      "CREATE INDEX IF NOT EXISTS location_expires_idx ON location (expires);"
      "CREATE INDEX IF NOT EXISTS location_connection_idx ON location (server_id, connection_id);" },
    { "acc", 5,
      COLUMNS({ "id", "INTEGER PRIMARY KEY NOT NULL" }, { "method", "VARCHAR(16) DEFAULT '' NOT NULL" },
              { "from_tag", "VARCHAR(64) DEFAULT '' NOT NULL" }, { "to_tag", "VARCHAR(64) DEFAULT '' NOT NULL" },
              { "callid", "VARCHAR(255) DEFAULT '' NOT NULL" }, { "sip_code", "VARCHAR(3) DEFAULT '' NOT NULL" },
              { "sip_reason", "VARCHAR(128) DEFAULT '' NOT NULL" }, { "time", TIME " NOT NULL" }),
      "", "CREATE INDEX IF NOT EXISTS acc_callid_idx ON acc (callid);" },
    { "msrp_session", 0,
      COLUMNS({ "session_id", "TEXT PRIMARY KEY NOT NULL" }, { "username", WORDS }, { "domain", WORDS },
              { "conn_id", COUNT }, { "peer_uri", WORDS }, { "srcaddr", WORDS }, { "srcsock", WORDS },
              { "use_path", WORDS }, { "created", TIME }, { "expires", TIME }, { "last_activity", TIME },
              { "state", "TEXT DEFAULT 'active' NOT NULL" }, { "frames_in", COUNT }, { "frames_out", COUNT },
              { "bytes_in", COUNT }, { "bytes_out", COUNT }, { "resumed", COUNT }),
      "",
      "CREATE INDEX IF NOT EXISTS msrp_session_state_idx ON msrp_session (state, expires);"
      "CREATE INDEX IF NOT EXISTS msrp_session_user_idx ON msrp_session (username, domain);" },
    { "connection", 0,
      COLUMNS({ "conn_id", "INTEGER PRIMARY KEY NOT NULL" }, { "protocol", WORDS }, { "transport", WORDS },
              { "peer", WORDS }, { "local", WORDS }, { "tls_version", "TEXT" }, { "tls_cipher", "TEXT" },
              { "peer_name", "TEXT" }, { "opened", TIME }, { "closed", TIME }, { "close_reason", "TEXT" },
              { "bytes_in", COUNT }, { "bytes_out", COUNT }),
      "", "CREATE INDEX IF NOT EXISTS connection_open_idx ON connection (conn_id) WHERE closed IS NULL;" },
    { "acc_msrp", 0,
      COLUMNS({ "id", "INTEGER PRIMARY KEY NOT NULL" }, { "session_id", WORDS }, { "username", WORDS },
              { "domain", WORDS }, { "from_uri", WORDS }, { "to_uri", WORDS }, { "message_id", WORDS },
              { "bytes", COUNT }, { "status", COUNT }, { "started", TIME }, { "finished", TIME }),
      /* No index over session_id: its random keys cost a third of the rows that can be written in a second. */
      "", "CREATE INDEX IF NOT EXISTS acc_msrp_started_idx ON acc_msrp (started);" },
    { "secret", 0, COLUMNS({ "name", "TEXT PRIMARY KEY NOT NULL" }, { "value", "TEXT NOT NULL" }), "", "" },
};

static int table_exists(sqlite3 *h, const char *name, bool *yes)
{
    sqlite3_stmt *st = db_prepare(h, "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1");
    int rc;

    if (!st)
        return sqlite3_errcode(h);
    db_bind_sv(st, 1, sv_of(name));
    rc = sqlite3_step(st);
    *yes = rc == SQLITE_ROW;
    sqlite3_finalize(st);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int table_make(sqlite3 *h, const struct table *t)
{
    struct buf sql = BUF_INIT;
    int rc;

    buf_printf(&sql, "CREATE TABLE %s (", t->name);
    for (size_t i = 0; i < t->n; i++)
        buf_printf(&sql, "%s\n    \"%s\" %s", i ? "," : "", t->columns[i].name, t->columns[i].type);
    buf_printf(&sql, "%s)", t->constraint);
    rc = buf_failed(&sql) ? SQLITE_NOMEM : db_exec(h, sql.p);
    buf_fini(&sql);
    return rc;
}

static int table_complete(sqlite3 *h, const struct table *t)
{
    sqlite3_stmt *has = db_prepare(h, "SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2 COLLATE NOCASE");
    int rc = has ? SQLITE_OK : sqlite3_errcode(h);

    for (size_t i = 0; i < t->n && rc == SQLITE_OK; i++) {
        struct buf sql = BUF_INIT;

        if (strstr(t->columns[i].type, "PRIMARY KEY")) /* cannot be added later, and no table works without its own */
            continue;
        db_bind_sv(has, 1, sv_of(t->name));
        db_bind_sv(has, 2, sv_of(t->columns[i].name));
        rc = sqlite3_step(has);
        sqlite3_reset(has);
        if (rc == SQLITE_ROW) {
            rc = SQLITE_OK;
            continue;
        }
        if (rc != SQLITE_DONE)
            break;
        buf_printf(&sql, "ALTER TABLE %s ADD COLUMN \"%s\" %s", t->name, t->columns[i].name, t->columns[i].type);
        rc = buf_failed(&sql) ? SQLITE_NOMEM : db_exec(h, sql.p);
        buf_fini(&sql);
    }
    sqlite3_finalize(has);
    return rc;
}

static int table_note_version(sqlite3 *h, const struct table *t)
{
    sqlite3_stmt *st =
        db_prepare(h, "INSERT INTO version (table_name, table_version) VALUES (?1, ?2) ON CONFLICT (table_name) "
                      "DO UPDATE SET table_version = max(table_version, excluded.table_version)");
    int rc;

    if (!st)
        return sqlite3_errcode(h);
    db_bind_sv(st, 1, sv_of(t->name));
    sqlite3_bind_int(st, 2, t->kamailio);
    rc = sqlite3_step(st);
    sqlite3_finalize(st);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int make_base(sqlite3 *h)
{
    int rc = SQLITE_OK;

    for (size_t i = 0; i < TD_ARRAY_LEN(base) && rc == SQLITE_OK; i++) {
        bool there = false;

        rc = table_exists(h, base[i].name, &there);
        if (rc == SQLITE_OK)
            rc = there ? table_complete(h, &base[i]) : table_make(h, &base[i]);
        if (rc == SQLITE_OK)
            rc = db_exec(h, base[i].indexes);
        if (rc == SQLITE_OK && base[i].kamailio)
            rc = table_note_version(h, &base[i]);
    }
    return rc;
}

static const struct {
    int number; /* 1, 2, 3 ... */
    const char *what;
    int (*run)(sqlite3 *h); /* result code of SQLite */
} migrations[] = {
    { 1, "tables of Kamailio 5.6, MSRP sessions, connections, accounting", make_base },
    { 2, "how often an MSRP session was resumed", make_base },
    { 3, "secrets of the server", make_base },
};

static int schema_number(sqlite3 *h, int *number)
{
    sqlite3_stmt *st = db_prepare(h, "PRAGMA user_version");
    int rc;

    if (!st)
        return sqlite3_errcode(h);
    rc = sqlite3_step(st);
    *number = rc == SQLITE_ROW ? sqlite3_column_int(st, 0) : 0;
    sqlite3_finalize(st);
    return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

int db_migrate(sqlite3 *h, struct buf *why)
{
    const int newest = migrations[TD_ARRAY_LEN(migrations) - 1].number;
    const char *doing = "reading the schema";
    struct buf sql = BUF_INIT;
    char said[DB_WHY_MAX];
    int rc, at = 0, err;

    rc = schema_number(h, &at);
    if (rc == SQLITE_OK && at == newest)
        return TD_OK;
    if (rc != SQLITE_OK)
        goto fail;
    doing = "starting a migration";
    rc = db_exec(h, "BEGIN IMMEDIATE");
    if (rc == SQLITE_OK)
        rc = schema_number(h, &at); /* another process may have done it meanwhile */
    if (rc != SQLITE_OK)
        goto fail;
    if (at > newest) {
        db_exec(h, "ROLLBACK");
        buf_printf(why, "the file was made by a newer version of this program (schema %d, this program knows %d)", at,
                   newest);
        return TD_EUNSUPP;
    }
    for (size_t i = 0; i < TD_ARRAY_LEN(migrations) && rc == SQLITE_OK; i++) {
        if (migrations[i].number <= at)
            continue;
        doing = migrations[i].what;
        rc = migrations[i].run(h);
    }
    if (rc == SQLITE_OK) {
        buf_printf(&sql, "PRAGMA user_version = %d", newest);
        rc = buf_failed(&sql) ? SQLITE_NOMEM : db_exec(h, sql.p);
    }
    if (rc == SQLITE_OK)
        rc = db_exec(h, "COMMIT");
    if (rc == SQLITE_OK) {
        buf_fini(&sql);
        return TD_OK;
    }
fail:
    err = db_err(rc);
    buf_printf(why, "%s: %s", doing, db_why(h, said));
    db_exec(h, "ROLLBACK");
    buf_fini(&sql);
    return err;
}
