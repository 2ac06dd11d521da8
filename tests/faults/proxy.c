/* A TCP proxy that breaks what passes through it, at exact places. */
#include "tests/faults/proxy.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static enum proxy_side source_of(const struct proxy_half *h)
{
    return h == &h->proxy->half[PIPE_UP] ? SIDE_END : SIDE_RELAY;
}

static enum proxy_side dest_of(const struct proxy_half *h)
{
    return source_of(h) == SIDE_END ? SIDE_RELAY : SIDE_END;
}

static void close_side(struct proxy *p, enum proxy_side s, bool reset)
{
    struct linger now = { 1, 0 };
    int fd = p->side[s].fd;

    if (fd < 0)
        return;
    if (reset)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    loop_remove(p->loop, &p->side[s]);
    close(fd);
}

static void end_both(struct proxy *p, bool reset)
{
    p->ended = true;
    p->again = false;
    for (int i = 0; i < 2; i++) {
        loop_timer_stop(p->loop, &p->half[i].timer);
        close_side(p, (enum proxy_side)i, reset);
    }
}

/* A side is gone without our doing. */
static void lost(struct proxy *p, enum proxy_side whose)
{
    end_both(p, true);
    p->on_end(p, whose);
}

static void set_wants(struct proxy *p)
{
    if (p->ended)
        return;
    for (int s = 0; s < 2; s++) {
        const struct proxy_half *out = &p->half[s == SIDE_END ? PIPE_UP : PIPE_DOWN];
        const struct proxy_half *in = &p->half[s == SIDE_END ? PIPE_DOWN : PIPE_UP];
        uint32_t want = 0;

        if (!out->eof && (out->dead || (!out->stalled && out->n < PROXY_BUFFER)))
            want |= LOOP_READ;
        if (p->connecting[s] || in->blocked)
            want |= LOOP_WRITE;
        loop_want(p->loop, &p->side[s], want);
    }
}

static void cut(struct proxy_half *h)
{
    struct proxy *p = h->proxy;
    enum proxy_cut how = h->plan.cut;

    h->plan.cut = CUT_NEVER;
    p->on_cut(p, how);
    switch (how) {
    case CUT_RESET:
        end_both(p, true);
        break;
    case CUT_CLOSE:
        end_both(p, false);
        break;
    case CUT_HALF:
        h->dead = h->shut = true;
        h->n = 0;
        shutdown(p->side[dest_of(h)].fd, SHUT_WR);
        break;
    case CUT_NEVER:
        break;
    }
}

static void on_stall_over(struct wheel_timer *t)
{
    struct proxy_half *h = TD_CONTAINER_OF(t, struct proxy_half, timer);

    h->stalled = false;
    h->proxy->again = true;
    loop_soon(h->proxy->loop);
    set_wants(h->proxy);
}

static bool in_pieces(const struct proxy_half *h)
{
    uint64_t pos = h->passed - h->base;

    return h->armed && h->plan.piece && pos >= h->plan.pieces_from && pos < h->plan.pieces_to;
}

/* How many of the waiting bytes may go now; SIZE_MAX: the cut is due. */
static size_t allowed(struct proxy_half *h)
{
    const struct proxy_plan *plan = &h->plan;
    uint64_t pos = h->passed - h->base;
    size_t n = h->n;

    if (!h->armed)
        return n;
    if (plan->cut != CUT_NEVER) {
        if (pos >= plan->cut_at)
            return SIZE_MAX;
        n = (size_t)TD_MIN((uint64_t)n, plan->cut_at - pos);
    }
    if (plan->stall_ms && !h->has_stalled) {
        if (pos >= plan->stall_at) {
            h->has_stalled = h->stalled = true;
            loop_timer_start(h->proxy->loop, &h->timer, plan->stall_ms);
            return 0;
        }
        n = (size_t)TD_MIN((uint64_t)n, plan->stall_at - pos);
    }
    if (in_pieces(h))
        n = TD_MIN(n, (size_t)plan->piece);
    return n;
}

/* Hand on what may go. True: more of it next turn. */
static bool pump(struct proxy_half *h)
{
    struct proxy *p = h->proxy;
    enum proxy_side to = dest_of(h);

    while (h->n && !h->stalled && !p->connecting[to]) {
        size_t n = allowed(h);
        ssize_t sent;

        if (n == SIZE_MAX) {
            cut(h);
            return false;
        }
        if (n == 0)
            return false;
        sent = send(p->side[to].fd, h->buf + h->at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN) {
            h->blocked = true;
            return false;
        }
        if (sent < 0) {
            lost(p, to);
            return false;
        }
        h->at += (size_t)sent;
        h->n -= (size_t)sent;
        h->passed += (uint64_t)sent;
        if (h->n == 0)
            h->at = 0;
        if (h->armed && h->plan.cut != CUT_NEVER && h->passed - h->base >= h->plan.cut_at) {
            cut(h);
            return false;
        }
        if (h->n && in_pieces(h))
            return true;
    }
    if (h->n == 0 && h->eof && !h->shut && !p->connecting[to]) {
        h->shut = true;
        shutdown(p->side[to].fd, SHUT_WR);
        if (p->half[0].shut && p->half[1].shut)
            end_both(p, false);
    }
    return false;
}

static void step(struct proxy *p, struct proxy_half *h)
{
    if (!p->ended && pump(h) && !p->ended) {
        p->again = true;
        loop_soon(p->loop);
    }
    set_wants(p);
}

static void fill(struct proxy *p, struct proxy_half *h)
{
    enum proxy_side from = source_of(h);
    char waste[4096];
    ssize_t n;

    if (h->eof)
        return;
    if (h->at && h->n)
        memmove(h->buf, h->buf + h->at, h->n);
    h->at = 0;
    if (!h->dead && (h->n == PROXY_BUFFER || h->stalled))
        return;
    n = recv(p->side[from].fd, h->dead ? waste : h->buf + h->n, h->dead ? sizeof waste : PROXY_BUFFER - h->n,
             MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        lost(p, from);
        return;
    }
    if (n == 0) {
        h->eof = true;
        p->on_end(p, from);
        return;
    }
    if (!h->dead)
        h->n += (size_t)n;
}

static void on_side(struct proxy *p, enum proxy_side s, uint32_t events)
{
    struct proxy_half *out = &p->half[s == SIDE_END ? PIPE_UP : PIPE_DOWN];
    struct proxy_half *in = &p->half[s == SIDE_END ? PIPE_DOWN : PIPE_UP];

    if (p->connecting[s]) {
        int error = 0;
        socklen_t len = sizeof error;

        getsockopt(p->side[s].fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error) {
            lost(p, s);
            return;
        }
        p->connecting[s] = false;
    }
    if (events & LOOP_WRITE)
        in->blocked = false;
    if (events & (LOOP_READ | LOOP_ERROR))
        fill(p, out);
    if (!p->ended)
        step(p, out);
    if (!p->ended)
        step(p, in);
}

static void on_side_end(struct loop_io *io, uint32_t events)
{
    on_side(TD_CONTAINER_OF(io, struct proxy, side[SIDE_END]), SIDE_END, events);
}

static void on_side_relay(struct loop_io *io, uint32_t events)
{
    on_side(TD_CONTAINER_OF(io, struct proxy, side[SIDE_RELAY]), SIDE_RELAY, events);
}

/* At the end of each turn: the next piece of those that go in pieces. */
static void on_turn(struct loop_hook *hook)
{
    struct proxy *p = TD_CONTAINER_OF(hook, struct proxy, hook);

    if (!p->again)
        return;
    p->again = false;
    for (int i = 0; i < 2 && !p->ended; i++)
        step(p, &p->half[i]);
}

static bool watch(struct proxy *p, enum proxy_side s, int fd)
{
    int one = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    p->side[s].ready = s == SIDE_END ? on_side_end : on_side_relay;
    return loop_add(p->loop, &p->side[s], fd, LOOP_READ) == 0;
}

static void on_connection(struct loop_io *io, uint32_t events)
{
    struct proxy *p = TD_CONTAINER_OF(io, struct proxy, listen);
    int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), listen_fd = io->fd;
    enum proxy_side accepted = p->relay_dials ? SIDE_RELAY : SIDE_END, dialled = p->relay_dials ? SIDE_END : SIDE_RELAY;
    struct addr own;
    socklen_t len = sizeof own;

    if (fd < 0)
        return;
    loop_remove(p->loop, io);
    close(listen_fd);
    watch(p, accepted, fd);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || (connect(fd, &p->target.sa, addr_len(&p->target)) < 0 && errno != EINPROGRESS)) {
        if (fd >= 0)
            close(fd);
        lost(p, dialled);
        return;
    }
    getsockname(fd, &own.sa, &len);
    p->end_port = addr_port(&own);
    p->connecting[dialled] = true;
    watch(p, dialled, fd);
    set_wants(p);
    if (p->on_open)
        p->on_open(p);
}

bool proxy_open(struct proxy *p, struct loop *loop, const struct addr *target, bool relay_dials)
{
    socklen_t len = sizeof p->at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    p->loop = loop;
    p->target = *target;
    p->relay_dials = relay_dials;
    p->listen.fd = p->side[0].fd = p->side[1].fd = -1;
    p->listen.ready = on_connection;
    p->hook.run = on_turn;
    list_init(&p->hook.node);
    for (int i = 0; i < 2; i++) {
        p->half[i].proxy = p;
        p->half[i].buf = malloc(PROXY_BUFFER);
        wheel_timer_init(&p->half[i].timer, on_stall_over);
        if (!p->half[i].buf)
            goto out;
    }
    addr_from_host(&p->at, SV("127.0.0.1"), PROXY_ANY);
    if (fd < 0 || bind(fd, &p->at.sa, addr_len(&p->at)) < 0 || listen(fd, 4) < 0 ||
        getsockname(fd, &p->at.sa, &len) < 0 || loop_add(loop, &p->listen, fd, LOOP_READ) != 0)
        goto out;
    loop_hook_add(loop, &p->hook);
    return true;
out:
    if (fd >= 0)
        close(fd);
    proxy_close(p);
    return false;
}

void proxy_arm(struct proxy *p, const struct proxy_plan *up, const struct proxy_plan *down)
{
    p->half[PIPE_UP].plan = *up;
    p->half[PIPE_DOWN].plan = *down;
    for (int i = 0; i < 2; i++) {
        p->half[i].base = p->half[i].passed;
        p->half[i].armed = true;
    }
    set_wants(p);
}

void proxy_close(struct proxy *p)
{
    int fd = p->listen.fd;

    if (fd >= 0) {
        loop_remove(p->loop, &p->listen);
        close(fd);
    }
    if (p->loop) {
        end_both(p, true);
        loop_hook_remove(&p->hook);
    }
    for (int i = 0; i < 2; i++) {
        free(p->half[i].buf);
        p->half[i].buf = NULL;
    }
}
