/* SPDX-License-Identifier: MIT */
/* test_models.c - figures of single models: sums over slots, and more models than there is room. */
#include "../../tap.h"

#include "augury/stats.h"

static struct stats *
board_new(void)
{
    return stats_attach(shm_map(stats_bytes()));
}

static void
board_free(struct stats *stats)
{
    void *map = stats;
    shm_unmap(&map, stats_bytes());
}

static uint64_t
figure(const struct stats *stats, uint32_t key, enum stats_model_id id)
{
    struct stats_model_figures figures;

    stats_model_gather(stats, key, &figures);
    return figures.values[id];
}

static void
answer(struct stats_slot *slot, uint32_t key, uint64_t now_wall_ms)
{
    stats_add(slot, STATS_PREDICT_REQUESTS, 1);
    struct stats_model *model = stats_model_of(slot, key);
    stats_model_use(model, now_wall_ms);
    stats_model_add(model, STATS_MODEL_SUCCESSES, 1);
}

static void
figures_are_those_of_all_slots(void)
{
    struct stats *stats = board_new();
    uint32_t key = stats_model_key(bytes_of_text("wp"), 1);

    answer(stats_slot(stats, 3), key, 2000);
    answer(stats_slot(stats, 3), key, 3000);
    answer(stats_slot(stats, 9), key, 1000);
    CHECK_INT(figure(stats, key, STATS_MODEL_SUCCESSES), 3);
    CHECK_INT(figure(stats, key, STATS_MODEL_LAST_WALL_MS), 3000);
    CHECK_INT(figure(stats, key, STATS_MODEL_FAILURES), 0);
    board_free(stats);
}

static void
versions_and_names_are_told_apart(void)
{
    struct stats *stats = board_new();
    uint32_t keys[] = {stats_model_key(bytes_of_text("wp"), 1),
                       stats_model_key(bytes_of_text("wp"), 2),
                       stats_model_key(bytes_of_text("ep"), 1)};

    for (size_t i = 0; i < AUGURY_COUNT(keys); i++) {
        for (size_t n = 0; n <= i; n++) {
            answer(stats_slot(stats, 2), keys[i], 1000);
        }
    }
    for (size_t i = 0; i < AUGURY_COUNT(keys); i++) {
        CHECK_INT(figure(stats, keys[i], STATS_MODEL_SUCCESSES), i + 1);
    }
    CHECK_INT(figure(stats, stats_model_key(bytes_of_text("ep"), 2), STATS_MODEL_SUCCESSES), 0);
    board_free(stats);
}

/* Keys that all begin at the same place, more than are looked at. */
static void
one_more_takes_the_place_of_the_longest_unused(void)
{
    struct stats *stats = board_new();
    struct stats_slot *slot = stats_slot(stats, 2);

    for (uint32_t i = 1; i <= 8; i++) {
        answer(slot, i * STATS_MODELS, i == 3 ? 10 : 100 + i);
    }
    answer(slot, 9 * STATS_MODELS, 200);
    CHECK_INT(figure(stats, 9 * STATS_MODELS, STATS_MODEL_SUCCESSES), 1);
    CHECK_INT(figure(stats, 3 * STATS_MODELS, STATS_MODEL_SUCCESSES), 0);
    for (uint32_t i = 4; i <= 8; i++) {
        CHECK_INT(figure(stats, i * STATS_MODELS, STATS_MODEL_SUCCESSES), 1);
    }
    answer(slot, 3 * STATS_MODELS, 300);
    CHECK_INT(figure(stats, 3 * STATS_MODELS, STATS_MODEL_SUCCESSES), 1);
    CHECK_INT(figure(stats, 1 * STATS_MODELS, STATS_MODEL_SUCCESSES), 0);
    board_free(stats);
}

static void
nothing_is_counted_without_a_slot_or_a_key(void)
{
    struct stats *stats = board_new();

    CHECK(stats_model_of(NULL, 7) == NULL);
    CHECK(stats_model_of(stats_slot(stats, 2), 0) == NULL);
    stats_model_add(NULL, STATS_MODEL_SUCCESSES, 1);
    stats_model_use(NULL, 1000);
    board_free(stats);
}

int
main(void)
{
    TAP_RUN(figures_are_those_of_all_slots);
    TAP_RUN(versions_and_names_are_told_apart);
    TAP_RUN(one_more_takes_the_place_of_the_longest_unused);
    TAP_RUN(nothing_is_counted_without_a_slot_or_a_key);
    return tap_done();
}
