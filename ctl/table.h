/* Tables for people: a line of titles, then a line a row, columns as wide as what is in them.
 *
 * Texts may come from peers: they are escaped, and cut at TABLE_CELL_MAX. One thread. */
#pragma once

#include "common/buf.h"

enum { TABLE_COLUMNS_MAX = 12, TABLE_CELL_MAX = 120 };

struct table {
    size_t columns, n; /* n: cells so far */
    bool right[TABLE_COLUMNS_MAX];
    size_t width[TABLE_COLUMNS_MAX];
    char **cells; /* owned */
    size_t room;
    bool failed; /* out of memory */
};

/* Titles separated by blanks; one that begins with > is of a column of numbers, set to the right. */
void table_init(struct table *t, const char *titles);
void table_fini(struct table *t);

/* The next cell, row by row from the left. An empty text shows as "-". */
void table_text(struct table *t, const char *text);
void table_number(struct table *t, int64_t number);
/* With k, M, G, T from 10000 on: "9999", "9.8k", "1.5M". */
void table_bytes(struct table *t, int64_t bytes);

/* Titles and rows; with no row, a line that says so. */
void table_print(const struct table *t, struct buf *out);
