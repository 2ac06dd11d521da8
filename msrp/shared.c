/* What all workers' relays share: the names we answer to, where may be forwarded to, the sessions, the
 * configuration. */
#include <stdlib.h>

#include "common/buf.h"
#include "common/err.h"
#include "msrp/private.h"

bool relay_is_us(const struct relay *relay, const struct conn *c, const struct msrp_uri *u, bool auth)
{
    const struct relay_shared *s = relay->shared;
    char local[ADDR_TEXT_MAX + 2];
    struct addr literal;

    for (size_t i = 0; i < s->n_authorities; i++) {
        const struct authority *a = &s->authorities[i];

        if (a->port ? a->port == u->port_number || (auth && u->port_number == 0) : auth)
            if (msrp_host_eq(a->host, u->host))
                return true;
    }
    if (s->use_path.n)
        return false;
    addr_host_text(&c->local, local);
    return addr_from_host(&literal, u->host, u->port_number) && addr_eq(&literal, &c->local);
}

bool relay_listens_on(const struct relay_shared *s, const struct addr *a)
{
    for (size_t i = 0; i < s->n_listeners; i++)
        if (addr_is_served(a, &s->listeners[i]))
            return true;
    return false;
}

static int add_authority(struct relay_shared *s, struct sv host, uint16_t port)
{
    struct authority *grown = realloc(s->authorities, (s->n_authorities + 1) * sizeof *grown);

    if (!grown)
        return TD_ENOMEM;
    s->authorities = grown;
    grown[s->n_authorities++] = (struct authority){ host, port };
    return TD_OK;
}

static int split_authority(struct sv text, struct sv *host, uint16_t *port)
{
    size_t colon = text.n;
    uint64_t n;

    while (colon && text.p[colon - 1] != ':')
        colon--;
    if (colon < 2 || !sv_to_u64(sv_from(text, colon), &n, NULL) || n == 0 || n > 65535)
        return TD_EINVAL;
    *host = sv_upto(text, colon - 1);
    *port = (uint16_t)n;
    return TD_OK;
}

static int read_authorities(struct relay_shared *s, struct buf *fault)
{
    const struct conf *conf = relay_conf(s);
    struct sv host;
    uint16_t port;
    int err;

    s->use_path = sv_of(conf->msrp.use_path_addr);
    if (s->use_path.n) {
        if (split_authority(s->use_path, &host, &port)) {
            buf_printf(fault, "msrp.use_path_addr: '%s' is not HOST:PORT", conf->msrp.use_path_addr);
            return TD_EINVAL;
        }
        err = add_authority(s, host, port);
        if (err)
            return err;
    }
    for (size_t i = 0; i < conf->n_listen; i++)
        for (size_t k = 0; k < conf->listen[i].address.n; k++)
            if (split_authority(sv_of(conf->listen[i].address.v[k]), &host, &port) == TD_OK && (err = add_authority(s, host, port)))
                return err;
    for (size_t i = 0; i < conf->sip.domains.n; i++)
        if ((err = add_authority(s, sv_of(conf->sip.domains.v[i]), 0)))
            return err;
    return TD_OK;
}

int relay_listens(struct relay_shared *s, const struct addr *at)
{
    struct addr *grown = realloc(s->listeners, (s->n_listeners + 1) * sizeof *grown);

    if (!grown)
        return TD_ENOMEM;
    s->listeners = grown;
    grown[s->n_listeners++] = *at;
    return TD_OK;
}

static int read_listeners(struct relay_shared *s)
{
    const struct conf *conf = relay_conf(s);
    struct addr at;
    int err = TD_OK;

    for (size_t i = 0; !err && i < conf->n_listen; i++)
        for (size_t k = 0; !err && k < conf->listen[i].address.n; k++)
            if (addr_from_text(&at, sv_of(conf->listen[i].address.v[k])))
                err = relay_listens(s, &at);
    return err;
}

int relay_shared_new(struct relay_shared **out, const struct conf *conf, unsigned n_workers, const struct relay_observer *observer,
                     struct buf *fault)
{
    struct relay_shared *s = calloc(1, sizeof *s);
    int err = TD_ENOMEM;

    *out = NULL;
    if (!s)
        return err;
    relay_configure(s, conf);
    s->observer = observer;
    s->n_relays = n_workers;
    s->relays = calloc(n_workers, sizeof *s->relays);
    if (!s->relays)
        goto out;
    err = session_table_new(&s->sessions, (unsigned)conf->msrp.cmap_size);
    if (!err)
        err = read_authorities(s, fault);
    if (!err)
        err = reach_init(&s->reach, "msrp.forward_to", &conf->msrp.forward_to, fault);
    if (!err)
        err = read_listeners(s);
    if (err)
        goto out;
    *out = s;
    s = NULL;
out:
    relay_shared_free(&s);
    return err;
}

void relay_configure(struct relay_shared *s, const struct conf *conf)
{
    __atomic_store_n(&s->conf, conf, __ATOMIC_RELEASE);
}

bool relay_uri_ok(struct sv given, struct sv request_uri, struct sv method)
{
    struct msrp_uri a, b;

    return msrp_uri_parse(&a, given) && msrp_uri_parse(&b, request_uri) && msrp_uri_eq(&a, &b);
}

void relay_shared_free(struct relay_shared **sp)
{
    struct relay_shared *s = *sp;

    if (!s)
        return;
    *sp = NULL;
    session_table_free(&s->sessions);
    free(s->authorities);
    reach_fini(&s->reach);
    free(s->listeners);
    free(s->relays);
    free(s);
}
