/* The RPC methods: one line of JSON-RPC 2.0 in, one line out.
 *
 * Rows are written into the answer one by one, so that a table of a hundred
 * thousand sessions never stands in memory as a tree. Each method either appends its
 * result to c->out or calls fail(), which takes back what was appended. */
#include "ctl/rpc.h"

#include <jansson.h>
#include <stdarg.h>
#include <time.h>

#include "common/err.h"
#include "common/log.h"
#include "db/location.h"
#include "net/addr.h"

enum { RPC_PARSE_ERROR = -32700, RPC_INVALID_REQUEST = -32600, RPC_NO_METHOD = -32601, RPC_INVALID_PARAMS = -32602 };

struct call {
    const struct rpc_options *o;
    const struct rpc_backend *back;
    unsigned uid;
    json_t *params;  /* borrowed: object, array or NULL */
    struct buf *out; /* the answer so far */
    size_t mark;     /* where the result begins in it */
    int code;        /* 0: no error */
    struct buf message;
    json_t *data; /* owned; what the error tells beyond its message, or NULL */
    /* rows */
    size_t rows, limit;
};

typedef void method_fn(struct call *c);

static void fail(struct call *c, int code, const char *fmt, ...) TD_PRINTF(3, 4);
static void fail(struct call *c, int code, const char *fmt, ...)
{
    va_list ap;

    if (c->code)
        return; /* the first one is the reason */
    c->code = code;
    va_start(ap, fmt);
    buf_vprintf(&c->message, fmt, ap);
    va_end(ap);
}

static bool is_there(struct call *c, bool has)
{
    if (!has)
        fail(c, RPC_ERR_NOT_AVAILABLE, "this server does not offer that");
    return has;
}

/* Turn what a backend returned into an answer: nothing for 0. */
static void fail_err(struct call *c, int err, const char *what)
{
    if (err)
        fail(c, err == TD_ENOENT ? RPC_ERR_NOT_FOUND : RPC_ERR_FAILED, "%s: %s", what, td_err_text(err));
}

/* A JSON string; bytes that are not UTF-8 are escaped. */
static json_t *text_sv(struct sv s)
{
    json_t *j = json_stringn(s.n ? s.p : "", s.n);
    struct buf escaped = BUF_INIT;

    if (!j) {
        buf_add_escaped(&escaped, s, s.n);
        j = json_string(escaped.p ? escaped.p : "");
        buf_fini(&escaped);
    }
    return j;
}

static json_t *text(const char *s)
{
    return text_sv(sv_of(s));
}

/* UTC, as in the database. */
static json_t *date(int64_t at)
{
    char out[32];
    time_t t = (time_t)at;
    struct tm tm;

    if (!at || !gmtime_r(&t, &tm) || !strftime(out, sizeof out, "%Y-%m-%d %H:%M:%S", &tm))
        return json_string("");
    return json_string(out);
}

static int dump_into(const char *p, size_t n, void *out)
{
    buf_add(out, p, n);
    return 0;
}

/* Append a value, which is taken; NULL means that memory ran out while it was made. */
static void put(struct call *c, json_t *value)
{
    if (!value || json_dump_callback(value, dump_into, c->out, JSON_COMPACT | JSON_ENCODE_ANY) != 0)
        fail(c, RPC_ERR_FAILED, "out of memory");
    json_decref(value);
}

/* A parameter by name or by place; NULL if it is not there. */
static json_t *param(const struct call *c, size_t place, const char *name)
{
    json_t *value = json_is_array(c->params) ? json_array_get(c->params, place) : json_object_get(c->params, name);

    return json_is_null(value) ? NULL : value;
}

/* A text parameter; def when it is not there, NULL (and a failure) when it must be or is no text. */
static const char *text_param(struct call *c, size_t place, const char *name, const char *def)
{
    json_t *value = param(c, place, name);

    if (!value && def)
        return def;
    if (!json_is_string(value) || !*json_string_value(value)) {
        fail(c, RPC_INVALID_PARAMS, "%s must be a text", name);
        return NULL;
    }
    return json_string_value(value);
}

static int64_t number_param(struct call *c, size_t place, const char *name, int64_t def, int64_t most)
{
    json_t *value = param(c, place, name);
    int64_t number = json_integer_value(value);

    if (!value)
        return def;
    if (!json_is_integer(value) || number < 0 || number > most) {
        fail(c, RPC_INVALID_PARAMS, "%s must be a number from 0 to %lld", name, (long long)most);
        return def;
    }
    return number;
}

/* Before each row: its comma. False: no more rows. */
static bool next_row(struct call *c)
{
    if (c->code || c->rows >= c->limit)
        return false;
    if (c->out->n - c->mark > RPC_ANSWER_MAX) {
        fail(c, RPC_ERR_TOO_LARGE, "the answer is over %d bytes: ask with a limit", RPC_ANSWER_MAX);
        return false;
    }
    if (c->rows++)
        buf_putc(c->out, ',');
    return true;
}

static void read_limit(struct call *c)
{
    c->limit = (size_t)number_param(c, 0, "limit", INT64_MAX, INT64_MAX);
}

/* core.* */

static void core_version(struct call *c)
{
    put(c, text(c->o->version));
}

static void core_methods(struct call *c)
{
    static const struct { const char *name, *params, *sentence; } rows[] = {
#define RPC(name, function, params, sentence) { name, params, sentence },
#include "ctl/cmd_tbl.h"
#undef RPC
    };

    buf_putc(c->out, '[');
    for (size_t i = 0; i < TD_ARRAY_LEN(rows) && next_row(c); i++)
        put(c, json_pack("{s:s, s:s, s:s}", "name", rows[i].name, "params", rows[i].params, "text", rows[i].sentence));
    buf_putc(c->out, ']');
}

static bool put_connection(void *to, const struct rpc_connection *r)
{
    struct call *c = to;

    if (!next_row(c))
        return false;
    put(c, json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I}", "conn_id", (json_int_t)r->conn_id,
                     "protocol", text(r->protocol), "transport", text(r->transport), "peer", text(r->peer), "local",
                     text(r->local), "tls_version", text(r->tls_version), "tls_cipher", text(r->tls_cipher), "peer_name",
                     text(r->peer_name), "opened", date(r->opened), "bytes_in", (json_int_t)r->bytes_in, "bytes_out",
                     (json_int_t)r->bytes_out));
    return true;
}

static void core_connections(struct call *c)
{
    if (!is_there(c, c->back->connections))
        return;
    read_limit(c);
    buf_putc(c->out, '[');
    fail_err(c, c->back->connections(c->back->arg, put_connection, c), "connections");
    buf_putc(c->out, ']');
}

/* Pieces of a text, cut at each separator, as a list; empty pieces are left out. */
static json_t *pieces(const struct buf *text_of, char separator)
{
    struct sv rest = buf_sv(text_of);
    json_t *list = json_array();

    while (rest.n) {
        size_t end = sv_find(rest, separator);

        if (end)
            json_array_append_new(list, json_stringn(rest.p, end));
        rest = sv_from(rest, end + 1);
    }
    return list;
}

static void core_reload(struct call *c)
{
    struct buf live = BUF_INIT, restart = BUF_INIT, faults = BUF_INIT;
    json_t *result;
    int err;

    if (!is_there(c, c->back->reload))
        return;
    log_notice("ctl", 0, "reload uid=%u", c->uid);
    err = c->back->reload(c->back->arg, &live, &restart, &faults);
    if (err == TD_EINVAL) {
        fail(c, RPC_ERR_CONFIG, "the configuration has faults; nothing was changed");
        c->data = json_pack("{s:o}", "faults", pieces(&faults, '\n'));
    } else if (err) {
        fail_err(c, err, "reload");
    } else {
        result = json_pack("{s:o, s:o}", "live", pieces(&live, ' '), "restart", pieces(&restart, ' '));
        if (faults.n) /* of files that the configuration names: the old ones stay */
            json_object_set_new(result, "faults", pieces(&faults, '\n'));
        put(c, result);
    }
    buf_fini(&live);
    buf_fini(&restart);
    buf_fini(&faults);
}

static bool put_ban(void *to, const struct rpc_ban *r)
{
    struct call *c = to;

    if (!next_row(c))
        return false;
    put(c, json_pack("{s:o, s:o, s:o}", "address", text(r->address), "until", date(r->until), "reason", text(r->reason)));
    return true;
}

static void core_ban(struct call *c)
{
    const char *action = text_param(c, 0, "action", NULL), *given;
    char address[ADDR_TEXT_MAX];
    struct addr a;
    int64_t seconds;
    bool add;

    if (!action)
        return;
    if (strcmp(action, "list") == 0) {
        if (!is_there(c, c->back->ban_list))
            return;
        buf_putc(c->out, '[');
        fail_err(c, c->back->ban_list(c->back->arg, put_ban, c), "ban list");
        buf_putc(c->out, ']');
        return;
    }
    add = strcmp(action, "add") == 0;
    if (!add && strcmp(action, "del") != 0) {
        fail(c, RPC_INVALID_PARAMS, "action must be list, add or del");
        return;
    }
    given = text_param(c, 1, "address", NULL);
    if (!given)
        return;
    if (!addr_from_host(&a, sv_of(given), 0)) {
        fail(c, RPC_INVALID_PARAMS, "address must be an IP address");
        return;
    }
    addr_unmap(&a); /* as sources are */
    addr_host_text(&a, address);
    seconds = number_param(c, 2, "seconds", 0, 365 * 86400);
    if (c->code || !is_there(c, add ? c->back->ban_add != NULL : c->back->ban_del != NULL))
        return;
    log_notice("ctl", 0, "ban %s address=%s uid=%u", add ? "add" : "del", address, c->uid);
    if (add)
        fail_err(c, c->back->ban_add(c->back->arg, address, seconds), address);
    else
        fail_err(c, c->back->ban_del(c->back->arg, address), address);
    put(c, json_pack("{s:s}", "address", address));
}

/* auth.* */

static void auth_flush(struct call *c)
{
    const char *username = text_param(c, 0, "username", ""), *domain = text_param(c, 1, "domain", "");

    if (!username || !domain || !is_there(c, c->back->user_changed))
        return;
    fail_err(c, c->back->user_changed(c->back->arg, username, domain), "flush");
    put(c, json_true());
}

/* msrp.* */

/* Kamailio's CITEMID is a hash of the session, too. */
static json_int_t item_id(const char *session_id)
{
    uint32_t h = 2166136261u;

    for (; *session_id; session_id++)
        h = (h ^ (unsigned char)*session_id) * 16777619u;
    return h & 0x7fffffff;
}

static bool put_cmap_item(void *to, const struct rpc_session *r)
{
    struct call *c = to;

    if (!next_row(c))
        return false;
    put(c, json_pack("{s:{s:I, s:o, s:o, s:o, s:o, s:o, s:I, s:i}}", "CONDATA", "CITEMID", item_id(r->session_id),
                     "SESSIONID", text(r->session_id), "PEER", text(r->peer_uri), "ADDR", text(r->srcaddr), "SOCK",
                     text(r->srcsock), "EXPIRES", date(r->expires), "CONID", (json_int_t)r->conn_id, "FLAGS", 0));
    return true;
}

static void msrp_cmaplist(struct call *c)
{
    uint64_t size;

    if (!is_there(c, c->back->sessions))
        return;
    size = c->back->map_size ? c->back->map_size(c->back->arg) : 0;
    if (!size) {
        fail(c, RPC_ERR_NO_TABLE, "no session table");
        return;
    }
    read_limit(c);
    buf_printf(c->out, "{\"MAP_SIZE\":%llu,\"CONLIST\":[", (unsigned long long)size);
    fail_err(c, c->back->sessions(c->back->arg, put_cmap_item, c), "sessions");
    buf_printf(c->out, "],\"CONCOUNT\":%zu}", c->rows);
}

static bool put_session(void *to, const struct rpc_session *r)
{
    struct call *c = to;

    if (!next_row(c))
        return false;
    put(c, json_pack("{s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I}", "session_id",
                     text(r->session_id), "username", text(r->username), "domain", text(r->domain), "conn_id",
                     (json_int_t)r->conn_id, "peer_uri", text(r->peer_uri), "srcaddr", text(r->srcaddr), "srcsock",
                     text(r->srcsock), "use_path", text(r->use_path), "created", date(r->created), "expires",
                     date(r->expires), "last_activity", date(r->last_activity), "state", text(r->state), "frames_in",
                     (json_int_t)r->frames_in, "frames_out", (json_int_t)r->frames_out, "bytes_in",
                     (json_int_t)r->bytes_in, "bytes_out", (json_int_t)r->bytes_out));
    return true;
}

static void msrp_sessions(struct call *c)
{
    if (!is_there(c, c->back->sessions))
        return;
    read_limit(c);
    buf_putc(c->out, '[');
    fail_err(c, c->back->sessions(c->back->arg, put_session, c), "sessions");
    buf_putc(c->out, ']');
}

static void msrp_kick(struct call *c)
{
    const char *session_id = text_param(c, 0, "session_id", NULL);
    struct buf shown = BUF_INIT;

    if (!session_id || !is_there(c, c->back->kick))
        return;
    buf_add_escaped(&shown, sv_of(session_id), 8); /* the whole of it is a secret */
    log_notice("ctl", 0, "kick session=%s uid=%u", shown.p ? shown.p : "", c->uid);
    buf_fini(&shown);
    fail_err(c, c->back->kick(c->back->arg, session_id), "session");
    put(c, json_pack("{s:o}", "session_id", text(session_id)));
}

/* stats.* */

static void stats_get_all(struct call *c)
{
    const char *only = text_param(c, 0, "name", "");
    struct stats sum = { 0 };
    bool found = !only || !*only;

    if (!only || !is_there(c, c->back->stats))
        return;
    c->back->stats(c->back->arg, &sum);
    buf_putc(c->out, '{');
    for (int i = 0; i < STAT_N; i++) {
        const char *name = stats_name((enum stat_id)i);
        uint64_t value = stats_get(&sum, (enum stat_id)i);

        if (*only && strcmp(only, name) != 0)
            continue;
        found = true;
        next_row(c);
        if (stats_is_gauge((enum stat_id)i)) /* one thread may count up what another counts down */
            buf_printf(c->out, "\"%s\":%lld", name, TD_MAX((long long)value, 0LL));
        else
            buf_printf(c->out, "\"%s\":%llu", name, (unsigned long long)value);
    }
    buf_putc(c->out, '}');
    if (!found)
        fail(c, RPC_ERR_NOT_FOUND, "no counter of that name");
}

/* ul.* */

struct contact_writer {
    struct call *c;
    struct buf aor; /* of the open list of contacts; empty: none is open */
    size_t contacts;
    int64_t now;
};

static json_t *text_or_not_set(struct sv s)
{
    return text_sv(s.n ? s : SV("[not set]"));
}

/* Kamailio shows seconds to go; "permanent" for what never ends. */
static json_t *time_left(const struct db_location *r, int64_t now)
{
    return r->expires ? json_integer(TD_MAX(r->expires - now, (int64_t)0)) : json_string("permanent");
}

static bool put_contact(const struct db_location *r, void *to)
{
    struct contact_writer *w = to;
    struct call *c = w->c;
    struct buf aor = BUF_INIT;
    bool same;

    if (c->code || w->contacts >= c->limit)
        return false;
    buf_add_sv(&aor, r->username);
    buf_puts(&aor, r->domain.n ? "@" : "");
    buf_add_sv(&aor, r->domain);
    same = w->aor.n && sv_eq(buf_sv(&aor), buf_sv(&w->aor));
    if (same) {
        buf_fini(&aor);
        buf_putc(c->out, ',');
    } else {
        if (w->aor.n)
            buf_puts(c->out, "]}}");
        buf_fini(&w->aor);
        w->aor = aor;
        if (!next_row(c)) {
            buf_fini(&w->aor);
            return false;
        }
        buf_puts(c->out, "{\"Info\":{\"AoR\":");
        put(c, text(w->aor.p ? w->aor.p : ""));
        buf_puts(c->out, ",\"Contacts\":[");
    }
    w->contacts++;
    put(c, json_pack("{s:{s:o, s:o, s:f, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:o}}", "Contact", "Address",
                     text_sv(r->contact), "Expires", time_left(r, w->now), "Q", r->q, "Call-ID", text_sv(r->callid),
                     "CSeq", (json_int_t)r->cseq, "User-Agent", text_sv(r->user_agent), "Received",
                     text_or_not_set(r->received), "Path", text_or_not_set(r->path), "Socket",
                     text_or_not_set(r->socket), "Ruid", text_or_not_set(r->ruid), "Instance",
                     text_or_not_set(r->instance), "Reg-Id", (json_int_t)r->reg_id, "Tcpconn-Id",
                     (json_int_t)r->connection_id, "Last-Modified", date(r->last_modified)));
    return true;
}

static void ul_dump(struct call *c)
{
    struct contact_writer w = { .c = c, .now = (int64_t)time(NULL) };

    if (!is_there(c, c->back->registrations))
        return;
    read_limit(c);
    buf_puts(c->out, "{\"Domains\":[{\"Domain\":{\"Domain\":\"location\",\"AoRs\":[");
    fail_err(c, c->back->registrations(c->back->arg, put_contact, &w), "registrations");
    buf_printf(c->out, "%s],\"Stats\":{\"Records\":%zu}}}]}", w.aor.n ? "]}}" : "", w.contacts);
    buf_fini(&w.aor);
}

static const struct {
    const char *name;
    method_fn *run;
} methods[] = {
#define RPC(name, function, params, sentence) { name, function },
#include "ctl/cmd_tbl.h"
#undef RPC
};

static void run(struct call *c, const char *name)
{
    struct buf shown = BUF_INIT;

    for (size_t i = 0; i < TD_ARRAY_LEN(methods); i++)
        if (strcmp(methods[i].name, name) == 0) {
            methods[i].run(c);
            return;
        }
    buf_add_escaped(&shown, sv_of(name), 64);
    fail(c, RPC_NO_METHOD, "no method %s", shown.p ? shown.p : "");
    buf_fini(&shown);
}

/* Check the envelope, then run the method. *id: borrowed, NULL for a notification. */
static void serve(struct call *c, json_t *request, json_t **id)
{
    json_t *method = json_object_get(request, "method"), *version = json_object_get(request, "jsonrpc");

    *id = json_object_get(request, "id");
    if (!json_is_object(request)) {
        fail(c, RPC_INVALID_REQUEST, "a request is one object");
    } else if (!json_is_string(version) || strcmp(json_string_value(version), "2.0") != 0) {
        fail(c, RPC_INVALID_REQUEST, "jsonrpc must be \"2.0\"");
    } else if (!json_is_string(method)) {
        fail(c, RPC_INVALID_REQUEST, "method must be a text");
    } else if (*id && !json_is_string(*id) && !json_is_number(*id) && !json_is_null(*id)) {
        *id = NULL;
        fail(c, RPC_INVALID_REQUEST, "id must be a text, a number or null");
    } else {
        c->params = json_object_get(request, "params");
        if (c->params && !json_is_object(c->params) && !json_is_array(c->params))
            fail(c, RPC_INVALID_PARAMS, "params must be an object or a list");
        else
            run(c, json_string_value(method));
        return;
    }
    if (!*id)
        *id = json_null(); /* a broken request is answered even without an id */
}

static void put_error(struct call *c)
{
    json_t *error = json_pack("{s:i, s:o}", "code", c->code, "message", text(c->message.p ? c->message.p : ""));

    if (c->data)
        json_object_set(error, "data", c->data);
    put(c, error);
}

void rpc_answer(const struct rpc_options *o, unsigned uid, struct sv line, struct buf *out)
{
    struct call c = { .o = o, .back = o->backend, .uid = uid, .out = out, .limit = SIZE_MAX };
    json_error_t why;
    json_t *request = json_loadb(line.p, line.n, 0, &why), *id = json_null();
    size_t start = out->n;

    buf_puts(out, "{\"jsonrpc\":\"2.0\",\"result\":");
    c.mark = out->n;
    if (request)
        serve(&c, request, &id);
    else
        fail(&c, RPC_PARSE_ERROR, "not JSON: %s", why.text);
    if (buf_failed(out)) {
        out->failed = false;
        fail(&c, RPC_ERR_FAILED, "out of memory");
    }
    if (!id) {
        out->n = start; /* a notification */
    } else {
        if (c.code) {
            out->n = start;
            buf_puts(out, "{\"jsonrpc\":\"2.0\",\"error\":");
            put_error(&c);
        }
        buf_puts(out, ",\"id\":");
        put(&c, json_incref(id));
        buf_puts(out, "}\n");
    }
    buf_fini(&c.message);
    json_decref(c.data);
    json_decref(request);
}

const char *rpc_library_version(void)
{
    return JANSSON_VERSION;
}
