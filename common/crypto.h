/* Randomness, digests and secret comparison, from GnuTLS.
 *
 * The one place outside net/tls that sees GnuTLS. Thread-safe; a failing
 * CSPRNG or hash means a broken machine and ends the process with a log line. */
#pragma once

#include "common/sv.h"

enum crypto_hash { CRYPTO_MD5, CRYPTO_SHA256 };

enum { CRYPTO_HEX_MAX = 65 }; /* hex digits of the longest digest, and NUL */

/* Of GnuTLS. */
const char *crypto_library_version(void);

void crypto_random(void *out, size_t n);

/* n random characters of [A-Za-z0-9], 5.95 bits each, and a NUL. */
void crypto_random_name(char *out, size_t n);

/* Lower-case hex digest of the bytes, NUL-terminated: 32 or 64 digits. */
void crypto_hash_hex(enum crypto_hash alg, struct sv bytes, char out[CRYPTO_HEX_MAX]);

/* SHA-1, which protects nothing any more; a WebSocket handshake wants it (RFC 6455 s.4.2.2). */
void crypto_sha1(struct sv bytes, uint8_t out[20]);

/* HMAC-SHA-256 with one key, which is hashed once and not for each code. One thread at a time. */
struct crypto_mac;

int crypto_mac_new(struct crypto_mac **out, struct sv key);
void crypto_mac_free(struct crypto_mac **m);

/* The code of all bytes added since the last one. */
void crypto_mac_add(struct crypto_mac *m, struct sv bytes);
void crypto_mac_end(struct crypto_mac *m, uint8_t out[32]);

/* Equal? Takes the same time wherever they differ (their lengths are no secret). */
bool crypto_equal(struct sv a, struct sv b);

/* A cheap source of random bytes for one thread: refills itself from the CSPRNG
 * 4 KiB at a time, so that drawing an identifier costs no system or library call. */
struct rng {
    uint8_t pool[4096];
    size_t left;
};

void rng_bytes(struct rng *r, void *out, size_t n);
