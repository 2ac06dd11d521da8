"""Hard and broken messages, over UDP, TCP and TLS: torture.py has them, this file sends them. Spec sections 18 and 19."""
import contextlib
import hashlib
import re
import sqlite3

from daemon import SLOW
from sipua import TIMEOUT, Timeout, serial
from torture import RFC4475, RFC5118

KINDS = ("udp", "tcp", "tls")


def add_user(s, user, domain):
    with contextlib.closing(sqlite3.connect(s.database, timeout=5 * SLOW)) as db:
        db.execute("INSERT INTO subscriber (username, domain, ha1) VALUES (?, ?, ?)", (user, domain, hashlib.md5(b"-").hexdigest()))
        db.commit()


def world(make):
    """The server, and bob, who is also the users with the odd names."""
    s = make(auth="", address="127.0.0.1:%d")
    for user, domain in (("sips:user@example.com", "example.net"), ("null-%00-null", "example.com"), ("user;par=u@example.net", "example.com")):
        add_user(s, user, domain)
    b = s.registered("udp", "bob")
    for aor in ("sip:sips%3Auser%40example.com@example.net", "sip:user;par=u%40example.net@example.com"):
        b.send(b.request("REGISTER", "sip:" + aor.rpartition("@")[2], to=aor, headers=["Contact: " + b.contact, "Expires: 600"]))
        b.expect(200)
    return s, b


def final(a, timeout=TIMEOUT):
    m = a.receive_new(timeout)
    while m is not None and m.status and m.status < 200:
        m = a.receive_new(timeout)
    return m


def is_well(s):
    s.ua("udp", "alice").ask("OPTIONS", "sip:example.com", 200)


def forwarded(case, a, b, data):
    got = b.receive_new()
    method = data.split(None, 1)[0].decode()
    assert got.method == method, got.raw
    assert len(got.all("via")) == len(re.findall(rb"SIP\s*/\s*2\.0\s*/", data.split(b"\r\n\r\n")[0])) + 1, got.raw
    text = got.raw.decode("latin-1")
    at = -1
    for part in case.keep:
        assert part in text, (part, text)
    for part in [p for p in case.keep if ".example.com" in p]: # those of Via keep their order: S-MSG-09
        assert text.index(part) > at, text
        at = text.index(part)
    if case.body:
        assert got.body == case.body
    b.reply(got, 200, tag="torture")
    assert final(a).status == 200


def one(s, b, kind, case):
    if kind != "udp" and case.on_stream == "skip":
        return
    a = s.ua(kind, "alice")
    data = case.data(a, "%s-%d" % (kind, serial()))
    expect = case.expect if kind == "udp" else case.on_stream
    a.send(data)
    if expect == "forward":
        forwarded(case, a, b, data)
        return
    if expect == "wait":
        a.silent()
        return
    m = final(a)
    assert m is not None and m.status == int(str(expect).split()[0]), m and m.raw
    for part in case.keep:
        assert part in m.raw.decode("latin-1"), (part, m.raw)
    for part in case.lose:
        assert part not in m.raw.decode("latin-1"), (part, m.raw)
    assert "sip:a@" not in m.get("to")
    if str(expect).endswith("close"):
        assert a.s.is_closed()
    elif kind != "udp" and not case.body: # what is framed costs nobody the stream
        a.ask("OPTIONS", "sip:example.com", 200)


def run(make, cases):
    s, b = world(make)
    pid, faults = s.sip_pid(), []
    for case in cases:
        for kind in KINDS:
            try:
                one(s, b, kind, case)
            except (AssertionError, Timeout, OSError) as e:
                faults.append("%s over %s: %s %s" % (case.name, kind, type(e).__name__, e))
            with contextlib.suppress(Timeout):
                while True: # what a failure left behind is not the next one's
                    b.receive(0.01)
    assert not faults, "\n".join(faults)
    assert s.sip_pid() == pid, "the SIP process was replaced"
    is_well(s)


def test_messages_of_rfc_4475(make):
    # S-MSG-01 S-MSG-02 S-MSG-05 S-MSG-07 S-MSG-08 S-MSG-09 S-MSG-10 S-MSG-11 S-MSG-12 S-REG-03 S-VAL-02 S-VAL-03 S-VAL-06 S-TXN-01
    run(make, RFC4475)


def test_messages_of_rfc_5118(make):
    # S-VIA-10
    run(make, RFC5118)


def answered_with(make, raw):
    """alice asks bob, whose answer is made by raw(request) first, and then given properly: what alice gets."""
    s, b = world(make)
    pid, out = s.sip_pid(), []
    for kind in KINDS:
        for bk in KINDS:
            a, bb = s.ua(kind, "alice"), s.ua(bk, "carol")
            bb.register()
            a.send(a.request("OPTIONS", "sip:carol@example.com"))
            got = bb.expect("OPTIONS")
            bb.send(raw(got))
            try:
                out.append(final(a, 0.2))
            except Timeout:
                out.append(None)
                bb.reply(got, 200, tag="good")
                assert final(a).tag("to") == "good"
            with contextlib.suppress(Timeout):
                while bb.receive(0.05): # the request again
                    pass
            bb.register(expires=0)
            bb.close()
    assert s.sip_pid() == pid
    is_well(s)
    return out


def response(request, start, **change):
    lines = [start]
    for n, v in request.headers:
        if n in ("via", "from", "call-id", "cseq", "to"):
            lines.append("%s: %s" % (n, change.get(n.replace("-", "_"), v + (";tag=x" if n == "to" else ""))))
    return "\r\n".join(lines + ["Content-Length: 0"]).encode("utf-8") + b"\r\n\r\n"


def test_reason_phrases(make):
    # S-MSG-14; RFC 4475 unreason and noreason
    text = "SIP/2.0 200 = 2**3 * 5**2 \u043d\u043e \u0441\u0442\u043e \u0434\u0435\u0432\u044f\u043d\u043e\u0441\u0442\u043e"
    for m in answered_with(make, lambda r: response(r, text)):
        assert m and text.encode("utf-8") in m.raw, m and m.raw
    for m in answered_with(make, lambda r: response(r, "SIP/2.0 200 ")):
        assert m and m.status == 200


def test_responses_that_are_dropped(make):
    # S-MSG-14 S-VIA-07 S-VIA-09; RFC 4475 bigcode, scalarlg
    for raw in (lambda r: response(r, "SIP/2.0 4294967301 better not break the receiver"), lambda r: response(r, "SIP/2.0 700 x"),
                lambda r: response(r, "SIP/2.0 99 x"), lambda r: response(r, "SIP/2.0 200 x", cseq="9292394834772304023312 OPTIONS")):
        assert set(answered_with(make, raw)) == {None}


def test_response_without_the_callers_via_goes_nowhere(make):
    # S-RSP-01: it ends its branch at most, and not the call of the other device
    s = make(auth="")
    b1, b2, a = s.registered("udp", "bob"), s.registered("tcp", "bob"), s.ua("udp", "alice")
    for status, method in ((180, "INVITE"), (200, "INVITE"), (486, "INVITE"), (200, "MESSAGE")):
        a.send(a.request(method, "sip:bob@example.com", headers=["Contact: " + a.contact]))
        got, other = b1.expect(method), b2.expect(method)
        ours = got.all("via")[:1]
        got.headers = [("via", ours[0])] + [h for h in got.headers if h[0] != "via"]
        b1.reply(got, status, tag="odd")
        b2.reply(other, 200, tag="good")
        assert a.expect(200).tag("to") == "good"
        a.silent(0.1)
        if status != 200 and method == "INVITE":
            b1.expect("CANCEL" if status == 180 else "ACK")


def test_response_towards_a_broadcast_address_is_dropped(make):
    # S-VIA-09 S-TXN-06; RFC 4475 bcast: a response of no transaction, with the second Via saying where
    s, b = world(make)
    for host in ("255.255.255.255", "224.0.0.1", "0.0.0.0"):
        b.send("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK2\r\nCall-ID: b\r\nCSeq: 1 INVITE\r\n"
               "From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nContent-Length: 0\r\n\r\n" % (s.port, host))
    b.silent()
    is_well(s)


def test_unknown_scheme_of_credentials(make):
    # S-AUT-04; RFC 4475 regaut01
    s = make()
    for kind in KINDS:
        a = s.ua(kind, "alice")
        a.send(a.request("REGISTER", "sip:example.com", to=a.aor, headers=["Contact: " + a.contact, "Authorization: NoOneKnowsThisScheme opaque-data=here"]))
        assert a.expect(401).get("www-authenticate").startswith("Digest ")
