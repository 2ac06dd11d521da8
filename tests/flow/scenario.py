"""Reading `*.tt` files: a head of settings, then scenarios, each a list of steps.

A step is one line; the lines indented below it are its block. Empty lines inside
a block belong to it (they are the blank line of a frame); empty lines after its
last indented line do not. See README.md for the language."""

import os


class Step:
    def __init__(self, where, words, block):
        self.where, self.words, self.block = where, words, block  # block: list of lines, or None
        self.body = None                                          # the steps of a `for`

    def __str__(self):
        return " ".join(self.words)


class Scenario:
    def __init__(self, title, where):
        self.title, self.where, self.steps, self.runs = title, where, [], None


class File:
    """One .tt file. All its scenarios share one daemon per transport variant."""

    def __init__(self, path):
        self.path = path
        self.name = os.path.splitext(os.path.basename(path))[0]
        self.runs = ["tls"]
        self.config = {}
        self.timeout = 30.0
        self.scenarios = []
        self._parse()

    def _error(self, n, text):
        raise SyntaxError("%s:%d: %s" % (self.path, n, text))

    def _parse(self):
        with open(self.path, encoding="utf-8") as f:
            lines = f.read().split("\n")
        self.title = next((l.lstrip("# ").strip() for l in lines if l.strip()), self.name)
        if not lines[0].startswith("#"):
            self._error(1, "the first line is a comment that says what is shown and cites its requirements")
        current, stack, n = None, [], 0
        while n < len(lines):
            line = lines[n]
            n += 1
            if not line.strip() or line.startswith("#"):
                continue
            if line.startswith((" ", "\t")):
                self._error(n, "a block without a step")
            words = line.split()
            where = n
            if words[0] == "run:":
                if current:
                    current.runs = words[1:]
                else:
                    self.runs = words[1:]
                continue
            if words[0] == "config" and not current:
                key, eq, value = line[6:].partition("=")
                if not eq:
                    self._error(n, "config SECTION.KEY = VALUE")
                self.config[key.strip()] = value.strip()
                continue
            if words[0] == "timeout" and not current:
                self.timeout = float(words[1])
                continue
            if words[0] == "scenario":
                if len(stack) > 1:
                    self._error(n, "`end` is missing before this")
                current = Scenario(" ".join(words[1:]), where)
                self.scenarios.append(current)
                stack = [current.steps]
                continue
            if current is None:
                current = Scenario(self.title, where)
                self.scenarios.append(current)
                stack = [current.steps]
            block = []
            while n < len(lines) and (not lines[n].strip() or lines[n].startswith("    ")):
                block.append(lines[n][4:] if lines[n].strip() else "")
                n += 1
            while block and not block[-1]:
                block.pop()
            step = Step("%s:%d" % (os.path.basename(self.path), where), words, block or None)
            if words[0] == "end":
                if len(stack) < 2:
                    self._error(where, "`end` without `for`")
                stack.pop()
                continue
            stack[-1].append(step)
            if words[0] == "for":
                step.body = []
                stack.append(step.body)
        if len(stack) > 1:
            self._error(len(lines), "`end` is missing")
        if not self.scenarios:
            self._error(1, "no steps")
