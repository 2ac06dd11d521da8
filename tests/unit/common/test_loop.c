/* The event loop: time, order, removal, ends. */
#include "common/loop.h"

#include <time.h>
#include <unistd.h>

#include "tests/unit/harness.h"

struct rig {
    struct loop *loop;
    int pipe[2];
    struct loop_io io;
    struct wheel_timer far, near;
    uint64_t near_ms, started_ms, fired_ms;
    unsigned n_ready;
};

static void nothing(struct wheel_timer *t)
{
}

static void on_near(struct wheel_timer *t)
{
    struct rig *r = TD_CONTAINER_OF(t, struct rig, near);

    r->fired_ms = loop_now_ms(r->loop);
}

static void start_near(struct loop_io *io, uint32_t events)
{
    struct rig *r = TD_CONTAINER_OF(io, struct rig, io);
    char c;

    r->n_ready++;
    CHECK_INT(read(io->fd, &c, 1), 1);
    r->started_ms = loop_now_ms(r->loop);
    loop_timer_start(r->loop, &r->near, r->near_ms);
}

static void rig_up(struct rig *r, uint64_t near_ms)
{
    *r = (struct rig){ .near_ms = near_ms };
    CHECK_FATAL(loop_new(&r->loop) == 0);
    CHECK_FATAL(pipe(r->pipe) == 0);
    r->io.ready = start_near;
    CHECK_FATAL(loop_add(r->loop, &r->io, r->pipe[0], LOOP_READ) == 0);
    wheel_timer_init(&r->far, nothing);
    wheel_timer_init(&r->near, on_near);
}

static void rig_down(struct rig *r)
{
    loop_timer_stop(r->loop, &r->far);
    loop_timer_stop(r->loop, &r->near);
    loop_remove(r->loop, &r->io);
    close(r->pipe[0]);
    close(r->pipe[1]);
    loop_free(&r->loop);
}

/* What a worker does that was idle: it wakes up late in the wheel's time and starts a timer. */
static void wake_after(struct rig *r, long idle_ms)
{
    struct timespec idle = { .tv_nsec = idle_ms * 1000000 };

    loop_turn(r->loop, 0);
    nanosleep(&idle, NULL);
    CHECK_INT(write(r->pipe[1], "x", 1), 1);
    loop_turn(r->loop, -1);
    CHECK_INT(r->n_ready, 1);
}

TEST(a_timer_started_after_a_long_sleep_has_its_whole_time)
{
    struct rig r;

    rig_up(&r, 100);
    loop_timer_start(r.loop, &r.far, 60000);
    wake_after(&r, 300);
    CHECK_INT(r.fired_ms, 0);
    while (!r.fired_ms)
        loop_turn(r.loop, 1000);
    CHECK(r.fired_ms - r.started_ms >= 100);
    CHECK(r.fired_ms - r.started_ms < 1000);
    rig_down(&r);
}

TEST(so_has_the_only_timer)
{
    struct rig r;

    rig_up(&r, 100);
    wake_after(&r, 300);
    CHECK_INT(r.fired_ms, 0);
    while (!r.fired_ms)
        loop_turn(r.loop, 1000);
    CHECK(r.fired_ms - r.started_ms >= 100);
    CHECK(r.fired_ms - r.started_ms < 1000);
    rig_down(&r);
}

TEST(a_removed_descriptor_is_not_reported)
{
    struct rig r;

    rig_up(&r, 100);
    CHECK_INT(write(r.pipe[1], "x", 1), 1);
    loop_remove(r.loop, &r.io);
    loop_turn(r.loop, 0);
    CHECK_INT(r.n_ready, 0);
    rig_down(&r);
}

TEST(stop_ends_a_loop_that_waits_for_nothing)
{
    struct loop *l;

    CHECK_FATAL(loop_new(&l) == 0);
    loop_stop(l);
    loop_run(l);
    loop_free(&l);
    CHECK(l == NULL);
}

SUITE(loop_suite, TEST_ROW(a_timer_started_after_a_long_sleep_has_its_whole_time), TEST_ROW(so_has_the_only_timer),
      TEST_ROW(a_removed_descriptor_is_not_reported), TEST_ROW(stop_ends_a_loop_that_waits_for_nothing));
