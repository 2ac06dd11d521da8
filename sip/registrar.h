/* The registrar: REGISTER for the domains served here. RFC 3261 s.10.3, RFC 3327.
 *
 * registrar_request() is a step: it goes on by its own calls from then on. */
#pragma once

#include "sip/request.h"

enum verdict registrar_request(struct request *r);
