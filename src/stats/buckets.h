/* SPDX-License-Identifier: MIT */
/*
 * buckets.h - the fine buckets of a histogram: log-linear, 16 steps a power of two, and their sum
 * over all slots. Private to room stats. Values 0 to 15 ns have a bucket each; from 16 ns each
 * power of two is cut into 16 equal steps, so that a bucket's width is at most 1/16 of its lower
 * edge (6.25 %). What reaches 2^42 ns (73 minutes) falls into the last bucket.
 */
#pragma once

#include "augury/stats.h"

enum {
    STATS_STEP_BITS = 4,
    STATS_STEPS = 1 << STATS_STEP_BITS,
    STATS_TOP_BITS = 42,
    STATS_BUCKETS = STATS_STEPS + (STATS_TOP_BITS - STATS_STEP_BITS) * STATS_STEPS
};

static inline size_t
bucket_of(uint64_t value_ns)
{
    if (value_ns < STATS_STEPS) {
        return (size_t)value_ns;
    }
    unsigned power = 63u - (unsigned)__builtin_clzll(value_ns);
    if (power >= STATS_TOP_BITS) {
        return STATS_BUCKETS - 1;
    }
    unsigned shift = power - STATS_STEP_BITS;
    /* The step with its leading 1 (16 … 31); octave `shift` begins at bucket 16 × (shift + 1). */
    return (size_t)shift * STATS_STEPS + (size_t)(value_ns >> shift);
}

/* The largest value that falls into bucket i (the last one's is nominal). */
static inline uint64_t
bucket_edge_ns(size_t i)
{
    if (i < STATS_STEPS) {
        return i;
    }
    unsigned shift = (unsigned)(i / STATS_STEPS) - 1;
    uint64_t step = i % STATS_STEPS + STATS_STEPS;
    return ((step + 1) << shift) - 1;
}

struct stats_total {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t buckets[STATS_BUCKETS];
};
/* Adds up one histogram over all slots; count is the sum of the buckets that were read, so that
 * both agree. */
void stats_gather(const struct stats *stats, enum stats_id id, struct stats_total *out_total);
