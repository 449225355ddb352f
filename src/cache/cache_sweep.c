/* SPDX-License-Identifier: MIT */
/*
 * cache_sweep.c - removes what has expired, wherever it stands in its queue, so that it does not
 * wait for its turn at the head. Rounds over all entries in slices: some milliseconds a tick while
 * nothing is found, more while there is something to remove.
 * Invariant: no round begins before the time at which, by the last round and the entries written
 * since it began, something can have expired: an idle cache is not walked.
 */
#include "cache_priv.h"

enum {
    BATCH = 128,
    LOOK_NS = 4 * 1000 * 1000, /* a tick, while nothing is found */
    DEL_NS = 40 * 1000 * 1000,
};

uint64_t
cache_entry_until_ms(const struct cache_entry *entry)
{
    return entry->expires_wall_ms + (uint64_t)entry->stale_s * 1000;
}

bool
cache_entry_is_dead(const struct cache *cache, const struct cache_entry *entry)
{
    return cache_entry_until_ms(entry) <= cache->keeper.now_wall_ms ||
           cache_death_of(cache->invalid, entry) != CACHE_ALIVE;
}

void
cache_sweep_expect(struct cache *cache, uint64_t until_wall_ms)
{
    struct cache_sweep *sweep = &cache->keeper.sweep;

    sweep->due_wall_ms = until_wall_ms < sweep->due_wall_ms ? until_wall_ms : sweep->due_wall_ms;
    sweep->next_wall_ms = until_wall_ms < sweep->next_wall_ms ? until_wall_ms : sweep->next_wall_ms;
}

/* The expired ones of the next batch, moved to its front. */
static int
batch_look(struct cache *cache, struct cache_entry *batch, struct cache_sweep *sweep,
           size_t *out_dead)
{
    size_t count = 0, dead = 0;

    int rc = cache_entry_walk(cache->snapshot, sweep->from, batch, BATCH, &count, &sweep->from);
    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t until = cache_entry_until_ms(&batch[i]);
        if (until <= cache->keeper.now_wall_ms) {
            batch[dead] = batch[i];
            batch[dead].lo = cache_digest(cache, batch[i].text).lo;
            dead++;
        } else if (until < sweep->next_wall_ms) {
            sweep->next_wall_ms = until;
        }
    }
    *out_dead = dead;
    return 0;
}

/* An entry that was asked for comes back to main when it is made anew. */
static void
remember(struct cache *cache, const struct cache_state *state, const struct cache_entry *entry)
{
    if (cache_place_queue(entry->place) == CACHE_QUEUE_MAIN ||
        cache_heat_of(cache->heat, entry->lo) > 1) {
        cache_evict_remember(cache, state, entry->lo);
    }
}

static int
batch_remove(struct cache *cache, const struct cache_entry *dead, size_t count)
{
    struct store_txn *txn = NULL;
    struct cache_state state;

    int rc = cache_write_begin(cache, &txn, &state);
    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        remember(cache, &state, &dead[i]);
        rc = cache_entry_del(txn, &state, &dead[i]);
    }
    return cache_write_end(cache, &txn, rc, &state);
}

static int
slice(struct cache *cache, size_t *out_removed)
{
    struct cache_sweep after = cache->keeper.sweep;
    struct cache_entry batch[BATCH];
    size_t dead = 0;

    int rc = store_snapshot_renew(cache->snapshot);
    if (rc != 0) {
        return rc;
    }
    cache_keeper_enter(cache); /* what a damaged map does to it is told apart */
    rc = batch_look(cache, batch, &after, &dead);
    cache_keeper_leave(cache, AUGURY_END);
    store_snapshot_reset(cache->snapshot);
    if (rc == 0 && dead > 0) {
        rc = batch_remove(cache, batch, dead);
    }
    if (rc != 0) {
        return rc;
    }
    stats_add(cache->stats, STATS_CACHE_EXPIRED_SWEPT, dead);
    if (after.from == 0) {
        after.due_wall_ms = after.next_wall_ms;
        after.next_wall_ms = UINT64_MAX;
    }
    cache->keeper.sweep = after;
    *out_removed = dead;
    return 0;
}

int
cache_sweep(struct cache *cache)
{
    const struct cache_sweep *sweep = &cache->keeper.sweep;
    uint64_t begin = clock_mono_ns();
    uint64_t budget_ns = LOOK_NS;
    size_t removed = 0;
    int rc = 0;

    while (rc == 0 && clock_mono_ns() - begin < budget_ns &&
           (sweep->from != 0 || sweep->due_wall_ms <= cache->keeper.now_wall_ms)) {
        rc = slice(cache, &removed);
        budget_ns = removed > 0 ? DEL_NS : budget_ns;
    }
    return rc;
}
