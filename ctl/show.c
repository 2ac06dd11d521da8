/* What the running server answered, as text for people. */
#include "ctl/show.h"

#include "common/stats.h"
#include "ctl/table.h"

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));

    return text && strcmp(text, "[not set]") != 0 ? text : "";
}

static void text_cell(struct table *t, const json_t *row, const char *key)
{
    table_text(t, text_of(row, key));
}

static void number_cell(struct table *t, const json_t *row, const char *key)
{
    table_number(t, json_integer_value(json_object_get(row, key)));
}

/* Kamailio writes some values as a number or, when there is none, as a word. */
static void number_or_word_cell(struct table *t, const json_t *row, const char *key)
{
    if (json_is_string(json_object_get(row, key)))
        text_cell(t, row, key);
    else
        number_cell(t, row, key);
}

static void bytes_cell(struct table *t, const json_t *row, const char *key)
{
    table_bytes(t, json_integer_value(json_object_get(row, key)));
}

static void print(struct table *t, struct buf *out)
{
    table_print(t, out);
    table_fini(t);
}

void show_sessions(const json_t *result, struct buf *out)
{
    struct table t;
    json_t *row;
    size_t i;

    table_init(&t, "SESSION USER CLIENT STATE EXPIRES >CONN >FRAMES-IN >FRAMES-OUT >IN >OUT");
    json_array_foreach(result, i, row) {
        struct buf user = BUF_INIT;

        text_cell(&t, row, "session_id");
        buf_printf(&user, "%s@%s", text_of(row, "username"), text_of(row, "domain"));
        table_text(&t, user.p);
        buf_fini(&user);
        text_cell(&t, row, "srcaddr");
        text_cell(&t, row, "state");
        text_cell(&t, row, "expires");
        number_cell(&t, row, "conn_id");
        number_cell(&t, row, "frames_in");
        number_cell(&t, row, "frames_out");
        bytes_cell(&t, row, "bytes_in");
        bytes_cell(&t, row, "bytes_out");
    }
    print(&t, out);
}

void show_connections(const json_t *result, struct buf *out)
{
    struct table t;
    json_t *row;
    size_t i;

    table_init(&t, ">ID PROTOCOL TRANSPORT PEER LOCAL TLS NAME OPENED >IN >OUT");
    json_array_foreach(result, i, row) {
        number_cell(&t, row, "conn_id");
        text_cell(&t, row, "protocol");
        text_cell(&t, row, "transport");
        text_cell(&t, row, "peer");
        text_cell(&t, row, "local");
        text_cell(&t, row, "tls_version");
        text_cell(&t, row, "peer_name");
        text_cell(&t, row, "opened");
        bytes_cell(&t, row, "bytes_in");
        bytes_cell(&t, row, "bytes_out");
    }
    print(&t, out);
}

void show_registrations(const json_t *result, struct buf *out)
{
    struct table t;
    json_t *domain, *aor, *entry;
    size_t d, a, c;

    table_init(&t, "AOR CONTACT >EXPIRES RECEIVED >CONN USER-AGENT");
    json_array_foreach(json_object_get(result, "Domains"), d, domain)
        json_array_foreach(json_object_get(json_object_get(domain, "Domain"), "AoRs"), a, aor) {
            const json_t *info = json_object_get(aor, "Info");

            json_array_foreach(json_object_get(info, "Contacts"), c, entry) {
                const json_t *contact = json_object_get(entry, "Contact");

                text_cell(&t, info, "AoR");
                text_cell(&t, contact, "Address");
                number_or_word_cell(&t, contact, "Expires");
                text_cell(&t, contact, "Received");
                number_cell(&t, contact, "Tcpconn-Id");
                text_cell(&t, contact, "User-Agent");
            }
        }
    print(&t, out);
}

void show_cmaplist(const json_t *result, struct buf *out)
{
    struct table t;
    json_t *entry;
    size_t i;

    table_init(&t, ">CITEMID SESSIONID PEER ADDR SOCK EXPIRES >CONID >FLAGS");
    json_array_foreach(json_object_get(result, "CONLIST"), i, entry) {
        const json_t *row = json_object_get(entry, "CONDATA");

        number_cell(&t, row, "CITEMID");
        text_cell(&t, row, "SESSIONID");
        text_cell(&t, row, "PEER");
        text_cell(&t, row, "ADDR");
        text_cell(&t, row, "SOCK");
        text_cell(&t, row, "EXPIRES");
        number_cell(&t, row, "CONID");
        number_cell(&t, row, "FLAGS");
    }
    print(&t, out);
    buf_printf(out, "MAP_SIZE %lld  CONCOUNT %lld\n", (long long)json_integer_value(json_object_get(result, "MAP_SIZE")),
               (long long)json_integer_value(json_object_get(result, "CONCOUNT")));
}

/* What a counter means; empty for one that a newer server has. */
static const char *meaning(const char *name)
{
    for (int i = 0; i < STAT_N; i++)
        if (strcmp(stats_name((enum stat_id)i), name) == 0)
            return stats_text((enum stat_id)i);
    return "";
}

static bool is_gauge(const char *name)
{
    for (int i = 0; i < STAT_N; i++)
        if (strcmp(stats_name((enum stat_id)i), name) == 0)
            return stats_is_gauge((enum stat_id)i);
    return false;
}

void show_stats(const json_t *result, struct buf *out)
{
    struct table t;
    const char *name;
    json_t *value;

    table_init(&t, "COUNTER >VALUE MEANING");
    json_object_foreach((json_t *)result, name, value) {
        table_text(&t, name);
        table_number(&t, json_integer_value(value));
        table_text(&t, meaning(name));
    }
    print(&t, out);
}

void show_rates(const json_t *before, const json_t *now, double seconds, struct buf *out)
{
    struct table t;
    const char *name;
    json_t *value;

    table_init(&t, "COUNTER >VALUE >A-SECOND MEANING");
    json_object_foreach((json_t *)now, name, value) {
        int64_t is = json_integer_value(value), was = json_integer_value(json_object_get(before, name));

        if (!is)
            continue;
        table_text(&t, name);
        table_number(&t, is);
        if (is_gauge(name) || seconds <= 0)
            table_text(&t, "");
        else
            table_number(&t, (int64_t)((double)(is - was) / seconds + 0.5));
        table_text(&t, meaning(name));
    }
    print(&t, out);
}

void show_bans(const json_t *result, struct buf *out)
{
    struct table t;
    json_t *row;
    size_t i;

    table_init(&t, "ADDRESS UNTIL REASON");
    json_array_foreach(result, i, row) {
        text_cell(&t, row, "address");
        text_cell(&t, row, "until");
        text_cell(&t, row, "reason");
    }
    print(&t, out);
}

static void add_names(const char *title, const json_t *names, struct buf *out)
{
    json_t *name;
    size_t i;

    if (!json_array_size(names))
        return;
    buf_puts(out, title);
    json_array_foreach(names, i, name) {
        buf_putc(out, ' ');
        buf_add_escaped(out, sv_of(json_string_value(name)), 100);
    }
    buf_putc(out, '\n');
}

void show_reload(const json_t *result, struct buf *out)
{
    size_t before = out->n;

    add_names("now in force:", json_object_get(result, "live"), out);
    add_names("after a restart:", json_object_get(result, "restart"), out);
    if (out->n == before)
        buf_puts(out, "reloaded; no key has changed\n");
}
