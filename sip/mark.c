/* Making and checking the marks of Record-Route. */
#include "sip/mark.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/crypto.h"

enum { MAC_BYTES = 8 };

static void mac(const struct sipd *d, struct sv payload, const char *callid, char out[2 * MAC_BYTES + 1])
{
    static const char hex[] = "0123456789abcdef";
    uint8_t full[32];

    crypto_mac_add(d->mac, payload);
    crypto_mac_add(d->mac, SV("\0"));
    crypto_mac_add(d->mac, sv_of(callid));
    crypto_mac_end(d->mac, full);
    for (int i = 0; i < MAC_BYTES; i++) {
        out[2 * i] = hex[full[i] >> 4];
        out[2 * i + 1] = hex[full[i] & 15];
    }
    out[2 * MAC_BYTES] = '\0';
}

static size_t print_udp(const struct mark *m, char *out, size_t size)
{
    const uint8_t *ip = m->addr.sa.sa_family == AF_INET6 ? (const uint8_t *)&m->addr.in6.sin6_addr
                                                         : (const uint8_t *)&m->addr.in.sin_addr;
    size_t n_ip = m->addr.sa.sa_family == AF_INET6 ? 16 : 4, n = 0;

    out[n++] = 'u';
    for (size_t i = 0; i < n_ip; i++)
        n += (size_t)snprintf(out + n, size - n, "%02x", ip[i]);
    return n + (size_t)snprintf(out + n, size - n, "-%u-%s", addr_port(&m->addr), m->ident);
}

void mark_print(const struct sipd *d, const struct mark *m, const char *callid, char out[MARK_TEXT_MAX])
{
    char code[2 * MAC_BYTES + 1];
    size_t n = 0;

    if (m->kind == MARK_FLOW)
        n = (size_t)snprintf(out, MARK_TEXT_MAX, "f%" PRIx64 "-%s-%" PRIx64, m->conn_id, d->run, m->device);
    else if (m->kind == MARK_UDP)
        n = print_udp(m, out, MARK_TEXT_MAX - sizeof code - 1);
    else
        out[n++] = 'p';
    mac(d, sv_make(out, n), callid, code);
    snprintf(out + n, MARK_TEXT_MAX - n, ".%s", code);
}

static bool parse_hex(struct sv s, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char two[3] = { s.p[2 * i], s.p[2 * i + 1], '\0' };
        char *end;

        out[i] = (uint8_t)strtoul(two, &end, 16);
        if (end != two + 2)
            return false;
    }
    return true;
}

static bool parse_udp(struct sv s, struct mark *m)
{
    size_t dash = sv_find(s, '-');
    struct sv rest = sv_from(s, dash + 1), port = sv_upto(rest, sv_find(rest, '-'));
    uint64_t number;

    m->addr = (struct addr){ 0 };
    if (dash == 32) {
        m->addr.sa.sa_family = AF_INET6;
        if (!parse_hex(s, (uint8_t *)&m->addr.in6.sin6_addr, 16))
            return false;
    } else if (dash == 8) {
        m->addr.sa.sa_family = AF_INET;
        if (!parse_hex(s, (uint8_t *)&m->addr.in.sin_addr, 4))
            return false;
    } else {
        return false;
    }
    if (!sv_to_u64(port, &number, NULL) || number == 0 || number > 65535)
        return false;
    addr_set_port(&m->addr, (uint16_t)number);
    return sv_copy(sv_from(rest, port.n + 1), m->ident, sizeof m->ident);
}

uint64_t mark_device(const struct sipd *d, struct sv user, struct sv domain, const char *instance, const char *contact)
{
    uint8_t full[32];
    uint64_t device = 0;

    crypto_mac_add(d->mac, user);
    crypto_mac_add(d->mac, SV("\0"));
    crypto_mac_add(d->mac, domain);
    crypto_mac_add(d->mac, *instance ? SV("\0i") : SV("\0c"));
    crypto_mac_add(d->mac, sv_of(*instance ? instance : contact));
    crypto_mac_end(d->mac, full);
    for (int i = 0; i < 8; i++)
        device = device << 8 | full[i];
    return device ? device : 1;
}

static bool parse_flow(const struct sipd *d, struct sv s, struct mark *m)
{
    size_t first = sv_find(s, '-');
    struct sv rest = sv_from(s, first + 1), run = sv_upto(rest, sv_find(rest, '-'));

    if (first == s.n || run.n == rest.n)
        return false;
    m->kind = MARK_FLOW;
    m->conn_id = sv_eq(run, sv_of(d->run)) ? strtoull(s.p, NULL, 16) : 0;
    m->device = strtoull(rest.p + run.n + 1, NULL, 16);
    return true;
}

bool mark_parse(const struct sipd *d, const char *text, const char *callid, struct mark *m)
{
    struct sv s = sv_of(text), payload = sv_upto(s, sv_find(s, '.'));
    char code[2 * MAC_BYTES + 1];

    *m = (struct mark){ .kind = MARK_PLAIN };
    if (payload.n == 0 || payload.n == s.n)
        return false;
    mac(d, payload, callid, code);
    if (!crypto_equal(sv_of(code), sv_from(s, payload.n + 1)))
        return false;
    switch (payload.p[0]) {
    case 'f':
        return parse_flow(d, sv_from(payload, 1), m);
    case 'u':
        m->kind = MARK_UDP;
        return parse_udp(sv_from(payload, 1), m);
    default:
        return true;
    }
}
