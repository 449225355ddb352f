/* SPDX-License-Identifier: MIT */
/*
 * test_interval.c - what calibrated models promise and what they hold. Models of XGBoost and rows
 * that they have not seen; many times the rows are split at random, one part calibrates, the other
 * counts how often the truth lies inside.
 */
#include "../../tap.h"
#include "augury/predict.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOUSING_ROWS = 4800, ROWS_MAX = 5000, LEVELS = 4, OCEAN = 8, OCEAN_LEVELS = 5 };

static const double levels[LEVELS] = {0.5, 0.8, 0.9, 0.95};

static const char housing_schema[] =
    "{\"features\":[{\"name\":\"longitude\"},{\"name\":\"latitude\"},"
    "{\"name\":\"housing_median_age\"},{\"name\":\"total_rooms\"},{\"name\":\"total_bedrooms\"},"
    "{\"name\":\"population\"},{\"name\":\"households\"},{\"name\":\"median_income\"},"
    "{\"name\":\"ocean_proximity\",\"type\":\"category\",\"levels\":[\"<1H OCEAN\",\"INLAND\","
    "\"ISLAND\",\"NEAR BAY\",\"NEAR OCEAN\"]}]}";
static const char concrete_names[] = "cement,slag,fly_ash,water,superplasticizer,coarse,fine,age";

/* ---- models and rows ------------------------------------------------------------------------- */

struct subject {
    struct buf blob;
    struct model model;
    float *rows; /* count × feature_count */
    double targets[ROWS_MAX];
    size_t count;
};

static void
bail(const struct err *err)
{
    printf("Bail out! %s %s\n", err->at, err->reason);
    exit(1);
}

static void
path_of(const char *name, char *out, size_t size)
{
    const char *source = getenv("AUGURY_SOURCE");

    snprintf(out, size, "%s/tests/data/calibration/%s", source != NULL ? source : ".", name);
}

static void
open_model(struct buf *blob, struct model *out_model, const char *name,
           const struct model_import_options *options)
{
    char path[1024];
    struct buf bytes;
    struct err err;

    path_of(name, path, sizeof(path));
    buf_init(&bytes, 1 << 20);
    FILE *file = fopen(path, "rb");
    for (size_t got = 1; file != NULL && got > 0; buf_commit(&bytes, got)) {
        got = fread(buf_reserve(&bytes, 4096), 1, 4096, file);
    }
    if (file != NULL) {
        fclose(file);
    }
    buf_init(blob, 16 << 20);
    if (model_import(buf_view(&bytes), options, blob, &err) != 0 ||
        model_open(buf_view(blob), MODEL_CHECK_ALL, out_model, &err) != 0) {
        bail(&err);
    }
    buf_fini(&bytes);
}

/* The rows of a file and one of its columns. */
static void
read_rows(struct subject *subject, const char *name, const char *target)
{
    const char *const extras[] = {target};
    char path[1024];
    struct predict_file_options options = {.path = path,
                                           .rows = {.format = ROWS_CSV, .has_header = true},
                                           .extras = extras,
                                           .extra_count = 1,
                                           .is_ignoring_unknown = true};
    struct predict_file *file = NULL;
    struct err err;

    path_of(name, path, sizeof(path));
    size_t width = subject->model.feature_count;
    subject->rows = calloc(ROWS_MAX, width * sizeof(float));
    if (subject->rows == NULL || predict_file_open(&subject->model, &options, &file, &err) != 0) {
        bail(&err);
    }
    int rc = 0;
    while (rc == 0) {
        rc = predict_file_next(file, subject->rows + subject->count * width, &err);
        if (rc == 0) {
            rc = predict_target(&subject->model, predict_file_extra(file, 0),
                                &subject->targets[subject->count++], &err);
        }
    }
    if (rc != AUGURY_END) {
        bail(&err);
    }
    predict_file_close(&file);
}

static void
subject_open(struct subject *subject, const char *model, const char *rows, const char *target)
{
    bool is_housing = strncmp(model, "housing", 7) == 0;
    struct model_import_options options = {.names = is_housing ? NULL : concrete_names};

    if (is_housing) {
        options.schema = bytes_of_text(housing_schema);
    }
    memset(subject, 0, sizeof(*subject));
    open_model(&subject->blob, &subject->model, model, &options);
    read_rows(subject, rows, target);
}

static void
subject_close(struct subject *subject)
{
    free(subject->rows);
    buf_fini(&subject->blob);
}

/* ---- splits ---------------------------------------------------------------------------------- */

static uint64_t state = 20261121;

static uint32_t
random_below(uint32_t below)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((state >> 33) % below);
}

static void
shuffle(struct subject *subject)
{
    size_t width = subject->model.feature_count;
    float spare[16];

    for (size_t i = subject->count; i > 1; i--) {
        size_t k = random_below((uint32_t)i);
        float *a = subject->rows + (i - 1) * width;
        float *b = subject->rows + k * width;
        double target = subject->targets[i - 1];
        memcpy(spare, a, width * sizeof(float));
        memmove(a, b, width * sizeof(float));
        memcpy(b, spare, width * sizeof(float));
        subject->targets[i - 1] = subject->targets[k];
        subject->targets[k] = target;
    }
}

/* The model calibrated by the first `count` rows. */
static void
calibrate(const struct subject *subject, struct model_calibrator_options options, size_t count,
          struct buf *out_blob, struct model *out_model)
{
    struct model_calibrator *calibrator = NULL;
    struct err err;

    options.target = "y";
    buf_init(out_blob, 64 << 20);
    if (model_calibrator_new(&subject->model, &options, &calibrator, &err) != 0 ||
        model_calibrator_add(calibrator, subject->rows, subject->targets, count, &err) != 0 ||
        model_calibrator_finish(calibrator, out_blob, &err) != 0 ||
        model_open(buf_view(out_blob), MODEL_CHECK_ALL, out_model, &err) != 0) {
        bail(&err);
    }
    model_calibrator_free(&calibrator);
}

/* Whether each of the other rows holds its truth. */
static void
measure(const struct subject *subject, const struct model *model, size_t from, double level,
        uint8_t *out_inside)
{
    static float margins[ROWS_MAX * 3];
    static float values[ROWS_MAX * 3];
    static float bounds[ROWS_MAX * 2];
    static uint8_t sets[ROWS_MAX * 3];
    size_t count = subject->count - from;
    const float *rows = subject->rows + from * model->feature_count;
    bool is_class = model->probability_count > 0;
    bool has_models = model_calibration(model).score == MODEL_SCORE_QUANTILES;
    struct predict_interval_rows interval = {
        .rows = rows, .values = values, .width = 1, .count = count};
    size_t scratch_bytes = model_scratch_bytes(model, count);

    if (has_models) {
        scratch_bytes = predict_quantiles_scratch_bytes(model);
    }
    void *scratch = aligned_alloc(64, (scratch_bytes + 127) & ~(size_t)63);
    if (has_models) {
        interval.width = 2;
        predict_quantiles(model, rows, count, scratch, values);
    } else {
        model_margins(model, rows, count, scratch, margins);
    }
    if (is_class) {
        interval.width = model->probability_count;
        model_probabilities(model, margins, count, values);
        predict_class_sets(model, &interval, level, sets);
    } else {
        if (!has_models) {
            model_predictions(model, margins, count, values);
        }
        predict_intervals(model, &interval, level, bounds);
    }
    for (size_t i = 0; i < count; i++) {
        double y = subject->targets[from + i];
        out_inside[i] = is_class ? sets[i * model->probability_count + (size_t)y]
                                 : y >= (double)bounds[2 * i] && y <= (double)bounds[2 * i + 1];
    }
    free(scratch);
}

static void
covers_as_asked(struct subject *subject, struct model_calibrator_options options, unsigned splits)
{
    static uint8_t inside[ROWS_MAX];
    double covered[LEVELS] = {0};
    size_t half = subject->count / 2;

    for (unsigned split = 0; split < splits; split++) {
        struct buf blob;
        struct model model;
        shuffle(subject);
        calibrate(subject, options, half, &blob, &model);
        for (unsigned k = 0; k < LEVELS; k++) {
            measure(subject, &model, half, levels[k], inside);
            for (size_t i = 0; i < subject->count - half; i++) {
                covered[k] += inside[i];
            }
        }
        buf_fini(&blob);
    }
    for (unsigned k = 0; k < LEVELS; k++) {
        double share = covered[k] / ((double)(subject->count - half) * splits);
        printf("# level %g: %.4f\n", levels[k], share);
        CHECK(fabs(share - levels[k]) < 0.01);
    }
}

/* ---- coverage -------------------------------------------------------------------------------- */

static struct subject subject;

static void
intervals_of_house_values_cover_as_asked(void)
{
    subject_open(&subject, "housing-value.ubj", "housing.csv", "value");
    CHECK_INT(subject.count, HOUSING_ROWS);
    covers_as_asked(&subject, (struct model_calibrator_options){.group_feature = -1}, 30);
    subject_close(&subject);
}

static void
intervals_of_few_rows_of_concrete_cover_as_asked(void)
{
    subject_open(&subject, "concrete.ubj", "concrete.csv", "strength");
    CHECK_INT(subject.count, 600);
    covers_as_asked(&subject, (struct model_calibrator_options){.group_feature = -1}, 200);
    subject_close(&subject);
}

static void
sets_of_bands_cover_as_asked(void)
{
    subject_open(&subject, "housing-band.ubj", "housing.csv", "band");
    covers_as_asked(&subject, (struct model_calibrator_options){.group_feature = -1}, 30);
    subject_close(&subject);
}

static void
intervals_of_two_quantile_models_cover_as_asked(void)
{
    struct model_import_options options = {.schema = bytes_of_text(housing_schema)};
    struct buf lower_blob, upper_blob;
    struct model lower, upper;

    subject_open(&subject, "housing-value.ubj", "housing.csv", "value");
    open_model(&lower_blob, &lower, "housing-lower.ubj", &options);
    open_model(&upper_blob, &upper, "housing-upper.ubj", &options);
    covers_as_asked(
        &subject,
        (struct model_calibrator_options){.group_feature = -1, .lower = &lower, .upper = &upper},
        30);
    buf_fini(&lower_blob);
    buf_fini(&upper_blob);
    subject_close(&subject);
}

/* Houses inland are easier to value than those at the ocean: one width for all covers them too
 * often, and the others too seldom. */
static void
groups_cover_as_asked_each(void)
{
    static uint8_t inside[ROWS_MAX];
    double covered[2][OCEAN_LEVELS] = {{0}};
    double rows[OCEAN_LEVELS] = {0};
    size_t half = HOUSING_ROWS / 2;
    double worst[2] = {0, 0};

    subject_open(&subject, "housing-value.ubj", "housing.csv", "value");
    for (unsigned split = 0; split < 30; split++) {
        shuffle(&subject);
        for (unsigned grouped = 0; grouped < 2; grouped++) {
            struct buf blob;
            struct model model;
            calibrate(&subject,
                      (struct model_calibrator_options){.group_feature = grouped ? OCEAN : -1},
                      half, &blob, &model);
            measure(&subject, &model, half, 0.8, inside);
            for (size_t i = 0; i < half; i++) {
                size_t group = (size_t)subject.rows[(half + i) * 9 + OCEAN];
                rows[group] += grouped;
                covered[grouped][group] += inside[i];
            }
            buf_fini(&blob);
        }
    }
    for (unsigned group = 0; group < OCEAN_LEVELS; group++) {
        for (unsigned grouped = 0; grouped < 2 && rows[group] > 1000; grouped++) {
            double off = fabs(covered[grouped][group] / rows[group] - 0.8);
            worst[grouped] = off > worst[grouped] ? off : worst[grouped];
        }
    }
    printf("# farthest from 0.8: %.4f in one, %.4f in groups\n", worst[0], worst[1]);
    CHECK(worst[1] < 0.01);
    CHECK(worst[0] > 0.03);
    subject_close(&subject);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

static void
bounds_are_rounded_outwards_and_infinite_where_rows_are_few(void)
{
    static float bounds[2 * 600];
    static float values[600];
    struct predict_interval_rows rows = {.values = values, .width = 1, .count = 600};
    struct buf blob;
    struct model model;

    subject_open(&subject, "concrete.ubj", "concrete.csv", "strength");
    calibrate(&subject, (struct model_calibrator_options){.group_feature = -1}, 99, &blob, &model);
    for (size_t i = 0; i < 600; i++) {
        values[i] = (float)i / 7.0f;
    }
    rows.rows = subject.rows;
    predict_intervals(&model, &rows, 0.9, bounds);
    double score = model_calibration_score(&model, subject.rows, 0.9);
    for (size_t i = 0; i < 600; i++) {
        double lower = (double)values[i] - score;
        double upper = (double)values[i] + score;
        CHECK((double)bounds[2 * i] <= lower && (double)bounds[2 * i + 1] >= upper);
        CHECK((double)nextafterf(bounds[2 * i], INFINITY) > lower);
        CHECK((double)nextafterf(bounds[2 * i + 1], -INFINITY) < upper);
    }
    predict_intervals(&model, &rows, 0.995, bounds);
    CHECK(isinf(bounds[0]) && bounds[0] < 0.0f && isinf(bounds[1]) && bounds[1] > 0.0f);
    buf_fini(&blob);
    subject_close(&subject);
}

static void
quantiles_that_cross_or_turn_over_leave_a_range(void)
{
    struct model_import_options options = {.schema = bytes_of_text(housing_schema)};
    float values[] = {300.0f, 100.0f, 200.0f, 200.0f};
    float bounds[4];
    struct predict_interval_rows rows = {.values = values, .width = 2, .count = 2};
    struct buf blob, lower_blob, upper_blob;
    struct model model, lower, upper;

    subject_open(&subject, "housing-value.ubj", "housing.csv", "value");
    open_model(&lower_blob, &lower, "housing-lower.ubj", &options);
    open_model(&upper_blob, &upper, "housing-upper.ubj", &options);
    calibrate(
        &subject,
        (struct model_calibrator_options){.group_feature = -1, .lower = &lower, .upper = &upper},
        1000, &blob, &model);
    rows.rows = subject.rows;
    double score = model_calibration_score(&model, subject.rows, 0.3);
    CHECK(score < 0.0);
    predict_intervals(&model, &rows, 0.3, bounds);
    CHECK(fabs((double)bounds[0] - (100.0 - score)) < 1e-3);
    CHECK(fabs((double)bounds[1] - (300.0 + score)) < 1e-3);
    CHECK(bounds[2] == 200.0f && bounds[3] == 200.0f);
    buf_fini(&blob);
    buf_fini(&lower_blob);
    buf_fini(&upper_blob);
    subject_close(&subject);
}

static void
a_level_is_over_zero_and_under_one(void)
{
    static const double wrong[] = {0.0, 1.0, -0.5, 90.0, NAN, INFINITY};
    struct err err;

    CHECK_INT(predict_level_check(0.9, &err), 0);
    for (size_t i = 0; i < AUGURY_COUNT(wrong); i++) {
        CHECK_INT(predict_level_check(wrong[i], &err), AUGURY_ERR_INVALID);
        CHECK_TEXT(err.code, "invalid_level");
        CHECK_TEXT(err.at, "level");
    }
}

int
main(void)
{
    TAP_RUN(intervals_of_house_values_cover_as_asked);
    TAP_RUN(intervals_of_few_rows_of_concrete_cover_as_asked);
    TAP_RUN(sets_of_bands_cover_as_asked);
    TAP_RUN(intervals_of_two_quantile_models_cover_as_asked);
    TAP_RUN(groups_cover_as_asked_each);
    TAP_RUN(bounds_are_rounded_outwards_and_infinite_where_rows_are_few);
    TAP_RUN(quantiles_that_cross_or_turn_over_leave_a_range);
    TAP_RUN(a_level_is_over_zero_and_under_one);
    return tap_done();
}
