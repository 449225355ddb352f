/* SPDX-License-Identifier: MIT */
/* test_cache_hint.c - shared hints of where entries lie: true ones are followed, wrong ones cost a
 * walk down the index and nothing else. */
#include "cache_case.h"

#include "../../../src/cache/cache_priv.h"
#include "../../tap.h"

enum { MIB = 1 << 20 };

static uint64_t
mixed(uint64_t number)
{
    number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
    return number ^ number >> 31;
}

static uint64_t
find(struct cache_hints *hints, uint64_t lo)
{
    atomic_uint_least32_t *near;

    return cache_hint_find(hints, lo, &near);
}

static void
hints_are_kept_while_their_table_grows(void)
{
    enum { COUNT = 100000 };
    size_t size = cache_hints_bytes(256 * MIB);
    void *memory = shm_map(size);
    uint64_t known = 0, wrong = 0;

    CHECK(memory != NULL);
    struct cache_hints *hints = cache_hints_attach(memory, 256 * MIB);
    CHECK_INT(find(hints, mixed(1)), 0);
    for (uint64_t i = 1; i <= COUNT; i++) {
        cache_hint_put(hints, mixed(i), cache_place_of(i % 2, i));
        cache_hints_fit(hints, i);
    }
    for (uint64_t i = 1; i <= COUNT; i++) {
        uint64_t place = find(hints, mixed(i));
        known += place == cache_place_of(i % 2, i) ? 1 : 0;
        wrong += place != 0 && place != cache_place_of(i % 2, i) ? 1 : 0;
    }
    CHECK(known > COUNT / 100 * 90);
    CHECK(wrong < COUNT / 100); /* bits of two keys are the same */
    cache_hint_put(hints, mixed(7), cache_place_of(CACHE_QUEUE_MAIN, COUNT + 1));
    CHECK_INT(find(hints, mixed(7)), cache_place_of(CACHE_QUEUE_MAIN, COUNT + 1));
    cache_hint_put(NULL, mixed(1), 1);
    printf("# %llu of %d known, %llu wrong\n", (unsigned long long)known, COUNT,
           (unsigned long long)wrong);
    shm_unmap(&memory, size);
}

static void
a_full_bucket_loses_its_oldest(void)
{
    size_t size = cache_hints_bytes(MIB);
    void *memory = shm_map(size);

    CHECK(memory != NULL);
    struct cache_hints *hints = cache_hints_attach(memory, MIB);
    for (uint64_t i = 1; i <= 6; i++) {
        cache_hint_put(hints, i << 14, i);
    }
    CHECK_INT(find(hints, UINT64_C(1) << 14), 0);
    for (uint64_t i = 2; i <= 6; i++) {
        CHECK_INT(find(hints, i << 14), i);
    }
    shm_unmap(&memory, size);
}

/* Words whose neighbours made them leave their bucket take what stands beside them along. */
static void
where_an_entry_was_seen_moves_with_its_word(void)
{
    enum { COUNT = 5000 };
    size_t size = cache_hints_bytes(256 * MIB);
    void *memory = shm_map(size);
    unsigned known = 0, wrong = 0;
    atomic_uint_least32_t *near;

    CHECK(memory != NULL);
    struct cache_hints *hints = cache_hints_attach(memory, 256 * MIB);
    for (uint64_t i = 1; i <= COUNT; i++) {
        cache_hint_put(hints, mixed(i), i);
        CHECK_INT(cache_hint_find(hints, mixed(i), &near), i);
        CHECK_INT(atomic_load(near), 0);
        atomic_store(near, (uint32_t)i * 3);
    }
    cache_hints_fit(hints, 200000);
    for (uint64_t i = 1; i <= COUNT; i++) {
        if (cache_hint_find(hints, mixed(i), &near) == i) {
            known++;
            wrong += atomic_load(near) != i * 3 ? 1 : 0;
        }
    }
    CHECK(known > COUNT / 10 * 9);
    CHECK_INT(wrong, 0);
    /* Another entry in its place has not been seen anywhere. */
    cache_hint_put(hints, mixed(3), COUNT + 1);
    CHECK_INT(cache_hint_find(hints, mixed(3), &near), COUNT + 1);
    CHECK_INT(atomic_load(near), 0);
    shm_unmap(&memory, size);
}

/* Forgets what this process knows by itself, so that the hints are asked. */
static int
get_without_memo(struct cache_case *c, uint64_t number, size_t *out_len)
{
    memset(c->cache->memo, 0, sizeof(struct cache_memo) * CACHE_MEMO_WAYS << CACHE_MEMO_BITS);
    return case_get(c, number, out_len, case_now);
}

static void
a_wrong_hint_never_gives_a_wrong_answer(void)
{
    enum { COUNT = 2000 };
    struct cache_case c;
    char room[64];
    size_t len = 0;

    CHECK(case_begin(&c, 64 * MIB, MIB));
    for (uint64_t i = 0; i < COUNT; i++) {
        CHECK_INT(case_put(&c, i, i % 50 == 0 ? 9000 : 200 + i % 100, 600), 0);
        CHECK_INT(case_drain(&c), 0);
    }
    for (uint64_t i = 0; i < COUNT; i++) {
        CHECK_INT(get_without_memo(&c, i, &len), 0);
    }
    /* Each names another's place, or one that is none. */
    for (uint64_t i = 0; i < COUNT; i++) {
        uint64_t lo = cache_digest(c.cache, case_key(i, room, sizeof(room))).lo;
        uint64_t place = mixed(i) % (2 * COUNT) | (i % 3 == 0 ? cache_place_main : 0);
        cache_hint_put(c.board->hints, lo, place);
    }
    for (uint64_t i = 0; i < COUNT; i++) {
        CHECK_INT(get_without_memo(&c, i, &len), 0);
        CHECK_INT(len, i % 50 == 0 ? 9000 : 200 + i % 100);
    }
    /* What is made anew is hinted at its new place. */
    CHECK_INT(case_put(&c, 5, 777, 900), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(get_without_memo(&c, 5, &len), 0);
    CHECK_INT(len, 777);
    CHECK_INT(stats_sum(c.stats, STATS_CACHE_COLLISIONS), 0);
    case_fini(&c);
}

/* Beside number's hint; NULL: there is none. */
static atomic_uint_least32_t *
near_of(struct cache_case *c, uint64_t number)
{
    char room[64];
    atomic_uint_least32_t *near = NULL;
    uint64_t lo = cache_digest(c->cache, case_key(number, room, sizeof(room))).lo;

    return cache_hint_find(c->board->hints, lo, &near) == 0 ? NULL : near;
}

static void
where_an_entry_was_seen_is_learned_and_may_be_anything(void)
{
    enum { COUNT = 2000 };
    struct cache_case c;
    size_t len = 0;
    static uint32_t lines[COUNT];
    unsigned learned = 0, moved = 0;

    CHECK(case_begin(&c, 64 * MIB, MIB));
    for (uint64_t i = 0; i < COUNT; i++) {
        CHECK_INT(case_put(&c, i, 200 + i % 1000, 600), 0);
        CHECK_INT(case_drain(&c), 0);
    }
    for (uint64_t i = 0; i < COUNT; i++) {
        CHECK_INT(get_without_memo(&c, i, &len), 0);
        lines[i] = near_of(&c, i) == NULL ? 0 : atomic_load(near_of(&c, i));
        learned += lines[i] != 0 ? 1 : 0;
    }
    CHECK(learned > COUNT / 10 * 9);
    for (uint64_t i = 0; i < COUNT; i++) {
        if (lines[i] != 0) {
            atomic_store(near_of(&c, i), i % 3 == 0 ? UINT32_MAX : (uint32_t)mixed(i) >> i % 30);
        }
    }
    for (uint64_t i = 0; i < COUNT; i++) {
        CHECK_INT(get_without_memo(&c, i, &len), 0);
        CHECK_INT(len, 200 + i % 1000);
        CHECK(lines[i] == 0 || atomic_load(near_of(&c, i)) == lines[i]);
    }
    /* An entry that is made anew lies elsewhere, and is seen there. */
    for (uint64_t i = 0; i < 50; i++) {
        CHECK_INT(case_put(&c, i, 3000, 900), 0);
        CHECK_INT(case_drain(&c), 0);
        CHECK_INT(get_without_memo(&c, i, &len), 0);
        CHECK_INT(len, 3000);
        atomic_uint_least32_t *near = near_of(&c, i);
        moved += near != NULL && atomic_load(near) != 0 && atomic_load(near) != lines[i] ? 1 : 0;
    }
    CHECK(moved > 45);
    case_fini(&c);
}

/* A pointer into the map is followed only in a snapshot of the commit that it was taken in. */
static void
the_memo_sees_every_commit(void)
{
    enum { ROUNDS = 3000 };
    struct cache_case c;
    size_t len = 0;

    CHECK(case_begin(&c, 64 * MIB, MIB));
    cache_keeper_quota(c.cache, MIB);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        size_t size = 100 + i % 1500;
        CHECK_INT(case_put(&c, 1, size, (uint32_t)(600 + i * 2)), 0);
        CHECK_INT(case_put(&c, 1000 + i, 2000, 600), 0);
        CHECK_INT(case_drain(&c), 0);
        for (int look = 0; look < 3; look++) {
            CHECK_INT(case_get(&c, 1, &len, case_now), 0);
            CHECK_INT(len, size);
        }
    }
    case_fini(&c);
}

int
main(void)
{
    TAP_RUN(hints_are_kept_while_their_table_grows);
    TAP_RUN(a_full_bucket_loses_its_oldest);
    TAP_RUN(where_an_entry_was_seen_moves_with_its_word);
    TAP_RUN(where_an_entry_was_seen_is_learned_and_may_be_anything);
    TAP_RUN(a_wrong_hint_never_gives_a_wrong_answer);
    TAP_RUN(the_memo_sees_every_commit);
    return tap_done();
}
