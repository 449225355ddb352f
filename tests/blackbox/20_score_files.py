#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`augury predict` scores files: compared with what xgboost 1.7.4 answered for published rows,
with the xgboost that is installed for a model trained here, and with the answers published with
LightGBM models. Speaks TAP."""
import csv
import json
import os
import random
import resource
import subprocess
import sys

import numpy

from foldertests import Skip, run_tests, test

SOURCE = os.environ.get("AUGURY_SOURCE", ".")
AUGURY = os.path.join(os.environ.get("AUGURY_BUILD", "."), "augury")
DATA = os.path.join(SOURCE, "tests", "data")
NFL = os.path.join(DATA, "nfl-wp")
AGARICUS = os.path.join(DATA, "models-xgboost", "agaricus")
LIGHTGBM = os.path.join(DATA, "models-lightgbm")
LINEAR = os.path.join(DATA, "models-xgboost", "gblinear-agaricus")
NAMES = ("receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,"
         "score_differential,down,ydstogo,yardline_100,posteam_timeouts_remaining,"
         "defteam_timeouts_remaining")


def run(*words, stdin=None):
    return subprocess.run([AUGURY, "predict", *words], input=stdin, capture_output=True, text=True,
                          check=False)


def scored(*words, stdin=None):
    done = run(*words, stdin=stdin)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", done.stderr
    lines = done.stdout.splitlines()
    return numpy.array([[float(cell) for cell in line.split("\t")] for line in lines],
                       dtype=numpy.float32)


def refused(status, *words, stdin=None):
    done = run(*words, stdin=stdin)
    assert done.returncode == status, (done.returncode, done.stderr)
    return done.stderr


def published(*path):
    with open(os.path.join(DATA, *path), encoding="ascii") as file:
        return numpy.array([[float(cell) for cell in line.split("\t")] for line in file],
                           dtype=numpy.float32)


def same_bits(ours, theirs):
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    assert (ours.view(numpy.uint32) == theirs.view(numpy.uint32)).all()


def nfl_rows():
    with open(os.path.join(NFL, "input.tsv"), encoding="ascii") as file:
        return [line.rstrip("\n").split("\t") for line in file]


@test
def margins_and_probabilities_of_published_rows_are_those_of_xgboost(_):
    for model in ("model.json", "model.ubj"):
        words = [os.path.join(NFL, model), os.path.join(NFL, "input.tsv"), "--no-header"]
        same_bits(scored(*words, "--output", "margin"), published("nfl-wp", "xgb174_margin.tsv"))
        same_bits(scored(*words), published("nfl-wp", "xgb174_prob.tsv"))


@test
def the_same_model_as_onnx_answers_the_same(_):
    words = [os.path.join(NFL, "model.onnx"), os.path.join(NFL, "input.tsv"), "--no-header"]
    same_bits(scored(*words, "--output", "margin"), published("nfl-wp", "xgb174_margin.tsv"))
    same_bits(scored(*words), published("nfl-wp", "xgb174_prob.tsv"))


@test
def ranges_of_iterations_add_up_to_the_whole(_):
    def margins(*more):
        return scored(os.path.join(NFL, "model.json"), os.path.join(NFL, "input.tsv"), "--no-header",
                      "--output", "margin", *more).astype(float)
    parts = margins("--iterations", ":20") + margins("--iterations", "20:")
    assert numpy.allclose(parts, margins(), rtol=0, atol=1e-5)
    same_bits(margins("--iterations", "0:65"), margins())
    for text, word in (("20", "a range A:B"), ("5:5", "a range A:B"), ("0:66", "the file has 65")):
        done = run(os.path.join(NFL, "model.json"), os.path.join(NFL, "input.tsv"), "--no-header",
                   "--iterations", text)
        assert done.returncode != 0 and word in done.stderr, done.stderr


@test
def libsvm_entries_are_features_as_numbered(_):
    rows = os.path.join(AGARICUS, "input.libsvm")
    model = os.path.join(AGARICUS, "model.json")
    same_bits(scored(model, rows, "--output", "margin"),
              published("models-xgboost", "agaricus", "xgb174_margin.tsv"))
    same_bits(scored(model, rows, "--output", "leaf"),
              published("models-xgboost", "agaricus", "xgb174_leaf.tsv"))
    same_bits(scored(os.path.join(LINEAR, "model.json"), rows, "--output", "margin"),
              published("models-xgboost", "gblinear-agaricus", "xgb174_margin.tsv"))


@test
def lightgbm_models_answer_in_double_as_published(_):
    for name, output, expected in (("multiclass5", "margin", "expected_margin.tsv"),
                                   ("multiclass5", "prediction", "expected_prediction.tsv"),
                                   ("poisson-categorical", "prediction", "expected_prediction.tsv"),
                                   ("toy-categorical", "prediction", "expected_prediction.tsv"),
                                   ("breast-cancer", "leaf", "expected_leaf.tsv")):
        folder = os.path.join(LIGHTGBM, name)
        done = run(os.path.join(folder, "model.txt"), os.path.join(folder, "input.tsv"),
                   "--no-header", "--output", output)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        ours = numpy.loadtxt(done.stdout.splitlines(), ndmin=2)
        theirs = numpy.loadtxt(os.path.join(folder, expected), ndmin=2)
        assert ours.shape == theirs.shape, (name, ours.shape)
        assert numpy.allclose(ours, theirs, rtol=1e-12, atol=0), name


@test
def an_absent_libsvm_entry_is_zero_but_to_xgboost(_):
    folder = os.path.join(LIGHTGBM, "toy-categorical")
    rows = numpy.loadtxt(os.path.join(folder, "input.tsv"))
    text = "".join("9 " + " ".join(f"{i}:{cell:g}" for i, cell in enumerate(row) if cell != 0)
                   + "\n" for row in rows)
    done = run(os.path.join(folder, "model.txt"), "-", "--format", "libsvm", stdin=text)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    theirs = numpy.loadtxt(os.path.join(folder, "expected_prediction.tsv"))
    assert numpy.allclose(numpy.loadtxt(done.stdout.splitlines()), theirs, rtol=1e-12, atol=0)
    said = refused(1, os.path.join(folder, "model.txt"), "-", "--format", "libsvm",
                   stdin="9 0:nan 0:1\n")
    assert "twice" in said, said


@test
def lightgbm_rows_name_their_categories(_):
    folder = os.path.join(LIGHTGBM, "trained-linear")
    done = run(os.path.join(folder, "model.txt"), os.path.join(folder, "rows.csv"))
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    ours = numpy.loadtxt(done.stdout.splitlines())
    theirs = numpy.loadtxt(os.path.join(folder, "expected_prediction.tsv"))
    assert numpy.allclose(ours, theirs, rtol=1e-12, atol=0)


@test
def columns_with_a_header_are_found_by_name(folder):
    names = NAMES.split(",")
    order = list(range(len(names)))
    random.Random(7).shuffle(order)
    path = os.path.join(folder, "shuffled.csv")
    with open(path, "w", newline="", encoding="ascii") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow([names[i] for i in order])
        writer.writerows([row[i] for i in order] for row in nfl_rows())
    model = os.path.join(NFL, "model.json")
    same_bits(scored(model, path, "--features", NAMES, "--output", "margin"),
              published("nfl-wp", "xgb174_margin.tsv"))


@test
def a_column_that_is_left_out_is_missing(_):
    model = os.path.join(NFL, "model.json")
    short = scored(model, "-", "--format", "csv", "--features", NAMES,
                   stdin="down,ydstogo\n3,7\n,7\nnan,7\n")
    full = scored(model, "-", "--format", "tsv", "--no-header",
                  stdin="\t\t\t\t\t\t3\t7\t\t\t\n" + "\t\t\t\t\t\t\t7\t\t\t\n" * 2)
    same_bits(short, full)


@test
def leading_columns_may_be_left_out(_):
    lines = "".join("\t".join(["2024_01", "KC", *row]) + "\n" for row in nfl_rows())
    same_bits(scored(os.path.join(NFL, "model.json"), "-", "--format", "tsv", "--no-header",
                     "--skip-columns", "2",
                     "--output", "margin", stdin=lines), published("nfl-wp", "xgb174_margin.tsv"))


@test
def several_classes_stand_in_one_line(folder):
    try:
        import xgboost
    except ImportError as error:
        raise Skip("no xgboost module") from error
    generator = numpy.random.default_rng(3)
    rows = generator.normal(size=(300, 5)).astype(numpy.float32)
    rows[generator.random(rows.shape) < 0.1] = numpy.nan
    labels = generator.integers(0, 3, size=300)
    data = xgboost.DMatrix(rows, labels)
    for objective in ("multi:softprob", "multi:softmax"):
        booster = xgboost.train({"objective": objective, "num_class": 3, "max_depth": 4,
                                 "nthread": 1}, data, 8)
        model = os.path.join(folder, "classes.json")
        booster.save_model(model)
        text = "\n".join("\t".join("" if numpy.isnan(cell) else repr(float(cell)) for cell in row)
                         for row in rows)
        words = [model, "-", "--format", "tsv", "--no-header"]
        same_bits(scored(*words, "--output", "margin", stdin=text),
                  booster.predict(data, output_margin=True))
        theirs = booster.predict(data).reshape(300, -1)
        ours = scored(*words, stdin=text)
        assert ours.shape == theirs.shape
        assert numpy.allclose(ours, theirs, rtol=1e-6, atol=0)
        assert scored(*words, "--output", "probabilities", stdin=text).shape == (300, 3)
        classes = scored(*words, "--output", "class", stdin=text)
        assert (classes.ravel() == booster.predict(data, output_margin=True).argmax(axis=1)).all()
        leaves = scored(*words, "--output", "leaf", stdin=text)
        assert (leaves == booster.predict(data, pred_leaf=True)).all()


@test
def a_header_names_the_columns(_):
    words = [os.path.join(NFL, "model.json"), "-", "--format", "csv", "--features", NAMES,
             "--header", "--output"]
    rows = "down\n3\n"
    for output, names in (("prediction", "prediction"),
                          ("probabilities", "probability:0\tprobability:1"),
                          ("class", "class")):
        lines = run(*words, output, stdin=rows).stdout.split("\n")
        assert lines[0] == names and len(lines) == 3 and lines[2] == "", lines
    assert run(*words, "leaf", stdin=rows).stdout.startswith("leaf:0\tleaf:1\t")


@test
def a_schema_gives_names_and_levels(folder):
    schema = {"features": [{"name": f"x{i}", "type": "float"} for i in range(11)]}
    schema["features"][6] = {"name": "down", "type": "category",
                             "levels": ["0", "first", "second", "third", "fourth"]}
    path = os.path.join(folder, "schema.json")
    with open(path, "w", encoding="ascii") as file:
        json.dump(schema, file)
    words = [os.path.join(NFL, "model.json"), "-", "--format", "csv"]
    named = scored(*words, "--schema", path, stdin="down,x7\nthird,7\n")
    same_bits(named, scored(*words, "--features", NAMES, stdin="down,ydstogo\n3,7\n"))
    said = refused(1, *words, "--schema", path, stdin="down\nfirst\nfifth\n")
    assert "-:3, column down" in said and '"fifth"' in said and '"first"' in said, said


@test
def wrong_rows_are_named_with_file_line_and_column(folder):
    path = os.path.join(folder, "rows.csv")
    model = os.path.join(NFL, "model.json")
    for text, words in (
            ("down,ydstogo\n3,7\n3,seven\n", (f"{path}:3, column ydstogo", '"seven"')),
            ("down,ydstgo\n3,7\n", (f"{path}:1", '"ydstgo"', 'did you mean "ydstogo"')),
            ("down,colour\n3,7\n", (f"{path}:1", '"colour"', "--skip-columns")),
            ("down,down\n3,7\n", (f"{path}:1", "twice")),
            ("down,ydstogo\n3,7,9\n", (f"{path}:2",)),
            ("down\n1e39\n", (f"{path}:2, column down", "float32"))):
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        said = refused(1, model, path, "--features", NAMES)
        for word in words:
            assert word in said, (text, said)
    said = refused(1, model, "-", "--format", "tsv", "--no-header", stdin="1\t2\n")
    assert "-:1" in said and "11" in said, said
    said = refused(1, model, "-", "--format", "libsvm", stdin="1 0:1\n0 11:1\n")
    assert "-:2" in said and "0 to 10" in said, said


@test
def rows_before_a_wrong_one_are_printed(_):
    done = run(os.path.join(NFL, "model.json"), "-", "--format", "csv", "--features", NAMES,
               stdin="down\n1\n2\nx\n4\n")
    assert done.returncode == 1 and len(done.stdout.splitlines()) == 2, done


@test
def every_kernel_gives_the_published_bits_and_an_unknown_one_is_refused(_):
    words = (os.path.join(NFL, "model.json"), os.path.join(NFL, "input.tsv"), "--no-header",
             "--output", "margin")
    theirs = published("nfl-wp", "xgb174_margin.tsv")
    names = refused(1, *words, "--kernel", "no such").split("there are ")[1].strip().split(", ")
    assert {"auto", "pack8"} <= set(names), names
    for name in names:
        same_bits(scored(*words, "--kernel", name), theirs)
    os.environ["AUGURY_KERNEL"] = "wide"
    try:
        assert '"wide"' in refused(1, *words)
        same_bits(scored(*words, "--kernel", "auto"), theirs)
    finally:
        del os.environ["AUGURY_KERNEL"]


@test
def wrong_words_are_usage(_):
    model = os.path.join(NFL, "model.json")
    for words in ((), (model,), (model, "a.csv", "b.csv"), (model, "rows.unknown"),
                  (model, "a.csv", "--output", "x"),
                  (model, "a.csv", "--format", "x"), (model, "a.csv", "--skip-columns", "-1"),
                  (model, "a.csv", "--nonsense")):
        assert "Usage: augury predict" in refused(2, *words)
    assert "/nonexistent" in refused(1, "/nonexistent", "a.csv")
    assert "/nonexistent" in refused(1, model, "/nonexistent.csv")
    assert "no leaves" in refused(1, os.path.join(LINEAR, "model.json"),
                                os.path.join(AGARICUS, "input.libsvm"),
                                "--output", "leaf")
    assert refused(1, os.path.join(NFL, "input.tsv"), os.path.join(NFL, "input.tsv")) != ""


@test
def memory_does_not_grow_with_the_file(folder):
    path = os.path.join(folder, "long.tsv")
    lines = "".join("\t".join(row) + "\n" for row in nfl_rows())
    with open(path, "w", encoding="ascii") as file:
        for _ in range(150):
            file.write(lines)
    out_path = os.path.join(folder, "out")
    # The peak of a child counts from before its exec: the parent has to be small.
    measure = ("import resource, subprocess, sys\n"
               "with open(sys.argv[1], 'wb') as out:\n"
               "    subprocess.run(sys.argv[2:], stdout=out, check=True)\n"
               "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n")
    done = subprocess.run([sys.executable, "-S", "-E", "-c", measure, out_path, AUGURY, "predict",
                           os.path.join(NFL, "model.json"), path, "--no-header"],
                          capture_output=True, text=True, check=True)
    with open(out_path, encoding="ascii") as out:
        assert sum(1 for _ in out) == 150000
    limit_kb = 512 * 1024 if os.environ.get("ASAN_OPTIONS") else 32 * 1024
    assert int(done.stdout) < limit_kb, done.stdout


@test
def a_number_is_no_code_where_the_levels_are_numbers(folder):
    model = os.path.join(DATA, "models", "categorical.json")
    rows = os.path.join(folder, "rows.csv")
    schema = os.path.join(folder, "schema.json")

    def with_levels(levels, cell):
        with open(schema, "w", encoding="utf-8") as file:
            json.dump({"features": [{"name": "team", "type": "category", "levels": levels},
                                    {"name": "x"}]}, file)
        with open(rows, "w", encoding="utf-8") as file:
            file.write(f"team,x\n{cell},0\n")
        return run(model, rows, "--schema", schema)

    assert with_levels(["a", "b", "c"], "1").stdout == "2.0\n"  # the code of b
    assert with_levels(["1", "2", "3"], "1").stdout == "1.0\n"  # a level, whose code is 0
    for missing in ("nan", ""):
        assert with_levels(["1", "2", "3"], missing).stdout == "2.0\n"
    done = with_levels(["1", "2", "3"], "1.0")  # the level 1, or the code of the level 2?
    assert done.returncode == 1 and '"1", "2", "3"' in done.stderr, done


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.exit(run_tests())
