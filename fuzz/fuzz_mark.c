/* Fuzz target: the marks in Record-Route and Path.
 *
 * What any peer writes there is no mark. One of ours is read as it was meant, with no Call-ID but its own, and not with one octet changed
 * (S-OUT-08, S-SEC-06). */
#include "fuzz/fuzz.h"

#include <string.h>

#include "common/crypto.h"
#include "sip/mark.h"

enum { TEXT_MAX = 512 };

static struct sipd server = { .run = "run00001" };

/* A mark of these octets, as far as they go. */
static struct mark mark_of(const uint8_t *p, size_t n)
{
    struct mark m = { .kind = n ? p[0] % 3 : MARK_PLAIN };
    uint8_t rest[32] = { 0 };

    if (n > 1)
        memcpy(rest, p + 1, TD_MIN(n - 1, sizeof rest));
    if (m.kind == MARK_FLOW) {
        memcpy(&m.conn_id, rest, 8);
        memcpy(&m.device, rest + 8, 8);
    } else if (m.kind == MARK_UDP) {
        m.addr.sa.sa_family = rest[0] & 1 ? AF_INET6 : AF_INET;
        if (rest[0] & 1)
            memcpy(&m.addr.in6.sin6_addr, rest + 3, 16);
        else
            memcpy(&m.addr.in.sin_addr, rest + 3, 4);
        addr_set_port(&m.addr, (uint16_t)(rest[1] << 8 | rest[2] | 1));
        snprintf(m.ident, sizeof m.ident, "udp%u", rest[20]);
    }
    return m;
}

static bool is_same(const struct mark *a, const struct mark *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == MARK_FLOW)
        return a->conn_id == b->conn_id && a->device == b->device;
    return a->kind != MARK_UDP || (addr_eq(&a->addr, &b->addr) && strcmp(a->ident, b->ident) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mark m = mark_of(data, size), got;
    char text[MARK_TEXT_MAX], other[TEXT_MAX];
    size_t n = TD_MIN(size, sizeof other - 1);

    if (!server.mac)
        FUZZ_CHECK(crypto_mac_new(&server.mac, SV("0f1e2d3c4b5a69788796a5b4c3d2e1f0")) == 0);
    memcpy(other, data, n);
    other[n] = '\0';
    FUZZ_CHECK(!mark_parse(&server, other, "call", &got));
    mark_print(&server, &m, "call", text);
    FUZZ_CHECK(mark_parse(&server, text, "call", &got) && is_same(&m, &got));
    FUZZ_CHECK(!mark_parse(&server, text, "cal", &got));
    if (size > 1) {
        size_t at = data[size - 1] % strlen(text);

        text[at] = (char)(text[at] ^ (data[size - 2] % 127 + 1));
        FUZZ_CHECK(!mark_parse(&server, text, "call", &got));
    }
    return 0;
}
