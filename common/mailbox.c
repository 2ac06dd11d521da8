/* The mailbox: a locked list and an eventfd. */
#include "common/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/err.h"

struct mailbox {
    pthread_mutex_t lock;
    struct post *first, **last;
    int fd;
};

int mailbox_new(struct mailbox **out)
{
    struct mailbox *m = calloc(1, sizeof *m);
    int err;

    *out = NULL;
    if (!m)
        return TD_ENOMEM;
    m->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (m->fd < 0) {
        err = td_err_from_errno(errno);
        free(m);
        return err;
    }
    pthread_mutex_init(&m->lock, NULL);
    m->last = &m->first;
    *out = m;
    return TD_OK;
}

void mailbox_free(struct mailbox **mp)
{
    struct mailbox *m = *mp;

    if (!m)
        return;
    *mp = NULL;
    mailbox_run(m);
    close(m->fd);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

int mailbox_fd(const struct mailbox *m)
{
    return m->fd;
}

void mailbox_post(struct mailbox *m, struct post *p)
{
    uint64_t one = 1;
    bool was_empty;

    p->next = NULL;
    pthread_mutex_lock(&m->lock);
    was_empty = m->first == NULL;
    *m->last = p;
    m->last = &p->next;
    if (was_empty)
        while (write(m->fd, &one, sizeof one) < 0 && errno == EINTR)
            ;
    pthread_mutex_unlock(&m->lock);
}

void mailbox_run(struct mailbox *m)
{
    struct post *p, *next;
    uint64_t n;

    while (read(m->fd, &n, sizeof n) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&m->lock);
    p = m->first;
    m->first = NULL;
    m->last = &m->first;
    pthread_mutex_unlock(&m->lock);
    for (; p; p = next) {
        next = p->next;
        p->fn(p);
    }
}
