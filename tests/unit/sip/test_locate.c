/* Server location, with a resolver of our own: what is asked for, and in which order places come. */
#include "sip/locate.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/err.h"
#include "tests/unit/harness.h"

/* A record: its data as text, "PRIORITY WEIGHT PORT TARGET" for SRV and "ORDER PREFERENCE SERVICE REPLACEMENT" for NAPTR. data NULL: looking it
 * up fails with err. */
struct record {
    const char *name, *type, *data;
    int err;
};

static const struct record *zone;
static size_t n_zone;
static struct buf asked;    /* "TYPE NAME, ..." */
static bool is_deferred;    /* answers wait for answer_now() */
static struct resolve_query *waiting;

struct resolve_query {
    const char *type;
    char name[256];
    uint16_t port;
    resolve_done *on_host;
    resolve_srv_done *on_srv;
    resolve_naptr_done *on_naptr;
    void *arg;
};

static void answer_host(const struct resolve_query *q)
{
    struct addr out[RESOLVE_ADDRS_MAX];
    int err = TD_ENOENT;
    size_t n = 0;

    for (size_t i = 0; i < n_zone; i++) {
        if (strcmp(zone[i].type, "A") != 0 || strcmp(zone[i].name, q->name) != 0)
            continue;
        if (!zone[i].data || n == RESOLVE_ADDRS_MAX) {
            err = zone[i].err;
            continue;
        }
        CHECK(addr_from_host(&out[n], sv_of(zone[i].data), q->port));
        n++;
    }
    q->on_host(q->arg, out, n, n ? TD_OK : err, n ? NULL : "why");
}

static void answer_srv(const struct resolve_query *q)
{
    struct resolve_srv out[RESOLVE_SRV_MAX];
    int err = TD_OK;
    size_t n = 0;

    for (size_t i = 0; i < n_zone; i++) {
        unsigned p, w, port;

        if (strcmp(zone[i].type, "SRV") != 0 || strcmp(zone[i].name, q->name) != 0)
            continue;
        if (!zone[i].data) {
            err = zone[i].err;
            continue;
        }
        CHECK_INT(sscanf(zone[i].data, "%u %u %u %253s", &p, &w, &port, out[n].target), 4);
        out[n].priority = (uint16_t)p;
        out[n].weight = (uint16_t)w;
        out[n++].port = (uint16_t)port;
    }
    q->on_srv(q->arg, out, n, err, err ? "why" : NULL);
}

static void answer_naptr(const struct resolve_query *q)
{
    struct resolve_naptr out[RESOLVE_NAPTR_MAX];
    int err = TD_OK;
    size_t n = 0;

    for (size_t i = 0; i < n_zone; i++) {
        unsigned order, preference;

        if (strcmp(zone[i].type, "NAPTR") != 0 || strcmp(zone[i].name, q->name) != 0)
            continue;
        if (!zone[i].data) {
            err = zone[i].err;
            continue;
        }
        CHECK_INT(sscanf(zone[i].data, "%u %u %31s %253s", &order, &preference, out[n].service, out[n].replacement), 4);
        out[n].order = (uint16_t)order;
        out[n++].preference = (uint16_t)preference;
    }
    q->on_naptr(q->arg, out, n, err);
}

static void answer(const struct resolve_query *q)
{
    if (q->on_host)
        answer_host(q);
    else if (q->on_srv)
        answer_srv(q);
    else
        answer_naptr(q);
}

static struct resolve_query *ask(const char *name, const struct resolve_query *what)
{
    struct resolve_query q = *what, *later;

    snprintf(q.name, sizeof q.name, "%s", name);
    if (q.on_host && addr_from_host(&(struct addr){ 0 }, sv_of(name), 0)) {
        struct addr literal;

        addr_from_host(&literal, sv_of(name), q.port);
        q.on_host(q.arg, &literal, 1, TD_OK, NULL);
        return NULL;
    }
    buf_printf(&asked, "%s%s %s", asked.n ? ", " : "", q.type, name);
    if (!is_deferred) {
        answer(&q);
        return NULL;
    }
    later = malloc(sizeof *later);
    CHECK_FATAL(later && !waiting);
    *later = q;
    waiting = later;
    return later;
}

static struct resolve_query *ask_host(void *arg, const char *host, uint16_t port, resolve_done *done, void *done_arg)
{
    return ask(host, &(struct resolve_query){ .type = "A", .port = port, .on_host = done, .arg = done_arg });
}

static struct resolve_query *ask_srv(void *arg, const char *name, resolve_srv_done *done, void *done_arg)
{
    return ask(name, &(struct resolve_query){ .type = "SRV", .on_srv = done, .arg = done_arg });
}

static struct resolve_query *ask_naptr(void *arg, const char *name, resolve_naptr_done *done, void *done_arg)
{
    return ask(name, &(struct resolve_query){ .type = "NAPTR", .on_naptr = done, .arg = done_arg });
}

static void cancel(struct resolve_query *q)
{
    CHECK(q == waiting);
    free(q);
    waiting = NULL;
}

static struct rng rng;
static const struct locate_dns dns = { .host = ask_host, .srv = ask_srv, .naptr = ask_naptr, .cancel = cancel, .rng = &rng };

/* ---- one search, as text ---- */

enum { ALL = 1 << TRANSPORT_UDP | 1 << TRANSPORT_TCP | 1 << TRANSPORT_TLS };

struct found {
    struct buf text; /* "udp 192.0.2.1:5060, ... absent" */
    bool has_ended;
};

static void on_place(void *arg, enum locate_end how, const struct place *p)
{
    static const char *const names[] = { "udp", "tcp", "tls" }, *const ends[] = { "", "absent", "failed" };
    struct found *f = arg;
    char at[ADDR_TEXT_MAX];

    CHECK((how == LOCATE_FOUND) == (p != NULL));
    if (p)
        buf_printf(&f->text, "%s %s, ", names[p->transport], addr_text(&p->at, at));
    else
        buf_puts(&f->text, ends[how]);
    f->has_ended = !p;
}

static const char *locate_as(const struct locate_ask *ask)
{
    static char out[1024];
    struct locate *l = locate_new(&dns, ask);
    struct found f = { .text = BUF_INIT };

    CHECK_FATAL(l != NULL);
    buf_clear(&asked);
    for (int i = 0; i <= LOCATE_PLACES_MAX && !f.has_ended; i++)
        locate_next(l, on_place, &f);
    CHECK(f.has_ended);
    CHECK(!locate_has_more(l));
    locate_free(&l);
    CHECK(l == NULL);
    snprintf(out, sizeof out, "%s", f.text.p);
    buf_fini(&f.text);
    return out;
}

static const char *locate(const char *host, unsigned port, enum transport t, bool is_secure)
{
    return locate_as(&(struct locate_ask){ .host = host, .port = (uint16_t)port, .transport = t, .is_secure = is_secure, .can = { ALL, ALL } });
}

static void use_zone(const struct record *records, size_t n)
{
    zone = records;
    n_zone = n;
    buf_fini(&asked);
    asked = BUF_INIT;
    buf_puts(&asked, "");
}

static const char *what_was_asked(void)
{
    return asked.n ? asked.p : "";
}

/* S-DNS-01 */
TEST(what_is_given_needs_no_naptr)
{
    static const struct record records[] = {
        { "n.test", "A", "192.0.2.7", 0 }, { "n.test", "NAPTR", "1 1 SIP+D2T _sip._tcp.n.test", 0 }, { "_sip._tcp.n.test", "SRV", "1 1 7 n.test", 0 }
    };

    use_zone(records, TD_ARRAY_LEN(records));
    CHECK_STR(locate("192.0.2.1", 0, TRANSPORT_ANY, false), "udp 192.0.2.1:5060, absent");
    CHECK_STR(what_was_asked(), "");
    CHECK_STR(locate("192.0.2.1", 5070, TRANSPORT_ANY, false), "udp 192.0.2.1:5070, absent");
    CHECK_STR(what_was_asked(), "");
    CHECK_STR(locate("192.0.2.1", 0, TRANSPORT_ANY, true), "tls 192.0.2.1:5061, absent");
    CHECK_STR(what_was_asked(), "");
    CHECK_STR(locate("[2001:db8::1]", 0, TRANSPORT_ANY, true), "tls [2001:db8::1]:5061, absent");
    CHECK_STR(what_was_asked(), "");
    CHECK_STR(locate("2001:db8::1", 5070, TRANSPORT_TCP, false), "tcp [2001:db8::1]:5070, absent");
    CHECK_STR(what_was_asked(), "");
    CHECK_STR(locate("n.test", 5080, TRANSPORT_ANY, false), "udp 192.0.2.7:5080, absent");
    CHECK_STR(locate("n.test", 5080, TRANSPORT_ANY, true), "tls 192.0.2.7:5080, absent");
    CHECK_STR(what_was_asked(), "A n.test");
}

/* S-DNS-04 */
TEST(a_port_forbids_srv_even_the_usual_one)
{
    static const struct record records[] = { { "n.test", "A", "192.0.2.7", 0 }, { "_sip._udp.n.test", "SRV", "1 1 7 n.test", 0 } };

    use_zone(records, TD_ARRAY_LEN(records));
    CHECK_STR(locate("n.test", 5060, TRANSPORT_ANY, false), "udp 192.0.2.7:5060, absent");
    CHECK_STR(what_was_asked(), "A n.test");
    CHECK_STR(locate("n.test", 5060, TRANSPORT_UDP, false), "udp 192.0.2.7:5060, absent");
    CHECK_STR(what_was_asked(), "A n.test");
}

/* S-DNS-02 */
TEST(naptr_of_the_lowest_order_with_something_for_us_decides)
{
    static const struct record records[] = {
        { "n.test", "NAPTR", "10 1 SIP+D2X _sip._x.n.test", 0 },     { "n.test", "NAPTR", "20 1 SIP+D2S _sip._sctp.n.test", 0 },
        { "n.test", "NAPTR", "30 1 sip+d2t tcp.n.test", 0 },         { "n.test", "NAPTR", "30 2 SIP+D2U udp.n.test", 0 },
        { "n.test", "NAPTR", "40 1 SIPS+D2T tls.n.test", 0 },        { "tcp.n.test", "SRV", "1 1 1111 a.test", 0 },
        { "udp.n.test", "SRV", "1 1 2222 b.test", 0 },               { "tls.n.test", "SRV", "1 1 3333 a.test", 0 },
        { "a.test", "A", "192.0.2.1", 0 },                           { "b.test", "A", "192.0.2.2", 0 },
        { "n.test", "A", "192.0.2.9", 0 },
    };

    use_zone(records, TD_ARRAY_LEN(records));
    CHECK_STR(locate("n.test", 0, TRANSPORT_ANY, false), "tcp 192.0.2.1:1111, udp 192.0.2.2:2222, absent");
    CHECK_STR(what_was_asked(), "NAPTR n.test, SRV tcp.n.test, A a.test, SRV udp.n.test, A b.test");
    CHECK_STR(locate("n.test", 0, TRANSPORT_ANY, true), "tls 192.0.2.1:3333, absent");
    CHECK_STR(what_was_asked(), "NAPTR n.test, SRV tls.n.test, A a.test");
}

/* S-DNS-03 S-TLS-04: over TLS where that is offered */
TEST(without_naptr_the_usual_services_are_asked_for)
{
    static const struct record records[] = {
        { "_sips._tcp.n.test", "SRV", "1 1 1111 a.test", 0 }, { "_sip._udp.n.test", "SRV", "1 1 2222 a.test", 0 },
        { "_sip._tcp.n.test", "SRV", "1 1 3333 a.test", 0 },  { "a.test", "A", "192.0.2.1", 0 },
        { "plain.test", "A", "192.0.2.3", 0 },
    };
    struct locate_ask large = { .host = "n.test", .transport = TRANSPORT_ANY, .is_large = true, .can = { ALL, ALL } };

    use_zone(records, TD_ARRAY_LEN(records));
    CHECK_STR(locate("n.test", 0, TRANSPORT_ANY, false), "tls 192.0.2.1:1111, udp 192.0.2.1:2222, tcp 192.0.2.1:3333, absent");
    CHECK_STR(locate_as(&large), "tls 192.0.2.1:1111, tcp 192.0.2.1:3333, udp 192.0.2.1:2222, absent");
    CHECK_STR(locate("n.test", 0, TRANSPORT_ANY, true), "tls 192.0.2.1:1111, absent");
    CHECK_STR(locate("n.test", 0, TRANSPORT_TCP, false), "tcp 192.0.2.1:3333, absent");
    CHECK_STR(what_was_asked(), "SRV _sip._tcp.n.test, A a.test");
    CHECK_STR(locate("n.test", 0, TRANSPORT_TLS, false), "tls 192.0.2.1:1111, absent");
    CHECK_STR(locate("plain.test", 0, TRANSPORT_ANY, false), "udp 192.0.2.3:5060, absent");
    CHECK_STR(what_was_asked(), "NAPTR plain.test, SRV _sips._tcp.plain.test, SRV _sip._udp.plain.test, SRV _sip._tcp.plain.test, A plain.test");
    CHECK_STR(locate("plain.test", 0, TRANSPORT_ANY, true), "tls 192.0.2.3:5061, absent");
    CHECK_STR(locate("plain.test", 0, TRANSPORT_TCP, false), "tcp 192.0.2.3:5060, absent");
}

/* S-DNS-07: a response's sent-by, RFC 3263 s.5 */
TEST(a_response_is_located_by_the_transport_of_its_via)
{
    static const struct record records[] = {
        { "_sips._tcp.n.test", "SRV", "1 1 1111 a.test", 0 }, { "a.test", "A", "192.0.2.1", 0 }, { "n.test", "A", "192.0.2.2", 0 },
    };

    use_zone(records, TD_ARRAY_LEN(records));
    CHECK_STR(locate("192.0.2.5", 0, TRANSPORT_TCP, false), "tcp 192.0.2.5:5060, absent");
    CHECK_STR(locate("n.test", 5099, TRANSPORT_TLS, false), "tls 192.0.2.2:5099, absent");
    CHECK_STR(locate("n.test", 0, TRANSPORT_TLS, false), "tls 192.0.2.1:1111, absent");
    CHECK_STR(locate("n.test", 0, TRANSPORT_TCP, false), "tcp 192.0.2.2:5060, absent");
}

/* S-DNS-05: all servers by priority, all addresses of each, and each looked up only when it is wanted */
TEST(places_come_by_priority_and_are_looked_up_one_by_one)
{
    static const struct record records[] = {
        { "_sip._udp.n.test", "SRV", "1 0 1111 a.test", 0 },    { "_sip._udp.n.test", "SRV", "2 0 2222 gone.test", 0 },
        { "_sip._udp.n.test", "SRV", "3 0 3333 b.test", 0 },    { "a.test", "A", "192.0.2.1", 0 },
        { "a.test", "A", "2001:db8::1", 0 },                    { "b.test", "A", "192.0.2.3", 0 },
    };
    const struct locate_ask ask = { .host = "n.test", .transport = TRANSPORT_UDP, .can = { ALL, ALL } };
    struct found f = { .text = BUF_INIT };
    struct locate *l;

    use_zone(records, TD_ARRAY_LEN(records));
    CHECK_STR(locate("n.test", 0, TRANSPORT_UDP, false), "udp 192.0.2.1:1111, udp [2001:db8::1]:1111, udp 192.0.2.3:3333, absent");
    l = locate_new(&dns, &ask);
    buf_clear(&asked);
    locate_next(l, on_place, &f);
    CHECK_STR(what_was_asked(), "SRV _sip._udp.n.test, A a.test");
    CHECK(locate_has_more(l));
    locate_free(&l);
    buf_fini(&f.text);
}

/* RFC 2782: by weight within a priority. */
TEST(servers_of_one_priority_share_by_weight)
{
    static const struct record records[] = {
        { "_sip._udp.n.test", "SRV", "1 1 1 a.test", 0 }, { "_sip._udp.n.test", "SRV", "1 9 9 a.test", 0 }, { "a.test", "A", "192.0.2.1", 0 },
    };
    int heavy_first = 0;

    use_zone(records, TD_ARRAY_LEN(records));
    for (int i = 0; i < 300; i++)
        heavy_first += strncmp(locate("n.test", 0, TRANSPORT_UDP, false), "udp 192.0.2.1:9", 15) == 0;
    CHECK(heavy_first > 200 && heavy_first < 300);
}

TEST(families_and_transports_that_we_do_not_have_are_left_out)
{
    static const struct record records[] = {
        { "_sip._udp.n.test", "SRV", "1 1 1111 a.test", 0 }, { "_sips._tcp.n.test", "SRV", "1 1 2222 a.test", 0 },
        { "a.test", "A", "192.0.2.1", 0 },                   { "a.test", "A", "2001:db8::1", 0 },
    };
    struct locate_ask ask = { .host = "n.test", .transport = TRANSPORT_ANY, .can = { 1 << TRANSPORT_UDP, 0 } };

    use_zone(records, TD_ARRAY_LEN(records));
    CHECK_STR(locate_as(&ask), "udp 192.0.2.1:1111, absent");
    ask.can[0] = 0;
    ask.can[1] = 1 << TRANSPORT_TLS;
    CHECK_STR(locate_as(&ask), "tls [2001:db8::1]:2222, absent");
    ask.host = "192.0.2.1";
    CHECK_STR(locate_as(&ask), "absent");
    ask.host = "2001:db8::1";
    ask.transport = TRANSPORT_UDP;
    CHECK_STR(locate_as(&ask), "absent");
    ask.transport = TRANSPORT_ANY;
    ask.can[1] = 1 << TRANSPORT_TCP;
    CHECK_STR(locate_as(&ask), "tcp [2001:db8::1]:5060, absent");
    ask.is_secure = true;
    CHECK_STR(locate_as(&ask), "absent");
}

/* S-DNS-08 */
TEST(a_name_that_does_not_exist_is_not_one_that_could_not_be_looked_up)
{
    static const struct record records[] = {
        { "dead.test", "NAPTR", NULL, TD_ETIMEOUT },     { "dead.test", "A", "192.0.2.1", 0 },
        { "_sip._udp.bad.test", "SRV", NULL, TD_EIO },   { "half.test", "A", NULL, TD_ETIMEOUT },
        { "_sip._tcp.no.test", "SRV", NULL, TD_EUNSUPP }, { "no.test", "A", "192.0.2.1", 0 },
    };

    use_zone(records, TD_ARRAY_LEN(records));
    CHECK_STR(locate("nobody.test", 0, TRANSPORT_ANY, false), "absent");
    CHECK_STR(locate("nobody.test", 5060, TRANSPORT_ANY, false), "absent");
    CHECK_STR(locate("dead.test", 0, TRANSPORT_ANY, false), "failed");
    CHECK_STR(what_was_asked(), "NAPTR dead.test"); /* a NAPTR record might have asked for TLS: no guesswork */
    CHECK_STR(locate("bad.test", 0, TRANSPORT_UDP, false), "failed");
    CHECK_STR(locate("half.test", 5060, TRANSPORT_ANY, false), "failed");
    CHECK_STR(locate("no.test", 0, TRANSPORT_TCP, false), "absent"); /* the target "." */
}

/* Whoever writes the records does not make us try for ever. */
TEST(a_search_ends)
{
    static struct record records[RESOLVE_SRV_MAX + 4];
    static char data[RESOLVE_SRV_MAX][32];
    size_t commas = 0;

    for (size_t i = 0; i < RESOLVE_SRV_MAX; i++) {
        snprintf(data[i], sizeof data[i], "%zu 1 5060 a.test", i);
        records[i] = (struct record){ "_sip._udp.n.test", "SRV", data[i], 0 };
    }
    for (size_t i = 0; i < 4; i++)
        records[RESOLVE_SRV_MAX + i] = (struct record){ "a.test", "A", "192.0.2.1", 0 };
    use_zone(records, TD_ARRAY_LEN(records));
    for (const char *p = locate("n.test", 0, TRANSPORT_UDP, false); *p; p++)
        commas += *p == ',';
    CHECK_INT(commas, LOCATE_PLACES_MAX);
}

TEST(a_search_may_be_given_up_while_a_name_is_looked_up)
{
    static const struct record records[] = { { "n.test", "A", "192.0.2.1", 0 } };
    const struct locate_ask ask = { .host = "n.test", .port = 5060, .transport = TRANSPORT_ANY, .can = { ALL, ALL } };
    struct locate *l = locate_new(&dns, &ask);
    struct found f = { .text = BUF_INIT };
    struct resolve_query *q;

    use_zone(records, TD_ARRAY_LEN(records));
    is_deferred = true;
    locate_next(l, on_place, &f);
    CHECK(f.text.n == 0 && waiting);
    locate_free(&l);
    CHECK(!waiting);
    l = locate_new(&dns, &ask);
    locate_next(l, on_place, &f);
    q = waiting;
    waiting = NULL;
    answer(q);
    free(q);
    CHECK_STR(f.text.p, "udp 192.0.2.1:5060, ");
    is_deferred = false;
    locate_free(&l);
    buf_fini(&f.text);
    buf_fini(&asked);
}

SUITE(locate_suite, TEST_ROW(what_is_given_needs_no_naptr), TEST_ROW(a_port_forbids_srv_even_the_usual_one),
      TEST_ROW(naptr_of_the_lowest_order_with_something_for_us_decides), TEST_ROW(without_naptr_the_usual_services_are_asked_for),
      TEST_ROW(a_response_is_located_by_the_transport_of_its_via), TEST_ROW(places_come_by_priority_and_are_looked_up_one_by_one),
      TEST_ROW(servers_of_one_priority_share_by_weight), TEST_ROW(families_and_transports_that_we_do_not_have_are_left_out),
      TEST_ROW(a_name_that_does_not_exist_is_not_one_that_could_not_be_looked_up), TEST_ROW(a_search_ends),
      TEST_ROW(a_search_may_be_given_up_while_a_name_is_looked_up));
