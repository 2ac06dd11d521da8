#!/usr/bin/env python3
"""End-to-end tests of the SIP side, against the real server on loopback.

usage: run.py [TANDEMD [PART-OF-A-NAME]]     TANDEMD: else that of the environment, else build/bin/tandemd

A test is a function test_* in one of the files below that takes make(), which starts a server, and fails by
an exception. The last line printed is `sip: N passed, N failed`.
"""
import os
import shutil
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import server  # noqa: E402
import sip_calls  # noqa: E402
import sip_faults  # noqa: E402
import sip_flows  # noqa: E402
import sip_limits  # noqa: E402
import sip_outbound  # noqa: E402
import sip_policy  # noqa: E402
import sip_register  # noqa: E402
import sip_rules  # noqa: E402
import sip_sipp  # noqa: E402
import sip_torture  # noqa: E402

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
FILES = (sip_register, sip_calls, sip_flows, sip_limits, sip_outbound, sip_policy, sip_rules, sip_faults, sip_torture, sip_sipp)


def run(name, test, tandemd, shared):
    made = []

    def make(**options):
        made.append(server.Server(tandemd, shared, **options))
        return made[-1]

    began, fault = time.monotonic(), None
    try:
        test(make)
    except Exception:  # noqa: BLE001: whatever it is, the test has failed
        fault = traceback.format_exc() + "".join("--- the server's log\n" + s.tail() for s in made)
    for s in made:
        try:
            status = s.close()
            if status and not fault:
                fault = "tandemd ended with status %s\n" % status
        except AssertionError as e:
            fault = (fault or "") + str(e)
    print("%-6s %s (%.1f s)" % ("FAILED" if fault else "ok", name, time.monotonic() - began), flush=True)
    if fault:
        print(fault, flush=True)
    return not fault


def main():
    tandemd = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("TANDEMD", os.path.join(TOP, "build", "bin", "tandemd"))
    tandemd, only = os.path.abspath(tandemd), sys.argv[2] if len(sys.argv) > 2 else ""
    if not os.access(tandemd, os.X_OK):
        sys.exit("sip: no program %s\n%s" % (tandemd, __doc__))
    shared = tempfile.mkdtemp(prefix="tandem-sip-")
    results = []
    try:
        server.certificate(shared)
        first = server.Server(tandemd, shared)
        try:
            first.stop()
            server.add_users(first.database)
            shutil.copy(first.database, os.path.join(shared, "t.db"))
        finally:
            first.close()
        for module in FILES:
            for name, test in vars(module).items():
                if name.startswith("test_") and only in name:
                    results.append(run(name[5:], test, tandemd, shared))
    finally:
        shutil.rmtree(shared)
    print("sip: %d passed, %d failed" % (results.count(True), results.count(False)))
    sys.exit(0 if results and all(results) else 1)


if __name__ == "__main__":
    main()
