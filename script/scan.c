/* Reading a script's source for what is not offered, before it runs: every KSR.module.name that is written out, also through a name that was
 * given to the module (local m = KSR.msrp), and every variable that is given to KSR.pv or KSR.xlog in a literal. What a script puts together at run time is
 * found when it is called. A module that the script asks for (if not KSR.rtpproxy then) may be missing. */
#include <string.h>

#include "script/private.h"

enum { ALIASES_MAX = 32 };

/* A name that the script gives to a module, once; one that is used for anything else, too, is not watched. */
struct alias {
    struct sv name, module;
    unsigned n_bare;          /* times that it stands without a member: where it is made */
};

enum pass { PASS_FIND /* aliases, and modules asked for */, PASS_COUNT /* uses of aliases */, PASS_CHECK };

struct scan {
    const struct script_shared *shared;
    const char *file;
    const char *at, *end;
    unsigned line;
    struct buf *asked, *faults;
    enum pass pass;
    struct sv before[3];      /* the words and signs before this one, the last one first */
    struct alias aliases[ALIASES_MAX];
    size_t n_aliases;
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

/* The escapes that texts for people have. */
static bool unescape(char c, char *out)
{
    static const char from[] = "nrt\\\"'", to[] = "\n\r\t\\\"'";
    const char *at = c ? strchr(from, c) : NULL;

    if (at)
        *out = to[at - from];
    return at != NULL;
}

/* ("$..." as the first argument; is_format: with text around the variables. */
static void check_literal(struct scan *s, bool is_format)
{
    struct scan ahead = *s;
    const char *why = NULL;
    char text[PV_LENGTH_MAX], quote;
    size_t n = 0;

    skip_blanks(&ahead);
    if (peek(&ahead, 0) != '(')
        return;
    step(&ahead, 1);
    skip_blanks(&ahead);
    quote = peek(&ahead, 0);
    if (quote != '"' && quote != '\'')
        return;
    step(&ahead, 1);
    for (; ahead.at < ahead.end && peek(&ahead, 0) != quote; step(&ahead, 1)) {
        bool escape = peek(&ahead, 0) == '\\';

        if (escape)
            step(&ahead, 1);
        if (n == sizeof text || (escape ? !unescape(peek(&ahead, 0), &text[n]) : (text[n] = peek(&ahead, 0)) == '\n'))
            return; /* seen when it runs */
        n++;
    }
    step(&ahead, 1);
    skip_blanks(&ahead);
    if (peek(&ahead, 0) == '.')
        return; /* put together with something */
    if (!pv_check(s->shared, sv_make(text, n), is_format, &why)) {
        buf_printf(s->faults, "%s:%u: ", s->file, s->line);
        buf_add_escaped(s->faults, sv_make(text, n), sizeof text);
        buf_printf(s->faults, ": %s\n", why);
    }
}

static bool is_before(const struct scan *s, size_t i, const char *text)
{
    return sv_eq(s->before[i], sv_of(text));
}

static struct sv next_word(const struct scan *s)
{
    struct scan ahead = *s;

    skip_blanks(&ahead);
    return take_name(&ahead);
}

/* Is a module, named so far, only looked for? */
static bool is_asked(const struct scan *s)
{
    struct scan ahead = *s;
    struct sv next = next_word(s);

    skip_blanks(&ahead);
    return is_before(s, 0, "not") || sv_eq(next, SV("then")) || sv_eq(next, SV("and")) || sv_eq(next, SV("or")) ||
           ((peek(&ahead, 0) == '=' || peek(&ahead, 0) == '~') && peek(&ahead, 1) == '=');
}

bool script_asks(const struct buf *asked, struct sv module)
{
    struct sv rest = buf_sv(asked);

    while (rest.n) {
        struct sv word = sv_upto(rest, sv_find(rest, ' '));

        if (sv_eq(word, module))
            return true;
        rest = sv_from(rest, word.n + 1);
    }
    return false;
}

static bool is_name(struct sv word)
{
    return word.n && is_letter(word.p[0]);
}

/* KSR.module alone. */
static void take_module(struct scan *s, struct sv module)
{
    struct sv next = next_word(s);
    bool is_alias = is_before(s, 0, "=") && is_name(s->before[1]) && !is_before(s, 2, ",") && !is_before(s, 2, ".") && !sv_eq(next, SV("or")) &&
                    !sv_eq(next, SV("and"));

    if (is_asked(s) && !is_module(s->shared, module) && !script_asks(s->asked, module)) {
        buf_add_sv(s->asked, module);
        buf_putc(s->asked, ' ');
    } else if (is_alias && s->n_aliases < ALIASES_MAX) {
        s->aliases[s->n_aliases++] = (struct alias){ s->before[1], module, 0 };
    }
}

static void check_member(struct scan *s, unsigned line, struct sv module, struct sv name)
{
    if (!api_func(s->shared, module, name)) {
        buf_printf(s->faults, "%s:%u: KSR." SV_FMT "." SV_FMT " is not offered\n", s->file, line, SV_ARG(module), SV_ARG(name));
    } else if (sv_eq(module, SV("pv"))) {
        check_literal(s, false);
    } else if (sv_eq(module, SV("xlog")) && !sv_eq(name, SV("xlog"))) { /* whose format is its second argument */
        check_literal(s, true);
    }
}

static void take_alias(struct scan *s, struct sv word)
{
    unsigned line = s->line;

    for (size_t i = 0; s->pass != PASS_FIND && i < s->n_aliases; i++) {
        struct alias *a = &s->aliases[i];
        struct sv name;

        if (!sv_eq(a->name, word))
            continue;
        name = take_member(s);
        if (s->pass == PASS_COUNT)
            a->n_bare += !name.n;
        else if (name.n && a->n_bare == 1 && is_module(s->shared, a->module))
            check_member(s, line, a->module, name);
        return;
    }
}

static void take_ksr(struct scan *s)
{
    unsigned line = s->line;
    struct sv module = take_member(s), name;

    if (!module.n || api_func(s->shared, SV(""), module))
        return;
    name = take_member(s);
    if (s->pass == PASS_FIND && !name.n)
        take_module(s, module);
    if (s->pass != PASS_CHECK || script_asks(s->asked, module))
        return;
    if (!name.n) {
        if (!is_module(s->shared, module))
            buf_printf(s->faults, "%s:%u: KSR." SV_FMT " is not offered\n", s->file, line, SV_ARG(module));
    } else {
        check_member(s, line, module, name);
    }
}

/* A member of something else may be called KSR, too. Two dots put texts together. */
static bool is_member(const struct scan *s)
{
    return is_before(s, 0, ":") || (is_before(s, 0, ".") && !is_before(s, 1, "."));
}

static void walk(struct scan *s, struct sv source, enum pass pass)
{
    s->at = source.p;
    s->end = source.p + source.n;
    s->line = 1;
    s->pass = pass;
    memset(s->before, 0, sizeof s->before);
    while (s->at < s->end) {
        struct sv word = { s->at, 1 };
        char c = peek(s, 0);

        if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            step(s, 1);
            continue;
        }
        if (c == '-' && peek(s, 1) == '-') {
            skip_comment(s);
            continue;
        }
        if (c == '"' || c == '\'') {
            skip_quoted(s);
        } else if (long_bracket(s)) {
            skip_long(s, long_bracket(s));
        } else if (is_letter(c)) {
            word = take_name(s);
            if (!is_member(s)) {
                if (sv_eq(word, SV("KSR")))
                    take_ksr(s);
                else
                    take_alias(s, word);
            }
        } else {
            step(s, 1);
        }
        memmove(&s->before[1], &s->before[0], 2 * sizeof s->before[0]);
        s->before[0] = word;
    }
}

void script_scan(const struct script_shared *shared, const char *file, struct sv source, struct buf *asked, struct buf *faults)
{
    struct scan s = { .shared = shared, .file = file, .asked = asked, .faults = faults };

    for (enum pass pass = PASS_FIND; pass <= PASS_CHECK; pass++)
        walk(&s, source, pass);
}
