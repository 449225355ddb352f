#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What Autobahn's test suite (wstest, its fuzzing client) says of our WebSocket at /test/echo: every case has to be
passed, but for those about speed alone and those of the compression that is not offered, which the suite then calls
unimplemented. Needs a build of configure --enable-test-routes.

usage: soak_websocket.py [CASES...]  (such as 6.*; all unless told)
Environment: AUGURY_SOURCE, AUGURY_BUILD. Speaks TAP. Some minutes."""
import collections
import json
import os
import shutil
import subprocess
import sys

SOURCE = os.environ.get("AUGURY_SOURCE", ".")
sys.path.insert(0, os.path.join(SOURCE, "tests", "blackbox"))
import harness  # noqa: E402
from harness import BUILD, Skip, check, equal  # noqa: E402

CASES = sys.argv[1:] or ["*"]
PASSED = ("OK", "INFORMATIONAL")
COMPRESSION = ("12", "13")


def has_test_routes():
    with open(os.path.join(BUILD, "auguryd"), "rb") as file:
        return b"/test/echo" in file.read()


def results(daemon, program):
    """What the suite says of each case: {"1.1.1": {"behavior", "behaviorClose", …}}."""
    spec = os.path.join(daemon.dir, "spec.json")
    with open(spec, "w", encoding="ascii") as file:
        json.dump({"outdir": os.path.join(daemon.dir, "reports"), "cases": CASES, "exclude-cases": [],
                   "exclude-agent-cases": {}, "options": {"failByDrop": False},
                   "servers": [{"agent": "augury", "url": f"ws://127.0.0.1:{daemon.port()}/test/echo"}]}, file)
    with open(os.path.join(daemon.dir, "wstest.log"), "wb") as log:
        subprocess.run([program, "--mode", "fuzzingclient", "--spec", spec], stdout=log, stderr=log, timeout=3600,
                       check=True)
    with open(os.path.join(daemon.dir, "reports", "index.json"), encoding="utf-8") as file:
        return json.load(file)["augury"]


def test_autobahn_finds_nothing(daemon):
    program = shutil.which("wstest")
    if program is None:
        raise Skip("wstest of Autobahn's test suite is not on the path")
    if not has_test_routes():
        raise Skip("this build has no /test/echo: configure --enable-test-routes")
    daemon.sections["websocket"] = {"max_message": "32MiB", "send_queue": "32MiB"}
    daemon.start()
    found = results(daemon, program)
    counts = collections.Counter((one["behavior"], one["behaviorClose"]) for one in found.values())
    for (behavior, close), count in sorted(counts.items()):
        print(f"# {count} cases: {behavior}, closed {close}")
    check(found, "the suite ran no case")
    bad = {name: (one["behavior"], one["behaviorClose"], one["remoteCloseCode"]) for name, one in found.items()
           if not (one["behavior"] in PASSED and one["behaviorClose"] in PASSED) and
           not (one["behavior"] == "UNIMPLEMENTED" and name.split(".")[0] in COMPRESSION)}
    equal(bad, {})
    daemon.stop()


if __name__ == "__main__":
    harness.run(globals())
