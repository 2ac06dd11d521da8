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

/* Find out how the target is reached, following the message's Route and Request-URI. */
enum hop_fault hop_find(struct sipd *d, msg_t *copy, sip_t *sip, const struct target *t, struct next_hop *hop);

/* A copy with Request-URI, Route, Max-Forwards set for the target. NULL: out of memory. */
msg_t *forward_copy(const struct request *r, const struct target *t);

/* Put our Record-Route value or values on top. */
bool forward_record_route(struct sipd *d, msg_t *copy, sip_t *sip, const struct mark *in, const tport_t *in_tport,
                          uint64_t in_flow, const struct next_hop *hop, const struct target *t);
