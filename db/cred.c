/* Credentials: the memory first, then the reader thread. */
#include "db/cred.h"

#include <ctype.h>
#include <poll.h>
#include <stdlib.h>

#include "common/crypto.h"
#include "common/err.h"
#include "common/log.h"
#include "db/credcache.h"
#include "db/db_private.h"
#include "db/reader.h"

enum { READER_BUSY_MS = 2000 };

struct reader {
    pthread_t thread;
    struct mailbox *mailbox; /* owned */
    sqlite3 *h;              /* owned */
    sqlite3_stmt *subscriber;
    bool stopping;
    uint64_t log_at;         /* not before */
    struct post stop_post;
};

struct db_cred_req {
    struct post post; /* to the reader, then back */
    struct db *db;    /* back */
    struct mailbox *mb; /* borrowed */
    void (*done)(int err, const struct db_cred *cred, void *arg); /* NULL: cancelled; the asking thread's own */
    void *arg;
    int err;
    struct db_cred cred;
    char user[DB_CRED_NAME_MAX + 1], domain[DB_CRED_NAME_MAX + 1];
};

/* ---- on the reader thread */

/* A stored HA1 in lower case; what has not the right length is as good as absent. */
static void take_ha1(char *out, size_t digits, struct sv stored)
{
    out[0] = '\0';
    if (stored.n != digits)
        return;
    for (size_t i = 0; i < digits; i++)
        out[i] = (char)tolower((unsigned char)stored.p[i]);
    out[digits] = '\0';
}

/* at: "@" when the username is user@domain, else "". */
static void ha1_of(enum crypto_hash alg, const char *user, const char *at, const char *domain, struct sv password, char *out,
                   size_t size)
{
    char hex[CRYPTO_HEX_MAX];
    struct buf a1 = BUF_INIT;

    buf_printf(&a1, "%s%s%s:%s:", user, at, *at ? domain : "", domain);
    buf_add_sv(&a1, password);
    out[0] = '\0';
    if (!buf_failed(&a1)) {
        crypto_hash_hex(alg, buf_sv(&a1), hex);
        sv_copy(sv_of(hex), out, size);
    }
    buf_fini(&a1);
}

static int look_up(struct reader *r, struct db_cred_req *q)
{
    struct db_cred *c = &q->cred;
    struct sv plain;
    int rc;

    if (!r->subscriber)
        r->subscriber = db_prepare(
            r->h, "SELECT password, ha1, ha1_sha256, blocked, ha1b FROM subscriber WHERE username = ?1 AND domain = ?2");
    if (!r->subscriber)
        return db_err(sqlite3_errcode(r->h));
    db_bind_sv(r->subscriber, 1, sv_of(q->user));
    db_bind_sv(r->subscriber, 2, sv_of(q->domain));
    rc = sqlite3_step(r->subscriber);
    if (rc == SQLITE_ROW) {
        c->found = true;
        plain = db_column_sv(r->subscriber, 0);
        take_ha1(c->ha1_md5, 32, db_column_sv(r->subscriber, 1));
        take_ha1(c->ha1_sha256, 64, db_column_sv(r->subscriber, 2));
        c->blocked = sqlite3_column_int(r->subscriber, 3) != 0;
        take_ha1(c->ha1b_md5, 32, db_column_sv(r->subscriber, 4));
        if (plain.n) {
            ha1_of(CRYPTO_MD5, q->user, "", q->domain, plain, c->ha1_md5, sizeof c->ha1_md5);
            ha1_of(CRYPTO_MD5, q->user, "@", q->domain, plain, c->ha1b_md5, sizeof c->ha1b_md5);
            ha1_of(CRYPTO_SHA256, q->user, "", q->domain, plain, c->ha1_sha256, sizeof c->ha1_sha256);
        }
    }
    sqlite3_reset(r->subscriber);
    sqlite3_clear_bindings(r->subscriber);
    return db_err(rc);
}

static void cred_answered(struct post *p)
{
    struct db_cred_req *q = TD_CONTAINER_OF(p, struct db_cred_req, post);

    __atomic_sub_fetch(&q->db->pending_creds, 1, __ATOMIC_RELAXED);
    if (q->done)
        q->done(q->err, q->err ? NULL : &q->cred, q->arg);
    free(q);
}

/* Each AUTH of a stranger may fail so. */
static void log_failure(struct reader *r)
{
    char said[DB_WHY_MAX];

    if (db_now_ms() < r->log_at)
        return;
    r->log_at = db_now_ms() + DB_LOG_MS;
    log_warn("db", 0, "subscribers cannot be looked up: %s", db_why(r->h, said));
}

static void cred_asked(struct post *p)
{
    struct db_cred_req *q = TD_CONTAINER_OF(p, struct db_cred_req, post);
    struct cred_cache *cache = q->db->creds;
    uint64_t generation = cred_cache_generation(cache);
    struct sv user = sv_of(q->user), domain = sv_of(q->domain);

    /* Several may have asked for the same user meanwhile. */
    if (!cred_cache_get(cache, user, domain, db_now_ms(), &q->cred)) {
        q->err = look_up(q->db->reader, q);
        if (q->err)
            log_failure(q->db->reader);
        else
            cred_cache_put(cache, user, domain, db_now_ms(), &q->cred, generation);
    }
    q->post.fn = cred_answered;
    mailbox_post(q->mb, &q->post);
}

static void reader_told_to_stop(struct post *p)
{
    TD_CONTAINER_OF(p, struct reader, stop_post)->stopping = true;
}

static void *reader_main(void *arg)
{
    struct reader *r = arg;

    while (!r->stopping) {
        struct pollfd fd = { .fd = mailbox_fd(r->mailbox), .events = POLLIN };

        poll(&fd, 1, -1);
        mailbox_run(r->mailbox);
    }
    return NULL;
}

/* ---- starting and stopping it */

static void reader_free(struct reader *r)
{
    mailbox_free(&r->mailbox);
    sqlite3_finalize(r->subscriber);
    sqlite3_close(r->h);
    free(r);
}

int reader_start(struct reader **out, struct db *db)
{
    struct reader *r = calloc(1, sizeof *r);
    int err, num;

    *out = NULL;
    if (!r)
        return TD_ENOMEM;
    err = mailbox_new(&r->mailbox);
    if (!err)
        err = db_handle_open(&r->h, db->file, READER_BUSY_MS, NULL);
    if (err)
        goto out;
    db_exec(r->h, "PRAGMA query_only = 1");
    db->reader = r;
    num = pthread_create(&r->thread, NULL, reader_main, r);
    if (num) {
        db->reader = NULL;
        err = td_err_from_errno(num);
        goto out;
    }
    r = NULL;
out:
    if (r)
        reader_free(r);
    return err;
}

void reader_stop(struct reader **rp)
{
    struct reader *r = *rp;

    if (!r)
        return;
    r->stop_post.fn = reader_told_to_stop;
    mailbox_post(r->mailbox, &r->stop_post);
    pthread_join(r->thread, NULL);
    mailbox_run(r->mailbox); /* what came after the stop: it needs *rp */
    *rp = NULL;
    reader_free(r);
}

struct mailbox *reader_mailbox(struct reader *r)
{
    return r->mailbox;
}

/* ---- on any thread */

int db_cred_get(struct db *db, struct sv user, struct sv domain, struct db_cred *out, struct mailbox *mb,
                void (*done)(int err, const struct db_cred *cred, void *arg), void *arg, struct db_cred_req **req)
{
    struct db_cred_req *q;

    *req = NULL;
    *out = (struct db_cred){ 0 };
    /* No such user can be in the table. */
    if (user.n == 0 || user.n > DB_CRED_NAME_MAX || domain.n > DB_CRED_NAME_MAX || memchr(user.p, '\0', user.n) ||
        (domain.n && memchr(domain.p, '\0', domain.n)))
        return 1;
    if (cred_cache_get(db->creds, user, domain, db_now_ms(), out))
        return 1;
    if (!db->reader)
        return TD_ECLOSED;
    if (__atomic_add_fetch(&db->pending_creds, 1, __ATOMIC_RELAXED) > DB_CRED_PENDING_MAX) {
        __atomic_sub_fetch(&db->pending_creds, 1, __ATOMIC_RELAXED);
        return TD_EBUSY;
    }
    q = calloc(1, sizeof *q);
    if (!q) {
        __atomic_sub_fetch(&db->pending_creds, 1, __ATOMIC_RELAXED);
        return TD_ENOMEM;
    }
    q->db = db;
    q->mb = mb;
    q->done = done;
    q->arg = arg;
    sv_copy(user, q->user, sizeof q->user);
    sv_copy(domain, q->domain, sizeof q->domain);
    q->post.fn = cred_asked;
    *req = q;
    mailbox_post(reader_mailbox(db->reader), &q->post);
    return 0;
}

void db_cred_cancel(struct db_cred_req *req)
{
    req->done = NULL;
}

void db_cred_flush(struct db *db)
{
    cred_cache_flush(db->creds);
}
