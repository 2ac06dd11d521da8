"""The registrar and digest authentication. RFC 3261 s.10, s.22; spec sections 9 and 10, 21.1, 21.13."""
import contextlib
import re
import select
import sqlite3
import time

from sipua import uri_of


def expires_of(contact):
    return int(re.search(r";expires=(\d+)", contact).group(1))


def test_register_is_challenged_and_accepted_with_sha256(make):
    # S-AUT-01 S-AUT-02 S-AUT-03 S-REG-02 S-REG-08, section 21.1
    s = make()
    a = s.ua("udp", "alice")
    a.send(a.request("REGISTER", "sip:example.com", to=a.aor, headers=["Contact: " + a.contact]))
    m = a.expect(401)
    challenges = m.all("www-authenticate")
    assert [re.search(r"algorithm=([\w-]+)", c).group(1) for c in challenges] == ["SHA-256", "MD5"], challenges
    assert all('qop="auth"' in c and 'realm="example.com"' in c for c in challenges)
    m = a.register(algorithm="SHA-256")
    assert uri_of(m.get("contact")) == uri_of(a.contact)
    assert 3590 <= expires_of(m.get("contact")) <= 3600
    assert re.match(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", m.get("date"))
    assert not m.get("record-route")


def test_register_with_md5_over_each_transport(make):
    # S-AUT-05
    s = make()
    for kind in ("udp", "tcp", "tls"):
        m = s.ua(kind, "bob").register(algorithm="MD5")
        assert m.get("contact")
    assert len(m.all("contact")) == 3


def test_username_may_have_its_domain(make):
    # S-REG-02 S-AUT-12: as with Kamailio's ha1b
    s = make()
    a, b = s.ua("tcp", "alice"), s.registered("udp", "bob")
    a.user = "alice@example.com"
    a.register(algorithm="MD5")
    uri, call = "sip:bob@example.com", {"callid": "whole@test", "tag": "1"}
    a.send(a.request("MESSAGE", uri, **call))
    auth = a.credentials(a.expect(407), "MESSAGE", uri, algorithm="MD5")
    a.send(a.request("MESSAGE", uri, cseq=2, headers=[auth], **call))
    b.reply(b.expect("MESSAGE"), 200)
    a.expect(200)
    a.user = "alice@example.net"
    a.register(algorithm="MD5", expect=401)


def test_wrong_password_and_unknown_user_look_the_same(make):
    # S-AUT-09 S-AUT-13
    s = make()
    a = s.ua("udp", "alice").register(password="wrong", expect=401)
    b = s.ua("udp", "nobody").register(expect=401)
    strip = lambda m: re.sub(r'nonce="[^"]*"', "", str(m.all("www-authenticate")))
    assert strip(a) == strip(b) and "stale=true" not in str(a.all("www-authenticate"))


def test_passwords_cannot_be_tried_out_down_a_connection(make):
    # S-AUT-09 S-SEC-04: 403 and the end of it after so many in a row; who knows his, or is a proxy, begins anew
    s = make(max_contacts="10\n[auth]\nmax_failures = 3")
    a, p = s.ua("tcp", "alice"), s.ua("tls", "alice")
    for _ in range(2):
        for _ in range(2):
            a.ask("REGISTER", "sip:example.com", 401, to=a.aor, headers=["Authorization: " + WRONG])
        a.register()
    for _ in range(2):
        a.ask("REGISTER", "sip:example.com", 401, to=a.aor, headers=["Authorization: " + WRONG])
    a.ask("REGISTER", "sip:example.com", 403, to=a.aor, headers=["Authorization: " + WRONG])
    assert a.s.is_closed()
    s.wait_for("authentication failed: status=401 source=127.0.0.1:%d user=alice method=REGISTER" % a.s.port)
    for n in range(4):
        p.send(p.request("REGISTER", "sip:example.com", to=p.aor, headers=["Authorization: " + WRONG],
                         via=p.via() + "\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK%d" % n))
        p.expect(401)
    p.register()


WRONG = 'Digest username="alice", realm="example.com", nonce="0", uri="sip:example.com", response="%s", algorithm=MD5' % ("0" * 32)


def test_replayed_credentials_are_stale(make):
    # S-AUT-08, section 21.13
    s = make()
    a = s.ua("udp", "alice")
    a.send(a.request("REGISTER", "sip:example.com", to=a.aor))
    auth = a.credentials(a.expect(401), "REGISTER", "sip:example.com")
    a.send(a.request("REGISTER", "sip:example.com", to=a.aor, cseq=2, headers=[auth]))
    a.expect(200)
    a.send(a.request("REGISTER", "sip:example.com", to=a.aor, cseq=3, headers=[auth]))
    assert "stale=true" in a.expect(401).get("www-authenticate")


def test_another_users_address_is_refused(make):
    # S-REG-02 S-REG-13
    s = make()
    a = s.ua("udp", "alice")
    a.send(a.request("REGISTER", "sip:example.com", to="sip:bob@example.com"))
    auth = a.credentials(a.expect(401), "REGISTER", "sip:example.com")
    a.send(a.request("REGISTER", "sip:example.com", to="sip:bob@example.com", cseq=2, headers=[auth, "Contact: " + a.contact]))
    a.expect(403)


def test_query_changes_nothing(make):
    # S-REG-04
    s = make(auth="")
    a = s.registered("udp", "alice")
    m = s.ua("udp", "alice").register(contact="", expires=None)
    assert [uri_of(c) for c in m.all("contact")] == [uri_of(a.contact)]


def test_expiry_rules(make):
    # S-REG-05
    s = make(auth="")
    a = s.ua("udp", "alice")
    m = a.register(expires=30, expect=423)
    assert m.get("min-expires") == "60"
    assert expires_of(a.register(expires=999999).get("contact")) <= 86400
    assert expires_of(a.register(expires=None).get("contact")) > 3590
    assert expires_of(a.register(expires=120, contact=a.contact + ";expires=300").get("contact")) > 290
    assert expires_of(a.register(contact=a.contact + ";expires=nonsense").get("contact")) > 3590
    m = a.register(expires=0)
    assert m.all("contact") == []


def test_no_registration_is_longer_than_was_asked_for(make):
    # S-REG-05: an hour cannot be refused for being too short, and yet is no more than that
    s = make(auth="", min_expires=7200, default_expires=7200)
    a = s.ua("udp", "alice")
    assert a.register(expires=3599, expect=423).get("min-expires") == "7200"
    assert expires_of(a.register(expires=3600).get("contact")) <= 3600
    assert expires_of(a.register(expires=7000).get("contact")) <= 7000


def test_date_in_expires_is_no_end_of_a_binding(make):
    # S-REG-04 S-REG-05: RFC 2543 had dates there; one says nothing, and least of all 0
    s = make(auth="")
    a, date = s.ua("udp", "alice"), ["Expires: Thu, 01 Dec 2044 16:00:00 GMT"]
    assert expires_of(a.register(expires=None, headers=date).get("contact")) > 3590
    a.register(expires=None, contact="*", headers=date, expect=400)
    assert len(a.register(expires=None, contact="").all("contact")) == 1


def test_a_binding_for_ever_stays(make):
    # S-REG-08: one that the operator has put into the table (expires of 1970, as Kamailio has it), beside those that come and go
    s = make(auth="")
    a = s.registered("udp", "alice")
    s.stop()
    with contextlib.closing(sqlite3.connect(s.database)) as db:
        db.execute("UPDATE location SET expires = '1970-01-01 00:00:00'")
        db.execute("UPDATE location SET contact = 'sip:desk@127.0.0.1:%d', callid = 'desk'" % a.s.port)
        db.commit()
    s.start()
    other = s.ua("udp", "alice")
    m = other.register()
    assert len(m.all("contact")) == 2 and expires_of(next(c for c in m.all("contact") if "desk" in c)) == 86400, m.raw
    other.register(expires=0)
    assert s.rows("SELECT count(*) FROM location") == [(1,)]
    b = s.ua("udp", "bob")
    b.send(b.request("MESSAGE", "sip:alice@example.com"))
    a.reply(a.expect("MESSAGE"), 200)
    b.expect(200)


def test_star_removes_all_and_only_with_expires_0(make):
    # S-REG-04
    s = make(auth="")
    a, b = s.registered("udp", "alice"), s.registered("tcp", "alice")
    a.register(contact="*", expires=3600, expect=400)
    a.register(contact="*", expires=None, expect=400)
    a.register(contact="*, " + a.contact, expires=0, expect=400)
    assert len(a.register(contact="", expires=None).all("contact")) == 2
    assert a.register(contact="*", expires=0).all("contact") == []
    assert s.rows("SELECT count(*) FROM location") == [(0,)]
    assert b


def test_old_cseq_fails_and_changes_nothing(make):
    # S-REG-06 S-REG-07
    s = make(auth="")
    a = s.ua("udp", "alice")
    a.register()
    a.cseq = 0
    other = "<sip:alice@127.0.0.1:1>"
    a.register(contact=other + ", " + a.contact, expect=500)
    a.cseq = 0
    a.register(contact="*", expires=0, expect=500)
    m = a.register(contact="", expires=None)
    assert [uri_of(c) for c in m.all("contact")] == [uri_of(a.contact)]
    a.registration = "other@test"
    a.cseq = 0
    a.register()


def test_contact_that_is_named_twice_is_one(make):
    # S-REG-06 S-REG-08: the last word counts
    s = make(auth="")
    a = s.ua("udp", "alice")
    m = a.register(contact="<sip:alice@192.0.2.1>;q=0.1, <sip:alice@192.0.2.2>, <sip:alice@192.0.2.1>;q=0.7")
    assert sorted(c.split(";expires")[0] for c in m.all("contact")) == ["<sip:alice@192.0.2.1>;q=0.700", "<sip:alice@192.0.2.2>"], m.raw


def test_second_contact_invalid_stores_none(make):
    # S-REG-07
    s = make(auth="")
    a = s.ua("udp", "alice")
    a.register(contact=a.contact + ", <mailto:alice@example.com>", expect=400)
    assert a.register(contact="", expires=None).all("contact") == []


def test_contact_limit(make):
    # S-REG-10
    s = make(auth="", max_contacts=2)
    for port in (1001, 1002):
        s.ua("udp", "alice").register(contact="<sip:alice@127.0.0.1:%d>" % port)
    s.ua("udp", "alice").register(contact="<sip:alice@127.0.0.1:1003>", expect=403)
    s.ua("udp", "alice").register(contact="<sip:alice@127.0.0.1:1002>")


def test_what_does_not_fit_into_the_table_is_refused_and_no_fault_of_ours(make):
    # S-REG-07
    s = make(auth="")
    a = s.ua("tcp", "alice")
    fits = "<sip:alice@192.0.2.1;x=%s>"
    a.register(contact=fits % ("y" * (2048 - len(fits % "") + 2)))
    mark = s.mark()
    m = a.register(contact=fits % ("y" * (2048 - len(fits % "") + 3)), expect=513)
    assert "Too Long" in m.start, m.raw
    a.register(contact=fits % "", headers=["Supported: path"] + ["Path: <sip:192.0.2.2;x=%s;lr>" % ("y" * 100)] * 20, expect=513)
    s.wait_for(r"denied: status=513 reason=\"Contact, Path Or Call-ID Too Long\"", mark)
    with open(s.log, "rb") as f:
        assert b"could not be stored" not in f.read()
    assert len(a.register(contact="", expires=None).all("contact")) == 1


def test_contact_may_not_be_the_server(make):
    # S-REG-10
    s = make(auth="")
    s.ua("udp", "alice").register(contact="<sip:alice@127.0.0.1:%d>" % s.port, expect=403)


def test_address_of_record_is_canonical(make):
    # S-REG-03 S-RT-06
    s = make(auth="")
    b = s.ua("udp", "bob")
    b.aor = "sip:%62ob@EXAMPLE.com;foo=1"
    b.register()
    a = s.ua("udp", "alice")
    a.send(a.request("MESSAGE", "sip:b%6fb@example.com;bar=2"))
    b.reply(b.expect("MESSAGE"), 200)
    a.expect(200)


def test_unknown_address_and_odd_requests_are_refused(make):
    # S-REG-01 S-REG-03 S-PATH-01
    s = make(auth="")
    a = s.ua("udp", "nobody")
    a.register(expect=404)
    a = s.ua("udp", "alice")
    a.send(a.request("REGISTER", "sip:example.com", to="tel:+1", headers=["Contact: " + a.contact]))
    a.expect(400)
    x = make(auth="register").ua("udp", "alice")  # nobody of another domain is asked for his password
    x.ask("REGISTER", "sip:example.com", 404, to="sip:alice@elsewhere.invalid")
    m = a.register(headers=["Require: bogus"], expect=420)
    assert m.get("unsupported") == "bogus"
    a.register(headers=["Path: <sip:p.example.org;lr>"], expect=420)
    m = a.register(headers=["Path: <sip:p1.example.org;lr>, <sip:p2.example.org;lr>", "Supported: path"])
    assert [uri_of(p) for p in m.all("path")] == ["sip:p1.example.org;lr", "sip:p2.example.org;lr"]


def test_path_that_the_client_does_not_know_of_is_accepted_if_configured(make):
    # S-PATH-01
    a = make(auth="", path_unasked="yes").ua("udp", "alice")
    assert uri_of(a.register(headers=["Path: <sip:p.example.org;lr>"]).get("path")) == "sip:p.example.org;lr"


def test_q_and_parameters_are_kept(make):
    # S-REG-08
    s = make(auth="")
    a = s.ua("udp", "alice")
    m = a.register(contact=a.contact + ';q=0.5;+sip.instance="<urn:uuid:1>";methods="INVITE"')
    c = m.get("contact")
    assert ";q=0.5" in c and '+sip.instance="<urn:uuid:1>"' in c and 'methods="INVITE"' in c, c


def test_binding_is_on_disk_when_the_200_comes_and_survives_a_restart(make):
    # S-REG-12
    s = make(auth="")
    b = s.ua("udp", "bob")
    b.register()
    rows = s.rows("SELECT username, domain, contact, connection_id FROM location")
    assert rows == [("bob", "example.com", uri_of(b.contact), 0)], rows
    s.stop()
    s.start()
    a = s.ua("udp", "alice")
    a.send(a.request("MESSAGE", "sip:bob@example.com"))
    b.reply(b.expect("MESSAGE"), 200)
    a.expect(200)


def test_stream_binding_is_useless_after_a_restart(make):
    # S-REG-12
    s = make(auth="")
    s.ua("tcp", "bob").register()
    s.stop()
    s.start()
    a = s.ua("udp", "alice")
    a.ask("MESSAGE", "sip:bob@example.com", 480)


def test_gruu_is_not_offered(make):
    # S-GRU-01: the instance is a parameter of the contact like any other, and none is handed out
    s = make(auth="")
    a = s.ua("udp", "alice")
    m = a.register(contact=a.contact + ';+sip.instance="<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"', headers=["Supported: gruu"])
    assert "f81d4fae-7dec-11d0-a765-00a0c91e6bf6" in m.get("contact") and b"gruu" not in m.raw, m.raw
    again = s.ua("udp", "alice")  # another address of the same instance: without reg-id that is another binding
    again.register(contact=again.contact + ';+sip.instance="<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"')
    assert len(s.rows("SELECT 1 FROM location")) == 2


def test_outbound_binding_is_replaced_by_instance(make):
    # S-OUT-01 S-OUT-03
    s = make(auth="")
    extra = ';+sip.instance="<urn:uuid:2>";reg-id=1'
    b1, b2 = s.ua("tcp", "bob"), s.ua("tcp", "bob")
    m = b1.register(contact=b1.contact + extra, headers=["Supported: path, outbound"])
    assert m.get("require") == "outbound"
    m = b2.register(contact=b2.contact + extra, headers=["Supported: path, outbound"])
    assert [uri_of(c) for c in m.all("contact")] == [uri_of(b2.contact)]


def test_q_is_a_number_between_0_and_1(make):
    # S-REG-08
    s = make(auth="")
    a = s.ua("udp", "alice")
    for q in ("nan", "inf", "1.1", "-1", "0.1234", "0x1", "1e-1", "0,5"):
        a.register(contact=a.contact + ";q=" + q, expect=400)
    for q, shown in (("0", "0"), ("1", "1"), ("1.000", "1"), ("0.", "0"), ("0.5", "0.500"), ("0.001", "0.001"), ("0.999", "0.999")):
        c = a.register(contact=a.contact + ";q=" + q).get("contact")
        assert ";q=%s;" % shown in c, (q, c)


def test_record_route_is_ignored_and_every_unsupported_name_is_told(make):
    # S-REG-01 S-REG-09
    s = make(auth="")
    a = s.ua("udp", "alice")
    m = a.register(headers=["Record-Route: <sip:192.0.2.1;lr>", "Record-Route: <sip:192.0.2.2;lr>"])
    assert not m.get("record-route")
    m = a.register(headers=["Require: one, path, two"], expect=420)
    assert m.get("unsupported").replace(" ", "") == "one,two", m.raw


def test_sips_contact_only_in_a_sips_registration(make):
    # S-REG-11
    s = make(auth="")
    a = s.ua("tls", "alice")
    contact = "Contact: <sips:alice@127.0.0.1:%d>" % a.s.port
    a.ask("REGISTER", "sip:example.com", 400, to=a.aor, headers=[contact])
    a.ask("REGISTER", "sips:example.com", 400, to=a.aor, headers=[contact, "Path: <sip:p.example.org;lr>", "Supported: path"])
    a.ask("REGISTER", "sips:example.com", 400, to=a.aor, headers=[contact, "Contact: " + a.contact])
    a.ask("REGISTER", "sips:example.com", 400, to=a.aor, headers=["Contact: " + a.contact, contact])
    assert a.register(contact="", expires=None).all("contact") == []
    a.ask("REGISTER", "sips:example.com", 200, to=a.aor, headers=[contact, "Path: <sips:p.example.org;lr>", "Supported: path"])


def test_what_was_answered_200_is_there_after_kill_9(make):
    # S-REG-12: registrations under way all the time, and the whole server killed in the middle of them
    s = make(auth="", max_contacts=1000)
    for round in range(3):
        acknowledged, sent = set(), 0
        agents = [s.ua("udp", user) for user in ("alice", "bob", "carol")]
        s.rows("DELETE FROM location")
        while len(acknowledged) < 40 + 37 * round:
            for a in agents:
                sent += 1
                uri = "sip:%s@192.0.2.1:%d" % (a.user, 1000 + sent)
                a.send(a.request("REGISTER", "sip:example.com", to=a.aor, callid=uri, headers=["Contact: <%s>;expires=3600" % uri, "Expires: 3600"]))
            for a in agents:
                while select.select([a.s.sock], [], [], 0.001)[0]:
                    m = a.receive()
                    if m.status == 200:
                        acknowledged.add(m.get("call-id"))
        s.process.kill()
        s.process.wait()
        s.start()
        there = {row[0] for row in s.rows("SELECT contact FROM location")}
        assert acknowledged <= there, sorted(acknowledged - there)[:5]


def test_a_denied_request_says_why_in_the_log(make):
    s = make(auth="")
    mark = s.mark()
    a = s.ua("udp", "alice")
    a.register(contact="<sip:alice@127.0.0.1:%d>" % s.port, expect=403)
    s.wait_for(r'denied: status=403 reason="Contact Is This Server" source=127.0.0.1:%d method=REGISTER' % a.s.port, mark)
    for _ in range(60):
        a.register(contact="<mailto:alice@example.com>", expect=400)
    time.sleep(1.1)
    a.register(contact="<mailto:alice@example.com>", expect=400)
    s.wait_for(r"more requests were denied", mark)
