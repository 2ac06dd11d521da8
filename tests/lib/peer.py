"""The scripted side of a test: connections and listeners on one small event loop.

A Loop belongs to one thread. It runs only while somebody waits (run_until,
run_for), so a test stays a straight list of steps. A Conn reads into `inbuf` as
long as `reading` is set, and writes what is queued; TLS goes through memory BIOs,
so that reading and writing never block each other."""

import errno
import heapq
import selectors
import socket
import ssl
import struct
import time

import msrp
from ports import free_port

_CHUNK = 256 * 1024
_TLS_AHEAD = 64 * 1024  # ciphertext kept ready; more would hide that the far side has stopped reading


class Loop:
    def __init__(self):
        self._sel = selectors.DefaultSelector()
        self._timers = []
        self._seq = 0

    def close(self):
        self._sel.close()

    def watch(self, sock, readable=None, writable=None):
        mask = (selectors.EVENT_READ if readable else 0) | (selectors.EVENT_WRITE if writable else 0)
        known = sock in self._sel.get_map()
        if not mask:
            if known:
                self._sel.unregister(sock)
        elif known:
            self._sel.modify(sock, mask, (readable, writable))
        else:
            self._sel.register(sock, mask, (readable, writable))

    def unwatch(self, sock):
        self.watch(sock)

    def after(self, seconds, fn):
        self._seq += 1
        heapq.heappush(self._timers, (time.monotonic() + seconds, self._seq, fn))

    def _turn(self, wait):
        if self._timers:
            wait = max(0, min(wait, self._timers[0][0] - time.monotonic()))
        for key, mask in self._sel.select(wait):
            readable, writable = key.data
            if mask & selectors.EVENT_WRITE and writable:
                writable()
            if mask & selectors.EVENT_READ and readable:
                readable()
        while self._timers and self._timers[0][0] <= time.monotonic():
            heapq.heappop(self._timers)[2]()

    def run_until(self, condition, timeout):
        """True as soon as condition() holds; False when that took longer than timeout seconds."""
        end = time.monotonic() + timeout
        while True:
            if condition():
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            self._turn(min(left, 0.25))

    def run_for(self, seconds):
        self.run_until(lambda: False, seconds)


class Conn:
    """One TCP stream, plain or TLS, of either direction."""

    def __init__(self, loop, sock, context=None, server_side=False, server_name=None):
        self.loop = loop
        self.sock = sock
        self.inbuf = msrp.Buffer()
        self.out = bytearray()
        self.received = 0      # application octets ever received
        self.reading = True
        self.eof = False       # the peer ended its direction (or all)
        self.notified = False  # TLS has said good-bye
        self.error = None      # why it broke, as text
        self.closed = False    # we closed it
        self.tls = None
        self.up = context is None
        self._bio_out = None
        self._want_fin = False
        self._flushed_plain = 0
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self._bio_in, self._bio_out = ssl.MemoryBIO(), ssl.MemoryBIO()
            self.tls = context.wrap_bio(self._bio_in, self._bio_out, server_side=server_side,
                                        server_hostname=server_name)
            self._handshake()
        self._arm()

    # --- for the test ---

    def send(self, data):
        self.out += data
        self._push()
        self._arm()

    def is_flushed(self):
        """Everything queued was handed to the kernel."""
        return not self.out and not (self._bio_out and self._bio_out.pending) and not self._net

    def is_over(self):
        return self.eof or self.error is not None

    def set_reading(self, on):
        self.reading = on
        self._arm()

    def fin(self):
        """End our direction, still read the other."""
        self._want_fin = True
        self._push()
        self._arm()

    def close(self):
        if not self.closed:
            self.closed = True
            self.loop.unwatch(self.sock)
            self.sock.close()

    def reset(self):
        if not self.closed:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close()

    # --- machinery ---

    _net = b""  # bytes the kernel did not take yet

    def _arm(self):
        if self.closed:
            return
        reading = (self.reading or not self.up) and not self.is_over()
        writing = not self.is_flushed() and self.error is None
        if self.tls is not None and not self.up and not self._bio_out.pending and not self._net:
            writing = False
        self.loop.watch(self.sock, self._readable if reading else None, self._writable if writing else None)

    def _broken(self, e):
        if self.error is None and not self.eof:
            self.error = str(e) or type(e).__name__

    def _handshake(self):
        try:
            self.tls.do_handshake()
            self.up = True
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLError, ssl.CertificateError) as e:
            self._broken(e)

    def _readable(self):
        try:
            data = self.sock.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError as e:
            self._broken(e)
            self._arm()
            return
        if self.tls is None:
            self.inbuf += data
            self.received += len(data)
            self.eof = self.eof or not data
        else:
            if data:
                self._bio_in.write(data)
            else:
                self._bio_in.write_eof()
            if not self.up:
                self._handshake()
            while self.up and not self.is_over():
                try:
                    plain = self.tls.read(_CHUNK)
                    self.notified = not plain
                except ssl.SSLWantReadError:
                    break
                except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                    plain = b""
                except ssl.SSLError as e:
                    self._broken(e)
                    break
                if not plain:
                    self.eof = True
                    break
                self.inbuf += plain
                self.received += len(plain)
            if not data and not self.is_over():
                self.eof = True
        self._push()
        self._arm()

    def _writable(self):
        self._push()
        self._arm()

    def _push(self):
        if self.closed or self.error is not None:
            return
        try:
            while True:
                if self._net:
                    n = self.sock.send(self._net)
                    self._net = self._net[n:]
                elif self.tls is None:
                    if not self.out:
                        break
                    n = self.sock.send(memoryview(self.out)[:_CHUNK])
                    del self.out[:n]
                elif self._bio_out.pending:
                    self._net = self._bio_out.read()
                elif self.up and self.out:
                    n = self.tls.write(memoryview(self.out)[:_TLS_AHEAD])
                    del self.out[:n]
                else:
                    break
            if self._want_fin and self.up:
                self._want_fin = False
                if self.tls is not None:
                    try:
                        self.tls.unwrap()
                    except ssl.SSLError:
                        pass  # the peer's close_notify is still to come
                    while self._bio_out.pending:
                        self.sock.send(self._bio_out.read())
                self.sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except (OSError, ssl.SSLError) as e:
            # A peer that closed may still have sent bytes we want to see: keep reading them.
            if getattr(e, "errno", 0) in (errno.EPIPE, errno.ECONNRESET):
                self.out.clear()
                self._net = b""
            else:
                self._broken(e)


LOW_PORT = -1


def dial(loop, address, context=None, server_name=None, rcvbuf=0, sndbuf=0, timeout=10.0, port=0):
    """A Conn to address; raises OSError when it cannot be reached. port: of our own side; LOW_PORT: one that no kernel
    gives to anybody by itself, so that it can be had again."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    if rcvbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    if sndbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sndbuf)
    sock.settimeout(timeout)
    try:
        if port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", free_port() if port == LOW_PORT else port))
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return Conn(loop, sock, context, False, server_name)


class Listener:
    """An endpoint tandem dials. Accepts at once; the test names the connections later."""

    def __init__(self, loop, context=None, rcvbuf=0, refuse=False, mute=False, hold=False, at="127.0.0.1", shut=None):
        self.loop = loop
        self.context = context
        self.waiting = []    # accepted, not yet claimed by the test
        self.count = 0       # connections ever accepted
        self.mute = mute     # accepts, but a TLS handshake is never answered
        self.hold = hold     # its connections do not read until told to
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.shut = None     # holds the same port of another address, which refuses
        for _ in range(50):
            self.sock.bind((at, 0))
            self.port = self.sock.getsockname()[1]
            if not shut:
                break
            self.shut = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                self.shut.bind((shut, self.port))
                break
            except OSError:  # taken there: another one
                self.shut.close()
                self.sock.close()
                self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if not refuse:  # a bound socket that does not listen refuses, and nobody else can take the port
            self.sock.listen(128)
            self.sock.setblocking(False)
            loop.watch(self.sock, self._readable)

    def _readable(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except BlockingIOError:
                return
            self.count += 1
            conn = Conn(self.loop, sock, None if self.mute else self.context, True)
            conn.set_reading(not self.hold)
            self.waiting.append(conn)

    def close(self):
        self.loop.unwatch(self.sock)
        self.sock.close()
        if self.shut:
            self.shut.close()
        for conn in self.waiting:
            conn.close()
