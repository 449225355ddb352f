/* SPDX-License-Identifier: MIT */
/*
 * api_golden.c - golden rows: a file of rows with the answers that a model is to give, read as the
 * model that has just been compiled wants them.
 */
#include "api_golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FILE_MAX = 256 << 20,
    ROWS_MAX = 1000000,
    NUMBERS_MAX_BYTES = 1 << 30, /* of all rows, and of all answers */
};

static int
refuse(struct err *err, const char *code, const char *what, const char *word)
{
    return err_set(err, AUGURY_ERR_INVALID, code, "%s%s", what, word);
}

/* ---- words ----------------------------------------------------------------------------------- */

static int
take_output(const char *name, struct golden *golden, struct err *err)
{
    static const struct {
        const char *name;
        enum registry_golden_output output;
    } outputs[] = {{"prediction", REGISTRY_GOLDEN_PREDICTION},
                   {"margin", REGISTRY_GOLDEN_MARGIN},
                   {"probabilities", REGISTRY_GOLDEN_PROBABILITIES}};

    for (size_t i = 0; i < AUGURY_COUNT(outputs); i++) {
        if (name == NULL || strcmp(name, outputs[i].name) == 0) {
            golden->output = outputs[i].output;
            return 0;
        }
    }
    return refuse(err, "usage", "--golden-output is prediction, margin or probabilities, not ",
                  name);
}

static int
take_tolerance(const char *text, struct golden *golden, struct err *err)
{
    char *end = NULL;

    golden->tolerance = GOLDEN_TOLERANCE;
    if (text == NULL) {
        return 0;
    }
    golden->tolerance = strtod(text, &end);
    return end != text && *end == '\0' && golden->tolerance >= 0.0 && golden->tolerance < 1.0
               ? 0
               : refuse(err, "usage", "--tolerance is a number from 0 to 1, as 1e-6, not ", text);
}

/* "a,b" becomes two texts in place. */
static int
take_targets(const char *text, struct golden *golden, struct err *err)
{
    if (text == NULL) {
        return refuse(err, "usage",
                      "--golden-target is needed: the columns that hold the answers, as a,b", "");
    }
    golden->names = strdup(text);
    if (golden->names == NULL) {
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for names");
    }
    for (char *at = golden->names; at != NULL;) {
        if (golden->target_count == GOLDEN_TARGETS_MAX) {
            return refuse(err, "usage", "--golden-target names more than 4096 columns", "");
        }
        char *comma = strchr(at, ',');
        golden->targets[golden->target_count++] = at;
        if (comma != NULL) {
            *comma++ = '\0';
        }
        at = comma;
    }
    return 0;
}

int
golden_open(const struct golden_words *words, struct golden **out_golden, struct err *err)
{
    bool has_words = words->targets != NULL || words->output != NULL || words->tolerance != NULL;

    if (words->path == NULL) {
        return !has_words ? 0
                          : refuse(err, "usage",
                                   "--golden is needed: the file of rows with their answers", "");
    }
    struct golden *golden = calloc(1, sizeof(*golden));
    if (golden == NULL) {
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for golden rows");
    }
    buf_init(&golden->file, 0);
    buf_init(&golden->rows, NUMBERS_MAX_BYTES);
    buf_init(&golden->expected, NUMBERS_MAX_BYTES);
    golden->path = words->path;
    int rc = take_output(words->output, golden, err);
    if (rc == 0) {
        rc = take_tolerance(words->tolerance, golden, err);
    }
    if (rc == 0) {
        rc = take_targets(words->targets, golden, err);
    }
    if (rc == 0) {
        rc = api_read_checked(words->path, FILE_MAX, API_READ_TRUSTED, &golden->file, err);
    }
    if (rc != 0) {
        golden_close(&golden);
        return rc;
    }
    *out_golden = golden;
    return 0;
}

void
golden_close(struct golden **golden)
{
    if (*golden == NULL) {
        return;
    }
    buf_fini(&(*golden)->expected);
    buf_fini(&(*golden)->rows);
    buf_fini(&(*golden)->file);
    free((*golden)->names);
    free(*golden);
    *golden = NULL;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static int
check_targets(const struct golden *golden, const struct model *model, struct err *err)
{
    size_t width = golden->output == REGISTRY_GOLDEN_MARGIN       ? model->output_count
                   : golden->output == REGISTRY_GOLDEN_PREDICTION ? model->prediction_count
                                                                  : model->probability_count;

    if (width == golden->target_count) {
        return 0;
    }
    err_set(
        err, AUGURY_ERR_INVALID, "invalid_target",
        "--golden-target names %zu columns, but the model has %zu values of this output a row%s",
        golden->target_count, width,
        width == 0 ? "" : "; name as many, in the order of the output");
    return err_at(err, "%s", golden->path);
}

static int
add_row(struct golden *golden, const struct model *model, const struct predict_file *file,
        const void *row, struct err *err)
{
    for (uint32_t i = 0; i < model->feature_count; i++) {
        double number = model_number_get(model, row, i);
        buf_put(&golden->rows, &number, sizeof(number));
    }
    for (size_t i = 0; i < golden->target_count; i++) {
        double number = 0.0;
        int rc = predict_file_extra_number(file, i, &number, err);
        if (rc != 0) {
            return rc;
        }
        /* The digits of a float32 stand for the nearest one. */
        number = model->number == MODEL_FLOAT32 ? (double)(float)number : number;
        buf_put(&golden->expected, &number, sizeof(number));
    }
    golden->row_count++;
    if (golden->row_count > ROWS_MAX || buf_finish(&golden->rows) != 0 ||
        buf_finish(&golden->expected) != 0) {
        return err_set(
            err, AUGURY_ERR_LIMIT, "too_many_rows",
            "%s has more rows than a gate needs: a million at most, and 1 GiB as float64",
            golden->path);
    }
    return 0;
}

static int
read_rows(struct golden *golden, const struct model *model, struct predict_file *file,
          struct err *err)
{
    void *row = calloc(model->feature_count, model_number_bytes(model));
    int rc = row != NULL ? 0 : err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for a row");

    while (rc == 0) {
        rc = predict_file_next(file, row, err);
        if (rc == 0) {
            rc = add_row(golden, model, file, row, err);
        }
    }
    free(row);
    if (rc != AUGURY_END) {
        return rc;
    }
    return golden->row_count > 0
               ? 0
               : refuse(err, "no_golden_rows", "there is no row in ", golden->path);
}

int
golden_load(void *arg, const struct model *model, struct registry_golden *out_golden,
            struct err *err)
{
    struct golden *golden = arg;
    struct predict_file *file = NULL;
    struct predict_file_options options = {
        .path = golden->path,
        .rows = {.format = ROWS_CSV, .has_header = true, .content = buf_view(&golden->file)},
        .extras = golden->targets,
        .extra_count = golden->target_count};
    int rc = check_targets(golden, model, err);

    if (rc == 0) {
        rc = predict_file_open(model, &options, &file, err);
    }
    if (rc == 0) {
        rc = read_rows(golden, model, file, err);
    }
    predict_file_close(&file);
    if (rc != 0) {
        return rc;
    }
    out_golden->output = golden->output;
    out_golden->row_count = (uint32_t)golden->row_count;
    out_golden->rows = (const double *)(const void *)golden->rows.data;
    out_golden->expected = (const double *)(const void *)golden->expected.data;
    out_golden->tolerance = golden->tolerance;
    rc = seal_sha256(buf_view(&golden->file), out_golden->sha256);
    return rc == 0 ? 0 : err_set(err, rc, "digest_failed", "SHA-256 of the rows failed");
}

void
golden_place(const struct golden *golden, struct err *err)
{
    unsigned row, target;

    if (strcmp(err->code, "golden_mismatch") == 0 &&
        sscanf(err->at, "row %u, output %u", &row, &target) == 2 && target < golden->target_count) {
        (void)err_at(err, "%.80s, row %u below the header, column %.40s", golden->path, row + 1,
                     golden->targets[target]);
    }
}
