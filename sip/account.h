/* Accounting of SIP: one row of table acc for what has become of a call or a message.
 *
 * Counted are INVITEs that begin a call, each with its answers of 200 and above that went up, BYEs and MESSAGEs; of these only requests
 * that policy has let in, so that strangers cannot fill the table. One thread. */
#pragma once

#include "sip/sipd.h"

/* The request has got this final answer. to_tag: NULL when it is that of the request. */
void account(struct sipd *d, const sip_t *request, int status, const char *phrase, const char *to_tag);

/* The same for a refusal: a request that comes again, when there is no transaction of it (any more), is refused again, and counted once. */
void account_once(struct sipd *d, const sip_t *request, int status, const char *phrase, const char *to_tag);
