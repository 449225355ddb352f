/* SPDX-License-Identifier: MIT */
/*
 * kernel_dense.c - layers of doubles: linear models (one layer) and multi-layer perceptrons. One
 * row at a time. A sum has one order, whatever the machine: eight lanes, lane i % 8 for term i,
 * the lanes added in pairs, the bias last.
 * Activations: scikit-learn's, max(0, x), tanh, 1 / (1 + exp(-x)).
 */
#include "kernel.h"

#include <math.h>

/* Two doubles side by side, which gcc and clang keep in one register of any processor. */
enum { LANES = 8, PAIR = 2 };
typedef double pair __attribute__((vector_size(PAIR * sizeof(double))));

static inline pair
pair_at(const double *numbers)
{
    pair made;

    memcpy(&made, numbers, sizeof(made));
    return made;
}

/* Four pairs are the eight lanes. */
static double
dot(const double *a, const double *b, uint32_t count)
{
    pair p01 = {0.0};
    pair p23 = {0.0};
    pair p45 = {0.0};
    pair p67 = {0.0};
    double rest[LANES] = {0.0};
    uint32_t whole = count - count % LANES;

    for (uint32_t i = 0; i < whole; i += LANES) {
        p01 += pair_at(a + i) * pair_at(b + i);
        p23 += pair_at(a + i + 2) * pair_at(b + i + 2);
        p45 += pair_at(a + i + 4) * pair_at(b + i + 4);
        p67 += pair_at(a + i + 6) * pair_at(b + i + 6);
    }
    for (uint32_t i = whole; i < count; i++) {
        rest[i - whole] = a[i] * b[i];
    }
    p01 += pair_at(rest);
    p23 += pair_at(rest + 2);
    p45 += pair_at(rest + 4);
    p67 += pair_at(rest + 6);
    p01 += p45;
    p23 += p67;
    p01 += p23;
    return p01[0] + p01[1];
}

static double
activate(uint32_t activation, double x)
{
    switch ((enum neutral_activation)activation) {
    case NEUTRAL_RELU: return x < 0.0 ? 0.0 : x; /* NaN stays */
    case NEUTRAL_TANH: return tanh(x);
    case NEUTRAL_LOGISTIC: return 1.0 / (1.0 + exp(-x));
    case NEUTRAL_PLAIN:
    case NEUTRAL_ACTIVATION_COUNT: break;
    }
    return x;
}

static void
layer_run(const struct blob_layer *layer, const double *numbers, const double *in, double *out)
{
    const double *weights = numbers + layer->first;
    const double *biases = weights + (size_t)layer->inputs * layer->outputs;

    for (uint32_t k = 0; k < layer->outputs; k++) {
        double sum = dot(weights + (size_t)k * layer->inputs, in, layer->inputs) + biases[k];
        out[k] = activate(layer->activation, sum);
    }
}

static uint32_t
widest(const struct model *model)
{
    const struct blob_layer *layers = blob_section(model, BLOB_LAYERS);
    uint32_t width = 0;

    for (uint32_t i = 0; i + 1 < blob_header(model)->layer_count; i++) {
        width = layers[i].outputs > width ? layers[i].outputs : width;
    }
    return width;
}

/* Two vectors that take turns. */
static size_t
dense_scratch_bytes(const struct model *model, size_t row_count)
{
    (void)row_count;
    return 2 * sizeof(double) * (size_t)widest(model);
}

static void
dense_margins(const struct model *model, const void *rows, size_t row_count, void *scratch,
              void *out_margins)
{
    const struct blob_layer *layers = blob_section(model, BLOB_LAYERS);
    const double *numbers = blob_section(model, BLOB_NUMBERS);
    uint32_t count = blob_header(model)->layer_count;
    double *turns[2] = {scratch, (double *)scratch + widest(model)};

    for (size_t r = 0; r < row_count; r++) {
        const double *in = (const double *)rows + r * model->feature_count;
        for (uint32_t i = 0; i < count; i++) {
            double *out =
                i + 1 < count ? turns[i % 2] : (double *)out_margins + r * model->output_count;
            layer_run(&layers[i], numbers, in, out);
            in = out;
        }
    }
}

static void
dense_leaves(const struct model *model, const void *rows, size_t row_count, void *scratch,
             uint32_t *out_leaves)
{
    (void)model, (void)rows, (void)row_count, (void)scratch, (void)out_leaves;
}

static bool
dense_can_run(const struct model *model)
{
    return blob_header(model)->kernel == BLOB_DENSE;
}

const struct kernel_ops kernel_dense = {
    .name = "dense",
    .rows_min = 1,
    .can_run = dense_can_run,
    .scratch_bytes = dense_scratch_bytes,
    .margins = dense_margins,
    .leaves = dense_leaves,
};
