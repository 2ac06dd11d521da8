/* Final responses that do not reach, or may turn out not to have reached, whoever sent the request: its stream has gone, or the UDP port that
 * they went to is closed (ICMP).
 *
 * Then RFC 3261 s.18.2.2 has them go to a new connection, and where RFC 3263 s.5 says: to the address in sent-by, or to those of the name there, one
 * after the other. Those over UDP are kept for a while when that can be another place than the one that the request came from; for most
 * clients it cannot. One thread. */
#pragma once

#include "net/addr.h"
#include "sip/request.h"

/* Is a copy of the answer to this request wanted? */
bool undelivered_may(const struct request *r, int status);
/* The copy, the caller's Via on top. Takes m. */
void undelivered(const struct request *r, msg_t *m);

/* A datagram has come back from there; text is how it began. From datagram.c; arg is the sipd. */
void undelivered_error(void *arg, const struct addr *to, struct sv text);

/* Forget what is old. */
void undelivered_sweep(struct sipd *d, uint64_t now_ms);
void undelivered_fini(struct sipd *d);
