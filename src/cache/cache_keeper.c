/* SPDX-License-Identifier: MIT */
/*
 * cache_keeper.c - the supervisor's work: rings → group commits, ticks. What goes to make room is
 * cache_evict.c's, what has expired cache_sweep.c's.
 * Invariant: tails move only after the commit (or a decision to drop), so a keeper killed anywhere
 * loses nothing and repeats at most one group. Failures are cache_guard.c's.
 */
#include "cache_disk.h"

#include <string.h>

enum {
    GROUP_BYTES = 48 << 10,
    QUOTA_SHARE = 16, /* of the quota, a group takes at most this part */
    SAME_EXPIRY_MS = 1000,
    LARGEST_SHARE = 4, /* an entry over a quarter of the quota is dropped */
};

/* One commit's worth of ring records; texts and values still lie in the rings. */
struct group {
    struct cache_ring_record records[CACHE_GROUP_ENTRIES]; /* those of a slot in order */
    int results[CACHE_GROUP_ENTRIES];                      /* of orders */
    size_t count;
    size_t bytes, max_bytes;
    unsigned bad;
};

/* What a transaction did, counted once it is committed. */
struct tally {
    uint64_t written;
    uint64_t evicted;
};

/* How many entries are over the quota of entries, after so many more. */
static uint64_t
entries_over(const struct cache *cache, uint64_t more)
{
    uint64_t most = cache->keeper.quota_entries;
    uint64_t entries = cache_entries_of(&cache->keeper.state) + more;

    return most > 0 && entries > most ? entries - most : 0;
}

static bool
is_over_quota(const struct cache *cache)
{
    return cache->store != NULL && cache_entries_of(&cache->keeper.state) > 0 &&
           (cache_used_bytes(cache) > cache->keeper.state.quota_bytes ||
            entries_over(cache, 0) > 0);
}

/* ---- eviction ------------------------------------------------------------------------------ */

/* Evicts in a transaction of its own, when there is nothing to write or the map is full. */
static int
evict_alone(struct cache *cache, const struct cache_need *need)
{
    struct store_txn *txn = NULL;
    struct cache_state state;
    uint64_t evicted = 0;

    int rc = cache_write_begin(cache, &txn, &state);
    if (rc != 0) {
        return rc;
    }
    rc = cache_evict(cache, txn, &state, need, &evicted);
    rc = cache_write_end(cache, &txn, rc, &state);
    if (rc == 0) {
        cache_count(cache, STATS_CACHE_EVICTED, STATS_DISK_EVICTED, evicted);
    }
    return rc;
}

/* ---- groups -------------------------------------------------------------------------------- */

static bool
group_is_full(const struct group *group)
{
    return group->count == CACHE_GROUP_ENTRIES || group->bytes >= group->max_bytes;
}

/* Takes records from all rings as one; keeper.tails says how far. */
static void
group_collect(struct cache *cache, struct group *group)
{
    uint64_t quota = cache->keeper.state.quota_bytes;

    group->count = 0;
    group->bytes = 0;
    /* Pages that a commit frees rest for two more commits: of a small quota that would be much. */
    group->max_bytes = quota / QUOTA_SHARE < GROUP_BYTES ? quota / QUOTA_SHARE : GROUP_BYTES;
    group->bad = 0;
    cache_gather_begin(cache, &group->bad);
    while (!group_is_full(group) &&
           cache_gather_next(cache, &group->records[group->count], &group->bad)) {
        const struct cache_item *item = &group->records[group->count++].item;
        group->bytes += item->key.len + item->value.len;
    }
}

static void
group_take(struct cache *cache)
{
    for (unsigned slot = 0; slot < cache->rings->slots; slot++) {
        cache_ring_take(cache->rings, slot, cache->keeper.tails[slot]);
    }
}

/* Several workers that missed at once hand in the same answer, some milliseconds apart: written
 * once. */
static bool
is_the_same(const struct cache_entry *old, const struct cache_entry *entry)
{
    return old->class == entry->class && old->value_check == entry->value_check &&
           old->value_len == entry->value.len && old->stamp == entry->stamp &&
           bytes_equal(old->text, entry->text) &&
           old->expires_wall_ms <= entry->expires_wall_ms + SAME_EXPIRY_MS &&
           entry->expires_wall_ms <= old->expires_wall_ms + SAME_EXPIRY_MS;
}

/* Takes the place of what lies under its lo, in the same queue; a record there that cannot be
 * decoded is simply overwritten. */
static int
entry_write(struct cache *cache, struct store_txn *txn, struct cache_state *state,
            const struct cache_entry *entry, uint64_t *written)
{
    enum cache_queue queue;
    struct cache_entry old;

    int rc = cache_entry_find(txn, entry->lo, &old);
    if (rc == 0 && is_the_same(&old, entry)) {
        return 0;
    }
    if (rc == 0) {
        queue = cache_place_queue(old.place);
        rc = cache_entry_del(txn, state, &old);
    } else if (rc == AUGURY_NOT_FOUND) {
        queue = cache_evict_admit(cache, state, entry->lo);
        rc = 0;
    }
    if (rc == 0) {
        cache_hint_put(cache->hints, entry->lo, cache_place_of(queue, state->next_seq));
        rc = cache_entry_put(txn, state, queue, entry);
    }
    (*written)++;
    cache_sweep_expect(cache, cache_entry_until_ms(entry));
    return rc;
}

int
cache_record_write(struct cache *cache, struct store_txn *txn, struct cache_state *state,
                   const struct cache_ring_record *record, uint64_t *written)
{
    uint64_t newest = cache->keeper.moves.clock;
    const struct cache_item *item = &record->item;
    struct cache_entry old;
    struct cache_entry entry = {
        /* By the environment's own secret: it may be younger than the record. */
        .lo = cache_digest(cache, item->key).lo,
        .created_wall_ms = item->created_wall_ms,
        .expires_wall_ms = item->expires_wall_ms,
        .stamp = item->stamp < newest ? item->stamp : newest,
        .stale_s = item->stale_s,
        .cost_us = item->cost_us,
        .value_check = record->value_check,
        .class = (uint8_t)item->class,
        .text = item->key,
        .value = item->value,
    };

    memcpy(entry.tags, item->tags, sizeof(entry.tags));
    if (record->order == 0 && cache_is_late(cache, &entry)) {
        stats_add(cache->stats, STATS_CACHE_PUTS_LATE, 1);
        return 0;
    }
    if (item->is_copy && cache_entry_find(txn, entry.lo, &old) == 0 &&
        !cache_entry_is_dead(cache, &old)) {
        return 0;
    }
    /* A prediction of one key is always the same. */
    if (item->is_from_disk && record->order == 0 && item->class != CACHE_PREDICTION &&
        !cache_below_still_has(cache, record)) {
        return 0;
    }
    return entry_write(cache, txn, state, &entry, written);
}

/* What has to go so that the group fits; a quarter more than the records say, for the tree above
 * them, and one part in 64 of the quota as a margin for pages that the commit itself copies. */
static struct cache_need
group_need(const struct cache *cache, const struct group *group)
{
    uint64_t quota = cache->keeper.state.quota_bytes;
    uint64_t limit = quota - quota / 64;
    uint64_t cost = 0;

    for (size_t i = 0; i < group->count; i++) {
        cost += cache_entry_cost(group->records[i].item.key.len, group->records[i].item.value.len);
    }
    uint64_t want = cache_used_bytes(cache) + cost + cost / 4;
    return (struct cache_need){.bytes = want > limit ? want - limit : 0,
                               .entries = entries_over(cache, group->count)};
}

/* One that would drive out a good part of all others is not worth it. */
static bool
is_too_large(const struct cache *cache, const struct cache_item *item)
{
    return cache_entry_cost(item->key.len, item->value.len) >
           cache->keeper.state.quota_bytes / LARGEST_SHARE;
}

static int
record_do(struct cache *cache, struct store_txn *txn, struct cache_state *state,
          struct group *group, size_t i, uint64_t *written)
{
    const struct cache_ring_record *record = &group->records[i];

    if (record->order != 0) {
        return cache_order_do(cache, txn, state, record, &group->results[i]);
    }
    if (record->item.expires_wall_ms <= cache->keeper.now_wall_ms) {
        return 0;
    }
    if (cache->tier == CACHE_TIER_DISK && cache_disk_is_outdone(cache, record)) {
        return 0;
    }
    if (is_too_large(cache, &record->item)) {
        stats_add(cache->stats, STATS_CACHE_PUTS_DROPPED, 1);
        return 0;
    }
    return cache_record_write(cache, txn, state, record, written);
}

/* As the cache fills: a look at two numbers, and now and then a table that doubles. */
static void
tables_fit(struct cache *cache)
{
    if (cache->heat != NULL) {
        cache_heat_fit(cache->heat, cache_entries_of(&cache->keeper.state));
    }
    if (cache->hints != NULL) {
        cache_hints_fit(cache->hints, cache_entries_of(&cache->keeper.state));
    }
}

static int
group_write(struct cache *cache, struct group *group)
{
    struct store_txn *txn = NULL;
    struct cache_state state;
    struct tally tally = {0};
    uint64_t begin = clock_mono_ns();

    int rc = cache_write_begin(cache, &txn, &state);
    if (rc != 0) {
        return rc;
    }
    struct cache_need need = group_need(cache, group);
    rc = cache_evict(cache, txn, &state, &need, &tally.evicted);
    for (size_t i = 0; rc == 0 && i < group->count; i++) {
        rc = record_do(cache, txn, &state, group, i, &tally.written);
    }
    if (rc == 0) {
        rc = cache_orders_store(cache, txn, group->records, group->results, group->count);
    }
    if (rc == 0) {
        cache_disk_before(cache, group->records, group->results, group->count);
    }
    rc = cache_write_end(cache, &txn, rc, &state);
    if (rc == 0) {
        cache_count(cache, STATS_CACHE_EVICTED, STATS_DISK_EVICTED, tally.evicted);
        stats_add(cache->stats, STATS_CACHE_COMMITTED, tally.written);
        stats_observe(cache->stats, STATS_CACHE_COMMIT, clock_mono_ns() - begin);
        tables_fit(cache);
    }
    return rc;
}

/* A full map has another reason than too many entries, which have a quota well below it: pages that
 * a reader holds, or that the last commits freed. A dead reader is forgotten, and what was freed
 * can be used after another commit; what a living one holds no eviction gives back, so then the
 * group is what is given up. */
static int
group_commit(struct cache *cache, struct group *group)
{
    unsigned dead_readers = 0;

    int rc = group_write(cache, group);
    if (rc != AUGURY_ERR_FULL) {
        return rc;
    }
    rc = store_reader_check(cache->store, &dead_readers);
    if (rc == 0) {
        rc = dead_readers > 0 ? group_write(cache, group) : AUGURY_ERR_FULL;
    }
    if (rc != AUGURY_ERR_FULL) {
        return rc;
    }
    bool is_filled = cache_used_bytes(cache) > cache->keeper.map_bytes / 2;
    struct cache_need need = {.bytes = is_filled ? cache->keeper.state.quota_bytes / 8 : 0};
    rc = evict_alone(cache, &need);
    return rc == 0 ? group_write(cache, group) : rc;
}

/* Before the tails move: a keeper killed here gives the results once more. */
static void
group_answer(struct cache *cache, struct group *group, int rc)
{
    for (size_t i = 0; rc != 0 && i < group->count; i++) {
        group->results[i] = rc;
    }
    for (size_t i = 0; rc == 0 && i < group->count; i++) {
        if (group->records[i].order != 0) {
            cache_order_tell(cache, &group->records[i], group->results[i]);
        }
    }
    if (rc == 0) {
        cache_disk_after(cache, group->records, group->results, group->count);
    }
    cache_orders_answer(cache, group->records, group->results, group->count);
}

static void
group_tell(struct cache *cache, const struct group *group)
{
    for (size_t i = 0; cache->keeper.put_fn != NULL && i < group->count; i++) {
        const struct cache_ring_record *record = &group->records[i];
        if (record->order == 0 && record->slot != cache->slot) {
            cache->keeper.put_fn(cache->keeper.put_arg, &record->item);
        }
    }
}

void
cache_keeper_on_put(struct cache *cache, cache_put_fn *fn, void *arg)
{
    AUGURY_ASSERT(cache->is_keeper);
    cache->keeper.put_fn = fn;
    cache->keeper.put_arg = arg;
}

int
cache_keeper_turn(struct cache *cache, uint64_t now_wall_ms, bool *out_more)
{
    struct group group;
    int rc = 0;

    AUGURY_ASSERT(cache->is_keeper && cache->rings != NULL);
    *out_more = false;
    atomic_store_explicit(&cache->rings->sleeping, 0, memory_order_relaxed);
    cache->keeper.now_wall_ms = now_wall_ms;
    if (cache->store == NULL) {
        cache_rings_refuse(cache, AUGURY_ERR_STATE);
        return 0;
    }
    group_collect(cache, &group);
    if (group.count > 0) {
        rc = group_commit(cache, &group);
        group_answer(cache, &group, rc);
        if (rc == 0) {
            group_tell(cache, &group);
        }
    } else if (is_over_quota(cache)) {
        struct cache_need need = group_need(cache, &group);
        rc = evict_alone(cache, &need);
    }
    group_take(cache);
    if (rc != 0 || group.bad > 0) {
        stats_add(cache->stats, STATS_CACHE_PUTS_DROPPED, group.bad + (rc != 0 ? group.count : 0));
    }
    if (rc == 0 && cache_shrink_is_due(cache)) {
        bool is_idle = group.count == 0 && !is_over_quota(cache);
        rc = is_idle ? cache_shrink_idle(cache) : cache_shrink_between(cache);
    }
    cache_keeper_react(cache, rc);
    cache_disk_turn(cache);
    if (rc == 0 && cache_warm_is_due(cache)) {
        cache_warm_slice(cache);
    }
    /* After a failure the rest waits for the next turn that something calls for: no spinning on a
     * broken disk. */
    *out_more = rc == 0 && (!cache_rings_are_empty(cache->rings) || is_over_quota(cache) ||
                            cache_shrink_is_due(cache) || cache_warm_is_due(cache));
    return rc;
}

bool
cache_keeper_may_sleep(struct cache *cache)
{
    AUGURY_ASSERT(cache->is_keeper && cache->rings != NULL);
    atomic_store_explicit(&cache->rings->sleeping, 1, memory_order_seq_cst);
    if (cache_rings_are_empty(cache->rings)) {
        return true;
    }
    atomic_store_explicit(&cache->rings->sleeping, 0, memory_order_relaxed);
    return false;
}

/* ---- once a second ------------------------------------------------------------------------- */

/* As many entries as there would be in a full cache. */
static uint64_t
entries_room(const struct cache *cache)
{
    const struct cache_state *state = &cache->keeper.state;
    uint64_t entries = cache_entries_of(state);
    uint64_t used = cache_used_bytes(cache);

    if (cache->keeper.quota_entries > 0) {
        return cache->keeper.quota_entries;
    }
    if (state->has_evicted || used == 0 || used > state->quota_bytes) {
        return entries;
    }
    return (uint64_t)((double)entries * (double)state->quota_bytes / (double)used);
}

static void
shadow_show(struct cache *cache)
{
    double half, same, twice;

    if (cache->board == NULL) {
        return;
    }
    cache_shadow_tick(cache->keeper.shadow, cache->board->shadow, entries_room(cache));
    if (cache_shadow_read(cache->board, &half, &same, &twice)) {
        stats_set(cache->stats, STATS_CACHE_SHADOW_HALF, (uint64_t)(half * 10000 + 0.5));
        stats_set(cache->stats, STATS_CACHE_SHADOW_SAME, (uint64_t)(same * 10000 + 0.5));
        stats_set(cache->stats, STATS_CACHE_SHADOW_TWICE, (uint64_t)(twice * 10000 + 0.5));
    }
}

void
cache_gauges_set(struct cache *cache)
{
    stats_set(cache->stats, STATS_CACHE_ENTRIES, cache_entries_of(&cache->keeper.state));
    stats_set(cache->stats, STATS_CACHE_BANS, cache_bans_due(cache, UINT64_MAX));
    stats_set(cache->stats, STATS_CACHE_USED_BYTES, cache_used_bytes(cache));
    stats_set(cache->stats, STATS_CACHE_FILE_BYTES, cache->keeper.file_bytes);
    stats_set(cache->stats, STATS_CACHE_QUOTA_BYTES, cache->keeper.state.quota_bytes);
}

/* When off: opens again and gives an eighth up, since a file system that is full cannot take a page
 * more. */
static void
keeper_retry(struct cache *cache)
{
    bool was_damaged = false;

    if (clock_mono_ms() < cache->keeper.retry_mono_ms) {
        return;
    }
    int rc = cache_keeper_reopen(cache, false, &was_damaged, NULL);
    if (rc == 0) {
        struct cache_need need = {.bytes = cache_used_bytes(cache) / 8};
        rc = evict_alone(cache, &need);
    }
    if (rc != 0) {
        cache_keeper_off(cache);
    } else if (cache->rings != NULL) {
        cache_keeper_on(cache);
    }
}

/* A worker's word about the environment that is open now, not about one before it. */
static bool
is_told_damaged(struct cache *cache)
{
    return cache->rings != NULL && atomic_exchange(&cache->rings->damage, 0) == cache->epoch + 1;
}

int
cache_keeper_tick(struct cache *cache, uint64_t now_wall_ms)
{
    unsigned cleared = 0;
    bool more;
    int rc = 0;

    AUGURY_ASSERT(cache->is_keeper);
    cache->keeper.now_wall_ms = now_wall_ms;
    if (cache->store == NULL) {
        keeper_retry(cache);
    }
    if (cache->store != NULL && is_told_damaged(cache)) {
        cache_keeper_replace(cache);
    }
    if (cache->store == NULL) {
        return AUGURY_ERR_STATE;
    }
    /* A producer killed between its store and its wake leaves a record that nobody told of. */
    if (cache->rings != NULL && !cache_rings_are_empty(cache->rings)) {
        rc = cache_keeper_turn(cache, now_wall_ms, &more);
    }
    if (rc == 0) {
        rc = store_reader_check(cache->store, &cleared);
        stats_add(cache->stats, STATS_CACHE_STALE_READERS, cleared);
    }
    if (rc == 0) {
        rc = cache_sweep(cache);
        cache_keeper_react(cache, rc);
    }
    if (rc == 0) {
        rc = cache_dead_sweep(cache);
        cache_keeper_react(cache, rc);
    }
    if (cache->tier == CACHE_TIER_MEMORY) {
        if (rc == 0) {
            rc = cache_place_tick(cache);
            cache_keeper_react(cache, rc);
        }
        shadow_show(cache);
    }
    cache_gauges_set(cache);
    cache_disk_tick(cache);
    return rc;
}

void
cache_keeper_quota(struct cache *cache, uint64_t quota_bytes)
{
    AUGURY_ASSERT(cache->is_keeper);
    cache->keeper.state.quota_bytes = cache_quota_clamp(cache, quota_bytes);
}

void
cache_keeper_quota_entries(struct cache *cache, uint64_t entries)
{
    AUGURY_ASSERT(cache->is_keeper);
    cache->keeper.quota_entries = entries;
}

/* What was put before the request must not appear after it. What comes in meanwhile is not waited
 * for: workers may be faster than this. */
int
cache_rings_drain(struct cache *cache)
{
    struct cache_rings *rings = cache->rings;
    bool more = true;
    int rc = 0;

    for (unsigned slot = 0; rings != NULL && slot < rings->slots; slot++) {
        uint64_t head = atomic_load_explicit(&rings->ring[slot].head, memory_order_acquire);
        /* Signed: a tail that has passed the head of then is ahead of it. */
        while (rc == 0 && more && (int64_t)(head - cache_ring_tail(rings, slot)) > 0) {
            rc = cache_keeper_turn(cache, cache->keeper.now_wall_ms, &more);
        }
    }
    return rc;
}
