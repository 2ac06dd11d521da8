/* Listening sockets that outlive the process (S-SEC-08): its service manager keeps them over a restart, so that nobody is refused
 * meanwhile; who connects waits in the system's queue. sd_pid_notify_with_fds(3), sd_listen_fds(3). Without a service manager all
 * of this does nothing. Main thread. */
#pragma once

#include "net/addr.h"

struct handover {
    struct handover_socket {
        int fd; /* owned */
        struct addr at;
    } *v; /* owned */
    size_t n;
};

/* What we were started with. From now on the service manager keeps none of them. */
void handover_begin(struct handover *h);
/* A listening TCP socket of this address, now the caller's; -1: there is none (left). */
int handover_take(struct handover *h, const struct addr *at);
/* What nobody has taken is closed: the configuration has changed. */
void handover_end(struct handover *h);

/* We are about to stop: the service manager is to keep this one too; it remains the caller's. */
void handover_leave(int fd);
