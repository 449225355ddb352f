/* SPDX-License-Identifier: MIT */
/*
 * onnx_scores.c - what leaves add. A leaf without a weight adds nothing; one with weights of
 * several outputs makes every leaf of the model a row of values, unless each tree has one output
 * alone.
 */
#include <math.h>

#include "onnx_forest.h"

enum { NO_OUTPUT = UINT32_MAX };

static int
check_weight(struct onnx_forest *forest, const struct neutral_tree *trees,
             const struct onnx_weight *weight)
{
    const struct neutral_model *model = forest->model;

    if (weight->output < 0 || weight->output >= (int64_t)model->output_count) {
        return onnx_invalid(forest->onnx, forest->node,
                            "a leaf adds to output %lld, but the model has outputs 0 to %u",
                            (long long)weight->output, model->output_count - 1);
    }
    if (trees[weight->tree].left[weight->local] != NEUTRAL_LEAF) {
        return onnx_invalid(forest->onnx, forest->node,
                            "tree %u, node %u has a weight but is no leaf", weight->tree,
                            weight->local);
    }
    if (!isfinite(weight->weight)) {
        return onnx_invalid(forest->onnx, forest->node,
                            "tree %u, node %u: its weight is not finite", weight->tree,
                            weight->local);
    }
    return 0;
}

/* The one output of each tree; false when a tree has several. */
static bool
find_outputs(const struct onnx_forest *forest, struct neutral_tree *trees,
             const struct onnx_weight *weights, size_t count)
{
    const struct neutral_model *model = forest->model;

    for (uint32_t i = 0; i < model->tree_count; i++) {
        trees[i].output = NO_OUTPUT;
    }
    bool is_single = true;
    for (size_t i = 0; i < count; i++) {
        struct neutral_tree *tree = &trees[weights[i].tree];
        is_single =
            is_single && (tree->output == NO_OUTPUT || tree->output == (uint32_t)weights[i].output);
        tree->output = (uint32_t)weights[i].output;
    }
    for (uint32_t i = 0; i < model->tree_count; i++) {
        bool is_unset = trees[i].output == NO_OUTPUT || !is_single;
        trees[i].output = is_unset ? 0 : trees[i].output;
    }
    return is_single;
}

static int
twice(struct onnx_forest *forest, const struct onnx_weight *weight)
{
    return onnx_invalid(forest->onnx, forest->node,
                        "tree %u, node %u has two weights for output %lld", weight->tree,
                        weight->local, (long long)weight->output);
}

/* first[i]: where the nodes of tree i begin in the forest's arrays. */
static size_t
first_node(const struct onnx_forest *forest, const struct neutral_tree *tree)
{
    return (size_t)(tree->left - forest->left);
}

/* An output is covered when every leaf of some tree adds to it. Here weighed leaves have their flag
 * set. */
static void
cover_values(struct onnx_forest *forest, const struct neutral_tree *trees)
{
    for (uint32_t i = 0; i < forest->model->tree_count; i++) {
        const struct neutral_tree *tree = &trees[i];
        bool is_whole = true;
        for (uint32_t k = 0; k < tree->node_count; k++) {
            is_whole = is_whole && (tree->left[k] != NEUTRAL_LEAF || tree->flags[k] != 0);
        }
        forest->is_covered[tree->output] |= is_whole ? 1 : 0;
    }
}

static int
set_values(struct onnx_forest *forest, const struct neutral_tree *trees,
           const struct onnx_weight *weights, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = first_node(forest, &trees[weights[i].tree]) + weights[i].local;
        if (forest->flags[at] != 0) { /* of a leaf: it has its weight */
            return twice(forest, &weights[i]);
        }
        forest->flags[at] = 1;
        forest->value[at] = weights[i].weight;
    }
    cover_values(forest, trees);
    for (size_t i = 0; i < count; i++) {
        forest->flags[first_node(forest, &trees[weights[i].tree]) + weights[i].local] = 0;
    }
    return 0;
}

/* Gives every leaf of a tree a row of its own, and the rows room. NaN: no weight yet. */
static double *
alloc_vectors(struct onnx_forest *forest, struct neutral_tree *tree)
{
    uint32_t width = forest->model->output_count;
    int32_t *right = forest->right + first_node(forest, tree);
    uint32_t leaves = 0;

    for (uint32_t i = 0; i < tree->node_count; i++) {
        if (tree->left[i] == NEUTRAL_LEAF) {
            right[i] = (int32_t)leaves++;
        }
    }
    double *vectors =
        arena_zalloc(&forest->onnx->import->arena, leaves, (size_t)width * sizeof(*vectors));
    for (size_t i = 0; vectors != NULL && i < (size_t)leaves * width; i++) {
        vectors[i] = (double)NAN;
    }
    tree->vectors = vectors;
    tree->vector_count = leaves;
    return vectors;
}

/* What has no weight adds nothing. */
static void
cover_vectors(struct onnx_forest *forest, const struct neutral_tree *tree, double *vectors)
{
    uint32_t width = forest->model->output_count;

    for (uint32_t k = 0; k < width; k++) {
        bool is_whole = true;
        for (size_t i = 0; i < tree->vector_count; i++) {
            double *value = &vectors[i * width + k];
            is_whole = is_whole && !isnan(*value);
            *value = isnan(*value) ? 0.0 : *value;
        }
        forest->is_covered[k] |= is_whole ? 1 : 0;
    }
}

static int
set_vectors(struct onnx_forest *forest, struct neutral_tree *trees,
            const struct onnx_weight *weights, size_t count)
{
    struct neutral_model *model = forest->model;
    uint32_t width = model->output_count;
    double **vectors =
        arena_zalloc(&forest->onnx->import->arena, model->tree_count, sizeof(*vectors));

    if (vectors == NULL) {
        return onnx_no_memory(forest->onnx);
    }
    for (uint32_t i = 0; i < model->tree_count; i++) {
        vectors[i] = alloc_vectors(forest, &trees[i]);
        if (vectors[i] == NULL) {
            return onnx_no_memory(forest->onnx);
        }
    }
    for (size_t i = 0; i < count; i++) {
        const struct neutral_tree *tree = &trees[weights[i].tree];
        size_t row = (size_t)tree->right[weights[i].local];
        double *value = &vectors[weights[i].tree][row * width + (size_t)weights[i].output];
        if (!isnan(*value)) {
            return twice(forest, &weights[i]);
        }
        *value = weights[i].weight;
    }
    for (uint32_t i = 0; i < model->tree_count; i++) {
        cover_vectors(forest, &trees[i], vectors[i]);
    }
    model->leaf_width = width;
    return 0;
}

int
onnx_set_weights(struct onnx_forest *forest, struct neutral_tree *trees,
                 const struct onnx_weight *weights, size_t count)
{
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = check_weight(forest, trees, &weights[i]);
    }
    if (rc != 0) {
        return rc;
    }
    forest->model->leaf_width = 1;
    forest->is_covered = arena_zalloc(&forest->onnx->import->arena, forest->model->output_count, 1);
    if (forest->is_covered == NULL) {
        return onnx_no_memory(forest->onnx);
    }
    return find_outputs(forest, trees, weights, count) ? set_values(forest, trees, weights, count)
                                                       : set_vectors(forest, trees, weights, count);
}

/* ---- base and mean ------------------------------------------------------------------------- */

int
onnx_set_base(struct onnx_forest *forest, const struct onnx_numbers *base)
{
    struct neutral_model *model = forest->model;
    double *margins =
        arena_zalloc(&forest->onnx->import->arena, model->output_count, sizeof(*margins));

    if (margins == NULL) {
        return onnx_no_memory(forest->onnx);
    }
    if (base->count != 0 && base->count != model->output_count) {
        return onnx_unsupported(forest->onnx, forest->node,
                                "%zu base_values for %u outputs: what each is added to would be a "
                                "guess",
                                base->count, model->output_count);
    }
    for (size_t i = 0; i < base->count; i++) {
        bool is_left_out = forest->is_covered[i] == 0 && base->count > 1 && base->values[i] != 0.0;
        if (is_left_out && onnx_is_op(forest->node, "TreeEnsembleRegressor")) {
            return onnx_unsupported(forest->onnx, forest->node,
                                    "base_values of output %zu, to which a row's leaves may add "
                                    "nothing: runtimes leave it out then",
                                    i);
        }
        margins[i] = base->values[i];
    }
    model->base_margins = margins;
    return 0;
}

void
onnx_set_average(struct neutral_model *model)
{
    double *margins = (double *)(uintptr_t)model->base_margins;

    model->kind = NEUTRAL_FOREST;
    model->divisor = model->tree_count > 0 ? (double)model->tree_count : 1.0;
    for (uint32_t i = 0; i < model->output_count; i++) {
        double scaled = margins[i] * model->divisor;
        margins[i] = model->number == MODEL_FLOAT32 ? (double)(float)scaled : scaled;
    }
}
