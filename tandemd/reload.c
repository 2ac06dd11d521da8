/* Reading the configuration again while everything runs. */
#include <stdlib.h>

#include "db/cred.h"
#include "tandemd/edge_private.h"

/* On a worker: its authentication, its WebSockets and how long it waits for a first line follow the new configuration. */
struct reconfigure {
    struct post post;
    struct edge_worker *w;    /* back */
    const struct conf *conf;  /* borrowed: kept until the end */
};

static void on_reconfigure(struct post *p)
{
    struct reconfigure *r = TD_CONTAINER_OF(p, struct reconfigure, post);

    bool tls_in_front = r->w->worker.ws.tls_in_front; /* the SIP process has no listeners for it but from the start */

    authn_configure(r->w->authn, r->conf);
    r->w->worker.first_line_ms = r->conf->msrp.probation * 1000;
    r->w->worker.ws = edge_ws(r->conf);
    r->w->worker.ws.tls_in_front = tls_in_front;
    free(r);
}

/* The old configuration stays in memory: a worker may be reading it. A reload is rare and a configuration small. */
static int keep_old(struct edge *e, struct conf *old)
{
    struct conf **grown = realloc(e->old_confs, (e->n_old_confs + 1) * sizeof *grown);

    if (!grown)
        return -1;
    e->old_confs = grown;
    grown[e->n_old_confs++] = old;
    return 0;
}

/* On the control thread, which owns the SIP process. */
struct sip_reconfigure {
    struct post post;
    struct edge *e;           /* back */
    const struct conf *conf;  /* borrowed: kept until the end */
};

static void on_sip_reconfigure(struct post *p)
{
    struct sip_reconfigure *r = TD_CONTAINER_OF(p, struct sip_reconfigure, post);

    if (r->e->sipproc)
        sipproc_configure(r->e->sipproc, r->conf);
    free(r);
}

static void reconfigure_sip(struct edge *e, const struct conf *conf)
{
    struct sip_reconfigure *r = calloc(1, sizeof *r);

    if (!r)
        return;
    r->e = e;
    r->conf = conf;
    r->post.fn = on_sip_reconfigure;
    mailbox_post(loop_mailbox(e->loop), &r->post);
}

static void apply(struct edge *e, struct conf *conf, struct buf *faults)
{
    const struct tlsio_settings set = tlsio_settings_of(conf);
    size_t before;

    log_set_level(conf->server.log_level);
    limits_set(e->limits, (uint64_t)conf->limits.connections, (uint64_t)conf->limits.connections_per_address);
    memory_set(&e->memory, edge_memory_limit(conf));
    limits_set_requests(e->limits, (uint64_t)conf->limits.requests_per_second, (uint64_t)conf->limits.ban_time);
    if (tlsio_server_reload(e->tls, &set, faults) != 0)
        log_faults("edge", "certificates not reloaded", faults->n ? faults->p : "out of memory");
    if (faults->n)
        buf_putc(faults, '\n');
    before = faults->n;
    if (scripts_reload(e, conf, faults) != 0)
        log_faults("edge", "script not reloaded, the old one stays", faults->n > before ? faults->p + before : "out of memory");
    db_cred_flush(e->db);
    db_keep(e->db, edge_keep_s(conf));
    relay_configure(e->relay_shared, conf);
    reconfigure_sip(e, conf);
    for (unsigned i = 0; i < e->n_workers; i++) {
        struct reconfigure *r = calloc(1, sizeof *r);

        if (!r)
            continue;
        r->w = &e->workers[i];
        r->conf = conf;
        r->post.fn = on_reconfigure;
        mailbox_post(loop_mailbox(e->workers[i].worker.loop), &r->post);
    }
}

int edge_reload(struct edge *e, struct buf *live, struct buf *restart, struct buf *faults)
{
    struct conf *conf;
    int err;

    pthread_mutex_lock(&e->reload_lock);
    err = conf_load(&conf, e->start->file, e->start->overrides, e->start->n_overrides, faults);
    if (err) {
        log_faults("edge", "reload refused, the running configuration stays", faults->n ? faults->p : "out of memory");
    } else if (keep_old(e, e->conf) < 0) {
        conf_free(&conf);
        err = -1;
    } else {
        conf_diff(e->conf, conf, live, restart);
        apply(e, conf, faults);
        e->conf = conf;
        log_info("edge", 0, "reloaded: changed=%s", live->p && live->n ? live->p : "none");
        if (restart->n)
            log_warn("edge", 0, "a restart is needed for: %s", restart->p);
    }
    pthread_mutex_unlock(&e->reload_lock);
    return err;
}
