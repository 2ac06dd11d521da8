/* The edge's side of the SIP process: starting, watching and restarting it.
 *
 * Owned by the edge's control thread; uses its loop. The process is this executable again, `--sip FD -c
 * /dev/fd/N`, with one end of the control socket and a memfd that holds the configuration. A process that dies
 * is started again (at once, then with growing pauses); one that does not answer pings is killed; one that says
 * it can never work (accept() not interposed, UDP port taken at the first start) stops the server. */
#pragma once

#include "common/conf.h"
#include "common/loop.h"
#include "common/stats.h"
#include "net/limit.h"
#include "net/pump.h"

struct sipproc;

struct sipproc_events {
    /* The SIP process listens, for the first time. */
    void (*ready)(void *arg);
    /* A process is up, for the first time or again, or has not taken all that it was told: sipproc_ban() for everybody who is shut out. */
    void (*up)(void *arg);
    /* It asks to shut a source out. */
    void (*ban)(void *arg, const struct addr *a, enum limits_why why);
    /* It cannot work; reason is one line, already logged. The caller stops the server (exit status 2). */
    void (*failed)(void *arg, const char *reason);
    void *arg; /* borrowed */
};

/* pumps: one a worker, borrowed until sipproc_stop(). stats: the control thread's own block (STAT_sip_restarts). */
int sipproc_start(struct sipproc **out, struct loop *l, const struct conf *conf, const char *secret, struct pump *const *pumps,
                  size_t n_pumps, struct stats *stats, const struct sipproc_events *events);

/* End it: it is asked to, waited for up to a second, then killed. The workers' loops may be stopped already. */
void sipproc_stop(struct sipproc **p);

/* Hand it a new configuration, and all its successors. */
void sipproc_configure(struct sipproc *p, const struct conf *conf);

/* Tell it that a source is shut out for so long; 0: not any more. */
void sipproc_ban(struct sipproc *p, const struct addr *a, uint64_t seconds);

/* Tell it that subscribers have changed. */
void sipproc_forget(struct sipproc *p);

/* Its counters, which outlive a process; any thread may read them. */
const struct stats *sipproc_stats(const struct sipproc *p);

/* Its process id, 0 while there is none. */
int sipproc_pid(const struct sipproc *p);
