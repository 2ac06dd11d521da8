/* The hierarchical timing wheel.
 *
 * A timer sits on the level whose span covers its distance from now; when the
 * lower level has gone round once, one slot of the level above is dealt out
 * again (the classic cascade). A bit for each slot of the lowest level says where to look, so that neither time without timers nor
 * the question for the next one costs a step a tick. */
#include "common/wheel.h"

#include <string.h>

enum { SLOT_BITS = 8, SLOT_MASK = WHEEL_SLOTS - 1 };

void wheel_init(struct wheel *w, uint64_t now_ms)
{
    for (int l = 0; l < WHEEL_LEVELS; l++)
        for (int s = 0; s < WHEEL_SLOTS; s++)
            list_init(&w->slots[l][s]);
    memset(w->used, 0, sizeof w->used);
    w->now = now_ms / WHEEL_TICK_MS;
    w->n = 0;
}

/* The first slot of the lowest level from at on that has been used since it was dealt with (its timers may have been stopped), or
 * WHEEL_SLOTS. */
static unsigned next_used(const struct wheel *w, unsigned at)
{
    while (at < WHEEL_SLOTS) {
        uint64_t word = w->used[at / 64] >> (at % 64);

        if (word)
            return at + (unsigned)__builtin_ctzll(word);
        at = (at | 63) + 1;
    }
    return WHEEL_SLOTS;
}

static void wheel_place(struct wheel *w, struct wheel_timer *t)
{
    uint64_t away = t->due - w->now;
    unsigned slot = t->due & SLOT_MASK;
    int level = 0;

    while (level < WHEEL_LEVELS - 1 && away >= (uint64_t)1 << (SLOT_BITS * (level + 1)))
        level++;
    if (level == 0)
        w->used[slot / 64] |= (uint64_t)1 << (slot % 64);
    list_append(&w->slots[level][(t->due >> (SLOT_BITS * level)) & SLOT_MASK], &t->node);
}

void wheel_start(struct wheel *w, struct wheel_timer *t, uint64_t delay_ms)
{
    uint64_t ticks = (delay_ms + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS;

    if (wheel_timer_is_running(t))
        list_remove(&t->node);
    else
        w->n++;
    ticks++; /* the current tick is already partly gone */
    if (ticks > UINT32_MAX)
        ticks = UINT32_MAX;
    t->due = w->now + ticks;
    wheel_place(w, t);
}

void wheel_stop(struct wheel *w, struct wheel_timer *t)
{
    if (!wheel_timer_is_running(t))
        return;
    list_remove(&t->node);
    w->n--;
}

static void wheel_cascade(struct wheel *w, int level)
{
    struct list due = LIST_INIT(due);
    unsigned slot = (w->now >> (SLOT_BITS * level)) & SLOT_MASK;

    if (slot == 0 && level + 1 < WHEEL_LEVELS)
        wheel_cascade(w, level + 1);
    list_splice(&due, &w->slots[level][slot]);
    while (!list_is_empty(&due)) {
        struct wheel_timer *t = list_item(due.next, struct wheel_timer, node);

        list_remove(&t->node);
        wheel_place(w, t);
    }
}

void wheel_advance(struct wheel *w, uint64_t now_ms)
{
    uint64_t to = now_ms / WHEEL_TICK_MS;

    while (w->now < to) {
        struct list due = LIST_INIT(due);
        uint64_t tick = (w->now & ~(uint64_t)SLOT_MASK) + next_used(w, (w->now & SLOT_MASK) + 1); /* or the next cascade */
        unsigned slot = tick & SLOT_MASK;

        if (w->n == 0 || tick > to) {
            w->now = to;
            return;
        }
        w->now = tick;
        if (slot == 0)
            wheel_cascade(w, 1);
        w->used[slot / 64] &= ~((uint64_t)1 << (slot % 64));
        list_splice(&due, &w->slots[0][slot]);
        while (!list_is_empty(&due)) {
            struct wheel_timer *t = list_item(due.next, struct wheel_timer, node);

            list_remove(&t->node);
            w->n--;
            t->fire(t);
        }
    }
}

int wheel_next_ms(const struct wheel *w, uint64_t now_ms)
{
    unsigned slot = next_used(w, (w->now & SLOT_MASK) + 1);
    uint64_t at;

    if (w->n == 0)
        return -1;
    while (slot < WHEEL_SLOTS && list_is_empty(&w->slots[0][slot]))
        slot = next_used(w, slot + 1);
    at = ((w->now & ~(uint64_t)SLOT_MASK) + slot) * WHEEL_TICK_MS; /* of that slot, or the next cascade */
    return at <= now_ms ? 0 : (int)(at - now_ms);
}
