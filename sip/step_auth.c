/* Steps: who is asking, and may he? RFC 3261 s.22, s.26; S-VAL-09, S-AUT-12. */
#include <stdlib.h>

#include "auth/authn.h"
#include "common/log.h"
#include "sip/later.h"
#include "sip/request.h"
#include "sip/script.h"

static void end_flow(void *arg)
{
    tport_t *tp = arg;

    tport_shutdown(tp, 2);
    tport_unref(tp);
}

/* Passwords are not to be tried out: 403, and the connection ends. What came through another proxy says nothing about that one. */
static void count_failure(struct request *r)
{
    struct flow *f = r->flow_id && !r->sip->sip_via->v_next ? flow_by_id(r->d->flows, r->flow_id) : NULL;
    tport_t *tp;

    if (!f || ++f->auth_failures < (unsigned)r->d->conf->auth.max_failures)
        return;
    r->auth_status = 403;
    r->auth_phrase = "Too Many Failed Authentications";
    r->auth_headers = "";
    tp = tport_ref(r->tport);
    if (!later(r->d->root, end_flow, tp))
        tport_unref(tp);
}

static void note_success(const struct request *r)
{
    struct flow *f = r->flow_id ? flow_by_id(r->d->flows, r->flow_id) : NULL;

    if (f)
        f->auth_failures = 0;
}

static void log_failure(const struct request *r, const struct authn_result *v)
{
    enum { SHOWN = 64 };
    struct buf text = BUF_INIT;
    char at[ADDR_TEXT_MAX];

    if (!request_may_note(r->d))
        return;
    buf_puts(&text, "user=");
    buf_add_escaped(&text, v->username, SHOWN);
    buf_puts(&text, " method=");
    buf_add_escaped(&text, sv_of(r->sip->sip_request->rq_method_name), SHOWN);
    log_notice("sip", r->flow_id, "authentication failed: status=%d source=%s %s", v->status, addr_text(&r->source, at), text.p ? text.p : "");
    buf_fini(&text);
}

static void on_verdict(const struct authn_result *v, void *arg)
{
    struct request *r = arg;
    su_home_t *home = msg_home(r->msg);

    r->auth = NULL;
    r->auth_status = v->verdict == AUTHN_OK ? 200 : v->status;
    r->auth_stale = v->stale;
    r->auth_claimed = v->had_credentials;
    r->auth_phrase = v->phrase;
    r->auth_headers = su_strndup(home, v->headers.p ? v->headers.p : "", (isize_t)v->headers.n);
    r->auth_user = su_strndup(home, v->username.p ? v->username.p : "", (isize_t)v->username.n);
    if (v->had_credentials && v->verdict != AUTHN_OK && !v->stale) {
        log_failure(r, v);
        count_failure(r);
    }
    if (r->auth_status == 200)
        note_success(r);
    if (r->is_waiting)
        request_run(r);
}

enum verdict auth_ask(struct request *r, const char *domain, bool is_proxy)
{
    if (r->auth_domain && su_casematch(r->auth_domain, domain))
        return STEP_NEXT; /* a script has asked: a nonce count is good once */
    r->auth_domain = su_strdup(msg_home(r->msg), domain);
    r->auth_status = 0;
    r->auth = authn_sip(r->d->authn, r->sip, sv_of(domain), is_proxy, on_verdict, r);
    if (r->auth_status)
        return STEP_NEXT;
    if (!r->auth || !request_hold(r)) {
        r->auth_status = 500;
        r->auth_phrase = "Server Internal Error";
        r->auth_headers = "";
        return STEP_NEXT;
    }
    return STEP_WAIT;
}

enum verdict auth_refuse(struct request *r)
{
    return request_reply(r, r->auth_status, r->auth_phrase, r->auth_headers);
}

/* Does it go on to a registrar that this server is the edge of? */
static bool is_to_edge(const struct request *r)
{
    const url_t *next = r->sip->sip_route ? r->sip->sip_route->r_url : sipscript_uri(r);
    const struct conf_list *domains = &r->d->conf->sip.edge_for;

    for (size_t i = 0; next->url_host && i < domains->n; i++)
        if (su_casematch(next->url_host, domains->v[i]))
            return true;
    return false;
}

/* The next URI of P-Preferred-Identity (RFC 3325 s.9.2), of which there may be several; *at and *list begin as the first unknown header and NULL.
 * NULL: there is none, or none that can be read, which *broken says. */
static const url_t *next_preferred(struct request *r, const sip_unknown_t **at, const sip_contact_t **list, bool *broken)
{
    if (*list)
        *list = (*list)->m_next;
    for (; !*list && *at; *at = (*at)->un_next)
        if (su_casematch((*at)->un_name, "P-Preferred-Identity")) {
            *list = sip_contact_make(msg_home(r->msg), (*at)->un_value);
            *broken |= !*list;
        }
    return *list ? (*list)->m_url : NULL;
}

/* Who the request says it is from: a preferred identity of ours, else From. */
static const url_t *claimed_identity(struct request *r)
{
    const sip_unknown_t *at = r->sip->sip_unknown;
    const sip_contact_t *list = NULL;
    bool broken = false;

    for (const url_t *url; (url = next_preferred(r, &at, &list, &broken));)
        if (stack_is_domain(r->d->stack, url))
            return url;
    return r->sip->sip_from->a_url;
}

static bool is_own(struct request *r, const url_t *url)
{
    struct sv user, domain;

    return uri_aor(msg_home(r->msg), url, &user, &domain) && sv_eq(user, sv_of(r->auth_user)) && sv_eq_nocase(domain, sv_of(r->auth_domain));
}

/* Does he say nowhere that he is somebody else? Where he prefers an identity, From may be anonymous (RFC 3323 s.4.1.1.3). */
static bool identity_is_own(struct request *r)
{
    const url_t *from = r->sip->sip_from->a_url, *url;
    const sip_unknown_t *at = r->sip->sip_unknown;
    const sip_contact_t *list = NULL;
    bool broken = false, preferred = false;

    for (; (url = next_preferred(r, &at, &list, &broken)); preferred = true)
        if (!is_own(r, url))
            return false;
    return !broken && (is_own(r, from) || (preferred && from->url_host && su_casematch(from->url_host, "anonymous.invalid")));
}

enum verdict step_auth_ask(struct request *r)
{
    const struct conf *conf = r->d->conf;
    const url_t *claimed = claimed_identity(r);
    sip_method_t method = r->sip->sip_request->rq_method;
    bool is_local = stack_is_domain(r->d->stack, claimed);

    if (r->in_dialog || r->by_token || method == sip_method_ack) { /* S-AUT-10; whoever has the mark is let in by whom we gave it */
        r->auth_status = 200;
        return r->in_dialog || r->by_token || r->for_us ? STEP_NEXT : STEP_DONE; /* an ACK that shows no mark of ours goes nowhere else */
    }
    r->is_trusted = reach_allows(&r->d->trusted, &r->source);
    if (r->is_trusted) {
        r->auth_status = 200;
        return STEP_NEXT;
    }
    if (is_local && conf_list_has(&conf->sip.authenticate, "request")) {
        r->must_match_from = true;
        return auth_ask(r, claimed->url_host, true);
    }
    r->to_edge = !r->for_us && is_to_edge(r);
    if (!r->for_us && !r->to_edge)
        return request_deny(r, 403, "Relaying Denied", NULL);
    if (r->for_us && !is_local && !conf->sip.foreign_callers)
        return request_deny(r, 403, "Foreign Callers Are Not Served", NULL);
    r->auth_status = 200;
    return STEP_NEXT;
}

enum verdict step_auth_judge(struct request *r)
{
    if (r->auth_status != 200)
        return auth_refuse(r);
    if (r->must_match_from && !identity_is_own(r))
        return request_deny(r, 403, "From Is Not Yours", NULL);
    if (r->must_match_from && !r->for_us && !r->d->conf->sip.foreign_callees && !is_to_edge(r))
        return request_deny(r, 403, "Foreign Callees Are Not Served", NULL);
    r->is_admitted = !r->to_edge || r->must_match_from; /* who that domain's clients are is not known here: a stranger must not fill our table */
    return STEP_NEXT;
}
