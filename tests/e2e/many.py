"""Many sessions, workers, and peers that send rubbish.

M-CON-03 M-CON-11 M-CEMA-03 M-FRM-20 M-FRM-21 M-SEC-03 M-SEC-04 M-TOK-10"""

import gc
import os
import random
import resource
import time

import client
import msrp
from world import SLOW, Skip


def test_idle_sessions(w):
    """an authenticated idle plain TCP session costs at most 3 KB of resident memory"""
    n = 10000 if w.all else 6000
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < n + 500:
        raise Skip("not enough descriptors for %d sessions" % n)
    d = w.daemon({"limits.connections_per_address": "20000", "limits.sessions_per_user": "20000", "server.workers": "1"})
    warm = [client.Client(d) for _ in range(100)]
    for c in warm:
        assert c.auth() == 200
    # What is there once for all, of fixed size, and gets resident as it is first used, is not part of the sessions: the ring
    # through which rows go to the database (4 MiB), and its cache of pages. A row for each of these messages goes through both.
    for i in range(15000):
        warm[0].send(warm[0].path_to(warm[1]), b"", fr="no", message_id="warm-up.%d" % i)
        if i % 100 == 99:
            for _ in range(100):
                warm[1].frame()
    base = d.rss_kb()
    t0 = time.monotonic()
    clients = []
    for _ in range(n):
        c = client.Client(d)
        assert c.auth() == 200
        clients.append(c)
    took = time.monotonic() - t0
    time.sleep(1.2)  # let the database catch up, it is not part of the sessions
    each = (d.rss_kb() - base) / n
    # All of them are still served.
    for c in random.sample(clients, 50):
        tid = c.request("SEND", c.use_path, [("Message-ID", "alive")])
        c.expect(200, tid)
    if SLOW == 1:
        assert each <= 3.0, "%.2f KB a session" % each
    for c in clients + warm:
        c.close()
    return "%d sessions, %.2f KB each, %.0f AUTH pairs/s (this client)" % (n, each, n / took)


def _across(w, workers, tls, pairs, messages):
    d = w.daemon({"server.workers": str(workers)})
    ps = [client.pair(d, tls=tls) for _ in range(pairs)]
    for i in range(messages):
        for n, (a, b) in enumerate(ps):
            a.send(a.path_to(b), b"message %d of pair %d" % (i, n), message_id="m%d-%d" % (n, i))
        for n, (a, b) in enumerate(ps):
            f = b.frame()
            assert f.method == "SEND" and f.body == b"message %d of pair %d" % (i, n), f.raw
            b.answer(f)
    # And one from everybody to everybody, so that every pair of workers is used in both directions.
    everybody = [c for p in ps for c in p]
    for a in everybody:
        for b in everybody:
            if a is not b:
                a.send(a.path_to(b), b"%d to %d" % (a.serial, b.serial), fr="no")
    for b in everybody:
        got = {}
        deadline = time.monotonic() + 15 * SLOW
        while sum(got.values()) < len(everybody) - 1:
            f = b.frame(deadline - time.monotonic())
            if f.method == "SEND":
                got[f.body] = got.get(f.body, 0) + 1
        want = {b"%d to %d" % (a.serial, b.serial): 1 for a in everybody if a is not b}
        assert got == want, "missing %s" % (set(want) - set(got))
    # Every message of the first part had exactly one 200.
    for a, _ in ps:
        codes = [f.code for f in a.poll() if f.method is None]
        assert all(c == 200 for c in codes), codes
    return "%d pairs on %d workers" % (pairs, workers)


def test_relaying_across_workers(w):
    """sessions on different workers reach each other, in order, none lost"""
    return _across(w, 4, False, 12, 50)


def test_relaying_across_workers_tls(w):
    """the same over TLS"""
    return _across(w, 2, True, 8, 30)


def test_bulk_across_workers(w):
    """large chunks between workers arrive whole, with a stalling reader among them"""
    import bulk
    from world import Background
    d = w.daemon({"server.workers": "4"})
    ps = [client.pair(d) for _ in range(6)]
    size = 20 * 10 ** 6 if SLOW == 1 else 4 * 10 ** 6
    jobs = [Background(lambda a=a, b=b, n=n: bulk._transfer(a, b, size, size // 3 if n == 0 else None, 2.0))
            for n, (a, b) in enumerate(ps)]
    for j in jobs:
        j.result(90)


_SEEDS = (
    b"MSRP %(tid)s SEND\r\nTo-Path: %(use)s %(use)s;x\r\nFrom-Path: %(me)s\r\nMessage-ID: m\r\nByte-Range: 1-5/5\r\n"
    b"Content-Type: text/plain\r\n\r\nhello\r\n-------%(tid)s$\r\n",
    b"MSRP %(tid)s AUTH\r\nTo-Path: msrp://edge.tandem.example:5061;tcp\r\nFrom-Path: %(me)s\r\n"
    b"Authorization: Digest username=\"alice\", realm=\"edge.tandem.example\", nonce=\"x\", response=\"y\", nc=1\r\n"
    b"Expires: 60\r\n-------%(tid)s$\r\n",
    b"MSRP %(tid)s REPORT\r\nTo-Path: %(use)s msrp://nowhere.invalid:1/x;tcp\r\nFrom-Path: %(me)s\r\nMessage-ID: m\r\n"
    b"Byte-Range: 1-5/5\r\nStatus: 000 200 OK\r\n-------%(tid)s$\r\n",
    b"MSRP %(tid)s 200 OK\r\nTo-Path: %(use)s\r\nFrom-Path: %(me)s\r\n-------%(tid)s$\r\n",
)


def _mutant(rnd, c):
    data = bytearray(rnd.choice(_SEEDS) % {b"tid": b"f%07x" % rnd.getrandbits(28), b"use": c.use_path.encode(),
                                           b"me": c.uri.encode()})
    for _ in range(rnd.randint(1, 4)):
        at = rnd.randrange(len(data))
        kind = rnd.randrange(6)
        if kind == 0:
            data[at] = rnd.randrange(256)
        elif kind == 1:
            del data[at:at + rnd.randint(1, 20)]
        elif kind == 2:
            data[at:at] = data[rnd.randrange(len(data)):][:rnd.randint(1, 60)]
        elif kind == 3:
            data[at:at] = bytes([rnd.randrange(256)]) * rnd.randint(1, 300)
        elif kind == 4:
            data[at:at] = rnd.choice((b"\r\n", b"\0", b"%00", b"-------", b"\r\n\r\n", b"9" * 20, b";;", b"://"))
        else:
            data[at:at + 1] = b""
        if not data:
            data = bytearray(b"\r\n")
    return bytes(data)


def test_malformed_frames(w):
    """malformed frames without end leave the memory where it was, and others unharmed"""
    d = w.daemon({"msrp.timer_interval": "1", "msrp.auth_min_expires": "1", "auth.max_failures": "1000",
                  "auth.nonce_lifetime": "10", "msrp.probation": "5", "server.log_level": "warning"})
    seed = int(os.environ.get("TANDEM_TEST_SEED", "0")) or random.randrange(1 << 30)
    rnd = random.Random(seed)
    good_a, good_b = client.pair(d)
    frames = 1000000 if w.all else int(15000 / SLOW)
    sent, rounds, base = 0, 0, None
    while sent < frames:
        c = client.Client(d)
        assert c.auth(expires=1) == 200
        try:
            for _ in range(20):
                c.write(b"".join(_mutant(rnd, c) for _ in range(10)))
                sent += 10
                c.poll()
        except (client.Gone, OSError, msrp.BadFrame) as e:
            assert not isinstance(e, msrp.BadFrame), "seed %d: %s" % (seed, e)
        c.close()
        rounds += 1
        if rounds % 50 == 0:
            tid = good_a.send(good_a.path_to(good_b), b"still here")
            f = good_b.frame()
            assert f.body == b"still here", "seed %d: %r" % (seed, f.raw)
            good_b.answer(f)
            good_a.expect(200, tid)
        if base is None and sent >= frames // 3:  # by now the page caches of the database are full, or nearly so
            time.sleep(2.5)
            gc.collect()
            base = d.rss_kb()
    time.sleep(2.5)
    assert d.is_alive(), "seed %d: the daemon has ended" % seed
    grown = d.rss_kb() - base
    if SLOW == 1:
        assert grown < 1024, "seed %d: %d KB more after the second two thirds" % (seed, grown)
    return "%d frames on %d connections, %+d KB, seed %d" % (sent, rounds, grown, seed)
