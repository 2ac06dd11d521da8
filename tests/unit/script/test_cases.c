/* Every function, variable and transformation of script/ does what its row says (K-EVT-01 is tested where frames are). */
#include <stdio.h>

#include "common/log.h"
#include "tests/unit/script/scripts.h"

static const struct {
    const char *what, *code;
} cases[] = {
#define CASE(what, code) { what, code },
#include "tests/unit/script/case_tbl.h"
#undef CASE
};

static bool has_case(const struct buf *what)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(cases); i++)
        if (strcmp(cases[i].what, what->p) == 0)
            return true;
    fprintf(stderr, "no case for %s\n", what->p);
    return false;
}

TEST(every_row_of_the_tables_has_a_case)
{
    const struct script_api *a = &script_core_api;
    struct buf what = BUF_INIT;

    for (size_t i = 0; i < a->n_funcs; i++) {
        buf_clear(&what);
        buf_printf(&what, "KSR.%s%s%s", a->funcs[i].module, *a->funcs[i].module ? "." : "", a->funcs[i].name);
        CHECK(has_case(&what));
    }
    for (size_t i = 0; i < a->n_vars; i++) {
        buf_clear(&what);
        buf_printf(&what, *a->vars[i].param ? "$%s(%s)" : "$%s", a->vars[i].class_, a->vars[i].param);
        CHECK(has_case(&what));
    }
    for (size_t i = 0; i < a->n_trans; i++) {
        buf_clear(&what);
        buf_printf(&what, "{%s.%s%s}", a->trans[i].class_, a->trans[i].name, a->trans[i].params);
        CHECK(has_case(&what));
    }
    buf_fini(&what);
}

TEST(every_case_runs_through)
{
    enum log_level level = log_level_;
    struct scripts t;

    log_set_level(LOG_LEVEL_ERROR);
    scripts_start(&t, NULL);
    scripts_open_db(&t);
    for (size_t i = 0; i < TD_ARRAY_LEN(cases); i++) {
        struct buf text = BUF_INIT;
        bool good;

        buf_printf(&text, "function run(event)\n assert(event == 'test:event')\n%s\nend\n", cases[i].code);
        good = scripts_load(&t, text.p) && scripts_run(&t, "run") == SCRIPT_DONE && !*t.subject.noted;
        if (!good)
            fprintf(stderr, "%s: %s\n%s", cases[i].what, cases[i].code, t.faults.p && t.faults.n ? t.faults.p : "");
        CHECK(good);
        buf_fini(&text);
    }
    scripts_stop(&t);
    log_set_level(level);
}

SUITE(cases_suite, TEST_ROW(every_row_of_the_tables_has_a_case), TEST_ROW(every_case_runs_through));
