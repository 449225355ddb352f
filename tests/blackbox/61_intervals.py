#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Intervals from the first held-out row to the answer: `model calibrate`, `predict --model` and a
running daemon say the same, and what they say is what numpy makes of XGBoost's own answers."""
import csv
import http.client
import json
import math
import os
import subprocess

import harness
from harness import BUILD, SOURCE, check, contains, equal

AUGURY = os.path.join(BUILD, "augury")
DATA = os.path.join(SOURCE, "tests", "data", "calibration")
OCEAN = ["<1H OCEAN", "INLAND", "ISLAND", "NEAR BAY", "NEAR OCEAN"]
HELD_OUT = 3000


def rows_of(name):
    with open(os.path.join(DATA, name), encoding="ascii") as file:
        return list(csv.DictReader(file))


def write(path, rows, names):
    with open(path, "w", newline="", encoding="ascii") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    os.chmod(path, 0o644)
    return path


def augury(daemon, *words):
    return subprocess.run([AUGURY, "-c", daemon.conf_path, *words], capture_output=True, text=True,
                          timeout=60, check=False)


def done(daemon, *words):
    result = augury(daemon, *words)
    equal((result.returncode, result.stderr), (0, ""), " ".join(words))
    return result.stdout


def refused(daemon, status, *words):
    result = augury(daemon, *words)
    equal(result.returncode, status, f"{words}: {result}")
    return result.stderr


def ask(daemon, model, **body):
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=10)
    connection.request("POST", "/api/v1/predict/" + model, json.dumps(body),
                       {"Content-Type": "application/json"})
    answer = connection.getresponse()
    document = json.loads(answer.read())
    x_cache = answer.getheader("X-Cache")
    connection.close()
    return answer.status, document, x_cache


def answers(daemon, model, **body):
    status, document, _ = ask(daemon, model, **body)
    equal(status, 200, document)
    return document["predictions"]


def features(row):
    return {name: cell if name == "ocean_proximity" else float(cell) if cell else None
            for name, cell in row.items() if name not in ("value", "band")}


def near(got, want):
    """As float32 numbers of some hundreds with their shortest digits are."""
    check(abs(got - want) <= 1e-4, f"{got}, want {want}")


class World:
    """A daemon's folder with the models imported and the rows split in two files."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.rows = rows_of("housing.csv")
        names = list(self.rows[0])
        self.held_out = write(os.path.join(daemon.dir, "held-out.csv"), self.rows[:HELD_OUT], names)
        self.fresh = self.rows[HELD_OUT:HELD_OUT + 50]
        self.fresh_path = write(os.path.join(daemon.dir, "fresh.csv"), self.fresh, names[:-2])
        schema = {"features": [{"name": name} for name in names[:-2]]}
        schema["features"][-1].update(type="category", levels=OCEAN)
        path = os.path.join(daemon.dir, "schema.json")
        with open(path, "w", encoding="ascii") as file:
            json.dump(schema, file)
        os.chmod(path, 0o644)
        for model in ("value", "lower", "upper", "band"):
            done(daemon, "model", "import", model, os.path.join(DATA, f"housing-{model}.ubj"),
                 "--schema", path)

    def calibrate(self, model, *words, target="value"):
        return json.loads(done(self.daemon, "-j", "model", "calibrate", model, self.held_out,
                               "--target", target, "--ignore-unknown", *words))

    def predicted(self, model, rows):
        return [answer["prediction"] for answer in
                answers(self.daemon, model, rows=[features(row) for row in rows])]


def conformal(scores, level):
    """The score that a share `level` of the rows to come does not exceed."""
    return sorted(scores)[math.ceil(round((len(scores) + 1) * level, 9)) - 1]


def test_intervals_are_the_residuals_of_the_held_out_rows(daemon):
    daemon.start()
    world = World(daemon)
    said = world.calibrate("value")
    equal((said["version"], said["calibrated_from"]), ("2", "1"))
    equal(said["calibration"]["rows"], HELD_OUT)
    contains(said["note"], "augury model use value@2")
    truth = [float(row["value"]) for row in world.rows[:HELD_OUT]]
    predicted = [p for i in range(0, HELD_OUT, 500)
                 for p in world.predicted("value@1", world.rows[i:min(i + 500, HELD_OUT)])]
    scores = [abs(y - p) for y, p in zip(truth, predicted)]
    fresh = [features(row) for row in world.fresh]
    for level in (0.5, 0.9, 0.99):
        score = conformal(scores, level)
        for answer in answers(daemon, "value@2", rows=fresh, outputs=["prediction", "interval"],
                              level=level):
            equal(answer["interval"]["level"], level)
            near(answer["interval"]["lower"], answer["prediction"] - score)
            near(answer["interval"]["upper"], answer["prediction"] + score)
    document = json.loads(daemon.get("/api/v1/models/value@2")[1])
    contains(document["outputs"], "interval")
    equal(document["calibration"]["method"], "residual")
    equal(document["calibration"]["target"], "value")
    plain = json.loads(daemon.get("/api/v1/models/value@1")[1])
    equal((plain["calibration"], "interval" in plain["outputs"]), (None, False))
    daemon.stop()


def test_the_daemon_and_a_scored_file_say_the_same(daemon):
    daemon.start()
    world = World(daemon)
    world.calibrate("value", "--group", "ocean_proximity", "--use")
    world.calibrate("band", "--use", target="band")
    fresh = [features(row) for row in world.fresh]
    whole = write(os.path.join(daemon.dir, "whole.csv"), world.fresh, list(world.rows[0]))
    lines = done(daemon, "predict", "--model", "value", whole, "--output", "interval", "--level",
                 "0.8", "--header", "--ignore-unknown").splitlines()
    equal(lines[0], "lower\tupper")
    told = answers(daemon, "value", rows=fresh, include_uncertainty=True, level=0.8)
    for line, answer in zip(lines[1:], told):
        bounds = [float(cell) for cell in line.split("\t")]
        equal(bounds, [answer["interval"]["lower"], answer["interval"]["upper"]])
    lines = done(daemon, "predict", "--model", "band", world.fresh_path, "--output", "interval",
                 "--header").splitlines()
    equal(lines[0], "set")
    told = answers(daemon, "band", rows=fresh, outputs="interval")
    sets = [[int(cell) for cell in line.split(",")] if line else [] for line in lines[1:]]
    equal(sets, [answer["interval"]["set"] for answer in told])
    check(any(len(members) > 1 for members in sets), sets)
    daemon.stop()


def test_classes_are_those_that_the_true_ones_of_the_held_out_rows_were_no_less_sure_of(daemon):
    daemon.start()
    world = World(daemon)
    world.calibrate("band", "--use", target="band")
    scores = []
    for begin in range(0, HELD_OUT, 500):
        rows = world.rows[begin:begin + 500]
        told = answers(daemon, "band", rows=[features(row) for row in rows],
                       outputs="probabilities")
        scores += [1.0 - answer["probabilities"][int(row["band"])]
                   for row, answer in zip(rows, told)]
    told = answers(daemon, "band", rows=[features(row) for row in world.fresh],
                   outputs=["probabilities", "interval"], level=0.8)
    score = conformal(scores, 0.8)
    for answer in told:
        for number, probability in enumerate(answer["probabilities"]):
            if abs(1.0 - probability - score) > 1e-6:
                equal(number in answer["interval"]["set"], 1.0 - probability < score)
    daemon.stop()


def test_quantiles_of_two_models_are_conformalised_and_cached(daemon):
    daemon.start()
    world = World(daemon)
    world.calibrate("value", "--lower", "lower", "--upper=upper@1", "--use")
    done(daemon, "model", "unload", "lower")
    fresh = [features(row) for row in world.fresh]
    status, document, x_cache = ask(daemon, "value", rows=fresh, outputs="interval", level=0.9)
    equal((status, x_cache), (200, "MISS"))
    widths = {round(a["interval"]["upper"] - a["interval"]["lower"], 3)
              for a in document["predictions"]}
    check(len(widths) > 10, widths)
    harness.wait_for(lambda: ask(daemon, "value", rows=fresh, outputs="interval", level=0.9)[2]
                     == "HIT", "the answer is cached")
    equal(ask(daemon, "value", rows=fresh, outputs="interval", level=0.9)[1], document)
    # Another level is another answer from the same cached numbers.
    _, other, x_cache = ask(daemon, "value", rows=fresh, outputs="interval", level=0.5)
    equal(x_cache, "HIT")
    for wide, narrow in zip(document["predictions"], other["predictions"]):
        check(narrow["interval"]["upper"] < wide["interval"]["upper"], (wide, narrow))
    daemon.stop()


def test_what_is_wrong_is_named_with_what_would_be_right(daemon):
    daemon.start()
    world = World(daemon)
    held_out = world.held_out
    calibrate = ("model", "calibrate", "value", held_out)
    for status, words, said in (
            (2, calibrate, "--target is needed"),
            (2, calibrate + ("--target", "value", "--nonsense"), "unknown option --nonsense"),
            (2, calibrate + ("--target",), "a value is missing"),
            (2, calibrate + ("--target", "value", "--lower", "lower"), "go together"),
            (2, calibrate + ("--target", "value", "--group-bins", "4"), "goes with --group"),
            (1, calibrate + ("--target", "value"), 'column "band" is no feature'),
            (1, calibrate + ("--target", "valeu", "--ignore-unknown"), 'did you mean "value"?'),
            (1, calibrate + ("--target", "median_income", "--ignore-unknown"), "is a feature"),
            (1, calibrate + ("--target", "value", "--ignore-unknown", "--group", "ocean_proximty"),
             'did you mean "ocean_proximity"?'),
            (1, calibrate + ("--target", "value", "--ignore-unknown", "--group", "population"),
             "--group-bins"),
            (1, ("model", "calibrate", "valu", held_out, "--target", "value"), "value"),
            (1, ("model", "calibrate", "band", held_out, "--target", "value", "--ignore-unknown"),
             "held-out.csv:2, column value: expected the number of a class, 0 to 2"),
            (1, ("predict", "--model", "value", world.fresh_path, "--output", "interval"),
             "augury model calibrate"),
            (2, ("predict", "--model", "value", world.fresh_path, "--level", "90"), "under 1")):
        contains(refused(daemon, status, *words), said)
    few = write(os.path.join(daemon.dir, "few.csv"), world.rows[:19], list(world.rows[0]))
    contains(refused(daemon, 1, "model", "calibrate", "value", few, "--target", "value",
                     "--ignore-unknown"), "at least 20 are needed")
    row = features(world.fresh[0])
    for body, code, at in (({"outputs": "interval"}, "no_such_output", "outputs"),
                           ({"include_uncertainty": True}, "no_such_output", "outputs"),
                           ({"include_uncertainty": 1}, "invalid_request", "include_uncertainty"),
                           ({"level": 1}, "invalid_level", "level"),
                           ({"level": "0.9"}, "invalid_level", "level"),
                           ({"levle": 0.9}, "unknown_option", "levle")):
        status, document, _ = ask(daemon, "value", features=row, **body)
        equal((status, document["code"], document["at"]), (400, code, at), document)
    equal(answers(daemon, "value", features=row, include_uncertainty=False)[0].keys(),
          {"prediction"})
    daemon.stop()


def test_more_than_the_rows_support_has_no_bounds(daemon):
    daemon.start()
    world = World(daemon)
    few = write(os.path.join(daemon.dir, "few.csv"), world.rows[:99], list(world.rows[0]))
    done(daemon, "model", "calibrate", "value", few, "--target", "value", "--ignore-unknown",
         "--use")
    row = features(world.fresh[0])
    told = answers(daemon, "value", features=row, outputs="interval", level=0.99)[0]["interval"]
    check(told["upper"] > told["lower"], told)
    told = answers(daemon, "value", features=row, outputs="interval", level=0.995)[0]["interval"]
    equal(told, {"lower": None, "upper": None, "level": 0.995})
    daemon.stop()


harness.run(globals())
