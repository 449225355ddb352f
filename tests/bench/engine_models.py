#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Trains the three reference models of the engine's benchmark, once, into a folder.

a: 100 trees of depth 6 over 30 features; b: 500 of depth 8 over 100; c: 1,000 of depth 6, five
classes, 50 features. Synthetic rows from fixed seeds, a part of them on a grid so that values meet
thresholds, 3 % missing. Writes <name>.ubj, <name>.f32 (10,000 rows, row-major float32) and
<name>.missing.f32 (the same rows, 5 % of their values missing). A stamp says how they were made:
other settings train anew.
"""
import os
import sys

import numpy as np
import xgboost as xgb

TRAIN_ROWS = 40000
BENCH_ROWS = 10000
MISSING_SHARE = 0.05
MODELS = {  # trees, depth, features, classes
    "a": (100, 6, 30, 1),
    "b": (500, 8, 100, 1),
    "c": (1000, 6, 50, 5),
}


def rows_of(count, features, seed):
    random = np.random.default_rng(seed)
    rows = random.standard_normal((count, features)).astype(np.float32)
    rows[:, ::3] = np.round(rows[:, ::3] * 8) / 8
    rows[:, 1::5] = np.exp(rows[:, 1::5])
    return rows


def target_of(rows, seed):
    random = np.random.default_rng(seed)
    features = rows.shape[1]
    score = np.zeros(len(rows))
    for _ in range(3 * features):
        a, b, c = random.integers(0, features, 3)
        score += random.normal() * np.tanh(rows[:, a] * rows[:, b] - random.normal() * rows[:, c])
    for column in range(features):
        score += random.normal() * (rows[:, column] > random.normal())
    return score / score.std()


def labels_of(rows, classes, random):
    if classes == 1:
        noisy = target_of(rows, 3) + 0.5 * random.standard_normal(len(rows))
        return (noisy > 0).astype(int), {"objective": "binary:logistic"}
    scores = np.stack([target_of(rows, 10 + k) for k in range(classes)], axis=1)
    scores += 0.3 * random.standard_normal(scores.shape)
    return scores.argmax(axis=1), {"objective": "multi:softprob", "num_class": classes}


def train(folder, name):
    trees, depth, features, classes = MODELS[name]
    random = np.random.default_rng(7)
    rows = rows_of(TRAIN_ROWS, features, 1)
    labels, params = labels_of(rows, classes, random)
    rows[random.random(rows.shape) < 0.03] = np.nan
    params.update(max_depth=depth, eta=0.1, tree_method="hist", max_bin=256,
                  min_child_weight=0.1, seed=7,
                  nthread=1)  # two threads wait for each other on a busy machine
    booster = xgb.train(params, xgb.DMatrix(rows, label=labels), trees // classes)
    rows = rows_of(BENCH_ROWS, features, 2)
    rows.tofile(os.path.join(folder, name + ".f32"))
    rows[np.random.default_rng(5).random(rows.shape) < MISSING_SHARE] = np.nan
    rows.tofile(os.path.join(folder, name + ".missing.f32"))
    booster.save_model(os.path.join(folder, name + ".ubj"))


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    for name in MODELS:
        stamp = os.path.join(folder, name + ".stamp")
        settings = f"{TRAIN_ROWS} {BENCH_ROWS} {MISSING_SHARE} {MODELS[name]}"
        if os.path.exists(stamp) and open(stamp, encoding="utf-8").read() == settings:
            continue
        print(f"training model {name}", file=sys.stderr, flush=True)
        train(folder, name)
        with open(stamp, "w", encoding="utf-8") as out:
            out.write(settings)


if __name__ == "__main__":
    main()
