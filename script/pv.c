/* Pseudo-variables: reading `$name(inner)` and `$(name(inner)[index]{transformation}...)`, and evaluating what was read.
 *
 * An expression is compiled once and kept by the state; what stands between the parentheses may hold variables of its own,
 * as in $sht(msrp=>$var(id)::addr), and so may a format, as of KSR.xlog. */
#include <stdlib.h>

#include "script/private.h"

enum { TRANS_MAX = 8 };

struct trans {
    const struct script_trans *row;
    struct sv params[SCRIPT_TRANS_PARAMS];
};

/* Text, or a variable. */
struct piece {
    struct sv text;
    struct pv *pv;            /* owned; NULL: text */
};

struct pv {
    struct hash_node node;
    const struct script_var *var[SCRIPT_KINDS]; /* its row for each kind of event; NULL: it has none there */
    struct sv inner;
    struct piece *pieces;     /* owned; NULL: inner is plain text */
    size_t n_pieces;
    int index;
    struct trans trans[TRANS_MAX];
    size_t n_trans;
    bool is_format;
    size_t text_n;
    char text[];              /* what the views above point into */
};

/* ---- reading ---- */

struct reading {
    const struct script_shared *shared;
    struct sv rest;           /* into the text of the expression that is compiled */
    const char *why;
};

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool fail(struct reading *r, const char *why)
{
    if (!r->why)
        r->why = why;
    return false;
}

static bool take(struct reading *r, char c)
{
    if (!r->rest.n || r->rest.p[0] != c)
        return false;
    r->rest = sv_from(r->rest, 1);
    return true;
}

static struct sv take_word(struct reading *r)
{
    size_t n = 0;

    while (n < r->rest.n && is_word(r->rest.p[n]))
        n++;
    return (struct sv){ r->rest.p, n };
}

/* Up to the parenthesis that closes. */
static bool take_inner(struct reading *r, struct sv *inner)
{
    size_t depth = 1, n = 0;

    for (; n < r->rest.n; n++) {
        if (r->rest.p[n] == '(')
            depth++;
        else if (r->rest.p[n] == ')' && --depth == 0)
            break;
    }
    if (n == r->rest.n)
        return fail(r, "a parenthesis is not closed");
    *inner = sv_upto(r->rest, n);
    r->rest = sv_from(r->rest, n + 1);
    return true;
}

static bool take_index(struct reading *r, struct pv *p)
{
    bool minus;
    uint64_t n;
    struct sv digits;

    if (!take(r, '['))
        return true;
    minus = take(r, '-');
    digits = sv_upto(r->rest, sv_find(r->rest, ']'));
    r->rest = sv_from(r->rest, digits.n);
    if (!sv_to_u64(digits, &n, NULL) || n > 10000 || !take(r, ']'))
        return fail(r, "an index is a number in brackets");
    p->index = minus ? -(int)n : (int)n;
    return true;
}

static const struct script_trans *find_trans(const struct script_shared *shared, struct sv class_, struct sv name)
{
    for (size_t a = 0; a < shared->n_apis; a++)
        for (size_t i = 0; i < shared->apis[a]->n_trans; i++) {
            const struct script_trans *t = &shared->apis[a]->trans[i];

            if (sv_eq(sv_of(t->class_), class_) && sv_eq_nocase(sv_of(t->name), name))
                return t;
        }
    return NULL;
}

/* {class.name,param,param}: the last parameter may be a comma itself. */
static bool take_trans(struct reading *r, struct pv *p)
{
    while (take(r, '{')) {
        struct sv all = sv_upto(r->rest, sv_find(r->rest, '}')), name = sv_upto(all, sv_find(all, ','));
        struct sv params = sv_from(all, name.n);
        size_t dot = sv_find(name, '.');
        struct trans *t = &p->trans[p->n_trans];

        r->rest = sv_from(r->rest, all.n);
        if (!take(r, '}'))
            return fail(r, "a brace is not closed");
        if (p->n_trans == TRANS_MAX)
            return fail(r, "more than 8 transformations");
        t->row = find_trans(r->shared, sv_trim(sv_upto(name, dot)), sv_trim(sv_from(name, dot + 1)));
        if (!t->row)
            return fail(r, "unknown transformation");
        for (unsigned i = 0; i < t->row->n_params; i++) {
            if (!params.n)
                return fail(r, "a transformation lacks a parameter");
            params = sv_from(params, 1); /* the comma */
            t->params[i] = i + 1 == t->row->n_params ? params : sv_upto(params, sv_find(params, ','));
            params = sv_from(params, t->params[i].n);
        }
        if (params.n)
            return fail(r, "a transformation has a parameter too many");
        p->n_trans++;
    }
    return true;
}

/* Its rows, one for each kind of event that has it. False: there is none. */
static bool find_var(const struct script_shared *shared, struct pv *p, struct sv class_, bool has_inner, bool *known)
{
    struct sv inner = p->inner;
    bool found = false;

    *known = false;
    for (size_t a = 0; a < shared->n_apis; a++)
        for (size_t i = 0; i < shared->apis[a]->n_vars; i++) {
            const struct script_var *v = &shared->apis[a]->vars[i];

            if (!sv_eq(sv_of(v->class_), class_))
                continue;
            *known = true;
            if (!(v->key ? sv_eq(sv_of(v->key), inner) && has_inner == (inner.n != 0) : has_inner && inner.n))
                continue;
            found = true;
            for (int kind = 0; kind < SCRIPT_KINDS; kind++)
                if (!p->var[kind] && (v->kind == SCRIPT_ANY || (int)v->kind == kind))
                    p->var[kind] = v;
        }
    return found;
}

static bool has_fixed_key(const struct pv *p)
{
    for (int kind = 0; kind < SCRIPT_KINDS; kind++)
        if (p->var[kind] && !p->var[kind]->key)
            return false;
    return true;
}

static struct pv *compile(struct reading *r, bool is_format, unsigned depth);

/* Text with variables in it; `$$` is a dollar sign. */
static bool compile_pieces(struct reading *r, struct pv *p, struct sv text, unsigned depth)
{
    while (text.n) {
        struct piece *grown = realloc(p->pieces, (p->n_pieces + 1) * sizeof *grown), *piece;
        size_t at = sv_find(text, '$');

        if (!grown)
            return fail(r, "out of memory");
        p->pieces = grown;
        piece = &grown[p->n_pieces++];
        *piece = (struct piece){ .text = sv_upto(text, at) };
        if (at == 0 && text.n > 1 && text.p[1] == '$') {
            piece->text = sv_upto(text, 1);
            text = sv_from(text, 2);
        } else if (at == 0) {
            struct reading sub = { .shared = r->shared, .rest = text };

            piece->pv = compile(&sub, false, depth + 1);
            if (!piece->pv)
                return fail(r, sub.why);
            text = sub.rest;
        } else {
            text = sv_from(text, at);
        }
    }
    return true;
}

static void pv_free(struct pv *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n_pieces; i++)
        pv_free(p->pieces[i].pv);
    free(p->pieces);
    free(p);
}

static bool read_var(struct reading *r, struct pv *p, unsigned depth)
{
    bool wrapped, has_inner, known;
    struct sv class_;

    if (!take(r, '$'))
        return fail(r, "a variable begins with $");
    wrapped = take(r, '(');
    class_ = take_word(r);
    r->rest = sv_from(r->rest, class_.n);
    if (!class_.n)
        return fail(r, "a variable has a name");
    has_inner = take(r, '(');
    if (has_inner && !take_inner(r, &p->inner))
        return false;
    if (!find_var(r->shared, p, class_, has_inner, &known))
        return fail(r, known ? "unknown key of a variable" : "unknown variable");
    if (wrapped && (!take_index(r, p) || !take_trans(r, p)))
        return false;
    if (wrapped && !take(r, ')'))
        return fail(r, "a parenthesis is not closed");
    return sv_find(p->inner, '$') == p->inner.n || has_fixed_key(p) || compile_pieces(r, p, p->inner, depth);
}

/* What stands at the front of r->rest, which goes on behind it. A format is all of it. */
static struct pv *compile(struct reading *r, bool is_format, unsigned depth)
{
    struct sv whole = r->rest;
    struct pv *p;
    struct reading own = *r;
    bool good;

    if (whole.n > PV_LENGTH_MAX || depth > PV_NESTING_MAX) {
        fail(r, whole.n > PV_LENGTH_MAX ? "longer than 1024 bytes" : "variables are nested too deeply");
        return NULL;
    }
    p = calloc(1, sizeof *p + whole.n);
    if (!p) {
        fail(r, "out of memory");
        return NULL;
    }
    memcpy(p->text, whole.p, whole.n);
    own.rest = sv_make(p->text, whole.n);
    p->is_format = is_format;
    good = is_format ? compile_pieces(&own, p, own.rest, depth) : read_var(&own, p, depth);
    if (!good) {
        r->why = own.why;
        pv_free(p);
        return NULL;
    }
    p->text_n = is_format ? whole.n : whole.n - own.rest.n;
    r->rest = sv_from(whole, p->text_n);
    return p;
}

static struct pv *compile_all(const struct script_shared *shared, struct sv text, bool is_format, const char **why)
{
    struct reading r = { .shared = shared, .rest = text };
    struct pv *p = compile(&r, is_format, 0);

    if (p && r.rest.n) {
        pv_free(p);
        p = NULL;
        r.why = "something stands behind the variable; with a transformation it is $(name{...})";
    }
    *why = r.why;
    return p;
}

bool pv_check(const struct script_shared *shared, struct sv text, bool is_format, const char **why)
{
    struct pv *p = compile_all(shared, text, is_format, why);

    pv_free(p);
    return p != NULL;
}

/* ---- the cache of a state ---- */

static void forget(struct hash_node *n, void *arg)
{
    hash_remove(arg, n);
    pv_free(TD_CONTAINER_OF(n, struct pv, node));
}

void pv_cache_flush(struct script *s)
{
    memset(s->recent, 0, sizeof s->recent);
    hash_each(&s->pvs, forget, &s->pvs);
}

static const struct pv *cached(struct script *s, struct sv text, bool is_format, const char **why)
{
    uint64_t hash = hash_bytes(text.p, text.n) ^ is_format;
    struct pv *p;

    for (struct hash_node *n = hash_first(&s->pvs, hash); n; n = hash_next(n)) {
        p = TD_CONTAINER_OF(n, struct pv, node);
        if (p->is_format == is_format && sv_eq(sv_make(p->text, p->text_n), text))
            return p;
    }
    p = compile_all(s->shared, text, is_format, why);
    if (!p)
        return NULL;
    if (s->pvs.n >= PV_CACHE_MAX) /* a script that makes names at run time */
        pv_cache_flush(s);
    hash_insert(&s->pvs, &p->node, hash);
    return p;
}

/* A literal has the same address each time, as Lua keeps short texts once; what is found there is compared all the same. */
const struct pv *pv_of(struct script *s, struct sv text, const char **why)
{
    const struct pv **recent = &s->recent[((uintptr_t)text.p >> 4) & (PV_RECENT - 1)];

    if (!*recent || !sv_eq(sv_make((*recent)->text, (*recent)->text_n), text))
        *recent = cached(s, text, false, why);
    return *recent;
}

const struct pv *pv_format_of(struct script *s, struct sv text, const char **why)
{
    return cached(s, text, true, why);
}

/* ---- evaluating ---- */

static struct sv expand(const struct pv *p, struct script_call *c)
{
    size_t n = 0;
    char *at, *begin;
    struct sv *texts = (void *)script_room(c, (p->n_pieces + 1) * sizeof *texts);

    if (!texts)
        return SV("");
    for (size_t i = 0; i < p->n_pieces; i++) {
        struct script_value v = { 0 };

        texts[i] = p->pieces[i].text;
        if (p->pieces[i].pv) {
            pv_get(p->pieces[i].pv, c, &v);
            texts[i] = script_text(c, &v);
        }
        n += texts[i].n;
    }
    begin = at = script_room(c, n);
    if (!at)
        return SV("");
    for (size_t i = 0; i < p->n_pieces; i++) {
        if (texts[i].n)
            memcpy(at, texts[i].p, texts[i].n);
        at += texts[i].n;
    }
    return sv_make(begin, n);
}

struct sv pv_format(const struct pv *p, struct script_call *c)
{
    return expand(p, c);
}

/* Its row for this event; NULL: it is null here. */
static const struct script_var *fitting(const struct pv *p, const struct script_call *c)
{
    return p->var[c->script->kind];
}

void pv_get(const struct pv *p, struct script_call *c, struct script_value *out)
{
    struct script_name name = { .text = p->inner, .index = p->index };
    const struct script_var *var = fitting(p, c);

    *out = (struct script_value){ 0 };
    if (!var)
        return;
    if (p->pieces)
        name.text = expand(p, c);
    var->get(c, &name, out);
    for (size_t i = 0; i < p->n_trans && out->type != SCRIPT_NULL; i++) {
        if (out->s.n > SCRIPT_LONG_TEXT)
            script_spend(c, out->s.n / 4);
        if (c->fault || !p->trans[i].row->fn(c, out, p->trans[i].params))
            *out = (struct script_value){ 0 };
    }
}

bool pv_set(const struct pv *p, struct script_call *c, const struct script_value *v)
{
    struct script_name name = { .text = p->inner, .index = p->index };
    const struct script_var *var = fitting(p, c);

    if (!var || !var->set)
        return true;
    if (p->pieces)
        name.text = expand(p, c);
    return !c->fault && var->set(c, &name, v);
}
