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

/* A question's time, looked at between rows: not before the first, and so often that work over rows
 * ends within about a millisecond of its end. */
struct predict_pace {
    uint64_t deadline_mono_ns;
    size_t every; /* rows */
    size_t next;  /* rows that are done when the clock is looked at; SIZE_MAX: never */
};
/* deadline_mono_ns 0: there is none. cells_a_row: what one row takes. */
void predict_pace_init(struct predict_pace *pace, uint64_t deadline_mono_ns, size_t cells_a_row);
AUGURY_MUST_USE int predict_pace_over(struct predict_pace *pace, size_t done, const char *what,
                                      struct err *err);
/* done: so many rows are, "read" or what else is done. AUGURY_ERR_TIMEOUT ("timeout"): go on with
 * none. */
AUGURY_MUST_USE static inline int
predict_pace_look(struct predict_pace *pace, size_t done, const char *what, struct err *err)
{
    return done < pace->next ? 0 : predict_pace_over(pace, done, what, err);
}

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
                                       struct predict_pace *pace, struct err *err);
int predict_memory_is_short(struct err *err);
