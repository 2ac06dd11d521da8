/* Socket addresses: text, comparison, kinds, blocks. */
#include "net/addr.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdio.h>

#include "tests/unit/harness.h"

TEST(text_with_port_is_parsed_and_printed)
{
    static const struct {
        const char *in, *out;
    } good[] = {
        { "192.0.2.1:5060", "192.0.2.1:5060" },       { "0.0.0.0:0", "0.0.0.0:0" },
        { "255.255.255.255:65535", "255.255.255.255:65535" }, { "[2001:DB8::1]:1", "[2001:db8::1]:1" },
        { "[::]:5060", "[::]:5060" },                 { "[::ffff:192.0.2.1]:5", "[::ffff:192.0.2.1]:5" },
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(good); i++) {
        char text[ADDR_TEXT_MAX];
        struct addr a;

        CHECK(addr_from_text(&a, sv_of(good[i].in)));
        CHECK_STR(addr_text(&a, text), good[i].out);
    }
}

TEST(what_is_no_address_with_port_is_refused)
{
    static const char *const bad[] = { "", ":", ":5060", "192.0.2.1", "192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:-1", "192.0.2.1:5x",
                                       "192.0.2.1: 5", " 192.0.2.1:5", "192.0.2:5", "192.0.2.256:5", "::1:5060", "[::1]", "[::1:5060",
                                       "::1]:5060", "[]:5060", "[192.0.2.1]:5060", "[fe80::1%lo]:5060", "localhost:5060", "[::1]x:5",
                                       "192.0.2.1:99999999999999999999999",
                                       "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:1" };

    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++) {
        struct addr a;

        if (addr_from_text(&a, sv_of(bad[i]))) {
            fprintf(stderr, "\n    \"%s\" was taken", bad[i]);
            CHECK(false);
        }
    }
}

TEST(a_host_is_an_ip_literal_with_brackets_optional_around_ipv6)
{
    struct addr a;
    char text[ADDR_TEXT_MAX];

    CHECK(addr_from_host(&a, SV("2001:db8::1"), 7));
    CHECK_STR(addr_text(&a, text), "[2001:db8::1]:7");
    CHECK_STR(addr_host_text(&a, text), "2001:db8::1");
    CHECK(addr_from_host(&a, SV("[2001:db8::1]"), 7));
    CHECK(addr_from_host(&a, SV("192.0.2.1"), 7));
    CHECK_STR(addr_host_text(&a, text), "192.0.2.1");
    CHECK(!addr_from_host(&a, SV("[192.0.2.1]"), 7));
    CHECK(!addr_from_host(&a, SV("[[::1]]"), 7));
    CHECK(!addr_from_host(&a, SV("["), 7));
    CHECK(!addr_from_host(&a, SV(""), 7));
    CHECK(!addr_from_host(&a, sv_make("192.0.2.1\0", 10), 7));
    CHECK(!addr_from_host(&a, SV("example.com"), 7));
}

/* One peer has one text. */
TEST(a_socket_address_that_maps_ipv4_becomes_ipv4)
{
    struct sockaddr_in6 mapped = { .sin6_family = AF_INET6, .sin6_port = htons(5060) };
    struct sockaddr_storage ss = { 0 };
    struct addr a, b;
    char text[ADDR_TEXT_MAX];

    CHECK(inet_pton(AF_INET6, "::ffff:192.0.2.7", &mapped.sin6_addr) == 1);
    memcpy(&ss, &mapped, sizeof mapped);
    addr_from_socket(&a, &ss);
    CHECK_INT(a.sa.sa_family, AF_INET);
    CHECK_STR(addr_text(&a, text), "192.0.2.7:5060");
    CHECK_INT(addr_len(&a), sizeof(struct sockaddr_in));
    CHECK(addr_from_text(&b, SV("192.0.2.7:5060")));
    CHECK(addr_eq(&a, &b));
    CHECK(inet_pton(AF_INET6, "2001:db8::7", &mapped.sin6_addr) == 1);
    memcpy(&ss, &mapped, sizeof mapped);
    addr_from_socket(&a, &ss);
    CHECK_STR(addr_text(&a, text), "[2001:db8::7]:5060");
    CHECK_INT(addr_len(&a), sizeof(struct sockaddr_in6));
    memset(&ss, 0, sizeof ss);
    addr_from_socket(&a, &ss);
    CHECK_STR(addr_host_text(&a, text), "-");
}

TEST(addresses_are_compared_with_and_without_port)
{
    struct addr a, b, c, d;

    CHECK(addr_from_text(&a, SV("192.0.2.1:1")) && addr_from_text(&b, SV("192.0.2.1:2")));
    CHECK(addr_from_text(&c, SV("[2001:db8::1]:1")) && addr_from_text(&d, SV("[2001:db8::2]:1")));
    CHECK(addr_host_eq(&a, &b) && !addr_eq(&a, &b) && addr_eq(&a, &a));
    CHECK(!addr_host_eq(&a, &c) && !addr_host_eq(&c, &d) && addr_host_eq(&c, &c));
    addr_set_port(&b, 1);
    CHECK(addr_eq(&a, &b));
    addr_set_port(&c, 65535);
    CHECK_INT(addr_port(&c), 65535);
}

/* M-SEC-02: what a client must not make us connect to. */
TEST(every_address_is_of_one_kind)
{
    static const struct {
        const char *host;
        enum addr_kind kind;
    } rows[] = {
        { "192.0.2.1", ADDR_PUBLIC },         { "8.8.8.8", ADDR_PUBLIC },           { "223.255.255.255", ADDR_PUBLIC },
        { "9.255.255.255", ADDR_PUBLIC },     { "10.0.0.0", ADDR_PRIVATE },         { "10.255.255.255", ADDR_PRIVATE },
        { "11.0.0.0", ADDR_PUBLIC },          { "172.15.255.255", ADDR_PUBLIC },    { "172.16.0.0", ADDR_PRIVATE },
        { "172.31.255.255", ADDR_PRIVATE },   { "172.32.0.0", ADDR_PUBLIC },        { "192.167.255.255", ADDR_PUBLIC },
        { "192.168.0.0", ADDR_PRIVATE },      { "192.168.255.255", ADDR_PRIVATE },  { "192.169.0.0", ADDR_PUBLIC },
        { "100.63.255.255", ADDR_PUBLIC },    { "100.64.0.0", ADDR_PRIVATE },       { "100.127.255.255", ADDR_PRIVATE },
        { "100.128.0.0", ADDR_PUBLIC },       { "126.255.255.255", ADDR_PUBLIC },   { "127.0.0.0", ADDR_LOOPBACK },
        { "127.255.255.255", ADDR_LOOPBACK }, { "128.0.0.0", ADDR_PUBLIC },         { "0.0.0.0", ADDR_NEVER },
        { "0.1.2.3", ADDR_NEVER },            { "169.253.255.255", ADDR_PUBLIC },   { "169.254.169.254", ADDR_NEVER },
        { "169.255.0.0", ADDR_PUBLIC },       { "224.0.0.1", ADDR_NEVER },          { "239.255.255.255", ADDR_NEVER },
        { "240.0.0.1", ADDR_NEVER },          { "255.255.255.255", ADDR_NEVER },
        { "2001:db8::1", ADDR_PUBLIC },       { "2606:4700::1111", ADDR_PUBLIC },   { "::", ADDR_NEVER },
        { "::1", ADDR_LOOPBACK },             { "fe80::1", ADDR_NEVER },            { "febf::1", ADDR_NEVER },
        { "ff02::1", ADDR_NEVER },            { "fc00::1", ADDR_PRIVATE },          { "fdff::1", ADDR_PRIVATE },
        { "fe00::1", ADDR_PUBLIC },
        /* An IPv4 address in disguise is judged by what it is. */
        { "::ffff:127.0.0.1", ADDR_LOOPBACK }, { "::ffff:10.0.0.1", ADDR_PRIVATE }, { "::ffff:169.254.169.254", ADDR_NEVER },
        { "::ffff:192.0.2.1", ADDR_PUBLIC },  { "::ffff:0.0.0.0", ADDR_NEVER },     { "::127.0.0.1", ADDR_LOOPBACK },
        { "::10.0.0.1", ADDR_PRIVATE },       { "64:ff9b::127.0.0.1", ADDR_LOOPBACK }, { "64:ff9b::10.1.2.3", ADDR_PRIVATE },
        { "64:ff9b::192.0.2.1", ADDR_PUBLIC }, { "64:ff9b:1::1", ADDR_PRIVATE },      { "64:ff9b:2::1", ADDR_PUBLIC },
        { "fec0::1", ADDR_PRIVATE },          { "2002:7f00:1::1", ADDR_LOOPBACK },    { "2002:a01:203::1", ADDR_PRIVATE },
        { "2002:c000:201::1", ADDR_PUBLIC },  { "2003:7f00:1::1", ADDR_PUBLIC },
    };
    struct addr none = { 0 };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct addr a;

        CHECK(addr_from_host(&a, sv_of(rows[i].host), 1));
        if (addr_kind(&a) != rows[i].kind) {
            fprintf(stderr, "\n    %s is of kind %d, not %d", rows[i].host, addr_kind(&a), rows[i].kind);
            CHECK(false);
        }
    }
    CHECK_INT(addr_kind(&none), ADDR_NEVER);
}

TEST(a_block_holds_the_addresses_of_its_prefix)
{
    static const struct {
        const char *block, *host;
        bool in;
    } rows[] = {
        { "10.0.0.0/8", "10.255.1.2", true },          { "10.0.0.0/8", "11.0.0.0", false },
        { "10.1.2.3/8", "10.9.9.9", true },            { "192.0.2.128/25", "192.0.2.127", false },
        { "192.0.2.128/25", "192.0.2.128", true },     { "192.0.2.1", "192.0.2.1", true },
        { "192.0.2.1", "192.0.2.2", false },           { "192.0.2.1/32", "192.0.2.1", true },
        { "192.0.2.0/31", "192.0.2.1", true },         { "192.0.2.0/31", "192.0.2.2", false },
        { "0.0.0.0/0", "203.0.113.9", true },          { "0.0.0.0/0", "::1", false },
        { "::/0", "2001:db8::1", true },               { "::/0", "192.0.2.1", false },
        { "2001:db8::/32", "2001:db8:ffff::1", true }, { "2001:db8::/32", "2001:db9::1", false },
        { "2001:db8::/33", "2001:db8:8000::", false }, { "2001:db8::1", "2001:db8::1", true },
        { "2001:db8::1/128", "2001:db8::2", false },   { "fe80::/10", "febf::1", true },
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct cidr c;
        struct addr a;

        CHECK(cidr_parse(&c, sv_of(rows[i].block)));
        CHECK(addr_from_host(&a, sv_of(rows[i].host), 5060));
        if (cidr_has(&c, &a) != rows[i].in) {
            fprintf(stderr, "\n    %s in %s: not %d", rows[i].host, rows[i].block, rows[i].in);
            CHECK(false);
        }
    }
}

TEST(what_is_no_block_is_refused)
{
    static const char *const bad[] = { "", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0.0/8 ", "::/129",
                                       "10.0.0/8", "public", "10.0.0.0/99999999999999999999" };

    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++) {
        struct cidr c;

        CHECK(!cidr_parse(&c, sv_of(bad[i])));
    }
}

TEST(a_port_as_text_is_a_number_up_to_65535_or_none)
{
    CHECK_INT(addr_port_of_text("5061", 5060), 5061);
    CHECK_INT(addr_port_of_text("65535", 5060), 65535);
    CHECK_INT(addr_port_of_text(NULL, 5060), 5060);
    CHECK_INT(addr_port_of_text("", 5060), 5060);
    CHECK_INT(addr_port_of_text("65536", 5060), 0);
    CHECK_INT(addr_port_of_text("4294972356", 5060), 0); /* 2^32 + 5060 */
    CHECK_INT(addr_port_of_text("-1", 5060), 0);
    CHECK_INT(addr_port_of_text("5060x", 5060), 0);
}

/* M-SEC-02: a wildcard address is every address of this machine, and no other's. */
TEST(a_listener_is_recognised_by_each_of_its_addresses)
{
    static const struct {
        const char *to, *at;
        bool served;
    } rows[] = { { "127.0.0.1:5060", "127.0.0.1:5060", true },  { "127.0.0.1:5061", "127.0.0.1:5060", false },
                 { "127.0.0.2:5060", "127.0.0.1:5060", false }, { "127.9.9.9:5060", "0.0.0.0:5060", true },
                 { "192.0.2.1:5060", "0.0.0.0:5060", false },   { "127.0.0.1:5061", "0.0.0.0:5060", false },
                 { "[::1]:5060", "[::]:5060", true },           { "[2001:db8::1]:5060", "[::]:5060", false },
                 { "[::1]:5060", "0.0.0.0:5060", false },       { "127.0.0.1:5060", "[::]:5060", false } };
    struct ifaddrs *all;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct addr to, at;

        CHECK_FATAL(addr_from_text(&to, sv_of(rows[i].to)) && addr_from_text(&at, sv_of(rows[i].at)));
        CHECK_INT(addr_is_served(&to, &at), rows[i].served);
    }
    CHECK_FATAL(getifaddrs(&all) == 0);
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        struct addr mine = { 0 };

        if (!i->ifa_addr || (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
            continue;
        memcpy(&mine, i->ifa_addr, i->ifa_addr->sa_family == AF_INET ? sizeof mine.in : sizeof mine.in6);
        CHECK(addr_is_local(&mine));
    }
    freeifaddrs(all);
}

SUITE(addr_suite, TEST_ROW(a_listener_is_recognised_by_each_of_its_addresses), TEST_ROW(a_port_as_text_is_a_number_up_to_65535_or_none),
      TEST_ROW(text_with_port_is_parsed_and_printed), TEST_ROW(what_is_no_address_with_port_is_refused),
      TEST_ROW(a_host_is_an_ip_literal_with_brackets_optional_around_ipv6),
      TEST_ROW(a_socket_address_that_maps_ipv4_becomes_ipv4), TEST_ROW(addresses_are_compared_with_and_without_port),
      TEST_ROW(every_address_is_of_one_kind), TEST_ROW(a_block_holds_the_addresses_of_its_prefix),
      TEST_ROW(what_is_no_block_is_refused));
