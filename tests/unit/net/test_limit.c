/* Connection limits. */
#include "net/limit.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>

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

    return limits_enter(l, &a);
}

static void leave(struct limits *l, const char *text)
{
    struct addr a = addr(text);

    limits_leave(l, &a);
}

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

SUITE(limit_suite, TEST_ROW(the_total_is_enforced_and_given_back), TEST_ROW(each_address_has_its_own_limit_and_ports_do_not_matter),
      TEST_ROW(an_ipv6_subscriber_is_a_64_bit_prefix), TEST_ROW(a_refused_connection_takes_nothing_of_the_total),
      TEST_ROW(new_limits_hold_for_what_comes_after), TEST_ROW(addresses_that_left_take_no_memory),
      TEST_ROW(threads_share_the_limits_and_lose_no_count));
