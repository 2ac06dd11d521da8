/* Which next hops are allowed. */
#include "net/reach.h"

#include <stdlib.h>

#include "common/err.h"

int reach_init(struct reach *r, const char *key, const struct conf_list *words, struct buf *fault)
{
    *r = (struct reach){ .cidrs = calloc(words->n + 1, sizeof *r->cidrs) };
    if (!r->cidrs)
        return TD_ENOMEM;
    for (size_t i = 0; i < words->n; i++) {
        struct sv word = sv_of(words->v[i]);

        if (sv_eq(word, SV("public"))) {
            r->has_public = true;
        } else if (sv_eq(word, SV("private"))) {
            r->has_private = true;
        } else if (sv_eq(word, SV("loopback"))) {
            r->has_loopback = true;
        } else if (cidr_parse(&r->cidrs[r->n_cidrs], word)) {
            r->n_cidrs++;
        } else {
            buf_printf(fault, "%s: '%s' is neither public, private, loopback nor a CIDR", key, words->v[i]);
            reach_fini(r);
            return TD_EINVAL;
        }
    }
    return TD_OK;
}

int reach_init_sip(struct reach *r, const struct conf *conf, struct buf *fault)
{
    return conf->sip.forward_to.n ? reach_init(r, "sip.forward_to", &conf->sip.forward_to, fault)
                                  : reach_init(r, "msrp.forward_to", &conf->msrp.forward_to, fault);
}

void reach_fini(struct reach *r)
{
    free(r->cidrs);
    *r = (struct reach){ 0 };
}

bool reach_allows(const struct reach *r, const struct addr *a)
{
    for (size_t i = 0; i < r->n_cidrs; i++)
        if (cidr_has(&r->cidrs[i], a))
            return true;
    switch (addr_kind(a)) {
    case ADDR_PUBLIC:
        return r->has_public;
    case ADDR_PRIVATE:
        return r->has_private;
    case ADDR_LOOPBACK:
        return r->has_loopback;
    case ADDR_NEVER:
        break;
    }
    return false;
}
