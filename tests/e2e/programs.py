"""msrpcat through the relay: text, files, and a call by SIP and MSRP on the same port.

M-FWD-12 M-SDP-01 M-REP-07"""

import hashlib
import os
import re
import subprocess
import time

import client
import daemon as daemon_mod
from world import SLOW, until

PW = daemon_mod.USERS


def _file(w, name, size):
    path = os.path.join(w.folder, name)
    with open(path, "wb") as f:
        left = size
        while left:
            n = min(left, 1 << 20)
            f.write(os.urandom(n))
            left -= n
    return path


def _sum(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        for block in iter(lambda: f.read(1 << 20), b""):
            h.update(block)
    return h.hexdigest()


def _relay_options(d, user, scheme):
    o = ["-r", "%s://127.0.0.1:%d" % (scheme, d.port), "-u", user, "-w", PW["%s@%s" % (user, client.DOMAIN)]]
    return o + (["-k"] if scheme == "msrps" else [])


def _listen(w, d, user, scheme, out, *extra):
    """msrpcat listen; (process, its path)."""
    msrpcat = w.program("msrpcat")
    err = os.path.join(w.folder, user + ".err")
    with open(out, "wb") as o, open(err, "wb") as e:
        p = w.spawn(msrpcat, *_relay_options(d, user, scheme), *extra, "listen", stdout=o, stderr=e)

    def path():
        with open(err) as f:
            text = f.read()
        assert p.poll() is None or "path:" in text, "msrpcat listen ended: " + text
        m = re.search(r"^path: (.*)$", text, re.M)
        return m and m.group(1)

    return p, until(path, 10, "msrpcat prints its path")


def _files_through(w, scheme, size):
    d = w.daemon({"msrp.use_path_addr": ""})
    big = _file(w, "big", size)
    out = os.path.join(w.folder, "received")
    p, path = _listen(w, d, "bob", scheme, out, "--count", "1")
    t0 = time.monotonic()
    r = subprocess.run([w.program("msrpcat"), *_relay_options(d, "alice", scheme), "--report", "send", path, big],
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60 * SLOW)
    took = time.monotonic() - t0
    assert r.returncode == 0, "msrpcat send: %d: %s" % (r.returncode, r.stdout.decode(errors="replace"))
    p.wait(timeout=10 * SLOW)
    assert p.returncode == 0, "msrpcat listen: %d" % p.returncode
    assert _sum(out) == _sum(big), "the file differs"
    return "%.0f MB/s" % (size / took / 1e6)


def test_file_over_tls(w):
    """msrpcat sends a file over TLS with a success report"""
    return _files_through(w, "msrps", 100 * 10 ** 6 if SLOW == 1 else 10 ** 7)


def test_file_over_tcp(w):
    """msrpcat sends a file over plain TCP with a success report"""
    return _files_through(w, "msrp", 100 * 10 ** 6 if SLOW == 1 else 10 ** 7)


def test_wrong_password(w):
    """msrpcat with a wrong password fails with status 1"""
    d = w.daemon({"msrp.use_path_addr": ""})
    r = subprocess.run([w.program("msrpcat"), "-r", "msrp://127.0.0.1:%d" % d.port, "-u", "alice", "-w", "no", "listen"],
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30 * SLOW)
    assert r.returncode == 1, "%d: %s" % (r.returncode, r.stdout)


def call(w, d, transport, size):
    """bob answers and alice calls with msrpcat, which sends a file in the call."""
    msrpcat = w.program("msrpcat")
    scheme = {"tcp": "msrp", "tls": "msrps"}[transport]
    big = _file(w, "big", size)
    out, err = os.path.join(w.folder, "received"), os.path.join(w.folder, "bob.err")

    def me(user):
        return _relay_options(d, user, scheme) + ["--sip", "sip:%s@%s" % (user, client.DOMAIN), "--proxy", "sip:127.0.0.1:%d;transport=%s" % (d.port, transport)]

    with open(out, "wb") as o, open(err, "wb") as e:
        bob = w.spawn(msrpcat, *me("bob"), "answer", stdout=o, stderr=e)

    def registered():
        assert bob.poll() is None, "msrpcat answer ended: " + open(err).read()
        return w.sql(d, "select contact from location where username='bob' and socket like '%s:%%'" % transport)

    until(registered, 10, "bob is registered")
    r = subprocess.run([msrpcat, *me("alice"), "--register", "--report", "call", "sip:bob@" + client.DOMAIN, big],
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60 * SLOW)
    said = r.stdout.decode(errors="replace") + "\nbob: " + open(err).read()
    assert r.returncode == 0, "msrpcat call: %d: %s" % (r.returncode, said)
    bob.wait(timeout=10 * SLOW)
    assert _sum(out) == _sum(big), "the file differs"


def test_call(w):
    """a call: REGISTER, INVITE and MSRP through the one port, a 10 MB file in it"""
    call(w, w.daemon({"msrp.use_path_addr": ""}), "tcp", 10 ** 7)
