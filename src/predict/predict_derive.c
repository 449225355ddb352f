/* SPDX-License-Identifier: MIT */
/*
 * predict_derive.c - outputs that follow from what was computed for each row: one step an output.
 */
#include "predict_asking.h"

void
predict_classes(const struct model *model, const void *margins, size_t row_count, void *room,
                uint32_t *out_classes)
{
    uint32_t count = model->probability_count;

    if (count == 0) { /* the hinge: its prediction is the class */
        model_predictions(model, margins, row_count, room);
        for (size_t row = 0; row < row_count; row++) {
            out_classes[row] = model_number_get(model, room, row) > 0.0 ? 1 : 0;
        }
        return;
    }
    model_probabilities(model, margins, row_count, room);
    for (size_t row = 0; row < row_count; row++) {
        uint32_t best = 0;
        for (uint32_t i = 1; i < count; i++) {
            if (model_number_get(model, room, row * count + i) >
                model_number_get(model, room, row * count + best)) {
                best = i;
            }
        }
        out_classes[row] = best;
    }
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* Room in the arena for so many numbers of the model a row. */
static void *
alloc_numbers(const struct asking *asking, size_t rows, size_t count)
{
    return arena_alloc_aligned(asking->arena,
                               rows * count * model_number_bytes(&asking->found->model), ROW_ALIGN);
}

static int
derive_predictions(struct asking *asking, struct predict_answer *answer)
{
    const struct model *model = &asking->found->model;
    void *out = alloc_numbers(asking, answer->row_count, model->prediction_count);

    if (out == NULL) {
        return predict_memory_is_short(asking->err);
    }
    model_predictions(model, answer->margins, answer->row_count, out);
    answer->predictions = out;
    return 0;
}

static int
derive_probabilities(struct asking *asking, struct predict_answer *answer)
{
    const struct model *model = &asking->found->model;
    void *out = alloc_numbers(asking, answer->row_count, model->probability_count);

    if (out == NULL) {
        return predict_memory_is_short(asking->err);
    }
    model_probabilities(model, answer->margins, answer->row_count, out);
    answer->probabilities = out;
    return 0;
}

static int
derive_classes(struct asking *asking, struct predict_answer *answer)
{
    const struct model *model = &asking->found->model;
    size_t width = model->probability_count > 0 ? model->probability_count : 1;
    void *room = alloc_numbers(asking, answer->row_count, width);
    uint32_t *out = arena_alloc(asking->arena, answer->row_count * sizeof(*out));

    if (room == NULL || out == NULL) {
        return predict_memory_is_short(asking->err);
    }
    predict_classes(model, answer->margins, answer->row_count, room, out);
    answer->classes = out;
    return 0;
}

static int
derive_class_sets(struct asking *asking, struct predict_answer *answer)
{
    const struct model *model = &asking->found->model;
    size_t count = model->probability_count;
    void *room = alloc_numbers(asking, answer->row_count, count);
    uint8_t *out = arena_alloc(asking->arena, answer->row_count * count);

    if (room == NULL || out == NULL) {
        return predict_memory_is_short(asking->err);
    }
    model_probabilities(model, answer->margins, answer->row_count, room);
    struct predict_interval_rows rows = {
        .rows = asking->matrix.values, .values = room, .width = count, .count = answer->row_count};
    predict_class_sets(model, &rows, answer->level, out);
    answer->class_sets = out;
    return 0;
}

/* Two models' predictions are kept under a key of their own; one model's follow from margins. */
static int
derive_intervals(struct asking *asking, struct predict_answer *answer)
{
    const struct model *model = &asking->found->model;
    enum model_score score = model_calibration(model).score;
    struct part quantiles = {.row_bytes = 2 * model_number_bytes(model),
                             .suffix = ":quantiles",
                             .evaluate = predict_quantiles};
    void *out = alloc_numbers(asking, answer->row_count, 2);
    void *values = out;
    int rc = out != NULL ? 0 : predict_memory_is_short(asking->err);

    if (score == MODEL_SCORE_CLASS) {
        return derive_class_sets(asking, answer);
    }
    if (rc == 0 && score == MODEL_SCORE_QUANTILES) {
        quantiles.scratch_bytes = predict_quantiles_scratch_bytes(model);
        rc = predict_part_answer(asking, &quantiles);
        values = quantiles.words;
    } else if (rc == 0) {
        values = alloc_numbers(asking, answer->row_count, 1);
        rc = values != NULL ? 0 : predict_memory_is_short(asking->err);
    }
    if (rc != 0) {
        return rc;
    }
    if (score != MODEL_SCORE_QUANTILES) {
        model_predictions(model, answer->margins, answer->row_count, values);
    }
    struct predict_interval_rows rows = {.rows = asking->matrix.values,
                                         .values = values,
                                         .width = score == MODEL_SCORE_QUANTILES ? 2 : 1,
                                         .count = answer->row_count};
    predict_intervals(model, &rows, answer->level, out);
    answer->intervals = out;
    return 0;
}

static int
derive_reasons(struct asking *asking, struct predict_answer *answer)
{
    const struct model *model = &asking->found->model;
    const struct predict_matrix *matrix = &asking->matrix;
    size_t wanted = asking->question->top_k;
    size_t max = wanted == 0 ? PREDICT_REASONS_COUNT : wanted;
    struct predict_pace pace;
    int rc = 0;

    max = max < model->feature_count ? max : model->feature_count;
    struct model_reason *out = arena_alloc(asking->arena, answer->row_count * max * sizeof(*out));
    uint32_t *counts = arena_alloc(asking->arena, answer->row_count * sizeof(*counts));
    if (out == NULL || counts == NULL) {
        return predict_memory_is_short(asking->err);
    }
    predict_pace_init(&pace, asking->question->deadline_mono_ns, model->feature_count);
    for (size_t row = 0; row < answer->row_count && rc == 0; row++) {
        counts[row] = (uint32_t)model_reasons(model, matrix->values + row * matrix->row_bytes, max,
                                              out + row * max);
        rc = predict_pace_look(&pace, row + 1, "given reasons", asking->err);
    }
    answer->reasons = out;
    answer->reason_counts = counts;
    answer->reasons_max = max;
    return rc;
}

static void
evaluate_spreads(const struct model *model, const void *rows, size_t row_count, void *scratch,
                 void *out_words)
{
    model_spread(model, rows, row_count, scratch, out_words);
}

static int
derive_spreads(struct asking *asking, struct predict_answer *answer)
{
    const struct model *model = &asking->found->model;
    double *out = arena_alloc(asking->arena, answer->row_count * MODEL_SPREAD_COUNT * sizeof(*out));
    void *scratch =
        arena_alloc_aligned(asking->arena, model_spread_scratch_bytes(model), ROW_ALIGN);

    if (out == NULL || scratch == NULL) {
        return predict_memory_is_short(asking->err);
    }
    struct part spreads = {.row_bytes = MODEL_SPREAD_COUNT * sizeof(*out),
                           .evaluate = evaluate_spreads};
    answer->spreads = out;
    return predict_part_evaluate(asking, &spreads, asking->matrix.values, answer->row_count,
                                 scratch, (uint8_t *)out);
}

/* The features that moved each margin most. */
static int
derive_top(struct asking *asking, struct predict_answer *answer)
{
    const struct model *model = &asking->found->model;
    size_t number_bytes = model_number_bytes(model);
    size_t width = ((size_t)model->feature_count + 1) * number_bytes;
    size_t vectors = answer->row_count * model->output_count;
    uint32_t k = asking->question->top_k;
    struct predict_pace pace;
    int rc = 0;

    if (k == 0 || answer->contributions == NULL) {
        return 0;
    }
    k = k < model->feature_count ? k : model->feature_count;
    uint32_t *out = arena_alloc(asking->arena, vectors * k * sizeof(*out));
    if (out == NULL) {
        return predict_memory_is_short(asking->err);
    }
    predict_pace_init(&pace, asking->question->deadline_mono_ns, model->feature_count);
    for (size_t i = 0; i < vectors && rc == 0; i++) {
        const uint8_t *values = (const uint8_t *)answer->contributions + i * width;
        (void)model_contributions_top(model, values, k, out + i * k);
        rc = predict_pace_look(&pace, i + 1, "sorted", asking->err);
    }
    answer->top = out;
    answer->top_count = k;
    return rc;
}

/* What follows from margins, or from the rows as they are. */
int
predict_derive(struct asking *asking, struct predict_answer *answer)
{
    static const struct {
        enum predict_outputs output;
        int (*derive)(struct asking *asking, struct predict_answer *answer);
    } steps[] = {
        {PREDICT_PREDICTION, derive_predictions}, {PREDICT_PROBABILITIES, derive_probabilities},
        {PREDICT_CLASS, derive_classes},          {PREDICT_INTERVAL, derive_intervals},
        {PREDICT_REASONS, derive_reasons},        {PREDICT_CONTRIBUTIONS, derive_top},
        {PREDICT_SPREAD, derive_spreads},
    };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < AUGURY_COUNT(steps); i++) {
        if ((answer->outputs & steps[i].output) != 0) {
            rc = steps[i].derive(asking, answer);
        }
    }
    return rc;
}
