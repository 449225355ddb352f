/* SPDX-License-Identifier: MIT */
/*
 * cache_below.c - the disk tier as it is read: by a worker whose lookup in memory found nothing,
 * and by the keeper for an order about a key that memory does not know.
 * Invariant: what comes up is a copy: it neither takes the place of what memory has nor goes down
 * again, and it comes too late where any put of its stamp would, or where the disk no longer has
 * it.
 */
#include "cache_disk.h"

#include <stdlib.h>
#include <string.h>

static uint64_t
memory_expires_ms(const struct cache *cache, const struct cache_entry *entry, uint64_t now_wall_ms)
{
    uint64_t life_ms = (uint64_t)cache->disk->options.memory_ttl_s[entry->class] * 1000;
    uint64_t until = now_wall_ms + life_ms;

    return entry->expires_wall_ms < until ? entry->expires_wall_ms : until;
}

struct cache_item
cache_item_of_entry(const struct cache *cache, const struct cache_entry *entry, struct bytes value,
                    uint64_t now_wall_ms)
{
    struct cache_item item = {
        .class = (enum cache_class)entry->class,
        .key = entry->text,
        .value = value,
        .created_wall_ms = entry->created_wall_ms,
        .expires_wall_ms = memory_expires_ms(cache, entry, now_wall_ms),
        .stamp = entry->stamp,
        .stale_s = entry->stale_s,
        .cost_us = entry->cost_us,
        .is_copy = true,
        .is_from_disk = true,
    };

    memcpy(item.tags, entry->tags, sizeof(item.tags));
    return item;
}

int
cache_below_get(struct cache *cache, const struct cache_query *query, struct cache_hit *out_hit)
{
    struct cache *below = cache->below;
    struct cache_query fresh = *query;
    struct cache_entry entry;

    fresh.takes_stale = false;
    if (cache->disk->options.disk_ttl_s[query->class] == 0) {
        return AUGURY_NOT_FOUND;
    }
    /* Whoever dies of a damaged map, opening it too, says so of the right one. */
    atomic_store_explicit(&cache->board->is_below[cache->slot], 1, memory_order_relaxed);
    if ((!below->is_reading && cache_snapshot_begin(below) != 0) || !below->is_reading) {
        atomic_store_explicit(&cache->board->is_below[cache->slot], 0, memory_order_relaxed);
        return AUGURY_NOT_FOUND;
    }
    int rc = cache_lookup(below, &fresh, out_hit, &entry);
    atomic_store_explicit(&cache->board->is_below[cache->slot], 0, memory_order_relaxed);
    stats_add(cache->stats, STATS_DISK_MISSES, rc == AUGURY_NOT_FOUND ? 1 : 0);
    if (rc == 0) {
        out_hit->expires_wall_ms = memory_expires_ms(cache, &entry, query->now_wall_ms);
        struct cache_item item =
            cache_item_of_entry(cache, &entry, out_hit->value, query->now_wall_ms);
        (void)cache_put(cache, &item); /* a drop is counted there */
    }
    return rc;
}

void
cache_below_end(struct cache *cache)
{
    if (cache->below != NULL) {
        cache_snapshot_end(cache->below);
    }
}

/* The key may have been put by order since the copy was made, and memory have let go of that: what
 * it was made of is gone from the disk then. */
bool
cache_below_still_has(struct cache *cache, const struct cache_ring_record *record)
{
    struct cache *below = cache->below;
    struct cache_entry entry;

    if (below == NULL || below->store == NULL || store_snapshot_renew(below->snapshot) != 0) {
        return false;
    }
    cache_keeper_enter(below);
    int rc = cache_entry_find(below->snapshot, cache_digest(below, record->item.key).lo, &entry);
    bool is_there = rc == 0 && entry.value_check == record->value_check &&
                    entry.created_wall_ms == record->item.created_wall_ms &&
                    bytes_equal(entry.text, record->item.key);
    cache_keeper_leave(below, AUGURY_END); /* no commit, healthy or not */
    store_snapshot_reset(below->snapshot);
    return is_there;
}

/* Writes one into memory's transaction. */
static int
copy_write(struct cache *cache, struct store_txn *txn, struct cache_state *state,
           const struct cache_entry *entry)
{
    struct bytes value = entry->value;
    uint8_t *room = NULL;
    uint64_t written = 0;
    int rc = 0;

    if ((entry->flags & CACHE_ENTRY_CHUNKED) != 0) {
        room = malloc(entry->value_len);
        rc = room == NULL ? AUGURY_ERR_NOMEM
                          : cache_entry_gather(cache->below->snapshot, entry, room);
        value = bytes_of(room, entry->value_len);
    }
    if (rc == 0 && cache_value_check(value) == entry->value_check) {
        struct cache_ring_record record = {
            .item = cache_item_of_entry(cache, entry, value, cache->keeper.now_wall_ms),
            .value_check = entry->value_check};
        record.item.is_from_disk = false; /* it is there: that is where it is read just now */
        rc = cache_record_write(cache, txn, state, &record, &written);
    }
    free(room);
    return rc > 0 ? 0 : rc;
}

int
cache_below_pull(struct cache *cache, struct store_txn *txn, struct cache_state *state,
                 struct bytes key)
{
    struct cache *below = cache->below;
    struct cache_entry entry;

    if (below == NULL || below->store == NULL) {
        return 0;
    }
    if (store_snapshot_renew(below->snapshot) != 0) {
        return 0;
    }
    cache_keeper_enter(below);
    int rc = cache_entry_find(below->snapshot, cache_digest(below, key).lo, &entry);
    bool is_live = rc == 0 && bytes_equal(entry.text, key) &&
                   entry.expires_wall_ms > cache->keeper.now_wall_ms &&
                   cache_death_of(cache->invalid, &entry) == CACHE_ALIVE &&
                   !cache_moves_kill(cache, &entry);
    entry.lo = cache_digest(below, key).lo;
    rc = is_live ? copy_write(cache, txn, state, &entry) : 0;
    cache_keeper_leave(below, AUGURY_END);
    store_snapshot_reset(below->snapshot);
    return rc;
}
