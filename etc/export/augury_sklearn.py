#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes a fitted scikit-learn model as augury's model JSON, which `augury model import` and
`augury predict` read.

    from augury_sklearn import export
    export(model, "model.json", X=some_rows)    # where the model is in memory: nothing is unpickled

    python3 augury_sklearn.py model.joblib X.csv model.json

The second form loads a pickle, which executes whatever code is in it: run it where the model was
made, on files of your own. Nothing of augury ever loads one.

One file; numpy and scikit-learn (0.24 or later) are enough. pandas is used when the model was
fitted with it. Read are
  RandomForest*, ExtraTrees*, DecisionTree*, ExtraTree*, GradientBoosting*,
  HistGradientBoosting*, linear models (coef_ and intercept_), LogisticRegression*, SGD*,
  generalised linear models, MLP*,
  and in front of them Pipeline, ColumnTransformer, FeatureUnion of StandardScaler, MinMaxScaler,
  MaxAbsScaler, RobustScaler, OneHotEncoder, OrdinalEncoder, SimpleImputer, feature selectors,
  "passthrough" and "drop".
Everything else raises Unsupported with the name of the class. The file carries 64 rows with what
scikit-learn answers for them; augury evaluates them when it imports the file and refuses the model
if it differs. docs/model-json.md describes the format."""
import csv
import json
import math
import random
import sys
import warnings

import numpy

FORMAT = "augury-model"
FORMAT_VERSION = 1
SELF_TEST_ROWS = 64
TOLERANCE = 1e-9


class Unsupported(ValueError):
    """A part of the model that the format has no word for."""


SUPPORTED = (
    "supported are RandomForest, ExtraTrees, DecisionTree, GradientBoosting and "
    "HistGradientBoosting, linear models, "
    "LogisticRegression, SGD and MLP, behind Pipeline or ColumnTransformer of StandardScaler, "
    "MinMaxScaler, "
    "MaxAbsScaler, RobustScaler, OneHotEncoder, OrdinalEncoder, SimpleImputer, selectors and "
    "passthrough"
)


def refuse(thing, why):
    raise Unsupported(f"{type(thing).__name__}: {why}; {SUPPORTED}")


def is_missing(value):
    return value is None or (isinstance(value, (float, numpy.floating)) and math.isnan(value))


def is_text(value):
    return isinstance(value, (str, numpy.str_))


def number(value):
    """A number of JSON, which has no infinities."""
    value = float(value)
    if not math.isfinite(value):
        raise Unsupported(f"the model holds {value}, which no prediction can use")
    return value


def border(threshold):
    """A threshold; null where every number goes left."""
    return None if threshold == math.inf else number(threshold)


def numbers(values):
    values = numpy.asarray(values, dtype=numpy.float64).ravel()
    if not numpy.isfinite(values).all():
        raise Unsupported("the model holds infinite numbers, which no prediction can use")
    return values.tolist()


# ---- features and what pipelines make of them --------------------------------------------------


class Feature:
    """A column of the caller's rows. levels: the texts that encoders know, by their codes."""

    def __init__(self, name):
        self.name = name
        self.levels = []
        self.is_category = False
        self.is_boolean = False
        self.is_object = False  # numbers in a column of objects: encoders compare what they saw
        self.refuses_unknown = False
        self.missing = None  # the object that scikit-learn takes for missing here
        self.allows_missing = False
        self.pool = set()  # numbers at which something changes

    def code(self, text):
        if text not in self.levels:
            self.levels.append(text)
        self.is_category = True
        return self.levels.index(text)

    def to_json(self):
        what = {"name": self.name, "type": "float", "missing": self.allows_missing}
        if self.levels:
            what.update(type="category", levels=self.levels)
            if not self.refuses_unknown:
                what["unknown"] = True
        elif self.is_category:
            what["type"] = "category"
        elif self.is_boolean:
            what["type"] = "boolean"
        return what


class Column:
    """One input of the estimator: a feature and what is done to it, step by step."""

    def __init__(self, feature, steps=(), fill=None):
        self.feature = feature
        self.steps = list(steps)
        self.fill = fill  # the text that stands for a missing one, until an encoder gives it a code

    def then(self, *steps):
        return Column(self.feature, self.steps + list(steps), self.fill)


def shift(columns, op, values):
    return [column.then([op, number(value)]) for column, value in zip(columns, values)]


def through_scaler(scaler, columns):
    kind = type(scaler).__name__
    if kind == "StandardScaler":
        if scaler.with_mean:
            columns = shift(columns, "subtract", scaler.mean_)
        return shift(columns, "divide", scaler.scale_) if scaler.with_std else columns
    if kind == "RobustScaler":
        if scaler.with_centering:
            columns = shift(columns, "subtract", scaler.center_)
        return shift(columns, "divide", scaler.scale_) if scaler.with_scaling else columns
    if kind == "MaxAbsScaler":
        return shift(columns, "divide", scaler.scale_)
    columns = shift(shift(columns, "multiply", scaler.scale_), "add", scaler.min_)
    if getattr(scaler, "clip", False):
        low, high = scaler.feature_range
        columns = [column.then(["clip", number(low), number(high)]) for column in columns]
    return columns


def through_imputer(imputer, columns):
    if not is_missing(imputer.missing_values):
        refuse(imputer, f"missing_values={imputer.missing_values!r} (only nan is read)")
    out = []
    for column, value in zip(columns, imputer.statistics_):
        if is_text(value):
            out.append(Column(column.feature, column.steps, str(value)))
        elif not is_missing(value):
            out.append(column.then(["fill", number(value)]))
        elif getattr(imputer, "keep_empty_features", False) or imputer.strategy == "constant":
            out.append(column.then(["fill", 0.0]))
    if imputer.indicator_ is not None:
        out += [columns[i].then(["is_missing"]) for i in imputer.indicator_.features_]
    return out


def known_values(column, categories):
    """The categories as numbers (of texts: codes; a missing one is None), the column so far."""
    feature = column.feature
    if not any(is_text(value) for value in categories):
        if feature.is_category and not column.steps:
            raise Unsupported(f"feature {feature.name}: one encoder reads texts, another numbers")
        feature.is_object |= numpy.asarray(categories).dtype == object
        known = [None if is_missing(value) else number(value) for value in categories]
        feature.pool.update(value for value in known if value is not None)
        return known, column
    if column.steps:
        raise Unsupported(f"feature {feature.name}: texts after a step for numbers")
    known = [None if is_missing(value) else float(feature.code(str(value))) for value in categories]
    if column.fill is not None:
        column = column.then(["fill", float(feature.code(column.fill))])
    return known, Column(feature, column.steps)


def through_one_hot(encoder, columns):
    if getattr(encoder, "_infrequent_enabled", False):
        refuse(encoder, "min_frequency and max_categories are not read")
    out = []
    drops = [None] * len(columns) if encoder.drop_idx_ is None else encoder.drop_idx_
    for column, categories, drop in zip(columns, encoder.categories_, drops):
        known, column = known_values(column, categories)
        column.feature.refuses_unknown |= encoder.handle_unknown == "error"
        out += [
            column.then(["is_missing"] if value is None else ["equals", value])
            for i, value in enumerate(known) if i != drop
        ]
    return out


def through_ordinal(encoder, columns):
    if getattr(encoder, "_infrequent_enabled", False):
        refuse(encoder, "min_frequency and max_categories are not read")
    allows_unknown = encoder.handle_unknown == "use_encoded_value"
    out = []
    for column, categories in zip(columns, encoder.categories_):
        known, column = known_values(column, categories)
        column.feature.refuses_unknown |= not allows_unknown
        places = {value: float(i) for i, value in enumerate(known) if value is not None}
        unknown = encoder.unknown_value if allows_unknown else None
        missing = getattr(encoder, "encoded_missing_value", None) if None in known else unknown
        table = sorted(places)
        out.append(
            column.then([
                "find", table, [places[value] for value in table],
                None if is_missing(unknown) else number(unknown),
                None if is_missing(missing) else number(missing)
            ]))
    return out


def through_columns(transformer, columns):
    out = []
    weights = transformer.transformer_weights or {}
    for name, inner, picked in transformer.transformers_:
        if isinstance(inner, str) and inner == "drop":
            continue
        places = getattr(transformer, "_transformer_to_input_indices", {}).get(name, picked)
        made = through(inner, [columns[i] for i in places])
        out += shift(made, "multiply", [weights[name]] * len(made)) if name in weights else made
    return out


def through(step, columns):
    """The columns that a fitted transformer makes of columns."""
    kind = type(step).__name__
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return columns
    if kind == "Pipeline":
        for _, inner in step.steps:
            columns = through(inner, columns)
        return columns
    if kind == "ColumnTransformer":
        return through_columns(step, columns)
    if kind == "FeatureUnion" and not step.transformer_weights:
        return [
            column for _, inner in step.transformer_list if inner != "drop"
            for column in through(inner, columns)
        ]
    if kind in ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler"):
        return through_scaler(step, columns)
    if kind == "SimpleImputer":
        return through_imputer(step, columns)
    if kind == "OneHotEncoder":
        return through_one_hot(step, columns)
    if kind == "OrdinalEncoder":
        return through_ordinal(step, columns)
    if kind == "FunctionTransformer" and step.func is None:
        return columns
    if hasattr(step, "get_support"):
        return [columns[i] for i in step.get_support(indices=True)]
    return refuse(step, "this step is not read")


# ---- estimators --------------------------------------------------------------------------------


def sklearn_version():
    import sklearn
    return tuple(int(part) for part in sklearn.__version__.split(".")[:2])


def class_names(estimator):
    return [str(name) for name in estimator.classes_]


def note_thresholds(columns, features, thresholds):
    """Numbers that the self-test should meet: where a feature reaches a tree as it is."""
    for index, threshold in zip(features, thresholds):
        if not columns[index].steps and math.isfinite(threshold):
            columns[index].feature.pool.add(float(threshold))


def plain_tree(tree, leaf_values, columns, output=0):
    """A tree of sklearn.tree; leaf_values: what each node answers (numbers, or a row each)."""
    left = tree.children_left.tolist()
    thresholds = tree.threshold.tolist()
    inner = numpy.flatnonzero(tree.children_left >= 0)
    note_thresholds(columns, tree.feature[inner].tolist(), tree.threshold[inner].tolist())
    what = {
        "output": output,
        "left": left,
        "right": tree.children_right.tolist(),
        "feature": numpy.maximum(tree.feature, 0).tolist(),
        "threshold": [0 if child < 0 else border(t) for child, t in zip(left, thresholds)],
        "value": [0 if child >= 0 else value for child, value in zip(left, leaf_values)],
        "cover": numbers(tree.weighted_n_node_samples),
    }
    sides = getattr(tree, "missing_go_to_left", None)
    if sides is not None and any(sides):
        what["missing_left"] = [int(side) for side in sides]
    return what


def forest(estimator, columns):
    trees = [estimator] if hasattr(estimator, "tree_") else list(estimator.estimators_)
    is_classifier = hasattr(estimator, "classes_")
    if is_classifier and estimator.n_outputs_ != 1:
        refuse(estimator, "several targets of classes")
    what = {"kind": "forest", "compare": "f32_le", "divisor": len(trees), "trees": []}
    width = len(estimator.classes_) if is_classifier else estimator.n_outputs_
    for each in trees:
        values = each.tree_.value[:, 0, :] if is_classifier else each.tree_.value[:, :, 0]
        if is_classifier and sklearn_version() < (1, 3):
            sums = values.sum(axis=1, keepdims=True)
            values = values / numpy.where(sums == 0.0, 1.0, sums)
        if is_classifier and width == 2:
            values = values[:, 1:]
        rows = numbers(values) if values.shape[1] == 1 else values.tolist()
        what["trees"].append(plain_tree(each.tree_, rows, columns))
    if is_classifier:
        what.update(classes=class_names(estimator), link="probability",
                    outputs=1 if width == 2 else width)
        if width == 1:
            refuse(estimator, "a single class")
    else:
        what.update(link="identity", outputs=width)
    return what


def gradient_boosting(estimator, columns):
    what = {"kind": "gbdt", "compare": "f32_le", "trees": []}
    rounds, outputs = estimator.estimators_.shape
    init = estimator.init_
    if not (isinstance(init, str)
            and init == "zero") and not type(init).__name__.startswith("Dummy"):
        refuse(estimator, f"init={type(init).__name__} (only the default or 'zero' is read)")
    what["init"] = numbers(
        estimator._raw_predict_init(numpy.zeros((1, estimator.n_features_in_),
                                                dtype=numpy.float32)))
    for i in range(rounds):
        for k in range(outputs):
            tree = estimator.estimators_[i, k].tree_
            leaves = numbers(estimator.learning_rate * tree.value[:, 0, 0])
            what["trees"].append(plain_tree(tree, leaves, columns, k))
    what["outputs"] = outputs
    if hasattr(estimator, "classes_"):
        what["classes"] = class_names(estimator)
        is_exponential = estimator.loss == "exponential"
        what["link"] = "softmax" if outputs > 1 else {
            "name": "sigmoid",
            "scale": 2.0 if is_exponential else 1.0
        }
    else:
        what["link"] = "identity"
    return what


def members_of(bitset):
    return [
        32 * i + bit for i, word in enumerate(bitset.tolist()) for bit in range(32)
        if word >> bit & 1
    ]


def hist_tree(estimator, predictor, known, columns, output):
    nodes = predictor.nodes
    inner = nodes[nodes["is_leaf"] == 0]
    is_number = inner["is_categorical"] == 0
    note_thresholds(columns, inner["feature_idx"][is_number], inner["num_threshold"][is_number])
    what = {
        "output": output,
        "left": [],
        "right": [],
        "feature": [],
        "threshold": [],
        "value": [],
        "missing_left": [],
        "cover": numbers(nodes["count"]),
        "sets": []
    }
    for i, node in enumerate(nodes):
        is_leaf = bool(node["is_leaf"])
        what["left"].append(-1 if is_leaf else int(node["left"]))
        what["right"].append(-1 if is_leaf else int(node["right"]))
        what["feature"].append(0 if is_leaf else int(node["feature_idx"]))
        what["value"].append(number(node["value"]) if is_leaf else 0)
        what["missing_left"].append(0 if is_leaf else int(node["missing_go_to_left"]))
        what["threshold"].append(
            0 if is_leaf or node["is_categorical"] else border(node["num_threshold"]))
        if not is_leaf and node["is_categorical"]:
            left = members_of(predictor.raw_left_cat_bitsets[node["bitset_idx"]])
            # What training never saw goes where a missing value goes: the set is the other side.
            side = "right" if node["missing_go_to_left"] else "left"
            members = left if side == "left" else sorted(
                set(known[int(node["feature_idx"])]) - set(left))
            what["sets"].append({"node": i, "side": side, "members": members})
    return what


def hist_known(estimator):
    """Feature -> the categories that training saw."""
    flags = estimator.is_categorical_
    if flags is None:
        return {}
    bitsets, places = estimator._bin_mapper.make_known_categories_bitsets()
    return {i: members_of(bitsets[places[i]]) for i, flag in enumerate(flags) if flag}


def hist_gradient_boosting(estimator, columns):
    preprocessor = getattr(estimator, "_preprocessor", None)
    if preprocessor is not None:
        columns[:] = through(preprocessor, columns)
    what = {
        "kind": "hgb",
        "compare": "le",
        "trees": [],
        "init": numbers(estimator._baseline_prediction)
    }
    what["outputs"] = estimator.n_trees_per_iteration_
    known = hist_known(estimator)
    for index in known:
        if not columns[index].steps:
            columns[index].feature.is_category = True
        columns[index].feature.pool.update(float(value) for value in known[index])
    for predictors in estimator._predictors:
        for k, predictor in enumerate(predictors):
            what["trees"].append(hist_tree(estimator, predictor, known, columns, k))
    if hasattr(estimator, "classes_"):
        what["classes"] = class_names(estimator)
        what["link"] = "softmax" if what["outputs"] > 1 else "sigmoid"
    else:
        what["link"] = "exp" if estimator.loss in ("poisson", "gamma") else "identity"
    return what


LINEAR_REGRESSORS = (
    "LinearRegression Ridge RidgeCV Lasso LassoCV ElasticNet ElasticNetCV Lars LarsCV LassoLars "
    "LassoLarsCV LassoLarsIC "
    "OrthogonalMatchingPursuit OrthogonalMatchingPursuitCV BayesianRidge ARDRegression "
    "HuberRegressor TheilSenRegressor "
    "QuantileRegressor SGDRegressor PassiveAggressiveRegressor LinearSVR MultiTaskLasso "
    "MultiTaskLassoCV MultiTaskElasticNet "
    "MultiTaskElasticNetCV").split()
LOG_REGRESSORS = ("PoissonRegressor", "GammaRegressor")
LINEAR_CLASSIFIERS = ("SGDClassifier LinearSVC RidgeClassifier RidgeClassifierCV Perceptron "
                      "PassiveAggressiveClassifier").split()


def linear_link(estimator, outputs):
    kind = type(estimator).__name__
    if kind in ("LogisticRegression", "LogisticRegressionCV"):
        multi = getattr(estimator, "multi_class", "auto")
        one_by_one = multi in ("ovr", "warn") or (multi in ("auto", "deprecated")
                                                  and estimator.solver == "liblinear")
        if outputs == 1:
            # Asked for "multinomial", two classes have the margins -m and m.
            return {"name": "sigmoid", "scale": 2.0 if multi == "multinomial" else 1.0}
        return "sigmoid_share" if one_by_one else "softmax"
    if kind == "SGDClassifier" and estimator.loss in ("log", "log_loss"):
        return "sigmoid" if outputs == 1 else "sigmoid_share"
    if kind in LOG_REGRESSORS:
        return "exp"
    if kind == "TweedieRegressor":
        auto = "identity" if estimator.power <= 0 else "log"
        power_link = auto if estimator.link == "auto" else estimator.link
        return {"log": "exp", "identity": "identity"}[power_link]
    return "identity"


def linear(estimator, columns):
    coef = numpy.atleast_2d(numpy.asarray(estimator.coef_, dtype=numpy.float64))
    bias = numpy.broadcast_to(
        numpy.atleast_1d(numpy.asarray(estimator.intercept_, dtype=numpy.float64)),
        (coef.shape[0], ))
    what = {
        "kind": "linear",
        "outputs": coef.shape[0],
        "weights": [numbers(row) for row in coef],
        "bias": numbers(bias),
        "link": linear_link(estimator, coef.shape[0])
    }
    if coef.shape[1] != len(columns):
        refuse(estimator, f"{coef.shape[1]} coefficients for {len(columns)} inputs")
    if hasattr(estimator, "classes_"):
        what["classes"] = class_names(estimator)
    return what


def perceptron(estimator):
    layers = [{
        "weights": [numbers(row) for row in weights.T],
        "bias": numbers(bias),
        "activation": estimator.activation
    } for weights, bias in zip(estimator.coefs_, estimator.intercepts_)]
    layers[-1]["activation"] = "identity"
    what = {"kind": "mlp", "outputs": estimator.n_outputs_, "layers": layers}
    what["link"] = {
        "identity": "identity",
        "logistic": "sigmoid",
        "softmax": "softmax"
    }[estimator.out_activation_]
    if hasattr(estimator, "classes_"):
        what["classes"] = class_names(estimator)
        if what["link"] == "sigmoid" and estimator.n_outputs_ > 1:
            refuse(estimator, "several labels at once")
    return what


def describe(estimator, columns):
    kind = type(estimator).__name__
    if not type(estimator).__module__.startswith("sklearn."):
        refuse(estimator, f"a class of {type(estimator).__module__}")
    if kind.startswith(("RandomForest", "ExtraTree", "DecisionTree")) and kind.endswith(
        ("Classifier", "Regressor")):
        return forest(estimator, columns)
    if kind in ("GradientBoostingClassifier", "GradientBoostingRegressor"):
        return gradient_boosting(estimator, columns)
    if kind in ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"):
        return hist_gradient_boosting(estimator, columns)
    if kind in ("MLPClassifier", "MLPRegressor"):
        return perceptron(estimator)
    if (kind in LINEAR_REGRESSORS or kind in LOG_REGRESSORS or kind in LINEAR_CLASSIFIERS
            or kind in ("LogisticRegression", "LogisticRegressionCV", "TweedieRegressor")):
        return linear(estimator, columns)
    return refuse(estimator, "this estimator is not read")


# ---- rows whose answers scikit-learn gives -----------------------------------------------------


def plain_cell(value):
    if value is None or is_text(value):
        return None if value is None else str(value)
    if isinstance(value, (bool, numpy.bool_)):
        return bool(value)
    try:
        return float(value)
    except (TypeError, ValueError):  # pandas.NA
        return None


def plain_rows(X, names):
    """A list of lists of float, str, bool and None, in the model's order of features."""
    if X is None:
        return []
    if hasattr(X, "columns") and names is not None:
        X = X[list(names)]
    if hasattr(X, "to_numpy"):
        X = X.to_numpy(dtype=object)
    return [[plain_cell(value) for value in row] for row in getattr(X, "toarray", lambda: X)()]


class Oracle:
    """The model, asked with plain rows."""

    def __init__(self, model, features, made):
        self.features = features
        self.has_names = hasattr(model, "feature_names_in_")
        self.complaint = None  # what scikit-learn said of the last row that it did not take
        if "classes" not in made:
            self.output, self.ask = "prediction", model.predict
        elif made["link"] == "identity":
            self.output, self.ask = "margin", model.decision_function
        else:
            self.output, self.ask = "probabilities", model.predict_proba

    def matrix(self, rows):
        cells = [[
            feature.missing if is_missing(cell) and feature.missing is not None else
            math.nan if cell is None else cell for feature, cell in zip(self.features, row)
        ] for row in rows]
        is_mixed = any(is_text(cell) or cell is None for row in cells for cell in row)
        if self.has_names:
            import pandas
            frame = pandas.DataFrame(cells, columns=[feature.name for feature in self.features])
            for feature in self.features:
                kind = bool if feature.is_boolean else float
                if feature.levels or feature.is_object:
                    kind = object
                frame[feature.name] = frame[feature.name].astype(kind)
            return frame
        return numpy.array(cells, dtype=object if is_mixed else numpy.float64)

    def answers(self, rows):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answers = numpy.asarray(self.ask(self.matrix(rows)), dtype=numpy.float64)
        return answers.reshape(len(rows), -1)

    def accepts(self, rows):
        try:
            is_finite = bool(numpy.isfinite(self.answers(rows)).all())
            self.complaint = self.complaint if is_finite else "its answer is no finite number"
            return is_finite
        except Exception as error:  # whatever scikit-learn raises for a row that it does not take
            self.complaint = f"{type(error).__name__}: {error}"
            return False

    def accepted(self, rows):
        """The rows that scikit-learn takes."""
        if not rows or self.accepts(rows):
            return rows
        return [row for row in rows if self.accepts([row])]


def find_missing(oracle, row):
    """Which features may be missing: scikit-learn is asked."""
    for feature in oracle.features:
        feature.missing = math.nan
    is_all = oracle.accepts([[None] * len(row)])
    for i, feature in enumerate(oracle.features):
        for missing in (math.nan, None) if feature.levels else (math.nan, ):
            feature.missing = missing
            if feature.is_boolean:
                break
            if is_all or oracle.accepts([row[:i] + [None] + row[i + 1:]]):
                feature.allows_missing = True
                break


def around(value):
    """The number, its neighbours, and those between which a float32 is rounded to another."""
    single = numpy.float32(value)
    up = numpy.nextafter(single, numpy.float32(numpy.inf))
    middle = (float(single) + float(up)) / 2
    return [
        value,
        math.nextafter(value, math.inf),
        math.nextafter(value, -math.inf),
        float(single),
        float(up), middle,
        math.nextafter(middle, -math.inf)
    ] if hasattr(math, "nextafter") else [value, float(single),
                                          float(up), middle]


def cell_for(feature, chance, drawn):
    """Another value of the feature, or the one it has."""
    if feature.levels:
        return chance.choice(feature.levels)
    if feature.is_boolean:
        return chance.random() < 0.5
    if feature.is_category and feature.pool:
        return chance.choice(sorted(feature.pool))
    if feature.pool:
        return chance.choice(around(chance.choice(sorted(feature.pool))))
    return chance.gauss(0.0, 1.0) if drawn is None else drawn


def drawn_row(features, chance, base):
    """Some cells of a row, the rest drawn; now and then a missing one or an unknown text."""
    row = [
        cell_for(feature, chance, None if is_missing(cell) else cell)
        if chance.random() < 0.5 or is_missing(cell) else cell
        for feature, cell in zip(features, base)
    ]
    for i, feature in enumerate(features):
        if feature.allows_missing and chance.random() < 0.1:
            row[i] = None
        elif feature.levels and not feature.refuses_unknown and chance.random() < 0.1:
            row[i] = "an unknown text"
    return row


def self_test_rows(oracle, sample):
    chance = random.Random(20)
    features = oracle.features
    rows = chance.sample(sample, min(len(sample), SELF_TEST_ROWS // 2))
    blank = [None] * len(features)
    start = [
        cell_for(feature, chance, None) if is_missing(cell) else cell
        for feature, cell in zip(features, rows[0] if rows else blank)
    ]
    find_missing(oracle, start)
    rows = oracle.accepted(rows)
    for _ in range(4):
        drawn = [drawn_row(features, chance, chance.choice(sample) if sample else blank)
                 for _ in range(SELF_TEST_ROWS - len(rows))]
        rows += oracle.accepted(drawn)
    if not rows:
        raise Unsupported("no row was found that the model answers" +
                          ("" if sample else ", and X gives none") + f" ({oracle.complaint})")
    return rows


def self_test(oracle, sample):
    rows = self_test_rows(oracle, sample)
    cells = [[None if is_missing(cell) else cell for cell in row] for row in rows]
    return {
        "output": oracle.output,
        "tolerance": TOLERANCE,
        "rows": cells,
        "expected": [numbers(row) for row in oracle.answers(rows)]
    }


# ---- the document ------------------------------------------------------------------------------


def feature_list(model, sample):
    names = getattr(model, "feature_names_in_", None)
    count = getattr(model, "n_features_in_", None)
    if names is None and count is None:
        raise Unsupported(f"{type(model).__name__} is not fitted")
    features = [
        Feature(str(name))
        for name in (names if names is not None else [f"f{i}" for i in range(count)])
    ]
    if sample and len(sample[0]) != len(features):
        raise Unsupported(
            f"X has {len(sample[0])} columns, the model reads {len(features)} features")
    for i, feature in enumerate(features):
        feature.is_boolean = bool(sample) and all(isinstance(row[i], bool) for row in sample)
    return features


def take_unread_texts(features, columns, sample):
    """Texts in a column that the model drops are welcome, whatever they say: a category whose one
    level is for the sake of its type. It is a number, so that "113803" in a file is a text too."""
    read = {id(column.feature) for column in columns}
    for i, feature in enumerate(features):
        if id(feature) not in read and any(is_text(row[i]) for row in sample):
            feature.code("0")
            for row in sample:
                row[i] = row[i] if is_text(row[i]) else None


def document(model, X=None):
    """The model as a dict."""
    import sklearn
    sample = plain_rows(X, getattr(model, "feature_names_in_", None))
    features = feature_list(model, sample)
    columns = [Column(feature) for feature in features]
    steps, estimator = [], model
    while type(estimator).__name__ == "Pipeline":
        steps += estimator.steps[:-1]
        estimator = estimator.steps[-1][1]
    for _, step in steps:
        columns = through(step, columns)
    what = describe(estimator, columns)
    take_unread_texts(features, columns, sample)
    bare = [i for i, feature in enumerate(features) if not feature.levels]
    if (any(column.fill is not None for column in columns)
            or any(is_text(row[i]) for row in sample[:1000] for i in bare)):
        raise Unsupported("texts reach the estimator without an encoder")
    made = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "source": f"scikit-learn {sklearn.__version__} {type(estimator).__name__}"
    }
    test = self_test(Oracle(model, features, what), sample)
    made["features"] = [feature.to_json() for feature in features]
    if [(column.feature, column.steps) for column in columns] != [(f, []) for f in features]:
        places = {id(feature): i for i, feature in enumerate(features)}
        made["inputs"] = [{"feature": places[id(column.feature)], "steps": column.steps}
                          for column in columns]
    made.update(what)
    made["self_test"] = test
    return made


def export(model, path, X=None):
    """Writes a fitted model to path. X: rows as predict() takes them, for the self-test."""
    # dumps() and not dump(), which is written in Python and takes ten times as long.
    text = json.dumps(document(model, X), separators=(",", ":"), ensure_ascii=False,
                      allow_nan=False)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text + "\n")


def read_csv(path, names):

    def cell(text):
        if text.strip() == "":
            return None
        try:
            return float(text)
        except ValueError:
            return text

    with open(path, newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    head, rows = lines[0], [[cell(text) for text in line] for line in lines[1:] if line]
    if names is None:
        return rows
    missing = [name for name in names if name not in head]
    if missing:
        raise Unsupported(f"{path} has no column {missing[0]!r}")
    places = [head.index(name) for name in names]
    return [[row[place] for place in places] for row in rows]


def main(words):
    if len(words) != 4:
        sys.stderr.write("usage: augury_sklearn.py model.joblib X.csv out.json\n"
                         "(loads a pickle, which runs its code: only for files of your own)\n")
        return 2
    import joblib
    model = joblib.load(words[1])
    try:
        export(model, words[3], read_csv(words[2], getattr(model, "feature_names_in_", None)))
    except Unsupported as why:
        print(f"augury_sklearn.py: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
