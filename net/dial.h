/* Opening connections: name resolution, every address in turn, TLS.
 *
 * dial() returns a connection at once, in the state `connecting`; bytes may be queued on it. The protocol's
 * up() follows, or down() with CONNECT_FAILED, CONNECT_TIMEOUT, DNS, FORBIDDEN, CERTIFICATE or TLS_HANDSHAKE;
 * neither is called from inside dial(). */
#pragma once

#include "net/conn.h"
#include "net/tls.h"

struct dial_target {
    const char *host;  /* name or IP literal; copied */
    uint16_t port;
    const struct addr *at; /* where host is, with the port, when the caller has looked it up; NULL: look it up. Borrowed for the call */
    /* With port 0: the SRV records of `service.host` say where, and where there are none it is default_port of the
     * host. The certificate names host in any case (RFC 4976 s.8, s.9.2). Static. */
    const char *service;
    uint16_t default_port;
    bool tls;
    enum tlsio_verify verify; /* what the certificate must show of host */
    const struct addr *from; /* our end, of which the address counts where it is one of this machine and of the right family; copied; NULL: any */
    int64_t timeout_ms; /* for each address, TLS included; twice that in all */
    /* May this resolved address be connected to? NULL: any. */
    bool (*allow)(void *arg, const struct addr *a);
    void *allow_arg;   /* borrowed: until up() or down() */
};

int dial(struct conn **out, struct worker *w, const struct dial_target *to, const struct conn_proto *proto, void *ctx,
         void *user);
