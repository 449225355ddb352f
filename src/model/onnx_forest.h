/* SPDX-License-Identifier: MIT */
/*
 * onnx_forest.h - the nodes of all trees of an ONNX operator in the neutral form's arrays, side by
 * side: what the readers of the old and of the new operator fill.
 */
#pragma once

#include "onnx.h"

enum onnx_mode {
    ONNX_LEQ,
    ONNX_LT,
    ONNX_GTE,
    ONNX_GT,
    ONNX_EQ,
    ONNX_NEQ,
    ONNX_MEMBER, /* from here on in the order of ai.onnx.ml 5 */
    ONNX_LEAF,
    ONNX_MODE_COUNT
};

struct onnx_forest {
    struct onnx *onnx;
    const struct onnx_node *node;
    const struct onnx_rows *rows;
    struct neutral_model *model;
    int32_t *left;
    int32_t *right;
    uint32_t *feature;
    double *value;
    uint8_t *flags;
    struct neutral_set *sets; /* of all trees, in order */
    uint32_t set_count;
    uint8_t *is_covered; /* of each output: every leaf of some tree adds to it */
    uint8_t *uses;       /* of each feature: compared by order, tested for being equal */
};

/* One test. Its children are numbers within the tree. */
struct onnx_split {
    uint8_t mode; /* enum onnx_mode */
    bool is_missing_true;
    int64_t feature;
    const double *values; /* the threshold; of ONNX_MEMBER all members */
    size_t value_count;
    int32_t on_true;
    int32_t on_false;
};

/* A test of order in the neutral form: numbers below value go left, or all of them. */
struct onnx_test {
    double value;
    bool is_all_left;
    bool is_swapped; /* left and right have changed sides */
};

/* onnx_scaler.c: the test of a value before the Scaler that decides as `test` does behind it. */
struct onnx_test onnx_unscale(const struct onnx_rows *rows, size_t column, struct onnx_test test);

/* model->feature_count must be set. */
AUGURY_MUST_USE int onnx_forest_init(struct onnx_forest *forest, size_t node_count);
/* Writes node `local` of the tree whose first node is `first`; nodes of a tree in rising order. */
AUGURY_MUST_USE int onnx_forest_split(struct onnx_forest *forest, size_t first, uint32_t local,
                                      const struct onnx_split *split);
void onnx_forest_leaf(struct onnx_forest *forest, size_t first, uint32_t local);

/* onnx_scores.c: what the leaves add, from the lists of both operators. */
struct onnx_weight {
    uint32_t tree;
    uint32_t local; /* node within the tree, a leaf */
    int64_t output;
    double weight;
};

/* A weight after another, any order. trees: of the model, their arrays set; sets value, vectors,
 * output of each and model->leaf_width. model->output_count must be set. */
AUGURY_MUST_USE int onnx_set_weights(struct onnx_forest *forest, struct neutral_tree *trees,
                                     const struct onnx_weight *weights, size_t count);
/* base_values: none, or one an output. */
AUGURY_MUST_USE int onnx_set_base(struct onnx_forest *forest, const struct onnx_numbers *base);
/* A mean of the trees (AVERAGE), to which the base is added. */
void onnx_set_average(struct neutral_model *model);
