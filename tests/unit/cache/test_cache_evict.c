/* SPDX-License-Identifier: MIT */
/* test_cache_evict.c - which entries stay: the order of S3-FIFO, step by step, with a quota of
 * entries; the counters and the ghosts that it decides by. */
#include "cache_case.h"

#include "../../../src/cache/cache_priv.h"
#include "../../tap.h"

enum { MIB = 1 << 20, VALUE = 20 };

static bool
has(struct cache_case *c, uint64_t number)
{
    size_t len;

    return case_get(c, number, &len, case_now) == 0;
}

/* One lookup, and a put after a miss, as a worker does it; true for a hit. */
static bool
ask(struct cache_case *c, uint64_t number)
{
    if (has(c, number)) {
        return true;
    }
    AUGURY_ASSERT(case_put(c, number, VALUE, 600) == 0 && case_drain(c) == 0);
    return false;
}

static bool
case_of_entries(struct cache_case *c, uint64_t quota)
{
    bool good = case_begin(c, 64 * MIB, MIB);

    cache_keeper_quota_entries(c->cache, quota);
    return good;
}

static uint64_t
in_queue(const struct cache_case *c, enum cache_queue queue)
{
    return c->cache->keeper.state.queues[queue].entries;
}

static void
small_fills_first_and_main_until_something_must_go(void)
{
    struct cache_case c;

    CHECK(case_of_entries(&c, 100));
    for (uint64_t i = 0; i < 100; i++) {
        CHECK(!ask(&c, i));
    }
    CHECK_INT(in_queue(&c, CACHE_QUEUE_SMALL), 10);
    CHECK_INT(in_queue(&c, CACHE_QUEUE_MAIN), 90);
    /* From now on all that is new passes through small. */
    for (uint64_t i = 100; i < 150; i++) {
        CHECK(!ask(&c, i));
        CHECK_INT(in_queue(&c, CACHE_QUEUE_SMALL), 10);
        CHECK_INT(in_queue(&c, CACHE_QUEUE_MAIN), 90);
    }
    for (uint64_t i = 0; i < 150; i++) {
        CHECK(has(&c, i) == ((i >= 10 && i < 100) || i >= 140));
    }
    CHECK_INT(stats_sum(c.stats, STATS_CACHE_EVICTED), 50);
    case_fini(&c);
}

static void
two_hits_take_an_entry_from_small_to_main_and_one_does_not(void)
{
    struct cache_case c;

    CHECK(case_of_entries(&c, 100));
    for (uint64_t i = 0; i < 110; i++) {
        CHECK(!ask(&c, i)); /* small holds 100 to 109 */
    }
    CHECK(ask(&c, 100) && ask(&c, 100));
    CHECK(ask(&c, 101));
    for (uint64_t i = 200; i < 220; i++) {
        CHECK(!ask(&c, i));
    }
    struct cache_entry entry;
    char room[64];
    CHECK_INT(cache_snapshot_begin(c.cache), 0);
    uint64_t lo = cache_digest(c.cache, case_key(100, room, sizeof(room))).lo;
    CHECK_INT(cache_entry_find(c.cache->snapshot, lo, &entry), 0);
    CHECK_INT(cache_place_queue(entry.place), CACHE_QUEUE_MAIN);
    cache_snapshot_end(c.cache);
    CHECK(has(&c, 100));
    CHECK(!has(&c, 101));
    case_fini(&c);
}

static void
what_comes_back_soon_after_it_went_goes_to_main(void)
{
    struct cache_case c;

    CHECK(case_of_entries(&c, 100));
    for (uint64_t i = 0; i < 130; i++) {
        CHECK(!ask(&c, i)); /* 100 to 119 went through small */
    }
    CHECK(!ask(&c, 105));
    CHECK_INT(in_queue(&c, CACHE_QUEUE_MAIN), 91);
    /* main is over its share: its own head goes next, not small's. */
    CHECK(!ask(&c, 300));
    CHECK_INT(in_queue(&c, CACHE_QUEUE_MAIN), 90);
    CHECK(!has(&c, 10) && has(&c, 11));
    for (uint64_t i = 400; i < 450; i++) {
        CHECK(!ask(&c, i));
    }
    CHECK(has(&c, 105));
    case_fini(&c);
}

static void
a_ghost_is_forgotten_after_nine_tenths_of_the_entries(void)
{
    struct cache_case c;

    CHECK(case_of_entries(&c, 100));
    for (uint64_t i = 0; i < 100; i++) {
        CHECK(!ask(&c, i));
    }
    /* 0 to 9 go when 100 to 109 come; 90 ghosts later the first of them is forgotten. */
    for (uint64_t i = 100; i < 191; i++) {
        CHECK(!ask(&c, i));
    }
    CHECK(!ask(&c, 0));
    CHECK_INT(in_queue(&c, CACHE_QUEUE_MAIN), 90);
    CHECK(!ask(&c, 3)); /* 1 and 2 are forgotten by now */
    CHECK_INT(in_queue(&c, CACHE_QUEUE_MAIN), 91);
    case_fini(&c);
}

static void
a_scan_drives_out_nothing_that_is_in_use(void)
{
    struct cache_case c;
    unsigned hits = 0;

    CHECK(case_of_entries(&c, 100));
    for (int round = 0; round < 4; round++) {
        for (uint64_t i = 0; i < 80; i++) {
            ask(&c, i);
        }
    }
    for (uint64_t i = 0; i < 5000; i++) {
        CHECK(!ask(&c, 1000 + i));
    }
    for (uint64_t i = 0; i < 80; i++) {
        hits += has(&c, i) ? 1 : 0;
    }
    CHECK_INT(hits, 80);
    case_fini(&c);
}

static void
in_main_a_hit_gives_one_more_round(void)
{
    struct cache_case c;

    CHECK(case_of_entries(&c, 100));
    for (uint64_t i = 0; i < 100; i++) {
        CHECK(!ask(&c, i)); /* main: 10 to 99 */
    }
    CHECK(ask(&c, 10));
    for (uint64_t i = 100; i < 130; i++) {
        CHECK(!ask(&c, i));
    }
    for (uint64_t i = 100; i < 103; i++) {
        CHECK(!ask(&c, i)); /* ghosts: each takes a place in main, the second and third from it */
    }
    CHECK(has(&c, 10));
    CHECK(!has(&c, 11) && !has(&c, 12) && has(&c, 13));
    case_fini(&c);
}

static void
expired_entries_at_the_heads_go_first(void)
{
    struct cache_case c;
    bool more = false;

    CHECK(case_of_entries(&c, 100));
    for (uint64_t i = 0; i < 100; i++) {
        uint32_t ttl = i >= 10 && i < 20 ? 10 : 600; /* the head of main */
        CHECK_INT(case_put(&c, i, VALUE, ttl), 0);
        CHECK_INT(case_drain(&c), 0);
    }
    CHECK(has(&c, 10) && has(&c, 10) && has(&c, 10));
    for (uint64_t i = 100; i < 110; i++) {
        CHECK_INT(case_put(&c, i, VALUE, 600), 0);
        CHECK_INT(cache_keeper_turn(c.cache, case_now + 20000, &more), 0);
    }
    for (uint64_t i = 0; i < 110; i++) {
        CHECK(has(&c, i) == (i < 10 || i >= 20));
    }
    case_fini(&c);
}

static uint64_t
entries_after_tick(struct cache_case *c, uint64_t now)
{
    return cache_keeper_tick(c->cache, now) == 0 ? cache_entries_of(&c->cache->keeper.state) : 99;
}

static void
the_sweep_takes_what_is_too_old_to_be_stale_and_what_is_invalidated(void)
{
    struct cache_case c;
    struct cache_item item = {.class = CACHE_OBJECT,
                              .key = bytes_of_text("object:a"),
                              .value = bytes_of_text("x"),
                              .created_wall_ms = case_now,
                              .expires_wall_ms = case_now + 10000,
                              .stale_s = 20};

    CHECK(case_begin(&c, 64 * MIB, MIB));
    CHECK_INT(cache_put(c.cache, &item), 0);
    item.key = bytes_of_text("object:b");
    item.stale_s = 0;
    CHECK_INT(cache_put(c.cache, &item), 0);
    CHECK_INT(case_put(&c, 1, VALUE, 600), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(entries_after_tick(&c, case_now + 9000), 3);
    CHECK_INT(entries_after_tick(&c, case_now + 10000), 2);
    CHECK_INT(entries_after_tick(&c, case_now + 29999), 2);
    CHECK_INT(entries_after_tick(&c, case_now + 30000), 1);
    CHECK_INT(cache_keeper_invalidate_class(c.cache, CACHE_OBJECT), 0);
    CHECK_INT(entries_after_tick(&c, case_now + 30001), 1);
    CHECK_INT(cache_keeper_invalidate_class(c.cache, CACHE_PREDICTION), 0);
    CHECK_INT(entries_after_tick(&c, case_now + 30002), 0);
    case_fini(&c);
}

static void
an_entry_made_anew_keeps_its_queue(void)
{
    struct cache_case c;

    CHECK(case_of_entries(&c, 110));
    for (uint64_t i = 0; i < 100; i++) {
        CHECK(!ask(&c, i));
    }
    CHECK_INT(case_put(&c, 50, VALUE + 1, 900), 0);
    CHECK_INT(case_put(&c, 5, VALUE + 1, 900), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(in_queue(&c, CACHE_QUEUE_SMALL), 11);
    CHECK_INT(in_queue(&c, CACHE_QUEUE_MAIN), 89);
    size_t len = 0;
    CHECK_INT(case_get(&c, 5, &len, case_now), 0);
    CHECK_INT(len, VALUE + 1);
    case_fini(&c);
}

static void
an_entry_that_would_drive_out_a_quarter_is_refused(void)
{
    struct cache_case c;
    size_t len;

    CHECK(case_begin(&c, 64 * MIB, 8 * MIB));
    cache_keeper_quota(c.cache, 2 * MIB);
    CHECK_INT(case_put(&c, 1, 400 * 1024, 600), 0);
    CHECK_INT(case_put(&c, 2, 600 * 1024, 600), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(case_get(&c, 1, &len, case_now), 0);
    CHECK_INT(case_get(&c, 2, &len, case_now), AUGURY_NOT_FOUND);
    CHECK_INT(stats_sum(c.stats, STATS_CACHE_PUTS_DROPPED), 1);
    case_fini(&c);
}

static void
what_was_asked_for_survives_the_keeper(void)
{
    struct cache_case c;

    CHECK(case_of_entries(&c, 100));
    for (uint64_t i = 0; i < 120; i++) {
        CHECK(!ask(&c, i)); /* small: 110 to 119; ghosts: 0 to 9, 100 to 109 */
    }
    CHECK(ask(&c, 112) && ask(&c, 112));
    cache_close(&c.cache);
    CHECK_INT(case_open(&c, true, 0, NULL), 0);
    cache_keeper_quota_entries(c.cache, 100);
    CHECK(!ask(&c, 104));
    CHECK_INT(in_queue(&c, CACHE_QUEUE_MAIN), 91);
    for (uint64_t i = 200; i < 230; i++) {
        CHECK(!ask(&c, i));
    }
    CHECK(has(&c, 112));
    case_fini(&c);
}

static void
a_flushed_cache_fills_like_a_new_one(void)
{
    struct cache_case c;
    uint64_t flushed = 0;

    CHECK(case_of_entries(&c, 100));
    for (uint64_t i = 0; i < 150; i++) {
        CHECK(!ask(&c, i));
    }
    CHECK_INT(cache_keeper_flush(c.cache, &flushed), 0);
    CHECK_INT(flushed, 100);
    for (uint64_t i = 1000; i < 1100; i++) {
        CHECK(!ask(&c, i));
    }
    CHECK_INT(in_queue(&c, CACHE_QUEUE_SMALL), 10);
    CHECK_INT(in_queue(&c, CACHE_QUEUE_MAIN), 90);
    case_fini(&c);
}

struct hot {
    unsigned count, hits[8];
    size_t len[8];
    bool is_whole;
};

static void
on_hot(void *arg, struct bytes text, struct bytes value, unsigned hits)
{
    struct hot *hot = arg;

    if (hot->count < 8) {
        hot->hits[hot->count] = hits;
        hot->len[hot->count] = value.len;
    }
    hot->count++;
    hot->is_whole = hot->is_whole && text.len > 0 && case_value_is(value.len, value);
}

static void
the_hottest_come_first_and_whole(void)
{
    struct cache_case c;
    struct hot hot = {.is_whole = true}, two = {.is_whole = true}, none = {.is_whole = true};

    CHECK(case_of_entries(&c, 100));
    /* The number of an entry is its length, so that the value tells whose it is. */
    for (uint64_t i = 1; i <= 50; i++) {
        CHECK_INT(case_put(&c, i == 50 ? 20000 : i, i == 50 ? 20000 : i, 600), 0);
        CHECK_INT(case_drain(&c), 0);
    }
    CHECK(has(&c, 5) && has(&c, 20000) && has(&c, 20000) && has(&c, 20000));
    CHECK(has(&c, 40) && has(&c, 40));
    CHECK_INT(cache_hottest(c.cache, CACHE_PREDICTION, on_hot, &hot, 100), 0);
    CHECK_INT(hot.count, 3);
    CHECK(hot.is_whole);
    CHECK(hot.hits[0] == 3 && hot.len[0] == 20000);
    CHECK(hot.hits[1] == 2 && hot.len[1] == 40);
    CHECK(hot.hits[2] == 1 && hot.len[2] == 5);
    CHECK_INT(cache_hottest(c.cache, CACHE_PREDICTION, on_hot, &two, 2), 0);
    CHECK_INT(two.count, 2);
    CHECK_INT(cache_hottest(c.cache, CACHE_OBJECT, on_hot, &none, 100), 0);
    CHECK_INT(none.count, 0);
    case_fini(&c);
}

/* ---- counters and ghosts by themselves ----------------------------------------------------- */

static uint64_t
mixed(uint64_t number)
{
    number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
    return number ^ number >> 31;
}

static void
counters_saturate_and_outlive_the_growth_of_their_table(void)
{
    size_t size = cache_heat_bytes(256 * MIB);
    void *memory = shm_map(size);

    CHECK(memory != NULL);
    struct cache_heat *heat = cache_heat_attach(memory, 256 * MIB);
    for (int i = 0; i < 5; i++) {
        cache_heat_touch(heat, mixed(1));
    }
    cache_heat_touch(heat, mixed(2));
    CHECK_INT(cache_heat_of(heat, mixed(1)), 3);
    cache_heat_fit(heat, 400000);
    CHECK_INT(cache_heat_of(heat, mixed(1)), 3);
    CHECK_INT(cache_heat_of(heat, mixed(2)), 1);
    CHECK_INT(cache_heat_of(heat, mixed(3)), 0);
    cache_heat_set(heat, mixed(1), 0);
    CHECK_INT(cache_heat_of(heat, mixed(1)), 0);
    CHECK_INT(cache_heat_of(NULL, mixed(1)), 0);
    cache_heat_fit(heat, UINT64_MAX / 8); /* as large as there is room */
    CHECK_INT(cache_heat_of(heat, mixed(2)), 1);
    shm_unmap(&memory, size);
}

static void
the_last_ghosts_are_known_and_each_but_once(void)
{
    enum { MOST = 30000, ADDED = 200000 };
    size_t size = cache_heat_bytes(64 * MIB);
    void *memory = shm_map(size);
    uint64_t known = 0, strangers = 0, again = 0;

    CHECK(memory != NULL);
    struct cache_heat *heat = cache_heat_attach(memory, 64 * MIB);
    for (uint64_t i = 0; i < ADDED; i++) {
        if (i == 10000) {
            cache_heat_fit(heat, MOST);
        }
        cache_ghost_add(heat, mixed(i), MOST);
    }
    for (uint64_t i = ADDED - MOST; i < ADDED; i++) {
        known += cache_ghost_take(heat, mixed(i)) ? 1 : 0;
        again += cache_ghost_take(heat, mixed(i)) ? 1 : 0;
    }
    /* Where a bucket overflowed, an older one stays instead. */
    for (uint64_t i = 0; i < ADDED - MOST - MOST / 10; i++) {
        strangers += cache_ghost_take(heat, mixed(i)) ? 1 : 0;
    }
    CHECK(known > MOST / 100 * 90 && known <= MOST);
    CHECK_INT(again, 0);
    CHECK_INT(strangers, 0);
    CHECK(!cache_ghost_take(NULL, mixed(1)));
    cache_ghost_add(NULL, mixed(1), 1);
    printf("# %llu of %d known\n", (unsigned long long)known, MOST);
    shm_unmap(&memory, size);
}

/* What a keeper killed in the middle of anything leaves: any bytes at all. */
static void
a_heat_of_garbage_is_only_a_bad_hint(void)
{
    size_t size = cache_heat_bytes(64 * MIB);
    void *memory = shm_map(size);
    uint8_t *bytes = memory;

    CHECK(memory != NULL);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)mixed(i);
    }
    struct cache_heat *heat = cache_heat_attach(memory, 64 * MIB);
    for (uint64_t i = 0; i < 200000; i++) {
        CHECK(cache_heat_of(heat, mixed(i)) <= 3);
        cache_heat_touch(heat, mixed(i));
        cache_ghost_add(heat, mixed(i), 1000);
        cache_ghost_take(heat, mixed(i / 2));
    }
    cache_heat_fit(heat, 100000);
    shm_unmap(&memory, size);
}

int
main(void)
{
    TAP_RUN(small_fills_first_and_main_until_something_must_go);
    TAP_RUN(two_hits_take_an_entry_from_small_to_main_and_one_does_not);
    TAP_RUN(what_comes_back_soon_after_it_went_goes_to_main);
    TAP_RUN(a_ghost_is_forgotten_after_nine_tenths_of_the_entries);
    TAP_RUN(a_scan_drives_out_nothing_that_is_in_use);
    TAP_RUN(in_main_a_hit_gives_one_more_round);
    TAP_RUN(expired_entries_at_the_heads_go_first);
    TAP_RUN(the_sweep_takes_what_is_too_old_to_be_stale_and_what_is_invalidated);
    TAP_RUN(an_entry_made_anew_keeps_its_queue);
    TAP_RUN(an_entry_that_would_drive_out_a_quarter_is_refused);
    TAP_RUN(what_was_asked_for_survives_the_keeper);
    TAP_RUN(a_flushed_cache_fills_like_a_new_one);
    TAP_RUN(the_hottest_come_first_and_whole);
    TAP_RUN(counters_saturate_and_outlive_the_growth_of_their_table);
    TAP_RUN(the_last_ghosts_are_known_and_each_but_once);
    TAP_RUN(a_heat_of_garbage_is_only_a_bad_hint);
    return tap_done();
}
