/* MSRP on the wire: a streaming frame reader, and the small texts inside a frame.
 *
 * The reader is fed with any split of the stream and never needs a whole frame:
 * the head (start line and headers) is handed out in one piece, the body in slices
 * as they come. It shares no line with the relay's parser, on purpose: the client is a
 * second opinion on it. Slices point into what was fed and live as long as that. No allocation, pure.
 * RFC 4975 s.7, s.9. */
#pragma once

#include "common/sv.h"

enum {
    MC_HEADERS_MAX = 64,
    MC_HEAD_MAX = 16384, /* start line and headers of one frame */
    MC_IDENT_MAX = 32,   /* transaction ids and Message-IDs */
};

struct mc_header {
    struct sv name, value;
};

/* Start line and headers of one frame. */
struct mc_head {
    struct sv raw;        /* all of it, up to the body or the end-line */
    struct sv tid;
    struct sv method;     /* empty: a response */
    unsigned code;        /* of a response */
    struct sv comment;    /* of a response; may be empty */
    struct sv to_path, from_path;
    struct mc_header h[MC_HEADERS_MAX]; /* those after the two paths */
    size_t n;
    bool has_body;        /* a blank line follows, then the body, which may be empty */
};

enum mc_event_kind {
    MC_EV_MORE, /* nothing more without more bytes */
    MC_EV_HEAD, /* head is set */
    MC_EV_BODY, /* body is set, never empty */
    MC_EV_END,  /* flag is set: $ + or # */
    MC_EV_BAD,  /* rule says what is wrong; feed no more */
};

struct mc_event {
    enum mc_event_kind kind;
    const struct mc_head *head;
    struct sv body;
    char flag;
    const char *rule; /* static */
};

struct mc_reader {
    enum { MC_AT_START, MC_AT_BODY_START, MC_IN_BODY, MC_AT_END } state;
    char end[7 + MC_IDENT_MAX]; /* "-------" and the transaction id of this frame */
    size_t end_n;
    struct mc_head head;
};

/* A zeroed struct mc_reader is ready. Returns the bytes taken, 0..n; keep the rest and offer it again in front of what
 * comes next. Call until MORE; each call gives one event. */
size_t mc_reader_feed(struct mc_reader *r, const char *in, size_t n, struct mc_event *ev);

/* First header of that name (ASCII case folded); NULL: none. */
const struct sv *mc_head_get(const struct mc_head *h, struct sv name);

bool mc_is_ident(struct sv s); /* RFC 4975 s.9: 4 to 32 characters */

#define MC_UNKNOWN UINT64_MAX /* a * in a Byte-Range */

struct mc_range {
    uint64_t start, end, total; /* first octet is 1; end = start - 1: no octet */
};

/* False: not a Byte-Range, or one that contradicts itself (start 0, end before start - 1, end past total). */
bool mc_range_parse(struct sv s, struct mc_range *out);

struct mc_uri {
    struct sv scheme, user, host, session, transport; /* host without brackets; user and session may be empty */
    uint16_t port;                                    /* 0: none */
    bool is_tls;                                      /* msrps */
};

bool mc_uri_parse(struct sv s, struct mc_uri *out);

/* Take the first URI off a path; false when there is none left. */
bool mc_path_next(struct sv *path, struct sv *uri);
/* Is it one or more MSRP URIs with one SP between them? */
bool mc_path_is_valid(struct sv path);

/* Does text hold `CRLF end flag`, the end-line of a chunk with the end given ("-------tid")? Returns the index of its
 * CR, or text.n. What may become one when more text follows is not reported. */
size_t mc_end_line_find(struct sv text, struct sv end);
