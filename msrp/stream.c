/* Chunks that are still arriving, on their way to the next hop.
 *
 * Such a chunk is written as a stream of pieces: between its start line and end-line nothing else may stand on the wire (M-FAIR-04), so
 * whoever wants to write in between ends the piece with `+` first, and the chunk goes on under a new transaction identifier with
 * the right Byte-Range (M-FAIR-01). A piece is begun only with CHUNK_MIN octets, or all the rest, in hand (M-CHK-07). */
#include "msrp/stream.h"

#include <stdlib.h>

#include "msrp/emit.h"
#include "msrp/txn.h"

static int64_t stream_bytes(const struct stream *s)
{
    return (int64_t)(sizeof *s + s->f.headers.n + s->f.message_id.n + CHUNK_MIN);
}

struct stream *stream_begin(struct relay *relay, struct conn *dest, const struct outgoing *f)
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
    hop_count_out(s->relay, s->f.route, s->dest->conn, n, false);
}

/* False: the chunk has failed, and its sender been told. */
static bool piece_begin(struct stream *s)
{
    if (!s->open && !piece_open(s, outgoing_is_answered(&s->f)))
        stream_fail(s, 408);
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
        stream_fail(s, route_failure(r));
    return stream_dest(s) != NULL;
}

void stream_body(struct stream *s, const char *p, size_t n, bool hyphen_lines)
{
    if (!stream_goes_on(s))
        return;
    if (!s->open && s->pending.n + n < CHUNK_MIN) {
        buf_add(&s->pending, p, n);
        if (buf_failed(&s->pending))
            stream_fail(s, 408);
        return;
    }
    if (s->pending.n) { /* it may hold a line that clashes: be careful with both */
        write_checked(s, s->pending.p, s->pending.n, true);
        buf_fini(&s->pending);
    }
    write_checked(s, p, n, hyphen_lines);
}

struct conn *stream_dest(const struct stream *s)
{
    return s->dest && !s->stopped ? s->dest->conn : NULL;
}

bool stream_has_company(const struct stream *s)
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
    if (stream_dest(s) && !s->open)
        write_checked(s, s->pending.p, s->pending.n, true);
    return stream_dest(s) != NULL;
}

static void count_whole(struct stream *s)
{
    hop_count_out(s->relay, s->f.route, s->dest->conn, 0, true);
    s->dest->finish |= s->f.finish;
}

void stream_end(struct stream *s, char flag)
{
    /* Its last piece, which ended for something else to be written, was all of it, and has said that there is more. */
    bool all_said = !s->open && s->octets && !s->pending.n && flag == '+';

    if (all_said ? stream_dest(s) != NULL : write_rest(s)) {
        if (flag != '+' && s->f.fr == MSRP_FR_NO)
            relay_account(s->relay, s->f.route, s->f.message_id, s->start - 1 + s->octets, 0, s->f.started_at);
        if (!all_said)
            piece_close(s, flag);
        count_whole(s);
    }
    stream_free(s);
}

bool stream_refuse(struct stream *s, unsigned status)
{
    if (s->told)
        stream_fail(s, status);
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

void stream_fail(struct stream *s, unsigned status)
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

void stream_stop_message(struct msrp_conn *dest, struct route *route, struct sv message_id)
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

void stream_session_ended(struct msrp_conn *dest, const struct session *session)
{
    list_each(node, &dest->streams) {
        struct stream *s = list_item(node, struct stream, node);

        if (route_target(s->f.route) == session)
            stream_fail(s, route_failure(s->f.route));
    }
}

void stream_down(struct msrp_conn *dest, unsigned status)
{
    list_each_safe(node, &dest->streams) {
        struct stream *s = list_item(node, struct stream, node);
        unsigned why = status == 408 ? route_failure(s->f.route) : status;

        if (s->open && s->txn) {
            s->txn->octets = s->octets - s->piece_from;
            s->txn = NULL; /* reported by hop_down(), with the others */
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
}
