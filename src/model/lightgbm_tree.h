/* SPDX-License-Identifier: MIT */
/*
 * lightgbm_tree.h - the tree of a LightGBM text while it is read, shared by the files that read its
 * parts. The source numbers inner nodes and leaves apart; in the neutral form leaf k follows the
 * inner nodes, at inner_count + k.
 */
#pragma once

#include "lightgbm.h"

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

/* "entry 3 of "left_child" …" */
int lightgbm_invalid_entry(const struct tree_draft *draft, enum tree_key key, size_t i,
                           const char *reason);
/* Zeroed, from the import's arena. */
void *lightgbm_draft_alloc(const struct tree_draft *draft, size_t count, size_t size);

/* lightgbm_sets.c: the sets of the categorical nodes, whose thresholds still number them. */
AUGURY_MUST_USE int lightgbm_read_sets(struct tree_draft *draft);

/* lightgbm_leaves.c: values and numbers; the functions of a linear tree's leaves; how many training
 * rows came by each node, where the file tells. */
AUGURY_MUST_USE int lightgbm_read_leaves(struct tree_draft *draft);
AUGURY_MUST_USE int lightgbm_read_linear_leaves(struct tree_draft *draft);
AUGURY_MUST_USE int lightgbm_read_covers(struct tree_draft *draft);
