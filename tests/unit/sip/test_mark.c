/* The marks in Record-Route. */
#include "sip/mark.h"
#include "common/crypto.h"
#include "tests/unit/harness.h"

static struct sipd server(const char *secret)
{
    struct sipd d = { 0 };

    CHECK_INT(crypto_mac_new(&d.mac, sv_of(secret)), 0);
    CHECK_FATAL(sv_copy(SV("run00001"), d.run, sizeof d.run));
    return d;
}

static struct mark round_trip(const struct mark *in)
{
    struct sipd d = server("secret");
    char text[MARK_TEXT_MAX];
    struct mark out;

    mark_print(&d, in, "call@x", text);
    CHECK(strlen(text) < sizeof text - 1);
    CHECK_FATAL(mark_parse(&d, text, "call@x", &out));
    CHECK_INT(out.kind, in->kind);
    crypto_mac_free(&d.mac);
    return out;
}

/* S-OUT-08 */
TEST(every_kind_of_mark_survives_printing)
{
    struct mark m = { .kind = MARK_PLAIN }, out;

    round_trip(&m);
    m = (struct mark){ .kind = MARK_FLOW, .conn_id = UINT64_MAX, .device = UINT64_MAX };
    CHECK(round_trip(&m).conn_id == UINT64_MAX);
    CHECK(round_trip(&m).device == UINT64_MAX);
    m = (struct mark){ .kind = MARK_UDP, .ident = "udp12" };
    CHECK(addr_from_text(&m.addr, SV("192.0.2.7:65535")));
    out = round_trip(&m);
    CHECK(addr_eq(&out.addr, &m.addr));
    CHECK_STR(out.ident, "udp12");
    CHECK(addr_from_text(&m.addr, SV("[2001:db8::ffff:1]:5060")));
    out = round_trip(&m);
    CHECK(addr_eq(&out.addr, &m.addr));
}

/* S-SEC-06 */
TEST(mark_of_another_call_server_or_content_is_no_mark)
{
    struct sipd d = server("secret"), other = server("other");
    struct mark m = { .kind = MARK_FLOW, .conn_id = 0x17 }, out;
    char text[MARK_TEXT_MAX];

    mark_print(&d, &m, "call@x", text);
    CHECK(!mark_parse(&d, text, "call@y", &out));
    CHECK(!mark_parse(&other, text, "call@x", &out));
    for (size_t i = 0; text[i]; i++) {
        char was = text[i];

        text[i] ^= 1;
        CHECK(!mark_parse(&d, text, "call@x", &out));
        text[i] = was;
    }
    text[strlen(text) - 1] = '\0';
    CHECK(!mark_parse(&d, text, "call@x", &out));
    CHECK(!mark_parse(&d, "", "call@x", &out));
    CHECK(!mark_parse(&d, ".", "call@x", &out));
    CHECK(!mark_parse(&d, "p", "call@x", &out));
    crypto_mac_free(&d.mac);
    crypto_mac_free(&other.mac);
}

/* Connection ids begin anew in another run: an old mark must not name somebody else's connection. */
TEST(mark_of_an_earlier_run_names_the_device_and_no_flow)
{
    struct sipd d = server("secret"), later = server("secret");
    struct mark m = { .kind = MARK_FLOW, .conn_id = 0x17, .device = 0x2a }, out;
    char text[MARK_TEXT_MAX];

    sv_copy(SV("run00002"), later.run, sizeof later.run);
    mark_print(&d, &m, "call@x", text);
    CHECK_FATAL(mark_parse(&later, text, "call@x", &out));
    CHECK_INT(out.kind, MARK_FLOW);
    CHECK(out.conn_id == 0);
    CHECK(out.device == 0x2a);
    crypto_mac_free(&d.mac);
    crypto_mac_free(&later.mac);
}

TEST(device_is_of_one_user_and_known_by_its_instance_rather_than_its_contact)
{
    struct sipd d = server("secret"), other = server("other");
    uint64_t one = mark_device(&d, SV("bob"), SV("a.example"), "<urn:uuid:1>", "sip:bob@1");

    CHECK(one && one == mark_device(&d, SV("bob"), SV("a.example"), "<urn:uuid:1>", "sip:bob@2"));
    CHECK(one != mark_device(&d, SV("bob"), SV("a.example"), "<urn:uuid:2>", "sip:bob@1"));
    CHECK(one != mark_device(&d, SV("eve"), SV("a.example"), "<urn:uuid:1>", "sip:bob@1"));
    CHECK(one != mark_device(&other, SV("bob"), SV("a.example"), "<urn:uuid:1>", "sip:bob@1"));
    CHECK(mark_device(&d, SV("bob"), SV("a.example"), "", "sip:bob@1") != mark_device(&d, SV("bob"), SV("a.example"), "", "sip:bob@2"));
    crypto_mac_free(&d.mac);
    crypto_mac_free(&other.mac);
}

SUITE(mark_suite, TEST_ROW(mark_of_an_earlier_run_names_the_device_and_no_flow),
      TEST_ROW(device_is_of_one_user_and_known_by_its_instance_rather_than_its_contact), TEST_ROW(every_kind_of_mark_survives_printing),
      TEST_ROW(mark_of_another_call_server_or_content_is_no_mark));
