"""A real tandemd under test: its folder, configuration, start, stop and verdict.

Everything lives in one temporary folder. stop() says what was wrong with the
life of the process: a hang, an exit status, a sanitizer report, a SIP process
that died."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

from ports import free_port

# Slower builds (sanitizers, valgrind) multiply every timeout of the tests.
SLOW = float(os.environ.get("TANDEM_TEST_SLOW", "1"))

USERS = {
    "alice@edge.tandem.example": "Wonder-1and",
    "bob@edge.tandem.example": "Builder-2and",
    "carol@edge.tandem.example": "Singer-3and",
    "dave@edge.tandem.example": "Diver-4and",
    "mallory@edge.tandem.example": "Blocked-5and",
}
BLOCKED = ["mallory@edge.tandem.example"]

DEFAULTS = {
    "server.workers": "1",
    "server.log_level": "debug",
    "server.drain_time": "1",
    "listen.main.transports": "udp tcp tls ws wss",
    "listen.main.protocols": "sip msrp",
    "auth.realm": "edge.tandem.example",
    "msrp.use_path_addr": "edge.tandem.example:5061",
    "msrp.forward_to": "public loopback",
    "sip.domains": "edge.tandem.example",
}

_BAD = re.compile(rb"AddressSanitizer|LeakSanitizer|ThreadSanitizer|MemorySanitizer|runtime error:|"
                  rb"Assertion .* failed|\*\*\* stack smashing|double free|malloc\(\):|free\(\):")

# sd_listen_fds(3): descriptors from 3 on, for the process of this number.
_WITH_SOCKETS = """
import fcntl, os, sys
given = [int(fd) for fd in sys.argv[1].split(",")]
fds = [fcntl.fcntl(fd, fcntl.F_DUPFD, 500) for fd in given]
for fd in given:
    os.close(fd)
for i, fd in enumerate(fds):
    os.dup2(fd, 3 + i)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)))
os.execv(sys.argv[2], sys.argv[2:])
"""


def top():
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def find_tandemd(given=None):
    """The tandemd to test: what was given, $TANDEMD, or the build folder's."""
    candidates = [given or os.environ.get("TANDEMD")]
    if not candidates[0]:
        candidates = [os.path.join(b, p) for b in (os.getcwd(), os.path.join(top(), "build"))
                      for p in ("bin/tandemd", "tandemd")]
    for c in candidates:
        if os.path.isfile(c) and os.access(c, os.X_OK):
            return os.path.abspath(c)
    raise RuntimeError("no tandemd at " + ", ".join(candidates))


def find_beside(tandemd, name):
    """Another program of the same build."""
    folder = os.path.dirname(tandemd)
    for d in (folder, os.path.join(folder, "bin"), os.path.dirname(folder),
              os.path.join(os.path.dirname(folder), "bin")):
        path = os.path.join(d, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return shutil.which(name)


class Failure(Exception):
    """The daemon did not do what a daemon does."""


class Template:
    """A database with the test users, made once by tandemctl and copied for each daemon."""

    def __init__(self, tandemd, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        tandemctl = find_beside(tandemd, "tandemctl")
        if not tandemctl:
            raise Failure("no tandemctl beside " + tandemd)
        conf = os.path.join(folder, "tandem.ini")
        self.db = os.path.join(folder, "tandem.db")
        with open(conf, "w") as f:
            f.write("[server]\ndatabase = %s\ncontrol = %s\n[listen.main]\naddress = 127.0.0.1:5060\ntransports = tcp\n"
                    "[sip]\ndomains = edge.tandem.example\n[auth]\nrealm = edge.tandem.example\n"
                    % (self.db, os.path.join(folder, "none.sock")))
        for aor, password in USERS.items():
            _ctl(tandemctl, conf, "user", "add", aor, "--password", password)
        for aor in BLOCKED:
            _ctl(tandemctl, conf, "user", "block", aor)

    def copy_to(self, path):
        for tail in ("", "-wal"):
            if os.path.exists(self.db + tail):
                shutil.copyfile(self.db + tail, path + tail)


def _ctl(tandemctl, conf, *args, **kw):
    r = subprocess.run([tandemctl, "-c", conf] + list(args), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       timeout=20 * SLOW, **kw)
    if r.returncode:
        raise Failure("tandemctl %s: exit %d: %s" % (" ".join(args), r.returncode, r.stderr.decode(errors="replace")))
    return r.stdout.decode(errors="replace")


class Daemon:
    def __init__(self, tandemd, folder, pki, template=None, config=None, dns_port=None):
        self.tandemd, self.folder, self.pki = tandemd, folder, pki
        self.template = template
        self.overrides = dict(config or {})
        self.dns_port = dns_port
        self.proc = None
        self.port = None
        os.makedirs(folder, exist_ok=True)
        self.db = os.path.join(folder, "tandem.db")
        self.conf = os.path.join(folder, "tandem.ini")
        self.control = os.path.join(folder, "ctl.sock")
        self.log = os.path.join(folder, "stderr.log")
        self._log = None
        self._first = True
        self.sip_deaths = 0  # how many the test itself has caused
        self.environ = {}
        self.sockets = []  # descriptors that it is started with, as by a service manager; closed then

    def settings(self):
        cert, key = self.pki.leaf("edge.tandem.example")
        s = dict(DEFAULTS)
        s.update({
            "server.database": self.db,
            "server.control": self.control,
            "listen.main.address": "127.0.0.1:%d" % self.port,
            "tls.certificate": cert,
            "tls.private_key": key,
            "tls.ca_file": self.pki.ca,
        })
        if self.dns_port:
            s["dns.servers"] = "127.0.0.1:%d" % self.dns_port
        s.update(self.overrides)
        return s

    def write_conf(self):
        sections = {}
        for name, value in self.settings().items():
            section, _, key = name.rpartition(".")
            sections.setdefault(section, []).append("%s = %s\n" % (key, value))
        with open(self.conf, "w") as f:
            for section, lines in sections.items():
                f.write("[%s]\n%s\n" % (section, "".join(lines)))

    def start(self, keep_port=False):
        """Start and wait until it listens."""
        if self._first and self.template:
            self.template.copy_to(self.db)
        self._first = False
        for attempt in range(3):
            if not (keep_port and self.port):
                self.port = free_port()
            self.write_conf()
            self._log = open(self.log, "ab")
            mark = self._log.tell()
            env = dict(os.environ)
            env.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0:quarantine_size_mb=32")
            env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
            env.update(self.environ)
            args = [self.tandemd, "-c", self.conf]
            if self.sockets:
                args = [sys.executable, "-c", _WITH_SOCKETS, ",".join(map(str, self.sockets))] + args
            self.proc = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, env=env,
                                         cwd=self.folder, pass_fds=self.sockets)
            while self.sockets:
                os.close(self.sockets.pop())
            end = time.monotonic() + 15 * SLOW
            while time.monotonic() < end:
                if self.proc.poll() is not None:
                    break
                if self._is_ready(mark):
                    return self
                time.sleep(0.01)
            else:
                self.kill()
                raise Failure("not ready after %d s" % (15 * SLOW))
            if self.proc.returncode != 2 or attempt == 2:  # 2: a resource, such as the port taken meanwhile
                raise Failure("exit status %d at the start" % self.proc.returncode)
        raise Failure("no free port")

    def _is_ready(self, mark):
        if self.settings().get("server.log_level") in ("warning", "error"):  # does not say it
            try:
                socket.create_connection(self.address, timeout=1).close()
                return True
            except OSError:
                return False
        with open(self.log, "rb") as f:
            f.seek(mark)
            return re.search(rb"\bready\b", f.read()) is not None

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    @property
    def pid(self):
        return self.proc.pid

    def is_alive(self):
        return self.proc is not None and self.proc.poll() is None

    def ctl(self, *args, **kw):
        tandemctl = find_beside(self.tandemd, "tandemctl")
        if not tandemctl:
            raise Failure("no tandemctl beside " + self.tandemd)
        return _ctl(tandemctl, self.conf, *args, **kw)

    def sip_pid(self):
        """The pid of the SIP process: the child that was started with --sip. None when there is none."""
        try:
            with open("/proc/%d/task/%d/children" % (self.pid, self.pid)) as f:
                kids = [int(p) for p in f.read().split()]
            # A child is listed under the thread that started it.
            for tid in os.listdir("/proc/%d/task" % self.pid):
                with open("/proc/%d/task/%s/children" % (self.pid, tid)) as f:
                    kids += [int(p) for p in f.read().split()]
        except OSError:
            return None
        for pid in kids:
            try:
                with open("/proc/%d/cmdline" % pid, "rb") as f:
                    if b"--sip" in f.read().split(b"\0"):
                        return pid
            except OSError:
                continue
        return None

    def rss_kb(self, pid=None):
        with open("/proc/%d/status" % (pid or self.pid)) as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
        return 0

    def hup(self):
        os.kill(self.pid, signal.SIGHUP)

    def kill(self):
        if self.is_alive():
            self.proc.kill()
            self.proc.wait(timeout=10)

    def stop(self, limit=None):
        """SIGTERM; returns a list of complaints about this process (empty: all well)."""
        faults = []
        if self.proc is None:
            return faults
        if limit is None:
            limit = 5 + float(self.settings().get("server.drain_time", "10")) * 2
        if self.is_alive():
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(timeout=limit * SLOW)
            except subprocess.TimeoutExpired:
                faults.append("did not stop within %d s of SIGTERM" % (limit * SLOW))
                self.kill()
        elif self.proc.returncode is not None:
            faults.append("had ended by itself")
        if self.proc.returncode and not faults:
            faults.append("exit status %d" % self.proc.returncode)
        elif self.proc.returncode and faults:
            faults[-1] += " (exit status %d)" % self.proc.returncode
        self._log.close()
        with open(self.log, "rb") as f:
            text = f.read()
        m = _BAD.search(text)
        if m:
            faults.append("says: " + m.group(0).decode(errors="replace"))
        deaths = re.findall(rb"the SIP process \d+ has ended[^\n]*", text)
        if len(deaths) > self.sip_deaths:
            faults.append("says: " + deaths[-1].decode(errors="replace"))
        self.proc = None
        return faults

    def log_tail(self, lines=40):
        try:
            with open(self.log, "rb") as f:
                text = f.read().decode(errors="replace")
        except OSError:
            return ""
        m = _BAD.search(text.encode(errors="replace"))
        if m:  # a sanitizer report is what matters
            at = text.find(m.group(0).decode(errors="replace"))
            start = text.rfind("\n", 0, at) + 1
            return text[start:start + 6000]
        return "\n".join(text.splitlines()[-lines:])
