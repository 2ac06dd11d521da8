/* The configuration: reading the file and the overrides.
 *
 * inih splits each line into name and value. What it would pass over in silence is
 * settled before it sees the line, in next_line(), which hands it one line at a
 * time and so knows the line number: lines that are too long, # comments behind a value,
 * control characters, sections without keys, indented lines (inih takes them for
 * a continuation). */
#include "common/conf.h"

#include "config.h"

#include <assert.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/conf_priv.h"
#include "common/err.h"

enum { FILE_MAX = 1 << 20, FAULTS_MAX = 1000, LISTEN_MAX = 64, LISTEN_NAME_MAX = 31, KEY_ROOM = 32 };

/* Debian's inih takes its longest line at run time; elsewhere it is fixed when the library is built. */
#if HAVE_DECL_INI_MAX_LINE
enum { LINE_MAX_BYTES = 4096 };
#else
enum { LINE_MAX_BYTES = INI_MAX_LINE - 3 };
#endif
const size_t conf_value_max = LINE_MAX_BYTES - KEY_ROOM;

void conf_fault(struct conf_loader *l, const struct conf_origin *o, const char *fmt, ...)
{
    const char *file = l->file ? l->file : "configuration";
    va_list ap;

    if (++l->n_faults > FAULTS_MAX) {
        if (l->n_faults == FAULTS_MAX + 1)
            buf_printf(l->faults, "%s: more faults than are shown\n", file);
        return;
    }
    if (o->override) {
        buf_puts(l->faults, "-o ");
        buf_add_escaped(l->faults, sv_upto(sv_of(o->override), sv_find(sv_of(o->override), '=')), 64);
        buf_puts(l->faults, ": ");
    } else if (o->line) {
        buf_printf(l->faults, "%s:%u: ", file, o->line);
    } else {
        buf_printf(l->faults, "%s: ", file);
    }
    va_start(ap, fmt);
    buf_vprintf(l->faults, fmt, ap);
    va_end(ap);
    buf_putc(l->faults, '\n');
}

/* Text of the file, made safe for a terminal; good until the next call. */
static const char *shown(struct conf_loader *l, struct sv text)
{
    buf_clear(&l->scratch);
    buf_add(&l->scratch, "", 0);
    buf_add_escaped(&l->scratch, text, 64);
    return l->scratch.p ? l->scratch.p : "?";
}

/* Levenshtein's distance; SIZE_MAX for what is too long to be a slip. */
static size_t distance(struct sv a, struct sv b)
{
    size_t row[64];

    if (a.n >= TD_ARRAY_LEN(row) || b.n >= TD_ARRAY_LEN(row))
        return SIZE_MAX;
    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 0; i < a.n; i++) {
        size_t corner = row[0];

        row[0] = i + 1;
        for (size_t j = 0; j < b.n; j++) {
            size_t change = corner + (sv_lower(a.p[i]) != sv_lower(b.p[j]));
            size_t add_or_drop = TD_MIN(row[j], row[j + 1]) + 1;

            corner = row[j + 1];
            row[j + 1] = TD_MIN(change, add_or_drop);
        }
    }
    return row[b.n];
}

/* The better of best and candidate for a misspelt word, if near enough. */
static const char *nearer(struct sv word, const char *best, const char *candidate)
{
    size_t d = distance(word, sv_of(candidate));

    if (d > TD_MAX(word.n / 4, (size_t)2) || d >= strlen(candidate))
        return best;
    return !best || d < distance(word, sv_of(best)) ? candidate : best;
}

/* The rows of one section, and what they describe. */
struct target {
    const struct conf_row *rows;
    size_t n;
    void *base;
    struct conf_origin *at;
};

static void set_defaults(struct conf_loader *l, const struct conf_row *rows, size_t n, void *base)
{
    struct buf why = BUF_INIT;

    for (size_t i = 0; i < n; i++) {
        int err = conf_value_set(&rows[i], base, sv_of(rows[i].def), &why);

        assert(err != TD_EINVAL); /* the table's own text */
        if (err)
            l->no_memory = true;
    }
    buf_fini(&why);
}

static bool is_listen_name(struct sv name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
            return false;
    }
    return name.n > 0 && name.n <= LISTEN_NAME_MAX;
}

/* Find [listen.NAME], or append one with default values. */
static bool listen_section(struct conf_loader *l, struct sv name, const struct conf_origin *o, struct target *t)
{
    struct conf *c = l->conf;
    struct conf_listen *listen;
    struct conf_listen_origin *at;
    size_t i = 0;

    if (!is_listen_name(name)) {
        conf_fault(l, o, "[listen.NAME]: a name has 1 to %d letters, digits, - or _", LISTEN_NAME_MAX);
        return false;
    }
    while (i < c->n_listen && !sv_eq(sv_of(c->listen[i].name), name))
        i++;
    if (i == LISTEN_MAX) {
        conf_fault(l, o, "more than %d [listen.NAME] sections", LISTEN_MAX);
        return false;
    }
    if (i == c->n_listen) {
        listen = realloc(c->listen, (i + 1) * sizeof *listen);
        if (listen)
            c->listen = listen;
        at = realloc(l->listen_at, (i + 1) * sizeof *at);
        if (at)
            l->listen_at = at;
        if (!listen || !at) {
            l->no_memory = true;
            return false;
        }
        memset(&listen[i], 0, sizeof listen[i]);
        memset(&at[i], 0, sizeof at[i]);
        at[i].section = *o;
        listen[i].name = sv_dup(name);
        if (!listen[i].name) {
            l->no_memory = true;
            return false;
        }
        c->n_listen++;
        set_defaults(l, conf_listen_rows, CONF_LISTEN_ROWS, &listen[i]);
    }
    *t = (struct target){ conf_listen_rows, CONF_LISTEN_ROWS, &c->listen[i], l->listen_at[i].at };
    return true;
}

static bool find_section(struct conf_loader *l, struct sv name, const struct conf_origin *o, struct target *t)
{
    const char *best = NULL;

    if (sv_starts(name, SV("listen.")))
        return listen_section(l, sv_from(name, 7), o, t);
    for (size_t i = 0; i < CONF_ROWS; i++) {
        if (sv_eq(name, sv_of(conf_rows[i].section))) {
            *t = (struct target){ &conf_rows[i], 1, l->conf, &l->at[i] };
            while (i + t->n < CONF_ROWS && strcmp(conf_rows[i + t->n].section, conf_rows[i].section) == 0)
                t->n++;
            return true;
        }
        best = nearer(name, best, conf_rows[i].section);
    }
    best = nearer(name, best, "listen.main");
    if (sv_eq(name, SV("listen")))
        conf_fault(l, o, "[listen] needs a name, such as [listen.main]");
    else if (best)
        conf_fault(l, o, "unknown section [%s]: did you mean [%s]?", shown(l, name), best);
    else
        conf_fault(l, o, "unknown section [%s]", shown(l, name));
    return false;
}

static void unknown_key(struct conf_loader *l, const struct target *t, struct sv name, const struct conf_origin *o)
{
    const char *best = NULL, *elsewhere = NULL;

    for (size_t i = 0; i < t->n; i++)
        best = nearer(name, best, t->rows[i].key);
    for (size_t i = 0; !elsewhere && i < CONF_ROWS; i++)
        if (sv_eq(name, sv_of(conf_rows[i].key)))
            elsewhere = conf_rows[i].section;
    for (size_t i = 0; !elsewhere && i < CONF_LISTEN_ROWS; i++)
        if (sv_eq(name, sv_of(conf_listen_rows[i].key)))
            elsewhere = "listen.NAME";
    if (elsewhere)
        conf_fault(l, o, "unknown key %s in [%s]: it belongs in [%s]", shown(l, name), t->rows->section, elsewhere);
    else if (best)
        conf_fault(l, o, "unknown key %s in [%s]: did you mean %s?", shown(l, name), t->rows->section, best);
    else
        conf_fault(l, o, "unknown key %s in [%s]", shown(l, name), t->rows->section);
}

static void set_key(struct conf_loader *l, const struct target *t, struct sv name, struct sv value,
                    const struct conf_origin *o)
{
    struct buf why = BUF_INIT;
    size_t i = 0;
    int err;

    while (i < t->n && !sv_eq(name, sv_of(t->rows[i].key)))
        i++;
    if (i == t->n) {
        unknown_key(l, t, name, o);
        return;
    }
    if (!o->override && t->at[i].line) {
        conf_fault(l, o, "%s was given before, on line %u", t->rows[i].key, t->at[i].line);
        return;
    }
    t->at[i] = *o;
    err = conf_value_set(&t->rows[i], t->base, value, &why);
    if (err == TD_EINVAL)
        conf_fault(l, o, "%s = %s: %s", t->rows[i].key, shown(l, value), why.p ? why.p : "");
    else if (err)
        l->no_memory = true;
    buf_fini(&why);
}

static bool has_control(struct sv text)
{
    for (size_t i = 0; i < text.n; i++)
        if (((unsigned char)text.p[i] < 0x20 && text.p[i] != '\t') || text.p[i] == 0x7f)
            return true;
    return false;
}

/* What inih is to see of a line: without comment and blanks around it; nothing, if it was a fault or a section. */
static struct sv clean_line(struct conf_loader *l, struct sv raw)
{
    const struct sv none = { "", 0 }, bom = SV("\xef\xbb\xbf");
    struct conf_origin here = { .line = l->line };
    struct sv text = raw;
    struct target t;

    if (l->line == 1 && sv_starts(text, bom))
        text = sv_from(text, bom.n);
    if (text.n && text.p[text.n - 1] == '\r')
        text.n--;
    if (has_control(text)) {
        conf_fault(l, &here, "a control character");
        return none;
    }
    text = sv_trim(text);
    text = sv_trim(sv_upto(text, conf_comment_at(text)));
    if (!text.n)
        return none;
    if (text.n > LINE_MAX_BYTES) {
        conf_fault(l, &here, "a line longer than %d bytes", LINE_MAX_BYTES);
        return none;
    }
    if (text.p[0] == '[') {
        l->section_is_bad = true;
        if (text.p[text.n - 1] != ']') {
            conf_fault(l, &here, "a section line must end with ]");
            return none;
        }
        l->section = sv_make(text.p + 1, text.n - 2);
        l->section_is_bad = !find_section(l, l->section, &here, &t);
        return none;
    }
    if (sv_find(text, '=') == text.n || text.p[0] == '=' || text.p[0] == ':') {
        conf_fault(l, &here, "neither [section] nor key = value: %s", shown(l, text));
        return none;
    }
    if (!l->section.p && !l->section_is_bad) {
        conf_fault(l, &here, "a key before the first [section]: %s", shown(l, text));
        return none;
    }
    return l->section_is_bad ? none : text;
}

/* inih's reader: like fgets(). */
static char *next_line(char *str, int size, void *stream)
{
    struct conf_loader *l = stream;
    struct sv raw, text;
    size_t end;

    if (!l->rest.n)
        return NULL;
    end = sv_find(l->rest, '\n');
    raw = sv_upto(l->rest, end);
    l->rest = sv_from(l->rest, end + 1);
    l->line++;
    text = clean_line(l, raw);
    if (!sv_copy(text, str, (size_t)size)) { /* an inih with shorter lines than the one we were built with */
        conf_fault(l, &(struct conf_origin){ .line = l->line }, "a line longer than %d bytes", size - 1);
        str[0] = '\0';
    }
    return str;
}

static int on_key(void *user, const char *section, const char *name, const char *value)
{
    struct conf_loader *l = user;
    struct conf_origin here = { .line = l->line };
    struct target t;

    if (find_section(l, l->section, &here, &t))
        set_key(l, &t, sv_of(name), sv_of(value), &here);
    return 1;
}

static void read_text(struct conf_loader *l, struct sv text)
{
    int err;

#if HAVE_DECL_INI_MAX_LINE
    ini_max_line = LINE_MAX_BYTES + 3;
#endif
    l->rest = text;
    err = ini_parse_stream(next_line, l, on_key, l);
    if (err == -2)
        l->no_memory = true;
    else if (err)
        conf_fault(l, &(struct conf_origin){ .line = err > 0 ? (unsigned)err : 0 }, "neither [section] nor key = value");
}

static void read_file(struct conf_loader *l)
{
    const struct conf_origin whole = { 0 };
    struct buf text = BUF_INIT;
    char chunk[4096];
    size_t n;
    FILE *f = fopen(l->file, "re");

    if (!f) {
        conf_fault(l, &whole, "cannot open: %s", strerror(errno));
        return;
    }
    while (text.n <= FILE_MAX && (n = fread(chunk, 1, sizeof chunk, f)) > 0)
        buf_add(&text, chunk, n);
    if (ferror(f))
        conf_fault(l, &whole, "cannot read: %s", strerror(errno));
    else if (text.n > FILE_MAX)
        conf_fault(l, &whole, "larger than %d bytes", FILE_MAX);
    else if (buf_failed(&text))
        l->no_memory = true;
    else
        read_text(l, buf_sv(&text));
    fclose(f);
    buf_fini(&text);
    l->section = (struct sv){ 0 };
}

static void apply_override(struct conf_loader *l, const char *text)
{
    struct conf_origin o = { .override = text };
    struct sv all = sv_of(text), name, value;
    struct target t;
    size_t dot;

    name = sv_trim(sv_upto(all, sv_find(all, '=')));
    for (dot = name.n; dot > 0 && name.p[dot - 1] != '.';)
        dot--;
    if (has_control(all)) {
        conf_fault(l, &o, "a control character");
    } else if (name.n == all.n || dot < 2 || dot == name.n) {
        conf_fault(l, &o, "must be SECTION.KEY=VALUE");
    } else {
        value = sv_trim(sv_from(all, sv_find(all, '=') + 1));
        if (find_section(l, sv_upto(name, dot - 1), &o, &t))
            set_key(l, &t, sv_from(name, dot), value, &o);
    }
}

int conf_load(struct conf **out, const char *file, char *const *overrides, size_t n_overrides, struct buf *faults)
{
    struct conf_loader l = { .file = file, .faults = faults };
    struct target t;
    int err = TD_ENOMEM;

    *out = NULL;
    l.conf = calloc(1, sizeof *l.conf);
    if (!l.conf)
        goto out;
    set_defaults(&l, conf_rows, CONF_ROWS, l.conf);
    if (file)
        read_file(&l);
    for (size_t i = 0; i < n_overrides; i++)
        apply_override(&l, overrides[i]);
    if (!l.conf->n_listen)
        listen_section(&l, SV("main"), &(struct conf_origin){ 0 }, &t);
    if (l.no_memory)
        goto out;
    conf_check(&l);
    if (l.no_memory || buf_failed(faults))
        goto out;
    err = TD_EINVAL;
    if (l.n_faults)
        goto out;
    *out = l.conf;
    l.conf = NULL;
    err = 0;
out:
    conf_free(&l.conf);
    free(l.listen_at);
    buf_fini(&l.scratch);
    return err;
}
