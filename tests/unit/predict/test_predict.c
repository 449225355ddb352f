/* SPDX-License-Identifier: MIT */
/*
 * test_predict.c - questions and answers. Margins are compared with those that xgboost 1.7.4
 * published for the same rows; what the cache did is read from its counters.
 */
#include "world.h"

static const uint64_t now_ms = 1700000000000;

static struct world world;
static struct arena arena;
static struct arena documents; /* of questions, as decoded */

/* ---- asking ---------------------------------------------------------------------------------- */

struct reply {
    int rc;
    struct predict_answer answer;
    struct err err;
};

/* Of the next questions. */
static uint64_t deadline_mono_ns;

/* text: the members of a question as JSON; flags and outputs come beside it. Valid until the next
 * ask(). */
static struct reply
ask(const char *model, const char *text, unsigned outputs, unsigned flags)
{
    struct wire_limits limits = {
        .depth = 32, .values = 1 << 20, .flags = WIRE_BORROW | WIRE_NONFINITE};
    struct reply reply = {0};
    struct wire_value document;

    predict_end(&world.context);
    arena_reset(&arena, 1 << 20);
    arena_reset(&documents, 1 << 20);
    reply.rc =
        wire_decode(WIRE_JSON, bytes_of_text(text), &limits, &documents, &document, &reply.err);
    if (reply.rc != 0) {
        return reply;
    }
    struct predict_question question = {
        .model = bytes_of_text(model),
        .features = wire_member(&document, "features"),
        .rows = wire_member(&document, "rows"),
        .columns = wire_member(&document, "columns"),
        .data = wire_member(&document, "data"),
        .outputs = outputs,
        .flags = flags,
        .now_wall_ms = now_ms,
        .deadline_mono_ns = deadline_mono_ns,
    };
    reply.rc = predict_answer(&world.context, &question, &arena, &reply.answer, &reply.err);
    return reply;
}

/* Rows [first, first + count) of the published input as {"data":[[…]]}. */
static const char *
data_of_rows(size_t first, size_t count)
{
    static char text[256 * 1024];
    size_t at = (size_t)snprintf(text, sizeof(text), "{\"data\":[");

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
    snprintf(text + at, sizeof(text) - at, "]}");
    return text;
}

static bool
same_bits(float a, float b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

static float
margin_at(const struct reply *reply, size_t i)
{
    return ((const float *)reply->answer.margins)[i];
}

/* ---- right questions ------------------------------------------------------------------------- */

static void
margins_of_the_published_rows_are_those_of_xgboost_bit_for_bit(void)
{
    struct reply reply =
        ask("nfl-wp", data_of_rows(0, WORLD_ROWS), PREDICT_MARGIN | PREDICT_PREDICTION, 0);

    CHECK_INT(reply.rc, 0);
    CHECK_INT(reply.answer.row_count, WORLD_ROWS);
    for (size_t i = 0; i < WORLD_ROWS; i++) {
        CHECK(same_bits(margin_at(&reply, i), world.margins[i]));
        CHECK(same_bits(((const float *)reply.answer.predictions)[i], world.probabilities[i]));
    }
}

static void
the_class_is_the_more_probable_one(void)
{
    struct reply reply = ask("nfl-wp", data_of_rows(0, WORLD_ROWS), PREDICT_CLASS, 0);
    size_t ones = 0;

    CHECK_INT(reply.rc, 0);
    CHECK(reply.answer.predictions == NULL);
    for (size_t i = 0; i < WORLD_ROWS; i++) {
        CHECK_INT(reply.answer.classes[i], world.probabilities[i] > 0.5f ? 1 : 0);
        ones += reply.answer.classes[i];
    }
    CHECK(ones > 0 && ones < WORLD_ROWS);
}

static void
the_three_forms_of_a_row_give_one_answer(void)
{
    static const char *const forms[] = {
        "{\"features\":{\"down\":3,\"ydstogo\":7.5,\"home\":true}}",
        "{\"features\":{\"home\":1,\"ydstogo\":7.50,\"down\":3.0,\"yardline_100\":null}}",
        "{\"rows\":[{\"ydstogo\":75e-1,\"down\":3,\"home\":1}]}",
        "{\"columns\":[\"home\",\"down\",\"ydstogo\"],\"data\":[[true,3,7.5]]}",
        "{\"data\":[[null,1,null,null,NaN,null,3,7.5,null,null,null]]}",
    };
    float first = 0;

    for (size_t i = 0; i < AUGURY_COUNT(forms); i++) {
        struct reply reply = ask("nfl-wp", forms[i], PREDICT_MARGIN, 0);
        CHECK_INT(reply.rc, 0);
        CHECK_INT(reply.answer.row_count, 1);
        first = i == 0 ? margin_at(&reply, 0) : first;
        CHECK(same_bits(margin_at(&reply, 0), first));
    }
}

static void
named_levels_and_their_codes_are_the_same_value(void)
{
    struct reply named =
        ask("strict", "{\"features\":{\"down\":1,\"receive_2h_ko\":\"yes\"}}", PREDICT_MARGIN, 0);
    CHECK_INT(named.rc, 0);
    float margin = margin_at(&named, 0);
    struct reply coded =
        ask("nfl-wp", "{\"features\":{\"down\":1,\"receive_2h_ko\":1}}", PREDICT_MARGIN, 0);
    CHECK_INT(coded.rc, 0);
    CHECK(same_bits(margin_at(&coded, 0), margin));
}

static void
no_rows_are_no_predictions(void)
{
    struct reply reply = ask("nfl-wp", "{\"rows\":[]}", 0, PREDICT_USE_CACHE);

    CHECK_INT(reply.rc, 0);
    CHECK_INT(reply.answer.row_count, 0);
}

static void
unknown_features_are_dropped_when_asked_to(void)
{
    struct reply plain = ask("nfl-wp", "{\"features\":{\"down\":2}}", PREDICT_MARGIN, 0);
    CHECK_INT(plain.rc, 0);
    float margin = margin_at(&plain, 0);
    struct reply extra = ask("nfl-wp", "{\"columns\":[\"id\",\"down\"],\"data\":[[\"x\",2]]}",
                             PREDICT_MARGIN, PREDICT_IGNORE_UNKNOWN);
    CHECK_INT(extra.rc, 0);
    CHECK(same_bits(margin_at(&extra, 0), margin));
}

static void
infinity_is_a_value(void)
{
    struct reply reply = ask("nfl-wp", "{\"features\":{\"down\":-Infinity}}", PREDICT_MARGIN, 0);

    CHECK_INT(reply.rc, 0);
}

/* ---- wrong questions ------------------------------------------------------------------------- */

static const struct {
    const char *model, *text, *code, *at, *words;
} wrong[] = {
    {"nfl-wp", "{}", "invalid_request", "", "exactly one"},
    {"nfl-wp", "{\"features\":{},\"rows\":[]}", "invalid_request", "", "exactly one"},
    {"nfl-wp", "{\"columns\":[]}", "invalid_request", "", "exactly one"},
    {"nfl-wp", "{\"rows\":[],\"columns\":[]}", "invalid_request", "", "goes with"},
    {"nfl-wp", "{\"features\":[]}", "invalid_request", "features", "an object"},
    {"nfl-wp", "{\"rows\":{}}", "invalid_request", "rows", "an array"},
    {"nfl-wp", "{\"data\":7}", "invalid_request", "data", "an array"},
    {"nfl-wp", "{\"rows\":[{},[1]]}", "invalid_request", "rows[1]", "an object"},
    {"nfl-wp", "{\"data\":[{}]}", "invalid_request", "data[0]", "an array"},
    {"nfl-wp", "{\"columns\":[1],\"data\":[]}", "invalid_request", "columns[0]", "name"},
    {"nfl-wp", "{\"features\":{\"down\":\"seven\"}}", "invalid_feature", "features.down",
     "expected a number, got \"seven\""},
    {"nfl-wp", "{\"features\":{\"down\":\"NaN\"}}", "invalid_feature", "features.down", "\"NaN\""},
    {"nfl-wp", "{\"features\":{\"down\":[]}}", "invalid_feature", "features.down", "an array"},
    {"nfl-wp", "{\"features\":{\"down\":1e39}}", "invalid_feature", "features.down", "float32"},
    {"nfl-wp", "{\"rows\":[{},{},{},{\"ydstogo\":\"x\"}]}", "invalid_feature", "rows[3].ydstogo",
     "ydstogo"},
    {"nfl-wp", "{\"columns\":[\"down\",\"home\"],\"data\":[[1,2],[1,2],[1,{}]]}", "invalid_feature",
     "data[2][1]", "\"home\""},
    {"nfl-wp", "{\"features\":{\"dwn\":3}}", "unknown_feature", "features.dwn",
     "did you mean \"down\"?"},
    {"nfl-wp", "{\"rows\":[{},{\"colour\":3}]}", "unknown_feature", "rows[1].colour",
     "ignore_unknown"},
    {"nfl-wp", "{\"columns\":[\"down\",\"yardline_10\"],\"data\":[]}", "unknown_feature",
     "columns[1]", "yardline_100"},
    {"nfl-wp", "{\"columns\":[\"down\",\"home\",\"down\"],\"data\":[]}", "duplicate_feature",
     "columns[2]", "down"},
    {"nfl-wp", "{\"columns\":[\"down\"],\"data\":[[1],[1,2]]}", "invalid_shape", "data[1]", "2"},
    {"nfl-wp", "{\"data\":[[1]]}", "invalid_shape", "data[0]", "11"},
    {"strict", "{\"features\":{}}", "missing_feature", "features.down", "\"down\""},
    {"strict", "{\"features\":{\"down\":null}}", "missing_feature", "features.down", "down"},
    {"strict", "{\"rows\":[{\"down\":1},{\"home\":1}]}", "missing_feature", "rows[1].down", "down"},
    {"strict", "{\"columns\":[\"home\"],\"data\":[[1]]}", "missing_feature", "data[0]", "down"},
    {"strict", "{\"columns\":[\"down\"],\"data\":[[1],[null]]}", "missing_feature", "data[1][0]",
     "down"},
    {"strict", "{\"features\":{\"down\":1.5}}", "invalid_feature", "features.down", "whole"},
    {"strict", "{\"features\":{\"down\":Infinity}}", "invalid_feature", "features.down", "whole"},
    {"strict", "{\"features\":{\"home\":2}}", "invalid_feature", "features.home", "true, false"},
    {"strict", "{\"features\":{\"receive_2h_ko\":\"maybe\"}}", "invalid_category",
     "features.receive_2h_ko", "2 levels (\"no\", \"yes\"), got \"maybe\""},
    {"strict", "{\"features\":{\"receive_2h_ko\":2}}", "invalid_category", "features.receive_2h_ko",
     "got 2"},
    {"strict", "{\"features\":{\"receive_2h_ko\":true}}", "invalid_category",
     "features.receive_2h_ko", "got true"},
    {"nfl", "{\"features\":{}}", "model_not_found", "", "nfl-wp"},
};

static void
every_wrong_question_is_refused_with_its_code_and_place(void)
{
    for (size_t i = 0; i < AUGURY_COUNT(wrong); i++) {
        struct reply reply = ask(wrong[i].model, wrong[i].text, 0, PREDICT_USE_CACHE);
        if (reply.rc == 0 || strcmp(reply.err.code, wrong[i].code) != 0 ||
            strcmp(reply.err.at, wrong[i].at) != 0 ||
            strstr(reply.err.reason, wrong[i].words) == NULL) {
            TAP_FAIL("%s: rc %d, %s at \"%s\": %s", wrong[i].text, reply.rc, reply.err.code,
                     reply.err.at, reply.err.reason);
        }
        CHECK_INT(reply.err.rc, reply.rc);
    }
}

static void
more_rows_than_allowed_are_refused(void)
{
    world.context.rows_max = 2;
    struct reply reply = ask("nfl-wp", "{\"rows\":[{},{},{}]}", 0, 0);
    world.context.rows_max = 2000;

    CHECK_INT(reply.rc, AUGURY_ERR_LIMIT);
    CHECK_TEXT(reply.err.code, "too_many_rows");
    CHECK_TEXT(reply.err.at, "rows");
}

static void
a_question_that_fills_its_arena_is_refused(void)
{
    struct arena small;
    struct arena usual = arena;

    CHECK_INT(arena_init(&small, 12 << 10), 0);
    arena = small;
    struct reply reply = ask("nfl-wp", data_of_rows(0, 60), PREDICT_LEAF, 0);
    small = arena;
    arena = usual;
    arena_fini(&small);
    CHECK_INT(reply.rc, AUGURY_ERR_NOMEM);
    CHECK_TEXT(reply.err.code, "request_too_large");
}

/* ---- the cache ------------------------------------------------------------------------------- */

static void
a_second_question_is_a_hit_with_the_same_bits(void)
{
    world_flush(&world);
    struct reply first = ask("nfl-wp", data_of_rows(7, 1), PREDICT_MARGIN, PREDICT_USE_CACHE);
    CHECK_INT(first.rc, 0);
    CHECK_INT(first.answer.hits, 0);
    CHECK(first.answer.has_used_cache);
    CHECK_INT(first.answer.expires_wall_ms, now_ms + WORLD_TTL_S * 1000);
    world_commit(&world, now_ms);
    uint64_t evaluated = world_count(&world, STATS_PREDICT_ROWS_EVALUATED);
    struct reply second = ask("nfl-wp", data_of_rows(7, 1), PREDICT_MARGIN, PREDICT_USE_CACHE);
    CHECK_INT(second.rc, 0);
    CHECK_INT(second.answer.hits, 1);
    CHECK_INT(world_count(&world, STATS_PREDICT_ROWS_EVALUATED), evaluated);
    CHECK(same_bits(margin_at(&second, 0), world.margins[7]));
}

static void
a_batch_evaluates_only_the_rows_that_are_not_known(void)
{
    world_flush(&world);
    CHECK_INT(ask("nfl-wp", data_of_rows(10, 5), 0, PREDICT_USE_CACHE).rc, 0);
    world_commit(&world, now_ms);
    uint64_t evaluated = world_count(&world, STATS_PREDICT_ROWS_EVALUATED);
    struct reply reply = ask("nfl-wp", data_of_rows(5, 20), PREDICT_MARGIN, PREDICT_USE_CACHE);
    CHECK_INT(reply.rc, 0);
    CHECK_INT(reply.answer.hits, 5);
    CHECK_INT(world_count(&world, STATS_PREDICT_ROWS_EVALUATED) - evaluated, 15);
    for (size_t i = 0; i < 20; i++) {
        CHECK(same_bits(margin_at(&reply, i), world.margins[5 + i]));
    }
}

static void
a_spelling_of_a_row_does_not_matter_to_the_cache(void)
{
    static const char *const spellings[] = {
        "{\"features\":{\"ydstogo\":10,\"score_differential\":0}}",
        "{\"features\":{\"score_differential\":-0.0,\"ydstogo\":1e1}}",
        "{ \"rows\" : [ {\"ydstogo\" : 10.000, \"score_differential\":false, \"down\":null} ] }",
        "{\"columns\":[\"ydstogo\",\"score_differential\"],\"data\":[[10,0.0]]}",
    };

    world_flush(&world);
    for (size_t i = 0; i < AUGURY_COUNT(spellings); i++) {
        struct reply reply = ask("nfl-wp", spellings[i], 0, PREDICT_USE_CACHE);
        CHECK_INT(reply.rc, 0);
        CHECK_INT(reply.answer.hits, i == 0 ? 0 : 1);
        world_commit(&world, now_ms);
    }
}

static void
models_do_not_share_answers(void)
{
    world_flush(&world);
    CHECK_INT(ask("nfl-wp", "{\"features\":{\"down\":4}}", 0, PREDICT_USE_CACHE).rc, 0);
    world_commit(&world, now_ms);
    struct reply reply = ask("strict", "{\"features\":{\"down\":4}}", 0, PREDICT_USE_CACHE);
    CHECK_INT(reply.rc, 0);
    CHECK_INT(reply.answer.hits, 0);
}

static void
leaves_are_kept_apart_from_margins(void)
{
    world_flush(&world);
    CHECK_INT(ask("nfl-wp", data_of_rows(3, 1), PREDICT_MARGIN, PREDICT_USE_CACHE).rc, 0);
    world_commit(&world, now_ms);
    struct reply both =
        ask("nfl-wp", data_of_rows(3, 1), PREDICT_MARGIN | PREDICT_LEAF, PREDICT_USE_CACHE);
    CHECK_INT(both.rc, 0);
    CHECK_INT(both.answer.hits, 0);
    uint32_t leaf = both.answer.leaves[64];
    world_commit(&world, now_ms);
    struct reply again =
        ask("nfl-wp", data_of_rows(3, 1), PREDICT_MARGIN | PREDICT_LEAF, PREDICT_USE_CACHE);
    CHECK_INT(again.answer.hits, 1);
    CHECK_INT(again.answer.leaves[64], leaf);
    CHECK(same_bits(margin_at(&again, 0), world.margins[3]));
}

/* 203 rows are some blocks and a rest, with the cache and without. */
static void
rows_in_blocks_have_the_same_answers_as_all_at_once(void)
{
    enum { ROWS = 203 };
    static const unsigned outputs[] = {PREDICT_MARGIN, PREDICT_CONTRIBUTIONS};
    static uint8_t want[ROWS * (WORLD_FEATURES + 1) * sizeof(float)];

    for (size_t i = 0; i < AUGURY_COUNT(outputs); i++) {
        bool is_margin = outputs[i] == PREDICT_MARGIN;
        size_t bytes = ROWS * sizeof(float) * (is_margin ? 1 : WORLD_FEATURES + 1);
        const char *text = data_of_rows(0, ROWS);
        struct reply reply = ask("nfl-wp", text, outputs[i], 0);
        CHECK(reply.rc == 0 && reply.answer.row_count == ROWS);
        memcpy(want, is_margin ? reply.answer.margins : reply.answer.contributions, bytes);
        deadline_mono_ns = clock_mono_ns() + UINT64_C(3600000000000);
        reply = ask("nfl-wp", text, outputs[i], 0);
        deadline_mono_ns = 0;
        CHECK(reply.rc == 0);
        CHECK(memcmp(want, is_margin ? reply.answer.margins : reply.answer.contributions, bytes) ==
              0);
    }
}

static void
a_question_whose_time_is_over_is_not_evaluated(void)
{
    uint64_t evaluated = stats_sum(world.stats, STATS_PREDICT_ROWS_EVALUATED);

    deadline_mono_ns = 1;
    struct reply reply = ask("nfl-wp", data_of_rows(0, 50), PREDICT_PREDICTION, 0);
    deadline_mono_ns = 0;
    CHECK_INT(reply.rc, AUGURY_ERR_TIMEOUT);
    CHECK_TEXT(reply.err.code, "timeout");
    CHECK_INT(stats_sum(world.stats, STATS_PREDICT_ROWS_EVALUATED), evaluated);
}

/* A table as a file has it: features by name. */
static struct reply
ask_csv(size_t rows)
{
    static char text[64 * 1024];
    struct reply reply = {0};
    size_t at = (size_t)snprintf(text, sizeof(text), "down,ydstogo\n");

    for (size_t row = 0; row < rows; row++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%zu,7\n", row % 4 + 1);
    }
    predict_end(&world.context);
    arena_reset(&arena, 1 << 20);
    struct predict_question question = {
        .model = bytes_of_text("nfl-wp"),
        .table = {.format = ROWS_CSV, .has_header = true, .content = bytes_of(text, at)},
        .now_wall_ms = now_ms,
        .deadline_mono_ns = deadline_mono_ns,
    };
    reply.rc = predict_answer(&world.context, &question, &arena, &reply.answer, &reply.err);
    return reply;
}

static const char *
objects(size_t rows)
{
    static char text[64 * 1024];
    size_t at = (size_t)snprintf(text, sizeof(text), "{\"rows\":[");

    for (size_t row = 0; row < rows; row++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s{\"down\":%zu}",
                               row == 0 ? "" : ",", row % 4 + 1);
    }
    snprintf(text + at, sizeof(text) - at, "]}");
    return text;
}

/* In every form, however many rows would have been to come; and it says how far it came. */
static void
many_rows_are_read_no_longer_than_there_is_time(void)
{
    enum { ROWS = 1000, LOOK = 2048 / (WORLD_FEATURES + 1) };
    uint64_t errors = stats_sum(world.stats, STATS_PREDICT_ERRORS);
    char want[80];

    snprintf(want, sizeof(want), "over when %d rows were read", LOOK);
    deadline_mono_ns = 1;
    struct reply replies[] = {ask("nfl-wp", data_of_rows(0, ROWS), 0, 0),
                              ask("nfl-wp", objects(ROWS), 0, 0), ask_csv(ROWS)};
    deadline_mono_ns = 0;
    for (size_t i = 0; i < AUGURY_COUNT(replies); i++) {
        CHECK_INT(replies[i].rc, AUGURY_ERR_TIMEOUT);
        CHECK_TEXT(replies[i].err.code, "timeout");
        CHECK_CONTAINS(replies[i].err.reason, want);
    }
    CHECK_INT(stats_sum(world.stats, STATS_PREDICT_ERRORS), errors + AUGURY_COUNT(replies));
    CHECK_INT(ask_csv(ROWS).rc, 0);
    deadline_mono_ns = clock_mono_ns() + UINT64_C(3600000000000);
    CHECK_INT(ask_csv(ROWS).rc, 0);
    deadline_mono_ns = 0;
}

static void
a_question_that_wants_no_cache_neither_looks_nor_keeps(void)
{
    world_flush(&world);
    uint64_t misses = world_count(&world, STATS_CACHE_MISSES_PREDICTION);
    uint64_t puts = world_count(&world, STATS_CACHE_PUTS);
    struct reply reply = ask("nfl-wp", data_of_rows(9, 1), PREDICT_MARGIN, 0);
    CHECK_INT(reply.rc, 0);
    CHECK(!reply.answer.has_used_cache);
    CHECK_INT(world_count(&world, STATS_CACHE_MISSES_PREDICTION), misses);
    CHECK_INT(world_count(&world, STATS_CACHE_PUTS), puts);
}

static void
rounding_applies_to_the_value_that_is_evaluated(void)
{
    world_flush(&world);
    world.context.decimals = 0;
    struct reply rounded =
        ask("nfl-wp", "{\"features\":{\"ydstogo\":6.6}}", PREDICT_MARGIN, PREDICT_USE_CACHE);
    CHECK_INT(rounded.rc, 0);
    float margin = margin_at(&rounded, 0);
    world_commit(&world, now_ms);
    struct reply near =
        ask("nfl-wp", "{\"features\":{\"ydstogo\":7.4}}", PREDICT_MARGIN, PREDICT_USE_CACHE);
    world.context.decimals = PREDICT_NOT_ROUNDED;
    CHECK_INT(near.answer.hits, 1);
    struct reply exact = ask("nfl-wp", "{\"features\":{\"ydstogo\":7}}", PREDICT_MARGIN, 0);
    CHECK(same_bits(margin_at(&exact, 0), margin));
}

static void
a_class_without_a_time_to_live_is_off(void)
{
    world_flush(&world);
    world.context.ttl_s = 0;
    struct reply off = ask("nfl-wp", data_of_rows(1, 1), 0, PREDICT_USE_CACHE);
    world.context.ttl_s = WORLD_TTL_S;
    CHECK_INT(off.rc, 0);
    CHECK(!off.answer.has_used_cache);
}

/* ---- cells of files -------------------------------------------------------------------------- */

/* Sets what the model's margins are believed to cost, a row. */
static void
believe(uint64_t evaluate_ns, uint64_t look_up_ns)
{
    struct cache_worth *worth;
    struct err err = {0};
    const struct registry_model *model;

    predict_end(&world.context);
    WORLD_MUST(registry_snapshot_begin(world.registry));
    WORLD_MUST(
        registry_find(world.registry, bytes_of_text("nfl-wp"), bytes_of(NULL, 0), &model, &err));
    worth = cache_worth_of(world.cache, model->model.content.lo + hash64_of(bytes_of(NULL, 0)),
                           bytes_of_text("nfl-wp@1"));
    registry_snapshot_end(world.registry);
    for (unsigned i = 0; i < 200; i++) {
        cache_worth_made(worth, CACHE_ONE, evaluate_ns);
        cache_worth_found(worth, CACHE_ONE, look_up_ns);
    }
}

static void
what_is_cheaper_evaluated_than_looked_up_is_not_looked_up(void)
{
    static const char question[] = "{\"features\":{\"down\":3}}";

    world_flush(&world);
    world.context.has_bypass = true;
    world.context.part_count = 1;
    believe(100, 1000);
    uint64_t misses = world_count(&world, STATS_CACHE_MISSES_PREDICTION);
    uint64_t bypassed = world_count(&world, STATS_PREDICT_ROWS_BYPASSED);
    uint64_t puts = world_count(&world, STATS_CACHE_PUTS);
    struct reply reply = ask("nfl-wp", question, 0, PREDICT_USE_CACHE);
    CHECK_INT(reply.rc, 0);
    CHECK(reply.answer.has_bypassed && !reply.answer.has_used_cache);
    CHECK_INT(reply.answer.hits, 0);
    CHECK_INT(reply.answer.expires_wall_ms, 0);
    CHECK_INT(world_count(&world, STATS_CACHE_MISSES_PREDICTION), misses);
    CHECK_INT(world_count(&world, STATS_PREDICT_ROWS_BYPASSED), bypassed + 1);
    CHECK_INT(world_count(&world, STATS_CACHE_PUTS), puts);
    float bypassed_value = *(const float *)reply.answer.predictions;

    /* Dearer than half a lookup; or only from the cache; or the option says so: looked up. */
    believe(600, 1000);
    reply = ask("nfl-wp", question, 0, PREDICT_USE_CACHE);
    CHECK(!reply.answer.has_bypassed && reply.answer.has_used_cache);
    CHECK_INT(world_count(&world, STATS_CACHE_MISSES_PREDICTION), misses + 1);
    CHECK(memcmp(reply.answer.predictions, &bypassed_value, sizeof(bypassed_value)) == 0);
    world_commit(&world, now_ms);
    believe(100, 1000);
    reply = ask("nfl-wp", question, 0, PREDICT_USE_CACHE | PREDICT_ONLY_CACHED);
    CHECK_INT(reply.rc, 0);
    CHECK_INT(reply.answer.hits, 1);
    world.context.has_bypass = false;
    reply = ask("nfl-wp", question, 0, PREDICT_USE_CACHE);
    CHECK_INT(reply.answer.hits, 1);
}

static void
one_in_so_many_is_looked_up_all_the_same(void)
{
    static const char question[] = "{\"features\":{\"down\":3}}";
    uint64_t misses, bypassed;

    world_flush(&world);
    world.context.has_bypass = true;
    world.context.part_count = 1;
    believe(1, 1000000);
    misses = world_count(&world, STATS_CACHE_MISSES_PREDICTION);
    bypassed = world_count(&world, STATS_PREDICT_ROWS_BYPASSED);
    for (unsigned i = 0; i < 1024; i++) {
        believe(1, 1000000);
        (void)ask("nfl-wp", question, 0, PREDICT_USE_CACHE);
    }
    CHECK_INT(world_count(&world, STATS_CACHE_MISSES_PREDICTION), misses + 1);
    CHECK_INT(world_count(&world, STATS_PREDICT_ROWS_BYPASSED), bypassed + 1023);
    world.context.has_bypass = false;
}

static void
a_cheap_row_is_kept_when_it_comes_again(void)
{
    static const char question[] = "{\"features\":{\"down\":2,\"ydstogo\":19}}";

    world_flush(&world);
    believe(1000, 1000);
    world.context.admission = CACHE_ADMIT_SECOND;
    for (unsigned round = 0; round < 3; round++) {
        struct reply reply = ask("nfl-wp", question, 0, PREDICT_USE_CACHE);
        CHECK_INT(reply.rc, 0);
        CHECK_INT(reply.answer.hits, round == 2 ? 1 : 0);
        world_commit(&world, now_ms);
    }
    world.context.admission = CACHE_ADMIT_ALWAYS;
}

static void
a_message_cuts_a_name_between_two_characters(void)
{
    /* 72 bytes, three a character: the 64th is the first of one. */
#define EIGHT "日日日日日日日日"
    struct reply reply =
        ask("nfl-wp", "{\"features\":{\"" EIGHT EIGHT EIGHT "\":1}}", PREDICT_MARGIN, 0);
    CHECK_TEXT(reply.err.code, "unknown_feature");
    CHECK(utf8_is_valid(bytes_of_text(reply.err.reason)));
    CHECK(utf8_is_valid(bytes_of_text(reply.err.at)));
}

static void
cells_are_read_as_values_of_requests_are(void)
{
    static const struct {
        const char *text;
        float value; /* NAN: missing */
        bool is_refused;
    } cells[] = {
        {"", NAN, false},
        {"7", 7, false},
        {"-0", 0, false},
        {"+1.5e2", 150, false},
        {"nan", NAN, false},
        {"NaN", NAN, false},
        {"inf", INFINITY, false},
        {"true", 1, false},
        {"FALSE", 0, false},
        {"0.1", 0.1f, false},
        {"16777217", 16777216, false},
        {" 7", 0, true},
        {"7 ", 0, true},
        {"0x10", 0, true},
        {"1e39", 0, true},
        {"seven", 0, true},
        {"nan(1)", 0, true},
        {"1,5", 0, true},
        {"NA", 0, true},
        {"-", 0, true},
        {"1e", 0, true},
        {"--1", 0, true},
    };
    const struct registry_model *found;
    struct err err;

    CHECK_INT(ask("nfl-wp", "{\"features\":{}}", 0, 0).rc, 0); /* opens the snapshot */
    CHECK_INT(
        registry_find(world.registry, bytes_of_text("nfl-wp"), bytes_of_text(""), &found, &err), 0);
    for (size_t i = 0; i < AUGURY_COUNT(cells); i++) {
        double value = -1;
        int rc = predict_cell(&found->model, 7, bytes_of_text(cells[i].text), &value, &err);
        if ((rc != 0) != cells[i].is_refused) {
            TAP_FAIL("\"%s\" gives %d", cells[i].text, rc);
        }
        bool is_same = isnan(cells[i].value) ? isnan(value) : value == (double)cells[i].value;
        if (rc == 0 && !is_same) {
            TAP_FAIL("\"%s\" gives %g", cells[i].text, value);
        }
    }
}

int
main(void)
{
    if (arena_init(&arena, 64 << 20) != 0 || arena_init(&documents, 64 << 20) != 0) {
        return 1;
    }
    world_init(&world);
    TAP_RUN(margins_of_the_published_rows_are_those_of_xgboost_bit_for_bit);
    TAP_RUN(the_class_is_the_more_probable_one);
    TAP_RUN(the_three_forms_of_a_row_give_one_answer);
    TAP_RUN(named_levels_and_their_codes_are_the_same_value);
    TAP_RUN(no_rows_are_no_predictions);
    TAP_RUN(unknown_features_are_dropped_when_asked_to);
    TAP_RUN(infinity_is_a_value);
    TAP_RUN(every_wrong_question_is_refused_with_its_code_and_place);
    TAP_RUN(more_rows_than_allowed_are_refused);
    TAP_RUN(a_question_that_fills_its_arena_is_refused);
    TAP_RUN(a_second_question_is_a_hit_with_the_same_bits);
    TAP_RUN(a_batch_evaluates_only_the_rows_that_are_not_known);
    TAP_RUN(a_spelling_of_a_row_does_not_matter_to_the_cache);
    TAP_RUN(models_do_not_share_answers);
    TAP_RUN(leaves_are_kept_apart_from_margins);
    TAP_RUN(rows_in_blocks_have_the_same_answers_as_all_at_once);
    TAP_RUN(a_question_whose_time_is_over_is_not_evaluated);
    TAP_RUN(many_rows_are_read_no_longer_than_there_is_time);
    TAP_RUN(a_question_that_wants_no_cache_neither_looks_nor_keeps);
    TAP_RUN(rounding_applies_to_the_value_that_is_evaluated);
    TAP_RUN(a_class_without_a_time_to_live_is_off);
    TAP_RUN(what_is_cheaper_evaluated_than_looked_up_is_not_looked_up);
    TAP_RUN(one_in_so_many_is_looked_up_all_the_same);
    TAP_RUN(a_cheap_row_is_kept_when_it_comes_again);
    TAP_RUN(a_message_cuts_a_name_between_two_characters);
    TAP_RUN(cells_are_read_as_values_of_requests_are);
    predict_end(&world.context);
    world_fini(&world);
    arena_fini(&arena);
    arena_fini(&documents);
    return tap_done();
}
