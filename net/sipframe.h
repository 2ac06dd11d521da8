/* Framing of SIP messages: where does one end, and may it pass?
 *
 * The edge's only knowledge of SIP; the SIP process asks the same of datagrams. It finds the end of a message (RFC 3261
 * s.18.3) and refuses what would put the parser behind it at risk: sizes and counts over the limits, NUL, bare CR or
 * LF, a missing, doubled or ambiguous mandatory header. What is refused but framed can be skipped and answered
 * (sipframe_answer) while the stream goes on. Pure functions. */
#pragma once

#include "common/buf.h"

enum {
    SIPFRAME_MAX = 64 * 1024,        /* a whole message; S-MSG-13 */
    SIPFRAME_LINE_MAX = 8 * 1024,    /* one header with its continuation lines */
    SIPFRAME_HEADERS_MAX = 128,
    SIPFRAME_VALUES_MAX = 2000,      /* commas in the header section: the parser behind it walks a list for each of its values */
    SIPFRAME_SKIP_MAX = 16 * 1024 * 1024, /* a larger body is not skipped: the stream ends */
};

enum sipframe_kind {
    SIPFRAME_MORE,   /* not decided: more bytes are needed */
    SIPFRAME_CRLF,   /* an empty line between messages; len 2 */
    SIPFRAME_OK,     /* len bytes are one message, which may pass when they are all there */
    SIPFRAME_REFUSE, /* len bytes are one message that may not pass; answer with status (0: with nothing), then go on */
    SIPFRAME_BROKEN, /* the stream cannot be followed any more; answer with status (0: with nothing), then close */
};

struct sipframe {
    enum sipframe_kind kind;
    size_t head;  /* bytes of start line and headers with the empty line; 0: not all there */
    size_t len;   /* bytes of the message */
    bool has_length; /* it says how long its body is */
    int status;
    const char *reason; /* static */
};

/* Look at the front of the stream. scanned: bytes in which no end of the header section was found by earlier calls. */
void sipframe_read(const char *p, size_t n, size_t scanned, struct sipframe *f);

/* Look at a datagram, which begins with a start line. OK, REFUSE or BROKEN (no SIP at all); head and what lies behind
 * the body count as read. RFC 3261 s.18.3. */
void sipframe_datagram(const char *p, size_t n, struct sipframe *f);

/* Look at a WebSocket message, which is to be one SIP message (RFC 7118 s.5). OK, REFUSE, CRLF (len: all of it, empty
 * lines), or BROKEN: it is none, or a part of one, or there are two in it. Empty lines in front are *skip bytes, which
 * the others do not count. */
void sipframe_message(const char *p, size_t n, size_t *skip, struct sipframe *f);

/* For messages made by our own SIP process: its length; 0: more bytes are needed; -1: not a message, or over max. */
long sipframe_length(const char *p, size_t n, size_t scanned, size_t max);

/* Is this message a final response? */
static inline bool sipframe_is_final(struct sv m)
{
    return m.n > 8 && m.p[8] >= '2' && sv_starts(m, SV("SIP/2.0 "));
}

/* Append the response f->status to the request whose header section is at p (RFC 3261 s.8.2.6). False, and nothing
 * appended, when it must not or cannot be answered: a response, an ACK, no Via. */
bool sipframe_answer(struct buf *out, const char *p, const struct sipframe *f);
