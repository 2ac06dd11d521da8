/* What a starting process takes over from the last one. Blocking calls between db_open() and db_start(). */
#pragma once

#include "db/feed.h"

/* Rows of `connection` that are still open belong to a process that is gone: close them as of now. */
int db_conn_close_stale(struct db *db, int64_t now);

/* The secret of that name: of the file, made when it is first asked for. */
enum { DB_SECRET_LEN = 32 };
int db_secret(struct db *db, const char *name, char out[DB_SECRET_LEN + 1]);

/* The largest conn_id in use; 0 when there is none. */
int db_conn_max_id(struct db *db, uint64_t *max);

/* Sessions that were alive when the last process ended, and are to wait for their owners until that time at most (UNIX
 * seconds): fn is called for each with the expiry it has then, and returns false for one that is not taken over. The
 * row's texts live during the call. In one transaction those that were taken become rows without a connection that
 * expire then, the others `closed`, and what has run out meanwhile `expired`. */
int db_session_take_over(struct db *db, int64_t now, int64_t until, bool (*fn)(const struct db_session *s, void *arg), void *arg);

/* No stream outlives the edge: forget the registrations that came on one. */
int db_loc_drop_streams(struct db *db);
