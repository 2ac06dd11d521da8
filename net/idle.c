/* Closing what nobody needs when there is no room for what somebody does. */
#include "net/idle.h"

#include "net/conn_private.h"
#include "net/limit.h"

enum { TRIES = 8 /* connections looked at for one that may go */ };

void idle_add(struct conn *c)
{
    struct worker *w = c->worker;

    if (c->ended)
        return;
    if (list_is_empty(&c->idle_node))
        __atomic_fetch_add(&w->n_idle, 1, __ATOMIC_RELAXED);
    list_remove(&c->idle_node);
    list_append(&w->idle, &c->idle_node);
}

void idle_remove(struct conn *c)
{
    if (list_is_empty(&c->idle_node))
        return;
    list_remove(&c->idle_node);
    __atomic_fetch_sub(&c->worker->n_idle, 1, __ATOMIC_RELAXED);
}

static enum conn_idle judge(struct conn *c)
{
    if (!c->proto->idle)
        return CONN_NEEDED;
    if (c->in_data || c->connecting || c->doomed || c->pauses || conn_queued(c))
        return CONN_IN_USE;
    return c->proto->idle(c);
}

static bool close_one(struct worker *w, bool at_once)
{
    for (int i = 0; i < TRIES && !list_is_empty(&w->idle); i++) {
        struct conn *c = list_item(w->idle.next, struct conn, idle_node);

        switch (judge(c)) {
        case CONN_NEEDED: /* its protocol says when it no longer is */
            idle_remove(c);
            break;
        case CONN_IN_USE:
            idle_touch(c);
            break;
        case CONN_IDLE:
            stats_inc(&w->stats, STAT_conn_made_room);
            idle_remove(c);
            if (at_once)
                conn_close(c, CLOSE_ROOM);
            else
                conn_doom(c, CLOSE_ROOM);
            return true;
        }
    }
    return false;
}

/* Another worker needs room. */
static void on_room_wanted(struct post *p)
{
    struct worker *w = TD_CONTAINER_OF(p, struct worker, room_post);

    for (int n = __atomic_exchange_n(&w->room_wanted, 0, __ATOMIC_ACQ_REL); n > 0; n--)
        close_one(w, true);
}

enum idle_room idle_make_room(struct worker *w, bool at_once)
{
    if (close_one(w, at_once))
        return IDLE_ROOM;
    for (struct worker *o = w->next; o != w; o = o->next) {
        if (__atomic_load_n(&o->n_idle, __ATOMIC_RELAXED) <= __atomic_load_n(&o->room_wanted, __ATOMIC_RELAXED))
            continue;
        if (__atomic_fetch_add(&o->room_wanted, 1, __ATOMIC_ACQ_REL) == 0) {
            o->room_post.fn = on_room_wanted;
            mailbox_post(loop_mailbox(o->loop), &o->room_post);
        }
        return IDLE_ROOM_ELSEWHERE;
    }
    return IDLE_NO_ROOM;
}

bool idle_may_stay(struct worker *w, bool at_once)
{
    switch (idle_make_room(w, at_once)) {
    case IDLE_ROOM:
        return true;
    case IDLE_ROOM_ELSEWHERE:
        return limits_excess(w->limits) <= IDLE_OWED_MAX;
    case IDLE_NO_ROOM:
        break;
    }
    return false;
}
