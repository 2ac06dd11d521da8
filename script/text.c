/* KSR.textops and KSR.siputils: questions about texts. Of letters those of ASCII are known. */
#include <string.h>

#include "script/core.h"

void text_cmp_str(struct script_call *c)
{
    script_truth(c, sv_eq(c->arg[0].s, c->arg[1].s));
}

void text_cmp_istr(struct script_call *c)
{
    script_truth(c, sv_eq_nocase(c->arg[0].s, c->arg[1].s));
}

void text_starts_with(struct script_call *c)
{
    script_truth(c, sv_starts(c->arg[0].s, c->arg[1].s));
}

void text_ends_with(struct script_call *c)
{
    struct sv text = c->arg[0].s, end = c->arg[1].s;

    script_truth(c, end.n <= text.n && sv_eq(sv_from(text, text.n - end.n), end));
}

void text_find(struct script_call *c)
{
    struct sv text = c->arg[0].s, part = c->arg[1].s;

    script_truth(c, part.n == 0 || memmem(text.p, text.n, part.p, part.n));
}

void text_ifind(struct script_call *c)
{
    struct sv text = c->arg[0].s, part = c->arg[1].s;
    bool found = part.n == 0;

    for (size_t i = 0; !found && i + part.n <= text.n && !c->fault; i++) {
        if (sv_lower(text.p[i]) != sv_lower(part.p[0]))
            continue;
        script_spend(c, 1 + part.n / 16); /* it may be compared from each of its letters on */
        found = sv_eq_nocase(sv_make(text.p + i, part.n), part);
    }
    script_truth(c, found);
}

static void in_list(struct script_call *c, bool (*fits)(struct sv text, struct sv item))
{
    struct sv rest = c->arg[1].s, separator = c->arg[2].s;
    bool found = false;

    if (separator.n != 1) {
        c->fault = "a separator is one character";
        return;
    }
    while (rest.n && !found) {
        struct sv item = sv_upto(rest, sv_find(rest, separator.p[0]));

        found = item.n && fits(c->arg[0].s, item);
        rest = sv_from(rest, item.n + 1);
    }
    script_truth(c, found);
}

void text_in_list(struct script_call *c)
{
    in_list(c, sv_eq);
}

void text_in_list_prefix(struct script_call *c)
{
    in_list(c, sv_starts);
}

static bool is_of(struct sv text, bool letters)
{
    for (size_t i = 0; i < text.n; i++) {
        char ch = text.p[i];

        if ((ch < '0' || ch > '9') && (!letters || ((ch < 'a' || ch > 'z') && (ch < 'A' || ch > 'Z'))))
            return false;
    }
    return text.n != 0;
}

void text_is_numeric(struct script_call *c)
{
    script_truth(c, is_of(c->arg[0].s, false));
}

void text_is_alphanum(struct script_call *c)
{
    script_truth(c, is_of(c->arg[0].s, true));
}
