/* What the headers that every SIP message must have may look like.
 *
 * The parser behind these checks answers what it cannot read by itself and then ends the stream, or says nothing at
 * all over UDP; some things it reads that it should not. Checked is what decides where a message goes and who gets its
 * answer; no more (S-MSG-07). Values are without the line's end and may hold folded lines. RFC 3261 s.25, RFC 4475
 * s.3.1.2. Pure functions. */
#pragma once

#include "common/sv.h"

bool sipcheck_token(struct sv s);
/* A Request-URI, or what stands between < and >: a scheme, no blanks, brackets or quotes; of sip and sips a host and a
 * numeric port. */
bool sipcheck_uri(struct sv uri);
/* From, To: one name-addr or addr-spec with parameters. */
bool sipcheck_addr(struct sv value);
/* Via: no empty value or parameter. */
bool sipcheck_via(struct sv value);
/* Contact: no header part in an address without < and >, which could be a parameter or a header as well (RFC 3261
 * s.20.10). */
bool sipcheck_contact(struct sv value);
