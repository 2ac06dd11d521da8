/* Digest: reading and computing, with the check values of the transcripts. */
#include "auth/digest.h"

#include <string.h>

#include "tests/unit/harness.h"

static enum digest_parse parse(struct digest_cred *c, const char *text)
{
    return digest_parse(c, sv_of(text));
}

static bool is(struct sv have, const char *want)
{
    return want ? have.p && sv_eq(have, sv_of(want)) : have.p == NULL;
}

/* M-AUTH-10, M-AUTH-14, M-AUTH-15, S-AUT-05: the table of transcript X-01. */
TEST(the_check_values_of_x_01_come_out_for_both_algorithms)
{
    static const struct {
        enum digest_alg alg;
        const char *ha1, *response, *rspauth;
    } rows[] = {
        { DIGEST_MD5, "102a4cd5ae124a286cb7250846482842", "45f35ce279571d5c0dff38c95caa678a",
          "f46ca8591cc13e3207f0238b5fb2f042" },
        { DIGEST_SHA256, "6ce1fa820fa6e7d4843f62511c1b9d2348e52b24a455a87e1426f0a095a5da9b",
          "bee7b3233746ed46fa778e7f869a80a10cacc6a8fc2e6fe7db5b0fd90302d018",
          "5aa92efb200c6392e0ed6ecbad73c85d93ab3c2afac8c3df6cdbc6feaab1a243" },
    };
    const struct sv uri = SV("msrps://edge.tandem.example:5061;tcp");
    struct digest_cred c;
    char hex[CRYPTO_HEX_MAX];

    CHECK_INT(
        parse(&c,
              "Digest username=\"alice\", realm=\"edge.tandem.example\", nonce=\"5f9a6c1b2d3e4f50718293a4b5c6d7e8\", "
              "opaque=\"x\", qop=auth, nc=00000001, cnonce=\"0a4f113b9c21\", response=\"r\""),
        DIGEST_PARSED);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        crypto_hash_hex(rows[i].alg == DIGEST_MD5 ? CRYPTO_MD5 : CRYPTO_SHA256,
                        SV("alice:edge.tandem.example:Wonder-1and"), hex);
        CHECK_STR(hex, rows[i].ha1);
        digest_response(rows[i].alg, &c, sv_of(rows[i].ha1), SV("AUTH"), uri, hex);
        CHECK_STR(hex, rows[i].response);
        digest_response(rows[i].alg, &c, sv_of(rows[i].ha1), SV(""), uri, hex);
        CHECK_STR(hex, rows[i].rspauth);
    }
}

/* S-AUT-05: RFC 2617 s.3.5 has the example with qop; without it the hash is shorter. */
TEST(the_examples_of_rfc_2617_come_out)
{
    const struct sv ha1 = SV("939e7578ed9e3c518a452acee763bce9");
    struct digest_cred c;
    char hex[CRYPTO_HEX_MAX];

    CHECK_INT(
        parse(&c,
              "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", "
              "uri=\"/dir/index.html\", qop=auth, nc=00000001, cnonce=\"0a4f113b\", "
              "response=\"6629fae49393a05397450978507c4ef1\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""),
        DIGEST_PARSED);
    digest_response(DIGEST_MD5, &c, ha1, SV("GET"), c.uri, hex);
    CHECK(is(c.response, hex));
    CHECK_INT(
        parse(&c,
              "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", "
              "uri=\"/dir/index.html\", response=\"670fd8c2df070c60b045671b8b24ff02\""),
        DIGEST_PARSED);
    digest_response(DIGEST_MD5, &c, ha1, SV("GET"), c.uri, hex);
    CHECK_STR(hex, "670fd8c2df070c60b045671b8b24ff02");
}

/* M-AUTH-06 */
TEST(any_blanks_any_order_and_any_quoting_are_read)
{
    static const char *const same[] = {
        "Digest username=\"alice\", realm=\"r\", nonce=\"n\", nc=00000001, cnonce=\"c\", qop=auth, response=\"x\"",
        "digest response=x,qop=\"auth\",cnonce=c,nc=\"00000001\",nonce=n,realm=r,username=alice",
        "DIGEST\tusername = \"alice\" ,\trealm\t=\t\"r\",,nonce=\"n\" , nc=00000001,cnonce=\"c\", "
        "qop=auth,response=\"x\",",
        "Digest , USERNAME=\"al\\ice\", Realm=\"r\", x-new=\"a,b=c\", nonce=\"n\", auth-param=1, NC=00000001, "
        "cnonce=\"c\", qop=auth, response=\"x\"",
    };
    struct digest_cred c;

    for (size_t i = 0; i < TD_ARRAY_LEN(same); i++) {
        CHECK_INT(parse(&c, same[i]), DIGEST_PARSED);
        CHECK(is(c.username, "alice") && is(c.realm, "r") && is(c.nonce, "n") && is(c.nc, "00000001") &&
              is(c.cnonce, "c"));
        CHECK(is(c.qop, "auth") && is(c.response, "x") && is(c.uri, NULL) && is(c.opaque, NULL) &&
              is(c.algorithm, NULL));
    }
    CHECK_INT(parse(&c, "Digest username=\"\", realm=\"a \\\"b\\\" \\\\\""), DIGEST_PARSED);
    CHECK(is(c.username, "") && is(c.realm, "a \"b\" \\"));
}

TEST(what_is_no_digest_or_no_grammar_is_told_apart)
{
    static const char *const broken[] = {
        "Digest",
        "Digest ,",
        "Digest username",
        "Digest username=",
        "Digest username=,realm=r",
        "Digest =x",
        "Digest \"x\"",
        "Digest username=\"alice",
        "Digest username=\"alice\\",
        "Digest username=\"a\" realm=\"r\"",
        "Digest username=a b",
        "Digest username=a, username=b",
        "Digest username=\"a\"x",
        "Digest username=a\"b\"",
        "Digest username=\"a\001b\"",
        "Digest username=\"a\nb\"",
        "Digest realm=\"r\", rea lm=x",
        "Digest nonce=\x7f",
    };
    static const char *const other[] = { "", "Basic YTpi", "Bearer x=y", "Digestx username=a", "username=\"alice\"" };
    struct digest_cred c;

    for (size_t i = 0; i < TD_ARRAY_LEN(broken); i++)
        CHECK_INT(parse(&c, broken[i]), DIGEST_BROKEN);
    for (size_t i = 0; i < TD_ARRAY_LEN(other); i++)
        CHECK_INT(parse(&c, other[i]), DIGEST_OTHER);
    CHECK_INT(digest_parse(&c, sv_make("Digest username=\"a\0b\"", 21)), DIGEST_BROKEN);
}

TEST(values_have_a_limit_and_one_byte_more_is_broken)
{
    static char text[DIGEST_TEXT_MAX + 64];
    struct digest_cred c;
    int head = snprintf(text, sizeof text, "Digest username=");

    memset(text + head, 'u', DIGEST_TEXT_MAX);
    CHECK_INT(digest_parse(&c, sv_make(text, (size_t)head + DIGEST_TEXT_MAX)), DIGEST_PARSED);
    CHECK_INT(c.username.n, DIGEST_TEXT_MAX);
    text[head + DIGEST_TEXT_MAX] = 'u';
    CHECK_INT(digest_parse(&c, sv_make(text, (size_t)head + DIGEST_TEXT_MAX + 1)), DIGEST_BROKEN);
}

TEST(values_are_read_without_their_quotes)
{
    struct digest_cred c;

    CHECK_INT(parse(&c, "Digest username=\"al \\\"x\\\\\", realm=\"\", nonce=n, uri=\"sip:a,b\", opaque=\"\xc3\xa4\", qop=\"a b\", nc=1"),
              DIGEST_PARSED);
    CHECK(sv_eq(c.username, SV("al \"x\\")) && c.realm.p && c.realm.n == 0 && sv_eq(c.nonce, SV("n")));
    CHECK(sv_eq(c.uri, SV("sip:a,b")) && sv_eq(c.opaque, SV("\xc3\xa4")) && sv_eq(c.qop, SV("a b")) && sv_eq(c.nc, SV("1")));
    CHECK(!c.response.p && !c.algorithm.p && !c.cnonce.p);
}

/* M-AUTH-03, M-AUTH-06, M-AUTH-11 */
TEST(challenges_and_info_have_the_shape_that_clients_split)
{
    struct buf b = BUF_INIT;

    digest_challenge_print(&b, DIGEST_MD5, SV("edge.tandem.example"), SV("abc"), SV("op"), false);
    CHECK_STR(b.p, "Digest realm=\"edge.tandem.example\", qop=\"auth\", nonce=\"abc\", opaque=\"op\", algorithm=MD5");
    buf_clear(&b);
    digest_challenge_print(&b, DIGEST_SHA256, SV("r"), SV("abc"), SV("op"), true);
    CHECK_STR(b.p, "Digest realm=\"r\", qop=\"auth\", nonce=\"abc\", opaque=\"op\", stale=true, algorithm=SHA-256");
    buf_clear(&b);
    digest_info_print(&b, SV("ff"), SV("c\"n"), SV("00000001"));
    CHECK_STR(b.p, "rspauth=\"ff\", cnonce=\"c\\\"n\", nc=00000001, qop=auth");
    buf_fini(&b);
}

TEST(a_nonce_count_is_eight_hex_digits)
{
    uint32_t nc = 0;

    CHECK(digest_nc_parse(SV("0000000a"), &nc) && nc == 10);
    CHECK(digest_nc_parse(SV("FFFFFFFF"), &nc) && nc == 0xffffffff);
    CHECK(!digest_nc_parse(SV("1"), &nc) && !digest_nc_parse(SV("000000001"), &nc) &&
          !digest_nc_parse(SV("0000000g"), &nc));
    CHECK(!digest_nc_parse(SV(""), &nc) && !digest_nc_parse(SV("0x000001"), &nc));
}

/* M-AUTH-04: the -sess variants do not exist for us. */
TEST(algorithms_are_known_by_name_in_any_case)
{
    enum digest_alg alg;

    CHECK(digest_alg_parse(SV("md5"), &alg) && alg == DIGEST_MD5);
    CHECK(digest_alg_parse(SV("sha-256"), &alg) && alg == DIGEST_SHA256);
    CHECK(!digest_alg_parse(SV("MD5-sess"), &alg) && !digest_alg_parse(SV("SHA-512-256"), &alg) &&
          !digest_alg_parse(SV(""), &alg));
}

SUITE(digest_suite, TEST_ROW(the_check_values_of_x_01_come_out_for_both_algorithms),
      TEST_ROW(the_examples_of_rfc_2617_come_out), TEST_ROW(any_blanks_any_order_and_any_quoting_are_read),
      TEST_ROW(what_is_no_digest_or_no_grammar_is_told_apart),
      TEST_ROW(values_have_a_limit_and_one_byte_more_is_broken), TEST_ROW(values_are_read_without_their_quotes),
      TEST_ROW(challenges_and_info_have_the_shape_that_clients_split), TEST_ROW(a_nonce_count_is_eight_hex_digits),
      TEST_ROW(algorithms_are_known_by_name_in_any_case));
