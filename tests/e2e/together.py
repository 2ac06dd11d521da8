"""SIP and MSRP do not harm each other: a SIP process that dies, MSRP readers that stop.

M-MUX-06"""

import os
import select
import signal
import statistics
import time

import client
import sip
from world import SLOW


class Load:
    """A steady flow of small messages over several pairs, one loop for both ends, so that latencies are true."""

    def __init__(self, pairs, rate):
        self.pairs, self.rate = pairs, rate
        self.sent = {}       # message id -> time
        self.latency = []    # (time sent, seconds)
        self.failed = []
        self.answers = 0

    def run(self, seconds, events=()):
        """events: (seconds from now, function)."""
        events = sorted(events, key=lambda e: e[0])
        by_fd = {}
        for a, b in self.pairs:
            by_fd[a.fileno()] = (a, False)
            by_fd[b.fileno()] = (b, True)
        poll = select.epoll()
        for fd in by_fd:
            poll.register(fd, select.EPOLLIN)
        start = time.monotonic()
        n = 0
        end = start + seconds
        while True:
            now = time.monotonic()
            if events and now - start >= events[0][0]:
                events.pop(0)[1]()
            due = start + n / self.rate
            if now < end and now >= due:
                a, b = self.pairs[n % len(self.pairs)]
                mid = "load-%d" % n
                self.sent[mid] = time.monotonic()
                a.send(a.path_to(b), b"x" * 200, message_id=mid)
                n += 1
                continue
            if now >= end and (not self.sent or now > end + 5 * SLOW):
                break
            wait = max(0.0, min(due - now, 0.05)) if now < end else 0.05
            for fd, _ in poll.poll(wait):
                c, receives = by_fd[fd]
                for f in c.poll():
                    if f.method == "SEND" and receives:
                        t = self.sent.pop(f.get("Message-ID"))
                        self.latency.append((t - start, time.monotonic() - t))
                        c.answer(f)
                    elif f.method is None and f.code == 200:
                        self.answers += 1
                    else:
                        self.failed.append(f.raw)
        poll.close()
        self.n = n


def test_kill_of_the_sip_process(w):
    """kill -9 of the SIP process under load: no message lost or late; SIP, connections and registrations are back"""
    d = w.daemon({"server.workers": "2"})
    ua = {t: sip.Sip(d, t) for t in ("udp", "tcp", "tls")}
    for t, u in ua.items():
        r = u.request("OPTIONS", "sip:" + sip.DOMAIN)
        assert r.code, t
    for t, user in (("tcp", "alice"), ("tls", "bob"), ("udp", "carol")):
        r = ua[t].register(user, "sip:%s@%s;transport=%s" % (user, ua[t].local, t))
        assert r.code == 200, "REGISTER over %s: %s" % (t, r.first)
    pairs = [client.pair(d) for _ in range(5)]
    load = Load(pairs, 1000 / SLOW)
    killed = []

    def kill():
        pid = d.sip_pid()
        assert pid, "no SIP process found"
        os.kill(pid, signal.SIGKILL)
        d.sip_deaths += 1
        killed.append((pid, time.monotonic()))

    load.run(3.0, [(1.0, kill), (2.0, kill)] if w.all else [(1.0, kill)])
    assert not load.failed, load.failed[0]
    assert not load.sent, "%d of %d messages did not arrive" % (len(load.sent), load.n)
    worst = max(l for _, l in load.latency)
    median = statistics.median(l for _, l in load.latency)
    # How long SIP is away, measured on its own.
    t0 = time.monotonic()
    kill()
    back = None
    while time.monotonic() - t0 < 5 * SLOW:
        try:
            probe = sip.Sip(d, "tcp", timeout=0.05)
            r = probe.request("OPTIONS", "sip:" + sip.DOMAIN)
            probe.close()
            if r.code:
                back = time.monotonic() - t0
                break
        except (TimeoutError, OSError):
            continue
    assert back is not None, "SIP does not answer any more"
    assert d.sip_pid() != killed[-1][0]
    # The old connections still work, and the registrations are there.
    for t, user in (("tcp", "alice"), ("tls", "bob"), ("udp", "carol")):
        r = ua[t].register(user)
        assert r.code == 200, "over the old %s connection: %s" % (t, r.first)
        assert any(user in c for c in r.all("contact", "m")), "the registration of %s is lost" % user
    assert back < 1.0 * SLOW, "SIP answered after %.2f s" % back
    assert worst < 0.25 * SLOW, "an MSRP message took %.0f ms" % (worst * 1000)
    return "%d messages, latency median %.2f ms, worst %.1f ms; SIP back after %.0f ms" % (
        load.n, median * 1000, worst * 1000, back * 1000)


def test_stalled_uploads_do_not_delay_sip(w):
    """many MSRP uploads to readers that have stopped: SIP is answered within 100 ms, and so is AUTH"""
    d = w.daemon({"server.workers": "1", "msrp.buffer": "64k"})
    n = 300 if w.all else 100
    stalled = []
    for _ in range(n):
        a, b = client.pair(d, rcvbuf=4096)
        a.sock.setblocking(False)
        try:
            head = "MSRP %s SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: up\r\nByte-Range: 1-*/*\r\n"
            head += "Content-Type: text/plain\r\n\r\n"
            a.sock.send((head % (a.tid(), a.path_to(b), a.uri)).encode())
            while True:
                a.sock.send(b"u" * 65536)
        except BlockingIOError:
            pass
        stalled.append((a, b))
    u = sip.Sip(d, "tcp")
    times = []
    for _ in range(30):
        t0 = time.monotonic()
        assert u.request("OPTIONS", "sip:" + sip.DOMAIN).code == 200
        times.append(time.monotonic() - t0)
        c = client.Client(d)
        t0 = time.monotonic()
        assert c.auth("carol") == 200
        times.append(time.monotonic() - t0)
        c.close()
    assert max(times) < 0.1 * SLOW, "%.0f ms" % (max(times) * 1000)
    return "%d uploads, worst answer %.1f ms" % (n, max(times) * 1000)
