/* SPDX-License-Identifier: MIT */
/* test_replay.c - known answers: agreed with, or refused with row, output and both numbers. */
#include "fixture.h"

#include "../../../src/model/replay.h"

/* stump.json: x0 < 0.5 gives 1, else and missing 2. */
static const double rows[] = {0.25, 0.0, 0.5, 0.0, NAN, 0.0};

static int
replay_stump(const double *expected, double tolerance, struct err *err)
{
    struct fixture f = fixture_of_file("stump.json", NULL);
    const struct replay replay = {
        .code = "golden_mismatch",
        .row_count = 3,
        .rows = rows,
        .expected = expected,
        .tolerance = tolerance,
    };
    struct arena arena;

    AUGURY_ASSERT(f.rc == 0 && arena_init(&arena, (size_t)1 << 20) == 0);
    int rc = replay_run(&f.model, &replay, &arena, err);
    AUGURY_ASSERT(arena.used == 0);
    arena_fini(&arena);
    fixture_close(&f);
    return rc;
}

static void
right_answers_pass(void)
{
    const double expected[] = {1.0, 2.0, 2.0};
    struct err err;

    CHECK_INT(replay_stump(expected, 0.0, &err), 0);
}

static void
a_wrong_answer_is_refused_with_its_row_and_both_numbers(void)
{
    const double expected[] = {1.0, 2.0, 1.5};
    struct err err;

    CHECK_INT(replay_stump(expected, 1e-6, &err), AUGURY_ERR_INVALID);
    CHECK_TEXT(err.code, "golden_mismatch");
    CHECK_TEXT(err.at, "row 2, output 0");
    CHECK_CONTAINS(err.reason, "expected 1.5, got 2");
    CHECK_CONTAINS(err.reason, "differ by 0.5");
    CHECK_CONTAINS(err.reason, "1 of 3 rows");
}

static void
the_tolerance_is_a_share_of_the_answer_or_of_the_columns_median(void)
{
    const double near[] = {1.0019, 2.0, 2.0};
    const double far[] = {1.0021, 2.0, 2.0};
    const double huge[] = {1.5, 2.0, 1e12};
    struct err err;

    CHECK_INT(replay_stump(huge, 1e-3, &err), AUGURY_ERR_INVALID);
    CHECK_TEXT(err.at, "row 0, output 0");

    CHECK_INT(replay_stump(near, 1e-3, &err), 0);
    CHECK_INT(replay_stump(far, 1e-3, &err), AUGURY_ERR_INVALID);
    CHECK_TEXT(err.at, "row 0, output 0");
}

static void
an_unknown_answer_is_not_compared_and_an_infinite_one_is(void)
{
    const double unknown[] = {1.0, NAN, 2.0};
    const double infinite[] = {1.0, INFINITY, 2.0};
    struct err err;

    CHECK_INT(replay_stump(unknown, 1e-6, &err), 0);
    CHECK_INT(replay_stump(infinite, 1e-6, &err), AUGURY_ERR_INVALID);
    CHECK_TEXT(err.at, "row 1, output 0");
}

static void
probabilities_that_a_model_does_not_give_are_refused(void)
{
    struct fixture f = fixture_of_file("stump.json", NULL);
    const struct replay replay = {.code = "self_test_failed", .output = REPLAY_PROBABILITIES};
    struct arena arena;
    struct err err;

    CHECK_INT(arena_init(&arena, (size_t)1 << 20), 0);
    CHECK_INT(replay_run(&f.model, &replay, &arena, &err), AUGURY_ERR_INVALID);
    CHECK_TEXT(err.code, "self_test_failed");
    CHECK_CONTAINS(err.reason, "probabilities");
    arena_fini(&arena);
    fixture_close(&f);
}

int
main(void)
{
    TAP_RUN(right_answers_pass);
    TAP_RUN(a_wrong_answer_is_refused_with_its_row_and_both_numbers);
    TAP_RUN(the_tolerance_is_a_share_of_the_answer_or_of_the_columns_median);
    TAP_RUN(an_unknown_answer_is_not_compared_and_an_infinite_one_is);
    TAP_RUN(probabilities_that_a_model_does_not_give_are_refused);
    return tap_done();
}
