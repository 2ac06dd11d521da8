/* Digest authentication, client side, for MSRP AUTH and SIP. */
#include "client/digest.h"

#include <stdio.h>

/* Take one `name=value` off a comma-separated list; quotes are taken off. */
static bool next_param(struct sv *s, struct sv *name, struct sv *value)
{
    size_t at = 0;

    while (s->n && (s->p[0] == ' ' || s->p[0] == '\t' || s->p[0] == ','))
        *s = sv_from(*s, 1);
    if (s->n == 0)
        return false;
    at = sv_find(*s, '=');
    if (at == s->n)
        return false;
    *name = sv_trim(sv_upto(*s, at));
    *s = sv_from(*s, at + 1);
    while (s->n && (s->p[0] == ' ' || s->p[0] == '\t'))
        *s = sv_from(*s, 1);
    if (s->n && s->p[0] == '"') {
        for (at = 1; at < s->n && s->p[at] != '"'; at++)
            at += s->p[at] == '\\';
        if (at >= s->n)
            return false;
        *value = sv_make(s->p + 1, at - 1);
        *s = sv_from(*s, at + 1);
    } else {
        at = sv_find(*s, ',');
        *value = sv_trim(sv_upto(*s, at));
        *s = sv_from(*s, at);
        if (sv_find(*value, '"') < value->n || sv_find(*value, '\\') < value->n) /* they end, or escape the end of, the quotes in an answer */
            return false;
    }
    return name->n > 0 && sv_find(*value, '\0') == value->n;
}

static struct sv after_scheme(struct sv value)
{
    value = sv_trim(value);
    return value.n > 7 && sv_eq_nocase(sv_upto(value, 7), SV("Digest ")) ? sv_from(value, 7) : sv_make(value.p, 0);
}

bool mc_auth_param(struct sv value, struct sv name, struct sv *out)
{
    struct sv digest = after_scheme(value), n, v;

    if (digest.n)
        value = digest;
    while (next_param(&value, &n, &v))
        if (sv_eq_nocase(n, name)) {
            *out = v;
            return true;
        }
    return false;
}

static bool list_has(struct sv list, struct sv word)
{
    while (list.n) {
        size_t at = sv_find(list, ',');

        if (sv_eq_nocase(sv_trim(sv_upto(list, at)), word))
            return true;
        list = sv_from(list, at + 1);
    }
    return false;
}

bool mc_challenge_parse(struct sv value, struct mc_challenge *out)
{
    struct sv rest = after_scheme(value), name, v;
    bool has_realm = false, has_nonce = false;

    *out = (struct mc_challenge){ .algorithm = CRYPTO_MD5 };
    while (next_param(&rest, &name, &v)) {
        if (sv_eq_nocase(name, SV("realm"))) {
            out->realm = v;
            has_realm = true;
        } else if (sv_eq_nocase(name, SV("nonce"))) {
            out->nonce = v;
            has_nonce = true;
        } else if (sv_eq_nocase(name, SV("opaque"))) {
            out->opaque = v;
            out->has_opaque = true;
        } else if (sv_eq_nocase(name, SV("qop"))) {
            if (!list_has(v, SV("auth")))
                return false;
            out->has_qop = true;
        } else if (sv_eq_nocase(name, SV("stale"))) {
            out->is_stale = sv_eq_nocase(v, SV("true"));
        } else if (sv_eq_nocase(name, SV("algorithm"))) {
            out->has_algorithm = true;
            if (sv_eq_nocase(v, SV("SHA-256")))
                out->algorithm = CRYPTO_SHA256;
            else if (!sv_eq_nocase(v, SV("MD5")))
                return false;
        }
    }
    return has_realm && has_nonce;
}

static void hash_parts(enum crypto_hash alg, const struct sv *parts, size_t n, char out[CRYPTO_HEX_MAX])
{
    struct buf b = BUF_INIT;

    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_putc(&b, ':');
        buf_add_sv(&b, parts[i]);
    }
    crypto_hash_hex(alg, buf_sv(&b), out);
    buf_fini(&b);
}

static void digest(const struct mc_challenge *c, const struct mc_credentials *who, const struct mc_digest *d,
                   struct sv method, char out[CRYPTO_HEX_MAX])
{
    char ha1[CRYPTO_HEX_MAX], ha2[CRYPTO_HEX_MAX], nc[9];
    const struct sv a1[] = { who->user, c->realm, who->password }, a2[] = { method, d->uri };

    snprintf(nc, sizeof nc, "%08x", d->nc);
    hash_parts(c->algorithm, a1, TD_ARRAY_LEN(a1), ha1);
    hash_parts(c->algorithm, a2, TD_ARRAY_LEN(a2), ha2);
    if (c->has_qop) {
        const struct sv all[] = { sv_of(ha1), c->nonce, sv_of(nc), d->cnonce, SV("auth"), sv_of(ha2) };

        hash_parts(c->algorithm, all, TD_ARRAY_LEN(all), out);
    } else {
        const struct sv all[] = { sv_of(ha1), c->nonce, sv_of(ha2) };

        hash_parts(c->algorithm, all, TD_ARRAY_LEN(all), out);
    }
}

void mc_digest_response(const struct mc_challenge *c, const struct mc_credentials *who, const struct mc_digest *d,
                        char out[CRYPTO_HEX_MAX])
{
    digest(c, who, d, d->method, out);
}

void mc_digest_rspauth(const struct mc_challenge *c, const struct mc_credentials *who, const struct mc_digest *d,
                       char out[CRYPTO_HEX_MAX])
{
    digest(c, who, d, SV(""), out);
}

void mc_digest_authorize(struct buf *out, const struct mc_challenge *c, const struct mc_credentials *who,
                         const struct mc_digest *d)
{
    char response[CRYPTO_HEX_MAX];

    mc_digest_response(c, who, d, response);
    buf_printf(out, "Digest username=\"" SV_FMT "\", realm=\"" SV_FMT "\", nonce=\"" SV_FMT "\"", SV_ARG(who->user),
               SV_ARG(c->realm), SV_ARG(c->nonce));
    if (who->send_uri)
        buf_printf(out, ", uri=\"" SV_FMT "\"", SV_ARG(d->uri));
    if (c->has_opaque)
        buf_printf(out, ", opaque=\"" SV_FMT "\"", SV_ARG(c->opaque));
    if (c->has_algorithm)
        buf_printf(out, ", algorithm=%s", c->algorithm == CRYPTO_MD5 ? "MD5" : "SHA-256");
    if (c->has_qop)
        buf_printf(out, ", qop=auth, nc=%08x, cnonce=\"" SV_FMT "\"", d->nc, SV_ARG(d->cnonce));
    buf_printf(out, ", response=\"%s\"", response);
}
