/* The control socket to the SIP process, which the pumps of all workers share. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/err.h"
#include "net/pump_private.h"

int pump_link_new(struct pump_link **out, int fd, const uint16_t ports[PUMP_KIND_N][2])
{
    struct pump_link *l = calloc(1, sizeof *l);

    *out = l;
    if (!l) {
        close(fd);
        return TD_ENOMEM;
    }
    l->refs = 1;
    l->fd = fd;
    memcpy(l->ports, ports, sizeof l->ports);
    return TD_OK;
}

struct pump_link *pump_link_ref(struct pump_link *l)
{
    __atomic_add_fetch(&l->refs, 1, __ATOMIC_RELAXED);
    return l;
}

void pump_link_unref(struct pump_link **lp)
{
    struct pump_link *l = *lp;

    *lp = NULL;
    if (l && __atomic_sub_fetch(&l->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        close(l->fd);
        free(l);
    }
}

ssize_t pump_rec_send(int socket, const struct pump_rec *r, int file, int flags)
{
    struct iovec iov = { .iov_base = (void *)r, .iov_len = pump_rec_size(r) };
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (file >= 0) {
        m.msg_control = control.space;
        m.msg_controllen = sizeof control.space;
        control.align = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) };
        memcpy(CMSG_DATA(&control.align), &file, sizeof file);
    }
    return sendmsg(socket, &m, flags | MSG_NOSIGNAL);
}

bool pump_link_try(struct pump_link *l, const struct pump_rec *r, int file)
{
    ssize_t n;

    do {
        n = pump_rec_send(l->fd, r, file, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return n >= 0 || (errno != EAGAIN && errno != ENOBUFS && errno != ETOOMANYREFS);
}
