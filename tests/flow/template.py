"""Text with holes: what a scenario sends, and what it expects.

    ${NAME}        a value: sent or compared when known, captured at first sight when expected
    ${n+1}         sums of numbers and numeric values
    <5 x "ab">     a text repeated; the count may be a sum, or (expected only) a name not known yet
    <4 x bytes>    all 256 byte values, in order, that often
    <any>          whatever a line holds from here (expected only)
    <hex 0d 0a>    octets
In raw blocks also \\r \\n \\t \\0 \\xHH \\\\ ."""

import re

_HOLE = re.compile(r'\$\{([^}]*)\}|<([A-Za-z0-9_+*-]+) x (?:"([^"]*)"|(bytes))>|(<any>)|<hex ([0-9a-fA-F ]+)>')
_TERM = re.compile(r"\s*([A-Za-z_]\w*|\d+)\s*([+*-]?)")
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|.)")

ALL_BYTES = bytes(range(256))

TOKEN = r"[A-Za-z0-9]{22,64}"  # M-TOK-02: 128 bits of [A-Za-z0-9]
TID = r"[A-Za-z0-9][A-Za-z0-9.+%=-]{3,31}"


class Unbound(Exception):
    pass


def is_tid(name):
    """${T}, ${T1}, ${Tb}: tids made by the relay. ${TOK...}: its session ids."""
    return re.match(r"T(\d\w*|[a-z]\w*)?\Z", name) is not None


def kind(name):
    """The form a captured value must have."""
    if is_tid(name):
        return TID
    if name.startswith("TOK"):
        return TOKEN
    if re.match(r"[a-z]\w*\Z", name):
        return r"\d+"
    return r"[^\"\s]+?"


def value(expr, names):
    """The value of NAME, or of a sum such as n+1 or 1000-n, as text."""
    expr = expr.strip()
    if re.match(r"[A-Za-z_]\w*\Z", expr):
        if expr not in names:
            raise Unbound(expr)
        return str(names[expr])
    total, op, at = None, "+", 0
    while at < len(expr):
        m = _TERM.match(expr, at)
        if not m:
            raise ValueError("cannot compute %r" % expr)
        word = m.group(1)
        if word.isdigit():
            n = int(word)
        else:
            if word not in names:
                raise Unbound(word)
            n = int(names[word])
        total = n if total is None else total + n if op == "+" else total - n if op == "-" else total * n
        op, at = m.group(2), m.end()
        if not op:
            break
    if total is None or at < len(expr):
        raise ValueError("cannot compute %r" % expr)
    return str(total)


def unescape(text):
    """Raw blocks: the text with its backslash escapes as octets (latin-1 text, so each character is an octet)."""
    table = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}

    def sub(m):
        e = m.group(1)
        if e[0] == "x" and len(e) == 3:
            return chr(int(e[1:], 16))
        if e not in table:
            raise ValueError("unknown escape \\" + e)
        return table[e]

    return _ESCAPE.sub(sub, text)


def _pieces(text):
    """Split into ("text", bytes), ("var", expr), ("rep", count, bytes), ("any",)."""
    at = 0
    for m in _HOLE.finditer(text):
        if m.start() > at:
            yield "text", text[at:m.start()]
        if m.group(1) is not None:
            yield "var", m.group(1)
        elif m.group(2) is not None:
            yield "rep", m.group(2), ALL_BYTES if m.group(4) else m.group(3).encode()
        elif m.group(5):
            yield ("any",)
        else:
            yield "octets", bytes.fromhex(m.group(6))
        at = m.end()
    if at < len(text):
        yield "text", text[at:]


def render(text, names, raw=False):
    """The octets of a text all of whose values are known."""
    out = bytearray()
    for p in _pieces(text):
        if p[0] == "text":
            out += unescape(p[1]).encode("latin-1") if raw else p[1].encode()
        elif p[0] == "var":
            out += value(p[1], names).encode()
        elif p[0] == "rep":
            unit = unescape(p[2].decode("latin-1")).encode("latin-1") if raw and p[2] is not ALL_BYTES else p[2]
            out += unit * int(value(p[1], names))
        elif p[0] == "octets":
            out += p[1]
        else:
            raise ValueError("<any> cannot be sent")
    return bytes(out)


def match_line(text, got, names):
    """Whether a received line (str) fits; new names are captured into names."""
    rx, fresh = "", []
    for p in _pieces(text):
        if p[0] == "text":
            rx += re.escape(p[1])
        elif p[0] == "any":
            rx += ".*"
        elif p[0] == "var":
            try:
                rx += re.escape(value(p[1], names))
            except Unbound as e:
                name = str(e)
                if name != p[1].strip():
                    raise ValueError("%s is not known" % name)
                if name in fresh:
                    rx += "(?P=%s)" % name
                else:
                    rx += "(?P<%s>%s)" % (name, kind(name))
                    fresh.append(name)
        else:
            rx += re.escape(render(text, names).decode("utf-8", "surrogateescape"))
            break
    m = re.match(rx + r"\Z", got, re.S)
    if m:
        names.update(m.groupdict())
    return m is not None


def match_body(text, got, names):
    """Whether a received body (bytes) fits; one <n x "..."> with an unknown n is measured."""
    pieces = list(_pieces(text))
    if not any(p[0] == "any" for p in pieces):
        try:
            return render(text, names) == got
        except Unbound:
            pass
    rx, fresh = b"", []
    for p in pieces:
        if p[0] == "text":
            rx += re.escape(p[1].encode())
        elif p[0] == "octets":
            rx += re.escape(p[1])
        elif p[0] == "any":
            rx += b".*"
        elif p[0] == "var":
            rx += re.escape(value(p[1], names).encode())
        else:
            try:
                rx += re.escape(p[2] * int(value(p[1], names)))
            except Unbound:
                rx += b"(?P<" + p[1].encode() + b">(?:" + re.escape(p[2]) + b")*)"
                fresh.append((p[1], len(p[2])))
    m = re.match(rx + rb"\Z", got, re.S)
    if m:
        for name, unit in fresh:
            names[name] = len(m.group(name)) // unit
    return m is not None
