/* Queries of the operator's scripts: one SELECT, answered by a thread of its own, so that nobody's credentials wait for
 * it.
 *
 * A query reads and cannot write, sees all tables but `secret`, takes DB_QUERY_MS at most, the time in the queue
 * included, and brings a bounded number of rows and bytes. Its parameters are bound, never put into the text;
 * statements are kept prepared. */
#pragma once

#include "common/mailbox.h"
#include "common/sv.h"

struct db;
struct db_query;

enum {
    DB_QUERY_MS = 500,
    DB_QUERY_SQL_MAX = 4096,      /* bytes of one */
    DB_QUERY_PARAMS_MAX = 16,
    DB_QUERY_COLUMNS_MAX = 64,
    DB_QUERY_ROWS_MAX = 256,
    DB_QUERY_CELLS_MAX = 4096,    /* the names of the columns included */
    DB_QUERY_BYTES_MAX = 65536,   /* of a result's texts */
    DB_QUERY_PENDING_MAX = 256,   /* under way, of all threads; more fail with TD_EBUSY */
    DB_QUERY_WHY_MAX = 160,
};

enum db_kind { DB_NULL, DB_INT, DB_TEXT };

struct db_cell {
    enum db_kind kind;
    int64_t i;
    struct sv text;
};

/* A parameter: what stands for it in the text, as `$var(x)`, and its value. Copied. */
struct db_param {
    struct sv name;
    struct db_cell value;
};

/* One block of memory; texts lie in it. */
struct db_rows {
    size_t n_rows, n_columns;
    size_t bytes;                 /* of all of it */
    struct db_cell cells[];       /* the names of the columns, then row by row */
};

static inline const struct db_cell *db_rows_cell(const struct db_rows *r, size_t row, size_t column)
{
    return &r->cells[(row + 1) * r->n_columns + column];
}

/* Start the thread unless it runs. After db_start(), on the thread that calls it; may block for a moment. */
int db_query_open(struct db *db);

/* TD_OK: under way, done runs from mailbox_run(mb), exactly once unless cancelled. err is TD_OK and rows the callee's
 * own, to be freed, or what went wrong, said by why in one line. Else done will not be called: TD_ELIMIT: too long or
 * too many parameters. */
int db_query_start(struct db *db, struct sv sql, const struct db_param *params, size_t n, struct mailbox *mb,
                   void (*done)(int err, const char *why, struct db_rows *rows, void *arg), void *arg, struct db_query **out);

/* On the thread that asked: done is not called any more. */
void db_query_cancel(struct db_query *q);
