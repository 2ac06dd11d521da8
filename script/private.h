/* What the files of script/ share among themselves. */
#pragma once

#include "common/hash.h"
#include "common/list.h"
#include "script/htable.h"
#include "script/script.h"

struct db;
struct db_query;
struct db_rows;
struct lua_State;
struct mailbox;
struct pv;
struct script_wait;

enum {
    ROOM_MAX = 128 * 1024,  /* texts made during one callback */
    VARS_MAX = 1024,        /* $var() of one state */
    PV_CACHE_MAX = 2048,    /* expressions kept compiled by one state */
    PV_RECENT = 64,         /* of these, found at once; a power of two */
    PV_LENGTH_MAX = 1024,   /* of one expression */
    PV_NESTING_MAX = 4,     /* variables within variables */
    APIS_MAX = 4,
    STEPS_FACTOR = 10,      /* steps for each instruction of the budget */
    SCRIPT_LONG_TEXT = 4096, /* bytes; a longer one takes steps, a quarter of that */
    ASKED_FACTOR = 10,      /* times script.memory, what a run may ask for */
    PIKE_SOURCES_LOG2 = 10, /* the table of KSR.pike has 2^N slots */
};

struct script_shared {
    const struct script_api *apis[APIS_MAX]; /* borrowed */
    size_t n_apis;
    struct htables *tables;   /* owned */
    struct htables *pike;     /* owned: one table, by source */
    int64_t pike_density;
};

/* $var(x) of one state. */
struct var {
    struct hash_node node;
    struct script_value value; /* its text is owned by the state's memory */
    bool is_vn;               /* $vn: null until set */
    size_t name_n;
    char name[];
};

/* What a run has asked of the database (sql.c). */
enum { SQL_RESULTS_MAX = 8, SQL_NAME_MAX = 32 };

struct sql_entry;

struct sql_run {
    struct script *script;    /* back */
    const struct script_host *host; /* borrowed; NULL: this run cannot wait */
    void *subject;            /* borrowed */
    struct {
        char name[SQL_NAME_MAX];
        struct sql_entry *entry; /* owned reference */
    } results[SQL_RESULTS_MAX];
    size_t n;
    struct buf key;           /* of the query that is under way or answered; empty: there is none */
    struct db_query *query;   /* while it is under way */
    const char *why;          /* owned: what went wrong with it; NULL: nothing */
    struct db_rows *rows;     /* owned: its answer */
};

/* Of one run. */
struct budget {
    int instructions, left;   /* in all; beyond those that are counted now */
    uint64_t steps;           /* of what looks at texts and tables without instructions */
    size_t asked_for;         /* bytes of Lua, so far */
    uint64_t begun_ns;        /* the thread's processor time when it was looked at first; 0: not yet */
    bool spent;               /* one of them is used up */
};

struct script {
    struct script_shared *shared; /* borrowed */
    struct stats *stats;      /* borrowed; may be NULL */
    struct lua_State *lua;    /* owned */
    size_t memory, memory_max; /* bytes held by Lua and by variables */
    int64_t instructions;     /* of one call */
    struct budget run;        /* what the run under way may still take */

    struct hash vars;
    struct hash pvs;          /* struct pv: compiled expressions */
    const struct pv *recent[PV_RECENT]; /* some of them, by the address of their text in the script */

    /* the run under way */
    enum script_kind kind;    /* SCRIPT_ANY without a subject */
    void *subject;
    uint64_t now_ms;
    bool exiting;             /* KSR.x.exit() was called */
    struct script_wait *spare; /* owned: its coroutine is used again */
    unsigned n_waiting;       /* runs that wait */
    bool is_freed;            /* and goes with the last of them */
    struct buf asked;         /* modules that it looks for and that there are not */
    char *room;               /* owned: ROOM_MAX bytes */
    size_t room_n;
    struct buf error;         /* text and traceback of what failed */

    struct db *db;            /* borrowed; NULL: there is none */
    struct mailbox *mailbox;  /* borrowed */
    struct sql_run own_sql, *sql; /* of runs that cannot wait; of the run under way, NULL while the script is loaded */
    struct hash queries;      /* struct sql_entry: answers that are remembered */
    struct list queries_used; /* the same, the one used last in front */
    size_t queries_bytes;     /* of these, a part of memory */

    uint64_t log_window_ms;   /* errors logged since then */
    unsigned log_n, log_skipped;
};

/* ---- pv.c ---- */

/* The compiled form of `$name`, `$name(inner)` or `$(name(inner)[index]{transformation}...)`; kept by the state. NULL: *why says what is
 * wrong. Good until the next call of it. */
const struct pv *pv_of(struct script *s, struct sv text, const char **why);
/* Does it compile, or a text with variables in it? For the check of a source. */
bool pv_check(const struct script_shared *shared, struct sv text, bool is_format, const char **why);
void pv_get(const struct pv *p, struct script_call *c, struct script_value *out);
/* False: c->fault is set, or there was no room. What cannot be set stays as it is. */
bool pv_set(const struct pv *p, struct script_call *c, const struct script_value *v);
void pv_cache_flush(struct script *s);
/* The same for a text with variables in it. */
const struct pv *pv_format_of(struct script *s, struct sv text, const char **why);
struct sv pv_format(const struct pv *p, struct script_call *c);

/* ---- scan.c ---- */

/* Name every KSR.x.y in the source that is not offered, and every variable that is written as a literal and unknown: a line
 * `FILE:LINE: what` each.
 * asked  out: modules that are not offered and that the script looks for, each with a blank behind: they are nil */
void script_scan(const struct script_shared *shared, const char *file, struct sv source, struct buf *asked, struct buf *faults);
/* Is it among these modules? */
bool script_asks(const struct buf *asked, struct sv module);

/* ---- tables of what is offered ---- */

/* The row of any kind. */
const struct script_func *api_func(const struct script_shared *shared, struct sv module, struct sv name);

/* ---- core.c ---- */

/* NAME=>KEY; false: c->fault is set. */
bool script_split(struct script_call *c, struct sv text, struct sv *name, struct sv *key);

/* ---- sql.c ---- */

/* The run has ended: what it has asked for is forgotten, answers that are remembered stay. */
void sql_run_clear(struct sql_run *run);
void sql_cache_flush(struct script *s);

/* ---- sandbox.c ---- */

/* Open what is allowed of Lua's libraries. It may raise an error of Lua's. */
void sandbox_open(struct lua_State *L);

/* ---- state.c ---- */

/* Log what is in s->error, at most so often. */
void script_log(struct script *s);

/* ---- budget.c ---- */

/* A run of this coroutine begins: its instructions are counted from now on. */
void budget_begin(struct budget *b, struct lua_State *L, int instructions);
/* Steps that the run takes; false: it has no more, and must end. A step is a byte of a pattern's subject or an item of a table that is moved; what is
 * faster takes less. */
bool budget_take(struct script *s, uint64_t steps);
/* Memory of the state, within its budget; as realloc(). */
void *script_realloc(struct script *s, void *p, size_t old, size_t n);
/* The same for Lua, which counts what a run asks for. */
void *budget_memory(void *script, void *p, size_t old, size_t n);
/* Memory was refused: say in s->error why. */
void budget_memory_error(struct script *s);
