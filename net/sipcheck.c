/* The grammar of mandatory headers, as far as it is checked. */
#include "net/sipcheck.h"

#include <string.h>

/* What a character is. */
enum { BLANK = 1, DIGIT = 2, ALPHA = 4, TOKEN = 8, NO_URI = 16, PART = 32 /* ends a part of a header value, or hides its ends */ };

/* Of a URI: what ends it, or must not be in it, are blanks, NUL, angle brackets, a quotation mark. */
static const uint8_t classes[256] = {
    [' '] = BLANK | NO_URI, ['\t'] = BLANK | NO_URI, ['\r'] = BLANK | NO_URI, ['\n'] = BLANK | NO_URI,
    ['\0'] = NO_URI, ['<'] = NO_URI, ['>'] = NO_URI, ['"'] = NO_URI | PART, [';'] = PART, [','] = PART,
    ['0' ... '9'] = DIGIT | TOKEN, ['a' ... 'z'] = ALPHA | TOKEN, ['A' ... 'Z'] = ALPHA | TOKEN,
    ['-'] = TOKEN, ['.'] = TOKEN, ['!'] = TOKEN, ['%'] = TOKEN, ['*'] = TOKEN, ['_'] = TOKEN,
    ['+'] = TOKEN, ['`'] = TOKEN, ['\''] = TOKEN, ['~'] = TOKEN,
};

static bool is(char c, unsigned which)
{
    return classes[(unsigned char)c] & which;
}

bool sipcheck_token(struct sv s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is(s.p[i], TOKEN))
            return false;
    return s.n > 0;
}

static struct sv skip_blanks(struct sv s)
{
    size_t n = 0;

    while (n < s.n && is(s.p[n], BLANK))
        n++;
    return sv_from(s, n);
}

/* HOST[:PORT], HOST a name, an IPv4 address, or an IPv6 address in brackets, whose inside is not looked at (RFC 5118
 * s.4.10). */
static bool is_hostport(struct sv s)
{
    size_t at = s.n && s.p[0] == '[' ? sv_find(s, ']') + 1 : sv_find(s, ':');
    struct sv host = sv_upto(s, at), port = sv_from(s, at);

    if (host.n == 0 || at > s.n || (port.n && port.p[0] != ':'))
        return false;
    for (size_t i = 1; i < port.n; i++)
        if (!is(port.p[i], DIGIT))
            return false;
    return s.p[0] == '[' || (!memchr(host.p, '[', host.n) && !memchr(host.p, ']', host.n));
}

bool sipcheck_uri(struct sv uri)
{
    size_t colon = sv_find(uri, ':'), n = 0;
    struct sv scheme = sv_upto(uri, colon), rest = sv_from(uri, colon + 1);
    size_t at = sv_find(rest, '@');

    if (colon >= uri.n || colon == 0 || !is(uri.p[0], ALPHA))
        return false;
    for (size_t i = 0; i < scheme.n; i++)
        if (!is(scheme.p[i], ALPHA | DIGIT) && !strchr("+-.", scheme.p[i]))
            return false;
    for (size_t i = 0; i < rest.n; i++)
        if (is(rest.p[i], NO_URI))
            return false;
    if (!sv_eq_nocase(scheme, SV("sip")) && !sv_eq_nocase(scheme, SV("sips")))
        return rest.n > 0;
    if (at < rest.n)
        rest = sv_from(rest, at + 1);
    while (n < rest.n && rest.p[n] != ';' && rest.p[n] != '?')
        n++;
    return is_hostport(sv_upto(rest, n));
}

/* A quoted string at the front: its length with both quotes; 0: it does not end. */
static size_t quoted_length(struct sv s)
{
    for (size_t i = 1; i < s.n; i++) {
        if (s.p[i] == '\\')
            i++;
        else if (s.p[i] == '"')
            return i + 1;
    }
    return 0;
}

/* Words without quotes; bytes of other alphabets are tolerated. */
static bool is_display_name(struct sv s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is(s.p[i], TOKEN | BLANK) && !((unsigned char)s.p[i] & 0x80))
            return false;
    return true;
}

bool sipcheck_addr(struct sv value)
{
    struct sv s = skip_blanks(value), name;
    size_t n = 0;

    if (s.n && s.p[0] == '"') {
        n = quoted_length(s);
        s = skip_blanks(sv_from(s, n));
        if (n == 0 || s.n == 0 || s.p[0] != '<')
            return false;
    }
    name = sv_upto(s, sv_find(s, '<'));
    if (name.n < s.n) {
        s = sv_from(s, name.n + 1);
        n = sv_find(s, '>');
        if (!is_display_name(name) || n == s.n)
            return false;
    } else {
        for (n = 0; n < s.n && s.p[n] != ';' && !is(s.p[n], BLANK);)
            n++;
    }
    if (!sipcheck_uri(sv_upto(s, n)))
        return false;
    s = skip_blanks(sv_from(s, n + (name.p + name.n < s.p ? 1 : 0)));
    return s.n == 0 || s.p[0] == ';';
}

bool sipcheck_via(struct sv value)
{
    char last = ','; /* the last character that is no blank, outside quotes */

    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];

        if (is(c, BLANK))
            continue;
        if (!is(c, PART)) {
            last = c;
            continue;
        }
        if (c == '"') {
            size_t n = quoted_length(sv_from(value, i));

            if (n == 0)
                return false;
            i += n - 1;
        } else if (last == ';' || last == ',') {
            return false;
        }
        last = c;
    }
    return last != ';' && last != ',';
}

bool sipcheck_contact(struct sv value)
{
    bool inside = false;

    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];

        if (c == '"' && !inside) {
            size_t n = quoted_length(sv_from(value, i));

            if (n == 0)
                return false;
            i += n - 1;
        } else if (c == '<' || c == '>') {
            inside = c == '<';
        } else if (c == '?' && !inside) {
            return false;
        }
    }
    return true;
}
