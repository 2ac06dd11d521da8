/* Proxied transactions. */
#include "sip/fork.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/crypto.h"
#include "common/log.h"
#include "sip/account.h"
#include "sip/answered.h"
#include "sip/forward.h"
#include "sip/later.h"
#include "sip/rank.h"
#include "sip/script.h"
#include "sip/undelivered.h"

enum {
    TIMER_C_MS = 185000,     /* S-FWD-10 */
    T1X64_MS = 32000,
    ROUNDS_MAX = 12,         /* times that a script may relay again what has failed */
    GROUP_MS = 20000,        /* the next group is tried when nobody has answered so long: S-FWD-09 */
    SLOW_MS = 3500,          /* a non-INVITE unanswered so long gets a 100: S-TXN-03 */
    BRANCH_RANDOM = 12,
};

struct branch {
    struct list node;
    struct fork *fork;       /* back */
    unsigned index, round;   /* number in the fork; which of the fork's rounds it is of */
    const struct target *target; /* in the request's memory */
    nta_outgoing_t *orq;     /* owned; NULL: not sent */
    struct hops *hops;       /* owned: where to, and where else should that fail; NULL: nowhere else */
    struct branch *prior;    /* of this fork: this one is to take its place; NULL: not (any more) */
    int prior_status;        /* what it had when the search began */
    msg_t *copy;             /* owned: until it is sent */
    unsigned breadth;        /* what it may fork into */
    int status;              /* 0: none; as of the last response or failure */
    msg_t *final;            /* counted: 3xx to 6xx, should it be the best */
    uint64_t cancelled_ms;   /* 0: not cancelled */
    char *cancel_reason;     /* owned: for the CANCEL that waits for the first 1xx; NULL: none */
    bool is_strict;          /* its next hop is a strict router */
    bool is_gone;            /* the flow it was for has ended, and nobody has answered there */
    bool is_searching;       /* hops will call */
    bool superseded;         /* another one has taken its place: how it ends says nothing (any more) */
    uint64_t sent_ms;        /* 0: not sent */
    bool cancel_due;         /* a CANCEL waits for the first 1xx: S-CAN-05 */
    uint64_t timer_c_ms;     /* when it is over */
};

struct fork {
    struct list node;
    struct sipd *d;          /* back */
    struct request origin;   /* message and transport counted here; the rest as it was at fork_start() */
    struct mark in;          /* the side the request came from */
    nta_incoming_t *irq;     /* owned */
    struct list branches;
    unsigned open;           /* branches without a final response */
    unsigned breadth;        /* as many may be open at a time: RFC 5393 s.5 */
    size_t next_target;
    unsigned n_branches, round; /* all there were; a script begins a new round with other targets */
    uint64_t born_ms, group_ms;
    bool is_invite, started, launching;
    bool done;               /* a final response went up */
    bool no_more;            /* no further targets: 6xx, 2xx or CANCEL */
    bool cancelled;
    bool tried;              /* a 100 went up */
    bool dying;              /* waits to be destroyed */
};

/* ---- ending ---- */

static void remember_answered(const struct branch *b)
{
    const struct request *from = &b->fork->origin;

    answered_add(b->fork->d, nta_outgoing_branch(b->orq), from->sip->sip_via, from->flow_id,
                 from->tport ? tport_ident(tport_parent(from->tport)) : "");
}

static void branch_free(struct branch *b)
{
    list_remove(&b->node);
    if (b->orq) {
        if (b->fork->is_invite && b->status >= 200 && b->status < 300)
            remember_answered(b);
        nta_outgoing_destroy(b->orq);
    }
    hops_free(&b->hops);
    if (b->copy)
        msg_destroy(b->copy);
    if (b->final)
        msg_destroy(b->final);
    free(b->cancel_reason);
    free(b);
}

static void fork_destroy(void *arg)
{
    struct fork *f = arg;

    list_remove(&f->node);
    while (!list_is_empty(&f->branches))
        branch_free(list_item(f->branches.next, struct branch, node));
    if (f->irq) {
        nta_incoming_bind(f->irq, NULL, NULL);
        nta_incoming_destroy(f->irq);
    }
    if (f->origin.tport)
        tport_unref(f->origin.tport);
    if (f->origin.msg)
        msg_destroy(f->origin.msg);
    free(f);
}

/* nta goes on using its objects after a callback: they are destroyed from the loop. */
static void release(struct fork *f)
{
    if (f->dying)
        return;
    f->dying = true;
    if (!later(f->d->root, fork_destroy, f))
        log_error("sip", 0, "out of memory: a transaction cannot be ended"); /* forks_fini() takes it */
}

/* nta is told all the same, which ends its transaction. */
static void reply_elsewhere(struct fork *f, int status, const char *phrase, const char *headers)
{
    msg_t *m = nta_incoming_create_response(f->irq, status, phrase);

    if (m && headers && *headers)
        sip_add_tl(m, sip_object(m), SIPTAG_HEADER_STR(headers), TAG_END());
    if (m)
        undelivered(&f->origin, m);
}

void fork_reply(struct fork *f, int status, const char *phrase, const char *headers)
{
    if (!f->done) {
        f->done = true;
        if (undelivered_may(&f->origin, status))
            reply_elsewhere(f, status, phrase, headers);
        nta_incoming_treply(f->irq, status, phrase, TAG_IF(headers && *headers, SIPTAG_HEADER_STR(headers)), TAG_END());
    }
    if (f->open == 0)
        release(f);
}

void fork_provisional(struct fork *f, int status, const char *phrase, const char *headers)
{
    if (!f->done)
        nta_incoming_treply(f->irq, status, phrase, TAG_IF(headers && *headers, SIPTAG_HEADER_STR(headers)), TAG_END());
}

static void account_response(const struct fork *f, msg_t *m)
{
    const sip_t *sip = sip_object(m);

    account(f->d, f->origin.sip, sip->sip_status->st_status, sip->sip_status->st_phrase, sip->sip_to ? sip->sip_to->a_tag : NULL);
}

void fork_set_tag(struct fork *f, const char *tag)
{
    nta_incoming_tag(f->irq, tag);
}

const char *fork_tag(const struct fork *f)
{
    return nta_incoming_gettag(f->irq);
}

/* Send a response from below on its way up; takes m. */
static void pass_up(struct fork *f, msg_t *m)
{
    sip_t *sip = sip_object(m);

    drop_errors(m, sip);
    sip_via_remove(m, sip);
    if (undelivered_may(&f->origin, sip->sip_status->st_status) && via_hash(sip->sip_via) == via_hash(f->origin.sip->sip_via)) {
        msg_t *again = msg_dup(m);

        if (again)
            undelivered(&f->origin, again);
    }
    nta_incoming_mreply(f->irq, m);
}

/* ---- choosing ---- */

static struct branch *best_branch(struct fork *f)
{
    struct branch *best = NULL;

    list_each(node, &f->branches) {
        struct branch *b = list_item(node, struct branch, node);

        if (b->status >= 300 && !b->superseded && (!best || status_rank(b->status) < status_rank(best->status) ||
                                 (status_rank(b->status) == status_rank(best->status) && b->final && !best->final)))
            best = b;
    }
    return best;
}

/* Everybody's challenges go up in one response: S-RSP-08. */
static void add_challenges(const struct fork *f, const struct branch *best)
{
    list_each(node, &f->branches) {
        const struct branch *b = list_item(node, struct branch, node);
        const sip_t *from = b->final ? sip_object(b->final) : NULL;

        if (b == best || !from || (b->status != 401 && b->status != 407))
            continue;
        forward_add_unmodified(best->final, (const msg_header_t *)from->sip_www_authenticate);
        forward_add_unmodified(best->final, (const msg_header_t *)from->sip_proxy_authenticate);
    }
}

/* All branches are over and nothing has gone up. */
static void answer_best(struct fork *f)
{
    struct branch *best = best_branch(f);
    int status = best ? best->status : f->cancelled ? 487 : 408;

    f->done = true;
    if (best && best->final && status != 503) {
        if (status == 401 || status == 407)
            add_challenges(f, best);
        account_response(f, best->final);
        pass_up(f, best->final);
        best->final = NULL;
        return;
    }
    if (status == 503)
        status = 500; /* S-RSP-07 */
    /* A 408 to what is no INVITE ends nta's transaction and is not sent: S-TXN-09. Ended without it, nta would say 500. */
    if (undelivered_may(&f->origin, status) && (f->is_invite || status != 408))
        reply_elsewhere(f, status, phrase_of_status(status), NULL);
    nta_incoming_treply(f->irq, status, phrase_of_status(status), TAG_END());
    account(f->d, f->origin.sip, status, NULL, fork_tag(f));
}

static void launch_group(struct fork *f);

/* All have failed, and a script has its say. True: the fork goes on, or ends by itself. */
static bool script_goes_on(struct fork *f)
{
    const struct branch *best = best_branch(f);
    int status = best ? best->status : f->cancelled ? 487 : 408;
    struct script_answer answer;

    switch (f->round < ROUNDS_MAX ? sipscript_on_failure(&f->origin, status, f->cancelled, &answer) : FAILURE_GOES_UP) {
    case FAILURE_GOES_UP:
        break;
    case FAILURE_ANSWERED:
        fork_reply(f, answer.status, answer.phrase, answer.headers);
        account(f->d, f->origin.sip, answer.status, answer.phrase, fork_tag(f));
        return true;
    case FAILURE_RELAYED:
        f->round++;
        f->next_target = 0;
        f->no_more = false;
        launch_group(f);
        return true;
    }
    return false;
}

/* Nobody waits any more for what is no INVITE: RFC 3261 s.17.1.2.2, Timer F. */
static bool is_late(const struct fork *f)
{
    return sipd_now_ms() - f->born_ms >= T1X64_MS;
}

static void check_end(struct fork *f)
{
    if (f->open || f->launching || f->dying)
        return;
    if (!f->done && !f->no_more && f->next_target < f->origin.n_targets && (f->is_invite || !is_late(f))) {
        launch_group(f);
        return;
    }
    if (!f->done && script_goes_on(f))
        return;
    if (!f->done)
        answer_best(f);
    release(f);
}

/* ---- branches ---- */

static void branch_over(struct branch *b, int status)
{
    if (b->status < 200)
        b->fork->open--;
    b->status = status;
}

static void send_cancel(struct branch *b, const char *reason)
{
    nta_agent_t *nta = b->fork->d->nta;
    msg_t *sent = nta_outgoing_getrequest(b->orq), *m = sent ? forward_cancel(nta, sip_object(sent), reason) : NULL;
    tport_t *tp = nta_outgoing_transport(b->orq);
    char at[ADDR_TEXT_MAX], route[ADDR_TEXT_MAX + 4];
    struct addr to;

    b->cancel_due = false;
    if (m && tp) {
        memcpy(&to, msg_addr(sent), sizeof to);
        snprintf(route, sizeof route, "sip:%s", addr_text(&to, at));
        if (!nta_outgoing_mcreate(nta, NULL, NULL, (const url_string_t *)route, m,
                                  NTATAG_BRANCH_KEY(nta_outgoing_branch(b->orq)), NTATAG_TPORT(tp), TAG_END()))
            msg_destroy(m);
    } else if (m) {
        msg_destroy(m);
    }
    if (tp)
        tport_unref(tp);
    if (sent)
        msg_destroy(sent);
}

static void branch_cancel(struct branch *b, const char *reason)
{
    if (b->status >= 200 || b->cancelled_ms || !b->fork->is_invite)
        return;
    b->cancelled_ms = sipd_now_ms();
    if (b->is_searching) {
        b->is_searching = false;
        hops_free(&b->hops);
        branch_over(b, 487);
    } else if (b->orq && b->status >= 100) {
        send_cancel(b, reason);
    } else {
        b->cancel_due = true;
        b->cancel_reason = reason ? strdup(reason) : NULL;
    }
}

static void cancel_all(struct fork *f, const char *reason)
{
    f->no_more = true;
    list_each_safe(node, &f->branches)
        branch_cancel(list_item(node, struct branch, node), reason);
}

/* A device with several flows is tried down one at a time; the next one when the one before turns out to be gone, or
 * silent: RFC 5626 s.7, S-OUT-06. */
static bool is_tried(const struct fork *f, const struct target *t)
{
    list_each(node, &f->branches) {
        const struct branch *b = list_item(node, struct branch, node);

        if (b->round != f->round)
            continue;
        if (b->target == t || (*t->instance && strcmp(b->target->instance, t->instance) == 0))
            return true;
    }
    return false;
}

static void branch_launch(struct fork *f, const struct target *t, unsigned breadth);

/* The request is for whoever is at the other end of a flow of ours, and for nobody else. */
static bool is_by_flow(const struct fork *f)
{
    return f->origin.in_dialog || f->origin.by_token;
}

/* What stands for a branch that was sent nowhere: S-OUT-05, S-OUT-07, S-DNS-08. */
static int status_of(const struct branch *b, enum hop_end how)
{
    switch (how) {
    case HOP_FOUND:
        break;
    case HOP_GONE:
        return is_by_flow(b->fork) ? 430 : 480;
    case HOP_FORBIDDEN:
        return 403;
    case HOP_ABSENT:
        return b->target->uri ? 480 : 404;
    case HOP_FAILED:
        return 503;
    }
    return 500;
}

static void try_next_flow(struct fork *f, const struct branch *failed)
{
    const struct target *all = f->origin.targets;
    bool found = false;

    if (f->no_more || f->done || !*failed->target->instance || (failed->status != 430 && failed->status != 408 && !failed->is_gone))
        return;
    for (size_t i = 0; i < f->origin.n_targets; i++) {
        if (found && strcmp(all[i].instance, failed->target->instance) == 0) {
            branch_launch(f, &all[i], 1); /* what is open now has its share */
            return;
        }
        found = found || &all[i] == failed->target;
    }
}

static const char elsewhere[] = "SIP;cause=200;text=\"Call completed elsewhere\"";

static bool branch_retry(struct branch *b);

/* Is it the address that did not work out, rather than the request? RFC 3263 s.4.3, S-DNS-05. before: what had come. */
static bool is_failover(int before, int status, bool is_internal)
{
    return is_internal ? (status == 503 && before <= 100) || (status == 408 && before == 0) : status == 503;
}

static int on_response(struct branch *b, nta_outgoing_t *orq, sip_t const *sip)
{
    struct fork *f = b->fork;
    int status = sip ? sip->sip_status->st_status : nta_outgoing_status(orq);
    msg_t *m = nta_outgoing_getresponse(orq);
    /* With no Via but ours there is nobody to take it to: S-RSP-01. */
    bool is_internal = !m || !sip || nta_msg_is_internal(m) || !sip->sip_via || !sip->sip_via->v_next, may_retry, was_answered;

    if (is_internal && status >= 200 && status < 300)
        status = 500;
    if (!b->orq)
        b->orq = orq; /* failed at once: nta_outgoing_mcreate() has not returned yet */
    if (f->dying) {
        if (m)
            msg_destroy(m);
        return 0;
    }
    if (status < 200) {
        if (b->status < status)
            b->status = status;
        if (status > 100)
            b->timer_c_ms = sipd_now_ms() + TIMER_C_MS;
        if (b->cancel_due)
            send_cancel(b, b->cancel_reason);
        if (status > 100 && !f->done && f->is_invite && !is_internal && !b->superseded && sipscript_on_reply(&f->origin, m, b->index))
            pass_up(f, m);
        else if (m)
            msg_destroy(m);
        return 0;
    }
    may_retry = is_failover(b->status, status, is_internal);
    was_answered = b->status >= 200 && b->status < 300; /* it comes again */
    branch_over(b, status);
    if (!is_internal)
        sipscript_on_reply(&f->origin, m, b->index);
    if (status >= 300 && (b->superseded || (may_retry && branch_retry(b)))) {
        if (m)
            msg_destroy(m);
        check_end(f);
        return 0;
    }
    if (status < 300 && !is_internal) {
        if (!was_answered && (f->is_invite || !f->done))
            account_response(f, m);
        if (f->is_invite || !f->done)
            pass_up(f, m); /* every 2xx to INVITE: S-RSP-03 */
        else
            msg_destroy(m);
        f->done = true;
        cancel_all(f, elsewhere);
    } else {
        if (!is_internal && !f->done && !b->final)
            b->final = m;
        else if (m)
            msg_destroy(m);
        if (status >= 600)
            cancel_all(f, NULL);
        if (is_internal && status == 503 && b->target->hop.kind == MARK_FLOW) {
            b->is_gone = may_retry;
            b->status = status_of(b, HOP_GONE); /* as when its end had been known before: S-OUT-05, S-OUT-07 */
        }
        try_next_flow(f, b);
    }
    check_end(f);
    return 0;
}

static void branch_send(struct branch *b, const struct next_hop *hop)
{
    struct fork *f = b->fork;
    struct sipd *d = f->d;
    sip_t *sip = sip_object(b->copy);
    char key[64] = "z9hG4bK";
    size_t n = strlen(key);
    nta_outgoing_t *orq;

    crypto_random_name(key + n, BRANCH_RANDOM);
    snprintf(key + n + BRANCH_RANDOM, sizeof key - n - BRANCH_RANDOM, ".%s", f->origin.loop);
    b->sent_ms = sipd_now_ms();
    b->timer_c_ms = b->sent_ms + TIMER_C_MS;
    if (!forward_record_route(&f->origin, b->copy, sip, &f->in, hop, b->target)) {
        branch_over(b, 500);
        return;
    }
    orq = nta_outgoing_mcreate(d->nta, on_response, b, (const url_string_t *)hop->route, b->copy,
                               NTATAG_BRANCH_KEY(key), NTATAG_TPORT(hop->tport), TAG_END());
    if (!orq) {
        if (b->status < 200)
            branch_over(b, 500);
        return;
    }
    b->copy = NULL; /* nta's now */
    b->orq = orq;
}

/* Another address is tried in its place. Should it answer yet: an INVITE there is cancelled, a 2xx goes up. */
static void branch_give_up(struct branch *b)
{
    b->superseded = true;
    if (b->status >= 200)
        return;
    if (b->fork->is_invite && !b->cancelled_ms) {
        b->cancelled_ms = sipd_now_ms();
        b->cancel_due = true;
    }
    branch_over(b, 408);
}

static void on_hop(void *arg, enum hop_end how, const struct next_hop *hop)
{
    struct branch *b = arg;
    struct fork *f = b->fork;
    bool was_launching = f->launching;

    b->is_searching = false;
    f->launching = true;
    if (f->done || f->no_more) {
        branch_over(b, 487);
    } else if (hop && (!b->prior || b->prior->status == b->prior_status)) {
        if (b->prior)
            branch_give_up(b->prior);
        b->prior = NULL;
        branch_send(b, hop);
    } else if (b->prior) { /* there is no other address, or the first one has answered: what it says is what counts */
        b->superseded = true;
        branch_over(b, 503);
        try_next_flow(f, b->prior);
    } else {
        b->is_gone = how == HOP_GONE;
        branch_over(b, status_of(b, how));
        try_next_flow(f, b);
    }
    if (b->hops && !hops_has_more(b->hops))
        hops_free(&b->hops);
    f->launching = was_launching;
    check_end(f);
}

static struct branch *branch_new(struct fork *f, const struct target *t, unsigned breadth)
{
    struct branch *b = calloc(1, sizeof *b);

    if (!b)
        return NULL;
    b->fork = f;
    b->target = t;
    b->breadth = breadth;
    b->index = f->n_branches++;
    b->round = f->round;
    list_append(&f->branches, &b->node);
    f->open++;
    b->copy = forward_copy(&f->origin, t, &b->is_strict);
    if (!b->copy || !forward_set_breadth(b->copy, sip_object(b->copy), breadth)) {
        branch_over(b, 500);
        return NULL;
    }
    if (!sipscript_on_branch(&f->origin, b->copy, b->index)) {
        branch_over(b, 480);
        return NULL;
    }
    return b;
}

static void branch_launch(struct fork *f, const struct target *t, unsigned breadth)
{
    struct branch *b = branch_new(f, t, breadth);

    if (!b)
        return;
    b->hops = hops_new(f->d, sip_object(b->copy), t, b->is_strict, msg_size(f->origin.msg));
    if (!b->hops) {
        branch_over(b, 500);
        return;
    }
    b->is_searching = true;
    hops_next(b->hops, on_hop, b);
}

/* Try the next address of the same target, on a branch of its own. False: there is none. */
static bool branch_retry(struct branch *b)
{
    struct fork *f = b->fork;
    struct branch *next;

    if (f->done || f->no_more || b->cancelled_ms || !b->hops || !hops_has_more(b->hops))
        return false;
    next = branch_new(f, b->target, b->breadth);
    if (!next)
        return false;
    next->prior = b;
    next->prior_status = b->status;
    next->hops = b->hops;
    b->hops = NULL;
    next->is_searching = true;
    hops_next(next->hops, on_hop, next);
    return true;
}

/* Targets of this q that are not tried yet. */
static unsigned group_size(const struct fork *f, double q)
{
    size_t n = f->next_target;

    while (n < f->origin.n_targets && f->origin.targets[n].q >= q)
        n++;
    return (unsigned)(n - f->next_target);
}

static void launch_group(struct fork *f)
{
    do {
        double q = f->origin.targets[f->next_target].q;

        f->group_ms = sipd_now_ms();
        f->launching = true;
        /* As many at once as may be; the rest follows when these have failed. */
        for (unsigned left = f->breadth - TD_MIN(f->open, f->breadth), n; left && (n = group_size(f, q)) != 0;) {
            const struct target *t = &f->origin.targets[f->next_target++];
            unsigned share = left / TD_MIN(n, left);

            if (is_tried(f, t))
                continue;
            branch_launch(f, t, share);
            left -= share;
        }
        f->launching = false;
    } while (f->open == 0 && !f->done && !f->no_more && f->next_target < f->origin.n_targets);
    check_end(f);
}

/* ---- the server side ---- */

/* The ACK of our answer: there is nothing to do. */
static int on_incoming(struct fork *f, nta_incoming_t *irq, sip_t const *sip)
{
    return 0;
}

bool fork_is_cancelled_by(const struct fork *f, const struct request *cancel)
{
    return request_is_by_sender_of(cancel, &f->origin, f->in.device);
}

void fork_cancel(struct fork *f, const struct request *cancel)
{
    const sip_header_t *reason = (const sip_header_t *)cancel->sip->sip_reason;

    if (f->done || f->dying || f->cancelled)
        return;
    f->cancelled = true;
    if (f->started) {
        cancel_all(f, reason ? sip_header_as_string(msg_home(cancel->msg), reason) : NULL);
        check_end(f);
    }
}

struct fork *fork_new(struct sipd *d, msg_t *msg, sip_t *sip, tport_t *tport)
{
    struct fork *f = calloc(1, sizeof *f);

    if (!f)
        return NULL;
    f->d = d;
    list_init(&f->node);
    list_init(&f->branches);
    f->origin.d = d;
    f->origin.msg = msg_ref_create(msg);
    f->origin.sip = sip;
    f->origin.tport = tport_ref(tport);
    f->is_invite = sip->sip_request->rq_method == sip_method_invite;
    f->born_ms = sipd_now_ms();
    f->irq = request_incoming(d, msg, sip, tport);
    if (!f->irq) {
        fork_destroy(f);
        return NULL;
    }
    list_append(&d->forks, &f->node);
    nta_incoming_bind(f->irq, on_incoming, f);
    if (f->is_invite) {
        nta_incoming_treply(f->irq, SIP_100_TRYING, TAG_END());
        f->tried = true;
    }
    return f;
}

bool fork_is_cancelled(const struct fork *f)
{
    return f->cancelled;
}

/* The side a UDP request came from needs a mark when its sender is behind NAT. */
static struct mark mark_of_source(const struct request *r)
{
    struct mark m = { .kind = MARK_PLAIN };

    if (r->flow_id)
        return (struct mark){ .kind = MARK_FLOW, .conn_id = r->flow_id, .device = locate_device(r, r->flow_id) };
    if (!request_is_behind_nat(r))
        return m;
    m.kind = MARK_UDP;
    m.addr = r->source;
    sv_copy(sv_of(tport_ident(r->tport)), m.ident, sizeof m.ident);
    return m;
}

static void refuse(struct fork *f, int status, const char *phrase)
{
    fork_reply(f, status, phrase, NULL);
    account_once(f->d, f->origin.sip, status, phrase, fork_tag(f));
}

void fork_start(struct fork *f, const struct request *r)
{
    msg_t *msg = f->origin.msg;
    tport_t *tport = f->origin.tport;

    f->origin = *r;
    f->origin.msg = msg;
    f->origin.tport = tport;
    f->origin.auth = NULL;
    f->origin.cred = NULL;
    f->in = mark_of_source(r);
    f->started = true;
    if (f->cancelled) {
        refuse(f, SIP_487_REQUEST_CANCELLED);
        return;
    }
    f->breadth = forward_breadth(r->sip);
    if (f->breadth == 0) {
        refuse(f, 440, "Max-Breadth Exceeded");
        return;
    }
    launch_group(f);
}

/* ---- time ---- */

static void sweep_branch(struct branch *b, uint64_t now)
{
    if (b->status >= 200)
        return;
    if (b->orq && b->status == 0 && now - b->sent_ms >= (uint64_t)b->fork->d->conf->sip.failover_time * 1000)
        branch_retry(b);
    if (!b->fork->is_invite || b->status >= 200)
        return; /* nta's Timer F ends it */
    if (b->cancelled_ms && now - b->cancelled_ms >= T1X64_MS) { /* S-RSP-22 */
        branch_over(b, 487);
    } else if (!b->cancelled_ms && now >= b->timer_c_ms && b->timer_c_ms) { /* S-RSP-21 */
        if (b->status >= 100)
            branch_cancel(b, NULL);
        else
            branch_over(b, 408);
    }
}

static void sweep_fork(struct fork *f, uint64_t now)
{
    if (f->dying || !f->started)
        return;
    if (!f->is_invite && !f->done && !f->tried && now - f->born_ms >= SLOW_MS) {
        f->tried = true;
        nta_incoming_treply(f->irq, SIP_100_TRYING, TAG_END());
    }
    list_each_safe(node, &f->branches)
        sweep_branch(list_item(node, struct branch, node), now);
    if (!f->done && !f->no_more && f->next_target < f->origin.n_targets && now - f->group_ms >= GROUP_MS)
        launch_group(f);
    else
        check_end(f);
}

void fork_sweep(struct sipd *d)
{
    uint64_t now = sipd_now_ms();

    list_each_safe(node, &d->forks)
        sweep_fork(list_item(node, struct fork, node), now);
    answered_sweep(d, now);
    undelivered_sweep(d, now);
}

void forks_fini(struct sipd *d)
{
    while (!list_is_empty(&d->forks))
        fork_destroy(list_item(d->forks.next, struct fork, node));
    answered_fini(d);
}
