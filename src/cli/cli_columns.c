/* SPDX-License-Identifier: MIT */
/*
 * cli_columns.c - an output evaluated for a block of rows and printed as columns. One row in the
 * table below is one output.
 */
#include "cli_columns.h"

#include <stdlib.h>
#include <string.h>

struct kind {
    enum predict_outputs output;
    void (*name)(const struct cli_columns *columns, size_t column, struct buf *text);
    size_t (*count)(const struct model *model);
    void (*evaluate)(struct cli_columns *columns, const void *rows, size_t row_count);
    void (*put)(const struct cli_columns *columns, size_t at, struct buf *text);
};

/* ---- how many -------------------------------------------------------------------------------- */

static size_t
count_predictions(const struct model *model)
{
    return model->prediction_count;
}

static size_t
count_margins(const struct model *model)
{
    return model->output_count;
}

static size_t
count_probabilities(const struct model *model)
{
    return model->probability_count;
}

static size_t
count_leaves(const struct model *model)
{
    return model->tree_count;
}

static size_t
count_one(const struct model *model)
{
    (void)model;
    return 1;
}

static size_t
count_bounds(const struct model *model)
{
    return model_calibration(model).score == MODEL_SCORE_CLASS ? 1 : 2;
}

static size_t
count_spread(const struct model *model)
{
    (void)model;
    return MODEL_SPREAD_COUNT;
}

/* ---- evaluation ------------------------------------------------------------------------------ */

static void
evaluate_predictions(struct cli_columns *columns, const void *rows, size_t row_count)
{
    model_margins(columns->model, rows, row_count, columns->scratch, columns->margins);
    model_predictions(columns->model, columns->margins, row_count, columns->values);
}

static void
evaluate_margins(struct cli_columns *columns, const void *rows, size_t row_count)
{
    model_margins(columns->model, rows, row_count, columns->scratch, columns->values);
}

static void
evaluate_probabilities(struct cli_columns *columns, const void *rows, size_t row_count)
{
    model_margins(columns->model, rows, row_count, columns->scratch, columns->margins);
    model_probabilities(columns->model, columns->margins, row_count, columns->values);
}

static void
evaluate_leaves(struct cli_columns *columns, const void *rows, size_t row_count)
{
    model_leaves(columns->model, rows, row_count, columns->scratch, columns->values);
}

static void
evaluate_classes(struct cli_columns *columns, const void *rows, size_t row_count)
{
    model_margins(columns->model, rows, row_count, columns->scratch, columns->margins);
    predict_classes(columns->model, columns->margins, row_count, columns->room, columns->values);
}

static void
evaluate_intervals(struct cli_columns *columns, const void *rows, size_t row_count)
{
    const struct model *model = columns->model;
    enum model_score score = model_calibration(model).score;
    struct predict_interval_rows values = {
        .rows = rows, .values = columns->room, .width = 1, .count = row_count};

    if (score == MODEL_SCORE_QUANTILES) {
        values.width = 2;
        predict_quantiles(model, rows, row_count, columns->scratch, columns->room);
        predict_intervals(model, &values, columns->output.level, columns->values);
        return;
    }
    model_margins(model, rows, row_count, columns->scratch, columns->margins);
    if (score == MODEL_SCORE_CLASS) {
        values.width = model->probability_count;
        model_probabilities(model, columns->margins, row_count, columns->room);
        predict_class_sets(model, &values, columns->output.level, columns->values);
    } else {
        model_predictions(model, columns->margins, row_count, columns->room);
        predict_intervals(model, &values, columns->output.level, columns->values);
    }
}

static void
evaluate_contributions(struct cli_columns *columns, const void *rows, size_t row_count)
{
    model_contributions(columns->model, rows, row_count, columns->scratch, columns->values);
}

static void
evaluate_spread(struct cli_columns *columns, const void *rows, size_t row_count)
{
    model_spread(columns->model, rows, row_count, columns->scratch, columns->values);
}

/* What is printed follows from the row itself. */
static void
evaluate_nothing(struct cli_columns *columns, const void *rows, size_t row_count)
{
    (void)columns;
    (void)rows;
    (void)row_count;
}

/* ---- text ------------------------------------------------------------------------------------ */

static void
put_number(const struct cli_columns *columns, size_t at, struct buf *text)
{
    char digits[WIRE_F32_TEXT_MAX];

    if (columns->model->number == MODEL_FLOAT32) {
        buf_put(text, digits, wire_f32_to_text(((const float *)columns->values)[at], digits));
    } else {
        buf_put(text, digits, wire_f64_to_text(((const double *)columns->values)[at], digits));
    }
}

static void
put_f64(const struct cli_columns *columns, size_t at, struct buf *text)
{
    char digits[WIRE_F32_TEXT_MAX];

    buf_put(text, digits, wire_f64_to_text(((const double *)columns->values)[at], digits));
}

static void
put_u32(const struct cli_columns *columns, size_t at, struct buf *text)
{
    buf_put_u64(text, ((const uint32_t *)columns->values)[at]);
}

/* A name in a line of cells: what would end a cell is a space. */
static void
put_name(struct bytes name, struct buf *text)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        buf_put_u8(text, c == '\t' || c == '\n' || c == '\r' ? ' ' : c);
    }
}

static void
put_class_of(const struct cli_columns *columns, uint32_t number, struct buf *text)
{
    if (number < model_class_count(columns->model)) {
        put_name(model_class_name(columns->model, number), text);
    } else {
        buf_put_u64(text, number);
    }
}

static void
put_class(const struct cli_columns *columns, size_t at, struct buf *text)
{
    put_class_of(columns, ((const uint32_t *)columns->values)[at], text);
}

/* Codes with commas between, the most important first. */
static void
put_reasons(const struct cli_columns *columns, size_t at, struct buf *text)
{
    const struct model *model = columns->model;
    const uint8_t *row =
        (const uint8_t *)columns->rows + at * model->feature_count * model_number_bytes(model);
    struct model_reason reasons[PREDICT_REASONS_COUNT];
    size_t count = model_reasons(model, row, PREDICT_REASONS_COUNT, reasons);

    for (size_t i = 0; i < count; i++) {
        buf_put_text(text, i == 0 ? "" : ",");
        put_name(reasons[i].code, text);
    }
}

/* A bound, or the classes of a set with commas between. */
static void
put_interval(const struct cli_columns *columns, size_t at, struct buf *text)
{
    uint32_t count = columns->model->probability_count;
    const uint8_t *set = (const uint8_t *)columns->values + at * count;
    bool is_first = true;

    if (model_calibration(columns->model).score != MODEL_SCORE_CLASS) {
        put_number(columns, at, text);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (set[i] != 0) {
            buf_put_text(text, is_first ? "" : ",");
            put_class_of(columns, i, text);
            is_first = false;
        }
    }
}

/* ---- names ----------------------------------------------------------------------------------- */

/* The output's name; of several columns with :0, :1 and so on behind it. */
static void
name_numbered(const struct cli_columns *columns, size_t column, struct buf *text)
{
    bool is_probability = columns->output.kind == PREDICT_PROBABILITIES;

    buf_put_text(text, is_probability ? "probability" : predict_output_name(columns->output.kind));
    if (columns->count > 1) {
        buf_put_u8(text, ':');
        if (is_probability) {
            put_class_of(columns, (uint32_t)column, text);
        } else {
            buf_put_u64(text, column);
        }
    }
}

static void
name_bound(const struct cli_columns *columns, size_t column, struct buf *text)
{
    buf_put_text(text, columns->count == 1 ? "set" : column == 0 ? "lower" : "upper");
}

/* "f:age" and "bias"; of several outputs with the class behind it. */
static void
name_contribution(const struct cli_columns *columns, size_t column, struct buf *text)
{
    const struct model *model = columns->model;
    uint32_t feature = (uint32_t)(column % (model->feature_count + 1));

    if (feature < model->feature_count) {
        buf_put_text(text, "f:");
        put_name(model_feature(model, feature).name, text);
    } else {
        buf_put_text(text, "bias");
    }
    if (model->output_count > 1) {
        buf_put_u8(text, ':');
        put_class_of(columns, (uint32_t)(column / (model->feature_count + 1)), text);
    }
}

static void
name_spread(const struct cli_columns *columns, size_t column, struct buf *text)
{
    static const char *const names[MODEL_SPREAD_COUNT] = {"std", "min", "max"};

    (void)columns;
    buf_put_text(text, names[column]);
}

/* More than margins need. */
static size_t
scratch_bytes_of(const struct model *model, enum predict_outputs kind, size_t rows_max)
{
    if (kind == PREDICT_CONTRIBUTIONS) {
        return model_contributions_scratch_bytes(model, rows_max);
    }
    if (kind == PREDICT_SPREAD) {
        return model_spread_scratch_bytes(model);
    }
    if (kind == PREDICT_INTERVAL && model_calibration(model).score == MODEL_SCORE_QUANTILES) {
        return predict_quantiles_scratch_bytes(model);
    }
    return 0;
}

static const struct kind kinds[] = {
    {PREDICT_PREDICTION, name_numbered, count_predictions, evaluate_predictions, put_number},
    {PREDICT_MARGIN, name_numbered, count_margins, evaluate_margins, put_number},
    {PREDICT_PROBABILITIES, name_numbered, count_probabilities, evaluate_probabilities, put_number},
    {PREDICT_LEAF, name_numbered, count_leaves, evaluate_leaves, put_u32},
    {PREDICT_CLASS, name_numbered, count_one, evaluate_classes, put_class},
    {PREDICT_CONTRIBUTIONS, name_contribution, model_contributions_count, evaluate_contributions,
     put_number},
    {PREDICT_SPREAD, name_spread, count_spread, evaluate_spread, put_f64},
    {PREDICT_REASONS, name_numbered, count_one, evaluate_nothing, put_reasons},
    {PREDICT_INTERVAL, name_bound, count_bounds, evaluate_intervals, put_interval},
};

static const struct kind *
kind_of(enum predict_outputs output)
{
    size_t i = 0;

    while (i + 1 < AUGURY_COUNT(kinds) && kinds[i].output != output) {
        i++;
    }
    AUGURY_ASSERT(kinds[i].output == output);
    return &kinds[i];
}

/* ---- public ---------------------------------------------------------------------------------- */

size_t
cli_columns_count(const struct model *model, enum predict_outputs output)
{
    return kind_of(output)->count(model);
}

int
cli_columns_init(struct cli_columns *columns, const struct model *model,
                 const struct cli_output *output, size_t rows_max, struct err *err)
{
    size_t number_bytes = model_number_bytes(model);
    size_t scratch_bytes = (model_scratch_bytes(model, rows_max) + 63) & ~(size_t)63;
    size_t widest = model->probability_count > 2 ? model->probability_count : 2;
    int rc = predict_outputs_check(model, output->kind, err);

    if (rc != 0) {
        return rc;
    }
    *columns = (struct cli_columns){.model = model,
                                    .output = *output,
                                    .count = cli_columns_count(model, output->kind),
                                    .rows_max = rows_max};
    widest = columns->count > widest ? columns->count : widest;
    size_t own_bytes = (scratch_bytes_of(model, output->kind, rows_max) + 63) & ~(size_t)63;
    scratch_bytes = own_bytes > scratch_bytes ? own_bytes : scratch_bytes;
    columns->margins = calloc(rows_max, model->output_count * number_bytes);
    columns->room = calloc(rows_max, widest * number_bytes);
    columns->values = calloc(rows_max, widest * sizeof(double));
    columns->scratch = aligned_alloc(64, scratch_bytes > 0 ? scratch_bytes : 64);
    if (columns->margins == NULL || columns->room == NULL || columns->values == NULL ||
        columns->scratch == NULL) {
        cli_columns_fini(columns);
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for a block of rows");
    }
    return 0;
}

void
cli_columns_fini(struct cli_columns *columns)
{
    free(columns->scratch);
    free(columns->values);
    free(columns->room);
    free(columns->margins);
    *columns = (struct cli_columns){.count = 0};
}

void
cli_columns_evaluate(struct cli_columns *columns, const void *rows, size_t row_count)
{
    AUGURY_ASSERT(row_count <= columns->rows_max);
    columns->rows = rows;
    kind_of(columns->output.kind)->evaluate(columns, rows, row_count);
}

void
cli_columns_put_header(const struct cli_columns *columns, struct buf *text)
{
    const struct kind *kind = kind_of(columns->output.kind);

    for (size_t i = 0; i < columns->count; i++) {
        kind->name(columns, i, text);
        buf_put_u8(text, i + 1 < columns->count ? '\t' : '\n');
    }
}

void
cli_columns_put_row(const struct cli_columns *columns, size_t row, struct buf *text)
{
    const struct kind *kind = kind_of(columns->output.kind);

    for (size_t i = 0; i < columns->count; i++) {
        kind->put(columns, row * columns->count + i, text);
        buf_put_u8(text, i + 1 < columns->count ? '\t' : '\n');
    }
}

int
cli_columns_npy_type(const struct cli_columns *columns, enum rows_npy_type *out_type)
{
    const struct kind *kind = kind_of(columns->output.kind);
    bool is_set =
        kind->put == put_interval && model_calibration(columns->model).score == MODEL_SCORE_CLASS;

    if (kind->put == put_f64) {
        *out_type = ROWS_NPY_F8;
        return 0;
    }
    if (is_set || (kind->put != put_number && kind->put != put_u32 && kind->put != put_interval)) {
        return AUGURY_NOT_FOUND;
    }
    *out_type = kind->put == put_u32                      ? ROWS_NPY_U4
                : columns->model->number == MODEL_FLOAT32 ? ROWS_NPY_F4
                                                          : ROWS_NPY_F8;
    return 0;
}

void
cli_columns_put_raw(const struct cli_columns *columns, size_t row_count, struct buf *out)
{
    enum rows_npy_type type = ROWS_NPY_F8;
    int rc = cli_columns_npy_type(columns, &type);
    size_t number_bytes = type == ROWS_NPY_F8 ? sizeof(double) : sizeof(uint32_t);

    AUGURY_ASSERT(rc == 0);
    buf_put(out, columns->values, row_count * columns->count * number_bytes);
}
