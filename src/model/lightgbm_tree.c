/* SPDX-License-Identifier: MIT */
/*
 * lightgbm_tree.c - one tree of a LightGBM text into the neutral form.
 * The source numbers inner nodes and leaves apart: a child c >= 0 is inner node c, c < 0 is leaf
 * ~c. In the neutral form leaf k follows the inner nodes, at inner_count + k; `numbers` keeps k.
 * The rules are those of LightGBM's Tree::Decision() (include/LightGBM/tree.h): `x <= threshold`
 * goes left, the members of a category set go left, and each node says what is missing to it.
 * Only shapes and places are judged here; neutral_check() judges the tree.
 */
#include "lightgbm_tree.h"

#include <math.h>

static const char *const tree_keys[TREE_KEY_COUNT] = {
    [TREE_NUM_LEAVES] = "num_leaves",         [TREE_NUM_CAT] = "num_cat",
    [TREE_SPLIT_FEATURE] = "split_feature",   [TREE_THRESHOLD] = "threshold",
    [TREE_DECISION_TYPE] = "decision_type",   [TREE_LEFT_CHILD] = "left_child",
    [TREE_RIGHT_CHILD] = "right_child",       [TREE_LEAF_VALUE] = "leaf_value",
    [TREE_LEAF_COUNT] = "leaf_count",         [TREE_INTERNAL_COUNT] = "internal_count",
    [TREE_CAT_BOUNDARIES] = "cat_boundaries", [TREE_CAT_THRESHOLD] = "cat_threshold",
    [TREE_IS_LINEAR] = "is_linear",           [TREE_LEAF_CONST] = "leaf_const",
    [TREE_NUM_FEATURES] = "num_features",     [TREE_LEAF_FEATURES] = "leaf_features",
    [TREE_LEAF_COEFF] = "leaf_coeff",
};

/* decision_type: bit 0 a category set, bit 1 missing goes left, bits 2 and 3 what is missing. */
enum { DECISION_SET = 1, DECISION_DEFAULT_LEFT = 2, DECISION_MISSING_SHIFT = 2, DECISION_MAX = 11 };
enum missing_kind { MISSING_NONE, MISSING_ZERO, MISSING_NAN };

int
lightgbm_invalid_entry(const struct tree_draft *draft, enum tree_key key, size_t i,
                       const char *reason)
{
    return lightgbm_invalid(draft->reader, draft->block->fields[key].line, "entry %zu of \"%s\" %s",
                            i, tree_keys[key], reason);
}

void *
lightgbm_draft_alloc(const struct tree_draft *draft, size_t count, size_t size)
{
    return arena_zalloc(&draft->reader->import->arena, count, size);
}

/* ---- inner nodes --------------------------------------------------------------------------- */

static int
read_children(struct tree_draft *draft, enum tree_key key, int32_t *out_children)
{
    int64_t *children = NULL;
    int64_t inner = draft->inner_count;
    int rc = lightgbm_integers(draft->reader, draft->block, key, draft->inner_count, &children);

    for (uint32_t i = 0; i < draft->inner_count && rc == 0; i++) {
        int64_t child = children[i];
        if (child >= inner || child < -(int64_t)draft->leaf_count) {
            return lightgbm_invalid_entry(draft, key, i,
                                          "is neither an inner node nor a leaf of the tree");
        }
        out_children[i] = (int32_t)(child >= 0 ? child : inner - 1 - child);
    }
    return rc;
}

static int
read_features(struct tree_draft *draft)
{
    int64_t *features = NULL;
    int rc = lightgbm_integers(draft->reader, draft->block, TREE_SPLIT_FEATURE, draft->inner_count,
                               &features);

    for (uint32_t i = 0; i < draft->inner_count && rc == 0; i++) {
        if (features[i] < 0 || features[i] >= draft->feature_count) {
            return lightgbm_invalid_entry(draft, TREE_SPLIT_FEATURE, i,
                                          "is not one of the model's features");
        }
        draft->feature[i] = (uint32_t)features[i];
    }
    return rc;
}

/* Absent in LightGBM's own reader means: numeric, nothing is missing. */
static int
read_flags(struct tree_draft *draft)
{
    int64_t *decisions = NULL;
    int rc = 0;

    if (lightgbm_has(draft->block, TREE_DECISION_TYPE)) {
        rc = lightgbm_integers(draft->reader, draft->block, TREE_DECISION_TYPE, draft->inner_count,
                               &decisions);
    }
    for (uint32_t i = 0; i < draft->inner_count && rc == 0; i++) {
        int64_t decision = decisions == NULL ? 0 : decisions[i];
        if (decision < 0 || decision > DECISION_MAX) {
            return lightgbm_invalid_entry(draft, TREE_DECISION_TYPE, i, "is not from 0 to 11");
        }
        int64_t missing = decision >> DECISION_MISSING_SHIFT;
        unsigned flags = (decision & DECISION_DEFAULT_LEFT) != 0 ? NEUTRAL_DEFAULT_LEFT : 0;
        flags |= missing == MISSING_NONE ? NEUTRAL_NAN_IS_ZERO : 0;
        flags |= missing == MISSING_ZERO ? NEUTRAL_ZERO_IS_MISSING : 0;
        /* A set decides by itself: whatever is no member, missing or not, goes right. */
        draft->flags[i] = (decision & DECISION_SET) != 0
                              ? NEUTRAL_CATEGORICAL | NEUTRAL_MEMBERS_LEFT
                              : (uint8_t)flags;
    }
    return rc;
}

/* The t' for which `x < t'` is LightGBM's `x <= t`. Before it asks, it reads every x within
 * NEUTRAL_ZERO of zero as zero: a threshold in there parts zero's side from the other. */
static double
strict_threshold(double t)
{
    if (t >= -NEUTRAL_ZERO && t < 0.0) {
        return -NEUTRAL_ZERO;
    }
    return neutral_above(MODEL_FLOAT64, t >= 0.0 && t < NEUTRAL_ZERO ? NEUTRAL_ZERO : t);
}

/* Under +inf every number goes left. */
static void
raise_thresholds(struct tree_draft *draft)
{
    for (uint32_t i = 0; i < draft->inner_count; i++) {
        if ((draft->flags[i] & NEUTRAL_CATEGORICAL) != 0) {
            continue;
        }
        if (draft->value[i] == INFINITY) {
            draft->flags[i] |= NEUTRAL_NUMBERS_LEFT;
        } else {
            draft->value[i] = strict_threshold(draft->value[i]);
        }
    }
}

static int
read_inner_nodes(struct tree_draft *draft)
{
    double *thresholds = NULL;
    int rc = lightgbm_doubles(draft->reader, draft->block, TREE_THRESHOLD, draft->inner_count,
                              &thresholds);

    if (rc == 0) {
        memcpy(draft->value, thresholds, draft->inner_count * sizeof(double));
        rc = read_children(draft, TREE_LEFT_CHILD, draft->left);
    }
    if (rc == 0) {
        rc = read_children(draft, TREE_RIGHT_CHILD, draft->right);
    }
    if (rc == 0) {
        rc = read_features(draft);
    }
    if (rc == 0) {
        rc = read_flags(draft);
    }
    if (rc == 0) {
        rc = lightgbm_read_sets(draft);
    }
    if (rc == 0) {
        raise_thresholds(draft);
    }
    return rc;
}

/* ---- the tree ------------------------------------------------------------------------------ */

static int
draft_init(struct tree_draft *draft)
{
    const struct lightgbm_block *block = draft->block;
    int rc = lightgbm_count(draft->reader, block, TREE_NUM_LEAVES, &draft->leaf_count);

    if (rc != 0) {
        return rc;
    }
    size_t words = lightgbm_word_count(block->fields[TREE_LEAF_VALUE].value);
    if (draft->leaf_count == 0 || draft->leaf_count > INT32_MAX / 2 || draft->leaf_count != words) {
        return lightgbm_invalid(draft->reader, block->fields[TREE_NUM_LEAVES].line,
                                "num_leaves is %u, but \"leaf_value\" holds %zu numbers; even a "
                                "constant tree has one leaf",
                                draft->leaf_count, words);
    }
    draft->inner_count = draft->leaf_count - 1;
    size_t nodes = draft->inner_count + (size_t)draft->leaf_count;
    draft->left = lightgbm_draft_alloc(draft, nodes, sizeof(*draft->left));
    draft->right = lightgbm_draft_alloc(draft, nodes, sizeof(*draft->right));
    draft->feature = lightgbm_draft_alloc(draft, nodes, sizeof(*draft->feature));
    draft->value = lightgbm_draft_alloc(draft, nodes, sizeof(*draft->value));
    draft->flags = lightgbm_draft_alloc(draft, nodes, sizeof(*draft->flags));
    draft->numbers = lightgbm_draft_alloc(draft, nodes, sizeof(*draft->numbers));
    return draft->left == NULL || draft->right == NULL || draft->feature == NULL ||
                   draft->value == NULL || draft->flags == NULL || draft->numbers == NULL
               ? lightgbm_no_memory(draft->reader)
               : 0;
}

/* is_linear is absent in files before LightGBM 3.2. */
static int
read_is_linear(struct tree_draft *draft, bool *out_is_linear)
{
    uint32_t number = 0;
    int rc = 0;

    if (lightgbm_has(draft->block, TREE_IS_LINEAR)) {
        rc = lightgbm_count(draft->reader, draft->block, TREE_IS_LINEAR, &number);
    }
    if (rc == 0 && number > 1) {
        rc = lightgbm_invalid(draft->reader, draft->block->fields[TREE_IS_LINEAR].line,
                              "\"is_linear\" must be 0 or 1");
    }
    *out_is_linear = number == 1;
    return rc;
}

int
lightgbm_read_tree(struct lightgbm_reader *reader, const struct neutral_model *model,
                   struct neutral_tree *out_tree)
{
    struct lightgbm_block block = {.keys = tree_keys, .key_count = TREE_KEY_COUNT};
    struct tree_draft draft = {
        .reader = reader, .block = &block, .feature_count = model->feature_count};
    bool is_linear = false;
    int rc = lightgbm_block_read(reader, &block);

    if (rc == 0) {
        rc = draft_init(&draft);
    }
    if (rc == 0) {
        rc = lightgbm_read_leaves(&draft);
    }
    if (rc == 0 && draft.inner_count > 0) {
        rc = read_inner_nodes(&draft);
    }
    if (rc == 0) {
        rc = read_is_linear(&draft, &is_linear);
    }
    if (rc == 0 && is_linear) {
        rc = lightgbm_read_linear_leaves(&draft);
    }
    if (rc == 0) {
        rc = lightgbm_read_covers(&draft);
    }
    *out_tree = (struct neutral_tree){
        .node_count = draft.inner_count + draft.leaf_count,
        .left = draft.left,
        .right = draft.right,
        .feature = draft.feature,
        .value = draft.value,
        .flags = draft.flags,
        .cover = draft.cover,
        .numbers = draft.numbers,
        .sets = draft.sets,
        .set_count = draft.set_count,
        .linears = draft.linears,
        .linear_count = draft.linear_count,
    };
    return rc;
}
