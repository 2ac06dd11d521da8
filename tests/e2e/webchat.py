"""Web pages that chat over a secure WebSocket (RFC 7977), with each other and with everybody else.

X-12 M-WS-01 M-WS-02 M-WS-03 M-WS-04 M-WS-05 M-WS-07 M-WS-08 M-WS-09 M-WS-12 M-WS-13 M-TOK-07 M-FWD-12"""

import os
import threading
import time

import chain
import client
import websocket
from world import SLOW, until

SITE = "https://chat.tandem.example"
MIB = 1024 * 1024


def _page(d, user, **kw):
    p = client.Page(d, headers=["Origin: " + SITE], **kw)
    assert p.ws.status() == 101, p.ws.answer
    assert p.auth(user) == 200
    assert p.use_path.startswith("msrps://%s:" % client.DOMAIN) and p.use_path.endswith(";tcp"), p.use_path  # M-TOK-07
    return p


def _person(d, user):
    c = client.Client(d, tls=True)
    assert c.auth(user) == 200
    return c


def _said(a, b, body, mid, ctype="text/plain"):
    """It is delivered to b, who answers, and a is answered once; the frame b got."""
    tid = a.send(a.path_to(b), body, message_id=mid, ctype=ctype)
    a.expect(200, tid)
    f = b.frame()
    assert f.body == body and f.get("Message-ID") == mid, f.raw[:600]
    assert f.to_path == [b.uri] and f.from_path == [b.use_path, a.use_path, a.uri], f.raw[:600]
    b.answer(f)
    return f


def test_two_pages_chat(w):
    """X-12: two pages: text stays text, other octets are binary, a refusal comes as a REPORT through both tokens"""
    d = w.daemon({"websocket.origins": SITE, "msrp.require_tls": "yes"})
    assert websocket.WebSocket(client.Client(d).sock, "msrp").status() == 403  # M-WS-02
    assert client.Page(d, headers=["Origin: https://evil.example"]).ws.status() == 403  # M-WS-09
    both = client.Page(d, protocol="msrp, sip")
    assert b"\r\nSec-WebSocket-Protocol: msrp\r\n" in both.ws.answer  # M-WS-01
    assert both.auth("carol") == 200
    a, b = _page(d, "alice"), _page(d, "bob")
    assert b"\r\nAccess-Control-Allow-Origin: %s\r\n" % SITE.encode() in a.ws.answer
    _said(a, b, b"Hello from a browser", "m-w002")
    assert b.opcodes[-1] == websocket.TEXT
    _said(b, a, "Grüße ✓".encode(), "m-w003")
    assert a.opcodes[-1] == websocket.TEXT
    _said(a, b, b"\xff\x00\xfe" * 700, "m-w004", "application/octet-stream")  # M-WS-03
    assert b.opcodes[-1] == websocket.BINARY
    tid = a.send(a.path_to(b), b"Hello again", message_id="m-w005")
    a.expect(200, tid)
    b.answer(b.frame(), 413, "Stop")
    f = a.frame()
    assert f.method == "REPORT" and f.get("Status") == "000 413 Stop" and f.get("Message-ID") == "m-w005", f.raw
    assert f.to_path == [a.uri] and f.from_path == [a.use_path, b.use_path], f.raw
    tid = a.request("SEND", a.path_to(b), [("Message-ID", "m-w006"), ("Success-Report", "yes")])  # M-WS-10
    a.expect(200, tid)
    f = b.frame()
    assert f.body is None
    b.answer(f)
    b.request("REPORT", " ".join(f.from_path), [("Message-ID", "m-w006"), ("Byte-Range", "1-0/0"), ("Status", "000 200 OK")])
    f = a.frame()
    assert f.method == "REPORT" and f.get("Status") == "000 200 OK" and f.from_path == [a.use_path, b.use_path, b.uri], f.raw
    rows = "SELECT transport, peer_name FROM connection WHERE closed IS NULL AND protocol = 'msrp'"
    until(lambda: w.sql(d, rows) == ["wss|"] * 3, 5, "three rows of secure WebSockets")


def _upload(a, b, body, got):
    """One chunk from a; b takes it in pieces. Frames in between."""
    done = threading.Thread(target=a.send, args=(a.path_to(b), body), kwargs={"ctype": "application/octet-stream"}, daemon=True)
    done.start()
    s = client.Stream(b, got.extend)
    while not s.step(20):
        pass
    done.join(20 * SLOW)
    assert bytes(got) == body and s.flag == "$", "%d of %d, %s" % (len(got), len(body), s.flag)
    f = a.frame(20 * SLOW)
    assert f.code == 200, f.raw[:600]
    return s


def test_long_chunks_come_in_messages(w):
    """a chunk of 10 MiB to a page comes in 160 messages of 64 KiB; one of a page's longest messages goes to a TLS client as it is"""
    d = w.daemon({"websocket.origins": SITE})
    page, person, other = _page(d, "alice"), _person(d, "bob"), _page(d, "carol")
    s = _upload(person, page, os.urandom(10 * MIB), bytearray())
    assert s.pieces == 160 and page.longest < 65536 + 2048, "%d pieces, the longest message %d" % (s.pieces, page.longest)
    s = _upload(page, other, os.urandom(MIB - 4096), bytearray())
    assert s.pieces == 16 and other.longest < 65536 + 2048, s.pieces
    s = _upload(page, person, os.urandom(MIB - 4096), bytearray())
    assert s.pieces == 1
    page.write(b"x" * (MIB + 70000))  # M-WS-06
    try:
        page.frame()
        assert False, "it was taken"
    except client.Gone as e:
        assert e.args == (1009,), e


def test_hyphen_lines_in_long_chunks(w):
    """lines that look like an end-line, all over a long chunk and on the borders of its messages, are content"""
    d = w.daemon()
    page, person = _page(d, "alice"), _person(d, "bob")
    line = b"\r\n-------abcdefghijklmnop$"
    body = (b"x" * 65500 + line * 400) * 5 + line
    s = _upload(person, page, body, bytearray())
    assert page.longest < 65536 + 2048 and 5 <= s.pieces <= 8, (s.pieces, page.longest)


def test_small_messages_pass_between(w):
    """a message, and REPORTs, come between the messages of a long chunk that a slow page is being sent"""
    d = w.daemon()
    page, person, third = _page(d, "alice", rcvbuf=65536), _person(d, "bob"), _person(d, "carol")
    sent = page.send(page.path_to(third), b"is to be refused", message_id="refused")
    page.expect(200, sent)
    asked = third.frame()
    body, got, at = os.urandom(6 * MIB), bytearray(), {}
    done = threading.Thread(target=person.send, args=(person.path_to(page), body), kwargs={"message_id": "long"}, daemon=True)
    done.start()
    while len(got) < len(body) or len(at) < 2:
        f = page.frame(20 * SLOW)
        if f.get("Message-ID") == "long":
            assert f.range()[0] == len(got) + 1, f.raw[:300]
            got += f.body
            page.answer(f)
            if len(got) == 16 * 65536:  # it does not read for a while, and all that there is room for fills up
                time.sleep(0.5 * SLOW)
                third.answer(asked, 415, "No")
                third.expect(200, third.send(third.path_to(page), b"me, too", message_id="small"))
        else:
            at[f.method] = len(got)
            if f.method == "SEND":
                page.answer(f)
    done.join(20 * SLOW)
    assert bytes(got) == body
    # What the systems had taken before came first: two socket buffers and the queue, but no more.
    assert at["SEND"] < 5 * MIB and at["REPORT"] < 5 * MIB, at
    return "in front of them: %s" % ", ".join("%s %.1f MiB" % (k, v / MIB) for k, v in at.items())


def test_many_write_to_one_page(w):
    """twenty clients, of two workers, write to one page at once, with room for little: each message arrives whole"""
    d = w.daemon({"server.workers": "2", "msrp.buffer": "16k"})
    page = _page(d, "alice")
    people = [_person(d, "bob") for _ in range(20)]
    bodies = {"of-%d" % i: os.urandom(200000 + 1000 * i) for i in range(20)}
    for p, (mid, body) in zip(people, bodies.items()):
        threading.Thread(target=p.send, args=(p.path_to(page), body), kwargs={"message_id": mid}, daemon=True).start()
    got = {mid: bytearray() for mid in bodies}
    over = set()
    while len(over) < len(bodies):
        f = page.frame(20 * SLOW)
        mid = f.get("Message-ID")
        assert f.method == "SEND" and f.range()[0] == len(got[mid]) + 1, f.raw[:300]
        got[mid] += f.body
        page.answer(f)
        if f.flag == "$":
            over.add(mid)
    assert got == bodies
    for p in people:
        assert p.frame().code == 200


def test_not_one_frame(w):
    """two frames in a message, half a frame, more behind one: 1002, and nothing of it goes on; fragments are put together first"""
    d = w.daemon()
    b = _person(d, "bob")

    def frame(a, tid, end="$\r\n"):
        return ("MSRP %s SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: %s\r\nByte-Range: 1-5000/5000\r\nContent-Type: text/plain\r\n\r\n%s\r\n-------%s%s"
                % (tid, a.path_to(b), a.uri, tid, "x" * 5000, tid, end)).encode()

    for name, make in {"two": lambda a: frame(a, "two1", ) + frame(a, "two2"), "head": lambda a: frame(a, "head1")[:90],
                       "half": lambda a: frame(a, "half1")[:4000], "no end": lambda a: frame(a, "noend1", "$"),
                       "blank": lambda a: frame(a, "blank1") + b"\r\n", "nonsense": lambda a: b"nonsense\r\n"}.items():
        a = _page(d, "alice")
        a.write(make(a))
        try:
            f = a.frame()
            assert False, "%s: %r" % (name, f.raw[:300])
        except client.Gone as e:
            assert e.args == (1002,), (name, e)
        a.close()
    a = _page(d, "alice")
    whole = frame(a, "parts1")
    for i in range(0, len(whole), 700):
        last = i + 700 >= len(whole)
        a.ws.send_raw(websocket.frame(websocket.CONT if i else websocket.TEXT, whole[i:i + 700], fin=last))
        if i == 1400:
            a.ws.send_raw(websocket.frame(websocket.PING, b"amid"))
    a.expect(200, "parts1")
    assert a.ws.pongs == 1
    f = b.frame()
    assert f.get("Message-ID") == "parts1" and f.body == b"x" * 5000, f.raw[:300]  # the first thing that came to bob
    b.answer(f)
    reasons = "SELECT close_reason, count(*) FROM connection WHERE transport = 'wss' AND closed IS NOT NULL GROUP BY 1 ORDER BY 1"
    want = ["broken framing|1", "not exactly one message in a WebSocket message|5"]
    until(lambda: w.sql(d, reasons) == want, 5, "rows that say why")


def test_page_that_comes_back(w):
    """a page's address is its connection's alone: nobody dials it; when it is gone 408, with the next AUTH it is there again"""
    d = w.daemon()
    page, person = _page(d, "alice"), _person(d, "bob")
    tid = person.send("%s msrps://127.0.0.1:%d/x;ws" % (person.use_path, d.port), b"to nobody")
    person.expect(481, tid)  # M-WS-07
    page.ws.close()
    page.close()
    until(lambda: w.sql(d, "SELECT count(*) FROM connection WHERE transport = 'wss' AND closed IS NULL") == ["0"], 5, "the page is gone")
    tid = person.send(person.path_to(page), b"who is there", message_id="gone")
    f = person.frame()
    if f.code == 200:
        f = person.frame()
    assert f.code == 408 or "000 408" in f.get("Status"), f.raw  # M-WS-12: as of any connection
    again = client.Page(d, headers=["Origin: " + SITE])
    again.uri = page.uri
    assert again.auth("alice", to=page.use_path) == 200 and again.use_path == page.use_path
    _said(person, again, b"welcome back", "back")


def test_tls_ends_in_front(w):
    """TLS ends in a proxy in front of us: a page that comes over plain ws is served as one over wss"""
    d = w.daemon({"websocket.tls_in_front": "yes", "msrp.require_tls": "yes"})
    page, person = client.Page(d, tls=False), _person(d, "bob")
    assert page.ws.status() == 101 and page.auth("alice") == 200
    assert page.use_path.startswith("msrps://"), page.use_path
    _said(person, page, b"hello", "front-1")
    _said(page, person, b"hello yourself", "front-2")


def test_page_and_other_relays(w):
    """a page of one relay and a client of another: the relays see nothing of the WebSocket but its URI"""
    a, b = chain._relays(w, "ab")
    context = w.context.pki.client_context()
    context.check_hostname = False
    page = client.Page(a.daemon, context=context)
    assert page.auth("alice", to="msrps://%s:%d;ws" % (a.name, a.port)) == 200
    page.use = [page.use_path]
    bob = chain._client(w, b, "bob")
    chain._exchange(page, bob, b"there")
    chain._exchange(bob, page, b"back")
    chain._bulk(page, bob, 900000)
    chain._bulk(bob, page, 3000000)
    assert page.longest < 65536 + 2048
