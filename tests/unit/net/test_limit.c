/* Connection limits. */
#include "net/limit.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>

#include "common/err.h"
#include "tests/unit/harness.h"

static struct addr addr(const char *text)
{
    struct addr a;

    CHECK(addr_from_host(&a, sv_of(text), 5060));
    return a;
}

static bool enter(struct limits *l, const char *text)
{
    struct addr a = addr(text);
    enum limits_entry entry = limits_enter(l, &a);

    if (entry == LIMITS_CROWDED)
        limits_leave(l, &a);
    return entry == LIMITS_ENTERED;
}

static void leave(struct limits *l, const char *text)
{
    struct addr a = addr(text);

    limits_leave(l, &a);
}

/* M-SEC-04 */
TEST(the_total_is_enforced_and_given_back)
{
    struct limits *l;

    CHECK_INT(limits_new(&l, 2, 10), 0);
    CHECK(enter(l, "192.0.2.1"));
    CHECK(enter(l, "192.0.2.2"));
    CHECK(!enter(l, "192.0.2.3"));
    leave(l, "192.0.2.1");
    CHECK(enter(l, "192.0.2.3"));
    CHECK(!enter(l, "192.0.2.1"));
    limits_free(&l);
}

/* M-SEC-04 */
TEST(each_address_has_its_own_limit_and_ports_do_not_matter)
{
    struct addr a = addr("192.0.2.1"), b = a;
    struct limits *l;

    CHECK_INT(limits_new(&l, 100, 2), 0);
    addr_set_port(&b, 7);
    CHECK(limits_enter(l, &a));
    CHECK(limits_enter(l, &b));
    CHECK(!limits_enter(l, &a));
    CHECK(enter(l, "192.0.2.2"));
    limits_leave(l, &b);
    CHECK(limits_enter(l, &a));
    CHECK(!limits_enter(l, &b));
    limits_free(&l);
}

TEST(an_ipv6_subscriber_is_a_64_bit_prefix)
{
    struct limits *l;

    CHECK_INT(limits_new(&l, 100, 2), 0);
    CHECK(enter(l, "2001:db8:0:1::1"));
    CHECK(enter(l, "2001:db8:0:1:ffff::2"));
    CHECK(!enter(l, "2001:db8:0:1::3"));
    CHECK(enter(l, "2001:db8:0:2::3"));
    leave(l, "2001:db8:0:1::3"); /* any of the prefix */
    CHECK(enter(l, "2001:db8:0:1::4"));
    limits_free(&l);
}

TEST(a_refused_connection_takes_nothing_of_the_total)
{
    struct limits *l;

    CHECK_INT(limits_new(&l, 3, 1), 0);
    CHECK(enter(l, "192.0.2.1"));
    for (int i = 0; i < 10; i++)
        CHECK(!enter(l, "192.0.2.1"));
    CHECK(enter(l, "192.0.2.2"));
    CHECK(enter(l, "192.0.2.3"));
    CHECK(!enter(l, "192.0.2.4"));
    limits_free(&l);
}

TEST(new_limits_hold_for_what_comes_after)
{
    struct limits *l;

    CHECK_INT(limits_new(&l, 10, 10), 0);
    for (int i = 0; i < 5; i++)
        CHECK(enter(l, "192.0.2.1"));
    limits_set(l, 10, 3);
    CHECK(!enter(l, "192.0.2.1"));
    leave(l, "192.0.2.1");
    leave(l, "192.0.2.1");
    CHECK(!enter(l, "192.0.2.1"));
    leave(l, "192.0.2.1");
    CHECK(enter(l, "192.0.2.1"));
    limits_set(l, 1, 10);
    CHECK(!enter(l, "192.0.2.9"));
    limits_free(&l);
}

TEST(addresses_that_left_take_no_memory)
{
    struct limits *l;
    size_t before = 0;

    CHECK_INT(limits_new(&l, 1000000, 10), 0);
    for (int round = 0; round < 3; round++) {
        if (round == 2) /* the table itself has grown in the first rounds */
            before = mallinfo2().uordblks;
        for (uint32_t i = 0; i < 5000; i++) {
            struct addr a = addr("10.0.0.0");

            a.in.sin_addr.s_addr = htonl(0x0a000000 + i);
            CHECK(limits_enter(l, &a));
        }
        for (uint32_t i = 0; i < 5000; i++) {
            struct addr a = addr("10.0.0.0");

            a.in.sin_addr.s_addr = htonl(0x0a000000 + i);
            limits_leave(l, &a);
        }
    }
    CHECK(mallinfo2().uordblks <= before + 5000);
    limits_free(&l);
}

struct hammer {
    struct limits *l;
    pthread_t thread;
    unsigned number, entered;
};

static void *hammer_run(void *arg)
{
    struct hammer *h = arg;

    for (uint32_t i = 0; i < 20000; i++) {
        struct addr a = addr("10.0.0.1");

        a.in.sin_addr.s_addr = htonl(0x0a000000 + (i + h->number) % 7);
        if (limits_enter(h->l, &a)) {
            h->entered++;
            limits_leave(h->l, &a);
        }
    }
    return NULL;
}

TEST(threads_share_the_limits_and_lose_no_count)
{
    struct hammer h[4];
    struct limits *l;
    unsigned entered = 0;

    CHECK_INT(limits_new(&l, 3, 2), 0);
    for (unsigned i = 0; i < TD_ARRAY_LEN(h); i++) {
        h[i] = (struct hammer){ .l = l, .number = i };
        CHECK_INT(pthread_create(&h[i].thread, NULL, hammer_run, &h[i]), 0);
    }
    for (unsigned i = 0; i < TD_ARRAY_LEN(h); i++) {
        pthread_join(h[i].thread, NULL);
        entered += h[i].entered; /* one alone may find the others holding all three for its whole run */
    }
    CHECK(entered > 0);
    CHECK(enter(l, "10.0.0.1"));
    CHECK(enter(l, "10.0.0.1"));
    CHECK(!enter(l, "10.0.0.1"));
    CHECK(enter(l, "10.0.0.2"));
    CHECK(!enter(l, "10.0.0.2"));
    limits_free(&l);
}

static uint64_t test_now = 1000;

static uint64_t test_clock(void)
{
    return test_now;
}

static int ban(struct limits *l, const char *text, uint64_t seconds)
{
    struct addr a = addr(text);

    return limits_ban(l, &a, seconds, "test");
}

static bool unban(struct limits *l, const char *text)
{
    struct addr a = addr(text);

    return limits_unban(l, &a);
}

static bool is_banned(struct limits *l, const char *text)
{
    struct addr a = addr(text);

    return limits_is_banned(l, &a);
}

static bool request(struct limits *l, const char *text)
{
    struct addr a = addr(text);

    return limits_request(l, &a);
}

static size_t count_bans(struct limits *l)
{
    struct limits_ban *bans;
    size_t n;

    CHECK_INT(limits_bans(l, &bans, &n), 0);
    free(bans);
    return n;
}

TEST(a_banned_source_is_refused_until_its_time_is_over)
{
    struct limits *l;

    CHECK_INT(limits_new(&l, 100, 100), 0);
    limits_set_clock(l, test_clock);
    limits_set_requests(l, 0, 300);
    CHECK_INT(ban(l, "192.0.2.1", 10), 0);
    CHECK(!enter(l, "192.0.2.1"));
    CHECK(enter(l, "192.0.2.2"));
    CHECK(is_banned(l, "192.0.2.1") && !is_banned(l, "192.0.2.2"));
    test_now += 9;
    CHECK(!enter(l, "192.0.2.1"));
    test_now += 1;
    CHECK(!is_banned(l, "192.0.2.1"));
    CHECK(enter(l, "192.0.2.1"));
    CHECK_INT(count_bans(l), 0);

    CHECK_INT(ban(l, "192.0.2.9", 0), 0); /* as configured */
    test_now += 299;
    CHECK(is_banned(l, "192.0.2.9"));
    CHECK_INT(ban(l, "192.0.2.9", 5), 0); /* a new end, not a second ban */
    CHECK_INT(count_bans(l), 1);
    test_now += 5;
    CHECK_INT(count_bans(l), 0);
    limits_free(&l);
}

TEST(a_ban_is_lifted_by_hand_and_is_for_a_whole_ipv6_network)
{
    struct limits_ban *bans;
    struct limits *l;
    char text[ADDR_TEXT_MAX];
    size_t n;

    CHECK_INT(limits_new(&l, 100, 100), 0);
    limits_set_clock(l, test_clock);
    CHECK(!unban(l, "2001:db8::1"));
    CHECK_INT(ban(l, "2001:db8::1", 60), 0);
    CHECK(!enter(l, "2001:db8::2"));
    CHECK(enter(l, "2001:db8:0:1::1"));
    CHECK_INT(limits_bans(l, &bans, &n), 0);
    CHECK_INT(n, 1);
    CHECK_STR(addr_host_text(&bans[0].addr, text), "2001:db8::1");
    CHECK_INT(bans[0].left_s, 60);
    CHECK_STR(bans[0].reason, "test");
    free(bans);
    CHECK(unban(l, "2001:db8::3"));
    CHECK(enter(l, "2001:db8::2"));
    CHECK(!unban(l, "2001:db8::3"));
    limits_free(&l);
}

TEST(a_ban_while_connections_are_open_outlives_them)
{
    struct limits *l;

    CHECK_INT(limits_new(&l, 100, 100), 0);
    limits_set_clock(l, test_clock);
    CHECK(enter(l, "192.0.2.1"));
    CHECK_INT(ban(l, "192.0.2.1", 10), 0);
    leave(l, "192.0.2.1");
    CHECK(!enter(l, "192.0.2.1"));
    test_now += 10;
    CHECK(enter(l, "192.0.2.1"));
    leave(l, "192.0.2.1");
    limits_free(&l);
}

TEST(too_many_requests_in_a_second_shut_a_source_out)
{
    struct limits *l;

    CHECK_INT(limits_new(&l, 100, 100), 0);
    limits_set_clock(l, test_clock);
    CHECK(enter(l, "192.0.2.1") && enter(l, "192.0.2.1") && enter(l, "192.0.2.2"));
    for (int i = 0; i < 1000; i++)
        CHECK(request(l, "192.0.2.1")); /* no limit yet */
    limits_set_requests(l, 3, 20);
    for (int second = 0; second < 5; second++) {
        for (int i = 0; i < 3; i++)
            CHECK(request(l, "192.0.2.1"));
        test_now++;
    }
    for (int i = 0; i < 3; i++)
        CHECK(request(l, "192.0.2.1"));
    CHECK(!request(l, "192.0.2.1"));
    CHECK(is_banned(l, "192.0.2.1"));
    CHECK(request(l, "192.0.2.2"));
    test_now++;
    CHECK(!request(l, "192.0.2.1")); /* on its other connection */
    CHECK(!enter(l, "192.0.2.1"));
    test_now += 19;
    CHECK(request(l, "192.0.2.1"));
    CHECK(enter(l, "192.0.2.1"));
    limits_free(&l);
}

TEST(bans_are_bounded_and_those_that_are_over_make_room)
{
    struct limits *l;
    char text[ADDR_TEXT_MAX];

    CHECK_INT(limits_new(&l, 100, 100), 0);
    limits_set_clock(l, test_clock);
    for (unsigned i = 0; i < LIMITS_BANS_MAX; i++) {
        snprintf(text, sizeof text, "10.0.%u.%u", i >> 8, i & 255);
        CHECK_INT(ban(l, text, i < 1000 ? 5 : 50), 0);
    }
    CHECK_INT(ban(l, "192.0.2.1", 5), TD_ELIMIT);
    CHECK_INT(count_bans(l), LIMITS_BANS_MAX);
    test_now += 5;
    CHECK_INT(ban(l, "192.0.2.1", 5), 0);
    CHECK_INT(count_bans(l), LIMITS_BANS_MAX - 1000 + 1);
    test_now += 50;
    CHECK_INT(count_bans(l), 0);
    limits_free(&l);
}

SUITE(limit_suite, TEST_ROW(the_total_is_enforced_and_given_back), TEST_ROW(each_address_has_its_own_limit_and_ports_do_not_matter),
      TEST_ROW(an_ipv6_subscriber_is_a_64_bit_prefix), TEST_ROW(a_refused_connection_takes_nothing_of_the_total),
      TEST_ROW(new_limits_hold_for_what_comes_after), TEST_ROW(addresses_that_left_take_no_memory),
      TEST_ROW(threads_share_the_limits_and_lose_no_count),
      TEST_ROW(a_banned_source_is_refused_until_its_time_is_over),
      TEST_ROW(a_ban_is_lifted_by_hand_and_is_for_a_whole_ipv6_network),
      TEST_ROW(a_ban_while_connections_are_open_outlives_them), TEST_ROW(too_many_requests_in_a_second_shut_a_source_out),
      TEST_ROW(bans_are_bounded_and_those_that_are_over_make_room));
