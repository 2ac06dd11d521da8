/* What the operator does not want to be relayed: sizes, media types, methods (RFC 4976 s.9.4, s.6.4.2). */
#include "msrp/private.h"

/* Asked for every frame, and the answer is mostly yes. */
static bool is_any(const char *range)
{
    return range[0] == '*' && !range[1];
}

/* Parameters of the Content-Type do not count (RFC 2045 s.5.1); * accepts also what names no type. */
static bool type_is_listed(const struct conf_list *list, struct sv content_type)
{
    struct sv type;

    if (TD_LIKELY(list->n && is_any(list->v[0])))
        return true;
    type = sv_trim(sv_upto(content_type, sv_find(content_type, ';')));
    for (size_t i = 0; i < list->n; i++) {
        struct sv range = sv_of(list->v[i]);

        if (is_any(list->v[i]) || sv_eq_nocase(range, type))
            return true;
        if (range.p[range.n - 1] == '*' && type.n >= range.n &&
            sv_eq_nocase(sv_upto(range, range.n - 1), sv_upto(type, range.n - 1)))
            return true;
    }
    return false;
}

static bool method_is_listed(const struct conf_list *list, struct sv method)
{
    for (size_t i = 0; i < list->n; i++)
        if (is_any(list->v[i]) || sv_eq(sv_of(list->v[i]), method))
            return true;
    return false;
}

bool policy_allows_octet(const struct conf *conf, uint64_t pos)
{
    return conf->msrp.max_message == 0 || pos <= (uint64_t)conf->msrp.max_message;
}

/* By its head (M-FWD-15, M-FWD-31). */
static unsigned policy_of_head(const struct conf *conf, const struct msrp_head *h)
{
    if (h->method == MSRP_OTHER_METHOD && !method_is_listed(&conf->msrp.methods, h->method_text))
        return 501;
    if (h->method != MSRP_SEND)
        return 200;
    if (h->has_body && !type_is_listed(&conf->msrp.accept_types, h->content_type))
        return 415;
    if ((h->range.total_known && !policy_allows_octet(conf, h->range.total)) ||
        (h->range.end_known && !policy_allows_octet(conf, h->range.end)))
        return 413;
    return 200;
}

unsigned policy_of_frame(const struct conf *conf, const struct recent *stopped, const struct msrp_head *h, size_t n)
{
    unsigned status = policy_of_head(conf, h);

    if (status != 200 || h->method != MSRP_SEND)
        return status;
    if (!recent_is_empty(stopped) && recent_has(stopped, message_hash(h->message_id)))
        return 413;
    return policy_allows_octet(conf, (h->range.present ? h->range.start - 1 : 0) + n) ? 200 : 413;
}
