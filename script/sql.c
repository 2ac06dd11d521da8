/* KSR.sqlops: reading the database, without ever waiting for it on the event loop.
 *
 * A query is asked of the database's own thread (db/query.h) while the run waits; the answer is remembered for ten seconds by the state, so
 * that what is asked for every event costs a look into memory. Variables in the text are its parameters: they are bound, and whatever a peer has
 * put into them cannot change what is asked. */
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "db/query.h"
#include "script/core.h"

enum {
    TTL_MS = 10000,
    REMEMBERED_MAX = 1024, /* answers */
    REMEMBERED_PART = 4,   /* of script.memory, a quarter */
};

/* An answer. */
struct sql_entry {
    struct hash_node node;
    struct list used;
    struct script *script;    /* back */
    unsigned refs;            /* one is that it is remembered */
    uint64_t until_ms;
    struct db_rows *rows;     /* owned */
    size_t key_n;
    char key[];
};

/* ---- answers ---- */

static size_t bytes_of(const struct sql_entry *e)
{
    return sizeof *e + e->key_n + e->rows->bytes;
}

static void unref(struct sql_entry *e)
{
    if (--e->refs)
        return;
    e->script->memory -= bytes_of(e);
    free(e->rows);
    free(e);
}

static void forget(struct sql_entry *e)
{
    hash_remove(&e->script->queries, &e->node);
    list_remove(&e->used);
    e->script->queries_bytes -= bytes_of(e);
    unref(e);
}

static struct sql_entry *oldest(struct script *s)
{
    return list_is_empty(&s->queries_used) ? NULL : list_item(s->queries_used.prev, struct sql_entry, used);
}

void sql_cache_flush(struct script *s)
{
    for (struct sql_entry *e; (e = oldest(s)) != NULL;)
        forget(e);
}

static struct sql_entry *find(struct script *s, struct sv key)
{
    for (struct hash_node *n = hash_first(&s->queries, hash_bytes(key.p, key.n)); n; n = hash_next(n)) {
        struct sql_entry *e = TD_CONTAINER_OF(n, struct sql_entry, node);

        if (!sv_eq(sv_make(e->key, e->key_n), key))
            continue;
        if (e->until_ms <= s->now_ms) {
            forget(e);
            return NULL;
        }
        list_remove(&e->used);
        list_prepend(&s->queries_used, &e->used);
        return e;
    }
    return NULL;
}

/* Remember it; takes rows. NULL: no room for it. */
static struct sql_entry *remember(struct script *s, struct sv key, struct db_rows *rows)
{
    struct sql_entry *e = find(s, key), *other; /* two runs have asked for the same */
    size_t bytes = sizeof *e + key.n + rows->bytes;

    if (e)
        forget(e);
    while ((other = oldest(s)) && (s->queries.n >= REMEMBERED_MAX || s->queries_bytes + bytes > s->memory_max / REMEMBERED_PART ||
                                   bytes > s->memory_max - s->memory))
        forget(other);
    e = bytes <= s->memory_max - s->memory ? malloc(sizeof *e + key.n) : NULL;
    if (!e) {
        free(rows);
        return NULL;
    }
    *e = (struct sql_entry){ .script = s, .refs = 1, .until_ms = s->now_ms + TTL_MS, .rows = rows, .key_n = key.n };
    memcpy(e->key, key.p, key.n);
    s->memory += bytes;
    s->queries_bytes += bytes;
    hash_insert(&s->queries, &e->node, hash_bytes(key.p, key.n));
    list_prepend(&s->queries_used, &e->used);
    return e;
}

/* ---- results of a run, by their names ---- */

static struct sql_entry **result_of(struct sql_run *run, struct sv name)
{
    for (size_t i = 0; run && i < run->n; i++)
        if (sv_eq(sv_of(run->results[i].name), name))
            return &run->results[i].entry;
    return NULL;
}

static const struct db_rows *rows_of(const struct script_call *c, struct sv name)
{
    struct sql_entry **e = result_of(c->script->sql, name);

    return e && *e ? (*e)->rows : NULL;
}

static bool result_set(struct script_call *c, struct sv name, struct sql_entry *e)
{
    struct sql_run *run = c->script->sql;
    struct sql_entry **at = result_of(run, name);

    if (!at) {
        if (run->n == SQL_RESULTS_MAX || !sv_copy(name, run->results[run->n].name, SQL_NAME_MAX)) {
            c->fault = "a run has at most 8 results, with names of at most 31 bytes";
            return false;
        }
        at = &run->results[run->n++].entry;
        *at = NULL;
    }
    e->refs++;
    if (*at)
        unref(*at);
    *at = e;
    return true;
}

void sql_run_clear(struct sql_run *run)
{
    if (!run->n && !run->key.p)
        return; /* it has asked for nothing, as most */
    if (run->query)
        db_query_cancel(run->query);
    for (size_t i = 0; i < run->n; i++)
        if (run->results[i].entry)
            unref(run->results[i].entry);
    free(run->rows);
    free((char *)run->why);
    buf_fini(&run->key);
    *run = (struct sql_run){ .script = run->script };
}

/* ---- asking ---- */

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* What stands in quotes or in a comment at the front; 0: neither. */
static size_t quoted(struct sv s)
{
    struct sv end = s.p[0] == '-' && s.n > 1 && s.p[1] == '-' ? SV("\n") : s.p[0] == '/' && s.n > 1 && s.p[1] == '*' ? SV("*/") : SV("");
    size_t n = end.n ? 2 : 1;

    if (s.p[0] == '\'' || s.p[0] == '"' || s.p[0] == '`')
        end = sv_upto(s, 1);
    if (!end.n)
        return 0;
    while (n < s.n && !sv_starts(sv_from(s, n), end))
        n++;
    return TD_MIN(n + end.n, s.n);
}

/* $name or $name(key), as SQLite has it. */
static struct sv variable(struct sv s)
{
    size_t n = 1;

    while (n < s.n && is_word(s.p[n]))
        n++;
    if (n < s.n && n > 1 && s.p[n] == '(')
        n += TD_MIN(sv_find(sv_from(s, n), ')') + 1, s.n - n);
    return sv_upto(s, n);
}

/* Its value, which lives until the callback returns. */
static bool evaluate(struct script_call *c, struct sv name, struct db_param *out)
{
    const struct pv *p = pv_of(c->script, name, &c->fault);
    struct script_value v;

    if (!p)
        return false;
    pv_get(p, c, &v);
    *out = (struct db_param){ .name = name };
    if (v.type == SCRIPT_STR)
        out->value = (struct db_cell){ DB_TEXT, 0, v.s };
    else if (v.type != SCRIPT_NULL)
        out->value = (struct db_cell){ DB_INT, v.i, { 0 } };
    return !c->fault;
}

static bool read_params(struct script_call *c, struct sv sql, struct db_param *params, size_t *n)
{
    *n = 0;
    while (sql.n) {
        struct sv name = variable(sql);
        size_t skip = sql.p[0] == '$' ? name.n : quoted(sql);
        bool is_known = false;

        for (size_t i = 0; i < *n; i++)
            is_known |= sv_eq(params[i].name, name);
        if (sql.p[0] == '$' && !is_known) {
            if (*n == DB_QUERY_PARAMS_MAX)
                c->fault = "more than 16 variables";
            if (c->fault || !evaluate(c, name, &params[(*n)++]))
                return false;
        }
        sql = sv_from(sql, TD_MAX(skip, (size_t)1));
    }
    return true;
}

/* What tells this question from others: the text, and each value with its kind and length in front. */
static void make_key(struct buf *key, struct sv sql, const struct db_param *params, size_t n)
{
    buf_add_sv(key, sql);
    for (size_t i = 0; i < n; i++) {
        const struct db_cell *v = &params[i].value;
        int64_t head[2] = { v->kind, v->kind == DB_TEXT ? (int64_t)v->text.n : v->i };

        buf_add(key, head, sizeof head);
        if (v->kind == DB_TEXT)
            buf_add_sv(key, v->text);
    }
}

static bool is_select(struct sv sql)
{
    static const char *const words[] = { "select", "with", "values" };
    struct sv word = sv_trim(sql);

    while (word.n && (word.p[0] == '\n' || word.p[0] == '\r'))
        word = sv_trim(sv_from(word, 1));
    for (size_t i = 0; i < TD_ARRAY_LEN(words); i++) {
        size_t n = strlen(words[i]);

        if (sv_eq_nocase(sv_upto(word, n), sv_of(words[i])) && (word.n == n || !is_word(word.p[n])))
            return true;
    }
    return false;
}

static void on_answer(int err, const char *why, struct db_rows *rows, void *arg)
{
    struct sql_run *run = arg;

    run->query = NULL;
    run->rows = rows;
    run->why = err ? sv_dup(sv_of(*why ? why : td_err_text(err))) : NULL;
    run->host->ready(run->subject);
}

static void set_cell(struct script_value *out, const struct db_cell *v)
{
    if (v && v->kind == DB_TEXT)
        script_set_str(out, v->text);
    else if (v && v->kind == DB_INT)
        script_set_int(out, v->i);
}

/* One of the variables of sql_pvquery, with a comma behind it, or not: none within parentheses is one of those. */
static struct sv take_variable(struct sv *list)
{
    size_t n = 0, depth = 0;
    struct sv name;

    for (; n < list->n && (depth || list->p[n] != ','); n++) {
        depth += list->p[n] == '(';
        depth -= list->p[n] == ')' && depth;
    }
    name = sv_trim(sv_upto(*list, n));
    *list = sv_from(*list, n + 1);
    return name;
}

/* The first row becomes the values of variables. */
static void put_row(struct script_call *c, const struct db_rows *rows)
{
    struct sv list = c->arg[2].s;

    script_return(c, rows->n_rows ? 1 : 2);
    for (size_t i = 0; rows->n_rows && i < rows->n_columns && !c->fault; i++) {
        struct script_value v = { 0 };

        if (!list.n)
            c->fault = "there are more columns than variables";
        set_cell(&v, db_rows_cell(rows, 0, i));
        if (list.n)
            script_assign(c, take_variable(&list), &v);
    }
}

/* KEMI's result of a query. */
static void found(struct script_call *c, struct sql_entry *e)
{
    if (strcmp(c->func->name, "sql_pvquery") == 0)
        put_row(c, e->rows);
    else if (result_set(c, c->arg[2].s, e))
        script_return(c, e->rows->n_rows ? 1 : 2);
}

static void failed(struct script_call *c, const char *why)
{
    struct script *s = c->script;

    buf_clear(&s->error);
    buf_printf(&s->error, "KSR.sqlops.%s: %s: ", c->func->name, why);
    buf_add_sv(&s->error, c->arg[1].s);
    script_log(s);
    script_return(c, -1);
}

static void take_answer(struct script_call *c, struct sql_run *run)
{
    struct sql_entry *e = run->rows ? remember(c->script, buf_sv(&run->key), run->rows) : NULL;

    buf_clear(&run->key);
    if (e)
        found(c, e);
    else
        failed(c, run->why ? run->why : run->rows ? "too large for script.memory" : "out of memory");
    run->rows = NULL;
    free((char *)run->why);
    run->why = NULL;
}

void core_sql_query(struct script_call *c)
{
    struct script *s = c->script;
    struct sql_run *run = s->sql;
    struct db_param params[DB_QUERY_PARAMS_MAX];
    struct sv sql = c->arg[1].s;
    struct sql_entry *e;
    size_t n;
    int err;

    if (run && run->key.n) { /* called again: it has waited */
        take_answer(c, run);
        return;
    }
    if (!is_select(sql))
        c->fault = "SELECT is what is offered, the database is read only: see tandem-script(7)";
    else if (!run || !s->db)
        c->fault = "there is no database here";
    if (c->fault || !read_params(c, sql, params, &n))
        return;
    make_key(&run->key, sql, params, n);
    e = buf_failed(&run->key) ? NULL : find(s, buf_sv(&run->key));
    if (e) {
        buf_clear(&run->key);
        found(c, e);
        return;
    }
    if (!c->may_wait || !run->host) {
        buf_clear(&run->key);
        c->fault = "nothing waits for the database here: see tandem-script(7)";
        return;
    }
    err = buf_failed(&run->key) ? TD_ENOMEM : TD_OK;
    if (!err && !run->host->hold(run->subject))
        err = TD_EBUSY;
    if (!err)
        err = db_query_start(s->db, sql, params, n, s->mailbox, on_answer, run, &run->query);
    c->wait = !err;
    if (err) {
        buf_clear(&run->key);
        failed(c, td_err_text(err));
    }
}

void core_sql_result_free(struct script_call *c)
{
    struct sql_entry **e = result_of(c->script->sql, c->arg[0].s);

    if (e && *e) {
        unref(*e);
        *e = NULL;
    }
    script_return(c, 1);
}

void core_sql_num_rows(struct script_call *c)
{
    const struct db_rows *rows = rows_of(c, c->arg[0].s);

    script_return(c, rows ? (int64_t)rows->n_rows : -1);
}

void core_sql_num_columns(struct script_call *c)
{
    const struct db_rows *rows = rows_of(c, c->arg[0].s);

    script_return(c, rows ? (int64_t)rows->n_columns : -1);
}

/* NULL: out of bounds. */
static const struct db_cell *cell(const struct db_rows *rows, int64_t row, int64_t column)
{
    if (!rows || row < 0 || column < 0 || (uint64_t)row >= rows->n_rows || (uint64_t)column >= rows->n_columns)
        return NULL;
    return db_rows_cell(rows, (size_t)row, (size_t)column);
}

void core_sql_is_null(struct script_call *c)
{
    const struct db_cell *v = cell(rows_of(c, c->arg[0].s), c->arg[1].i, c->arg[2].i);

    script_return(c, v ? v->kind == DB_NULL : -1);
}

void core_sql_get(struct script_call *c)
{
    set_cell(&c->result, cell(rows_of(c, c->arg[0].s), c->arg[1].i, c->arg[2].i));
    script_otherwise(c);
}

/* ---- $dbr, $xavp ---- */

static bool to_index(struct sv s, int64_t *out)
{
    uint64_t n;

    if (!sv_to_u64(sv_trim(s), &n, NULL) || n > INT32_MAX)
        return false;
    *out = (int64_t)n;
    return true;
}

/* What stands between the brackets that text ends with, behind this. */
static bool take_brackets(struct sv text, struct sv front, struct sv *out)
{
    if (!sv_starts(text, front) || text.n < front.n + 2 || text.p[front.n] != '[' || text.p[text.n - 1] != ']')
        return false;
    *out = sv_make(text.p + front.n + 1, text.n - front.n - 2);
    return true;
}

void core_get_dbr(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    const struct db_rows *rows;
    struct sv result, key, in;
    int64_t row, column;
    size_t comma;

    if (!script_split(c, name->text, &result, &key))
        return;
    rows = rows_of(c, result);
    if (sv_eq(key, SV("rows")) || sv_eq(key, SV("cols"))) {
        if (rows)
            script_set_int(out, (int64_t)(key.p[0] == 'r' ? rows->n_rows : rows->n_columns));
    } else if (take_brackets(key, SV("colname"), &in) && to_index(in, &column)) {
        if (rows && (uint64_t)column < rows->n_columns)
            set_cell(out, &rows->cells[column]);
    } else if (take_brackets(key, SV(""), &in) && (comma = sv_find(in, ',')) < in.n && to_index(sv_upto(in, comma), &row) &&
               to_index(sv_from(in, comma + 1), &column)) {
        set_cell(out, cell(rows, row, column));
    } else {
        c->fault = "the keys of a result are rows, cols, colname[N] and [ROW,COLUMN]";
    }
}

void core_get_xavp(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    struct sv result, key, in;
    const struct db_rows *rows;
    int64_t row = 0;

    if (!script_split(c, name->text, &result, &key))
        return;
    if (take_brackets(result, sv_upto(result, sv_find(result, '[')), &in)) {
        result = sv_upto(result, sv_find(result, '['));
        if (!to_index(in, &row)) {
            c->fault = "an index is a number in brackets";
            return;
        }
    }
    rows = rows_of(c, result);
    for (size_t i = 0; rows && i < rows->n_columns; i++)
        if (sv_eq(rows->cells[i].text, key)) {
            set_cell(out, cell(rows, row, (int64_t)i));
            return;
        }
}

bool core_set_xavp(struct script_call *c, const struct script_name *name, const struct script_value *v)
{
    c->fault = "$xavp shows what KSR.sqlops.sql_xquery has brought, and cannot be set: see tandem-script(7)";
    return false;
}
