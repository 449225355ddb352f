/* SPDX-License-Identifier: MIT */
/*
 * test_predict_warm.c - rows behind their margins, and what a second version finds of the first
 * one's. Margins are those that xgboost published; the second version ends one tree earlier.
 */
#include "world.h"

static const uint64_t now_ms = 1700000000000;

static struct world world;
static struct arena arena;
static struct arena documents;

struct reply {
    int rc;
    struct predict_answer answer;
    struct err err;
};

static struct reply
ask(const char *model, const char *version, size_t row)
{
    char text[4096] = "[[";
    struct wire_limits limits = {
        .depth = 32, .values = 1 << 20, .flags = WIRE_BORROW | WIRE_NONFINITE};
    struct reply reply = {0};
    struct wire_value document;
    size_t at = 2;

    for (size_t i = 0; i < WORLD_FEATURES; i++) {
        char number[WIRE_F32_TEXT_MAX] = "null";
        float value = world.rows[row][i];
        size_t len = isnan(value) ? 4 : wire_f32_to_text(value, number);
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.*s", i == 0 ? "" : ",", (int)len,
                               number);
    }
    snprintf(text + at, sizeof(text) - at, "]]");
    predict_end(&world.context);
    arena_reset(&documents, 1 << 20);
    reply.rc =
        wire_decode(WIRE_JSON, bytes_of_text(text), &limits, &documents, &document, &reply.err);
    struct predict_question question = {.model = bytes_of_text(model),
                                        .selector = bytes_of_text(version),
                                        .data = &document,
                                        .outputs = PREDICT_MARGIN,
                                        .flags = PREDICT_USE_CACHE,
                                        .now_wall_ms = now_ms};
    if (reply.rc == 0) {
        reply.rc = predict_answer(&world.context, &question, &arena, &reply.answer, &reply.err);
    }
    return reply;
}

static bool
is_hit(const char *version, size_t row)
{
    return ask("nfl-wp", version, row).answer.hits == 1;
}

static void
begin(bool keeps_rows)
{
    predict_end(&world.context);
    world_flush(&world);
    arena_reset(&arena, 1 << 20);
    world.context.keeps_rows = keeps_rows;
}

/* Rows [0, count) asked of version 1, each `times` times. */
static void
heat(size_t count, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        for (size_t row = 0; row < count; row++) {
            CHECK_INT(ask("nfl-wp", "1", row).rc, 0);
        }
        world_commit(&world, now_ms);
    }
    predict_end(&world.context);
}

static int
warm_new(const char *to, uint32_t max, struct predict_warm **out_warm, struct err *err)
{
    struct predict_warm_options options = {.registry = world.registry,
                                           .cache = world.cache,
                                           .model = "nfl-wp",
                                           .from = bytes_of_text("1"),
                                           .to = bytes_of_text(to),
                                           .ttl_s = WORLD_TTL_S,
                                           .rows_max = max};
    return predict_warm_new(&options, out_warm, err);
}

static void
import_second(const char *names, const char *name, const char *schema)
{
    struct model_import_options options = {
        .names = names, .iteration_begin = 0, .iteration_end = 3};
    struct registry_entry entry;
    struct buf file;
    struct err err;

    if (schema != NULL) {
        options.names = NULL;
        options.schema = bytes_of_text(schema);
    }
    world_read_model(&file);
    struct registry_import import = {
        .name = name, .file = buf_view(&file), .options = &options, .now_wall_ms = now_ms};
    WORLD_MUST(registry_import(world.registry, &import, &entry, &err));
    buf_fini(&file);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void
a_hit_reads_the_words_before_the_row_alone(void)
{
    begin(true);
    heat(20, 2);
    for (size_t row = 0; row < 20; row++) {
        struct reply reply = ask("nfl-wp", "1", row);
        CHECK_INT(reply.answer.hits, 1);
        CHECK(((const float *)reply.answer.margins)[0] == world.margins[row]);
    }
    /* One that was kept without its row is an answer too, and the other way round. */
    world.context.keeps_rows = false;
    CHECK(is_hit("1", 3));
    begin(false);
    heat(5, 1);
    world.context.keeps_rows = true;
    CHECK(is_hit("1", 3));
    predict_end(&world.context);
}

static void
rows_that_were_asked_for_are_there_for_the_next_version(void)
{
    struct predict_warm *warm = NULL;
    struct err err;
    float cold[50];

    begin(true);
    heat(100, 1); /* asked for once: nobody has come back for them */
    heat(50, 2);
    world.context.cache = NULL;
    for (size_t row = 0; row < 50; row++) {
        struct reply reply = ask("nfl-wp", "2", row);
        cold[row] = ((const float *)reply.answer.margins)[0];
    }
    world.context.cache = world.cache;
    CHECK(cold[0] != world.margins[0]);
    predict_end(&world.context);

    CHECK_INT(warm_new("2", 1000, &warm, &err), 0);
    CHECK_INT(predict_warm_count(warm), 50);
    CHECK_INT(predict_warm_slice(warm, 20, now_ms, &err), 0);
    CHECK_INT(predict_warm_done(warm), 20);
    CHECK_INT(predict_warm_slice(warm, 20, now_ms, &err), 0);
    CHECK_INT(predict_warm_slice(warm, 20, now_ms, &err), AUGURY_END);
    CHECK_INT(predict_warm_done(warm), 50);
    predict_warm_free(&warm);
    world_commit(&world, now_ms);
    for (size_t row = 0; row < 50; row++) {
        struct reply reply = ask("nfl-wp", "2", row);
        CHECK_INT(reply.answer.hits, 1);
        CHECK(((const float *)reply.answer.margins)[0] == cold[row]);
    }
    CHECK(!is_hit("2", 70));
    predict_end(&world.context);
}

static void
no_more_rows_than_allowed_and_the_hottest_first(void)
{
    struct predict_warm *warm = NULL;
    struct err err;

    begin(true);
    heat(40, 2);
    heat(7, 2);
    CHECK_INT(warm_new("2", 7, &warm, &err), 0);
    CHECK_INT(predict_warm_count(warm), 7);
    CHECK_INT(predict_warm_slice(warm, 1000, now_ms, &err), AUGURY_END);
    predict_warm_free(&warm);
    world_commit(&world, now_ms);
    for (size_t row = 0; row < 7; row++) {
        CHECK(is_hit("2", row));
    }
    CHECK(!is_hit("2", 8));
    predict_end(&world.context);
}

static void
an_invalidation_after_a_slice_holds_for_it(void)
{
    struct predict_warm *warm = NULL;
    struct err err;

    begin(true);
    heat(5, 2);
    CHECK_INT(warm_new("2", 7, &warm, &err), 0);
    CHECK_INT(predict_warm_slice(warm, 1000, now_ms, &err), AUGURY_END);
    CHECK_INT(cache_keeper_invalidate_tag(world.cache, bytes_of_text("nfl-wp")), 0);
    predict_warm_free(&warm);
    world_commit(&world, now_ms);
    CHECK(!is_hit("2", 0));
    predict_end(&world.context);
}

static void
nothing_is_warmed_and_why(void)
{
    struct predict_warm *warm = NULL;
    struct err err;

    begin(true);
    heat(5, 2);
    CHECK_INT(warm_new("1", 7, &warm, &err), AUGURY_NOT_FOUND);
    CHECK(strstr(err.reason, "there already") != NULL);
    CHECK_INT(warm_new("3", 7, &warm, &err), AUGURY_NOT_FOUND);
    CHECK(strstr(err.reason, "same features") != NULL);
    CHECK_INT(warm_new("9", 7, &warm, &err), AUGURY_NOT_FOUND);
    begin(false);
    heat(5, 2);
    CHECK_INT(warm_new("2", 7, &warm, &err), AUGURY_NOT_FOUND);
    CHECK(strstr(err.reason, "no rows") != NULL);
    CHECK(warm == NULL);
}

static void
a_version_that_is_taken_out_ends_the_warming(void)
{
    struct predict_warm *warm = NULL;
    struct err err = {0};

    begin(true);
    heat(5, 2);
    CHECK_INT(warm_new("2", 7, &warm, &err), 0);
    WORLD_MUST(registry_unload(world.registry, "nfl-wp", 2, &err));
    CHECK_INT(predict_warm_slice(warm, 2, now_ms, &err), AUGURY_NOT_FOUND);
    CHECK_INT(predict_warm_done(warm), 0);
    predict_warm_free(&warm);
}

int
main(void)
{
    world_init(&world);
    if (arena_init(&arena, 64 << 20) != 0 || arena_init(&documents, 64 << 20) != 0) {
        printf("Bail out! arena\n");
        return 1;
    }
    import_second(world_names, "nfl-wp", NULL);
    import_second(NULL, "nfl-wp", WORLD_SCHEMA);
    TAP_RUN(a_hit_reads_the_words_before_the_row_alone);
    TAP_RUN(rows_that_were_asked_for_are_there_for_the_next_version);
    TAP_RUN(no_more_rows_than_allowed_and_the_hottest_first);
    TAP_RUN(an_invalidation_after_a_slice_holds_for_it);
    TAP_RUN(nothing_is_warmed_and_why);
    TAP_RUN(a_version_that_is_taken_out_ends_the_warming);
    predict_end(&world.context);
    arena_fini(&arena);
    arena_fini(&documents);
    world_fini(&world);
    return tap_done();
}
