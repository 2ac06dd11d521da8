/* Queries of scripts: a thread that prepares, runs and collects. */
#include "db/query.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/err.h"
#include "db/db_private.h"
#include "db/queries.h"

enum {
    BUSY_MS = 200,
    STATEMENTS_MAX = 32,      /* kept prepared */
    STEPS = 1000,             /* of SQLite's machine between looks at the clock */
    VALUE_MAX = 1024 * 1024,  /* bytes that SQLite may put together */
};

struct statement {
    sqlite3_stmt *st;         /* owned */
    uint64_t used;
};

struct queries {
    pthread_t thread;
    struct mailbox *mailbox;  /* owned */
    sqlite3 *h;               /* owned */
    struct statement kept[STATEMENTS_MAX];
    uint64_t n_used;
    uint64_t deadline_ms;
    bool stopping;
    struct post stop_post;
};

struct db_query {
    struct post post;         /* to the thread, then back */
    struct db *db;            /* back */
    struct mailbox *mb;       /* borrowed */
    void (*done)(int err, const char *why, struct db_rows *rows, void *arg); /* NULL: cancelled; the asking thread's own */
    void *arg;
    uint64_t deadline_ms;
    int err;
    char why[DB_QUERY_WHY_MAX];
    struct db_rows *rows;     /* owned until it is handed over */
    struct sv sql;            /* into text; NUL follows */
    size_t n_params;
    struct db_param params[DB_QUERY_PARAMS_MAX];
    char text[];
};

/* ---- on the thread */

static int fail(struct db_query *q, int err, const char *why)
{
    q->err = err;
    snprintf(q->why, sizeof q->why, "%s", why);
    return err;
}

static int is_late(void *arg)
{
    const struct queries *t = arg;

    return db_now_ms() > t->deadline_ms;
}

/* Reading, and no more. The keys of the server are no business of scripts. */
static int authorize(void *arg, int action, const char *table, const char *column, const char *schema, const char *view)
{
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_FUNCTION:
    case SQLITE_RECURSIVE:
        return SQLITE_OK;
    case SQLITE_READ:
        return sqlite3_stricmp(table, "secret") == 0 ? SQLITE_DENY : SQLITE_OK;
    default:
        return SQLITE_DENY;
    }
}

static bool is_blank(const char *s)
{
    return s[strspn(s, " \t\r\n;")] == '\0';
}

/* NULL: q says why not. */
static sqlite3_stmt *statement(struct queries *t, struct db_query *q)
{
    struct statement *oldest = t->kept;
    sqlite3_stmt *st = NULL;
    const char *tail = "";

    for (size_t i = 0; i < STATEMENTS_MAX; i++) {
        struct statement *s = &t->kept[i];

        if (s->st && strcmp(sqlite3_sql(s->st), q->sql.p) == 0) {
            s->used = ++t->n_used;
            return s->st;
        }
        if (s->used < oldest->used)
            oldest = s;
    }
    if (sqlite3_prepare_v3(t->h, q->sql.p, -1, SQLITE_PREPARE_PERSISTENT, &st, &tail) != SQLITE_OK) {
        fail(q, db_err(sqlite3_errcode(t->h)), sqlite3_errmsg(t->h));
        return NULL;
    }
    if (!st || !is_blank(tail) || sqlite3_column_count(st) == 0) {
        sqlite3_finalize(st);
        fail(q, TD_EINVAL, "one SELECT is expected");
        return NULL;
    }
    if (sqlite3_column_count(st) > DB_QUERY_COLUMNS_MAX) {
        sqlite3_finalize(st);
        fail(q, TD_ELIMIT, "more than 64 columns");
        return NULL;
    }
    sqlite3_finalize(oldest->st);
    *oldest = (struct statement){ st, ++t->n_used };
    return st;
}

/* Every parameter that the statement has needs its value, by its name. */
static int bind(sqlite3_stmt *st, struct db_query *q)
{
    for (int at = 1; at <= sqlite3_bind_parameter_count(st); at++) {
        const char *name = sqlite3_bind_parameter_name(st, at);
        const struct db_cell *v = NULL;

        for (size_t i = 0; name && i < q->n_params; i++)
            if (sv_eq(q->params[i].name, sv_of(name)))
                v = &q->params[i].value;
        if (!v)
            return fail(q, TD_EINVAL, "a parameter is a variable of the script, as $var(x)");
        if (v->kind == DB_INT)
            sqlite3_bind_int64(st, at, v->i);
        else if (v->kind == DB_TEXT)
            db_bind_sv(st, at, v->text);
        else
            sqlite3_bind_null(st, at);
    }
    return TD_OK;
}

/* Rows as they come: the texts lie behind each other, and a cell knows where its own begins. */
struct heap {
    struct db_cell *cells;    /* owned */
    size_t n, room;
    struct buf texts;
};

static bool put(struct heap *h, enum db_kind kind, int64_t i, const char *text, size_t n)
{
    if (h->n == h->room) {
        size_t room = h->room ? h->room * 2 : 64;
        struct db_cell *grown = realloc(h->cells, room * sizeof *grown);

        if (!grown)
            return false;
        h->cells = grown;
        h->room = room;
    }
    if (kind == DB_TEXT) {
        i = (int64_t)h->texts.n;
        buf_add(&h->texts, text, n);
    }
    h->cells[h->n++] = (struct db_cell){ kind, i, { NULL, n } };
    return !buf_failed(&h->texts);
}

static bool put_column(struct heap *h, sqlite3_stmt *st, int at)
{
    const void *text;

    switch (sqlite3_column_type(st, at)) {
    case SQLITE_NULL:
        return put(h, DB_NULL, 0, NULL, 0);
    case SQLITE_INTEGER:
        return put(h, DB_INT, sqlite3_column_int64(st, at), NULL, 0);
    case SQLITE_BLOB:
        text = sqlite3_column_blob(st, at);
        break;
    default: /* a floating point number as text, too */
        text = sqlite3_column_text(st, at);
        break;
    }
    return (text || sqlite3_column_bytes(st, at) == 0) && put(h, DB_TEXT, 0, text, (size_t)sqlite3_column_bytes(st, at));
}

static struct db_rows *pack(const struct heap *h, size_t n_rows, size_t n_columns)
{
    size_t bytes = sizeof(struct db_rows) + h->n * sizeof *h->cells + h->texts.n;
    struct db_rows *r = malloc(bytes);
    char *texts = r ? (char *)&r->cells[h->n] : NULL;

    if (!r)
        return NULL;
    *r = (struct db_rows){ n_rows, n_columns, bytes };
    memcpy(r->cells, h->cells, h->n * sizeof *h->cells);
    if (h->texts.n)
        memcpy(texts, h->texts.p, h->texts.n);
    for (size_t i = 0; i < h->n; i++)
        if (r->cells[i].kind == DB_TEXT) {
            r->cells[i].text.p = texts + r->cells[i].i;
            r->cells[i].i = 0;
        }
    return r;
}

static int collect(struct queries *t, sqlite3_stmt *st, struct db_query *q)
{
    int columns = sqlite3_column_count(st), rc = SQLITE_DONE;
    size_t n_rows = 0;
    struct heap h = { 0 };
    bool good = true;

    for (int i = 0; good && i < columns; i++)
        good = put(&h, DB_TEXT, 0, sqlite3_column_name(st, i), strlen(sqlite3_column_name(st, i)));
    while (good && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        if (n_rows == DB_QUERY_ROWS_MAX || h.n + (size_t)columns > DB_QUERY_CELLS_MAX || h.texts.n > DB_QUERY_BYTES_MAX)
            break;
        for (int i = 0; good && i < columns; i++)
            good = put_column(&h, st, i);
        n_rows++;
    }
    if (!good) {
        fail(q, TD_ENOMEM, "out of memory");
    } else if (rc == SQLITE_ROW || h.texts.n > DB_QUERY_BYTES_MAX) {
        fail(q, TD_ELIMIT, "more than 256 rows, 4096 values or 65536 bytes: ask for less, with LIMIT");
    } else if (rc == SQLITE_INTERRUPT) {
        fail(q, TD_ETIMEOUT, "took longer than 500 ms");
    } else if (rc != SQLITE_DONE) {
        fail(q, db_err(rc), sqlite3_errmsg(t->h));
    } else {
        q->rows = pack(&h, n_rows, (size_t)columns);
        if (!q->rows)
            fail(q, TD_ENOMEM, "out of memory");
    }
    free(h.cells);
    buf_fini(&h.texts);
    return q->err;
}

static void query_answered(struct post *p)
{
    struct db_query *q = TD_CONTAINER_OF(p, struct db_query, post);
    struct db_rows *rows = q->rows;

    __atomic_sub_fetch(&q->db->pending_queries, 1, __ATOMIC_RELAXED);
    if (q->done)
        q->done(q->err, q->why, rows, q->arg);
    else
        free(rows);
    free(q);
}

static void query_asked(struct post *p)
{
    struct db_query *q = TD_CONTAINER_OF(p, struct db_query, post);
    struct queries *t = q->db->queries;
    sqlite3_stmt *st = NULL;

    t->deadline_ms = q->deadline_ms;
    if (is_late(t))
        fail(q, TD_ETIMEOUT, "waited longer than 500 ms for others");
    else
        st = statement(t, q);
    if (st && bind(st, q) == TD_OK)
        collect(t, st, q);
    if (st) {
        sqlite3_reset(st);
        sqlite3_clear_bindings(st);
    }
    q->post.fn = query_answered;
    mailbox_post(q->mb, &q->post);
}

static void told_to_stop(struct post *p)
{
    TD_CONTAINER_OF(p, struct queries, stop_post)->stopping = true;
}

static void *thread_main(void *arg)
{
    struct queries *t = arg;

    while (!t->stopping) {
        struct pollfd fd = { .fd = mailbox_fd(t->mailbox), .events = POLLIN };

        poll(&fd, 1, -1);
        mailbox_run(t->mailbox);
    }
    return NULL;
}

/* ---- starting and stopping it */

static void queries_free(struct queries *t)
{
    mailbox_free(&t->mailbox);
    for (size_t i = 0; i < STATEMENTS_MAX; i++)
        sqlite3_finalize(t->kept[i].st);
    sqlite3_close(t->h);
    free(t);
}

int db_query_open(struct db *db)
{
    struct queries *t;
    int err, num;

    if (db->queries)
        return TD_OK;
    t = calloc(1, sizeof *t);
    if (!t)
        return TD_ENOMEM;
    err = mailbox_new(&t->mailbox);
    if (!err)
        err = db_handle_open(&t->h, db->file, BUSY_MS, NULL);
    if (err)
        goto out;
    db_exec(t->h, "PRAGMA query_only = 1");
    sqlite3_limit(t->h, SQLITE_LIMIT_LENGTH, VALUE_MAX);
    sqlite3_limit(t->h, SQLITE_LIMIT_SQL_LENGTH, DB_QUERY_SQL_MAX);
    sqlite3_set_authorizer(t->h, authorize, NULL);
    sqlite3_progress_handler(t->h, STEPS, is_late, t);
    db->queries = t;
    num = pthread_create(&t->thread, NULL, thread_main, t);
    if (num) {
        db->queries = NULL;
        err = td_err_from_errno(num);
        goto out;
    }
    t = NULL;
out:
    if (t)
        queries_free(t);
    return err;
}

void queries_stop(struct queries **tp)
{
    struct queries *t = *tp;

    if (!t)
        return;
    t->stop_post.fn = told_to_stop;
    mailbox_post(t->mailbox, &t->stop_post);
    pthread_join(t->thread, NULL);
    mailbox_run(t->mailbox); /* what came after the stop: it needs *tp */
    *tp = NULL;
    queries_free(t);
}

/* ---- on any thread */

static struct sv keep(char **at, struct sv s)
{
    struct sv kept = sv_make(*at, s.n);

    if (s.n)
        memcpy(*at, s.p, s.n);
    (*at)[s.n] = '\0';
    *at += s.n + 1;
    return kept;
}

int db_query_start(struct db *db, struct sv sql, const struct db_param *params, size_t n, struct mailbox *mb,
                   void (*done)(int err, const char *why, struct db_rows *rows, void *arg), void *arg, struct db_query **out)
{
    struct db_query *q;
    size_t bytes = sql.n + 1;
    char *at;

    *out = NULL;
    if (sql.n > DB_QUERY_SQL_MAX || n > DB_QUERY_PARAMS_MAX)
        return TD_ELIMIT;
    if (!db->queries)
        return TD_ECLOSED;
    for (size_t i = 0; i < n; i++)
        bytes += params[i].name.n + params[i].value.text.n + 2;
    if (__atomic_add_fetch(&db->pending_queries, 1, __ATOMIC_RELAXED) > DB_QUERY_PENDING_MAX) {
        __atomic_sub_fetch(&db->pending_queries, 1, __ATOMIC_RELAXED);
        return TD_EBUSY;
    }
    q = calloc(1, sizeof *q + bytes);
    if (!q) {
        __atomic_sub_fetch(&db->pending_queries, 1, __ATOMIC_RELAXED);
        return TD_ENOMEM;
    }
    *q = (struct db_query){ .post = { .fn = query_asked }, .db = db, .mb = mb, .done = done, .arg = arg, .n_params = n };
    q->deadline_ms = db_now_ms() + DB_QUERY_MS;
    at = q->text;
    q->sql = keep(&at, sql);
    for (size_t i = 0; i < n; i++) {
        q->params[i] = params[i];
        q->params[i].name = keep(&at, params[i].name);
        q->params[i].value.text = keep(&at, params[i].value.text);
    }
    *out = q;
    mailbox_post(db->queries->mailbox, &q->post);
    return TD_OK;
}

void db_query_cancel(struct db_query *q)
{
    q->done = NULL;
}
