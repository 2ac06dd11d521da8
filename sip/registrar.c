/* The registrar. */
#include "sip/registrar.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/err.h"
#include "db/cred.h"
#include "db/feed.h"
#include "sip/fork.h"
#include "sip/location.h"
#include "sip/rank.h"
#include "sip/script.h"
#include "sip/uri.h"

enum phase { ASKED, KNOWN, CHANGING };

enum { EXPIRES_MALFORMED = 3600, EXPIRES_423_BELOW = 3600 };

/* A REGISTER in work; in the request's memory. */
struct registration {
    struct location_turn turn;
    struct request *r;      /* back */
    enum phase phase;
    struct sv user, domain; /* the address of record */
    bool finished;
    bool is_outbound;       /* RFC 5626 applies */
    char *path;             /* owned: as the bindings will have it, while they are made */
    const char *why;        /* phrase of the answer that refuses a change; NULL: the status's own */
};

/* ---- answering ---- */

static void finish(struct registration *g)
{
    g->finished = true;
    if (g->r->is_waiting) {
        if (!sipscript_waits(g->r)) /* else the script goes on */
            g->r->step = UINT32_MAX;
        request_run(g->r);
    }
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

/* Over, or on a flow that has ended. expires 0: never over. */
static bool is_dead(const struct request *r, const struct binding *b, int64_t now)
{
    return (b->expires && b->expires <= now) || (b->conn_id && flow_has_ended(r->d->flows, b->conn_id));
}

/* No printf("%g"): its point depends on the locale. */
static void print_q(double q, struct buf *out)
{
    int thousandths = (int)(q * 1000 + 0.5);

    if (thousandths >= 1000 || thousandths == 0)
        buf_printf(out, ";q=%d", thousandths / 1000);
    else
        buf_printf(out, ";q=0.%03d", thousandths);
}

static void print_bindings(const struct request *r, const struct aor *a, int64_t now, struct buf *out)
{
    list_each(node, &a->bindings) {
        const struct binding *b = list_item(node, struct binding, node);

        if (is_dead(r, b, now))
            continue;
        buf_printf(out, "Contact: <%s>%s", b->contact, b->params);
        if (b->q >= 0)
            print_q(b->q, out);
        /* One for ever, as an operator may have put it into the table, is told like the longest. */
        buf_printf(out, ";expires=%lld\r\n", (long long)(b->expires ? b->expires - now : r->d->conf->sip.max_expires));
    }
}

/* From the client itself, down a flow of its own: no other proxy in between. */
static bool is_direct(const struct request *r)
{
    return r->flow_id && !r->sip->sip_via->v_next && !r->sip->sip_path;
}

static void accept_it(struct registration *g, const struct aor *a)
{
    struct request *r = g->r;
    struct flow *own = is_direct(r) ? flow_by_id(r->d->flows, r->flow_id) : NULL; /* it may have ended since */
    struct buf headers = BUF_INIT;

    if (a)
        print_bindings(r, a, sipd_time(), &headers);
    for (const sip_path_t *p = r->sip->sip_path; p; p = p->r_next) {
        char *one = sip_header_as_string(msg_home(r->msg), (const sip_header_t *)p);

        buf_printf(&headers, "Path: %s\r\n", one ? one : "");
    }
    if (g->is_outbound)
        buf_puts(&headers, "Require: outbound\r\n");
    if (g->is_outbound && own && r->d->conf->sip.flow_timer) {
        buf_printf(&headers, "Flow-Timer: %lld\r\n", (long long)r->d->conf->sip.flow_timer);
        flow_keep(own, (uint32_t)r->d->conf->sip.flow_timer);
    }
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

/* Seconds asked for; S-REG-05. A date, as RFC 2543 had it in Expires, is no number of them. */
static int64_t asked_expires(const struct request *r, const sip_contact_t *m)
{
    const struct conf *conf = r->d->conf;
    const sip_expires_t *header = r->sip->sip_expires;
    uint64_t given = (uint64_t)conf->sip.default_expires;

    if (m->m_expires) {
        if (!sv_to_u64(sv_trim(sv_of(m->m_expires)), &given, NULL))
            given = EXPIRES_MALFORMED;
    } else if (header) {
        given = header->ex_date ? EXPIRES_MALFORMED : header->ex_delta;
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

/* Does the Contact name another address than that it comes from? */
static bool is_elsewhere(const struct request *r, const url_t *contact)
{
    struct addr said;

    return addr_from_host(&said, sv_of(contact->url_host), 0) && !addr_host_eq(&said, &r->source);
}

/* A UDP client behind NAT is reached where its packets come from. A proxy in between has seen to that by Path. */
static bool is_translated(const struct request *r, const url_t *contact)
{
    char transport[8] = "udp";

    url_param(contact->url_params, "transport", transport, sizeof transport);
    return !r->flow_id && !r->sip->sip_via->v_next && !r->sip->sip_path && su_casematch(transport, "udp") &&
           (is_elsewhere(r, contact) || request_is_behind_nat(r));
}

static char *received_text(const struct request *r, const url_t *contact)
{
    char at[ADDR_TEXT_MAX], text[ADDR_TEXT_MAX + 4];

    if (!is_translated(r, contact))
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

/* qvalue of RFC 3261 s.25.1: 0 to 1 with at most three decimals. No strtod(), which knows nan, and the locale. */
static bool parse_q(const char *text, double *q)
{
    int thousandths = 0, place = 1000;

    if (*text != '0' && *text != '1')
        return false;
    thousandths = (*text++ - '0') * 1000;
    if (*text == '.')
        for (text++; *text >= '0' && *text <= '9' && place > 1; text++)
            thousandths += (*text - '0') * (place /= 10);
    *q = thousandths / 1000.0;
    return !*text && thousandths <= 1000;
}

/* RFC 5626 s.4.2: 1 to 2^31-1; 0: none, or not one. */
static int reg_id_of(const sip_contact_t *m)
{
    const char *text = msg_params_find(m->m_params, "reg-id=");
    uint64_t number;

    return text && sv_to_u64(sv_of(text), &number, NULL) && number <= INT32_MAX ? (int)number : 0;
}

static struct binding *new_binding(const struct registration *g, const sip_contact_t *m, int64_t expires_s, int64_t now)
{
    const struct request *r = g->r;
    struct binding *b = binding_new();

    if (!b)
        return NULL;
    b->contact = sv_dup(sv_of(url_as_string(msg_home(r->msg), m->m_url)));
    b->params = other_params(m);
    b->received = received_text(r, m->m_url);
    b->path = sv_dup(sv_of(g->path));
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
    if (g->is_outbound)
        b->reg_id = reg_id_of(m); /* else it says nothing: S-OUT-01 */
    if (m->m_q && !parse_q(m->m_q, &b->q))
        b->q = -1;
    b->expires = now + expires_s;
    b->modified = now;
    b->conn_id = is_direct(r) ? r->flow_id : 0; /* a proxy's connection is not the client's */
    return b;
}

/* The binding that this contact is of, by RFC 3261 s.10.2.4 or RFC 5626 s.6; NULL: it is a new one. */
static struct binding *find_same(const struct registration *g, const sip_contact_t *m, struct list *bindings)
{
    su_home_t home[1] = { SU_HOME_INIT(home) };
    int reg_id = g->is_outbound ? reg_id_of(m) : 0;
    char *instance = param_text(m, "+sip.instance=");
    struct binding *same = NULL;

    list_each(node, bindings) {
        struct binding *b = list_item(node, struct binding, node);
        url_t *url;

        if (b->reg_id || reg_id) {
            if (b->reg_id == reg_id && instance && strcmp(b->instance, instance) == 0)
                same = b;
        } else {
            url = url_hdup(home, URL_STRING_MAKE(b->contact)->us_url);
            if (url && uri_eq(m->m_url, url))
                same = b;
        }
        if (same)
            break;
    }
    free(instance);
    su_home_deinit(home);
    return same;
}

/* ---- the change ---- */

/* The bindings as they are now, without those that are over: a client that connects again and again must not fill
 * its address with flows that have ended. */
static bool copy_bindings(const struct request *r, const struct aor *a, int64_t now, struct list *out)
{
    list_each(node, &a->bindings) {
        const struct binding *b = list_item(node, struct binding, node);
        struct binding *copy;

        if (is_dead(r, b, now))
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

/* Would requests for this Contact come back to us (S-REG-10)? Not those for a client behind NAT whose private address happens to be ours, and which is
 * reached where it has come from. */
static bool leads_to_us(const struct request *r, const url_t *contact)
{
    return stack_is_us(r->d->stack, contact) && !(is_elsewhere(r, contact) && (is_direct(r) || is_translated(r, contact)));
}

/* Has this request named it before? Then the binding that it is compared with is its own. */
static bool is_repeated(const struct request *r, const sip_contact_t *m)
{
    for (const sip_contact_t *c = r->sip->sip_contact; c != m; c = c->m_next)
        if (uri_eq(c->m_url, m->m_url))
            return true;
    return false;
}

static int say(struct registration *g, int status, const char *why)
{
    g->why = why;
    return status;
}

/* What is wrong with this contact? 0: nothing, else the status to refuse with. */
static int check_contact(struct registration *g, const sip_contact_t *m, int64_t expires)
{
    const struct request *r = g->r;
    const url_t *url = m->m_url;
    double q;

    if ((url->url_type != url_sip && url->url_type != url_sips) || !url->url_host || !*url->url_host)
        return say(g, 400, "Contact Is Not A SIP URI");
    if (url->url_type == url_sips && r->sip->sip_request->rq_url->url_type != url_sips)
        return say(g, 400, "SIPS Contact For A SIP Registration"); /* S-REG-11 */
    for (const sip_path_t *p = r->sip->sip_path; url->url_type == url_sips && p; p = p->r_next)
        if (p->r_url->url_type != url_sips)
            return say(g, 400, "SIPS Contact Behind A SIP Path");
    for (const sip_contact_t *c = r->sip->sip_contact; url->url_type == url_sips && c; c = c->m_next)
        if (c->m_url->url_type != url_sips)
            return say(g, 400, "SIPS Contact Beside A SIP Contact");
    if (m->m_q && !parse_q(m->m_q, &q))
        return say(g, 400, "Bad q");
    if (expires > 0 && leads_to_us(r, url))
        return say(g, 403, "Contact Is This Server");
    return expires > 0 && expires < TD_MIN(r->d->conf->sip.min_expires, (int64_t)EXPIRES_423_BELOW) ? 423 : 0;
}

/* What a row of the table holds: more would not be written, and must not be cut. */
static bool is_storable(const struct binding *b)
{
    return strlen(b->contact) <= DB_TEXT_MAX && strlen(b->path) <= DB_TEXT_MAX && strlen(b->callid) <= DB_TEXT_MAX &&
           strlen(b->instance) <= DB_TEXT_MAX;
}

/* Put one contact into the list. 0, or the status to refuse with. */
static int apply(struct registration *g, const sip_contact_t *m, int64_t now, struct list *bindings)
{
    int64_t expires = asked_expires(g->r, m);
    struct binding *b, *old;
    int status = check_contact(g, m, expires);

    if (status)
        return status;
    old = find_same(g, m, bindings);
    if (old && is_out_of_order(g->r, old) && !is_repeated(g->r, m))
        return say(g, 500, "CSeq Is Not Higher");
    if (expires > 0) {
        b = new_binding(g, m, expires, now);
        if (!b)
            return 500;
        list_append(bindings, &b->node);
        if (old)
            memcpy(b->ruid, old->ruid, sizeof b->ruid);
        if (!is_storable(b))
            return say(g, 513, "Contact, Path Or Call-ID Too Long");
    }
    if (old)
        binding_free(&old);
    return 0;
}

static int apply_all(struct registration *g, const struct aor *a, int64_t now, struct list *bindings)
{
    const struct request *r = g->r;
    size_t n = 0, most = (size_t)r->d->conf->sip.max_contacts;

    if (!copy_bindings(r, a, now, bindings))
        return 500;
    if (r->sip->sip_contact->m_url->url_type == url_any) { /* Contact: * */
        list_each(node, bindings)
            if (is_out_of_order(r, list_item(node, struct binding, node)))
                return say(g, 500, "CSeq Is Not Higher");
        bindings_free(bindings);
        return 0;
    }
    for (const sip_contact_t *m = r->sip->sip_contact; m; m = m->m_next)
        n += asked_expires(r, m) > 0;
    if (n > most) /* before each is compared with all */
        return say(g, 403, "Too Many Contacts");
    g->path = path_text(r);
    if (!g->path)
        return 500;
    for (const sip_contact_t *m = r->sip->sip_contact; m; m = m->m_next) {
        int status = apply(g, m, now, bindings);

        if (status)
            return status;
    }
    n = 0;
    list_each(node, bindings)
        n++;
    return n > most ? say(g, 403, "Too Many Contacts") : 0;
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
    int status = apply_all(g, a, sipd_time(), &bindings);

    free(g->path);
    g->path = NULL;
    if (status) {
        bindings_free(&bindings);
        snprintf(line, sizeof line, "Min-Expires: %lld\r\n", (long long)g->r->d->conf->sip.min_expires);
        request_deny(g->r, status, g->why ? g->why : phrase_of_status(status), status == 423 ? line : NULL);
        location_pass(a);
        finish(g);
        return;
    }
    location_commit(a, &bindings, on_stored, g);
}

/* ---- before it ---- */

static enum verdict change(struct registration *g)
{
    struct request *r = g->r;
    const sip_contact_t *m = r->sip->sip_contact;
    const sip_expires_t *header = r->sip->sip_expires;

    if (!m) { /* a query: S-REG-04 */
        accept_it(g, location_find(r->d->location, g->user, g->domain));
        return STEP_DONE;
    }
    for (const sip_contact_t *c = m; c; c = c->m_next)
        if (c->m_url->url_type == url_any && (m->m_next || !header || header->ex_date || header->ex_delta))
            return request_deny(r, 400, "Contact * Needs Expires 0 And No Other", NULL);
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

/* RFC 5626 s.6: may reg-id be obeyed? STEP_NEXT, or the request is answered. Over UDP outbound is not offered, as it
 * would need STUN (S-OUT-11). */
static enum verdict check_outbound(struct registration *g)
{
    struct request *r = g->r;
    const sip_path_t *path = r->sip->sip_path;
    size_t lasting = 0, with_reg_id = 0;
    bool has_both = false;

    for (const sip_contact_t *m = r->sip->sip_contact; m; m = m->m_next) {
        if (m->m_url->url_type == url_any)
            return STEP_NEXT;
        lasting += asked_expires(r, m) > 0;
        with_reg_id += msg_params_find(m->m_params, "reg-id=") != NULL;
        has_both = has_both || (reg_id_of(m) && msg_params_find(m->m_params, "+sip.instance="));
    }
    if (lasting > 1 && with_reg_id)
        return request_deny(r, 400, "One Contact With reg-id", NULL);
    if (!has_both || !supports(r, "outbound"))
        return STEP_NEXT;
    while (path && path->r_next)
        path = path->r_next; /* the last value is of the proxy that the client talks to */
    if (path ? !url_has_param(path->r_url, "ob") : r->sip->sip_via->v_next != NULL)
        return request_deny(r, 439, "First Hop Lacks Outbound Support", NULL); /* S-OUT-02 */
    g->is_outbound = path || r->flow_id;
    return STEP_NEXT;
}

/* The Unsupported line that Require asks for; empty: all of it is supported. */
static void print_unsupported(const struct request *r, struct buf *out)
{
    const msg_param_t *item = r->sip->sip_require ? r->sip->sip_require->k_items : NULL;

    for (; item && *item; item++)
        if (!su_casematch(*item, "path") && !su_casematch(*item, "outbound"))
            buf_printf(out, "%s%s", out->n ? ", " : "Unsupported: ", *item);
    if (out->n)
        buf_puts(out, "\r\n");
}

/* 420, or 500 when there is no memory to say why. */
static enum verdict refuse_unsupported(struct request *r, struct buf *line)
{
    enum verdict v = buf_failed(line) ? request_reply(r, SIP_500_INTERNAL_SERVER_ERROR, NULL) : request_deny(r, SIP_420_BAD_EXTENSION, line->p);

    buf_fini(line);
    return v;
}

static enum verdict check(struct registration *g)
{
    struct request *r = g->r;
    const url_t *to = r->sip->sip_to->a_url;
    struct buf unsupported = BUF_INIT;

    while (r->sip->sip_record_route) /* S-REG-09; nta would copy them into the answer */
        if (msg_header_remove(r->msg, (msg_pub_t *)r->sip, (msg_header_t *)r->sip->sip_record_route) < 0)
            break;
    print_unsupported(r, &unsupported);
    if (unsupported.n)
        return refuse_unsupported(r, &unsupported);
    if (to->url_type != url_sip && to->url_type != url_sips)
        return request_deny(r, 400, "To Is Not A SIP URI", NULL);
    if (!stack_is_domain(r->d->stack, to) || !uri_aor(msg_home(r->msg), to, &g->user, &g->domain))
        return request_deny(r, SIP_404_NOT_FOUND, NULL);
    if (r->sip->sip_path && !r->d->conf->sip.path_unasked && !supports(r, "path")) /* S-PATH-01 */
        return request_deny(r, SIP_420_BAD_EXTENSION, "Unsupported: path\r\n");
    return check_outbound(g);
}

static enum verdict advance(struct registration *g)
{
    struct request *r = g->r;

    if (g->phase == ASKED) {
        if (conf_list_has(&r->d->conf->sip.authenticate, "register")) {
            if (r->auth_status != 200)
                return auth_refuse(r);
            if (!sv_eq(sv_of(r->auth_user), g->user)) /* S-REG-02 */
                return request_deny(r, 403, "Not Your Address", NULL);
        } else {
            enum verdict v = ask_user(g);

            if (v != STEP_NEXT)
                return v;
        }
    }
    if (g->phase == KNOWN && !r->user_known)
        return request_deny(r, SIP_404_NOT_FOUND, NULL);
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
    if (g->finished)
        return STEP_DONE;
    v = advance(g);
    if (v == STEP_WAIT && g->phase != CHANGING)
        r->step--;
    return v;
}
