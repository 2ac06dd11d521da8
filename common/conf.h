/* The configuration: one INI file, checked against the schema in conf_tbl.h.
 *
 * A struct conf is read-only once parsed and may be read by any thread; a
 * reload parses a new one. Every field is named as its key: conf->msrp.buffer; the structs below
 * are made from the table, so neither can have a key that the other lacks.
 * INT and SIZE are int64_t (SIZE in bytes, times in seconds), BOOL is bool, STR is a string that
 * is never NULL, LIST an array of strings, ENUM_x one of the enums below.
 *
 * The file: [section] and [listen.NAME] lines, `key = value` lines. Comments start with ; or #, at the start of a line
 * or after a blank. What is unknown, wrong or given twice is a fault, never ignored.
 *
 * What conf_load() fills in from other keys:
 *   listen        without any section: one named "main" with the default values
 *   transports    a listen section that names none serves tls and wss only when a certificate is configured
 *   auth.realm    empty: the first of sip.domains (so it is empty only when no domain is served)
 *   msrp.use_path_addr   a leading msrp:// or msrps:// is taken away */
#pragma once

#include "common/buf.h"
#include "common/log.h"

struct conf_list {
    char **v; /* owned, as are the strings */
    size_t n;
};

enum conf_client_cert { CLIENT_CERT_NONE, CLIENT_CERT_OPTIONAL, CLIENT_CERT_REQUIRED };
enum conf_endpoint_tls { ENDPOINT_TLS_OPPORTUNISTIC, ENDPOINT_TLS_VERIFY };

#define CONF_TYPE_STR char * /* owned */
#define CONF_TYPE_BOOL bool
#define CONF_TYPE_INT int64_t
#define CONF_TYPE_SIZE int64_t
#define CONF_TYPE_LIST struct conf_list
#define CONF_TYPE_ENUM_LOG_LEVEL enum log_level
#define CONF_TYPE_ENUM_LOG_TO enum log_target
#define CONF_TYPE_ENUM_CLIENT_CERT enum conf_client_cert
#define CONF_TYPE_ENUM_ENDPOINT_TLS enum conf_endpoint_tls

/* One [listen.NAME] section. */
struct conf_listen {
    char *name; /* owned */
#define CONF_LISTEN(key, type, def, min, max, unit, apply, text) CONF_TYPE_##type key;
#include "common/conf_tbl.h"
};

struct conf {
#define CONF_BEGIN(section, text) struct {
#define CONF(section, key, type, def, min, max, unit, apply, text) CONF_TYPE_##type key;
#define CONF_END(section) } section;
#include "common/conf_tbl.h"
    struct conf_listen *listen; /* owned, at least one */
    size_t n_listen;
};

/* Read FILE (NULL: none, all defaults) and the overrides ("SECTION.KEY=VALUE", as given to -o; a later one wins) and
 * check everything.
 * On faults: one line "FILE:LINE: what is wrong" each (overrides: "-o SECTION.KEY: ...") is appended to faults, all of
 * them and not only the first, and TD_EINVAL is returned; a file that cannot be read is such a fault too.
 * TD_ENOMEM: out of memory. *out is NULL on failure. */
int conf_load(struct conf **out, const char *file, char *const *overrides, size_t n_overrides, struct buf *faults);
void conf_free(struct conf **c);

/* The value of one key as text, as an operator would write it ("16k", "yes", list words separated by a blank); NULL
 * for an unknown key or when out of memory. The section of a port is "listen.NAME". The caller frees it. */
char *conf_get_text(const struct conf *c, const char *section, const char *key);

/* Append the whole effective configuration as INI text; conf_load() makes an equal struct conf of it. Used to hand the
 * configuration to the SIP process. */
void conf_dump(const struct conf *c, struct buf *out);

/* Compare two configurations: append the names of keys that differ ("section.key", separated by a blank) to live when
 * a reload can put them in force, else to restart. A port that came or went is named "listen.NAME". True if any differs. */
bool conf_diff(const struct conf *before, const struct conf *after, struct buf *live, struct buf *restart);

/* Is this port among them? Words are PORT or PORT-PORT. */
bool conf_list_has_port(const struct conf_list *l, uint16_t port);

/* True if the list holds that word. */
bool conf_list_has(const struct conf_list *l, const char *word);
