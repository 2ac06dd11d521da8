"""Ports for servers of the tests."""
import random
import socket
import threading

LOW, HIGH = 10000, 30000  # below those that the kernel gives to connections by itself, which could take one before it is bound

_lock = threading.Lock()
_given = set()
_random = random.SystemRandom()  # suites that run side by side must not draw alike


def free_port():
    """A port that is free for TCP and UDP on 127.0.0.1, not given twice in this run."""
    with _lock:
        while True:
            port = _random.randrange(LOW, HIGH)
            with socket.socket() as t, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
                try:
                    t.bind(("127.0.0.1", port))
                    u.bind(("127.0.0.1", port))
                except OSError:
                    continue
            if port not in _given:
                _given.add(port)
                return port
