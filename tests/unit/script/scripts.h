/* Scripts for tests: made from text, with an event of the test's own. */
#pragma once

#include "script/script.h"
#include "tests/unit/harness.h"

/* The subject of the test's event: what $si and $echo(x) say, and what KSR.test.note() was given. */
struct subject {
    const char *si;
    char noted[256];
    bool is_ready;           /* KSR.test.wait() waits for it */
    int answered;            /* the database has */
    bool cannot_wait;
};

struct scripts {
    struct conf *conf;
    struct script_shared *shared;
    struct stats stats;
    struct script *script;
    struct buf faults;
    char path[64];           /* of the file */
    uint64_t now_ms;
    struct subject subject;
    struct db *db;           /* after scripts_open_db() */
    struct mailbox *mb;
    int waited;              /* runs that had an answer to wait for */
    char *names[64];         /* owned: of functions that were run */
};

/* One more "section.key=value" or NULL. */
void scripts_start(struct scripts *t, const char *option);
/* An empty database for the scripts that are loaded from now on; scripts_run() waits for it. */
void scripts_open_db(struct scripts *t);
/* Load this text; false: t->faults says why. A script that is there already stays. */
bool scripts_load(struct scripts *t, const char *text);
enum script_end scripts_run(struct scripts *t, const char *function);
void scripts_stop(struct scripts *t);
