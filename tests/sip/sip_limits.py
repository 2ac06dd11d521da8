"""Who is shut out, over UDP as over streams; a reload that reaches the SIP process; its counters."""
import json
import os
import re
import signal
import subprocess
import time

from sipua import Timeout


def ctl(s, *arguments):
    program = os.path.join(os.path.dirname(s.tandemd), "tandemctl")
    return subprocess.run([program, "-c", s.conf, "--json"] + list(arguments), check=True, stdout=subprocess.PIPE, timeout=20).stdout.decode()


def until(what, seconds=10):
    end = time.monotonic() + seconds
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
    s.registered("udp", "bob")
    a = s.ua("udp", "alice")
    a.register(contact="<mailto:x@y>", expect=400)
    until(lambda: json.loads(ctl(s, "rpc", "stats.get"))["sip_registered"] == 1)
    got = json.loads(ctl(s, "rpc", "stats.get"))
    assert got["sip_requests"] >= 2 and got["sip_denied"] == 1, got


def test_datagram_ping_gets_a_pong(make):
    # S-OUT-10
    a = make(auth="").ua("udp", "alice")
    a.send(b"\r\n\r\n")
    assert a.s.read(2) == b"\r\n"
    a.send(b"\r\n")
    a.send(b"\r\n\r\n\r\n")
    assert a.s.read(2) == b"\r\n"
    a.silent()
