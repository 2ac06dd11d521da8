/* The producing end of a feed. */
#include "db/feed.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/err.h"
#include "db/db_private.h"
#include "db/feed_private.h"
#include "db/record.h"
#include "db/writer.h"

int db_feed_new(struct db_feed **out, struct db *db)
{
    struct db_feed *f = calloc(1, sizeof *f);
    int err;

    *out = NULL;
    if (!f)
        return TD_ENOMEM;
    err = ring_init(&f->ring, FEED_SIZE);
    if (err) {
        free(f);
        return err;
    }
    f->db = db;
    pthread_mutex_lock(&db->feeds_lock);
    f->wake_fd = db->writer ? writer_wake_fd(db->writer) : -1;
    list_append(&db->feeds, &f->node);
    pthread_mutex_unlock(&db->feeds_lock);
    *out = f;
    return TD_OK;
}

static void feed_wake(struct db_feed *f)
{
    uint64_t one = 1;
    int fd = __atomic_load_n(&f->wake_fd, __ATOMIC_ACQUIRE);

    while (fd >= 0 && write(fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

/* The writer empties it and frees it, or db_close(). */
void db_feed_free(struct db_feed **fp)
{
    struct db_feed *f = *fp;

    if (!f)
        return;
    *fp = NULL;
    /* The lock keeps the writer from freeing it before it was woken. */
    pthread_mutex_t *lock = &f->db->feeds_lock;

    pthread_mutex_lock(lock);
    __atomic_store_n(&f->gone, true, __ATOMIC_RELEASE);
    feed_wake(f);
    pthread_mutex_unlock(lock);
}

void db_feeds_free(struct db *db)
{
    list_each_safe(node, &db->feeds) {
        struct db_feed *f = list_item(node, struct db_feed, node);

        list_remove(node);
        ring_fini(&f->ring);
        free(f);
    }
}

uint64_t db_feeds_lost(struct db *db)
{
    uint64_t lost = 0;

    list_each(node, &db->feeds)
        lost += __atomic_load_n(&list_item(node, struct db_feed, node)->lost, __ATOMIC_RELAXED);
    return lost;
}

/* How full the ring is, seen from the producer; head is loaded only when the copy of it says "above the line". */
static bool feed_above(struct db_feed *f, size_t line)
{
    struct ring *r = &f->ring;

    if (r->tail_pos - r->head_seen < line)
        return false;
    r->head_seen = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
    return r->tail_pos - r->head_seen >= line;
}

static void feed_put(struct db_feed *f, bool important, enum row_kind kind, const struct param *p, size_t n)
{
    size_t size = record_size(p, n);
    void *room = NULL;

    if (important || !feed_above(f, FEED_SIZE / 4 * 3))
        room = ring_reserve(&f->ring, size);
    if (!room) {
        __atomic_store_n(&f->lost, f->lost + 1, __ATOMIC_RELAXED);
        return;
    }
    record_write(room, kind, p, n);
    ring_commit(&f->ring, size);
    /* One system call for what is put until the writer comes, and one more if that is a lot. */
    if (!__atomic_exchange_n(&f->dirty, true, __ATOMIC_ACQ_REL))
        feed_wake(f);
    if (feed_above(f, FEED_SIZE / 2) && !__atomic_exchange_n(&f->urgent, true, __ATOMIC_ACQ_REL))
        feed_wake(f);
}

#define PUT(feed, important, kind, ...)                                                                                \
    feed_put(feed, important, kind, (const struct param[]){ __VA_ARGS__ },                                             \
             TD_ARRAY_LEN(((const struct param[]){ __VA_ARGS__ })))

static struct sv state_name(enum db_session_state state)
{
    static const char *const names[] = { "active", "closed", "expired" };

    return sv_of(names[state]);
}

void db_session_put(struct db_feed *f, const struct db_session *s)
{
    PUT(f, true, ROW_SESSION_PUT, param_text(s->session_id), param_text(s->username), param_text(s->domain),
        param_int((int64_t)s->conn_id), param_text(s->peer_uri), param_text(s->srcaddr), param_text(s->srcsock),
        param_text(s->use_path), param_time(s->created), param_time(s->expires), param_time(s->last_activity),
        param_text(state_name(s->state)), param_int((int64_t)s->frames_in), param_int((int64_t)s->frames_out),
        param_int((int64_t)s->bytes_in), param_int((int64_t)s->bytes_out), param_int((int64_t)s->resumed));
}

void db_session_counters(struct db_feed *f, const struct db_session *s)
{
    PUT(f, false, ROW_SESSION_COUNTERS, param_text(s->session_id), param_int((int64_t)s->resumed), param_time(s->last_activity),
        param_int((int64_t)s->frames_in), param_int((int64_t)s->frames_out), param_int((int64_t)s->bytes_in),
        param_int((int64_t)s->bytes_out));
}

void db_session_changed(struct db_feed *f, const struct db_session *s)
{
    PUT(f, true, ROW_SESSION_CHANGED, param_text(s->session_id), param_int((int64_t)s->resumed), param_time(s->last_activity),
        param_int((int64_t)s->frames_in), param_int((int64_t)s->frames_out), param_int((int64_t)s->bytes_in),
        param_int((int64_t)s->bytes_out), param_time(s->expires), param_int((int64_t)s->conn_id));
}

void db_session_ended(struct db_feed *f, const struct db_session *s)
{
    PUT(f, true, ROW_SESSION_ENDED, param_text(s->session_id), param_int((int64_t)s->resumed), param_text(state_name(s->state)));
}

void db_conn_opened(struct db_feed *f, const struct db_conn *c)
{
    PUT(f, true, ROW_CONN_OPENED, param_int((int64_t)c->conn_id), param_text(c->protocol), param_text(c->transport),
        param_text(c->peer), param_text(c->local), param_text_or_null(c->tls_version),
        param_text_or_null(c->tls_cipher), param_text_or_null(c->peer_name), param_time(c->opened));
}

void db_conn_closed(struct db_feed *f, uint64_t conn_id, int64_t closed, struct sv reason, uint64_t bytes_in,
                    uint64_t bytes_out)
{
    PUT(f, true, ROW_CONN_CLOSED, param_int((int64_t)conn_id), param_time(closed), param_text(reason),
        param_int((int64_t)bytes_in), param_int((int64_t)bytes_out));
}

void db_acc_msrp(struct db_feed *f, const struct db_acc_msrp *row)
{
    PUT(f, false, ROW_ACC_MSRP, param_text(row->session_id), param_text(row->username), param_text(row->domain),
        param_text(row->from_uri), param_text(row->to_uri), param_text(row->message_id), param_int((int64_t)row->bytes),
        param_int(row->status), param_time(row->started), param_time(row->finished));
}

void db_acc(struct db_feed *f, const struct db_acc *row)
{
    char code[12] = { 0 };
    unsigned v = row->sip_code < 0 || row->sip_code > 999 ? 0 : (unsigned)row->sip_code;

    /* A text in Kamailio's table, and three digits wide. */
    code[0] = (char)('0' + v / 100);
    code[1] = (char)('0' + v / 10 % 10);
    code[2] = (char)('0' + v % 10);
    PUT(f, false, row->is_once ? ROW_ACC_ONCE : ROW_ACC, param_text(row->method), param_text(row->from_tag), param_text(row->to_tag),
        param_text(row->callid), param_text(sv_make(code, 3)), param_text(row->sip_reason), param_time(row->time));
}
