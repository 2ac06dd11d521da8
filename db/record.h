/* A row on its way to the writer: which statement, and its parameters, as flat bytes. */
#pragma once

#include <sqlite3.h>

#include "common/sv.h"

/* One prepared statement of the writer each; parameters in the order of its ?1, ?2 ... (record.c). */
enum row_kind {
    ROW_SESSION_PUT,
    ROW_SESSION_COUNTERS,
    ROW_SESSION_CHANGED,
    ROW_SESSION_ENDED,
    ROW_CONN_OPENED,
    ROW_CONN_CLOSED,
    ROW_ACC_MSRP,
    ROW_ACC,
    ROW_ACC_ONCE,
    ROW_LOC_PUT,
    ROW_LOC_REFRESH, /* the parameters of ROW_LOC_PUT */
    ROW_LOC_DEL,
    ROW_LOC_DEL_AOR,
    ROW_LOC_DEL_EXPIRED,
    ROW_KIND_N
};
const char *row_sql(enum row_kind kind);

struct param {
    enum { PARAM_INT, PARAM_TIME /* UNIX time, a text in the row */, PARAM_REAL, PARAM_TEXT, PARAM_NULL } type;
    union {
        int64_t i;
        double d;
        struct sv s; /* cut at DB_TEXT_MAX */
    };
};

static inline struct param param_int(int64_t i)
{
    return (struct param){ PARAM_INT, { .i = i } };
}

static inline struct param param_time(int64_t unix_s)
{
    return (struct param){ PARAM_TIME, { .i = unix_s } };
}

static inline struct param param_real(double d)
{
    return (struct param){ PARAM_REAL, { .d = d } };
}

static inline struct param param_text(struct sv s)
{
    return (struct param){ PARAM_TEXT, { .s = s } };
}

static inline struct param param_text_or_null(struct sv s)
{
    return s.n ? param_text(s) : (struct param){ PARAM_NULL, { 0 } };
}

static inline struct param param_int_or_null(int64_t i, int64_t none)
{
    return i == none ? (struct param){ PARAM_NULL, { 0 } } : param_int(i);
}

size_t record_size(const struct param *p, size_t n);
void record_write(void *to, enum row_kind kind, const struct param *p, size_t n);

enum row_kind record_kind(const void *record);
/* Bind its parameters; texts but times stay where they are in the record. */
int record_bind(const void *record, sqlite3_stmt *st);
