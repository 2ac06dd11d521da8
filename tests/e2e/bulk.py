"""Large messages and slow readers: nothing is lost, memory stays small, others are not delayed.

M-CHK-06 M-FLOW-01 M-FAIR-06 M-TMR-01 M-SEC-03"""

import hashlib
import os
import statistics
import time

import client
from world import SLOW, Background, Memory


def _send_chunk(a, b, total, block, message_id, note_sent=None):
    """One single chunk of total octets, made of repetitions of block; returns the checksum."""
    tid = a.tid()
    a.write(("MSRP %s SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: %s\r\nByte-Range: 1-*/%d\r\n"
             "Content-Type: application/octet-stream\r\n\r\n" % (tid, a.path_to(b), a.uri, message_id, total)).encode())
    h = hashlib.blake2b()
    left = total
    a.sock.settimeout(60 * SLOW)
    while left:
        part = block if left >= len(block) else block[:left]
        a.sock.sendall(part)
        h.update(part)
        left -= len(part)
        if note_sent:
            note_sent(total - left)
    a.write(("\r\n-------%s$\r\n" % tid).encode())
    return tid, h.hexdigest()


def _transfer(a, b, total, pause_at=None, pause_s=0.0):
    """a sends, b receives; returns (octets per second, pieces). Everything is compared."""
    block = os.urandom(1 << 20)
    sending = Background(lambda: _send_chunk(a, b, total, block, "bulk-%d" % total))
    h = hashlib.blake2b()
    stream = client.Stream(b, h.update)
    t0 = time.monotonic()
    paused = False
    while not stream.step(30):
        if pause_at is not None and not paused and stream.total >= pause_at:
            time.sleep(pause_s)
            paused = True
    tid, sent = sending.result(60)
    a.expect(200, tid, 10 * SLOW)
    assert stream.flag == "$", "it ends with " + stream.flag
    assert stream.total == total, "%d of %d octets came" % (stream.total, total)
    assert h.hexdigest() == sent, "the checksum differs"
    time.sleep(0.1)
    assert not a.poll(), "more than the 200 came"
    return total / (time.monotonic() - t0), stream.pieces


def test_one_gigabyte_in_one_chunk(w):
    """a single chunk of 1 GB arrives whole while the relay stays below 64 MB"""
    d = w.daemon()
    a, b = client.pair(d)
    total = 10 ** 9 if SLOW == 1 else 10 ** 8
    m = Memory(d)
    speed, pieces = _transfer(a, b, total)
    peak = m.stop()
    if SLOW == 1:
        assert peak < 64 * 1024, "VmRSS was %d KB" % peak
    return "%.0f MB/s, VmRSS at most %.1f MB, %d pieces" % (speed / 1e6, peak / 1024, pieces)


def test_large_chunk_over_tls(w):
    """100 MB in one chunk between two TLS clients"""
    d = w.daemon()
    a, b = client.pair(d, tls=True)
    m = Memory(d)
    speed, _ = _transfer(a, b, 10 ** 8 if SLOW == 1 else 10 ** 7)
    peak = m.stop()
    if SLOW == 1:
        assert peak < 64 * 1024, "VmRSS was %d KB" % peak
    return "%.0f MB/s, VmRSS at most %.1f MB" % (speed / 1e6, peak / 1024)


def test_reader_that_stalls(w):
    """a reader that stops in the middle loses nothing and does not delay another session"""
    d = w.daemon({"server.workers": "1"})  # one worker: both sessions share everything
    a, b = client.pair(d, rcvbuf=65536)
    c, e = client.pair(d)
    stall = 20.0 if w.all else 5.0
    total = 60 * 10 ** 6
    bulk = Background(lambda: _transfer(a, b, total, total // 2, stall))
    delays = []
    end = time.monotonic() + stall + 1
    while time.monotonic() < end:
        t0 = time.monotonic()
        c.send(c.path_to(e), b"how are you?", fr="no")
        f = e.frame(5 * SLOW)
        delays.append(time.monotonic() - t0)
        assert f.body == b"how are you?"
        time.sleep(0.01)
    bulk.result(90)
    # The first half second is the bulk transfer at full speed on two cores, which we share with it.
    worst = max(delays[20:])
    assert worst < 0.3 * SLOW, "a message of the other session took %.0f ms" % (worst * 1000)
    return "other session: median %.2f ms, worst %.1f ms over %d messages" % (
        statistics.median(delays) * 1000, worst * 1000, len(delays))


def test_two_bulk_transfers_share(w):
    """two bulk transfers through one worker both advance"""
    d = w.daemon({"server.workers": "1"})
    a, b = client.pair(d)
    c, e = client.pair(d)
    total = 50 * 10 ** 6
    first = Background(lambda: _transfer(a, b, total))
    second = Background(lambda: _transfer(c, e, total))
    r1, r2 = first.result(60)[0], second.result(60)[0]
    assert max(r1, r2) < 3 * min(r1, r2), "%.0f against %.0f MB/s" % (r1 / 1e6, r2 / 1e6)
    return "%.0f and %.0f MB/s" % (r1 / 1e6, r2 / 1e6)
