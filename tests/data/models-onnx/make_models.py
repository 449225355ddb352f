#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes the ONNX models of this folder and rows around their thresholds. Needs python3-onnx.

Usage: make_models.py FOLDER. What onnxruntime answers is then written by answer.js. Every model is
made of random trees or weights from a fixed seed, each of one trait (its name).
"""
import math
import os
import random
import struct
import sys

import onnx
from onnx import TensorProto, helper

ROWS = 40
FEATURES = 4
ML = "ai.onnx.ml"
MODES5 = [
    "BRANCH_LEQ",
    "BRANCH_LT",
    "BRANCH_GTE",
    "BRANCH_GT",
    "BRANCH_EQ",
    "BRANCH_NEQ",
    "BRANCH_MEMBER",
]


def f32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def next_f32(x, up):
    """The neighbour of a float32."""
    if math.isinf(x):
        return x
    if x == 0.0:
        return math.copysign(1.401298464324817e-45, 1 if up else -1)
    bits = struct.unpack("i", struct.pack("f", x))[0]
    return struct.unpack("f", struct.pack("i", bits + (1 if (x > 0) == up else -1)))[0]


class Forest:
    """Random trees as lists of nodes: (mode, feature, threshold, tracks, true, false, members), or
    of a leaf ("LEAF", weights by output)."""

    def __init__(
        self,
        seed,
        trees=12,
        outputs=1,
        modes=("BRANCH_LEQ",),
        per_tree=True,
        is_positive=False,
        is_double=False,
        is_category=False,
        inner=9,
    ):
        self.random = random.Random(seed)
        self.outputs = outputs
        self.is_double = is_double
        self.is_category = is_category
        self.is_positive = is_positive
        self.modes = modes
        self.trees = [self.grow(i % outputs if per_tree else None, inner) for i in range(trees)]

    def number(self, x):
        return x if self.is_double else f32(x)

    def threshold(self, mode):
        if self.is_category:
            return float(self.random.randrange(6))
        special = [0.0, -0.0, math.inf, -math.inf, 1.0, 0.1, -2.5]
        x = self.random.choice(special) if self.random.random() < 0.15 else self.random.gauss(0, 1)
        return self.number(x)

    def leaf(self, output):
        draw = (
            (lambda: self.number(self.random.random()))
            if self.is_positive
            else (lambda: self.number(self.random.gauss(0, 0.5)))
        )
        wanted = [output] if output is not None else range(self.outputs)
        return ("LEAF", {k: draw() for k in wanted})

    def grow(self, output, inner):
        nodes = [None]
        open_nodes = [0]
        for _ in range(inner):
            at = open_nodes.pop(self.random.randrange(len(open_nodes)))
            mode = self.random.choice(self.modes)
            members = sorted(self.random.sample(range(8), 3))
            nodes[at] = (
                mode,
                self.random.randrange(FEATURES),
                self.threshold(mode),
                self.random.random() < 0.5,
                len(nodes),
                len(nodes) + 1,
                members,
            )
            open_nodes += [len(nodes), len(nodes) + 1]
            nodes += [None, None]
        for at in open_nodes:
            nodes[at] = self.leaf(output)
        return nodes

    def rows(self):
        """Thresholds, their neighbours, missing and infinite values."""
        pool = [[] for _ in range(FEATURES)]
        for tree in self.trees:
            for node in tree:
                if node[0] != "LEAF":
                    pool[node[1]].append(node[2])
        return [[self.cell(pool[i]) for i in range(FEATURES)] for _ in range(ROWS)]

    def cell(self, pool):
        kind = self.random.randrange(10)
        if kind == 0:
            return math.nan
        if self.is_category:
            return float(self.random.randrange(9))
        if kind == 1:
            return self.random.choice([math.inf, -math.inf, 0.0, -0.0])
        if kind > 6 or not pool:
            return self.number(self.random.gauss(0, 1))
        x = self.random.choice(pool)
        if kind < 4 and not math.isinf(x):
            up = kind == 2
            return (
                math.nextafter(x, math.inf if up else -math.inf)
                if self.is_double
                else next_f32(x, up)
            )
        return x


def tensor(name, numbers, is_double):
    kind = TensorProto.DOUBLE if is_double else TensorProto.FLOAT
    return helper.make_tensor(name, kind, [len(numbers)], numbers)


def listed(forest, prefix, as_tensor=False, only=None, shuffle=False):
    """Attributes of the operators of ai.onnx.ml 1 to 3. only: the class id of every weight."""
    nodes, weights = [], []
    for number, tree in enumerate(forest.trees):
        for at, node in enumerate(tree):
            if node[0] == "LEAF":
                nodes.append((number, at, "LEAF", 0, 0.0, 0, 0, 0))
                weights += [
                    (number, at, k if only is None else only, w) for k, w in node[1].items()
                ]
            else:
                mode, feature, threshold, tracks, yes, no, _ = node
                nodes.append((number, at, mode, feature, threshold, yes, no, int(tracks)))
    if shuffle:
        forest.random.shuffle(weights)
    out = dict(
        nodes_treeids=[n[0] for n in nodes],
        nodes_nodeids=[n[1] for n in nodes],
        nodes_modes=[n[2] for n in nodes],
        nodes_featureids=[n[3] for n in nodes],
        nodes_truenodeids=[n[5] for n in nodes],
        nodes_falsenodeids=[n[6] for n in nodes],
        nodes_missing_value_tracks_true=[n[7] for n in nodes],
    )
    values, numbers = [n[4] for n in nodes], [w[3] for w in weights]
    if as_tensor:
        out["nodes_values_as_tensor"] = tensor("v", values, True)
        out[prefix + "_weights_as_tensor"] = tensor("w", numbers, True)
    else:
        out["nodes_values"] = values
        out[prefix + "_weights"] = numbers
    out[prefix + "_treeids"] = [w[0] for w in weights]
    out[prefix + "_nodeids"] = [w[1] for w in weights]
    out[prefix + "_ids"] = [w[2] for w in weights]
    return out


def listed5(forest):
    """Attributes of TreeEnsemble: inner nodes and leaves apart."""
    roots, nodes, leaves, members = [], [], [], []
    for tree in forest.trees:
        where = {}
        for at, node in enumerate(tree):
            if node[0] == "LEAF":
                where[at] = len(leaves)
                ((output, weight),) = node[1].items()
                leaves.append((output, weight))
            else:
                where[at] = len(nodes)
                nodes.append((tree, at))
        roots.append(where[0])
        for k in range(len(nodes)):
            if isinstance(nodes[k][0], list) and nodes[k][0] is tree:
                node = tree[nodes[k][1]]
                nodes[k] = (
                    node,
                    where[node[4]],
                    tree[node[4]][0] == "LEAF",
                    where[node[5]],
                    tree[node[5]][0] == "LEAF",
                )
    for node, *_ in nodes:
        if node[0] == "BRANCH_MEMBER":
            members += [float(m) for m in node[6]] + [math.nan]
    out = dict(
        tree_roots=roots,
        nodes_featureids=[n[0][1] for n in nodes],
        nodes_truenodeids=[n[1] for n in nodes],
        nodes_trueleafs=[int(n[2]) for n in nodes],
        nodes_falsenodeids=[n[3] for n in nodes],
        nodes_falseleafs=[int(n[4]) for n in nodes],
        nodes_missing_value_tracks_true=[int(n[0][3]) for n in nodes],
        nodes_splits=tensor("s", [n[0][2] for n in nodes], forest.is_double),
        nodes_modes=helper.make_tensor(
            "m", TensorProto.UINT8, [len(nodes)], [MODES5.index(n[0][0]) for n in nodes]
        ),
        leaf_targetids=[leaf[0] for leaf in leaves],
        leaf_weights=tensor("w", [leaf[1] for leaf in leaves], forest.is_double),
    )
    if members:
        out["membership_values"] = tensor("b", members, forest.is_double)
    return out


def model(
    nodes, scores, ml=3, is_double=False, labels=None, inputs=None, width=FEATURES, initializers=()
):
    kind = TensorProto.DOUBLE if is_double else TensorProto.FLOAT
    inputs = inputs or [helper.make_tensor_value_info("X", kind, [None, width])]
    outputs = [helper.make_tensor_value_info(labels, TensorProto.INT64, [None])] if labels else []
    outputs.append(helper.make_tensor_value_info(scores[0], scores[1], [None, scores[2]]))
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    return helper.make_model(
        graph,
        producer_name="augury-tests",
        producer_version="1",
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 15), helper.make_opsetid(ML, ml)],
    )


def op(name, inputs, outputs, **attributes):
    node = helper.make_node(name, inputs, outputs, domain=ML if name not in PLAIN else "")
    for key, value in attributes.items():
        node.attribute.append(helper.make_attribute(key, value))
    return node


PLAIN = {"Cast", "Identity", "Sigmoid", "Softmax", "Exp", "Concat", "ArgMax"}
F = TensorProto.FLOAT


def regressor(forest, post=(), **extra):
    ml_double = extra.pop("x_double", False)
    attributes = listed(forest, "target", as_tensor=forest.is_double, shuffle=True)
    node = op(
        "TreeEnsembleRegressor", ["X"], ["Y"], n_targets=forest.outputs, **attributes, **extra
    )
    nodes, head = [node], "Y"
    for name in post:
        nodes.append(op(name, [head], [head + name]))
        head += name
    return (
        model(nodes, (head, F, forest.outputs), is_double=forest.is_double or ml_double),
        forest.rows(),
    )


def classifier(forest, labels, post=(), only=None, ml=3, ends=True, **extra):
    attributes = listed(forest, "class", as_tensor=forest.is_double, only=only)
    key = "classlabels_strings" if isinstance(labels[0], str) else "classlabels_int64s"
    node = op(
        "TreeEnsembleClassifier", ["X"], ["label", "scores"], **{key: labels}, **attributes, **extra
    )
    nodes, head = [node], "scores"
    for name in post:
        nodes.append(
            op(name, [head], [head + name], **({"norm": "L1"} if name == "Normalizer" else {}))
        )
        head += name
    if ends and not isinstance(labels[0], str):
        nodes.append(op("Cast", ["label"], ["label_out"], to=TensorProto.INT64))
    return model(nodes, (head, F, len(labels)), is_double=forest.is_double, ml=ml), forest.rows()


def ensemble(forest, post=None, **extra):
    kind = TensorProto.DOUBLE if forest.is_double else F
    nodes = [op("TreeEnsemble", ["X"], ["Y"], n_targets=forest.outputs, **listed5(forest), **extra)]
    nodes += [op(post, ["Y"], ["Z"])] if post else []
    scores = ("Z" if post else "Y", kind, forest.outputs)
    return model(nodes, scores, is_double=forest.is_double, ml=5), forest.rows()


def linear(seed, outputs, mirrored=False):
    rng = random.Random(seed)
    rows = [[f32(rng.gauss(0, 1)) for _ in range(FEATURES)] for _ in range(outputs)]
    bias = [f32(rng.gauss(0, 1)) for _ in range(outputs)]
    if mirrored:
        rows[0], bias[0] = [-w for w in rows[1]], -bias[1]
    data = [[f32(rng.gauss(0, 2)) for _ in range(FEATURES)] for _ in range(ROWS)]
    return [w for row in rows for w in row], bias, data


def linear_regressor(seed, outputs):
    weights, bias, rows = linear(seed, outputs)
    node = op(
        "LinearRegressor", ["X"], ["Y"], coefficients=weights, intercepts=bias, targets=outputs
    )
    return model([node], ("Y", F, outputs), ml=1), rows


def linear_classifier(seed, labels, transform, mirrored=False):
    """As converters write logistic regression: probabilities that are normalised once more."""
    weights, bias, rows = linear(seed, len(labels), mirrored)
    nodes = [
        op(
            "LinearClassifier",
            ["X"],
            ["label", "raw"],
            coefficients=weights,
            intercepts=bias,
            classlabels_ints=labels,
            multi_class=1,
            post_transform=transform,
        ),
        op("Normalizer", ["raw"], ["scores"], norm="L1"),
    ]
    return model(nodes, ("scores", F, len(labels)), ml=1), rows


def imputed(seed):
    forest = Forest(seed, modes=("BRANCH_LEQ", "BRANCH_GT"))
    nodes = [
        op(
            "Imputer",
            ["X"],
            ["filled"],
            imputed_value_floats=[0.5, -0.25, 0.0, 1.5],
            replaced_value_float=math.nan,
        ),
        op("TreeEnsembleRegressor", ["filled"], ["Y"], n_targets=1, **listed(forest, "target")),
    ]
    return model(nodes, ("Y", F, 1)), forest.rows()


def scaled_trees(seed):
    """As a pipeline of an imputer, a scaler and trees; one column is turned around."""
    forest = Forest(seed, modes=ORDER, trees=30)
    offset, scale = [0.1, -1.0, 0.0, 1000.3], [1.7, -0.3, 1e-20, 3.0]
    nodes = [
        op("Imputer", ["X"], ["filled"], imputed_value_floats=[0.5], replaced_value_float=math.nan),
        op("Scaler", ["filled"], ["scaled"], offset=offset, scale=scale),
        op(
            "TreeEnsembleRegressor",
            ["scaled"],
            ["Y"],
            n_targets=1,
            **listed(forest, "target"),
        ),
    ]
    rows = forest.rows()
    for row in rows:  # so that scaled values meet the thresholds
        for i in range(FEATURES):
            if forest.random.random() < 0.7 and math.isfinite(row[i]):
                row[i] = f32(row[i] / f32(scale[i]) + f32(offset[i]))
    return model(nodes, ("Y", F, 1)), rows


def scaled_linear(seed, is_imputed):
    """As a pipeline of a scaler and logistic regression, with an imputer behind or without."""
    weights, bias, rows = linear(seed, 2, True)
    nodes = [
        op("Scaler", ["X"], ["scaled"], offset=[0.5, 0.0, -1.0, 2.0], scale=[2.0, 1.5, 0.1, 1.0])
    ]
    if is_imputed:
        nodes.append(
            op(
                "Imputer",
                ["scaled"],
                ["filled"],
                imputed_value_floats=[0.5, 1.0, 0.0, -1.0],
                replaced_value_float=math.nan,
            )
        )
        for row in rows[::3]:
            row[1] = math.nan
    nodes.append(
        op(
            "LinearClassifier",
            ["filled" if is_imputed else "scaled"],
            ["label", "raw"],
            coefficients=weights,
            intercepts=bias,
            classlabels_ints=[0, 1],
            post_transform="LOGISTIC",
        )
    )
    nodes.append(op("Normalizer", ["raw"], ["scores"], norm="L1"))
    return model(nodes, ("scores", F, 2), ml=1), rows


def columns(seed):
    """Every column an input of its own, as from a table of named columns."""
    forest = Forest(seed)
    names = ["age", "income", "tenure", "debt"]
    inputs = [helper.make_tensor_value_info(name, F, [None, 1]) for name in names]
    nodes = [
        op("Cast", ["income"], ["income_f"], to=F),
        op("Concat", ["age", "income_f", "tenure", "debt"], ["X"], axis=1),
        op("TreeEnsembleRegressor", ["X"], ["Y"], n_targets=1, **listed(forest, "target")),
    ]
    return model(nodes, ("Y", F, 1), inputs=inputs), forest.rows()


ORDER = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT")
EQUAL = ("BRANCH_EQ", "BRANCH_NEQ")
MODELS = {
    "regressor-leq": lambda: regressor(Forest(1)),
    "regressor-modes": lambda: regressor(Forest(2, trees=30, modes=ORDER)),
    "regressor-vectors": lambda: regressor(
        Forest(3, outputs=3, per_tree=False, modes=ORDER), base_values=[0.5, -1.0, 2.0]
    ),
    "regressor-targets": lambda: regressor(Forest(4, outputs=3)),
    "regressor-average": lambda: regressor(
        Forest(5), aggregate_function="AVERAGE", base_values=[0.75]
    ),
    "regressor-double": lambda: regressor(Forest(6, is_double=True, modes=ORDER)),
    "regressor-logistic": lambda: regressor(Forest(7, outputs=2), post_transform="LOGISTIC"),
    "regressor-sigmoid": lambda: regressor(Forest(12), post=("Identity", "Sigmoid")),
    "regressor-softmax": lambda: regressor(Forest(13, outputs=4), post=("Softmax",)),
    "regressor-exp": lambda: regressor(Forest(8), post=("Exp",)),
    "regressor-categories": lambda: regressor(Forest(9, modes=EQUAL, is_category=True)),
    "regressor-imputed": lambda: imputed(10),
    "regressor-columns": lambda: columns(11),
    "regressor-scaled": lambda: scaled_trees(14),
    "classifier-binary": lambda: classifier(Forest(20), [0, 1], only=0, post_transform="LOGISTIC"),
    "classifier-binary-base": lambda: classifier(
        Forest(21), [0, 1], only=0, post_transform="LOGISTIC", base_values=[-0.5]
    ),
    "classifier-binary-one": lambda: classifier(
        Forest(22), [0, 1], only=1, post_transform="LOGISTIC"
    ),
    "classifier-binary-shares": lambda: classifier(
        Forest(23, is_positive=True, trees=2), [0, 1], only=0
    ),
    "classifier-binary-positive": lambda: classifier(
        Forest(24, is_positive=True, trees=2), [0, 1], only=0, post_transform="LOGISTIC"
    ),
    "classifier-softmax": lambda: classifier(
        Forest(25, outputs=3),
        ["ham", "spam", "neither"],
        post_transform="SOFTMAX",
        base_values=[0.1, 0.2, 0.3],
    ),
    "classifier-forest": lambda: classifier(
        Forest(26, outputs=3, per_tree=False, is_positive=True), [10, 20, 30]
    ),
    "classifier-two-columns": lambda: classifier(
        Forest(27, outputs=2, per_tree=False, is_positive=True), [0, 1]
    ),
    "classifier-ova": lambda: classifier(
        Forest(28, outputs=3), [0, 1, 2], post=("Normalizer",), post_transform="LOGISTIC"
    ),
    "classifier-double": lambda: classifier(
        Forest(29, is_double=True, outputs=3), [0, 1, 2], post_transform="SOFTMAX"
    ),
    "ensemble": lambda: ensemble(Forest(40, modes=ORDER, outputs=2)),
    "ensemble-members": lambda: ensemble(
        Forest(41, modes=EQUAL + ("BRANCH_MEMBER",), is_category=True)
    ),
    "ensemble-double": lambda: ensemble(
        Forest(42, modes=ORDER, is_double=True, outputs=2), post="Softmax"
    ),
    "ensemble-average": lambda: ensemble(Forest(43, modes=ORDER), aggregate_function=0),
    "linear-regressor": lambda: linear_regressor(60, 2),
    "linear-binary": lambda: linear_classifier(61, [0, 1], "LOGISTIC", mirrored=True),
    "linear-softmax": lambda: linear_classifier(62, [3, 4, 5], "SOFTMAX"),
    "linear-scaled": lambda: scaled_linear(64, False),
    "linear-imputed": lambda: scaled_linear(65, True),
    "linear-ova": lambda: linear_classifier(63, [3, 4, 5], "LOGISTIC"),
}


def text(x):
    return (
        "" if math.isnan(x) else "inf" if x == math.inf else "-inf" if x == -math.inf else repr(x)
    )


def main(folder):
    for name, make in MODELS.items():
        made, rows = make()
        with open(os.path.join(folder, name + ".onnx"), "wb") as out:
            out.write(made.SerializeToString(deterministic=True))
        with open(os.path.join(folder, name + ".rows.tsv"), "w", encoding="utf-8") as out:
            out.writelines("\t".join(text(x) for x in row) + "\n" for row in rows)


main(sys.argv[1])
