/* Calls in the next round of the loop. */
#include "sip/later.h"
#include "tests/unit/harness.h"

static void count(void *arg)
{
    ++*(int *)arg;
}

TEST(a_call_that_is_due_comes_in_the_next_round)
{
    su_root_t *root;
    int n = 0;

    su_init();
    root = su_root_create(NULL);
    CHECK_FATAL(root != NULL);
    CHECK(later(root, count, &n));
    CHECK_INT(n, 0);
    su_root_step(root, 0);
    CHECK_INT(n, 1);
    su_root_destroy(root);
    su_deinit();
}

/* Without later_forget() the address sanitizer would find the root's memory at the end. */
TEST(a_call_that_is_forgotten_does_not_come)
{
    su_root_t *root;
    int n = 0;

    su_init();
    root = su_root_create(NULL);
    CHECK_FATAL(root != NULL);
    CHECK(later(root, count, &n));
    later_forget(root);
    CHECK(later(root, count, &n));
    su_root_step(root, 0);
    CHECK_INT(n, 1);
    su_root_destroy(root);
    su_deinit();
}

SUITE(later_suite, TEST_ROW(a_call_that_is_due_comes_in_the_next_round), TEST_ROW(a_call_that_is_forgotten_does_not_come));
