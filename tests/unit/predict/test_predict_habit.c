/* SPDX-License-Identifier: MIT */
/*
 * test_predict_habit.c - when a key is expected next, on traces that are made here: intervals,
 * days, hours, and uses without a rule, which nobody may expect.
 */
#include <math.h>
#include <stdlib.h>

#include "../../tap.h"
#include "augury/predict.h"

#define SECOND UINT64_C(1000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)

static const uint64_t begin_ms = 1700006400000; /* a midnight, UTC */

/* Uniform in (0, 1), the same in every run. */
static double
draw(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return ((double)(*state >> 11) + 0.5) / 9007199254740992.0;
}

static bool
is_met(struct predict_expected expected, uint64_t use_ms)
{
    uint64_t within = expected.within_ms + SECOND;

    return expected.wall_ms > 0 && use_ms + within >= expected.wall_ms &&
           use_ms <= expected.wall_ms + within;
}

static void
an_interval_is_expected_after_four_uses(void)
{
    struct predict_habit habit = {0};
    uint64_t now = begin_ms;

    for (unsigned i = 0; i < 4; i++, now += 90 * SECOND) {
        CHECK_INT(predict_habit_next(&habit).wall_ms, 0);
        predict_habit_use(&habit, now);
    }
    CHECK_INT(predict_habit_next(&habit).wall_ms, now);
    CHECK_INT(predict_habit_next(&habit).within_ms, 0);
}

static void
an_interval_that_wavers_is_met_within_what_it_says(void)
{
    struct predict_habit habit = {0};
    uint64_t now = begin_ms;
    uint64_t seed = 7;
    unsigned met = 0;

    for (unsigned i = 0; i < 1000; i++) {
        now += (uint64_t)(600e3 + 60e3 * (draw(&seed) - 0.5));
        met += is_met(predict_habit_next(&habit), now) ? 1 : 0;
        predict_habit_use(&habit, now);
    }
    CHECK(met > 900);
    CHECK(predict_habit_next(&habit).within_ms < 60 * SECOND);
}

static void
an_interval_that_changes_is_learned_anew(void)
{
    struct predict_habit habit = {0};
    uint64_t now = begin_ms;

    for (unsigned i = 0; i < 50; i++) {
        predict_habit_use(&habit, now += 60 * SECOND);
    }
    for (unsigned i = 0; i < 50; i++) {
        predict_habit_use(&habit, now += 300 * SECOND);
    }
    CHECK(is_met(predict_habit_next(&habit), now + 300 * SECOND));
}

static void
once_a_day_is_an_interval_too(void)
{
    struct predict_habit habit = {0};

    for (unsigned day = 0; day < 5; day++) {
        predict_habit_use(&habit, begin_ms + day * DAY + 9 * HOUR + day * 60 * SECOND);
    }
    CHECK(is_met(predict_habit_next(&habit), begin_ms + 5 * DAY + 9 * HOUR + 300 * SECOND));
}

static void
bursts_at_an_hour_of_the_day_are_expected_in_that_hour(void)
{
    struct predict_habit habit = {0};

    for (unsigned day = 0; day < 5; day++) {
        for (unsigned i = 0; i < 5; i++) {
            predict_habit_use(&habit, begin_ms + day * DAY + 9 * HOUR + i * 420 * SECOND);
        }
    }
    struct predict_expected expected = predict_habit_next(&habit);
    CHECK_INT(expected.wall_ms, begin_ms + 5 * DAY + 9 * HOUR + HOUR / 2);
    CHECK_INT(expected.within_ms, HOUR / 2);
}

static void
uses_without_a_rule_are_hardly_ever_expected(void)
{
    unsigned expected = 0;

    for (uint64_t key = 1; key <= 100; key++) {
        struct predict_habit habit = {0};
        uint64_t now = begin_ms;
        uint64_t seed = key;
        for (unsigned i = 0; i < 100; i++) {
            now += (uint64_t)(-log(draw(&seed)) * 5 * (double)HOUR);
            predict_habit_use(&habit, now);
            expected += predict_habit_next(&habit).wall_ms > 0 ? 1 : 0;
        }
    }
    printf("# %u of 10000\n", expected);
    CHECK(expected < 300);
}

static void
a_clock_that_goes_back_does_no_harm(void)
{
    struct predict_habit habit = {0};

    for (unsigned i = 0; i < 20; i++) {
        predict_habit_use(&habit, begin_ms - i * HOUR);
    }
    CHECK_INT(predict_habit_next(&habit).wall_ms, 0);
    for (unsigned i = 0; i < 3000; i++) {
        predict_habit_use(&habit, begin_ms + i * HOUR);
    }
    CHECK(is_met(predict_habit_next(&habit), begin_ms + 3000 * HOUR));
}

int
main(void)
{
    TAP_RUN(an_interval_is_expected_after_four_uses);
    TAP_RUN(an_interval_that_wavers_is_met_within_what_it_says);
    TAP_RUN(an_interval_that_changes_is_learned_anew);
    TAP_RUN(once_a_day_is_an_interval_too);
    TAP_RUN(bursts_at_an_hour_of_the_day_are_expected_in_that_hour);
    TAP_RUN(uses_without_a_rule_are_hardly_ever_expected);
    TAP_RUN(a_clock_that_goes_back_does_no_harm);
    return tap_done();
}
