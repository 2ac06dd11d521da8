/* The next hop of a message: from what its Route or Request-URI says to a transport of ours and an address.
 *
 * A search goes through the places that RFC 3263 names (sip/locate), leaves out those that policy forbids (net/reach,
 * S-SEC-05), opens a connection where one is needed, and hands out what can be sent on, one after the other, until one
 * works out or there are no more. What nta gets is always an open flow, or a UDP socket and an IP address. */
#pragma once

#include "sip/request.h"

struct next_hop {
    const char *route;  /* URL for nta, always with an IP address; lives as long as the search */
    tport_t *tport;     /* borrowed: the flow's transport, or a UDP socket of ours */
    struct addr at;
};

enum hop_end {
    HOP_FOUND,
    HOP_GONE,      /* the flow it has to take has ended */
    HOP_FORBIDDEN, /* its addresses are none that we send to */
    HOP_ABSENT,    /* there is no such name, or it has no address */
    HOP_FAILED,    /* nobody could be connected to, or no name server answers */
};

struct hops;

/* Where the message goes: its first Route, else its Request-URI, unless the target's mark says it; is_strict: its Request-URI (RFC 3261 s.16.6 item 7). size: octets of the request as it came; a
 * large one goes by TCP rather than UDP if that can be (S-TRN-01). Nothing of the message is kept. NULL: out of memory. */
struct hops *hops_new(struct sipd *d, const sip_t *sip, const struct target *t, bool is_strict, size_t size);
/* A response whose connection has gone, or whose datagram has reached nobody (RFC 3261 s.18.2.2): as RFC 3263 s.5 says, on a stream after
 * where its top Via came from, at the port it names. NULL: out of memory, or no such transport. */
struct hops *hops_new_response(struct sipd *d, const sip_via_t *via);
void hops_free(struct hops **h); /* done does not come any more */

/* hop is NULL unless FOUND, and the search must not be freed before it was sent on. */
typedef void hops_done(void *arg, enum hop_end how, const struct next_hop *hop);

/* The next one. done is called exactly once, perhaps before the call returns. Not while one is being looked for. */
void hops_next(struct hops *h, hops_done *done, void *arg);

/* Datagrams for those whose place has not taken the connection that it was offered: a firewall may say nothing at all. Twice a second. */
void hops_sweep(struct sipd *d, uint64_t now_ms);

/* False: there are no more. True: there may be. */
bool hops_has_more(const struct hops *h);
