/* Registrations: Kamailio's table location, version 9.
 *
 * A change set is atomic: all of it or nothing. It is answered after it is on the disk (synced), together with all
 * that came meanwhile (group commit). A lone one is committed at once; where several came together, those that follow
 * gather for WRITER_GROUP_MS at most. A change set is never dropped: it ends with
 * done(), TD_OK or an error (nothing of it is stored then: disk full, read-only, locked for seconds).
 * Sets of one thread are written in the order they were committed. */
#pragma once

#include "common/mailbox.h"
#include "common/sv.h"

struct db;
struct db_loc_set;

/* Columns by their names; empty texts marked (null) are stored as NULL. Times are UNIX seconds; expires 0 means
 * never (as in Kamailio, where it reads 1970-01-01 00:00:00). */
struct db_location {
    struct sv ruid;               /* unique: the key */
    struct sv username, domain, contact;
    struct sv received, path;     /* (null) */
    int64_t expires;
    double q;                     /* 0..1; -1: none given */
    struct sv callid;
    int64_t cseq;
    int64_t last_modified;
    int64_t flags, cflags;
    struct sv user_agent;
    struct sv socket;             /* (null) */
    int64_t methods;              /* bit mask; -1: NULL */
    struct sv instance;           /* (null) */
    int64_t reg_id, server_id, connection_id, keepalive, partition;
};

/* Start a change set; NULL when out of memory. A failing db_loc_put/del shows in done(). */
struct db_loc_set *db_loc_begin(struct db *db);
void db_loc_put(struct db_loc_set *set, const struct db_location *row); /* insert, or replace by ruid */
/* The same, and cheaper, for a row that is there with this username, domain, contact, server_id and connection_id.
 * Should somebody have deleted it meanwhile, it is inserted. */
void db_loc_refresh(struct db_loc_set *set, const struct db_location *row);
void db_loc_del(struct db_loc_set *set, struct sv ruid);
void db_loc_del_aor(struct db_loc_set *set, struct sv username, struct sv domain);
void db_loc_del_expired(struct db_loc_set *set, int64_t now); /* rows whose time is over */
void db_loc_drop(struct db_loc_set **set);                    /* changed my mind */

/* Hand it over. done runs from mailbox_run(mb) on the caller's thread, exactly once; mb and done may both be NULL when
 * nobody waits. After db_stop() (or before db_start()) it ends with TD_ECLOSED. */
void db_loc_commit(struct db_loc_set *set, struct mailbox *mb, void (*done)(int err, void *arg), void *arg);

/* Every binding that has not expired. Blocking, for start-up. fn returns false to stop. */
int db_loc_load(struct db *db, int64_t now, bool (*fn)(const struct db_location *row, void *arg), void *arg);
