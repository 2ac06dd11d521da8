/* Next hops that take no more for now, and the sources that wait for them (M-FLOW-01, M-FLOW-02).
 *
 * A source whose next hop is full is not read until there is room. That is the right thing for a source that speaks to one
 * peer only, but the link of another relay carries the messages of many, and one receiver that does not read must not stop them
 * all. So a next hop may hold such sources for HOLD_MS: the time while it is full is taken off, and HOLD_RATE octets that it reads
 * give a second back. When none is left, what a shared source has for it fails at once, until its queue has drained. Who reads at
 * HOLD_RATE or faster may hold anybody for ever; who reads a little now and then wins no more time than that is worth. */
#include <stdlib.h>

#include "msrp/private.h"

enum {
    HOLD_MS = 30000,
    HOLD_RATE = 16 * 1024, /* octets a second */
    LOOK_MS = 1000,
    FORGIVE_PART = 16,     /* of the time while it is not full is given back, too */
};

struct remote_waiter {
    struct conn_ref source;
    bool shared;
    struct cross_note *note; /* owned: to tell it that it may go on */
};

/* Bring its patience up to date; was_full: since when that was last done. */
static void settle(struct msrp_conn *m, bool was_full)
{
    uint64_t now = loop_now_ms(m->relay->worker->loop), elapsed = now - m->hold_at_ms;
    uint64_t read = conn_acked(m->conn), left = m->hold_left_ms + (read - TD_MIN(read, m->hold_read)) * 1000 / HOLD_RATE;

    if (!was_full)
        left += elapsed / FORGIVE_PART;
    left = TD_MIN(left, (uint64_t)HOLD_MS);
    if (was_full)
        left -= TD_MIN(left, elapsed);
    m->hold_left_ms = left;
    m->hold_spent |= was_full && left == 0;
    m->hold_at_ms = now;
    m->hold_read = read;
}

static void on_hold_timer(struct wheel_timer *t);

void flow_init(struct msrp_conn *m)
{
    list_init(&m->waiters);
    list_init(&m->wait_node);
    wheel_timer_init(&m->hold_timer, on_hold_timer);
    m->hold_left_ms = HOLD_MS;
    m->hold_at_ms = loop_now_ms(m->relay->worker->loop);
}

enum flow_room flow_room(struct msrp_conn *dest, bool in_pieces, bool shared)
{
    struct conn *c = dest->conn;
    size_t most = in_pieces ? c->tx_high : dest->buffer;
    bool was_full = c->above;

    if (c->worker->crowded) /* M-FLOW-04 */
        most = c->tx_high / 2;
    if (TD_LIKELY(!conn_has_queued(c, most) && list_is_empty(&dest->owed)))
        return FLOW_ROOM;
    settle(dest, was_full);
    return shared && dest->hold_spent ? FLOW_NEVER : FLOW_LATER;
}

static void watch(struct msrp_conn *dest)
{
    stats_inc(&dest->relay->worker->stats, STAT_msrp_paused);
    if (!dest->hold_spent && !wheel_timer_is_running(&dest->hold_timer))
        loop_timer_start(dest->relay->worker->loop, &dest->hold_timer, TD_MIN(dest->hold_left_ms, (uint64_t)LOOK_MS));
}

void flow_wait(struct msrp_conn *dest, struct msrp_conn *source)
{
    list_remove(&source->wait_node);
    list_append(&dest->waiters, &source->wait_node);
    conn_pause(source->conn, CONN_PAUSE_FLOW);
    watch(dest);
}

void flow_wait_remote(struct msrp_conn *dest, struct conn_ref source, bool shared)
{
    struct cross_note *pause, *resume;

    for (unsigned i = 0; i < dest->n_remote_waiters; i++)
        if (dest->remote_waiters[i].source.id == source.id)
            return;
    if (dest->n_remote_waiters == dest->cap_remote_waiters) {
        unsigned cap = dest->cap_remote_waiters ? dest->cap_remote_waiters * 2 : 4;
        struct remote_waiter *grown = realloc(dest->remote_waiters, cap * sizeof *grown);

        if (!grown)
            return; /* the queue's hard limit remains */
        dest->remote_waiters = grown;
        dest->cap_remote_waiters = cap;
    }
    pause = cross_note_new();
    resume = cross_note_new();
    if (pause && resume) {
        dest->remote_waiters[dest->n_remote_waiters++] = (struct remote_waiter){ source, shared, resume };
        dest->conn->tx_max += REMOTE_MAX; /* what each source has sent before it heard of this is no reason to end the connection */
        cross_pause(dest->relay, source, true, &pause);
        resume = NULL;
        watch(dest);
    }
    free(pause);
    free(resume);
}

/* Let go of those who wait; only_shared: those who have others to serve, who will find that there is no room for them. */
static void release(struct msrp_conn *dest, bool only_shared)
{
    struct list now = LIST_INIT(now);
    unsigned kept = 0;

    list_splice(&now, &dest->waiters);
    while (!list_is_empty(&now)) {
        struct msrp_conn *w = list_item(now.next, struct msrp_conn, wait_node);

        list_remove(&w->wait_node);
        if (only_shared && !w->shared)
            list_append(&dest->waiters, &w->wait_node);
        else
            conn_resume(w->conn, CONN_PAUSE_FLOW);
    }
    for (unsigned i = 0; i < dest->n_remote_waiters; i++) {
        struct remote_waiter *w = &dest->remote_waiters[i];

        if (only_shared && !w->shared) {
            dest->remote_waiters[kept++] = *w;
        } else {
            cross_pause(dest->relay, w->source, false, &w->note);
            free(w->note);
            dest->conn->tx_max -= REMOTE_MAX;
        }
    }
    dest->n_remote_waiters = kept;
}

void flow_fini(struct msrp_conn *m)
{
    loop_timer_stop(m->relay->worker->loop, &m->hold_timer);
    list_remove(&m->wait_node);
    release(m, false);
    free(m->remote_waiters);
}

void flow_release(struct msrp_conn *dest)
{
    settle(dest, true);
    dest->hold_spent = false;
    loop_timer_stop(dest->relay->worker->loop, &dest->hold_timer);
    release(dest, false);
}

static void on_hold_timer(struct wheel_timer *t)
{
    struct msrp_conn *dest = TD_CONTAINER_OF(t, struct msrp_conn, hold_timer);

    settle(dest, true);
    if (!dest->hold_spent)
        loop_timer_start(dest->relay->worker->loop, t, TD_MIN(dest->hold_left_ms, (uint64_t)LOOK_MS));
    else
        release(dest, true);
}
