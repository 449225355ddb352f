/* SPDX-License-Identifier: MIT */
/*
 * cache_hottest.c - the entries that were asked for most, for whoever has to make them anew: a new
 * version of a model is warmed with them before it takes over.
 */
#include "cache_priv.h"

#include <stdlib.h>

enum { BATCH = 64, HITS_MAX = 3 };

struct hottest {
    struct cache *cache;
    enum cache_class class;
    cache_hot_fn *fn;
    void *arg;
    size_t left; /* that may still be given */
    uint8_t *room;
};

static int
entry_give(struct hottest *hottest, const struct cache_entry *entry, unsigned hits)
{
    struct bytes value = entry->value;

    if ((entry->flags & CACHE_ENTRY_CHUNKED) != 0) {
        int rc = cache_entry_gather(hottest->cache->snapshot, entry, hottest->room);
        if (rc != 0) {
            return rc < 0 ? rc : 0;
        }
        value = bytes_of(hottest->room, entry->value_len);
    }
    hottest->left--;
    hottest->fn(hottest->arg, entry->text, value, hits);
    return 0;
}

/* Main, then small; within a snapshot. */
static int
queue_walk(struct hottest *hottest, enum cache_queue queue, unsigned hits)
{
    struct cache *cache = hottest->cache;
    struct cache_entry batch[BATCH];
    uint64_t from_seq = 0;
    size_t count = BATCH;
    int rc = 0;

    while (rc == 0 && count == BATCH && hottest->left > 0) {
        rc = cache_entry_read(cache->snapshot, queue, from_seq, batch, BATCH, &count);
        for (size_t i = 0; rc == 0 && i < count && hottest->left > 0; i++) {
            bool is_wanted =
                batch[i].class == hottest->class &&
                cache_heat_of(cache->heat, cache_digest(cache, batch[i].text).lo) == hits &&
                !cache_entry_is_dead(cache, &batch[i]);
            rc = is_wanted ? entry_give(hottest, &batch[i], hits) : 0;
            from_seq = cache_place_seq(batch[i].place) + 1;
        }
    }
    return rc;
}

int
cache_hottest(struct cache *cache, enum cache_class class, cache_hot_fn *fn, void *arg, size_t max)
{
    struct hottest hottest = {
        .cache = cache, .class = class, .fn = fn, .arg = arg, .left = max, .room = NULL};

    AUGURY_ASSERT(cache->is_keeper);
    if (cache->store == NULL) {
        return AUGURY_ERR_STATE;
    }
    hottest.room = malloc(CACHE_VALUE_MAX);
    if (hottest.room == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    int rc = store_snapshot_renew(cache->snapshot);
    for (unsigned hits = HITS_MAX; rc == 0 && hits > 0 && hottest.left > 0; hits--) {
        rc = queue_walk(&hottest, CACHE_QUEUE_MAIN, hits);
        if (rc == 0) {
            rc = queue_walk(&hottest, CACHE_QUEUE_SMALL, hits);
        }
    }
    store_snapshot_reset(cache->snapshot);
    free(hottest.room);
    return rc;
}

unsigned
cache_keeper_hits(const struct cache *cache, struct bytes key)
{
    return cache_heat_of(cache->heat, cache_digest(cache, key).lo);
}

void
cache_keeper_forget_hits(struct cache *cache, struct bytes key)
{
    cache_heat_set(cache->heat, cache_digest(cache, key).lo, 0);
}
