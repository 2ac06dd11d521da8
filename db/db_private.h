/* What the files of db/ share: the handle, and SQLite with our habits around it. Not for other folders. */
#pragma once

#include <pthread.h>
#include <sqlite3.h>

#include "common/list.h"
#include "common/mailbox.h"
#include "db/db.h"
#include "db/feed.h"
#include "db/location.h"

struct writer;
struct queries;
struct reader;

struct db {
    char *file;            /* owned */
    sqlite3 *main;         /* owned: blocking calls of the thread that opened us */
    struct writer *writer; /* owned; NULL: not started */
    struct reader *reader; /* owned; NULL: not started */
    struct cred_cache *creds; /* owned */
    struct queries *queries;  /* owned; NULL: not started */
    unsigned pending_creds, pending_queries; /* atomic: under way */
    int64_t keep_s;           /* atomic: of old rows; 0: for ever */
    struct stats late;        /* counters of writers that are gone */

    pthread_mutex_t feeds_lock;
    struct list feeds; /* struct db_feed */
};

/* One more connection to the file, for one thread at a time. */
int db_handle_open(sqlite3 **out, const char *file, int busy_ms, struct buf *why);

int db_err(int rc); /* a TD_E... for a result code of SQLite */

/* Prepare; NULL on failure. Cached by the caller. */
sqlite3_stmt *db_prepare(sqlite3 *h, const char *sql);
int db_exec(sqlite3 *h, const char *sql); /* result code of SQLite */
void db_bind_sv(sqlite3_stmt *st, int at, struct sv text);
struct sv db_column_sv(sqlite3_stmt *st, int at);
uint64_t db_now_ms(void); /* monotonic */

enum { DB_WHY_MAX = 160, DB_LOG_MS = 60000 /* one line in that time about what goes on failing */ };
/* Why the last call on that handle failed, as an operator wants to read it: with what the system said, where it was
 * asked. */
const char *db_why(sqlite3 *h, char out[DB_WHY_MAX]);

/* Columns in the order that db_session_read(), db_location_read(), db_conn_read() take them in. */
#define DB_SESSION_COLUMNS                                                                                             \
    "session_id, username, domain, conn_id, peer_uri, srcaddr, srcsock, use_path, strftime('%s', created), "           \
    "strftime('%s', expires), strftime('%s', last_activity), state, frames_in, frames_out, bytes_in, bytes_out, resumed"
void db_session_read(sqlite3_stmt *st, struct db_session *s);

#define DB_LOCATION_COLUMNS                                                                                            \
    "ruid, username, domain, contact, received, path, strftime('%s', expires), q, callid, cseq, "                      \
    "strftime('%s', last_modified), flags, cflags, user_agent, socket, methods, instance, reg_id, server_id, "         \
    "connection_id, keepalive, \"partition\""
#define DB_LOCATION_LIVE "(expires > datetime(?1, 'unixepoch') OR expires = '1970-01-01 00:00:00')"
void db_location_read(sqlite3_stmt *st, struct db_location *row);

#define DB_CONN_COLUMNS                                                                                                \
    "conn_id, protocol, transport, peer, local, tls_version, tls_cipher, peer_name, strftime('%s', opened), "          \
    "strftime('%s', closed), close_reason, bytes_in, bytes_out"
void db_conn_read(sqlite3_stmt *st, struct db_conn *c);
