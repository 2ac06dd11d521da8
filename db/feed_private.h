/* A feed as the writer sees it. */
#pragma once

#include "common/list.h"
#include "common/ring.h"

struct db;

enum { FEED_SIZE = 4 * 1024 * 1024 };

struct db_feed {
    struct list node;   /* db->feeds, under feeds_lock */
    struct db *db;      /* back */
    struct ring ring;
    int wake_fd;        /* the writer's; -1 while there is none (atomic) */
    bool dirty;         /* atomic: the writer was told that there are rows */
    bool urgent;        /* atomic: and that the ring is half full */
    bool gone;          /* atomic: freed by its producer */
    uint64_t lost;      /* written by the producer alone, read by any */
};

void db_feeds_free(struct db *db);      /* all of them; no producer is left */
uint64_t db_feeds_lost(struct db *db);  /* under feeds_lock */
