/* The configuration: what a single value cannot tell, and what follows from other keys. */
#include "common/conf.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/un.h>

#include "common/conf_priv.h"

#define AT(section, key) (&l->at[CONF_ROW_##section##_##key])
#define LISTEN_AT(i, key) (&l->listen_at[i].at[CONF_LISTEN_ROW_##key])

static bool is_ip(struct sv host)
{
    unsigned char raw[16];
    char text[INET6_ADDRSTRLEN];

    return sv_copy(host, text, sizeof text) && (inet_pton(AF_INET, text, raw) == 1 || inet_pton(AF_INET6, text, raw) == 1);
}

static bool is_host_name(struct sv name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = sv_lower(name.p[i]);

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
            return false;
    }
    return name.n > 0 && name.n <= 253;
}

/* An address, IPv6 in brackets; or a name, if it may be. */
static bool is_host(struct sv host, bool names)
{
    if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') {
        host = sv_make(host.p + 1, host.n - 2);
        return is_ip(host) && sv_find(host, ':') < host.n;
    }
    if (sv_find(host, ':') < host.n)
        return false; /* bare IPv6 with a port is ambiguous */
    return is_ip(host) || (names && is_host_name(host));
}

/* HOST:PORT or [IPv6]:PORT; at_least is the least port allowed, names says whether HOST may be a name. */
static bool is_host_port(struct sv text, uint64_t at_least, bool names)
{
    uint64_t port;
    size_t colon = text.n;

    while (colon > 0 && text.p[colon - 1] != ':')
        colon--;
    if (colon == 0 || !sv_to_u64(sv_from(text, colon), &port, NULL) || port < at_least || port > 65535)
        return false;
    return is_host(sv_upto(text, colon - 1), names);
}

/* What a browser writes in Origin (RFC 6454 s.6.2): no path, and no port where it is the scheme's own. */
static bool is_web_origin(struct sv text)
{
    struct sv scheme = sv_upto(text, sv_find(text, ':')), rest = sv_from(text, scheme.n);
    struct sv own_port = sv_eq_nocase(scheme, SV("https")) ? SV(":443") : sv_eq_nocase(scheme, SV("http")) ? SV(":80") : SV(":");

    for (size_t i = 0; i < scheme.n; i++) {
        char c = sv_lower(scheme.p[i]);

        if (!(c >= 'a' && c <= 'z') && (i == 0 || !((c >= '0' && c <= '9') || strchr("+-.", c))))
            return false;
    }
    if (!scheme.n || !sv_starts(rest, SV("://")))
        return false;
    rest = sv_from(rest, 3);
    return is_host(rest, true) || (is_host_port(rest, 1, true) && !sv_eq(sv_from(rest, rest.n - own_port.n), own_port));
}

/* ADDRESS or ADDRESS:PORT */
static bool is_name_server(struct sv text)
{
    return is_ip(text) || is_host_port(text, 1, false);
}

static bool is_cidr(struct sv text)
{
    size_t slash = sv_find(text, '/');
    struct sv host = sv_upto(text, slash);
    uint64_t bits, most = sv_find(host, ':') < host.n ? 128 : 32;

    return is_ip(host) && (slash == text.n || (sv_to_u64(sv_from(text, slash + 1), &bits, NULL) && bits <= most));
}

/* Each word must be one of words, a NULL-terminated list. */
static void check_words(struct conf_loader *l, const struct conf_origin *o, const char *key, const struct conf_list *list,
                        const char *const *words)
{
    struct buf allowed = BUF_INIT;

    for (size_t i = 0; words[i]; i++)
        buf_printf(&allowed, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
    for (size_t i = 0; i < list->n; i++) {
        bool known = false;

        for (size_t w = 0; !known && words[w]; w++)
            known = strcmp(list->v[i], words[w]) == 0;
        if (!known)
            conf_fault(l, o, "%s: %s is not one of %s", key, list->v[i], allowed.p ? allowed.p : "");
    }
    buf_fini(&allowed);
}

static void check_order(struct conf_loader *l, const struct conf_origin *small_at, const char *small, int64_t small_value,
                        const struct conf_origin *large_at, const char *large, int64_t large_value)
{
    if (small_value > large_value)
        conf_fault(l, conf_was_given(small_at) ? small_at : large_at, "%s (%" PRId64 ") is above %s (%" PRId64 ")", small,
                   small_value, large, large_value);
}

static void check_server(struct conf_loader *l)
{
    const struct conf *c = l->conf;

    if (!*c->server.database)
        conf_fault(l, AT(server, database), "server.database must not be empty");
    if (!*c->server.control)
        conf_fault(l, AT(server, control), "server.control must not be empty");
    if (strlen(c->server.control) >= sizeof((struct sockaddr_un *)0)->sun_path)
        conf_fault(l, AT(server, control), "server.control: a socket's path has at most %zu bytes",
                   sizeof((struct sockaddr_un *)0)->sun_path - 1);
}

static bool list_drop(struct conf_list *list, const char *word)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->v[i], word) == 0) {
            free(list->v[i]);
            memmove(&list->v[i], &list->v[i + 1], (list->n - i - 1) * sizeof *list->v);
            list->n--;
            return true;
        }
    return false;
}

/* Port 0: the system picks one, so the same text is not the same place. */
static bool is_any_port(const char *address)
{
    size_t n = strlen(address);

    return n > 2 && strcmp(address + n - 2, ":0") == 0;
}

static void check_listen(struct conf_loader *l, size_t at)
{
    static const char *const transports[] = { "udp", "tcp", "tls", "ws", "wss", NULL };
    static const char *const protocols[] = { "sip", "msrp", NULL };
    struct conf_listen *here = &l->conf->listen[at];
    const struct conf_origin *section = &l->listen_at[at].section;
    const struct conf_origin *address_at = conf_was_given(LISTEN_AT(at, address)) ? LISTEN_AT(at, address) : section;

    if (!here->address.n)
        conf_fault(l, address_at, "listen.%s.address must not be empty", here->name);
    if (*here->advertise && !is_host(sv_of(here->advertise), true))
        conf_fault(l, LISTEN_AT(at, advertise), "listen.%s.advertise: %s is not a name, an IP address or [IPv6]", here->name, here->advertise);
    for (size_t i = 0; i < here->address.n; i++) {
        const char *text = here->address.v[i];

        if (!is_host_port(sv_of(text), 0, false))
            conf_fault(l, address_at, "listen.%s.address: %s is not IP-ADDRESS:PORT or [IPv6]:PORT", here->name, text);
        for (size_t before = 0; before < at; before++)
            if (!is_any_port(text) && conf_list_has(&l->conf->listen[before].address, text))
                conf_fault(l, address_at, "listen.%s.address: %s is an address of [listen.%s] too", here->name, text,
                           l->conf->listen[before].name);
    }
    check_words(l, LISTEN_AT(at, transports), "transports", &here->transports, transports);
    if (!here->transports.n)
        conf_fault(l, LISTEN_AT(at, transports), "listen.%s.transports must not be empty", here->name);
    check_words(l, LISTEN_AT(at, protocols), "protocols", &here->protocols, protocols);
    if (!here->protocols.n)
        conf_fault(l, LISTEN_AT(at, protocols), "listen.%s.protocols must not be empty", here->name);

    if (*l->conf->tls.certificate || *l->conf->tls.private_key)
        return;
    if (!conf_was_given(LISTEN_AT(at, transports))) {
        list_drop(&here->transports, "tls");
        list_drop(&here->transports, "wss");
    } else if (conf_list_has(&here->transports, "tls") || conf_list_has(&here->transports, "wss")) {
        conf_fault(l, LISTEN_AT(at, transports), "transports: tls and wss need tls.certificate and tls.private_key");
    }
}

static void check_tls(struct conf_loader *l)
{
    const struct conf *c = l->conf;

    if (*c->tls.certificate && !*c->tls.private_key)
        conf_fault(l, AT(tls, certificate), "tls.certificate needs tls.private_key");
    if (*c->tls.private_key && !*c->tls.certificate)
        conf_fault(l, AT(tls, private_key), "tls.private_key needs tls.certificate");
    if (!*c->tls.priorities)
        conf_fault(l, AT(tls, priorities), "tls.priorities must not be empty");
}

static void check_auth(struct conf_loader *l)
{
    static const char *const algorithms[] = { "SHA-256", "MD5", NULL };
    struct conf *c = l->conf;
    const struct conf_list *list = &c->auth.algorithms;

    check_words(l, AT(auth, algorithms), "algorithms", list, algorithms);
    if (!list->n)
        conf_fault(l, AT(auth, algorithms), "auth.algorithms must not be empty");
    else if (conf_list_has(list, "MD5") && strcmp(list->v[list->n - 1], "MD5") != 0)
        conf_fault(l, AT(auth, algorithms), "algorithms: MD5 must be the last");
    if (strpbrk(c->auth.realm, "\"\\"))
        conf_fault(l, AT(auth, realm), "auth.realm must not hold a quote or a backslash");
    if (!*c->auth.realm && c->sip.domains.n) {
        char *realm = sv_dup(sv_of(c->sip.domains.v[0]));

        if (!realm) {
            l->no_memory = true;
            return;
        }
        free(c->auth.realm);
        c->auth.realm = realm;
    }
}

static bool is_token(struct sv s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] == 0x7f || strchr("()<>@,;:\\\"/[]?={}*", s.p[i]))
            return false;
    return s.n > 0;
}

/* type/subtype, type/ * or *; parameters are not compared, so they cannot be given. */
static bool is_media_range(struct sv text)
{
    size_t slash = sv_find(text, '/');
    struct sv subtype = sv_from(text, slash + 1);

    if (sv_eq(text, SV("*")))
        return true;
    return slash < text.n && is_token(sv_upto(text, slash)) && (sv_eq(subtype, SV("*")) || is_token(subtype));
}

static bool is_method(struct sv text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] < 'A' || text.p[i] > 'Z')
            return sv_eq(text, SV("*"));
    return text.n > 0;
}

static void check_msrp_policy(struct conf_loader *l)
{
    const struct conf *c = l->conf;

    if (!c->msrp.accept_types.n)
        conf_fault(l, AT(msrp, accept_types), "msrp.accept_types must not be empty; * means all");
    for (size_t i = 0; i < c->msrp.accept_types.n; i++)
        if (!is_media_range(sv_of(c->msrp.accept_types.v[i])))
            conf_fault(l, AT(msrp, accept_types), "accept_types: %s is not type/subtype, type/* or *",
                       c->msrp.accept_types.v[i]);
    for (size_t i = 0; i < c->msrp.methods.n; i++)
        if (!is_method(sv_of(c->msrp.methods.v[i])))
            conf_fault(l, AT(msrp, methods), "methods: %s is neither a method in capital letters nor *",
                       c->msrp.methods.v[i]);
}

static void check_next_hops(struct conf_loader *l, const struct conf_origin *at, const struct conf_list *words)
{
    for (size_t i = 0; i < words->n; i++) {
        const char *word = words->v[i];

        if (strcmp(word, "public") != 0 && strcmp(word, "private") != 0 && strcmp(word, "loopback") != 0 &&
            !is_cidr(sv_of(word)))
            conf_fault(l, at, "forward_to: %s is not public, private, loopback or ADDRESS/BITS", word);
    }
}

static void check_msrp(struct conf_loader *l)
{
    struct conf *c = l->conf;
    char *addr = c->msrp.use_path_addr;
    size_t scheme = sv_starts(sv_of(addr), SV("msrp://")) ? 7 : sv_starts(sv_of(addr), SV("msrps://")) ? 8 : 0;

    memmove(addr, addr + scheme, strlen(addr + scheme) + 1);
    if ((*addr || scheme) && !is_host_port(sv_of(addr), 1, true))
        conf_fault(l, AT(msrp, use_path_addr), "use_path_addr: %s is not HOST:PORT", addr);
    check_order(l, AT(msrp, auth_min_expires), "msrp.auth_min_expires", c->msrp.auth_min_expires,
                AT(msrp, auth_max_expires), "msrp.auth_max_expires", c->msrp.auth_max_expires);
    check_order(l, AT(msrp, max_header), "msrp.max_header", c->msrp.max_header, AT(msrp, buffer), "msrp.buffer",
                c->msrp.buffer);
    check_next_hops(l, AT(msrp, forward_to), &c->msrp.forward_to);
    for (size_t i = 0; i < c->msrp.forward_ports.n; i++) {
        uint64_t from, to;

        if (!conf_port_range(sv_of(c->msrp.forward_ports.v[i]), &from, &to))
            conf_fault(l, AT(msrp, forward_ports), "forward_ports: %s is not PORT or PORT-PORT", c->msrp.forward_ports.v[i]);
    }
}

static void check_sip(struct conf_loader *l)
{
    static const char *const challenged[] = { "register", "request", NULL };
    const struct conf *c = l->conf;

    for (size_t i = 0; i < c->sip.domains.n; i++) {
        struct sv name = sv_of(c->sip.domains.v[i]);

        if (name.n > 2 && name.p[0] == '[' && name.p[name.n - 1] == ']')
            name = sv_make(name.p + 1, name.n - 2);
        if (!is_host_name(name) && !is_ip(name))
            conf_fault(l, AT(sip, domains), "domains: %s is not a domain name or an address", c->sip.domains.v[i]);
    }
    for (size_t i = 0; i < c->sip.trusted.n; i++)
        if (!is_cidr(sv_of(c->sip.trusted.v[i])))
            conf_fault(l, AT(sip, trusted), "trusted: %s is not ADDRESS or ADDRESS/BITS", c->sip.trusted.v[i]);
    check_next_hops(l, AT(sip, forward_to), &c->sip.forward_to);
    for (size_t i = 0; i < c->sip.edge_for.n; i++) {
        if (!is_host_name(sv_of(c->sip.edge_for.v[i])) && !is_ip(sv_of(c->sip.edge_for.v[i])))
            conf_fault(l, AT(sip, edge_for), "edge_for: %s is not a domain name or an address", c->sip.edge_for.v[i]);
        if (conf_list_has(&c->sip.domains, c->sip.edge_for.v[i]))
            conf_fault(l, AT(sip, edge_for), "edge_for: %s is one of sip.domains", c->sip.edge_for.v[i]);
    }
    check_words(l, AT(sip, authenticate), "authenticate", &c->sip.authenticate, challenged);
    check_order(l, AT(sip, min_expires), "sip.min_expires", c->sip.min_expires, AT(sip, default_expires),
                "sip.default_expires", c->sip.default_expires);
    check_order(l, AT(sip, default_expires), "sip.default_expires", c->sip.default_expires, AT(sip, max_expires),
                "sip.max_expires", c->sip.max_expires);
}

static void check_websocket(struct conf_loader *l)
{
    const struct conf_list *origins = &l->conf->websocket.origins;

    for (size_t i = 0; i < origins->n; i++)
        if (!is_web_origin(sv_of(origins->v[i])))
            conf_fault(l, AT(websocket, origins), "origins: %s is not SCHEME://HOST or SCHEME://HOST:PORT as browsers write it, "
                       "without a path and without the scheme's own port", origins->v[i]);
}

static void check_script(struct conf_loader *l)
{
    const struct conf *c = l->conf;

    if (*c->script.file)
        return;
    if (*c->msrp.event_callback)
        conf_fault(l, AT(msrp, event_callback), "event_callback names the function %s, but there is no script.file", c->msrp.event_callback);
    if (*c->sip.event_callback)
        conf_fault(l, AT(sip, event_callback), "event_callback names the function %s, but there is no script.file", c->sip.event_callback);
}

static void check_places(struct conf_loader *l)
{
    const struct conf *c = l->conf;

    for (size_t i = 0; i < c->dns.servers.n; i++)
        if (!is_name_server(sv_of(c->dns.servers.v[i])))
            conf_fault(l, AT(dns, servers), "servers: %s is not IP-ADDRESS or IP-ADDRESS:PORT", c->dns.servers.v[i]);
    if (*c->admin.address && !is_host_port(sv_of(c->admin.address), 0, false))
        conf_fault(l, AT(admin, address), "address: %s is not IP-ADDRESS:PORT or [IPv6]:PORT", c->admin.address);
}

void conf_check(struct conf_loader *l)
{
    check_server(l);
    for (size_t i = 0; i < l->conf->n_listen; i++)
        check_listen(l, i);
    check_tls(l);
    check_auth(l);
    check_msrp(l);
    check_msrp_policy(l);
    check_sip(l);
    check_websocket(l);
    check_script(l);
    check_places(l);
}
