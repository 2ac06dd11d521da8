/* MSRP frames: reading start line and headers, finding the end of a body (RFC 4975 s.7.1, s.9).
 *
 * The reader keeps no state and copies nothing: it is given the bytes at hand
 * and points into them. A head is read when all of it is there; a body is consumed piecewise, whatever the split, with
 * msrp_body_scan(). Pure functions, no allocation, O(bytes). */
#pragma once

#include "common/sv.h"

enum {
    MSRP_TID_MIN = 4,
    MSRP_TID_MAX = 32,
    MSRP_LINE_MAX = 8 * 1024,
    MSRP_HEADERS_MAX = 64,
    MSRP_OTHER_BODY_MAX = 10240, /* body of anything but SEND (RFC 4975 s.7.1) */
    /* CRLF, seven hyphens, tid, flag, CRLF: what must be held back while a body streams */
    MSRP_END_LINE_MAX = 2 + 7 + MSRP_TID_MAX + 1 + 2,
};

enum msrp_method { MSRP_SEND, MSRP_REPORT, MSRP_AUTH, MSRP_OTHER_METHOD };

enum msrp_failure_report { MSRP_FR_YES, MSRP_FR_NO, MSRP_FR_PARTIAL };

struct msrp_range {
    uint64_t start, end, total;
    bool present, end_known, total_known;
};

/* The head of a frame. All views point into the bytes given to msrp_head_read(). */
struct msrp_head {
    struct sv tid;
    bool is_response;
    enum msrp_method method; /* requests */
    struct sv method_text;
    unsigned status;         /* responses */
    struct sv comment;
    struct sv paths;         /* the lines To-Path and From-Path as received, CRLFs included */
    struct sv to_path, from_path; /* values */
    bool paths_known;        /* they are those that were given to msrp_head_read() */
    struct sv headers;       /* the lines after From-Path, CRLFs included, without the blank line */
    struct sv message_id, success_report, failure_report_text, content_type, byte_range;
    struct sv status_text, authorization, expires;
    enum msrp_failure_report failure_report;
    bool wants_success;
    struct msrp_range range;
    bool has_body;           /* a blank line follows; else the end-line was read */
    char flag;               /* of a frame without body: + $ # */
    size_t n;                /* bytes of it all: up to the body, or past the end-line */
    const char *fault;       /* well framed but wrong: what is wrong (answer 400). NULL: good */
    bool order_fault;        /* the two paths are both there but not first (M-FRM-05) */
};

enum msrp_read { MSRP_MORE, MSRP_DONE, MSRP_BROKEN };

/* Lines To-Path and From-Path of an earlier frame that was good, and the values in them. */
struct msrp_paths {
    struct sv lines, to, from;
};

/* Read the head at the front of the bytes. The answer is the same however they are split.
 * known       NULL, or what the paths most likely are: those are not read again, but compared
 * max_header  longest head: h->n is never more, and MSRP_MORE never comes for that many bytes
 * MSRP_MORE   not all there yet
 * MSRP_BROKEN the framing is lost: h->fault says why; tid, to_path, from_path, method and failure_report are filled if
 *             they had been read
 * Of a header that may stand once the first one counts. */
enum msrp_read msrp_head_read(struct msrp_head *h, const char *p, size_t n, size_t max_header, const struct msrp_paths *known);

/* What msrp_body_scan() found. */
struct msrp_body {
    size_t n;          /* body bytes at the front, certain to be body */
    bool ended;        /* the end-line follows them */
    char flag;         /* its flag */
    size_t used;       /* bytes consumed with it: body, CRLF, end-line */
    bool hyphen_lines; /* a line begins with exactly seven hyphens: look for clashes in these body bytes */
};

/* Find the end of a body, or how much of the bytes is body for certain.
 * at_start  the bytes begin right after the blank line (an end-line there means an empty body, M-FRM-15)
 * What is held back (at most MSRP_END_LINE_MAX bytes, from the CRLF on) is whatever could still become an end-line, be
 * it of this tid or of any other: so a line that starts like an end-line is never cut before its flag. */
struct msrp_body msrp_body_scan(const char *p, size_t n, struct sv tid, bool at_start);

/* Where an end-line with this tid stands in body bytes: the offset of its CRLF (0 for one at the very front when
 * at_start), or SIZE_MAX. For bytes with hyphen_lines only (M-FRM-18). */
size_t msrp_body_clash(const char *p, size_t n, struct sv tid, bool at_start);

/* How much of them, at most max, may be passed on apart from the rest: a line that starts like an end-line is not
 * cut. */
size_t msrp_body_cut(const char *p, size_t n, size_t max, bool hyphen_lines);

bool msrp_tid_is_good(struct sv tid);

/* Byte-Range value: a-b/t with * for b or t. False: syntax, a number over 2^63-1, or numbers that contradict
 * (M-CHK-15, M-CHK-16). */
bool msrp_range_parse(struct msrp_range *r, struct sv text);

/* First place at or after from where seven hyphens stand in a row, or n. */
size_t msrp_find_hyphens(const char *p, size_t n, size_t from);
