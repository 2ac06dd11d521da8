/* Removing old rows of traffic: accounting, and sessions and connections that have ended.
 *
 * A pass goes through each table from its oldest row on and stops at the first one that is young enough, so that it
 * costs what it removes. It is done in small steps of one short transaction each, between which the writer does what
 * others wait for. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

enum { PRUNE_ROWS = 250 /* looked at in one step */ };

struct prune {
    unsigned table;
    int64_t after; /* rowid that the last step has come to */
};

/* One step; *p starts as zeros. Rows older than that UNIX time go. *more: the pass is not over. Result code of
 * SQLite. */
int prune_step(struct prune *p, sqlite3 *h, int64_t before, bool *more);
