/* SPDX-License-Identifier: MIT */
/*
 * api_controller.c - the controller of the cache's size in words: what it saw and did, from the
 * history on the cache's board, and what an operator may want to change, each with the figure
 * behind it.
 */
#include "api_call.h"
#include "augury/cache_size.h"

enum {
    LOOKUPS_MIN = 100, /* fewer say nothing about a ratio */
    USED_HIGH_PERCENT = 90,
    USED_WATCH_PERCENT = 75,
    USED_LOW_PERCENT = 25,
};

static const double hit_ratio_low = 0.8;
static const double lookup_mean_high_ms = 10;
static const double error_rate_high = 0.01;

/* ---- the controller -------------------------------------------------------------------------- */

static void
put_u64(struct wire_writer *writer, const char *key, uint64_t value)
{
    wire_key(writer, key);
    wire_put_u64(writer, value);
}

static void
put_known(struct wire_writer *writer, const char *key, bool is_known, double value)
{
    wire_key(writer, key);
    if (is_known) {
        wire_put_f64(writer, value);
    } else {
        wire_put_null(writer);
    }
}

/* To the accuracy that means something. */
static double
rounded(double value, double steps)
{
    return (double)(int64_t)(value * steps + (value < 0 ? -0.5 : 0.5)) / steps;
}

static void
put_record(struct wire_writer *writer, const struct cache_size_record *record)
{
    const struct cache_size_sample *sample = &record->sample;
    const struct cache_size_decision *decision = &record->decision;

    wire_object(writer, 11);
    wire_key(writer, "time");
    api_put_time(writer, record->wall_ms);
    wire_key(writer, "action");
    wire_put_text(writer, cache_size_action_name(decision->action));
    wire_key(writer, "reason");
    wire_put_text(writer, cache_size_reason_name(decision->reason));
    put_u64(writer, "from_bytes", decision->from_bytes);
    put_u64(writer, "quota_bytes", decision->to_bytes);
    put_u64(writer, "used_bytes", sample->used_bytes);
    put_u64(writer, "resident_bytes", sample->resident_bytes);
    put_u64(writer, "available_bytes", sample->available_bytes);
    put_known(writer, "headroom", sample->has_memory, rounded(sample->headroom, 10000));
    put_known(writer, "psi_full_avg10", sample->has_psi, rounded(sample->psi_full_avg10, 100));
    put_known(writer, "cpu_percent", sample->has_cpu, rounded(sample->cpu_percent, 10));
    wire_end(writer);
}

static void
put_records(struct wire_writer *writer, const char *key, const struct cache_size_record *records,
            uint32_t count)
{
    wire_key(writer, key);
    wire_array(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        put_record(writer, &records[i]);
    }
    wire_end(writer);
}

static void
put_history(struct wire_writer *writer, const struct cache_size_history *history,
            uint32_t records_max)
{
    const struct cache_size_config *config = &history->config;
    const struct cache_size_record *last = &history->records[history->count - 1];
    uint32_t count = history->count < records_max ? history->count : records_max;

    wire_object(writer, 14);
    wire_key(writer, "auto");
    wire_put_bool(writer, config->is_auto && history->pinned_bytes == 0);
    wire_key(writer, "action");
    wire_put_text(writer, cache_size_action_name(last->decision.action));
    wire_key(writer, "reason");
    wire_put_text(writer, cache_size_reason_name(last->decision.reason));
    put_u64(writer, "quota_bytes", last->decision.to_bytes);
    put_u64(writer, "configured_bytes", config->base_bytes);
    put_u64(writer, "floor_bytes", config->floor_bytes);
    put_u64(writer, "ceiling_bytes", config->ceiling_bytes);
    put_u64(writer, "pinned_bytes", history->pinned_bytes);
    put_u64(writer, "used_bytes", last->sample.used_bytes);
    put_u64(writer, "resident_bytes", last->sample.resident_bytes);
    put_u64(writer, "available_bytes", last->sample.available_bytes);
    put_u64(writer, "total_bytes", last->sample.total_bytes);
    put_records(writer, "changes", history->changes, history->change_count);
    put_records(writer, "history", &history->records[history->count - count], count);
    wire_end(writer);
}

static void
put_controller(struct wire_writer *writer, const struct cache_size_history *history,
               uint32_t records_max)
{
    if (history->count == 0) {
        wire_put_null(writer);
    } else {
        put_history(writer, history, records_max);
    }
}

void
api_put_controller(struct wire_writer *writer, const struct cache_board *board,
                   uint32_t records_max)
{
    struct cache_size_history history;

    cache_size_read(board, &history);
    put_controller(writer, &history, records_max);
}

/* ---- on or off ------------------------------------------------------------------------------- */

const char *
api_cache_condition_text(const struct cache_condition *condition)
{
    if (!condition->is_off) {
        return "the cache is on";
    }
    return condition->is_full ? "the cache is off: the file system is full"
                              : "the cache is off: the file system refused a write";
}

const char *
api_disk_condition_text(const struct cache_condition *condition)
{
    if (!condition->is_off) {
        return "the disk tier is on";
    }
    return condition->is_full ? "the disk tier is off: the file system is full"
                              : "the disk tier is off: its folder cannot be used";
}

static void
put_condition(struct wire_writer *writer, const struct cache_condition *condition,
              const char *reason)
{
    wire_key(writer, "condition");
    wire_object(writer, 3);
    wire_key(writer, "state");
    wire_put_text(writer, condition->is_off ? "off" : "on");
    wire_key(writer, "reason");
    if (condition->is_off) {
        wire_put_text(writer, reason);
    } else {
        wire_put_null(writer);
    }
    wire_key(writer, "since");
    if (condition->off_since_wall_ms > 0) {
        api_put_time(writer, condition->off_since_wall_ms);
    } else {
        wire_put_null(writer);
    }
    wire_end(writer);
}

void
api_put_condition(struct wire_writer *writer, const struct cache_board *board)
{
    struct cache_condition condition = {.is_off = false};

    if (board != NULL) {
        cache_condition(board, &condition);
    }
    put_condition(writer, &condition, api_cache_condition_text(&condition));
}

void
api_put_disk_condition(struct wire_writer *writer, const struct cache_condition *condition)
{
    put_condition(writer, condition, api_disk_condition_text(condition));
}

/* ---- recommendations ------------------------------------------------------------------------- */

/* A list that is counted before it is written. */
struct advice {
    const char *what;
    double figure;
    const char *text;
};

struct advices {
    struct advice list[8];
    uint32_t count;
};

static void
advise(struct advices *advices, const char *what, double figure, const char *text)
{
    if (advices->count < AUGURY_COUNT(advices->list)) {
        advices->list[advices->count++] = (struct advice){what, figure, text};
    }
}

static double
used_share(const struct cache_size_record *record)
{
    uint64_t quota = record->decision.to_bytes;

    return quota > 0 ? (double)record->sample.used_bytes / (double)quota : 0;
}

/* Much of it used now, or little for as long as the history goes back. */
static void
advise_size(struct advices *advices, const struct cache_size_history *history)
{
    double used = used_share(&history->records[history->count - 1]);
    double most = 0;

    for (uint32_t i = 0; i < history->count; i++) {
        double here = used_share(&history->records[i]);
        most = here > most ? here : most;
    }
    if (used * 100 > USED_HIGH_PERCENT) {
        advise(advices, "cache_used", used,
               "raise cache.size: over 90 % of the cache is used, and entries are evicted");
    } else if (used * 100 > USED_WATCH_PERCENT) {
        advise(advices, "cache_used", used, "watch the cache: over 75 % of it is used");
    } else if (most * 100 < USED_LOW_PERCENT && history->count == CACHE_SIZE_RECORDS) {
        advise(advices, "cache_used", most,
               "lower cache.size: under 25 % of the cache has been used of late");
    }
}

static void
advise_hits(struct advices *advices, const struct cache_size_history *history)
{
    const struct cache_size_sample *first = &history->records[0].sample;
    const struct cache_size_sample *last = &history->records[history->count - 1].sample;
    uint64_t hits = last->hits - first->hits;
    uint64_t lookups = hits + last->misses - first->misses;
    double ratio = lookups > 0 ? (double)hits / (double)lookups : 1;

    if (last->hits >= first->hits && last->misses >= first->misses && lookups >= LOOKUPS_MIN &&
        ratio < hit_ratio_low) {
        advise(advices, "hit_ratio", ratio,
               "raise cache.size or the classes' ttl, or round features (decimals): under 80 % of "
               "lookups were hits of late");
    }
}

static void
advise_rates(struct advices *advices, const struct stats *stats)
{
    struct stats_summary lookup;
    uint64_t errors = stats_sum(stats, STATS_HTTP_REQUESTS_5XX);
    uint64_t requests = errors + stats_sum(stats, STATS_HTTP_REQUESTS_2XX) +
                        stats_sum(stats, STATS_HTTP_REQUESTS_3XX) +
                        stats_sum(stats, STATS_HTTP_REQUESTS_4XX);
    uint64_t puts = stats_sum(stats, STATS_CACHE_PUTS) + stats_sum(stats, STATS_CACHE_PUTS_DROPPED);
    uint64_t dropped = stats_sum(stats, STATS_CACHE_PUTS_DROPPED);

    stats_summarise(stats, STATS_CACHE_GET, &lookup);
    double mean_ms = lookup.count > 0 ? (double)lookup.sum_ns / (double)lookup.count / 1e6 : 0;
    if (mean_ms > lookup_mean_high_ms) {
        advise(advices, "lookup_mean_ms", mean_ms,
               "see whether the machine swaps or cache.dir lies on a disk: a lookup takes over "
               "10 ms");
    }
    if (requests >= LOOKUPS_MIN && (double)errors > error_rate_high * (double)requests) {
        advise(advices, "error_rate", (double)errors / (double)requests,
               "look at the log and at `augury status`: over 1 % of requests failed");
    }
    if (puts >= LOOKUPS_MIN && (double)dropped > error_rate_high * (double)puts) {
        advise(advices, "put_error_rate", (double)dropped / (double)puts,
               "raise cache.ring, or see whether the cache is off: over 1 % of entries were "
               "dropped");
    }
}

static void
put_advices(struct wire_writer *writer, const struct advices *advices)
{
    wire_array(writer, advices->count);
    for (uint32_t i = 0; i < advices->count; i++) {
        wire_object(writer, 3);
        wire_key(writer, "what");
        wire_put_text(writer, advices->list[i].what);
        wire_key(writer, "figure");
        wire_put_f64(writer, rounded(advices->list[i].figure, 10000));
        wire_key(writer, "advice");
        wire_put_text(writer, advices->list[i].text);
        wire_end(writer);
    }
    wire_end(writer);
}

void
api_put_sizing(struct wire_writer *writer, const struct cache_board *board,
               const struct stats *stats, uint32_t records_max)
{
    struct cache_size_history history = {.count = 0};
    struct advices advices = {.count = 0};

    if (board != NULL) {
        cache_size_read(board, &history);
    }
    if (history.count > 0) {
        advise_size(&advices, &history);
        advise_hits(&advices, &history);
    }
    advise_rates(&advices, stats);
    wire_key(writer, "controller");
    put_controller(writer, &history, records_max);
    wire_key(writer, "recommendations");
    put_advices(writer, &advices);
}
