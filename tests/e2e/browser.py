"""A web page with SIP over a secure WebSocket (RFC 7118), as users have it: it is registered, called and written to by phones.

S-WS-01 S-WS-04 S-WS-06 S-WS-07 S-WS-09 S-OUT-05"""

import json
import os
import signal
import socket

import client
import daemon as daemon_mod
import sipua
import websocket
from world import SLOW, until

SITE = "https://app.example.com"
SDP = ["Content-Type: application/sdp"], b"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"


class Page(sipua.Socket):
    """A browser's end: it verifies the certificate, says what site the page is of, and offers to compress."""

    def __init__(self, d, site=SITE):
        sock = d.pki.client_context().wrap_socket(socket.create_connection(d.address, 5 * SLOW), server_hostname=client.DOMAIN)
        self.kind, self.sock, self.server = "wss", sock, d.address
        self.host, self.port = sock.getsockname()
        self.ws = websocket.WebSocket(sock, "sip", [
            "Origin: " + site, "Pragma: no-cache", "Cache-Control: no-cache", "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101",
            "Accept-Encoding: gzip, deflate, br", "Accept-Language: de,en;q=0.5", "Cookie: session=0123456789abcdef",
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits", "Sec-Fetch-Mode: websocket", "Sec-Fetch-Site: cross-site"])


def _user(d, name, kind, s=None):
    return sipua.UA(kind, d.port, name, client.DOMAIN, daemon_mod.USERS["%s@%s" % (name, client.DOMAIN)], s=s)


def test_page_is_registered_written_to_and_called(w):
    """a web page registers over wss; phones on UDP and TLS write to it and call it, and both sides hang up; it goes, and is gone"""
    d = w.daemon({"websocket.origins": SITE})
    assert Page(d, "https://evil.example").ws.status() == 403
    page = _user(d, "alice", "wss", Page(d))
    assert page.s.ws.status() == 101 and b"permessage-deflate" not in page.s.ws.answer
    page.register()
    rows = json.loads(d.ctl("--json", "registrations"))
    assert page.contact.strip("<>") in json.dumps(rows), rows
    for kind in ("udp", "tls"):
        phone = _user(d, "bob", kind)
        phone.send(phone.request("MESSAGE", page.aor, callid="text@" + kind, tag="m", body="hello"))
        auth = phone.credentials(phone.expect(407), "MESSAGE", page.aor)
        phone.send(phone.request("MESSAGE", page.aor, callid="text@" + kind, tag="m", cseq=2, headers=[auth], body="hello"))
        got = page.expect("MESSAGE")
        assert got.body == b"hello" and got.uri == page.contact.strip("<>") and page.s.ws.opcode == websocket.TEXT
        page.reply(got, 200)
        phone.expect(200)
        for who in ("phone", "page"):
            call = phone.invite(page.aor, headers=SDP[0], body=SDP[1], auth=True)
            got = page.expect("INVITE")
            assert got.body == SDP[1]
            page.reply(got, 180, tag="page")
            phone.expect(180)
            page.reply(got, 200, tag="page", headers=SDP[0], body=SDP[1])
            phone.ack(call, phone.expect(200))
            page.expect("ACK")
            if who == "phone":
                phone.in_dialog(call, "BYE")
            else:
                page.back(got, "BYE", "page")
            here, there = (phone, page) if who == "phone" else (page, phone)
            there.reply(there.expect("BYE"), 200)
            here.expect(200)
    answered = "SELECT count(*) FROM acc WHERE method = 'INVITE' AND sip_code = '200'"
    until(lambda: w.sql(d, answered) == ["4"], 5, "four calls in acc")
    assert w.sql(d, "SELECT count(*) FROM connection WHERE protocol = 'sip' AND transport = 'wss' AND closed IS NULL") == ["1"]
    page.s.close()
    until(lambda: w.sql(d, "SELECT count(*) FROM connection WHERE transport = 'wss' AND closed IS NULL") == ["0"], 5, "the page is gone")
    phone.send(phone.request("MESSAGE", page.aor, callid="late@test", tag="m"))
    auth = phone.credentials(phone.expect(407), "MESSAGE", page.aor)
    phone.send(phone.request("MESSAGE", page.aor, callid="late@test", tag="m", cseq=2, headers=[auth]))
    phone.expect(480)


def test_page_outlives_its_sip_process(w):
    """the SIP process is killed: the page's socket stays open, it is still registered and is called over the same one"""
    d = w.daemon()
    page, phone = _user(d, "alice", "wss", Page(d)), _user(d, "bob", "tls")
    page.register()
    d.sip_deaths += 1
    pid = d.sip_pid()
    os.kill(pid, signal.SIGKILL)
    until(lambda: d.sip_pid() not in (None, pid), 5, "another SIP process")
    phone.send(phone.request("OPTIONS", "sip:" + client.DOMAIN))
    phone.receive(5 * SLOW)
    phone.invite(page.aor, auth=True)
    page.reply(page.expect("INVITE"), 486, tag="busy")
    phone.expect(486)
