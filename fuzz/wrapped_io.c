/* Sockets, epoll and the clock, played by the fuzz target itself. */
#include "fuzz/wrapped_io.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <time.h>

#include "fuzz/fuzz.h"

/* Numbers of descriptors: sockets, event counters, epoll sets. */
enum { SOCK_BASE = 1 << 20, EVENT_BASE = 1 << 21, EPOLL_BASE = 1 << 22, EVENTS = 16, EPOLLS = 8 };

struct wio_sock wio_socks[WIO_PEERS];

static struct counter {
    uint64_t n;
    bool used;
    int epfd;
    void *ptr;
} counters[EVENTS];
static bool epolls[EPOLLS];
static uint64_t now_ms;

static struct wio_sock *sock_of(int fd)
{
    return fd >= SOCK_BASE && fd < SOCK_BASE + WIO_PEERS ? &wio_socks[fd - SOCK_BASE] : NULL;
}

static struct counter *counter_of(int fd)
{
    return fd >= EVENT_BASE && fd < EVENT_BASE + EVENTS ? &counters[fd - EVENT_BASE] : NULL;
}

void wio_start(void)
{
    memset(counters, 0, sizeof counters);
    memset(epolls, 0, sizeof epolls);
    memset(wio_socks, 0, sizeof wio_socks);
    now_ms = 1000;
}

void wio_stop(void)
{
    for (size_t i = 0; i < WIO_PEERS; i++)
        free(wio_socks[i].in);
    memset(wio_socks, 0, sizeof wio_socks);
}

static int new_sock(size_t *sock)
{
    for (size_t i = 0; i < WIO_PEERS; i++)
        if (!wio_socks[i].used) {
            wio_socks[i] = (struct wio_sock){
                .used = true, .is_open = true, .visible = SIZE_MAX, .step = SIZE_MAX, .window = SIZE_MAX
            };
            wio_socks[i].in = malloc(WIO_STREAM_MAX);
            FUZZ_CHECK(wio_socks[i].in);
            *sock = i;
            return SOCK_BASE + (int)i;
        }
    errno = EMFILE;
    return -1;
}

int wio_accept(size_t *sock)
{
    return new_sock(sock);
}

bool wio_say(size_t sock, const char *p, size_t n)
{
    struct wio_sock *s = &wio_socks[sock];

    if (s->fin || s->reset || s->in_n + n > WIO_STREAM_MAX)
        return false;
    memcpy(s->in + s->in_n, p, n);
    s->in_n += n;
    return true;
}

void wio_pass(uint64_t ms)
{
    now_ms += ms;
}

/* ---- the wrapped calls ---- */

#define WRAP(type, name, ...)        \
    type __real_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__)

WRAP(int, clock_gettime, clockid_t id, struct timespec *ts)
{
    ts->tv_sec = (time_t)(1700000000 + now_ms / 1000);
    ts->tv_nsec = (long)(now_ms % 1000 * 1000000);
    return 0;
}

WRAP(time_t, time, time_t *out)
{
    time_t t = (time_t)(1700000000 + now_ms / 1000);

    if (out)
        *out = t;
    return t;
}

WRAP(int, epoll_create1, int flags)
{
    for (int i = 0; i < EPOLLS; i++)
        if (!epolls[i]) {
            epolls[i] = true;
            return EPOLL_BASE + i;
        }
    errno = EMFILE;
    return -1;
}

WRAP(int, epoll_ctl, int epfd, int op, int fd, struct epoll_event *ev)
{
    struct wio_sock *s = sock_of(fd);
    struct counter *c = counter_of(fd);

    if (epfd < EPOLL_BASE)
        return __real_epoll_ctl(epfd, op, fd, ev);
    FUZZ_CHECK(s || c);
    if (s) {
        FUZZ_CHECK((s->epfd != 0) == (op != EPOLL_CTL_ADD));
        s->epfd = op == EPOLL_CTL_DEL ? 0 : epfd;
        s->events = op == EPOLL_CTL_DEL ? 0 : ev->events;
        s->ptr = op == EPOLL_CTL_DEL ? NULL : ev->data.ptr;
    } else {
        c->epfd = op == EPOLL_CTL_DEL ? 0 : epfd;
        c->ptr = op == EPOLL_CTL_DEL ? NULL : ev->data.ptr;
    }
    return 0;
}

static size_t readable(const struct wio_sock *s)
{
    return TD_MIN(s->in_n, s->visible) - s->in_at;
}

static uint32_t state_of(const struct wio_sock *s)
{
    uint32_t got = 0;

    if (s->connecting)
        return s->refused ? EPOLLERR | EPOLLHUP : EPOLLOUT;
    if (readable(s))
        got |= EPOLLIN;
    if (s->fin && s->in_at == s->in_n)
        got |= EPOLLIN | EPOLLRDHUP;
    if (s->window)
        got |= EPOLLOUT;
    if (s->reset)
        got |= EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP;
    return got;
}

WRAP(int, epoll_wait, int epfd, struct epoll_event *events, int max, int timeout)
{
    int n = 0;

    if (epfd < EPOLL_BASE)
        return __real_epoll_wait(epfd, events, max, timeout);
    for (int i = 0; i < EVENTS && n < max; i++)
        if (counters[i].epfd == epfd && counters[i].n)
            events[n++] = (struct epoll_event){ .events = EPOLLIN, .data.ptr = counters[i].ptr };
    for (int i = 0; i < WIO_PEERS && n < max; i++) {
        struct wio_sock *s = &wio_socks[i];
        uint32_t got = s->epfd == epfd ? state_of(s) & (s->events | EPOLLERR | EPOLLHUP) : 0;

        if (got)
            events[n++] = (struct epoll_event){ .events = got, .data.ptr = s->ptr };
    }
    return n;
}

WRAP(int, eventfd, unsigned initial, int flags)
{
    for (int i = 0; i < EVENTS; i++)
        if (!counters[i].used) {
            counters[i] = (struct counter){ .used = true };
            return EVENT_BASE + i;
        }
    errno = EMFILE;
    return -1;
}

WRAP(ssize_t, read, int fd, void *p, size_t n)
{
    struct counter *c = counter_of(fd);

    if (!c)
        return __real_read(fd, p, n);
    if (!c->n) {
        errno = EAGAIN;
        return -1;
    }
    memcpy(p, &c->n, sizeof c->n);
    c->n = 0;
    return sizeof c->n;
}

WRAP(ssize_t, write, int fd, const void *p, size_t n)
{
    struct counter *c = counter_of(fd);
    uint64_t add;

    if (!c)
        return __real_write(fd, p, n);
    memcpy(&add, p, sizeof add);
    c->n += add;
    return sizeof add;
}

WRAP(ssize_t, recv, int fd, void *p, size_t n, int flags)
{
    struct wio_sock *s = sock_of(fd);

    if (!s)
        return __real_recv(fd, p, n, flags);
    FUZZ_CHECK(s->is_open);
    n = TD_MIN(n, readable(s));
    n = TD_MIN(n, s->step);
    if (n) {
        memcpy(p, s->in + s->in_at, n);
        s->in_at += n;
        return (ssize_t)n;
    }
    if (s->reset) {
        errno = ECONNRESET;
        return -1;
    }
    if (s->fin && s->in_at == s->in_n)
        return 0;
    errno = EAGAIN;
    return -1;
}

WRAP(ssize_t, sendmsg, int fd, const struct msghdr *m, int flags)
{
    struct wio_sock *s = sock_of(fd);
    size_t sum = 0;

    if (!s)
        return __real_sendmsg(fd, m, flags);
    FUZZ_CHECK(s->is_open && !s->connecting);
    if (s->reset) {
        errno = ECONNRESET;
        return -1;
    }
    for (size_t i = 0; i < m->msg_iovlen && s->window; i++) {
        size_t n = TD_MIN(m->msg_iov[i].iov_len, s->window);

        wio_said((size_t)(s - wio_socks), m->msg_iov[i].iov_base, n);
        if (s->window != SIZE_MAX)
            s->window -= n;
        sum += n;
    }
    if (sum)
        return (ssize_t)sum;
    errno = EAGAIN;
    return -1;
}

WRAP(ssize_t, send, int fd, const void *p, size_t n, int flags)
{
    struct iovec iov = { .iov_base = (void *)(uintptr_t)p, .iov_len = n };
    const struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

    return sock_of(fd) ? __wrap_sendmsg(fd, &m, flags) : __real_send(fd, p, n, flags);
}

WRAP(int, socket, int domain, int type, int protocol)
{
    size_t sock;
    int fd = new_sock(&sock);

    if (fd >= 0)
        wio_socks[sock].connecting = true;
    return fd;
}

WRAP(int, connect, int fd, const struct sockaddr *to, socklen_t len)
{
    struct wio_sock *s = sock_of(fd);

    FUZZ_CHECK(s && len <= sizeof s->to);
    memcpy(&s->to, to, len);
    s->refused = !wio_dialled((size_t)(s - wio_socks), &s->to);
    errno = EINPROGRESS;
    return -1;
}

WRAP(int, getsockopt, int fd, int level, int name, void *value, socklen_t *len)
{
    struct wio_sock *s = sock_of(fd);

    if (!s)
        return __real_getsockopt(fd, level, name, value, len);
    *(int *)value = s->refused ? ECONNREFUSED : 0;
    s->connecting = s->refused;
    return 0;
}

WRAP(int, setsockopt, int fd, int level, int name, const void *value, socklen_t len)
{
    return sock_of(fd) ? 0 : __real_setsockopt(fd, level, name, value, len);
}

WRAP(int, getsockname, int fd, struct sockaddr *at, socklen_t *len)
{
    struct addr a;

    if (!sock_of(fd))
        return __real_getsockname(fd, at, len);
    addr_from_host(&a, SV("127.0.0.1"), 5061);
    memcpy(at, &a, addr_len(&a));
    *len = addr_len(&a);
    return 0;
}

WRAP(int, shutdown, int fd, int how)
{
    return sock_of(fd) ? 0 : __real_shutdown(fd, how);
}

WRAP(int, close, int fd)
{
    struct wio_sock *s = sock_of(fd);
    struct counter *c = counter_of(fd);

    if (s) {
        FUZZ_CHECK(s->is_open && s->epfd == 0);
        s->is_open = false;
    } else if (c) {
        *c = (struct counter){ 0 };
    } else if (fd >= EPOLL_BASE && fd < EPOLL_BASE + EPOLLS) {
        epolls[fd - EPOLL_BASE] = false;
    } else {
        return __real_close(fd);
    }
    return 0;
}
