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
#include "net/tls.h"

struct auth_wait {
    struct msrp_conn *m;      /* back */
    struct authn_req *req;    /* while it is under way */
    bool is_renewal;          /* To-Path is a token (M-TOK-09, M-TOK-12) */
    char tid[MSRP_TID_MAX];
    uint8_t tid_n;
    struct sv lines, client, headers, expires, to; /* into text */
    bool expires_given;
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

bool relay_auth_failed(struct msrp_conn *m, const struct authn_result *r)
{
    struct buf user = BUF_INIT;
    char peer[ADDR_TEXT_MAX];

    stats_inc(&m->relay->worker->stats, STAT_auth_failed);
    buf_add_escaped(&user, r->username, 64);
    log_info("msrp", m->conn->id, "AUTH refused: peer=%s user=%s status=%d", addr_text(&m->conn->peer, peer),
             buf_failed(&user) || !user.p ? "" : user.p, r->status);
    buf_fini(&user);
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
    if (m->n_sessions >= SESSIONS_PER_CONN || session_create(out, relay->shared->sessions, spec, m->conn) != 0) {
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
        .secure = conn_is_tls(m->conn),
        .client = a->client,
        .username = r->username,
        .domain = r->realm,
    };
    char why[64];
    unsigned status = read_expires(a, &spec.expires_s, why, sizeof why);

    if (status == 200)
        status = a->is_renewal ? token_renew(m, a->to, &spec, &s) : new_session(a, &spec, &s);
    if (status != 200) {
        answer(a, status, sv_of(why));
        return status;
    }
    buf_printf(&headers, "Use-Path: " SV_FMT "\r\nExpires: %" PRIu32 "\r\n", SV_ARG(s->uri.text), spec.expires_s);
    buf_add_sv(&headers, r->headers);
    if (!buf_failed(&headers)) {
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

/* known: NULL: to be found out, and the answer may come later (0). */
static unsigned handle(struct msrp_conn *m, const struct msrp_head *h, const struct msrp_uri *to, const struct msrp_uri *from, size_t n_from,
                       const struct authn_result *known)
{
    struct auth_wait *a = calloc(1, sizeof *a + to->text.n + h->from_path.n * 2 + h->headers.n + h->expires.n + to->text.n + 64);
    struct authn_req *req;
    char *at, *begin;
    unsigned status;

    if (!a)
        return 0;
    if (!known && !conn_may_request(m->conn)) {
        free(a);
        conn_finish(m->conn, CLOSE_LIMIT);
        return 0;
    }
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
    at = add(at, &a->headers, h->headers);
    add(at, &a->expires, h->expires);
    a->expires_given = h->expires.p != NULL;

    if (!m->conn->tls && relay_conf(m->relay->shared)->msrp.require_tls) { /* M-AUTH-01 */
        answer(a, 403, sv_make(NULL, 0));
        conn_finish(m->conn, CLOSE_FORBIDDEN);
        free(a);
        return 403;
    }
    if (n_from != 1 || !m->relay->authn || m->relay->draining || (known && known->verdict != AUTHN_OK)) {
        answer(a, 403, sv_make(NULL, 0)); /* more than one: a relay without proof (M-AUTH-33) */
        free(a);
        return 403;
    }
    if (to->session.n) { /* a token: one that there is not needs no credentials to be refused */
        struct session *s = session_find(m->relay->shared->sessions, to->session);
        bool exists = s && msrp_uri_eq(&s->uri, to);

        session_unref(&s);
        if (!exists) {
            answer(a, 481, sv_make(NULL, 0));
            free(a);
            return 481;
        }
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
