/* Messages that leave without a transaction, once it is known where to: the ACK of a 2xx, which may have to wait for a name
 * to be looked up or a connection to be opened, and a response whose connection has gone.
 *
 * RFC 3261 s.13.2.2.4, s.18.2.2. Nobody hears how it ended; what is not delivered is the sender's to repeat. */
#pragma once

#include "sip/request.h"

/* To the one target of r. */
void errand_ack(const struct request *r);

/* A response with the caller's Via on top, whose stream has gone: to a new one (S-VIA-05). Takes m. */
void errand_response(struct sipd *d, msg_t *m);

void errands_fini(struct sipd *d);
