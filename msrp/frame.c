/* Reading MSRP frames. */
#include "msrp/frame.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "msrp/uri.h"

static bool is_ident_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' || c == '-' || c == '+' ||
           c == '%' || c == '=';
}

bool msrp_tid_is_good(struct sv tid)
{
    char c;

    if (tid.n < MSRP_TID_MIN || tid.n > MSRP_TID_MAX)
        return false;
    c = tid.p[0];
    if (!is_ident_char(c) || c == '.' || c == '-' || c == '+' || c == '%' || c == '=')
        return false;
    for (size_t i = 1; i < tid.n; i++)
        if (!is_ident_char(tid.p[i]))
            return false;
    return true;
}

bool msrp_range_parse(struct msrp_range *r, struct sv text)
{
    size_t dash = sv_find(text, '-'), slash = sv_find(text, '/');
    struct sv end, total;

    *r = (struct msrp_range){ .present = true };
    if (dash == text.n || slash == text.n || slash < dash)
        return false;
    end = sv_make(text.p + dash + 1, slash - dash - 1);
    total = sv_from(text, slash + 1);
    if (!sv_to_u64(sv_upto(text, dash), &r->start, NULL) || r->start == 0)
        return false;
    if (!sv_eq(end, SV("*"))) {
        if (!sv_to_u64(end, &r->end, NULL))
            return false;
        r->end_known = true;
    }
    if (!sv_eq(total, SV("*"))) {
        if (!sv_to_u64(total, &r->total, NULL))
            return false;
        r->total_known = true;
    }
    if (r->end_known && r->end < r->start - 1)
        return false;
    return !(r->end_known && r->total_known && r->end > r->total);
}

/* ---- end-lines ---- */

#ifdef __SSE2__
static inline uint64_t hyphen_mask(const char *p)
{
    const __m128i hyphen = _mm_set1_epi8('-');
    uint64_t m = 0;

    for (int i = 0; i < 4; i++) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));

        m |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v, hyphen)) << (16 * i);
    }
    return m;
}
#endif

size_t msrp_find_hyphens(const char *p, size_t n, size_t from)
{
    size_t i = from;

#ifdef __SSE2__
    /* A bit a byte; a run of seven starts where seven neighbouring bits are set. Blocks overlap by six. */
    for (; i + 64 <= n; i += 58) {
        uint64_t m = hyphen_mask(p + i);

        if (TD_LIKELY(m == 0)) {
            i += 6;
            continue;
        }
        m &= m >> 1;
        m &= m >> 2;
        m &= m >> 3; /* now: seven in a row from this bit on (1+1+2+3) */
        if (m)
            return i + (size_t)__builtin_ctzll(m);
    }
#endif
    while (i + 7 <= n) {
        const char *at = memchr(p + i, '-', n - i);
        size_t run = 0;

        if (!at)
            return n;
        i = (size_t)(at - p);
        while (i + run < n && run < 7 && p[i + run] == '-')
            run++;
        if (run == 7)
            return i;
        i += run ? run : 1;
    }
    return n;
}

/* Is there an end-line of this tid at p (after the seven hyphens)? 1 yes, 0 no, -1 too few bytes to say. */
static int is_end(const char *p, size_t n, struct sv tid, char *flag)
{
    size_t cmp = TD_MIN(n, tid.n);

    if (memcmp(p, tid.p, cmp) != 0)
        return 0;
    if (n <= tid.n)
        return -1;
    *flag = p[tid.n];
    if (*flag != '$' && *flag != '+' && *flag != '#')
        return 0;
    if (n > tid.n + 1 && p[tid.n + 1] != '\r')
        return 0;
    if (n > tid.n + 2 && p[tid.n + 2] != '\n')
        return 0;
    return n >= tid.n + 3 ? 1 : -1;
}

static bool is_line_start(const char *p, size_t at, bool at_start)
{
    return at >= 2 ? p[at - 1] == '\n' && p[at - 2] == '\r' : at == 0 && at_start;
}

struct msrp_body msrp_body_scan(const char *p, size_t n, struct sv tid, bool at_start)
{
    static const char line_break_and_six[] = "\r\n------";
    struct msrp_body b = { 0 };
    size_t at = 0, hold = n;

    for (;; at++) {
        size_t before;
        char flag = 0;
        int end;

        at = msrp_find_hyphens(p, n, at);
        if (at == n)
            break;
        if (!is_line_start(p, at, at_start))
            continue;
        before = at >= 2 ? at - 2 : 0;
        end = is_end(p + at + 7, n - at - 7, tid, &flag);
        if (end > 0) {
            b.n = before;
            b.ended = true;
            b.flag = flag;
            b.used = at + 7 + tid.n + 3;
            return b;
        }
        b.hyphen_lines = true;
        if (hold == n && (end < 0 || n - at < MSRP_END_LINE_MAX - 2))
            hold = before;
    }
    /* No end-line so far: hold back a tail of CRLF and hyphens or, right after the blank line, of hyphens alone. */
    b.n = hold;
    for (size_t len = TD_MIN(n, sizeof line_break_and_six - 1); len && b.n == n; len--)
        if (memcmp(p + n - len, line_break_and_six, len) == 0)
            b.n = n - len;
    if (at_start && n < 7 && memcmp(p, "------", n) == 0)
        b.n = 0;
    b.used = b.n;
    return b;
}

size_t msrp_body_clash(const char *p, size_t n, struct sv tid, bool at_start)
{
    for (size_t at = msrp_find_hyphens(p, n, 0); at < n; at = msrp_find_hyphens(p, n, at + 1)) {
        char flag;

        if (is_line_start(p, at, at_start) && is_end(p + at + 7, n - at - 7, tid, &flag))
            return at >= 2 ? at - 2 : 0;
    }
    return SIZE_MAX;
}

/* ---- heads ---- */

/* The line at p without its CRLF. 1: got it, 0: not all there, -1: bare LF or too long. */
static int read_line(const char *p, size_t n, struct sv *line)
{
    const char *lf = memchr(p, '\n', TD_MIN(n, (size_t)MSRP_LINE_MAX + 2));
    size_t len;

    if (!lf)
        return n > MSRP_LINE_MAX + 1 ? -1 : 0;
    len = (size_t)(lf - p);
    if (len == 0 || p[len - 1] != '\r')
        return -1;
    *line = sv_make(p, len - 1);
    return 1;
}

static const char *read_start(struct msrp_head *h, struct sv line)
{
    size_t sp;
    struct sv rest, word;

    if (!sv_starts(line, SV("MSRP ")))
        return "the start line does not begin with MSRP";
    rest = sv_from(line, 5);
    sp = sv_find(rest, ' ');
    h->tid = sv_upto(rest, sp);
    if (!msrp_tid_is_good(h->tid)) {
        h->tid = sv_make(NULL, 0);
        return "bad transaction identifier";
    }
    rest = sv_from(rest, sp);
    if (rest.n < 2)
        return "the start line has neither method nor status";
    rest = sv_from(rest, 1);
    sp = sv_find(rest, ' ');
    word = sv_upto(rest, sp);
    if (word.n == 3 && word.p[0] >= '0' && word.p[0] <= '9') {
        for (size_t i = 0; i < 3; i++) {
            if (word.p[i] < '0' || word.p[i] > '9')
                return "bad status code";
            h->status = h->status * 10 + (unsigned)(word.p[i] - '0');
        }
        h->is_response = true;
        h->comment = sv_from(rest, sp + 1);
        return NULL;
    }
    h->method_text = word;
    if (sv_eq(word, SV("SEND")))
        h->method = MSRP_SEND;
    else if (sv_eq(word, SV("REPORT")))
        h->method = MSRP_REPORT;
    else if (sv_eq(word, SV("AUTH")))
        h->method = MSRP_AUTH;
    else
        h->method = MSRP_OTHER_METHOD;
    if (sp < rest.n || word.n == 0)
        return "bad request line";
    for (size_t i = 0; i < word.n; i++)
        if (word.p[i] < 'A' || word.p[i] > 'Z') {
            h->fault = "the method is not in upper case letters"; /* the framing is intact */
            break;
        }
    return NULL;
}

static void set_once(struct msrp_head *h, struct sv *slot, struct sv value, const char *twice)
{
    if (slot->p)
        h->fault = twice;
    *slot = value;
}

/* A header line; known names are noted. False: no header. */
static bool read_header(struct msrp_head *h, struct sv line)
{
    size_t colon = sv_find(line, ':');
    struct sv name = sv_upto(line, colon), value;

    if (colon == 0 || colon == line.n)
        return false;
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] <= ' ' || name.p[i] > '~')
            return false;
    value = sv_trim(sv_from(line, colon + 1));
    switch (name.n) {
    case 6:
        if (sv_eq_nocase(name, SV("Status")))
            set_once(h, &h->status_text, value, "Status twice");
        break;
    case 7:
        if (sv_eq_nocase(name, SV("To-Path")))
            set_once(h, &h->to_path, value, "To-Path twice");
        else if (sv_eq_nocase(name, SV("Expires")))
            set_once(h, &h->expires, value, "Expires twice");
        break;
    case 9:
        if (sv_eq_nocase(name, SV("From-Path")))
            set_once(h, &h->from_path, value, "From-Path twice");
        break;
    case 10:
        if (sv_eq_nocase(name, SV("Message-ID")))
            set_once(h, &h->message_id, value, "Message-ID twice");
        else if (sv_eq_nocase(name, SV("Byte-Range")))
            set_once(h, &h->byte_range, value, "Byte-Range twice");
        break;
    case 12:
        if (sv_eq_nocase(name, SV("Content-Type")))
            set_once(h, &h->content_type, value, "Content-Type twice");
        break;
    case 13:
        if (sv_eq_nocase(name, SV("Authorization")))
            set_once(h, &h->authorization, value, "Authorization twice");
        break;
    case 14:
        if (sv_eq_nocase(name, SV("Failure-Report")))
            set_once(h, &h->failure_report_text, value, "Failure-Report twice");
        else if (sv_eq_nocase(name, SV("Success-Report")))
            set_once(h, &h->success_report, value, "Success-Report twice");
        break;
    default:
        break;
    }
    return true;
}

/* What the values must be; the framing is intact whatever is wrong here. */
static void check_values(struct msrp_head *h)
{
    if (!h->fault && (!h->to_path.p || !h->from_path.p || !h->to_path.n || !h->from_path.n))
        h->fault = "To-Path or From-Path is missing";
    if (h->failure_report_text.p) {
        if (sv_eq_nocase(h->failure_report_text, SV("no")))
            h->failure_report = MSRP_FR_NO;
        else if (sv_eq_nocase(h->failure_report_text, SV("partial")))
            h->failure_report = MSRP_FR_PARTIAL;
        else if (!sv_eq_nocase(h->failure_report_text, SV("yes")) && !h->fault)
            h->fault = "bad Failure-Report";
    }
    if (h->success_report.p) {
        h->wants_success = sv_eq_nocase(h->success_report, SV("yes"));
        if (!h->wants_success && !sv_eq_nocase(h->success_report, SV("no")) && !h->fault)
            h->fault = "bad Success-Report";
    }
    if (h->byte_range.p && !msrp_range_parse(&h->range, h->byte_range) && !h->fault)
        h->fault = "bad Byte-Range";
    if (h->is_response)
        return;
    if ((h->method == MSRP_SEND || h->method == MSRP_REPORT) && !h->fault) {
        if (!h->message_id.p)
            h->fault = "Message-ID is missing";
        else if (!msrp_tid_is_good(h->message_id))
            h->fault = "bad Message-ID";
    }
    if (h->has_body && !h->content_type.p && !h->fault)
        h->fault = "a body without Content-Type";
}

static enum msrp_read broken(struct msrp_head *h, const char *why)
{
    h->fault = why;
    return MSRP_BROKEN;
}

enum msrp_read msrp_head_read(struct msrp_head *h, const char *p, size_t n, size_t max_header)
{
    struct sv line;
    size_t at, first_header = 0;
    unsigned count = 0;
    const char *why;
    int got;

    *h = (struct msrp_head){ 0 };
    got = read_line(p, n, &line);
    if (got <= 0)
        return got == 0 && n <= max_header ? MSRP_MORE : broken(h, "no CRLF at the end of the start line");
    why = read_start(h, line);
    if (why)
        return broken(h, why);
    at = line.n + 2;
    for (;;) {
        struct sv to_before = h->to_path, from_before = h->from_path;

        if (at > max_header)
            return broken(h, "the header section is too long");
        got = read_line(p + at, n - at, &line);
        if (got == 0)
            return n > max_header ? broken(h, "the header section is too long") : MSRP_MORE;
        if (got < 0)
            return broken(h, "bad line end or a line too long");
        if (line.n == 0) {
            h->has_body = true;
            h->headers = sv_make(p + first_header, at - first_header);
            h->n = at + 2;
            break;
        }
        if (line.p[0] == '-' && sv_starts(line, SV("-------"))) {
            char flag = 0;

            if (is_end(line.p + 7, line.n + 2 - 7, h->tid, &flag) != 1)
                return broken(h, "an end-line of another transaction within the headers");
            h->flag = flag;
            h->headers = sv_make(p + first_header, at - first_header);
            h->n = at + line.n + 2;
            break;
        }
        if (++count > MSRP_HEADERS_MAX)
            return broken(h, "too many headers");
        if (!read_header(h, line))
            return broken(h, "a line that is no header");
        if ((count == 1 && to_before.p == h->to_path.p) || (count == 2 && from_before.p == h->from_path.p))
            h->order_fault = true;
        at += line.n + 2;
        if (count == 2) {
            first_header = at;
            h->paths = sv_make(memchr(p, '\n', n), 0);
            h->paths.p++;
            h->paths.n = (size_t)(p + at - h->paths.p);
        }
    }
    if (count < 2)
        h->headers = sv_make(p + h->n, 0);
    if (h->order_fault && !h->fault)
        h->fault = "To-Path and From-Path are not the first two headers";
    check_values(h);
    return MSRP_DONE;
}
