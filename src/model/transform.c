/* SPDX-License-Identifier: MIT */
/*
 * transform.c - from margins to what XGBoost's predict() returns, in its own float32 arithmetic.
 * Formulas: XGBoost 1.7.4, src/common/math.h (Sigmoid, Softmax) and the PredTransform of each
 * objective.
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
    case MODEL_LINK_SIGMOID: return sigmoid(margin);
    case MODEL_LINK_EXP:
        return (blob_header(model)->flags & NEUTRAL_EXP_IN_DOUBLE) != 0 ? (float)exp((double)margin)
                                                                        : expf(margin);
    case MODEL_LINK_HINGE: return margin > 0.0f ? 1.0f : 0.0f;
    case MODEL_LINK_IDENTITY:
    case MODEL_LINK_SOFTPROB:
    case MODEL_LINK_SOFTMAX: break;
    }
    return margin;
}

void
model_predictions(const struct model *model, const float *margins, size_t row_count,
                  float *out_predictions)
{
    size_t outputs = model->output_count;

    if (model->link == MODEL_LINK_SOFTPROB) {
        for (size_t r = 0; r < row_count; r++) {
            softmax(margins + r * outputs, outputs, out_predictions + r * outputs);
        }
    } else if (model->link == MODEL_LINK_SOFTMAX) {
        for (size_t r = 0; r < row_count; r++) {
            out_predictions[r] = greatest_class(margins + r * outputs, outputs);
        }
    } else {
        for (size_t i = 0; i < row_count * outputs; i++) {
            out_predictions[i] = transform_one(model, margins[i]);
        }
    }
}

void
model_probabilities(const struct model *model, const float *margins, size_t row_count,
                    float *out_probabilities)
{
    size_t outputs = model->output_count;

    if (model->probability_count == 0) {
        return;
    }
    for (size_t r = 0; r < row_count; r++) {
        if (model->link == MODEL_LINK_SIGMOID) {
            float p = sigmoid(margins[r]);
            out_probabilities[2 * r] = 1.0f - p;
            out_probabilities[2 * r + 1] = p;
        } else {
            softmax(margins + r * outputs, outputs, out_probabilities + r * outputs);
        }
    }
}
