/* Connections: making them, writing, closing. What they read is in intake.c. */
#include "net/conn.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "common/err.h"
#include "common/log.h"
#include "net/conn_private.h"
#include "net/idle.h"
#include "net/limit.h"
#include "net/memory.h"
#include "net/tls.h"
#include "net/ws.h"

enum timer_use { TIMER_NONE, TIMER_DEADLINE, TIMER_STALL, TIMER_FINISH };
enum {
    IOV_MAX_PIECES = 64,
    LINGER_MS = 2000,
    /* Bytes that the system keeps beside what is on its way: nothing gets in front of them (M-FAIR-07). For who keeps up
     * they are gone in milliseconds; half of that was measured to cost a long chunk 15% more CPU in wake-ups. */
    UNSENT_MAX = 128 * 1024,
    UNSENT_MAX_FAST = 2 * 1024 * 1024,
};

static const struct {
    const char *text;
    bool is_error;
} reasons[CLOSE_REASON_N] = {
#define CLOSE_REASON(name, is_error, text) { text, is_error },
#include "net/close_tbl.h"
#undef CLOSE_REASON
};

const char *close_reason_text(enum close_reason r)
{
    return reasons[r].text;
}

bool close_reason_is_error(enum close_reason r)
{
    return reasons[r].is_error;
}

/* ---- slots: how a conn_ref finds its connection ---- */

static int slot_take(struct worker *w, struct conn *c)
{
    if (w->free_slot == UINT32_MAX) {
        uint32_t n = w->n_slots * 2;
        struct conn_slot *grown = realloc(w->slots, n * sizeof *grown);

        if (!grown)
            return TD_ENOMEM;
        w->slots = grown;
        for (uint32_t i = w->n_slots; i < n; i++)
            grown[i] = (struct conn_slot){ .next_free = i + 1 < n ? i + 1 : UINT32_MAX };
        w->free_slot = w->n_slots;
        w->n_slots = n;
    }
    c->slot = w->free_slot;
    w->free_slot = w->slots[c->slot].next_free;
    w->slots[c->slot].conn = c;
    return TD_OK;
}

static void slot_give(struct conn *c)
{
    struct worker *w = c->worker;

    w->slots[c->slot].conn = NULL;
    w->slots[c->slot].next_free = w->free_slot;
    w->free_slot = c->slot;
}

struct conn_ref conn_ref(const struct conn *c)
{
    return (struct conn_ref){ .worker = c->worker->index, .slot = c->slot, .id = c->id };
}

struct conn *conn_deref(struct worker *w, struct conn_ref ref)
{
    struct conn *c;

    if (ref.id == 0 || ref.worker != w->index || ref.slot >= w->n_slots)
        return NULL;
    c = w->slots[ref.slot].conn;
    return c && c->id == ref.id && !c->ended ? c : NULL;
}

/* ---- making and ending ---- */

static void log_end(const struct conn *c, enum close_reason reason)
{
    char peer[ADDR_TEXT_MAX];

    if (close_reason_is_error(reason) && !log_may(&c->worker->ends, "net", "connections were closed", loop_unix_s(c->worker->loop)))
        return;
    if (close_reason_is_error(reason))
        log_info("net", c->id, "closed: peer=%s protocol=%s transport=%s reason=%s", addr_text(&c->peer, peer),
                 c->proto ? c->proto->name : "-", conn_transport_text(c), close_reason_text(reason));
    else
        log_debug("net", c->id, "closed: peer=%s protocol=%s transport=%s reason=%s", addr_text(&c->peer, peer),
                  c->proto ? c->proto->name : "-", conn_transport_text(c), close_reason_text(reason));
}

static void on_timer(struct wheel_timer *t);
static void on_free(struct loop_defer *d);

int conn_new(struct conn **out, struct worker *w, int fd, bool accepted, const struct addr *peer, const struct addr *local)
{
    struct conn *c = calloc(1, sizeof *c);
    int err = TD_ENOMEM;

    *out = NULL;
    if (!c)
        goto out;
    c->worker = w;
    c->io.fd = -1;
    c->io.ready = conn_ready;
    c->accepted = accepted;
    c->tx_high = CONN_TX_HIGH;
    c->tx_max = CONN_TX_MAX;
    c->opened_at = (uint64_t)time(NULL);
    c->set_up_ms = loop_now_ms(w->loop);
    if (peer)
        c->peer = *peer;
    if (local)
        c->local = *local;
    list_init(&c->dirty_node);
    list_init(&c->borrow_node);
    list_init(&c->again_node);
    list_init(&c->doomed_node);
    list_init(&c->all_node);
    list_init(&c->idle_node);
    list_init(&c->memory_node);
    wheel_timer_init(&c->timer, on_timer);
    c->defer_free.run = on_free;
    err = slot_take(w, c);
    if (err)
        goto out;
    if (fd >= 0) {
        err = loop_add(w->loop, &c->io, fd, LOOP_READ);
        if (err) {
            slot_give(c);
            goto out;
        }
    }
    c->id = __atomic_add_fetch(w->next_conn_id, 1, __ATOMIC_RELAXED);
    list_append(&w->conns, &c->all_node);
    stats_inc(&w->stats, STAT_conn_open);
    w->held += (int64_t)sizeof *c;
    *out = c;
    return TD_OK;
out:
    if (fd >= 0)
        close(fd);
    free(c);
    return err;
}

static void on_free(struct loop_defer *d)
{
    struct conn *c = TD_CONTAINER_OF(d, struct conn, defer_free);

    list_remove(&c->all_node);
    wsio_free(c); /* not before: data() may have been in the middle of a message that is in it */
    c->worker->held -= (int64_t)sizeof *c;
    free(c);
}

static void timer_start(struct conn *c, enum timer_use use, int64_t ms)
{
    c->timer_use = use;
    loop_timer_start(c->worker->loop, &c->timer, (uint64_t)ms);
}

static void timer_stop(struct conn *c)
{
    c->timer_use = TIMER_NONE;
    loop_timer_stop(c->worker->loop, &c->timer);
}

void conn_deadline(struct conn *c, int64_t ms, enum close_reason reason)
{
    if (c->ended)
        return;
    c->close_reason = (uint8_t)reason;
    timer_start(c, TIMER_DEADLINE, ms);
}

void conn_deadline_clear(struct conn *c)
{
    if (c->timer_use == TIMER_DEADLINE)
        timer_stop(c);
}

uint64_t conn_set_up_ago_ms(const struct conn *c)
{
    return c->accepted ? loop_now_ms(c->worker->loop) - c->set_up_ms : 0;
}

static void tell_down(struct conn *c, enum close_reason reason)
{
    if (c->ended)
        return;
    c->ended = 1;
    idle_remove(c);
    c->close_reason = (uint8_t)reason;
    if (c->proto)
        c->proto->down(c, reason);
    c->proto = NULL;
    c->user = NULL;
}

void conn_release(struct conn *c)
{
    struct worker *w = c->worker;
    int fd = c->io.fd;

    timer_stop(c);
    wsio_stop(c);
    if (fd >= 0) {
        loop_remove(w->loop, &c->io);
        close(fd);
    }
    list_remove(&c->dirty_node);
    list_remove(&c->borrow_node);
    list_remove(&c->again_node);
    list_remove(&c->doomed_node);
    txq_clear(&c->out, &w->pool);
    txq_clear(&c->cipher, &w->pool);
    list_remove(&c->memory_node);
    conn_drop_kept(c);
    dial_free(&c->dial);
    if (c->opened && w->on_conn_closed)
        w->on_conn_closed(w, c);
    w->held -= c->tls ? MEMORY_TLS : 0;
    tlsio_free(&c->tls);
    if (c->counted)
        limits_leave(w->limits, &c->peer);
    if (c->counted_out)
        limits_uncount(w->limits);
    if (!c->is_inner)
        stats_add(&w->stats, STAT_conn_open, -1);
    slot_give(c);
    loop_defer(w->loop, &c->defer_free);
}

void conn_set_inner(struct conn *c)
{
    c->is_inner = 1;
    stats_add(&c->worker->stats, STAT_conn_open, -1);
}

bool conn_may_request(struct conn *c)
{
    return !c->counted || limits_request(c->worker->limits, &c->peer);
}

void conn_close(struct conn *c, enum close_reason reason)
{
    if (c->defer_free.queued)
        return;
    if (!c->ended) {
        log_end(c, reason);
        tell_down(c, reason);
    }
    if (!c->defer_free.queued)
        conn_release(c);
}

static bool can_encrypt(const struct conn *c)
{
    return tlsio_state(c->tls) == TLSIO_UP || tlsio_state(c->tls) == TLSIO_CLOSED;
}

void conn_close_all(struct worker *w, enum close_reason reason)
{
    list_each_safe(node, &w->conns)
        conn_close(list_item(node, struct conn, all_node), reason);
}

void conn_finish(struct conn *c, enum close_reason reason)
{
    if (c->ended)
        return;
    log_end(c, reason);
    if (c->ws) {
        wsio_bye(c, reason);
        wsio_stop(c);
    }
    tell_down(c, reason);
    if (c->defer_free.queued)
        return;
    c->finishing = 1;
    if (c->io.fd < 0 || c->dial) { /* not connected */
        conn_release(c);
        return;
    }
    if (c->tls && !can_encrypt(c))
        txq_clear(&c->out, &c->worker->pool); /* it will never go out, but an alert may have to */
    timer_start(c, TIMER_FINISH, CONN_FINISH_MS);
    loop_want(c->worker->loop, &c->io, LOOP_READ | (c->io.want & LOOP_WRITE));
    if (list_is_empty(&c->dirty_node))
        list_append(&c->worker->dirty, &c->dirty_node);
}

void conn_doom(struct conn *c, enum close_reason reason)
{
    if (c->doomed || c->defer_free.queued)
        return;
    c->doomed = 1;
    if (!c->ended)
        c->close_reason = (uint8_t)reason;
    txq_clear(&c->out, &c->worker->pool);
    list_remove(&c->borrow_node);
    list_append(&c->worker->doomed, &c->doomed_node);
}

void conn_set_proto(struct conn *c, const struct conn_proto *proto, void *ctx, void *user)
{
    c->proto = proto;
    c->proto_ctx = ctx;
    c->user = user;
}

/* ---- timers ---- */

uint64_t conn_acked(const struct conn *c)
{
    int waiting = 0; /* in the kernel: it says that there is room only when a large part has gone */

    if (c->io.fd < 0 || ioctl(c->io.fd, SIOCOUTQ, &waiting) < 0)
        waiting = 0;
    return c->socket_out - TD_MIN((uint64_t)waiting, c->socket_out);
}

bool conn_has_unread(const struct conn *c)
{
    int n = 0;

    return c->kept_n || (c->io.fd >= 0 && ioctl(c->io.fd, FIONREAD, &n) == 0 && n > 0);
}

static void watch_stall(struct conn *c)
{
    c->stall_mark = conn_acked(c);
    c->stall_looks = 0;
    timer_start(c, TIMER_STALL, CONN_STALL_MS / CONN_STALL_LOOKS);
}

static void look_at_stall(struct conn *c)
{
    if (conn_acked(c) != c->stall_mark)
        watch_stall(c);
    else if (++c->stall_looks < CONN_STALL_LOOKS)
        timer_start(c, TIMER_STALL, CONN_STALL_MS / CONN_STALL_LOOKS);
    else
        conn_close(c, CLOSE_WRITE_STALL);
}

static void on_timer(struct wheel_timer *t)
{
    struct conn *c = TD_CONTAINER_OF(t, struct conn, timer);

    switch ((enum timer_use)c->timer_use) {
    case TIMER_DEADLINE:
        conn_close(c, (enum close_reason)c->close_reason);
        break;
    case TIMER_STALL:
        if (conn_queued(c) == 0)
            timer_stop(c);
        else
            look_at_stall(c);
        break;
    case TIMER_FINISH:
        conn_close(c, (enum close_reason)c->close_reason);
        break;
    case TIMER_NONE:
        break;
    }
}

/* ---- writing ---- */

void conn_mark_dirty(struct conn *c)
{
    if (list_is_empty(&c->dirty_node))
        list_append(&c->worker->dirty, &c->dirty_node);
}

static bool can_write(struct conn *c)
{
    if (c->ended || c->doomed)
        return false;
    if (conn_queued(c) > c->tx_max) {
        conn_doom(c, CLOSE_QUEUE_FULL);
        return false;
    }
    return true;
}

void conn_write(struct conn *c, const void *p, size_t n)
{
    if (!can_write(c))
        return;
    if (!txq_add(&c->out, &c->worker->pool, p, n)) {
        conn_doom(c, CLOSE_NO_MEMORY);
        return;
    }
    c->bytes_out += n;
    conn_mark_dirty(c);
}

void conn_write_ref(struct conn *c, const void *p, size_t n)
{
    if (!can_write(c))
        return;
    if (!txq_add_ref(&c->out, &c->worker->pool, p, n)) {
        conn_doom(c, CLOSE_NO_MEMORY);
        return;
    }
    c->bytes_out += n;
    conn_mark_dirty(c);
    if (list_is_empty(&c->borrow_node))
        list_append(&c->worker->borrowers, &c->borrow_node);
}

char *conn_write_room(struct conn *c, size_t n)
{
    char *room;

    if (!can_write(c))
        return NULL;
    room = txq_room(&c->out, &c->worker->pool, n);
    if (!room)
        conn_doom(c, CLOSE_NO_MEMORY);
    return room;
}

void conn_wrote(struct conn *c, size_t n)
{
    txq_used(&c->out, n);
    c->bytes_out += n;
    conn_mark_dirty(c);
}

static void on_cipher(void *arg, const void *p, size_t n)
{
    struct conn *c = arg;

    if (c->cipher.n > c->tx_max) /* encrypt() stops long before: the peer makes TLS itself talk, and does not read */
        conn_doom(c, CLOSE_QUEUE_FULL);
    else if (!txq_add(&c->cipher, &c->worker->pool, p, n))
        conn_doom(c, CLOSE_NO_MEMORY);
    else
        conn_mark_dirty(c);
}

/* Turn queued plaintext into records, as long as the socket keeps up with them. */
static void encrypt(struct conn *c)
{
    struct worker *w = c->worker;

    while (c->out.n && c->cipher.n < c->tx_high && !c->doomed) {
        struct sv piece = txq_front(&c->out);

        if (piece.n < TLS_RECORD_MAX && piece.n < c->out.n) {
            struct iovec iov[IOV_MAX_PIECES];
            int n_iov = txq_iov(&c->out, iov, IOV_MAX_PIECES);
            size_t n = 0;

            for (int i = 0; i < n_iov && n < TLS_RECORD_MAX; i++) {
                size_t take = TD_MIN(iov[i].iov_len, TLS_RECORD_MAX - n);

                memcpy(w->gather_buf + n, iov[i].iov_base, take);
                n += take;
            }
            piece = sv_make(w->gather_buf, n);
        }
        piece = sv_upto(piece, TLS_RECORD_MAX);
        if (tlsio_output(c->tls, piece.p, piece.n) != TD_OK) {
            conn_doom(c, CLOSE_TLS_ERROR);
            return;
        }
        txq_drop(&c->out, &w->pool, piece.n);
    }
}

/* Write what the kernel takes. False: it takes no more now, or the connection is doomed. */
static bool write_some(struct conn *c, struct txq *q)
{
    struct worker *w = c->worker;

    while (q->n) {
        struct iovec iov[IOV_MAX_PIECES];
        struct msghdr m = { .msg_iov = iov };
        ssize_t n;

        m.msg_iovlen = (size_t)txq_iov(q, iov, IOV_MAX_PIECES);
        if (m.msg_iovlen == 1) /* mostly: a shorter way through the system */
            n = send(c->io.fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
        else
            n = sendmsg(c->io.fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            if (errno != EAGAIN && !c->dial) /* else it is read, and another address tried */
                conn_doom(c, c->eof ? CLOSE_PEER : errno == EPIPE || errno == ECONNRESET ? CLOSE_RESET : CLOSE_IO);
            return false;
        }
        txq_drop(q, &w->pool, (size_t)n);
        c->socket_out += (uint64_t)n;
    }
    return true;
}

/* All is written of a connection that is to end: say so to the peer and wait a little for its FIN, as
 * closing with unread bytes would reset the connection and could take the last answer with it. */
static void finish_step(struct conn *c)
{
    if (c->tls) {
        tlsio_bye(c->tls);
        write_some(c, &c->cipher);
    }
    c->finishing = 0;
    if (c->eof) {
        conn_release(c);
        return;
    }
    shutdown(c->io.fd, SHUT_WR);
    timer_start(c, TIMER_FINISH, LINGER_MS);
}

/* Write as much as the kernel takes; it says when it takes more. */
static void push(struct conn *c)
{
    bool all = true;

    if (c->doomed || c->io.fd < 0 || c->io.want & LOOP_WRITE)
        return;
    if (c->tls) {
        do {
            if (can_encrypt(c))
                encrypt(c);
            all = write_some(c, &c->cipher);
        } while (all && c->out.n && can_encrypt(c) && !c->doomed);
    } else if (!c->connecting) {
        all = write_some(c, &c->out);
    }
    if (!all && !c->doomed) {
        loop_want(c->worker->loop, &c->io, c->io.want | LOOP_WRITE);
        if (c->timer_use == TIMER_NONE)
            watch_stall(c);
    }
}

void conn_flush(struct conn *c)
{
    uint64_t pos;

    list_remove(&c->dirty_node);
    push(c);
    if (c->doomed || c->io.fd < 0)
        return;
    /* Records are longer than what they hold, so under TLS this is never too much; a busy connection is never empty. */
    pos = c->bytes_out - c->out.n;
    pos -= TD_MIN(pos, (uint64_t)c->cipher.n);
    if (pos > c->sent_pos) {
        if (!c->is_inner)
            stats_add(&c->worker->stats, STAT_bytes_out, (int64_t)(pos - c->sent_pos));
        c->sent_pos = pos;
        idle_touch(c);
        if (!c->ended && c->proto->sent)
            c->proto->sent(c);
    }
    if (c->above && conn_queued(c) <= c->tx_high / 2) {
        c->above = 0;
        if (!c->ended && c->proto->drained)
            c->proto->drained(c);
    }
    if (c->finishing && conn_queued(c) == 0)
        finish_step(c);
}

bool conn_has_queued(struct conn *c, size_t limit)
{
    if (conn_queued(c) < limit)
        return false;
    if (!(c->io.want & LOOP_WRITE) && !c->connecting) {
        push(c);
        conn_mark_dirty(c); /* its protocol, which asks, hears of it at the end of the turn */
        if (conn_queued(c) < limit)
            return false;
    }
    c->above = 1;
    return true;
}

/* ---- TLS and coming up ---- */

int conn_start_tls(struct conn *c)
{
    int err = tlsio_accept(&c->tls, c->worker->tls, on_cipher, c);

    if (!err) {
        c->worker->held += MEMORY_TLS;
        conn_deadline(c, c->worker->handshake_ms, CLOSE_TLS_TIMEOUT);
    }
    return err;
}

int conn_start_tls_client(struct conn *c, const char *host, enum tlsio_verify verify)
{
    int err = tlsio_dial(&c->tls, c->worker->tls, host, verify, on_cipher, c);

    if (!err)
        c->worker->held += MEMORY_TLS;
    return err;
}

void conn_drop_tls(struct conn *c)
{
    c->worker->held -= c->tls ? MEMORY_TLS : 0;
    tlsio_free(&c->tls);
    txq_clear(&c->cipher, &c->worker->pool);
}

void conn_tune(int fd)
{
    int one = 1, unsent = UNSENT_MAX;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
}

void conn_keeps_up(struct conn *c, bool keeps_up)
{
    int unsent = keeps_up ? UNSENT_MAX_FAST : UNSENT_MAX;

    if (c->keeps_up == keeps_up)
        return;
    c->keeps_up = keeps_up;
    setsockopt(c->io.fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
}

int conn_attach(struct conn *c, int fd)
{
    return loop_add(c->worker->loop, &c->io, fd, LOOP_WRITE);
}

void conn_is_up(struct conn *c)
{
    struct worker *w = c->worker;

    c->connecting = 0;
    conn_deadline_clear(c);
    dial_free(&c->dial);
    loop_want(w->loop, &c->io, c->pauses ? 0 : LOOP_READ);
    stats_inc(&w->stats, STAT_conn_dialled);
    conn_opened(c);
    idle_add(c);
    if (c->proto->up)
        c->proto->up(c);
    if (!c->ended && conn_queued(c))
        conn_mark_dirty(c);
}

void conn_hand_over(struct conn *c, enum proto_id id)
{
    const struct proto_slot *slot = &c->worker->protos[id];

    stats_inc(&c->worker->stats, id == PROTO_MSRP ? STAT_sniff_msrp : STAT_sniff_sip);
    conn_deadline_clear(c);
    conn_set_proto(c, slot->ops, slot->ctx, NULL);
    conn_opened(c);
    if (slot->ops->up)
        slot->ops->up(c);
    if (!c->ended && c->io.want & LOOP_WRITE && c->timer_use == TIMER_NONE) /* its pongs are stuck: the deadline had the timer */
        watch_stall(c);
}

void conn_opened(struct conn *c)
{
    c->opened = 1;
    if (c->worker->on_conn_open)
        c->worker->on_conn_open(c->worker, c);
}

bool conn_is_tls(const struct conn *c)
{
    return c->tls != NULL;
}

bool conn_is_secure(const struct conn *c)
{
    return c->tls || (c->ws && c->worker->ws.tls_in_front);
}

const char *conn_transport_text(const struct conn *c)
{
    if (c->ws)
        return c->tls ? "wss" : "ws";
    return c->tls ? "tls" : "tcp";
}
