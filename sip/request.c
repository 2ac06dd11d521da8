/* Requests: from nta's callback through the steps to an answer or a fork. */
#include "sip/request.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/authn.h"
#include "common/crypto.h"
#include "common/log.h"
#include "db/cred.h"
#include "sip/account.h"
#include "sip/fork.h"
#include "sip/method.h"
#include "sip/script.h"

static enum verdict (*const steps[])(struct request *r) = {
    step_admit,
    step_overload,
    step_script,
    step_sanity,
    step_max_forwards,
    step_loop,
    step_require,
    step_route,
    step_own,
    step_auth_ask,
    step_auth_judge,
    step_path,
    step_locate,
    step_locate_judge,
    step_forward,
};

static void request_free(struct request *r)
{
    r->d->n_requests--;
    sipscript_forget(r);
    if (r->auth)
        authn_cancel(r->auth);
    if (r->cred)
        db_cred_cancel(r->cred);
    if (r->tport)
        tport_unref(r->tport);
    msg_destroy(r->msg);
    free(r);
}

void request_run(struct request *r)
{
    r->is_waiting = false;
    while (r->step < TD_ARRAY_LEN(steps)) {
        enum verdict v = steps[r->step++](r);

        if (v == STEP_WAIT) {
            r->is_waiting = true;
            return;
        }
        if (v == STEP_DONE)
            break;
    }
    request_free(r);
}

/* Should this request end the process, the edge logs what it was. */
static void note(const struct request *r)
{
    enum { METHOD_MAX = 64, FROM_MAX = sizeof " from " + ADDR_TEXT_MAX };
    char *to = r->d->shared->box, *end = to + PUMP_BOX_SIZE - FROM_MAX;
    const sip_request_t *rq = r->sip->sip_request;
    struct sv method = sv_upto(sv_of(rq->rq_method_name), METHOD_MAX);
    isize_t n;

    memcpy(to, method.p, method.n);
    to += method.n;
    *to++ = ' ';
    n = url_e(to, end - to, rq->rq_url);
    to = n < end - to ? to + n : end - 1; /* a longer one is cut off */
    memcpy(to, " from ", 6);
    addr_text(&r->source, to + 6);
}

void request_start(struct sipd *d, msg_t *msg, sip_t *sip)
{
    struct request *r = calloc(1, sizeof *r);
    struct flow *f;

    if (!r) {
        nta_msg_discard(d->nta, msg);
        return;
    }
    method_reveal(sip);
    d->n_requests++;
    r->d = d;
    r->msg = msg;
    r->sip = sip;
    r->tport = nta_incoming_transport(d->nta, NULL, msg);
    if (!r->tport) {
        request_free(r);
        return;
    }
    memcpy(&r->source, msg_addr(msg), sizeof r->source);
    f = flow_of_tport(d->flows, r->tport);
    r->flow_id = f ? f->id : 0;
    note(r);
    stats_inc(&d->shared->stats, STAT_sip_requests);
    request_run(r);
    d->shared->box[0] = '\0';
}

uint64_t request_hash(const sip_t *sip)
{
    const char *branch = sip->sip_via->v_branch, *callid = sip->sip_call_id->i_id;
    uint64_t hash = hash_bytes(callid, strlen(callid)) ^ sip->sip_cseq->cs_seq;

    return branch ? hash ^ hash_bytes(branch, strlen(branch)) << 1 : hash;
}

uint64_t via_hash(const sip_via_t *v)
{
    const char *const parts[] = { v->v_protocol, v->v_host, v->v_port, v->v_branch, v->v_received, v->v_rport, v->v_maddr };
    uint64_t hash = 0;

    for (size_t i = 0; i < TD_ARRAY_LEN(parts); i++)
        if (parts[i])
            hash = hash * 31 + hash_bytes(parts[i], strlen(parts[i])) + i;
    return hash;
}

/* When its stream has gone, Sofia looks for the sender by what it notes here. That may not be a name (of a browser's Via, which has no received), as looking that up
 * would hold up everybody: S-DNS-08. */
nta_incoming_t *request_incoming(struct sipd *d, msg_t *msg, sip_t *sip, tport_t *tport)
{
    sip_via_t *v = sip->sip_via;
    const char *received = v->v_received;
    char host[ADDR_TEXT_MAX];
    struct addr source;
    nta_incoming_t *irq;

    memcpy(&source, msg_addr(msg), sizeof source);
    if (!received && !addr_from_host(&(struct addr){ 0 }, sv_of(v->v_host), 0))
        v->v_received = su_strdup(msg_home(msg), addr_host_text(&source, host));
    irq = nta_incoming_create(d->nta, NULL, msg_ref_create(msg), sip, NTATAG_TPORT(tport), TAG_END());
    v->v_received = received;
    return irq;
}

bool request_hold(struct request *r)
{
    if (!r->fork) {
        r->fork = fork_new(r->d, r->msg, r->sip, r->tport);
        cancel_expect(r);
    }
    return r->fork != NULL;
}

/* The To tag of our answers: the same each time the request comes, also when it has no transaction (any more), and known again in the ACK, by another process, too. */
static void own_tag(const struct request *r, char out[20])
{
    const sip_t *sip = r->sip;
    uint32_t cseq = htonl(sip->sip_cseq->cs_seq);
    uint8_t code[32];
    uint64_t tag;

    crypto_mac_add(r->d->mac, SV("\0to")); /* no mark begins so */
    crypto_mac_add(r->d->mac, sv_make(&cseq, sizeof cseq));
    crypto_mac_add(r->d->mac, sv_of(sip->sip_call_id->i_id));
    crypto_mac_add(r->d->mac, SV("\0"));
    crypto_mac_add(r->d->mac, sv_of(sip->sip_from->a_tag ? sip->sip_from->a_tag : ""));
    crypto_mac_end(r->d->mac, code);
    memcpy(&tag, code, sizeof tag);
    snprintf(out, 20, "td%016" PRIx64, tag);
}

bool request_is_ack_of_ours(const struct request *r)
{
    const char *given = r->sip->sip_to->a_tag;
    char tag[20];

    if (!given || strncmp(given, "td", 2) != 0)
        return false;
    own_tag(r, tag);
    return strcmp(given, tag) == 0;
}

enum verdict request_reply(struct request *r, int status, const char *phrase, const char *headers)
{
    sip_to_t *to;
    char tag[20];

    if (r->sip->sip_request->rq_method == sip_method_ack)
        return STEP_DONE; /* never answered: S-TXN-10 */
    if (status >= 200)
        r->answered = status;
    own_tag(r, tag);
    if (r->fork) {
        fork_set_tag(r->fork, tag);
        fork_reply(r->fork, status, phrase, headers);
        if (r->is_admitted)
            account_once(r->d, r->sip, status, phrase, fork_tag(r->fork)); /* it is there until the loop's next turn */
        return STEP_DONE;
    }
    to = sip_to_dup(msg_home(r->msg), r->sip->sip_to);
    if (!to)
        return STEP_DONE;
    if (!to->a_tag && status > 100)
        sip_to_tag(msg_home(r->msg), to, tag);
    if (r->is_admitted)
        account_once(r->d, r->sip, status, phrase, to->a_tag);
    if (tport_is_secondary(r->tport) && !tport_is_clear_to_send(r->tport))
        return STEP_DONE; /* it has gone, and Sofia would look for it by what its Via says */
    nta_msg_treply(r->d->nta, msg_ref_create(r->msg), status, phrase, NTATAG_TPORT(r->tport), SIPTAG_TO(to),
                   TAG_IF(headers && *headers, SIPTAG_HEADER_STR(headers)), TAG_END());
    return STEP_DONE;
}

bool request_may_note(struct sipd *d)
{
    return log_may(&d->denied, "sip", "requests were denied", (uint64_t)sipd_time());
}

static void log_denied(const struct request *r, int status, const char *why)
{
    enum { SHOWN = 128 };
    struct buf text = BUF_INIT;
    char at[ADDR_TEXT_MAX];

    if (!request_may_note(r->d))
        return;
    buf_puts(&text, "method=");
    buf_add_escaped(&text, sv_of(r->sip->sip_request->rq_method_name), SHOWN);
    buf_puts(&text, " uri=");
    buf_add_escaped(&text, sv_of(url_as_string(msg_home(r->msg), r->sip->sip_request->rq_url)), SHOWN);
    buf_puts(&text, " from=");
    buf_add_escaped(&text, sv_of(url_as_string(msg_home(r->msg), r->sip->sip_from->a_url)), SHOWN);
    log_notice("sip", r->flow_id, "denied: status=%d reason=\"%s\" source=%s %s", status, why,
               addr_text(&r->source, at), text.p ? text.p : "");
    buf_fini(&text);
}

enum verdict request_deny(struct request *r, int status, const char *phrase, const char *headers)
{
    if (r->sip->sip_request->rq_method != sip_method_ack) {
        stats_inc(&r->d->shared->stats, STAT_sip_denied);
        log_denied(r, status, phrase);
    }
    return request_reply(r, status, phrase, headers);
}

bool request_is_websocket(const struct request *r)
{
    const struct flow *f = r->flow_id ? flow_by_id(r->d->flows, r->flow_id) : NULL;

    return f && (f->kind == PUMP_WS || f->kind == PUMP_WSS);
}

bool request_is_behind_nat(const struct request *r)
{
    const sip_via_t *v = r->sip->sip_via;
    struct addr said;

    if (r->flow_id)
        return false;
    if (!reach_allows(&r->d->reach, &r->source))
        return true; /* we send there as it came from there, not because somebody says so: S-SEC-05 */
    if (!addr_from_host(&said, sv_of(v->v_host), addr_port_of_text(v->v_port, 5060)))
        return false;
    /* RFC 3581: who asks for rport listens where it sends from; another port may be meant */
    return !addr_host_eq(&said, &r->source) || (v->v_rport && addr_port(&said) != addr_port(&r->source));
}

/* A client that says where it sends from, and is right, is behind no NAT, and sends from there again. */
static bool says_its_port(const struct request *r, const struct addr *source)
{
    const sip_via_t *v = r->sip->sip_via;
    struct addr said;

    return addr_from_host(&said, sv_of(v->v_host), addr_port_of_text(v->v_port, 5060)) && addr_eq(&said, source);
}

bool request_is_by_sender_of(const struct request *cancel, const struct request *r, uint64_t device)
{
    const tport_t *tport = cancel->tport;
    const struct addr *from = &cancel->source;
    struct addr source;
    struct flow *f;

    memcpy(&source, msg_addr(r->msg), sizeof source);
    if (!tport_is_secondary(r->tport))
        return !tport_is_secondary(tport) && addr_host_eq(from, &source) && (addr_port(from) == addr_port(&source) || !says_its_port(r, &source));
    if (tport == r->tport)
        return true;
    f = flow_of_tport(r->d->flows, tport);
    if (!f || strcmp(tport_ident(tport), tport_ident(r->tport)) != 0)
        return false;
    return (device && locate_device(r, f->id) == device) || (addr_host_eq(from, &source) && !flow_of_tport(r->d->flows, r->tport));
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = sv_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool uri_aor(su_home_t *home, const url_t *url, struct sv *user, struct sv *domain)
{
    const char *from = url->url_user;
    char *u, *d;
    size_t n = 0;

    if (!from || !*from || !url->url_host)
        return false;
    u = su_alloc(home, strlen(from) + 1);
    d = su_strdup(home, url->url_host);
    if (!u || !d)
        return false;
    for (; *from; from++) {
        int high = *from == '%' ? hex(from[1]) : -1, low = high >= 0 ? hex(from[2]) : -1;

        if (low >= 0 && (high || low)) {
            u[n++] = (char)(high << 4 | low);
            from += 2;
        } else {
            u[n++] = *from;
        }
    }
    for (char *p = d; *p; p++)
        *p = sv_lower(*p);
    *user = sv_make(u, n);
    *domain = sv_of(d);
    return n > 0;
}
