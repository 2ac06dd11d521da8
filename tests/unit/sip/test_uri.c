/* Which URIs are the same: the sets of RFC 3261 s.19.1.4. */
#include "sip/uri.h"
#include "tests/unit/harness.h"

static bool is_eq(const char *a, const char *b)
{
    su_home_t home[1] = { SU_HOME_INIT(home) };
    url_t *u = url_make(home, a), *v = url_make(home, b);
    bool eq;

    CHECK_FATAL(u && v);
    eq = uri_eq(u, v);
    CHECK_INT(uri_eq(v, u), eq);
    su_home_deinit(home);
    return eq;
}

/* S-MSG-15 */
TEST(equal_uris)
{
    CHECK(is_eq("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"));
    CHECK(is_eq("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"));
    CHECK(is_eq("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"));
    CHECK(is_eq("sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com", "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com"));
    CHECK(is_eq("sip:a:b@c:5070;lr", "sip:a:b@c:5070;LR"));
}

/* S-MSG-15 */
TEST(unequal_uris)
{
    CHECK(!is_eq("sip:alice@atlanta.com", "sips:alice@atlanta.com"));
    CHECK(!is_eq("SIP:ALICE@AtLanTa.CoM", "sip:alice@AtLanTa.CoM"));
    CHECK(!is_eq("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"));
    CHECK(!is_eq("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"));
    CHECK(!is_eq("sip:bob@biloxi.com:6000", "sip:bob@biloxi.com:5060"));
    CHECK(!is_eq("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"));
    CHECK(!is_eq("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"));
    CHECK(!is_eq("sip:a@b", "sip:a@b;user=phone"));
    CHECK(!is_eq("sip:a@b;ttl=1", "sip:a@b"));
    CHECK(!is_eq("sip:a@b;maddr=1.2.3.4", "sip:a@b"));
    CHECK(!is_eq("sip:a@b;method=INVITE", "sip:a@b"));
    CHECK(!is_eq("sip:a:b@c", "sip:a@c"));
}

SUITE(uri_suite, TEST_ROW(equal_uris), TEST_ROW(unequal_uris));
