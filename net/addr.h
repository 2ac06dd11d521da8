/* Socket addresses: parsing, printing, comparing, and what kind of place they are.
 *
 * IPv4-mapped IPv6 addresses are turned into IPv4 when they come from a
 * socket or are dialled, so that one peer has one text. Pure functions but for addr_is_local(). */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "common/sv.h"

struct addr {
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    };
};

enum { ADDR_TEXT_MAX = 64 }; /* "[v6]:port" and NUL */

socklen_t addr_len(const struct addr *a);
uint16_t addr_port(const struct addr *a); /* host order */
void addr_set_port(struct addr *a, uint16_t port);

/* "1.2.3.4:5" or "[2001:db8::1]:5". */
const char *addr_text(const struct addr *a, char out[ADDR_TEXT_MAX]);
/* The host alone, without brackets. */
const char *addr_host_text(const struct addr *a, char out[ADDR_TEXT_MAX]);

/* Parse an IP literal, brackets optional around IPv6; no names. */
bool addr_from_host(struct addr *a, struct sv host, uint16_t port);
/* Parse "HOST:PORT" or "[V6]:PORT", IP literals only. */
bool addr_from_text(struct addr *a, struct sv text);
/* ::ffff:a.b.c.d becomes a.b.c.d, which is where a connection to it goes. */
void addr_unmap(struct addr *a);
/* From accept() or getsockname(), unmapped. */
void addr_from_socket(struct addr *a, const struct sockaddr_storage *ss);

/* A port as text, NULL or empty: the other one; 0 when it is no port. */
uint16_t addr_port_of_text(const char *text, uint16_t otherwise);

bool addr_eq(const struct addr *a, const struct addr *b);      /* address and port */
bool addr_host_eq(const struct addr *a, const struct addr *b); /* address alone */


enum addr_kind { ADDR_PUBLIC, ADDR_PRIVATE, ADDR_LOOPBACK, ADDR_NEVER /* unspecified, multicast, link-local, broadcast */ };
enum addr_kind addr_kind(const struct addr *a);

/* Does this address belong to this machine? Asks the system. */
bool addr_is_local(const struct addr *a);
/* A connection to `to` would reach a socket that listens at `at`, which may be a wildcard address. */
bool addr_is_served(const struct addr *to, const struct addr *at);

/* A CIDR block such as 10.0.0.0/8 or 2001:db8::/32. */
struct cidr {
    struct addr base;
    unsigned bits;
};
bool cidr_parse(struct cidr *c, struct sv text);
bool cidr_has(const struct cidr *c, const struct addr *a);
