/* The names in a certificate, and whether a host is one of them.
 *
 * A list of names is text in one buffer: kind, name, NUL; the next one; a NUL at the end. Names are compared whole, ignoring case. What has other
 * than visible ASCII in it is no name. RFC 5922 s.7.1, s.7.2. Pure functions. */
#pragma once

#include "common/buf.h"

#define CERTNAME_DNS 'D'
#define CERTNAME_SIP 'U' /* host of a URI sip:host */
#define CERTNAME_IP 'I'  /* as inet_ntop() writes it */
#define CERTNAME_CN 'C'  /* only when there is no subjectAltName */

void certname_add(struct buf *names, char kind, struct sv name);
/* If it is sip:host, nothing but a domain (no user part). */
void certname_add_uri(struct buf *names, struct sv uri);
/* 4 or 16 octets. */
void certname_add_ip(struct buf *names, const char *raw, size_t n);

static inline const char *certname_next(const char *name)
{
    return name + strlen(name) + 1;
}

/* names may be NULL: none. name: its kind, then its text. */
#define certname_each(name, names) for (const char *name = (names); name && *name; name = certname_next(name))

bool certname_has(const char *names, char kind, struct sv host);
bool certname_has_kind(const char *names, char kind);
/* Is there a DNS name *.DOMAIN that the host is right below? DOMAIN has two labels at least. */
bool certname_has_wildcard(const char *names, struct sv host);
