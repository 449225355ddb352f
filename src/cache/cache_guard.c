/* SPDX-License-Identifier: MIT */
/*
 * cache_guard.c - the frame around every write of the keeper: transactions that keep the state
 * true, and what happens when the file system refuses or the environment is damaged.
 * Invariants: (1) keeper.state is that of the last commit: a transaction works on a copy; (2) every
 * write lies between cache_keeper_enter and cache_keeper_leave, so that a keeper which keeps dying
 * inside LMDB is noticed at the next start and the environment replaced; (3) the epoch is odd while
 * the environment is opened or replaced.
 */
#include "cache_disk.h"

#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

enum {
    DEATHS_MAX = 3,
    COMMITS_HEALTHY = 64,
    RETRY_MS = 1000, /* when the cache is off */
    RELAPSE_MS = 10 * 1000,
    FULL_BYTES = 1 << 20, /* less is free: no group of entries may be sure to fit */
};

/* ---- inside LMDB --------------------------------------------------------------------------- */

void
cache_keeper_enter(struct cache *cache)
{
    if (cache->rings != NULL) {
        atomic_store(&cache->rings->in_commit, 1);
    }
}

void
cache_keeper_leave(struct cache *cache, int rc)
{
    if (cache->rings == NULL) {
        return;
    }
    atomic_store(&cache->rings->in_commit, 0);
    if (rc == 0 && ++cache->keeper.healthy_commits == COMMITS_HEALTHY) {
        atomic_store(&cache->rings->deaths, 0);
    }
}

void
cache_count(struct cache *cache, enum stats_id in_memory, enum stats_id on_disk, uint64_t count)
{
    stats_add(cache->tier_stats, cache->tier == CACHE_TIER_DISK ? on_disk : in_memory, count);
}

int
cache_used_measure(struct cache *cache)
{
    struct store_usage usage;

    int rc = store_usage(cache->store, &usage);
    if (rc == 0) {
        cache->keeper.used_pages = usage.used_pages;
        cache->keeper.file_bytes = usage.file_blocks_bytes;
        cache->keeper.page_bytes = usage.page_bytes;
        cache->keeper.map_bytes = usage.map_bytes;
    }
    return rc;
}

uint64_t
cache_used_bytes(const struct cache *cache)
{
    return cache->keeper.used_pages * cache->keeper.page_bytes;
}

uint64_t
cache_entries_of(const struct cache_state *state)
{
    uint64_t entries = 0;

    for (size_t i = 0; i < CACHE_CLASS_COUNT; i++) {
        entries += state->entries_of_class[i];
    }
    return entries;
}

/* Ends a write transaction that has come to rc: commits or aborts, and takes the state over. */
int
cache_write_end(struct cache *cache, struct store_txn **txn, int rc,
                const struct cache_state *state)
{
    if (rc == 0) {
        rc = cache_moves_store(cache, *txn);
    }
    if (rc == 0) {
        rc = cache_disk_moves(cache);
    }
    if (rc == 0) {
        rc = cache_state_write(*txn, state);
    }
    if (rc == 0) {
        rc = store_commit(txn);
    }
    store_abort(txn);
    if (rc == 0) {
        cache->keeper.state = *state;
        cache_moves_publish(cache);
        rc = cache_used_measure(cache);
    } else {
        stats_add(cache->stats, STATS_CACHE_COMMIT_FAILURES, 1);
    }
    cache_keeper_leave(cache, rc);
    return rc;
}

int
cache_write_begin(struct cache *cache, struct store_txn **out_txn, struct cache_state *out_state)
{
    cache_keeper_enter(cache);
    int rc = store_begin(cache->store, out_txn);
    if (rc != 0) {
        cache_keeper_leave(cache, rc);
        return rc;
    }
    *out_state = cache->keeper.state;
    cache_moves_begin(cache);
    return 0;
}

/* ---- open, replace, off -------------------------------------------------------------------- */

/* A keeper that died inside LMDB again and again has met something that LMDB cannot say in a
 * code. */
static bool
deaths_are_too_many(struct cache *cache)
{
    bool has_crashed = atomic_exchange(&cache->rings->has_crashed, 0) != 0;
    bool was_inside = atomic_exchange(&cache->rings->in_commit, 0) != 0;

    if (!has_crashed || !was_inside) {
        return false;
    }
    /* It did not even open: the next one would not, and workers die of the same. */
    if ((atomic_load(&cache->rings->epoch) & 1) != 0) {
        atomic_store(&cache->rings->deaths, 0);
        return true;
    }
    if (atomic_fetch_add(&cache->rings->deaths, 1) + 1 < DEATHS_MAX) {
        return false;
    }
    atomic_store(&cache->rings->deaths, 0);
    return true;
}

static int
keeper_state_read(struct cache *cache)
{
    int rc = store_snapshot_renew(cache->snapshot);
    if (rc != 0) {
        return rc;
    }
    rc = cache_state_read(cache->snapshot, &cache->keeper.state);
    store_snapshot_reset(cache->snapshot);
    return rc == 0 ? cache_used_measure(cache) : rc;
}

uint64_t
cache_quota_clamp(const struct cache *cache, uint64_t quota_bytes)
{
    uint64_t most = cache->keeper.map_bytes / 10 * 7;
    uint64_t least = 64 * cache->keeper.page_bytes;

    quota_bytes = quota_bytes == 0 || quota_bytes > most ? most : quota_bytes;
    return quota_bytes < least ? least : quota_bytes;
}

/* What the keeper knows of an environment that it has just opened. */
static int
environment_read(struct cache *cache, struct err *err)
{
    int rc = keeper_state_read(cache);

    if (rc == 0) {
        rc = cache_invalid_adopt(cache);
    }
    if (rc == 0) { /* a keeper that was killed while it read would hold pages for ever */
        rc = store_reader_check(cache->store, NULL);
    }
    return rc == 0 ? 0
                   : err_set(err, rc, "cache_unreadable", "%s cannot be read: %s", cache->dir,
                             augury_strerror(rc));
}

/* Opens, replacing what cannot be used: set_aside says that this is known beforehand. */
static int
environment_open(struct cache *cache, bool set_aside, bool *out_was_damaged, struct err *err)
{
    bool was_damaged = set_aside;
    uint64_t quota = cache->keeper.state.quota_bytes;
    int rc = 0;

    for (int tries = 0; tries < 2; tries++) {
        bool damaged_now = false;
        if (set_aside && (rc = store_set_aside(cache->dir)) != 0) {
            err_set(err, rc, "cache_aside", "what is in %s cannot be moved aside: %s", cache->dir,
                    augury_strerror(rc));
        }
        if (rc == 0) {
            rc = cache_store_open(cache, &damaged_now, err);
        }
        if (rc == 0) {
            rc = environment_read(cache, err);
        }
        was_damaged = was_damaged || damaged_now;
        if (rc != AUGURY_ERR_CORRUPT) {
            break;
        }
        cache_store_close(cache);
        set_aside = was_damaged = true;
        rc = 0;
    }
    if (rc == 0 && cache->store == NULL) {
        rc = AUGURY_ERR_CORRUPT;
    }
    if (rc != 0) {
        cache_store_close(cache);
        return rc;
    }
    cache->keeper.sweep = (struct cache_sweep){.next_wall_ms = UINT64_MAX};
    cache->keeper.state.quota_bytes =
        cache_quota_clamp(cache, quota != 0 ? quota : cache->keeper.state.quota_bytes);
    *out_was_damaged = was_damaged;
    return 0;
}

/* Environment and epoch: odd while this runs; another even number tells every worker to open
 * anew. */
int
cache_keeper_reopen(struct cache *cache, bool set_aside, bool *out_was_damaged, struct err *err)
{
    struct cache_rings *rings = cache->rings;
    bool was_damaged = false;

    if (rings == NULL) {
        return environment_open(cache, set_aside, out_was_damaged, err);
    }
    uint64_t epoch = atomic_load(&rings->epoch);
    /* Found odd: a keeper died in here, perhaps after it had replaced the files. */
    bool is_new = (epoch & 1) != 0;
    epoch &= ~UINT64_C(1);
    atomic_store(&rings->epoch, epoch | 1);
    cache_keeper_enter(cache);
    int rc = environment_open(cache, set_aside, &was_damaged, err);
    atomic_store(&rings->in_commit, 0);
    is_new = is_new || was_damaged || rc != 0;
    cache->epoch = is_new ? epoch + 2 : epoch;
    atomic_store(&rings->epoch, cache->epoch);
    if (was_damaged) {
        cache_count(cache, STATS_CACHE_REPLACED, STATS_DISK_REPLACED, 1);
        *out_was_damaged = true;
    }
    return rc;
}

int
cache_keeper_open(struct cache *cache, bool *out_was_damaged, struct err *err)
{
    bool set_aside = false;

    if (cache->rings != NULL) {
        if (cache->keeper.tails == NULL) {
            cache->keeper.tails = calloc(cache->rings->slots, sizeof(uint64_t));
            cache->keeper.gather = cache_gather_new(cache->rings->slots);
        }
        if (cache->keeper.shadow == NULL && cache->tier == CACHE_TIER_MEMORY) {
            cache->keeper.shadow = cache_shadow_new();
        }
        if (cache->keeper.tails == NULL || cache->keeper.gather == NULL ||
            (cache->keeper.shadow == NULL && cache->tier == CACHE_TIER_MEMORY)) {
            return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "out of memory");
        }
        set_aside = deaths_are_too_many(cache);
    }
    int rc = cache_keeper_reopen(cache, set_aside, out_was_damaged, err);
    if (rc == 0 && cache->rings != NULL) {
        cache_keeper_on(cache);
    }
    return rc;
}

/* ---- off and on ---------------------------------------------------------------------------- */

static bool
is_file_system_full(const char *dir)
{
    struct statvfs room;

    return statvfs(dir, &room) == 0 && room.f_bavail < FULL_BYTES / room.f_frsize;
}

void
cache_keeper_on(struct cache *cache)
{
    if (atomic_exchange(&cache->rings->off, 0) != 0) {
        atomic_store(&cache->rings->off_ended_wall_ms, clock_wall_ms());
    }
}

/* What goes off again soon after it came back has never been well: it keeps its beginning. */
static void
off_note(struct cache *cache)
{
    struct cache_rings *rings = cache->rings;
    uint64_t now_ms = clock_wall_ms();

    /* A tier that nobody has opened yet has been off since no time that is known. */
    bool has_begun = atomic_load(&rings->off_since_wall_ms) != 0;
    if (atomic_load(&rings->off) != 0 && has_begun) {
        return;
    }
    atomic_store(&rings->off_is_full, is_file_system_full(cache->dir) ? 1 : 0);
    if (!has_begun || now_ms - atomic_load(&rings->off_ended_wall_ms) > RELAPSE_MS) {
        atomic_store(&rings->off_since_wall_ms, now_ms);
    }
    atomic_store(&rings->off, 1); /* last: who sees it sees the rest */
}

static void
condition_read(const struct cache_rings *rings, struct cache_condition *out_condition)
{
    out_condition->is_off = atomic_load(&rings->off) != 0;
    out_condition->is_full = out_condition->is_off && atomic_load(&rings->off_is_full) != 0;
    out_condition->off_since_wall_ms =
        out_condition->is_off ? atomic_load(&rings->off_since_wall_ms) : 0;
}

void
cache_condition(const struct cache_board *board, struct cache_condition *out_condition)
{
    condition_read(board->rings, out_condition);
}

bool
cache_disk_condition(const struct cache_board *board, struct cache_condition *out_condition)
{
    condition_read(board->disk_rings, out_condition);
    return atomic_load(&board->has_disk) != 0;
}

/* The file system refused: lookups miss, puts drop, the server goes on. The tick tries again. */
void
cache_keeper_off(struct cache *cache)
{
    cache_store_close(cache);
    cache->keeper.retry_mono_ms = clock_mono_ms() + RETRY_MS;
    if (cache->rings != NULL) {
        off_note(cache);
        cache_rings_refuse(cache, AUGURY_ERR_STATE);
    }
}

void
cache_keeper_replace(struct cache *cache)
{
    bool was_damaged = false;

    cache_store_close(cache);
    if (cache_keeper_reopen(cache, true, &was_damaged, NULL) != 0) {
        cache_keeper_off(cache);
    }
}

/* What a failed write means for the environment; the caller has dropped or keeps its work. */
void
cache_keeper_react(struct cache *cache, int rc)
{
    switch (rc) {
    /* An entry or chunk key that should be new is there: the tables contradict each other. */
    case AUGURY_ERR_EXISTS:
    case AUGURY_ERR_CORRUPT: cache_keeper_replace(cache); break;
    case AUGURY_ERR_IO: cache_keeper_off(cache); break;
    /* LMDB met damage earlier in the transaction than where its code was looked at. */
    case AUGURY_ERR_STATE:
        if (cache->store != NULL) {
            cache_keeper_replace(cache);
        }
        break;
    default: break;
    }
}
