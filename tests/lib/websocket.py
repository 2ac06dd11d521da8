"""A raw WebSocket client (RFC 6455) for tests: it sends exactly the frames it is told to. Standard library only."""
import base64
import hashlib
import os
import struct

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
CONT, FIN = 0, 0x80
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Closed(Exception):
    """The server has sent a close frame (code), or ended the stream (None)."""

    def __init__(self, code):
        super().__init__("closed: %s" % code)
        self.code = code


def frame(opcode, payload=b"", fin=True, mask=True, rsv=0):
    """The bytes of a frame."""
    head = bytes([(FIN if fin else 0) | rsv << 4 | opcode])
    bit, n = (0x80 if mask else 0), len(payload)
    head += bytes([bit | n]) if n < 126 else struct.pack(">BH", bit | 126, n) if n < 65536 else struct.pack(">BQ", bit | 127, n)
    if not mask:
        return head + payload
    key = os.urandom(4)
    wide = int.from_bytes((key * (n // 4 + 1))[:n], "big") ^ int.from_bytes(payload, "big")
    return head + key + wide.to_bytes(n, "big")


def handshake(protocol="sip", key=b"dGhlIHNhbXBsZSBub25jZQ==", headers=(), path="/"):
    """The bytes of an opening handshake."""
    lines = ["GET %s HTTP/1.1" % path, "Host: edge.example.com", "Upgrade: websocket", "Connection: Upgrade",
             "Sec-WebSocket-Key: " + key.decode(), "Sec-WebSocket-Version: 13"]
    if protocol:
        lines.append("Sec-WebSocket-Protocol: " + protocol)
    return ("\r\n".join(lines + list(headers)) + "\r\n\r\n").encode()


class WebSocket:
    """On a connected socket, TLS or not."""

    def __init__(self, sock, protocol="sip", headers=()):
        self.sock = sock
        self.buffer = b""
        self.pongs = 0
        self.opcode = None   # of the message that came last
        key = base64.b64encode(os.urandom(16))
        sock.sendall(handshake(protocol, key, headers))
        self.answer = self.read_head()
        if b" 101 " in self.answer.split(b"\r\n")[0]:
            accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
            assert b"\r\nSec-WebSocket-Accept: " + accept + b"\r\n" in self.answer, self.answer

    def status(self):
        return int(self.answer.split()[1])

    def read_head(self):
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return head + b"\r\n"

    def more(self):
        data = self.sock.recv(65536)
        if not data:
            raise Closed(None)
        self.buffer += data

    def need(self, n):
        while len(self.buffer) < n:
            self.more()

    def receive_frame(self):
        """(opcode, payload); frames of a server are whole and not masked."""
        self.need(2)
        assert self.buffer[0] & 0xf0 == FIN and not self.buffer[1] & 0x80, self.buffer[:2]
        opcode, n, at = self.buffer[0] & 15, self.buffer[1], 2
        if n >= 126:
            at = 4 if n == 126 else 10
            self.need(at)
            n = int.from_bytes(self.buffer[2:at], "big")
        self.need(at + n)
        payload, self.buffer = self.buffer[at:at + n], self.buffer[at + n:]
        return opcode, payload

    def receive(self):
        """The next message. Pings are answered; Closed when the server ends it."""
        while True:
            opcode, payload = self.receive_frame()
            if opcode == PING:
                self.sock.sendall(frame(PONG, payload))
            elif opcode == PONG:
                self.pongs += 1
            elif opcode == CLOSE:
                raise Closed(int.from_bytes(payload[:2], "big"))
            else:
                self.opcode = opcode
                return payload

    def send(self, payload, opcode=None):
        if opcode is None:
            try:
                payload.decode()
                opcode = TEXT
            except UnicodeDecodeError:
                opcode = BINARY
        self.sock.sendall(frame(opcode, payload))

    def send_raw(self, data):
        self.sock.sendall(data)

    def close(self, code=1000):
        self.sock.sendall(frame(CLOSE, struct.pack(">H", code)))
