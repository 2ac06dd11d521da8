/* Comparing URIs. Sofia's url_cmp() ignores all parameters, and url_cmp_all() none. */
#include "sip/uri.h"

#include "common/sv.h"


static struct sv text(const char *s)
{
    return sv_of(s ? s : "");
}

/* The next parameter of a list without its first semicolon; false: no more. */
static bool next_param(struct sv *rest, struct sv *name, struct sv *value)
{
    struct sv one = sv_upto(*rest, sv_find(*rest, ';'));
    size_t equals = sv_find(one, '=');

    if (rest->n == 0)
        return false;
    *rest = sv_from(*rest, one.n + 1);
    *name = sv_upto(one, equals);
    *value = sv_from(one, equals + 1);
    return true;
}

static bool find_param(struct sv params, struct sv name, struct sv *value)
{
    struct sv n;

    while (next_param(&params, &n, value))
        if (sv_eq_nocase(n, name))
            return true;
    return false;
}

/* These say something by their absence, too. */
static bool is_telling(struct sv name)
{
    static const char *const names[] = { "user", "ttl", "method", "maddr", "transport" };

    for (size_t i = 0; i < TD_ARRAY_LEN(names); i++)
        if (sv_eq_nocase(name, sv_of(names[i])))
            return true;
    return false;
}

/* Does b have what a has? */
static bool agrees(struct sv a, struct sv b)
{
    struct sv name, value, other;

    while (next_param(&a, &name, &value)) {
        if (!find_param(b, name, &other)) {
            if (is_telling(name))
                return false;
        } else if (!sv_eq_nocase(value, other)) {
            return false;
        }
    }
    return true;
}

bool uri_eq(const url_t *a, const url_t *b)
{
    return a->url_type == b->url_type && sv_eq_nocase(text(a->url_scheme), text(b->url_scheme)) &&
           sv_eq(text(a->url_user), text(b->url_user)) && sv_eq(text(a->url_password), text(b->url_password)) &&
           sv_eq_nocase(text(a->url_host), text(b->url_host)) && sv_eq(text(a->url_port), text(b->url_port)) &&
           sv_eq_nocase(text(a->url_headers), text(b->url_headers)) &&
           agrees(text(a->url_params), text(b->url_params)) && agrees(text(b->url_params), text(a->url_params));
}
