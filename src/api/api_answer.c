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
};

static void
put_row(struct wire_writer *writer, const struct predict_answer *answer, size_t row)
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
api_put_answer(struct wire_writer *writer, const struct predict_answer *answer)
{
    wire_object(writer, 3);
    wire_key(writer, "model");
    wire_put_text(writer, answer->model->entry.name);
    wire_key(writer, "version");
    api_put_version(writer, answer->model->entry.version);
    wire_key(writer, "predictions");
    wire_array(writer, (uint32_t)answer->row_count);
    for (size_t row = 0; row < answer->row_count; row++) {
        put_row(writer, answer, row);
    }
    wire_end(writer);
    wire_end(writer);
}
