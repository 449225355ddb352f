/* SPDX-License-Identifier: MIT */
/*
 * spread.c - how far the trees of a forest disagree about a row. A heuristic: it says where the
 * training rows were few or contradictory, and promises nothing.
 */
#include <math.h>

#include "kernel.h"
#include "wide_node.h"

bool
model_has_spread(const struct model *model)
{
    const struct blob_header *header = blob_header(model);

    return header->kind == NEUTRAL_FOREST && header->kernel == BLOB_WIDE &&
           header->output_count == 1 && header->leaf_width == 1 && header->tree_count > 1 &&
           header->link == MODEL_LINK_IDENTITY && header->term_count == 0;
}

size_t
model_spread_scratch_bytes(const struct model *model)
{
    return ((size_t)blob_header(model)->input_count + 1) * sizeof(double);
}

static double
number_at(const struct model *model, const void *row, uint32_t feature, bool has_inputs)
{
    return has_inputs ? ((const double *)row)[feature] : model_number_get(model, row, feature);
}

/* What one tree would answer alone. */
static double
tree_value(const struct model *model, uint32_t tree, const void *row, bool has_inputs)
{
    const struct blob_header *header = blob_header(model);
    const struct blob_round *rounds = blob_section(model, BLOB_ROUNDS);
    const struct wide_node *node = blob_section(model, BLOB_NODES);
    const uint32_t *sets = blob_section(model, BLOB_SETS);
    const double *base = blob_section(model, BLOB_BASE_MARGINS);

    node += rounds[tree / BLOB_ROUND_TREES].root[tree % BLOB_ROUND_TREES];
    while (node->distance != 0) {
        double x = number_at(model, row, node->feature, has_inputs);
        node += node->distance + wide_goes_right(node, sets, x);
    }
    return (base[0] + node->value * header->tree_count) / header->divisor;
}

static void
row_spread(const struct model *model, const void *row, bool has_inputs, double *out_spread)
{
    double mean = 0, squares = 0;
    double least = INFINITY, greatest = -INFINITY;

    for (uint32_t t = 0; t < model->tree_count; t++) {
        double value = tree_value(model, t, row, has_inputs);
        double step = value - mean;
        mean += step / (t + 1.0);
        squares += step * (value - mean);
        least = fmin(least, value);
        greatest = fmax(greatest, value);
    }
    out_spread[MODEL_SPREAD_STD] = sqrt(squares / model->tree_count);
    out_spread[MODEL_SPREAD_MIN] = least;
    out_spread[MODEL_SPREAD_MAX] = greatest;
}

void
model_spread(const struct model *model, const void *rows, size_t row_count, void *scratch,
             double *out_spreads)
{
    size_t row_bytes = model->feature_count * model_number_bytes(model);
    bool has_inputs = blob_header(model)->input_count > 0;

    for (size_t i = 0; i < row_count; i++) {
        const void *row = (const uint8_t *)rows + i * row_bytes;
        if (has_inputs) {
            kernel_inputs(model, row, 1, scratch);
            row = scratch;
        }
        row_spread(model, row, has_inputs, out_spreads + i * MODEL_SPREAD_COUNT);
    }
}
