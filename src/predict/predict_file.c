/* SPDX-License-Identifier: MIT */
/*
 * predict_file.c - a file of rows as a model reads it: columns are found by name or stand in the
 * schema's order, cells are read as values of requests are, and what is wrong is named with file,
 * line and column.
 *
 * Invariant: a row begins as all missing, and every column writes a place of its own. What a libsvm
 * line leaves out is 0, as that form has it; only XGBoost calls it missing.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "augury/predict.h"
#include "predict_value.h"

/* Where a column goes: a feature from 0, an extra one as -1 - its number; nowhere. */
enum { NOWHERE = INT32_MIN };

struct predict_file {
    const struct model *model;
    struct predict_file_options options;
    struct rows_reader *reader;
    int32_t *columns; /* csv, tsv */
    size_t column_count;
    bool has_header;
    bool has_values;   /* cells are values, not text */
    uint8_t *is_given; /* libsvm, msgpack's maps: the features that the row names */
    struct predict_slot *slots;
    struct bytes *extras; /* cells of the last row */
};

/* ---- places in messages ---------------------------------------------------------------------- */

static int
at_line(const struct predict_file *file, struct err *err)
{
    return err_at(err, "%s%s%llu", file->options.path, rows_unit(file->options.rows.format),
                  (unsigned long long)rows_line(file->reader));
}

static int
at_header(const struct predict_file *file, struct err *err)
{
    return err_at(err, "%s:1", file->options.path);
}

static int
at_column(const struct predict_file *file, struct bytes name, struct err *err)
{
    return err_at(err, "%s%s%llu, column %.*s", file->options.path,
                  rows_unit(file->options.rows.format), (unsigned long long)rows_line(file->reader),
                  PREDICT_SHOWN(name));
}

/* ---- columns --------------------------------------------------------------------------------- */

static int
refuse_unknown(const struct predict_file *file, struct bytes name, struct err *err)
{
    struct predict_nearest nearest;

    predict_nearest_init(&nearest, name);
    for (uint32_t i = 0; i < file->model->feature_count; i++) {
        predict_nearest_offer(&nearest, model_feature(file->model, i).name);
    }
    if (nearest.found.len > 0) {
        err_set(err, AUGURY_ERR_INVALID, "unknown_feature",
                "column \"%.*s\" is no feature of the model; did you mean \"%.*s\"?",
                PREDICT_SHOWN(name), PREDICT_SHOWN(nearest.found));
    } else if (file->options.is_request) {
        err_set(
            err, AUGURY_ERR_INVALID, "unknown_feature",
            "column \"%.*s\" is no feature of the model (?ignore_unknown=true leaves out what is "
            "no feature)",
            PREDICT_SHOWN(name));
    } else if (file->options.extra_count > 0) {
        err_set(err, AUGURY_ERR_INVALID, "unknown_feature",
                "column \"%.*s\" is no feature of the model and no target (calibrate leaves such "
                "columns out with --ignore-unknown)",
                PREDICT_SHOWN(name));
    } else {
        err_set(err, AUGURY_ERR_INVALID, "unknown_feature",
                "column \"%.*s\" is no feature of the model (--skip-columns N leaves out the first "
                "N, --no-header reads the first line as a row, --ignore-unknown leaves out what is "
                "no feature)",
                PREDICT_SHOWN(name));
    }
    return at_header(file, err);
}

static int
refuse_second(const struct predict_file *file, struct bytes name, struct err *err)
{
    err_set(err, AUGURY_ERR_INVALID, "duplicate_feature", "column \"%.*s\" stands there twice",
            PREDICT_SHOWN(name));
    return at_header(file, err);
}

static int
refuse_absent(const struct predict_file *file, struct bytes wanted, struct err *err)
{
    struct predict_nearest nearest;
    size_t count = 0;
    const struct bytes *names = rows_header(file->reader, &count);

    predict_nearest_init(&nearest, wanted);
    for (size_t i = 0; i < count; i++) {
        predict_nearest_offer(&nearest, names[i]);
    }
    if (nearest.found.len > 0) {
        err_set(err, AUGURY_ERR_INVALID, "missing_column",
                "there is no column \"%.*s\"; did you mean \"%.*s\"?", PREDICT_SHOWN(wanted),
                PREDICT_SHOWN(nearest.found));
    } else {
        err_set(err, AUGURY_ERR_INVALID, "missing_column",
                "there is no column \"%.*s\" among the %zu of the header, of which the last is "
                "\"%.*s\"",
                PREDICT_SHOWN(wanted), count,
                PREDICT_SHOWN(count > 0 ? names[count - 1] : bytes_of("", 0)));
    }
    return at_header(file, err);
}

/* The place of a column, or NOWHERE. */
static int32_t
column_find(const struct predict_file *file, struct bytes name, uint32_t hint)
{
    for (size_t i = 0; i < file->options.extra_count; i++) {
        if (bytes_equal_text(name, file->options.extras[i])) {
            return -1 - (int32_t)i;
        }
    }
    int32_t feature = model_feature_find(file->model, name, hint);
    return feature >= 0 ? feature : NOWHERE;
}

static int
columns_from_header(struct predict_file *file, const struct bytes *names, struct err *err)
{
    int32_t extra_count = (int32_t)file->options.extra_count;
    uint8_t *is_taken = calloc((size_t)extra_count + file->model->feature_count + 1, 1);
    uint32_t hint = 0;
    int rc = 0;

    if (is_taken == NULL) {
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for columns");
    }
    for (size_t i = 0; rc == 0 && i < file->column_count; i++) {
        int32_t place = column_find(file, names[i], hint);
        if (place != NOWHERE && is_taken[extra_count + place] != 0) {
            rc = refuse_second(file, names[i], err);
        } else if (place != NOWHERE) {
            is_taken[extra_count + place] = 1;
        }
        file->columns[i] = place;
        hint = place >= 0 ? (uint32_t)place + 1 : hint;
    }
    free(is_taken);
    return rc;
}

/* Every extra column has to be there. */
static int
check_extras(const struct predict_file *file, struct err *err)
{
    for (size_t i = 0; i < file->options.extra_count; i++) {
        bool is_there = false;
        for (size_t k = 0; k < file->column_count && !is_there; k++) {
            is_there = file->columns[k] == -1 - (int32_t)i;
        }
        if (!is_there) {
            return refuse_absent(file, bytes_of_text(file->options.extras[i]), err);
        }
    }
    return 0;
}

static int
check_unknown(const struct predict_file *file, const struct bytes *names, struct err *err)
{
    for (size_t i = 0; i < file->column_count && !file->options.is_ignoring_unknown; i++) {
        if (file->columns[i] == NOWHERE) {
            return refuse_unknown(file, names[i], err);
        }
    }
    return 0;
}

static int
make_columns(struct predict_file *file, struct err *err)
{
    const struct rows_options *rows = &file->options.rows;
    size_t count = file->model->feature_count;
    const struct bytes *names = NULL;

    bool has_header = rows->has_header && (rows->format == ROWS_CSV || rows->format == ROWS_TSV);

    file->has_header = has_header;
    if (file->options.extra_count > 0 && !has_header) {
        err_set(err, AUGURY_ERR_INVALID, "missing_column",
                "the column \"%s\" is found by its name: a csv or tsv file with a header is needed",
                file->options.extras[0]);
        return err_at(err, "%s", file->options.path);
    }
    if (rows->format == ROWS_LIBSVM) {
        return 0;
    }
    if (has_header) {
        names = rows_header(file->reader, &count);
    }
    file->columns = calloc(count > 0 ? count : 1, sizeof(*file->columns));
    if (file->columns == NULL) {
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for columns");
    }
    file->column_count = count;
    for (size_t i = 0; names == NULL && i < count; i++) {
        file->columns[i] = (int32_t)i;
    }
    if (names == NULL) {
        return 0;
    }
    /* A target whose name is mistyped is told before the column that it meant. */
    int rc = columns_from_header(file, names, err);
    rc = rc == 0 ? check_extras(file, err) : rc;
    return rc == 0 ? check_unknown(file, names, err) : rc;
}

/* What each value has to be; and room to tell what a row has named. */
static int
make_slots(struct predict_file *file, struct err *err)
{
    uint32_t decimals = file->options.is_rounded ? file->options.decimals : PREDICT_NOT_ROUNDED;

    file->is_given = calloc(file->model->feature_count + 1U, 1);
    file->slots = calloc(file->model->feature_count + 1U, sizeof(*file->slots));
    if (file->slots == NULL || file->is_given == NULL) {
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for features");
    }
    file->has_values =
        file->options.rows.format == ROWS_NPY || file->options.rows.format == ROWS_MSGPACK;
    for (uint32_t i = 0; i < file->model->feature_count; i++) {
        file->slots[i] = predict_slot_of(file->model, i, decimals);
    }
    return 0;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static int
row_set(const struct predict_file *file, void *row, uint32_t feature, const struct rows_cell *cell,
        struct err *err)
{
    const struct predict_slot *slot = &file->slots[feature];
    struct predict_place place = {file->model, feature};
    double number;
    int rc = file->has_values ? predict_value(slot, place, &cell->value, &number, err)
                              : predict_slot_cell(slot, place, cell->text, &number, err);

    if (rc != 0) {
        (void)at_column(file, model_feature(file->model, feature).name, err);
        return rc;
    }
    model_number_set(file->model, row, feature, number);
    return 0;
}

static int
row_from_columns(struct predict_file *file, const struct rows_cell *cells, size_t count, void *row,
                 struct err *err)
{
    int rc = 0;

    if (count != file->column_count) {
        err_set(err, AUGURY_ERR_INVALID, "invalid_rows", "%zu columns, expected %zu%s", count,
                file->column_count,
                file->has_header ? " as in the header" : ", one for each feature of the model");
        (void)at_line(file, err);
        return AUGURY_ERR_INVALID;
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        int32_t place = file->columns[i];
        if (place >= 0) {
            rc = row_set(file, row, (uint32_t)place, &cells[i], err);
        } else if (place != NOWHERE) {
            file->extras[-1 - place] = cells[i].text;
        }
    }
    return rc;
}

static void
row_fill_absent(const struct predict_file *file, void *row)
{
    if (bytes_start_with(model_source(file->model), "xgboost")) {
        return;
    }
    for (uint32_t i = 0; i < file->model->feature_count; i++) {
        if (file->is_given[i] == 0) {
            model_number_set(file->model, row, i, 0.0);
        }
    }
}

/* Entry i is feature i: the training libraries take the numbers of a libsvm file as they are. */
static int
row_from_entries(const struct predict_file *file, const struct rows_cell *cells, size_t count,
                 void *row, struct err *err)
{
    int rc = 0;

    memset(file->is_given, 0, file->model->feature_count);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        uint32_t feature = cells[i].column;
        if (feature >= file->model->feature_count) {
            rc = err_set(err, AUGURY_ERR_INVALID, "invalid_rows",
                         "entry %u, but the model's features are 0 to %u", feature,
                         file->model->feature_count - 1);
            (void)at_line(file, err);
        } else if (file->is_given[feature] != 0) {
            rc = err_set(err, AUGURY_ERR_INVALID, "invalid_rows", "entry %u stands there twice",
                         feature);
            (void)at_line(file, err);
        } else {
            file->is_given[feature] = 1;
            rc = row_set(file, row, feature, &cells[i], err);
        }
    }
    if (rc == 0) {
        row_fill_absent(file, row);
    }
    return rc;
}

/* A map of names to values. */
static int
row_from_names(const struct predict_file *file, const struct rows_cell *cells, size_t count,
               void *row, struct err *err)
{
    uint32_t hint = 0;
    int rc = 0;

    memset(file->is_given, 0, file->model->feature_count);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        int32_t feature = model_feature_find(file->model, cells[i].name, hint);
        if (feature < 0 && file->options.is_ignoring_unknown) {
            continue;
        }
        if (feature < 0) {
            (void)refuse_unknown(file, cells[i].name, err);
            (void)at_line(file, err);
            return AUGURY_ERR_INVALID;
        }
        if (file->is_given[feature] != 0) {
            (void)refuse_second(file, cells[i].name, err);
            (void)at_line(file, err);
            return AUGURY_ERR_INVALID;
        }
        file->is_given[feature] = 1;
        rc = row_set(file, row, (uint32_t)feature, &cells[i], err);
        hint = (uint32_t)feature + 1;
    }
    return rc;
}

static int
row_from_cells(struct predict_file *file, const struct rows_cell *cells, size_t count, void *row,
               struct err *err)
{
    if (file->options.rows.format == ROWS_LIBSVM) {
        return row_from_entries(file, cells, count, row, err);
    }
    return rows_are_named(file->reader) ? row_from_names(file, cells, count, row, err)
                                        : row_from_columns(file, cells, count, row, err);
}

/* ---- public ---------------------------------------------------------------------------------- */

int
predict_file_open(const struct model *model, const struct predict_file_options *options,
                  struct predict_file **out_file, struct err *err)
{
    struct predict_file *file = calloc(1, sizeof(*file));
    struct bytes *extras = calloc(options->extra_count + 1, sizeof(*extras));

    if (file == NULL || extras == NULL) {
        free(file);
        free(extras);
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for a file of rows");
    }
    file->model = model;
    file->options = *options;
    file->extras = extras;
    int rc = rows_open(options->path, &options->rows, &file->reader, err);
    if (rc == 0) {
        rc = make_columns(file, err);
    }
    if (rc == 0) {
        rc = make_slots(file, err);
    }
    if (rc != 0) {
        predict_file_close(&file);
        return rc;
    }
    *out_file = file;
    return 0;
}

uint64_t
predict_file_rows_max(const struct predict_file *file)
{
    return rows_count_max(file->reader);
}

int
predict_file_cut(struct predict_file *file, size_t target_bytes, struct buf *block,
                 uint64_t *out_line, struct err *err)
{
    return rows_cut(file->reader, target_bytes, block, out_line, err);
}

int
predict_file_open_blocks(const struct predict_file *whole, struct predict_file **out_file,
                         struct err *err)
{
    struct predict_file *file = calloc(1, sizeof(*file));
    int rc = 0;

    if (file != NULL) {
        *file = (struct predict_file){.model = whole->model,
                                      .options = whole->options,
                                      .column_count = whole->column_count,
                                      .has_header = whole->has_header};
        file->extras = calloc(whole->options.extra_count + 1, sizeof(*file->extras));
        file->columns = calloc(whole->column_count + 1, sizeof(*file->columns));
    }
    if (file == NULL || file->extras == NULL || file->columns == NULL) {
        rc = err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for a file of rows");
    }
    if (rc == 0 && whole->columns != NULL) {
        memcpy(file->columns, whole->columns, whole->column_count * sizeof(*file->columns));
    }
    if (rc == 0) {
        rc = rows_open_blocks(whole->reader, &file->reader, err);
    }
    if (rc == 0) {
        rc = make_slots(file, err);
    }
    if (rc != 0) {
        predict_file_close(&file);
        return rc;
    }
    *out_file = file;
    return 0;
}

void
predict_file_feed(struct predict_file *file, struct buf *block, uint64_t line)
{
    rows_feed(file->reader, block, line);
}

void
predict_file_close(struct predict_file **file)
{
    if (*file == NULL) {
        return;
    }
    rows_close(&(*file)->reader);
    free((*file)->columns);
    free((*file)->is_given);
    free((*file)->slots);
    free((*file)->extras);
    free(*file);
    *file = NULL;
}

int
predict_file_next(struct predict_file *file, void *out_row, struct err *err)
{
    const struct model *model = file->model;
    const struct rows_cell *cells;
    size_t count;
    int rc = rows_next(file->reader, &cells, &count, err);

    if (rc != 0) {
        return rc;
    }
    for (uint32_t i = 0; i < model->feature_count; i++) {
        model_number_set(model, out_row, i, NAN);
    }
    rc = row_from_cells(file, cells, count, out_row, err);
    if (rc == 0) {
        rc = predict_row_check(model, out_row, err);
        if (rc != 0) {
            (void)at_line(file, err);
        }
    }
    return rc;
}

struct bytes
predict_file_extra(const struct predict_file *file, size_t extra)
{
    AUGURY_ASSERT(extra < file->options.extra_count);
    return file->extras[extra];
}

int
predict_file_at_extra(const struct predict_file *file, size_t extra, struct err *err)
{
    return at_column(file, bytes_of_text(file->options.extras[extra]), err);
}

int
predict_file_extra_number(const struct predict_file *file, size_t extra, double *out_number,
                          struct err *err)
{
    struct bytes text = predict_file_extra(file, extra);
    double number;

    if (!predict_number(text, &number) || !isfinite(number)) {
        err_set(err, AUGURY_ERR_INVALID, "invalid_target", "expected a number, got \"%.*s\"",
                PREDICT_SHOWN(text));
        return predict_file_at_extra(file, extra, err);
    }
    *out_number = number;
    return 0;
}
