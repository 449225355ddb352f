/* SPDX-License-Identifier: MIT */
/*
 * test_cache_no_memory.c - the cache with its tier on disk when memory runs out: each of its
 * allocations fails, once and with all that follow. It is not opened, or does without; what it
 * answers is right.
 */
#include "../alloc_fail.h"
#include "cache_case.h"

enum { MAP_BYTES = 8 << 20, RING_BYTES = 1 << 20, LONG_BYTES = 20000, ENTRIES = 20 };

/* 0, or < 0. */
static int
fill_and_ask(struct cache_case *c)
{
    size_t len = 0;

    for (uint64_t i = 0; i < ENTRIES; i++) {
        if (case_put(c, i, i % 4 == 0 ? LONG_BYTES : 100, 60) < 0) {
            return AUGURY_ERR_FULL;
        }
    }
    int rc = case_drain(c);
    for (uint64_t i = 0; rc == 0 && i < ENTRIES; i++) {
        rc = case_get(c, i, &len, case_now);
    }
    if (rc == 0) {
        rc = cache_keeper_tick(c->cache, case_now + 1000);
    }
    return rc == -99 ? 1 : rc > 0 ? AUGURY_ERR_NOMEM : rc;
}

static int
open_and_use(void)
{
    struct cache_case c;
    struct err err = {.rc = 0};
    char disk_dir[300];
    char command[340];
    unsigned left = alloc_fail.left;

    alloc_fail.left = 0; /* the case's own */
    if (!case_init(&c, MAP_BYTES, RING_BYTES)) {
        return 1;
    }
    alloc_fail.left = left;
    case_path(&c, "disk", disk_dir, sizeof(disk_dir));
    struct cache_disk_options disk = {.dir = disk_dir, .size_bytes = MAP_BYTES};
    for (size_t i = 0; i < CACHE_CLASS_COUNT; i++) {
        disk.memory_ttl_s[i] = disk.disk_ttl_s[i] = 3600;
    }
    struct cache_options options = {.dir = c.dir,
                                    .map_bytes = MAP_BYTES,
                                    .is_keeper = true,
                                    .board = c.board,
                                    .stats = stats_slot(c.stats, 0),
                                    .disk = &disk};
    int rc = cache_open(&options, &c.cache, NULL, &err);
    if (rc == 0) {
        rc = fill_and_ask(&c);
    } else if (err.reason[0] == '\0') {
        rc = 1;
    }
    cache_close(&c.cache);
    snprintf(command, sizeof(command), "rm -rf '%s'", disk_dir);
    rc = system(command) == 0 ? rc : 1;
    case_fini(&c);
    return rc;
}

static void
a_cache_is_opened_and_right_or_refused(void)
{
    alloc_fail_each(open_and_use);
}

int
main(void)
{
    TAP_RUN(a_cache_is_opened_and_right_or_refused);
    return tap_done();
}
