/* Scripts for MSRP frames: running one, and doing what it has ordered. */
#include "msrp/script.h"

#include <stdlib.h>

#include "common/err.h"
#include "common/log.h"
#include "msrp/script_private.h"
#include "net/ws.h"

enum { SPARE_MAX = 8192 };

static const struct script_func funcs[] = {
#define KSR_FN(module, name, kind, args, params, fn, text) { module, #name, SCRIPT_##kind, args, fn, params, text },
#include "msrp/script_tbl.h"
};

static const struct script_var vars[] = {
#define PV(class_, key, kind, get, set, param, text) { #class_, key, SCRIPT_##kind, get, set, param, text },
#include "msrp/script_tbl.h"
};

static const struct script_trans transformations[] = {
#define TRANS(class_, name, n, fn, params, text) { #class_, #name, n, fn, params, text },
#include "msrp/script_tbl.h"
};

const struct script_api msrp_script_api = {
    funcs, TD_ARRAY_LEN(funcs), vars, TD_ARRAY_LEN(vars), transformations, TD_ARRAY_LEN(transformations),
};

void relay_set_script(struct relay *relay, struct script *script, const char *callback)
{
    script_free(&relay->script);
    relay->script = script;
    relay->callback = callback;
}

/* ---- orders ---- */

/* Most often there is nothing in it. */
static void let_go(struct buf *b)
{
    if (b->p)
        buf_fini(b);
}

/* Nothing is to be done for a frame any more; the credentials fetched for it are used up. */
static void orders_clear(struct msrp_conn *m)
{
    struct orders *o = m->orders;

    if (o->route)
        route_unref(m->relay, &o->route);
    if (o->answer.p && !m->relay->spare.p && o->answer.cap <= SPARE_MAX) {
        m->relay->spare = o->answer; /* kept for another frame, of any connection */
        o->answer = BUF_INIT;
    }
    let_go(&o->answer); /* connections are many */
    let_go(&o->report_from);
    o->decided = o->has_close = o->answer_late = o->finish_hop = false;
    o->report = 0;
}

static void answer(struct msrp_conn *m)
{
    struct buf *text = &m->orders->answer;

    if (buf_failed(text)) { /* half an answer is none */
        relay_lost(m->relay, conn_ref(m->conn));
    } else if (text->n) {
        hop_interrupt(m);
        wsio_write(m->conn, text->p, text->n);
    }
    buf_clear(text);
}

/* The answer comes before the report of what has failed. */
static void report(struct msrp_conn *m, const struct msrp_head *h)
{
    answer(m);
    if (h->failure_report != MSRP_FR_NO)
        report_refusal(m->relay, m->conn, h, m->orders->report, buf_sv(&m->orders->report_from));
}

void script_done(struct msrp_conn *m)
{
    struct orders *o = m->orders;
    bool has_close = o->has_close;

    answer(m);
    orders_clear(m);
    if (has_close && !m->conn->ended)
        conn_finish(m->conn, o->close); /* that is the end of o and m, too */
}

static void event_fini(struct relay *relay, struct frame_event *e)
{
    route_unref(relay, &e->route);
    let_go(&e->user);
    let_go(&e->realm);
    let_go(&e->info);
    let_go(&e->challenge);
}

void script_forget(struct msrp_conn *m)
{
    if (!m->orders)
        return;
    if (m->orders->fetch)
        db_cred_cancel(m->orders->fetch);
    script_abandon(&m->orders->wait);
    if (m->orders->event)
        event_fini(m->relay, m->orders->event);
    free(m->orders->event);
    dst_leave(m);
    orders_clear(m);
    if (m->orders->inner)
        buf_fini(&m->orders->inner->lines);
    free(m->orders->inner);
    free(m->orders);
    m->orders = NULL;
}

void script_overruled(struct msrp_conn *m)
{
    if (script_is_in_charge(m))
        orders_clear(m);
}

bool script_is_in_charge(const struct msrp_conn *m)
{
    return m->orders && m->orders->decided;
}

/* ---- credentials, before the script runs ---- */

static void on_fetched(int err, const struct db_cred *cred, void *arg)
{
    struct msrp_conn *m = arg;
    struct orders *o = m->orders;

    o->fetch = NULL;
    o->fetched = true;
    o->has_cred = err == 0;
    if (cred)
        o->cred = *cred;
    conn_resume(m->conn, CONN_PAUSE_AUTH);
}

/* False: they are being fetched, and the connection is paused meanwhile. */
static bool fetch(struct msrp_conn *m, const struct msrp_head *h)
{
    struct orders *o = m->orders;
    int known;

    if (o->fetched || h->is_response || h->method != MSRP_AUTH || !h->authorization.p || !m->relay->authn)
        return true;
    known = authn_fetch(m->relay->authn, h->headers, &o->cred, on_fetched, m, &o->fetch);
    o->fetched = known != 0;
    o->has_cred = known == 1;
    if (known == 0)
        conn_pause(m->conn, CONN_PAUSE_AUTH);
    return known != 0;
}

void script_auth_failed(struct frame_event *e, const struct authn_result *r)
{
    struct msrp_conn *m = e->m;

    if (!relay_auth_failed(m, r))
        return;
    e->o->has_close = true; /* M-AUTH-17: the answer goes out first */
    e->o->close = CLOSE_AUTH_FAILURES;
}

/* ---- a frame ---- */

/* What the script has said becomes what is to be done. */
static void decide(struct frame_event *e)
{
    struct orders *o = e->o;

    if (e->relayed && !e->h->is_response) {
        o->route = e->route;
        o->finish_hop = e->relay_flags & FLAG_CLOSE;
        e->route = NULL;
    }
    /* answered, and then there was no way: M-REP-01 holds for what a script answers, too (Kamailio loses such a message) */
    if (e->failed && !e->relayed && !e->report && e->replied && !e->is_refused && e->h->method == MSRP_SEND)
        e->report = e->failed;
    o->report = e->report;
    if (e->report) /* it goes nowhere: there is nothing to wait for, and nothing was proven */
        o->answer_late = false;
    else if (e->replied && !e->is_refused) /* as one that the relay has accepted, or refused: M-CON-03 */
        relay_proven(e->m);
    else if (e->replied && e->h->method != MSRP_AUTH && !e->m->proven)
        e->m->refusals++;
    if (e->replied && e->reply_flags & FLAG_CLOSE && !o->has_close) {
        o->has_close = true;
        o->close = CLOSE_SCRIPT;
    }
    o->decided = true;
}

/* Do it, as far as it can be done now: the bytes taken, 0 when it must wait. */
static size_t carry_out(struct msrp_conn *m, const struct msrp_head *h, const char *p, size_t n)
{
    struct orders *o = m->orders;
    struct conn *c = m->conn;
    size_t taken = h->n;

    if (o->route) {
        struct relay *relay = m->relay; /* m may be gone then */
        struct route *route = route_ref(o->route);

        m->finish_hop = o->finish_hop;
        taken = relay_go(m, h, p, n, route);
        if (!c->ended)
            m->finish_hop = false;
        if (taken && !c->ended && m->rx != RX_STREAM) /* it has been answered, or refused */
            orders_clear(m);
        route_unref(relay, &route);
        return taken;
    }
    relay_skip_body(m, h);
    if (o->report)
        report(m, h);
    if (m->rx != RX_SKIP || !o->answer_late)
        script_done(m);
    return taken;
}

static size_t response(struct msrp_conn *m, const struct frame_event *e)
{
    /* A transaction ends with its answer, whatever the script thinks of it; only what goes back to somebody is its to
     * decide. */
    if (e->relayed || hop_ends_here(m, e->h))
        hop_response(m, e->h);
    relay_skip_body(m, e->h);
    return e->h->n;
}

/* To be judged before any script: a frame that ends here has ports in From-Path (M-DNS-02); without TLS no AUTH
 * (M-AUTH-01), none for another relay (M-FWD-02), none through one that has not proven who it is (M-AUTH-33). */
static bool is_admitted(struct msrp_conn *m, const struct msrp_head *h)
{
    struct msrp_uri to, from[MSRP_PATH_MAX];
    size_t n_from;

    if (h->is_response || h->paths_known || sv_find(h->to_path, ' ') < h->to_path.n) /* who has a route names more than us */
        return true;
    n_from = msrp_path_parse(h->from_path, from, MSRP_PATH_MAX);
    if (n_from == 0 || !msrp_path_has_ports(from, n_from))
        return false;
    if (h->method != MSRP_AUTH)
        return true;
    if (n_from > 1 && (!from[0].secure || !route_is_relay_link(m->conn, h->from_path)))
        return false;
    if (!msrp_uri_parse(&to, h->to_path) || !relay_is_us(m->relay, m->conn, &to, true))
        return false;
    if (!conn_is_secure(m->conn) && relay_conf(m->relay->shared)->msrp.require_tls)
        return false;
    if (n_from > 1)
        peer_is_relay(m->relay, m->conn, from[0].host);
    return true;
}

/* More than it may ask: another relay is told so, as its other clients need it; else the connection ends. */
static bool is_too_much(struct msrp_conn *m, const struct msrp_head *h)
{
    if (h->is_response || h->method != MSRP_AUTH || conn_may_request(m->conn))
        return false;
    if (m->relay_link) {
        relay_refuse(m->conn, h, 403);
        relay_skip_body(m, h);
    } else {
        conn_finish(m->conn, CLOSE_LIMIT);
    }
    return true;
}

/* ---- runs that wait ---- */

static bool hold(void *subject)
{
    return true;
}

static void ready(void *subject)
{
    const struct frame_event *e = subject;

    conn_resume(e->m->conn, CONN_PAUSE_AUTH);
}

static const struct script_host host = { hold, ready };

/* The frame stays where it is until the answer is there: what is known of it is kept, but not where it lies. */
static enum script_end wait_for(struct frame_event *e)
{
    struct orders *o = e->o;

    if (!o->event) {
        o->event = malloc(sizeof *o->event);
        if (!o->event) {
            script_abandon(&o->wait);
            return SCRIPT_FAILED;
        }
    }
    *o->event = *e;
    script_move(o->wait, o->event);
    conn_pause(e->m->conn, CONN_PAUSE_AUTH);
    return SCRIPT_WAITS;
}

/* The frame as it would come back from its next hop, this server: one URI of To-Path further. False: no memory. */
static bool go_inside(struct frame_event *e, const struct msrp_head *h)
{
    struct inner_frame *inner = e->o->inner ? e->o->inner : calloc(1, sizeof *inner);
    struct msrp_head *in;
    struct buf *b;
    struct sv first = sv_upto(h->to_path, sv_find(h->to_path, ' ')), rest = sv_from(h->to_path, first.n + 1);
    size_t to = strlen("To-Path: "), from = to + rest.n + strlen("\r\nFrom-Path: "), end = from + first.n + 1 + h->from_path.n;

    if (!inner)
        return false;
    e->o->inner = inner;
    in = &inner->head;
    b = &inner->lines;
    buf_clear(b);
    buf_printf(b, "To-Path: " SV_FMT "\r\nFrom-Path: " SV_FMT " " SV_FMT "\r\n", SV_ARG(rest), SV_ARG(first), SV_ARG(h->from_path));
    buf_add_sv(b, h->headers);
    if (buf_failed(b))
        return false;
    *in = *h;
    in->to_path = sv_make(b->p + to, rest.n);
    in->from_path = sv_make(b->p + from, end - from);
    in->paths = sv_make(b->p, end + 2);
    in->headers = sv_make(b->p + in->paths.n, h->headers.n);
    in->paths_known = false;
    e->outer = h;
    e->h = in;
    e->paths_known = false;
    return true;
}

/* Run the script for the frame, or go on with the run that has waited. */
static enum script_end run(struct frame_event *e)
{
    struct relay *relay = e->m->relay;
    uint64_t now_ms = loop_now_ms(relay->worker->loop);
    struct orders *o = e->o;
    enum script_end end;

    if (o->wait) {
        struct frame_event fresh = *e;

        *e = *o->event;
        e->h = fresh.h;
        e->bytes = fresh.bytes;
        e->paths = fresh.paths;
        e->body_known = e->paths_known = false;
        script_move(o->wait, e);
        if (e->outer && !go_inside(e, fresh.h)) {
            script_abandon(&o->wait);
            end = SCRIPT_FAILED;
        } else {
            end = script_resume(&o->wait, now_ms);
        }
    } else {
        buf_clear(&o->dst);
        end = script_start(&o->wait, relay->script, relay->callback, "msrp:frame-in", SCRIPT_MSRP, &host, e, now_ms);
    }
    if (TD_UNLIKELY(end == SCRIPT_WAITS))
        end = wait_for(e);
    if (end != SCRIPT_WAITS && o->event) {
        free(o->event);
        o->event = NULL;
    }
    return end;
}

/* relay() has come to this server again: the script has the frame once more, as that would get it. */
static enum script_end run_inside(struct frame_event *e)
{
    int64_t reply_flags = e->reply_flags;
    enum script_end end;

    e->to_us = false;
    e->relay_flags = 0;
    e->failed = 481; /* unless it sends it on, or says why not */
    end = go_inside(e, e->h) ? run(e) : SCRIPT_FAILED;
    e->reply_flags = reply_flags;
    return end;
}

bool script_frame(struct msrp_conn *m, const struct msrp_head *h, const char *p, size_t n, size_t *taken)
{
    struct relay *relay = m->relay; /* m may be gone at the end */
    struct conn *c = m->conn;
    struct event_paths paths;
    struct frame_event e = { .m = m, .h = h, .bytes = sv_make(p, n), .paths = &paths };
    enum script_end end;

    if (!m->relay->script && !(m->orders && (m->orders->decided || m->orders->wait)))
        return false;
    if (!m->orders) {
        m->orders = calloc(1, sizeof *m->orders);
        if (m->orders)
            dst_enter(m);
    }
    if (!m->orders || (!m->orders->decided && !m->orders->wait && !is_admitted(m, h)))
        return false;
    *taken = 0;
    if (m->orders->decided) { /* it had to wait */
        *taken = carry_out(m, h, p, n);
        return true;
    }
    if (!m->orders->wait && !fetch(m, h))
        return true;
    if (!m->orders->wait && is_too_much(m, h)) {
        *taken = h->n;
        return true;
    }
    e.o = m->orders;
    end = run(&e);
    if (end == SCRIPT_DONE && e.to_us && !e.is_default && !e.report)
        end = run_inside(&e);
    if (end == SCRIPT_WAITS)
        return true;
    e.h = h;
    e.outer = NULL;
    e.o->fetched = false;
    if (e.waits && !e.acted) { /* paused: the same again when there is a connection less being opened */
        orders_clear(m);
    } else if ((end == SCRIPT_FAILED || e.is_default) && !e.acted) {
        orders_clear(m);
        event_fini(relay, &e);
        return false;
    } else if (h->is_response) {
        *taken = response(m, &e);
        if (!c->ended) /* else m is gone, too */
            orders_clear(m);
    } else if (e.not_for_us && !e.relayed && !e.replied && !e.acted) {
        orders_clear(m);
        *taken = relay_not_for_us(m, h) ? n : h->n;
    } else {
        decide(&e);
        *taken = carry_out(m, h, p, n);
    }
    event_fini(relay, &e);
    return true;
}
