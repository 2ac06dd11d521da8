/* The two ends of a TLS session in memory, for the tests of net/tls.h: what one end sends is handed to the other in pieces of
 * any size. A test that needs a client which offers what tlsio_dial() never does has a raw one, GnuTLS itself.
 *
 * All checks inside are those of the running test. */
#pragma once

#include <gnutls/gnutls.h>

#include "common/buf.h"
#include "common/conf.h"
#include "net/tls.h"

#define PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-MAC-ALL:+AEAD"
#define ONLY_12 "NORMAL:-VERS-ALL:+VERS-TLS1.2"

/* One side: what it sent and nobody has delivered yet, and the plaintext it got. */
struct end {
    struct tlsio_session *t;
    struct buf wire, plain;
    size_t sends, biggest;
};

/* For tlsio_accept() and tlsio_dial(); arg is the struct end. */
void end_send(void *arg, const void *p, size_t n);
void end_fini(struct end *e);

/* Give what from sent to to, chunk bytes at a time, taking plaintext room bytes at a time. False: there was nothing. */
bool deliver(struct end *from, struct end *to, size_t chunk, size_t room);
/* The same in both directions until nobody has anything to say. */
void pump(struct end *a, struct end *b, size_t chunk, size_t room);

/* The path of a file among the certificates of all tests, which are made once, on first use. */
const char *file(const char *name);

/* name: of the certificate; NULL for none. */
struct tlsio_settings settings(const char *name, enum conf_client_cert client);
struct tlsio_server *server_of(struct tlsio_settings set);
struct tlsio_server *server(const char *name, enum conf_client_cert client);

/* A client dials a server; nothing is delivered yet. */
void start(struct end *client, struct tlsio_server *cs, const char *host, enum tlsio_verify verify, struct end *srv, struct tlsio_server *ss);
bool both_up(const struct end *a, const struct end *b);

struct raw {
    gnutls_session_t g;
    gnutls_certificate_credentials_t cred;
    struct end *to;
};

/* certificate: what it shows; NULL: none. */
void raw_start(struct raw *r, struct end *to, const char *priorities, const char *certificate);
int raw_handshake(struct raw *r); /* as gnutls_handshake() */
void raw_fini(struct raw *r);
