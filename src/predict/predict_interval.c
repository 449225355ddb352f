/* SPDX-License-Identifier: MIT */
/*
 * predict_interval.c - what a calibration says of a row: the range of a number, or the set of
 * classes, that holds the truth as often as asked. Bounds of float32 are rounded outwards, so that
 * no rounding takes from that.
 */
#include <math.h>

#include "augury/predict.h"

enum { QUANTILES_BLOCK = 256 };

static const void *
row_at(const struct model *model, const void *rows, size_t row)
{
    return (const uint8_t *)rows + row * model->feature_count * model_number_bytes(model);
}

static double
round_down(const struct model *model, double bound)
{
    float narrow = (float)bound;

    if (model->number == MODEL_FLOAT64) {
        return bound;
    }
    return (double)narrow > bound ? (double)nextafterf(narrow, -INFINITY) : (double)narrow;
}

static double
round_up(const struct model *model, double bound)
{
    return -round_down(model, -bound);
}

void
predict_intervals(const struct model *model, const struct predict_interval_rows *rows, double level,
                  void *out_intervals)
{
    for (size_t i = 0; i < rows->count; i++) {
        double score = model_calibration_score(model, row_at(model, rows->rows, i), level);
        double a = model_number_get(model, rows->values, i * rows->width);
        double b = model_number_get(model, rows->values, i * rows->width + rows->width - 1);
        /* Two models may cross, and a negative score may turn the range over: it then shrinks to
         * the point between. */
        double lower = fmin(a, b) - score;
        double upper = fmax(a, b) + score;
        if (lower > upper) {
            lower = upper = lower / 2 + upper / 2;
        }
        bool is_bounded = score < (double)INFINITY && !isnan(lower) && !isnan(upper);
        model_number_set(model, out_intervals, 2 * i,
                         is_bounded ? round_down(model, lower) : (double)-INFINITY);
        model_number_set(model, out_intervals, 2 * i + 1,
                         is_bounded ? round_up(model, upper) : (double)INFINITY);
    }
}

void
predict_class_sets(const struct model *model, const struct predict_interval_rows *rows,
                   double level, uint8_t *out_sets)
{
    uint32_t count = model->probability_count;

    for (size_t i = 0; i < rows->count; i++) {
        double score = model_calibration_score(model, row_at(model, rows->rows, i), level);
        for (uint32_t k = 0; k < count; k++) {
            double probability = model_number_get(model, rows->values, i * count + k);
            /* A probability that is no number excludes nothing. */
            out_sets[i * count + k] = 1.0 - probability > score ? 0 : 1;
        }
    }
}

/* ---- two models of quantiles ----------------------------------------------------------------- */

static size_t
bytes_of_block(const struct model *model)
{
    return (model_scratch_bytes(model, QUANTILES_BLOCK) + 63) & ~(size_t)63;
}

/* Predictions of one of the two into every second place of out. */
static void
predict_one(const struct model *model, const void *rows, size_t row_count, void *scratch, void *out)
{
    double margins[QUANTILES_BLOCK]; /* room for either number */
    double values[QUANTILES_BLOCK];

    model_margins(model, rows, row_count, scratch, margins);
    model_predictions(model, margins, row_count, values);
    for (size_t i = 0; i < row_count; i++) {
        model_number_set(model, out, 2 * i, model_number_get(model, values, i));
    }
}

size_t
predict_quantiles_scratch_bytes(const struct model *model)
{
    struct model lower, upper;
    struct err err;

    if (model_calibration_models(model, &lower, &upper, &err) != 0) {
        return 0;
    }
    size_t bytes = bytes_of_block(&lower);
    return bytes_of_block(&upper) > bytes ? bytes_of_block(&upper) : bytes;
}

void
predict_quantiles(const struct model *model, const void *rows, size_t row_count, void *scratch,
                  void *out_quantiles)
{
    size_t number_bytes = model_number_bytes(model);
    struct model lower, upper;
    struct err err;

    /* They were checked with the model that holds them. */
    AUGURY_ASSERT(model_calibration_models(model, &lower, &upper, &err) == 0);
    for (size_t begin = 0; begin < row_count; begin += QUANTILES_BLOCK) {
        size_t count = row_count - begin < QUANTILES_BLOCK ? row_count - begin : QUANTILES_BLOCK;
        const void *block = row_at(model, rows, begin);
        uint8_t *out = (uint8_t *)out_quantiles + 2 * begin * number_bytes;
        predict_one(&lower, block, count, scratch, out);
        predict_one(&upper, block, count, scratch, out + number_bytes);
    }
}
