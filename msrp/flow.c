/* Next hops that take no more for now, and the sources that wait for them (M-FLOW-01, M-FLOW-02).
 *
 * When a next hop's queue is full its source is not read for SLOW_MS. One that keeps up has taken half of it by then, and
 * nothing was copied. For one that has not, what comes waits beside the queue, up to msrp.buffer a session (stream.c), so that
 * what is more urgent is seen and gets in front; then the source of that session is not read until half of that is gone.
 *
 * That is the right thing for a source that speaks to one peer only, but the link of another relay carries the messages of
 * many, and one receiver that does not read must not stop them all. So a next hop may hold such sources for HOLD_MS: the time
 * while it does is taken off, and HOLD_RATE octets that it reads give a second back. When none is left, what a shared source
 * has for it fails at once, until little waits for it. Who reads at HOLD_RATE or faster may hold anybody for ever; who reads a
 * little now and then wins no more time than that is worth. */
#include <stdlib.h>

#include "msrp/private.h"

enum {
    HOLD_MS = 30000,
    HOLD_RATE = 16 * 1024, /* octets a second */
    LOOK_MS = 1000,
    SLOW_MS = 20,          /* several turns of a receiver that keeps up */
    FAST_OCTETS = 4 * 1024 * 1024, /* read without a wait: more than systems take on their own */
    FORGIVE_PART = 16,     /* of the time while it is not full is given back, too */
};

/* Bring its patience up to date: before somebody begins to wait for it, or ceases to. */
static void settle(struct msrp_conn *m)
{
    uint64_t now = loop_now_ms(m->relay->worker->loop), elapsed = now - m->hold_at_ms;
    uint64_t read = conn_acked(m->conn), left = m->hold_left_ms + (read - TD_MIN(read, m->hold_read)) * 1000 / HOLD_RATE;
    bool holds = !list_is_empty(&m->held);

    if (!holds)
        left += elapsed / FORGIVE_PART;
    left = TD_MIN(left, (uint64_t)HOLD_MS);
    if (holds)
        left -= TD_MIN(left, elapsed);
    m->hold_left_ms = left;
    m->hold_spent |= holds && left == 0;
    m->hold_at_ms = now;
    m->hold_read = read;
}

static void on_hold_timer(struct wheel_timer *t);

void flow_init(struct msrp_conn *m)
{
    list_init(&m->ready);
    list_init(&m->held);
    list_init(&m->wait_node);
    wheel_timer_init(&m->hold_timer, on_hold_timer);
    m->hold_left_ms = HOLD_MS;
    m->hold_at_ms = loop_now_ms(m->relay->worker->loop);
}

static bool is_local(const struct msrp_conn *dest, const struct route *route)
{
    return route->origin.worker == dest->relay->worker->index;
}

enum flow_room flow_room(struct msrp_conn *dest, const struct route *route, bool shared)
{
    struct conn *c = dest->conn;
    size_t most = TD_UNLIKELY(c->worker->crowded) ? c->tx_high / 2 : dest->buffer; /* M-FLOW-04 */

    if (!dest->slow && dest->ahead == 0 && !shared && is_local(dest, route)) /* else others would wait, or be preferred */
        most = TD_MIN(most, c->tx_high);
    if (TD_LIKELY(!conn_has_queued(c, most) && route->ahead < dest->buffer && dest->ahead < SESSIONS_AHEAD * dest->buffer &&
                  list_is_empty(&dest->owed)))
        return FLOW_ROOM;
    settle(dest);
    return shared && dest->hold_spent ? FLOW_NEVER : FLOW_LATER;
}

/* Its origin is another worker's. False: out of memory; the limits of the queue remain. */
static bool pause_remote(struct msrp_conn *dest, struct route *route)
{
    struct cross_note *pause = cross_note_new();

    route->held_note = cross_note_new();
    if (!pause || !route->held_note) {
        free(pause);
        free(route->held_note);
        route->held_note = NULL;
        return false;
    }
    dest->conn->tx_max += REMOTE_MAX; /* what each source has sent before it heard of this is no reason to end the connection */
    cross_pause(dest->relay, route->origin, true, &pause);
    free(pause);
    return true;
}

void flow_wait(struct msrp_conn *dest, struct route *route, bool shared)
{
    struct conn *origin = conn_deref(dest->relay->worker, route->origin);

    if (origin)
        conn_pause(origin, CONN_PAUSE_FLOW);
    if (!list_is_empty(&route->held_node))
        return;
    settle(dest);
    if (is_local(dest, route) ? !origin : !pause_remote(dest, route))
        return;
    route->held_shared = shared;
    list_append(&dest->held, &route_ref(route)->held_node);
    stats_inc(&dest->relay->worker->stats, STAT_msrp_paused);
    if (!dest->hold_spent && !wheel_timer_is_running(&dest->hold_timer))
        loop_timer_start(dest->relay->worker->loop, &dest->hold_timer, TD_MIN(dest->hold_left_ms, (uint64_t)(dest->slow ? LOOK_MS : SLOW_MS)));
}

static void let_go(struct msrp_conn *dest, struct route *route)
{
    struct conn *origin = conn_deref(dest->relay->worker, route->origin);

    list_remove(&route->held_node);
    if (!is_local(dest, route)) {
        cross_pause(dest->relay, route->origin, false, &route->held_note);
        free(route->held_note);
        route->held_note = NULL;
        dest->conn->tx_max -= REMOTE_MAX;
    } else if (origin) {
        conn_resume(origin, CONN_PAUSE_FLOW);
    }
    route_unref(dest->relay, &route);
}

void flow_fini(struct msrp_conn *m)
{
    loop_timer_stop(m->relay->worker->loop, &m->hold_timer);
    list_remove(&m->wait_node);
    while (!list_is_empty(&m->held))
        let_go(m, list_item(m->held.next, struct route, held_node));
}

static void release(struct msrp_conn *dest)
{
    bool has_room = dest->ahead <= SESSIONS_AHEAD * dest->buffer / 2 && list_is_empty(&dest->owed);

    if (!list_is_empty(&dest->held))
        settle(dest);
    if (dest->ahead <= dest->buffer / 2)
        dest->hold_spent = false;
    list_each_safe(node, &dest->held) {
        struct route *route = list_item(node, struct route, held_node);

        if (has_room && route->ahead <= dest->buffer / 2)
            let_go(dest, route);
    }
    if (list_is_empty(&dest->held))
        loop_timer_stop(dest->relay->worker->loop, &dest->hold_timer);
}

void flow_release(struct msrp_conn *dest)
{
    if (dest->ahead == 0) {
        if (dest->slow)
            dest->fast_from = dest->conn->socket_out;
        else if (!list_is_empty(&dest->held) && dest->conn->socket_out - dest->fast_from >= FAST_OCTETS)
            conn_keeps_up(dest->conn, true);
        dest->slow = false;
    }
    release(dest);
}

/* When its time is up, those who have others to serve go on, and will find that there is no room for them. */
static void on_hold_timer(struct wheel_timer *t)
{
    struct msrp_conn *dest = TD_CONTAINER_OF(t, struct msrp_conn, hold_timer);

    settle(dest);
    if (!dest->slow) {
        dest->slow = true;
        conn_keeps_up(dest->conn, false);
        if (conn_queued(dest->conn) < dest->buffer)
            release(dest);
        if (list_is_empty(&dest->held))
            return;
    }
    if (!dest->hold_spent) {
        loop_timer_start(dest->relay->worker->loop, t, TD_MIN(dest->hold_left_ms, (uint64_t)LOOK_MS));
        return;
    }
    list_each_safe(node, &dest->held) {
        struct route *route = list_item(node, struct route, held_node);

        if (route->held_shared)
            let_go(dest, route);
    }
}
