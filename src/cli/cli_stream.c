/* SPDX-License-Identifier: MIT */
/*
 * cli_stream.c - many rows through a model. This thread cuts the file into blocks of whole rows and
 * writes answers; the others read a block's cells, evaluate and print them into memory. A lane is
 * what one block needs on its way, and lanes are used in turn, so answers keep the rows' order.
 * Invariants: a lane belongs to a thread from jobs_put() to jobs_wait() and to this one otherwise;
 * a file of one block starts no thread.
 */
#include "cli_stream.h"

#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_BYTES = 256 << 10,    /* of a file, in one lane */
    BLOCK_BYTES_MIN = 16 << 10, /* where a row has very many answers */
    COLUMNS_FULL = 64,          /* answers a row up to which a block has its full size */
    EVALUATE_ROWS_MAX = 1024,   /* at once */
    NUMBERS_MAX = 4 << 20,      /* of those rows; fewer rows for very wide models */
    BLOCK_MAX_BYTES = 1 << 30,
    ANSWERS_MAX_BYTES = 1 << 30,
};

/* One block on its way. */
struct lane {
    const struct cli_stream_options *options;
    struct job job;
    bool is_under_way;
    struct buf block; /* rows as the file has them */
    uint64_t line;    /* of the first one */
    struct predict_file *file;
    struct cli_columns columns;
    void *rows; /* columns.rows_max × feature_count of the model's numbers */
    struct buf answers;
    uint64_t row_count; /* in answers */
    int rc;             /* AUGURY_END: all of the block is answered */
    struct err err;
};

struct stream {
    const struct cli_stream_options *options;
    struct jobs *jobs; /* NULL until there is a second block, or where one thread does all */
    bool has_begun;    /* whether there are threads has been decided */
    struct lane *lanes;
    size_t lane_count;
    size_t block_bytes;
    struct err *err;
};

/* ---- a lane ---------------------------------------------------------------------------------- */

static size_t
rows_at_once(const struct model *model, enum predict_outputs output)
{
    size_t widest = cli_columns_count(model, output);

    widest = widest > model->feature_count ? widest : model->feature_count;
    widest = widest > model->output_count ? widest : model->output_count;
    size_t rows = NUMBERS_MAX / widest;
    return rows < 1 ? 1 : rows > EVALUATE_ROWS_MAX ? EVALUATE_ROWS_MAX : rows;
}

static int
lane_init(struct lane *lane, const struct cli_stream_options *options, struct err *err)
{
    const struct model *model = options->model;
    size_t rows_max = rows_at_once(model, options->output.kind);

    *lane = (struct lane){.options = options};
    buf_init(&lane->block, BLOCK_MAX_BYTES);
    buf_init(&lane->answers, ANSWERS_MAX_BYTES);
    int rc = cli_columns_init(&lane->columns, model, &options->output, rows_max, err);
    if (rc == 0) {
        rc = predict_file_open_blocks(options->file, &lane->file, err);
    }
    if (rc == 0) {
        lane->rows = calloc(rows_max, model->feature_count * model_number_bytes(model));
        rc = lane->rows != NULL
                 ? 0
                 : err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for a block of rows");
    }
    return rc;
}

static void
lane_fini(struct lane *lane)
{
    free(lane->rows);
    predict_file_close(&lane->file);
    cli_columns_fini(&lane->columns);
    buf_fini(&lane->answers);
    buf_fini(&lane->block);
}

/* Reads as many rows as are evaluated at once. */
static size_t
lane_read(struct lane *lane)
{
    const struct model *model = lane->options->model;
    size_t row_bytes = model->feature_count * model_number_bytes(model);
    size_t filled = 0;

    lane->rc = 0;
    while (lane->rc == 0 && filled < lane->columns.rows_max) {
        lane->rc =
            predict_file_next(lane->file, (uint8_t *)lane->rows + filled * row_bytes, &lane->err);
        filled += lane->rc == 0 ? 1 : 0;
    }
    return filled;
}

/* What stands before a bad row has been asked for and is right: it is answered, then comes the
 * error. */
static void
lane_run(void *arg)
{
    struct lane *lane = arg;

    buf_reset(&lane->answers);
    lane->row_count = 0;
    predict_file_feed(lane->file, &lane->block, lane->line);
    do {
        size_t filled = lane_read(lane);
        cli_columns_evaluate(&lane->columns, lane->rows, filled);
        cli_form_put(lane->options->form, &lane->columns, filled, &lane->answers);
        lane->row_count += filled;
    } while (lane->rc == 0);
    if (buf_finish(&lane->answers) != 0) {
        buf_reset(&lane->answers);
        lane->row_count = 0;
        lane->rc =
            err_set(&lane->err, AUGURY_ERR_NOMEM, "no_memory", "no memory for a block's answers");
    }
}

/* ---- the stream ------------------------------------------------------------------------------ */

static void
lane_start(struct stream *stream, struct lane *lane)
{
    lane->job = (struct job){.run = lane_run, .arg = lane};
    lane->is_under_way = true;
    if (stream->jobs != NULL) {
        jobs_put(stream->jobs, &lane->job);
    } else {
        lane_run(lane);
    }
}

/* Waits for a lane's answers and writes them; 0 also when it had none. */
static int
lane_finish(struct stream *stream, struct lane *lane)
{
    const struct cli_stream_options *options = stream->options;

    if (!lane->is_under_way) {
        return 0;
    }
    if (stream->jobs != NULL) {
        jobs_wait(stream->jobs, &lane->job);
    }
    lane->is_under_way = false;
    int rc = cli_form_write(options->form, buf_view(&lane->answers), lane->row_count, stream->err);
    cli_progress_add(options->progress, lane->row_count);
    if (rc == 0 && lane->rc != AUGURY_END) {
        *stream->err = lane->err;
        rc = lane->rc;
    }
    return rc;
}

/* Threads start when a second block is there. Without them the rows go through this one. */
static void
start_threads(struct stream *stream)
{
    if (!stream->has_begun && stream->options->thread_count > 1 &&
        jobs_new(stream->options->thread_count, &stream->jobs) != 0) {
        stream->jobs = NULL;
    }
    stream->has_begun = true;
}

/* The lanes that are left, oldest first. rc: what ended the cutting, with its err; a wrong row in a
 * lane stands before it. */
static int
drain(struct stream *stream, size_t next, int rc)
{
    struct err end = rc < 0 ? *stream->err : (struct err){.rc = 0};

    for (size_t i = 0; i < stream->lane_count; i++) {
        int lane_rc = lane_finish(stream, &stream->lanes[(next + i) % stream->lane_count]);
        if (lane_rc != 0) {
            return lane_rc;
        }
    }
    if (rc < 0) {
        *stream->err = end;
    }
    return rc < 0 ? rc : 0;
}

/* A lane waits until the next one is filled, so that it is known whether there is more than one.
 * Behind a wrong row nothing is written any more. */
static int
run_blocks(struct stream *stream)
{
    struct lane *waiting = NULL;
    size_t next = 0;

    for (;;) {
        struct lane *lane = &stream->lanes[next];
        int rc = lane_finish(stream, lane);
        if (rc != 0) {
            return rc;
        }
        buf_reset(&lane->block);
        rc = predict_file_cut(stream->options->file, stream->block_bytes, &lane->block, &lane->line,
                              stream->err);
        if (rc == 0 && waiting != NULL) {
            start_threads(stream);
        }
        if (waiting != NULL) {
            lane_start(stream, waiting);
        }
        if (rc != 0) {
            return drain(stream, next, rc);
        }
        waiting = lane;
        next = (next + 1) % stream->lane_count;
    }
}

/* An array's head tells of the rows that stand before a wrong one, too. */
static int
stream_run(struct stream *stream)
{
    struct cli_form *form = stream->options->form;
    const struct cli_columns *columns = &stream->lanes[0].columns;
    struct err end_err;
    int rc = cli_form_begin(form, columns, stream->err);

    if (rc != 0) {
        return rc;
    }
    rc = run_blocks(stream);
    int end_rc = cli_form_end(form, columns, &end_err);
    if (rc == 0 && end_rc != 0) {
        *stream->err = end_err;
    }
    return rc != 0 ? rc : end_rc;
}

int
cli_stream(const struct cli_stream_options *options, struct err *err)
{
    struct stream stream = {.options = options, .err = err};
    size_t columns = cli_columns_count(options->model, options->output.kind);
    size_t bytes = columns > COLUMNS_FULL ? BLOCK_BYTES * COLUMNS_FULL / columns : BLOCK_BYTES;
    size_t ready = 0;
    int rc = 0;

    stream.block_bytes = bytes > BLOCK_BYTES_MIN ? bytes : BLOCK_BYTES_MIN;
    stream.lane_count = 2 + (options->thread_count > 1 ? options->thread_count : 0);
    stream.lanes = calloc(stream.lane_count, sizeof(*stream.lanes));
    if (stream.lanes == NULL) {
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for blocks of rows");
    }
    while (rc == 0 && ready < stream.lane_count) {
        rc = lane_init(&stream.lanes[ready++], options, err);
    }
    if (rc == 0) {
        rc = stream_run(&stream);
    }
    jobs_free(&stream.jobs); /* does what is still under way */
    while (ready > 0) {
        lane_fini(&stream.lanes[--ready]);
    }
    free(stream.lanes);
    cli_progress_end(options->progress);
    return rc;
}
