/* The timing wheel; the test owns the clock. */
#include "common/wheel.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "tests/unit/harness.h"

struct probe {
    struct wheel_timer t;
    int fired;
};

static void on_fire(struct wheel_timer *t)
{
    TD_CONTAINER_OF(t, struct probe, t)->fired++;
}

/* M-TMR-03, M-TMR-06: also one that is started within a tick, of which that much is gone. */
TEST(timer_fires_once_not_before_its_time)
{
    const uint64_t delays[] = { 0, 1, 10, 2550, 2560, 2570, 655360, 655361, 30000, 3600000, 86400000 };

    for (size_t i = 0; i < 2 * TD_ARRAY_LEN(delays); i++) {
        static struct wheel w;
        struct probe p = { .fired = 0 };
        uint64_t start = 123450 + i % 2 * (WHEEL_TICK_MS - 1), delay = delays[i / 2];

        wheel_init(&w, start);
        wheel_timer_init(&p.t, on_fire);
        wheel_start(&w, &p.t, delay);
        wheel_advance(&w, start + delay - (delay ? 1 : 0));
        CHECK_INT(p.fired, 0);
        wheel_advance(&w, start + delay + 2 * WHEEL_TICK_MS);
        CHECK_INT(p.fired, 1);
        wheel_advance(&w, start + 3 * delay + 1000);
        CHECK_INT(p.fired, 1);
        CHECK_INT(w.n, 0);
    }
}

TEST(stopped_timer_never_fires)
{
    static struct wheel w;
    struct probe p = { .fired = 0 };

    wheel_init(&w, 0);
    wheel_timer_init(&p.t, on_fire);
    wheel_start(&w, &p.t, 5000);
    wheel_stop(&w, &p.t);
    wheel_stop(&w, &p.t);
    wheel_advance(&w, 10000);
    CHECK_INT(p.fired, 0);
    CHECK_INT(wheel_next_ms(&w, 10000), -1);
}

TEST(next_moment_never_lies_behind_a_timer)
{
    static struct wheel w;
    static struct probe p[500];
    uint64_t now = 999;
    int fired = 0;

    srand(7);
    wheel_init(&w, now);
    for (size_t i = 0; i < TD_ARRAY_LEN(p); i++) {
        wheel_timer_init(&p[i].t, on_fire);
        p[i].fired = 0;
        wheel_start(&w, &p[i].t, (uint64_t)rand() % 400000);
    }
    while (w.n) {
        int wait = wheel_next_ms(&w, now);

        CHECK_FATAL(wait >= 0);
        now += (uint64_t)wait;
        wheel_advance(&w, now);
    }
    for (size_t i = 0; i < TD_ARRAY_LEN(p); i++)
        fired += p[i].fired;
    CHECK_INT(fired, TD_ARRAY_LEN(p));
    CHECK(now <= 999 + 400000 + 3 * WHEEL_TICK_MS);
}

/* M-TMR-06: among a million running timers one is started and stopped without as much as a look at the others: they cannot be
 * read meanwhile. Nor is one touched before its time, but when its level is dealt out, once for each. */
static void on_model_timer(struct wheel_timer *t)
{
}

/* Against a list of moments, whatever is started, moved, stopped, and however the clock jumps. */
TEST(timers_fire_in_the_step_of_the_clock_in_which_they_are_due)
{
    enum { N = 48, ROUNDS = 20000 };
    static struct one {
        struct wheel_timer t;
        uint64_t due; /* tick; 0: not running */
    } timers[N];
    static const uint64_t spans[] = { 1, 20, 700, 2560, 5000, 60000, 655360, 3000000 };
    static struct wheel w;
    uint64_t now = 12345670, x = 1;

    wheel_init(&w, now);
    for (int i = 0; i < N; i++)
        wheel_timer_init(&timers[i].t, on_model_timer);
    for (int round = 0; round < ROUNDS; round++) {
        struct one *o;
        uint64_t first = UINT64_MAX;
        int next;

        x = x * 6364136223846793005u + 1442695040888963407u;
        o = &timers[(x >> 33) % N];
        switch ((x >> 40) % 4) {
        case 0:
            wheel_stop(&w, &o->t);
            o->due = 0;
            break;
        case 1:
        case 2: {
            uint64_t ms = (x >> 20) % spans[(x >> 50) % TD_ARRAY_LEN(spans)];

            wheel_start(&w, &o->t, ms);
            o->due = now / WHEEL_TICK_MS + (ms + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS + 1;
            break;
        }
        default:
            now += (x >> 20) % spans[(x >> 50) % (TD_ARRAY_LEN(spans) - 1)];
            wheel_advance(&w, now);
            for (int i = 0; i < N; i++)
                if (timers[i].due && timers[i].due <= now / WHEEL_TICK_MS)
                    timers[i].due = 0;
        }
        for (int i = 0; i < N; i++) {
            CHECK_FATAL(wheel_timer_is_running(&timers[i].t) == (timers[i].due != 0));
            if (timers[i].due)
                first = TD_MIN(first, timers[i].due);
        }
        next = wheel_next_ms(&w, now);
        CHECK_FATAL(first == UINT64_MAX ? next == -1 : next >= 0 && now + (uint64_t)next <= TD_MAX(first * WHEEL_TICK_MS, now));
    }
}

TEST(a_million_timers_cost_a_new_one_nothing)
{
    enum { N = 1000000, APART_MS = 3 };
    static struct wheel w;
    size_t size = N * sizeof(struct probe);
    struct probe *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct probe late = { .fired = 0 }, soon = { .fired = 0 };
    long fired = 0;

    CHECK_FATAL(p != MAP_FAILED);
    wheel_init(&w, 0);
    for (size_t i = 0; i < N; i++) { /* from ten minutes to an hour: all on the level of whole minutes' parts */
        wheel_timer_init(&p[i].t, on_fire);
        wheel_start(&w, &p[i].t, 700000 + i * APART_MS);
    }
    wheel_timer_init(&late.t, on_fire);
    wheel_timer_init(&soon.t, on_fire);
    CHECK_FATAL(mprotect(p, size, PROT_NONE) == 0);
    for (int i = 0; i < 1000; i++) {
        wheel_start(&w, &late.t, 30000);
        wheel_start(&w, &late.t, 31000);
        wheel_stop(&w, &late.t);
    }
    wheel_start(&w, &soon.t, 30000);
    wheel_advance(&w, 40000); /* forty seconds of ticks, none of them theirs */
    CHECK_INT(soon.fired, 1);
    CHECK_INT(late.fired, 0);
    CHECK_INT(w.n, N);
    CHECK_FATAL(mprotect(p, size, PROT_READ | PROT_WRITE) == 0);
    for (size_t i = 0; i < N; i += 2)
        wheel_stop(&w, &p[i].t);
    CHECK_INT(w.n, N / 2);
    wheel_advance(&w, 700000 + (uint64_t)N * APART_MS + 1000);
    for (size_t i = 0; i < N; i++)
        fired += p[i].fired;
    CHECK_INT(fired, N / 2);
    CHECK_INT(w.n, 0);
    munmap(p, size);
}

SUITE(wheel_suite, TEST_ROW(timers_fire_in_the_step_of_the_clock_in_which_they_are_due),
      TEST_ROW(a_million_timers_cost_a_new_one_nothing), TEST_ROW(timer_fires_once_not_before_its_time), TEST_ROW(stopped_timer_never_fires),
      TEST_ROW(next_moment_never_lies_behind_a_timer));
