/* Host names to addresses, without ever blocking: c-ares on the worker's loop.
 *
 * A and AAAA of a name, in the order RFC 6724 gives, SRV and NAPTR records, from a bounded cache that
 * respects the records' time to live and remembers failures too. One resolver a worker, and one in the SIP process;
 * everything belongs to that thread. Outside of a turn of the loop, loop_tick() it first: the cache goes by its
 * time. */
#pragma once

#include "common/conf.h"
#include "common/crypto.h"
#include "common/loop.h"
#include "net/addr.h"

struct resolver;
struct resolve_query;

/* servers: conf->dns.servers; none: those of the system. TD_EINVAL: one of them is not ADDRESS[:PORT]. */
int resolver_new(struct resolver **out, struct loop *l, const struct conf_list *servers);
/* Cancels what is running: no callback comes. */
void resolver_free(struct resolver **r);

/* addrs lives for the call. n 0: no address, why says so ("the name does not exist"), and err is TD_ENOENT when that is
 * what the name servers say or it is no name, any other error when they could not be asked. May start and cancel
 * queries, not free the resolver. */
typedef void resolve_done(void *arg, const struct addr *addrs, size_t n, int err, const char *why);

/* Look up a host name, or take the IP literal (brackets optional) as it is. done is called exactly once: before
 * the call returns (then it returns NULL) for a literal, a cached answer or a name that cannot exist; else later. The
 * handle is good until done or resolve_cancel(), after which done is not called. */
struct resolve_query *resolve_host(struct resolver *r, const char *host, uint16_t port, resolve_done *done, void *arg);
void resolve_cancel(struct resolve_query *q);

enum { RESOLVE_HOST_MAX = 253 /* octets of a name */, RESOLVE_SRV_MAX = 16, RESOLVE_NAPTR_MAX = 8 /* records handed out for one name */ };

struct resolve_srv {
    uint16_t priority, weight, port;
    char target[RESOLVE_HOST_MAX + 1];
};

/* servers lives for the call. n 0: there are none (TD_OK), or, and why says so, the service is said not to be offered
 * there (TD_EUNSUPP; RFC 2782), it is no name (TD_ENOENT), or they could not be had. */
typedef void resolve_srv_done(void *arg, const struct resolve_srv *servers, size_t n, int err, const char *why);

/* Look up the SRV records of a name ("_msrps._tcp.example.com"); like resolve_host() otherwise. */
struct resolve_query *resolve_srv(struct resolver *r, const char *name, resolve_srv_done *done, void *arg);

struct resolve_naptr {
    uint16_t order, preference;
    char service[32];                     /* "SIP+D2U"; as it came */
    char replacement[RESOLVE_HOST_MAX + 1]; /* the name to go on with */
};

/* pointers lives for the call: those that name SRV records (flag "s"), by order and preference. n 0: there are none
 * (TD_OK), or they could not be had. */
typedef void resolve_naptr_done(void *arg, const struct resolve_naptr *pointers, size_t n, int err);

/* Look up the NAPTR records of a domain (RFC 3403); like resolve_host() otherwise. */
struct resolve_query *resolve_naptr(struct resolver *r, const char *name, resolve_naptr_done *done, void *arg);

/* Put SRV records in the order in which a client is to try them: by priority, within one at random by weight (RFC
 * 2782). */
void resolve_srv_order(struct resolve_srv *servers, size_t n, struct rng *rng);

/* Of c-ares. */
const char *resolver_library_version(void);

/* Most addresses handed out for one name; names in the cache; bounds on how long an answer is believed. */
enum { RESOLVE_ADDRS_MAX = 16, RESOLVE_CACHE_MAX = 4096, RESOLVE_TTL_MAX_S = 3600, RESOLVE_TTL_NEGATIVE_S = 30 };
