/* Socket addresses. */
#include "net/addr.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdio.h>

socklen_t addr_len(const struct addr *a)
{
    return a->sa.sa_family == AF_INET6 ? sizeof a->in6 : sizeof a->in;
}

uint16_t addr_port(const struct addr *a)
{
    return ntohs(a->sa.sa_family == AF_INET6 ? a->in6.sin6_port : a->in.sin_port);
}

void addr_set_port(struct addr *a, uint16_t port)
{
    if (a->sa.sa_family == AF_INET6)
        a->in6.sin6_port = htons(port);
    else
        a->in.sin_port = htons(port);
}

static char *put_number(char *at, unsigned v)
{
    char digits[10], *from = digits + sizeof digits;

    do
        *--from = (char)('0' + v % 10);
    while (v /= 10);
    memcpy(at, from, (size_t)(digits + sizeof digits - from));
    return at + (digits + sizeof digits - from);
}

/* By hand: every accepted connection and every token is written down. */
static char *put_ipv4(char *at, const struct in_addr *ip)
{
    const uint8_t *part = (const uint8_t *)ip;

    for (int i = 0; i < 4; i++) {
        at = put_number(at, part[i]);
        *at++ = '.';
    }
    return at - 1;
}

const char *addr_host_text(const struct addr *a, char out[ADDR_TEXT_MAX])
{
    if (a->sa.sa_family == AF_INET)
        *put_ipv4(out, &a->in.sin_addr) = '\0';
    else if (a->sa.sa_family != AF_INET6 || !inet_ntop(AF_INET6, &a->in6.sin6_addr, out, ADDR_TEXT_MAX))
        snprintf(out, ADDR_TEXT_MAX, "-");
    return out;
}

const char *addr_text(const struct addr *a, char out[ADDR_TEXT_MAX])
{
    char host[ADDR_TEXT_MAX], *at;

    if (a->sa.sa_family == AF_INET) {
        at = put_ipv4(out, &a->in.sin_addr);
        *at++ = ':';
        *put_number(at, addr_port(a)) = '\0';
        return out;
    }
    addr_host_text(a, host);
    if (a->sa.sa_family == AF_INET6)
        snprintf(out, ADDR_TEXT_MAX, "[%.46s]:%u", host, addr_port(a));
    else
        snprintf(out, ADDR_TEXT_MAX, "%.46s:%u", host, addr_port(a));
    return out;
}

bool addr_from_host(struct addr *a, struct sv host, uint16_t port)
{
    char text[INET6_ADDRSTRLEN];
    bool brackets = host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';

    memset(a, 0, sizeof *a);
    if (brackets)
        host = sv_make(host.p + 1, host.n - 2);
    if (!sv_copy(host, text, sizeof text))
        return false;
    if (!brackets && inet_pton(AF_INET, text, &a->in.sin_addr) == 1)
        a->sa.sa_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &a->in6.sin6_addr) == 1)
        a->sa.sa_family = AF_INET6;
    else
        return false;
    addr_set_port(a, port);
    return true;
}

bool addr_from_text(struct addr *a, struct sv text)
{
    uint64_t port;
    size_t colon = text.n;

    while (colon > 0 && text.p[colon - 1] != ':')
        colon--;
    if (colon == 0 || !sv_to_u64(sv_from(text, colon), &port, NULL) || port > 65535)
        return false;
    text = sv_upto(text, colon - 1);
    if (sv_find(text, ':') < text.n && (text.p[0] != '[' || text.p[text.n - 1] != ']'))
        return false; /* bare IPv6 with a port is ambiguous */
    return addr_from_host(a, text, (uint16_t)port);
}

void addr_unmap(struct addr *a)
{
    uint16_t port = addr_port(a);
    uint32_t v4;

    if (a->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
        return;
    memcpy(&v4, a->in6.sin6_addr.s6_addr + 12, 4);
    memset(a, 0, sizeof *a);
    a->in.sin_family = AF_INET;
    a->in.sin_addr.s_addr = v4;
    addr_set_port(a, port);
}

void addr_from_socket(struct addr *a, const struct sockaddr_storage *ss)
{
    memset(a, 0, sizeof *a);
    if (ss->ss_family == AF_INET6) {
        memcpy(&a->in6, ss, sizeof a->in6);
        addr_unmap(a);
    } else if (ss->ss_family == AF_INET) {
        memcpy(&a->in, ss, sizeof a->in);
    }
}

bool addr_host_eq(const struct addr *a, const struct addr *b)
{
    if (a->sa.sa_family != b->sa.sa_family)
        return false;
    if (a->sa.sa_family == AF_INET6)
        return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 16) == 0;
    return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
}

uint16_t addr_port_of_text(const char *text, uint16_t otherwise)
{
    uint64_t number;

    if (!text || !*text)
        return otherwise;
    return sv_to_u64(sv_of(text), &number, NULL) && number <= UINT16_MAX ? (uint16_t)number : 0;
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
    return addr_host_eq(a, b) && addr_port(a) == addr_port(b);
}

static enum addr_kind kind4(uint32_t ip)
{
    unsigned a = ip >> 24, b = ip >> 16 & 255;

    if (a == 127)
        return ADDR_LOOPBACK;
    if (a == 0 || a >= 224 || (a == 169 && b == 254))
        return ADDR_NEVER;
    if (a == 10 || (a == 172 && b >= 16 && b < 32) || (a == 192 && b == 168) || (a == 100 && b >= 64 && b < 128))
        return ADDR_PRIVATE;
    return ADDR_PUBLIC;
}

static uint32_t read32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

enum addr_kind addr_kind(const struct addr *a)
{
    const uint8_t *ip6 = a->in6.sin6_addr.s6_addr;

    if (a->sa.sa_family == AF_INET)
        return kind4(ntohl(a->in.sin_addr.s_addr));
    if (a->sa.sa_family != AF_INET6)
        return ADDR_NEVER;
    if (IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr))
        return ADDR_LOOPBACK;
    if (IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr) || IN6_IS_ADDR_V4COMPAT(&a->in6.sin6_addr) ||
        memcmp(ip6, "\0\x64\xff\x9b\0\0\0\0\0\0\0\0", 12) == 0) /* NAT64: judged by what is inside */
        return kind4(read32(ip6 + 12));
    if (ip6[0] == 0x20 && ip6[1] == 0x02) /* 6to4, likewise */
        return kind4(read32(ip6 + 2));
    if (IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr) || IN6_IS_ADDR_MULTICAST(&a->in6.sin6_addr) ||
        IN6_IS_ADDR_LINKLOCAL(&a->in6.sin6_addr))
        return ADDR_NEVER;
    if ((ip6[0] & 0xfe) == 0xfc || IN6_IS_ADDR_SITELOCAL(&a->in6.sin6_addr) ||
        memcmp(ip6, "\0\x64\xff\x9b\0\1", 6) == 0) /* NAT64 of a site's own: RFC 8215 */
        return ADDR_PRIVATE;
    return ADDR_PUBLIC;
}

bool addr_is_local(const struct addr *a)
{
    struct ifaddrs *all = NULL;
    bool found = addr_kind(a) == ADDR_LOOPBACK;

    if (found || getifaddrs(&all) != 0)
        return found;
    for (const struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
        struct addr mine = { 0 };

        if (i->ifa_addr && i->ifa_addr->sa_family == a->sa.sa_family) {
            memcpy(&mine, i->ifa_addr, addr_len(a));
            found = addr_host_eq(&mine, a);
        }
    }
    freeifaddrs(all);
    return found;
}

bool addr_is_served(const struct addr *to, const struct addr *at)
{
    bool any = at->sa.sa_family == AF_INET6 ? IN6_IS_ADDR_UNSPECIFIED(&at->in6.sin6_addr) : at->in.sin_addr.s_addr == htonl(INADDR_ANY);

    if (addr_port(to) != addr_port(at) || to->sa.sa_family != at->sa.sa_family)
        return false;
    return any ? addr_is_local(to) : addr_host_eq(to, at);
}

bool cidr_parse(struct cidr *c, struct sv text)
{
    size_t slash = sv_find(text, '/');
    uint64_t bits;

    if (!addr_from_host(&c->base, sv_upto(text, slash), 0))
        return false;
    c->bits = c->base.sa.sa_family == AF_INET6 ? 128 : 32;
    if (slash == text.n)
        return true;
    if (!sv_to_u64(sv_from(text, slash + 1), &bits, NULL) || bits > c->bits)
        return false;
    c->bits = (unsigned)bits;
    return true;
}

bool cidr_has(const struct cidr *c, const struct addr *a)
{
    const uint8_t *x, *y;
    unsigned whole = c->bits / 8, rest = c->bits % 8;

    if (a->sa.sa_family != c->base.sa.sa_family)
        return false;
    x = a->sa.sa_family == AF_INET6 ? a->in6.sin6_addr.s6_addr : (const uint8_t *)&a->in.sin_addr;
    y = a->sa.sa_family == AF_INET6 ? c->base.in6.sin6_addr.s6_addr : (const uint8_t *)&c->base.in.sin_addr;
    if (memcmp(x, y, whole) != 0)
        return false;
    return rest == 0 || (uint8_t)(x[whole] ^ y[whole]) >> (8 - rest) == 0;
}
