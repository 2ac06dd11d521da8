"""What an operator does while traffic flows: reload, stop, users, looking into the database, a full disk.

M-CON-17 M-AUTH-12 M-TLS-01 M-TOK-10"""

import os
import re
import shutil
import socket
import ssl
import subprocess
import time

import client
from daemon import Failure
from ports import free_port
import sip
from world import SLOW, Background, Skip, until


def _exchange(a, b, text=b"hello"):
    tid = a.send(a.path_to(b), text)
    f = b.frame()
    assert f.method == "SEND" and f.body == text, f.raw
    b.answer(f)
    a.expect(200, tid)


def test_rows_within_a_second(w):
    """sessions, connections and relayed messages are seen with the sqlite3 program within a second"""
    d = w.daemon()
    a, b = client.pair(d)
    _exchange(a, b, b"x" * 1234)
    session = "select username||'@'||domain||' '||state from msrp_session where session_id='%s'" % a.token
    until(lambda: w.sql(d, session) == ["alice@edge.tandem.example active"], 1.0, "the row of the session")
    open_now = "select count(*) from connection where protocol='msrp' and transport='tcp' and closed is null"
    until(lambda: int(w.sql(d, open_now)[0]) >= 2, 1.0, "the rows of the connections")
    until(lambda: w.sql(d, "select username||' '||bytes||' '||status from acc_msrp") == ["alice 1234 200"],
          1.5, "the accounting row: %s" % w.sql(d, "select * from acc_msrp"))
    a.close()
    ended = "select count(*) from connection where closed is not null"
    until(lambda: int(w.sql(d, ended)[0]) >= 1, 1.0, "the end of a connection")


def test_registrations_on_disk(w):
    """a registration answered with 200 is in the location table"""
    d = w.daemon()
    u = sip.Sip(d, "tcp")
    r = u.register("alice", "sip:alice@127.0.0.1:6666;transport=tcp")
    assert r.code == 200, r.first
    rows = w.sql(d, "select username||' '||contact from location")
    assert len(rows) == 1 and rows[0].startswith("alice sip:alice@127.0.0.1:6666"), rows


def test_users_while_running(w):
    """users added, blocked, given another password and removed by tandemctl count at once, for MSRP and for SIP"""
    d = w.daemon()
    phone = sip.Sip(d, "tcp")

    def login(user, password):
        c = client.Client(d)
        try:
            return c.auth(user, password), phone.register(user, password=password).code
        finally:
            c.close()

    assert login("erin", "Erin-1and") == (401, 401)
    d.ctl("user", "add", "erin@edge.tandem.example", "--password", "Erin-1and")
    until(lambda: login("erin", "Erin-1and") == (200, 200), 2.0, "the new user can log in")
    d.ctl("user", "passwd", "erin@edge.tandem.example", "--password", "Other-2and")
    until(lambda: login("erin", "Other-2and") == (200, 200), 2.0, "the new password is good")
    assert login("erin", "Erin-1and") == (401, 401), "the old password is still good"
    d.ctl("user", "block", "erin@edge.tandem.example")
    until(lambda: login("erin", "Other-2and") == (403, 403), 2.0, "the blocked user is refused")
    d.ctl("user", "unblock", "erin@edge.tandem.example")
    until(lambda: login("erin", "Other-2and") == (200, 200), 2.0, "the user is back")
    d.ctl("user", "del", "erin@edge.tandem.example")
    until(lambda: login("erin", "Other-2and") == (401, 401), 2.0, "the user is gone")


def _serial_of(d):
    ctx = d.pki.client_context()
    with socket.create_connection(d.address, timeout=5 * SLOW) as s:
        with ctx.wrap_socket(s, server_hostname=client.DOMAIN) as t:
            return t.getpeercert()["serialNumber"]


def test_reload_with_new_certificate(w):
    """SIGHUP takes a new certificate; connections, sessions and users stay"""
    d = w.daemon(start=False)
    os.makedirs(d.folder, exist_ok=True)
    cert, key = os.path.join(d.folder, "cert.pem"), os.path.join(d.folder, "key.pem")
    for n, name in enumerate((cert, key)):
        shutil.copyfile(d.pki.leaf("edge.tandem.example")[n], name)
    d.overrides.update({"tls.certificate": cert, "tls.private_key": key})
    d.start()
    a, b = client.pair(d, tls=True)
    u = sip.Sip(d, "tls")
    assert u.register("alice", "sip:alice@%s;transport=tls" % u.local).code == 200
    before = _serial_of(d)
    for n, name in enumerate((cert, key)):
        shutil.copyfile(d.pki.leaf("edge.tandem.example", serial=1)[n], name + ".new")
        os.rename(name + ".new", name)
    d.hup()
    until(lambda: _serial_of(d) != before, 3.0, "the new certificate is shown")
    _exchange(a, b)
    r = u.register("alice")
    assert r.code == 200 and any("alice@" in c for c in r.all("contact", "m")), r.first
    # A certificate that cannot be read changes nothing.
    now = _serial_of(d)
    with open(cert, "w") as f:
        f.write("this is no certificate\n")
    try:
        told = d.ctl("reload")
    except Failure as e:
        told = str(e)
    assert "exit 1" in told and cert in told, "the operator is not told that the certificate was not taken: " + told
    assert d.is_alive(), "the daemon ended over a bad certificate at a reload"
    assert _serial_of(d) == now
    _exchange(a, b)


def test_reload_under_load(w):
    """ten reloads while messages flow: none lost"""
    import together
    d = w.daemon({"server.workers": "2"})
    load = together.Load([client.pair(d) for _ in range(4)], 500 / SLOW)
    load.run(3.0, [(0.2 * n, d.hup) for n in range(1, 11)])
    assert not load.failed, load.failed[0]
    assert not load.sent, "%d of %d messages did not arrive" % (len(load.sent), load.n)
    return "%d messages, worst %.1f ms" % (load.n, max(l for _, l in load.latency) * 1000)


def test_stop_drains(w):
    """SIGTERM: no new connections, what is on its way arrives, exit status 0"""
    d = w.daemon({"server.drain_time": "8"})
    a, b = client.pair(d, rcvbuf=65536)
    c = client.Client(d)
    size = 8 * 10 ** 6
    tid = a.tid()
    got = bytearray()
    stream = client.Stream(b, got.extend)

    def upload():
        a.write(("MSRP %s SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: drain\r\nByte-Range: 1-*/%d\r\n"
                 "Content-Type: text/plain\r\n\r\n" % (tid, a.path_to(b), a.uri, size)).encode())
        for _ in range(80):
            a.write(b"d" * (size // 80))
            time.sleep(0.02)
        a.write(("\r\n-------%s$\r\n" % tid).encode())

    up = Background(upload)
    while stream.total < size // 8:
        stream.step()
    t0 = time.monotonic()
    d.proc.terminate()
    time.sleep(0.3)
    refused = False
    try:
        x = socket.create_connection(d.address, timeout=2)
        x.settimeout(2 * SLOW)
        refused = not x.recv(1)
        x.close()
    except (ConnectionError, socket.timeout):
        refused = True
    assert refused, "a new connection was accepted"
    code = c.auth("carol")
    assert code == 403, "AUTH while stopping: %d" % code
    while not stream.step():
        pass
    up.result(20)
    assert stream.total == size and got == b"d" * size
    a.expect(200, tid)
    for x in (a, b, c):
        x.close()
    d.proc.wait(timeout=12 * SLOW)
    assert d.proc.returncode == 0, "exit status %d" % d.proc.returncode
    took = time.monotonic() - t0
    d._log.close()
    d.proc = None
    assert took < 9.5 * SLOW, "it took %.1f s though everybody had gone" % took
    return "%.1f s" % took


def test_restart_keeps_listening(w):
    """a service manager that keeps sockets: who connects while it restarts is served by the next process (S-SEC-08)"""
    d = w.daemon({"server.workers": "2"}, start=False)
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    os.makedirs(d.folder, exist_ok=True)
    manager.bind(os.path.join(d.folder, "notify"))
    manager.settimeout(10 * SLOW)
    w.at_end(manager.close)
    d.environ["NOTIFY_SOCKET"] = os.path.join(d.folder, "notify")

    def heard(what):
        fds = []
        while True:
            text, new, _, _ = socket.recv_fds(manager, 4096, 8)
            fds += new
            if what in text.decode().split("\n"):
                return text.decode().split("\n"), fds

    def serves(c):
        try:
            return c.auth() == 200
        except (client.Gone, OSError):
            return False

    d.start()
    for workers in ("2", "1", "2"):  # sockets that are too many are closed, those that are missing are opened
        heard("READY=1")
        d.proc.terminate()
        kept = []
        while len(kept) < int(d.overrides["server.workers"]):
            text, fds = heard("FDSTORE=1")
            assert "FDNAME=listener" in text and len(fds) == 1, text
            kept += fds
        d.proc.wait(timeout=10 * SLOW)
        assert d.proc.returncode == 0, "exit status %d" % d.proc.returncode
        waiting = [client.Client(d) for _ in range(16)]  # nobody refuses them
        d.overrides["server.workers"] = workers
        d.sockets, n = kept, len(kept)
        d.start(keep_port=True)
        heard("FDSTOREREMOVE=1")
        served = sum(serves(c) for c in waiting)
        # With fewer workers the system may have given some to a socket that is closed now.
        assert served == len(waiting) if int(workers) >= n else served > 0, "%d served" % served
        more = [client.Client(d) for _ in range(4)]
        assert all(serves(c) for c in more)
        for c in waiting + more:
            c.close()


def test_stop_writes_what_was_taken(w):
    """SIGTERM: messages that nobody answers (Failure-Report: no) reach a receiver who begins to read late"""
    d = w.daemon({"server.drain_time": "7"})
    a, b = client.pair(d, rcvbuf=8192)
    message = b"m" * 2000

    def burst():
        try:
            while True:
                a.send(a.path_to(b), message, fr="no")
        except OSError:
            pass

    up = Background(burst)
    taken, before = 0, -1
    while taken != before:  # until the relay takes no more
        time.sleep(0.5 * SLOW)
        before, taken = taken, int(re.search(r"msrp_forwarded\D+(\d+)", d.ctl("stats")).group(1))
    assert taken > 100
    d.proc.terminate()
    time.sleep(2.5)
    got = 0
    try:
        while True:
            got += b.frame().body == message
    except (client.Gone, OSError):
        pass
    d.proc.wait(timeout=20 * SLOW)
    for x in (a, b):
        x.close()
    up.result(20)
    assert d.proc.returncode == 0, "exit status %d" % d.proc.returncode
    d._log.close()
    d.proc = None
    assert got >= taken, "%d of %d messages arrived" % (got, taken)
    return "%d messages" % got


def test_stop_ends_with_idle_sessions(w):
    """SIGTERM with idle sessions ends within the drain time"""
    d = w.daemon({"server.drain_time": "2"})
    ps = [client.pair(d) for _ in range(5)]
    t0 = time.monotonic()
    d.proc.terminate()
    d.proc.wait(timeout=10 * SLOW)
    took = time.monotonic() - t0
    code = d.proc.returncode
    d._log.close()
    d.proc = None
    assert code == 0, "exit status %d" % code
    assert took < 4 * SLOW, "%.1f s" % took
    assert ps
    return "%.2f s" % took


def _small_disk(w):
    """A file system of 24 MB, gone at the end of the test."""
    mount = os.path.join(w.folder, "small")
    os.makedirs(mount)
    r = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", mount], stderr=subprocess.PIPE)
    if r.returncode:
        raise Skip("no right to mount a small file system: " + r.stderr.decode(errors="replace").strip())
    w.at_end(lambda: subprocess.run(["umount", "-l", mount], check=True))
    return mount


def _fill(mount):
    with open(os.path.join(mount, "ballast"), "wb", buffering=0) as f:
        try:
            while True:
                f.write(b"\0" * 65536)
        except OSError:
            pass


def test_unwritable_database_at_the_start(w):
    """a database that cannot be made or written: status 2, and one line that names the file and the reason"""
    mount = _small_disk(w)
    d = w.daemon(start=False)
    d.port = free_port()
    d.db = os.path.join(mount, "tandem.db")

    def refused(*reasons):
        d.write_conf()
        r = _start(d)
        errors = [line for line in r.stdout.decode().splitlines() if " error " in line]
        assert r.returncode == 2 and len(errors) == 1, "%d: %s" % (r.returncode, r.stdout)
        assert d.db in errors[0] and any(reason in errors[0] for reason in reasons), errors

    def mode(how):
        subprocess.run(["mount", "-o", "remount," + how, mount], check=True)

    mode("ro")
    refused("Read-only file system")
    mode("rw")
    _fill(mount)
    refused("full", "No space left")
    os.unlink(d.db)
    os.unlink(os.path.join(mount, "ballast"))
    d.template.copy_to(d.db)
    mode("ro")
    refused("readonly")
    mode("rw")
    _fill(mount)
    refused("No space left")


def test_full_disk(w):
    """a full disk stops neither MSRP nor SIP nor AUTH and is said once; rows appear again when there is room"""
    mount = _small_disk(w)
    d = w.daemon(start=False)
    d.db = os.path.join(mount, "tandem.db")
    d.start()
    a, b = client.pair(d)
    u = sip.Sip(d, "tcp")
    _exchange(a, b)
    _fill(mount)
    worst = 0.0
    end = time.monotonic() + (6 if w.all else 3)
    n = 0
    while time.monotonic() < end:
        t0 = time.monotonic()
        _exchange(a, b, b"y" * 500)
        worst = max(worst, time.monotonic() - t0)
        n += 1
        if n % 100 == 0:
            c = client.Client(d)
            assert c.auth("carol") == 200
            c.close()
            r = u.request("OPTIONS", "sip:" + sip.DOMAIN)
            assert r.code == 200, r.first
    assert worst < 0.5 * SLOW, "a message took %.0f ms" % (worst * 1000)
    assert int(re.search(r"db_errors\D+(\d+)", d.ctl("stats")).group(1)) > 0
    os.unlink(os.path.join(mount, "ballast"))
    e, f = client.pair(d)
    until(lambda: w.sql(d, "select state from msrp_session where session_id='%s'" % e.token) == ["active"], 5.0,
          "rows are written again")
    _exchange(e, f)
    with open(d.log) as log:
        said = [line for line in log if " db " in line]
    for words in ("cannot write %s, rows wait: " % d.db, "writing %s again" % d.db):
        assert len([line for line in said if words in line]) == 1, said
    return "%d messages on a full disk, worst %.1f ms" % (n, worst * 1000)


def test_locked_database(w):
    """somebody who holds the database locked stops no traffic"""
    import sqlite3
    d = w.daemon()
    a, b = client.pair(d)
    db = sqlite3.connect(d.db, timeout=10, isolation_level=None)
    until(lambda: _lock(db), 5.0, "we got the lock")
    try:
        worst = 0.0
        end = time.monotonic() + 3
        while time.monotonic() < end:
            t0 = time.monotonic()
            _exchange(a, b)
            worst = max(worst, time.monotonic() - t0)
        c = client.Client(d)
        assert c.auth("carol") == 200
    finally:
        db.execute("rollback")
        db.close()
    assert worst < 0.5 * SLOW, "a message took %.0f ms" % (worst * 1000)
    until(lambda: w.sql(d, "select state from msrp_session where session_id='%s'" % c.token) == ["active"], 8.0,
          "rows are written again")
    return "worst %.1f ms" % (worst * 1000)


def _lock(db):
    import sqlite3
    try:
        db.execute("begin immediate")
        return True
    except sqlite3.OperationalError:
        return False


def test_kick_and_lists(w):
    """tandemctl lists sessions and connections, and kick ends a session"""
    d = w.daemon()
    a, b = client.pair(d)
    _exchange(a, b)
    out = d.ctl("--json", "sessions")
    assert a.token in out and b.token in out, out
    assert "alice" in d.ctl("sessions")
    d.ctl("connections")
    d.ctl("stats")
    d.ctl("registrations")
    d.ctl("kick", a.token)
    tid = a.send(a.path_to(b), b"after the kick")
    try:
        f = a.frame()
        assert f.tid == tid and f.code == 481, f.raw
    except client.Gone:
        pass
    time.sleep(0.1)
    assert not b.poll(), "a kicked session still routes"


def _is_let_in(d):
    """A new connection that says nothing: is it kept?"""
    with socket.create_connection(d.address, timeout=5 * SLOW) as s:
        s.settimeout(0.3)
        try:
            return s.recv(1) != b""
        except ConnectionResetError:
            return False
        except socket.timeout:
            return True


def test_ban(w):
    """tandemctl ban shuts a source out at once, with what it has open, until it is lifted or its time is over"""
    d = w.daemon()
    open_before = client.Client(d)
    d.ctl("ban", "add", "127.0.0.1", "60")
    until(lambda: open_before.sock.recv(1) == b"", 2.0, "the open connection is closed")
    assert not _is_let_in(d)
    assert "127.0.0.1" in d.ctl("ban", "list")
    d.ctl("ban", "del", "127.0.0.1")
    assert _is_let_in(d)
    d.ctl("ban", "add", "127.0.0.1", str(max(1, round(SLOW))))  # longer than this looks
    assert not _is_let_in(d)
    until(lambda: _is_let_in(d), 5.0, "the ban is over")


def test_too_many_requests(w):
    """a source with more requests a second than limits.requests_per_second is shut out for limits.ban_time"""
    d = w.daemon({"limits.requests_per_second": "5", "limits.ban_time": "2"})
    request = ("OPTIONS sip:edge.tandem.example SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bKe%d\r\n"
               "From: <sip:e@edge.tandem.example>;tag=e\r\nTo: <sip:edge.tandem.example>\r\nCall-ID: e%d\r\n"
               "CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n")
    answered = 0
    with socket.create_connection(d.address, timeout=5 * SLOW) as s:
        try:
            while answered < 100:
                s.sendall((request % (answered, answered)).encode())
                if not s.recv(65536):
                    break
                answered += 1
        except ConnectionError:
            pass
    assert 5 <= answered < 100, answered
    assert not _is_let_in(d)
    assert "too many requests" in d.ctl("ban", "list")
    until(lambda: _is_let_in(d), 6.0, "the source is let in again")


def _start(d):
    return subprocess.run([d.tandemd, "-c", d.conf], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10 * SLOW)


def test_bad_starts(w):
    """a bad configuration: status 1 and the line; a port that is taken: status 2"""
    d = w.daemon(start=False)
    d.port = 1
    d.write_conf()
    with open(d.conf, "a") as f:
        f.write("[nonsense]\nkey = value\n")
    r = _start(d)
    assert r.returncode == 1, "%d: %s" % (r.returncode, r.stdout)
    assert b"tandem.ini:" in r.stdout, r.stdout
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(1)
        d.port = s.getsockname()[1]
        d.write_conf()
        r = _start(d)
        assert r.returncode == 2, "%d: %s" % (r.returncode, r.stdout)
        assert str(d.port).encode() in r.stdout, r.stdout
