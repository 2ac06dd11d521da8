/* sip/clock.c. */
#include "sip/clock.h"

#include "sip/sofia.h"
#include "tests/unit/harness.h"

enum { TIMERS = 5, TIMER_MS = 3 };

static unsigned turns, fired;

static void on_turn(su_prepoll_magic_t *magic, su_root_t *root)
{
    turns++;
}

static void on_timer(su_root_magic_t *magic, su_timer_t *t, su_timer_arg_t *arg)
{
    if (++fired == TIMERS)
        su_root_break((su_root_t *)arg);
    else
        su_timer_set(t, on_timer, arg);
}

/* Each wait may end early once, but a loop that does not sleep turns a hundred times as often. */
TEST(loop_sleeps_until_a_timer_is_due)
{
    su_root_t *root;
    su_timer_t *t;

    su_init();
    clock_whole_milliseconds();
    CHECK(su_now().tv_usec % 1000 == 0);
    root = su_root_create(NULL);
    t = su_timer_create(su_root_task(root), TIMER_MS);
    turns = fired = 0;
    su_root_add_prepoll(root, on_turn, NULL);
    su_timer_set(t, on_timer, (su_timer_arg_t *)root);
    su_root_run(root);
    CHECK_INT(fired, TIMERS);
    CHECK(turns <= 3 * TIMERS);
    su_timer_destroy(t);
    su_root_destroy(root);
    su_deinit();
}

SUITE(clock_suite, TEST_ROW(loop_sleeps_until_a_timer_is_due));
