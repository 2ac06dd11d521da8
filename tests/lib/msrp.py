"""MSRP frames as a test sees them: strict reading of what the relay emits, and digests.

`take()` accepts only what RFC 4975 and the relay's own promises allow, so every
frame a test receives is also checked for its form (M-FRM-04, M-FRM-08, M-FRM-19,
M-FRM-22, M-RSP-09): exactly one space where one belongs, To-Path first, From-Path second,
nothing after Content-Type, no body in a response, which ends with $."""

import hashlib
import re

TID = r"[A-Za-z0-9][A-Za-z0-9.+%=-]{3,31}"
_START = re.compile(rb"MSRP (" + TID.encode() + rb") (?:([A-Z]+)|(\d{3})(?: ([^\r\n]+))?)\r\n")
_HEADER = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]+): (\S(?:[^\r\n]*\S)?|)\Z")
_RANGE = re.compile(r"(\d+)-(\d+|\*)/(\d+|\*)\Z")


class BadFrame(Exception):
    """What was received is not a frame the relay may send."""


class Frame:
    """One request chunk or response. body None: bodiless; b"": empty body."""

    def __init__(self, tid, method=None, code=0, comment=None, headers=(), body=None, flag="$", raw=b""):
        self.tid, self.method, self.code, self.comment = tid, method, code, comment
        self.headers, self.body, self.flag, self.raw = list(headers), body, flag, raw

    def get(self, name, default=None):
        for n, v in self.headers:
            if n.lower() == name.lower():
                return v
        return default

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    @property
    def to_path(self):
        return self.get("To-Path", "").split()

    @property
    def from_path(self):
        return self.get("From-Path", "").split()

    def range(self):
        """(start, end, total) with None for '*'; None without Byte-Range."""
        text = self.get("Byte-Range")
        if text is None:
            return None
        m = _RANGE.match(text)
        if not m:
            raise BadFrame("Byte-Range %r" % text)
        return tuple(None if x == "*" else int(x) for x in m.groups())


class Buffer(bytearray):
    """Received octets; remembers how far the look for an end-line has come."""

    scanned = 0


def take(buf):
    """Take one frame off the front of buf (a bytearray); None when it is not complete yet."""
    eol = buf.find(b"\r\n", 0, 8192)
    if eol < 0:
        if len(buf) >= 8192:
            raise BadFrame("no start line in %d octets: %r" % (len(buf), bytes(buf[:80])))
        return None
    m = _START.match(bytes(buf[:eol + 2]))
    if not m:
        raise BadFrame("start line %r" % bytes(buf[:eol]))
    tid = m.group(1)
    end_line = re.compile(rb"\r\n-------" + re.escape(tid) + rb"([+$#])\r\n")
    end = end_line.search(buf, max(eol, getattr(buf, "scanned", 0)))
    if not end:
        if isinstance(buf, Buffer):
            buf.scanned = max(0, len(buf) - 64)
        return None
    if isinstance(buf, Buffer):
        buf.scanned = 0
    raw = bytes(buf[:end.end()])
    content = raw[eol + 2:end.start()] if end.start() >= eol + 2 else b""
    flag = end.group(1).decode()
    del buf[:end.end()]

    head, blank, body = content.partition(b"\r\n\r\n")
    if not blank:
        if content.endswith(b"\r\n"):
            raise BadFrame("blank line without the CRLF before the end-line: %r" % raw[:400])
        body = None
    headers = []
    for line in head.split(b"\r\n"):
        h = _HEADER.match(line)
        if not h:
            raise BadFrame("header line %r" % line)
        headers.append((h.group(1).decode(), h.group(2).decode("utf-8", "surrogateescape")))
    frame = Frame(tid.decode(), m.group(2).decode() if m.group(2) else None, int(m.group(3) or 0),
                  m.group(4).decode("utf-8", "replace") if m.group(4) else None, headers, body, flag, raw)
    _check(frame)
    return frame


def _check(f):
    names = [n for n, _ in f.headers]
    if names[:2] != ["To-Path", "From-Path"]:
        raise BadFrame("the first headers are %s" % names[:2])
    for n, v in f.headers[:2]:
        if "  " in v or not v:
            raise BadFrame("%s: %r" % (n, v))
    if f.method is None and f.body is not None:
        raise BadFrame("response with a body")
    if f.method != "SEND" and f.flag != "$":
        raise BadFrame("%s ends with %s" % (f.method or f.code, f.flag))
    if f.body is not None and names[-1] != "Content-Type":
        raise BadFrame("%s after Content-Type" % names[-1])
    if f.method in ("SEND", "REPORT") and not f.get("Message-ID"):
        raise BadFrame(f.method + " without Message-ID")
    if f.method == "SEND" and f.body is not None and len(f.body) > 2048:
        r = f.range()
        if r and r[1] is not None:
            raise BadFrame("%d octets that cannot be interrupted: %s" % (len(f.body), f.get("Byte-Range")))


def lenient(data):
    """What can be known of the first frame in what the test itself sends; None if it is not one at all."""
    data = bytes(data)
    words = data.split(b"\r\n", 1)[0].decode("utf-8", "surrogateescape").split(" ", 3)
    if len(words) < 3 or words[0] != "MSRP":
        return None
    tid = re.escape(words[1].encode("utf-8", "surrogateescape"))
    end = re.search(rb"\r\n-------" + tid + rb"([+$#])\r\n", data)
    f = Frame(words[1], raw=data[:end.end()] if end else data)
    if words[2].isdigit():
        f.code = int(words[2])
    else:
        f.method = words[2]
    content = data[:end.start()] if end else data
    head, blank, body = content.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            f.headers.append((name.decode("latin-1"), value.strip().decode("utf-8", "surrogateescape")))
    if blank:
        f.body = body
    elif end and content.endswith(b"\r\n"):  # blank line straight before the end-line: M-FRM-15
        f.body = b""
    if end:
        f.flag = end.group(1).decode()
    return f


def _h(algorithm, text):
    fn = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[algorithm]
    return fn(text.encode()).hexdigest()


def digest(algorithm, user, realm, password, a2, nonce, nc, cnonce):
    """The digest of RFC 7616 with qop=auth; a2 is "AUTH:" URI for a response, ":" URI for rspauth."""
    return _h(algorithm, ":".join((_h(algorithm, "%s:%s:%s" % (user, realm, password)),
                                   nonce, nc, cnonce, "auth", _h(algorithm, a2))))


_PARAM = re.compile(r'([A-Za-z-]+)=(?:"([^"]*)"|([^,\s]+))')


def digest_params(value):
    """The parameters of a Digest header field, by lower-case name."""
    return {m.group(1).lower(): m.group(2) if m.group(2) is not None else m.group(3) for m in _PARAM.finditer(value)}


def challenge(values, algorithm):
    """The parameters of the challenge for that algorithm among WWW-Authenticate values."""
    for value in values:
        c = digest_params(value)
        if c.get("algorithm", "MD5") == algorithm:
            return c
    raise AssertionError("no challenge for %s in %s" % (algorithm, values))
