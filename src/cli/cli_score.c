/* SPDX-License-Identifier: MIT */
/*
 * cli_score.c - scores a file of rows. The model is compiled in memory by the code that imports it,
 * rows are read by predict_file.c and evaluated in blocks, so that memory
 * does not grow with the file.
 */
#include "cli_score.h"

#include "cli_columns.h"

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
    struct registry *registry; /* whose snapshot holds the model, or NULL */
    struct predict_file *file;
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

static const char *
model_shown(const struct cli_score_options *options)
{
    return options->model_path != NULL ? options->model_path : options->model_name;
}

/* The snapshot stays open: the model is read where it lies. */
static int
open_stored(struct scorer *scorer)
{
    const struct cli_score_options *options = scorer->options;
    struct registry_options registry = {.dir = options->conf->models.dir, .is_read_only = true};
    const struct registry_model *found;
    struct bytes name;
    struct bytes selector;
    int rc = registry_open(&registry, &scorer->registry, &scorer->err);

    if (rc != 0) {
        return rc;
    }
    rc = registry_snapshot_begin(scorer->registry);
    if (rc != 0) {
        return err_set(&scorer->err, rc, "registry_unreadable",
                       "the model environment cannot be read: %s", augury_strerror(rc));
    }
    api_split_name(bytes_of_text(options->model_name), &name, &selector);
    rc = registry_find(scorer->registry, name, selector, &found, &scorer->err);
    if (rc == 0) {
        scorer->model = found->model;
    }
    return rc;
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
    struct cli_output wanted = {.kind = output, .level = scorer->options->level};
    int rc = cli_columns_init(&scorer->answers, model, &wanted, scorer->block_rows, &scorer->err);
    if (rc != 0) {
        return rc == AUGURY_ERR_UNSUPPORTED
                   ? err_at(&scorer->err, "%s", model_shown(scorer->options))
                   : rc;
    }
    scorer->rows = calloc(scorer->block_rows, model->feature_count * model_number_bytes(model));
    if (scorer->rows == NULL) {
        return err_set(&scorer->err, AUGURY_ERR_NOMEM, "no_memory",
                       "no memory for a block of rows");
    }
    return 0;
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
    size_t row_bytes = scorer->model.feature_count * model_number_bytes(&scorer->model);
    int rc;

    while (
        (rc = predict_file_next(scorer->file, (uint8_t *)scorer->rows + scorer->filled * row_bytes,
                                &scorer->err)) == 0) {
        scorer->filled++;
        if (scorer->filled == scorer->block_rows) {
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
open_rows(struct scorer *scorer)
{
    struct predict_file_options options = {.path = scorer->options->rows_path,
                                           .rows = scorer->options->rows};

    return predict_file_open(&scorer->model, &options, &scorer->file, &scorer->err);
}

static int
run(struct scorer *scorer, struct buf *blob)
{
    int rc =
        scorer->options->model_path != NULL ? compile_and_open(scorer, blob) : open_stored(scorer);

    if (rc == 0) {
        rc = alloc_block(scorer);
    }
    if (rc == 0) {
        rc = open_rows(scorer);
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
    predict_file_close(&scorer.file);
    cli_columns_fini(&scorer.answers);
    free(scorer.rows);
    buf_fini(&scorer.text);
    registry_close(&scorer.registry);
    buf_fini(&blob);
    return rc;
}
