/* Names in certificates. */
#include "net/certname.h"

#include <arpa/inet.h>

static bool is_plain(struct sv s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~')
            return false;
    return s.n > 0;
}

void certname_add(struct buf *names, char kind, struct sv name)
{
    if (!is_plain(name))
        return;
    buf_putc(names, kind);
    buf_add_sv(names, name);
    buf_putc(names, '\0');
}

void certname_add_uri(struct buf *names, struct sv uri)
{
    struct sv scheme = SV("sip:"), host;

    if (!sv_eq_nocase(sv_upto(uri, scheme.n), scheme) || sv_find(uri, '@') < uri.n)
        return;
    host = sv_from(uri, scheme.n);
    host = sv_upto(host, sv_find(host, ';'));
    host = sv_upto(host, sv_find(host, '?'));
    certname_add(names, CERTNAME_SIP, sv_upto(host, sv_find(host, ':')));
}

void certname_add_ip(struct buf *names, const char *raw, size_t n)
{
    char text[INET6_ADDRSTRLEN];

    if ((n == 4 || n == 16) && inet_ntop(n == 4 ? AF_INET : AF_INET6, raw, text, sizeof text))
        certname_add(names, CERTNAME_IP, sv_of(text));
}

bool certname_has(const char *names, char kind, struct sv host)
{
    certname_each(name, names) {
        if (*name == kind && sv_eq_nocase(sv_of(name + 1), host))
            return true;
    }
    return false;
}

bool certname_has_kind(const char *names, char kind)
{
    certname_each(name, names) {
        if (*name == kind)
            return true;
    }
    return false;
}

bool certname_has_wildcard(const char *names, struct sv host)
{
    size_t label = sv_find(host, '.');
    struct sv domain = sv_from(host, label + 1);

    if (label == 0 || sv_find(domain, '.') == domain.n)
        return false;
    certname_each(name, names) {
        if (*name == CERTNAME_DNS && sv_starts(sv_of(name + 1), SV("*.")) && sv_eq_nocase(sv_of(name + 3), domain))
            return true;
    }
    return false;
}
