/* SPDX-License-Identifier: MIT */
/* test_api_controller.c - what `performance` and `controller` say of the cache's size, and what
 * they recommend on which figures. */
#include "../../tap.h"

#include "augury/api.h"
#include "augury/cache_size.h"

enum { MEMORY_BYTES = 1 << 20 };

struct scene {
    struct stats *stats;
    struct proc_board *board;
    struct cache_board *cache_board;
    struct buf text;
};

static bool
scene_new(struct scene *scene)
{
    struct cache_board_options options = {.ring_bytes = 1 << 16, .slots = 2, .keeper_wake_fd = -1};
    void *memory = shm_map(cache_board_bytes(&options));
    void *stats = shm_map(stats_bytes());

    if (memory == NULL || stats == NULL) {
        return false;
    }
    scene->stats = stats_attach(stats);
    scene->cache_board = cache_board_attach(memory, &options);
    scene->board = shm_map(sizeof(*scene->board));
    buf_init(&scene->text, MEMORY_BYTES);
    return scene->board != NULL;
}

static void
note(const struct scene *scene, uint64_t used, uint64_t hits, uint64_t misses)
{
    struct cache_size_config config = {.is_auto = true, .base_bytes = 1000};
    struct cache_size_record record = {
        .wall_ms = 1700000000000,
        .sample = {.has_memory = true, .used_bytes = used, .hits = hits, .misses = misses},
        .decision = {.reason = CACHE_SIZE_STEADY, .from_bytes = 1000, .to_bytes = 1000}};

    cache_size_note(scene->cache_board, &config, 0, &record);
}

static const char *
performance(struct scene *scene)
{
    struct wire_writer writer;
    struct api_performance what = {.stats = scene->stats,
                                   .board = scene->board,
                                   .cache_board = scene->cache_board,
                                   .now_wall_ms = 1700000000000,
                                   .records_max = CACHE_SIZE_RECORDS};

    buf_reset(&scene->text);
    wire_writer_init(&writer, WIRE_JSON, &scene->text);
    api_put_performance(&writer, &what);
    buf_put_u8(&scene->text, 0);
    return buf_finish(&scene->text) == 0 ? (const char *)scene->text.data : "";
}

static void
before_the_first_look_nothing_is_known_and_nothing_advised(void)
{
    struct scene scene;

    CHECK(scene_new(&scene));
    CHECK_CONTAINS(performance(&scene), "\"controller\":null,\"recommendations\":[]");
    scene.cache_board = NULL;
    CHECK_CONTAINS(performance(&scene), "\"controller\":null,\"recommendations\":[]");
    buf_fini(&scene.text);
}

static void
a_well_sized_cache_needs_no_advice(void)
{
    struct scene scene;

    CHECK(scene_new(&scene));
    for (uint64_t i = 0; i < CACHE_SIZE_RECORDS; i++) {
        note(&scene, 500, 90 * i, 10 * i);
    }
    CHECK_CONTAINS(performance(&scene), "\"recommendations\":[]");
    CHECK_CONTAINS(performance(&scene), "\"reason\":\"steady\"");
    buf_fini(&scene.text);
}

static void
how_much_is_used_is_judged_by_the_borders_that_users_know(void)
{
    static const struct {
        uint64_t used;
        const char *words;
    } cases[] = {{901, "\"figure\":0.901,\"advice\":\"raise cache.size"},
                 {900, "\"figure\":0.9,\"advice\":\"watch"},
                 {751, "\"figure\":0.751,\"advice\":\"watch"},
                 {249, "\"figure\":0.249,\"advice\":\"lower cache.size"}};

    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        struct scene scene;
        CHECK(scene_new(&scene));
        for (unsigned k = 0; k < CACHE_SIZE_RECORDS; k++) {
            note(&scene, cases[i].used, 0, 0);
        }
        CHECK_CONTAINS(performance(&scene), cases[i].words);
        buf_fini(&scene.text);
    }
}

static void
a_cache_that_has_just_begun_is_not_called_too_large(void)
{
    struct scene scene;

    CHECK(scene_new(&scene));
    for (unsigned k = 0; k + 1 < CACHE_SIZE_RECORDS; k++) {
        note(&scene, 10, 0, 0);
    }
    CHECK_CONTAINS(performance(&scene), "\"recommendations\":[]");
    note(&scene, 10, 0, 0);
    CHECK_CONTAINS(performance(&scene), "lower cache.size");
    buf_fini(&scene.text);
}

static void
the_hit_ratio_is_that_of_the_last_hundred_looks(void)
{
    struct scene scene;

    CHECK(scene_new(&scene));
    note(&scene, 500, 1000000, 0); /* all that was before counts for nothing */
    note(&scene, 500, 1000079, 20);
    CHECK_CONTAINS(performance(&scene), "\"recommendations\":[]"); /* 99 lookups */
    note(&scene, 500, 1000079, 21);
    CHECK_CONTAINS(performance(&scene), "\"what\":\"hit_ratio\",\"figure\":0.79,");
    note(&scene, 500, 1000084, 21);
    CHECK_CONTAINS(performance(&scene), "\"recommendations\":[]"); /* 80 % */
    buf_fini(&scene.text);
}

static void
slow_lookups_failed_requests_and_lost_entries_are_told(void)
{
    struct scene scene;

    CHECK(scene_new(&scene));
    struct stats_slot *slot = stats_slot(scene.stats, 2);
    stats_add(slot, STATS_HTTP_REQUESTS_2XX, 990);
    stats_add(slot, STATS_HTTP_REQUESTS_5XX, 10);
    stats_add(slot, STATS_CACHE_PUTS, 990);
    stats_add(slot, STATS_CACHE_PUTS_DROPPED, 10);
    stats_observe(slot, STATS_CACHE_GET, 10000000);
    CHECK_CONTAINS(performance(&scene), "\"recommendations\":[]"); /* on the border */
    stats_add(slot, STATS_HTTP_REQUESTS_5XX, 10);
    stats_add(slot, STATS_CACHE_PUTS_DROPPED, 30);
    stats_observe(slot, STATS_CACHE_GET, 30000000);
    const char *text = performance(&scene);
    CHECK_CONTAINS(text, "\"what\":\"error_rate\",\"figure\":0.0198,");
    CHECK_CONTAINS(text, "\"what\":\"put_error_rate\",\"figure\":0.0388,");
    CHECK_CONTAINS(text, "\"what\":\"lookup_mean_ms\",\"figure\":20.0,");
    buf_fini(&scene.text);
}

int
main(void)
{
    TAP_RUN(before_the_first_look_nothing_is_known_and_nothing_advised);
    TAP_RUN(a_well_sized_cache_needs_no_advice);
    TAP_RUN(how_much_is_used_is_judged_by_the_borders_that_users_know);
    TAP_RUN(a_cache_that_has_just_begun_is_not_called_too_large);
    TAP_RUN(the_hit_ratio_is_that_of_the_last_hundred_looks);
    TAP_RUN(slow_lookups_failed_requests_and_lost_entries_are_told);
    return tap_done();
}
