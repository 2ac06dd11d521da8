/* Nonces: made and checked without remembering them, and the nonce counts already used.
 *
 * A nonce is hex text of time (4 bytes), random (8 bytes) and a MAC (16 bytes of HMAC-SHA-256 over both and the
 * realm) under a secret of this process: any thread of it can check what another one made, and no other process can (one that
 * is told an unknown nonce with right credentials answers stale=true, which costs its client a round trip). The secret changes
 * each lifetime of a nonce, and the one before it is kept, so each nonce can be checked for all of its life.
 * Only nonces that were used with a right digest are remembered, in a bounded table shared by all threads (64
 * locks, each held for a look-up or a MAC): the highest count and a window of the 64 counts below it, so that requests may
 * overtake each other but none is taken twice. When the table is full the oldest nonce leaves it, and nonces that
 * are not newer than that one are stale from then on: fullness costs clients a round trip and never lets a replay
 * through. Times are seconds of a clock that never jumps; the caller brings them. RFC 7616 s.3.3, s.5.4; M-AUTH-13,
 * S-AUT-08, S-AUT-11. */
#pragma once

#include "common/sv.h"

enum {
    NONCE_LEN = 56,          /* hex digits */
    NONCE_TABLE_MAX = 65536, /* nonces in use */
};

struct nonces; /* one a process; all calls thread-safe */

int nonces_new(struct nonces **out);
void nonces_free(struct nonces **n);

/* The process's opaque value: some clients need one. */
const char *nonces_opaque(const struct nonces *n);

void nonce_make(struct nonces *n, struct sv realm, uint64_t now_s, uint64_t lifetime_s, char out[NONCE_LEN + 1]);

enum nonce_state {
    NONCE_GOOD,
    NONCE_STALE,  /* ours, but too old */
    NONCE_FOREIGN /* not made by this process, or so long ago that its secret is gone */
};

/* Is it ours and not older than lifetime_s? Changes nothing. */
enum nonce_state nonce_check(struct nonces *n, struct sv nonce, struct sv realm, uint64_t now_s,
                             uint64_t lifetime_s);

/* Use up one count of a nonce that nonce_check() found good. False: used before, below the window, a first use that
 * comes too late, or a nonce that the full table had to forget: stale. nc 0 is never good. */
bool nonce_use(struct nonces *n, struct sv nonce, uint32_t nc, uint64_t now_s, uint64_t first_use_s, uint64_t lifetime_s);
