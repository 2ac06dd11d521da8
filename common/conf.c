/* The configuration: values, the schema as data, printing and comparing. */
#include "common/conf.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/conf_priv.h"
#include "common/err.h"

#define APPLY_LIVE true
#define APPLY_RESTART false

const struct conf_row conf_rows[CONF_ROWS] = {
#define CONF(section, key, type, def, min, max, unit, apply, text) \
    { #section, #key, CONF_IS_##type, def, min, max, unit, APPLY_##apply, offsetof(struct conf, section.key) },
#include "common/conf_tbl.h"
};

const struct conf_row conf_listen_rows[CONF_LISTEN_ROWS] = {
#define CONF_LISTEN(key, type, def, min, max, unit, apply, text) \
    { "listen", #key, CONF_IS_##type, def, min, max, unit, APPLY_##apply, offsetof(struct conf_listen, key) },
#include "common/conf_tbl.h"
};

/* The words of each enum, in its order. */
static const char *const words_log_level[] = { "error", "warning", "notice", "info", "debug", NULL };
static const char *const words_log_to[] = { "stderr", "syslog", "journal", NULL };
static const char *const words_client_cert[] = { "none", "optional", "required", NULL };
static const char *const words_endpoint_tls[] = { "opportunistic", "verify", NULL };
_Static_assert(sizeof(enum log_level) == sizeof(int) && sizeof(enum log_target) == sizeof(int) &&
                   sizeof(enum conf_client_cert) == sizeof(int) && sizeof(enum conf_endpoint_tls) == sizeof(int),
               "enum fields are written as int");

static const char *const *enum_words(enum conf_type type)
{
    switch (type) {
    case CONF_IS_ENUM_LOG_LEVEL: return words_log_level;
    case CONF_IS_ENUM_LOG_TO: return words_log_to;
    case CONF_IS_ENUM_CLIENT_CERT: return words_client_cert;
    case CONF_IS_ENUM_ENDPOINT_TLS: return words_endpoint_tls;
    case CONF_IS_STR:
    case CONF_IS_BOOL:
    case CONF_IS_INT:
    case CONF_IS_SIZE:
    case CONF_IS_LIST: break;
    }
    return NULL;
}

static void list_fini(struct conf_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i]);
    free(l->v);
    *l = (struct conf_list){ 0 };
}

bool conf_list_has(const struct conf_list *l, const char *word)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i], word) == 0)
            return true;
    return false;
}

bool conf_port_range(struct sv word, uint64_t *from, uint64_t *to)
{
    size_t hyphen = sv_find(word, '-');

    if (!sv_to_u64(sv_upto(word, hyphen), from, NULL) || !sv_to_u64(hyphen < word.n ? sv_from(word, hyphen + 1) : word, to, NULL))
        return false;
    return *from > 0 && *from <= *to && *to <= UINT16_MAX;
}

bool conf_list_has_port(const struct conf_list *l, uint16_t port)
{
    for (size_t i = 0; i < l->n; i++) {
        uint64_t from, to;

        if (conf_port_range(sv_of(l->v[i]), &from, &to) && port >= from && port <= to)
            return true;
    }
    return false;
}

static int set_str(char **field, struct sv text)
{
    char *copy = sv_dup(text);

    if (!copy)
        return TD_ENOMEM;
    free(*field);
    *field = copy;
    return 0;
}

static int set_bool(bool *field, struct sv text, struct buf *why)
{
    static const struct { struct sv word; bool value; } words[] = {
        { SV("yes"), true }, { SV("no"), false },   { SV("1"), true },   { SV("0"), false },
        { SV("true"), true }, { SV("false"), false }, { SV("on"), true }, { SV("off"), false },
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(words); i++)
        if (sv_eq_nocase(text, words[i].word)) {
            *field = words[i].value;
            return 0;
        }
    buf_puts(why, "must be yes or no");
    return TD_EINVAL;
}

static void add_size(struct buf *out, int64_t bytes)
{
    static const struct { char letter; int shift; } units[] = { { 'G', 30 }, { 'M', 20 }, { 'k', 10 } };

    for (size_t i = 0; bytes && i < TD_ARRAY_LEN(units); i++)
        if (bytes % ((int64_t)1 << units[i].shift) == 0) {
            buf_printf(out, "%" PRId64 "%c", bytes >> units[i].shift, units[i].letter);
            return;
        }
    buf_printf(out, "%" PRId64, bytes);
}

static int set_number(const struct conf_row *row, int64_t *field, struct sv text, struct buf *why)
{
    uint64_t number;
    int shift = 0;

    if (row->type == CONF_IS_SIZE && text.n) {
        switch (text.p[text.n - 1]) {
        case 'k': case 'K': shift = 10; break;
        case 'm': case 'M': shift = 20; break;
        case 'g': case 'G': shift = 30; break;
        default: break;
        }
        if (shift)
            text.n--;
    }
    if (sv_to_u64(text, &number, NULL) && number <= (uint64_t)INT64_MAX >> shift) {
        int64_t value = (int64_t)(number << shift);

        if (value >= row->min && value <= row->max) {
            *field = value;
            return 0;
        }
    }
    if (row->type == CONF_IS_SIZE) {
        buf_puts(why, "must be a size from ");
        add_size(why, row->min);
        buf_puts(why, " to ");
        add_size(why, row->max);
    } else {
        buf_printf(why, "must be a number from %" PRId64 " to %" PRId64, row->min, row->max);
        if (strcmp(row->unit, "s") == 0)
            buf_puts(why, " (seconds)");
    }
    return TD_EINVAL;
}

/* The next word of text, which loses it; an empty view at the end. */
static struct sv next_word(struct sv *text)
{
    size_t n = 0;
    struct sv word;

    *text = sv_trim(*text);
    while (n < text->n && text->p[n] != ' ' && text->p[n] != '\t')
        n++;
    word = sv_upto(*text, n);
    *text = sv_from(*text, n);
    return word;
}

static int set_list(struct conf_list *field, struct sv text, struct buf *why)
{
    struct conf_list list = { 0 };
    struct sv word;
    size_t room = 0;
    int err;

    for (struct sv scan = text; next_word(&scan).n;)
        room++;
    err = TD_ENOMEM;
    if (room && !(list.v = calloc(room, sizeof *list.v)))
        goto out;
    while ((word = next_word(&text)).n) {
        char *copy = sv_dup(word);

        if (!copy)
            goto out;
        if (conf_list_has(&list, copy)) {
            buf_puts(why, "names ");
            buf_add_escaped(why, word, 64);
            buf_puts(why, " twice");
            free(copy);
            err = TD_EINVAL;
            goto out;
        }
        list.v[list.n++] = copy;
    }
    list_fini(field);
    *field = list;
    list = (struct conf_list){ 0 };
    err = 0;
out:
    list_fini(&list);
    return err;
}

static int set_enum(int *field, const char *const *words, struct sv text, struct buf *why)
{
    for (int i = 0; words[i]; i++)
        if (sv_eq_nocase(text, sv_of(words[i]))) {
            *field = i;
            return 0;
        }
    buf_puts(why, "must be ");
    for (int i = 0; words[i]; i++)
        buf_printf(why, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
    return TD_EINVAL;
}

int conf_value_set(const struct conf_row *row, void *base, struct sv text, struct buf *why)
{
    void *field = (char *)base + row->offset;

    if (text.n > conf_value_max) {
        buf_printf(why, "is longer than %zu bytes", conf_value_max);
        return TD_EINVAL;
    }
    if (conf_comment_at(text) < text.n) { /* could not be written to a file */
        buf_puts(why, "holds a word that begins like a comment, with ; or #");
        return TD_EINVAL;
    }
    switch (row->type) {
    case CONF_IS_STR: return set_str(field, text);
    case CONF_IS_BOOL: return set_bool(field, text, why);
    case CONF_IS_INT:
    case CONF_IS_SIZE: return set_number(row, field, text, why);
    case CONF_IS_LIST: return set_list(field, text, why);
    case CONF_IS_ENUM_LOG_LEVEL:
    case CONF_IS_ENUM_LOG_TO:
    case CONF_IS_ENUM_CLIENT_CERT:
    case CONF_IS_ENUM_ENDPOINT_TLS: break;
    }
    return set_enum(field, enum_words(row->type), text, why);
}

void conf_value_text(const struct conf_row *row, const void *base, struct buf *out)
{
    const void *field = (const char *)base + row->offset;
    const struct conf_list *list = field;

    switch (row->type) {
    case CONF_IS_STR: buf_puts(out, *(char *const *)field); return;
    case CONF_IS_BOOL: buf_puts(out, *(const bool *)field ? "yes" : "no"); return;
    case CONF_IS_INT: buf_printf(out, "%" PRId64, *(const int64_t *)field); return;
    case CONF_IS_SIZE: add_size(out, *(const int64_t *)field); return;
    case CONF_IS_LIST:
        for (size_t i = 0; i < list->n; i++)
            buf_printf(out, "%s%s", i ? " " : "", list->v[i]);
        return;
    case CONF_IS_ENUM_LOG_LEVEL:
    case CONF_IS_ENUM_LOG_TO:
    case CONF_IS_ENUM_CLIENT_CERT:
    case CONF_IS_ENUM_ENDPOINT_TLS: break;
    }
    buf_puts(out, enum_words(row->type)[*(const int *)field]);
}

void conf_value_free(const struct conf_row *row, void *base)
{
    void *field = (char *)base + row->offset;

    if (row->type == CONF_IS_STR)
        free(*(char **)field);
    else if (row->type == CONF_IS_LIST)
        list_fini(field);
}

void conf_free(struct conf **c)
{
    struct conf *conf = *c;

    if (!conf)
        return;
    *c = NULL;
    for (size_t i = 0; i < CONF_ROWS; i++)
        conf_value_free(&conf_rows[i], conf);
    for (size_t n = 0; n < conf->n_listen; n++) {
        for (size_t i = 0; i < CONF_LISTEN_ROWS; i++)
            conf_value_free(&conf_listen_rows[i], &conf->listen[n]);
        free(conf->listen[n].name);
    }
    free(conf->listen);
    free(conf);
}

size_t conf_comment_at(struct sv line)
{
    for (size_t i = 0; i < line.n; i++)
        if ((line.p[i] == ';' || line.p[i] == '#') && (i == 0 || line.p[i - 1] == ' ' || line.p[i - 1] == '\t'))
            return i;
    return line.n;
}

static const struct conf_listen *find_listen(const struct conf *c, const char *name)
{
    for (size_t i = 0; i < c->n_listen; i++)
        if (strcmp(c->listen[i].name, name) == 0)
            return &c->listen[i];
    return NULL;
}

char *conf_get_text(const struct conf *c, const char *section, const char *key)
{
    const struct conf_row *rows = conf_rows, *row = NULL;
    size_t n_rows = CONF_ROWS;
    const void *base = c;
    struct buf text = BUF_INIT;

    if (strncmp(section, "listen.", 7) == 0) {
        base = find_listen(c, section + 7);
        rows = conf_listen_rows;
        n_rows = CONF_LISTEN_ROWS;
        section = "listen";
    }
    for (size_t i = 0; base && i < n_rows; i++)
        if (strcmp(rows[i].section, section) == 0 && strcmp(rows[i].key, key) == 0)
            row = &rows[i];
    if (!row)
        return NULL;
    buf_add(&text, "", 0); /* an empty value is still a string */
    conf_value_text(row, base, &text);
    if (buf_failed(&text))
        buf_fini(&text);
    return text.p;
}

static void dump_row(const struct conf_row *row, const void *base, struct buf *out)
{
    buf_printf(out, "%s = ", row->key);
    conf_value_text(row, base, out);
    buf_putc(out, '\n');
}

void conf_dump(const struct conf *c, struct buf *out)
{
    const char *section = "";

    for (size_t i = 0; i < CONF_ROWS; i++) {
        if (strcmp(section, conf_rows[i].section) != 0) {
            buf_printf(out, "%s[%s]\n", *section ? "\n" : "", conf_rows[i].section);
            section = conf_rows[i].section;
        }
        dump_row(&conf_rows[i], c, out);
    }
    for (size_t n = 0; n < c->n_listen; n++) {
        buf_printf(out, "\n[listen.%s]\n", c->listen[n].name);
        for (size_t i = 0; i < CONF_LISTEN_ROWS; i++)
            dump_row(&conf_listen_rows[i], &c->listen[n], out);
    }
}

/* Names go where the row says; an instance name stands between section and key. */
static bool diff_rows(const struct conf_row *rows, size_t n, const void *before, const void *after, const char *name,
                      struct buf *live, struct buf *restart)
{
    struct buf a = BUF_INIT, b = BUF_INIT;
    bool differs = false;

    for (size_t i = 0; i < n; i++) {
        struct buf *out = rows[i].live ? live : restart;

        buf_clear(&a);
        buf_clear(&b);
        conf_value_text(&rows[i], before, &a);
        conf_value_text(&rows[i], after, &b);
        if (sv_eq(buf_sv(&a), buf_sv(&b)))
            continue;
        differs = true;
        buf_printf(out, "%s%s%s%s.%s", out->n ? " " : "", rows[i].section, name ? "." : "", name ? name : "",
                   rows[i].key);
    }
    buf_fini(&a);
    buf_fini(&b);
    return differs;
}

bool conf_diff(const struct conf *before, const struct conf *after, struct buf *live, struct buf *restart)
{
    bool differs = diff_rows(conf_rows, CONF_ROWS, before, after, NULL, live, restart);

    for (size_t i = 0; i < after->n_listen; i++) {
        const struct conf_listen *now = &after->listen[i], *was = find_listen(before, now->name);

        if (was) {
            differs |= diff_rows(conf_listen_rows, CONF_LISTEN_ROWS, was, now, now->name, live, restart);
        } else {
            differs = true;
            buf_printf(restart, "%slisten.%s", restart->n ? " " : "", now->name);
        }
    }
    for (size_t i = 0; i < before->n_listen; i++)
        if (!find_listen(after, before->listen[i].name)) {
            differs = true;
            buf_printf(restart, "%slisten.%s", restart->n ? " " : "", before->listen[i].name);
        }
    return differs;
}
