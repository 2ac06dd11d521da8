/* Request lines with methods that Sofia does not know.
 *
 * Sofia 1.12.11 looks for the end of an unknown method behind the length of the known method with the same first
 * letter, and so takes `MSRP sip:...` or `PING sip:...` for garbage. Unknown methods are proxied like any other
 * (S-MSG-08). */
#pragma once

#include "sip/sofia.h"

struct msg_mclass_s;

/* Sofia's SIP parser with a request line that takes any method (NTATAG_MCLASS). Allocated for the life of the
 * process; NULL: out of memory. */
struct msg_mclass_s const *method_mclass(void);

/* A CANCEL is read as an unknown method, too, and is one no more after this. nta looks at the first CANCEL of an INVITE alone, whoever sent it, and
 * answers the others without a word to us; so it must not know them (sip/step_cancel.c). */
void method_reveal(sip_t *sip);

/* A request line for the same method with another Request-URI. NULL: out of memory, or no such URI. */
sip_request_t *method_request_line(su_home_t *home, const sip_request_t *rq, const url_string_t *uri);
