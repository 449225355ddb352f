/* SPDX-License-Identifier: MIT */
/*
 * transform.c - from margins to what the training library's predict() returns: of a model of
 * float32 in XGBoost's own float32 arithmetic, else in double.
 * Formulas: XGBoost 1.7.4, src/common/math.h (Sigmoid, Softmax) and the PredTransform of each
 * objective; LightGBM's ConvertOutput of each objective; scikit-learn's expit and softmax.
 */
#include "blob.h"

#include <math.h>
#include <string.h>

static float
sigmoid(float x)
{
    float least = -x;

    /* Over 88.7 expf() overflows; the order of the comparison lets NaN through. */
    least = 88.7f < least ? 88.7f : least;
    return 1.0f / (expf(least) + 1.0f + 1e-16f);
}

/* The sum is double, as XGBoost's is. */
static void
softmax(const float *margins, size_t count, float *out)
{
    float greatest = margins[0];
    double sum = 0.0;

    for (size_t i = 1; i < count; i++) {
        greatest = fmaxf(margins[i], greatest);
    }
    for (size_t i = 0; i < count; i++) {
        out[i] = expf(margins[i] - greatest);
        sum += (double)out[i];
    }
    for (size_t i = 0; i < count; i++) {
        out[i] /= (float)sum;
    }
}

static float
greatest_class(const float *margins, size_t count)
{
    size_t best = 0;

    for (size_t i = 1; i < count; i++) {
        best = margins[best] < margins[i] ? i : best;
    }
    return (float)best;
}

static float
transform_one(const struct model *model, float margin)
{
    switch (model->link) {
    case MODEL_LINK_SIGMOID:
    case MODEL_LINK_SIGMOID_SHARE: return sigmoid(margin * (float)blob_header(model)->link_scale);
    case MODEL_LINK_EXP:
        return (blob_header(model)->flags & NEUTRAL_EXP_IN_DOUBLE) != 0 ? (float)exp((double)margin)
                                                                        : expf(margin);
    case MODEL_LINK_HINGE: return margin > 0.0f ? 1.0f : 0.0f;
    case MODEL_LINK_LOG1P_EXP: return log1pf(expf(margin));
    case MODEL_LINK_SIGNED_SQUARE: return copysignf(margin * margin, margin);
    case MODEL_LINK_IDENTITY:
    case MODEL_LINK_PROBABILITY:
    case MODEL_LINK_SOFTPROB:
    case MODEL_LINK_SOFTMAX:
    case MODEL_LINK_COUNT: break;
    }
    return margin;
}

static void
shares(float *values, size_t count)
{
    float sum = 0.0f;

    for (size_t i = 0; i < count; i++) {
        sum += values[i];
    }
    for (size_t i = 0; i < count; i++) {
        values[i] = sum > 0.0f ? values[i] / sum : 1.0f / (float)count;
    }
}

/* By insertion: they are few, and sorted but for quantiles that cross. */
static void
sort_rising(float *values, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        float value = values[i];
        size_t at = i;
        while (at > 0 && values[at - 1] > value) {
            values[at] = values[at - 1];
            at--;
        }
        values[at] = value;
    }
}

static void
predict_f32(const struct model *model, const float *margins, float *out)
{
    size_t outputs = model->output_count;

    if (model->link == MODEL_LINK_SOFTPROB) {
        softmax(margins, outputs, out);
    } else if (model->link == MODEL_LINK_SOFTMAX) {
        out[0] = greatest_class(margins, outputs);
    } else {
        for (size_t i = 0; i < outputs; i++) {
            out[i] = transform_one(model, margins[i]);
        }
    }
    if (model->link == MODEL_LINK_SIGMOID_SHARE) {
        shares(out, outputs);
    }
    if ((blob_header(model)->flags & NEUTRAL_SORTED) != 0) {
        sort_rising(out, outputs);
    }
}

/* ---- the same in double ---------------------------------------------------------------------- */

static void
softmax_f64(const double *margins, size_t count, double *out)
{
    double greatest = margins[0];
    double sum = 0.0;

    for (size_t i = 1; i < count; i++) {
        greatest = fmax(margins[i], greatest);
    }
    for (size_t i = 0; i < count; i++) {
        out[i] = exp(margins[i] - greatest);
        sum += out[i];
    }
    for (size_t i = 0; i < count; i++) {
        out[i] /= sum;
    }
}

static double
greatest_class_f64(const double *margins, size_t count)
{
    size_t best = 0;

    for (size_t i = 1; i < count; i++) {
        best = margins[best] < margins[i] ? i : best;
    }
    return (double)best;
}

static double
transform_one_f64(const struct model *model, double margin)
{
    switch (model->link) {
    case MODEL_LINK_SIGMOID:
    case MODEL_LINK_SIGMOID_SHARE:
        return 1.0 / (1.0 + exp(-blob_header(model)->link_scale *
                                (margin + blob_header(model)->link_offset)));
    case MODEL_LINK_EXP: return exp(margin);
    case MODEL_LINK_HINGE: return margin > 0.0 ? 1.0 : 0.0;
    case MODEL_LINK_LOG1P_EXP: return log1p(exp(margin));
    case MODEL_LINK_SIGNED_SQUARE: return copysign(margin * margin, margin);
    case MODEL_LINK_IDENTITY:
    case MODEL_LINK_PROBABILITY:
    case MODEL_LINK_SOFTPROB:
    case MODEL_LINK_SOFTMAX:
    case MODEL_LINK_COUNT: break;
    }
    return margin;
}

static void
shares_f64(double *values, size_t count)
{
    double sum = 0.0;

    for (size_t i = 0; i < count; i++) {
        sum += values[i];
    }
    for (size_t i = 0; i < count; i++) {
        values[i] = sum > 0.0 ? values[i] / sum : 1.0 / (double)count;
    }
}

static void
predict_f64(const struct model *model, const double *margins, double *out)
{
    size_t outputs = model->output_count;

    if (model->link == MODEL_LINK_SOFTPROB) {
        softmax_f64(margins, outputs, out);
    } else if (model->link == MODEL_LINK_SOFTMAX) {
        out[0] = greatest_class_f64(margins, outputs);
    } else {
        for (size_t i = 0; i < outputs; i++) {
            out[i] = transform_one_f64(model, margins[i]);
        }
    }
    if (model->link == MODEL_LINK_SIGMOID_SHARE) {
        shares_f64(out, outputs);
    }
}

/* ---- rows ------------------------------------------------------------------------------------ */

void
model_predictions(const struct model *model, const void *margins, size_t row_count,
                  void *out_predictions)
{
    size_t in = model->output_count;
    size_t out = model->prediction_count;

    for (size_t r = 0; r < row_count; r++) {
        if (model->number == MODEL_FLOAT32) {
            predict_f32(model, (const float *)margins + r * in, (float *)out_predictions + r * out);
        } else {
            predict_f64(model, (const double *)margins + r * in,
                        (double *)out_predictions + r * out);
        }
    }
}

static void
probabilities_f32(const struct model *model, const float *margins, float *out)
{
    if (model->probability_count != model->output_count) {
        float p = transform_one(model, margins[0]);
        out[0] = 1.0f - p;
        out[1] = p;
    } else if (model->link == MODEL_LINK_SOFTMAX) {
        softmax(margins, model->output_count, out);
    } else {
        predict_f32(model, margins, out);
    }
}

static void
probabilities_f64(const struct model *model, const double *margins, double *out)
{
    if (model->probability_count != model->output_count) {
        double p = transform_one_f64(model, margins[0]);
        out[0] = 1.0 - p;
        out[1] = p;
    } else if (model->link == MODEL_LINK_SOFTMAX) {
        softmax_f64(margins, model->output_count, out);
    } else {
        predict_f64(model, margins, out);
    }
}

void
model_probabilities(const struct model *model, const void *margins, size_t row_count,
                    void *out_probabilities)
{
    size_t in = model->output_count;
    size_t out = model->probability_count;

    for (size_t r = 0; out > 0 && r < row_count; r++) {
        if (model->number == MODEL_FLOAT32) {
            probabilities_f32(model, (const float *)margins + r * in,
                              (float *)out_probabilities + r * out);
        } else {
            probabilities_f64(model, (const double *)margins + r * in,
                              (double *)out_probabilities + r * out);
        }
    }
}
