/* 2xx that come again. */
#include "sip/answered.h"

#include <stdlib.h>

#include "sip/request.h"

enum { REMEMBERED_MS = 32000 };

struct answered {
    struct hash_node by_branch;
    struct list node;
    uint64_t until_ms, flow_id, via; /* via_hash() of the caller's */
    char ident[8];           /* UDP: our socket towards the caller */
};

void answered_add(struct sipd *d, const char *branch, const sip_via_t *via, uint64_t flow_id, const char *ident)
{
    struct answered *a = branch ? calloc(1, sizeof *a) : NULL;

    if (!a)
        return; /* a lost retransmission is the callee's to repeat */
    a->until_ms = sipd_now_ms() + REMEMBERED_MS;
    a->flow_id = flow_id;
    a->via = via_hash(via);
    sv_copy(sv_of(ident ? ident : ""), a->ident, sizeof a->ident);
    hash_insert(&d->answered, &a->by_branch, hash_bytes(branch, strlen(branch)));
    list_append(&d->answered_list, &a->node);
}

static void answered_free(struct sipd *d, struct answered *a)
{
    hash_remove(&d->answered, &a->by_branch);
    list_remove(&a->node);
    free(a);
}

void answered_response(struct sipd *d, msg_t *msg, sip_t *sip)
{
    const char *id = sip->sip_via ? sip->sip_via->v_branch : NULL;
    int status = sip->sip_status->st_status;
    struct hash_node *n = id ? hash_first(&d->answered, hash_bytes(id, strlen(id))) : NULL;
    struct answered *a = n ? TD_CONTAINER_OF(n, struct answered, by_branch) : NULL;
    struct flow *f;
    tport_t *tp;

    if (!a || status < 200 || status >= 300 || !sip->sip_cseq || sip->sip_cseq->cs_method != sip_method_invite ||
        !sip->sip_via->v_next || via_hash(sip->sip_via->v_next) != a->via) { /* a callee may not choose where it goes: S-SEC-05 */
        nta_msg_discard(d->nta, msg); /* S-TXN-06 */
        return;
    }
    drop_errors(msg, sip);
    f = a->flow_id ? flow_by_id(d->flows, a->flow_id) : NULL;
    tp = f ? flow_tport(f) : stack_udp(d->stack, a->ident);
    if (!tp) {
        nta_msg_discard(d->nta, msg);
        return;
    }
    nta_msg_tsend(d->nta, msg, NULL, NTATAG_TPORT(tp), TAG_END());
}

void answered_sweep(struct sipd *d, uint64_t now_ms)
{
    while (!list_is_empty(&d->answered_list)) {
        struct answered *a = list_item(d->answered_list.next, struct answered, node);

        if (a->until_ms > now_ms)
            break;
        answered_free(d, a);
    }
}

void answered_fini(struct sipd *d)
{
    while (!list_is_empty(&d->answered_list))
        answered_free(d, list_item(d->answered_list.next, struct answered, node));
}
