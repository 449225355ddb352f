#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Taking out what is no longer true: purge, ban, invalidate and flush, as `augury` has them, seen over HTTP by X-Cache; what
a restart remembers; the supervisor killed meanwhile."""
import http.client
import json
import os
import signal
import subprocess

import harness
from harness import BUILD, SOURCE, check, contains, equal, wait_for

AUGURY = os.path.join(BUILD, "augury")
NFL = os.path.join(SOURCE, "tests", "data", "nfl-wp", "model.json")
NAMES = ("receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,"
         "score_differential,down,ydstogo,yardline_100,posteam_timeouts_remaining,"
         "defteam_timeouts_remaining")


def run(daemon, *words, status=0):
    done = subprocess.run([AUGURY, "-c", daemon.conf_path, *words], capture_output=True, text=True, timeout=60, check=False)
    equal(done.returncode, status, f"{words}: {done.stderr}")
    return done.stdout if status == 0 else done.stderr


def started(daemon, *words):
    daemon.start(*words)
    for name in ("wp", "ep"):
        run(daemon, "model", "import", name, NFL, "--features", NAMES)
    return daemon


def ask(daemon, down, model="wp"):
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=10)
    connection.request("POST", "/api/v1/predict/" + model, json.dumps({"features": {"down": down}}), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    equal(answer.status, 200, body)
    return answer.getheader("X-Cache")


def warm(daemon, *downs, models=("wp", "ep")):
    for model in models:
        for down in downs:
            wait_for(lambda: ask(daemon, down, model) == "HIT", f"{model} {down} is cached")


def test_a_ban_takes_out_what_matches_at_once(daemon):
    started(daemon, "-o", "cache.response.enabled=no")
    warm(daemon, 1, 2)
    equal(json.loads(run(daemon, "-j", "ban", "prediction:wp@*")), {"banned": "prediction:wp@*", "bans": 1})
    equal([ask(daemon, 1), ask(daemon, 2), ask(daemon, 1, "ep"), ask(daemon, 2, "ep")], ["MISS", "MISS", "HIT", "HIT"])
    warm(daemon, 1, 2)
    wait_for(lambda: json.loads(run(daemon, "-j", "bans")) == [], "the ban's end")
    equal([ask(daemon, 1), ask(daemon, 2)], ["HIT", "HIT"])
    contains(run(daemon, "ban", "[a-", status=1), "is not closed")
    daemon.stop()


def test_bans_are_listed_with_what_they_have_removed(daemon):
    started(daemon)
    for number in range(3):
        daemon.admin(f"cache ban object:{number}*")
    bans = json.loads(run(daemon, "-j", "bans"))
    for ban in bans:
        check(set(ban) == {"pattern", "made", "age_s", "removed"} and ban["pattern"].startswith("object:"), ban)
    wait_for(lambda: daemon.metrics()["augury_cache_bans"] == 0, "their end")
    daemon.stop()


def test_rendered_answers_do_not_outlive_what_they_were_made_from(daemon):
    started(daemon)
    for words in (("ban", "prediction:wp@*"), ("cache", "invalidate", "model", "wp"), ("flush", "prediction"),
                  ("purge", "prediction:nothing-of-the-kind"), ("flush",)):
        warm(daemon, 1)
        wait_for(lambda: daemon.metrics()['augury_cache_hits_total{class="response",tier="memory"}'] > 0 and
                 ask(daemon, 1) == "HIT", "a rendered answer")
        run(daemon, *words, status=1 if words[0] == "purge" else 0)
        before = daemon.metrics()['augury_cache_hits_total{class="response",tier="memory"}']
        ask(daemon, 1)
        equal(daemon.metrics()['augury_cache_hits_total{class="response",tier="memory"}'], before, f"after {words}")
    daemon.stop()


def test_a_model_is_invalidated_and_no_other(daemon):
    started(daemon, "-o", "cache.response.enabled=no")
    warm(daemon, 1, 2, 3)
    equal(json.loads(run(daemon, "-j", "cache", "invalidate", "model", "wp")), {"invalidated": "model", "name": "wp"})
    equal([ask(daemon, 1), ask(daemon, 1, "ep")], ["MISS", "HIT"])
    contains(run(daemon, "cache", "invalidate", "model", "pw", status=1), "wp")
    contains(run(daemon, "cache", "invalidate", "game", "x", status=2), "none of model, view, entity, class")
    contains(run(daemon, "flush", "games", status=1), "there are prediction, feature")
    run(daemon, "cache", "invalidate", "view", "player_week")
    equal(ask(daemon, 2, "ep"), "HIT")
    daemon.stop()


def test_a_flush_of_a_class_says_how_many(daemon):
    started(daemon, "-o", "cache.response.enabled=no")
    warm(daemon, 1, 2, 3, models=("wp",))
    equal(json.loads(run(daemon, "-j", "flush", "object")), {"flushed": 0, "class": "object"})
    equal(ask(daemon, 1), "HIT")
    equal(json.loads(run(daemon, "-j", "flush", "prediction")), {"flushed": 3, "class": "prediction"})
    equal(ask(daemon, 1), "MISS")
    wait_for(lambda: daemon.metrics()["augury_cache_dead_swept_total"] >= 2, "the sweep")
    daemon.stop()


def test_a_restart_remembers_entries_and_what_is_no_longer_true(daemon):
    started(daemon, "-o", "cache.response.enabled=no")
    warm(daemon, 1, 2)
    run(daemon, "cache", "invalidate", "model", "wp")
    run(daemon, "ban", "object:*")
    daemon.stop()
    os.truncate(daemon.log_path, 0)
    daemon.start("-o", "cache.response.enabled=no")
    equal([ask(daemon, 1), ask(daemon, 2), ask(daemon, 1, "ep"), ask(daemon, 2, "ep")], ["MISS", "MISS", "HIT", "HIT"])
    run(daemon, "cache", "invalidate", "model", "ep")
    equal(ask(daemon, 1, "ep"), "MISS")
    daemon.stop()


def test_a_killed_supervisor_forgets_nothing(daemon):
    started(daemon, "-o", "cache.response.enabled=no")
    for _ in range(5):
        warm(daemon, 1)
        run(daemon, "cache", "invalidate", "model", "wp")
        os.kill(daemon.children()["supervisor"], signal.SIGKILL)
        equal(ask(daemon, 1), "MISS")
        wait_for(lambda: daemon.admin("ping")[0] == 0, "another supervisor")
        equal(ask(daemon, 1, "ep"), "HIT")  # while that one opens the environment all is a miss
    daemon.stop()


harness.run(globals())
