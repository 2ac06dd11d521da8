"""A name server for tests: answers what the scenario says and remembers every query.

Lives on one UDP socket on 127.0.0.1 in the loop of its scenario, or in a thread of its own (Threaded). Unknown names
get NXDOMAIN, known names without the asked type an empty answer."""

import select
import socket
import struct
import threading

TYPES = {1: "A", 28: "AAAA", 33: "SRV", 35: "NAPTR", 12: "PTR"}


def _name(packet, at):
    labels = []
    while packet[at]:
        n = packet[at]
        labels.append(packet[at + 1:at + 1 + n].decode("latin-1"))
        at += 1 + n
    return ".".join(labels).lower(), at + 1


def _wire(name):
    out = b""
    for label in name.rstrip(".").split("."):
        out += bytes([len(label)]) + label.encode()
    return out + b"\0"


class Dns:
    def __init__(self, loop):
        self.loop = loop
        self.records = {}      # (name, type) -> [rdata]
        self.silent = set()    # names whose queries are never answered
        self.delay_ms = {}     # name -> milliseconds before the answer
        self.rcode = {}        # name -> response code in place of an answer (2: SERVFAIL)
        self.queries = []      # (name, type), in order of arrival
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.setblocking(False)
        self.port = self.sock.getsockname()[1]
        loop.watch(self.sock, self._readable)

    def close(self):
        self.loop.unwatch(self.sock)
        self.sock.close()

    def reset(self):
        self.records.clear()
        self.silent.clear()
        self.delay_ms.clear()
        self.rcode.clear()
        self.queries.clear()

    def add(self, name, rtype, *values):
        name = name.lower()
        if rtype == "A":
            data = [socket.inet_aton(values[0])]
        elif rtype == "AAAA":
            data = [socket.inet_pton(socket.AF_INET6, values[0])]
        elif rtype == "SRV":
            prio, weight, port, target = values
            data = [struct.pack("!HHH", int(prio), int(weight), int(port)) + _wire(target)]
        elif rtype == "NAPTR":
            order, preference, flags, service, target = values
            texts = b"".join(bytes([len(t)]) + t.encode() for t in (flags, service, ""))
            data = [struct.pack("!HH", int(order), int(preference)) + texts + _wire(target)]
        else:
            raise ValueError("unknown record type " + rtype)
        self.records.setdefault((name, rtype), []).extend(data)

    def asked(self, name, rtype=None):
        """How many queries there were for the name (and type)."""
        name = name.lower()
        return sum(1 for n, t in self.queries if n == name and rtype in (None, t))

    def _readable(self):
        while True:
            try:
                packet, peer = self.sock.recvfrom(4096)
            except BlockingIOError:
                return
            try:
                self._answer(packet, peer)
            except (IndexError, struct.error):
                continue

    def _answer(self, packet, peer):
        ident, flags, nq = struct.unpack("!HHH", packet[:6])
        if nq != 1 or flags & 0x8000:
            return
        name, at = _name(packet, 12)
        qtype, = struct.unpack("!H", packet[at:at + 2])
        question = packet[12:at + 4]
        rtype = TYPES.get(qtype, str(qtype))
        self.queries.append((name, rtype))
        if name in self.silent:
            return
        found = self.records.get((name, rtype), [])
        known = any(n == name for n, _ in self.records)
        rcode = self.rcode.get(name, 0 if known else 3)
        if name in self.rcode:
            found = []
        out = struct.pack("!HHHHHH", ident, 0x8580 | rcode, 1, len(found), 0, 0) + question
        for data in found:
            out += b"\xc0\x0c" + struct.pack("!HHIH", qtype, 1, 60, len(data)) + data
        delay = self.delay_ms.get(name, 0)
        if delay:
            self.loop.after(delay / 1000.0, lambda: self.sock.sendto(out, peer))
        else:
            self.sock.sendto(out, peer)


class _Thread:
    """The loop of one name server that has a thread to itself."""

    def __init__(self):
        self.stopping = False

    def watch(self, sock, ready):
        self.thread = threading.Thread(target=self.run, args=(sock, ready), daemon=True)
        self.thread.start()

    def unwatch(self, _sock):
        self.stopping = True
        self.thread.join()

    def after(self, seconds, call):
        threading.Timer(seconds, call).start()

    def run(self, sock, ready):
        while not self.stopping:
            if select.select([sock], [], [], 0.05)[0]:
                ready()


class Threaded(Dns):
    """For runners without a loop."""

    def __init__(self):
        super().__init__(_Thread())
