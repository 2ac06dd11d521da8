/* AUTH requests addressed to this relay: credentials, lifetime, and the Use-Path token (RFC 4976 s.5.1, s.6.3).
 *
 * The order is: transport, authentication, authorisation, Expires (M-AUTH-22). While credentials are fetched the
 * connection is paused, so AUTHs are answered in order. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/authn.h"
#include "common/buf.h"
#include "common/log.h"
#include "msrp/private.h"
#include "net/memory.h"
#include "net/tls.h"

struct auth_wait {
    struct msrp_conn *m;      /* back */
    struct authn_req *req;    /* while it is under way */
    bool is_renewal;          /* To-Path is a token (M-TOK-09, M-TOK-12) */
    char tid[MSRP_TID_MAX];
    uint8_t tid_n;
    struct sv lines, client, headers, expires, to; /* into text */
    struct sv inner;          /* into text: the relays it came through, nearest the client first; what Use-Path begins with */
    bool expires_given;
    bool by_relay;            /* it came from one */
    char text[];
};

static char *add(char *at, struct sv *out, struct sv in)
{
    if (in.n)
        memcpy(at, in.p, in.n);
    *out = sv_make(at, in.n);
    return at + in.n;
}

static void answer(struct auth_wait *a, unsigned status, struct sv headers)
{
    relay_answer(a->m->conn, sv_make(a->tid, a->tid_n), status, a->lines, headers);
}

static bool may_log(const struct msrp_conn *m)
{
    return log_may(&m->relay->worker->refusals, "msrp", "AUTHs were refused", loop_unix_s(m->relay->worker->loop));
}

/* What an operator is asked about: why somebody may not use the relay, or whose token he wanted. */
static void refused(struct auth_wait *a, unsigned status, struct sv headers, const char *why)
{
    struct msrp_conn *m = a->m;
    char peer[ADDR_TEXT_MAX];

    stats_inc(&m->relay->worker->stats, STAT_msrp_refused);
    if (status == 403 && may_log(m))
        log_info("msrp", m->conn->id, "AUTH refused: peer=%s status=403 reason=%s", addr_text(&m->conn->peer, peer), why);
    else if (status != 403)
        log_debug("msrp", m->conn->id, "AUTH not accepted: status=%u reason=%s", status, why);
    answer(a, status, headers);
}

void relay_auth_strike(struct relay *relay, struct conn_ref who)
{
    struct conn *c = conn_deref(relay->worker, who);

    if (who.worker != relay->worker->index)
        cross_auth_failed(relay, who);
    else if (c && !msrp_of(c)->relay_link && ++msrp_of(c)->auth_failures >= relay_conf(relay->shared)->auth.max_failures)
        conn_finish(c, CLOSE_AUTH_FAILURES);
}

/* Does this parameter list say stale=true? */
static bool says_stale(struct sv s)
{
    struct sv name = SV("stale");

    for (; s.n; s = sv_from(s, 1)) {
        struct sv at = sv_from(s, name.n);

        if (!sv_eq_nocase(sv_upto(s, name.n), name))
            continue;
        while (at.n && (*at.p == ' ' || *at.p == '\t' || *at.p == '=' || *at.p == '"'))
            at = sv_from(at, 1);
        if (sv_eq_nocase(sv_upto(at, 4), SV("true")))
            return true;
    }
    return false;
}

bool relay_auth_is_stale(struct sv headers)
{
    struct sv name = SV("WWW-Authenticate:");

    while (headers.n) {
        struct sv line = sv_upto(headers, sv_find(headers, '\n'));

        if (sv_eq_nocase(sv_upto(line, name.n), name) && says_stale(sv_from(line, name.n)))
            return true;
        headers = sv_from(headers, line.n + 1);
    }
    return false;
}

bool relay_auth_failed(struct msrp_conn *m, const struct authn_result *r)
{
    struct buf user = BUF_INIT;
    char peer[ADDR_TEXT_MAX];

    stats_inc(&m->relay->worker->stats, STAT_auth_failed);
    buf_add_escaped(&user, r->username, 64);
    if (may_log(m))
        log_info("msrp", m->conn->id, "AUTH refused: peer=%s user=%s status=%d", addr_text(&m->conn->peer, peer),
                 buf_failed(&user) || !user.p ? "" : user.p, r->status);
    buf_fini(&user);
    if (m->relay_link)
        return false; /* its other clients need it */
    return ++m->auth_failures >= relay_conf(m->relay->shared)->auth.max_failures;
}

static void failure(struct auth_wait *a, const struct authn_result *r)
{
    if (relay_auth_failed(a->m, r)) /* M-AUTH-17: the answer goes out first */
        conn_finish(a->m->conn, CLOSE_AUTH_FAILURES);
}

/* The lifetime asked for, or the status that refuses it with the header that says why. */
static unsigned read_expires(const struct auth_wait *a, uint32_t *out, char *why, size_t size)
{
    const struct conf *conf = relay_conf(a->m->relay->shared);
    uint64_t v = (uint64_t)conf->msrp.auth_max_expires;
    bool overflow = false;

    why[0] = '\0';
    if (a->expires_given && !sv_to_u64(a->expires, &v, &overflow)) {
        if (!overflow)
            return 400;
        v = UINT64_MAX;
    }
    if (v < (uint64_t)conf->msrp.auth_min_expires) {
        snprintf(why, size, "Min-Expires: %" PRId64 "\r\n", conf->msrp.auth_min_expires);
        return 423;
    }
    if (v > (uint64_t)conf->msrp.auth_max_expires) {
        snprintf(why, size, "Max-Expires: %" PRId64 "\r\n", conf->msrp.auth_max_expires);
        return 423;
    }
    *out = (uint32_t)v;
    return 200;
}

/* A session for an authenticated client: 200, or how to refuse. */
static unsigned new_session(struct auth_wait *a, struct session_spec *spec, struct session **out)
{
    struct msrp_conn *m = a->m;
    struct relay *relay = m->relay;
    const struct conf *conf = relay_conf(relay->shared);
    char local[ADDR_TEXT_MAX];

    spec->authority = relay->shared->use_path;
    if (!spec->authority.n)
        spec->authority = sv_of(addr_text(&m->conn->local, local));
    spec->max = (uint64_t)conf->limits.sessions;
    spec->max_per_user = (uint64_t)conf->limits.sessions_per_user;
    if ((!a->by_relay && m->n_sessions >= (uint64_t)conf->limits.sessions_per_connection) || session_create(out, relay->shared->sessions, spec, m->conn) != 0) {
        stats_inc(&relay->worker->stats, STAT_sessions_refused);
        return 403;
    }
    stats_inc(&relay->worker->stats, STAT_sessions_created);
    token_begin(relay, m, *out);
    return 200;
}

/* The status that it was answered with. */
static unsigned accepted(struct auth_wait *a, const struct authn_result *r)
{
    struct msrp_conn *m = a->m;
    struct buf headers = BUF_INIT;
    struct session *s = NULL;
    struct session_spec spec = {
        .secure = conn_is_secure(m->conn),
        .client = a->client,
        .by_relay = a->by_relay,
        .username = r->username,
        .domain = r->realm,
    };
    char why[64];
    unsigned status = read_expires(a, &spec.expires_s, why, sizeof why);

    if (status == 200)
        status = a->is_renewal ? token_renew(m, a->to, &spec, &s) : new_session(a, &spec, &s);
    if (status != 200) {
        refused(a, status, sv_of(why), status == 423 || status == 400 ? "its lifetime" : a->is_renewal ? "not his token, or not from where it was given" : "too many sessions");
        return status;
    }
    buf_printf(&headers, "Use-Path: " SV_FMT SV_FMT "\r\nExpires: %" PRIu32 "\r\n", SV_ARG(a->inner), SV_ARG(s->uri.text),
               spec.expires_s);
    buf_add_sv(&headers, r->headers);
    if (buf_failed(&headers)) {
        relay_lost(m->relay, conn_ref(m->conn));
    } else {
        stats_inc(&m->relay->worker->stats, STAT_auth_ok);
        relay_proven(m);
        answer(a, 200, buf_sv(&headers));
    }
    buf_fini(&headers);
    session_unref(&s); /* the table keeps its own */
    return 200;
}

static void on_result(const struct authn_result *r, void *arg)
{
    struct auth_wait *a = arg;
    struct conn *c = a->m->conn;

    a->m->auth = NULL;
    switch (r->verdict) {
    case AUTHN_OK:
        accepted(a, r);
        break;
    case AUTHN_CHALLENGE:
        answer(a, 401, r->headers);
        if (r->had_credentials && !r->stale)
            failure(a, r);
        else
            stats_inc(&c->worker->stats, STAT_auth_challenged);
        break;
    case AUTHN_FORBIDDEN:
        answer(a, 403, sv_make(NULL, 0));
        failure(a, r);
        break;
    case AUTHN_BAD:
        answer(a, 400, sv_make(NULL, 0));
        failure(a, r);
        break;
    case AUTHN_ERROR:
        answer(a, 408, sv_make(NULL, 0));
        break;
    }
    if (!c->ended)
        conn_resume(c, CONN_PAUSE_AUTH);
    free(a);
}

void relay_auth_cancel(struct msrp_conn *m)
{
    struct auth_wait *a = m->auth;

    if (!a)
        return;
    m->auth = NULL;
    authn_cancel(a->req);
    free(a);
}

/* The From-Path of an AUTH without the client, backwards: the order in which the client will name them in To-Path
 * (M-TOK-04). */
static char *add_inner(char *at, struct sv *out, const struct msrp_uri *from, size_t n_from)
{
    char *begin = at;
    struct sv done;

    while (--n_from) {
        at = add(at, &done, from[n_from - 1].text);
        *at++ = ' ';
    }
    *out = sv_make(begin, (size_t)(at - begin));
    return at;
}

static struct auth_wait *wait_new(struct msrp_conn *m, const struct msrp_head *h, const struct msrp_uri *to,
                                  const struct msrp_uri *from, size_t n_from)
{
    struct auth_wait *a = calloc(1, sizeof *a + 2 * to->text.n + 4 * h->from_path.n + h->headers.n + h->expires.n + 64);
    char *at, *begin;

    if (!a)
        return NULL;
    a->m = m;
    a->tid_n = (uint8_t)h->tid.n;
    memcpy(a->tid, h->tid.p, h->tid.n);
    at = begin = a->text;
    at = add(at, &a->lines, SV("To-Path: "));
    at = add(at, &a->lines, h->from_path);
    at = add(at, &a->lines, SV("\r\nFrom-Path: "));
    at = add(at, &a->to, to->text);
    at = add(at, &a->lines, SV("\r\n"));
    a->lines = sv_make(begin, (size_t)(at - begin));
    at = add(at, &a->client, from->text);
    at = add_inner(at, &a->inner, from, n_from);
    at = add(at, &a->headers, h->headers);
    add(at, &a->expires, h->expires);
    a->expires_given = h->expires.p != NULL;
    a->by_relay = n_from > 1;
    return a;
}

/* Before anybody was authenticated. */
static unsigned refuse(struct auth_wait *a, unsigned status, const char *why)
{
    if (!a->m->proven) /* M-CON-03 */
        a->m->refusals++;
    refused(a, status, sv_make(NULL, 0), why);
    free(a);
    return status;
}

/* known: NULL: to be found out, and the answer may come later (0). */
static unsigned handle(struct msrp_conn *m, const struct msrp_head *h, const struct msrp_uri *to, const struct msrp_uri *from, size_t n_from,
                       const struct authn_result *known)
{
    struct auth_wait *a = wait_new(m, h, to, from, n_from);
    struct authn_req *req;
    unsigned status;

    if (!a) {
        relay_lost(m->relay, conn_ref(m->conn));
        return 0;
    }
    if (a->by_relay) {
        if (!from->secure || !route_is_relay_link(m->conn, h->from_path)) /* M-AUTH-33 */
            return refuse(a, 403, "a path through a relay that has not proven its name");
        peer_is_relay(m->relay, m->conn, from->host);
    }
    if (!known && !conn_may_request(m->conn)) {
        if (a->by_relay)
            return refuse(a, 403, "too many requests");
        free(a);
        conn_finish(m->conn, CLOSE_LIMIT);
        return 0;
    }
    if (!conn_is_secure(m->conn) && relay_conf(m->relay->shared)->msrp.require_tls) { /* M-AUTH-01 */
        refuse(a, 403, "in the clear");
        conn_finish(m->conn, CLOSE_FORBIDDEN);
        return 403;
    }
    if (!m->relay->authn || m->relay->draining || (!to->session.n && memory_is_over(m->conn->worker)) ||
        (known && known->verdict != AUTHN_OK))
        return refuse(a, 403, "no more tokens now");
    if (to->session.n) { /* a token: one that there is not needs no credentials to be refused */
        struct session *s = session_find(m->relay->shared->sessions, to->session);
        bool exists = s && msrp_uri_eq(&s->uri, to);

        session_unref(&s);
        if (!exists)
            return refuse(a, 481, "no such token");
        a->is_renewal = true;
    }
    if (known) {
        status = accepted(a, known);
        free(a);
        return status;
    }
    m->auth = a;
    conn_pause(m->conn, CONN_PAUSE_AUTH);
    req = authn_msrp(m->relay->authn, a->to, a->headers, on_result, a);
    if (req) /* else a is gone already */
        a->req = req;
    return 0;
}

void relay_auth(struct msrp_conn *m, const struct msrp_head *h, const struct msrp_uri *to, const struct msrp_uri *from, size_t n_from)
{
    handle(m, h, to, from, n_from, NULL);
}

unsigned relay_auth_known(struct msrp_conn *m, const struct msrp_head *h, const struct msrp_uri *to, const struct msrp_uri *from,
                          size_t n_from, const struct authn_result *known)
{
    return handle(m, h, to, from, n_from, known);
}
