/* The SIP stream framer. */
#include "net/sipframe.h"

#include <string.h>

#include "net/sipcheck.h"

enum { CSEQ_MAX = 0x7fffffff };

/* The headers that the edge looks at; the rest is the SIP process's business. */
enum mandatory { H_VIA, H_FROM, H_TO, H_CALL_ID, H_CSEQ, H_MAX_FORWARDS, H_CONTENT_LENGTH, H_CONTACT, H_N, H_OTHER = H_N };

/* One header with its continuation lines, without the last CRLF. */
struct line {
    struct sv all, name, value;
    enum mandatory id;
};

static enum mandatory one_of(struct sv name, struct sv known, enum mandatory id)
{
    return sv_eq_nocase(name, known) ? id : H_OTHER;
}

/* By length first: this is asked of each header of each message. */
static enum mandatory header_id(struct sv name)
{
    switch (name.n) {
    case 1:
        switch (sv_lower(name.p[0])) {
        case 'v':
            return H_VIA;
        case 'f':
            return H_FROM;
        case 't':
            return H_TO;
        case 'i':
            return H_CALL_ID;
        case 'l':
            return H_CONTENT_LENGTH;
        case 'm':
            return H_CONTACT;
        default:
            return H_OTHER;
        }
    case 2:
        return one_of(name, SV("To"), H_TO);
    case 3:
        return one_of(name, SV("Via"), H_VIA);
    case 4:
        return sv_lower(name.p[0]) == 'f' ? one_of(name, SV("From"), H_FROM) : one_of(name, SV("CSeq"), H_CSEQ);
    case 7:
        return sv_lower(name.p[1]) == 'a' ? one_of(name, SV("Call-ID"), H_CALL_ID) : one_of(name, SV("Contact"), H_CONTACT);
    case 12:
        return one_of(name, SV("Max-Forwards"), H_MAX_FORWARDS);
    case 14:
        return one_of(name, SV("Content-Length"), H_CONTENT_LENGTH);
    default:
        return H_OTHER;
    }
}

/* Take the next header off rest (which ends before the empty line). False: there is none, or it has no colon
 * (line->name is empty then). */
static bool next_line(struct sv *rest, struct line *line)
{
    size_t end = 0, colon;

    if (rest->n == 0)
        return false;
    do {
        end += sv_find(sv_from(*rest, end), '\n') + 1;
    } while (end < rest->n && (rest->p[end] == ' ' || rest->p[end] == '\t'));
    line->all = sv_upto(*rest, end - 2);
    *rest = sv_from(*rest, end);
    colon = sv_find(line->all, ':');
    line->name = colon < line->all.n ? sv_trim(sv_upto(line->all, colon)) : SV("");
    if (line->name.p != line->all.p) /* blanks in front: a continuation of the start line, or of nothing */
        line->name = SV("");
    line->value = colon < line->all.n ? sv_trim(sv_from(line->all, colon + 1)) : SV("");
    line->id = header_id(line->name);
    return true;
}

static void refuse(struct sipframe *f, int status, const char *reason)
{
    if (f->kind == SIPFRAME_OK) { /* the first fault decides */
        f->kind = SIPFRAME_REFUSE;
        f->status = status;
        f->reason = reason;
    }
}

static void broken(struct sipframe *f, int status, const char *reason)
{
    f->kind = SIPFRAME_BROKEN;
    f->status = status;
    f->reason = reason;
}

struct start {
    bool is_request;
    struct sv method;
};

/* RFC 3261 s.7.1, s.7.2. */
static struct start read_start(struct sv line, struct sipframe *f)
{
    struct start s = { 0 };
    size_t first = sv_find(line, ' '), last = line.n;

    if (sv_eq_nocase(sv_upto(line, 8), SV("SIP/2.0 "))) {
        struct sv code = sv_upto(sv_from(line, 8), 3);

        if (code.n < 3 || code.p[0] < '1' || code.p[0] > '6' || code.p[1] < '0' || code.p[1] > '9' || code.p[2] < '0' ||
            code.p[2] > '9' || (line.n > 11 && line.p[11] != ' '))
            refuse(f, 0, "status code");
        return s;
    }
    while (last > 0 && line.p[last - 1] != ' ')
        last--;
    s.is_request = true;
    s.method = sv_upto(line, first);
    if (first + 1 >= last || !sipcheck_token(s.method)) {
        refuse(f, 400, "Bad Request Line");
    } else if (!sv_eq_nocase(sv_from(line, last), SV("SIP/2.0"))) {
        bool other = sv_eq_nocase(sv_upto(sv_from(line, last), 4), SV("SIP/"));

        refuse(f, other ? 505 : 400, other ? "Version Not Supported" : "Bad Request Line");
    } else if (!sipcheck_uri(sv_upto(sv_from(line, first + 1), last - 1 - (first + 1)))) {
        refuse(f, 400, "Bad Request URI");
    }
    return s;
}

static void check_cseq(struct sv value, const struct start *s, struct sipframe *f)
{
    size_t n = 0;
    uint64_t number;

    while (n < value.n && value.p[n] >= '0' && value.p[n] <= '9')
        n++;
    if (memchr(value.p, '\n', value.n))
        return; /* folded: left to the SIP process */
    if (!sv_to_u64(sv_upto(value, n), &number, NULL) || number > CSEQ_MAX)
        refuse(f, s->is_request ? 400 : 0, "Bad CSeq");
    else if (s->is_request && !sv_eq(sv_trim(sv_from(value, n)), s->method))
        refuse(f, 400, "CSeq Method Mismatch");
}

/* A line end that is not CRLF, or a NUL: two parsers could disagree about where the message ends. */
static bool is_ambiguous(const char *p, size_t n)
{
    struct sv rest = sv_make(p, n);

    if (memchr(p, '\0', n))
        return true;
    while (rest.n) {
        size_t cr = sv_find(rest, '\r'), lf = sv_find(rest, '\n');

        if (cr == rest.n && lf == rest.n)
            return false;
        if (cr == rest.n || lf != cr + 1)
            return true;
        rest = sv_from(rest, lf + 1);
    }
    return false;
}

static size_t find_head(const char *p, size_t n, size_t scanned)
{
    size_t at = scanned > 3 ? scanned - 3 : 0;
    const char *lf;

    /* Line by line, which is several times quicker than memmem() for so short a string. */
    while (at < n && (lf = memchr(p + at, '\n', n - at))) {
        at = (size_t)(lf - p) + 1;
        if (at >= 2 && n - at >= 2 && lf[-1] == '\r' && lf[1] == '\r' && lf[2] == '\n')
            return at + 2;
    }
    return 0;
}

static void check_value(const struct line *line, const struct start *start, struct sipframe *f)
{
    bool good = true;

    switch (line->id) {
    case H_CSEQ:
        check_cseq(line->value, start, f);
        break;
    case H_FROM:
    case H_TO:
        good = sipcheck_addr(line->value);
        break;
    case H_VIA:
        good = sipcheck_via(line->value);
        break;
    case H_CONTACT: /* the registrar's business; what else it says is not ours to judge */
        good = !sv_eq(start->method, SV("REGISTER")) || sipcheck_contact(line->value);
        break;
    default:
        break;
    }
    if (!good)
        refuse(f, start->is_request ? 400 : 0, "Bad Via, From, To or Contact");
}

/* Where the body ends; how it is told depends on the transport: S-MSG-04, S-MSG-05. */
static void read_length(struct sipframe *f, const struct start *start, struct sv value, unsigned times, size_t datagram)
{
    uint64_t length = datagram - f->head;

    if (times > 1 || (times == 0 && !datagram) || (times && !sv_to_u64(value, &length, NULL)) || length > SIPFRAME_SKIP_MAX) {
        if (datagram)
            refuse(f, start->is_request ? 400 : 0, "Bad Content-Length");
        else
            broken(f, start->is_request ? 400 : 0, "Bad or Missing Content-Length");
        return;
    }
    f->has_length = times > 0;
    f->len = f->head + (size_t)length;
    if (datagram && f->len > datagram)
        refuse(f, start->is_request ? 400 : 0, "Body Shorter Than Content-Length");
}

/* Are there more values in its lists than may be? Each takes two octets at least: a short header section is not searched. */
static bool has_too_many_values(struct sv head)
{
    size_t n = 0;

    if (head.n <= 2 * SIPFRAME_VALUES_MAX)
        return false;
    for (size_t i = 0; i < head.n; i++)
        n += head.p[i] == ',';
    return n > SIPFRAME_VALUES_MAX;
}

/* All headers of a whole header section. datagram: bytes of the datagram it is in; 0: it is in a stream. */
static void read_head(const char *p, size_t datagram, struct sipframe *f)
{
    struct sv rest = sv_make(p, f->head ? f->head - 2 : 0), body = SV("");
    struct start start;
    struct line line;
    unsigned seen[H_N] = { 0 }, count = 0;
    bool too_long = has_too_many_values(rest);

    if (is_ambiguous(p, f->head)) {
        broken(f, 0, "bad line end");
        return;
    }
    line.all = sv_upto(rest, sv_find(rest, '\r'));
    rest = sv_from(rest, line.all.n + 2);
    start = read_start(line.all, f);
    if (line.all.n > SIPFRAME_LINE_MAX)
        too_long = true;
    while (next_line(&rest, &line)) {
        if (++count > SIPFRAME_HEADERS_MAX || line.all.n > SIPFRAME_LINE_MAX)
            too_long = true;
        if (line.name.n == 0)
            refuse(f, start.is_request ? 400 : 0, "Bad Header Line");
        if (line.id == H_OTHER)
            continue;
        seen[line.id]++;
        if (line.id == H_CONTENT_LENGTH)
            body = line.value;
        else
            check_value(&line, &start, f);
    }
    read_length(f, &start, body, seen[H_CONTENT_LENGTH], datagram);
    if (f->kind == SIPFRAME_BROKEN)
        return;
    if (too_long || f->len > SIPFRAME_MAX) {
        f->kind = SIPFRAME_OK;
        refuse(f, start.is_request ? 513 : 0, "Message Too Large");
    }
    for (int i = 0; i < H_N; i++)
        if (i != H_CONTACT && ((i < H_MAX_FORWARDS && seen[i] == 0) || (i != H_VIA && seen[i] > 1)))
            refuse(f, start.is_request ? 400 : 0, "Missing or Repeated Mandatory Header");
}

void sipframe_read(const char *p, size_t n, size_t scanned, struct sipframe *f)
{
    *f = (struct sipframe){ .kind = SIPFRAME_MORE };
    if (n == 0)
        return;
    if (p[0] == '\r') {
        if (n >= 2 && p[1] != '\n')
            broken(f, 0, "CR without LF");
        else if (n >= 2)
            *f = (struct sipframe){ .kind = SIPFRAME_CRLF, .len = 2 };
        return;
    }
    f->head = find_head(p, n, scanned);
    if (!f->head) {
        if (n >= SIPFRAME_MAX)
            broken(f, 0, "header section too large");
        return;
    }
    f->kind = SIPFRAME_OK;
    read_head(p, 0, f);
}

void sipframe_datagram(const char *p, size_t n, struct sipframe *f)
{
    *f = (struct sipframe){ .kind = SIPFRAME_BROKEN, .reason = "no header section" };
    f->head = find_head(p, n, 0);
    if (!f->head)
        return;
    f->kind = SIPFRAME_OK;
    read_head(p, n, f);
}

/* Is it, and not just what is too much of a body? */
static bool begins_message(struct sv s)
{
    struct sv line;

    while (s.n >= 2 && s.p[0] == '\r' && s.p[1] == '\n')
        s = sv_from(s, 2);
    line = sv_upto(s, sv_find(s, '\r'));
    return sv_starts(line, SV("SIP/2.0 ")) || (line.n > 8 && sv_eq(sv_from(line, line.n - 8), SV(" SIP/2.0")));
}

void sipframe_message(const char *p, size_t n, size_t *skip, struct sipframe *f)
{
    *skip = 0;
    while (n - *skip >= 2 && p[*skip] == '\r' && p[*skip + 1] == '\n')
        *skip += 2;
    if (*skip == n) {
        *f = (struct sipframe){ .kind = SIPFRAME_CRLF, .len = n };
        return;
    }
    p += *skip;
    n -= *skip;
    sipframe_datagram(p, n, f);
    if (f->kind == SIPFRAME_BROKEN || f->len == 0 || f->len >= n)
        return;
    if (begins_message(sv_make(p + f->len, n - f->len)))
        broken(f, 0, "two messages in one");
    else
        refuse(f, sv_starts(sv_make(p, n), SV("SIP/2.0 ")) ? 0 : 400, "Body Longer Than Content-Length");
    f->len = n;
}

long sipframe_length(const char *p, size_t n, size_t scanned, size_t max)
{
    struct sv rest;
    struct line line;
    uint64_t length = 0;
    size_t head = find_head(p, n, scanned);

    if (n >= 2 && p[0] == '\r' && p[1] == '\n')
        return 2;
    if (!head)
        return n >= max ? -1 : 0;
    rest = sv_make(p, head - 2);
    while (next_line(&rest, &line))
        if (line.id == H_CONTENT_LENGTH && !sv_to_u64(line.value, &length, NULL))
            return -1;
    return length > max || head + length > max ? -1 : (long)(head + length);
}

bool sipframe_answer(struct buf *out, const char *p, const struct sipframe *f)
{
    struct sv rest = sv_make(p, f->head ? f->head - 2 : 0), start = sv_upto(rest, sv_find(rest, '\r')), headers_part;
    struct line line;
    unsigned seen[H_N] = { 0 };

    if (f->status == 0 || f->head == 0 || sv_starts(start, SV("ACK ")) || sv_eq_nocase(sv_upto(start, 4), SV("SIP/")))
        return false;
    headers_part = rest = sv_from(rest, start.n + 2);
    while (next_line(&rest, &line))
        if (line.id == H_VIA)
            seen[H_VIA]++;
    if (!seen[H_VIA])
        return false;
    buf_printf(out, "SIP/2.0 %d %s\r\n", f->status, f->reason);
    rest = headers_part;
    while (next_line(&rest, &line)) {
        if (line.id >= H_MAX_FORWARDS ||
            (line.id != H_VIA && seen[line.id]++))
            continue;
        buf_add_sv(out, line.all);
        if (line.id == H_TO && !memmem(line.value.p, line.value.n, ";tag=", 5))
            buf_puts(out, ";tag=refused");
        buf_puts(out, "\r\n");
    }
    buf_puts(out, "Content-Length: 0\r\n\r\n");
    return true;
}
