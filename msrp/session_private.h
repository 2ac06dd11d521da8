/* The inside of the session table, for session.c and binding.c alone. */
#pragma once

#include <pthread.h>

#include "msrp/session.h"

enum { STRIPES = 64 };

struct stripe {
    pthread_mutex_t lock;
    struct hash sessions, users, peers;
};

struct session_table {
    struct stripe stripes[STRIPES];
    size_t count; /* atomic */
};

static inline struct stripe *stripe_of(struct session_table *t, uint64_t hash)
{
    return &t->stripes[hash >> 58];
}

/* Under the lock: it is in the table. */
static inline bool session_is_live(const struct session *s)
{
    enum session_state state = session_state(s);

    return state == SESSION_ACTIVE || state == SESSION_DETACHED;
}
