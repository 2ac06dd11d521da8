/* The single-producer single-consumer ring. */
#include "common/ring.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/harness.h"

TEST(full_ring_refuses_and_takes_again_after_a_consume)
{
    struct ring r;
    size_t n;
    int put = 0;

    CHECK_INT(ring_init(&r, 1024), 0);
    for (void *p; (p = ring_reserve(&r, 100)); put++) {
        memset(p, put, 100);
        ring_commit(&r, 100);
    }
    CHECK_INT(put, 9); /* 1024 / (8 + 104) */
    CHECK(ring_peek(&r, &n) != NULL && n == 100);
    ring_consume(&r);
    ring_consume(&r);
    CHECK(ring_reserve(&r, 100) != NULL);
    ring_fini(&r);
}

enum { MESSAGES = 200000 };

static void *produce(void *arg)
{
    struct ring *r = arg;

    for (uint32_t i = 0; i < MESSAGES;) {
        size_t n = 4 + i % 300;
        uint8_t *p = ring_reserve(r, n);

        if (!p)
            continue;
        memcpy(p, &i, 4);
        memset(p + 4, (uint8_t)i, n - 4);
        ring_commit(r, n);
        i++;
    }
    return NULL;
}

TEST(records_cross_threads_in_order_and_whole)
{
    struct ring r;
    pthread_t t;
    bool good = true;

    CHECK_INT(ring_init(&r, 4096), 0);
    pthread_create(&t, NULL, produce, &r);
    for (uint32_t i = 0; i < MESSAGES;) {
        size_t n;
        uint8_t *p = ring_peek(&r, &n);
        uint32_t seq;

        if (!p)
            continue;
        memcpy(&seq, p, 4);
        good = good && seq == i && n == 4 + i % 300 && (n == 4 || (p[4] == (uint8_t)i && p[n - 1] == (uint8_t)i));
        ring_consume(&r);
        i++;
    }
    pthread_join(t, NULL);
    CHECK(good);
    ring_fini(&r);
}

SUITE(ring_suite, TEST_ROW(full_ring_refuses_and_takes_again_after_a_consume), TEST_ROW(records_cross_threads_in_order_and_whole));
