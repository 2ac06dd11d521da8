/* TLS with GnuTLS, server and client side, as a pure filter.
 *
 * A session touches no socket: ciphertext that was read goes into
 * tlsio_input(), which hands out plaintext; plaintext goes into tlsio_output();
 * all ciphertext made (records, handshake, alerts) is given to the send
 * function. This is the only file that sees GnuTLS sessions and certificates.
 *
 * A struct tlsio_server holds what sessions share: certificate, key, roots, priorities, ticket key. It
 * serves both sides: as a TLS client the same certificate is presented (relays authenticate mutually,
 * RFC 4976 s.9.2). It may be used by all threads; a session belongs to one.
 *
 * TLS 1.2 and later as the priorities say; no renegotiation, no compression; session tickets under a key that GnuTLS
 * rotates. A dialled host that had to prove who it is gets a session resumed, when there was one, and its certificate
 * is verified again (net/resume.h). */
#pragma once

#include "common/conf.h"

struct tlsio_server;
struct tlsio_session;

/* Where things are; the strings are borrowed for the call, never NULL, empty means none (roots: the system's). */
struct tlsio_settings {
    const char *certificate, *private_key; /* PEM files; both or neither. Neither: dialling only */
    const char *ca_file;                   /* PEM file of trusted roots */
    const char *priorities;                /* GnuTLS priority string */
    enum conf_client_cert client_certificate;
    bool wildcards;                        /* certificates of SIP domains may have them */
};

static inline struct tlsio_settings tlsio_settings_of(const struct conf *conf)
{
    return (struct tlsio_settings){ conf->tls.certificate, conf->tls.private_key, conf->tls.ca_file, conf->tls.priorities,
                                    conf->tls.client_certificate, conf->tls.wildcards };
}

/* Load everything. On failure one line for the operator is appended to fault ("tls.certificate: FILE: why"), without
 * newline, and *out is NULL. */
int tlsio_server_new(struct tlsio_server **out, const struct tlsio_settings *set, struct buf *fault);
/* Load everything anew for sessions that start from now on; running ones keep what they have. On failure nothing
 * changes. */
int tlsio_server_reload(struct tlsio_server *s, const struct tlsio_settings *set, struct buf *fault);
/* Sessions that still run stay good. */
void tlsio_server_free(struct tlsio_server **s);

/* Takes ciphertext for the peer, to be queued or copied before it returns. Must not free the session. */
typedef void tlsio_send_fn(void *arg, const void *p, size_t n);

/* Whom a dialled peer must prove to be. Names are compared whole, ignoring case; a wildcard matches nothing, unless it may
 * in the name of a SIP domain. */
enum tlsio_verify {
    TLSIO_VERIFY_NONE, /* anybody: opportunistic TLS */
    TLSIO_VERIFY_HOST, /* chain, dates, and subjectAltName dNSName or iPAddress is the host (RFC 4975 s.14.2, RFC 4976 s.9.2) */
    TLSIO_VERIFY_SIP,  /* chain, dates, and the rules for SIP domains (RFC 5922 s.7.1): a URI sip:host, else dNSName, else CN */
};

/* Server side. TD_EUNSUPP when there is no certificate. An absent or foreign SNI and any ALPN are accepted. */
int tlsio_accept(struct tlsio_session **out, struct tlsio_server *s, tlsio_send_fn *send, void *arg);
/* Client side; the ClientHello is sent before it returns. host (copied): the SNI, unless it is an IP literal, and the
 * name to verify. */
int tlsio_dial(struct tlsio_session **out, struct tlsio_server *s, const char *host, enum tlsio_verify verify, tlsio_send_fn *send,
               void *arg);
void tlsio_free(struct tlsio_session **t);

enum tlsio_state {
    TLSIO_HANDSHAKING,
    TLSIO_UP,
    TLSIO_CLOSED, /* close_notify received: no more plaintext comes, output still goes */
    /* Failed; the alert, if one is due, was sent. Feed no more. */
    TLSIO_FAILED_HANDSHAKE,
    TLSIO_FAILED_CERTIFICATE, /* the peer's certificate is not acceptable */
    TLSIO_FAILED_RECORD,      /* broken record, renegotiation asked for, fatal alert received */
};
enum tlsio_state tlsio_state(const struct tlsio_session *t);
/* Why it failed, for the log: printable; "" when it has not. Valid as long as the session. */
const char *tlsio_fault(const struct tlsio_session *t);

/* Ciphertext in, plaintext to out (size bytes).
 * used  out: how much of in was taken (part of a record is kept inside)
 * ret   plaintext bytes, 0..size. While it is above 0 call again with the rest, even when the rest is empty:
 *       a record's tail may be waiting. With 0 everything was taken, or the state is no longer HANDSHAKING or UP.
 * The state may change to UP and plaintext follow in the same call. */
size_t tlsio_input(struct tlsio_session *t, const char *in, size_t n, size_t *used, char *out, size_t size);

/* Plaintext out, as records of up to 16 KiB, so give it as contiguously as you have it. TD_EAGAIN before the
 * handshake is done, TD_ECLOSED after a failure. All or nothing is taken. */
int tlsio_output(struct tlsio_session *t, const void *p, size_t n);
/* Send close_notify. */
void tlsio_bye(struct tlsio_session *t);

/* Facts for the connection table and for authorisation. Texts are static or live as long as the session; NULL when
 * there is none (yet). */
const char *tlsio_version_text(const struct tlsio_session *t); /* "TLS1.3" */
const char *tlsio_cipher_text(const struct tlsio_session *t);  /* "AES-256-GCM" */
bool tlsio_is_resumed(const struct tlsio_session *t);          /* continues an earlier one */
const char *tlsio_alpn_text(const struct tlsio_session *t);    /* "http/1.1" or NULL */
/* Has the peer a certificate that chains to a trusted root, is in date, and names this host (by the
 * given rule, HOST or SIP)? Cheap enough to ask for each frame. */
bool tlsio_peer_is(const struct tlsio_session *t, struct sv host, enum tlsio_verify rule);
/* The first name of a certificate that was found good: dNSName, else sip URI's host, else IP address. */
const char *tlsio_peer_name(const struct tlsio_session *t);
