/* Lua states, and calls in both directions. With sandbox.c and budget.c the files that see Lua.
 *
 * Lua reports errors by longjmp(), over whatever is on the C stack between the error and lua_pcall(). So everything
 * that can fail inside Lua is done below run_protected() or setup(), in functions that own nothing: what they need to let go
 * of later belongs to the struct script. */
#include "script/script.h"

#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/log.h"
#include "script/core.h"
#include "script/private.h"

enum {
    SOURCE_MAX = 1024 * 1024,         /* bytes of a script */
    LOAD_INSTRUCTIONS = 10 * 1000 * 1000, /* for what a script does while it is loaded */
    LOGGED_MAX = 10,                  /* errors in each LOG_WINDOW_MS */
    LOG_WINDOW_MS = 10000,
    VARS_LOG2 = 4,
    PVS_LOG2 = 6,
};

static struct script *script_of(lua_State *L)
{
    return *(struct script **)lua_getextraspace(L);
}

/* ---- from Lua to us ---- */

static char exit_mark; /* its address is the error value of KSR.x.exit() */

static int ksr_error(lua_State *L, const struct script_func *f, const char *what)
{
    return luaL_error(L, "KSR.%s%s%s: %s", f->module, *f->module ? "." : "", f->name, what);
}

static void take_args(lua_State *L, const struct script_func *f, struct script_call *c)
{
    bool optional = false;
    size_t length = 0;
    int at = 0;

    for (const char *a = f->args; *a; a++) {
        struct sv s = { 0 };
        int is_num = 0;

        if (*a == '|') {
            optional = true;
            continue;
        }
        c->arg[at].s = SV("");
        c->arg[at++].i = 0;
        if (*a == 'i')
            c->arg[at - 1].i = lua_tointegerx(L, at, &is_num);
        else
            s.p = lua_tolstring(L, at, &s.n); /* of a number, too */
        if (s.p)
            c->arg[at - 1].s = s;
        length += s.n;
        if (s.p || is_num)
            c->n = (unsigned)at;
        else if (!lua_isnoneornil(L, at))
            ksr_error(L, f, lua_pushfstring(L, "argument %d is no %s", at, *a == 'i' ? "whole number" : "text"));
        else if (!optional)
            ksr_error(L, f, lua_pushfstring(L, "argument %d is missing", at));
    }
    if (TD_UNLIKELY(length > SCRIPT_LONG_TEXT) && !budget_take(c->script, length / 4))
        ksr_error(L, f, "it takes too long");
}

/* What a function of KSR is: its rows by the kind of the event; NULL: it has none there. */
struct binding {
    const struct script_func *any, *rows[SCRIPT_KINDS];
};

static const struct script_func *fitting(lua_State *L, const struct script *s)
{
    const struct binding *b = lua_touserdata(L, lua_upvalueindex(1));
    const struct script_func *f = b->rows[s->kind];

    if (TD_UNLIKELY(!f))
        ksr_error(L, b->any, b->any->kind == SCRIPT_MSRP ? "there is no frame here" : "there is no SIP message here");
    return f;
}

static int call_function(lua_State *L);

static int call_again(lua_State *L, int status, lua_KContext context)
{
    return call_function(L);
}

static int call_function(lua_State *L)
{
    struct script *s = script_of(L);
    const struct script_func *f = fitting(L, s);
    struct script_call c;

    /* one by one: to clear the arguments that it does not have would cost more than all the rest */
    c.script = s;
    c.subject = s->subject;
    c.now_ms = s->now_ms;
    c.n = 0;
    c.func = f;
    c.result = (struct script_value){ 0 };
    c.fault = NULL;
    c.exit = c.wait = false;
    c.may_wait = lua_isyieldable(L);
    take_args(L, f, &c);
    s->room_n = 0;
    f->fn(&c);
    if (c.fault)
        return ksr_error(L, f, c.fault);
    if (c.wait && c.may_wait)
        return lua_yieldk(L, 0, 0, call_again);
    if (c.exit) {
        s->exiting = true;
        lua_pushlightuserdata(L, &exit_mark);
        return lua_error(L);
    }
    switch (c.result.type) { /* most often the first */
    case SCRIPT_INT:
        lua_pushinteger(L, c.result.i);
        break;
    case SCRIPT_BOOL:
        lua_pushboolean(L, c.result.i != 0);
        break;
    case SCRIPT_STR:
        lua_pushlstring(L, c.result.s.n ? c.result.s.p : "", c.result.s.n);
        break;
    case SCRIPT_NULL:
        lua_pushnil(L);
        break;
    }
    return 1;
}

/* KSR.module.name that is not there: the name of the module is with us. */
static int missing_function(lua_State *L)
{
    return luaL_error(L, "%s.%s is not offered", lua_tostring(L, lua_upvalueindex(1)), luaL_tolstring(L, 2, NULL));
}

/* Give the table on top a metatable that answers for what is missing. */
static void set_missing(lua_State *L, const char *module)
{
    lua_createtable(L, 0, 1);
    lua_pushfstring(L, "KSR.%s", module);
    lua_pushcclosure(L, missing_function, 1);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
}

/* KSR.module that is not there: a table of which every function is missing, so that the error names it; nil if the script asks whether it is. */
static int missing_module(lua_State *L)
{
    const char *name = luaL_tolstring(L, 2, NULL);

    if (script_asks(&script_of(L)->asked, sv_of(name)))
        return 0;
    lua_createtable(L, 0, 0);
    set_missing(L, name);
    return 1;
}

/* ---- the functions that are offered ---- */

/* The function on top is that of this row, too; there is none yet: make it. */
static void bind(lua_State *L, const struct script_func *f)
{
    struct binding *b;

    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        b = lua_newuserdatauv(L, sizeof *b, 0);
        *b = (struct binding){ .any = f };
        lua_pushcclosure(L, call_function, 1);
    } else {
        lua_getupvalue(L, -1, 1);
        b = lua_touserdata(L, -1);
        lua_pop(L, 1);
    }
    for (int kind = 0; kind < SCRIPT_KINDS; kind++)
        if (f->kind == SCRIPT_ANY ? !b->rows[kind] : (int)f->kind == kind)
            b->rows[kind] = f;
}

/* The table KSR. */
static void add_functions(lua_State *L, const struct script_shared *shared)
{
    lua_createtable(L, 0, 32);
    for (size_t a = 0; a < shared->n_apis; a++)
        for (size_t i = 0; i < shared->apis[a]->n_funcs; i++) {
            const struct script_func *f = &shared->apis[a]->funcs[i];
            bool in_module = *f->module;

            if (in_module && lua_getfield(L, -1, f->module) == LUA_TNIL) {
                lua_pop(L, 1);
                lua_createtable(L, 0, 16);
                set_missing(L, f->module);
                lua_pushvalue(L, -1);
                lua_setfield(L, -3, f->module);
            }
            lua_pushstring(L, f->name);
            lua_rawget(L, -2);
            bind(L, f);
            lua_setfield(L, -2, f->name);
            if (in_module)
                lua_pop(L, 1);
        }
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, missing_module);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_setglobal(L, "KSR");
}

static int setup(lua_State *L)
{
    sandbox_open(L);
    add_functions(L, script_of(L)->shared);
    return 0;
}

/* ---- from us to Lua ---- */

/* What failed, and where: kept outside of Lua, which may be out of memory. */
static int on_error(lua_State *L)
{
    struct script *s = script_of(L);
    size_t n;
    const char *text;

    if (s->exiting)
        return 1;
    text = luaL_tolstring(L, 1, &n);
    buf_clear(&s->error);
    buf_add(&s->error, text, n);
    luaL_traceback(L, L, NULL, 1);
    text = lua_tolstring(L, -1, &n);
    buf_puts(&s->error, "\n");
    buf_add(&s->error, text, n);
    return 1;
}

/* Call what is below the arguments on the stack; true: it came to its end. Else s->error says why not. */
static bool call_protected(struct script *s, lua_CFunction fn, void *arg, int instructions)
{
    lua_State *L = s->lua;
    int status;

    s->exiting = false;
    budget_begin(&s->run, L, instructions);
    buf_clear(&s->error);
    lua_pushcfunction(L, on_error);
    lua_pushcfunction(L, fn);
    lua_pushlightuserdata(L, arg);
    status = lua_pcall(L, 1, 0, -3);
    if (status == LUA_ERRMEM) {
        budget_memory_error(s);
    } else if (status != LUA_OK && !s->exiting && !s->error.n) {
        buf_puts(&s->error, "an error while an error was handled");
    }
    lua_settop(L, 0);
    s->subject = NULL;
    s->kind = SCRIPT_ANY;
    return status == LUA_OK || s->exiting;
}

struct run {
    const char *function, *arg;
};

static int run_function(lua_State *L)
{
    const struct run *run = lua_touserdata(L, 1);

    if (lua_getglobal(L, run->function) != LUA_TFUNCTION)
        return luaL_error(L, "no function %s", run->function);
    lua_pushstring(L, run->arg);
    lua_call(L, 1, 0);
    return 0;
}

/* One line for the log: the frames of the traceback behind each other. */
void script_log(struct script *s)
{
    struct buf line = BUF_INIT;
    struct sv rest = buf_sv(&s->error);

    if (s->now_ms - s->log_window_ms >= LOG_WINDOW_MS || s->log_window_ms == 0) {
        if (s->log_skipped)
            log_error("script", 0, "%u more errors were not logged", s->log_skipped);
        s->log_window_ms = s->now_ms;
        s->log_n = s->log_skipped = 0;
    }
    if (s->log_n >= LOGGED_MAX) {
        s->log_skipped++;
        return;
    }
    s->log_n++;
    while (rest.n) {
        struct sv part = sv_upto(rest, sv_find(rest, '\n'));

        rest = sv_from(rest, part.n + 1);
        buf_puts(&line, line.n ? " | " : "");
        buf_add_escaped(&line, sv_trim(part), 512);
    }
    log_error("script", 0, "%s", buf_failed(&line) || !line.p ? "out of memory" : line.p);
    buf_fini(&line);
}

static enum script_end run_failed(struct script *s)
{
    if (s->stats)
        stats_inc(s->stats, STAT_script_errors);
    script_log(s);
    return SCRIPT_FAILED;
}

enum script_end script_run(struct script *s, const char *function, const char *arg, enum script_kind kind, void *subject,
                           uint64_t now_ms)
{
    struct run run = { function, arg };
    bool good;

    s->kind = subject ? kind : SCRIPT_ANY;
    s->subject = subject;
    s->now_ms = now_ms;
    s->sql = &s->own_sql;
    if (s->stats)
        stats_inc(s->stats, STAT_script_runs);
    good = call_protected(s, run_function, &run, (int)s->instructions);
    s->sql = NULL;
    sql_run_clear(&s->own_sql);
    return TD_LIKELY(good) ? SCRIPT_DONE : run_failed(s);
}

/* ---- runs that may wait ---- */

struct script_wait {
    struct script *s;         /* back */
    lua_State *co;            /* borrowed: anchored by ref */
    int ref;
    const char *function, *arg; /* borrowed: of its last event, whose texts are on its stack, too; NULL: none */
    enum script_kind kind;
    void *subject;            /* borrowed */
    struct budget left;       /* while it waits */
    struct sql_run sql;
};

/* At the bottom of a coroutine's stack; pushing them again can neither fail nor take memory. */
enum { AT_GLOBALS = 1, AT_FUNCTION, AT_ARG, KEPT = AT_ARG };

static void forget_event(struct script_wait *w)
{
    lua_settop(w->co, 0);
    w->function = w->arg = NULL;
}

static int make_coroutine(lua_State *L)
{
    struct script_wait *w = lua_touserdata(L, 1);

    w->co = lua_newthread(L);
    w->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    forget_event(w);
    return 0;
}

static int drop_coroutine(lua_State *L)
{
    luaL_unref(L, LUA_REGISTRYINDEX, ((const struct script_wait *)lua_touserdata(L, 1))->ref);
    return 0;
}

/* What failed in a coroutine, whose stack is as it was then. */
static int coroutine_error(lua_State *L)
{
    const struct script_wait *w = lua_touserdata(L, 1);
    struct script *s = w->s;
    const char *text;
    size_t n;

    lua_xmove(w->co, L, 1);
    text = luaL_tolstring(L, -1, &n);
    buf_add(&s->error, text, n);
    luaL_traceback(L, w->co, NULL, 0);
    text = lua_tolstring(L, -1, &n);
    buf_puts(&s->error, "\n");
    buf_add(&s->error, text, n);
    return 0;
}

static void wait_free(struct script_wait *w)
{
    struct script *s = w->s;

    sql_run_clear(&w->sql);
    if (w->co)
        call_protected(s, drop_coroutine, w, LOAD_INSTRUCTIONS);
    free(w);
}

/* NULL: no memory for it. */
static struct script_wait *wait_new(struct script *s)
{
    struct script_wait *w = s->spare;

    if (w) {
        s->spare = NULL;
        return w;
    }
    w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->s = w->sql.script = s;
    if (call_protected(s, make_coroutine, w, LOAD_INSTRUCTIONS))
        return w;
    w->co = NULL;
    wait_free(w);
    return NULL;
}

/* The run has ended; is_whole: its coroutine can be used again. */
static void wait_end(struct script_wait *w, bool is_whole)
{
    struct script *s = w->s;

    sql_run_clear(&w->sql);
    if (is_whole && !s->spare && !s->is_freed)
        s->spare = w;
    else
        wait_free(w);
    if (--s->n_waiting == 0 && s->is_freed)
        script_free(&s);
}

static int keep_event(lua_State *L)
{
    struct script_wait *w = lua_touserdata(L, 1);
    const char *function = w->function, *arg = w->arg;

    forget_event(w);
    lua_pushglobaltable(L);
    lua_pushstring(L, function);
    lua_pushstring(L, arg);
    lua_xmove(L, w->co, KEPT);
    w->function = function;
    w->arg = arg;
    return 0;
}

/* Put the function and its argument on the stack; false: s->error says why not. Most often they are those of its last event. A global is looked
 * for, as the script may have changed it; not by way of a metatable, which could fail here. */
static bool push_event(struct script_wait *w, const char *function, const char *arg)
{
    struct script *s = w->s;

    if (TD_UNLIKELY(w->function != function || w->arg != arg)) {
        w->function = function;
        w->arg = arg;
        if (!call_protected(s, keep_event, w, LOAD_INSTRUCTIONS)) {
            forget_event(w);
            return false;
        }
    }
    lua_pushvalue(w->co, AT_FUNCTION);
    if (lua_rawget(w->co, AT_GLOBALS) != LUA_TFUNCTION) {
        lua_settop(w->co, KEPT);
        buf_clear(&s->error);
        buf_printf(&s->error, "no function %s", function);
        return false;
    }
    lua_pushvalue(w->co, AT_ARG);
    return true;
}

/* Its budget is in s->run. */
static enum script_end go_on(struct script_wait **wp, int n_args, uint64_t now_ms)
{
    struct script_wait *w = *wp;
    struct script *s = w->s;
    enum script_end end = SCRIPT_DONE;
    int n, status;

    s->kind = w->kind;
    s->subject = w->subject;
    s->sql = &w->sql;
    s->now_ms = now_ms;
    s->exiting = false;
    status = lua_resume(w->co, s->lua, n_args, &n);
    if (TD_UNLIKELY(status == LUA_OK && n > KEPT)) /* it has returned something */
        lua_settop(w->co, KEPT);
    s->subject = NULL;
    s->sql = NULL;
    s->kind = SCRIPT_ANY;
    if (status == LUA_YIELD) {
        w->left = s->run;
        return SCRIPT_WAITS;
    }
    if (status != LUA_OK && s->exiting) {
        lua_resetthread(w->co); /* what it returns is why the run had ended; the coroutine is good again */
        forget_event(w);
        status = LUA_OK;
    } else if (status != LUA_OK) {
        buf_clear(&s->error);
        if (status == LUA_ERRMEM)
            budget_memory_error(s);
        else
            call_protected(s, coroutine_error, w, (int)s->instructions);
        end = run_failed(s);
    }
    *wp = NULL;
    wait_end(w, status == LUA_OK);
    return end;
}

enum script_end script_start(struct script_wait **wp, struct script *s, const char *function, const char *arg, enum script_kind kind,
                             const struct script_host *host, void *subject, uint64_t now_ms)
{
    struct script_wait *w;

    *wp = NULL;
    s->now_ms = now_ms;
    if (s->stats)
        stats_inc(s->stats, STAT_script_runs);
    w = wait_new(s);
    if (TD_UNLIKELY(!w))
        return run_failed(s);
    w->kind = subject ? kind : SCRIPT_ANY;
    w->subject = w->sql.subject = subject;
    w->sql.host = host;
    s->n_waiting++;
    if (TD_UNLIKELY(!push_event(w, function, arg))) {
        run_failed(s);
        wait_end(w, true);
        return SCRIPT_FAILED;
    }
    budget_begin(&s->run, w->co, (int)s->instructions);
    *wp = w;
    return go_on(wp, 1, now_ms);
}

enum script_end script_resume(struct script_wait **w, uint64_t now_ms)
{
    struct script *s = (*w)->s;

    s->run = (*w)->left;
    s->run.begun_ns = 0; /* others have run meanwhile */
    return go_on(w, 0, now_ms);
}

void script_abandon(struct script_wait **w)
{
    if (*w)
        wait_end(*w, false);
    *w = NULL;
}

void script_move(struct script_wait *w, void *subject)
{
    w->subject = w->sql.subject = subject;
}

void script_use_db(struct script *s, struct db *db, struct mailbox *mb)
{
    s->db = db;
    s->mailbox = mb;
}

static int has_function(lua_State *L)
{
    return lua_getglobal(L, lua_touserdata(L, 1)) == LUA_TFUNCTION ? 0 : luaL_error(L, "no");
}

bool script_has(struct script *s, const char *function)
{
    return call_protected(s, has_function, (void *)(uintptr_t)function, (int)s->instructions);
}

/* ---- making one ---- */

static int read_source(const char *path, char **out, size_t *n, struct buf *faults)
{
    FILE *f = fopen(path, "re");
    int err = TD_EINVAL;

    *n = 0;
    *out = f ? malloc(SOURCE_MAX + 1) : NULL;
    if (!f) {
        buf_printf(faults, "%s: %s\n", path, strerror(errno));
    } else if (!*out) {
        err = TD_ENOMEM;
    } else {
        *n = fread(*out, 1, SOURCE_MAX + 1, f);
        if (ferror(f))
            buf_printf(faults, "%s: cannot be read\n", path);
        else if (*n > SOURCE_MAX)
            buf_printf(faults, "%s: longer than %d bytes\n", path, SOURCE_MAX);
        else
            err = TD_OK;
    }
    if (f)
        fclose(f);
    return err;
}

struct chunk {
    struct sv source;
    char name[LUA_IDSIZE];
};

/* As Lua reads a file: without a byte order mark, and without a first line that begins with #. */
static struct sv without_first(struct sv source)
{
    if (sv_starts(source, SV("\xEF\xBB\xBF")))
        source = sv_from(source, 3);
    return sv_starts(source, SV("#")) ? sv_from(source, sv_find(source, '\n')) : source;
}

/* No bytecode: it is not checked by Lua. */
static int load_chunk(lua_State *L)
{
    const struct chunk *c = lua_touserdata(L, 1);

    if (luaL_loadbufferx(L, c->source.p, c->source.n, c->name, "t") != LUA_OK)
        return lua_error(L);
    lua_call(L, 0, 0);
    return 0;
}

/* Lua says NAME:LINE: what; the operator wants the whole path. Of a traceback the first line is enough. */
static void add_fault(const struct script *s, const char *path, const char *name, struct buf *faults)
{
    struct sv text = buf_sv(&s->error), own = sv_of(name);

    text = sv_upto(text, sv_find(text, '\n'));
    if (sv_starts(text, own) && text.n > own.n && text.p[own.n] == ':')
        text = sv_from(text, own.n + 1);
    else
        buf_printf(faults, "%s: " SV_FMT "\n", path, SV_ARG(text)), text = SV("");
    if (text.n)
        buf_printf(faults, "%s:" SV_FMT "\n", path, SV_ARG(text));
}

static int load(struct script *s, const char *path, uint64_t now_ms, struct buf *faults)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    struct chunk c = { .name = "@script" };
    char *source = NULL;
    size_t before = faults->n;
    int err = read_source(path, &source, &c.source.n, faults);

    c.source = without_first(sv_make(source, c.source.n));
    if (strlen(name) + 2 <= sizeof c.name)
        snprintf(c.name, sizeof c.name, "@%s", name);
    if (!err)
        script_scan(s->shared, path, c.source, &s->asked, faults);
    s->now_ms = now_ms;
    if (!err && !call_protected(s, load_chunk, &c, LOAD_INSTRUCTIONS))
        if (faults->n == before) /* else it is very likely what was named already */
            add_fault(s, path, c.name + 1, faults);
    if (!err && (faults->n > before || buf_failed(faults) || buf_failed(&s->asked)))
        err = buf_failed(faults) || buf_failed(&s->asked) ? TD_ENOMEM : TD_EINVAL;
    free(source);
    return err;
}

int script_new(struct script **out, struct script_shared *shared, const struct conf *conf, struct stats *stats, uint64_t now_ms,
               struct buf *faults)
{
    struct script *s = calloc(1, sizeof *s);
    int err = TD_ENOMEM;

    *out = NULL;
    if (!s)
        return err;
    s->shared = shared;
    s->stats = stats;
    s->memory_max = (size_t)conf->script.memory;
    s->instructions = conf->script.instructions;
    s->own_sql.script = s;
    list_init(&s->queries_used);
    s->room = malloc(ROOM_MAX);
    if (!s->room || hash_init(&s->vars, VARS_LOG2) || hash_init(&s->pvs, PVS_LOG2) || hash_init(&s->queries, PVS_LOG2))
        goto out;
    s->lua = lua_newstate(budget_memory, s);
    if (!s->lua)
        goto out;
    *(struct script **)lua_getextraspace(s->lua) = s;
    if (!call_protected(s, setup, NULL, LOAD_INSTRUCTIONS)) {
        buf_printf(faults, "%s: " SV_FMT "\n", conf->script.file, SV_ARG(buf_sv(&s->error)));
        goto out;
    }
    err = load(s, conf->script.file, now_ms, faults);
    if (err)
        goto out;
    *out = s;
    s = NULL;
out:
    script_free(&s);
    return err;
}

void script_free(struct script **sp)
{
    struct script *s = *sp;

    if (!s)
        return;
    *sp = NULL;
    s->is_freed = true;
    if (s->n_waiting)
        return;
    if (s->spare)
        wait_free(s->spare);
    if (s->lua)
        lua_close(s->lua);
    sql_cache_flush(s);
    if (s->pvs.slots)
        pv_cache_flush(s);
    if (s->vars.slots)
        core_vars_free(s);
    hash_fini(&s->pvs);
    hash_fini(&s->vars);
    hash_fini(&s->queries);
    buf_fini(&s->error);
    buf_fini(&s->asked);
    free(s->room);
    free(s);
}
