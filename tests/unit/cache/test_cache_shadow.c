/* SPDX-License-Identifier: MIT */
/* test_cache_shadow.c - what half and twice the size would hit, against real caches of those sizes
 * that are asked the same. */
#include "cache_case.h"

#include <math.h>

#include "../../../src/cache/cache_priv.h"
#include "../../tap.h"

enum { MIB = 1 << 20, KEYS = 20000, LOOKUPS = 150000 };

struct ratios {
    double hit, half, same, twice;
    bool is_known;
};

/* A few keys are asked for much more than the others, and 1 in 8 lookups is of a key never seen
 * again. */
static uint64_t
key_next(uint64_t *state, uint64_t i)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    double at = (double)(*state >> 11) * 0x1p-53;
    return i % 8 == 0 ? KEYS + i : (uint64_t)(KEYS * at * at * at);
}

static struct ratios
ratios_of(uint64_t quota_entries)
{
    struct cache_case c;
    struct ratios ratios = {.hit = -1};
    uint64_t state = 88172645463325252u, hits = 0;
    size_t len;

    if (!case_begin(&c, 64 * MIB, MIB)) {
        return ratios;
    }
    cache_keeper_quota_entries(c.cache, quota_entries);
    for (uint64_t i = 0; i < LOOKUPS; i++) {
        uint64_t key = key_next(&state, i);
        if (case_get(&c, key, &len, case_now) == 0) {
            hits++;
        } else {
            AUGURY_ASSERT(case_put(&c, key, 20, 600) == 0 && case_drain(&c) == 0);
        }
        if (i % 2000 == 0) {
            AUGURY_ASSERT(cache_keeper_tick(c.cache, case_now) == 0);
        }
    }
    AUGURY_ASSERT(cache_keeper_tick(c.cache, case_now) == 0);
    ratios.hit = (double)hits / LOOKUPS;
    ratios.is_known = cache_shadow_read(c.board, &ratios.half, &ratios.same, &ratios.twice);
    AUGURY_ASSERT(stats_sum(c.stats, STATS_CACHE_SHADOW_TWICE) ==
                  (uint64_t)(ratios.twice * 10000 + 0.5));
    case_fini(&c);
    return ratios;
}

static void
the_shadow_says_what_caches_of_other_sizes_hit(void)
{
    enum { SIZE = 4000 };
    struct ratios half = ratios_of(SIZE / 2), same = ratios_of(SIZE), twice = ratios_of(SIZE * 2);

    printf("# half %.3f (is %.3f), same %.3f (is %.3f), twice %.3f (is %.3f)\n", same.half,
           half.hit, same.same, same.hit, same.twice, twice.hit);
    CHECK(same.is_known);
    CHECK(twice.hit > same.hit + 0.05 && same.hit > half.hit + 0.05);
    CHECK(fabs(same.half - half.hit) < 0.04);
    CHECK(fabs(same.same - same.hit) < 0.04);
    CHECK(fabs(same.twice - twice.hit) < 0.04);
}

static void
nothing_is_said_before_enough_was_looked_up(void)
{
    struct cache_case c;
    double half = -1, same = -1, twice = -1;
    size_t len;

    CHECK(case_begin(&c, 64 * MIB, MIB));
    for (uint64_t i = 0; i < 500; i++) {
        CHECK_INT(case_get(&c, i, &len, case_now), AUGURY_NOT_FOUND);
    }
    CHECK_INT(cache_keeper_tick(c.cache, case_now), 0);
    CHECK(!cache_shadow_read(c.board, &half, &same, &twice));
    CHECK(half == -1 && same == -1 && twice == -1);
    case_fini(&c);
}

/* Any words in the rings, sizes that jump: bounded in memory and time. */
static void
foreign_keys_and_jumping_sizes_do_no_harm(void)
{
    static const uint64_t sizes[] = {0, 1, 3000, 5000000, 100, UINT64_MAX / 4, 40000, 2};
    size_t size = cache_shadow_bytes(2);
    void *memory = shm_map(size);
    struct cache_shadow *shadow = cache_shadow_new();
    uint64_t state = 88172645463325252u;

    CHECK(memory != NULL && shadow != NULL);
    struct cache_shadow_board *board = cache_shadow_attach(memory, 2);
    for (uint64_t round = 0; round < 64; round++) {
        for (uint64_t i = 0; i < 20000; i++) {
            /* The bits that choose the sample are 0. */
            uint64_t key =
                key_next(&state, i) ^ (i % 3 == 0 ? state & ~UINT64_C(0xffff0000000000) : 0);
            cache_shadow_look(board, (unsigned)(i & 1), key, (uint32_t)(i * 7));
        }
        cache_shadow_tick(shadow, board, sizes[round % AUGURY_COUNT(sizes)]);
    }
    cache_shadow_free(&shadow);
    CHECK(shadow == NULL);
    shm_unmap(&memory, size);
}

int
main(void)
{
    TAP_RUN(the_shadow_says_what_caches_of_other_sizes_hit);
    TAP_RUN(nothing_is_said_before_enough_was_looked_up);
    TAP_RUN(foreign_keys_and_jumping_sizes_do_no_harm);
    return tap_done();
}
