/* TLS as a filter: handshake, data and errors, between two sessions in memory. */
#include "net/tls.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/err.h"
#include "tests/unit/harness.h"
#include "tests/unit/net/tlsends.h"

enum { RECORD_MAX = 16384 };

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

        if (tlsio_accept(&s.t, d->ss, end_send, &s) == TD_OK &&
            tlsio_dial(&c.t, d->cs, "relay.example", TLSIO_VERIFY_HOST, end_send, &c) == TD_OK) {
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

    CHECK_INT(tlsio_accept(&e.t, cs, end_send, &e), TD_EUNSUPP);
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

        CHECK_INT(tlsio_accept(&e.t, ss, end_send, &e), TD_OK);
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

    CHECK_INT(tlsio_accept(&e.t, ss, end_send, &e), TD_OK);
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

    CHECK_INT(tlsio_accept(&e.t, ss, end_send, &e), TD_OK);
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

SUITE(tls_suite, TEST_ROW(handshake_and_data_pass_at_every_chunk_size), TEST_ROW(bulk_data_arrives_intact_in_full_records),
      TEST_ROW(plaintext_that_comes_with_the_end_of_the_handshake_is_handed_out_at_once),
      TEST_ROW(reload_serves_new_sessions_and_leaves_old_ones_alone), TEST_ROW(reload_may_come_while_other_threads_use_the_credentials),
      TEST_ROW(settings_that_cannot_work_are_told_with_key_and_file), TEST_ROW(without_a_certificate_one_can_dial_but_not_accept),
      TEST_ROW(bytes_that_are_not_tls_fail_the_handshake), TEST_ROW(a_handshake_message_of_megabytes_is_refused_before_it_is_gathered),
      TEST_ROW(what_brings_no_plaintext_may_have_128_kilobytes), TEST_ROW(a_tampered_record_fails_after_what_was_good_before_it),
      TEST_ROW(close_notify_ends_input_but_not_output), TEST_ROW(an_idle_session_takes_less_than_16_kilobytes));
