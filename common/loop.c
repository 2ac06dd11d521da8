/* The event loop: epoll, timers, deferred calls, mailbox. */
#include "common/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/err.h"

enum { EVENTS_PER_TURN = 256 };

struct loop {
    int epfd;
    int stop_fd;
    int stopping;
    bool soon;
    uint64_t now_ms, unix_s;
    struct wheel wheel;
    struct loop_defer *deferred, **deferred_last;
    struct list hooks;
    struct mailbox *mailbox; /* owned */
    struct loop_io mail_io, stop_io;
    struct epoll_event events[EVENTS_PER_TURN]; /* of the running turn */
    int n_events, at_event;
};

static uint64_t clock_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void take_time(struct loop *l)
{
    l->now_ms = clock_ms();
    l->unix_s = (uint64_t)time(NULL);
}

static void on_mail(struct loop_io *io, uint32_t events)
{
    struct loop *l = TD_CONTAINER_OF(io, struct loop, mail_io);

    mailbox_run(l->mailbox);
}

static void on_stop(struct loop_io *io, uint32_t events)
{
    struct loop *l = TD_CONTAINER_OF(io, struct loop, stop_io);

    __atomic_store_n(&l->stopping, 1, __ATOMIC_RELAXED);
}

int loop_new(struct loop **out)
{
    struct loop *l = calloc(1, sizeof *l);
    int err = TD_ENOMEM;

    *out = NULL;
    if (!l)
        return err;
    l->deferred_last = &l->deferred;
    list_init(&l->hooks);
    l->epfd = epoll_create1(EPOLL_CLOEXEC);
    l->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (l->epfd < 0 || l->stop_fd < 0) {
        err = td_err_from_errno(errno);
        goto out;
    }
    take_time(l);
    wheel_init(&l->wheel, l->now_ms);
    err = mailbox_new(&l->mailbox);
    if (err)
        goto out;
    l->mail_io.ready = on_mail;
    l->stop_io.ready = on_stop;
    err = loop_add(l, &l->mail_io, mailbox_fd(l->mailbox), LOOP_READ);
    if (!err)
        err = loop_add(l, &l->stop_io, l->stop_fd, LOOP_READ);
    if (err)
        goto out;
    *out = l;
    l = NULL;
out:
    loop_free(&l);
    return err;
}

static void run_deferred(struct loop *l)
{
    while (l->deferred) {
        struct loop_defer *d = l->deferred;

        l->deferred = d->next;
        if (!l->deferred)
            l->deferred_last = &l->deferred;
        d->queued = false;
        d->run(d);
    }
}

void loop_free(struct loop **lp)
{
    struct loop *l = *lp;

    if (!l)
        return;
    *lp = NULL;
    mailbox_free(&l->mailbox);
    run_deferred(l);
    if (l->epfd >= 0)
        close(l->epfd);
    if (l->stop_fd >= 0)
        close(l->stop_fd);
    free(l);
}

uint64_t loop_now_ms(const struct loop *l)
{
    return l->now_ms;
}

uint64_t loop_unix_s(const struct loop *l)
{
    return l->unix_s;
}

int loop_fd(const struct loop *l)
{
    return l->epfd;
}

int loop_wait_ms(const struct loop *l)
{
    return wheel_next_ms(&l->wheel, clock_ms());
}

void loop_tick(struct loop *l)
{
    take_time(l);
}

struct wheel *loop_wheel(struct loop *l)
{
    return &l->wheel;
}

struct mailbox *loop_mailbox(struct loop *l)
{
    return l->mailbox;
}

static uint32_t to_epoll(uint32_t want)
{
    return (want & LOOP_READ ? EPOLLIN | EPOLLRDHUP : 0) | (want & LOOP_WRITE ? EPOLLOUT : 0);
}

int loop_add(struct loop *l, struct loop_io *io, int fd, uint32_t want)
{
    struct epoll_event ev = { .events = to_epoll(want), .data.ptr = io };

    io->fd = fd;
    io->want = want;
    if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev) < 0) {
        io->fd = -1;
        return td_err_from_errno(errno);
    }
    return TD_OK;
}

void loop_want(struct loop *l, struct loop_io *io, uint32_t want)
{
    struct epoll_event ev = { .events = to_epoll(want), .data.ptr = io };

    if (io->fd < 0 || io->want == want)
        return;
    io->want = want;
    epoll_ctl(l->epfd, EPOLL_CTL_MOD, io->fd, &ev);
}

void loop_remove(struct loop *l, struct loop_io *io)
{
    if (io->fd < 0)
        return;
    epoll_ctl(l->epfd, EPOLL_CTL_DEL, io->fd, NULL);
    io->fd = -1;
    io->want = 0;
    for (int i = l->at_event + 1; i < l->n_events; i++)
        if (l->events[i].data.ptr == io)
            l->events[i].data.ptr = NULL;
}

void loop_soon(struct loop *l)
{
    l->soon = true;
}

void loop_defer(struct loop *l, struct loop_defer *d)
{
    if (d->queued)
        return;
    d->queued = true;
    d->next = NULL;
    *l->deferred_last = d;
    l->deferred_last = &d->next;
}

void loop_hook_add(struct loop *l, struct loop_hook *h)
{
    list_append(&l->hooks, &h->node);
}

void loop_hook_remove(struct loop_hook *h)
{
    list_remove(&h->node);
}

void loop_turn(struct loop *l, int max_ms)
{
    int wait = wheel_next_ms(&l->wheel, clock_ms()), n;

    if (l->deferred || l->soon)
        wait = 0;
    l->soon = false;
    if (wait < 0 || (max_ms >= 0 && max_ms < wait))
        wait = max_ms;
    n = epoll_wait(l->epfd, l->events, EVENTS_PER_TURN, wait);
    take_time(l);
    l->n_events = n < 0 ? 0 : n;
    for (l->at_event = 0; l->at_event < l->n_events; l->at_event++) {
        struct loop_io *io = l->events[l->at_event].data.ptr;
        uint32_t got = l->events[l->at_event].events, events = 0;

        if (!io)
            continue;
        if (got & (EPOLLIN | EPOLLRDHUP))
            events |= LOOP_READ;
        if (got & EPOLLOUT)
            events |= LOOP_WRITE;
        if (got & (EPOLLERR | EPOLLHUP))
            events |= LOOP_ERROR;
        io->ready(io, events);
    }
    l->n_events = 0;
    wheel_advance(&l->wheel, l->now_ms);
    list_each_safe(node, &l->hooks) {
        struct loop_hook *h = list_item(node, struct loop_hook, node);

        h->run(h);
    }
    run_deferred(l);
}

void loop_run(struct loop *l)
{
    while (!__atomic_load_n(&l->stopping, __ATOMIC_RELAXED))
        loop_turn(l, -1);
}

void loop_stop(struct loop *l)
{
    uint64_t one = 1;

    while (write(l->stop_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}
