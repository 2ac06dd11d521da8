/* The next hop: writing requests to a connection, and matching the responses. */
#include <stdlib.h>

#include "msrp/emit.h"
#include "msrp/private.h"
#include "msrp/stream.h"
#include "msrp/txn.h"

/* ---- whole frames ---- */

void hop_count_out(struct relay *relay, const struct route *route, const struct conn *dest, size_t octets, bool whole)
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
    if (TD_UNLIKELY(dest->ws && f->body.n > WS_CHUNK_MAX))
        return stream_split(relay, dest, f) ? HOP_TAKEN : HOP_GONE;
    if (TD_LIKELY(!stream_is_behind(msrp_of(dest), f)))
        return hop_write(relay, dest, f, true);
    return stream_wait(relay, msrp_of(dest), f) ? HOP_TAKEN : HOP_GONE;
}

enum hop_result hop_write(struct relay *relay, struct conn *dest, const struct outgoing *f, bool borrowed)
{
    struct msrp_conn *m = msrp_of(dest);
    char tid_buf[TID_LEN], range_buf[48];
    const char *tid = tid_buf;
    struct txn *txn = NULL;
    struct sv range = { 0 };
    struct writer w;
    size_t head, inline_body = 0; /* of the body, what is copied behind the head */

    hop_interrupt(m);
    if (outgoing_is_answered(f)) {
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
    if (dest->ws || (head + f->body.n <= TX_ROOM_MAX && f->body.n <= 4096))
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
        if (borrowed)
            conn_write_ref(dest, f->body.p, f->body.n);
        else
            conn_write(dest, f->body.p, f->body.n);
        w.room = w.at = NULL;
    }
    put_end_line(&w, tid, f->flag, f->has_body);
    writer_end(&w);
    message_end(dest);
    if (txn)
        txn_queued(txn);
    hop_count_out(relay, f->route, dest, f->body.n, true);
    if (!txn && f->method == MSRP_SEND && f->flag != '+')
        relay_account(relay, f->route, f->message_id, (f->range.present ? f->range.start - 1 : 0) + f->body.n, 0, f->started_at);
    m->finish |= f->finish;
    return HOP_TAKEN;
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

/* The far end answered a request that is not SEND: pass it back, under the identifier and paths it came with
 * (M-RSP-05). */
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
    if (buf_failed(&frame))
        relay_lost(t->relay, t->route->origin);
    else
        relay_deliver(t->relay, t->route->origin, buf_sv(&frame));
    buf_fini(&frame);
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
    if (good && !t->written) {
        t->answer = (uint16_t)h->status; /* nobody can have what was not written: it may still fail */
        return;
    }
    if (h->status == 413)
        stream_stop_message(from, t->stream, t->route, sv_make(t->message_id, t->message_id_n));
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
    if (buf_failed(&frame))
        relay_lost(relay, route->origin);
    else
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
    stream_session_ended(dest, session);
    list_each_safe(node, &dest->unsent) {
        struct txn *t = list_item(node, struct txn, node);
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
    stream_down(dest, status);
    list_splice(&dest->unanswered, &dest->unsent);
    while (!list_is_empty(&dest->unanswered)) {
        struct txn *t = list_item(dest->unanswered.next, struct txn, node);
        unsigned why = status == 408 ? route_failure(t->route) : status;

        if (t->is_auth)
            answer_auth(t, status);
        else if (t->fr == MSRP_FR_YES || !t->written)
            fail(t, why, sv_make(NULL, 0));
        account(t, t->fr == MSRP_FR_PARTIAL && t->written ? 0 : why);
        txn_free(&t);
    }
}

void hop_progress(struct msrp_conn *dest)
{
    if (!list_is_empty(&dest->unsent))
        txn_sent(dest, dest->conn->sent_pos);
}
