/* SPDX-License-Identifier: MIT */
/*
 * cache_generation.c - what is no longer true. Every entry carries the stamp of the clock from
 * before its inputs were read; an invalidation moves the clock on and notes its stamp for a class
 * or a tag. An entry is dead when it was stamped before one of its own.
 * Invariants: (1) the clock only grows, and no entry is stamped after it; (2) stamps are committed
 * before others see them, and a keeper that opens takes over what was committed: a kill anywhere
 * forgets nothing; (3) generations are stored before the clock, so whoever sees the clock sees
 * them; whoever does not comes before the invalidation.
 */
#include "cache_priv.h"

#include <string.h>

enum { TOMB_SHIFT = 64 - 12 };
_Static_assert(CACHE_TOMBS == 1 << (64 - TOMB_SHIFT), "a tomb for each value of the highest bits");

size_t
cache_invalid_bytes(void)
{
    return sizeof(struct cache_invalid);
}

uint64_t
cache_stamp(const struct cache *cache)
{
    return atomic_load_explicit(&cache->invalid->clock, memory_order_acquire);
}

uint16_t
cache_tag(struct bytes name)
{
    return (uint16_t)(1 + hash64_of(name) % UINT16_MAX);
}

static void
stamp_raise(atomic_uint_least64_t *stamp, uint64_t to)
{
    if (cache_stamp_at(stamp) < to) {
        atomic_store_explicit(stamp, to, memory_order_release);
    }
}

/* ---- is it dead? --------------------------------------------------------------------------- */

enum cache_death
cache_death_look(const struct cache_invalid *invalid, const struct cache_entry *entry)
{
    size_t slot;

    if (cache_stamp_at(&invalid->classes[entry->class]) > entry->stamp) {
        return CACHE_DEAD_BY_GENERATION;
    }
    for (size_t i = 0; i < CACHE_TAGS; i++) {
        uint16_t tag = entry->tags[i];
        if (tag != 0 && cache_stamp_at(&invalid->tags[tag]) > entry->stamp) {
            return CACHE_DEAD_BY_GENERATION;
        }
    }
    return cache_ban_find(invalid, entry, &slot) ? CACHE_DEAD_BY_BAN : CACHE_ALIVE;
}

bool
cache_is_late(const struct cache *cache, const struct cache_entry *entry)
{
    const struct cache_invalid *invalid = cache->invalid;

    return cache_death_of(invalid, entry) != CACHE_ALIVE ||
           cache_stamp_at(&invalid->retired) > entry->stamp ||
           cache_stamp_at(&invalid->tombs[entry->lo >> TOMB_SHIFT]) > entry->stamp;
}

bool
cache_is_outdated(const struct cache *cache, const struct cache_item *like, uint64_t stamp)
{
    struct cache_entry entry = {.lo = digest_with_secret(like->key, cache->secret).lo,
                                .stamp = stamp,
                                .class = (uint8_t)like->class,
                                .text = like->key};

    memcpy(entry.tags, like->tags, sizeof(entry.tags));
    /* Whoever sees the clock sees what moved it. */
    return stamp < cache_stamp(cache) && cache_is_late(cache, &entry);
}

/* ---- moves: one write transaction's invalidations ------------------------------------------ */

void
cache_moves_begin(struct cache *cache)
{
    struct cache_moves *moves = &cache->keeper.moves;

    moves->clock = cache_stamp(cache);
    memset(moves->classes, 0, sizeof(moves->classes));
    moves->tag_count = 0;
    moves->ban_len = 0;
    moves->retire = 0;
    moves->place = cache->keeper.place;
}

/* Whether rendered answers are made of entries of that class: objects are sent as they are. */
static bool is_rendered(enum cache_class class)
{
    return class != CACHE_RESPONSE && class != CACHE_OBJECT;
}

void
cache_move_class(struct cache *cache, enum cache_class class)
{
    struct cache_moves *moves = &cache->keeper.moves;

    AUGURY_ASSERT(class < CACHE_CLASS_COUNT);
    moves->classes[class] = ++moves->clock;
    if (is_rendered(class)) {
        moves->classes[CACHE_RESPONSE] = moves->clock;
    }
}

void
cache_move_tag(struct cache *cache, struct bytes name)
{
    struct cache_moves *moves = &cache->keeper.moves;

    /* A group has no more records than there is room for. */
    AUGURY_ASSERT(moves->tag_count < AUGURY_COUNT(moves->tags));
    moves->tags[moves->tag_count].stamp = ++moves->clock;
    moves->tags[moves->tag_count++].tag = cache_tag(name);
    /* A rendered answer carries its model's tag, not those of views and entities. */
    if (name.len > 0 && memchr(name.data, ':', name.len) != NULL) {
        moves->classes[CACHE_RESPONSE] = moves->clock;
    }
}

void
cache_move_key(struct cache *cache, uint64_t lo, enum cache_class class)
{
    uint64_t stamp = ++cache->keeper.moves.clock;

    /* Seen at once: if the transaction fails, some puts under way are refused for nothing. It is
     * not stored: whoever computes now does not outlive the daemon. */
    stamp_raise(&cache->invalid->tombs[lo >> TOMB_SHIFT], stamp);
    if (is_rendered(class)) {
        cache->keeper.moves.classes[CACHE_RESPONSE] = stamp;
    }
}

bool
cache_moves_kill(const struct cache *cache, const struct cache_entry *entry)
{
    const struct cache_moves *moves = &cache->keeper.moves;
    bool is_dead = moves->classes[entry->class] > entry->stamp;

    for (size_t i = 0; i < moves->tag_count; i++) {
        for (size_t t = 0; t < CACHE_TAGS; t++) {
            is_dead = is_dead ||
                      (moves->tags[i].tag == entry->tags[t] && moves->tags[i].stamp > entry->stamp);
        }
    }
    return is_dead;
}

static int
row_put(struct store_txn *txn, uint64_t key, uint64_t stamp)
{
    uint8_t value[CACHE_STAMP_BYTES];

    le64_put(value, stamp);
    return store_put_u64(txn, CACHE_TABLE_INVALID, key, bytes_of(value, sizeof(value)),
                         STORE_PUT_REPLACE);
}

static int
place_put(struct store_txn *txn, const struct cache_place *place)
{
    uint8_t value[CACHE_PLACE_BYTES];

    le64_put(value, place->stream_id);
    le64_put(value + 8, place->mark);
    return store_put_u64(txn, CACHE_TABLE_INVALID, CACHE_KEY_PLACE, bytes_of(value, sizeof(value)),
                         STORE_PUT_REPLACE);
}

int
cache_place_fresh(struct store_txn *txn)
{
    return place_put(txn, &(struct cache_place){.mark = UINT64_MAX});
}

int
cache_moves_store(struct cache *cache, struct store_txn *txn)
{
    const struct cache_moves *moves = &cache->keeper.moves;
    int rc = 0;

    bool has_moved = !cache_place_is(&moves->place, &cache->keeper.place_stored);
    if (moves->clock == cache_stamp(cache) && moves->retire == 0 && !has_moved) {
        return 0;
    }
    if (has_moved) {
        rc = place_put(txn, &moves->place);
    }
    if (rc == 0 && moves->retire != 0) {
        rc = row_put(txn, CACHE_KEY_RETIRED, moves->retire);
    }
    if (rc == 0) {
        rc = cache_bans_store(cache, txn);
    }
    for (uint64_t class = 0; rc == 0 && class < CACHE_CLASS_COUNT; class ++) {
        if (moves->classes[class] != 0) {
            rc = row_put(txn, CACHE_KEY_CLASS + class, moves->classes[class]);
        }
    }
    for (size_t i = 0; rc == 0 && i < moves->tag_count; i++) {
        rc = row_put(txn, CACHE_KEY_TAG + (uint64_t)moves->tags[i].tag, moves->tags[i].stamp);
    }
    return rc == 0 ? row_put(txn, CACHE_KEY_CLOCK, moves->clock) : rc;
}

void
cache_moves_publish(struct cache *cache)
{
    const struct cache_moves *moves = &cache->keeper.moves;
    struct cache_invalid *invalid = cache->invalid;

    for (size_t class = 0; class < CACHE_CLASS_COUNT; class ++) {
        stamp_raise(&invalid->classes[class], moves->classes[class]);
    }
    for (size_t i = 0; i < moves->tag_count; i++) {
        stamp_raise(&invalid->tags[moves->tags[i].tag], moves->tags[i].stamp);
    }
    stamp_raise(&invalid->retired, moves->retire);
    if (moves->ban_len > 0 || moves->retire != 0) {
        cache_bans_publish(cache);
    }
    stamp_raise(&invalid->clock, moves->clock);
    cache->keeper.place = cache->keeper.place_stored = moves->place;
}

/* ---- the environment's knowledge ----------------------------------------------------------- */

static int
clock_read(struct store_txn *txn, uint64_t *out_clock)
{
    struct bytes stored;

    int rc = store_find_u64(txn, CACHE_TABLE_INVALID, CACHE_KEY_CLOCK, &stored);
    *out_clock = rc == 0 && stored.len == CACHE_STAMP_BYTES ? le64_get(stored.data) : 0;
    return rc == AUGURY_NOT_FOUND ? 0 : rc;
}

static void
row_take(struct cache_invalid *invalid, uint64_t key, struct bytes value)
{
    uint64_t stamp = value.len == CACHE_STAMP_BYTES ? le64_get(value.data) : 0;

    if (key >= CACHE_KEY_BAN && key < CACHE_KEY_BAN + CACHE_BANS) {
        cache_ban_take(invalid, key - CACHE_KEY_BAN, value);
    } else if (key == CACHE_KEY_RETIRED) {
        stamp_raise(&invalid->retired, stamp);
    } else if (key < CACHE_CLASS_COUNT) {
        stamp_raise(&invalid->classes[key], stamp);
    } else if (key >= CACHE_KEY_TAG && key < CACHE_KEY_TAG + CACHE_TAG_COUNT) {
        stamp_raise(&invalid->tags[key - CACHE_KEY_TAG], stamp);
    }
}

static int
rows_take(struct cache_invalid *invalid, struct store_txn *txn)
{
    struct store_cursor *cursor = NULL;
    struct bytes key, value;
    uint64_t number = 0;

    int rc = store_cursor_open(txn, CACHE_TABLE_INVALID, &cursor);
    if (rc == 0) {
        rc = store_cursor_seek(cursor, bytes_of(&number, sizeof(number)), &key, &value);
    }
    while (rc == 0) {
        if (key.len == sizeof(number)) {
            memcpy(&number, key.data, sizeof(number));
            row_take(invalid, number, value);
        }
        rc = store_cursor_next(cursor, &key, &value);
    }
    store_cursor_close(&cursor);
    return rc < 0 ? rc : 0;
}

int
cache_invalid_follow(struct cache_invalid *invalid, struct store_txn *txn)
{
    uint64_t clock = 0;

    int rc = clock_read(txn, &clock);
    if (rc == 0 && clock > cache_stamp_at(&invalid->clock)) {
        rc = rows_take(invalid, txn);
        stamp_raise(&invalid->clock, clock);
    }
    return rc;
}

static void
place_take(struct cache *cache, struct store_txn *txn)
{
    struct cache_keeper *keeper = &cache->keeper;
    struct bytes stored;

    keeper->place_stored = (struct cache_place){0};
    if (store_find_u64(txn, CACHE_TABLE_INVALID, CACHE_KEY_PLACE, &stored) == 0 &&
        stored.len == CACHE_PLACE_BYTES) {
        keeper->place_stored = (struct cache_place){.stream_id = le64_get(stored.data),
                                                    .mark = le64_get(stored.data + 8)};
    }
    if (keeper->place.mark == 0) {
        keeper->place = keeper->place_stored;
    }
}

/* Into a new environment, made beside a board that knows more. */
static int
rows_give(const struct cache_invalid *invalid, struct store_txn *txn)
{
    int rc = 0;

    for (uint64_t class = 0; rc == 0 && class < CACHE_CLASS_COUNT; class ++) {
        uint64_t stamp = cache_stamp_at(&invalid->classes[class]);
        rc = stamp == 0 ? 0 : row_put(txn, CACHE_KEY_CLASS + class, stamp);
    }
    for (uint64_t tag = 0; rc == 0 && tag < CACHE_TAG_COUNT; tag++) {
        uint64_t stamp = cache_stamp_at(&invalid->tags[tag]);
        rc = stamp == 0 ? 0 : row_put(txn, CACHE_KEY_TAG + tag, stamp);
    }
    if (rc == 0) {
        rc = cache_bans_give(invalid, txn);
    }
    if (rc == 0 && cache_stamp_at(&invalid->retired) != 0) {
        rc = row_put(txn, CACHE_KEY_RETIRED, cache_stamp_at(&invalid->retired));
    }
    return rc == 0 ? row_put(txn, CACHE_KEY_CLOCK, cache_stamp_at(&invalid->clock)) : rc;
}

int
cache_invalid_adopt(struct cache *cache)
{
    struct store_txn *txn = NULL;
    uint64_t clock = 0;

    cache->keeper.dead = (struct cache_dead_round){.done = 0};
    cache_bans_repair(cache->invalid);
    int rc = store_begin(cache->store, &txn);
    if (rc == 0) {
        rc = clock_read(txn, &clock);
    }
    if (rc == 0) {
        place_take(cache, txn);
    }
    if (rc == 0) {
        rc = cache_invalid_follow(cache->invalid, txn);
    }
    if (rc == 0 && clock < cache_stamp(cache)) {
        rc = rows_give(cache->invalid, txn);
        rc = rc == 0 ? store_commit(&txn) : rc;
    }
    store_abort(&txn);
    return rc;
}
