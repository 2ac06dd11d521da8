/* Fuzz target: the Authorization header of a peer, alone and inside the header block of an MSRP AUTH.
 *
 * What was read prints to something that reads the same, and Sofia understands what we print. */
#include "fuzz/fuzz.h"

#include "auth/digest.h"
#include "auth/sipmsg.h"

static bool same(struct sv a, struct sv b)
{
    return (a.p == NULL) == (b.p == NULL) && sv_eq(a, b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sv text = sv_make(data, size);
    static struct digest_cred a, b;
    struct buf printed = BUF_INIT;
    msg_t *msg;
    uint32_t nc;

    if (digest_parse(&a, text) == DIGEST_PARSED) {
        digest_print(&a, &printed);
        FUZZ_CHECK(!buf_failed(&printed));
        if (printed.n) { /* else no parameter that we know */
            FUZZ_CHECK(digest_parse(&b, buf_sv(&printed)) == DIGEST_PARSED);
            FUZZ_CHECK(same(a.username, b.username) && same(a.realm, b.realm) && same(a.nonce, b.nonce) &&
                       same(a.uri, b.uri));
            FUZZ_CHECK(same(a.response, b.response) && same(a.algorithm, b.algorithm) && same(a.cnonce, b.cnonce));
            FUZZ_CHECK(same(a.opaque, b.opaque) && same(a.qop, b.qop) && same(a.nc, b.nc));
        }
        digest_nc_parse(a.nc, &nc);
        buf_clear(&printed);
        buf_puts(&printed, "Authorization: ");
        buf_add_sv(&printed, text);
        if (!memchr(data, '\n', size)) {
            FUZZ_CHECK(sipmsg_make(&msg, buf_sv(&printed)) == SIPMSG_MADE);
            msg_destroy(msg);
        }
    }
    buf_fini(&printed);
    if (sipmsg_make(&msg, text) == SIPMSG_MADE)
        msg_destroy(msg);
    return 0;
}
