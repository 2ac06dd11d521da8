"""TLS for peers that speak TCP only: connections to a port of ours go on to the server over TLS, all in one thread."""
import select
import socket
import ssl
import threading


class Tunnel:
    def __init__(self, port):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.to, self.other, self.stopped = self.listener.getsockname()[1], port, {}, False
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopped:
            for s in select.select([self.listener] + list(self.other), [], [], 0.05)[0]:
                if s is self.listener:
                    near = s.accept()[0]
                    far = self.tls.wrap_socket(socket.create_connection(("127.0.0.1", self.to)))
                    self.other.update({near: far, far: near})
                elif s in self.other:
                    self.forward(s)

    def forward(self, s):
        try:
            s.settimeout(0)  # session tickets make it readable, and yet there is nothing to read
            data = s.recv(65536)
            while isinstance(s, ssl.SSLSocket) and s.pending():
                data += s.recv(65536)
            if data:
                self.other[s].settimeout(10)
                self.other[s].sendall(data)
                return
        except (ssl.SSLWantReadError, BlockingIOError):
            return
        except OSError:
            pass
        other = self.other.pop(s)
        del self.other[other]
        s.close()
        other.close()

    def close(self):
        self.stopped = True
        self.thread.join()
        for s in [self.listener] + list(self.other):
            s.close()
