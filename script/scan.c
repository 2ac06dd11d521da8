/* Reading a script's source for what is not offered, before it runs: every KSR.module.name that is written out, and every
 * variable that is given to KSR.pv as a literal. What a script puts together at run time is found when it is called. */
#include "script/private.h"

struct scan {
    const struct script_shared *shared;
    const char *file;
    const char *at, *end;
    unsigned line;
    struct buf *faults;
};

static void step(struct scan *s, size_t n)
{
    for (; n && s->at < s->end; n--, s->at++)
        s->line += *s->at == '\n';
}

static char peek(const struct scan *s, size_t ahead)
{
    return (size_t)(s->end - s->at) > ahead ? s->at[ahead] : '\0';
}

/* [[ or [==[: the number of equals signs plus one; 0: none. */
static size_t long_bracket(const struct scan *s)
{
    size_t n = 1;

    if (peek(s, 0) != '[')
        return 0;
    while (peek(s, n) == '=')
        n++;
    return peek(s, n) == '[' ? n : 0;
}

static void skip_long(struct scan *s, size_t level)
{
    step(s, level + 1);
    for (; s->at < s->end; step(s, 1)) {
        size_t n = 1;

        if (peek(s, 0) != ']')
            continue;
        while (peek(s, n) == '=')
            n++;
        if (peek(s, n) == ']' && n == level) {
            step(s, n + 1);
            return;
        }
    }
}

static void skip_quoted(struct scan *s)
{
    char quote = peek(s, 0);

    for (step(s, 1); s->at < s->end && peek(s, 0) != quote && peek(s, 0) != '\n'; step(s, 1))
        if (peek(s, 0) == '\\')
            step(s, 1);
    step(s, 1);
}

static void skip_comment(struct scan *s)
{
    size_t level;

    step(s, 2);
    level = long_bracket(s);
    if (level)
        skip_long(s, level);
    else
        while (s->at < s->end && peek(s, 0) != '\n')
            step(s, 1);
}

static void skip_blanks(struct scan *s)
{
    while (peek(s, 0) == ' ' || peek(s, 0) == '\t' || peek(s, 0) == '\r' || peek(s, 0) == '\n')
        step(s, 1);
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static struct sv take_name(struct scan *s)
{
    struct sv name = { s->at, 0 };

    while (is_letter(peek(s, 0)) || (name.n && peek(s, 0) >= '0' && peek(s, 0) <= '9')) {
        step(s, 1);
        name.n++;
    }
    return name;
}

/* .name, or an empty view. */
static struct sv take_member(struct scan *s)
{
    struct scan before = *s;
    struct sv name = { 0 };

    skip_blanks(s);
    if (peek(s, 0) == '.' && peek(s, 1) != '.') {
        step(s, 1);
        skip_blanks(s);
        name = take_name(s);
    }
    if (!name.n)
        *s = before;
    return name;
}

static bool is_module(const struct script_shared *shared, struct sv name)
{
    for (size_t a = 0; a < shared->n_apis; a++)
        for (size_t i = 0; i < shared->apis[a]->n_funcs; i++)
            if (name.n && sv_eq(sv_of(shared->apis[a]->funcs[i].module), name))
                return true;
    return false;
}

/* ("$..." as the first argument */
static void check_literal(struct scan *s)
{
    struct scan ahead = *s;
    const char *why = NULL;
    struct sv text;
    char quote;

    skip_blanks(&ahead);
    if (peek(&ahead, 0) != '(')
        return;
    step(&ahead, 1);
    skip_blanks(&ahead);
    quote = peek(&ahead, 0);
    if (quote != '"' && quote != '\'')
        return;
    step(&ahead, 1);
    text.p = ahead.at;
    while (ahead.at < ahead.end && peek(&ahead, 0) != quote && peek(&ahead, 0) != '\\' && peek(&ahead, 0) != '\n')
        step(&ahead, 1);
    text.n = (size_t)(ahead.at - text.p);
    if (peek(&ahead, 0) != quote)
        return; /* with escapes: seen when it runs */
    step(&ahead, 1);
    skip_blanks(&ahead);
    if (peek(&ahead, 0) == '.')
        return; /* put together with something */
    if (!pv_check(s->shared, text, &why))
        buf_printf(s->faults, "%s:%u: " SV_FMT ": %s\n", s->file, s->line, SV_ARG(text), why);
}

static void take_ksr(struct scan *s)
{
    unsigned line = s->line;
    struct sv module = take_member(s), name;

    if (!module.n || api_func(s->shared, SV(""), module))
        return;
    name = take_member(s);
    if (!name.n) {
        if (!is_module(s->shared, module))
            buf_printf(s->faults, "%s:%u: KSR." SV_FMT " is not offered\n", s->file, line, SV_ARG(module));
    } else if (!api_func(s->shared, module, name)) {
        buf_printf(s->faults, "%s:%u: KSR." SV_FMT "." SV_FMT " is not offered\n", s->file, line, SV_ARG(module), SV_ARG(name));
    } else if (sv_eq(module, SV("pv"))) {
        check_literal(s);
    }
}

void script_scan(const struct script_shared *shared, const char *file, struct sv source, struct buf *faults)
{
    struct scan s = { shared, file, source.p, source.p + source.n, 1, faults };
    char before = '\0'; /* a member of something else may be called KSR, too */

    while (s.at < s.end) {
        char c = peek(&s, 0);

        if (c == '-' && peek(&s, 1) == '-') {
            skip_comment(&s);
        } else if (c == '"' || c == '\'') {
            skip_quoted(&s);
        } else if (long_bracket(&s)) {
            skip_long(&s, long_bracket(&s));
        } else if (is_letter(c)) {
            if (sv_eq(take_name(&s), SV("KSR")) && before != '.' && before != ':')
                take_ksr(&s);
        } else {
            step(&s, 1);
        }
        before = c;
    }
}
