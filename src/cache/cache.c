/* SPDX-License-Identifier: MIT */
/*
 * cache.c - a process's view: open, look up, hand new entries to the ring, measure.
 * Invariants: (1) nothing borrowed from the map outlives the snapshot; (2) a lookup answers only
 * what passed the text, the class, the time and the value's check; (3) a process uses an
 * environment only while the rings' epoch is the one it opened.
 */
#include "cache_disk.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "augury/seal.h"

enum {
    MAX_READERS = 512,
    OPEN_WAIT_MS = 2000,
    OPEN_PAUSE_MS = 5,
    REOPEN_PAUSE_MS = 100,
    TIMED_ONE_IN = 64,
};

static const struct {
    const char *name;
    enum stats_id hits;
    enum stats_id disk_hits;
    enum stats_id misses;
} classes[CACHE_CLASS_COUNT] = {
    [CACHE_PREDICTION] = {"prediction", STATS_CACHE_HITS_PREDICTION, STATS_DISK_HITS_PREDICTION,
                          STATS_CACHE_MISSES_PREDICTION},
    [CACHE_FEATURE] = {"feature", STATS_CACHE_HITS_FEATURE, STATS_DISK_HITS_FEATURE,
                       STATS_CACHE_MISSES_FEATURE},
    [CACHE_LINEUP] = {"lineup", STATS_CACHE_HITS_LINEUP, STATS_DISK_HITS_LINEUP,
                      STATS_CACHE_MISSES_LINEUP},
    [CACHE_MODEL] = {"model", STATS_CACHE_HITS_MODEL, STATS_DISK_HITS_MODEL,
                     STATS_CACHE_MISSES_MODEL},
    [CACHE_RESPONSE] = {"response", STATS_CACHE_HITS_RESPONSE, STATS_DISK_HITS_RESPONSE,
                        STATS_CACHE_MISSES_RESPONSE},
    [CACHE_OBJECT] = {"object", STATS_CACHE_HITS_OBJECT, STATS_DISK_HITS_OBJECT,
                      STATS_CACHE_MISSES_OBJECT},
};

const char *cache_class_name(enum cache_class class)
{
    AUGURY_ASSERT(class < CACHE_CLASS_COUNT);
    return classes[class].name;
}

/* ---- open and close ------------------------------------------------------------------------ */

/* A new environment: its secret and an empty state, in one commit. */
static int
secret_make(struct cache *cache)
{
    struct store_txn *txn = NULL;
    struct cache_state state = {.next_seq = 1};

    int rc = 0;
    if (cache->has_kin) {
        memcpy(cache->secret, cache->kin_secret, sizeof(cache->secret));
    } else {
        rc = seal_random(cache->secret, sizeof(cache->secret));
    }
    if (rc == 0) {
        rc = store_begin(cache->store, &txn);
    }
    if (rc == 0) {
        rc = store_put(txn, CACHE_TABLE_META, bytes_of_text("secret"),
                       bytes_of(cache->secret, sizeof(cache->secret)), STORE_PUT_NEW);
    }
    if (rc == 0) {
        rc = cache_state_write(txn, &state);
    }
    if (rc == 0) {
        rc = cache_place_fresh(txn);
    }
    if (rc == 0) {
        return store_commit(&txn);
    }
    store_abort(&txn);
    return rc;
}

static int
secret_read(struct cache *cache)
{
    struct cache_state state;
    struct bytes secret;

    int rc = store_snapshot_renew(cache->snapshot);
    if (rc != 0) {
        return rc;
    }
    rc = store_find(cache->snapshot, CACHE_TABLE_META, bytes_of_text("secret"), &secret);
    if (rc == 0 && secret.len != sizeof(cache->secret)) {
        rc = AUGURY_ERR_CORRUPT;
    }
    if (rc == 0) {
        memcpy(cache->secret, secret.data, sizeof(cache->secret));
        rc = cache_state_read(cache->snapshot, &state);
        rc = rc == AUGURY_NOT_FOUND ? AUGURY_ERR_CORRUPT : rc;
    }
    store_snapshot_reset(cache->snapshot);
    return rc;
}

size_t
cache_memo_bytes(void)
{
    return sizeof(struct cache_memo) * CACHE_MEMO_WAYS << CACHE_MEMO_BITS;
}

void
cache_store_close(struct cache *cache)
{
    cache->is_reading = false;
    if (cache->memo != NULL) {
        memset(cache->memo, 0, cache_memo_bytes());
    }
    store_snapshot_free(&cache->snapshot);
    store_close(&cache->store);
}

int
cache_store_open(struct cache *cache, bool *out_was_damaged, struct err *err)
{
    struct store_options options = {
        .dir = cache->dir,
        .map_bytes = cache->map_bytes,
        .max_readers = MAX_READERS,
        .flags = STORE_DISPOSABLE | (cache->is_keeper ? STORE_CREATE : STORE_READ_ONLY) |
                 (cache->is_keeper && cache->is_for_group ? STORE_GROUP : 0),
        .tables = cache_tables,
        .table_count = CACHE_TABLE_COUNT,
    };

    int rc = store_open(&options, &cache->store, out_was_damaged, err);
    if (rc != 0) {
        return rc;
    }
    rc = store_snapshot_new(cache->store, &cache->snapshot);
    if (rc == 0) {
        rc = secret_read(cache);
    }
    if (rc == AUGURY_NOT_FOUND && cache->is_keeper) {
        rc = secret_make(cache);
    }
    if (rc != 0) {
        cache_store_close(cache);
        return err_set(err, rc, "cache_open", "cannot use the cache in %s: %s", cache->dir,
                       augury_strerror(rc));
    }
    return 0;
}

/* One try; AUGURY_ERR_BUSY while the keeper is replacing the environment. */
static int
reader_open(struct cache *cache, struct err *err)
{
    uint64_t epoch = 0;

    if (cache->rings != NULL) {
        epoch = atomic_load(&cache->rings->epoch);
        if ((epoch & 1) != 0) {
            return err_set(err, AUGURY_ERR_BUSY, "cache_busy", "the cache in %s is being opened",
                           cache->dir);
        }
    }
    int rc = cache_store_open(cache, NULL, err);
    if (rc != 0) {
        return rc;
    }
    if (cache->rings != NULL && atomic_load(&cache->rings->epoch) != epoch) {
        cache_store_close(cache);
        return err_set(err, AUGURY_ERR_BUSY, "cache_busy", "the cache in %s is being replaced",
                       cache->dir);
    }
    cache->epoch = epoch;
    return 0;
}

static int
reader_open_and_wait(struct cache *cache, struct err *err)
{
    struct timespec pause = {.tv_nsec = OPEN_PAUSE_MS * 1000000L};
    uint64_t begin = clock_mono_ms();

    for (;;) {
        int rc = reader_open(cache, err);
        bool may_pass = rc == AUGURY_NOT_FOUND || rc == AUGURY_ERR_BUSY;
        if (!may_pass || clock_mono_ms() - begin >= OPEN_WAIT_MS) {
            return rc;
        }
        nanosleep(&pause, NULL);
    }
}

/* What another try may mend. */
static bool
is_for_later(int rc)
{
    return rc == AUGURY_NOT_FOUND || rc == AUGURY_ERR_BUSY || rc == AUGURY_ERR_CORRUPT ||
           rc == AUGURY_ERR_IO;
}

/* Of the board, or of this process alone. */
static int
parts_attach(struct cache *cache)
{
    cache->rings = cache->board == NULL ? NULL : cache->board->rings;
    cache->heat = cache->board == NULL ? NULL : cache->board->heat;
    cache->hints = cache->board == NULL ? NULL : cache->board->hints;
    cache->invalid =
        cache->board != NULL ? cache->board->invalid : calloc(1, cache_invalid_bytes());
    cache->memo = calloc(1, cache_memo_bytes());
    if (cache->dir == NULL || cache->memo == NULL || cache->invalid == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    return cache->board == NULL || cache->is_keeper ? 0 : cache_order_slot_begin(cache);
}

int
cache_open(const struct cache_options *options, struct cache **out_cache, bool *out_was_damaged,
           struct err *err)
{
    bool was_damaged = false;

    struct cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL) {
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "out of memory");
    }
    cache->dir = strdup(options->dir);
    cache->map_bytes = options->map_bytes;
    cache->is_keeper = options->is_keeper;
    cache->is_for_group = options->is_for_group;
    cache->slot = options->slot;
    cache->board = options->board;
    cache->stats = cache->tier_stats = options->stats;
    int rc = parts_attach(cache);
    if (rc == 0 && options->disk != NULL) {
        rc = cache_disk_open(cache, options->disk);
    }
    if (rc != 0) {
        err_set(err, rc, "cache_open", "cache: %s", augury_strerror(rc));
    } else if (options->is_keeper) {
        rc = cache_keeper_open(cache, &was_damaged, err);
    } else {
        rc = reader_open_and_wait(cache, err);
        /* A keeper comes back, perhaps with another environment: the process looks for it as after
         * a replacement. */
        rc = cache->rings != NULL && is_for_later(rc) ? 0 : rc;
    }
    if (rc == 0 && options->is_keeper && cache->below != NULL) {
        cache_disk_settle(cache);
        cache_warm_begin(cache);
    }
    if (rc != 0) {
        cache_close(&cache);
        return rc;
    }
    *out_cache = cache;
    if (out_was_damaged != NULL) {
        *out_was_damaged = was_damaged;
    }
    return 0;
}

void
cache_close(struct cache **cache)
{
    if (*cache == NULL) {
        return;
    }
    cache_disk_close(*cache);
    cache_store_close(*cache);
    if ((*cache)->board == NULL) {
        free((*cache)->invalid);
    }
    free((*cache)->memo);
    free((*cache)->keeper.tails);
    free((*cache)->keeper.gather);
    cache_shadow_free(&(*cache)->keeper.shadow);
    free((*cache)->dir);
    free(*cache);
    *cache = NULL;
}

bool
cache_is_open(const struct cache *cache)
{
    return cache->store != NULL;
}

struct digest
cache_digest(const struct cache *cache, struct bytes data)
{
    return digest_with_secret(data, cache->secret);
}

/* ---- lookups ------------------------------------------------------------------------------- */

/* After a change of epoch: the old environment has been replaced. Tried again at most every
 * REOPEN_PAUSE_MS. */
static void
reader_follow(struct cache *cache)
{
    uint64_t now = clock_mono_ms();

    if (cache->store != NULL && (atomic_load(&cache->rings->epoch) & 1) != 0) {
        return;
    }
    if (now < cache->reopen_mono_ms) {
        return;
    }
    cache_store_close(cache);
    if (reader_open(cache, NULL) != 0) {
        cache->reopen_mono_ms = now + REOPEN_PAUSE_MS;
    }
}

/* Whether the environment that is open may be read. */
static bool
is_current(struct cache *cache)
{
    if (cache->rings == NULL || cache->is_keeper) {
        return cache->store != NULL;
    }
    if (atomic_load_explicit(&cache->rings->off, memory_order_relaxed) != 0) {
        return false;
    }
    if (cache->store == NULL ||
        atomic_load_explicit(&cache->rings->epoch, memory_order_acquire) != cache->epoch) {
        reader_follow(cache);
    }
    return cache->store != NULL && atomic_load(&cache->rings->epoch) == cache->epoch;
}

int
cache_snapshot_begin(struct cache *cache)
{
    AUGURY_ASSERT(!cache->is_reading);
    if (!is_current(cache)) {
        return 0;
    }
    int rc = store_snapshot_renew(cache->snapshot);
    if (rc == 0 && cache->board == NULL) {
        rc = cache_invalid_follow(cache->invalid, cache->snapshot);
        if (rc != 0) {
            store_snapshot_reset(cache->snapshot);
        }
    }
    cache->is_reading = rc == 0;
    cache->txn_id = store_txn_id(cache->snapshot);
    return rc;
}

void
cache_snapshot_end(struct cache *cache)
{
    cache_below_end(cache);
    if (cache->is_reading) {
        store_snapshot_reset(cache->snapshot);
        cache->is_reading = false;
    }
}

static int
value_whole(struct cache *cache, const struct cache_entry *entry, struct arena *arena,
            struct bytes *out_value)
{
    struct bytes value = entry->value;

    if ((entry->flags & CACHE_ENTRY_CHUNKED) != 0) {
        uint8_t *room = arena == NULL ? NULL : arena_alloc(arena, entry->value_len);
        if (room == NULL) {
            return AUGURY_ERR_NOMEM;
        }
        int rc = cache_entry_gather(cache->snapshot, entry, room);
        if (rc != 0) {
            return rc;
        }
        value = bytes_of(room, entry->value_len);
    }
    *out_value = value;
    return 0;
}

/* Lets the keeper replace what this process found damaged. */
static void
damage_tell(struct cache *cache)
{
    if (cache->rings != NULL) {
        atomic_store(&cache->rings->damage, cache->epoch + 1);
    }
}

static struct cache_memo *
memo_bucket(struct cache *cache, uint64_t lo)
{
    return &cache->memo[(lo >> (64 - CACHE_MEMO_BITS)) * CACHE_MEMO_WAYS];
}

/* NULL: not remembered, or no longer there. */
static struct cache_memo *
memo_find(struct cache *cache, uint64_t lo)
{
    struct cache_memo *memo = memo_bucket(cache, lo);
    struct bytes stored;

    memo = memo[0].lo == lo ? &memo[0] : &memo[1];
    if (memo->lo != lo || memo->record == NULL) {
        return NULL;
    }
    if (memo->txn_id != cache->txn_id) {
        if (cache_entry_stored(cache->snapshot, memo->place, &stored) != 0) {
            return NULL;
        }
        memo->record = stored.data;
        memo->txn_id = cache->txn_id;
    }
    return memo;
}

static void
memo_put(struct cache *cache, uint64_t lo, const struct cache_entry *entry)
{
    struct cache_memo *memo = memo_bucket(cache, lo);

    if (memo[0].lo != lo) {
        memo[1] = memo[0];
    }
    memo[0] = (struct cache_memo){.lo = lo,
                                  .place = entry->place & ((UINT64_C(1) << CACHE_PLACE_BITS) - 1),
                                  .len = entry->stored.len & UINT16_MAX,
                                  .record = entry->stored.data,
                                  .txn_id = cache->txn_id};
}

/* By the shared hint: it may name the place of another key, or one that is gone. Where the entry
 * was last seen is on its way from memory while the tree is walked to where it is. */
static bool
hint_find(struct cache *cache, uint64_t lo, struct bytes key, struct cache_entry *out_entry)
{
    atomic_uint_least32_t *near = NULL;
    uint64_t place = cache->hints == NULL ? 0 : cache_hint_find(cache->hints, lo, &near);

    if (place == 0) {
        return false;
    }
    uint32_t line = atomic_load_explicit(near, memory_order_relaxed);
    store_line_prefetch(cache->snapshot, line);
    if (cache_entry_at(cache->snapshot, place, out_entry) != 0 ||
        !bytes_equal(out_entry->text, key)) {
        return false;
    }
    uint32_t now = store_line_of(cache->snapshot, out_entry->stored);
    if (now != line) {
        atomic_store_explicit(near, now, memory_order_relaxed);
    }
    return true;
}

/* By the memo if it knows the key, by the hint if it is true, else by the index. */
static int
entry_find(struct cache *cache, uint64_t lo, struct bytes key, struct cache_entry *out_entry,
           bool *out_is_checked)
{
    if (cache->hints != NULL) {
        /* Far away all three, and independent of each other. */
        __builtin_prefetch(memo_bucket(cache, lo));
        cache_hint_prefetch(cache->hints, lo);
        cache_heat_prefetch(cache->heat, lo);
    }
    const struct cache_memo *memo = memo_find(cache, lo);

    *out_is_checked =
        memo != NULL && cache_entry_decode(bytes_of(memo->record, memo->len), out_entry);
    if (*out_is_checked || hint_find(cache, lo, key, out_entry)) {
        return 0;
    }
    return cache_entry_find(cache->snapshot, lo, out_entry);
}

/* Whether an entry may answer at that time, fresh or not. */
static bool
is_in_time(const struct cache_entry *entry, const struct cache_query *query)
{
    uint64_t until = entry->expires_wall_ms;

    if (query->takes_stale) {
        until += (uint64_t)entry->stale_s * 1000;
    }
    return until > query->now_wall_ms && entry->created_wall_ms >= query->born_from_wall_ms &&
           entry->created_wall_ms <= query->now_wall_ms + CACHE_FUTURE_MS;
}

int
cache_lookup(struct cache *cache, const struct cache_query *query, struct cache_hit *out_hit,
             struct cache_entry *out_entry)
{
    struct bytes value;
    bool is_checked;

    uint64_t lo = digest_with_secret(query->key, cache->secret).lo;
    if (cache->board != NULL && cache->tier == CACHE_TIER_MEMORY) {
        cache_shadow_look(cache->board->shadow, cache->slot, lo, cache->get_count);
    }
    int rc = entry_find(cache, lo, query->key, out_entry, &is_checked);
    if (rc != 0) {
        return rc;
    }
    if (out_entry->class != query->class || !bytes_equal(out_entry->text, query->key)) {
        stats_add(cache->stats, STATS_CACHE_COLLISIONS, 1);
        return AUGURY_NOT_FOUND;
    }
    enum cache_death death = cache_death_of(cache->invalid, out_entry);
    if (death != CACHE_ALIVE) {
        stats_add(cache->stats,
                  death == CACHE_DEAD_BY_BAN ? STATS_CACHE_DEAD_BAN : STATS_CACHE_DEAD_GENERATION,
                  1);
        return AUGURY_NOT_FOUND;
    }
    if (!is_in_time(out_entry, query)) {
        stats_add(cache->stats, STATS_CACHE_EXPIRED, 1);
        return AUGURY_NOT_FOUND;
    }
    rc = value_whole(cache, out_entry, query->arena, &value);
    if (rc == 0 && !is_checked) {
        if (cache_value_check(value) != out_entry->value_check) {
            return AUGURY_ERR_CORRUPT;
        }
        memo_put(cache, lo, out_entry);
    }
    if (rc != 0) {
        return rc;
    }
    if (cache->heat != NULL) {
        cache_heat_touch(cache->heat, lo);
    }
    *out_hit = (struct cache_hit){
        .value = value,
        .created_wall_ms = out_entry->created_wall_ms,
        .expires_wall_ms = out_entry->expires_wall_ms,
        .stamp = out_entry->stamp,
        .stale_s = out_entry->stale_s,
        .cost_us = out_entry->cost_us,
        .is_stale = out_entry->expires_wall_ms <= query->now_wall_ms,
    };
    memcpy(out_hit->tags, out_entry->tags, sizeof(out_hit->tags));
    return 0;
}

static int
tier_get(struct cache *cache, const struct cache_query *query, struct cache_hit *out_hit)
{
    struct cache_entry entry;

    int rc = cache_lookup(cache, query, out_hit, &entry);
    if (rc == AUGURY_ERR_CORRUPT) {
        damage_tell(cache);
        rc = AUGURY_NOT_FOUND;
    }
    return rc;
}

static int
below_get(struct cache *cache, const struct cache_query *query, struct cache_hit *out_hit)
{
    int rc = cache_below_get(cache, query, out_hit);
    if (rc == AUGURY_ERR_CORRUPT) {
        damage_tell(cache->below);
        rc = AUGURY_NOT_FOUND;
    }
    return rc;
}

int
cache_get(struct cache *cache, const struct cache_query *query, struct cache_hit *out_hit)
{
    bool is_timed = cache->get_count++ % TIMED_ONE_IN == 0;
    uint64_t begin = is_timed ? clock_mono_ns() : 0;
    bool is_short = query->key.len <= CACHE_KEY_TEXT_MAX;
    int rc = AUGURY_NOT_FOUND;

    AUGURY_ASSERT(query->class < CACHE_CLASS_COUNT);
    enum stats_id counter = classes[query->class].hits;
    if (cache->is_reading && is_short) {
        rc = tier_get(cache, query, out_hit);
    }
    if (rc == AUGURY_NOT_FOUND && cache->below != NULL && is_short) {
        rc = below_get(cache, query, out_hit);
        counter = classes[query->class].disk_hits;
    }
    stats_add(cache->stats, rc == 0 ? counter : classes[query->class].misses, 1);
    if (is_timed) {
        stats_observe(cache->stats, STATS_CACHE_GET, clock_mono_ns() - begin);
    }
    return rc;
}

/* ---- new entries --------------------------------------------------------------------------- */

int
cache_put(struct cache *cache, const struct cache_item *item)
{
    int rc = AUGURY_ERR_LIMIT;

    AUGURY_ASSERT(item->class < CACHE_CLASS_COUNT);
    if (cache->rings == NULL) {
        return AUGURY_ERR_STATE;
    }
    if (item->expires_wall_ms <= item->created_wall_ms) {
        return 0;
    }
    if (!cache_admits(cache, item)) {
        stats_add(cache->stats, STATS_CACHE_PUTS_UNSEEN, 1);
        return AUGURY_NOT_FOUND;
    }
    if (atomic_load_explicit(&cache->rings->off, memory_order_relaxed) != 0) {
        rc = AUGURY_ERR_FULL;
    } else if (item->key.len <= CACHE_KEY_TEXT_MAX && item->value.len <= CACHE_VALUE_MAX) {
        struct cache_ring_record record = {.item = *item,
                                           .value_check = cache_value_check(item->value)};
        rc = cache_ring_put(cache->rings, cache->slot, &record);
    }
    stats_add(cache->stats, rc == 0 ? STATS_CACHE_PUTS : STATS_CACHE_PUTS_DROPPED, 1);
    return rc;
}

/* ---- measures ------------------------------------------------------------------------------ */

static int
usage_of_snapshot(struct store_txn *snapshot, struct cache_usage *usage)
{
    struct cache_state state;
    struct cache_entry oldest;
    size_t count = 0;

    int rc = cache_state_read(snapshot, &state);
    if (rc != 0) {
        return rc;
    }
    usage->quota_bytes = state.quota_bytes;
    usage->entries = cache_entries_of(&state);
    memcpy(usage->entries_of_class, state.entries_of_class, sizeof(usage->entries_of_class));
    for (int queue = 0; rc == 0 && queue < CACHE_QUEUE_COUNT; queue++) {
        rc = cache_entry_read(snapshot, (enum cache_queue)queue, 0, &oldest, 1, &count);
        uint64_t before = usage->oldest_created_wall_ms;
        if (rc == 0 && count == 1 && (before == 0 || oldest.created_wall_ms < before)) {
            usage->oldest_created_wall_ms = oldest.created_wall_ms;
        }
    }
    return rc;
}

int
cache_usage(struct cache *cache, struct cache_usage *out_usage)
{
    struct cache_usage usage = {0};
    struct store_usage store;
    struct store_txn *snapshot = NULL;

    if (cache->store == NULL) {
        return AUGURY_ERR_STATE;
    }
    int rc = store_usage(cache->store, &store);
    if (rc == 0) {
        rc = store_snapshot_new(cache->store, &snapshot);
    }
    if (rc == 0) {
        rc = store_snapshot_renew(snapshot);
    }
    if (rc == 0) {
        rc = usage_of_snapshot(snapshot, &usage);
    }
    store_snapshot_free(&snapshot);
    if (rc != 0) {
        return rc;
    }
    if (cache->is_keeper) {
        /* A quota just set is stored by the next commit. */
        usage.quota_bytes = cache->keeper.state.quota_bytes;
    }
    if (cache->hints != NULL) {
        usage.board_bytes =
            cache_heat_used_bytes(cache->heat) + cache_hints_used_bytes(cache->hints);
    }
    if (cache->below != NULL && cache->below->heat != NULL) {
        usage.board_bytes += cache_heat_used_bytes(cache->below->heat);
    }
    usage.used_bytes = store.used_pages * store.page_bytes;
    usage.map_bytes = store.map_bytes;
    usage.file_blocks_bytes = store.file_blocks_bytes;
    usage.reader_slots = store.reader_slots;
    *out_usage = usage;
    return 0;
}
