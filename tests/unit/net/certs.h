/* Certificates for tests, made when needed: a root and what it issues, in a temporary folder.
 *
 * Any unit test may list certs.c among its sources and link GnuTLS. Keys are
 * NIST P-256 unless a flag says otherwise, so making one takes a millisecond. Failures end the test program. */
#pragma once

#include "common/defs.h"

struct certs;

enum {
    CERT_SELF_SIGNED = 1, /* not by the root */
    CERT_EXPIRED = 2,     /* yesterday */
    CERT_NOT_YET = 4,     /* from tomorrow */
    CERT_CLIENT_ONLY = 8, /* extended key usage: TLS clients */
    CERT_RSA = 16,        /* an RSA key of 2048 bits, which takes longer to make */
};

/* A new folder with the root in ca.pem. */
struct certs *certs_new(void);
void certs_free(struct certs **c); /* removes the folder */

/* Make NAME.pem and NAME.key. The common name is NAME; san is what goes into subjectAltName: words
 * "dns:x", "ip:x" and "uri:x" apart by blanks, or NULL for no such extension. */
void certs_issue(struct certs *c, const char *name, const char *san, unsigned flags);

/* Write any file into the folder. */
void certs_write(struct certs *c, const char *file, const char *text);

/* The path of a file in the folder; good until certs_free(). */
const char *certs_path(struct certs *c, const char *file);
