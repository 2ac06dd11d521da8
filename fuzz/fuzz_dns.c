/* Fuzz target: SRV and NAPTR records out of a DNS message, as a hostile name server sends it.
 *
 * Whatever comes, no more records are handed out than there is room for, in their order, each with a name that ends; and a time to live is one
 * of 32 bits. Putting SRV records in the order in which they are tried loses and invents none (RFC 2782). */
#include "fuzz/fuzz.h"

#include <string.h>

#include "common/crypto.h"
#include "net/naptr.h"
#include "net/srv.h"

static void look_at_srv(const uint8_t *data, int size)
{
    struct resolve_srv servers[RESOLVE_SRV_MAX];
    size_t n = 0;
    int64_t ttl = 0;
    uint64_t before = 0, after = 0;
    struct rng rng = { .left = 0 };

    memset(servers, 0x5a, sizeof servers);
    srv_read(servers, &n, data, size, &ttl);
    FUZZ_CHECK(n <= RESOLVE_SRV_MAX);
    FUZZ_CHECK(ttl >= 0 && ttl <= UINT32_MAX);
    for (size_t i = 0; i < n; i++) {
        FUZZ_CHECK(strnlen(servers[i].target, sizeof servers[i].target) < sizeof servers[i].target);
        FUZZ_CHECK(i == 0 || servers[i - 1].priority <= servers[i].priority);
        before += (uint64_t)servers[i].port << 32 | (uint64_t)servers[i].weight << 16 | servers[i].priority;
    }
    resolve_srv_order(servers, n, &rng);
    for (size_t i = 0; i < n; i++) {
        FUZZ_CHECK(i == 0 || servers[i - 1].priority <= servers[i].priority);
        after += (uint64_t)servers[i].port << 32 | (uint64_t)servers[i].weight << 16 | servers[i].priority;
    }
    FUZZ_CHECK(before == after);
}

static void look_at_naptr(const uint8_t *data, int size)
{
    struct resolve_naptr pointers[RESOLVE_NAPTR_MAX];
    size_t n = 0;
    int64_t ttl = 0;

    memset(pointers, 0x5a, sizeof pointers);
    naptr_read(pointers, &n, data, size, &ttl);
    FUZZ_CHECK(n <= RESOLVE_NAPTR_MAX);
    FUZZ_CHECK(ttl >= 0 && ttl <= UINT32_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct resolve_naptr *p = &pointers[i], *last = i ? p - 1 : NULL;

        FUZZ_CHECK(strnlen(p->service, sizeof p->service) < sizeof p->service);
        FUZZ_CHECK(strnlen(p->replacement, sizeof p->replacement) < sizeof p->replacement);
        FUZZ_CHECK(!last || last->order < p->order || (last->order == p->order && last->preference <= p->preference));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= UINT16_MAX) {
        look_at_srv(data, (int)size);
        look_at_naptr(data, (int)size);
    }
    return 0;
}
