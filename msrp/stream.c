/* SENDs that are not written in one go: chunks that are still arriving, and whatever waits for a slow next hop.
 *
 * A chunk is written as a stream of pieces: between its start line and end-line nothing else may stand on the wire (M-FAIR-04), so whoever
 * wants to write in between ends the piece with `+` first, and the chunk goes on under a new transaction identifier with the right
 * Byte-Range (M-FAIR-01). A piece is begun only with CHUNK_MIN octets, or all the rest, in hand (M-CHK-07).
 *
 * Octets go straight into the connection's queue while that has room. When it has none they are kept here, not as frames but as
 * octets, so that whatever else there is to say to that next hop gets in front of them; the queue takes them as it drains, from one stream after the
 * other (M-FAIR-02). A stream whose source has said all of it lives on until it is written. Chunks of one message keep their order (M-CHK-08):
 * one waits for those before it.
 *
 * On a WebSocket a piece is a message, at most WS_CHUNK_MAX octets long, and is written as a whole (M-WS-05): octets are kept until there are
 * enough for it, or until so much is kept for that next hop that shorter ones are the smaller evil. So no piece of it is open in between. */
#include "msrp/stream.h"

#include <stdlib.h>

#include "msrp/emit.h"
#include "msrp/txn.h"

/* Beside the octets it keeps. */
static int64_t stream_bytes(const struct stream *s)
{
    return (int64_t)(sizeof *s + s->f.headers.n + s->f.message_id.n + s->f.body.n);
}

static uint64_t key_of(const struct outgoing *f)
{
    return message_hash(f->message_id) ^ f->route->origin.id;
}

/* The last chunk of that message, from that connection, among what waits; NULL: none does. */
static struct stream *last_waiting(const struct relay *relay, const struct outgoing *f)
{
    for (struct hash_node *n = hash_first(&relay->waiting, key_of(f)); n; n = hash_next(n)) {
        struct stream *s = TD_CONTAINER_OF(n, struct stream, waiting_node);

        if (s->f.route->origin.id == f->route->origin.id && sv_eq(s->f.message_id, f->message_id) &&
            s->f.route->dest.id == f->route->dest.id)
            return s;
    }
    return NULL;
}

static char *add(char *at, struct sv *s)
{
    if (s->n)
        memcpy(at, s->p, s->n);
    s->p = at;
    return at + s->n;
}

static struct stream *stream_new(struct relay *relay, struct msrp_conn *dest, const struct outgoing *f)
{
    struct stream *s = calloc(1, sizeof *s + f->headers.n + f->message_id.n + f->body.n);

    if (!s)
        return NULL;
    s->relay = relay;
    s->dest = dest;
    s->f = *f;
    route_ref(s->f.route);
    add(add(add(s->text, &s->f.headers), &s->f.message_id), &s->f.body);
    if (f->range_value.n)
        s->f.range_value.p = s->text + (f->range_value.p - f->headers.p);
    s->f.method_text = SV("SEND");
    s->f.tid_in = sv_make(NULL, 0);
    s->start = f->range.present ? f->range.start : 1;
    if (relay->waiting.n)
        s->before = last_waiting(relay, f);
    if (s->before)
        s->before->next = s;
    list_init(&s->txns);
    list_init(&s->ready_node);
    list_append(&dest->streams, &s->node);
    relay->worker->held += stream_bytes(s);
    return s;
}

struct stream *stream_begin(struct relay *relay, struct conn *dest, const struct outgoing *f)
{
    struct outgoing begun = *f;
    struct stream *s;

    begun.body = sv_make(NULL, 0);
    begun.flag = '+';
    s = stream_new(relay, msrp_of(dest), &begun);
    if (s)
        s->has_source = true;
    return s;
}

/* ---- what is kept ---- */

static void charge(struct stream *s, size_t n)
{
    s->charged += n;
    s->f.route->ahead += n;
    s->dest->ahead += n;
}

static void discharge(struct stream *s, size_t n)
{
    s->charged -= n;
    s->f.route->ahead -= n;
    s->dest->ahead -= n;
}

/* All of it has come, and not all is written: from now on it is known by its message alone. */
static void begin_waiting(struct stream *s, size_t cost)
{
    struct relay *relay = s->relay;

    charge(s, cost);
    s->waits = true;
    stats_inc(&relay->worker->stats, STAT_msrp_chunks);
    if (s->before) /* the next one comes behind this one */
        hash_remove(&relay->waiting, &s->before->waiting_node);
    hash_insert(&relay->waiting, &s->waiting_node, key_of(&s->f));
}

static void drop_kept(struct stream *s)
{
    if (s->dest)
        discharge(s, s->charged);
    txq_clear(&s->ahead, &s->relay->worker->pool);
    s->hyphen_lines = false;
    list_remove(&s->ready_node);
}

static bool is_on_websocket(const struct stream *s)
{
    return TD_UNLIKELY(s->dest->conn->ws != NULL);
}

/* How much of it makes a piece when there is more to come. */
static size_t piece_min(const struct stream *s)
{
    if (is_on_websocket(s) && s->dest->ahead < s->dest->buffer / 4)
        return WS_CHUNK_MAX + 1; /* so that there is something for the last one */
    return s->open ? 1 : CHUNK_MIN;
}

/* Is there something of it that could be written now? */
static bool is_ready(const struct stream *s)
{
    return s->dest && !s->stopped && !s->before && (s->ended || s->ahead.n >= piece_min(s));
}

static void join(struct stream *s)
{
    if (is_ready(s) && list_is_empty(&s->ready_node))
        list_append(&s->dest->ready, &s->ready_node);
}

/* False: it has failed. */
static bool keep(struct stream *s, const char *p, size_t n, bool hyphen_lines)
{
    struct tx_pool *pool = &s->relay->worker->pool;

    charge(s, n);
    s->hyphen_lines |= hyphen_lines;
    while (n) {
        size_t take = msrp_body_cut(p, n, TX_ROOM_MAX, hyphen_lines);
        char *room = txq_room(&s->ahead, pool, take);

        if (!room) {
            stream_fail(s, 408);
            return false;
        }
        memcpy(room, p, take);
        txq_used(&s->ahead, take);
        p += take;
        n -= take;
    }
    return true;
}

/* ---- pieces ---- */

/* is_watched: its sender is told of its failure, or it is not begun. False: out of memory, or too many have no answer yet. */
static bool piece_open(struct stream *s, bool is_watched)
{
    struct conn *c = s->dest->conn;
    char range_buf[48];
    struct sv range = { 0 };
    struct writer w;
    size_t head = 5 + TID_LEN + 1 + 4 + 2 + s->f.route->out.n + 16 + sizeof range_buf + s->f.headers.n + 2;

    hop_interrupt(s->dest);
    s->txn = is_watched ? txn_new(s->relay, s->dest, &s->f) : NULL;
    if (is_watched && !s->txn)
        return false;
    if (s->txn) {
        list_append(&s->txns, &s->txn->stream_node);
        s->txn->stream = s;
        s->txn->start = s->start + s->octets;
        memcpy(s->tid, s->txn->tid, TID_LEN);
    } else {
        tid_make(s->relay, s->tid);
    }
    if (s->f.range.present || s->octets)
        range = range_text(range_buf, sizeof range_buf, s->start + s->octets, &s->f.range);
    if (writer_begin(&w, c, head)) {
        put_head(&w, s->tid, &s->f, range);
        put(&w, SV("\r\n"));
        writer_end(&w);
    }
    s->open = true;
    s->piece_from = s->octets;
    s->dest->tx_stream = s;
    return true;
}

static void piece_close(struct stream *s, char flag)
{
    struct writer w = { .c = s->dest->conn, .whole = whole_of(s->dest->conn) };

    put_end_line(&w, s->tid, flag, true);
    message_end(s->dest->conn);
    if (s->txn) {
        s->txn->octets = s->octets - s->piece_from;
        s->txn->flag = flag;
        txn_queued(s->txn);
        s->txn = NULL;
    }
    s->open = false;
    s->dest->tx_stream = NULL;
}

void hop_interrupt(struct msrp_conn *dest)
{
    if (dest->tx_stream)
        piece_close(dest->tx_stream, '+');
}

/* borrowed: the octets live until the connection is flushed. */
static void piece_write(struct stream *s, const char *p, size_t n, bool borrowed)
{
    struct writer w = { .c = s->dest->conn, .whole = whole_of(s->dest->conn) };

    if (borrowed && n >= CHUNK_MIN)
        conn_write_ref(s->dest->conn, p, n);
    else
        put(&w, sv_make(p, n));
    s->octets += n;
    hop_count_out(s->relay, s->f.route, s->dest->conn, n, false);
}

/* False: the chunk has failed, and its sender been told. */
static bool piece_begin(struct stream *s)
{
    if (!s->open && !piece_open(s, outgoing_is_answered(&s->f)))
        stream_fail(s, 408);
    return s->open;
}

static void write_checked(struct stream *s, const char *p, size_t n, bool hyphen_lines, bool borrowed)
{
    if (s->stopped || !piece_begin(s))
        return;
    while (hyphen_lines) { /* our identifier must not end the body early (M-FRM-18) */
        size_t at = msrp_body_clash(p, n, sv_make(s->tid, TID_LEN), s->octets == s->piece_from);

        if (at == SIZE_MAX)
            break;
        piece_write(s, p, at, borrowed);
        piece_close(s, '+');
        if (!piece_begin(s))
            return;
        p += at;
        n -= at;
    }
    if (n)
        piece_write(s, p, n, borrowed);
}

/* The first n octets of what is kept, which are at p. */
static void write_kept(struct stream *s, const char *p, size_t n)
{
    write_checked(s, p, n, s->hyphen_lines, false);
    if (s->stopped)
        return;
    txq_drop(&s->ahead, &s->relay->worker->pool, n);
    discharge(s, n);
    if (!s->ahead.n)
        s->hyphen_lines = false;
}

/* The first of what is kept: more than CHUNK_MIN octets if it is not all; for a WebSocket a message, which is for the caller to close. */
static void write_front(struct stream *s)
{
    struct sv front = txq_front(&s->ahead);
    size_t room = WS_CHUNK_MAX;

    if (!is_on_websocket(s)) {
        write_kept(s, front.p, front.n);
        return;
    }
    if (s->open)
        piece_close(s, '+');
    while (!s->stopped && s->ahead.n && room > (s->hyphen_lines ? (size_t)MSRP_END_LINE_MAX : 0)) { /* less is not cut well */
        size_t n;

        front = txq_front(&s->ahead);
        n = msrp_body_cut(front.p, front.n, room, s->hyphen_lines);
        write_kept(s, front.p, n);
        room -= n;
    }
}

/* May more of it be written? Not when its sender's token has ended before his eyes (M-FR-01, M-AUTH-23), or that of the next hop, or its owner has
 * left that connection (M-TOK-05); but what was sent before its sender's connection broke may, wherever he is now. */
static bool goes_on(struct stream *s)
{
    const struct route *r = s->f.route;

    if (!route_leads_on(r) || (r->u1 && session_takes_back(r->u1)))
        stream_fail(s, route_failure(r));
    return stream_dest(s) != NULL;
}

void stream_body(struct stream *s, const char *p, size_t n, bool hyphen_lines)
{
    struct conn *c;

    if (!goes_on(s))
        return;
    c = s->dest->conn;
    if (is_on_websocket(s)) {
        if (keep(s, p, n, hyphen_lines))
            join(s);
        stream_drain(s->dest);
    } else if (!s->open && s->ahead.n + n < CHUNK_MIN) {
        keep(s, p, n, hyphen_lines);
    } else if (s->before || !list_is_empty(&s->dest->ready) || conn_has_queued(c, c->tx_high)) {
        if (keep(s, p, n, hyphen_lines))
            join(s);
    } else {
        if (s->ahead.n)
            write_front(s);
        write_checked(s, p, n, hyphen_lines, true);
    }
}

bool stream_split(struct relay *relay, struct conn *dest, const struct outgoing *f)
{
    struct stream *s = stream_begin(relay, dest, f);

    if (!s)
        return false;
    stream_body(s, f->body.p, f->body.n, f->hyphen_lines);
    stream_end(s, f->flag);
    return true;
}

struct conn *stream_dest(const struct stream *s)
{
    return s->dest && !s->stopped ? s->dest->conn : NULL;
}

bool stream_has_company(const struct stream *s)
{
    return s->node.next != s->node.prev;
}

/* ---- ends ---- */

/* It leaves its place among the chunks of its message: the one behind it may be next. */
static void leave(struct stream *s)
{
    struct hash *waiting = &s->relay->waiting;
    bool is_last = s->waits && !(s->next && s->next->waits);

    if (is_last)
        hash_remove(waiting, &s->waiting_node);
    if (s->before) {
        s->before->next = s->next;
        if (is_last)
            hash_insert(waiting, &s->before->waiting_node, key_of(&s->before->f));
    }
    if (s->next) {
        s->next->before = s->before;
        join(s->next);
    }
    s->before = s->next = NULL;
}

/* It is over as far as the next hop goes. */
static void stop(struct stream *s)
{
    if (s->stopped)
        return;
    s->stopped = true;
    drop_kept(s);
    leave(s);
}

static void stream_free(struct stream *s)
{
    while (!list_is_empty(&s->txns)) {
        list_item(s->txns.next, struct txn, stream_node)->stream = NULL;
        list_remove(s->txns.next);
    }
    s->relay->worker->held -= stream_bytes(s);
    if (s->waits)
        stats_add(&s->relay->worker->stats, STAT_msrp_chunks, -1);
    list_remove(&s->node);
    route_unref(s->relay, &s->f.route);
    free(s);
}

static void free_if_over(struct stream *s)
{
    if (!s->has_source && !stream_dest(s))
        stream_free(s);
}

/* All of it is on the wire, in a piece that is open. False: it has failed. */
static bool write_rest(struct stream *s)
{
    while (stream_dest(s) && s->ahead.n)
        write_front(s);
    return stream_dest(s) && piece_begin(s);
}

static void count_whole(struct stream *s)
{
    hop_count_out(s->relay, s->f.route, s->dest->conn, 0, true);
    s->dest->finish |= s->f.finish;
}

/* The last of it, and its end-line. */
static void finish(struct stream *s)
{
    /* Its last piece, which ended for something else to be written, was all of it, and has said that there is more. */
    bool all_said = !s->open && s->octets && !s->ahead.n && s->f.flag == '+';

    if (!all_said && !write_rest(s))
        return;
    if (s->f.flag != '+' && s->f.fr == MSRP_FR_NO)
        relay_account(s->relay, s->f.route, s->f.message_id, s->start - 1 + s->octets, 0, s->f.started_at);
    if (!all_said)
        piece_close(s, s->f.flag);
    count_whole(s);
    stop(s);
}

void stream_end(struct stream *s, char flag)
{
    s->has_source = false;
    if (stream_dest(s)) {
        if (!s->ended) /* else we have refused it */
            s->f.flag = flag;
        s->ended = true;
        if (s->before || !list_is_empty(&s->ready_node))
            begin_waiting(s, TX_BLOCK_SIZE); /* of its last block most may be empty */
        else
            finish(s);
    }
    free_if_over(s);
}

void stream_abort(struct stream *s)
{
    if (stream_dest(s) && (s->before || !list_is_empty(&s->ready_node)))
        drop_kept(s);
    stream_end(s, '#');
}

bool stream_refuse(struct stream *s, unsigned status)
{
    if (s->told)
        stream_fail(s, status);
    if (stream_dest(s) && (s->before || !list_is_empty(&s->ready_node)))
        drop_kept(s);
    if (!stream_dest(s) || (!s->before && !write_rest(s)))
        return false;
    relay_account(s->relay, s->f.route, s->f.message_id, s->start - 1 + s->octets, status, s->f.started_at);
    list_each(node, &s->txns)
        list_item(node, struct txn, stream_node)->fr = MSRP_FR_NO;
    s->f.fr = MSRP_FR_NO;
    s->ended = true;
    s->f.flag = '#';
    if (!s->before)
        finish(s);
    return true;
}

/* What REPORTs say of octets that a frame without body does not have. */
static uint64_t octets_kept(const struct stream *s)
{
    return s->whole ? s->f.body.n : s->ahead.n;
}

static void report(struct stream *s, uint64_t from, unsigned status)
{
    uint64_t octets = s->whole && !s->f.has_body ? UINT64_MAX : s->octets - from + octets_kept(s);

    if (s->f.fr != MSRP_FR_NO)
        report_failure(s->relay, s->f.route, s->f.message_id, &s->f.range, s->start + from, octets, status, sv_make(NULL, 0));
    relay_account(s->relay, s->f.route, s->f.message_id, s->start - 1 + s->octets + octets_kept(s), status, s->f.started_at);
}

void stream_fail(struct stream *s, unsigned status)
{
    uint64_t from = s->octets;

    if (!stream_dest(s))
        return;
    if (!s->open && s->octets) /* its last piece said that there is more */
        piece_open(s, false);
    if (s->open) {
        from = s->piece_from;
        txn_free(&s->txn); /* whatever the answer to this piece is, the sender knows already */
        piece_close(s, '#');
    }
    report(s, from, status);
    stop(s);
}

/* ---- what waits ---- */

bool stream_is_behind(const struct msrp_conn *dest, const struct outgoing *f)
{
    if (f->method != MSRP_SEND)
        return false;
    if (TD_UNLIKELY(dest->relay->waiting.n) && last_waiting(dest->relay, f))
        return true;
    return f->body.n > CHUNK_MIN && (!list_is_empty(&dest->ready) || conn_has_queued(dest->conn, dest->conn->tx_high));
}

bool stream_wait(struct relay *relay, struct msrp_conn *dest, const struct outgoing *f)
{
    struct stream *s = stream_new(relay, dest, f);

    if (!s)
        return false;
    s->whole = s->ended = true;
    begin_waiting(s, (size_t)stream_bytes(s));
    join(s);
    return true;
}

/* Its turn: a whole frame, or a block of octets. */
static void go_on(struct stream *s)
{
    if (s->whole) {
        if (hop_write(s->relay, s->dest->conn, &s->f, false) == HOP_TAKEN)
            stop(s);
        else
            stream_fail(s, 408);
        return;
    }
    if (s->ahead.n)
        write_front(s);
    if (!stream_dest(s))
        return;
    if (s->ended && !s->ahead.n) {
        finish(s);
        return;
    }
    if (s->open && is_on_websocket(s))
        piece_close(s, '+');
    join(s); /* behind the others */
}

void stream_drain(struct msrp_conn *dest)
{
    struct conn *c = dest->conn;

    while (!list_is_empty(&dest->ready) && !c->doomed && !conn_has_queued(c, c->tx_high)) {
        struct stream *s = list_item(dest->ready.next, struct stream, ready_node);

        list_remove(&s->ready_node);
        if (is_ready(s) && goes_on(s)) /* a piece that was ended may have left too little for another */
            go_on(s);
        free_if_over(s);
    }
}

/* One route may have come in the place of the other. */
static bool is_same_way(const struct route *a, const struct route *b)
{
    return a == b || (a->origin.id == b->origin.id && sv_eq(a->raw.lines, b->raw.lines));
}

void stream_stop_message(struct msrp_conn *dest, const struct stream *refused, struct route *route, struct sv message_id)
{
    recent_put(&route->memory->stopped, message_hash(message_id));
    list_each_safe(node, &dest->streams) {
        struct stream *s = list_item(node, struct stream, node);

        if (s->stopped || !is_same_way(s->f.route, route) || !sv_eq(s->f.message_id, message_id))
            continue;
        if (s != refused && !s->has_source) { /* a chunk that was answered, and of which nobody else will tell */
            stream_fail(s, 413);
        } else {
            if (s->open)
                piece_close(s, '#');
            stop(s);
        }
        free_if_over(s);
    }
}

void stream_session_ended(struct msrp_conn *dest, const struct session *session)
{
    list_each_safe(node, &dest->streams) {
        struct stream *s = list_item(node, struct stream, node);

        if (route_target(s->f.route) == session)
            stream_fail(s, route_failure(s->f.route));
        free_if_over(s);
    }
}

void stream_down(struct msrp_conn *dest, unsigned status)
{
    list_each_safe(node, &dest->streams) {
        struct stream *s = list_item(node, struct stream, node);

        if (s->open && s->txn) {
            s->txn->octets = s->octets - s->piece_from + s->ahead.n;
            s->txn = NULL; /* reported by hop_down(), with the others */
        } else if (!s->stopped) {
            report(s, s->octets, status == 408 ? route_failure(s->f.route) : status);
        }
        stop(s);
        list_remove(&s->node);
        s->dest = NULL;
        s->open = false;
        free_if_over(s);
    }
    dest->tx_stream = NULL;
}
