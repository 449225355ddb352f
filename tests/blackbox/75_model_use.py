#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What happens to a hot set when a new version takes over: `model use` has the daemon compute it for the version first.
Answers are those of the version that they name, warm or cold."""
import http.client
import json
import os
import subprocess
import threading
import time

import harness
from harness import BUILD, SOURCE, check, contains, equal, wait_for

AUGURY = os.path.join(BUILD, "augury")
NFL = os.path.join(SOURCE, "tests", "data", "nfl-wp", "model.json")
NAMES = ("receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,"
         "score_differential,down,ydstogo,yardline_100,posteam_timeouts_remaining,"
         "defteam_timeouts_remaining")
PATH = "/api/v1/predict/wp"
HOT = 300


def augury(daemon, *words):
    return subprocess.run([AUGURY, "-c", daemon.conf_path, *words], capture_output=True, text=True, timeout=60,
                          check=False)


def done(daemon, *words):
    result = augury(daemon, *words)
    equal((result.returncode, result.stderr), (0, ""), " ".join(words))
    return json.loads(result.stdout)


def connect(daemon):
    return http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=10)


def ask(connection, number):
    body = json.dumps({"features": {"down": 1 + number % 4, "ydstogo": number}})
    connection.request("POST", PATH, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    document = json.loads(answer.read())
    equal(answer.status, 200, str(document))
    return answer.getheader("X-Cache"), document


def hit_share(daemon, count=HOT):
    connection = connect(daemon)
    hits = sum(ask(connection, number)[0] == "HIT" for number in range(count))
    connection.close()
    return hits / count


def started(daemon, *options):
    """Two versions of one schema, the first of them hot. Rendered answers would hide who is asked for rows."""
    words = ("cache.response.enabled=no", "cache.prediction.ttl=10min", "cache.prediction.bypass=no",
             "cache.prediction.admission=always") + options
    daemon.start(*(word for option in words for word in ("-o", option)))
    done(daemon, "-j", "model", "import", "wp", NFL, "--features", NAMES)
    done(daemon, "-j", "model", "import", "wp", NFL, "--features", NAMES, "--iterations", "0:20")
    hit_share(daemon)
    wait_for(lambda: hit_share(daemon) == 1, "the hot set in the cache")
    return daemon


def test_after_model_use_the_hot_set_hits_at_once(daemon):
    started(daemon)
    with_version_1 = ask(connect(daemon), 7)[1]
    said = done(daemon, "-j", "model", "use", "wp@2")
    equal((said["version"], said["label"], said["warmed"], said["hot"]), ("2", "stable", HOT, HOT))
    check(0 <= said["warm_ms"] < 2000 and "not_warmed" not in said, str(said))
    evaluated = daemon.metrics()["augury_predict_rows_evaluated_total"]
    equal(hit_share(daemon), 1)
    equal(daemon.metrics()["augury_predict_rows_evaluated_total"], evaluated)
    equal(daemon.metrics()["augury_predict_warmed_total"], HOT)
    warm = ask(connect(daemon), 7)[1]
    equal(warm["version"], "2")
    check(warm["predictions"] != with_version_1["predictions"], "both versions say the same")
    daemon.admin("cache flush")
    cold = ask(connect(daemon), 7)[1]
    equal(warm["predictions"], cold["predictions"], "warm and cold")
    daemon.stop()


def test_an_import_that_is_used_is_warm_as_well(daemon):
    started(daemon)
    said = done(daemon, "-j", "model", "import", "wp", NFL, "--features", NAMES, "--use", "--iterations", "0:10")
    equal((said["name"], said["version"], said["label"], said["warmed"]), ("wp", "3", "stable", HOT))
    equal(hit_share(daemon), 1)
    equal(ask(connect(daemon), 7)[1]["version"], "3")
    daemon.stop()


def test_the_same_typed_on_the_admin_socket_is_warm_too(daemon):
    started(daemon)
    words = f"model import wp {os.path.abspath(NFL)} --features {NAMES}"
    code, text = daemon.admin(f"{words} --use --iterations 0:10 -j")
    equal(code, 0, text)
    said = json.loads(text)
    equal((said["name"], said["version"], said["label"], said["warmed"]), ("wp", "3", "stable", HOT))
    equal(hit_share(daemon), 1)
    equal(ask(connect(daemon), 7)[1]["version"], "3")
    code, text = daemon.admin(f"{words} --iterations 0:5 -j")
    equal((code, json.loads(text)["version"], ask(connect(daemon), 7)[1]["version"]), (0, "4", "3"), "without --use")
    daemon.stop()


def test_without_warming_the_hot_set_is_computed_anew(daemon):
    started(daemon)
    said = done(daemon, "-j", "model", "use", "wp@2", "--no-warm")
    equal((said["warmed"], said["not_warmed"]), (0, "--no-warm"))
    equal(hit_share(daemon), 0)
    code, text = daemon.admin("model use wp 1 stable --no-warm")
    equal(code, 0, text)
    contains(text, "--no-warm")
    daemon.stop()


def test_under_load_nobody_waits_and_each_answer_is_of_its_version(daemon):
    started(daemon)
    daemon.admin("cache flush")
    expected = {}
    for version in ("2", "1"):
        done(daemon, "-j", "model", "use", f"wp@{version}", "--no-warm")
        connection = connect(daemon)
        for number in range(HOT):
            document = ask(connection, number)[1]
            equal(document["version"], version)
            expected[version, number] = document["predictions"]
    daemon.admin("cache flush")
    wait_for(lambda: hit_share(daemon) == 1, "the hot set in the cache")
    stop = threading.Event()
    wrong = []
    misses = []

    def load():
        connection = connect(daemon)
        number = 0
        while not stop.is_set():
            number = (number + 1) % HOT
            cached, document = ask(connection, number)
            if document["predictions"] != expected[document["version"], number]:
                wrong.append((number, document))
            if cached != "HIT":
                misses.append(document["version"])

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    said = done(daemon, "-j", "model", "use", "wp@2")
    share = hit_share(daemon)
    stop.set()
    for thread in threads:
        thread.join()
    equal(wrong[:1], [])
    equal((said["warmed"], share), (HOT, 1))
    equal(misses.count("2"), 0, "misses of version 2 under load")
    daemon.stop()


def test_what_cannot_be_warmed_takes_over_cold_and_says_why(daemon):
    started(daemon)
    done(daemon, "-j", "model", "import", "wp", NFL, "--features", NAMES.replace("down", "try"))
    said = done(daemon, "-j", "model", "use", "wp@3")
    contains(said["not_warmed"], "the versions do not read the same features")
    done(daemon, "-j", "model", "use", "wp@1", "canary")
    said = done(daemon, "-j", "model", "use", "wp@1", "canary")
    contains(said["not_warmed"], "the label is there already")
    result = augury(daemon, "model", "use", "wp@9")
    equal(result.returncode, 1)
    contains(result.stderr, "wp")
    daemon.stop()


def test_without_rows_in_the_cache_nothing_is_warmed(daemon):
    started(daemon, "cache.prediction.keep_rows=no")
    contains(done(daemon, "-j", "model", "use", "wp@2")["not_warmed"], "keep_rows")
    equal(hit_share(daemon), 0)
    daemon.stop()


def test_warming_ends_with_its_entries_and_without_a_daemon_the_label_moves_at_once(daemon):
    started(daemon, "warm.entries=40")
    said = done(daemon, "-j", "model", "use", "wp@2")
    equal((said["warmed"], said["hot"]), (40, 40))
    daemon.stop()
    said = done(daemon, "-j", "model", "use", "wp@1")
    equal((said["version"], "warmed" in said), ("1", False))


def test_a_row_that_comes_back_at_an_interval_is_computed_ahead(daemon):
    daemon.start("-o", "cache.response.enabled=no", "-o", "cache.prediction.ttl=6s", "-o", "cache.prediction.bypass=no", "-o",
                 "cache.prediction.admission=always")
    done(daemon, "-j", "model", "import", "wp", NFL, "--features", NAMES)
    connection = connect(daemon)
    begin = time.monotonic()
    seen = []
    for turn in range(8):
        time.sleep(max(0.0, begin + turn * 6.5 - time.monotonic()))  # the interval is what is tested
        seen.append(ask(connection, 7)[0])
    equal(seen[:4], ["MISS"] * 4, "before it is known")
    contains(seen[4:], "HIT")
    wait_for(lambda: daemon.metrics()["augury_predict_ahead_used_total"] >= 1, "a use of what was computed ahead")
    daemon.stop()


harness.run(globals())
