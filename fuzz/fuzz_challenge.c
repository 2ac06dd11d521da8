/* Fuzz target: what the client reads from strangers besides frames: challenges and SDP.
 *
 * The first byte chooses. A challenge that is accepted can be answered, and the answer's parameters are found again by the
 * same reader; a description that is accepted has a path of valid URIs. */
#include "fuzz/fuzz.h"

#include "client/digest.h"
#include "client/sdp.h"
#include "client/wire.h"

static bool is_inside(struct sv part, struct sv all)
{
    return part.n == 0 || (part.p >= all.p && part.p + part.n <= all.p + all.n);
}

static void check_challenge(struct sv text)
{
    struct mc_credentials who = { SV("alice"), SV("Wonder-1and"), true };
    struct mc_digest d = { SV("AUTH"), SV("msrps://edge.example:5061;tcp"), SV("0a4f113b9c21"), 1 };
    struct mc_challenge c;
    struct buf answer = BUF_INIT;
    struct sv v;

    if (mc_auth_param(text, SV("rspauth"), &v))
        FUZZ_CHECK(is_inside(v, text));
    if (!mc_challenge_parse(text, &c))
        return;
    FUZZ_CHECK(is_inside(c.realm, text) && is_inside(c.nonce, text) && is_inside(c.opaque, text));
    mc_digest_authorize(&answer, &c, &who, &d);
    FUZZ_CHECK(!buf_failed(&answer) && mc_auth_param(buf_sv(&answer), SV("username"), &v) && sv_eq(v, who.user));
    FUZZ_CHECK(mc_auth_param(buf_sv(&answer), SV("nonce"), &v) && sv_eq(v, c.nonce));
    FUZZ_CHECK(mc_auth_param(buf_sv(&answer), SV("response"), &v) && v.n == (c.algorithm == CRYPTO_MD5 ? 32 : 64));
    buf_fini(&answer);
}

static void check_sdp(struct sv text)
{
    struct mc_sdp sdp;
    const char *fault = NULL;

    if (!mc_sdp_read(text, &sdp, &fault)) {
        FUZZ_CHECK(fault != NULL);
        return;
    }
    FUZZ_CHECK(is_inside(sdp.path, text) && mc_path_is_valid(sdp.path));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sv text = sv_make(data + 1, size ? size - 1 : 0);

    if (size == 0)
        return 0;
    if (data[0] == 'S')
        check_sdp(text);
    else
        check_challenge(text);
    return 0;
}
