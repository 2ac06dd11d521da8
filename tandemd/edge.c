/* The edge: builds the parts in order, runs the control thread, takes them down in reverse. */
#include "tandemd/edge.h"

#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>
#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "auth/nonce.h"
#include "common/err.h"
#include "db/startup.h"
#include "net/listener.h"
#include "tandemd/edge_private.h"
#include "tandemd/observer.h"
#include "tandemd/privileges.h"
#include "tandemd/versions.h"

enum { DRAIN_POLL_MS = 50, LAST_FLUSH_MS = 1000, SIP_IDLE_MS = 600000, SIP_MESSAGE_MS = 30000, SIP_DIAL_MS = 10000 };
_Static_assert(SIP_IDLE_MS >= 64 * 500, "RFC 3261 s.18: a connection is kept for 64*T1 after its last use");

static void raise_descriptor_limit(const struct conf *conf)
{
    struct rlimit lim;
    /* a SIP flow takes three, everything else one, and some for files */
    rlim_t need = (rlim_t)conf->limits.connections * 3 + 256;

    if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
        return;
    if (lim.rlim_cur < need && lim.rlim_cur < lim.rlim_max) {
        lim.rlim_cur = TD_MIN(need, lim.rlim_max);
        setrlimit(RLIMIT_NOFILE, &lim);
    }
    if (lim.rlim_cur < (rlim_t)conf->limits.connections)
        log_warn("edge", 0, "only %lu descriptors may be open: limits.connections = %lld will not be reached",
                 (unsigned long)lim.rlim_cur, (long long)conf->limits.connections);
}

int64_t edge_keep_s(const struct conf *conf)
{
    return conf->accounting.keep * 86400;
}

struct ws_settings edge_ws(const struct conf *conf)
{
    return (struct ws_settings){
        .max_message = (size_t)(conf->websocket.max_message + conf->msrp.max_header),
        .ping_s = (uint32_t)conf->websocket.ping_interval,
        .tls_in_front = conf->websocket.tls_in_front,
        .origins = &conf->websocket.origins,
    };
}

uint64_t edge_memory_limit(const struct conf *conf)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

    if (conf->limits.memory)
        return (uint64_t)conf->limits.memory;
    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size / 2 : 0;
}

/* ---- ports ---- */

static uint8_t bits_of(const struct conf_list *words, const char *const *names, const uint8_t *bits, size_t n)
{
    uint8_t all = 0;

    for (size_t i = 0; i < n; i++)
        if (conf_list_has(words, names[i]))
            all |= bits[i];
    return all;
}

static int open_ports(struct edge *e, struct edge_worker *w)
{
    static const char *const transports[] = { "udp", "tcp", "tls", "ws", "wss" }, *const protocols[] = { "sip", "msrp" };
    static const uint8_t transport_bits[] = { PORT_UDP, PORT_TCP, PORT_TLS, PORT_WS, PORT_WSS },
                         protocol_bits[] = { PORT_SIP, PORT_MSRP };
    const struct conf *conf = e->conf;

    for (size_t i = 0; i < conf->n_listen; i++) {
        const struct conf_listen *l = &conf->listen[i];
        uint8_t t = bits_of(&l->transports, transports, transport_bits, TD_ARRAY_LEN(transports));
        uint8_t p = bits_of(&l->protocols, protocols, protocol_bits, TD_ARRAY_LEN(protocols));

        if (!(t & ~PORT_UDP))
            continue;
        for (size_t k = 0; k < l->address.n; k++) {
            struct listener **grown = realloc(w->listeners, (w->n_listeners + 1) * sizeof *grown);
            struct addr at;
            int err, fd;

            if (!grown)
                return TD_ENOMEM;
            w->listeners = grown;
            addr_from_text(&at, sv_of(l->address.v[k]));
            fd = handover_take(&e->handover, &at);
            if (fd >= 0)
                err = listener_adopt(&w->listeners[w->n_listeners], &w->worker, fd, t, p);
            else
                err = listener_new(&w->listeners[w->n_listeners], &w->worker, &at, t, p);
            if (err) {
                log_error("edge", 0, "cannot listen on %s (listen.%s): %s", l->address.v[k], l->name, td_err_text(err));
                return err;
            }
            w->n_listeners++;
        }
    }
    return TD_OK;
}

static void close_ports(struct edge_worker *w)
{
    while (w->n_listeners)
        listener_free(&w->listeners[--w->n_listeners]);
}

/* Who connects from now on waits for the next process, if there is to be one. */
static void leave_ports(struct edge *e)
{
    for (unsigned i = 0; i < e->n_workers; i++)
        for (size_t k = 0; k < e->workers[i].n_listeners; k++)
            handover_leave(listener_fd(e->workers[i].listeners[k]));
}

/* ---- workers ---- */

static int worker_start(struct edge *e, unsigned index)
{
    struct edge_worker *w = &e->workers[index];
    int err = worker_init(&w->worker, index, &e->next_conn_id);

    if (err)
        return err;
    e->n_workers++;
    w->edge = e;
    w->worker.limits = e->limits;
    w->worker.memory = &e->memory;
    w->worker.tls = e->tls;
    w->worker.first_line_ms = e->conf->msrp.probation * 1000;
    w->worker.ws = edge_ws(e->conf);
    return open_ports(e, w);
}

/* S-SEC-05; the SIP process has asked already, for what it sends itself. */
static bool may_dial_sip(void *arg, const struct addr *a)
{
    return reach_allows(arg, a);
}

static int worker_equip(struct edge *e, struct edge_worker *w)
{
    const struct pump_limits limits = {
        .idle_ms = SIP_IDLE_MS,
        .message_ms = SIP_MESSAGE_MS,
        .dial_ms = SIP_DIAL_MS,
        .may_dial = may_dial_sip,
        .may_dial_arg = &e->sip_reach,
    };
    const struct authn_opts opts = {
        .db = e->db,
        .mailbox = loop_mailbox(w->worker.loop),
        .nonces = e->nonces,
        .uri_ok = relay_uri_ok,
    };
    int err = db_feed_new(&w->feed, e->db);

    if (!err)
        err = resolver_new(&w->worker.resolver, w->worker.loop, &e->conf->dns.servers);
    if (!err)
        err = authn_new(&w->authn, &opts, e->conf);
    if (!err)
        err = relay_new(&w->relay, e->relay_shared, &w->worker, w->authn);
    if (!err)
        err = pump_new(&w->pump, &w->worker, &limits);
    if (err)
        return err;
    w->worker.protos[PROTO_SIP] = (struct proto_slot){ &pump_proto, w->pump };
    observer_attach(&w->worker, w->feed);
    return TD_OK;
}

static void *worker_thread(void *arg)
{
    struct edge_worker *w = arg;

    loop_run(w->worker.loop);
    return NULL;
}

/* ---- stopping ---- */

static void on_last_flush(struct wheel_timer *t)
{
    struct edge_worker *w = TD_CONTAINER_OF(t, struct edge_worker, stop_timer);

    if (list_is_empty(&w->worker.conns) || loop_now_ms(w->worker.loop) >= w->stop_at_ms)
        loop_stop(w->worker.loop);
    else
        loop_timer_start(w->worker.loop, t, DRAIN_POLL_MS);
}

/* On the worker: say good-bye to everybody, flush, then end the loop. */
static void on_worker_stop(struct post *p)
{
    struct edge_worker *w = TD_CONTAINER_OF(p, struct edge_worker, stop_post);

    list_each_safe(node, &w->worker.conns)
        conn_finish(list_item(node, struct conn, all_node), CLOSE_STOP);
    w->stop_at_ms = loop_now_ms(w->worker.loop) + LAST_FLUSH_MS;
    wheel_timer_init(&w->stop_timer, on_last_flush);
    loop_timer_start(w->worker.loop, &w->stop_timer, DRAIN_POLL_MS);
}

/* On the worker: no new connections, no new sessions; what is under way goes on. */
static void on_worker_drain(struct post *p)
{
    struct edge_worker *w = TD_CONTAINER_OF(p, struct edge_worker, drain_post);

    close_ports(w);
    relay_drain(w->relay);
}

static bool is_drained(const struct edge *e)
{
    uint64_t open = 0;

    for (unsigned i = 0; i < e->n_workers; i++)
        open += stats_get(&e->workers[i].worker.stats, STAT_msrp_transactions) +
                stats_get(&e->workers[i].worker.stats, STAT_msrp_chunks) +
                (uint64_t)__atomic_load_n(&e->workers[i].worker.pool.held, __ATOMIC_RELAXED); /* messages nobody answers */
    return open == 0;
}

static void on_drain_poll(struct wheel_timer *t)
{
    struct edge *e = TD_CONTAINER_OF(t, struct edge, drain_timer);

    if (!is_drained(e) && loop_now_ms(e->loop) < e->drain_until_ms) {
        loop_timer_start(e->loop, t, DRAIN_POLL_MS);
        return;
    }
    loop_stop(e->loop);
}

static void begin_stop(struct edge *e)
{
    if (e->stopping) { /* asked twice: at once */
        loop_stop(e->loop);
        return;
    }
    e->stopping = true;
    log_info("edge", 0, "stopping");
#ifdef HAVE_SYSTEMD
    sd_notify(0, "STOPPING=1");
#endif
    leave_ports(e);
    for (unsigned i = 0; i < e->n_workers; i++) {
        e->workers[i].drain_post.fn = on_worker_drain;
        mailbox_post(loop_mailbox(e->workers[i].worker.loop), &e->workers[i].drain_post);
    }
    pthread_mutex_lock(&e->reload_lock); /* the operator's thread may be at it */
    e->drain_until_ms = loop_now_ms(e->loop) + (uint64_t)e->conf->server.drain_time * 1000;
    pthread_mutex_unlock(&e->reload_lock);
    loop_timer_start(e->loop, &e->drain_timer, DRAIN_POLL_MS);
}

/* ---- signals and the SIP process ---- */

static void on_signal(struct loop_io *io, uint32_t events)
{
    struct edge *e = TD_CONTAINER_OF(io, struct edge, signal_io);
    struct signalfd_siginfo si;

    while (read(io->fd, &si, sizeof si) == sizeof si) {
        if (si.ssi_signo == SIGHUP) {
            struct buf live = BUF_INIT, restart = BUF_INIT, faults = BUF_INIT;

            edge_reload(e, &live, &restart, &faults);
            buf_fini(&live);
            buf_fini(&restart);
            buf_fini(&faults);
        } else {
            begin_stop(e);
        }
    }
}

static void on_sip_ready(void *arg)
{
    struct edge *e = arg;
    struct buf names = BUF_INIT;
    struct buf why = BUF_INIT;
    const struct conf *conf = e->conf; /* its thread may reload as soon as it runs */
    const struct rpc_options rpc = { .path = conf->server.control, .version = VERSION_TEXT, .backend = &e->backend };

    if (e->is_ready)
        return;
    if (rpc_start(&e->rpc, &rpc, &why) != TD_OK) {
        log_error("edge", 0, "%s", why.p ? why.p : "cannot open the control socket");
        buf_fini(&why);
        e->exit_err = TD_EIO;
        loop_stop(e->loop);
        return;
    }
    e->is_ready = true;
    for (size_t i = 0; i < conf->n_listen; i++)
        for (size_t k = 0; k < conf->listen[i].address.n; k++) {
            buf_printf(&names, " %s", conf->listen[i].address.v[k]);
            for (size_t t = 0; t < conf->listen[i].transports.n; t++)
                buf_printf(&names, "%c%s", t ? ',' : '/', conf->listen[i].transports.v[t]);
        }
    log_info("edge", 0, "ready%s control=%s workers=%u", names.p ? names.p : "", conf->server.control, e->n_workers);
    buf_fini(&names);
    buf_fini(&why);
#ifdef HAVE_SYSTEMD
    sd_notify(0, "READY=1");
#endif
}

static void on_sip_failed(void *arg, const char *reason)
{
    struct edge *e = arg;

    e->exit_err = TD_EIO;
    loop_stop(e->loop);
}

static bool serves(const struct conf *conf, const char *protocol)
{
    for (size_t i = 0; i < conf->n_listen; i++)
        if (conf_list_has(&conf->listen[i].protocols, protocol))
            return true;
    return false;
}

/* ---- all of it ---- */

static int block_signals(struct edge *e)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    e->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (e->signal_fd < 0)
        return td_err_from_errno(errno);
    e->signal_io.ready = on_signal;
    return loop_add(e->loop, &e->signal_io, e->signal_fd, LOOP_READ);
}

static int open_database(struct edge *e)
{
    struct buf why = BUF_INIT;
    int err = db_open(&e->db, e->conf->server.database, &why);

    if (!err) {
        err = db_conn_close_stale(e->db, (int64_t)time(NULL));
        if (!err)
            err = db_loc_drop_streams(e->db);
        if (!err)
            err = db_secret(e->db, "mark", e->mark_secret);
        if (!err)
            err = db_conn_max_id(e->db, &e->next_conn_id);
        if (err)
            db_fault(e->db, &why);
    }
    if (err)
        log_error("edge", 0, "%s", why.p ? why.p : td_err_text(err));
    buf_fini(&why);
    return err;
}

static bool restore_session(const struct db_session *row, void *arg)
{
    struct edge *e = arg;
    struct session_past past = {
        .uri = row->use_path,
        .client = row->peer_uri,
        .username = row->username,
        .domain = row->domain,
        .source = row->srcaddr,
        .socket = row->srcsock,
        .created_at = (uint64_t)row->created,
        .expires_at = (uint64_t)row->expires,
        .last_activity_at = (uint64_t)row->last_activity,
        .resumed = row->resumed,
        .frames_in = row->frames_in,
        .frames_out = row->frames_out,
        .bytes_in = row->bytes_in,
        .bytes_out = row->bytes_out,
    };
    unsigned worker = (unsigned)(e->n_restored % e->n_workers);
    bool taken = relay_restore(e->relay_shared, worker, &past);

    e->n_restored += taken;
    return taken;
}

/* The sessions of the last process wait for their owners as if their connections had broken just now. Without them (the database is
 * held by somebody) we can serve all the same. */
static void restore_sessions(struct edge *e)
{
    int64_t now = (int64_t)time(NULL);
    int err = db_session_take_over(e->db, now, now + e->conf->msrp.auth_min_expires, restore_session, e);

    if (err)
        log_warn("edge", 0, "the sessions of the last run are not all taken over: %s", td_err_text(err));
    if (e->n_restored)
        log_info("edge", 0, "sessions to be resumed: %zu", e->n_restored);
}

static int open_tls(struct edge *e)
{
    const struct tlsio_settings set = tlsio_settings_of(e->conf);
    struct buf fault = BUF_INIT;
    int err = tlsio_server_new(&e->tls, &set, &fault);

    if (err)
        log_error("edge", 0, "%s", fault.p ? fault.p : td_err_text(err));
    buf_fini(&fault);
    return err;
}

/* RFC 4976 s.4.2 wants a name there, which certificates and other relays can go by (M-TOK-01). */
static void warn_of_address(const struct conf *conf)
{
    struct addr literal;

    if (serves(conf, "msrp") && (!*conf->msrp.use_path_addr || addr_from_text(&literal, sv_of(conf->msrp.use_path_addr))))
        log_warn("edge", 0, "Use-Path names an IP address, which is for labs and closed networks: msrp.use_path_addr should be NAME:PORT");
}

static int open_relay(struct edge *e)
{
    struct buf fault = BUF_INIT;
    int err = relay_shared_new(&e->relay_shared, e->conf, e->n_workers, &observer_relay, &fault);

    if (!err)
        err = reach_init_sip(&e->sip_reach, e->conf, &fault);
    if (err)
        log_error("edge", 0, "%s", fault.p ? fault.p : td_err_text(err));
    buf_fini(&fault);
    warn_of_address(e->conf);
    return err;
}

static int build(struct edge *e)
{
    const struct conf *conf = e->conf;
    unsigned n = conf->server.workers ? (unsigned)conf->server.workers : (unsigned)TD_MAX(sysconf(_SC_NPROCESSORS_ONLN), 1L);
    const struct sipproc_events events = { .ready = on_sip_ready, .up = backend_on_sip_up, .ban = backend_on_sip_ban, .failed = on_sip_failed, .arg = e };
    int err = loop_new(&e->loop);

    if (!err)
        err = block_signals(e);
    if (!err)
        err = limits_new(&e->limits, (uint64_t)conf->limits.connections, (uint64_t)conf->limits.connections_per_address);
    if (!err)
        limits_set_requests(e->limits, (uint64_t)conf->limits.requests_per_second, (uint64_t)conf->limits.ban_time);
    if (!err)
        limits_watch(e->limits, backend_on_ban, e);
    if (!err)
        err = open_tls(e);
    memory_set(&e->memory, edge_memory_limit(conf));
    if (!err)
        err = nonces_new(&e->nonces);
    e->workers = calloc(n, sizeof *e->workers);
    e->pumps = calloc(n, sizeof(struct pump *));
    if (!err && (!e->workers || !e->pumps))
        err = TD_ENOMEM;
    handover_begin(&e->handover);
    for (unsigned i = 0; !err && i < n; i++)
        err = worker_start(e, i);
    handover_end(&e->handover);
    for (unsigned i = 0; !err && i < n; i++)
        e->workers[i].worker.next = &e->workers[(i + 1) % n].worker;
    if (!err)
        err = privileges_drop(conf->server.user, conf->server.database, conf->server.control);
    if (!err)
        err = open_database(e);
    if (!err)
        err = open_relay(e);
    for (unsigned i = 0; !err && i < n; i++) {
        err = worker_equip(e, &e->workers[i]);
        e->pumps[i] = e->workers[i].pump;
    }
    if (!err) {
        restore_sessions(e);
        db_keep(e->db, edge_keep_s(e->conf));
        err = db_start(e->db);
    }
    if (!err)
        err = scripts_start(e);
    for (unsigned i = 0; !err && i < n; i++) {
        e->workers[i].started = pthread_create(&e->workers[i].thread, NULL, worker_thread, &e->workers[i]) == 0;
        if (!e->workers[i].started)
            err = TD_ENOMEM;
    }
    if (!err) {
        backend_init(e);
        if (serves(conf, "sip"))
            err = sipproc_start(&e->sipproc, e->loop, conf, e->mark_secret, e->pumps, n, &e->stats, &events);
        else
            on_sip_ready(e);
    }
    return err;
}

static void take_down(struct edge *e)
{
    rpc_stop(&e->rpc);
    for (unsigned i = 0; i < e->n_workers; i++)
        if (e->workers[i].started) {
            e->workers[i].stop_post.fn = on_worker_stop;
            mailbox_post(loop_mailbox(e->workers[i].worker.loop), &e->workers[i].stop_post);
        }
    for (unsigned i = 0; i < e->n_workers; i++)
        if (e->workers[i].started)
            pthread_join(e->workers[i].thread, NULL);
    if (e->sipproc)
        sipproc_stop(&e->sipproc);
    for (unsigned i = 0; i < e->n_workers; i++) {
        close_ports(&e->workers[i]);
        free(e->workers[i].listeners);
        pump_free(&e->workers[i].pump);
        if (e->workers[i].relay)
            relay_stop(e->workers[i].relay);
        conn_close_all(&e->workers[i].worker, CLOSE_STOP);
    }
    for (unsigned i = 0; i < e->n_workers; i++)
        db_feed_free(&e->workers[i].feed);
    if (e->db)
        db_stop(e->db); /* answers what is asked, into the mailboxes */
    for (unsigned i = 0; i < e->n_workers; i++) {
        authn_free(&e->workers[i].authn);
        worker_fini(&e->workers[i].worker);
    }
    for (unsigned i = 0; i < e->n_workers; i++)
        relay_free(&e->workers[i].relay);
    script_shared_free(&e->script_shared);
    relay_shared_free(&e->relay_shared);
    reach_fini(&e->sip_reach);
    backend_fini(e);
    db_close(&e->db);
    free(e->workers);
    free(e->pumps);
    tlsio_server_free(&e->tls);
    limits_free(&e->limits);
    nonces_free(&e->nonces);
    loop_free(&e->loop);
    if (e->signal_fd >= 0)
        close(e->signal_fd);
    while (e->n_old_confs)
        conf_free(&e->old_confs[--e->n_old_confs]);
    free(e->old_confs);
    conf_free(&e->conf);
}

int edge_run(const struct edge_start *start)
{
    struct edge *e = calloc(1, sizeof *e);
    int err;

    if (!e)
        return TD_ENOMEM;
    e->start = start;
    e->conf = start->conf;
    e->signal_fd = -1;
    e->signal_io.fd = -1;
    wheel_timer_init(&e->drain_timer, on_drain_poll);
    raise_descriptor_limit(e->conf);
    err = build(e);
    if (!err) {
        loop_run(e->loop);
        err = e->exit_err;
    }
    take_down(e);
    if (!err)
        log_info("edge", 0, "stopped");
    free(e);
    return err;
}
