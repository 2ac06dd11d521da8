/* Opening connections: resolve, then try every address in turn, of every server in turn. An address has failed when its
 * TLS has, too: RFC 2782 has the next server be tried when one cannot be used, and a wrong certificate is no better
 * than a closed port. */
#include "net/dial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/err.h"
#include "common/log.h"
#include "net/conn_private.h"
#include "net/idle.h"
#include "net/limit.h"
#include "net/resolve.h"

enum { ROOM_MS = 50 };

struct dial {
    struct conn *conn;          /* back */
    char *host;                 /* owned */
    struct dial_target to;
    struct addr from;           /* with to.from */
    struct resolve_query *query; /* while resolving */
    struct resolve_srv *servers; /* owned: in the order to be tried; NULL: host is the server */
    size_t n_servers, server_at; /* server_at: the next to try */
    struct addr addrs[RESOLVE_ADDRS_MAX];
    size_t n_addrs, at;         /* at: the next to try */
    struct wheel_timer timer;   /* for the address being tried, or until there may be a descriptor for it */
    bool starved;               /* the latter */
    enum close_reason why;      /* what went wrong last */
};

static void try_next(struct dial *d);

void dial_free(struct dial **dp)
{
    struct dial *d = *dp;

    if (!d)
        return;
    *dp = NULL;
    if (d->query)
        resolve_cancel(d->query);
    loop_timer_stop(d->conn->worker->loop, &d->timer);
    free(d->servers);
    free(d->host);
    free(d);
}

static void drop_socket(struct conn *c)
{
    int fd = c->io.fd;

    if (fd < 0)
        return;
    loop_remove(c->worker->loop, &c->io);
    close(fd);
}

static void failed(struct dial *d, enum close_reason why, const char *text)
{
    char peer[ADDR_TEXT_MAX];

    d->why = why;
    log_debug("net", d->conn->id, "connect failed: host=%s address=%s reason=%s", d->host, addr_text(&d->conn->peer, peer),
              text);
}

static void connected(struct dial *d)
{
    struct conn *c = d->conn;
    struct sockaddr_storage ss = { 0 };
    socklen_t len = sizeof ss;
    int err;

    if (getsockname(c->io.fd, (struct sockaddr *)&ss, &len) == 0)
        addr_from_socket(&c->local, &ss);
    conn_tune(c->io.fd);
    if (!d->to.tls) {
        conn_is_up(c); /* frees d */
        return;
    }
    err = conn_start_tls_client(c, d->host, d->to.verify);
    if (err) {
        log_error("tls", c->id, "cannot start a TLS session: %s", td_err_text(err));
        conn_doom(c, CLOSE_TLS_HANDSHAKE);
        return;
    }
    loop_want(c->worker->loop, &c->io, LOOP_READ); /* d stays until TLS is up: there may be another address */
}

/* No descriptor is left: there may be one when another connection has been closed. */
static bool wait_for_room(struct dial *d)
{
    if ((errno != EMFILE && errno != ENFILE) || idle_make_room(d->conn->worker, false) == IDLE_NO_ROOM)
        return false;
    d->at--;
    d->starved = true;
    loop_timer_start(d->conn->worker->loop, &d->timer, ROOM_MS);
    return true;
}

/* The port is picked when it connects. An address that is none of this machine's does not count. */
static void bind_to(int fd, const struct addr *from, const struct addr *to)
{
    struct addr any_port = *from;
    int one = 1;

    if (from->sa.sa_family != to->sa.sa_family)
        return;
    addr_set_port(&any_port, 0);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(fd, &any_port.sa, addr_len(&any_port)) < 0)
        log_debug("net", 0, "cannot connect from a given address: %s", strerror(errno));
}

static bool try_address(struct dial *d, const struct addr *a)
{
    struct conn *c = d->conn;
    int fd;

    c->peer = *a;
    if (d->to.allow && !d->to.allow(d->to.allow_arg, a)) {
        failed(d, CLOSE_FORBIDDEN, "address not allowed");
        return false;
    }
    fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        if (wait_for_room(d))
            return true;
        failed(d, CLOSE_CONNECT_FAILED, strerror(errno));
        return false;
    }
    if (d->to.from)
        bind_to(fd, d->to.from, a);
    if (connect(fd, &a->sa, addr_len(a)) < 0 && errno != EINPROGRESS) {
        failed(d, CLOSE_CONNECT_FAILED, strerror(errno));
        close(fd);
        return false;
    }
    if (conn_attach(c, fd) != TD_OK) {
        failed(d, CLOSE_CONNECT_FAILED, "cannot watch the socket");
        close(fd);
        return false;
    }
    loop_timer_start(c->worker->loop, &d->timer, (uint64_t)d->to.timeout_ms);
    return true;
}

static void on_resolved(void *arg, const struct addr *addrs, size_t n, int err, const char *why);

static void look_up(struct dial *d, const char *host, uint16_t port)
{
    struct resolve_query *q;

    if (!d->conn->worker->resolver) {
        on_resolved(d, NULL, 0, TD_EUNSUPP, "no resolver");
        return;
    }
    q = resolve_host(d->conn->worker->resolver, host, port, on_resolved, d);
    if (q) /* else it is answered, and the next one may be asked for already */
        d->query = q;
}

static void try_next(struct dial *d)
{
    drop_socket(d->conn);
    loop_timer_stop(d->conn->worker->loop, &d->timer);
    while (d->at < d->n_addrs)
        if (try_address(d, &d->addrs[d->at++]))
            return;
    if (d->server_at < d->n_servers) {
        const struct resolve_srv *s = &d->servers[d->server_at++];

        look_up(d, s->target, s->port);
        return;
    }
    conn_doom(d->conn, d->why);
}

void dial_again(struct conn *c, enum close_reason why, const char *text)
{
    failed(c->dial, why, text);
    conn_flush(c); /* TLS may have told the peer what it is */
    conn_drop_tls(c);
    try_next(c->dial);
}

static void on_timer(struct wheel_timer *t)
{
    struct dial *d = TD_CONTAINER_OF(t, struct dial, timer);

    if (d->starved) {
        d->starved = false;
        try_next(d);
    } else {
        dial_again(d->conn, CLOSE_CONNECT_TIMEOUT, "timed out");
    }
}

void dial_ready(struct conn *c, uint32_t events)
{
    struct dial *d = c->dial;
    int error = 0;
    socklen_t len = sizeof error;

    if (getsockopt(c->io.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (error) {
        failed(d, CLOSE_CONNECT_FAILED, strerror(error));
        try_next(d);
    } else if (events & LOOP_WRITE) {
        connected(d); /* the timer runs on until it is up */
    }
}

static void on_resolved(void *arg, const struct addr *addrs, size_t n, int err, const char *why)
{
    struct dial *d = arg;

    d->query = NULL;
    if (n == 0)
        failed(d, CLOSE_DNS, why);
    d->at = 0;
    d->n_addrs = TD_MIN(n, (size_t)RESOLVE_ADDRS_MAX);
    for (size_t i = 0; i < d->n_addrs; i++) {
        d->addrs[i] = addrs[i];
        addr_unmap(&d->addrs[i]); /* judged, and shown, as what it is */
    }
    try_next(d);
}

static void on_servers(void *arg, const struct resolve_srv *servers, size_t n, int err, const char *why)
{
    struct dial *d = arg;

    d->query = NULL;
    if (n == 0 && !err) {
        look_up(d, d->host, d->to.default_port);
        return;
    }
    d->servers = n ? malloc(n * sizeof *servers) : NULL;
    if (d->servers) {
        memcpy(d->servers, servers, n * sizeof *servers);
        resolve_srv_order(d->servers, n, &d->conn->worker->rng);
        d->n_servers = n;
    } else {
        failed(d, CLOSE_DNS, why ? why : "out of memory");
    }
    try_next(d);
}

static void find_servers(struct dial *d)
{
    char name[RESOLVE_HOST_MAX + 1];
    struct resolve_query *q;
    int n = snprintf(name, sizeof name, "%s.%s", d->to.service, d->host);

    if (!d->conn->worker->resolver || n >= (int)sizeof name) {
        on_resolved(d, NULL, 0, TD_ENOENT, n >= (int)sizeof name ? "not a host name" : "no resolver");
        return;
    }
    q = resolve_srv(d->conn->worker->resolver, name, on_servers, d);
    if (q)
        d->query = q;
}

static bool may_count(struct worker *w)
{
    if (!w->limits || limits_count(w->limits) == LIMITS_ENTERED || idle_may_stay(w, false))
        return true;
    limits_uncount(w->limits);
    stats_inc(&w->stats, STAT_conn_refused_limit);
    return false;
}

int dial(struct conn **out, struct worker *w, const struct dial_target *to, const struct conn_proto *proto, void *ctx,
         void *user)
{
    struct dial *d = NULL;
    struct conn *c;
    struct addr literal;
    int err;

    *out = NULL;
    if (!may_count(w))
        return TD_ELIMIT;
    err = conn_new(&c, w, -1, false, NULL, NULL);
    if (err) {
        if (w->limits)
            limits_uncount(w->limits);
        return err;
    }
    c->counted_out = w->limits != NULL;
    d = calloc(1, sizeof *d);
    if (d)
        d->host = strdup(to->host);
    if (!d || !d->host) {
        free(d);
        conn_close(c, CLOSE_NO_MEMORY); /* no protocol yet: nobody is told */
        return TD_ENOMEM;
    }
    d->conn = c;
    d->to = *to;
    d->to.host = d->host;
    if (to->from) {
        d->from = *to->from;
        d->to.from = &d->from;
    }
    d->why = CLOSE_CONNECT_FAILED;
    wheel_timer_init(&d->timer, on_timer);
    c->dial = d;
    c->connecting = 1;
    conn_set_proto(c, proto, ctx, user);
    conn_deadline(c, 2 * to->timeout_ms, CLOSE_CONNECT_TIMEOUT);
    if (to->at)
        on_resolved(d, to->at, 1, TD_OK, NULL);
    else if (addr_from_host(&literal, sv_of(d->host), to->port))
        on_resolved(d, &literal, 1, TD_OK, NULL);
    else if (to->port == 0 && to->service)
        find_servers(d);
    else
        look_up(d, d->host, to->port);
    *out = c;
    return TD_OK;
}
