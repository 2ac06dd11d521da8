/* What the files of the configuration share: the schema as data, and the state of a load.
 *
 * conf.c has values and rows, conf_load.c reads the file and the overrides,
 * conf_check.c knows what single values cannot tell. For these three, and for tests. */
#pragma once

#include "common/conf.h"

enum conf_type {
    CONF_IS_STR,
    CONF_IS_BOOL,
    CONF_IS_INT,
    CONF_IS_SIZE,
    CONF_IS_LIST,
    CONF_IS_ENUM_LOG_LEVEL,
    CONF_IS_ENUM_LOG_TO,
    CONF_IS_ENUM_CLIENT_CERT,
    CONF_IS_ENUM_ENDPOINT_TLS,
};

struct conf_row {
    const char *section, *key; /* section "listen" for the rows of a [listen.NAME] */
    enum conf_type type;
    const char *def;
    int64_t min, max;
    const char *unit;
    bool live;
    size_t offset; /* of the field in struct conf, or in struct conf_listen */
};

/* Index of each row, so that arrays can run beside the tables. */
enum {
#define CONF(section, key, type, def, min, max, unit, apply, text) CONF_ROW_##section##_##key,
#include "common/conf_tbl.h"
    CONF_ROWS
};
enum {
#define CONF_LISTEN(key, type, def, min, max, unit, apply, text) CONF_LISTEN_ROW_##key,
#include "common/conf_tbl.h"
    CONF_LISTEN_ROWS
};

extern const struct conf_row conf_rows[CONF_ROWS];
extern const struct conf_row conf_listen_rows[CONF_LISTEN_ROWS];

/* Longest value, in bytes: with it, any line that conf_dump() writes can be read again. */
extern const size_t conf_value_max;

/* Where a comment begins: ; or # at the start or after a blank; the length if there is none. */
size_t conf_comment_at(struct sv line);

/* Parse text into the row's field; base is the struct conf or struct conf_listen. TD_EINVAL: why says what is wrong
 * and the field is as before. */
int conf_value_set(const struct conf_row *row, void *base, struct sv text, struct buf *why);
void conf_value_text(const struct conf_row *row, const void *base, struct buf *out);
void conf_value_free(const struct conf_row *row, void *base);

/* Where a value came from: a line of the file, an override, or neither (the default). */
struct conf_origin {
    unsigned line;
    const char *override; /* borrowed: the text given to -o */
};

static inline bool conf_was_given(const struct conf_origin *o)
{
    return o->line || o->override;
}

struct conf_listen_origin {
    struct conf_origin section;
    struct conf_origin at[CONF_LISTEN_ROWS];
};

struct conf_loader {
    const char *file; /* borrowed */
    struct conf *conf;
    struct conf_origin at[CONF_ROWS];
    struct conf_listen_origin *listen_at; /* owned, beside conf->listen */
    struct buf *faults;                   /* borrowed */
    unsigned n_faults;
    bool no_memory;
    struct buf scratch; /* for the wording of faults */
    /* reading: what is left of the file, the line in hand, the section it stands in */
    struct sv rest;
    unsigned line;
    struct sv section; /* borrowed from the text; empty before the first */
    bool section_is_bad;
};

void conf_fault(struct conf_loader *l, const struct conf_origin *o, const char *fmt, ...) TD_PRINTF(3, 4);
void conf_check(struct conf_loader *l);
/* PORT or PORT-PORT. */
bool conf_port_range(struct sv word, uint64_t *from, uint64_t *to);
