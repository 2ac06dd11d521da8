/* Fuzz target: the Authorization header of a peer, alone and inside the header lines of an MSRP AUTH.
 *
 * Values have no control characters, point into the credentials' own text and share none of it; a line in front of others is
 * read as it is alone. */
#include "fuzz/fuzz.h"

#include "auth/claim.h"

enum { VALUES = offsetof(struct digest_cred, used) / sizeof(struct sv) };

static const struct sv *value_of(const struct digest_cred *c, size_t i)
{
    return (const struct sv *)(const void *)c + i;
}

static void check_values(const struct digest_cred *c)
{
    size_t octets = 0;

    for (size_t i = 0; i < VALUES; i++) {
        const struct sv *v = value_of(c, i);

        if (!v->p)
            continue;
        FUZZ_CHECK(v->p >= c->text && v->p + v->n <= c->text + c->used);
        for (size_t at = 0; at < v->n; at++)
            FUZZ_CHECK(((uint8_t)v->p[at] >= ' ' || v->p[at] == '\t') && v->p[at] != 0x7f);
        octets += v->n;
    }
    FUZZ_CHECK(octets <= c->used && c->used <= sizeof c->text);
}

static void check_same(const struct digest_cred *a, const struct digest_cred *b)
{
    for (size_t i = 0; i < VALUES; i++)
        FUZZ_CHECK((value_of(a, i)->p == NULL) == (value_of(b, i)->p == NULL) && sv_eq(*value_of(a, i), *value_of(b, i)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sv text = sv_make(data, size);
    static struct digest_cred a, b;
    struct claims all = { text, 0 };
    uint32_t nc;

    if (digest_parse(&a, text) == DIGEST_PARSED) {
        struct buf lines = BUF_INIT;
        struct claims one;

        check_values(&a);
        digest_nc_parse(a.nc, &nc);
        buf_puts(&lines, "Expires: 1\r\nAuthorization: ");
        buf_add_sv(&lines, text);
        buf_puts(&lines, "\r\nAuthorization: Basic eA==\r\n");
        one = (struct claims){ buf_sv(&lines), 0 };
        if (!memchr(data, '\n', size) && a.realm.p) {
            FUZZ_CHECK(claim_next(&one, &b) == 1);
            check_same(&a, &b);
            FUZZ_CHECK(claim_next(&one, &b) == 0);
        }
        buf_fini(&lines);
    }
    while (claim_next(&all, &b) == 1)
        check_values(&b);
    if (claim_first(&b, text))
        FUZZ_CHECK(b.username.n && b.realm.n);
    return 0;
}
