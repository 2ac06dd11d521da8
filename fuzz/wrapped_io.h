/* Sockets, epoll and the clock, played by the fuzz target itself.
 *
 * The system calls that net/ and the loops make are wrapped at link time (fuzz/local.mk): descriptors that were made here live
 * in memory, all others go to the system. So a run is quick, has no timing of its own, and every read and write is as short as the
 * script wants. One thread. */
#pragma once

#include "common/buf.h"
#include "net/addr.h"

enum { WIO_STREAM_MAX = 200 * 1024 /* bytes to the relay on one socket */, WIO_PEERS = 24 };

/* A socket as its far end sees it. Its number is what peer functions take. */
struct wio_sock {
    char *in; /* owned: all that was ever said to the relay */
    size_t in_n, in_at; /* said; read by the relay */
    size_t visible; /* of those, what the relay may read by now */
    size_t step; /* bytes a read gives at most */
    size_t window; /* bytes that the relay may still write */
    bool used, is_open; /* open: the relay has not closed it */
    bool fin, reset; /* we have */
    bool connecting, refused;
    struct addr to; /* dialled by the relay */
    /* epoll */
    int epfd;
    uint32_t events;
    void *ptr;
};

extern struct wio_sock wio_socks[WIO_PEERS];

/* What the relay does; defined by the target. */
void wio_said(size_t sock, const char *p, size_t n); /* wrote */
bool wio_dialled(size_t sock, const struct addr *to); /* connects; false: it is refused */

void wio_start(void);
void wio_stop(void);
/* A connection that the relay has accepted: its descriptor, or -1. */
int wio_accept(size_t *sock);
/* Say something; false: it has said enough. */
bool wio_say(size_t sock, const char *p, size_t n);
void wio_pass(uint64_t ms);
