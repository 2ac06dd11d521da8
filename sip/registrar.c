/* The registrar. */
#include "sip/registrar.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/err.h"
#include "db/cred.h"
#include "sip/fork.h"
#include "sip/location.h"

enum phase { ASKED, KNOWN, CHANGING };

enum { EXPIRES_MALFORMED = 3600, EXPIRES_423_BELOW = 3600, TEXT_MAX = 2048 };

/* A REGISTER in work; in the request's memory. */
struct registration {
    struct location_turn turn;
    struct request *r;      /* back */
    enum phase phase;
    struct sv user, domain; /* the address of record */
    bool finished;
    bool is_outbound;       /* RFC 5626 applies */
};

/* ---- answering ---- */

static void finish(struct registration *g)
{
    g->finished = true;
    if (g->r->is_waiting) {
        g->r->step = UINT32_MAX;
        request_run(g->r);
    }
}

static void refuse(struct registration *g, struct aor *a, int status, const char *phrase, const char *headers)
{
    request_reply(g->r, status, phrase, headers);
    location_pass(a);
    finish(g);
}

static void print_date(struct buf *out)
{
    time_t now = time(NULL);
    struct tm tm;
    char text[64];

    gmtime_r(&now, &tm);
    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    buf_printf(out, "Date: %s\r\n", text);
}

static void print_bindings(const struct aor *a, int64_t now, struct buf *out)
{
    list_each(node, &a->bindings) {
        const struct binding *b = list_item(node, struct binding, node);

        if (b->expires <= now)
            continue;
        buf_printf(out, "Contact: <%s>%s", b->contact, b->params);
        if (b->q >= 0)
            buf_printf(out, ";q=%.3g", b->q);
        buf_printf(out, ";expires=%lld\r\n", (long long)(b->expires - now));
    }
}

static void accept_it(struct registration *g, const struct aor *a)
{
    struct request *r = g->r;
    struct buf headers = BUF_INIT;

    if (a)
        print_bindings(a, sipd_time(), &headers);
    for (const sip_path_t *p = r->sip->sip_path; p; p = p->r_next) {
        char *one = sip_header_as_string(msg_home(r->msg), (const sip_header_t *)p);

        buf_printf(&headers, "Path: %s\r\n", one ? one : "");
    }
    if (g->is_outbound)
        buf_puts(&headers, "Require: outbound\r\n");
    print_date(&headers);
    if (r->auth_status == 200 && r->auth_headers)
        buf_puts(&headers, r->auth_headers);
    if (buf_failed(&headers))
        request_reply(r, SIP_500_INTERNAL_SERVER_ERROR, NULL);
    else
        request_reply(r, SIP_200_OK, headers.p);
    buf_fini(&headers);
}

/* ---- one contact ---- */

/* Seconds asked for; S-REG-05. */
static int64_t asked_expires(const struct request *r, const sip_contact_t *m)
{
    const struct conf *conf = r->d->conf;
    uint64_t given;

    if (m->m_expires) {
        if (!sv_to_u64(sv_trim(sv_of(m->m_expires)), &given, NULL))
            return TD_MIN((int64_t)EXPIRES_MALFORMED, conf->sip.max_expires);
    } else if (r->sip->sip_expires) {
        given = r->sip->sip_expires->ex_delta;
    } else {
        given = (uint64_t)conf->sip.default_expires;
    }
    return (int64_t)TD_MIN(given, (uint64_t)conf->sip.max_expires);
}

static char *param_text(const sip_contact_t *m, const char *name)
{
    const char *v = msg_params_find(m->m_params, name);
    size_t n = v ? strlen(v) : 0;

    if (n >= 2 && v[0] == '"' && v[n - 1] == '"')
        return sv_dup(sv_make(v + 1, n - 2));
    return sv_dup(sv_make(v ? v : "", n));
}

static char *other_params(const sip_contact_t *m)
{
    struct buf b = BUF_INIT;

    for (const msg_param_t *p = m->m_params; p && *p; p++)
        if (!su_casenmatch(*p, "q=", 2) && !su_casenmatch(*p, "expires=", 8))
            buf_printf(&b, ";%s", *p);
    if (buf_failed(&b)) {
        buf_fini(&b);
        return NULL;
    }
    return b.p ? b.p : strdup("");
}

static char *path_text(const struct request *r)
{
    struct buf b = BUF_INIT;

    for (const sip_path_t *p = r->sip->sip_path; p; p = p->r_next) {
        char *one = sip_header_as_string(msg_home(r->msg), (const sip_header_t *)p);

        buf_printf(&b, "%s%s", b.n ? ", " : "", one ? one : "");
    }
    if (buf_failed(&b)) {
        buf_fini(&b);
        return NULL;
    }
    return b.p ? b.p : strdup("");
}

/* Where a UDP client's packets come from, when its Contact names another machine: it is behind NAT. */
static char *received_text(const struct request *r, const url_t *contact)
{
    struct addr said;
    char at[ADDR_TEXT_MAX], text[ADDR_TEXT_MAX + 4];

    if (r->flow_id || !addr_from_host(&said, sv_of(contact->url_host), 0) || addr_host_eq(&said, &r->source))
        return strdup("");
    snprintf(text, sizeof text, "sip:%s", addr_text(&r->source, at));
    return strdup(text);
}

static char *socket_text(const struct request *r)
{
    char text[ADDR_TEXT_MAX + 8], at[ADDR_TEXT_MAX];
    struct flow *f = r->flow_id ? flow_by_id(r->d->flows, r->flow_id) : NULL;

    if (f)
        snprintf(text, sizeof text, "%s:%s", flow_kind_text(f->kind), addr_text(&f->local, at));
    else
        stack_udp_text(r->d->stack, r->tport, text, sizeof text);
    return strdup(text);
}

static struct binding *new_binding(const struct request *r, const sip_contact_t *m, int64_t expires_s, int64_t now)
{
    struct binding *b = binding_new();
    const char *reg_id = msg_params_find(m->m_params, "reg-id=");
    uint64_t number = 0;

    if (!b)
        return NULL;
    b->contact = sv_dup(sv_of(url_as_string(msg_home(r->msg), m->m_url)));
    b->params = other_params(m);
    b->received = received_text(r, m->m_url);
    b->path = path_text(r);
    b->callid = sv_dup(sv_of(r->sip->sip_call_id->i_id));
    b->user_agent = sv_dup(sv_upto(sv_of(r->sip->sip_user_agent ? r->sip->sip_user_agent->g_string : ""), 255));
    b->instance = param_text(m, "+sip.instance=");
    b->socket = socket_text(r);
    if (!b->contact || !b->params || !b->received || !b->path || !b->callid || !b->user_agent || !b->instance ||
        !b->socket) {
        binding_free(&b);
        return NULL;
    }
    b->cseq = r->sip->sip_cseq->cs_seq;
    if (reg_id && *b->instance && sv_to_u64(sv_of(reg_id), &number, NULL) && number <= INT32_MAX)
        b->reg_id = (int)number; /* RFC 5626 s.4.2: 1 to 2^31-1; anything else is none */
    b->q = m->m_q ? strtod(m->m_q, NULL) : -1;
    if (b->q > 1)
        b->q = 1;
    b->expires = now + expires_s;
    b->modified = now;
    b->conn_id = r->flow_id;
    return b;
}

static bool is_same(su_home_t *home, const struct binding *b, const struct binding *other)
{
    url_t *u1, *u2;

    if (*b->instance && b->reg_id)
        return b->reg_id == other->reg_id && strcmp(b->instance, other->instance) == 0;
    u1 = url_hdup(home, URL_STRING_MAKE(b->contact)->us_url);
    u2 = url_hdup(home, URL_STRING_MAKE(other->contact)->us_url);
    return u1 && u2 && url_cmp_all(u1, u2) == 0;
}

/* ---- the change ---- */

/* The bindings as they are now, without what has expired. */
static bool copy_bindings(const struct aor *a, int64_t now, struct list *out)
{
    list_each(node, &a->bindings) {
        const struct binding *b = list_item(node, struct binding, node);
        struct binding *copy;

        if (b->expires <= now)
            continue;
        copy = binding_copy(b);
        if (!copy)
            return false;
        list_append(out, &copy->node);
    }
    return true;
}

/* An older request than the one that made the binding: S-REG-06. */
static bool is_out_of_order(const struct request *r, const struct binding *b)
{
    return strcmp(b->callid, r->sip->sip_call_id->i_id) == 0 && r->sip->sip_cseq->cs_seq <= b->cseq;
}

/* Put one contact into the list. 0, or the status to refuse with. */
static int apply(const struct request *r, const sip_contact_t *m, int64_t now, struct list *bindings)
{
    int64_t expires = asked_expires(r, m);
    struct binding *b;

    if (m->m_url->url_type != url_sip && m->m_url->url_type != url_sips)
        return 400;
    if (!m->m_url->url_host || (m->m_url->url_type == url_sips && r->sip->sip_request->rq_url->url_type != url_sips))
        return 400; /* S-REG-11 */
    if (expires > 0 && stack_is_us(r->d->stack, m->m_url))
        return 403; /* it would come back to us: S-REG-10 */
    if (expires > 0 && expires < r->d->conf->sip.min_expires) {
        if (expires < EXPIRES_423_BELOW)
            return 423;
        expires = r->d->conf->sip.min_expires;
    }
    b = new_binding(r, m, expires, now);
    if (!b)
        return 500;
    list_each_safe(node, bindings) {
        struct binding *old = list_item(node, struct binding, node);

        if (!is_same(msg_home(r->msg), b, old))
            continue;
        if (is_out_of_order(r, old)) {
            binding_free(&b);
            return 500;
        }
        memcpy(b->ruid, old->ruid, sizeof b->ruid);
        binding_free(&old);
        break;
    }
    if (expires > 0)
        list_append(bindings, &b->node);
    else
        binding_free(&b);
    return 0;
}

static int apply_all(const struct request *r, const struct aor *a, int64_t now, struct list *bindings)
{
    size_t n = 0;

    if (!copy_bindings(a, now, bindings))
        return 500;
    if (r->sip->sip_contact->m_url->url_type == url_any) { /* Contact: * */
        list_each(node, bindings)
            if (is_out_of_order(r, list_item(node, struct binding, node)))
                return 500;
        bindings_free(bindings);
        return 0;
    }
    for (const sip_contact_t *m = r->sip->sip_contact; m; m = m->m_next) {
        int status = apply(r, m, now, bindings);

        if (status)
            return status;
    }
    list_each(node, bindings)
        n++;
    return n > (size_t)r->d->conf->sip.max_contacts ? 403 : 0;
}

static void on_stored(int err, struct aor *a, void *arg)
{
    struct registration *g = arg;

    if (err)
        request_reply(g->r, SIP_500_INTERNAL_SERVER_ERROR, NULL);
    else
        accept_it(g, a);
    finish(g);
}

static void on_turn(struct location_turn *t, struct aor *a)
{
    struct registration *g = TD_CONTAINER_OF(t, struct registration, turn);
    struct list bindings = LIST_INIT(bindings);
    char line[40];
    int status = apply_all(g->r, a, sipd_time(), &bindings);

    if (status) {
        bindings_free(&bindings);
        snprintf(line, sizeof line, "Min-Expires: %lld\r\n", (long long)g->r->d->conf->sip.min_expires);
        refuse(g, a, status, status == 403 ? "Too Many Contacts" : sip_status_phrase(status),
               status == 423 ? line : NULL);
        return;
    }
    location_commit(a, &bindings, on_stored, g);
}

/* ---- before it ---- */

static enum verdict change(struct registration *g)
{
    struct request *r = g->r;
    const sip_contact_t *m = r->sip->sip_contact;

    if (!m) { /* a query: S-REG-04 */
        accept_it(g, location_find(r->d->location, g->user, g->domain));
        return STEP_DONE;
    }
    for (const sip_contact_t *c = m; c; c = c->m_next)
        if (c->m_url->url_type == url_any && (m->m_next || !r->sip->sip_expires || r->sip->sip_expires->ex_delta != 0))
            return request_reply(r, 400, "Bad Contact", NULL);
    if (!request_hold(r))
        return STEP_DONE;
    g->phase = CHANGING;
    g->turn.run = on_turn;
    if (!location_turn(r->d->location, g->user, g->domain, &g->turn))
        return request_reply(r, SIP_500_INTERNAL_SERVER_ERROR, NULL);
    return g->finished ? STEP_DONE : STEP_WAIT;
}

static void on_cred(int err, const struct db_cred *cred, void *arg)
{
    struct request *r = arg;

    r->cred = NULL;
    r->user_known = !err && cred->found && !cred->blocked;
    if (r->is_waiting)
        request_run(r);
}

/* Is there such a user? Asked only when nobody had to show a password. */
static enum verdict ask_user(struct registration *g)
{
    struct request *r = g->r;
    struct db_cred cred;
    int got = db_cred_get(r->d->db, g->user, g->domain, &cred, r->d->mailbox, on_cred, r, &r->cred);

    g->phase = KNOWN;
    if (got < 0)
        return request_reply(r, SIP_500_INTERNAL_SERVER_ERROR, NULL);
    if (got == 1) {
        r->user_known = cred.found && !cred.blocked;
        return STEP_NEXT;
    }
    if (!request_hold(r)) {
        db_cred_cancel(r->cred);
        r->cred = NULL;
        return STEP_DONE;
    }
    return STEP_WAIT;
}

static bool supports(const struct request *r, const char *feature)
{
    return sip_has_feature(r->sip->sip_supported, feature);
}

/* RFC 5626 s.6: the client's own flow, straight to us. */
static bool is_outbound(const struct request *r)
{
    const sip_contact_t *m = r->sip->sip_contact;

    return r->flow_id && !r->sip->sip_via->v_next && supports(r, "outbound") && m && !m->m_next &&
           msg_params_find(m->m_params, "reg-id=") && msg_params_find(m->m_params, "+sip.instance=");
}

static enum verdict check(struct registration *g)
{
    struct request *r = g->r;
    const url_t *to = r->sip->sip_to->a_url;

    while (r->sip->sip_record_route) /* S-REG-09; nta would copy them into the answer */
        if (msg_header_remove(r->msg, (msg_pub_t *)r->sip, (msg_header_t *)r->sip->sip_record_route) < 0)
            break;
    if (r->sip->sip_require && r->sip->sip_require->k_items)
        for (const msg_param_t *item = r->sip->sip_require->k_items; *item; item++)
            if (!su_casematch(*item, "path") && !su_casematch(*item, "outbound")) {
                char *line = su_sprintf(msg_home(r->msg), "Unsupported: %s\r\n", *item);

                return request_reply(r, SIP_420_BAD_EXTENSION, line);
            }
    if (to->url_type != url_sip && to->url_type != url_sips)
        return request_reply(r, SIP_400_BAD_REQUEST, NULL);
    if (!stack_is_domain(r->d->stack, to) || !uri_aor(msg_home(r->msg), to, &g->user, &g->domain))
        return request_reply(r, SIP_404_NOT_FOUND, NULL);
    if (r->sip->sip_path && !supports(r, "path")) /* S-PATH-01 */
        return request_reply(r, SIP_420_BAD_EXTENSION, "Unsupported: path\r\n");
    g->is_outbound = is_outbound(r);
    return STEP_NEXT;
}

static enum verdict advance(struct registration *g)
{
    struct request *r = g->r;

    if (g->phase == ASKED) {
        if (conf_list_has(&r->d->conf->sip.authenticate, "register")) {
            if (r->auth_status != 200)
                return auth_refuse(r);
            if (!sv_eq(sv_of(r->auth_user), g->user)) /* S-REG-02 */
                return request_reply(r, 403, "Not Your Address", NULL);
        } else {
            enum verdict v = ask_user(g);

            if (v != STEP_NEXT)
                return v;
        }
    }
    if (g->phase == KNOWN && !r->user_known)
        return request_reply(r, SIP_404_NOT_FOUND, NULL);
    return change(g);
}

enum verdict registrar_request(struct request *r)
{
    struct registration *g = r->registration;
    enum verdict v;

    if (!g) {
        g = su_zalloc(msg_home(r->msg), sizeof *g);
        if (!g)
            return request_reply(r, SIP_500_INTERNAL_SERVER_ERROR, NULL);
        r->registration = g;
        g->r = r;
        v = check(g);
        if (v == STEP_NEXT && conf_list_has(&r->d->conf->sip.authenticate, "register"))
            v = auth_ask(r, g->domain.p, false);
        if (v == STEP_WAIT)
            r->step--; /* and come back here */
        if (v != STEP_NEXT)
            return v;
    }
    v = advance(g);
    if (v == STEP_WAIT && g->phase != CHANGING)
        r->step--;
    return v;
}
