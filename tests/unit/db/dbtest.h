/* What the tests of db/ share: a fresh file in a directory of its own, and a look at it from outside. */
#pragma once

#include "common/sv.h"
#include "db/db.h"
#include "tests/unit/harness.h"

struct mailbox;

/* A directory that is gone again after scratch_end(); a test uses one at a time. */
void scratch_begin(void);
const char *scratch_file(void); /* DIR/sub/tandem.db; nothing of it exists yet, sub included */
void scratch_share(void);        /* let other users look into the directory */
void scratch_end(void);

/* The first column of the first row as sqlite3 the program would see it through a handle of its own; "" for no row,
 * "(null)" for NULL, "error: ..." otherwise. Static storage, overwritten by the next call. */
const char *look(const char *sql);
long look_number(const char *sql); /* -1: not a number */
void change(const char *sql);

/* Look until it says so, 3 s at most. */
bool look_until(const char *sql, const char *expected);

/* Run what comes until *done becomes non-zero, 5 s at most. */
bool mail_until(struct mailbox *mb, const int *done);

struct db *open_started(void); /* CHECK_FATALs */
