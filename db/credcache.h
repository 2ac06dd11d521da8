/* Credentials remembered for a while: a bounded table of stripes, each with its lock and its order of use.
 *
 * The caller brings the time, in milliseconds. All calls thread-safe. */
#pragma once

#include "db/cred.h"

struct cred_cache;

int cred_cache_new(struct cred_cache **out, size_t max);
void cred_cache_free(struct cred_cache **c);

bool cred_cache_get(struct cred_cache *c, struct sv user, struct sv domain, uint64_t now_ms, struct db_cred *out);

/* generation: what cred_cache_generation() said before the look-up in the file began; an answer older than a flush
 * is not kept. */
void cred_cache_put(struct cred_cache *c, struct sv user, struct sv domain, uint64_t now_ms, const struct db_cred *cred,
                    uint64_t generation);
uint64_t cred_cache_generation(const struct cred_cache *c);
void cred_cache_flush(struct cred_cache *c);
size_t cred_cache_count(struct cred_cache *c);
