"""Tokens that outlive their connection and the server, as an operator sees them; and what the log never says.

M-TOK-12 M-TOK-05 M-TOK-11 M-SEC-07"""

import os
import re
import signal
import sqlite3
import subprocess
import time

import client
import sip
from operate import _exchange, _lock
from world import SLOW, Skip, long_only, until


def _row(w, d, token):
    """state|conn_id is there|resumed|seconds to live"""
    rows = w.sql(d, "select state, conn_id > 0, resumed, strftime('%%s', expires) - strftime('%%s', 'now') from msrp_session "
                    "where session_id = '%s'" % token)
    return rows[0].split("|") if rows else [""] * 4


def _again(d, old, user="alice"):
    """The same client on a new connection, where it resumes its token."""
    c = client.Client(d, old.tls)
    c.uri = old.uri
    code = c.auth(user, to=old.use_path)
    assert code == 200, "AUTH to the token: %d" % code
    assert c.use_path == old.use_path, c.use_path
    return c


def test_rows_of_a_session(w):
    """msrp_session says of each token how it is or has ended: detached, resumed, taken over, closed, expired, kicked"""
    d = w.daemon({"server.workers": "2", "msrp.auth_min_expires": "1"})
    a, b = client.pair(d)
    _exchange(a, b, b"x" * 77)
    until(lambda: _row(w, d, a.token)[:3] == ["active", "1", "0"], 2.0, "the row of a new token")
    first = w.sql(d, "select conn_id, srcaddr, created from msrp_session where session_id = '%s'" % a.token)[0].split("|")

    over = _again(d, a)  # while the old connection lives
    until(lambda: _row(w, d, a.token)[:3] == ["active", "1", "1"], 2.0, "the row of a token that was taken over")
    _exchange(over, b, b"y" * 23)
    second = w.sql(d, "select conn_id, srcaddr, created from msrp_session where session_id = '%s'" % a.token)[0].split("|")
    assert first[0] != second[0] and first[1] != second[1] and first[2] == second[2], (first, second)
    until(lambda: w.sql(d, "select frames_in || ' ' || bytes_in from msrp_session where session_id = '%s'" % a.token) == ["2 100"],
          2.0, "its counters go on")
    assert d.ctl("--json", "sessions").count(a.token) >= 1
    until(lambda: w.sql(d, "select close_reason from connection where conn_id = %s" % first[0])
          == ["its sessions were resumed on another connection"], 2.0, "why the old connection has ended")

    over.close()
    until(lambda: _row(w, d, a.token)[0] == "closed", 6.0, "nobody came back for it")
    assert _row(w, d, a.token)[1:3] == ["0", "1"]

    short = client.Client(d)
    assert short.auth("carol", expires=2) == 200
    until(lambda: _row(w, d, short.token)[:2] == ["expired", "1"], 8.0, "it was not renewed")

    kicked = client.Client(d)
    assert kicked.auth("carol") == 200
    d.ctl("kick", kicked.token)
    until(lambda: _row(w, d, kicked.token)[:2] == ["closed", "1"], 2.0, "the operator has ended it")

    banned = client.Client(d)
    assert banned.auth("carol") == 200
    d.ctl("ban", "add", "127.0.0.1", "1")
    until(lambda: _row(w, d, banned.token)[0] == "closed", 2.0, "it went with its source")


def test_stop_and_start(w):
    """after a stop rows wait with all of their lifetime, after a start for msrp.auth_min_expires; then they are resumed or closed"""
    d = w.daemon({"server.workers": "2"})
    a, b = client.pair(d, tls=True)
    gone = client.Client(d)
    assert gone.auth("carol") == 200
    gone.close()
    until(lambda: _row(w, d, gone.token)[:2] == ["active", "0"], 2.0, "a detached one")
    assert 0 < int(_row(w, d, gone.token)[3]) <= 60
    assert not d.stop(), "it did not stop well"
    for c in (a, b):
        state, there, resumed, left = _row(w, d, c.token)
        assert (state, there, resumed) == ("active", "0", "0") and int(left) > 3000, (state, there, resumed, left)
    d.start(keep_port=True)
    for c in (a, b, gone):
        state, there, resumed, left = _row(w, d, c.token)
        assert (state, there) == ("active", "0") and 0 < int(left) <= 60, (state, there, left)
    sessions = d.ctl("--json", "sessions")
    assert all(c.token in sessions for c in (a, b, gone))
    a2, b2 = _again(d, a), _again(d, b, "bob")
    _exchange(a2, b2)
    until(lambda: _row(w, d, a.token)[:3] == ["active", "1", "1"], 2.0, "resumed")
    d.ctl("kick", gone.token)
    until(lambda: _row(w, d, gone.token)[0] == "closed", 2.0, "kicked though it has no connection")


def test_kill_and_start(w):
    """kill -9 in the middle of a conversation: both clients come back with their tokens, and it goes on"""
    d = w.daemon({"server.workers": "2"})
    a, b = client.pair(d)
    _exchange(a, b)
    until(lambda: _row(w, d, a.token)[:2] == ["active", "1"] and _row(w, d, b.token)[0] == "active", 2.0, "rows")
    for n in range(1, 4):
        os.kill(d.pid, signal.SIGKILL)
        d.proc.wait(timeout=10)
        d.start(keep_port=True)
        a, b = _again(d, a), _again(d, b, "bob")
        _exchange(a, b)
        until(lambda: _row(w, d, a.token)[:3] == ["active", "1", str(n)], 2.0, "resumed %d times" % n)


def _resume_for(d, a, b, seconds):
    """Connections break and are resumed all the time; how often, and the longest of it."""
    n, worst, end = 0, 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        t0 = time.monotonic()
        a.close()
        a = _again(d, a)
        _exchange(a, b)
        worst = max(worst, time.monotonic() - t0)
        n += 1
    return a, n, worst


def test_without_the_database(w):
    """tokens of broken connections are resumed while the database is locked or the disk full"""
    mount = os.path.join(w.folder, "small")
    os.makedirs(mount)
    r = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", mount], stderr=subprocess.PIPE)
    mounted = r.returncode == 0
    if mounted:
        w.at_end(lambda: subprocess.run(["umount", "-l", mount], check=True))
    d = w.daemon(start=False)
    d.db = os.path.join(mount, "tandem.db")
    d.start()
    a, b = client.pair(d)
    until(lambda: _row(w, d, a.token)[0] == "active", 2.0, "the row")
    db = sqlite3.connect(d.db, timeout=10, isolation_level=None)
    until(lambda: _lock(db), 5.0, "we got the lock")
    notes = []
    a, n, worst = _resume_for(d, a, b, 2)
    notes.append("locked: %d, worst %.0f ms" % (n, worst * 1000))
    db.execute("rollback")
    db.close()
    if mounted:
        with open(os.path.join(mount, "ballast"), "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"\0" * 4096)
            except OSError:
                pass
        a, n, worst = _resume_for(d, a, b, 2)
        notes.append("full: %d, worst %.0f ms" % (n, worst * 1000))
        os.unlink(os.path.join(mount, "ballast"))
    count = int(d.ctl("stats").split("sessions_resumed")[1].split()[0])
    until(lambda: _row(w, d, a.token)[:3] == ["active", "1", str(count)], 15.0, "the row is right again")
    if not mounted:
        raise Skip("only with a lock (%s): no right to mount a small file system" % ", ".join(notes))
    return "; ".join(notes)


def _fill(d, n):
    """Rows of n live sessions, as the last process left them."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    db = sqlite3.connect(d.db)

    def rows():
        for i in range(n):
            token = "Row" + "".join(alphabet[i // 26 ** k % 26] for k in range(5)) + "abcdefghijklmn"
            yield (token, "user%d" % (i % (n // 100)), client.DOMAIN, i + 1, "msrp://c%d.invalid:49152/s%d;tcp" % (i, i),
                   "msrp://127.0.0.1:%d" % (1024 + i % 60000), "tcp:127.0.0.1:5061",
                   "msrp://%s:5061/%s;tcp" % (client.DOMAIN, token))
    db.executemany("insert into msrp_session (session_id, username, domain, conn_id, peer_uri, srcaddr, srcsock, use_path, created, "
                   "expires, last_activity) values (?, ?, ?, ?, ?, ?, ?, ?, datetime('now'), datetime('now', '+1 hour'), "
                   "datetime('now'))", rows())
    db.commit()
    db.close()


def _many(w, n):
    d = w.daemon()
    assert not d.stop()
    t0 = time.monotonic()
    d.start()
    empty, rss = time.monotonic() - t0, d.rss_kb()
    assert not d.stop()
    _fill(d, n)
    t0 = time.monotonic()
    d.start()
    full = time.monotonic() - t0
    with open(d.log, "rb") as f:
        assert b"sessions to be resumed: %d" % n in f.read()
    assert w.sql(d, "select count(*) from msrp_session where state = 'active' and conn_id = 0") == [str(n)]
    grown = d.rss_kb() - rss
    assert SLOW > 1 or grown < n * 2, "%d kB for %d sessions" % (grown, n)
    c = client.Client(d)
    c.uri = "msrp://c7.invalid:49152/s7;tcp"
    assert c.auth("alice", to="msrp://%s:5061/RowHAAAAabcdefghijklmn;tcp" % client.DOMAIN) == 403  # user7's
    return "%d sessions: %.2f s until ready instead of %.2f s, %.2f kB each" % (n, full, empty, grown / n)


def test_many_rows_at_a_start(w):
    """10,000 live sessions of the last process are there again at the start"""
    return _many(w, 10000)


@long_only
def test_very_many_rows_at_a_start(w):
    """100,000 live sessions of the last process are there again at the start"""
    return _many(w, 100000)


def test_the_log_keeps_secrets(w):
    """the log of a whole conversation at level debug has no token, digest response, password or body in it"""
    d = w.daemon({"server.log_level": "debug", "server.workers": "2"})
    said, secrets = [], {"Wonder-1and", "Builder-2and"}
    write = client.Client.write

    def listened(self, data):
        said.append(bytes(data))
        write(self, data)

    client.Client.write = listened
    try:
        a, b = client.pair(d)
        body = b"Attack at dawn, the password is swordfish"
        _exchange(a, b, body)
        assert a.auth("alice", to=a.use_path) == 200
        assert a.auth("alice", "wrong") == 401
        a.send(a.use_path + "X " + b.uri, body)  # no such token
        assert a.frame().code in (400, 481)
        a.send(b.use_path + " " + b.uri, body, fr="yes")  # answered with a failure, reported
        assert a.frame().code == 200
        f = b.frame()
        b.answer(f, 413, body.decode())
        assert a.frame().method == "REPORT"
        a.request("SEND", a.path_to(b), [("Message-ID", "bad range"), ("Byte-Range", "0-0/0")], body)
        assert a.frame().code == 400
        c = _again(d, a)
        x = client.Client(d)
        x.uri = a.uri
        assert x.auth("bob", to=a.use_path) == 403
        x.write(b"MSRP broken01 SEND\r\nTo-Path: " + a.use_path.encode() + b" " + a.uri.encode() + b"\r\nnonsense " + body + b"\r\n")
        until(lambda: _ended(x), 3.0, "the malformed frame ends the connection")
        u = sip.Sip(d, "tcp")
        assert u.register("alice", "sip:alice@127.0.0.1:6666;transport=tcp").code == 200
        d.ctl("kick", b.token)
        c.close()
        until(lambda: _row(w, d, c.token)[1] == "0", 3.0, "detached")
        secrets |= {a.token, b.token}
    finally:
        client.Client.write = write
    secrets |= set(re.findall(r'response="([0-9a-f]{32,64})"', b"".join(said).decode(errors="replace")))
    assert len(secrets) >= 9, secrets
    assert not d.stop()
    with open(d.log, "rb") as f:
        log = f.read().decode(errors="replace")
    assert "malformed" in log and "AUTH refused" in log, "the log tells nothing"
    for s in secrets | {"swordfish", "Attack at dawn"}:
        assert s not in log, "the log tells %s" % s


def _ended(c):
    try:
        c.frame(0.1)
    except client.Gone:
        return True
    except TimeoutError:
        pass
    return False
