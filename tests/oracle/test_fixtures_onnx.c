/* SPDX-License-Identifier: MIT */
/*
 * test_fixtures_onnx.c - ONNX models of every operator that is read, each of one trait,
 * and some that converters wrote, against
 * what onnxruntime answers (tests/data/models-onnx, answer.js) over rows at their thresholds,
 * beside them, missing and infinite; and a published XGBoost model written as ONNX, against
 * libxgboost's margins.
 * onnxruntime adds base_values last, XGBoost and augury first: where there are none and nothing is
 * transformed, answers are equal to the bit.
 */
#include <math.h>
#include <string.h>

#include "../tap.h"
#include "oracle.h"

enum { PATH_BYTES = 256 };

enum part {
    SAME_BITS,     /* predictions, each rounded to float32 */
    PREDICTIONS,   /* within `near` */
    PROBABILITIES, /* within `near` */
    LAST_SHARE     /* the last probability, within `near`: onnxruntime's first one is constant */
};

static const double near_max = 2e-6; /* of float32 sums in another order, relative to 1 at least */

static const struct fixture_row {
    const char *name;
    enum part part;
} fixtures[] = {
    {"regressor-leq", SAME_BITS},
    {"regressor-modes", SAME_BITS},
    {"regressor-targets", SAME_BITS},
    {"regressor-double", SAME_BITS},
    {"regressor-categories", SAME_BITS},
    {"regressor-imputed", SAME_BITS},
    {"regressor-columns", SAME_BITS},
    {"regressor-scaled", SAME_BITS},
    {"regressor-vectors", PREDICTIONS},
    {"regressor-average", PREDICTIONS},
    {"regressor-logistic", PREDICTIONS},
    {"regressor-sigmoid", PREDICTIONS},
    {"regressor-softmax", PREDICTIONS},
    {"regressor-exp", PREDICTIONS},
    {"classifier-binary", PROBABILITIES},
    {"classifier-binary-base", PROBABILITIES},
    {"classifier-binary-one", LAST_SHARE},
    {"classifier-binary-shares", PROBABILITIES},
    {"classifier-binary-positive", PROBABILITIES},
    {"classifier-softmax", PROBABILITIES},
    {"classifier-forest", PROBABILITIES},
    {"classifier-two-columns", PROBABILITIES},
    {"classifier-ova", PROBABILITIES},
    {"classifier-double", PROBABILITIES},
    {"ensemble", SAME_BITS},
    {"ensemble-members", SAME_BITS},
    {"ensemble-double", PREDICTIONS},
    {"ensemble-average", PREDICTIONS},
    {"skl2onnx-softmax", PROBABILITIES},
    {"skl2onnx-logistic", PROBABILITIES},
    {"skl2onnx-scores", PREDICTIONS},
    {"onnxmltools-xgboost", PREDICTIONS},
    {"linear-regressor", PREDICTIONS},
    {"linear-binary", PROBABILITIES},
    {"linear-softmax", PROBABILITIES},
    {"linear-ova", PROBABILITIES},
    {"linear-scaled", PROBABILITIES},
    {"linear-imputed", PROBABILITIES},
};

/* An imported file with its rows, in its own precision, and what it answers. */
struct answers {
    struct oracle_model model;
    size_t rows;
    void *margins;
    void *outputs;
    size_t width; /* outputs a row */
};

static void
answers_fini(struct answers *answers)
{
    oracle_model_fini(&answers->model);
    free(answers->margins);
    free(answers->outputs);
    memset(answers, 0, sizeof(*answers));
}

static bool
load(const char *path, struct oracle_model *out_model)
{
    struct err err = {.rc = 0};
    struct buf file;

    if (!oracle_read(path, &file)) {
        return false;
    }
    bool is_done = oracle_model_init(buf_view(&file), NULL, out_model, &err);
    buf_fini(&file);
    if (!is_done) {
        printf("# %s: %s: %s\n", path, err.at, err.reason);
    }
    return is_done;
}

static bool
evaluate(struct answers *answers, const struct oracle_numbers *numbers, bool is_shares)
{
    const struct model *model = &answers->model.model;
    size_t size = model_number_bytes(model);
    size_t cells = numbers->count * numbers->columns;
    void *rows = calloc(cells, size);

    answers->rows = numbers->count;
    answers->width = is_shares ? model->probability_count : model->prediction_count;
    answers->margins = calloc(numbers->count * model->output_count, size);
    answers->outputs = calloc(numbers->count * (answers->width + 1), size);
    bool is_done = rows != NULL && answers->margins != NULL && answers->outputs != NULL &&
                   numbers->columns == model->feature_count;
    for (size_t i = 0; is_done && i < cells; i++) {
        model_number_set(model, rows, i, numbers->values[i]);
    }
    if (is_done) {
        model_margins(model, rows, answers->rows, answers->model.scratch, answers->margins);
    }
    if (is_done && is_shares) {
        model_probabilities(model, answers->margins, answers->rows, answers->outputs);
    } else if (is_done) {
        model_predictions(model, answers->margins, answers->rows, answers->outputs);
    }
    free(rows);
    return is_done;
}

static bool
is_same(enum part part, double ours, double theirs)
{
    if (part == SAME_BITS) {
        return oracle_same_bits((float)ours, (float)theirs);
    }
    return fabs(ours - theirs) <= near_max * fmax(1.0, fabs(theirs));
}

static unsigned
compare(const struct fixture_row *fixture, const struct answers *answers,
        const struct oracle_numbers *want)
{
    size_t first = fixture->part == LAST_SHARE ? answers->width - 1 : 0;
    unsigned wrong = 0;

    if (want->count != answers->rows || want->columns != answers->width) {
        printf("# %s: %zu x %zu answers, want %zu x %zu\n", fixture->name, answers->rows,
               answers->width, want->count, want->columns);
        return 1;
    }
    for (size_t i = 0; i < want->count * want->columns; i++) {
        double ours = model_number_get(&answers->model.model, answers->outputs, i);
        if (i % want->columns < first || is_same(fixture->part, ours, want->values[i])) {
            continue;
        }
        if (wrong++ == 0) {
            printf("# %s: row %zu, output %zu is %.9g, onnxruntime says %.9g\n", fixture->name,
                   i / want->columns, i % want->columns, ours, want->values[i]);
        }
    }
    return wrong;
}

static bool
fixture_is_right(const struct fixture_row *fixture)
{
    bool is_shares = fixture->part == PROBABILITIES || fixture->part == LAST_SHARE;
    struct answers answers = {.rows = 0};
    struct oracle_numbers rows = {0};
    struct oracle_numbers want = {0};
    char path[PATH_BYTES];

    (void)snprintf(path, sizeof(path), "tests/data/models-onnx/%s.onnx", fixture->name);
    bool is_right = load(path, &answers.model);
    (void)snprintf(path, sizeof(path), "tests/data/models-onnx/%s.rows.tsv", fixture->name);
    is_right = is_right && oracle_read_tsv_f64(path, &rows) && evaluate(&answers, &rows, is_shares);
    (void)snprintf(path, sizeof(path), "tests/data/models-onnx/%s.expected.tsv", fixture->name);
    is_right =
        is_right && oracle_read_tsv_f64(path, &want) && compare(fixture, &answers, &want) == 0;
    answers_fini(&answers);
    oracle_numbers_fini(&rows);
    oracle_numbers_fini(&want);
    return is_right;
}

static void
models_of_every_operator_answer_as_onnxruntime(void)
{
    size_t right = 0;

    for (size_t i = 0; i < AUGURY_COUNT(fixtures); i++) {
        bool is_right = fixture_is_right(&fixtures[i]);
        right += is_right ? 1 : 0;
    }
    CHECK_INT(right, AUGURY_COUNT(fixtures));
}

static void
an_xgboost_model_written_as_onnx_has_libxgboosts_margins_to_the_bit(void)
{
    struct answers answers = {.rows = 0};
    struct oracle_numbers rows = {0};
    struct oracle_numbers want = {0};
    size_t same = 0;

    CHECK(load("tests/data/nfl-wp/model.onnx", &answers.model));
    CHECK(oracle_read_tsv_f64("tests/data/nfl-wp/input.tsv", &rows));
    CHECK(oracle_read_tsv_f64("tests/data/nfl-wp/xgb174_margin.tsv", &want));
    CHECK(evaluate(&answers, &rows, true));
    CHECK_INT(answers.rows, want.count);
    for (size_t i = 0; i < want.count; i++) {
        same +=
            oracle_same_bits(((const float *)answers.margins)[i], (float)want.values[i]) ? 1 : 0;
    }
    CHECK_INT(same, 1000);
    answers_fini(&answers);
    oracle_numbers_fini(&rows);
    oracle_numbers_fini(&want);
}

static void
columns_that_are_inputs_of_their_own_give_their_names(void)
{
    struct oracle_model model;

    CHECK(load("tests/data/models-onnx/regressor-columns.onnx", &model));
    CHECK(bytes_equal_text(model_feature(&model.model, 0).name, "age"));
    CHECK(bytes_equal_text(model_feature(&model.model, 3).name, "debt"));
    CHECK(bytes_equal_text(model_source(&model.model), "onnx augury-tests 1"));
    oracle_model_fini(&model);
}

static void
labels_that_say_more_than_a_number_are_names_of_classes(void)
{
    struct oracle_model model;

    CHECK(load("tests/data/models-onnx/classifier-softmax.onnx", &model));
    CHECK_INT(model_class_count(&model.model), 3);
    CHECK(bytes_equal_text(model_class_name(&model.model, 1), "spam"));
    oracle_model_fini(&model);
    CHECK(load("tests/data/models-onnx/classifier-forest.onnx", &model));
    CHECK(bytes_equal_text(model_class_name(&model.model, 2), "30"));
    oracle_model_fini(&model);
    CHECK(load("tests/data/models-onnx/classifier-binary.onnx", &model));
    CHECK_INT(model_class_count(&model.model), 0);
    oracle_model_fini(&model);
}

int
main(void)
{
    TAP_RUN(models_of_every_operator_answer_as_onnxruntime);
    TAP_RUN(an_xgboost_model_written_as_onnx_has_libxgboosts_margins_to_the_bit);
    TAP_RUN(columns_that_are_inputs_of_their_own_give_their_names);
    TAP_RUN(labels_that_say_more_than_a_number_are_names_of_classes);
    return tap_done();
}
