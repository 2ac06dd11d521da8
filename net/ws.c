/* The WebSocket layer of a connection. */
#include "net/ws.h"

#include <stdlib.h>

#include "common/err.h"
#include "common/log.h"
#include "common/utf8.h"
#include "net/conn_private.h"
#include "net/listener.h"
#include "net/memory.h"
#include "net/wshand.h"
#include "net/wsread.h"

enum {
    SPARE_MAX = 256 * 1024,    /* memory a reader may have and be kept for the next connection */
    BULK = 64 * 1024,          /* more of an unfinished message waits when memory is short */
    OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10, OP_FIN = 0x80, /* RFC 6455 s.5.2 */
};

struct wsio {
    struct conn *conn;        /* back */
    struct wsread *reader;    /* owned; NULL: nothing has begun */
    struct sv rest;           /* in the reader: what the protocol has not taken of a message */
    bool begins;              /* nothing of it was taken */
    bool waiting;             /* the connection was paused before all was offered */
    bool bye;                 /* the close frame is queued */
    uint8_t misses;           /* pings sent since something was heard */
    size_t held;              /* as counted in the worker's */
    uint64_t heard_ms;        /* when bytes came last */
    uint64_t message_ms;      /* when the unfinished message began; 0: none */
    struct wheel_timer timer;
};

static uint64_t now_ms(const struct conn *c)
{
    return loop_now_ms(c->worker->loop);
}

/* ---- writing ---- */

static void write_head(struct conn *c, uint8_t opcode, size_t n)
{
    uint8_t head[10] = { OP_FIN | opcode };
    size_t len = 2;

    if (n < 126) {
        head[1] = (uint8_t)n;
    } else {
        size_t wide = n < 65536 ? 2 : 8;

        head[1] = wide == 2 ? 126 : 127;
        for (size_t i = 0; i < wide; i++)
            head[2 + i] = (uint8_t)((uint64_t)n >> 8 * (wide - 1 - i));
        len += wide;
    }
    conn_write(c, head, len);
}

static void write_control(struct conn *c, uint8_t opcode, struct sv payload)
{
    write_head(c, opcode, payload.n);
    conn_write(c, payload.p, payload.n);
}

void wsio_begin(struct conn *c, size_t n, bool is_text)
{
    if (c->ws)
        write_head(c, is_text ? OP_TEXT : OP_BINARY, n);
}

void wsio_write(struct conn *c, const void *p, size_t n)
{
    if (c->ws)
        write_head(c, utf8_is_text(sv_make(p, n)) ? OP_TEXT : OP_BINARY, n);
    conn_write(c, p, n);
}

/* ---- ending ---- */

/* RFC 6455 s.7.4.1 */
static uint16_t status_of(enum close_reason reason)
{
    switch (reason) {
    case CLOSE_WS_PROTOCOL:
    case CLOSE_WS_MESSAGE:
    case CLOSE_FRAMING:
        return 1002;
    case CLOSE_WS_TOO_BIG:
        return 1009;
    case CLOSE_NO_MEMORY:
    case CLOSE_IO:
        return 1011;
    case CLOSE_PEER:
    case CLOSE_DONE:
    case CLOSE_MOVED:
        return 1000;
    default:
        return close_reason_is_error(reason) ? 1008 : 1001;
    }
}

static void bye(struct conn *c, uint16_t status)
{
    char payload[2] = { (char)(status >> 8), (char)status };

    if (!c->ws->bye)
        write_control(c, OP_CLOSE, sv_make(payload, status ? 2 : 0));
    c->ws->bye = true;
}

void wsio_bye(struct conn *c, enum close_reason reason)
{
    bye(c, status_of(reason));
}

static bool is_status(unsigned s)
{
    return (s >= 1000 && s < 5000) && s != 1004 && s != 1005 && s != 1006 && s != 1015;
}

/* The peer's close frame: the same status goes back. */
static void on_close(struct conn *c, struct sv payload)
{
    unsigned status = payload.n < 2 ? 0 : (unsigned)(uint8_t)payload.p[0] << 8 | (uint8_t)payload.p[1];

    if (payload.n && !is_status(status)) {
        conn_finish(c, CLOSE_WS_PROTOCOL);
        return;
    }
    bye(c, (uint16_t)status);
    conn_finish(c, CLOSE_PEER);
}

/* ---- the clock ---- */

/* The next ping, or the end. */
static uint64_t ping_at(const struct wsio *ws)
{
    return ws->heard_ms + (uint64_t)ws->conn->worker->ws.ping_s * 1000 * (ws->misses + 1u);
}

static void timer_start(struct wsio *ws)
{
    uint64_t now = now_ms(ws->conn), at = ping_at(ws);

    if (ws->message_ms)
        at = TD_MIN(at, ws->message_ms + WS_MESSAGE_MS);
    loop_timer_start(ws->conn->worker->loop, &ws->timer, at > now ? at - now : 0);
}

static void on_timer(struct wheel_timer *t)
{
    struct wsio *ws = TD_CONTAINER_OF(t, struct wsio, timer);
    struct conn *c = ws->conn;
    uint64_t now = now_ms(c);

    if (c->pauses & ~CONN_PAUSE_MEMORY) { /* it is not heard because we do not listen */
        ws->heard_ms = now;
        ws->misses = 0;
        ws->message_ms = ws->message_ms ? now : 0;
    } else if (ws->message_ms && now >= ws->message_ms + WS_MESSAGE_MS) {
        conn_finish(c, CLOSE_HEADER_TIMEOUT);
        return;
    } else if (now >= ping_at(ws)) {
        if (ws->misses == WS_MISSES_MAX) {
            conn_finish(c, CLOSE_WS_SILENT);
            return;
        }
        ws->misses++;
        write_control(c, OP_PING, SV(""));
    }
    timer_start(ws);
}

/* ---- reading ---- */

bool wsio_begins(const struct conn *c)
{
    return c->ws && c->ws->begins;
}

bool wsio_is_waiting(const struct conn *c)
{
    return c->ws && c->ws->waiting;
}

uint64_t wsio_heard_ms(const struct conn *c)
{
    return c->ws ? c->ws->heard_ms : 0;
}

/* Offer the rest of a message. False: the connection has ended, or is paused. */
static bool deliver(struct conn *c)
{
    struct wsio *ws = c->ws;
    struct worker *w = c->worker;
    bool paused;

    do {
        size_t taken = c->proto->data(c, ws->rest.p, ws->rest.n);

        if (c->ended)
            return false;
        ws->begins &= taken == 0;
        ws->rest = sv_from(ws->rest, taken);
        paused = c->pauses != 0;
        if (!list_is_empty(&w->borrowers))
            worker_settle(w); /* the next message takes the place of this one; may drain a queue, and so resume us */
        if (c->ended)
            return false;
        if (ws->rest.n && !paused) {
            conn_finish(c, CLOSE_WS_MESSAGE);
            return false;
        }
    } while (ws->rest.n && !c->pauses);
    return !c->pauses;
}

/* False: go on later, or never. */
static bool on_event(struct conn *c, enum wsread_event e, struct sv what)
{
    switch (e) {
    case WSREAD_MORE:
        return false;
    case WSREAD_MESSAGE:
        c->ws->rest = what;
        c->ws->begins = true;
        return what.n == 0 || deliver(c);
    case WSREAD_PING:
        write_control(c, OP_PONG, what);
        return true;
    case WSREAD_PONG:
        return true;
    case WSREAD_CLOSE:
        on_close(c, what);
        return false;
    case WSREAD_BROKEN:
        conn_finish(c, CLOSE_WS_PROTOCOL);
        return false;
    case WSREAD_TOO_BIG:
        conn_finish(c, CLOSE_WS_TOO_BIG);
        return false;
    case WSREAD_NO_MEMORY:
        conn_finish(c, CLOSE_NO_MEMORY);
        return false;
    }
    return false;
}

/* A reader that holds nothing goes to whoever needs one next. */
static void put_back(struct conn *c)
{
    struct wsio *ws = c->ws;
    struct worker *w = c->worker;
    bool amid = ws->reader && wsread_is_amid(ws->reader);

    if (ws->reader && ws->rest.n == 0 && wsread_is_idle(ws->reader)) {
        if (!w->ws_spare && wsread_size(ws->reader) <= SPARE_MAX) {
            w->ws_spare = ws->reader;
            ws->reader = NULL;
        }
        wsread_free(&ws->reader);
    }
    w->held -= (int64_t)ws->held;
    ws->held = sizeof *ws + (ws->reader ? wsread_size(ws->reader) : 0);
    w->held += (int64_t)ws->held;
    if (!amid)
        ws->message_ms = 0;
    else if (!ws->message_ms)
        ws->message_ms = now_ms(c);
    if (amid && ws->held > BULK && w->crowded && !c->pauses)
        memory_wait(c);
}

size_t wsio_input(struct conn *c, const char *p, size_t n)
{
    struct wsio *ws = c->ws;
    struct worker *w = c->worker;
    struct sv in = sv_make(p, n), what;
    bool had_message = ws->message_ms != 0;
    enum wsread_event e = WSREAD_MESSAGE;

    if (n) {
        ws->heard_ms = now_ms(c);
        ws->misses = 0;
    }
    if (!ws->reader) {
        ws->reader = w->ws_spare;
        w->ws_spare = NULL;
    }
    if (!ws->reader && wsread_new(&ws->reader) != TD_OK) {
        conn_finish(c, CLOSE_NO_MEMORY);
        return n;
    }
    for (bool go_on = ws->rest.n == 0 || deliver(c); go_on; go_on = on_event(c, e, what))
        e = wsread_next(ws->reader, w->ws.max_message, &in, &what);
    if (c->ended)
        return n;
    ws->waiting = e != WSREAD_MORE;
    put_back(c);
    if (had_message != (ws->message_ms != 0))
        timer_start(ws);
    return n - in.n;
}

/* ---- life ---- */

static int wsio_new(struct conn *c)
{
    struct wsio *ws = calloc(1, sizeof *ws);

    if (!ws)
        return TD_ENOMEM;
    c->ws = ws;
    ws->conn = c;
    ws->heard_ms = now_ms(c);
    ws->held = sizeof *ws;
    c->worker->held += (int64_t)ws->held;
    wheel_timer_init(&ws->timer, on_timer);
    timer_start(ws);
    return TD_OK;
}

void wsio_stop(struct conn *c)
{
    if (c->ws)
        loop_timer_stop(c->worker->loop, &c->ws->timer);
}

void wsio_free(struct conn *c)
{
    if (!c->ws)
        return;
    c->worker->held -= (int64_t)c->ws->held;
    wsread_free(&c->ws->reader);
    free(c->ws);
    c->ws = NULL;
}

/* ---- the handshake ---- */

static uint8_t spoken(const struct conn *c)
{
    const struct worker *w = c->worker;
    uint8_t bits = 0;

    if (c->port_protocols & PORT_SIP && w->protos[PROTO_SIP].ops && w->protos[PROTO_SIP].ops->websocket)
        bits |= WSHAND_SIP;
    if (c->port_protocols & PORT_MSRP && w->protos[PROTO_MSRP].ops && w->protos[PROTO_MSRP].ops->websocket)
        bits |= WSHAND_MSRP;
    return bits;
}

static void log_refused(const struct conn *c, const struct wshand_result *r)
{
    char peer[ADDR_TEXT_MAX];

    log_debug("ws", c->id, "handshake refused: peer=%s status=%d reason=%s", addr_text(&c->peer, peer), r->status, r->why);
}

static size_t handshake_data(struct conn *c, const char *p, size_t n)
{
    struct worker *w = c->worker;
    size_t head = wshand_head(p, n);
    bool is_secure = c->tls || w->ws.tls_in_front; /* MSRP needs that: M-WS-02 */
    const struct wshand_policy policy = {
        .is_served = c->port_transports & (c->tls ? PORT_WSS : PORT_WS),
        .protocols = is_secure ? spoken(c) : spoken(c) & ~WSHAND_MSRP,
        .forbidden = !is_secure && c->port_protocols & PORT_MSRP ? WSHAND_MSRP : 0,
        .origins = w->ws.origins,
    };
    struct wshand_result r;
    struct buf answer = BUF_INIT;

    if (!head && n <= WSHAND_HEAD_MAX)
        return 0;
    r = wshand_answer(sv_make(p, head ? head : n), &policy, &answer);
    conn_write(c, answer.p, answer.n);
    if (buf_failed(&answer) || (r.status == 101 && wsio_new(c) != TD_OK)) {
        conn_close(c, CLOSE_NO_MEMORY);
    } else if (r.status != 101) {
        stats_inc(&w->stats, STAT_ws_refused);
        log_refused(c, &r);
        conn_finish(c, r.status == 404 ? CLOSE_NOT_SERVED : CLOSE_WS_REFUSED);
    } else {
        stats_inc(&w->stats, STAT_ws_opened);
        conn_hand_over(c, r.protocol == WSHAND_SIP ? PROTO_SIP : PROTO_MSRP);
    }
    buf_fini(&answer);
    return head ? head : n;
}

static enum conn_idle handshake_idle(struct conn *c)
{
    return CONN_IDLE;
}

static void handshake_down(struct conn *c, enum close_reason reason)
{
}

const struct conn_proto wsio_proto = {
    .name = "http",
    .data = handshake_data,
    .idle = handshake_idle,
    .down = handshake_down,
    .keep_max = WSHAND_HEAD_MAX,
};
