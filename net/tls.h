/* TLS over a connection, with GnuTLS: server and client side.
 *
 * The only file that sees GnuTLS sessions. TLS is a filter between the socket's
 * bytes and the protocol: ciphertext that was read goes into tls_input(), which hands out
 * plaintext; plaintext goes into tls_output(), which appends records to the connection's queue. GnuTLS never touches the socket.
 *
 * A struct tls_server is shared by all workers; tls_server_reload() swaps the
 * certificates for new connections while old ones go on. */
#pragma once

#include "common/conf.h"
#include "net/conn.h"

struct tls_server;
struct tls_session;

/* Load certificate, key, roots and priorities from conf->tls. what: out, a static buffer-free text of
 * what is wrong is appended to fault. */
int tls_server_new(struct tls_server **out, const struct conf *conf, struct buf *fault);
int tls_server_reload(struct tls_server *s, const struct conf *conf, struct buf *fault);
void tls_server_free(struct tls_server **s);

/* Start TLS on a connection whose first bytes (still unread by anyone else) are a ClientHello. */
int tls_accept(struct conn *c, struct tls_server *s);
/* Start TLS as client: SNI is host; with verify the certificate must chain to a trusted root
 * and name host (RFC 4976 s.9.2), else the connection ends with CLOSE_CERTIFICATE. */
int tls_connect(struct conn *c, struct tls_server *s, const char *host, bool verify);
void tls_session_free(struct tls_session **t);

enum tls_state { TLS_HANDSHAKING, TLS_UP, TLS_FAILED, TLS_CLOSED };
enum tls_state tls_state(const struct tls_session *t);

/* Ciphertext in; plaintext is put at out (size bytes). Returns plaintext bytes (0: none yet), negative: see
 * tls_state(). *used: ciphertext taken; call again with the rest until it returns 0. */
long tls_input(struct conn *c, const char *in, size_t n, size_t *used, char *out, size_t size);
/* Plaintext out: records are appended to the connection's socket queue. */
int tls_output(struct conn *c, const char *p, size_t n);
/* close_notify. */
void tls_bye(struct conn *c);

/* Facts for the connection table and authorisation; static or owned by the session. NULL when none. */
const char *tls_version_text(const struct tls_session *t);
const char *tls_cipher_text(const struct tls_session *t);
/* Has the peer a certificate that chains to a trusted root and names this host in its subjectAltName? */
bool tls_peer_is(const struct tls_session *t, const char *host);
/* First dNSName of a verified peer certificate, or NULL. */
const char *tls_peer_name(const struct tls_session *t);
