#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Real memory pressure: a process beside the daemon takes memory until the kernel's MemAvailable falls under one memory step
after the other, and gives it back. The cache's quota and the blocks of its file follow within 5 s, nobody is killed for want
of memory, answers go on; then the cache grows back. TAP; about four minutes; takes 3 GiB.

usage: pressure.py
The steps are laid below what is available now, so that any machine with 4 GiB to spare will do.
Environment: AUGURY_SOURCE, AUGURY_BUILD.
"""
import http.client
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SOURCE = os.environ.get("AUGURY_SOURCE", ".")
BUILD = os.environ.get("AUGURY_BUILD", os.path.join(SOURCE, "build"))
MODEL = os.path.abspath(os.path.join(SOURCE, "tests/data/nfl-wp/model.json"))
MIB = 1 << 20
SIZE = 128 * MIB
HOG = "import sys\nfor line in sys.stdin:\n    held = bytearray(b'x') * int(line)\n    print('held', flush=True)\n"

CONF = """
workers = 2
pidfile = "{dir}/auguryd.pid"
listen "public" {{ address = "127.0.0.1:{port}" }}
models {{ dir = "{dir}/models" }}
cache {{ dir = "{dir}/cache" size = "128MiB" class "prediction" {{ ttl = 1h }} }}
admin {{ socket = "{dir}/admin.sock" }}
log {{ file = "{dir}/augury.log" }}
limits {{ body = "8MiB" }}
supervisor {{ ceiling = "128MiB" target_cpu = 0 memory_steps = "{steps}" }}
"""


def figure(path, name):
    with open(path, encoding="ascii") as file:
        return int(re.search(rf"^{name}:?\s+(\d+)", file.read(), re.M)[1])


def available():
    return figure("/proc/meminfo", "MemAvailable") << 10


class Daemon:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="augury-pressure-", dir="/dev/shm")
        self.port = 20000 + os.getpid() % 20000
        self.write("")
        self.steps = []

    def write(self, steps):
        with open(f"{self.dir}/augury.conf", "w", encoding="utf-8") as file:
            file.write(CONF.format(dir=self.dir, port=self.port, steps=steps))

    def augury(self, *words):
        return subprocess.run([f"{BUILD}/augury", "-c", f"{self.dir}/augury.conf", *words], check=True, text=True,
                              capture_output=True).stdout

    def json(self, *words):
        return json.loads(self.augury("-j", *words))

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def events(self, event):
        with open(f"{self.dir}/augury.log", encoding="utf-8") as file:
            return [dict(re.findall(r"(\w+)=(\S+)", line)) for line in file if f"event={event} " in line]


def ask(connection, names, rows):
    connection.request("POST", "/api/v1/predict/wp", json.dumps({"columns": names, "data": rows}),
                       {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(body[:200])
    return json.loads(body)["predictions"]


def wait_for(condition, seconds):
    """Seconds until it held, or None."""
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        if condition():
            return time.monotonic() - start
        time.sleep(0.05)
    return None


def scenario(daemon, check):
    subprocess.run([f"{BUILD}/auguryd", "-c", f"{daemon.dir}/augury.conf"], check=True)
    daemon.augury("model", "import", "wp", MODEL)
    names = [feature["name"] for feature in daemon.json("model", "show", "wp")["features"]]
    connection = daemon.connect()
    random.seed(5)
    known = [[random.random() for _ in names] for _ in range(50)]
    wanted = ask(connection, names, known)

    def stats():
        return daemon.json("cache", "stats")

    def is_full():
        ask(connection, names, [[random.random() for _ in names] for _ in range(5000)])
        now = stats()
        return now["used_bytes"] > now["quota_bytes"] * 0.95

    check(wait_for(is_full, 120) is not None, "the cache is full", f"{stats()['file_blocks_bytes'] >> 20} MiB of blocks")
    before, kills = available(), figure("/proc/vmstat", "oom_kill")
    daemon.write(", ".join(f"{(before >> 10) - (taken << 10)}KiB:{percent}" for taken, percent in
                           ((2048, 25), (1536, 50), (1024, 75))))
    daemon.augury("reload")
    connection = daemon.connect()
    with subprocess.Popen([sys.executable, "-c", HOG], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as hog:
        try:
            for taken, percent in ((1280, 75), (1792, 50), (2304, 25)):
                hog.stdin.write(f"{taken * MIB}\n")
                hog.stdin.flush()
                hog.stdout.readline()
                quota = SIZE * percent // 100
                took = wait_for(lambda: stats()["quota_bytes"] <= quota, 5)
                check(took is not None, f"{taken} MiB taken outside: the quota follows", f"{took} s")
                took = wait_for(lambda: stats()["used_bytes"] <= quota, 5)
                check(took is not None, "and entries", f"{took} s")
                took = wait_for(lambda: stats()["file_blocks_bytes"] <= quota * 1.25, 5)
                check(took is not None, "and the file's blocks", f"{took} s, {stats()['file_blocks_bytes'] >> 20} MiB")
                check(ask(connection, names, known) == wanted, "answers go on")
        finally:
            hog.send_signal(signal.SIGKILL)
    took = wait_for(lambda: stats()["quota_bytes"] == SIZE, 240)
    check(took is not None, "memory given back: the cache grows back", f"{took} s, {daemon.json('controller')['reason']}")
    actions = [line["action"] for line in daemon.events("cache_resized")]
    turns = sum(a != b for a, b in zip(actions, actions[1:]))
    check(turns <= 1, "with one change of direction", f"{turns} in {actions}")
    check(figure("/proc/vmstat", "oom_kill") == kills, "nobody was killed for want of memory")


def main():
    counts = [0, 0]

    def check(condition, name, detail=""):
        counts[0] += 1
        counts[1] += not condition
        print(f"{'ok' if condition else 'not ok'} {counts[0]} - {name}" + (f" # {detail}" if detail else ""), flush=True)

    if available() < 4096 * MIB:
        print("1..0 # SKIP less than 4 GiB are available")
        return 0
    daemon = Daemon()
    try:
        scenario(daemon, check)
    finally:
        with open(f"{daemon.dir}/auguryd.pid", encoding="ascii") as file:
            os.kill(int(file.read()), signal.SIGTERM)
        wait_for(lambda: not os.path.exists(f"{daemon.dir}/auguryd.pid"), 20)
        shutil.rmtree(daemon.dir, ignore_errors=True)
    print(f"1..{counts[0]}")
    return 1 if counts[1] else 0


sys.exit(main())
