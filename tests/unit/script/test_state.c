/* Lua states: what a script may do, and that whatever it does ends. */
#include <stdio.h>
#include <stdlib.h>

#include "script/private.h"
#include "tests/unit/script/scripts.h"

TEST(a_script_is_loaded_once_and_keeps_what_it_knows)
{
    struct scripts t;

    scripts_start(&t, NULL);
    CHECK(scripts_load(&t, "local n = 0\nfunction run(event) n = n + 1; KSR.test.note(event .. n) end"));
    CHECK(script_has(t.script, "run") && !script_has(t.script, "walk"));
    CHECK_INT(scripts_run(&t, "run"), SCRIPT_DONE);
    CHECK_INT(scripts_run(&t, "run"), SCRIPT_DONE);
    CHECK_STR(t.subject.noted, "test:event2");
    CHECK_INT(stats_get(&t.stats, STAT_script_runs), 2);
    CHECK_INT(stats_get(&t.stats, STAT_script_errors), 0);
    scripts_stop(&t);
}

TEST(what_is_wrong_with_a_script_is_said_by_file_and_line)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        { "x = = 1", ":1: unexpected symbol near '='" },
        { "\n\nerror('no')", ":3: no" },
        { "function run()\n  KSR.tm.t_relay()\nend", ":2: KSR.tm.t_relay is not offered" },
        { "function run()\n\n  KSR.msrp_relay()\nend", ":3: KSR.msrp_relay is not offered" },
        { "local f = KSR . pv . nonesuch", ":1: KSR.pv.nonesuch is not offered" },
        { "local m = KSR.pv\nfunction run() m.get('$si') m.nonesuch() end", ":2: KSR.pv.nonesuch is not offered" },
        { "local pv = KSR.pv\nfunction run()\n return pv.get('$nonesuch(x)') end", ":3: $nonesuch(x): unknown variable" },
        { "local m = KSR.nonesuch\nfunction run() m.f() end", ":1: KSR.nonesuch is not offered" },
        { "if x then local y = not KSR.other end KSR.nonesuch.f()", ":1: KSR.nonesuch.f is not offered" },
        { "function run() KSR.pv.get(\"$nonesuch(x)\") end", ":1: $nonesuch(x): unknown variable" },
        { "function run() KSR.pv.sets('$fake(x)', 'v') end", ":1: $fake(x): unknown key of a variable" },
        { "function run()\n KSR.xlog.xinfo(\"from $si, $nonesuch\\n\") end", ":2: from $si, $nonesuch\\x0a: unknown variable" },
        { "local x = KSR.xlog\nfunction run() x.xdbg('$(si{s.nonesuch})') end", ":2: $(si{s.nonesuch}): unknown transformation" },
        { "\xEF\xBB\xBF#!/usr/bin/lua\nx = = 1", ":2: unexpected symbol near '='" },
        { "function run()\n KSR.info('from ' .. KSR.pv.gete('$nonesuch'))\nend", ":2: $nonesuch: unknown variable" },
        { "local pv = KSR.pv\nfunction run() KSR.info('a'..pv.nonesuch('$si')) end", ":2: KSR.pv.nonesuch is not offered" },
        { "KSR.test.note('x')", ":1: KSR.test.note: there is no frame here" },
        { "while true do end", ":1: stopped after " },
        { "local t = {}\nwhile true do t[#t + 1] = ('x'):rep(100000) .. #t end", "out of memory: script.memory allows 16777216 bytes" },
        { "\x1bLua", ":1: " },
    };
    struct scripts t;

    scripts_start(&t, NULL);
    for (size_t i = 0; i < TD_ARRAY_LEN(cases); i++) {
        bool good = !scripts_load(&t, cases[i].text) && t.faults.n > strlen(t.path) && memcmp(t.faults.p, t.path, strlen(t.path)) == 0 &&
                    (strstr(t.faults.p, cases[i].says) || i == TD_ARRAY_LEN(cases) - 1);

        if (!good)
            fprintf(stderr, "%s\nsaid %s\n", cases[i].text, t.faults.p ? t.faults.p : "nothing");
        CHECK(good);
    }
    free(t.conf->script.file);
    t.conf->script.file = sv_dup(SV("/nonexistent/x.lua"));
    buf_clear(&t.faults);
    CHECK(script_new(&t.script, t.shared, t.conf, NULL, 0, &t.faults) != 0 && t.script == NULL);
    CHECK_STR(t.faults.p, "/nonexistent/x.lua: No such file or directory\n");
    scripts_stop(&t);
}

TEST(what_only_looks_like_a_name_is_no_fault)
{
    struct scripts t;

    scripts_start(&t, NULL);
    CHECK(scripts_load(&t, "-- KSR.tm.t_relay()\n--[==[ KSR.a.b\n]] ]==] local s = \"KSR.c.d \\\" KSR.e.f\" .. 'KSR.g.h' .. [[ KSR.i.j ]]\n"
                           "local t = { KSR = { tm = {} } } local x = t.KSR.tm.y; local myKSR = { z = 1 }; x = myKSR.z; x = KSR_x\n"
                           "local p = '$sht(t=>' x = KSR.pv.get(p .. 'k)') x = KSR.pv.get(\"$sht(t=>\" .. 'k)')\nlocal pv = KSR.pv\n"));
    CHECK_INT(t.faults.n, 0);
    /* as Lua itself reads a file, and what is only known when it runs */
    CHECK(scripts_load(&t, "#!/usr/bin/lua $nonesuch KSR.a.b\nfunction run() KSR.xlog.xinfo('$si costs 5$$ \\x24nonesuch') KSR.xlog.xlog('L_INFO', '$nonesuch') end"));
    CHECK(scripts_load(&t, "#"));
    scripts_stop(&t);
}

TEST(a_name_that_stands_for_more_than_a_module_is_not_watched)
{
    struct scripts t;

    scripts_start(&t, NULL);
    CHECK(scripts_load(&t, "local m = KSR.pv m = { f = 1 } local x = m.f\nlocal a, b = { f = 1 }, KSR.pv x = a.f\n"
                           "local c, d = KSR.pv, { f = 1 } x = d.f\nlocal p = KSR.pv local function g(p) return p.f end g({})\n"
                           "local o = KSR.pv or {} function h() return o.f end"));
    CHECK_INT(t.faults.n, 0);
    scripts_stop(&t);
}

/* As a script for Kamailio learns that a module is not loaded; what it would do with it is no fault then. */
TEST(a_module_that_a_script_asks_for_may_be_missing)
{
    static const char *const ways[] = {
        "if not KSR.rtpproxy then return end KSR.rtpproxy.rtpproxy_manage('co')",
        "if KSR.rtpproxy then KSR.rtpproxy.rtpproxy_manage('co') end",
        "local m = KSR.rtpproxy or false if m then m.rtpproxy_manage('co') end",
        "if KSR.rtpproxy ~= nil and KSR.rtpproxy.rtpproxy_manage('co') then error('x') end",
        "if KSR.rtpproxy == nil then return end KSR.rtpproxy.rtpproxy_manage('co')",
        "if not KSR.pv then error('x') end if not KSR.rtpproxy then return end error('y')",
    };
    struct scripts t;

    scripts_start(&t, NULL);
    for (size_t i = 0; i <= TD_ARRAY_LEN(ways); i++) {
        const char *way = i < TD_ARRAY_LEN(ways) ? ways[i] : "local n = 'rtpproxy' KSR[n].rtpproxy_manage('co')"; /* nobody has asked */
        char text[256];

        snprintf(text, sizeof text, "function run()\n%s\nend", way);
        CHECK_FATAL(scripts_load(&t, text));
        CHECK_INT(scripts_run(&t, "run"), i < TD_ARRAY_LEN(ways) ? SCRIPT_DONE : SCRIPT_FAILED);
    }
    scripts_stop(&t);
}

TEST(a_script_that_fails_is_stopped_and_the_next_event_runs)
{
    static const char *const ways[] = {
        "error('on purpose')",
        "error({})",
        "error(nil)",
        "local x = nil; x.y = 1",
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "pcall(pcall, function() while true do end end) KSR.test.note('caught')",
        "local t = {} while true do t[#t + 1] = {} end",
        "local s = 'x' while true do s = s .. s end",
        "local function f() return 1 + f() end f()",
        "local function f() return f() end f()",
        "setmetatable({}, { __gc = function() while true do end end })",
        "setmetatable({}, { __index = function(t, k) return t[k] end }).x = nil; local y = setmetatable({}, { __index = function(t, k) return t[k] end }).x",
        "KSR.test.note()",
        "KSR.test.note({})",
        "KSR.pv.seti('$var(x)', 1.5)",
        "local n = 'tm' KSR[n].t_relay()",
        "local n = 'nonesuch' KSR.pv[n]()",
        "KSR.pv.get('$non' .. 'esuch')",
        "local x <close> = setmetatable({}, { __close = function() while true do end end }) error('x')",
        "for i = 1, 2000 do KSR.pv.seti('$var(v' .. i .. ')', i) end",
        "for i = 1, 1000 do KSR.pv.sets('$var(v' .. i .. ')', ('x'):rep(100000)) end",
        "string.rep('x', 1 << 40)",
        "os.execute('true')",
        "io.open('/etc/passwd')",
        "require('x')",
        "load('return 1')()",
        "debug.sethook()",
        "coroutine.wrap(function() end)()",
        "collectgarbage('stop')",
        "string.dump(function() end)",
        "table.move({}, 1, 1 << 60, 2)",
        "('a'):rep(20000):find('.-.-.-.-.-b')",
        "('a'):rep(20000):match('^.*.*.*.*b')",
        "('a'):rep(20000):gsub('[^b]*[^c]*b', '')",
        "for _ in ('a'):rep(20000):gmatch('a*%s*b') do end",
        "('('):rep(20000):find('%b()')",
        "local s = ('a'):rep(1000000) for i = 1, 20000 do s:find('b', 1, true) end",
        "pcall(string.find, ('a'):rep(20000), '(.-)%1(.-)b') KSR.test.note('caught')",
        "for i = 1, 20000 do pcall(string.rep, 'x', 8000000) end KSR.test.note('caught')",
    };
    struct buf text = BUF_INIT;
    struct scripts t;

    scripts_start(&t, NULL);
    buf_puts(&text, "function good() KSR.test.note('good') end\n");
    for (size_t i = 0; i < TD_ARRAY_LEN(ways); i++)
        buf_printf(&text, "function bad%zu()\n%s\nend\n", i, ways[i]);
    CHECK_FATAL(scripts_load(&t, text.p));
    for (size_t i = 0; i < TD_ARRAY_LEN(ways); i++) {
        char name[16];

        snprintf(name, sizeof name, "bad%zu", i);
        t.subject.noted[0] = '\0';
        if (scripts_run(&t, name) != SCRIPT_FAILED || *t.subject.noted)
            fprintf(stderr, "not stopped: %s\n", ways[i]);
        CHECK(!*t.subject.noted);
        CHECK_INT(stats_get(&t.stats, STAT_script_errors), i + 1);
        CHECK_INT(scripts_run(&t, "good"), SCRIPT_DONE);
        CHECK_STR(t.subject.noted, "good");
        CHECK(script_memory(t.script) <= (size_t)t.conf->script.memory);
    }
    CHECK_INT(scripts_run(&t, "nonesuch"), SCRIPT_FAILED);
    buf_fini(&text);
    scripts_stop(&t);
}

/* K-EVT-01: a script never holds up its worker. n counts what was done until the run was stopped. */
TEST(what_takes_few_instructions_and_long_is_stopped)
{
    static const struct {
        uint64_t most;
        const char *body;
    } ways[] = {
        { 5, "local s = ('x'):rep(1000000) while true do n = n + 1 s:find('y', 1, true) end" },
        { 5, "local s = ('x'):rep(1000000) while true do n = n + 1 pcall(string.find, s, 'y', 1, true) end" },
        { 5, "local s = ('a'):rep(1000000) while true do n = n + 1 KSR.textops.str_find(s, 'ab') end" },
        { 5, "local s = ('a'):rep(1000000) while true do n = n + 1 pcall(KSR.textops.in_list, 'b', s, ',') end" },
        { 1, "n = 1 KSR.textops.str_ifind(('a'):rep(100000), ('A'):rep(50000) .. 'b') n = 2" },
        { 260, "local s = ('a'):rep(4000) while true do n = n + 1 KSR.textops.str_ifind(s, 'aaaab') end" }, /* too short to be charged for itself */
        { 50, "KSR.pv.sets('$var(x)', ('1'):rep(100000)) while true do n = n + 1 KSR.pv.get('$(var(x){s.md5})') end" },
        { 7, "local t = {} for i = 1, 20000 do t[i] = i end while true do n = n + 1 table.sort(t) end" },
        { 70, "local t = {} for i = 1, 15000 do t[i] = i end while true do n = n + 1 table.insert(t, 1, 0) end" },
        { 70, "local t = {} for i = 1, 15000 do t[i] = i end while true do n = n + 1 table.remove(t, 1) end" },
        { 105, "local t = {} for i = 1, 10000 do t[i] = '' end while true do n = n + 1 table.concat(t) end" },
        { 1, "local s = ('a'):rep(1000000) while true do n = n + 1 utf8.len(s) end" },
        { 1, "local f = (' '):rep(1000000) while true do n = n + 1 string.pack(f) end" },
        { 0, "table.insert(setmetatable({}, { __len = function() return 1 << 50 end }), 1, 1) n = 1" },
        { 0, "table.remove(setmetatable({}, { __len = function() return 1 << 50 end }), 1) n = 1" },
        { 1, "n = 1 if (''):rep(1 << 60) == '' and (''):rep(1 << 60, '') == '' then error('as it should be') end n = 2" },
        { 100000, "error(setmetatable({}, { __tostring = function() while true do n = n + 1 end end }))" },
        { 10000, "local s, t = ('a'):rep(3000000), ('a'):rep(3000000) while true do n = n + 1 local x = s == t end" }, /* by the time it takes */
    };
    struct buf text = BUF_INIT;
    struct scripts t;

    scripts_start(&t, NULL);
    buf_puts(&text, "function say() KSR.test.note(tostring(n)) end\n");
    for (size_t i = 0; i < TD_ARRAY_LEN(ways); i++)
        buf_printf(&text, "function way%zu()\nn = 0 %s\nend\n", i, ways[i].body);
    CHECK_FATAL(scripts_load(&t, text.p));
    for (size_t i = 0; i < TD_ARRAY_LEN(ways); i++) {
        uint64_t count = UINT64_MAX;
        char name[16];

        snprintf(name, sizeof name, "way%zu", i);
        CHECK_INT(scripts_run(&t, name), SCRIPT_FAILED);
        CHECK_INT(scripts_run(&t, "say"), SCRIPT_DONE);
        CHECK(sv_to_u64(sv_of(t.subject.noted), &count, NULL));
        if (count > ways[i].most)
            fprintf(stderr, "%s times: %s\n", t.subject.noted, ways[i].body);
        CHECK(count <= ways[i].most);
    }
    buf_fini(&text);
    scripts_stop(&t);
}

/* What is short, or there is little of, is free: it is Lua's own. */
TEST(functions_that_are_charged_do_what_they_do_in_lua)
{
    static const char text[] =
        "function run()\n"
        "local t = { 3, 1, 2 } table.sort(t) assert(table.concat(t, ',') == '1,2,3')\n"
        "table.sort(t, function(a, b) return a > b end) assert(table.concat(t) == '321')\n"
        "table.insert(t, 0) table.insert(t, 1, 4) assert(table.concat(t) == '43210' and table.remove(t) == 0 and table.remove(t, 1) == 4 and #t == 3)\n"
        "assert(select('#', table.unpack(t)) == 3 and select(2, table.unpack(t, 2, 3)) == 1)\n"
        "assert(not pcall(table.insert, t, 9, 1) and select(2, pcall(table.insert, t, 'x', 1)):find(\"#2 to 'table.insert'\", 1, true))\n"
        "assert(('ab'):rep(3, '-') == 'ab-ab-ab' and ('x'):rep(0) == '' and (''):rep(3, ',') == ',,')\n"
        "assert(utf8.len('\\u{20ac}x') == 2 and utf8.codepoint('\\u{20ac}') == 0x20ac and string.unpack('<i2', string.pack('<i2', -2)) == -2)\n"
        "assert(KSR.textops.str_ifind('an Abacus', 'aBa') == 1 and KSR.textops.str_ifind('ab', 'abc') == -1 and KSR.textops.str_ifind('', '') == 1)\n"
        "end\n";
    struct scripts t;

    scripts_start(&t, NULL);
    CHECK_FATAL(scripts_load(&t, text));
    CHECK_INT(scripts_run(&t, "run"), SCRIPT_DONE);
    scripts_stop(&t);
}

TEST(an_exit_is_no_error_and_cannot_be_caught)
{
    struct scripts t;

    scripts_start(&t, NULL);
    CHECK(scripts_load(&t, "function run() KSR.test.note('before') pcall(function() KSR.x.exit() end) KSR.test.note('after') end"));
    CHECK_INT(scripts_run(&t, "run"), SCRIPT_DONE);
    CHECK_STR(t.subject.noted, "before");
    CHECK_INT(stats_get(&t.stats, STAT_script_errors), 0);
    scripts_stop(&t);
}

/* The coroutine of a run that has exited has the next one, with all of its budget. */
TEST(events_that_exit_leave_nothing_behind)
{
    struct subject a = { .si = "192.0.2.1" };
    struct script_wait *w;
    struct scripts t;
    size_t before;

    scripts_start(&t, NULL);
    CHECK_FATAL(scripts_load(&t, "local endless = setmetatable({}, { __close = function() while true do end end })\n"
                                 "function run() local x = {} KSR.x.exit() end\n"
                                 "function close()\n local function nest(n) local x <close> = endless if n > 0 then nest(n - 1) else KSR.x.exit() end end\n nest(100)\nend\n"
                                 "function loop() while true do end end\n"));
    CHECK_INT(script_start(&w, t.script, "run", "e", SCRIPT_MSRP, NULL, &a, 1), SCRIPT_DONE);
    before = script_memory(t.script);
    CHECK_INT(script_start(&w, t.script, "run", "e", SCRIPT_MSRP, NULL, &a, 1), SCRIPT_DONE);
    CHECK(script_memory(t.script) < before + 512); /* less than a coroutine has */
    for (int i = 0; i < 2; i++) {
        CHECK_INT(script_start(&w, t.script, "close", "e", SCRIPT_MSRP, NULL, &a, 1), SCRIPT_DONE);
        CHECK_INT(script_start(&w, t.script, "loop", "e", SCRIPT_MSRP, NULL, &a, 1), SCRIPT_FAILED);
    }
    CHECK_INT(stats_get(&t.stats, STAT_script_errors), 2);
    scripts_stop(&t);
}

TEST(a_broken_script_leaves_the_one_that_runs)
{
    struct scripts t;

    scripts_start(&t, NULL);
    CHECK(scripts_load(&t, "function run() KSR.test.note('old') end"));
    CHECK(!scripts_load(&t, "function run() KSR.test.note('new' end"));
    CHECK_INT(scripts_run(&t, "run"), SCRIPT_DONE);
    CHECK_STR(t.subject.noted, "old");
    CHECK(scripts_load(&t, "function run() KSR.test.note('new') end"));
    CHECK_INT(scripts_run(&t, "run"), SCRIPT_DONE);
    CHECK_STR(t.subject.noted, "new");
    scripts_stop(&t);
}

TEST(events_do_not_fill_the_memory)
{
    struct scripts t;
    size_t before;

    scripts_start(&t, "script.memory=1M");
    CHECK(scripts_load(&t, "function run() KSR.pv.sets('$var(x)', KSR.pv.get('$si') .. ('y'):rep(10000)) end"));
    CHECK_INT(scripts_run(&t, "run"), SCRIPT_DONE);
    before = script_memory(t.script);
    for (int i = 0; i < 10000; i++)
        if (scripts_run(&t, "run") != SCRIPT_DONE) {
            CHECK(false);
            break;
        }
    CHECK(script_memory(t.script) < before + 900 * 1024);
    scripts_stop(&t);
}

TEST(memory_that_runs_out_anywhere_is_an_error_of_that_call)
{
    unsigned done = 0, failed = 0;
    struct scripts t;

    scripts_start(&t, NULL);
    CHECK_FATAL(scripts_load(&t, "function run()\n local t = {}\n for i = 1, 50 do t[i] = 'x' .. i end\n"
                                 " KSR.pv.sets('$var(x)', table.concat(t)) pcall(error, 'x') local k = 'y' KSR.pv.gete('$' .. 'si') end\n"));
    for (size_t room = 0; room < 16384; room += 32) {
        t.script->memory_max = t.script->memory + room;
        if (scripts_run(&t, "run") == SCRIPT_DONE)
            done++;
        else
            failed++;
        CHECK(t.script->memory <= t.script->memory_max);
    }
    CHECK(done > 0 && failed > 0);
    scripts_stop(&t);
}

/* Each with its own subject, locals and budget; pcall() is no obstacle. */
TEST(runs_that_wait_go_on_where_they_were)
{
    struct subject a = { .si = "192.0.2.1" }, b = { .si = "192.0.2.2" };
    struct script_wait *wa, *wb;
    struct scripts t;

    scripts_start(&t, NULL);
    CHECK_FATAL(scripts_load(&t, "function run()\n local si = KSR.pv.get('$si')\n local good, r = pcall(function() return KSR.test.wait() end)\n"
                                 " assert(good and r == 1 and KSR.pv.get('$si') == si)\n KSR.test.note('behind ' .. si)\nend\n"
                                 "function fail()\n KSR.test.wait()\n error('late')\nend\n"
                                 "function spend()\n for i = 1, 20000 do end\n KSR.test.wait()\n while true do end\nend\n"
                                 "function at_once()\n assert(KSR.test.wait() == -1)\nend\n"));
    CHECK_INT(script_start(&wa, t.script, "run", "e", SCRIPT_MSRP, NULL, &a, 1), SCRIPT_WAITS);
    CHECK_INT(script_start(&wb, t.script, "run", "e", SCRIPT_MSRP, NULL, &b, 1), SCRIPT_WAITS);
    CHECK_INT(script_run(t.script, "at_once", "e", SCRIPT_MSRP, &t.subject, t.now_ms), SCRIPT_DONE); /* which may not wait */
    CHECK_INT(script_resume(&wa, 2), SCRIPT_WAITS);
    a.is_ready = b.is_ready = true;
    CHECK_INT(script_resume(&wb, 3), SCRIPT_DONE);
    CHECK(!wb && strcmp(b.noted, "behind 192.0.2.2") == 0 && !*a.noted);
    CHECK_INT(script_resume(&wa, 3), SCRIPT_DONE);
    CHECK(!wa && strcmp(a.noted, "behind 192.0.2.1") == 0);
    a.is_ready = false;
    for (int i = 0; i < 2; i++) {
        a.is_ready = false;
        CHECK_INT(script_start(&wa, t.script, i ? "spend" : "fail", "e", SCRIPT_MSRP, NULL, &a, 4), SCRIPT_WAITS);
        a.is_ready = true;
        CHECK_INT(script_resume(&wa, 5), SCRIPT_FAILED);
        CHECK(!wa);
    }
    CHECK_INT(script_start(&wa, t.script, "no_such", "e", SCRIPT_MSRP, NULL, &a, 6), SCRIPT_FAILED);
    CHECK(!wa);
    scripts_stop(&t);
}

TEST(a_script_that_is_replaced_lives_until_its_runs_have_ended)
{
    static const char text[] = "function run()\n KSR.test.wait()\n KSR.test.note('old')\nend\n";
    struct subject a = { .si = "192.0.2.1" };
    struct script_wait *first, *second;
    struct scripts t;

    scripts_start(&t, NULL);
    CHECK_FATAL(scripts_load(&t, text));
    CHECK_INT(script_start(&first, t.script, "run", "e", SCRIPT_MSRP, NULL, &a, 1), SCRIPT_WAITS);
    CHECK_INT(script_start(&second, t.script, "run", "e", SCRIPT_MSRP, NULL, &a, 1), SCRIPT_WAITS);
    CHECK_FATAL(scripts_load(&t, "function run() KSR.test.note('new') end"));
    script_abandon(&second);
    CHECK(!second);
    a.is_ready = true;
    CHECK_INT(script_resume(&first, 2), SCRIPT_DONE);
    CHECK(!first && strcmp(a.noted, "old") == 0);
    scripts_stop(&t);
}

SUITE(state_suite, TEST_ROW(runs_that_wait_go_on_where_they_were), TEST_ROW(a_script_that_is_replaced_lives_until_its_runs_have_ended), TEST_ROW(a_script_is_loaded_once_and_keeps_what_it_knows), TEST_ROW(what_is_wrong_with_a_script_is_said_by_file_and_line),
      TEST_ROW(what_only_looks_like_a_name_is_no_fault),
      TEST_ROW(a_name_that_stands_for_more_than_a_module_is_not_watched), TEST_ROW(a_module_that_a_script_asks_for_may_be_missing), TEST_ROW(a_script_that_fails_is_stopped_and_the_next_event_runs),
      TEST_ROW(what_takes_few_instructions_and_long_is_stopped), TEST_ROW(functions_that_are_charged_do_what_they_do_in_lua),
      TEST_ROW(an_exit_is_no_error_and_cannot_be_caught), TEST_ROW(events_that_exit_leave_nothing_behind), TEST_ROW(a_broken_script_leaves_the_one_that_runs),
      TEST_ROW(events_do_not_fill_the_memory), TEST_ROW(memory_that_runs_out_anywhere_is_an_error_of_that_call));
