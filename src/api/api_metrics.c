/* SPDX-License-Identifier: MIT */
/* api_metrics.c - GET /metrics for Prometheus, and all counters as one document. */
#include "api_call.h"

#include <stdio.h>

enum { SERIES_NAME_MAX = 192 };

static void
put_histogram(struct wire_writer *writer, const struct stats *stats, enum stats_id id)
{
    struct stats_summary summary;

    stats_summarise(stats, id, &summary);
    wire_object(writer, 7);
    wire_key(writer, "count");
    wire_put_u64(writer, summary.count);
    wire_key(writer, "sum_ns");
    wire_put_u64(writer, summary.sum_ns);
    wire_key(writer, "p50_ns");
    wire_put_u64(writer, summary.p50_ns);
    wire_key(writer, "p90_ns");
    wire_put_u64(writer, summary.p90_ns);
    wire_key(writer, "p95_ns");
    wire_put_u64(writer, summary.p95_ns);
    wire_key(writer, "p99_ns");
    wire_put_u64(writer, summary.p99_ns);
    wire_key(writer, "max_ns");
    wire_put_u64(writer, summary.max_ns);
    wire_end(writer);
}

void
api_put_stats(struct wire_writer *writer, const struct stats *stats)
{
    wire_object(writer, STATS_COUNT);
    for (unsigned i = 0; i < STATS_COUNT; i++) {
        const struct stats_row *row = &stats_rows[i];
        char name[SERIES_NAME_MAX];
        bool has_labels = row->labels[0] != '\0';

        snprintf(name, sizeof(name), "%s%s%s%s", row->name, has_labels ? "{" : "", row->labels,
                 has_labels ? "}" : "");
        wire_key(writer, name);
        if (row->kind == STATS_HISTOGRAM) {
            put_histogram(writer, stats, (enum stats_id)i);
        } else {
            wire_put_u64(writer, stats_sum(stats, (enum stats_id)i));
        }
    }
    wire_end(writer);
}

unsigned
api_get_metrics(struct api_call *call)
{
    stats_put_prometheus(call->api->options.stats, call->answer->body);
    call->answer->content_type = "text/plain; version=0.0.4; charset=utf-8";
    buf_put_text(call->answer->headers, "Cache-Control: no-store\r\n");
    return 200;
}
