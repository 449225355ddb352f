#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Tries to make the cache say something wrong: workers and the supervisor are killed at random, by SIGKILL, while models of
several versions answer in three forms, objects are put, read and deleted, and keys are purged, banned, flushed. Ends with
TAP lines.

usage: soak_cache.py [--disk] [--rounds N] [--rate KILLS_A_SECOND] [--connections N] [--seed N]
--disk: with a tier on disk below a small memory. Predictions are compared with those of `augury predict`. An object's content names its version; a read that began after a put,
delete or purge was answered never finds what was there before, nor what a killed worker had left unanswered by then. How long
answers took is told beside the round trip to a process that only echoes, since a busy machine is late for everybody. Environment: AUGURY_SOURCE, AUGURY_BUILD.
"""
import argparse
import asyncio
import gc
import gzip
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time

import msgpack
import numpy
import xgboost

import soak
from soak import BUILD
from tap import Tap

CONF = """
workers = {workers}
pidfile = "{dir}/auguryd.pid"
listen "public" {{ address = "127.0.0.1:{port}" }}
models {{ dir = "{dir}/models" }}
cache {{ dir = "{dir}/cache" size = "6MiB" {more} class "object" {{ writable = yes }} }}
admin {{ socket = "{dir}/admin.sock" }}
log {{ file = "{dir}/augury.log" level = "debug" }}
"""
# Memory has room for few entries then, so that the disk is asked; large objects are put that nobody reads, so that it evicts.
FEW = "entries = 150"
DISK = """
disk {{ enabled = yes dir = "{dir}/disk" size = "16MiB" }}
"""
NAMES = ["a", "b", "c", "d"]
OBJECTS = 24
SLOW_MS = 100
ECHO = ("import socket,sys\ns=socket.socket(fileno=0)\n"
        "while True:\n d=s.recv(64)\n if not d: sys.exit()\n s.sendall(d)\n")


class Model:
    """A stored version, rows, and what `augury predict` says of them."""

    def __init__(self, daemon, name, version, seed):
        rng = numpy.random.default_rng(seed)
        x = rng.normal(size=(800, len(NAMES))).astype(numpy.float32)
        y = (x[:, 0] * (seed + 1) + numpy.sin(x[:, 1] * 3) * x[:, 2]).astype(numpy.float32)
        file = os.path.join(daemon.dir, f"{name}-{version}.json")
        data = xgboost.DMatrix(x, y, feature_names=NAMES)
        xgboost.train({"max_depth": 5, "nthread": 1}, data, 30).save_model(file)
        daemon.run("model", "import", name, file, "--version", version)
        self.path = f"/api/v1/predict/{name}@{version}"
        self.rows = x.tolist()
        rows = os.path.join(daemon.dir, "rows.tsv")
        with open(rows, "w", encoding="ascii") as out:
            for row in self.rows:
                print("\t".join(repr(cell) for cell in row), file=out)
        self.wanted = numpy.array([float(line) for line in daemon.run("predict", file, rows, "--no-header").split()], numpy.float32)
        assert len(self.wanted) == len(self.rows)


class Thing:
    """An object: who writes holds the lock, so that versions are put in order."""

    def __init__(self, name):
        self.name, self.lock = name, asyncio.Lock()
        self.next, self.floor = 1, 0
        self.acked = 0  # the last change that was answered
        self.pending = set()

    def content(self, version):
        size = 60000 if version % 11 == 0 else version * 37 % 3000
        return json.dumps({"name": self.name, "version": version, "pad": "x" * size}).encode()


class Broken(Exception):
    pass


class Connection:
    def __init__(self, port):
        self.port, self.reader, self.writer = port, None, None
        self.is_new = False  # the request waited for a worker that accepts

    async def ask(self, method, path, body=b"", headers=""):
        """(status, headers, body, milliseconds); Broken when the worker is gone."""
        try:
            self.is_new = self.writer is None
            if self.is_new:
                self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
            begin = time.monotonic()
            self.writer.write(f"{method} {path} HTTP/1.1\r\nHost: soak\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body)
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:])}
            data = await self.reader.readexactly(int(fields.get("content-length", 0)))
            end = time.monotonic()
        except (OSError, asyncio.IncompleteReadError) as problem:
            self.close()
            raise Broken from problem
        if fields.get("connection") == "close":
            self.close()
        return int(head[0].split()[1]), fields, data, (begin, end)

    def close(self):
        if self.writer is not None:
            self.writer.close()
        self.writer = None


class Soak:
    def __init__(self, daemon, args):
        self.daemon, self.rounds, self.rate = daemon, args.rounds, args.rate
        self.folders = ["cache", "disk"] if args.disk else ["cache"]
        self.filled = 0
        self.stopping = False
        self.wrong, self.others = [], {}
        self.broken = self.orders = 0
        self.times = {"accept": [], "predict": [], "get": [], "write": []}
        self.echoes = []
        self.log = []
        self.kills = {"worker": 0, "supervisor": 0}
        self.models = [Model(daemon, "one", "1", 1), Model(daemon, "one", "2", 2), Model(daemon, "two", "1", 3)]
        self.things = [Thing(f"o/{n}") for n in range(OBJECTS)]
        self.checks, self.damage = 0, []

    # ---- load -----------------------------------------------------------------------------------

    def count_other(self, kind, status, body):
        key = f"{kind} {status}" + (" " + json.loads(body)["code"] if status >= 500 else "")
        self.others[key] = self.others.get(key, 0) + 1

    async def predict(self, connection):
        model = random.choice(self.models)
        many = random.random() < 0.1
        picks = random.sample(range(len(model.rows)), 90) if many else [int(random.paretovariate(0.7)) % len(model.rows)]
        body = {"columns": NAMES, "data": [model.rows[i] for i in picks]}
        packed = random.random() < 0.3
        headers = "Accept-Encoding: gzip\r\n" if random.random() < 0.5 else ""
        headers += "Accept: application/msgpack\r\n" if packed else "Accept: application/json\r\n"
        status, fields, data, times = await connection.ask("POST", model.path, json.dumps(body).encode(),
                                                           headers + "Content-Type: application/json\r\n")
        self.times["accept" if connection.is_new else "predict"].append(times)
        if status != 200:
            self.count_other("predict", status, data if not packed else json.dumps(msgpack.unpackb(data)))
            return
        if fields.get("content-encoding") == "gzip":
            data = gzip.decompress(data)
        answer = msgpack.unpackb(data) if packed else json.loads(data)
        got = numpy.array([row["prediction"] for row in answer["predictions"]], numpy.float32)
        if len(got) != len(picks) or (got != model.wanted[picks]).any():
            self.wrong.append(f"{model.path} rows {picks[:3]}: {got[:3]}, not {model.wanted[picks][:3]}")

    async def read(self, connection):
        thing = random.choice(self.things)
        floor = thing.floor
        status, _, data, times = await connection.ask("GET", "/api/v1/objects/" + thing.name)
        self.times["accept" if connection.is_new else "get"].append(times)
        if status != 200:
            self.count_other("get", status, data)
            return
        document = json.loads(data)
        version = document["version"]
        if document["name"] != thing.name or version >= thing.next or data != thing.content(version):
            self.wrong.append(f"{thing.name}: content of {document['name']} {version}")
        elif version < floor:
            self.wrong.append(f"{thing.name}: version {version} after {floor}" + " (unanswered)" * (version in thing.pending))

    async def write(self, connection):
        thing = random.choice(self.things)
        async with thing.lock:
            version = thing.next
            is_put = random.random() < 0.75
            thing.next += 1  # a delete has a number too: what was put before it is older
            if is_put:
                thing.pending.add(version)
            status, _, data, times = await connection.ask("PUT" if is_put else "DELETE", "/api/v1/objects/" + thing.name,
                                                          thing.content(version) if is_put else b"")
            self.times["accept" if connection.is_new else "write"].append(times)
            if status in (201, 204, 404):
                thing.pending.discard(version)
                thing.acked = version
                thing.floor = max(thing.floor, version)
            else:
                self.count_other("write", status, data)

    async def fill(self, connection):
        self.filled += 1
        await connection.ask("PUT", f"/api/v1/objects/fill/{self.filled}", bytes(100000))

    async def client(self):
        connection = Connection(self.daemon.port)
        steps = [self.predict] * 5 + [self.read] * 4 + [self.write] + [self.fill] * (len(self.folders) - 1)
        while not self.stopping:
            try:
                await random.choice(steps)(connection)
            except Broken:
                self.broken += 1
                await asyncio.sleep(0.002)
        connection.close()

    async def admin(self):
        """Purges, bans, flushes. One that was not answered may have been done, or not."""
        while not self.stopping:
            await asyncio.sleep(random.random() * 0.3)
            thing = random.choice(self.things)
            if random.random() < 0.6:
                command, things = f"cache purge object:{thing.name}", [thing]
            else:
                command, things = random.choice([
                    ("cache ban object:o/*", self.things), ("cache flush", self.things), ("cache flush object", self.things),
                    ("cache flush prediction", []), ("cache invalidate model one", []), ("cache ban prediction:two@*", [])])
            dead = [(thing, thing.acked + 1) for thing in things]
            try:
                reader, writer = await asyncio.open_unix_connection(os.path.join(self.daemon.dir, "admin.sock"))
                writer.write(command.encode() + b"\n")
                await reader.readline()
                frame = (await reader.readline()).split()
                writer.close()
                # That there was none to purge is as good: what comes later comes from a later put.
                done = len(frame) == 3 and frame[0] == b"OK"
                if done:
                    self.orders += 1
                    for one, floor in dead:
                        one.floor = max(one.floor, floor)
            except OSError:
                pass

    # ---- what is done to it ---------------------------------------------------------------------

    async def echo(self):
        """What a process that does nothing needs for an answer on this machine at this moment, and how late this one is
        itself, which all its requests then wait for."""
        ours, theirs = socket.socketpair()
        child = subprocess.Popen([sys.executable, "-c", ECHO], stdin=theirs)
        theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        while not self.stopping:
            begin = time.monotonic()
            writer.write(b"x")
            await reader.readexactly(1)
            due = time.monotonic() + 0.01
            self.echoes.append((begin, due - 0.01))
            await asyncio.sleep(0.01)
            self.echoes.append((due, time.monotonic()))
        writer.close()
        child.kill()
        child.wait()

    async def kill(self):
        while sum(self.kills.values()) < self.rounds:
            await asyncio.sleep(random.uniform(0.5, 1.5) / self.rate)
            kind = "supervisor" if random.random() < 0.25 else "worker"
            victims = self.daemon.of_kind(kind)
            if not victims:
                kind = "worker"
                victims = self.daemon.of_kind(kind)
            try:
                victim = random.choice(victims)
                os.kill(victim, signal.SIGKILL)
                self.kills[kind] += 1
                self.log.append((time.monotonic(), kind, victim, len(victims)))
            except (IndexError, ProcessLookupError):
                continue  # all are dead at the moment
            if sum(self.kills.values()) % 100 == 0:
                await self.check_records()

    async def check_records(self):
        """Also while it runs: a snapshot is whole whatever is killed."""
        said = []
        for folder in self.folders:
            child = await asyncio.create_subprocess_exec(os.path.join(BUILD, "tests/soak/cache_check"),
                                                         os.path.join(self.daemon.dir, folder),
                                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            out, err = await child.communicate()
            self.checks += 1
            if child.returncode != 0:
                self.damage.append(folder + ": " + (out + err).decode()[:500])
            said.append(out.decode().strip())
        return "; ".join(said)

    async def run(self, connections):
        tasks = [asyncio.create_task(self.client()) for _ in range(connections)]
        tasks += [asyncio.create_task(self.admin()), asyncio.create_task(self.echo())]
        begin = time.monotonic()
        await self.kill()
        took = time.monotonic() - begin
        await asyncio.sleep(1.5)
        self.stopping = True
        _, waiting = await asyncio.wait(tasks, timeout=20)
        return took, len(waiting), [repr(t.exception()) for t in tasks if t.done() and t.exception()]


def distribution(times):
    ms = sorted((end - begin) * 1000 for begin, end in times)
    if not ms:
        return "none"
    part = [ms[min(len(ms) - 1, int(len(ms) * share))] for share in (0.5, 0.99, 0.999)]
    return f"{len(ms)}: median {part[0]:.1f}, 99 % {part[1]:.1f}, 99.9 % {part[2]:.1f}, most {ms[-1]:.1f} ms"


def stuck(times, echoes):
    """Those over SLOW_MS beyond what the echo needed at that time; in ms, worst first."""
    found = []
    for begin, end in times:
        if end - begin > SLOW_MS / 1000:
            delay = sum(e - b for b, e in echoes if b < end and e > begin and e - b > 0.02)
            if end - begin - delay > SLOW_MS / 1000:
                found.append(round((end - begin) * 1000))
    return sorted(found, reverse=True)


def of_folder(folder):
    """Processes whose log or files lie in the folder."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            continue
        if any(link.startswith(folder) for link in links):
            found.append(int(pid))
    return found


def soak_cache(args, tap):
    soak.CONF = CONF.replace("{more}", FEW if args.disk else "") + (DISK if args.disk else "")
    daemon = soak.Daemon(3)
    try:
        load = Soak(daemon, args)
        daemon.start()
        took, waiting, failures = asyncio.run(load.run(args.connections))
        answers = sum(map(len, load.times.values()))
        tap.check(not failures and answers > args.rounds, "it answered throughout",
                  f"{answers} answers, {sum(load.kills.values())} kills {load.kills} in {took:.0f} s, {load.broken} broken connections, "
                  f"{load.orders} purges, bans and flushes, others {load.others} {failures[:2]}")
        tap.check(not load.wrong, "no wrong answer", f"{len(load.wrong)}: {load.wrong[:5]}")
        tap.check(waiting == 0, "no request waits for ever", f"{waiting} wait")
        print(f"# echo {distribution(load.echoes)}")
        for kind, times in load.times.items():
            slow = stuck(times, load.echoes)
            print(f"# {kind} {distribution(times)}; {len(slow)} over {SLOW_MS} ms beyond the echo: {slow[:10]}")
        slow = stuck([one for times in load.times.values() for one in times], load.echoes)
        tap.check(not slow, f"nobody was stuck for over {SLOW_MS} ms beyond the machine's own", str(slow[:10]))
        last = asyncio.run(load.check_records())
        tap.check(not load.damage, "every record is whole", f"{load.checks} walks, the last: {last} {load.damage[:2]}")
        usage = daemon.json("cache", "stats")
        if args.disk:
            disk = daemon.json("performance")["disk"]
            tap.check(disk["hits"] > args.rounds and disk["replaced"] == 0 and disk["condition"]["state"] == "on",
                      "the disk was asked and is well", str({key: disk[key] for key in ("hits", "misses", "puts", "evicted")}))
        tap.check(usage["reader_slots"] <= 16, "reader slots are given back", str(usage["reader_slots"]))
        os.kill(daemon.pid, signal.SIGTERM)
        end = time.monotonic() + 15
        while (left := of_folder(daemon.dir)) and time.monotonic() < end:
            time.sleep(0.05)
        tap.check(not left, "no process is left over", str(left))
        keep_log(daemon, tap)
    finally:
        daemon.stop()


def keep_log(daemon, tap):
    """Errors and deaths that nobody ordered are in the log."""
    with open(os.path.join(daemon.dir, "augury.log"), encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    bad = [line for line in lines if "level=error" in line]
    bad += [line for line in lines if "event=child_exit" in line and "signal=9" not in line and "status=0" not in line]
    tap.check(not bad, "no error in the log, no death but by SIGKILL", f"{len(bad)}: {bad[:3]}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--disk", action="store_true")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=5)
    parser.add_argument("--connections", type=int, default=12)
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args()
    random.seed(args.seed)
    gc.disable()  # a walk over millions of times would hold up every request
    tap = Tap()
    soak_cache(args, tap)
    sys.exit(tap.done())


if __name__ == "__main__":
    main()
