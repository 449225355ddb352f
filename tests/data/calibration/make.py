#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Makes the models and held-out rows of this folder, with XGBoost 1.7.4:
make.py CALIFORNIA_HOUSING.csv.gz CONCRETE.csv FOLDER. README.md has the sources."""
import csv
import gzip
import io
import os
import sys

import numpy
import xgboost

OCEAN = ["<1H OCEAN", "INLAND", "ISLAND", "NEAR BAY", "NEAR OCEAN"]
FEATURES = ["longitude", "latitude", "housing_median_age", "total_rooms", "total_bedrooms",
            "population", "households", "median_income", "ocean_proximity"]
CONCRETE = ["cement", "slag", "fly_ash", "water", "superplasticizer", "coarse", "fine", "age"]
HOUSING_HELD_OUT = 4800
CONCRETE_HELD_OUT = 600
PARAMETERS = {"max_depth": 3, "eta": 0.2, "nthread": 1, "seed": 1}


def pinball(level):
    """Gradients of the pinball loss: XGBoost 1.7 has no quantile objective of its own."""
    def objective(margin, data):
        gradient = numpy.where(data.get_label() > margin, -level, 1.0 - level)
        return gradient, numpy.ones_like(gradient)
    return objective


def housing(path):
    with gzip.open(path, "rt", encoding="ascii") as file:
        rows = list(csv.DictReader(file))
    order = numpy.random.default_rng(7).permutation(len(rows))
    return [rows[i] for i in order]


def matrix(rows):
    return numpy.array([[OCEAN.index(row[name]) if name == "ocean_proximity"
                         else float(row[name] or "nan") for name in FEATURES] for row in rows],
                       dtype=numpy.float32)


def thousands(rows):
    return numpy.array([float(row["median_house_value"]) / 1000.0 for row in rows])


def make_housing(path, folder):
    rows = housing(path)
    held_out, seen = rows[:HOUSING_HELD_OUT], rows[HOUSING_HELD_OUT:]
    values = thousands(seen)
    data = xgboost.DMatrix(matrix(seen), values)
    models = {"value": xgboost.train({**PARAMETERS, "base_score": 200.0}, data, 60)}
    for name, level in (("lower", 0.1), ("upper", 0.9)):
        models[name] = xgboost.train({**PARAMETERS, "eta": 40.0, "base_score": 200.0}, data, 50,
                                     obj=pinball(level))
    bands = numpy.searchsorted([140.0, 220.0], values, side="right")
    models["band"] = xgboost.train({**PARAMETERS, "objective": "multi:softprob", "num_class": 3},
                                   xgboost.DMatrix(matrix(seen), bands), 20)
    for name, model in models.items():
        model.save_model(os.path.join(folder, f"housing-{name}.ubj"))
    with open(os.path.join(folder, "housing.csv"), "w", encoding="ascii") as file:
        file.write(",".join(FEATURES) + ",value,band\n")
        for row in held_out:
            cells = [row[name].removesuffix(".0") for name in FEATURES]
            value = float(row["median_house_value"]) / 1000.0
            band = int(numpy.searchsorted([140.0, 220.0], value, side="right"))
            file.write(",".join(cells + [f"{value:g}", str(band)]) + "\n")


def make_concrete(path, folder):
    with open(path, encoding="ascii") as file:
        rows = [[float(cell) for cell in row] for row in list(csv.reader(file, delimiter=";"))[1:]]
    table = numpy.array(rows)[numpy.random.default_rng(3).permutation(len(rows))]
    held_out, seen = table[:CONCRETE_HELD_OUT], table[CONCRETE_HELD_OUT:]
    model = xgboost.train(PARAMETERS, xgboost.DMatrix(seen[:, :8], seen[:, 8]), 60)
    model.save_model(os.path.join(folder, "concrete.ubj"))
    text = io.StringIO()
    text.write(",".join(CONCRETE) + ",strength\n")
    for row in held_out:
        text.write(",".join(f"{cell:.10g}" for cell in row) + "\n")
    with open(os.path.join(folder, "concrete.csv"), "w", encoding="ascii") as file:
        file.write(text.getvalue())


def make_quantiles(folder):
    """Numbers with ties, and what numpy says of them: the smallest one that a share does not
    exceed, of the conformal rank."""
    generator = numpy.random.default_rng(11)
    scores = numpy.round(generator.gamma(2.0, 3.0, size=499), 2)
    with open(os.path.join(folder, "scores.tsv"), "w", encoding="ascii") as file:
        file.writelines(f"{score!r}\n" for score in scores.tolist())
    with open(os.path.join(folder, "quantiles.tsv"), "w", encoding="ascii") as file:
        for level in (0.01, 0.1, 0.25, 0.5, 0.8, 0.9, 0.95, 0.99, 0.998):
            share = numpy.ceil(round((len(scores) + 1) * level, 9)) / len(scores)
            value = numpy.quantile(scores, share, method="inverted_cdf")
            file.write(f"{level!r}\t{float(value)!r}\n")


if __name__ == "__main__":
    make_housing(sys.argv[1], sys.argv[3])
    make_concrete(sys.argv[2], sys.argv[3])
    make_quantiles(sys.argv[3])
