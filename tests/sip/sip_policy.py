"""What is refused, and how. RFC 3261 s.16.3; spec sections 2 and 4."""
import contextlib
import signal
import socket

import sip_calls
from server import Skipped
from sip_calls import call_up, hang_up
from sipua import Socket, uri_of


def test_404_and_480(make):
    # S-RT-06
    s = make(auth="")
    a = s.ua("udp", "alice")
    a.ask("MESSAGE", "sip:nobody@example.com", 404)
    a.ask("MESSAGE", "sip:bob@example.com", 480)
    call = a.invite("sip:bob@example.com")
    a.ack(call, a.expect(480))
    a.silent()


def test_local_user_is_challenged_with_407_and_his_identity_checked(make):
    # S-AUT-01 S-AUT-12 S-VAL-09
    s = make()
    b = s.registered("udp", "bob")
    a = s.ua("udp", "alice")
    call = a.invite("sip:bob@example.com", auth=True)
    got = b.expect("INVITE")
    assert got.get("proxy-authorization")
    b.reply(got, 200, tag="x")
    ok = a.expect(200)
    a.ack(call, ok)
    b.expect("ACK")
    a.in_dialog(call, "BYE")
    b.reply(b.expect("BYE"), 200)
    a.expect(200)
    b.back(got, "MESSAGE", "x")
    a.reply(a.expect("MESSAGE"), 200)
    a.send(a.request("MESSAGE", "sip:bob@example.com", callid="imp@test"))
    auth = a.credentials(a.expect(407), "MESSAGE", "sip:bob@example.com")
    a.send(a.request("MESSAGE", "sip:bob@example.com", from_="sip:carol@example.com", callid="imp@test", cseq=2, headers=[auth]))
    a.expect(403)


def test_preferred_identity_is_checked_like_from(make):
    # S-AUT-12: whoever prefers an identity of ours shows its password, and may be anonymous in From; nobody prefers another one's
    s = make()
    b, a = s.registered("udp", "bob"), s.ua("udp", "alice")
    own, other = "sip:alice@example.com", "sip:carol@example.com"
    anonymous = "sip:anonymous@anonymous.invalid"
    for n, (from_, preferred, status) in enumerate((
            (own, [f"<{own}>"], 200), (anonymous, [f'"A" <{own}>'], 200), (own, [f"<{other}>"], 403), (anonymous, [f"<{other}>"], 403),
            (own, [f"<{own}>, <{other}>"], 403), (own, [f"<{own}>", f"<{other}>"], 403), (other, [f"<{own}>"], 403), (own, ["tel:+15550100"], 403),
            ("sip:alice@elsewhere.invalid", [f"<{own}>"], 403), (own, ["<sip:alice@elsewhere.invalid>"], 403), (own, ["<<"], 403), (own, ["*"], 403), (own, [""], 403))):
        headers = ["P-Preferred-Identity: " + p for p in preferred]
        callid = f"ppi{n}@test"
        a.send(a.request("MESSAGE", "sip:bob@example.com", from_=from_, callid=callid, headers=headers))
        auth = a.credentials(a.expect(407), "MESSAGE", "sip:bob@example.com")
        a.send(a.request("MESSAGE", "sip:bob@example.com", from_=from_, callid=callid, cseq=2, headers=headers + [auth]))
        if status == 200:
            b.reply(b.expect("MESSAGE"), 200)
        a.expect(status)
    b.silent()


def test_ack_and_cancel_are_never_challenged(make):
    # S-AUT-10: what let the INVITE in lets its ACK and its CANCEL in, without credentials of their own
    s = make()
    b, a = s.registered("udp", "bob"), s.ua("udp", "alice")
    call = a.invite("sip:bob@example.com", auth=True)
    b.reply(b.expect("INVITE"), 200, tag="x")
    a.ack(call, a.expect(200))
    assert not b.expect("ACK").get("proxy-authorization")
    call = a.invite("sip:bob@example.com", auth=True)
    got = b.expect("INVITE")
    b.reply(got, 180, tag="y")
    a.expect(180)
    a.cancel(call)
    a.expect(200)
    b.reply(b.expect("CANCEL"), 200)
    b.reply(got, 487, tag="y")
    a.ack(call, a.expect(487))
    b.expect("ACK")
    a.silent()


def test_answers_to_strangers_are_small(make):
    # S-SEC-03: who sends in somebody else's name cannot have him flooded with much larger answers of ours
    s = make()
    x = s.ua("udp", "eve", domain="elsewhere.invalid")
    short = ("%s %s SIP/2.0\r\nv:SIP/2.0/UDP %s:%d;branch=z9hG4bK%d\r\nMax-Forwards:%d\r\nf:<sip:e@x.invalid>;tag=1\r\nt:<%s>\r\ni:%d\r\n"
             "CSeq:1 %s\r\nl:0\r\n\r\n")
    for n, (method, uri, hops, status) in enumerate((
            ("OPTIONS", "sip:example.com", 70, 200), ("OPTIONS", "sip:example.com", 0, 200), ("MESSAGE", "sip:x@other.invalid", 70, 403),
            ("MESSAGE", "sip:bob@example.com", 70, 480), ("MESSAGE", "sip:nobody@example.com", 70, 404), ("MESSAGE", "sip:bob@example.com", 0, 483),
            ("MESSAGE", "http:bob", 70, 416), ("REGISTER", "sip:other.invalid", 70, 403))):
        raw = short % (method, uri, x.s.host, x.s.port, n, hops, uri, n, method)
        x.send(raw)
        m = x.receive()
        assert m.status == status, (method, uri, m.raw)
        assert len(m.raw) <= 2 * len(raw), (len(m.raw), len(raw), m.raw)


def test_foreign_caller_reaches_a_user_but_no_other_domain(make):
    # S-VAL-09 S-RT-11
    s = make()
    b = s.registered("udp", "bob")
    x = s.ua("udp", "eve", domain="elsewhere.invalid")
    x.send(x.request("MESSAGE", "sip:bob@example.com"))
    b.reply(b.expect("MESSAGE"), 200)
    x.expect(200)
    x.ask("MESSAGE", "sip:someone@other.invalid", 403)
    x.ask("MESSAGE", "sip:bob@example.com", 403, headers=["Route: <sip:127.0.0.1:1;lr>"])


def test_made_up_dialog_does_not_open_the_relay(make):
    # S-SEC-06: our Route without a good mark is no dialog
    s = make()
    x = s.ua("udp", "eve", domain="elsewhere.invalid")
    for mark in ("", ";td=p.0123456789abcdef", ";td=f1.0123456789abcdef", ";td=u7f000001-9-udp1.0", ";td=.", ";td=p"):
        x.ask("MESSAGE", "sip:someone@127.0.0.1:9", 403, to_tag="x", headers=["Route: <sip:127.0.0.1:%d;lr%s>" % (s.port, mark)])


def test_mark_of_one_dialog_is_no_good_for_another(make):
    # S-SEC-06
    s = make()
    b = s.registered("tcp", "bob")
    x = s.ua("udp", "eve", domain="elsewhere.invalid")
    call = x.invite("sip:bob@example.com")
    got = b.expect("INVITE")
    b.reply(got, 200, tag="x")
    x.ack(call, x.expect(200))
    b.expect("ACK")
    x.send(x.request("MESSAGE", "sip:someone@127.0.0.1:9", to_tag="y", headers=call["route"]))
    x.expect(403)
    b.silent()


def test_max_forwards(make):
    # S-VAL-03 S-FWD-02, section 21.14
    s = make(auth="")
    b = s.registered("udp", "bob")
    a = s.ua("udp", "alice")
    a.ask("MESSAGE", "sip:bob@example.com", 483, max_forwards=0)
    assert a.ask("OPTIONS", "sip:bob@example.com", 200, max_forwards=0).get("allow")
    for given, forwarded in ((1, "0"), (None, "70"), (70, "69")):
        a.send(a.request("MESSAGE", "sip:bob@example.com", max_forwards=given))
        got = b.expect("MESSAGE")
        assert got.get("max-forwards") == forwarded
        b.reply(got, 200)
        a.expect(200)


def test_unknown_scheme_and_proxy_require(make):
    # S-VAL-02 S-VAL-06
    s = make(auth="")
    a = s.ua("udp", "alice")
    a.ask("MESSAGE", "tel:+12345", 416)
    a.ask("MESSAGE", "unknown:thing", 416)
    m = a.ask("MESSAGE", "sip:bob@example.com", 420, headers=["Proxy-Require: one, two", "Require: three"])
    assert m.get("unsupported").replace(" ", "") == "one,two"
    b = s.registered("udp", "bob")
    a.send(a.request("MESSAGE", "sip:bob@example.com", headers=["Require: three"]))
    got = b.expect("MESSAGE")  # the callee's business
    assert got.get("require") == "three"
    b.reply(got, 420, tag="x", headers=["Unsupported: three"])
    a.expect(420)


def test_cancel_without_invite_is_481(make):
    # S-CAN-02
    a = make(auth="").ua("udp", "alice")
    a.ask("CANCEL", "sip:bob@example.com", 481)


def test_stray_ack_is_never_answered(make):
    # S-TXN-10
    s = make(auth="")
    b = s.registered("udp", "bob")
    a = s.ua("udp", "alice")
    a.send(a.request("ACK", "sip:bob@example.com", to_tag="x"))
    a.send(a.request("ACK", "sip:bob@127.0.0.1:1", to_tag="x"))
    a.send(a.request("ACK", "tel:+1", to_tag="x"))
    a.send(a.request("ACK", "sip:bob@example.com", to_tag="x", max_forwards=0))
    a.send(a.request("ACK", "sip:bob@example.com", to_tag="x", headers=["Proxy-Require: x", "Via: SIP/2.0/UDP x.invalid;branch=z9hG4bK1"] + ["Via: SIP/2.0/UDP x.invalid"] * 69))
    a.silent()
    b.silent()


def test_received_and_rport(make):
    # S-VIA-01 S-VIA-02
    s = make(auth="")
    for kind in ("udp", "tcp"):
        a = s.ua(kind, "alice")
        via = "SIP/2.0/%s bobspc.biloxi.com:5060;branch=z9hG4bKx;rport" % kind.upper()
        m = a.ask("OPTIONS", "sip:example.com", 200, via=via)
        assert "received=127.0.0.1" in m.get("via") and "rport=%d" % a.s.port in m.get("via"), m.raw
        m = a.ask("OPTIONS", "sip:example.com", 200)
        assert "received=127.0.0.1" in m.get("via"), m.raw


def test_udp_client_behind_nat_is_reached_in_the_dialog(make):
    # S-VIA-03 S-OUT-08
    s = make(auth="")
    b = s.ua("udp", "bob")
    b.contact = "<sip:bob@192.0.2.1:5060>"
    b.register()
    a = s.ua("udp", "alice")
    a.contact = "<sip:alice@192.0.2.2:5060>"
    a.via = lambda branch=None: "SIP/2.0/UDP 192.0.2.2:5060;branch=%s;rport" % (branch or "z9hG4bK-nat-%f" % __import__("time").monotonic())
    call = a.invite("sip:bob@example.com")
    got = b.expect("INVITE")
    b.reply(got, 200, tag="x")
    a.ack(call, a.expect(200))
    b.expect("ACK")
    b.back(got, "BYE", "x")
    a.reply(a.expect("BYE"), 200)
    b.expect(200)


def test_client_behind_nat_may_have_our_own_address_there(make):
    # S-REG-10 S-OUT-04 S-OUT-08: it is reached where it sends from, also with a Contact that has no user
    s = make(auth="")
    a = s.ua("udp", "alice")
    for kind in ("udp", "tcp"):
        b = s.ua(kind, "bob", s=Socket(kind, s.port, source="127.0.0.2"))
        b.contact = "<sip:127.0.0.1:%d%s>" % (s.port, ";transport=tcp" if kind == "tcp" else "")
        b.register()
        call, got, _ = call_up(a, b)
        a.in_dialog(call, "OPTIONS")
        b.reply(b.expect("OPTIONS"), 200)
        a.expect(200)
        b.back(got, "BYE", "callee")
        a.reply(a.expect("BYE"), 200)
        b.expect(200)
        b.register(expires=0)
    b.register(contact="<sip:example.com>", expect=403)


def test_server_behind_nat_says_where_it_is_reached(make):
    # S-VIA-06 S-FWD-04 S-RT-01 S-RT-11: the address that it listens on is for its own network
    for host, v6 in (("192.0.2.77", False), ("sip.example.org", True)):
        s = make(auth="", advertise=host, address="127.0.0.1:%d [::1]:%d", forward_to="loopback")
        there = "%s:%d" % (host, s.port)
        for ours in ("udp", "tcp"):
            a, b = s.ua(ours, "alice"), s.registered("tcp" if ours == "udp" else "udp", "bob")
            call, got, _ = call_up(a, b)
            assert got.get("via").split()[1].split(";")[0] == there, got.raw
            routes = got.all("record-route")
            assert len(routes) == 2 and all(uri_of(r).split("sip:")[1].split(";")[0] == there for r in routes), routes
            hang_up(a, b, call)  # its Routes are ours
            a.ask("OPTIONS", "sip:" + there, 200)
            b.register(expires=0)
        b = s.ua("udp", "bob", host="::1")
        b.register()
        a.send(a.request("MESSAGE", "sip:bob@example.com"))
        got = b.expect("MESSAGE")
        assert got.get("via").split()[1].split(";")[0] == (there if v6 else "[::1]:%d" % s.port), got.raw  # an address of IPv4 leads to no [::1]


def own_address(family, elsewhere):
    """The address that this machine would send from to somewhere else; nothing is sent."""
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as s:
        s.connect((elsewhere, 9))
        return s.getsockname()[0]
    return None


def test_all_addresses_of_the_machine_are_alike_when_it_listens_on_any(make):
    # S-VIA-03 S-VIA-06 S-FWD-04: what came to one is answered from there, says so in Via and Record-Route, and is looked at before the parser sees it
    addresses = ["127.0.0.1", "::1"] + [a for a in (own_address(socket.AF_INET, "192.0.2.1"), own_address(socket.AF_INET6, "2001:db8::1")) if a]
    if len(addresses) == 2:
        raise Skipped("there is but the loopback interface here")
    s = make(auth="", address="0.0.0.0:%d [::]:%d", forward_to="public private loopback")
    for host in addresses:
        b, a = s.ua("udp", "bob", host=host), s.ua("udp", "alice", host=host)
        b.register()
        call, got, ok = sip_calls.call_up(a, b)
        us = ("[%s]:%d" if ":" in host else "%s:%d") % (host, s.port)
        assert got.get("via").startswith("SIP/2.0/UDP %s;" % us), got.raw
        assert [r.split(";")[0] for r in got.all("record-route")] == ["<sip:" + us], got.raw
        for x in (a, b):  # from elsewhere the kernel would not let it in
            x.s.sock.connect((host, s.port))
            x.s.sock.send(b"\r\n\r\n")
            assert x.s.read(2) == b"\r\n"
            x.s.send = x.s.sock.send
        sip_calls.hang_up(a, b, call)
        b.register(expires=0)


def test_requests_to_the_server_itself(make):
    s = make(auth="")
    a = s.ua("udp", "alice")
    assert "REGISTER" in a.ask("OPTIONS", "sip:example.com", 200).get("allow")
    a.ask("OPTIONS", "sip:127.0.0.1:%d" % s.port, 200)
    a.ask("MESSAGE", "sip:example.com", 404)


def test_strict_router_before_and_after(make):
    # S-RT-03 S-RT-08
    s = make(auth="")
    a = s.registered("udp", "alice")
    x = s.registered("udp", "carol")
    us = "sip:127.0.0.1:%d;lr" % s.port
    for routes in ("<sip:carol@example.com>", "<%s>, <sip:carol@example.com>" % us):  # the last one is the target
        a.send(a.request("MESSAGE", us, to="sip:carol@example.com", headers=["Route: " + routes]))
        got = x.expect("MESSAGE")
        assert got.all("route") == [] and got.uri == x.contact.strip("<>"), got.raw
        x.reply(got, 200)
        a.expect(200)
    p = s.ua("udp", "proxy")
    strict, behind = "sip:127.0.0.1:%d;x=1" % p.s.port, "<sip:192.0.2.1;lr>"
    x.register(contact="<sip:carol@192.0.2.2>", headers=["Path: <%s>, %s" % (strict, behind), "Supported: path"])
    x.register(contact=x.contact, expires=0)
    a.send(a.request("MESSAGE", "sip:carol@example.com"))
    got = p.expect("MESSAGE")
    assert got.uri == strict and got.all("route") == [behind, "<sip:carol@192.0.2.2>"], got.raw
    p.reply(got, 200)
    a.expect(200)


def test_sips_and_sip_do_not_mix(make):
    # S-TLS-02 S-TLS-03 S-TLS-08, section 21.10
    s = make(auth="")
    b, c = s.registered("tls", "bob"), s.ua("tls", "carol")
    a = s.ua("tls", "alice")
    m = a.ask("MESSAGE", "sips:bob@example.com", 480)
    assert m.get("warning").startswith("380 "), m.raw
    c.aor, c.contact = "sips:carol@example.com", c.contact.replace("sip:", "sips:").replace(";transport=tls", "")
    c.send(c.request("REGISTER", "sips:example.com", to=c.aor, headers=["Contact: " + c.contact]))
    c.expect(200)
    a.send(a.request("MESSAGE", "sips:carol@example.com"))
    got = c.expect("MESSAGE")
    assert got.uri == c.contact.strip("<>")
    c.reply(got, 200)
    a.expect(200)
    x = s.ua("udp", "alice")
    x.send(x.request("MESSAGE", "sip:carol@example.com"))
    got = c.expect("MESSAGE") # never sips, and yet over TLS
    assert got.uri == c.contact.strip("<>").replace("sips:", "sip:"), got.raw
    c.reply(got, 200)
    x.expect(200)
    plain = s.registered("tcp", "bob")  # a dialog's request that has become sips does not go down its flow without TLS
    b.register(expires=0)
    call = x.invite("sip:bob@example.com")
    got = plain.expect("INVITE")
    plain.reply(got, 200, tag="x")
    x.ack(call, x.expect(200))
    plain.expect("ACK")
    call["target"] = call["target"].replace("sip:", "sips:").replace(";transport=tcp", "")
    x.in_dialog(call, "MESSAGE")
    x.expect(430)
    plain.silent(0.05)
    a.ask("MESSAGE", "sips:bob@example.com;transport=udp", 400)
    a.ask("INVITE", "sips:carol@example.com", 400, headers=["Contact: <sip:alice@example.com>"])
    b.silent()
    c.silent()


def test_sips_contact_without_tls(make):
    # S-TLS-03 S-REG-11
    s = make(auth="")
    b = s.ua("tcp", "bob")
    b.send(b.request("REGISTER", "sips:example.com", to="sips:bob@example.com", headers=["Contact: <sips:bob@%s:%d>" % (b.s.host, b.s.port)]))
    b.expect(200)
    m = s.ua("udp", "alice").ask("MESSAGE", "sip:bob@example.com", 480)
    assert m.get("warning").startswith("381 "), m.raw
    c = s.ua("udp", "carol")  # where there is no flow it is dialled, by TLS
    c.send(c.request("REGISTER", "sips:example.com", to="sips:carol@example.com", headers=["Contact: <sips:carol@%s:%d>" % (c.s.host, c.s.port)]))
    c.expect(200)
    s.ua("udp", "alice").ask("MESSAGE", "sip:carol@example.com", 500)
    c.silent(0.05)


def test_max_breadth(make):
    # S-FWD-03 S-SEC-02
    s = make(auth="")
    b1, b2 = s.ua("udp", "bob"), s.ua("tcp", "bob")
    b1.register()
    b2.register()
    a = s.ua("udp", "alice")
    for given, shares in ((None, ["30", "30"]), (100, ["30", "30"]), (5, ["2", "3"]), (2, ["1", "1"])):
        a.send(a.request("MESSAGE", "sip:bob@example.com", headers=["Max-Breadth: %d" % given] if given else []))
        got = [b.expect("MESSAGE") for b in (b1, b2)]
        assert sorted(g.get("max-breadth") for g in got) == shares, [g.raw for g in got]
        assert [len(g.all("max-breadth")) for g in got] == [1, 1]
        b1.reply(got[0], 200)
        a.expect(200)
        b2.reply(got[1], 200)
    a.ask("MESSAGE", "sip:bob@example.com", 440, headers=["Max-Breadth: 0"])


def test_max_breadth_of_one_is_served_one_after_the_other(make):
    # S-FWD-03
    s = make(auth="")
    b1, b2 = s.ua("udp", "bob"), s.ua("tcp", "bob")
    b1.register(contact=b1.contact)
    b2.register(contact=b2.contact)
    a = s.ua("udp", "alice")
    a.invite("sip:bob@example.com", headers=["max-breadth: 1"])
    first = b2.expect("INVITE") # the newest
    assert first.get("max-breadth") == "1"
    b1.silent()
    b2.reply(first, 486, tag="x")
    second = b1.expect("INVITE")
    assert second.get("max-breadth") == "1"
    b1.reply(second, 200, tag="y")
    assert a.expect(200).tag("to") == "y"


def reload(s, line):
    """The last section of the file is [sip]."""
    with open(s.conf) as f:
        lines = [old for old in f.read().splitlines() if old.split("=")[0] != line.split("=")[0]]
    with open(s.conf, "w") as f:
        f.write("\n".join(lines + [line]) + "\n")
    mark = s.mark()
    s.process.send_signal(signal.SIGHUP)
    s.wait_for("the SIP process has the new configuration", mark)


def test_foreign_callers_and_callees_are_policy(make):
    # S-VAL-09: and the log says why
    s = make(foreign_callees="no")
    b, peer = s.registered("udp", "bob"), s.ua("udp", "peer")
    a, x = s.ua("udp", "alice"), s.ua("udp", "eve", domain="elsewhere.invalid")
    there = "sip:someone@127.0.0.1:%d" % peer.s.port
    a.ask("MESSAGE", there, 403)
    s.wait_for('denied: status=403 reason="Foreign Callees Are Not Served"')
    x.send(x.request("MESSAGE", "sip:bob@example.com"))
    b.reply(b.expect("MESSAGE"), 200)
    x.expect(200)
    reload(s, "foreign_callers = no")
    x.ask("MESSAGE", "sip:bob@example.com", 403)
    s.wait_for('denied: status=403 reason="Foreign Callers Are Not Served"')
    x.ask("REGISTER", "sip:example.com", 404)  # unaffected: it is about his own domain
    a.ask("MESSAGE", "sip:bob@example.com", 407, headers=["Proxy-Authorization: Digest username=x"])
    peer.silent(0.1)


def test_users_may_call_out_when_policy_says_so(make):
    # S-VAL-09
    s = make()
    peer, a = s.ua("udp", "peer"), s.ua("udp", "alice")
    there = "sip:someone@127.0.0.1:%d" % peer.s.port
    a.send(a.request("MESSAGE", there, callid="out@test"))
    auth = a.credentials(a.expect(407), "MESSAGE", there)
    a.send(a.request("MESSAGE", there, callid="out@test", cseq=2, headers=[auth]))
    peer.reply(peer.expect("MESSAGE"), 200)
    a.expect(200)


def test_trusted_sources_need_no_credentials_but_to_register(make):
    # S-VAL-09 S-RT-11; by address, and put in force by a reload
    s = make(foreign_callers="no", trusted="192.0.2.0/24 2001:db8::/32")
    b, peer = s.registered("udp", "bob"), s.ua("udp", "peer")
    trunk = s.ua("udp", "alice")
    there = "sip:someone@127.0.0.1:%d" % peer.s.port
    trunk.send(trunk.request("MESSAGE", "sip:bob@example.com"))
    trunk.expect(407)
    reload(s, "trusted = 127.0.0.1")
    for who in ("sip:alice@example.com", "sip:+123@carrier.invalid"):
        trunk.send(trunk.request("MESSAGE", "sip:bob@example.com", from_=who))
        b.reply(b.expect("MESSAGE"), 200)
        trunk.expect(200)
        trunk.send(trunk.request("MESSAGE", there, from_=who))
        peer.reply(peer.expect("MESSAGE"), 200)
        trunk.expect(200)
    trunk.send(trunk.request("REGISTER", "sip:example.com", to="sip:alice@example.com", headers=["Contact: " + trunk.contact]))
    trunk.expect(401)
