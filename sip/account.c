/* Rows of table acc. */
#include "sip/account.h"

#include "db/feed.h"
#include "sip/rank.h"
#include "sip/request.h"

static bool is_counted(const sip_t *request)
{
    switch (request->sip_request->rq_method) {
    case sip_method_invite:
        return !request->sip_to->a_tag; /* a change of a call that is up is no other call */
    case sip_method_bye:
    case sip_method_message:
        return true;
    default:
        return false;
    }
}

static void put(struct sipd *d, const sip_t *request, int status, const char *phrase, const char *to_tag, bool is_once)
{
    struct db_acc row = {
        .method = sv_of(request->sip_request->rq_method_name), .from_tag = sv_of(request->sip_from->a_tag),
        .to_tag = sv_of(to_tag ? to_tag : request->sip_to->a_tag), .callid = sv_of(request->sip_call_id->i_id),
        .sip_code = status, .sip_reason = sv_of(phrase && *phrase ? phrase : phrase_of_status(status)), .time = sipd_time(),
        .is_once = is_once,
    };

    if (d->feed && is_counted(request))
        db_acc(d->feed, &row);
}

void account(struct sipd *d, const sip_t *request, int status, const char *phrase, const char *to_tag)
{
    put(d, request, status, phrase, to_tag, false);
}

/* A table of hashes, each in its place: one that is driven out of it costs a look into the database, or, in a dialog, a row too many at worst. */
static bool is_repeated(struct sipd *d, const sip_t *request)
{
    uint64_t hash = request_hash(request), *place = &d->accounted[hash % TD_ARRAY_LEN(d->accounted)];

    if (*place == hash)
        return true;
    *place = hash;
    return false;
}

void account_once(struct sipd *d, const sip_t *request, int status, const char *phrase, const char *to_tag)
{
    if (d->feed && is_counted(request) && !is_repeated(d, request))
        put(d, request, status, phrase, to_tag, !request->sip_to->a_tag); /* our tag is the same each time, for the next process, too */
}
