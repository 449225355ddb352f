#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""More work than there is time for, and clients that are slow on purpose. TAP lines, and figures as lines of name, tab, value.

usage: overload.py overload|slow [--seconds S]
overload  what one worker can do is measured (closed loop), then its times at a fifth of that, then four times of it for S
          seconds (60): what is accepted keeps its p99 within five times that of the quiet server, the rest is refused with
          503 and Retry-After at once, and memory stays where it is.
slow      slowhttptest, 1,000 connections each of slow heads, slow bodies and slow readers: all are cut by deadlines, and a
          client that behaves has its answers in 50 ms (p99) all the while. Skipped where slowhttptest is not installed.
"""
import argparse
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from tap import Tap

SOURCE = os.environ.get("AUGURY_SOURCE", ".")
BUILD = os.environ.get("AUGURY_BUILD", os.path.join(SOURCE, "build"))
MODEL = os.path.join(SOURCE, "tests/data/nfl-wp/model.json")
FEATURES = ("receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,score_differential,down,"
            "ydstogo,yardline_100,posteam_timeouts_remaining,defteam_timeouts_remaining")
PATH = "/api/v1/predict/nfl-wp"
CONF = """
workers = 1
pidfile = "{dir}/auguryd.pid"
listen "public" {{ address = "127.0.0.1:{port}" }}
models {{ dir = "{dir}/models" }}
cache {{ dir = "{dir}/cache" size = "16MiB" }}
admin {{ socket = "{dir}/admin.sock" }}
log {{ file = "{dir}/augury.log" }}
supervisor {{ auto = no }}
limits {{ {limits} }}
"""


def figure(name, value):
    print(f"{name}\t{value}", flush=True)


class Daemon:
    """One auguryd with one worker, in a folder of its own."""

    def __init__(self, limits):
        self.dir = tempfile.mkdtemp(prefix="augury-soak-", dir="/dev/shm")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.conf = os.path.join(self.dir, "augury.conf")
        with open(self.conf, "w", encoding="utf-8") as file:
            file.write(CONF.format(dir=self.dir, port=self.port, limits=limits))
        subprocess.run([os.path.join(BUILD, "auguryd"), "-c", self.conf], check=True)
        self.run("model", "import", "nfl-wp", MODEL, "--features", FEATURES)

    def run(self, *words):
        done = subprocess.run([os.path.join(BUILD, "augury"), "-c", self.conf, *words], check=True, capture_output=True,
                              text=True)
        return done.stdout

    def overload(self):
        return json.loads(self.run("-j", "performance"))["http"]["overload"]

    def worker_rss_bytes(self):
        pids = subprocess.run(["pgrep", "-P", open(f"{self.dir}/auguryd.pid", encoding="ascii").read().strip()],
                              capture_output=True, text=True, check=False).stdout.split()
        for pid in pids:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if b"worker" not in file.read():
                    continue
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                return 1024 * int(next(line for line in file if line.startswith("RssAnon")).split()[1])
        raise RuntimeError("no worker")

    def stop(self):
        with open(f"{self.dir}/auguryd.pid", encoding="ascii") as file:
            pid = int(file.read())
        os.kill(pid, signal.SIGQUIT)
        while os.path.exists(f"/proc/{pid}"):
            time.sleep(0.02)
        shutil.rmtree(self.dir, ignore_errors=True)


def flood(daemon, body_path, connections, rate, seconds):
    done = subprocess.run([os.path.join(BUILD, "tests/soak/flood"), str(daemon.port), PATH, body_path, str(connections),
                           str(rate), str(seconds)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


class Memory(threading.Thread):
    """The most that the worker had, looked at ten times a second."""

    def __init__(self, daemon):
        super().__init__()
        self.daemon_process = daemon
        self.most = 0
        self.is_done = threading.Event()

    def run(self):
        while not self.is_done.wait(0.1):
            self.most = max(self.most, self.daemon_process.worker_rss_bytes())


def overload(tap, seconds):
    daemon = Daemon('target_lag = "5ms"')
    body_path = os.path.join(daemon.dir, "body.json")
    rows = [[1, 0, 900, 2700 - i % 97, 3.5, i % 40 - 20, i % 4 + 1, 7, 45, 2, 2] for i in range(200)]
    with open(body_path, "w", encoding="ascii") as file:
        json.dump({"data": rows, "include_feature_importance": True, "use_cache": False}, file)
    flood(daemon, body_path, 2, 0, 2)
    capacity = flood(daemon, body_path, 2, 0, 5)["ok"]["count"] / 5
    quiet = flood(daemon, body_path, 64, capacity / 5, 10)
    before = daemon.worker_rss_bytes()
    refused_before = daemon.overload()["refused"]["lag"]
    memory = Memory(daemon)
    memory.start()
    loud = flood(daemon, body_path, 400, capacity * 4, seconds)
    memory.is_done.set()
    memory.join()
    shown = daemon.overload()
    ratio = loud["ok"]["p99_us"] / quiet["ok"]["p99_us"]
    figure("capacity_per_second", round(capacity))
    figure("asked_per_second", round(loud["asked"] / loud["seconds"]))
    figure("accepted_per_second", round(loud["ok"]["count"] / loud["seconds"]))
    figure("refused_per_second", round(loud["refused"]["count"] / loud["seconds"]))
    for name, times in (("quiet", quiet["ok"]), ("accepted", loud["ok"]), ("refused", loud["refused"])):
        for point in ("p50_us", "p99_us", "max_us"):
            figure(f"{name}_{point}", times[point])
    figure("accepted_p99_ratio", round(ratio, 2))
    figure("worker_anonymous_bytes_before", before)
    figure("worker_anonymous_bytes_most", memory.most)
    figure("admission_limit", shown["admission_limit"])
    figure("lag_p99_us", shown["lag_p99_us"])
    tap.check(loud["asked"] > capacity * seconds * 3.5, "four times of what it can do was asked", f"{loud['asked']} requests")
    tap.check(ratio <= 5, "what is accepted keeps its p99 within five times that of the quiet server", f"{ratio:.2f}")
    tap.check(loud["ok"]["count"] > 0.4 * capacity * loud["seconds"], "the worker stays busy with what it accepts",
              f"{loud['ok']['count'] / loud['seconds'] / capacity:.2f} of its capacity")
    tap.check(loud["refused"]["count"] > 0 and loud["without_retry_after"] == 0, "every refusal has Retry-After")
    tap.check(loud["refused"]["p99_us"] <= 5 * quiet["ok"]["p99_us"], "refusals come at once",
              f"p99 {loud['refused']['p99_us']} us")
    tap.check(loud["other"] == 0 and loud["lost"] == 0, "nothing else happens")
    tap.check(shown["refused"]["lag"] - refused_before == loud["refused"]["count"], "the counter knows all refusals")
    tap.check(memory.most - before < 16 << 20, "memory stays where it is", f"+{memory.most - before} bytes")
    daemon.stop()


class Prober(threading.Thread):
    """A client that behaves: one request in 5 ms on a connection of its own."""

    REQUEST = (f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 39\r\n\r\n"
               '{"features":{"down":3,"ydstogo":7.125}}').encode()

    def __init__(self, port):
        super().__init__()
        self.port = port
        self.millis = []
        self.problem = None
        self.is_done = threading.Event()

    def run(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while not self.is_done.wait(0.005):
                    begin = time.monotonic()
                    connection.sendall(self.REQUEST)
                    answer = connection.recv(65536)
                    self.millis.append((time.monotonic() - begin) * 1000)
                    if not answer.startswith(b"HTTP/1.1 200 "):
                        self.problem = answer
                        return
        except OSError as error:
            self.problem = error


SLOW = {"headers": ["-H", "-i", "3", "-x", "24"], "body": ["-B", "-i", "3", "-s", "8192", "-x", "10"],
        "read": ["-X", "-w", "10", "-y", "20", "-n", "5", "-z", "32", "-k", "3"]}


def slow(tap, seconds):
    if shutil.which("slowhttptest") is None:
        print("1..0 # SKIP slowhttptest is not installed")
        sys.exit(0)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else 65536, hard))
    for mode, words in SLOW.items():
        daemon = Daemon('header_timeout = "5s" body_timeout = "5s" send_timeout = "5s" keepalive_timeout = "5s"')
        prober = Prober(daemon.port)
        prober.start()
        path = "/metrics" if mode == "read" else PATH
        attack = subprocess.Popen(["slowhttptest", *words, "-c", "1000", "-r", "500", "-l", str(seconds), "-p", "3", "-u",
                                   f"http://127.0.0.1:{daemon.port}{path}"], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        most, last = 0, 0
        end = time.monotonic() + seconds + 15
        while time.monotonic() < end and (most < 900 or last > 1):
            last = json.loads(daemon.run("-j", "performance"))["http"]["connections_open"]
            most = max(most, last)
            time.sleep(0.2)
        prober.is_done.set()
        prober.join()
        if attack.poll() is None:
            attack.terminate()
        attack.wait()
        millis = sorted(prober.millis)
        p99 = millis[len(millis) * 99 // 100]
        figure(f"slow_{mode}_connections_most", most)
        figure(f"slow_{mode}_connections_left", last)
        figure(f"slow_{mode}_prober_p50_ms", round(millis[len(millis) // 2], 3))
        figure(f"slow_{mode}_prober_p99_ms", round(p99, 3))
        tap.check(most >= 900, f"slow {mode}: a thousand come", f"{most}")
        tap.check(last <= 1, f"slow {mode}: all are cut", f"{last} left")
        tap.check(prober.problem is None, f"slow {mode}: who behaves is answered", f"{prober.problem}")
        tap.check(p99 < 50, f"slow {mode}: and quickly", f"p99 {p99:.2f} ms of {len(millis)}")
        daemon.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", choices=("overload", "slow"))
    parser.add_argument("--seconds", type=int)
    words = parser.parse_args()
    tap = Tap()
    if words.scenario == "overload":
        overload(tap, words.seconds or 60)
    else:
        slow(tap, words.seconds or 30)
    sys.exit(tap.done())


main()
