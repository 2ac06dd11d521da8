/* What a run of a script may take: instructions and time, memory, and steps of what looks at texts and tables in C. */
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <time.h>

#include "script/private.h"

enum {
    SLICE = 1000,            /* instructions until the time is looked at */
    INSTRUCTION_NS = 2000,   /* that one may take, on average: they take some tens, and calls of ours some hundreds */
};

static struct script *script_of(lua_State *L)
{
    return *(struct script **)lua_getextraspace(L);
}

/* ---- instructions ---- */

static uint64_t processor_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Few instructions can take long, as those that compare texts of megabytes. Whoever needs no more than a slice is not asked. */
static bool takes_too_long(struct budget *b)
{
    uint64_t now_ns = processor_ns();

    if (b->begun_ns == 0)
        b->begun_ns = now_ns;
    return now_ns - b->begun_ns > (uint64_t)b->instructions * INSTRUCTION_NS;
}

static void on_count(lua_State *L, lua_Debug *ar);

static void count_slice(lua_State *L, struct budget *b)
{
    int slice = TD_MIN(b->left, (int)SLICE);

    b->left -= slice;
    lua_sethook(L, on_count, LUA_MASKCOUNT, slice);
}

/* What closes variables on the way out has no budget of its own: one instruction more. */
static void on_count(lua_State *L, lua_Debug *ar)
{
    struct script *s = script_of(L);
    bool is_slow = takes_too_long(&s->run);

    if (s->run.left && !is_slow && !s->run.spent) {
        count_slice(L, &s->run);
        return;
    }
    s->run.spent = true;
    lua_sethook(L, on_count, LUA_MASKCOUNT, 1);
    lua_getinfo(L, "Sl", ar);
    if (is_slow)
        lua_pushfstring(L, "%s:%d: stopped: it takes more time than %d instructions should", ar->short_src, ar->currentline, s->run.instructions);
    else
        lua_pushfstring(L, "%s:%d: stopped after %d instructions", ar->short_src, ar->currentline, s->run.instructions);
    lua_error(L);
}

void budget_begin(struct budget *b, lua_State *L, int instructions)
{
    *b = (struct budget){ .instructions = instructions, .left = instructions, .steps = (uint64_t)instructions * STEPS_FACTOR };
    count_slice(L, b);
}

bool budget_take(struct script *s, uint64_t steps)
{
    s->run.steps -= TD_MIN(s->run.steps, steps);
    s->run.spent |= s->run.steps == 0;
    return s->run.steps != 0;
}

bool script_spend(struct script_call *c, uint64_t steps)
{
    if (budget_take(c->script, steps))
        return true;
    c->fault = "it takes too long";
    return false;
}

/* ---- memory ---- */

void *script_realloc(struct script *s, void *p, size_t old, size_t n)
{
    void *grown;

    if (n > old && n - old > s->memory_max - s->memory)
        return NULL;
    if (n == 0) {
        free(p);
        s->memory -= old;
        return NULL;
    }
    grown = realloc(p, n);
    if (grown)
        s->memory = s->memory - old + n;
    return grown;
}

static bool has_asked_too_much(const struct script *s)
{
    return s->run.asked_for / ASKED_FACTOR > s->memory_max;
}

void *budget_memory(void *script, void *p, size_t old, size_t n)
{
    struct script *s = script;

    if (!p)
        old = 0;
    if (n > old) { /* a run that asks for much, again and again, takes its time with instructions that are few */
        s->run.asked_for += n;
        s->run.spent |= has_asked_too_much(s);
        if (has_asked_too_much(s))
            return NULL;
    }
    return script_realloc(s, p, old, n);
}

void budget_memory_error(struct script *s)
{
    buf_clear(&s->error);
    if (has_asked_too_much(s))
        buf_printf(&s->error, "stopped: it has asked for more than %d times the %zu bytes of script.memory", ASKED_FACTOR, s->memory_max);
    else
        buf_printf(&s->error, "out of memory: script.memory allows %zu bytes", s->memory_max);
}

size_t script_memory(const struct script *s)
{
    return s->memory;
}
