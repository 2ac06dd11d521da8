/* The event loop of a thread: epoll, a timing wheel, deferred calls, a mailbox.
 *
 * Level-triggered. A turn is: wait, run the handlers of ready descriptors, run
 * the timers that are due, run the turn-end hooks, then the deferred calls. A handler may close
 * any descriptor, its own included: events of the same turn that belong to a
 * removed loop_io are not delivered. All functions but loop_stop() and the mailbox
 * belong to the loop's own thread. */
#pragma once

#include "common/list.h"
#include "common/mailbox.h"
#include "common/wheel.h"

struct loop;

enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_ERROR = 4 }; /* ERROR is always reported */

/* One watched descriptor; embedded by its owner. */
struct loop_io {
    int fd;       /* -1: not watched */
    uint32_t want; /* LOOP_READ | LOOP_WRITE */
    void (*ready)(struct loop_io *io, uint32_t events);
};

/* A call at the end of this turn, once; for freeing what callers up the stack still hold. */
struct loop_defer {
    struct loop_defer *next;
    bool queued;
    void (*run)(struct loop_defer *d);
};

/* A call at the end of every turn that had work (flush what the turn gathered). */
struct loop_hook {
    struct list node;
    void (*run)(struct loop_hook *h);
};

int loop_new(struct loop **out);
void loop_free(struct loop **l);

/* Run until loop_stop(), which may be called from any thread or a signal handler. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);

/* One turn, waiting at most max_ms (-1: as long as it takes). For tests and embedders. */
void loop_turn(struct loop *l, int max_ms);

uint64_t loop_now_ms(const struct loop *l); /* monotonic, as of the start of this turn */
uint64_t loop_unix_s(const struct loop *l); /* the time of day, likewise */

/* A loop inside another one, whose owner calls loop_turn(l, 0) when this descriptor is readable, and in at most so many
 * milliseconds (-1: no timer runs), and loop_tick() before he uses what hangs on it outside of a turn: it takes the time. */
int loop_fd(const struct loop *l);
int loop_wait_ms(const struct loop *l);
void loop_tick(struct loop *l);

struct wheel *loop_wheel(struct loop *l);
struct mailbox *loop_mailbox(struct loop *l);

int loop_add(struct loop *l, struct loop_io *io, int fd, uint32_t want);
void loop_want(struct loop *l, struct loop_io *io, uint32_t want); /* no system call when unchanged */
void loop_remove(struct loop *l, struct loop_io *io); /* does not close the descriptor */

/* The next turn does not wait: its end-of-turn hooks have work left. */
void loop_soon(struct loop *l);

void loop_defer(struct loop *l, struct loop_defer *d);
void loop_hook_add(struct loop *l, struct loop_hook *h);
void loop_hook_remove(struct loop_hook *h);

static inline void loop_timer_start(struct loop *l, struct wheel_timer *t, uint64_t ms)
{
    struct wheel *w = loop_wheel(l);
    uint64_t stands_at = w->now * WHEEL_TICK_MS, now = loop_now_ms(l);

    /* The wheel stands where the last turn left it, and the loop may have slept since. */
    wheel_start(w, t, ms + (now > stands_at ? now - stands_at : 0));
}

static inline void loop_timer_stop(struct loop *l, struct wheel_timer *t)
{
    wheel_stop(loop_wheel(l), t);
}
