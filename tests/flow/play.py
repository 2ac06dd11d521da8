"""Playing one scenario against a running daemon: every step of the language is a method here."""

import os
import re
import shlex
import socket
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import daemon as daemon_mod
import msrp
import peer
import template

SLOW = daemon_mod.SLOW
PATIENCE = 5.0       # seconds for anything that should happen at once
SERVER = "edge.tandem.example"


class Mismatch(Exception):
    """An expectation did not hold."""


def show(data, limit=1200):
    """Octets for a human: one line each, what is not printable escaped."""
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogateescape")
    cut = data[:limit]
    text = "".join(chr(b) if 32 <= b < 127 or b == 10 else "\\r" if b == 13 else "\\x%02x" % b for b in cut)
    text = text.replace("\\r\n", "\n")
    return text + ("\n... %d octets in all" % len(data) if len(data) > limit else "")


class Peer:
    """A named connection of a scenario: the stream, and what was said on it."""

    def __init__(self, name, conn):
        self.name, self.conn = name, conn
        self.sent = {}          # tid -> Frame, as the test sent it
        self.last = None        # last frame received
        self.last_request = None
        self.rspauth = None     # what Authentication-Info must say, from the last AUTH
        self.ends = False       # an end of this connection was expected
        self.ignored = False    # what still comes does not matter


class Player:
    def __init__(self, daemon, dns, loop, pki, run):
        self.daemon, self.dns, self.loop, self.pki, self.run = daemon, dns, loop, pki, run
        self.names = {"SIPT": "TLS" if run == "tls" else "TCP"}
        self.peers = {}
        self.listeners = {}
        self.rewrites = {}      # text in the scenario -> text used (picked ports)
        self.sent_tids = set()  # every tid of a request or response this scenario made up
        self.sent = {}          # tid -> Frame
        self.override = None    # the next ${RESPONSE}: (algorithm, user, password, uri)
        self.counter = 0
        self.patience = 1.0     # of what is waited for

    # --- running ---

    def play(self, scenario):
        self.dns.reset()
        self.names["port"] = self.daemon.port
        self.dns.add(SERVER, "A", "127.0.0.1")
        self._steps(scenario.steps)
        self._quiet()

    def close(self):
        for p in self.peers.values():
            p.conn.close()
        for l in self.listeners.values():
            l.close()

    def _steps(self, steps):
        for step in steps:
            if step.body is not None:
                self._for(step)
                continue
            try:
                self._step(step)
            except Mismatch as e:
                raise Mismatch("%s: %s\n%s" % (step.where, step, e)) from None
            except msrp.BadFrame as e:
                raise Mismatch("%s: %s\nnot a frame the relay may send: %s" % (step.where, step, e)) from None
            except template.Unbound as e:
                raise Mismatch("%s: %s\n${%s} is not known here" % (step.where, step, e)) from None
            except (KeyError, IndexError, ValueError) as e:
                raise Mismatch("%s: %s\nthe scenario itself is wrong: %s %s"
                               % (step.where, step, type(e).__name__, e)) from e

    def _for(self, step):
        # for I in 1..10
        name, (low, high) = step.words[1], step.words[3].split("..")
        for i in range(int(template.value(low, self.names)), int(template.value(high, self.names)) + 1):
            self.names[name] = i
            self._steps(step.body)
        del self.names[name]

    def _text(self, text):
        """What a line of the scenario means in this run. A name may hold another: ${TOK${N}}."""
        while re.search(r"\$\{\w+\$\{\w+\}", text):
            text = re.sub(r"(\$\{\w+)\$\{(\w+)\}", lambda m: m.group(1) + str(self.names[m.group(2)]), text)
        for old, new in self.rewrites.items():
            text = text.replace(old, new)
        if self.run == "plain":
            text = text.replace("msrps://", "msrp://")
        return text

    def _step(self, step):
        words = [self._text(w) for w in step.words]
        words = [template.render(w, self.names).decode() if "${" in w and self._known(w) else w for w in words]
        block = [self._text(l) for l in step.block] if step.block is not None else None
        verb = getattr(self, "do_" + words[0].replace("-", "_"), None)
        if verb:
            verb(words[1:], block)
            return
        if words[0] not in self.peers:
            raise ValueError("no connection %r" % words[0])
        act = getattr(self, "on_" + words[1].replace("-", "_"), None)
        if not act:
            raise ValueError("unknown action %r" % words[1])
        act(self.peers[words[0]], words[2:], block)

    def _known(self, word):
        try:
            template.render(word, self.names)
            return True
        except (template.Unbound, ValueError):
            return False

    def _wait(self, condition, seconds=PATIENCE):
        return self.loop.run_until(condition, seconds * SLOW * self.patience)

    @staticmethod
    def _options(words):
        """Split KEY=VALUE words from the others."""
        opts = {k: v for k, _, v in (w.partition("=") for w in words if re.match(r"[a-z]+=", w))}
        return opts, [w for w in words if not re.match(r"[a-z]+=", w)]

    def _quiet(self):
        """At the end nothing may be left unread: the relay sent no more than what was expected."""
        self.loop.run_for(0.03 * SLOW)
        for p in self.peers.values():
            if p.conn.inbuf and not p.ignored:
                raise Mismatch("at the end: %s had received more than expected:\n%s"
                               % (p.name, show(bytes(p.conn.inbuf))))
            if p.conn.is_over() and not p.ends and not p.ignored:
                raise Mismatch("at the end: %s was closed by the relay, which was not expected%s"
                               % (p.name, " (%s)" % p.conn.error if p.conn.error else ""))
        for name, l in self.listeners.items():
            if l.waiting:
                raise Mismatch("at the end: %d connections to %s that nobody expected" % (len(l.waiting), name))

    # --- connections ---

    def _leaf(self, spec):
        """cert=NAME[,KIND] to (certificate, key)."""
        name, _, kind = spec.partition(",")
        return self.pki.leaf(name, kind or "good")

    def do_connect(self, words, block):
        """connect c1 [tls|plain] [cert=HOST[,KIND]] [sni=HOST] [rcvbuf=N] [sndbuf=N] [from=PORT] [fails]"""
        opts, words = self._options(words)
        fails = "fails" in words
        mode = next((w for w in words[1:] if w in ("tls", "plain")), self.run)
        context, sni = None, None
        if mode == "tls":
            context = self.pki.client_context(self._leaf(opts["cert"]) if "cert" in opts else None)
            sni = opts.get("sni", SERVER)
            if sni != SERVER:  # a foreign name in SNI gets the default certificate: not ours to verify here
                context.check_hostname = False
            if sni == "none":
                sni = None
        conn = peer.dial(self.loop, self.daemon.address, context, sni, int(opts.get("rcvbuf", 0)),
                         int(opts.get("sndbuf", 0)), 10 * SLOW,
                         peer.LOW_PORT if opts.get("from") == "low" else int(template.value(opts.get("from", "0"), self.names)))
        up = self._wait(lambda: conn.up or conn.is_over(), 10) and conn.up
        if fails:
            if up:
                raise Mismatch("the handshake succeeded")
            conn.close()
            return
        if not up:
            raise Mismatch("the handshake failed: %s" % (conn.error or "closed" if conn.is_over() else "no answer"))
        self._name(words[0], conn)
        self.names[words[0] + "port"] = conn.sock.getsockname()[1]

    def _name(self, name, conn):
        if name in self.peers:
            if not self.peers[name].conn.closed:
                raise ValueError("%s is still open" % name)
        self.peers[name] = Peer(name, conn)

    def do_listen(self, words, block):
        """listen f [tls|plain] HOST:PORT [cert=HOST[,KIND]] [rcvbuf=N] [refuse] [mute] [hold] [at=ADDR] [shut=ADDR]

        The runner picks the real port and writes it wherever HOST:PORT stands in the scenario; HOST
        gets an A record (unless the scenario gave it some)."""
        opts, words = self._options(words)
        name = words[0]
        mode = next((w for w in words[1:] if w in ("tls", "plain")), "plain")
        authority = next(w for w in words[1:] if ":" in w)
        host = authority.rpartition(":")[0].strip("[]")
        context = None
        if mode == "tls":
            context = self.pki.server_context(self._leaf(opts.get("cert", host)))
        l = peer.Listener(self.loop, context, int(opts.get("rcvbuf", 0)),
                          "refuse" in words, "mute" in words, "hold" in words, opts.get("at", "127.0.0.1"), opts.get("shut"))
        self.listeners[name] = l
        self.rewrites[authority] = "%s:%d" % (authority.rpartition(":")[0], l.port)
        if re.match(r"[0-9.]+\Z", host) is None and not any(n == host.lower() for n, _ in self.dns.records):
            self.dns.add(host, "A", "127.0.0.1")

    def do_accept(self, words, block):
        """accept f1 from f [within=MS] [fails]: the relay's next connection to f, after its TLS handshake."""
        opts, words = self._options(words)
        l = self.listeners[words[2]]
        if not self._wait(lambda: l.waiting, float(opts.get("within", PATIENCE * 1000)) / 1000):
            raise Mismatch("no connection came")
        conn = l.waiting.pop(0)
        self._wait(lambda: conn.up or conn.is_over(), 10)
        if "fails" in words:
            # The relay refuses our certificate; with TLS 1.3 we see that only after our side of the handshake.
            if not self._wait(conn.is_over):
                raise Mismatch("the relay keeps the connection")
            if conn.received:
                raise Mismatch("%d octets of MSRP came: %s" % (conn.received, show(bytes(conn.inbuf))))
            conn.close()
            return
        if not conn.up:
            raise Mismatch("the handshake failed: %s" % (conn.error or "closed"))
        self._name(words[0], conn)

    def on_has(self, p, words, block):
        """r1 has certificate HOST: the relay has shown one of that name, as a TLS client."""
        cert = p.conn.tls.getpeercert() or {}
        if ("DNS", words[1]) not in cert.get("subjectAltName", ()):
            raise Mismatch("its certificate: %s" % (cert or "none"))

    def on_close(self, p, words, block):
        self._wait(p.conn.is_flushed)
        p.conn.close()
        p.ignored = True

    def on_reset(self, p, words, block):
        self._wait(p.conn.is_flushed)
        p.conn.reset()
        p.ignored = True

    def on_fin(self, p, words, block):
        p.conn.fin()
        p.ends = True

    def on_closed(self, p, words, block):
        """c1 closed [within=MS] [after=MS]: the relay ends the connection, and nothing came before that."""
        opts, _ = self._options(words)
        if "after" in opts:
            self.loop.run_until(p.conn.is_over, float(opts["after"]) / 1000)
            if p.conn.is_over():
                raise Mismatch("it was closed too early")
        if not self._wait(p.conn.is_over, float(opts.get("within", PATIENCE * 1000)) / 1000):
            got = show(bytes(p.conn.inbuf))
            raise Mismatch("it is still open%s" % (", and received:\n" + got if got else ""))
        if p.conn.inbuf:
            raise Mismatch("something came before the end:\n" + show(bytes(p.conn.inbuf)))
        p.ends = True

    def on_open(self, p, words, block):
        """c1 open: it is not closed (look for MS milliseconds)."""
        self.loop.run_for(0.05 * SLOW)
        if p.conn.is_over():
            raise Mismatch("it was closed: %s" % (p.conn.error or "end of stream"))

    def on_ignored(self, p, words, block):
        """c1 ignored: what else happens on it does not matter to this scenario."""
        p.ignored = True

    def on_stops(self, p, words, block):
        p.conn.set_reading(False)

    def on_reads(self, p, words, block):
        p.conn.set_reading(True)

    # --- sending ---

    def _block(self, lines, raw, p):
        self.names.pop("RESPONSE", None)
        text = "".join(lines) if raw else "".join(l + "\r\n" for l in lines)
        if "${RESPONSE}" in text:
            self.names["RESPONSE"] = "@RESPONSE@"
        data = template.render(text, self.names, raw)
        if b"@RESPONSE@" in data:
            data = self._respond(data, p)
        return data

    def _respond(self, data, p):
        """Compute ${RESPONSE}, and what rspauth must then be, from the Authorization header around it."""
        f = msrp.lenient(data)
        d = msrp.digest_params(f.get("Authorization"))
        algorithm = d.get("algorithm", "MD5")
        user, uri = d["username"], f.to_path[-1]
        password = daemon_mod.USERS.get("%s@%s" % (user, SERVER), "")
        realm, nonce = d["realm"], d["nonce"]
        if self.override:
            algorithm, user, password, uri = self.override
            self.override = None
        args = (nonce, d["nc"], d["cnonce"])
        answer = msrp.digest(algorithm, user, realm, password, "AUTH:" + uri, *args)
        p.rspauth = msrp.digest(algorithm, user, realm, password, ":" + uri, *args)
        return data.replace(b"@RESPONSE@", answer.encode())

    def do_digest(self, words, block):
        """digest MD5|SHA-256 USER PASSWORD URI: how the next ${RESPONSE} is computed."""
        self.override = tuple(words)

    def on_tx(self, p, words, block):
        """c1 tx [raw] [bytewise] [split=N] [background]"""
        opts, words = self._options(words)
        data = self._block(block, "raw" in words, p)
        self._remember(p, data)
        if "bytewise" in words:
            for i in range(len(data)):
                p.conn.send(data[i:i + 1])
                self._wait(p.conn.is_flushed)
                self.loop.run_for(0.0003)
        elif "split" in opts:
            at = int(template.value(opts["split"], self.names))
            p.conn.send(data[:at])
            self._wait(p.conn.is_flushed)
            self.loop.run_for(0.002)
            p.conn.send(data[at:])
        else:
            p.conn.send(data)
        if "background" not in words:
            self._flush(p)

    def _flush(self, p):
        if not self._wait(lambda: p.conn.is_flushed() or p.conn.error is not None, 20):
            raise Mismatch("the relay does not read: %d octets are still to be sent" % len(p.conn.out))

    def on_sent(self, p, words, block):
        """c1 sent: what `tx background` queued is out."""
        self._flush(p)

    def on_blocked(self, p, words, block):
        """c1 blocked MS ms: the relay has stopped reading it, and octets still wait after that time."""
        self.loop.run_for(float(words[0]) / 1000)
        if p.conn.is_flushed():
            raise Mismatch("everything was read: the sender was not paused")

    def _remember(self, p, data):
        """Note each frame the test sends, for `rx CODE to TID`, `rx forward of TID` and the tid rule."""
        while data:
            f = msrp.lenient(data)
            if not f:
                return
            f.peer = p
            p.sent[f.tid] = f
            self.sent[f.tid] = f
            self.sent_tids.add(f.tid)
            data = data[len(f.raw):]

    def on_answers(self, p, words, block):
        """f1 answers CODE [COMMENT...]: a response to the last request received on f1.
        f1 answers early CODE [COMMENT...]: to the one that is still being received."""
        if words[0] == "early":
            if not self._wait(lambda: b"\r\n\r\n" in p.conn.inbuf):
                raise Mismatch("no head of a request has come")
            start, to_path, from_path = bytes(p.conn.inbuf).split(b"\r\n")[:3]
            p.conn.send(b"MSRP %s %s\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------%s$\r\n" % (
                start.split()[1], " ".join(words[1:]).encode(), from_path.split()[1], to_path.split()[1], start.split()[1]))
            return
        r = p.last_request
        if r is None:
            raise ValueError("no request was received")
        self._answer(p, r, " ".join(words))

    def _answer(self, p, r, status):
        to = r.from_path[:1] if r.method == "SEND" else r.from_path
        p.conn.send(("MSRP %s %s\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------%s$\r\n"
                     % (r.tid, status, " ".join(to), r.to_path[0], r.tid)).encode())

    # --- receiving ---

    def _frame(self, p, opts):
        """The next frame on p."""
        box = []

        def came():
            if not box:
                f = msrp.take(p.conn.inbuf)
                if f:
                    box.append(f)
            return box or p.conn.is_over()

        if "after" in opts:
            self.loop.run_until(came, float(opts["after"]) / 1000)
            if box:
                raise Mismatch("it came too early:\n" + show(box[0].raw))
        self._wait(came, float(opts.get("within", PATIENCE * 1000)) / 1000)
        if not box:
            end = "no frame came"
            if p.conn.is_over():
                end = "the connection was closed (%s)" % (p.conn.error or "end of stream")
            raise Mismatch(end + (", only:\n" + show(bytes(p.conn.inbuf)) if p.conn.inbuf else ""))
        p.last = box[0]
        if p.last.method:
            p.last_request = p.last
        return p.last

    def on_rx(self, p, words, block):
        opts, words = self._options(words)
        if words[:1] == ["raw"]:
            return self._rx_raw(p, block, opts)
        if words[:1] == ["head"]:
            return self._rx_head(p, " ".join(words[1:]), opts)
        if words[:1] == ["message"]:
            return self._rx_message(p, words[1:], opts)
        f = self._frame(p, opts)
        try:
            if words[:2] == ["forward", "of"]:
                self._is_forward(f, words[2])
                if words[3:4] == ["as"]:
                    self.names[words[4]] = f.tid
            elif len(words) == 3 and words[1] == "to":
                self._is_answer(p, f, words[0], words[2])
            elif words[:1] == ["report"]:  # rx report CODE on TID [A-B/C]
                self._is_report(p, f, p.sent[words[3]], words[1], words[4] if len(words) > 4 else None)
            elif not words and block:
                self._fits(p, f, block)
            else:
                raise ValueError("unknown form of rx")
        except Mismatch as e:
            raise Mismatch("%s\nreceived on %s:\n%s" % (e, p.name, show(f.raw))) from None

    def _rx_raw(self, p, block, opts):
        want = self._block(block, True, p)
        if not self._wait(lambda: len(p.conn.inbuf) >= len(want) or p.conn.is_over(),
                          float(opts.get("within", PATIENCE * 1000)) / 1000) or bytes(p.conn.inbuf[:len(want)]) != want:
            raise Mismatch("expected %r, received %r" % (want, bytes(p.conn.inbuf)))
        del p.conn.inbuf[:len(want)]

    def _rx_head(self, p, pattern, opts):
        """x1 rx head REGEX: a SIP or HTTP message whose first line fits; its headers and body are read too."""
        self._wait(lambda: b"\r\n\r\n" in p.conn.inbuf or p.conn.is_over())
        head, blank, rest = bytes(p.conn.inbuf).partition(b"\r\n\r\n")
        if not blank:
            raise Mismatch("no message came%s" % (", only:\n" + show(head) if head else ""))
        m = re.search(rb"(?im)^(?:content-length|l)\s*:\s*(\d+)", head)
        length = int(m.group(1)) if m else 0
        self._wait(lambda: len(p.conn.inbuf) >= len(head) + 4 + length or p.conn.is_over())
        del p.conn.inbuf[:len(head) + 4 + length]
        first = head.split(b"\r\n")[0].decode("latin-1")
        if not re.match(pattern, first):
            raise Mismatch("the first line is %r" % first)

    def _is_answer(self, p, f, code, tid):
        """A response by E itself: M-FWD-20 (SEND: one URI back), M-AUTH-16 and others (the whole path back)."""
        sent = p.sent[tid]
        if f.method is not None or "%03d" % f.code not in code.split("|"):
            raise Mismatch("expected a %s" % code)
        if f.tid != tid:
            raise Mismatch("expected the tid " + tid)
        to = sent.from_path[:1] if sent.method == "SEND" else sent.from_path
        if f.to_path != to:
            raise Mismatch("expected To-Path: " + " ".join(to))
        if f.from_path != sent.to_path[:1]:
            raise Mismatch("expected From-Path: " + sent.to_path[0])
        if f.code not in ((200, 400, 401, 403, 408, 423, 481) if sent.method == "AUTH" else (200, 400, 403, 413, 415, 481, 501, 506)):
            raise Mismatch("%d is no code of the relay's own for %s" % (f.code, sent.method))  # M-COD-03
        if sent.method != "AUTH" and len(f.headers) > 2:
            raise Mismatch("more headers than the two paths")

    def _is_forward(self, f, tid):
        """The request the test sent, with one URI moved, under a new tid: M-FWD-08, 09, 14."""
        sent = self.sent[tid]
        if f.method != sent.method:
            raise Mismatch("expected a " + sent.method)
        self._is_new_tid(f.tid)
        self._same_headers(f, sent, len(sent.body or b"") > 2048)
        if (f.body is None) != (sent.body is None) or f.body != sent.body:
            raise Mismatch("the body differs: %s sent, %s received"
                           % (*("none" if b is None else "%d octets" % len(b) for b in (sent.body, f.body)),))
        if f.flag != sent.flag:
            raise Mismatch("expected the flag " + sent.flag)

    def _is_new_tid(self, tid):
        if tid in self.sent_tids:
            raise Mismatch("the tid %s is one the test had sent" % tid)

    def _same_headers(self, f, sent, rechunked):
        want = []
        for n, v in sent.headers:
            if n.lower() == "to-path":
                v = " ".join(sent.to_path[1:])
            elif n.lower() == "from-path":
                v = " ".join(sent.to_path[:1] + sent.from_path)
            want.append((n, v))
        got = list(f.headers)
        # M-CHK-05: what can be interrupted has no numeric end.
        if rechunked:
            star = lambda h: [(n, re.sub(r"-\d+/", "-*/", v)) if n.lower() == "byte-range" else (n, v) for n, v in h]
            want, got = star(want), star(got)
        if [(n.lower(), v) for n, v in want] != [(n.lower(), v) for n, v in got]:
            raise Mismatch("expected the headers\n" + "\n".join("  %s: %s" % h for h in want))

    def _rx_message(self, p, words, opts):
        """f1 rx message of TID... [answer CODE ...]: the octets of these chunks, in any pieces the relay may make.

        Pieces follow each other without gap, repeat every header, are not under 2048 octets unless last or
        so received, and the last one has the flag of the last chunk (M-CHK-07..13)."""
        if words[0] != "of":
            raise ValueError("rx message of TID...")
        answer = None
        if "answer" in words:
            answer = " ".join(words[words.index("answer") + 1:])
            words = words[:words.index("answer")]
        sent = [self.sent[t] for t in words[1:]]
        body = b"".join(s.body for s in sent)
        flag = sent[-1].flag
        first = sent[0].range() if sent[0].get("Byte-Range") else (1, None, None)
        start, got, pieces = first[0], bytearray(), 0
        self.names.pop("pieces", None)
        bounds = set()
        at = 0
        for s in sent:
            at += len(s.body)
            bounds.add(at)
        while True:
            f = self._frame(p, opts)
            pieces += 1
            try:
                if f.method != "SEND":
                    raise Mismatch("expected a SEND")
                self._is_new_tid(f.tid)
                # Byte-Range is looked at below; all else is as in the first chunk.
                others = lambda f: msrp.Frame("", "SEND", headers=[h for h in f.headers if h[0].lower() != "byte-range"])
                self._same_headers(others(f), others(sent[0]), False)
                r = f.range()
                if r:
                    if r[0] != start + len(got):
                        raise Mismatch("piece %d starts at %d, not at %d" % (pieces, r[0], start + len(got)))
                    if r[2] != first[2]:
                        raise Mismatch("piece %d is of %s, not of %s" % (pieces, r[2], first[2]))
                elif got:
                    raise Mismatch("piece %d has no Byte-Range" % pieces)
                got += f.body or b""
                if len(f.body or b"") < 2048 and f.flag == "+" and len(got) not in bounds:
                    raise Mismatch("a piece of only %d octets that is not the last" % len(f.body or b""))
            except Mismatch as e:
                raise Mismatch("%s\nreceived on %s:\n%s" % (e, p.name, show(f.raw))) from None
            if answer and sent[0].get("Failure-Report", "yes").lower() != "no":
                self._answer(p, f, answer)
            if f.flag != "+" or (len(got) >= len(body) and flag == "+"):
                break
        if bytes(got) != body:
            n = next((i for i, (a, b) in enumerate(zip(got, body)) if a != b), min(len(got), len(body)))
            raise Mismatch("the content differs from octet %d on (%d sent, %d received)" % (n + 1, len(body), len(got)))
        if f.flag != flag:
            raise Mismatch("it ends with %s instead of %s" % (f.flag, flag))
        self.names["pieces"] = pieces

    def _fits(self, p, f, lines):
        """Compare with a frame written out in the scenario."""
        names = dict(self.names)
        if p.rspauth:
            names["RSPAUTH"] = p.rspauth
        lines = list(lines)
        start = lines.pop(0)
        words = start.split(" ")
        tid_name = re.match(r"\$\{(\w+)\}\Z", words[1])
        fresh = tid_name and tid_name.group(1) not in names
        if not template.match_line(words[1], f.tid, names):
            raise Mismatch("expected the tid " + words[1])
        if fresh:
            self._is_new_tid(f.tid)
        if words[2].isdigit():
            if f.method is not None or f.code != int(words[2]):
                raise Mismatch("expected a response " + words[2])
        elif f.method != words[2]:
            raise Mismatch("expected " + words[2])
        end = lines.pop()
        if not end.startswith("-------"):
            raise ValueError("the block does not end with an end-line")
        if f.flag != end[-1]:
            raise Mismatch("expected the flag " + end[-1])
        body = None
        if "" in lines:
            at = lines.index("")
            body = "\r\n".join(lines[at + 1:])
            lines = lines[:at]
        self._fit_headers(f, lines, names)
        if body is None:
            if f.body is not None:
                raise Mismatch("expected no body")
        elif f.body is None or not template.match_body(body, f.body, names):
            raise Mismatch("expected the body %s" % body)
        names.pop("RSPAUTH", None)
        self.names = names

    _FREE = ("use-path", "expires", "authentication-info")  # order among these is free in a 200 to AUTH

    def _fit_headers(self, f, lines, names):
        got = list(f.headers)
        if f.code == 200 and any(n.lower() == "use-path" for n, _ in got):
            order = lambda n: self._FREE.index(n.lower()) if n.lower() in self._FREE else -1
            got.sort(key=lambda h: order(h[0]))
            lines = sorted(lines, key=lambda l: order(l.partition(":")[0]))
        for i, line in enumerate(lines):
            if i >= len(got):
                raise Mismatch("expected also %s" % line)
            name, _, want = line.partition(": ")
            have = got[i][1]
            if name == "Authentication-Info":
                have = re.sub(r', nextnonce="[^"]+"', "", have)
            if name == "Status":  # the comment is free
                want = " ".join(want.split()[:2])
                have = " ".join(have.split()[:2])
            if got[i][0] != name or not template.match_line(want, have, names):
                raise Mismatch("expected %s\ninstead of %s: %s" % (line, *got[i]))
        if len(got) > len(lines):
            raise Mismatch("a header that was not expected: %s: %s" % got[len(lines)])

    def on_last(self, p, words, block):
        """c1 last has|lacks TEXT: of the last frame received."""
        text = template.render(" ".join(words[1:]), self.names)
        if (text in p.last.raw) != (words[0] == "has"):
            raise Mismatch("the last frame was\n" + show(p.last.raw))

    def on_silent(self, p, words, block):
        """c1 silent MS ms: nothing comes in that time."""
        self._wait(lambda: p.conn.inbuf or p.conn.is_over(), float(words[0]) / 1000 / SLOW)
        if p.conn.inbuf:
            raise Mismatch("received:\n" + show(bytes(p.conn.inbuf)))
        if p.conn.is_over() and not p.ends:
            raise Mismatch("it was closed: %s" % (p.conn.error or "end of stream"))

    def on_fails(self, p, words, block):
        """c1 fails TID CODE: exactly one failure signal (M-FR-02): the response CODE, or 200 and then a REPORT CODE."""
        opts, words = self._options(words)
        tid, code = words
        sent = p.sent[tid]
        f = self._frame(p, opts)
        if f.method is None and f.code != 200:
            return self._is_answer(p, f, code, tid)
        if f.method is None:
            self._is_answer(p, f, "200", tid)
            f = self._frame(p, opts)
        self._is_report(p, f, sent, code)

    def _is_report(self, p, f, sent, code, byte_range=None):
        """A failure REPORT by E itself about a request the test sent: M-REP-01."""
        try:
            if f.method != "REPORT":
                raise Mismatch("expected a REPORT")
            self._is_new_tid(f.tid)
            if f.to_path != sent.from_path or f.from_path != sent.to_path[:1]:
                raise Mismatch("expected To-Path: %s, From-Path: %s" % (" ".join(sent.from_path), sent.to_path[0]))
            names = [n for n, _ in f.headers]
            if names != ["To-Path", "From-Path", "Message-ID", "Byte-Range", "Status"] or f.body is not None:
                raise Mismatch("expected only the paths, Message-ID, Byte-Range and Status")
            if f.get("Message-ID") != sent.get("Message-ID"):
                raise Mismatch("expected Message-ID: " + sent.get("Message-ID"))
            if byte_range and f.get("Byte-Range") != byte_range:
                raise Mismatch("expected Byte-Range: " + byte_range)
            if not re.match(r"000 (%s)( [^ ].*)?\Z" % code, f.get("Status")):
                raise Mismatch("expected Status: 000 " + code)
        except Mismatch as e:
            raise Mismatch("%s\nreceived on %s:\n%s" % (e, p.name, show(f.raw))) from None

    def on_holds(self, p, words, block):
        """f1 holds N: N octets at least have come, complete frames or not."""
        if not self._wait(lambda: len(p.conn.inbuf) >= int(words[0])):
            raise Mismatch("only %d octets came" % len(p.conn.inbuf))

    def on_lacks(self, p, words, block):
        """f1 lacks TEXT: what has come so far, frames or not, does not hold it."""
        if " ".join(words).encode() in p.conn.inbuf:
            raise Mismatch("received:\n" + show(bytes(p.conn.inbuf)))
        p.conn.inbuf.clear()

    # --- AUTH in one line ---

    def do_challenge(self, words, block):
        """challenge c1 URI: AUTH without credentials; NONCE, OPAQUE (MD5), NONCE256, OPAQUE256 are set anew."""
        p, uri = self.peers[words[0]], words[1]
        self.counter += 1
        tid = "ch%dask" % self.counter
        self._send_lines(p, ["MSRP %s AUTH" % tid, "To-Path: %s://%s:5061;tcp" % (uri.split(":")[0], SERVER),
                             "From-Path: " + uri, "-------%s$" % tid])
        self._is_answer(p, self._frame(p, {}), "401", tid)
        for v in p.last.all("WWW-Authenticate"):
            c = msrp.digest_params(v)
            tail = "256" if c.get("algorithm") == "SHA-256" else ""
            self.names["NONCE" + tail], self.names["OPAQUE" + tail] = c["nonce"], c.get("opaque", "")

    def do_auth(self, words, block):
        """auth c1 USER URI NAME [to=URI] [expires=N] [alg=SHA-256] [code=CODE]: challenge and success, or that code.

        NAME becomes the session id of Use-Path."""
        opts, words = self._options(words)
        p, user, uri, name = self.peers[words[0]], words[1], words[2], words[3]
        to = opts.get("to") or "%s://%s:5061;tcp" % (uri.split(":")[0], SERVER)
        frame = ["MSRP %s AUTH", "To-Path: " + to, "From-Path: " + uri]
        end = "-------%s$"
        self.counter += 1
        tid = "au%dask" % self.counter
        self._send_lines(p, [l % tid if "%s" in l else l for l in frame + [end]])
        self._is_answer(p, self._frame(p, {}), "401", tid)
        algorithm = opts.get("alg", "MD5")
        challenges = [msrp.digest_params(v) for v in p.last.all("WWW-Authenticate")]
        c = next((c for c in challenges if c.get("algorithm", "MD5") == algorithm), None)
        if c is None:
            raise Mismatch("no challenge for %s" % algorithm)
        cnonce = "0a4f113b9c21"
        password = daemon_mod.USERS["%s@%s" % (user, SERVER)]
        args = (c["realm"], password)
        response = msrp.digest(algorithm, user, *args, "AUTH:" + to, c["nonce"], "00000001", cnonce)
        tid = "au%dgo" % self.counter
        value = ('Digest username="%s", realm="%s", nonce="%s"%s, qop=auth, nc=00000001, cnonce="%s", response="%s", '
                 'algorithm=%s' % (user, c["realm"], c["nonce"], ', opaque="%s"' % c["opaque"] if "opaque" in c else "",
                                   cnonce, response, algorithm))
        lines = frame + ["Authorization: " + value]
        if "expires" in opts:
            lines.append("Expires: " + opts["expires"])
        self._send_lines(p, [l % tid if "%s" in l else l for l in lines + [end]])
        f = self._frame(p, {})
        self._is_answer(p, f, opts.get("code", "200"), tid)
        if "code" in opts:
            return
        info = msrp.digest_params(f.get("Authentication-Info", ""))
        if info.get("rspauth") != msrp.digest(algorithm, user, *args, ":" + to, c["nonce"], "00000001", cnonce):
            raise Mismatch("rspauth is wrong:\n" + show(f.raw))
        m = re.match(r"(msrps?)://%s:5061/(%s);tcp\Z" % (re.escape(SERVER), template.TOKEN), f.get("Use-Path", ""))
        if not m:
            raise Mismatch("Use-Path: %s" % f.get("Use-Path"))
        if m.group(1) != ("msrps" if p.conn.tls else "msrp"):
            raise Mismatch("the scheme of Use-Path: %s" % f.get("Use-Path"))
        if not (f.get("Expires", "").isdigit() and int(f.get("Expires")) <= int(opts.get("expires", 1 << 31))):
            raise Mismatch("Expires: %s" % f.get("Expires"))
        self.names[name] = m.group(2)

    def _send_lines(self, p, lines):
        data = "".join(l + "\r\n" for l in lines).encode()
        self._remember(p, data)
        p.conn.send(data)
        self._flush(p)

    # --- the world around ---

    def do_dns(self, words, block):
        """dns NAME A|AAAA ADDRESS | dns NAME SRV PRIORITY WEIGHT HOST:PORT | dns NAME silent | dns NAME delay MS"""
        if words[1] == "silent":
            self.dns.silent.add(words[0].lower())
        elif words[1] == "delay":
            self.dns.delay_ms[words[0].lower()] = int(words[2])
        else:
            if words[1] == "SRV":  # PRIORITY WEIGHT TARGET:PORT
                words[4:] = reversed(words[4].split(":"))
            self.dns.add(words[0], words[1], *words[2:])

    def do_no(self, words, block):
        """no dns NAME | no connect LISTENER: that never happened in this scenario."""
        self.loop.run_for(0.05 * SLOW)
        if words[0] == "dns":
            if self.dns.asked(words[1]):
                raise Mismatch("queries: %s" % self.dns.queries)
        elif self.listeners[words[1]].count:
            raise Mismatch("there were %d connections" % self.listeners[words[1]].count)

    def do_asked(self, words, block):
        """asked NAME TYPE: there was such a query."""
        if not self.dns.asked(words[0], words[1]):
            raise Mismatch("queries: %s" % self.dns.queries)

    def do_connects(self, words, block):
        """connects LISTENER N: the relay has made exactly N connections to it."""
        if self.listeners[words[0]].count != int(words[1]):
            raise Mismatch("there were %d" % self.listeners[words[0]].count)

    def do_wait(self, words, block):
        """wait MS ms"""
        self.loop.run_for(float(words[0]) / 1000)

    def do_let(self, words, block):
        """let NAME = EXPRESSION | let NAME = change ${TOK}: the same text with one letter in the other case."""
        if words[2] == "change":
            text = words[3]
            i = next(i for i, ch in enumerate(text) if ch.isalpha())
            self.names[words[0]] = text[:i] + text[i].swapcase() + text[i + 1:]
        elif words[2] == "text":
            self.names[words[0]] = " ".join(words[3:])
        else:
            self.names[words[0]] = template.value(" ".join(words[2:]), self.names)

    def do_forget(self, words, block):
        """forget NAME...: captured anew at the next sight."""
        for w in words:
            self.names.pop(w, None)

    def do_assert(self, words, block):
        """assert A OP B, for numbers (== != < <= > >=) or texts (== !=)"""
        a, op, b = words
        if op in ("==", "!="):
            va = self.names.get(a, a)
            vb = self.names.get(b, b)
            good = (str(va) == str(vb)) == (op == "==")
        else:
            va, vb = int(template.value(a, self.names)), int(template.value(b, self.names))
            good = {"<": va < vb, "<=": va <= vb, ">": va > vb, ">=": va >= vb}[op]
        if not good:
            raise Mismatch("%s and %s" % (va, vb))

    def do_tandemctl(self, words, block):
        """tandemctl ARG...: must succeed."""
        try:
            self.daemon.ctl(*shlex.split(" ".join(words)))
        except daemon_mod.Failure as e:
            raise Mismatch(str(e)) from None

    def do_reconfigure(self, words, block):
        """reconfigure SECTION.KEY = VALUE: in force after this step, for the rest of the file."""
        key, _, value = " ".join(words).partition("=")
        self.daemon.overrides[key.strip()] = value.strip()
        self.daemon.write_conf()
        self.do_tandemctl(["reload"], None)

    def do_db(self, words, block):
        """db SELECT...: within the time that rows may take, the database has exactly the rows of the block, cells apart by |."""
        sql = " ".join(words)
        want = [template.render(l, self.names).decode() for l in block or []]
        rows = None

        def are_there():
            nonlocal rows
            with sqlite3.connect("file:%s?mode=ro" % self.daemon.db, uri=True, timeout=5) as h:
                rows = ["|".join("" if c is None else str(c) for c in r) for r in h.execute(sql)]
            h.close()
            return rows == want

        if not self._wait(are_there, 3) and not are_there():
            raise Mismatch("expected:\n%s\nthe database has:\n%s" % ("\n".join(want), "\n".join(rows)))

    def do_logged(self, words, block):
        """logged N TEXT: so many lines of the daemon's log hold it."""
        with open(self.daemon.log, errors="replace") as f:
            lines = [l for l in f if " ".join(words[1:]) in l]
        if len(lines) != int(words[0]):
            raise Mismatch("there are %d\n%s" % (len(lines), "".join(lines[:5])))

    def do_restart(self, words, block):
        """restart [killed]: stop the daemon, or kill it, and start it again on the same port and database."""
        self.loop.run_for(0.02)
        if words:
            self.daemon.kill()
        open_ones = [] if words else [(n, p) for n, p in self.peers.items() if p.conn.tls is not None and not p.conn.is_over()]
        faults = [] if words else self.daemon.stop()
        if faults:
            raise Mismatch("\n".join(faults))
        for name, p in open_ones:
            if not self._wait(p.conn.is_over) or not p.conn.notified:
                raise Mismatch("%s was closed without close_notify (M-CON-17)" % name)
        for p in self.peers.values():
            p.ignored = True
            p.conn.close()
        self.daemon.start(keep_port=True)

    def do_udp(self, words, block):
        """udp: send the raw block as one datagram to the shared port; the answer's first line must fit REGEX."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(PATIENCE * SLOW)
            s.sendto(template.render("".join(block), self.names, True), self.daemon.address)
            try:
                answer = s.recv(65535)
            except socket.timeout:
                raise Mismatch("no answer") from None
        first = answer.split(b"\r\n")[0].decode("latin-1")
        if not re.match(" ".join(words), first):
            raise Mismatch("the first line is %r" % first)
