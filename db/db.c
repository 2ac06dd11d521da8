/* Opening, starting and stopping the database; small helpers around SQLite. */
#include "db/db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/err.h"
#include "db/cred.h"
#include "db/credcache.h"
#include "db/db_private.h"
#include "db/feed_private.h"
#include "db/migrate.h"
#include "db/queries.h"
#include "db/reader.h"
#include "db/writer.h"

enum { MAIN_BUSY_MS = 5000 };

int db_err(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return TD_OK;
    case SQLITE_NOMEM:
        return TD_ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return TD_EBUSY;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_AUTH:
        return TD_EPERM;
    case SQLITE_FULL:
        return TD_ELIMIT;
    case SQLITE_CONSTRAINT:
        return TD_EEXIST;
    default:
        return TD_EIO;
    }
}

sqlite3_stmt *db_prepare(sqlite3 *h, const char *sql)
{
    sqlite3_stmt *st = NULL;

    return sqlite3_prepare_v3(h, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL) == SQLITE_OK ? st : NULL;
}

int db_exec(sqlite3 *h, const char *sql)
{
    return sqlite3_exec(h, sql, NULL, NULL, NULL);
}

void db_bind_sv(sqlite3_stmt *st, int at, struct sv text)
{
    sqlite3_bind_text64(st, at, text.p ? text.p : "", text.n, SQLITE_STATIC, SQLITE_UTF8);
}

struct sv db_column_sv(sqlite3_stmt *st, int at)
{
    const void *text = sqlite3_column_text(st, at);

    return sv_make(text ? text : "", text ? (size_t)sqlite3_column_bytes(st, at) : 0);
}

uint64_t db_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

const char *db_why(sqlite3 *h, char out[DB_WHY_MAX])
{
    int rc = sqlite3_errcode(h) & 0xff, num = rc == SQLITE_IOERR || rc == SQLITE_CANTOPEN ? sqlite3_system_errno(h) : 0;
    char system[80];

    snprintf(out, DB_WHY_MAX, "%s%s%s%s", sqlite3_errmsg(h), num ? " (" : "",
             num ? strerror_r(num, system, sizeof system) : "", num ? ")" : "");
    return out;
}

/* Make the directories in front of the last slash. */
static int make_parents(const char *file, struct buf *why)
{
    char *path = strdup(file), *slash;
    int err = TD_OK;

    if (!path)
        return TD_ENOMEM;
    for (slash = strchr(path + 1, '/'); slash && err == TD_OK; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0750) < 0 && errno != EEXIST) {
            struct stat sb;
            int num = errno;

            if (stat(path, &sb) < 0) { /* there already, though we may not write above it */
                err = td_err_from_errno(num);
                buf_printf(why, "cannot make the directory %s: %s", path, strerror(num));
            }
        }
        *slash = '/';
    }
    free(path);
    return err;
}

/* SQLite would make the file world-readable. One that exists is not opened here: closing it would drop the locks of
 * another handle of this process. */
static int make_file(const char *file, struct buf *why)
{
    int fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640), num;

    if (fd >= 0) {
        close(fd);
        return TD_OK;
    }
    num = errno;
    if (num == EEXIST)
        return TD_OK;
    buf_printf(why, "cannot make %s: %s", file, strerror(num));
    return td_err_from_errno(num);
}

int db_handle_open(sqlite3 **out, const char *file, int busy_ms, struct buf *why)
{
    char said[DB_WHY_MAX];
    sqlite3 *h = NULL;
    int rc = sqlite3_open_v2(file, &h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL), err = TD_OK;

    *out = NULL;
    if (rc == SQLITE_OK) {
        sqlite3_extended_result_codes(h, 1);
        sqlite3_busy_timeout(h, busy_ms);
        if (sqlite3_db_readonly(h, "main"))
            rc = SQLITE_READONLY;
    }
    if (rc == SQLITE_OK)
        rc = db_exec(h, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 16777216");
    if (rc == SQLITE_OK) {
        *out = h;
        return TD_OK;
    }
    err = db_err(rc);
    if (why)
        buf_printf(why, "cannot open %s for writing: %s", file,
                   h && rc != SQLITE_READONLY ? db_why(h, said) : sqlite3_errstr(rc));
    sqlite3_close(h);
    return err;
}

int db_open(struct db **out, const char *file, struct buf *why)
{
    struct db *db = calloc(1, sizeof *db);
    struct buf fault = BUF_INIT;
    size_t start = why->n;
    int err = TD_ENOMEM;

    *out = NULL;
    if (!db)
        goto out;
    pthread_mutex_init(&db->feeds_lock, NULL);
    list_init(&db->feeds);
    db->file = strdup(file);
    if (!db->file)
        goto out;
    err = cred_cache_new(&db->creds, DB_CRED_CACHE_MAX);
    if (err)
        goto out;
    err = make_parents(file, why);
    if (err)
        goto out;
    err = make_file(file, why);
    if (err)
        goto out;
    err = db_handle_open(&db->main, file, MAIN_BUSY_MS, why);
    if (err)
        goto out;
    err = db_migrate(db->main, &fault);
    if (err) {
        buf_printf(why, "cannot use %s: " SV_FMT, file, SV_ARG(buf_sv(&fault)));
        goto out;
    }
    *out = db;
    db = NULL;
out:
    if (err && why->n == start)
        buf_printf(why, "cannot open %s: %s", file, td_err_text(err));
    buf_fini(&fault);
    db_close(&db);
    return err;
}

void db_close(struct db **dbp)
{
    struct db *db = *dbp;

    if (!db)
        return;
    *dbp = NULL;
    db_stop(db);
    db_feeds_free(db);
    cred_cache_free(&db->creds);
    sqlite3_close(db->main);
    pthread_mutex_destroy(&db->feeds_lock);
    free(db->file);
    free(db);
}

void db_fault(struct db *db, struct buf *why)
{
    char said[DB_WHY_MAX];

    buf_printf(why, "cannot use %s: %s", db->file, db_why(db->main, said));
}

int db_start(struct db *db)
{
    int err = writer_start(&db->writer, db);

    if (!err)
        err = reader_start(&db->reader, db);
    if (err)
        db_stop(db);
    return err;
}

void db_stop(struct db *db)
{
    queries_stop(&db->queries);
    reader_stop(&db->reader);
    writer_stop(&db->writer);
}

void db_keep(struct db *db, int64_t seconds)
{
    __atomic_store_n(&db->keep_s, seconds, __ATOMIC_RELAXED);
}

void db_stats_add(struct db *db, struct stats *into)
{
    pthread_mutex_lock(&db->feeds_lock);
    stats_sum(into, &db->late);
    if (db->writer)
        stats_sum(into, writer_stats(db->writer));
    stats_add(into, STAT_db_rows_lost, (int64_t)db_feeds_lost(db));
    pthread_mutex_unlock(&db->feeds_lock);
}

const char *db_library_version(void)
{
    return sqlite3_libversion();
}
