/* MSRP as the protocol of a connection: what its bytes are, what they may wait for, and what goes with it (RFC 4976
 * s.6.1).
 *
 * Which frame it is and that it is well-formed is found out here; what becomes of it, in relay.c. */
#include <stdlib.h>

#include "common/log.h"
#include "msrp/private.h"
#include "msrp/stream.h"
#include "net/idle.h"
#include "net/ws.h"

static void log_malformed(const struct conn *c, const char *why)
{
    struct worker *w = c->worker;
    char peer[ADDR_TEXT_MAX];

    if (log_may(&w->faults, "msrp", "frames were malformed", loop_unix_s(w->loop)))
        log_info("msrp", c->id, "malformed frame: peer=%s reason=%s", addr_text(&c->peer, peer), why);
}

/* The framing is lost: say so if the sender can be told, and end the connection (M-FRM-20). */
static void broken(struct msrp_conn *m, const struct msrp_head *h)
{
    struct conn *c = m->conn;

    stats_inc(&c->worker->stats, STAT_msrp_malformed);
    log_malformed(c, h->fault);
    if (h->tid.n && h->to_path.n && h->from_path.n && !h->is_response)
        relay_refuse(c, h, 400);
    conn_finish(c, CLOSE_FRAMING);
}

/* A message of a WebSocket is one frame, no more and no less, or nothing of it is forwarded (M-WS-04). */
static bool is_one_frame(const struct msrp_conn *m, const char *p, size_t n)
{
    struct msrp_body b;
    struct msrp_head h;

    switch (msrp_head_read(&h, p, n, (size_t)relay_conf(m->relay->shared)->msrp.max_header, NULL)) {
    case MSRP_MORE:
        return false;
    case MSRP_BROKEN:
        return true; /* its sender is told by broken() */
    case MSRP_DONE:
        break;
    }
    if (!h.has_body)
        return h.n == n;
    b = msrp_body_scan(p + h.n, n - h.n, h.tid, true);
    return b.ended && h.n + b.used == n;
}

static void not_one_frame(struct conn *c)
{
    stats_inc(&c->worker->stats, STAT_msrp_malformed);
    log_malformed(c, "a WebSocket message is not exactly one frame");
    conn_finish(c, CLOSE_WS_MESSAGE);
}

/* A frame whose head is there. Returns the bytes taken; 0: wait for more, or paused. */
static size_t frame(struct msrp_conn *m, const struct msrp_head *h, const char *p, size_t n)
{
    struct worker *w = m->relay->worker;
    size_t taken;

    if (h->is_response) {
        if (TD_UNLIKELY(script_may_be(m)) && !h->fault && script_frame(m, h, p, n, &taken)) {
            stats_add(&w->stats, STAT_msrp_responses, taken != 0);
            return taken;
        }
        stats_inc(&w->stats, STAT_msrp_responses);
        hop_response(m, h);
        relay_skip_body(m, h); /* a response has no body; one that has is read over (M-FRM-22) */
        return h->n;
    }
    if (h->fault) {
        stats_inc(&w->stats, STAT_msrp_requests);
        log_debug("msrp", m->conn->id, "bad request: reason=%s", h->fault);
        if (h->to_path.p && h->from_path.p)
            relay_refuse(m->conn, h, 400);
        relay_skip_body(m, h);
        return h->n;
    }
    if (h->method != MSRP_SEND && !h->has_body && h->flag != '$') { /* M-FRM-19 */
        stats_inc(&w->stats, STAT_msrp_requests);
        log_debug("msrp", m->conn->id, "bad request: reason=it is no SEND and ends with %c", h->flag);
        relay_refuse(m->conn, h, 400);
        return h->n;
    }
    if (h->method != MSRP_SEND && h->has_body) { /* never interrupted: whole and small, or not at all (M-FRM-19) */
        struct msrp_body b = msrp_body_scan(p + h->n, n - h->n, h->tid, true);

        if (b.n > MSRP_OTHER_BODY_MAX || (b.ended && b.flag != '$')) {
            stats_inc(&w->stats, STAT_msrp_requests);
            log_debug("msrp", m->conn->id, "bad request: reason=it is no SEND and is in pieces, or too long");
            relay_refuse(m->conn, h, 400);
            relay_skip_body(m, h);
            if (h->method == MSRP_AUTH) {
                log_malformed(m->conn, "an AUTH in pieces, or too long");
                conn_finish(m->conn, CLOSE_FRAMING);
            }
            return h->n;
        }
        if (!b.ended)
            return 0;
    }
    if (TD_UNLIKELY(script_may_be(m)) && script_frame(m, h, p, n, &taken)) {
        stats_add(&w->stats, STAT_msrp_requests, taken != 0);
        return taken;
    }
    if (h->method == MSRP_AUTH || (!h->paths_known && sv_find(h->to_path, ' ') == h->to_path.n)) /* who has a route names more than us */
        if (relay_to_us(m, h)) {
            stats_inc(&w->stats, STAT_msrp_requests);
            return h->n;
        }
    n = relay_request(m, h, p, n);
    if (n)
        stats_inc(&w->stats, STAT_msrp_requests);
    return n;
}

/* A script wants it closed behind what it has sent there, which is now written and answered. */
static void finish_if_quiet(struct msrp_conn *m)
{
    if (TD_UNLIKELY(m->finish) && m->n_txns == 0 && list_is_empty(&m->streams) && !conn_queued(m->conn))
        conn_finish(m->conn, CLOSE_SCRIPT);
}

static size_t msrp_data(struct conn *c, const char *p, size_t n)
{
    struct msrp_conn *m = msrp_of(c);
    size_t max_header = (size_t)relay_conf(m->relay->shared)->msrp.max_header, at = 0;

    m->last_used_ms = loop_now_ms(c->worker->loop);
    if (TD_UNLIKELY(wsio_begins(c)) && !is_one_frame(m, p, n)) {
        not_one_frame(c);
        return n;
    }
    while (at < n && !c->pauses) {
        struct msrp_head h;
        size_t taken;

        if (conn_queued(c) > c->tx_max / 2) { /* it asks and does not read: no more questions until it has read */
            c->above = 1;
            conn_pause(c, CONN_PAUSE_ANSWERS);
            break;
        }
        if (m->rx != RX_HEAD) {
            taken = relay_more_body(m, p + at, n - at);
            if (c->ended)
                return n;
            if (taken == 0)
                break;
            at += taken;
            continue;
        }
        switch (msrp_head_read(&h, p + at, n - at, max_header, m->last_route ? &m->last_route->raw : NULL)) {
        case MSRP_MORE:
            if (!wheel_timer_is_running(&m->head_timer))
                loop_timer_start(c->worker->loop, &m->head_timer, (uint64_t)c->worker->first_line_ms);
            return at;
        case MSRP_BROKEN:
            broken(m, &h);
            return n;
        case MSRP_DONE:
            break;
        }
        if (wheel_timer_is_running(&m->head_timer))
            loop_timer_stop(c->worker->loop, &m->head_timer);
        taken = frame(m, &h, p + at, n - at);
        if (c->ended)
            return n;
        if (!m->proven && m->refusals >= REFUSALS_MAX) {
            conn_finish(c, CLOSE_PROBATION); /* the answer still goes out */
            return n;
        }
        if (taken == 0)
            break;
        at += taken;
        finish_if_quiet(m);
        if (c->ended)
            return n;
    }
    return at;
}

static void on_head_timer(struct wheel_timer *t)
{
    conn_close(TD_CONTAINER_OF(t, struct msrp_conn, head_timer)->conn, CLOSE_HEADER_TIMEOUT);
}

/* Probation is over without an accepted request, or it is time to look whether the connection is idle. */
static void on_timer(struct wheel_timer *t)
{
    struct msrp_conn *m = TD_CONTAINER_OF(t, struct msrp_conn, timer);
    uint64_t idle_ms = (uint64_t)relay_conf(m->relay->shared)->msrp.idle_timeout * 1000;
    uint64_t quiet_ms = loop_now_ms(m->relay->worker->loop) - m->last_used_ms;

    if (!m->proven) {
        conn_close(m->conn, CLOSE_PROBATION);
        return;
    }
    session_unbind_all(&m->bindings, true);
    if (quiet_ms >= idle_ms && list_is_empty(&m->sessions) && list_is_empty(&m->bindings) && m->n_txns == 0 &&
        list_is_empty(&m->streams)) {
        conn_finish(m->conn, CLOSE_IDLE);
        return;
    }
    if (list_is_empty(&m->sessions) && list_is_empty(&m->bindings) && list_is_empty(&m->conn->idle_node))
        idle_add(m->conn);
    loop_timer_start(m->relay->worker->loop, &m->timer, quiet_ms < idle_ms ? idle_ms - quiet_ms : idle_ms);
}

struct msrp_conn *msrp_conn_new(struct relay *relay, struct conn *c)
{
    struct msrp_conn *m = calloc(1, sizeof *m);
    int64_t buffer = relay_conf(relay->shared)->msrp.buffer;
    uint64_t timer_ms;

    if (!m)
        return NULL;
    m->conn = c;
    m->relay = relay;
    relay->worker->held += (int64_t)sizeof *m;
    wheel_timer_init(&m->timer, on_timer);
    wheel_timer_init(&m->head_timer, on_head_timer);
    list_init(&m->sessions);
    list_init(&m->bindings);
    list_init(&m->routes);
    list_init(&m->streams);
    txn_conn_init(m);
    list_init(&m->owed);
    flow_init(m);
    m->proven = !c->accepted;
    m->last_used_ms = loop_now_ms(relay->worker->loop);
    m->buffer = (size_t)buffer;
    c->tx_high = (size_t)TD_MIN(buffer, (int64_t)CONN_TX_HIGH);
    c->tx_max = (size_t)buffer + CONN_TX_MAX;
    c->user = m;
    if (m->proven) {
        timer_ms = (uint64_t)relay_conf(relay->shared)->msrp.idle_timeout * 1000;
    } else {
        timer_ms = (uint64_t)relay_conf(relay->shared)->msrp.probation * 1000;
        timer_ms -= TD_MIN(timer_ms, conn_set_up_ago_ms(c)); /* it does not begin with the first line (M-CON-03) */
    }
    loop_timer_start(relay->worker->loop, &m->timer, timer_ms);
    return m;
}

static void msrp_up(struct conn *c)
{
    if (!c->user && !msrp_conn_new(c->proto_ctx, c)) {
        c->proto = NULL;
        conn_close(c, CLOSE_NO_MEMORY);
        return;
    }
    peer_dialled(msrp_of(c));
}

/* M-CON-05: no session is ended for want of room. */
static enum conn_idle msrp_idle(struct conn *c)
{
    struct msrp_conn *m = msrp_of(c);

    session_unbind_all(&m->bindings, true);
    if (!list_is_empty(&m->sessions) || !list_is_empty(&m->bindings))
        return CONN_NEEDED;
    return m->n_txns == 0 && list_is_empty(&m->streams) && list_is_empty(&m->owed) && m->rx == RX_HEAD && !m->auth ? CONN_IDLE : CONN_IN_USE;
}

static void msrp_sent(struct conn *c)
{
    hop_progress(msrp_of(c));
    finish_if_quiet(msrp_of(c));
}

static void msrp_drained(struct conn *c)
{
    report_owed(msrp_of(c));
    stream_drain(msrp_of(c));
    flow_release(msrp_of(c));
    conn_resume(c, CONN_PAUSE_ANSWERS);
}

static void msrp_down(struct conn *c, enum close_reason reason)
{
    struct msrp_conn *m = msrp_of(c);
    struct relay *relay = m->relay;
    bool was_hop = m->orders || m->peer || !list_is_empty(&m->bindings); /* orders: it is known by its address */

    loop_timer_stop(relay->worker->loop, &m->timer);
    loop_timer_stop(relay->worker->loop, &m->head_timer);
    relay_auth_cancel(m);
    script_forget(m);
    peer_dialled(m);
    if (m->rx == RX_STREAM)
        relay_abort_chunk(m);
    token_leave(m, reason);
    session_unbind_all(&m->bindings, false);
    if (m->peer)
        peer_leave(relay->shared->sessions, m->peer);
    if (was_hop) /* only now: who sees it finds no trace of us in the tables */
        __atomic_add_fetch(&relay->shared->hops_ended, 1, __ATOMIC_RELEASE);
    hop_down(m, reason == CLOSE_FORBIDDEN ? 403 : 408); /* 403: an address that is not to be dialled (M-SEC-02) */
    while (!list_is_empty(&m->routes))
        route_drop(relay, m, list_item(m->routes.next, struct route, conn_node));
    txn_conn_fini(m);
    flow_fini(m);
    report_forget(m);
    free(m->peer);
    free(m->rx_note);
    relay->worker->held -= (int64_t)sizeof *m;
    free(m);
    c->user = NULL;
}

const struct conn_proto msrp_proto = {
    .name = "msrp",
    .websocket = true,
    .data = msrp_data,
    .up = msrp_up,
    .sent = msrp_sent,
    .drained = msrp_drained,
    .idle = msrp_idle,
    .down = msrp_down,
};
