/* The SIP process: puts its parts together and runs Sofia's loop. */
#include "sip/process.h"

#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "auth/authn.h"
#include "auth/nonce.h"
#include "common/crypto.h"
#include "common/err.h"
#include "common/log.h"
#include "common/mailbox.h"
#include "db/cred.h"
#include "db/db.h"
#include "db/feed.h"
#include "net/limit.h"
#include "sip/answered.h"
#include "sip/datagram.h"
#include "sip/dns.h"
#include "sip/errand.h"
#include "sip/fork.h"
#include "sip/hop.h"
#include "sip/location.h"
#include "sip/request.h"
#include "sip/script.h"
#include "sip/sipd.h"
#include "sip/sofia.h"
#include "sip/undelivered.h"

enum { EXIT_GOOD = 0, EXIT_RESOURCE = 2, SWEEP_MS = OVERLOAD_SWEEP_MS, EXPIRY_SWEEP_S = 30, HASH_LOG2 = 8, LAST_MAILS = 1000 };

/* A runaway parser must not take the machine's memory; sanitizers need theirs by the terabyte. */
static void limit_memory(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    const rlim_t most = (rlim_t)4 << 30;
    struct rlimit r = { .rlim_cur = most, .rlim_max = most };

    if (setrlimit(RLIMIT_AS, &r) < 0)
        log_warn("sip", 0, "cannot limit the address space: %s", strerror(errno));
#endif
}

static int on_message(struct sipd *d, nta_agent_t *nta, msg_t *msg, sip_t *sip)
{
    if (sip->sip_request)
        request_start(d, msg, sip);
    else if (sip->sip_status)
        answered_response(d, msg, sip);
    else
        nta_msg_discard(nta, msg);
    return 0;
}

static bool has_ended(void *arg, uint64_t conn_id)
{
    return flow_has_ended(arg, conn_id);
}

/* ---- what the edge tells ---- */

static void use_limits(struct sipd *d)
{
    limits_set_requests(d->limits, (uint64_t)d->conf->limits.requests_per_second, (uint64_t)d->conf->limits.ban_time);
}

/* Nobody is, when they cannot be read. */
static void use_trusted(struct sipd *d)
{
    struct buf fault = BUF_INIT;

    reach_fini(&d->trusted);
    if (reach_init(&d->trusted, "sip.trusted", &d->conf->sip.trusted, &fault) != TD_OK)
        log_error("sip", 0, "%s", fault.n ? fault.p : "sip.trusted: out of memory");
    buf_fini(&fault);
}

static void on_conf(void *arg, int fd)
{
    struct sipd *d = arg;
    struct buf faults = BUF_INIT;
    struct conf *conf;
    char path[32];

    snprintf(path, sizeof path, "/dev/fd/%d", fd);
    if (conf_load(&conf, path, NULL, 0, &faults) != TD_OK) {
        log_faults("sip", "the new configuration was not taken", faults.n ? faults.p : "out of memory");
        buf_fini(&faults);
        close(fd);
        return;
    }
    close(fd);
    d->conf = conf;
    stack_configure(d->stack, conf);
    conf_free(&d->own_conf);
    d->own_conf = conf;
    log_set_level(conf->server.log_level);
    authn_configure(d->authn, conf);
    db_cred_flush(d->db);
    use_limits(d);
    use_trusted(d);
    if (sipscript_configure(d, conf, &faults) != TD_OK)
        log_faults("sip", "script not reloaded, the old one stays", faults.n ? faults.p : "out of memory");
    buf_fini(&faults);
    log_info("sip", 0, "the SIP process has the new configuration");
}

static void on_ban(void *arg, const struct addr *a, uint32_t seconds)
{
    struct sipd *d = arg;

    if (seconds)
        limits_ban(d->limits, a, seconds, "");
    else
        limits_unban(d->limits, a);
}

static void on_forget(void *arg)
{
    struct sipd *d = arg;

    db_cred_flush(d->db);
}

static bool may_pass(void *arg, const struct addr *source, bool is_request)
{
    struct sipd *d = arg;
    enum limits_verdict v = LIMITS_DROP;

    if (is_request)
        v = limits_datagram(d->limits, source);
    else if (!limits_is_banned(d->limits, source))
        return true;
    if (v == LIMITS_BAN)
        flows_ban(d->flows, source, LIMITS_REQUESTS);
    if (v != LIMITS_PASS)
        stats_inc(&d->shared->stats, STAT_sip_datagrams_dropped);
    return v == LIMITS_PASS;
}

static void set_gauge(struct stats *s, enum stat_id id, size_t value)
{
    stats_add(s, id, (int64_t)(value - stats_get(s, id)));
}

static void look_for_overload(struct sipd *d)
{
    struct overload_state s = { .transactions_max = (size_t)d->conf->limits.transactions, .datagrams_percent = datagram_percent(),
                                .unwritten_ms = location_unwritten_ms(d->location) };
    usize_t incoming = 0, outgoing = 0;

    nta_agent_get_stats(d->nta, NTATAG_S_IRQ_HASH_USED_REF(incoming), NTATAG_S_ORQ_HASH_USED_REF(outgoing), TAG_END());
    s.transactions = incoming + outgoing;
    if (!s.transactions_max)
        s.transactions_max = overload_transactions_max((uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE));
    overload_note(&d->overload, &s, sipd_now_ms());
}

static void on_sweep(su_root_magic_t *magic, su_timer_t *t, su_timer_arg_t *arg)
{
    struct sipd *d = arg;
    int64_t now = sipd_time();
    size_t n_forks = 0;

    look_for_overload(d);
    hops_sweep(d, sipd_now_ms());
    fork_sweep(d);
    list_each(node, &d->forks)
        n_forks++;
    limits_sweep(d->limits);
    set_gauge(&d->shared->stats, STAT_sip_transactions, n_forks);
    set_gauge(&d->shared->stats, STAT_sip_registered, location_count(d->location));
    if (now - d->swept_at >= EXPIRY_SWEEP_S) {
        d->swept_at = now;
        location_sweep(d->location, now, has_ended, d->flows);
    }
}

static int on_mail(su_root_magic_t *magic, su_wait_t *w, su_wakeup_arg_t *arg)
{
    struct sipd *d = arg;

    mailbox_run(d->mailbox);
    return 0;
}

static bool is_host_of(struct sv uri, struct sv *host)
{
    size_t colon = sv_find(uri, ':');
    struct sv rest = sv_from(uri, colon + 1);
    size_t at = sv_find(rest, '@'), n = 0;

    if (colon == uri.n)
        return false;
    if (at < rest.n)
        rest = sv_from(rest, at + 1);
    while (n < rest.n && !strchr(":;?>", rest.p[n]))
        n++;
    *host = sv_upto(rest, n);
    return n > 0;
}

/* The digest's uri may differ from the Request-URI (proxies rewrite that), but must be of the same host: S-AUT-06. */
static bool uri_ok(struct sv given, struct sv request_uri, struct sv method)
{
    struct sv a, b;

    if (sv_eq(given, request_uri))
        return true;
    return is_host_of(given, &a) && is_host_of(request_uri, &b) && sv_eq_nocase(a, b);
}

static int open_database(struct sipd *d, struct buf *fault)
{
    int err = db_open(&d->db, d->conf->server.database, fault);

    if (err)
        return err;
    err = mailbox_new(&d->mailbox);
    if (!err)
        err = location_new(&d->location, d->db, d->mailbox);
    if (!err)
        err = location_load(d->location, sipd_time());
    if (!err)
        err = db_start(d->db);
    if (!err && d->conf->accounting.enabled)
        err = db_feed_new(&d->feed, d->db);
    return err;
}

static int make_auth(struct sipd *d)
{
    struct authn_opts o = { .db = d->db, .mailbox = d->mailbox, .uri_ok = uri_ok };
    int err = nonces_new(&d->nonces);

    if (err)
        return err;
    o.nonces = d->nonces;
    return authn_new(&d->authn, &o, d->conf);
}

/* The edge has seen that it is sound before the first start; should it be broken when this process is started again, the built-in
 * routing is the strict one. */
static int make_script(struct sipd *d, struct buf *fault)
{
    struct buf faults = BUF_INIT;
    int err = script_shared_new(&d->script_shared, d->conf, d->apis, d->n_apis, fault);

    if (!err && sipscript_configure(d, d->conf, &faults) != TD_OK)
        log_error("sip", 0, "no script, the built-in routing has all requests: %s", faults.n ? faults.p : "out of memory");
    buf_fini(&faults);
    return err;
}

static int watch_mailbox(struct sipd *d)
{
    su_wait_t w[1];

    if (su_wait_create(w, mailbox_fd(d->mailbox), SU_WAIT_IN) < 0)
        return TD_ENOMEM;
    d->mail_wait = su_root_register(d->root, w, on_mail, (su_wakeup_arg_t *)d, 0);
    return d->mail_wait < 0 ? TD_ENOMEM : TD_OK;
}

static int build(struct sipd *d, struct buf *fault)
{
    struct addr listener;
    int err = hash_init(&d->answered, HASH_LOG2);

    if (!err)
        err = open_database(d, fault);
    if (!err)
        err = stack_new(&d->stack, d->conf, d, on_message, fault);
    if (err)
        return err;
    d->root = stack_root(d->stack);
    d->nta = stack_agent(d->stack);
    err = reach_init_sip(&d->reach, d->conf, fault);
    use_trusted(d);
    if (!err)
        err = dns_new(&d->dns, d->root, d->conf);
    if (!err)
        err = watch_mailbox(d);
    if (!err)
        err = make_auth(d);
    if (!err)
        err = make_script(d, fault);
    if (!err)
        err = flows_start(d->flows, d->root, nta_agent_tports(d->nta));
    if (err)
        return err;
    for (size_t i = 0; stack_listener(d->stack, &i, &listener);)
        if (!flows_self_test(d->flows, &listener)) {
            buf_puts(fault, "accept() is not interposed: this executable was linked without exporting it");
            return TD_EUNSUPP;
        }
    return TD_OK;
}

static void take_down(struct sipd *d)
{
    datagram_admit(NULL, NULL);
    datagram_returns(NULL, NULL);
    if (d->db)
        db_stop(d->db); /* every request that waits for the database gets an answer */
    for (int i = 0; d->mailbox && d->n_requests && i < LAST_MAILS; i++)
        mailbox_run(d->mailbox);
    if (d->nta)
        forks_fini(d);
    errands_fini(d);
    undelivered_fini(d);
    dns_free(&d->dns);
    authn_free(&d->authn);
    flows_free(&d->flows);
    reach_fini(&d->reach);
    reach_fini(&d->trusted);
    if (d->mail_wait >= 0)
        su_root_deregister(d->root, d->mail_wait);
    stack_free(&d->stack);
    location_free(&d->location);
    nonces_free(&d->nonces);
    db_feed_free(&d->feed);
    mailbox_free(&d->mailbox);
    db_close(&d->db);
    hash_fini(&d->answered);
    sipscript_fini(d);
    limits_free(&d->limits);
    crypto_mac_free(&d->mac);
    conf_free(&d->own_conf);
}

static int run(struct sipd *d)
{
    su_timer_t *sweep = su_timer_create(su_root_task(d->root), SWEEP_MS);
    uint16_t ports[PUMP_KIND_N][2];

    if (!sweep || su_timer_set_for_ever(sweep, on_sweep, (su_timer_arg_t *)d) < 0)
        return EXIT_RESOURCE;
    datagram_admit(may_pass, d);
    datagram_returns(undelivered_error, d);
    stack_ports(d->stack, ports);
    flows_ready(d->flows, ports);
    su_root_run(d->root);
    su_timer_destroy(sweep);
    return EXIT_GOOD;
}

int sip_process_main(const struct conf *conf, int control_fd, const struct script_api *const *apis, size_t n_apis)
{
    struct sipd d = { .conf = conf, .apis = apis, .n_apis = n_apis, .mail_wait = -1 };
    struct buf fault = BUF_INIT;
    const struct flows_events events = { .conf = on_conf, .ban = on_ban, .forget = on_forget, .arg = &d };
    struct pump_rec hello;
    struct sv said;
    int err, status;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    limit_memory();
    su_init();
    if (limits_new(&d.limits, 0, 0) != TD_OK)
        return EXIT_RESOURCE;
    use_limits(&d);
    list_init(&d.forks);
    list_init(&d.offers);
    list_init(&d.errands);
    list_init(&d.answered_list);
    list_init(&d.undelivered);
    err = flows_new(&d.flows, control_fd, &hello, &d.shared, &events);
    if (err) {
        log_error("sip", 0, "no edge on descriptor %d: %s", control_fd, td_err_text(err));
        return EXIT_RESOURCE;
    }
    said = sv_of(hello.text);
    if (said.n <= PUMP_RUN_LEN || crypto_mac_new(&d.mac, sv_upto(said, said.n - PUMP_RUN_LEN)) != TD_OK) {
        log_error("sip", 0, "the edge has sent no secret");
        return EXIT_RESOURCE;
    }
    sv_copy(sv_from(said, said.n - PUMP_RUN_LEN), d.run, sizeof d.run);
    err = build(&d, &fault);
    if (err) {
        const char *why = fault.n ? fault.p : td_err_text(err);

        log_error("sip", 0, "%s", why);
        flows_fault(d.flows, why);
        status = EXIT_RESOURCE;
    } else {
        status = run(&d);
    }
    take_down(&d);
    buf_fini(&fault);
    su_deinit();
    return status;
}

const char *sip_process_library_version(void)
{
    return SOFIA_SIP_VERSION;
}
