"""Several tandems in a row, each the other's relay (RFC 4976), with mutual TLS and names from a name server of the test.

M-AUTH-30 M-AUTH-32 M-AUTH-33 M-TOK-04 M-TOK-06 M-TOK-08 M-FWD-05 M-FWD-06 M-FWD-12 M-FWD-30 M-FWD-34 M-REP-01 M-REP-04
M-REP-07 M-RSP-05 M-CON-06 M-CON-10 M-CON-14 M-DNS-03 M-DNS-04 M-TLS-02 M-COD-02"""

import os
import select
import socket
import ssl
import threading
import time

import client
import daemon as daemon_mod
import dns
import msrp
import peer
from ports import free_port
from world import SLOW


class Names:
    """A name server in a thread of its own. Its records are made before anybody asks."""

    def __init__(self):
        self.loop = peer.Loop()
        self.dns = dns.Dns(self.loop)
        self.over = False
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self.thread.start()

    def _run(self):
        while not self.over:
            self.loop.run_for(0.1)

    def close(self):
        self.over = True
        self.thread.join(5)
        self.dns.close()
        self.loop.close()


class Wire:
    """Connections to a port of its own go on to that of a relay, until they are cut. Its thread alone has the sockets."""

    def __init__(self, to):
        self.to = to
        self.pairs, self.cuts, self.over = [], 0, False
        self.asked, self.done = threading.Event(), threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.over:
            ends = {a: b for pair in self.pairs for a, b in (pair, pair[::-1])}
            for s in select.select([self.listener] + list(ends), [], [], 0.01)[0]:
                if s.fileno() < 0:
                    continue  # the other end of it has just been closed
                try:
                    if s is self.listener:
                        a = s.accept()[0]
                        self.pairs.append((a, socket.create_connection(self.to)))
                    else:
                        data = s.recv(65536)
                        if not data:
                            raise OSError
                        ends[s].sendall(data)
                except OSError:
                    if s is not self.listener:
                        self._drop(next(p for p in self.pairs if s in p))
            if self.asked.is_set():
                self.asked.clear()
                if self.pairs:
                    self._cut(self.pairs[0])
                self.done.set()
        for pair in self.pairs[:]:
            self._cut(pair)

    def _drop(self, pair):
        self.pairs.remove(pair)
        for s in pair:
            s.close()

    def _cut(self, pair):
        for s in pair:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._drop(pair)
        self.cuts += 1

    def cut(self):
        """Reset the oldest connection. One at a time: a REPORT that tells of one break would be lost in another."""
        self.done.clear()
        self.asked.set()
        assert self.done.wait(20 * SLOW)

    def close(self):
        self.over = True
        self.thread.join(5)
        self.listener.close()


class Relay:
    def __init__(self, w, names, letter, wired=False):
        self.name = "relay-%s.example" % letter
        cert, key = w.context.pki.leaf(self.name)
        d = self.daemon = w.daemon({
            "msrp.require_tls": "yes", "msrp.forward_to": "loopback", "msrp.connect_timeout": "3", "server.workers": "2",
            "tls.certificate": cert, "tls.private_key": key, "dns.servers": "127.0.0.1:%d" % names.dns.port,
            "limits.connections_per_address": "1000"}, start=False)
        d.port = free_port()
        self.wire = Wire(d.address) if wired else None
        self.port = self.wire.port if wired else d.port
        d.overrides["msrp.use_path_addr"] = "%s:%d" % (self.name, self.port)
        names.dns.add(self.name, "A", "127.0.0.1")
        names.dns.add("_msrps._tcp." + self.name, "SRV", "10", "0", str(self.port), self.name)
        if self.wire:
            w.at_end(self.wire.close)
        d.start(keep_port=True)

    @property
    def uri(self):
        return "msrps://%s:%d;tcp" % (self.name, self.port)

    @property
    def farm_uri(self):
        """Without port: to be found by SRV."""
        return "msrps://%s;tcp" % self.name


def _relays(w, letters, wired=""):
    names = Names()
    w.at_end(names.close)
    relays = [Relay(w, names, l, l in wired) for l in letters]
    names.start()
    return relays


def _client(w, relay, user, *others):
    """A client of the relay, and through it of the others. use: its Use-Path, a list."""
    context = w.context.pki.client_context()
    context.check_hostname = False  # which relay it is, its token says
    c = client.Client(relay.daemon, tls=True, context=context)
    assert c.auth(user, to=relay.uri) == 200
    c.use = c.use_path.split(" ")
    for uri in others:
        assert c.auth(user, to=" ".join(c.use + [uri])) == 200, uri
        longer = c.use_path.split(" ")
        assert longer[:-1] == c.use, "Use-Path is %s" % longer
        c.use = longer
    return c


def _path(a, b):
    """To-Path from one to the other."""
    return " ".join(a.use + b.use[::-1] + [b.uri])


def _wait(c, want, seconds=20):
    """The next frame for which want() is true; SENDs in between are an error, responses are not."""
    end = time.monotonic() + seconds * SLOW
    while True:
        f = c.frame(max(0.0, end - time.monotonic()))
        if want(f):
            return f
        assert f.method is None and f.code == 200, f.raw[:600]


def _is(method, code=None):
    return lambda f: f.method == method and (code is None or f.get("Status", "").split()[1] == code)


def _exchange(a, b, label):
    """A message with its success REPORT, one that is refused, and an unknown method with its answer."""
    tid = a.send(_path(a, b), b"hello " + label, message_id="m-" + label.decode(), sr="yes")
    f = _wait(b, _is("SEND"))
    assert f.body == b"hello " + label
    assert f.from_path == (a.use + b.use[::-1])[::-1] + [a.uri], f.from_path
    assert f.to_path == [b.uri]
    b.answer(f)
    b.request("REPORT", " ".join(f.from_path), [("Message-ID", f.get("Message-ID")), ("Byte-Range", f.get("Byte-Range")),
                                                ("Status", "000 200 OK")])
    r = _wait(a, _is("REPORT", "200"))
    assert r.get("Message-ID") == "m-" + label.decode() and r.from_path[-1] == b.uri, r.raw

    a.send(_path(a, b), b"no thanks", message_id="n-" + label.decode())
    f = _wait(b, _is("SEND"))
    b.answer(f, 415, "Not that")
    r = _wait(a, _is("REPORT", "415"))
    assert r.get("Message-ID") == "n-" + label.decode() and r.get("Status") == "000 415 Not that", r.raw
    assert r.to_path == [a.uri] and b.uri not in r.from_path, r.raw  # made by the last relay

    tid = a.request("NICKNAME", _path(a, b), [("Use-Nickname", '"%s"' % label.decode())])
    f = _wait(b, _is("NICKNAME"))
    b.answer(f, 423, "Taken")
    r = _wait(a, lambda f: f.method is None and f.tid == tid)
    assert r.code == 423 and r.to_path == [a.uri] and r.from_path == a.use + b.use[::-1] + [b.uri], r.raw


def _bulk(a, b, size):
    body = os.urandom(size)
    got = bytearray()
    stream = client.Stream(b, got.extend)
    done = threading.Thread(target=a.send, args=(_path(a, b), body), daemon=True)
    done.start()
    while not stream.step(20):
        pass
    done.join(20 * SLOW)
    assert bytes(got) == body and stream.flag == "$"


def test_three_in_a_row(w):
    """AUTH through two relays to a third; then everything passes all of them, both ways"""
    a, m, b = _relays(w, "amb")
    alice = _client(w, a, "alice", m.farm_uri, b.uri)
    bob = _client(w, b, "bob")
    assert [u.split("/")[2] for u in alice.use] == ["%s:%d" % (r.name, r.port) for r in (a, m, b)]
    for i in range(3):
        _exchange(alice, bob, b"out%d" % i)
        _exchange(bob, alice, b"in%d" % i)
    _bulk(alice, bob, 3000000)
    _bulk(bob, alice, 3000000)
    # Two clients that both have the way through all three: five tokens in a row, two of them B's.
    carol = _client(w, a, "carol", m.farm_uri, b.farm_uri)
    _exchange(alice, carol, b"around")
    for c in (alice, bob, carol):
        c.close()


def test_two_relays_that_both_serve(w):
    """a client of one relay and one of another; links are shared by all sessions between the two"""
    a, b = _relays(w, "ab")
    pairs = [(_client(w, a, "alice"), _client(w, b, "bob")) for _ in range(5)]
    for i, (x, y) in enumerate(pairs):
        _exchange(x, y, b"there%d" % i)
        _exchange(y, x, b"back%d" % i)
    for x, y in pairs:
        x.close()
        y.close()


class Ledger:
    """What became of each message of a sender: delivered, or the sender was told."""

    def __init__(self, a, b):
        self.a, self.b = a, b
        self.sent, self.delivered, self.failed, self.tids = [], set(), set(), {}

    def send(self, n):
        message_id = "l%d-%d" % (self.a.serial, n)
        self.sent.append(message_id)
        self.tids[self.a.send(_path(self.a, self.b), b"x" * 200, message_id=message_id)] = message_id

    def look(self):
        """Deal with all that has come at both ends. Frames of the other direction's ledger are left to it."""
        for f in self.b.inbox:
            if f.method == "SEND":
                self.delivered.add(f.get("Message-ID"))
                self.b.answer(f)
        for f in self.a.inbox:
            if f.method == "REPORT":
                assert f.get("Status").split()[1] in ("408", "481"), f.raw
                self.failed.add(f.get("Message-ID"))
            elif f.method is None and f.code != 200:
                self.failed.add(self.tids[f.tid])

    def open(self, but):
        return [m for m in self.sent[:len(self.sent) - but] if m not in self.delivered and m not in self.failed]


def _turn(ledgers):
    ends = {c for l in ledgers for c in (l.a, l.b)}
    for c in ends:
        c.inbox = c.poll()
    for l in ledgers:
        l.look()


def _settle(ledgers, seconds, but=0):
    """Until it is known what became of all messages of each ledger, but of those which were sent last."""
    end = time.monotonic() + seconds * SLOW
    while any(l.open(but) for l in ledgers):
        assert time.monotonic() < end, "nobody knows what became of %s" % [l.open(but)[:5] for l in ledgers]
        _turn(ledgers)
        time.sleep(0.01)


def test_link_lost_in_the_middle(w):
    """the links of the middle relay break again and again: each message arrives, or its sender is told"""
    a, m, b = _relays(w, "amb", wired="amb")
    alice = _client(w, a, "alice", m.uri, b.uri)
    bob = _client(w, b, "bob")
    ledgers = [Ledger(alice, bob), Ledger(bob, alice)]
    for n in range(240):
        for l in ledgers:
            l.send(n)
        if n % 30 == 29:
            # A REPORT has no response: one that is on a link when it breaks is lost. So those of the last break come first.
            _settle(ledgers, 40, but=15)
            (m, b, a)[n // 30 % 3].wire.cut()
        if n % 3 == 0:
            _turn(ledgers)
            time.sleep(0.002)
    _settle(ledgers, 40)
    # When nothing was on the last link that broke, a relay may not know it yet and fails one message more.
    for n in range(n + 1, n + 60):
        for l in ledgers:
            l.send(n)
        _settle(ledgers, 40)
        if all(l.sent[-1] in l.delivered for l in ledgers):
            break
    _exchange(alice, bob, b"after")  # the tokens have outlived the links
    _exchange(bob, alice, b"back")
    cuts = sum(r.wire.cuts for r in (a, m, b))
    assert cuts >= 3, "only %d connections were cut" % cuts
    assert all(len(l.delivered) > 20 for l in ledgers)
    return "%d links cut, %d of %d messages delivered, %d reported" % (
        cuts, sum(len(l.delivered) for l in ledgers), sum(len(l.sent) for l in ledgers), sum(len(l.failed) for l in ledgers))


def test_middle_relay_restarts(w):
    """the middle relay is killed and comes back: senders are told, and a new AUTH through the first relay goes on"""
    a, m, b = _relays(w, "amb")
    alice = _client(w, a, "alice", m.uri, b.uri)
    bob = _client(w, b, "bob")
    _exchange(alice, bob, b"before")
    m.daemon.kill()
    m.daemon.proc = None
    alice.send(_path(alice, bob), b"while it is away", message_id="away")
    assert _wait(alice, _is("REPORT", "408")).get("Message-ID") == "away"
    m.daemon.start(keep_port=True)
    alice.send(_path(alice, bob), b"it has forgotten", message_id="forgotten")
    f = _wait(alice, _is("REPORT"))
    assert f.get("Message-ID") == "forgotten" and f.get("Status").split()[1] in ("481", "408"), f.raw
    alice.use = alice.use[:1]
    for uri in (m.uri, b.uri):
        assert alice.auth("alice", to=" ".join(alice.use + [uri])) == 200
        alice.use = alice.use_path.split(" ")
    _exchange(alice, bob, b"again")
    _exchange(bob, alice, b"back")


def test_relay_found_without_srv(w):
    """AUTH for a relay that is named without port and has no SRV record goes to port 2855 of its address"""
    names = Names()
    w.at_end(names.close)
    relay = Relay(w, names, "a")
    host = "127.%d.%d.1" % (os.getpid() >> 8 & 255, os.getpid() & 255)
    names.dns.add("plain.example", "A", host)
    names.start()
    listener = socket.create_server((host, 2855))
    w.at_end(listener.close)
    alice = _client(w, relay, "alice")
    tid = alice.request("AUTH", " ".join(alice.use + ["msrps://plain.example;tcp"]))
    listener.settimeout(20 * SLOW)
    s = w.context.pki.server_context(w.context.pki.leaf("plain.example")).wrap_socket(listener.accept()[0], server_side=True)
    s.settimeout(20 * SLOW)
    buf = msrp.Buffer()
    f = None
    while not f:
        data = s.recv(65536)
        assert data, "the relay has closed"
        buf += data
        f = msrp.take(buf)
    assert f.method == "AUTH" and f.to_path == ["msrps://plain.example;tcp"] and f.from_path == alice.use + [alice.uri], f.raw
    assert ("DNS", "relay-a.example") in s.getpeercert()["subjectAltName"]
    s.sendall(("MSRP %s 403 No\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------%s$\r\n"
               % (f.tid, " ".join(f.from_path), f.to_path[0], f.tid)).encode())
    assert alice.expect(403, tid).from_path == alice.use + ["msrps://plain.example;tcp"]
    s.close()
