/* The ceiling over what is held for peers. */
#include "net/memory.h"

#include <inttypes.h>

#include "common/log.h"

enum { LOOK_MS = 100 };

void memory_set(struct memory *m, uint64_t limit)
{
    __atomic_store_n(&m->limit, limit, __ATOMIC_RELAXED);
}

/* The end of this turn does the rest. */
static void on_told(struct post *p)
{
    __atomic_store_n(&TD_CONTAINER_OF(p, struct worker, memory_post)->memory_told, 0, __ATOMIC_RELEASE);
}

/* They may be idle, and hold what they could do without. */
static void tell_others(struct worker *w)
{
    for (struct worker *o = w->next; o != w; o = o->next)
        if (__atomic_exchange_n(&o->memory_told, 1, __ATOMIC_ACQ_REL) == 0) {
            o->memory_post.fn = on_told;
            mailbox_post(loop_mailbox(o->loop), &o->memory_post);
        }
}

static void judge(struct worker *w, int64_t held)
{
    struct memory *m = w->memory;
    uint64_t limit = __atomic_load_n(&m->limit, __ATOMIC_RELAXED), h = (uint64_t)TD_MAX(held, (int64_t)0);
    int was = __atomic_load_n(&m->over, __ATOMIC_RELAXED), is = limit && h > (was ? limit - limit / 8 : limit);

    if (is == was || !__atomic_compare_exchange_n(&m->over, &was, is, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return; /* or another worker has seen it, too */
    if (is)
        tell_others(w);
    if (is)
        log_warn("net", 0, "memory ceiling reached: held=%" PRIu64 " limit=%" PRIu64 ", no bulk, tokens and connections for now", h, limit);
    else
        log_notice("net", 0, "below the memory ceiling again: held=%" PRIu64 " limit=%" PRIu64, h, limit);
}

static void on_timer(struct wheel_timer *t)
{
    struct worker *w = TD_CONTAINER_OF(t, struct worker, memory_timer);
    struct list now = LIST_INIT(now);

    memory_settle(w);
    if (w->crowded) {
        loop_timer_start(w->loop, t, LOOK_MS);
        return;
    }
    list_splice(&now, &w->memory_waiters);
    while (!list_is_empty(&now)) {
        struct conn *c = list_item(now.next, struct conn, memory_node);

        list_remove(&c->memory_node);
        conn_resume(c, CONN_PAUSE_MEMORY);
    }
}

void memory_settle(struct worker *w)
{
    int64_t held = w->held + w->pool.held, change = held - w->held_told;

    if (!w->memory)
        return;
    if (change >= MEMORY_STEP || change <= -MEMORY_STEP) {
        w->held_told = held;
        stats_add(&w->stats, STAT_memory_held, change);
        judge(w, __atomic_add_fetch(&w->memory->held, change, __ATOMIC_RELAXED));
    } else if (w->crowded) { /* the limit may have been changed */
        judge(w, __atomic_load_n(&w->memory->held, __ATOMIC_RELAXED));
    }
    w->crowded = memory_is_over(w);
}

void memory_wait(struct conn *c)
{
    struct worker *w = c->worker;

    stats_inc(&w->stats, STAT_memory_paused);
    conn_pause(c, CONN_PAUSE_MEMORY);
    if (list_is_empty(&c->memory_node))
        list_append(&w->memory_waiters, &c->memory_node);
    if (!w->memory_timer.fire)
        wheel_timer_init(&w->memory_timer, on_timer);
    if (!wheel_timer_is_running(&w->memory_timer))
        loop_timer_start(w->loop, &w->memory_timer, LOOK_MS);
}
