/* Reading SRV records and putting them in order. */
#include "net/srv.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <string.h>

/* By priority, and in one priority those without weight first (RFC 2782). */
static bool is_before(const struct resolve_srv *a, const struct resolve_srv *b)
{
    return a->priority != b->priority ? a->priority < b->priority : a->weight == 0 && b->weight != 0;
}

static void take(struct resolve_srv out[RESOLVE_SRV_MAX], size_t *n, const struct ares_srv_reply *from)
{
    struct resolve_srv s = { .priority = from->priority, .weight = from->weight, .port = from->port };
    size_t at = *n, len = strlen(from->host);

    if (len > RESOLVE_HOST_MAX)
        return;
    memcpy(s.target, from->host, len);
    if (at < RESOLVE_SRV_MAX)
        ++*n;
    else if (!is_before(&s, &out[--at]))
        return; /* too many: the last ones are left out */
    for (; at && is_before(&s, &out[at - 1]); at--)
        out[at] = out[at - 1];
    out[at] = s;
}

int64_t srv_message_ttl(const unsigned char *p, int n)
{
    int64_t ttl = UINT32_MAX;
    const unsigned char *at = p + NS_HFIXEDSZ;
    int questions = p[4] << 8 | p[5], answers = p[6] << 8 | p[7];

    for (int i = 0; i < questions + answers; i++) {
        char *name = NULL;
        long len;

        if (ares_expand_name(at, p, n, &name, &len) != ARES_SUCCESS)
            return 0;
        ares_free_string(name);
        at += len;
        if (i < questions) {
            at += NS_QFIXEDSZ;
            continue;
        }
        if (at + NS_RRFIXEDSZ > p + n)
            return 0;
        ttl = TD_MIN(ttl, (int64_t)((uint32_t)at[4] << 24 | (uint32_t)at[5] << 16 | (uint32_t)at[6] << 8 | at[7]));
        at += NS_RRFIXEDSZ + (at[8] << 8 | at[9]);
    }
    return ttl;
}

int srv_read(struct resolve_srv out[RESOLVE_SRV_MAX], size_t *n, const unsigned char *message, int len, int64_t *ttl)
{
    struct ares_srv_reply *list = NULL;
    int status = ares_parse_srv_reply(message, len, &list);

    *n = 0;
    for (const struct ares_srv_reply *at = list; at; at = at->next)
        take(out, n, at);
    if (*n)
        *ttl = srv_message_ttl(message, len);
    ares_free_data(list);
    return status;
}

void resolve_srv_order(struct resolve_srv *s, size_t n, struct rng *rng)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t sum = 0, pick, at = 0;
        struct resolve_srv chosen;
        size_t k;

        for (k = i; k < n && s[k].priority == s[i].priority; k++)
            sum += s[k].weight;
        rng_bytes(rng, &pick, sizeof pick);
        pick %= sum + 1;
        for (k = i; (at += s[k].weight) < pick; k++)
            ;
        chosen = s[k];
        memmove(&s[i + 1], &s[i], (k - i) * sizeof *s);
        s[i] = chosen;
    }
}
