/* Ends of TLS sessions in memory. */
#include "tests/unit/net/tlsends.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/err.h"
#include "tests/unit/harness.h"
#include "tests/unit/net/certs.h"

void end_send(void *arg, const void *p, size_t n)
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

bool deliver(struct end *from, struct end *to, size_t chunk, size_t room)
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

void pump(struct end *a, struct end *b, size_t chunk, size_t room)
{
    bool moved = true;

    while (moved) {
        moved = deliver(a, b, chunk, room);
        moved = deliver(b, a, chunk, room) || moved;
    }
}

void end_fini(struct end *e)
{
    tlsio_free(&e->t);
    buf_fini(&e->wire);
    buf_fini(&e->plain);
}

static struct certs *certs;

static void certs_end(void)
{
    certs_free(&certs);
}

const char *file(const char *name)
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

struct tlsio_settings settings(const char *name, enum conf_client_cert client)
{
    char cert[64], key[64];

    snprintf(cert, sizeof cert, "%s.pem", name ? name : "");
    snprintf(key, sizeof key, "%s.key", name ? name : "");
    return (struct tlsio_settings){ name ? file(cert) : "", name ? file(key) : "", file("ca.pem"), PRIORITIES, client, false };
}

struct tlsio_server *server_of(struct tlsio_settings set)
{
    struct buf fault = BUF_INIT;
    struct tlsio_server *s;

    CHECK_INT(tlsio_server_new(&s, &set, &fault), TD_OK);
    CHECK_INT(fault.n, 0);
    buf_fini(&fault);
    CHECK_FATAL(s != NULL);
    return s;
}

struct tlsio_server *server(const char *name, enum conf_client_cert client)
{
    return server_of(settings(name, client));
}

void start(struct end *client, struct tlsio_server *cs, const char *host, enum tlsio_verify verify, struct end *srv, struct tlsio_server *ss)
{
    *client = *srv = (struct end){ 0 };
    CHECK_INT(tlsio_accept(&srv->t, ss, end_send, srv), TD_OK);
    CHECK_INT(tlsio_dial(&client->t, cs, host, verify, end_send, client), TD_OK);
    CHECK_FATAL(srv->t && client->t);
}

bool both_up(const struct end *a, const struct end *b)
{
    return tlsio_state(a->t) == TLSIO_UP && tlsio_state(b->t) == TLSIO_UP;
}

/* ---- a raw client ---- */

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

void raw_start(struct raw *r, struct end *to, const char *priorities, const char *certificate)
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

int raw_handshake(struct raw *r)
{
    int ret;

    for (int i = 0; i < 20; i++) {
        ret = gnutls_handshake(r->g);
        if (ret == 0 || gnutls_error_is_fatal(ret))
            break;
    }
    return ret;
}

void raw_fini(struct raw *r)
{
    gnutls_deinit(r->g);
    gnutls_certificate_free_credentials(r->cred);
}
