"""Calls and messages between registered users. RFC 3261 s.16; spec section 21."""
import contextlib
import re
import socket
import time

from daemon import SLOW
from server import long_only
from sipua import Timeout, uri_of

SDP = (b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=message 9 TCP/MSRP *\r\n"
       b"a=path:msrp://127.0.0.1:9/x;tcp\r\na=accept-types:*\r\n")
SDP_HEADER = "Content-Type: application/sdp"


def call_up(a, b, body=SDP, tag="callee", headers=()):
    """alice calls bob, bob answers. The call, the INVITE that bob got, the 200 that alice got."""
    call = a.invite("sip:bob@example.com", body=body, headers=[SDP_HEADER] + list(headers))
    got = b.expect("INVITE")
    b.reply(got, 180, "Ringing", tag=tag)
    a.expect(180)
    b.reply(got, 200, "OK", tag=tag, headers=[SDP_HEADER], body=SDP)
    ok = a.expect(200)
    a.ack(call, ok)
    ack = b.expect("ACK")
    assert ack.uri == b.contact.strip("<>"), ack.raw
    return call, got, ok


def hang_up(a, b, call):
    a.in_dialog(call, "BYE")
    bye = b.expect("BYE")
    b.reply(bye, 200)
    a.expect(200)
    return bye


def test_invite_over_udp_is_record_routed_and_bye_follows_the_route(make):
    # S-TXN-02 S-FWD-02 S-FWD-04 S-FWD-07 S-RT-01 S-RT-10, section 21.2
    s = make(auth="")
    b = s.registered("udp", "bob")
    a = s.ua("udp", "alice")
    began = time.monotonic()
    call = a.invite("sip:bob@example.com", body=SDP, headers=[SDP_HEADER])
    assert a.receive().status == 100
    assert time.monotonic() - began < 0.2 * SLOW
    got = b.expect("INVITE")
    assert len(got.all("via")) == 2 and "branch=z9hG4bK" in got.get("via")
    assert ";rport" in got.get("via")  # S-VIA-06
    assert got.get("max-forwards") == "69"
    assert len(got.all("record-route")) == 1 and ";lr" in got.get("record-route"), got.raw
    assert got.uri == uri_of(b.contact)
    b.reply(got, 200, "OK", tag="callee")
    ok = a.expect(200)
    assert len(ok.all("via")) == 1
    a.ack(call, ok)
    ack = b.expect("ACK")
    assert "route" not in dict(ack.headers)
    assert "branch=z9hG4bK" in ack.get("via") and ack.get("via") != got.get("via") # of its own: S-TXN-08
    bye = hang_up(a, b, call)
    assert bye.all("route") == []
    a.silent()
    b.silent()


def test_body_is_forwarded_byte_for_byte(make):
    # M-SDP-01 S-MSG-07 S-FWD-08
    s = make(auth="")
    b = s.registered("tcp", "bob")
    a = s.ua("udp", "alice")
    body = SDP + bytes(range(256)) + b"m=audio 9 TCP/MSRP @[\r\n\r\n\r\n"
    odd = ["X-Odd: spaces  kept ;;,,;;", "P-Unknown: \"a\\\"b\""]
    a.send(a.request("MESSAGE", "sip:bob@example.com", body=body, headers=["Content-Type: application/octet-stream"] + odd))
    got = b.expect("MESSAGE")
    assert got.body == body
    for line in odd:
        name, _, value = line.partition(":")
        assert got.get(name.strip().lower()) == value.strip(), (line, got.raw)
    b.reply(got, 200)
    a.expect(200)
    call, got, ok = call_up(a, b)
    assert got.body == SDP and ok.body == SDP


def test_caller_on_udp_and_callee_on_tcp_reach_each_other_in_the_dialog(make):
    # S-FWD-05 S-RT-02 S-OUT-04 S-OUT-08, section 21.16
    s = make(auth="")
    b = s.registered("tcp", "bob")
    a = s.ua("udp", "alice")
    call, got, ok = call_up(a, b)
    assert len(got.all("record-route")) == 2, got.raw
    assert "transport=tcp" in got.all("record-route")[0] and "transport" not in got.all("record-route")[1]
    assert "transport=tls" not in got.raw.decode("latin-1")
    b.back(got, "INFO", "callee")
    info = a.expect("INFO")
    assert info.all("route") == []
    a.reply(info, 200)
    b.expect(200)
    hang_up(a, b, call)


def test_callee_hangs_up_over_tls(make):
    # S-OUT-04 S-TLS-05
    s = make(auth="")
    b = s.registered("tls", "bob")
    a = s.registered("tcp", "alice")
    call, got, ok = call_up(a, b)
    for r in got.all("record-route") + [got.get("via")]:
        assert "transport=tls" not in r
    assert got.all("record-route")[0].startswith("<sips:")
    b.back(got, "BYE", "callee")
    a.reply(a.expect("BYE"), 200)
    b.expect(200)


def test_calls_between_two_tls_clients(make):
    for options, scheme, end in (({}, "<sips:", False), ({"transport_tls": "yes"}, "<sip:", True)):
        s = make(auth="", **options)
        b = s.registered("tls", "bob")
        a = s.registered("tls", "alice")
        call, got, ok = call_up(a, b)
        for r in got.all("record-route"):
            assert r.startswith(scheme) and (";transport=tls;" in r) == end, r
        hang_up(a, b, call)


def test_cancel_ends_the_branch(make):
    # S-CAN-01 S-CAN-07 S-TXN-08, section 21.6
    s = make(auth="")
    b = s.registered("udp", "bob")
    a = s.ua("udp", "alice")
    call = a.invite("sip:bob@example.com")
    got = b.expect("INVITE")
    b.reply(got, 180, tag="x")
    a.expect(180)
    a.cancel(call)
    a.expect(200)
    c = b.expect("CANCEL")
    assert c.get("via") == got.get("via") and c.uri == got.uri and c.get("cseq") == "1 CANCEL"
    b.reply(c, 200)
    a.silent(0.1)  # the 487 is the callee's
    b.reply(got, 487, tag="x")
    b.expect("ACK")
    m = a.expect(487)
    assert m.tag("to") == "x"
    a.ack(call, m)
    a.silent()


def test_answer_that_crosses_a_cancel_goes_up(make):
    # S-CAN-06
    s = make(auth="")
    b, a = s.registered("udp", "bob"), s.ua("udp", "alice")
    call = a.invite("sip:bob@example.com")
    got = b.expect("INVITE")
    b.reply(got, 180, tag="x")
    a.expect(180)
    a.cancel(call)
    a.expect(200)
    b.reply(b.expect("CANCEL"), 481)
    b.reply(got, 200, tag="x")
    ok = a.expect(200)
    assert ok.get("cseq") == "1 INVITE"
    a.ack(call, ok)
    b.expect("ACK")


def test_cancel_reaches_every_branch(make):
    # S-CAN-01
    s = make(auth="")
    devices, a = two_devices(s), s.ua("udp", "alice")
    call = a.invite("sip:bob@example.com")
    invites = [b.expect("INVITE") for b in devices]
    for b, invite in zip(devices, invites):
        b.reply(invite, 180, tag="x")
        a.expect(180)
    a.cancel(call)
    a.expect(200)
    for b, invite in zip(devices, invites):
        b.reply(b.expect("CANCEL"), 200)
        b.reply(invite, 487, tag="x")
        b.expect("ACK")
    a.ack(call, a.expect(487))


def test_cancel_waits_for_the_first_provisional(make):
    # S-CAN-05 S-CAN-07: 100 is one, though it is not passed on
    s = make(auth="")
    b = s.registered("udp", "bob")
    for provisional in (100, 180):
        a = s.ua("udp", "alice")
        call = a.invite("sip:bob@example.com")
        got = b.expect("INVITE")
        a.send(a.request("CANCEL", call["uri"], callid=call["callid"], tag=call["tag"], branch=call["branch"], headers=["Reason: SIP;cause=600"]))
        a.expect(200)
        try:
            while True:
                assert b.receive(0.3).method == "INVITE"
        except Timeout:
            pass
        b.reply(got, provisional, tag="x")
        while True:
            m = b.receive()
            if m.method == "CANCEL":
                break
        assert m.get("reason") == "SIP;cause=600", m.raw
        if provisional > 100:
            a.expect(provisional)
        b.reply(m, 200)
        b.reply(got, 487, tag="x")
        a.ack(call, a.expect(487))
        while b.receive().method != "ACK":
            pass


def test_cancel_over_a_stream(make):
    s = make(auth="")
    b = s.registered("tcp", "bob")
    a = s.ua("tcp", "alice")
    call = a.invite("sip:bob@example.com")
    got = b.expect("INVITE")
    b.reply(got, 180, tag="x")
    a.expect(180)
    a.cancel(call)
    b.reply(b.expect("CANCEL"), 200)
    b.reply(got, 487, tag="x")
    codes = sorted(a.expect(code).status for code in (200, 487))
    assert codes == [200, 487]


def two_devices(s, q1="", q2=""):
    b1, b2 = s.ua("udp", "bob"), s.ua("tcp", "bob")
    b1.register(contact=b1.contact + q1)
    b2.register(contact=b2.contact + q2)
    return b1, b2


def test_fork_first_answer_wins_and_the_other_is_cancelled(make):
    # S-RSP-03 S-RSP-04 S-FWD-09, section 21.3
    s = make(auth="")
    b1, b2 = two_devices(s)
    a = s.ua("udp", "alice")
    call = a.invite("sip:bob@example.com")
    i1, i2 = b1.expect("INVITE"), b2.expect("INVITE")
    b2.reply(i2, 180, tag="two")
    a.expect(180)
    b1.reply(i1, 200, tag="one")
    ok = a.expect(200)
    assert ok.tag("to") == "one"
    c = b2.expect("CANCEL")
    assert "cause=200" in c.get("reason"), c.raw
    b2.reply(c, 200)
    b2.reply(i2, 487, tag="two")
    b2.expect("ACK")
    a.ack(call, ok)
    b1.expect("ACK")
    a.silent()
    a.invite("sip:bob@example.com")
    i1, i2 = b1.expect("INVITE"), b2.expect("INVITE")
    b1.reply(i1, 200, tag="one")
    a.expect(200)
    b2.silent(0.1)  # it has not rung yet
    b2.reply(i2, 180, tag="two")
    assert "cause=200" in b2.expect("CANCEL").get("reason")


def test_fork_two_answers_both_go_up(make):
    # S-RSP-03 S-CAN-06, section 21.4
    s = make(auth="")
    b1, b2 = two_devices(s)
    a = s.ua("udp", "alice")
    a.invite("sip:bob@example.com")
    i1, i2 = b1.expect("INVITE"), b2.expect("INVITE")
    b1.reply(i1, 200, tag="one")
    b2.reply(i2, 200, tag="two")
    assert {a.expect(200).tag("to"), a.expect(200).tag("to")} == {"one", "two"}


def fork_result(make, first, second, headers=((), ())):
    s = make(auth="")
    b1, b2 = two_devices(s)
    a = s.ua("udp", "alice")
    call = a.invite("sip:bob@example.com")
    i1, i2 = b1.expect("INVITE"), b2.expect("INVITE")
    b1.reply(i1, first, tag="one", headers=headers[0])
    b1.expect("ACK")
    b2.reply(i2, second, tag="two", headers=headers[1])
    b2.expect("ACK")
    m = a.receive()
    while m.status == 100:
        m = a.receive()
    a.ack(call, m)
    return m


def test_fork_best_response_603_over_486(make):
    # S-RSP-05 S-RSP-06, section 21.5
    assert fork_result(make, 486, 603).status == 603


def test_fork_best_response_302_over_486(make):
    assert fork_result(make, 486, 302).status == 302


def test_fork_best_response_404_over_503(make):
    assert fork_result(make, 503, 404).status == 404


def test_fork_challenges_are_gathered(make):
    # S-RSP-08: unmodified, those of one branch in their order, whichever branch is the one that goes up
    www = ['Digest realm="one",  nonce="%d",x=y' % i for i in range(2)]
    proxy = ['Digest realm="two",  nonce="%d",x=y' % i for i in range(2)]
    for first, second in ((401, 407), (407, 401)):
        headers = {401: ["WWW-Authenticate: " + h for h in www], 407: ["Proxy-Authenticate: " + h for h in proxy]}
        m = fork_result(make, first, second, (headers[first], headers[second]))
        assert m.status in (401, 407)
        assert m.all("www-authenticate") == www and m.all("proxy-authenticate") == proxy, m.raw
    m = fork_result(make, 407, 407, ([headers[407][0]], [headers[407][1]]))
    assert m.status == 407 and sorted(m.all("proxy-authenticate")) == proxy, m.raw


def test_503_alone_becomes_500(make):
    # S-RSP-07
    s = make(auth="")
    b = s.registered("udp", "bob")
    a = s.ua("udp", "alice")
    a.invite("sip:bob@example.com")
    b.reply(b.expect("INVITE"), 503, headers=["Retry-After: 10"], tag="x")
    m = a.expect(500)
    assert not m.get("retry-after")


def test_lower_q_is_tried_after_the_higher_failed(make):
    # S-FWD-09
    s = make(auth="")
    b1, b2 = two_devices(s, ";q=0.2", ";q=0.9")
    a = s.ua("udp", "alice")
    a.invite("sip:bob@example.com")
    i2 = b2.expect("INVITE")
    b1.silent()
    b2.reply(i2, 486, tag="x")
    b2.expect("ACK")
    b1.reply(b1.expect("INVITE"), 200, tag="y")
    assert a.expect(200).tag("to") == "y"


def test_message_goes_to_the_lower_q_when_the_higher_failed(make):
    # S-FWD-09
    s = make(auth="")
    low, high = two_devices(s, ";q=0.2", ";q=0.9")
    a = s.ua("udp", "alice")
    a.send(a.request("MESSAGE", "sip:bob@example.com"))
    high.reply(high.expect("MESSAGE"), 480)
    low.reply(low.expect("MESSAGE"), 200)
    a.expect(200)


def test_retransmitted_invite_after_200_is_absorbed(make):
    # S-TXN-04, section 21.12
    s = make(auth="")
    b = s.registered("udp", "bob")
    a = s.ua("udp", "alice")
    invite = a.request("INVITE", "sip:bob@example.com", headers=["Contact: " + a.contact])
    a.send(invite)
    got = b.expect("INVITE")
    b.reply(got, 200, tag="x")
    a.expect(200)
    a.send(invite)
    b.silent()


def test_retransmitted_200_is_passed_on_and_a_forged_one_is_not(make):
    # S-TXN-05 S-TXN-06 S-VIA-07
    s = make(auth="")
    b = s.registered("udp", "bob")
    a = s.ua("udp", "alice")
    a.invite("sip:bob@example.com")
    got = b.expect("INVITE")
    raw = b.reply(got, 200, tag="x")
    a.expect(200)
    time.sleep(0.1)
    b.send(raw)
    a.expect(200, again=True)
    b.send(re.sub(rb"branch=z9hG4bK[^;\r]+", b"branch=z9hG4bKforged", raw, count=1))
    b.send(raw.replace(b" INVITE\r\n", b" MESSAGE\r\n"))
    b.reply(got, 486, tag="x")
    a.silent()


def test_tcp_caller_gets_a_retransmitted_200(make):
    s = make(auth="")
    b = s.registered("udp", "bob")
    a = s.ua("tcp", "alice")
    a.invite("sip:bob@example.com")
    got = b.expect("INVITE")
    raw = b.reply(got, 200, tag="x")
    a.expect(200)
    time.sleep(0.1)
    b.send(raw)
    a.expect(200)


def test_message_and_unknown_method_are_forwarded(make):
    # S-MSG-08; most of these begin like a method that Sofia knows
    s = make(auth="")
    b = s.registered("udp", "bob")
    a = s.ua("tcp", "alice")
    known = ("MESSAGE", "OPTIONS")
    for method in known + ("FOO", "MSRP", "PING", "SEND", "NICK", "INVITES", "P", "BY.E"):
        a.send(a.request(method, "sip:bob@example.com"))
        got = b.expect(method)
        assert (method not in known) == bool(got.get("record-route"))  # S-FWD-04
        b.reply(got, 183, tag="x") # goes no further: S-TXN-03
        b.reply(got, 200)
        assert a.receive().status == 200


def test_slow_non_invite_gets_100_and_then_its_answer(make):
    # S-TXN-03
    s = make(auth="")
    b = s.registered("tcp", "bob")
    a = s.ua("tcp", "alice")
    a.send(a.request("MESSAGE", "sip:bob@example.com"))
    got = b.expect("MESSAGE")
    began = time.monotonic()
    assert a.receive(6).status == 100
    assert time.monotonic() - began > 3
    b.reply(got, 200)
    a.expect(200)


def test_loop_is_detected(make):
    # S-SEC-02 S-VAL-04
    s = make(auth="")
    b = s.registered("udp", "bob")
    a = s.ua("udp", "alice")
    a.send(a.request("MESSAGE", "sip:bob@example.com", callid="loop@test", tag="l"))
    got = b.expect("MESSAGE")
    lines = got.raw.decode("latin-1").replace(got.start, "MESSAGE sip:bob@example.com SIP/2.0")
    a.send(lines.replace("\r\nVia:", "\r\nVia: %s\r\nVia:" % a.via(), 1))
    a.expect(482)
    # A spiral is none: another Request-URI, Call-ID, CSeq or Route (403 here) than the time before. Nor are Vias of others, whatever they are like: S-VAL-05
    others = "\r\nVia: %s\r\nVia: SIP/2.0/UDP odd.invalid\r\nVia: SIP/2.0/UDP odd.invalid;branch=.\r\nVia: SIP/2.0/UDP odd.invalid;branch=z9hG4bK.0123456789abcdef\r\nVia:"
    for old, new, status in (("bob@example.com SIP", "bob@example.com;again=1 SIP", 200), ("loop@test", "other@test", 200), ("CSeq: 1 ", "CSeq: 2 ", 200),
                             ("\r\nCall-ID", "\r\nRoute: <sip:192.0.2.1;lr>\r\nCall-ID", 403)):
        assert re.search(old, lines, re.I), lines
        a.send(re.sub(old, new, lines, count=1, flags=re.I).replace("\r\nVia:", others % a.via(), 1))
        if status == 200:
            b.reply(b.expect("MESSAGE"), 200, tag="x")
        a.expect(status)


def test_loop_counts_before_an_extension(make):
    # S-VAL-01
    s = make(auth="")
    b, a = s.registered("udp", "bob"), s.ua("udp", "alice")
    a.send(a.request("MESSAGE", "sip:bob@example.com"))
    got = b.expect("MESSAGE")
    a.send(got.raw.replace(got.start.encode(), b"MESSAGE sip:bob@example.com SIP/2.0").replace(b"\r\nVia:", b"\r\nProxy-Require: x\r\nVia: %s\r\nVia:" % a.via().encode(), 1))
    a.expect(482)


def test_calls_are_accounted(make):
    s = make(auth="", )
    b = s.registered("udp", "bob")
    a = s.ua("udp", "alice")
    call, got, ok = call_up(a, b)
    b.reply(got, 200, "OK", tag="callee")  # comes again, and is passed on again
    a.ack(call, a.expect(200))
    b.expect("ACK")
    hang_up(a, b, call)
    assert accounted(s, 2, call) == [("BYE", "200", "Whatever", "callee"), ("INVITE", "200", "OK", "callee")]


def accounted(s, n, call=None):
    """All rows, or those of a call, when there are n of them."""
    sql = "SELECT method, sip_code, sip_reason, to_tag FROM acc WHERE callid = coalesce(?, callid) ORDER BY method, sip_code, sip_reason"
    end = time.monotonic() + 5
    while True:
        rows = s.rows(sql, call and call["callid"])
        if len(rows) >= n or time.monotonic() > end:
            return rows
        time.sleep(0.05)


def test_calls_that_were_not_answered_are_accounted(make):
    # one row each, with the final code and reason: busy, declined everywhere, cancelled, no phone, no user, no answer of a next hop
    s = make(auth="")
    b = s.registered("udp", "bob")
    a = s.ua("udp", "alice")
    for status, reason in ((486, "Busy Here"), (603, "Decline")):
        call = a.invite("sip:bob@example.com")
        b.reply(b.expect("INVITE"), status, reason, tag="x")
        a.ack(call, a.expect(status))
        b.expect("ACK")
        assert accounted(s, 1, call) == [("INVITE", str(status), reason, "x")]
    call = a.invite("sip:bob@example.com")
    got = b.expect("INVITE")
    b.reply(got, 180, "Ringing", tag="y")
    a.expect(180)
    a.cancel(call)
    a.expect(200)
    b.reply(b.expect("CANCEL"), 200)
    b.reply(got, 487, "Request Terminated", tag="y")
    a.ack(call, a.expect(487))
    b.expect("ACK")
    assert accounted(s, 1, call) == [("INVITE", "487", "Request Terminated", "y")]
    for uri, status, reason in (("sip:carol@example.com", 480, "Temporarily Unavailable"), ("sip:nobody@example.com", 404, "Not Found")):
        same = {"callid": "gone-%d@test" % status, "branch": "z9hG4bK-gone-%d" % status, "tag": "gone"}
        invite = a.request("INVITE", uri, headers=["Contact: " + a.contact], **same)
        for _ in range(3):  # the answer was lost: it is one call all the same
            a.send(invite)
            tag = a.expect(status, again=True).tag("to")
        a.send(a.request("ACK", uri, to_tag=tag, **same))
        call = {"callid": "gone-%d@test" % status}
        rows = accounted(s, 1, call)
        assert rows == [("INVITE", str(status), reason, tag)], (rows, tag)
    a.ask("MESSAGE", "sip:carol@example.com", 480)
    a.send(a.request("MESSAGE", "sip:bob@example.com"))
    b.reply(b.expect("MESSAGE"), 202, "Accepted", tag="z")
    a.expect(202)
    rows = accounted(s, 7)
    assert [r[:3] for r in rows[5:]] == [("MESSAGE", "202", "Accepted"), ("MESSAGE", "480", "Temporarily Unavailable")], rows
    assert len(rows) == 7, rows


def test_what_policy_refuses_is_not_accounted(make):
    # a stranger cannot fill the table, and a challenge is no call
    s = make()
    b = s.registered("udp", "bob")
    a = s.ua("udp", "alice")
    x = s.ua("udp", "eve", domain="elsewhere.invalid")
    x.ask("MESSAGE", "sip:someone@other.invalid", 403)
    x.ask("MESSAGE", "sip:bob@example.com", 483, max_forwards=0)
    call = a.invite("sip:bob@example.com", auth=True)
    b.reply(b.expect("INVITE"), 486, "Busy Here", tag="x")
    a.ack(call, a.expect(486))
    b.expect("ACK")
    assert accounted(s, 1) == [("INVITE", "486", "Busy Here", "x")]


def test_caller_on_ipv4_and_callee_on_ipv6(make):
    # S-FWD-05 S-IP6-01
    s = make(auth="", address="127.0.0.1:%d [::1]:%d")
    a = s.ua("udp", "alice")
    for kind in ("udp", "tcp", "tls"):
        b = s.ua(kind, "bob", host="::1")
        b.register()
        call, got, ok = call_up(a, b)
        assert "[::1]" in got.all("record-route")[0] and "127.0.0.1" in got.all("record-route")[1], got.raw
        b.back(got, "INFO", "callee")
        a.reply(a.expect("INFO"), 200)
        b.expect(200)
        hang_up(a, b, call)
        b.register(expires=0)


def test_nobody_answers(make):
    # S-SEC-02 S-TXN-09 S-TXN-03 S-FWD-11 S-FWD-09, section 21.7: INVITE gets a 408 after 64*T1, all else a 100 and then nothing
    # S-RSP-22: and who rings and does not answer a CANCEL is given up
    s = make(auth="")
    b, c = s.registered("udp", "bob"), s.registered("tcp", "carol")
    a, x, y = s.ua("udp", "alice"), s.ua("tcp", "alice"), s.ua("tcp", "alice")
    cancelled = y.invite("sip:carol@example.com")
    c.reply(c.expect("INVITE"), 180, tag="c")
    y.expect(180)
    y.cancel(cancelled)
    y.expect(200)
    d1, d2, z = s.ua("tcp", "carol", domain="example.net"), s.ua("tcp", "carol", domain="example.net"), s.ua("tcp", "alice")
    d1.register(contact=d1.contact + ";q=0.9")
    d2.register(contact=d2.contact + ";q=0.2")
    z.invite("sip:carol@example.net")
    got, began = d1.expect("INVITE"), time.monotonic()
    d1.reply(got, 180, tag="d")
    z.expect(180)
    call = a.invite("sip:bob@example.com")
    x.send(x.request("MESSAGE", "sip:bob@example.com"))
    d2.expect("INVITE", 30)  # S-FWD-09: the next group after 20 s, and the first one rings on
    assert time.monotonic() - began > 15
    d1.silent(0.05)
    d1.reply(got, 200, tag="d")
    z.expect(200)
    m = a.expect(408, 45)
    a.ack(call, m)
    assert x.receive().status == 100
    x.silent(2)
    y.expect(487)
    assert accounted(s, 4) == [("INVITE", "200", "Whatever", "d"), ("INVITE", "408", "Request Timeout", m.tag("to")), ("INVITE", "487", "Request Terminated", accounted(s, 1, cancelled)[0][3]),
                               ("MESSAGE", "408", "Request Timeout", accounted(s, 4)[3][3])]
    assert m.tag("to")
    b.close()


def test_large_request_goes_by_tcp_and_else_by_udp(make):
    # S-TRN-01, section 21.11: in a dialog over UDP; bob listens on TCP, too, or does not any more, and is then not asked each time
    s = make(auth="", forward_to="loopback")
    b = s.registered("udp", "bob")
    a = s.ua("udp", "alice")
    call, got, ok = call_up(a, b)
    body = b"x" * 1400
    headers = ["Content-Type: text/plain"]
    with socket.create_server(("127.0.0.1", b.s.port)) as listener:
        listener.settimeout(5)
        a.in_dialog(call, "INFO", body=body, headers=headers)
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(5)
            data = b""
            while body not in data:
                data += peer.recv(65536)
            assert b"Via: SIP/2.0/TCP " in data.split(b"\r\n\r\n")[0].split(b"\r\nVia")[0] + data[:400], data[:400]
            lines = data.split(b"\r\n\r\n")[0].split(b"\r\n")
            keep = [l for l in lines if l.split(b":")[0].lower() in (b"via", b"from", b"to", b"call-id", b"cseq")]
            peer.sendall(b"\r\n".join([b"SIP/2.0 200 OK"] + keep + [b"Content-Length: 0"]) + b"\r\n\r\n")
            a.expect(200)
    b.silent(0.1)
    s.wait_for("closed: peer=127.0.0.1:%d protocol=sip transport=tcp" % b.s.port)
    mark = s.mark()
    for _ in range(3):
        a.in_dialog(call, "INFO", body=body, headers=headers)
        m = b.expect("INFO")
        assert m.body == body and m.get("via").startswith("SIP/2.0/UDP ")
        b.reply(m, 200)
        a.expect(200)
    s.wait_for("could not connect", mark)
    with open(s.log, "rb") as f:
        f.seek(mark)
        assert f.read().count(b"could not connect") == 1


def test_large_request_does_not_wait_for_a_port_that_says_nothing(make):
    # S-TRN-01: a firewall drops what would open a connection; here a listener whose queue is full does
    s = make(auth="", forward_to="loopback")
    b, a = s.registered("udp", "bob"), s.ua("udp", "alice")
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", b.s.port))
        listener.listen(0)
        for _ in range(4):
            full = stack.enter_context(socket.socket())
            full.setblocking(False)
            full.connect_ex(("127.0.0.1", b.s.port))
        began = time.monotonic()
        a.send(a.request("MESSAGE", "sip:bob@example.com", body=b"x" * 2000))
        b.reply(b.expect("MESSAGE", timeout=12 * SLOW), 200)
        assert 0.5 < time.monotonic() - began < 5 * SLOW  # and not 10 s
        a.expect(200)


@long_only
def test_ringing_without_end_is_ended_by_timer_c(make):
    # S-FWD-10 S-RSP-02 S-RSP-21: 185 s after the last 1xx; another one but 100 starts it again. Who has said 100 alone is cancelled, too
    s = make(auth="")
    b, a = s.registered("tcp", "bob"), s.ua("tcp", "alice")
    trying, other = s.registered("tcp", "carol"), s.ua("tcp", "dave")
    call, second = a.invite("sip:bob@example.com"), other.invite("sip:carol@example.com")
    got, tried = b.expect("INVITE"), trying.expect("INVITE")
    trying.reply(tried, 100)
    b.reply(got, 180, tag="c")
    a.expect(180)
    time.sleep(20)
    began = time.monotonic()
    b.reply(got, 183, tag="c")
    a.expect(183)
    time.sleep(5)
    trying.reply(tried, 100)
    cancel = b.expect("CANCEL", 240)
    assert 180 < time.monotonic() - began < 200
    trying.reply(trying.expect("CANCEL", 1), 200)
    for ua, invite, caller, c in ((b, got, a, call), (trying, tried, other, second)):
        if ua is b:
            b.reply(cancel, 200)
        ua.reply(invite, 487, tag="c")
        ua.expect("ACK")
        caller.ack(c, caller.expect(487))
