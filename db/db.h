/* The database: one SQLite file in WAL mode, opened, migrated and served by threads.
 *
 * Two stages. db_open() makes or opens the file, brings its tables up to date and gives a handle for
 * calls that may block: start-up, tandemctl (db/subscriber.h, db/list.h). db_start() adds the writer thread (db/feed.h,
 * db/location.h) and the reader thread (db/cred.h), after which no call of those three ever blocks its caller.
 *
 * Every process opens the file for itself. Open it as the user the server runs as: SQLite makes two more files
 * beside it. Nothing outside db/ sees the engine.
 *
 * Stop: first the threads that use it stop putting, then db_stop(), which writes what waits and answers every
 * request into the mailboxes, then the mailboxes may go, then db_close(). */
#pragma once

#include "common/buf.h"
#include "common/stats.h"

struct db;

/* Open FILE, making it (mode 0640) and its directory when missing, and migrate it. On failure *out is NULL and why
 * holds one sentence for the operator, without a newline. */
int db_open(struct db **out, const char *file, struct buf *why);
void db_close(struct db **db); /* db_stop() included */

/* Why the last call of db/startup.h or another that may block has failed: one sentence for the operator, with the
 * file's name. */
void db_fault(struct db *db, struct buf *why);

int db_start(struct db *db);
void db_stop(struct db *db);

/* Rows of accounting, and of sessions and connections that have ended, that are older than that are removed, little by
 * little, by the writer thread;
 * 0: never, as at the start. Any thread; of several processes with the file one does it. */
void db_keep(struct db *db, int64_t seconds);

/* into += the counters of the database threads and of all feeds. Any thread. */
void db_stats_add(struct db *db, struct stats *into);

/* Of the engine. */
const char *db_library_version(void);
