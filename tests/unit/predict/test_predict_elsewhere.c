/* SPDX-License-Identifier: MIT */
/*
 * test_predict_elsewhere.c - rows that memory lacks, asked for elsewhere: what is wanted, under
 * which keys, and what becomes of what was found. Margins are those that xgboost published.
 */
#include "world.h"

#include "augury/seal.h"

static const uint64_t now_ms = 1700000000000;

static struct world world;
static struct arena arena;
static struct arena documents;

struct reply {
    int rc;
    struct predict_answer answer;
    struct err err;
};

/* Rows [0, count) of the published input. */
static struct reply
ask(size_t count, unsigned outputs, struct predict_elsewhere *elsewhere)
{
    static char text[256 * 1024];
    struct wire_limits limits = {
        .depth = 32, .values = 1 << 20, .flags = WIRE_BORROW | WIRE_NONFINITE};
    struct reply reply = {0};
    struct wire_value document;
    size_t at = (size_t)snprintf(text, sizeof(text), "[");

    for (size_t row = 0; row < count; row++) {
        for (size_t i = 0; i < WORLD_FEATURES; i++) {
            char number[WIRE_F32_TEXT_MAX] = "null";
            float value = world.rows[row][i];
            size_t len = isnan(value) ? 4 : wire_f32_to_text(value, number);
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.*s",
                                   i == 0 ? (row == 0 ? "[" : ",[") : ",", (int)len, number);
        }
        at += (size_t)snprintf(text + at, sizeof(text) - at, "]");
    }
    snprintf(text + at, sizeof(text) - at, "]");
    predict_end(&world.context);
    reply.rc =
        wire_decode(WIRE_JSON, bytes_of_text(text), &limits, &documents, &document, &reply.err);
    struct predict_question question = {.model = bytes_of_text("nfl-wp"),
                                        .data = &document,
                                        .outputs = outputs,
                                        .flags = PREDICT_USE_CACHE,
                                        .now_wall_ms = now_ms,
                                        .elsewhere = elsewhere};
    if (reply.rc == 0) {
        reply.rc = predict_answer(&world.context, &question, &arena, &reply.answer, &reply.err);
    }
    return reply;
}

static void
begin(void)
{
    predict_end(&world.context);
    world_flush(&world);
    arena_reset(&arena, 1 << 20);
    arena_reset(&documents, 1 << 20);
}

static struct predict_elsewhere
dear(void)
{
    return (struct predict_elsewhere){.cost_us = 1000, .min_cost_us = 200};
}

static float
margin_at(const struct reply *reply, size_t i)
{
    return ((const float *)reply->answer.margins)[i];
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void
rows_that_are_dear_are_wanted_under_a_key_that_needs_no_secret(void)
{
    struct predict_elsewhere elsewhere = dear();
    uint8_t digest[SEAL_SHA256_BYTES];
    char hex[2 * SEAL_SHA256_BYTES + 1] = {0};

    begin();
    struct reply reply = ask(3, PREDICT_MARGIN, &elsewhere);
    CHECK_INT(reply.rc, AUGURY_MORE);
    CHECK_INT(elsewhere.count, 3);
    for (size_t row = 0; row < 3; row++) {
        struct bytes key = elsewhere.wanted[row];
        float canonical[WORLD_FEATURES];
        memcpy(canonical, world.rows[row], sizeof(canonical));
        CHECK(bytes_start_with(key, "prediction:nfl-wp@1#"));
        CHECK_INT(seal_sha256(bytes_of(canonical, sizeof(canonical)), digest), 0);
        hex_encode(bytes_of(digest, sizeof(digest)), hex);
        CHECK(key.len == 20 + 16 + 1 + 32);
        CHECK(memcmp(key.data + 37, hex, 32) == 0);
    }
    CHECK(!bytes_equal(elsewhere.wanted[0], elsewhere.wanted[1]));
}

static void
what_was_found_answers_and_only_the_rest_is_evaluated(void)
{
    struct predict_elsewhere elsewhere = dear();
    float other = 7.5F;

    begin();
    CHECK_INT(ask(3, PREDICT_MARGIN, &elsewhere).rc, AUGURY_MORE);
    uint64_t evaluated = world_count(&world, STATS_PREDICT_ROWS_EVALUATED);
    elsewhere.is_asked = true;
    elsewhere.found[1] = (struct cache_hit){.value = bytes_of(&other, sizeof(other)),
                                            .created_wall_ms = now_ms - 5,
                                            .expires_wall_ms = now_ms + 5000,
                                            .stamp = cache_stamp(world.cache)};
    struct reply reply = ask(3, PREDICT_MARGIN, &elsewhere);
    CHECK_INT(reply.rc, 0);
    CHECK(margin_at(&reply, 0) == world.margins[0]);
    CHECK(margin_at(&reply, 1) == other);
    CHECK(margin_at(&reply, 2) == world.margins[2]);
    CHECK_INT(reply.answer.hits, 1);
    CHECK_INT(reply.answer.expires_wall_ms, now_ms + 5000);
    CHECK_INT(world_count(&world, STATS_PREDICT_ROWS_EVALUATED) - evaluated, 2);

    /* All three are in memory now, under memory's keys, the found one too. */
    world_commit(&world, now_ms);
    elsewhere = dear();
    reply = ask(3, PREDICT_MARGIN, &elsewhere);
    CHECK_INT(reply.rc, 0);
    CHECK_INT(reply.answer.hits, 3);
    CHECK(margin_at(&reply, 1) == other);
}

static void
a_value_of_another_length_is_not_taken(void)
{
    struct predict_elsewhere elsewhere = dear();
    double other = 7.5;

    begin();
    CHECK_INT(ask(1, PREDICT_MARGIN, &elsewhere).rc, AUGURY_MORE);
    elsewhere.is_asked = true;
    elsewhere.found[0] = (struct cache_hit){.value = bytes_of(&other, sizeof(other)),
                                            .expires_wall_ms = now_ms + 5000};
    struct reply reply = ask(1, PREDICT_MARGIN, &elsewhere);
    CHECK_INT(reply.rc, 0);
    CHECK(margin_at(&reply, 0) == world.margins[0]);
}

static void
rows_that_are_cheap_or_too_many_or_known_are_not_wanted(void)
{
    struct predict_elsewhere elsewhere = dear();

    begin();
    elsewhere.cost_us = 199;
    CHECK_INT(ask(1, PREDICT_MARGIN, &elsewhere).rc, 0);
    CHECK_INT(elsewhere.count, 0);
    begin();
    elsewhere = dear();
    CHECK_INT(ask(PREDICT_WANTED_MAX + 1, PREDICT_MARGIN, &elsewhere).rc, 0);
    CHECK_INT(elsewhere.count, 0);
    world_commit(&world, now_ms);
    /* Of four rows three are known now: the fourth alone costs 250 of 1,000, then 150 of 600. */
    begin();
    CHECK_INT(ask(3, PREDICT_MARGIN, NULL).rc, 0);
    world_commit(&world, now_ms);
    CHECK_INT(ask(4, PREDICT_MARGIN, &elsewhere).rc, AUGURY_MORE);
    CHECK_INT(elsewhere.count, 1);
    elsewhere = dear();
    elsewhere.cost_us = 600;
    CHECK_INT(ask(4, PREDICT_MARGIN, &elsewhere).rc, 0);
}

static void
parts_have_keys_of_their_own(void)
{
    struct predict_elsewhere elsewhere = dear();

    begin();
    CHECK_INT(ask(1, PREDICT_LEAF, &elsewhere).rc, AUGURY_MORE);
    CHECK(elsewhere.wanted[0].len > 5);
    CHECK(bytes_equal_text(bytes_of(elsewhere.wanted[0].data + elsewhere.wanted[0].len - 5, 5),
                           ":leaf"));
}

int
main(void)
{
    world_init(&world);
    if (arena_init(&arena, 64 << 20) != 0 || arena_init(&documents, 64 << 20) != 0) {
        printf("Bail out! arena\n");
        return 1;
    }
    TAP_RUN(rows_that_are_dear_are_wanted_under_a_key_that_needs_no_secret);
    TAP_RUN(what_was_found_answers_and_only_the_rest_is_evaluated);
    TAP_RUN(a_value_of_another_length_is_not_taken);
    TAP_RUN(rows_that_are_cheap_or_too_many_or_known_are_not_wanted);
    TAP_RUN(parts_have_keys_of_their_own);
    predict_end(&world.context);
    arena_fini(&arena);
    arena_fini(&documents);
    world_fini(&world);
    return tap_done();
}
