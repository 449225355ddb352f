/* SPDX-License-Identifier: MIT */
/*
 * cache_place.c - how far the keeper has come in the machines' stream of invalidations, and what
 * stamp each of them has here.
 * Invariants: (1) a place is committed with what it stands behind, in memory and on disk: a start
 * goes on from there; (2) of two tiers the one that knows less counts.
 */
#include "cache_priv.h"

uint64_t
cache_keeper_place(const struct cache *cache, uint64_t stream_id)
{
    uint64_t least = UINT64_MAX;

    for (; cache != NULL; cache = cache->below) {
        const struct cache_place *place = &cache->keeper.place;
        /* A tier that is off begins empty if it misses anything. */
        if (cache->store == NULL || place->mark == UINT64_MAX) {
            continue;
        }
        if (place->stream_id != stream_id) {
            return 0;
        }
        least = place->mark < least ? place->mark : least;
    }
    return least == UINT64_MAX ? 0 : least;
}

void
cache_keeper_place_set(struct cache *cache, const struct cache_place *place)
{
    cache->keeper.place = *place;
}

void
cache_keeper_place_next(struct cache *cache, const struct cache_place *place)
{
    cache->keeper.place_next = (struct cache_place){0};
    if (place != NULL) {
        cache->keeper.place_next = *place;
    }
}

int
cache_place_tick(struct cache *cache)
{
    const struct cache *below = cache->below;
    const struct cache_place *place = &cache->keeper.place;
    struct store_txn *txn = NULL;
    struct cache_state state;
    bool is_behind = below != NULL && below->store != NULL &&
                     !cache_place_is(&below->keeper.place_stored, place) &&
                     place->mark != UINT64_MAX;

    if (!is_behind && cache_place_is(&cache->keeper.place_stored, place)) {
        return 0;
    }
    int rc = cache_write_begin(cache, &txn, &state);
    if (rc == 0) {
        cache->keeper.place_is_due = true;
        rc = cache_write_end(cache, &txn, 0, &state);
        cache->keeper.place_is_due = false;
    }
    return rc;
}

/* Every class was invalidated then, or later. */
static uint64_t
classes_least(const struct cache_invalid *invalid)
{
    uint64_t least = UINT64_MAX;

    for (int class = 0; class < CACHE_CLASS_COUNT; class ++) {
        uint64_t stamp = cache_stamp_at(&invalid->classes[class]);
        least = stamp < least ? stamp : least;
    }
    return least;
}

static uint64_t
ban_stamp(const struct cache *cache, struct bytes pattern)
{
    struct cache_ban bans[CACHE_BANS];
    uint64_t classes = classes_least(cache->invalid);
    uint64_t retired = cache_stamp_at(&cache->invalid->retired);

    for (size_t i = 0, count = cache_bans(cache, bans); i < count; i++) {
        if (bytes_equal(bytes_of(bans[i].pattern, bans[i].len), pattern)) {
            return bans[i].stamp;
        }
    }
    /* It has ended; or there were too many, and all classes were invalidated instead. */
    return retired != 0 && retired < classes ? retired : classes;
}

uint64_t
cache_stamp_of_news(const struct cache *cache, enum cache_news_kind kind, struct bytes text)
{
    switch (kind) {
    case CACHE_NEWS_KEY: break;
    case CACHE_NEWS_TAG: return cache_stamp_at(&cache->invalid->tags[cache_tag(text)]);
    case CACHE_NEWS_CLASS:
        for (int class = 0; class < CACHE_CLASS_COUNT; class ++) {
            if (bytes_equal_text(text, cache_class_name((enum cache_class) class))) {
                return cache_stamp_at(&cache->invalid->classes[class]);
            }
        }
        break;
    case CACHE_NEWS_BAN: return ban_stamp(cache, text);
    case CACHE_NEWS_FLUSH: return classes_least(cache->invalid);
    }
    return cache_stamp(cache);
}
