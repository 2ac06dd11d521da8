"""Scripts in the running server: whatever one does wrong, traffic flows; and the examples that ship do what they say, over TCP and TLS.

K-EVT-01 K-PAR-01"""

import os
import re
import subprocess

import client
import daemon as daemon_mod
import programs
import sip
from world import SLOW, until

EXAMPLES = os.path.join(daemon_mod.top(), "etc", "examples")
HTABLE = "msrp=>size=12;autoexpire=3605"

# What a script does, and what the log says of it. Ten lines in ten seconds are logged: those after the tenth are counted.
WAYS = [
    ("error('on purpose')", "on purpose | stack traceback: "),
    ("local x = nil; x.y = 1", "attempt to index a nil value (local 'x')"),
    ("pcall(function() while true do end end) error('caught')", "stopped after 100000 instructions"),
    ("local t = {} while true do t[#t + 1] = ('x'):rep(100000) .. #t end", "out of memory: script.memory allows 2097152 bytes"),
    ("local t = setmetatable({}, { __index = function(t, k) return t[k .. 'x'] end }) local y = t.x", "C stack overflow"),
    ("KSR.msrp.reply('abc', 'x')", "KSR.msrp.reply: argument 1 is no whole number"),
    ("local m = KSR['msrp'] m.msrp_relay()", "KSR.msrp.msrp_relay is not offered"),
    ("os.execute('true')", "attempt to call a nil value (field 'execute')"),
    ("setmetatable({}, { __gc = function() end })", "a metatable with __gc is not offered"),
    ("KSR.msrp.cmap_lookup() KSR.msrp.reply(403, 'No') KSR.msrp.relay() error('late')", "late | stack traceback: "),
    ("while true do end", None),
    ("while true do pcall(function() while true do end end) end", None),
    ("local function f() return 1 + f() end f()", None),
    ("local function f() return f() end f()", None),
    ("error({})", None),
    ("error(nil)", None),
    ("string.rep('x', 1 << 40)", None),
    ("KSR.pv.get()", None),
    ("KSR.pv.get({})", None),
    ("KSR.pv.seti('$var(x)', 1.5)", None),
    ("KSR.pv.get('$none' .. 'such')", None),
    ("KSR['tm'].t_relay()", None),
    ("KSR['none' .. 'such'].x()", None),
    ("KSR.sqlops.sql_query('c', 'delete from subscriber', 'r')", None),
    ("io.open('/etc/passwd')", None),
    ("debug.sethook()", None),
    ("require('os')", None),
    ("load('return 1')()", None),
    ("coroutine.yield()", None),
    ("local x <close> = setmetatable({}, { __close = function() while true do end end }) error('x')", None),
    ("ksr_msrp_event = 5 error('x')", None),  # and so there is no function for those that follow
    ("", None),
]


def _write(w, name, text):
    path = os.path.join(w.folder, name)
    with open(path, "w") as f:
        f.write(text)
    return path


def _log(d):
    with open(d.log, "rb") as f:
        return f.read().decode(errors="replace")


def _exchange(a, b, body, headers=()):
    tid = a.request("SEND", a.path_to(b), [("Message-ID", a.tid()), *headers, ("Content-Type", "text/plain")], body)
    f = b.frame()
    assert f.method == "SEND" and f.body == body, f.raw
    b.answer(f)
    a.expect(200, tid)


def _both_ways(a, b):
    _exchange(a, b, b"there")
    _exchange(b, a, b"and back")
    tid = a.send(a.path_to(b), b"x" * 50000, sr="yes")
    a.expect(200, tid)
    got = client.Stream(b, lambda octets: None)
    while not got.over:
        got.step()
    assert got.total == 50000, got.total


def _errors(d):
    return int(re.search(r"^script_errors\s+(\d+)", d.ctl("stats"), re.M).group(1))


def test_every_error_leaves_traffic_flowing(w):
    """a script may fail in any way: each frame goes the built-in way once, the traceback is logged, the error counted"""
    ways = "".join("function() %s end,\n" % code for code, _ in WAYS)
    text = ("local ways = {\n%s}\nfunction ksr_msrp_event()\n local way = KSR.hdr.get('X-Way')\n if way then ways[tonumber(way)]() end\n"
            " KSR.msrp.default()\nend\n" % ways)
    d = w.daemon({"msrp.event_callback": "ksr_msrp_event", "script.file": _write(w, "bad.lua", text), "script.memory": "2M"})
    a, b = client.pair(d)
    for n, (code, says) in enumerate(WAYS, 1):
        _exchange(a, b, b"after " + code.encode(), [("X-Way", str(n))])
        log = _log(d)
        assert says is None or says in log, "%s: the log has no %r" % (code, says)
        assert "stack traceback" in log and "caught | " not in log
    # after the last but one the function is gone, so every event since then is an error: a message and its answer
    errors = _errors(d)
    assert errors >= len(WAYS) + 1, errors
    assert len(re.findall(r" error script ", _log(d))) <= 11
    return "%d ways to fail, %d errors" % (len(WAYS), errors)


def test_broken_script_is_not_taken(w):
    """a broken script: named by file and line by -t and at the start, which fails; at a reload the old one stays, and its sessions"""
    good = "function ksr_msrp_event() KSR.msrp.default() end\n"
    path = _write(w, "route.lua", "function ksr_msrp_event() KSR.msrp.reply(415, 'Old') end\n")
    d = w.daemon({"msrp.event_callback": "ksr_msrp_event", "script.file": path}, start=False)
    _write(w, "route.lua", good)
    d.start()
    a, b = client.pair(d)
    _exchange(a, b, b"good")
    for broken, says in (("function ksr_msrp_event(", ":1: "), ("x = nil + 1", ":1: attempt to perform arithmetic"), ("while true do end", ":1: stopped after "),
                         ("\n\nlocal m = KSR.nosuch.thing", ":3: KSR.nosuch.thing is not offered"), ("function other() end", ": has no function ksr_msrp_event (msrp.event_callback)"),
                         ("\nKSR.pv.get('$nonesuch')\nKSR.nosuch.f()", ":2: $nonesuch: unknown variable")):
        _write(w, "route.lua", broken)
        check = subprocess.run([d.tandemd, "-c", d.conf, "-t"], capture_output=True, text=True, check=False, timeout=20 * SLOW)
        assert check.returncode == 1 and path + says in check.stderr, check.stderr
        before = _log(d).count("script not reloaded, the old one stays")
        d.hup()
        until(lambda: _log(d).count("script not reloaded, the old one stays") > before, 5, "the reload is refused")
        _exchange(a, b, b"still good")
    assert re.search(r"the old one stays: \S+:2: .*\n.*the old one stays: \S+:3: ", _log(d)) and all(re.match(r"\d{4}-", line) for line in _log(d).splitlines()), _log(d)
    start = subprocess.run([d.tandemd, "-c", d.conf], capture_output=True, text=True, check=False, timeout=20 * SLOW)
    assert start.returncode == 1 and path in start.stderr, start
    _write(w, "route.lua", "function ksr_msrp_event() if KSR.msrp.is_request() > 0 then KSR.msrp.reply(415, 'New') end end\n")
    mark = len(_log(d))
    d.hup()
    until(lambda: "reload" in _log(d)[mark:], 5, "the reload is done")
    tid = a.send(a.path_to(b), b"refused by the new one")
    a.expect(415, tid)
    assert _errors(d) == 0


def test_frames_wait_for_a_query(w):
    """a script that asks the database for each frame: who is blocked in it is refused, from memory once it is known"""
    text = ("function ksr_msrp_event()\n if KSR.pv.get('$msrp(method)') == 'SEND' then\n"
            "  local rc = KSR.sqlops.sql_xquery('ca', \"select username from msrp_session s where session_id = $msrp(sessid)\", 'who')\n"
            "  if rc == 1 and KSR.pv.get('$xavp(who=>username)') == 'bob' then return KSR.msrp.reply(403, 'Not Bob') end\n end\n KSR.msrp.default()\nend\n")
    d = w.daemon({"msrp.event_callback": "ksr_msrp_event", "script.file": _write(w, "ask.lua", text), "server.workers": "2"})
    a, b = client.pair(d)
    until(lambda: w.sql(d, "select count(*) from msrp_session") == ["2"], 5, "the sessions are in the database")
    for _ in range(10):
        _exchange(a, b, b"to bob")
    tid = b.send(b.path_to(a), b"from bob")
    b.expect(403, tid)
    assert _errors(d) == 0


def _converse(d, tls):
    a, b = client.pair(d, tls)
    _both_ways(a, b)
    tid = a.send(a.path_to(b).replace(b.token, "0" * 32), b"to nobody")
    f = a.frame()
    assert f.code in (403, 481) and f.tid == tid, f.raw
    a.close()
    b.close()


def _example(w, name, **config):
    config = {k.replace("__", "."): v for k, v in config.items()}
    return w.daemon(dict(config, **{"script.file": os.path.join(EXAMPLES, name)}))


def test_examples_for_msrp(w):
    """msrp-cmap.lua, msrp-htable.lua and policy-by-domain.lua carry a conversation, over plain TCP and over TLS"""
    examples = [("msrp-htable.lua", HTABLE), ("policy-by-domain.lua", "quota=>size=12;autoexpire=60;updateexpire=0"), ("msrp-cmap.lua", "")]
    for name, tables in examples[:3 if SLOW == 1 else 1]:
        d = _example(w, name, msrp__event_callback="ksr_msrp_event", script__htable=tables)
        for tls in (False, True):
            _converse(d, tls)
        if name.startswith("policy"):
            a, b = client.pair(d)
            tid = a.request("SEND", "%s msrp://PASTEBIN.example:9/x;tcp" % a.use_path, [("Message-ID", "m-0001")])
            a.expect(403, tid)
        assert _errors(d) == 0


def test_script_moved_from_kamailio(w):
    """a script written for Kamailio, with sessions in a table or in the module, carries a conversation: to this server and from it again, with REPORTs"""
    users = {aor.split("@")[0]: password for aor, password in daemon_mod.USERS.items()}
    passwords = "{ %s }" % ", ".join('["%s"] = "%s"' % u for u in users.items())
    with open(os.path.join(daemon_mod.top(), "tests", "e2e", "moved-from-kamailio.lua")) as f:
        text = f.read()
    for keeps in ("table", "cmap"):
        head = 'local KEEPS, REALM, SERVER, PASSWORDS = "%s", "%s", "msrp://%s:5061", %s\n' % (keeps, client.DOMAIN, client.DOMAIN, passwords)
        d = w.daemon({"script.file": _write(w, keeps + ".lua", head + text), "msrp.event_callback": "ksr_msrp_event", "script.htable": "msrp=>size=8;autoexpire=3600;"})
        a, b = client.Client(d), client.Client(d)
        for c, user in ((a, "alice"), (b, "bob")):
            assert c.auth(user, to="msrp://%s:5061;tcp" % client.DOMAIN) == 200  # said, as sessions are called otherwise there
        _both_ways(a, b)
        b.request("REPORT", b.path_to(a), [("Message-ID", "m-0001"), ("Byte-Range", "1-50000/50000"), ("Status", "000 200 OK")])
        f = a.frame()
        assert f.method == "REPORT" and f.get("Status") == "000 200 OK", f.raw
        tid = a.send(a.path_to(b).replace(b.token, "0" * 32), b"to nobody")
        a.expect(200, tid)
        f = a.frame()
        assert f.method == "REPORT" and f.get("Status").startswith("000 481"), f.raw
        assert _errors(d) == 0


def test_examples_for_sip(w):
    """sip-basic.lua and sip-policy-by-domain.lua register users, over TCP and over TLS, and the first carries a call and its messages"""
    for name, tables in (("sip-basic.lua", ""), ("sip-policy-by-domain.lua", "calls=>size=12;autoexpire=60;updateexpire=0")):
        d = _example(w, name, sip__event_callback="ksr_request_route", script__htable=tables, msrp__use_path_addr="")
        for transport in ("tcp", "tls"):
            u = sip.Sip(d, transport)
            r = u.register("carol", "sip:carol@%s;transport=%s" % (u.local, transport))
            assert r.code == 200, "%s over %s: %s" % (name, transport, r.first)
            r = u.request("OPTIONS", "sip:" + client.DOMAIN)
            assert r.code == 200, r.first
            if name == "sip-basic.lua" and SLOW == 1:  # the client's own TLS of SIP, Sofia's, is not clean for a sanitizer
                programs.call(w, d, transport, 10 ** 5)
        assert _errors(d) == 0
