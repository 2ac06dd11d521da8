/* Scripts for SIP: running one, and doing what it has ordered. */
#include "sip/script.h"

#include <stdlib.h>

#include "common/err.h"
#include "common/log.h"
#include "db/query.h"
#include "sip/fork.h"
#include "sip/forward.h"
#include "sip/script_private.h"

static const struct script_func funcs[] = {
#define KSR_FN(module, name, kind, args, params, fn, text) { module, #name, SCRIPT_##kind, args, fn, params, text },
#include "sip/script_tbl.h"
};

static const struct script_var vars[] = {
#define PV(class_, key, kind, get, set, param, text) { #class_, key, SCRIPT_##kind, get, set, param, text },
#include "sip/script_tbl.h"
};

const struct script_api sipscript_api = { funcs, TD_ARRAY_LEN(funcs), vars, TD_ARRAY_LEN(vars), NULL, 0 };

/* ---- the script of the process ---- */

int sipscript_configure(struct sipd *d, const struct conf *conf, struct buf *faults)
{
    struct script *s = NULL;
    const char *callback = conf->sip.event_callback;
    char *name = strdup(callback);
    int err = name ? TD_OK : TD_ENOMEM;

    if (!err && *callback)
        err = db_query_open(d->db);
    if (!err && *callback)
        err = script_new(&s, d->script_shared, conf, &d->shared->stats, sipd_now_ms(), faults);
    if (!err && s && !script_has(s, callback)) {
        buf_printf(faults, "%s: has no function %s (sip.event_callback)\n", conf->script.file, callback);
        err = TD_EINVAL;
    }
    if (err) {
        script_free(&s);
        free(name);
        return err;
    }
    if (s)
        script_use_db(s, d->db, d->mailbox);
    script_free(&d->script);
    free(d->script_callback);
    d->script = s;
    d->script_callback = name;
    d->script_sees_replies = s && script_has(s, "ksr_reply_route");
    return TD_OK;
}

void sipscript_fini(struct sipd *d)
{
    script_free(&d->script);
    script_shared_free(&d->script_shared);
    free(d->script_callback);
}

/* ---- changes of a message ---- */

bool sipscript_take(struct script_call *c, size_t n)
{
    enum { COPIES = 3 }; /* its own, that of a header or URI, that of the parts */
    struct routing *g = event_of(c)->g;

    if (n > SCRIPT_TEXTS_MAX / COPIES || n * COPIES + SCRIPT_TEXT_COST > SCRIPT_TEXTS_MAX - g->texts) {
        g->texts = SCRIPT_TEXTS_MAX;
        c->fault = "more than 1 MiB of texts for one request";
        return false;
    }
    g->texts += n * COPIES + SCRIPT_TEXT_COST;
    return true;
}

char *sipscript_text(struct script_call *c, struct sv s)
{
    return sv_is_line(s) && sipscript_take(c, s.n) ? su_strndup(home_of(event_of(c)), s.n ? s.p : "", (isize_t)s.n) : NULL;
}

char *sipscript_uri_text(struct script_call *c, const url_t *url)
{
    return sipscript_take(c, (size_t)url_e(NULL, 0, url)) ? url_as_string(home_of(event_of(c)), url) : NULL;
}

bool sipscript_event_set_uri(struct sip_event *e, const char *text)
{
    const url_t *url = text ? url_make(home_of(e), text) : NULL;

    if (!url || (url->url_type != url_sip && url->url_type != url_sips) || !url->url_host || !*url->url_host)
        return false;
    if (e->route == ROUTE_BRANCH)
        return forward_set_uri(e->msg, e->sip, (const url_string_t *)url);
    e->g->uri = text;
    e->g->url = url;
    e->g->is_located = false;
    return true;
}

static struct sv header_name(const msg_header_t *h)
{
    const msg_hclass_t *c = h->sh_class;

    if (c->hc_hash == sip_unknown_class->hc_hash)
        return sv_of(((const sip_unknown_t *)h)->un_name);
    return sv_of(c->hc_name);
}

/* Also by its short form. */
static bool is_named(const msg_header_t *h, struct sv name)
{
    const msg_hclass_t *c = h->sh_class;

    if (c->hc_hash <= 0 && c->hc_hash != sip_unknown_class->hc_hash)
        return false; /* the start line, the body */
    return sv_eq_nocase(header_name(h), name) || (name.n == 1 && c->hc_short[0] && sv_lower(name.p[0]) == c->hc_short[0]);
}

static msg_header_t *next_named(msg_header_t *h, struct sv name)
{
    while (h && !is_named(h, name))
        h = h->sh_succ;
    return h;
}

static msg_header_t *first_of(const sip_t *sip)
{
    const msg_header_t *line = sip->sip_request ? (const msg_header_t *)sip->sip_request : (const msg_header_t *)sip->sip_status;

    return line ? line->sh_succ : NULL;
}

msg_header_t *sipscript_event_header(const struct sip_event *e, struct sv name, int index)
{
    msg_header_t *first = next_named(first_of(e->sip), name), *h = first;

    if (index < 0) {
        for (; h; h = next_named(h->sh_succ, name))
            index++;
        h = first;
        if (index < 0)
            return NULL;
    }
    while (h && index--)
        h = next_named(h->sh_succ, name);
    return h;
}

bool edit_make(msg_t *msg, const struct edit *edit)
{
    sip_t *sip = sip_object(msg);
    struct sv name = sv_of(edit->name);

    if (edit->line)
        return sip_add_make(msg, sip, sip_unknown_class, edit->line) >= 0; /* whatever it is called: it need not be parsed here */
    for (msg_header_t *h = next_named(first_of(sip), name), *next; h; h = next) {
        next = next_named(h->sh_succ, name);
        if (msg_header_remove(msg, (msg_pub_t *)sip, h) < 0)
            return false;
    }
    return true;
}

/* On the message at once when it is ours alone; else on every copy that goes out. */
bool sipscript_event_edit(struct sip_event *e, const char *name, const char *line)
{
    struct edit edit = { .name = name, .line = line }, *kept;

    if (e->route != ROUTE_REQUEST && e->route != ROUTE_FAILURE)
        return edit_make(e->msg, &edit);
    kept = e->g->n_edits < SCRIPT_EDITS_MAX ? su_alloc(home_of(e), sizeof *kept) : NULL;
    if (!kept)
        return false;
    *kept = edit;
    *e->g->edits_end = kept;
    e->g->edits_end = &kept->next;
    e->g->n_edits++;
    return true;
}

bool sipscript_edit(const struct request *r, msg_t *copy)
{
    for (const struct edit *edit = r->routing ? r->routing->edits : NULL; edit; edit = edit->next)
        if (!edit_make(copy, edit))
            return false;
    return true;
}

bool sipscript_records(const struct request *r, bool otherwise, const char **params)
{
    const struct routing *g = r->routing;

    *params = g ? g->record_params : "";
    return g ? g->is_recorded || (g->is_default && otherwise) : otherwise;
}

const url_t *sipscript_uri(const struct request *r)
{
    return r->routing && r->routing->uri ? r->routing->url : r->sip->sip_request->rq_url;
}

void sipscript_direct(const struct request *r, struct target *t)
{
    const struct routing *g = r->routing;

    if (g && g->uri)
        t->uri = g->uri;
    if (g && g->next) {
        t->next = g->next_url;
        t->hop = (struct mark){ .kind = MARK_PLAIN };
    }
}

/* ---- the request route ---- */

static bool hold(void *subject)
{
    const struct sip_event *e = subject;

    return request_hold(e->r);
}

static void ready(void *subject)
{
    const struct sip_event *e = subject;

    if (e->r->is_waiting)
        request_run(e->r);
}

static const struct script_host host = { hold, ready };

bool sipscript_waits(const struct request *r)
{
    return r->routing && r->routing->wait;
}

void sipscript_forget(struct request *r)
{
    if (r->routing)
        script_abandon(&r->routing->wait);
}

static struct routing *routing_new(struct request *r)
{
    struct routing *g = su_zalloc(msg_home(r->msg), sizeof *g);

    if (!g)
        return NULL;
    g->event = (struct sip_event){ .route = ROUTE_REQUEST, .r = r, .g = g, .msg = r->msg, .sip = r->sip };
    g->edits_end = &g->edits;
    g->record_params = "";
    return g;
}

/* Where it is to go: a user's bindings, where the script says, or where the message itself says. */
static enum verdict find_targets(struct request *r)
{
    return r->routing->is_located && r->n_targets ? STEP_NEXT : locate_self(r);
}

/* The limits hold for what a script relays, too. */
static enum verdict relay(struct request *r)
{
    static enum verdict (*const steps[])(struct request *r) = { step_max_forwards, step_route, step_loop, find_targets, step_forward };
    enum verdict v = STEP_NEXT;

    for (size_t i = 0; v == STEP_NEXT && i < TD_ARRAY_LEN(steps); i++)
        v = steps[i](r);
    return STEP_DONE;
}

/* The script has come to its end: what has it ordered? */
static enum verdict carry_out(struct request *r)
{
    const struct script_answer *a = &r->routing->answer;

    if (r->answered)
        return STEP_DONE;
    if (r->routing->is_relayed)
        return relay(r);
    if (a->status)
        return request_reply(r, a->status, a->phrase, a->headers);
    if (r->fork) /* it waited, and so there is a transaction, which must end */
        return request_reply(r, SIP_500_INTERNAL_SERVER_ERROR, NULL);
    return STEP_DONE;
}

/* To the built-in steps, with what the script has changed, but without what it has ordered and whom it has found. */
static void leave(struct routing *g)
{
    if (g->is_located) {
        g->uri = g->asked;
        g->url = g->asked_url;
    }
    g->is_relayed = g->is_located = false;
    g->answer = (struct script_answer){ 0 };
}

enum verdict step_script(struct request *r)
{
    unsigned here = r->step - 1;
    struct sipd *d = r->d;
    enum script_end end;

    if (!r->routing) {
        if (!d->script)
            return STEP_NEXT;
        r->routing = routing_new(r);
        if (!r->routing)
            return STEP_NEXT;
        end = script_start(&r->routing->wait, d->script, d->script_callback, "sip:request", SCRIPT_SIP, &host, &r->routing->event,
                           sipd_now_ms());
    } else {
        end = script_resume(&r->routing->wait, sipd_now_ms());
    }
    switch (end) {
    case SCRIPT_WAITS:
        r->step = here;
        return STEP_WAIT;
    case SCRIPT_DONE:
        if (!r->routing->is_default)
            return carry_out(r);
        leave(r->routing);
        break;
    case SCRIPT_FAILED:
        r->routing = NULL;
        break;
    }
    if (r->answered)
        return STEP_DONE;
    r->n_targets = 0;
    r->step = here + 1;
    return STEP_NEXT;
}

/* ---- the other routes ---- */

static enum script_end run(const struct request *r, const char *function, const char *name, struct sip_event *e)
{
    return r->d->script ? script_run(r->d->script, function, name, SCRIPT_SIP, e, sipd_now_ms()) : SCRIPT_FAILED;
}

bool sipscript_on_branch(const struct request *r, msg_t *copy, unsigned index)
{
    struct routing *g = r->routing;
    struct sip_event e = { .route = ROUTE_BRANCH, .r = (struct request *)r, .g = g, .msg = copy, .sip = sip_object(copy), .branch = index };

    if (!g || !g->on_branch)
        return true;
    run(r, g->on_branch, "sip:branch", &e);
    return !e.is_dropped;
}

bool sipscript_on_reply(const struct request *r, msg_t *reply, unsigned index)
{
    struct routing *g = r->routing;
    struct sip_event e = { .route = ROUTE_REPLY, .r = (struct request *)r, .g = g, .msg = reply, .sip = sip_object(reply), .branch = index };

    if (!g)
        return true;
    e.status = e.sip->sip_status->st_status;
    drop_errors(reply, e.sip);
    if (r->d->script_sees_replies)
        run(r, "ksr_reply_route", "sip:reply", &e);
    if (g->on_reply && !e.is_dropped) {
        e.route = ROUTE_ONREPLY;
        run(r, g->on_reply, "sip:onreply", &e);
    }
    return !e.is_dropped || e.status >= 200;
}

enum script_failure sipscript_on_failure(struct request *r, int status, bool is_cancelled, struct script_answer *answer)
{
    struct routing *g = r->routing;
    struct sip_event e = { .route = ROUTE_FAILURE, .r = r, .g = g, .msg = r->msg, .sip = r->sip, .status = status, .is_cancelled = is_cancelled };
    const char *function = g ? g->on_failure : NULL;

    if (!function)
        return FAILURE_GOES_UP;
    r->answered = 0;
    g->on_failure = NULL; /* to be named again for what is relayed from here */
    g->is_relayed = g->is_located = false;
    g->answer = (struct script_answer){ 0 };
    if (run(r, function, "sip:failure", &e) != SCRIPT_DONE)
        return FAILURE_GOES_UP;
    if (g->answer.status) {
        *answer = g->answer;
        return FAILURE_ANSWERED;
    }
    return g->is_relayed && !is_cancelled && find_targets(r) == STEP_NEXT ? FAILURE_RELAYED : FAILURE_GOES_UP;
}
