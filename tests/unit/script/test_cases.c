/* Every function, variable and transformation of script/ does what its row says (K-EVT-01 is tested where frames are). */
#include <stdio.h>
#include <unistd.h>

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

/* What is written to stderr while the script runs, with the log at that level. */
static bool logged(struct scripts *t, enum log_level level, const char *code, char *out, size_t size)
{
    struct buf text = BUF_INIT;
    FILE *seen = tmpfile();
    int err = dup(STDERR_FILENO);
    enum script_end end = SCRIPT_FAILED;
    size_t n;

    CHECK_FATAL(seen != NULL && err >= 0);
    buf_printf(&text, "function run()\n%s\nend\n", code);
    if (scripts_load(t, text.p)) {
        log_set_level(level);
        fflush(stderr);
        dup2(fileno(seen), STDERR_FILENO);
        end = scripts_run(t, "run");
        fflush(stderr);
        dup2(err, STDERR_FILENO);
    }
    close(err);
    rewind(seen);
    n = fread(out, 1, size - 1, seen);
    out[n] = '\0';
    fclose(seen);
    buf_fini(&text);
    return end == SCRIPT_DONE;
}

/* Each function has a line in the log at its level, and none when that is not logged. */
TEST(what_a_script_logs_is_in_the_log_at_its_level)
{
    static const struct {
        const char *code, *line;
        enum log_level level;
    } lines[] = {
        { "KSR.dbg('one\\n')", " debug script one\n", LOG_LEVEL_DEBUG },
        { "KSR.info('two')", " info script two\n", LOG_LEVEL_INFO },
        { "KSR.notice('three')", " notice script three\n", LOG_LEVEL_NOTICE },
        { "KSR.warn('four')", " warning script four\n", LOG_LEVEL_WARNING },
        { "KSR.err('five')", " error script five\n", LOG_LEVEL_ERROR },
        { "KSR.crit('six')", " error script six\n", LOG_LEVEL_ERROR },
        { "KSR.log('dbg', 'a')", " debug script a\n", LOG_LEVEL_DEBUG },
        { "KSR.log('info', 'b')", " info script b\n", LOG_LEVEL_INFO },
        { "KSR.log('notice', 'c')", " notice script c\n", LOG_LEVEL_NOTICE },
        { "KSR.log('warn', 'd')", " warning script d\n", LOG_LEVEL_WARNING },
        { "KSR.log('err', 'e')", " error script e\n", LOG_LEVEL_ERROR },
        { "KSR.log('odd', 'f')", " error script f\n", LOG_LEVEL_ERROR },
        { "KSR.xlog.xdbg('$si')", " debug script 192.0.2.7\n", LOG_LEVEL_DEBUG },
        { "KSR.xlog.xinfo('$si $$')", " info script 192.0.2.7 $\n", LOG_LEVEL_INFO },
        { "KSR.xlog.xnotice('$(si{s.len})')", " notice script 9\n", LOG_LEVEL_NOTICE },
        { "KSR.xlog.xwarn('<$null>')", " warning script <>\n", LOG_LEVEL_WARNING },
        { "KSR.xlog.xerr('$fake(code)')", " error script 200\n", LOG_LEVEL_ERROR },
        { "KSR.xlog.xcrit('g $si')", " error script g 192.0.2.7\n", LOG_LEVEL_ERROR },
        { "KSR.xlog.xalert('h $si')", " error script h 192.0.2.7\n", LOG_LEVEL_ERROR },
        { "KSR.xlog.xlog('L_INFO', 'i $si')", " info script i 192.0.2.7\n", LOG_LEVEL_INFO },
        { "KSR.xlog.xlog('Warn', 'j $si')", " warning script j 192.0.2.7\n", LOG_LEVEL_WARNING },
    };
    enum log_level level = log_level_;
    struct scripts t;
    char out[1024];

    scripts_start(&t, NULL);
    for (size_t i = 0; i < TD_ARRAY_LEN(lines); i++) {
        bool good = logged(&t, lines[i].level, lines[i].code, out, sizeof out);

        log_set_level(level);
        if (!good || !strstr(out, lines[i].line))
            fprintf(stderr, "%s: %s\n", lines[i].code, out);
        CHECK(good && strstr(out, lines[i].line));
        if (lines[i].level == LOG_LEVEL_ERROR)
            continue;
        CHECK(logged(&t, (enum log_level)(lines[i].level - 1), lines[i].code, out, sizeof out));
        log_set_level(level);
        CHECK_STR(out, "");
    }
    scripts_stop(&t);
}

SUITE(cases_suite, TEST_ROW(what_a_script_logs_is_in_the_log_at_its_level), TEST_ROW(every_row_of_the_tables_has_a_case), TEST_ROW(every_case_runs_through));
