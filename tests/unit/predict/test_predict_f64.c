/* SPDX-License-Identifier: MIT */
/*
 * test_predict_f64.c - questions to a model of float64: values keep what a float32 would lose, in
 * the row, in the key, in the cache and in the answer.
 */
#include "world_f64.h"

static const uint64_t now_ms = 1700000000000;

static struct world world;
static struct arena arena;

struct reply {
    int rc;
    struct predict_answer answer;
    struct err err;
};

static struct reply
ask(const char *text, unsigned flags)
{
    struct wire_limits limits = {.depth = 32, .values = 1 << 20, .flags = WIRE_NONFINITE};
    struct reply reply = {0};
    struct wire_value document;

    predict_end(&world.context);
    arena_reset(&arena, 1 << 20);
    reply.rc = wire_decode(WIRE_JSON, bytes_of_text(text), &limits, &arena, &document, &reply.err);
    if (reply.rc != 0) {
        return reply;
    }
    struct predict_question question = {
        .model = bytes_of_text("strict"),
        .selector = bytes_of_text("2"),
        .features = wire_member(&document, "features"),
        .rows = wire_member(&document, "rows"),
        .data = wire_member(&document, "data"),
        .outputs = PREDICT_MARGIN | PREDICT_PREDICTION,
        .flags = flags,
        .now_wall_ms = now_ms,
    };
    reply.rc = predict_answer(&world.context, &question, &arena, &reply.answer, &reply.err);
    return reply;
}

static double
margin_at(const struct reply *reply, size_t i)
{
    return ((const double *)reply->answer.margins)[i];
}

static void
a_value_between_two_floats_is_compared_as_it_is(void)
{
    struct reply reply = ask("{\"data\":[[0.1,1],[0.09999999999999999,1],[null,1]]}", 0);

    CHECK_INT(reply.rc, 0);
    CHECK(margin_at(&reply, 0) == F64_STUMP_BASE + F64_STUMP_RIGHT);
    CHECK(margin_at(&reply, 1) == F64_STUMP_BASE + F64_STUMP_LEFT);
    CHECK(margin_at(&reply, 2) == F64_STUMP_BASE + F64_STUMP_LEFT);
    CHECK(((const double *)reply.answer.predictions)[1] == F64_STUMP_BASE + F64_STUMP_LEFT);
}

static void
the_three_forms_and_a_cell_of_a_file_agree(void)
{
    static const char *const forms[] = {"{\"features\":{\"x\":0.09999999999999999}}",
                                        "{\"rows\":[{\"x\":9.999999999999999e-2}]}",
                                        "{\"data\":[[0.09999999999999999,null]]}"};
    const struct registry_model *found;
    double cell = 0;
    struct err err;

    for (size_t i = 0; i < AUGURY_COUNT(forms); i++) {
        struct reply reply = ask(forms[i], 0);
        CHECK_INT(reply.rc, 0);
        CHECK(margin_at(&reply, 0) == F64_STUMP_BASE + F64_STUMP_LEFT);
    }
    CHECK_INT(
        registry_find(world.registry, bytes_of_text("strict"), bytes_of_text("2"), &found, &err),
        0);
    CHECK_INT(predict_cell(&found->model, 0, bytes_of_text("0.09999999999999999"), &cell, &err), 0);
    CHECK(cell == 0.09999999999999999);
    CHECK_INT(predict_cell(&found->model, 1, bytes_of_text("9007199254740991"), &cell, &err), 0);
    CHECK(cell == 9007199254740991.0);
}

static void
what_no_float32_holds_is_a_value(void)
{
    struct reply reply = ask("{\"features\":{\"x\":1e39,\"n\":16777217}}", 0);

    CHECK_INT(reply.rc, 0);
    CHECK(margin_at(&reply, 0) == F64_STUMP_BASE + F64_STUMP_RIGHT);
}

static void
a_cell_too_large_for_a_float64_is_refused(void)
{
    const struct registry_model *found;
    double cell = 0;
    struct err err;

    CHECK_INT(ask("{\"features\":{}}", 0).rc, 0);
    CHECK_INT(
        registry_find(world.registry, bytes_of_text("strict"), bytes_of_text("2"), &found, &err),
        0);
    CHECK_INT(predict_cell(&found->model, 0, bytes_of_text("1e999"), &cell, &err),
              AUGURY_ERR_INVALID);
    CHECK(strstr(err.reason, "float64") != NULL);
}

static void
a_second_question_is_a_hit_with_the_same_double(void)
{
    world_flush(&world);
    CHECK_INT(ask("{\"features\":{\"x\":0.09999999999999999,\"n\":0}}", PREDICT_USE_CACHE).rc, 0);
    world_commit(&world, now_ms);
    struct reply again =
        ask("{\"rows\":[{\"n\":-0.0,\"x\":0.09999999999999999}]}", PREDICT_USE_CACHE);
    CHECK_INT(again.rc, 0);
    CHECK_INT(again.answer.hits, 1);
    CHECK(margin_at(&again, 0) == F64_STUMP_BASE + F64_STUMP_LEFT);
}

static void
rows_that_differ_past_a_float32_are_different_rows(void)
{
    world_flush(&world);
    CHECK_INT(ask("{\"features\":{\"x\":0.1}}", PREDICT_USE_CACHE).rc, 0);
    world_commit(&world, now_ms);
    struct reply reply =
        ask("{\"data\":[[0.09999999999999999,null],[0.1,null]]}", PREDICT_USE_CACHE);
    CHECK_INT(reply.rc, 0);
    CHECK_INT(reply.answer.hits, 1);
    CHECK(margin_at(&reply, 0) == F64_STUMP_BASE + F64_STUMP_LEFT);
    CHECK(margin_at(&reply, 1) == F64_STUMP_BASE + F64_STUMP_RIGHT);
}

static void
an_output_that_the_model_lacks_is_refused_with_the_reason(void)
{
    static const struct {
        unsigned output;
        const char *words;
    } lacking[] = {
        {PREDICT_PROBABILITIES, "no probabilities"},
        {PREDICT_CLASS, "not trained as a classifier"},
    };
    const struct registry_model *found;
    struct err err;

    CHECK_INT(ask("{\"features\":{}}", 0).rc, 0);
    CHECK_INT(
        registry_find(world.registry, bytes_of_text("strict"), bytes_of_text("2"), &found, &err),
        0);
    for (size_t i = 0; i < AUGURY_COUNT(lacking); i++) {
        CHECK((predict_outputs_of(&found->model) & lacking[i].output) == 0);
        CHECK_INT(predict_outputs_check(&found->model, PREDICT_MARGIN | lacking[i].output, &err),
                  AUGURY_ERR_UNSUPPORTED);
        CHECK_TEXT(err.code, "no_such_output");
        CHECK_TEXT(err.at, "outputs");
        CHECK_CONTAINS(err.reason, lacking[i].words);
    }
    CHECK_INT(predict_outputs_check(&found->model, predict_outputs_of(&found->model), &err), 0);
}

static void
every_output_is_found_by_its_name_and_told_in_messages(void)
{
    enum predict_outputs output;

    for (unsigned bit = 1; predict_output_name((enum predict_outputs)bit)[0] != '?'; bit <<= 1) {
        const char *name = predict_output_name((enum predict_outputs)bit);
        CHECK_INT(predict_output_find(bytes_of_text(name), &output), 0);
        CHECK_INT(output, bit);
        CHECK_CONTAINS(predict_output_names(), name);
    }
    CHECK_INT(predict_output_find(bytes_of_text("margins"), &output), AUGURY_NOT_FOUND);
}

static void
rounding_is_to_the_decimals_of_a_double(void)
{
    world.context.decimals = 3;
    struct reply reply = ask("{\"features\":{\"x\":0.0996}}", 0);
    world.context.decimals = PREDICT_NOT_ROUNDED;
    CHECK_INT(reply.rc, 0);
    CHECK(margin_at(&reply, 0) == F64_STUMP_BASE + F64_STUMP_RIGHT);
}

int
main(void)
{
    if (arena_init(&arena, 16 << 20) != 0) {
        return 1;
    }
    world_init(&world);
    world_add_f64(&world);
    TAP_RUN(a_value_between_two_floats_is_compared_as_it_is);
    TAP_RUN(the_three_forms_and_a_cell_of_a_file_agree);
    TAP_RUN(what_no_float32_holds_is_a_value);
    TAP_RUN(a_cell_too_large_for_a_float64_is_refused);
    TAP_RUN(a_second_question_is_a_hit_with_the_same_double);
    TAP_RUN(rows_that_differ_past_a_float32_are_different_rows);
    TAP_RUN(an_output_that_the_model_lacks_is_refused_with_the_reason);
    TAP_RUN(every_output_is_found_by_its_name_and_told_in_messages);
    TAP_RUN(rounding_is_to_the_decimals_of_a_double);
    predict_end(&world.context);
    world_fini(&world);
    arena_fini(&arena);
    return tap_done();
}
