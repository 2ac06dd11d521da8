/* The resolver, against a name server of our own on loopback. */
#include "net/resolve.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/err.h"
#include "tests/unit/harness.h"

enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_AAAA = 28, TYPE_SRV = 33, TYPE_NAPTR = 35, NOERROR = 0, SERVFAIL = 2, NXDOMAIN = 3, SILENT = -1 };

/* What the server knows. "many.test" is made up as 18 addresses; a name that is not here does not exist. */
static const struct zone_row {
    const char *name;
    int rcode;
    uint32_t ttl;
    const char *a, *aaaa, *cname;
} zone[] = {
    { "four.test", NOERROR, 60, "192.0.2.4", NULL, NULL },
    { "six.test", NOERROR, 60, NULL, "2001:db8::6", NULL },
    { "both.test", NOERROR, 60, "127.0.0.1", "::1", NULL },
    { "mapped.test", NOERROR, 60, NULL, "::ffff:192.0.2.9", NULL },
    { "alias.test", NOERROR, 60, NULL, NULL, "four.test" },
    { "brief.test", NOERROR, 1, "192.0.2.5", NULL, NULL },
    { "zero.test", NOERROR, 0, "192.0.2.6", NULL, NULL },
    { "none.test", NOERROR, 60, NULL, NULL, NULL },
    { "many.test", NOERROR, 60, "10.0.0.0", NULL, NULL },
    { "broken.test", SERVFAIL, 0, NULL, NULL, NULL },
    { "slow.test", SILENT, 0, NULL, NULL, NULL },
    { "_x._tcp.farm.test", NOERROR, 60, NULL, NULL, NULL },
    { "_x._tcp.fleeting.test", NOERROR, 0, NULL, NULL, NULL },
    { "_x._tcp.closed.test", NOERROR, 60, NULL, NULL, NULL },
    { "_x._tcp.many.test", NOERROR, 60, NULL, NULL, NULL },
    { "_x._tcp.none.test", NOERROR, 60, NULL, NULL, NULL },
    { "_x._tcp.broken.test", SERVFAIL, 0, NULL, NULL, NULL },
    { "pointers.test", NOERROR, 60, NULL, NULL, NULL },
    { "manypointers.test", NOERROR, 60, NULL, NULL, NULL },
};

/* "_x._tcp.many.test" is made up as 18 records, of falling priority. */
static const struct srv_row {
    const char *name;
    unsigned priority, weight, port;
    const char *target;
} services[] = {
    { "_x._tcp.farm.test", 20, 1, 2020, "last.test" },    { "_x._tcp.farm.test", 10, 60, 1060, "heavy.test" },
    { "_x._tcp.farm.test", 10, 0, 1000, "spare.test" },   { "_x._tcp.farm.test", 10, 20, 1020, "light.test" },
    { "_x._tcp.fleeting.test", 0, 0, 1, "a.test" },       { "_x._tcp.closed.test", 0, 0, 0, "" },
    { "_x._tcp.many.test", 0, 0, 1, "a.test" },
};

static struct {
    pthread_t thread;
    int fd, stop_fd;
    uint16_t port;
    unsigned questions; /* atomic: of type A or SRV, for names under "test" */
} dns;

static void put16(struct buf *b, unsigned v)
{
    buf_putc(b, (char)(v >> 8));
    buf_putc(b, (char)v);
}

static void put_name(struct buf *b, const char *name)
{
    while (*name) {
        size_t n = strcspn(name, ".");

        buf_putc(b, (char)n);
        buf_add(b, name, n);
        name += n + (name[n] == '.');
    }
    buf_putc(b, 0);
}

/* name NULL: that of the question. */
static void put_record(struct buf *b, const char *name, unsigned type, uint32_t ttl, const void *data, size_t n)
{
    if (name)
        put_name(b, name);
    else
        put16(b, 0xc00c);
    put16(b, type);
    put16(b, 1);
    put16(b, ttl >> 16);
    put16(b, ttl & 0xffff);
    put16(b, (unsigned)n);
    buf_add(b, data, n);
}

static unsigned put_answers(struct buf *b, const struct zone_row *row, const char *name, unsigned type)
{
    unsigned char raw[16];
    unsigned n = 0;

    if (type == TYPE_A && row->a && inet_pton(AF_INET, row->a, raw) == 1)
        for (unsigned i = 0; i < (strcmp(row->name, "many.test") ? 1 : 18); i++, n++, raw[3]++)
            put_record(b, name, TYPE_A, row->ttl, raw, 4);
    if (type == TYPE_AAAA && row->aaaa && inet_pton(AF_INET6, row->aaaa, raw) == 1) {
        put_record(b, name, TYPE_AAAA, row->ttl, raw, 16);
        n++;
    }
    return n;
}

static unsigned put_services(struct buf *b, const struct zone_row *row, const char *name)
{
    unsigned n = 0;

    for (size_t i = 0; i < TD_ARRAY_LEN(services); i++) {
        const struct srv_row *s = &services[i];

        for (unsigned k = strcmp(name, "_x._tcp.many.test") ? 1 : 18; k && strcmp(name, s->name) == 0; k--, n++) {
            struct buf data = BUF_INIT;

            put16(&data, s->priority + k - 1);
            put16(&data, s->weight);
            put16(&data, s->port);
            put_name(&data, s->target);
            put_record(b, NULL, TYPE_SRV, row->ttl, data.p, data.n);
            buf_fini(&data);
        }
    }
    return n;
}

static const struct naptr_row {
    unsigned order, preference;
    const char *flags, *service, *regexp, *replacement;
} pointers[] = {
    { 20, 1, "s", "SIP+D2U", "", "udp.test" },  { 10, 2, "S", "SIP+D2T", "", "tcp.test" },
    { 10, 1, "s", "SIPS+D2T", "", "tls.test" }, { 1, 1, "u", "E2U+sip", "!^.*$!sip:x@y!", "" },
    { 1, 1, "s", "SIP+D2U", "!a!b!", "x.test" }, { 1, 1, "a", "SIP+D2U", "", "x.test" },
    { 1, 1, "s", "a-service-with-a-name-that-nobody-would-ever-give-to-one", "", "x.test" },
};

static void put_text(struct buf *b, const char *s)
{
    buf_putc(b, (char)strlen(s));
    buf_puts(b, s);
}

/* "manypointers.test" is made up as 12 records of falling order. */
static unsigned put_pointers(struct buf *b, const struct zone_row *row, const char *name)
{
    bool many = strcmp(name, "manypointers.test") == 0;
    unsigned n = many ? 12 : strcmp(name, "pointers.test") == 0 ? TD_ARRAY_LEN(pointers) : 0;

    for (unsigned i = 0; i < n; i++) {
        const struct naptr_row *p = &pointers[many ? 0 : i];
        struct buf data = BUF_INIT;

        put16(&data, many ? n - i : p->order);
        put16(&data, p->preference);
        put_text(&data, p->flags);
        put_text(&data, p->service);
        put_text(&data, p->regexp);
        put_name(&data, p->replacement);
        put_record(b, NULL, TYPE_NAPTR, row->ttl, data.p, data.n);
        buf_fini(&data);
    }
    return n;
}

static const struct zone_row *find_row(const char *name)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(zone); i++)
        if (strcmp(zone[i].name, name) == 0)
            return &zone[i];
    return NULL;
}

static void answer(const unsigned char *q, size_t n, const struct sockaddr_in *from)
{
    struct buf out = BUF_INIT, records = BUF_INIT, rdata = BUF_INIT;
    char name[256] = "";
    size_t at = 12, len = 0;
    const struct zone_row *row;
    unsigned type, count = 0;

    while (at < n && q[at] && at + q[at] + 1 < n && len + q[at] + 2 < sizeof name) {
        len += (size_t)snprintf(name + len, sizeof name - len, "%s%.*s", len ? "." : "", q[at], (const char *)q + at + 1);
        at += q[at] + 1U;
    }
    if (at + 5 > n)
        return;
    type = (unsigned)q[at + 1] << 8 | q[at + 2];
    at += 5;
    if (type == TYPE_A || type == TYPE_SRV || type == TYPE_NAPTR)
        __atomic_add_fetch(&dns.questions, 1, __ATOMIC_RELAXED);
    row = find_row(name);
    if (row && row->rcode == SILENT)
        return;
    if (row && row->cname) {
        put_name(&rdata, row->cname);
        put_record(&records, name, TYPE_CNAME, row->ttl, rdata.p, rdata.n);
        count = 1 + put_answers(&records, find_row(row->cname), row->cname, type);
    } else if (row && type == TYPE_SRV) {
        count = put_services(&records, row, name);
    } else if (row && type == TYPE_NAPTR) {
        count = put_pointers(&records, row, name);
    } else if (row) {
        count = put_answers(&records, row, name, type);
    }
    buf_add(&out, q, 2);
    put16(&out, 0x8180U | (unsigned)(row ? row->rcode : NXDOMAIN));
    put16(&out, 1);
    put16(&out, count);
    put16(&out, 0);
    put16(&out, 0);
    buf_add(&out, q + 12, at - 12);
    buf_add(&out, records.p, records.n);
    sendto(dns.fd, out.p, out.n, 0, (const struct sockaddr *)from, sizeof *from);
    buf_fini(&out), buf_fini(&records), buf_fini(&rdata);
}

static void *dns_run(void *arg)
{
    struct pollfd fds[2] = { { .fd = dns.fd, .events = POLLIN }, { .fd = dns.stop_fd, .events = POLLIN } };
    unsigned char q[1500];
    struct sockaddr_in from;

    for (;;) {
        socklen_t len = sizeof from;
        ssize_t n;

        if (poll(fds, 2, -1) < 0 || fds[1].revents)
            return NULL;
        n = recvfrom(dns.fd, q, sizeof q, 0, (struct sockaddr *)&from, &len);
        if (n > 12)
            answer(q, (size_t)n, &from);
    }
}

static void dns_stop(void)
{
    uint64_t one = 1;

    if (write(dns.stop_fd, &one, sizeof one) == sizeof one)
        pthread_join(dns.thread, NULL);
    close(dns.fd);
    close(dns.stop_fd);
}

static void dns_start(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof at;

    if (dns.port)
        return;
    dns.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    dns.stop_fd = eventfd(0, EFD_CLOEXEC);
    CHECK_FATAL(dns.fd >= 0 && dns.stop_fd >= 0);
    CHECK_FATAL(bind(dns.fd, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK_FATAL(getsockname(dns.fd, (struct sockaddr *)&at, &len) == 0);
    dns.port = ntohs(at.sin_port);
    CHECK_FATAL(pthread_create(&dns.thread, NULL, dns_run, NULL) == 0);
    atexit(dns_stop);
}

static unsigned questions(void)
{
    return __atomic_load_n(&dns.questions, __ATOMIC_RELAXED);
}

/* ---- one resolver on one loop ---- */

static struct loop *loop;
static struct resolver *res;

static int resolver_at(const char *server)
{
    char *v[] = { (char *)(uintptr_t)server };
    struct conf_list list = { v, 1 };

    return resolver_new(&res, loop, &list);
}

static void set_up(void)
{
    char server[32];

    dns_start();
    CHECK_FATAL(loop_new(&loop) == 0);
    snprintf(server, sizeof server, "127.0.0.1:%u", dns.port);
    CHECK_FATAL(resolver_at(server) == 0);
}

static void tear_down(void)
{
    resolver_free(&res);
    loop_free(&loop);
}

struct result {
    int calls;
    size_t n;
    struct addr addrs[RESOLVE_ADDRS_MAX];
    char why[80];
};

static void on_done(void *arg, const struct addr *addrs, size_t n, int err, const char *why)
{
    struct result *r = arg;

    r->calls++;
    r->n = n;
    CHECK_FATAL(n <= RESOLVE_ADDRS_MAX);
    if (n)
        memcpy(r->addrs, addrs, n * sizeof *addrs);
    CHECK_INT(why == NULL, n > 0);
    snprintf(r->why, sizeof r->why, "%s", why ? why : "");
}

static void wait_for(const struct result *r)
{
    time_t end = time(NULL) + 10;

    while (!r->calls && time(NULL) < end)
        loop_turn(loop, 100);
    CHECK_INT(r->calls, 1);
}

static struct result look_up(const char *host)
{
    struct result r = { 0 };
    struct resolve_query *q = resolve_host(res, host, 5060, on_done, &r);

    CHECK_INT(q == NULL, r.calls == 1);
    wait_for(&r);
    return r;
}

static bool is_addr(const struct addr *a, const char *text)
{
    char out[ADDR_TEXT_MAX];

    return strcmp(addr_text(a, out), text) == 0;
}

TEST(an_ip_literal_is_its_own_answer_at_once)
{
    struct result r = { 0 };

    set_up();
    CHECK(resolve_host(res, "192.0.2.1", 2855, on_done, &r) == NULL);
    CHECK_INT(r.calls, 1);
    CHECK(r.n == 1 && is_addr(&r.addrs[0], "192.0.2.1:2855"));
    r = (struct result){ 0 };
    CHECK(resolve_host(res, "[2001:DB8::1]", 2855, on_done, &r) == NULL);
    CHECK(r.n == 1 && is_addr(&r.addrs[0], "[2001:db8::1]:2855"));
    tear_down();
}

/* M-DNS-01 */
TEST(a_name_gives_its_a_and_aaaa_records_with_the_port_asked_for)
{
    struct result r;
    bool has_v6;
    int fd;

    set_up();
    r = look_up("four.test");
    CHECK(r.n == 1 && is_addr(&r.addrs[0], "192.0.2.4:5060"));
    r = look_up("six.test");
    CHECK(r.n == 1 && is_addr(&r.addrs[0], "[2001:db8::6]:5060"));
    r = look_up("alias.test");
    CHECK(r.n == 1 && is_addr(&r.addrs[0], "192.0.2.4:5060"));
    r = look_up("mapped.test");
    CHECK(r.n == 1 && is_addr(&r.addrs[0], "192.0.2.9:5060"));
    r = look_up("both.test");
    CHECK_INT(r.n, 2);
    fd = socket(AF_INET6, SOCK_DGRAM, 0);
    has_v6 = fd >= 0 && bind(fd, (struct sockaddr *)&(struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback },
                             sizeof(struct sockaddr_in6)) == 0;
    close(fd);
    CHECK(is_addr(&r.addrs[0], has_v6 ? "[::1]:5060" : "127.0.0.1:5060"));
    tear_down();
}

TEST(no_more_addresses_are_handed_out_than_promised)
{
    set_up();
    CHECK_INT(look_up("many.test").n, RESOLVE_ADDRS_MAX);
    CHECK_INT(look_up("many.test").n, RESOLVE_ADDRS_MAX);
    tear_down();
}

TEST(failures_say_why)
{
    struct result r;

    set_up();
    r = look_up("absent.test");
    CHECK_INT(r.n, 0);
    CHECK_STR(r.why, "the name does not exist");
    r = look_up("none.test");
    CHECK_INT(r.n, 0);
    CHECK_STR(r.why, "the name has no address");
    r = look_up("broken.test");
    CHECK_INT(r.n, 0);
    CHECK(r.why[0] != '\0');
    tear_down();
}

TEST(what_cannot_be_a_host_name_is_never_asked)
{
    static const char *const bad[] = { "", ".", "..", "a..test", ".test", "a b.test", "a/b.test", "127.1", "1.2.3.4.5", "0x7f.1",
                                       "user@four.test", "four.test:53", "\xc3\xa4.test", "[four.test]" };
    char longest[300];
    unsigned before;

    set_up();
    before = questions();
    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++) {
        struct result r = { 0 };

        CHECK(resolve_host(res, bad[i], 1, on_done, &r) == NULL);
        CHECK_INT(r.calls, 1);
        CHECK_INT(r.n, 0);
    }
    for (size_t n = 63; n <= 64; n++) { /* the longest label, and one more */
        struct result r = { 0 };

        memset(longest, 'a', n);
        memcpy(longest + n, ".test", 6);
        CHECK_INT(resolve_host(res, longest, 1, on_done, &r) == NULL, n == 64);
        wait_for(&r);
    }
    for (size_t n = 253; n <= 254; n++) {
        struct result r = { 0 };

        for (size_t i = 0; i < n; i++)
            longest[i] = i % 50 == 49 ? '.' : 'a';
        longest[n] = '\0';
        CHECK_INT(resolve_host(res, longest, 1, on_done, &r) == NULL, n == 254);
        wait_for(&r);
    }
    CHECK_INT(questions() - before, 2);
    tear_down();
}

/* M-DNS-06 */
TEST(answers_are_remembered_whatever_the_case_and_the_final_dot)
{
    struct result r = { 0 };
    unsigned before;

    set_up();
    before = questions();
    look_up("four.test");
    CHECK_INT(questions() - before, 1);
    CHECK(resolve_host(res, "FOUR.Test.", 7, on_done, &r) == NULL);
    CHECK(r.calls == 1 && r.n == 1 && is_addr(&r.addrs[0], "192.0.2.4:7"));
    CHECK_INT(questions() - before, 1);
    tear_down();
}

TEST(failures_are_remembered_too)
{
    struct result r = { 0 };
    unsigned before;

    set_up();
    look_up("absent.test");
    look_up("none.test");
    before = questions();
    CHECK(resolve_host(res, "absent.test", 7, on_done, &r) == NULL);
    CHECK_STR(r.why, "the name does not exist");
    r.calls = 0;
    CHECK(resolve_host(res, "none.test", 7, on_done, &r) == NULL);
    CHECK_STR(r.why, "the name has no address");
    CHECK_INT(questions(), before);
    tear_down();
}

/* M-DNS-06 */
TEST(time_to_live_is_respected)
{
    struct result r = { 0 };
    struct timespec until, now;
    unsigned before;

    set_up();
    look_up("zero.test");
    before = questions();
    look_up("zero.test");
    CHECK_INT(questions() - before, 1); /* never remembered */
    look_up("brief.test");
    before = questions();
    clock_gettime(CLOCK_MONOTONIC, &until);
    CHECK(resolve_host(res, "brief.test", 7, on_done, &r) == NULL);
    CHECK_INT(questions(), before);
    until.tv_sec += 1;
    until.tv_nsec += 50000000;
    do {
        loop_turn(loop, 50);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec < until.tv_sec || (now.tv_sec == until.tv_sec && now.tv_nsec < until.tv_nsec));
    look_up("brief.test");
    CHECK_INT(questions() - before, 1);
    tear_down();
}

TEST(those_who_ask_for_one_name_at_once_share_one_question)
{
    struct result r[5] = { 0 };
    unsigned before;

    set_up();
    before = questions();
    for (size_t i = 0; i < TD_ARRAY_LEN(r); i++)
        CHECK(resolve_host(res, "four.test", (uint16_t)(100 + i), on_done, &r[i]) != NULL);
    for (size_t i = 0; i < TD_ARRAY_LEN(r); i++) {
        wait_for(&r[i]);
        CHECK(r[i].n == 1 && addr_port(&r[i].addrs[0]) == 100 + i);
    }
    CHECK_INT(questions() - before, 1);
    tear_down();
}

/* M-DNS-06: a slow name server delays only those who need it. */
TEST(a_silent_name_delays_nobody_else_and_can_be_cancelled)
{
    struct result slow = { 0 }, slow2 = { 0 };
    struct resolve_query *q, *q2;

    set_up();
    q = resolve_host(res, "slow.test", 1, on_done, &slow);
    q2 = resolve_host(res, "slow.test", 1, on_done, &slow2);
    CHECK_FATAL(q && q2);
    CHECK_INT(look_up("four.test").n, 1);
    CHECK_INT(look_up("absent.test").n, 0);
    CHECK_INT(slow.calls, 0);
    resolve_cancel(q);
    resolve_cancel(q2);
    loop_turn(loop, 20);
    CHECK_INT(slow.calls + slow2.calls, 0);
    tear_down(); /* with the look-up still running */
}

/* ---- SRV records ---- */

struct services {
    int calls;
    size_t n;
    struct resolve_srv v[RESOLVE_SRV_MAX];
    char why[80];
};

static void on_services(void *arg, const struct resolve_srv *v, size_t n, int err, const char *why)
{
    struct services *s = arg;

    s->calls++;
    s->n = n;
    CHECK_FATAL(n <= RESOLVE_SRV_MAX);
    if (n)
        memcpy(s->v, v, n * sizeof *v);
    snprintf(s->why, sizeof s->why, "%s", why ? why : "");
}

static struct services look_up_srv(const char *name)
{
    struct services s = { 0 };
    time_t end = time(NULL) + 10;

    resolve_srv(res, name, on_services, &s);
    while (!s.calls && time(NULL) < end)
        loop_turn(loop, 100);
    CHECK_INT(s.calls, 1);
    return s;
}

/* M-DNS-03, M-DNS-05 */
TEST(services_come_by_priority)
{
    static const char *const names[] = { "spare.test", "heavy.test", "light.test", "last.test" };
    struct services s;

    set_up();
    s = look_up_srv("_X._tcp.Farm.test");
    CHECK_INT(s.n, 4);
    for (size_t i = 0; i < s.n; i++)
        CHECK_STR(s.v[i].target, names[i]);
    CHECK_INT(s.v[1].port, 1060);
    s = look_up_srv("_x._tcp.many.test");
    CHECK_INT(s.n, RESOLVE_SRV_MAX);
    for (size_t i = 0; i < s.n; i++)
        CHECK_INT(s.v[i].priority, i);
    tear_down();
}

/* M-DNS-03: there are none, or it is not known whether there are any, or somebody says that there is no such service. */
TEST(no_services_is_not_the_same_as_no_answer)
{
    static const char *const none[] = { "_x._tcp.none.test", "_x._tcp.absent.test" };
    struct services s;

    set_up();
    for (size_t i = 0; i < TD_ARRAY_LEN(none); i++) {
        s = look_up_srv(none[i]);
        CHECK(s.n == 0 && s.why[0] == '\0');
    }
    s = look_up_srv("_x._tcp.broken.test");
    CHECK(s.n == 0 && s.why[0] != '\0');
    s = look_up_srv("_x._tcp.closed.test");
    CHECK(s.n == 0 && s.why[0] != '\0');
    s = look_up_srv("no name");
    CHECK(s.n == 0 && s.why[0] != '\0');
    tear_down();
}

struct found_pointers {
    int calls, err;
    size_t n;
    struct resolve_naptr v[RESOLVE_NAPTR_MAX];
};

static void on_pointers(void *arg, const struct resolve_naptr *v, size_t n, int err)
{
    struct found_pointers *f = arg;

    f->calls++;
    f->n = n;
    f->err = err;
    CHECK_FATAL(n <= RESOLVE_NAPTR_MAX);
    if (n)
        memcpy(f->v, v, n * sizeof *v);
}

static struct found_pointers look_up_naptr(const char *name)
{
    struct found_pointers f = { 0 };
    time_t end = time(NULL) + 10;

    resolve_naptr(res, name, on_pointers, &f);
    while (!f.calls && time(NULL) < end)
        loop_turn(loop, 100);
    CHECK_INT(f.calls, 1);
    return f;
}

/* S-DNS-02: by order and preference, without what names no SRV records; remembered */
TEST(pointers_come_by_order_and_preference)
{
    static const char *const names[] = { "tls.test", "tcp.test", "udp.test" };
    struct found_pointers f;
    unsigned before;

    set_up();
    before = questions();
    for (int again = 0; again < 2; again++) {
        f = look_up_naptr("Pointers.test");
        CHECK_INT(f.n, 3);
        for (size_t i = 0; i < 3; i++)
            CHECK_STR(f.v[i].replacement, names[i]);
        CHECK_STR(f.v[0].service, "SIPS+D2T");
    }
    CHECK_INT(questions() - before, 1);
    f = look_up_naptr("manypointers.test");
    CHECK_INT(f.n, RESOLVE_NAPTR_MAX);
    for (size_t i = 0; i < f.n; i++)
        CHECK_INT(f.v[i].order, i + 1);
    tear_down();
}

/* S-DNS-08 */
TEST(no_pointers_is_not_the_same_as_no_answer)
{
    struct found_pointers f;

    set_up();
    f = look_up_naptr("none.test");
    CHECK(f.n == 0 && f.err == TD_OK);
    f = look_up_naptr("absent.test");
    CHECK(f.n == 0 && f.err == TD_OK);
    f = look_up_naptr("broken.test");
    CHECK(f.n == 0 && f.err != TD_OK && f.err != TD_ENOENT);
    tear_down();
}

/* M-DNS-06 */
TEST(services_are_remembered_beside_the_addresses_of_the_same_name)
{
    unsigned before;

    set_up();
    before = questions();
    CHECK_INT(look_up("_x._tcp.farm.test").n, 0);
    CHECK_INT(look_up_srv("_x._tcp.farm.test").n, 4);
    CHECK_INT(questions() - before, 2);
    CHECK_INT(look_up_srv("_x._tcp.farm.test").n, 4);
    CHECK_INT(look_up("_x._tcp.farm.test").n, 0);
    CHECK_INT(questions() - before, 2);
    look_up_srv("_x._tcp.none.test");
    look_up_srv("_x._tcp.none.test");
    CHECK_INT(questions() - before, 3);
    look_up_srv("_x._tcp.fleeting.test"); /* time to live 0 */
    look_up_srv("_x._tcp.fleeting.test");
    CHECK_INT(questions() - before, 5);
    tear_down();
}

/* M-DNS-03: RFC 2782 has the first of a priority be chosen with a probability of its weight among them. */
TEST(services_of_one_priority_are_tried_by_weight)
{
    enum { ROUNDS = 8000 };
    unsigned heavy = 0, spare = 0;
    struct rng rng = { 0 };

    for (int i = 0; i < ROUNDS; i++) {
        struct resolve_srv v[] = { { 1, 0, 1, "spare" }, { 1, 60, 2, "heavy" }, { 1, 20, 3, "light" }, { 2, 9999, 4, "last" } };
        unsigned ports = 0;

        resolve_srv_order(v, 4, &rng);
        for (size_t k = 0; k < 4; k++)
            ports |= 1U << v[k].port;
        CHECK_INT(ports, 0x1e); /* all of them, once each */
        CHECK_INT(v[3].port, 4);
        heavy += v[0].port == 2;
        spare += v[0].port == 1;
    }
    CHECK(heavy > ROUNDS * 68 / 100 && heavy < ROUNDS * 80 / 100); /* 60 of 81 */
    CHECK(spare > 0 && spare < ROUNDS * 4 / 100);                  /* 1 of 81 */
}

TEST(freeing_the_resolver_calls_nobody_back)
{
    struct result r = { 0 };

    set_up();
    CHECK(resolve_host(res, "slow.test", 1, on_done, &r) != NULL);
    CHECK(resolve_host(res, "four.test", 1, on_done, &r) != NULL);
    tear_down();
    CHECK_INT(r.calls, 0);
}

TEST(a_dead_name_server_fails_soon)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_DGRAM, 0); /* bound by us, so by nobody else; connected elsewhere, so it refuses */
    char server[32];
    struct result r;

    CHECK(bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    CHECK(connect(fd, (struct sockaddr *)&(struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(9),
                                                                .sin_addr.s_addr = htonl(0x7f000002) }, sizeof at) == 0);
    CHECK_FATAL(loop_new(&loop) == 0);
    snprintf(server, sizeof server, "127.0.0.1:%u", ntohs(at.sin_port));
    CHECK_FATAL(resolver_at(server) == 0);
    r = look_up("four.test");
    CHECK_INT(r.n, 0);
    CHECK(r.why[0] != '\0');
    tear_down();
    close(fd);
}

TEST(name_servers_are_addresses_with_an_optional_port)
{
    static const struct {
        const char *text;
        bool good;
    } rows[] = {
        { "192.0.2.1", true }, { "192.0.2.1:5353", true }, { "2001:db8::1", true }, { "[2001:db8::1]", true }, { "[2001:db8::1]:53", true },
        { "dns.example", false }, { "192.0.2.1:", false }, { "192.0.2.1:99999", false }, { "", false },
    };

    CHECK_FATAL(loop_new(&loop) == 0);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        CHECK_INT(resolver_at(rows[i].text), rows[i].good ? TD_OK : TD_EINVAL);
        CHECK_INT(res != NULL, rows[i].good);
        resolver_free(&res);
    }
    loop_free(&loop);
}

/* Who is told may ask again and cancel others. */
static struct result nested, victim;
static struct resolve_query *victim_query;

static void ask_and_cancel(void *arg, const struct addr *addrs, size_t n, int err, const char *why)
{
    on_done(arg, addrs, n, err, why);
    resolve_cancel(victim_query);
    resolve_host(res, "six.test", 9, on_done, &nested);
}

TEST(a_callback_may_ask_and_cancel)
{
    struct result first = { 0 };

    set_up();
    nested = victim = (struct result){ 0 };
    CHECK(resolve_host(res, "four.test", 1, ask_and_cancel, &first) != NULL);
    victim_query = resolve_host(res, "four.test", 1, on_done, &victim);
    CHECK_FATAL(victim_query != NULL);
    wait_for(&first);
    wait_for(&nested);
    CHECK_INT(nested.n, 1);
    CHECK_INT(victim.calls, 0);
    tear_down();
}

TEST(the_cache_is_bounded_and_keeps_what_was_used_last)
{
    enum { BATCH = 64 };
    struct result r = { 0 };
    char name[32];
    unsigned before;

    set_up();
    look_up("four.test");
    for (int i = 0; i < RESOLVE_CACHE_MAX + BATCH; i += BATCH) {
        static struct result batch[BATCH];

        for (int k = 0; k < BATCH; k++) {
            batch[k] = (struct result){ 0 };
            snprintf(name, sizeof name, "x%d.test", i + k);
            resolve_host(res, name, 1, on_done, &batch[k]);
        }
        for (int k = 0; k < BATCH; k++)
            wait_for(&batch[k]);
        r.calls = 0;
        CHECK(resolve_host(res, "four.test", 1, on_done, &r) == NULL); /* used, so kept */
    }
    before = questions();
    look_up("x0.test"); /* displaced */
    CHECK_INT(questions() - before, 1);
    tear_down();
}

SUITE(resolve_suite, TEST_ROW(an_ip_literal_is_its_own_answer_at_once),
      TEST_ROW(a_name_gives_its_a_and_aaaa_records_with_the_port_asked_for), TEST_ROW(no_more_addresses_are_handed_out_than_promised),
      TEST_ROW(pointers_come_by_order_and_preference), TEST_ROW(no_pointers_is_not_the_same_as_no_answer),
      TEST_ROW(failures_say_why), TEST_ROW(what_cannot_be_a_host_name_is_never_asked),
      TEST_ROW(answers_are_remembered_whatever_the_case_and_the_final_dot), TEST_ROW(failures_are_remembered_too),
      TEST_ROW(time_to_live_is_respected), TEST_ROW(those_who_ask_for_one_name_at_once_share_one_question),
      TEST_ROW(a_silent_name_delays_nobody_else_and_can_be_cancelled), TEST_ROW(services_come_by_priority), TEST_ROW(no_services_is_not_the_same_as_no_answer),
      TEST_ROW(services_are_remembered_beside_the_addresses_of_the_same_name),
      TEST_ROW(services_of_one_priority_are_tried_by_weight), TEST_ROW(freeing_the_resolver_calls_nobody_back),
      TEST_ROW(a_dead_name_server_fails_soon), TEST_ROW(name_servers_are_addresses_with_an_optional_port),
      TEST_ROW(a_callback_may_ask_and_cancel), TEST_ROW(the_cache_is_bounded_and_keeps_what_was_used_last));
