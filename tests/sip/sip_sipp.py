"""The same with sipp, an independent implementation: registrations and calls over UDP and TCP."""
import os
import shutil
import subprocess
import time

from ports import free_port

HERE = os.path.dirname(os.path.abspath(__file__))


def sipp(s, mode, port, *arguments):
    return ["sipp", "127.0.0.1:%d" % s.port, "-i", "127.0.0.1", "-p", str(port), "-t", mode, "-timeout", "20", "-nostdin",
            "-trace_err", "-error_file", os.path.join(s.dir, "sipp-%d.err" % port)] + list(arguments)


def calls(make, mode):
    assert shutil.which("sipp"), "sipp is missing (Debian: sip-tester)"
    s = make(auth="")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": s.dir}
    scenario = lambda name: os.path.join(HERE, name)
    bob = subprocess.Popen(sipp(s, mode, free_port(), "-sf", scenario("register.xml"), "-oocsf", scenario("uas.xml"), "-m", "1"), **quiet)
    try:
        end = time.monotonic() + 5
        while not s.rows("SELECT 1 FROM location") and time.monotonic() < end:
            time.sleep(0.05)
        alice = subprocess.run(sipp(s, mode, free_port(), "-sf", scenario("uac.xml"), "-m", "20", "-r", "50"), timeout=40, **quiet)
        for name in os.listdir(s.dir):
            if alice.returncode and name.endswith(".err"):
                with open(os.path.join(s.dir, name), errors="replace") as f:
                    print(f.read()[:2000])
        assert alice.returncode == 0, alice.returncode
    finally:
        bob.kill()
        bob.wait()


def test_sipp_calls_over_udp(make):
    calls(make, "u1")


def test_sipp_calls_over_tcp(make):
    calls(make, "t1")
