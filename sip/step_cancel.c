/* CANCEL: finds the transaction of its INVITE. RFC 3261 s.9.2. */
#include "common/log.h"
#include "sip/fork.h"
#include "sip/request.h"

/* As nta finds a repetition of the request that is to be cancelled: the same in all but the method. */
static nta_incoming_t *find(const struct request *r, sip_method_t method, const char *name)
{
    sip_cseq_t cseq = *r->sip->sip_cseq;
    sip_t probe = *r->sip;

    cseq.cs_method = method;
    cseq.cs_method_name = name;
    probe.sip_cseq = &cseq;
    return nta_incoming_find(r->d->nta, &probe, probe.sip_via);
}

/* A CANCEL does not name the method of its request, and nta finds none without: those it has no code for are remembered here. A table of hashes,
 * each in its place; one that is driven out of it costs a 481. */
static uint64_t *unnamed_place(struct sipd *d, uint64_t hash)
{
    return &d->unnamed[hash % TD_ARRAY_LEN(d->unnamed)];
}

void cancel_expect(const struct request *r)
{
    uint64_t hash;

    if (r->sip->sip_request->rq_method != sip_method_unknown)
        return;
    hash = request_hash(r->sip);
    *unnamed_place(r->d, hash) = hash;
}

/* Of another request than INVITE: the CANCEL is right, and has no effect (S-CAN-04). */
static bool is_of_another(const struct request *r)
{
    static const struct {
        sip_method_t method;
        const char *name;
    } others[] = { { SIP_METHOD_MESSAGE }, { SIP_METHOD_OPTIONS }, { SIP_METHOD_BYE },   { SIP_METHOD_INFO },  { SIP_METHOD_SUBSCRIBE }, { SIP_METHOD_NOTIFY },
                   { SIP_METHOD_REGISTER }, { SIP_METHOD_UPDATE }, { SIP_METHOD_REFER }, { SIP_METHOD_PRACK }, { SIP_METHOD_PUBLISH } };
    uint64_t hash = request_hash(r->sip);

    for (size_t i = 0; i < TD_ARRAY_LEN(others); i++)
        if (find(r, others[i].method, others[i].name))
            return true;
    return *unnamed_place(r->d, hash) == hash;
}

enum verdict step_cancel(struct request *r)
{
    nta_incoming_t *irq = find(r, SIP_METHOD_INVITE);
    struct fork *f = irq ? nta_incoming_magic(irq, NULL) : NULL; /* NULL: all is said about it */
    char text[ADDR_TEXT_MAX];

    if (f && !fork_is_cancelled_by(f, r)) {
        log_debug("sip", r->flow_id, "a CANCEL has no effect: source=%s reason=its INVITE came from elsewhere", addr_text(&r->source, text));
        return request_reply(r, SIP_481_NO_TRANSACTION, NULL);
    }
    if (!irq && !is_of_another(r))
        return request_reply(r, SIP_481_NO_TRANSACTION, NULL); /* S-CAN-02 */
    request_reply(r, SIP_200_OK, NULL);
    if (f)
        fork_cancel(f, r);
    return STEP_DONE;
}
