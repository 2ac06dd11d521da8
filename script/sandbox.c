/* What a script may use of Lua: the names in sandbox_tbl.h, with a pcall() and a setmetatable() of ours. */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <string.h>

#include "script/private.h"

/* As Lua's, but neither the end of a run nor a spent budget can be caught. */
static int pcall_ended(lua_State *L, int status, lua_KContext context)
{
    const struct script *s = *(struct script **)lua_getextraspace(L);

    if (s->exiting || s->spent)
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
    lua_getfield(L, -1, "setmetatable");
    lua_pushcclosure(L, safe_setmetatable, 1);
    lua_setfield(L, -2, "setmetatable");
    lua_pushcfunction(L, safe_pcall);
    lua_setfield(L, -2, "pcall");
    lua_pop(L, 1);
}
