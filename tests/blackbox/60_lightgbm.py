#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""LightGBM models of a running daemon: imported, shown, and answering over HTTP in double, with
their categories by code and by name."""
import http.client
import json
import os
import subprocess

import harness
from harness import BUILD, SOURCE, check, contains, equal

AUGURY = os.path.join(BUILD, "augury")
DATA = os.path.join(SOURCE, "tests", "data", "models-lightgbm")


def augury(daemon, *words):
    return subprocess.run([AUGURY, "-c", daemon.conf_path, *words], capture_output=True, text=True,
                          timeout=60, check=False)


def import_model(daemon, name, path):
    result = augury(daemon, "model", "import", name, path)
    equal((result.returncode, result.stderr), (0, ""), path)


def numbers(name, file):
    with open(os.path.join(DATA, name, file), encoding="ascii") as text:
        return [[float(cell) for cell in line.split("\t")] for line in text]


def ask(daemon, name, document):
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=10)
    connection.request("POST", "/api/v1/predict/" + name, json.dumps(document),
                       {"Content-Type": "application/json"})
    answer = connection.getresponse()
    got = answer.status, json.loads(answer.read())
    connection.close()
    return got


def check_close(ours, theirs):
    equal(len(ours), len(theirs))
    for one, other in zip(ours, theirs):
        check(abs(one - other) <= 1e-12 * abs(other), f"{one!r} is not {other!r}")


def test_answers_are_those_published_with_the_model(daemon):
    daemon.start()
    import_model(daemon, "classes", os.path.join(DATA, "multiclass5", "model.txt"))
    shown = json.loads(augury(daemon, "-j", "model", "show", "classes").stdout)
    equal(shown["source"], "lightgbm v2 text")
    rows = numbers("multiclass5", "input.tsv")[:50]
    status, answer = ask(daemon, "classes", {"data": rows})
    equal(status, 200, answer)
    expected = numbers("multiclass5", "expected_prediction.tsv")
    for ours, theirs in zip(answer["predictions"], expected):
        check_close(ours["prediction"], theirs)
    daemon.stop()


def test_categories_are_codes_or_the_names_that_pandas_had(daemon):
    source = os.path.join(DATA, "toy-categorical", "model.txt")
    named = os.path.join(daemon.dir, "named.txt")
    with open(source, encoding="ascii") as file:
        text = file.read()
    levels = 'pandas_categorical:[["low","middle","high"],[10,20,30,40,50]]'
    with open(named, "w", encoding="ascii") as file:
        file.write(text.replace("pandas_categorical:null", levels))
    daemon.start()
    import_model(daemon, "codes", source)
    import_model(daemon, "names", named)
    rows = numbers("toy-categorical", "input.tsv")[:40]
    theirs = [row[0] for row in numbers("toy-categorical", "expected_prediction.tsv")]
    words = [["low", "middle", "high"][int(row[0])] for row in rows]
    tens = [str(10 + 10 * int(row[1])) for row in rows]
    for name, document in (("codes", {"data": rows}),
                           ("names", {"data": [list(pair) for pair in zip(words, tens)]})):
        status, answer = ask(daemon, name, document)
        equal(status, 200, answer)
        check_close([one["prediction"] for one in answer["predictions"]], theirs[:40])
    status, answer = ask(daemon, "names", {"data": [["lower", "10"]]})
    equal(status, 400)
    contains(answer["error"], '"middle"')
    daemon.stop()


harness.run(globals())
