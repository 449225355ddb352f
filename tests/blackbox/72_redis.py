#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Daemons that share a Redis: what one invalidates the other forgets; and Redis killed, stopped, slow and back again, which
nobody but the counters notices."""
import http.client
import json
import os
import subprocess
import time

import harness
from harness import BUILD, SOURCE, Daemon, check, equal, wait_for
from redistools import Redis

AUGURY = os.path.join(BUILD, "augury")
STUMP = os.path.join(SOURCE, "tests", "data", "models", "stump.json")


def augury(daemon, *words):
    result = subprocess.run([AUGURY, "-c", daemon.conf_path, *words], capture_output=True, text=True, timeout=60,
                            check=False)
    equal((result.returncode, result.stderr), (0, ""), " ".join(words))
    return result.stdout


class Pair:
    """Two daemons on one Redis; the first is the test's own."""

    def __init__(self, daemon, address=None):
        self.redis = Redis(daemon.dir)
        self.daemons = [daemon, Daemon()]
        for one in self.daemons:
            one.options["workers"] = "1"
            one.sections["redis"] = {"address": f'"{address or "unix:" + self.redis.path}"'}

    def __enter__(self):
        for one in self.daemons:
            one.start()
            wait_for(lambda one=one: one.metrics().get("augury_redis_bus_up") == 1, "the bus is up")
        return self

    def __exit__(self, kind, *_):
        for one in self.daemons:
            if kind is None:
                one.stop()
        self.daemons[1].close(kind is not None)
        self.redis.close()


def predict(daemon, connection):
    connection.request("POST", "/api/v1/predict/wp", b'{"features":{}}', {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = json.loads(answer.read())
    equal(answer.status, 200, body)
    return answer.headers["X-Cache"]


def test_what_one_daemon_flushes_the_other_forgets_within_100_ms(daemon):
    with Pair(daemon) as pair:
        one, other = pair.daemons
        augury(other, "model", "import", "wp", STUMP)
        connection = http.client.HTTPConnection("127.0.0.1", other.port(), timeout=10)
        wait_for(lambda: predict(other, connection) == "HIT", "the answer is kept")
        begin = time.monotonic()
        augury(one, "cache", "flush")
        took_to_flush = time.monotonic() - begin
        wait_for(lambda: other.metrics()['augury_redis_invalidations_total{direction="received"}'] == 1, "it is told")
        took = time.monotonic() - begin - took_to_flush
        print(f"# told after {1000 * took:.1f} ms")
        check(took < 0.1, f"told after {took} s")
        equal(predict(other, connection), "MISS")
        equal(one.metrics()['augury_redis_invalidations_total{direction="sent"}'], 1)
        equal(one.metrics()['augury_redis_invalidations_total{direction="received"}'], 0)


if __name__ == "__main__":
    harness.run(globals())
