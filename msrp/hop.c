/* The next hop: writing requests to a connection, chunk by chunk, and matching the responses.
 *
 * Whole frames are written in one go. A chunk that is still arriving is written as a stream of pieces: between its
 * start line and end-line nothing else may stand on the wire (M-FAIR-04), so whoever wants to write in between ends the
 * piece with `+` first, and the chunk goes on under a new transaction identifier with the right Byte-Range (M-FAIR-01). A piece is
 * begun only with CHUNK_MIN octets, or all the rest, in hand (M-CHK-07). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "msrp/private.h"
#include "msrp/txn.h"

struct stream {
    struct list node;          /* dest->streams */
    struct relay *relay;       /* back */
    struct msrp_conn *dest;    /* back; NULL: the next hop has ended */
    struct outgoing f;         /* route is an owned reference; headers and message_id point into text */
    uint64_t start;            /* position of the chunk's first octet */
    uint64_t octets;           /* written so far */
    uint64_t piece_from;       /* octets when the open piece began */
    bool open;                 /* a piece is on the wire */
    bool stopped;              /* no more of it goes on: the next hop wants none, or we let none pass */
    bool told;                 /* its sender has had a REPORT of a failure */
    struct txn *txn;           /* of that piece; NULL: nobody wants to know */
    struct list txns;          /* of all its pieces, by stream_node */
    char tid[TID_LEN];         /* of that piece */
    struct buf pending;        /* fewer than CHUNK_MIN octets that wait for more */
    char text[];
};

/* Writes into a room that was made, or, when the frame is large, through the queue. */
struct writer {
    struct conn *c;
    char *room, *at; /* NULL: through the queue */
};

static void put(struct writer *w, struct sv s)
{
    if (!w->at) {
        conn_write(w->c, s.p, s.n);
    } else if (s.n) {
        memcpy(w->at, s.p, s.n);
        w->at += s.n;
    }
}

static bool writer_begin(struct writer *w, struct conn *c, size_t n)
{
    w->c = c;
    w->room = w->at = NULL;
    if (n <= TX_ROOM_MAX) {
        w->room = w->at = conn_write_room(c, n);
        return w->room != NULL;
    }
    return !c->ended;
}

static void writer_end(struct writer *w)
{
    if (w->room)
        conn_wrote(w->c, (size_t)(w->at - w->room));
}

/* The CRLF in front belongs to the framing of a body; without one the last header's has been written. */
static void put_end_line(struct writer *w, const char *tid, char flag, bool after_body)
{
    char line[9 + TID_LEN + 3] = "\r\n-------";

    memcpy(line + 9, tid, TID_LEN);
    line[9 + TID_LEN] = flag;
    line[9 + TID_LEN + 1] = '\r';
    line[9 + TID_LEN + 2] = '\n';
    put(w, sv_from(sv_make(line, sizeof line), after_body ? 0 : 2));
}

/* Start line, paths, headers; with range its text replaces the value of Byte-Range or is put first. */
static void put_head(struct writer *w, const char *tid, const struct outgoing *f, struct sv range)
{
    put(w, SV("MSRP "));
    put(w, sv_make(tid, TID_LEN));
    put(w, SV(" "));
    put(w, f->method_text);
    put(w, SV("\r\n"));
    put(w, f->route->out);
    if (!range.n) {
        put(w, f->headers);
    } else if (f->range_value.n) {
        put(w, sv_make(f->headers.p, (size_t)(f->range_value.p - f->headers.p)));
        put(w, range);
        put(w, sv_from(f->headers, (size_t)(f->range_value.p - f->headers.p) + f->range_value.n));
    } else {
        put(w, SV("Byte-Range: "));
        put(w, range);
        put(w, SV("\r\n"));
        put(w, f->headers);
    }
}

static struct sv range_text(char *out, size_t size, uint64_t start, const struct msrp_range *r)
{
    int n = r->total_known ? snprintf(out, size, "%" PRIu64 "-*/%" PRIu64, start, r->total) : snprintf(out, size, "%" PRIu64 "-*/*", start);

    return sv_make(out, (size_t)n);
}

/* ---- whole frames ---- */

static bool is_answered(const struct outgoing *f)
{
    return f->method == MSRP_SEND ? f->fr != MSRP_FR_NO : f->method != MSRP_REPORT;
}

static void count_out(struct relay *relay, const struct route *route, const struct conn *dest, size_t octets, bool whole)
{
    struct session *s = route_target(route);

    if (whole)
        stats_inc(&relay->worker->stats, STAT_msrp_forwarded);
    stats_add(&relay->worker->stats, STAT_msrp_bytes, (int64_t)octets);
    if (s && (s->by_relay || s->owner.id == dest->id))
        relay_count(relay, s, false, whole, octets);
}

enum hop_result hop_frame(struct relay *relay, struct conn *dest, const struct outgoing *f)
{
    struct msrp_conn *m = msrp_of(dest);
    char tid_buf[TID_LEN], range_buf[48];
    const char *tid = tid_buf;
    struct txn *txn = NULL;
    struct sv range = { 0 };
    struct writer w;
    size_t head, inline_body = 0; /* of the body, what is copied behind the head */

    hop_interrupt(m);
    if (is_answered(f)) {
        txn = txn_new(relay, m, f);
        if (!txn)
            return HOP_GONE;
        while (f->hyphen_lines && msrp_body_clash(f->body.p, f->body.n, sv_make(txn->tid, TID_LEN), true) != SIZE_MAX)
            txn_redraw(txn);
        tid = txn->tid;
    } else {
        do
            tid_make(relay, tid_buf);
        while (f->hyphen_lines && msrp_body_clash(f->body.p, f->body.n, sv_make(tid_buf, TID_LEN), true) != SIZE_MAX);
    }
    if (f->body.n > CHUNK_MIN && f->method == MSRP_SEND && f->range.end_known) /* M-CHK-05 */
        range = range_text(range_buf, sizeof range_buf, f->range.start, &f->range);

    head = 5 + TID_LEN + 1 + f->method_text.n + 2 + f->route->out.n + f->headers.n + sizeof range_buf + 2 + 9 + TID_LEN + 3;
    if (head + f->body.n <= TX_ROOM_MAX && f->body.n <= 4096)
        inline_body = f->body.n;
    if (!writer_begin(&w, dest, head + inline_body)) {
        txn_free(&txn);
        return HOP_GONE;
    }
    put_head(&w, tid, f, range);
    if (f->has_body)
        put(&w, SV("\r\n"));
    if (inline_body == f->body.n) {
        put(&w, f->body);
    } else {
        writer_end(&w);
        conn_write_ref(dest, f->body.p, f->body.n);
        w.room = w.at = NULL;
    }
    put_end_line(&w, tid, f->flag, f->has_body);
    writer_end(&w);
    if (txn)
        txn_queued(txn);
    count_out(relay, f->route, dest, f->body.n, true);
    if (!txn && f->method == MSRP_SEND && f->flag != '+')
        relay_account(relay, f->route, f->message_id, (f->range.present ? f->range.start - 1 : 0) + f->body.n, 0, f->started_at);
    m->finish |= f->finish;
    return HOP_TAKEN;
}

/* ---- chunks in pieces ---- */

static int64_t stream_bytes(const struct stream *s)
{
    return (int64_t)(sizeof *s + s->f.headers.n + s->f.message_id.n + CHUNK_MIN);
}

struct stream *hop_stream_begin(struct relay *relay, struct conn *dest, const struct outgoing *f)
{
    struct msrp_conn *m = msrp_of(dest);
    struct stream *s = calloc(1, sizeof *s + f->headers.n + f->message_id.n);

    if (!s)
        return NULL;
    s->relay = relay;
    s->dest = m;
    s->f = *f;
    route_ref(s->f.route);
    memcpy(s->text, f->headers.p, f->headers.n);
    s->f.headers.p = s->text;
    if (f->range_value.n)
        s->f.range_value.p = s->text + (f->range_value.p - f->headers.p);
    memcpy(s->text + f->headers.n, f->message_id.p, f->message_id.n);
    s->f.message_id.p = s->text + f->headers.n;
    s->f.method_text = SV("SEND");
    s->f.tid_in = sv_make(NULL, 0);
    s->f.body = sv_make(NULL, 0);
    s->f.flag = '+';
    s->start = f->range.present ? f->range.start : 1;
    list_init(&s->txns);
    list_append(&m->streams, &s->node);
    relay->worker->held += stream_bytes(s);
    return s;
}

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
    struct writer w = { .c = s->dest->conn };

    put_end_line(&w, s->tid, flag, true);
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

static void piece_write(struct stream *s, const char *p, size_t n)
{
    if (n >= CHUNK_MIN)
        conn_write_ref(s->dest->conn, p, n);
    else
        conn_write(s->dest->conn, p, n);
    s->octets += n;
    count_out(s->relay, s->f.route, s->dest->conn, n, false);
}

/* False: the chunk has failed, and its sender been told. */
static bool piece_begin(struct stream *s)
{
    if (!s->open && !piece_open(s, is_answered(&s->f)))
        hop_stream_fail(s, 408);
    return s->open;
}

static void write_checked(struct stream *s, const char *p, size_t n, bool hyphen_lines)
{
    if (s->stopped || !piece_begin(s))
        return;
    while (hyphen_lines) { /* our identifier must not end the body early (M-FRM-18) */
        size_t at = msrp_body_clash(p, n, sv_make(s->tid, TID_LEN), s->octets == s->piece_from);

        if (at == SIZE_MAX)
            break;
        piece_write(s, p, at);
        piece_close(s, '+');
        if (!piece_begin(s))
            return;
        p += at;
        n -= at;
    }
    if (n)
        piece_write(s, p, n);
}

/* May more of it be written? Not when a token has ended or moved (M-FR-01, M-AUTH-23, M-TOK-05); but what its sender has sent
 * before his connection broke may. */
static bool stream_goes_on(struct stream *s)
{
    const struct route *r = s->f.route;

    if (!route_leads_on(r) || (r->u1 && !session_is_active(r->u1) && session_state(r->u1) != SESSION_DETACHED))
        hop_stream_fail(s, route_failure(r));
    return hop_stream_dest(s) != NULL;
}

void hop_stream_body(struct stream *s, const char *p, size_t n, bool hyphen_lines)
{
    if (!stream_goes_on(s))
        return;
    if (!s->open && s->pending.n + n < CHUNK_MIN) {
        buf_add(&s->pending, p, n);
        if (buf_failed(&s->pending))
            hop_stream_fail(s, 408);
        return;
    }
    if (s->pending.n) { /* it may hold a line that clashes: be careful with both */
        write_checked(s, s->pending.p, s->pending.n, true);
        buf_fini(&s->pending);
    }
    write_checked(s, p, n, hyphen_lines);
}

struct conn *hop_stream_dest(const struct stream *s)
{
    return s->dest && !s->stopped ? s->dest->conn : NULL;
}

bool hop_stream_has_company(const struct stream *s)
{
    return s->node.next != s->node.prev;
}

static void stream_free(struct stream *s)
{
    while (!list_is_empty(&s->txns)) {
        list_item(s->txns.next, struct txn, stream_node)->stream = NULL;
        list_remove(s->txns.next);
    }
    s->relay->worker->held -= stream_bytes(s);
    list_remove(&s->node);
    route_unref(s->relay, &s->f.route);
    buf_fini(&s->pending);
    free(s);
}

/* All of it is on the wire, in a piece that is open. False: it has failed. */
static bool write_rest(struct stream *s)
{
    if (hop_stream_dest(s) && !s->open)
        write_checked(s, s->pending.p, s->pending.n, true);
    return hop_stream_dest(s) != NULL;
}

static void count_whole(struct stream *s)
{
    count_out(s->relay, s->f.route, s->dest->conn, 0, true);
    s->dest->finish |= s->f.finish;
}

void hop_stream_end(struct stream *s, char flag)
{
    /* Its last piece, which ended for something else to be written, was all of it, and has said that there is more. */
    bool all_said = !s->open && s->octets && !s->pending.n && flag == '+';

    if (all_said ? hop_stream_dest(s) != NULL : write_rest(s)) {
        if (flag != '+' && s->f.fr == MSRP_FR_NO)
            relay_account(s->relay, s->f.route, s->f.message_id, s->start - 1 + s->octets, 0, s->f.started_at);
        if (!all_said)
            piece_close(s, flag);
        count_whole(s);
    }
    stream_free(s);
}

bool hop_stream_refuse(struct stream *s, unsigned status)
{
    if (s->told)
        hop_stream_fail(s, status);
    if (!write_rest(s))
        return false;
    relay_account(s->relay, s->f.route, s->f.message_id, s->start - 1 + s->octets, status, s->f.started_at);
    piece_close(s, '#');
    count_whole(s);
    list_each(node, &s->txns)
        list_item(node, struct txn, stream_node)->fr = MSRP_FR_NO;
    s->stopped = true;
    return true;
}

void hop_stream_fail(struct stream *s, unsigned status)
{
    uint64_t from = s->octets;

    if (!s->dest || s->stopped)
        return;
    if (!s->open && s->octets) /* its last piece said that there is more */
        piece_open(s, false);
    if (s->open) {
        from = s->piece_from;
        txn_free(&s->txn); /* whatever the answer to this piece is, the sender knows already */
        piece_close(s, '#');
    }
    if (s->f.fr != MSRP_FR_NO)
        report_failure(s->relay, s->f.route, s->f.message_id, &s->f.range, s->start + from, s->octets - from + s->pending.n, status,
                       sv_make(NULL, 0));
    relay_account(s->relay, s->f.route, s->f.message_id, s->start - 1 + s->octets, status, s->f.started_at);
    s->stopped = true;
}

/* ---- responses, timeouts, ends ---- */

/* The end of a chunk that its sender gave up, without an octet of its own: no range of it can fail. */
static bool is_mere_end(const struct txn *t)
{
    return t->flag == '#' && t->has_body && t->octets == 0 && t->start > (t->range.present ? t->range.start : 1);
}

static void fail(struct txn *t, unsigned status, struct sv comment)
{
    struct sv message_id = sv_make(t->message_id, t->message_id_n);

    if (!t->is_send || t->fr == MSRP_FR_NO || is_mere_end(t))
        return;
    if (t->stream)
        t->stream->told = true;
    report_failure(t->relay, t->route, message_id, &t->range, t->start, t->has_body ? t->octets : UINT64_MAX, status, comment);
}

/* Of a message in several chunks the last one counts, and any that fails. */
static void account(struct txn *t, unsigned status)
{
    if (t->flag == '#' && status_is_good(status))
        status = 0; /* its sender gave up: nobody has got it */
    if (t->is_send && (t->flag != '+' || !status_is_good(status)))
        relay_account(t->relay, t->route, sv_make(t->message_id, t->message_id_n), t->start - 1 + t->octets, status, t->started_at);
}

/* The far end answered a request that is not SEND: pass it back, under the identifier and paths it came with (M-RSP-05). */
static void pass_back(struct txn *t, const struct msrp_head *h)
{
    struct buf frame = BUF_INIT;

    buf_printf(&frame, "MSRP %.*s %03u", t->tid_in_n, t->tid_in, h->status);
    if (h->comment.n)
        buf_printf(&frame, " " SV_FMT, SV_ARG(h->comment));
    buf_puts(&frame, "\r\n");
    buf_add_sv(&frame, t->route->end_to_end);
    buf_add_sv(&frame, h->headers);
    buf_printf(&frame, "-------%.*s$\r\n", t->tid_in_n, t->tid_in);
    if (!buf_failed(&frame))
        relay_deliver(t->relay, t->route->origin, buf_sv(&frame));
    buf_fini(&frame);
}

/* The next hop wants no more of this message (M-FWD-16): what is on its way ends here. */
static void stop_message(struct msrp_conn *dest, struct route *route, struct sv message_id)
{
    recent_put(&route->stopped, message_hash(message_id));
    list_each(node, &dest->streams) {
        struct stream *s = list_item(node, struct stream, node);

        if (s->f.route != route || !sv_eq(s->f.message_id, message_id))
            continue;
        if (s->open)
            piece_close(s, '#');
        s->stopped = true;
    }
}

static bool is_for_us(const struct txn *t, struct sv to_path)
{
    struct sv first;
    struct msrp_uri a, b;

    if (!msrp_path_next(&to_path, &first))
        return false;
    if (sv_eq(first, t->route->ours))
        return true;
    return msrp_uri_parse(&a, first) && msrp_uri_parse(&b, t->route->ours) && msrp_uri_eq(&a, &b);
}

bool hop_ends_here(struct msrp_conn *from, const struct msrp_head *h)
{
    const struct txn *t = txn_find(from, h->tid);

    return t && t->is_send;
}

void hop_response(struct msrp_conn *from, const struct msrp_head *h)
{
    struct txn *t = txn_find(from, h->tid);
    bool good = h->status >= 200 && h->status <= 299;

    if (!t || h->fault || h->has_body || !is_for_us(t, h->to_path)) {
        stats_inc(&from->relay->worker->stats, STAT_msrp_dropped);
        return;
    }
    if (!t->is_send) {
        bool is_strike = t->credentials && h->status == 401 && !t->route->from_relay && !relay_auth_is_stale(h->headers);
        struct conn_ref origin = t->route->origin;
        struct relay *relay = t->relay;

        pass_back(t, h);
        txn_free(&t);
        if (is_strike)
            relay_auth_strike(relay, origin); /* that may be the end of from, which need not be somebody else */
        return;
    }
    if (good && (t->open || !list_is_empty(&t->sent_node))) {
        t->answer = (uint16_t)h->status; /* nobody can have what was not written: it may still fail */
        return;
    }
    if (h->status == 413)
        stop_message(from, t->route, sv_make(t->message_id, t->message_id_n));
    if (t->open) /* refused before its end: the piece ends here, so that we know how much of it there was */
        hop_interrupt(from);
    if (!good)
        fail(t, h->status, h->comment);
    hop_answered(t, h->status);
}

void hop_answered(struct txn *t, unsigned status)
{
    account(t, status);
    txn_free(&t);
}

/* Answer a request that came over this route, from whatever worker. */
static void answer_from_afar(struct relay *relay, const struct route *route, struct sv lines, struct sv tid_in, unsigned status)
{
    struct buf frame = BUF_INIT;

    buf_printf(&frame, "MSRP " SV_FMT " %03u %s\r\n", SV_ARG(tid_in), status, status_phrase(status));
    buf_add_sv(&frame, lines);
    buf_printf(&frame, "-------" SV_FMT "$\r\n", SV_ARG(tid_in));
    if (!buf_failed(&frame))
        relay_deliver(relay, route->origin, buf_sv(&frame));
    buf_fini(&frame);
}

void hop_auth_failed(struct relay *relay, const struct route *route, struct sv tid_in, unsigned status)
{
    answer_from_afar(relay, route, route->full_answer, tid_in, status);
}

void hop_answer(struct relay *relay, const struct route *route, struct sv tid_in, unsigned status)
{
    answer_from_afar(relay, route, route->answer, tid_in, status);
}

static void answer_auth(const struct txn *t, unsigned status)
{
    hop_auth_failed(t->relay, t->route, sv_make(t->tid_in, t->tid_in_n), status);
}

void hop_timed_out(struct txn *t)
{
    /* Its answer may be there: it is we who do not listen. But for want of memory nothing is kept any longer. */
    if (t->to->conn->pauses & ~CONN_PAUSE_MEMORY) {
        txn_wait(t);
        return;
    }
    stats_inc(&t->relay->worker->stats, STAT_msrp_timeouts);
    if (t->is_auth)
        answer_auth(t, 408);
    else if (t->fr == MSRP_FR_YES)
        fail(t, 408, sv_make(NULL, 0));
    account(t, t->fr == MSRP_FR_PARTIAL ? 0 : 408);
    txn_free(&t);
}

void hop_session_ended(struct msrp_conn *dest, const struct session *session)
{
    list_each(node, &dest->streams) {
        struct stream *s = list_item(node, struct stream, node);

        if (route_target(s->f.route) == session)
            hop_stream_fail(s, route_failure(s->f.route));
    }
    list_each_safe(node, &dest->unsent) {
        struct txn *t = list_item(node, struct txn, sent_node);
        unsigned status = route_failure(t->route);

        if (route_target(t->route) != session || !t->is_send)
            continue;
        fail(t, status, sv_make(NULL, 0));
        account(t, status);
        txn_free(&t);
    }
}

void hop_down(struct msrp_conn *dest, unsigned status)
{
    uint64_t sent = dest->conn->sent_pos;

    list_each_safe(node, &dest->streams) {
        struct stream *s = list_item(node, struct stream, node);
        unsigned why = status == 408 ? route_failure(s->f.route) : status;

        if (s->open && s->txn) {
            s->txn->octets = s->octets - s->piece_from;
            s->txn = NULL; /* reported below, with the others */
        } else if (!s->stopped) {
            if (s->f.fr != MSRP_FR_NO)
                report_failure(s->relay, s->f.route, s->f.message_id, &s->f.range, s->start + s->octets, s->pending.n,
                               why, sv_make(NULL, 0));
            relay_account(s->relay, s->f.route, s->f.message_id, s->start - 1 + s->octets, why, s->f.started_at);
        }
        list_remove(&s->node);
        s->dest = NULL;
        s->open = false;
    }
    dest->tx_stream = NULL;
    while (!list_is_empty(&dest->txns)) {
        struct txn *t = list_item(dest->txns.next, struct txn, conn_node);
        bool written = !t->open && t->end_pos <= sent;
        unsigned why = status == 408 ? route_failure(t->route) : status;

        if (t->is_auth)
            answer_auth(t, status);
        else if (t->fr == MSRP_FR_YES || !written)
            fail(t, why, sv_make(NULL, 0));
        account(t, t->fr == MSRP_FR_PARTIAL && written ? 0 : why);
        txn_free(&t);
    }
}

void hop_progress(struct msrp_conn *dest)
{
    if (!list_is_empty(&dest->unsent))
        txn_sent(dest, dest->conn->sent_pos);
}
