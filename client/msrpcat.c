/* msrpcat: a command line MSRP user agent, to try and script a relay. The SIP side of `call` and `answer`
 * is in sip_call.c; see msrpcat(1). */
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/cat_in.h"
#include "client/cat_opts.h"
#include "client/sdp.h"
#include "client/sip_call.h"
#include "common/err.h"

enum { FLUSH_MS = 2000, PROGRESS_MS = 200, SIP_STEP_MS = 10, HEARD_MS = 10000 };

struct cat {
    struct cat_opts o;

    /* what goes on */
    struct loop *loop;
    struct mc mc;
    struct mc_listener *listener;
    struct mc_session *s;
    struct sip_ua *ua;
    struct cat_in in;
    struct wheel_timer timer; /* grace, or waiting for the peer's first request */
    struct wheel_timer progress;
    struct cat_item *shown;   /* whose progress is shown */
    uint64_t shown_since;
    bool is_bar_shown, items_sent, is_active, is_waiting_grace, is_concluded, call_ended, is_over;
    size_t items_done;
    unsigned long received;
    int status;
};

static volatile sig_atomic_t interrupted;
static struct loop *loop_of_signals;

static void on_signal(int sig)
{
    interrupted = 1;
    loop_stop(loop_of_signals);
}

static void say(struct cat *c, const char *fmt, ...) TD_PRINTF(2, 3);
static void say(struct cat *c, const char *fmt, ...)
{
    va_list ap;

    if (c->is_bar_shown)
        fputs("\r\033[K", stderr);
    c->is_bar_shown = false;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

static void fail(struct cat *c, const char *what, const char *why)
{
    say(c, "msrpcat: %s: %s", what, why);
    c->status = 1;
    c->is_over = true;
}

static void on_trace(void *arg, struct sv text)
{
    fwrite(text.p, 1, text.n, stderr);
}

/* ---- the end ---- */

/* Everything asked for has happened: hang up, or stop. */
static void conclude(struct cat *c)
{
    c->is_concluded = true;
    if (c->ua && !c->call_ended && c->o.mode == MODE_CALL)
        sip_ua_bye(c->ua);
    else
        c->is_over = true;
}

static bool is_all_sent(const struct cat *c)
{
    return c->items_sent && c->items_done == c->o.n_items;
}

static bool is_done(const struct cat *c)
{
    return is_all_sent(c) && c->received >= c->o.count;
}

/* Go on to the end when everything asked for is sent and received. */
static void check_done(struct cat *c)
{
    if (c->is_waiting_grace)
        return;
    switch (c->o.mode) {
    case MODE_LISTEN:
        c->is_over = c->is_over || (c->o.count && c->received >= c->o.count);
        return;
    case MODE_ANSWER:
        c->is_over = c->is_over || (c->call_ended && is_all_sent(c));
        return;
    case MODE_CALL:
        if (c->o.n_items == 0 && c->o.count == 0)
            return; /* until somebody hangs up */
        break;
    case MODE_SEND:
        break;
    }
    if (!is_done(c))
        return;
    /* a 200 of the first hop may be followed by a failure report, unless that hop is the far end itself */
    if (c->status || c->o.wants_report || c->o.n_items == 0 || !strchr(c->s->to_path, ' ')) {
        conclude(c);
        return;
    }
    c->is_waiting_grace = true;
    loop_timer_start(c->loop, &c->timer, c->o.grace_ms);
}

static void on_timer(struct wheel_timer *t)
{
    struct cat *c = TD_CONTAINER_OF(t, struct cat, timer);

    if (c->is_waiting_grace)
        conclude(c);
    else if (c->call_ended)
        c->is_over = true;
    else
        fail(c, "the far end", "no request from it in time");
}

/* ---- progress ---- */

static const char *size_text(uint64_t n, char out[32])
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
    double v = (double)n;
    size_t u = 0;

    while (v >= 1000 && u + 1 < TD_ARRAY_LEN(units)) {
        v /= 1000;
        u++;
    }
    snprintf(out, 32, u ? "%.1f %s" : "%.0f %s", v, units[u]);
    return out;
}

static void show_bar(struct cat *c, const char *verb, uint64_t did, uint64_t total, uint64_t ms)
{
    char a[32], b[32], rate[32], bar[33];
    int filled = total && total != MC_UNKNOWN ? (int)(did * 32 / total) : 0;

    memset(bar, '.', sizeof bar - 1);
    memset(bar, '#', (size_t)TD_MIN(filled, 32));
    bar[sizeof bar - 1] = '\0';
    size_text(did * 1000 / TD_MAX(ms, (uint64_t)1), rate);
    if (total == MC_UNKNOWN)
        fprintf(stderr, "\r\033[K%s %s, %s/s", verb, size_text(did, a), rate);
    else
        fprintf(stderr, "\r\033[K%s [%s] %s of %s, %s/s", verb, bar, size_text(did, a), size_text(total, b), rate);
    c->is_bar_shown = true;
}

static void on_progress(struct wheel_timer *t)
{
    struct cat *c = TD_CONTAINER_OF(t, struct cat, progress);
    uint64_t now = loop_now_ms(c->loop);
    struct cat_item *it = NULL;

    for (size_t i = 0; !it && i < c->o.n_items; i++)
        if (c->o.items[i].out && c->o.items[i].out->sent)
            it = &c->o.items[i];
    if (it != c->shown || (!it && !c->in.front)) {
        c->shown = it;
        c->shown_since = now;
    }
    if (now - c->shown_since >= 1000) {
        if (it)
            show_bar(c, "sent", it->out->acked, it->size, now - c->shown_since);
        else
            show_bar(c, "received", c->in.front_octets, c->in.front->total, now - c->shown_since);
    } else if (c->is_bar_shown) {
        fputs("\r\033[K", stderr);
        c->is_bar_shown = false;
    }
    loop_timer_start(c->loop, t, PROGRESS_MS);
}

/* ---- sending ---- */

static void send_items(struct cat *c)
{
    if (c->items_sent)
        return;
    c->items_sent = true;
    for (size_t i = 0; i < c->o.n_items; i++) {
        struct cat_item *it = &c->o.items[i];
        struct mc_out what = { .type = it->type,
                               .mem = it->text,
                               .size = it->size,
                               .chunk = c->o.chunk,
                               .success_report = c->o.wants_report,
                               .no_failure_report = c->o.no_failure_report,
                               .user = it };

        it->s = c->s;
        it->out = mc_session_send(c->s, &what);
        if (!it->out) {
            fail(c, it->name, "out of memory");
            return;
        }
    }
    check_done(c);
}

/* The active end sends first, a SEND without a body when it has nothing else: that is what joins the connection and
 * the session. */
static void send_hello(struct cat *c)
{
    struct mc_out hello = { .type = NULL };

    if (!mc_session_send(c->s, &hello))
        fail(c, "first request", "out of memory");
}

static long on_pull(struct mc_session *s, struct mc_out *m, char *p, size_t n)
{
    struct cat *c = s->user;

    return cat_item_pull(m->user, c->loop, p, n);
}

static void on_out_done(struct mc_session *s, struct mc_out *m, unsigned code, const char *why)
{
    struct cat *c = s->user;
    struct cat_item *it = m->user;

    if (code != 200) {
        say(c, "msrpcat: %s: not delivered: %s", it ? it->name : "first request", why);
        c->status = 1;
    }
    if (!it)
        return;
    it->out = NULL;
    cat_item_close(it, c->loop);
    c->items_done++;
    check_done(c);
}

static void on_late_failure(struct mc_session *s, struct sv id, unsigned code)
{
    struct cat *c = s->user;

    say(c, "msrpcat: not delivered: failure report %u", code);
    c->status = 1;
}

/* ---- receiving ---- */

static unsigned on_in_begin(struct mc_session *s, struct mc_in *m)
{
    struct cat *c = s->user;

    return cat_in_begin(&c->in, m) ? 200 : 413;
}

static void on_in_body(struct mc_session *s, struct mc_in *m, uint64_t pos, struct sv bytes)
{
    struct cat *c = s->user;

    cat_in_body(&c->in, m, pos, bytes);
    if (c->in.failed)
        fail(c, "output", "cannot go on");
}

static void on_in_done(struct mc_session *s, struct mc_in *m, bool complete)
{
    struct cat *c = s->user;

    cat_in_done(&c->in, m, complete);
    if (!complete) {
        say(c, "msrpcat: a message ended before it was complete");
        c->status = 1;
    }
    c->received++;
    check_done(c);
}

static void on_heard(struct mc_session *s)
{
    struct cat *c = s->user;

    if (c->o.mode != MODE_CALL && c->o.mode != MODE_ANSWER)
        return;
    loop_timer_stop(c->loop, &c->timer);
    send_items(c);
}

/* ---- SIP ---- */

static bool offer_or_answer(struct cat *c, enum mc_setup setup, struct buf *out)
{
    struct sv own = sv_of(c->s->uri);
    char host[256];
    struct mc_uri u;

    if (!mc_uri_parse(own, &u) || !sv_copy(u.host, host, sizeof host))
        return false;
    mc_sdp_write(out, sv_of(host), u.port, u.is_tls, sv_of(c->s->path), setup);
    return !buf_failed(out);
}

/* The session can begin: who speaks first? */
static void begin(struct cat *c)
{
    if (!c->is_active) {
        if (c->s->has_heard)
            send_items(c);
        else
            loop_timer_start(c->loop, &c->timer, HEARD_MS);
        return;
    }
    if (!c->o.relay) {
        int err = mc_session_dial(c->s, NULL, 0);

        if (err) {
            fail(c, "the far end", td_err_text(err));
            return;
        }
    }
    send_hello(c);
    send_items(c);
}

static void on_registered(void *arg, int status, const char *phrase)
{
    struct cat *c = arg;
    struct buf sdp = BUF_INIT;

    if (status >= 300) {
        char why[160];

        snprintf(why, sizeof why, "%d %s", status, phrase);
        fail(c, "REGISTER", why);
        return;
    }
    say(c, "registered: %s", c->o.aor);
    if (c->o.mode == MODE_CALL && !c->s->to_path) {
        if (offer_or_answer(c, MC_SETUP_ACTPASS, &sdp))
            sip_ua_invite(c->ua, c->o.target, buf_sv(&sdp));
        else
            fail(c, "INVITE", "out of memory");
    }
    buf_fini(&sdp);
}

static void start_sip(struct cat *c)
{
    struct buf sdp = BUF_INIT;

    if (c->o.do_register || c->o.mode == MODE_ANSWER) {
        sip_ua_register(c->ua);
    } else {
        if (offer_or_answer(c, MC_SETUP_ACTPASS, &sdp))
            sip_ua_invite(c->ua, c->o.target, buf_sv(&sdp));
        else
            fail(c, "INVITE", "out of memory");
    }
    buf_fini(&sdp);
}

static void on_answered(void *arg, struct sv text)
{
    struct cat *c = arg;
    const char *fault = "";
    struct mc_sdp sdp;

    if (!mc_sdp_read(text, &sdp, &fault) || !mc_session_set_peer(c->s, sdp.path, c->o.relay != NULL)) {
        say(c, "msrpcat: the answer: %s", fault);
        c->status = 1;
        sip_ua_bye(c->ua);
        return;
    }
    c->is_active = sdp.setup != MC_SETUP_ACTIVE;
    begin(c);
}

static void on_invited(void *arg, struct sv from, struct sv text)
{
    struct cat *c = arg;
    const char *fault = "no memory";
    struct buf answer = BUF_INIT;
    struct mc_sdp sdp;
    enum mc_setup setup = MC_SETUP_NONE;

    if (!mc_sdp_read(text, &sdp, &fault) || !mc_session_set_peer(c->s, sdp.path, c->o.relay != NULL)) {
        say(c, "msrpcat: the offer from " SV_FMT ": %s", SV_ARG(from), fault);
        sip_ua_reject(c->ua, 488, "Not Acceptable Here");
        return;
    }
    c->is_active = sdp.setup == MC_SETUP_PASSIVE;
    if (sdp.setup != MC_SETUP_NONE)
        setup = c->is_active ? MC_SETUP_ACTIVE : MC_SETUP_PASSIVE;
    say(c, "call from: " SV_FMT, SV_ARG(from));
    if (offer_or_answer(c, setup, &answer))
        sip_ua_accept(c->ua, buf_sv(&answer));
    else
        sip_ua_reject(c->ua, 500, "Out Of Memory");
    buf_fini(&answer);
}

static void on_refused(void *arg, int status, const char *phrase)
{
    char why[160];

    snprintf(why, sizeof why, "%d %s", status, phrase);
    fail(arg, "INVITE", why);
}

static void on_established(void *arg)
{
    begin(arg);
}

static void on_ended(void *arg)
{
    struct cat *c = arg;

    c->call_ended = true;
    if (c->o.mode == MODE_CALL) {
        if (!is_done(c) && (c->o.n_items || c->o.count))
            fail(c, "the call", "ended by the far end before all was done");
        c->is_over = true;
        return;
    }
    if (c->received < c->o.count) {
        fail(c, "the call", "ended by the far end before all was done");
        return;
    }
    /* what was sent last may still be answered: the BYE does not travel with the messages */
    check_done(c);
    if (!c->is_over)
        loop_timer_start(c->loop, &c->timer, c->o.grace_ms);
}

static const struct sip_ua_ops sip_ops = {
    on_registered, on_invited, on_answered, on_refused, on_established, on_ended
};

/* ---- the session ---- */

static void on_ready(struct mc_session *s)
{
    struct cat *c = s->user;

    switch (c->o.mode) {
    case MODE_LISTEN:
        say(c, "path: %s", s->path);
        break;
    case MODE_SEND:
        if (!mc_session_set_peer(s, sv_of(c->o.target), c->o.relay != NULL)) {
            fail(c, c->o.target, "not a path of MSRP URIs");
        } else if (!c->o.relay) {
            int err = mc_session_dial(s, NULL, 0);

            if (err) {
                fail(c, c->o.target, td_err_text(err));
                break;
            }
        }
        send_items(c);
        break;
    case MODE_CALL:
    case MODE_ANSWER:
        start_sip(c);
        break;
    }
}

static void on_failed(struct mc_session *s, unsigned code, const char *why)
{
    struct cat *c = s->user;

    /* without a relay the far end may close first when all is done, before its BYE is here */
    if (!c->is_concluded && (c->o.relay || !is_done(c)))
        fail(c, "MSRP connection", why);
}

static const struct mc_ops ops = {
    .ready = on_ready,
    .failed = on_failed,
    .in_begin = on_in_begin,
    .in_body = on_in_body,
    .in_done = on_in_done,
    .out_pull = on_pull,
    .out_done = on_out_done,
    .heard = on_heard,
    .late_failure = on_late_failure,
};

/* ---- start ---- */

/* Our address as the host sees it. */
static bool local_towards(const char *host, char out[ADDR_TEXT_MAX])
{
    struct addrinfo hints = { .ai_socktype = SOCK_DGRAM }, *list = NULL;
    char bare[256];
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    struct sv name = sv_of(host);
    struct addr a;
    bool ok = false;
    int fd;

    if (name.n > 2 && name.p[0] == '[')
        name = sv_make(name.p + 1, name.n - 2);
    if (!sv_copy(name, bare, sizeof bare) || getaddrinfo(bare, "5060", &hints, &list) != 0)
        return false;
    fd = socket(list->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, list->ai_addr, list->ai_addrlen) == 0 &&
        getsockname(fd, (struct sockaddr *)&ss, &len) == 0) {
        addr_from_socket(&a, &ss);
        addr_host_text(&a, out);
        ok = true;
    }
    if (fd >= 0)
        close(fd);
    freeaddrinfo(list);
    return ok;
}

/* Without a relay: listen here, on the address towards the far end when there is one. */
static int start_direct(struct cat *c, struct buf *fault)
{
    struct addr at;
    char host[ADDR_TEXT_MAX] = "127.0.0.1";
    int err;

    if (c->o.listen_at) {
        if (!addr_from_text(&at, sv_of(c->o.listen_at))) {
            buf_printf(fault, "--listen: not ADDRESS:PORT: %s", c->o.listen_at);
            return TD_EINVAL;
        }
    } else {
        if (c->o.sip_host[0])
            local_towards(c->o.sip_host, host);
        addr_from_host(&at, sv_of(host), 0);
    }
    err = mc_listener_new(&c->listener, &c->mc.net, &at, c->o.tls.certificate != NULL);
    if (!err)
        err = mc_session_new_direct(&c->s, &c->mc, &at, c->o.tls.certificate != NULL, c);
    if (err) {
        buf_printf(fault, "cannot listen: %s", td_err_text(err));
        return err;
    }
    on_ready(c->s);
    return TD_OK;
}

static int start(struct cat *c, struct buf *fault)
{
    int err = mc_init(&c->mc, c->loop, &ops, &c->o.mc_opts, &c->o.tls, fault);
    char host[ADDR_TEXT_MAX];

    if (err)
        return err;
    if (c->o.trace)
        c->mc.net.trace = on_trace;
    if (c->o.aor && (c->o.mode == MODE_CALL || c->o.mode == MODE_ANSWER)) {
        struct sip_ua_opts so = { .aor = c->o.aor,
                                  .proxy = c->o.sip_hop,
                                  .user = c->o.user,
                                  .password = c->o.password,
                                  .bind_host = host,
                                  .tls = c->o.sip_tls,
                                  .no_verify = c->o.tls.no_verify,
                                  .trace = c->o.trace ? on_trace : NULL };

        if (!local_towards(c->o.sip_host, host)) {
            buf_printf(fault, "%s: not reachable", c->o.sip_host);
            return TD_ENOENT;
        }
        err = sip_ua_new(&c->ua, &so, &sip_ops, c, fault);
        if (err)
            return err;
    }
    if (!c->o.relay)
        return start_direct(c, fault);
    err = mc_session_new_relay(&c->s, &c->mc, c->o.relay, c->o.user ? c->o.user : "",
                               c->o.password ? c->o.password : "", c);
    if (err)
        buf_printf(fault, "%s: %s", c->o.relay, err == TD_EINVAL ? "not msrp[s]://HOST:PORT" : td_err_text(err));
    return err;
}

static void run(struct cat *c)
{
    while (!c->is_over && !interrupted) {
        if (c->ua)
            sip_ua_step(c->ua);
        if (c->is_over)
            break;
        loop_turn(c->loop, c->ua ? SIP_STEP_MS : -1);
    }
}

/* Let the last answers and reports out. */
static void finish(struct cat *c)
{
    uint64_t end;

    mc_session_free(&c->s);
    end = loop_now_ms(c->loop) + FLUSH_MS;
    while (!list_is_empty(&c->mc.net.links) && loop_now_ms(c->loop) < end)
        loop_turn(c->loop, 50);
    mc_listener_free(&c->listener);
    sip_ua_free(&c->ua);
}

int main(int argc, char **argv)
{
    static struct cat c;
    struct sigaction sa = { .sa_handler = on_signal };
    struct buf fault = BUF_INIT;
    int err;

    cat_opts_read(&c.o, argc, argv);
    signal(SIGPIPE, SIG_IGN);
    if (loop_new(&c.loop) < 0) {
        fputs("msrpcat: no event loop\n", stderr);
        return 2;
    }
    loop_of_signals = c.loop;
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    cat_in_init(&c.in, STDOUT_FILENO);
    wheel_timer_init(&c.timer, on_timer);
    wheel_timer_init(&c.progress, on_progress);
    if (isatty(STDERR_FILENO) && !c.o.trace)
        loop_timer_start(c.loop, &c.progress, PROGRESS_MS);
    err = start(&c, &fault);
    if (err) {
        fprintf(stderr, "msrpcat: %s\n", buf_sv(&fault).p);
        c.status = 2;
    } else {
        run(&c);
        if (interrupted && c.o.mode != MODE_LISTEN && c.o.mode != MODE_ANSWER)
            c.status = 1;
    }
    finish(&c);
    if (c.mc.ops)
        mc_fini(&c.mc);
    cat_in_fini(&c.in);
    loop_free(&c.loop);
    buf_fini(&fault);
    cat_opts_fini(&c.o);
    return c.status;
}
