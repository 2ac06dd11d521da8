/* Step: a REGISTER that passes through to another registrar gets our Path, with a token for the way back. RFC 3327 s.5.2, RFC 5626 s.5. */
#include "sip/request.h"
#include "sip/script.h"

/* A token belongs to no call. */
static const char no_call[] = "";

bool path_token_parse(const struct request *r, const char *text, struct mark *m)
{
    return mark_parse(r->d, text, no_call, m);
}

/* Where the registrar's proxy reaches us: by UDP where we have it, as the flow's port is shared. */
static void print_path(const struct request *r, bool is_outbound, struct buf *out)
{
    const struct flow *f = r->flow_id ? flow_by_id(r->d->flows, r->flow_id) : NULL;
    struct mark m = { .kind = f ? MARK_FLOW : MARK_UDP, .conn_id = r->flow_id, .addr = r->source };
    char token[MARK_TEXT_MAX], at[STACK_PUBLIC_MAX];

    buf_puts(out, sipscript_uri(r)->url_type == url_sips ? "<sips:" : "<sip:");
    if (f) {
        stack_public_text(r->d->stack, f->kind, &f->local, at);
        buf_puts(out, at);
        if (!stack_udp_for(r->d->stack, "", f->local.sa.sa_family))
            buf_puts(out, ";transport=tcp");
    } else {
        sv_copy(sv_of(tport_ident(r->tport)), m.ident, sizeof m.ident);
        buf_printf(out, "%s:%u", stack_host(r->d->stack, r->tport), stack_port(r->d->stack, r->tport));
    }
    mark_print(r->d, &m, no_call, token);
    buf_printf(out, ";lr%s;td=%s>", f && is_outbound ? ";ob" : "", token);
}

enum verdict step_path(struct request *r)
{
    const sip_t *sip = r->sip;
    bool is_outbound = sip_has_feature(sip->sip_supported, "outbound"), good;
    struct buf text = BUF_INIT;

    /* A client that can be reached where it says needs none, nor does one that another proxy is nearer to. */
    if (sip->sip_request->rq_method != sip_method_register || sip->sip_via->v_next ||
        (!r->flow_id && !request_is_behind_nat(r)))
        return STEP_NEXT;
    if (!is_outbound && !sip_has_feature(sip->sip_supported, "path"))
        return request_deny(r, SIP_421_EXTENSION_REQUIRED, "Require: path\r\n");
    print_path(r, is_outbound, &text);
    good = !buf_failed(&text) && sip_add_make(r->msg, r->sip, sip_path_class, text.p) >= 0;
    buf_fini(&text);
    return good ? STEP_NEXT : request_reply(r, SIP_500_INTERNAL_SERVER_ERROR, NULL);
}
