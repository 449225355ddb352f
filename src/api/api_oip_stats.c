/* SPDX-License-Identifier: MIT */
/*
 * api_oip_stats.c - the statistics extension of the Open Inference Protocol, in Triton's shape.
 * Successes include answers from the cache, executions and what is under compute_* do not;
 * inference_count counts rows. Nothing waits in a queue here: queue is as often as
 * successes, of no time; batch_stats is empty. Times of answers from the cache and the
 * three parts of computing are estimates (api_figures.c).
 */
#include "api_oip.h"

#include <string.h>

/* Figures of ours behind each of the protocol's durations. */
static const struct {
    const char *name;
    enum stats_model_id count, ns;
} durations[] = {
    {"success", STATS_MODEL_SUCCESSES, STATS_MODEL_SUCCESS_NS},
    {"fail", STATS_MODEL_FAILURES, STATS_MODEL_FAILURE_NS},
    {"queue", STATS_MODEL_SUCCESSES, STATS_MODEL_ID_COUNT},
    {"compute_input", STATS_MODEL_EXECUTIONS, STATS_MODEL_INPUT_NS},
    {"compute_infer", STATS_MODEL_EXECUTIONS, STATS_MODEL_INFER_NS},
    {"compute_output", STATS_MODEL_EXECUTIONS, STATS_MODEL_OUTPUT_NS},
    {"cache_hit", STATS_MODEL_HITS, STATS_MODEL_HIT_NS},
    {"cache_miss", STATS_MODEL_MISSES, STATS_MODEL_MISS_NS},
};

static void
put_member(struct wire_writer *writer, const char *key, uint64_t value)
{
    wire_key(writer, key);
    wire_put_u64(writer, value);
}

static void
put_durations(struct wire_writer *writer, const struct stats_model_figures *figures)
{
    wire_object(writer, AUGURY_COUNT(durations));
    for (size_t i = 0; i < AUGURY_COUNT(durations); i++) {
        bool has_time = durations[i].ns != STATS_MODEL_ID_COUNT;
        wire_key(writer, durations[i].name);
        wire_object(writer, 2);
        put_member(writer, "count", figures->values[durations[i].count]);
        put_member(writer, "ns", has_time ? figures->values[durations[i].ns] : 0);
        wire_end(writer);
    }
    wire_end(writer);
}

static void
put_memory(struct wire_writer *writer, const struct registry_entry *entry)
{
    wire_array(writer, 1);
    wire_object(writer, 3);
    wire_key(writer, "type");
    wire_put_text(writer, "CPU");
    put_member(writer, "id", 0);
    put_member(writer, "byte_size", entry->blob_bytes);
    wire_end(writer);
    wire_end(writer);
}

static void
put_entry(struct api_call *call, const struct registry_entry *entry)
{
    struct wire_writer *writer = &call->writer;
    struct stats_model_figures figures;

    stats_model_gather(call->api->options.stats,
                       stats_model_key(bytes_of_text(entry->name), entry->version), &figures);
    wire_object(writer, 9);
    wire_key(writer, "name");
    wire_put_text(writer, entry->name);
    wire_key(writer, "version");
    api_put_version(writer, entry->version);
    put_member(writer, "last_inference", figures.values[STATS_MODEL_LAST_WALL_MS]);
    put_member(writer, "inference_count", figures.values[STATS_MODEL_ROWS]);
    put_member(writer, "execution_count", figures.values[STATS_MODEL_EXECUTIONS]);
    wire_key(writer, "inference_stats");
    put_durations(writer, &figures);
    wire_key(writer, "response_stats");
    wire_object(writer, 0);
    wire_end(writer);
    wire_key(writer, "batch_stats");
    wire_array(writer, 0);
    wire_end(writer);
    wire_key(writer, "memory_usage");
    put_memory(writer, entry);
    wire_end(writer);
}

/* only: the one version that was asked for, or NULL: every version of the name; of all names,
 * without one. */
static bool
is_wanted(const struct registry_entry *entry, struct bytes name, const struct registry_entry *only)
{
    if (only != NULL) {
        return strcmp(entry->name, only->name) == 0 && entry->version == only->version;
    }
    return name.len == 0 || bytes_equal_text(name, entry->name);
}

static void
put_statistics(struct api_call *call, struct bytes name, const struct registry_entry *only)
{
    const struct registry *registry = call->api->options.predict->registry;
    const struct registry_entry *entry;
    uint32_t count = 0;

    for (size_t i = 0; (entry = registry_entry_at(registry, i)) != NULL; i++) {
        count += is_wanted(entry, name, only) ? 1 : 0;
    }
    wire_object(&call->writer, 1);
    wire_key(&call->writer, "model_stats");
    wire_array(&call->writer, count);
    for (size_t i = 0; (entry = registry_entry_at(registry, i)) != NULL; i++) {
        if (is_wanted(entry, name, only)) {
            put_entry(call, entry);
        }
    }
    wire_end(&call->writer);
    wire_end(&call->writer);
}

unsigned
api_get_oip_stats(struct api_call *call)
{
    struct registry *registry = call->api->options.predict->registry;
    const struct registry_entry *found = NULL;
    struct bytes name, selector;

    api_call_form(call, WIRE_JSON);
    oip_split_model(call, &name, &selector);
    int rc = registry_snapshot_begin(registry);
    if (rc != 0) {
        err_set(&call->err, rc, "registry_unreadable", "the model environment cannot be read: %s",
                augury_strerror(rc));
        return api_refuse(call, rc);
    }
    if (name.len > 0) {
        rc = registry_find_entry(registry, name, selector, &found, &call->err);
    }
    if (rc == 0) {
        put_statistics(call, name, selector.len > 0 ? found : NULL);
    }
    unsigned status = rc == 0 ? 200 : api_refuse(call, rc);
    registry_snapshot_end(registry);
    return status;
}
