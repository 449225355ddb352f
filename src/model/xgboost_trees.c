/* SPDX-License-Identifier: MIT */
/*
 * xgboost_trees.c - the list of trees of an XGBoost document: which of them are wanted, to which
 * output each adds, and the weights of dart.
 * An iteration is a run of trees: iteration_indptr says where each begins (2.0 on); before, every
 * one has num_parallel_tree trees for each output.
 */
#include "xgboost.h"

#include <math.h>

/* Trees from `begin` up to, not including, `end`. */
struct tree_range {
    uint32_t begin;
    uint32_t end;
};

static int
missing_iterations(struct xgboost_document *doc, uint64_t asked_end, uint64_t count)
{
    err_set(doc->err, AUGURY_ERR_INVALID, "invalid_iterations",
            "iterations up to %llu are asked for, the file has %llu", (unsigned long long)asked_end,
            (unsigned long long)count);
    return AUGURY_ERR_INVALID;
}

static int
bad_starts(struct xgboost_document *doc)
{
    return xgboost_invalid(doc, "iteration_indptr",
                           "expected rising numbers of trees, the last one all of them");
}

/* ---- iterations ---------------------------------------------------------------------------- */

/* Iterations that the file lists: entry i is the first tree of iteration i. */
static int
listed_range(struct xgboost_document *doc, const struct wire_value *starts, uint32_t tree_count,
             struct tree_range iterations, struct tree_range *out_trees)
{
    int64_t begin = 0;
    int64_t end = 0;

    if (iterations.end >= wire_array_len(starts)) {
        return missing_iterations(doc, iterations.end, wire_array_len(starts) - 1);
    }
    if (wire_array_i64(starts, iterations.begin, &begin) != 0 ||
        wire_array_i64(starts, iterations.end, &end) != 0 || begin < 0 || begin > end ||
        end > tree_count) {
        return bad_starts(doc);
    }
    *out_trees = (struct tree_range){(uint32_t)begin, (uint32_t)end};
    return 0;
}

/* Iterations of equally many trees. */
static int
counted_range(struct xgboost_document *doc, const struct neutral_model *model, uint32_t tree_count,
              struct tree_range iterations, struct tree_range *out_trees)
{
    uint32_t parallel = 1;
    int rc = xgboost_read_param(doc, wire_member(doc->model, "gbtree_model_param"),
                                "num_parallel_tree", 1, &parallel);

    if (rc != 0) {
        return rc;
    }
    uint64_t each = (uint64_t)(parallel == 0 ? 1 : parallel) * model->output_count;
    if (tree_count % each != 0) {
        return xgboost_invalid(doc, "num_parallel_tree",
                               "the trees are no whole number of iterations: import all of them");
    }
    if (iterations.end > tree_count / each) {
        return missing_iterations(doc, iterations.end, tree_count / each);
    }
    *out_trees =
        (struct tree_range){(uint32_t)(iterations.begin * each), (uint32_t)(iterations.end * each)};
    return 0;
}

static int
best_iteration(struct xgboost_document *doc, uint32_t *out_iteration)
{
    const char *at = "learner.attributes.best_iteration";
    const struct wire_value *best =
        wire_member(wire_member(doc->learner, "attributes"), "best_iteration");
    uint64_t iteration = 0;

    if (best == NULL) {
        return xgboost_invalid(doc, at,
                               "the file has no best iteration (it was trained without early "
                               "stopping): import all of its trees");
    }
    if (best->type != WIRE_STRING ||
        bytes_to_u64(wire_string(best), INT32_MAX - 1, &iteration) != 0) {
        return xgboost_invalid(doc, at, "expected a text of digits, as \"12\"");
    }
    *out_iteration = (uint32_t)iteration;
    return 0;
}

/* The trees that the options ask for. An end of 0 is the last iteration. */
static int
find_range(struct xgboost_document *doc, const struct neutral_model *model, uint32_t tree_count,
           struct tree_range *out_trees)
{
    const struct model_import_options *options = doc->import->options;
    const struct wire_value *starts = wire_member(doc->model, "iteration_indptr");
    struct tree_range asked = {options->iteration_begin, options->iteration_end};
    uint32_t best = 0;
    int rc = 0;

    *out_trees = (struct tree_range){0, tree_count};
    if (options->is_best_iteration) {
        rc = best_iteration(doc, &best);
        asked = (struct tree_range){0, best + 1};
    } else if (asked.end == 0 && asked.begin == 0) {
        return 0;
    }
    bool is_open = asked.end == 0;
    asked.end = is_open ? asked.begin : asked.end;
    if (rc == 0) {
        rc = wire_array_len(starts) > 0 ? listed_range(doc, starts, tree_count, asked, out_trees)
                                        : counted_range(doc, model, tree_count, asked, out_trees);
    }
    if (rc == 0 && is_open) {
        out_trees->end = tree_count;
    }
    if (rc == 0 && out_trees->begin == out_trees->end) {
        rc = err_set(doc->err, AUGURY_ERR_INVALID, "invalid_iterations",
                     "no tree belongs to the iterations that are asked for");
    }
    if (rc != 0) {
        err_at(doc->err,
               options->is_best_iteration ? "learner.attributes.best_iteration" : "iterations");
    }
    return rc;
}

/* ---- trees --------------------------------------------------------------------------------- */

/* weight_drop of dart: next to the trees in new files, next to the inner gbtree in old ones;
 * absent in a gbtree. */
static const struct wire_value *
find_weight_drop(const struct xgboost_document *doc)
{
    const struct wire_value *weights = wire_member(doc->model, "weight_drop");

    return weights != NULL ? weights : wire_member(doc->booster, "weight_drop");
}

static int
weigh_vectors(struct xgboost_document *doc, float weight, uint32_t width, struct neutral_tree *tree)
{
    size_t count = (size_t)tree->vector_count * width;
    double *vectors = arena_zalloc(&doc->import->arena, count, sizeof(double));

    if (vectors == NULL) {
        return xgboost_no_memory(doc);
    }
    for (size_t i = 0; i < count; i++) {
        float product = (0.0f + (float)tree->vectors[i]) * weight;
        vectors[i] = (double)product;
    }
    tree->vectors = vectors;
    return 0;
}

/* XGBoost multiplies a tree's leaf by its weight for every row, rounds, then adds: the product
 * can be made once. */
static int
weigh_tree(struct xgboost_document *doc, const struct neutral_model *model, uint32_t number,
           struct neutral_tree *tree)
{
    float weight = 1.0f;
    double *values = arena_zalloc(&doc->import->arena, tree->node_count, sizeof(double));

    if (values == NULL) {
        return xgboost_no_memory(doc);
    }
    if (wire_array_f32(find_weight_drop(doc), number, &weight) != 0 || !isfinite(weight)) {
        return xgboost_invalid(doc, "weight_drop", "expected one finite number a tree");
    }
    for (uint32_t i = 0; i < tree->node_count; i++) {
        bool is_leaf = tree->left[i] == NEUTRAL_LEAF;
        float product = (0.0f + (float)tree->value[i]) * weight;
        values[i] = is_leaf ? (double)product : tree->value[i];
    }
    tree->value = values;
    return tree->vectors != NULL ? weigh_vectors(doc, weight, model->output_count, tree) : 0;
}

static int
read_output(struct xgboost_document *doc, const struct neutral_model *model, uint32_t number,
            struct neutral_tree *tree)
{
    int64_t output = 0;

    if (wire_array_i64(wire_member(doc->model, "tree_info"), number, &output) != 0 || output < 0 ||
        output >= model->output_count) {
        err_set(doc->err, AUGURY_ERR_INVALID, "invalid_model",
                "entry %u is not one of the model's %u outputs", number, model->output_count);
        err_at(doc->err, "tree_info");
        return AUGURY_ERR_INVALID;
    }
    tree->output = (uint32_t)output;
    return 0;
}

/* The first tree decides: leaves of all trees have one value, or one for each output. */
static int
set_leaf_width(struct xgboost_document *doc, struct neutral_model *model,
               const struct neutral_tree *tree, bool is_first)
{
    uint32_t width = tree->vectors != NULL ? model->output_count : 1;

    if (!is_first && width != model->leaf_width) {
        return xgboost_invalid(doc, "tree_param.size_leaf_vector",
                               "the leaves of some trees hold vectors, those of others one value");
    }
    model->leaf_width = width;
    return 0;
}

static int
read_each_tree(struct xgboost_document *doc, struct neutral_model *model,
               const struct wire_value *trees, struct tree_range range,
               struct neutral_tree *out_trees)
{
    int rc = 0;

    for (uint32_t i = range.begin; i < range.end && rc == 0; i++) {
        struct neutral_tree *tree = &out_trees[i - range.begin];
        rc = xgboost_read_tree(doc, &trees->as.items[i], i, model->output_count, tree);
        if (rc == 0) {
            rc = set_leaf_width(doc, model, tree, i == range.begin);
        }
        if (rc == 0 && model->kind == NEUTRAL_DART) {
            rc = weigh_tree(doc, model, i, tree);
        }
        if (rc == 0) {
            rc = read_output(doc, model, i, tree);
        }
    }
    return rc;
}

static int
check_tree_counts(struct xgboost_document *doc, const struct wire_value *trees)
{
    const struct wire_value *param = wire_member(doc->model, "gbtree_model_param");
    const struct wire_value *weights = find_weight_drop(doc);
    uint32_t count = 0;
    int rc = xgboost_read_param(doc, param, "num_trees", trees->count, &count);

    if (rc != 0) {
        return rc;
    }
    if (count != trees->count) {
        return xgboost_invalid(doc, "gbtree_model_param.num_trees",
                               "the file holds another number of trees: it was cut or edited");
    }
    if (wire_array_len(wire_member(doc->model, "tree_info")) != trees->count) {
        return xgboost_invalid(doc, "tree_info", "expected one entry a tree");
    }
    if (weights != NULL && wire_array_len(weights) > 0 && wire_array_len(weights) != trees->count) {
        return xgboost_invalid(doc, "weight_drop", "expected one entry a tree");
    }
    return 0;
}

int
xgboost_read_trees(struct xgboost_document *doc, struct neutral_model *model)
{
    const struct wire_value *trees = NULL;
    struct tree_range range = {0, 0};
    int rc = wire_need(doc->model, "trees", WIRE_ARRAY, &trees, doc->err);

    if (rc != 0) {
        err_at(doc->err, "learner.gradient_booster.model");
        return rc;
    }
    rc = check_tree_counts(doc, trees);
    if (rc == 0 && wire_array_len(find_weight_drop(doc)) > 0) {
        model->kind = NEUTRAL_DART;
    }
    if (rc == 0) {
        rc = find_range(doc, model, trees->count, &range);
    }
    if (rc != 0) {
        return rc;
    }
    model->tree_count = range.end - range.begin;
    struct neutral_tree *out_trees =
        arena_zalloc(&doc->import->arena, model->tree_count, sizeof(*out_trees));
    model->trees = out_trees;
    return out_trees == NULL ? xgboost_no_memory(doc)
                             : read_each_tree(doc, model, trees, range, out_trees);
}
