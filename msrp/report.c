/* Status phrases, and the failure REPORTs this relay makes (RFC 4975 s.7.1.4, RFC 4976 s.6.4.1). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "msrp/private.h"
#include "msrp/txn.h"

const char *status_phrase(unsigned status)
{
    switch (status) {
#define STATUS(code, text) \
    case code:             \
        return text;
#include "msrp/status_tbl.h"
#undef STATUS
    default:
        return "";
    }
}

/* Octets of the printable UTF-8 character at the front, or 0 (RFC 3629 s.4). */
static size_t printable(struct sv s)
{
    const uint8_t *c = (const uint8_t *)s.p;
    size_t n = c[0] < 0x80 ? 1 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;
    uint8_t least = c[0] == 0xc2 || c[0] == 0xe0 ? 0xa0 : c[0] == 0xf0 ? 0x90 : 0x80; /* no C1 controls, nothing overlong */
    uint8_t most = c[0] == 0xed ? 0x9f : c[0] == 0xf4 ? 0x8f : 0xbf;                  /* no surrogates, nothing past U+10FFFF */

    if (n == 1)
        return c[0] >= ' ' && c[0] != 0x7f;
    if (c[0] < 0xc2 || c[0] > 0xf4 || n > s.n || c[1] < least || c[1] > most)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

/* What a peer wrote as comment goes on only as printable UTF-8, not cut within a character (M-SEC-09). */
static struct sv safe_comment(struct sv in, char out[STATUS_COMMENT_MAX])
{
    size_t n = 0;

    while (in.n) {
        size_t len = printable(in);

        if (n + len > STATUS_COMMENT_MAX)
            break;
        memcpy(out + n, in.p, len);
        n += len;
        in = sv_from(in, len ? len : 1);
    }
    return sv_make(out, n);
}

static void write_report(struct relay *relay, struct conn_ref to, struct sv lines, struct sv message_id, const struct msrp_range *range,
                         uint64_t start, uint64_t octets, unsigned status, struct sv comment)
{
    char comment_buf[STATUS_COMMENT_MAX], fields[256], tid[TID_LEN];
    struct buf frame = BUF_INIT;
    char end[24] = "*", total[24] = "*";

    if (range->total_known)
        snprintf(total, sizeof total, "%" PRIu64, range->total);
    if (range->end_known)
        snprintf(end, sizeof end, "%" PRIu64, range->end);
    comment = comment.n ? safe_comment(comment, comment_buf) : sv_of(status_phrase(status));
    if (octets != UINT64_MAX)
        snprintf(fields, sizeof fields, "Byte-Range: %" PRIu64 "-%" PRIu64 "/%s\r\n", start, start + octets - 1, total);
    else if (range->present) /* M-REP-03 */
        snprintf(fields, sizeof fields, "Byte-Range: %" PRIu64 "-%s/%s\r\n", range->start, end, total);
    else
        snprintf(fields, sizeof fields, "Byte-Range: 1-0/0\r\n");

    tid_make(relay, tid);
    buf_printf(&frame, "MSRP %.*s REPORT\r\n", TID_LEN, tid);
    buf_add_sv(&frame, lines);
    buf_printf(&frame, "Message-ID: " SV_FMT "\r\n%sStatus: 000 %03u%s" SV_FMT "\r\n-------%.*s$\r\n", SV_ARG(message_id), fields,
               status, comment.n ? " " : "", SV_ARG(comment), TID_LEN, tid);
    if (buf_failed(&frame)) {
        relay_lost(relay, to);
    } else {
        stats_inc(&relay->worker->stats, STAT_msrp_reports_made);
        relay_deliver(relay, to, buf_sv(&frame));
    }
    buf_fini(&frame);
}

/* A REPORT that waits for room. */
struct owed {
    struct list node;    /* msrp_conn.owed */
    struct route *route; /* owned reference */
    struct msrp_range range;
    uint64_t start, octets;
    unsigned status;
    struct sv message_id, comment; /* into text */
    char text[];
};

static int64_t owed_bytes(const struct owed *o)
{
    return (int64_t)(sizeof *o + o->message_id.n + o->comment.n);
}

static void owe(struct msrp_conn *m, struct route *route, struct sv message_id, const struct msrp_range *range, uint64_t start,
                uint64_t octets, unsigned status, struct sv comment)
{
    struct owed *o = m->n_owed < OWED_PER_CONN ? malloc(sizeof *o + message_id.n + comment.n) : NULL;

    if (!o) { /* he is to know that not all went well */
        conn_doom(m->conn, CLOSE_QUEUE_FULL);
        return;
    }
    *o = (struct owed){ .route = route_ref(route), .range = *range, .start = start, .octets = octets, .status = status };
    o->message_id = sv_make(o->text, message_id.n);
    o->comment = sv_make(o->text + message_id.n, comment.n);
    memcpy(o->text, message_id.p, message_id.n);
    if (comment.n)
        memcpy(o->text + message_id.n, comment.p, comment.n);
    list_append(&m->owed, &o->node);
    m->n_owed++;
    m->relay->worker->held += owed_bytes(o);
    m->conn->above = 1; /* drained() is to be called */
}

static struct owed *take_owed(struct msrp_conn *m)
{
    struct owed *o = list_item(m->owed.next, struct owed, node);

    list_remove(&o->node);
    m->n_owed--;
    m->relay->worker->held -= owed_bytes(o);
    return o;
}

static void owed_free(struct relay *relay, struct owed *o)
{
    route_unref(relay, &o->route);
    free(o);
}

void report_owed(struct msrp_conn *m)
{
    while (!list_is_empty(&m->owed) && conn_queued(m->conn) < m->conn->tx_high && !m->conn->doomed) {
        struct owed *o = take_owed(m);

        write_report(m->relay, conn_ref(m->conn), o->route->report, o->message_id, &o->range, o->start, o->octets, o->status, o->comment);
        owed_free(m->relay, o);
    }
    if (!list_is_empty(&m->owed))
        m->conn->above = 1;
}

void report_forget(struct msrp_conn *m)
{
    while (!list_is_empty(&m->owed)) {
        struct owed *o = take_owed(m);

        report_to(m->relay, conn_ref(m->conn), o->route, o->message_id, &o->range, o->start, o->octets, o->status, o->comment);
        owed_free(m->relay, o);
    }
}

void report_to(struct relay *relay, struct conn_ref to, struct route *route, struct sv message_id, const struct msrp_range *range,
               uint64_t start, uint64_t octets, unsigned status, struct sv comment)
{
    bool there = to.worker != relay->worker->index || conn_deref(relay->worker, to) || peer_other_link(relay, route, &to);
    char safe[STATUS_COMMENT_MAX];
    struct msrp_conn *m;

    if (!there) {
        stats_inc(&relay->worker->stats, STAT_msrp_dropped);
        return;
    }
    if (to.worker != relay->worker->index) {
        cross_report(relay, to, route, message_id, range, start, octets, status, safe_comment(comment, safe));
        return;
    }
    m = msrp_of(conn_deref(relay->worker, to));
    if (list_is_empty(&m->owed) && conn_queued(m->conn) < m->buffer + m->conn->tx_high && !m->conn->doomed)
        write_report(relay, to, route->report, message_id, range, start, octets, status, comment);
    else
        owe(m, route, message_id, range, start, octets, status, safe_comment(comment, safe));
}

void report_failure(struct relay *relay, struct route *route, struct sv message_id, const struct msrp_range *range, uint64_t start,
                    uint64_t octets, unsigned status, struct sv comment)
{
    report_to(relay, route->origin, route, message_id, range, start, octets, status, comment);
}

void report_refusal(struct relay *relay, const struct conn *c, const struct msrp_head *h, unsigned status, struct sv from_path)
{
    struct buf lines = BUF_INIT;
    uint64_t start = h->range.present ? h->range.start : 1;
    struct sv to = h->to_path, first;

    if (!msrp_path_next(&to, &first))
        return;
    buf_printf(&lines, "To-Path: " SV_FMT "\r\nFrom-Path: " SV_FMT "\r\n", SV_ARG(h->from_path),
               SV_ARG(from_path.n ? from_path : first));
    if (buf_failed(&lines))
        relay_lost(relay, conn_ref(c));
    else
        write_report(relay, conn_ref(c), buf_sv(&lines), h->message_id, &h->range, start,
                     !h->has_body ? UINT64_MAX : h->range.end_known ? h->range.end - start + 1 : 0, status, sv_make(NULL, 0));
    buf_fini(&lines);
}
