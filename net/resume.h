/* What is kept of TLS sessions that have ended, for the next connection to the same host: it is shorter then.
 *
 * Opaque bytes by host and by the rule that it was verified by, each given out once, the newest first; RESUME_MAX in
 * all, of RESUME_BYTES at most each: the oldest leave. Secret: they are wiped when they go. Thread-safe. RFC 8446
 * s.2.2. */
#pragma once

#include "common/buf.h"

struct resume;

enum { RESUME_MAX = 256, RESUME_BYTES = 16384 };

int resume_new(struct resume **out);
void resume_free(struct resume **r);

/* Copied; what is too large is not kept. */
void resume_put(struct resume *r, int rule, const char *host, const void *bytes, size_t n);
/* The newest of that host (in any case) and rule, put into out; false: there is none. */
bool resume_take(struct resume *r, int rule, const char *host, struct buf *out);
