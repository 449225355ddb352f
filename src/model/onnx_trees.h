/* SPDX-License-Identifier: MIT */
/*
 * onnx_trees.h - TreeEnsembleRegressor and TreeEnsembleClassifier on their way to the neutral form:
 * nodes (onnx_trees.c), and what their leaves and the operator make of them (onnx_targets.c).
 */
#pragma once

#include "onnx_forest.h"

/* Where a node is listed; sorted by tree, then node. */
struct onnx_place {
    int64_t tree;
    int64_t node;
    uint32_t entry;
};

/* A run of places: one tree. */
struct onnx_span {
    uint32_t first;
    uint32_t count;
    uint32_t entry; /* the least */
    uint32_t root;  /* place within the span */
};

struct onnx_lists {
    struct onnx_integers trees, nodes, features, trues, falses, tracks;
    struct onnx_numbers values;
    uint8_t *modes; /* enum onnx_mode */
};

struct onnx_ensemble {
    struct onnx_forest forest;
    struct onnx_lists lists;
    uint32_t count;
    struct onnx_place *places;
    struct onnx_span *spans; /* in order of first appearance */
    uint32_t *tree_of;       /* of each place */
    uint8_t *has_parent;
    bool is_classifier;
    struct onnx_labels labels; /* of a classifier */
    bool is_one_column;
    bool is_positive; /* no weight is negative */
};

/* onnx_trees.c: the lists, the trees that they make, their roots; counts of trees and features. */
AUGURY_MUST_USE int onnx_read_nodes(struct onnx_ensemble *ensemble);
/* Writes the nodes; the model's number must be set. */
AUGURY_MUST_USE int onnx_put_trees(struct onnx_ensemble *ensemble, struct neutral_tree *trees);
/* The place of a node, or NULL. */
const struct onnx_place *onnx_find_place(const struct onnx_ensemble *ensemble, int64_t tree,
                                         int64_t node);
/* Number of a place within its tree: the root is exchanged with the first. */
uint32_t onnx_local_of(const struct onnx_span *span, uint32_t place);
