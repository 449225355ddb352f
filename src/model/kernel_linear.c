/* SPDX-License-Identifier: MIT */
/*
 * kernel_linear.c - gblinear: bias + base margin, then weight × value in feature order, in float32
 * as XGBoost adds them. A missing value adds nothing. The room is built without fused multiply-add,
 * which would round once where XGBoost rounds twice.
 */
#include "kernel.h"

#include <math.h>

static size_t
linear_scratch_bytes(const struct model *model, size_t row_count)
{
    (void)model;
    (void)row_count;
    return 0;
}

static void
linear_margins(const struct model *model, const void *rows, size_t row_count, void *scratch,
               void *out_margins)
{
    const float *row = rows;
    float *margin = out_margins;
    const float *weights = blob_section(model, BLOB_WEIGHTS);
    const double *base = blob_section(model, BLOB_BASE_MARGINS);
    size_t outputs = model->output_count;
    const float *bias = weights + model->feature_count * outputs;

    (void)scratch;
    for (size_t r = 0; r < row_count; r++) {
        for (size_t k = 0; k < outputs; k++) {
            float sum = bias[k] + (float)base[k];
            for (uint32_t f = 0; f < model->feature_count; f++) {
                if (!isnan(row[f])) {
                    sum += row[f] * weights[f * outputs + k];
                }
            }
            *margin++ = sum;
        }
        row += model->feature_count;
    }
}

static void
linear_leaves(const struct model *model, const void *rows, size_t row_count, void *scratch,
              uint32_t *out_leaves)
{
    (void)model, (void)rows, (void)row_count, (void)scratch, (void)out_leaves;
}

static bool
linear_can_run(const struct model *model)
{
    return blob_header(model)->kernel == BLOB_LINEAR;
}

const struct kernel_ops kernel_linear = {
    .name = "linear",
    .rows_min = 1,
    .can_run = linear_can_run,
    .scratch_bytes = linear_scratch_bytes,
    .margins = linear_margins,
    .leaves = linear_leaves,
};
