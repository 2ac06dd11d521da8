/* KSR.sqlops: what is asked again is answered from memory, for a while and within bounds; no run sees another one's results. */
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "script/private.h"
#include "tests/unit/db/dbtest.h"
#include "tests/unit/script/scripts.h"

TEST(what_was_asked_is_remembered_for_ten_seconds)
{
    struct scripts t;

    scripts_start(&t, NULL);
    scripts_open_db(&t);
    CHECK_FATAL(scripts_load(&t, "function run() KSR.sqlops.sql_query('ca', 'select count(*) from subscriber where domain = $si', 'r') KSR.test.note(KSR.pv.get('$dbr(r=>[0,0])')) end"));
    CHECK(scripts_run(&t, "run") == SCRIPT_DONE && t.waited == 1);
    CHECK_STR(t.subject.noted, "0");
    change("INSERT INTO subscriber (username, domain) VALUES ('x', '192.0.2.7')");
    t.now_ms += 9999;
    CHECK(scripts_run(&t, "run") == SCRIPT_DONE && t.waited == 1);
    CHECK_STR(t.subject.noted, "0");
    t.subject.si = "192.0.2.8"; /* another value is another question */
    CHECK(scripts_run(&t, "run") == SCRIPT_DONE && t.waited == 2);
    t.subject.si = "192.0.2.7";
    t.now_ms++;
    CHECK(scripts_run(&t, "run") == SCRIPT_DONE && t.waited == 3);
    CHECK_STR(t.subject.noted, "1");
    CHECK_INT(stats_get(&t.stats, STAT_script_errors), 0);
    scripts_stop(&t);
}

TEST(answers_are_of_the_memory_of_the_script_and_bounded)
{
    struct scripts t;
    size_t before;

    scripts_start(&t, "script.memory=1M");
    scripts_open_db(&t);
    CHECK_FATAL(scripts_load(&t, "n = 0 function run() for i = 1, 40 do n = n + 1 KSR.pv.seti('$var(n)', n)\n"
                                 "assert(KSR.sqlops.sql_query('ca', 'select $var(n), hex(zeroblob(20000))', 'r') == 1 and KSR.pv.get('$dbr(r=>[0,0])') == n) end end"));
    before = script_memory(t.script);
    CHECK_INT(scripts_run(&t, "run"), SCRIPT_DONE);
    CHECK(t.waited == 40 && t.script->queries_bytes <= 256 * 1024 && t.script->queries.n == 6);
    CHECK(script_memory(t.script) > before + t.script->queries_bytes);
    CHECK_INT(t.script->own_sql.n, 0);
    scripts_stop(&t);
}

TEST(a_run_has_results_of_its_own_and_only_so_many)
{
    struct scripts t;

    scripts_start(&t, NULL);
    scripts_open_db(&t);
    CHECK_FATAL(scripts_load(&t, "function one() assert(KSR.sqlops.sql_query('ca', 'select 1', 'r') == 1) end\n"
                                 "function two() assert(KSR.sqlops.sql_num_rows('r') == -1 and KSR.pv.get('$dbr(r=>rows)') == nil) end\n"
                                 "function many() for i = 1, 8 do assert(KSR.sqlops.sql_query('ca', 'select 1', 'r' .. i) == 1) end\n"
                                 "assert(not pcall(KSR.sqlops.sql_query, 'ca', 'select 1', 'r9') and not pcall(KSR.sqlops.sql_query, 'ca', 'select 1', ('r'):rep(32))) end"));
    CHECK(scripts_run(&t, "one") == SCRIPT_DONE && scripts_run(&t, "two") == SCRIPT_DONE && scripts_run(&t, "many") == SCRIPT_DONE);
    scripts_stop(&t);
}

/* Where nothing waits only what is remembered is there; what cannot be asked says so. */
TEST(where_a_run_cannot_wait_a_query_is_an_error_that_says_so)
{
    static const char text[] = "function run() KSR.test.note(KSR.sqlops.sql_query('ca', 'select 5', 'r')) end\n"
                               "function sorted() table.sort({ 1, 2 }, function() KSR.sqlops.sql_query('ca', 'select 6', 'r') end) end\n";
    enum log_level level = log_level_;
    struct scripts t;

    scripts_start(&t, NULL);
    log_set_level(LOG_LEVEL_ERROR);
    CHECK(!scripts_load(&t, "KSR.sqlops.sql_query('ca', 'select 1', 'r')"));
    CHECK(strstr(t.faults.p, ":1: KSR.sqlops.sql_query: there is no database here") != NULL);
    CHECK_FATAL(scripts_load(&t, text));
    CHECK_INT(scripts_run(&t, "run"), SCRIPT_FAILED); /* nobody has given it one */
    scripts_open_db(&t);
    CHECK_FATAL(scripts_load(&t, text));
    CHECK_INT(script_run(t.script, "run", "e", SCRIPT_MSRP, &t.subject, t.now_ms), SCRIPT_FAILED);
    CHECK_INT(scripts_run(&t, "sorted"), SCRIPT_FAILED);
    t.subject.cannot_wait = true;
    CHECK_INT(scripts_run(&t, "run"), SCRIPT_DONE);
    CHECK_STR(t.subject.noted, "-1");
    t.subject.cannot_wait = false;
    CHECK(scripts_run(&t, "run") == SCRIPT_DONE && t.waited == 1);
    CHECK_INT(script_run(t.script, "run", "e", SCRIPT_MSRP, &t.subject, t.now_ms), SCRIPT_DONE);
    CHECK_STR(t.subject.noted, "1");
    log_set_level(level);
    scripts_stop(&t);
}

static bool yes(void *subject)
{
    return true;
}

TEST(a_run_that_is_given_up_while_it_asks_leaves_nothing_behind)
{
    static const struct script_host host = { yes, NULL };
    struct script_wait *w;
    struct scripts t;

    scripts_start(&t, NULL);
    scripts_open_db(&t);
    CHECK_FATAL(scripts_load(&t, "function run() KSR.sqlops.sql_query('ca', 'select 5', 'r') end"));
    CHECK_INT(script_start(&w, t.script, "run", "e", SCRIPT_MSRP, &host, &t.subject, 1), SCRIPT_WAITS);
    script_abandon(&w);
    CHECK(!w && t.script->n_waiting == 0);
    scripts_stop(&t);
}

SUITE(sql_suite, TEST_ROW(what_was_asked_is_remembered_for_ten_seconds), TEST_ROW(answers_are_of_the_memory_of_the_script_and_bounded),
      TEST_ROW(a_run_has_results_of_its_own_and_only_so_many), TEST_ROW(where_a_run_cannot_wait_a_query_is_an_error_that_says_so),
      TEST_ROW(a_run_that_is_given_up_while_it_asks_leaves_nothing_behind));
