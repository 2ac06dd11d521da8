/* Digest authentication, client side; check values of the requirements' transcript X-01. */
#include "client/digest.h"

#include "tests/unit/harness.h"

#define URI "msrps://edge.tandem.example:5061;tcp"
#define CHALLENGE                                                                                                    \
    "Digest realm=\"edge.tandem.example\", qop=\"auth\", nonce=\"5f9a6c1b2d3e4f50718293a4b5c6d7e8\", opaque=\"o\", " \
    "algorithm="

static const struct mc_credentials alice = { { "alice", 5 }, { "Wonder-1and", 11 }, false };
static const struct mc_digest x01 = { { "AUTH", 4 }, { URI, sizeof URI - 1 }, { "0a4f113b9c21", 12 }, 1 };

static void check(const char *challenge, const char *response, const char *rspauth)
{
    char got[CRYPTO_HEX_MAX];
    struct mc_challenge c;

    CHECK(mc_challenge_parse(sv_of(challenge), &c));
    mc_digest_response(&c, &alice, &x01, got);
    CHECK_STR(got, response);
    mc_digest_rspauth(&c, &alice, &x01, got);
    CHECK_STR(got, rspauth);
}

/* M-AUTH-07, M-AUTH-10, M-AUTH-14 */
TEST(md5_response_and_rspauth_are_those_of_x01)
{
    check(CHALLENGE "MD5", "45f35ce279571d5c0dff38c95caa678a", "f46ca8591cc13e3207f0238b5fb2f042");
}

/* M-AUTH-15 */
TEST(sha256_response_and_rspauth_are_those_of_x01)
{
    check(CHALLENGE "SHA-256", "bee7b3233746ed46fa778e7f869a80a10cacc6a8fc2e6fe7db5b0fd90302d018",
          "5aa92efb200c6392e0ed6ecbad73c85d93ab3c2afac8c3df6cdbc6feaab1a243");
}

TEST(authorization_holds_what_the_relay_needs)
{
    struct mc_credentials who = alice;
    struct buf b = BUF_INIT;
    struct mc_challenge c;
    struct sv v;

    CHECK(mc_challenge_parse(SV(CHALLENGE "MD5"), &c));
    mc_digest_authorize(&b, &c, &who, &x01);
    CHECK_STR(b.p,
              "Digest username=\"alice\", realm=\"edge.tandem.example\", nonce=\"5f9a6c1b2d3e4f50718293a4b5c6d7e8\", "
              "opaque=\"o\", algorithm=MD5, qop=auth, nc=00000001, cnonce=\"0a4f113b9c21\", "
              "response=\"45f35ce279571d5c0dff38c95caa678a\"");
    CHECK(!mc_auth_param(buf_sv(&b), SV("uri"), &v));
    buf_clear(&b);
    who.send_uri = true;
    mc_digest_authorize(&b, &c, &who, &x01);
    CHECK(mc_auth_param(buf_sv(&b), SV("uri"), &v) && sv_eq(v, SV(URI)));
    buf_fini(&b);
}

/* M-AUTH-06: commas with and without space, quotes with escapes, any order. */
TEST(challenges_are_read_in_any_dress)
{
    struct mc_challenge c;

    CHECK(mc_challenge_parse(SV("digest  nonce=n ,realm=\"a, \\\"b\\\"\",stale=TRUE,qop=\"auth-int,auth\",x=\"y=z\""),
                             &c));
    CHECK(sv_eq(c.realm, SV("a, \\\"b\\\"")));
    CHECK(sv_eq(c.nonce, SV("n")));
    CHECK(c.is_stale && c.has_qop && !c.has_opaque && c.algorithm == CRYPTO_MD5);
}

/* M-AUTH-04 */
TEST(challenges_that_are_not_ours_are_refused)
{
    const char *bad[] = { "",
                          "Basic realm=\"x\"",
                          "Digest realm=\"x\"",
                          "Digest nonce=\"x\", qop=\"auth\"",
                          "Digest realm=\"x\", nonce=\"y\", qop=\"auth-int\"",
                          "Digest realm=\"x\", nonce=\"y\", qop=\"auth\", algorithm=MD5-sess",
                          "Digest realm=\"x\", nonce=\"unterminated",
                          /* between the quotes of our answer it would be a parameter of its own */
                          "Digest realm=\"x\", qop=\"auth\", nonce=y\", response=\"z" };
    struct mc_challenge c;

    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++)
        CHECK(!mc_challenge_parse(sv_of(bad[i]), &c));
}

SUITE(digest_suite, TEST_ROW(md5_response_and_rspauth_are_those_of_x01),
      TEST_ROW(sha256_response_and_rspauth_are_those_of_x01), TEST_ROW(authorization_holds_what_the_relay_needs),
      TEST_ROW(challenges_are_read_in_any_dress), TEST_ROW(challenges_that_are_not_ours_are_refused));
