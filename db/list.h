/* Listings for the control thread: a read-only handle of its own, blocking for some milliseconds.
 *
 * fn gets rows whose texts live during the call and returns false to stop. One handle a thread. */
#pragma once

#include "db/feed.h"
#include "db/location.h"

struct db_reader;

int db_reader_new(struct db_reader **out, struct db *db);
void db_reader_free(struct db_reader **r);

/* Live bindings, ordered by address of record; all of one user when username is not empty. */
int db_list_registrations(struct db_reader *r, int64_t now, struct sv username, struct sv domain,
                          bool (*fn)(const struct db_location *row, void *arg), void *arg);
/* Newest first. */
int db_list_connections(struct db_reader *r, unsigned max, bool (*fn)(const struct db_conn *c, void *arg), void *arg);
int db_list_sessions(struct db_reader *r, bool active_only, unsigned max,
                     bool (*fn)(const struct db_session *s, void *arg), void *arg);
