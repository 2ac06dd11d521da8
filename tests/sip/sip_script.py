"""Scripts for SIP: every function and variable of sip/script_tbl.h, what a failing script costs, the routes of a transaction."""
import ast
import os
import re
import signal
import subprocess

import sip_calls
import sip_policy
import sip_register
from sip_calls import hang_up
from sip_limits import until

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def cases():
    """The rows of script_case_tbl.h: (what, message, status, Lua)."""
    text = r'"((?:[^"\\]|\\.)*)"'
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "script_case_tbl.h")) as f:
        table = f.read()
    found = re.findall(r"^CASE\(%s, '(\w)', (\d+), %s\)$" % (text, text), table, re.M)
    assert len(found) == table.count("\nCASE("), "a row is no row"
    for what, message, status, code in found:
        yield what, message, int(status), ast.literal_eval('"' + code + '"')


CASES = list(cases())


def rows():
    """What sip/script_tbl.h offers, as the cases call it."""
    with open(os.path.join(TOP, "sip", "script_tbl.h")) as f:
        table = f.read()
    for module, name in re.findall(r'^KSR_FN\("(\w*)", (\w+), SIP', table, re.M):
        yield "KSR." + (module + "." if module else "") + name
    for name, key, param in re.findall(r'^PV\((\w+), (\S+), SIP, \w+, \w+, "([^"]*)"', table, re.M):
        yield "$" + name + ("(%s)" % param if key == "NULL" else "")


def request(a, kind, n, port):
    headers = ["X-Case: %d" % n, "X-Two: a", "X-Two: b"]
    if kind == "R":
        return a.request("REGISTER", "sip:example.com", to=a.aor, headers=headers + ["Contact: " + a.contact])
    if kind == "N":
        return a.request("MESSAGE", "sip:example.com", from_="sip:example.org", to="sip:example.org", max_forwards=0, headers=headers + ["Proxy-Require: x"])
    if kind == "T":
        return a.request("MESSAGE", "sip:bob@example.com", to_tag="totag", headers=headers + [
            "Route: <sip:127.0.0.1:%d;lr;nat=yes>" % port, "Record-Route: <sip:example.org;lr>", "Contact: <sip:a@10.0.0.1>"],
            via="SIP/2.0/UDP 10.0.0.1:5099;branch=z9hG4bK-t%d;rport" % n)
    return a.request("MESSAGE", "sip:bob@example.com;x=y", headers=headers + ["User-Agent: test/1", "Contact: " + a.contact, "Content-Type: text/plain"], body=b"hello")


def test_telephone_numbers_are_what_the_script_makes_of_them(make):
    # S-VAL-02: 416 unless so configured
    s = make(auth="", script="""function ksr_request_route()
 local number = KSR.pv.get('$ru'):match('^tel:(%+?%d+)$')
 if number ~= '+15550100' then return KSR.sip.default() end
 KSR.seturi('sip:bob@example.com')
 KSR.registrar.lookup('location')
 KSR.tm.t_relay()
end
""")
    b, a = s.registered("udp", "bob"), s.ua("udp", "alice")
    a.ask("MESSAGE", "tel:+15550199", 416)
    a.send(a.request("MESSAGE", "tel:+15550100", body=b"to a number"))
    got = b.expect("MESSAGE")
    assert got.body == b"to a number" and got.uri == b.contact.strip("<>")
    b.reply(got, 200)
    a.expect(200)


def test_every_function_and_variable_of_scripts_does_what_its_row_says(make):
    missing = set(rows()) - {c[0] for c in CASES}
    assert not missing, "no case for %s" % missing
    assert {c[0] for c in CASES} <= set(rows()), "cases without a row: %s" % ({c[0] for c in CASES} - set(rows()))
    text = "local cases = {\n" + "".join("function() %s end,\n" % c[3] for c in CASES) + "}\n"
    text += ("function ksr_request_route()\n local n = KSR.pv.get('$(hdr(X-Case){s.int})')\n if not n then return KSR.sip.default() end\n"
             " cases[n]()\n KSR.sl.send_reply(200, 'Passed')\nend\n")
    s = make(script=text)
    s.registered("udp", "bob")
    a = s.ua("udp", "alice")
    for n, case in enumerate(CASES, 1):
        what, kind, status, code = case
        if kind == "A":
            got = a.ask("MESSAGE", "sip:bob@example.com", 407)
            got = a.credentials(got, "MESSAGE", "sip:bob@example.com")
            a.send(a.request("MESSAGE", "sip:bob@example.com", headers=["X-Case: %d" % n, got]))
        else:
            a.send(request(a, kind, n, s.port))
        m = a.receive()
        assert m.status == status, "%s: %s\n%s\n%s" % (what, code, m.raw.decode(), s.tail())
        assert ("append_to_reply" in what) == (m.get("x-passed") == "yes"), m.raw
    with open(s.log, encoding="latin-1") as f:  # one that fails may have its status from the built-in routing
        assert "stack traceback" not in f.read(), s.tail()


def test_a_script_sees_how_a_request_came(make):
    s = make(script="""function ksr_request_route()
        KSR.sl.send_reply(KSR.is_UDP() and 291 or KSR.is_TCP() and 292 or KSR.is_TLS() and 293 or 500, KSR.is_WSX() and "x" or KSR.kx.get_proto())
        end""")
    for kind, status in (("udp", 291), ("tcp", 292), ("tls", 293)):
        m = s.ua(kind, "alice").ask("MESSAGE", "sip:bob@example.com", status)
        assert m.raw.startswith(b"SIP/2.0 %d %s\r\n" % (status, kind.encode())), m.raw


def test_what_a_script_changes_about_a_request_is_changed_in_what_is_sent(make):
    s = make(script="""
        function ksr_request_route()
            if KSR.is_REGISTER() then return KSR.sip.default() end
            if KSR.auth_db.auth_check("example.com", "subscriber", 1) < 0 then return KSR.auth.auth_challenge("example.com", 0) end
            KSR.auth.consume_credentials()
            KSR.textops.append_hf("X-A: b\\r\\n")
            KSR.hdr.append("X-B: c")
            KSR.textops.remove_hf("X-Two")
            KSR.hdr.remove("X-Three")
            KSR.registrar.lookup("location")
            KSR.tm.t_relay()
        end""")
    b, a = s.registered("udp", "bob"), s.ua("udp", "alice")
    got = a.credentials(a.ask("MESSAGE", "sip:bob@example.com", 407), "MESSAGE", "sip:bob@example.com")
    a.send(a.request("MESSAGE", "sip:bob@example.com", headers=["X-Two: a", "X-Three: a", "X-Four: a", got]))
    m = b.expect("MESSAGE")
    assert not m.get("proxy-authorization") and m.get("x-a") == "b" and m.get("x-b") == "c", m.raw
    assert not m.get("x-two") and not m.get("x-three") and m.get("x-four") == "a", m.raw
    b.reply(m, 200)
    a.expect(200)


def test_what_a_script_has_changed_is_what_the_built_in_routing_routes(make):
    s = make(script="""
        function ksr_branch() KSR.hdr.append("X-Branch: " .. KSR.pv.get("$ru")) end
        function ksr_request_route()
            local user = KSR.kx.gete_ruser()
            if user == "0100" then KSR.setuser("bob") end
            if KSR.pv.get("$ru"):find("^tel:") then KSR.seturi("sip:bob@example.com") end
            if user == "gone" then KSR.seturi("sip:nobody@example.com") end
            if user == "away" then KSR.seturi("sip:bob@example.org") end
            if user == "bob" then assert(KSR.registrar.lookup("location") == 1 and KSR.kx.get_ruri() ~= "sip:bob@example.com") end
            KSR.hdr.append("X-Script: " .. user)
            KSR.hdr.remove("X-Two")
            KSR.tm.t_on_branch("ksr_branch")
            KSR.sl.send_reply(499, "Forgotten")
            KSR.sip.default()
        end""")
    b, a = s.registered("tcp", "bob"), s.ua("udp", "alice")
    for uri, seen in (("sip:0100@example.com", "0100"), ("tel:+15550100", "+15550100"), ("sip:bob@example.com", "bob")):
        got = a.ask("MESSAGE", uri, 407)  # credentials are for the URI that alice has sent
        a.send(a.request("MESSAGE", uri, headers=["X-Two: a", a.credentials(got, "MESSAGE", uri)]))
        m = b.expect("MESSAGE")
        assert m.uri == b.contact.strip("<>") and m.get("x-branch") == m.uri and m.get("x-script") == seen and not m.get("x-two"), m.raw
        b.reply(m, 200)
        a.expect(200)
    got = a.ask("MESSAGE", "sip:gone@example.com", 407)
    a.send(a.request("MESSAGE", "sip:gone@example.com", headers=[a.credentials(got, "MESSAGE", "sip:gone@example.com")]))
    a.expect(404)
    m = s.ua("udp", "mallory")
    m.send(m.request("MESSAGE", "sip:away@example.com", from_="sip:mallory@example.org"))  # to be relayed outside, that is
    m.expect(403)


ROUTES = """
function ksr_request_route()
    KSR.hdr.remove("X-Two")
    KSR.hdr.append("X-Added: by the script\\r\\n")
    KSR.setflag(7)
    if KSR.rr.loose_route() > 0 then KSR.tm.t_relay() return end
    if not KSR.is_INVITE() then return KSR.sip.default() end
    KSR.rr.record_route()
    KSR.rr.add_rr_param(";nat=yes")
    KSR.tm.t_on_branch("ksr_branch_one")
    KSR.tm.t_on_reply("ksr_onreply_one")
    KSR.tm.t_on_failure("ksr_failure_one")
    assert(KSR.registrar.lookup("location") == 1)
    KSR.tm.t_relay()
end
function ksr_branch_one(name)
    assert(KSR.tmx.t_is_branch_route() == 1 and KSR.tmx.t_is_request_route() == -1 and KSR.isflagset(7) and KSR.siputils.is_request() == 1)
    assert(not pcall(KSR.auth_db.auth_check, "example.com", "subscriber"))
    KSR.setbflag(10 + KSR.pv.get("$T_branch_idx"))
    KSR.hdr.append("X-Branch: " .. KSR.pv.get("$T_branch_idx") .. " " .. KSR.pv.get("$rU") .. " " .. name)
end
function ksr_reply_route()
    assert(KSR.tmx.t_is_reply_route() == 1)
    KSR.hdr.append("X-Reply: " .. KSR.pv.get("$rs") .. " " .. KSR.pv.get("$rm") .. " " .. KSR.kx.get_status())
end
function ksr_onreply_one()
    assert(KSR.siputils.is_reply() == 1 and KSR.tm.t_check_status("1[0-9][0-9]|200|486") == 1)
    local n = KSR.pv.get("$T_branch_idx")
    assert(n > 1 or KSR.isbflagset(10 + n) and not KSR.isbflagset(11 - n) and KSR.isbflagset(10 + n, n) and not KSR.isbflagset(10 + n, 31))
    assert(KSR.tm.t_get_status_code() == KSR.pv.get('$rs'))
    if KSR.pv.get("$rs") == 183 then KSR.drop() end
    KSR.hdr.append("X-Onreply: " .. KSR.pv.get("$T_reply_code") .. " " .. KSR.pv.get("$rr"))
end
function ksr_failure_one()
    assert(KSR.tmx.t_is_failure_route() == 1 and KSR.pv.get("$T_reply_code") == 486)
    if KSR.tm.t_is_canceled() > 0 then return end
    if KSR.tm.t_check_status("486") > 0 then
        KSR.pv.sets("$ru", "sip:carol@example.com")
        assert(KSR.registrar.lookup("location") == 1)
        KSR.tm.t_on_failure("ksr_failure_two")
        KSR.tm.t_relay()
    end
end
function ksr_failure_two()
    KSR.hdr.append_to_reply("X-Failed: twice")
    KSR.tm.t_reply(433, "Nobody")
end
"""


def test_routes_of_a_scripts_transaction_run_and_change_what_they_see(make):
    s = make(auth="", script=ROUTES)
    b, c, a = s.registered("udp", "bob"), s.registered("tcp", "carol"), s.ua("udp", "alice")
    call = a.invite("sip:bob@example.com", headers=["X-Two: a", "X-Two: b"])
    got = b.expect("INVITE")
    assert got.get("x-added") == "by the script" and not got.get("x-two") and got.get("x-branch") == "0 bob sip:branch", got.raw
    assert ";nat=yes" in got.get("record-route"), got.raw
    b.reply(got, 183, tag="t")
    b.reply(got, 180, "Ringing", tag="t")
    ringing = a.expect(180)
    assert ringing.get("x-reply") == "180 INVITE 180" and ringing.get("x-onreply") == "180 Ringing", ringing.raw
    b.reply(got, 486, "Busy", tag="t")
    second = c.expect("INVITE")
    assert second.get("x-branch") == "1 carol sip:branch" and second.get("x-added") == "by the script", second.raw
    c.reply(second, 200, "OK", tag="u")
    ok = a.expect(200)
    assert ok.get("x-onreply") == "200 OK", ok.raw
    a.ack(call, ok)
    ack = c.expect("ACK")
    assert ack.get("x-added") == "by the script", ack.raw
    a.in_dialog(call, "BYE")
    bye = c.expect("BYE")
    c.reply(bye, 200)
    a.expect(200)
    b.expect("ACK")
    call = a.invite("sip:bob@example.com")
    b.reply(b.expect("INVITE"), 486, "Busy", tag="t")
    c.reply(c.expect("INVITE"), 486, "Busy", tag="t")
    end = a.expect(433)
    assert end.start.endswith("Nobody") and end.get("x-failed") == "twice", end.raw
    until(lambda: s.rows("SELECT method, sip_code, sip_reason FROM acc ORDER BY id") ==
          [("INVITE", "200", "OK"), ("BYE", "200", "Whatever"), ("INVITE", "433", "Nobody")])


def test_a_call_that_a_script_looks_up_in_vain_is_accounted(make):
    text = """function ksr_request_route()
        if KSR.kx.get_ruser() == "nobody" then return KSR.sl.send_reply(404, "Never") end
        if KSR.registrar.lookup("location") < 0 then return KSR.sl.send_reply(404, "Missed") end
    end"""
    s = make(auth="", script=text)
    a = s.ua("udp", "alice")
    for user in ("nobody", "carol"):
        call = a.invite("sip:%s@example.com" % user)
        a.ack(call, a.expect(404))
    until(lambda: s.rows("SELECT sip_code, sip_reason FROM acc") == [("404", "Missed")])


def test_a_registration_that_a_script_saves_twice_is_answered_once(make):
    # K: KSR.registrar.save says the same again, and nothing goes out twice
    text = """function ksr_request_route()
        if KSR.hdr.is_present("X-Refused") > 0 then KSR.sl.send_reply(403, "No") end
        local first, second = KSR.registrar.save("location", 0), KSR.registrar.save("location", 0)
        assert(first == second and first == (KSR.hdr.is_present("X-Good") > 0 and 1 or -1))
    end"""
    for auth in ("register", ""):
        s = make(auth=auth, script=text)
        for kind in ("udp", "tcp"):
            a, n = s.ua(kind, "alice"), 0
            for uri, headers, status in (("sip:example.com", ["X-Good: 1"], 200), ("sip:example.com", ["X-Good: 1", "Contact: " + a.contact], 200),
                                         ("sip:example.org", [], 404), ("sip:example.com", ["X-Refused: 1"], 403)):
                if auth and status == 200:
                    got = a.ask("REGISTER", uri, 401, to=a.aor)
                    headers = headers + [a.credentials(got, "REGISTER", uri)]
                a.send(a.request("REGISTER", uri, to=a.aor if uri == "sip:example.com" else "sip:alice@example.org", headers=headers))
                a.expect(status)
                n += 1
            a.send(a.request("REGISTER", "sip:example.com", to=a.aor, headers=["X-Refused: 1"]))
            a.expect(403)  # and nothing before it
        with open(s.log, encoding="latin-1") as f:
            assert "stack traceback" not in f.read(), s.tail()


def test_a_branch_route_changes_its_own_branch(make):
    s = make(auth="", script="""
        function ksr_request_route()
            if not KSR.is_INVITE() then return KSR.sip.default() end
            KSR.tm.t_on_branch("ksr_branch_one")
            KSR.tm.t_on_reply("ksr_onreply_one")
            KSR.tm.t_on_failure("ksr_failure_one")
            KSR.registrar.lookup("location")
            KSR.tm.t_relay()
        end
        function ksr_branch_one()
            local as = KSR.hdr.gete("X-As")
            if as == "default" then KSR.pv.unset("$ru") else KSR.pv.sets("$rU", as) end
            assert(KSR.pv.get("$rU") == (as == "default" and "bob" or as) and not pcall(KSR.seturi, "tel:1") and not pcall(KSR.setdsturi, "sip:127.0.0.1:9"))
            KSR.hdr.append("  X-Seen: " .. KSR.pv.get("$ru") .. "  \\r\\n")
        end
        function ksr_onreply_one()
            assert(not pcall(KSR.pv.sets, "$ru", "sip:x@y") and not pcall(KSR.pv.sets, "$du", "sip:y") and KSR.sanity.sanity_check() == -1)
            KSR.hdr.append("X-Checked: yes")
        end
        function ksr_failure_one()
            assert(KSR.pv.get("$rU") == "bob" and KSR.sanity.sanity_check() == -1)
            KSR.tm.t_reply(480, "Checked")
        end""")
    b, a = s.registered("tcp", "bob"), s.ua("udp", "alice")
    for name, uri in (("robert", b.contact.strip("<>").replace("bob", "robert", 1)), ("default", "sip:bob@example.com")):
        call = a.invite("sip:bob@example.com", headers=["X-As: " + name])
        got = b.expect("INVITE")
        assert got.uri == uri and got.get("x-seen") == uri, got.raw
        b.reply(got, 180, "Ringing", tag="t")
        assert a.expect(180).get("x-checked") == "yes", s.tail()
        b.reply(got, 486, "Busy", tag="t")
        end = a.expect(480)
        assert end.start.endswith("Checked"), end.raw
        a.ack(call, end)
        b.expect("ACK")


# Every way to fail: the built-in routing has the request, which is authenticated, and carries the dialog.
WAYS = ["error('x')", "local x = nil + 1", "while true do end", "local s = 'x' while true do s = s .. s end", "KSR['no' .. 'ne'].x()",
        "KSR.sl.send_reply(403, 'No') error('late')", "KSR.pv.sets('$ru', 'sip:x@127.0.0.1:9') KSR.tm.t_relay() error('late')",
        "KSR.rr.loose_route() KSR.hdr.remove('Route') KSR.auth_db.auth_check('example.com', 'subscriber', 1) error('late')",
        "table.sort({ 1, 2 }, function(a, b) return KSR.uri_db.does_uri_exist() < 0 end) error('late')"]


def test_a_script_that_fails_leaves_traffic_flowing(make):
    text = "local way = 0\nfunction ksr_request_route()\n way = way %% %d + 1\n" % len(WAYS)
    text += "".join(" if way == %d then %s end\n" % (i, w) for i, w in enumerate(WAYS, 1)) + "end\n"
    s = make(script=text, **{"min_expires": 60})
    b, a = s.registered("tcp", "bob"), s.registered("udp", "alice")
    for _ in range(4):
        call = a.invite("sip:bob@example.com", auth=True)
        got = b.expect("INVITE")
        b.reply(got, 200, tag="t")
        a.ack(call, a.expect(200))
        b.expect("ACK")
        hang_up(a, b, call)
    with open(s.log, encoding="latin-1") as f:
        log = f.read()
    for sign in ("attempt to perform arithmetic", "stopped after", "out of memory", "KSR.none.x is not offered", "late", "stack traceback"):
        assert sign in log, (sign, s.tail())


def ask_ways(make, ways, what):
    """One OPTIONS for each piece of Lua, which is ways[n] then."""
    s = make(script="""local long, n = ("x"):rep(1000), 0
        local ways = { %s }
        function ksr_request_route()
            n = n + 1
            %s
        end""" % (", ".join("function() %s end" % w for w in ways), what))
    a = s.ua("udp", "alice")
    for way in ways:
        mark = s.mark()
        a.send(a.request("OPTIONS", "sip:bob@example.com", headers=["Route: <sip:127.0.0.1:%d;lr;a=%s>" % (s.port, "a" * 6000)]))
        yield way, s, mark


# What is made of its texts stays until the request has ended, be it caught or thrown away.
def test_a_script_has_no_more_than_so_much_memory_of_a_request(make):
    ways = ["KSR.hdr.append('X-A: ' .. long)", "KSR.hdr.remove(long)", "KSR.hdr.append_to_reply('X-A: ' .. long)", "KSR.rr.add_rr_param(';a=x')",
            "KSR.pv.sets('$rU', long)", "KSR.pv.sets('$ru', 'sip:' .. long .. '@x')", "KSR.pv.sets('$du', 'sip:' .. long .. '@x')", "KSR.is_myself('sip:' .. long)",
            "KSR.tm.t_on_reply(long)", "KSR.is_myself_suri()"]
    what = "for i = 1, 50 do for _ = 1, 50 do pcall(ways[n]) end if not pcall(KSR.is_myself, 'sip:x') then break end end KSR.info('it says ' .. tostring(select(2, pcall(KSR.is_myself, 'sip:x'))))"
    for _, s, mark in ask_ways(make, ways, what):
        s.wait_for("it says .*more than 1 MiB of texts for one request", mark)


# The text is a peer's.
def test_a_regular_expression_that_takes_long_is_stopped(make):
    ways = ["KSR.rr.check_route_param('(a|aa)+b')", "KSR.tm.t_check_status('([0-9]{1,255}){1,255}')", "KSR.tm.t_check_status('[0-9]{,32767}')",
            "for i = 1, 100000 do pcall(KSR.tm.t_check_status, '[0-9]{1,100}') end", "KSR.rr.check_route_param('(a+)+\\\\1b')"]
    for way, s, mark in ask_ways(make, ways, "KSR.rr.loose_route() ways[n]()"):
        s.wait_for("is no regular expression" if "1b" in way else "it takes too long|stopped after", mark)


def test_failures_of_other_routes_of_a_script_change_nothing(make):
    text = ("function ksr_request_route()\n for _, on in ipairs { 't_on_branch', 't_on_reply', 't_on_failure' } do KSR.tm[on]('broken') end\n"
            " if KSR.registrar.lookup('location') > 0 then KSR.tm.t_relay() else KSR.sip.default() end\nend\n"
            "function ksr_reply_route() error('x') end\nfunction broken() error('x') end\n")
    s = make(auth="", script=text)
    b, a = s.registered("udp", "bob"), s.ua("udp", "alice")
    call = a.invite("sip:bob@example.com")
    b.reply(b.expect("INVITE"), 486, "Busy", tag="t")
    a.ack(call, a.expect(486))
    b.expect("ACK")


def test_a_script_that_always_relays_again_comes_to_an_end(make):
    text = ("function again() KSR.tm.t_on_failure('again') KSR.pv.sets('$ru', 'sip:x@0.0.0.0') KSR.tm.t_relay() end\n"
            "function ksr_request_route() again() end\n")
    s = make(auth="", script=text)
    a = s.ua("udp", "alice")
    a.ask("MESSAGE", "sip:bob@example.com", 403)


def test_policy_in_a_script_goes_before_the_built_in_routing(make):
    with open(os.path.join(TOP, "etc", "examples", "sip-policy-by-domain.lua")) as f:
        text = f.read().replace("PER_MINUTE = 30", "PER_MINUTE = 2")
    s = make(auth="", script=text, htable="calls=>size=12;autoexpire=60;updateexpire=0")
    b, a, c = s.registered("udp", "bob"), s.ua("udp", "alice"), s.ua("udp", "carol")
    c.ask("MESSAGE", "sip:x@Premium.example", 403)
    for _ in range(2):
        a.send(a.request("MESSAGE", "sip:bob@example.com"))
        b.reply(b.expect("MESSAGE"), 200)
        a.expect(200)
    a.ask("MESSAGE", "sip:bob@example.com", 503)
    c.ask("MESSAGE", "sip:nobody@example.com", 404)


def test_limits_hold_for_what_a_script_relays(make):
    s = make(auth="", script="function ksr_request_route() if KSR.registrar.lookup('location') < 0 then return KSR.tm.t_relay() end KSR.tm.t_relay() end",
             forward_to="public")
    a = s.ua("udp", "alice")
    a.ask("MESSAGE", "sip:x@127.0.0.1:9", 403)  # not to addresses that policy forbids: S-SEC-05
    a.send(a.request("MESSAGE", "sip:bob@example.com", max_forwards=0))
    a.expect(483)
    a.send(a.request("BYE", "sip:x@example.org", to_tag="x", headers=["Route: <sip:127.0.0.1:9;lr>"]))
    a.expect(403)


def test_a_reload_replaces_the_script_and_a_broken_one_does_not(make):
    def script(text):
        return "function ksr_request_route() KSR.sl.send_reply(200, '%s') end" % text

    s = make(script=script("one"))
    a = s.ua("udp", "alice")
    assert a.ask("MESSAGE", "sip:bob@example.com", 200).start.endswith("one")
    s.write_script(script("two"))
    s.reload()
    assert a.ask("MESSAGE", "sip:bob@example.com", 200).start.endswith("two")
    for broken in ("function", "KSR.nosuch.thing()", "function other() end", "function ksr_request_route() KSR.tm.t_relax() end", "KSR.sl.send_reply(1, 'x')"):
        s.write_script(broken)
        check = subprocess.run([s.tandemd, "-c", s.conf, "-t"], capture_output=True, text=True, check=False)
        assert check.returncode == 1 and s.script in check.stderr, check
        mark = s.mark()
        s.process.send_signal(signal.SIGHUP)
        s.wait_for("script not reloaded, the old one stays", mark)
        s.wait_for("the SIP process has the new configuration", mark)
        assert a.ask("MESSAGE", "sip:bob@example.com", 200).start.endswith("two")
    s.kill_sip()  # the old script has gone with its process
    a.ask("MESSAGE", "sip:bob@example.com", 407)
    s.wait_for("the built-in routing has all requests")


def test_a_script_reads_the_database_and_its_request_alone_waits(make):
    s = make(script="""
        function ksr_request_route()
            if KSR.is_REGISTER() then return KSR.sip.default() end
            KSR.tm.t_on_failure("ksr_failure_one")
            if KSR.is_INVITE() then KSR.registrar.lookup("location") return KSR.tm.t_relay() end
            assert(KSR.sqlops.sql_query("ca", "select domain from subscriber where username = $rU and domain = $rd", "u") >= 1)
            assert(KSR.sqlops.sql_query("ca", "select 'O''Hara $x'", "v") == 1 and KSR.pv.get("$dbr(v=>[0,0])") == "O'Hara $x")
            KSR.sl.send_reply(299 - KSR.sqlops.sql_num_rows("u"), KSR.pv.getw("$dbr(u=>[0,0])"))
        end
        function ksr_failure_one()
            local good, why = pcall(KSR.sqlops.sql_query, "ca", "select 1", "r")
            KSR.tm.t_reply(499, why:match("nothing waits for the database here") or "?")
        end""")
    b, a = s.registered("udp", "bob"), s.ua("udp", "alice")
    got = a.ask("MESSAGE", "sip:bob@example.com", 298)
    assert got.start.endswith("example.com"), got.start
    a.ask("MESSAGE", "sip:nobody'%20or%20'1'='1@example.com", 299)
    for _ in range(20):
        a.send(a.request("MESSAGE", "sip:bob@example.com"))
    for _ in range(20):
        a.expect(298)
    call = a.invite("sip:bob@example.com")
    b.reply(b.expect("INVITE"), 486)
    b.expect("ACK")
    assert a.expect(499).start.endswith("nothing waits for the database here")


def test_a_script_unregisters_and_says_that_it_rings(make):
    s = make(script="""
        function ksr_request_route()
            if KSR.is_REGISTER() then return KSR.sip.default() end
            local rc = KSR.sl.send_reply(180, "Ringing")
            if KSR.is_MESSAGE() then
                assert(rc == -1 and KSR.registrar.registered("location") == 1 and KSR.registrar.unregister("location", KSR.pv.get("$ru")) == 1)
                assert(KSR.registrar.registered("location") == -1 and KSR.registrar.unregister("location", KSR.pv.get("$ru")) == -1)
                return KSR.sl.send_reply(200, "Gone")
            end
            assert(rc == 1)
            KSR.sl.send_reply(486, "Busy")
        end""")
    s.registered("udp", "bob")
    a = s.ua("udp", "alice")
    a.ask("MESSAGE", "sip:bob@example.com", 200)
    assert s.rows("select count(*) from location") == [(0,)]
    a.send(a.request("INVITE", "sip:bob@example.com"))
    a.expect(100)
    ringing, busy = a.expect(180), a.expect(486)
    assert ";tag=" in ringing.get("to") and ringing.get("to") == busy.get("to"), ringing.raw + busy.raw


# The built-in routing written as a script passes the same tests.
SAME = (
    sip_calls.test_caller_on_udp_and_callee_on_tcp_reach_each_other_in_the_dialog,
    sip_calls.test_cancel_ends_the_branch,
    sip_calls.test_fork_two_answers_both_go_up,
    sip_calls.test_fork_challenges_are_gathered,
    sip_calls.test_loop_is_detected,
    sip_policy.test_404_and_480,
    sip_policy.test_local_user_is_challenged_with_407_and_his_identity_checked,
    sip_policy.test_foreign_caller_reaches_a_user_but_no_other_domain,
    sip_policy.test_made_up_dialog_does_not_open_the_relay,
    sip_policy.test_mark_of_one_dialog_is_no_good_for_another,
    sip_policy.test_udp_client_behind_nat_is_reached_in_the_dialog,
    sip_policy.test_sips_and_sip_do_not_mix,
    sip_register.test_register_is_challenged_and_accepted_with_sha256,
    sip_register.test_replayed_credentials_are_stale,
)


def same(test):
    def through_the_script(make):
        with open(os.path.join(TOP, "etc", "examples", "sip-basic.lua")) as f:
            text = f.read()

        def make_with(auth="register request", **options):
            return make(auth=auth, script=text if "request" in auth else text.replace("AUTHENTICATE = true", "AUTHENTICATE = false"), **options)
        test(make_with)
    return through_the_script


for test in SAME:
    globals()[test.__name__.replace("test_", "test_script_routes_as_built_in_", 1)] = same(test)


def test_a_script_sees_who_is_trusted(make):
    s = make(trusted="127.0.0.1", script="function ksr_request_route() KSR.sl.send_reply(KSR.permissions.allow_source_address() == 1 and 200 or 403, 'x') end")
    s.ua("udp", "alice").ask("MESSAGE", "sip:bob@example.com", 200)
