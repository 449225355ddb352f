/* SPDX-License-Identifier: MIT */
/*
 * test_predict_learn.c - what is made ahead of its use, in minutes that pass here in an instant: a
 * world whose worker is told to the learner by hand.
 */
#include "world.h"

#define SECOND UINT64_C(1000)

static const uint64_t begin_ms = 1700000000000;

static struct world world;
static struct arena arena;
static struct arena documents;
static struct predict_learn *learn;

/* Asks for a row that has `down` in it; what is evaluated is told to the learner, as the keeper
 * does. True: it was there. */
static bool
ask(unsigned down, uint64_t now)
{
    char text[64];
    struct wire_limits limits = {.depth = 32, .values = 1 << 10, .flags = WIRE_BORROW};
    struct wire_value document;
    struct predict_answer answer = {.hits = 0};
    struct err err = {0};

    snprintf(text, sizeof(text), "{\"down\":%u}", down);
    arena_reset(&arena, 1 << 20);
    arena_reset(&documents, 1 << 20);
    WORLD_MUST(wire_decode(WIRE_JSON, bytes_of_text(text), &limits, &documents, &document, &err));
    struct predict_question question = {.model = bytes_of_text("nfl-wp"),
                                        .features = &document,
                                        .outputs = PREDICT_MARGIN,
                                        .flags = PREDICT_USE_CACHE,
                                        .now_wall_ms = now};
    WORLD_MUST(predict_answer(&world.context, &question, &arena, &answer, &err));
    if (answer.hits == 0) {
        const struct model *model = &answer.model->model;
        float value[1 + WORLD_FEATURES];
        char key[128];
        char hex[DIGEST_HEX_BYTES];
        value[0] = ((const float *)answer.margins)[0];
        for (size_t i = 0; i < WORLD_FEATURES; i++) {
            value[1 + i] = NAN;
        }
        value[1 + model_feature_find(model, bytes_of_text("down"), 0)] = (float)down;
        digest_to_hex(model->content, hex);
        size_t len = (size_t)snprintf(key, sizeof(key), "prediction:nfl-wp@1#%.16s:", hex);
        digest_to_hex(cache_digest(world.cache, bytes_of(value + 1, sizeof(value) - 4)), key + len);
        predict_learn_put(learn, bytes_of(key, len + DIGEST_HEX_BYTES),
                          bytes_of(value, sizeof(value)), now, now + WORLD_TTL_S * SECOND);
    }
    predict_end(&world.context);
    world_commit(&world, now);
    return answer.hits == 1;
}

static void
turn(uint64_t now)
{
    while (predict_learn_turn(learn, now, 8) == 0) {
    }
    world_commit(&world, now);
}

static void
begin(size_t keys)
{
    struct err err = {0};

    predict_learn_free(&learn);
    world_flush(&world);
    WORLD_MUST(predict_learn_new(&world.context, keys, &learn));
}

static uint64_t
made(void)
{
    return world_count(&world, STATS_PREDICT_AHEAD);
}

static uint64_t
used(void)
{
    return world_count(&world, STATS_PREDICT_AHEAD_USED);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void
what_comes_back_at_an_interval_is_there_before_it_comes(void)
{
    uint64_t now = begin_ms;
    unsigned hits = 0;
    uint64_t before = made();
    uint64_t used_before = used();

    begin(64);
    for (unsigned second = 0; second < 3000; second++, now += SECOND) {
        if (second % 150 == 0) {
            hits += ask(3, now) ? 1 : 0;
        }
        turn(now);
    }
    printf("# %u of 20 uses hit, %llu made, %llu used\n", hits,
           (unsigned long long)(made() - before), (unsigned long long)(used() - used_before));
    CHECK(hits >= 15);
    CHECK(made() - before <= 17);
    CHECK(used() - used_before + 1 >= made() - before);
}

/* A supervisor is killed, and another one takes over with the memory that it had shared. */
static void
what_one_learner_knew_the_next_one_knows_with_the_first_put(void)
{
    struct predict_habits *habits = shm_map(predict_habits_bytes());
    void *memory = habits;
    uint64_t now = begin_ms + 100000 * SECOND;

    CHECK(habits != NULL);
    for (int is_shared = 0; is_shared < 2; is_shared++, now += 100000 * SECOND) {
        begin(64);
        predict_learn_share(learn, is_shared ? habits : NULL);
        for (unsigned second = 0; second <= 1500; second++, now += SECOND) {
            if (second % 150 == 0) {
                (void)ask(5, now);
            }
            turn(now);
        }
        begin(64);
        predict_learn_share(learn, is_shared ? habits : NULL);
        /* Two uses went by unseen. */
        now += 300 * SECOND - SECOND;
        unsigned hits = 0;
        for (unsigned second = 0; second <= 450; second++, now += SECOND) {
            if (second % 150 == 0) {
                hits += ask(5, now) ? 1 : 0;
            }
            turn(now);
        }
        CHECK_INT(hits, is_shared ? 3 : 0);
    }
    predict_learn_share(learn, NULL);
    shm_unmap(&memory, predict_habits_bytes());
}

static void
what_is_asked_for_all_the_time_never_ends(void)
{
    uint64_t now = begin_ms + 7200 * SECOND;
    unsigned misses = 0;
    uint64_t before = made();

    begin(64);
    for (unsigned second = 0; second < 1200; second++, now += SECOND) {
        misses += ask(2, now) ? 0 : 1;
        turn(now);
    }
    printf("# %u of 1200 missed, %llu made\n", misses, (unsigned long long)(made() - before));
    CHECK(misses <= 5);
    CHECK(made() - before <= 1200 / (WORLD_TTL_S - 5));
}

static void
what_stays_away_is_made_once_more_and_never_again(void)
{
    uint64_t now = begin_ms + 20000 * SECOND;

    begin(64);
    for (unsigned i = 0; i < 6; i++, now += 150 * SECOND) {
        (void)ask(4, now);
    }
    uint64_t before = made();
    for (unsigned second = 0; second < 3000; second++) {
        turn(now - 150 * SECOND + second * SECOND);
    }
    CHECK_INT(made() - before, 1);
}

static void
a_full_table_keeps_what_comes_often(void)
{
    uint64_t now = begin_ms + 50000 * SECOND;
    uint64_t before = used();

    begin(8);
    for (unsigned i = 0; i < 30; i++) {
        (void)ask(3, now + i * 150 * SECOND);
        for (unsigned other = 0; other < 2; other++) {
            (void)ask(100 + 2 * i + other, now + i * 150 * SECOND);
        }
        for (unsigned second = 1; second < 150; second++) {
            turn(now + (i * 150 + second) * SECOND);
        }
    }
    CHECK(used() - before >= 20);
}

static void
keys_that_make_no_sense_are_passed_over(void)
{
    static const char *const keys[] = {
        "",
        ":",
        "prediction:",
        "prediction:a@1#0123456789abcdef:0123456789abcdef0123456789abcde",
        "prediction:a#0123456789abcdef:0123456789abcdef0123456789abcdef",
        "prediction:@#0123456789abcdef:0123456789abcdef0123456789abcdef",
        "#23456789abcdef01:0123456789abcdef0123456789abcdef",
        "prediction:nothing@1#0123456789abcdef:0123456789abcdef0123456789abcdef",
        "prediction:nfl-wp@1#0123456789abcdef:0123456789abcdef0123456789abcdef",
    };
    uint64_t now = begin_ms + 90000 * SECOND;
    uint64_t before = made();

    begin(64);
    for (unsigned i = 0; i < 8; i++, now += 100 * SECOND) {
        for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
            predict_learn_put(learn, bytes_of_text(keys[k]), bytes_of_text("0123456789"), now,
                              now + WORLD_TTL_S * SECOND);
        }
        turn(now + 98 * SECOND);
    }
    CHECK_INT(made(), before);
}

int
main(void)
{
    world_init(&world);
    world.context.keeps_rows = true;
    if (arena_init(&arena, 64 << 20) != 0 || arena_init(&documents, 64 << 20) != 0) {
        printf("Bail out! arena\n");
        return 1;
    }
    TAP_RUN(what_comes_back_at_an_interval_is_there_before_it_comes);
    TAP_RUN(what_one_learner_knew_the_next_one_knows_with_the_first_put);
    TAP_RUN(what_is_asked_for_all_the_time_never_ends);
    TAP_RUN(what_stays_away_is_made_once_more_and_never_again);
    TAP_RUN(a_full_table_keeps_what_comes_often);
    TAP_RUN(keys_that_make_no_sense_are_passed_over);
    predict_learn_free(&learn);
    arena_fini(&arena);
    arena_fini(&documents);
    world_fini(&world);
    return tap_done();
}
