/* SPDX-License-Identifier: MIT */
/*
 * predict_table.c - a question's rows in the form of a file (CSV with a header, an array of
 * numpy's), read by what reads files of rows: the same cells give the same answer in a request and
 * in a file.
 */
#include "predict_matrix.h"

/* A row of so many cells takes a few MiB while it is read. */
enum { CELLS_MAX = 1 << 17 };

int
predict_table_open(const struct predict_context *context, const struct predict_question *question,
                   const struct model *model, struct predict_file **out_file, struct err *err)
{
    struct predict_file_options options = {
        .path = "body",
        .rows = question->table,
        .is_ignoring_unknown = (question->flags & PREDICT_IGNORE_UNKNOWN) != 0,
        .is_request = true,
        .is_rounded = context->decimals != PREDICT_NOT_ROUNDED,
        .decimals = context->decimals,
    };

    options.rows.cells_max = CELLS_MAX;
    return predict_file_open(model, &options, out_file, err);
}

static int
refuse_more(const struct predict_context *context, struct err *err)
{
    err_set(
        err, AUGURY_ERR_LIMIT, "too_many_rows",
        "more than %u rows; one request may ask for so many (application/x-ndjson may have more)",
        context->rows_max);
    (void)err_at(err, "body");
    return AUGURY_ERR_LIMIT;
}

int
predict_table_rows_max(const struct predict_context *context, const struct predict_file *file,
                       const struct predict_question *question, size_t *out_rows, struct err *err)
{
    uint64_t rows = predict_file_rows_max(file);

    if (rows > context->rows_max && question->table.format == ROWS_NPY) {
        return refuse_more(context, err);
    }
    *out_rows = rows < context->rows_max ? (size_t)rows : context->rows_max;
    return 0;
}

int
predict_table_read(const struct predict_context *context, struct predict_file *file,
                   struct predict_matrix *matrix, struct predict_pace *pace, struct err *err)
{
    size_t room = matrix->row_count;
    size_t count = 0;
    int rc = 0;

    while (count < room && rc == 0) {
        rc = predict_pace_look(pace, count, "read", err);
        if (rc == 0) {
            rc = predict_file_next(file, matrix->values + count * matrix->row_bytes, err);
        }
        count += rc == 0 ? 1 : 0;
    }
    if (rc == 0) {
        /* At the end nothing is written; a row too many may take the place of the last one. */
        size_t last = room > 0 ? room - 1 : 0;
        rc = predict_file_next(file, matrix->values + last * matrix->row_bytes, err);
        rc = rc == 0 ? refuse_more(context, err) : rc;
    }
    matrix->row_count = count;
    return rc == AUGURY_END ? 0 : rc;
}
