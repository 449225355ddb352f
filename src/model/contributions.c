/* SPDX-License-Identifier: MIT */
/*
 * contributions.c - how much each feature moved a margin: which evaluation answers, models without
 * trees, and the largest contributions of a row.
 */
#include "contributions.h"

#include <math.h>
#include <string.h>

static const struct contributions_ops *const *
list_of(const struct model *model)
{
    return model->number == MODEL_FLOAT32 ? contributions_list_f32 : contributions_list_f64;
}

/* Few rows are not worth many lanes: the first that has one for each row, else the last that this
 * processor can run. */
static const struct contributions_ops *
ops_for(const struct model *model, size_t row_count)
{
    const struct contributions_ops *const *list = list_of(model);
    const struct contributions_ops *best = list[0];
    unsigned cpu = kernel_cpu_bits();

    for (size_t i = 1; list[i] != NULL && best->lanes < row_count; i++) {
        best = (list[i]->needs & ~cpu) == 0 ? list[i] : best;
    }
    return best;
}

static int
refuse(struct err *err, const char *reason)
{
    return err_set(err, AUGURY_ERR_UNSUPPORTED, "no_such_output", "no contributions: %s", reason);
}

int
model_has_contributions(const struct model *model, struct err *err)
{
    const struct blob_header *header = blob_header(model);
    bool is_treeless = header->kernel == BLOB_LINEAR || header->kernel == BLOB_SCORECARD ||
                       header->kind == NEUTRAL_LINEAR;

    if (is_treeless || header->contribution_points > 0) {
        return 0;
    }
    if (header->kind == NEUTRAL_MLP) {
        return refuse(err, "the model is a multi-layer perceptron; trees, linear models and "
                           "scorecards have them");
    }
    if (header->term_count > 0) {
        return refuse(err, "leaves of the model are linear functions of the row; train it without "
                           "linear_tree");
    }
    return refuse(err, "the model's file does not say how many training rows its nodes saw "
                       "(sum_hessian, leaf_count, n_node_samples); save the model with them and "
                       "import it again");
}

size_t
model_contributions_scratch_bytes(const struct model *model, size_t row_count)
{
    const struct blob_header *header = blob_header(model);

    /* More lanes take more: the widest that any part of the rows is given to. */
    return header->contribution_points > 0 ? ops_for(model, row_count)->scratch_bytes(model)
                                           : header->input_count * sizeof(double);
}

/* ---- models without trees -------------------------------------------------------------------- */

/* Weight × value: a missing value moves nothing. */
static void
gblinear_contributions(const struct model *model, const float *row, float *out)
{
    const float *weights = blob_section(model, BLOB_WEIGHTS);
    const double *base = blob_section(model, BLOB_BASE_MARGINS);
    size_t features = model->feature_count;
    size_t outputs = model->output_count;

    for (size_t k = 0; k < outputs; k++) {
        for (size_t i = 0; i < features; i++) {
            *out++ = isnan(row[i]) ? 0.0f : row[i] * weights[i * outputs + k];
        }
        *out++ = weights[features * outputs + k] + (float)base[k];
    }
}

/* One layer: of a feature, weight × value of each input made of it. */
static void
linear_contributions(const struct model *model, const double *row, double *scratch, double *out)
{
    const struct blob_layer *layer = blob_section(model, BLOB_LAYERS);
    const struct blob_input *inputs = blob_section(model, BLOB_INPUTS);
    const double *weights = (const double *)blob_section(model, BLOB_NUMBERS) + layer->first;
    const double *biases = weights + (size_t)layer->inputs * layer->outputs;
    bool has_inputs = blob_header(model)->input_count > 0;

    if (has_inputs) {
        kernel_inputs(model, row, 1, scratch);
        row = scratch;
    }
    for (size_t k = 0; k < layer->outputs; k++) {
        double *values = out + k * (model->feature_count + 1);
        memset(values, 0, model->feature_count * sizeof(*values));
        for (size_t i = 0; i < layer->inputs; i++) {
            values[has_inputs ? inputs[i].feature : i] += *weights++ * row[i];
        }
        values[model->feature_count] = biases[k];
    }
}

static void
treeless_contributions(const struct model *model, const void *row, void *scratch, void *out)
{
    switch ((enum blob_kernel)blob_header(model)->kernel) {
    case BLOB_LINEAR: gblinear_contributions(model, row, out); break;
    case BLOB_DENSE: linear_contributions(model, row, scratch, out); break;
    case BLOB_SCORECARD: kernel_scorecard_contributions(model, row, out); break;
    case BLOB_PACK8:
    case BLOB_WIDE:
    case BLOB_KERNEL_COUNT: break;
    }
}

/* ---- rows ------------------------------------------------------------------------------------ */

void
model_contributions(const struct model *model, const void *rows, size_t row_count, void *scratch,
                    void *out)
{
    size_t row_bytes = model->feature_count * model_number_bytes(model);
    size_t out_bytes = model_contributions_count(model) * model_number_bytes(model);
    bool has_trees = blob_header(model)->contribution_points > 0;
    const uint8_t *row = rows;
    uint8_t *values = out;

    AUGURY_ASSERT(model_has_contributions(model, NULL) == 0);
    while (row_count > 0) {
        size_t count = 1;
        if (has_trees) {
            const struct contributions_ops *ops = ops_for(model, row_count);
            count = row_count < ops->lanes ? row_count : ops->lanes;
            ops->block(model, row, count, scratch, values);
        } else {
            treeless_contributions(model, row, scratch, values);
        }
        row += count * row_bytes;
        values += count * out_bytes;
        row_count -= count;
    }
}

/* ---- the largest ----------------------------------------------------------------------------- */

/* Whether a goes before b: it is larger, or as large and of an earlier feature. NaN is least. */
static bool
goes_before(const struct model *model, const void *values, uint32_t a, uint32_t b)
{
    double x = fabs(model_number_get(model, values, a));
    double y = fabs(model_number_get(model, values, b));

    x = isnan(x) ? -1.0 : x;
    y = isnan(y) ? -1.0 : y;
    return x > y || (x == y && a < b);
}

/* A heap whose first entry goes last of all; the new first entry sinks to its place. */
static void
heap_sift(const struct model *model, const void *values, uint32_t *heap, uint32_t count)
{
    uint32_t moved = heap[0];
    uint32_t at = 0;

    for (uint32_t child = 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && goes_before(model, values, heap[child], heap[child + 1])) {
            child++;
        }
        if (!goes_before(model, values, moved, heap[child])) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

/* A new last entry rises to its place. */
static void
heap_raise(const struct model *model, const void *values, uint32_t *heap, uint32_t at)
{
    uint32_t moved = heap[at];

    while (at > 0 && goes_before(model, values, heap[(at - 1) / 2], moved)) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = moved;
}

uint32_t
model_contributions_top(const struct model *model, const void *values, uint32_t k,
                        uint32_t *out_features)
{
    uint32_t count = 0;

    for (uint32_t i = 0; k > 0 && i < model->feature_count; i++) {
        if (count < k) {
            out_features[count] = i;
            heap_raise(model, values, out_features, count++);
        } else if (goes_before(model, values, i, out_features[0])) {
            out_features[0] = i;
            heap_sift(model, values, out_features, count);
        }
    }
    for (uint32_t left = count; left > 1; left--) {
        uint32_t last = out_features[0];
        out_features[0] = out_features[left - 1];
        out_features[left - 1] = last;
        heap_sift(model, values, out_features, left - 1);
    }
    return count;
}
