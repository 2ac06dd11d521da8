"""Where requests and responses go: RFC 3263 with a name server of the test's own, what may be sent to, and TLS towards other servers."""
import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import ssl
import tempfile
import time

import sip_limits
from dns import Threaded
from pki import Pki
from ports import free_port
from sipua import TIMEOUT, UA, Message, Timeout


@contextlib.contextmanager
def names():
    """A name server."""
    d = Threaded()
    try:
        yield d
    finally:
        d.close()


class Peer:
    """A server of another domain, on one transport."""

    def __init__(self, kind="udp", host="127.0.0.1", port=0, context=None):
        self.kind, self.context, self.conn, self.buffer, self.source = kind, context, None, b"", None
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET,
                                  socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((host, port))
        self.port = self.sock.getsockname()[1]
        if kind != "udp":
            self.sock.listen(8)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()
        if self.conn:
            self.conn.close()

    def accept(self, timeout=TIMEOUT):
        if not select.select([self.sock], [], [], timeout)[0]:
            raise Timeout()
        self.conn, _ = self.sock.accept()
        self.conn.settimeout(timeout)
        if self.context:
            self.conn = self.context.wrap_socket(self.conn, server_side=True)

    def receive(self, timeout=TIMEOUT):
        if self.kind == "udp":
            if not select.select([self.sock], [], [], timeout)[0]:
                raise Timeout()
            data, self.source = self.sock.recvfrom(65536)
            return Message(data)
        if not self.conn:
            self.accept(timeout)
        self.conn.settimeout(timeout)
        while b"\r\n\r\n" not in self.buffer:
            try:
                data = self.conn.recv(65536)
            except TimeoutError:
                raise Timeout() from None
            assert data, "the stream has ended"
            self.buffer += data
        head, _, rest = self.buffer.partition(b"\r\n\r\n")
        m = Message(head + b"\r\n\r\n")
        length = int(m.get("content-length", "0"))
        while len(rest) < length:
            rest += self.conn.recv(65536)
        self.buffer = rest[length:]
        return Message(head + b"\r\n\r\n" + rest[:length])

    def expect(self, method):
        m = self.receive()
        assert method in (m.method, m.status), m.raw
        return m

    def reply(self, request, status, tag="peer", headers=()):
        lines = ["SIP/2.0 %d Whatever" % status]
        lines += ["%s: %s" % (n, v + (";tag=" + tag if n == "to" and "tag=" not in v else ""))
                  for n, v in request.headers if n in ("via", "record-route", "from", "to", "call-id", "cseq")]
        data = ("\r\n".join(lines + list(headers)) + "\r\nContent-Length: 0\r\n\r\n").encode("latin-1")
        if self.kind == "udp":
            self.sock.sendto(data, self.source)
        else:
            self.conn.sendall(data)

    def is_quiet(self, timeout=0.2):
        try:
            got = self.receive(timeout)
        except Timeout:
            return True
        raise AssertionError("unexpected: %s" % got.raw)


def branch(m):
    return m.all("via")[0].split("branch=")[1].split(";")[0]


def send(a, uri, method="MESSAGE", **more):
    """As alice, who answers the challenge; nothing is waited for."""
    callid = "c-%f@test" % time.monotonic()
    a.send(a.request(method, uri, callid=callid, cseq=1, **more))
    challenge = a.expect(407)
    if method == "INVITE":
        a.send(a.request("ACK", uri, callid=callid, cseq=1, to_tag=challenge.tag("to")))
    headers = list(more.pop("headers", ())) + [a.credentials(challenge, method, uri)]
    a.send(a.request(method, uri, callid=callid, cseq=2, headers=headers, **more))


# ---- which server

def test_naptr_then_srv_then_addresses(make):
    # S-DNS-02 S-DNS-03
    with names() as d, Peer("tcp") as t, Peer() as u:
        d.add("far.test", "NAPTR", 20, 1, "s", "SIP+D2U", "_sip._udp.far.test")
        d.add("far.test", "NAPTR", 10, 1, "s", "SIP+D2T", "tcp.far.test")
        d.add("far.test", "NAPTR", 5, 1, "u", "E2U+sip", "x.far.test")
        d.add("tcp.far.test", "SRV", 1, 1, t.port, "a.far.test")
        d.add("_sip._udp.far.test", "SRV", 1, 1, u.port, "a.far.test")
        d.add("_sip._udp.near.test", "SRV", 1, 1, u.port, "a.far.test")
        d.add("a.far.test", "A", "127.0.0.1")
        a = make(dns=d).ua("udp", "alice")
        send(a, "sip:x@far.test")
        m = t.expect("MESSAGE")
        assert m.uri == "sip:x@far.test" and m.get("via").startswith("SIP/2.0/TCP"), m.raw
        t.reply(m, 200)
        a.expect(200)
        send(a, "sip:x@near.test")
        u.reply(u.expect("MESSAGE"), 200)
        a.expect(200)
        assert d.asked("near.test", "NAPTR") == 1 and d.asked("near.test", "A") == 0


def test_what_the_uri_says_is_not_looked_up(make):
    # S-DNS-01 S-DNS-04
    with names() as d, Peer() as u, Peer("tcp") as t:
        d.add("far.test", "A", "127.0.0.1")
        d.add("far.test", "NAPTR", 1, 1, "s", "SIP+D2T", "_sip._tcp.far.test")
        d.add("_sip._tcp.far.test", "SRV", 1, 1, t.port, "far.test")
        d.add("_sip._udp.far.test", "SRV", 1, 1, t.port, "far.test")
        a = make(dns=d).ua("udp", "alice")
        send(a, "sip:x@far.test:%d" % u.port)
        u.reply(u.expect("MESSAGE"), 200)
        a.expect(200)
        assert not d.asked("far.test", "NAPTR") and not d.asked("_sip._udp.far.test") and not d.asked("_sip._tcp.far.test")
        send(a, "sip:x@far.test;transport=tcp")
        t.reply(t.expect("MESSAGE"), 200)
        a.expect(200)
        assert not d.asked("far.test", "NAPTR")
        send(a, "sip:x@elsewhere.test:%d;maddr=127.0.0.1" % u.port)
        u.reply(u.expect("MESSAGE"), 200)
        a.expect(200)
        assert not d.asked("elsewhere.test")


def test_names_with_ipv6_addresses(make):
    # S-DNS-03 S-IP6-01
    with names() as d, Peer(host="::1") as u, Peer("tcp", host="::1") as t:
        d.add("_sip._udp.six.test", "SRV", 1, 1, u.port, "a.six.test")
        d.add("_sip._tcp.six.test", "SRV", 1, 1, t.port, "a.six.test")
        d.add("a.six.test", "AAAA", "::1")
        s = make(dns=d, address="127.0.0.1:%d [::1]:%d")
        a = s.ua("udp", "alice")
        for peer, more in ((u, ""), (t, ";transport=tcp")):
            send(a, "sip:x@six.test" + more)
            m = peer.expect("MESSAGE")
            assert "[::1]:%d" % s.port in m.get("via"), m.raw
            peer.reply(m, 200)
            a.expect(200)


# ---- failover

def dial_plan(d, domain, *ports):
    for priority, port in enumerate(ports):
        d.add("_sip._udp." + domain, "SRV", priority, 1, port, "a." + domain)
    d.add("a." + domain, "A", "127.0.0.1")


def test_503_and_dead_ports_are_followed_by_the_next_server(make):
    # S-DNS-05 S-DNS-06 S-FWD-07 S-FWD-11 S-FWD-13
    with names() as d, Peer() as first, Peer() as second, Peer() as third:
        dial_plan(d, "far.test", free_port(), first.port, second.port, third.port)
        a = make(dns=d).ua("udp", "alice")
        send(a, "sip:x@far.test", "INVITE", headers=["Contact: " + a.contact], branch="z9hG4bK-dns-%f" % time.monotonic())
        one = first.expect("INVITE")
        first.reply(one, 503)
        assert branch(first.expect("ACK")) == branch(one)
        two = second.expect("INVITE")
        assert branch(two) != branch(one)
        second.reply(two, 486)
        assert branch(second.expect("ACK")) == branch(two)
        a.expect(486)
        third.is_quiet()
        first.is_quiet(0.05)


def test_cancel_goes_where_the_invite_went(make):
    # S-DNS-06 S-FWD-13
    with names() as d, Peer() as first, Peer() as second:
        dial_plan(d, "far.test", first.port, second.port)
        a = make(dns=d).ua("udp", "alice")
        call = a.invite("sip:x@far.test", auth=True)
        first.reply(first.expect("INVITE"), 503)
        first.expect("ACK")
        got = second.expect("INVITE")
        second.reply(got, 180)
        a.expect(180)
        a.cancel(call)
        cancel = second.expect("CANCEL")
        assert branch(cancel) == branch(got)
        second.reply(cancel, 200)
        second.reply(got, 487)
        second.expect("ACK")
        first.is_quiet(0.05)


def test_silent_server_is_followed_by_the_next_one(make):
    # S-DNS-05: timeout; should it answer yet, it is told to stop
    with names() as d, Peer() as first, Peer() as second:
        dial_plan(d, "far.test", first.port, second.port)
        a = make(dns=d, failover_time=1).ua("udp", "alice")
        a.invite("sip:x@far.test", auth=True)
        one = first.expect("INVITE")
        two = second.expect("INVITE")
        first.reply(one, 180)
        while True:
            m = first.receive()
            if m.method == "CANCEL":
                break
            assert m.method == "INVITE", m.raw
        second.reply(two, 200, headers=["Contact: <sip:x@127.0.0.1:%d>" % second.port])
        assert a.expect(200).tag("to") == "peer"


def test_server_that_tries_is_not_silent(make):
    # S-DNS-05: a 100 is a response, and ends the search
    with names() as d, Peer() as first, Peer() as second:
        dial_plan(d, "far.test", first.port, second.port)
        a = make(dns=d, failover_time=1).ua("udp", "alice")
        a.invite("sip:x@far.test", auth=True)
        one = first.expect("INVITE")
        first.reply(one, 100)
        assert second.is_quiet(1.6) and first.is_quiet(0.05)
        first.reply(one, 200, headers=["Contact: <sip:x@127.0.0.1:%d>" % first.port])
        a.expect(200)


def test_all_servers_fail(make):
    # S-DNS-08 S-RSP-07: as a 503, which goes up as 500
    with names() as d, Peer() as only:
        dial_plan(d, "far.test", only.port)
        a = make(dns=d).ua("udp", "alice")
        send(a, "sip:x@far.test")
        only.reply(only.expect("MESSAGE"), 503)
        a.expect(500)
        d.add("tcp.test", "A", "127.0.0.1")
        a.ask("MESSAGE", "sip:x@tcp.test:%d;transport=tcp" % free_port(), 500)


def test_names_that_do_not_exist_and_names_nobody_can_look_up(make):
    # S-DNS-08
    with names() as d:
        for name in ("bad.test", "_sip._udp.half.test"):
            d.add(name, "A", "127.0.0.1")
            d.rcode[name] = 2
        s = make(dns=d)
        a = s.ua("udp", "alice")
        a.ask("MESSAGE", "sip:x@nobody.test", 404)
        s.registered("udp", "bob", contact="<sip:bob@nobody.test>")
        a.ask("MESSAGE", "sip:bob@example.com", 480)
        a.ask("MESSAGE", "sip:x@bad.test", 500)


def test_waiting_for_a_name_holds_up_nobody(make):
    # S-DNS-08: asynchronous; a CANCEL ends the search
    with names() as d:
        d.silent.add("slow.test")
        a = make(dns=d).ua("udp", "alice")
        call = a.invite("sip:x@slow.test", auth=True)
        began = time.monotonic()
        while not d.asked("slow.test"):
            assert time.monotonic() - began < 10, "nobody was asked"
            time.sleep(0.02)
        began = time.monotonic()
        for _ in range(3):
            a.ask("OPTIONS", "sip:example.com", 200)
        a.cancel(call)
        a.expect(200)
        a.ack(call, a.expect(487))
        assert time.monotonic() - began < 6  # the resolver gives up after that


def test_sofia_resolves_nothing(make):
    # S-DNS-08: its resolver has another name server here, which hears nothing; the ACK of a 2xx, too, is located by us
    with names() as d, names() as other, Peer() as u:
        dial_plan(d, "far.test", u.port)
        folder = tempfile.mkdtemp(prefix="tandem-dns-")
        conf = os.path.join(folder, "resolv.conf")
        with open(conf, "w") as f:
            f.write("nameserver 127.0.0.1\nport %d\n" % other.port)
        try:
            a = make(dns=d, env={"SRESOLV_CONF": conf}).ua("udp", "alice")
            call = a.invite("sip:x@far.test", auth=True)
            got = u.expect("INVITE")
            u.reply(got, 200, headers=["Contact: <sip:x@far.test>"])
            a.ack(call, a.expect(200))
            assert u.expect("ACK").uri == "sip:x@far.test"
            assert not other.queries and d.queries
        finally:
            shutil.rmtree(folder)


# ---- what may not be reached

def test_names_do_not_lead_to_this_machine(make):
    # S-SEC-05 S-VAL-09: Contact, Path, Route and Request-URI, over UDP, TCP and TLS
    with names() as d, Peer() as u, Peer("tcp") as t:
        ports = {"udp": u.port, "tcp": t.port, "tls": t.port}
        for name, kind, at in (("four.test", "A", "127.0.0.1"), ("six.test", "AAAA", "::1"), ("zero.test", "A", "0.0.0.0"),
                               ("mapped.test", "AAAA", "::ffff:127.0.0.1"), ("link.test", "A", "169.254.169.254")):
            d.add(name, kind, at)
        s = make(dns=d, forward_to="public", address="127.0.0.1:%d [::1]:%d")
        a = s.ua("udp", "alice")
        for transport, port in ports.items():
            for host in ("four.test", "six.test", "zero.test", "mapped.test", "link.test", "127.0.0.1", "[::1]"):
                a.ask("MESSAGE", "sip:x@%s:%d;transport=%s" % (host, port, transport), 403)
            uri = "sip:x@four.test:%d;transport=%s" % (port, transport)
            a.ask("MESSAGE", "sip:x@far.test", 403, headers=["Route: <%s;lr>" % uri])
            a.ask("MESSAGE", "sip:x@far.test;maddr=four.test;transport=%s" % transport, 403)
        s.registered("udp", "carol", contact="<sip:carol@four.test:%d;transport=tcp>" % t.port)
        a.ask("MESSAGE", "sip:carol@example.com", 403)
        u.is_quiet()
        t.is_quiet(0.05)


def test_sip_may_have_next_hops_of_its_own(make):
    # S-SEC-05: sip.forward_to, where it is given, holds for SIP instead of msrp.forward_to
    with Peer() as u, Peer("tcp") as t:
        for of_msrp, of_sip, status in (("public", "10.0.0.0/8 loopback", 200), ("loopback", "public", 403)):
            a = make(forward_to=of_msrp, max_contacts="10\nforward_to = " + of_sip).ua("udp", "alice")
            for peer in (u, t):  # connections are made by the other process
                send(a, "sip:x@127.0.0.1:%d;transport=%s" % (peer.port, peer.kind))
                if status == 200:
                    peer.reply(peer.expect("MESSAGE"), 200)
                a.expect(status)
        u.is_quiet(0.05)


def test_path_does_not_lead_to_this_machine(make):
    # S-SEC-05 S-PATH-03
    with names() as d, Peer() as u:
        d.add("four.test", "A", "127.0.0.1")
        s = make(dns=d, forward_to="public")
        s.registered("udp", "bob", contact="<sip:bob@192.0.2.1>", headers=["Path: <sip:four.test:%d;lr>" % u.port, "Supported: path"])
        s.ua("udp", "alice").ask("MESSAGE", "sip:bob@example.com", 403)
        u.is_quiet()


def test_own_listeners_are_no_next_hop(make):
    # S-SEC-05: whatever forward_to says
    with names() as d:
        d.add("us.test", "A", "127.0.0.1")
        s = make(dns=d)
        a = s.ua("udp", "alice")
        for transport in ("udp", "tcp", "tls"):
            a.ask("MESSAGE", "sip:x@us.test:%d;transport=%s" % (s.port, transport), 403)


def test_strangers_have_nothing_proxied_elsewhere(make):
    # S-VAL-09 S-RT-11: Request-URI, Route, pre-loaded routes, maddr, strict routes; a stranger is nobody of a domain served here
    with names() as d, Peer() as u:
        dial_plan(d, "far.test", u.port)
        s = make(dns=d)
        s.registered("udp", "bob")
        x = s.ua("udp", "eve", domain="elsewhere.invalid")
        us, far = "sip:127.0.0.1:%d" % s.port, "sip:far.test"
        cases = ((far, ()), ("sip:x@far.test", ()), ("sip:x@127.0.0.1:%d" % u.port, ()),
                 ("sip:bob@example.com", ["Route: <%s;lr>" % far]),
                 ("sip:bob@example.com", ["Route: <%s;lr>, <%s;lr>" % (us, far)]),
                 ("sip:bob@example.com", ["Route: <%s>" % far]),
                 ("sip:bob@example.com", ["Route: <%s>, <%s>" % (us, far)]),
                 (us + ";lr", ["Route: <sip:x@far.test>"]),
                 (us + ";lr", ["Route: <%s;lr>, <sip:x@far.test>" % us]),
                 ("sip:x@far.test;maddr=127.0.0.1", ()),
                 ("sip:x@far.test:%d;maddr=127.0.0.1" % s.port, ()),
                 ("sip:x@far.test;maddr=127.0.0.1:%d" % s.port, ()),
                 ("sip:x@far.test", ["Path: <%s;lr>" % far]))
        for uri, headers in cases:
            for method in ("MESSAGE", "REGISTER", "SUBSCRIBE", "BYE"):
                for tag in (None, "dialog"):
                    x.send(x.request(method, uri, to="sip:x@far.test", to_tag=tag, headers=list(headers)))
                    m = x.receive()
                    assert m.status in (400, 403, 404), (method, uri, headers, m.raw)
        x.send(x.request("ACK", "sip:x@far.test", to_tag="x", headers=["Route: <%s;lr>" % us]))
        x.send(x.request("ACK", "sip:x@far.test", to_tag="x"))
        u.is_quiet()


def test_maddr_of_one_of_ours_does_not_turn_a_foreign_name_into_ours(make):
    # S-RT-04 S-VAL-09
    with names() as d, Peer() as u:
        dial_plan(d, "far.test", u.port)
        s = make(dns=d, auth="")
        x = s.ua("udp", "alice")
        x.ask("MESSAGE", "sip:x@far.test;maddr=127.0.0.1", 403)
        u.is_quiet(0.1)
        a = make(dns=d).ua("udp", "alice")  # what is left without maddr, port and transport is where it goes
        send(a, "sip:x@far.test:%d;maddr=127.0.0.1;transport=tcp;y=1" % a.s.server[1])
        got = u.expect("MESSAGE")
        assert got.uri == "sip:x@far.test;y=1", got.raw
        u.reply(got, 200)
        a.expect(200)


# ---- responses

def test_response_goes_to_a_new_connection_when_the_old_one_has_gone(make):
    # S-VIA-05 S-DNS-07: to received and the port of sent-by, then by the name
    with names() as d, Peer("tcp") as t, Peer("tcp", host="127.0.0.2") as far:
        d.add("client.test", "A", "127.0.0.2")
        s = make(dns=d, auth="")
        b = s.registered("udp", "bob")
        for peer, sent_by in ((t, "127.0.0.1:%d" % t.port), (t, "client.test:%d" % t.port), (far, "client.test:%d" % far.port)):
            a = s.ua("tcp", "alice")
            a.send(a.request("MESSAGE", "sip:bob@example.com", via="SIP/2.0/TCP %s;branch=z9hG4bK-gone-%f;rport" % (sent_by, time.monotonic())))
            got = b.expect("MESSAGE")
            mark = s.mark()
            a.close()
            s.wait_for("closed by the peer", mark)
            time.sleep(0.05)
            b.reply(got, 200, tag="late")
            m = peer.receive()
            assert m.status == 200 and m.tag("to") == "late" and len(m.all("via")) == 1, m.raw
        t.is_quiet(0.05)


def test_callee_does_not_choose_where_a_repeated_200_goes(make):
    # S-VIA-09 S-SEC-05: to the caller, whatever Via it is given; not to this machine's own services, and no name is looked up for it
    with Peer() as other:
        s = make(auth="", forward_to="public", transports="udp tcp ws")
        b, a, c = s.registered("udp", "bob"), s.ua("udp", "alice"), s.ua("tcp", "alice")
        for caller in (a, c):
            caller.invite("sip:bob@example.com")
            got = b.expect("INVITE")
            raw = b.reply(got, 200, tag="x")
            caller.expect(200)
            ours, theirs = got.all("via")
            for via in ("SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bKa" % other.port, "SIP/2.0/UDP very.slow.name.invalid;branch=z9hG4bKa",
                        theirs.replace(caller.sent_by, "127.0.0.1:%d" % other.port), theirs + ";maddr=127.0.0.2",
                        re.sub("received=[^;]*", "received=127.0.0.2", theirs), re.sub("rport=[^;]*", "rport=%d" % other.port, theirs)):
                b.send(raw.replace(theirs.encode(), via.encode()))
            b.send(raw)
            caller.expect(200, again=True)
            caller.silent(0.1)
        other.is_quiet(0.05)
        with open(s.log, "rb") as f:
            assert b"getaddrinfo" not in f.read()


def is_free(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def test_response_that_nobody_takes_over_udp_goes_to_the_next_place(make):
    # S-DNS-07 S-TRN-06: the sender's address first; when that refuses, those of the name in sent-by, one after the other, or the address there
    with names() as d, Peer(host="127.0.0.4") as last:
        d.add("_sip._udp.client.test", "SRV", 1, 1, last.port, "one.test")
        d.add("_sip._udp.client.test", "SRV", 2, 1, last.port, "two.test")
        for name, at in (("one.test", "127.0.0.3"), ("two.test", "127.0.0.4")):
            d.add(name, "A", at)
        s = make(dns=d, auth="")
        b, a = s.registered("udp", "bob"), s.ua("udp", "alice")
        for sent_by in ("client.test", "two.test:%d" % last.port, "127.0.0.4:%d" % last.port):
            if ":" not in sent_by and not is_free(5060):
                continue  # some other server has the default port of this machine, and takes what is to be refused
            for method, answer in (("MESSAGE", 200), ("MESSAGE", 404), ("INVITE", 486)):
                branch = "z9hG4bK-refused-%f" % time.monotonic()
                via = "SIP/2.0/UDP %s;branch=%s" % (sent_by, branch)
                a.send(a.request(method, "sip:bob@example.com", via=via))
                b.reply(b.expect(method), answer, tag="late")
                m = last.receive()
                while m.status == 100:
                    m = last.receive()
                assert m.status == answer and m.tag("to") == "late" and len(m.all("via")) == 1 and branch in m.get("via"), m.raw
                if method == "INVITE":
                    b.expect("ACK")
                    a.send(a.request("ACK", "sip:bob@example.com", via=via, to_tag="late", callid=m.get("call-id"), tag=m.tag("from")))
        assert json.loads(sip_limits.ctl(s, "rpc", "stats.get"))["sip_datagrams_dropped"] == 0
        a.silent(0.05)


def test_response_to_nowhere_does_not_reach_this_machine(make):
    # S-SEC-05 S-VIA-05
    with names() as d, Peer("tcp") as t:
        d.add("client.test", "A", "127.0.0.1")
        s = make(dns=d, auth="", forward_to="public")
        b = s.registered("udp", "bob")
        a = s.ua("tcp", "alice")
        a.send(a.request("MESSAGE", "sip:bob@example.com", via="SIP/2.0/TCP client.test:%d;branch=z9hG4bK-gone;rport" % t.port))
        got = b.expect("MESSAGE")
        mark = s.mark()
        a.close()
        s.wait_for("closed by the peer", mark)
        time.sleep(0.05)
        b.reply(got, 200)
        t.is_quiet()


# ---- TLS

@contextlib.contextmanager
def tls_world(make, **options):
    """A name server, certificates, and a server that trusts their authority."""
    folder = tempfile.mkdtemp(prefix="tandem-dns-")
    try:
        with names() as d:
            pki = Pki(folder)
            yield d, pki, make(dns=d, ca_file=pki.ca, **options)
    finally:
        shutil.rmtree(folder)


def serve(d, pki, domain, peer_name=None):
    """The TLS server of a domain: _sips._tcp, with the certificate of peer_name."""
    p = Peer("tls", context=pki.server_context(pki.leaf(peer_name or domain), ask_client=False))
    d.add("_sips._tcp." + domain, "SRV", 1, 1, p.port, "host.of.servers.test")
    d.add("host.of.servers.test", "A", "127.0.0.1")
    return p


def test_tls_towards_another_domain(make):
    # S-TLS-01 S-TLS-04 S-TLS-05 S-TLS-06 S-TLS-07 S-TLS-09 S-TRN-05: SRV says TLS, so sip goes over it, too; the domain is verified, not the SRV target
    with tls_world(make) as (d, pki, s), serve(d, pki, "far.test") as p, Peer() as u:
        seen = []
        p.context.sni_callback = lambda _s, name, _c: seen.append(name)
        d.add("_sip._udp.far.test", "SRV", 0, 1, u.port, "host.of.servers.test")
        a = s.ua("udp", "alice")
        send(a, "sip:x@far.test")
        m = p.expect("MESSAGE")
        assert m.uri == "sip:x@far.test" and m.get("via").startswith("SIP/2.0/TLS") and b"transport=tls" not in m.raw, m.raw
        assert p.conn.version() in ("TLSv1.2", "TLSv1.3") and p.conn.cipher()[0].rpartition("_")[0] and seen == ["far.test"]
        p.reply(m, 200)
        a.expect(200)
        send(a, "sip:y@far.test")
        p.reply(p.expect("MESSAGE"), 200)  # on the same connection
        a.expect(200)
        u.is_quiet(0.05)


def test_tls_with_the_certificate_of_somebody_else(make):
    # S-TLS-06 S-TLS-01: refused, and for sips there is no other way
    with tls_world(make) as (d, pki, s), serve(d, pki, "far.test", "host.of.servers.test") as p, Peer() as u:
        d.add("_sip._udp.far.test", "SRV", 0, 1, u.port, "host.of.servers.test")
        a = s.ua("tls", "alice")
        mark = s.mark()
        uri = "sips:x@far.test"
        send(a, uri)
        try:
            p.accept()
        except (ssl.SSLError, OSError):
            pass
        s.wait_for("does not name far.test", mark)
        a.expect(500)
        u.is_quiet(0.05)


def test_tls_shows_our_certificate_when_asked(make):
    # S-TLS-07: mutual
    with tls_world(make) as (d, pki, s), serve(d, pki, "far.test") as p:
        cert, key = pki.leaf("example.com")
        shutil.copy(cert, os.path.join(s.dir, "cert.pem"))
        shutil.copy(key, os.path.join(s.dir, "key.pem"))
        mark = s.mark()
        s.process.send_signal(signal.SIGHUP)  # S-TLS-09: without a restart
        s.wait_for("reloaded", mark)
        p.context.verify_mode = ssl.CERT_REQUIRED
        a = s.ua("udp", "alice")
        send(a, "sip:x@far.test")
        m = p.expect("MESSAGE")
        assert ("DNS", "example.com") in p.conn.getpeercert()["subjectAltName"]
        p.reply(m, 200)
        a.expect(200)


def test_new_certificate_without_restart(make):
    # S-TLS-09: for SIP over TLS; connections go on, sessions are resumed
    with tls_world(make) as (_d, pki, s):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2

        def connect(session=None):
            c = context.wrap_socket(socket.create_connection(("127.0.0.1", s.port), TIMEOUT), session=session, server_hostname="example.com")
            return c, c.getpeercert(True)

        old = s.ua("tls", "alice")
        c, before = connect()
        again, _ = connect(c.session)
        assert again.session_reused
        cert, key = pki.leaf("example.com")
        shutil.copy(cert, os.path.join(s.dir, "cert.pem"))
        shutil.copy(key, os.path.join(s.dir, "key.pem"))
        mark = s.mark()
        s.process.send_signal(signal.SIGHUP)
        s.wait_for("reloaded", mark)
        fresh, after = connect()
        assert before != after
        old.ask("OPTIONS", "sip:example.com", 200)
        for x in (c, again, fresh):
            x.close()


def test_mutual_tls_of_a_client(make):
    # S-TLS-01: a client's certificate is asked for and verified; one that is not good makes him nobody
    with tls_world(make) as (_d, pki, s):
        for cert in (None, pki.leaf("proxy.test"), pki.leaf("proxy.test", "strange")):
            context = pki.client_context(cert)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            raw = UA("tcp", s.port)
            raw.kind = "tls"
            raw.s.kind = "tls"
            raw.s.sock = context.wrap_socket(raw.s.sock)
            raw.ask("OPTIONS", "sip:example.com", 200)
            raw.close()
        end = time.monotonic() + 5
        while True:
            names_seen = [n or "" for n, in s.rows("SELECT peer_name FROM connection WHERE transport = 'tls' ORDER BY opened, conn_id")]
            if len(names_seen) == 3 or time.monotonic() > end:
                break
            time.sleep(0.05)
        assert names_seen == ["", "proxy.test", ""], names_seen


# ---- alias (RFC 5923)

def test_call_to_another_server_by_a_connection_of_ours_goes_on_in_both_directions(make):
    # S-FWD-05 S-RT-02 S-RT-10: Record-Route names a port that we listen on, not the one that the connection happens to have; also when that has gone
    with Peer("tcp") as t:
        s = make(auth="register", forward_to="loopback", trusted="127.0.0.1")
        a = s.registered("udp", "alice")
        for _ in range(2):
            call = a.invite("sip:x@127.0.0.1:%d;transport=tcp" % t.port)
            got = t.expect("INVITE")
            assert all(":%d;" % s.port in r for r in got.all("record-route")), got.raw
            t.reply(got, 200, headers=["Contact: <sip:x@127.0.0.1:%d;transport=tcp>" % t.port])
            a.ack(call, a.expect(200))
            assert t.expect("ACK").uri.startswith("sip:x@")
            b = s.ua("tcp", "x", domain="elsewhere.example")
            b.back(got, "BYE", "peer")
            a.reply(a.expect("BYE"), 200)
            b.expect(200)
            a.in_dialog(call, "BYE")
            t.reply(t.expect("BYE"), 200)
            a.expect(200)
            mark = s.mark()
            t.conn.close()
            t.conn, t.buffer = None, b""
            s.wait_for("closed: peer=127.0.0.1:%d protocol=sip " % t.port, mark)


def test_connection_from_the_very_address_is_not_the_domain(make):
    # S-ALI-02 S-ALI-04 S-TRN-05: who connects from where a domain's server is has proven nothing: that server is dialled, and its certificate asked for
    with tls_world(make) as (d, _pki, s):
        x = s.ua("tls", "eve", domain="far.test")
        d.add("_sips._tcp.far.test", "SRV", 0, 0, x.s.port, "host.of.servers.test")
        d.add("host.of.servers.test", "A", "127.0.0.1")
        x.ask("OPTIONS", "sip:example.com", 200)
        a, mark = s.ua("tls", "alice"), s.mark()
        send(a, "sips:x@far.test")
        a.expect(500)
        s.wait_for("connect failed: host=far.test address=127.0.0.1:%d" % x.s.port, mark)
        x.silent(0.05)


def test_alias_opens_no_way_back(make):
    # S-ALI-02 S-ALI-03 S-ALI-04: neither over plain TCP, nor over TLS without a certificate
    with tls_world(make) as (d, pki, s), serve(d, pki, "far.test") as p, Peer("tcp") as t:
        d.add("_sip._tcp.plain.test", "SRV", 1, 1, t.port, "host.of.servers.test")
        for kind, port, domain, peer in (("tls", p.port, "far.test", p), ("tcp", t.port, "plain.test", t)):
            x = s.ua(kind, "eve", domain=domain)
            via = "SIP/2.0/%s 127.0.0.1:%d;alias;branch=z9hG4bK-alias-%s" % (kind.upper(), port, kind)
            assert x.ask("OPTIONS", "sip:example.com", 200, via=via)
            a = s.ua("udp", "alice")
            send(a, "sip:x@" + domain)
            m = peer.expect("MESSAGE")  # on a connection that was opened to the domain
            peer.reply(m, 200)
            a.expect(200)
            x.silent(0.05)
