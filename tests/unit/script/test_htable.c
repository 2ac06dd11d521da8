/* Hash tables of scripts: expiry, bounds, many threads. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "script/htable.h"
#include "tests/unit/harness.h"

static struct htables *tables(const char *def)
{
    char *defs[] = { (char *)def };
    struct buf fault = BUF_INIT;
    struct htables *t = NULL;

    CHECK_INT(htables_new(&t, &(struct conf_list){ defs, 1 }, &fault), 0);
    buf_fini(&fault);
    return t;
}

TEST(entries_end_when_their_time_is_over)
{
    struct htables *all = tables("t=>size=4;autoexpire=10");
    struct htable *t = htables_find(all, SV("t"));
    static struct htable_value v;
    int64_t left;

    CHECK(htable_set_text(t, SV("k"), SV("v"), -1, 1000));
    CHECK(htable_get(t, SV("k"), 10999, &v) && v.n == 1 && v.text[0] == 'v');
    CHECK(htable_get_expires(t, SV("k"), 10999, &left) && left == 1);
    CHECK(!htable_get(t, SV("k"), 11000, &v));
    CHECK_INT(htable_count(t), 0);
    /* an update prolongs it */
    CHECK(htable_set_int(t, SV("k"), 1, -1, 1000) && htable_set_int(t, SV("k"), 2, -1, 9000));
    CHECK(htable_get(t, SV("k"), 18999, &v) && v.i == 2);
    /* a time of its own, and for ever */
    CHECK(htable_set_expires(t, SV("k"), 1, 9000) && !htable_get(t, SV("k"), 10000, &v));
    CHECK(htable_set_int(t, SV("k"), 1, 0, 1000) && htable_get(t, SV("k"), 1000000000, &v));
    CHECK(htable_remove(t, SV("k"), 1000) && !htable_remove(t, SV("k"), 1000));
    htables_free(&all);
}

TEST(updates_do_not_prolong_where_that_is_said)
{
    struct htables *all = tables("t=>size=4;autoexpire=10;updateexpire=0");
    struct htable *t = htables_find(all, SV("t"));
    static struct htable_value v;
    int64_t n;

    CHECK(htable_add(t, SV("k"), 1, 1000, &n) && htable_add(t, SV("k"), 1, 10000, &n) && n == 2);
    CHECK(!htable_get(t, SV("k"), 11000, &v));
    CHECK(htable_add(t, SV("k"), 1, 11000, &n) && n == 1);
    htables_free(&all);
}

TEST(a_full_table_takes_no_more_until_something_has_expired)
{
    struct htables *all = tables("t=>size=1;autoexpire=10");
    struct htable *t = htables_find(all, SV("t"));
    unsigned taken = 0;

    for (unsigned i = 0; i < 10000; i++) {
        struct sv key = sv_make(&i, sizeof i);

        taken += htable_set_int(t, key, 1, -1, 1000);
    }
    CHECK_INT(taken, htable_max(t));
    CHECK_INT(htable_count(t), htable_max(t));
    CHECK_INT(htable_max(t), 2 * HTABLE_PER_SLOT);
    for (unsigned i = 10000; i < 20000; i++)
        CHECK(htable_count(t) <= htable_max(t) && (htable_set_int(t, sv_make(&i, sizeof i), 1, -1, 11000) || i > 10000));
    CHECK_INT(htable_count(t), htable_max(t));
    htable_reset(t);
    CHECK_INT(htable_count(t), 0);
    htables_free(&all);
}

TEST(keys_and_values_have_bounds)
{
    struct htables *all = tables("t=>size=4");
    struct htable *t = htables_find(all, SV("t"));
    static char long_[HTABLE_VALUE_MAX + 1];

    CHECK(htable_set_text(t, SV("k"), sv_make(long_, HTABLE_VALUE_MAX), -1, 1));
    CHECK(!htable_set_text(t, SV("k"), sv_make(long_, HTABLE_VALUE_MAX + 1), -1, 1));
    CHECK(htable_set_int(t, sv_make(long_, HTABLE_KEY_MAX), 1, -1, 1));
    CHECK(!htable_set_int(t, sv_make(long_, HTABLE_KEY_MAX + 1), 1, -1, 1));
    CHECK(!htable_set_int(t, SV(""), 1, -1, 1));
    htables_free(&all);
}

TEST(definitions_that_are_wrong_are_refused)
{
    static const char *const wrong[] = { "t", "t=size=4", "=>size=4", "t=>size=0", "t=>size=21", "t=>size", "t=>colour=1", "t=>autoexpire=-1",
                                         "t=>updateexpire=2", "t=>initval=x" };
    struct htables *t;

    for (size_t i = 0; i < TD_ARRAY_LEN(wrong); i++) {
        char *defs[] = { (char *)wrong[i] };
        struct buf fault = BUF_INIT;

        CHECK(htables_new(&t, &(struct conf_list){ defs, 1 }, &fault) != 0 && t == NULL && fault.n > 0);
        buf_fini(&fault);
    }
}

enum { THREADS = 4, ROUNDS = 5000 };

static void *count_up(void *arg)
{
    static __thread struct htable_value v;
    int64_t n;

    for (int i = 0; i < ROUNDS; i++) {
        char key[16];

        htable_add(arg, SV("shared"), 1, 1, &n);
        snprintf(key, sizeof key, "%d", i % 50);
        htable_set_text(arg, sv_of(key), sv_of(key), -1, 1);
        if (htable_get(arg, sv_of(key), 1, &v) && !sv_eq(sv_make(v.text, v.n), sv_of(key)))
            abort();
        if (i % 7 == 0)
            htable_remove(arg, sv_of(key), 1);
    }
    return NULL;
}

TEST(threads_share_a_table_and_no_count_is_lost)
{
    struct htables *all = tables("t=>size=8");
    struct htable *t = htables_find(all, SV("t"));
    static struct htable_value v;
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        CHECK_FATAL(pthread_create(&threads[i], NULL, count_up, t) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(htable_get(t, SV("shared"), 1, &v) && v.i == THREADS * ROUNDS);
    htables_free(&all);
}

SUITE(htable_suite, TEST_ROW(entries_end_when_their_time_is_over), TEST_ROW(updates_do_not_prolong_where_that_is_said),
      TEST_ROW(a_full_table_takes_no_more_until_something_has_expired), TEST_ROW(keys_and_values_have_bounds),
      TEST_ROW(definitions_that_are_wrong_are_refused), TEST_ROW(threads_share_a_table_and_no_count_is_lost));
