/* A mailbox: any thread posts a function call, the owning thread runs it.
 *
 * For what is rare (answers of the database, control requests, reload); frames
 * between workers go over rings instead. It knows no particular loop: the owner
 * watches mailbox_fd() for reading and calls mailbox_run() when it is readable. Posts
 * run in the order they were made by one thread. */
#pragma once

#include "common/defs.h"

struct mailbox;

/* Embedded in the caller's object, which lives until fn has been called. */
struct post {
    struct post *next;
    void (*fn)(struct post *p); /* runs on the owner's thread; may free p */
};

int mailbox_new(struct mailbox **out);
void mailbox_free(struct mailbox **m); /* runs what is still waiting */
int mailbox_fd(const struct mailbox *m);
void mailbox_post(struct mailbox *m, struct post *p);
void mailbox_run(struct mailbox *m);
