/* SPDX-License-Identifier: MIT */
/*
 * predict_matrix.h - a question's rows as one canonical matrix of the model's numbers. Private to
 * the room.
 */
#pragma once

#include "augury/predict.h"

struct predict_matrix {
    uint8_t *values; /* row_count × feature_count numbers, row-major, 64-byte aligned */
    size_t row_count;
    size_t width;     /* feature_count */
    size_t row_bytes; /* of width numbers */
};

/* In the arena. Errors as predict_answer(). */
AUGURY_MUST_USE int predict_matrix_make(const struct predict_context *context,
                                        const struct predict_question *question,
                                        const struct model *model, struct arena *arena,
                                        struct predict_matrix *out_matrix, struct err *err);
/* predict_table.c: a question whose rows have the form of a file. */
AUGURY_MUST_USE int predict_table_open(const struct predict_context *context,
                                       const struct predict_question *question,
                                       const struct model *model, struct predict_file **out_file,
                                       struct err *err);
/* How many rows there may be. */
AUGURY_MUST_USE int predict_table_rows_max(const struct predict_context *context,
                                           const struct predict_file *file,
                                           const struct predict_question *question,
                                           size_t *out_rows, struct err *err);
/* Fills the matrix, which has room for that many; *matrix knows how many there are then. */
AUGURY_MUST_USE int predict_table_read(const struct predict_context *context,
                                       struct predict_file *file, struct predict_matrix *matrix,
                                       struct err *err);
int predict_memory_is_short(struct err *err);
