/* Building what goes out. */
#include "sip/forward.h"

#include <stdio.h>
#include <stdlib.h>

#include "sip/method.h"
#include "sip/script.h"

enum {
    FORWARDS_DEFAULT = 70,
    BREADTH_MAX = 60,
};

static const char breadth_name[] = "Max-Breadth";

/* ---- the copy ---- */

bool forward_set_uri(msg_t *m, sip_t *sip, const url_string_t *uri)
{
    sip_request_t *changed = method_request_line(msg_home(m), sip->sip_request, uri);

    if (!changed || msg_header_insert(m, (msg_pub_t *)sip, (msg_header_t *)changed) < 0)
        return false;
    return changed->rq_url->url_type == url_sip || changed->rq_url->url_type == url_sips;
}

/* A Contact may carry what a Request-URI must not have: S-FWD-01. */
static void strip_uri(su_home_t *home, url_t *u)
{
    u->url_headers = NULL;
    if (u->url_params && url_has_param(u, "method"))
        u->url_params = url_strip_param_string(su_strdup(home, u->url_params), "method");
}

/* Stored Path values go in front of what Route there is: S-PATH-03. */
static bool add_path(msg_t *m, sip_t *sip, const char *path)
{
    su_home_t *home = msg_home(m);
    struct buf all = BUF_INIT;
    bool good;

    buf_puts(&all, path);
    while (sip->sip_route) {
        char *one = sip_header_as_string(home, (sip_header_t *)sip->sip_route);

        buf_printf(&all, ", %s", one ? one : "");
        if (!sip_route_remove(m, sip))
            break;
    }
    good = !buf_failed(&all) && sip_add_make(m, sip, sip_route_class, all.p) >= 0 && sip->sip_route;
    buf_fini(&all);
    return good;
}

/* The next hop is a strict router: S-RT-08. */
static bool serve_strict_router(msg_t *m, sip_t *sip, bool *is_strict)
{
    su_home_t *home = msg_home(m);
    sip_route_t *first = sip->sip_route, *last;

    *is_strict = first && !url_has_param(first->r_url, "lr");
    if (!*is_strict)
        return true;
    last = sip_route_create(home, sip->sip_request->rq_url, NULL);
    if (!last || msg_header_insert(m, (msg_pub_t *)sip, (msg_header_t *)last) < 0)
        return false;
    first = sip_route_remove(m, sip);
    return first && forward_set_uri(m, sip, (const url_string_t *)first->r_url);
}

static bool set_max_forwards(msg_t *m, sip_t *sip)
{
    if (sip->sip_max_forwards) {
        sip->sip_max_forwards->mf_count--;
        msg_fragment_clear(sip->sip_max_forwards->mf_common);
        return true;
    }
    return sip_add_make(m, sip, sip_max_forwards_class, "70") >= 0;
}

msg_t *forward_copy(const struct request *r, const struct target *t, bool *is_strict)
{
    msg_t *m = msg_copy(r->msg);
    sip_t *sip = m ? sip_object(m) : NULL;

    if (!sip)
        return NULL;
    if (!sipscript_edit(r, m))
        goto bad;
    if (t->uri) {
        if (!forward_set_uri(m, sip, (const url_string_t *)t->uri))
            goto bad;
        strip_uri(msg_home(m), sip->sip_request->rq_url);
    }
    if ((t->path && !add_path(m, sip, t->path)) || !serve_strict_router(m, sip, is_strict) || !set_max_forwards(m, sip))
        goto bad;
    return m;
bad:
    msg_destroy(m);
    return NULL;
}

unsigned forward_breadth(const sip_t *sip)
{
    uint64_t n;

    for (const sip_unknown_t *u = sip->sip_unknown; u; u = u->un_next)
        if (su_casematch(u->un_name, breadth_name) && sv_to_u64(sv_trim(sv_of(u->un_value)), &n, NULL))
            return (unsigned)TD_MIN(n, (uint64_t)BREADTH_MAX);
    return BREADTH_MAX;
}

bool forward_set_breadth(msg_t *m, sip_t *sip, unsigned breadth)
{
    char line[32];

    for (sip_unknown_t *u = sip->sip_unknown, *next; u; u = next) {
        next = u->un_next;
        if (su_casematch(u->un_name, breadth_name))
            msg_header_remove(m, (msg_pub_t *)sip, (msg_header_t *)u);
    }
    snprintf(line, sizeof line, "%s: %u", breadth_name, breadth);
    return sip_add_make(m, sip, sip_unknown_class, line) >= 0;
}

/* ---- CANCEL ---- */

/* The CANCEL of what was sent: same Via, Request-URI, Route and address. Not nta_outgoing_tcancel(): in a proxy it
 * ends the INVITE's transaction on a stream, whose 487 would then never get its ACK. */
msg_t *forward_cancel(nta_agent_t *nta, const sip_t *invite, const char *reason)
{
    msg_t *m = nta_msg_create(nta, 0);
    sip_request_t *rq;
    sip_cseq_t *cseq;

    if (!m)
        return NULL;
    rq = sip_request_create(msg_home(m), SIP_METHOD_CANCEL, (const url_string_t *)invite->sip_request->rq_url, NULL);
    cseq = sip_cseq_create(msg_home(m), invite->sip_cseq->cs_seq, SIP_METHOD_CANCEL);
    if (rq && cseq &&
        sip_add_tl(m, sip_object(m), SIPTAG_REQUEST(rq), SIPTAG_MAX_FORWARDS(invite->sip_max_forwards),
                   SIPTAG_FROM(invite->sip_from), SIPTAG_TO(invite->sip_to), SIPTAG_CALL_ID(invite->sip_call_id),
                   SIPTAG_CSEQ(cseq), TAG_IF(invite->sip_route, SIPTAG_ROUTE(invite->sip_route)),
                   TAG_IF(reason, SIPTAG_REASON_STR(reason)), TAG_END()) >= 0)
        return m;
    msg_destroy(m);
    return NULL;
}

/* ---- headers of another message ---- */

void forward_add_unmodified(msg_t *m, const msg_header_t *list)
{
    su_home_t *home = msg_home(m);

    for (; list; list = list->sh_next) {
        msg_header_t *copy = msg_header_dup_one(home, list);
        char *text = copy && list->sh_data ? su_alloc(home, (isize_t)list->sh_len) : NULL;

        if (text) {
            memcpy(text, list->sh_data, list->sh_len);
            copy->sh_data = text;
            copy->sh_len = list->sh_len;
        }
        if (copy)
            msg_header_insert(m, msg_object(m), copy);
    }
}

/* ---- Record-Route ---- */

static bool is_recorded(sip_method_t method)
{
    switch (method) {
    case sip_method_register:
    case sip_method_message:
    case sip_method_options:
    case sip_method_info:
    case sip_method_bye:
    case sip_method_ack:
    case sip_method_cancel:
    case sip_method_prack:
    case sip_method_publish:
        return false;
    default:
        return true;
    }
}

/* One side of us: the transport towards a neighbour, and its mark. */
struct side {
    const struct flow *flow; /* NULL: UDP */
    const tport_t *tport;
    const struct mark *mark;
};

static int side_kind(const struct side *s)
{
    return s->flow ? (int)s->flow->kind : -1;
}

static void print_side(struct sipd *d, const struct side *s, bool is_sips, const char *callid, const char *params, struct buf *out)
{
    char at[STACK_PUBLIC_MAX], mark[MARK_TEXT_MAX];
    struct mark flow_mark = { .kind = MARK_FLOW, .conn_id = s->flow ? s->flow->id : 0,
                              .device = s->mark->kind == MARK_FLOW ? s->mark->device : 0 };
    bool says_tls = s->flow && s->flow->kind == PUMP_TLS && !is_sips && d->conf->sip.transport_tls;
    bool is_tls = s->flow && flow_is_secure(s->flow) && !says_tls;

    mark_print(d, s->flow ? &flow_mark : s->mark, callid, mark);
    /* No transport=tls unless the operator wants it: S-TLS-05. A WebSocket's transport says sip, with TLS or without (RFC 7118 s.5.2). */
    buf_printf(out, "<%s:", is_sips || (is_tls && s->flow->kind == PUMP_TLS) ? "sips" : "sip");
    if (s->flow) {
        stack_public_text(d->stack, s->flow->kind, &s->flow->local, at);
        buf_puts(out, at);
    } else {
        buf_printf(out, "%s:%u", stack_host(d->stack, s->tport), stack_port(d->stack, s->tport));
    }
    if (s->flow && s->flow->kind == PUMP_TCP)
        buf_puts(out, ";transport=tcp");
    else if (says_tls)
        buf_puts(out, ";transport=tls");
    else if (s->flow && s->flow->kind != PUMP_TLS)
        buf_puts(out, ";transport=ws");
    buf_printf(out, ";lr;td=%s%s>", mark, params);
}

/* RFC 5658: two values when the sides differ, or when one of them needs a mark of its own. */
bool forward_record_route(const struct request *r, msg_t *copy, sip_t *sip, const struct mark *in, const struct next_hop *hop,
                          const struct target *t)
{
    struct sipd *d = r->d;
    struct side from = { .flow = r->flow_id ? flow_by_id(d->flows, r->flow_id) : NULL, .tport = r->tport, .mark = in };
    struct side to = { .flow =
                           hop->tport && tport_is_secondary(hop->tport) ? flow_of_tport(d->flows, hop->tport) : NULL,
                       .tport = hop->tport,
                       .mark = &t->hop };
    const char *callid = sip->sip_call_id->i_id, *params;
    bool is_sips = sip->sip_request->rq_url->url_type == url_sips ||
                   (sip->sip_route && sip->sip_route->r_url->url_type == url_sips);
    bool is_double = from.flow || to.flow || in->kind != MARK_PLAIN || t->hop.kind != MARK_PLAIN ||
                     side_kind(&from) != side_kind(&to) || tport_parent(from.tport) != tport_parent(to.tport);
    struct buf text = BUF_INIT;
    bool good;

    if (!sipscript_records(r, d->conf->sip.record_route && is_recorded(sip->sip_request->rq_method), &params))
        return true;
    print_side(d, &from, is_sips, callid, params, &text);
    good = !buf_failed(&text) && sip_add_make(copy, sip, sip_record_route_class, text.p) >= 0;
    if (good && is_double) {
        buf_clear(&text);
        print_side(d, &to, is_sips, callid, params, &text);
        good = !buf_failed(&text) && sip_add_make(copy, sip, sip_record_route_class, text.p) >= 0;
    }
    buf_fini(&text);
    return good;
}
