/* SPDX-License-Identifier: MIT */
/*
 * onnx_forest.c - one test of an ONNX tree as a test of the neutral form.
 * Orders become `x < t`, left: `x <= t` is `x < the next number over t`, and tests for greater
 * values change sides. A test for one value or for members of a set becomes a set of categories,
 * which is the same for whole numbers only: such a feature is a category, and no test may compare
 * it by order.
 */
#include <math.h>

#include "onnx_forest.h"

enum { USE_ORDER = 1, USE_EQUALITY = 2 };

int
onnx_forest_init(struct onnx_forest *forest, size_t node_count)
{
    struct arena *arena = &forest->onnx->import->arena;
    bool is_double =
        forest->rows->input_type == ONNX_DOUBLE || forest->model->number == MODEL_FLOAT64;

    if (forest->rows->scales.count > 0 && is_double) {
        return onnx_unsupported(forest->onnx, forest->node,
                                "trees behind a Scaler of doubles: cast its input to FLOAT");
    }
    forest->left = arena_zalloc(arena, node_count, sizeof(*forest->left));
    forest->right = arena_zalloc(arena, node_count, sizeof(*forest->right));
    forest->feature = arena_zalloc(arena, node_count, sizeof(*forest->feature));
    forest->value = arena_zalloc(arena, node_count, sizeof(*forest->value));
    forest->flags = arena_zalloc(arena, node_count, 1);
    forest->sets = arena_zalloc(arena, node_count, sizeof(*forest->sets));
    forest->uses = arena_zalloc(arena, forest->model->feature_count, 1);
    return forest->left == NULL || forest->right == NULL || forest->feature == NULL ||
                   forest->value == NULL || forest->flags == NULL || forest->sets == NULL ||
                   forest->uses == NULL
               ? onnx_no_memory(forest->onnx)
               : 0;
}

/* Records how a feature is tested. */
static int
use_feature(struct onnx_forest *forest, const struct onnx_split *split, unsigned use)
{
    if (split->feature < 0 || split->feature >= (int64_t)forest->model->feature_count) {
        return onnx_invalid(forest->onnx, forest->node,
                            "a node reads feature %lld, but the input has features 0 to %u",
                            (long long)split->feature, forest->model->feature_count - 1);
    }
    forest->uses[split->feature] |= (uint8_t)use;
    if (use == USE_EQUALITY && forest->rows->scales.count > 0) {
        return onnx_unsupported(forest->onnx, forest->node,
                                "feature %lld is tested for being equal behind a Scaler",
                                (long long)split->feature);
    }
    if (forest->uses[split->feature] == (USE_ORDER | USE_EQUALITY)) {
        return onnx_unsupported(forest->onnx, forest->node,
                                "feature %lld is both compared by order and tested for being equal "
                                "(BRANCH_EQ, BRANCH_NEQ): a category or a number, not both",
                                (long long)split->feature);
    }
    return 0;
}

/* What stands in for a missing value at a test; NaN when nothing does. */
static double
fill_of(const struct onnx_forest *forest, const struct onnx_split *split)
{
    double fill = onnx_rows_fill(forest->rows, (size_t)split->feature);

    return forest->rows->is_fill_scaled
               ? (double)onnx_rows_scaled(forest->rows, (size_t)split->feature, (float)fill)
               : fill;
}

static uint8_t
default_side(bool is_left)
{
    return is_left ? NEUTRAL_DEFAULT_LEFT : 0;
}

/* ---- tests of order ------------------------------------------------------------------------ */

static void
put_order(struct onnx_forest *forest, size_t at, const struct onnx_split *split)
{
    double threshold = split->values[0];
    bool is_true_left = split->mode == ONNX_LEQ || split->mode == ONNX_LT;
    bool is_next = split->mode == ONNX_LEQ || split->mode == ONNX_GT;
    bool is_all = is_next && isinf(threshold) && threshold > 0.0;
    double value = is_next && !is_all ? neutral_above(forest->model->number, threshold) : threshold;
    double fill = fill_of(forest, split);
    bool is_left = isnan(fill) ? split->is_missing_true == is_true_left : is_all || fill < value;
    struct onnx_test test = {.value = value, .is_all_left = is_all};

    if (forest->rows->scales.count > 0) {
        test = onnx_unscale(forest->rows, (size_t)split->feature, test);
    }
    bool is_true_side = is_true_left != test.is_swapped;
    forest->left[at] = is_true_side ? split->on_true : split->on_false;
    forest->right[at] = is_true_side ? split->on_false : split->on_true;
    forest->value[at] = test.value;
    forest->flags[at] = (uint8_t)(default_side(is_left != test.is_swapped) |
                                  (test.is_all_left ? NEUTRAL_NUMBERS_LEFT : 0));
}

/* ---- tests of equality --------------------------------------------------------------------- */

static int
read_categories(struct onnx_forest *forest, const struct onnx_split *split, uint32_t *out)
{
    for (size_t i = 0; i < split->value_count; i++) {
        double value = split->values[i];
        if (!(value >= 0.0 && value <= NEUTRAL_CATEGORY_MAX) || floor(value) != value) {
            return onnx_unsupported(forest->onnx, forest->node,
                                    "a test of feature %lld for being %g (BRANCH_EQ, BRANCH_NEQ, "
                                    "BRANCH_MEMBER): only whole numbers from 0 on, codes of "
                                    "categories, are read",
                                    (long long)split->feature, value);
        }
        out[i] = (uint32_t)value;
    }
    return 0;
}

/* Left is where the test is true; members go there, or of ONNX_NEQ everything else. */
static int
put_equality(struct onnx_forest *forest, size_t at, uint32_t local, const struct onnx_split *split)
{
    uint32_t *categories =
        arena_zalloc(&forest->onnx->import->arena, split->value_count, sizeof(*categories));
    bool is_other = split->mode == ONNX_NEQ;
    double fill = fill_of(forest, split);
    bool is_member = false;

    if (categories == NULL) {
        return onnx_no_memory(forest->onnx);
    }
    int rc = read_categories(forest, split, categories);
    for (size_t i = 0; i < split->value_count; i++) {
        is_member = is_member || split->values[i] == fill;
    }
    /* A missing value equals nothing, so that it is unequal without being asked for. */
    bool is_left = isnan(fill) ? split->is_missing_true || is_other : is_member != is_other;
    forest->left[at] = split->on_true;
    forest->right[at] = split->on_false;
    forest->flags[at] = (uint8_t)(default_side(is_left) | NEUTRAL_CATEGORICAL |
                                  (is_other ? 0 : NEUTRAL_MEMBERS_LEFT));
    forest->sets[forest->set_count++] = (struct neutral_set){
        .node = local, .count = (uint32_t)split->value_count, .categories = categories};
    return rc;
}

int
onnx_forest_split(struct onnx_forest *forest, size_t first, uint32_t local,
                  const struct onnx_split *split)
{
    size_t at = first + local;
    bool is_order = split->mode <= ONNX_GT;
    int rc = use_feature(forest, split, is_order ? USE_ORDER : USE_EQUALITY);

    if (rc != 0) {
        return rc;
    }
    forest->feature[at] = (uint32_t)split->feature;
    if (is_order) {
        put_order(forest, at, split);
        return 0;
    }
    return put_equality(forest, at, local, split);
}

void
onnx_forest_leaf(struct onnx_forest *forest, size_t first, uint32_t local)
{
    forest->left[first + local] = NEUTRAL_LEAF;
    forest->right[first + local] = NEUTRAL_LEAF;
}
