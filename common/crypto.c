/* Randomness, digests and secret comparison, from GnuTLS. */
#include "common/crypto.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/err.h"

static void must(int ret, const char *what)
{
    if (ret < 0) {
        fprintf(stderr, "crypto: %s failed: %s\n", what, gnutls_strerror(ret));
        abort();
    }
}

const char *crypto_library_version(void)
{
    return gnutls_check_version(NULL);
}

void crypto_random(void *out, size_t n)
{
    must(gnutls_rnd(GNUTLS_RND_KEY, out, n), "random generator");
}

void crypto_random_name(char *out, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    uint8_t raw[64];
    size_t have = 0, used = 0;

    for (size_t i = 0; i < n;) {
        uint8_t v;

        if (used == have) {
            crypto_random(raw, sizeof raw);
            have = sizeof raw;
            used = 0;
        }
        v = raw[used++] & 63;
        if (v < 62) /* 62 and 63 are thrown away: every character equally likely */
            out[i++] = digits[v];
    }
    out[n] = '\0';
}

void crypto_hash_hex(enum crypto_hash alg, struct sv bytes, char out[CRYPTO_HEX_MAX])
{
    static const char hex[] = "0123456789abcdef";
    gnutls_digest_algorithm_t dig = alg == CRYPTO_MD5 ? GNUTLS_DIG_MD5 : GNUTLS_DIG_SHA256;
    size_t n = alg == CRYPTO_MD5 ? 16 : 32;
    uint8_t raw[32];

    must(gnutls_hash_fast(dig, bytes.p, bytes.n, raw), "digest");
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = hex[raw[i] >> 4];
        out[2 * i + 1] = hex[raw[i] & 15];
    }
    out[2 * n] = '\0';
}

void crypto_sha1(struct sv bytes, uint8_t out[20])
{
    must(gnutls_hash_fast(GNUTLS_DIG_SHA1, bytes.p, bytes.n, out), "digest");
}

struct crypto_mac {
    gnutls_hmac_hd_t keyed; /* owned */
};

int crypto_mac_new(struct crypto_mac **out, struct sv key)
{
    struct crypto_mac *m = calloc(1, sizeof *m);

    *out = m;
    if (!m)
        return TD_ENOMEM;
    must(gnutls_hmac_init(&m->keyed, GNUTLS_MAC_SHA256, key.p, key.n), "HMAC");
    return TD_OK;
}

void crypto_mac_free(struct crypto_mac **mp)
{
    struct crypto_mac *m = *mp;

    if (!m)
        return;
    *mp = NULL;
    gnutls_hmac_deinit(m->keyed, NULL);
    free(m);
}

void crypto_mac_add(struct crypto_mac *m, struct sv bytes)
{
    must(gnutls_hmac(m->keyed, bytes.p, bytes.n), "HMAC");
}

void crypto_mac_end(struct crypto_mac *m, uint8_t out[32])
{
    gnutls_hmac_output(m->keyed, out); /* and begins anew */
}

bool crypto_equal(struct sv a, struct sv b)
{
    return a.n == b.n && gnutls_memcmp(a.p, b.p, a.n) == 0;
}

void rng_bytes(struct rng *r, void *out, size_t n)
{
    uint8_t *to = out;

    while (n) {
        size_t take;

        if (r->left == 0) {
            crypto_random(r->pool, sizeof r->pool);
            r->left = sizeof r->pool;
        }
        take = TD_MIN(n, r->left);
        memcpy(to, r->pool + sizeof r->pool - r->left, take);
        r->left -= take;
        to += take;
        n -= take;
    }
}
