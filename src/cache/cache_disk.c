/* SPDX-License-Identifier: MIT */
/*
 * cache_disk.c - the disk tier, the keeper's side: a second environment of the same kind, whose one
 * ring the keeper itself fills with what it has committed in memory. Everything that a cache does
 * (groups, eviction, expiry, invalidation, the guard) it does there too.
 * Invariants: (1) the disk waits for memory, never the other way round: a turn there takes at most
 * one part in ten of the time, and what does not fit its ring is dropped and counted; (2) what is
 * purged or put by order is gone from the disk before it is committed in memory, and invalidations
 * are committed on the disk first: a kill anywhere revives nothing; while the disk is off they are
 * noted, and it begins empty afterwards; (3) both environments have one secret, since keys contain
 * digests made with it; one with another secret begins empty; (4) an environment that was open when
 * the machine stopped is not read again: its pages were never synced.
 */
#include "cache_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PAUSE_PARTS = 10, /* a turn is followed by a pause of so many times its length */
    PAUSE_MIN_NS = 2 * 1000 * 1000,
    SAME_LIFE_MS = 1000,
    ORDERS_SHIFT = 64 - 16, /* CACHE_DISK_ORDERS */
    DRAIN_TURNS = 1024,     /* more than its ring holds groups */
};

/* ---- open ---------------------------------------------------------------------------------- */

struct cache *
cache_below_new(struct cache *cache, const struct cache_disk_options *options)
{
    struct cache *below = calloc(1, sizeof(*below));
    if (below == NULL) {
        return NULL;
    }
    below->tier = CACHE_TIER_DISK;
    below->dir = strdup(options->dir);
    below->map_bytes = (size_t)options->size_bytes * 2;
    below->is_keeper = cache->is_keeper;
    below->board = cache->board;
    below->rings = cache->board->disk_rings;
    below->tier_stats = cache->stats;
    below->heat = cache->board->disk_heat;
    below->invalid = cache->invalid;
    below->memo = calloc(1, cache_memo_bytes());
    below->keeper.tails = calloc(below->rings->slots, sizeof(uint64_t));
    below->keeper.gather = cache_gather_new(below->rings->slots);
    if (below->dir == NULL || below->memo == NULL || below->keeper.tails == NULL ||
        below->keeper.gather == NULL) {
        cache_close(&below);
    }
    return below;
}

/* As the guard does when a commit fails: lookups pass the tier over, the tick tries again. */
static void
disk_off(struct cache *cache)
{
    cache_keeper_off(cache->below);
    cache->disk->has_been_off = true;
}

/* Readers of files that are no longer there open the new ones. */
static int
mark_begin(struct cache *cache)
{
    struct cache *below = cache->below;
    bool was_removed = false;

    cache->disk->why = (struct err){.rc = 0};
    int rc = cache_mark_begin(below->dir, &cache->disk->lock_fd, &was_removed, &cache->disk->why);
    if (was_removed) {
        atomic_fetch_add(&below->rings->epoch, 2);
    }
    return rc;
}

int
cache_disk_open(struct cache *cache, const struct cache_disk_options *options)
{
    bool was_damaged = false;

    AUGURY_ASSERT(cache->board != NULL);
    cache->disk = calloc(1, sizeof(*cache->disk));
    if (cache->disk == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    cache->disk->options = *options;
    cache->disk->lock_fd = -1;
    cache->below = cache_below_new(cache, options);
    if (cache->below == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    atomic_store(&cache->board->has_disk, 1);
    if (!cache->is_keeper) {
        return 0; /* opened by the first lookup that gets so far */
    }
    /* A keeper that died at work on the disk, within a transaction of memory, died of the disk. */
    if (atomic_load(&cache->below->rings->in_commit) != 0) {
        atomic_store(&cache->rings->in_commit, 0);
    }
    int rc = mark_begin(cache);
    if (rc == 0) {
        rc = cache_keeper_open(cache->below, &was_damaged, &cache->disk->why);
    }
    if (rc != 0) {
        disk_off(cache);
        return 0;
    }
    memcpy(cache->kin_secret, cache->below->secret, sizeof(cache->kin_secret));
    cache->has_kin = true;
    return 0;
}

/* Everything on disk goes, and the secret becomes that of memory. */
static int
disk_renew(struct cache *cache)
{
    struct cache *below = cache->below;
    struct store_txn *txn = NULL;
    struct cache_state state;

    int rc = cache_write_begin(below, &txn, &state);
    if (rc != 0) {
        return rc;
    }
    rc = cache_evict_all(txn, &state);
    if (rc == 0) {
        rc = store_clear(txn, CACHE_TABLE_META); /* notes too: they speak of keys */
    }
    if (rc == 0) {
        rc = store_put(txn, CACHE_TABLE_META, bytes_of_text("secret"),
                       bytes_of(cache->secret, sizeof(cache->secret)), STORE_PUT_REPLACE);
    }
    below->keeper.moves.place = (struct cache_place){.mark = UINT64_MAX};
    rc = cache_write_end(below, &txn, rc, &state);
    if (rc == 0) {
        memcpy(below->secret, cache->secret, sizeof(below->secret));
        /* Readers open it anew, with the new secret. */
        below->epoch += 2;
        atomic_store(&below->rings->epoch, below->epoch);
    }
    return rc;
}

void
cache_disk_gauges(struct cache *cache)
{
    struct cache *below = cache->below;

    if (below == NULL) {
        return;
    }
    bool is_on = below->store != NULL;
    stats_set(cache->stats, STATS_DISK_UP, is_on ? 1 : 0);
    stats_set(cache->stats, STATS_DISK_ENTRIES, is_on ? cache_entries_of(&below->keeper.state) : 0);
    stats_set(cache->stats, STATS_DISK_USED_BYTES, is_on ? cache_used_bytes(below) : 0);
    stats_set(cache->stats, STATS_DISK_FILE_BYTES, is_on ? below->keeper.file_bytes : 0);
    stats_set(cache->stats, STATS_DISK_QUOTA_BYTES, cache->disk->options.size_bytes);
}

static void
settle(struct cache *cache)
{
    struct cache *below = cache->below;

    memcpy(cache->kin_secret, cache->secret, sizeof(cache->kin_secret));
    memcpy(below->kin_secret, cache->secret, sizeof(below->kin_secret));
    cache->has_kin = below->has_kin = true;
    if (below->store == NULL) {
        return;
    }
    cache_keeper_quota(below, cache->disk->options.size_bytes);
    cache_keeper_quota_entries(below, cache->disk->options.entries);
    bool is_strange = memcmp(below->secret, cache->secret, sizeof(cache->secret)) != 0;
    if ((is_strange || cache->disk->has_missed) && disk_renew(cache) != 0) {
        disk_off(cache);
        return;
    }
    cache->disk->has_been_off = cache->disk->has_missed = false;
    if (cache->keeper.place.mark == UINT64_MAX) {
        cache->keeper.place = below->keeper.place; /* what memory will have comes from there */
    }
}

void
cache_disk_settle(struct cache *cache)
{
    settle(cache);
    cache_disk_gauges(cache);
}

/* ---- what memory has committed goes down --------------------------------------------------- */

/* One that lives as long as its class does in memory lives as long as the class does on disk; one
 * with a time of its own keeps it, and so does every object: whoever has put it, or the file's
 * section, has said for how long it is true. */
static uint64_t
disk_expires_ms(const struct cache_disk_options *options, const struct cache_item *item)
{
    uint64_t life_ms = item->expires_wall_ms - item->created_wall_ms;
    uint64_t class_ms = (uint64_t)options->memory_ttl_s[item->class] * 1000;
    uint64_t disk_ms = (uint64_t)options->disk_ttl_s[item->class] * 1000;
    bool is_of_class = item->class != CACHE_OBJECT && life_ms + SAME_LIFE_MS >= class_ms &&
                       life_ms <= class_ms + SAME_LIFE_MS;

    return item->created_wall_ms + (is_of_class || life_ms > disk_ms ? disk_ms : life_ms);
}

static bool
is_handed_down(const struct cache *cache, const struct cache_ring_record *record, int result)
{
    const struct cache_item *item = &record->item;
    bool is_put = record->order == 0 || record->order == 1 + CACHE_ORDER_PUT ||
                  record->order == 1 + CACHE_ORDER_PUT_IF_ABSENT ||
                  record->order == 1 + CACHE_ORDER_PUT_IF_MATCH;

    return is_put && (record->order == 0 || result == 0) && !item->is_copy &&
           cache->disk->options.disk_ttl_s[item->class] > 0 &&
           item->expires_wall_ms > cache->keeper.now_wall_ms;
}

static void
ring_drain(struct cache *below)
{
    bool more = true;
    int rc = 0;

    for (int i = 0; rc == 0 && i < DRAIN_TURNS && !cache_rings_are_empty(below->rings); i++) {
        rc = cache_keeper_turn(below, below->keeper.now_wall_ms, &more);
    }
}

/* In one transaction: the entries under those keys go. */
static int
keys_forget(struct cache *below, const struct bytes *keys, size_t count)
{
    struct store_txn *txn = NULL;
    struct cache_state state;
    struct cache_entry entry;

    int rc = cache_write_begin(below, &txn, &state);
    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; rc >= 0 && i < count; i++) {
        rc = cache_entry_find(txn, cache_digest(below, keys[i]).lo, &entry);
        if (rc == 0) {
            rc = cache_entry_del(txn, &state, &entry);
        }
    }
    return cache_write_end(below, &txn, rc < 0 ? rc : 0, &state);
}

/* Whatever must not come back and could not be removed: the tier begins empty when it is on
 * again, also after a restart. */
static void
note_missed(struct cache *cache)
{
    if (!cache->disk->has_missed) {
        cache->disk->has_missed = true;
        cache_mark_clear(cache->below->dir);
    }
}

static void
forget(struct cache *cache, const struct bytes *keys, size_t count)
{
    int rc =
        cache->below->store == NULL ? AUGURY_ERR_STATE : keys_forget(cache->below, keys, count);

    if (rc != 0) {
        note_missed(cache);
        if (cache->below->store != NULL) {
            disk_off(cache);
        }
    }
}

/* What waits in the disk's ring under that key is older, and must not come after. On the board: the
 * ring outlives the keeper too. Another key of the same bits loses a place on disk at most. */
static void
outdo(struct cache *cache, struct bytes key)
{
    uint64_t lo = cache_digest(cache->below, key).lo;
    uint64_t number = atomic_fetch_add(&cache->below->rings->number, 1) + 1;

    atomic_store(&cache->board->disk_orders[lo >> ORDERS_SHIFT], number);
}

bool
cache_disk_is_outdone(const struct cache *below, const struct cache_ring_record *record)
{
    uint64_t lo = cache_digest(below, record->item.key).lo;

    return record->number < atomic_load(&below->board->disk_orders[lo >> ORDERS_SHIFT]);
}

static bool
is_order_of_key(const struct cache_ring_record *record, int result)
{
    uint8_t order = record->order;

    return order != 0 && order != 1 + CACHE_ORDER_INVALIDATE_TAG &&
           order != 1 + CACHE_ORDER_INVALIDATE_CLASS &&
           (result == 0 || order == 1 + CACHE_ORDER_PURGE);
}

/* Whether a later record of the group, an order, is about the same key. */
static bool
is_outdone_in_group(const struct cache_ring_record *records, const int *results, size_t count,
                    size_t at)
{
    for (size_t i = at + 1; i < count; i++) {
        if (is_order_of_key(&records[i], results[i]) &&
            bytes_equal(records[i].item.key, records[at].item.key)) {
            return true;
        }
    }
    return false;
}

void
cache_disk_before(struct cache *cache, const struct cache_ring_record *records, const int *results,
                  size_t count)
{
    struct bytes keys[CACHE_GROUP_ENTRIES];
    size_t key_count = 0;

    if (cache->below == NULL) {
        return;
    }
    cache->disk->stamp = cache_stamp(cache);
    for (size_t i = 0; i < count; i++) {
        if (is_order_of_key(&records[i], results[i])) {
            keys[key_count++] = records[i].item.key;
            outdo(cache, records[i].item.key);
        }
    }
    if (key_count > 0) {
        forget(cache, keys, key_count);
    }
}

void
cache_disk_after(struct cache *cache, const struct cache_ring_record *records, const int *results,
                 size_t count)
{
    if (cache->below == NULL) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct cache_item item = records[i].item;
        if (!is_handed_down(cache, &records[i], results[i]) ||
            is_outdone_in_group(records, results, count, i)) {
            continue;
        }
        item.expires_wall_ms = disk_expires_ms(&cache->disk->options, &item);
        if (records[i].order != 0) {
            item.stamp = cache->disk->stamp; /* from before all that the group invalidated */
        }
        int rc = cache_put(cache->below, &item);
        stats_add(cache->stats, rc == 0 ? STATS_DISK_PUTS : STATS_DISK_PUTS_DROPPED, 1);
        /* A prediction of one key is always the same; of others an older one may lie there, or be
         * under way. */
        if (rc != 0 && item.class != CACHE_PREDICTION) {
            outdo(cache, item.key);
            forget(cache, &item.key, 1);
        }
    }
}

int
cache_disk_moves(struct cache *cache)
{
    struct cache *below = cache->below;
    const struct cache_moves *moves = &cache->keeper.moves;
    struct store_txn *txn = NULL;
    struct cache_state state;

    bool has_moved = moves->clock != cache_stamp(cache) || moves->retire != 0;
    if (below == NULL || (!has_moved && !cache->keeper.place_is_due)) {
        return 0;
    }
    if (below->store == NULL) {
        if (has_moved) {
            note_missed(cache);
        }
        return 0;
    }
    int rc = cache_write_begin(below, &txn, &state);
    if (rc == 0) {
        below->keeper.moves = *moves;
        rc = cache_write_end(below, &txn, 0, &state);
    }
    if (rc != 0) {
        note_missed(cache);
        disk_off(cache);
    }
    return 0;
}

/* ---- turns and ticks ----------------------------------------------------------------------- */

void
cache_disk_turn(struct cache *cache)
{
    struct cache *below = cache->below;
    bool more = false;

    if (below == NULL) {
        return;
    }
    uint64_t begin = clock_mono_ns();
    if (below->store == NULL || begin < cache->disk->next_mono_ns) {
        return;
    }
    bool has_work = !cache_rings_are_empty(below->rings);
    int rc = cache_keeper_turn(below, cache->keeper.now_wall_ms, &more);
    uint64_t took_ns = clock_mono_ns() - begin;
    uint64_t pause_ns = took_ns * PAUSE_PARTS > PAUSE_MIN_NS ? took_ns * PAUSE_PARTS : PAUSE_MIN_NS;
    cache->disk->next_mono_ns = begin + took_ns + pause_ns;
    if (has_work) {
        stats_observe(cache->stats, STATS_DISK_COMMIT, took_ns);
    }
    if (rc != 0 && below->store == NULL) {
        cache->disk->has_been_off = true;
    }
}

void
cache_disk_tick(struct cache *cache)
{
    struct cache *below = cache->below;

    if (below == NULL) {
        return;
    }
    bool was_off = below->store == NULL || cache->disk->has_been_off;
    bool is_due = below->store != NULL || clock_mono_ms() >= below->keeper.retry_mono_ms;
    int rc = !is_due ? AUGURY_ERR_STATE : below->store == NULL ? mark_begin(cache) : 0;
    if (rc == 0) {
        rc = cache_keeper_tick(below, cache->keeper.now_wall_ms);
    }
    if (rc == 0 && was_off && below->store != NULL) {
        cache_disk_settle(cache);
    }
    cache_disk_gauges(cache);
}

bool
cache_disk_is_up(const struct cache *cache)
{
    return cache->below == NULL || cache->below->store != NULL;
}

const char *
cache_disk_why(const struct cache *cache)
{
    bool is_known = cache->disk != NULL && cache->disk->why.reason[0] != '\0';

    return is_known ? cache->disk->why.reason : "the file system refused a write";
}

/* ---- close ---------------------------------------------------------------------------------- */

void
cache_disk_close(struct cache *cache)
{
    struct cache *below = cache->below;

    if (below != NULL && cache->is_keeper && below->store != NULL) {
        ring_drain(below);
        bool is_clean = below->store != NULL && store_sync(below->store) == 0;
        if (is_clean && !cache->disk->has_missed) {
            cache_mark_end(below->dir);
        }
    }
    cache_close(&cache->below);
    if (cache->disk != NULL && cache->disk->lock_fd >= 0) {
        close(cache->disk->lock_fd);
    }
    if (cache->disk != NULL) {
        free(cache->disk->warm.room);
    }
    free(cache->disk);
    cache->disk = NULL;
}
