/* Messages on their own. */
#include "sip/errand.h"

#include <stdlib.h>

#include "common/log.h"
#include "sip/forward.h"

enum { ERRANDS_MAX = 10000 };

struct errand {
    struct list node;
    struct sipd *d;     /* back */
    msg_t *msg;         /* owned */
    struct hops *hops;  /* owned */
};

static void errand_free(struct errand *e)
{
    e->d->n_errands--;
    list_remove(&e->node);
    hops_free(&e->hops);
    if (e->msg)
        msg_destroy(e->msg);
    free(e);
}

/* hops is NULL when there was no memory for it. Takes both. */
static struct errand *errand_new(struct sipd *d, msg_t *m, struct hops *hops)
{
    struct errand *e = hops && d->n_errands < ERRANDS_MAX ? calloc(1, sizeof *e) : NULL;

    if (!e) {
        if (hops)
            log_warn("sip", 0, "too many messages wait for their way: one was dropped");
        hops_free(&hops);
        msg_destroy(m);
        return NULL;
    }
    e->d = d;
    e->msg = m;
    e->hops = hops;
    list_append(&d->errands, &e->node);
    d->n_errands++;
    return e;
}

static void send_response(msg_t *m, tport_t *tport)
{
    sip_t *sip = sip_object(m);

    if (sip_complete_message(m) >= 0 && msg_serialize(m, (msg_pub_t *)sip) >= 0)
        tport_tsend(tport, m, tport_name(tport), TPTAG_MTU(INT_MAX), TAG_END());
}

static void on_hop(void *arg, enum hop_end how, const struct next_hop *hop)
{
    struct errand *e = arg;

    if (how != HOP_FOUND) {
        log_debug("sip", 0, "a message without a transaction went nowhere");
    } else if (sip_object(e->msg)->sip_status) {
        send_response(e->msg, hop->tport);
    } else {
        nta_msg_tsend(e->d->nta, e->msg, (const url_string_t *)hop->route, NTATAG_TPORT(hop->tport), TAG_END());
        e->msg = NULL; /* nta's now */
    }
    errand_free(e);
}

void errand_ack(const struct request *r)
{
    bool is_strict;
    msg_t *m = forward_copy(r, r->targets, &is_strict);
    struct errand *e = m ? errand_new(r->d, m, hops_new(r->d, sip_object(m), r->targets, is_strict, 0)) : NULL;

    if (e)
        hops_next(e->hops, on_hop, e);
}

void errand_response(struct sipd *d, msg_t *m)
{
    const sip_via_t *via = sip_object(m)->sip_via;
    struct errand *e = errand_new(d, m, via ? hops_new_response(d, via) : NULL);

    if (e)
        hops_next(e->hops, on_hop, e);
}

void errands_fini(struct sipd *d)
{
    while (!list_is_empty(&d->errands))
        errand_free(list_item(d->errands.next, struct errand, node));
}
