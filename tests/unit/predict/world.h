/* SPDX-License-Identifier: MIT */
/*
 * world.h - what tests of predict and api stand on: a registry in a folder of its own with the
 * model nfl-wp as published (version 1) and the same trees under a stricter schema ("strict"), and
 * a cache whose keeper is the test itself.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../tap.h"
#include "augury/predict.h"

enum { WORLD_FEATURES = 11, WORLD_ROWS = 1000, WORLD_RING_BYTES = 1 << 20, WORLD_TTL_S = 60 };

static const struct cache_board_options world_board = {
    .ring_bytes = WORLD_RING_BYTES, .slots = STATS_SLOTS, .keeper_wake_fd = -1};

static const char world_names[] =
    "receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,"
    "score_differential,down,ydstogo,yardline_100,posteam_timeouts_remaining,"
    "defteam_timeouts_remaining";

/* down is a whole number and never missing, home a boolean, receive_2h_ko one of two levels. */
#define WORLD_SCHEMA                                                                               \
    "{\"features\":["                                                                              \
    "{\"name\":\"receive_2h_ko\",\"type\":\"category\",\"levels\":[\"no\",\"yes\"]},"              \
    "{\"name\":\"home\",\"type\":\"boolean\"},"                                                    \
    "{\"name\":\"half_seconds_remaining\",\"type\":\"float\"},"                                    \
    "{\"name\":\"game_seconds_remaining\",\"type\":\"float\"},"                                    \
    "{\"name\":\"Diff_Time_Ratio\",\"type\":\"float\"},"                                           \
    "{\"name\":\"score_differential\",\"type\":\"float\"},"                                        \
    "{\"name\":\"down\",\"type\":\"integer\",\"missing\":false},"                                  \
    "{\"name\":\"ydstogo\",\"type\":\"float\"},"                                                   \
    "{\"name\":\"yardline_100\",\"type\":\"float\"},"                                              \
    "{\"name\":\"posteam_timeouts_remaining\",\"type\":\"float\"},"                                \
    "{\"name\":\"defteam_timeouts_remaining\",\"type\":\"float\"}]}"

struct world {
    char dir[64];
    struct registry *registry;
    struct cache *cache;
    void *board_memory;
    void *stats_memory;
    struct stats *stats;
    struct stats_slot *slot;
    struct predict_context context;
    float rows[WORLD_ROWS][WORLD_FEATURES]; /* the published input */
    float margins[WORLD_ROWS];              /* what xgboost 1.7.4 says */
    float probabilities[WORLD_ROWS];
};

#define WORLD_MUST(call)                                                                           \
    do {                                                                                           \
        int world_rc = (call);                                                                     \
        if (world_rc != 0) {                                                                       \
            printf("Bail out! %s: %d %s %s\n", #call, world_rc, err.at, err.reason);               \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static inline FILE *
world_open(const char *name)
{
    const char *source = getenv("AUGURY_SOURCE");
    char path[1024];

    snprintf(path, sizeof(path), "%s/tests/data/nfl-wp/%s", source != NULL ? source : ".", name);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        printf("Bail out! %s\n", path);
        exit(1);
    }
    return file;
}

static inline void
world_read_model(struct buf *out)
{
    FILE *file = world_open("model.json");

    buf_init(out, 16 << 20);
    for (size_t got = 1; got > 0; buf_commit(out, got)) {
        got = fread(buf_reserve(out, 4096), 1, 4096, file);
    }
    fclose(file);
}

static inline void
world_read_rows(struct world *world)
{
    FILE *file = world_open("input.tsv");
    char line[1024];

    for (size_t row = 0; row < WORLD_ROWS && fgets(line, sizeof(line), file) != NULL; row++) {
        char *cell = line;
        for (size_t i = 0; i < WORLD_FEATURES; i++) {
            char *end = cell + strcspn(cell, "\t\n");
            world->rows[row][i] = end == cell ? NAN : strtof(cell, NULL);
            cell = end + 1;
        }
    }
    fclose(file);
}

static inline void
world_read_column(const char *name, float *out_values)
{
    FILE *file = world_open(name);
    char line[64];

    for (size_t row = 0; row < WORLD_ROWS && fgets(line, sizeof(line), file) != NULL; row++) {
        out_values[row] = strtof(line, NULL);
    }
    fclose(file);
}

static inline void
world_import(struct world *world, const char *name, const char *schema)
{
    struct model_import_options options = {.names = world_names};
    struct registry_entry entry;
    struct buf file;
    struct err err;

    if (schema != NULL) {
        options.names = NULL;
        options.schema = bytes_of_text(schema);
    }
    world_read_model(&file);
    struct registry_import import = {
        .name = name, .file = buf_view(&file), .options = &options, .now_wall_ms = 1700000000000};
    WORLD_MUST(registry_import(world->registry, &import, &entry, &err));
    buf_fini(&file);
}

static inline void
world_open_cache(struct world *world)
{
    char dir[80];
    bool was_damaged = false;
    struct err err;

    snprintf(dir, sizeof(dir), "%s/cache", world->dir);
    world->board_memory = shm_map(cache_board_bytes(&world_board));
    struct cache_options options = {
        .dir = dir,
        .map_bytes = 64 << 20,
        .is_keeper = true,
        .board = cache_board_attach(world->board_memory, &world_board),
        .slot = 2,
        .stats = world->slot,
    };
    WORLD_MUST(cache_open(&options, &world->cache, &was_damaged, &err));
    cache_keeper_quota(world->cache, 32 << 20);
}

static inline void
world_init(struct world *world)
{
    char dir[80];
    struct err err;

    memset(world, 0, sizeof(*world));
    snprintf(world->dir, sizeof(world->dir), "/tmp/augury-test-XXXXXX");
    if (mkdtemp(world->dir) == NULL) {
        printf("Bail out! mkdtemp\n");
        exit(1);
    }
    world->stats_memory = shm_map(stats_bytes());
    world->stats = stats_attach(world->stats_memory);
    world->slot = stats_slot(world->stats, 2);
    snprintf(dir, sizeof(dir), "%s/models", world->dir);
    struct registry_options options = {.dir = dir, .map_bytes = 256 << 20, .stats = world->slot};
    WORLD_MUST(registry_open(&options, &world->registry, &err));
    world_import(world, "nfl-wp", NULL);
    world_import(world, "strict", WORLD_SCHEMA);
    world_open_cache(world);
    world_read_rows(world);
    world_read_column("xgb174_margin.tsv", world->margins);
    world_read_column("xgb174_prob.tsv", world->probabilities);
    world->context = (struct predict_context){
        .registry = world->registry,
        .cache = world->cache,
        .stats = world->slot,
        .ttl_s = WORLD_TTL_S,
        .decimals = PREDICT_NOT_ROUNDED,
        .rows_max = 2000,
    };
}

/* What the supervisor does between two requests. */
static inline void
world_commit(struct world *world, uint64_t now_wall_ms)
{
    bool has_more = true;
    struct err err = {0};

    while (has_more) {
        WORLD_MUST(cache_keeper_turn(world->cache, now_wall_ms, &has_more));
    }
}

static inline void
world_flush(struct world *world)
{
    uint64_t entries;
    struct err err = {0};

    world_commit(world, 1);
    WORLD_MUST(cache_keeper_flush(world->cache, &entries));
}

static inline uint64_t
world_count(const struct world *world, enum stats_id id)
{
    return stats_sum(world->stats, id);
}

static inline void
world_fini(struct world *world)
{
    char command[128];

    cache_close(&world->cache);
    registry_close(&world->registry);
    shm_unmap(&world->stats_memory, stats_bytes());
    shm_unmap(&world->board_memory, cache_board_bytes(&world_board));
    snprintf(command, sizeof(command), "rm -rf '%s'", world->dir);
    if (system(command) != 0) {
        printf("# %s was not removed\n", world->dir);
    }
}
