/* SPDX-License-Identifier: MIT */
/*
 * neutral.h - a model as every importer hands it over: plain arrays, as the source has them, not
 * yet trusted.
 * An importer fills a struct neutral_model, neutral_check() is the only judge of it, blob_compile()
 * turns it into a blob.
 * Ownership: everything lives in the importer's arena.
 */
#pragma once

#include "augury/model.h"

enum neutral_kind {
    NEUTRAL_GBTREE,
    NEUTRAL_DART,
    NEUTRAL_GBLINEAR,
    NEUTRAL_FOREST, /* independent trees: margins are a mean, see neutral_model.divisor */
    NEUTRAL_KIND_COUNT
};

enum neutral_node_flags {
    NEUTRAL_DEFAULT_LEFT = 1 << 0, /* a missing value goes left, else right */
    NEUTRAL_CATEGORICAL = 1 << 1,  /* the test is a set of categories; its members go right */
    NEUTRAL_MEMBERS_LEFT = 1 << 2, /* of a categorical test: its members go left, others right */
    /* Of a number: what counts as missing. Else: NaN alone. */
    NEUTRAL_NAN_IS_ZERO = 1 << 3,     /* nothing: NaN is read as 0 */
    NEUTRAL_ZERO_IS_MISSING = 1 << 4, /* NaN, and |x| <= NEUTRAL_ZERO */
    NEUTRAL_NUMBERS_LEFT = 1 << 5,    /* every number goes left (`x <= inf`); value is not read */
};

/* LightGBM's kZeroThreshold: a float that is compared as a double. */
#define NEUTRAL_ZERO ((double)1e-35f)

enum neutral_flags {
    NEUTRAL_BINARY = 1 << 0,        /* one margin for class 1 of two: probabilities 1 - p and p */
    NEUTRAL_EXP_IN_DOUBLE = 1 << 1, /* MODEL_LINK_EXP of float32 is computed in double */
};

enum { NEUTRAL_LEAF = -1, NEUTRAL_CATEGORY_MAX = (1 << 24) - 1 };

/* The categories of one node's test; sorted and unique once checked. */
struct neutral_set {
    uint32_t node;
    uint32_t count;
    uint32_t *categories;
};

/* A leaf that is a linear function of the row: constant + the sum, in this order, of coefficient ×
 * x; where one of its features is missing, the leaf's value. An x within NEUTRAL_ZERO of zero is
 * zero. Of MODEL_FLOAT64 and leaf_width 1. */
struct neutral_linear {
    uint32_t node;
    uint32_t count;
    double constant;
    const uint32_t *features;
    const double *coefficients;
};

/* Node 0 is the root. Nodes that the root does not reach are tolerated (pruning leaves them) and
 * dropped. Of a model of MODEL_FLOAT32 every value is a float32 widened. A source that tests
 * `x <= t` hands over the next larger number of its precision: see neutral_above(). */
struct neutral_tree {
    uint32_t node_count;
    uint32_t output;         /* which margin it adds to; 0 when leaf_width > 1 */
    const int32_t *left;     /* NEUTRAL_LEAF: a leaf */
    const int32_t *right;    /* in a leaf of a model with leaf_width > 1: its row of `vectors` */
    const uint32_t *feature; /* unused in a leaf */
    const double *value;     /* x < value goes left; in a leaf: what it adds */
    const uint8_t *flags;    /* enum neutral_node_flags */
    const float *cover;      /* weight of the training rows (XGBoost: sum of hessians), or NULL */
    const struct neutral_set *sets; /* ascending by node */
    uint32_t set_count;
    const double *vectors; /* vector_count × leaf_width, or NULL */
    uint32_t vector_count;
    const struct neutral_linear *linears; /* ascending by node */
    uint32_t linear_count;
    const uint32_t *numbers; /* of each node in the source, which model_leaves() answers; NULL:
                              * its place here */
};

struct neutral_feature {
    struct bytes name;
    enum model_feature_type type;
    bool is_typed; /* the type was given, not assumed */
    bool is_missing_allowed;
    uint32_t level_count;
    const struct bytes *levels;
};

struct neutral_model {
    enum neutral_kind kind;
    enum model_number number; /* of rows, thresholds, leaves and sums */
    enum model_link link;
    double link_scale; /* sigmoid links: 1 / (1 + exp(-link_scale × margin)); else 1 */
    unsigned flags;    /* enum neutral_flags */
    uint32_t feature_count;
    struct neutral_feature *features;
    uint32_t output_count;
    const double *base_margins; /* output_count */
    uint32_t tree_count;
    const struct neutral_tree *trees;
    uint32_t leaf_width;  /* 1: a leaf adds its value to its tree's output. K = output_count: a row
                          * of vectors to all */
    double divisor;       /* margin = (base + sum over trees) / divisor; 1 for boosting */
    const float *weights; /* of NEUTRAL_GBLINEAR: (feature_count + 1) × output_count, bias last */
    struct bytes objective;
    struct bytes source;
};

/* The smallest number of that precision over t: `x <= t` is `x < neutral_above(t)`. */
double neutral_above(enum model_number number, double t);

/* Refuses (err names tree, node and reason) whatever a kernel could not evaluate: ids out of range,
 * a node reached twice, a tree deeper than MODEL_TREE_DEPTH_MAX, numbers that are none. scratch is
 * used and given back. */
AUGURY_MUST_USE int neutral_check(const struct neutral_model *model, struct arena *scratch,
                                  struct err *err);

/* Of a checked tree: the source ids of the reachable nodes, breadth first, so that siblings are
 * adjacent. out_order has room for node_count; the count is returned. */
uint32_t neutral_tree_order(const struct neutral_tree *tree, uint32_t *out_order,
                            uint32_t *out_depth);

/* The linear function of a leaf, or NULL. */
const struct neutral_linear *neutral_linear_find(const struct neutral_tree *tree, uint32_t node);

/* The set of a node, or NULL. */
const struct neutral_set *neutral_set_find(const struct neutral_tree *tree, uint32_t node);
