/* What a connection reads: from the socket, through TLS, to its protocol, and what waits in between while it is
 * paused. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/log.h"
#include "net/conn_private.h"
#include "net/idle.h"
#include "net/ws.h"

enum { READS_PER_EVENT = 4 };

void conn_drop_kept(struct conn *c)
{
    free(c->kept);
    c->kept = NULL;
    c->worker->held -= c->kept_cap;
    c->kept_n = c->kept_cap = 0;
}

/* Keep what the protocol did not take. */
static void keep(struct conn *c, const char *p, size_t n)
{
    if (n == 0) {
        conn_drop_kept(c);
        return;
    }
    if (!c->pauses && c->proto->keep_max && n > c->proto->keep_max) {
        conn_close(c, CLOSE_FRAMING);
        return;
    }
    if (n > c->kept_cap) {
        char *grown = realloc(c->kept, n);

        if (!grown) {
            conn_close(c, CLOSE_NO_MEMORY);
            return;
        }
        c->kept = grown;
        c->worker->held += (int64_t)n - c->kept_cap;
        c->kept_cap = (uint32_t)n;
    }
    memmove(c->kept, p, n);
    c->kept_n = (uint32_t)n;
}

/* Something that it has received waits for it to be resumed. */
static bool has_waiting(const struct conn *c)
{
    return c->kept_n || wsio_is_waiting(c);
}

static void tls_feed(struct conn *c, size_t n);
static void want_read(struct conn *c);

static void offer_later(struct conn *c)
{
    if (!list_is_empty(&c->again_node))
        return;
    list_append(&c->worker->again, &c->again_node);
    loop_soon(c->worker->loop);
}

/* Offer the bytes at the front of the worker's buffer to the protocol. */
static void offer(struct conn *c, size_t n)
{
    struct worker *w = c->worker;
    size_t taken = 0;
    bool had_tls = c->tls != NULL, paused;

    c->in_data = 1;
    while (!c->pauses && (taken < n || wsio_is_waiting(c))) {
        const struct conn_proto *proto = c->proto;

        taken += c->ws ? wsio_input(c, w->read_buf + taken, n - taken) : proto->data(c, w->read_buf + taken, n - taken);
        if (c->ended || c->proto == proto || (c->tls && !had_tls))
            break;
    }
    c->in_data = 0;
    paused = c->pauses != 0;
    want_read(c);
    if (!list_is_empty(&w->borrowers))
        worker_settle(w); /* may drain a queue and so resume us before the rest is kept */
    if (c->ended)
        return;
    if (c->tls && !had_tls) { /* these bytes were a ClientHello */
        size_t rest = TD_MIN(n - taken, (size_t)WORKER_READ_SIZE);

        keep(c, NULL, 0);
        c->bytes_in -= rest;
        memcpy(w->cipher_buf, w->read_buf + taken, rest);
        tls_feed(c, rest);
        return;
    }
    keep(c, w->read_buf + taken, n - taken);
    if (paused && !c->pauses && !c->ended && has_waiting(c))
        offer_later(c);
}

/* Put what was kept in front, with room for n more; the place for those, or NULL. */
static char *front(struct conn *c, size_t n)
{
    struct worker *w = c->worker;

    if (c->kept_n + n > w->read_cap) {
        char *grown = realloc(w->read_buf, c->kept_n + n);

        if (!grown) {
            conn_close(c, CLOSE_NO_MEMORY);
            return NULL;
        }
        w->read_buf = grown;
        w->read_cap = c->kept_n + n;
    }
    if (c->kept_n)
        memcpy(w->read_buf, c->kept, c->kept_n);
    return w->read_buf + c->kept_n;
}

/* Its stream is broken; while it is being dialled there may be another address. */
static void broken(struct conn *c, enum close_reason why, const char *text)
{
    if (c->dial)
        dial_again(c, CLOSE_TLS_HANDSHAKE, text);
    else
        conn_close(c, c->eof ? CLOSE_PEER : why); /* it had said that it would send no more */
}

static void on_eof(struct conn *c)
{
    if (c->dial) {
        dial_again(c, CLOSE_TLS_HANDSHAKE, "closed by the peer");
        return;
    }
    c->eof = 1;
    if (!c->tls && c->proto->eof && c->proto->eof(c))
        conn_pause(c, CONN_PAUSE_EOF);
    else
        conn_finish(c, CLOSE_PEER);
}

/* close_notify has come, and nothing that was said before it waits to be offered. What a protocol left that is not paused will never
 * be complete. */
static bool is_said(const struct conn *c)
{
    return tlsio_state(c->tls) == TLSIO_CLOSED && list_is_empty(&c->again_node) && (!has_waiting(c) || !c->pauses);
}

static void tls_failed(struct conn *c)
{
    char peer[ADDR_TEXT_MAX];
    bool certificate = tlsio_state(c->tls) == TLSIO_FAILED_CERTIFICATE;

    stats_inc(&c->worker->stats, STAT_tls_failures);
    log_info("tls", c->id, "handshake failed: peer=%s reason=%s", addr_text(&c->peer, peer), tlsio_fault(c->tls));
    if (c->dial)
        dial_again(c, certificate ? CLOSE_CERTIFICATE : CLOSE_TLS_HANDSHAKE, tlsio_fault(c->tls));
    else
        conn_finish(c, CLOSE_TLS_HANDSHAKE);
}

/* n bytes of ciphertext are in the worker's cipher buffer. */
static void tls_feed(struct conn *c, size_t n)
{
    struct worker *w = c->worker;
    char peer[ADDR_TEXT_MAX];
    bool was_up = tlsio_state(c->tls) == TLSIO_UP;
    size_t got = 0, room = n + 2 * TLS_RECORD_MAX;
    char *to = front(c, room);

    if (!to)
        return;
    for (size_t at = 0;;) {
        size_t used = 0;
        size_t plain = tlsio_input(c->tls, w->cipher_buf + at, n - at, &used, to + got, room - got);

        at += used;
        got += plain;
        if (plain == 0)
            break;
    }
    if (!was_up && tlsio_state(c->tls) == TLSIO_UP) {
        stats_inc(&w->stats, STAT_tls_handshakes);
        conn_mark_dirty(c);
        if (c->connecting) {
            conn_is_up(c);
        } else {
            c->set_up_ms = loop_now_ms(w->loop);
            conn_deadline(c, w->first_line_ms, CLOSE_FIRST_LINE);
        }
        if (c->ended)
            return;
    }
    if (got) {
        c->bytes_in += got;
        stats_add(&w->stats, STAT_bytes_in, (int64_t)got);
        offer(c, c->kept_n + got);
        if (c->ended)
            return;
    }
    switch (tlsio_state(c->tls)) {
    case TLSIO_FAILED_RECORD:
        if (c->dial) {
            dial_again(c, CLOSE_TLS_HANDSHAKE, tlsio_fault(c->tls));
        } else { /* with TLS 1.3 also a peer that does not like our certificate says so only now */
            log_info("tls", c->id, "session failed: peer=%s reason=%s", addr_text(&c->peer, peer), tlsio_fault(c->tls));
            conn_finish(c, CLOSE_TLS_ERROR); /* the alert is to go out */
        }
        break;
    case TLSIO_FAILED_HANDSHAKE:
    case TLSIO_FAILED_CERTIFICATE:
        tls_failed(c);
        break;
    case TLSIO_CLOSED:
        if (is_said(c)) /* else what it said before is heard first: conn_offer_kept() */
            on_eof(c);
        break;
    case TLSIO_HANDSHAKING:
    case TLSIO_UP:
        break;
    }
}

static void conn_read(struct conn *c)
{
    struct worker *w = c->worker;

    for (int i = 0; i < (c->one_read ? 1 : READS_PER_EVENT) && !c->ended && !c->pauses && !c->doomed; i++) {
        char *to = c->tls ? w->cipher_buf : front(c, WORKER_READ_SIZE);
        ssize_t n;

        if (!to)
            return;
        n = recv(c->io.fd, to, WORKER_READ_SIZE, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            broken(c, errno == ECONNRESET ? CLOSE_RESET : CLOSE_IO, strerror(errno));
            return;
        }
        idle_touch(c);
        if (n == 0) {
            if (list_is_empty(&c->again_node)) /* else what was kept comes first */
                on_eof(c);
            return;
        }
        if (c->tls) {
            tls_feed(c, (size_t)n);
        } else {
            c->bytes_in += (uint64_t)n;
            if (!c->is_inner)
                stats_add(&w->stats, STAT_bytes_in, n);
            offer(c, c->kept_n + (size_t)n);
        }
        if (n < WORKER_READ_SIZE || c->connecting)
            return;
    }
}

void conn_offer_kept(struct conn *c)
{
    if (c->ended || c->doomed || c->pauses)
        return;
    if (has_waiting(c) && front(c, 0))
        offer(c, c->kept_n);
    if (c->ended)
        return;
    want_read(c);
    if (!c->pauses && c->tls && is_said(c))
        on_eof(c);
}

static void read_and_discard(struct conn *c)
{
    for (int i = 0; i < READS_PER_EVENT; i++) {
        ssize_t n = recv(c->io.fd, c->worker->read_buf, c->worker->read_cap, MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            c->eof = 1;
            if (n < 0 || conn_queued(c) == 0)
                conn_release(c);
            else
                loop_want(c->worker->loop, &c->io, c->io.want & ~(uint32_t)LOOP_READ);
            return;
        }
    }
}

void conn_ready(struct loop_io *io, uint32_t events)
{
    struct conn *c = TD_CONTAINER_OF(io, struct conn, io);

    if (c->dial && !c->tls) {
        dial_ready(c, events);
        return;
    }
    if (events & LOOP_WRITE) {
        loop_want(c->worker->loop, &c->io, c->io.want & ~(uint32_t)LOOP_WRITE);
        conn_flush(c);
        if (c->defer_free.queued || c->doomed)
            return;
    }
    if (c->ended) {
        if (events & (LOOP_READ | LOOP_ERROR))
            read_and_discard(c);
        return;
    }
    if (events & LOOP_READ && !c->pauses)
        conn_read(c);
    else if (events & LOOP_ERROR)
        broken(c, CLOSE_RESET, "reset");
}

/* What is waited for is told to the system when the protocol has done with its bytes: most often it has been paused and
 * resumed. */
static void want_read(struct conn *c)
{
    if (c->ended || c->in_data)
        return;
    loop_want(c->worker->loop, &c->io, (c->io.want & LOOP_WRITE) | (c->pauses ? 0 : LOOP_READ));
}

void conn_pause(struct conn *c, enum conn_pause why)
{
    c->pauses |= (uint8_t)why;
    want_read(c);
}

void conn_resume(struct conn *c, enum conn_pause why)
{
    if (!(c->pauses & why))
        return;
    c->pauses &= (uint8_t)~why;
    if (c->pauses)
        return;
    if (has_waiting(c))
        offer_later(c); /* and read on only when the protocol has not paused again, else more would be kept each time */
    else
        want_read(c);
}
