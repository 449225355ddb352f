/* SPDX-License-Identifier: MIT */
/*
 * cli_score.c - scores a file of rows. The model is compiled in memory by the code that imports it,
 * rows are read by the code that reads a request's values and evaluated in blocks, so that memory
 * does not grow with the file.
 */
#include "cli_score.h"

#include "cli_columns.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MODEL_FILE_MAX = 1 << 30,
    SCHEMA_FILE_MAX = 16 << 20,
    BLOCK_ROWS_MAX = 1024,
    BLOCK_NUMBERS_MAX = 4 << 20, /* fewer rows a block for very wide models */
    TEXT_FLUSH_BYTES = 256 << 10,
    TEXT_MAX_BYTES = 16 << 20
};

/* One block of rows on its way through a model. */
struct scorer {
    const struct cli_score_options *options;
    struct model model;
    struct rows_reader *reader;
    int32_t *columns; /* csv, tsv: feature of each column */
    size_t column_count;
    void *rows; /* block_rows × feature_count of the model's numbers */
    size_t block_rows;
    size_t filled;
    struct cli_columns answers;
    struct buf text;
    struct err err;
};

/* ---- the model ------------------------------------------------------------------------------- */

static int
compile(const struct cli_score_options *options, struct buf *file, struct buf *schema,
        struct buf *out_blob, struct err *err)
{
    int rc = api_read_file(options->model_path, MODEL_FILE_MAX, file, err);

    if (rc == 0 && options->schema_path != NULL) {
        rc = api_read_file(options->schema_path, SCHEMA_FILE_MAX, schema, err);
    }
    if (rc != 0) {
        return rc;
    }
    struct model_import_options import = {
        .names = options->features,
        .schema = buf_view(schema),
        .is_best_iteration = options->is_best_iteration,
        .iteration_begin = options->iteration_begin,
        .iteration_end = options->iteration_end,
    };
    return model_import(buf_view(file), &import, out_blob, err);
}

static int
compile_and_open(struct scorer *scorer, struct buf *blob)
{
    struct buf file;
    struct buf schema;

    buf_init(&file, 0);
    buf_init(&schema, 0);
    int rc = compile(scorer->options, &file, &schema, blob, &scorer->err);
    buf_fini(&schema);
    buf_fini(&file);
    return rc == 0 ? model_open(buf_view(blob), MODEL_CHECK_ALL, &scorer->model, &scorer->err) : rc;
}

static int
alloc_block(struct scorer *scorer)
{
    const struct model *model = &scorer->model;
    enum predict_outputs output = scorer->options->output;
    size_t widest = cli_columns_count(model, output);

    widest = widest > model->feature_count ? widest : model->feature_count;
    widest = widest > model->output_count ? widest : model->output_count;
    scorer->block_rows = BLOCK_NUMBERS_MAX / widest;
    scorer->block_rows = scorer->block_rows < 1                ? 1
                         : scorer->block_rows > BLOCK_ROWS_MAX ? BLOCK_ROWS_MAX
                                                               : scorer->block_rows;
    int rc = cli_columns_init(&scorer->answers, model, output, scorer->block_rows, &scorer->err);
    if (rc != 0) {
        return rc == AUGURY_ERR_UNSUPPORTED
                   ? err_at(&scorer->err, "%s", scorer->options->model_path)
                   : rc;
    }
    scorer->rows = calloc(scorer->block_rows, model->feature_count * model_number_bytes(model));
    if (scorer->rows == NULL) {
        return err_set(&scorer->err, AUGURY_ERR_NOMEM, "no_memory",
                       "no memory for a block of rows");
    }
    return 0;
}

/* ---- columns --------------------------------------------------------------------------------- */

static int
at_line(struct scorer *scorer)
{
    return err_at(&scorer->err, "%s:%llu", scorer->options->rows_path,
                  (unsigned long long)rows_line(scorer->reader));
}

static int
at_column(struct scorer *scorer, uint32_t feature)
{
    struct bytes name = model_feature(&scorer->model, feature).name;
    const char *path = scorer->options->rows_path;

    return err_at(&scorer->err, "%s:%llu, column %.*s", path,
                  (unsigned long long)rows_line(scorer->reader),
                  (int)(name.len < 64 ? name.len : 64), (const char *)name.data);
}

static int
refuse_unknown_column(struct scorer *scorer, struct bytes name)
{
    struct predict_nearest nearest;
    int shown = (int)(name.len < 64 ? name.len : 64);

    predict_nearest_init(&nearest, name);
    for (uint32_t i = 0; i < scorer->model.feature_count; i++) {
        predict_nearest_offer(&nearest, model_feature(&scorer->model, i).name);
    }
    if (nearest.found.len > 0) {
        err_set(&scorer->err, AUGURY_ERR_INVALID, "unknown_feature",
                "column \"%.*s\" is no feature of the model; did you mean \"%.*s\"?", shown,
                (const char *)name.data, (int)nearest.found.len, (const char *)nearest.found.data);
    } else {
        err_set(&scorer->err, AUGURY_ERR_INVALID, "unknown_feature",
                "column \"%.*s\" is no feature of the model (--skip-columns N leaves out the first "
                "N, --no-header "
                "reads the first line as a row)",
                shown, (const char *)name.data);
    }
    return err_at(&scorer->err, "%s:1", scorer->options->rows_path);
}

static int
refuse_second_column(struct scorer *scorer, struct bytes name)
{
    err_set(&scorer->err, AUGURY_ERR_INVALID, "duplicate_feature",
            "column \"%.*s\" stands there twice", (int)(name.len < 64 ? name.len : 64),
            (const char *)name.data);
    return err_at(&scorer->err, "%s:1", scorer->options->rows_path);
}

static int
columns_from_header(struct scorer *scorer, const struct bytes *names, size_t count)
{
    uint32_t hint = 0;

    for (size_t i = 0; i < count; i++) {
        int32_t feature = model_feature_find(&scorer->model, names[i], hint);
        if (feature < 0) {
            return refuse_unknown_column(scorer, names[i]);
        }
        for (size_t j = 0; j < i; j++) {
            if (scorer->columns[j] == feature) {
                return refuse_second_column(scorer, names[i]);
            }
        }
        scorer->columns[i] = feature;
        hint = (uint32_t)feature + 1;
    }
    return 0;
}

static int
make_columns(struct scorer *scorer)
{
    const struct rows_options *rows = &scorer->options->rows;
    size_t count = scorer->model.feature_count;
    const struct bytes *names = NULL;

    if (rows->format == ROWS_LIBSVM) {
        return 0;
    }
    if (rows->has_header) {
        names = rows_header(scorer->reader, &count);
    }
    scorer->columns = calloc(count > 0 ? count : 1, sizeof(*scorer->columns));
    if (scorer->columns == NULL) {
        return err_set(&scorer->err, AUGURY_ERR_NOMEM, "no_memory", "no memory for columns");
    }
    scorer->column_count = count;
    if (names != NULL) {
        return columns_from_header(scorer, names, count);
    }
    for (size_t i = 0; i < count; i++) {
        scorer->columns[i] = (int32_t)i;
    }
    return 0;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static int
row_set(struct scorer *scorer, void *row, uint32_t feature, struct bytes text)
{
    double number;
    int rc = predict_cell(&scorer->model, feature, text, &number, &scorer->err);

    if (rc != 0) {
        (void)at_column(scorer, feature);
        return rc;
    }
    model_number_set(&scorer->model, row, feature, number);
    return 0;
}

static int
row_from_columns(struct scorer *scorer, const struct rows_cell *cells, size_t count, void *row)
{
    int rc = 0;

    if (count != scorer->column_count) {
        err_set(&scorer->err, AUGURY_ERR_INVALID, "invalid_rows", "%zu columns, expected %zu%s",
                count, scorer->column_count,
                scorer->options->rows.has_header ? " as in the header"
                                                 : ", one for each feature of the model");
        (void)at_line(scorer);
        return AUGURY_ERR_INVALID;
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = row_set(scorer, row, (uint32_t)scorer->columns[i], cells[i].text);
    }
    return rc;
}

/* Entry i is feature i: XGBoost takes the numbers of a libsvm file as they are. */
static int
row_from_entries(struct scorer *scorer, const struct rows_cell *cells, size_t count, void *row)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < count; i++) {
        uint32_t feature = cells[i].column;
        if (feature >= scorer->model.feature_count) {
            rc = err_set(&scorer->err, AUGURY_ERR_INVALID, "invalid_rows",
                         "entry %u, but the model's features are 0 to %u", feature,
                         scorer->model.feature_count - 1);
            (void)at_line(scorer);
        } else if (!isnan(model_number_get(&scorer->model, row, feature))) {
            rc = err_set(&scorer->err, AUGURY_ERR_INVALID, "invalid_rows",
                         "entry %u stands there twice", feature);
            (void)at_line(scorer);
        } else {
            rc = row_set(scorer, row, feature, cells[i].text);
        }
    }
    return rc;
}

static int
add_row(struct scorer *scorer, const struct rows_cell *cells, size_t count)
{
    size_t width = scorer->model.feature_count;
    void *row =
        (uint8_t *)scorer->rows + scorer->filled * width * model_number_bytes(&scorer->model);

    for (size_t i = 0; i < width; i++) {
        model_number_set(&scorer->model, row, i, NAN);
    }
    int rc = scorer->options->rows.format == ROWS_LIBSVM
                 ? row_from_entries(scorer, cells, count, row)
                 : row_from_columns(scorer, cells, count, row);
    if (rc == 0) {
        rc = predict_row_check(&scorer->model, row, &scorer->err);
        if (rc != 0) {
            (void)at_line(scorer);
        }
    }
    scorer->filled += rc == 0 ? 1 : 0;
    return rc;
}

/* ---- answers --------------------------------------------------------------------------------- */

static int
print_text(struct scorer *scorer)
{
    if (cli_print(buf_view(&scorer->text)) != CLI_OK) {
        return err_set(&scorer->err, AUGURY_ERR_IO, "unwritable_output",
                       "not all rows have been written");
    }
    buf_reset(&scorer->text);
    return 0;
}

static int
finish_block(struct scorer *scorer)
{
    int rc = 0;

    cli_columns_evaluate(&scorer->answers, scorer->rows, scorer->filled);
    for (size_t row = 0; rc == 0 && row < scorer->filled; row++) {
        cli_columns_put_row(&scorer->answers, row, &scorer->text);
        if (buf_finish(&scorer->text) != 0) {
            return err_set(&scorer->err, AUGURY_ERR_NOMEM, "no_memory", "no memory for the answer");
        }
        rc = scorer->text.len >= TEXT_FLUSH_BYTES ? print_text(scorer) : 0;
    }
    scorer->filled = 0;
    return rc;
}

static int
score(struct scorer *scorer)
{
    const struct rows_cell *cells;
    size_t count;
    int rc;

    while ((rc = rows_next(scorer->reader, &cells, &count, &scorer->err)) == 0) {
        rc = add_row(scorer, cells, count);
        if (rc == 0 && scorer->filled == scorer->block_rows) {
            rc = finish_block(scorer);
        }
        if (rc != 0) {
            break;
        }
    }
    /* What stands before a bad line has been asked for and is right: it is printed, then the error.
     */
    struct err err = scorer->err;
    int block_rc = rc == AUGURY_END || rc == AUGURY_ERR_INVALID ? finish_block(scorer) : 0;
    if (block_rc == 0) {
        block_rc = print_text(scorer);
    }
    if (rc != AUGURY_END) {
        scorer->err = err;
        return rc;
    }
    return block_rc;
}

static int
run(struct scorer *scorer, struct buf *blob)
{
    int rc = compile_and_open(scorer, blob);

    if (rc == 0) {
        rc = alloc_block(scorer);
    }
    if (rc == 0) {
        rc = rows_open(scorer->options->rows_path, &scorer->options->rows, &scorer->reader,
                       &scorer->err);
    }
    if (rc == 0) {
        rc = make_columns(scorer);
    }
    if (rc == 0 && scorer->options->has_names) {
        cli_columns_put_header(&scorer->answers, &scorer->text);
    }
    return rc == 0 ? score(scorer) : rc;
}

int
cli_score(const struct cli_score_options *options, struct err *err)
{
    struct scorer scorer = {.options = options};
    struct buf blob;

    buf_init(&blob, SIZE_MAX / 2);
    buf_init(&scorer.text, TEXT_MAX_BYTES + (size_t)TEXT_FLUSH_BYTES);
    int rc = run(&scorer, &blob);
    if (rc != 0) {
        *err = scorer.err;
    }
    rows_close(&scorer.reader);
    cli_columns_fini(&scorer.answers);
    free(scorer.rows);
    free(scorer.columns);
    buf_fini(&scorer.text);
    buf_fini(&blob);
    return rc;
}
