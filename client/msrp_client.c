/* An MSRP endpoint: sessions, requests and their answers. The sending of messages is in msrp_out.c,
 * authentication in msrp_auth.c. */
#include "client/msrp_client.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/msrp_priv.h"
#include "common/err.h"

enum { INS_MAX = 64 };

/* ---- the frame being read from a link ---- */

static struct wire *wire_of(struct mc_link *l)
{
    return l->user;
}

static void in_free(struct mc_in **mp)
{
    struct mc_in *m = *mp;

    if (!m)
        return;
    *mp = NULL;
    if (m->is_listed)
        list_remove(&m->node);
    buf_fini(&m->from);
    free(m);
}

static void wire_free(struct loop_defer *d)
{
    struct wire *w = TD_CONTAINER_OF(d, struct wire, free_later);

    in_free(&w->spare);
    buf_fini(&w->to);
    buf_fini(&w->own);
    free(w);
}

static void wire_next_turn(struct loop_defer *d)
{
    mc_out_pump_all(TD_CONTAINER_OF(d, struct wire, next_turn));
}

static struct wire *wire_new(void)
{
    struct wire *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    list_init(&w->sessions);
    w->free_later.run = wire_free;
    w->next_turn.run = wire_next_turn;
    return w;
}

static struct mc_session *find_session(struct mc_link *l, struct sv own)
{
    struct mc *mc = TD_CONTAINER_OF(l->net, struct mc, net);
    struct wire *w = wire_of(l);
    struct mc_uri u;
    uint64_t hash;

    if (!list_is_empty(&w->sessions)) { /* the only one, mostly */
        struct mc_session *s = list_item(w->sessions.next, struct mc_session, link_node);

        if (s->uri && sv_eq(sv_of(s->uri), own))
            return s;
    }
    if (!mc_uri_parse(own, &u) || u.session.n == 0)
        return NULL;
    hash = hash_bytes(u.session.p, u.session.n);
    for (struct hash_node *n = hash_first(&mc->sessions, hash); n; n = hash_next(n)) {
        struct mc_session *s = TD_CONTAINER_OF(n, struct mc_session, node);

        if (sv_eq(sv_of(s->id), u.session))
            return s;
    }
    return NULL;
}

static const char *code_text(unsigned code)
{
    switch (code) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 413:
        return "Stop Sending";
    case 415:
        return "Media Type Not Understood";
    case 481:
        return "No Such Session";
    case 501:
        return "Unknown Method";
    case 506:
        return "Session Bound To Another Connection";
    default:
        return "Refused";
    }
}

static void respond(struct mc_link *l, struct sv tid, struct sv to, struct sv own, unsigned code)
{
    const char digits[] = { ' ', (char)('0' + code / 100 % 10), (char)('0' + code / 10 % 10), (char)('0' + code % 10),
                            ' ' };

    mc_out_interrupt(l);
    mc_link_puts(l, SV("MSRP "));
    mc_link_puts(l, tid);
    mc_link_write(l, digits, sizeof digits);
    mc_link_puts(l, sv_of(code_text(code)));
    mc_link_puts(l, SV("\r\nTo-Path: "));
    mc_link_puts(l, to);
    mc_link_puts(l, SV("\r\nFrom-Path: "));
    mc_link_puts(l, own);
    mc_link_puts(l, SV("\r\n-------"));
    mc_link_puts(l, tid);
    mc_link_puts(l, SV("$\r\n"));
}

/* ---- receiving messages ---- */

static void in_drop(struct mc_session *s, struct mc_in *m, bool complete)
{
    s->mc->ops->in_done(s, m, complete);
    m->user = NULL;
}

static struct mc_in *in_find(struct mc_session *s, struct sv id)
{
    list_each(node, &s->ins) {
        struct mc_in *m = list_item(node, struct mc_in, node);

        if (sv_eq(sv_of(m->id), id))
            return m;
    }
    return NULL;
}

/* A message not seen before: into the wire's spare one. */
static unsigned in_start(struct wire *w, const struct mc_head *h, struct sv id)
{
    const struct sv *type = mc_head_get(h, SV("Content-Type")), *report = mc_head_get(h, SV("Success-Report"));
    struct mc_in *m = w->spare;
    unsigned code;
    size_t waiting = 0;

    list_each(node, &w->s->ins)
        waiting++;
    if (waiting >= INS_MAX)
        return 413;
    if (!m) {
        m = w->spare = calloc(1, sizeof *m);
        if (!m)
            return 413;
    }
    sv_copy(id, m->id, sizeof m->id);
    m->type[0] = '\0';
    if (type)
        sv_copy(sv_upto(*type, sizeof m->type - 1), m->type, sizeof m->type);
    m->total = MC_UNKNOWN;
    m->got.n = 0;
    m->wants_report = report && sv_eq_nocase(*report, SV("yes"));
    buf_clear(&m->from);
    if (m->wants_report)
        buf_add_sv(&m->from, h->from_path);
    w->m = m;
    code = w->s->mc->ops->in_begin(w->s, m);
    if (code != 200)
        w->m = NULL;
    return code;
}

/* Whose is it, may it come over this link, and is it sound? Returns the status. */
static unsigned send_begin(struct mc_link *l, struct wire *w, const struct mc_head *h, struct sv own, bool is_last)
{
    const struct sv *id = mc_head_get(h, SV("Message-ID")), *range = mc_head_get(h, SV("Byte-Range"));
    struct mc_session *s = is_last ? find_session(l, own) : NULL;

    w->range = (struct mc_range){ 1, MC_UNKNOWN, MC_UNKNOWN };
    if (!s || s->state != MC_S_READY)
        return 481;
    if (s->link && s->link != l)
        return 506;
    if (!id || !mc_is_ident(*id) || (range && !mc_range_parse(*range, &w->range)))
        return 400;
    w->s = s;
    if (!s->link)
        mc_session_bind(s, l);
    if (!h->has_body)
        return 200;
    w->m = in_find(s, *id);
    if (w->m)
        return w->m->total != MC_UNKNOWN && w->range.total != MC_UNKNOWN && w->range.total != w->m->total ? 400 : 200;
    return in_start(w, h, *id);
}

static void on_send(struct mc_link *l, struct wire *w, const struct mc_head *h)
{
    const struct sv *report = mc_head_get(h, SV("Failure-Report"));
    struct sv to = h->to_path, from = h->from_path, own, prev;
    bool is_last;

    w->kind = WIRE_SEND;
    w->answer_ok = !report || sv_eq_nocase(*report, SV("yes"));
    w->answer_bad = !report || !sv_eq_nocase(*report, SV("no"));
    w->got = 0;
    mc_path_next(&to, &own);
    mc_path_next(&from, &prev);
    is_last = to.n == 0;
    w->code = 0;
    sv_copy(h->tid, w->tid, sizeof w->tid);
    buf_clear(&w->to);
    buf_add_sv(&w->to, prev);
    buf_clear(&w->own);
    buf_add_sv(&w->own, own);
    w->code = send_begin(l, w, h, own, is_last);
}

static void on_send_body(struct wire *w, struct sv bytes)
{
    uint64_t pos = w->range.start + w->got;

    if (w->code != 200)
        return;
    w->got += bytes.n;
    if ((w->range.end != MC_UNKNOWN && w->range.start + w->got - 1 > w->range.end) ||
        (w->range.total != MC_UNKNOWN && w->range.start + w->got - 1 > w->range.total))
        w->code = 400;
    else
        w->s->mc->ops->in_body(w->s, w->m, pos, bytes);
}

static void send_success_report(struct mc_link *l, struct mc_session *s, const struct mc_in *m)
{
    char tid[MC_IDENT_MAX + 1], line[128];
    int n;

    snprintf(tid, sizeof tid, "%sr%x", s->tid_prefix, s->message_no++);
    mc_out_interrupt(l);
    n = snprintf(line, sizeof line, "MSRP %s REPORT\r\nTo-Path: ", tid);
    mc_link_write(l, line, (size_t)n);
    mc_link_puts(l, buf_sv(&m->from));
    mc_link_puts(l, SV("\r\nFrom-Path: "));
    mc_link_puts(l, sv_of(s->uri));
    n = snprintf(line, sizeof line, "\r\nMessage-ID: %s\r\nByte-Range: 1-%llu/%llu\r\n", m->id,
                 (unsigned long long)m->total, (unsigned long long)m->total);
    mc_link_write(l, line, (size_t)n);
    n = snprintf(line, sizeof line, "Status: 000 200 OK\r\n-------%s$\r\n", tid);
    mc_link_write(l, line, (size_t)n);
}

/* The chunk's end: is what came what was announced? */
static void chunk_judge(struct wire *w, char flag)
{
    struct mc_in *m = w->m;
    uint64_t end = w->range.start + w->got - 1;

    if (m->total == MC_UNKNOWN)
        m->total = w->range.total;
    if (m->total == MC_UNKNOWN && flag == '$')
        m->total = end;
    if ((flag == '$' && m->total != end) || !span_add(&m->got, w->range.start, w->got))
        w->code = 400;
}

/* Is the message complete, over, or is more to come? */
static void chunk_done(struct mc_link *l, struct wire *w, char flag)
{
    struct mc_session *s = w->s;
    struct mc_in *m = w->m;
    bool is_complete = w->code == 200 && flag != '#' && m->total != MC_UNKNOWN && span_is_full(&m->got, m->total);

    if (is_complete || flag == '#' || w->code != 200) {
        w->m = NULL;
        if (is_complete && m->wants_report)
            send_success_report(l, s, m);
        in_drop(s, m, is_complete);
        if (m->is_listed)
            in_free(&m);
    } else if (!m->is_listed) {
        m->is_listed = true;
        list_append(&s->ins, &m->node);
        w->spare = NULL;
    }
}

static void on_send_end(struct mc_link *l, struct wire *w, char flag)
{
    struct mc_session *s = w->s;

    if (s && w->m && w->code == 200)
        chunk_judge(w, flag);
    /* answered first: a report about the message stands behind the 200 of its last chunk */
    if (w->code == 200 ? w->answer_ok : w->answer_bad)
        respond(l, sv_of(w->tid), buf_sv(&w->to), buf_sv(&w->own), w->code);
    if (s && w->code == 200 && !s->has_heard) {
        s->has_heard = true;
        if (s->mc->ops->heard)
            s->mc->ops->heard(s);
    }
    if (w->s && w->m)
        chunk_done(l, w, flag);
}

/* ---- the other frames ---- */

static void on_report(struct mc_link *l, const struct mc_head *h, struct sv own)
{
    const struct sv *id = mc_head_get(h, SV("Message-ID")), *status = mc_head_get(h, SV("Status"));
    const struct sv *range = mc_head_get(h, SV("Byte-Range"));
    struct mc_range r = { 1, MC_UNKNOWN, MC_UNKNOWN };
    struct mc_session *s = find_session(l, own);
    uint64_t code;

    if (!s || !id || !status || status->n < 7 || !sv_starts(*status, SV("000 ")) ||
        !sv_to_u64(sv_make(status->p + 4, 3), &code, NULL) || (range && !mc_range_parse(*range, &r)))
        return;
    mc_out_report(s, *id, &r, (unsigned)code);
}

static void on_head(struct mc_link *l, const struct mc_head *h)
{
    struct wire *w = wire_of(l);
    struct sv to = h->to_path, own = { "", 0 };
    struct mc_session *s;

    w->s = NULL;
    w->m = NULL;
    w->kind = WIRE_OTHER;
    mc_path_next(&to, &own);
    if (h->method.n == 0) {
        s = find_session(l, own);
        if (!s || s->link != l)
            return;
        if (sv_eq(h->tid, sv_of(s->auth_tid)))
            mc_auth_answer(s, h);
        else
            mc_out_answer(s, h);
    } else if (sv_eq(h->method, SV("SEND"))) {
        on_send(l, w, h);
    } else if (sv_eq(h->method, SV("REPORT"))) {
        on_report(l, h, own);
    } else {
        respond(l, h->tid, h->from_path, own, 501);
    }
}

static void on_body(struct mc_link *l, struct sv bytes)
{
    struct wire *w = wire_of(l);

    if (w->kind == WIRE_SEND && w->s && w->m)
        on_send_body(w, bytes);
}

static void on_end(struct mc_link *l, char flag)
{
    struct wire *w = wire_of(l);

    if (w->kind == WIRE_SEND)
        on_send_end(l, w, flag);
    w->s = NULL;
    w->m = NULL;
}

/* ---- links ---- */

void mc_session_bind(struct mc_session *s, struct mc_link *l)
{
    s->link = l;
    list_append(&wire_of(l)->sessions, &s->link_node);
}

static void on_up(struct mc_link *l)
{
    struct wire *w = wire_of(l);

    if (!w) {
        w = wire_new();
        l->user = w;
        if (!w) {
            mc_link_close(l, "out of memory");
            return;
        }
    }
    if (!list_is_empty(&w->sessions)) {
        struct mc_session *s = list_item(w->sessions.next, struct mc_session, link_node);

        if (s->state == MC_S_CONNECTING)
            mc_auth_start(s);
    }
    mc_out_pump_all(w);
}

static void on_drained(struct mc_link *l)
{
    mc_out_pump_all(wire_of(l));
}

static void drop_ins(struct mc_session *s)
{
    while (!list_is_empty(&s->ins)) {
        struct mc_in *m = list_item(s->ins.next, struct mc_in, node);

        list_remove(&m->node);
        m->is_listed = false;
        in_drop(s, m, false);
        in_free(&m);
    }
}

static void on_down(struct mc_link *l, const char *why)
{
    struct wire *w = wire_of(l);
    bool was_accepted = l->is_accepted;

    if (!w)
        return;
    if (w->s && w->m && !w->m->is_listed && w->code == 200)
        in_drop(w->s, w->m, false); /* in the middle of its first chunk */
    while (!list_is_empty(&w->sessions)) {
        struct mc_session *s = list_item(w->sessions.next, struct mc_session, link_node);

        list_remove(&s->link_node);
        s->link = NULL;
        drop_ins(s);
        mc_out_lost(s, why);
        if (s->state != MC_S_DEAD && !was_accepted)
            mc_session_fail(s, 0, why);
    }
    l->user = NULL;
    loop_defer(l->net->loop, &w->free_later);
}

static const struct mc_link_ops link_ops = { on_up, on_head, on_body, on_end, on_drained, on_down };

/* ---- sessions ---- */

int mc_init(struct mc *mc, struct loop *loop, const struct mc_ops *ops, const struct mc_opts *opts,
            const struct mc_tls_opts *tls, struct buf *fault)
{
    int err;

    memset(mc, 0, sizeof *mc);
    mc->ops = ops;
    mc->opts = *opts;
    err = hash_init(&mc->sessions, 6);
    if (err)
        return err;
    err = mc_net_init(&mc->net, loop, &link_ops, tls, fault);
    if (err)
        hash_fini(&mc->sessions);
    return err;
}

void mc_fini(struct mc *mc)
{
    mc_net_fini(&mc->net);
    hash_fini(&mc->sessions);
}

void mc_session_fail(struct mc_session *s, unsigned code, const char *why)
{
    if (s->state == MC_S_DEAD)
        return;
    s->state = MC_S_DEAD;
    mc_out_lost(s, why);
    s->mc->ops->failed(s, code, why);
}

static void session_free_now(struct loop_defer *d)
{
    struct mc_session *s = TD_CONTAINER_OF(d, struct mc_session, free_later);

    free(s->uri);
    free(s->path);
    free(s->use_path);
    free(s->to_path);
    free(s->relay_uri);
    free(s->auth_user);
    free(s->auth_password);
    free(s->challenge);
    free(s->auth_to);
    free(s->txns);
    free(s);
}

void mc_session_free(struct mc_session **sp)
{
    struct mc_session *s = *sp;
    struct mc_link *l;

    if (!s)
        return;
    *sp = NULL;
    s->state = MC_S_DEAD;
    l = s->link;
    drop_ins(s);
    mc_out_forget(s);
    loop_timer_stop(s->mc->net.loop, &s->txn_timer);
    loop_timer_stop(s->mc->net.loop, &s->refresh_timer);
    hash_remove(&s->mc->sessions, &s->node);
    if (l) {
        struct wire *w = wire_of(l);

        s->link = NULL;
        list_remove(&s->link_node);
        if (w->s == s) {
            if (w->m && !w->m->is_listed && w->code == 200)
                in_drop(s, w->m, false);
            w->s = NULL;
            w->m = NULL;
        }
        if (list_is_empty(&w->sessions))
            mc_link_finish(l);
    }
    loop_defer(s->mc->net.loop, &s->free_later);
}

static struct mc_session *session_alloc(struct mc *mc, void *ctx)
{
    struct mc_session *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->mc = mc;
    s->user = ctx;
    s->window = MC_WINDOW;
    s->free_later.run = session_free_now;
    list_init(&s->link_node);
    list_init(&s->ins);
    list_init(&s->outs);
    list_init(&s->flight);
    mc_out_init(s);
    mc_auth_init(s);
    mc_random_name(mc, s->id, sizeof s->id - 1);
    mc_random_name(mc, s->tid_prefix, sizeof s->tid_prefix - 1);
    hash_insert(&mc->sessions, &s->node, hash_bytes(s->id, sizeof s->id - 1));
    return s;
}

void mc_random_name(struct mc *mc, char *out, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    for (size_t i = 0; i < n;) {
        uint8_t v;

        rng_bytes(&mc->net.rng, &v, 1);
        if ((v & 63) < 62)
            out[i++] = digits[v & 63];
    }
    out[n] = '\0';
}

char *mc_own_uri(struct mc_session *s, const struct addr *at, bool tls)
{
    char text[ADDR_TEXT_MAX], uri[160];

    snprintf(uri, sizeof uri, "msrp%s://%s/%s;tcp", tls ? "s" : "", addr_text(at, text), s->id);
    return sv_dup(sv_of(uri));
}

int mc_session_new_relay(struct mc_session **out, struct mc *mc, const char *relay, const char *user,
                         const char *password, void *ctx)
{
    struct mc_session *s;
    struct buf uri = BUF_INIT;
    struct wire *w = NULL;
    char host[256];
    struct mc_uri u;
    int err;

    *out = NULL;
    buf_puts(&uri, relay);
    if (!strchr(relay, ';'))
        buf_puts(&uri, ";tcp");
    if (buf_failed(&uri) || !mc_uri_parse(buf_sv(&uri), &u) || u.session.n || !sv_copy(u.host, host, sizeof host)) {
        buf_fini(&uri);
        return TD_EINVAL;
    }
    s = session_alloc(mc, ctx);
    if (!s) {
        buf_fini(&uri);
        return TD_ENOMEM;
    }
    err = TD_ENOMEM;
    s->auth_user = sv_dup(sv_of(user));
    s->auth_password = sv_dup(sv_of(password));
    s->relay_uri = sv_dup(buf_sv(&uri));
    w = wire_new();
    if (!s->auth_user || !s->auth_password || !s->relay_uri || !w)
        goto out;
    err = mc_link_dial(&s->link, &mc->net, host, u.port ? u.port : 2855, u.is_tls, w);
    if (err)
        goto out;
    mc_session_bind(s, s->link);
    w = NULL;
    *out = s;
    s = NULL;
out:
    buf_fini(&uri);
    if (w)
        wire_free(&w->free_later);
    mc_session_free(&s);
    return err;
}

int mc_session_new_beside(struct mc_session **out, struct mc_session *other, void *ctx)
{
    struct mc_session *s;

    *out = NULL;
    if (!other->link || !mc_link_is_up(other->link) || !other->relay_uri)
        return TD_ECLOSED;
    s = session_alloc(other->mc, ctx);
    if (!s)
        return TD_ENOMEM;
    s->auth_user = sv_dup(sv_of(other->auth_user));
    s->auth_password = sv_dup(sv_of(other->auth_password));
    s->relay_uri = sv_dup(sv_of(other->relay_uri));
    if (!s->auth_user || !s->auth_password || !s->relay_uri) {
        mc_session_free(&s);
        return TD_ENOMEM;
    }
    s->link = other->link;
    mc_session_bind(s, s->link);
    mc_auth_start(s);
    *out = s;
    return TD_OK;
}

int mc_session_new_direct(struct mc_session **out, struct mc *mc, const struct addr *listen, bool tls, void *ctx)
{
    struct mc_session *s = session_alloc(mc, ctx);

    *out = NULL;
    if (!s)
        return TD_ENOMEM;
    s->uri = mc_own_uri(s, listen, tls);
    s->path = s->uri ? sv_dup(sv_of(s->uri)) : NULL;
    s->use_path = sv_dup(SV(""));
    if (!s->path || !s->use_path) {
        mc_session_free(&s);
        return TD_ENOMEM;
    }
    s->state = MC_S_READY;
    *out = s;
    return TD_OK;
}

bool mc_session_set_peer(struct mc_session *s, struct sv path, bool via_own_relay)
{
    struct buf b = BUF_INIT;

    if (!mc_path_is_valid(path) || !s->use_path)
        return false;
    if (via_own_relay && s->use_path[0]) {
        buf_puts(&b, s->use_path);
        buf_putc(&b, ' ');
    }
    buf_add_sv(&b, path);
    free(s->to_path);
    s->to_path = buf_failed(&b) ? NULL : sv_dup(buf_sv(&b));
    buf_fini(&b);
    if (!s->to_path)
        return false;
    mc_out_pump(s);
    return true;
}

int mc_session_dial(struct mc_session *s, const char *host, uint16_t port)
{
    struct sv path = sv_of(s->to_path), first;
    struct wire *w;
    struct mc_uri u;
    char name[256];
    int err;

    if (s->link || !s->to_path || !mc_path_next(&path, &first) || !mc_uri_parse(first, &u) ||
        !sv_copy(u.host, name, sizeof name) || (u.port == 0 && !host))
        return TD_EINVAL;
    w = wire_new();
    if (!w)
        return TD_ENOMEM;
    err = mc_link_dial(&s->link, &s->mc->net, host ? host : name, host ? port : u.port, u.is_tls, w);
    if (err) {
        wire_free(&w->free_later);
        return err;
    }
    mc_session_bind(s, s->link);
    return TD_OK;
}
