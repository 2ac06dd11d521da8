/* Administration of subscribers, on the file. */
#include "db/subscriber.h"

#include "common/crypto.h"
#include "common/err.h"
#include "db/cred.h"
#include "db/db_private.h"

enum { PASSWORD_MAX = 1024 };

static bool name_is_good(struct sv name)
{
    if (name.n == 0 || name.n > DB_CRED_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];

        if (c <= ' ' || c == 0x7f || c == '"' || c == '\\' || c == ':' || c == '@')
            return false;
    }
    return true;
}

struct hashes {
    char ha1[CRYPTO_HEX_MAX], ha1b[CRYPTO_HEX_MAX], sha256[CRYPTO_HEX_MAX];
};

/* ha1b is Kamailio's for clients that put user@domain into username. */
static int hash_password(struct hashes *out, struct sv user, struct sv domain, struct sv password)
{
    struct buf b = BUF_INIT;
    int err;

    buf_printf(&b, SV_FMT ":" SV_FMT ":", SV_ARG(user), SV_ARG(domain));
    buf_add_sv(&b, password);
    crypto_hash_hex(CRYPTO_MD5, buf_sv(&b), out->ha1);
    crypto_hash_hex(CRYPTO_SHA256, buf_sv(&b), out->sha256);
    err = buf_failed(&b) ? TD_ENOMEM : TD_OK;
    buf_clear(&b);
    buf_printf(&b, SV_FMT "@" SV_FMT ":" SV_FMT ":", SV_ARG(user), SV_ARG(domain), SV_ARG(domain));
    buf_add_sv(&b, password);
    crypto_hash_hex(CRYPTO_MD5, buf_sv(&b), out->ha1b);
    if (buf_failed(&b))
        err = TD_ENOMEM;
    buf_fini(&b);
    return err;
}

/* Run a statement to its end; need_change: TD_ENOENT when it changed no row. */
static int run(struct db *db, sqlite3_stmt *st, bool need_change)
{
    int rc = sqlite3_step(st);

    sqlite3_finalize(st);
    if (rc != SQLITE_DONE)
        return db_err(rc);
    return need_change && sqlite3_changes(db->main) == 0 ? TD_ENOENT : TD_OK;
}

static int set_password(struct db *db, const char *sql, bool need_change, struct sv user, struct sv domain,
                        struct sv password)
{
    struct hashes h;
    sqlite3_stmt *st;
    int err;

    if (!name_is_good(user) || !name_is_good(domain) || password.n == 0 || password.n > PASSWORD_MAX)
        return TD_EINVAL;
    err = hash_password(&h, user, domain, password);
    if (err)
        return err;
    st = db_prepare(db->main, sql);
    if (!st)
        return db_err(sqlite3_errcode(db->main));
    db_bind_sv(st, 1, user);
    db_bind_sv(st, 2, domain);
    db_bind_sv(st, 3, sv_of(h.ha1));
    db_bind_sv(st, 4, sv_of(h.ha1b));
    db_bind_sv(st, 5, sv_of(h.sha256));
    return run(db, st, need_change);
}

int db_user_add(struct db *db, struct sv user, struct sv domain, struct sv password)
{
    return set_password(db,
                        "INSERT INTO subscriber (username, domain, ha1, ha1b, ha1_sha256) VALUES (?1, ?2, ?3, ?4, ?5)",
                        false, user, domain, password);
}

int db_user_passwd(struct db *db, struct sv user, struct sv domain, struct sv password)
{
    return set_password(db, "UPDATE subscriber SET ha1 = ?3, ha1b = ?4, ha1_sha256 = ?5, password = '' "
                            "WHERE username = ?1 AND domain = ?2", true, user, domain, password);
}

int db_user_block(struct db *db, struct sv user, struct sv domain, bool blocked)
{
    sqlite3_stmt *st = db_prepare(db->main, "UPDATE subscriber SET blocked = ?3 WHERE username = ?1 AND domain = ?2");

    if (!st)
        return db_err(sqlite3_errcode(db->main));
    db_bind_sv(st, 1, user);
    db_bind_sv(st, 2, domain);
    sqlite3_bind_int(st, 3, blocked);
    return run(db, st, true);
}

int db_user_del(struct db *db, struct sv user, struct sv domain)
{
    sqlite3_stmt *del = db_prepare(db->main, "DELETE FROM subscriber WHERE username = ?1 AND domain = ?2");
    sqlite3_stmt *unbind = db_prepare(db->main, "DELETE FROM location WHERE username = ?1 AND domain = ?2");
    int err = TD_OK;

    if (!del || !unbind || db_exec(db->main, "BEGIN IMMEDIATE") != SQLITE_OK) {
        err = db_err(sqlite3_errcode(db->main));
        sqlite3_finalize(del);
        sqlite3_finalize(unbind);
        return err;
    }
    db_bind_sv(del, 1, user);
    db_bind_sv(del, 2, domain);
    db_bind_sv(unbind, 1, user);
    db_bind_sv(unbind, 2, domain);
    err = run(db, del, true);
    if (err)
        sqlite3_finalize(unbind);
    else
        err = run(db, unbind, false);
    if (!err)
        err = db_err(db_exec(db->main, "COMMIT"));
    if (err)
        db_exec(db->main, "ROLLBACK");
    return err;
}

int db_user_each(struct db *db, bool (*fn)(const struct db_user *u, void *arg), void *arg)
{
    sqlite3_stmt *st =
        db_prepare(db->main, "SELECT username, domain, blocked, length(ha1) = 32, length(ha1_sha256) = 64, "
                             "password <> '' FROM subscriber ORDER BY domain, username");
    int rc;

    if (!st)
        return db_err(sqlite3_errcode(db->main));
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct db_user u = {
            .username = db_column_sv(st, 0), .domain = db_column_sv(st, 1), .blocked = sqlite3_column_int(st, 2) != 0,
            .has_md5 = sqlite3_column_int(st, 3) != 0, .has_sha256 = sqlite3_column_int(st, 4) != 0,
            .has_plain = sqlite3_column_int(st, 5) != 0,
        };

        if (!fn(&u, arg))
            break;
    }
    sqlite3_finalize(st);
    return db_err(rc);
}

const char *db_error_text(struct db *db)
{
    return sqlite3_errmsg(db->main);
}
