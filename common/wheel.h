/* A hierarchical timing wheel: starting and stopping a timer is O(1).
 *
 * Four levels of 256 slots of one tick each (a tick is 10 ms): the
 * horizon is 2^32 ticks, over a year. The owner feeds the clock with wheel_advance(), so a
 * test owns the time. Timers fire on or after their moment, at most one tick
 * late as seen by the clock fed in. One thread. */
#pragma once

#include "common/list.h"

enum { WHEEL_TICK_MS = 10, WHEEL_LEVELS = 4, WHEEL_SLOTS = 256 };

struct wheel_timer {
    struct list node;
    uint64_t due; /* tick */
    void (*fire)(struct wheel_timer *t); /* may start or stop any timer, and free the one it is given */
};

struct wheel {
    struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
    uint64_t used[WHEEL_SLOTS / 64]; /* of the lowest level: a bit for a slot in which there may be timers */
    uint64_t now; /* tick */
    size_t n;     /* running timers */
};

void wheel_init(struct wheel *w, uint64_t now_ms);
void wheel_advance(struct wheel *w, uint64_t now_ms);

/* Milliseconds from now_ms until wheel_advance() has something to do (never later than the
 * next timer, perhaps earlier); -1 when no timer runs. */
int wheel_next_ms(const struct wheel *w, uint64_t now_ms);

static inline void wheel_timer_init(struct wheel_timer *t, void (*fire)(struct wheel_timer *t))
{
    list_init(&t->node);
    t->due = 0;
    t->fire = fire;
}

static inline bool wheel_timer_is_running(const struct wheel_timer *t)
{
    return !list_is_empty(&t->node);
}

/* Start, or move when it runs already. */
void wheel_start(struct wheel *w, struct wheel_timer *t, uint64_t delay_ms);
void wheel_stop(struct wheel *w, struct wheel_timer *t);
