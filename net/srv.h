/* SRV records out of a DNS message (RFC 2782). For net/resolve alone. */
#pragma once

#include "net/resolve.h"

/* Those in an answer that c-ares has received, by priority and within one those without weight first. *ttl becomes the
 * least among the answers, in seconds, when there are any. Returns a status of c-ares. */
int srv_read(struct resolve_srv out[RESOLVE_SRV_MAX], size_t *n, const unsigned char *message, int len, int64_t *ttl);

/* The least time to live among the answers of a DNS message that c-ares has found good, in seconds (RFC 1035 s.4.1). */
int64_t srv_message_ttl(const unsigned char *message, int len);
