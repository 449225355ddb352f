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
    const char *name; /* of its one column; of several followed by :0, :1, … */
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
put_u32(const struct cli_columns *columns, size_t at, struct buf *text)
{
    buf_put_u64(text, ((const uint32_t *)columns->values)[at]);
}

static const struct kind kinds[] = {
    {PREDICT_PREDICTION, "prediction", count_predictions, evaluate_predictions, put_number},
    {PREDICT_MARGIN, "margin", count_margins, evaluate_margins, put_number},
    {PREDICT_PROBABILITIES, "probability", count_probabilities, evaluate_probabilities, put_number},
    {PREDICT_LEAF, "leaf", count_leaves, evaluate_leaves, put_u32},
    {PREDICT_CLASS, "class", count_one, evaluate_classes, put_u32},
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
                 enum predict_outputs output, size_t rows_max, struct err *err)
{
    size_t number_bytes = model_number_bytes(model);
    size_t scratch_bytes = (model_scratch_bytes(model, rows_max) + 63) & ~(size_t)63;
    size_t classes = model->probability_count > 0 ? model->probability_count : 1;
    int rc = predict_outputs_check(model, output, err);

    if (rc != 0) {
        return rc;
    }
    *columns = (struct cli_columns){.model = model,
                                    .output = output,
                                    .count = cli_columns_count(model, output),
                                    .rows_max = rows_max};
    columns->margins = calloc(rows_max, model->output_count * number_bytes);
    columns->room = calloc(rows_max, classes * number_bytes);
    columns->values = calloc(rows_max, columns->count * number_bytes);
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
    kind_of(columns->output)->evaluate(columns, rows, row_count);
}

void
cli_columns_put_header(const struct cli_columns *columns, struct buf *text)
{
    const struct kind *kind = kind_of(columns->output);

    for (size_t i = 0; i < columns->count; i++) {
        buf_put_text(text, kind->name);
        if (columns->count > 1) {
            buf_put_u8(text, ':');
            buf_put_u64(text, i);
        }
        buf_put_u8(text, i + 1 < columns->count ? '\t' : '\n');
    }
}

void
cli_columns_put_row(const struct cli_columns *columns, size_t row, struct buf *text)
{
    const struct kind *kind = kind_of(columns->output);

    for (size_t i = 0; i < columns->count; i++) {
        kind->put(columns, row * columns->count + i, text);
        buf_put_u8(text, i + 1 < columns->count ? '\t' : '\n');
    }
}
