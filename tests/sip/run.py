#!/usr/bin/env python3
"""End-to-end tests of the SIP side, against the real server on loopback.

A test is a function test_* in one of the files below that takes make(), which starts a server, and fails by
an exception. The last line printed is `sip: N passed, N failed`.
"""
import argparse
import concurrent.futures
import os
import shutil
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import server  # noqa: E402
import sip_calls  # noqa: E402
import sip_dns  # noqa: E402
import sip_edge  # noqa: E402
import sip_faults  # noqa: E402
import sip_flows  # noqa: E402
import sip_limits  # noqa: E402
import sip_outbound  # noqa: E402
import sip_peers  # noqa: E402
import sip_policy  # noqa: E402
import sip_register  # noqa: E402
import sip_rules  # noqa: E402
import sip_script  # noqa: E402
import sip_torture  # noqa: E402
import sip_websocket  # noqa: E402

TOP = os.path.join(HERE, "..", "..")
FILES = (sip_register, sip_calls, sip_dns, sip_flows, sip_limits, sip_outbound, sip_policy, sip_edge, sip_rules, sip_script, sip_faults,
         sip_torture, sip_peers, sip_websocket)


# They wait for timers of half a minute and more: begun first.
LONG = ("responses_that_are_dropped", "nobody_answers")


def run(name, test, tandemd, shared):
    """Whether it passed; None: it cannot run here."""
    made = []

    def make(**options):
        made.append(server.Server(tandemd, shared, **options))
        return made[-1]

    began, fault, skipped = time.monotonic(), None, None
    try:
        test(make)
    except server.Skipped as e:
        skipped = str(e)
    except Exception:  # noqa: BLE001: whatever it is, the test has failed
        fault = traceback.format_exc() + "".join("--- the server's log\n" + s.tail() for s in made)
    for s in made:
        try:
            status = s.close()
            if status and not fault:
                fault = "tandemd ended with status %s\n" % status
        except AssertionError as e:
            fault = (fault or "") + str(e)
    word = "FAILED" if fault else "skip" if skipped else "ok"
    print("%-6s %s (%.1f s) %s%s" % (word, name, time.monotonic() - began, skipped or "", "\n" + fault if fault else ""), flush=True)
    return False if fault else None if skipped else True


def main():
    ap = argparse.ArgumentParser(description="end-to-end tests of the SIP side")
    ap.add_argument("tandemd", nargs="?", default=os.environ.get("TANDEMD", os.path.join(TOP, "build", "bin", "tandemd")), help="the program to test")
    ap.add_argument("only", nargs="?", default="", help="only tests with this part of a name")
    ap.add_argument("--jobs", type=int, default=4, help="tests at the same time")
    ap.add_argument("--all", action="store_true", help="those marked long_only, too")
    args = ap.parse_intermixed_args()
    tandemd = os.path.abspath(args.tandemd)
    if not os.access(tandemd, os.X_OK):
        sys.exit("sip: no program %s" % tandemd)
    tests = {n[5:]: t for m in FILES for n, t in vars(m).items()
             if n.startswith("test_") and args.only in n and (args.all or not hasattr(t, "long_only"))}
    shared = tempfile.mkdtemp(prefix="tandem-sip-")
    try:
        server.certificate(shared)
        first = server.Server(tandemd, shared)
        try:
            first.stop()
            server.add_users(first.database)
            shutil.copy(first.database, os.path.join(shared, "t.db"))
        finally:
            first.close()
        with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, args.jobs)) as pool:
            began = [pool.submit(run, n, t, tandemd, shared) for n, t in sorted(tests.items(), key=lambda i: i[0] not in LONG) if not hasattr(t, "alone")]
            results = [b.result() for b in began]
        results += [run(n, t, tandemd, shared) for n, t in tests.items() if hasattr(t, "alone")]
    finally:
        shutil.rmtree(shared)
    print("sip: %d passed, %d failed" % (results.count(True), results.count(False)))
    sys.exit(0 if True in results and False not in results else 1)


if __name__ == "__main__":
    main()
