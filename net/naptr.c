/* Reading NAPTR records. */
#include "net/naptr.h"

#include <ares.h>
#include <string.h>

#include "net/srv.h"

static bool is_before(const struct resolve_naptr *a, const struct resolve_naptr *b)
{
    return a->order != b->order ? a->order < b->order : a->preference < b->preference;
}

static void take(struct resolve_naptr out[RESOLVE_NAPTR_MAX], size_t *n, const struct ares_naptr_reply *from)
{
    struct resolve_naptr p = { .order = from->order, .preference = from->preference };
    size_t at = *n;

    if (!sv_eq_nocase(sv_of((const char *)from->flags), SV("s")) || *from->regexp ||
        !sv_copy(sv_of((const char *)from->service), p.service, sizeof p.service) ||
        !sv_copy(sv_of(from->replacement), p.replacement, sizeof p.replacement))
        return;
    if (at < RESOLVE_NAPTR_MAX)
        ++*n;
    else if (!is_before(&p, &out[--at]))
        return;
    for (; at && is_before(&p, &out[at - 1]); at--)
        out[at] = out[at - 1];
    out[at] = p;
}

int naptr_read(struct resolve_naptr out[RESOLVE_NAPTR_MAX], size_t *n, const unsigned char *message, int len, int64_t *ttl)
{
    struct ares_naptr_reply *list = NULL;
    int status = ares_parse_naptr_reply(message, len, &list);

    *n = 0;
    for (const struct ares_naptr_reply *at = list; at; at = at->next)
        take(out, n, at);
    if (list)
        *ttl = srv_message_ttl(message, len);
    ares_free_data(list);
    return status;
}
