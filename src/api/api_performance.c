/* SPDX-License-Identifier: MIT */
/*
 * api_performance.c - GET /api/v1/performance and the document of the cache: rates, latencies, hit
 * ratios, evictions. Rates are over the daemon's life; a client that wants the rate of now takes
 * two readings of the totals.
 */
#include "api_call.h"
#include "augury/cache_size.h"

enum { COSTS_SHOWN = 64 };

static void
put_ratio(struct wire_writer *writer, const char *key, uint64_t part, uint64_t whole)
{
    wire_key(writer, key);
    if (whole == 0) {
        wire_put_null(writer);
    } else {
        wire_put_f64(writer, (double)part / (double)whole);
    }
}

static void
put_total(struct wire_writer *writer, const char *key, const struct stats *stats, enum stats_id id)
{
    wire_key(writer, key);
    wire_put_u64(writer, stats_sum(stats, id));
}

/* Microseconds, because a request takes some. */
static void
put_latency(struct wire_writer *writer, const struct stats *stats, enum stats_id id)
{
    struct stats_summary summary;
    stats_summarise(stats, id, &summary);
    const struct {
        const char *name;
        uint64_t ns;
    } points[] = {
        {"p50", summary.p50_ns}, {"p90", summary.p90_ns}, {"p95", summary.p95_ns},
        {"p99", summary.p99_ns}, {"max", summary.max_ns},
    };

    wire_key(writer, "latency_us");
    wire_object(writer, AUGURY_COUNT(points) + 1);
    put_ratio(writer, "mean", summary.sum_ns, summary.count * 1000);
    for (size_t i = 0; i < AUGURY_COUNT(points); i++) {
        wire_key(writer, points[i].name);
        wire_put_f64(writer, (double)points[i].ns / 1000.0);
    }
    wire_end(writer);
}

/* The longest that any worker keeps to; 0: none. */
static uint64_t
target_lag_us(const struct stats *stats)
{
    uint64_t most = 0;

    for (unsigned slot = 0; slot < STATS_SLOTS; slot++) {
        uint64_t of_slot = stats_of_slot(stats, slot, STATS_HTTP_TARGET_LAG);
        most = of_slot > most ? of_slot : most;
    }
    return most;
}

/* 0 is null. */
static void
put_unless_0(struct wire_writer *writer, const char *key, uint64_t value)
{
    wire_key(writer, key);
    if (value > 0) {
        wire_put_u64(writer, value);
    } else {
        wire_put_null(writer);
    }
}

/* What is not taken on, and by what that is found out. */
static void
put_overload(struct wire_writer *writer, const struct stats *stats)
{
    static const struct {
        const char *name;
        enum stats_id id;
    } reasons[] = {{"lag", STATS_HTTP_OVER_LAG},
                   {"queue", STATS_HTTP_OVER_QUEUE},
                   {"requests", STATS_HTTP_OVER_REQUESTS},
                   {"client_requests", STATS_HTTP_OVER_CLIENT_REQUESTS},
                   {"connections", STATS_HTTP_REFUSED_CONNECTIONS},
                   {"client_connections", STATS_HTTP_OVER_CLIENT_CONNECTIONS},
                   {"client_bytes", STATS_HTTP_OVER_CLIENT_BYTES},
                   {"bytes", STATS_HTTP_OVER_BYTES},
                   {"deadline", STATS_HTTP_OVER_DEADLINE}};
    struct stats_summary lag;

    stats_summarise(stats, STATS_HTTP_LAG, &lag);
    wire_object(writer, 8);
    put_unless_0(writer, "admission_limit", stats_sum(stats, STATS_HTTP_ADMISSION));
    put_unless_0(writer, "target_lag_us", target_lag_us(stats));
    wire_key(writer, "lag_p99_us");
    if (lag.count > 0) {
        wire_put_f64(writer, (double)lag.p99_ns / 1000.0);
    } else {
        wire_put_null(writer);
    }
    put_total(writer, "waiting", stats, STATS_HTTP_WAITING);
    put_total(writer, "buffered_bytes", stats, STATS_HTTP_BUFFERED);
    put_total(writer, "answered_stale", stats, STATS_HTTP_OVER_STALE);
    put_total(writer, "late_timeouts", stats, STATS_HTTP_LATE_TIMEOUT);
    wire_key(writer, "refused");
    wire_object(writer, AUGURY_COUNT(reasons));
    for (size_t i = 0; i < AUGURY_COUNT(reasons); i++) {
        put_total(writer, reasons[i].name, stats, reasons[i].id);
    }
    wire_end(writer);
    wire_end(writer);
}

static void
put_http(struct wire_writer *writer, const struct stats *stats, uint64_t uptime_ms)
{
    uint64_t requests =
        stats_sum(stats, STATS_HTTP_REQUESTS_2XX) + stats_sum(stats, STATS_HTTP_REQUESTS_3XX) +
        stats_sum(stats, STATS_HTTP_REQUESTS_4XX) + stats_sum(stats, STATS_HTTP_REQUESTS_5XX);

    wire_object(writer, 7);
    wire_key(writer, "requests");
    wire_put_u64(writer, requests);
    put_ratio(writer, "requests_per_second", requests * 1000, uptime_ms);
    put_total(writer, "client_errors", stats, STATS_HTTP_REQUESTS_4XX);
    put_total(writer, "server_errors", stats, STATS_HTTP_REQUESTS_5XX);
    put_total(writer, "connections_open", stats, STATS_HTTP_CONNECTIONS_OPEN);
    put_latency(writer, stats, STATS_HTTP_TURN);
    wire_key(writer, "overload");
    put_overload(writer, stats);
    wire_end(writer);
}

/* Nanoseconds of a row alone and of one among many; null: not known yet. */
static void
put_pair(struct wire_writer *writer, const char *key, const uint64_t *ns)
{
    static const char *const shapes[CACHE_SHAPES] = {"one", "many"};

    wire_key(writer, key);
    wire_object(writer, CACHE_SHAPES);
    for (int shape = 0; shape < CACHE_SHAPES; shape++) {
        wire_key(writer, shapes[shape]);
        if (ns[shape] > 0) {
            wire_put_u64(writer, ns[shape]);
        } else {
            wire_put_null(writer);
        }
    }
    wire_end(writer);
}

/* What evaluating a row costs against looking it up, for each output of a version that is kept. */
static void
put_costs(struct wire_writer *writer, const struct cache *cache)
{
    struct cache_worth_row row;
    uint32_t count = 0;

    for (size_t i = 0; cache != NULL && count < COSTS_SHOWN && cache_worth_at(cache, &i, &row);) {
        count++;
    }
    wire_key(writer, "costs");
    wire_array(writer, count);
    for (size_t i = 0; count > 0; count--) {
        if (!cache_worth_at(cache, &i, &row)) {
            row = (struct cache_worth_row){0}; /* a line that has gone meanwhile */
        }
        wire_object(writer, 5);
        wire_key(writer, "of");
        wire_put_text(writer, row.name);
        put_pair(writer, "evaluate_ns", row.make_ns);
        put_pair(writer, "look_up_ns", row.find_ns);
        wire_key(writer, "is_bypassed");
        wire_put_bool(writer, row.is_bypassed[CACHE_ONE] || row.is_bypassed[CACHE_MANY]);
        wire_key(writer, "rows_bypassed");
        wire_put_u64(writer, row.bypassed_rows);
        wire_end(writer);
    }
    wire_end(writer);
}

static void
put_predict(struct wire_writer *writer, const struct stats *stats, const struct cache *cache,
            uint64_t uptime_ms)
{
    wire_object(writer, 8);
    put_total(writer, "requests", stats, STATS_PREDICT_REQUESTS);
    put_total(writer, "rows", stats, STATS_PREDICT_ROWS);
    put_total(writer, "rows_evaluated", stats, STATS_PREDICT_ROWS_EVALUATED);
    put_total(writer, "rows_bypassed", stats, STATS_PREDICT_ROWS_BYPASSED);
    put_total(writer, "errors", stats, STATS_PREDICT_ERRORS);
    put_ratio(writer, "rows_per_second", stats_sum(stats, STATS_PREDICT_ROWS) * 1000, uptime_ms);
    put_latency(writer, stats, STATS_PREDICT_SECONDS);
    put_costs(writer, cache);
    wire_end(writer);
}

_Static_assert(STATS_CACHE_HITS_OBJECT - STATS_CACHE_HITS_PREDICTION == (int)CACHE_OBJECT &&
                   STATS_CACHE_MISSES_OBJECT - STATS_CACHE_MISSES_PREDICTION == (int)CACHE_OBJECT &&
                   STATS_DISK_HITS_OBJECT - STATS_DISK_HITS_PREDICTION == (int)CACHE_OBJECT,
               "counters of the classes stand in the order of the classes");

static void
put_class(struct wire_writer *writer, const struct stats *stats, int class)
{
    uint64_t hits = stats_sum(stats, (enum stats_id)((int)STATS_CACHE_HITS_PREDICTION + class));
    uint64_t misses = stats_sum(stats, (enum stats_id)((int)STATS_CACHE_MISSES_PREDICTION + class));

    wire_key(writer, cache_class_name((enum cache_class) class));
    wire_object(writer, 3);
    wire_key(writer, "hits");
    wire_put_u64(writer, hits);
    wire_key(writer, "misses");
    wire_put_u64(writer, misses);
    put_ratio(writer, "hit_ratio", hits, hits + misses);
    wire_end(writer);
}

/* One object a class. */
static void
put_classes(struct wire_writer *writer, const struct stats *stats)
{
    wire_key(writer, "classes");
    wire_object(writer, CACHE_CLASS_COUNT);
    for (int class = 0; class < CACHE_CLASS_COUNT; class ++) {
        put_class(writer, stats, class);
    }
    wire_end(writer);
}

/* What other sizes would hit: "you would have hit 0.71 with twice the size". */
static void
put_shadow(struct wire_writer *writer, const struct stats *stats)
{
    static const struct {
        const char *name;
        enum stats_id id;
    } sizes[] = {{"half", STATS_CACHE_SHADOW_HALF},
                 {"same", STATS_CACHE_SHADOW_SAME},
                 {"twice", STATS_CACHE_SHADOW_TWICE}};

    wire_key(writer, "shadow");
    /* Not known yet, or nothing was ever asked for twice. */
    if (stats_sum(stats, STATS_CACHE_SHADOW_TWICE) == 0) {
        wire_put_null(writer);
        return;
    }
    wire_object(writer, AUGURY_COUNT(sizes));
    for (size_t i = 0; i < AUGURY_COUNT(sizes); i++) {
        put_ratio(writer, sizes[i].name, stats_sum(stats, sizes[i].id), 10000);
    }
    wire_end(writer);
}

/* What counters say of the cache: 9 members. */
static void
put_cache_members(struct wire_writer *writer, const struct stats *stats)
{
    put_classes(writer, stats);
    put_total(writer, "committed", stats, STATS_CACHE_COMMITTED);
    put_total(writer, "evicted", stats, STATS_CACHE_EVICTED);
    put_total(writer, "expired", stats, STATS_CACHE_EXPIRED);
    put_total(writer, "purged", stats, STATS_CACHE_PURGED);
    put_total(writer, "puts_dropped", stats, STATS_CACHE_PUTS_DROPPED);
    put_total(writer, "commit_failures", stats, STATS_CACHE_COMMIT_FAILURES);
    put_latency(writer, stats, STATS_CACHE_GET);
    put_shadow(writer, stats);
}

/* The tier below memory; null where there is none. What it was asked for, memory did not have. */
static void
put_disk(struct wire_writer *writer, const struct stats *stats, const struct cache_board *board)
{
    struct cache_condition condition;
    uint64_t hits = 0;

    wire_key(writer, "disk");
    if (board == NULL || !cache_disk_condition(board, &condition)) {
        wire_put_null(writer);
        return;
    }
    for (int class = 0; class < CACHE_CLASS_COUNT; class ++) {
        hits += stats_sum(stats, (enum stats_id)((int)STATS_DISK_HITS_PREDICTION + class));
    }
    wire_object(writer, 14);
    api_put_disk_condition(writer, &condition);
    put_total(writer, "entries", stats, STATS_DISK_ENTRIES);
    put_total(writer, "used_bytes", stats, STATS_DISK_USED_BYTES);
    put_total(writer, "file_bytes", stats, STATS_DISK_FILE_BYTES);
    put_total(writer, "quota_bytes", stats, STATS_DISK_QUOTA_BYTES);
    wire_key(writer, "hits");
    wire_put_u64(writer, hits);
    put_total(writer, "misses", stats, STATS_DISK_MISSES);
    put_ratio(writer, "hit_ratio", hits, hits + stats_sum(stats, STATS_DISK_MISSES));
    put_total(writer, "puts", stats, STATS_DISK_PUTS);
    put_total(writer, "puts_dropped", stats, STATS_DISK_PUTS_DROPPED);
    put_total(writer, "evicted", stats, STATS_DISK_EVICTED);
    put_total(writer, "replaced", stats, STATS_DISK_REPLACED);
    put_total(writer, "warmed", stats, STATS_DISK_WARMED);
    put_latency(writer, stats, STATS_DISK_COMMIT);
    wire_end(writer);
}

/* The tier that joins machines: zeros where there is none. */
static void
put_redis(struct wire_writer *writer, const struct stats *stats)
{
    static const enum stats_id hits[] = {STATS_REDIS_HITS_PREDICTION, STATS_REDIS_HITS_FEATURE,
                                         STATS_REDIS_HITS_LINEUP,     STATS_REDIS_HITS_MODEL,
                                         STATS_REDIS_HITS_RESPONSE,   STATS_REDIS_HITS_OBJECT};
    uint64_t found = 0;

    for (size_t i = 0; i < AUGURY_COUNT(hits); i++) {
        found += stats_sum(stats, hits[i]);
    }
    wire_object(writer, 11);
    put_total(writer, "workers_up", stats, STATS_REDIS_UP);
    put_total(writer, "bus_up", stats, STATS_REDIS_BUS_UP);
    wire_key(writer, "hits");
    wire_put_u64(writer, found);
    put_total(writer, "misses", stats, STATS_REDIS_MISSES);
    put_total(writer, "puts", stats, STATS_REDIS_PUTS);
    put_total(writer, "dropped", stats, STATS_REDIS_DROPPED);
    put_total(writer, "timeouts", stats, STATS_REDIS_TIMEOUTS);
    put_total(writer, "errors", stats, STATS_REDIS_ERRORS);
    put_total(writer, "breaker_opened", stats, STATS_REDIS_OPENED);
    put_total(writer, "gaps", stats, STATS_REDIS_GAPS);
    put_latency(writer, stats, STATS_REDIS_GET);
    wire_end(writer);
}

void
api_put_performance(struct wire_writer *writer, const struct api_performance *performance)
{
    const struct stats *stats = performance->stats;
    uint64_t now_ms = performance->now_wall_ms;
    uint64_t started_ms = atomic_load(&performance->board->started_wall_ms);
    uint64_t uptime_ms = now_ms > started_ms && started_ms > 0 ? now_ms - started_ms : 0;

    wire_object(writer, 8);
    wire_key(writer, "uptime_s");
    wire_put_u64(writer, uptime_ms / 1000);
    wire_key(writer, "http");
    put_http(writer, stats, uptime_ms);
    wire_key(writer, "predict");
    put_predict(writer, stats, performance->cache, uptime_ms);
    wire_key(writer, "cache");
    wire_object(writer, 13);
    api_put_condition(writer, performance->cache_board);
    put_cache_members(writer, stats);
    put_total(writer, "entries", stats, STATS_CACHE_ENTRIES);
    put_total(writer, "used_bytes", stats, STATS_CACHE_USED_BYTES);
    put_total(writer, "quota_bytes", stats, STATS_CACHE_QUOTA_BYTES);
    wire_end(writer);
    put_disk(writer, stats, performance->cache_board);
    wire_key(writer, "redis");
    put_redis(writer, stats);
    api_put_sizing(writer, performance->cache_board, stats, performance->records_max);
    wire_end(writer);
}

int
api_put_cache(struct wire_writer *writer, struct cache *cache, const struct stats *stats)
{
    struct cache_usage usage;
    int rc = cache_usage(cache, &usage);

    if (rc != 0) {
        return rc;
    }
    wire_object(writer, 17);
    wire_key(writer, "entries");
    wire_put_u64(writer, usage.entries);
    wire_key(writer, "used_bytes");
    wire_put_u64(writer, usage.used_bytes);
    wire_key(writer, "quota_bytes");
    wire_put_u64(writer, usage.quota_bytes);
    wire_key(writer, "map_bytes");
    wire_put_u64(writer, usage.map_bytes);
    wire_key(writer, "file_blocks_bytes");
    wire_put_u64(writer, usage.file_blocks_bytes);
    wire_key(writer, "reader_slots");
    wire_put_u64(writer, usage.reader_slots);
    wire_key(writer, "oldest");
    if (usage.oldest_created_wall_ms > 0) {
        api_put_time(writer, usage.oldest_created_wall_ms);
    } else {
        wire_put_null(writer);
    }
    wire_key(writer, "entries_of_class");
    wire_object(writer, CACHE_CLASS_COUNT);
    for (unsigned class = 0; class < CACHE_CLASS_COUNT; class ++) {
        wire_key(writer, cache_class_name((enum cache_class) class));
        wire_put_u64(writer, usage.entries_of_class[class]);
    }
    wire_end(writer);
    put_cache_members(writer, stats);
    wire_end(writer);
    return 0;
}

unsigned
api_get_performance(struct api_call *call)
{
    const struct api_options *api = &call->api->options;

    struct api_performance performance = {.stats = api->stats,
                                          .board = api->board,
                                          .cache = api->cache,
                                          .cache_board = api->cache_board,
                                          .now_wall_ms = call->now_wall_ms,
                                          .records_max = CACHE_SIZE_RECORDS};

    api_put_performance(&call->writer, &performance);
    buf_put_text(call->answer->headers, "Cache-Control: no-store\r\n");
    return 200;
}
