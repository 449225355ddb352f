/* SPDX-License-Identifier: MIT */
/*
 * kernel_wide.c - the kernel for every tree that 8-byte nodes cannot hold: float64, category sets,
 * other rules for missing values, leaves of several values, more than PACK_FEATURES_MAX features,
 * wider levels, thresholds of -inf. One row, one tree at a time.
 */
#include "kernel.h"
#include "wide_node.h"

#include <math.h>
#include <string.h>

/* number is a constant of each caller: the compiler makes one walk a precision. */
static inline const struct wide_node *
wide_walk(const struct wide_node *node, const uint32_t *sets, const void *row,
          enum model_number number)
{
    while (node->distance != 0) {
        double x = number == MODEL_FLOAT32 ? (double)((const float *)row)[node->feature]
                                           : ((const double *)row)[node->feature];
        node += node->distance + wide_goes_right(node, sets, x);
    }
    return node;
}

/* What one evaluation reads of the blob. */
struct wide_forest {
    const struct model *model;
    const struct blob_round *rounds;
    const struct wide_node *nodes;
    const uint32_t *sets;
    const double *base;
    const double *vectors;
    const struct blob_term *terms;
};

static struct wide_forest
wide_forest_of(const struct model *model)
{
    return (struct wide_forest){
        .model = model,
        .rounds = blob_section(model, BLOB_ROUNDS),
        .nodes = blob_section(model, BLOB_NODES),
        .sets = blob_section(model, BLOB_SETS),
        .base = blob_section(model, BLOB_BASE_MARGINS),
        .vectors = blob_section(model, BLOB_VECTORS),
        .terms = blob_section(model, BLOB_TERMS),
    };
}

static inline const struct wide_node *
tree_walk(const struct wide_forest *forest, uint32_t tree, const void *row,
          enum model_number number)
{
    uint32_t root = forest->rounds[tree / BLOB_ROUND_TREES].root[tree % BLOB_ROUND_TREES];

    return wide_walk(forest->nodes + root, forest->sets, row, number);
}

static void
row_margins_f32(const struct wide_forest *forest, const float *row, float *out_margins)
{
    const struct model *model = forest->model;
    const struct blob_header *header = blob_header(model);
    uint32_t width = header->leaf_width;

    for (uint32_t k = 0; k < model->output_count; k++) {
        out_margins[k] = (float)forest->base[k];
    }
    for (uint32_t t = 0; t < model->tree_count; t++) {
        const struct wide_node *leaf = tree_walk(forest, t, row, MODEL_FLOAT32);
        if (width == 1) {
            unsigned lane = t % BLOB_ROUND_TREES;
            out_margins[forest->rounds[t / BLOB_ROUND_TREES].output[lane]] += (float)leaf->value;
            continue;
        }
        const double *vector = forest->vectors + (size_t)leaf->value * width;
        for (uint32_t k = 0; k < width; k++) {
            out_margins[k] += (float)vector[k];
        }
    }
    for (uint32_t k = 0; header->divisor != 1.0 && k < model->output_count; k++) {
        out_margins[k] /= (float)header->divisor;
    }
}

/* What a leaf adds: its value, or of a linear one its function of the row. */
static inline double
leaf_value_f64(const struct wide_forest *forest, const struct wide_node *leaf, const double *row)
{
    if ((leaf->test & WIDE_LINEAR_LEAF) == 0) {
        return leaf->value;
    }
    const struct blob_term *terms = forest->terms + (size_t)leaf->value;
    double sum = terms[0].number;
    for (uint32_t k = 0; k < terms[0].count; k++) {
        double x = row[terms[BLOB_TERM_HEAD + k].feature];
        if (isnan(x)) {
            return terms[1].number;
        }
        sum += terms[BLOB_TERM_HEAD + k].number * (fabs(x) <= NEUTRAL_ZERO ? 0.0 : x);
    }
    return sum;
}

static void
row_margins_f64(const struct wide_forest *forest, const double *row, double *out_margins)
{
    const struct model *model = forest->model;
    const struct blob_header *header = blob_header(model);
    uint32_t width = header->leaf_width;

    memcpy(out_margins, forest->base, model->output_count * sizeof(double));
    for (uint32_t t = 0; t < model->tree_count; t++) {
        const struct wide_node *leaf = tree_walk(forest, t, row, MODEL_FLOAT64);
        if (width == 1) {
            unsigned lane = t % BLOB_ROUND_TREES;
            out_margins[forest->rounds[t / BLOB_ROUND_TREES].output[lane]] +=
                leaf_value_f64(forest, leaf, row);
            continue;
        }
        const double *vector = forest->vectors + (size_t)leaf->value * width;
        for (uint32_t k = 0; k < width; k++) {
            out_margins[k] += vector[k];
        }
    }
    for (uint32_t k = 0; header->divisor != 1.0 && k < model->output_count; k++) {
        out_margins[k] /= header->divisor;
    }
}

static size_t
wide_scratch_bytes(const struct model *model, size_t row_count)
{
    (void)model;
    (void)row_count;
    return 0;
}

static void
wide_margins(const struct model *model, const void *rows, size_t row_count, void *scratch,
             void *out_margins)
{
    const struct wide_forest forest = wide_forest_of(model);

    (void)scratch;
    for (size_t r = 0; r < row_count; r++) {
        if (model->number == MODEL_FLOAT32) {
            row_margins_f32(&forest, (const float *)rows + r * model->feature_count,
                            (float *)out_margins + r * model->output_count);
        } else {
            row_margins_f64(&forest, (const double *)rows + r * model->feature_count,
                            (double *)out_margins + r * model->output_count);
        }
    }
}

static void
wide_leaves(const struct model *model, const void *rows, size_t row_count, void *scratch,
            uint32_t *out_leaves)
{
    const struct wide_forest forest = wide_forest_of(model);
    const uint32_t *source_nodes = blob_section(model, BLOB_SOURCE_NODES);
    size_t row_bytes = model->feature_count * model_number_bytes(model);

    (void)scratch;
    for (size_t r = 0; r < row_count; r++) {
        const uint8_t *row = (const uint8_t *)rows + r * row_bytes;
        for (uint32_t t = 0; t < model->tree_count; t++) {
            const struct wide_node *leaf = model->number == MODEL_FLOAT32
                                               ? tree_walk(&forest, t, row, MODEL_FLOAT32)
                                               : tree_walk(&forest, t, row, MODEL_FLOAT64);
            *out_leaves++ = source_nodes[leaf - forest.nodes];
        }
    }
}

static bool
wide_can_run(const struct model *model)
{
    return blob_header(model)->kernel == BLOB_WIDE;
}

const struct kernel_ops kernel_wide = {
    .name = "wide",
    .rows_min = 1,
    .can_run = wide_can_run,
    .scratch_bytes = wide_scratch_bytes,
    .margins = wide_margins,
    .leaves = wide_leaves,
};
