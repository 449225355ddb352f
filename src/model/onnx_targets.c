/* SPDX-License-Identifier: MIT */
/*
 * onnx_targets.c - TreeEnsembleRegressor and TreeEnsembleClassifier: weights of leaves, outputs or
 * classes, base, transform, precision; and the operator as a whole.
 */
#include "onnx_trees.h"

/* ---- weights ------------------------------------------------------------------------------- */

/* Lists of weights: of targets, or of classes. */
struct weight_lists {
    struct onnx_integers trees, nodes, outputs;
    struct onnx_numbers weights;
};

static int
read_weight_lists(struct onnx_ensemble *ensemble, struct weight_lists *out)
{
    static const char *const names[2][4] = {
        {"target_treeids", "target_nodeids", "target_ids", "target_weights"},
        {"class_treeids", "class_nodeids", "class_ids", "class_weights"}};
    const char *const *name = names[ensemble->is_classifier ? 1 : 0];
    struct onnx *onnx = ensemble->forest.onnx;
    const struct onnx_node *node = ensemble->forest.node;
    int rc = onnx_integers(onnx, node, name[0], &out->trees);

    if (rc == 0) {
        rc = onnx_integers(onnx, node, name[1], &out->nodes);
    }
    if (rc == 0) {
        rc = onnx_integers(onnx, node, name[2], &out->outputs);
    }
    if (rc == 0) {
        rc = onnx_numbers(onnx, node, name[3], &out->weights);
    }
    if (rc == 0 &&
        (out->trees.count == 0 || out->nodes.count != out->trees.count ||
         out->outputs.count != out->trees.count || out->weights.count != out->trees.count)) {
        rc = onnx_invalid(onnx, node,
                          "\"%s\", \"%s\", \"%s\" and \"%s\" have %zu, %zu, %zu and %zu entries; "
                          "they must be equally long and not empty",
                          name[0], name[1], name[2], name[3], out->trees.count, out->nodes.count,
                          out->outputs.count, out->weights.count);
    }
    return rc;
}

static int
place_weights(struct onnx_ensemble *ensemble, const struct weight_lists *lists,
              struct onnx_weight *out_weights)
{
    for (size_t i = 0; i < lists->trees.count; i++) {
        const struct onnx_place *place =
            onnx_find_place(ensemble, lists->trees.values[i], lists->nodes.values[i]);
        if (place == NULL) {
            return onnx_invalid(ensemble->forest.onnx, ensemble->forest.node,
                                "weight %zu is of tree %lld, node %lld, which is not there", i,
                                (long long)lists->trees.values[i],
                                (long long)lists->nodes.values[i]);
        }
        uint32_t at = (uint32_t)(place - ensemble->places);
        uint32_t tree = ensemble->tree_of[at];
        out_weights[i] = (struct onnx_weight){
            .tree = tree,
            .local = onnx_local_of(&ensemble->spans[tree], at),
            .output = ensemble->is_one_column ? 0 : lists->outputs.values[i],
            .weight = lists->weights.values[i],
        };
    }
    return 0;
}

/* A classifier of two classes whose leaves know one class alone. */
static void
look_at_weights(struct onnx_ensemble *ensemble, const struct weight_lists *lists)
{
    bool is_same = true;

    ensemble->is_positive = true;
    for (size_t i = 0; i < lists->trees.count; i++) {
        is_same = is_same && lists->outputs.values[i] == lists->outputs.values[0];
        ensemble->is_positive = ensemble->is_positive && !(lists->weights.values[i] < 0.0);
    }
    ensemble->is_one_column = ensemble->is_classifier && ensemble->labels.count == 2 && is_same;
}

/* ---- outputs ------------------------------------------------------------------------------- */

static int
count_outputs(struct onnx_ensemble *ensemble)
{
    struct onnx *onnx = ensemble->forest.onnx;
    const struct onnx_node *node = ensemble->forest.node;
    int64_t targets = 1;
    int rc = 0;

    if (!ensemble->is_classifier) {
        rc = onnx_integer(onnx, node, "n_targets", 1, &targets);
    } else {
        rc = onnx_read_labels(onnx, node, "classlabels_int64s", &ensemble->labels);
        targets = (int64_t)ensemble->labels.count;
    }
    if (rc == 0 && (targets < 1 || targets > MODEL_OUTPUTS_MAX)) {
        rc = onnx_invalid(onnx, node, "%lld outputs; augury reads models of 1 to %d",
                          (long long)targets, MODEL_OUTPUTS_MAX);
    }
    ensemble->forest.model->output_count = (uint32_t)targets;
    return rc;
}

/* Doubles compare with doubles; whoever casts to float first means float. */
static int
set_number(struct onnx_ensemble *ensemble, bool is_double)
{
    const struct onnx_rows *rows = ensemble->forest.rows;

    if (is_double && rows->type == ONNX_FLOAT) {
        return onnx_unsupported(ensemble->forest.onnx, ensemble->forest.node,
                                "thresholds in double over an input in float");
    }
    ensemble->forest.model->number =
        is_double || rows->type == ONNX_DOUBLE ? MODEL_FLOAT64 : MODEL_FLOAT32;
    return 0;
}

static int
set_transform(struct onnx_ensemble *ensemble)
{
    struct onnx *onnx = ensemble->forest.onnx;
    const struct onnx_node *node = ensemble->forest.node;
    struct neutral_model *model = ensemble->forest.model;
    enum onnx_scores scores = ensemble->is_one_column   ? ONNX_ONE_COLUMN
                              : ensemble->is_classifier ? ONNX_CLASSES
                                                        : ONNX_VALUES;
    struct bytes transform;
    int rc = onnx_text(onnx, node, "post_transform", "NONE", &transform);

    if (rc == 0) {
        rc = onnx_set_link(onnx, node, transform, scores, model);
    }
    if (rc == 0 && ensemble->is_classifier && ensemble->is_positive &&
        model->link == MODEL_LINK_IDENTITY) {
        model->link = MODEL_LINK_PROBABILITY;
        model->flags |= ensemble->is_one_column ? NEUTRAL_BINARY : 0;
    }
    onnx_set_classes(&ensemble->labels, model);
    return rc;
}

static int
set_aggregate(struct onnx_ensemble *ensemble)
{
    struct bytes aggregate;
    int rc = onnx_text(ensemble->forest.onnx, ensemble->forest.node, "aggregate_function", "SUM",
                       &aggregate);

    if (rc != 0 || bytes_equal_text(aggregate, "SUM")) {
        return rc;
    }
    if (!bytes_equal_text(aggregate, "AVERAGE")) {
        return onnx_unsupported(ensemble->forest.onnx, ensemble->forest.node,
                                "aggregate_function %.*s is not read; augury reads SUM and AVERAGE",
                                (int)(aggregate.len < 8 ? aggregate.len : 8),
                                (const char *)aggregate.data);
    }
    onnx_set_average(ensemble->forest.model);
    return 0;
}

/* ---- the operator -------------------------------------------------------------------------- */

static int
read_scores(struct onnx_ensemble *ensemble, struct neutral_tree *trees)
{
    struct onnx_forest *forest = &ensemble->forest;
    struct weight_lists lists;
    struct onnx_numbers base;
    int rc = read_weight_lists(ensemble, &lists);

    if (rc == 0) {
        rc = onnx_numbers(forest->onnx, forest->node, "base_values", &base);
    }
    if (rc == 0) {
        rc = set_number(ensemble, ensemble->lists.values.is_double || lists.weights.is_double);
    }
    if (rc == 0) {
        rc = onnx_put_trees(ensemble, trees);
    }
    if (rc != 0) {
        return rc;
    }
    look_at_weights(ensemble, &lists);
    forest->model->output_count = ensemble->is_one_column ? 1 : forest->model->output_count;
    struct onnx_weight *weights =
        arena_zalloc(&forest->onnx->import->arena, lists.trees.count, sizeof(*weights));
    if (weights == NULL) {
        return onnx_no_memory(forest->onnx);
    }
    rc = place_weights(ensemble, &lists, weights);
    if (rc == 0) {
        rc = onnx_set_weights(forest, trees, weights, lists.trees.count);
    }
    return rc != 0 ? rc : onnx_set_base(forest, &base);
}

int
onnx_read_trees(struct onnx *onnx, const struct onnx_node *node, const struct onnx_rows *rows,
                struct neutral_model *model)
{
    struct onnx_ensemble ensemble = {
        .forest = {.onnx = onnx, .node = node, .rows = rows, .model = model},
        .is_classifier = bytes_equal_text(node->op, "TreeEnsembleClassifier"),
    };
    int rc = onnx_read_nodes(&ensemble);

    if (rc == 0) {
        rc = count_outputs(&ensemble);
    }
    if (rc != 0) {
        return rc;
    }
    struct neutral_tree *trees =
        arena_zalloc(&onnx->import->arena, model->tree_count, sizeof(*trees));
    if (trees == NULL) {
        return onnx_no_memory(onnx);
    }
    model->trees = trees;
    rc = read_scores(&ensemble, trees);
    if (rc == 0) {
        rc = set_transform(&ensemble);
    }
    return rc != 0 ? rc : set_aggregate(&ensemble);
}
