/* SPDX-License-Identifier: MIT */
/*
 * stats.c - the board of counters, gauges and histograms.
 * 1. A slot has one writer, so an addition is a relaxed load and a relaxed store: no locked
 * instruction on the hot path.
 * 2. Slots start on cache lines of their own; a writer never shares a line with another.
 * 3. A slot that was never asked for is never read: its pages are not taken from the system by a
 * scrape.
 */
#include "augury/stats.h"

#include <stdatomic.h>

#include "buckets.h"
#include "models.h"

enum { CACHE_LINE = 64, STATS_MAGIC = 0x53544154 };

/* Numbers the rows that are histograms: 0, 1, 2, … */
#define INDEX_COUNTER(id)
#define INDEX_GAUGE(id)
#define INDEX_HISTOGRAM(id) INDEX_OF_##id,
enum histogram_index {
#define STATS_ROW(id, kind, name, labels, unit, help) INDEX_##kind(id)
#include "augury/stats_table.def"
#undef STATS_ROW
    HISTOGRAM_COUNT
};

struct histogram {
    _Atomic uint64_t sum_ns;
    _Atomic uint64_t buckets[STATS_BUCKETS];
};

struct stats_slot {
    _Alignas(CACHE_LINE) _Atomic uint64_t values[STATS_COUNT]; /* of a histogram: how many */
    _Alignas(CACHE_LINE) struct histogram histograms[HISTOGRAM_COUNT];
    struct stats_models models;
};

struct stats {
    _Atomic uint32_t magic;
    _Atomic uint8_t is_used[STATS_SLOTS];
    struct stats_slot slots[STATS_SLOTS];
};

const struct stats_row stats_rows[STATS_COUNT] = {
#define STATS_ROW(id, kind, name, labels, unit, help)                                              \
    [STATS_##id] = {name, labels, STATS_##kind, unit, help},
#include "augury/stats_table.def"
#undef STATS_ROW
};

#define MAP_COUNTER(id)
#define MAP_GAUGE(id)
#define MAP_HISTOGRAM(id) [STATS_##id] = INDEX_OF_##id,
static const uint8_t histogram_of[STATS_COUNT] = {
#define STATS_ROW(id, kind, name, labels, unit, help) MAP_##kind(id)
#include "augury/stats_table.def"
#undef STATS_ROW
};

static void
add_own(_Atomic uint64_t *word, uint64_t n)
{
    uint64_t value = atomic_load_explicit(word, memory_order_relaxed);
    atomic_store_explicit(word, value + n, memory_order_relaxed);
}

static uint64_t
load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static bool
is_used(const struct stats *stats, unsigned slot)
{
    return atomic_load_explicit(&stats->is_used[slot], memory_order_relaxed) != 0;
}

size_t
stats_bytes(void)
{
    return sizeof(struct stats);
}

struct stats *
stats_attach(void *shared_memory)
{
    struct stats *stats = shared_memory;

    uint32_t magic = atomic_load(&stats->magic);
    AUGURY_ASSERT(magic == 0 || magic == STATS_MAGIC);
    atomic_store(&stats->magic, STATS_MAGIC);
    return stats;
}

struct stats_slot *
stats_slot(struct stats *stats, unsigned slot)
{
    AUGURY_ASSERT(slot < STATS_SLOTS);
    atomic_store_explicit(&stats->is_used[slot], 1, memory_order_relaxed);
    return &stats->slots[slot];
}

void
stats_slot_gauges_zero(struct stats_slot *slot)
{
    for (size_t id = 0; id < STATS_COUNT; id++) {
        if (stats_rows[id].kind == STATS_GAUGE) {
            atomic_store_explicit(&slot->values[id], 0, memory_order_relaxed);
        }
    }
}

void
stats_add(struct stats_slot *slot, enum stats_id id, uint64_t n)
{
    if (slot == NULL) {
        return;
    }
    AUGURY_ASSERT(stats_rows[id].kind != STATS_HISTOGRAM);
    add_own(&slot->values[id], n);
}

void
stats_set(struct stats_slot *slot, enum stats_id id, uint64_t value)
{
    if (slot == NULL) {
        return;
    }
    AUGURY_ASSERT(stats_rows[id].kind == STATS_GAUGE);
    atomic_store_explicit(&slot->values[id], value, memory_order_relaxed);
}

void
stats_observe(struct stats_slot *slot, enum stats_id id, uint64_t value_ns)
{
    if (slot == NULL) {
        return;
    }
    AUGURY_ASSERT(stats_rows[id].kind == STATS_HISTOGRAM);
    struct histogram *histogram = &slot->histograms[histogram_of[id]];
    add_own(&histogram->buckets[bucket_of(value_ns)], 1);
    add_own(&histogram->sum_ns, value_ns);
    add_own(&slot->values[id], 1);
}

uint64_t
stats_of_slot(const struct stats *stats, unsigned slot, enum stats_id id)
{
    AUGURY_ASSERT(slot < STATS_SLOTS && id < STATS_COUNT);
    return is_used(stats, slot) ? load(&stats->slots[slot].values[id]) : 0;
}

uint64_t
stats_sum(const struct stats *stats, enum stats_id id)
{
    uint64_t sum = 0;

    for (unsigned slot = 0; slot < STATS_SLOTS; slot++) {
        sum += stats_of_slot(stats, slot, id);
    }
    return sum;
}

void
stats_gather(const struct stats *stats, enum stats_id id, struct stats_total *out_total)
{
    AUGURY_ASSERT(id < STATS_COUNT && stats_rows[id].kind == STATS_HISTOGRAM);
    *out_total = (struct stats_total){0};
    for (unsigned slot = 0; slot < STATS_SLOTS; slot++) {
        /* An empty histogram's pages stay untouched. */
        if (stats_of_slot(stats, slot, id) == 0) {
            continue;
        }
        const struct histogram *histogram = &stats->slots[slot].histograms[histogram_of[id]];
        out_total->sum_ns += load(&histogram->sum_ns);
        for (size_t i = 0; i < STATS_BUCKETS; i++) {
            uint64_t n = load(&histogram->buckets[i]);
            out_total->buckets[i] += n;
            out_total->count += n;
        }
    }
}

/* Upper edge of the bucket that holds the value of that rank (from 1). */
static uint64_t
edge_of_rank(const struct stats_total *total, uint64_t rank)
{
    uint64_t below = 0;

    for (size_t i = 0; i < STATS_BUCKETS; i++) {
        below += total->buckets[i];
        if (below >= rank) {
            return bucket_edge_ns(i);
        }
    }
    return bucket_edge_ns(STATS_BUCKETS - 1);
}

/* Nearest rank: the smallest value with at least percent of all values at or below it. */
static uint64_t
percentile(const struct stats_total *total, unsigned percent)
{
    uint64_t whole = total->count / 100 * percent;
    uint64_t rest = total->count % 100 * percent;
    uint64_t rank = whole + (rest + 99) / 100;
    return edge_of_rank(total, rank == 0 ? 1 : rank);
}

void
stats_summarise(const struct stats *stats, enum stats_id id, struct stats_summary *out_summary)
{
    struct stats_total total;

    stats_gather(stats, id, &total);
    *out_summary = (struct stats_summary){.count = total.count, .sum_ns = total.sum_ns};
    if (total.count == 0) {
        return;
    }
    out_summary->p50_ns = percentile(&total, 50);
    out_summary->p90_ns = percentile(&total, 90);
    out_summary->p95_ns = percentile(&total, 95);
    out_summary->p99_ns = percentile(&total, 99);
    out_summary->max_ns = edge_of_rank(&total, total.count);
}

/* ---- models ---------------------------------------------------------------------------------- */

struct stats_model *
stats_model_of(struct stats_slot *slot, uint32_t key)
{
    return slot == NULL || key == 0 ? NULL : stats_models_find(&slot->models, key);
}

void
stats_model_gather(const struct stats *stats, uint32_t key, struct stats_model_figures *out_figures)
{
    *out_figures = (struct stats_model_figures){.values = {0}};
    for (unsigned slot = 0; slot < STATS_SLOTS; slot++) {
        /* A slot without predictions has none of models: its pages stay untouched. */
        if (stats_of_slot(stats, slot, STATS_PREDICT_REQUESTS) > 0) {
            stats_models_sum(&stats->slots[slot].models, key, out_figures);
        }
    }
}
