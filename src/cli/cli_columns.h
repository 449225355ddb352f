/* SPDX-License-Identifier: MIT */
/*
 * cli_columns.h - one output of a model for blocks of rows, as columns of text. Private to the
 * room. Each user has its own: nothing in it is shared.
 */
#pragma once

#include "cli.h"

struct cli_output {
    enum predict_outputs kind;
    double level; /* of intervals */
};

struct cli_columns {
    const struct model *model;
    struct cli_output output;
    size_t count;    /* columns */
    size_t rows_max; /* of one block */
    void *margins;   /* rows_max × output_count */
    void *room;      /* what values are made of: probabilities, predictions, quantiles */
    void *values;    /* of the rows: the model's numbers, u32, or flags of classes */
    void *scratch;
    const void *rows; /* that were evaluated last; they outlive the printing */
};

/* How many columns the output has. */
size_t cli_columns_count(const struct model *model, enum predict_outputs output);
/* Allocates for blocks of rows_max rows. Refuses an output that the model lacks. */
AUGURY_MUST_USE int cli_columns_init(struct cli_columns *columns, const struct model *model,
                                     const struct cli_output *output, size_t rows_max,
                                     struct err *err);
void cli_columns_fini(struct cli_columns *columns);
/* Any number of rows up to rows_max. */
void cli_columns_evaluate(struct cli_columns *columns, const void *rows, size_t row_count);
/* Tab-separated, with a line end: the columns' names; the values of a row that was evaluated. */
void cli_columns_put_header(const struct cli_columns *columns, struct buf *text);
void cli_columns_put_row(const struct cli_columns *columns, size_t row, struct buf *text);
/* The same as numbers without text: their type, or AUGURY_NOT_FOUND when some are none; and the
 * rows that were evaluated. */
AUGURY_MUST_USE int cli_columns_npy_type(const struct cli_columns *columns,
                                         enum rows_npy_type *out_type);
void cli_columns_put_raw(const struct cli_columns *columns, size_t row_count, struct buf *out);
