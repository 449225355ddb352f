/* SPDX-License-Identifier: MIT */
/*
 * cache_shrink.c - memory back to the system: when the file's blocks stand well above what is live,
 * holes are punched under its free pages, in slices between the keeper's commits.
 * Rules: (1) it begins at 1.15 times what is live and ends at 1.05, and the difference must be
 * worth a round: free pages that the next commits will write again are not given away; (2) a slice
 * takes SLICE_NS, and a commit waits for one at most; while entries come in slices take half of the
 * time at most, unless the file is far above what is live; (3) what the last two commits freed is
 * out of reach for everybody: when nothing is written any more, two commits without contents bring
 * it in reach; (4) after a round that found little the next one waits, unless the file grows: a
 * reader may be holding on to the rest.
 * LMDB takes the pages that have been free longest first, so a long free list is gone through in a
 * circle: what was given back is written again one turn later, and punched again. That costs about
 * as much as the writing, while entries come in, after a quota has fallen or a reader stood still.
 */
#include "cache_priv.h"

enum {
    SLICE_NS = 2 * 1000 * 1000,
    SLICE_BYTES = 256 << 20,
    WORTH_BYTES = 512 << 10, /* less than this above what is live is left alone */
    SETTLES = 2,
    REST_MS = 500,
};

/* Blocks beyond so many percent of what is live, and beyond what is worth the trouble. */
static bool
is_above(const struct cache *cache, uint64_t percent, uint64_t worth_bytes)
{
    uint64_t live = cache_used_bytes(cache);
    uint64_t slack = live / 100 * percent;

    return cache->keeper.file_bytes > live + (slack > worth_bytes ? slack : worth_bytes);
}

bool
cache_shrink_is_due(struct cache *cache)
{
    struct cache_shrink *shrink = &cache->keeper.shrink;

    if (cache->store == NULL || shrink->is_refused) {
        return false;
    }
    shrink->is_on =
        shrink->is_on ? is_above(cache, 5, WORTH_BYTES / 2) : is_above(cache, 15, WORTH_BYTES);
    return shrink->is_on && (clock_mono_ms() >= shrink->rest_until_mono_ms ||
                             cache->keeper.file_bytes > shrink->rest_file_bytes);
}

/* A commit without contents. */
static int
settle(struct cache *cache)
{
    struct store_txn *txn = NULL;
    struct cache_state state;

    int rc = cache_write_begin(cache, &txn, &state);
    return rc != 0 ? rc : cache_write_end(cache, &txn, rc, &state);
}

static void
rest(struct cache *cache)
{
    struct cache_shrink *shrink = &cache->keeper.shrink;

    shrink->settles = 0;
    shrink->rest_until_mono_ms = clock_mono_ms() + REST_MS;
    shrink->rest_file_bytes =
        cache->keeper.file_bytes + cache_used_bytes(cache) / 16 + WORTH_BYTES / 2;
}

/* Goes on at once after a round that was worth it. */
static int
round_end(struct cache *cache)
{
    struct cache_shrink *shrink = &cache->keeper.shrink;
    bool was_worth_it = shrink->round_bytes >= WORTH_BYTES / 2;

    shrink->round_bytes = 0;
    if (was_worth_it || !is_above(cache, 5, WORTH_BYTES / 2)) {
        return 0;
    }
    if (shrink->is_idle && shrink->settles < SETTLES) {
        shrink->settles++;
        return settle(cache);
    }
    rest(cache);
    return 0;
}

/* A slice; < 0: the environment is damaged. */
static int
slice(struct cache *cache)
{
    struct cache_shrink *shrink = &cache->keeper.shrink;
    uint64_t begin = clock_mono_ns();
    uint64_t begin_cpu = clock_thread_cpu_ns();
    uint64_t punched = 0;

    cache_keeper_enter(cache);
    int rc = store_punch(cache->store, SLICE_BYTES, SLICE_NS, &punched);
    cache_keeper_leave(cache, AUGURY_END); /* no commit, healthy or not */
    uint64_t end = clock_mono_ns();
    shrink->next_mono_ns = end + (end - begin);
    if (rc >= 0) {
        stats_add(cache->stats, STATS_CACHE_PUNCHED_BYTES, punched);
        stats_observe(cache->stats, STATS_CACHE_PUNCH, end - begin);
        stats_observe(cache->stats, STATS_CACHE_PUNCH_CPU, clock_thread_cpu_ns() - begin_cpu);
        shrink->round_bytes += punched;
        cache->keeper.file_bytes -=
            punched < cache->keeper.file_bytes ? punched : cache->keeper.file_bytes;
    }
    switch (rc) {
    case 0: return 0;
    case AUGURY_END: return round_end(cache);
    case AUGURY_ERR_UNSUPPORTED: shrink->is_refused = true; return 0;
    case AUGURY_ERR_CORRUPT: return rc;
    /* Nothing is lost by a hole that was not made. */
    default: rest(cache); return 0;
    }
}

int
cache_shrink_idle(struct cache *cache)
{
    cache->keeper.shrink.is_idle = true;
    return slice(cache);
}

int
cache_shrink_between(struct cache *cache)
{
    bool is_early = clock_mono_ns() < cache->keeper.shrink.next_mono_ns;

    cache->keeper.shrink.is_idle = false;
    return is_early && !is_above(cache, 25, WORTH_BYTES) ? 0 : slice(cache);
}
