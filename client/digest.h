/* Digest authentication, client side, for MSRP AUTH and SIP.
 *
 * Answers one challenge; knows MD5 and SHA-256, with qop "auth" (the only one MSRP allows) or none (old SIP servers).
 * Pure but for the cnonce, which the caller brings. RFC 4976 s.9.1, RFC 7616 s.3.4. */
#pragma once

#include "common/buf.h"
#include "common/crypto.h"

/* The parameters of one WWW-Authenticate value; slices of it. */
struct mc_challenge {
    struct sv realm, nonce, opaque; /* as between the quotes, escapes and all */
    enum crypto_hash algorithm;
    bool has_opaque, has_algorithm, has_qop, is_stale;
};

/* False: not Digest, incomplete, or an algorithm or qop that is not ours. */
bool mc_challenge_parse(struct sv value, struct mc_challenge *out);

struct mc_credentials {
    struct sv user, password;
    bool send_uri; /* put uri="..." into the Authorization */
};

/* What the hashes are made of beyond the challenge. */
struct mc_digest {
    struct sv method, uri; /* uri: the rightmost To-Path URI, byte for byte */
    struct sv cnonce;
    uint32_t nc;
};

/* Appends the value of an Authorization header. */
void mc_digest_authorize(struct buf *out, const struct mc_challenge *c, const struct mc_credentials *who,
                         const struct mc_digest *d);

void mc_digest_response(const struct mc_challenge *c, const struct mc_credentials *who, const struct mc_digest *d,
                        char out[CRYPTO_HEX_MAX]);

/* The rspauth an honest relay sends: the same over A2 = ":" uri. */
void mc_digest_rspauth(const struct mc_challenge *c, const struct mc_credentials *who, const struct mc_digest *d,
                       char out[CRYPTO_HEX_MAX]);

/* One parameter of a challenge, Authorization or Authentication-Info value, without its quotes. */
bool mc_auth_param(struct sv value, struct sv name, struct sv *out);
