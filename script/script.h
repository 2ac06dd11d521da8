/* Scripts: routing policy in Lua 5.4, with the names of Kamailio's KEMI.
 *
 * A struct script is one Lua state with the operator's script in it; it belongs to one thread, and every worker has its own.
 * What all of a process's scripts share (hash tables, the lists of what is offered) is a struct script_shared. This folder
 * knows neither MSRP nor SIP: those bring tables of functions, variables and transformations (struct script_api), whose
 * callbacks get the subject of the event, a frame or a request.
 *
 * Callbacks never see Lua: they get arguments by value and leave a result, so an error inside Lua, which jumps, has
 * none of their frames to jump over. A script runs in a sandbox (sandbox_tbl.h), with a budget of instructions for each
 * call and of memory for its state; what goes wrong ends that one call, is logged with a traceback and counted, and the
 * caller does what it would have done without a script. */
#pragma once

#include "common/buf.h"
#include "common/conf.h"
#include "common/stats.h"

struct db;
struct mailbox;
struct script;
struct script_shared;

/* ---- what is offered ---- */

/* What an event is about, and what a function or variable needs to be there. */
enum script_kind { SCRIPT_ANY /* works always, while the script is loaded too */, SCRIPT_MSRP, SCRIPT_SIP, SCRIPT_KINDS };

enum script_type { SCRIPT_NULL, SCRIPT_INT, SCRIPT_STR, SCRIPT_BOOL };

/* A value; its text lives as long as what it was taken from, at least until the callback returns. */
struct script_value {
    enum script_type type; /* what Lua gets */
    bool has_int;          /* SCRIPT_STR with a number, too: $msrp(code) */
    int64_t i;             /* SCRIPT_INT, SCRIPT_BOOL; SCRIPT_STR with has_int */
    struct sv s;           /* SCRIPT_STR */
};

enum { SCRIPT_ARGS_MAX = 4 };

/* A call from a script. */
struct script_call {
    struct script *script;   /* back */
    void *subject;           /* borrowed: as given to script_run(); NULL when the event is of another kind */
    uint64_t now_ms;         /* monotonic */
    unsigned n;              /* arguments that were given */
    struct {
        struct sv s;         /* 's'; empty when not given, as KEMI has it */
        int64_t i;           /* 'i' */
    } arg[SCRIPT_ARGS_MAX];
    const struct script_func *func;
    struct script_value result; /* out; null to begin with */
    const char *fault;       /* out, static: the call is an error of the script */
    bool exit;               /* out: the script's run ends here, in good order */
    bool may_wait;           /* of a run by script_start() */
    bool wait;               /* out, if it may: nothing to say yet; the function is called again by script_resume() */
};

/* One row of a table of functions: KSR.module.name, or KSR.name when module is empty. The same name may be there once for each kind. */
struct script_func {
    const char *module, *name;
    enum script_kind kind;
    const char *args;        /* a letter each: s text, i number; behind | they may be left out */
    void (*fn)(struct script_call *c);
    const char *params, *text; /* for tandem-script(7) */
};

/* What stands between the parentheses of a variable. */
struct script_name {
    struct sv text;          /* nested variables are put in already */
    int index;               /* $(hdr(X)[1]); 0 when not given, negative: from the end */
};

/* One row of a table of variables: $class, $class(key), or $class(PARAM) when key is NULL. */
struct script_var {
    const char *class_, *key;
    enum script_kind kind;
    void (*get)(struct script_call *c, const struct script_name *name, struct script_value *out); /* out is null to begin with */
    bool (*set)(struct script_call *c, const struct script_name *name, const struct script_value *v); /* NULL: read only; false: no room */
    const char *param, *text;
};

enum { SCRIPT_TRANS_PARAMS = 2 };

/* One row of a table of transformations: {class.name} or {class.name,param,...}. */
struct script_trans {
    const char *class_, *name;
    unsigned n_params;
    /* Change *v in place. False: no value, the expression is null. */
    bool (*fn)(struct script_call *c, struct script_value *v, const struct sv *params);
    const char *params, *text;
};

struct script_api {
    const struct script_func *funcs;
    size_t n_funcs;
    const struct script_var *vars;
    size_t n_vars;
    const struct script_trans *trans;
    size_t n_trans;
};

/* What this folder offers itself: KSR.pv, KSR.htable, KSR.x, KSR.pike, logging, $var, $sht ..., {s.*}. */
extern const struct script_api script_core_api;

/* ---- for callbacks ---- */

/* Memory that lives until the callback returns; NULL: a script's values are too long, c->fault is set. */
char *script_room(struct script_call *c, size_t n);
/* Steps of the run's budget, for what looks at texts; 20 are a microsecond or less. False: it has no more, must do no more, and c->fault says so. */
bool script_spend(struct script_call *c, uint64_t steps);
/* A copy of that kind. Empty when there is no room. */
struct sv script_keep(struct script_call *c, struct sv s);
void script_set_int(struct script_value *v, int64_t i); /* text as well: script_text() makes it */
void script_set_str(struct script_value *v, struct sv s);
/* The value as text; a number is written into room of the call. Null is empty. */
struct sv script_text(struct script_call *c, const struct script_value *v);
/* Give a variable, named as a script would, a value. False: c->fault says why. */
bool script_assign(struct script_call *c, struct sv name, const struct script_value *v);
/* KEMI's result of a function: 1 is true, what is negative is false. */
void script_return(struct script_call *c, int64_t i);

static inline void script_truth(struct script_call *c, bool good)
{
    script_return(c, good ? 1 : -1);
}

/* A result that is null, by the name of the function: gete makes it an empty text, getw <<null>>, getz 0, get leaves it. */
void script_otherwise(struct script_call *c);
/* KSR.kx.get_NAME and its gete_ and getw_: the variable of that meaning. */
void script_kx_get(struct script_call *c);

/* An argument as index, 0 when it is not given; what is far out stays out. */
static inline int script_index(const struct script_call *c, unsigned arg)
{
    int64_t i = c->n > arg ? c->arg[arg].i : 0;

    return i > INT16_MAX ? INT16_MAX : i < INT16_MIN ? INT16_MIN : (int)i;
}

/* ---- a process ---- */

/* Make the hash tables of [script] htable. apis: borrowed, as is what they point to; script_core_api need not be among
 * them. TD_EINVAL: fault says what is wrong with the configuration. */
int script_shared_new(struct script_shared **out, const struct conf *conf, const struct script_api *const *apis, size_t n,
                      struct buf *fault);
void script_shared_free(struct script_shared **s); /* after all scripts */

/* ---- a script ---- */

/* Read [script] file of this configuration, look for what is not offered, and run it once, which defines its functions.
 * stats: borrowed: of the thread that will own it; may be NULL. faults: a line `FILE:LINE: what is wrong` for each thing
 * (TD_EINVAL). Any thread may make it; from then on it belongs to one. */
int script_new(struct script **out, struct script_shared *shared, const struct conf *conf, struct stats *stats, uint64_t now_ms,
               struct buf *faults);
void script_free(struct script **s);

/* What KSR.sqlops asks, and where the answers go; borrowed, for longer than the script. db_query_open() comes first. Without it, as while
 * the script is loaded, its functions are errors. */
void script_use_db(struct script *s, struct db *db, struct mailbox *mb);

/* Is there such a global function? */
bool script_has(struct script *s, const char *function);

enum script_end { SCRIPT_DONE, SCRIPT_FAILED, SCRIPT_WAITS };

/* Call a global function with one text. SCRIPT_FAILED: it is not there, failed, or was stopped; it is logged and counted. */
enum script_end script_run(struct script *s, const char *function, const char *arg, enum script_kind kind, void *subject,
                           uint64_t now_ms);

/* How whoever has an event waits for its script. */
struct script_host {
    bool (*hold)(void *subject);  /* the run is about to wait; false: it cannot, and goes on without */
    void (*ready)(void *subject); /* what it waits for is there: script_resume() is due. Not called inside script_start() or script_resume() */
};

/* The same for a run that may wait for what a function of it has asked for: with SCRIPT_WAITS *w is set, and script_resume() goes on, which
 * clears it when the run has ended. function and arg are known again by their addresses: they stay as they are for as long as the script is there. Others may run meanwhile; the budget of instructions is for all of it. script_abandon() gives it up.
 * A script that is freed while a run of it waits lives until that has ended. */
struct script_wait;
enum script_end script_start(struct script_wait **w, struct script *s, const char *function, const char *arg, enum script_kind kind,
                             const struct script_host *host, void *subject, uint64_t now_ms);
enum script_end script_resume(struct script_wait **w, uint64_t now_ms);
void script_abandon(struct script_wait **w);
/* While it waits: its subject is now here. */
void script_move(struct script_wait *w, void *subject);

/* Bytes that the state holds now. */
size_t script_memory(const struct script *s);
