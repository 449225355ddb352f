/* SPDX-License-Identifier: MIT */
/*
 * test_fixtures.c - models that others trained and published, against the answers published with
 * them and those that libxgboost 1.7.4 gave (files xgb174_*). Each as JSON and as UBJSON.
 */
#include <string.h>

#include "../tap.h"
#include "oracle.h"

struct fixture {
    const char *folder;
    const char *input; /* *.tsv or *.libsvm */
    const char *margins_174;
    const char *leaves_174;
    const char *contributions_174; /* of the first rows */
    const char *published_margins;
    const char *published_predictions;
    bool are_predictions_174; /* the published predictions were written by 1.7.4: to the bit */
};

static const struct fixture agaricus = {
    .folder = "tests/data/models-xgboost/agaricus",
    .input = "tests/data/models-xgboost/agaricus/input.libsvm",
    .margins_174 = "xgb174_margin.tsv",
    .leaves_174 = "xgb174_leaf.tsv",
    .contributions_174 = "xgb174_contributions.tsv",
    .published_predictions = "expected_prob.tsv",
};
static const struct fixture gblinear = {
    .folder = "tests/data/models-xgboost/gblinear-agaricus",
    .input = "tests/data/models-xgboost/agaricus/input.libsvm",
    .margins_174 = "xgb174_margin.tsv",
    .published_margins = "expected_raw.tsv",
    .published_predictions = "expected_prob.tsv",
};
static const struct fixture completion = {
    .folder = "tests/data/models-xgboost/nfl-completion-probability",
    .input = "tests/data/models-xgboost/nfl-completion-probability/input.tsv",
    .contributions_174 = "xgb174_contributions.tsv",
    .margins_174 = "xgb174_margin.tsv",
    .published_predictions = "xgb174_prob.tsv",
    .are_predictions_174 = true,
};
static const struct fixture win = {
    .folder = "tests/data/nfl-wp",
    .input = "tests/data/nfl-wp/input.tsv",
    .contributions_174 = "xgb174_contributions.tsv",
    .margins_174 = "xgb174_margin.tsv",
    .published_predictions = "xgb174_prob.tsv",
    .are_predictions_174 = true,
};

/* What one model answers over its fixture's rows. */
struct answers {
    struct oracle_model model;
    struct oracle_rows rows;
    float *margins;
    float *predictions;
    float *probabilities;
    uint32_t *leaves;
};

static void
answers_fini(struct answers *answers)
{
    oracle_model_fini(&answers->model);
    oracle_rows_fini(&answers->rows);
    free(answers->margins);
    free(answers->predictions);
    free(answers->probabilities);
    free(answers->leaves);
    memset(answers, 0, sizeof(*answers));
}

static bool
answers_load(const struct fixture *fixture, const char *model_file, struct answers *answers)
{
    struct err err = {.rc = 0};
    struct buf file;
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s", fixture->folder, model_file);
    if (!oracle_read(path, &file)) {
        return false;
    }
    bool is_done = oracle_model_init(buf_view(&file), NULL, &answers->model, &err);
    buf_fini(&file);
    if (!is_done) {
        printf("# %s: %s (%s)\n", path, err.reason, err.at);
        return false;
    }
    return strstr(fixture->input, ".libsvm") != NULL
               ? oracle_read_libsvm(fixture->input, answers->model.model.feature_count,
                                    &answers->rows)
               : oracle_read_tsv(fixture->input, &answers->rows);
}

static bool
answers_init(const struct fixture *fixture, const char *model_file, struct answers *answers)
{
    memset(answers, 0, sizeof(*answers));
    if (!answers_load(fixture, model_file, answers) ||
        answers->rows.columns != answers->model.model.feature_count) {
        return false;
    }
    const struct model *model = &answers->model.model;
    size_t rows = answers->rows.count;
    answers->margins = malloc(rows * model->output_count * sizeof(float));
    answers->predictions = malloc(rows * model->prediction_count * sizeof(float));
    answers->probabilities = malloc((rows * model->probability_count + 1) * sizeof(float));
    answers->leaves = malloc((rows * model->tree_count + 1) * sizeof(uint32_t));
    if (answers->margins == NULL || answers->predictions == NULL ||
        answers->probabilities == NULL || answers->leaves == NULL) {
        return false;
    }
    model_margins(model, answers->rows.values, rows, answers->model.scratch, answers->margins);
    model_predictions(model, answers->margins, rows, answers->predictions);
    model_probabilities(model, answers->margins, rows, answers->probabilities);
    model_leaves(model, answers->rows.values, rows, answers->model.scratch, answers->leaves);
    return true;
}

/* Compares with a file of numbers; counts what is not within `relative` (0: to the bit). */
static void
check_against(const struct fixture *fixture, const char *file, const float *ours, size_t count,
              double relative)
{
    struct oracle_rows want = {.values = NULL};
    char path[256];
    size_t wrong = 0;
    size_t first = 0;

    (void)snprintf(path, sizeof(path), "%s/%s", fixture->folder, file);
    CHECK(oracle_read_tsv(path, &want));
    size_t wanted = want.count * want.columns;
    for (size_t i = 0; i < wanted && i < count; i++) {
        bool is_right = relative > 0.0 ? oracle_relative(ours[i], want.values[i]) <= relative
                                       : oracle_same_bits(ours[i], want.values[i]);
        first = wrong == 0 && !is_right ? i : first;
        wrong += is_right ? 0 : 1;
    }
    if (wrong > 0) {
        printf("# %s: %zu of %zu differ, first at %zu: %.9g, want %.9g\n", path, wrong, wanted,
               first, (double)ours[first], (double)want.values[first]);
    }
    oracle_rows_fini(&want);
    CHECK_INT(wanted, count);
    CHECK_INT(wrong, 0);
}

static void
check_leaves(const struct fixture *fixture, const struct answers *answers)
{
    struct oracle_rows want = {.values = NULL};
    char path[256];
    size_t wrong = 0;

    (void)snprintf(path, sizeof(path), "%s/%s", fixture->folder, fixture->leaves_174);
    CHECK(oracle_read_tsv(path, &want));
    size_t columns = want.columns;
    size_t count = want.count;
    for (size_t i = 0; i < count * columns && columns == answers->model.model.tree_count; i++) {
        wrong += (float)answers->leaves[i] == want.values[i] ? 0 : 1;
    }
    oracle_rows_fini(&want);
    CHECK_INT(count, answers->rows.count);
    CHECK_INT(columns, answers->model.model.tree_count);
    CHECK_INT(wrong, 0);
}

/* Within 1e-5 of the greatest of a row. */
static void
check_contributions(const struct fixture *fixture, const struct answers *answers)
{
    const struct model *model = &answers->model.model;
    size_t width = model_contributions_count(model);
    struct oracle_rows want = {.values = NULL};
    char path[256];
    size_t wrong = 0;

    (void)snprintf(path, sizeof(path), "%s/%s", fixture->folder, fixture->contributions_174);
    CHECK(oracle_read_tsv(path, &want));
    CHECK_INT(want.columns, width);
    CHECK(want.count >= 20 && want.count <= answers->rows.count);
    float *ours = malloc(want.count * width * sizeof(*ours));
    void *scratch =
        aligned_alloc(64, model_contributions_scratch_bytes(model, want.count) / 64 * 64 + 64);
    CHECK(ours != NULL && scratch != NULL && model_has_contributions(model, NULL) == 0);
    model_contributions(model, answers->rows.values, want.count, scratch, ours);
    for (size_t row = 0; row < want.count; row++) {
        const float *row_want = want.values + row * width;
        float greatest = 0.0f;
        for (size_t i = 0; i < width; i++) {
            greatest = fmaxf(greatest, fabsf(row_want[i]));
        }
        for (size_t i = 0; i < width; i++) {
            wrong += fabsf(ours[row * width + i] - row_want[i]) <= 1e-5f * greatest ? 0 : 1;
        }
    }
    free(scratch);
    free(ours);
    oracle_rows_fini(&want);
    CHECK_INT(wrong, 0);
}

/* Binary models: the second probability is the prediction, and the two add up to one. */
static void
check_probabilities(const struct answers *answers)
{
    size_t wrong = 0;

    CHECK_INT(answers->model.model.probability_count, 2);
    for (size_t i = 0; i < answers->rows.count; i++) {
        const float *p = answers->probabilities + 2 * i;
        wrong += p[1] == answers->predictions[i] && p[0] == 1.0f - p[1] ? 0 : 1;
    }
    CHECK_INT(wrong, 0);
}

static void
check_fixture(const struct fixture *fixture, const char *model_file)
{
    struct answers answers;

    if (!answers_init(fixture, model_file, &answers)) {
        answers_fini(&answers);
        TAP_FAIL("%s/%s could not be loaded", fixture->folder, model_file);
    }
    size_t rows = answers.rows.count;
    check_against(fixture, fixture->margins_174, answers.margins, rows, 0.0);
    CHECK(oracle_kernels_agree(&answers.model, answers.rows.values, rows, answers.margins,
                               model_file));
    if (fixture->published_margins != NULL) {
        check_against(fixture, fixture->published_margins, answers.margins, rows, 1e-6);
    }
    check_against(fixture, fixture->published_predictions, answers.predictions, rows,
                  fixture->are_predictions_174 ? 0.0 : 1e-6);
    if (fixture->leaves_174 != NULL) {
        check_leaves(fixture, &answers);
    }
    if (fixture->contributions_174 != NULL) {
        check_contributions(fixture, &answers);
    }
    check_probabilities(&answers);
    answers_fini(&answers);
}

static void
agaricus_json_answers_as_published(void)
{
    check_fixture(&agaricus, "model.json");
}

static void
agaricus_ubjson_answers_as_published(void)
{
    check_fixture(&agaricus, "model.ubj");
}

static void
gblinear_json_answers_as_published(void)
{
    check_fixture(&gblinear, "model.json");
}

static void
gblinear_ubjson_answers_as_published(void)
{
    check_fixture(&gblinear, "model.ubj");
}

static void
nfl_completion_probability_json_answers_as_published(void)
{
    check_fixture(&completion, "model.json");
}

static void
nfl_completion_probability_ubjson_answers_as_published(void)
{
    check_fixture(&completion, "model.ubj");
}

static void
nfl_win_probability_json_answers_as_published(void)
{
    check_fixture(&win, "model.json");
}

static void
nfl_win_probability_ubjson_answers_as_published(void)
{
    check_fixture(&win, "model.ubj");
}

int
main(void)
{
    TAP_RUN(agaricus_json_answers_as_published);
    TAP_RUN(agaricus_ubjson_answers_as_published);
    TAP_RUN(gblinear_json_answers_as_published);
    TAP_RUN(gblinear_ubjson_answers_as_published);
    TAP_RUN(nfl_completion_probability_json_answers_as_published);
    TAP_RUN(nfl_completion_probability_ubjson_answers_as_published);
    TAP_RUN(nfl_win_probability_json_answers_as_published);
    TAP_RUN(nfl_win_probability_ubjson_answers_as_published);
    return tap_done();
}
