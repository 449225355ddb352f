/* SPDX-License-Identifier: MIT */
/*
 * lightgbm_leaves.c - the leaves of a tree: what they add, as numbers or as linear functions of the
 * row (is_linear), and how many training rows came by each node.
 */
#include "lightgbm_tree.h"

int
lightgbm_read_leaves(struct tree_draft *draft)
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

/* ---- linear leaves ------------------------------------------------------------------------- */

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
            rc = lightgbm_invalid_entry(draft, TREE_NUM_FEATURES, i,
                                        "does not fit \"leaf_features\"");
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
int
lightgbm_read_linear_leaves(struct tree_draft *draft)
{
    struct terms terms = {.counts = NULL};
    size_t at = 0;
    int rc = read_terms(draft, &terms);

    if (rc != 0) {
        return rc;
    }
    draft->linears = lightgbm_draft_alloc(draft, draft->leaf_count, sizeof(*draft->linears));
    if (draft->linears == NULL) {
        return lightgbm_no_memory(draft->reader);
    }
    for (uint32_t i = 0; i < draft->leaf_count; i++) {
        uint32_t count = (uint32_t)terms.counts[i];
        uint32_t *features = lightgbm_draft_alloc(draft, count, sizeof(*features));
        if (features == NULL) {
            return lightgbm_no_memory(draft->reader);
        }
        for (uint32_t k = 0; k < count; k++) {
            int64_t feature = terms.features[at + k];
            if (feature < 0 || feature >= draft->feature_count) {
                return lightgbm_invalid_entry(draft, TREE_LEAF_FEATURES, at + k,
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
    return 0;
}

/* ---- covers -------------------------------------------------------------------------------- */

/* How many training rows came by; contributions need it, predictions do not. */
int
lightgbm_read_covers(struct tree_draft *draft)
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
        lightgbm_draft_alloc(draft, draft->inner_count + (size_t)draft->leaf_count, sizeof(*cover));
    if (rc == 0 && cover == NULL) {
        rc = lightgbm_no_memory(draft->reader);
    }
    for (uint32_t i = 0; i < draft->inner_count + draft->leaf_count && rc == 0; i++) {
        bool is_leaf = i >= draft->inner_count;
        double count = is_leaf ? leaves[i - draft->inner_count] : inner[i];
        if (!(count >= 0.0 && count <= (double)UINT32_MAX)) {
            return lightgbm_invalid_entry(draft, is_leaf ? TREE_LEAF_COUNT : TREE_INTERNAL_COUNT,
                                          is_leaf ? i - draft->inner_count : i,
                                          "is no count of rows");
        }
        cover[i] = (float)count;
    }
    draft->cover = cover;
    return rc;
}
