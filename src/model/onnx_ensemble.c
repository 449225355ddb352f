/* SPDX-License-Identifier: MIT */
/*
 * onnx_ensemble.c - TreeEnsemble (ai.onnx.ml 5): inner nodes and leaves are listed apart; a child
 * is a place in one of the lists, and a leaf has one output. Nodes are numbered here as they are
 * reached from the root, breadth first; a leaf that several nodes share becomes one for each.
 */
#include <math.h>

#include "onnx_forest.h"

/* The attributes are numbers here, where the older operators have texts. */
enum { TRANSFORM_NONE = 0, AGGREGATE_AVERAGE = 0, AGGREGATE_SUM = 1 };

struct members {
    size_t first;
    size_t count;
};

/* A node that is reached: an entry of the list of inner nodes or of leaves. */
struct reached {
    uint32_t entry;
    bool is_leaf;
};

struct ensemble {
    struct onnx_forest forest;
    struct onnx_integers roots, features, trues, falses, true_leafs, false_leafs, tracks, outputs;
    struct onnx_numbers splits, modes, weights, member_values;
    struct members *members; /* of each inner node */
    uint8_t *is_reached;     /* each inner node */
    struct reached *order;   /* of all trees */
    size_t order_count;
    size_t order_max;
    struct onnx_weight *leaf_weights;
    size_t leaf_count;
};

/* ---- lists --------------------------------------------------------------------------------- */

struct list_row {
    const char *name;
    struct onnx_integers *list;
    bool may_lack;
};

static int
read_integers(struct ensemble *ensemble)
{
    const struct list_row rows[] = {
        {"nodes_featureids", &ensemble->features, false},
        {"nodes_truenodeids", &ensemble->trues, false},
        {"nodes_falsenodeids", &ensemble->falses, false},
        {"nodes_trueleafs", &ensemble->true_leafs, false},
        {"nodes_falseleafs", &ensemble->false_leafs, false},
        {"nodes_missing_value_tracks_true", &ensemble->tracks, true},
    };
    struct onnx *onnx = ensemble->forest.onnx;
    int rc = 0;

    for (size_t i = 0; i < AUGURY_COUNT(rows) && rc == 0; i++) {
        rc = onnx_integers(onnx, ensemble->forest.node, rows[i].name, rows[i].list);
        if (rc == 0 && rows[i].list->count != ensemble->features.count &&
            !(rows[i].may_lack && rows[i].list->count == 0)) {
            rc = onnx_invalid(onnx, ensemble->forest.node, "\"%s\" has %zu entries for %zu nodes",
                              rows[i].name, rows[i].list->count, ensemble->features.count);
        }
    }
    if (rc == 0) {
        rc = onnx_integers(onnx, ensemble->forest.node, "tree_roots", &ensemble->roots);
    }
    if (rc == 0) {
        rc = onnx_integers(onnx, ensemble->forest.node, "leaf_targetids", &ensemble->outputs);
    }
    return rc;
}

static int
check_counts(struct ensemble *ensemble)
{
    size_t count = ensemble->features.count;

    if (count == 0 || count > INT32_MAX / 4) {
        return onnx_invalid(ensemble->forest.onnx, ensemble->forest.node, "it has no nodes");
    }
    if (ensemble->splits.count != count || ensemble->modes.count != count) {
        return onnx_invalid(ensemble->forest.onnx, ensemble->forest.node,
                            "\"nodes_splits\" and \"nodes_modes\" have %zu and %zu entries for %zu "
                            "nodes",
                            ensemble->splits.count, ensemble->modes.count, count);
    }
    if (ensemble->outputs.count != ensemble->weights.count) {
        return onnx_invalid(ensemble->forest.onnx, ensemble->forest.node,
                            "\"leaf_targetids\" and \"leaf_weights\" have %zu and %zu entries",
                            ensemble->outputs.count, ensemble->weights.count);
    }
    if (ensemble->roots.count == 0 || ensemble->roots.count > count) {
        return onnx_invalid(ensemble->forest.onnx, ensemble->forest.node,
                            "%zu roots of trees among %zu nodes", ensemble->roots.count, count);
    }
    return 0;
}

static int
read_lists(struct ensemble *ensemble)
{
    struct onnx *onnx = ensemble->forest.onnx;
    const struct onnx_node *node = ensemble->forest.node;
    int rc = read_integers(ensemble);

    if (rc == 0) {
        rc = onnx_numbers(onnx, node, "nodes_splits", &ensemble->splits);
    }
    if (rc == 0) {
        rc = onnx_numbers(onnx, node, "nodes_modes", &ensemble->modes);
    }
    if (rc == 0) {
        rc = onnx_numbers(onnx, node, "leaf_weights", &ensemble->weights);
    }
    if (rc == 0) {
        rc = onnx_numbers(onnx, node, "membership_values", &ensemble->member_values);
    }
    return rc == 0 ? check_counts(ensemble) : rc;
}

/* membership_values: the members of each ONNX_MEMBER node in turn, a NaN behind each set. */
static int
find_members(struct ensemble *ensemble)
{
    const struct onnx_numbers *values = &ensemble->member_values;
    size_t count = ensemble->features.count;
    size_t next = 0;

    ensemble->members =
        arena_zalloc(&ensemble->forest.onnx->import->arena, count, sizeof(*ensemble->members));
    if (ensemble->members == NULL) {
        return onnx_no_memory(ensemble->forest.onnx);
    }
    for (size_t i = 0; i < count; i++) {
        double mode = ensemble->modes.values[i];
        if (!(mode >= ONNX_LEQ && mode <= ONNX_MEMBER) || floor(mode) != mode) {
            return onnx_unsupported(ensemble->forest.onnx, ensemble->forest.node,
                                    "node %zu has mode %g; the modes are 0 to 6", i, mode);
        }
        if ((int)mode != ONNX_MEMBER) {
            continue;
        }
        size_t first = next;
        while (next < values->count && !isnan(values->values[next])) {
            next++;
        }
        ensemble->members[i] = (struct members){first, next - first};
        next++;
    }
    return 0;
}

/* ---- trees --------------------------------------------------------------------------------- */

/* A child is appended to the order; its number in the tree is returned by *out_local. */
static int
reach(struct ensemble *ensemble, size_t first, int64_t entry, bool is_leaf, int32_t *out_local)
{
    size_t count = is_leaf ? ensemble->weights.count : ensemble->features.count;

    if (entry < 0 || (uint64_t)entry >= count) {
        return onnx_invalid(ensemble->forest.onnx, ensemble->forest.node,
                            "%s %lld is not one of the %zu that are listed",
                            is_leaf ? "leaf" : "node", (long long)entry, count);
    }
    if (!is_leaf && ensemble->is_reached[entry] != 0) {
        return onnx_invalid(ensemble->forest.onnx, ensemble->forest.node,
                            "node %lld is reached twice; each has one parent, and a root none",
                            (long long)entry);
    }
    if (!is_leaf) {
        ensemble->is_reached[entry] = 1;
    }
    AUGURY_ASSERT(ensemble->order_count < ensemble->order_max);
    *out_local = (int32_t)(ensemble->order_count - first);
    ensemble->order[ensemble->order_count++] =
        (struct reached){.entry = (uint32_t)entry, .is_leaf = is_leaf};
    return 0;
}

static int
put_split(struct ensemble *ensemble, size_t first, uint32_t local, uint32_t entry)
{
    const struct members *members = &ensemble->members[entry];
    bool is_member = (int)ensemble->modes.values[entry] == ONNX_MEMBER;
    struct onnx_split split = {
        .mode = (uint8_t)ensemble->modes.values[entry],
        .is_missing_true = ensemble->tracks.count > 0 && ensemble->tracks.values[entry] != 0,
        .feature = ensemble->features.values[entry],
        .values = !is_member            ? ensemble->splits.values + entry
                  : members->count == 0 ? NULL /* there may be none in all of the model */
                                        : ensemble->member_values.values + members->first,
        .value_count = is_member ? members->count : 1,
    };
    int rc = reach(ensemble, first, ensemble->trues.values[entry],
                   ensemble->true_leafs.values[entry] != 0, &split.on_true);

    if (rc == 0) {
        rc = reach(ensemble, first, ensemble->falses.values[entry],
                   ensemble->false_leafs.values[entry] != 0, &split.on_false);
    }
    return rc == 0 ? onnx_forest_split(&ensemble->forest, first, local, &split) : rc;
}

static void
put_leaf(struct ensemble *ensemble, uint32_t tree, size_t first, uint32_t local, uint32_t entry)
{
    onnx_forest_leaf(&ensemble->forest, first, local);
    ensemble->leaf_weights[ensemble->leaf_count++] = (struct onnx_weight){
        .tree = tree,
        .local = local,
        .output = ensemble->outputs.values[entry],
        .weight = ensemble->weights.values[entry],
    };
}

static int
put_tree(struct ensemble *ensemble, uint32_t number, struct neutral_tree *out_tree)
{
    struct onnx_forest *forest = &ensemble->forest;
    size_t first = ensemble->order_count;
    uint32_t sets = forest->set_count;
    int32_t root = 0;
    int rc = reach(ensemble, first, ensemble->roots.values[number], false, &root);

    for (size_t i = first; i < ensemble->order_count && rc == 0; i++) {
        struct reached reached = ensemble->order[i];
        uint32_t local = (uint32_t)(i - first);
        if (reached.is_leaf) {
            put_leaf(ensemble, number, first, local, reached.entry);
        } else {
            rc = put_split(ensemble, first, local, reached.entry);
        }
    }
    *out_tree = (struct neutral_tree){
        .node_count = (uint32_t)(ensemble->order_count - first),
        .left = forest->left + first,
        .right = forest->right + first,
        .feature = forest->feature + first,
        .value = forest->value + first,
        .flags = forest->flags + first,
        .sets = forest->sets + sets,
        .set_count = forest->set_count - sets,
    };
    return rc;
}

static int
put_trees(struct ensemble *ensemble)
{
    struct arena *arena = &ensemble->forest.onnx->import->arena;
    struct neutral_model *model = ensemble->forest.model;
    size_t count = ensemble->features.count;
    int rc = find_members(ensemble);

    model->tree_count = (uint32_t)ensemble->roots.count;
    ensemble->order_max = 2 * count + model->tree_count;
    struct neutral_tree *trees = arena_zalloc(arena, model->tree_count, sizeof(*trees));
    ensemble->is_reached = arena_zalloc(arena, count, 1);
    ensemble->order = arena_zalloc(arena, ensemble->order_max, sizeof(*ensemble->order));
    ensemble->leaf_weights =
        arena_zalloc(arena, ensemble->order_max, sizeof(*ensemble->leaf_weights));
    if (rc == 0 && (trees == NULL || ensemble->is_reached == NULL || ensemble->order == NULL ||
                    ensemble->leaf_weights == NULL)) {
        return onnx_no_memory(ensemble->forest.onnx);
    }
    if (rc == 0) {
        rc = onnx_forest_init(&ensemble->forest, ensemble->order_max);
    }
    for (uint32_t i = 0; i < model->tree_count && rc == 0; i++) {
        rc = put_tree(ensemble, i, &trees[i]);
    }
    model->trees = trees;
    return rc == 0 ? onnx_set_weights(&ensemble->forest, trees, ensemble->leaf_weights,
                                      ensemble->leaf_count)
                   : rc;
}

/* ---- the operator -------------------------------------------------------------------------- */

/* Counts of features and outputs, and the precision: that of the thresholds. */
static int
set_shape(struct ensemble *ensemble)
{
    struct neutral_model *model = ensemble->forest.model;
    const struct onnx_rows *rows = ensemble->forest.rows;
    int64_t targets = 1;
    int64_t most = 0;
    int rc = onnx_integer(ensemble->forest.onnx, ensemble->forest.node, "n_targets", 1, &targets);

    if (rc != 0) {
        return rc;
    }
    if (targets < 1 || targets > MODEL_OUTPUTS_MAX) {
        return onnx_invalid(ensemble->forest.onnx, ensemble->forest.node,
                            "%lld outputs; augury reads models of 1 to %d", (long long)targets,
                            MODEL_OUTPUTS_MAX);
    }
    for (size_t i = 0; i < ensemble->features.count; i++) {
        most = ensemble->features.values[i] > most ? ensemble->features.values[i] : most;
    }
    if (ensemble->splits.is_double && rows->type == ONNX_FLOAT) {
        return onnx_unsupported(ensemble->forest.onnx, ensemble->forest.node,
                                "thresholds in double over an input in float");
    }
    model->output_count = (uint32_t)targets;
    model->feature_count = rows->width > 0             ? rows->width
                           : most < MODEL_FEATURES_MAX ? (uint32_t)most + 1
                                                       : MODEL_FEATURES_MAX;
    model->number = ensemble->splits.is_double ? MODEL_FLOAT64 : MODEL_FLOAT32;
    return 0;
}

static int
set_transform(struct ensemble *ensemble)
{
    struct onnx *onnx = ensemble->forest.onnx;
    const struct onnx_node *node = ensemble->forest.node;
    int64_t transform = 0;
    int64_t aggregate = AGGREGATE_SUM;
    int rc = onnx_integer(onnx, node, "post_transform", 0, &transform);

    if (rc == 0) {
        rc = onnx_integer(onnx, node, "aggregate_function", AGGREGATE_SUM, &aggregate);
    }
    if (rc == 0 && aggregate != AGGREGATE_SUM && aggregate != AGGREGATE_AVERAGE) {
        rc = onnx_unsupported(onnx, node,
                              "aggregate_function %lld is not read; augury reads AVERAGE (0) and "
                              "SUM (1)",
                              (long long)aggregate);
    }
    if (rc == 0 && transform != TRANSFORM_NONE) {
        rc = onnx_unsupported(onnx, node,
                              "post_transform %lld: runtimes number SOFTMAX and LOGISTIC another "
                              "way than the operator's definition; write 0 (NONE) and a node "
                              "Softmax or Sigmoid behind it",
                              (long long)transform);
    }
    if (rc == 0 && aggregate == AGGREGATE_AVERAGE) {
        onnx_set_average(ensemble->forest.model);
    }
    return rc;
}

int
onnx_read_ensemble(struct onnx *onnx, const struct onnx_node *node, const struct onnx_rows *rows,
                   struct neutral_model *model)
{
    static const struct onnx_numbers no_base;
    struct ensemble ensemble = {
        .forest = {.onnx = onnx, .node = node, .rows = rows, .model = model}};
    int rc = read_lists(&ensemble);

    if (rc == 0) {
        rc = set_shape(&ensemble);
    }
    if (rc == 0) {
        rc = put_trees(&ensemble);
    }
    if (rc == 0) {
        rc = onnx_set_base(&ensemble.forest, &no_base);
    }
    return rc == 0 ? set_transform(&ensemble) : rc;
}
