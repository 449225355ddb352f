# SPDX-License-Identifier: MIT
"""A daemon with the win probability model, and requests to it: what tests of the protocols share."""
import csv
import http.client
import json
import os
import subprocess

from harness import BUILD, SOURCE, equal

NFL = os.path.join(SOURCE, "tests", "data", "nfl-wp")
CARD = os.path.join(SOURCE, "tests", "data", "models-augury", "scorecard.json")
NAMES = ("receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,score_differential,down,"
         "ydstogo,yardline_100,posteam_timeouts_remaining,defteam_timeouts_remaining").split(",")


def table():
    with open(os.path.join(NFL, "input.tsv"), encoding="ascii") as file:
        rows = [[float(cell) if cell else None for cell in row] for row in csv.reader(file, delimiter="\t")]
    with open(os.path.join(NFL, "xgb174_prob.tsv"), encoding="ascii") as file:
        return rows[:40], [float(line) for line in file][:40]


def serving(daemon, *others):
    daemon.start()
    for name, path, *words in [("nfl-wp", os.path.join(NFL, "model.json"), "--features", ",".join(NAMES)), *others]:
        done = subprocess.run([os.path.join(BUILD, "augury"), "-c", daemon.conf_path, "model", "import", name, path,
                               *words], capture_output=True, text=True, timeout=60, check=False)
        equal((done.returncode, done.stderr), (0, ""))


def send(daemon, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=10)
    body = body if body is None or isinstance(body, bytes) else json.dumps(body)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content
