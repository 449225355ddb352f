#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Outputs by name, over HTTP and in scored files: classes that have names, reasons of a scorecard,
and what a model lacks. What is right was worked out by hand from the models' files."""
import http.client
import json
import os
import subprocess

import harness
from harness import BUILD, SOURCE, check, contains, equal

AUGURY = os.path.join(BUILD, "augury")
MODELS = os.path.join(SOURCE, "tests", "data", "models-augury")


def done(daemon, *words):
    result = subprocess.run([AUGURY, "-c", daemon.conf_path, *words], capture_output=True,
                            text=True, timeout=60, check=False)
    equal((result.returncode, result.stderr), (0, ""), " ".join(words))
    return result.stdout


def ask(daemon, model, **body):
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=10)
    connection.request("POST", "/api/v1/predict/" + model, json.dumps(body),
                       {"Content-Type": "application/json"})
    answer = connection.getresponse()
    document = json.loads(answer.read())
    connection.close()
    return answer.status, document


def answers(daemon, model, **body):
    status, document = ask(daemon, model, **body)
    equal(status, 200, document)
    return document["predictions"]


def put(daemon, name, text):
    path = os.path.join(daemon.dir, name)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    os.chmod(path, 0o644)
    return path


def test_reasons_of_a_scorecard_are_the_points_lost(daemon):
    daemon.start()
    done(daemon, "model", "import", "card", os.path.join(MODELS, "scorecard.json"))
    rows = [{"age": 20, "home": "rent", "debt": 1}, {"age": 50, "home": "own", "debt": 0},
            {"age": 30, "home": "free", "debt": 0}]
    # Points: age 8, 21, 34 of 34; home 30, 12, 10 of 30; debt 100, 50 of a reference of 110.
    told = answers(daemon, "card", rows=rows, outputs="reasons")
    equal(told[0]["reasons"],
          [{"code": "A1", "feature": "debt", "points_lost": 60.0},
           {"code": "H1", "feature": "home", "points_lost": 18.0}])
    equal(told[1]["reasons"], [{"code": "A1", "feature": "debt", "points_lost": 10.0}])
    equal([reason["code"] for reason in told[2]["reasons"]][-1], "A1")
    equal(answers(daemon, "card", rows=rows[:1], outputs="reasons", top_k=1)[0]["reasons"],
          [{"code": "A1", "feature": "debt", "points_lost": 60.0}])
    path = put(daemon, "rows.csv", "age,home,debt\n20,rent,1\n50,own,0\n")
    equal(done(daemon, "predict", "--model", "card", path, "--output", "reasons", "--header"),
          "reasons\nA1,H1\nA1\n")
    document = json.loads(daemon.get("/api/v1/models/card")[1])
    contains(document["outputs"], "reasons")
    daemon.stop()


def test_a_class_is_called_by_its_name(daemon):
    daemon.start()
    done(daemon, "model", "import", "card", os.path.join(MODELS, "scorecard.json"))
    rows = [{"age": 20, "home": "rent", "debt": 1}, {"age": 50, "home": "own", "debt": 0}]
    told = answers(daemon, "card", rows=rows, outputs=["class", "probabilities"])
    for answer in told:
        low, high = answer["probabilities"]
        equal(answer["class"], "good" if high > low else "bad")
    equal(json.loads(daemon.get("/api/v1/models/card")[1])["classes"], ["bad", "good"])
    path = put(daemon, "rows.csv", "age,home,debt\n20,rent,1\n50,own,0\n")
    lines = done(daemon, "predict", "--model", "card", path, "--output", "class").split()
    equal(lines, [answer["class"] for answer in told])
    lines = done(daemon, "predict", "--model", "card", path, "--output", "probabilities",
                 "--header").splitlines()
    equal(lines[0], "probability:bad\tprobability:good")
    # Held-out rows name their classes too.
    truth = put(daemon, "truth.csv", "age,home,debt,y\n" + "".join(
        f"{20 + i},{'own' if i % 3 else 'rent'},{i % 2},{'good' if i % 5 else 'bad'}\n"
        for i in range(60)))
    done(daemon, "model", "calibrate", "card", truth, "--target", "y", "--use")
    sets = [answer["interval"]["set"] for answer in
            answers(daemon, "card", rows=rows, outputs="interval", level=0.9)]
    check(all(set(members) <= {"bad", "good"} for members in sets) and any(sets), sets)
    daemon.stop()


def test_what_a_model_lacks_is_refused_with_what_would_give_it(daemon):
    daemon.start()
    done(daemon, "model", "import", "stump",
         os.path.join(SOURCE, "tests", "data", "models", "stump.json"))
    for output, words in (("reasons", "no scorecard"), ("class", "not trained as a classifier"),
                          ("probabilities", "no probabilities"),
                          ("interval", "augury model calibrate")):
        status, document = ask(daemon, "stump", features={}, outputs=output)
        equal((status, document["code"], document["at"]), (400, "no_such_output", "outputs"))
        contains(document["error"], words)
    for wrong in (0, -1, 1.5, "3", None, 1 << 20):
        status, document = ask(daemon, "stump", features={}, top_k=wrong)
        equal((status, document["code"], document["at"]), (400, "invalid_request", "top_k"))
    daemon.stop()


harness.run(globals())
