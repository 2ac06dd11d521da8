"""Streams: framing, keep-alive, flows and what becomes of them when the SIP process dies."""
import os
import signal
import socket
import struct
import time

from daemon import SLOW
from sip_calls import call_up, hang_up
from sip_limits import until
from ports import free_port
from sipua import TIMEOUT, Socket, Timeout


def test_crlf_ping_gets_one_crlf(make):
    # S-OUT-10, section 21.15
    s = make(auth="")
    for kind in ("tcp", "tls"):
        a = s.ua(kind, "alice")
        a.ask("OPTIONS", "sip:example.com", 200)
        a.send(b"\r\n\r\n")
        assert a.s.read(2) == b"\r\n"
        a.send(b"\r\n\r\n" + a.request("OPTIONS", "sip:example.com"))
        a.expect(200)
        for pings, pongs in ((3, 1), (4, 2)): # each pair once; and a message between two is no part of a pair
            a.send(b"\r\n" * pings + a.request("OPTIONS", "sip:example.com") + b"\r\n" + a.request("OPTIONS", "sip:example.com"))
            raw = b""
            while raw.count(b"SIP/2.0 200") < 2 or not raw.endswith(b"\r\n\r\n"):
                raw += a.s.read(4)
            assert raw.startswith(b"\r\n" * pongs + b"SIP/2.0 200") and b"\r\n\r\nSIP/2.0 200" in raw, raw
    a = s.ua("tcp", "alice") # before anything else is said
    a.send(b"\r\n" * 3 + a.request("OPTIONS", "sip:example.com"))
    raw = b""
    while b"SIP/2.0 200" not in raw:
        raw += a.s.read(4)
    assert raw.startswith(b"\r\nSIP/2.0 200"), raw


def test_message_in_single_octets_and_two_in_one_segment(make):
    # S-MSG-04
    s = make(auth="")
    a = s.ua("tcp", "alice")
    for octet in a.request("OPTIONS", "sip:example.com", body=b"hello"):
        a.send(bytes([octet]))
    a.expect(200)
    a.send(a.request("OPTIONS", "sip:example.com", body=b"x" * 100) + a.request("OPTIONS", "sip:example.com"))
    a.expect(200)
    a.expect(200)


def test_missing_content_length_on_a_stream_is_400_and_the_end(make):
    # S-MSG-04
    s = make(auth="")
    a = s.ua("tcp", "alice")
    a.send(a.request("OPTIONS", "sip:example.com", length=False))
    assert a.receive().status == 400
    assert a.s.is_closed()


def test_malformed_but_framed_is_answered_and_the_stream_goes_on(make):
    # S-MSG-10 S-MSG-11 S-MSG-12
    s = make(auth="")
    a = s.ua("tcp", "alice")
    good = a.request("OPTIONS", "sip:example.com", body=b"body")
    cases = ((good.replace(b"Call-ID", b"From: <sip:x@y>;tag=2\r\nCall-ID"), 400), (good.replace(b" OPTIONS\r", b" INVITE\r"), 400),
             (good.replace(b"SIP/2.0\r", b"SIP/7.0\r"), 505), (good.replace(b"sip:example", b"sip: example"), 400),
             (good.replace(b"CSeq: 1 ", b"CSeq: 36893488147419103232 "), 400), (good.replace(b"To:", b"Too:"), 400))
    for message, status in cases:
        a.send(message)
        m = a.receive()
        assert m.status == status, (message, m.raw)
        assert m.get("via").startswith("SIP/2.0/TCP") and m.get("call-id")
    a.send(good)
    a.expect(200)


def test_limits_of_a_message(make):
    # S-MSG-13
    s = make(auth="")
    a = s.ua("tcp", "alice")
    fits = len(a.request("OPTIONS", "sip:example.com", body=b"x" * 60000)) - 60000
    cases = ((a.request("OPTIONS", "sip:example.com", body=b"x" * (65536 - fits)), 200),
             (a.request("OPTIONS", "sip:example.com", body=b"x" * (65536 - fits + 60)), 513),
             (a.request("OPTIONS", "sip:example.com", headers=["X-A: " + "y" * (8192 - 5)]), 200),
             (a.request("OPTIONS", "sip:example.com", headers=["X-A: " + "y" * (8192 - 4)]), 513),
             (a.request("OPTIONS", "sip:example.com", headers=["X-%d: y" % i for i in range(121)]), 200),
             (a.request("OPTIONS", "sip:example.com", headers=["X-%d: y" % i for i in range(129)]), 513),
             (a.request("OPTIONS", "sip:example.com"), 200))
    for message, status in cases:
        a.send(message)
        assert a.receive().status == status, message[:200]


def test_what_two_parsers_could_read_differently_ends_the_stream(make):
    s = make(auth="")
    for old, new in ((b"\r\nCall-ID", b"\nCall-ID"), (b"Call-ID: ", b"Call-ID: \0"), (b"\r\nCall-ID", b"\rCall-ID"),
                     (b"Content-Length: 4", b"Content-Length: 4\r\nContent-Length: 4"), (b"Content-Length: 4", b"Content-Length: -4"),
                     (b"Content-Length: 4", b"Content-Length: 99999999999999999999")):
        a = s.ua("tcp", "alice")
        a.send(a.request("OPTIONS", "sip:example.com", body=b"body").replace(old, new))
        assert a.s.is_closed(), new


def test_closed_flow_means_480_at_once(make):
    # S-OUT-05, section 21.8
    s = make(auth="")
    b = s.registered("tcp", "bob")
    a = s.ua("udp", "alice")
    a.send(a.request("MESSAGE", "sip:bob@example.com"))
    b.reply(b.expect("MESSAGE"), 200)
    a.expect(200)
    b.close()
    time.sleep(0.2)
    began = time.monotonic()
    a.ask("MESSAGE", "sip:bob@example.com", 480)
    assert time.monotonic() - began < 1 * SLOW


def test_client_that_has_closed_its_half_gets_its_answers_and_no_requests(make):
    # S-VIA-05 S-OUT-05: RFC 3261 s.18.2.2
    s = make(auth="")
    b, a, c = s.registered("udp", "bob"), s.registered("tcp", "alice"), s.ua("udp", "carol")
    a.send(a.request("MESSAGE", "sip:bob@example.com") + a.request("OPTIONS", "sip:example.com"))
    a.s.sock.shutdown(socket.SHUT_WR)
    got = b.expect("MESSAGE")
    a.expect(200)
    c.ask("MESSAGE", "sip:alice@example.com", 480)
    b.reply(got, 202)
    a.expect(202)
    assert a.receive() is None
    a = s.ua("tcp", "alice")
    a.s.sock.shutdown(socket.SHUT_WR)  # and nothing is owed
    assert a.receive() is None


def connected_from(s, port, host):
    """A connection whose own end is 127.0.0.1 and that port."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # the port is free again at once
    sock.settimeout(TIMEOUT)
    sock.connect((host, s.port))
    return Socket("tcp", s.port, sock=sock)


def test_two_clients_with_one_address_and_port_are_not_taken_for_each_other(make):
    # S-OUT-04 S-SEC-06: a NAT may give them the same ones when each goes to another address of this server
    s = make(auth="", address="127.0.0.1:%d 127.0.0.2:%d")
    port, a = free_port(), s.ua("udp", "carol")
    first = s.ua("tcp", "alice", s=connected_from(s, port, "127.0.0.1"))
    first.register()
    second = s.ua("tcp", "bob", s=connected_from(s, port, "127.0.0.2"))
    second.send(second.request("REGISTER", "sip:example.com", to=second.aor, headers=["Contact: " + second.contact]))
    assert second.receive() is None
    second.close()
    a.send(a.request("MESSAGE", "sip:alice@example.com"))
    first.reply(first.expect("MESSAGE"), 200)
    a.expect(200)
    first.close()
    a.ask("MESSAGE", "sip:alice@example.com", 480)
    s.ua("tcp", "bob", s=connected_from(s, port, "127.0.0.2")).register()


def test_flow_is_used_and_not_the_contact(make):
    # S-OUT-04 S-WS-07
    s = make(auth="")
    b = s.ua("tcp", "bob")
    b.contact = "<sip:bob@fs7h3x.invalid;transport=tcp>"
    b.register()
    a = s.ua("udp", "alice")
    call, got, ok = call_up(a, b)
    hang_up(a, b, call)


def test_killed_sip_process_costs_no_stream_and_no_registration(make):
    # S-SEC-08, design: two processes
    s = make(auth="")
    u, t, l = (s.registered(k, "bob") for k in ("udp", "tcp", "tls"))
    mark = s.mark()
    s.kill_sip()
    s.wait_for(r"SIP process \d+ has ended: killed by signal 9", mark)
    a = s.ua("udp", "alice")
    time.sleep(0.3)
    a.invite("sip:bob@example.com")
    for b in (u, t, l):
        got = b.expect("INVITE")
    l.reply(got, 200, tag="x")
    a.expect(200)
    for b in (t, l):
        b.ask("OPTIONS", "sip:example.com", 200)


def test_dialog_goes_on_after_the_sip_process_was_replaced(make):
    s = make(auth="")
    b = s.registered("tcp", "bob")
    a = s.registered("tcp", "alice")
    call, got, ok = call_up(a, b)
    s.kill_sip()
    time.sleep(0.3)
    hang_up(a, b, call)


def hang_up_from_there(a, b, got, tag):
    b.back(got, "BYE", tag)
    a.reply(a.expect("BYE"), 200)
    b.expect(200)


def test_call_outlives_the_sip_process_over_udp_in_both_directions(make):
    # the key of the marks is not the SIP process's; here the callee is behind NAT, as its Contact is not where it sends from
    s = make(auth="")
    b = s.ua("udp", "bob")
    b.contact = "<sip:bob@192.0.2.7:5060>"
    b.register()
    a = s.ua("udp", "alice")
    for turn in range(2):
        call, got, ok = call_up(a, b)
        s.kill_sip()
        hang_up(a, b, call) if turn else hang_up_from_there(a, b, got, "callee")


def test_call_outlives_a_restart_of_the_whole_server(make):
    # S-SEC-06 S-SEC-08: the key of the marks is in the database
    s = make(auth="")
    b = s.ua("udp", "bob")
    b.contact = "<sip:bob@192.0.2.7:5060>"
    b.register()
    a = s.ua("udp", "alice")
    for turn in range(2):
        call, got, ok = call_up(a, b)
        s.process.kill()
        s.process.wait()
        s.start()
        hang_up(a, b, call) if turn else hang_up_from_there(a, b, got, "callee")


def test_device_on_a_new_connection_has_its_call_again(make):
    # S-OUT-08: whether the server has gone meanwhile, or the connection alone; known by its instance, and nobody else is
    s = make(auth="")
    a = s.ua("udp", "alice")
    device = ';+sip.instance="<urn:uuid:7>";reg-id=1'
    outbound = ["Supported: path, outbound"]
    for restart in (False, True):
        old = s.ua("tcp", "bob")
        old.register(contact=old.contact + device, headers=outbound)
        call, got, ok = call_up(a, old)
        if restart:
            s.stop()
            s.start()
        else:
            mark = s.mark()
            old.close()
            s.wait_for("closed", mark)
        s.registered("tcp", "bob")  # another device of his
        a.in_dialog(call, "INFO")
        a.expect(430)
        new = s.ua("tcp", "bob")
        new.register(contact=new.contact + device, headers=outbound)
        hang_up(a, new, call)


def test_what_a_killed_sip_process_has_answered_is_known_to_the_next(make):
    # S-AUT-09 S-TXN-10: its nonces are stale for who knows the password, and for nobody else; the ACK of a refusal is nobody's
    s = make()
    a, b, x = s.ua("udp", "alice"), s.ua("udp", "bob"), s.ua("udp", "alice")
    b.register()
    a.send(a.request("REGISTER", "sip:example.com", to=a.aor))
    challenge = a.expect(401)
    a.send(a.request("REGISTER", "sip:example.com", to=a.aor, cseq=2, headers=[a.credentials(challenge, "REGISTER", "sip:example.com")]))
    a.expect(200)
    call = dict(callid="refused@test", tag="x", branch="z9hG4bK-refused", headers=["Route: <sip:127.0.0.1:%d;lr>" % s.port])
    x.send(x.request("INVITE", "sip:bob@example.com", **call))
    refusal = x.expect(407)
    s.kill_sip()
    x.send(x.request("ACK", "sip:bob@example.com", to_tag=refusal.tag("to"), **call))
    a.send(a.request("REGISTER", "sip:example.com", to=a.aor, cseq=3, headers=[a.credentials(challenge, "REGISTER", "sip:example.com")]))
    again = a.expect(401)
    assert "stale=true" in again.get("www-authenticate"), again.raw
    a.send(a.request("REGISTER", "sip:example.com", to=a.aor, cseq=4, headers=[a.credentials(again, "REGISTER", "sip:example.com")]))
    a.expect(200)
    a.send(a.request("REGISTER", "sip:example.com", to=a.aor, cseq=5, headers=[a.credentials(challenge, "REGISTER", "sip:example.com", password="wrong")]))
    assert "stale=true" not in a.expect(401).get("www-authenticate")
    b.silent(0.1)


def test_refusal_that_is_repeated_over_a_restart_is_accounted_once(make):
    s = make(auth="")
    a = s.ua("udp", "alice")
    a.ask("MESSAGE", "sip:carol@example.com", 480)  # now it is known that there is such a user, and the next one needs no transaction
    invite = a.request("INVITE", "sip:carol@example.com", callid="lost@test")
    for n in range(2):
        a.send(invite)
        a.expect(480, again=True)
        a.send(a.request("MESSAGE", "sip:carol@example.com", callid="after%d@test" % n))
        a.expect(480)
        until(lambda: s.rows("SELECT 1 FROM acc WHERE callid = ?", "after%d@test" % n))  # what came before it is written, too
        s.kill_sip()
        a.ask("MESSAGE", "sip:carol@example.com", 480)
    assert len(s.rows("SELECT 1 FROM acc WHERE callid = 'lost@test'")) == 1


def test_refusal_that_waited_for_the_database_is_accounted_once(make):
    # the first one is refused when the database has said that there is carol; its repetition comes when that transaction is over, by the ACK
    # over a stream or with the process that had it
    s = make(auth="")
    a = s.ua("tcp", "alice")
    invite = a.request("INVITE", "sip:carol@example.com", callid="again@test", tag="g", branch="z9hG4bKagain")
    tags = set()
    for n in range(3):
        a.send(invite)
        tags.add(a.expect(480).tag("to"))
        a.send(a.request("ACK", "sip:carol@example.com", callid="again@test", tag="g", branch="z9hG4bKagain", to_tag=max(tags)))
        a.send(a.request("MESSAGE", "sip:carol@example.com", callid="after%d@test" % n))
        a.expect(480)
        until(lambda: s.rows("SELECT 1 FROM acc WHERE callid = ?", "after%d@test" % n)) # what came before it is written, too
        if n == 1:
            s.kill_sip()
    assert len(s.rows("SELECT 1 FROM acc WHERE callid = 'again@test'")) == 1 and len(tags) == 1


def test_half_a_message_is_not_lost_over_a_restart(make):
    s = make(auth="")
    a = s.ua("tcp", "alice")
    a.ask("OPTIONS", "sip:example.com", 200)
    message = a.request("OPTIONS", "sip:example.com", body=b"x" * 20000)
    a.send(message[:9000])
    time.sleep(0.1)
    s.kill_sip()
    a.send(message[9000:])
    a.expect(200)


def test_killed_again_and_again(make):
    s = make(auth="")
    b = s.registered("tcp", "bob")
    a = s.ua("tcp", "alice")
    for i in range(3):
        s.kill_sip()
        time.sleep(0.2)
        a.send(a.request("MESSAGE", "sip:bob@example.com"))
        b.reply(b.expect("MESSAGE"), 200)
        a.expect(200)


def test_hung_sip_process_is_killed(make):
    s = make(auth="")
    a = s.ua("tcp", "alice")
    a.ask("OPTIONS", "sip:example.com", 200)
    mark = s.mark()
    os.kill(s.sip_pid(), signal.SIGSTOP)
    s.wait_for(r"does not answer: killed", mark, 20 * SLOW)
    s.wait_for(r"SIP process \d+ is up", mark)
    a.ask("OPTIONS", "sip:example.com", 200)


def test_many_flows_are_handed_over(make):
    s = make(auth="")
    flows = [s.ua("tcp", "alice") for _ in range(300)]
    for f in flows:
        f.send(f.request("OPTIONS", "sip:example.com"))
    for f in flows:
        f.expect(200)
    s.kill_sip()
    for f in flows:
        f.send(f.request("OPTIONS", "sip:example.com"))
    for f in flows:
        f.expect(200)


def test_reader_that_stops_does_not_stop_others(make):
    s = make(auth="")
    slow, quick = s.ua("tcp", "alice"), s.ua("tcp", "bob")
    request = slow.request("OPTIONS", "sip:example.com", headers=["X: " + "y" * 400])
    slow.s.sock.setblocking(False)
    sent = 0
    end = time.monotonic() + 2
    while time.monotonic() < end and sent < 8 << 20:
        try:
            sent += slow.s.sock.send(request * 50)
        except BlockingIOError:
            time.sleep(0.01)
    quick.ask("OPTIONS", "sip:example.com", 200)
    assert s.process.poll() is None


def test_dialled_connection_to_a_tcp_next_hop(make):
    # S-TRN-05: a contact that says tcp and has no flow is dialled by the edge
    import socket
    from sipua import Message
    s = make(auth="")
    peer = socket.socket()
    peer.bind(("127.0.0.1", 0))
    peer.listen(5)
    peer.settimeout(5)
    s.ua("udp", "bob").register(contact="<sip:bob@127.0.0.1:%d;transport=tcp>" % peer.getsockname()[1])
    a = s.ua("udp", "alice")
    for _ in range(2):
        a.send(a.request("MESSAGE", "sip:bob@example.com", body=b"hi"))
        if _ == 0:
            conn, _addr = peer.accept()
            conn.settimeout(5)
        raw = b""
        while not raw.endswith(b"\r\n\r\nhi"):
            raw += conn.recv(65536)
        m = Message(raw)
        assert m.get("via").startswith("SIP/2.0/TCP 127.0.0.1:%d" % s.port), raw
        lines = ["SIP/2.0 200 OK"] + ["%s: %s" % (n, v) for n, v in m.headers if n in ("via", "from", "to", "call-id", "cseq")]
        conn.sendall(("\r\n".join(lines) + "\r\nContent-Length: 0\r\n\r\n").encode())
        a.expect(200)
    peer.close()
    conn.close()


def test_next_hop_that_cannot_be_reached_fails_the_branch(make):
    # S-RSP-20
    s = make(auth="")
    s.ua("udp", "bob").register(contact="<sip:bob@127.0.0.1:1;transport=tcp>")
    a = s.ua("udp", "alice")
    a.ask("MESSAGE", "sip:bob@example.com", 500)
    try:
        a.receive(0.2)
    except Timeout:
        pass


def test_contact_does_not_make_the_server_connect_to_loopback(make):
    # S-SEC-05
    import socket
    s = make(auth="", forward_to="public")
    service = socket.socket()
    service.bind(("127.0.0.1", 0))
    service.listen(5)
    service.settimeout(0.5)
    s.ua("udp", "bob").register(contact="<sip:bob@127.0.0.1:%d;transport=tcp>" % service.getsockname()[1])
    s.ua("udp", "alice").ask("MESSAGE", "sip:bob@example.com", 403)
    try:
        service.accept()
        raise AssertionError("it connected")
    except socket.timeout:
        pass
    service.close()
