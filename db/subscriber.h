/* Administration of subscribers, on the file, with or without a running server. Blocking; not for loops.
 *
 * A running server sees a change within DB_CRED_TTL_MS, or when it is told (auth.flush). Passwords are stored as HA1 (MD5 and SHA-256 of
 * user:domain:password) only; setting one clears a plain `password` that somebody else had stored. */
#pragma once

#include "common/sv.h"

struct db;

/* TD_EEXIST: there is such a user. TD_EINVAL: user or domain is empty, too long, or has a character that cannot be in a
 * digest or a URI (control characters, space, quote, colon, @, backslash); an empty password. */
int db_user_add(struct db *db, struct sv user, struct sv domain, struct sv password);
/* TD_ENOENT: no such user (these four). */
int db_user_passwd(struct db *db, struct sv user, struct sv domain, struct sv password);
int db_user_block(struct db *db, struct sv user, struct sv domain, bool blocked);
int db_user_del(struct db *db, struct sv user, struct sv domain); /* registrations included */

struct db_user {
    struct sv username, domain;
    bool blocked, has_md5, has_sha256, has_plain;
};
/* Ordered by domain and name. fn returns false to stop. */
int db_user_each(struct db *db, bool (*fn)(const struct db_user *u, void *arg), void *arg);

/* What the last failing call on this handle said, for the operator; never NULL. */
const char *db_error_text(struct db *db);
