/* string.find, match, gmatch and gsub of scripts: as those of Lua, and never for long. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/script/scripts.h"

/* pattern.lua runs through in Lua 5.4 itself, too. */
TEST(patterns_do_what_those_of_lua_do)
{
    const char *dir = getenv("srcdir");
    struct buf text = BUF_INIT;
    char path[1024], part[4096];
    struct scripts t;
    FILE *f;
    size_t n;

    snprintf(path, sizeof path, "%s/tests/unit/script/pattern.lua", dir ? dir : ".");
    f = fopen(path, "re");
    CHECK_FATAL(f != NULL);
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        buf_add(&text, part, n);
    fclose(f);
    buf_putc(&text, '\0');
    CHECK_FATAL(!buf_failed(&text));
    scripts_start(&t, NULL);
    if (!scripts_load(&t, text.p))
        fprintf(stderr, "%s", t.faults.p);
    CHECK_INT(t.faults.n, 0);
    CHECK(t.script != NULL);
    scripts_stop(&t);
    buf_fini(&text);
}

/* What a run has not used is not for another, and what it has used comes not back while it waits. */
TEST(each_run_has_its_steps_of_patterns)
{
    struct script_wait *w = NULL, *other = NULL;
    struct scripts t;

    scripts_start(&t, NULL);
    CHECK_FATAL(scripts_load(&t, "local s = ('a'):rep(800)\n"
                                 "function once() s:find('.-b') end\n"
                                 "function twice() s:find('.-b') KSR.test.wait() s:find('.-b') end\n"));
    for (int i = 0; i < 3; i++)
        CHECK_INT(scripts_run(&t, "once"), SCRIPT_DONE);
    CHECK_INT(script_start(&w, t.script, "twice", "", SCRIPT_MSRP, NULL, &t.subject, t.now_ms), SCRIPT_WAITS);
    CHECK_INT(script_start(&other, t.script, "once", "", SCRIPT_MSRP, NULL, &t.subject, t.now_ms), SCRIPT_DONE);
    t.subject.is_ready = true;
    CHECK_INT(script_resume(&w, t.now_ms), SCRIPT_FAILED);
    CHECK_INT(scripts_run(&t, "once"), SCRIPT_DONE);
    scripts_stop(&t);
}

SUITE(pattern_suite, TEST_ROW(patterns_do_what_those_of_lua_do), TEST_ROW(each_run_has_its_steps_of_patterns));
