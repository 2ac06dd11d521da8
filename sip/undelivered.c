/* Responses that nobody took. */
#include "sip/undelivered.h"

#include <stdlib.h>

#include "sip/errand.h"
#include "sip/hop.h"
#include "sip/later.h"

enum { KEPT_MS = 32000 /* as long as a response is repeated */, KEPT_MAX = 1000 };

struct undelivered {
    struct list node;
    struct sipd *d;     /* back */
    uint64_t branch;    /* hash of the branch of the Via on top */
    uint64_t until_ms;
    msg_t *msg;         /* owned */
    struct hops *hops;  /* owned; NULL: the first place has not failed yet */
    tport_t *tport;     /* borrowed, as the UDP sockets stay; NULL: no other place was found yet */
    struct addr at;     /* with tport: there */
    struct addr failed; /* with has_failed: it has come back from there */
    bool has_failed, is_searching;
};

static bool is_cut_off(const struct request *r)
{
    return r->tport && tport_is_secondary(r->tport) && !tport_is_clear_to_send(r->tport);
}

/* May it be somewhere else than where its datagram came from? */
static bool has_other_place(const struct request *r)
{
    const sip_via_t *via = r->sip->sip_via;
    const char *transport = sip_via_transport(via);
    struct addr said, received;

    if (!transport || !su_casematch(transport, "UDP") || !via->v_branch || !via->v_received || !via->v_host)
        return false;
    if (!addr_from_host(&said, sv_of(via->v_host), 0))
        return true;
    return addr_from_host(&received, sv_of(via->v_received), 0) && !addr_host_eq(&said, &received) && reach_allows(&r->d->reach, &said);
}

bool undelivered_may(const struct request *r, int status)
{
    return status >= 200 && (is_cut_off(r) || has_other_place(r));
}

static void forget(struct undelivered *u)
{
    u->d->n_undelivered--;
    list_remove(&u->node);
    hops_free(&u->hops);
    msg_destroy(u->msg);
    free(u);
}

void undelivered(const struct request *r, msg_t *m)
{
    const char *branch = sip_object(m)->sip_via ? sip_object(m)->sip_via->v_branch : NULL;
    struct undelivered *u;

    if (is_cut_off(r)) {
        errand_response(r->d, m);
        return;
    }
    u = branch ? calloc(1, sizeof *u) : NULL;
    if (!u) {
        msg_destroy(m);
        return;
    }
    if (r->d->n_undelivered == KEPT_MAX)
        forget(list_item(r->d->undelivered.next, struct undelivered, node));
    u->d = r->d;
    u->branch = hash_bytes(branch, strlen(branch));
    u->until_ms = sipd_now_ms() + KEPT_MS;
    u->msg = m;
    list_append(&r->d->undelivered, &u->node);
    r->d->n_undelivered++;
}

static void send_to(struct undelivered *u)
{
    char host[ADDR_TEXT_MAX], bare[ADDR_TEXT_MAX], port[8];
    tp_name_t name = { .tpn_proto = "udp", .tpn_canon = host, .tpn_host = host, .tpn_port = port, .tpn_ident = tport_ident(u->tport) };
    sip_t *sip = sip_object(u->msg);

    snprintf(host, sizeof host, u->at.sa.sa_family == AF_INET6 ? "[%.60s]" : "%.60s", addr_host_text(&u->at, bare));
    snprintf(port, sizeof port, "%u", addr_port(&u->at));
    if (sip_complete_message(u->msg) >= 0 && msg_serialize(u->msg, (msg_pub_t *)sip) >= 0)
        tport_tsend(u->tport, u->msg, &name, TPTAG_MTU(INT_MAX), TAG_END());
}

static void on_hop(void *arg, enum hop_end how, const struct next_hop *hop)
{
    struct undelivered *u = arg;

    u->is_searching = false;
    if (how != HOP_FOUND) {
        forget(u);
        return;
    }
    u->tport = hop->tport;
    u->at = hop->at;
    send_to(u);
}

static void try_next(struct undelivered *u)
{
    if (!u->hops)
        u->hops = hops_new_response(u->d, sip_object(u->msg)->sip_via);
    if (!u->hops || (u->tport && !hops_has_more(u->hops))) {
        forget(u);
        return;
    }
    u->is_searching = true;
    hops_next(u->hops, on_hop, u);
}

static void on_failure(void *arg)
{
    struct sipd *d = arg;

    list_each_safe(node, &d->undelivered) {
        struct undelivered *u = list_item(node, struct undelivered, node);

        if (!u->has_failed || u->is_searching)
            continue;
        u->has_failed = false;
        if (u->tport && !addr_eq(&u->at, &u->failed))
            send_to(u); /* repeated to where it went first: again to where it went then */
        else
            try_next(u);
    }
}

void undelivered_error(void *arg, const struct addr *to, struct sv text)
{
    static const char name[] = ";branch=";
    struct sipd *d = arg;
    const char *found = text.n ? memmem(text.p, text.n, name, strlen(name)) : NULL;
    struct sv branch = found ? sv_from(text, (size_t)(found - text.p) + strlen(name)) : SV("");
    uint64_t hash;
    size_t n = 0;

    while (n < branch.n && !strchr(";, \t\r\n", branch.p[n]))
        n++;
    if (!sv_starts(text, SV("SIP/2.0 ")) || n == branch.n) /* no response, or cut there */
        return;
    hash = hash_bytes(branch.p, n);
    list_each(node, &d->undelivered) {
        struct undelivered *u = list_item(node, struct undelivered, node);

        if (u->branch == hash) {
            u->failed = *to;
            u->has_failed = true;
            later(d->root, on_failure, d); /* Sofia is at its socket now */
            return;
        }
    }
}

void undelivered_sweep(struct sipd *d, uint64_t now_ms)
{
    while (!list_is_empty(&d->undelivered)) {
        struct undelivered *u = list_item(d->undelivered.next, struct undelivered, node);

        if (u->until_ms > now_ms)
            break;
        forget(u);
    }
}

void undelivered_fini(struct sipd *d)
{
    while (!list_is_empty(&d->undelivered))
        forget(list_item(d->undelivered.next, struct undelivered, node));
}
