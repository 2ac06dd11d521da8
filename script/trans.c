/* Transformations of texts: {s.len}, {s.select,1,;} and their like. */
#include "script/core.h"

#include "common/crypto.h"

bool trans_len(struct script_call *c, struct script_value *v, const struct sv *params)
{
    script_set_int(v, (int64_t)script_text(c, v).n);
    return true;
}

static bool to_int(struct sv s, int64_t *out)
{
    bool minus = s.n && s.p[0] == '-';
    uint64_t n;

    if (!sv_to_u64(sv_from(s, minus), &n, NULL) || n > INT64_MAX)
        return false;
    *out = minus ? -(int64_t)n : (int64_t)n;
    return true;
}

bool trans_int(struct script_call *c, struct script_value *v, const struct sv *params)
{
    int64_t i = v->i;

    if (v->type == SCRIPT_STR && !v->has_int && !to_int(sv_trim(v->s), &i))
        return false;
    script_set_int(v, i);
    return true;
}

/* The field at that index; false: none. */
static bool field(struct sv s, char separator, int64_t index, struct sv *out)
{
    while (true) {
        *out = sv_upto(s, sv_find(s, separator));
        if (index-- == 0)
            return true;
        if (out->n == s.n)
            return false;
        s = sv_from(s, out->n + 1);
    }
}

bool trans_select(struct script_call *c, struct script_value *v, const struct sv *params)
{
    struct sv s = script_text(c, v), out = { 0 };
    int64_t index, fields = 1;

    if (!to_int(params[0], &index) || params[1].n != 1)
        return false;
    if (index < 0) {
        for (size_t i = 0; i < s.n; i++)
            fields += s.p[i] == params[1].p[0];
        index += fields;
    }
    if (index < 0 || !field(s, params[1].p[0], index, &out))
        out = SV("");
    script_set_str(v, out);
    return true;
}

bool trans_substr(struct script_call *c, struct script_value *v, const struct sv *params)
{
    struct sv s = script_text(c, v);
    int64_t offset, length;

    if (!to_int(params[0], &offset) || !to_int(params[1], &length) || length < 0)
        return false;
    if (offset < 0)
        offset += (int64_t)s.n;
    if (offset < 0 || offset > (int64_t)s.n || length > (int64_t)s.n - offset)
        return false;
    s = sv_from(s, (size_t)offset);
    script_set_str(v, length ? sv_upto(s, (size_t)length) : s);
    return true;
}

bool trans_strip(struct script_call *c, struct script_value *v, const struct sv *params)
{
    int64_t n;

    if (!to_int(params[0], &n) || n < 0)
        return false;
    script_set_str(v, sv_from(script_text(c, v), (size_t)n));
    return true;
}

bool trans_striptail(struct script_call *c, struct script_value *v, const struct sv *params)
{
    struct sv s = script_text(c, v);
    int64_t n;

    if (!to_int(params[0], &n) || n < 0)
        return false;
    script_set_str(v, sv_upto(s, s.n - TD_MIN((size_t)n, s.n)));
    return true;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool trans_trim(struct script_call *c, struct script_value *v, const struct sv *params)
{
    struct sv s = script_text(c, v);

    while (s.n && is_space(s.p[0]))
        s = sv_from(s, 1);
    while (s.n && is_space(s.p[s.n - 1]))
        s.n--;
    script_set_str(v, s);
    return true;
}

static bool set_case(struct script_call *c, struct script_value *v, bool upper)
{
    struct sv s = script_text(c, v);
    char *out = script_room(c, s.n);

    if (!out)
        return false;
    for (size_t i = 0; i < s.n; i++)
        out[i] = !upper ? sv_lower(s.p[i]) : s.p[i] >= 'a' && s.p[i] <= 'z' ? (char)(s.p[i] & ~0x20) : s.p[i];
    script_set_str(v, sv_make(out, s.n));
    return true;
}

bool trans_tolower(struct script_call *c, struct script_value *v, const struct sv *params)
{
    return set_case(c, v, false);
}

bool trans_toupper(struct script_call *c, struct script_value *v, const struct sv *params)
{
    return set_case(c, v, true);
}

static bool hash_hex(struct script_call *c, struct script_value *v, enum crypto_hash which)
{
    char *out = script_room(c, CRYPTO_HEX_MAX);

    if (!out)
        return false;
    crypto_hash_hex(which, script_text(c, v), out);
    script_set_str(v, sv_of(out));
    return true;
}

bool trans_md5(struct script_call *c, struct script_value *v, const struct sv *params)
{
    return hash_hex(c, v, CRYPTO_MD5);
}

bool trans_sha256(struct script_call *c, struct script_value *v, const struct sv *params)
{
    return hash_hex(c, v, CRYPTO_SHA256);
}
