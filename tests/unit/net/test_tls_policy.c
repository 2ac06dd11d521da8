/* TLS: what is negotiated (versions, suites, ALPN, server names), and sessions that are resumed. */
#include "net/tls.h"

#include <stdio.h>

#include "common/conf.h"
#include "common/err.h"
#include "net/resume.h"
#include "tests/unit/harness.h"
#include "tests/unit/net/tlsends.h"

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

        CHECK_INT(tlsio_accept(&s.t, ss, end_send, &s), TD_OK);
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

        CHECK_INT(tlsio_dial(&c.t, cs, hosts[i], TLSIO_VERIFY_HOST, end_send, &c), TD_OK);
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

    CHECK_INT(tlsio_accept(&s.t, ss, end_send, &s), TD_OK);
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
    CHECK_INT(tlsio_accept(&s.t, ss, end_send, &s), TD_OK);
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

    CHECK_INT(tlsio_accept(&s.t, ss, end_send, &s), TD_OK);
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

    CHECK_INT(tlsio_accept(&s.t, ss, end_send, &s), TD_OK);
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
        CHECK_INT(tlsio_accept(&s.t, ss, end_send, &s), TD_OK);
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

SUITE(tls_policy_suite, TEST_ROW(any_alpn_list_and_any_server_name_are_accepted), TEST_ROW(a_dialled_name_is_sent_as_server_name),
      TEST_ROW(versions_below_1_2_are_refused), TEST_ROW(by_default_only_suites_with_aead_and_forward_secrecy_come_in),
      TEST_ROW(renegotiation_ends_the_session), TEST_ROW(tickets_resume_a_session_with_its_certificate_until_a_reload),
      TEST_ROW(ticket_keys_change_from_day_to_day), TEST_ROW(a_dialled_host_is_dialled_again_by_a_shorter_handshake_and_verified_anew),
      TEST_ROW(what_is_kept_to_be_resumed_is_bounded_and_given_out_once));
