#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Small models trained by LightGBM and what it answers: tests/data/models-lightgbm/trained-*. Run
by hand where the lightgbm module is installed, which no test needs.

    lightgbm_train.py TOP   writes TOP/trained-NAME/model.txt, input.tsv, expected_{prediction,leaf}
                            and, where LightGBM has them, expected_contrib.tsv, of the first rows;
                            rows.csv holds the same rows with the categories' names
"""
import os
import sys

import lightgbm
import numpy
import pandas

TRAINING_ROWS, ROWS, CONTRIB_ROWS = 1500, 120, 40
COLOURS = ["red", "green", "blue", "grey", "white"]
SIZES = [7, 10, 12, 40]
COMMON = {"verbosity": -1, "num_threads": 1, "seed": 3, "num_leaves": 12, "min_data_in_leaf": 5,
          "min_data_per_group": 5, "cat_smooth": 1.0, "learning_rate": 0.2, "max_bin": 63}


def table(generator, count):
    """Numbers with missing values and many zeros, and two columns of categories."""
    numbers = numpy.round(generator.normal(size=(count, 4)), 3)
    numbers[generator.random((count, 4)) < 0.15] = numpy.nan
    numbers[:, 1][generator.random(count) < 0.4] = 0.0
    frame = pandas.DataFrame({f"x{i}": numbers[:, i] for i in range(4)})
    frame["colour"] = pandas.Categorical(generator.choice(COLOURS, count), categories=COLOURS)
    frame["size"] = pandas.Categorical(generator.choice(SIZES, count), categories=SIZES)
    frame.loc[generator.random(count) < 0.1, "colour"] = None
    return frame


def score_of(frame, generator):
    filled = frame[["x0", "x1", "x2", "x3"]].fillna(0.7).to_numpy()
    score = filled[:, 0] - 2 * numpy.abs(filled[:, 1]) + filled[:, 2] * (filled[:, 3] > 0)
    score += numpy.array([1.5, -1.0, 0.2, 0.9, -0.4, 0.0])[frame["colour"].cat.codes]
    score += numpy.array([0.3, -0.7, 1.1, 0.0])[frame["size"].cat.codes]
    return score + generator.normal(scale=0.3, size=len(frame))


def own_objective(predictions, data):
    return predictions - data.get_label(), numpy.ones_like(predictions)


def classes(score):
    return numpy.digitize(score, [-2.0, -0.5, 1.0])


# Name: parameters, label of a score, rounds.
TRAINED = {
    "binary": ({"objective": "binary", "sigmoid": 0.8}, lambda s: s > -0.5, 10),
    "dart": ({"objective": "binary", "boosting": "dart", "drop_rate": 0.5}, lambda s: s > 0, 10),
    "forest": ({"objective": "binary", "boosting": "rf", "bagging_freq": 1,
                "bagging_fraction": 0.6}, lambda s: s > 0, 9),
    "linear": ({"objective": "regression", "linear_tree": True}, lambda s: s, 8),
    "multiclass": ({"objective": "multiclass", "num_class": 4}, classes, 4),
    "multiclassova": ({"objective": "multiclassova", "num_class": 4, "sigmoid": 1.5}, classes, 4),
    "no-missing": ({"objective": "regression_l1", "use_missing": False}, lambda s: s, 8),
    "own-objective": ({"objective": own_objective}, lambda s: s, 6),
    "rank": ({"objective": "lambdarank"}, classes, 6),
    "sqrt": ({"objective": "regression", "reg_sqrt": True}, lambda s: s * 3, 8),
    "tweedie": ({"objective": "tweedie"}, lambda s: numpy.maximum(s, 0), 8),
    "xentlambda": ({"objective": "cross_entropy_lambda"}, lambda s: 1 / (1 + numpy.exp(-s)), 8),
    "zero-as-missing": ({"objective": "huber", "zero_as_missing": True}, lambda s: s, 8),
}


def cell_text(cell):
    return "" if isinstance(cell, float) and numpy.isnan(cell) else str(cell)


def write(path, rows):
    with open(path, "w", encoding="ascii") as file:
        for row in rows:
            file.write("\t".join(cell_text(cell) for cell in row) + "\n")


def rows_of(answers, count):
    return numpy.asarray(answers).reshape(count, -1).tolist()


def train(name, folder):
    parameters, label_of, rounds = TRAINED[name]
    generator = numpy.random.default_rng(11)
    frame = table(generator, TRAINING_ROWS)
    groups = [50] * (TRAINING_ROWS // 50) if name == "rank" else None
    data = lightgbm.Dataset(frame, label_of(score_of(frame, generator)), group=groups)
    booster = lightgbm.train({**COMMON, **parameters}, data, rounds)
    os.makedirs(folder, exist_ok=True)
    booster.save_model(os.path.join(folder, "model.txt"))
    rows = table(generator, ROWS)
    codes = rows.copy()
    for column in ("colour", "size"):
        codes[column] = rows[column].cat.codes.astype(float).replace(-1.0, numpy.nan)
    write(os.path.join(folder, "input.tsv"), codes.to_numpy(dtype=float).tolist())
    if name == "linear":
        rows.to_csv(os.path.join(folder, "rows.csv"), index=False)
    write(os.path.join(folder, "expected_prediction.tsv"), rows_of(booster.predict(rows), ROWS))
    write(os.path.join(folder, "expected_leaf.tsv"),
          rows_of(booster.predict(rows, pred_leaf=True), ROWS))
    if not parameters.get("linear_tree"):
        contributions = booster.predict(rows[:CONTRIB_ROWS], pred_contrib=True)
        write(os.path.join(folder, "expected_contrib.tsv"), rows_of(contributions, CONTRIB_ROWS))


def main(arguments):
    if len(arguments) != 1:
        sys.exit(__doc__)
    for name in TRAINED:
        train(name, os.path.join(arguments[0], "trained-" + name))


if __name__ == "__main__":
    main(sys.argv[1:])
