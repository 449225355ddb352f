/* SPDX-License-Identifier: MIT */
/*
 * walk_sums.c - sums of leaves in the order of the trees, in the model's own number: one chain of
 * additions an output, so that every kernel gives the same bits.
 */
#include "walk_sums.h"

static unsigned
output_of(const struct blob_round *rounds, uint32_t tree)
{
    return rounds[tree / BLOB_ROUND_TREES].output[tree % BLOB_ROUND_TREES];
}

static void
sum_one_f32(const struct model *model, const uint8_t *records, const uint32_t *leaves,
            uint32_t first, uint32_t count, void *margins)
{
    float margin = *(float *)margins;

    (void)model;
    (void)first;
    for (uint32_t i = 0; i < count; i++) {
        margin += ((const float *)(const void *)records)[leaves[i]];
    }
    *(float *)margins = margin;
}

static void
sum_one_f64(const struct model *model, const uint8_t *records, const uint32_t *leaves,
            uint32_t first, uint32_t count, void *margins)
{
    double margin = *(double *)margins;

    (void)model;
    (void)first;
    for (uint32_t i = 0; i < count; i++) {
        margin += *(const double *)(const void *)(records + (size_t)leaves[i] * 4);
    }
    *(double *)margins = margin;
}

/* Of trees that take the outputs in turn: WALK_LANES leaves of each output, its sum in a register;
 * or fewer leaves one by one. */
static void
sum_turns_f32(const struct model *model, const uint8_t *records, const uint32_t *leaves,
              uint32_t first, uint32_t count, void *margins)
{
    uint32_t outputs = model->output_count;

    if (count != outputs * WALK_LANES || first % outputs != 0) {
        for (uint32_t i = 0, k = first % outputs; i < count; i++) {
            ((float *)margins)[k] += ((const float *)(const void *)records)[leaves[i]];
            k = k + 1 == outputs ? 0 : k + 1;
        }
        return;
    }
    for (uint32_t k = 0; k < outputs; k++) {
        float margin = ((float *)margins)[k];
        for (uint32_t i = 0; i < WALK_LANES; i++) {
            margin += ((const float *)(const void *)records)[leaves[i * outputs + k]];
        }
        ((float *)margins)[k] = margin;
    }
}

static void
sum_turns_f64(const struct model *model, const uint8_t *records, const uint32_t *leaves,
              uint32_t first, uint32_t count, void *margins)
{
    uint32_t outputs = model->output_count;

    if (count != outputs * WALK_LANES || first % outputs != 0) {
        for (uint32_t i = 0, k = first % outputs; i < count; i++) {
            ((double *)margins)[k] +=
                *(const double *)(const void *)(records + (size_t)leaves[i] * 4);
            k = k + 1 == outputs ? 0 : k + 1;
        }
        return;
    }
    for (uint32_t k = 0; k < outputs; k++) {
        double margin = ((double *)margins)[k];
        for (uint32_t i = 0; i < WALK_LANES; i++) {
            margin +=
                *(const double *)(const void *)(records + (size_t)leaves[i * outputs + k] * 4);
        }
        ((double *)margins)[k] = margin;
    }
}

static void
sum_many_f32(const struct model *model, const uint8_t *records, const uint32_t *leaves,
             uint32_t first, uint32_t count, void *margins)
{
    const struct blob_round *rounds = blob_section(model, BLOB_ROUNDS);

    for (uint32_t i = 0; i < count; i++) {
        ((float *)margins)[output_of(rounds, first + i)] +=
            ((const float *)(const void *)records)[leaves[i]];
    }
}

static void
sum_many_f64(const struct model *model, const uint8_t *records, const uint32_t *leaves,
             uint32_t first, uint32_t count, void *margins)
{
    const struct blob_round *rounds = blob_section(model, BLOB_ROUNDS);

    for (uint32_t i = 0; i < count; i++) {
        ((double *)margins)[output_of(rounds, first + i)] +=
            *(const double *)(const void *)(records + (size_t)leaves[i] * 4);
    }
}

static void
sum_vectors(const struct model *model, const uint8_t *records, const uint32_t *leaves,
            uint32_t first, uint32_t count, void *margins)
{
    uint32_t width = blob_header(model)->leaf_width;
    const double *vectors = blob_section(model, BLOB_VECTORS);

    (void)first;
    for (uint32_t i = 0; i < count; i++) {
        const double *vector =
            vectors + (size_t)((const uint32_t *)(const void *)records)[leaves[i]] * width;
        for (uint32_t k = 0; k < width && model->number == MODEL_FLOAT32; k++) {
            ((float *)margins)[k] += (float)vector[k];
        }
        for (uint32_t k = 0; k < width && model->number == MODEL_FLOAT64; k++) {
            ((double *)margins)[k] += vector[k];
        }
    }
}

static bool
takes_turns(const struct model *model)
{
    return (blob_header(model)->hints & BLOB_HINT_TURNS) != 0 && model->output_count > 1 &&
           model->output_count <= WALK_SUM_GROUPS_MAX;
}

uint32_t
walk_sum_groups(const struct model *model)
{
    return takes_turns(model) ? model->output_count : 1;
}

walk_sum *
walk_sum_of(const struct model *model)
{
    if (blob_header(model)->leaf_width > 1) {
        return sum_vectors;
    }
    if (model->output_count == 1) {
        return model->number == MODEL_FLOAT32 ? sum_one_f32 : sum_one_f64;
    }
    if (takes_turns(model)) {
        return model->number == MODEL_FLOAT32 ? sum_turns_f32 : sum_turns_f64;
    }
    return model->number == MODEL_FLOAT32 ? sum_many_f32 : sum_many_f64;
}

void
walk_sums_begin(const struct model *model, void *out_margins)
{
    const double *base = blob_section(model, BLOB_BASE_MARGINS);

    for (uint32_t k = 0; k < model->output_count; k++) {
        model_number_set(model, out_margins, k, base[k]);
    }
}

void
walk_sums_end(const struct model *model, void *margins)
{
    double divisor = blob_header(model)->divisor;

    for (uint32_t k = 0; divisor != 1.0 && k < model->output_count; k++) {
        if (model->number == MODEL_FLOAT32) {
            ((float *)margins)[k] /= (float)divisor;
        } else {
            ((double *)margins)[k] /= divisor;
        }
    }
}
