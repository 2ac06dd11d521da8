/* Listening sockets that outlive the process. */
#include "tandemd/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "config.h"

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>

#define NAME "listener" /* of ours, among what the service manager keeps */

static bool is_listening(int fd, struct addr *at)
{
    struct sockaddr_storage ss = { 0 };
    socklen_t len = sizeof ss;

    if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0 || getsockname(fd, (struct sockaddr *)&ss, &len) < 0 ||
        (ss.ss_family != AF_INET && ss.ss_family != AF_INET6))
        return false;
    addr_from_socket(at, &ss);
    return true;
}

void handover_begin(struct handover *h)
{
    int n = sd_listen_fds(1); /* closed in our children */

    *h = (struct handover){ 0 };
    if (n <= 0)
        return;
    h->v = calloc((size_t)n, sizeof *h->v);
    for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n; fd++) {
        struct addr at;

        if (!h->v || !is_listening(fd, &at) || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
            log_warn("edge", 0, "closed: descriptor %d that we were started with is no listening TCP socket", fd);
            close(fd);
            continue;
        }
        h->v[h->n++] = (struct handover_socket){ .fd = fd, .at = at };
    }
    sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=" NAME);
}

void handover_leave(int fd)
{
    int err = sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDNAME=" NAME, &fd, 1);

    if (err < 0)
        log_warn("edge", 0, "the service manager cannot keep a listening socket: %s", strerror(-err));
}

#else

void handover_begin(struct handover *h)
{
    *h = (struct handover){ 0 };
}

void handover_leave(int fd)
{
}

#endif

int handover_take(struct handover *h, const struct addr *at)
{
    for (size_t i = 0; i < h->n; i++) {
        int fd = h->v[i].fd;

        if (!addr_eq(&h->v[i].at, at))
            continue;
        h->v[i] = h->v[--h->n];
        return fd;
    }
    return -1;
}

void handover_end(struct handover *h)
{
    while (h->n) {
        char text[ADDR_TEXT_MAX];

        log_info("edge", 0, "closed: %s, where nobody listens any more", addr_text(&h->v[--h->n].at, text));
        close(h->v[h->n].fd);
    }
    free(h->v);
    *h = (struct handover){ 0 };
}
