/* Fuzz target: MSRP URIs and paths.
 *
 * Every part of a parsed URI is a view into its text, in order, and the parts make up the text
 * again; equality is reflexive and symmetric; a path is its words (M-URI-01, M-URI-08, M-URI-11). */
#include "fuzz/fuzz.h"

#include "msrp/uri.h"

static bool is_inside(struct sv part, struct sv text)
{
    return part.n == 0 || (part.p >= text.p && part.p + part.n <= text.p + text.n);
}

static void check_uri(const struct msrp_uri *u, struct sv text)
{
    struct msrp_uri again;

    FUZZ_CHECK(u->text.p == text.p && u->text.n == text.n && text.n <= MSRP_URI_MAX);
    FUZZ_CHECK(is_inside(u->scheme, text) && is_inside(u->userinfo, text) && is_inside(u->host, text));
    FUZZ_CHECK(is_inside(u->port, text) && is_inside(u->session, text));
    FUZZ_CHECK(is_inside(u->transport, text) && is_inside(u->params, text));
    FUZZ_CHECK(u->host.n > 0 && u->transport.n > 0);
    FUZZ_CHECK((u->port.n == 0) == (u->port_number == 0));
    FUZZ_CHECK(u->secure == sv_eq_nocase(u->scheme, SV("msrps")));
    FUZZ_CHECK(u->scheme.n + 3 + u->host.n + u->port.n + u->session.n + u->transport.n + u->params.n <= text.n);
    FUZZ_CHECK(msrp_uri_eq(u, u));
    FUZZ_CHECK(msrp_host_eq(u->host, u->host));
    FUZZ_CHECK(msrp_uri_parse(&again, text) && msrp_uri_eq(u, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sv text = sv_make(data, size), rest = text, word;
    struct msrp_uri u, uris[MSRP_PATH_MAX];
    size_t n, words = 0;

    if (msrp_uri_parse(&u, text))
        check_uri(&u, text);
    n = msrp_path_parse(text, uris, MSRP_PATH_MAX);
    FUZZ_CHECK(n <= MSRP_PATH_MAX);
    for (; n && msrp_path_next(&rest, &word); words++) {
        FUZZ_CHECK(words < n);
        check_uri(&uris[words], word);
        for (size_t i = 0; i < words; i++)
            FUZZ_CHECK(msrp_uri_eq(&uris[i], &uris[words]) == msrp_uri_eq(&uris[words], &uris[i]));
    }
    FUZZ_CHECK(words == n);
    return 0;
}
