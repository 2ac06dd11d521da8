"""A small SIP user agent over plain sockets, for tests: it sends exactly the bytes it is told to.

No transaction layer: a test says what is sent and what must come. Standard library only.
"""
import errno
import hashlib
import re
import select
import socket
import ssl
import time

from daemon import SLOW
from ports import free_port
import websocket

TIMEOUT = 4.0 * SLOW


class Timeout(Exception):
    pass


class Message:
    """One received message: start line, headers in order (long names, lower case), body bytes."""

    COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length",
               "c": "content-type", "k": "supported", "s": "subject", "e": "content-encoding"}

    def __init__(self, raw):
        self.raw = raw
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = re.sub(rb"\r\n[ \t]+", b" ", head).decode("latin-1").split("\r\n")
        self.start = lines[0]
        self.headers = []
        for line in lines[1:]:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            self.headers.append((self.COMPACT.get(name, name), value.strip()))
        self.status = int(self.start.split()[1]) if self.start.startswith("SIP/2.0 ") else 0
        self.method = "" if self.status else self.start.split()[0]
        self.uri = "" if self.status else self.start.split()[1]

    def all(self, name):
        """Values of a header; list headers are split at commas outside <> and quotes."""
        out = []
        for n, v in self.headers:
            if n != name:
                continue
            if name in ("via", "route", "record-route", "contact", "path"):
                out += split_list(v)
            else:
                out.append(v)
        return out

    def get(self, name, default=""):
        values = self.all(name)
        return values[0] if values else default

    def tag(self, name):
        m = re.search(r";tag=([^;\s]+)", self.get(name))
        return m.group(1) if m else ""


def split_list(value):
    out, depth, quoted, at = [], 0, False, 0
    for i, c in enumerate(value):
        if c == '"':
            quoted = not quoted
        elif not quoted and c == "<":
            depth += 1
        elif not quoted and c == ">":
            depth -= 1
        elif c == "," and not quoted and depth == 0:
            out.append(value[at:i].strip())
            at = i + 1
    return out + [value[at:].strip()]


def uri_of(header):
    m = re.search(r"<([^>]*)>", header)
    return m.group(1) if m else header.split(";")[0].strip()


_serial = [int(time.time() * 1000) % 1000000]


def serial():
    _serial[0] += 1
    return _serial[0]


class Socket:
    """udp, tcp, tls, ws or wss towards the server."""

    def __init__(self, kind, port, host="127.0.0.1", source=None, sock=None):
        self.kind, self.server = kind, (host, port)
        self.ws = None
        self.buffer = b""
        if kind == "udp":
            self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
            self.bind(source or host)
        else:
            self.sock = sock or socket.create_connection(self.server, TIMEOUT, source_address=source and (source, 0))
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if kind in ("tls", "wss"):
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                self.sock = context.wrap_socket(self.sock)
        name = self.sock.getsockname()
        self.host = "[%s]" % name[0] if ":" in name[0] else name[0]
        self.port = name[1]
        if kind in ("ws", "wss"):
            self.sock.settimeout(TIMEOUT)
            self.ws = websocket.WebSocket(self.sock)
            assert self.ws.status() == 101, self.ws.answer

    def bind(self, host):
        """To a port that TCP may listen on, too. Other suites draw ports at the same time."""
        for left in reversed(range(5)):
            try:
                self.sock.bind((host, free_port()))
                return
            except OSError as e:
                if e.errno != errno.EADDRINUSE or not left:
                    raise

    def send(self, data):
        if isinstance(data, str):
            data = data.encode("latin-1")
        if self.kind == "udp":
            self.sock.sendto(data, self.server)
        elif self.ws:
            self.ws.send(data)
        else:
            self.sock.sendall(data)

    def read(self, timeout):
        """Some bytes; b"" at the end of the stream; Timeout."""
        if not (self.kind == "tls" and self.sock.pending()):
            if not select.select([self.sock], [], [], max(0, timeout))[0]:
                raise Timeout()
        try:
            return self.sock.recv(65536)
        except TimeoutError: # TLS, and what came was no data
            raise Timeout() from None
        except (ConnectionResetError, ssl.SSLError):
            return b""

    def receive(self, timeout=TIMEOUT):
        """The next message, or None at the end of the stream. CRLFs between messages are skipped."""
        end = time.monotonic() + timeout
        while self.ws:
            self.sock.settimeout(max(0.001, end - time.monotonic()))
            try:
                data = self.ws.receive()
            except TimeoutError:
                raise Timeout() from None
            except (websocket.Closed, ConnectionResetError):
                return None
            if data.strip():
                return Message(data)
        while True:
            if self.kind == "udp":
                data = self.read(end - time.monotonic())
                if data.strip():
                    return Message(data)
                continue
            self.buffer = self.buffer.lstrip(b"\r\n")
            head, gap, _ = self.buffer.partition(b"\r\n\r\n")
            if gap:
                m = re.search(rb"(?im)^(?:content-length|l)\s*:\s*(\d+)", head)
                size = len(head) + 4 + (int(m.group(1)) if m else 0)
                if len(self.buffer) >= size:
                    raw, self.buffer = self.buffer[:size], self.buffer[size:]
                    return Message(raw)
            data = self.read(end - time.monotonic())
            if not data:
                return None
            self.buffer += data

    def is_closed(self, timeout=TIMEOUT):
        """Does the server end the stream? What comes before that is thrown away."""
        end = time.monotonic() + timeout
        try:
            while self.read(end - time.monotonic()):
                pass
            return True
        except Timeout:
            return False

    def close(self):
        self.sock.close()


class UA:
    """One user on one socket."""

    def __init__(self, kind, port, user="alice", domain="example.com", password="secret", host="127.0.0.1", s=None):
        self.s = s or Socket(kind, port, host)
        self.kind, self.user, self.domain, self.password = kind, user, domain, password
        self.aor = "sip:%s@%s" % (user, domain)
        transport = {"udp": "", "tcp": ";transport=tcp", "tls": ";transport=tls", "ws": ";transport=ws", "wss": ";transport=ws"}[kind]
        self.sent_by = "%s:%d" % (self.s.host, self.s.port)
        if self.s.ws: # a browser knows no address of its own
            self.sent_by = "r%d.invalid" % serial()
        self.contact = "<sip:%s@%s%s>" % (user, self.sent_by, transport)
        self.registration = "reg-%d@test" % serial()
        self.cseq = 0
        self.nc = {}
        self.seen = set() # UDP: what has come

    def via(self, branch=None):
        rport = "" if self.s.ws else ";rport"
        return "SIP/2.0/%s %s;branch=%s%s" % (self.kind.upper(), self.sent_by, branch or "z9hG4bK-%d" % serial(), rport)

    def request(self, method, uri, to=None, from_=None, callid=None, cseq=1, tag=None, to_tag=None, headers=(), body=b"",
                branch=None, via=None, max_forwards=70, length=True):
        """The bytes of a request; nothing is sent."""
        lines = ["%s %s SIP/2.0" % (method, uri), "Via: " + (via or self.via(branch))]
        if max_forwards is not None:
            lines.append("Max-Forwards: %d" % max_forwards)
        lines += ["From: <%s>;tag=%s" % (from_ or self.aor, tag or "t%d" % serial()),
                  "To: <%s>%s" % (to or uri, ";tag=" + to_tag if to_tag else ""),
                  "Call-ID: %s" % (callid or "c%d@test" % serial()), "CSeq: %d %s" % (cseq, method)]
        lines += list(headers)
        if isinstance(body, str):
            body = body.encode()
        if length:
            lines.append("Content-Length: %d" % len(body))
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body

    def send(self, data):
        self.s.send(data)

    def receive(self, timeout=TIMEOUT):
        """The next message, be it new or sent again."""
        m = self.s.receive(timeout)
        if m and self.kind == "udp":
            self.seen.add(m.raw)
        return m

    def receive_new(self, timeout=TIMEOUT):
        """The next message that is no retransmission: after 500 ms (T1) without an answer, which a busy machine may need, it is sent again."""
        end = time.monotonic() + timeout
        while True:
            seen = len(self.seen)
            m = self.receive(end - time.monotonic())
            if m is None or self.kind != "udp" or len(self.seen) > seen:
                return m

    def expect(self, what, timeout=TIMEOUT, again=False):
        """The next message that is not a 100, and is new or may be one that came before; it must be this status or method."""
        receive, end = self.receive if again else self.receive_new, time.monotonic() + timeout
        while True:
            m = receive(end - time.monotonic())
            if m is None:
                raise AssertionError("stream closed, expected %s" % what)
            if m.status == 100 and what != 100:
                continue
            assert what in (m.status, m.method), "expected %s, got %s" % (what, m.raw.decode("latin-1"))
            return m

    def silent(self, timeout=0.4):
        try:
            m = self.receive(timeout)
        except Timeout:
            return True
        raise AssertionError("unexpected: %s" % (m and m.raw))

    def reply(self, request, status, reason="Whatever", tag=None, headers=(), body=b"", contact=True):
        """Send a response to a received request. Returns the bytes."""
        lines = ["SIP/2.0 %d %s" % (status, reason)]
        for n, v in request.headers:
            if n in ("via", "record-route", "from", "call-id", "cseq"):
                lines.append("%s: %s" % (n, v))
            elif n == "to":
                lines.append("To: %s%s" % (v, ";tag=%s" % tag if tag and ";tag=" not in v else ""))
        if contact and 100 < status < 300:
            lines.append("Contact: " + self.contact)
        lines += list(headers)
        lines.append("Content-Length: %d" % len(body))
        raw = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
        self.send(raw)
        return raw

    # -- digest

    def credentials(self, challenge, method, uri, password=None, algorithm=None, user=None, nc=None):
        """An Authorization value for one of the challenges of a 401 or 407."""
        name = "www-authenticate" if challenge.status == 401 else "proxy-authenticate"
        for value in challenge.all(name):
            fields = dict(re.findall(r'(\w+)="?([^",]*)"?', value[7:]))
            alg = fields.get("algorithm", "MD5")
            if algorithm in (None, alg):
                break
        h = (lambda s: hashlib.sha256(s.encode()).hexdigest()) if alg == "SHA-256" else (lambda s: hashlib.md5(s.encode()).hexdigest())
        user = user or self.user
        count = nc or self.nc.get(fields["nonce"], 0) + 1
        self.nc[fields["nonce"]] = count
        ha1 = h("%s:%s:%s" % (user, fields["realm"], password or self.password))
        ha2 = h("%s:%s" % (method, uri))
        response = h("%s:%s:%08x:cn:auth:%s" % (ha1, fields["nonce"], count, ha2))
        value = ('Digest username="%s", realm="%s", nonce="%s", uri="%s", response="%s", algorithm=%s, cnonce="cn", qop=auth, nc=%08x'
                 % (user, fields["realm"], fields["nonce"], uri, response, alg, count))
        if "opaque" in fields:
            value += ', opaque="%s"' % fields["opaque"]
        return ("Authorization: " if challenge.status == 401 else "Proxy-Authorization: ") + value

    def register(self, expires=3600, contact=None, expect=200, headers=(), algorithm=None, password=None):
        """REGISTER, answering a challenge. Returns the last response."""
        uri = "sip:" + self.domain
        contacts = [] if contact == "" else ["Contact: " + (contact or self.contact)]
        extra = contacts + (["Expires: %d" % expires] if expires is not None else []) + list(headers)
        auth = []
        for _ in range(2):
            self.cseq += 1
            self.send(self.request("REGISTER", uri, to=self.aor, callid=self.registration, cseq=self.cseq, headers=auth + extra))
            m = self.receive_new()
            assert m, "stream closed"
            if m.status != 401 or auth:
                break
            auth = [self.credentials(m, "REGISTER", uri, algorithm=algorithm, password=password)]
        assert m.status == expect, m.raw.decode("latin-1")
        return m

    def ask(self, method, uri, expect, headers=(), body=b"", **more):
        """Send a request (not INVITE), answering a challenge; the final response."""
        callid, tag = "c%d@test" % serial(), "t%d" % serial()
        auth, cseq = [], 1
        while True:
            self.send(self.request(method, uri, callid=callid, cseq=cseq, tag=tag, headers=list(headers) + auth, body=body, **more))
            m = self.receive_new()
            while m and 100 <= m.status < 200:
                m = self.receive_new()
            assert m, "stream closed"
            if m.status not in (401, 407) or auth or expect == m.status:
                break
            auth, cseq = [self.credentials(m, method, uri)], cseq + 1
        assert m.status == expect, m.raw.decode("latin-1")
        return m

    # -- calls

    def invite(self, uri, body=b"", headers=(), auth=False):
        """Send an INVITE and answer the challenge. The call: a dict with what later requests need."""
        call = {"callid": "c%d@test" % serial(), "tag": "t%d" % serial(), "uri": uri, "cseq": 1}
        extra = ["Contact: " + self.contact] + list(headers)
        call["branch"] = "z9hG4bK-%d" % serial()
        self.send(self.request("INVITE", uri, callid=call["callid"], tag=call["tag"], cseq=1, headers=extra, body=body, branch=call["branch"]))
        if not auth:
            return call
        m = self.expect(407)
        self.ack(call, m)
        call["cseq"] = 2
        call["branch"] = "z9hG4bK-%d" % serial()
        call["auth"] = self.credentials(m, "INVITE", uri)
        self.send(self.request("INVITE", uri, callid=call["callid"], tag=call["tag"], cseq=2, headers=[call["auth"]] + extra, body=body,
                               branch=call["branch"]))
        return call

    def ack(self, call, response):
        """ACK of a final response to INVITE: of 2xx along the route set, of others hop by hop."""
        if 200 <= response.status < 300:
            call["to_tag"] = response.tag("to")
            call["target"] = uri_of(response.get("contact"))
            call["route"] = ["Route: " + r for r in reversed(response.all("record-route"))]
            self.send(self.request("ACK", call["target"], to=call["uri"], callid=call["callid"], tag=call["tag"], to_tag=call["to_tag"],
                                   cseq=call["cseq"], headers=call["route"]))
        else:
            self.send(self.request("ACK", call["uri"], callid=call["callid"], tag=call["tag"], to_tag=response.tag("to"), cseq=call["cseq"],
                                   branch=call["branch"]))

    def in_dialog(self, call, method, **more):
        """A request of the caller inside the dialog."""
        call["cseq"] += 1
        self.send(self.request(method, call["target"], to=call["uri"], callid=call["callid"], tag=call["tag"], to_tag=call["to_tag"],
                               cseq=call["cseq"], headers=call["route"] + list(more.pop("headers", ())), **more))

    def back(self, invite, method, tag, cseq=1, **more):
        """A request of the callee inside the dialog that this INVITE made."""
        route = ["Route: " + r for r in invite.all("record-route")]
        self.send(self.request(method, uri_of(invite.get("contact")), from_=uri_of(invite.get("to")), to=uri_of(invite.get("from")),
                               callid=invite.get("call-id"), tag=tag, to_tag=invite.tag("from"), cseq=cseq, headers=route, **more))

    def cancel(self, call):
        self.send(self.request("CANCEL", call["uri"], callid=call["callid"], tag=call["tag"], cseq=call["cseq"], branch=call["branch"]))

    def close(self):
        self.s.close()
