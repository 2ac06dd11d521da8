"""Rules of RFC 3261 and its updates that calls between two phones do not show. Spec sections 1 to 8."""
import re
import socket

from sip_calls import SDP, SDP_HEADER, call_up
from sipua import Timeout, uri_of


def test_datagram_of_60000_octets(make):
    # S-MSG-06
    s = make(auth="")
    b, a = s.registered("tcp", "bob"), s.ua("udp", "alice")
    body = bytes(i % 251 for i in range(60000))
    a.send(a.request("MESSAGE", "sip:bob@example.com", body=body))
    got = b.expect("MESSAGE")
    assert got.body == body
    b.reply(got, 200, body=body)
    assert a.expect(200).body == body


def test_content_length_is_added_on_a_stream(make):
    # S-TRN-02 S-TRN-03 S-MSG-05
    s = make(auth="")
    b, a = s.registered("tcp", "bob"), s.ua("udp", "alice")
    for body in (b"", b"hello"):
        a.send(a.request("MESSAGE", "sip:bob@example.com", body=body, length=False))
        got = b.expect("MESSAGE")
        assert got.get("content-length") == str(len(body)) and got.body == body, got.raw
        b.reply(got, 200)
        a.expect(200)
    s.ua("tcp", "alice").ask("OPTIONS", "sip:example.com", 200)


def test_response_without_rport_goes_to_the_port_of_via(make):
    # S-VIA-04
    s = make(auth="")
    a, there = s.ua("udp", "alice"), s.ua("udp", "alice")
    a.send(a.request("OPTIONS", "sip:example.com", via="SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bKx" % there.s.port))
    there.expect(200)
    a.silent(0.2)


def test_response_goes_to_maddr_where_policy_lets_it(make):
    # S-VIA-04 S-SEC-05: with a transaction, and without; neither to a name, which would have to be looked up, nor to other addresses than forward_to
    s = make(auth="", forward_to="127.0.0.2")
    a = s.ua("udp", "alice")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("127.0.0.2", a.s.port))
        there.settimeout(4)
        for user in ("carol", "nobody"):
            a.send(a.request("MESSAGE", "sip:%s@example.com" % user, via="SIP/2.0/UDP 127.0.0.1:%d;maddr=127.0.0.2;branch=z9hG4bK%s" % (a.s.port, user)))
            got = there.recv(65536)
            assert got.startswith(b"SIP/2.0 4") and b";maddr=127.0.0.2" in got, got
        for maddr in ("127.0.0.3", "there.example.com", "255.255.255.255", "224.0.0.1", "::1"):
            a.send(a.request("MESSAGE", "sip:nobody@example.com", via=a.via() + ";maddr=" + maddr))
            a.expect(404)


def test_vias_of_the_way_back(make):
    # S-VIA-06 S-VIA-08 S-RSP-01 S-RSP-09 S-RSP-11
    s = make(auth="")
    b1, b2 = s.ua("udp", "bob"), s.ua("tcp", "bob")
    b1.register()
    b2.register()
    a = s.ua("tcp", "alice")
    a.invite("sip:bob@example.com", body=SDP, headers=[SDP_HEADER])
    got = [b.expect("INVITE") for b in (b1, b2)]
    branches = {g.get("via").partition("branch=")[2].partition(";")[0] for g in got}
    assert len(branches) == 2 and all(x.startswith("z9hG4bK") for x in branches)
    b1.reply(got[0], 200, tag="Kept", headers=[SDP_HEADER], body=SDP)
    ok = a.expect(200)
    assert "received=127.0.0.1" in ok.get("via") and "rport=%d" % a.s.port in ok.get("via")
    assert ok.tag("to") == "Kept" and ok.body == SDP and ok.all("record-route") == got[0].all("record-route")


def test_provisional_responses(make):
    # S-RSP-02 S-RSP-12
    s = make(auth="")
    b, a = s.registered("udp", "bob"), s.ua("udp", "alice")
    a.invite("sip:bob@example.com")
    got = b.expect("INVITE")
    assert a.receive().status == 100
    b.reply(got, 100)
    try:
        raise AssertionError(a.receive(0.3).raw)
    except Timeout:
        pass
    for status in (180, 183, 199):
        b.reply(got, status, tag="x")
        m = a.receive()
        assert m.status == status and m.tag("to") == "x" # S-RSP-09
    b.reply(got, 302, tag="x", headers=["Contact: <sip:elsewhere@example.net>"], contact=False)
    m = a.expect(302)
    assert m.get("contact") == "<sip:elsewhere@example.net>" and m.tag("to") == "x" # S-RSP-10


def test_first_fault_decides(make):
    # S-VAL-01 S-VAL-06
    s = make()
    a = s.ua("udp", "alice")
    a.ask("MESSAGE", "tel:+1", 416, max_forwards=0, headers=["Proxy-Require: x"])
    a.ask("MESSAGE", "sip:bob@example.com", 483, max_forwards=0, headers=["Proxy-Require: x"])
    a.ask("MESSAGE", "sip:bob@example.com", 420, headers=["Proxy-Require: x"])
    a.ask("MESSAGE", "sip:bob@example.com", 407)
    m = a.ask("OPTIONS", "sip:example.com", 420, headers=["Require: one, two"])
    assert m.get("unsupported").replace(" ", "") == "one,two"


def test_require_is_ignored_in_cancel_and_ack(make):
    # S-VAL-05 S-VAL-07 S-FWD-13 S-DNS-06 S-CAN-03
    s = make()
    b = s.registered("udp", "bob")
    a = s.ua("udp", "alice")
    call = a.invite("sip:bob@example.com", auth=True)
    got = b.expect("INVITE")
    b.reply(got, 180, tag="x")
    a.expect(180)
    headers = ["Require: nothing", "Proxy-Require: nothing"]
    a.send(a.request("CANCEL", call["uri"], callid=call["callid"], tag=call["tag"], cseq=call["cseq"], branch=call["branch"], headers=headers))
    a.expect(200)
    c = b.expect("CANCEL")
    assert c.get("via") == got.get("via") and c.uri == got.uri and not c.get("require")
    b.reply(c, 200)
    b.reply(got, 487, tag="x")
    assert b.expect("ACK").get("via") == got.get("via")
    m = a.expect(487)
    a.send(a.request("ACK", call["uri"], callid=call["callid"], tag=call["tag"], to_tag=m.tag("to"), cseq=call["cseq"], branch=call["branch"], headers=headers))
    a.silent(1.2) # no 487 again: the ACK was taken


def ringing(a, b, **more):
    """A call that rings, and the CANCEL of it as its caller would send it."""
    call = a.invite("sip:bob@example.com", **more)
    got = b.expect("INVITE")
    b.reply(got, 180, tag="x")
    a.expect(180)
    return got, a.request("CANCEL", call["uri"], callid=call["callid"], tag=call["tag"], cseq=call["cseq"], branch=call["branch"])


def by(ua, cancel):
    """The same with the transport of another one in its Via."""
    ua.send(cancel.replace(b"Via: SIP/2.0/" + cancel.partition(b"Via: SIP/2.0/")[2].partition(b" ")[0], b"Via: SIP/2.0/" + ua.kind.upper().encode()))


def goes_on(b, got):
    b.silent(0.2)
    b.reply(got, 486, tag="x")
    b.expect("ACK")


def is_cancelled(b, got):
    b.reply(b.expect("CANCEL"), 200)
    b.reply(got, 487, tag="x")
    b.expect("ACK")


def test_cancel_of_somebody_else_has_no_effect(make):
    # S-CAN-03: another host; another port of the same host, unless there is a NAT that may have changed it; another transport
    s = make(auth="")
    b, a = s.registered("udp", "bob"), s.ua("udp", "alice")
    got, cancel = ringing(a, b)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", 0))
        other.sendto(cancel, ("127.0.0.1", s.port))
        assert b"SIP/2.0 481 " in other.recv(2000)
    goes_on(b, got)
    for kind in ("udp", "tcp"):
        a, mallory = s.ua("udp", "alice"), s.ua(kind, "mallory")
        got, cancel = ringing(a, b)
        by(mallory, cancel)
        mallory.expect(481)
        b.silent(0.1)
        a.send(cancel) # S-CAN-01: and that of the caller has, nevertheless
        assert a.expect(200).get("cseq").endswith("CANCEL")
        is_cancelled(b, got)
        a.send(cancel)
        a.send(cancel) # it is not sent on again
        b.silent(0.1)
    for kind in ("udp", "tcp"):
        a = s.ua("udp", "alice")
        a.sent_by = "192.168.1.2:5060"
        got, cancel = ringing(a, b)
        by(s.ua(kind, "alice"), cancel)
        is_cancelled(b, got) if kind == "udp" else goes_on(b, got)


def test_cancel_comes_by_the_connection_of_its_invite(make):
    # S-CAN-03: or by one that replaces it
    s = make(auth="")
    b = s.registered("udp", "bob")
    a = s.ua("tcp", "alice")
    got, cancel = ringing(a, b)
    a.send(cancel)
    is_cancelled(b, got)
    for kind in ("tcp", "tls", "udp"): # the same host has other connections
        got, cancel = ringing(s.ua("tcp", "alice"), b)
        by(s.ua(kind, "alice"), cancel)
        goes_on(b, got)
    a = s.ua("tcp", "alice") # it breaks, and the phone comes back
    port = a.s.port
    got, cancel = ringing(a, b)
    a.close()
    s.wait_for("closed: peer=127.0.0.1:%d protocol=sip transport=tcp" % port)
    s.ua("tcp", "alice").send(cancel)
    is_cancelled(b, got)
    a = s.ua("tls", "alice") # but not without the TLS it had
    port = a.s.port
    got, cancel = ringing(a, b)
    a.close()
    s.wait_for("closed: peer=127.0.0.1:%d protocol=sip transport=tls" % port)
    by(s.ua("tcp", "alice"), cancel)
    goes_on(b, got)


def test_cancel_by_the_device_that_has_moved_to_another_connection(make):
    # S-CAN-03: the end of the old connection has not been seen yet
    s = make(auth="")
    b = s.registered("udp", "bob")
    old, new, other = (s.ua("tcp", "alice") for _ in range(3))
    device = ';+sip.instance="<urn:uuid:00000000-0000-1000-8000-00000000%s>";reg-id=1'
    outbound = ["Supported: path, outbound"]
    old.register(contact=old.contact + device % "aaaa", headers=outbound)
    other.register(contact=other.contact + device % "bbbb", headers=outbound)
    got, cancel = ringing(old, b)
    other.send(cancel)
    goes_on(b, got)
    old.expect(486)
    got, cancel = ringing(old, b)
    new.register(contact=new.contact + device % "aaaa", headers=outbound)
    new.send(cancel)
    is_cancelled(b, got)


def test_cancel_too_late_and_of_no_invite(make):
    # S-CAN-04 S-CAN-06
    s = make(auth="")
    b, a = s.registered("udp", "bob"), s.ua("udp", "alice")
    call = a.invite("sip:bob@example.com")
    got = b.expect("INVITE")
    b.reply(got, 200, tag="x")
    assert a.expect(200).get("cseq") == "1 INVITE"
    a.cancel(call)
    m = a.receive()
    assert m.get("cseq") == "1 CANCEL" and m.status == 200
    b.silent()
    for method in ("MESSAGE", "FOO"):
        late = {"callid": method + "@test", "tag": "l", "branch": "z9hG4bKlate"}
        a.send(a.request(method, "sip:bob@example.com", **late))
        got = b.expect(method)
        for cseq, status in ((2, 481), (1, 200)):
            a.send(a.request("CANCEL", "sip:bob@example.com", cseq=cseq, **late))
            m = a.receive()
            assert m.get("cseq") == "%d CANCEL" % cseq and m.status == status, m.raw
        b.reply(got, 200)
        assert a.expect(200).get("cseq") == "1 " + method
    b.silent()


def test_merged_requests_are_no_loop(make):
    # S-VAL-08
    s = make(auth="")
    b, a = s.registered("udp", "bob"), s.ua("udp", "alice")
    for branch in ("z9hG4bKone", "z9hG4bKtwo"):
        a.send(a.request("MESSAGE", "sip:bob@example.com", callid="merged@test", tag="m", branch=branch))
        b.reply(b.expect("MESSAGE"), 200)
        a.expect(200)


def test_routing_to_a_foreign_address(make):
    # S-RT-05 S-RT-09 S-DNS-01 S-DNS-04 S-AUT-15 S-RSP-10: no location, no recursion
    s = make(forward_to="loopback")
    x = s.ua("udp", "somebody")
    a = s.ua("udp", "alice")
    there = "sip:bob@127.0.0.1:%d;unknown=1" % x.s.port
    call = a.invite(there, auth=True)
    got = x.expect("INVITE")
    assert got.uri == there
    x.reply(got, 302, tag="x", headers=["Contact: <sip:bob@example.com>"], contact=False)
    m = a.expect(302)
    assert m.get("contact") == "<sip:bob@example.com>"
    a.ack(call, m)
    x.expect("ACK")
    route = "<sip:127.0.0.1:%d;lr>" % x.s.port
    a.send(a.request("MESSAGE", "sip:y@elsewhere.invalid", callid="r@test", headers=["Route: " + route]))
    auth = a.credentials(a.expect(407), "MESSAGE", "sip:y@elsewhere.invalid")
    a.send(a.request("MESSAGE", "sip:y@elsewhere.invalid", callid="r@test", cseq=2, headers=["Route: " + route, auth]))
    got = x.expect("MESSAGE")
    assert got.uri == "sip:y@elsewhere.invalid" and got.all("route") == [route]
    x.reply(got, 200)
    a.expect(200)


def test_connection_that_cannot_be_made_is_a_503_of_that_branch(make):
    # S-TRN-06 S-RSP-07 S-DNS-05
    s = make(forward_to="loopback")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        for scheme, transport in (("sip", ";transport=tcp"), ("sips", "")):
            s.ua("udp", "alice").ask("MESSAGE", "%s:x@127.0.0.1:%d%s" % (scheme, closed.getsockname()[1], transport), 500)


def test_maddr_of_ours_is_taken_off(make):
    # S-RT-04
    s = make(forward_to="loopback")
    x, a = s.ua("udp", "x"), s.ua("udp", "alice")
    b = s.registered("udp", "bob")
    a.invite("sip:bob@example.com;maddr=127.0.0.1;transport=udp", auth=True)
    assert b.expect("INVITE").uri == b.contact.strip("<>")
    x.silent(0.1)


def test_contact_becomes_a_clean_request_uri(make):
    # S-FWD-01 S-RT-06
    s = make(auth="")
    b, a = s.ua("udp", "bob"), s.ua("udp", "alice")
    b.register(contact="<sip:bob@127.0.0.1:%d;kept=1;method=INVITE?Subject=x&Route=%%3Csip:evil%%3E>" % b.s.port)
    a.send(a.request("MESSAGE", "sip:%62ob@EXAMPLE.com;foo=1"))
    got = b.expect("MESSAGE")
    assert got.uri == "sip:bob@127.0.0.1:%d;kept=1" % b.s.port and not got.get("subject") and not got.get("route"), got.raw
    b.reply(got, 200)
    a.expect(200)


def test_same_contact_twice_is_one_target(make):
    # S-RT-07 S-MSG-15
    s = make(auth="")
    b, a = s.ua("udp", "bob"), s.ua("udp", "alice")
    at = "127.0.0.1:%d" % b.s.port
    for same in ("<sip:bob@%s>" % at, "<SIP:%%62ob@%s>" % at, "<sip:bob@%s;other=1>" % at):
        assert len(b.register(contact=same).all("contact")) == 1, same
    a.send(a.request("MESSAGE", "sip:bob@example.com"))
    b.reply(b.expect("MESSAGE"), 200)
    a.expect(200)
    b.silent()
    for other, n in (("<sip:BOB@%s>" % at, 2), ("<sip:bob@%s;transport=tcp>" % at, 3), ("<sip:bob@%s;user=phone>" % at, 4)):
        assert len(b.register(contact=other).all("contact")) == n, other


def test_caller_that_is_gone_costs_nothing(make):
    # S-TXN-07
    s = make(auth="")
    b, a = s.registered("udp", "bob"), s.ua("tcp", "alice")
    pid = s.sip_pid()
    a.invite("sip:bob@example.com")
    got = b.expect("INVITE")
    a.close()
    for status in (180, 200, 200):
        b.reply(got, status, tag="x")
    s.ua("udp", "alice").ask("OPTIONS", "sip:example.com", 200)
    assert s.sip_pid() == pid


def test_old_caller_without_branches(make):
    # S-TXN-01 S-TXN-11
    s = make(auth="")
    b, a = s.registered("udp", "bob"), s.ua("udp", "alice")
    via = "SIP/2.0/UDP 127.0.0.1:%d" % a.s.port
    invite = a.request("INVITE", "sip:bob@example.com", callid="old@test", tag="o", via=via, headers=["Contact: " + a.contact])
    a.send(invite)
    got = b.expect("INVITE")
    b.reply(got, 200, tag="x")
    ok = a.expect(200)
    a.send(invite)
    b.silent()
    route = ["Route: " + r for r in reversed(ok.all("record-route"))]
    a.send(a.request("ACK", uri_of(ok.get("contact")), to="sip:bob@example.com", callid="old@test", tag="o", to_tag="x", via=via, headers=route))
    m = a.receive()
    while m and m.status: # the 200 again, for the repeated INVITE
        try:
            m = a.receive(0.3)
        except Timeout:
            break
    b.expect("ACK")


def test_session_timer_headers_pass_through(make):
    # S-TIM-04 S-TIM-03 S-SEC-07: who wants no timer gets none; we have asked for none, so a 2xx is left as it is
    s = make(auth="")
    b, a = s.registered("udp", "bob"), s.ua("udp", "alice")
    _, got, ok = call_up(a, b)
    assert not got.get("session-expires") and not got.get("min-se")
    headers = ["Session-Expires: 1800;refresher=uac", "Min-SE: 90", "Supported: timer"]
    call, got, ok = call_up(a, b, headers=headers)
    assert got.get("session-expires") == "1800;refresher=uac" and got.get("min-se") == "90" and got.get("record-route")
    assert not ok.get("session-expires") and not ok.get("require")


def test_sips_dialog_is_recorded_with_sips(make):
    # S-FWD-06 S-FWD-05: both sides, the caller's too if he has no TLS
    s = make(auth="")
    b, a, plain = s.ua("tls", "bob"), s.ua("tls", "alice"), s.ua("tcp", "alice")
    for ua in (a, b):
        ua.contact = ua.contact.replace("sip:", "sips:").replace(";transport=tls", "")
    b.send(b.request("REGISTER", "sips:example.com", to="sips:bob@example.com", headers=["Contact: " + b.contact]))
    b.expect(200)
    call = a.invite("sips:bob@example.com")
    got = b.expect("INVITE")
    assert got.all("record-route") and all(r.startswith("<sips:") and "transport" not in r for r in got.all("record-route")), got.raw
    b.reply(got, 200, tag="x")
    a.ack(call, a.expect(200))
    b.expect("ACK")
    a.in_dialog(call, "BYE")
    b.reply(b.expect("BYE"), 200)
    a.expect(200)
    plain.contact = "<sips:alice@example.com>"
    plain.invite("sips:bob@example.com")
    assert [r[:6] for r in b.expect("INVITE").all("record-route")] == ["<sips:"] * 2


def test_late_2xx_goes_up_instead_of_a_6xx(make):
    # S-RSP-05: a 6xx waits for the others, which are told to stop; one that answers yet is what the caller gets, and no new one is tried
    s = make(auth="")
    b1, b2, b3 = s.ua("udp", "bob"), s.ua("tcp", "bob"), s.ua("tcp", "bob")
    for b, q in ((b1, 1), (b2, 1), (b3, 0.1)):
        b.register(contact=b.contact + ";q=%s" % q)
    a = s.ua("udp", "alice")
    call = a.invite("sip:bob@example.com")
    i1, i2 = b1.expect("INVITE"), b2.expect("INVITE")
    b2.reply(i2, 180, tag="two")
    a.expect(180)
    b1.reply(i1, 603, tag="one")
    b1.expect("ACK")
    b2.reply(b2.expect("CANCEL"), 200)
    b2.reply(i2, 200, tag="two")
    ok = a.expect(200)
    assert ok.tag("to") == "two"
    a.ack(call, ok)
    b2.expect("ACK")
    a.silent(0.2)
    b3.silent(0.05)
    a.invite("sip:bob@example.com") # and when none does, it is the 6xx, without another try
    i1, i2 = b1.expect("INVITE"), b2.expect("INVITE")
    b2.reply(i2, 180, tag="two")
    a.expect(180)
    b1.reply(i1, 603, tag="one")
    b2.reply(b2.expect("CANCEL"), 200)
    b2.reply(i2, 487, tag="two")
    assert a.expect(603).tag("to") == "one"
    b3.silent(0.1)


def test_best_of_many_responses(make):
    # S-RSP-06: within 4xx what the caller can do something about, then the lowest class; a 503 says least
    s = make(auth="")
    devices = [s.registered("udp", "bob") for _ in range(4)]
    a = s.ua("udp", "alice")
    rounds = [((503, 407, 501, 404), 407), ((503, 501, 500, 404), 404), ((503, 302, 407, 486), 302), ((500, 404, 603, 302), 603)]
    for n, wanted in enumerate((401, 415, 420, 484)):
        others = [404, 486, 403, 410]
        others[n % 3] = wanted
        rounds.append((others, wanted))
    for answers, best in rounds:
        call = a.invite("sip:bob@example.com")
        invites = [b.expect("INVITE") for b in devices]
        for b, invite, status in zip(devices, invites, answers):
            b.reply(invite, status, tag="t%d" % status, headers=["Proxy-Authenticate: Digest realm=\"x\", nonce=\"1\""] if status in (401, 407) else [])
        m = a.receive(8)
        while m.status == 100:
            m = a.receive(8)
        assert (m.status, m.tag("to")) == (best, "t%d" % best), (answers, m.raw)
        a.ack(call, m)
        for b in devices:
            b.expect("ACK")


def test_our_own_final_responses(make):
    # S-VAL-10 S-VAL-03: all Vias in order, From, Call-ID and CSeq as they came, a tag of ours; Timestamp in a 100 alone; Max-Forwards that is no number counts as none
    s = make(auth="")
    b, a = s.registered("udp", "bob"), s.ua("udp", "alice")
    vias = [a.via(), "SIP/2.0/TCP one.example.org;branch=z9hG4bK1", "SIP/2.0/UDP two.example.org:99;branch=z9hG4bK2;received=192.0.2.1"]
    a.send(a.request("INVITE", "sip:carol@example.com", callid="own@test", cseq=7, tag="from", via=", ".join(vias), headers=["Timestamp: 54.21"]))
    m = a.receive()
    while m.status == 100:
        assert m.get("timestamp").startswith("54.21") and not m.tag("to"), m.raw
        m = a.receive()
    assert m.status == 480 and m.get("cseq") == "7 INVITE" and m.get("call-id") == "own@test" and m.tag("from") == "from" and m.tag("to"), m.raw
    assert not m.get("timestamp") and [v.split(";")[1] for v in m.all("via")] == [v.split(";")[1] for v in vias], m.raw
    a.send(a.request("ACK", "sip:carol@example.com", callid="own@test", cseq=7, tag="from", to_tag=m.tag("to"), via=", ".join(vias)))
    for odd, forwarded in (("nonsense", "70"), ("300", "69"), ("-1", "70")):
        a.send(a.request("MESSAGE", "sip:bob@example.com", max_forwards=None, headers=["Max-Forwards: " + odd]))
        got = b.expect("MESSAGE")
        assert got.all("max-forwards") == [forwarded], (odd, got.raw)
        b.reply(got, 200)
        a.expect(200)


def test_ack_of_a_refusal_takes_the_way_of_its_invite(make):
    # S-TXN-08: the same Request-URI, branch and Route, to the same address
    s = make(auth="", forward_to="loopback")
    b, p, a = s.ua("udp", "bob"), s.ua("udp", "carol"), s.ua("udp", "alice")
    b.register(contact="<sip:bob@192.0.2.1>", headers=["Path: <sip:127.0.0.1:%d;lr>, <sip:192.0.2.9;lr>" % p.s.port, "Supported: path"])
    call = a.invite("sip:bob@example.com")
    got = p.expect("INVITE")
    p.reply(got, 404, tag="x")
    ack = p.expect("ACK")
    assert ack.uri == got.uri and ack.all("via") == got.all("via")[:1] and ack.all("route") == got.all("route") and ack.get("cseq") == "1 ACK", ack.raw
    assert ack.tag("to") == "x" and ack.get("from") == got.get("from")
    a.ack(call, a.expect(404))
    call = a.invite("sip:bob@example.com") # and so does a CANCEL: S-CAN-01
    got = p.expect("INVITE")
    p.reply(got, 180, tag="x")
    a.expect(180)
    a.cancel(call)
    c = p.expect("CANCEL")
    for name in ("via", "route", "from", "to", "call-id"):
        assert c.all(name) == got.all(name)[:1 if name == "via" else None], (name, c.raw, got.raw)
    assert c.uri == got.uri and c.get("cseq") == "1 CANCEL"


def test_credentials_of_others_pass_and_ours_count(make):
    # S-AUT-04 S-AUT-05 S-AUT-06 S-AUT-07 S-AUT-14 S-FWD-08: of several headers the one of our realm is judged, all go on as they are; its uri is of a host served here
    s = make()
    b, a = s.registered("udp", "bob"), s.ua("udp", "alice")
    other = 'Proxy-Authorization: Digest username="alice",realm="elsewhere.invalid", nonce="1",uri="sip:x",response="2"'
    a.send(a.request("MESSAGE", "sip:bob@example.com", callid="two@test"))
    challenge = a.expect(407)
    ours = a.credentials(challenge, "MESSAGE", "sip:bob@example.com")
    a.send(a.request("MESSAGE", "sip:bob@example.com", callid="two@test", cseq=2, headers=[other, ours]))
    got = b.expect("MESSAGE")
    assert [h.strip() for h in got.all("proxy-authorization")] == [h.partition(":")[2].strip() for h in (other, ours)], got.raw
    b.reply(got, 200)
    a.expect(200)
    unknown = ours.split(": ", 1)[0] + ': Digest username="alice", realm="example.com", nonce="1", uri="sip:example.com", response="2", algorithm=SHA-512-256'
    a.send(a.request("MESSAGE", "sip:bob@example.com", callid="uri@test"))  # the uri of the header is what is hashed, and an algorithm that was not offered does not count
    ours = a.credentials(a.expect(407), "MESSAGE", "sip:example.com")
    a.send(a.request("MESSAGE", "sip:bob@example.com", callid="uri@test", cseq=2, headers=[unknown, ours]))
    b.reply(b.expect("MESSAGE"), 200)
    a.expect(200)
    a.send(a.request("MESSAGE", "sip:bob@example.com", callid="three@test"))
    far = a.credentials(a.expect(407), "MESSAGE", "sip:bob@elsewhere.invalid")
    a.send(a.request("MESSAGE", "sip:bob@example.com", callid="three@test", cseq=2, headers=[far]))
    assert a.receive().status == 400
    info = a.register().get("authentication-info")
    assert "rspauth=" in info and "qop=auth" in info and "nc=00000001" in info, info
    b.silent(0.05)


def test_reason_of_a_cancel_goes_on(make):
    # S-CAN-07
    s = make(auth="")
    b, a = s.registered("udp", "bob"), s.ua("tcp", "alice")
    call = a.invite("sip:bob@example.com")
    got = b.expect("INVITE")
    b.reply(got, 180, tag="x")
    a.expect(180)
    a.send(a.request("CANCEL", call["uri"], callid=call["callid"], tag=call["tag"], branch=call["branch"], headers=['Reason: SIP;cause=600;text="Busy Everywhere"']))
    cancel = b.expect("CANCEL")
    assert cancel.get("reason") == 'SIP;cause=600;text="Busy Everywhere"', cancel.raw
    b.reply(cancel, 200)
    b.reply(got, 487, tag="x")
    b.expect("ACK")


def test_what_is_not_ours_to_change_passes_byte_for_byte(make):
    # S-MSG-02 S-MSG-07 S-MSG-09 S-FWD-01 S-FWD-08: known headers with odd spacing, case, compact names and folding as well as unknown ones; requests and responses, every transport
    odd = ["m:\"Al  ice\"  <sip:alice@192.0.2.1;x=%41>;q=0.70  ;\te=\"1\"", "sUpported:   a ,b,,  c", "Date: Fri, 01 Jan 2010 16:00:00 EST", "X-Unknown:  ;;,,;;,;  x",
           "Accept: text/plain;q=.5 ,application/sdp", "Authorization: Digest  username=\"x\",realm=\"other\",  response=\"1\"", "P-Asserted-Identity: <sip:alice@example.com>  ",
           "Subject: folded\r\n here", "X-Folded: one\r\n\ttwo", "k: timer", "Allow: INVITE,ACK ,BYE", "Warning: 399 x \"y\"", "Session-Expires: 1800 ;refresher=uac", "User-Agent: a (b)  c/1"]
    keep = [line for line in odd if not line.startswith(("Date", "Subject", "X-Folded"))]  # what the parser cannot use may be missing; folded lines are made one
    s = make(auth="")
    for kind in ("udp", "tcp", "tls"):
        b, a = s.registered(kind, "bob"), s.ua(kind, "alice")
        for method in ("INVITE", "MESSAGE"):
            a.send(a.request(method, "sip:bob@example.com", headers=odd, via=a.via() + ",\r\n SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1 , SIP/2.0/UDP 192.0.2.2"))
            got = b.expect(method)
            at = 0
            for line in keep:
                found = got.raw.find(("\r\n%s\r\n" % line).encode(), at)
                assert found >= 0, (kind, line, got.raw)
                at = found
            assert re.search(rb"\r\nSubject: folded +here\r\n", got.raw) and re.search(rb"\r\nX-Folded: one[ \t]+two\r\n", got.raw), got.raw
            assert [v.split(";")[0] for v in got.all("via")[1:]] == [a.via().split(";")[0], "SIP/2.0/UDP 192.0.2.1", "SIP/2.0/UDP 192.0.2.2"], got.raw
            b.reply(got, 200, tag="x", headers=keep, contact=False)
            ok = a.expect(200)
            for line in keep:
                assert ("\r\n%s\r\n" % line).encode() in ok.raw, (kind, line, ok.raw)
        b.register(expires=0)


def test_name_of_another_alphabet_needs_no_quotes(make):
    # S-MSG-07 S-VAL-10: as some phones have it
    s = make(auth="")
    b = s.registered("udp", "bob")
    for kind in ("udp", "tcp"):
        a = s.ua(kind, "alice")
        for name in ("J\xc3\xbcrgen Stra\xc3\x9fe ", "\xe6\x9d\x8e"):
            for uri, status in (("sip:bob@example.com", 200), ("sip:nobody@example.com", 404)):
                contact = "Contact: %s%s;q=0.5, \"<\\\"\" <sip:x@192.0.2.1>" % (name, a.contact)
                a.send(a.request("MESSAGE", uri, headers=[contact]).replace(b"From: ", b"From: " + name.encode("latin-1")).replace(b"To: ", b"t:" + name.encode("latin-1")))
                if status == 200:
                    got = b.expect("MESSAGE")
                    assert got.get("from").startswith(name + "<sip:alice@") and got.get("to").startswith(name + "<sip:bob@"), got.raw
                    assert contact.encode("latin-1") in got.raw, got.raw
                    b.reply(got, status)
                m = a.expect(status)
                assert name.strip() in m.get("from") or not name.endswith(" "), m.raw


def test_contact_with_a_name_of_another_alphabet_is_registered(make):
    # S-REG-08
    a = make(auth="").ua("udp", "alice")
    m = a.register(contact="\xc3\xbc <sip:alice@192.0.2.1>, \"\xc3\xbc\" <sip:alice@192.0.2.2>, \xe6\x9d\x8e<sip:alice@192.0.2.3>;expires=60")
    assert sorted(uri_of(c) for c in m.all("contact")) == ["sip:alice@192.0.2.%d" % i for i in (1, 2, 3)], m.raw


def test_lists_on_one_line_lose_only_what_is_ours(make):
    # S-MSG-01 S-RT-01 S-RT-02 S-RSP-01 S-VIA-08: Route and Via as one line each, with values of ours in front
    s = make(forward_to="loopback")
    a, x, y = s.ua("udp", "alice"), s.ua("udp", "x"), s.ua("udp", "y")
    a.send(a.request("MESSAGE", "sip:z@elsewhere.invalid", callid="lists@test"))
    auth = a.credentials(a.expect(407), "MESSAGE", "sip:z@elsewhere.invalid")
    us, next_hops = "<sip:127.0.0.1:%d;lr>" % s.port, ["<sip:127.0.0.1:%d;lr>" % x.s.port, "<sip:127.0.0.1:%d;lr>" % y.s.port]
    first = a.via()
    a.send(a.request("MESSAGE", "sip:z@elsewhere.invalid", callid="lists@test", cseq=2, via=first + " , SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKfar",
                     headers=[auth, "Route: %s , %s,%s" % (us, us, ",  ".join(next_hops))]))
    got = x.expect("MESSAGE")
    assert got.all("route") == next_hops and len(got.all("via")) == 3 and got.all("via")[2] == "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKfar", got.raw
    vias = got.all("via")
    x.send("\r\n".join(["SIP/2.0 200 OK", "v: " + " ,".join(vias)] + ["%s: %s" % (n, v + (";tag=x" if n == "to" else "")) for n, v in got.headers if n in ("from", "to", "call-id", "cseq")]
                       + ["l: 0", "", ""]))
    ok = a.expect(200)
    assert ok.all("via") == vias[1:], ok.raw
