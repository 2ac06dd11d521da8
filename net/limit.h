/* Limits on connections, in all and for each source, on the requests of a source, and sources that are shut out.
 * A source is an IPv4 address or an IPv6 /64. Shared by all workers, thread-safe; takes a lock, so it is asked once per
 * accept, and per SIP request and AUTH when there is a limit for those, never per frame. */
#pragma once

#include "net/addr.h"

struct limits;

int limits_new(struct limits **out, uint64_t connections, uint64_t per_address);
void limits_free(struct limits **l);
/* For connections that come from now on. */
void limits_set(struct limits *l, uint64_t connections, uint64_t per_address);

/* May this address open one more connection? If so it is counted, until limits_leave() with the same address. CROWDED:
 * so it is, but now there are more in all than may be: close another one, or this one. */
enum limits_entry { LIMITS_REFUSED, LIMITS_ENTERED, LIMITS_CROWDED };
enum limits_entry limits_enter(struct limits *l, const struct addr *a);
void limits_leave(struct limits *l, const struct addr *a);
/* The same for a connection of our own making, which counts for no source; never REFUSED. */
enum limits_entry limits_count(struct limits *l);
void limits_uncount(struct limits *l);
/* How many there are beyond the limit. */
uint64_t limits_excess(const struct limits *l);

/* Requests of one source in a second, 0: no limit; and for how long a source over it is shut out. */
void limits_set_requests(struct limits *l, uint64_t per_second, uint64_t ban_s);

/* One request came from a source that has entered. False: it is over the limit, or shut out: end its connection. */
bool limits_request(struct limits *l, const struct addr *a);

/* The same for a datagram's source, which never enters. Sources are forgotten by limits_sweep(), called every few
 * seconds; while there are LIMITS_DATAGRAM_SOURCES_MAX of them, others pass. BAN: it has just been shut out. */
enum { LIMITS_DATAGRAM_SOURCES_MAX = 65536 };
enum limits_verdict { LIMITS_PASS, LIMITS_DROP, LIMITS_BAN };
enum limits_verdict limits_datagram(struct limits *l, const struct addr *a);
void limits_sweep(struct limits *l);

/* Be told of every ban and (seconds 0) every one lifted by hand, on the thread that does it and with a lock held: pass
 * it on. Set before other threads use l. */
typedef void limits_watch_fn(void *arg, const struct addr *a, uint64_t seconds);
void limits_watch(struct limits *l, limits_watch_fn *fn, void *arg);

/* Why a source is shut out; the texts are static. */
enum limits_why { LIMITS_BY_HAND, LIMITS_REQUESTS, LIMITS_SCANNER, LIMITS_WHY_N };
const char *limits_why_text(enum limits_why why);

/* Sources that are shut out: limits_enter() refuses them. */
enum { LIMITS_BANS_MAX = 65536 };

/* seconds 0: as limits_set_requests() says. reason: static. A ban that is there already gets the new end. TD_ELIMIT:
 * LIMITS_BANS_MAX. */
int limits_ban(struct limits *l, const struct addr *a, uint64_t seconds, const char *reason);
bool limits_unban(struct limits *l, const struct addr *a); /* false: it was not banned */
bool limits_is_banned(struct limits *l, const struct addr *a);

struct limits_ban {
    struct addr addr; /* as given; it stands for its whole source */
    uint64_t left_s;
    const char *reason;
};
/* All of them, copied: *out is the caller's to free. */
int limits_bans(struct limits *l, struct limits_ban **out, size_t *n);

/* For tests: the clock, in seconds. */
void limits_set_clock(struct limits *l, uint64_t (*now_s)(void));
