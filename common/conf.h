/* The configuration: one INI file, checked against the schema in conf_tbl.h.
 *
 * A struct conf is read-only once parsed and may be read by any thread; a
 * reload parses a new one. Every field is named as its key: conf->msrp.buffer.
 * INT and SIZE are int64_t (SIZE in bytes, times in seconds), BOOL is bool, STR is a string that
 * is never NULL, LIST an array of strings, ENUM_x one of the enums below. */
#pragma once

#include "common/buf.h"
#include "common/log.h"

struct conf_list {
    char **v; /* owned, as are the strings */
    size_t n;
};

enum conf_client_cert { CLIENT_CERT_NONE, CLIENT_CERT_OPTIONAL, CLIENT_CERT_REQUIRED };
enum conf_endpoint_tls { ENDPOINT_TLS_OPPORTUNISTIC, ENDPOINT_TLS_VERIFY };

#define CONF_TYPE_STR char *
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
#define CONF(section, key, type, def, min, max, unit, text)
#define CONF_LISTEN(key, type, def, min, max, unit, text) CONF_TYPE_##type key;
#include "common/conf_tbl.h"
#undef CONF_LISTEN
};

struct conf {
#define CONF_LISTEN(key, type, def, min, max, unit, text)
    struct { char *database; char *control; int64_t workers; char *user; enum log_level log_level; enum log_target log_to; int64_t drain_time; } server;
    struct { char *certificate; char *private_key; char *ca_file; enum conf_client_cert client_certificate; char *priorities; } tls;
    struct { char *realm; struct conf_list algorithms; int64_t nonce_lifetime; int64_t max_failures; } auth;
    struct {
        bool sipmsg; int64_t cmap_size, timer_interval, auth_min_expires, auth_max_expires; char *use_path_addr; char *event_callback;
        bool require_tls; enum conf_endpoint_tls endpoint_tls; int64_t response_timeout, connect_timeout, probation, idle_timeout, max_header, buffer;
        struct conf_list forward_to;
    } msrp;
    struct { struct conf_list domains; bool record_route; int64_t min_expires, default_expires, max_expires, max_contacts; struct conf_list authenticate; char *event_callback; } sip;
    struct { char *file; } script;
    struct { struct conf_list servers; } dns;
    struct { int64_t connections, connections_per_address, requests_per_second, ban_time; } limits;
    struct { bool enabled; } accounting;
    struct { char *address; } admin;
#undef CONF_LISTEN
#undef CONF
    struct conf_listen *listen; /* owned */
    size_t n_listen;
};

/* Read FILE and the overrides ("SECTION.KEY=VALUE", as given to -o) and check everything.
 * On faults: one line "FILE:LINE: what is wrong" each (overrides: "-o SECTION.KEY: ...") is appended to faults, all of
 * them and not only the first, and TD_EINVAL is returned; *out is then NULL. */
int conf_load(struct conf **out, const char *file, char *const *overrides, size_t n_overrides, struct buf *faults);
void conf_free(struct conf **c);

/* The value of one key as text, as an operator would write it; NULL for an unknown key. The
 * caller frees it. Used by reload (what changed?) and for handing the configuration to the SIP process. */
char *conf_get_text(const struct conf *c, const char *section, const char *key);

/* True if the list holds that word. */
bool conf_list_has(const struct conf_list *l, const char *word);
