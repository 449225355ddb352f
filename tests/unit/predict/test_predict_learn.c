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

/* Everything was stopped, and another daemon begins with what was kept as bytes. */
static void
what_was_kept_over_a_start_is_known_with_the_first_put(void)
{
    static uint8_t pages[PREDICT_HABITS_PAGES][PREDICT_HABITS_PAGE_BYTES];
    size_t lens[PREDICT_HABITS_PAGES] = {0};
    void *before = shm_map(predict_habits_bytes());
    void *after = shm_map(predict_habits_bytes());
    uint64_t now = begin_ms + 400000 * SECOND;
    size_t taken = 0, given = 0, twice = 0;
    unsigned hits = 0;

    CHECK(before != NULL && after != NULL);
    begin(64);
    predict_learn_share(learn, before);
    for (unsigned second = 0; second <= 1500; second++, now += SECOND) {
        if (second % 150 == 0) {
            (void)ask(6, now);
        }
        turn(now);
    }
    for (size_t page = 0; page < PREDICT_HABITS_PAGES; page++) {
        lens[page] = predict_habits_take(before, page, pages[page]);
        taken += lens[page] > 0 ? 1 : 0;
        twice += predict_habits_take(before, page, pages[page]);
    }
    CHECK_INT(taken, 1);
    CHECK_INT(twice, 0);
    for (size_t page = 0; page < PREDICT_HABITS_PAGES; page++) {
        struct bytes stored = bytes_of(pages[page], lens[page]);
        given += predict_habits_give(after, page, stored, now);
        CHECK_INT(predict_habits_give(after, page, stored, now), 0); /* the newer one stays */
    }
    CHECK_INT(given, 1);
    begin(64);
    predict_learn_share(learn, after);
    now += 300 * SECOND - SECOND;
    for (unsigned second = 0; second <= 450; second++, now += SECOND) {
        if (second % 150 == 0) {
            hits += ask(6, now) ? 1 : 0;
        }
        turn(now);
    }
    CHECK_INT(hits, 3);
    predict_learn_share(learn, NULL);
    shm_unmap(&before, predict_habits_bytes());
    shm_unmap(&after, predict_habits_bytes());
}

/* A page of one habit, with its sum. */
static size_t
page_make(uint8_t *page, uint64_t last_wall_ms, uint64_t interval_ms, uint32_t uses)
{
    size_t len = 12 + 61;

    memset(page, 0, len);
    le32_put(page + 8, 1);
    page[12] = 3;
    le64_put(page + 13, 5 * 64 + 3); /* the place of page 5 */
    le64_put(page + 21, last_wall_ms);
    le64_put(page + 29, interval_ms);
    le32_put(page + 45, uses);
    le64_put(page, hash64_of(bytes_of(page + 8, len - 8)));
    return len;
}

static void
bytes_that_are_no_habits_are_left(void)
{
    void *habits = shm_map(predict_habits_bytes());
    uint8_t page[PREDICT_HABITS_PAGE_BYTES];
    uint64_t now = begin_ms;

    CHECK(habits != NULL);
    size_t len = page_make(page, now, 60000, 9);
    for (size_t i = 0; i < len; i++) {
        page[i] ^= 0x40;
        CHECK_INT(predict_habits_give(habits, 5, bytes_of(page, len), now), 0);
        page[i] ^= 0x40;
        CHECK_INT(predict_habits_give(habits, 5, bytes_of(page, i), now), 0);
    }
    CHECK_INT(predict_habits_give(habits, 4, bytes_of(page, len), now), 0); /* another page's */
    len = page_make(page, now + 3600 * SECOND, 60000, 9);
    CHECK_INT(predict_habits_give(habits, 5, bytes_of(page, len), now), 0);
    len = page_make(page, now, UINT64_MAX, 9);
    CHECK_INT(predict_habits_give(habits, 5, bytes_of(page, len), now), 0);
    len = page_make(page, now, 60000, 0);
    CHECK_INT(predict_habits_give(habits, 5, bytes_of(page, len), now), 0);
    len = page_make(page, now, 60000, 9);
    CHECK_INT(predict_habits_give(habits, 5, bytes_of(page, len), now), 1);
    shm_unmap(&habits, predict_habits_bytes());
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
    TAP_RUN(what_was_kept_over_a_start_is_known_with_the_first_put);
    TAP_RUN(bytes_that_are_no_habits_are_left);
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
