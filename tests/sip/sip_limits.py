"""Who is shut out, over UDP as over streams; a reload that reaches the SIP process; its counters."""
import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time

import sip_calls
from daemon import SLOW
from ports import free_port
from server import storm
from sipua import Socket, Timeout


def ctl(s, *arguments):
    program = os.path.join(os.path.dirname(s.tandemd), "tandemctl")
    return subprocess.run([program, "-c", s.conf, "--json"] + list(arguments), check=True, stdout=subprocess.PIPE, timeout=20 * SLOW).stdout.decode()


def until(what, seconds=10):
    end = time.monotonic() + seconds * SLOW
    while not what():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def reload(s, old, new):
    with open(s.conf) as f:
        text = f.read()
    with open(s.conf, "w") as f:
        f.write(re.sub(old, new, text))
    mark = s.mark()
    s.process.send_signal(signal.SIGHUP)
    s.wait_for("the SIP process has the new configuration", mark)


def answers(a):
    a.send(a.request("OPTIONS", "sip:example.com"))
    try:
        return a.receive(0.3).status == 200
    except Timeout:
        return False


def test_datagram_source_over_the_limit_is_shut_out_and_from_streams_too(make):
    # S-SEC-04 S-SEC-01
    s = make(auth="", max_contacts="10\n[limits]\nrequests_per_second = 20")
    a = s.ua("udp", "alice")
    assert answers(a)
    for _ in range(200):
        a.send(a.request("OPTIONS", "sip:example.com"))
    until(lambda: "127.0.0.1" in ctl(s, "ban", "list"))
    while True:
        try:
            a.receive(0.3)
        except Timeout:
            break
    assert not answers(a)
    t = None
    try:
        t = s.ua("tcp", "alice")
    except OSError:
        pass
    assert t is None or t.s.is_closed()
    s.kill_sip()  # the next one is told
    assert not answers(a)
    ctl(s, "ban", "del", "127.0.0.1")
    until(lambda: answers(a))
    assert json.loads(ctl(s, "rpc", "stats.get"))["sip_datagrams_dropped"] > 0


def test_scanner_gets_no_answer_and_is_shut_out_where_its_address_is_its_own(make):
    # S-SEC-04
    s = make(auth="")
    a, t = s.ua("udp", "alice"), s.ua("tcp", "alice")
    for name in ("friendly-scanner", "SIPVicious/0.3"):
        a.send(a.request("OPTIONS", "sip:example.com", headers=["User-Agent: " + name]))
    a.silent()
    assert answers(a) and answers(t)
    t.send(t.request("OPTIONS", "sip:example.com", headers=["User-Agent: my FRIENDLY-scanner 1"]))
    assert t.s.is_closed()
    until(lambda: "a scanner" in ctl(s, "ban", "list"))


def test_reload_reaches_the_sip_process_and_its_successor(make):
    # S-REG-05 S-REG-10
    s = make(auth="", min_expires=60)
    a = s.ua("udp", "alice")
    a.register(expires=100)
    reload(s, "min_expires = 60", "min_expires = 200")
    assert a.register(expires=100, expect=423).get("min-expires") == "200"
    s.kill_sip()
    assert a.register(expires=100, expect=423).get("min-expires") == "200"
    reload(s, "authenticate = *\n", "authenticate = register\n")
    a.ask("REGISTER", "sip:example.com", 401, to=a.aor)


def test_counters_of_the_sip_process_are_told(make):
    s = make(auth="")
    s.registered("tcp", "bob")  # one connection, whatever is between the two processes
    a = s.ua("udp", "alice")
    a.register(contact="<mailto:x@y>", expect=400)
    until(lambda: json.loads(ctl(s, "rpc", "stats.get"))["sip_registered"] == 1)
    got = json.loads(ctl(s, "rpc", "stats.get"))
    assert got["sip_requests"] >= 2 and got["sip_denied"] == 1 and got["conn_open"] == 1, got


def test_datagram_ping_gets_a_pong(make):
    # S-OUT-10 S-MSG-03: and in front of a request it is nothing
    a = make(auth="").ua("udp", "alice")
    a.send(b"\r\n\r\n")
    assert a.s.read(2) == b"\r\n"
    a.send(b"\r\n")
    a.send(b"\r\n\r\n\r\n")
    assert a.s.read(2) == b"\r\n"
    a.send(b"\r\n\r\n" + a.request("OPTIONS", "sip:example.com"))
    a.expect(200)
    a.silent()


def is_refused_for_now(m):
    return m.status == 503 and 5 <= int(m.get("retry-after")) <= 14


def test_new_requests_are_refused_when_there_are_too_many_transactions(make):
    # S-SEC-01: without a transaction, and what has one goes on
    s = make(auth="", max_contacts="10\n[limits]\ntransactions = 60")
    b, a, other = s.registered("tcp", "bob"), s.ua("tcp", "alice"), s.ua("udp", "carol")
    call, got, ok = sip_calls.call_up(a, b)
    calls = [a.invite("sip:bob@example.com") for _ in range(40)]
    invites = [b.expect("INVITE") for _ in calls]
    b.reply(invites[0], 180, tag="rings")
    a.expect(180)
    s.wait_for("overload: as many transactions as there may be")
    for method in ("INVITE", "REGISTER", "MESSAGE", "OPTIONS"):
        refused = dict(callid="overload@test", branch="z9hG4bK-" + method, tag="o")
        other.send(other.request(method, "sip:example.com" if method == "REGISTER" else "sip:bob@example.com", to=other.aor, **refused))
        m = other.expect(503)
        assert is_refused_for_now(m) and m.tag("to"), m.raw
        if method == "INVITE":
            other.send(other.request("ACK", "sip:bob@example.com", to=other.aor, to_tag=m.tag("to"), **refused))
    assert not s.rows("SELECT 1 FROM location WHERE username = 'carol'")
    a.cancel(calls[0])
    a.expect(200)
    b.reply(b.expect("CANCEL"), 200)
    sip_calls.hang_up(a, b, call)
    for invite in invites:
        b.reply(invite, 486, tag="busy")
    for _ in invites:
        a.expect(486)
    s.wait_for("overload is over: as many transactions")
    other.register()
    assert json.loads(ctl(s, "rpc", "stats.get"))["sip_overloaded"] == 4
    other.silent(0.1)


def test_bans_reach_a_sip_process_that_is_slow_to_read_them(make):
    # S-SEC-01: more than its socket holds, in their order: what was lifted last is lifted
    s = make(auth="")
    x = s.ua("udp", "bob", s=Socket("udp", s.port, source="127.0.0.2"))

    def is_heard():
        x.send(x.request("OPTIONS", "sip:example.com"))
        with contextlib.suppress(Timeout):
            return x.receive(0.2).status == 200

    ctl(s, "ban", "add", "127.0.0.2", "600")
    until(lambda: not is_heard())
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(os.path.join(s.dir, "t.sock"))
        answers = control.makefile()
        os.kill(s.sip_pid(), signal.SIGSTOP)
        for n in range(1000):
            control.sendall(json.dumps({"jsonrpc": "2.0", "id": n, "method": "core.ban", "params": ["add", "10.0.%d.%d" % divmod(n, 250), 600]}).encode() + b"\n")
            assert "error" not in json.loads(answers.readline())
        ctl(s, "ban", "del", "127.0.0.2")
        os.kill(s.sip_pid(), signal.SIGCONT)
    until(is_heard)


# Sends new calls as fast as it can for some seconds, then says how each that was answered was.
FLOOD = """
import collections, socket, sys, time
s, got, n = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), collections.Counter(), 0
s.bind(("127.0.0.1", 0))
s.setblocking(False)
text = ("INVITE sip:carol@example.com SIP/2.0\\r\\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bKf%%d\\r\\nMax-Forwards: 70\\r\\nFrom: <sip:x@example.com>;tag=%%d\\r\\n"
        "To: <sip:carol@example.com>\\r\\nCall-ID: flood%%d\\r\\nCSeq: 1 INVITE\\r\\nContent-Length: 0\\r\\n\\r\\n" % s.getsockname()[1])
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    try:
        for n in range(n + 1, n + 51):
            s.sendto((text % (n, n, n)).encode(), ("127.0.0.1", int(sys.argv[1])))
        while True:
            got[s.recv(4096)[8:11].decode()] += 1
    except BlockingIOError:
        pass
print(n, *["%s:%d" % i for i in got.items()])
"""


@storm
def test_flood_is_refused_and_calls_go_on(make):
    # S-SEC-01: more datagrams than can be read, from one who is not limited: new requests get 503 with Retry-After, what is in a call goes on, and afterwards all is as before
    s = make(auth="")
    b, a, other = s.registered("tcp", "bob"), s.ua("tcp", "alice"), s.ua("tcp", "alice")
    call, got, ok = sip_calls.call_up(a, b)
    pid = s.sip_pid()
    with subprocess.Popen([sys.executable, "-c", FLOOD, str(s.port), "4"], stdout=subprocess.PIPE) as flood:
        s.wait_for("overload: datagrams come faster than they can be read")
        refused = other.invite("sip:bob@example.com")
        m = other.expect(503)
        assert is_refused_for_now(m), m.raw
        other.ack(refused, m)
        for _ in range(20):
            a.in_dialog(call, "INFO")
            b.reply(b.expect("INFO"), 200)
            a.expect(200)
        sip_calls.hang_up(a, b, call)
        assert flood.poll() is None, "the flood was over before"
        said = flood.communicate(timeout=20 * SLOW)[0].decode()
    print("       a flood of (new calls, answers): " + said.strip())
    assert int(re.search(r" 503:(\d+)", said).group(1)) > 100, said
    s.wait_for("overload is over: datagrams")
    other.silent(0.1)
    call, got, ok = sip_calls.call_up(a, b)
    sip_calls.hang_up(a, b, call)
    s.ua("udp", "carol").register()
    assert s.sip_pid() == pid and json.loads(ctl(s, "rpc", "stats.get"))["sip_overloaded"] > 100


def test_registrations_are_refused_while_the_database_does_not_write(make):
    # S-SEC-01: and nothing else is
    s = make(auth="")
    a, b = s.ua("udp", "alice"), s.registered("udp", "bob")
    with contextlib.closing(sqlite3.connect(s.database, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        b.send(b.request("REGISTER", "sip:example.com", to=b.aor, callid=b.registration, cseq=10, headers=["Contact: " + b.contact]))
        s.wait_for("overload: registrations wait for the database")
        a.send(a.request("REGISTER", "sip:example.com", to=a.aor, headers=["Contact: " + a.contact]))
        assert is_refused_for_now(a.expect(503))
        a.ask("REGISTER", "sip:example.com", 200, to=a.aor)  # a query
        a.send(a.request("MESSAGE", "sip:bob@example.com"))
        b.reply(b.expect("MESSAGE"), 200)
        a.expect(200)
        db.execute("ROLLBACK")
    b.expect(200)
    s.wait_for("overload is over: registrations")
    a.register()


def test_who_does_not_take_datagrams_is_not_shut_out_for_it(make):
    # S-SEC-04: what comes back by ICMP has not been sent by the one it could not reach
    s = make(auth="", forward_to="loopback", max_contacts="10\n[limits]\nrequests_per_second = 30")
    s.ua("udp", "bob").register(contact=", ".join("<sip:bob@127.0.0.1:%d>" % free_port() for _ in range(8)))
    a = s.ua("udp", "alice")
    for _ in range(10):
        a.ask("MESSAGE", "sip:bob@example.com", 500)
    assert "127.0.0.1" not in ctl(s, "ban", "list")
    assert json.loads(ctl(s, "rpc", "stats.get"))["sip_datagrams_dropped"] == 0
