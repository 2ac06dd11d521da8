/* NAPTR records out of a DNS message (RFC 3403). For net/resolve alone. */
#pragma once

#include "net/resolve.h"

/* Those with the flag "s" and no regular expression in an answer that c-ares has received, by order and preference; too
 * many: the last ones are left out. *ttl becomes the least among the answers, in seconds, when there are any. Returns a
 * status of c-ares. */
int naptr_read(struct resolve_naptr out[RESOLVE_NAPTR_MAX], size_t *n, const unsigned char *message, int len, int64_t *ttl);
