#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Models of a running daemon: what one damaged version leaves of the others, names at their limits, and changes under load,
where each answer must be that of the version which it names."""
import http.client
import json
import os
import re
import subprocess
import threading

import harness
from harness import BUILD, SOURCE, check, contains, equal, wait_for

AUGURY = os.path.join(BUILD, "augury")
MODELS = os.path.join(SOURCE, "tests", "data", "models")
STUMP = os.path.join(MODELS, "stump.json")
TWO_TREES = os.path.join(MODELS, "two-trees.json")


def augury(daemon, *words):
    return subprocess.run([AUGURY, "-c", daemon.conf_path, *words], capture_output=True, text=True, timeout=60,
                          check=False)


def done(daemon, *words):
    result = augury(daemon, *words)
    equal((result.returncode, result.stderr), (0, ""), " ".join(words))
    return result.stdout


def refused(daemon, *words):
    result = augury(daemon, *words)
    check(result.returncode in (1, 2), f"{words}: {result}")
    return result.stderr


def predict(connection, name, body=b'{"features":{}}'):
    connection.request("POST", "/api/v1/predict/" + name, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def connect(daemon):
    return http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=10)


def value_of(answer):
    return answer["version"], answer["predictions"][0]["prediction"]


def flip_blobs(daemon, digest):
    """One bit of every stored blob that has this digest."""
    path = os.path.join(daemon.dir, "models", "data.mdb")
    with open(path, "r+b") as file:
        data = file.read()
        places = [found.start() for found in re.finditer(b"AUGURYMD", data)
                  if data[found.start() + 24:found.start() + 40][::-1].hex() == digest]
        for place in places:
            file.seek(place + 400)
            file.write(bytes([data[place + 400] ^ 1]))
    return len(places)


def digest_of(daemon, name):
    return json.loads(done(daemon, "-j", "model", "show", name))["digest"]


def test_one_damaged_version_leaves_the_others_as_they_are(daemon):
    daemon.start()
    done(daemon, "model", "import", "aa", STUMP)
    done(daemon, "model", "import", "mixed", STUMP)
    done(daemon, "model", "import", "mixed", TWO_TREES)
    digest = digest_of(daemon, "mixed@2")
    daemon.stop()
    check(flip_blobs(daemon, digest) >= 1, "nothing was flipped")
    os.unlink(daemon.log_path)
    daemon.start()
    connection = connect(daemon)
    status, answer = predict(connection, "mixed@2")
    equal((status, answer["code"], answer["at"]), (500, "corrupt_model", "mixed@2"))
    equal(predict(connection, "mixed")[0], 200)
    status, body = daemon.get("/api/v1/models", connection=connection)
    equal(status, 200)
    equal([(row["name"], row["version"], row["ready"]) for row in json.loads(body)["models"]],
          [("aa", "1", True), ("mixed", "1", True), ("mixed", "2", False)])
    status, body = daemon.get("/api/v1/models/mixed", connection=connection)
    equal((status, [row["version"] for row in json.loads(body)["versions"]]), (200, ["1", "2"]))
    status, body = daemon.get("/api/v1/health", connection=connection)
    equal((status, json.loads(body)["ready"]), (200, True))
    for path in ("/v2/models/mixed/versions/2/ready", "/v1/models/mixed/versions/2"):
        status, body = daemon.get(path, connection=connection)
        equal((status, json.loads(body)["ready"]), (503, False), path)
    status, body = daemon.get("/v1/models/mixed", connection=connection)
    equal((status, [row["state"] for row in json.loads(body)["model_version_status"]]), (200, ["AVAILABLE", "END"]))
    connection.close()
    contains(refused(daemon, "model", "verify"), "mixed@2")
    contains(refused(daemon, "model", "use", "mixed@2"), "mixed@2")
    done(daemon, "model", "import", "mixed", STUMP)
    done(daemon, "model", "unload", "mixed@2")
    contains(done(daemon, "model", "verify"), "verified  3")
    daemon.stop()


def test_every_damaged_version_is_named(daemon):
    daemon.start()
    for name in ("aa", "bb", "cc"):
        done(daemon, "model", "import", name, STUMP)
    digest = digest_of(daemon, "aa")
    daemon.stop()
    check(flip_blobs(daemon, digest) >= 3, "nothing was flipped")
    os.unlink(daemon.log_path)
    daemon.start()
    message = refused(daemon, "model", "verify")
    for name in ("aa@1", "bb@1", "cc@1"):
        contains(message, name)
    equal(daemon.get("/api/v1/models")[0], 200)
    daemon.stop()


def test_health_says_when_no_model_is_left(daemon):
    daemon.start()
    done(daemon, "model", "import", "aa", STUMP)
    digest = digest_of(daemon, "aa")
    daemon.stop()
    check(flip_blobs(daemon, digest) >= 1, "nothing was flipped")
    os.unlink(daemon.log_path)
    daemon.start()
    status, body = daemon.get("/api/v1/health")
    equal((status, json.loads(body)["reasons"]), (503, ["every stored model is damaged"]))
    daemon.stop()


def test_a_name_that_is_too_long_means_no_other_model(daemon):
    daemon.start()
    longest = "a" * 64
    done(daemon, "model", "import", longest, STUMP)
    done(daemon, "model", "import", longest, TWO_TREES)
    refused(daemon, "model", "use", longest + "b@2")
    refused(daemon, "model", "use", longest + "b", "2")
    equal(json.loads(done(daemon, "-j", "model", "show", longest))["version"], "1")
    daemon.stop()


def test_an_option_takes_its_value_after_an_equals_sign_too(daemon):
    daemon.start()
    done(daemon, "model", "import", "m", STUMP, "--features=left,right", "--version=7")
    shown = json.loads(done(daemon, "-j", "model", "show", "m"))
    equal((shown["version"], [feature["name"] for feature in shown["features"]]), ("7", ["left", "right"]))
    contains(refused(daemon, "model", "import", "m", STUMP, "--best-iteration=yes"), "--best-iteration")
    daemon.stop()


def test_a_worker_that_nobody_asks_gives_an_unloaded_model_back(daemon):
    daemon.options["workers"] = "1"
    daemon.start()
    large = os.path.join(SOURCE, "tests", "data", "nfl-wp", "model.json")
    done(daemon, "model", "import", "m", STUMP)
    for number in range(12):
        done(daemon, "model", "import", f"large{number}", large)
    connection = connect(daemon)
    for number in range(12):
        equal(predict(connection, f"large{number}")[0], 200)
    connection.close()

    def mapped_kb():
        with open(f"/proc/{list(daemon.children('worker').values())[-1]}/smaps", encoding="ascii") as file:
            sizes = re.findall(r"/models/data\.mdb\n(?:.*\n)*?Rss: +(\d+) kB", file.read())
        return sum(int(size) for size in sizes)

    before = mapped_kb()
    check(before >= 12 * 32, f"only {before} KiB are mapped")
    for number in range(12):
        done(daemon, "model", "unload", f"large{number}")
    wait_for(lambda: mapped_kb() <= before - 12 * 24, "the pages of the unloaded models")
    daemon.stop()


class Asker(threading.Thread):
    """Asks until told to stop; keeps what it was answered."""

    def __init__(self, daemon, stop):
        super().__init__()
        self.connection = connect(daemon)
        self.stop = stop
        self.answers = []
        self.problem = None

    def run(self):
        try:
            while not self.stop.is_set():
                status, answer = predict(self.connection, "m")
                if status != 200:
                    raise harness.Failure(f"{status}: {answer}")
                self.answers.append(value_of(answer))
            self.connection.close()
        except Exception as problem:  # told by the test's own thread
            self.problem = problem


def test_changes_lose_no_request_and_mix_no_versions(daemon):
    daemon.start()
    done(daemon, "model", "import", "m", STUMP)
    connection = connect(daemon)
    row = b'{"features":{},"use_cache":false}'
    values = {"1": value_of(predict(connection, "m", row)[1])[1]}
    done(daemon, "model", "import", "m", TWO_TREES)
    odd_even = (predict(connection, "m@2", row)[1]["predictions"][0]["prediction"], values["1"])
    check(odd_even[0] != odd_even[1], "the two models answer alike")
    stop = threading.Event()
    askers = [Asker(daemon, stop) for _ in range(4)]
    for asker in askers:
        asker.start()
    version = 2
    try:
        for _ in range(33):
            done(daemon, "model", "use", f"m@{version}")
            equal(predict(connection, "m", row)[1]["version"], str(version), "seen at once")
            done(daemon, "model", "unload", f"m@{version - 1}")
            equal(predict(connection, f"m@{version - 1}", row)[0], 404, "gone at once")
            version += 1
            done(daemon, "model", "import", "m", TWO_TREES if version % 2 == 0 else STUMP)
    finally:
        stop.set()
        for asker in askers:
            asker.join(30)
    connection.close()
    seen = set()
    for asker in askers:
        check(asker.problem is None, f"{asker.problem!r}")
        for answered, value in asker.answers:
            equal(value, odd_even[int(answered) % 2], f"version {answered}")
            seen.add(answered)
    check(len(seen) >= 10, f"only versions {seen} were seen")
    daemon.stop()


def test_what_does_not_decode_is_a_request_too(daemon):
    daemon.start()
    done(daemon, "model", "import", "m", STUMP, "--features", "a,b")
    connection = connect(daemon)
    before = daemon.metrics()
    for number in range(50):
        equal(predict(connection, "m", b'{"data":[[%d,1],[%d,2]]}' % (number, number))[0], 200)
    for body in (b"{", b'{"features":{"c":1}}', b"[]"):
        equal(predict(connection, "m", body)[0], 400)
    connection.close()
    after = daemon.metrics()
    grown = {name: after[name] - before.get(name, 0) for name in after}
    equal(grown["augury_predict_requests_total"], 53)
    equal(grown["augury_predict_errors_total"], 3)
    equal(grown["augury_predict_rows_total"], 100)
    equal(grown["augury_predict_seconds_count"], 53)
    wait_for(lambda: daemon.metrics()['augury_http_requests_total{status="4xx"}'] == 3, "refusals in the counters")
    equal(daemon.metrics()['augury_http_requests_total{status="2xx"}'], 50)
    daemon.stop()


harness.run(globals())
