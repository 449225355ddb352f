#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The black-box tests against programs that are built with sanitizers. A report of any process, the daemon's, its children's or
the command line's, fails the test file that it came from, and so does a leak that is found when a process ends.

usage: sanitized.py TEST...
Environment: AUGURY_SOURCE, AUGURY_BUILD (the build with sanitizers), SOAK_JOBS (test files at once; the number of processors).
Speaks TAP, a line a file; all that a file said is in AUGURY_BUILD/soak-logs/."""
import concurrent.futures
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

from tap import Tap

SOURCE = os.environ.get("AUGURY_SOURCE", ".")
BUILD = os.environ.get("AUGURY_BUILD", ".")
LOGS = os.path.join(BUILD, "soak-logs")
SLOW = "6"  # sanitizers, and several files at once
FILE_S = 1200
# Freed memory is kept for a while, so that its use is seen; 64 MiB a process of it are enough. Not
# detect_stack_use_after_return: gcc 12 then places variables that are aligned to 64 bytes anywhere.
ADDRESS = "detect_leaks=1:strict_string_checks=1:quarantine_size_mb=64"
UNDEFINED = "print_stacktrace=1"
# A daemon forks before it has threads, and its children have some.
THREAD = "die_after_fork=0:second_deadlock_stack=1"


def environment(reports):
    where = f"log_path={reports}/report:"
    return dict(os.environ, AUGURY_TEST_REPORTS=reports, AUGURY_TEST_SLOW=os.environ.get("AUGURY_TEST_SLOW", SLOW),
                PYTHONDONTWRITEBYTECODE="1", ASAN_OPTIONS=where + ADDRESS, UBSAN_OPTIONS=where + UNDEFINED,
                TSAN_OPTIONS=where + THREAD)


def run_file(path):
    """What it said, reports included, and its exit status."""
    reports = tempfile.mkdtemp(prefix="augury-reports-")
    os.chmod(reports, 0o1777)  # some tests run programs as other users
    name = os.path.basename(path)
    log_path = os.path.join(LOGS, name + ".log")
    with open(log_path, "w", encoding="utf-8") as log:
        with subprocess.Popen([sys.executable, os.path.join(SOURCE, path)], stdout=log, stderr=log, env=environment(reports),
                              start_new_session=True) as child:
            try:
                status = child.wait(timeout=FILE_S)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                status = f"over after {FILE_S} s"
        for left in sorted(os.listdir(reports)):
            with open(os.path.join(reports, left), encoding="utf-8", errors="replace") as report:
                log.write(f"{left}: {report.read()}\n")
            status = status or "a report"
    shutil.rmtree(reports, ignore_errors=True)
    with open(log_path, encoding="utf-8", errors="replace") as log:
        return name, status, log.read()


def tell(tap, name, status, text):
    bad = re.findall(r"^not ok \d+ - (.*)", text, re.M)
    found = re.findall(r"^.*(?:Sanitizer: |runtime error: ).*", text, re.M)
    good = len(re.findall(r"^ok \d", text, re.M))
    for line in [*bad, *sorted(set(found))]:
        print("#", line[:200])
    tap.check(status == 0 and not bad and not found, name, f"{good} passed, {len(bad)} failed, ended with {status}")


def main():
    tap = Tap()
    os.makedirs(LOGS, exist_ok=True)
    jobs = int(os.environ.get("SOAK_JOBS", len(os.sched_getaffinity(0))))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for name, status, text in pool.map(run_file, sys.argv[1:]):
            tell(tap, name, status, text)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
