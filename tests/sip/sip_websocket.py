"""SIP over WebSocket (RFC 7118), with a raw client that does what a browser does: no address of its own, one connection."""
import socket
import time

import websocket
from daemon import SLOW
from sip_calls import call_up, hang_up
from sipua import TIMEOUT, UA

ALL = "udp tcp tls ws wss"


def bare(s, protocol="sip", headers=()):
    """A connection that has shaken hands, or not."""
    sock = socket.create_connection(("127.0.0.1", s.port), TIMEOUT)
    return websocket.WebSocket(sock, protocol, headers)


def closing(ws):
    """The status with which the server ends it; what comes before that is thrown away."""
    while True:
        try:
            ws.receive()
        except websocket.Closed as e:
            return e.code


def test_handshake_and_its_refusals(make):
    # S-WS-01 S-WS-09 M-WS-01 M-WS-02 M-WS-09
    s = make(auth="", transports=ALL, websocket=["origins = https://app.example.com"])
    ws = bare(s, "chat, sip", ["Origin: https://app.example.com"])
    assert b"\r\nSec-WebSocket-Protocol: sip\r\n" in ws.answer
    assert b"\r\nAccess-Control-Allow-Origin: https://app.example.com\r\n" in ws.answer
    for protocol, headers, status in (("", (), 400), ("chat", (), 400), ("msrp", (), 403), ("sip", ["Origin: https://evil.example"], 403)):
        assert bare(s, protocol, headers).status() == status, (protocol, headers)
    sock = socket.create_connection(("127.0.0.1", s.port), TIMEOUT)
    sock.sendall(websocket.handshake().replace(b"Version: 13", b"Version: 8"))
    assert sock.recv(1000).startswith(b"HTTP/1.1 426 ")


def test_port_without_ws_has_none(make):
    s = make(auth="")
    assert bare(s).status() == 404


def test_browser_registers_with_its_password(make):
    # S-WS-04 S-WS-05 S-WS-09, section 21.1
    s = make(transports=ALL)
    for kind in ("ws", "wss"):
        a = s.ua(kind, "alice")
        ok = a.register()
        assert ok.get("via").startswith("SIP/2.0/%s %s;" % (kind.upper(), a.sent_by)), ok.raw
        assert "received" not in ok.get("via") and "rport" not in ok.get("via"), ok.raw
        asked = a.ask("OPTIONS", "sip:example.com", 200, via=a.via() + ";rport;x=y")
        assert ";rport=%d;x=y;received=127.0.0.1" % a.s.port in asked.get("via"), asked.raw
        assert a.contact in [c.partition(";expires")[0] for c in ok.all("contact")], ok.raw
        assert a.s.ws.opcode == websocket.TEXT


def test_calls_between_a_browser_and_every_other_transport(make):
    # S-WS-06 S-WS-07 S-OUT-04 S-OUT-08 S-FWD-05, section 21.9: over its own connection, and both hang up
    s = make(auth="", transports=ALL)
    for mine in ("ws", "wss"):
        a = s.registered(mine, "alice")
        for kind in ("udp", "tcp", "tls", "ws", "wss"):
            b = s.registered(kind, "bob")
            call, got, ok = call_up(a, b)
            assert got.get("via").startswith("SIP/2.0/%s 127.0.0.1:%d;" % (kind.upper(), s.port)), got.raw
            routes = got.all("record-route")
            assert len(routes) == 2 and "transport=ws" in routes[1] and all(";lr" in r for r in routes), routes
            assert routes[1].startswith("<sip:"), routes
            hang_up(a, b, call)
            call, got, ok = call_up(a, b, tag="second")
            b.back(got, "BYE", "second") # S-WS-07: it reaches the browser over its socket
            bye = a.expect("BYE")
            assert bye.uri == a.contact.strip("<>") and bye.get("via").startswith("SIP/2.0/%s " % mine.upper())
            a.reply(bye, 200)
            b.expect(200)
            b.register(expires=0)


def test_phone_calls_a_browser(make):
    # S-WS-06 S-WS-07 S-FWD-05
    s = make(auth="", transports=ALL)
    a = s.ua("udp", "alice")
    b = s.registered("wss", "bob")
    call, got, ok = call_up(a, b)
    routes = got.all("record-route")
    assert "transport=ws" in routes[0] and "transport" not in routes[1] and routes[0].startswith("<sip:"), routes
    assert got.uri == b.contact.strip("<>") and got.get("via").startswith("SIP/2.0/WSS ")
    b.back(got, "BYE", "callee")
    a.reply(a.expect("BYE"), 200)
    b.expect(200)
    call, got, ok = call_up(a, b, tag="again")
    hang_up(a, b, call)


def test_browser_that_goes_is_gone_at_once(make):
    # S-OUT-05 S-WS-06 M-WS-12: a close frame, or the end of the stream; nobody dials, and nothing asks for .invalid
    s = make(transports=ALL)
    a = s.ua("udp", "alice")
    for politely in (True, False):
        b, mark = s.registered("wss" if politely else "ws", "bob"), s.mark()
        if politely:
            b.s.ws.close()
            assert closing(b.s.ws) == 1000
        else:
            b.s.close()
        s.wait_for("closed: peer=.* protocol=sip transport=ws", mark)
        began = time.monotonic()
        a.ask("MESSAGE", "sip:bob@example.com", 480)
        assert time.monotonic() - began < 3 * SLOW
        a.ask("MESSAGE", "sip:bob@nowhere.invalid;transport=ws", 480)


def test_browser_that_goes_has_no_name_looked_up_for_it(make):
    # S-DNS-08 S-WS-06: its Via has a name of its choice, and a look-up would hold up everybody
    s = make(auth="", transports="udp ws")
    b = s.registered("udp", "bob")
    for method, status in (("MESSAGE", 200), ("INVITE", 180), ("INVITE", 486)):
        a = s.ua("ws", "alice")
        a.send(a.request(method, "sip:bob@example.com", headers=["Contact: " + a.contact]))
        got = b.expect(method)
        mark = s.mark()
        a.s.sock.close()
        s.wait_for("closed: peer", mark)
        time.sleep(0.05)
        b.reply(got, status, tag="x")
    s.ua("udp", "alice").ask("OPTIONS", "sip:example.com", 200)
    with open(s.log, "rb") as f:
        assert b"getaddrinfo" not in f.read()


def test_one_message_is_one_message(make):
    # S-WS-02 S-WS-03 S-MSG-04
    s = make(auth="", transports=ALL)
    a = s.ua("ws", "alice")
    good = a.request("OPTIONS", "sip:example.com", body=b"hello")
    bare_of_length = a.request("OPTIONS", "sip:example.com", body=b"hello", length=False)
    for message in (good, bare_of_length, a.request("OPTIONS", "sip:example.com", length=False), b"\r\n\r\n" + good):
        a.send(message)
        a.expect(200)
    a.s.ws.send(good, websocket.BINARY)
    a.expect(200)
    a.send(b"")  # nothing, and no fault
    for wrong in (b"Length: 4", b"Length: 6", b"Length: x", b"Length: 5\r\nContent-Length: 5"):
        a.send(good.replace(b"Length: 5", wrong))
        m = a.receive()
        assert m and m.status == 400, wrong
    a.send(good)
    a.expect(200)
    for broken in (good + good, good + b"\r\n\r\n" + good, good[:len(good) - 20], b"OPTIONS sip:example.com SIP/2.0\r\n", b"hello", b"\0"):
        a = s.ua("ws", "alice")
        a.send(broken)
        assert closing(a.s.ws) == 1002, broken
    a = s.ua("ws", "alice")
    a.s.ws.send_raw(websocket.frame(websocket.TEXT, good, mask=False))
    assert closing(a.s.ws) == 1002


def test_body_without_length_reaches_the_other_side(make):
    # S-WS-02 S-WS-03: binary goes out as binary, text as text
    s = make(auth="", transports=ALL)
    a, b = s.ua("ws", "alice"), s.registered("wss", "bob")
    for body, opcode in ((b"gr\xc3\xbc\xc3\x9fe", websocket.TEXT), (bytes(range(256)), websocket.BINARY)):
        a.send(a.request("MESSAGE", "sip:bob@example.com", body=body, length=False))
        got = b.expect("MESSAGE")
        assert got.body == body and b.s.ws.opcode == opcode and got.get("content-length") == str(len(body))
        b.reply(got, 200)
        a.expect(200)


def test_single_octets_fragments_and_pings(make):
    # S-MSG-04 S-WS-02 S-WS-08 M-WS-10
    s = make(auth="", transports=ALL)
    a = s.ua("wss", "alice")
    message = a.request("OPTIONS", "sip:example.com", body=b"x" * 200)
    frames = websocket.frame(websocket.TEXT, message[:100], fin=False) + websocket.frame(websocket.PING, b"ping")
    for octet in frames:
        a.s.ws.send_raw(bytes([octet]))
    assert a.s.ws.receive_frame() == (websocket.PONG, b"ping")
    for octet in websocket.frame(websocket.CONT, message[100:]):
        a.s.ws.send_raw(bytes([octet]))
    a.expect(200)
    sock = socket.create_connection(("127.0.0.1", s.port), TIMEOUT)
    for octet in websocket.handshake():
        sock.sendall(bytes([octet]))
    assert sock.recv(1000).startswith(b"HTTP/1.1 101 ")


def test_double_crlf_gets_one_crlf_in_a_message(make):
    # S-OUT-10 S-WS-08
    s = make(auth="", transports=ALL)
    for kind in ("ws", "wss"):
        a = s.ua(kind, "alice")
        a.send(b"\r\n\r\n")
        assert a.s.ws.receive() == b"\r\n"
        a.ask("OPTIONS", "sip:example.com", 200)


def test_message_at_the_limit_and_one_past_it(make):
    # M-WS-06 S-MSG-13
    s = make(auth="", transports=ALL, websocket=["max_message = 100k"])
    a = s.ua("ws", "alice")
    limit = 100 * 1024 + 16 * 1024
    a.send(a.request("OPTIONS", "sip:example.com", body=b"x" * 70000))
    assert a.receive().status == 513
    message = a.request("OPTIONS", "sip:example.com", body=b"x" * (limit - 1000))
    a.send(message + b"x" * (limit - len(message)))
    assert a.receive().status in (400, 513)
    a.send(message + b"x" * (limit + 1 - len(message)))
    assert closing(a.s.ws) == 1009


def test_flood_of_requests_in_one_go_is_answered(make):
    # The pump gives each flow its share, and goes on with what the connection holds.
    s = make(auth="", transports=ALL)
    a = s.ua("wss", "alice")
    n = 200
    a.s.ws.send_raw(b"".join(websocket.frame(websocket.TEXT, a.request("OPTIONS", "sip:example.com", body=b"x" * 300)) for _ in range(n)))
    for _ in range(n):
        a.expect(200)


def test_open_sockets_outlive_the_sip_process(make):
    s = make(auth="", transports=ALL)
    a, b = s.registered("wss", "alice"), s.registered("ws", "bob")
    s.kill_sip()
    call, _, _ = call_up(a, b)
    hang_up(a, b, call)


def test_tls_that_ends_in_front_makes_ws_secure(make):
    # M-WS-02: what the browser calls wss comes as ws
    s = make(auth="", transports="udp tcp ws", websocket=["tls_in_front = yes"])
    a = UA("ws", s.port, "alice")
    s.agents.append(a)
    a.kind = "wss"
    ok = a.register()
    assert ok.get("via").startswith("SIP/2.0/WSS ")
    b = s.registered("udp", "bob")
    call, got, _ = call_up(a, b)
    hang_up(a, b, call)


