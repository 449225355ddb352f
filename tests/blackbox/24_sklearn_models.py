#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Models of scikit-learn, trained here, exported, answered by `augury predict`, and compared with
scikit-learn's own answers for rows that the export has not seen: within 1e-12 of the largest.
Speaks TAP."""
import csv
import json
import math
import os
import random
import subprocess
import sys
import warnings

import numpy

from foldertests import Skip, run_tests, test

SOURCE = os.environ.get("AUGURY_SOURCE", ".")
AUGURY = os.path.join(os.environ.get("AUGURY_BUILD", "."), "augury")
TABLES = os.path.join(SOURCE, "tests", "data", "tables")
EXPORTER = os.path.join(SOURCE, "etc", "export", "augury_sklearn.py")
TOLERANCE = 1e-12

sys.path.insert(0, os.path.dirname(EXPORTER))
try:
    import pandas
    from sklearn import compose, ensemble, feature_selection, impute, linear_model, neural_network
    from sklearn import pipeline, preprocessing, svm, tree
    from sklearn.feature_selection import VarianceThreshold
    import augury_sklearn
except ImportError as missing_library:
    augury_sklearn = None
    WHY = f"{missing_library.name} is not installed"
warnings.simplefilter("ignore")


def needs_sklearn(function):
    def run(folder):
        if augury_sklearn is None:
            raise Skip(WHY)
        function(folder)

    run.__name__ = function.__name__
    return test(run)


# ---- data --------------------------------------------------------------------------------------


def concrete():
    """Eight numbers, a strength, and its class of four."""
    table = numpy.genfromtxt(os.path.join(TABLES, "concrete.csv"), delimiter=",", skip_header=1)
    strength = table[:, 8]
    return table[:, :8], strength, numpy.digitize(strength, [20.0, 35.0, 50.0])


def titanic():
    """Numbers and texts, some missing; survived."""
    frame = pandas.read_csv(os.path.join(TABLES, "titanic.csv"))
    frame = frame.astype({"Pclass": float, "SibSp": float, "Parch": float})
    for name in ("Sex", "Cabin", "Embarked"):
        frame[name] = frame[name].astype(object)
    return frame.drop(columns=["Survived"]), frame["Survived"].to_numpy()


def fresh_rows(X, seed, with_missing=False):
    """Cells of other rows mixed, some a neighbour of what they were, as a float or a double."""
    chance = random.Random(seed)
    rows = []
    for _ in range(300):
        row = []
        for k in range(X.shape[1]):
            cell = float(X[chance.randrange(len(X)), k])
            single = numpy.float32(cell)
            up = float(numpy.nextafter(single, numpy.float32(numpy.inf)))
            cell = chance.choice([cell, cell, cell + chance.gauss(0.0, 1.0), float(single), up,
                                  (float(single) + up) / 2.0, math.nextafter(cell, math.inf)])
            row.append(math.nan if with_missing and chance.random() < 0.15 else cell)
        rows.append(row)
    return numpy.array(rows)


def threshold_rows(model, X):
    """Rows that meet the thresholds of a model's own document."""
    chance = random.Random(9)
    rows = []
    for made in augury_sklearn.document(model, X)["trees"][:20]:
        for child, feature, threshold in zip(made["left"], made["feature"], made["threshold"]):
            if child >= 0 and threshold is not None:
                for value in (threshold, math.nextafter(threshold, math.inf),
                              math.nextafter(threshold, -math.inf)):
                    row = X[chance.randrange(len(X))].copy()
                    row[feature] = value
                    rows.append(row)
    chance.shuffle(rows)
    return numpy.array(rows[:600])


# ---- asking both -------------------------------------------------------------------------------


def write_rows(path, names, rows):
    def text(cell):
        is_missing = cell is None or (isinstance(cell, float) and math.isnan(cell))
        return "" if is_missing else cell if isinstance(cell, str) else repr(float(cell))

    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([text(cell) for cell in row] for row in rows)


def augury(*words):
    return subprocess.run([AUGURY, "predict", *words], capture_output=True, text=True, check=False)


def ask_augury(folder, rows, names, output):
    path = os.path.join(folder, "rows.csv")
    write_rows(path, names, rows)
    done = augury(os.path.join(folder, "model.json"), path, "--output", output)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    return numpy.array([[float(cell) for cell in line.split("\t")] for line in lines])


def ask_sklearn(model, rows):
    if hasattr(model, "predict_proba"):
        answers, output = model.predict_proba(rows), "probabilities"
    elif hasattr(model, "decision_function"):
        answers, output = model.decision_function(rows), "margin"
    else:
        answers, output = model.predict(rows), "prediction"
    return numpy.asarray(answers, dtype=float).reshape(len(rows), -1), output


def compare(folder, model, X, rows):
    names = list(getattr(X, "columns", [f"f{i}" for i in range(X.shape[1])]))
    augury_sklearn.export(model, os.path.join(folder, "model.json"), X)
    want, output = ask_sklearn(model, rows)
    plain = rows.to_numpy(dtype=object) if hasattr(rows, "to_numpy") else rows
    got = ask_augury(folder, plain, names, output)
    assert got.shape == want.shape, (got.shape, want.shape)
    difference = numpy.abs(got - want).max() / numpy.abs(want).max()
    assert difference <= TOLERANCE, (type(model).__name__, difference)
    return got


def compare_all(folder, models, X, y, with_missing=False):
    for number, model in enumerate(models):
        model.fit(X, y)
        compare(folder, model, X, fresh_rows(X, number, with_missing))


# ---- trees -------------------------------------------------------------------------------------


@needs_sklearn
def forests_and_trees_answer_as_scikit_learn_does(folder):
    X, strength, grade = concrete()
    compare_all(folder, [
        ensemble.RandomForestRegressor(20, random_state=1),
        ensemble.ExtraTreesRegressor(20, random_state=1, max_depth=7),
        tree.DecisionTreeRegressor(random_state=1),
        tree.ExtraTreeRegressor(random_state=1),
    ], X, strength)
    compare_all(folder, [ensemble.RandomForestRegressor(10, random_state=1)], X,
                numpy.column_stack([strength, strength**2]))
    for classes in (grade, grade > 1):
        compare_all(folder, [
            ensemble.RandomForestClassifier(20, random_state=1, class_weight="balanced"),
            ensemble.ExtraTreesClassifier(20, random_state=1, max_leaf_nodes=40),
            tree.DecisionTreeClassifier(random_state=1, max_depth=6),
        ], X, classes)


@needs_sklearn
def boosted_trees_answer_as_scikit_learn_does(folder):
    X, strength, grade = concrete()
    gbr, gbc = ensemble.GradientBoostingRegressor, ensemble.GradientBoostingClassifier
    compare_all(folder, [gbr(n_estimators=40, loss=loss) for loss in
                         ("squared_error", "absolute_error", "huber", "quantile")], X, strength)
    compare_all(folder, [gbr(n_estimators=20, init="zero")], X, strength)
    compare_all(folder, [gbc(n_estimators=20)], X, grade)
    compare_all(folder, [gbc(n_estimators=40), gbc(n_estimators=40, loss="exponential"),
                         gbc(n_estimators=10, init="zero")], X, grade > 1)


@needs_sklearn
def thresholds_and_their_neighbours_go_the_same_way(folder):
    X, strength, grade = concrete()
    for model in (ensemble.RandomForestClassifier(10, random_state=2),
                  ensemble.GradientBoostingRegressor(n_estimators=20),
                  ensemble.HistGradientBoostingRegressor(max_iter=20)):
        model.fit(X, strength if hasattr(model, "loss") else grade)
        rows = threshold_rows(model, X)
        assert len(rows) > 200, len(rows)
        compare(folder, model, X, rows)


@needs_sklearn
def histogram_boosting_answers_with_missing_values_and_categories(folder):
    X, strength, grade = concrete()
    hgr = ensemble.HistGradientBoostingRegressor
    hgc = ensemble.HistGradientBoostingClassifier
    holes = X.copy()
    holes[numpy.random.RandomState(3).rand(*X.shape) < 0.2] = numpy.nan
    compare_all(folder, [hgr(max_iter=40), hgr(max_iter=20, loss="poisson")], holes, strength, True)
    compare_all(folder, [hgc(max_iter=20)], holes, grade, True)
    compare_all(folder, [hgc(max_iter=20)], X, grade > 1, True)
    coded = numpy.column_stack([X, numpy.random.RandomState(4).randint(0, 12, len(X)), grade * 2.0])
    coded[::7, 8] = numpy.nan
    model = hgr(max_iter=30, categorical_features=[8, 9]).fit(coded, strength + coded[:, 9]**2)
    rows = fresh_rows(coded, 5)
    rows[:, 8:] = numpy.random.RandomState(6).randint(0, 20, (len(rows), 2))
    rows[::9, 8] = numpy.nan
    compare(folder, model, coded, rows)
    with open(os.path.join(folder, "model.json"), encoding="utf-8") as file:
        document = json.load(file)
    assert any(made["sets"] for made in document["trees"])


# ---- linear models and perceptrons -------------------------------------------------------------


@needs_sklearn
def linear_models_answer_as_scikit_learn_does(folder):
    X, strength, grade = concrete()
    lm = linear_model
    scaled = preprocessing.StandardScaler().fit_transform(X)
    compare_all(folder, [lm.LinearRegression(), lm.Ridge(), lm.Lasso(), lm.ElasticNet(),
                         lm.LinearRegression(fit_intercept=False), lm.HuberRegressor(),
                         lm.BayesianRidge(), lm.SGDRegressor(), svm.LinearSVR(),
                         lm.PoissonRegressor(), lm.GammaRegressor(), lm.TweedieRegressor(power=1.5),
                         lm.TweedieRegressor(power=0)], scaled, strength)
    compare_all(folder, [lm.Ridge(), lm.MultiTaskLasso()], scaled,
                numpy.column_stack([strength, strength * 2.0 + 1.0]))
    for classes in (grade, grade > 1):
        compare_all(folder, [lm.LogisticRegression(), lm.LogisticRegression(multi_class="ovr"),
                             lm.LogisticRegression(multi_class="multinomial"),
                             lm.LogisticRegression(solver="liblinear"),
                             lm.SGDClassifier(loss="log_loss"), lm.SGDClassifier(), lm.Perceptron(),
                             lm.RidgeClassifier(), svm.LinearSVC()], scaled, classes)


@needs_sklearn
def perceptrons_answer_as_scikit_learn_does(folder):
    X, strength, grade = concrete()
    scaled = preprocessing.StandardScaler().fit_transform(X)
    mlp = neural_network
    compare_all(folder, [mlp.MLPRegressor((16, 9), activation=name, max_iter=60, random_state=1)
                         for name in ("relu", "tanh", "logistic", "identity")], scaled, strength)
    for classes in (grade, grade > 1):
        model = mlp.MLPClassifier((20, ), max_iter=60, random_state=1)
        compare_all(folder, [model], scaled, classes)


# ---- pipelines ---------------------------------------------------------------------------------


def mixed_pipeline(final, **encoder):
    """What a table of numbers and texts is usually put through."""
    encoder = encoder or {"handle_unknown": "ignore"}
    numbers = pipeline.make_pipeline(impute.SimpleImputer(strategy="median", add_indicator=True),
                                     preprocessing.StandardScaler())
    texts = pipeline.make_pipeline(impute.SimpleImputer(strategy="most_frequent"),
                                   preprocessing.OneHotEncoder(**encoder))
    columns = compose.ColumnTransformer([("numbers", numbers, ["Age", "Fare", "SibSp"]),
                                         ("texts", texts, ["Sex", "Embarked"]),
                                         ("cabin", preprocessing.OneHotEncoder(), ["Cabin"]),
                                         ("class", "passthrough", ["Pclass"])])
    return pipeline.make_pipeline(columns, VarianceThreshold(), final)


def titanic_rows(frame, seed, texts=None):
    """Cells of other rows mixed; texts: other values for columns."""
    chance = numpy.random.RandomState(seed)
    rows = pandas.DataFrame({name: frame[name].to_numpy()[chance.randint(0, len(frame), 300)]
                             for name in frame.columns})
    for name in ("Sex", "Cabin", "Embarked"):
        rows[name] = rows[name].astype(object)
        if texts and name in texts:
            rows.loc[chance.rand(300) < 0.2, name] = texts[name]
    return rows


@needs_sklearn
def pipelines_of_numbers_and_texts_take_the_raw_features(folder):
    frame, survived = titanic()
    for final in (linear_model.LogisticRegression(max_iter=2000),
                  ensemble.RandomForestClassifier(20, random_state=1),
                  ensemble.GradientBoostingClassifier(n_estimators=20),
                  ensemble.HistGradientBoostingClassifier(max_iter=10),
                  neural_network.MLPClassifier((8, ), max_iter=50, random_state=1)):
        model = mixed_pipeline(final).fit(frame, survived)
        compare(folder, model, frame, titanic_rows(frame, 1, {"Embarked": "X", "Sex": "other"}))
    model = mixed_pipeline(linear_model.LogisticRegression(max_iter=2000), drop="first",
                           handle_unknown="error").fit(frame, survived)
    compare(folder, model, frame, titanic_rows(frame, 2))


@needs_sklearn
def ordinal_codes_missing_texts_and_unknown_texts_are_encoded(folder):
    frame, survived = titanic()
    for options in ({"unknown_value": -1}, {"unknown_value": math.nan},
                    {"unknown_value": -1, "encoded_missing_value": -2}):
        encoder = preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", **options)
        columns = compose.ColumnTransformer([
            ("texts", encoder, ["Sex", "Cabin", "Embarked", "Pclass"]),
            ("numbers", preprocessing.RobustScaler(), ["Age", "Fare"])])
        # As categories scikit-learn takes no negative codes.
        codes = None if options["unknown_value"] == -1 else [1, 2]
        final = ensemble.HistGradientBoostingClassifier(max_iter=20, categorical_features=codes)
        model = pipeline.make_pipeline(columns, final).fit(frame, survived)
        compare(folder, model, frame, titanic_rows(frame, 3, {"Cabin": "Z", "Sex": "other"}))


@needs_sklearn
def scalers_selectors_and_unions_are_followed(folder):
    X, strength, _ = concrete()
    union = pipeline.FeatureUnion([("clipped", preprocessing.MinMaxScaler((-1, 1), clip=True)),
                                   ("largest", preprocessing.MaxAbsScaler())])
    for final in (linear_model.Ridge(), ensemble.RandomForestRegressor(10, random_state=1)):
        model = pipeline.make_pipeline(
            impute.SimpleImputer(strategy="constant", fill_value=5.0), union,
            feature_selection.SelectKBest(feature_selection.f_regression, k=9), final)
        compare_all(folder, [model], X, strength, True)
    numbers = preprocessing.OneHotEncoder(handle_unknown="ignore")
    columns = compose.make_column_transformer((numbers, [7]), remainder="passthrough")
    compare_all(folder, [pipeline.make_pipeline(columns, linear_model.Ridge())], X, strength)


@needs_sklearn
def columns_that_the_pipeline_drops_may_hold_anything(folder):
    frame, survived = titanic()
    frame["Ticket"] = [f"PC {i}" if i % 3 else str(i) if i % 7 else math.nan
                       for i in range(len(frame))]
    numbers = pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler())
    encoder = preprocessing.OneHotEncoder(handle_unknown="ignore")
    columns = compose.make_column_transformer((numbers, ["Age", "Fare"]), (encoder, ["Sex"]))
    model = pipeline.make_pipeline(columns, linear_model.LogisticRegression())
    model.fit(frame, survived)
    compare(folder, model, frame, frame)


@needs_sklearn
def whole_numbers_in_a_column_of_objects_are_categories(folder):
    frame, survived = titanic()
    frame = pandas.DataFrame({"deck": (frame["Pclass"] * 10).astype(int).astype(object),
                              "Fare": frame["Fare"], "Sex": frame["Sex"]})
    encoder = preprocessing.OneHotEncoder(handle_unknown="ignore")
    columns = compose.make_column_transformer((encoder, ["deck", "Sex"]), remainder="passthrough")
    model = pipeline.make_pipeline(columns, tree.DecisionTreeClassifier(random_state=0))
    model.fit(frame, survived)
    compare(folder, model, frame, frame)


# ---- what is refused ---------------------------------------------------------------------------


@needs_sklearn
def a_document_with_one_changed_number_is_refused(folder):
    X, strength, grade = concrete()
    path = os.path.join(folder, "model.json")

    def refused(model, y, change):
        augury_sklearn.export(model.fit(X, y), path, X)
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        change(document)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file)
        write_rows(os.path.join(folder, "rows.csv"), [f"f{i}" for i in range(8)], X[:2])
        done = augury(path, os.path.join(folder, "rows.csv"))
        assert done.returncode != 0
        assert "self-test" in done.stderr or "expected" in done.stderr, done.stderr

    def change_leaf(document):
        made = document["trees"][3]
        leaf = max((node for node, child in enumerate(made["left"]) if child < 0),
                   key=lambda node: made["cover"][node])
        made["value"][leaf] += 1.0

    def change_weight(document):
        document["weights"][0][0] *= 1.0 + 1e-6

    refused(ensemble.RandomForestRegressor(5, random_state=1, max_depth=3), strength, change_leaf)
    boosted = ensemble.GradientBoostingClassifier(n_estimators=5, max_depth=2)
    refused(boosted, grade > 1, change_leaf)
    refused(linear_model.LinearRegression(), strength, change_weight)


@needs_sklearn
def what_cannot_be_exported_is_refused_by_name(folder):
    X, strength, grade = concrete()
    path = os.path.join(folder, "model.json")
    poly = pipeline.make_pipeline(preprocessing.PolynomialFeatures(2), linear_model.Ridge())
    for model, y, name in ((ensemble.AdaBoostRegressor(), strength, "AdaBoostRegressor"),
                           (svm.SVC(), grade, "SVC"), (poly, strength, "PolynomialFeatures"),
                           (ensemble.GradientBoostingRegressor(
                               init=linear_model.Ridge()), strength, "Ridge")):
        try:
            augury_sklearn.export(model.fit(X, y), path, X)
            raise AssertionError(f"{name} was exported")
        except augury_sklearn.Unsupported as why:
            assert name in str(why) and "supported" in str(why), why
        assert not os.path.exists(path)


@needs_sklearn
def rows_that_scikit_learn_does_not_take_are_refused_with_its_reason(folder):
    X, strength, _ = concrete()
    model = linear_model.Ridge().fit(X, strength)
    try:
        augury_sklearn.export(model, os.path.join(folder, "model.json"), X[:, :7])
        assert False, "rows of seven columns for a model of eight"
    except augury_sklearn.Unsupported as refusal:
        assert "8 features" in str(refusal), refusal


@needs_sklearn
def without_rows_the_self_test_is_drawn_from_the_model(folder):
    X, strength, grade = concrete()
    for model, y in ((ensemble.RandomForestClassifier(5, random_state=1), grade),
                     (linear_model.Ridge(), strength)):
        model.fit(X, y)
        augury_sklearn.export(model, os.path.join(folder, "model.json"))
        with open(os.path.join(folder, "model.json"), encoding="utf-8") as file:
            assert len(json.load(file)["self_test"]["rows"]) == 64
        got = ask_augury(folder, X[:50], [f"f{i}" for i in range(8)],
                         "probabilities" if hasattr(model, "classes_") else "prediction")
        assert numpy.abs(got - ask_sklearn(model, X[:50])[0]).max() <= 1e-10


@needs_sklearn
def a_joblib_file_is_exported_from_the_command_line(folder):
    import joblib
    frame, survived = titanic()
    model = mixed_pipeline(linear_model.LogisticRegression(max_iter=2000)).fit(frame, survived)
    joblib.dump(model, os.path.join(folder, "model.joblib"))
    done = subprocess.run([sys.executable, EXPORTER, os.path.join(folder, "model.joblib"),
                           os.path.join(TABLES, "titanic.csv"), os.path.join(folder, "model.json")],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = titanic_rows(frame, 4)
    got = ask_augury(folder, rows.to_numpy(dtype=object), list(frame.columns), "probabilities")
    assert numpy.abs(got - model.predict_proba(rows)).max() <= TOLERANCE


if __name__ == "__main__":
    sys.exit(run_tests())
