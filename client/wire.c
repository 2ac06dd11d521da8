/* MSRP on the wire: a streaming frame reader, and the small texts inside a frame. */
#include "client/wire.h"

enum { CH_ALNUM = 1, CH_IDENT = 2 };

static const uint8_t kinds[256] = {
    ['0' ... '9'] = CH_ALNUM | CH_IDENT, ['a' ... 'z'] = CH_ALNUM | CH_IDENT, ['A' ... 'Z'] = CH_ALNUM | CH_IDENT,
    ['.'] = CH_IDENT, ['-'] = CH_IDENT, ['+'] = CH_IDENT, ['%'] = CH_IDENT, ['='] = CH_IDENT,
};

static bool is(char c, unsigned kind)
{
    return kinds[(unsigned char)c] & kind;
}

bool mc_is_ident(struct sv s)
{
    if (s.n < 4 || s.n > MC_IDENT_MAX || !is(s.p[0], CH_ALNUM))
        return false;
    for (size_t i = 1; i < s.n; i++)
        if (!is(s.p[i], CH_IDENT))
            return false;
    return true;
}

static bool is_flag(char c)
{
    return c == '$' || c == '+' || c == '#';
}

const struct sv *mc_head_get(const struct mc_head *h, struct sv name)
{
    for (size_t i = 0; i < h->n; i++)
        if (sv_eq_nocase(h->h[i].name, name))
            return &h->h[i].value;
    return NULL;
}

/* "MSRP tid METHOD" or "MSRP tid 200 comment". */
static const char *start_line(struct mc_head *h, struct sv line)
{
    struct sv word;
    size_t at;

    if (!sv_starts(line, SV("MSRP ")))
        return "start line does not begin with MSRP";
    line = sv_from(line, 5);
    at = sv_find(line, ' ');
    h->tid = sv_upto(line, at);
    if (!mc_is_ident(h->tid))
        return "bad transaction id";
    line = sv_from(line, at + 1);
    at = sv_find(line, ' ');
    word = sv_upto(line, at);
    if (word.n == 3 && word.p[0] >= '0' && word.p[0] <= '9') {
        uint64_t code;

        if (!sv_to_u64(word, &code, NULL))
            return "bad status code";
        h->code = (unsigned)code;
        h->comment = sv_from(line, at + 1);
        return NULL;
    }
    if (word.n == 0 || at != line.n)
        return "bad method";
    for (size_t i = 0; i < word.n; i++)
        if (word.p[i] < 'A' || word.p[i] > 'Z')
            return "bad method";
    h->method = word;
    return NULL;
}

static const char *header_line(struct sv line, struct mc_header *out)
{
    size_t colon = sv_find(line, ':');

    if (colon == 0 || colon == line.n)
        return "header line without a name";
    out->name = sv_upto(line, colon);
    for (size_t i = 0; i < colon; i++)
        if ((unsigned char)line.p[i] <= ' ' || line.p[i] == 0x7f)
            return "bad character in a header name";
    out->value = sv_trim(sv_from(line, colon + 1));
    return NULL;
}

/* Is the line "-------tid" and a flag? */
static bool is_end_line(const struct mc_reader *r, struct sv line)
{
    return line.n == r->end_n + 1 && memcmp(line.p, r->end, r->end_n) == 0 && is_flag(line.p[line.n - 1]);
}

/* Needs the whole head, its blank line or its end-line included: returns 0 until it is there. */
static size_t read_head(struct mc_reader *r, const char *in, size_t n, struct mc_event *ev)
{
    struct mc_head *h = &r->head;
    size_t at = 0, lines = 0;

    h->n = 0;
    h->method = h->comment = sv_make("", 0);
    h->code = 0;
    for (;;) {
        const char *lf = memchr(in + at, '\n', n - at);
        struct mc_header field;
        struct sv line;

        if (!lf) {
            ev->kind = n > MC_HEAD_MAX ? MC_EV_BAD : MC_EV_MORE;
            ev->rule = "head too long";
            return 0;
        }
        line = sv_make(in + at, (size_t)(lf - (in + at)));
        ev->rule = line.n == 0 || line.p[line.n - 1] != '\r' ? "line does not end with CRLF" : NULL;
        if (ev->rule)
            break;
        line.n--;
        if (lines == 0) {
            ev->rule = start_line(h, line);
            if (ev->rule)
                break;
            memcpy(r->end, "-------", 7);
            memcpy(r->end + 7, h->tid.p, h->tid.n);
            r->end_n = 7 + h->tid.n;
        } else if (lines > 2 && (line.n == 0 || is_end_line(r, line))) {
            h->has_body = line.n == 0;
            if (h->has_body)
                at += 2;
            h->raw = sv_make(in, at);
            r->state = h->has_body ? MC_AT_BODY_START : MC_AT_END;
            ev->kind = MC_EV_HEAD;
            ev->head = h;
            return at;
        } else {
            ev->rule = header_line(line, &field);
            if (!ev->rule && lines == 1 && !sv_eq_nocase(field.name, SV("To-Path")))
                ev->rule = "first header is not To-Path";
            if (!ev->rule && lines == 2 && !sv_eq_nocase(field.name, SV("From-Path")))
                ev->rule = "second header is not From-Path";
            if (!ev->rule && lines > 2 && h->n == MC_HEADERS_MAX)
                ev->rule = "too many headers";
            if (ev->rule)
                break;
            if (lines == 1)
                h->to_path = field.value;
            else if (lines == 2)
                h->from_path = field.value;
            else
                h->h[h->n++] = field;
        }
        lines++;
        at += line.n + 2;
        if (at > MC_HEAD_MAX) {
            ev->rule = "head too long";
            break;
        }
    }
    ev->kind = MC_EV_BAD;
    return 0;
}

/* At a line beginning: does the end-line stand here? MORE: cannot say yet. */
static enum mc_event_kind end_line_here(const struct mc_reader *r, const char *p, size_t n)
{
    size_t m = TD_MIN(n, r->end_n);

    if (memcmp(p, r->end, m) != 0)
        return MC_EV_BODY;
    if (m < r->end_n || n == r->end_n)
        return MC_EV_MORE;
    if (!is_flag(p[r->end_n]))
        return MC_EV_BODY;
    if (n > r->end_n + 1 && p[r->end_n + 1] != '\r')
        return MC_EV_BODY;
    if (n > r->end_n + 2)
        return p[r->end_n + 2] == '\n' ? MC_EV_END : MC_EV_BODY;
    return MC_EV_MORE;
}

/* Index of the next CRLF with seven hyphens and no eighth behind it, from `at` on; n: there is none. Every seventh
 * octet is enough to look at until one is a hyphen. */
static size_t next_hyphens(const char *p, size_t n, size_t at)
{
    size_t i = at + 8; /* the last hyphen, were the CR at `at` */

    while (i < n) {
        size_t from = i, to = i;

        if (p[i] != '-') {
            i += 7;
            continue;
        }
        while (from > at && p[from - 1] == '-')
            from--;
        while (to + 1 < n && p[to + 1] == '-')
            to++;
        if (to - from + 1 == 7 && from >= at + 2 && p[from - 2] == '\r' && p[from - 1] == '\n')
            return from - 2;
        i = to + 8;
    }
    return n;
}

static size_t read_body(struct mc_reader *r, const char *in, size_t n, struct mc_event *ev)
{
    size_t at = 0;

    ev->kind = MC_EV_BODY;
    while (at < n) {
        size_t cr = next_hyphens(in, n, at);
        enum mc_event_kind what;

        if (cr == n) {
            /* all but a tail that may be the beginning of CRLF and hyphens */
            size_t keep = TD_MIN(n - at, (size_t)8);

            while (keep > 0 && memcmp(in + n - keep, "\r\n-------", keep) != 0)
                keep--;
            at = n - keep;
            break;
        }
        at = cr;
        what = end_line_here(r, in + at + 2, n - at - 2);
        if (what == MC_EV_END && at == 0) {
            r->state = MC_AT_END;
            ev->kind = MC_EV_MORE; /* the caller goes on with the end-line */
            return 2;
        }
        if (what != MC_EV_BODY)
            break;
        at += 2;
    }
    ev->body = sv_make(in, at);
    if (at == 0)
        ev->kind = MC_EV_MORE;
    return at;
}

size_t mc_reader_feed(struct mc_reader *r, const char *in, size_t n, struct mc_event *ev)
{
    size_t used = 0;

    ev->kind = MC_EV_MORE;
    if (n == 0)
        return 0;
    if (r->state == MC_AT_START)
        return read_head(r, in, n, ev);
    if (r->state == MC_AT_BODY_START) {
        /* a body without octets whose CRLF is missing: the end-line follows the blank line */
        switch (end_line_here(r, in, n)) {
        case MC_EV_MORE:
            return 0;
        case MC_EV_END:
            r->state = MC_AT_END;
            break;
        default:
            r->state = MC_IN_BODY;
        }
    }
    if (r->state == MC_IN_BODY) {
        used = read_body(r, in, n, ev);
        if (r->state != MC_AT_END)
            return used;
    }
    /* the whole end-line is there: that was checked before this state was entered */
    ev->kind = MC_EV_END;
    ev->flag = in[used + r->end_n];
    r->state = MC_AT_START;
    return used + r->end_n + 3;
}

static bool number_or_star(struct sv s, uint64_t *out)
{
    if (sv_eq(s, SV("*"))) {
        *out = MC_UNKNOWN;
        return true;
    }
    return sv_to_u64(s, out, NULL) && *out != MC_UNKNOWN;
}

bool mc_range_parse(struct sv s, struct mc_range *out)
{
    size_t dash = sv_find(s, '-'), slash = sv_find(s, '/');

    if (dash == s.n || slash == s.n || slash < dash || !sv_to_u64(sv_upto(s, dash), &out->start, NULL) ||
        !number_or_star(sv_make(s.p + dash + 1, slash - dash - 1), &out->end) ||
        !number_or_star(sv_from(s, slash + 1), &out->total))
        return false;
    if (out->start == 0 || out->start == UINT64_MAX || (out->end != MC_UNKNOWN && out->end < out->start - 1))
        return false;
    if (out->total == MC_UNKNOWN)
        return true;
    return out->start - 1 <= out->total && (out->end == MC_UNKNOWN || out->end <= out->total);
}

bool mc_uri_parse(struct sv s, struct mc_uri *out)
{
    size_t colon = sv_find(s, ':'), at;
    struct sv rest, auth;
    uint64_t port = 0;

    memset(out, 0, sizeof *out);
    out->scheme = sv_upto(s, colon);
    out->is_tls = sv_eq_nocase(out->scheme, SV("msrps"));
    if (!out->is_tls && !sv_eq_nocase(out->scheme, SV("msrp")))
        return false;
    rest = sv_from(s, colon);
    if (!sv_starts(rest, SV("://")))
        return false;
    rest = sv_from(rest, 3);
    for (size_t i = 0; i < rest.n; i++)
        if ((unsigned char)rest.p[i] <= ' ' || (unsigned char)rest.p[i] >= 0x7f)
            return false;
    at = sv_find(rest, ';');
    out->transport = sv_from(rest, at + 1);
    out->transport = sv_upto(out->transport, sv_find(out->transport, ';'));
    if (out->transport.n == 0)
        return false;
    rest = sv_upto(rest, at);
    at = sv_find(rest, '/');
    out->session = sv_from(rest, at + 1);
    auth = sv_upto(rest, at);
    at = sv_find(auth, '@');
    if (at < auth.n) {
        out->user = sv_upto(auth, at);
        auth = sv_from(auth, at + 1);
    }
    if (auth.n && auth.p[0] == '[') {
        at = sv_find(auth, ']');
        if (at == auth.n)
            return false;
        out->host = sv_make(auth.p + 1, at - 1);
        auth = sv_from(auth, at + 1);
        if (auth.n && auth.p[0] != ':')
            return false;
    } else {
        at = sv_find(auth, ':');
        out->host = sv_upto(auth, at);
        auth = sv_from(auth, at);
    }
    if (auth.n) {
        if (!sv_to_u64(sv_from(auth, 1), &port, NULL) || port == 0 || port > 65535)
            return false;
        out->port = (uint16_t)port;
    }
    return out->host.n > 0;
}

bool mc_path_next(struct sv *path, struct sv *uri)
{
    size_t at = sv_find(*path, ' ');

    *uri = sv_upto(*path, at);
    *path = sv_from(*path, at + 1);
    return uri->n > 0;
}

bool mc_path_is_valid(struct sv path)
{
    struct mc_uri u;
    struct sv uri;
    size_t n = 0;

    while (path.n) {
        if (!mc_path_next(&path, &uri) || !mc_uri_parse(uri, &u))
            return false;
        n++;
    }
    return n > 0;
}

size_t mc_end_line_find(struct sv text, struct sv end)
{
    size_t at = 0;

    while ((at = next_hyphens(text.p, text.n, at)) < text.n) {
        struct sv rest = sv_from(text, at + 2);

        if (rest.n > end.n && memcmp(rest.p, end.p, end.n) == 0 && is_flag(rest.p[end.n]))
            break;
        at += 2;
    }
    return at;
}
