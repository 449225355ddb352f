#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Long runs of a real daemon under load while its processes are killed or replaced. Each scenario ends with TAP lines.

usage: soak.py kill|reload|memory [--seconds S]
kill    4 workers, 64 keep-alive connections, hits and misses mixed; a worker is killed by SIGKILL every second, the
        supervisor every five. No wrong answer, no refused connection, errors only near a kill, all processes back within 2 s.
reload  50 reloads under load: no failed request.
memory  private memory of 8 workers with a 15 MB model against none; 1,000 import and unload rounds.
Environment: AUGURY_SOURCE, AUGURY_BUILD. Expected answers come from libxgboost (python3-xgboost).
"""
import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy
import xgboost

from tap import Tap

SOURCE = os.environ.get("AUGURY_SOURCE", ".")
BUILD = os.environ.get("AUGURY_BUILD", os.path.join(SOURCE, "build"))
MODEL = os.path.join(SOURCE, "tests/data/nfl-wp/model.json")
FEATURES = ("receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,score_differential,down,"
            "ydstogo,yardline_100,posteam_timeouts_remaining,defteam_timeouts_remaining").split(",")

CONF = """
workers = {workers}
pidfile = "{dir}/auguryd.pid"
listen "public" {{ address = "127.0.0.1:{port}" }}
models {{ dir = "{dir}/models" }}
cache {{ dir = "{dir}/cache" size = "64MiB" }}
admin {{ socket = "{dir}/admin.sock" }}
log {{ file = "{dir}/augury.log" }}
"""


class Daemon:
    """One auguryd in a folder of its own."""

    def __init__(self, workers):
        self.dir = tempfile.mkdtemp(prefix="augury-soak-", dir="/dev/shm")
        import socket
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.conf = os.path.join(self.dir, "augury.conf")
        with open(self.conf, "w") as f:
            f.write(CONF.format(workers=workers, dir=self.dir, port=self.port))
        self.workers = workers

    def run(self, *words, check=True):
        return subprocess.run([os.path.join(BUILD, "augury"), "-c", self.conf, *words], check=check, capture_output=True,
                              text=True).stdout

    def json(self, *words):
        return json.loads(self.run("-j", *words))

    def start(self):
        subprocess.run([os.path.join(BUILD, "auguryd"), "-c", self.conf], check=True)

    @property
    def pid(self):
        with open(os.path.join(self.dir, "auguryd.pid")) as f:
            return int(f.read())

    def children(self):
        """{pid: title} of the master's children, from /proc."""
        found = {}
        try:
            with open(f"/proc/{self.pid}/task/{self.pid}/children") as f:
                pids = [int(p) for p in f.read().split()]
        except OSError:
            return found
        for pid in pids:
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    found[pid] = f.read().replace(b"\0", b" ").decode().strip()
            except OSError:
                pass
        return found

    def of_kind(self, kind):
        return [pid for pid, title in self.children().items() if kind in title]

    def stop(self):
        try:
            pid = self.pid
            os.kill(pid, signal.SIGTERM)
            for _ in range(200):
                os.kill(pid, 0)
                time.sleep(0.05)
        except (OSError, ValueError):
            pass
        shutil.rmtree(self.dir, ignore_errors=True)


def questions(count, seed=7):
    """Bodies and libxgboost's answers for random rows."""
    rng = numpy.random.default_rng(seed)
    rows = rng.uniform([0, 0, 0, 0, -60, -40, 1, 1, 1, 0, 0], [1, 1, 1800, 3600, 60, 40, 4, 20, 99, 3, 3], (count, 11))
    rows = rows.astype(numpy.float32)
    rows[rng.random(rows.shape) < 0.05] = numpy.nan
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(MODEL)
    wanted = booster.inplace_predict(rows)
    bodies = []
    for row in rows:
        features = {name: (None if numpy.isnan(v) else float(v)) for name, v in zip(FEATURES, row)}
        body = json.dumps({"features": features}).encode()
        bodies.append(b"POST /api/v1/predict/nfl-wp HTTP/1.1\r\nHost: soak\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                      % (len(body), body))
    return bodies, wanted


class Load:
    """Keep-alive connections that ask and check; errors are kept with their time."""

    def __init__(self, port, hot, cold):
        self.port, self.hot, self.cold = port, hot, cold
        self.answers = self.wrong = self.refused = self.bad_status = 0
        self.errors = []
        self.sample = []
        self.stopping = False

    async def ask(self, reader, writer, k):
        bodies, wanted = self.hot if k % 2 == 0 else self.cold
        i = random.randrange(len(bodies))
        writer.write(bodies[i])
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200"):
            self.bad_status += 1
            self.sample.append((head + body)[:300])
            return b"connection: close" not in head.lower()
        got = numpy.float32(json.loads(body)["predictions"][0]["prediction"])
        if abs(float(got) - float(wanted[i])) > 2e-7:
            self.wrong += 1
            self.sample.append((float(got), float(wanted[i])))
        self.answers += 1
        return b"connection: close" not in head.lower()

    async def client(self, number):
        k = number
        while not self.stopping:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                self.refused += 1
                await asyncio.sleep(0.01)
                continue
            try:
                while not self.stopping:
                    k += 1
                    if not await self.ask(reader, writer, k):
                        break
            except (OSError, asyncio.IncompleteReadError):
                self.errors.append(time.monotonic())
            finally:
                writer.close()

    async def run(self, connections, others):
        """Runs the clients until every other coroutine ends."""
        clients = [asyncio.create_task(self.client(n)) for n in range(connections)]
        results = await asyncio.gather(*others)
        self.stopping = True
        await asyncio.wait(clients, timeout=10)
        return results


def pools():
    hot = questions(200, 1)
    cold = questions(50000, 2)
    return hot, cold


async def kill_now(daemon, kind):
    """Kills one process of the kind; the seconds until as many as before are there again and ready."""
    victims = daemon.of_kind(kind)
    if not victims:
        return time.monotonic(), None
    victim = random.choice(victims)
    at = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    while time.monotonic() < at + 10:
        await asyncio.sleep(0.02)
        now = daemon.of_kind(kind)
        if victim not in now and len(now) == len(victims):
            return at, time.monotonic() - at
    return at, None


async def kill_every(daemon, kind, every, seconds, kills, back):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.monotonic()
        at, took = await kill_now(daemon, kind)
        kills.append(at)
        back.append(took)
        await asyncio.sleep(max(0.0, every - (time.monotonic() - started)))


def soak_kill(seconds, tap):
    daemon = Daemon(4)
    try:
        daemon.run("model", "import", "nfl-wp", MODEL, "--features", ",".join(FEATURES))
        daemon.start()
        hot, cold = pools()
        load = Load(daemon.port, hot, cold)
        kills, back = [], []
        asyncio.run(load.run(64, [kill_every(daemon, "worker", 1.0, seconds, kills, back),
                                  kill_every(daemon, "supervisor", 5.0, seconds, kills, back)]))
        stray = [e for e in load.errors if not any(0 <= e - k < 0.5 for k in kills)]
        tap.check(load.answers > 1000, "the daemon answered throughout", f"{load.answers} answers, {len(kills)} kills")
        tap.check(load.wrong == 0, "no wrong answer", str(load.sample[:3]) if load.wrong else "")
        tap.check(load.bad_status == 0, "no answer but 200", str(load.sample[:3]) if load.bad_status else "")
        tap.check(load.refused == 0, "no refused connection", f"{load.refused} refused")
        tap.check(not stray, "errors only on requests in flight on a killed worker", f"{len(load.errors)} errors, {len(stray)} stray")
        slowest = max((b for b in back if b is not None), default=0)
        tap.check(None not in back and slowest < 2, "every process is back within 2 s", f"slowest {slowest:.2f} s")
        time.sleep(1.5)
        usage = daemon.json("cache", "stats")
        tap.check(usage["entries"] > 0, "the cache is readable afterwards", f"{usage['entries']} entries")
        slots = usage["reader_slots"]
        tap.check(slots <= 12, "no stale reader", f"at most {slots} reader slots in use at once, after {len(kills)} kills")
        check = Load(daemon.port, hot, cold)

        async def pause():
            await asyncio.sleep(2)
        asyncio.run(check.run(8, [pause()]))
        tap.check(check.wrong == 0 and not check.errors and check.answers > 100, "a quiet round afterwards is clean", f"{check.answers} answers")
    finally:
        daemon.stop()


def soak_reload(seconds, tap):
    daemon = Daemon(2)
    try:
        daemon.run("model", "import", "nfl-wp", MODEL, "--features", ",".join(FEATURES))
        daemon.start()
        hot, cold = pools()
        load = Load(daemon.port, hot, cold)

        async def reloads():
            for _ in range(50):
                before = daemon.of_kind("worker")
                os.kill(daemon.pid, signal.SIGHUP)
                end = time.monotonic() + 10
                while time.monotonic() < end and set(daemon.of_kind("worker")) & set(before):
                    await asyncio.sleep(0.02)
        asyncio.run(load.run(64, [reloads()]))
        generation = daemon.json("status").get("generation")
        tap.check(load.wrong == 0 and load.bad_status == 0, "no wrong answer", str(load.sample[:3]) if load.sample else "")
        tap.check(load.refused == 0 and not load.errors, "no failed request over 50 reloads",
                  f"{load.answers} answers, {load.refused} refused, {len(load.errors)} errors")
        tap.check(generation == 51, "the daemon serves its 51st generation", str(generation))
    finally:
        daemon.stop()


def status_kb(pid, field):
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            if line.startswith(field + ":"):
                return int(line.split()[1])
    return 0


def big_model(folder):
    """A model file of about 15 MB: 850 trees of depth 8, trained by libxgboost."""
    path = os.path.join(folder, "big.json")
    rng = numpy.random.default_rng(3)
    x = rng.normal(size=(20000, 100)).astype(numpy.float32)
    y = (x[:, 0] * x[:, 1] + numpy.sin(x[:, 2] * 3) + rng.normal(size=20000)).astype(numpy.float32)
    xgboost.train({"max_depth": 8, "objective": "reg:squarederror", "tree_method": "hist", "eta": 0.05, "nthread": 2,
                   "min_child_weight": 0}, xgboost.DMatrix(x, y), 850).save_model(path)
    return path


def ask_all(daemon, model, count, rounds):
    """Several connections, so that every worker has evaluated the model."""
    import http.client
    names = [f"f{i}" for i in range(count)]
    for n in range(rounds):
        connection = http.client.HTTPConnection("127.0.0.1", daemon.port)
        body = json.dumps({"columns": names, "data": [[(i * 7 + n) % 13 - 6 for i in range(count)]], "use_cache": False})
        connection.request("POST", f"/api/v1/predict/{model}", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        connection.close()


def soak_memory(seconds, tap):
    del seconds
    daemon = Daemon(8)
    try:
        daemon.start()
        ask_all(daemon, "big", 100, 200)
        before = {pid: status_kb(pid, "RssAnon") for pid in daemon.of_kind("worker")}
        path = big_model(daemon.dir)
        size = os.path.getsize(path)
        daemon.run("model", "import", "big", path)
        ask_all(daemon, "big", 100, 400)
        after = {pid: status_kb(pid, "RssAnon") for pid in daemon.of_kind("worker")}
        growth = max(after[pid] - before[pid] for pid in before)
        tap.check(set(before) == set(after) and growth < 1024, "private memory of a worker grows by less than 1 MB with a large model",
                  f"file {size / 1e6:.1f} MB, growth {growth} kB")
        daemon.run("model", "unload", "big")
        small = MODEL
        for n in range(1000):
            daemon.run("model", "import", "turn", small)
            if n % 10 == 0:
                ask_all(daemon, "turn", 11, 4)
            daemon.run("model", "unload", "turn")
            if n == 100:
                ask_all(daemon, "turn", 11, 40)
                early = {pid: (status_kb(pid, "RssAnon"), status_kb(pid, "RssFile")) for pid in daemon.of_kind("worker")}
                early_blocks = os.stat(os.path.join(daemon.dir, "models", "data.mdb")).st_blocks
        ask_all(daemon, "turn", 11, 40)
        late = {pid: (status_kb(pid, "RssAnon"), status_kb(pid, "RssFile")) for pid in daemon.of_kind("worker")}
        blocks = os.stat(os.path.join(daemon.dir, "models", "data.mdb")).st_blocks
        anon = max(late[p][0] - early[p][0] for p in early)
        file = max(late[p][1] - early[p][1] for p in early)
        tap.check(anon < 256, "900 rounds of import and unload leave private memory flat", f"{anon} kB")
        tap.check(file < 1024, "and give the mapped pages back", f"{file} kB")
        tap.check(blocks <= early_blocks * 1.1, "and the file is no larger", f"{early_blocks} -> {blocks} blocks")
    finally:
        daemon.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", choices=["kill", "reload", "memory"])
    parser.add_argument("--seconds", type=float, default=60)
    args = parser.parse_args()
    random.seed(11)
    tap = Tap()
    {"kill": soak_kill, "reload": soak_reload, "memory": soak_memory}[args.scenario](args.seconds, tap)
    sys.exit(tap.done())


if __name__ == "__main__":
    main()
