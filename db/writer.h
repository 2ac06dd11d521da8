/* The writer: the one thread of this process that changes the file while traffic runs. */
#pragma once

#include "common/stats.h"

struct db;
struct mailbox;
struct writer;

enum {
    WRITER_WAIT_MS = 200,   /* how long a row waits for others */
    WRITER_BATCH_ROWS = 1000,
    WRITER_GROUP_MS = 20,   /* from one commit of several registrations to the next one */
    WRITER_RETRY_MS = 1000, /* after a failure */
    WRITER_BUSY_MS = 3000,  /* how long another process may hold the file */
    WRITER_PRUNE_FIRST_MS = 1000, /* after the start, and then every WRITER_PRUNE_MS, old rows are looked for */
    WRITER_PRUNE_MS = 600000,
    WRITER_PRUNE_PAUSE_MS = 20,   /* after each step of that */
};

int writer_start(struct writer **out, struct db *db);
/* Writes what waits (one try), answers what was asked, frees. */
void writer_stop(struct writer **w);

int writer_wake_fd(const struct writer *w);
const struct stats *writer_stats(const struct writer *w);
struct mailbox *writer_mailbox(struct writer *w);
