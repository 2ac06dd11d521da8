"""One line a test, and the last line `NAME: N passed, N failed`."""

import threading


class Results:
    def __init__(self, name, out):
        self.name, self.out = name, out
        self.passed = self.failed = self.skipped = 0
        self._lock = threading.Lock()

    def ok(self, what, seconds, note=""):
        with self._lock:
            self.passed += 1
            self._say("ok    %s (%.2f s)%s" % (what, seconds, " " + note if note else ""))

    def fail(self, what, seconds, why):
        with self._lock:
            self.failed += 1
            self._say("FAIL  %s (%.2f s)" % (what, seconds))
            for line in why.rstrip().splitlines():
                self._say("      " + line)

    def skip(self, what, why):
        with self._lock:
            self.skipped += 1
            self._say("skip  %s: %s" % (what, why))

    def _say(self, line):
        print(line.encode("utf-8", "backslashreplace").decode(), file=self.out, flush=True)

    def finish(self):
        """Print the last line; the exit status."""
        if self.skipped:
            self._say("%d skipped" % self.skipped)
        self._say("%s: %d passed, %d failed" % (self.name, self.passed, self.failed))
        return 1 if self.failed or not self.passed else 0
