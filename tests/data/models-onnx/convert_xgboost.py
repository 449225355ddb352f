#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes an XGBoost JSON model of one output (gbtree, binary:logistic) as TreeEnsembleClassifier,
as the usual converters do: BRANCH_LT, missing values by nodes_missing_value_tracks_true, one column
of weights under LOGISTIC.

Usage: convert_xgboost.py MODEL.json OUT.onnx. Needs python3-onnx.
"""
import json
import sys

from onnx import TensorProto, helper


def main(source, target):
    with open(source, encoding="utf-8") as file:
        learner = json.load(file)["learner"]
    assert float(learner["learner_model_param"]["base_score"]) == 0.5
    nodes, weights = [], []
    for number, tree in enumerate(learner["gradient_booster"]["model"]["trees"]):
        for at, left in enumerate(tree["left_children"]):
            value = tree["split_conditions"][at]
            if left == -1:
                nodes.append((number, at, "LEAF", 0, 0.0, 0, 0, 0))
                weights.append((number, at, value))
            else:
                nodes.append(
                    (
                        number,
                        at,
                        "BRANCH_LT",
                        tree["split_indices"][at],
                        value,
                        left,
                        tree["right_children"][at],
                        int(tree["default_left"][at]),
                    )
                )
    names = (
        "nodes_treeids",
        "nodes_nodeids",
        "nodes_modes",
        "nodes_featureids",
        "nodes_values",
        "nodes_truenodeids",
        "nodes_falsenodeids",
        "nodes_missing_value_tracks_true",
    )
    attributes = {name: list(column) for name, column in zip(names, zip(*nodes))}
    for name, column in zip(("class_treeids", "class_nodeids", "class_weights"), zip(*weights)):
        attributes[name] = list(column)
    width = int(learner["learner_model_param"]["num_feature"])
    node = helper.make_node(
        "TreeEnsembleClassifier",
        ["X"],
        ["label", "scores"],
        domain="ai.onnx.ml",
        class_ids=[0] * len(weights),
        classlabels_int64s=[0, 1],
        post_transform="LOGISTIC",
        **attributes
    )
    graph = helper.make_graph(
        [
            node,
            helper.make_node(
                "ZipMap", ["scores"], ["classes"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]
            ),
        ],
        "g",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, width])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("classes", TensorProto.FLOAT, [None, 2]),
        ],
    )
    made = helper.make_model(
        graph,
        producer_name="augury-tests",
        producer_version="1",
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 1)],
    )
    with open(target, "wb") as file:
        file.write(made.SerializeToString(deterministic=True))


main(*sys.argv[1:])
