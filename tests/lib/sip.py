"""As much of a SIP user agent as the end-to-end tests need: requests over UDP, TCP or TLS, and digest."""

import itertools
import re
import socket
import time

import daemon as daemon_mod
import msrp

SLOW = daemon_mod.SLOW
DOMAIN = "edge.tandem.example"
_serial = itertools.count(1)


class Response:
    def __init__(self, head, body):
        lines = head.decode("utf-8", "replace").split("\r\n")
        self.first = lines[0]
        words = self.first.split(" ", 2)
        self.code = int(words[1]) if words[0] == "SIP/2.0" else 0
        self.headers = [(n.strip().lower(), v.strip()) for n, _, v in (l.partition(":") for l in lines[1:])]
        self.body = body

    def all(self, *names):
        return [v for n, v in self.headers if n in names]


class Sip:
    def __init__(self, server, transport="tcp", timeout=5.0):
        self.transport, self.timeout = transport, timeout * SLOW
        self.buf = b""
        if transport == "udp":
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.sock.bind(("127.0.0.1", 0))
        else:
            self.sock = socket.socket()
        self.sock.settimeout(self.timeout)
        self.sock.connect(server.address)
        if transport == "tls":
            self.sock = server.pki.client_context().wrap_socket(self.sock, server_hostname=DOMAIN)
        self.local = "%s:%d" % self.sock.getsockname()[:2]
        self.call_id = "call-%d-%d" % (self.sock.getsockname()[1], next(_serial))
        self.tag = "tag%d" % next(_serial)
        self.cseq = 0

    def close(self):
        self.sock.close()

    def _read(self, end):
        while True:
            head, blank, rest = self.buf.lstrip(b"\r\n").partition(b"\r\n\r\n")
            if blank:
                m = re.search(rb"(?im)^(?:content-length|l)\s*:\s*(\d+)", head)
                n = int(m.group(1)) if m else 0
                if len(rest) >= n:
                    self.buf = rest[n:]
                    return Response(head, rest[:n])
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError("no answer to SIP")
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(65535)
            except socket.timeout:
                raise TimeoutError("no answer to SIP") from None
            if not data:
                raise ConnectionError("the SIP connection was closed")
            self.buf += data

    def request(self, method, uri, user="x", to=None, extra=(), timeout=None):
        """Send it and return the final response (provisional ones are skipped). UDP: repeated every 500 ms."""
        self.cseq += 1
        branch = "z9hG4bK%d%d" % (next(_serial), self.cseq)
        me = "<sip:%s@%s>" % (user, DOMAIN)
        lines = ["%s %s SIP/2.0" % (method, uri),
                 "Via: SIP/2.0/%s %s;branch=%s;rport" % (self.transport.upper(), self.local, branch),
                 "Max-Forwards: 70", "From: %s;tag=%s" % (me, self.tag), "To: %s" % (to or "<%s>" % uri),
                 "Call-ID: " + self.call_id, "CSeq: %d %s" % (self.cseq, method)]
        lines += ["%s: %s" % h for h in extra] + ["Content-Length: 0", "", ""]
        data = "\r\n".join(lines).encode()
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        self.sock.sendall(data)
        again = time.monotonic() + 0.5
        while True:
            try:
                r = self._read(min(end, again) if self.transport == "udp" else end)
            except (TimeoutError, ConnectionRefusedError):
                if self.transport != "udp" or time.monotonic() >= end:
                    raise TimeoutError("no answer to %s" % method) from None
                self.sock.sendall(data)
                again = time.monotonic() + 0.5
                continue
            if r.code >= 200 and ("%d %s" % (self.cseq, method)) in r.all("cseq"):
                return r

    def register(self, user, contact=None, expires=3600, algorithm="MD5", password=None):
        """REGISTER with credentials; contact None only asks. Returns the response."""
        uri, to = "sip:" + DOMAIN, "<sip:%s@%s>" % (user, DOMAIN)
        extra = [("Contact", "<%s>" % contact), ("Expires", str(expires))] if contact else []
        r = self.request("REGISTER", uri, user, to, extra)
        if r.code != 401:
            return r
        c = msrp.challenge(r.all("www-authenticate"), algorithm)
        password = password or daemon_mod.USERS["%s@%s" % (user, DOMAIN)]
        a2 = "REGISTER:" + uri
        response = msrp.digest(algorithm, user, c["realm"], password, a2, c["nonce"], "00000001", "77abc")
        value = ('Digest username="%s", realm="%s", nonce="%s", uri="%s", qop=auth, nc=00000001, cnonce="77abc", '
                 'response="%s", algorithm=%s' % (user, c["realm"], c["nonce"], uri, response, algorithm))
        if "opaque" in c:
            value += ', opaque="%s"' % c["opaque"]
        return self.request("REGISTER", uri, user, to, extra + [("Authorization", value)])
