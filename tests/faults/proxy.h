/* A TCP proxy that breaks what passes through it, at exact places.
 *
 * It stands between one end of a conversation and the relay. Each direction is a pipe of bytes with a plan: bytes go on
 * in pieces of a given size, one a turn of the loop; the pipe stalls for a while at one position; at another one
 * the connection is reset, closed, or half closed. Positions count from proxy_arm() on, so the same plan does the same
 * again. One loop, one thread. */
#pragma once

#include "common/loop.h"
#include "net/addr.h"

enum proxy_pipe { PIPE_UP /* end to relay */, PIPE_DOWN /* relay to end */ };
enum proxy_side { SIDE_END, SIDE_RELAY };

enum proxy_cut {
    CUT_NEVER,
    CUT_RESET, /* RST to both sides */
    CUT_CLOSE, /* FIN to both sides, nothing is read any more */
    CUT_HALF, /* FIN to the relay alone, which may still speak (going up only) */
};

struct proxy_plan {
    uint32_t piece; /* bytes at a time; 0: as they come */
    uint64_t pieces_from, pieces_to; /* positions where that begins and ends */
    uint64_t stall_at;
    uint32_t stall_ms; /* 0: none */
    uint64_t cut_at;
    enum proxy_cut cut;
};

enum { PROXY_BUFFER = 32 * 1024, PROXY_ANY = 0 };

struct proxy_half {
    struct proxy_plan plan;
    char *buf; /* owned: PROXY_BUFFER */
    size_t at, n; /* what waits: buf[at..at+n) */
    uint64_t passed, base; /* bytes handed on; where positions begin */
    bool eof, shut, dead; /* the source has ended; that was passed on; all else is thrown away */
    bool stalled, has_stalled;
    bool armed, blocked; /* blocked: the kernel took no more */
    struct wheel_timer timer;
    struct proxy *proxy; /* back */
};

struct proxy {
    struct loop *loop; /* borrowed */
    struct addr at; /* where it listens */
    struct addr target;
    bool relay_dials; /* the accepted side is the relay's */
    struct loop_io listen;
    struct loop_io side[2];
    bool connecting[2];
    struct proxy_half half[2];
    bool again; /* has a piece to write next turn */
    struct loop_hook hook;
    bool ended;
    uint16_t end_port; /* of our socket towards the end, when the relay dials */
    /* Told when the plan cuts, and when a side has ended by itself. Not for freeing the proxy. */
    void (*on_cut)(struct proxy *p, enum proxy_cut how);
    void (*on_end)(struct proxy *p, enum proxy_side whose);
    void (*on_open)(struct proxy *p); /* both sides are there; the one towards the end may still be connecting */
    void *arg; /* borrowed: theirs */
};

/* Listens on a port of 127.0.0.1 and takes one connection. False: the system refuses. */
bool proxy_open(struct proxy *p, struct loop *loop, const struct addr *target, bool relay_dials);
/* Positions count from here; the plans for both directions are in force. */
void proxy_arm(struct proxy *p, const struct proxy_plan *up, const struct proxy_plan *down);
/* Ends what is left of it with a reset. */
void proxy_close(struct proxy *p);
