/* The relay: refusing frames or forwarding them, answering the previous hop (RFC 4976 s.6).
 *
 * The order of checks for a request (M-FWD-*): framing and values, our authority, a live token, direction; then the 200
 * to the previous hop when the chunk is complete, and the frame on its way. */
#include "msrp/relay.h"

#include <stdlib.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/log.h"
#include "msrp/emit.h"
#include "msrp/private.h"
#include "msrp/stream.h"
#include "net/memory.h"
#include "script/script.h"

enum { ROUTE_TABLE_LOG2 = 6, STREAM_TABLE_LOG2 = 4, CHANGED_MS = 400 };

/* ---- answers and deliveries ---- */

void relay_lost(struct relay *relay, struct conn_ref to)
{
    struct conn *c = conn_deref(relay->worker, to);

    stats_inc(&relay->worker->stats, STAT_msrp_dropped);
    if (to.worker != relay->worker->index)
        cross_lost(relay, to);
    else if (c)
        conn_doom(c, CLOSE_NO_MEMORY);
}

void relay_answer(struct conn *c, struct sv tid, unsigned status, struct sv lines, struct sv more)
{
    struct answer a = { .tid = tid, .status = status, .phrase = sv_of(status_phrase(status)), .lines = lines, .more = more };
    struct writer w;

    hop_interrupt(msrp_of(c));
    if (!writer_begin(&w, c, answer_length(&a))) {
        relay_lost(msrp_of(c)->relay, conn_ref(c));
        return;
    }
    put_answer(&w, &a);
    writer_end(&w);
    message_end(c);
}

void relay_deliver(struct relay *relay, struct conn_ref to, struct sv frame)
{
    struct conn *c;

    if (to.worker != relay->worker->index) {
        cross_deliver(relay, to, frame);
        return;
    }
    c = conn_deref(relay->worker, to);
    if (!c) {
        stats_inc(&relay->worker->stats, STAT_msrp_dropped);
        return;
    }
    hop_interrupt(msrp_of(c));
    wsio_write(c, frame.p, frame.n);
}

void relay_undeliverable(struct relay *relay, const struct outgoing *f)
{
    unsigned status = route_failure(f->route);
    uint64_t start = f->range.present ? f->range.start : 1;

    if (f->method == MSRP_SEND) {
        if (f->fr != MSRP_FR_NO)
            report_failure(relay, f->route, f->message_id, &f->range, start, f->has_body ? f->body.n : UINT64_MAX,
                           status, sv_make(NULL, 0));
        relay_account(relay, f->route, f->message_id, start - 1 + f->body.n, status, f->started_at);
    } else if (f->method == MSRP_AUTH) {
        hop_auth_failed(relay, f->route, f->tid_in, 408);
    } /* a REPORT is lost silently (M-FWD-33), as is a method of which only the ends know (M-COD-01) */
    stats_inc(&relay->worker->stats, STAT_msrp_dropped);
}

void relay_account(struct relay *relay, struct route *route, struct sv message_id, uint64_t bytes, unsigned status,
                   uint64_t started_at)
{
    const struct relay_observer *o = relay->shared->observer;
    struct relay_message m;

    if (!o || !o->message || !relay_conf(relay->shared)->accounting.enabled)
        return;
    m = (struct relay_message){
        .session = route->u1,
        .from_uri = route->from_uri,
        .to_uri = route->to_uri,
        .message_id = message_id,
        .bytes = bytes,
        .status = status,
        .started_at = started_at,
        .finished_at = loop_unix_s(relay->worker->loop),
    };
    if (status_is_good(status) ? recent_is_empty(&route->memory->failed) || !recent_has(&route->memory->failed, message_hash(message_id))
                               : recent_put(&route->memory->failed, message_hash(message_id)))
        o->message(relay->worker, &m);
}

/* Path lines for an answer to a frame that has no route: From-Path is To-Path[0]; To-Path is From-Path[0], or all of it
 * for other methods than SEND. What a malformed request has in its paths is not written into a header of ours. */
struct sv relay_answer_lines(struct buf *b, const struct msrp_head *h)
{
    struct sv to = h->to_path, from = h->from_path, to0, from0;

    if (!msrp_path_next(&to, &to0) || !msrp_path_next(&from, &from0) || !sv_is_line(to0) || !sv_is_line(h->from_path))
        return sv_make(NULL, 0);
    buf_puts(b, "To-Path: ");
    buf_add_sv(b, from0);
    while (h->method != MSRP_SEND && msrp_path_next(&from, &from0)) {
        if (from0.n) { /* a path that is refused may have blanks to spare; ours have not */
            buf_puts(b, " ");
            buf_add_sv(b, from0);
        }
    }
    buf_puts(b, "\r\nFrom-Path: ");
    buf_add_sv(b, to0);
    buf_puts(b, "\r\n");
    return buf_failed(b) ? sv_make(NULL, 0) : buf_sv(b);
}

void relay_refuse(struct conn *c, const struct msrp_head *h, unsigned status)
{
    struct buf b = BUF_INIT;
    struct sv lines;

    stats_inc(&c->worker->stats, STAT_msrp_refused);
    if (!msrp_of(c)->proven)
        msrp_of(c)->refusals++;
    if (h->method == MSRP_REPORT || (h->method == MSRP_SEND && h->failure_report == MSRP_FR_NO))
        return;
    lines = relay_answer_lines(&b, h);
    if (lines.n)
        relay_answer(c, h->tid, status, lines, sv_make(NULL, 0));
    else if (buf_failed(&b))
        relay_lost(msrp_of(c)->relay, conn_ref(c));
    buf_fini(&b);
}

void relay_proven(struct msrp_conn *m)
{
    if (m->proven)
        return;
    m->proven = true;
    loop_timer_start(m->relay->worker->loop, &m->timer, (uint64_t)relay_conf(m->relay->shared)->msrp.idle_timeout * 1000);
}

void relay_count(struct relay *relay, struct session *s, bool in, bool frame, size_t octets)
{
    uint64_t *frames = in ? &s->frames_in : &s->frames_out, *bytes = in ? &s->bytes_in : &s->bytes_out;

    if (s->by_relay) {
        __atomic_add_fetch(frames, frame, __ATOMIC_RELAXED);
        __atomic_add_fetch(bytes, octets, __ATOMIC_RELAXED);
    } else { /* one worker writes */
        __atomic_store_n(frames, *frames + frame, __ATOMIC_RELAXED);
        __atomic_store_n(bytes, *bytes + octets, __ATOMIC_RELAXED);
    }
    relay_session_changed(relay, s);
}

static void on_changed(struct post *p)
{
    struct session *s = TD_CONTAINER_OF(p, struct session, changed);

    if (session_is_active(s))
        relay_session_changed(s->on_end_arg, s);
    session_unref(&s);
}

/* The session lives on another worker. */
static void tell_changed(struct relay *relay, struct session *s)
{
    struct loop *loop = relay->shared->relays[s->owner.worker]->worker->loop;

    if (__atomic_load_n(&s->changed_told, __ATOMIC_RELAXED) ||
        __atomic_exchange_n(&s->changed_told, 1, __ATOMIC_ACQ_REL))
        return;
    session_ref(s);
    s->changed.fn = on_changed;
    mailbox_post(loop_mailbox(loop), &s->changed);
}

void relay_session_changed(struct relay *relay, struct session *s)
{
    __atomic_store_n(&s->last_activity_at, loop_unix_s(relay->worker->loop), __ATOMIC_RELAXED);
    if (s->owner.worker != relay->worker->index) {
        tell_changed(relay, s);
        return;
    }
    if (!list_is_empty(&s->changed_node) || !session_is_active(s))
        return;
    list_append(&relay->changed, &s->changed_node);
    if (!wheel_timer_is_running(&relay->changed_timer))
        loop_timer_start(relay->worker->loop, &relay->changed_timer, CHANGED_MS);
}

static void on_changed_timer(struct wheel_timer *t)
{
    struct relay *relay = TD_CONTAINER_OF(t, struct relay, changed_timer);
    const struct relay_observer *o = relay->shared->observer;

    while (!list_is_empty(&relay->changed)) {
        struct session *s = list_item(relay->changed.next, struct session, changed_node);

        list_remove(&s->changed_node);
        __atomic_store_n(&s->changed_told, 0, __ATOMIC_RELEASE); /* what comes from here on is told anew */
        if (o && o->session_used)
            o->session_used(relay->worker, s);
    }
}

/* ---- one request ---- */

static void fill_outgoing(struct outgoing *f, struct route *route, const struct msrp_head *h, const struct msrp_conn *m)
{
    *f = (struct outgoing){
        .route = route,
        .method = h->method,
        .method_text = h->method_text,
        .tid_in = h->tid,
        .fr = h->failure_report,
        .message_id = h->message_id,
        .range = h->range,
        .headers = h->headers,
        .range_value = h->byte_range,
        .has_body = h->has_body,
        .credentials = h->authorization.n > 0,
        .flag = h->flag,
        .finish = m->finish_hop,
        .started_at = loop_unix_s(m->relay->worker->loop),
    };
    /* A Byte-Range before the paths is not among the headers kept; such a frame was refused. */
}

/* Is the next hop able to take more? If not, the source waits for it, or is told that it never will be. */
static enum flow_room has_room(struct msrp_conn *m, struct route *route)
{
    struct conn *dest;
    enum flow_room room;

    if (route->dest.worker != m->relay->worker->index)
        return FLOW_ROOM; /* cross.c says */
    dest = conn_deref(m->relay->worker, route->dest);
    room = dest ? flow_room(msrp_of(dest), route, m->shared) : FLOW_ROOM;
    if (room == FLOW_LATER)
        flow_wait(msrp_of(dest), route, m->shared);
    return room;
}

/* A whole frame goes to its next hop. False: no room, the source is paused, try again. *gone: it has ended, or never:
 * it is too slow. */
static bool forward(struct msrp_conn *m, const struct outgoing *f, bool never, bool *gone)
{
    struct relay *relay = m->relay;
    struct conn *dest;

    *gone = never;
    if (never)
        return true;
    if (f->route->dest.worker != relay->worker->index)
        return cross_frame(relay, m, f);
    dest = conn_deref(relay->worker, f->route->dest);
    *gone = !dest || hop_frame(relay, dest, f) == HOP_GONE;
    return true;
}

/* The request is taken; wanted: its sender is to be told, unless a script knows better. */
static void answer_ok(struct msrp_conn *m, struct sv tid, const struct route *route, bool wanted)
{
    if (TD_UNLIKELY(script_is_in_charge(m)))
        script_done(m);
    else if (wanted)
        relay_answer(m->conn, tid, 200, route->answer, sv_make(NULL, 0));
}

static void count_in(struct msrp_conn *m, const struct route *route, size_t octets, bool frame)
{
    if (route->outward && route->u1)
        relay_count(m->relay, route->u1, true, frame, octets);
}

/* Skip the rest of a frame that was refused or is dropped. */
void relay_skip_body(struct msrp_conn *m, const struct msrp_head *h)
{
    if (!h->has_body)
        return;
    m->rx = RX_SKIP;
    m->rx_tid_n = (uint8_t)h->tid.n;
    memcpy(m->rx_tid, h->tid.p, h->tid.n);
    m->rx_at_start = true;
}

/* Our own policy ends this message here: its sender is told at once, the rest of the chunk is read over (M-FWD-22), and
 * what was refused for its size stays refused. */
static void refuse_message(struct msrp_conn *m, const struct msrp_head *h, struct route *route, unsigned status)
{
    log_debug("msrp", m->conn->id, "not forwarded: status=%u reason=%s", status,
              status == 413 ? "larger than msrp.max_message, or refused with 413 before" : status == 415 ? "no type of msrp.accept_types" : "no method of msrp.methods");
    relay_refuse(m->conn, h, status);
    relay_skip_body(m, h);
    if (h->method != MSRP_SEND)
        return;
    if (status == 413)
        recent_put(&route->memory->stopped, message_hash(h->message_id));
    relay_account(m->relay, route, h->message_id, h->range.present ? h->range.start - 1 : 0, status,
                  loop_unix_s(m->relay->worker->loop));
}

/* Begin a chunk that arrives in pieces. False: no room, try again. never: its next hop is too slow for it. */
static bool begin_stream(struct msrp_conn *m, const struct msrp_head *h, const struct outgoing *f, bool never)
{
    struct relay *relay = m->relay;

    m->rx_stream = NULL;
    m->rx_stream_id = 0;
    if (f->route->dest.worker != relay->worker->index) {
        uint64_t id = ++relay->next_stream | (uint64_t)relay->worker->index << 48;

        if (!m->rx_note)
            m->rx_note = cross_note_new();
        if (!m->rx_note) {
            relay_undeliverable(relay, f);
        } else {
            if (!cross_stream_begin(relay, m, f, id))
                return false;
            m->rx_stream_id = id;
            m->rx_stream_worker = f->route->dest.worker;
            m->conn->one_read = 1; /* who else sends there is not known here */
        }
    } else {
        struct conn *dest = conn_deref(relay->worker, f->route->dest);

        if (dest && !never)
            m->rx_stream = stream_begin(relay, dest, f);
        if (!m->rx_stream)
            relay_undeliverable(relay, f);
    }
    stats_add(&relay->worker->stats, STAT_msrp_chunks, 1);
    m->rx = RX_STREAM;
    m->rx_route = route_ref(f->route);
    m->rx_tid_n = (uint8_t)h->tid.n;
    memcpy(m->rx_tid, h->tid.p, h->tid.n);
    m->rx_at_start = true;
    m->rx_fr = h->failure_report;
    m->rx_message = message_hash(h->message_id);
    m->rx_pos = f->range.present ? f->range.start - 1 : 0;
    return true;
}

/* Pass on body octets of the chunk that streams; how many were taken. */
static size_t pass_octets(struct msrp_conn *m, const char *p, size_t n, bool hyphen_lines)
{
    size_t taken = 0;

    if (m->rx_refused)
        return n;
    if (m->rx_stream) {
        stream_body(m->rx_stream, p, n, hyphen_lines);
        taken = n;
    } else if (m->rx_stream_id) {
        while (taken < n) {
            size_t piece = msrp_body_cut(p + taken, n - taken, CROSS_BODY_MAX, hyphen_lines);

            if (!cross_stream_body(m->relay, m, m->rx_stream_worker, m->rx_stream_id, p + taken, piece, hyphen_lines))
                break;
            taken += piece;
        }
    } else {
        taken = n; /* the next hop is gone and its sender knows */
    }
    m->rx_pos += taken;
    count_in(m, m->rx_route, taken, false);
    return taken;
}

static void end_stream(struct msrp_conn *m, char flag)
{
    if (m->rx_stream && flag == CHUNK_ABORTED)
        stream_abort(m->rx_stream);
    else if (m->rx_stream)
        stream_end(m->rx_stream, flag);
    else if (m->rx_stream_id)
        cross_stream_end(m->relay, m, flag);
    m->rx_stream = NULL;
    m->rx_stream_id = 0;
    m->rx_refused = 0;
    m->conn->one_read = 0;
    m->rx = RX_HEAD;
    stats_add(&m->relay->worker->stats, STAT_msrp_chunks, -1);
}

/* Do n octets more make the message too large? Not if its sender has heard of a failure already (M-FR-02). */
static bool is_too_large(const struct msrp_conn *m, size_t n)
{
    bool failed = m->rx_stream ? !stream_dest(m->rx_stream) : !m->rx_stream_id || m->rx_refused;

    return !failed && !policy_allows_octet(relay_conf(m->relay->shared), m->rx_pos + n);
}

/* The chunk that streams has grown too large (M-FWD-15): it ends downstream with #, and what else comes of it is read
 * over. Whether its sender is told by a response, the worker of its next hop knows (M-FR-02). */
static void stop_stream(struct msrp_conn *m)
{
    stats_inc(&m->relay->worker->stats, STAT_msrp_refused);
    recent_put(&m->rx_route->memory->stopped, m->rx_message);
    if (!m->rx_stream) {
        m->rx_refused = 413;
        cross_stream_refuse(m->relay, m);
        script_overruled(m);
    } else if (stream_refuse(m->rx_stream, 413)) {
        if (m->rx_fr != MSRP_FR_NO)
            relay_answer(m->conn, sv_make(m->rx_tid, m->rx_tid_n), 413, m->rx_route->answer, sv_make(NULL, 0));
        relay_abort_chunk(m);
        m->rx = RX_SKIP;
        script_overruled(m);
    }
}

void relay_abort_chunk(struct msrp_conn *m)
{
    end_stream(m, CHUNK_ABORTED);
    route_unref(m->relay, &m->rx_route);
}

/* Is there no memory for bulk (M-FLOW-04)? Then the source is not read until there is. */
static bool must_wait(struct msrp_conn *m)
{
    if (TD_LIKELY(!m->conn->worker->crowded))
        return false;
    memory_wait(m->conn);
    return true;
}

size_t relay_more_body(struct msrp_conn *m, const char *p, size_t n)
{
    struct msrp_body b = msrp_body_scan(p, n, sv_make(m->rx_tid, m->rx_tid_n), m->rx_at_start);

    if (m->rx == RX_SKIP) {
        if (b.used)
            m->rx_at_start = false;
        if (b.ended) {
            m->rx = RX_HEAD;
            if (TD_UNLIKELY(script_is_in_charge(m)))
                script_done(m);
        }
        return b.used;
    }
    if (b.n && is_too_large(m, b.n)) {
        stop_stream(m);
        return relay_more_body(m, p, n);
    }
    if (must_wait(m))
        return 0;
    if (m->rx_stream && stream_dest(m->rx_stream)) {
        m->conn->one_read = stream_has_company(m->rx_stream); /* they take turns (M-FAIR-02) */
        switch (has_room(m, m->rx_route)) {
        case FLOW_ROOM:
            break;
        case FLOW_LATER:
            return 0;
        case FLOW_NEVER:
            stream_fail(m->rx_stream, 408);
            stats_inc(&m->relay->worker->stats, STAT_msrp_too_slow);
            break;
        }
    }
    if (b.n) {
        size_t taken = pass_octets(m, p, b.n, b.hyphen_lines);

        if (taken)
            m->rx_at_start = false;
        if (taken < b.n)
            return taken;
    }
    if (b.ended) {
        struct route *route = m->rx_route;
        bool is_refused = m->rx_refused;

        end_stream(m, b.flag);
        m->rx_route = NULL;
        if (!is_refused) {
            count_in(m, route, 0, true);
            answer_ok(m, sv_make(m->rx_tid, m->rx_tid_n), route, m->rx_fr == MSRP_FR_YES);
        }
        route_unref(m->relay, &route);
    }
    return b.used;
}

bool relay_not_for_us(struct msrp_conn *m, const struct msrp_head *h)
{
    if (!route_is_relay_link(m->conn, h->from_path)) {
        conn_close(m->conn, CLOSE_NOT_FOR_US);
        return true;
    }
    stats_inc(&m->relay->worker->stats, STAT_msrp_refused);
    if (h->method == MSRP_SEND && h->failure_report == MSRP_FR_YES)
        report_refusal(m->relay, m->conn, h, 481, SV(""));
    relay_skip_body(m, h);
    return false;
}

size_t relay_go(struct msrp_conn *m, const struct msrp_head *h, const char *p, size_t n, struct route *route)
{
    struct relay *relay = m->relay;
    struct msrp_body b = { .ended = true };
    struct outgoing f;
    unsigned status;
    enum flow_room room;
    bool gone;

    status = policy_of_frame(relay_conf(relay->shared), &route->memory->stopped, h, 0);
    if (status != 200) {
        refuse_message(m, h, route, status);
        return h->n;
    }
    room = has_room(m, route);
    if (room == FLOW_LATER)
        return 0;
    if (h->method != MSRP_SEND)
        room = FLOW_ROOM; /* small, and nobody could be told */
    fill_outgoing(&f, route, h, m);
    if (h->has_body) {
        b = msrp_body_scan(p + h->n, n - h->n, h->tid, true);
        if (h->method == MSRP_SEND &&
            !policy_allows_octet(relay_conf(relay->shared), (h->range.present ? h->range.start - 1 : 0) + b.n)) {
            refuse_message(m, h, route, 413);
            return h->n;
        }
        if (!b.ended || (route->dest.worker != relay->worker->index && b.n > CROSS_BODY_MAX)) {
            if (b.n < CHUNK_MIN || (h->range.end_known && h->range.end - (h->range.start - 1) <= CHUNK_MIN && b.n <= CHUNK_MIN))
                return 0;
            if (must_wait(m) || !begin_stream(m, h, &f, room == FLOW_NEVER))
                return 0;
            if (room == FLOW_NEVER)
                stats_inc(&relay->worker->stats, STAT_msrp_too_slow);
            relay_proven(m);
            return h->n;
        }
        f.body = sv_make(p + h->n, b.n);
        f.hyphen_lines = b.hyphen_lines;
        f.flag = b.flag;
    }
    if (!forward(m, &f, room == FLOW_NEVER, &gone))
        return 0;
    if (room == FLOW_NEVER)
        stats_inc(&relay->worker->stats, STAT_msrp_too_slow);
    relay_proven(m);
    count_in(m, route, b.n, true);
    answer_ok(m, h->tid, route, h->method == MSRP_SEND && h->failure_report == MSRP_FR_YES);
    if (gone)
        relay_undeliverable(relay, &f); /* the REPORT comes after the 200 */
    return h->n + b.used;
}

/* A SEND is taken here, without a route; if it fails, that comes as a REPORT, as 408 is no response (M-COD-01). */
static void take(struct msrp_conn *m, const struct msrp_head *h, bool fails)
{
    struct buf lines = BUF_INIT;

    if (h->failure_report == MSRP_FR_YES && relay_answer_lines(&lines, h).n)
        relay_answer(m->conn, h->tid, 200, buf_sv(&lines), sv_make(NULL, 0));
    if (buf_failed(&lines))
        relay_lost(m->relay, conn_ref(m->conn));
    buf_fini(&lines);
    if (fails && h->failure_report != MSRP_FR_NO)
        report_refusal(m->relay, m->conn, h, 408, SV(""));
}

size_t relay_request(struct msrp_conn *m, const struct msrp_head *h, const char *p, size_t n)
{
    unsigned status = 0;
    struct route *route = route_of(m->relay, m->conn, h, sv_make(p + h->n, n - h->n), &status);

    if (route)
        return relay_go(m, h, p, n, route);
    if (status == ROUTE_WAITS)
        return 0;
    if (status == 0)
        return relay_not_for_us(m, h) ? n : h->n;
    if (status == 408 && h->method == MSRP_SEND)
        take(m, h, true);
    else if (status == 408 && h->method != MSRP_AUTH)
        stats_inc(&m->relay->worker->stats, STAT_msrp_dropped);
    else
        relay_refuse(m->conn, h, status);
    relay_skip_body(m, h);
    return h->n;
}

bool relay_to_us(struct msrp_conn *m, const struct msrp_head *h)
{
    struct msrp_uri to[MSRP_PATH_MAX], from[MSRP_PATH_MAX];
    size_t n_to = msrp_path_parse(h->to_path, to, MSRP_PATH_MAX), n_from = msrp_path_parse(h->from_path, from, MSRP_PATH_MAX);
    struct session *s;
    bool live, owner, away;

    if (n_to != 1)
        return false;
    if (n_from == 0 || !msrp_path_has_ports(from, n_from)) { /* M-DNS-02 */
        log_debug("msrp", m->conn->id, "bad request: reason=what is no URI in From-Path, or has no port");
        relay_refuse(m->conn, h, 400);
        relay_skip_body(m, h);
        return true;
    }
    if (!relay_is_us(m->relay, m->conn, &to[0], h->method == MSRP_AUTH)) {
        relay_not_for_us(m, h);
        return true;
    }
    if (h->method == MSRP_AUTH) {
        relay_skip_body(m, h);
        relay_auth(m, h, to, from, n_from);
        return true;
    }
    s = to[0].session.n ? session_find(m->relay->shared->sessions, to[0].session) : NULL;
    live = s && msrp_uri_eq(&s->uri, &to[0]);
    away = live && !session_is_active(s);
    owner = live && !away && session_is_owner(s, m->conn);
    session_unref(&s);
    if (h->method == MSRP_SEND && (away || (owner && !h->has_body))) { /* keep-alive */
        if (owner)
            relay_proven(m);
        take(m, h, away);
        relay_skip_body(m, h);
        return true;
    }
    log_debug("msrp", m->conn->id, "not taken: reason=%s", !live ? "no such token" : "what goes no farther than here and is no keep-alive of its owner");
    relay_refuse(m->conn, h, live && h->method == MSRP_OTHER_METHOD ? 501 : 481);
    relay_skip_body(m, h);
    return true;
}

/* ---- making and ending ---- */

void relay_drain(struct relay *r)
{
    r->draining = true;
}

static void on_turn_end(struct loop_hook *h)
{
    struct relay *relay = TD_CONTAINER_OF(h, struct relay, hook);

    if (TD_UNLIKELY(relay->worker->crowded) && !list_is_empty(&relay->remembered))
        route_trim(relay);
}

int relay_new(struct relay **out, struct relay_shared *shared, struct worker *w, struct authn *authn)
{
    struct relay *r = calloc(1, sizeof *r);
    int err = TD_ENOMEM;

    *out = NULL;
    if (!r)
        return err;
    r->shared = shared;
    r->worker = w;
    r->authn = authn;
    r->free_txn = UINT32_MAX;
    r->hook.run = on_turn_end;
    list_init(&r->hook.node);
    list_init(&r->sessions);
    list_init(&r->changed);
    list_init(&r->remembered);
    wheel_timer_init(&r->changed_timer, on_changed_timer);
    if (hash_init(&r->routes, ROUTE_TABLE_LOG2) || hash_init(&r->streams, STREAM_TABLE_LOG2) ||
        hash_init(&r->waiting, STREAM_TABLE_LOG2))
        goto out;
    err = cross_new(&r->cross, r, shared->n_relays);
    if (err)
        goto out;
    loop_hook_add(w->loop, &r->hook);
    shared->relays[w->index] = r;
    w->protos[PROTO_MSRP] = (struct proto_slot){ &msrp_proto, r };
    *out = r;
    return TD_OK;
out:
    relay_free(&r);
    return err;
}

void relay_stop(struct relay *r)
{
    r->stopped = true;
    while (!list_is_empty(&r->sessions))
        session_end(list_item(r->sessions.next, struct session, conn_node), SESSION_CLOSED);
}

void relay_free(struct relay **rp)
{
    struct relay *r = *rp;

    if (!r)
        return;
    *rp = NULL;
    script_free(&r->script);
    buf_fini(&r->spare);
    buf_fini(&r->whole);
    cross_free(&r->cross);
    txn_pool_free(r);
    hash_fini(&r->routes);
    hash_fini(&r->streams);
    hash_fini(&r->waiting);
    free(r);
}
