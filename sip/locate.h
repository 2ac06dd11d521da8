/* Where the server of a SIP URI is: RFC 3263 s.4 for requests, s.5 for responses.
 *
 * A search hands out one place after the other, in the order in which they are to be tried: by NAPTR, SRV (priority,
 * weight) and A/AAAA records, each looked up only when what came before has failed. It knows nothing of messages or
 * transports of ours; the caller asks for the next place when one did not work out. */
#pragma once

#include "common/crypto.h"
#include "net/resolve.h"

enum transport { TRANSPORT_UDP, TRANSPORT_TCP, TRANSPORT_TLS, TRANSPORT_N, TRANSPORT_ANY = TRANSPORT_N };

/* How names are looked up: net/resolve, or a test's own. */
struct locate_dns {
    struct resolve_query *(*host)(void *arg, const char *host, uint16_t port, resolve_done *done, void *done_arg);
    struct resolve_query *(*srv)(void *arg, const char *name, resolve_srv_done *done, void *done_arg);
    struct resolve_query *(*naptr)(void *arg, const char *name, resolve_naptr_done *done, void *done_arg);
    void (*cancel)(struct resolve_query *q);
    struct rng *rng;
    void *arg;
};

struct locate_ask {
    const char *host;         /* name or IP literal, brackets optional; copied */
    uint16_t port;            /* 0: none was given */
    enum transport transport; /* ANY: none was given */
    bool is_secure;           /* sips: TLS alone */
    bool is_large;            /* too large for UDP, where there is a choice (RFC 3261 s.18.1.1) */
    uint8_t can[2];           /* bits of enum transport that we can send by, over IPv4 and over IPv6 */
};

struct place {
    enum transport transport;
    struct addr at;
};

enum locate_end {
    LOCATE_FOUND,
    LOCATE_ABSENT, /* no (more) places: the name does not exist, or has none */
    LOCATE_FAILED, /* no (more) places, and some could not be looked up: no answer from the name servers */
};

enum { LOCATE_PLACES_MAX = 10 /* handed out by one search: who writes the records must not make us try for ever */ };

struct locate;

/* p lives for the call; NULL unless FOUND. The search may be freed. */
typedef void locate_done(void *arg, enum locate_end how, const struct place *p);

/* dns is borrowed for as long. NULL: out of memory. */
struct locate *locate_new(const struct locate_dns *dns, const struct locate_ask *ask);
void locate_free(struct locate **l); /* done does not come any more */

/* Find the next place. done is called exactly once, perhaps before the call returns. Not while one is being looked for. */
void locate_next(struct locate *l, locate_done *done, void *arg);

/* False: there are no more. True: there may be. */
bool locate_has_more(const struct locate *l);
