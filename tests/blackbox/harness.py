# SPDX-License-Identifier: MIT
"""Black-box tests of auguryd: a daemon in a folder of its own, watched through its log, its admin socket and its answers.

A test file defines functions and ends with `harness.run(globals())`; each function whose name starts with `test_` gets a
Daemon that is not started yet, and is one TAP line. Nothing sleeps for luck: `wait_for` polls a condition with a deadline.
After each test the daemon must be gone, all of its processes with it, and its log must hold no level=error line that the
test has not announced with `expect_error`.
"""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

BUILD = os.environ.get("AUGURY_BUILD", ".")
SOURCE = os.environ.get("AUGURY_SOURCE", ".")
AUGURYD = os.environ.get("AUGURYD", os.path.join(BUILD, "auguryd"))
SLOW = float(os.environ.get("AUGURY_TEST_SLOW", "1"))  # how much longer all takes, as under a sanitizer
WAIT_S = float(os.environ.get("AUGURY_TEST_WAIT", "10")) * SLOW
REPORTS = os.environ.get("AUGURY_TEST_REPORTS")  # a folder where sanitizers write, one of this run's own
CRASHES = ("4", "6", "7", "8", "11")  # ILL, ABRT, BUS, FPE, SEGV


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


def equal(got, want, text=""):
    if got != want:
        raise Failure(f"{text + ': ' if text else ''}got {got!r}, want {want!r}")


def contains(got, words):
    if words not in got:
        raise Failure(f"{got!r} does not contain {words!r}")


def wait_for(condition, text, seconds=None):
    """The first true value of condition(); fails after the deadline."""
    deadline = time.monotonic() + (seconds * SLOW if seconds is not None else WAIT_S)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"waited in vain: {text}")
        time.sleep(0.005)


def is_alive(pid):
    """Neither gone nor a zombie that only waits to be reaped."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Daemon:
    """One auguryd with its configuration, folder and log."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="augury-test-")
        os.chmod(self.dir, 0o755)
        self.conf_path = os.path.join(self.dir, "augury.conf")
        self.log_path = os.path.join(self.dir, "log")
        self.pid_path = os.path.join(self.dir, "run", "auguryd.pid")
        self.socket_path = os.path.join(self.dir, "run", "admin.sock")
        self.options = {"workers": "2"}
        self.sections = {"limits": {"drain_timeout": "5s"}, "cache": {"size": "16MiB"},
                         "supervisor": {"auto": "no"}}
        self.listeners = {"public": "127.0.0.1:0"}
        self.expected_errors = []
        self.may_crash = False
        self.foreground = None

    # ---- configuration ------------------------------------------------------------------------

    def conf_text(self):
        lines = [f'pidfile = "{self.pid_path}"']
        lines += [f"{name} = {value}" for name, value in self.options.items()]
        for name, address in self.listeners.items():
            lines.append(f'listen "{name}" {{ address = "{address}" }}')
        sections = {
            "models": {"dir": f'"{self.dir}/models"', "map": "256MiB"},
            "cache": {"dir": f'"{self.dir}/cache"'},
            "admin": {"socket": f'"{self.socket_path}"'},
            "log": {"file": f'"{self.log_path}"', "level": "debug"},
        }
        for name, values in self.sections.items():
            sections.setdefault(name, {}).update(values)
        for name, values in sections.items():
            lines.append(name + " {")
            lines += [f"    {key} = {value}" for key, value in values.items()]
            lines.append("}")
        return "\n".join(lines) + "\n"

    def write_conf(self, text=None):
        with open(self.conf_path, "w", encoding="utf-8") as file:
            file.write(text if text is not None else self.conf_text())

    # ---- life -----------------------------------------------------------------------------------

    def command(self, *args):
        """Runs auguryd with this configuration and waits for it."""
        return subprocess.run([AUGURYD, "-c", self.conf_path, *args], capture_output=True, text=True,
                              timeout=60 * SLOW, check=False, env=self.environment())

    def environment(self):
        """A sanitizer leaves signals alone that the test sends, or that damaged files lead to."""
        values = dict(os.environ)
        if self.may_crash:
            for name in ("ASAN_OPTIONS", "TSAN_OPTIONS"):
                values[name] = values.get(name, "") + ":handle_segv=0:handle_sigbus=0"
        return values

    def start(self, *args):
        self.write_conf()
        done = self.command(*args)
        equal((done.returncode, done.stderr), (0, ""), "start")
        return self

    def start_foreground(self, *args):
        self.write_conf()
        self.foreground = subprocess.Popen([AUGURYD, "-c", self.conf_path, "-f", *args],
                                           stderr=subprocess.PIPE, text=True, env=self.environment())
        self.wait_event("ready")
        return self

    def pid(self):
        with open(self.pid_path, encoding="utf-8") as file:
            return int(file.read())

    def send(self, number):
        os.kill(self.pid(), number)

    def stop(self, number=signal.SIGQUIT):
        """Ends the daemon and waits until everything of it is gone."""
        pids = self.all_pids()
        self.send(number)
        self.wait_gone(pids)

    def wait_gone(self, pids=None):
        pids = self.all_pids() if pids is None else pids
        if self.foreground is not None:
            self.foreground.wait(timeout=30 * SLOW)
        wait_for(lambda: not [pid for pid in pids if is_alive(pid)], f"processes {pids} end", 15)

    # ---- log and processes ------------------------------------------------------------------------

    def log(self):
        """Lines as dictionaries."""
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            return []
        pairs = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)')
        return [{key: value.strip('"') for key, value in pairs.findall(line)} for line in lines]

    def log_files(self, pid):
        """The log files of this daemon's folder that a process has open."""
        try:
            links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        except FileNotFoundError:  # the process, or a descriptor between the two calls
            return []
        return [link for link in links if link.startswith(os.path.join(self.dir, "log"))]

    def events(self, event, **values):
        return [line for line in self.log() if line.get("event") == event and
                all(line.get(key) == str(value) for key, value in values.items())]

    def wait_event(self, event, count=1, seconds=None, **values):
        return wait_for(lambda: len(found := self.events(event, **values)) >= count and found,
                        f"{count} × event={event} {values}", seconds)

    def children(self, kind=None):
        """Pids of living children by the names the master gave them, newest last."""
        started = [(line["child"], int(line["child_pid"])) for line in self.events("child_start")]
        return {name: pid for name, pid in started
                if (kind is None or name.startswith(kind)) and is_alive(pid)}

    def all_pids(self):
        pids = [int(line["child_pid"]) for line in self.events("child_start")]
        pids += [int(line["pid"]) for line in self.events("start")]
        return sorted(set(pids))

    # ---- doors --------------------------------------------------------------------------------------

    def port(self, listener="public"):
        return int(self.wait_event("listen", name=listener)[-1]["address"].rsplit(":", 1)[1])

    def get(self, path="/api/v1/health", listener="public", connection=None):
        own = connection or http.client.HTTPConnection("127.0.0.1", self.port(listener), timeout=10)
        own.request("GET", path)
        answer = own.getresponse()
        body = answer.read()
        if connection is None:
            own.close()
        return answer.status, body

    def admin(self, line, path=None):
        """One command: (code, text)."""
        with Admin(path or self.socket_path) as admin:
            return admin.ask(line)

    def admin_json(self, line):
        code, text = self.admin(line + " -j")
        equal(code, 0, f"{line}: {text}")
        return json.loads(text)

    def metrics(self):
        code, text = self.admin("metrics")
        equal(code, 0)
        return {name: float(value) for name, value in re.findall(r"^(\S+) ([0-9.e+]+)$", text, re.M)}

    # ---- the end ------------------------------------------------------------------------------------

    def expect_error(self, event):
        self.expected_errors.append(event)

    def expect_crashes(self):
        """Before the start: processes die of SIGSEGV and the like, as the test means it."""
        self.may_crash = True

    def close(self, is_failed):
        """Ends what is left; on a good test nothing may be."""
        left = [pid for pid in self.all_pids() if is_alive(pid)]
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.foreground is not None:
            if self.foreground.poll() is None:
                self.foreground.kill()
            self.foreground.wait()
            self.foreground.stderr.close()
        errors = [line for line in self.log() if line.get("level") == "error" and
                  line.get("event") not in self.expected_errors]
        # A process that ends by itself ends with 0: a sanitizer's report, which nobody sees, would not.
        if "child_start_failed" not in self.expected_errors:
            errors += [line for line in self.events("child_exit") if line.get("status", "0") != "0"]
        if not self.may_crash and "child_hung" not in self.expected_errors:
            errors += [line for line in self.events("child_exit") if line.get("signal") in CRASHES]
        lines = []
        if is_failed:
            with open(self.log_path, encoding="utf-8", errors="replace") if os.path.exists(
                    self.log_path) else open(os.devnull, encoding="utf-8") as file:
                lines = file.read().splitlines()[-40:]
        shutil.rmtree(self.dir, ignore_errors=True)
        for line in lines:
            print("# log:", line)
        if not is_failed:
            check(not left, f"left over: {left}")
            check(not errors, f"errors in the log: {errors}")


class Admin:
    """A connection to the admin socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb")
        self.greeting = self.file.readline().decode().rstrip("\n")

    def ask(self, line):
        self.send(line)
        return self.hear()

    def send(self, line):
        data = line if isinstance(line, bytes) else line.encode()
        self.socket.sendall(data + b"\n")

    def hear(self):
        head = self.file.readline().decode().split()
        if len(head) != 3:
            raise Failure(f"admin: bad frame {head!r}")
        word, code, length = head[0], int(head[1]), int(head[2])
        body = self.file.read(length).decode()
        equal(self.file.read(1), b"\n", "end of frame")
        equal(word, "OK" if code == 0 else "ERR", "word of the frame")
        return code, body

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Skip(Exception):
    pass


def run_one(test):
    daemon = Daemon()
    problem = None
    try:
        test(daemon)
    except Skip as skip:
        daemon.close(True)
        return f" # SKIP {skip}", None
    except Exception:  # a test may fail in any way
        problem = traceback.format_exc()
    try:
        daemon.close(problem is not None)
    except Failure as failure:
        problem = str(failure)
    return "", problem


def new_reports():
    """What sanitizers have written since the last call, as text."""
    texts = []
    for name in sorted(os.listdir(REPORTS)) if REPORTS else []:
        path = os.path.join(REPORTS, name)
        with open(path, encoding="utf-8", errors="replace") as file:
            texts.append(f"{name}: {file.read()}")
        os.unlink(path)
    return "".join(texts)


def run(names):
    tests = [value for name, value in names.items() if name.startswith("test_")]
    failed = 0
    print(f"1..{len(tests)}", flush=True)
    for number, test in enumerate(tests, 1):
        remark, problem = run_one(test)
        reports = new_reports()
        if reports:
            problem = (problem or "") + reports
        failed += problem is not None
        if problem is not None:
            for line in problem.splitlines():
                print("#", line)
        name = test.__name__[5:].replace("_", " ")
        print(f"{'not ' if problem is not None else ''}ok {number} - {name}{remark}", flush=True)
    sys.exit(1 if failed else 0)
