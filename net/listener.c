/* Listening sockets: accept, apply the limits, start sniffing. */
#include "net/listener.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/err.h"
#include "common/log.h"
#include "net/conn_private.h"
#include "net/idle.h"
#include "net/limit.h"
#include "net/memory.h"
#include "net/sniff.h"

enum { ACCEPTS_PER_TURN = 64, BACKLOG = 4096, RETRY_MS = 100 };

struct listener {
    struct worker *worker; /* back */
    struct loop_io io;
    struct wheel_timer retry; /* out of descriptors or memory: try again */
    uint8_t transports, protocols;
};

/* A place for one more connection from there, perhaps that of one that nobody needs. */
static bool may_enter(struct worker *w, const struct addr *peer)
{
    switch (limits_enter(w->limits, peer)) {
    case LIMITS_REFUSED:
        return false;
    case LIMITS_ENTERED:
        return true;
    case LIMITS_CROWDED:
        break;
    }
    if (idle_may_stay(w, true))
        return true;
    limits_leave(w->limits, peer);
    return false;
}

static void accepted(struct listener *l, int fd, const struct sockaddr_storage *from)
{
    struct worker *w = l->worker;
    struct sockaddr_storage ss = { 0 };
    socklen_t len = sizeof ss;
    struct addr peer, local;
    struct conn *c;
    char text[ADDR_TEXT_MAX];

    addr_from_socket(&peer, from);
    getsockname(fd, (struct sockaddr *)&ss, &len);
    addr_from_socket(&local, &ss);
    stats_inc(&w->stats, STAT_conn_accepted);
    if (w->limits && !may_enter(w, &peer)) {
        stats_inc(&w->stats, STAT_conn_refused_limit);
        log_debug("net", 0, "refused: peer=%s reason=%s", addr_text(&peer, text), close_reason_text(CLOSE_LIMIT));
        close(fd);
        return;
    }
    conn_tune(fd);
    if (conn_new(&c, w, fd, true, &peer, &local) != TD_OK) {
        if (w->limits)
            limits_leave(w->limits, &peer);
        return;
    }
    c->counted = w->limits != NULL;
    c->port_transports = l->transports;
    c->port_protocols = l->protocols;
    conn_set_proto(c, &sniff_proto, NULL, NULL);
    conn_deadline(c, w->first_line_ms, CLOSE_FIRST_LINE);
    idle_add(c);
}

static void on_acceptable(struct loop_io *io, uint32_t events)
{
    struct listener *l = TD_CONTAINER_OF(io, struct listener, io);

    if (memory_is_over(l->worker)) { /* they wait in the system's queue */
        loop_want(l->worker->loop, io, 0);
        loop_timer_start(l->worker->loop, &l->retry, RETRY_MS);
        return;
    }
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage ss;
        socklen_t len = sizeof ss;
        int fd = accept4(io->fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            accepted(l, fd, &ss);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            const char *why = strerror(errno);
            struct pollfd waiting = { .fd = io->fd, .events = POLLIN };
            enum idle_room room;

            if (poll(&waiting, 1, 0) == 0)
                return; /* it is found out before it is looked whether there is anybody */
            room = idle_make_room(l->worker, true);
            if (room == IDLE_ROOM)
                continue;
            if (room == IDLE_NO_ROOM)
                log_warn("net", 0, "cannot accept connections for now: %s", why);
            loop_want(l->worker->loop, io, 0);
            loop_timer_start(l->worker->loop, &l->retry, RETRY_MS);
            return;
        } else if (errno == EAGAIN) {
            return;
        }
    }
}

static void on_retry(struct wheel_timer *t)
{
    struct listener *l = TD_CONTAINER_OF(t, struct listener, retry);

    loop_want(l->worker->loop, &l->io, LOOP_READ);
}

/* SO_REUSEPORT would let us share the port with another server of the same user: find out first. */
static int probe(const struct addr *at)
{
    int fd = socket(at->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, err = TD_OK;

    if (fd < 0)
        return td_err_from_errno(errno);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (at->sa.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (bind(fd, &at->sa, addr_len(at)) < 0 || listen(fd, 1) < 0)
        err = td_err_from_errno(errno);
    close(fd);
    return err;
}

int listener_adopt(struct listener **out, struct worker *w, int fd, uint8_t transports, uint8_t protocols)
{
    struct listener *l = calloc(1, sizeof *l);
    int err = TD_ENOMEM;

    *out = NULL;
    if (l) {
        l->worker = w;
        l->io.fd = -1;
        l->io.ready = on_acceptable;
        l->transports = transports;
        l->protocols = protocols;
        wheel_timer_init(&l->retry, on_retry);
        err = loop_add(w->loop, &l->io, fd, LOOP_READ);
    }
    if (err) {
        close(fd);
        free(l);
        return err;
    }
    *out = l;
    return TD_OK;
}

int listener_new(struct listener **out, struct worker *w, struct addr *at, uint8_t transports, uint8_t protocols)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    int err, fd, one = 1;

    *out = NULL;
    if (w->index == 0 && addr_port(at) != 0) {
        err = probe(at);
        if (err)
            return err;
    }
    fd = socket(at->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return td_err_from_errno(errno);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (at->sa.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (bind(fd, &at->sa, addr_len(at)) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&ss, &len) < 0) {
        err = td_err_from_errno(errno);
        close(fd);
        return err;
    }
    if (addr_port(at) == 0)
        addr_set_port(at, ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port
                                                         : ((struct sockaddr_in *)&ss)->sin_port));
    return listener_adopt(out, w, fd, transports, protocols);
}

int listener_fd(const struct listener *l)
{
    return l->io.fd;
}

void listener_free(struct listener **lp)
{
    struct listener *l = *lp;
    int fd;

    if (!l)
        return;
    *lp = NULL;
    fd = l->io.fd;
    loop_timer_stop(l->worker->loop, &l->retry);
    loop_remove(l->worker->loop, &l->io);
    if (fd >= 0)
        close(fd);
    free(l);
}
