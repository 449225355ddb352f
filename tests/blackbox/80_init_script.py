#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The init script with a real daemon: every verb, and the exit codes that LSB 3.1 "Init Script Actions" gives them."""
import os
import shutil
import subprocess
import sys
import tempfile

SOURCE = os.environ.get("AUGURY_SOURCE", ".")
BUILD = os.environ.get("AUGURY_BUILD", "build")
SCRIPT = os.path.join(SOURCE, "etc/augury.init")
DAEMON = os.path.abspath(os.path.join(BUILD, "auguryd"))

CONFIG = """
workers = 1
pidfile = "{folder}/auguryd.pid"
listen "http" {{ address = "127.0.0.1:0" }}
models {{ dir = "{folder}/models" }}
cache {{ dir = "{folder}/cache" size = "8MiB" }}
admin {{ socket = "{folder}/admin.sock" }}
log {{ file = "{folder}/log" }}
"""


class Machine:
    """A folder with a configuration, and the script's view of it."""

    def __init__(self, folder):
        self.folder = folder
        self.config = os.path.join(folder, "augury.conf")
        self.pidfile = os.path.join(folder, "auguryd.pid")
        self.lockfile = os.path.join(folder, "lock")
        with open(self.config, "w", encoding="utf-8") as config:
            config.write(CONFIG.format(folder=folder))

    def run(self, *words, **changes):
        environment = dict(os.environ, DEFAULTS="/nonexistent", DAEMON=DAEMON, CONFIG=self.config,
                           PIDFILE=self.pidfile, LOCKFILE=self.lockfile, STOP_SCHEDULE="QUIT/10/KILL/5")
        environment.update(changes)
        done = subprocess.run([SCRIPT, *words], env=environment, text=True, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self.said = done.stdout
        return done.returncode

    def pid(self):
        with open(self.pidfile, encoding="ascii") as pidfile:
            return int(pidfile.read())

    def log(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8") as log:
            return log.read()


def a_stopped_service(machine):
    yield "status says 3", machine.run("status"), 3
    yield "stop is success", machine.run("stop"), 0
    yield "try-restart is success and starts nothing", (machine.run("try-restart"), machine.run("status")), (0, 3)
    yield "reload says 7", machine.run("reload"), 7
    yield "force-reload says 7", machine.run("force-reload"), 7
    yield "rotate says 7", machine.run("rotate"), 7


def usage_and_installation(machine):
    yield "an unknown verb is a usage error", machine.run("sing"), 2
    yield "two verbs are a usage error", machine.run("start", "stop"), 2
    yield "no verb is a usage error", machine.run(), 2
    yield "a missing program is 5", machine.run("start", DAEMON="/nonexistent/auguryd"), 5
    yield "a missing configuration is 6", machine.run("start", CONFIG="/nonexistent/augury.conf"), 6
    wrong = os.path.join(machine.folder, "wrong.conf")
    with open(wrong, "w", encoding="utf-8") as config:
        config.write("workers = many\n")
    yield "a wrong configuration is 6", machine.run("start", CONFIG=wrong), 6
    yield "configtest finds it", machine.run("configtest", CONFIG=wrong), 6
    yield "and shows its line", "wrong.conf:1" in machine.said, True
    yield "options are part of the configuration", machine.run("configtest", DAEMON_OPTS="-o workers=many"), 6
    yield "configtest accepts the right one", machine.run("configtest"), 0


def a_running_service(machine):
    yield "start starts", (machine.run("start"), machine.run("status")), (0, 0)
    first = machine.pid()
    yield "status names the pid", str(first) in machine.said, True
    yield "start again is success and the same process", (machine.run("start"), machine.pid()), (0, first)
    yield "reload keeps the process", (machine.run("reload"), machine.pid()), (0, first)
    wrong = os.path.join(machine.folder, "wrong.conf")
    yield "restart with a wrong configuration is refused", machine.run("restart", CONFIG=wrong), 6
    yield "and costs nothing", (machine.run("status"), machine.pid()), (0, first)
    yield "rotate is success", machine.run("rotate"), 0
    yield "restart makes another process", (machine.run("restart"), machine.pid() != first), (0, True)
    second = machine.pid()
    yield "try-restart as well", (machine.run("try-restart"), machine.pid() != second), (0, True)
    yield "stop stops", (machine.run("stop"), machine.run("status")), (0, 3)


def what_a_crash_leaves(machine):
    with open(machine.pidfile, "w", encoding="ascii") as pidfile:
        pidfile.write("4194305\n")  # above the kernel's largest pid
    yield "a pidfile without a process is 1", machine.run("status"), 1
    yield "start gets over it", (machine.run("start"), machine.run("status")), (0, 0)
    yield "stop after it stops", machine.run("stop"), 0
    with open(machine.lockfile, "w", encoding="ascii"):
        pass
    yield "a lock without a process is 2", machine.run("status"), 2
    yield "stop removes the lock", (machine.run("stop"), machine.run("status")), (0, 3)


def main():
    folder = tempfile.mkdtemp(prefix="augury-init-")
    machine = Machine(folder)
    count = failures = 0
    try:
        for part in (a_stopped_service, usage_and_installation, a_running_service, what_a_crash_leaves):
            for behaviour, got, want in part(machine):
                count += 1
                if got != want:
                    failures += 1
                    print(f"# got {got}, want {want}; the script said: {machine.said!r}")
                name = part.__name__.replace("_", " ")
                print(f"{'ok' if got == want else 'not ok'} {count} - {name}: {behaviour}", flush=True)
    finally:
        machine.run("stop")
        shutil.rmtree(folder, ignore_errors=True)
    print(f"1..{count}")
    return 1 if failures else 0


sys.exit(main())
