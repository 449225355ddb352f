/* SPDX-License-Identifier: MIT */
/*
 * prometheus.c - the board in Prometheus' text format 0.0.4
 * (prometheus.io/docs/instrumenting/exposition_formats).
 * The le edges are round numbers of seconds; a fine bucket counts for an edge when it lies wholly
 * below it, so a value may be counted one edge late when it is within 6.25 % under that edge, and
 * never early.
 */
#include "augury/stats.h"

#include <inttypes.h>
#include <string.h>

#include "buckets.h"

struct edge {
    uint64_t ns;
    const char *text; /* in seconds */
};

static const struct edge edges[] = {
    {1000, "0.000001"},  {2500, "0.0000025"}, {5000, "0.000005"},  {10000, "0.00001"},
    {25000, "0.000025"}, {50000, "0.00005"},  {100000, "0.0001"},  {250000, "0.00025"},
    {500000, "0.0005"},  {1000000, "0.001"},  {2500000, "0.0025"}, {5000000, "0.005"},
    {10000000, "0.01"},  {25000000, "0.025"}, {50000000, "0.05"},  {100000000, "0.1"},
    {250000000, "0.25"}, {500000000, "0.5"},  {1000000000, "1"},   {2500000000, "2.5"},
    {5000000000, "5"},   {10000000000, "10"},
};

static const char *const kind_names[] = {
    [STATS_COUNTER] = "counter", [STATS_GAUGE] = "gauge", [STATS_HISTOGRAM] = "histogram"};

static void
put_name(struct buf *buf, const struct stats_row *row, const char *suffix)
{
    buf_put_text(buf, row->name);
    buf_put_text(buf, suffix);
    if (row->labels[0] != '\0') {
        buf_printf(buf, "{%s}", row->labels);
    }
    buf_put_u8(buf, ' ');
}

static void
put_bucket(struct buf *buf, const struct stats_row *row, const char *le, uint64_t count)
{
    buf_printf(buf, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", row->name, row->labels,
               row->labels[0] == '\0' ? "" : ",", le, count);
}

static void
put_histogram(const struct stats *stats, enum stats_id id, struct buf *buf)
{
    const struct stats_row *row = &stats_rows[id];
    struct stats_total total;
    uint64_t below = 0;
    size_t bucket = 0;

    stats_gather(stats, id, &total);
    for (size_t i = 0; i < AUGURY_COUNT(edges); i++) {
        while (bucket < STATS_BUCKETS && bucket_edge_ns(bucket) <= edges[i].ns) {
            below += total.buckets[bucket++];
        }
        put_bucket(buf, row, edges[i].text, below);
    }
    put_bucket(buf, row, "+Inf", total.count);
    put_name(buf, row, "_sum");
    buf_printf(buf, "%" PRIu64 ".%09" PRIu64 "\n", total.sum_ns / 1000000000,
               total.sum_ns % 1000000000);
    put_name(buf, row, "_count");
    buf_printf(buf, "%" PRIu64 "\n", total.count);
}

void
stats_put_prometheus(const struct stats *stats, struct buf *buf)
{
    const char *last_name = "";

    for (size_t i = 0; i < STATS_COUNT; i++) {
        const struct stats_row *row = &stats_rows[i];
        if (strcmp(row->name, last_name) != 0) {
            buf_printf(buf, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name,
                       kind_names[row->kind]);
            last_name = row->name;
        }
        if (row->kind == STATS_HISTOGRAM) {
            put_histogram(stats, (enum stats_id)i, buf);
            continue;
        }
        put_name(buf, row, "");
        buf_printf(buf, "%" PRIu64 "\n", stats_sum(stats, (enum stats_id)i));
    }
}
