/* SPDX-License-Identifier: MIT */
/*
 * api_odds.h - whether a rendered answer is worth looking for: what is never asked twice is neither
 * looked up nor kept, but for one request in eight, which notices when that changes. A small table
 * by path, of this process; two paths that share a line share its judgement. Private to the room.
 */
#pragma once

#include "augury/base.h"

struct api_odds {
    uint32_t misses;      /* since the last hit */
    uint32_t skipped;     /* requests that were not looked for */
    uint32_t cost_eighth; /* of a microsecond: what an answer takes to make, smoothed */
};

enum { API_ODDS = 16 };

/* Of answers under a path, which is not empty. */
static inline struct api_odds *
api_odds_of(struct api_odds *table, struct bytes path)
{
    return &table[(path.len * 7 + path.data[path.len - 1]) % API_ODDS];
}

/* Of so many requests none was a repeat, and an answer is cheap. */
bool api_odds_are_bad(const struct api_odds *odds);
/* Whether this one is looked for. */
bool api_odds_ask(struct api_odds *odds);
void api_odds_miss(struct api_odds *odds);
void api_odds_learn(struct api_odds *odds, uint32_t cost_us);
