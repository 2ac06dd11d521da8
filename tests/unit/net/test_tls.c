/* TLS as a filter: two sessions in memory, no socket. */
#include "net/tls.h"

#include <gnutls/gnutls.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/conf.h"
#include "common/err.h"
#include "net/resume.h"
#include "tests/unit/harness.h"
#include "tests/unit/net/certs.h"

#define PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-MAC-ALL:+AEAD"
#define ONLY_12 "NORMAL:-VERS-ALL:+VERS-TLS1.2"

enum { RECORD_MAX = 16384 };

/* One side: what it sent and nobody has delivered yet, and the plaintext it got. */
struct end {
    struct tlsio_session *t;
    struct buf wire, plain;
    size_t sends, biggest;
};

static void on_send(void *arg, const void *p, size_t n)
{
    struct end *e = arg;

    buf_add(&e->wire, p, n);
    e->sends++;
    if (n > e->biggest)
        e->biggest = n;
}

static bool is_live(const struct end *e)
{
    return tlsio_state(e->t) == TLSIO_HANDSHAKING || tlsio_state(e->t) == TLSIO_UP;
}

/* Give what from sent to to, chunk bytes at a time, taking plaintext room bytes at a time. */
static bool deliver(struct end *from, struct end *to, size_t chunk, size_t room)
{
    struct buf wire = from->wire;
    char out[32768];
    size_t at = 0;

    from->wire = BUF_INIT;
    while (at < wire.n && is_live(to)) {
        size_t end = at + TD_MIN(chunk, wire.n - at), used, got;

        do {
            got = tlsio_input(to->t, wire.p + at, end - at, &used, out, TD_MIN(room, sizeof out));
            buf_add(&to->plain, out, got);
            at += used;
        } while (got > 0 && is_live(to));
        CHECK(at == end || !is_live(to));
    }
    buf_fini(&wire);
    return at > 0;
}

static void pump(struct end *a, struct end *b, size_t chunk, size_t room)
{
    bool moved = true;

    while (moved) {
        moved = deliver(a, b, chunk, room);
        moved = deliver(b, a, chunk, room) || moved;
    }
}

static void end_fini(struct end *e)
{
    tlsio_free(&e->t);
    buf_fini(&e->wire);
    buf_fini(&e->plain);
}

/* Certificates of all tests: made once, on first use. */
static struct certs *certs;

static void certs_end(void)
{
    certs_free(&certs);
}

static const char *file(const char *name)
{
    if (!certs) {
        certs = certs_new();
        atexit(certs_end);
        certs_issue(certs, "relay", "dns:relay.example dns:other.example ip:192.0.2.1 ip:2001:db8::1", 0);
        certs_issue(certs, "second", "dns:second.example", 0);
        certs_issue(certs, "rsa", "dns:relay.example", CERT_RSA);
        certs_issue(certs, "expired", "dns:relay.example", CERT_EXPIRED);
        certs_issue(certs, "notyet", "dns:relay.example", CERT_NOT_YET);
        certs_issue(certs, "self", "dns:relay.example", CERT_SELF_SIGNED);
        certs_issue(certs, "clientonly", "dns:relay.example", CERT_CLIENT_ONLY);
        certs_issue(certs, "relay.example", NULL, 0);
        certs_issue(certs, "wild", "dns:*.example", 0);
        certs_issue(certs, "sipdomain", "uri:sip:domain.example dns:host.domain.example uri:sip:bob@user.example uri:sips:s.example", 0);
        certs_issue(certs, "sipparts", "uri:sip:domain.example:5061 uri:sip:other.example;transport=tls dns:host.domain.example", 0);
        certs_issue(certs, "sipuser", "uri:sip:bob@user.example dns:domain.example", 0);
        certs_issue(certs, "cn.example", "dns:domain.example", 0);
        certs_issue(certs, "wilder", "dns:*.domain.example dns:*.test dns:*", 0);
        certs_issue(certs, "evil", "dns:relay\x01.example", 0);
        certs_write(certs, "garbage.pem", "this is no certificate\n");
        certs_write(certs, "empty.pem", "");
    }
    return certs_path(certs, name);
}

/* name: of the certificate; NULL for none. */
static struct tlsio_settings settings(const char *name, enum conf_client_cert client)
{
    char cert[64], key[64];

    snprintf(cert, sizeof cert, "%s.pem", name ? name : "");
    snprintf(key, sizeof key, "%s.key", name ? name : "");
    return (struct tlsio_settings){ name ? file(cert) : "", name ? file(key) : "", file("ca.pem"), PRIORITIES, client, false };
}

static struct tlsio_server *server_of(struct tlsio_settings set)
{
    struct buf fault = BUF_INIT;
    struct tlsio_server *s;

    CHECK_INT(tlsio_server_new(&s, &set, &fault), TD_OK);
    CHECK_INT(fault.n, 0);
    buf_fini(&fault);
    CHECK_FATAL(s != NULL);
    return s;
}

static struct tlsio_server *server(const char *name, enum conf_client_cert client)
{
    return server_of(settings(name, client));
}

static void start(struct end *client, struct tlsio_server *cs, const char *host, enum tlsio_verify verify, struct end *srv,
                  struct tlsio_server *ss)
{
    *client = *srv = (struct end){ 0 };
    CHECK_INT(tlsio_accept(&srv->t, ss, on_send, srv), TD_OK);
    CHECK_INT(tlsio_dial(&client->t, cs, host, verify, on_send, client), TD_OK);
    CHECK_FATAL(srv->t && client->t);
}

static bool both_up(const struct end *a, const struct end *b)
{
    return tlsio_state(a->t) == TLSIO_UP && tlsio_state(b->t) == TLSIO_UP;
}

TEST(handshake_and_data_pass_at_every_chunk_size)
{
    static const size_t chunks[] = { 1, 2, 5, 7, 100, 1000, 100000 };
    struct tlsio_server *ss = server("relay", CLIENT_CERT_OPTIONAL), *cs = server(NULL, CLIENT_CERT_NONE);

    for (size_t i = 0; i < TD_ARRAY_LEN(chunks); i++) {
        struct end c, s;

        start(&c, cs, "relay.example", TLSIO_VERIFY_HOST, &s, ss);
        CHECK(tlsio_version_text(s.t) == NULL);
        CHECK_INT(tlsio_output(c.t, "early", 5), TD_EAGAIN);
        pump(&c, &s, chunks[i], 4096);
        CHECK(both_up(&c, &s));
        CHECK_STR(tlsio_version_text(s.t), "TLS1.3");
        CHECK(tlsio_cipher_text(s.t) != NULL);
        CHECK_STR(tlsio_cipher_text(s.t), tlsio_cipher_text(c.t));
        CHECK_INT(tlsio_output(c.t, "hello", 5), TD_OK);
        CHECK_INT(tlsio_output(s.t, "world!", 6), TD_OK);
        pump(&c, &s, chunks[i], 3);
        CHECK(sv_eq(buf_sv(&s.plain), SV("hello")));
        CHECK(sv_eq(buf_sv(&c.plain), SV("world!")));
        end_fini(&c);
        end_fini(&s);
    }
    tlsio_server_free(&ss);
    tlsio_server_free(&cs);
}

TEST(bulk_data_arrives_intact_in_full_records)
{
    enum { BULK = 4 * 1024 * 1024 + 77 };
    struct tlsio_server *ss = server("relay", CLIENT_CERT_NONE), *cs = server(NULL, CLIENT_CERT_NONE);
    char *bulk = malloc(BULK);
    struct end c, s;

    CHECK_FATAL(bulk != NULL);
    for (size_t i = 0; i < BULK; i++)
        bulk[i] = (char)(i * 2654435761U >> 13);
    start(&c, cs, "relay.example", TLSIO_VERIFY_HOST, &s, ss);
    pump(&c, &s, 100000, 32768);
    c.sends = c.biggest = 0;
    CHECK_INT(tlsio_output(c.t, bulk, BULK), TD_OK);
    CHECK_INT(c.sends, (BULK + RECORD_MAX - 1) / RECORD_MAX);
    CHECK(c.biggest > RECORD_MAX);
    pump(&c, &s, 70001, 10000);
    CHECK(sv_eq(buf_sv(&s.plain), sv_make(bulk, BULK)));
    end_fini(&c);
    end_fini(&s);
    free(bulk);
    tlsio_server_free(&ss);
    tlsio_server_free(&cs);
}

TEST(plaintext_that_comes_with_the_end_of_the_handshake_is_handed_out_at_once)
{
    struct tlsio_server *ss = server("relay", CLIENT_CERT_NONE), *cs = server(NULL, CLIENT_CERT_NONE);
    struct end c, s;

    start(&c, cs, "relay.example", TLSIO_VERIFY_HOST, &s, ss);
    deliver(&c, &s, 100000, 100);
    deliver(&s, &c, 100000, 100);
    CHECK_INT(tlsio_state(c.t), TLSIO_UP);
    CHECK_INT(tlsio_output(c.t, "first", 5), TD_OK);
    CHECK_INT(tlsio_state(s.t), TLSIO_HANDSHAKING);
    deliver(&c, &s, 100000, 100);
    CHECK_INT(tlsio_state(s.t), TLSIO_UP);
    CHECK(sv_eq(buf_sv(&s.plain), SV("first")));
    end_fini(&c);
    end_fini(&s);
    tlsio_server_free(&ss);
    tlsio_server_free(&cs);
}

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

TEST(reload_serves_new_sessions_and_leaves_old_ones_alone)
{
    struct tlsio_server *ss = server("relay", CLIENT_CERT_NONE), *cs = server(NULL, CLIENT_CERT_NONE);
    struct tlsio_settings second = settings("second", CLIENT_CERT_NONE), broken = second;
    struct buf fault = BUF_INIT;
    struct end c1, s1, c2, s2, c3, s3;

    start(&c1, cs, "relay.example", TLSIO_VERIFY_HOST, &s1, ss);
    pump(&c1, &s1, 100000, 100);
    start(&c2, cs, "relay.example", TLSIO_VERIFY_HOST, &s2, ss); /* in the middle of its handshake */
    CHECK_INT(tlsio_server_reload(ss, &second, &fault), TD_OK);
    pump(&c2, &s2, 100000, 100);
    CHECK(both_up(&c2, &s2));
    broken.private_key = file("relay.key");
    CHECK_INT(tlsio_server_reload(ss, &broken, &fault), TD_EINVAL);
    CHECK(fault.n > 0);
    start(&c3, cs, "second.example", TLSIO_VERIFY_HOST, &s3, ss);
    pump(&c3, &s3, 100000, 100);
    CHECK(both_up(&c3, &s3));
    tlsio_server_free(&ss);
    tlsio_server_free(&cs);
    CHECK_INT(tlsio_output(c1.t, "still here", 10), TD_OK);
    pump(&c1, &s1, 100000, 100);
    CHECK(sv_eq(buf_sv(&s1.plain), SV("still here")));
    buf_fini(&fault);
    end_fini(&c1), end_fini(&s1), end_fini(&c2), end_fini(&s2), end_fini(&c3), end_fini(&s3);
}

struct dialler {
    pthread_t thread;
    struct tlsio_server *ss, *cs;
    int up; /* handshakes that succeeded */
};

enum { DIALS = 40 };

static void *dialler_run(void *arg)
{
    struct dialler *d = arg;

    for (int i = 0; i < DIALS; i++) {
        struct end c = { 0 }, s = { 0 };

        if (tlsio_accept(&s.t, d->ss, on_send, &s) == TD_OK &&
            tlsio_dial(&c.t, d->cs, "relay.example", TLSIO_VERIFY_HOST, on_send, &c) == TD_OK) {
            pump(&c, &s, 100000, 100);
            d->up += both_up(&c, &s);
        }
        end_fini(&c);
        end_fini(&s);
    }
    return NULL;
}

TEST(reload_may_come_while_other_threads_use_the_credentials)
{
    struct tlsio_settings set = settings("relay", CLIENT_CERT_OPTIONAL);
    struct tlsio_server *ss = server_of(set), *cs = server(NULL, CLIENT_CERT_NONE);
    struct buf fault = BUF_INIT;
    struct dialler d[2];

    for (size_t i = 0; i < TD_ARRAY_LEN(d); i++) {
        d[i] = (struct dialler){ .ss = ss, .cs = cs };
        CHECK_FATAL(pthread_create(&d[i].thread, NULL, dialler_run, &d[i]) == 0);
    }
    for (int i = 0; i < 50; i++)
        CHECK_INT(tlsio_server_reload(ss, &set, &fault), TD_OK);
    for (size_t i = 0; i < TD_ARRAY_LEN(d); i++) {
        pthread_join(d[i].thread, NULL);
        CHECK_INT(d[i].up, DIALS);
    }
    buf_fini(&fault);
    tlsio_server_free(&ss);
    tlsio_server_free(&cs);
}

static void expect_fault(struct tlsio_settings set, int err, const char *key, const char *what)
{
    struct tlsio_server *s = (void *)1;
    struct buf fault = BUF_INIT;

    CHECK_INT(tlsio_server_new(&s, &set, &fault), err);
    CHECK(s == NULL);
    if (!fault.p || !strstr(fault.p, key) || !strstr(fault.p, what) || strchr(fault.p, '\n')) {
        fprintf(stderr, "\n    fault is \"%s\", not %s and %s", fault.p, key, what);
        CHECK(false);
    }
    buf_fini(&fault);
}

TEST(settings_that_cannot_work_are_told_with_key_and_file)
{
    struct tlsio_settings good = settings("relay", CLIENT_CERT_NONE), set;

    set = good, set.certificate = file("absent.pem");
    expect_fault(set, TD_ENOENT, "tls.certificate", "absent.pem: No such file");
    set = good, set.private_key = file("absent.key");
    expect_fault(set, TD_ENOENT, "tls.private_key", "absent.key: No such file");
    set = good, set.ca_file = file("absent.pem");
    expect_fault(set, TD_ENOENT, "tls.ca_file", "absent.pem: No such file");
    set = good, set.certificate = file("garbage.pem");
    expect_fault(set, TD_EINVAL, "tls.certificate", "garbage.pem");
    set = good, set.private_key = file("garbage.pem");
    expect_fault(set, TD_EINVAL, "tls.private_key", "garbage.pem");
    set = good, set.ca_file = file("garbage.pem");
    expect_fault(set, TD_EINVAL, "tls.ca_file", "garbage.pem");
    set = good, set.certificate = file("empty.pem");
    expect_fault(set, TD_EINVAL, "tls.certificate", "empty.pem");
    set = good, set.ca_file = file("empty.pem");
    expect_fault(set, TD_EINVAL, "tls.ca_file", "empty.pem");
    set = good, set.private_key = file("second.key");
    expect_fault(set, TD_EINVAL, "tls.private_key", "does not belong");
    set = good, set.private_key = "";
    expect_fault(set, TD_EINVAL, "tls.private_key", "not set");
    set = good, set.certificate = "";
    expect_fault(set, TD_EINVAL, "tls.certificate", "not set");
    set = good, set.priorities = "NORMAL:+NO-SUCH-THING";
    expect_fault(set, TD_EINVAL, "tls.priorities", "+NO-SUCH-THING");
}

TEST(without_a_certificate_one_can_dial_but_not_accept)
{
    struct tlsio_server *cs = server(NULL, CLIENT_CERT_NONE);
    struct end e = { 0 };

    CHECK_INT(tlsio_accept(&e.t, cs, on_send, &e), TD_EUNSUPP);
    CHECK(e.t == NULL);
    tlsio_server_free(&cs);
}

TEST(bytes_that_are_not_tls_fail_the_handshake)
{
    static const char *const bad[] = { "\x16\x03\x01\x00\x05\xfe\0\0\1x", "MSRP a786hjs2 SEND\r\n", "\x16\x03\x01\xff\xff\x01\x02",
                                       "\x15\x03\x01\x00\x02\x02\x28" };
    static const size_t length[] = { 10, 20, 7, 7 };
    struct tlsio_server *ss = server("relay", CLIENT_CERT_NONE);

    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++) {
        struct end e = { 0 };
        char out[100];
        size_t used;

        CHECK_INT(tlsio_accept(&e.t, ss, on_send, &e), TD_OK);
        CHECK_INT(tlsio_input(e.t, bad[i], length[i], &used, out, sizeof out), 0);
        CHECK_INT(tlsio_state(e.t), TLSIO_FAILED_HANDSHAKE);
        CHECK(*tlsio_fault(e.t));
        CHECK_INT(tlsio_input(e.t, bad[i], length[i], &used, out, sizeof out), 0);
        CHECK_INT(tlsio_output(e.t, "x", 1), TD_ECLOSED);
        end_fini(&e);
    }
    tlsio_server_free(&ss);
}

TEST(a_handshake_message_of_megabytes_is_refused_before_it_is_gathered)
{
    static char record[5 + RECORD_MAX] = { 0x16, 3, 1, RECORD_MAX >> 8, 0, 1, (char)0xff, (char)0xff, (char)0xff };
    struct tlsio_server *ss = server("relay", CLIENT_CERT_NONE);
    struct end e = { 0 };
    char out[100];
    size_t used, before = mallinfo2().uordblks, most = 0;
    int n = 0;

    CHECK_INT(tlsio_accept(&e.t, ss, on_send, &e), TD_OK);
    for (; n < 1000 && tlsio_state(e.t) == TLSIO_HANDSHAKING; n++) {
        tlsio_input(e.t, record, sizeof record, &used, out, sizeof out);
        most = TD_MAX(most, mallinfo2().uordblks - before);
    }
    CHECK_INT(tlsio_state(e.t), TLSIO_FAILED_HANDSHAKE);
    CHECK_STR(tlsio_fault(e.t), "handshake messages are too long");
    CHECK(n < 10);
    CHECK(most < 400 * 1024);
    end_fini(&e);
    tlsio_server_free(&ss);
}

/* M-SEC-03, M-SEC-04: 128 KiB of handshake messages or empty records without a word in between may come; an octet more ends the session. */
TEST(what_brings_no_plaintext_may_have_128_kilobytes)
{
    enum { MOST = 128 * 1024 };
    static char record[5 + RECORD_MAX] = { 0x16, 3, 1, RECORD_MAX >> 8, 0, 1, (char)0xff, (char)0xff, (char)0xff };
    struct tlsio_server *ss = server("relay", CLIENT_CERT_NONE);
    struct end e = { 0 };
    char out[100];
    size_t used, at = 0;

    CHECK_INT(tlsio_accept(&e.t, ss, on_send, &e), TD_OK);
    while (at < MOST) { /* a record again and again, as many octets of it as there is room for */
        size_t n = TD_MIN(sizeof record, MOST - at);

        tlsio_input(e.t, record, n, &used, out, sizeof out);
        at += n;
    }
    CHECK_INT(tlsio_state(e.t), TLSIO_HANDSHAKING);
    tlsio_input(e.t, record + MOST % sizeof record, 1, &used, out, sizeof out);
    CHECK_INT(tlsio_state(e.t), TLSIO_FAILED_HANDSHAKE);
    CHECK_STR(tlsio_fault(e.t), "handshake messages are too long");
    end_fini(&e);
    tlsio_server_free(&ss);
}

TEST(a_tampered_record_fails_after_what_was_good_before_it)
{
    struct tlsio_server *ss = server("relay", CLIENT_CERT_NONE), *cs = server(NULL, CLIENT_CERT_NONE);
    struct end c, s;

    start(&c, cs, "relay.example", TLSIO_VERIFY_HOST, &s, ss);
    pump(&c, &s, 100000, 100);
    CHECK_INT(tlsio_output(c.t, "good", 4), TD_OK);
    CHECK_INT(tlsio_output(c.t, "tampered", 8), TD_OK);
    c.wire.p[c.wire.n - 1] ^= 1;
    deliver(&c, &s, 100000, 100);
    CHECK(sv_eq(buf_sv(&s.plain), SV("good")));
    CHECK_INT(tlsio_state(s.t), TLSIO_FAILED_RECORD);
    CHECK(*tlsio_fault(s.t));
    deliver(&s, &c, 100000, 100);
    CHECK_INT(tlsio_state(c.t), TLSIO_FAILED_RECORD);
    CHECK(strstr(tlsio_fault(c.t), "fatal alert received") != NULL);
    end_fini(&c);
    end_fini(&s);
    tlsio_server_free(&ss);
    tlsio_server_free(&cs);
}

TEST(close_notify_ends_input_but_not_output)
{
    struct tlsio_server *ss = server("relay", CLIENT_CERT_NONE), *cs = server(NULL, CLIENT_CERT_NONE);
    struct end c, s;

    start(&c, cs, "relay.example", TLSIO_VERIFY_HOST, &s, ss);
    pump(&c, &s, 100000, 100);
    CHECK_INT(tlsio_output(c.t, "last", 4), TD_OK);
    tlsio_bye(c.t);
    deliver(&c, &s, 100000, 100);
    CHECK(sv_eq(buf_sv(&s.plain), SV("last")));
    CHECK_INT(tlsio_state(s.t), TLSIO_CLOSED);
    CHECK_STR(tlsio_fault(s.t), "");
    CHECK_INT(tlsio_output(s.t, "answer", 6), TD_OK);
    deliver(&s, &c, 100000, 100);
    CHECK(sv_eq(buf_sv(&c.plain), SV("answer")));
    end_fini(&c);
    end_fini(&s);
    tlsio_server_free(&ss);
    tlsio_server_free(&cs);
}

/* A client of another kind: GnuTLS itself, so that a test can offer what tlsio_dial() never does. */
struct raw {
    gnutls_session_t g;
    gnutls_certificate_credentials_t cred;
    struct end *to;
};

static ssize_t raw_pull(gnutls_transport_ptr_t arg, void *p, size_t n)
{
    struct raw *r = arg;

    if (r->to->wire.n == 0) {
        gnutls_transport_set_errno(r->g, EAGAIN);
        return -1;
    }
    n = TD_MIN(n, r->to->wire.n);
    memcpy(p, r->to->wire.p, n);
    buf_drop_front(&r->to->wire, n);
    return (ssize_t)n;
}

static int raw_pull_timeout(gnutls_transport_ptr_t arg, unsigned ms)
{
    return ((struct raw *)arg)->to->wire.n > 0;
}

static ssize_t raw_push(gnutls_transport_ptr_t arg, const void *p, size_t n)
{
    struct raw *r = arg;
    struct end me = { .wire = BUF_INIT };

    buf_add(&me.wire, p, n);
    deliver(&me, r->to, n, 32768);
    buf_fini(&me.wire);
    return (ssize_t)n;
}

static void raw_start(struct raw *r, struct end *to, const char *priorities, const char *certificate)
{
    char cert[64], key[64];

    *r = (struct raw){ .to = to };
    CHECK_INT(gnutls_init(&r->g, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_FORCE_CLIENT_CERT), 0);
    CHECK_INT(gnutls_certificate_allocate_credentials(&r->cred), 0);
    if (certificate) {
        snprintf(cert, sizeof cert, "%s.pem", certificate);
        snprintf(key, sizeof key, "%s.key", certificate);
        CHECK_INT(gnutls_certificate_set_x509_key_file(r->cred, file(cert), file(key), GNUTLS_X509_FMT_PEM), 0);
    }
    gnutls_credentials_set(r->g, GNUTLS_CRD_CERTIFICATE, r->cred);
    CHECK_INT(gnutls_priority_set_direct(r->g, priorities, NULL), 0);
    gnutls_transport_set_ptr(r->g, r);
    gnutls_transport_set_pull_function(r->g, raw_pull);
    gnutls_transport_set_pull_timeout_function(r->g, raw_pull_timeout);
    gnutls_transport_set_push_function(r->g, raw_push);
}

static int raw_handshake(struct raw *r)
{
    int ret;

    for (int i = 0; i < 20; i++) {
        ret = gnutls_handshake(r->g);
        if (ret == 0 || gnutls_error_is_fatal(ret))
            break;
    }
    return ret;
}

static void raw_fini(struct raw *r)
{
    gnutls_deinit(r->g);
    gnutls_certificate_free_credentials(r->cred);
}

/* M-MUX-05, M-CEMA-02 */
TEST(any_alpn_list_and_any_server_name_are_accepted)
{
    static const struct {
        const char *offer[3];
        unsigned n;
        const char *chosen;
    } rows[] = {
        { { "http/1.1" }, 1, "http/1.1" },
        { { "h2", "http/1.1" }, 2, "http/1.1" },
        { { "sip/2" }, 1, "" },
        { { "h2", "h3", "whatever" }, 3, "" },
        { { NULL }, 0, "" },
    };
    struct tlsio_server *ss = server("relay", CLIENT_CERT_OPTIONAL);

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        gnutls_datum_t offer[3];
        struct end s = { 0 };
        struct raw r;

        CHECK_INT(tlsio_accept(&s.t, ss, on_send, &s), TD_OK);
        raw_start(&r, &s, PRIORITIES, NULL);
        for (unsigned k = 0; k < rows[i].n; k++)
            offer[k] = (gnutls_datum_t){ (unsigned char *)(uintptr_t)rows[i].offer[k], (unsigned)strlen(rows[i].offer[k]) };
        if (rows[i].n)
            gnutls_alpn_set_protocols(r.g, offer, rows[i].n, 0);
        gnutls_server_name_set(r.g, GNUTLS_NAME_DNS, "foreign.invalid", 15);
        CHECK_INT(raw_handshake(&r), 0);
        CHECK_INT(tlsio_state(s.t), TLSIO_UP);
        CHECK_STR(tlsio_alpn_text(s.t) ? tlsio_alpn_text(s.t) : "", rows[i].chosen);
        raw_fini(&r);
        end_fini(&s);
    }
    tlsio_server_free(&ss);
}

static bool holds(struct sv bytes, const char *word)
{
    for (size_t i = 0; i < bytes.n; i++)
        if (sv_starts(sv_from(bytes, i), sv_of(word)))
            return true;
    return false;
}

/* M-TLS-01: SNI is sent, but never an IP literal. */
TEST(a_dialled_name_is_sent_as_server_name)
{
    static const char *const hosts[] = { "relay.example", "192.0.2.1", "[2001:db8::1]" };
    struct tlsio_server *cs = server(NULL, CLIENT_CERT_NONE);

    for (size_t i = 0; i < TD_ARRAY_LEN(hosts); i++) {
        struct end c = { 0 };

        CHECK_INT(tlsio_dial(&c.t, cs, hosts[i], TLSIO_VERIFY_HOST, on_send, &c), TD_OK);
        CHECK_INT(holds(buf_sv(&c.wire), hosts[i]), i == 0);
        end_fini(&c);
    }
    tlsio_server_free(&cs);
}

/* M-TLS-01 */
TEST(versions_below_1_2_are_refused)
{
    struct tlsio_server *ss = server("relay", CLIENT_CERT_NONE);
    struct end s = { 0 };
    struct raw r;

    CHECK_INT(tlsio_accept(&s.t, ss, on_send, &s), TD_OK);
    raw_start(&r, &s, "NORMAL:-VERS-ALL:+VERS-TLS1.1", NULL);
    CHECK(raw_handshake(&r) < 0);
    CHECK_INT(tlsio_state(s.t), TLSIO_FAILED_HANDSHAKE);
    raw_fini(&r);
    end_fini(&s);
    tlsio_server_free(&ss);
}

/* Does a client that knows only this suite of TLS 1.2 come in with that certificate? */
static bool suite_comes_in(struct tlsio_server *ss, const char *cipher, const char *key_exchange, const char *mac)
{
    char priorities[200];
    struct end s = { 0 };
    struct raw r;
    bool up;

    snprintf(priorities, sizeof priorities, "NONE:+VERS-TLS1.2:+SIGN-ALL:+GROUP-ALL:+COMP-NULL:+%s:+%s:+%s", cipher, key_exchange, mac);
    CHECK_INT(tlsio_accept(&s.t, ss, on_send, &s), TD_OK);
    raw_start(&r, &s, priorities, NULL);
    up = raw_handshake(&r) == 0 && tlsio_state(s.t) == TLSIO_UP;
    CHECK(up || tlsio_state(s.t) == TLSIO_FAILED_HANDSHAKE);
    raw_fini(&r);
    end_fini(&s);
    return up;
}

/* M-TLS-01: each family of suites once, with the default, and with what the sentence of tls.priorities tells to append. */
TEST(by_default_only_suites_with_aead_and_forward_secrecy_come_in)
{
    static const struct {
        const char *cipher, *key_exchange, *mac;
        bool by_default;
    } rows[] = {
        { "AES-128-GCM", "ECDHE-RSA", "AEAD", true },      { "AES-256-GCM", "ECDHE-RSA", "AEAD", true },
        { "CHACHA20-POLY1305", "ECDHE-RSA", "AEAD", true }, { "AES-256-GCM", "DHE-RSA", "AEAD", true },
        { "AES-128-GCM", "RSA", "AEAD", false },           { "AES-128-CBC", "RSA", "SHA1", false },
        { "AES-256-CBC", "RSA", "SHA1", false },           { "AES-128-CBC", "ECDHE-RSA", "SHA1", false },
        { "AES-256-CBC", "ECDHE-RSA", "SHA1", false },     { "AES-128-CBC", "DHE-RSA", "SHA1", false },
    };
    struct tlsio_settings set = settings("rsa", CLIENT_CERT_OPTIONAL);
    struct buf fault = BUF_INIT;
    struct tlsio_server *strict, *lenient;
    struct conf *conf;
    char appended[200];

    CHECK_FATAL(conf_load(&conf, NULL, NULL, 0, &fault) == 0);
    set.priorities = conf->tls.priorities;
    strict = server_of(set);
    snprintf(appended, sizeof appended, "%s:+RSA:+SHA1", conf->tls.priorities);
    set.priorities = appended;
    lenient = server_of(set);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        CHECK_INT(suite_comes_in(strict, rows[i].cipher, rows[i].key_exchange, rows[i].mac), rows[i].by_default);
        CHECK(suite_comes_in(lenient, rows[i].cipher, rows[i].key_exchange, rows[i].mac));
    }
    tlsio_server_free(&strict);
    tlsio_server_free(&lenient);
    conf_free(&conf);
    buf_fini(&fault);
}

/* M-SEC-10 */
TEST(renegotiation_ends_the_session)
{
    struct tlsio_server *ss = server("relay", CLIENT_CERT_NONE);
    struct end s = { 0 };
    struct raw r;

    CHECK_INT(tlsio_accept(&s.t, ss, on_send, &s), TD_OK);
    raw_start(&r, &s, ONLY_12, NULL);
    CHECK_INT(raw_handshake(&r), 0);
    CHECK_STR(tlsio_version_text(s.t), "TLS1.2");
    CHECK_INT(tlsio_state(s.t), TLSIO_UP);
    CHECK(raw_handshake(&r) < 0);
    CHECK_INT(tlsio_state(s.t), TLSIO_FAILED_RECORD);
    CHECK_STR(tlsio_fault(s.t), "renegotiation asked for");
    raw_fini(&r);
    end_fini(&s);
    tlsio_server_free(&ss);
}

/* Connect with a client certificate, resuming with *ticket if there is one, and leave the next ticket there. */
static bool resumes(struct tlsio_server *ss, const char *priorities, gnutls_datum_t *ticket)
{
    struct end s = { 0 };
    struct raw r;
    bool resumed;
    char out[100];

    CHECK_INT(tlsio_accept(&s.t, ss, on_send, &s), TD_OK);
    raw_start(&r, &s, priorities, "second");
    if (ticket->data) {
        CHECK_INT(gnutls_session_set_data(r.g, ticket->data, ticket->size), 0);
        gnutls_free(ticket->data);
        ticket->data = NULL;
    }
    CHECK_INT(raw_handshake(&r), 0);
    CHECK_INT(tlsio_state(s.t), TLSIO_UP);
    resumed = gnutls_session_is_resumed(r.g);
    CHECK_INT(tlsio_output(s.t, "x", 1), TD_OK);
    while (gnutls_record_recv(r.g, out, sizeof out) == GNUTLS_E_AGAIN && s.wire.n) /* the ticket, then the byte */
        ;
    CHECK_INT(gnutls_session_get_data2(r.g, ticket), 0);
    /* Who the peer is must not depend on how the session came about. */
    CHECK(tlsio_peer_is(s.t, SV("second.example"), TLSIO_VERIFY_HOST));
    raw_fini(&r);
    end_fini(&s);
    return resumed;
}

/* M-SEC-10 */
TEST(tickets_resume_a_session_with_its_certificate_until_a_reload)
{
    static const char *const versions[] = { PRIORITIES, ONLY_12 };

    for (size_t i = 0; i < TD_ARRAY_LEN(versions); i++) {
        struct tlsio_settings set = settings("relay", CLIENT_CERT_REQUIRED);
        struct tlsio_server *ss = server_of(set);
        gnutls_datum_t ticket = { 0 };
        struct buf fault = BUF_INIT;

        CHECK(!resumes(ss, versions[i], &ticket));
        CHECK(resumes(ss, versions[i], &ticket));
        CHECK_INT(tlsio_server_reload(ss, &set, &fault), TD_OK);
        CHECK(!resumes(ss, versions[i], &ticket));
        gnutls_free(ticket.data);
        buf_fini(&fault);
        tlsio_server_free(&ss);
    }
}

/* The time as GnuTLS sees it. */
static time_t tls_now;

static time_t tls_time(time_t *out)
{
    if (out)
        *out = tls_now;
    return tls_now;
}

static struct buf key_names; /* of tickets: 16 octets in front of each name its key (RFC 5077 s.4) */

static int on_ticket(gnutls_session_t g, unsigned type, unsigned when, unsigned incoming, const gnutls_datum_t *msg)
{
    enum { LIFETIME_AND_LENGTH = 6, KEY_NAME = 16 };

    CHECK_FATAL(msg->size > LIFETIME_AND_LENGTH + KEY_NAME);
    buf_add(&key_names, msg->data + LIFETIME_AND_LENGTH, KEY_NAME);
    return 0;
}

/* M-SEC-10: without a reload, too, a ticket key is used for a time only: the next day's tickets have another one, and a ticket of the day
 * before resumes nothing. */
TEST(ticket_keys_change_from_day_to_day)
{
    enum { DAY = 24 * 3600, KEY_NAME = 16 };
    static const int days[] = { 0, 0, 1, 2 };
    struct tlsio_server *ss = server_of(settings("relay", CLIENT_CERT_REQUIRED));
    gnutls_datum_t ticket = { 0 };
    time_t began = time(NULL);

    gnutls_global_set_time_function(tls_time);
    for (size_t i = 0; i < TD_ARRAY_LEN(days); i++) {
        struct end s = { 0 };
        struct raw r;

        tls_now = began + days[i] * DAY;
        CHECK_INT(tlsio_accept(&s.t, ss, on_send, &s), TD_OK);
        raw_start(&r, &s, ONLY_12, "second");
        gnutls_handshake_set_hook_function(r.g, GNUTLS_HANDSHAKE_NEW_SESSION_TICKET, GNUTLS_HOOK_POST, on_ticket);
        CHECK_INT(raw_handshake(&r), 0);
        CHECK_INT(key_names.n, (i + 1) * KEY_NAME);
        raw_fini(&r);
        end_fini(&s);
    }
    CHECK(memcmp(key_names.p, key_names.p + KEY_NAME, KEY_NAME) == 0);
    CHECK(memcmp(key_names.p, key_names.p + 2 * KEY_NAME, KEY_NAME) != 0);
    CHECK(memcmp(key_names.p, key_names.p + 3 * KEY_NAME, KEY_NAME) != 0);
    CHECK(memcmp(key_names.p + 2 * KEY_NAME, key_names.p + 3 * KEY_NAME, KEY_NAME) != 0);
    CHECK(!resumes(ss, ONLY_12, &ticket));
    CHECK(resumes(ss, ONLY_12, &ticket));
    tls_now += DAY;
    CHECK(!resumes(ss, ONLY_12, &ticket));
    gnutls_global_set_time_function(time);
    gnutls_free(ticket.data);
    buf_fini(&key_names);
    tlsio_server_free(&ss);
}

/* Dial the host and hang up: was an earlier session resumed, and is it up? */
static bool dial_resumes(struct tlsio_server *cs, const char *host, enum tlsio_verify verify, struct tlsio_server *ss, bool *is_up)
{
    struct end c, s;
    bool resumed;

    start(&c, cs, host, verify, &s, ss);
    pump(&c, &s, 100000, 100);
    *is_up = both_up(&c, &s);
    if (*is_up) {
        CHECK_INT(tlsio_output(s.t, "hello", 5), TD_OK); /* the tickets are before it */
        pump(&c, &s, 100000, 100);
        CHECK_INT(c.plain.n, 5);
        CHECK(verify == TLSIO_VERIFY_NONE || tlsio_peer_is(c.t, sv_of(host), verify));
        CHECK(tlsio_peer_is(s.t, SV("second.example"), TLSIO_VERIFY_HOST));
    }
    resumed = tlsio_is_resumed(c.t);
    end_fini(&c);
    end_fini(&s);
    return resumed;
}

/* S-TLS-09 */
TEST(a_dialled_host_is_dialled_again_by_a_shorter_handshake_and_verified_anew)
{
    static const char *const versions[] = { PRIORITIES, ONLY_12 };

    for (size_t i = 0; i < TD_ARRAY_LEN(versions); i++) {
        struct tlsio_settings ours = settings("second", CLIENT_CERT_NONE), theirs = settings("relay", CLIENT_CERT_REQUIRED);
        struct tlsio_server *cs = server_of(ours), *ss = server_of(theirs);
        struct buf fault = BUF_INIT;
        bool up;

        ours.priorities = theirs.priorities = versions[i];
        CHECK_INT(tlsio_server_reload(cs, &ours, &fault), TD_OK);
        CHECK_INT(tlsio_server_reload(ss, &theirs, &fault), TD_OK);
        CHECK(!dial_resumes(cs, "relay.example", TLSIO_VERIFY_HOST, ss, &up) && up);
        CHECK(dial_resumes(cs, "relay.example", TLSIO_VERIFY_HOST, ss, &up) && up);
        CHECK(dial_resumes(cs, "relay.example", TLSIO_VERIFY_HOST, ss, &up) && up); /* each leaves another */
        CHECK(!dial_resumes(cs, "other.example", TLSIO_VERIFY_HOST, ss, &up) && up);
        CHECK(!dial_resumes(cs, "relay.example", TLSIO_VERIFY_SIP, ss, &up) && up);
        CHECK(!dial_resumes(cs, "relay.example", TLSIO_VERIFY_NONE, ss, &up) && up);
        CHECK(!dial_resumes(cs, "relay.example", TLSIO_VERIFY_NONE, ss, &up) && up);
        /* The server knows its tickets no more: a whole handshake. */
        CHECK_INT(tlsio_server_reload(ss, &theirs, &fault), TD_OK);
        CHECK(!dial_resumes(cs, "relay.example", TLSIO_VERIFY_HOST, ss, &up) && up);
        /* We have another certificate to show, or trust others: what was resumed would not know. */
        CHECK_INT(tlsio_server_reload(cs, &ours, &fault), TD_OK);
        CHECK(!dial_resumes(cs, "relay.example", TLSIO_VERIFY_HOST, ss, &up) && up);
        buf_fini(&fault);
        tlsio_server_free(&ss);
        tlsio_server_free(&cs);
    }
}

TEST(what_is_kept_to_be_resumed_is_bounded_and_given_out_once)
{
    static char large[RESUME_BYTES + 1];
    struct buf out = BUF_INIT;
    struct resume *r;
    char name[16];

    CHECK_FATAL(resume_new(&r) == TD_OK);
    resume_put(r, 1, "large", large, RESUME_BYTES + 1);
    CHECK(!resume_take(r, 1, "large", &out));
    resume_put(r, 1, "large", large, RESUME_BYTES);
    CHECK(resume_take(r, 1, "large", &out));
    CHECK_INT(out.n, RESUME_BYTES);
    CHECK(!resume_take(r, 1, "large", &out));
    for (int i = 0; i <= RESUME_MAX; i++) {
        snprintf(name, sizeof name, "n%d", i);
        resume_put(r, 1, name, name, strlen(name));
    }
    buf_clear(&out);
    CHECK(!resume_take(r, 1, "n0", &out));
    CHECK(!resume_take(r, 2, "n1", &out));
    CHECK(resume_take(r, 1, "n1", &out));
    CHECK(sv_eq(buf_sv(&out), SV("n1")));
    resume_put(r, 1, "n2", "newer", 5);
    buf_clear(&out);
    CHECK(resume_take(r, 1, "N2", &out));
    CHECK(sv_eq(buf_sv(&out), SV("newer")));
    buf_fini(&out);
    resume_free(&r);
}

TEST(an_idle_session_takes_less_than_16_kilobytes)
{
    enum { N = 200 };
    static struct end s[N];
    struct tlsio_server *ss = server("relay", CLIENT_CERT_OPTIONAL), *cs = server(NULL, CLIENT_CERT_NONE);
    size_t before = mallinfo2().uordblks, each;

    for (int i = 0; i < N; i++) {
        struct end c;

        start(&c, cs, "relay.example", TLSIO_VERIFY_HOST, &s[i], ss);
        pump(&c, &s[i], 100000, 100);
        CHECK_INT(tlsio_output(c.t, "hello", 5), TD_OK);
        pump(&c, &s[i], 100000, 100);
        CHECK_INT(s[i].plain.n, 5);
        end_fini(&c);
        buf_fini(&s[i].plain);
        buf_fini(&s[i].wire);
    }
    each = (mallinfo2().uordblks - before) / N;
    printf("(%zu bytes) ", each);
    CHECK(each < 16 * 1024);
    for (int i = 0; i < N; i++)
        end_fini(&s[i]);
    tlsio_server_free(&ss);
    tlsio_server_free(&cs);
}

SUITE(tls_suite, TEST_ROW(a_dialled_host_is_dialled_again_by_a_shorter_handshake_and_verified_anew),
      TEST_ROW(what_is_kept_to_be_resumed_is_bounded_and_given_out_once), TEST_ROW(handshake_and_data_pass_at_every_chunk_size), TEST_ROW(bulk_data_arrives_intact_in_full_records),
      TEST_ROW(plaintext_that_comes_with_the_end_of_the_handshake_is_handed_out_at_once),
      TEST_ROW(a_dialled_host_is_verified_by_chain_dates_and_subject_alternative_name),
      TEST_ROW(a_dialled_ip_address_must_be_in_the_certificate_as_such),
      TEST_ROW(a_sip_domain_is_a_sip_uri_of_the_certificate_else_a_dns_name_else_the_common_name), TEST_ROW(wildcards_are_taken_when_they_may_be),
      TEST_ROW(opportunistic_tls_takes_any_certificate_and_believes_none),
      TEST_ROW(client_certificates_are_believed_ignored_or_required_as_configured),
      TEST_ROW(reload_serves_new_sessions_and_leaves_old_ones_alone),
      TEST_ROW(reload_may_come_while_other_threads_use_the_credentials),
      TEST_ROW(settings_that_cannot_work_are_told_with_key_and_file),
      TEST_ROW(without_a_certificate_one_can_dial_but_not_accept), TEST_ROW(bytes_that_are_not_tls_fail_the_handshake),
      TEST_ROW(a_handshake_message_of_megabytes_is_refused_before_it_is_gathered),
      TEST_ROW(what_brings_no_plaintext_may_have_128_kilobytes), TEST_ROW(a_tampered_record_fails_after_what_was_good_before_it), TEST_ROW(close_notify_ends_input_but_not_output),
      TEST_ROW(any_alpn_list_and_any_server_name_are_accepted), TEST_ROW(a_dialled_name_is_sent_as_server_name),
      TEST_ROW(versions_below_1_2_are_refused),
      TEST_ROW(by_default_only_suites_with_aead_and_forward_secrecy_come_in), TEST_ROW(renegotiation_ends_the_session),
      TEST_ROW(tickets_resume_a_session_with_its_certificate_until_a_reload), TEST_ROW(ticket_keys_change_from_day_to_day), TEST_ROW(an_idle_session_takes_less_than_16_kilobytes));
