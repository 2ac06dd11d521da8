/* A loop in Sofia's loop. */
#include "sip/dns.h"

#include <stdlib.h>

#include "common/err.h"
#include "common/loop.h"

struct dns {
    su_root_t *root;            /* borrowed */
    struct loop *loop;          /* owned */
    struct resolver *resolver;  /* owned */
    su_wait_t wait[1];
    int wait_index;
    su_timer_t *timer;          /* owned: for the loop's timers */
    struct locate_dns table;
    struct rng rng;
};

static void on_timer(su_root_magic_t *magic, su_timer_t *t, su_timer_arg_t *arg);

static void rearm(struct dns *d)
{
    int ms = loop_wait_ms(d->loop);

    if (ms < 0)
        su_timer_reset(d->timer);
    else
        su_timer_set_interval(d->timer, on_timer, (su_timer_arg_t *)d, (su_duration_t)TD_MAX(ms, 1));
}

static void turn(struct dns *d)
{
    loop_turn(d->loop, 0);
    rearm(d);
}

static void on_timer(su_root_magic_t *magic, su_timer_t *t, su_timer_arg_t *arg)
{
    turn((struct dns *)arg);
}

static int on_ready(su_root_magic_t *magic, su_wait_t *w, su_wakeup_arg_t *arg)
{
    turn((struct dns *)arg);
    return 0;
}

/* ---- for locate ---- */

static struct resolve_query *ask_host(void *arg, const char *host, uint16_t port, resolve_done *done, void *done_arg)
{
    struct dns *d = arg;
    struct resolve_query *q;

    loop_tick(d->loop);
    q = resolve_host(d->resolver, host, port, done, done_arg);
    rearm(d);
    return q;
}

static struct resolve_query *ask_srv(void *arg, const char *name, resolve_srv_done *done, void *done_arg)
{
    struct dns *d = arg;
    struct resolve_query *q;

    loop_tick(d->loop);
    q = resolve_srv(d->resolver, name, done, done_arg);
    rearm(d);
    return q;
}

static struct resolve_query *ask_naptr(void *arg, const char *name, resolve_naptr_done *done, void *done_arg)
{
    struct dns *d = arg;
    struct resolve_query *q;

    loop_tick(d->loop);
    q = resolve_naptr(d->resolver, name, done, done_arg);
    rearm(d);
    return q;
}

/* ---- life ---- */

int dns_new(struct dns **out, su_root_t *root, const struct conf *conf)
{
    struct dns *d = calloc(1, sizeof *d);
    int err = TD_ENOMEM;

    *out = NULL;
    if (!d)
        return err;
    d->root = root;
    d->wait_index = -1;
    d->timer = su_timer_create(su_root_task(root), 0);
    if (!d->timer)
        goto out;
    err = loop_new(&d->loop);
    if (!err)
        err = resolver_new(&d->resolver, d->loop, &conf->dns.servers);
    if (err)
        goto out;
    err = TD_ENOMEM;
    if (su_wait_create(d->wait, loop_fd(d->loop), SU_WAIT_IN) < 0)
        goto out;
    d->wait_index = su_root_register(root, d->wait, on_ready, (su_wakeup_arg_t *)d, 0);
    if (d->wait_index < 0)
        goto out;
    d->table = (struct locate_dns){ .host = ask_host, .srv = ask_srv, .naptr = ask_naptr, .cancel = resolve_cancel,
                                    .rng = &d->rng, .arg = d };
    *out = d;
    return TD_OK;
out:
    dns_free(&d);
    return err;
}

void dns_free(struct dns **dp)
{
    struct dns *d = *dp;

    if (!d)
        return;
    *dp = NULL;
    if (d->wait_index >= 0)
        su_root_deregister(d->root, d->wait_index);
    if (d->timer)
        su_timer_destroy(d->timer);
    resolver_free(&d->resolver);
    loop_free(&d->loop);
    free(d);
}

const struct locate_dns *dns_table(const struct dns *d)
{
    return &d->table;
}
