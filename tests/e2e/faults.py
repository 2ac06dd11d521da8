"""Connections that break at every place: no message is lost without its sender being told, none comes twice.

The program relay-faults (tests/faults) plays clients and foreign endpoints behind faulty proxies and judges what each of them
was told and got. M-FR-01 M-FR-02 M-FR-04 M-FLOW-01 M-CHK-08 M-CHK-12 M-CHK-14 M-REP-01 M-REP-02 M-CON-10 M-CON-13"""

import os
import re
import subprocess
import time

import daemon as daemon_mod
from world import SLOW


RESPONSE_TIMEOUT = int(20 * min(SLOW, 2))  # seconds; long enough that a busy machine answers within half of it


def _run(w, workers, *args):
    d = w.daemon({"server.workers": str(workers), "server.log_level": "warning", "limits.connections_per_address": "100000",
                  "limits.connections": "100000", "msrp.response_timeout": str(RESPONSE_TIMEOUT),
                  # Tokens of broken connections outlive what was taken from their owners, as when they end that is given up.
                  "limits.sessions_per_user": "100000"})
    certificate, key = w.context.pki.leaf("edge.tandem.example")
    command = [w.program("relay-faults"), "--relay", "127.0.0.1:%d" % d.port, "--certificate", certificate, "--key", key,
               "--response-timeout", str(RESPONSE_TIMEOUT), "--patience", str(RESPONSE_TIMEOUT + 15)]
    for user in ("alice", "bob"):
        name = user + "@edge.tandem.example"
        command += ["--user", "%s:%s" % (user, daemon_mod.USERS[name])]
    if "TANDEM_TEST_SEED" in os.environ:
        command += ["--seed", os.environ["TANDEM_TEST_SEED"]]
    log = os.path.join(w.folder, "faults.log")
    with open(log, "wb") as out:
        p = w.spawn(*(command + list(args)), stdout=out, stderr=out)
        while p.poll() is None:
            time.sleep(0.05)
    with open(log, errors="replace") as f:
        said = f.read()
    assert p.returncode == 0, "exit status %d\n%s" % (p.returncode, said[-4000:])
    return " ".join(said.splitlines())


def test_random_faults(w):
    """messages over connections that break at random: none is lost in silence, none comes twice, none is changed"""
    said = _run(w, 3, "--messages", str(2000000 if w.all else 80000 if SLOW == 1 else 6000))
    sent = int(re.search(r"(\d+) messages in", said).group(1))
    assert sent >= (100000 if SLOW == 1 else 6000), "only %d messages were sent" % sent  # those asked for are half of what may come
    return said


def test_breaking_at_every_byte(w):
    """typical exchanges, broken at each byte of each direction"""
    return _run(w, 2, "--every-byte", "--at-once", "400", "--stride", "1" if w.all else "61", "--one-in", "1" if SLOW == 1 else "20")
