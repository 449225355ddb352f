/* SPDX-License-Identifier: MIT */
/*
 * cli_score.c - scores a file of rows. The model is compiled in memory by the code that imports it;
 * cli_stream.c takes the rows through it.
 */
#include "cli_score.h"

#include "cli_stream.h"

enum {
    MODEL_FILE_MAX = 1 << 30,
    SCHEMA_FILE_MAX = 16 << 20,
};

struct scorer {
    const struct cli_score_options *options;
    struct model model;
    struct registry *registry; /* whose snapshot holds the model, or NULL */
    struct predict_file *file;
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
check_output(struct scorer *scorer)
{
    int rc = predict_outputs_check(&scorer->model, scorer->options->output, &scorer->err);

    return rc == 0 ? 0 : err_at(&scorer->err, "%s", model_shown(scorer->options));
}

static int
open_rows(struct scorer *scorer)
{
    struct predict_file_options options = {.path = scorer->options->rows_path,
                                           .rows = scorer->options->rows,
                                           .is_ignoring_unknown =
                                               scorer->options->is_ignoring_unknown};

    return predict_file_open(&scorer->model, &options, &scorer->file, &scorer->err);
}

static unsigned
usable_cpus(void)
{
    unsigned count = proc_cpu_count("");

    return count < JOBS_THREADS_MAX ? count : JOBS_THREADS_MAX;
}

static int
run(struct scorer *scorer, struct buf *blob)
{
    const struct cli_score_options *options = scorer->options;
    struct cli_form form = {.kind = options->form, .has_names = options->has_names};
    struct cli_progress progress;
    struct cli_stream_options stream = {
        .model = &scorer->model,
        .output = {.kind = options->output, .level = options->level},
        .thread_count = options->thread_count > 0 ? options->thread_count : usable_cpus(),
        .form = &form,
        .progress = &progress,
    };
    int rc = options->model_path != NULL ? compile_and_open(scorer, blob) : open_stored(scorer);

    if (rc == 0 && scorer->options->kernel != NULL) {
        rc = model_force_kernel(&scorer->model, scorer->options->kernel, &scorer->err);
    }
    if (rc == 0) {
        rc = check_output(scorer);
    }
    if (rc == 0) {
        rc = open_rows(scorer);
    }
    if (rc != 0) {
        return rc;
    }
    stream.file = scorer->file;
    cli_progress_begin(&progress, options->has_progress);
    return cli_stream(&stream, &scorer->err);
}

int
cli_score(const struct cli_score_options *options, struct err *err)
{
    struct scorer scorer = {.options = options};
    struct buf blob;

    buf_init(&blob, SIZE_MAX / 2);
    int rc = run(&scorer, &blob);
    if (rc != 0) {
        *err = scorer.err;
    }
    predict_file_close(&scorer.file);
    registry_close(&scorer.registry);
    buf_fini(&blob);
    return rc;
}
