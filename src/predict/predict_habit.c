/* SPDX-License-Identifier: MIT */
/*
 * predict_habit.c - when a key is asked for next, from when it was asked for: a pure function. A
 * key that comes at intervals has a mean and a mean deviation from it, both with a memory of a few
 * uses; one that comes at an hour of the day has a histogram of hours, one count a day and hour.
 */
#include "augury/predict.h"

enum {
    USES_MIN = 4,     /* before anything is expected */
    DAYS_MIN = 4,     /* before an hour is a habit */
    HOUR_SHARE = 4,   /* at most 1 in so many uses at another hour */
    STEADY_SHARE = 5, /* a mean deviation of more than 1 in so many is no interval */
    MEMORY = 4,       /* uses */
    HOUR_COUNT_MAX = 64,
    HOURS = 24,
};
#define HOUR_MS UINT64_C(3600000)
#define DAY_MS (HOURS * HOUR_MS)

static void
hours_count(struct predict_habit *habit, uint64_t now_wall_ms)
{
    uint64_t hour = now_wall_ms / HOUR_MS;

    if (habit->uses > 0 && hour == habit->last_wall_ms / HOUR_MS) {
        return;
    }
    if (habit->hours[hour % HOURS]++ >= HOUR_COUNT_MAX) {
        for (size_t i = 0; i < HOURS; i++) {
            habit->hours[i] /= 2;
        }
    }
}

void
predict_habit_use(struct predict_habit *habit, uint64_t now_wall_ms)
{
    uint64_t interval = now_wall_ms > habit->last_wall_ms ? now_wall_ms - habit->last_wall_ms : 0;

    hours_count(habit, now_wall_ms);
    if (habit->uses == 1) {
        habit->interval_ms = interval;
    } else if (habit->uses > 1) {
        uint64_t mean = habit->interval_ms;
        uint64_t off = interval > mean ? interval - mean : mean - interval;
        habit->deviation_ms =
            habit->uses == 2 ? off : (habit->deviation_ms * (MEMORY - 1) + off) / MEMORY;
        habit->interval_ms = (mean * (MEMORY - 1) + interval) / MEMORY;
    }
    habit->uses += habit->uses < UINT32_MAX ? 1 : 0;
    habit->last_wall_ms = now_wall_ms;
}

/* The middle of the next hour of the day that nearly all uses fell into. */
static struct predict_expected
expect_hour(const struct predict_habit *habit)
{
    struct predict_expected none = {0};
    uint64_t at = habit->last_wall_ms - habit->last_wall_ms % DAY_MS;
    unsigned total = 0;
    unsigned best = 0;

    for (unsigned i = 0; i < HOURS; i++) {
        total += habit->hours[i];
        best = habit->hours[i] > habit->hours[best] ? i : best;
    }
    unsigned others = total - habit->hours[best];
    if (habit->hours[best] < DAYS_MIN || others * HOUR_SHARE > total) {
        return none;
    }
    at += best * HOUR_MS + HOUR_MS / 2;
    if (at / HOUR_MS <= habit->last_wall_ms / HOUR_MS) {
        at += DAY_MS;
    }
    return (struct predict_expected){.wall_ms = at, .within_ms = HOUR_MS / 2};
}

struct predict_expected
predict_habit_next(const struct predict_habit *habit)
{
    bool is_steady =
        habit->interval_ms > 0 && habit->deviation_ms <= habit->interval_ms / STEADY_SHARE;

    if (habit->uses < USES_MIN) {
        return (struct predict_expected){0};
    }
    if (is_steady) {
        return (struct predict_expected){.wall_ms = habit->last_wall_ms + habit->interval_ms,
                                         .within_ms = 2 * habit->deviation_ms};
    }
    return expect_hour(habit);
}
