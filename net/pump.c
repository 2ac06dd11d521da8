/* The SIP pump. */
#include "net/pump.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/err.h"
#include "common/hash.h"
#include "common/log.h"
#include "net/dial.h"
#include "net/pump_private.h"
#include "net/sipframe.h"
#include "net/ws.h"

enum {
    TURN_BYTES = 8 * 1024, /* of one flow towards the SIP process in one turn, whole messages; bounds what Sofia buffers */
    LEG_HIGH = 8 * 1024, /* queued for a leg before its client is paused */
    LEG_SNDBUF = 16 * 1024, /* towards the SIP process: bounds what Sofia reads, and copies for each pipelined message, at once */
    LEG_MESSAGE_MAX = 256 * 1024, /* what comes from the SIP process has grown by Via and Record-Route */
    LEGS_PER_TURN = 64, /* opened in one turn: the listener's backlog is not endless */
    ENDING_MS = 32000, /* a client that sends no more has answers so long: 64*T1, when it has given up */
    RETRY_MS = 20, /* after the control socket was full, or a leg could not be opened */
    START_LINE_LOG_MAX = 120,
};

/* One SIP stream. */
struct flow {
    struct pump *pump;        /* back */
    struct hash_node by_id;
    struct list all_node;
    struct list wait_node;    /* waiting for a leg */
    struct list more_node;    /* has used up its share of this turn */
    struct list ask_node;     /* owes the SIP process a question that did not fit in the socket */
    struct conn *client;      /* borrowed; NULL: it has ended */
    struct conn *leg;         /* borrowed; NULL: none */
    uint64_t id;              /* of the client connection: the flow's name on both sides */
    uint32_t dial_id;         /* the SIP process asked for this connection; 0: it was accepted */
    bool announced;           /* to the present SIP process */
    bool asked;               /* whether it closed the leg */
    bool is_ending;           /* its client sends no more, and is owed answers */
    unsigned owed;            /* final responses to what the client has sent; those that never come are counted, too */
    bool last_was_crlf;
    size_t scanned;           /* bytes of an unfinished header section that were searched */
    size_t leg_scanned;
    size_t skip;              /* bytes of a refused message still to come */
    size_t passed;            /* bytes passed of WebSocket messages since it last waited for its turn */
    uint64_t active_ms;       /* when bytes passed last */
    uint64_t heard_ms;        /* when the client sent some last */
    uint64_t keep_ms;         /* it is to be heard that often; 0: it has promised nothing */
    uint64_t message_ms;      /* when the unfinished message began; 0: none */
    struct wheel_timer timer;
};

struct pump {
    struct worker *worker;    /* borrowed */
    struct pump_limits limits;
    struct pump_link *link;   /* counted; NULL: no SIP process */
    struct hash flows;        /* by id */
    struct list all, waiting, more, asking;
    struct buf unsent;        /* struct ending: what did not fit in the socket */
    struct wheel_timer retry;
    struct loop_hook hook;
    char last_line[START_LINE_LOG_MAX]; /* start line of the last message that went in */
    size_t last_line_n;
    uint64_t last_id, last_ms;
};

static const struct conn_proto leg_proto;

/* ---- the control socket ---- */

static void retry_later(struct pump *p)
{
    if (!wheel_timer_is_running(&p->retry))
        loop_timer_start(p->worker->loop, &p->retry, RETRY_MS);
}

/* file: to go with it, or -1. False: it does not fit now. A dead SIP process takes everything. */
static bool tell(struct pump *p, const struct pump_rec *r, int file)
{
    bool fits = !p->link || pump_link_try(p->link, r, file);

    if (!fits)
        retry_later(p);
    return fits;
}

/* The SIP process must hear of it, as it would wait for ever. */
struct ending {
    uint64_t conn_id; /* CLOSED */
    uint32_t dial_id; /* DIAL_FAILED */
    uint8_t type;     /* enum pump_type */
};

static void tell_ending(struct pump *p, struct ending e)
{
    struct pump_rec r = { .type = e.type, .worker = (uint16_t)p->worker->index, .conn_id = e.conn_id, .dial_id = e.dial_id };

    if (!tell(p, &r, -1))
        buf_add(&p->unsent, &e, sizeof e);
}

static void ask(struct flow *f)
{
    struct pump_rec r = { .type = PUMP_ASK, .worker = (uint16_t)f->pump->worker->index, .conn_id = f->id };

    f->asked = true;
    if (tell(f->pump, &r, -1))
        list_remove(&f->ask_node);
    else if (list_is_empty(&f->ask_node))
        list_append(&f->pump->asking, &f->ask_node);
}

/* ---- flows ---- */

static struct flow *flow_find(struct pump *p, uint64_t id)
{
    for (struct hash_node *n = hash_first(&p->flows, id); n; n = hash_next(n)) {
        struct flow *f = TD_CONTAINER_OF(n, struct flow, by_id);

        if (f->id == id)
            return f;
    }
    return NULL;
}

static void on_flow_timer(struct wheel_timer *t);

static struct flow *flow_new(struct pump *p)
{
    struct flow *f = calloc(1, sizeof *f);

    if (!f)
        return NULL;
    f->pump = p;
    list_init(&f->all_node);
    list_init(&f->wait_node);
    list_init(&f->more_node);
    list_init(&f->ask_node);
    wheel_timer_init(&f->timer, on_flow_timer);
    f->active_ms = loop_now_ms(p->worker->loop);
    return f;
}

static void flow_free(struct flow *f)
{
    struct pump *p = f->pump;

    if (f->id)
        hash_remove(&p->flows, &f->by_id);
    list_remove(&f->all_node);
    list_remove(&f->wait_node);
    list_remove(&f->more_node);
    list_remove(&f->ask_node);
    loop_timer_stop(p->worker->loop, &f->timer);
    free(f);
}

/* When it is taken for dead. */
static uint64_t idle_end(const struct flow *f)
{
    uint64_t pong_ms = wsio_heard_ms(f->client); /* as good as a CRLF: S-WS-08 */
    uint64_t heard_ms = TD_MAX(f->heard_ms, pong_ms), end = TD_MAX(f->active_ms, pong_ms) + (uint64_t)f->pump->limits.idle_ms;

    return f->keep_ms ? TD_MIN(end, heard_ms + f->keep_ms) : end;
}

static void on_flow_timer(struct wheel_timer *t)
{
    struct flow *f = TD_CONTAINER_OF(t, struct flow, timer);
    struct pump *p = f->pump;
    uint64_t now = loop_now_ms(p->worker->loop), idle_at = idle_end(f);
    uint64_t message_at = f->message_ms ? f->message_ms + (uint64_t)p->limits.message_ms : UINT64_MAX;

    if (f->is_ending)
        conn_finish(f->client, CLOSE_PEER);
    else if (now >= message_at)
        conn_close(f->client, CLOSE_HEADER_TIMEOUT);
    else if (now >= idle_at)
        conn_finish(f->client, CLOSE_IDLE);
    else
        loop_timer_start(p->worker->loop, t, TD_MIN(message_at, idle_at) - now);
}

/* ---- legs ---- */

static void await_leg(struct flow *f)
{
    struct pump *p = f->pump;

    conn_pause(f->client, CONN_PAUSE_PUMP);
    if (list_is_empty(&f->wait_node))
        list_append(&p->waiting, &f->wait_node);
    loop_soon(p->worker->loop);
}

static enum pump_kind kind_of(const struct conn *c)
{
    if (c->ws)
        return conn_is_secure(c) ? PUMP_WSS : PUMP_WS;
    return c->tls ? PUMP_TLS : PUMP_TCP;
}

/* A stream socket pair, which costs a fraction of a TCP connection for each message; the SIP process gets the other end
 * with the announcement. False: not now, try again later. */
static bool leg_open(struct flow *f)
{
    struct pump *p = f->pump;
    struct conn *c = f->client;
    struct pump_rec r = { .type = PUMP_ANNOUNCE, .kind = (uint8_t)kind_of(c), .worker = (uint16_t)p->worker->index,
                          .conn_id = f->id, .dial_id = f->dial_id, .peer = c->peer, .local = c->local };
    int ends[2], size = LEG_SNDBUF;
    bool told;

    if (p->link->ports[r.kind][c->peer.sa.sa_family == AF_INET6] == 0) {
        conn_finish(c, CLOSE_NOT_SERVED);
        return true;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
        return false;
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    told = tell(p, &r, ends[1]);
    close(ends[1]);
    if (!told) {
        close(ends[0]);
        return false;
    }
    f->announced = true;
    f->asked = false;
    if (conn_new(&f->leg, p->worker, ends[0], false, &c->peer, &c->local) != TD_OK)
        return false;
    conn_set_inner(f->leg);
    conn_set_proto(f->leg, &leg_proto, p, f);
    f->leg->tx_high = LEG_HIGH;
    f->leg_scanned = 0;
    list_remove(&f->wait_node);
    conn_resume(c, CONN_PAUSE_PUMP);
    return true;
}

static size_t leg_data(struct conn *leg, const char *b, size_t n)
{
    struct flow *f = leg->user;
    size_t taken = 0;

    while (taken < n) {
        long len = sipframe_length(b + taken, n - taken, f->leg_scanned, LEG_MESSAGE_MAX);

        if (len < 0) {
            log_error("pump", f->id, "the SIP process wrote what is not a SIP message");
            conn_close(f->client, CLOSE_SIP_CLOSED);
            return n;
        }
        if (len == 0 || (size_t)len > n - taken) {
            f->leg_scanned = len == 0 ? n - taken : 0;
            return taken;
        }
        f->leg_scanned = 0;
        if (conn_is_full(f->client)) {
            conn_pause(leg, CONN_PAUSE_PUMP);
            return taken;
        }
        wsio_write(f->client, b + taken, (size_t)len);
        if (f->owed && sipframe_is_final(sv_make(b + taken, (size_t)len)) && --f->owed == 0 && f->is_ending) {
            conn_finish(f->client, CLOSE_PEER);
            return n;
        }
        taken += (size_t)len;
        f->active_ms = loop_now_ms(f->pump->worker->loop);
    }
    return taken;
}

static void leg_drained(struct conn *leg)
{
    struct flow *f = leg->user;

    conn_resume(f->client, CONN_PAUSE_PUMP);
}

static void leg_down(struct conn *leg, enum close_reason reason)
{
    struct flow *f = leg->user;

    f->leg = NULL;
    if (!f->client)
        return;
    conn_pause(f->client, CONN_PAUSE_PUMP);
    if (f->pump->link)
        ask(f); /* a process that has just died does not answer: then a new leg comes with the next one */
}

static const struct conn_proto leg_proto = {
    .name = "sip-leg",
    .data = leg_data,
    .drained = leg_drained,
    .down = leg_down,
    .keep_max = LEG_MESSAGE_MAX,
};

/* ---- clients ---- */

static void note_last(struct pump *p, const struct flow *f, struct sv message)
{
    struct sv line = sv_upto(message, sv_find(sv_upto(message, START_LINE_LOG_MAX), '\r'));

    p->last_line_n = line.n;
    memcpy(p->last_line, line.p, line.n);
    p->last_id = f->id;
    p->last_ms = loop_now_ms(p->worker->loop);
}

static void refused(struct flow *f, const char *p, const struct sipframe *frame)
{
    struct buf answer = BUF_INIT;

    stats_inc(&f->pump->worker->stats, STAT_sip_malformed);
    log_debug("pump", f->id, "refused a message: status=%d reason=%s", frame->status,
              frame->reason ? frame->reason : "-");
    if (sipframe_answer(&answer, p, frame) && !buf_failed(&answer))
        wsio_write(f->client, answer.p, answer.n);
    buf_fini(&answer);
}

/* It waits until other flows have had their share. */
static void await_turn(struct flow *f)
{
    conn_pause(f->client, CONN_PAUSE_PUMP);
    if (list_is_empty(&f->more_node))
        list_append(&f->pump->more, &f->more_node);
    loop_soon(f->pump->worker->loop);
}

/* False: its source sends too many, and is closed. */
static bool may_pass(struct flow *f, struct sv message)
{
    bool is_response = sv_starts(message, SV("SIP/2.0 "));

    if (is_response || conn_may_request(f->client)) {
        f->owed += !is_response && !sv_starts(message, SV("ACK "));
        note_last(f->pump, f, message);
        stats_inc(&f->pump->worker->stats, STAT_sip_messages);
        return true;
    }
    conn_close(f->client, CLOSE_LIMIT);
    return false;
}

/* A message of a WebSocket: the leg is a stream, and so it needs the Content-Length that the client may leave out. */
static void pass_message(struct flow *f, const char *b, const struct sipframe *frame)
{
    char length[40];

    if (!may_pass(f, sv_make(b, frame->len)))
        return;
    f->passed += frame->len;
    if (frame->has_length) {
        conn_write(f->leg, b, frame->len);
        return;
    }
    conn_write(f->leg, b, frame->head - 2);
    conn_write(f->leg, length, (size_t)snprintf(length, sizeof length, "Content-Length: %zu\r\n\r\n", frame->len - frame->head));
    conn_write(f->leg, b + frame->head, frame->len - frame->head);
}

/* One message of a WebSocket is one of SIP: S-WS-02. */
static size_t pump_message(struct flow *f, const char *b, size_t n)
{
    struct conn *c = f->client;
    struct sipframe frame;
    size_t skip;

    if (!f->leg || conn_is_full(f->leg) || conn_is_full(c)) {
        conn_pause(c, CONN_PAUSE_PUMP);
        return 0;
    }
    if (f->passed >= TURN_BYTES) {
        f->passed = 0;
        await_turn(f);
        return 0;
    }
    sipframe_message(b, n, &skip, &frame);
    switch (frame.kind) {
    case SIPFRAME_MORE:
    case SIPFRAME_CRLF:
        if (n >= 4)
            wsio_write(c, "\r\n", 2);
        break;
    case SIPFRAME_OK:
        pass_message(f, b + skip, &frame);
        break;
    case SIPFRAME_REFUSE:
        refused(f, b + skip, &frame);
        break;
    case SIPFRAME_BROKEN:
        refused(f, b + skip, &frame);
        conn_finish(c, CLOSE_WS_MESSAGE);
        break;
    }
    return n;
}

static size_t pump_data(struct conn *c, const char *b, size_t n)
{
    struct flow *f = c->user;
    struct pump *p = f->pump;
    size_t taken = 0, passed = 0;
    uint64_t now = loop_now_ms(p->worker->loop);

    f->active_ms = f->heard_ms = now;
    if (c->ws)
        return pump_message(f, b, n);
    while (taken < n) {
        const char *at = b + taken;
        size_t left = n - taken;
        struct sipframe frame;

        if (f->skip) {
            size_t skip = TD_MIN(f->skip, left);

            f->skip -= skip;
            taken += skip;
            continue;
        }
        if (!f->leg || conn_is_full(f->leg) || conn_is_full(c)) {
            conn_pause(c, CONN_PAUSE_PUMP);
            return taken;
        }
        if (passed >= TURN_BYTES) {
            await_turn(f);
            return taken;
        }
        sipframe_read(at, left, f->scanned, &frame);
        f->scanned = 0;
        switch (frame.kind) {
        case SIPFRAME_MORE:
            f->scanned = left;
            goto partial;
        case SIPFRAME_CRLF:
            if (f->last_was_crlf) /* RFC 5626 s.4.4.1: ping, pong */
                conn_write(c, "\r\n", 2);
            f->last_was_crlf = !f->last_was_crlf;
            taken += 2;
            continue;
        case SIPFRAME_OK:
            if (frame.len > left)
                goto partial;
            if (!may_pass(f, sv_make(at, left)))
                return n;
            conn_write(f->leg, at, frame.len);
            taken += frame.len;
            passed += frame.len;
            break;
        case SIPFRAME_REFUSE:
            refused(f, at, &frame);
            taken += TD_MIN(frame.len, left);
            f->skip = frame.len - TD_MIN(frame.len, left);
            break;
        case SIPFRAME_BROKEN:
            refused(f, at, &frame);
            conn_finish(c, CLOSE_FRAMING);
            return n;
        }
        f->last_was_crlf = false;
        f->message_ms = 0;
    }
    f->message_ms = 0;
    return taken;
partial:
    if (!f->message_ms) {
        f->message_ms = now;
        loop_timer_start(p->worker->loop, &f->timer, (uint64_t)p->limits.message_ms);
    }
    return taken;
}

static void pump_client_up(struct conn *c)
{
    struct pump *p = c->proto_ctx;
    struct flow *f = c->user;

    if (!f) {
        f = flow_new(p);
        if (!f) {
            conn_close(c, CLOSE_NO_MEMORY);
            return;
        }
        c->user = f;
        f->client = c;
    }
    f->id = c->id;
    hash_insert(&p->flows, &f->by_id, f->id);
    if (list_is_empty(&f->all_node))
        list_append(&p->all, &f->all_node);
    f->active_ms = loop_now_ms(p->worker->loop);
    loop_timer_start(p->worker->loop, &f->timer, (uint64_t)p->limits.idle_ms);
    stats_inc(&p->worker->stats, STAT_sip_flows);
    await_leg(f);
}

static void pump_drained(struct conn *c)
{
    struct flow *f = c->user;

    if (f->leg) {
        conn_resume(f->leg, CONN_PAUSE_PUMP);
        conn_resume(c, CONN_PAUSE_PUMP); /* it may have been paused as it asked faster than it took answers */
    }
}

/* It may have closed its connection or only said that it is done with asking (RFC 3261 s.18.2.2: the answer goes down the same connection while that is open).
 * An empty line, which means nothing between messages, shows which: one that is closed is reset by it. */
static bool pump_eof(struct conn *c)
{
    struct flow *f = c->user;
    struct pump_rec r = { .type = PUMP_ENDING, .worker = (uint16_t)f->pump->worker->index, .conn_id = f->id };

    if (c->ws || !f->leg || !f->owed || !f->announced || !tell(f->pump, &r, -1))
        return false;
    f->is_ending = true;
    conn_write(c, "\r\n", 2);
    loop_timer_start(f->pump->worker->loop, &f->timer, ENDING_MS);
    return true;
}

static void pump_client_down(struct conn *c, enum close_reason reason)
{
    struct flow *f = c->user;
    struct pump *p;

    if (!f) /* ended before up() could make the flow */
        return;
    p = f->pump;
    f->client = NULL;
    if (!f->id) { /* dialled, and never up */
        tell_ending(p, (struct ending){ .type = PUMP_DIAL_FAILED, .dial_id = f->dial_id });
        flow_free(f);
        return;
    }
    if (f->leg) {
        f->leg->user = f;
        conn_finish(f->leg, CLOSE_DONE);
    }
    if (f->announced)
        tell_ending(p, (struct ending){ .type = PUMP_CLOSED, .conn_id = f->id });
    stats_add(&p->worker->stats, STAT_sip_flows, -1);
    flow_free(f);
}

const struct conn_proto pump_proto = {
    .name = "sip",
    .websocket = true,
    .up = pump_client_up,
    .data = pump_data,
    .drained = pump_drained,
    .eof = pump_eof,
    .down = pump_client_down,
    .keep_max = SIPFRAME_MAX,
};

/* ---- turns ---- */

static void open_waiting(struct pump *p)
{
    for (int i = 0; i < LEGS_PER_TURN && p->link && !list_is_empty(&p->waiting); i++) {
        struct flow *f = list_item(p->waiting.next, struct flow, wait_node);

        if (!leg_open(f)) {
            retry_later(p);
            return;
        }
    }
    if (p->link && !list_is_empty(&p->waiting))
        loop_soon(p->worker->loop);
}

static void on_turn_end(struct loop_hook *h)
{
    struct pump *p = TD_CONTAINER_OF(h, struct pump, hook);

    while (!list_is_empty(&p->more)) {
        struct flow *f = list_item(p->more.next, struct flow, more_node);

        list_remove(&f->more_node);
        if (f->leg)
            conn_resume(f->client, CONN_PAUSE_PUMP);
    }
    if (!wheel_timer_is_running(&p->retry))
        open_waiting(p);
}

static void on_retry(struct wheel_timer *t)
{
    struct pump *p = TD_CONTAINER_OF(t, struct pump, retry);
    struct buf unsent = p->unsent;
    struct list asking = LIST_INIT(asking);

    p->unsent = BUF_INIT;
    for (size_t i = 0; i + sizeof(struct ending) <= unsent.n; i += sizeof(struct ending)) {
        struct ending e;

        memcpy(&e, unsent.p + i, sizeof e);
        tell_ending(p, e);
    }
    buf_fini(&unsent);
    list_splice(&asking, &p->asking);
    while (!list_is_empty(&asking)) {
        struct flow *f = list_item(asking.next, struct flow, ask_node);

        list_remove(&f->ask_node);
        ask(f);
    }
    if (!wheel_timer_is_running(&p->retry))
        open_waiting(p);
}

/* ---- from other threads ---- */

struct letter {
    struct post post;
    struct pump *pump;      /* borrowed */
    struct pump_link *link; /* counted */
    struct pump_rec rec;
};

static void send_letter(struct pump *p, void (*fn)(struct post *), struct pump_link *link, const struct pump_rec *rec)
{
    struct letter *l = calloc(1, sizeof *l);

    if (!l) {
        log_error("pump", 0, "out of memory");
        return;
    }
    l->post.fn = fn;
    l->pump = p;
    l->link = link ? pump_link_ref(link) : NULL;
    if (rec)
        l->rec = *rec;
    mailbox_post(loop_mailbox(p->worker->loop), &l->post);
}

/* All flows lose their legs; the clients wait. */
static void link_lost(struct pump *p)
{
    if (!p->link)
        return;
    pump_link_unref(&p->link);
    buf_clear(&p->unsent);
    list_each(node, &p->all) {
        struct flow *f = list_item(node, struct flow, all_node);

        if (!f->id) /* still dialling */
            continue;
        f->announced = f->asked = false;
        list_remove(&f->ask_node);
        if (f->is_ending) { /* nobody knows any more what it is owed */
            conn_doom(f->client, CLOSE_PEER);
            continue;
        }
        if (f->leg)
            conn_close(f->leg, CLOSE_SIP_CLOSED); /* leg_down(): the client is paused; half a message to it is dropped */
        await_leg(f);
    }
    loop_timer_stop(p->worker->loop, &p->retry);
    if (p->last_line_n) {
        struct buf line = BUF_INIT;

        buf_add_escaped(&line, sv_make(p->last_line, p->last_line_n), START_LINE_LOG_MAX);
        log_warn("pump", p->last_id, "the SIP process has ended; last message of worker %u, %llu ms ago: %s",
                 p->worker->index, (unsigned long long)(loop_now_ms(p->worker->loop) - p->last_ms),
                 line.p ? line.p : "");
        buf_fini(&line);
    }
}

static void on_link(struct post *post)
{
    struct letter *l = TD_CONTAINER_OF(post, struct letter, post);
    struct pump *p = l->pump;

    link_lost(p);
    p->link = l->link; /* the letter's reference */
    free(l);
    loop_soon(p->worker->loop);
}

void pump_link_up(struct pump *p, struct pump_link *link)
{
    send_letter(p, on_link, link, NULL);
}

void pump_link_down(struct pump *p)
{
    send_letter(p, on_link, NULL, NULL);
}

static void dial_out(struct pump *p, const struct pump_rec *r)
{
    struct ending failed = { .type = PUMP_DIAL_FAILED, .dial_id = r->dial_id };
    struct addr literal;
    /* A domain is who its certificate says; addresses are no domains (S-TLS-06). */
    enum tlsio_verify verify = addr_from_host(&literal, sv_of(r->text), 0) ? TLSIO_VERIFY_HOST : TLSIO_VERIFY_SIP;
    struct dial_target to = { .host = r->text, .at = &r->peer, .timeout_ms = p->limits.dial_ms, .tls = r->kind == PUMP_TLS,
                              .verify = verify, .allow = p->limits.may_dial, .allow_arg = p->limits.may_dial_arg };
    struct flow *f = flow_new(p);

    if (!f) {
        tell_ending(p, failed);
        return;
    }
    f->dial_id = r->dial_id;
    list_append(&p->all, &f->all_node);
    if (dial(&f->client, p->worker, &to, &pump_proto, p, f) != TD_OK) {
        flow_free(f);
        tell_ending(p, failed);
    }
}

/* RFC 5626 s.4.4: a client sends its keep-alive before the time is over; half as long again is for slow networks. */
static void keep(struct flow *f, uint32_t seconds)
{
    f->keep_ms = (uint64_t)seconds * 1500;
    f->heard_ms = loop_now_ms(f->pump->worker->loop);
    if (!f->message_ms && !f->is_ending) /* else the timer is set, and sees to both */
        loop_timer_start(f->pump->worker->loop, &f->timer, idle_end(f) - f->heard_ms);
}

static void on_rec(struct post *post)
{
    struct letter *l = TD_CONTAINER_OF(post, struct letter, post);
    struct pump *p = l->pump;
    struct flow *f;

    if (l->rec.type == PUMP_GONE) {
        f = flow_find(p, l->rec.conn_id);
        if (f && (f->leg || f->asked))
            conn_finish(f->client, CLOSE_SIP_CLOSED);
    } else if (l->rec.type == PUMP_KEEP) {
        f = flow_find(p, l->rec.conn_id);
        if (f)
            keep(f, l->rec.seconds);
    } else if (l->rec.type == PUMP_DIAL) {
        dial_out(p, &l->rec);
    }
    free(l);
}

void pump_tell(struct pump *p, const struct pump_rec *rec)
{
    send_letter(p, on_rec, NULL, rec);
}

/* ---- life ---- */

int pump_new(struct pump **out, struct worker *w, const struct pump_limits *limits)
{
    struct pump *p = calloc(1, sizeof *p);
    int err = TD_ENOMEM;

    *out = NULL;
    if (!p)
        return err;
    err = hash_init(&p->flows, 8);
    if (err) {
        free(p);
        return err;
    }
    p->worker = w;
    p->limits = *limits;
    list_init(&p->all);
    list_init(&p->waiting);
    list_init(&p->more);
    list_init(&p->asking);
    wheel_timer_init(&p->retry, on_retry);
    p->hook.run = on_turn_end;
    loop_hook_add(w->loop, &p->hook);
    *out = p;
    return TD_OK;
}

void pump_free(struct pump **pp)
{
    struct pump *p = *pp;

    if (!p)
        return;
    *pp = NULL;
    mailbox_run(loop_mailbox(p->worker->loop));
    while (!list_is_empty(&p->all))
        conn_close(list_item(p->all.next, struct flow, all_node)->client, CLOSE_STOP);
    loop_timer_stop(p->worker->loop, &p->retry);
    loop_hook_remove(&p->hook);
    pump_link_unref(&p->link);
    buf_fini(&p->unsent);
    hash_fini(&p->flows);
    free(p);
}
