/* Steps: what do the Route headers and the Request-URI say? RFC 3261 s.16.4, RFC 5393 s.4. */
#include <stdio.h>

#include "sip/method.h"
#include "sip/request.h"
#include "sip/registrar.h"
#include "sip/script.h"

static void set_uri(struct request *r, const url_t *url)
{
    sip_request_t *changed = method_request_line(msg_home(r->msg), r->sip->sip_request, (const url_string_t *)url);

    if (changed)
        msg_header_insert(r->msg, (msg_pub_t *)r->sip, (msg_header_t *)changed);
}

/* A strict router before us has put our Record-Route value where the target belongs: S-RT-03. */
static void undo_strict_router(struct request *r)
{
    const url_t *uri = r->sip->sip_request->rq_url;
    sip_route_t *last = r->sip->sip_route;

    if (!last || !url_has_param(uri, "lr") || !stack_is_us(r->d->stack, uri))
        return;
    while (last->r_next)
        last = last->r_next;
    set_uri(r, last->r_url);
    msg_header_remove(r->msg, (msg_pub_t *)r->sip, (msg_header_t *)last);
}

/* The Request-URI names us by maddr: what is left without it says where the request is to go (S-RT-04). */
static void strip_maddr(struct request *r)
{
    url_t us = *r->sip->sip_request->rq_url, rest = us;
    char maddr[ADDR_TEXT_MAX];

    if (!us.url_params || url_param(us.url_params, "maddr", maddr, sizeof maddr) <= 1)
        return;
    us.url_host = maddr;
    if (!stack_is_us(r->d->stack, &us))
        return;
    rest.url_params = url_strip_param_string(su_strdup(msg_home(r->msg), us.url_params), "maddr");
    if (rest.url_params)
        rest.url_params = url_strip_param_string((char *)rest.url_params, "transport");
    rest.url_port = NULL;
    set_uri(r, &rest);
}

void route_find(struct request *r)
{
    const char *callid = r->sip->sip_call_id->i_id;
    bool marked = false, is_token = false;

    if (r->is_routed)
        return;
    r->is_routed = true;
    undo_strict_router(r);
    strip_maddr(r);
    while (r->sip->sip_route && stack_is_us(r->d->stack, r->sip->sip_route->r_url)) {
        const char *params = r->sip->sip_route->r_url->url_params;
        char text[MARK_TEXT_MAX];
        bool has_mark = url_param(params, "td", text, sizeof text) > 0;

        /* With two values of ours the second names the side to send to: S-RT-02. */
        marked = has_mark && mark_parse(r->d, text, callid, &r->hop);
        is_token = has_mark && !marked && path_token_parse(r, text, &r->hop);
        r->is_forged = r->is_forged || (!marked && !is_token && url_has_param(r->sip->sip_route->r_url, "ob"));
        r->was_routed_by_us = true;
        r->route_params = params;
        sip_route_remove(r->msg, r->sip);
    }
    r->in_dialog = marked && r->sip->sip_to->a_tag;
    /* A client that has its own token on top sends outwards: RFC 5626 s.5.3. */
    r->by_token = is_token && !(r->hop.kind == MARK_FLOW && r->flow_id && r->hop.conn_id == r->flow_id);
    if (!r->in_dialog && !r->by_token)
        r->hop = (struct mark){ .kind = MARK_PLAIN };
}

enum verdict step_route(struct request *r)
{
    route_find(r);
    r->for_us = !r->sip->sip_route && stack_is_us(r->d->stack, sipscript_uri(r));
    if (r->is_forged)
        return request_deny(r, 403, "Flow Token Is Not Ours", NULL); /* S-OUT-07 */
    if (r->sip->sip_request->rq_method == sip_method_ack && !r->was_routed_by_us)
        return STEP_DONE; /* of no dialog that went through here: S-TXN-10 */
    return STEP_NEXT;
}

/* The digest is the second part of the branch of what goes out; a request that comes back with everything that
 * decides its way unchanged has it in one of our Vias. */
enum verdict step_loop(struct request *r)
{
    static const char hex[] = "0123456789abcdef";
    struct buf b = BUF_INIT;
    char *uri;
    uint64_t digest;

    route_find(r);
    uri = url_as_string(msg_home(r->msg), r->sip->sip_request->rq_url);
    buf_puts(&b, uri ? uri : "");
    for (const sip_route_t *route = r->sip->sip_route; route; route = route->r_next) {
        char *one = url_as_string(msg_home(r->msg), route->r_url);

        buf_putc(&b, '|');
        buf_puts(&b, one ? one : "");
    }
    buf_putc(&b, '|');
    buf_puts(&b, r->sip->sip_call_id->i_id);
    buf_putc(&b, '|');
    buf_puts(&b, r->sip->sip_from->a_tag ? r->sip->sip_from->a_tag : "");
    buf_add(&b, &r->sip->sip_cseq->cs_seq, sizeof r->sip->sip_cseq->cs_seq);
    digest = hash_bytes(b.p, b.n);
    for (int i = 0; i < 16; i++)
        r->loop[i] = hex[digest >> (60 - 4 * i) & 15];
    r->loop[16] = '\0';
    buf_fini(&b);
    for (const sip_via_t *v = r->sip->sip_via; v; v = v->v_next) {
        struct sv branch = sv_of(v->v_branch), tail = branch.n > 17 ? sv_from(branch, branch.n - 17) : SV("");

        if (tail.n && tail.p[0] == '.' && sv_eq(sv_from(tail, 1), sv_of(r->loop)))
            return request_reply(r, SIP_482_LOOP_DETECTED, NULL);
    }
    return STEP_NEXT;
}

/* Requests for this server itself: REGISTER, OPTIONS. */
enum verdict step_own(struct request *r)
{
    const url_t *uri = sipscript_uri(r);
    bool has_user = uri->url_user && *uri->url_user;

    if (!r->for_us || (r->in_dialog && r->hop.kind != MARK_PLAIN)) /* the mark says who it is for, whatever he calls himself */
        return STEP_NEXT;
    if (r->sip->sip_request->rq_method == sip_method_register)
        return registrar_request(r);
    if (has_user)
        return STEP_NEXT;
    if (r->sip->sip_request->rq_method == sip_method_options)
        return own_options(r);
    return request_reply(r, SIP_404_NOT_FOUND, NULL);
}
