/* Reading MSRP frames. */
#include "msrp/frame.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "msrp/uri.h"

/* Characters of a transact-id and of a Message-ID (ident, RFC 4975 s.9): 2 may come first, 1 only later. */
static const uint8_t ident_class[256] = {
    ['0' ... '9'] = 2, ['A' ... 'Z'] = 2, ['a' ... 'z'] = 2, ['.'] = 1, ['-'] = 1, ['+'] = 1, ['%'] = 1, ['='] = 1,
};

#ifdef __SSE2__
/* Are these 16 letters, digits, dots and hyphens, as most are? */
static inline bool are_usual(const char *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p), lower = _mm_or_si128(v, _mm_set1_epi8(0x20));
    /* between two bounds: moved to the upper end of what a signed octet can be */
    __m128i letter = _mm_cmpgt_epi8(_mm_add_epi8(lower, _mm_set1_epi8(127 - 'z')), _mm_set1_epi8(126 - ('z' - 'a')));
    __m128i other = _mm_cmpgt_epi8(_mm_add_epi8(v, _mm_set1_epi8(127 - '9')), _mm_set1_epi8(126 - ('9' - '-')));

    other = _mm_andnot_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('/')), other);
    return _mm_movemask_epi8(_mm_or_si128(letter, other)) == 0xffff;
}
#endif

bool msrp_tid_is_good(struct sv tid)
{
    if (tid.n < MSRP_TID_MIN || tid.n > MSRP_TID_MAX || ident_class[(uint8_t)tid.p[0]] != 2)
        return false;
#ifdef __SSE2__
    if (tid.n >= 16 && are_usual(tid.p) && are_usual(tid.p + tid.n - 16))
        return true;
#endif
    for (size_t i = 1; i < tid.n; i++)
        if (!ident_class[(uint8_t)tid.p[i]])
            return false;
    return true;
}

/* Read a number at p and move past it. False: no digit, or over INT64_MAX, so that positions never wrap. */
static bool take_number(const char **p, const char *end, uint64_t *out)
{
    const char *begin = *p, *at = begin;
    uint64_t v = 0;

    for (unsigned digit; at < end && (digit = (unsigned)*at - '0') <= 9; at++) {
        if (v > INT64_MAX / 10)
            return false;
        v = v * 10 + digit;
    }
    *p = at;
    *out = v;
    return at > begin && v <= INT64_MAX;
}

static bool take_char(const char **p, const char *end, char c)
{
    if (*p == end || **p != c)
        return false;
    ++*p;
    return true;
}

bool msrp_range_parse(struct msrp_range *r, struct sv text)
{
    const char *p = text.p, *end = text.p + text.n;

    *r = (struct msrp_range){ .present = true };
    if (!take_number(&p, end, &r->start) || r->start == 0 || !take_char(&p, end, '-'))
        return false;
    r->end_known = !take_char(&p, end, '*');
    if ((r->end_known && !take_number(&p, end, &r->end)) || !take_char(&p, end, '/'))
        return false;
    r->total_known = !take_char(&p, end, '*');
    if ((r->total_known && !take_number(&p, end, &r->total)) || p != end)
        return false;
    if (r->end_known && r->end < r->start - 1)
        return false;
    return !(r->end_known && r->total_known && r->end > r->total);
}

/* ---- end-lines ---- */

/* The end of the run of hyphens that goes through at. */
static size_t run_end(const char *p, size_t n, size_t at)
{
#ifdef __SSE2__
    const __m128i hyphens = _mm_set1_epi8('-');

    for (; at + 16 <= n; at += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + at));
        unsigned same = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, hyphens));

        if (same != 0xffff)
            return at + (size_t)__builtin_ctz(~same);
    }
#endif
    while (at < n && p[at] == '-')
        at++;
    return at;
}

/* The first run of seven hyphens or more that begins at or after from (a hyphen before from does not count). Returns
 * its beginning, with *end past it, or n. */
static size_t find_run(const char *p, size_t n, size_t from, size_t *end)
{
    size_t i = from;

    while (i + 7 <= n) {
        size_t hit, begin;

#ifdef __SSE2__
        /* Wherever seven neighbours lie, four of them fill one whole word of the grid that starts at i; so one compare
         * looks at 16 bytes, and ordinary text and random bytes hardly ever have such a word. */
        const __m128i hyphens = _mm_set1_epi8('-');

        for (; i + 64 <= n; i += 64) {
            const __m128i *v = (const __m128i *)(const void *)(p + i);
            __m128i a = _mm_cmpeq_epi32(_mm_loadu_si128(v), hyphens);
            __m128i b = _mm_cmpeq_epi32(_mm_loadu_si128(v + 1), hyphens);
            __m128i c = _mm_cmpeq_epi32(_mm_loadu_si128(v + 2), hyphens);
            __m128i d = _mm_cmpeq_epi32(_mm_loadu_si128(v + 3), hyphens);

            if (TD_UNLIKELY(_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d)))))
                break;
        }
        for (; i + 16 <= n; i += 16) {
            __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
            unsigned words = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi32(v, hyphens));

            if (words) {
                hit = i + (size_t)__builtin_ctz(words);
                goto look;
            }
        }
        i = i - from < 3 ? from : i - 3; /* up to three hyphens of a run may stand before the grid's next word */
#endif
        /* A run through i..i+6 goes through the last of them. */
        while (i + 7 <= n && p[i + 6] != '-')
            i += 7;
        if (i + 7 > n)
            break;
        hit = i + 6;
#ifdef __SSE2__
    look:
#endif
        begin = hit;
        while (begin > from && p[begin - 1] == '-')
            begin--;
        *end = run_end(p, n, hit);
        if (*end - begin >= 7)
            return begin;
        i = from = *end;
    }
    return n;
}

size_t msrp_find_hyphens(const char *p, size_t n, size_t from)
{
    size_t end;

    return find_run(p, n, from, &end);
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

/* May an end-line begin with the run of hyphens at..end? A tid begins with no hyphen, so eight are none. */
static bool is_end_line_run(const char *p, size_t at, size_t end, bool at_start)
{
    if (end - at != 7)
        return false;
    return at >= 2 ? p[at - 1] == '\n' && p[at - 2] == '\r' : at == 0 && at_start;
}

struct msrp_body msrp_body_scan(const char *p, size_t n, struct sv tid, bool at_start)
{
    static const char line_break_and_six[] = "\r\n------";
    struct msrp_body b = { 0 };
    size_t run = 0, hold = n;

    if (n == 0)
        return b;
    for (size_t at = find_run(p, n, 0, &run); at < n; at = find_run(p, n, run, &run)) {
        size_t before = at >= 2 ? at - 2 : 0;
        char flag = 0;
        int end;

        if (!is_end_line_run(p, at, run, at_start))
            continue;
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
    size_t run;

    for (size_t at = find_run(p, n, 0, &run); at < n; at = find_run(p, n, run, &run)) {
        size_t rest = n - at - 7;
        char flag;
        int end = is_end_line_run(p, at, run, at_start) ? is_end(p + at + 7, rest, tid, &flag) : 0;

        /* A CRLF may follow these bytes, but nothing else of an end-line: a line is not cut before its flag. */
        if (end > 0 || (end < 0 && rest > tid.n))
            return at >= 2 ? at - 2 : 0;
    }
    return SIZE_MAX;
}

size_t msrp_body_cut(const char *p, size_t n, size_t max, bool hyphen_lines)
{
    struct sv tail;
    size_t cr;

    if (n <= max)
        return n;
    if (!hyphen_lines || max <= MSRP_END_LINE_MAX)
        return max;
    tail = sv_make(p + max - MSRP_END_LINE_MAX, MSRP_END_LINE_MAX);
    cr = sv_find(tail, '\r');
    return max - (tail.n - cr);
}

/* ---- heads ---- */

/* The first control character at or after from, or n. */
static inline size_t find_control(const char *p, size_t n, size_t from)
{
    size_t i = from;

#ifdef __SSE2__
    const __m128i last = _mm_set1_epi8(0x1f);

    for (; i + 16 <= n; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
        unsigned found = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(v, last), v));

        if (found)
            return i + (size_t)__builtin_ctz(found);
    }
#endif
    while (i < n && (uint8_t)p[i] > 0x1f)
        i++;
    return i;
}

enum line_read { LINE_MORE, LINE_READ, LINE_TOO_LONG, LINE_BARE_LF };

/* The line at p without its CRLF. *odd is set when it holds a control character other than a tab. */
static enum line_read read_line(const char *p, size_t n, struct sv *line, bool *odd)
{
    size_t max = TD_MIN(n, (size_t)MSRP_LINE_MAX + 1);

    for (size_t at = find_control(p, max, 0); at < max; at = find_control(p, max, at + 1)) {
        if (p[at] == '\r') {
            if (at + 1 == n)
                return LINE_MORE;
            if (p[at + 1] == '\n') {
                *line = sv_make(p, at);
                return LINE_READ;
            }
        }
        if (p[at] == '\n')
            return LINE_BARE_LF;
        if (p[at] != '\t')
            *odd = true;
    }
    return n > MSRP_LINE_MAX ? LINE_TOO_LONG : LINE_MORE;
}

static const char *read_start(struct msrp_head *h, struct sv line)
{
    size_t sp;
    struct sv rest, word;

    if (!sv_starts(line, SV("MSRP ")))
        return "the start line does not begin with MSRP";
    rest = sv_from(line, 5);
    sp = sv_find(rest, ' ');
    word = sv_upto(rest, sp);
    if (!msrp_tid_is_good(word))
        return "bad transaction identifier";
    h->tid = word;
    rest = sv_from(rest, sp + 1);
    sp = sv_find(rest, ' ');
    word = sv_upto(rest, sp);
    if (word.n == 0)
        return "the start line has neither method nor status";
    if (word.p[0] >= '0' && word.p[0] <= '9') {
        for (size_t i = 0; i < word.n; i++) {
            if (word.n != 3 || word.p[i] < '0' || word.p[i] > '9')
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
    if (sp < rest.n)
        return "bad request line";
    for (size_t i = 0; i < word.n; i++)
        if (word.p[i] < 'A' || word.p[i] > 'Z') {
            h->fault = "the method is not in upper case letters"; /* the framing is intact */
            break;
        }
    return NULL;
}

/* A header that may stand once: the first one counts. */
static void set_once(struct msrp_head *h, struct sv *slot, struct sv value, const char *twice)
{
    if (!slot->p)
        *slot = value;
    else if (!h->fault)
        h->fault = twice;
}

/* Header field names are visible ASCII without the colon: 1. */
static const uint8_t name_class[256] = { ['!' ... '9'] = 1, [';' ... '~'] = 1 };

/* Does this header name read as the given one, of the same length n (6 or more) and in lower case? Among visible
 * characters no other than the two cases of a letter (and the hyphen itself) become letters and hyphens by setting
 * this bit. */
static inline bool is_name(const char *name, const char *lower, size_t n)
{
    if (n < 8) {
        const uint32_t bit = 0x20202020;
        uint32_t a, b, c, d;

        memcpy(&a, name, 4), memcpy(&b, name + n - 4, 4);
        memcpy(&c, lower, 4), memcpy(&d, lower + n - 4, 4);
        return (a | bit) == c && (b | bit) == d;
    } else {
        const uint64_t bit = 0x2020202020202020;
        uint64_t a, b, c, d;

        memcpy(&a, name, 8), memcpy(&b, name + n - 8, 8);
        memcpy(&c, lower, 8), memcpy(&d, lower + n - 8, 8);
        return (a | bit) == c && (b | bit) == d;
    }
}
#define IS_NAME(name, lower) is_name((name).p, lower, sizeof(lower) - 1)

/* The length of the header name at the front of a line, or 0 when there is none with a colon after it. */
static size_t name_length(struct sv line)
{
    size_t n = 0;

#ifdef __SSE2__
    if (line.n >= 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)line.p);
        unsigned colon = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8(':')));
        unsigned visible = (unsigned)_mm_movemask_epi8(_mm_and_si128(_mm_cmpgt_epi8(v, _mm_set1_epi8(' ')),
                                                                     _mm_cmplt_epi8(v, _mm_set1_epi8(0x7f))));

        if (colon) {
            unsigned before = (colon & -colon) - 1;

            return (before & ~visible) == 0 ? (size_t)__builtin_ctz(colon) : 0;
        }
    }
#endif
    while (n < line.n && name_class[(uint8_t)line.p[n]])
        n++;
    return n < line.n && line.p[n] == ':' ? n : 0;
}

static inline bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* A header line; known names are noted. False: no header. */
static bool read_header(struct msrp_head *h, struct sv line)
{
    struct sv name = { line.p, name_length(line) }, value;
    const char *from = name.p + name.n + 1, *end = line.p + line.n;

    if (name.n == 0)
        return false;
    while (from < end && is_blank(*from))
        from++;
    while (end > from && is_blank(end[-1]))
        end--;
    value = sv_make(from, (size_t)(end - from));
    switch (name.n) {
    case 6:
        if (IS_NAME(name, "status"))
            set_once(h, &h->status_text, value, "Status twice");
        break;
    case 7:
        if (IS_NAME(name, "to-path"))
            set_once(h, &h->to_path, value, "To-Path twice");
        else if (IS_NAME(name, "expires"))
            set_once(h, &h->expires, value, "Expires twice");
        break;
    case 9:
        if (IS_NAME(name, "from-path"))
            set_once(h, &h->from_path, value, "From-Path twice");
        break;
    case 10:
        if (IS_NAME(name, "message-id"))
            set_once(h, &h->message_id, value, "Message-ID twice");
        else if (IS_NAME(name, "byte-range"))
            set_once(h, &h->byte_range, value, "Byte-Range twice");
        break;
    case 12:
        if (IS_NAME(name, "content-type"))
            set_once(h, &h->content_type, value, "Content-Type twice");
        break;
    case 13:
        if (IS_NAME(name, "authorization"))
            set_once(h, &h->authorization, value, "Authorization twice");
        break;
    case 14:
        if (IS_NAME(name, "failure-report"))
            set_once(h, &h->failure_report_text, value, "Failure-Report twice");
        else if (IS_NAME(name, "success-report"))
            set_once(h, &h->success_report, value, "Success-Report twice");
        break;
    default:
        break;
    }
    return true;
}

/* Not for REPORT, in which the two headers have no effect (RFC 4975 s.7.1.2). */
static void check_reports(struct msrp_head *h)
{
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
}

/* What the values must be; the framing is intact whatever is wrong here. */
static void check_values(struct msrp_head *h)
{
    if (!h->fault && (!h->to_path.n || !h->from_path.n))
        h->fault = "To-Path or From-Path is missing";
    if (h->is_response) /* nothing else in a response means anything to a relay: no reason to drop it */
        return;
    if (h->method != MSRP_REPORT)
        check_reports(h);
    if (h->byte_range.p && !msrp_range_parse(&h->range, h->byte_range) && !h->fault)
        h->fault = "bad Byte-Range";
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
    if (!h->is_response)
        check_reports(h); /* whether a 400 may be sent */
    h->fault = why;
    return MSRP_BROKEN;
}

static const char *why_broken(enum line_read got)
{
    return got == LINE_BARE_LF ? "a line feed without carriage return" : "a line is too long";
}

/* The line at p, of which most have no control character before their CRLF. */
static inline enum line_read next_line(const char *p, size_t n, struct sv *line, bool *odd)
{
    size_t max = TD_MIN(n, (size_t)MSRP_LINE_MAX + 1), at = find_control(p, max, 0);

    if (TD_UNLIKELY(at > MSRP_LINE_MAX || at + 2 > n || memcmp(p + at, "\r\n", 2) != 0))
        return read_line(p, n, line, odd);
    *line = sv_make(p, at);
    return LINE_READ;
}

enum msrp_read msrp_head_read(struct msrp_head *h, const char *p, size_t n, size_t max_header, const struct msrp_paths *known)
{
    size_t at = 0, first = 0;
    unsigned count = 0, to_at = 0, from_at = 0;
    struct sv line;
    bool odd = false, full = n >= max_header;
    const char *why;

    *h = (struct msrp_head){ 0 };
    n = TD_MIN(n, max_header);
    for (;;) {
        enum line_read got = next_line(p + at, n - at, &line, &odd);

        if (got == LINE_MORE && !full)
            return MSRP_MORE;
        if (got == LINE_MORE)
            return broken(h, at ? "the header section is too long" : "no CRLF at the end of the start line");
        if (got != LINE_READ)
            return broken(h, why_broken(got));
        if (at == 0) {
            why = read_start(h, line);
            if (why)
                return broken(h, why);
            first = at = line.n + 2;
            if (known && known->lines.n <= n - at && memcmp(p + at, known->lines.p, known->lines.n) == 0) {
                h->paths_known = true;
                h->paths = sv_make(p + at, known->lines.n);
                h->to_path = sv_make(p + at + (known->to.p - known->lines.p), known->to.n);
                h->from_path = sv_make(p + at + (known->from.p - known->lines.p), known->from.n);
                at += known->lines.n;
                to_at = 1;
                from_at = count = 2;
            }
            continue;
        }
        if (line.n == 0) {
            h->has_body = true;
            h->n = at + 2;
            break;
        }
        if (line.p[0] == '-' && sv_starts(line, SV("-------"))) {
            if (is_end(line.p + 7, line.n + 2 - 7, h->tid, &h->flag) != 1)
                return broken(h, "an end-line of another transaction within the headers");
            h->n = at + line.n + 2;
            break;
        }
        if (++count > MSRP_HEADERS_MAX)
            return broken(h, "too many headers");
        if (!read_header(h, line))
            return broken(h, "a line that is no header");
        if (!to_at && h->to_path.p)
            to_at = count;
        else if (!from_at && h->from_path.p)
            from_at = count;
        at += line.n + 2;
        if (count == 2)
            h->paths = sv_make(p + first, at - first);
    }
    if (count >= 2)
        h->headers = sv_make(h->paths.p + h->paths.n, at - first - h->paths.n);
    else
        h->headers = sv_make(p + h->n, 0);
    if (to_at && from_at && (to_at != 1 || from_at != 2)) {
        h->order_fault = true;
        if (!h->fault)
            h->fault = "To-Path and From-Path are not the first two headers";
    }
    if (odd && !h->fault)
        h->fault = "a control character in the head";
    check_values(h);
    return MSRP_DONE;
}
