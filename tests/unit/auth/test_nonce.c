/* Nonces: whose they are, how old, and which counts are used up. M-AUTH-13, S-AUT-08, S-AUT-11. */
#include "auth/nonce.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/harness.h"

enum { LIFE = 900, FIRST_USE = 60, T0 = 1000 };

TEST(a_nonce_is_ours_for_its_realm_and_its_lifetime)
{
    struct nonces *n, *other;
    char a[NONCE_LEN + 1], b[NONCE_LEN + 1];

    CHECK_INT(nonces_new(&n), 0);
    CHECK_INT(nonces_new(&other), 0);
    nonce_make(n, SV("r"), T0, LIFE, a);
    nonce_make(n, SV("r"), T0, LIFE, b);
    CHECK(strcmp(a, b) != 0);
    CHECK_INT(strlen(a), NONCE_LEN);
    CHECK_INT(nonce_check(n, sv_of(a), SV("r"), T0, LIFE), NONCE_GOOD);
    CHECK_INT(nonce_check(n, sv_of(a), SV("r"), T0 + LIFE, LIFE), NONCE_GOOD);
    CHECK_INT(nonce_check(n, sv_of(a), SV("r"), T0 + LIFE + 1, LIFE), NONCE_STALE);
    CHECK_INT(nonce_check(n, sv_of(a), SV("r2"), T0, LIFE), NONCE_FOREIGN);
    CHECK_INT(nonce_check(other, sv_of(a), SV("r"), T0, LIFE), NONCE_FOREIGN);
    CHECK(strcmp(nonces_opaque(n), nonces_opaque(other)) != 0 && *nonces_opaque(n));
    nonces_free(&n);
    nonces_free(&other);
}

/* S-AUT-11: the secret changes once a lifetime. All stripes have had their first nonce at T0 and rotate by one nonce each. */
TEST(secrets_rotate_and_each_nonce_lives_out_its_life)
{
    enum { N = 4096, LATE = T0 + 2 * LIFE }; /* 64 a stripe */
    static char first[N][NONCE_LEN + 1], last[N][NONCE_LEN + 1];
    struct nonces *n;
    char scratch[NONCE_LEN + 1];
    size_t good[2] = { 0 }, stale = 0, foreign = 0;

    CHECK_INT(nonces_new(&n), 0);
    for (size_t i = 0; i < N; i++)
        nonce_make(n, SV("r"), T0, LIFE, first[i]);
    for (size_t i = 0; i < N; i++)
        nonce_make(n, SV("r"), T0 + LIFE, LIFE, last[i]); /* the last second of the first secret */
    for (size_t i = 0; i < N; i++)
        nonce_make(n, SV("r"), T0 + LIFE + 1, LIFE, scratch); /* the second one */
    for (size_t i = 0; i < N; i++) {
        good[0] += nonce_check(n, sv_of(last[i]), SV("r"), LATE, LIFE) == NONCE_GOOD;
        stale += nonce_check(n, sv_of(first[i]), SV("r"), LATE, LIFE) == NONCE_STALE;
    }
    CHECK_INT(good[0], N);
    CHECK_INT(stale, N); /* what the secret before this one has made is known, and old */
    for (size_t i = 0; i < N; i++)
        nonce_make(n, SV("r"), LATE + 1, LIFE, first[i]); /* still the second one */
    for (size_t i = 0; i < N; i++)
        nonce_make(n, SV("r"), LATE + 2, LIFE, scratch); /* the third */
    for (size_t i = 0; i < N; i++) {
        good[1] += nonce_check(n, sv_of(first[i]), SV("r"), LATE + 1 + LIFE, LIFE) == NONCE_GOOD;
        foreign += nonce_check(n, sv_of(last[i]), SV("r"), LATE + 2, 10 * LIFE) == NONCE_FOREIGN;
    }
    CHECK_INT(good[1], N);
    CHECK_INT(foreign, N); /* the first secret is gone, whatever the lifetime */
    nonces_free(&n);
}

TEST(every_changed_digit_makes_a_nonce_foreign)
{
    struct nonces *n;
    char a[NONCE_LEN + 1];

    CHECK_INT(nonces_new(&n), 0);
    nonce_make(n, SV("r"), T0, LIFE, a);
    for (int i = 0; i < NONCE_LEN; i++) {
        char was = a[i];

        a[i] = was == '0' ? '1' : '0';
        CHECK_INT(nonce_check(n, sv_of(a), SV("r"), T0, LIFE), NONCE_FOREIGN);
        a[i] = 'A'; /* only the form that we print */
        CHECK_INT(nonce_check(n, sv_of(a), SV("r"), T0, LIFE), NONCE_FOREIGN);
        a[i] = was;
    }
    CHECK_INT(nonce_check(n, sv_make(a, NONCE_LEN - 1), SV("r"), T0, LIFE), NONCE_FOREIGN);
    CHECK_INT(nonce_check(n, SV(""), SV("r"), T0, LIFE), NONCE_FOREIGN);
    CHECK_INT(nonce_check(n, sv_of(a), SV("r"), T0, LIFE), NONCE_GOOD);
    nonces_free(&n);
}

TEST(a_count_is_taken_once_and_a_window_lets_requests_overtake)
{
    struct nonces *n;
    char a[NONCE_LEN + 1];

    CHECK_INT(nonces_new(&n), 0);
    nonce_make(n, SV("r"), T0, LIFE, a);
    CHECK(!nonce_use(n, sv_of(a), 0, T0, FIRST_USE, LIFE));
    CHECK(nonce_use(n, sv_of(a), 1, T0, FIRST_USE, LIFE));
    CHECK(!nonce_use(n, sv_of(a), 1, T0, FIRST_USE, LIFE));
    CHECK(nonce_use(n, sv_of(a), 3, T0, FIRST_USE, LIFE)); /* 2 was overtaken */
    CHECK(nonce_use(n, sv_of(a), 2, T0, FIRST_USE, LIFE));
    CHECK(!nonce_use(n, sv_of(a), 2, T0, FIRST_USE, LIFE));
    CHECK(!nonce_use(n, sv_of(a), 1, T0, FIRST_USE, LIFE));
    CHECK(nonce_use(n, sv_of(a), 67, T0, FIRST_USE, LIFE)); /* exactly 64 ahead: 3 is the last in the window */
    CHECK(!nonce_use(n, sv_of(a), 3, T0, FIRST_USE, LIFE));
    CHECK(nonce_use(n, sv_of(a), 4, T0, FIRST_USE, LIFE));
    CHECK(nonce_use(n, sv_of(a), 0xffffffff, T0, FIRST_USE, LIFE));
    CHECK(!nonce_use(n, sv_of(a), 0xffffffff - 65, T0, FIRST_USE, LIFE)); /* one below the window */
    CHECK(nonce_use(n, sv_of(a), 0xffffffff - 64, T0, FIRST_USE, LIFE));
    CHECK(!nonce_use(n, sv_of(a), 0xffffffff - 64, T0, FIRST_USE, LIFE));
    CHECK(!nonce_use(n, sv_of(a), 5, T0, FIRST_USE, LIFE));
    nonces_free(&n);
}

TEST(every_count_of_a_shuffled_run_is_taken_exactly_once)
{
    struct nonces *n;
    char a[NONCE_LEN + 1];
    uint32_t order[256];
    unsigned seed = 7;

    CHECK_INT(nonces_new(&n), 0);
    nonce_make(n, SV("r"), T0, LIFE, a);
    for (uint32_t i = 0; i < 256; i++)
        order[i] = i + 1;
    for (uint32_t i = 0; i < 256; i++) { /* nothing moves further than the window is wide */
        uint32_t j = TD_MIN(i + (uint32_t)rand_r(&seed) % 30, (uint32_t)255), t = order[i];

        order[i] = order[j];
        order[j] = t;
    }
    for (uint32_t i = 0; i < 256; i++) {
        bool in_window = true;

        for (uint32_t k = 0; k < i; k++)
            in_window = in_window && order[k] <= order[i] + 64;
        CHECK(nonce_use(n, sv_of(a), order[i], T0, FIRST_USE, LIFE) == in_window);
        CHECK(!nonce_use(n, sv_of(a), order[i], T0, FIRST_USE, LIFE));
    }
    nonces_free(&n);
}

TEST(a_first_use_that_comes_late_is_stale)
{
    struct nonces *n;
    char a[NONCE_LEN + 1], b[NONCE_LEN + 1];

    CHECK_INT(nonces_new(&n), 0);
    nonce_make(n, SV("r"), T0, LIFE, a);
    nonce_make(n, SV("r"), T0, LIFE, b);
    CHECK(nonce_use(n, sv_of(a), 1, T0 + FIRST_USE, FIRST_USE, LIFE));
    CHECK(nonce_use(n, sv_of(a), 2, T0 + LIFE, FIRST_USE, LIFE)); /* but once used it lives on */
    CHECK(!nonce_use(n, sv_of(b), 1, T0 + FIRST_USE + 1, FIRST_USE, LIFE));
    nonces_free(&n);
}

/* Twice as many nonces as the table holds: what was forgotten is stale, never good again. */
TEST(a_full_table_forgets_the_oldest_and_lets_no_replay_through)
{
    enum { N = 2 * NONCE_TABLE_MAX };
    static char made[N][NONCE_LEN + 1];
    struct nonces *n;
    size_t replayed = 0, kept = 0, good = 0;

    CHECK_INT(nonces_new(&n), 0);
    for (size_t i = 0; i < N; i++) {
        uint64_t now = T0 + i / (N / 50);

        nonce_make(n, SV("r"), now, LIFE, made[i]);
        good += nonce_use(n, sv_of(made[i]), 1, now, FIRST_USE, LIFE);
    }
    for (size_t i = 0; i < N; i++) {
        replayed += nonce_use(n, sv_of(made[i]), 1, T0 + 50, FIRST_USE, LIFE);
        kept += nonce_use(n, sv_of(made[i]), 2, T0 + 50, FIRST_USE, LIFE);
    }
    CHECK_INT(replayed, 0);
    CHECK(kept <= NONCE_TABLE_MAX && kept > NONCE_TABLE_MAX / 2);
    CHECK(good > N * 9 / 10);
    nonces_free(&n);
}

struct racer {
    struct nonces *n;
    const char *nonce;
    uint32_t won;
};

static void *race(void *arg)
{
    struct racer *r = arg;

    for (uint32_t nc = 1; nc <= 20000; nc++)
        r->won += nonce_use(r->n, sv_of(r->nonce), nc, T0, FIRST_USE, LIFE);
    return NULL;
}

TEST(two_threads_never_both_get_the_same_count)
{
    char a[NONCE_LEN + 1];
    struct racer r[2];
    struct nonces *n;
    pthread_t t[2];

    CHECK_INT(nonces_new(&n), 0);
    nonce_make(n, SV("r"), T0, LIFE, a);
    for (int i = 0; i < 2; i++) {
        r[i] = (struct racer){ n, a, 0 };
        pthread_create(&t[i], NULL, race, &r[i]);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    CHECK(r[0].won + r[1].won <= 20000 && r[0].won + r[1].won > 0);
    CHECK(!nonce_use(n, sv_of(a), 20000, T0, FIRST_USE, LIFE));
    nonces_free(&n);
}

SUITE(nonce_suite, TEST_ROW(a_nonce_is_ours_for_its_realm_and_its_lifetime),
      TEST_ROW(secrets_rotate_and_each_nonce_lives_out_its_life),
      TEST_ROW(every_changed_digit_makes_a_nonce_foreign),
      TEST_ROW(a_count_is_taken_once_and_a_window_lets_requests_overtake),
      TEST_ROW(every_count_of_a_shuffled_run_is_taken_exactly_once), TEST_ROW(a_first_use_that_comes_late_is_stale),
      TEST_ROW(a_full_table_forgets_the_oldest_and_lets_no_replay_through),
      TEST_ROW(two_threads_never_both_get_the_same_count));
