/* What every script has: logging, variables, hash tables, rate checks. */
#include "script/core.h"

#include <time.h>
#include <unistd.h>

#include "common/crypto.h"
#include "common/log.h"

/* ---- values ---- */

void script_set_int(struct script_value *v, int64_t i)
{
    *v = (struct script_value){ .type = SCRIPT_INT, .has_int = true, .i = i };
}

void script_set_str(struct script_value *v, struct sv s)
{
    *v = (struct script_value){ .type = SCRIPT_STR, .s = s };
}

void script_return(struct script_call *c, int64_t i)
{
    script_set_int(&c->result, i);
}

char *script_room(struct script_call *c, size_t n)
{
    struct script *s = c->script;
    char *at = s->room + s->room_n;

    n = (n + 7) & ~(size_t)7;
    if (n > ROOM_MAX - s->room_n) {
        c->fault = "the values of one call are longer than 128 KiB";
        return NULL;
    }
    s->room_n += n;
    return at;
}

struct sv script_keep(struct script_call *c, struct sv s)
{
    char *at = script_room(c, s.n);

    if (!at)
        return SV("");
    if (s.n)
        memcpy(at, s.p, s.n);
    return sv_make(at, s.n);
}

/* Decimal digits, faster than printf: a number is often put into a text. */
static struct sv int_text(struct script_call *c, int64_t i)
{
    enum { DIGITS = 20 };
    char *begin = script_room(c, DIGITS), *at = begin + DIGITS;
    uint64_t n = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;

    if (!begin)
        return SV("");
    do
        *--at = (char)('0' + n % 10);
    while (n /= 10);
    if (i < 0)
        *--at = '-';
    return sv_make(at, (size_t)(begin + DIGITS - at));
}

struct sv script_text(struct script_call *c, const struct script_value *v)
{
    switch (v->type) {
    case SCRIPT_STR:
        return v->s;
    case SCRIPT_INT:
    case SCRIPT_BOOL:
        return int_text(c, v->i);
    case SCRIPT_NULL:
        break;
    }
    return SV("");
}

/* ---- logging ---- */

static void log_text(enum log_level level, struct sv text)
{
    struct buf b = BUF_INIT;

    while (text.n && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r'))
        text.n--;
    buf_add_escaped(&b, text, 1024);
    if (!buf_failed(&b))
        log_write(level, "script", 0, "%s", b.p ? b.p : "");
    buf_fini(&b);
}

static void log_plain(struct script_call *c, enum log_level level, unsigned arg)
{
    if (log_enabled(level))
        log_text(level, c->arg[arg].s);
    script_return(c, 1);
}

#define LOG_FN(name, level)                   \
    void core_##name(struct script_call *c)   \
    {                                         \
        log_plain(c, LOG_LEVEL_##level, 0);   \
    }
LOG_FN(dbg, DEBUG)
LOG_FN(info, INFO)
LOG_FN(notice, NOTICE)
LOG_FN(warn, WARNING)
LOG_FN(err, ERROR)

/* info or L_INFO. */
static enum log_level level_of(struct sv name)
{
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = { { "dbg", LOG_LEVEL_DEBUG }, { "info", LOG_LEVEL_INFO }, { "notice", LOG_LEVEL_NOTICE }, { "warn", LOG_LEVEL_WARNING } };

    if (sv_starts(name, SV("L_")))
        name = sv_from(name, 2);
    for (size_t i = 0; i < TD_ARRAY_LEN(levels); i++)
        if (sv_eq_nocase(sv_of(levels[i].name), name))
            return levels[i].level;
    return LOG_LEVEL_ERROR;
}

void core_log(struct script_call *c)
{
    log_plain(c, level_of(c->arg[0].s), 1);
}

static void log_format(struct script_call *c, enum log_level level, struct sv format)
{
    const struct pv *p;

    script_return(c, 1);
    if (!log_enabled(level))
        return;
    p = pv_format_of(c->script, format, &c->fault);
    if (p)
        log_text(level, pv_format(p, c));
}

#define XLOG_FN(name, level)                  \
    void core_##name(struct script_call *c)   \
    {                                         \
        log_format(c, LOG_LEVEL_##level, c->arg[0].s); \
    }
XLOG_FN(xdbg, DEBUG)
XLOG_FN(xinfo, INFO)
XLOG_FN(xnotice, NOTICE)
XLOG_FN(xwarn, WARNING)
XLOG_FN(xerr, ERROR)

void core_xlog(struct script_call *c)
{
    log_format(c, level_of(c->arg[0].s), c->arg[1].s);
}

/* ---- KSR.x ---- */

void core_exit(struct script_call *c)
{
    c->exit = true;
}

/* ---- KSR.pv ---- */

static const struct pv *named(struct script_call *c)
{
    return pv_of(c->script, c->arg[0].s, &c->fault);
}

static void get_or(struct script_call *c, const struct script_value *otherwise)
{
    const struct pv *p = named(c);

    if (!p)
        return;
    pv_get(p, c, &c->result);
    if (c->result.type == SCRIPT_NULL)
        c->result = *otherwise;
}

void core_pv_get(struct script_call *c)
{
    const struct pv *p = named(c);

    if (!p)
        return;
    pv_get(p, c, &c->result);
    script_otherwise(c);
}

void core_pv_getvn(struct script_call *c)
{
    struct script_value otherwise;

    script_set_int(&otherwise, c->arg[1].i);
    get_or(c, &otherwise);
}

void core_pv_getvs(struct script_call *c)
{
    get_or(c, &(struct script_value){ .type = SCRIPT_STR, .s = c->arg[1].s });
}

void core_pv_geti(struct script_call *c)
{
    const struct pv *p = named(c);
    struct script_value v;

    if (!p)
        return;
    pv_get(p, c, &v);
    script_set_int(&c->result, v.type != SCRIPT_NULL && trans_int(c, &v, NULL) ? v.i : 0);
}

bool script_assign(struct script_call *c, struct sv name, const struct script_value *v)
{
    const struct pv *p = pv_of(c->script, name, &c->fault);

    if (p && !pv_set(p, c, v) && !c->fault)
        c->fault = "no room for the value";
    return !c->fault;
}

static void set_to(struct script_call *c, const struct script_value *v)
{
    script_assign(c, c->arg[0].s, v);
    script_return(c, 1);
}

void core_pv_seti(struct script_call *c)
{
    struct script_value v;

    script_set_int(&v, c->arg[1].i);
    set_to(c, &v);
}

void core_pv_sets(struct script_call *c)
{
    set_to(c, &(struct script_value){ .type = SCRIPT_STR, .s = c->arg[1].s });
}

void core_pv_unset(struct script_call *c)
{
    set_to(c, &(struct script_value){ 0 });
}

void core_pv_is_null(struct script_call *c)
{
    const struct pv *p = named(c);
    struct script_value v;

    if (!p)
        return;
    pv_get(p, c, &v);
    c->result = (struct script_value){ .type = SCRIPT_BOOL, .i = v.type == SCRIPT_NULL };
}

/* ---- $var ---- */

static struct var *find_var(struct script *s, struct sv name, uint64_t *hash)
{
    *hash = hash_bytes(name.p, name.n);
    for (struct hash_node *n = hash_first(&s->vars, *hash); n; n = hash_next(n)) {
        struct var *v = TD_CONTAINER_OF(n, struct var, node);

        if (sv_eq(sv_make(v->name, v->name_n), name))
            return v;
    }
    return NULL;
}

void core_get_vn(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    uint64_t hash;
    const struct var *v = find_var(c->script, name->text, &hash);

    if (v)
        *out = v->value;
}

void core_get_var(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    uint64_t hash;
    const struct var *v = find_var(c->script, name->text, &hash);

    if (v)
        *out = v->value;
    else
        script_set_int(out, 0);
}

static void var_clear(struct script *s, struct var *v)
{
    if (v->value.type == SCRIPT_STR)
        script_realloc(s, (void *)v->value.s.p, v->value.s.n + 1, 0);
    v->value = (struct script_value){ 0 };
}

bool core_set_var(struct script_call *c, const struct script_name *name, const struct script_value *value)
{
    struct script *s = c->script;
    uint64_t hash;
    struct var *v = find_var(s, name->text, &hash);
    char *text = NULL;

    if (!v) {
        if (s->vars.n >= VARS_MAX)
            return false;
        v = script_realloc(s, NULL, 0, sizeof *v + name->text.n);
        if (!v)
            return false;
        *v = (struct var){ .name_n = name->text.n };
        memcpy(v->name, name->text.p, name->text.n);
        hash_insert(&s->vars, &v->node, hash);
    }
    if (value->type == SCRIPT_STR) { /* it may be the value that goes: copy first; one byte more, as 0 would free */
        text = script_realloc(s, NULL, 0, value->s.n + 1);
        if (!text)
            return false;
        if (value->s.n)
            memcpy(text, value->s.p, value->s.n);
    }
    var_clear(s, v);
    v->value = *value;
    if (text)
        v->value.s.p = text;
    return true;
}

/* ---- KSR.pvx ---- */

void core_var_get(struct script_call *c)
{
    core_get_var(c, &(struct script_name){ .text = c->arg[0].s }, &c->result);
}

static void set_var(struct script_call *c, const struct script_value *v)
{
    if (!c->arg[0].s.n || c->arg[0].s.n > PV_LENGTH_MAX)
        c->fault = "a variable has a name";
    else if (!core_set_var(c, &(struct script_name){ .text = c->arg[0].s }, v))
        c->fault = "no room for the value";
    script_return(c, 1);
}

void core_var_seti(struct script_call *c)
{
    struct script_value v;

    script_set_int(&v, c->arg[1].i);
    set_var(c, &v);
}

void core_var_sets(struct script_call *c)
{
    set_var(c, &(struct script_value){ .type = SCRIPT_STR, .s = c->arg[1].s });
}

static void var_free(struct hash_node *n, void *arg)
{
    struct script *s = arg;
    struct var *v = TD_CONTAINER_OF(n, struct var, node);

    hash_remove(&s->vars, n);
    var_clear(s, v);
    script_realloc(s, v, sizeof *v + v->name_n, 0);
}

void core_vars_free(struct script *s)
{
    hash_each(&s->vars, var_free, s);
}

/* ---- hash tables ---- */

static struct htable *table(struct script_call *c, struct sv name)
{
    struct htable *t = htables_find(c->script->shared->tables, name);

    if (!t)
        c->fault = "no such table in [script] htable";
    return t;
}

static void sht_value(struct script_call *c, struct htable *t, struct sv key, struct script_value *out)
{
    struct htable_value *v = (void *)script_room(c, sizeof *v);

    if (!v || !htable_get(t, key, c->now_ms, v))
        return;
    if (v->is_int)
        script_set_int(out, v->i);
    else
        script_set_str(out, sv_make(v->text, v->n));
}

void core_sht_get(struct script_call *c)
{
    struct htable *t = table(c, c->arg[0].s);

    if (t)
        sht_value(c, t, c->arg[1].s, &c->result);
    script_otherwise(c);
}

void core_sht_is_null(struct script_call *c)
{
    core_sht_get(c);
    script_truth(c, c->result.type == SCRIPT_NULL);
}

void core_sht_sets(struct script_call *c)
{
    struct htable *t = table(c, c->arg[0].s);

    if (t)
        script_truth(c, htable_set_text(t, c->arg[1].s, c->arg[2].s, -1, c->now_ms));
}

void core_sht_seti(struct script_call *c)
{
    struct htable *t = table(c, c->arg[0].s);

    if (t)
        script_truth(c, htable_set_int(t, c->arg[1].s, c->arg[2].i, -1, c->now_ms));
}

void core_sht_setex(struct script_call *c)
{
    struct htable *t = table(c, c->arg[0].s);

    if (t)
        script_truth(c, htable_set_expires(t, c->arg[1].s, c->arg[2].i, c->now_ms));
}

void core_sht_setxs(struct script_call *c)
{
    struct htable *t = table(c, c->arg[0].s);

    if (t)
        script_truth(c, htable_set_text(t, c->arg[1].s, c->arg[2].s, TD_MAX(c->arg[3].i, (int64_t)0), c->now_ms));
}

void core_sht_setxi(struct script_call *c)
{
    struct htable *t = table(c, c->arg[0].s);

    if (t)
        script_truth(c, htable_set_int(t, c->arg[1].s, c->arg[2].i, TD_MAX(c->arg[3].i, (int64_t)0), c->now_ms));
}

static void sht_add(struct script_call *c, int64_t by)
{
    struct htable *t = table(c, c->arg[0].s);
    int64_t n;

    if (!t)
        return;
    if (htable_add(t, c->arg[1].s, by, c->now_ms, &n))
        script_return(c, n);
    else
        c->fault = "the entry is a text, or the table is full";
}

void core_sht_inc(struct script_call *c)
{
    sht_add(c, 1);
}

void core_sht_dec(struct script_call *c)
{
    sht_add(c, -1);
}

void core_sht_rm(struct script_call *c)
{
    struct htable *t = table(c, c->arg[0].s);

    if (t)
        htable_remove(t, c->arg[1].s, c->now_ms);
    script_return(c, 1);
}

void core_sht_match_name(struct script_call *c)
{
    struct htable *t = table(c, c->arg[0].s);
    struct script_value v = { 0 };

    if (!sv_eq(c->arg[1].s, SV("eq")))
        c->fault = "eq is the only comparison";
    else if (t)
        sht_value(c, t, c->arg[2].s, &v);
    script_truth(c, v.type != SCRIPT_NULL);
}

void core_sht_reset(struct script_call *c)
{
    struct htable *t = table(c, c->arg[0].s);

    if (t)
        htable_reset(t);
    script_return(c, 1);
}

bool script_split(struct script_call *c, struct sv text, struct sv *name, struct sv *key)
{
    size_t at = sv_find(text, '=');

    if (at + 1 >= text.n || text.p[at + 1] != '>') {
        c->fault = "an entry of a table is written TABLE=>KEY, and what a query has brought RESULT=>KEY";
        return false;
    }
    *name = sv_upto(text, at);
    *key = sv_from(text, at + 2);
    return true;
}

static struct htable *table_and_key(struct script_call *c, const struct script_name *name, struct sv *key)
{
    struct sv of;

    return script_split(c, name->text, &of, key) ? table(c, of) : NULL;
}

void core_get_sht(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    struct sv key;
    struct htable *t = table_and_key(c, name, &key);

    if (t)
        sht_value(c, t, key, out);
}

bool core_set_sht(struct script_call *c, const struct script_name *name, const struct script_value *v)
{
    struct sv key;
    struct htable *t = table_and_key(c, name, &key);

    if (!t)
        return false;
    if (v->type == SCRIPT_INT)
        return htable_set_int(t, key, v->i, -1, c->now_ms);
    if (v->type == SCRIPT_STR)
        return htable_set_text(t, key, v->s, -1, c->now_ms);
    htable_remove(t, key, c->now_ms);
    return true;
}

void core_get_shtex(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    struct sv key;
    struct htable *t = table_and_key(c, name, &key);
    int64_t s;

    if (t && htable_get_expires(t, key, c->now_ms, &s))
        script_set_int(out, s);
}

bool core_set_shtex(struct script_call *c, const struct script_name *name, const struct script_value *v)
{
    struct sv key;
    struct htable *t = table_and_key(c, name, &key);

    if (t && v->type == SCRIPT_INT)
        htable_set_expires(t, key, v->i, c->now_ms);
    return t != NULL;
}

/* ---- other variables ---- */

void core_get_null(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    *out = (struct script_value){ 0 };
}

void core_get_time(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    script_set_int(out, (int64_t)time(NULL));
}

void core_get_random(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    uint32_t n;

    crypto_random(&n, sizeof n);
    script_set_int(out, n & INT32_MAX);
}

void core_get_pid(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    script_set_int(out, getpid());
}

/* ---- KSR.pike ---- */

static void count_source(struct script_call *c, struct sv source)
{
    int64_t n = 0;

    /* A table full of sources counts nobody new: they are let in, as before there was a count. */
    htable_add(htables_find(c->script->shared->pike, SV("pike")), source, 1, c->now_ms, &n);
    script_truth(c, n <= c->script->shared->pike_density);
}

void core_pike(struct script_call *c)
{
    const struct pv *p = pv_of(c->script, SV("$si"), &c->fault);
    struct script_value source;

    if (!p)
        return;
    pv_get(p, c, &source);
    count_source(c, script_text(c, &source));
}

void core_pike_ip(struct script_call *c)
{
    count_source(c, c->arg[0].s);
}

/* ---- the table ---- */

static const struct script_func funcs[] = {
#define KSR_FN(module, name, kind, args, params, fn, text) { module, #name, SCRIPT_##kind, args, fn, params, text },
#include "script/func_tbl.h"
#undef KSR_FN
};

static const struct script_var vars[] = {
#define PV(class_, key, kind, get, set, param, text) { #class_, key, SCRIPT_##kind, get, set, param, text },
#include "script/var_tbl.h"
#undef PV
};

static const struct script_trans transformations[] = {
#define TRANS(class_, name, n, fn, params, text) { #class_, #name, n, fn, params, text },
#include "script/trans_tbl.h"
#undef TRANS
};

const struct script_api script_core_api = {
    funcs, TD_ARRAY_LEN(funcs), vars, TD_ARRAY_LEN(vars), transformations, TD_ARRAY_LEN(transformations),
};
