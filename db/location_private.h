/* A change set as the writer sees it. */
#pragma once

#include "common/buf.h"
#include "common/list.h"
#include "common/mailbox.h"

struct db;

struct db_loc_set {
    struct post post;    /* to the writer, then back */
    struct list node;    /* the writer's queue */
    struct db *db;       /* back */
    struct buf records;  /* length (4 bytes) and record, again and again */
    struct mailbox *mb;  /* borrowed; NULL: nobody waits */
    void (*done)(int err, void *arg);
    void *arg;
    int err;
};

/* Hand the result back, or free it. Any thread; the set is gone for the caller. */
void loc_set_answer(struct db_loc_set *set, int err);

/* The writer's queue: runs on its thread, from its mailbox. */
void writer_take_set(struct post *p);
