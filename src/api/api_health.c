/* SPDX-License-Identifier: MIT */
/*
 * api_health.c - GET /api/v1/health, /health, /ping and /v2/health/ready: 200 when this worker can
 * answer a prediction, 503 with reasons when it cannot. That it answers at all says that its loop
 * turns; what can be wrong beyond that is the model environment. The body has both members that
 * clients of other servers look for: "live" and "ready"; /v2/health/live says the first alone.
 * Warnings do not make a worker unhealthy: with its cache or its supervisor gone, or one of its
 * models damaged, it still answers.
 */
#include "api_call.h"

enum { NOTES_MAX = 4, SUPERVISOR_SILENT_MS = 5000 };

struct notes {
    const char *list[NOTES_MAX];
    uint32_t count;
};

static void
note(struct notes *notes, const char *text)
{
    if (notes->count < NOTES_MAX) {
        notes->list[notes->count++] = text;
    }
}

static void
check_registry(const struct api_options *api, struct notes *reasons, struct notes *warnings)
{
    struct registry *registry = api->predict->registry;
    const struct registry_model *found;
    struct err err;

    if (registry_snapshot_begin(registry) != 0) {
        note(reasons, "the model environment cannot be read");
        return;
    }
    int rc = registry_each(registry, 0, &found, &err);
    enum registry_damage damage = registry_damage(registry);
    if (rc == AUGURY_END) {
        note(warnings, "no model has been imported");
    } else if (damage == REGISTRY_DAMAGED) {
        note(reasons, "every stored model is damaged");
    } else if (damage == REGISTRY_DAMAGED_IN_PART) {
        note(warnings, "a stored model is damaged; `augury model verify` says which");
    }
    registry_snapshot_end(registry);
}

static void
check_rest(const struct api_options *api, struct notes *warnings)
{
    const struct proc_slot *supervisor = &api->board->slots[PROC_SLOT_SUPERVISOR];
    uint64_t heartbeat_ms = atomic_load(&supervisor->heartbeat_mono_ms);
    uint64_t now_ms = clock_mono_ms();

    if (api->conf->cache.classes[CONF_CACHE_PREDICTION].is_enabled && api->predict->cache == NULL) {
        note(warnings, "the cache is off");
    }
    if (api->cache_board != NULL) {
        struct cache_condition condition;
        cache_condition(api->cache_board, &condition);
        if (condition.is_off) {
            note(warnings, api_cache_condition_text(&condition));
        }
        if (cache_disk_condition(api->cache_board, &condition) && condition.is_off) {
            note(warnings, api_disk_condition_text(&condition));
        }
    }
    if (api->conf->redis.address[0] != '\0' && stats_sum(api->stats, STATS_REDIS_BUS_UP) == 0) {
        note(warnings, "Redis is not in use; event=redis_down in the log says why");
    }
    if (atomic_load(&supervisor->state) != PROC_STATE_READY) {
        note(warnings, "the supervisor is not running");
    } else if (now_ms > heartbeat_ms && now_ms - heartbeat_ms > SUPERVISOR_SILENT_MS) {
        note(warnings, "the supervisor has been silent for over 5 s");
    }
}

static void
put_notes(struct wire_writer *writer, const char *key, const struct notes *notes)
{
    wire_key(writer, key);
    wire_array(writer, notes->count);
    for (uint32_t i = 0; i < notes->count; i++) {
        wire_put_text(writer, notes->list[i]);
    }
    wire_end(writer);
}

unsigned
api_get_health(struct api_call *call)
{
    struct wire_writer *writer = &call->writer;
    struct notes reasons = {.count = 0};
    struct notes warnings = {.count = 0};

    check_registry(&call->api->options, &reasons, &warnings);
    check_rest(&call->api->options, &warnings);
    bool is_ready = reasons.count == 0;
    wire_object(writer, 5);
    wire_key(writer, "status");
    wire_put_text(writer, is_ready ? "ready" : "not ready");
    wire_key(writer, "live");
    wire_put_bool(writer, true);
    wire_key(writer, "ready");
    wire_put_bool(writer, is_ready);
    put_notes(writer, "reasons", &reasons);
    put_notes(writer, "warnings", &warnings);
    wire_end(writer);
    buf_put_text(call->answer->headers, is_ready ? "Cache-Control: no-store\r\n"
                                                 : "Cache-Control: no-store\r\nRetry-After: 1\r\n");
    return is_ready ? 200 : 503;
}

unsigned
api_get_live(struct api_call *call)
{
    wire_object(&call->writer, 1);
    wire_key(&call->writer, "live");
    wire_put_bool(&call->writer, true);
    wire_end(&call->writer);
    buf_put_text(call->answer->headers, "Cache-Control: no-store\r\n");
    return 200;
}

/* What KServe's clients ask at "/" when they speak v1. */
unsigned
api_get_alive(struct api_call *call)
{
    wire_object(&call->writer, 1);
    wire_key(&call->writer, "status");
    wire_put_text(&call->writer, "alive");
    wire_end(&call->writer);
    buf_put_text(call->answer->headers, "Cache-Control: no-store\r\n");
    return 200;
}
