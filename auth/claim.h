/* The Digest credentials in the header lines of an MSRP frame: what its sender claims to be. */
#pragma once

#include "auth/digest.h"

enum { CLAIMS_MAX = 8 /* Authorization headers of one frame */ };

/* Where in the header lines we are. */
struct claims {
    struct sv rest; /* lines `Name: value CRLF` */
    int n;          /* Authorization headers seen */
};

/* The next Digest credentials with a realm. 1: in *cred; 0: there are no more; negative: malformed, or too many. */
int claim_next(struct claims *c, struct digest_cred *cred);

/* The first of them that name a user, whatever the others look like. */
bool claim_first(struct digest_cred *cred, struct sv headers);
