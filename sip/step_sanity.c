/* Steps: is the message fit to be handled? RFC 3261 s.16.3 items 1 to 5. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "net/limit.h"
#include "sip/fork.h"
#include "sip/request.h"
#include "sip/script.h"

enum { VIAS_MAX = 70, FORWARDS_MAX = 255, RETRY_LEAST_S = 5, RETRY_MOST_S = 14 };

/* By hash code, which is a class's own: two classes are not Sofia's but copies (sip/method.c). */
static bool is_mandatory(const msg_hclass_t *c)
{
    static msg_hclass_t *const classes[] = { sip_request_class,       sip_from_class,         sip_to_class,
                                             sip_call_id_class,       sip_cseq_class,         sip_via_class,
                                             sip_route_class,         sip_record_route_class, sip_contact_class,
                                             sip_content_length_class };

    for (size_t i = 0; i < TD_ARRAY_LEN(classes); i++)
        if (c->hc_hash == classes[i]->hc_hash)
            return true;
    return false;
}

/* Headers pass as they came (stack.c has Sofia keep their text), but for the ends of folded lines, which become blanks: S-MSG-02, S-MSG-07. */
static void unfold(msg_t *msg)
{
    for (msg_header_t *h = *msg_chain_head(msg); h && h->sh_class->hc_hash != sip_separator_class->hc_hash; h = h->sh_succ) {
        char *text = (char *)(uintptr_t)h->sh_data, *end = text && h->sh_len > 2 ? text + h->sh_len - 2 : text;

        for (char *nl; text < end && (nl = memchr(text, '\n', (size_t)(end - text))) != NULL; text = nl + 1) {
            if (nl > text && nl[-1] == '\r')
                nl[-1] = ' ';
            *nl = ' ';
        }
    }
}

/* Headers that Sofia could not use hang on sip_error; a copy with one of them would trip an assert when it is
 * printed. The list head first: msg_header_remove() alone looks in the slot of the header's own class. Returns
 * the name of the first one that the proxy needs, or NULL. */
const char *drop_errors(msg_t *msg, sip_t *sip)
{
    const char *bad = NULL;

    for (msg_header_t *h; (h = (msg_header_t *)sip->sip_error) != NULL;) {
        const msg_hclass_t *c = h->sh_class;

        if (!bad && is_mandatory(c))
            bad = c->hc_name ? c->hc_name : "Request Line";
        sip->sip_error = (msg_error_t *)h->sh_next;
        h->sh_next = NULL;
        msg_header_remove(msg, (msg_pub_t *)sip, h);
    }
    unfold(msg);
    return bad;
}

static bool has_escaped_headers(const url_t *u)
{
    return u->url_headers && *u->url_headers;
}

/* A known scanner: not worth an answer, which is what it looks for. What came through another proxy, or in a datagram
 * with perhaps another's source, is no reason to shut that source out. */
static bool is_scanner(const struct request *r)
{
    const struct conf_list *words = &r->d->conf->limits.scanners;
    const char *agent = r->sip->sip_user_agent ? r->sip->sip_user_agent->g_string : NULL;

    for (size_t i = 0; agent && i < words->n; i++)
        if (strcasestr(agent, words->v[i])) {
            log_notice("sip", r->flow_id, "a scanner: %s", words->v[i]);
            if (r->flow_id && !r->sip->sip_via->v_next)
                flows_ban(r->d->flows, &r->source, LIMITS_SCANNER);
            return true;
        }
    return false;
}

static bool is_dialog_forming(sip_method_t method)
{
    return method == sip_method_invite || method == sip_method_subscribe || method == sip_method_refer;
}

/* Where in the Via; SIZE_MAX: it is not there. */
static size_t param_at(const sip_via_t *v, const char *name)
{
    for (size_t i = 0; v->v_params && v->v_params[i]; i++)
        if (strncmp(v->v_params[i], name, strlen(name)) == 0)
            return i;
    return SIZE_MAX;
}

/* A browser has no address of its own, and Sofia tells everybody with a wrong one where it is. RFC 7118 s.5.3 lets that be left out, unless rport
 * was asked for: then Sofia has filled it in where it stood, else it stands behind received (S-WS-05). */
static void leave_out_received(sip_via_t *v)
{
    if (!v->v_received || param_at(v, "rport") < param_at(v, "received"))
        return;
    msg_header_remove_param(v->v_common, "received");
    msg_header_remove_param(v->v_common, "rport");
    v->v_received = v->v_rport = NULL;
}

/* A response by UDP goes there before all else (S-VIA-04), if we send to that address on anybody's word. A name would be resolved in
 * nta_incoming_create(), blocking everybody. */
static bool may_follow_maddr(const struct request *r)
{
    const sip_via_t *v = r->sip->sip_via;
    struct addr at;

    return !tport_is_secondary(r->tport) && addr_from_host(&at, sv_of(v->v_maddr), addr_port_of_text(v->v_port, 5060)) &&
           at.sa.sa_family == r->source.sa.sa_family && reach_allows(&r->d->reach, &at) && !stack_owns(r->d->stack, &at);
}

enum verdict step_admit(struct request *r)
{
    sip_t *sip = r->sip;
    const char *bad = drop_errors(r->msg, sip);
    unsigned vias = 0;

    if (sip->sip_via && sip->sip_via->v_maddr && !may_follow_maddr(r)) {
        msg_header_remove_param(sip->sip_via->v_common, "maddr");
        sip->sip_via->v_maddr = NULL;
    }
    if (sip->sip_via && request_is_websocket(r))
        leave_out_received(sip->sip_via);
    /* Sofia adds it only when it differs: S-VIA-02. */
    if (sip->sip_via && sip->sip_via->v_rport && !sip->sip_via->v_received) {
        char host[ADDR_TEXT_MAX], *received;

        received = su_sprintf(msg_home(r->msg), "received=%s", addr_host_text(&r->source, host));

        if (received)
            msg_header_replace_param(msg_home(r->msg), sip->sip_via->v_common, received);
    }
    if (!sip->sip_via || !sip->sip_from || !sip->sip_to || !sip->sip_call_id || !sip->sip_cseq)
        return STEP_DONE;
    if (is_scanner(r))
        return STEP_DONE;
    for (const sip_via_t *v = sip->sip_via; v; v = v->v_next)
        vias++;
    if (vias > VIAS_MAX)
        return request_reply(r, 513, "Message Too Large", NULL);
    if (bad) {
        char *phrase = su_sprintf(msg_home(r->msg), "Bad %s", bad);

        return request_reply(r, 400, phrase ? phrase : "Bad Request", NULL);
    }
    if (sip->sip_request->rq_method == sip_method_cancel)
        return step_cancel(r);
    if (sip->sip_request->rq_method == sip_method_ack && request_is_ack_of_ours(r))
        return STEP_DONE;
    return STEP_NEXT;
}

/* What is inside a call, and the ACK, goes on. A CANCEL has been answered before. */
enum verdict step_overload(struct request *r)
{
    sip_method_t method = r->sip->sip_request->rq_method;
    bool is_change = method == sip_method_register && r->sip->sip_contact;
    char retry[40];

    if (method == sip_method_ack || r->sip->sip_to->a_tag || !overload_refuses(&r->d->overload, is_change))
        return STEP_NEXT;
    stats_inc(&r->d->shared->stats, STAT_sip_overloaded);
    /* Not everybody at the same time. */
    snprintf(retry, sizeof retry, "Retry-After: %d\r\n", su_randint(RETRY_LEAST_S, RETRY_MOST_S));
    return request_reply(r, SIP_503_SERVICE_UNAVAILABLE, retry);
}

enum verdict step_sanity(struct request *r)
{
    const sip_t *sip = r->sip;
    const url_t *uri = sipscript_uri(r);

    if (uri->url_type != url_sip && uri->url_type != url_sips)
        return request_reply(r, SIP_416_UNSUPPORTED_URI, NULL);
    if (!uri->url_host || !*uri->url_host || has_escaped_headers(uri))
        return request_reply(r, SIP_400_BAD_REQUEST, NULL);
    if (uri->url_type == url_sips && url_has_param(uri, "transport")) {
        char transport[16];

        if (url_param(uri->url_params, "transport", transport, sizeof transport) && su_casematch(transport, "udp"))
            return request_reply(r, 400, "SIPS over UDP", NULL);
    }
    if (uri->url_type == url_sips && is_dialog_forming(sip->sip_request->rq_method) && sip->sip_contact &&
        sip->sip_contact->m_url->url_type == url_sip)
        return request_reply(r, 400, "Contact Is Not SIPS", NULL); /* S-TLS-08 */
    return STEP_NEXT;
}

enum verdict step_max_forwards(struct request *r)
{
    sip_max_forwards_t *mf = r->sip->sip_max_forwards;

    if (!mf)
        return STEP_NEXT;
    if (mf->mf_count > FORWARDS_MAX) {
        mf->mf_count = 70;
        msg_fragment_clear(mf->mf_common);
    }
    if (mf->mf_count > 0)
        return STEP_NEXT;
    if (r->sip->sip_request->rq_method == sip_method_options)
        return own_options(r);
    return request_reply(r, SIP_483_TOO_MANY_HOPS, NULL);
}

/* 420 with all that is asked for: there is no extension that we would have to support for a sender (S-VAL-06). */
static enum verdict refuse_extensions(struct request *r, const msg_param_t *items)
{
    struct buf line = BUF_INIT;
    enum verdict v;

    buf_puts(&line, "Unsupported: ");
    for (const msg_param_t *item = items; *item; item++)
        buf_printf(&line, "%s%s", item == items ? "" : ", ", *item);
    buf_puts(&line, "\r\n");
    v = request_reply(r, SIP_420_BAD_EXTENSION, line.p);
    buf_fini(&line);
    return v;
}

enum verdict step_require(struct request *r)
{
    const sip_proxy_require_t *asked = r->sip->sip_proxy_require;

    if (!asked || !asked->k_items || r->sip->sip_request->rq_method == sip_method_ack)
        return STEP_NEXT;
    return refuse_extensions(r, asked->k_items);
}

enum verdict own_options(struct request *r)
{
    if (r->sip->sip_require && r->sip->sip_require->k_items)
        return refuse_extensions(r, r->sip->sip_require->k_items);
    return request_reply(r, SIP_200_OK, OWN_ALLOW);
}
