"""Client-initiated connections and Path: which flow a request takes, and what becomes of bindings. RFC 5626, RFC 3327."""
import contextlib
import json
import sqlite3
import time

from sipua import uri_of
from sip_calls import call_up, hang_up
from sip_limits import ctl, until

OUTBOUND = ["Supported: path, outbound"]


def device(number, reg_id=None):
    return ';+sip.instance="<urn:uuid:%d>"' % number + (";reg-id=%d" % reg_id if reg_id else "")


def contacts(m):
    return [uri_of(c) for c in m.all("contact")]


def test_outbound_is_offered_on_a_flow_of_ones_own(make):
    # S-OUT-01 S-OUT-02 S-OUT-03 S-OUT-09 S-OUT-11
    s = make(auth="")
    b = s.ua("tcp", "bob")
    m = b.register(contact=b.contact + device(1, 1), headers=OUTBOUND)
    assert m.get("require") == "outbound" and m.get("flow-timer") == "120", m.raw
    for kind, extra, headers in (("tcp", device(1, 1), []), ("tcp", ";reg-id=1", OUTBOUND), ("tcp", device(1), OUTBOUND),
                                 ("tcp", device(1) + ";reg-id=0", OUTBOUND), ("tcp", device(1) + ";reg-id=4294967296", OUTBOUND),
                                 ("udp", device(1, 1), OUTBOUND)):
        c = s.ua(kind, "carol")
        m = c.register(contact=c.contact + extra, headers=headers)
        assert not m.get("require") and not m.get("flow-timer"), (extra, m.raw)
    m = s.ua("udp", "carol").register(contact="", expires=None)
    assert len(m.all("contact")) == 6, m.raw  # none has taken the place of another


def test_outbound_requests_that_break_the_rules(make):
    # S-OUT-01 S-OUT-02
    s = make(auth="")
    b = s.ua("tcp", "bob")
    b.register(contact=b.contact + device(1, 1) + ", <sip:bob@127.0.0.1:9;transport=tcp>", headers=OUTBOUND, expect=400)
    via = "SIP/2.0/TCP 127.0.0.1:%d;branch=z9hG4bK-%f;rport\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKfar" % (b.s.port, time.monotonic())
    contact = "Contact: " + b.contact + device(1, 1)
    b.send(b.request("REGISTER", "sip:example.com", to=b.aor, via=via, headers=OUTBOUND + [contact]))
    assert b.receive().status == 439
    b.send(b.request("REGISTER", "sip:example.com", to=b.aor, cseq=2, via=via.replace("bK-", "bK-b"), headers=[contact]))
    m = b.receive()
    assert m.status == 200 and not m.get("require"), m.raw
    path = ["Path: <sip:p.example.org;lr>, <sip:edge.example.org;lr%s>"]
    b.register(contact=b.contact + device(1, 1), headers=OUTBOUND + [path[0] % ""], expect=439)
    m = b.register(contact=b.contact + device(1, 1), headers=OUTBOUND + [path[0] % ";ob"])
    assert m.get("require") == "outbound" and not m.get("flow-timer"), m.raw


def two_flows(s):
    """bob's one device has two flows; the second is the newer one."""
    b1, b2 = s.ua("tcp", "bob"), s.ua("tcp", "bob")
    b1.register(contact=b1.contact + device(7, 1), headers=OUTBOUND)
    m = b2.register(contact=b2.contact + device(7, 2), headers=OUTBOUND)
    assert len(m.all("contact")) == 2
    return b1, b2


def test_one_device_is_tried_down_one_flow_at_a_time(make):
    # S-OUT-06
    s = make(auth="")
    b1, b2 = two_flows(s)
    a = s.ua("udp", "alice")
    call, got, ok = call_up(a, b2)
    b1.silent(0.2)
    hang_up(a, b2, call)
    call = a.invite("sip:bob@example.com")
    b2.reply(b2.expect("INVITE"), 430, "Flow Failed", tag="x")
    b2.expect("ACK")
    got = b1.expect("INVITE")
    b1.reply(got, 486, "Busy Here", tag="y")
    b1.expect("ACK")
    a.ack(call, a.expect(486))
    call = a.invite("sip:bob@example.com")
    b2.reply(b2.expect("INVITE"), 486, "Busy Here", tag="x")
    a.ack(call, a.expect(486))
    b1.silent(0.2)


def test_when_a_flow_ends_the_next_one_is_used_at_once(make):
    # S-OUT-05 S-OUT-06
    s = make(auth="")
    b1, b2 = two_flows(s)
    mark = s.mark()
    b2.close()
    s.wait_for(r"closed", mark)
    a = s.ua("udp", "alice")
    call, got, ok = call_up(a, b1)
    hang_up(a, b1, call)


def test_flow_that_ends_with_a_request_on_it_makes_room_for_the_next_one(make):
    # S-OUT-05 S-OUT-06: nobody has answered there but with 100; a phone that rings has the call already, and cannot be reached any more
    s = make(auth="")
    a = s.ua("udp", "alice")
    for method, said in (("INVITE", 0), ("INVITE", 100), ("MESSAGE", 0), ("INVITE", 180)):
        b1, b2 = two_flows(s)
        a.send(a.request(method, "sip:bob@example.com", headers=["Contact: " + a.contact]))
        got = b2.expect(method)
        if said:
            b2.reply(got, said, tag="x" if said > 100 else None)
        if said > 100:
            a.expect(said)
        b2.close()
        if said > 100:
            a.expect(480)
            b1.silent(0.1)
        else:
            b1.reply(b1.expect(method), 200, tag="y")
            a.expect(200)
        b1.close()


def test_client_that_connects_again_and_again_does_not_fill_its_address(make):
    # S-OUT-05 S-REG-10: bindings go with their flows
    s = make(auth="", max_contacts=2)
    for _ in range(2):
        s.registered("tcp", "bob").close()
    b = s.ua("tcp", "bob")
    end = time.monotonic() + 20
    while True:
        try:
            m = b.register()
            break
        except AssertionError:
            assert time.monotonic() < end, "the bindings of ended flows stay"
            time.sleep(0.2)
    assert contacts(m) == [uri_of(b.contact)], m.raw


def test_flow_of_a_client_that_keeps_its_promise_stays_and_that_of_another_ends(make):
    # S-OUT-09
    s = make(auth="", flow_timer=1)
    b, c = s.ua("tcp", "bob"), s.ua("tcp", "carol")
    assert b.register(contact=b.contact + device(1, 1), headers=OUTBOUND).get("flow-timer") == "1"
    c.register()  # has promised nothing
    for _ in range(8):
        b.send(b"\r\n\r\n")
        assert b.s.read(4) == b"\r\n"
        time.sleep(0.3)
    assert b.s.is_closed(10)
    c.ask("OPTIONS", "sip:example.com", 200)


def test_flow_that_ends_while_its_registration_is_written(make):
    # S-OUT-05 S-OUT-09: there is no connection any more whose keep-alives could be waited for
    s = make(auth="")
    b, pid = s.ua("tcp", "bob"), s.sip_pid()
    with contextlib.closing(sqlite3.connect(s.database, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        b.send(b.request("REGISTER", "sip:example.com", to=b.aor, headers=OUTBOUND + ["Contact: " + b.contact + device(1, 1)]))
        until(lambda: json.loads(ctl(s, "rpc", "stats.get"))["sip_requests"])  # it has come to where it waits
        mark = s.mark()
        b.close()
        s.wait_for("closed", mark)
        db.execute("ROLLBACK")
    a = s.ua("udp", "alice")
    a.register(contact="", expires=None)
    until(lambda: s.rows("SELECT 1 FROM location"))
    a.ask("MESSAGE", "sip:bob@example.com", 480)
    assert s.sip_pid() == pid, "the SIP process was started again"


def test_path_is_kept_and_followed(make):
    # S-PATH-01 S-PATH-03 S-FWD-12 S-REG-14
    s = make(auth="")
    b, p = s.ua("udp", "bob"), s.ua("udp", "carol")
    path = "<sip:127.0.0.1:%d;lr>, <sip:192.0.2.9;lr>" % p.s.port
    m = b.register(contact="<sip:bob@192.0.2.1>", headers=["Path: " + path, "Supported: path"])
    assert ", ".join(m.all("path")) == path
    s.stop()
    s.start()
    a = s.ua("udp", "alice")
    a.send(a.request("MESSAGE", "sip:bob@example.com", headers=["Route: <sip:127.0.0.1:%d;lr>" % s.port]))
    got = p.expect("MESSAGE")
    assert got.uri == "sip:bob@192.0.2.1" and ", ".join(got.all("route")) == path, got.raw
    p.reply(got, 200)
    a.expect(200)


def test_connection_of_a_proxy_is_not_the_clients(make):
    # S-OUT-04 S-PATH-03: a binding through a proxy outlives the connection that its REGISTER came on
    s = make(auth="")
    p, edge = s.ua("tcp", "bob"), s.ua("udp", "carol")
    p.register(contact="<sip:bob@192.0.2.1>", headers=["Path: <sip:127.0.0.1:%d;lr>" % edge.s.port, "Supported: path"])
    assert s.rows("SELECT connection_id, received FROM location") == [(0, None)]
    p.close()
    a = s.ua("udp", "alice")
    a.send(a.request("MESSAGE", "sip:bob@example.com"))
    edge.reply(edge.expect("MESSAGE"), 200)
    a.expect(200)


def test_udp_client_whose_port_was_translated_is_reached_where_it_sends_from(make):
    # S-VIA-03: the same address, another port, and rport asked for
    s = make(auth="")
    b = s.ua("udp", "bob")
    b.contact = "<sip:bob@127.0.0.1:9>"
    b.via = lambda branch=None: "SIP/2.0/UDP 127.0.0.1:9;branch=%s;rport" % (branch or "z9hG4bK-%f" % time.monotonic())
    b.register()
    a = s.ua("udp", "alice")
    a.send(a.request("MESSAGE", "sip:bob@example.com"))
    b.reply(b.expect("MESSAGE"), 200)
    a.expect(200)


def test_stream_registrations_are_forgotten_with_the_server(make):
    # S-REG-12: what a killed server knew of streams cannot be mistaken for streams of the next one
    s = make(auth="")
    t, u = s.registered("tcp", "bob"), s.registered("udp", "bob")
    s.process.kill()
    s.process.wait()
    s.start()
    assert s.rows("SELECT contact FROM location") == [(uri_of(u.contact),)]
    assert t
