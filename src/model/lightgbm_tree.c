/* SPDX-License-Identifier: MIT */
/*
 * lightgbm_tree.c - one tree of a LightGBM text into the neutral form.
 * The source numbers inner nodes and leaves apart: a child c >= 0 is inner node c, c < 0 is leaf
 * ~c. In the neutral form leaf k follows the inner nodes, at inner_count + k; `numbers` keeps k.
 * The rules are those of LightGBM's Tree::Decision() (include/LightGBM/tree.h): `x <= threshold`
 * goes left, the members of a category set go left, and each node says what is missing to it.
 * Only shapes and places are judged here; neutral_check() judges the tree.
 */
#include "lightgbm.h"

#include <math.h>

enum tree_key {
    TREE_NUM_LEAVES,
    TREE_NUM_CAT,
    TREE_SPLIT_FEATURE,
    TREE_THRESHOLD,
    TREE_DECISION_TYPE,
    TREE_LEFT_CHILD,
    TREE_RIGHT_CHILD,
    TREE_LEAF_VALUE,
    TREE_LEAF_COUNT,
    TREE_INTERNAL_COUNT,
    TREE_CAT_BOUNDARIES,
    TREE_CAT_THRESHOLD,
    TREE_IS_LINEAR,
    TREE_LEAF_CONST,
    TREE_NUM_FEATURES,
    TREE_LEAF_FEATURES,
    TREE_LEAF_COEFF,
    TREE_KEY_COUNT
};

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

/* The tree being read: the arrays that become the neutral tree's. */
struct tree_draft {
    struct lightgbm_reader *reader;
    const struct lightgbm_block *block;
    uint32_t leaf_count;
    uint32_t inner_count;
    uint32_t feature_count; /* of the model */
    int32_t *left;
    int32_t *right;
    uint32_t *feature;
    double *value;
    uint8_t *flags;
    uint32_t *numbers;
    float *cover;
    struct neutral_set *sets;
    uint32_t set_count;
    struct neutral_linear *linears;
    uint32_t linear_count;
};

static int
invalid_entry(struct tree_draft *draft, enum tree_key key, size_t i, const char *reason)
{
    return lightgbm_invalid(draft->reader, draft->block->fields[key].line, "entry %zu of \"%s\" %s",
                            i, tree_keys[key], reason);
}

static void *
draft_alloc(struct tree_draft *draft, size_t count, size_t size)
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
            return invalid_entry(draft, key, i, "is neither an inner node nor a leaf of the tree");
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
            return invalid_entry(draft, TREE_SPLIT_FEATURE, i,
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
            return invalid_entry(draft, TREE_DECISION_TYPE, i, "is not from 0 to 11");
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

/* ---- category sets ------------------------------------------------------------------------- */

/* A bitset of 32-bit words, written as numbers. */
struct bitset {
    const int64_t *words;
    uint32_t count;
};

static int
read_set(struct tree_draft *draft, struct bitset bits, uint32_t node, struct neutral_set *out_set)
{
    size_t count = 0;
    uint32_t at = 0;

    for (uint32_t w = 0; w < bits.count; w++) {
        count += (size_t)__builtin_popcountll((uint64_t)bits.words[w]);
    }
    uint32_t *categories = draft_alloc(draft, count, sizeof(*categories));
    if (categories == NULL) {
        return lightgbm_no_memory(draft->reader);
    }
    for (uint32_t w = 0; w < bits.count; w++) {
        for (uint32_t bit = 0; bit < 32; bit++) {
            if (((uint64_t)bits.words[w] >> bit & 1) != 0) {
                categories[at++] = w * 32 + bit;
            }
        }
    }
    *out_set = (struct neutral_set){.node = node, .count = at, .categories = categories};
    return 0;
}

struct bitsets {
    const int64_t *boundaries; /* set k is words boundaries[k] to boundaries[k + 1] */
    const int64_t *words;
    uint32_t count;
    uint8_t *is_used;
};

static int
read_bitsets(struct tree_draft *draft, uint32_t count, struct bitsets *out_sets)
{
    const struct lightgbm_block *block = draft->block;
    size_t word_count = lightgbm_word_count(block->fields[TREE_CAT_THRESHOLD].value);
    int64_t *boundaries = NULL;
    int64_t *words = NULL;
    int rc = lightgbm_integers(draft->reader, block, TREE_CAT_BOUNDARIES, (size_t)count + 1,
                               &boundaries);

    if (rc == 0) {
        rc = lightgbm_integers(draft->reader, block, TREE_CAT_THRESHOLD, word_count, &words);
    }
    for (size_t i = 0; i <= count && rc == 0; i++) {
        if (boundaries[i] < (i == 0 ? 0 : boundaries[i - 1]) ||
            boundaries[i] > (int64_t)word_count) {
            rc = invalid_entry(draft, TREE_CAT_BOUNDARIES, i,
                               "does not rise within the words of \"cat_threshold\"");
        }
    }
    for (size_t i = 0; i < word_count && rc == 0; i++) {
        if (words[i] < 0 || words[i] > UINT32_MAX) {
            rc = invalid_entry(draft, TREE_CAT_THRESHOLD, i, "is not 32 bits of a set");
        }
    }
    if (rc == 0) {
        *out_sets = (struct bitsets){.boundaries = boundaries,
                                     .words = words,
                                     .count = count,
                                     .is_used = draft_alloc(draft, count, 1)};
        rc = out_sets->is_used == NULL ? lightgbm_no_memory(draft->reader) : 0;
    }
    return rc;
}

/* The threshold of a categorical node is the number of its set. LightGBM gives each node a set of
 * its own; shared ones would let a small file ask for much memory. */
static int
read_node_set(struct tree_draft *draft, struct bitsets *sets, uint32_t node)
{
    double number = draft->value[node];

    if (!(number >= 0.0 && number < (double)sets->count) || number != floor(number)) {
        return invalid_entry(draft, TREE_THRESHOLD, node, "is not one of the tree's num_cat sets");
    }
    uint32_t k = (uint32_t)number;
    if (sets->is_used[k] != 0) {
        return invalid_entry(draft, TREE_THRESHOLD, node, "names a set that another node uses");
    }
    sets->is_used[k] = 1;
    const struct bitset bits = {
        .words = sets->words + sets->boundaries[k],
        .count = (uint32_t)(sets->boundaries[k + 1] - sets->boundaries[k]),
    };
    return read_set(draft, bits, node, &draft->sets[draft->set_count++]);
}

static int
read_sets(struct tree_draft *draft)
{
    struct bitsets sets = {.count = 0};
    uint32_t set_count = 0;
    uint32_t node_count = 0;
    int rc = lightgbm_count(draft->reader, draft->block, TREE_NUM_CAT, &set_count);

    for (uint32_t i = 0; i < draft->inner_count; i++) {
        node_count += (draft->flags[i] & NEUTRAL_CATEGORICAL) != 0 ? 1 : 0;
    }
    if (rc == 0 && set_count > 0) {
        rc = read_bitsets(draft, set_count, &sets);
    }
    draft->sets = draft_alloc(draft, node_count, sizeof(*draft->sets));
    if (rc == 0 && draft->sets == NULL) {
        rc = lightgbm_no_memory(draft->reader);
    }
    for (uint32_t i = 0; i < draft->inner_count && rc == 0; i++) {
        if ((draft->flags[i] & NEUTRAL_CATEGORICAL) != 0) {
            rc = read_node_set(draft, &sets, i);
        }
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
        rc = read_sets(draft);
    }
    if (rc == 0) {
        raise_thresholds(draft);
    }
    return rc;
}

/* ---- leaves -------------------------------------------------------------------------------- */

static int
read_leaves(struct tree_draft *draft)
{
    double *values = NULL;
    int rc =
        lightgbm_doubles(draft->reader, draft->block, TREE_LEAF_VALUE, draft->leaf_count, &values);

    for (uint32_t i = 0; i < draft->leaf_count && rc == 0; i++) {
        uint32_t node = draft->inner_count + i;
        draft->left[node] = NEUTRAL_LEAF;
        draft->right[node] = NEUTRAL_LEAF;
        draft->value[node] = values[i];
        draft->numbers[node] = i;
    }
    return rc;
}

/* Where `count` leaves' terms stand in leaf_features and leaf_coeff, one leaf after another. */
struct terms {
    const int64_t *counts;
    const int64_t *features;
    const double *coefficients;
    const double *constants;
};

static int
read_terms(struct tree_draft *draft, struct terms *out_terms)
{
    struct lightgbm_reader *reader = draft->reader;
    const struct lightgbm_block *block = draft->block;
    size_t total = lightgbm_word_count(block->fields[TREE_LEAF_FEATURES].value);
    size_t sum = 0;
    int64_t *counts = NULL;
    int64_t *features = NULL;
    double *coefficients = NULL;
    double *constants = NULL;
    int rc = lightgbm_doubles(reader, block, TREE_LEAF_CONST, draft->leaf_count, &constants);

    if (rc == 0) {
        rc = lightgbm_integers(reader, block, TREE_NUM_FEATURES, draft->leaf_count, &counts);
    }
    if (rc == 0) {
        rc = lightgbm_integers(reader, block, TREE_LEAF_FEATURES, total, &features);
    }
    if (rc == 0) {
        rc = lightgbm_doubles(reader, block, TREE_LEAF_COEFF, total, &coefficients);
    }
    for (uint32_t i = 0; i < draft->leaf_count && rc == 0; i++) {
        if (counts[i] < 0 || (uint64_t)counts[i] > total - sum) {
            rc = invalid_entry(draft, TREE_NUM_FEATURES, i, "does not fit \"leaf_features\"");
        } else {
            sum += (size_t)counts[i];
        }
    }
    if (rc == 0 && sum != total) {
        rc = lightgbm_invalid(reader, block->fields[TREE_LEAF_FEATURES].line,
                              "\"leaf_features\" holds %zu numbers, \"num_features\" counts %zu",
                              total, sum);
    }
    *out_terms = (struct terms){counts, features, coefficients, constants};
    return rc;
}

/* Of a linear tree each leaf is a function of the row; one without features is its constant. */
static int
read_linear_leaves(struct tree_draft *draft)
{
    struct terms terms = {.counts = NULL};
    size_t at = 0;
    int rc = read_terms(draft, &terms);

    draft->linears = draft_alloc(draft, draft->leaf_count, sizeof(*draft->linears));
    if (rc == 0 && draft->linears == NULL) {
        rc = lightgbm_no_memory(draft->reader);
    }
    for (uint32_t i = 0; i < draft->leaf_count && rc == 0; i++) {
        uint32_t count = (uint32_t)terms.counts[i];
        uint32_t *features = draft_alloc(draft, count, sizeof(*features));
        if (features == NULL) {
            return lightgbm_no_memory(draft->reader);
        }
        for (uint32_t k = 0; k < count; k++) {
            int64_t feature = terms.features[at + k];
            if (feature < 0 || feature >= draft->feature_count) {
                return invalid_entry(draft, TREE_LEAF_FEATURES, at + k,
                                     "is not one of the model's features");
            }
            features[k] = (uint32_t)feature;
        }
        if (count == 0) {
            draft->value[draft->inner_count + i] = terms.constants[i];
        } else {
            draft->linears[draft->linear_count++] = (struct neutral_linear){
                .node = draft->inner_count + i,
                .count = count,
                .constant = terms.constants[i],
                .features = features,
                .coefficients = terms.coefficients + at,
            };
        }
        at += count;
    }
    return rc;
}

/* How many training rows came by; contributions need it, predictions do not. */
static int
read_covers(struct tree_draft *draft)
{
    double *inner = NULL;
    double *leaves = NULL;
    bool has_inner = draft->inner_count == 0 || lightgbm_has(draft->block, TREE_INTERNAL_COUNT);

    if (!has_inner || !lightgbm_has(draft->block, TREE_LEAF_COUNT) ||
        draft->block->fields[TREE_LEAF_COUNT].value.len == 0) {
        return 0;
    }
    int rc =
        lightgbm_doubles(draft->reader, draft->block, TREE_LEAF_COUNT, draft->leaf_count, &leaves);
    if (rc == 0 && draft->inner_count > 0) {
        rc = lightgbm_doubles(draft->reader, draft->block, TREE_INTERNAL_COUNT, draft->inner_count,
                              &inner);
    }
    float *cover =
        draft_alloc(draft, draft->inner_count + (size_t)draft->leaf_count, sizeof(*cover));
    if (rc == 0 && cover == NULL) {
        rc = lightgbm_no_memory(draft->reader);
    }
    for (uint32_t i = 0; i < draft->inner_count + draft->leaf_count && rc == 0; i++) {
        bool is_leaf = i >= draft->inner_count;
        double count = is_leaf ? leaves[i - draft->inner_count] : inner[i];
        if (!(count >= 0.0 && count <= (double)UINT32_MAX)) {
            return invalid_entry(draft, is_leaf ? TREE_LEAF_COUNT : TREE_INTERNAL_COUNT,
                                 is_leaf ? i - draft->inner_count : i, "is no count of rows");
        }
        cover[i] = (float)count;
    }
    draft->cover = cover;
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
    draft->left = draft_alloc(draft, nodes, sizeof(*draft->left));
    draft->right = draft_alloc(draft, nodes, sizeof(*draft->right));
    draft->feature = draft_alloc(draft, nodes, sizeof(*draft->feature));
    draft->value = draft_alloc(draft, nodes, sizeof(*draft->value));
    draft->flags = draft_alloc(draft, nodes, sizeof(*draft->flags));
    draft->numbers = draft_alloc(draft, nodes, sizeof(*draft->numbers));
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
        rc = read_leaves(&draft);
    }
    if (rc == 0 && draft.inner_count > 0) {
        rc = read_inner_nodes(&draft);
    }
    if (rc == 0) {
        rc = read_is_linear(&draft, &is_linear);
    }
    if (rc == 0 && is_linear) {
        rc = read_linear_leaves(&draft);
    }
    if (rc == 0) {
        rc = read_covers(&draft);
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
