/* Matching patterns of Lua. See pattern.h. */
#include "script/pattern.h"

#include <ctype.h>
#include <string.h>

enum { DEPTH_MAX = 200 /* items of a pattern within each other */ };

static const char *go(struct pattern *m, const char *s, const char *p);

static const char *end_of(struct sv s)
{
    return s.p + s.n;
}

static void *fault(struct pattern *m, const char *what)
{
    if (!m->fault)
        m->fault = what;
    return NULL;
}

static bool step(struct pattern *m)
{
    if (m->steps == 0)
        fault(m, "takes too long");
    else
        m->steps--;
    return !m->fault;
}

/* ---- one character ---- */

/* Behind the class that begins at p; NULL: malformed. */
static const char *class_end(struct pattern *m, const char *p)
{
    const char *end = end_of(m->text);

    if (*p == '%')
        return p + 1 < end ? p + 2 : fault(m, "malformed pattern (ends with '%')");
    if (*p != '[')
        return p + 1;
    p++;
    if (p < end && *p == '^')
        p++;
    do { /* a bracket at the front is one of the set */
        if (p >= end)
            return fault(m, "malformed pattern (missing ']')");
        p += *p == '%' ? 2 : 1;
    } while (p >= end || *p != ']');
    return p + 1;
}

static bool is_in_class(int c, int name)
{
    bool in;

    switch (tolower(name)) {
    case 'a': in = isalpha(c); break;
    case 'c': in = iscntrl(c); break;
    case 'd': in = isdigit(c); break;
    case 'g': in = isgraph(c); break;
    case 'l': in = islower(c); break;
    case 'p': in = ispunct(c); break;
    case 's': in = isspace(c); break;
    case 'u': in = isupper(c); break;
    case 'w': in = isalnum(c); break;
    case 'x': in = isxdigit(c); break;
    default: return name == c;
    }
    return in != (isupper(name) != 0);
}

/* [set], whose last bracket is at last. */
static bool is_in_set(int c, const char *p, const char *last)
{
    bool wanted = p[1] != '^';

    for (p += wanted ? 1 : 2; p < last; p++) {
        if (*p == '%') {
            p++;
            if (is_in_class(c, (uint8_t)*p))
                return wanted;
        } else if (p[1] == '-' && p + 2 < last) {
            if ((uint8_t)p[0] <= c && c <= (uint8_t)p[2])
                return wanted;
            p += 2;
        } else if ((uint8_t)*p == c) {
            return wanted;
        }
    }
    return !wanted;
}

/* Does the character at s fit the class from p to end? */
static bool is_one(struct pattern *m, const char *s, const char *p, const char *end)
{
    int c;

    if (!step(m) || s >= end_of(m->subject))
        return false;
    c = (uint8_t)*s;
    switch (*p) {
    case '.':
        return true;
    case '%':
        return is_in_class(c, (uint8_t)p[1]);
    case '[':
        m->steps -= m->steps < (uint64_t)(end - p) ? m->steps : (uint64_t)(end - p);
        return is_in_set(c, p, end - 1);
    default:
        return (uint8_t)*p == c;
    }
}

/* ---- repetitions of it ---- */

static const char *as_many(struct pattern *m, const char *s, const char *p, const char *end)
{
    size_t n = 0;

    while (is_one(m, s + n, p, end))
        n++;
    for (;; n--) { /* and less, when the rest does not fit */
        const char *found = go(m, s + n, end + 1);

        if (found || m->fault || n == 0)
            return found;
    }
}

static const char *as_few(struct pattern *m, const char *s, const char *p, const char *end)
{
    for (;; s++) {
        const char *found = go(m, s, end + 1);

        if (found || m->fault)
            return found;
        if (!is_one(m, s, p, end))
            return NULL;
    }
}

/* ---- captures and what has letters ---- */

static const char *begin_capture(struct pattern *m, const char *s, const char *p, ptrdiff_t what)
{
    const char *found;

    if (m->n == PATTERN_CAPTURES)
        return fault(m, "too many captures");
    m->captures[m->n++] = (struct pattern_capture){ s, what };
    found = go(m, s, p);
    if (!found)
        m->n--;
    return found;
}

static const char *end_capture(struct pattern *m, const char *s, const char *p)
{
    const char *found;
    unsigned i = m->n;

    while (i > 0 && m->captures[i - 1].n != PATTERN_OPEN)
        i--;
    if (i == 0)
        return fault(m, "invalid pattern capture");
    m->captures[i - 1].n = s - m->captures[i - 1].p;
    found = go(m, s, p);
    if (!found)
        m->captures[i - 1].n = PATTERN_OPEN;
    return found;
}

/* %1 to %9: what that has captured comes again. */
static const char *again(struct pattern *m, const char *s, const char *p)
{
    size_t i = (size_t)(*p - '1'), n;

    if (*p == '0' || i >= m->n || m->captures[i].n == PATTERN_OPEN)
        return fault(m, "invalid capture index in a pattern");
    if (m->captures[i].n == PATTERN_POSITION)
        return NULL; /* a position is no text */
    n = (size_t)m->captures[i].n;
    m->steps -= m->steps < n ? m->steps : n;
    return n <= (size_t)(end_of(m->subject) - s) && memcmp(m->captures[i].p, s, n) == 0 ? s + n : NULL;
}

/* %bxy: from x to the y that belongs to it. */
static const char *balanced(struct pattern *m, const char *s, const char *p)
{
    size_t open = 1;

    if (p + 1 >= end_of(m->text))
        return fault(m, "malformed pattern (missing arguments to '%b')");
    if (s >= end_of(m->subject) || *s != p[0])
        return NULL;
    while (++s < end_of(m->subject) && step(m)) {
        if (*s == p[1]) {
            if (--open == 0)
                return s + 1;
        } else if (*s == p[0]) {
            open++;
        }
    }
    return NULL;
}

/* %f[set]: between a character that is not in the set, and one that is. */
static bool is_frontier(const struct pattern *m, const char *s, const char *p, const char *end)
{
    int before = s == m->subject.p ? 0 : (uint8_t)s[-1], here = s == end_of(m->subject) ? 0 : (uint8_t)*s;

    return !is_in_set(before, p, end - 1) && is_in_set(here, p, end - 1);
}

/* ---- a pattern ---- */

/* A class with what is behind it. True: go on at *s and *p; else *found is the result. */
static bool class_item(struct pattern *m, const char **s, const char **p, const char **found)
{
    const char *end = class_end(m, *p);
    char suffix = end && end < end_of(m->text) ? *end : '\0';

    *found = NULL;
    if (!end)
        return false;
    if (suffix == '*' || suffix == '-') {
        *found = suffix == '*' ? as_many(m, *s, *p, end) : as_few(m, *s, *p, end);
        return false;
    }
    if (suffix == '+') {
        if (is_one(m, *s, *p, end))
            *found = as_many(m, *s + 1, *p, end);
        return false;
    }
    if (suffix == '?') {
        if (is_one(m, *s, *p, end))
            *found = go(m, *s + 1, end + 1);
        *p = end + 1;
        return !*found && !m->fault;
    }
    if (!is_one(m, *s, *p, end))
        return false;
    ++*s;
    *p = end;
    return true;
}

static const char *items(struct pattern *m, const char *s, const char *p)
{
    const char *end = end_of(m->text), *found, *set_end;

    while (step(m) && p < end) {
        char letter = *p == '%' && p + 1 < end ? p[1] : '\0';

        if (*p == '(')
            return p + 1 < end && p[1] == ')' ? begin_capture(m, s, p + 2, PATTERN_POSITION) : begin_capture(m, s, p + 1, PATTERN_OPEN);
        if (*p == ')')
            return end_capture(m, s, p + 1);
        if (*p == '$' && p + 1 == end)
            return s == end_of(m->subject) ? s : NULL;
        if (letter == 'b' || (letter >= '0' && letter <= '9')) {
            s = letter == 'b' ? balanced(m, s, p + 2) : again(m, s, p + 1);
            if (!s)
                return NULL;
            p += letter == 'b' ? 4 : 2;
        } else if (letter == 'f') {
            p += 2;
            if (p >= end || *p != '[')
                return fault(m, "missing '[' after '%f' in pattern");
            set_end = class_end(m, p);
            if (!set_end || !is_frontier(m, s, p, set_end))
                return NULL;
            p = set_end;
        } else if (!class_item(m, &s, &p, &found)) {
            return found;
        }
    }
    return m->fault ? NULL : s;
}

static const char *go(struct pattern *m, const char *s, const char *p)
{
    const char *found;

    if (m->depth == DEPTH_MAX)
        return fault(m, "pattern too complex");
    m->depth++;
    found = items(m, s, p);
    m->depth--;
    return found;
}

const char *pattern_match(struct pattern *p, const char *at)
{
    p->n = p->depth = 0;
    return go(p, at, p->text.p);
}

bool pattern_is_plain(struct sv text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] && strchr("^$*+?.([%-", text.p[i]))
            return false;
    return true;
}
