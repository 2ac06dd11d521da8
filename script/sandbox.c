/* What a script may use of Lua: the names in sandbox_tbl.h, with a pcall() and a setmetatable() of ours, and what matches patterns. */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <string.h>

#include "script/pattern.h"
#include "script/private.h"

static struct script *script_of(lua_State *L)
{
    return *(struct script **)lua_getextraspace(L);
}

/* As Lua's, but neither the end of a run nor a spent budget can be caught. */
static int pcall_ended(lua_State *L, int status, lua_KContext context)
{
    const struct script *s = script_of(L);

    if (s->exiting || s->run.spent)
        return lua_error(L);
    lua_pushboolean(L, status == LUA_OK || status == LUA_YIELD);
    lua_insert(L, 1);
    return lua_gettop(L);
}

static int safe_pcall(lua_State *L)
{
    luaL_checkany(L, 1);
    return pcall_ended(L, lua_pcallk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, 0, pcall_ended), 0);
}

/* As Lua's, without finalizers: Lua runs them with no count of instructions. */
static int safe_setmetatable(lua_State *L)
{
    if (lua_istable(L, 2)) {
        lua_pushliteral(L, "__gc");
        if (lua_rawget(L, 2) != LUA_TNIL)
            return luaL_error(L, "a metatable with __gc is not offered");
        lua_pop(L, 1);
    }
    lua_settop(L, 2);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 2, 1);
    return 1;
}

/* ---- what counts no instructions ---- */

static void take_steps(lua_State *L, uint64_t steps)
{
    if (!budget_take(script_of(L), steps))
        luaL_error(L, "stopped: it takes too long");
}

/* Functions of Lua that look at all of their first argument. */
static const struct long_one {
    const char *library, *name;
    int n_args;              /* only when there are as many */
    unsigned steps;          /* for each item or byte */
} long_ones[] = {
    { "table", "insert", 3, 1 },  { "table", "remove", 2, 1 }, { "table", "sort", 1, 8 }, { "table", "concat", 1, 1 },   { "table", "unpack", 1, 1 },
    { "string", "pack", 1, 1 },   { "string", "unpack", 1, 1 }, { "utf8", "len", 1, 1 },   { "utf8", "codepoint", 1, 1 }, { "utf8", "offset", 1, 1 },
};

/* The upvalues: Lua's own function, and which one it is. A table that says itself how long it is could keep it busy for years. */
static int charged(lua_State *L)
{
    const struct long_one *f = &long_ones[lua_tointeger(L, lua_upvalueindex(2))];

    if (luaL_getmetafield(L, 1, "__len") != LUA_TNIL)
        return luaL_error(L, "not for a table with __len");
    if (lua_gettop(L) >= f->n_args)
        take_steps(L, (uint64_t)lua_rawlen(L, 1) * f->steps);
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* Nothing, a billion times, is nothing: Lua would count that far. */
static int safe_rep(lua_State *L)
{
    size_t n, between;

    luaL_checklstring(L, 1, &n);
    luaL_optlstring(L, 3, "", &between);
    if (n + between == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* Put it in the place of the function, in the table on top, with that and a number as its upvalues. */
static void replace(lua_State *L, const char *name, lua_CFunction with, int number)
{
    lua_getfield(L, -1, name);
    lua_pushinteger(L, number);
    lua_pushcclosure(L, with, 2);
    lua_setfield(L, -2, name);
}

/* ---- string.find, match, gmatch and gsub: as Lua's, within the steps that a run may take ---- */

/* The subject and the pattern, whose anchor is taken off if anchored is not NULL. */
static void take_pattern(lua_State *L, int subject, int text, struct pattern *m, bool *anchored)
{
    m->subject.p = luaL_checklstring(L, subject, &m->subject.n);
    m->text.p = luaL_checklstring(L, text, &m->text.n);
    m->steps = script_of(L)->run.steps;
    m->fault = NULL;
    if (anchored && (*anchored = sv_starts(m->text, SV("^"))))
        m->text = sv_from(m->text, 1);
}

/* What was taken is gone, for all of the run. */
static const char *match_at(lua_State *L, struct pattern *m, const char *at)
{
    struct script *s = script_of(L);
    const char *end = pattern_match(m, at);

    s->run.steps = m->steps;
    if (!m->fault)
        return end;
    s->run.spent |= m->steps == 0;
    luaL_error(L, m->steps == 0 ? "stopped: a pattern takes too long" : "%s", m->fault);
    return NULL;
}

static void push_capture(lua_State *L, const struct pattern *m, unsigned i, const char *begin, const char *end)
{
    const struct pattern_capture *c = &m->captures[i];

    if (i >= m->n) {
        if (i)
            luaL_error(L, "invalid capture index %%%d", (int)i + 1);
        lua_pushlstring(L, begin, (size_t)(end - begin)); /* without captures it is all */
    } else if (c->n == PATTERN_OPEN) {
        luaL_error(L, "unfinished capture");
    } else if (c->n == PATTERN_POSITION) {
        lua_pushinteger(L, c->p - m->subject.p + 1);
    } else {
        lua_pushlstring(L, c->p, (size_t)c->n);
    }
}

static int push_captures(lua_State *L, const struct pattern *m, const char *begin, const char *end)
{
    unsigned n = m->n ? m->n : 1;

    luaL_checkstack(L, (int)n, "too many captures");
    for (unsigned i = 0; i < n; i++)
        push_capture(L, m, i, begin, end);
    return (int)n;
}

/* Where to begin, from the argument that says it; false: behind the end. */
static bool take_init(lua_State *L, int arg, size_t length, size_t *init)
{
    lua_Integer n = luaL_optinteger(L, arg, 1);

    if (n < 0)
        n = (lua_Unsigned)0 - (lua_Unsigned)n > length ? 1 : (lua_Integer)length + n + 1;
    *init = n > 0 ? (size_t)n - 1 : 0;
    return *init <= length;
}

static int find_plain(lua_State *L, const struct pattern *m, size_t init)
{
    struct sv rest = sv_from(m->subject, init);
    const char *at = m->text.n ? memmem(rest.p, rest.n, m->text.p, m->text.n) : rest.p;

    take_steps(L, rest.n / 4);
    if (!at)
        return 0;
    lua_pushinteger(L, at - m->subject.p + 1);
    lua_pushinteger(L, at - m->subject.p + (lua_Integer)m->text.n);
    return 2;
}

/* string.find and string.match */
static int search(lua_State *L, bool is_find)
{
    struct pattern m;
    bool anchored;
    size_t init;

    take_pattern(L, 1, 2, &m, NULL);
    lua_settop(L, 4);
    if (!take_init(L, 3, m.subject.n, &init)) {
        lua_pushnil(L);
        return 1;
    }
    if (is_find && (lua_toboolean(L, 4) || pattern_is_plain(m.text))) {
        if (find_plain(L, &m, init))
            return 2;
        lua_pushnil(L);
        return 1;
    }
    take_pattern(L, 1, 2, &m, &anchored);
    for (const char *at = m.subject.p + init; at <= m.subject.p + m.subject.n; at++) {
        const char *end = match_at(L, &m, at);

        if (end && is_find) {
            lua_pushinteger(L, at - m.subject.p + 1);
            lua_pushinteger(L, end - m.subject.p);
            return 2 + (m.n ? push_captures(L, &m, at, end) : 0);
        }
        if (end)
            return push_captures(L, &m, at, end);
        if (anchored)
            break;
    }
    lua_pushnil(L);
    return 1;
}

static int safe_find(lua_State *L)
{
    return search(L, true);
}

static int safe_match(lua_State *L)
{
    return search(L, false);
}

enum { GMATCH_SUBJECT = 1, GMATCH_PATTERN, GMATCH_AT, GMATCH_LAST /* end of the last match, -1: there was none */ };

static int gmatch_next(lua_State *L)
{
    struct pattern m;
    const char *last;
    lua_Integer n = lua_tointeger(L, lua_upvalueindex(GMATCH_LAST));

    take_pattern(L, lua_upvalueindex(GMATCH_SUBJECT), lua_upvalueindex(GMATCH_PATTERN), &m, NULL);
    last = n < 0 ? NULL : m.subject.p + n;
    for (const char *at = m.subject.p + lua_tointeger(L, lua_upvalueindex(GMATCH_AT)); at <= m.subject.p + m.subject.n; at++) {
        const char *end = match_at(L, &m, at);

        if (!end || end == last)
            continue;
        lua_pushinteger(L, end - m.subject.p);
        lua_copy(L, -1, lua_upvalueindex(GMATCH_AT));
        lua_replace(L, lua_upvalueindex(GMATCH_LAST));
        return push_captures(L, &m, at, end);
    }
    return 0;
}

static int safe_gmatch(lua_State *L)
{
    struct pattern m;
    size_t init;

    take_pattern(L, 1, 2, &m, NULL);
    if (!take_init(L, 3, m.subject.n, &init))
        init = m.subject.n + 1;
    lua_settop(L, 2);
    lua_pushinteger(L, (lua_Integer)init);
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, gmatch_next, 4);
    return 1;
}

/* %1 in a text that replaces */
static void add_template(lua_State *L, luaL_Buffer *b, const struct pattern *m, const char *begin, const char *end)
{
    struct sv rest;

    rest.p = lua_tolstring(L, 3, &rest.n);
    while (rest.n) {
        struct sv plain = sv_upto(rest, sv_find(rest, '%'));
        char c = plain.n + 1 < rest.n ? rest.p[plain.n + 1] : '\0';

        luaL_addlstring(b, plain.p, plain.n);
        if (plain.n == rest.n)
            return;
        rest = sv_from(rest, plain.n + 2);
        if (c == '%') {
            luaL_addchar(b, '%');
        } else if (c == '0') {
            luaL_addlstring(b, begin, (size_t)(end - begin));
        } else if (c >= '1' && c <= '9') {
            push_capture(L, m, (unsigned)(c - '1'), begin, end);
            luaL_tolstring(L, -1, NULL);
            lua_remove(L, -2);
            luaL_addvalue(b);
        } else {
            luaL_error(L, "invalid use of '%%' in replacement string");
        }
    }
}

/* What takes the place of a match. */
static void add_replacement(lua_State *L, luaL_Buffer *b, const struct pattern *m, const char *begin, const char *end)
{
    switch (lua_type(L, 3)) {
    case LUA_TFUNCTION:
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(L, m, begin, end), 1);
        break;
    case LUA_TTABLE:
        push_capture(L, m, 0, begin, end);
        lua_gettable(L, 3);
        break;
    default:
        add_template(L, b, m, begin, end);
        return;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(b, begin, (size_t)(end - begin));
    } else if (!lua_isstring(L, -1)) {
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    } else {
        luaL_addvalue(b);
    }
}

static int safe_gsub(lua_State *L)
{
    struct pattern m;
    const char *at, *last = NULL;
    bool anchored;
    lua_Integer most, n = 0;
    luaL_Buffer b;

    take_pattern(L, 1, 2, &m, &anchored);
    at = m.subject.p;
    if (lua_type(L, 3) != LUA_TTABLE && lua_type(L, 3) != LUA_TFUNCTION && !lua_isstring(L, 3))
        return luaL_typeerror(L, 3, "string/function/table");
    most = luaL_optinteger(L, 4, (lua_Integer)m.subject.n + 1);
    luaL_buffinit(L, &b);
    while (n < most) {
        const char *end;

        m.steps = script_of(L)->run.steps; /* a function may have taken some */
        end = match_at(L, &m, at);
        if (end && end != last) {
            n++;
            add_replacement(L, &b, &m, at, end);
            at = last = end;
        } else if (at < m.subject.p + m.subject.n) {
            luaL_addchar(&b, *at++);
        } else {
            break;
        }
        if (anchored)
            break;
    }
    luaL_addlstring(&b, at, (size_t)(m.subject.p + m.subject.n - at));
    luaL_pushresult(&b);
    lua_pushinteger(L, n);
    return 2;
}

static bool is_allowed(const char *names, const char *name)
{
    struct sv rest = sv_of(names);

    while (rest.n) {
        struct sv word = sv_upto(rest, sv_find(rest, ' '));

        if (sv_eq(word, sv_of(name)))
            return true;
        rest = sv_from(rest, word.n + 1);
    }
    return false;
}

/* Take away from the table on top what is not named. */
static void keep_only(lua_State *L, const char *names)
{
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) != LUA_TSTRING || !is_allowed(names, lua_tostring(L, -1))) {
            lua_pushvalue(L, -1);
            lua_pushnil(L);
            lua_rawset(L, -4); /* Lua allows to clear a field while walking */
        }
    }
}

void sandbox_open(struct lua_State *L)
{
    static const struct {
        const char *name, *allowed;
    } allowed[] = {
#define SANDBOX(name, names) { name, names },
#include "script/sandbox_tbl.h"
#undef SANDBOX
    };
    static const luaL_Reg patterns[] = { { "find", safe_find }, { "match", safe_match }, { "gmatch", safe_gmatch }, { "gsub", safe_gsub }, { NULL, NULL } };
    static const luaL_Reg libraries[] = {
        { "", luaopen_base },          { "string", luaopen_string }, { "table", luaopen_table },
        { "math", luaopen_math },      { "utf8", luaopen_utf8 },     { "os", luaopen_os },
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(libraries); i++) {
        luaL_requiref(L, *libraries[i].name ? libraries[i].name : "_G", libraries[i].func, 1);
        for (size_t k = 0; *libraries[i].name && k < TD_ARRAY_LEN(allowed); k++)
            if (strcmp(allowed[k].name, libraries[i].name) == 0)
                keep_only(L, allowed[k].allowed);
        lua_pop(L, 1);
    }
    lua_pushglobaltable(L);
    keep_only(L, allowed[0].allowed);
    for (size_t i = 1; i < TD_ARRAY_LEN(libraries); i++) { /* they were among the globals */
        lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
        lua_getfield(L, -1, libraries[i].name);
        lua_setfield(L, -3, libraries[i].name);
        lua_pop(L, 1);
    }
    replace(L, "setmetatable", safe_setmetatable, 0);
    lua_pushcfunction(L, safe_pcall);
    lua_setfield(L, -2, "pcall");
    lua_getfield(L, -1, "string");
    luaL_setfuncs(L, patterns, 0);
    replace(L, "rep", safe_rep, 0);
    lua_pop(L, 1);
    for (size_t i = 0; i < TD_ARRAY_LEN(long_ones); i++) {
        lua_getfield(L, -1, long_ones[i].library);
        replace(L, long_ones[i].name, charged, (int)i);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}
