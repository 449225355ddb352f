/* SPDX-License-Identifier: MIT */
/*
 * test_cache_size.c - the controller replayed against memory that others take: square waves, ramps,
 * saw teeth, noise, missing signals, limits that fall. A small world stands in for the machine:
 * what others take is the trace, the cache fills its quota as far as it is asked to, and what is
 * left is available.
 */
#include "../../tap.h"

#include <stdlib.h>

#include "augury/cache_size.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

enum { MINUTE_S = 60, HOUR_S = 3600 };

struct world {
    struct cache_size_config config;
    struct cache_size_state state;
    struct cache_size_sample sample;
    struct cache_size_decision decision;
    uint64_t total;
    uint64_t resident;
    uint64_t demand; /* what the cache would hold without a quota */
    unsigned turns;  /* changes of direction */
    unsigned turns_ups;
    bool was_down, was_up;
    bool grew_under_pressure;
    bool left_bounds;
    uint64_t last_turn_up_ms, least_gap_ms;
};

static struct world
world_new(uint64_t total, uint64_t base)
{
    struct world world = {
        .config = {.is_auto = true,
                   .base_bytes = base,
                   .floor_bytes = base / 4,
                   .ceiling_bytes = base * 4,
                   .rule_count = 3,
                   .rules = {{2 * GIB, 25}, {4 * GIB, 50}, {8 * GIB, 75}},
                   .shrink_below_percent = 10,
                   .grow_above_percent = 20,
                   .target_cpu_percent = 70,
                   .patience_ms = 60000},
        .state = {.quota_bytes = base},
        .sample = {.has_memory = true, .gain = -1},
        .total = total,
        .resident = base / 2,
        .demand = UINT64_MAX,
        .least_gap_ms = UINT64_MAX,
    };
    return world;
}

/* One second in which others take so much. */
static void
world_second(struct world *world, uint64_t others)
{
    struct cache_size_sample *sample = &world->sample;
    uint64_t target =
        world->demand < world->state.quota_bytes ? world->demand : world->state.quota_bytes;

    /* It fills at 64 MiB a second and gives back at once. */
    world->resident = target < world->resident              ? target
                      : target - world->resident < 64 * MIB ? target
                                                            : world->resident + 64 * MIB;
    uint64_t taken = others + world->resident;
    sample->now_ms += 1000;
    sample->total_bytes = world->total;
    sample->available_bytes = taken < world->total ? world->total - taken : 0;
    sample->headroom = (double)sample->available_bytes / (double)world->total;
    sample->resident_bytes = sample->used_bytes = world->resident;
    sample->evicted += world->demand > world->state.quota_bytes ? 10 : 0;
    cache_size_step(&world->config, &world->state, sample, &world->decision);

    const struct cache_size_decision *decision = &world->decision;
    bool is_up = decision->action == CACHE_SIZE_GROW;
    bool is_down =
        decision->action == CACHE_SIZE_SHRINK || decision->action == CACHE_SIZE_EMERGENCY;
    if (is_up && world->was_down) {
        world->turns++;
        uint64_t gap = sample->now_ms - world->last_turn_up_ms;
        world->least_gap_ms =
            world->turns_ups > 0 && gap < world->least_gap_ms ? gap : world->least_gap_ms;
        world->last_turn_up_ms = sample->now_ms;
        world->turns_ups++;
    }
    world->turns += is_down && world->was_up ? 1 : 0;
    if (is_up || is_down) {
        world->was_up = is_up;
        world->was_down = is_down;
    }
    world->grew_under_pressure |=
        is_up && (sample->headroom < 0.10 || (sample->available_bytes < 2 * GIB &&
                                              decision->to_bytes > world->config.base_bytes / 4));
    world->left_bounds |= decision->to_bytes < world->config.floor_bytes ||
                          decision->to_bytes > world->config.ceiling_bytes;
}

static void
world_seconds(struct world *world, unsigned seconds, uint64_t others)
{
    for (unsigned i = 0; i < seconds; i++) {
        world_second(world, others);
    }
}

/* What must hold of every replay. At most one change of direction a minute, two of which make a
 * pair; and no two growths after a shrink within a minute. */
static bool
has_behaved(const struct world *world, unsigned seconds)
{
    bool is_good = !world->grew_under_pressure && !world->left_bounds &&
                   world->turns <= seconds / MINUTE_S + 1 && world->least_gap_ms >= MINUTE_S * 1000;

    if (!is_good) {
        printf("# %u turns in %u s, least gap %llu ms%s%s\n", world->turns, seconds,
               (unsigned long long)world->least_gap_ms,
               world->grew_under_pressure ? ", grew under pressure" : "",
               world->left_bounds ? ", left its bounds" : "");
    }
    return is_good;
}

/* ---- steady worlds --------------------------------------------------------------------------- */

static void
with_room_and_nothing_to_gain_it_stays(void)
{
    struct world world = world_new(64 * GIB, 1 * GIB);

    world.demand = 512 * MIB;
    world_seconds(&world, HOUR_S, 10 * GIB);
    CHECK_INT(world.state.quota_bytes, 1 * GIB);
    CHECK_INT(world.turns, 0);
    CHECK(world.decision.reason == CACHE_SIZE_STEADY);
}

static void
a_full_cache_earns_its_way_to_the_ceiling(void)
{
    struct world world = world_new(64 * GIB, 1 * GIB);

    world_seconds(&world, 29, 10 * GIB);
    CHECK_INT(world.state.quota_bytes, 1 * GIB);
    CHECK(world.decision.reason == CACHE_SIZE_STARTING);
    world_seconds(&world, HOUR_S, 10 * GIB);
    CHECK_INT(world.state.quota_bytes, 4 * GIB);
    CHECK(has_behaved(&world, HOUR_S));
    CHECK_INT(world.turns, 0);
}

static void
growth_that_would_bring_no_hits_is_not_made(void)
{
    struct world world = world_new(64 * GIB, 1 * GIB);

    world.sample.gain = 0.001;
    world_seconds(&world, HOUR_S, 10 * GIB);
    CHECK_INT(world.state.quota_bytes, 1 * GIB);
    world.sample.gain = 0.05;
    world_seconds(&world, HOUR_S, 10 * GIB);
    CHECK_INT(world.state.quota_bytes, 4 * GIB);
}

static void
each_memory_step_holds(void)
{
    static const struct {
        uint64_t available;
        unsigned percent;
    } steps[] = {{9, 100}, {7, 75}, {3, 50}, {1, 25}};

    for (size_t i = 0; i < AUGURY_COUNT(steps); i++) {
        struct world world = world_new(16 * GIB, 64 * MIB);
        /* Others leave that much; what the cache takes is small beside it. */
        world_seconds(&world, 10, 16 * GIB - steps[i].available * GIB - 64 * MIB);
        CHECK_INT(world.state.quota_bytes, 64 * MIB * steps[i].percent / 100);
        CHECK(has_behaved(&world, 10));
    }
}

/* ---- pressure -------------------------------------------------------------------------------- */

static void
pressure_is_followed_within_five_seconds_and_grown_back_from_after_a_minute(void)
{
    struct world world = world_new(16 * GIB, 256 * MIB);

    world.demand = 200 * MIB;
    world_seconds(&world, 60, 4 * GIB);
    CHECK_INT(world.state.quota_bytes, 256 * MIB);
    world_seconds(&world, 5, 15 * GIB); /* under 1 GiB is left */
    CHECK_INT(world.state.quota_bytes, 64 * MIB);
    CHECK_INT(world.resident, 64 * MIB);
    world_seconds(&world, 55, 15 * GIB);
    CHECK_INT(world.state.quota_bytes, 64 * MIB);
    world_seconds(&world, 50, 4 * GIB);
    CHECK_INT(world.state.quota_bytes, 64 * MIB);
    CHECK(world.decision.reason == CACHE_SIZE_COOLING);
    world_seconds(&world, 70, 4 * GIB);
    CHECK_INT(world.state.quota_bytes, 256 * MIB);
    CHECK_INT(world.turns, 1);
    CHECK(has_behaved(&world, 240));
}

static void
little_headroom_shrinks_by_fifteen_percent_every_two_seconds(void)
{
    struct world world = world_new(512 * GIB, 4 * GIB);

    world.config.rule_count = 0;
    world_seconds(&world, 40, 100 * GIB);
    uint64_t before = world.state.quota_bytes;
    world_second(&world, 480 * GIB); /* 6 % left */
    CHECK_INT(world.state.quota_bytes, before);
    world_second(&world, 480 * GIB);
    CHECK_INT(world.state.quota_bytes, before / 1000 * 850 + before % 1000 * 850 / 1000);
    CHECK(world.decision.reason == CACHE_SIZE_HEADROOM);
    uint64_t after = world.state.quota_bytes;
    world_second(&world, 480 * GIB);
    CHECK_INT(world.state.quota_bytes, after);
    world_second(&world, 480 * GIB);
    CHECK(world.state.quota_bytes < after);
    world_seconds(&world, 60, 480 * GIB);
    CHECK_INT(world.state.quota_bytes, 1 * GIB);
    CHECK(world.decision.reason == CACHE_SIZE_AT_FLOOR);
}

static void
one_bad_sample_is_no_pressure(void)
{
    struct world world = world_new(16 * GIB, 256 * MIB);

    for (unsigned i = 0; i < 600; i++) {
        world_second(&world, i % 3 == 0 ? 14 * GIB + 512 * MIB : 4 * GIB); /* one in three */
    }
    CHECK_INT(world.state.quota_bytes, 256 * MIB);
}

static void
an_emergency_halves_at_once_and_freezes(void)
{
    enum { CAUSES = 4 };

    for (unsigned cause = 0; cause < CAUSES; cause++) {
        struct world world = world_new(64 * GIB, 1 * GIB);
        world_seconds(&world, 120, 40 * GIB);
        uint64_t before = world.state.quota_bytes;
        CHECK(before > 1 * GIB);
        struct cache_size_sample *sample = &world.sample;
        sample->oom_events += cause == 0 ? 1 : 0;
        sample->limit_events += cause == 1 ? 1 : 0;
        sample->has_psi = cause == 2;
        sample->psi_full_avg10 = 10.5;
        /* A limit that is hit counts when memory is short; without any, it needs nothing more. */
        world_second(&world, cause == 1 ? 52 * GIB : cause == 3 ? 63 * GIB : 40 * GIB);
        CHECK(world.decision.action == CACHE_SIZE_EMERGENCY);
        CHECK(world.state.quota_bytes <= before / 2);
        uint64_t after = world.state.quota_bytes;
        sample->has_psi = false;
        world_seconds(&world, 59, 40 * GIB);
        CHECK_INT(world.state.quota_bytes, after);
        world_seconds(&world, 120, 40 * GIB);
        CHECK(world.state.quota_bytes > after);
        CHECK(has_behaved(&world, 300));
    }
}

static void
a_limit_hit_by_reading_files_is_no_emergency(void)
{
    struct world world = world_new(64 * GIB, 1 * GIB);

    for (unsigned i = 0; i < 300; i++) {
        world.sample.limit_events += 50;
        world_second(&world, 20 * GIB);
    }
    CHECK(world.state.quota_bytes > 1 * GIB);
    CHECK_INT(world.turns, 0);
}

static void
a_limit_lowered_below_what_is_used_goes_to_the_floor(void)
{
    struct world world = world_new(64 * GIB, 1 * GIB);

    world_seconds(&world, 600, 20 * GIB);
    CHECK(world.state.quota_bytes > 2 * GIB);
    world.total = 10 * GIB;
    world_seconds(&world, 5, 20 * GIB);
    CHECK_INT(world.state.quota_bytes, 256 * MIB);
    world.total = 0;
    world_seconds(&world, 60, 20 * GIB);
    CHECK_INT(world.state.quota_bytes, 256 * MIB);
}

static void
a_file_system_is_never_filled(void)
{
    struct world world = world_new(64 * GIB, 1 * GIB);

    world.sample.room_bytes = 1000 * MIB;
    world_second(&world, 10 * GIB);
    CHECK(world.decision.reason == CACHE_SIZE_FILE_SYSTEM);
    CHECK(world.state.quota_bytes <= 700 * MIB && world.state.quota_bytes > 699 * MIB);
    world_seconds(&world, HOUR_S, 10 * GIB);
    CHECK(world.state.quota_bytes <= 700 * MIB);
    world.sample.room_bytes = 3000 * MIB;
    world_seconds(&world, HOUR_S, 10 * GIB);
    CHECK(world.state.quota_bytes <= 1800 * MIB && world.state.quota_bytes > 1600 * MIB);
    CHECK(has_behaved(&world, HOUR_S));
}

/* ---- signals that are missing ---------------------------------------------------------------- */

static void
without_memory_figures_it_holds(void)
{
    struct world world = world_new(64 * GIB, 1 * GIB);

    world.sample.has_memory = false;
    world_seconds(&world, HOUR_S, 60 * GIB);
    CHECK_INT(world.state.quota_bytes, 1 * GIB);
    CHECK(world.decision.reason == CACHE_SIZE_BLIND);
}

static void
figures_that_come_and_go_do_no_harm(void)
{
    struct world world = world_new(16 * GIB, 256 * MIB);

    for (unsigned i = 0; i < HOUR_S; i++) {
        world.sample.has_memory = i % 7 != 0;
        world.sample.has_psi = i % 5 == 0;
        world.sample.has_cpu = i % 3 == 0;
        world_second(&world, i / 600 % 2 == 0 ? 4 * GIB : 15 * GIB);
    }
    CHECK(has_behaved(&world, HOUR_S));
}

/* ---- CPU ------------------------------------------------------------------------------------- */

static void
a_busy_cpu_takes_a_fifth_a_minute_down_to_half(void)
{
    struct world world = world_new(64 * GIB, 1000 * MIB);

    world.sample.has_cpu = true;
    world.sample.cpu_percent = 95;
    world_seconds(&world, 100, 10 * GIB);
    CHECK_INT(world.state.quota_bytes, 800 * MIB);
    CHECK_INT(world.state.want_permille, 800);
    world_seconds(&world, HOUR_S, 10 * GIB);
    CHECK_INT(world.state.quota_bytes, 500 * MIB);
    world.sample.cpu_percent = 70; /* in the band: nothing */
    world_seconds(&world, HOUR_S, 10 * GIB);
    CHECK_INT(world.state.quota_bytes, 500 * MIB);
    world.sample.cpu_percent = 20;
    world_seconds(&world, HOUR_S, 10 * GIB);
    CHECK_INT(world.state.quota_bytes, 4000 * MIB);
    CHECK_INT(world.turns, 1);
    CHECK(!world.left_bounds && !world.grew_under_pressure);
}

static void
memory_wins_over_an_idle_cpu(void)
{
    struct world world = world_new(16 * GIB, 256 * MIB);

    world.sample.has_cpu = true;
    world.sample.cpu_percent = 0;
    world_seconds(&world, HOUR_S, 13 * GIB); /* 3 GiB left: half of base, whatever CPU says */
    CHECK_INT(world.state.quota_bytes, 128 * MIB);
}

/* ---- traces ---------------------------------------------------------------------------------- */

static void
square_waves_do_not_make_it_oscillate(void)
{
    for (unsigned half = 1; half <= 600; half += half < 20 ? 1 : 20) {
        struct world world = world_new(16 * GIB, 512 * MIB);
        for (unsigned i = 0; i < HOUR_S; i++) {
            world_second(&world, i / half % 2 == 0 ? 4 * GIB : 15 * GIB);
        }
        if (!has_behaved(&world, HOUR_S)) {
            TAP_FAIL("half a period of %u s", half);
        }
    }
}

/* The worst case for one that waits a minute: pressure just after it has begun to grow. */
static void
pressure_that_waits_for_growth_is_met_by_longer_and_longer_waits(void)
{
    struct world world = world_new(16 * GIB, 512 * MIB);
    uint64_t others = 15 * GIB;
    unsigned since_growth = 0;

    for (unsigned i = 0; i < 3 * HOUR_S; i++) {
        world_second(&world, others);
        since_growth = world.decision.action == CACHE_SIZE_GROW ? 1 : since_growth;
        if (since_growth > 0 && ++since_growth > 3) {
            others = 15 * GIB;
            since_growth = 0;
        } else if (others == 15 * GIB && world.state.quota_bytes == world.config.floor_bytes) {
            others = 4 * GIB;
        }
    }
    CHECK(has_behaved(&world, 3 * HOUR_S));
    CHECK(world.turns >= 4); /* it did try again */
    CHECK_INT(world.state.wait_ms, 600 * 1000);
}

static void
ramps_and_saw_teeth_do_not_make_it_oscillate(void)
{
    for (unsigned period = 10; period <= 1200; period = period * 3 / 2) {
        struct world ramp = world_new(16 * GIB, 512 * MIB);
        struct world saw = world_new(16 * GIB, 512 * MIB);
        for (unsigned i = 0; i < HOUR_S; i++) {
            unsigned at = i % period;
            unsigned up_and_down = at < period / 2 ? at : period - at;
            world_second(&ramp, 3 * GIB + 12 * GIB / period * 2 * up_and_down);
            world_second(&saw, 3 * GIB + 12 * GIB / period * at);
        }
        if (!has_behaved(&ramp, HOUR_S) || !has_behaved(&saw, HOUR_S)) {
            TAP_FAIL("a period of %u s", period);
        }
    }
}

/* The same numbers on every machine. */
static uint64_t
next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

static void
noise_around_every_border_does_not_make_it_oscillate(void)
{
    static const uint64_t left_mib[] = {700, 1600, 2048, 3300, 4096, 8192, 9000};
    uint64_t seed = 1;

    for (size_t border = 0; border < AUGURY_COUNT(left_mib); border++) {
        for (uint64_t noise = 16; noise <= 2048; noise *= 2) {
            struct world world = world_new(16 * GIB, 512 * MIB);
            for (unsigned i = 0; i < HOUR_S; i++) {
                uint64_t left = (left_mib[border] + next_random(&seed) % noise) * MIB;
                world_second(&world, 16 * GIB - left);
            }
            if (!has_behaved(&world, HOUR_S)) {
                TAP_FAIL("%llu MiB left, noise of %llu", (unsigned long long)left_mib[border],
                         (unsigned long long)noise);
            }
        }
    }
}

/* A cache that is a large part of the machine moves the figure that it is steered by. */
static void
a_cache_that_fills_the_machine_comes_to_rest(void)
{
    for (uint64_t base = 1; base <= 8; base++) {
        for (uint64_t others = 0; others < 16; others++) {
            struct world world = world_new(16 * GIB, base * GIB);
            world_seconds(&world, 2 * HOUR_S, others * GIB);
            unsigned turns = world.turns;
            uint64_t quota = world.state.quota_bytes;
            CHECK(has_behaved(&world, 2 * HOUR_S));
            world_seconds(&world, HOUR_S, others * GIB);
            CHECK_INT(world.state.quota_bytes, quota);
            CHECK_INT(world.turns, turns);
            CHECK(turns <= 2);
        }
    }
}

/* ---- properties ------------------------------------------------------------------------------ */

static struct cache_size_state
random_state(uint64_t *seed, const struct cache_size_config *config, uint64_t now_ms)
{
    uint64_t span = config->ceiling_bytes - config->floor_bytes;
    struct cache_size_state state = {
        .quota_bytes = config->floor_bytes + next_random(seed) * 4096 % (span + 1),
        .has_begun = true,
        .has_pressed = next_random(seed) % 2 == 0,
        .is_growing = next_random(seed) % 2 == 0,
        .low_bits = (uint8_t)(next_random(seed) % 8),
        .rule_bits = (uint8_t)(next_random(seed) % 8),
        .room_count = (uint32_t)(next_random(seed) % 20),
        .cpu_busy_count = (uint32_t)(next_random(seed) % 60),
        .cpu_idle_count = (uint32_t)(next_random(seed) % 60),
        .want_permille = (uint32_t)(500 + next_random(seed) % 3500),
        .began_ms = now_ms - next_random(seed) % 60000,
        .pressed_ms = now_ms - next_random(seed) % 120000,
        .grown_ms = now_ms - next_random(seed) % 20000,
        .cpu_changed_ms = now_ms - next_random(seed) % 120000,
        .turned_up_ms = now_ms - next_random(seed) % 240000,
        .next_shrink_ms = now_ms - 2000 + next_random(seed) % 4000,
        .frozen_until_ms = now_ms - 60000 + next_random(seed) % 120000,
        .wait_ms = 60000,
        .headroom_smooth = (double)(next_random(seed) % 1000) / 1000,
        .cpu_smooth = (double)(next_random(seed) % 100),
        .others_smooth = (double)(next_random(seed) % 16) * (double)GIB,
    };
    return state;
}

static void
less_memory_never_decides_on_more(void)
{
    uint64_t seed = 7;
    uint64_t now_ms = 10000000;

    for (unsigned i = 0; i < 200000; i++) {
        struct world world = world_new(16 * GIB, 1 * GIB);
        struct cache_size_state state = random_state(&seed, &world.config, now_ms);
        struct cache_size_state other = state;
        struct cache_size_sample more = {.now_ms = now_ms,
                                         .has_memory = true,
                                         .has_cpu = next_random(&seed) % 2 == 0,
                                         .cpu_percent = (double)(next_random(&seed) % 100),
                                         .total_bytes = world.total,
                                         .limit_events = next_random(&seed) % 4 == 0 ? 1 : 0,
                                         .available_bytes = next_random(&seed) % 16384 * MIB,
                                         .used_bytes = state.quota_bytes,
                                         .resident_bytes = state.quota_bytes,
                                         .evicted = 1,
                                         .gain = -1};
        struct cache_size_sample less = more;
        struct cache_size_decision on_more, on_less;
        less.available_bytes = next_random(&seed) * MIB % (more.available_bytes + 1);
        more.headroom = (double)more.available_bytes / (double)world.total;
        less.headroom = (double)less.available_bytes / (double)world.total;
        cache_size_step(&world.config, &state, &more, &on_more);
        cache_size_step(&world.config, &other, &less, &on_less);
        if (on_less.to_bytes > on_more.to_bytes) {
            TAP_FAIL("with %llu MiB %s to %llu MiB, with %llu MiB %s to %llu MiB",
                     (unsigned long long)(less.available_bytes / MIB),
                     cache_size_reason_name(on_less.reason),
                     (unsigned long long)(on_less.to_bytes / MIB),
                     (unsigned long long)(more.available_bytes / MIB),
                     cache_size_reason_name(on_more.reason),
                     (unsigned long long)(on_more.to_bytes / MIB));
        }
        CHECK(on_more.to_bytes >= world.config.floor_bytes);
        CHECK(on_more.to_bytes <= world.config.ceiling_bytes);
    }
}

/* ---- the operator's word --------------------------------------------------------------------- */

static void
a_pinned_size_stays_whatever_happens(void)
{
    struct world world = world_new(16 * GIB, 256 * MIB);

    world_seconds(&world, 5, 4 * GIB);
    world.state.pinned_bytes = 3 * GIB;
    world_second(&world, 4 * GIB);
    CHECK(world.decision.action == CACHE_SIZE_SET);
    CHECK_INT(world.state.quota_bytes, 3 * GIB);
    world_seconds(&world, 300, 15 * GIB);
    CHECK_INT(world.state.quota_bytes, 3 * GIB);
    CHECK(world.decision.action == CACHE_SIZE_HOLD);
    CHECK(world.decision.reason == CACHE_SIZE_PINNED);
    world.state.pinned_bytes = 0;
    world_seconds(&world, 5, 15 * GIB);
    CHECK_INT(world.state.quota_bytes, 64 * MIB);
}

static void
without_auto_the_configured_size_holds(void)
{
    struct world world = world_new(16 * GIB, 256 * MIB);

    world.config.is_auto = false;
    world.state.quota_bytes = 64 * MIB;
    world_seconds(&world, 300, 15 * GIB);
    CHECK_INT(world.state.quota_bytes, 256 * MIB);
    CHECK(world.decision.reason == CACHE_SIZE_OFF);
}

static void
every_action_and_reason_has_a_name(void)
{
    for (unsigned i = 0; i < CACHE_SIZE_ACTION_COUNT; i++) {
        CHECK(strcmp(cache_size_action_name((enum cache_size_action)i), "unknown") != 0);
    }
    for (unsigned i = 0; i < CACHE_SIZE_REASON_COUNT; i++) {
        const char *name = cache_size_reason_name((enum cache_size_reason)i);
        CHECK(name != NULL && strcmp(name, "unknown") != 0);
    }
    CHECK_TEXT(cache_size_reason_name((enum cache_size_reason)999), "unknown");
}

int
main(void)
{
    TAP_RUN(with_room_and_nothing_to_gain_it_stays);
    TAP_RUN(a_full_cache_earns_its_way_to_the_ceiling);
    TAP_RUN(growth_that_would_bring_no_hits_is_not_made);
    TAP_RUN(each_memory_step_holds);
    TAP_RUN(pressure_is_followed_within_five_seconds_and_grown_back_from_after_a_minute);
    TAP_RUN(little_headroom_shrinks_by_fifteen_percent_every_two_seconds);
    TAP_RUN(one_bad_sample_is_no_pressure);
    TAP_RUN(an_emergency_halves_at_once_and_freezes);
    TAP_RUN(a_limit_hit_by_reading_files_is_no_emergency);
    TAP_RUN(a_limit_lowered_below_what_is_used_goes_to_the_floor);
    TAP_RUN(a_file_system_is_never_filled);
    TAP_RUN(without_memory_figures_it_holds);
    TAP_RUN(figures_that_come_and_go_do_no_harm);
    TAP_RUN(a_busy_cpu_takes_a_fifth_a_minute_down_to_half);
    TAP_RUN(memory_wins_over_an_idle_cpu);
    TAP_RUN(square_waves_do_not_make_it_oscillate);
    TAP_RUN(pressure_that_waits_for_growth_is_met_by_longer_and_longer_waits);
    TAP_RUN(ramps_and_saw_teeth_do_not_make_it_oscillate);
    TAP_RUN(noise_around_every_border_does_not_make_it_oscillate);
    TAP_RUN(a_cache_that_fills_the_machine_comes_to_rest);
    TAP_RUN(less_memory_never_decides_on_more);
    TAP_RUN(a_pinned_size_stays_whatever_happens);
    TAP_RUN(without_auto_the_configured_size_holds);
    TAP_RUN(every_action_and_reason_has_a_name);
    return tap_done();
}
