"""The edge of another registrar: REGISTERs that pass through, Path with flow tokens, and the way back. RFC 5626 s.5, RFC 3327 s.5.2.
The other registrar, and its proxy, are played by the test."""
import os
import re
import signal

from sipua import uri_of

HOME = "127.0.0.1"  # its name is an address, so that nobody needs a name server
OUTBOUND = ["Supported: path, outbound"]


def edge(make, **options):
    s = make(auth="register request", edge_for=HOME, **options)
    return s, s.ua("udp", "home", domain=HOME)


def register(s, home, client, headers=OUTBOUND):
    """What the registrar gets of a client's REGISTER; it accepts."""
    uri = "sip:%s:%d" % (HOME, home.s.port)
    client.send(client.request("REGISTER", uri, to="sip:%s@%s" % (client.user, HOME), from_="sip:%s@%s" % (client.user, HOME),
                               headers=["Contact: %s;+sip.instance=\"<urn:uuid:1>\";reg-id=1" % client.contact] + list(headers)))
    got = home.expect("REGISTER")
    home.reply(got, 200, headers=["Path: " + p for p in got.all("path")])
    m = client.expect(200)
    assert m.all("path") == got.all("path")
    return got


def call(home, client, path, **more):
    """The registrar's proxy calls the client by the Path it has."""
    home.send(home.request("INVITE", client.contact.strip("<>"), headers=["Route: " + path, "Contact: " + home.contact], **more))


def test_register_passes_with_path_and_calls_come_back_down_the_flow(make):
    # S-OUT-07 S-PATH-02 S-OUT-08
    s, home = edge(make)
    client = s.ua("tcp", "dave", domain=HOME)
    client.contact = "<sip:dave@nowhere.invalid;transport=tcp>"
    got = register(s, home, client, headers=OUTBOUND + ["Path: <sip:inner.invalid;lr>"])
    path = got.all("path")
    assert len(path) == 2 and path[1] == "<sip:inner.invalid;lr>" and ";lr;ob;td=" in path[0], got.raw
    assert got.all("record-route") == [] and len(got.all("via")) == 2
    call(home, client, path[0])
    invite = client.expect("INVITE")
    assert invite.all("route") == [] and len(invite.all("record-route")) == 2, invite.raw
    client.reply(invite, 200, tag="x")
    ok = home.expect(200)
    route = ["Route: " + r for r in reversed(ok.all("record-route"))]
    for method in ("ACK", "BYE"):  # in the dialog, too, its own flow
        home.send(home.request(method, uri_of(ok.get("contact")), callid=ok.get("call-id"), tag=ok.tag("from"), to_tag="x", cseq=2, headers=route))
        m = client.expect(method)
    client.reply(m, 200)
    home.expect(200)


def test_path_is_for_clients_that_need_it_and_support_it(make):
    # S-PATH-02: 421 without Supported: path
    s, home = edge(make)
    uri = "sip:%s:%d" % (HOME, home.s.port)
    client = s.ua("tcp", "dave", domain=HOME)
    m = client.ask("REGISTER", uri, 421, headers=["Contact: " + client.contact])
    assert m.get("require") == "path", m.raw
    assert ";ob" not in register(s, home, client, headers=["Supported: path"]).get("path")
    plain = s.ua("udp", "dave", domain=HOME)
    assert register(s, home, plain, headers=[]).all("path") == []  # is where it says
    nat = s.ua("udp", "dave", domain=HOME)
    nat.contact = "<sip:dave@192.0.2.7>"
    nat.via = lambda branch=None: "SIP/2.0/UDP 192.0.2.7:5060;branch=%s;rport" % (branch or "z9hG4bK-%d" % os.getpid())
    got = register(s, home, nat, headers=["Supported: path"])
    call(home, nat, got.get("path"))
    nat.reply(nat.expect("INVITE"), 486, tag="x")
    home.expect(486)


def test_flow_token_that_was_changed_is_403_and_that_of_a_flow_that_is_gone_430(make):
    # S-OUT-07 S-SEC-06
    s, home = edge(make)
    client, other = s.ua("tcp", "dave", domain=HOME), s.ua("tcp", "erin", domain=HOME)
    path = register(s, home, client).get("path")
    second = register(s, home, other).get("path")
    number, other_number = (re.search(r"td=f([0-9a-f]+)-", p).group(1) for p in (path, second))
    for bad in (path.replace("td=f%s-" % number, "td=f%s-" % other_number), path[:-2] + ("0>" if path[-2] != "0" else "1>"),
                re.sub(";td=[^>]*", "", path), re.sub(r"td=[^>]*", "td=p", path)):
        call(home, client, bad)
        home.expect(403)
    s.wait_for('reason="Flow Token Is Not Ours"')
    client.silent(0.1)
    other.silent(0.1)
    mark = s.mark()
    client.close()
    s.wait_for("closed", mark)
    call(home, client, path)
    assert home.expect(430).start == "SIP/2.0 430 Flow Failed"
    third = s.ua("tcp", "frank", domain=HOME)
    call(home, third, register(s, home, third).get("path"))
    third.expect("INVITE")
    third.close()  # without a word about it
    home.expect(430)
    s.stop()  # the token of an earlier run is good, and its flow gone
    s.start()
    again = s.ua("tcp", "eve", domain=HOME)
    call(home, other, second)
    home.expect(430)
    again.silent(0.1)


def test_client_with_its_own_token_on_top_sends_outwards_and_nowhere_else(make):
    # S-OUT-07 S-RT-11: RFC 5626 s.5.3, and no open relay
    s, home = edge(make)
    client = s.ua("tcp", "dave", domain=HOME)
    path = register(s, home, client).get("path")
    client.send(client.request("MESSAGE", "sip:frank@%s:%d" % (HOME, home.s.port), headers=["Route: " + path]))
    home.reply(home.expect("MESSAGE"), 200)
    client.expect(200)
    client.ask("MESSAGE", "sip:frank@elsewhere.invalid", 403, headers=["Route: " + path])
    client.ask("MESSAGE", "sip:frank@%s:%d" % (HOME, home.s.port), 403, headers=["Route: " + path, "Route: <sip:elsewhere.invalid;lr>"])


def test_without_edge_for_nothing_passes(make):
    # S-VAL-09; and a reload puts it in force
    s = make()
    home = s.ua("udp", "home", domain=HOME)
    client = s.ua("tcp", "dave", domain=HOME)
    client.ask("REGISTER", "sip:%s:%d" % (HOME, home.s.port), 403, headers=OUTBOUND + ["Contact: " + client.contact])
    s.wait_for('denied: status=403 reason="Relaying Denied"')
    with open(s.conf, "a") as f:
        f.write("edge_for = %s\n" % HOME)
    mark = s.mark()
    s.process.send_signal(signal.SIGHUP)
    s.wait_for("the SIP process has the new configuration", mark)
    register(s, home, client)
