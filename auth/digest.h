/* Digest access authentication: reading credentials, computing and writing answers.
 *
 * RFC 7616, RFC 8760, RFC 4976 s.9.1. Pure functions; no Sofia in here. */
#pragma once

#include "common/buf.h"
#include "common/crypto.h"

enum digest_alg { DIGEST_MD5, DIGEST_SHA256, DIGEST_ALG_N };

const char *digest_alg_name(enum digest_alg alg);
/* False: no algorithm that we know (-sess variants included: never offered). Any case. */
bool digest_alg_parse(struct sv name, enum digest_alg *alg);

enum { DIGEST_TEXT_MAX = 4096 /* bytes of one header's values together */ };

/* Parsed credentials. Values are unquoted and unescaped, and have no control characters. An absent parameter has p
 * == NULL. */
struct digest_cred {
    struct sv username, realm, nonce, uri, response, algorithm, cnonce, opaque, qop, nc;
    size_t used;
    char text[DIGEST_TEXT_MAX]; /* the values point in here: do not copy the struct */
};

enum digest_parse {
    DIGEST_PARSED,
    DIGEST_OTHER,  /* another scheme: no credentials of ours */
    DIGEST_BROKEN, /* not the grammar, a parameter given twice, or too long */
};

/* The value of an Authorization header: any SP/HTAB around commas and '=', empty list elements, any order, quoted or
 * bare values, unknown parameters are skipped. */
enum digest_parse digest_parse(struct digest_cred *c, struct sv value);

/* The same for one "name=value" that somebody else has split. First digest_cred_init(). */
void digest_cred_init(struct digest_cred *c);
bool digest_take_param(struct digest_cred *c, struct sv param);

/* The user that these credentials are of: username without "@realm", which some clients put behind it. */
struct sv digest_user(const struct digest_cred *c);

/* The response for these credentials with this HA1; method "" gives rspauth. uri is what is hashed (not c->uri).
 * Without c->qop the old form of RFC 2069 is computed. */
void digest_response(enum digest_alg alg, const struct digest_cred *c, struct sv ha1, struct sv method, struct sv uri,
                     char out[CRYPTO_HEX_MAX]);

/* Exactly 8 hex digits. */
bool digest_nc_parse(struct sv nc, uint32_t *out);

/* Append header values (no name, no CRLF), separated by ", ". */
void digest_challenge_print(struct buf *out, enum digest_alg alg, struct sv realm, struct sv nonce, struct sv opaque,
                            bool stale);
void digest_info_print(struct buf *out, struct sv rspauth, struct sv cnonce, struct sv nc);
