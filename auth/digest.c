/* Digest access authentication: reading credentials, computing and writing answers. */
#include "auth/digest.h"

/* ---- algorithms */

const char *digest_alg_name(enum digest_alg alg)
{
    return alg == DIGEST_MD5 ? "MD5" : "SHA-256";
}

bool digest_alg_parse(struct sv name, enum digest_alg *alg)
{
    for (int i = 0; i < DIGEST_ALG_N; i++)
        if (sv_eq_nocase(name, sv_of(digest_alg_name((enum digest_alg)i)))) {
            *alg = (enum digest_alg)i;
            return true;
        }
    return false;
}

static enum crypto_hash hash_of(enum digest_alg alg)
{
    return alg == DIGEST_MD5 ? CRYPTO_MD5 : CRYPTO_SHA256;
}

/* ---- reading */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct sv skip_blanks(struct sv s)
{
    while (s.n && is_blank(s.p[0]))
        s = sv_from(s, 1);
    return s;
}

static bool is_token(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-.!%*_+`'~", c));
}

static const struct {
    const char *name;
    size_t at; /* offset of its struct sv */
} params[] = {
#define PARAM(name) { #name, offsetof(struct digest_cred, name) }
    PARAM(username), PARAM(realm), PARAM(nonce), PARAM(uri), PARAM(response),
    PARAM(algorithm), PARAM(cnonce), PARAM(opaque), PARAM(qop), PARAM(nc),
#undef PARAM
};

static struct sv *param_of(struct digest_cred *c, size_t i)
{
    return (struct sv *)(void *)((char *)c + params[i].at);
}

static struct sv *param_find(struct digest_cred *c, struct sv name)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(params); i++)
        if (sv_eq_nocase(name, sv_of(params[i].name)))
            return param_of(c, i);
    return NULL;
}

static bool is_control(char c)
{
    return ((unsigned char)c < ' ' && c != '\t') || c == 0x7f;
}

static bool put(struct digest_cred *c, struct sv *value, const char *p, size_t n)
{
    if (n > sizeof c->text - c->used)
        return false;
    memcpy(c->text + c->used, p, n);
    c->used += n;
    value->n += n;
    return true;
}

/* Take the value in front of *rest, unquoted. */
static bool take_value(struct digest_cred *c, struct sv *rest, struct sv *value)
{
    const char *p = rest->p, *end = p + rest->n, *run = p;

    *value = sv_make(c->text + c->used, 0);
    if (p < end && *p == '"') {
        for (run = ++p; p < end && *p != '"'; p++) {
            if (is_control(*p))
                return false;
            if (*p == '\\' && p + 1 < end) {
                if (is_control(p[1]) || !put(c, value, run, (size_t)(p - run)))
                    return false;
                run = ++p; /* the character behind the backslash counts as it is */
            }
        }
        if (p == end || !put(c, value, run, (size_t)(p - run))) /* no closing quote */
            return false;
        p++;
    } else {
        for (; p < end && !is_blank(*p) && *p != ','; p++)
            if (*p == '"' || is_control(*p))
                return false;
        if (p == run || !put(c, value, run, (size_t)(p - run)))
            return false;
    }
    *rest = sv_make(p, (size_t)(end - p));
    return true;
}

/* Take the name=value in front of *rest. */
static bool take_param(struct digest_cred *c, struct sv *rest)
{
    struct sv s = *rest, name = { s.p, 0 }, value, *field;
    size_t used = c->used;

    while (s.n && is_token(s.p[0])) {
        name.n++;
        s = sv_from(s, 1);
    }
    s = skip_blanks(s);
    if (!name.n || !s.n || s.p[0] != '=')
        return false;
    s = skip_blanks(sv_from(s, 1));
    if (!take_value(c, &s, &value))
        return false;
    field = param_find(c, name);
    if (!field) {
        c->used = used;
    } else {
        if (field->p)
            return false;
        *field = value;
    }
    *rest = skip_blanks(s);
    return true;
}

void digest_cred_init(struct digest_cred *c)
{
    memset(c, 0, offsetof(struct digest_cred, text));
}

bool digest_take_param(struct digest_cred *c, struct sv param)
{
    struct sv rest = skip_blanks(param);

    return take_param(c, &rest) && rest.n == 0;
}

enum digest_parse digest_parse(struct digest_cred *c, struct sv value)
{
    struct sv s = skip_blanks(value), scheme = { s.p, 0 };
    bool any = false;

    digest_cred_init(c);
    while (scheme.n < s.n && !is_blank(s.p[scheme.n]))
        scheme.n++;
    if (!sv_eq_nocase(scheme, SV("Digest")))
        return DIGEST_OTHER;
    s = sv_from(s, scheme.n);
    for (;;) {
        while (s.n && (is_blank(s.p[0]) || s.p[0] == ','))
            s = sv_from(s, 1);
        if (!s.n)
            return any ? DIGEST_PARSED : DIGEST_BROKEN;
        if (!take_param(c, &s) || (s.n && s.p[0] != ','))
            return DIGEST_BROKEN;
        any = true;
    }
}

struct sv digest_user(const struct digest_cred *c)
{
    struct sv u = c->username;

    if (c->realm.n && u.n > c->realm.n + 1 && u.p[u.n - c->realm.n - 1] == '@' && sv_eq(sv_from(u, u.n - c->realm.n), c->realm))
        u.n -= c->realm.n + 1;
    return u;
}

bool digest_nc_parse(struct sv nc, uint32_t *out)
{
    uint32_t v = 0;

    if (nc.n != 8)
        return false;
    for (size_t i = 0; i < nc.n; i++) {
        char c = sv_lower(nc.p[i]);

        if (c >= '0' && c <= '9')
            v = v << 4 | (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (uint32_t)(c - 'a' + 10);
        else
            return false;
    }
    *out = v;
    return true;
}

/* ---- computing */

/* Out of memory gives a text that equals no digest. */
static void hash_buf(enum digest_alg alg, struct buf *b, char out[CRYPTO_HEX_MAX])
{
    if (buf_failed(b)) {
        out[0] = '!';
        out[1] = '\0';
    } else {
        crypto_hash_hex(hash_of(alg), buf_sv(b), out);
    }
    buf_fini(b);
}

/* Append with a colon in front, unless it is the first. */
static void add_part(struct buf *b, struct sv part)
{
    if (b->n)
        buf_putc(b, ':');
    buf_add_sv(b, part);
}

void digest_response(enum digest_alg alg, const struct digest_cred *c, struct sv ha1, struct sv method, struct sv uri,
                     char out[CRYPTO_HEX_MAX])
{
    struct buf b = BUF_INIT;
    char ha2[CRYPTO_HEX_MAX];

    buf_add_sv(&b, method);
    buf_putc(&b, ':');
    buf_add_sv(&b, uri);
    hash_buf(alg, &b, ha2);
    add_part(&b, ha1);
    add_part(&b, c->nonce);
    if (c->qop.p) {
        add_part(&b, c->nc);
        add_part(&b, c->cnonce);
        add_part(&b, c->qop);
    }
    add_part(&b, sv_of(ha2));
    hash_buf(alg, &b, out);
}

/* ---- writing */

static void add_quoted(struct buf *out, struct sv s)
{
    size_t from = 0;

    buf_putc(out, '"');
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '"' || s.p[i] == '\\') {
            buf_add(out, s.p + from, i - from);
            buf_putc(out, '\\');
            from = i;
        }
    buf_add_sv(out, sv_from(s, from));
    buf_putc(out, '"');
}

void digest_challenge_print(struct buf *out, enum digest_alg alg, struct sv realm, struct sv nonce, struct sv opaque,
                            bool stale)
{
    buf_puts(out, "Digest realm=");
    add_quoted(out, realm);
    buf_puts(out, ", qop=\"auth\", nonce=");
    add_quoted(out, nonce);
    buf_puts(out, ", opaque=");
    add_quoted(out, opaque);
    if (stale)
        buf_puts(out, ", stale=true");
    buf_puts(out, ", algorithm=");
    buf_puts(out, digest_alg_name(alg));
}

void digest_info_print(struct buf *out, struct sv rspauth, struct sv cnonce, struct sv nc)
{
    buf_puts(out, "rspauth=");
    add_quoted(out, rspauth);
    buf_puts(out, ", cnonce=");
    add_quoted(out, cnonce);
    buf_puts(out, ", nc=");
    buf_add_sv(out, nc);
    buf_puts(out, ", qop=auth");
}
