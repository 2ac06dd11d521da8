/* Frames as they are written to a connection: start line, paths, headers, end-line. */
#pragma once

#include <inttypes.h>
#include <stdio.h>

#include "msrp/private.h"
#include "net/ws.h"

/* Writes into a room that was made, or, when the frame is large, through the queue. On a WebSocket a frame is one message (M-WS-04), whose
 * length stands in front of it: it is put together in the relay's own memory, to which every writer adds until message_end(). */
struct writer {
    struct conn *c;
    char *room, *at;   /* NULL: through the queue */
    struct buf *whole; /* borrowed; NULL: no WebSocket */
};

static inline void put(struct writer *w, struct sv s)
{
    if (TD_LIKELY(w->at != NULL)) {
        if (s.n) {
            memcpy(w->at, s.p, s.n);
            w->at += s.n;
        }
    } else if (w->whole) {
        buf_add_sv(w->whole, s);
    } else {
        conn_write(w->c, s.p, s.n);
    }
}

static inline struct buf *whole_of(struct conn *c)
{
    return TD_UNLIKELY(c->ws != NULL) ? &msrp_of(c)->relay->whole : NULL;
}

static inline bool writer_begin(struct writer *w, struct conn *c, size_t n)
{
    w->c = c;
    w->room = w->at = NULL;
    w->whole = whole_of(c);
    if (n <= TX_ROOM_MAX && !w->whole) {
        w->room = w->at = conn_write_room(c, n);
        return w->room != NULL;
    }
    return !c->ended;
}

static inline void writer_end(struct writer *w)
{
    if (w->room)
        conn_wrote(w->c, (size_t)(w->at - w->room));
}

/* The frame is there, up to its end-line. */
static inline void message_end(struct conn *c)
{
    struct buf *whole = whole_of(c);

    if (TD_LIKELY(!whole))
        return;
    if (buf_failed(whole))
        conn_doom(c, CLOSE_NO_MEMORY);
    else
        wsio_write(c, whole->p, whole->n);
    buf_clear(whole);
}

/* The CRLF in front belongs to the framing of a body; without one the last header's has been written. */
static inline void put_end_line(struct writer *w, const char *tid, char flag, bool after_body)
{
    char line[9 + TID_LEN + 3] = "\r\n-------";

    memcpy(line + 9, tid, TID_LEN);
    line[9 + TID_LEN] = flag;
    line[9 + TID_LEN + 1] = '\r';
    line[9 + TID_LEN + 2] = '\n';
    put(w, sv_from(sv_make(line, sizeof line), after_body ? 0 : 2));
}

/* Start line, paths, headers; with range its text replaces the value of Byte-Range or is put first. */
static inline void put_head(struct writer *w, const char *tid, const struct outgoing *f, struct sv range)
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

/* A response. */
struct answer {
    struct sv tid;
    unsigned status;
    struct sv phrase, lines, more; /* lines: its paths; more: headers; each with its CRLF */
    bool more_is_cut;              /* but for the last of more */
};

static inline size_t answer_length(const struct answer *a)
{
    return strlen("MSRP  200\r\n-------$\r\n") + a->tid.n * 2 + (a->phrase.n ? 1 + a->phrase.n : 0) + a->lines.n + a->more.n +
           (a->more_is_cut ? 2 : 0);
}

static inline void put_answer(struct writer *w, const struct answer *a)
{
    char code[] = { ' ', (char)('0' + a->status / 100), (char)('0' + a->status / 10 % 10), (char)('0' + a->status % 10), ' ' };

    put(w, SV("MSRP "));
    put(w, a->tid);
    put(w, sv_make(code, a->phrase.n ? sizeof code : sizeof code - 1));
    put(w, a->phrase);
    put(w, SV("\r\n"));
    put(w, a->lines);
    put(w, a->more);
    put(w, a->more_is_cut ? SV("\r\n-------") : SV("-------"));
    put(w, a->tid);
    put(w, SV("$\r\n"));
}

static inline struct sv range_text(char *out, size_t size, uint64_t start, const struct msrp_range *r)
{
    int n = r->total_known ? snprintf(out, size, "%" PRIu64 "-*/%" PRIu64, start, r->total) : snprintf(out, size, "%" PRIu64 "-*/*", start);

    return sv_make(out, (size_t)n);
}
