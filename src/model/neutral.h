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
    NEUTRAL_LINEAR, /* one layer */
    NEUTRAL_MLP,    /* layers, of doubles as NEUTRAL_LINEAR's */
    NEUTRAL_SCORECARD,
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
    NEUTRAL_SORTED = 1 << 2, /* of float32: a row's predictions in rising order (quantiles) */
};

enum { NEUTRAL_SORTED_MAX = 256 }; /* outputs of a model with NEUTRAL_SORTED */

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
    bool is_unknown_allowed; /* a text that is no level gets the code level_count */
    uint32_t level_count;
    const struct bytes *levels;
};

/*
 * What the training library computes from a feature before the model proper sees it (scaling, one
 * column a category, filling in what is missing): an input. Trees, layers and so on of a model with
 * inputs number those instead of features. Of MODEL_FLOAT64 alone.
 */
enum neutral_op {
    NEUTRAL_SUBTRACT,
    NEUTRAL_ADD,
    NEUTRAL_MULTIPLY,
    NEUTRAL_DIVIDE,
    NEUTRAL_CLIP,       /* to a … b */
    NEUTRAL_FILL,       /* a missing value becomes a */
    NEUTRAL_IS_MISSING, /* 1 or 0 */
    NEUTRAL_EQUALS,     /* a: 1, else and missing 0 */
    NEUTRAL_FIND,       /* a key: its value; missing: b; else a. Both may be NaN */
    NEUTRAL_OP_COUNT
};
struct neutral_step {
    enum neutral_op op;
    double a, b;
    uint32_t key_count; /* of NEUTRAL_FIND */
    const double *keys; /* ascending */
    const double *values;
};
struct neutral_input {
    uint32_t feature;
    uint32_t step_count; /* 0: the feature as it is */
    const struct neutral_step *steps;
};

/* out[k] = activation(bias[k] + sum over i of weights[k × inputs + i] × in[i]) */
enum neutral_activation {
    NEUTRAL_PLAIN,
    NEUTRAL_RELU,
    NEUTRAL_TANH,
    NEUTRAL_LOGISTIC,
    NEUTRAL_ACTIVATION_COUNT
};
struct neutral_layer {
    uint32_t inputs;
    uint32_t outputs;
    enum neutral_activation activation;
    const double *weights;
    const double *biases;
};

/* A characteristic of a scorecard: bin i holds cuts[i - 1] <= x < cuts[i]; the bin after those is
 * for a missing value. Of a category the cuts lie at its codes. */
enum { NEUTRAL_NO_REASON = UINT32_MAX };
struct neutral_bin {
    double points;
    uint32_t reason; /* in neutral_model.reasons, or NEUTRAL_NO_REASON */
};
struct neutral_attribute {
    uint32_t feature;
    uint32_t cut_count;
    const double *cuts;             /* ascending */
    const struct neutral_bin *bins; /* cut_count + 2 */
    double reference;               /* points that fewer are a loss against */
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
    double link_offset;   /* of float64 sigmoids: added to the margin */
    uint32_t input_count; /* 0: inputs are the features */
    const struct neutral_input *inputs;
    uint32_t class_count; /* names of classes; 0: they have none */
    const struct bytes *classes;
    uint32_t layer_count; /* of NEUTRAL_LINEAR and NEUTRAL_MLP */
    const struct neutral_layer *layers;
    uint32_t attribute_count; /* of NEUTRAL_SCORECARD */
    const struct neutral_attribute *attributes;
    uint32_t reason_count;
    const struct bytes *reasons;
    struct bytes objective;
    struct bytes source;
};

/* What trees, layers and attributes number: inputs, or without any the features. */
static inline uint32_t
neutral_width(const struct neutral_model *model)
{
    return model->input_count > 0 ? model->input_count : model->feature_count;
}

/* The smallest number of that precision over t: `x <= t` is `x < neutral_above(t)`. */
double neutral_above(enum model_number number, double t);

/* neutral_parts.c: inputs, classes, layers, attributes; a part of neutral_check(). */
AUGURY_MUST_USE int neutral_check_parts(const struct neutral_model *model, struct err *err);

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
