/* INVITEs that were answered with 2xx: for a while, what is repeated of that answer goes on to the caller, though its transaction has
 * ended (RFC 6026 s.7, S-TXN-06). */
#pragma once

#include "sip/sipd.h"

/* The branch that brought the 2xx; via: the caller's, as he sent it; flow_id, or the ident of our UDP socket: towards him. */
void answered_add(struct sipd *d, const char *branch, const sip_via_t *via, uint64_t flow_id, const char *ident);

/* A response without a transaction: such a repetition goes on, to where that Via says, all else is dropped. Takes msg. */
void answered_response(struct sipd *d, msg_t *msg, sip_t *sip);

/* Forget what is old. */
void answered_sweep(struct sipd *d, uint64_t now_ms);
void answered_fini(struct sipd *d);
