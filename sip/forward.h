/* The copy of a request that goes out on a branch. RFC 3261 s.16.6. */
#pragma once

#include "sip/request.h"

/* Where a copy is to be sent. */
struct next_hop {
    const char *route;      /* URL for nta, in the copy's memory; NULL: as the message says */
    tport_t *tport;         /* borrowed: the flow's transport, or a UDP socket of ours */
    bool must_dial;         /* a stream to dial_host:dial_port is needed first */
    enum pump_kind dial_kind;
    const char *dial_host;
    uint16_t dial_port;
};

enum hop_fault { HOP_OK, HOP_GONE /* its flow has ended */, HOP_FORBIDDEN, HOP_FAILED };

/* Find out how the target is reached, following the message's Route and Request-URI. size: octets of the request as it came; a large one is to
 * go by TCP rather than UDP, and then hop has both: must_dial, and a route should that fail (S-TRN-01). */
enum hop_fault hop_find(struct sipd *d, msg_t *copy, sip_t *sip, const struct target *t, size_t size, struct next_hop *hop);

/* A copy with Request-URI, Route, Max-Forwards set for the target. NULL: out of memory. */
msg_t *forward_copy(const struct request *r, const struct target *t);

/* Max-Breadth of RFC 5393 s.5: what a request may be forked into, all proxies together, and the share of it that a copy gets. */
unsigned forward_breadth(const sip_t *sip);
bool forward_set_breadth(msg_t *copy, sip_t *sip, unsigned breadth);

/* Put our Record-Route value or values on top. */
bool forward_record_route(struct sipd *d, msg_t *copy, sip_t *sip, const struct mark *in, const tport_t *in_tport,
                          uint64_t in_flow, const struct next_hop *hop, const struct target *t);
