/* SPDX-License-Identifier: MIT */
/*
 * replay.c - known rows, evaluated again: all in one call and each in one of its own, so that the
 * kernels for many rows are tried as well as those for one.
 */
#include "replay.h"

#include <math.h>
#include <stdlib.h>

static const char *const output_names[] = {[REPLAY_MARGINS] = "margin",
                                           [REPLAY_PREDICTIONS] = "prediction",
                                           [REPLAY_PROBABILITIES] = "probability"};

uint32_t
replay_width(const struct model *model, enum replay_output output)
{
    switch (output) {
    case REPLAY_MARGINS: return model->output_count;
    case REPLAY_PREDICTIONS: return model->prediction_count;
    case REPLAY_PROBABILITIES: return model->probability_count;
    }
    return 0;
}

/* What one replay works with: arrays of the model's numbers. */
struct bench {
    void *rows;
    void *scratch;
    void *margins;
    void *answers;
    double *numbers;      /* one a row */
    const void *compared; /* margins or answers */
};

static int
bench_init(const struct model *model, const struct replay *replay, struct arena *arena,
           struct bench *out_bench)
{
    size_t number_bytes = model_number_bytes(model);
    size_t cells = (size_t)replay->row_count * model->feature_count;
    size_t answers = (size_t)replay->row_count * replay_width(model, replay->output);
    size_t margins = (size_t)replay->row_count * model->output_count;
    struct bench bench = {
        .rows = arena_zalloc(arena, cells, number_bytes),
        .scratch = arena_alloc_aligned(arena, model_scratch_bytes(model, replay->row_count), 64),
        .margins = arena_zalloc(arena, margins, number_bytes),
        .answers = arena_zalloc(arena, answers, number_bytes),
        .numbers = arena_zalloc(arena, replay->row_count, sizeof(double)),
    };

    if (bench.rows == NULL || bench.scratch == NULL || bench.margins == NULL ||
        bench.answers == NULL || bench.numbers == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    for (size_t i = 0; i < cells; i++) {
        model_number_set(model, bench.rows, i, replay->rows[i]);
    }
    *out_bench = bench;
    return 0;
}

static void
evaluate_each(const struct model *model, uint32_t row_count, const struct bench *bench)
{
    size_t row_bytes = model->feature_count * model_number_bytes(model);
    size_t margin_bytes = model->output_count * model_number_bytes(model);

    for (size_t r = 0; r < row_count; r++) {
        model_margins(model, (const uint8_t *)bench->rows + r * row_bytes, 1, bench->scratch,
                      (uint8_t *)bench->margins + r * margin_bytes);
    }
}

/* Of the margins in bench: what is compared. */
static const void *
answers_of(const struct model *model, const struct replay *replay, const struct bench *bench)
{
    size_t rows = replay->row_count;

    switch (replay->output) {
    case REPLAY_MARGINS: return bench->margins;
    case REPLAY_PREDICTIONS: model_predictions(model, bench->margins, rows, bench->answers); break;
    case REPLAY_PROBABILITIES:
        model_probabilities(model, bench->margins, rows, bench->answers);
        break;
    }
    return bench->answers;
}

static int
compare_numbers(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The median of a column's |expected|, the upper one of two; 1 where that is 0. numbers: room for
 * row_count. */
static double
column_size(const struct replay *replay, uint32_t width, uint32_t column, double *numbers)
{
    uint32_t count = 0;

    for (uint32_t r = 0; r < replay->row_count; r++) {
        double expected = fabs(replay->expected[(size_t)r * width + column]);
        if (isfinite(expected)) {
            numbers[count++] = expected;
        }
    }
    qsort(numbers, count, sizeof(*numbers), compare_numbers);
    return count > 0 && numbers[count / 2] > 0.0 ? numbers[count / 2] : 1.0;
}

static int
compare_column(const struct model *model, const struct replay *replay, const struct bench *bench,
               uint32_t column, struct err *err)
{
    uint32_t width = replay_width(model, replay->output);
    double size = column_size(replay, width, column, bench->numbers);
    double allowed = 0.0;
    uint32_t wrong = 0;
    uint32_t first = 0;

    for (uint32_t r = 0; r < replay->row_count; r++) {
        size_t i = (size_t)r * width + column;
        double want = replay->expected[i];
        double got = model_number_get(model, bench->compared, i);
        double most = replay->tolerance * fmax(size, isfinite(want) ? fabs(want) : 0.0);
        bool is_good = isnan(want) || got == want || fabs(got - want) <= most;
        if (!is_good && wrong == 0) {
            first = r;
            allowed = most;
        }
        wrong += is_good ? 0 : 1;
    }
    if (wrong == 0) {
        return 0;
    }
    size_t i = (size_t)first * width + column;
    double got = model_number_get(model, bench->compared, i);
    err_set(err, AUGURY_ERR_INVALID, replay->code,
            "%s: expected %.17g, got %.17g: they differ by %.3g, allowed is %.3g; %u of %u rows "
            "differ too much. The file was changed, or the model is not what its training "
            "library evaluates",
            output_names[replay->output], replay->expected[i], got, fabs(got - replay->expected[i]),
            allowed, wrong, replay->row_count);
    err_at(err, "row %u, output %u", first, column);
    return AUGURY_ERR_INVALID;
}

static int
compare(const struct model *model, const struct replay *replay, struct bench *bench,
        struct err *err)
{
    uint32_t width = replay_width(model, replay->output);
    int rc = 0;

    bench->compared = answers_of(model, replay, bench);
    for (uint32_t k = 0; k < width && rc == 0; k++) {
        rc = compare_column(model, replay, bench, k, err);
    }
    return rc;
}

int
replay_run(const struct model *model, const struct replay *replay, struct arena *scratch,
           struct err *err)
{
    uint32_t width = replay_width(model, replay->output);
    size_t used = scratch->used;
    struct bench bench;

    if (width == 0) {
        return err_set(err, AUGURY_ERR_INVALID, replay->code,
                       "the known answers are probabilities, but the model gives none");
    }
    int rc = bench_init(model, replay, scratch, &bench);
    if (rc != 0) {
        scratch->used = used;
        return err_set(err, rc, "out_of_memory", "no memory to evaluate %u known rows",
                       replay->row_count);
    }
    model_margins(model, bench.rows, replay->row_count, bench.scratch, bench.margins);
    rc = compare(model, replay, &bench, err);
    if (rc == 0) {
        evaluate_each(model, replay->row_count, &bench);
        rc = compare(model, replay, &bench, err);
    }
    scratch->used = used;
    return rc;
}
