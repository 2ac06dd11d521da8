"""Programs of others as peers, as Debian has them: sipp, sipsak, SIPVicious, baresip. What they leave behind is nothing:
memory and descriptors are looked at after each storm."""
import contextlib
import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import time
import wave

import scenarios
from daemon import SLOW
from ports import free_port
from server import Skipped, long_only, storm
from sip_limits import ctl, until
from tunnel import Tunnel

REALM, PASSWORD = "example.com", "secret"
KIB_A_CALL, KIB_A_REGISTER = 64, 16  # most that one may hold until its timers end: over UDP a REGISTER, as answered, for 32 s
SPARE_KIB = 8 * 1024
# For peers that know nothing else, and give up when the first challenge is for SHA-256.
MD5_ONLY = {"max_contacts": "10\n[auth]\nalgorithms = MD5"}


def needs(program, package):
    if not shutil.which(program):
        raise Skipped("%s is missing (Debian: %s)" % (program, package))


# ---- sipp

class Sipp:
    """Those of one server. Their scenarios and what they say are files in its directory."""
    def __init__(self, s, kind):
        needs("sipp", "sip-tester")
        self.s, self.kind, self.running = s, kind, []
        self.mode, self.n = "u1" if kind == "udp" else "t1", 0
        # Debian's sipp has no TLS.
        self.tunnel = Tunnel(s.port) if kind == "tls" else None

    def command(self, steps, arguments, called=None):
        self.n += 1
        base = os.path.join(self.s.dir, "sipp-%d" % self.n)
        files = []
        for name, text in (("", steps), ("-called", called)):
            if text:
                with open(base + name + ".xml", "w") as f:
                    f.write(scenarios.whole(text, "TLS" if self.tunnel else None))
                files.append(base + name + ".xml")
        return ["sipp", "127.0.0.1:%d" % (self.tunnel.port if self.tunnel else self.s.port), "-i", "127.0.0.1", "-p", str(free_port()),
                "-t", self.mode, "-nostdin", "-auth_uri", REALM, "-sf", files[0], "-trace_err", "-error_file", base + ".err"] + \
            (["-oocsf", files[1]] if called else []) + list(arguments)

    def start(self, steps, called):
        """In the background: registers, waits, and is called. Back when it is registered."""
        before = len(self.s.rows("SELECT 1 FROM location"))
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": self.s.dir}
        self.running.append(subprocess.Popen(self.command(steps, ["-m", "1"], called), **quiet))
        until(lambda: len(self.s.rows("SELECT 1 FROM location")) > before)

    def run(self, steps, count, rate, *arguments, at_once=5):
        """To the end; each call must go as its scenario says. at_once: calls that may be under way, few enough for a busy machine to
        answer each message within T1, as a called sipp takes an INVITE that comes again for something unexpected and hangs up."""
        seconds = (60 + 2 * count / rate) * SLOW
        command = self.command(steps, ["-m", str(count), "-r", str(max(1, int(rate / SLOW))), "-l", str(at_once), "-timeout", "%ds" % int(seconds)] + list(arguments))
        got = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.s.dir, timeout=seconds + 30 * SLOW)
        if got.returncode:
            error = command[command.index("-error_file") + 1]
            if os.path.exists(error):
                with open(error, errors="replace") as f:
                    said = f.read()
                at = re.search("(?i)aborting|unexpected", said)
                print(said[at.start() if at else 0:][:2000])
            print(got.stdout.decode(errors="replace")[-2000:])
        assert got.returncode == 0, "sipp ended with %d" % got.returncode

    def close(self):
        for p in self.running:
            p.kill()
            p.wait()
        if self.tunnel:
            self.tunnel.close()


@contextlib.contextmanager
def sipps(s, kind):
    those = Sipp(s, kind)
    try:
        yield those
    finally:
        those.close()


# ---- what is left behind

def rss_kib(pid):
    with open("/proc/%d/status" % pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def descriptors(pid):
    """What they are, sorted, without numbers of the kernel's."""
    found = []
    for fd in os.listdir("/proc/%d/fd" % pid):
        with contextlib.suppress(OSError):  # closed meanwhile
            found.append(os.readlink("/proc/%d/fd/%s" % (pid, fd)).split(":")[0])
    return sorted(found)


class Base:
    """What both processes hold now."""
    def __init__(self, s):
        self.s, self.pids = s, (s.process.pid, s.sip_pid())
        s.wait_for("edge ready")
        self.fds, before = None, []
        while self.fds != before:  # what the start itself had open is closed
            before, self.fds = self.fds, [descriptors(p) for p in self.pids]
            time.sleep(0.1)
        self.kib = [rss_kib(p) for p in self.pids]

    def is_held_again(self, kib_more):
        """Descriptors are as they were and no transaction of the proxy is left; memory has grown by no more than this."""
        try:
            until(lambda: [descriptors(p) for p in self.pids] == self.fds)
        except AssertionError:
            raise AssertionError("descriptors were, and are: %s" % [(a, descriptors(p)) for a, p in zip(self.fds, self.pids)])
        until(lambda: json.loads(ctl(self.s, "rpc", "stats.get"))["sip_transactions"] == 0, 40)
        assert (self.s.process.pid, self.s.sip_pid()) == self.pids, "the SIP process was started again"
        if SLOW == 1:  # sanitizers keep what was freed
            grown = [rss_kib(p) - kib for p, kib in zip(self.pids, self.kib)]
            assert max(grown) <= kib_more + SPARE_KIB, "KiB grown: %s" % grown


def calls(make, kind, count, rate):
    s = make(auth="")
    base = Base(s)
    with sipps(s, kind) as sipp:
        sipp.start(scenarios.register("bob", 60000), scenarios.answers())
        sipp.run(scenarios.calls(), count, rate)
    base.is_held_again(count * KIB_A_CALL)
    until(lambda: s.rows("SELECT count(*) FROM acc WHERE sip_code = '200'")[0][0] == 2 * count)


def test_peers_sipp_calls_over_udp(make):
    # S-TXN-01 S-RSP-03
    calls(make, "udp", 200, 200)


def test_peers_sipp_calls_over_tcp(make):
    calls(make, "tcp", 200, 200)


def test_peers_sipp_calls_over_tls(make):
    calls(make, "tls", 100, 100)


def forks(make, kind):
    s = make(auth="")
    base = Base(s)
    with sipps(s, kind) as sipp:
        sipp.start(scenarios.register("bob", 60000), scenarios.rings_until_cancelled())
        sipp.start(scenarios.register("bob", 60000), scenarios.answers(ring_ms=100))
        sipp.run(scenarios.calls(), 20, 40)
    base.is_held_again(40 * KIB_A_CALL)


def test_peers_sipp_forked_calls_over_udp(make):
    # S-RSP-03 S-RSP-04: one device answers, the other one is told to stop ringing
    forks(make, "udp")


def test_peers_sipp_forked_calls_over_tcp(make):
    forks(make, "tcp")


def cancelled(make, kind):
    s = make(auth="")
    base = Base(s)
    with sipps(s, kind) as sipp:
        sipp.start(scenarios.register("bob", 60000), scenarios.rings_until_cancelled())
        sipp.run(scenarios.gives_up(), 40, 80)
    base.is_held_again(40 * KIB_A_CALL)
    until(lambda: s.rows("SELECT count(*) FROM acc WHERE sip_code = '487'")[0][0] == 40)


def test_peers_sipp_cancels_over_udp(make):
    # S-CAN-01
    cancelled(make, "udp")


def test_peers_sipp_cancels_over_tls(make):
    cancelled(make, "tls")


def test_peers_sipp_calls_that_fail(make):
    # S-RSP-06: busy; S-RT-06: nobody there, nobody of that name
    s = make(auth="")
    base = Base(s)
    with sipps(s, "udp") as sipp:
        sipp.run(scenarios.is_refused(480), 20, 80)
        sipp.run(scenarios.is_refused(404).replace("bob@example.com", "nobody@example.com"), 20, 80)
        sipp.start(scenarios.register("bob", 60000), scenarios.is_busy())
        sipp.run(scenarios.is_refused(486), 20, 80)
    base.is_held_again(60 * KIB_A_CALL)


def add_numbered(s, count):
    with contextlib.closing(sqlite3.connect(s.database, timeout=5 * SLOW)) as db:
        db.executemany("INSERT INTO subscriber (username, domain, ha1) VALUES (?, ?, ?)",
                       [("u%d" % i, REALM, hashlib.md5(("u%d:%s:%s" % (i, REALM, PASSWORD)).encode()).hexdigest()) for i in range(count)])
        db.commit()
    with open(os.path.join(s.dir, "users.csv"), "w") as f:
        f.write("SEQUENTIAL\n")
        f.writelines("u%d;[authentication username=u%d password=%s];\n" % (i, i, PASSWORD) for i in range(count))


def registrations(make, kind, count, rate, again):
    s = make(auth="register", **MD5_ONLY)
    add_numbered(s, count)
    base = Base(s)
    steps = scenarios.register("[field0]", 0, "[field1]", 3600, again)
    # Few at once: what sipp's socket has no room for is lost, and sipp does not ask again once it has heard anything, a 401 that comes twice included.
    with sipps(s, kind) as sipp:
        sipp.run(steps, count, rate, "-inf", os.path.join(s.dir, "users.csv"), at_once=50)
    # Each of them was answered 200, so each is on the disk.
    bound = count if kind == "udp" else 0
    assert s.rows("SELECT count(*) FROM location")[0][0] >= bound
    until(lambda: json.loads(ctl(s, "rpc", "stats.get"))["sip_registered"] >= bound)
    base.is_held_again(count * KIB_A_REGISTER * (again + 1))


def test_peers_sipp_registrations_over_udp(make):
    registrations(make, "udp", 300, 150, 1)


def test_peers_sipp_registrations_over_tls(make):
    registrations(make, "tls", 100, 100, 1)


@storm
def test_peers_sipp_ten_thousand_registrations_over_udp(make):
    registrations(make, "udp", 10000, 400, 0)


@storm
def test_peers_sipp_ten_thousand_registrations_over_tcp(make):
    registrations(make, "tcp", 10000, 400, 0)


@storm
def test_peers_sipp_reregistration_storm(make):
    registrations(make, "udp", 1000, 100, 9)


@storm
def test_peers_memory_is_used_again_by_the_next_storm(make):
    s = make(auth="")
    with sipps(s, "udp") as sipp:
        sipp.start(scenarios.register("bob", 300000, expires=3000), scenarios.answers())
        sipp.run(scenarios.calls(), 3000, 200)
        time.sleep(35)  # the transactions' timers
        base = Base(s)
        for _ in range(2):
            sipp.run(scenarios.calls(), 3000, 200)
            time.sleep(35)
        base.is_held_again(0)


# ---- sipsak

def sipsak(s, *arguments):
    needs("sipsak", "sipsak")
    return subprocess.run(["sipsak", "-p", "127.0.0.1:%d" % s.port, "-l", str(free_port()), "-H", "127.0.0.1"] + list(arguments), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=30 * SLOW)


def sipsak_is_content(s, *arguments):
    got = sipsak(s, *arguments)
    assert got.returncode == 0, (got.returncode, got.stdout.decode(errors="replace")[-2000:])


def test_peers_sipsak(make):
    s = make(**MD5_ONLY)
    sipsak_is_content(s, "-s", "sip:example.com")
    sipsak_is_content(s, "-U", "-s", "sip:alice@example.com", "-u", "alice", "-a", PASSWORD, "-x", "60", "-C", "sip:alice@127.0.0.1:9")
    assert s.rows("SELECT username, contact FROM location") == [("alice", "sip:alice@127.0.0.1:9")]
    assert sipsak(s, "-U", "-s", "sip:bob@example.com", "-u", "bob", "-a", "wrong", "-x", "60", "-C", "sip:bob@127.0.0.1:9").returncode != 0
    assert len(s.rows("SELECT 1 FROM location")) == 1


# ---- SIPVicious

def sipvicious(s, program, *arguments):
    names = ("sipvicious_" + program, program)
    name = next((n for n in names if shutil.which(n)), None)
    needs(name or program, "sipvicious")
    environment = dict(os.environ, HOME=s.dir)
    return subprocess.run([name, "-p", str(s.port), "-x", "127.0.0.1", "-b", "127.0.0.1"] + list(arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          cwd=s.dir, env=environment, timeout=60 * SLOW).stdout.decode(errors="replace")


def test_peers_sipvicious_finds_nothing(make):
    # S-SEC-04: no answer to it; everybody else at that address is served, since a datagram's source proves nothing
    s = make()
    assert "SIP Device" not in sipvicious(s, "svmap", "127.0.0.1")
    s.wait_for("a scanner: friendly-scanner")
    s.ua("udp", "alice").ask("OPTIONS", "sip:example.com", 200)


@long_only
def test_peers_sipvicious_finds_what_does_not_know_it(make):
    """The counterpart: the tools work, and see a server that has them not on its list, until they ask too much."""
    # S-SEC-01
    s = make(max_contacts="10\n[limits]\nrequests_per_second = 10\nscanners = nobody-that-is-here")
    assert "SIP Device" in sipvicious(s, "svmap", "127.0.0.1")
    sipvicious(s, "svcrack", "-u", "alice", "-r", "1-99", "127.0.0.1")
    until(lambda: "127.0.0.1" in ctl(s, "ban", "list"))


@long_only
def test_peers_sipvicious_learns_no_name_and_no_password(make):
    # S-SEC-04
    s = make()
    out = sipvicious(s, "svwar", "-e100-110", "127.0.0.1")
    assert "reqauth" not in out and "noauth" not in out, out
    out = sipvicious(s, "svcrack", "-u", "alice", "-r", "1-9", "127.0.0.1")
    assert "alice" not in out, out


# ---- baresip

BARESIP = """sip_trans_def tcp
net_interface 127.0.0.1
rtp_ports 30000-32000
audio_player aufile,%(dir)s/heard.wav
audio_alert aufile,%(dir)s/alert.wav
audio_source aufile,%(dir)s/tone.wav
module_path /usr/lib/baresip/modules
module g711.so
module aufile.so
module_app account.so
module_app menu.so
"""


def baresip(s, user, options, *arguments):
    """As a process, with a directory of its own."""
    needs("baresip", "baresip-core")
    directory = os.path.join(s.dir, user)
    os.mkdir(directory)
    with open(os.path.join(directory, "config"), "w") as f:
        f.write(BARESIP % {"dir": directory})
    with open(os.path.join(directory, "accounts"), "w") as f:
        f.write('<sip:%s@example.com;transport=tcp>;auth_user=%s;auth_pass=%s;outbound="sip:127.0.0.1:%d;transport=tcp";regint=60%s\n' %
                (user, user, PASSWORD, s.port, options))
    open(os.path.join(directory, "contacts"), "w").close()
    with wave.open(os.path.join(directory, "tone.wav"), "wb") as f:
        f.setnchannels(1)
        f.setsampwidth(2)
        f.setframerate(8000)
        f.writeframes(bytes(8000 * 2 * 10))
    with open(os.path.join(directory, "log"), "wb") as log:
        return subprocess.Popen(["baresip", "-4", "-v", "-f", directory] + list(arguments), stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def test_peers_baresip_calls_baresip(make):
    # S-REG-01: two user agents as people have them register, one calls the other and hangs up
    s = make(**MD5_ONLY)
    base, running = Base(s), []
    try:
        running.append(baresip(s, "bob", ";answermode=auto"))
        until(lambda: s.rows("SELECT 1 FROM location WHERE username = 'bob'"))
        running.append(baresip(s, "alice", "", "-e", "d sip:bob@example.com", "-t", "%d" % (2 * SLOW)))
        until(lambda: s.rows("SELECT 1 FROM acc WHERE method = 'INVITE' AND sip_code = '200'"))
        until(lambda: s.rows("SELECT 1 FROM acc WHERE method = 'BYE' AND sip_code = '200'"), 20)
        assert running[1].wait(20 * SLOW) == 0
    except AssertionError:
        for user in ("bob", "alice"):
            with open(os.path.join(s.dir, user, "log"), errors="replace") as f:
                print(f.read()[-2000:])
        raise
    finally:
        for p in running:
            p.terminate()
            p.wait()
    base.is_held_again(KIB_A_CALL)
