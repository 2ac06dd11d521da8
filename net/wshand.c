/* The WebSocket opening handshake. */
#include "net/wshand.h"

#include "common/crypto.h"

enum { KEY_LEN = 24, ACCEPT_LEN = 28, SHA1_LEN = 20 };

/* What is said of the request; views into its head. */
struct request {
    struct sv method, version;
    struct sv host, origin, key, ws_version, body; /* p NULL: not there */
    unsigned hosts, origins, keys, versions;       /* how often */
    bool upgrade;    /* to "websocket" */
    bool connection; /* Connection: Upgrade */
    bool has_body;
};

size_t wshand_head(const char *p, size_t n)
{
    const char *end = n >= 4 ? memmem(p, n, "\r\n\r\n", 4) : NULL;

    return end ? (size_t)(end - p) + 4 : 0;
}

/* ---- reading ---- */

static bool is_token(struct sv s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", s.p[i]))
            return false;
    return s.n > 0;
}

/* Visible characters, blanks, tabs and what is beyond ASCII. */
static bool is_text(struct sv s)
{
    for (size_t i = 0; i < s.n; i++)
        if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f)
            return false;
    return true;
}

/* Take the next element off a comma-separated list. */
static bool next_element(struct sv *list, struct sv *element)
{
    while (list->n) {
        size_t comma = sv_find(*list, ',');

        *element = sv_trim(sv_upto(*list, comma));
        *list = sv_from(*list, comma + 1);
        if (element->n)
            return true;
    }
    return false;
}

static bool list_has(struct sv list, struct sv word)
{
    struct sv element;

    while (next_element(&list, &element))
        if (sv_eq_nocase(element, word))
            return true;
    return false;
}

/* Take a line off the head, without its CRLF. */
static struct sv next_line(struct sv *head)
{
    const char *end = memmem(head->p, head->n, "\r\n", 2);
    struct sv line = sv_upto(*head, end ? (size_t)(end - head->p) : head->n);

    *head = sv_from(*head, line.n + 2);
    return line;
}

/* Take a header off. False: there is none left, or it is no header (*name is empty then). RFC 9112 s.5: no blank before
 * the colon, no folding. */
static bool next_header(struct sv *head, struct sv *name, struct sv *value)
{
    struct sv line = next_line(head);
    size_t colon = sv_find(line, ':');

    *name = SV("");
    if (line.n == 0)
        return false;
    *value = sv_trim(sv_from(line, colon + 1));
    if (colon < line.n && is_token(sv_upto(line, colon)) && is_text(*value))
        *name = sv_upto(line, colon);
    return true;
}

/* A single-value header. */
static void note(struct sv value, struct sv *to, unsigned *times)
{
    *to = value;
    ++*times;
}

static void read_header(struct request *r, struct sv name, struct sv value)
{
    if (sv_eq_nocase(name, SV("Host")))
        note(value, &r->host, &r->hosts);
    else if (sv_eq_nocase(name, SV("Origin")))
        note(value, &r->origin, &r->origins);
    else if (sv_eq_nocase(name, SV("Sec-WebSocket-Key")))
        note(value, &r->key, &r->keys);
    else if (sv_eq_nocase(name, SV("Sec-WebSocket-Version")))
        note(value, &r->ws_version, &r->versions);
    else if (sv_eq_nocase(name, SV("Upgrade")))
        r->upgrade |= list_has(value, SV("websocket"));
    else if (sv_eq_nocase(name, SV("Connection")))
        r->connection |= list_has(value, SV("upgrade"));
    else if (sv_eq_nocase(name, SV("Transfer-Encoding")) || (sv_eq_nocase(name, SV("Content-Length")) && !sv_eq(value, SV("0"))))
        r->has_body = true;
}

/* 0, or what is wrong with it. */
static int read_request(struct sv head, struct request *r, const char **why)
{
    struct sv line = next_line(&head), target, name, value;
    size_t space = sv_find(line, ' ');

    *r = (struct request){ .method = sv_upto(line, space) };
    target = sv_from(line, space + 1);
    space = sv_find(target, ' ');
    r->version = sv_from(target, space + 1);
    target = sv_upto(target, space);
    *why = "bad request line";
    if (!is_token(r->method) || target.n == 0 || !is_text(target) || !sv_starts(r->version, SV("HTTP/")))
        return 400;
    *why = "version of HTTP";
    if (!sv_eq(r->version, SV("HTTP/1.1")))
        return 505;
    for (int i = 0; next_header(&head, &name, &value); i++) {
        *why = "too many headers";
        if (i == WSHAND_HEADERS_MAX)
            return 431;
        *why = "bad header";
        if (name.n == 0)
            return 400;
        read_header(r, name, value);
    }
    return 0;
}

/* ---- judging ---- */

/* The base64 of 16 bytes. */
static bool is_key(struct sv s)
{
    if (s.n != KEY_LEN || s.p[22] != '=' || s.p[23] != '=')
        return false;
    for (size_t i = 0; i < 22; i++)
        if (!((s.p[i] >= 'A' && s.p[i] <= 'Z') || (s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '+' ||
              s.p[i] == '/'))
            return false;
    return true;
}

static bool is_ours(struct sv origin, const struct conf_list *origins)
{
    if (!origins || origins->n == 0)
        return true;
    for (size_t i = 0; i < origins->n; i++)
        if (sv_eq_nocase(origin, sv_of(origins->v[i])))
            return true;
    return false;
}

/* The first of the client's sub-protocols that is one of allowed. */
static enum wshand_protocol choose(struct sv head, uint8_t allowed)
{
    struct sv name, value, element;

    next_line(&head);
    while (next_header(&head, &name, &value)) {
        if (!sv_eq_nocase(name, SV("Sec-WebSocket-Protocol")))
            continue;
        while (next_element(&value, &element)) {
            if (allowed & WSHAND_SIP && sv_eq(element, SV("sip")))
                return WSHAND_SIP;
            if (allowed & WSHAND_MSRP && sv_eq(element, SV("msrp")))
                return WSHAND_MSRP;
        }
    }
    return WSHAND_NONE;
}

static struct wshand_result refuse(int status, const char *why)
{
    return (struct wshand_result){ .status = status, .why = why };
}

static struct wshand_result judge(struct sv head, const struct wshand_policy *p, struct request *r)
{
    struct wshand_result good = { .status = 101 };
    const char *why = "request too large";
    int status = head.n > WSHAND_HEAD_MAX ? 431 : read_request(head, r, &why);

    if (status)
        return refuse(status, why);
    if (!sv_eq(r->method, SV("GET")))
        return refuse(405, "method");
    if (!r->upgrade || !p->is_served)
        return refuse(404, r->upgrade ? "no WebSocket on this port" : "no WebSocket handshake");
    if (r->hosts != 1 || r->host.n == 0)
        return refuse(400, "Host");
    if (!r->connection || r->has_body)
        return refuse(400, r->has_body ? "it has a body" : "Connection");
    if (r->versions != 1 || !sv_eq(r->ws_version, SV("13")))
        return refuse(426, "version of WebSocket");
    if (r->keys != 1 || !is_key(r->key))
        return refuse(400, "Sec-WebSocket-Key");
    if (r->origins > 1 || (r->origins == 1 && !is_ours(r->origin, p->origins)))
        return refuse(403, "Origin");
    good.protocol = choose(head, p->protocols);
    if (good.protocol == WSHAND_NONE && choose(head, p->forbidden) != WSHAND_NONE)
        return refuse(403, "msrp without TLS");
    if (good.protocol == WSHAND_NONE)
        return refuse(400, "no sub-protocol that is served here");
    return good;
}

/* ---- answering ---- */

static const char *reason_of(int status)
{
    switch (status) {
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 426:
        return "Upgrade Required";
    case 431:
        return "Request Header Fields Too Large";
    default:
        return "HTTP Version Not Supported";
    }
}

/* RFC 6455 s.4.2.2: the base64 of a digest of the key and a fixed text. */
static void accept_of(struct sv key, char out[ACCEPT_LEN + 1])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char text[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char both[KEY_LEN + sizeof text];
    uint8_t raw[SHA1_LEN + 1] = { 0 };

    memcpy(both, key.p, KEY_LEN);
    memcpy(both + KEY_LEN, text, sizeof text);
    crypto_sha1(sv_make(both, KEY_LEN + sizeof text - 1), raw);
    for (size_t i = 0; i < ACCEPT_LEN / 4; i++) {
        uint32_t v = (uint32_t)raw[3 * i] << 16 | (uint32_t)raw[3 * i + 1] << 8 | raw[3 * i + 2];

        for (size_t k = 0; k < 4; k++)
            out[4 * i + k] = digits[v >> (18 - 6 * k) & 63];
    }
    out[ACCEPT_LEN - 1] = '=';
    out[ACCEPT_LEN] = '\0';
}

struct wshand_result wshand_answer(struct sv head, const struct wshand_policy *policy, struct buf *out)
{
    struct request r = { 0 };
    struct wshand_result res = judge(head, policy, &r);
    char accept[ACCEPT_LEN + 1];

    if (res.status != 101) {
        buf_printf(out, "HTTP/1.1 %d %s\r\n", res.status, reason_of(res.status));
        if (res.status == 405)
            buf_puts(out, "Allow: GET\r\n");
        if (res.status == 426) /* RFC 6455 s.4.4, RFC 9110 s.15.5.22 */
            buf_puts(out, "Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n");
        else
            buf_puts(out, "Connection: close\r\n");
        buf_puts(out, "Content-Length: 0\r\n\r\n");
        return res;
    }
    accept_of(r.key, accept);
    buf_printf(out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
                    "Sec-WebSocket-Protocol: %s\r\n", accept, res.protocol == WSHAND_SIP ? "sip" : "msrp");
    if (r.origins) { /* RFC 7977 s.5.3.1 */
        buf_puts(out, "Access-Control-Allow-Origin: ");
        buf_add_sv(out, r.origin);
        buf_puts(out, "\r\n");
    }
    buf_puts(out, "\r\n");
    return res;
}
