/* SPDX-License-Identifier: MIT */
/*
 * cache_case.h - a cache of its own for each test of the room: folder, rings, keeper. LMDB allows
 * one open of an environment per process, so readers beside the keeper are children.
 * A value is made from its key's number, so that any wrong answer is seen by whoever reads it.
 */
#pragma once

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../src/cache/cache_priv.h"

enum { CASE_SLOTS = 8 };
static const uint64_t case_now = UINT64_C(1700000000000);

struct cache_case {
    char dir[256];
    size_t map_bytes;
    size_t ring_bytes;
    void *shared;
    size_t shared_bytes;
    int wake_fd;
    struct cache_board *board;
    struct cache_rings *rings; /* of the board */
    void *stats_memory;
    struct stats *stats;
    struct cache *cache; /* the keeper's view, or a child's */
    struct arena arena;
};

static inline bool
case_init(struct cache_case *c, size_t map_bytes, size_t ring_bytes)
{
    const char *tmp = getenv("TMPDIR");

    *c = (struct cache_case){.map_bytes = map_bytes, .ring_bytes = ring_bytes};
    snprintf(c->dir, sizeof(c->dir), "%s/augury-cache-XXXXXX",
             tmp != NULL                     ? tmp
             : access("/dev/shm", W_OK) == 0 ? "/dev/shm"
                                             : "/tmp");
    c->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct cache_board_options options = {.ring_bytes = ring_bytes,
                                          .slots = CASE_SLOTS,
                                          .map_bytes = map_bytes,
                                          .keeper_wake_fd = c->wake_fd};
    c->shared_bytes = cache_board_bytes(&options);
    c->shared = shm_map(c->shared_bytes);
    c->stats_memory = shm_map(stats_bytes());
    if (c->shared == NULL || c->stats_memory == NULL || c->wake_fd < 0 || mkdtemp(c->dir) == NULL) {
        return false;
    }
    c->board = cache_board_attach(c->shared, &options);
    c->rings = c->board->rings;
    c->stats = stats_attach(c->stats_memory);
    return arena_init(&c->arena, 64u << 20) == 0;
}

static inline int
case_open(struct cache_case *c, bool is_keeper, unsigned slot, bool *out_was_damaged)
{
    struct cache_options options = {
        .dir = c->dir,
        .map_bytes = c->map_bytes,
        .is_keeper = is_keeper,
        .board = c->board,
        .slot = slot,
        .stats = stats_slot(c->stats, slot),
    };
    struct err err = {0};
    int rc = cache_open(&options, &c->cache, out_was_damaged, &err);
    if (rc != 0) {
        printf("# cache_open: %s\n", err.reason);
    }
    return rc;
}

/* A case with its keeper open. */
static inline bool
case_begin(struct cache_case *c, size_t map_bytes, size_t ring_bytes)
{
    return case_init(c, map_bytes, ring_bytes) && case_open(c, true, 0, NULL) == 0;
}

static inline void
case_path(const struct cache_case *c, const char *name, char *out_path, size_t size)
{
    snprintf(out_path, size, "%s/%s", c->dir, name);
}

static inline void
case_fini(struct cache_case *c)
{
    static const char *const names[] = {"data.mdb", "lock.mdb", "data.mdb.damaged",
                                        "lock.mdb.damaged"};
    char path[300];

    cache_close(&c->cache);
    for (size_t i = 0; i < AUGURY_COUNT(names); i++) {
        case_path(c, names[i], path, sizeof(path));
        unlink(path);
    }
    rmdir(c->dir);
    close(c->wake_fd);
    shm_unmap(&c->shared, c->shared_bytes);
    shm_unmap(&c->stats_memory, stats_bytes());
    arena_fini(&c->arena);
}

/* Turns until the rings are empty and the quota is kept. */
static inline int
case_drain(struct cache_case *c)
{
    bool more = true;
    int rc = 0;

    for (int i = 0; rc == 0 && more && i < 100000; i++) {
        rc = cache_keeper_turn(c->cache, case_now, &more);
    }
    return rc != 0 ? rc : more ? AUGURY_ERR_BUSY : 0;
}

static inline struct bytes
case_key(uint64_t number, char *room, size_t size)
{
    int len = snprintf(room, size, "prediction:wp@3#0123456789abcdef:%016llx",
                       (unsigned long long)number);
    return bytes_of(room, (size_t)len);
}

static inline uint8_t
case_byte(uint64_t number, size_t i)
{
    return (uint8_t)((number + 1) * 2654435761u >> 7 ^ i * 131 ^ i >> 8);
}

/* Fills room (CACHE_VALUE_MAX bytes at most) with the value of a number. */
static inline struct bytes
case_value(uint64_t number, size_t len, uint8_t *room)
{
    for (size_t i = 0; i < len; i++) {
        room[i] = case_byte(number, i);
    }
    return bytes_of(room, len);
}

static inline bool
case_value_is(uint64_t number, struct bytes value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] != case_byte(number, i)) {
            return false;
        }
    }
    return true;
}

static inline int
case_put_at(struct cache_case *c, enum cache_class class, struct bytes key, struct bytes value,
            uint64_t now, uint32_t ttl_s)
{
    struct cache_item item = {.class = class,
                              .key = key,
                              .value = value,
                              .created_wall_ms = now,
                              .expires_wall_ms = now + (uint64_t)ttl_s * 1000,
                              .stamp = cache_stamp(c->cache)};

    return cache_put(c->cache, &item);
}

/* Within a snapshot. */
static inline int
case_look(struct cache_case *c, enum cache_class class, struct bytes key, uint64_t now,
          struct cache_hit *out_hit)
{
    struct cache_query query = {.class = class, .key = key, .now_wall_ms = now, .arena = &c->arena};

    return cache_get(c->cache, &query, out_hit);
}

static inline int
case_put(struct cache_case *c, uint64_t number, size_t len, uint32_t ttl_s)
{
    static uint8_t room[CACHE_VALUE_MAX];
    char key[64];

    return case_put_at(c, CACHE_PREDICTION, case_key(number, key, sizeof(key)),
                       case_value(number, len, room), case_now, ttl_s);
}

/* 0, AUGURY_NOT_FOUND, or -99 for a wrong answer. */
static inline int
case_get(struct cache_case *c, uint64_t number, size_t *out_len, uint64_t now)
{
    struct cache_hit hit;
    char key[64];

    arena_reset(&c->arena, 0);
    int rc = cache_snapshot_begin(c->cache);
    if (rc != 0) {
        return rc;
    }
    rc = case_look(c, CACHE_PREDICTION, case_key(number, key, sizeof(key)), now, &hit);
    if (rc == 0) {
        rc = case_value_is(number, hit.value) ? 0 : -99;
        *out_len = hit.value.len;
    }
    cache_snapshot_end(c->cache);
    return rc;
}
