/* SPDX-License-Identifier: MIT */
/*
 * cache_invalidate.c - what an administrator or another machine asks of the keeper: purge, flush,
 * invalidate, ban.
 * Invariants: (1) what was handed in before the request does not appear after it: the rings are
 * drained first, and what was stamped before comes too late; (2) the answer comes after the commit.
 */
#include "cache_disk.h"

enum { HURRY_NS = 20 * 1000 * 1000 };

int
cache_live_find(struct cache *cache, struct store_txn *txn, struct bytes key,
                struct cache_entry *out_entry)
{
    int rc = cache_entry_find(txn, cache_digest(cache, key).lo, out_entry);
    if (rc != 0) {
        return rc;
    }
    bool is_live = bytes_equal(out_entry->text, key) &&
                   out_entry->expires_wall_ms > cache->keeper.now_wall_ms &&
                   cache_death_of(cache->invalid, out_entry) == CACHE_ALIVE &&
                   !cache_moves_kill(cache, out_entry);
    return is_live ? 0 : AUGURY_NOT_FOUND;
}

void
cache_keeper_on_news(struct cache *cache, cache_news_fn *fn, void *arg)
{
    AUGURY_ASSERT(cache->is_keeper);
    cache->keeper.news_fn = fn;
    cache->keeper.news_arg = arg;
}

void
cache_news_tell(struct cache *cache, enum cache_news_kind kind, struct bytes text)
{
    if (cache->keeper.news_fn != NULL) {
        cache->keeper.news_fn(cache->keeper.news_arg, kind, text);
    }
}

static int
request_begin(struct cache *cache, struct store_txn **out_txn, struct cache_state *out_state)
{
    AUGURY_ASSERT(cache->is_keeper);
    if (cache->rings != NULL && cache->store != NULL && cache_rings_drain(cache) != 0 &&
        cache->store != NULL) {
        /* What was handed in is dropped, then: a full map is no reason not to flush it. */
        cache_rings_refuse(cache, AUGURY_ERR_FULL);
    }
    if (cache->store == NULL) {
        return AUGURY_ERR_STATE;
    }
    int rc = cache_write_begin(cache, out_txn, out_state);
    if (rc == 0 && cache->keeper.place_next.mark != 0) {
        cache->keeper.moves.place = cache->keeper.place_next;
    }
    return rc;
}

static int
request_end(struct cache *cache, struct store_txn **txn, int rc, const struct cache_state *state)
{
    rc = cache_write_end(cache, txn, rc, state);
    if (rc == 0) {
        cache_gauges_set(cache); /* whoever asked looks at them next */
    }
    cache_keeper_react(cache, rc);
    return rc;
}

/* An order that no worker gave. */
static int
order_now(struct cache *cache, const struct cache_ring_record *record, int *out_result)
{
    struct store_txn *txn = NULL;
    struct cache_state state;

    int rc = request_begin(cache, &txn, &state);
    if (rc != 0) {
        return rc;
    }
    rc = cache_order_do(cache, txn, &state, record, out_result);
    if (rc == 0) {
        cache_disk_before(cache, record, out_result, 1);
    }
    rc = request_end(cache, &txn, rc, &state);
    if (rc == 0) {
        cache_order_tell(cache, record, *out_result);
    }
    return rc;
}

enum cache_class
cache_class_of_key(struct bytes key)
{
    for (int i = 0; i < CACHE_CLASS_COUNT; i++) {
        const char *name = cache_class_name((enum cache_class)i);
        size_t len = bytes_of_text(name).len;
        if (bytes_start_with(key, name) && key.len > len && key.data[len] == ':') {
            return (enum cache_class)i;
        }
    }
    return CACHE_RESPONSE;
}

int
cache_keeper_purge(struct cache *cache, struct bytes key)
{
    struct cache_ring_record record = {.order = 1 + CACHE_ORDER_PURGE,
                                       .item = {.class = cache_class_of_key(key), .key = key}};
    int result = 0;

    if (key.len > CACHE_KEY_TEXT_MAX) {
        return AUGURY_NOT_FOUND;
    }
    int rc = order_now(cache, &record, &result);
    if (rc == 0 && result == 0) {
        stats_add(cache->stats, STATS_CACHE_PURGED, 1);
    }
    return rc == 0 ? result : rc;
}

int
cache_keeper_invalidate_class(struct cache *cache, enum cache_class class)
{
    struct cache_ring_record record = {.order = 1 + CACHE_ORDER_INVALIDATE_CLASS,
                                       .item = {.class = class}};
    int result = 0;

    return order_now(cache, &record, &result);
}

int
cache_keeper_invalidate_tag(struct cache *cache, struct bytes name)
{
    struct cache_ring_record record = {.order = 1 + CACHE_ORDER_INVALIDATE_TAG,
                                       .item = {.key = name}};
    int result = 0;

    return order_now(cache, &record, &result);
}

void
cache_keeper_sweep_dead(struct cache *cache)
{
    AUGURY_ASSERT(cache->is_keeper);
    for (struct cache *tier = cache; tier != NULL; tier = tier->below) {
        int rc = tier->store == NULL ? 0 : cache_dead_sweep(tier);
        cache_keeper_react(tier, rc);
    }
    cache_gauges_set(cache);
    cache_disk_gauges(cache);
}

/* Where as many hold as may, the round that they wait for is made now, as far as its time goes: in
 * a small cache all of it. What other machines tell may be many, and has another way. */
static int
bans_hurry(struct cache *cache)
{
    uint64_t begin = clock_mono_ns();
    int rc = 0;

    while (rc == 0 && cache->store != NULL && cache->keeper.place_next.mark == 0 &&
           cache_bans_due(cache, UINT64_MAX) == CACHE_BANS && clock_mono_ns() - begin < HURRY_NS) {
        struct cache *below = cache->below;
        int disk_rc = below != NULL && below->store != NULL ? cache_dead_sweep(below) : 0;
        if (disk_rc != 0) {
            cache_keeper_react(below, disk_rc); /* its own trouble, and no other tier's */
            break;
        }
        rc = cache_dead_sweep(cache);
    }
    cache_keeper_react(cache, rc);
    return rc;
}

int
cache_keeper_ban(struct cache *cache, struct bytes pattern, struct err *err)
{
    struct store_txn *txn = NULL;
    struct cache_state state;

    int rc = cache_ban_check(pattern, err);
    if (rc != 0) {
        return rc;
    }
    rc = bans_hurry(cache);
    if (rc == 0) {
        rc = request_begin(cache, &txn, &state);
    }
    if (rc == 0 && !cache_move_ban(cache, pattern)) {
        store_abort(&txn);
        cache_keeper_leave(cache, 0);
        return err_set(err, AUGURY_ERR_LIMIT, "too_many_bans",
                       "%d bans hold until the sweep has passed all entries; try again later, or "
                       "flush a class",
                       (int)CACHE_BANS);
    }
    if (rc == 0) {
        rc = request_end(cache, &txn, rc, &state);
    }
    if (rc != 0) {
        return err_set(err, rc, "ban_failed", "the ban is not in force: %s", augury_strerror(rc));
    }
    cache_news_tell(cache, CACHE_NEWS_BAN, pattern);
    return 0;
}

int
cache_keeper_flush(struct cache *cache, uint64_t *out_entries)
{
    struct store_txn *txn = NULL;
    struct cache_state state;
    uint64_t entries = 0;

    int rc = request_begin(cache, &txn, &state);
    if (rc != 0) {
        return rc;
    }
    entries = cache_entries_of(&state);
    rc = cache_evict_all(txn, &state);
    for (int class = 0; class < CACHE_CLASS_COUNT; class ++) {
        cache_move_class(cache, (enum cache_class) class);
    }
    rc = request_end(cache, &txn, rc, &state);
    if (rc == 0) {
        stats_add(cache->stats, STATS_CACHE_PURGED, entries);
        *out_entries = entries;
        cache_news_tell(cache, CACHE_NEWS_FLUSH, bytes_of(NULL, 0));
    }
    return rc;
}
