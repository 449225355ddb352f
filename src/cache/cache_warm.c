/* SPDX-License-Identifier: MIT */
/*
 * cache_warm.c - after a start with an empty memory (a reboot): what the disk tier holds comes back
 * into it, until memory is half full: first what was asked for again, newest first, then the newest
 * of the rest. In slices between the keeper's groups, through its own ring like any other put, so
 * that requests and their entries come first.
 */
#include "cache_disk.h"

#include <stdlib.h>

enum { BATCH = 64, SLICE_NS = 2 * 1000 * 1000 };

/* Goes through the queue from its newest entry down to its oldest. */
static int
queue_begin(struct cache *cache, enum cache_queue queue)
{
    struct cache_warm *warm = &cache->disk->warm;
    struct cache_entry oldest;
    size_t count = 0;

    warm->queue = queue;
    warm->upper_seq = cache->below->keeper.state.next_seq;
    int rc = store_snapshot_renew(cache->below->snapshot);
    if (rc != 0) {
        return rc;
    }
    cache_keeper_enter(cache->below);
    rc = cache_entry_read(cache->below->snapshot, queue, 0, &oldest, 1, &count);
    warm->floor_seq = rc == 0 && count > 0 ? cache_place_seq(oldest.place) : warm->upper_seq;
    cache_keeper_leave(cache->below, AUGURY_END); /* no commit, healthy or not */
    store_snapshot_reset(cache->below->snapshot);
    return rc;
}

void
cache_warm_begin(struct cache *cache)
{
    struct cache_warm *warm = &cache->disk->warm;

    warm->is_on = cache_entries_of(&cache->keeper.state) == 0 && cache->below->store != NULL &&
                  cache_entries_of(&cache->below->keeper.state) > 0;
    if (warm->is_on && queue_begin(cache, CACHE_QUEUE_MAIN) != 0) {
        warm->is_on = false;
    }
}

bool
cache_warm_is_due(const struct cache *cache)
{
    return cache->disk != NULL && cache->disk->warm.is_on && cache->store != NULL &&
           cache->below->store != NULL;
}

static void
warm_end(struct cache *cache)
{
    struct cache_warm *warm = &cache->disk->warm;

    warm->is_on = false;
    warm->has_ended = true;
    free(warm->room);
    warm->room = NULL;
}

/* 0 also for one that is not worth it; AUGURY_ERR_FULL: the ring. */
static int
entry_copy(struct cache *cache, const struct cache_entry *entry)
{
    struct cache_warm *warm = &cache->disk->warm;
    uint64_t now_wall_ms = cache->keeper.now_wall_ms;
    struct bytes value = entry->value;

    if (entry->expires_wall_ms <= now_wall_ms || entry->created_wall_ms > now_wall_ms ||
        cache_death_of(cache->invalid, entry) != CACHE_ALIVE) {
        return 0;
    }
    if ((entry->flags & CACHE_ENTRY_CHUNKED) != 0) {
        warm->room = warm->room != NULL ? warm->room : malloc(CACHE_VALUE_MAX);
        if (warm->room == NULL ||
            cache_entry_gather(cache->below->snapshot, entry, warm->room) != 0) {
            return 0;
        }
        value = bytes_of(warm->room, entry->value_len);
    }
    if (cache_value_check(value) != entry->value_check) {
        return 0;
    }
    struct cache_item item = cache_item_of_entry(cache, entry, value, now_wall_ms);
    int rc = cache_put(cache, &item);
    if (rc == 0) {
        warm->entries++;
        stats_add(cache->stats, STATS_DISK_WARMED, 1);
    }
    return rc == AUGURY_ERR_FULL ? rc : 0;
}

/* Those that lie just below upper_seq, the newest first. */
static int
batch_copy(struct cache *cache)
{
    struct cache_warm *warm = &cache->disk->warm;
    struct cache_entry batch[BATCH];
    uint64_t from = warm->upper_seq > BATCH ? warm->upper_seq - BATCH : 0;
    size_t count = 0;

    int rc = store_snapshot_renew(cache->below->snapshot);
    if (rc != 0) {
        return rc;
    }
    cache_keeper_enter(cache->below);
    rc = cache_entry_read(cache->below->snapshot, warm->queue, from, batch, BATCH, &count);
    for (size_t i = count; rc == 0 && i > 0; i--) {
        uint64_t seq = cache_place_seq(batch[i - 1].place);
        if (seq < warm->upper_seq) {
            rc = entry_copy(cache, &batch[i - 1]);
            warm->upper_seq = rc == 0 ? seq : warm->upper_seq;
        }
    }
    cache_keeper_leave(cache->below, AUGURY_END); /* no commit, healthy or not */
    store_snapshot_reset(cache->below->snapshot);
    if (rc == 0) {
        warm->upper_seq = from;
    }
    return rc;
}

void
cache_warm_slice(struct cache *cache)
{
    struct cache_warm *warm = &cache->disk->warm;
    uint64_t begin = clock_mono_ns();
    int rc = 0;

    while (rc == 0 && clock_mono_ns() - begin < SLICE_NS) {
        bool is_through = warm->upper_seq <= warm->floor_seq;
        if ((is_through && warm->queue == CACHE_QUEUE_SMALL) ||
            cache_used_bytes(cache) > cache->keeper.state.quota_bytes / 2) {
            warm_end(cache);
            return;
        }
        rc = is_through ? queue_begin(cache, CACHE_QUEUE_SMALL) : batch_copy(cache);
    }
    if (rc != 0 && rc != AUGURY_ERR_FULL) {
        warm_end(cache);
    }
}

bool
cache_warm_ended(struct cache *cache, uint64_t *out_entries)
{
    if (cache->disk == NULL || !cache->disk->warm.has_ended) {
        return false;
    }
    cache->disk->warm.has_ended = false;
    *out_entries = cache->disk->warm.entries;
    return true;
}
