/* SPDX-License-Identifier: MIT */
/*
 * kernel_inputs.c - what a training pipeline computes before its model: each input from one
 * feature, in the steps and with the roundings of the pipeline, so that thresholds meet the same
 * numbers.
 */
#include "kernel.h"

#include <math.h>

static double
find(const struct blob_step *step, const double *numbers, double x)
{
    const double *keys = numbers + step->key_first;
    uint32_t low = 0;
    uint32_t count = step->key_count;

    if (isnan(x)) {
        return step->b;
    }
    while (count > 0) {
        uint32_t half = count / 2;
        if (keys[low + half] < x) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return low < step->key_count && keys[low] == x ? keys[step->key_count + low] : step->a;
}

static double
take_step(const struct blob_step *step, const double *numbers, double x)
{
    switch ((enum neutral_op)step->op) {
    case NEUTRAL_SUBTRACT: return x - step->a;
    case NEUTRAL_ADD: return x + step->a;
    case NEUTRAL_MULTIPLY: return x * step->a;
    case NEUTRAL_DIVIDE: return x / step->a;
    case NEUTRAL_CLIP: return x < step->a ? step->a : x > step->b ? step->b : x;
    case NEUTRAL_FILL: return isnan(x) ? step->a : x;
    case NEUTRAL_IS_MISSING: return isnan(x) ? 1.0 : 0.0;
    case NEUTRAL_EQUALS: return x == step->a ? 1.0 : 0.0;
    case NEUTRAL_FIND: return find(step, numbers, x);
    case NEUTRAL_OP_COUNT: break;
    }
    return x;
}

void
kernel_inputs(const struct model *model, const double *rows, size_t row_count, double *out_inputs)
{
    const struct blob_input *inputs = blob_section(model, BLOB_INPUTS);
    const struct blob_step *steps = blob_section(model, BLOB_STEPS);
    const double *numbers = blob_section(model, BLOB_NUMBERS);
    uint32_t input_count = blob_header(model)->input_count;

    for (size_t r = 0; r < row_count; r++) {
        const double *row = rows + r * model->feature_count;
        for (uint32_t i = 0; i < input_count; i++) {
            const struct blob_step *step = steps + inputs[i].step_first;
            double x = row[inputs[i].feature];
            for (uint32_t k = 0; k < inputs[i].step_count; k++) {
                x = take_step(&step[k], numbers, x);
            }
            *out_inputs++ = x;
        }
    }
}
