/* Reading pseudo-variables. */
#include <stdio.h>
#include <unistd.h>

#include "script/private.h"
#include "tests/unit/script/scripts.h"

TEST(variables_are_read_or_refused)
{
    static const char *const good[] = { "$si", "$(si)", "$var(x)", "$(var(x))", "$(var(x)[3])", "$(var(x)[-1]{s.len})", "$sht(t=>a(b)c)",
                                        "$sht(t=>$var(x))", "$sht(t=>$(var(x){s.len})::$si)", "$sht(t=>a$$b)", "$(si{s.select,1,,}{s.int})",
                                        "$(si{ s.len })", "$fake(code)", "$null" };
    static const char *const bad[] = { "", "$", "si", "$()", "$si()", "$si(x)", "$var", "$var()", "$var(x", "$(var(x)", "$(var(x){s.len)", "$(si{s.len}",
                                       "$(si{s.nonesuch})", "$(si{len})", "$(si{s.select,1})", "$(si{s.len,1})", "$(si[x])", "$(si[])", "$(si[1)",
                                       "$(si[99999])", "$fake(x)", "$fake", "$sht(t=>$nonesuch)", "$sht(t=>$)", "$si{s.len}", "$si $si",
                                       "$sht(t=>$sht(t=>$sht(t=>$sht(t=>$sht(t=>$si)))))" };
    struct scripts t;
    const char *why;

    scripts_start(&t, NULL);
    for (size_t i = 0; i < TD_ARRAY_LEN(good); i++) {
        bool taken = pv_check(t.shared, sv_of(good[i]), false, &why);

        if (!taken)
            fprintf(stderr, "refused: %s\n", good[i]);
        CHECK(taken);
    }
    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++) {
        bool taken = pv_check(t.shared, sv_make(bad[i], strlen(bad[i])), false, &why);

        if (taken)
            fprintf(stderr, "taken: %zu\n", i);
        CHECK(!taken && why);
    }
    scripts_stop(&t);
}

TEST(an_expression_has_a_length_and_a_number_of_transformations)
{
    struct scripts t;
    struct buf b = BUF_INIT;
    const char *why;

    scripts_start(&t, NULL);
    buf_puts(&b, "$var(");
    while (b.n < PV_LENGTH_MAX - 1)
        buf_putc(&b, 'x');
    buf_putc(&b, ')');
    CHECK(pv_check(t.shared, buf_sv(&b), false, &why));
    buf_puts(&b, ")");
    CHECK(!pv_check(t.shared, buf_sv(&b), false, &why));
    CHECK(pv_check(t.shared, SV("$(si{s.len}{s.len}{s.len}{s.len}{s.len}{s.len}{s.len}{s.len})"), false, &why));
    CHECK(!pv_check(t.shared, SV("$(si{s.len}{s.len}{s.len}{s.len}{s.len}{s.len}{s.len}{s.len}{s.len})"), false, &why));
    buf_fini(&b);
    scripts_stop(&t);
}

TEST(names_made_at_run_time_do_not_fill_the_memory)
{
    struct scripts t;

    scripts_start(&t, "script.instructions=100000000");
    CHECK(scripts_load(&t, "function run()\n for i = 1, 5000 do KSR.pv.seti('$sht(t=>' .. i % 10 .. ')', i)\n"
                           " assert(KSR.pv.get('$sht(t=>' .. i % 10 .. ')') == i, i)\n KSR.pv.get('$sht(t=>n' .. i .. ')') end end"));
    CHECK_INT(scripts_run(&t, "run"), SCRIPT_DONE);
    CHECK(t.script->pvs.n <= PV_CACHE_MAX);
    scripts_stop(&t);
}

TEST(the_number_of_the_process_is_that_of_getpid)
{
    struct scripts t;
    char pid[24];

    scripts_start(&t, NULL);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    CHECK_FATAL(scripts_load(&t, "function run() KSR.test.note(tostring(KSR.pv.get('$pp'))) end"));
    CHECK(scripts_run(&t, "run") == SCRIPT_DONE);
    CHECK_STR(t.subject.noted, pid);
    scripts_stop(&t);
}

SUITE(pv_suite, TEST_ROW(the_number_of_the_process_is_that_of_getpid), TEST_ROW(variables_are_read_or_refused), TEST_ROW(an_expression_has_a_length_and_a_number_of_transformations),
      TEST_ROW(names_made_at_run_time_do_not_fill_the_memory));
