/* Tables for people. */
#include "ctl/table.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void add_cell(struct table *t, struct sv text)
{
    struct buf cell = BUF_INIT;
    size_t column = t->columns ? t->n % t->columns : 0;

    if (t->n == t->room) {
        size_t room = t->room ? t->room * 2 : 64;
        char **cells = realloc(t->cells, room * sizeof *cells);

        if (!cells) {
            t->failed = true;
            return;
        }
        t->cells = cells;
        t->room = room;
    }
    buf_add_escaped(&cell, text.n ? text : SV("-"), TABLE_CELL_MAX);
    if (buf_failed(&cell)) {
        buf_fini(&cell);
        t->failed = true;
        return;
    }
    t->cells[t->n++] = cell.p;
    if (cell.n > t->width[column])
        t->width[column] = cell.n;
}

void table_init(struct table *t, const char *titles)
{
    struct sv rest = sv_of(titles), words[TABLE_COLUMNS_MAX];
    size_t n = 0;

    *t = (struct table){ 0 };
    while (rest.n) {
        size_t end = sv_find(rest, ' ');

        assert(n < TABLE_COLUMNS_MAX);
        words[n] = sv_upto(rest, end);
        t->right[n] = words[n].p[0] == '>';
        if (t->right[n])
            words[n] = sv_from(words[n], 1);
        n++;
        rest = sv_from(rest, end + 1);
    }
    t->columns = n;
    for (size_t i = 0; i < n; i++)
        add_cell(t, words[i]);
}

void table_fini(struct table *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = (struct table){ 0 };
}

void table_text(struct table *t, const char *text)
{
    add_cell(t, sv_of(text));
}

void table_number(struct table *t, int64_t number)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRId64, number);
    table_text(t, text);
}

void table_bytes(struct table *t, int64_t bytes)
{
    static const char letters[] = "kMGTP";
    double value = (double)bytes;
    char text[24];
    size_t unit = 0;

    if (bytes < 10000) {
        table_number(t, bytes);
        return;
    }
    for (value /= 1024; value >= 999.5 && letters[unit + 1]; unit++)
        value /= 1024;
    snprintf(text, sizeof text, value < 99.95 ? "%.1f%c" : "%.0f%c", value, letters[unit]);
    table_text(t, text);
}

void table_print(const struct table *t, struct buf *out)
{
    if (t->failed || !t->columns || t->n % t->columns) {
        buf_puts(out, "(out of memory)\n");
        return;
    }
    if (t->n == t->columns) {
        buf_puts(out, "(none)\n");
        return;
    }
    for (size_t i = 0; i < t->n; i++) {
        size_t column = i % t->columns;
        bool last = column + 1 == t->columns;
        int width = (int)t->width[column];

        if (t->right[column])
            buf_printf(out, "%*s", width, t->cells[i]);
        else if (last)
            buf_puts(out, t->cells[i]);
        else
            buf_printf(out, "%-*s", width, t->cells[i]);
        buf_puts(out, last ? "\n" : "  ");
    }
}
