/* Functions of scripts for SIP that are about users: who is it, and where is he? They are the steps of the built-in routing. */
#include "db/cred.h"
#include "sip/location.h"
#include "sip/registrar.h"
#include "sip/script_private.h"

static bool is_register(const struct request *r)
{
    return r->sip->sip_request->rq_method == sip_method_register;
}

/* A function that may have to wait, called for the first time or again. False: not here. */
static bool may_wait(struct script_call *c)
{
    if (!c->may_wait)
        c->fault = "this may have to wait, which only the function for requests can";
    return c->may_wait;
}

/* ---- authentication ---- */

/* True: r->auth_* say it. */
static bool ask(struct script_call *c, bool is_proxy)
{
    struct request *r = event_of(c)->r;
    char *domain = sipscript_text(c, c->arg[0].s);
    enum verdict v;

    if (!may_wait(c))
        return false;
    if (!domain || !*domain || r->sip->sip_request->rq_method == sip_method_ack) {
        script_truth(c, false);
        return false;
    }
    v = auth_ask(r, domain, is_proxy);
    c->wait = v == STEP_WAIT;
    return !c->wait;
}

static bool is_of_user(const struct request *r)
{
    const url_t *url = is_register(r) ? r->sip->sip_to->a_url : r->sip->sip_from->a_url;
    struct sv user, domain;

    return uri_aor(msg_home(r->msg), url, &user, &domain) && sv_eq(user, sv_of(r->auth_user)) &&
           sv_eq_nocase(domain, sv_of(r->auth_domain));
}

static int64_t result_of(const struct request *r, bool must_match)
{
    enum { NOT_OF_USER = -8, NONE = -5, STALE = -4, BLOCKED = -3, WRONG = -2, FAILED = -1 };

    switch (r->auth_status) {
    case 200:
        return must_match && !is_of_user(r) ? NOT_OF_USER : 1;
    case 401:
    case 407:
        return !r->auth_claimed ? NONE : r->auth_stale ? STALE : WRONG;
    case 403:
        return BLOCKED;
    default:
        return FAILED;
    }
}

static void check(struct script_call *c, bool is_proxy)
{
    if (!sv_eq(c->arg[1].s, SV("subscriber")))
        c->fault = "the table is subscriber";
    else if (ask(c, is_proxy))
        script_return(c, result_of(event_of(c)->r, c->arg[2].i & 1));
}

void ksip_auth_check(struct script_call *c)
{
    check(c, !is_register(event_of(c)->r));
}

void ksip_www_authenticate(struct script_call *c)
{
    check(c, false);
}

void ksip_proxy_authenticate(struct script_call *c)
{
    check(c, true);
}

void ksip_auth_challenge(struct script_call *c)
{
    struct sip_event *e = event_of(c);
    struct request *r = e->r;

    if (!ask(c, !is_register(r)))
        return;
    if (r->answered || e->g->answer.status || e->g->is_relayed) {
        script_truth(c, false);
        return;
    }
    if (r->auth_status == 200) /* of another user than it says: what it has shown is good */
        e->g->answer = (struct script_answer){ 403, "Not Your Address", NULL };
    else
        e->g->answer = (struct script_answer){ r->auth_status, r->auth_phrase, r->auth_headers };
    script_truth(c, true);
}

void ksip_consume_credentials(struct script_call *c)
{
    struct sip_event *e = event_of(c);
    const char *name = is_register(e->r) ? "Authorization" : "Proxy-Authorization";

    script_truth(c, e->r->auth_status != 200 || sipscript_event_edit(e, name, NULL));
}

static void on_cred(int err, const struct db_cred *cred, void *arg)
{
    struct request *r = arg;

    r->cred = NULL;
    r->routing->is_known = true;
    r->routing->user_exists = !err && cred->found;
    if (r->is_waiting)
        request_run(r);
}

void ksip_does_uri_exist(struct script_call *c)
{
    struct sip_event *e = event_of(c);
    struct request *r = e->r;
    const url_t *url = sipscript_uri(e->r);
    struct sv user, domain;
    struct db_cred cred;
    int got;

    if (!may_wait(c))
        return;
    if (e->g->is_known) {
        e->g->is_known = false;
        script_truth(c, e->g->user_exists);
        return;
    }
    script_truth(c, false);
    if (!url || !uri_aor(msg_home(r->msg), url, &user, &domain))
        return;
    got = db_cred_get(r->d->db, user, domain, &cred, r->d->mailbox, on_cred, r, &r->cred);
    if (got == 1)
        script_truth(c, cred.found);
    if (got)
        return;
    c->wait = request_hold(r);
    if (!c->wait) {
        db_cred_cancel(r->cred);
        r->cred = NULL;
    }
}

/* ---- locations ---- */

static bool is_table(struct script_call *c)
{
    bool good = sv_eq(c->arg[0].s, SV("location"));

    if (!good)
        c->fault = "the table is location";
    return good;
}

void ksip_save(struct script_call *c)
{
    const struct routing *g = event_of(c)->g;
    struct request *r = event_of(c)->r;

    if (!is_table(c) || !may_wait(c))
        return;
    if (is_register(r) && !r->answered && !g->answer.status && !g->is_relayed)
        c->wait = registrar_request(r) == STEP_WAIT;
    if (!c->wait) /* asked once more, it says so once more */
        script_truth(c, r->registration && r->answered == 200);
}

void ksip_lookup(struct script_call *c)
{
    enum { NONE = -1, OUT_OF_REACH = -3 };
    struct sip_event *e = event_of(c);
    const url_t *url = sipscript_uri(e->r);
    int found;

    if (!is_table(c))
        return;
    e->r->is_admitted = true; /* who looks for the callee has let the call in: that it failed is accounted */
    found = e->route == ROUTE_REQUEST || e->route == ROUTE_FAILURE ? locate_user(e->r, url) : -1;
    script_return(c, found > 0 ? 1 : found == 0 ? OUT_OF_REACH : NONE);
    if (found <= 0) { /* the bindings there are may not fit with sips or sip: S-TLS-02 */
        if (e->r->warning)
            e->g->reply_lines = e->r->warning;
        return;
    }
    if (!e->g->is_located) {
        e->g->asked = e->g->uri;
        e->g->asked_url = e->g->url;
    }
    sipscript_event_set_uri(e, e->r->targets[0].uri);
    e->g->is_located = true;
}

void ksip_registered(struct script_call *c)
{
    struct sip_event *e = event_of(c);
    char *text = c->n > 1 ? sipscript_text(c, c->arg[1].s) : NULL;
    const url_t *url = c->n > 1 ? (text ? url_make(home_of(e), text) : NULL) : sipscript_uri(e->r);
    struct target *targets = e->r->targets;
    size_t n = e->r->n_targets;

    if (!is_table(c))
        return;
    script_truth(c, url && locate_user(e->r, url) > 0);
    e->r->targets = targets; /* what lookup has found stays */
    e->r->n_targets = n;
}

/* All bindings of a user go; in the request's memory, which stays until that is done. */
struct unregistration {
    struct location_turn turn;
    struct request *r;        /* back */
    bool is_done, is_good;
};

static void on_removed(int err, struct aor *a, void *arg)
{
    struct unregistration *u = arg;

    u->is_done = true;
    u->is_good = !err;
    if (u->r->is_waiting)
        request_run(u->r);
}

static void on_turn(struct location_turn *t, struct aor *a)
{
    struct list none = LIST_INIT(none);

    location_commit(a, &none, on_removed, TD_CONTAINER_OF(t, struct unregistration, turn));
}

void ksip_unregister(struct script_call *c)
{
    struct sip_event *e = event_of(c);
    struct unregistration *u = e->g->unregistration;
    char *text = sipscript_text(c, c->arg[1].s);
    const url_t *url = text ? url_make(home_of(e), text) : NULL;
    struct sv user, domain;

    if (!is_table(c) || !may_wait(c))
        return;
    script_truth(c, u && u->is_good);
    e->g->unregistration = NULL;
    if (u || !url || !uri_aor(home_of(e), url, &user, &domain) || !location_find(e->r->d->location, user, domain))
        return;
    u = su_zalloc(home_of(e), sizeof *u);
    if (!u || !request_hold(e->r))
        return;
    u->turn.run = on_turn;
    u->r = e->r;
    if (!location_turn(e->r->d->location, user, domain, &u->turn))
        return;
    script_truth(c, u->is_good);
    c->wait = !u->is_done;
    e->g->unregistration = c->wait ? u : NULL;
}
