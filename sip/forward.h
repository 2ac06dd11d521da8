/* The copy of a request that goes out on a branch. RFC 3261 s.16.6. */
#pragma once

#include "sip/hop.h"

/* A copy with Request-URI, Route, Max-Forwards set for the target. is_strict, out: the next hop is a strict router, and in the Request-URI. NULL: out of memory. */
msg_t *forward_copy(const struct request *r, const struct target *t, bool *is_strict);

/* Another Request-URI. False: it is no SIP URI, or out of memory. */
bool forward_set_uri(msg_t *copy, sip_t *sip, const url_string_t *uri);

/* Max-Breadth of RFC 5393 s.5: what a request may be forked into, all proxies together, and the share of it that a copy gets. */
unsigned forward_breadth(const sip_t *sip);
bool forward_set_breadth(msg_t *copy, sip_t *sip, unsigned breadth);

/* The CANCEL of an INVITE as it was sent. reason: a Reason value; NULL: none. NULL: out of memory. */
msg_t *forward_cancel(nta_agent_t *nta, const sip_t *invite, const char *reason);

/* Put our Record-Route value or values on top. */
bool forward_record_route(const struct request *r, msg_t *copy, sip_t *sip, const struct mark *in, const struct next_hop *hop,
                          const struct target *t);

/* Add copies of a header and those behind it in its list, with the text that they came with. */
void forward_add_unmodified(msg_t *m, const msg_header_t *list);
