/* SPDX-License-Identifier: MIT */
/*
 * api_figures.c - what is counted of each version of a model: requests answered and refused, from
 * the cache or not, rows evaluated, times. Counts are exact. What costs a clock to know is timed
 * once in SAMPLE requests and counts for as many: the times of answers from rendered bytes, and how
 * the time of the others divides.
 */
#include "api_call.h"

enum { SAMPLE = 16 };

bool
api_figures_is_sample(unsigned *count)
{
    return ((*count)++ & (SAMPLE - 1)) == 0;
}

void
api_figures_hit(struct api_call *call, uint32_t model_key, uint64_t sampled_ns)
{
    struct stats_model *model = stats_model_of(call->api->options.slot, model_key);

    stats_model_use(model, call->now_wall_ms);
    stats_model_add(model, STATS_MODEL_SUCCESSES, 1);
    stats_model_add(model, STATS_MODEL_HITS, 1);
    if (sampled_ns != 0) {
        uint64_t took_ns = SAMPLE * (clock_mono_ns() - sampled_ns);
        stats_model_add(model, STATS_MODEL_SUCCESS_NS, took_ns);
        stats_model_add(model, STATS_MODEL_HIT_NS, took_ns);
    }
}

/* A request that got its answer. evaluated: rows of it that were not cached. */
static void
count_success(struct stats_model *model, bool has_used_cache, size_t evaluated, uint64_t took_ns)
{
    enum stats_model_id looked = evaluated == 0 ? STATS_MODEL_HITS : STATS_MODEL_MISSES;

    stats_model_add(model, STATS_MODEL_SUCCESSES, 1);
    stats_model_add(model, STATS_MODEL_SUCCESS_NS, took_ns);
    if (has_used_cache) {
        stats_model_add(model, looked, 1);
        stats_model_add(model, looked + 1, took_ns);
    }
}

static void
count_rows(struct stats_model *model, size_t evaluated)
{
    if (evaluated > 0) {
        stats_model_add(model, STATS_MODEL_ROWS, evaluated);
        stats_model_add(model, STATS_MODEL_EXECUTIONS, 1);
    }
}

void
api_figures_answered(struct api_call *call, const struct predict_answer *answer,
                     const struct api_times *times)
{
    struct stats_model *model = stats_model_of(call->api->options.slot, call->model_key);
    size_t evaluated = answer->row_count - answer->hits;

    stats_model_use(model, call->now_wall_ms);
    count_success(model, answer->has_used_cache, evaluated, times->end_ns - times->begin_ns);
    count_rows(model, evaluated);
    if (evaluated > 0 && times->decoded_ns != 0) {
        stats_model_add(model, STATS_MODEL_INPUT_NS,
                        SAMPLE * (times->decoded_ns - times->begin_ns));
        stats_model_add(model, STATS_MODEL_INFER_NS,
                        SAMPLE * (times->asked_ns - times->decoded_ns));
        stats_model_add(model, STATS_MODEL_OUTPUT_NS, SAMPLE * (times->end_ns - times->asked_ns));
    }
}

void
api_figures_failed(struct api *api, uint32_t model_key, uint64_t now_wall_ms, uint64_t took_ns)
{
    struct stats_model *model = stats_model_of(api->options.slot, model_key);

    stats_model_use(model, now_wall_ms);
    stats_model_add(model, STATS_MODEL_FAILURES, 1);
    stats_model_add(model, STATS_MODEL_FAILURE_NS, took_ns);
}

void
api_figures_part(struct api *api, struct api_parts *parts, const struct predict_answer *answer,
                 uint64_t took_ns)
{
    const struct registry_entry *entry = &answer->model->entry;
    size_t evaluated = answer->row_count - answer->hits;

    parts->model_key = stats_model_key(bytes_of_text(entry->name), entry->version);
    parts->has_used_cache = parts->has_used_cache || answer->has_used_cache;
    parts->evaluated += evaluated;
    parts->took_ns += took_ns;
    count_rows(stats_model_of(api->options.slot, parts->model_key), evaluated);
}

void
api_figures_whole(struct api *api, const struct api_parts *parts, uint64_t now_wall_ms)
{
    struct stats_model *model = stats_model_of(api->options.slot, parts->model_key);

    stats_model_use(model, now_wall_ms);
    count_success(model, parts->has_used_cache, parts->evaluated, parts->took_ns);
}

void
api_figures_refused(struct api_call *call, const struct predict_question *question,
                    uint64_t took_ns)
{
    struct registry *registry = call->api->options.predict->registry;
    const struct registry_entry *entry;
    struct err ignored;

    if (question->model.len == 0 || registry_snapshot_begin(registry) != 0) {
        return;
    }
    if (registry_find_entry(registry, question->model, question->selector, &entry, &ignored) == 0) {
        api_figures_failed(call->api, stats_model_key(bytes_of_text(entry->name), entry->version),
                           call->now_wall_ms, took_ns);
    }
    registry_snapshot_end(registry);
}
