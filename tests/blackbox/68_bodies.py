#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Bodies in every coding and form, sent by Python's own codecs: whatever way rows come and answers go, the numbers are those
that XGBoost published."""
import csv
import gzip
import http.client
import json
import os
import subprocess
import zlib

import harness
from harness import BUILD, SOURCE, check, equal

NFL = os.path.join(SOURCE, "tests", "data", "nfl-wp")
NAMES = ("receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,score_differential,down,"
         "ydstogo,yardline_100,posteam_timeouts_remaining,defteam_timeouts_remaining").split(",")
PREDICT = "/api/v1/predict/nfl-wp"


def table():
    with open(os.path.join(NFL, "input.tsv"), encoding="ascii") as file:
        rows = [[float(cell) if cell else None for cell in row] for row in csv.reader(file, delimiter="\t")]
    with open(os.path.join(NFL, "xgb174_prob.tsv"), encoding="ascii") as file:
        return rows, [float(line) for line in file]


def serving(daemon):
    daemon.start()
    done = subprocess.run([os.path.join(BUILD, "augury"), "-c", daemon.conf_path, "model", "import", "nfl-wp",
                           os.path.join(NFL, "model.json"), "--features", ",".join(NAMES)], capture_output=True,
                          text=True, timeout=60, check=False)
    equal((done.returncode, done.stderr), (0, ""))


def send(daemon, body, path=PREDICT, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=20)
    connection.request("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def near(got, want, text):
    equal(len(got), len(want), text)
    for one, other in zip(got, want):
        check(abs(one - other) <= 1e-6, f"{text}: {one} is not {other}")


def predictions(content):
    return [row["prediction"] for row in json.loads(content)["predictions"]]


# ---- codings ---------------------------------------------------------------------------------------------------------

def test_compressed_bodies_ask_the_same(daemon):
    serving(daemon)
    rows, want = table()
    text = json.dumps({"data": rows}).encode()
    halves = gzip.compress(text[:1000]) + gzip.compress(text[1000:])
    for coding, body in (("gzip", gzip.compress(text)), ("gzip", halves), ("deflate", zlib.compress(text)),
                         ("identity", text)):
        status, _, content = send(daemon, body, Content_Encoding=coding)
        equal(status, 200, content[:200])
        near(predictions(content), want, coding)
    infer = json.dumps({"inputs": [{"name": "x", "shape": [len(rows), 11], "datatype": "FP32",
                                    "data": [cell for row in rows for cell in row]}]}).encode()
    status, _, content = send(daemon, gzip.compress(infer), "/v2/models/nfl-wp/infer", Content_Encoding="gzip",
                              Inference_Header_Content_Length=str(len(infer)))
    equal(status, 200, content[:200])
    near(json.loads(content)["outputs"][0]["data"], want, "a tensor")
    daemon.stop()


def test_a_bomb_is_too_large(daemon):
    serving(daemon)
    bomb = gzip.compress(b" " * (64 << 20))
    for _ in range(3):
        status, _, content = send(daemon, bomb, Content_Encoding="gzip")
        equal((status, json.loads(content)["code"]), (413, "body_too_large"))
    equal(send(daemon, b'{"features":{}}')[0], 200)
    daemon.stop()


harness.run(globals())
