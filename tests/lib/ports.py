"""Ports for servers of the tests."""
import random
import socket
import threading

LOW, HIGH = 10000, 30000  # below those that the kernel gives to connections by itself, which could take one before it is bound
BLOCK = 50

_lock = threading.Lock()
_claims = []  # sockets whose names say which blocks are this process's, while it lives
_ports = []


def _claim():
    """The ports of a block that no other process of the tests has: suites run side by side, and a port that is drawn is
    bound later, when its server has started."""
    blocks = list(range(LOW, HIGH, BLOCK))
    random.SystemRandom().shuffle(blocks)
    for first in blocks:
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind("\0tandem-test-ports-%d" % first)
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return list(range(first, first + BLOCK))
    raise OSError("all ports from %d to %d are in use by tests" % (LOW, HIGH))


def free_port():
    """A port that is free for TCP and UDP on 127.0.0.1, not given twice in this run, nor to another process of the tests."""
    with _lock:
        while True:
            if not _ports:
                _ports.extend(_claim())
            port = _ports.pop()
            with socket.socket() as t, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
                try:
                    t.bind(("127.0.0.1", port))
                    u.bind(("127.0.0.1", port))
                except OSError:
                    continue
            return port
