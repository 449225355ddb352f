/* SPDX-License-Identifier: MIT */
/* disk_case.h - a cache with a tier on disk for each test. A reboot is a new board and a memory
 * folder without files. */
#pragma once

#include "cache_case.h"

#include "../../../src/cache/cache_disk.h"

enum { MIB = 1 << 20, MEMORY_TTL_S = 60, DISK_TTL_S = 86400 };

struct disk_case {
    struct cache_case c;
    char disk[300];
    struct cache_disk_options options;
    size_t disk_bytes; /* of the board that start_anew() makes */
};

static inline int
disk_open(struct disk_case *d, bool is_keeper, unsigned slot)
{
    struct cache_options options = {.dir = d->c.dir,
                                    .map_bytes = d->c.map_bytes,
                                    .is_keeper = is_keeper,
                                    .board = d->c.board,
                                    .slot = slot,
                                    .stats = stats_slot(d->c.stats, slot),
                                    .disk = &d->options};
    struct err err = {0};

    int rc = cache_open(&options, &d->c.cache, NULL, &err);
    if (rc == 0 && is_keeper) {
        cache_keeper_quota(d->c.cache, 16 * MIB);
    }
    return rc;
}

static inline bool
disk_init(struct disk_case *d)
{
    *d = (struct disk_case){0};
    if (!case_init(&d->c, 64 * MIB, 1 * MIB)) {
        return false;
    }
    snprintf(d->disk, sizeof(d->disk), "%s.disk", d->c.dir);
    d->options = (struct cache_disk_options){.dir = d->disk, .size_bytes = 32 * MIB};
    for (int i = 0; i < CACHE_CLASS_COUNT; i++) {
        d->options.memory_ttl_s[i] = MEMORY_TTL_S;
        d->options.disk_ttl_s[i] = i == CACHE_RESPONSE ? 0 : DISK_TTL_S;
    }
    return disk_open(d, true, 0) == 0;
}

static inline void
files_remove(const char *dir)
{
    static const char *const names[] = {"data.mdb", "lock.mdb", "mark", "data.mdb.damaged",
                                        "lock.mdb.damaged"};
    char path[400];

    for (size_t i = 0; i < AUGURY_COUNT(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
}

static inline void
disk_fini(struct disk_case *d)
{
    cache_close(&d->c.cache);
    files_remove(d->disk);
    rmdir(d->disk);
    case_fini(&d->c);
}

/* Everything that a process had is gone; with_memory: the files of memory too. */
static inline bool
start_anew(struct disk_case *d, bool without_memory)
{
    struct cache_board_options options = {.ring_bytes = d->c.ring_bytes,
                                          .slots = CASE_SLOTS,
                                          .map_bytes = d->c.map_bytes,
                                          .disk_bytes = d->disk_bytes,
                                          .keeper_wake_fd = d->c.wake_fd};

    cache_close(&d->c.cache);
    if (without_memory) {
        files_remove(d->c.dir);
    }
    d->c.shared = shm_map(cache_board_bytes(&options)); /* the old one is left to the process */
    d->c.board = cache_board_attach(d->c.shared, &options);
    d->c.rings = d->c.board->rings;
    return disk_open(d, true, 0) == 0;
}

/* Turns until nothing is under way, on disk too. */
static inline bool
settle(struct disk_case *d)
{
    for (int i = 0; i < 2000; i++) {
        if (case_drain(&d->c) != 0) {
            return false;
        }
        if (d->c.cache->below->store == NULL ||
            (cache_rings_are_empty(d->c.board->disk_rings) && !cache_warm_is_due(d->c.cache))) {
            return true;
        }
        usleep(1000);
    }
    return false;
}

static inline bool
put_some(struct disk_case *d, uint64_t first, uint64_t count, size_t len)
{
    for (uint64_t i = first; i < first + count; i++) {
        if (case_put(&d->c, i, len, MEMORY_TTL_S) != 0) {
            return false;
        }
        if (i % 16 == 0 && !settle(d)) {
            return false;
        }
    }
    return settle(d);
}

static inline uint64_t
hits_on_disk(struct disk_case *d)
{
    return stats_sum(d->c.stats, STATS_DISK_HITS_PREDICTION);
}
