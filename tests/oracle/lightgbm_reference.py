#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Reference answers for LightGBM text models, by the plainest evaluation in Python: the rules of
LightGBM's Tree::Predict() read aloud, sharing nothing with augury.

    lightgbm_reference.py FOLDER...   for each folder with a model.txt: writes input.tsv (hard
                                      values around the model's own thresholds) and
                                      reference_{margin,prediction,leaf}.tsv
    lightgbm_reference.py --make TOP  writes the made-* models below TOP, each of one trait, then
                                      does the same for them
"""
import math
import os
import random
import sys

ZERO = 1.0000000180025095e-35  # the float 1e-35, widened
ROWS = 120


# ---- reading -----------------------------------------------------------------------------------


def numbers(text):
    return [float(word) for word in text.split()]


def integers(text):
    return [int(word) for word in text.split()]


class Tree:
    def __init__(self, fields):
        leaves = int(fields["num_leaves"])
        self.leaf_value = numbers(fields["leaf_value"])
        self.is_linear = fields.get("is_linear", "0") == "1"
        self.feature, self.threshold, self.decision, self.left, self.right = [], [], [], [], []
        if leaves > 1:
            self.feature = integers(fields["split_feature"])
            self.threshold = numbers(fields["threshold"])
            self.decision = integers(fields["decision_type"])
            self.left = integers(fields["left_child"])
            self.right = integers(fields["right_child"])
        self.sets = []
        if int(fields["num_cat"]) > 0:
            ends = integers(fields["cat_boundaries"])
            words = integers(fields["cat_threshold"])
            for first, end in zip(ends, ends[1:]):
                self.sets.append(
                    {
                        32 * i + bit
                        for i, word in enumerate(words[first:end])
                        for bit in range(32)
                        if word >> bit & 1
                    }
                )
        if self.is_linear:
            self.const = numbers(fields["leaf_const"])
            features = iter(integers(fields["leaf_features"]))
            coefficients = iter(numbers(fields["leaf_coeff"]))
            self.terms = [
                [(next(features), next(coefficients)) for _ in range(count)]
                for count in integers(fields["num_features"])
            ]

    def goes_left(self, node, x):
        decision = self.decision[node]
        if decision & 1:
            if math.isnan(x) or abs(x) >= 2**31:
                return False
            return int(x) in self.sets[int(self.threshold[node])]  # int() cuts towards 0
        missing = decision >> 2 & 3
        if math.isnan(x) and missing != 2:
            x = 0.0
        if (missing == 1 and -ZERO <= x <= ZERO) or (missing == 2 and math.isnan(x)):
            return decision & 2 != 0
        return x <= self.threshold[node]

    def leaf(self, row):
        if not self.left:
            return 0
        node = 0
        while node >= 0:
            node = (
                self.left[node]
                if self.goes_left(node, row[self.feature[node]])
                else self.right[node]
            )
        return ~node

    def predict(self, row):
        leaf = self.leaf(row)
        if not self.is_linear:
            return self.leaf_value[leaf]
        output = self.const[leaf]
        for feature, coefficient in self.terms[leaf]:
            if math.isnan(row[feature]):
                return self.leaf_value[leaf]
            output += coefficient * row[feature]
        return output


def read(row):
    """A row as LightGBM's predictor copies it."""
    return [0.0 if abs(x) <= ZERO else x for x in row]


class Model:
    def __init__(self, text):
        head, *blocks = (
            text.replace("\r\n", "\n")
            .split("end of trees")[0]
            .split("feature importances:")[0]
            .split("\nTree=")
        )
        self.fields = dict(
            line.split("=", 1) if "=" in line else (line, "") for line in head.split("\n") if line
        )
        self.outputs = int(self.fields["num_tree_per_iteration"])
        self.features = int(self.fields["max_feature_idx"]) + 1
        self.trees = [
            Tree(dict(line.split("=", 1) for line in block.split("\n")[1:] if line))
            for block in blocks
        ]
        self.objective = self.fields.get("objective", "none").split()

    def margins(self, row):
        row = read(row)
        sums = [0.0] * self.outputs
        for i, tree in enumerate(self.trees):
            sums[i % self.outputs] += tree.predict(row)
        if "average_output" in self.fields:
            sums = [total / (len(self.trees) // self.outputs) for total in sums]
        return sums

    def predictions(self, margins):
        name = self.objective[0]
        scale = float(
            next((word[8:] for word in self.objective if word.startswith("sigmoid:")), "1")
        )
        if name == "multiclass":
            greatest = max(margins)
            parts = [math.exp(margin - greatest) for margin in margins]
            return [part / sum(parts) for part in parts]
        if name in ("binary", "multiclassova", "cross_entropy"):
            return [1 / (1 + math.exp(-scale * margin)) for margin in margins]
        if name == "cross_entropy_lambda":
            return [math.log1p(math.exp(margin)) for margin in margins]
        if name in ("poisson", "gamma", "tweedie"):
            return [math.exp(margin) for margin in margins]
        if "sqrt" in self.objective:
            return [math.copysign(margin * margin, margin) for margin in margins]
        return margins


# ---- rows --------------------------------------------------------------------------------------


def hard_values(model, feature):
    """Values at which a decision about the feature may turn, and some between."""
    values = [
        0.0,
        -0.0,
        1e-36,
        -1e-36,
        ZERO,
        -ZERO,
        math.nextafter(ZERO, 1),
        1.0,
        -1.0,
        math.nan,
        math.nan,
    ]
    for tree in model.trees:
        for node, used in enumerate(tree.feature):
            if used != feature:
                continue
            if tree.decision[node] & 1:
                members = sorted(tree.sets[int(tree.threshold[node])])
                values += [float(member) for member in members]
                values += (
                    [members[-1] + 1.0, members[0] + 0.5, -1.0, -0.5, 1e9, 3e9] if members else []
                )
            else:
                edge = tree.threshold[node]
                values += [
                    edge,
                    math.nextafter(edge, math.inf),
                    math.nextafter(edge, -math.inf),
                    edge / 2,
                    edge * 2,
                ]
    return values


def write_tsv(path, rows):
    with open(path, "w", encoding="ascii") as file:
        for row in rows:
            file.write(
                "\t".join(
                    "" if isinstance(cell, float) and math.isnan(cell) else repr(cell)
                    for cell in row
                )
                + "\n"
            )


def answer(folder):
    with open(os.path.join(folder, "model.txt"), encoding="utf-8", newline="") as file:
        model = Model(file.read())
    generator = random.Random(7)
    values = [hard_values(model, feature) for feature in range(model.features)]
    rows = [[generator.choice(choices) for choices in values] for _ in range(ROWS)]
    margins = [model.margins(row) for row in rows]
    write_tsv(os.path.join(folder, "input.tsv"), rows)
    write_tsv(os.path.join(folder, "reference_margin.tsv"), margins)
    write_tsv(
        os.path.join(folder, "reference_prediction.tsv"),
        [model.predictions(margin) for margin in margins],
    )
    write_tsv(
        os.path.join(folder, "reference_leaf.tsv"),
        [[tree.leaf(read(row)) for tree in model.trees] for row in rows],
    )


# ---- made models -------------------------------------------------------------------------------

FEATURES = 6
CATEGORIES = (4, 5)  # these features


def words(values):
    return " ".join(repr(value) for value in values)


def made_set(generator):
    members = [generator.randrange(70) for _ in range(generator.randrange(1, 9))]
    bits = [0] * (max(members) // 32 + 1)
    for member in members:
        bits[member // 32] |= 1 << member % 32
    return bits


def inner_counts(left, right, leaf_counts):
    def count(child):
        return leaf_counts[~child] if child < 0 else count(left[child]) + count(right[child])

    return [count(node) for node in range(len(left))]


def made_tree(generator, leaves, is_linear, missing):
    """A tree grown leaf by leaf, as LightGBM grows and numbers it."""
    left, right, feature, threshold, decision, bounds, sets = [], [], [], [], [], [0], []
    parents = [None]  # of each leaf: (children, node)
    for node in range(leaves - 1):
        leaf = generator.randrange(node + 1)
        if parents[leaf] is not None:
            children, parent = parents[leaf]
            children[parent] = node
        left.append(~leaf)
        right.append(~(node + 1))
        parents[leaf] = (left, node)
        parents.append((right, node))
        feature.append(generator.randrange(FEATURES))
        if feature[-1] in CATEGORIES:
            threshold.append(len(bounds) - 1)
            sets += made_set(generator)
            bounds.append(len(sets))
            decision.append(1 + 8 * generator.randrange(2))
        else:
            threshold.append(
                generator.choice((0.0, -ZERO, ZERO, 0.5, 1.5, generator.uniform(-3, 3), 1e300))
            )
            decision.append(2 * generator.randrange(2) + 4 * generator.choice(missing))
    counts = [generator.randrange(1, 60) for _ in range(leaves)]
    lines = [
        f"num_leaves={leaves}",
        f"num_cat={len(bounds) - 1}",
        f"split_feature={words(feature)}",
        "split_gain=" + words([1] * len(left)),
        f"threshold={words(threshold)}",
        f"decision_type={words(decision)}",
        f"left_child={words(left)}",
        f"right_child={words(right)}",
        "leaf_value=" + words([generator.uniform(-1, 1) for _ in range(leaves)]),
        f"leaf_weight={words(counts)}",
        f"leaf_count={words(counts)}",
        "internal_value=" + words([0] * len(left)),
        "internal_weight=" + words(inner_counts(left, right, counts)),
        "internal_count=" + words(inner_counts(left, right, counts)),
    ]
    if sets:
        lines += [f"cat_boundaries={words(bounds)}", f"cat_threshold={words(sets)}"]
    lines.append(f"is_linear={int(is_linear)}")
    if is_linear:
        terms = [
            sorted(generator.sample(range(4), generator.randrange(4))) for _ in range(leaves)
        ]
        lines += [
            "leaf_const=" + words([generator.uniform(-1, 1) for _ in range(leaves)]),
            "num_features=" + words([len(term) for term in terms]),
            "leaf_features=" + "".join(words(term) + " " * (1 + bool(term)) for term in terms),
            "leaf_coeff="
            + "".join(
                words([generator.uniform(-1, 1) for _ in term]) + " " * (1 + bool(term))
                for term in terms
            ),
        ]
    return "\n".join(lines + ["shrinkage=0.1", "", ""]) + "\n"


def made_model(
    seed,
    objective,
    outputs=1,
    iterations=6,
    is_linear=False,
    is_forest=False,
    missing=(0, 1, 2),
    version="v4",
    line_end="\n",
):
    generator = random.Random(seed)
    trees = [
        f"Tree={i}\n"
        + made_tree(generator, generator.choice((1, 2, 5, 9)), is_linear and i % 3 != 1, missing)
        for i in range(iterations * outputs)
    ]
    head = [
        "tree",
        f"version={version}",
        f"num_class={outputs}",
        f"num_tree_per_iteration={outputs}",
        "label_index=0",
        f"max_feature_idx={FEATURES - 1}",
    ]
    head += [f"objective={objective}"] if objective else []
    head += ["average_output"] if is_forest else []
    infos = [
        "-1:" + ":".join(str(i) for i in range(70)) if i in CATEGORIES else "[-3:3]"
        for i in range(FEATURES)
    ]
    head += [
        "feature_names=" + " ".join(f"x{i}" for i in range(FEATURES)),
        "feature_infos=" + " ".join(infos),
    ]
    if line_end == "\n":  # LightGBM finds its trees by these bytes
        head.append("tree_sizes=" + words([len(tree) for tree in trees]))
    head.append("")
    text = (
        "\n".join(head)
        + "\n"
        + "".join(trees)
        + "end of trees\n\nfeature_importances:\nx0=1\n\nparameters:\nend of parameters\n"
    )
    return text.replace("\n", line_end).encode("ascii")


MADE = {
    "made-regression": made_model(1, "regression", iterations=12),
    "made-no-objective": made_model(2, "", outputs=2),
    "made-sqrt": made_model(3, "regression sqrt"),
    "made-binary": made_model(4, "binary sigmoid:0.7", version="v3", line_end="\r\n"),
    "made-cross-entropy": made_model(5, "cross_entropy"),
    "made-cross-entropy-lambda": made_model(6, "cross_entropy_lambda"),
    "made-multiclassova": made_model(
        7, "multiclassova num_class:3 sigmoid:1.3", outputs=3, iterations=3
    ),
    "made-gamma": made_model(8, "gamma"),
    "made-tweedie": made_model(9, "tweedie", version="v2"),
    "made-lambdarank": made_model(10, "lambdarank"),
    "made-forest": made_model(11, "binary sigmoid:1", is_forest=True, iterations=7),
    "made-forest-of-classes": made_model(
        12, "multiclass num_class:3", outputs=3, is_forest=True, iterations=5
    ),
    "made-linear": made_model(13, "regression", is_linear=True, iterations=12),
    "made-linear-quantile": made_model(14, "quantile", is_linear=True, iterations=5),
}


def main(arguments):
    if arguments[:1] == ["--make"]:
        top = arguments[1]
        arguments = [os.path.join(top, name) for name in MADE]
        for name, text in MADE.items():
            os.makedirs(os.path.join(top, name), exist_ok=True)
            with open(os.path.join(top, name, "model.txt"), "wb") as file:
                file.write(text)
    if not arguments:
        sys.exit(__doc__)
    for folder in arguments:
        answer(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
