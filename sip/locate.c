/* Server location. */
#include "sip/locate.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/err.h"

enum { PORT_PLAIN = 5060, PORT_TLS = 5061, SERVICES_MAX = RESOLVE_NAPTR_MAX };

/* SRV records to ask for. */
struct service {
    enum transport transport;
    char name[RESOLVE_HOST_MAX + 1];
};

struct locate {
    const struct locate_dns *dns; /* borrowed */
    struct locate_ask ask;
    char *host;                   /* owned */
    struct resolve_query *query;  /* while one is being looked up */
    locate_done *done;            /* and arg: while a place is being looked for */
    void *arg;
    bool naptr_due, host_due;     /* to be asked for NAPTR records; for its own addresses, should there be no SRV records */
    size_t n_services, service_at;
    size_t n_servers, server_at;
    size_t n_addrs, addr_at;
    enum transport transport;     /* of addrs */
    unsigned given;               /* places handed out */
    bool has_failed;              /* a look-up has */
    /* From here on not zeroed: several KB, of which an address that needs no look-up uses one element. */
    struct service services[SERVICES_MAX];
    struct resolve_srv servers[RESOLVE_SRV_MAX]; /* of the last service, in the order to be tried */
    struct addr addrs[RESOLVE_ADDRS_MAX];        /* of the last server */
};

static void step(struct locate *l);

/* ---- what may be used ---- */

static bool can(const struct locate *l, enum transport t, int family)
{
    return l->ask.can[family == AF_INET6] >> t & 1;
}

static bool is_usable(const struct locate *l, enum transport t)
{
    return (can(l, t, AF_INET) || can(l, t, AF_INET6)) && (!l->ask.is_secure || t == TRANSPORT_TLS) &&
           (l->ask.transport == TRANSPORT_ANY || l->ask.transport == t);
}

/* When nothing says which: RFC 3263 s.4.1. */
static enum transport default_transport(const struct locate *l)
{
    if (l->ask.transport != TRANSPORT_ANY)
        return l->ask.transport;
    if (l->ask.is_secure)
        return TRANSPORT_TLS;
    return is_usable(l, TRANSPORT_UDP) ? TRANSPORT_UDP : TRANSPORT_TCP;
}

static uint16_t default_port(enum transport t)
{
    return t == TRANSPORT_TLS ? PORT_TLS : PORT_PLAIN;
}

static void add_service(struct locate *l, enum transport t, const char *prefix, const char *domain)
{
    struct service *s = &l->services[l->n_services];
    int n;

    if (l->n_services == SERVICES_MAX || !is_usable(l, t))
        return;
    s->transport = t;
    n = snprintf(s->name, sizeof s->name, "%s%s", prefix, domain);
    if (n > 0 && (size_t)n < sizeof s->name)
        l->n_services++;
}

/* Over TLS where that is offered (RFC 5630 s.5.3), then the less costly. */
static void add_usual_services(struct locate *l)
{
    add_service(l, TRANSPORT_TLS, "_sips._tcp.", l->host);
    if (l->ask.is_large)
        add_service(l, TRANSPORT_TCP, "_sip._tcp.", l->host);
    add_service(l, TRANSPORT_UDP, "_sip._udp.", l->host);
    if (!l->ask.is_large)
        add_service(l, TRANSPORT_TCP, "_sip._tcp.", l->host);
}

/* ---- answers ---- */

static void on_addrs(void *arg, const struct addr *addrs, size_t n, int err, const char *why)
{
    struct locate *l = arg;

    l->query = NULL;
    l->has_failed = l->has_failed || (err && err != TD_ENOENT);
    l->addr_at = 0;
    l->n_addrs = TD_MIN(n, (size_t)RESOLVE_ADDRS_MAX);
    for (size_t i = 0; i < l->n_addrs; i++)
        l->addrs[i] = addrs[i];
    step(l);
}

static void on_servers(void *arg, const struct resolve_srv *servers, size_t n, int err, const char *why)
{
    struct locate *l = arg;

    l->query = NULL;
    if (n || err == TD_EUNSUPP) /* the domain has said where its servers are, or that there are none */
        l->host_due = false;
    else if (err && err != TD_ENOENT)
        l->has_failed = true;
    l->server_at = 0;
    l->n_servers = TD_MIN(n, (size_t)RESOLVE_SRV_MAX);
    for (size_t i = 0; i < l->n_servers; i++)
        l->servers[i] = servers[i];
    resolve_srv_order(l->servers, l->n_servers, l->dns->rng);
    step(l);
}

static bool transport_of(const char *service, enum transport *t)
{
    static const struct {
        const char *service;
        enum transport transport;
    } known[] = { { "SIP+D2U", TRANSPORT_UDP }, { "SIP+D2T", TRANSPORT_TCP }, { "SIPS+D2T", TRANSPORT_TLS } };

    for (size_t i = 0; i < TD_ARRAY_LEN(known); i++)
        if (sv_eq_nocase(sv_of(service), sv_of(known[i].service))) {
            *t = known[i].transport;
            return true;
        }
    return false; /* a WebSocket server is for browsers to connect to (RFC 7118): we do not */
}

/* Of the lowest order that has something for us: all of it, by preference (RFC 3403 s.4.1). */
static void take_pointers(struct locate *l, const struct resolve_naptr *pointers, size_t n)
{
    const struct resolve_naptr *first = NULL;

    for (size_t i = 0; i < n; i++) {
        enum transport t;

        if (!transport_of(pointers[i].service, &t) || !is_usable(l, t))
            continue;
        if (!first)
            first = &pointers[i];
        if (pointers[i].order == first->order)
            add_service(l, t, "", pointers[i].replacement);
    }
}

static void on_pointers(void *arg, const struct resolve_naptr *pointers, size_t n, int err)
{
    struct locate *l = arg;

    l->query = NULL;
    if (err && err != TD_ENOENT) {
        l->has_failed = true; /* it may have said "TLS alone": no going on by guesswork */
        l->host_due = false;
    } else {
        take_pointers(l, pointers, n);
        if (l->n_services)
            l->host_due = false;
        else
            add_usual_services(l);
    }
    step(l);
}

/* ---- the search ---- */

/* A callback may come before the call returns, and free the search: it is not looked at again then. */
static void use_host(struct locate *l, const char *host, enum transport t, uint16_t port)
{
    struct resolve_query *q;

    l->transport = t;
    q = l->dns->host(l->dns->arg, host, port, on_addrs, l);
    if (q)
        l->query = q;
}

static bool give(struct locate *l)
{
    while (l->addr_at < l->n_addrs) {
        struct place p = { .transport = l->transport, .at = l->addrs[l->addr_at++] };
        locate_done *done = l->done;

        if (!can(l, p.transport, p.at.sa.sa_family))
            continue;
        l->given++;
        l->done = NULL;
        done(l->arg, LOCATE_FOUND, &p);
        return true;
    }
    return false;
}

static void end(struct locate *l)
{
    locate_done *done = l->done;

    l->done = NULL;
    done(l->arg, l->has_failed ? LOCATE_FAILED : LOCATE_ABSENT, NULL);
}

/* Whatever comes next; nothing after it, as l may be gone. */
static void step(struct locate *l)
{
    struct resolve_query *q;

    if (!locate_has_more(l)) {
        end(l);
    } else if (give(l)) {
        return;
    } else if (l->server_at < l->n_servers) {
        const struct resolve_srv *s = &l->servers[l->server_at++];

        use_host(l, s->target, l->services[l->service_at - 1].transport, s->port);
    } else if (l->naptr_due) {
        l->naptr_due = false;
        q = l->dns->naptr(l->dns->arg, l->host, on_pointers, l);
        if (q)
            l->query = q;
    } else if (l->service_at < l->n_services) {
        q = l->dns->srv(l->dns->arg, l->services[l->service_at++].name, on_servers, l);
        if (q)
            l->query = q;
    } else if (l->host_due) {
        enum transport t = default_transport(l);

        l->host_due = false;
        use_host(l, l->host, t, l->ask.port ? l->ask.port : default_port(t));
    } else {
        end(l);
    }
}

bool locate_has_more(const struct locate *l)
{
    return l->given < LOCATE_PLACES_MAX && (l->addr_at < l->n_addrs || l->server_at < l->n_servers || l->naptr_due ||
                                            l->service_at < l->n_services || l->host_due);
}

void locate_next(struct locate *l, locate_done *done, void *arg)
{
    l->done = done;
    l->arg = arg;
    step(l);
}

struct locate *locate_new(const struct locate_dns *dns, const struct locate_ask *ask)
{
    struct locate *l = malloc(sizeof *l);
    struct addr literal;

    if (!l)
        return NULL;
    memset(l, 0, offsetof(struct locate, services));
    l->dns = dns;
    l->ask = *ask;
    l->host = strdup(ask->host);
    if (!l->host) {
        free(l);
        return NULL;
    }
    l->ask.host = NULL;
    l->host_due = true;
    if (ask->port || addr_from_host(&literal, sv_of(l->host), 0)) {
        if (!is_usable(l, default_transport(l)))
            l->host_due = false; /* "sips" and "udp", or a transport that is not served here */
    } else if (ask->transport == TRANSPORT_ANY) {
        l->naptr_due = true;
    } else {
        add_usual_services(l);
        if (!l->n_services)
            l->host_due = false;
    }
    return l;
}

void locate_free(struct locate **lp)
{
    struct locate *l = *lp;

    if (!l)
        return;
    *lp = NULL;
    if (l->query)
        l->dns->cancel(l->query);
    free(l->host);
    free(l);
}
