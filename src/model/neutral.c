/* SPDX-License-Identifier: MIT */
/*
 * neutral.c - the one validator of models, whatever format they came from.
 * A tree is walked from its root, breadth first, with one mark a node: a second visit is a cycle or
 * a shared child, so the walk ends after node_count steps at most and needs no recursion.
 */
#include "neutral.h"

#include <math.h>
#include <stdlib.h>

/* A walk in progress: order[0 .. count) are the nodes found, marks[node] is set for each of
 * them. */
struct walk {
    uint32_t *order;
    uint32_t count;
    uint8_t *marks;
};

static int
compare_category(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static int
bad_tree(struct err *err, const char *reason)
{
    return err_set(err, AUGURY_ERR_INVALID, "invalid_tree", "%s", reason);
}

double
neutral_above(enum model_number number, double t)
{
    return number == MODEL_FLOAT32 ? (double)nextafterf((float)t, INFINITY)
                                   : nextafter(t, INFINITY);
}

const struct neutral_set *
neutral_set_find(const struct neutral_tree *tree, uint32_t node)
{
    uint32_t low = 0;
    uint32_t high = tree->set_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (tree->sets[middle].node < node) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < tree->set_count && tree->sets[low].node == node ? &tree->sets[low] : NULL;
}

const struct neutral_linear *
neutral_linear_find(const struct neutral_tree *tree, uint32_t node)
{
    uint32_t low = 0;
    uint32_t high = tree->linear_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (tree->linears[middle].node < node) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < tree->linear_count && tree->linears[low].node == node ? &tree->linears[low] : NULL;
}

static int
check_child(const struct neutral_tree *tree, struct walk *walk, int32_t child, struct err *err)
{
    if (child < 0 || (uint32_t)child >= tree->node_count) {
        return err_set(err, AUGURY_ERR_INVALID, "invalid_tree",
                       "child %d is not one of the tree's %u nodes", child, tree->node_count);
    }
    if (walk->marks[child] != 0) {
        return err_set(err, AUGURY_ERR_INVALID, "invalid_tree",
                       "node %d is reached twice; each node has one parent and the root none",
                       child);
    }
    walk->marks[child] = 1;
    walk->order[walk->count++] = (uint32_t)child;
    return 0;
}

static int
check_split(const struct neutral_model *model, const struct neutral_tree *tree, uint32_t node,
            struct err *err)
{
    uint32_t feature = tree->feature[node];

    if (feature >= neutral_width(model)) {
        return err_set(err, AUGURY_ERR_INVALID, "invalid_tree",
                       "splits on feature %u, but the model has features 0 to %u", feature,
                       neutral_width(model) - 1);
    }
    if ((tree->flags[node] & NEUTRAL_CATEGORICAL) == 0) {
        bool is_read = (tree->flags[node] & NEUTRAL_NUMBERS_LEFT) == 0;
        return is_read && isnan(tree->value[node]) ? bad_tree(err, "its threshold is not a number")
                                                   : 0;
    }
    if (model->input_count == 0 && model->features[feature].type != MODEL_CATEGORY) {
        const struct bytes name = model->features[feature].name;
        return err_set(err, AUGURY_ERR_INVALID, "invalid_schema",
                       "splits on categories of feature \"%.*s\", whose type is not category",
                       (int)(name.len < 100 ? name.len : 100), (const char *)name.data);
    }
    if (neutral_set_find(tree, node) == NULL) {
        return bad_tree(err, "a categorical split without its categories");
    }
    return 0;
}

static int
check_leaf(const struct neutral_model *model, const struct neutral_tree *tree, uint32_t node,
           struct err *err)
{
    if (model->leaf_width == 1) {
        return isfinite(tree->value[node]) ? 0 : bad_tree(err, "the leaf's value is not finite");
    }
    if (tree->right[node] < 0 || (uint32_t)tree->right[node] >= tree->vector_count) {
        return err_set(err, AUGURY_ERR_INVALID, "invalid_tree",
                       "the leaf's vector %d is not one of the tree's %u", tree->right[node],
                       tree->vector_count);
    }
    const double *vector = tree->vectors + (size_t)tree->right[node] * model->leaf_width;
    for (uint32_t k = 0; k < model->leaf_width; k++) {
        if (!isfinite(vector[k])) {
            return bad_tree(err, "a value of the leaf is not finite");
        }
    }
    return 0;
}

static int
check_node(const struct neutral_model *model, const struct neutral_tree *tree, struct walk *walk,
           uint32_t node, struct err *err)
{
    if (tree->left[node] == NEUTRAL_LEAF) {
        return check_leaf(model, tree, node, err);
    }
    int rc = check_split(model, tree, node, err);
    if (rc == 0) {
        rc = check_child(tree, walk, tree->left[node], err);
    }
    if (rc == 0) {
        rc = check_child(tree, walk, tree->right[node], err);
    }
    return rc;
}

/* Sorts the categories; a repeated one is harmless and dropped by whoever compiles. */
static int
check_sets(const struct neutral_tree *tree, struct err *err)
{
    for (uint32_t i = 0; i < tree->set_count; i++) {
        const struct neutral_set *set = &tree->sets[i];
        if (set->node >= tree->node_count || (i > 0 && set->node <= tree->sets[i - 1].node)) {
            return bad_tree(err, "the nodes of its category sets are not in ascending order");
        }
        qsort(set->categories, set->count, sizeof(uint32_t), compare_category);
        if (set->count > 0 && set->categories[set->count - 1] > NEUTRAL_CATEGORY_MAX) {
            err_set(err, AUGURY_ERR_INVALID, "invalid_tree",
                    "category %u is over the largest code %d", set->categories[set->count - 1],
                    NEUTRAL_CATEGORY_MAX);
            return AUGURY_ERR_INVALID;
        }
    }
    return 0;
}

static int
check_linear(const struct neutral_model *model, const struct neutral_linear *linear,
             struct err *err)
{
    if (!isfinite(linear->constant)) {
        return bad_tree(err, "the constant of a linear leaf is not finite");
    }
    for (uint32_t k = 0; k < linear->count; k++) {
        if (linear->features[k] >= neutral_width(model)) {
            return bad_tree(err, "a linear leaf has a term of a feature that is not there");
        }
        if (!isfinite(linear->coefficients[k])) {
            return bad_tree(err, "a coefficient of a linear leaf is not finite");
        }
    }
    return 0;
}

static int
check_linears(const struct neutral_model *model, const struct neutral_tree *tree, struct err *err)
{
    int rc = 0;

    if (tree->linear_count > 0 && (model->number != MODEL_FLOAT64 || model->leaf_width != 1)) {
        return bad_tree(err, "linear leaves belong to models of float64 with one value a leaf");
    }
    for (uint32_t i = 0; i < tree->linear_count && rc == 0; i++) {
        const struct neutral_linear *linear = &tree->linears[i];
        if (linear->node >= tree->node_count || tree->left[linear->node] != NEUTRAL_LEAF ||
            (i > 0 && linear->node <= tree->linears[i - 1].node)) {
            return bad_tree(err, "its linear leaves are not leaves in ascending order");
        }
        rc = check_linear(model, linear, err);
    }
    return rc;
}

static int
check_tree(const struct neutral_model *model, uint32_t number, struct arena *scratch,
           struct err *err)
{
    const struct neutral_tree *tree = &model->trees[number];
    uint32_t depth = 0;
    uint32_t level_end = 1;
    int rc = 0;

    if (tree->node_count == 0) {
        rc = bad_tree(err, "it has no nodes; even a constant tree has one leaf");
    } else if (tree->output >= model->output_count) {
        rc = err_set(err, AUGURY_ERR_INVALID, "invalid_tree",
                     "adds to output %u, but the model has outputs 0 to %u", tree->output,
                     model->output_count - 1);
    } else {
        rc = check_sets(tree, err);
    }
    if (rc == 0) {
        rc = check_linears(model, tree, err);
    }
    if (rc != 0) {
        err_at(err, "tree %u", number);
        return rc;
    }
    struct walk walk = {
        .order = arena_zalloc(scratch, tree->node_count, sizeof(uint32_t)),
        .marks = arena_zalloc(scratch, tree->node_count, 1),
    };
    if (walk.order == NULL || walk.marks == NULL) {
        return err_set(err, AUGURY_ERR_NOMEM, "out_of_memory", "no memory to check the trees");
    }
    walk.marks[0] = 1;
    walk.count = 1;
    for (uint32_t i = 0; i < walk.count && rc == 0; i++) {
        if (i == level_end) {
            depth++;
            level_end = walk.count;
        }
        rc = depth > MODEL_TREE_DEPTH_MAX ? err_set(err, AUGURY_ERR_LIMIT, "tree_too_deep",
                                                    "deeper than %d levels", MODEL_TREE_DEPTH_MAX)
                                          : check_node(model, tree, &walk, walk.order[i], err);
        if (rc != 0) {
            err_at(err, "tree %u, node %u", number, walk.order[i]);
        }
    }
    return rc;
}

static int
bad_number(struct err *err, const char *what, size_t i)
{
    return err_set(err, AUGURY_ERR_INVALID, "invalid_model", "%s %zu is not finite", what, i);
}

static int
check_weights(const struct neutral_model *model, struct err *err)
{
    size_t count = ((size_t)model->feature_count + 1) * model->output_count;

    for (size_t i = 0; i < count; i++) {
        if (!isfinite(model->weights[i])) {
            return bad_number(err, "weight", i);
        }
    }
    return 0;
}

/* What no file says wrong, but an importer could. */
static int
check_settings(const struct neutral_model *model, struct err *err)
{
    for (uint32_t i = 0; i < model->output_count; i++) {
        if (!isfinite(model->base_margins[i])) {
            return bad_number(err, "the base margin of output", i);
        }
    }
    if (!isfinite(model->link_scale) || !isfinite(model->divisor) || model->divisor == 0.0) {
        return err_set(err, AUGURY_ERR_INVALID, "invalid_model",
                       "the scale of the link (%g) and the divisor of the sum (%g) must be finite "
                       "and the divisor not 0",
                       model->link_scale, model->divisor);
    }
    if (model->leaf_width != 1 && model->leaf_width != model->output_count) {
        return err_set(err, AUGURY_ERR_INVALID, "invalid_model",
                       "leaves of %u values in a model of %u outputs", model->leaf_width,
                       model->output_count);
    }
    return 0;
}

int
neutral_check(const struct neutral_model *model, struct arena *scratch, struct err *err)
{
    if (model->feature_count == 0 || model->feature_count > MODEL_FEATURES_MAX) {
        return err_set(err, AUGURY_ERR_LIMIT, "invalid_model",
                       "%u features; augury reads models of 1 to %d", model->feature_count,
                       MODEL_FEATURES_MAX);
    }
    if (model->output_count == 0 || model->output_count > MODEL_OUTPUTS_MAX) {
        return err_set(err, AUGURY_ERR_LIMIT, "invalid_model",
                       "%u outputs; augury reads models of 1 to %d", model->output_count,
                       MODEL_OUTPUTS_MAX);
    }
    int rc = check_settings(model, err);
    if (rc == 0) {
        rc = neutral_check_parts(model, err);
    }
    if (rc == 0 && model->kind == NEUTRAL_GBLINEAR) {
        return check_weights(model, err);
    }
    for (uint32_t i = 0; i < model->tree_count && rc == 0; i++) {
        size_t used = scratch->used;
        rc = check_tree(model, i, scratch, err);
        scratch->used = used;
    }
    return rc;
}

uint32_t
neutral_tree_order(const struct neutral_tree *tree, uint32_t *out_order, uint32_t *out_depth)
{
    uint32_t count = 1;
    uint32_t level_end = 1;

    out_order[0] = 0;
    *out_depth = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t node = out_order[i];
        if (i == level_end) {
            *out_depth += 1;
            level_end = count;
        }
        if (tree->left[node] != NEUTRAL_LEAF) {
            out_order[count++] = (uint32_t)tree->left[node];
            out_order[count++] = (uint32_t)tree->right[node];
        }
    }
    return count;
}
