/* Variables of SIP messages. */
#include "sip/script_private.h"

#include <stdio.h>

static void set_text(struct script_value *out, const char *s)
{
    if (s)
        script_set_str(out, sv_of(s));
}

static void set_kept(struct script_call *c, struct script_value *out, const char *s)
{
    if (s)
        script_set_str(out, script_keep(c, sv_of(s)));
}

static void set_url(struct script_call *c, struct script_value *out, const url_t *url)
{
    su_home_t *home = home_of(event_of(c));
    char *text = url ? url_as_string(home, url) : NULL;

    set_kept(c, out, text);
    su_free(home, text); /* a request's memory stays until it has ended */
}

/* ---- the Request-URI ---- */

/* In a branch route that of the branch; else as the script has set it. NULL in a response. */
static const url_t *request_uri(const struct sip_event *e)
{
    if (!e->sip->sip_request)
        return NULL;
    return e->route == ROUTE_BRANCH ? e->sip->sip_request->rq_url : sipscript_uri(e->r);
}

void ksip_get_ru(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    set_url(c, out, request_uri(event_of(c)));
}

void ksip_get_rU(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    const url_t *u = request_uri(event_of(c));

    set_text(out, u ? u->url_user : NULL);
}

void ksip_get_rd(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    const url_t *u = request_uri(event_of(c));

    set_text(out, u ? u->url_host : NULL);
}

void ksip_get_rp(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    const url_t *u = request_uri(event_of(c));

    if (u)
        script_set_int(out, addr_port_of_text(u->url_port, u->url_type == url_sips ? 5061 : 5060));
}

static bool has_uri(struct script_call *c)
{
    if (!event_of(c)->sip->sip_request)
        c->fault = "a response has no Request-URI";
    return !c->fault;
}

static bool use_uri(struct script_call *c, const char *text)
{
    if (!c->fault && (!text || !sipscript_event_set_uri(event_of(c), text)))
        c->fault = "that is no SIP URI";
    return !c->fault;
}

bool ksip_set_ru(struct script_call *c, const struct script_name *name, const struct script_value *v)
{
    struct sip_event *e = event_of(c);

    if (!has_uri(c))
        return false;
    if (v->type != SCRIPT_NULL)
        return use_uri(c, sipscript_text(c, script_text(c, v)));
    if (e->route == ROUTE_BRANCH)
        return use_uri(c, sipscript_uri_text(c, e->r->sip->sip_request->rq_url));
    e->g->uri = NULL;
    e->g->is_located = false;
    return true;
}

/* The URI with another user or host. */
static bool change_uri(struct script_call *c, const struct script_value *v, bool is_user)
{
    struct sip_event *e = event_of(c);
    const url_t *now = request_uri(e);
    char *text = sipscript_text(c, script_text(c, v));
    url_t changed;

    if (!has_uri(c))
        return false;

    if (!now || !text)
        return use_uri(c, NULL);
    changed = *now;
    if (is_user)
        changed.url_user = *text ? text : NULL;
    else
        changed.url_host = text;
    return use_uri(c, sipscript_uri_text(c, &changed));
}

bool ksip_set_rU(struct script_call *c, const struct script_name *name, const struct script_value *v)
{
    return change_uri(c, v, true);
}

bool ksip_set_rd(struct script_call *c, const struct script_name *name, const struct script_value *v)
{
    return change_uri(c, v, false);
}

void ksip_get_du(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    set_text(out, event_of(c)->g->next);
}

bool ksip_set_du(struct script_call *c, const struct script_name *name, const struct script_value *v)
{
    struct sip_event *e = event_of(c);
    char *text = v->type == SCRIPT_NULL ? NULL : sipscript_text(c, script_text(c, v));
    const url_t *url = text ? url_make(home_of(e), text) : NULL;

    if (e->route != ROUTE_REQUEST && e->route != ROUTE_FAILURE) {
        c->fault = "where it goes is said in the route for requests or failures";
        return false;
    }
    if (c->fault)
        return false;
    if (v->type != SCRIPT_NULL && (!url || (url->url_type != url_sip && url->url_type != url_sips) || !url->url_host || !*url->url_host)) {
        c->fault = "that is no SIP URI";
        return false;
    }
    e->g->next = text;
    e->g->next_url = url;
    return true;
}

/* ---- the start line ---- */

void ksip_get_rm(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    const sip_t *sip = event_of(c)->sip;

    set_text(out, sip->sip_request ? sip->sip_request->rq_method_name : sip->sip_cseq ? sip->sip_cseq->cs_method_name : NULL);
}

void ksip_get_rs(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    const sip_t *sip = event_of(c)->sip;

    if (sip->sip_status)
        script_set_int(out, sip->sip_status->st_status);
}

void ksip_get_rr(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    const sip_t *sip = event_of(c)->sip;

    set_text(out, sip->sip_status ? sip->sip_status->st_phrase : NULL);
}

/* ---- headers ---- */

static const url_t *from_url(const struct script_call *c)
{
    const sip_t *sip = event_of(c)->sip;

    return sip->sip_from ? sip->sip_from->a_url : NULL;
}

static const url_t *to_url(const struct script_call *c)
{
    const sip_t *sip = event_of(c)->sip;

    return sip->sip_to ? sip->sip_to->a_url : NULL;
}

void ksip_get_fu(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    set_url(c, out, from_url(c));
}

void ksip_get_fU(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    set_text(out, from_url(c) ? from_url(c)->url_user : NULL);
}

void ksip_get_fd(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    set_text(out, from_url(c) ? from_url(c)->url_host : NULL);
}

void ksip_get_ft(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    const sip_t *sip = event_of(c)->sip;

    set_text(out, sip->sip_from ? sip->sip_from->a_tag : NULL);
}

void ksip_get_tu(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    set_url(c, out, to_url(c));
}

void ksip_get_tU(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    set_text(out, to_url(c) ? to_url(c)->url_user : NULL);
}

void ksip_get_td(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    set_text(out, to_url(c) ? to_url(c)->url_host : NULL);
}

void ksip_get_tt(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    const sip_t *sip = event_of(c)->sip;

    set_text(out, sip->sip_to ? sip->sip_to->a_tag : NULL);
}

void ksip_get_ci(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    const sip_t *sip = event_of(c)->sip;

    set_text(out, sip->sip_call_id ? sip->sip_call_id->i_id : NULL);
}

void ksip_get_cs(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    const sip_t *sip = event_of(c)->sip;

    if (sip->sip_cseq)
        script_set_int(out, sip->sip_cseq->cs_seq);
}

static void get_header(struct script_call *c, struct sv name, int index, struct script_value *out)
{
    struct sip_event *e = event_of(c);
    msg_header_t *h = sipscript_event_header(e, name, index);

    char *text;

    if (h && h->sh_class->hc_hash == sip_unknown_class->hc_hash) { /* which Sofia writes with its name */
        set_text(out, ((const sip_unknown_t *)h)->un_value);
        return;
    }
    text = h ? sip_header_as_string(home_of(e), (const sip_header_t *)h) : NULL;
    set_kept(c, out, text);
    su_free(home_of(e), text);
}

void ksip_get_ct(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    get_header(c, SV("Contact"), 0, out);
}

void ksip_get_ua(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    get_header(c, SV("User-Agent"), 0, out);
}

void ksip_get_hdr(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    get_header(c, name->text, name->index, out);
}

void ksip_get_rb(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    const sip_payload_t *body = event_of(c)->sip->sip_payload;

    if (body && body->pl_data)
        script_set_str(out, sv_make(body->pl_data, body->pl_len));
}

/* ---- who and where ---- */

void ksip_get_au(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    const struct request *r = event_of(c)->r;

    if (r->auth_status == 200 && r->auth_user && *r->auth_user)
        set_text(out, r->auth_user);
}

void ksip_get_ar(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    const struct request *r = event_of(c)->r;

    if (r->auth_status == 200 && r->auth_user && *r->auth_user)
        set_text(out, r->auth_domain);
}

void ksip_get_si(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    char host[ADDR_TEXT_MAX];

    set_kept(c, out, addr_host_text(&event_of(c)->r->source, host));
}

void ksip_get_sp(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    script_set_int(out, addr_port(&event_of(c)->r->source));
}

static const struct flow *flow_of(const struct script_call *c)
{
    const struct request *r = event_of(c)->r;

    return r->flow_id ? flow_by_id(r->d->flows, r->flow_id) : NULL;
}

void ksip_get_Ri(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    const struct request *r = event_of(c)->r;
    const struct flow *f = flow_of(c);
    char host[ADDR_TEXT_MAX];

    set_kept(c, out, f ? addr_host_text(&f->local, host) : stack_host(r->d->stack, r->tport));
}

void ksip_get_Rp(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    const struct request *r = event_of(c)->r;
    const struct flow *f = flow_of(c);

    script_set_int(out, f ? addr_port(&f->local) : stack_port(r->d->stack, r->tport));
}

void ksip_get_pr(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    const struct flow *f = flow_of(c);

    set_text(out, f ? flow_kind_text(f->kind) : event_of(c)->r->flow_id ? NULL : "udp");
}

/* ---- the transaction ---- */

void ksip_get_mf(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    script_set_int(out, event_of(c)->g->flags);
}

void ksip_get_T_branch_idx(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    const struct sip_event *e = event_of(c);

    if (e->route != ROUTE_REQUEST && e->route != ROUTE_FAILURE)
        script_set_int(out, e->branch);
}

void ksip_get_T_reply_code(struct script_call *c, const struct script_name *name, struct script_value *out)
{
    script_set_int(out, event_of(c)->status);
}
