/* SPDX-License-Identifier: MIT */
/*
 * test_predict_batch.c - rows of several questions in one pass: each question gets the numbers that
 * xgboost published for its rows, whoever it shared the pass with.
 */
#include "world.h"

enum { ROUND = 200, ASKED_MAX = 256, CONTRIBUTIONS = WORLD_FEATURES + 1 };

static const uint64_t now_ms = 1700000000000;

static struct world world;
static struct arena arena;
static struct arena documents;
static float contributions[WORLD_ROWS][CONTRIBUTIONS];

struct asked {
    struct predict_wait wait;
    struct predict_answer answer;
    struct err err;
    int rc;
};
static struct asked asked[ASKED_MAX];

static struct predict_batch *
batch_new(size_t rows_max, size_t memory_bytes, bool is_always)
{
    struct predict_batch_options options = {
        .rows_max = rows_max, .memory_bytes = memory_bytes, .is_always = is_always};
    struct predict_batch *batch = NULL;
    struct err err = {0};

    WORLD_MUST(predict_batch_new(&options, &batch));
    return batch;
}

static struct predict_question
question_of(const char *model, unsigned outputs)
{
    return (struct predict_question){.model = bytes_of_text(model),
                                     .outputs = outputs,
                                     .flags = PREDICT_USE_CACHE,
                                     .now_wall_ms = now_ms};
}

/* Rows [first, first + count) of the published input, left to the batch if it takes them. */
static void
ask(struct asked *one, struct predict_batch *batch, struct predict_question question, size_t first,
    size_t count)
{
    static char text[64 * 1024];
    struct wire_limits limits = {
        .depth = 32, .values = 1 << 20, .flags = WIRE_BORROW | WIRE_NONFINITE};
    struct wire_value document;
    size_t at = (size_t)snprintf(text, sizeof(text), "[");

    for (size_t row = first; row < first + count; row++) {
        for (size_t i = 0; i < WORLD_FEATURES; i++) {
            char number[WIRE_F32_TEXT_MAX] = "null";
            float value = world.rows[row][i];
            size_t len = isnan(value) ? 4 : wire_f32_to_text(value, number);
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.*s",
                                   i == 0 ? (row == first ? "[" : ",[") : ",", (int)len, number);
        }
        at += (size_t)snprintf(text + at, sizeof(text) - at, "]");
    }
    snprintf(text + at, sizeof(text) - at, "]");
    *one = (struct asked){.wait = {.batch = batch, .coming = one->wait.coming}};
    question.wait = &one->wait;
    question.data = &document;
    one->rc =
        wire_decode(WIRE_JSON, bytes_of_text(text), &limits, &documents, &document, &one->err);
    if (one->rc == 0) {
        one->rc = predict_answer(&world.context, &question, &arena, &one->answer, &one->err);
    }
    predict_end(&world.context);
    arena_reset(&documents, 1 << 20);
}

/* Fetches what waits. */
static void
fetch(struct asked *one, struct predict_batch *batch)
{
    CHECK_INT(one->rc, AUGURY_MORE);
    CHECK(one->wait.is_taken);
    one->rc = predict_batch_answer(batch, &one->wait, &arena, &one->answer, &one->err);
}

static void
end(struct predict_batch **batch)
{
    predict_end(&world.context);
    predict_batch_free(batch);
    world_flush(&world);
    arena_reset(&arena, 1 << 20);
}

static bool
is_margin(const struct asked *one, size_t i, size_t row)
{
    return one->rc == 0 && ((const float *)one->answer.margins)[i] == world.margins[row];
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void
questions_of_a_turn_are_one_pass_and_each_gets_its_own_numbers(void)
{
    struct predict_batch *batch = batch_new(PREDICT_BATCH_ROWS_MAX, 64 << 20, true);
    uint64_t passes = world_count(&world, STATS_PREDICT_BATCH_128);
    uint64_t rows = world_count(&world, STATS_PREDICT_ROWS);
    unsigned right = 0, near = 0;

    for (size_t i = 0; i < ROUND; i++) {
        ask(&asked[i], batch, question_of("nfl-wp", PREDICT_MARGIN | PREDICT_PROBABILITIES), 3 * i,
            1 + i % 3);
    }
    CHECK_INT(predict_batch_rows(batch), ROUND * 2 - 1);
    predict_batch_run(batch);
    for (size_t i = 0; i < ROUND; i++) {
        fetch(&asked[i], batch);
        CHECK_INT(asked[i].answer.row_count, 1 + i % 3);
        for (size_t row = 0; row < 1 + i % 3; row++) {
            const float *probabilities = asked[i].answer.probabilities;
            right += is_margin(&asked[i], row, 3 * i + row) ? 1 : 0;
            near += fabsf(probabilities[row * 2 + 1] - world.probabilities[3 * i + row]) < 1e-6F;
        }
        CHECK(asked[i].answer.has_used_cache);
        CHECK_INT(asked[i].answer.hits, 0);
        CHECK(asked[i].answer.expires_wall_ms == now_ms + WORLD_TTL_S * 1000);
    }
    CHECK_INT(right, ROUND * 2 - 1);
    CHECK_INT(near, ROUND * 2 - 1);
    CHECK_INT(world_count(&world, STATS_PREDICT_BATCH_128), passes + 1);
    CHECK_INT(world_count(&world, STATS_PREDICT_ROWS), rows + ROUND * 2 - 1);
    predict_end(&world.context);
    predict_batch_reset(batch);
    /* What they left in the cache answers the next one at once. */
    world_commit(&world, now_ms);
    ask(&asked[0], batch, question_of("nfl-wp", PREDICT_MARGIN), 3, 1);
    CHECK_INT(asked[0].rc, 0);
    CHECK_INT(asked[0].answer.hits, 1);
    CHECK(is_margin(&asked[0], 0, 3));
    end(&batch);
}

static void
other_outputs_and_other_models_are_passes_of_their_own(void)
{
    struct predict_batch *batch = batch_new(PREDICT_BATCH_ROWS_MAX, 64 << 20, true);
    struct predict_question explained = question_of("nfl-wp", PREDICT_CONTRIBUTIONS);
    struct predict_question top = explained;
    uint64_t passes = world_count(&world, STATS_PREDICT_BATCH_4);
    unsigned near = 0;

    top.top_k = 2;
    top.also = PREDICT_MARGIN;
    for (size_t i = 0; i < 5; i++) {
        ask(&asked[4 * i], batch, question_of("nfl-wp", PREDICT_MARGIN), i, 1);
        ask(&asked[4 * i + 1], batch, explained, i, 1);
        ask(&asked[4 * i + 2], batch, top, i, 1);
        ask(&asked[4 * i + 3], batch, question_of("nfl-wp@1", PREDICT_MARGIN), i, 1);
        CHECK_INT(asked[4 * i + 3].rc, AUGURY_NOT_FOUND); /* no name of a model */
    }
    predict_batch_run(batch);
    for (size_t i = 0; i < 5; i++) {
        fetch(&asked[4 * i], batch);
        fetch(&asked[4 * i + 1], batch);
        fetch(&asked[4 * i + 2], batch);
        CHECK(is_margin(&asked[4 * i], 0, i));
        CHECK(asked[4 * i].answer.contributions == NULL);
        const float *values = asked[4 * i + 1].answer.contributions;
        for (size_t k = 0; k < CONTRIBUTIONS; k++) {
            near += fabsf(values[k] - contributions[i][k]) < 1e-4F ? 1 : 0;
        }
        CHECK(asked[4 * i + 1].answer.margins == NULL);
        CHECK(asked[4 * i + 1].answer.top == NULL);
        /* The two largest of the same. */
        values = asked[4 * i + 2].answer.contributions;
        const uint32_t *best = asked[4 * i + 2].answer.top;
        CHECK(is_margin(&asked[4 * i + 2], 0, i));
        for (size_t k = 0; k < WORLD_FEATURES; k++) {
            bool is_best = k == best[0] || k == best[1];
            CHECK(is_best || (fabsf(values[k]) <= fabsf(values[best[0]]) &&
                              fabsf(values[k]) <= fabsf(values[best[1]])));
        }
    }
    CHECK_INT(near, 5 * CONTRIBUTIONS);
    CHECK_INT(world_count(&world, STATS_PREDICT_BATCH_4), passes + 3);
    end(&batch);
}

static void
a_wrong_question_is_refused_and_the_others_are_not_concerned(void)
{
    struct predict_batch *batch = batch_new(PREDICT_BATCH_ROWS_MAX, 64 << 20, true);
    struct predict_question wrong = question_of("nfl-wp", PREDICT_INTERVAL);

    ask(&asked[0], batch, question_of("nfl-wp", PREDICT_MARGIN), 0, 1);
    ask(&asked[1], batch, wrong, 1, 1);
    ask(&asked[2], batch, question_of("nothing", PREDICT_MARGIN), 1, 1);
    wrong.outputs = PREDICT_MARGIN;
    wrong.flags |= PREDICT_ONLY_CACHED;
    ask(&asked[3], batch, wrong, 1, 1);
    ask(&asked[4], batch, question_of("nfl-wp", PREDICT_MARGIN), 2, 2);
    CHECK_INT(asked[1].rc, AUGURY_ERR_UNSUPPORTED);
    CHECK_INT(asked[2].rc, AUGURY_NOT_FOUND);
    CHECK_INT(asked[3].rc, AUGURY_ERR_TIMEOUT);
    predict_batch_run(batch);
    fetch(&asked[0], batch);
    fetch(&asked[4], batch);
    CHECK(is_margin(&asked[0], 0, 0));
    CHECK(is_margin(&asked[4], 0, 2));
    CHECK(is_margin(&asked[4], 1, 3));
    end(&batch);
}

static void
without_memory_for_all_each_is_answered_alone(void)
{
    struct predict_batch *batch = batch_new(PREDICT_BATCH_ROWS_MAX, 16 << 10, true);

    for (size_t i = 0; i < 64; i++) {
        ask(&asked[i], batch, question_of("nfl-wp", PREDICT_MARGIN | PREDICT_LEAF), i, 1);
    }
    predict_batch_run(batch);
    for (size_t i = 0; i < 64; i++) {
        fetch(&asked[i], batch);
        CHECK(is_margin(&asked[i], 0, i));
    }
    end(&batch);
}

/* One whose time is over, one with an hour, one without a limit; then one whose time is over
 * alone. */
static void
each_question_has_its_own_time(void)
{
    struct predict_batch *batch = batch_new(PREDICT_BATCH_ROWS_MAX, 64 << 20, true);
    struct predict_question late = question_of("nfl-wp", PREDICT_MARGIN);
    struct predict_question patient = late;
    uint64_t errors = world_count(&world, STATS_PREDICT_ERRORS);

    late.deadline_mono_ns = 1;
    patient.deadline_mono_ns = clock_mono_ns() + UINT64_C(3600000000000);
    ask(&asked[0], batch, late, 0, 2);
    ask(&asked[1], batch, patient, 2, 1);
    predict_batch_run(batch);
    fetch(&asked[0], batch);
    fetch(&asked[1], batch);
    CHECK_INT(asked[0].rc, AUGURY_ERR_TIMEOUT);
    CHECK_TEXT(asked[0].err.code, "timeout");
    CHECK_CONTAINS(asked[0].err.reason, "its 2 rows were evaluated with 1 of others");
    CHECK(is_margin(&asked[1], 0, 2));
    CHECK_INT(world_count(&world, STATS_PREDICT_ERRORS), errors + 1);
    end(&batch);

    batch = batch_new(PREDICT_BATCH_ROWS_MAX, 64 << 20, true);
    ask(&asked[0], batch, late, 3, 1);
    ask(&asked[1], batch, question_of("nfl-wp", PREDICT_MARGIN), 4, 1);
    predict_batch_run(batch);
    fetch(&asked[0], batch);
    fetch(&asked[1], batch);
    CHECK_INT(asked[0].rc, AUGURY_ERR_TIMEOUT);
    CHECK(is_margin(&asked[1], 0, 4));
    end(&batch);

    batch = batch_new(PREDICT_BATCH_ROWS_MAX, 64 << 20, true);
    uint64_t rows = world_count(&world, STATS_PREDICT_ROWS_EVALUATED);
    ask(&asked[0], batch, late, 5, 1);
    predict_batch_run(batch);
    fetch(&asked[0], batch);
    CHECK_INT(asked[0].rc, AUGURY_ERR_TIMEOUT);
    CHECK_INT(world_count(&world, STATS_PREDICT_ROWS_EVALUATED), rows);
    CHECK_INT(predict_batch_model_key(batch, &asked[0].wait),
              stats_model_key(bytes_of_text("nfl-wp"), 1));
    end(&batch);
}

static void
no_more_wait_than_may(void)
{
    struct predict_batch *batch = batch_new(4, 64 << 20, true);

    ask(&asked[0], batch, question_of("nfl-wp", PREDICT_MARGIN), 0, 3);
    ask(&asked[1], batch, question_of("nfl-wp", PREDICT_MARGIN), 3, 2);
    CHECK_INT(asked[1].rc, 0);
    CHECK(!asked[1].wait.is_taken);
    CHECK(is_margin(&asked[1], 1, 4));
    ask(&asked[2], batch, question_of("nfl-wp", PREDICT_MARGIN), 5, 1);
    predict_batch_run(batch);
    fetch(&asked[0], batch);
    fetch(&asked[2], batch);
    CHECK(is_margin(&asked[0], 2, 2));
    CHECK(is_margin(&asked[2], 0, 5));
    end(&batch);
}

/* Contributions take a microsecond and more everywhere, and what they take together is not known
 * yet. */
static void
who_is_alone_does_not_wait_and_who_is_not_does_when_it_takes_long(void)
{
    struct predict_batch *batch = batch_new(PREDICT_BATCH_ROWS_MAX, 64 << 20, false);
    struct predict_question explained = question_of("nfl-wp", PREDICT_CONTRIBUTIONS);

    for (size_t i = 0; i < 8; i++) {
        asked[i].wait.coming = 0;
        ask(&asked[i], batch, explained, i, 1);
        CHECK_INT(asked[i].rc, 0);
    }
    asked[8].wait.coming = 40;
    ask(&asked[8], batch, explained, 8, 1);
    CHECK_INT(asked[8].rc, AUGURY_MORE);
    predict_batch_run(batch);
    fetch(&asked[8], batch);
    CHECK_INT(asked[8].rc, 0);
    end(&batch);
}

static void
a_version_that_goes_meanwhile_is_said_to_have_gone(void)
{
    struct predict_batch *batch = batch_new(PREDICT_BATCH_ROWS_MAX, 64 << 20, true);
    struct err err = {0};

    world_import(&world, "going", NULL);
    ask(&asked[0], batch, question_of("going", PREDICT_MARGIN), 0, 1);
    ask(&asked[1], batch, question_of("nfl-wp", PREDICT_MARGIN), 1, 1);
    WORLD_MUST(registry_unload(world.registry, "going", 1, &err));
    predict_batch_run(batch);
    fetch(&asked[0], batch);
    fetch(&asked[1], batch);
    CHECK_INT(asked[0].rc, AUGURY_NOT_FOUND);
    CHECK(is_margin(&asked[1], 0, 1));
    end(&batch);
}

static void
sizes_of_passes_are_powers_of_two(void)
{
    CHECK_INT(predict_batch_size_of(1), 0);
    CHECK_INT(predict_batch_size_of(2), 1);
    CHECK_INT(predict_batch_size_of(3), 1);
    CHECK_INT(predict_batch_size_of(64), 6);
    CHECK_INT(predict_batch_size_of(127), 6);
    CHECK_INT(predict_batch_size_of(128), 7);
    CHECK_INT(predict_batch_size_of(PREDICT_BATCH_ROWS_MAX), 7);
}

static void
read_contributions(void)
{
    FILE *file = world_open("xgb174_contributions.tsv");
    char line[1024];

    for (size_t row = 0; row < WORLD_ROWS && fgets(line, sizeof(line), file) != NULL; row++) {
        char *cell = line;
        for (size_t i = 0; i < CONTRIBUTIONS; i++) {
            contributions[row][i] = strtof(cell, &cell);
        }
    }
    fclose(file);
}

int
main(void)
{
    world_init(&world);
    read_contributions();
    if (arena_init(&arena, 64 << 20) != 0 || arena_init(&documents, 64 << 20) != 0) {
        printf("Bail out! no memory\n");
        return 1;
    }
    TAP_RUN(sizes_of_passes_are_powers_of_two);
    TAP_RUN(questions_of_a_turn_are_one_pass_and_each_gets_its_own_numbers);
    TAP_RUN(other_outputs_and_other_models_are_passes_of_their_own);
    TAP_RUN(a_wrong_question_is_refused_and_the_others_are_not_concerned);
    TAP_RUN(without_memory_for_all_each_is_answered_alone);
    TAP_RUN(each_question_has_its_own_time);
    TAP_RUN(no_more_wait_than_may);
    TAP_RUN(who_is_alone_does_not_wait_and_who_is_not_does_when_it_takes_long);
    TAP_RUN(a_version_that_goes_meanwhile_is_said_to_have_gone);
    world_fini(&world);
    arena_fini(&arena);
    arena_fini(&documents);
    return tap_done();
}
