/* SPDX-License-Identifier: MIT */
/*
 * bench_rows.c - times one model over a file of rows, for benchmarks whose peer is no C library.
 * Usage: bench_rows MODEL ROWS.f64 PREDICTIONS.f64
 * ROWS.f64: row-major float64 in the machine's order, NaN is missing. Writes the predictions as
 * float64 and prints three tab-separated figures: nanoseconds of one row alone, nanoseconds a row
 * in batches of BATCH_ROWS, microseconds from the compiled model's bytes to the first prediction.
 * Medians.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../oracle/oracle.h"

enum { REPETITIONS = 31, BATCH_ROWS = 1000, ROW_TURNS = 200, ROWS_SPARED = 7 };

struct timing {
    struct oracle_model ours;
    uint8_t *rows; /* of the model's numbers */
    size_t row_bytes;
    size_t row_count;
    uint8_t *margins;
    double *predictions;
};

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return x < y ? -1 : x > y ? 1 : 0;
}

static double
median(double *figures)
{
    qsort(figures, REPETITIONS, sizeof(double), compare_doubles);
    return figures[REPETITIONS / 2];
}

static double
time_one_row(struct timing *timing)
{
    double figures[REPETITIONS];

    for (size_t i = 0; i < REPETITIONS; i++) {
        uint64_t start_ns = clock_mono_ns();
        for (size_t k = 0; k < ROW_TURNS; k++) {
            size_t row = (i * ROW_TURNS + k) * ROWS_SPARED % timing->row_count;
            model_margins(&timing->ours.model, timing->rows + row * timing->row_bytes, 1,
                          timing->ours.scratch, timing->margins);
        }
        figures[i] = (double)(clock_mono_ns() - start_ns) / ROW_TURNS;
    }
    return median(figures);
}

static double
time_batch(struct timing *timing)
{
    double figures[REPETITIONS];

    for (size_t i = 0; i < REPETITIONS; i++) {
        uint64_t start_ns = clock_mono_ns();
        model_margins(&timing->ours.model, timing->rows, BATCH_ROWS, timing->ours.scratch,
                      timing->margins);
        figures[i] = (double)(clock_mono_ns() - start_ns) / BATCH_ROWS;
    }
    return median(figures);
}

static double
time_open(struct timing *timing)
{
    struct model model = timing->ours.model;
    struct bytes blob = bytes_of(model.blob, model.blob_bytes);
    double figures[REPETITIONS];

    for (size_t i = 0; i < REPETITIONS; i++) {
        uint64_t start_ns = clock_mono_ns();
        if (model_open(blob, MODEL_CHECK_HEADER, &model, NULL) != 0) {
            return NAN;
        }
        model_margins(&model, timing->rows, 1, timing->ours.scratch, timing->margins);
        figures[i] = (double)(clock_mono_ns() - start_ns) / 1000.0;
    }
    return median(figures);
}

static bool
timing_init(struct timing *timing, const char *model_path, const char *rows_path)
{
    const struct model_import_options options = {.names = NULL};
    struct err err = {.rc = 0};
    struct buf file;
    struct buf rows;

    if (!oracle_read(model_path, &file) || !oracle_read(rows_path, &rows)) {
        return false;
    }
    if (!oracle_model_init(buf_view(&file), &options, &timing->ours, &err)) {
        fprintf(stderr, "bench_rows: %s: %s %s\n", model_path, err.at, err.reason);
        return false;
    }
    const struct model *model = &timing->ours.model;
    timing->row_count = rows.len / sizeof(double) / model->feature_count;
    timing->row_bytes = model->feature_count * model_number_bytes(model);
    timing->rows = aligned_alloc(64, (timing->row_count * timing->row_bytes + 63) / 64 * 64);
    timing->margins = malloc(timing->row_count * model->output_count * sizeof(double));
    timing->predictions = malloc(timing->row_count * model->prediction_count * sizeof(double));
    for (size_t i = 0; timing->rows != NULL && i < timing->row_count * model->feature_count; i++) {
        double value;
        memcpy(&value, rows.data + i * sizeof(value), sizeof(value));
        model_number_set(model, timing->rows, i, value);
    }
    buf_fini(&rows);
    buf_fini(&file);
    return timing->rows != NULL && timing->margins != NULL && timing->predictions != NULL &&
           timing->row_count >= BATCH_ROWS;
}

static bool
write_predictions(struct timing *timing, const char *path)
{
    const struct model *model = &timing->ours.model;
    size_t count = timing->row_count * model->prediction_count;
    FILE *out = fopen(path, "wb");

    if (out == NULL) {
        return false;
    }
    model_margins(model, timing->rows, timing->row_count, timing->ours.scratch, timing->margins);
    model_predictions(model, timing->margins, timing->row_count, timing->predictions);
    for (size_t i = 0; i < count; i++) {
        double value = model_number_get(model, timing->predictions, i);
        (void)fwrite(&value, sizeof(value), 1, out);
    }
    return fclose(out) == 0;
}

int
main(int argc, char **argv)
{
    struct timing timing = {.rows = NULL};

    if (argc != 4) {
        fprintf(stderr, "usage: bench_rows MODEL ROWS.f64 PREDICTIONS.f64\n");
        return 2;
    }
    if (!timing_init(&timing, argv[1], argv[2]) || !write_predictions(&timing, argv[3])) {
        return 1;
    }
    double open_us = time_open(&timing);
    printf("%.1f\t%.1f\t%.1f\n", time_one_row(&timing), time_batch(&timing), open_us);
    free(timing.predictions);
    free(timing.margins);
    free(timing.rows);
    oracle_model_fini(&timing.ours);
    return 0;
}
