"""A blocking MSRP client of the relay, for tests that care about volume and time rather than about single octets."""

import itertools
import re
import select
import socket
import ssl
import time

import daemon as daemon_mod
import msrp
import websocket

SLOW = daemon_mod.SLOW
DOMAIN = "edge.tandem.example"
_serial = itertools.count(1)


class Gone(Exception):
    """The relay ended the connection."""


class Client:
    """One authenticated connection (or a stranger's, before auth())."""

    def __init__(self, server, tls=False, rcvbuf=0, sndbuf=0, timeout=10.0, context=None, address=None):
        self.server, self.tls = server, tls
        self.scheme = "msrps" if tls else "msrp"
        self.buf = msrp.Buffer()
        self.serial = next(_serial)
        self.uri = "%s://c%d.invalid:49152/s%d;tcp" % (self.scheme, self.serial, self.serial)
        self.use_path = None
        self.timeout = timeout * SLOW
        s = socket.socket()
        if rcvbuf:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if sndbuf:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sndbuf)
        s.settimeout(self.timeout)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            s.connect(address or server.address)
            if tls:
                s = (context or server.pki.client_context()).wrap_socket(s, server_hostname=DOMAIN)
        except OSError:
            s.close()
            raise
        self.sock = s

    def close(self):
        self.sock.close()

    def fileno(self):
        return self.sock.fileno()

    # --- frames ---

    def tid(self):
        return "t%dx%d" % (self.serial, next(_serial))

    def frame(self, timeout=None):
        """The next frame; Gone at the end of the stream, TimeoutError when none comes."""
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            f = msrp.take(self.buf)
            if f:
                return f
            self._fill(end)

    def _fill(self, end):
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError("no frame came; %d octets of one" % len(self.buf))
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(262144)
        except ssl.SSLError as e:
            if isinstance(e, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
                raise Gone("end of stream") from None
            raise
        except socket.timeout:
            raise TimeoutError("no frame came; %d octets of one" % len(self.buf)) from None
        except ConnectionResetError:
            raise Gone("reset") from None
        if not data:
            raise Gone("end of stream")
        self.buf += data

    def pending(self):
        """Whether a recv() would give something at once."""
        if self.tls and self.sock.pending():
            return True
        return bool(select.select([self.sock], [], [], 0)[0])

    def poll(self):
        """Every complete frame that is here by now, without waiting."""
        frames = []
        while self.pending():
            data = self.sock.recv(262144)
            if not data:
                raise Gone("end of stream")
            self.buf += data
        while True:
            f = msrp.take(self.buf)
            if not f:
                return frames
            frames.append(f)

    def write(self, data):
        self.sock.settimeout(self.timeout)
        self.sock.sendall(data)

    def request(self, method, to_path, headers=(), body=None, flag="$", tid=None):
        """Send one; returns its tid."""
        tid = tid or self.tid()
        head = "MSRP %s %s\r\nTo-Path: %s\r\nFrom-Path: %s\r\n" % (tid, method, to_path, self.uri)
        head += "".join("%s: %s\r\n" % h for h in headers)
        data = head.encode()
        if body is not None:
            data += b"\r\n" + body + b"\r\n"
        self.write(data + ("-------%s%s\r\n" % (tid, flag)).encode())
        return tid

    def send(self, to_path, body, message_id=None, fr=None, sr=None, ctype="text/plain", tid=None):
        tid = tid or self.tid()
        headers = [("Message-ID", message_id or tid)]
        if sr:
            headers.append(("Success-Report", sr))
        if fr:
            headers.append(("Failure-Report", fr))
        n = len(body)
        headers += [("Byte-Range", "1-%s/%d" % ("*" if n > 2048 else n, n)), ("Content-Type", ctype)]
        return self.request("SEND", to_path, headers, body, tid=tid)

    def answer(self, f, code=200, comment="OK"):
        to = f.from_path[:1] if f.method == "SEND" else f.from_path
        self.write(("MSRP %s %d %s\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------%s$\r\n"
                    % (f.tid, code, comment, " ".join(to), f.to_path[0], f.tid)).encode())

    def expect(self, code, tid=None, timeout=None):
        """The next frame must be that response."""
        f = self.frame(timeout)
        if f.method is not None or f.code != code or (tid and f.tid != tid):
            raise AssertionError("expected %d for %s, got\n%s" % (code, tid, f.raw[:1000].decode("utf-8", "replace")))
        return f

    # --- AUTH ---

    def auth(self, user="alice", password=None, algorithm="MD5", expires=None, to=None):
        """Challenge and credentials; returns the code of the answer, self.use_path is set on 200. to: To-Path."""
        path = to or "%s://%s:5061;tcp" % (self.scheme, DOMAIN)
        uri = path.split(" ")[-1]
        tid = self.request("AUTH", path)
        f = self.frame()
        if f.code != 401:
            return f.code
        c = msrp.challenge(f.all("WWW-Authenticate"), algorithm)
        if password is None:
            password = daemon_mod.USERS["%s@%s" % (user, DOMAIN)]
        response = msrp.digest(algorithm, user, c["realm"], password, "AUTH:" + uri, c["nonce"], "00000001", "0a4f113b")
        value = ('Digest username="%s", realm="%s", nonce="%s", opaque="%s", qop=auth, nc=00000001, '
                 'cnonce="0a4f113b", response="%s", algorithm=%s'
                 % (user, c["realm"], c["nonce"], c.get("opaque", ""), response, algorithm))
        headers = [("Authorization", value)]
        if expires is not None:
            headers.append(("Expires", str(expires)))
        tid = self.request("AUTH", path, headers)
        f = self.frame()
        assert f.tid == tid, f.raw
        if f.code == 200:
            self.use_path = f.get("Use-Path")
            assert to or re.match(r"msrps?://%s:5061/[A-Za-z0-9]{22,};tcp\Z" % re.escape(DOMAIN), self.use_path), f.raw
        return f.code

    @property
    def token(self):
        return self.use_path.split("/")[3].split(";")[0]

    def path_to(self, peer):
        """To-Path from this client to another client of the relay."""
        return "%s %s %s" % (self.use_path, peer.use_path, peer.uri)


class Page(Client):
    """A web page: the same on a secure WebSocket (RFC 7977). Each message it gets is exactly one frame (M-WS-04)."""

    def __init__(self, server, tls=True, protocol="msrp", headers=(), **kw):
        super().__init__(server, tls, **kw)
        self.uri = "msrps://c%d.invalid:49152/s%d;ws" % (self.serial, self.serial)
        self.scheme = "msrps"
        self.opcodes = []       # of the messages that came
        self.longest = 0
        self.ws = websocket.WebSocket(self.sock, protocol, headers)

    def write(self, data):
        self.sock.settimeout(self.timeout)
        self.ws.send(bytes(data))

    def _fill(self, end):
        left = end - time.monotonic()
        self.sock.settimeout(max(left, 0.001))
        try:
            message = self.ws.receive()
        except socket.timeout:
            raise TimeoutError("no message came") from None
        except websocket.Closed as e:
            raise Gone(e.code) from None
        one = msrp.Buffer(message)
        assert msrp.take(one) and not one, "not one frame: %r" % message[:600]
        self.opcodes.append(self.ws.opcode)
        self.longest = max(self.longest, len(message))
        self.buf += message

    def pending(self):
        return bool(self.ws.buffer) or super().pending()

    def poll(self):
        while self.pending():
            self._fill(time.monotonic() + self.timeout)
        return list(iter(lambda: msrp.take(self.buf), None))

    def auth(self, user="alice", **kw):
        return super().auth(user, to=kw.pop("to", "msrps://%s:5061;ws" % DOMAIN), **kw)


def pair(server, tls=False, **kw):
    """Two authenticated clients."""
    a, b = Client(server, tls, **kw), Client(server, tls, **kw)
    for c, user in ((a, "alice"), (b, "bob")):
        code = c.auth(user)
        assert code == 200, "AUTH of %s: %d" % (user, code)
    return a, b


class Stream:
    """Takes one large message off a client's stream without ever holding it: the octets of all pieces go to sink()."""

    def __init__(self, client, sink, answer=True):
        self.client, self.sink, self.want_answer = client, sink, answer
        self.total = 0          # octets of content so far
        self.pieces = 0
        self.end = None         # compiled end-line of the open piece
        self.over = False
        self.others = []        # frames in between that are not pieces
        self._head = None

    def step(self, timeout=10.0):
        """Read once and digest it; True when the message is complete."""
        c = self.client
        if self._parse():
            return True
        c._fill(time.monotonic() + timeout * SLOW)
        return self._parse()

    def _parse(self):
        c = self.client
        while not self.over:
            if self.end is None:
                at = c.buf.find(b"\r\n\r\n")
                if not c.buf.startswith(b"MSRP ") or b" SEND\r\n" not in c.buf[:80]:
                    f = msrp.take(c.buf)
                    if not f:
                        return False
                    self.others.append(f)
                    continue
                if at < 0:
                    return False
                head = bytes(c.buf[:at])
                del c.buf[:at + 4]
                self._head = msrp.lenient(head + b"\r\n\r\n")
                r = self._head.range()
                if r and r[0] != self.total + 1:
                    raise AssertionError("a piece starts at %d, not at %d" % (r[0], self.total + 1))
                self.end = b"\r\n-------" + self._head.tid.encode()
                self.pieces += 1
            at = c.buf.find(self.end)
            if at < 0:
                keep = len(self.end) + 4
                if len(c.buf) > keep:
                    n = len(c.buf) - keep
                    self.sink(memoryview(c.buf)[:n])
                    self.total += n
                    del c.buf[:n]
                return False
            if len(c.buf) < at + len(self.end) + 3:
                return False
            self.sink(memoryview(c.buf)[:at])
            self.total += at
            flag = chr(c.buf[at + len(self.end)])
            del c.buf[:at + len(self.end) + 3]
            self.end = None
            if self.want_answer:
                c.answer(self._head)
            self.over = flag != "+"
            self.flag = flag
        return True
