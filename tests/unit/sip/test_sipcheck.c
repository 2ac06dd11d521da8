/* What the mandatory headers may look like: RFC 3261 s.25, RFC 4475, RFC 5118. */
#include "net/sipcheck.h"
#include "tests/unit/harness.h"

/* S-VAL-02 S-TLS-08: any scheme passes here, and is judged later. */
TEST(uris)
{
    static const char *const good[] = { "sip:example.com", "SIP:bob@example.com", "sips:bob:pw@example.com:5061;transport=tcp?a=b", "sip:[2001:db8::10]",
                                        "sip:[2001:db8::10]:5070", "sip:[2001:db8:::192.0.2.1]", "sip:a;b?c&d=e/f,g@h", "tel:+123", "urn:service:sos", "isbn:2983792873",
                                        "soap.beep://192.0.2.103:3002", "sip:%00@h", "sip:user;par=u%40example.net@example.com" };
    static const char *const bad[] = { "", "bob", ":bob", "1sip:x", "sip:", "sip:bob@", "sip:bob@:5060", "<sip:bob@example.com>", "sip:bob@example.com; lr", " sip:a@b",
                                       "sip:a@b ", "sip:2001:db8::10", "sip:a@b:50x", "sip:[2001:db8::10", "sip:[2001:db8::10]x", "sip:a@b]", "sip:\"a\"@b", "tel:", "s p:a@b" };

    for (size_t i = 0; i < TD_ARRAY_LEN(good); i++)
        if (!sipcheck_uri(sv_of(good[i])))
            CHECK_STR(good[i], "is refused");
    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++)
        if (sipcheck_uri(sv_of(bad[i])))
            CHECK_STR(bad[i], "passes");
    CHECK(!sipcheck_uri(sv_make("sip:a\0@b", 8)));
}

/* S-MSG-10: RFC 4475 quotbal, badaspec, baddn. */
TEST(from_and_to)
{
    static const char *const good[] = { "sip:bob@example.com", "<sip:bob@example.com>", "<sip:bob@example.com>;tag=1", "Bob <sip:bob@example.com>", "sip:bob@example.com;tag=1",
                                        "\"Bob, \\\"the\\\" <one>\" <sip:bob@example.com>", "\r\n sip:bob@example.com ;   tag    = 1", "caller<sip:caller@example.com>;tag=323",
                                        "\"J\"\r\n  <sip:a@b>\r\n  ;\r\n tag = 9", "J\xc3\xbcrg <sip:a@b>", "<tel:+1>", "<sip:a@b;lr?x=y>  ;tag=2" };
    static const char *const bad[] = { "", "\"Mr. J. User <sip:bob@example.com>", "\"a\" sip:a@b", "\"a\"", "Bell, Alexander <sip:a@b>;tag=1", "\"W\" < sip:a@b >", "<sip:a@b >",
                                       "<sip:a@b", "<>", "<sip:a@b>tag=1", "sip:a@b x", "a (b) <sip:a@b>", "\"a\\\" <sip:a@b>" };

    for (size_t i = 0; i < TD_ARRAY_LEN(good); i++)
        if (!sipcheck_addr(sv_of(good[i])))
            CHECK_STR(good[i], "is refused");
    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++)
        if (sipcheck_addr(sv_of(bad[i])))
            CHECK_STR(bad[i], "passes");
}

/* RFC 4475 badinv01, regbadct. */
TEST(via_and_contact)
{
    CHECK(sipcheck_via(SV("SIP  / 2.0  / UDP  192.0.2.2 ; branch = 390skdjuw, SIP/2.0/TCP [::1]:5060;x=\"a;;,\";rport")));
    CHECK(!sipcheck_via(SV("SIP/2.0/UDP 192.0.2.15;;,;,,")));
    CHECK(!sipcheck_via(SV("SIP/2.0/UDP h;branch=a;")));
    CHECK(!sipcheck_via(SV("SIP/2.0/UDP h , , SIP/2.0/UDP i")));
    CHECK(!sipcheck_via(SV("")));
    CHECK(!sipcheck_via(SV("SIP/2.0/UDP h;x=\"a")));
    CHECK(sipcheck_contact(SV("<sip:a@b?Route=%3Csip:c%3E>;q=1, \"why?\" <sip:d@e>")));
    CHECK(!sipcheck_contact(SV("sip:a@b?Route=%3Csip:c%3E")));
    CHECK(!sipcheck_contact(SV("<sip:a@b>, sip:a@b?x=y")));
    CHECK(!sipcheck_contact(SV("\"a <sip:a@b>")));
}

SUITE(sipcheck_suite, TEST_ROW(uris), TEST_ROW(from_and_to), TEST_ROW(via_and_contact));
