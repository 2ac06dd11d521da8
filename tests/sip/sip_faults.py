"""The faults of Sofia-SIP that were reproduced with these very bytes, and what stands before each of them."""
import os
import time

from daemon import SLOW


def still_well(s, pid):
    assert s.sip_pid() == pid, "the SIP process was replaced"
    s.ua("udp", "alice").ask("OPTIONS", "sip:example.com", 200)


def test_repeated_single_value_header_does_not_end_the_process(make):
    # serialize_one: Assertion `!msg_is_single(h)'
    s = make(auth="")
    b = s.registered("udp", "bob")
    pid = s.sip_pid()
    for kind in ("udp", "tcp"):
        a = s.ua(kind, "alice")
        for headers in (["Subject: a", "Subject: b", "Subject: c"], ["User-Agent: a"] * 3, ["Expires: 1", "Expires: 2"],
                        ["Content-Type: a/b"] * 3, ["Date: x", "Date: y", "Date: z"], ["MIME-Version: 1.0"] * 4):
            a.send(a.request("MESSAGE", "sip:bob@example.com", headers=headers))
            b.reply(b.expect("MESSAGE"), 200, headers=["Server: a", "Server: b", "Server: c"])
            a.expect(200)
    still_well(s, pid)


def test_repeated_mandatory_header_is_400(make):
    # S-MSG-10
    s = make(auth="")
    pid = s.sip_pid()
    for kind in ("udp", "tcp"):
        a = s.ua(kind, "alice")
        for line in ("To: <sip:x@y>", "f: <sip:x@y>;tag=1", "Call-ID: again", "CSeq: 9 MESSAGE"):
            a.send(a.request("MESSAGE", "sip:bob@example.com", headers=[line]))
            m = a.receive()
            assert m.status == 400, (kind, line, m.raw)
    still_well(s, pid)


def test_sdp_that_loops_the_parser_is_just_a_body(make):
    # sdp_parse() never ends on this line; it is never called
    s = make(auth="")
    b = s.registered("udp", "bob")
    pid = s.sip_pid()
    a = s.ua("udp", "alice")
    body = b"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 TCP/MSRP \x01(<>)@\r\n"
    a.invite("sip:bob@example.com", body=body, headers=["Content-Type: application/sdp"])
    got = b.expect("INVITE")
    assert got.body == body
    b.reply(got, 200, tag="x", headers=["Content-Type: application/sdp"], body=body)
    assert a.expect(200).body == body
    still_well(s, pid)


def memory_kib(pid):
    with open("/proc/%d/status" % pid) as f:
        return int(next(line for line in f if line.startswith("VmHWM")).split()[1])


def test_pipelined_requests_do_not_cost_quadratic_memory(make):
    # 539 KiB of INVITEs on one stream took 482 MiB
    s = make(auth="")
    pid = s.sip_pid()
    before = memory_kib(pid)
    a = s.ua("tcp", "alice")
    data = b""
    while len(data) < 539 * 1024:
        data += a.request("INVITE", "sip:nobody@example.com", headers=["Contact: " + a.contact])
    n = data.count(b"INVITE sip:")
    a.s.sock.settimeout(20)
    a.send(data)
    end = time.monotonic() + 20
    while n and time.monotonic() < end:
        m = a.receive(5)
        n -= m.status == 404
    assert n == 0
    grown = memory_kib(pid) - before
    print("       pipelined INVITEs grew the SIP process by %d MiB" % (grown >> 10))
    assert grown < 100 * 1024, grown
    still_well(s, pid)


def lists(name, value, count):
    """Header lines with so many values, # in each being its number, each line within its limit."""
    a_line = 8000 // (len(value) + 4)
    values = [value.replace("#", str(i)) for i in range(count)]
    return ["%s: %s" % (name, ",".join(values[i:i + a_line])) for i in range(0, count, a_line)]


def test_long_lists_cost_neither_memory_nor_time(make):
    # S-MSG-13 S-SEC-02: a REGISTER of 60 KB, from anybody, held everybody up for seconds and took gigabytes
    s = make(auth="")
    pid = s.sip_pid()
    a, b = s.ua("tcp", "alice"), s.registered("tcp", "bob")
    before = memory_kib(pid)
    for lines, status in ((lists("Require", "x" * 30, 1900), 420), (lists("Contact", "<sip:#@192.0.2.1>", 1900), 403)):
        a.send(a.request("REGISTER", "sip:example.com", to=a.aor, headers=lines))
        assert a.receive().status == status
    grown = memory_kib(pid) - before
    assert grown < 40 * 1024, grown
    a.send(a.request("OPTIONS", "sip:bob@example.com", headers=lists("Accept-Language", "a", 8000))) # each is walked over for the next one
    assert a.receive().status == 513
    b.silent()
    still_well(s, pid)


def test_maddr_in_via_causes_no_name_resolution(make):
    # a name in maddr was resolved by a blocking call
    s = make(auth="")
    pid = s.sip_pid()
    for kind in ("udp", "tcp"):
        a = s.ua(kind, "alice")
        for _ in range(3):
            began = time.monotonic()
            a.ask("OPTIONS", "sip:example.com", 200, via=a.via() + ";maddr=very.slow.name.invalid")
            assert time.monotonic() - began < 0.5 * SLOW
    still_well(s, pid)


def test_garbage_on_udp_is_survived(make):
    s = make(auth="")
    pid = s.sip_pid()
    a = s.ua("udp", "alice")
    for data in (b"\0" * 100, b"\r\n\r\n", b"INVITE", b"SIP/2.0 999 x\r\n\r\n", os.urandom(1400), b"A" * 60000, b"INVITE sip:a SIP/2.0\r\n\r\n",
                 a.request("INVITE", "sip:bob@example.com").replace(b"Via", b"Vix"),
                 a.request("INVITE", "sip:" + "a" * 30000 + "@example.com")):
        a.send(data)
    time.sleep(0.2)
    still_well(s, pid)


def test_vias_over_the_limit(make):
    # S-MSG-13
    s = make(auth="")
    pid = s.sip_pid()
    a = s.ua("udp", "alice")
    a.ask("OPTIONS", "sip:example.com", 200, headers=["Via: SIP/2.0/UDP h%d.invalid;branch=z9hG4bK%d" % (i, i) for i in range(69)])
    a.ask("OPTIONS", "sip:example.com", 513, headers=["Via: SIP/2.0/UDP h%d.invalid;branch=z9hG4bK%d" % (i, i) for i in range(70)])
    still_well(s, pid)
