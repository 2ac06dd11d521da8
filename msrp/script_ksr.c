/* KSR.msrp, KSR.hdr and KSR.auth: what a script can do with an MSRP frame. */
#include <stdio.h>

#include "auth/digest.h"
#include "auth/claim.h"
#include "msrp/emit.h"
#include "msrp/script_private.h"

void ksr_is_request(struct script_call *c)
{
    script_truth(c, !event_of(c)->h->is_response);
}

void ksr_is_reply(struct script_call *c)
{
    script_truth(c, event_of(c)->h->is_response);
}

/* ---- reply ---- */

/* Header lines that cannot be taken for anything else: `Name: value`, none of the paths, no empty line. */
static bool are_headers(struct sv rest)
{
    while (rest.n) {
        struct sv line = sv_upto(rest, sv_find(rest, '\r')), name = sv_upto(line, sv_find(line, ':'));

        if (!name.n || name.n == line.n || !sv_is_line(line) || sv_find(name, ' ') < name.n || name.p[0] == '-')
            return false;
        if (sv_eq_nocase(name, SV("To-Path")) || sv_eq_nocase(name, SV("From-Path")))
            return false;
        rest = sv_from(rest, line.n);
        if (rest.n && !sv_starts(rest, SV("\r\n")))
            return false;
        rest = sv_from(rest, 2);
    }
    return true;
}

/* Has the sender said that it does not want to hear this? */
static bool is_declined(const struct msrp_head *h, int64_t code)
{
    if (h->method != MSRP_SEND)
        return false;
    return h->failure_report == MSRP_FR_NO || (h->failure_report == MSRP_FR_PARTIAL && code < 300);
}

/* Kept until the frame is at its end. */
static void keep_answer(struct frame_event *e, const struct answer *a)
{
    struct buf *out = &e->o->answer;
    struct writer w = { 0 };

    if (!out->p) {
        *out = e->m->relay->spare;
        e->m->relay->spare = BUF_INIT;
    }
    buf_clear(out);
    w.at = buf_extend(out, answer_length(a));
    if (TD_LIKELY(w.at != NULL))
        put_answer(&w, a);
}

void ksr_reply(struct script_call *c)
{
    struct frame_event *e = event_of(c);
    const struct msrp_head *h = event_head(e);
    struct sv text = c->arg[1].s, headers = c->arg[2].s;
    int64_t code = c->arg[0].i;
    struct answer a = { .tid = h->tid, .status = (unsigned)code, .phrase = text, .more = headers };
    struct buf lines = BUF_INIT;

    script_truth(c, false);
    if (h->is_response || h->method == MSRP_REPORT || (e->replied && !e->outer) || e->acted)
        return;
    if (code < 200 || code > 999 || !sv_is_line(text) || !are_headers(headers))
        return;
    if (e->replied) { /* by the hop before, which is us: a refusal is for that one to report */
        e->report = code < 300 || e->relayed || e->is_refused ? e->report : (unsigned)code;
        script_truth(c, true);
        return;
    }
    if (e->route)
        a.lines = h->method == MSRP_SEND ? e->route->answer : e->route->full_answer;
    else
        a.lines = relay_answer_lines(&lines, h);
    if (a.lines.n) {
        e->replied = true;
        e->is_refused = code >= 300;
        e->o->answer_late = h->method == MSRP_SEND && code < 300;
        a.more_is_cut = headers.n && headers.p[headers.n - 1] != '\n';
        buf_clear(&e->o->answer);
        if (!is_declined(h, code))
            keep_answer(e, &a);
        script_truth(c, !buf_failed(&e->o->answer));
    }
    if (lines.p)
        buf_fini(&lines);
}

void ksr_report(struct script_call *c)
{
    struct frame_event *e = event_of(c);
    int64_t code = c->arg[0].i;
    struct sv from = c->arg[1].s;
    struct msrp_uri path[MSRP_PATH_MAX];

    script_truth(c, false);
    if (e->h->is_response || e->h->method != MSRP_SEND || e->relayed || e->acted || code < 300 || code > 999)
        return;
    if (from.n && !msrp_path_parse(from, path, MSRP_PATH_MAX))
        return;
    buf_clear(&e->o->report_from);
    buf_add_sv(&e->o->report_from, from);
    if (buf_failed(&e->o->report_from))
        return;
    e->report = (unsigned)code;
    script_truth(c, true);
}

void ksr_reply_flags(struct script_call *c)
{
    event_of(c)->reply_flags = c->arg[0].i;
    script_truth(c, true);
}

/* ---- relay ---- */

void ksr_relay_flags(struct script_call *c)
{
    event_of(c)->relay_flags = c->arg[0].i;
    script_truth(c, true);
}

/* The way that set_dst() has said, or the one by the rules of the built-in routing: 200, how they would refuse, 0 for
 * another relay. */
static unsigned look_up(struct frame_event *e)
{
    unsigned status = 0;
    struct route *route;

    if (e->o->dst.n)
        return dst_look_up(e);
    if (e->route)
        return 200;
    if (e->outer) /* sessions of the relay are found before: two of them in one step */
        return 481;
    e->m->no_dial = e->relay_flags & FLAG_NO_CONNECT;
    route = route_of(e->m->relay, e->m->conn, e->h, sv_from(e->bytes, e->h->n), &status);
    e->m->no_dial = false;
    if (!route) {
        e->waits |= status == ROUTE_WAITS;
        return status;
    }
    e->route = route_ref(route);
    return 200;
}

/* Is the next hop this server again, by way of a session that is the script's? Kamailio sends the frame to itself. */
static bool is_to_us(struct frame_event *e)
{
    if (e->o->dst.n || e->outer || e->h->method == MSRP_AUTH)
        return false;
    event_paths(e);
    return e->n_to > 1 && e->n_from && relay_is_us(e->m->relay, e->m->conn, &e->paths->to[1], false);
}

void ksr_relay(struct script_call *c)
{
    struct frame_event *e = event_of(c);
    unsigned status;

    if (e->h->is_response || e->relayed) {
        e->relayed |= e->h->is_response;
        script_truth(c, e->h->is_response);
        return;
    }
    if (e->acted || e->report || e->to_us) {
        script_truth(c, false);
        return;
    }
    status = look_up(e);
    e->to_us = status == 481 && is_to_us(e);
    e->relayed = status == 200;
    if (!e->relayed && !e->to_us && sv_find(e->h->to_path, ' ') < e->h->to_path.n) /* else it has come to its end */
        e->failed = status ? status : 481;
    script_truth(c, e->relayed || e->to_us);
}

void ksr_default(struct script_call *c)
{
    struct frame_event *e = event_of(c);

    e->is_default = !e->acted;
    script_truth(c, !e->acted);
}

/* A SEND without body to a token alone, by its owner: it keeps the connection open. */
static bool is_to_own_token(struct frame_event *e)
{
    struct session *s = e->paths->to[0].session.n ? session_find(e->m->relay->shared->sessions, e->paths->to[0].session) : NULL;
    bool own = !e->h->has_body && s && session_is_active(s) && msrp_uri_eq(&s->uri, &e->paths->to[0]) && session_is_owner(s, e->m->conn);

    session_unref(&s);
    return own;
}

/* Is there a session of that URI, with a connection or without? */
static bool is_token(struct frame_event *e)
{
    struct session *s = session_find(e->m->relay->shared->sessions, e->paths->to[0].session);
    bool exists = s && msrp_uri_eq(&s->uri, &e->paths->to[0]);

    session_unref(&s);
    return exists;
}

void ksr_cmap_lookup(struct script_call *c)
{
    struct frame_event *e = event_of(c);
    unsigned status;

    if (e->outer) {
        script_return(c, -4);
        return;
    }
    if (e->h->is_response || e->h->method == MSRP_AUTH || sv_find(e->h->to_path, ' ') == e->h->to_path.n)
        event_paths(e); /* else the way is known, most often */
    if (e->h->is_response || e->h->method == MSRP_AUTH) {
        script_return(c, !e->h->is_response && e->n_to == 1 && e->paths->to[0].session.n && !is_token(e) ? -4 : -1);
        return;
    }
    if (e->n_to == 1) {
        e->not_for_us = !relay_is_us(e->m->relay, e->m->conn, &e->paths->to[0], false);
        script_return(c, e->not_for_us ? -1 : is_to_own_token(e) ? 1 : -4);
        return;
    }
    status = look_up(e);
    e->not_for_us = status == 0;
    script_return(c, status == 200 ? 1 : status == 481 ? -4 : status ? -(int64_t)status : -1);
}

void ksr_cmap_save(struct script_call *c)
{
    struct frame_event *e = event_of(c);
    struct authn_result r = {
        .verdict = e->authenticated ? AUTHN_OK : AUTHN_FORBIDDEN,
        .username = buf_sv(&e->user),
        .realm = buf_sv(&e->realm),
        .headers = buf_sv(&e->info),
    };
    uint64_t expires = 0;
    unsigned status;

    script_return(c, -2);
    if (e->h->is_response || e->h->method != MSRP_AUTH || e->acted || e->replied)
        return;
    event_paths(e);
    if (e->n_to != 1 || e->n_from == 0)
        return;
    e->acted = true;
    status = relay_auth_known(e->m, e->h, &e->paths->to[0], e->paths->from, e->n_from, &r);
    if (status == 423)
        script_return(c, sv_to_u64(e->h->expires, &expires, NULL) &&
                                 expires < (uint64_t)relay_conf(e->m->relay->shared)->msrp.auth_min_expires
                             ? -3
                             : -4);
    else
        script_truth(c, status == 200);
}

/* ---- KSR.hdr ---- */

void ksr_hdr_is_present(struct script_call *c)
{
    script_truth(c, event_header(event_of(c), c->arg[0].s, 0).p != NULL);
}

void ksr_hdr_get(struct script_call *c)
{
    struct sv value = event_header(event_of(c), c->arg[0].s, script_index(c, 1));

    if (value.p)
        script_set_str(&c->result, value);
    script_otherwise(c);
}

/* ---- KSR.auth ---- */

struct judging {
    struct frame_event *e;
    int64_t result;
};

static void on_judged(const struct authn_result *r, void *arg)
{
    struct judging *j = arg;
    struct frame_event *e = j->e;

    buf_clear(&e->challenge);
    switch (r->verdict) {
    case AUTHN_OK:
        e->authenticated = true;
        buf_clear(&e->user);
        buf_clear(&e->realm);
        buf_clear(&e->info);
        buf_add_sv(&e->user, r->username);
        buf_add_sv(&e->realm, r->realm);
        buf_add_sv(&e->info, r->headers);
        j->result = buf_failed(&e->user) || buf_failed(&e->realm) || buf_failed(&e->info) ? -1 : 1;
        break;
    case AUTHN_CHALLENGE:
        buf_clear(&e->realm);
        buf_add_sv(&e->realm, r->realm);
        buf_add_sv(&e->challenge, r->headers);
        j->result = !r->had_credentials ? -5 : r->stale ? -4 : -2;
        break;
    case AUTHN_FORBIDDEN:
        j->result = -3;
        break;
    case AUTHN_BAD:
        j->result = -1;
        break;
    case AUTHN_ERROR:
        j->result = -6;
        break;
    }
    if (j->result >= -3 && j->result < 0)
        script_auth_failed(e, r);
}

static bool is_auth(struct script_call *c)
{
    const struct frame_event *e = event_of(c);

    return !e->h->is_response && e->h->method == MSRP_AUTH && e->m->relay->authn;
}

/* Empty: that of the configuration. */
static struct sv realm_of(const struct script_call *c)
{
    return c->arg[0].s.n ? c->arg[0].s : authn_realm(event_of(c)->m->relay->authn);
}

/* The rightmost URI of To-Path is what the digest covers. */
static struct sv digest_uri(const struct frame_event *e)
{
    struct sv path = e->h->to_path, uri = { 0 }, w;

    while (msrp_path_next(&path, &w))
        uri = w;
    return uri;
}

static void judge(struct script_call *c, const struct db_cred *cred)
{
    struct frame_event *e = event_of(c);
    struct judging j = { .e = e, .result = -1 };

    authn_msrp_given(e->m->relay->authn, digest_uri(e), e->h->headers, realm_of(c), cred, on_judged, &j);
    script_return(c, j.result);
}

void ksr_pv_www_authenticate(struct script_call *c)
{
    struct db_cred cred;
    bool known;

    script_truth(c, false);
    if (!is_auth(c) || (c->n > 3 && !sv_eq(c->arg[3].s, SV("AUTH"))))
        return;
    known = authn_password(event_of(c)->h->headers, realm_of(c), c->arg[1].s, c->arg[2].i & 1, &cred);
    judge(c, known ? &cred : NULL);
}

void ksr_pv_auth_check(struct script_call *c)
{
    c->n = TD_MIN(c->n, 3u); /* checks of users that a frame does not have */
    ksr_pv_www_authenticate(c);
}

void ksr_db_www_authenticate(struct script_call *c)
{
    const struct frame_event *e = event_of(c);
    struct digest_cred claimed;
    bool ours;

    script_truth(c, false);
    if (!sv_eq(c->arg[1].s, SV("subscriber"))) {
        c->fault = "the table of users is subscriber";
        return;
    }
    if (!is_auth(c))
        return;
    /* They were fetched for the realm that the client named. */
    ours = claim_first(&claimed, e->h->headers) && sv_eq(claimed.realm, realm_of(c));
    if (ours && !e->o->has_cred) {
        script_return(c, -6);
        return;
    }
    judge(c, ours ? &e->o->cred : NULL);
}

void ksr_get_www_authenticate(struct script_call *c)
{
    struct frame_event *e = event_of(c);
    struct judging j = { .e = e };
    struct script_value v;

    script_truth(c, false);
    if (!is_auth(c))
        return;
    /* What followed from the credentials says what was wrong with them; without any, it is a first challenge. */
    if (!e->challenge.n || !sv_eq(buf_sv(&e->realm), realm_of(c)))
        authn_msrp_given(e->m->relay->authn, digest_uri(e), SV(""), realm_of(c), NULL, on_judged, &j);
    script_set_str(&v, buf_sv(&e->challenge));
    if (e->challenge.n && !buf_failed(&e->challenge))
        script_truth(c, script_assign(c, c->arg[2].s, &v));
}

void ksr_auth_info(struct script_call *c)
{
    script_set_str(&c->result, buf_sv(&event_of(c)->info));
}

void ksr_has_credentials(struct script_call *c)
{
    struct digest_cred claimed;

    script_truth(c, is_auth(c) && claim_first(&claimed, event_of(c)->h->headers) && sv_eq(claimed.realm, realm_of(c)));
}
