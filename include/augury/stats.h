/* SPDX-License-Identifier: MIT */
/*
 * stats.h - counters, gauges and latency histograms in shared memory, one slot a worker slot.
 * Room: stats (floor 1, uses base). Process: made by the master before the forks; written by each
 * child in its own slot (relaxed atomics, one writer a slot), read by anyone as sums. Counters
 * belong to the slot, not to the process in it: they survive a respawn and never go backwards.
 * Gauges of a slot are zeroed when its process ends. One table (stats_table.def beside this header)
 * gives name, kind, unit and one sentence, and drives /metrics, `augury stats`, the docs.
 */
#pragma once

#include "augury/base.h"

enum {
    STATS_SLOTS = 160
}; /* as PROC_SLOTS: the master, the supervisor and workers of up to two generations */

enum stats_kind { STATS_COUNTER, STATS_GAUGE, STATS_HISTOGRAM };

/* One enumerator a row of the table: STATS_HTTP_REQUESTS, STATS_CACHE_HITS_PREDICTION, … */
enum stats_id {
#define STATS_ROW(id, kind, name, labels, unit, help) STATS_##id,
#include "augury/stats_table.def"
#undef STATS_ROW
    STATS_COUNT
};

struct stats_row {
    const char *name;   /* "augury_http_requests_total" */
    const char *labels; /* "class=\"prediction\"" or "" */
    enum stats_kind kind;
    const char
        *unit; /* "requests", "bytes", "ns"; histograms are kept in ns and shown in seconds */
    const char *help;
};
extern const struct stats_row stats_rows[STATS_COUNT];

struct stats;      /* the whole board */
struct stats_slot; /* one writer's part */

size_t stats_bytes(void); /* of shared memory that a board needs */
struct stats *stats_attach(
    void *shared_memory); /* zeroed memory becomes an empty board; else the board in it */
struct stats_slot *stats_slot(struct stats *stats, unsigned slot);
void stats_slot_gauges_zero(
    struct stats_slot *slot); /* by the master, after the slot's process ended */

/* slot NULL: nothing is counted (tools and tests). */
void stats_add(struct stats_slot *slot, enum stats_id id, uint64_t n);
void stats_set(struct stats_slot *slot, enum stats_id id, uint64_t value); /* gauge */
void stats_observe(struct stats_slot *slot, enum stats_id id,
                   uint64_t value_ns); /* histogram: 16 steps a power of two, error < 6.25 % */

uint64_t stats_sum(const struct stats *stats,
                   enum stats_id id); /* over all slots; of a histogram: how many */
uint64_t stats_of_slot(const struct stats *stats, unsigned slot, enum stats_id id);

struct stats_summary {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t p50_ns, p90_ns, p95_ns, p99_ns,
        max_ns; /* upper edge of the bucket; 0 when count is 0 */
};
void stats_summarise(const struct stats *stats, enum stats_id id,
                     struct stats_summary *out_summary);

/* Prometheus text format 0.0.4 of everything: HELP, TYPE, samples; histograms with cumulative
 * buckets. */
void stats_put_prometheus(const struct stats *stats, struct buf *buf);

/* ---- figures of single models ---------------------------------------------------------------- */

/* A slot has room for so many models at once; one more takes the place of the one that was asked
 * for longest ago, whose figures begin at zero again. */
enum { STATS_MODELS = 64 };

enum stats_model_id {
    STATS_MODEL_LAST_WALL_MS, /* when it answered last */
    STATS_MODEL_SUCCESSES,
    STATS_MODEL_SUCCESS_NS,
    STATS_MODEL_HITS, /* answered from the cache alone */
    STATS_MODEL_HIT_NS,
    STATS_MODEL_FAILURES,
    STATS_MODEL_FAILURE_NS,
    STATS_MODEL_MISSES, /* looked up, and something had to be computed */
    STATS_MODEL_MISS_NS,
    STATS_MODEL_ROWS,       /* evaluated */
    STATS_MODEL_EXECUTIONS, /* requests with rows that were evaluated */
    STATS_MODEL_INPUT_NS,
    STATS_MODEL_INFER_NS,
    STATS_MODEL_OUTPUT_NS,
    STATS_MODEL_ID_COUNT
};

/* What stands for a version of a model; never 0. */
uint32_t stats_model_key(struct bytes name, uint32_t version);
struct stats_model; /* one writer's */
/* Of that key, begun when there are none yet. NULL: slot is NULL, or the key 0. */
struct stats_model *stats_model_of(struct stats_slot *slot, uint32_t key);
void stats_model_add(struct stats_model *model, enum stats_model_id id, uint64_t n);
/* STATS_MODEL_LAST_WALL_MS, which only grows. */
void stats_model_use(struct stats_model *model, uint64_t now_wall_ms);

struct stats_model_figures {
    uint64_t values[STATS_MODEL_ID_COUNT]; /* over all slots; of the time, the latest */
};
void stats_model_gather(const struct stats *stats, uint32_t key,
                        struct stats_model_figures *out_figures);
