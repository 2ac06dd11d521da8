/* TLS: who is believed by his certificate, on either side. */
#include "net/tls.h"

#include <stdio.h>

#include "common/err.h"
#include "tests/unit/harness.h"
#include "tests/unit/net/tlsends.h"

/* Dial a server with that certificate; what becomes of the client? */
static enum tlsio_state dial_state(const char *certificate, const char *host, enum tlsio_verify verify, const char *fault)
{
    struct tlsio_server *ss = server(certificate, CLIENT_CERT_NONE), *cs = server(NULL, CLIENT_CERT_NONE);
    enum tlsio_state state;
    struct end c, s;

    start(&c, cs, host, verify, &s, ss);
    pump(&c, &s, 100000, 100);
    state = tlsio_state(c.t);
    if (fault && !strstr(tlsio_fault(c.t), fault)) {
        fprintf(stderr, "\n    %s as %s: fault is \"%s\", not \"%s\"", certificate, host, tlsio_fault(c.t), fault);
        CHECK(strstr(tlsio_fault(c.t), fault) != NULL);
    }
    if (state != TLSIO_UP) {
        /* M-TLS-04: no octet of the protocol is sent; and the server learns that it was refused. */
        CHECK_INT(tlsio_output(c.t, "secret", 6), TD_ECLOSED);
        CHECK_INT(s.plain.n, 0);
        CHECK(tlsio_state(s.t) == TLSIO_FAILED_HANDSHAKE || tlsio_state(s.t) == TLSIO_FAILED_RECORD);
        CHECK(strstr(tlsio_fault(s.t), "fatal alert received") != NULL);
    }
    end_fini(&c);
    end_fini(&s);
    tlsio_server_free(&ss);
    tlsio_server_free(&cs);
    return state;
}

/* M-TLS-04 */
TEST(a_dialled_host_is_verified_by_chain_dates_and_subject_alternative_name)
{
    CHECK_INT(dial_state("relay", "relay.example", TLSIO_VERIFY_HOST, ""), TLSIO_UP);
    CHECK_INT(dial_state("relay", "RELAY.Example", TLSIO_VERIFY_HOST, ""), TLSIO_UP);
    CHECK_INT(dial_state("relay", "other.example.", TLSIO_VERIFY_HOST, ""), TLSIO_UP);
    CHECK_INT(dial_state("relay", "wrong.example", TLSIO_VERIFY_HOST, "does not name wrong.example but relay.example"),
              TLSIO_FAILED_CERTIFICATE);
    CHECK_INT(dial_state("relay", "example", TLSIO_VERIFY_HOST, "does not name"), TLSIO_FAILED_CERTIFICATE);
    CHECK_INT(dial_state("relay", "relay.example.evil", TLSIO_VERIFY_HOST, "does not name"), TLSIO_FAILED_CERTIFICATE);
    CHECK_INT(dial_state("expired", "relay.example", TLSIO_VERIFY_HOST, "expired"), TLSIO_FAILED_CERTIFICATE);
    CHECK_INT(dial_state("notyet", "relay.example", TLSIO_VERIFY_HOST, "not yet"), TLSIO_FAILED_CERTIFICATE);
    CHECK_INT(dial_state("self", "relay.example", TLSIO_VERIFY_HOST, "issuer is unknown"), TLSIO_FAILED_CERTIFICATE);
    CHECK_INT(dial_state("clientonly", "relay.example", TLSIO_VERIFY_HOST, "purpose"), TLSIO_FAILED_CERTIFICATE);
    /* No subjectAltName: the common name is not enough. A wildcard is not either. */
    CHECK_INT(dial_state("relay.example", "relay.example", TLSIO_VERIFY_HOST, "does not name"), TLSIO_FAILED_CERTIFICATE);
    CHECK_INT(dial_state("wild", "relay.example", TLSIO_VERIFY_HOST, "does not name"), TLSIO_FAILED_CERTIFICATE);
    CHECK_INT(dial_state("evil", "relay", TLSIO_VERIFY_HOST, "does not name"), TLSIO_FAILED_CERTIFICATE);
}

TEST(a_dialled_ip_address_must_be_in_the_certificate_as_such)
{
    CHECK_INT(dial_state("relay", "192.0.2.1", TLSIO_VERIFY_HOST, ""), TLSIO_UP);
    CHECK_INT(dial_state("relay", "2001:DB8:0::1", TLSIO_VERIFY_HOST, ""), TLSIO_UP);
    CHECK_INT(dial_state("relay", "[2001:db8::1]", TLSIO_VERIFY_HOST, ""), TLSIO_UP);
    CHECK_INT(dial_state("relay", "192.0.2.2", TLSIO_VERIFY_HOST, "does not name"), TLSIO_FAILED_CERTIFICATE);
    CHECK_INT(dial_state("relay", "[2001:db8::2]", TLSIO_VERIFY_HOST, "does not name"), TLSIO_FAILED_CERTIFICATE);
}

/* S-TLS-06 */
TEST(a_sip_domain_is_a_sip_uri_of_the_certificate_else_a_dns_name_else_the_common_name)
{
    CHECK_INT(dial_state("sipdomain", "domain.example", TLSIO_VERIFY_SIP, ""), TLSIO_UP);
    CHECK_INT(dial_state("sipdomain", "host.domain.example", TLSIO_VERIFY_SIP, "does not name"), TLSIO_FAILED_CERTIFICATE);
    CHECK_INT(dial_state("sipdomain", "user.example", TLSIO_VERIFY_SIP, "does not name"), TLSIO_FAILED_CERTIFICATE);
    CHECK_INT(dial_state("sipdomain", "s.example", TLSIO_VERIFY_SIP, "does not name"), TLSIO_FAILED_CERTIFICATE);
    CHECK_INT(dial_state("sipdomain", "host.domain.example", TLSIO_VERIFY_HOST, ""), TLSIO_UP);
    CHECK_INT(dial_state("relay", "relay.example", TLSIO_VERIFY_SIP, ""), TLSIO_UP);
    CHECK_INT(dial_state("relay.example", "relay.example", TLSIO_VERIFY_SIP, ""), TLSIO_UP);
    CHECK_INT(dial_state("wild", "relay.example", TLSIO_VERIFY_SIP, "does not name"), TLSIO_FAILED_CERTIFICATE);
    /* The host of the URI alone counts; one with a user is no domain's, so the DNS name is asked; and the common name only where there is no other. */
    CHECK_INT(dial_state("sipparts", "domain.example", TLSIO_VERIFY_SIP, ""), TLSIO_UP);
    CHECK_INT(dial_state("sipparts", "other.example", TLSIO_VERIFY_SIP, ""), TLSIO_UP);
    CHECK_INT(dial_state("sipparts", "host.domain.example", TLSIO_VERIFY_SIP, "does not name"), TLSIO_FAILED_CERTIFICATE);
    CHECK_INT(dial_state("sipuser", "domain.example", TLSIO_VERIFY_SIP, ""), TLSIO_UP);
    CHECK_INT(dial_state("cn.example", "cn.example", TLSIO_VERIFY_SIP, "does not name"), TLSIO_FAILED_CERTIFICATE);
    CHECK_INT(dial_state("clientonly", "relay.example", TLSIO_VERIFY_SIP, ""), TLSIO_UP); /* a proxy shows the same one on both sides */
}

/* S-TLS-06: one label below a domain, where that was switched on, and for SIP alone. */
TEST(wildcards_are_taken_when_they_may_be)
{
    static const struct {
        const char *host;
        enum tlsio_verify rule;
        bool is_good;
    } dialled[] = {
        { "sip.domain.example", TLSIO_VERIFY_SIP, true }, { "SIP.Domain.example.", TLSIO_VERIFY_SIP, true },
        { "domain.example", TLSIO_VERIFY_SIP, false }, { "a.sip.domain.example", TLSIO_VERIFY_SIP, false },
        { ".domain.example", TLSIO_VERIFY_SIP, false }, { "far.test", TLSIO_VERIFY_SIP, false },
        { "sip.domain.example", TLSIO_VERIFY_HOST, false },
    };
    struct tlsio_settings set = settings(NULL, CLIENT_CERT_NONE);
    struct tlsio_server *cs, *ss = server("wilder", CLIENT_CERT_NONE);

    set.wildcards = true;
    cs = server_of(set);
    for (size_t i = 0; i < TD_ARRAY_LEN(dialled); i++) {
        struct end c, s;

        start(&c, cs, dialled[i].host, dialled[i].rule, &s, ss);
        pump(&c, &s, 100000, 100);
        if (both_up(&c, &s) != dialled[i].is_good)
            printf("%s\n", dialled[i].host);
        CHECK_INT(both_up(&c, &s), dialled[i].is_good);
        end_fini(&c);
        end_fini(&s);
    }
    tlsio_server_free(&ss);
    tlsio_server_free(&cs);
    CHECK_INT(dial_state("wilder", "sip.domain.example", TLSIO_VERIFY_SIP, "does not name"), TLSIO_FAILED_CERTIFICATE);
}

/* M-TLS-08 */
TEST(opportunistic_tls_takes_any_certificate_and_believes_none)
{
    static const char *const any[] = { "self", "expired", "wild", "relay.example" };
    struct tlsio_server *cs = server(NULL, CLIENT_CERT_NONE);

    for (size_t i = 0; i < TD_ARRAY_LEN(any); i++) {
        struct tlsio_server *ss = server(any[i], CLIENT_CERT_NONE);
        struct end c, s;

        start(&c, cs, "somebody.example", TLSIO_VERIFY_NONE, &s, ss);
        pump(&c, &s, 100000, 100);
        CHECK(both_up(&c, &s));
        CHECK(!tlsio_peer_is(c.t, SV("somebody.example"), TLSIO_VERIFY_HOST));
        CHECK(!tlsio_peer_is(c.t, SV("relay.example"), TLSIO_VERIFY_HOST));
        end_fini(&c);
        end_fini(&s);
        tlsio_server_free(&ss);
    }
    tlsio_server_free(&cs);
}

/* M-CON-01, M-CON-02, M-TLS-02: the client shows certificate (NULL: none); what does a server with that rule make of it? */
static enum tlsio_state client_certificate(const char *certificate, enum conf_client_cert rule, bool is_relay, const char *priorities)
{
    struct tlsio_settings set = settings("relay", rule);
    struct tlsio_server *ss, *cs = server(certificate, CLIENT_CERT_NONE);
    enum tlsio_state state;
    struct end c, s;

    set.priorities = priorities;
    ss = server_of(set);
    start(&c, cs, "relay.example", TLSIO_VERIFY_HOST, &s, ss);
    pump(&c, &s, 100000, 100);
    state = tlsio_state(s.t);
    CHECK_INT(tlsio_peer_is(s.t, SV("second.example"), TLSIO_VERIFY_HOST), is_relay);
    CHECK(!tlsio_peer_is(s.t, SV("relay.example"), TLSIO_VERIFY_HOST));
    CHECK(!tlsio_peer_is(s.t, SV("second.example"), TLSIO_VERIFY_NONE));
    CHECK_STR(tlsio_peer_name(s.t) ? tlsio_peer_name(s.t) : "", is_relay ? "second.example" : "");
    if (state == TLSIO_UP) {
        CHECK_INT(tlsio_output(c.t, "x", 1), TD_OK);
        pump(&c, &s, 100000, 100);
        CHECK_INT(s.plain.n, 1);
    } else {
        CHECK(*tlsio_fault(s.t));
        CHECK_INT(strstr(tlsio_fault(s.t), "has no certificate") != NULL, certificate == NULL); /* it is shown to whoever asks: S-TLS-07 */
        CHECK(tlsio_state(c.t) != TLSIO_UP);
        CHECK_INT(s.plain.n, 0);
    }
    end_fini(&c);
    end_fini(&s);
    tlsio_server_free(&ss);
    tlsio_server_free(&cs);
    return state;
}

TEST(client_certificates_are_believed_ignored_or_required_as_configured)
{
    static const char *const versions[] = { PRIORITIES, ONLY_12 };

    for (size_t i = 0; i < TD_ARRAY_LEN(versions); i++) {
        const char *v = versions[i];

        CHECK_INT(client_certificate("second", CLIENT_CERT_NONE, false, v), TLSIO_UP);
        CHECK_INT(client_certificate("second", CLIENT_CERT_OPTIONAL, true, v), TLSIO_UP);
        CHECK_INT(client_certificate("second", CLIENT_CERT_REQUIRED, true, v), TLSIO_UP);
        CHECK_INT(client_certificate(NULL, CLIENT_CERT_OPTIONAL, false, v), TLSIO_UP);
        CHECK_INT(client_certificate(NULL, CLIENT_CERT_REQUIRED, false, v), TLSIO_FAILED_CERTIFICATE);
        /* Not good: an anonymous endpoint, unless one is required. */
        CHECK_INT(client_certificate("self", CLIENT_CERT_OPTIONAL, false, v), TLSIO_UP);
        CHECK_INT(client_certificate("expired", CLIENT_CERT_OPTIONAL, false, v), TLSIO_UP);
        CHECK_INT(client_certificate("self", CLIENT_CERT_REQUIRED, false, v), TLSIO_FAILED_CERTIFICATE);
        CHECK_INT(client_certificate("expired", CLIENT_CERT_REQUIRED, false, v), TLSIO_FAILED_CERTIFICATE);
    }
}

SUITE(tls_verify_suite, TEST_ROW(a_dialled_host_is_verified_by_chain_dates_and_subject_alternative_name),
      TEST_ROW(a_dialled_ip_address_must_be_in_the_certificate_as_such),
      TEST_ROW(a_sip_domain_is_a_sip_uri_of_the_certificate_else_a_dns_name_else_the_common_name),
      TEST_ROW(wildcards_are_taken_when_they_may_be), TEST_ROW(opportunistic_tls_takes_any_certificate_and_believes_none),
      TEST_ROW(client_certificates_are_believed_ignored_or_required_as_configured));
