/* The writer thread.
 *
 * Rows gather in the feeds for WRITER_WAIT_MS after the first one (less when a feed is half full), then they are
 * copied to the batch and written in one short transaction: the file is never locked while waiting. A batch that
 * fails is kept and tried again; meanwhile rows wait in the feeds, and what finds no room there is lost and counted.
 * Registrations come by mailbox and are committed at once, all that are there together, with a sync of their own; after
 * a commit of several the next ones gather for a while, as a sync costs as much as many of them;
 * those that fail are answered with the error, as somebody waits for them. */
#include "db/writer.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/err.h"
#include "common/log.h"
#include "db/db_private.h"
#include "db/feed_private.h"
#include "db/location_private.h"
#include "db/prune.h"
#include "db/record.h"

enum step { STEP_BEGIN, STEP_COMMIT, STEP_ROLLBACK, STEP_SAVE, STEP_UNSAVE, STEP_RELEASE, STEP_N };
static const char *const step_sql[STEP_N] = {
    "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK", "SAVEPOINT one_set", "ROLLBACK TO one_set", "RELEASE one_set",
};

struct writer {
    struct db *db; /* back */
    pthread_t thread;
    struct mailbox *mailbox; /* owned */
    int wake_fd;             /* owned: producers have put rows */
    sqlite3 *h;              /* owned, as are its statements */
    sqlite3_stmt *rows[ROW_KIND_N], *steps[STEP_N];
    bool sync_full;

    struct list sets;  /* struct db_loc_set */
    uint64_t group_at; /* not before, if they came together last time; 0: at once */
    struct buf batch; /* length (4 bytes) and record, again and again */
    size_t batch_rows;

    struct prune prune;
    uint64_t prune_at; /* its next step */

    bool failing, failure_logged;
    bool stopping;
    uint64_t due_at;   /* 0: no rows wait */
    uint64_t retry_at; /* while failing */
    uint64_t lost_logged, lost_log_at;
    uint64_t fail_log_at, sets_log_at; /* lines of each kind: not before */
    struct stats stats;
    struct post stop_post;
};

int writer_wake_fd(const struct writer *w)
{
    return w->wake_fd;
}

const struct stats *writer_stats(const struct writer *w)
{
    return &w->stats;
}

struct mailbox *writer_mailbox(struct writer *w)
{
    return w->mailbox;
}

/* ---- SQLite */

static int writer_step(struct writer *w, enum step which)
{
    int rc;

    if (!w->steps[which])
        w->steps[which] = db_prepare(w->h, step_sql[which]);
    if (!w->steps[which])
        return sqlite3_errcode(w->h);
    rc = sqlite3_step(w->steps[which]);
    sqlite3_reset(w->steps[which]);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static bool may_log(uint64_t *at)
{
    uint64_t now = db_now_ms();

    if (now < *at)
        return false;
    *at = now + DB_LOG_MS;
    return true;
}

static int writer_begin(struct writer *w, bool sync_full)
{
    if (w->sync_full != sync_full) {
        db_exec(w->h, sync_full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
        w->sync_full = sync_full;
    }
    return writer_step(w, STEP_BEGIN);
}

static int writer_row_as(struct writer *w, enum row_kind kind, const void *record)
{
    int rc;

    if (!w->rows[kind])
        w->rows[kind] = db_prepare(w->h, row_sql(kind));
    if (!w->rows[kind])
        return sqlite3_errcode(w->h);
    rc = record_bind(record, w->rows[kind]);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(w->rows[kind]);
    sqlite3_reset(w->rows[kind]);
    sqlite3_clear_bindings(w->rows[kind]);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int writer_row(struct writer *w, const void *record)
{
    enum row_kind kind = record_kind(record);
    int rc = writer_row_as(w, kind, record);

    if (rc == SQLITE_OK && kind == ROW_LOC_REFRESH && sqlite3_changes(w->h) == 0) /* somebody has deleted it */
        rc = writer_row_as(w, ROW_LOC_PUT, record);
    return rc;
}

/* Is it the row's own fault (a constraint somebody added, a column somebody dropped)? Then the others can go on. */
static bool is_row_fault(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
    case SQLITE_ERROR:
        return true;
    default:
        return false;
    }
}

/* Walk length-prefixed records; NULL at the end. */
static const void *next_record(const struct buf *b, size_t *at)
{
    const char *p = b->p + *at;
    uint32_t len;

    if (*at >= b->n)
        return NULL;
    memcpy(&len, p, sizeof len);
    *at += sizeof len + len;
    return p + sizeof len;
}

/* ---- registrations */

void writer_take_set(struct post *p)
{
    struct db_loc_set *set = TD_CONTAINER_OF(p, struct db_loc_set, post);

    list_append(&set->db->writer->sets, &set->node);
}

static int write_set(struct writer *w, struct db_loc_set *set)
{
    const void *record;
    size_t at = 0;
    int rc = writer_step(w, STEP_SAVE);

    while (rc == SQLITE_OK && (record = next_record(&set->records, &at)))
        rc = writer_row(w, record);
    if (rc == SQLITE_OK)
        return writer_step(w, STEP_RELEASE);
    if (is_row_fault(rc)) {
        set->err = db_err(rc);
        if (may_log(&w->sets_log_at))
            log_error("db", 0, "a registration was refused: %s", sqlite3_errmsg(w->h));
        rc = writer_step(w, STEP_UNSAVE);
        if (rc == SQLITE_OK)
            rc = writer_step(w, STEP_RELEASE);
    }
    return rc;
}

/* Not by poll(): whoever comes meanwhile need not wake us. */
static void gather_sets(struct writer *w)
{
    uint64_t now = db_now_ms();
    struct timespec t = { 0 };

    if (now >= w->group_at || w->stopping)
        return;
    t.tv_nsec = (long)(w->group_at - now) * 1000000;
    nanosleep(&t, NULL);
    mailbox_run(w->mailbox);
}

/* One group of those that wait: more may come for ever, and rows and stopping wait behind them. */
static void write_sets(struct writer *w)
{
    struct list group = LIST_INIT(group);
    char said[DB_WHY_MAX];
    uint64_t written = 0;
    int rc, n;

    if (list_is_empty(&w->sets))
        return;
    gather_sets(w);
    for (n = 0; n < WRITER_BATCH_ROWS && !list_is_empty(&w->sets); n++) {
        struct list *first = w->sets.next;

        list_remove(first);
        list_append(&group, first);
    }
    w->group_at = n > 1 ? db_now_ms() + WRITER_GROUP_MS : 0;
    rc = writer_begin(w, true);
    for (struct list *node = group.next; node != &group && rc == SQLITE_OK; node = node->next) {
        rc = write_set(w, list_item(node, struct db_loc_set, node));
        written++;
    }
    if (rc == SQLITE_OK)
        rc = writer_step(w, STEP_COMMIT);
    if (rc == SQLITE_OK) {
        stats_add(&w->stats, STAT_db_rows_written, (int64_t)written);
    } else {
        stats_inc(&w->stats, STAT_db_errors);
        if (may_log(&w->sets_log_at))
            log_error("db", 0, "cannot write %s, registrations are refused: %s", w->db->file, db_why(w->h, said));
        writer_step(w, STEP_ROLLBACK);
    }
    list_each_safe(node, &group) {
        struct db_loc_set *set = list_item(node, struct db_loc_set, node);

        list_remove(node);
        loc_set_answer(set, rc == SQLITE_OK ? set->err : db_err(rc));
    }
}

/* ---- rows of traffic */

/* Copy rows from the feeds to the (empty) batch, and free feeds whose producer has gone. */
static void fill_batch(struct writer *w)
{
    struct db *db = w->db;
    size_t n_feeds = 0;

    pthread_mutex_lock(&db->feeds_lock);
    list_each(node, &db->feeds)
        n_feeds++;
    for (size_t i = 0; i < n_feeds && w->batch_rows < WRITER_BATCH_ROWS; i++) {
        struct db_feed *f = list_item(db->feeds.next, struct db_feed, node);
        bool gone = __atomic_load_n(&f->gone, __ATOMIC_ACQUIRE); /* before the look: nothing is put after it */
        void *record = NULL;
        size_t len;

        list_remove(&f->node); /* its turn; next time another one is first */
        list_append(&db->feeds, &f->node);
        while (w->batch_rows < WRITER_BATCH_ROWS) {
            size_t before = w->batch.n;
            uint32_t head;

            record = ring_peek(&f->ring, &len);
            if (!record)
                break;
            head = (uint32_t)len;
            buf_add(&w->batch, &head, sizeof head);
            buf_add(&w->batch, record, len);
            if (buf_failed(&w->batch)) { /* out of memory: it waits where it is */
                w->batch.n = before;
                w->batch.failed = false;
                break;
            }
            ring_consume(&f->ring);
            w->batch_rows++;
        }
        if (gone && !record) {
            stats_add(&w->stats, STAT_db_rows_lost, (int64_t)f->lost);
            list_remove(&f->node);
            ring_fini(&f->ring);
            free(f);
        }
    }
    pthread_mutex_unlock(&db->feeds_lock);
}

static int write_batch(struct writer *w)
{
    char said[DB_WHY_MAX];
    uint64_t written = 0, skipped = 0;
    const void *record;
    size_t at = 0;
    int rc = writer_begin(w, false);

    while (rc == SQLITE_OK && (record = next_record(&w->batch, &at))) {
        rc = writer_row(w, record);
        if (rc == SQLITE_OK) {
            written++;
        } else if (is_row_fault(rc)) {
            log_debug("db", 0, "a row was refused: %s", sqlite3_errmsg(w->h));
            rc = SQLITE_OK;
            skipped++;
        }
    }
    if (rc == SQLITE_OK)
        rc = writer_step(w, STEP_COMMIT);
    if (rc == SQLITE_OK) {
        stats_add(&w->stats, STAT_db_rows_written, (int64_t)written);
        stats_add(&w->stats, STAT_db_rows_lost, (int64_t)skipped);
        return rc;
    }
    stats_inc(&w->stats, STAT_db_errors);
    if (!w->failing && may_log(&w->fail_log_at)) {
        log_error("db", 0, "cannot write %s, rows wait: %s", w->db->file, db_why(w->h, said));
        w->failure_logged = true;
    }
    writer_step(w, STEP_ROLLBACK);
    return rc;
}

static void log_lost(struct writer *w)
{
    uint64_t lost;

    pthread_mutex_lock(&w->db->feeds_lock);
    lost = stats_get(&w->stats, STAT_db_rows_lost) + db_feeds_lost(w->db);
    pthread_mutex_unlock(&w->db->feeds_lock);
    if (lost == w->lost_logged || (!may_log(&w->lost_log_at) && !w->stopping))
        return;
    log_warn("db", 0, "rows lost: %" PRIu64 " (%s)", lost - w->lost_logged,
             w->failing ? "the disk fails" : "a queue was full, or they were refused");
    w->lost_logged = lost;
}

/* Everything that waits in the feeds, batch by batch, with registrations in between. */
static void write_feeds(struct writer *w)
{
    pthread_mutex_lock(&w->db->feeds_lock);
    list_each(node, &w->db->feeds) {
        struct db_feed *f = list_item(node, struct db_feed, node);

        (void)__atomic_exchange_n(&f->dirty, false,
                                  __ATOMIC_ACQ_REL); /* before looking: who puts after this wakes us again */
        (void)__atomic_exchange_n(&f->urgent, false, __ATOMIC_ACQ_REL);
    }
    pthread_mutex_unlock(&w->db->feeds_lock);
    w->due_at = 0;
    for (;;) {
        if (w->batch_rows == 0)
            fill_batch(w);
        if (w->batch_rows == 0)
            break;
        if (write_batch(w) != SQLITE_OK) {
            w->failing = true;
            w->retry_at = db_now_ms() + WRITER_RETRY_MS;
            return;
        }
        if (w->failure_logged)
            log_notice("db", 0, "writing %s again", w->db->file);
        w->failing = w->failure_logged = false;
        buf_clear(&w->batch);
        w->batch_rows = 0;
        mailbox_run(w->mailbox);
        write_sets(w);
    }
}

/* ---- old rows */

/* One short transaction at a time, between those that somebody waits for. */
static void prune(struct writer *w)
{
    int64_t keep_s = __atomic_load_n(&w->db->keep_s, __ATOMIC_RELAXED);
    uint64_t now = db_now_ms();
    bool more = false;
    int rc;

    if (w->failing || now < w->prune_at)
        return;
    if (keep_s) {
        rc = writer_begin(w, false);
        if (rc == SQLITE_OK)
            rc = prune_step(&w->prune, w->h, (int64_t)time(NULL) - keep_s, &more);
        if (rc == SQLITE_OK)
            rc = writer_step(w, STEP_COMMIT);
        if (rc != SQLITE_OK) {
            log_warn("db", 0, "old rows could not be removed: %s", sqlite3_errmsg(w->h));
            writer_step(w, STEP_ROLLBACK);
            more = false;
        }
    }
    w->prune_at = now + (more ? WRITER_PRUNE_PAUSE_MS : WRITER_PRUNE_MS);
}

/* ---- the thread */

static int wait_ms(const struct writer *w)
{
    uint64_t now = db_now_ms(), at = w->failing ? w->retry_at : w->due_at;

    if (w->stopping || !list_is_empty(&w->sets))
        return 0;
    if (!w->failing)
        at = at ? TD_MIN(at, w->prune_at) : w->prune_at;
    return at > now ? (int)(at - now) : 0;
}

static bool any_urgent(struct writer *w)
{
    bool urgent = false;

    pthread_mutex_lock(&w->db->feeds_lock);
    list_each(node, &w->db->feeds)
        urgent = urgent || __atomic_load_n(&list_item(node, struct db_feed, node)->urgent, __ATOMIC_ACQUIRE);
    pthread_mutex_unlock(&w->db->feeds_lock);
    return urgent;
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    uint64_t n;

    while (!w->stopping) {
        struct pollfd fds[] = { { .fd = mailbox_fd(w->mailbox), .events = POLLIN },
                                { .fd = w->wake_fd, .events = POLLIN } };

        poll(fds, TD_ARRAY_LEN(fds), wait_ms(w));
        if (fds[1].revents && read(w->wake_fd, &n, sizeof n) > 0) {
            if (any_urgent(w))
                w->due_at = db_now_ms();
            else if (w->due_at == 0)
                w->due_at = db_now_ms() + WRITER_WAIT_MS;
        }
        mailbox_run(w->mailbox);
        write_sets(w);
        if (w->failing ? db_now_ms() >= w->retry_at : w->due_at && db_now_ms() >= w->due_at)
            write_feeds(w);
        else
            prune(w);
        log_lost(w);
    }
    mailbox_run(w->mailbox);
    while (!list_is_empty(&w->sets))
        write_sets(w);
    write_feeds(w);
    if (w->failing) { /* nobody will write these */
        do {
            stats_add(&w->stats, STAT_db_rows_lost, (int64_t)w->batch_rows);
            buf_clear(&w->batch);
            w->batch_rows = 0;
            fill_batch(w);
        } while (w->batch_rows);
    }
    log_lost(w);
    return NULL;
}

static void writer_told_to_stop(struct post *p)
{
    TD_CONTAINER_OF(p, struct writer, stop_post)->stopping = true;
}

static void feeds_set_wake(struct db *db, struct writer *w)
{
    pthread_mutex_lock(&db->feeds_lock);
    db->writer = w;
    list_each(node, &db->feeds)
        __atomic_store_n(&list_item(node, struct db_feed, node)->wake_fd, w ? w->wake_fd : -1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&db->feeds_lock);
}

static void writer_free(struct writer *w)
{
    for (int i = 0; i < ROW_KIND_N; i++)
        sqlite3_finalize(w->rows[i]);
    for (int i = 0; i < STEP_N; i++)
        sqlite3_finalize(w->steps[i]);
    sqlite3_close(w->h);
    if (w->wake_fd >= 0)
        close(w->wake_fd);
    mailbox_free(&w->mailbox);
    buf_fini(&w->batch);
    free(w);
}

int writer_start(struct writer **out, struct db *db)
{
    struct writer *w = calloc(1, sizeof *w);
    int err, num;

    *out = NULL;
    if (!w)
        return TD_ENOMEM;
    w->db = db;
    list_init(&w->sets);
    w->prune_at = db_now_ms() + WRITER_PRUNE_FIRST_MS;
    w->wake_fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC); /* 1: rows put before we were there */
    err = w->wake_fd < 0 ? td_err_from_errno(errno) : mailbox_new(&w->mailbox);
    if (!err)
        err = db_handle_open(&w->h, db->file, WRITER_BUSY_MS, NULL);
    if (err)
        goto out;
    feeds_set_wake(db, w);
    num = pthread_create(&w->thread, NULL, writer_main, w);
    if (num) {
        feeds_set_wake(db, NULL);
        err = td_err_from_errno(num);
        goto out;
    }
    *out = w;
    w = NULL;
out:
    if (w)
        writer_free(w);
    return err;
}

void writer_stop(struct writer **wp)
{
    struct writer *w = *wp;
    struct db *db;

    if (!w)
        return;
    db = w->db;
    w->stop_post.fn = writer_told_to_stop;
    mailbox_post(w->mailbox, &w->stop_post);
    pthread_join(w->thread, NULL);
    mailbox_run(w->mailbox);
    list_each_safe(node, &w->sets) {
        list_remove(node);
        loc_set_answer(list_item(node, struct db_loc_set, node), TD_ECLOSED);
    }
    feeds_set_wake(db, NULL);
    pthread_mutex_lock(&db->feeds_lock);
    stats_sum(&db->late, &w->stats);
    pthread_mutex_unlock(&db->feeds_lock);
    writer_free(w);
    *wp = NULL;
}
