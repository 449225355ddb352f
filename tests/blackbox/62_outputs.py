#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Outputs by name, over HTTP and in scored files: classes that have names, reasons of a scorecard,
contributions, the spread of a forest, and what a model lacks. What is right was worked out by hand
from the models' files, published by XGBoost, or is asked of scikit-learn."""
import csv
import http.client
import json
import os
import subprocess
import sys

import harness
from harness import BUILD, SOURCE, Skip, check, contains, equal, wait_for

AUGURY = os.path.join(BUILD, "augury")
DATA = os.path.join(SOURCE, "tests", "data")
MODELS = os.path.join(DATA, "models-augury")
NFL = os.path.join(DATA, "nfl-wp")
NFL_NAMES = ("receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,"
             "score_differential,down,ydstogo,yardline_100,posteam_timeouts_remaining,"
             "defteam_timeouts_remaining").split(",")


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


def published(name, count):
    with open(os.path.join(NFL, name), encoding="ascii") as file:
        return [[float(cell) if cell else None for cell in line.rstrip("\n").split("\t")]
                for line, _ in zip(file, range(count))]


def near(got, want, within):
    check(abs(got - want) <= within * max(1.0, abs(want)), f"{got}, want {want}")


def test_contributions_are_those_of_xgboost_and_add_up_to_the_margin(daemon):
    daemon.start()
    done(daemon, "model", "import", "wp", os.path.join(NFL, "model.json"), "--features",
         ",".join(NFL_NAMES))
    wanted = published("xgb174_contributions.tsv", 20)
    rows = published("input.tsv", 20)
    told = answers(daemon, "wp", data=rows, outputs=["margin", "contributions"])
    for answer, want in zip(told, wanted):
        equal(list(answer["contributions"]), NFL_NAMES + ["bias"])
        for got, right in zip(answer["contributions"].values(), want):
            near(got, right, 1e-5)
        near(sum(answer["contributions"].values()), answer["margin"], 1e-4)
    also = answers(daemon, "wp", data=rows, include_feature_importance=True)
    equal([answer["contributions"] for answer in also],
          [answer["contributions"] for answer in told])
    equal(set(also[0]), {"prediction", "contributions"})
    # The three largest, in order; the others add up to the rest.
    for answer, whole in zip(answers(daemon, "wp", data=rows, outputs="contributions", top_k=3),
                             told):
        top = answer["contributions"]["top"]
        values = dict(whole["contributions"])
        bias = values.pop("bias")
        order = sorted(values, key=lambda name: -abs(values[name]))[:3]
        equal([(one["feature"], one["contribution"]) for one in top],
              [(name, values[name]) for name in order])
        equal(answer["contributions"]["bias"], bias)
        near(answer["contributions"]["rest"],
             sum(values.values()) - sum(values[name] for name in order), 1e-5)
    daemon.stop()


def test_contributions_are_kept_apart_from_margins(daemon):
    daemon.start()
    done(daemon, "model", "import", "wp", os.path.join(NFL, "model.json"), "--features",
         ",".join(NFL_NAMES))
    rows = published("input.tsv", 5)
    counter = 'augury_predict_rows_evaluated_total'

    def evaluated(**body):
        before = daemon.metrics()[counter]
        answers(daemon, "wp", data=rows, **body)
        return daemon.metrics()[counter] - before

    equal(evaluated(outputs="margin"), 5)
    wait_for(lambda: evaluated(outputs="margin") == 0, "margins are cached")
    equal(evaluated(outputs="contributions"), 5)
    wait_for(lambda: evaluated(outputs=["margin", "contributions"]) == 0, "both are cached")
    daemon.stop()


def test_contributions_of_several_classes_are_one_object_each(daemon):
    daemon.start()
    path = os.path.join(DATA, "calibration", "housing-band.ubj")
    done(daemon, "model", "import", "band", path)
    row = [-122.2, 37.8, 40, 1800, 290, 761, 277, 5.1, 3]
    answer = answers(daemon, "band", data=[row], outputs=["margin", "contributions"])[0]
    equal(len(answer["contributions"]), 3)
    for margin, values in zip(answer["margin"], answer["contributions"]):
        near(sum(values.values()), margin, 1e-4)
    rows = put(daemon, "rows.tsv", "\t".join(str(cell) for cell in row) + "\n")
    lines = done(daemon, "predict", path, rows, "--no-header", "--output", "contributions",
                 "--header").splitlines()
    names = lines[0].split("\t")
    equal(names[:2] + names[9:11] + names[-1:],
          ["f:f0:0", "f:f1:0", "bias:0", "f:f0:1", "bias:2"])
    equal([float(cell) for cell in lines[1].split("\t")],
          [value for values in answer["contributions"] for value in values.values()])
    daemon.stop()


def test_trees_of_a_forest_spread_as_scikit_learns_do(daemon):
    sys.path.insert(0, os.path.join(SOURCE, "etc", "export"))
    try:
        import numpy
        import augury_sklearn
        from sklearn.ensemble import RandomForestRegressor
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise Skip(f"no scikit-learn: {error}") from error
    daemon.start()
    with open(os.path.join(DATA, "tables", "concrete.csv"), encoding="ascii") as file:
        table = numpy.array([[float(cell) for cell in row] for row in list(csv.reader(file))[1:]])
    forest = RandomForestRegressor(n_estimators=20, max_depth=8, random_state=2)
    X, y = table[:, :8], table[:, 8]
    models = {"plain": forest.fit(X, y)}
    scaled = make_pipeline(StandardScaler(), RandomForestRegressor(20, max_depth=8, random_state=3))
    models["scaled"] = scaled.fit(X, y)
    for name, model in models.items():
        path = os.path.join(daemon.dir, name + ".json")
        augury_sklearn.export(model, path, X)
        os.chmod(path, 0o644)
        done(daemon, "model", "import", name, path)
        trees = model if name == "plain" else model[-1]
        seen = X if name == "plain" else model[0].transform(X)
        each = numpy.array([tree.predict(seen[:200]) for tree in trees.estimators_])
        told = answers(daemon, name, data=X[:200].tolist(), outputs=["prediction", "spread"])
        for i, answer in enumerate(told):
            near(answer["prediction"], each[:, i].mean(), 1e-12)
            near(answer["spread"]["std"], each[:, i].std(), 1e-9)
            near(answer["spread"]["min"], each[:, i].min(), 1e-12)
            near(answer["spread"]["max"], each[:, i].max(), 1e-12)
    equal(set(answers(daemon, "plain", data=X[:1].tolist(), include_uncertainty=True)[0]),
          {"prediction", "spread"})
    daemon.stop()


def test_what_a_model_lacks_is_refused_with_what_would_give_it(daemon):
    daemon.start()
    done(daemon, "model", "import", "stump",
         os.path.join(SOURCE, "tests", "data", "models", "stump.json"))
    for output, words in (("reasons", "no scorecard"), ("class", "not trained as a classifier"),
                          ("probabilities", "no probabilities"),
                          ("interval", "augury model calibrate"), ("spread", "no forest")):
        status, document = ask(daemon, "stump", features={}, outputs=output)
        equal((status, document["code"], document["at"]), (400, "no_such_output", "outputs"))
        contains(document["error"], words)
    for wrong in (0, -1, 1.5, "3", None, 1 << 20):
        status, document = ask(daemon, "stump", features={}, top_k=wrong)
        equal((status, document["code"], document["at"]), (400, "invalid_request", "top_k"))
    daemon.stop()


harness.run(globals())
