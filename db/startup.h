/* What a starting process takes over from the last one. Blocking calls between db_open() and db_start(). */
#pragma once

#include "db/feed.h"

/* Rows of `connection` that are still open belong to a process that is gone: close them as of now. */
int db_conn_close_stale(struct db *db, int64_t now);

/* The largest conn_id in use; 0 when there is none. */
int db_conn_max_id(struct db *db, uint64_t *max);

/* Sessions whose time ran out while nobody watched become `expired`; fn is called for every one that is still
 * active. The row's texts live during the call. fn returns false to stop. */
int db_session_each_live(struct db *db, int64_t now, bool (*fn)(const struct db_session *s, void *arg), void *arg);

/* Sessions that are still `active` belong to connections that are gone: they become `closed`. */
int db_session_close_all(struct db *db, int64_t now);

/* No stream outlives the edge: forget the registrations that came on one. */
int db_loc_drop_streams(struct db *db);
