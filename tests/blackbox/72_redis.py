#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Daemons that share a Redis: what one invalidates the other forgets; and Redis killed, stopped, slow and back again, which
nobody but the counters notices."""
import http.client
import json
import os
import re
import signal
import struct
import subprocess
import threading
import time

import harness
from harness import BUILD, SOURCE, Daemon, check, equal, wait_for
from redistools import Proxy, Redis

AUGURY = os.path.join(BUILD, "augury")
JSON = {"Content-Type": "application/json"}
STUMP = os.path.join(SOURCE, "tests", "data", "models", "stump.json")


def augury(daemon, *words):
    result = subprocess.run([AUGURY, "-c", daemon.conf_path, *words], capture_output=True, text=True, timeout=60,
                            check=False)
    equal((result.returncode, result.stderr), (0, ""), " ".join(words))
    return result.stdout


class Pair:
    """Two daemons on one Redis; the first is the test's own."""

    def __init__(self, daemon, through_proxy=False, **options):
        self.redis = Redis(daemon.dir)
        self.proxy = Proxy(daemon.dir, self.redis.path) if through_proxy else None
        self.daemons = [daemon, Daemon()]
        for one in self.daemons:
            one.options["workers"] = "1"
            one.sections["redis"] = {"address": f'"unix:{(self.proxy or self.redis).path}"', **options}
            plain = one.conf_text
            one.conf_text = lambda plain=plain: plain().replace(
                "size = 16MiB", 'size = 16MiB\n    class "object" { writable = yes }')

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
        if self.proxy is not None:
            self.proxy.close()
        self.redis.close()


def predict(daemon, connection):
    connection.request("POST", "/api/v1/predict/wp", b'{"features":{}}', {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = json.loads(answer.read())
    equal(answer.status, 200, body)
    return answer.headers["X-Cache"]


def ask(daemon, method, path, body=None, headers=None, connection=None):
    own = connection or http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=10)
    own.request(method, path if path.startswith("/") else "/api/v1/" + path, body, headers or {})
    answer = own.getresponse()
    content = answer.read()
    if connection is None:
        own.close()
    return answer, content


def hits(daemon, kind):
    return daemon.metrics()[f'augury_cache_hits_total{{class="{kind}",tier="redis"}}']


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


def test_an_object_put_on_one_daemon_is_read_and_changed_on_the_other(daemon):
    with Pair(daemon) as pair:
        one, other = pair.daemons
        path = "objects/teams/kc"
        equal(ask(other, "GET", path)[0].status, 404)
        equal(ask(one, "PUT", path, b'{"a":1}', {"Content-Type": "application/json"})[0].status, 201)
        answer, content = wait_for(lambda: (got := ask(other, "GET", path))[0].status == 200 and got, "it is there")
        equal((content, answer.headers["Content-Type"], answer.headers["X-Cache"]),
              (b'{"a":1}', "application/json", "HIT"))
        check(hits(other, "object") >= 1, "it came from Redis")

        def is_in_memory():
            before = hits(other, "object")
            equal(ask(other, "GET", path)[1], b'{"a":1}')
            return hits(other, "object") == before

        wait_for(is_in_memory, "it came into memory")

        # A change is seen within 100 ms of its answer, also by who has it in memory.
        for number in range(20):
            body = str(number).encode()
            ask(one, "PUT", path, body)
            begin = time.monotonic()
            wait_for(lambda body=body: ask(other, "GET", path)[1] == body, "the change is seen")
            check(time.monotonic() - begin < 0.1, f"seen after {time.monotonic() - begin} s")
        equal(ask(other, "DELETE", path)[0].status, 204)
        wait_for(lambda: ask(one, "GET", path)[0].status == 404, "it is gone")
        wait_for(lambda: pair.redis.ask("EXISTS augury:object:teams/kc") == b":0\r\n", "it is gone from Redis")


def test_what_a_ban_removed_does_not_come_back_when_it_has_ended(daemon):
    with Pair(daemon) as pair:
        one, other = pair.daemons
        for name in ("a1", "b1"):
            equal(ask(one, "PUT", "objects/" + name, b"old")[0].status, 201)
            wait_for(lambda name=name: ask(other, "GET", "objects/" + name)[0].status == 200, "it is there")
        augury(one, "ban", "object:a*")
        for each in pair.daemons:
            wait_for(lambda each=each: ask(each, "GET", "objects/a1")[0].status == 404, "the ban holds")
            wait_for(lambda each=each: each.metrics()["augury_cache_bans"] == 0, "the ban has ended")
            equal(ask(each, "GET", "objects/a1")[0].status, 404)
        equal(ask(one, "PUT", "objects/a1", b"new")[0].status, 201)
        wait_for(lambda: ask(other, "GET", "objects/a1")[1] == b"new", "what is put afterwards is there")


def test_many_objects_are_asked_for_at_once(daemon):
    with Pair(daemon) as pair:
        one, other = pair.daemons
        for number in range(150):
            ask(one, "PUT", f"objects/n/{number}", str(number).encode(), {"Content-Type": "text/plain"})
        wait_for(lambda: one.metrics()['augury_redis_invalidations_total{direction="sent"}'] == 150, "all are told")
        names = [f"n/{number}" for number in range(160)]
        wait_for(lambda: pair.redis.ask("EXISTS augury:object:n/149") == b":1\r\n", "all are there")
        answer, content = ask(other, "POST", "objects/mget", json.dumps({"names": names}).encode(),
                              JSON)
        equal(answer.status, 200)
        got = json.loads(content)
        equal({name: one["value"] for name, one in got["objects"].items()},
              {f"n/{number}": str(number) for number in range(150)})
        equal(sorted(got["missing"]), sorted(names[150:]))
        equal(hits(other, "object"), 150)


def test_a_row_that_one_daemon_has_predicted_is_not_evaluated_by_the_other(daemon):
    with Pair(daemon, min_cost="1us") as pair:
        answers = {}
        for one in pair.daemons:
            augury(one, "model", "import", "wp", STUMP)
        for row in (1, 2, 3):  # what a row takes is known after the first
            answer, answers[row] = ask(pair.daemons[0], "POST", "predict/wp", json.dumps({"data": [[row, 0]]}).encode(), JSON)
            equal(answer.status, 200, answers[row])
        wait_for(lambda: pair.daemons[0].metrics()["augury_redis_puts_total"] == 2, "rows are in Redis")
        other = pair.daemons[1]
        equal(ask(other, "POST", "predict/wp", b'{"data":[[9,0]]}', JSON)[0].headers["X-Cache"], "MISS")
        evaluated = other.metrics()["augury_predict_rows_evaluated_total"]
        for row in (2, 3):
            answer, content = ask(other, "POST", "predict/wp", json.dumps({"data": [[row, 0]]}).encode(), JSON)
            equal((content, answer.headers["X-Cache"]), (answers[row], "HIT"))
        equal(hits(other, "prediction"), 2)
        equal(other.metrics()["augury_predict_rows_evaluated_total"], evaluated)
        # A model that is invalidated is invalidated there too.
        augury(pair.daemons[0], "cache", "invalidate", "model", "wp")
        wait_for(lambda: other.metrics()['augury_redis_invalidations_total{direction="received"}'] == 1, "it is told")
        answer, _ = ask(other, "POST", "predict/wp", b'{"data":[[3,0]]}', JSON)
        equal(answer.headers["X-Cache"], "MISS")


def test_what_asks_redis_first_is_read_in_the_form_that_its_fields_have_said(daemon):
    with Pair(daemon, min_cost="1us"):
        augury(daemon, "model", "import", "wp", STUMP)
        names = [feature["name"] for feature in json.loads(augury(daemon, "-j", "model", "show", "wp"))["features"]]
        for row in (1, 2, 3):  # what a row takes is known after the first
            ask(daemon, "POST", "predict/wp", json.dumps({"data": [[row, 0]]}).encode(), JSON)
        asked = daemon.metrics()["augury_redis_misses_total"]
        document = json.dumps({"inputs": [{"name": "rows", "shape": [1, 2], "datatype": "FP32",
                                           "parameters": {"binary_data_size": 8}}]}).encode()
        for path, body, fields in (
                ("/models/wp/invocations", (",".join(names) + "\n31,0\n").encode(), {"Content-Type": "text/csv"}),
                ("/api/v1/predict/wp", (",".join(names) + "\n32,0\n").encode(), {"Content-Type": "text/csv"}),
                ("/v2/models/wp/infer", document + struct.pack("<2f", 33, 0),
                 {"Inference-Header-Content-Length": str(len(document))}),
                ("/v2/models/wp/infer", b'{"inputs":[{"name":"rows","shape":[1,2],"datatype":"FP32","data":[34,0]}]}', JSON)):
            answer, content = ask(daemon, "POST", path, body, fields)
            equal(answer.status, 200, f"{path}: {content}")
        check(daemon.metrics()["augury_redis_misses_total"] >= asked + 3, "Redis was asked")


class Load:
    """Clients that ask for an object in memory, and for others that only Redis can have."""

    def __init__(self, daemon, hot, cold):
        self.daemon, self.hot, self.cold = daemon, hot, cold
        self.statuses = {}
        self.hot_s = []
        self.is_over = False
        self.threads = [threading.Thread(target=self.run, args=(number,)) for number in range(4)]

    def run(self, number):
        connection = http.client.HTTPConnection("127.0.0.1", self.daemon.port(), timeout=10)
        count = number
        while not self.is_over:
            count += 4
            is_hot = count % 3 != 0
            begin = time.monotonic()
            try:
                answer, _ = ask(self.daemon, "GET", self.hot if is_hot else self.cold(count), connection=connection)
                status = answer.status
            except OSError as problem:
                status = repr(problem)
            if is_hot:
                self.hot_s.append(time.monotonic() - begin)
            self.statuses[is_hot, status] = self.statuses.get((is_hot, status), 0) + 1
        connection.close()

    def p99_ms(self):
        """Of the hits since the last call."""
        taken, self.hot_s = sorted(self.hot_s), []
        return 1000 * taken[len(taken) * 99 // 100]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        for thread in self.threads:
            thread.join()


def turns(daemon):
    """The server's own clock: how many turns of its loop took at most so many seconds."""
    text = daemon.admin("metrics")[1]
    found = re.findall(r'^augury_http_turn_seconds_bucket\{le="([^"]+)"\} (\d+)', text, re.M)
    return {float(edge): int(count) for edge, count in found}


def phase(load, name, seconds=1.0):
    before = turns(load.daemon)
    load.hot_s = []
    time.sleep(seconds)  # it is measured, not waited for
    figure = load.p99_ms()
    after = turns(load.daemon)
    taken = {edge: count - before.get(edge, 0) for edge, count in after.items()}
    total = max(taken.values())
    turn_p99_us = 1e6 * min(edge for edge, count in taken.items() if count >= 0.99 * total)
    print(f"# {name}: p99 of hits in memory {figure:.2f} ms at the client; of a turn of the loop {turn_p99_us:.0f} us")
    return figure


def test_redis_in_trouble_is_noticed_by_the_counters_alone(daemon):
    with Pair(daemon, through_proxy=True) as pair:
        one = pair.daemons[0]
        redis, proxy = pair.redis, pair.proxy
        equal(ask(one, "PUT", "objects/hot", b"hot")[0].status, 201)
        wait_for(lambda: one.metrics()["augury_redis_up"] == 1, "it is up")

        def is_up():
            return one.metrics()["augury_redis_up"] == 1

        def is_down():
            return one.metrics()["augury_redis_up"] == 0

        with Load(one, "objects/hot", lambda count: f"objects/cold/{count}") as load:
            figures = {"Redis works": phase(load, "Redis works")}
            redis.pause()
            wait_for(is_down, "it is left alone")
            figures["stopped"] = phase(load, "stopped")
            redis.go_on()
            wait_for(is_up, "it is used again", 15)
            proxy.delay_s = 0.1
            wait_for(is_down, "it is left alone")
            figures["slow"] = phase(load, "slow")
            proxy.delay_s = 0
            wait_for(is_up, "it is used again", 15)
            proxy.cut()
            wait_for(is_down, "it is left alone")
            figures["cut off"] = phase(load, "cut off")
            proxy.mend()
            wait_for(is_up, "it is used again", 15)
            redis.kill()
            wait_for(is_down, "it is left alone")
            figures["killed"] = phase(load, "killed")
            redis.start()
            wait_for(is_up, "it is used again", 15)
            figures["back"] = phase(load, "back")
        print("# answers:", load.statuses)
        equal(set(load.statuses), {(True, 200), (False, 404)}, "no request has failed")
        worst = max(figures.values())
        print("# 99 % of hits in memory, ms:", figures)
        check(worst < 10 * figures["Redis works"] + 100, f"hits in memory wait for Redis: {figures}")
        for counter in ("timeouts", "errors", "breaker_opened"):
            check(one.metrics()[f"augury_redis_{counter}_total"] > 0, counter)
        redis_document = json.loads(ask(one, "GET", "performance")[1])["redis"]
        check(redis_document["timeouts"] > 0 and redis_document["breaker_opened"] > 0, redis_document)
        # And it is used again, by the bus too.
        wait_for(lambda: one.metrics()["augury_redis_bus_up"] == 1, "the bus is up", 15)
        equal(ask(one, "PUT", "objects/after", b"after")[0].status, 201)
        other = pair.daemons[1]
        wait_for(lambda: ask(other, "GET", "objects/after")[1] == b"after", "the other reads it", 20)
        equal(one.metrics()["augury_redis_gaps_total"], 0)
        equal(json.loads(ask(one, "GET", "status")[1])["sources"],
              {"redis": {"address": "unix:" + proxy.path, "workers_up": 1, "bus_up": True}})


def test_a_killed_supervisor_and_a_reload_leave_the_bus_working(daemon):
    with Pair(daemon) as pair:
        one, other = pair.daemons

        def is_up():
            try:
                return one.metrics().get("augury_redis_bus_up") == 1
            except OSError:
                return False

        ask(one, "PUT", "objects/a", b"1")
        wait_for(lambda: ask(other, "GET", "objects/a")[1] == b"1", "it is there")
        os.kill(one.children("supervisor").popitem()[1], signal.SIGKILL)
        one.wait_event("child_start", 3)
        wait_for(is_up, "the bus is up again", 15)
        equal(ask(one, "PUT", "objects/a", b"2")[0].status, 204)
        wait_for(lambda: ask(other, "GET", "objects/a")[1] == b"2", "it has changed")
        equal(one.metrics()["augury_redis_gaps_total"] + other.metrics()["augury_redis_gaps_total"], 0)
        one.sections["redis"]["prefix"] = '"other:"'
        one.write_conf()
        one.send(signal.SIGHUP)
        one.wait_event("conf_adopted")
        wait_for(is_up, "the bus is up again", 15)
        ask(one, "PUT", "objects/b", b"3")
        wait_for(lambda: pair.redis.ask("EXISTS other:object:b") == b":1\r\n", "it lies under the new prefix")


def test_an_old_flush_in_the_stream_does_not_empty_what_a_start_finds(daemon):
    with Pair(daemon) as pair:
        one, other = pair.daemons
        augury(other, "cache", "flush")
        wait_for(lambda: one.metrics()['augury_redis_invalidations_total{direction="received"}'] == 1, "it is told")
        for name in ("a", "b"):
            equal(ask(one, "PUT", "objects/" + name, b"1")[0].status, 201)
        one.stop()
        equal(ask(other, "PUT", "objects/b", b"2")[0].status, 201)
        pair.redis.ask("DEL augury:object:a augury:object:b")
        one.start()
        wait_for(lambda: one.metrics().get("augury_redis_bus_up") == 1, "the bus is up")
        answer, content = ask(one, "GET", "objects/a")
        equal((answer.status, content, answer.headers["X-Cache"]), (200, b"1", "HIT"), "it is still in memory")
        check(ask(one, "GET", "objects/b")[1] != b"1", "what was changed meanwhile is not")
        equal(one.metrics()["augury_redis_gaps_total"], 0)


def test_a_redis_that_is_not_there_is_no_reason_not_to_start(daemon):
    daemon.sections["redis"] = {"address": f'"unix:{daemon.dir}/nothing.sock"'}
    daemon.start()
    augury(daemon, "model", "import", "wp", STUMP)
    equal(ask(daemon, "POST", "predict/wp", b'{"features":{}}', JSON)[0].status, 200)
    equal(ask(daemon, "GET", "objects/a")[0].status, 404)
    equal(daemon.metrics()["augury_redis_up"], 0)
    equal(daemon.wait_event("redis_down")[0]["reason"], "No such file or directory")
    health = json.loads(ask(daemon, "GET", "health")[1])
    check(any("Redis is not in use" in warning for warning in health["warnings"]), health)
    daemon.stop()


def test_a_redis_that_refuses_is_said_with_its_reason(daemon):
    redis = Redis(daemon.dir)
    try:
        redis.ask("CONFIG SET requirepass secret")
        daemon.sections["redis"] = {"address": f'"unix:{redis.path}"'}
        daemon.start()
        check(daemon.wait_event("redis_down")[0]["reason"].startswith("NOAUTH"), "the server's own word")
        redis.ask("AUTH secret\r\nCONFIG SET requirepass \"\"")
        daemon.wait_event("redis_up")
        health = json.loads(ask(daemon, "GET", "health")[1])
        check(not any("Redis" in warning for warning in health["warnings"]), health)
        daemon.stop()
    finally:
        redis.close()


if __name__ == "__main__":
    harness.run(globals())
