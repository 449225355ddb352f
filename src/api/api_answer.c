/* SPDX-License-Identifier: MIT */
/* api_answer.c - an answer of the predict room as a document: one object a row, one member an
 * output. */
#include "api_call.h"

/* Row `row` of an array of the model's numbers, `count` a row. */
struct numbers {
    const struct model *model;
    const void *values;
    size_t row;
    size_t count;
};

static void
put_number(struct wire_writer *writer, const struct numbers *numbers, size_t i)
{
    size_t at = numbers->row * numbers->count + i;

    if (numbers->model->number == MODEL_FLOAT32) {
        wire_put_f32(writer, ((const float *)numbers->values)[at]);
    } else {
        wire_put_f64(writer, ((const double *)numbers->values)[at]);
    }
}

static void
put_numbers(struct wire_writer *writer, const struct numbers *numbers)
{
    wire_array(writer, (uint32_t)numbers->count);
    for (size_t i = 0; i < numbers->count; i++) {
        put_number(writer, numbers, i);
    }
    wire_end(writer);
}

/* One value as a number, several as an array. */
static void
put_number_or_numbers(struct wire_writer *writer, const struct numbers *numbers)
{
    if (numbers->count == 1) {
        put_number(writer, numbers, 0);
    } else {
        put_numbers(writer, numbers);
    }
}

static void
put_prediction(struct wire_writer *writer, const struct predict_answer *answer, size_t row)
{
    const struct model *model = &answer->model->model;

    put_number_or_numbers(
        writer, &(struct numbers){model, answer->predictions, row, model->prediction_count});
}

static void
put_margin(struct wire_writer *writer, const struct predict_answer *answer, size_t row)
{
    const struct model *model = &answer->model->model;

    put_number_or_numbers(writer,
                          &(struct numbers){model, answer->margins, row, model->output_count});
}

static void
put_probabilities(struct wire_writer *writer, const struct predict_answer *answer, size_t row)
{
    const struct model *model = &answer->model->model;

    put_numbers(writer,
                &(struct numbers){model, answer->probabilities, row, model->probability_count});
}

static void
put_leaves(struct wire_writer *writer, const struct predict_answer *answer, size_t row)
{
    uint32_t count = answer->model->model.tree_count;

    wire_array(writer, count);
    for (size_t i = 0; i < count; i++) {
        wire_put_u64(writer, answer->leaves[row * count + i]);
    }
    wire_end(writer);
}

/* The name of a class, or its number where the classes have no names. */
static void
put_class_of(struct wire_writer *writer, const struct model *model, uint32_t number)
{
    if (number < model_class_count(model)) {
        wire_put_string(writer, model_class_name(model, number));
    } else {
        wire_put_u64(writer, number);
    }
}

static void
put_class(struct wire_writer *writer, const struct predict_answer *answer, size_t row)
{
    put_class_of(writer, &answer->model->model, answer->classes[row]);
}

/* A bound that is not there is null. */
static void
put_bounds(struct wire_writer *writer, const struct predict_answer *answer, size_t row)
{
    struct numbers bounds = {&answer->model->model, answer->intervals, row, 2};

    wire_object(writer, 3);
    wire_key(writer, "lower");
    put_number(writer, &bounds, 0);
    wire_key(writer, "upper");
    put_number(writer, &bounds, 1);
    wire_key(writer, "level");
    wire_put_f64(writer, answer->level);
    wire_end(writer);
}

static void
put_class_set(struct wire_writer *writer, const struct predict_answer *answer, size_t row)
{
    uint32_t count = answer->model->model.probability_count;
    const uint8_t *set = answer->class_sets + (size_t)row * count;
    uint32_t members_count = 0;

    for (uint32_t i = 0; i < count; i++) {
        members_count += set[i];
    }
    wire_object(writer, 2);
    wire_key(writer, "set");
    wire_array(writer, members_count);
    for (uint32_t i = 0; i < count; i++) {
        if (set[i] != 0) {
            put_class_of(writer, &answer->model->model, i);
        }
    }
    wire_end(writer);
    wire_key(writer, "level");
    wire_put_f64(writer, answer->level);
    wire_end(writer);
}

static void
put_interval(struct wire_writer *writer, const struct predict_answer *answer, size_t row)
{
    if (answer->intervals != NULL) {
        put_bounds(writer, answer, row);
    } else {
        put_class_set(writer, answer, row);
    }
}

static void
put_reasons(struct wire_writer *writer, const struct predict_answer *answer, size_t row)
{
    const struct model *model = &answer->model->model;
    const struct model_reason *reasons = answer->reasons + row * answer->reasons_max;

    wire_array(writer, answer->reason_counts[row]);
    for (uint32_t i = 0; i < answer->reason_counts[row]; i++) {
        wire_object(writer, 3);
        wire_key(writer, "code");
        wire_put_string(writer, reasons[i].code);
        wire_key(writer, "feature");
        wire_put_string(writer, model_feature(model, reasons[i].feature).name);
        wire_key(writer, "points_lost");
        wire_put_f64(writer, reasons[i].points_lost);
        wire_end(writer);
    }
    wire_end(writer);
}

/* Contributions of one output in one row. */
struct contributions {
    struct numbers numbers; /* feature_count + 1 */
    const uint32_t *top;    /* or NULL */
    uint32_t top_count;
};

/* A feature may be called as the bias is. */
static const char *
bias_name(const struct model *model)
{
    return model_feature_find(model, bytes_of_text("bias"), 0) < 0 ? "bias" : "(bias)";
}

static void
put_all_contributions(struct wire_writer *writer, const struct contributions *contributions)
{
    const struct model *model = contributions->numbers.model;
    uint32_t count = model->feature_count;

    wire_object(writer, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        wire_key_bytes(writer, model_feature(model, i).name);
        put_number(writer, &contributions->numbers, i);
    }
    wire_key(writer, bias_name(model));
    put_number(writer, &contributions->numbers, count);
    wire_end(writer);
}

/* What the features that are not shown add together, so that all of it is the margin again. */
static double
rest_of(const struct contributions *contributions)
{
    const struct numbers *numbers = &contributions->numbers;
    double rest = 0;

    for (uint32_t i = 0; i < numbers->model->feature_count; i++) {
        rest +=
            model_number_get(numbers->model, numbers->values, numbers->row * numbers->count + i);
    }
    for (uint32_t i = 0; i < contributions->top_count; i++) {
        rest -= model_number_get(numbers->model, numbers->values,
                                 numbers->row * numbers->count + contributions->top[i]);
    }
    return rest;
}

static void
put_top_contributions(struct wire_writer *writer, const struct contributions *contributions)
{
    const struct model *model = contributions->numbers.model;

    wire_object(writer, 3);
    wire_key(writer, "top");
    wire_array(writer, contributions->top_count);
    for (uint32_t i = 0; i < contributions->top_count; i++) {
        wire_object(writer, 2);
        wire_key(writer, "feature");
        wire_put_string(writer, model_feature(model, contributions->top[i]).name);
        wire_key(writer, "contribution");
        put_number(writer, &contributions->numbers, contributions->top[i]);
        wire_end(writer);
    }
    wire_end(writer);
    wire_key(writer, "rest");
    if (model->number == MODEL_FLOAT32) {
        wire_put_f32(writer, (float)rest_of(contributions));
    } else {
        wire_put_f64(writer, rest_of(contributions));
    }
    wire_key(writer, "bias");
    put_number(writer, &contributions->numbers, model->feature_count);
    wire_end(writer);
}

/* An object, or of several outputs an array of one each. */
static void
put_contributions(struct wire_writer *writer, const struct predict_answer *answer, size_t row)
{
    const struct model *model = &answer->model->model;
    struct contributions one = {
        .numbers = {model, answer->contributions, 0, (size_t)model->feature_count + 1},
        .top_count = answer->top_count};

    if (model->output_count > 1) {
        wire_array(writer, model->output_count);
    }
    for (size_t k = 0; k < model->output_count; k++) {
        one.numbers.row = row * model->output_count + k;
        if (answer->top == NULL) {
            put_all_contributions(writer, &one);
        } else {
            one.top = answer->top + one.numbers.row * answer->top_count;
            put_top_contributions(writer, &one);
        }
    }
    if (model->output_count > 1) {
        wire_end(writer);
    }
}

static void
put_spread(struct wire_writer *writer, const struct predict_answer *answer, size_t row)
{
    static const char *const names[MODEL_SPREAD_COUNT] = {"std", "min", "max"};
    const double *spread = answer->spreads + row * MODEL_SPREAD_COUNT;

    wire_object(writer, MODEL_SPREAD_COUNT);
    for (size_t i = 0; i < MODEL_SPREAD_COUNT; i++) {
        wire_key(writer, names[i]);
        wire_put_f64(writer, spread[i]);
    }
    wire_end(writer);
}

/* In the order of an answer's members, each under its output's name. */
static const struct {
    enum predict_outputs output;
    void (*put)(struct wire_writer *writer, const struct predict_answer *answer, size_t row);
} members[] = {
    {PREDICT_PREDICTION, put_prediction},
    {PREDICT_MARGIN, put_margin},
    {PREDICT_PROBABILITIES, put_probabilities},
    {PREDICT_CLASS, put_class},
    {PREDICT_INTERVAL, put_interval},
    {PREDICT_REASONS, put_reasons},
    {PREDICT_LEAF, put_leaves},
    {PREDICT_CONTRIBUTIONS, put_contributions},
    {PREDICT_SPREAD, put_spread},
};

void
api_put_row_value(struct wire_writer *writer, const struct predict_answer *answer, size_t row)
{
    for (size_t i = 0; i < AUGURY_COUNT(members); i++) {
        if ((answer->outputs & members[i].output) != 0) {
            members[i].put(writer, answer, row);
            return;
        }
    }
    AUGURY_ASSERT(!"an answer has an output");
}

void
api_put_row(struct wire_writer *writer, const struct predict_answer *answer, size_t row)
{
    wire_object(writer, (uint32_t)__builtin_popcount(answer->outputs));
    for (size_t i = 0; i < AUGURY_COUNT(members); i++) {
        if ((answer->outputs & members[i].output) != 0) {
            wire_key(writer, predict_output_name(members[i].output));
            members[i].put(writer, answer, row);
        }
    }
    wire_end(writer);
}

void
api_answer_begin(struct wire_writer *writer, const struct predict_answer *answer)
{
    wire_object(writer, 3);
    wire_key(writer, "model");
    wire_put_text(writer, answer->model->entry.name);
    wire_key(writer, "version");
    api_put_version(writer, answer->model->entry.version);
    wire_key(writer, "predictions");
    wire_array(writer, (uint32_t)answer->row_count);
}

void
api_answer_end(struct wire_writer *writer)
{
    wire_end(writer);
    wire_end(writer);
}
