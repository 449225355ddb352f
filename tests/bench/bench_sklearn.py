#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""One thread of the engine against one thread of scikit-learn, in one run.

leafwise: 500 trees of 63 leaves, grown leaf by leaf (HistGradientBoostingRegressor), handed over as
LightGBM text; forest: 300 deep trees (RandomForestClassifier, two classes), handed over by the
exporter. Every prediction is compared first. One TSV line a figure: name, ours, unit, peer, the
peer's figure, ratio. Usage: bench_sklearn.py BENCH_ROWS FOLDER
"""
import importlib.util
import os
import subprocess
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import sklearn
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier

HERE = os.path.dirname(os.path.abspath(__file__))
TRAIN_ROWS = 10000
ROWS = 2000
FEATURES = 30
BATCH = 1000
TOLERANCE = 1e-12


def rows_of(count, seed):
    random = np.random.default_rng(seed)
    rows = random.standard_normal((count, FEATURES))
    rows[:, ::3] = np.round(rows[:, ::3] * 8) / 8
    return rows


def target_of(rows):
    random = np.random.default_rng(3)
    score = np.zeros(len(rows))
    for _ in range(3 * FEATURES):
        a, b, c = random.integers(0, FEATURES, 3)
        score += random.normal() * np.tanh(rows[:, a] * rows[:, b] - random.normal() * rows[:, c])
    return score / score.std()


def text_of(numbers, digits=None):
    return " ".join(repr(float(x)) if digits is None else str(int(x)) for x in numbers)


def lightgbm_tree(nodes, number, base):
    """One predictor of HistGradientBoosting as a tree of LightGBM's text."""
    inner = [i for i in range(len(nodes)) if not nodes[i]["is_leaf"]]
    leaves = [i for i in range(len(nodes)) if nodes[i]["is_leaf"]]
    place = {node: i for i, node in enumerate(inner)}
    place.update({node: ~i for i, node in enumerate(leaves)})
    decision = [8 | (2 if nodes[i]["missing_go_to_left"] else 0) for i in inner]
    lines = [
        f"Tree={number}", f"num_leaves={len(leaves)}", "num_cat=0",
        "split_feature=" + text_of((nodes[i]["feature_idx"] for i in inner), 0),
        "split_gain=" + text_of(0.0 for _ in inner),
        "threshold=" + text_of(nodes[i]["num_threshold"] for i in inner),
        "decision_type=" + text_of(decision, 0),
        "left_child=" + text_of((place[nodes[i]["left"]] for i in inner), 0),
        "right_child=" + text_of((place[nodes[i]["right"]] for i in inner), 0),
        "leaf_value=" + text_of(nodes[i]["value"] + base for i in leaves),
        "leaf_weight=" + text_of((nodes[i]["count"] for i in leaves), 0),
        "leaf_count=" + text_of((nodes[i]["count"] for i in leaves), 0),
        "internal_value=" + text_of(0.0 for _ in inner),
        "internal_weight=" + text_of((nodes[i]["count"] for i in inner), 0),
        "internal_count=" + text_of((nodes[i]["count"] for i in inner), 0),
        "is_linear=0", "shrinkage=1"]
    return "\n".join(lines) + "\n\n\n"


def write_lightgbm(model, path):
    base = float(np.ravel(model._baseline_prediction)[0])
    trees = [lightgbm_tree(stage[0].nodes, number, base if number == 0 else 0.0)
             for number, stage in enumerate(model._predictors)]
    names = " ".join(f"Column_{i}" for i in range(FEATURES))
    head = ["tree", "version=v4", "num_class=1", "num_tree_per_iteration=1", "label_index=0",
            f"max_feature_idx={FEATURES - 1}", "objective=regression", "feature_names=" + names,
            "feature_infos=" + " ".join("[-10:10]" for _ in range(FEATURES)),
            "tree_sizes=" + " ".join(str(len(tree) - 1) for tree in trees)]
    with open(path, "w", encoding="ascii") as out:
        out.write("\n".join(head) + "\n\n" + "".join(trees) + "end of trees\n")


def exporter():
    path = os.path.join(HERE, "../../etc/export/augury_sklearn.py")
    spec = importlib.util.spec_from_file_location("augury_sklearn", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def leafwise(folder):
    model = HistGradientBoostingRegressor(max_iter=500, max_leaf_nodes=63, max_depth=None,
                                          min_samples_leaf=5, learning_rate=0.05,
                                          early_stopping=False, random_state=1)
    rows = rows_of(TRAIN_ROWS, 1)
    model.fit(rows, target_of(rows))
    path = os.path.join(folder, "leafwise.txt")
    write_lightgbm(model, path)
    return path, model.predict, f"scikit-learn {sklearn.__version__} HistGradientBoosting"


def forest(folder):
    model = RandomForestClassifier(n_estimators=300, n_jobs=1, random_state=1)
    rows = rows_of(TRAIN_ROWS, 1)
    model.fit(rows, target_of(rows) > 0)
    path = os.path.join(folder, "forest.json")
    exporter().export(model, path, X=rows)

    def predict(some):
        return model.predict_proba(some)[:, 1]

    return path, predict, f"scikit-learn {sklearn.__version__} RandomForest"


def median_ns(work, rows, repetitions):
    figures = []
    for _ in range(repetitions):
        start = time.perf_counter_ns()
        work()
        figures.append((time.perf_counter_ns() - start) / rows)
    return sorted(figures)[repetitions // 2]


def compare(program, name, made, folder):
    path, predict, peer = made
    rows = rows_of(ROWS, 2)
    rows_path = os.path.join(folder, "rows.f64")
    out_path = os.path.join(folder, "predictions.f64")
    rows.tofile(rows_path)
    done = subprocess.run([program, path, rows_path, out_path], check=True, text=True,
                          stdout=subprocess.PIPE)
    ours_row, ours_batch, open_us = (float(x) for x in done.stdout.split())
    want = predict(rows)
    got = np.fromfile(out_path)
    worst = float(np.max(np.abs(got - want) / np.maximum(np.abs(want), 1e-6)))
    if not worst <= TOLERANCE:
        sys.exit(f"bench_sklearn: {name}: differs by {worst}")
    peer_row = median_ns(lambda: predict(rows[7:8]), 1, 15)
    peer_batch = median_ns(lambda: predict(rows[:BATCH]), BATCH, 7)
    for figure, ours, theirs in (("row_warm", ours_row, peer_row),
                                 ("batch1000", ours_batch, peer_batch)):
        print(f"engine.{name}.{figure}\t{ours:.0f}\tns/row\t{peer}\t{theirs:.0f}"
              f"\t{theirs / ours:.2f}", flush=True)
    print(f"engine.{name}.first_prediction\t{open_us:.1f}\tus\tgoal\t100\t{100 / open_us:.2f}")


def main():
    program, folder = sys.argv[1:3]
    os.makedirs(folder, exist_ok=True)
    compare(program, "leafwise", leafwise(folder), folder)
    compare(program, "forest", forest(folder), folder)


if __name__ == "__main__":
    main()
