/* SPDX-License-Identifier: MIT */
/*
 * calibrator.c - scores of held-out rows, and the model's blob with them.
 * Life: new, add blocks of rows, finish. Of each row only its score and its group's value are kept.
 */
#include "calibration.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_ROWS = 512, SCORED_BYTES_MAX = 1 << 30 };

struct model_calibrator {
    const struct model *model;
    struct model_calibrator_options options;
    enum model_score score;
    struct buf scored; /* struct scored */
    void *margins;     /* of a block */
    void *values;      /* predictions or probabilities of a block */
    void *upper;       /* of a block, of quantiles */
    void *scratch;
};

/* ---- making one ---------------------------------------------------------------------------- */

static int
refuse(struct err *err, const char *code, const char *reason)
{
    return err_set(err, AUGURY_ERR_UNSUPPORTED, code, "%s", reason);
}

static int
choose_score(struct model_calibrator *calibrator, struct err *err)
{
    const struct model *model = calibrator->model;

    if (calibrator->options.lower != NULL) {
        calibrator->score = MODEL_SCORE_QUANTILES;
    } else if (model->probability_count > 0) {
        calibrator->score = MODEL_SCORE_CLASS;
        return 0;
    } else {
        calibrator->score = MODEL_SCORE_RESIDUAL;
    }
    if (model->link == MODEL_LINK_HINGE) {
        return refuse(err, "not_calibratable",
                      "a model of the hinge answers classes without probabilities, which no scores "
                      "can be made of: train it with an objective that gives probabilities");
    }
    if (model->prediction_count != 1) {
        return err_set(err, AUGURY_ERR_UNSUPPORTED, "not_calibratable",
                       "the model predicts %u numbers a row; intervals are made for one number, or "
                       "for classes",
                       model->prediction_count);
    }
    return 0;
}

static int
check_quantile_model(const struct model *model, const struct model *quantile, const char *which,
                     struct err *err)
{
    bool is_alike = quantile->feature_count == model->feature_count &&
                    quantile->number == model->number && quantile->output_count == 1 &&
                    quantile->probability_count == 0;

    for (uint32_t i = 0; is_alike && i < model->feature_count; i++) {
        is_alike = bytes_equal(model_feature(model, i).name, model_feature(quantile, i).name);
    }
    return is_alike ? 0
                    : err_set(err, AUGURY_ERR_INVALID, "models_differ",
                              "the %s model has to read the same features in the same order and "
                              "precision, and answer one number",
                              which);
}

static size_t
scratch_bytes(const struct model *model)
{
    return (model_scratch_bytes(model, BLOCK_ROWS) + 63) & ~(size_t)63;
}

static int
alloc_block(struct model_calibrator *calibrator, struct err *err)
{
    const struct model *model = calibrator->model;
    const struct model *lower = calibrator->options.lower;
    const struct model *upper = calibrator->options.upper;
    size_t number_bytes = model_number_bytes(model);
    size_t bytes = scratch_bytes(model);
    size_t width = model->probability_count > 0 ? model->probability_count : 1;

    if (lower != NULL) {
        bytes = scratch_bytes(lower) > bytes ? scratch_bytes(lower) : bytes;
        bytes = scratch_bytes(upper) > bytes ? scratch_bytes(upper) : bytes;
    }
    calibrator->margins = calloc(BLOCK_ROWS, model->output_count * number_bytes);
    calibrator->values = calloc(BLOCK_ROWS, width * number_bytes);
    calibrator->upper = calloc(BLOCK_ROWS, number_bytes);
    calibrator->scratch = aligned_alloc(BLOB_ALIGN, bytes > 0 ? bytes : BLOB_ALIGN);
    if (calibrator->margins == NULL || calibrator->values == NULL || calibrator->upper == NULL ||
        calibrator->scratch == NULL) {
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for a block of rows");
    }
    return 0;
}

int
model_calibrator_new(const struct model *model, const struct model_calibrator_options *options,
                     struct model_calibrator **out_calibrator, struct err *err)
{
    struct model_calibrator *calibrator = calloc(1, sizeof(*calibrator));
    int rc = 0;

    if (calibrator == NULL) {
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory to calibrate");
    }
    AUGURY_ASSERT((options->lower == NULL) == (options->upper == NULL));
    calibrator->model = model;
    calibrator->options = *options;
    buf_init(&calibrator->scored, SCORED_BYTES_MAX);
    rc = choose_score(calibrator, err);
    if (rc == 0 && options->lower != NULL) {
        rc = check_quantile_model(model, options->lower, "lower", err);
    }
    if (rc == 0 && options->upper != NULL) {
        rc = check_quantile_model(model, options->upper, "upper", err);
    }
    if (rc == 0) {
        rc = alloc_block(calibrator, err);
    }
    if (rc != 0) {
        model_calibrator_free(&calibrator);
        return rc;
    }
    *out_calibrator = calibrator;
    return 0;
}

void
model_calibrator_free(struct model_calibrator **calibrator)
{
    if (*calibrator == NULL) {
        return;
    }
    buf_fini(&(*calibrator)->scored);
    free((*calibrator)->scratch);
    free((*calibrator)->upper);
    free((*calibrator)->values);
    free((*calibrator)->margins);
    free(*calibrator);
    *calibrator = NULL;
}

/* ---- scores -------------------------------------------------------------------------------- */

/* Predictions of one model of a number; out: one a row. */
static void
predict_block(struct model_calibrator *calibrator, const struct model *model, const void *rows,
              size_t row_count, void *out)
{
    model_margins(model, rows, row_count, calibrator->scratch, calibrator->margins);
    model_predictions(model, calibrator->margins, row_count, out);
}

static void
evaluate_block(struct model_calibrator *calibrator, const void *rows, size_t row_count)
{
    const struct model *model = calibrator->model;

    switch (calibrator->score) {
    case MODEL_SCORE_CLASS:
        model_margins(model, rows, row_count, calibrator->scratch, calibrator->margins);
        model_probabilities(model, calibrator->margins, row_count, calibrator->values);
        break;
    case MODEL_SCORE_QUANTILES:
        predict_block(calibrator, calibrator->options.lower, rows, row_count, calibrator->values);
        predict_block(calibrator, calibrator->options.upper, rows, row_count, calibrator->upper);
        break;
    default: predict_block(calibrator, model, rows, row_count, calibrator->values); break;
    }
}

/* A prediction that is no number says nothing: its score is larger than any. */
static double
score_of(const struct model_calibrator *calibrator, size_t row, double target)
{
    const struct model *model = calibrator->model;
    double score;

    if (calibrator->score == MODEL_SCORE_CLASS) {
        size_t at = row * model->probability_count + (size_t)target;
        score = 1.0 - model_number_get(model, calibrator->values, at);
    } else if (calibrator->score == MODEL_SCORE_QUANTILES) {
        double lower = model_number_get(model, calibrator->values, row);
        double upper = model_number_get(model, calibrator->upper, row);
        score = fmax(fmin(lower, upper) - target, target - fmax(lower, upper));
        score = isnan(lower) || isnan(upper) ? INFINITY : score;
    } else {
        score = fabs(target - model_number_get(model, calibrator->values, row));
    }
    return isnan(score) ? INFINITY : score;
}

bool
model_calibrator_takes(const struct model_calibrator *calibrator, double target)
{
    if (calibrator->score == MODEL_SCORE_CLASS) {
        return target >= 0.0 && target < (double)calibrator->model->probability_count &&
               target == floor(target);
    }
    return isfinite(target);
}

int
model_calibrator_add(struct model_calibrator *calibrator, const void *rows, const double *targets,
                     size_t row_count, struct err *err)
{
    const struct model *model = calibrator->model;
    size_t row_bytes = model->feature_count * model_number_bytes(model);
    int32_t feature = calibrator->options.group_feature;

    for (size_t begin = 0; begin < row_count; begin += BLOCK_ROWS) {
        size_t count = row_count - begin < BLOCK_ROWS ? row_count - begin : BLOCK_ROWS;
        const uint8_t *block = (const uint8_t *)rows + begin * row_bytes;
        evaluate_block(calibrator, block, count);
        for (size_t i = 0; i < count; i++) {
            AUGURY_ASSERT(model_calibrator_takes(calibrator, targets[begin + i]));
            struct scored scored = {.score = score_of(calibrator, i, targets[begin + i]),
                                    .group = NAN};
            if (feature >= 0) {
                scored.group = model_number_get(model, block + i * row_bytes, (size_t)feature);
            }
            buf_put(&calibrator->scored, &scored, sizeof(scored));
        }
    }
    int rc = buf_finish(&calibrator->scored);
    return rc == 0 ? 0
                   : err_set(err, rc, "too_many_rows",
                             "more held-out rows than fit %d MiB of scores; fewer do as well",
                             SCORED_BYTES_MAX >> 20);
}

/* ---- the blob ------------------------------------------------------------------------------ */

static struct blob_calibration
describe(const struct model_calibrator *calibrator, const struct calibration_sets *sets)
{
    const struct model_calibrator_options *options = &calibrator->options;
    bool has_models = calibrator->score == MODEL_SCORE_QUANTILES;

    return (struct blob_calibration){
        .score = calibrator->score,
        .flags = options->bins > 0 ? CALIBRATION_BINS : 0,
        .group_feature =
            options->group_feature >= 0 ? options->group_feature : CALIBRATION_NO_FEATURE,
        .set_count = (uint32_t)(sets->sets.len / sizeof(struct blob_score_set)),
        .score_count = (uint32_t)(sets->scores.len / sizeof(double)),
        .target_bytes = (uint32_t)strlen(options->target),
        .lower_bytes = has_models ? options->lower->blob_bytes : 0,
        .upper_bytes = has_models ? options->upper->blob_bytes : 0,
    };
}

static void
fill_section(const struct model_calibrator *calibrator, const struct calibration_sets *sets,
             const struct blob_calibration *calibration, uint8_t *out)
{
    struct calibration_layout layout = calibration_layout(calibration);

    memcpy(out, calibration, sizeof(*calibration));
    memcpy(out + layout.sets, sets->sets.data, sets->sets.len);
    memcpy(out + layout.scores, sets->scores.data, sets->scores.len);
    memcpy(out + layout.target, calibrator->options.target, calibration->target_bytes);
    if (calibration->score == MODEL_SCORE_QUANTILES) {
        memcpy(out + layout.lower, calibrator->options.lower->blob, calibration->lower_bytes);
        memcpy(out + layout.upper, calibrator->options.upper->blob, calibration->upper_bytes);
    }
}

/* The model's blob, without the calibration that it may have, and then the new one. */
static int
put_blob(const struct model_calibrator *calibrator, const struct calibration_sets *sets,
         struct buf *out_blob, struct err *err)
{
    const struct model *model = calibrator->model;
    const struct blob_header *old = blob_header(model);
    const struct blob_range *last = &old->sections[BLOB_CALIBRATION];
    struct blob_calibration calibration = describe(calibrator, sets);
    uint64_t kept = last->bytes > 0 ? last->offset : model->blob_bytes;
    uint64_t place = blob_section_place(kept);
    uint64_t bytes = calibration_layout(&calibration).end;

    AUGURY_ASSERT(out_blob->len % 8 == 0);
    uint8_t *blob = buf_reserve(out_blob, place + bytes);
    if (blob == NULL) {
        return err_set(err, buf_finish(out_blob), "model_too_large",
                       "the calibrated model takes %llu bytes, more than there is room for",
                       (unsigned long long)(place + bytes));
    }
    memset(blob, 0, place + bytes);
    memcpy(blob, model->blob, kept);
    fill_section(calibrator, sets, &calibration, blob + place);
    struct blob_header *header = (struct blob_header *)(void *)blob;
    header->total_bytes = place + bytes;
    header->sections[BLOB_CALIBRATION] = (struct blob_range){.offset = place, .bytes = bytes};
    blob_seal(header);
    buf_commit(out_blob, place + bytes);
    return 0;
}

int
model_calibrator_finish(struct model_calibrator *calibrator, struct buf *out_blob, struct err *err)
{
    struct calibration_sets sets;

    buf_init(&sets.sets, SCORED_BYTES_MAX);
    buf_init(&sets.scores, SCORED_BYTES_MAX);
    struct scored *rows = (struct scored *)(void *)calibrator->scored.data;
    struct calibration_grouping grouping = {.has_groups = calibrator->options.group_feature >= 0,
                                            .bins = calibrator->options.bins};
    int rc =
        calibration_sets_make(rows, calibrator->scored.len / sizeof(*rows), &grouping, &sets, err);
    if (rc == 0 && (buf_finish(&sets.sets) != 0 || buf_finish(&sets.scores) != 0)) {
        rc = err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for the scores");
    }
    if (rc == 0) {
        rc = put_blob(calibrator, &sets, out_blob, err);
    }
    buf_fini(&sets.scores);
    buf_fini(&sets.sets);
    return rc;
}
