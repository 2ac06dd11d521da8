/* An MSRP AUTH as a SIP request, for Sofia's authentication module to look at.
 *
 * The request line and the headers every SIP request must have are fixed; of the frame only its Authorization headers
 * come along, checked by our own parser and written anew, so that the edge never shows Sofia bytes of a peer. */
#pragma once

#include <sofia-sip/msg.h>

#include "common/sv.h"

enum { SIPMSG_AUTHORIZATIONS_MAX = 8 };

struct digest_cred;

/* The first Digest credentials in such headers that name a user and a realm. */
bool sipmsg_claim(struct digest_cred *cred, struct sv headers);

enum sipmsg_result {
    SIPMSG_MADE,
    SIPMSG_BAD,   /* a Digest that is malformed, or too many: 400 */
    SIPMSG_NOMEM,
};

/* headers: lines `Name: value CRLF`. The message is the caller's: msg_destroy(). */
enum sipmsg_result sipmsg_make(msg_t **out, struct sv headers);
