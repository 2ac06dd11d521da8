/* Credentials of subscribers: looked up on the reader thread, remembered for ten seconds.
 *
 * The memory is bounded and shared by all threads of the process (striped locks, held for a copy only). Unknown
 * users are remembered as well. */
#pragma once

#include "common/mailbox.h"
#include "common/sv.h"

struct db;
struct db_cred_req;

enum {
    DB_CRED_TTL_MS = 10000,
    DB_CRED_CACHE_MAX = 8192,  /* entries */
    DB_CRED_NAME_MAX = 255,    /* bytes of user and of domain; longer is unknown */
    DB_CRED_PENDING_MAX = 4096 /* lookups under way; more fail with TD_EBUSY */
};

struct db_cred {
    bool found;
    bool blocked;
    char ha1_md5[33];    /* lower-case hex; empty: the user has none */
    char ha1b_md5[33];   /* the same for clients that give user@domain as their username, as Kamailio has it */
    char ha1_sha256[65];
};

/* Returns 1: *out is filled, done will not be called.
 * 0: under way; done runs from mailbox_run(mb), exactly once unless cancelled; *req names the lookup until then.
 * Negative: an error, done will not be called. done's err is TD_OK or what went wrong (cred is NULL then). */
int db_cred_get(struct db *db, struct sv user, struct sv domain, struct db_cred *out, struct mailbox *mb,
                void (*done)(int err, const struct db_cred *cred, void *arg), void *arg, struct db_cred_req **req);

/* On the thread that asked: done is not called any more. */
void db_cred_cancel(struct db_cred_req *req);

/* Forget everything: users were changed (SIGHUP). Any thread. */
void db_cred_flush(struct db *db);
