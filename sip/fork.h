/* A proxied transaction: the server side, and a client side for each target.
 *
 * RFC 3261 s.16.6 to s.16.10 as changed by RFC 6026 and RFC 4320. Branches run in groups of equal q. The fork ends
 * by itself when all its transactions have; nothing of nta's is destroyed inside a callback. */
#pragma once

#include "sip/request.h"

struct fork;

/* Make the server transaction; an INVITE gets its 100 at once. NULL: it could not be made. */
struct fork *fork_new(struct sipd *d, msg_t *msg, sip_t *sip, tport_t *tport);

/* End it with an answer of our own. headers: NULL, or lines each with CRLF. */
void fork_reply(struct fork *f, int status, const char *phrase, const char *headers);

/* A provisional answer of our own to an INVITE. */
void fork_provisional(struct fork *f, int status, const char *phrase, const char *headers);

/* The To tag of answers of our own; NULL: none yet. The first one that is set stays. */
void fork_set_tag(struct fork *f, const char *tag);
const char *fork_tag(const struct fork *f);

/* Send the request of r to its targets. */
void fork_start(struct fork *f, const struct request *r);

/* Does this CANCEL come from who has sent the INVITE (S-CAN-03)? / End it as he wishes; its branches answer. */
bool fork_is_cancelled_by(const struct fork *f, const struct request *cancel);
void fork_cancel(struct fork *f, const struct request *cancel);
bool fork_is_cancelled(const struct fork *f);

/* Timer C, cancelled branches that stay silent, 100 for slow non-INVITEs, the next group. Twice a second. */
void fork_sweep(struct sipd *d);

void forks_fini(struct sipd *d);
