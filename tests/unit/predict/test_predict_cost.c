/* SPDX-License-Identifier: MIT */
/* test_predict_cost.c - estimates from what the like of a question took. */
#include "augury/predict.h"

#include "../../tap.h"

static struct predict_question
question_of(const char *model, unsigned outputs)
{
    return (struct predict_question){.model = bytes_of_text(model), .outputs = outputs};
}

static void
nothing_is_known_of_what_was_never_asked(void)
{
    struct predict_context context = {0};
    struct predict_question question = question_of("a", PREDICT_MARGIN);
    struct predict_answer answer = {.row_count = 10};

    CHECK_INT(predict_cost_us(&context, &question), 0);
    predict_cost_learn(&context, &question, &answer, 1000000);
    struct predict_question other = question_of("b", PREDICT_MARGIN);
    struct predict_question dearer = question_of("a", PREDICT_CONTRIBUTIONS);
    CHECK_INT(predict_cost_us(&context, &question), 100);
    CHECK_INT(predict_cost_us(&context, &other), 0);
    CHECK_INT(predict_cost_us(&context, &dearer), 0);
}

static void
the_estimate_grows_with_the_rows(void)
{
    struct predict_context context = {0};
    struct predict_question question = question_of("a", 0);
    struct predict_answer answer = {.row_count = 4};
    struct wire_value rows = {.type = WIRE_ARRAY, .count = 500};
    struct wire_value text = {.type = WIRE_STRING};

    predict_cost_learn(&context, &question, &answer, 8000); /* 2 us a row */
    CHECK_INT(predict_cost_us(&context, &question), 2);
    question.rows = &rows;
    CHECK_INT(predict_cost_us(&context, &question), 1000);
    question.rows = NULL;
    question.data = &rows;
    CHECK_INT(predict_cost_us(&context, &question), 1000);
    question.data = &text; /* will be refused */
    CHECK_INT(predict_cost_us(&context, &question), 2);
}

static void
rows_from_the_cache_teach_nothing(void)
{
    struct predict_context context = {0};
    struct predict_question question = question_of("a", 0);
    struct predict_answer cached = {.row_count = 10, .hits = 10};
    struct predict_answer half = {.row_count = 10, .hits = 9};

    predict_cost_learn(&context, &question, &cached, 1000000);
    CHECK_INT(predict_cost_us(&context, &question), 0);
    predict_cost_learn(&context, &question, &half, 70000);
    CHECK_INT(predict_cost_us(&context, &question), 70);
}

static void
the_mean_follows_slowly(void)
{
    struct predict_context context = {0};
    struct predict_question question = question_of("a", 0);
    struct predict_answer answer = {.row_count = 1};

    predict_cost_learn(&context, &question, &answer, 80000);
    predict_cost_learn(&context, &question, &answer, 0);
    CHECK_INT(predict_cost_us(&context, &question), 70);
    for (int i = 0; i < 100; i++) {
        predict_cost_learn(&context, &question, &answer, 1000);
    }
    CHECK_INT(predict_cost_us(&context, &question), 1);
}

int
main(void)
{
    TAP_RUN(nothing_is_known_of_what_was_never_asked);
    TAP_RUN(the_estimate_grows_with_the_rows);
    TAP_RUN(rows_from_the_cache_teach_nothing);
    TAP_RUN(the_mean_follows_slowly);
    return tap_done();
}
