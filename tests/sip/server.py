"""A tandemd of one's own for each test: free port, temporary directory, users in its database."""
import contextlib
import hashlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time

from daemon import SLOW
from ports import free_port
from sipua import UA

USERS = ("alice", "bob", "carol")
START_S = 10 * SLOW


class Skipped(Exception):
    """A test that cannot run here; says why."""


def long_only(test):
    """A test that is run with --all only."""
    test.long_only = True
    return test


def storm(test):
    """The same, and nothing else is run beside it: it asks for what the machine can do."""
    test.alone = True
    return long_only(test)


def certificate(directory):
    key, pem, template = (os.path.join(directory, n) for n in ("key.pem", "cert.pem", "cert.cfg"))
    with open(template, "w") as f:
        f.write('cn = "example.com"\ndns_name = "example.com"\nexpiration_days = 10\ntls_www_server\n')
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["certtool", "--generate-privkey", "--key-type", "ecdsa", "--outfile", key], **quiet)
    subprocess.run(["certtool", "--generate-self-signed", "--load-privkey", key, "--template", template, "--outfile", pem], **quiet)


class Server:
    def __init__(self, tandemd, shared, auth="register request", address="127.0.0.1:%d", forward_to="public loopback", dns=None, ca_file=None, env=None, script=None, htable="", transports="udp tcp tls", websocket=(), advertise="", **options):
        self.dir = tempfile.mkdtemp(prefix="tandem-sip-")
        self.tandemd, self.port, self.process, self.agents = tandemd, free_port(), None, []
        self.database = os.path.join(self.dir, "t.db")
        for name in ("t.db", "key.pem", "cert.pem"):
            source = os.path.join(shared, name)
            if os.path.exists(source):
                shutil.copy(source, self.dir)
        lines = ["[server]", "database = " + self.database, "control = " + self.dir + "/t.sock", "workers = 2",
                 "log_level = debug", "drain_time = 0", "[listen.main]", "address = " + address.replace("%d", str(self.port)),
                 "transports = " + transports, "protocols = sip msrp", "advertise = " + advertise, "[tls]", "certificate = %s/cert.pem" % self.dir,
                 "private_key = %s/key.pem" % self.dir, "[msrp]", "forward_to = " + forward_to, "[sip]", "domains = example.com example.net", "authenticate = " + auth]
        lines += ["%s = %s" % kv for kv in options.items()]
        self.script = os.path.join(self.dir, "script.lua")
        if script is not None:
            self.write_script(script)
            lines += ["event_callback = ksr_request_route", "[script]", "file = " + self.script, "htable = " + htable, "memory = 2M"]
        if websocket:
            lines += ["[websocket]"] + list(websocket)
        if dns:
            lines += ["[dns]", "servers = 127.0.0.1:%d" % dns.port]
        if ca_file:
            lines.insert(lines.index("[tls]") + 1, "ca_file = " + ca_file)
        self.env = dict(os.environ, **env) if env else None
        self.conf = os.path.join(self.dir, "t.ini")
        with open(self.conf, "w") as f:
            f.write("\n".join(lines) + "\n")
        self.log = os.path.join(self.dir, "log")
        self.start()

    def write_script(self, text):
        with open(self.script, "w") as f:
            f.write(text)

    def reload(self):
        """SIGHUP, and wait until both processes have the new configuration."""
        mark = self.mark()
        self.process.send_signal(signal.SIGHUP)
        self.wait_for("the SIP process has the new configuration", mark)

    def start(self):
        log = open(self.log, "ab")
        mark = log.tell()
        self.process = subprocess.Popen([self.tandemd, "-c", self.conf], stdout=log, stderr=log, env=self.env)
        log.close()
        self.wait_for(r"SIP process (\d+) is up", mark)

    def wait_for(self, pattern, mark=0, timeout=START_S):
        """Wait for a line in the log behind the mark; the match."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            with open(self.log, "rb") as f:
                f.seek(mark)
                m = re.search(pattern, f.read().decode("latin-1"))
            if m:
                return m
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise AssertionError("not in the log: %s\n%s" % (pattern, self.tail()))

    def tail(self):
        with open(self.log, "rb") as f:
            return f.read().decode("latin-1")[-3000:]

    def mark(self):
        return os.path.getsize(self.log)

    def sip_pid(self):
        """The SIP process that runs now: the one started last."""
        with open(self.log, "rb") as f:
            return int(re.findall(r"SIP process (\d+) is up", f.read().decode("latin-1"))[-1])

    def kill_sip(self, sig=signal.SIGKILL):
        mark = self.mark()
        os.kill(self.sip_pid(), sig)
        self.wait_for(r"SIP process (\d+) is up", mark)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(START_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError("tandemd did not stop")
        return self.process.returncode

    def close(self):
        for a in self.agents:
            try:
                a.close()
            except OSError:
                pass
        status = self.stop()
        with open(self.log, "rb") as f:
            log = f.read().decode("latin-1")
        shutil.rmtree(self.dir)
        for sign in ("Sanitizer", "runtime error:", "killed by signal 6", "killed by signal 11", "Assertion"):
            assert sign not in log, log[log.index(sign) - 200:][:6000]
        return status

    def ua(self, kind="udp", user="alice", **more):
        a = UA(kind, self.port, user, **more)
        self.agents.append(a)
        return a

    def registered(self, kind, user, **more):
        a = self.ua(kind, user)
        a.register(**more)
        return a

    def rows(self, sql, *args):
        with contextlib.closing(sqlite3.connect(self.database, timeout=5 * SLOW)) as db:
            return db.execute(sql, args).fetchall()


def add_users(database):
    """Rows as `tandemctl user add` makes them."""
    with contextlib.closing(sqlite3.connect(database, timeout=5 * SLOW)) as db:
        for user in USERS:
            for domain in ("example.com", "example.net"):
                text, whole = ("%s:%s:secret" % (u, domain) for u in (user, "%s@%s" % (user, domain)))
                db.execute("INSERT INTO subscriber (username, domain, ha1, ha1b, ha1_sha256) VALUES (?, ?, ?, ?, ?)",
                           (user, domain, hashlib.md5(text.encode()).hexdigest(), hashlib.md5(whole.encode()).hexdigest(),
                            hashlib.sha256(text.encode()).hexdigest()))
        db.commit()
