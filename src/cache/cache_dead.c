/* SPDX-License-Identifier: MIT */
/*
 * cache_dead.c - removes what has been invalidated, so that it takes no room until its time is
 * over. A round over all entries in slices: some milliseconds a tick while nothing is found, more
 * while there is something to remove.
 * Invariants: (1) a round that has begun after an invalidation, and ended, has met every entry that
 * it holds for, wherever it has moved meanwhile: later ones are refused when they are put; (2) so a
 * ban ends with the first round that began after it; (3) nothing is walked while nothing has been
 * invalidated since the last round.
 */
#include "cache_disk.h"

enum {
    BATCH = 128,
    LOOK_NS = 4 * 1000 * 1000, /* a tick, while nothing is found */
    DEL_NS = 40 * 1000 * 1000,
};

static bool
is_dead(struct cache *cache, const struct cache_entry *entry)
{
    enum cache_death death = cache_death_of(cache->invalid, entry);
    size_t slot = 0;

    if (death == CACHE_DEAD_BY_BAN && cache_ban_find(cache->invalid, entry, &slot)) {
        cache_ban_count(cache->invalid, slot);
    }
    return death != CACHE_ALIVE;
}

/* The dead ones of the next batch, moved to its front; *out_next: where to go on, 0 after the
 * last. */
static int
batch_look(struct cache *cache, struct cache_entry *batch, size_t *out_dead, uint64_t *out_next)
{
    size_t count = 0, dead = 0;

    int rc =
        cache_entry_walk(cache->snapshot, cache->keeper.dead.from, batch, BATCH, &count, out_next);
    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; i < count; i++) {
        if (is_dead(cache, &batch[i])) {
            batch[dead] = batch[i];
            batch[dead].lo = cache_digest(cache, batch[i].text).lo;
            dead++;
        }
    }
    *out_dead = dead;
    return 0;
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
        rc = cache_entry_del(txn, &state, &dead[i]);
    }
    return cache_write_end(cache, &txn, rc, &state);
}

/* Bans end that have been in force for all of a round here and on the disk. A disk that is off
 * begins empty when something has ended meanwhile. */
static int
bans_retire(struct cache *cache)
{
    uint64_t done = cache->keeper.dead.done;
    struct store_txn *txn = NULL;
    struct cache_state state;

    if (cache->below != NULL && cache->below->store != NULL &&
        cache->below->keeper.dead.done < done) {
        done = cache->below->keeper.dead.done;
    }
    if (cache->tier != CACHE_TIER_MEMORY || cache_bans_due(cache, done) == 0) {
        return 0;
    }
    int rc = cache_write_begin(cache, &txn, &state);
    if (rc == 0) {
        cache_move_retire(cache, done);
        rc = cache_write_end(cache, &txn, 0, &state);
    }
    return rc;
}

static int
round_end(struct cache *cache)
{
    struct cache_dead_round *round = &cache->keeper.dead;

    *round = (struct cache_dead_round){.done = round->clock};
    return bans_retire(cache);
}

static int
slice(struct cache *cache, size_t *out_removed)
{
    struct cache_entry batch[BATCH];
    size_t dead = 0;
    uint64_t next = 0;

    int rc = store_snapshot_renew(cache->snapshot);
    if (rc != 0) {
        return rc;
    }
    cache_keeper_enter(cache); /* what a damaged map does to it is told apart */
    rc = batch_look(cache, batch, &dead, &next);
    cache_keeper_leave(cache, AUGURY_END);
    store_snapshot_reset(cache->snapshot);
    if (rc == 0 && dead > 0) {
        rc = batch_remove(cache, batch, dead);
    }
    if (rc != 0) {
        return rc;
    }
    stats_add(cache->stats, STATS_CACHE_DEAD_SWEPT, dead);
    *out_removed = dead;
    cache->keeper.dead.from = next;
    return next == 0 ? round_end(cache) : 0;
}

int
cache_dead_sweep(struct cache *cache)
{
    struct cache_dead_round *round = &cache->keeper.dead;
    uint64_t begin = clock_mono_ns();
    uint64_t budget_ns = LOOK_NS;
    size_t removed = 0;
    int rc = 0;

    do {
        if (round->from == 0) {
            if (round->done == cache_stamp(cache)) {
                return bans_retire(cache);
            }
            round->clock = cache_stamp(cache);
        }
        rc = slice(cache, &removed);
        budget_ns = removed > 0 ? DEL_NS : budget_ns;
    } while (rc == 0 && clock_mono_ns() - begin < budget_ns);
    return rc;
}
