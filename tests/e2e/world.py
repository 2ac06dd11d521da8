"""What every end-to-end test is given: daemons that are stopped and judged at its end, programs, waiting."""

import os
import shutil
import sqlite3
import subprocess
import threading
import time

import daemon as daemon_mod

SLOW = daemon_mod.SLOW


class Skip(Exception):
    """This machine cannot run the test; says why."""


class Context:
    def __init__(self, tandemd, top, everything):
        self.tandemd, self.top, self.all = tandemd, top, everything
        self.pki = self.users = None


def long_only(fn):
    """Only with --all."""
    fn.long_only = True
    return fn


class World:
    def __init__(self, context, name):
        self.context, self.name = context, name
        self.all = context.all
        self.folder = os.path.join(context.top, name)
        self.daemons, self.children, self.undo = [], [], []
        os.makedirs(self.folder, exist_ok=True)

    def daemon(self, config=None, start=True, folder=None):
        """A tandemd with plain TCP allowed; stopped at the end of the test, where it must end well."""
        conf = {"msrp.require_tls": "no", "server.log_level": "info"}
        conf.update(config or {})
        d = daemon_mod.Daemon(self.context.tandemd, folder or os.path.join(self.folder, "d%d" % len(self.daemons)),
                              self.context.pki, self.context.users, conf)
        self.daemons.append(d)
        if start:
            d.start()
        return d

    def program(self, name):
        path = daemon_mod.find_beside(self.context.tandemd, name)
        if not path:
            raise Skip(name + " is not built")
        return path

    def spawn(self, *args, **kw):
        p = subprocess.Popen(args, stdin=kw.pop("stdin", subprocess.DEVNULL), **kw)
        self.children.append(p)
        return p

    def at_end(self, fn):
        self.undo.append(fn)

    def sql(self, d, query):
        """The answer of the sqlite3 command line tool, as an operator would ask; lines of text."""
        if not shutil.which("sqlite3"):
            raise Skip("the sqlite3 program is not installed")
        r = subprocess.run(["sqlite3", "-readonly", d.db, query], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           timeout=10 * SLOW)
        assert r.returncode == 0, "sqlite3: " + r.stderr.decode(errors="replace")
        return r.stdout.decode().splitlines()

    def finish(self):
        faults = []
        for p in self.children:
            if p.poll() is None:
                p.kill()
                p.wait()
        for d in self.daemons:
            for fault in d.stop():
                faults.append("tandemd " + fault)
            d.kill()
        for fn in reversed(self.undo):
            try:
                fn()
            except Exception as e:
                faults.append("cleaning up: %s" % e)
        return faults

    def logs(self):
        return "".join("\n--- %s said:\n%s" % (os.path.basename(d.folder), d.log_tail(30)) for d in self.daemons)


def until(condition, seconds, what):
    """Wait for it; AssertionError when it does not come true in time."""
    end = time.monotonic() + seconds * SLOW
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "not within %.1f s: %s" % (seconds, what)
        time.sleep(0.02)


class Background:
    """fn() in a thread; result() waits and passes its exception on."""

    def __init__(self, fn):
        self.error = self.value = None

        def body():
            try:
                self.value = fn()
            except BaseException as e:
                self.error = e

        self.thread = threading.Thread(target=body, daemon=True)
        self.thread.start()

    def result(self, timeout):
        self.thread.join(timeout * SLOW)
        assert not self.thread.is_alive(), "still running after %d s" % (timeout * SLOW)
        if self.error:
            raise self.error
        return self.value


class Memory:
    """Samples VmRSS of a process until stopped; peak_kb."""

    def __init__(self, d):
        self.base_kb = self.peak_kb = d.rss_kb()
        self._over = threading.Event()

        def body():
            while not self._over.wait(0.02):
                try:
                    self.peak_kb = max(self.peak_kb, d.rss_kb())
                except (OSError, AttributeError):
                    return

        threading.Thread(target=body, daemon=True).start()

    def stop(self):
        self._over.set()
        return self.peak_kb
