/* SPDX-License-Identifier: MIT */
/*
 * api_odds.c - the rule of api_odds.h. Looking an answer up and keeping it costs a microsecond or
 * more; where of a thousand requests none was a repeat, that is more than a repeat would save.
 * Answers that are dear enough for several processes to wait for one maker are always looked for:
 * their keys are also what brings the processes together.
 */
#include "api_odds.h"

enum {
    HOPELESS_MISSES = 1024, /* without a hit between them */
    ASKED_ONE_IN = 8,       /* afterwards */
    DEAR_US = 50,           /* as flights begin with (api_flight.c) */
    SPIKE_MAX = 4,          /* a sample counts for so many times what was known at most */
};

bool
api_odds_are_bad(const struct api_odds *odds)
{
    return odds->misses >= HOPELESS_MISSES && odds->cost_eighth < DEAR_US * 8;
}

bool
api_odds_ask(struct api_odds *odds)
{
    return !api_odds_are_bad(odds) || odds->skipped++ % ASKED_ONE_IN == ASKED_ONE_IN - 1;
}

void
api_odds_miss(struct api_odds *odds)
{
    odds->misses += odds->misses < HOPELESS_MISSES ? 1 : 0;
}

void
api_odds_learn(struct api_odds *odds, uint32_t cost_us)
{
    uint64_t sample = (uint64_t)cost_us * 8 + 1;
    uint64_t known = odds->cost_eighth;

    if (known == 0) {
        known = sample;
    }
    sample = sample < known * SPIKE_MAX ? sample : known * SPIKE_MAX;
    uint64_t mean = (known * 7 + sample) / 8;
    odds->cost_eighth = mean < UINT32_MAX ? (uint32_t)mean : UINT32_MAX;
}
