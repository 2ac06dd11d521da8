/* MSRP URIs: parsing and comparison. */
#include "msrp/uri.h"

#include <arpa/inet.h>

/* What a character may be part of (RFC 3986 s.2, s.3.2; RFC 4975 s.9). */
enum { ALNUM = 1, HEX = 2, USERINFO = 4, HOST = 8, SESSION = 16, VISIBLE = 32 };
#define ANYWHERE (USERINFO | HOST | SESSION | VISIBLE)

static const uint8_t char_class[256] = {
    ['"'] = VISIBLE, ['%'] = VISIBLE, ['<'] = VISIBLE, ['>'] = VISIBLE, ['?'] = VISIBLE, ['@'] = VISIBLE,
    ['['] = VISIBLE, ['\\'] = VISIBLE, [']'] = VISIBLE, ['^'] = VISIBLE, ['`'] = VISIBLE,
    ['/'] = SESSION | VISIBLE, [':'] = USERINFO | VISIBLE,
    ['{'] = VISIBLE, ['|'] = VISIBLE, ['}'] = VISIBLE, ['#'] = VISIBLE, [';'] = HOST | VISIBLE,
    ['!'] = USERINFO | HOST | VISIBLE, ['$'] = USERINFO | HOST | VISIBLE, ['&'] = USERINFO | HOST | VISIBLE,
    ['\''] = USERINFO | HOST | VISIBLE, ['('] = USERINFO | HOST | VISIBLE, [')'] = USERINFO | HOST | VISIBLE,
    ['*'] = USERINFO | HOST | VISIBLE, [','] = USERINFO | HOST | VISIBLE,
    ['+'] = USERINFO | HOST | SESSION | VISIBLE, ['='] = USERINFO | HOST | SESSION | VISIBLE,
    ['-'] = ANYWHERE, ['.'] = ANYWHERE, ['_'] = ANYWHERE, ['~'] = ANYWHERE,
    ['0' ... '9'] = ANYWHERE | ALNUM | HEX, ['A' ... 'F'] = ANYWHERE | ALNUM | HEX,
    ['a' ... 'f'] = ANYWHERE | ALNUM | HEX, ['G' ... 'Z'] = ANYWHERE | ALNUM, ['g' ... 'z'] = ANYWHERE | ALNUM,
};

static bool is_class(char c, uint8_t class)
{
    return char_class[(uint8_t)c] & class;
}

/* Characters of this class and percent-escapes. */
static bool all_of(struct sv s, uint8_t class)
{
    for (size_t i = 0; i < s.n; i++) {
        if (is_class(s.p[i], class))
            continue;
        if (s.p[i] != '%' || i + 2 >= s.n || !is_class(s.p[i + 1], HEX) || !is_class(s.p[i + 2], HEX))
            return false;
        i += 2;
    }
    return true;
}

static bool parse_host_port(struct msrp_uri *u, struct sv s)
{
    size_t end;
    uint64_t port = 0;

    if (s.n && s.p[0] == '[') {
        char text[INET6_ADDRSTRLEN];
        struct in6_addr a;

        end = sv_find(s, ']');
        if (end == s.n)
            return false;
        u->host = sv_upto(s, end + 1);
        if (!sv_copy(sv_make(s.p + 1, end - 1), text, sizeof text) || inet_pton(AF_INET6, text, &a) != 1)
            return false;
        s = sv_from(s, end + 1);
    } else {
        end = sv_find(s, ':');
        u->host = sv_upto(s, end);
        if (u->host.n == 0 || !all_of(u->host, HOST))
            return false;
        s = sv_from(s, end);
    }
    if (s.n == 0)
        return true;
    if (s.p[0] != ':')
        return false;
    u->port = sv_from(s, 1);
    if (u->port.n > 5 || !sv_to_u64(u->port, &port, NULL) || port == 0 || port > 65535)
        return false;
    u->port_number = (uint16_t)port;
    return true;
}

bool msrp_uri_parse(struct msrp_uri *u, struct sv text)
{
    struct sv s = text, authority;
    size_t at;

    *u = (struct msrp_uri){ .text = text };
    if (text.n > MSRP_URI_MAX)
        return false;
    at = sv_find(s, ':');
    u->scheme = sv_upto(s, at);
    if (sv_eq_nocase(u->scheme, SV("msrps")))
        u->secure = true;
    else if (!sv_eq_nocase(u->scheme, SV("msrp")))
        return false;
    s = sv_from(s, at);
    if (!sv_starts(s, SV("://")))
        return false;
    s = sv_from(s, 3);

    at = 0; /* the authority ends at / or ; */
    while (at < s.n && s.p[at] != '/' && s.p[at] != ';')
        at++;
    authority = sv_upto(s, at);
    s = sv_from(s, at);
    at = sv_find(authority, '@');
    if (at < authority.n) {
        u->userinfo = sv_upto(authority, at);
        if (!all_of(u->userinfo, USERINFO))
            return false;
        authority = sv_from(authority, at + 1);
    }
    if (!parse_host_port(u, authority))
        return false;

    if (s.n && s.p[0] == '/') {
        s = sv_from(s, 1);
        at = sv_find(s, ';');
        u->session = sv_upto(s, at);
        if (u->session.n == 0 || !all_of(u->session, SESSION))
            return false;
        s = sv_from(s, at);
    }
    if (s.n < 2 || s.p[0] != ';')
        return false;
    s = sv_from(s, 1);
    at = sv_find(s, ';');
    u->transport = sv_upto(s, at);
    for (size_t i = 0; i < u->transport.n; i++)
        if (!is_class(u->transport.p[i], ALNUM))
            return false;
    if (u->transport.n == 0)
        return false;
    if (at < s.n) {
        u->params = sv_from(s, at + 1);
        for (size_t i = 0; i < u->params.n; i++)
            if (!is_class(u->params.p[i], VISIBLE))
                return false;
    }
    return true;
}

/* One character of a host, escapes decoded and letters folded; *i moves on. */
static char host_char(struct sv s, size_t *i)
{
    char c = s.p[*i];

    if (c == '%' && *i + 2 < s.n) {
        char hi = sv_lower(s.p[*i + 1]), lo = sv_lower(s.p[*i + 2]);

        hi = (char)(hi >= 'a' ? hi - 'a' + 10 : hi - '0');
        lo = (char)(lo >= 'a' ? lo - 'a' + 10 : lo - '0');
        c = (char)(hi << 4 | lo);
        *i += 2;
    }
    ++*i;
    return sv_lower(c);
}

bool msrp_host_eq(struct sv a, struct sv b)
{
    size_t i = 0, j = 0;

    if (a.n && b.n && a.p[0] == '[' && b.p[0] == '[') {
        char ta[INET6_ADDRSTRLEN], tb[INET6_ADDRSTRLEN];
        struct in6_addr xa, xb;

        if (!sv_copy(sv_make(a.p + 1, a.n - 2), ta, sizeof ta) || !sv_copy(sv_make(b.p + 1, b.n - 2), tb, sizeof tb) ||
            inet_pton(AF_INET6, ta, &xa) != 1 || inet_pton(AF_INET6, tb, &xb) != 1)
            return false;
        return memcmp(&xa, &xb, sizeof xa) == 0;
    }
    if (sv_eq(a, b))
        return true;
    while (i < a.n && j < b.n)
        if (host_char(a, &i) != host_char(b, &j))
            return false;
    return i == a.n && j == b.n;
}

bool msrp_uri_eq(const struct msrp_uri *a, const struct msrp_uri *b)
{
    return a->secure == b->secure && a->port_number == b->port_number && sv_eq(a->session, b->session) &&
           sv_eq_nocase(a->transport, b->transport) && msrp_host_eq(a->host, b->host);
}

bool msrp_path_next(struct sv *rest, struct sv *word)
{
    size_t n;

    if (rest->n && rest->p[0] == ' ')
        *rest = sv_from(*rest, 1);
    if (!rest->n)
        return false;
    n = sv_find(*rest, ' ');
    *word = sv_upto(*rest, n);
    *rest = sv_from(*rest, n);
    return true;
}

size_t msrp_path_parse(struct sv path, struct msrp_uri *uris, size_t max)
{
    struct sv word;
    size_t n = 0;

    while (msrp_path_next(&path, &word)) {
        if (n == max || !msrp_uri_parse(&uris[n], word))
            return 0;
        n++;
    }
    return n;
}

bool msrp_path_has_ports(const struct msrp_uri *uris, size_t n)
{
    while (n && uris[n - 1].port_number)
        n--;
    return n == 0;
}
