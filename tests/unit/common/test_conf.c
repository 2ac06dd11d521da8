/* The configuration: what a file may say, and what is said about a bad one. */
#include "tests/unit/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/conf.h"
#include "common/conf_priv.h"
#include "common/err.h"

/* A file with this text; the caller unlinks it. */
static void write_file(char path[64], const char *text, size_t n)
{
    int fd;

    snprintf(path, 64, "/tmp/tandem-conf-XXXXXX");
    fd = mkstemp(path);
    CHECK_FATAL(fd >= 0);
    CHECK_FATAL(write(fd, text, n) == (ssize_t)n);
    close(fd);
}

/* Load the text; faults come back with FILE in place of the path. NULL when refused. */
static struct conf *load(const char *text, struct buf *faults, char *const *overrides, size_t n)
{
    struct buf raw = BUF_INIT;
    struct conf *c;
    char path[64], *at, *next;
    int err;

    write_file(path, text, strlen(text));
    err = conf_load(&c, path, overrides, n, &raw);
    unlink(path);
    CHECK(err == 0 ? c && !raw.n : err == TD_EINVAL && !c && raw.n);
    buf_clear(faults);
    buf_add(faults, "", 0);
    for (at = raw.p; at && (next = strstr(at, path)); at = next + strlen(path)) {
        buf_add(faults, at, (size_t)(next - at));
        buf_puts(faults, "FILE");
    }
    if (at)
        buf_puts(faults, at);
    buf_fini(&raw);
    return c;
}

static struct conf *load_good(const char *text)
{
    struct buf faults = BUF_INIT;
    struct conf *c = load(text, &faults, NULL, 0);

    if (!c)
        puts(faults.p);
    CHECK_FATAL(c != NULL);
    buf_fini(&faults);
    return c;
}

static void expect_faults(const char *text, const char *expected)
{
    struct buf faults = BUF_INIT;
    struct conf *c = load(text, &faults, NULL, 0);

    if (!c && strcmp(faults.p, expected) != 0)
        printf("got:\n%s", faults.p);
    CHECK(c == NULL);
    CHECK_STR(faults.p, expected);
    buf_fini(&faults);
    conf_free(&c);
}

static void expect_override_fault(const char *override, const char *expected)
{
    struct buf faults = BUF_INIT;
    struct conf *c;

    CHECK_INT(conf_load(&c, NULL, (char *[]){ (char *)override }, 1, &faults), TD_EINVAL);
    CHECK(c == NULL);
    CHECK_STR(faults.p, expected);
    buf_fini(&faults);
}

TEST(an_empty_file_gives_the_documented_defaults)
{
    struct conf *c = load_good("");

    CHECK_INT(c->server.workers, 0);
    CHECK_INT(c->server.log_level, LOG_LEVEL_INFO);
    CHECK_INT(c->server.log_to, LOG_TO_STDERR);
    CHECK_STR(c->tls.priorities, "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-MAC-ALL:+AEAD");
    CHECK_INT(c->tls.client_certificate, CLIENT_CERT_OPTIONAL);
    CHECK_INT(c->auth.algorithms.n, 2);
    CHECK_STR(c->auth.realm, "");
    CHECK(c->msrp.sipmsg && c->msrp.require_tls); /* K-PAR-01 */
    CHECK_INT(c->msrp.cmap_size, 8);              /* K-PAR-02 */
    CHECK_INT(c->msrp.timer_interval, 60);        /* K-PAR-03 */
    CHECK_INT(c->msrp.auth_min_expires, 60);
    CHECK_INT(c->msrp.auth_max_expires, 3600);
    CHECK_INT(c->msrp.endpoint_tls, ENDPOINT_TLS_OPPORTUNISTIC);
    CHECK_INT(c->msrp.max_header, 16384);
    CHECK_INT(c->msrp.buffer, 1048576);
    CHECK(conf_list_has(&c->msrp.forward_to, "public"));
    CHECK_INT(c->sip.max_expires, 86400);
    CHECK(conf_list_has(&c->sip.authenticate, "register") && conf_list_has(&c->sip.authenticate, "request"));
    CHECK(c->accounting.enabled);
    CHECK_STR(c->admin.address, "");
    CHECK_INT(c->n_listen, 1);
    CHECK_STR(c->listen[0].name, "main");
    CHECK_STR(c->listen[0].address.v[0], "0.0.0.0:5060");
    CHECK_STR(c->listen[0].address.v[1], "[::]:5060");
    conf_free(&c);
    CHECK(c == NULL);
}

TEST(no_file_at_all_gives_defaults_with_overrides)
{
    struct buf faults = BUF_INIT;
    struct conf *c;
    char *overrides[] = { (char *)"server.workers=3", (char *)"server.workers=4", (char *)"listen.main.address=127.0.0.1:0" };

    CHECK_INT(conf_load(&c, NULL, overrides, 3, &faults), 0);
    CHECK_INT(c->server.workers, 4);
    CHECK_INT(c->n_listen, 1);
    CHECK_STR(c->listen[0].address.v[0], "127.0.0.1:0");
    CHECK_INT(c->listen[0].protocols.n, 2);
    conf_free(&c);
    buf_fini(&faults);
}

TEST(comments_blanks_and_line_ends_are_taken_away)
{
    struct conf *c = load_good("\xef\xbb\xbf; first\r\n# second\r\n[server] ; third\r\n   user\t=  tandem \t ; fourth\r\n"
                               "\tdatabase = /a#b;c # fifth\r\n\r\n[sip]\ndomains =\ta.example   b.example ; x # y\n"
                               "[msrp]\n  event_callback =\n  buffer=64k #");

    CHECK_STR(c->server.user, "tandem");
    CHECK_STR(c->server.database, "/a#b;c");
    CHECK_INT(c->sip.domains.n, 2);
    CHECK_STR(c->sip.domains.v[1], "b.example");
    CHECK_STR(c->msrp.event_callback, "");
    CHECK_INT(c->msrp.buffer, 65536);
    conf_free(&c);
}

TEST(sizes_numbers_and_booleans_read_as_written)
{
    struct conf *c = load_good("[msrp]\nmax_header = 17k\nbuffer = 1G\nsipmsg = off\nrequire_tls = FALSE\n"
                               "[sip]\nrecord_route = 0\n[accounting]\nenabled = on\n[server]\nworkers = 128\n");

    CHECK_INT(c->msrp.max_header, 17 * 1024);
    CHECK_INT(c->msrp.buffer, 1073741824);
    CHECK(!c->msrp.sipmsg && !c->msrp.require_tls && !c->sip.record_route && c->accounting.enabled);
    CHECK_INT(c->server.workers, 128);
    conf_free(&c);
}

TEST(every_fault_is_told_with_its_line)
{
    expect_faults("[server]\n"
                  "workers = 129\n"
                  "workerss = 1\n"
                  "log_level = loud\n"
                  "[nonsense]\n"
                  "a = b\n"
                  "[sipp]\n"
                  "[msrp\n"
                  "[msrp]\n"
                  "require_tls = maybe\n"
                  "max_header = 1023\n"
                  "buffer = 2G\n"
                  "buffer = 99999999999999999999k\n"
                  "nothing here\n"
                  "= 5\n"
                  "response_timeout = 10s\n"
                  "domains = example.org\n"
                  "[listen]\n"
                  "[listen.a b]\n",
                  "FILE:2: workers = 129: must be a number from 0 to 128\n"
                  "FILE:3: unknown key workerss in [server]: did you mean workers?\n"
                  "FILE:4: log_level = loud: must be error, warning, notice, info or debug\n"
                  "FILE:5: unknown section [nonsense]\n"
                  "FILE:7: unknown section [sipp]: did you mean [sip]?\n"
                  "FILE:8: a section line must end with ]\n"
                  "FILE:10: require_tls = maybe: must be yes or no\n"
                  "FILE:11: max_header = 1023: must be a size from 1k to 32k\n"
                  "FILE:12: buffer = 2G: must be a size from 16k to 1G\n"
                  "FILE:13: buffer was given before, on line 12\n"
                  "FILE:14: neither [section] nor key = value: nothing here\n"
                  "FILE:15: neither [section] nor key = value: = 5\n"
                  "FILE:16: response_timeout = 10s: must be a number from 1 to 300 (seconds)\n"
                  "FILE:17: unknown key domains in [msrp]: it belongs in [sip]\n"
                  "FILE:18: [listen] needs a name, such as [listen.main]\n"
                  "FILE:19: [listen.NAME]: a name has 1 to 31 letters, digits, - or _\n");
}

TEST(a_key_before_the_first_section_is_a_fault)
{
    expect_faults("workers = 1\n", "FILE:1: a key before the first [section]: workers = 1\n");
}

TEST(the_guides_misspelt_parameters_get_the_right_name_suggested) /* K-PAR-03 */
{
    expect_faults("[msrp]\nauth_min_expiresl = 60\nauth_max_expiresl = 3600\n",
                  "FILE:2: unknown key auth_min_expiresl in [msrp]: did you mean auth_min_expires?\n"
                  "FILE:3: unknown key auth_max_expiresl in [msrp]: did you mean auth_max_expires?\n");
}

TEST(a_scheme_before_use_path_addr_is_dropped) /* K-PAR-04 */
{
    struct conf *c = load_good("[msrp]\nuse_path_addr = msrps://relay.example.org:2855\n");

    CHECK_STR(c->msrp.use_path_addr, "relay.example.org:2855");
    conf_free(&c);
    c = load_good("[msrp]\nuse_path_addr = msrp://[2001:db8::1]:2855\n");
    CHECK_STR(c->msrp.use_path_addr, "[2001:db8::1]:2855");
    conf_free(&c);
    expect_faults("[msrp]\nuse_path_addr = relay.example.org\n",
                  "FILE:2: use_path_addr: relay.example.org is not HOST:PORT\n");
    expect_faults("[msrp]\nuse_path_addr = msrps://relay.example.org:2855;tcp\n",
                  "FILE:2: use_path_addr: relay.example.org:2855;tcp is not HOST:PORT\n");
    expect_faults("[msrp]\nuse_path_addr = msrp://\n", "FILE:2: use_path_addr:  is not HOST:PORT\n");
    expect_faults("[msrp]\nuse_path_addr = msrps://relay.example.org:0\n", "FILE:2: use_path_addr: relay.example.org:0 is not HOST:PORT\n");
    expect_faults("[msrp]\nuse_path_addr = relay.example.org:65536\n", "FILE:2: use_path_addr: relay.example.org:65536 is not HOST:PORT\n");
    expect_faults("[msrp]\nuse_path_addr = :2855\n", "FILE:2: use_path_addr: :2855 is not HOST:PORT\n");
    expect_faults("[msrp]\nuse_path_addr = msrpx://relay.example.org:2855\n",
                  "FILE:2: use_path_addr: msrpx://relay.example.org:2855 is not HOST:PORT\n");
    c = load_good("[msrp]\nuse_path_addr = relay.example.org:65535\n");
    CHECK_STR(c->msrp.use_path_addr, "relay.example.org:65535");
    conf_free(&c);
}

/* Line and value limits come from the inih in use. */
TEST(a_line_at_the_limit_is_read_and_one_past_it_is_a_fault)
{
    const size_t line_max = conf_value_max + 32;
    struct buf text = BUF_INIT, expected = BUF_INIT;
    struct conf *c;

    buf_puts(&text, "[server]\nuser = ");
    for (size_t i = 0; i < conf_value_max; i++)
        buf_putc(&text, 'u');
    buf_puts(&text, "         ; behind it anything may stand: ");
    for (int i = 0; i < 5000; i++)
        buf_putc(&text, '-');
    c = load_good(text.p);
    CHECK_INT(strlen(c->server.user), conf_value_max);
    conf_free(&c);

    buf_clear(&text);
    buf_puts(&text, "[server]\n\nuser = ");
    for (size_t i = 0; i < conf_value_max + 1; i++)
        buf_putc(&text, 'u');
    buf_printf(&expected, "FILE:3: user = uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu...: is longer "
                          "than %zu bytes\n", conf_value_max);
    expect_faults(text.p, expected.p);

    buf_clear(&text);
    buf_clear(&expected);
    buf_puts(&text, "[server]\n\nuser = ");
    for (size_t i = strlen("user = "); i < line_max + 1; i++)
        buf_putc(&text, 'u');
    buf_puts(&text, "\nworkers = x\n");
    buf_printf(&expected, "FILE:3: a line longer than %zu bytes\n"
                          "FILE:4: workers = x: must be a number from 0 to 128\n", line_max);
    expect_faults(text.p, expected.p);
    buf_fini(&text);
    buf_fini(&expected);
}

TEST(control_characters_and_nul_are_faults)
{
    struct buf faults = BUF_INIT;
    struct conf *c;
    char path[64];

    write_file(path, "[server]\nuser = a\0b\nlog_to = \x1b[m\n", 31);
    CHECK_INT(conf_load(&c, path, NULL, 0, &faults), TD_EINVAL);
    unlink(path);
    CHECK(strstr(faults.p, ":2: a control character\n") != NULL);
    CHECK(strstr(faults.p, ":3: a control character\n") != NULL);
    buf_fini(&faults);
}

TEST(a_file_that_cannot_be_read_is_a_fault_with_its_reason)
{
    struct buf faults = BUF_INIT;
    struct conf *c;

    CHECK_INT(conf_load(&c, "/nonexistent/tandem.ini", NULL, 0, &faults), TD_EINVAL);
    CHECK_STR(faults.p, "/nonexistent/tandem.ini: cannot open: No such file or directory\n");
    buf_clear(&faults);
    CHECK_INT(conf_load(&c, "/", NULL, 0, &faults), TD_EINVAL);
    CHECK_STR(faults.p, "/: cannot read: Is a directory\n");
    buf_clear(&faults);
    CHECK_INT(conf_load(&c, "/dev/zero", NULL, 0, &faults), TD_EINVAL);
    CHECK_STR(faults.p, "/dev/zero: larger than 1048576 bytes\n");
    buf_fini(&faults);
}

TEST(a_file_full_of_faults_is_reported_within_bounds)
{
    struct buf text = BUF_INIT, faults = BUF_INIT;
    struct conf *c;

    for (int i = 0; i < 20000; i++)
        buf_puts(&text, "nonsense\n");
    c = load(text.p, &faults, NULL, 0);
    CHECK(c == NULL);
    CHECK(faults.n < 100000);
    CHECK(strstr(faults.p, "FILE: more faults than are shown\n") != NULL);
    buf_fini(&text);
    buf_fini(&faults);
}

TEST(overrides_win_over_the_file_and_name_themselves_in_faults)
{
    struct buf faults = BUF_INIT;
    char *good[] = { (char *)"server.log_level=debug", (char *)"listen.main.address = 127.0.0.1:5070",
                     (char *)"msrp.forward_to=", (char *)"script.file=a=b" };
    struct conf *c = load("[server]\nlog_level = error\n[listen.main]\nprotocols = msrp\n", &faults, good, 4);

    CHECK_FATAL(c != NULL);
    CHECK_INT(c->server.log_level, LOG_LEVEL_DEBUG);
    CHECK_INT(c->listen[0].address.n, 1);
    CHECK_INT(c->listen[0].protocols.n, 1);
    CHECK_INT(c->msrp.forward_to.n, 0);
    CHECK_STR(c->script.file, "a=b");
    conf_free(&c);
    buf_fini(&faults);

    expect_override_fault("server.workers=many", "-o server.workers: workers = many: must be a number from 0 to 128\n");
    expect_override_fault("server.worker=1", "-o server.worker: unknown key worker in [server]: did you mean workers?\n");
    expect_override_fault("workers=1", "-o workers: must be SECTION.KEY=VALUE\n");
    expect_override_fault("server.workers", "-o server.workers: must be SECTION.KEY=VALUE\n");
    expect_override_fault("server.=1", "-o server.: must be SECTION.KEY=VALUE\n");
    expect_override_fault("server.user=a\nb", "-o server.user: a control character\n");
    expect_override_fault("server.user=a ;b",
                          "-o server.user: user = a ;b: holds a word that begins like a comment, with ; or #\n");
}

TEST(callback_needs_a_script)
{
    struct conf *c = load_good("[script]\nfile = /x.lua\n[msrp]\nevent_callback = f\n[sip]\nevent_callback = g\n");

    conf_free(&c);
    expect_faults("[msrp]\nevent_callback = f\n[sip]\nevent_callback = g\n",
                  "FILE:2: event_callback names the function f, but there is no script.file\n"
                  "FILE:4: event_callback names the function g, but there is no script.file\n");
}

TEST(tls_transports_need_a_certificate_only_when_asked_for)
{
    struct conf *c = load_good("");

    CHECK_INT(c->listen[0].transports.n, 3);
    CHECK(!conf_list_has(&c->listen[0].transports, "tls") && !conf_list_has(&c->listen[0].transports, "wss"));
    conf_free(&c);
    c = load_good("[tls]\ncertificate = /c\nprivate_key = /k\n");
    CHECK_INT(c->listen[0].transports.n, 5);
    conf_free(&c);
    expect_faults("[listen.a]\ntransports = tcp tls\n",
                  "FILE:2: transports: tls and wss need tls.certificate and tls.private_key\n");
    expect_faults("[tls]\ncertificate = /c\n", "FILE:2: tls.certificate needs tls.private_key\n");
    expect_faults("[tls]\nprivate_key = /k\n", "FILE:2: tls.private_key needs tls.certificate\n");
}

TEST(the_realm_follows_the_first_domain)
{
    struct conf *c = load_good("[sip]\ndomains = example.org example.net 192.0.2.1 [2001:db8::1]\n");

    CHECK_STR(c->auth.realm, "example.org");
    conf_free(&c);
    c = load_good("[sip]\ndomains = example.org\n[auth]\nrealm = all of us\n");
    CHECK_STR(c->auth.realm, "all of us");
    conf_free(&c);
    expect_faults("[auth]\nrealm = a\"b\n", "FILE:2: auth.realm must not hold a quote or a backslash\n");
    expect_faults("[sip]\ndomains = sip:example.org\n",
                  "FILE:2: domains: sip:example.org is not a domain name or an address\n");
}

TEST(md5_goes_last_and_algorithms_are_known)
{
    struct conf *c = load_good("[auth]\nalgorithms = MD5\n");

    CHECK_INT(c->auth.algorithms.n, 1);
    conf_free(&c);
    expect_faults("[auth]\nalgorithms = MD5 SHA-256\n", "FILE:2: algorithms: MD5 must be the last\n");
    expect_faults("[auth]\nalgorithms = SHA-512\n", "FILE:2: algorithms: SHA-512 is not one of SHA-256 or MD5\n");
    expect_faults("[auth]\nalgorithms =\n", "FILE:2: auth.algorithms must not be empty\n");
    expect_faults("[auth]\nalgorithms = MD5 MD5\n", "FILE:2: algorithms = MD5 MD5: names MD5 twice\n");
}

TEST(least_and_most_must_be_in_order)
{
    expect_faults("[msrp]\nauth_min_expires = 7200\n",
                  "FILE:2: msrp.auth_min_expires (7200) is above msrp.auth_max_expires (3600)\n");
    expect_faults("[sip]\ndefault_expires = 30\n", "FILE:2: sip.min_expires (60) is above sip.default_expires (30)\n");
    expect_faults("[sip]\nmax_expires = 3599\n", "FILE:2: sip.default_expires (3600) is above sip.max_expires (3599)\n");
}

TEST(listen_sections_repeat_and_are_checked)
{
    struct conf *c = load_good("[listen.a]\naddress = 127.0.0.1:5060\ntransports = tcp\n"
                               "[listen.b]\naddress = [::1]:5062 127.0.0.1:0\nprotocols = msrp\n[listen.c]\naddress = 127.0.0.1:0\n");

    CHECK_INT(c->n_listen, 3);
    CHECK_STR(c->listen[1].name, "b");
    CHECK_INT(c->listen[1].address.n, 2);
    CHECK_STR(c->listen[1].protocols.v[0], "msrp");
    conf_free(&c);
    expect_faults("[listen.a]\nadvertise = sip.example.org:5060\n[listen.b]\naddress = [::1]:1\nadvertise = [2001:db8::1]\n[listen.c]\naddress = [::1]:2\nadvertise = 2001:db8::1\n",
                  "FILE:2: listen.a.advertise: sip.example.org:5060 is not a name, an IP address or [IPv6]\n"
                  "FILE:8: listen.c.advertise: 2001:db8::1 is not a name, an IP address or [IPv6]\n");
    expect_faults("[listen.a]\naddress = localhost:5060 ::1:5060 1.2.3.4 1.2.3.4:65536\ntransports = sctp\nprotocols = http\n",
                  "FILE:2: listen.a.address: localhost:5060 is not IP-ADDRESS:PORT or [IPv6]:PORT\n"
                  "FILE:2: listen.a.address: ::1:5060 is not IP-ADDRESS:PORT or [IPv6]:PORT\n"
                  "FILE:2: listen.a.address: 1.2.3.4 is not IP-ADDRESS:PORT or [IPv6]:PORT\n"
                  "FILE:2: listen.a.address: 1.2.3.4:65536 is not IP-ADDRESS:PORT or [IPv6]:PORT\n"
                  "FILE:3: transports: sctp is not one of udp, tcp, tls, ws or wss\n"
                  "FILE:4: protocols: http is not one of sip or msrp\n");
    expect_faults("[listen.a]\naddress = 127.0.0.1:5060\n[listen.b]\naddress = 127.0.0.1:5060\n",
                  "FILE:4: listen.b.address: 127.0.0.1:5060 is an address of [listen.a] too\n");
}

/* M-FWD-15, M-FWD-31 */
TEST(types_and_methods_to_relay_are_checked)
{
    struct conf *c = load_good("[msrp]\nmax_message = 100M\naccept_types = text/plain image/* message/cpim\nmethods = NICKNAME\n");

    CHECK_INT(c->msrp.max_message, 100 << 20);
    CHECK_INT(c->msrp.accept_types.n, 3);
    CHECK_INT(c->msrp.methods.n, 1);
    conf_free(&c);
    expect_faults("[msrp]\naccept_types = text */plain text/pl*in /x\nmethods = nickname N1 *\n",
                  "FILE:2: accept_types: text is not type/subtype, type/* or *\n"
                  "FILE:2: accept_types: */plain is not type/subtype, type/* or *\n"
                  "FILE:2: accept_types: text/pl*in is not type/subtype, type/* or *\n"
                  "FILE:2: accept_types: /x is not type/subtype, type/* or *\n"
                  "FILE:3: methods: nickname is neither a method in capital letters nor *\n"
                  "FILE:3: methods: N1 is neither a method in capital letters nor *\n");
    expect_faults("[msrp]\naccept_types =\n", "FILE:2: msrp.accept_types must not be empty; * means all\n");
}

TEST(origins_are_as_browsers_write_them) /* S-WS-09 */
{
    struct conf *c = load_good("[websocket]\norigins = https://app.example http://localhost:3000 https://[2001:db8::1]:8443 capacitor://localhost "
                               "chrome-extension://abcdef https://192.0.2.1 http://a.example:443\n");

    CHECK_INT(c->websocket.origins.n, 7);
    conf_free(&c);
    static const char *const bad[] = { "app.example", "https://", "https://a.example/", "https://a.example:443", "http://a.example:80", "https://*.example",
                                       "null", "https:/a.example", "https://a.example:0", "https://a.example:", "https://2001:db8::1", "https://u@a.example",
                                       "://a.example", "3d://a.example", "https://[2001:db8::1]:443" };

    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++) {
        char text[100], said[250];

        snprintf(text, sizeof text, "[websocket]\norigins = https://good.example %s\n", bad[i]);
        snprintf(said, sizeof said, "FILE:2: origins: %s is not SCHEME://HOST or SCHEME://HOST:PORT as browsers write it, "
                 "without a path and without the scheme's own port\n", bad[i]);
        expect_faults(text, said);
    }
}


/* A word for whole kinds of addresses would let everybody in. */
TEST(trusted_sources_are_addresses_and_domains_of_others_are_not_ours)
{
    struct conf *c = load_good("[sip]\ndomains = a.example\ntrusted = 192.0.2.1 2001:db8::/32\nedge_for = b.example 192.0.2.9\n");

    CHECK_INT(c->sip.trusted.n, 2);
    CHECK_INT(c->sip.edge_for.n, 2);
    conf_free(&c);
    expect_faults("[sip]\ndomains = a.example\ntrusted = public loopback 10.0.0.0/33 host.example\nedge_for = a.example b_example/\n",
                  "FILE:3: trusted: public is not ADDRESS or ADDRESS/BITS\n"
                  "FILE:3: trusted: loopback is not ADDRESS or ADDRESS/BITS\n"
                  "FILE:3: trusted: 10.0.0.0/33 is not ADDRESS or ADDRESS/BITS\n"
                  "FILE:3: trusted: host.example is not ADDRESS or ADDRESS/BITS\n"
                  "FILE:4: edge_for: a.example is one of sip.domains\n"
                  "FILE:4: edge_for: b_example/ is not a domain name or an address\n");
}

/* M-SEC-02 */
TEST(ports_to_forward_to_are_numbers_and_ranges)
{
    struct conf *c = load_good("[msrp]\nforward_ports = 443 2855-2857 65535\n");

    for (unsigned port = 0; port <= UINT16_MAX; port++)
        CHECK_INT(conf_list_has_port(&c->msrp.forward_ports, (uint16_t)port),
                  port == 443 || (port >= 2855 && port <= 2857) || port == 65535);
    conf_free(&c);
    c = load_good("");
    CHECK(!conf_list_has_port(&c->msrp.forward_ports, 0) && conf_list_has_port(&c->msrp.forward_ports, 1) &&
          conf_list_has_port(&c->msrp.forward_ports, 65535));
    conf_free(&c);
    expect_faults("[msrp]\nforward_ports = 0 65536 5-4 1- -1 x 1-2-3 443\n", "FILE:2: forward_ports: 0 is not PORT or PORT-PORT\n"
                                                                    "FILE:2: forward_ports: 65536 is not PORT or PORT-PORT\n"
                                                                    "FILE:2: forward_ports: 5-4 is not PORT or PORT-PORT\n"
                                                                    "FILE:2: forward_ports: 1- is not PORT or PORT-PORT\n"
                                                                    "FILE:2: forward_ports: -1 is not PORT or PORT-PORT\n"
                                                                    "FILE:2: forward_ports: x is not PORT or PORT-PORT\n"
                                                                    "FILE:2: forward_ports: 1-2-3 is not PORT or PORT-PORT\n");
}

TEST(places_to_forward_to_and_to_ask_are_checked)
{
    struct conf *c = load_good("[msrp]\nforward_to = public loopback 10.0.0.0/8 2001:db8::/32 192.0.2.1\n"
                               "[sip]\nforward_to = private 192.0.2.0/24\n[dns]\nservers = 127.0.0.1 127.0.0.1:53 ::1 [::1]:53\n[admin]\naddress = 127.0.0.1:8060\n");

    CHECK_INT(c->msrp.forward_to.n, 5);
    CHECK_INT(c->sip.forward_to.n, 2);
    CHECK_INT(c->dns.servers.n, 4);
    conf_free(&c);
    expect_faults("[sip]\nforward_to = public lan\n", "FILE:2: forward_to: lan is not public, private, loopback or ADDRESS/BITS\n");
    expect_faults("[msrp]\nforward_to = everywhere 10.0.0.0/33 2001:db8::/129\n[dns]\nservers = ns.example\n[admin]\naddress = 8060\n",
                  "FILE:2: forward_to: everywhere is not public, private, loopback or ADDRESS/BITS\n"
                  "FILE:2: forward_to: 10.0.0.0/33 is not public, private, loopback or ADDRESS/BITS\n"
                  "FILE:2: forward_to: 2001:db8::/129 is not public, private, loopback or ADDRESS/BITS\n"
                  "FILE:4: servers: ns.example is not IP-ADDRESS or IP-ADDRESS:PORT\n"
                  "FILE:6: address: 8060 is not IP-ADDRESS:PORT or [IPv6]:PORT\n");
}

TEST(a_control_socket_path_must_fit_its_address)
{
    struct buf text = BUF_INIT;

    buf_puts(&text, "[server]\ncontrol = ");
    for (int i = 0; i < 108; i++)
        buf_putc(&text, '/');
    expect_faults(text.p, "FILE:2: server.control: a socket's path has at most 107 bytes\n");
    buf_fini(&text);
}

TEST(keys_print_as_an_operator_would_write_them)
{
    struct conf *c = load_good("[msrp]\nbuffer = 2048k\nmax_header = 1025\nsipmsg = true\n[sip]\ndomains =  a.example \t b.example\n");
    static const struct { const char *section, *key, *text; } rows[] = {
        { "msrp", "buffer", "2M" },         { "msrp", "max_header", "1025" },          { "msrp", "sipmsg", "yes" },
        { "server", "log_to", "stderr" },   { "sip", "domains", "a.example b.example" }, { "script", "file", "" },
        { "listen.main", "protocols", "sip msrp" }, { "auth", "nonce_lifetime", "900" }, { "msrp", "endpoint_tls", "opportunistic" },
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        char *text = conf_get_text(c, rows[i].section, rows[i].key);

        CHECK_FATAL(text != NULL);
        CHECK_STR(text, rows[i].text);
        free(text);
    }
    CHECK(conf_get_text(c, "msrp", "no_such_key") == NULL);
    CHECK(conf_get_text(c, "listen", "address") == NULL);
    CHECK(conf_get_text(c, "listen.other", "address") == NULL);
    conf_free(&c);
}

TEST(what_is_dumped_is_read_back_the_same)
{
    static const char *const texts[] = {
        "",
        "[server]\nuser = a b  c;d#e\nworkers = 7\nlog_level = debug\nlog_to = journal\n[tls]\ncertificate = /c\nprivate_key = /k\n"
        "client_certificate = required\n[msrp]\nbuffer = 1M\nmax_header = 1025\nsipmsg = no\nuse_path_addr = msrps://h.example:1\n"
        "forward_to = \n[sip]\ndomains = x.example y.example\n[listen.one]\naddress = 127.0.0.1:1\n[listen.two]\naddress = [::1]:2\n"
        "transports = tls\nprotocols = msrp\n",
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(texts); i++) {
        struct conf *c = load_good(texts[i]), *again;
        struct buf first = BUF_INIT, second = BUF_INIT, live = BUF_INIT, restart = BUF_INIT;

        conf_dump(c, &first);
        again = load_good(first.p);
        conf_dump(again, &second);
        CHECK_STR(second.p, first.p);
        CHECK(!conf_diff(c, again, &live, &restart));
        CHECK_INT(live.n + restart.n, 0);
        buf_fini(&first);
        buf_fini(&second);
        conf_free(&c);
        conf_free(&again);
    }
}

TEST(changed_keys_are_told_apart_by_what_puts_them_in_force)
{
    struct conf *a = load_good("[listen.one]\naddress = 127.0.0.1:1\n[listen.two]\naddress = 127.0.0.1:2\n");
    struct conf *b = load_good("[server]\nlog_level = debug\nworkers = 2\n[limits]\nban_time = 5\n[sip]\ndomains = d.example\n"
                               "[listen.two]\naddress = 127.0.0.1:3\n[listen.three]\naddress = 127.0.0.1:1\n");
    struct buf live = BUF_INIT, restart = BUF_INIT;

    CHECK(conf_diff(a, b, &live, &restart));
    CHECK_STR(live.p, "server.log_level auth.realm limits.ban_time");
    CHECK_STR(restart.p, "server.workers sip.domains listen.two.address listen.three listen.one");
    buf_fini(&live);
    buf_fini(&restart);
    conf_free(&a);
    conf_free(&b);
}

/* etc/tandem.ini, read whole. */
static void read_example(struct buf *text, char path[512])
{
    const char *top = getenv("srcdir");
    char chunk[4096];
    size_t n;
    FILE *f;

    snprintf(path, 512, "%s/etc/tandem.ini", top ? top : "..");
    f = fopen(path, "r");
    CHECK_FATAL(f != NULL);
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        buf_add(text, chunk, n);
    fclose(f);
}

TEST(the_example_loads_and_shows_every_key_with_its_default)
{
    struct buf text = BUF_INIT, shown = BUF_INIT, faults = BUF_INIT, live = BUF_INIT, restart = BUF_INIT;
    struct conf *as_shipped, *uncommented, *defaults;
    char path[512], *was, *now;

    read_example(&text, path);
    CHECK_INT(conf_load(&as_shipped, path, NULL, 0, &faults), 0);
    CHECK_FATAL(as_shipped != NULL);
    CHECK_INT(conf_load(&defaults, NULL, NULL, 0, &faults), 0);
    CHECK(!conf_diff(defaults, as_shipped, &live, &restart));

    /* with every ;key = value in force; tls only goes with a certificate */
    for (struct sv rest = buf_sv(&text); rest.n;) {
        size_t end = sv_find(rest, '\n');
        struct sv line = sv_upto(rest, end);

        rest = sv_from(rest, end + 1);
        if (line.n > 1 && line.p[0] == ';' && !sv_starts(line, SV(";transports")))
            line = sv_from(line, 1);
        buf_add_sv(&shown, line);
        buf_putc(&shown, '\n');
    }
    uncommented = load_good(shown.p);
    was = conf_get_text(uncommented, "server", "database");
    now = conf_get_text(uncommented, "server", "control");
    CHECK_STR(was, "/var/lib/tandem/tandem.db"); /* the two that depend on the prefix */
    CHECK_STR(now, "/run/tandem/tandem.sock");
    free(was);
    free(now);
    free(uncommented->server.database);
    free(uncommented->server.control);
    uncommented->server.database = sv_dup(sv_of(defaults->server.database));
    uncommented->server.control = sv_dup(sv_of(defaults->server.control));
    if (conf_diff(defaults, uncommented, &live, &restart))
        printf("%s %s\n", live.p ? live.p : "", restart.p ? restart.p : "");
    CHECK(live.n == 0 && restart.n == 0);

#define CONF(section, key, type, def, min, max, unit, apply, sentence) CHECK(strstr(text.p, "\n;" #key " ") != NULL);
#define CONF_LISTEN(key, type, def, min, max, unit, apply, sentence) CHECK(strstr(text.p, "\n;" #key " ") != NULL);
#include "common/conf_tbl.h"
    conf_free(&as_shipped);
    conf_free(&uncommented);
    conf_free(&defaults);
    buf_fini(&text);
    buf_fini(&shown);
    buf_fini(&faults);
    buf_fini(&live);
    buf_fini(&restart);
}

SUITE(conf_suite, TEST_ROW(the_example_loads_and_shows_every_key_with_its_default), TEST_ROW(an_empty_file_gives_the_documented_defaults), TEST_ROW(no_file_at_all_gives_defaults_with_overrides),
      TEST_ROW(comments_blanks_and_line_ends_are_taken_away), TEST_ROW(sizes_numbers_and_booleans_read_as_written),
      TEST_ROW(origins_are_as_browsers_write_them), TEST_ROW(every_fault_is_told_with_its_line), TEST_ROW(a_key_before_the_first_section_is_a_fault),
      TEST_ROW(the_guides_misspelt_parameters_get_the_right_name_suggested),
      TEST_ROW(a_scheme_before_use_path_addr_is_dropped), TEST_ROW(a_line_at_the_limit_is_read_and_one_past_it_is_a_fault),
      TEST_ROW(control_characters_and_nul_are_faults), TEST_ROW(a_file_that_cannot_be_read_is_a_fault_with_its_reason),
      TEST_ROW(a_file_full_of_faults_is_reported_within_bounds),
      TEST_ROW(overrides_win_over_the_file_and_name_themselves_in_faults),
      TEST_ROW(callback_needs_a_script), TEST_ROW(tls_transports_need_a_certificate_only_when_asked_for), TEST_ROW(the_realm_follows_the_first_domain),
      TEST_ROW(md5_goes_last_and_algorithms_are_known), TEST_ROW(least_and_most_must_be_in_order),
      TEST_ROW(listen_sections_repeat_and_are_checked), TEST_ROW(types_and_methods_to_relay_are_checked),
      TEST_ROW(trusted_sources_are_addresses_and_domains_of_others_are_not_ours), TEST_ROW(ports_to_forward_to_are_numbers_and_ranges), TEST_ROW(places_to_forward_to_and_to_ask_are_checked),
      TEST_ROW(a_control_socket_path_must_fit_its_address), TEST_ROW(keys_print_as_an_operator_would_write_them),
      TEST_ROW(what_is_dumped_is_read_back_the_same), TEST_ROW(changed_keys_are_told_apart_by_what_puts_them_in_force));
