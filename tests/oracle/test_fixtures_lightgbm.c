/* SPDX-License-Identifier: MIT */
/*
 * test_fixtures_lightgbm.c - LightGBM texts that others trained and published, against the answers
 * published with them (files expected_*), and published and made models against a plain evaluation
 * in Python (reference_*, lightgbm_reference.py) at rows around their own thresholds.
 * Margins of the reference are equal to the bit: the same sums in the same order.
 */
#include <string.h>

#include "../tap.h"
#include "oracle.h"

enum { PATH_BYTES = 256 };
static const double relative_max = 1e-12;

struct answers {
    struct oracle_model model;
    struct oracle_numbers rows;
    double *margins;
    double *predictions;
    uint32_t *leaves;
};

static void
answers_fini(struct answers *answers)
{
    oracle_model_fini(&answers->model);
    oracle_numbers_fini(&answers->rows);
    free(answers->margins);
    free(answers->predictions);
    free(answers->leaves);
    memset(answers, 0, sizeof(*answers));
}

static void
path_of(const char *folder, const char *file, char *out_path)
{
    (void)snprintf(out_path, PATH_BYTES, "tests/data/models-lightgbm/%s/%s", folder, file);
}

static bool
answers_load(const char *folder, struct answers *answers)
{
    struct err err = {.rc = 0};
    struct buf file;
    char path[PATH_BYTES];

    path_of(folder, "model.txt", path);
    if (!oracle_read(path, &file)) {
        return false;
    }
    bool is_done = oracle_model_init(buf_view(&file), NULL, &answers->model, &err);
    buf_fini(&file);
    if (!is_done) {
        printf("# %s: %s (%s)\n", path, err.reason, err.at);
        return false;
    }
    path_of(folder, "input.tsv", path);
    return oracle_read_tsv_f64(path, &answers->rows) &&
           answers->rows.columns == answers->model.model.feature_count &&
           answers->model.model.number == MODEL_FLOAT64;
}

static bool
answers_init(const char *folder, struct answers *answers)
{
    memset(answers, 0, sizeof(*answers));
    if (!answers_load(folder, answers)) {
        return false;
    }
    const struct model *model = &answers->model.model;
    size_t rows = answers->rows.count;
    answers->margins = malloc(rows * model->output_count * sizeof(double));
    answers->predictions = malloc(rows * model->prediction_count * sizeof(double));
    answers->leaves = malloc((rows * model->tree_count + 1) * sizeof(uint32_t));
    if (answers->margins == NULL || answers->predictions == NULL || answers->leaves == NULL) {
        return false;
    }
    model_margins(model, answers->rows.values, rows, answers->model.scratch, answers->margins);
    model_predictions(model, answers->margins, rows, answers->predictions);
    model_leaves(model, answers->rows.values, rows, answers->model.scratch, answers->leaves);
    return true;
}

/* Counts what is not within `relative`. */
static void
check_against(const char *folder, const char *file, const double *ours, size_t count,
              double relative)
{
    struct oracle_numbers want;
    char path[PATH_BYTES];
    size_t wrong = 0;
    size_t first = 0;

    path_of(folder, file, path);
    CHECK(oracle_read_tsv_f64(path, &want));
    size_t wanted = want.count * want.columns;
    for (size_t i = 0; i < wanted && i < count; i++) {
        bool is_right = oracle_relative_f64(ours[i], want.values[i]) <= relative;
        first = wrong == 0 && !is_right ? i : first;
        wrong += is_right ? 0 : 1;
    }
    if (wrong > 0) {
        printf("# %s: %zu of %zu differ, first at %zu: %.17g, want %.17g\n", path, wrong, wanted,
               first, ours[first], want.values[first]);
    }
    oracle_numbers_fini(&want);
    CHECK_INT(wanted, count);
    CHECK_INT(wrong, 0);
}

/* Every kernel of this processor gives the same bits. */
static void
check_kernels(const char *folder, struct answers *answers)
{
    CHECK(oracle_kernels_agree(&answers->model, answers->rows.values, answers->rows.count,
                               answers->margins, folder));
}

static void
check_leaves(const char *folder, const char *file, const struct answers *answers)
{
    struct oracle_numbers want;
    char path[PATH_BYTES];
    size_t wrong = 0;
    size_t count = answers->rows.count * answers->model.model.tree_count;

    path_of(folder, file, path);
    CHECK(oracle_read_tsv_f64(path, &want));
    size_t wanted = want.count * want.columns;
    for (size_t i = 0; i < wanted && i < count; i++) {
        wrong += (double)answers->leaves[i] == want.values[i] ? 0 : 1;
    }
    oracle_numbers_fini(&want);
    CHECK_INT(wanted, count);
    CHECK_INT(wrong, 0);
}

static void
check_reference(const char *folder)
{
    struct answers answers;

    if (!answers_init(folder, &answers)) {
        answers_fini(&answers);
        TAP_FAIL("%s could not be loaded", folder);
    }
    const struct model *model = &answers.model.model;
    check_against(folder, "reference_margin.tsv", answers.margins,
                  answers.rows.count * model->output_count, 0.0);
    check_against(folder, "reference_prediction.tsv", answers.predictions,
                  answers.rows.count * model->prediction_count, relative_max);
    check_leaves(folder, "reference_leaf.tsv", &answers);
    check_kernels(folder, &answers);
    answers_fini(&answers);
}

/* ---- published models and answers ---------------------------------------------------------- */

static void
breast_cancer_falls_into_the_published_leaves(void)
{
    struct answers answers;

    if (!answers_init("breast-cancer", &answers)) {
        answers_fini(&answers);
        TAP_FAIL("the model could not be loaded");
    }
    check_leaves("breast-cancer", "expected_leaf.tsv", &answers);
    answers_fini(&answers);
}

static void
five_classes_answer_as_published(void)
{
    struct answers answers;

    if (!answers_init("multiclass5", &answers)) {
        answers_fini(&answers);
        TAP_FAIL("the model could not be loaded");
    }
    check_against("multiclass5", "expected_margin.tsv", answers.margins, answers.rows.count * 5,
                  relative_max);
    check_against("multiclass5", "expected_prediction.tsv", answers.predictions,
                  answers.rows.count * 5, relative_max);
    check_kernels("multiclass5", &answers);
    answers_fini(&answers);
}

static void
check_published_predictions(const char *folder)
{
    struct answers answers;

    if (!answers_init(folder, &answers)) {
        answers_fini(&answers);
        TAP_FAIL("%s could not be loaded", folder);
    }
    check_against(folder, "expected_prediction.tsv", answers.predictions, answers.rows.count,
                  relative_max);
    check_kernels(folder, &answers);
    answers_fini(&answers);
}

static void
poisson_with_categories_answers_as_published(void)
{
    check_published_predictions("poisson-categorical");
}

static void
a_tree_of_categories_alone_answers_as_published(void)
{
    check_published_predictions("toy-categorical");
}

/* ---- trained models (lightgbm_train.py), what LightGBM 4.6.0 answers ------------------------ */

static void
check_trained(const char *folder)
{
    struct answers answers;

    if (!answers_init(folder, &answers)) {
        answers_fini(&answers);
        TAP_FAIL("%s could not be loaded", folder);
    }
    check_against(folder, "expected_prediction.tsv", answers.predictions,
                  answers.rows.count * answers.model.model.prediction_count, relative_max);
    check_leaves(folder, "expected_leaf.tsv", &answers);
    check_kernels(folder, &answers);
    answers_fini(&answers);
}

static void
trained_models_answer_as_lightgbm(void)
{
    static const char *const folders[] = {
        "trained-binary",
        "trained-dart",
        "trained-forest",
        "trained-linear",
        "trained-multiclass",
        "trained-multiclassova",
        "trained-no-missing",
        "trained-own-objective",
        "trained-rank",
        "trained-sqrt",
        "trained-tweedie",
        "trained-xentlambda",
        "trained-zero-as-missing",
    };

    for (size_t i = 0; i < AUGURY_COUNT(folders) && !tap.has_failed; i++) {
        check_trained(folders[i]);
    }
}

/* ---- published models, reference answers ----------------------------------------------------- */

static void
published_models_answer_as_the_reference(void)
{
    static const char *const folders[] = {
        "airline",  "leaf-scan",        "mixed-categorical",   "multiclass",
        "nyc-taxi", "pure-categorical", "tiniest-single-tree",
    };

    for (size_t i = 0; i < AUGURY_COUNT(folders) && !tap.has_failed; i++) {
        check_reference(folders[i]);
    }
}

/* ---- made models: one trait each ------------------------------------------------------------- */

static void
every_kind_of_decision_and_missing_value_is_followed(void)
{
    check_reference("made-regression");
    check_reference("made-lambdarank");
}

static void
without_an_objective_the_sums_are_the_answer(void)
{
    check_reference("made-no-objective");
}

static void
regression_on_the_root_answers_the_signed_square(void)
{
    check_reference("made-sqrt");
}

static void
the_sigmoid_of_the_objective_scales_the_margin(void)
{
    check_reference("made-binary"); /* with \r\n, too */
    check_reference("made-multiclassova");
}

static void
cross_entropies_answer_by_their_links(void)
{
    check_reference("made-cross-entropy");
    check_reference("made-cross-entropy-lambda");
}

static void
gamma_and_tweedie_answer_the_exponential(void)
{
    check_reference("made-gamma");
    check_reference("made-tweedie");
}

static void
a_forest_answers_the_mean_of_its_iterations(void)
{
    check_reference("made-forest");
    check_reference("made-forest-of-classes");
}

static void
linear_leaves_answer_their_function_of_the_row(void)
{
    check_reference("made-linear");
    check_reference("made-linear-quantile");
}

int
main(void)
{
    TAP_RUN(breast_cancer_falls_into_the_published_leaves);
    TAP_RUN(five_classes_answer_as_published);
    TAP_RUN(poisson_with_categories_answers_as_published);
    TAP_RUN(a_tree_of_categories_alone_answers_as_published);
    TAP_RUN(trained_models_answer_as_lightgbm);
    TAP_RUN(published_models_answer_as_the_reference);
    TAP_RUN(every_kind_of_decision_and_missing_value_is_followed);
    TAP_RUN(without_an_objective_the_sums_are_the_answer);
    TAP_RUN(regression_on_the_root_answers_the_signed_square);
    TAP_RUN(the_sigmoid_of_the_objective_scales_the_margin);
    TAP_RUN(cross_entropies_answer_by_their_links);
    TAP_RUN(gamma_and_tweedie_answer_the_exponential);
    TAP_RUN(a_forest_answers_the_mean_of_its_iterations);
    TAP_RUN(linear_leaves_answer_their_function_of_the_row);
    return tap_done();
}
