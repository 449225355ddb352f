/* SPDX-License-Identifier: MIT */
/*
 * api_status.c - GET /api/v1/status, and the documents `status` and `workers` of the admin socket:
 * the board of processes in words. Memory is read from /proc, because a process cannot see
 * another's otherwise.
 */
#include "api_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

struct memory {
    uint64_t private_bytes; /* anonymous: this process alone */
    uint64_t shared_bytes;  /* files and shared memory: counted in every process that maps them */
};

/* "RssAnon:\t  1234 kB" → bytes, when the line is of that name. */
static bool
line_to_bytes(const char *line, const char *name, uint64_t *out_bytes)
{
    size_t len = strlen(name);

    if (strncmp(line, name, len) != 0) {
        return false;
    }
    *out_bytes = strtoull(line + len, NULL, 10) * 1024;
    return true;
}

static struct memory
memory_of(int32_t pid)
{
    struct memory memory = {0};
    uint64_t file_bytes = 0;
    uint64_t shmem_bytes = 0;
    char path[48];
    char line[256];

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return memory;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        (void)(line_to_bytes(line, "RssAnon:", &memory.private_bytes) ||
               line_to_bytes(line, "RssFile:", &file_bytes) ||
               line_to_bytes(line, "RssShmem:", &shmem_bytes));
    }
    fclose(file);
    memory.shared_bytes = file_bytes + shmem_bytes;
    return memory;
}

static uint64_t
age_ms(uint64_t now_ms, uint64_t then_ms)
{
    return now_ms > then_ms ? now_ms - then_ms : 0;
}

static void
put_last_exit(struct wire_writer *writer, int32_t status, bool has_died)
{
    char text[48];

    if (!has_died) {
        wire_put_null(writer);
        return;
    }
    if (WIFSIGNALED(status)) {
        snprintf(text, sizeof(text), "signal %d", WTERMSIG(status));
    } else {
        snprintf(text, sizeof(text), "exit %d", WEXITSTATUS(status));
    }
    wire_put_text(writer, text);
}

static void
put_process(struct wire_writer *writer, const struct proc_board *board, unsigned number,
            uint64_t now_mono_ms)
{
    const struct proc_slot *slot = &board->slots[number];
    uint32_t kind = atomic_load(&slot->kind);
    int32_t pid = atomic_load(&slot->pid);
    uint32_t restarts = atomic_load(&slot->restarts);
    struct memory memory = memory_of(pid);

    wire_object(writer, 12);
    wire_key(writer, "slot");
    wire_put_u64(writer, number);
    wire_key(writer, "kind");
    wire_put_text(writer, kind < AUGURY_COUNT(board->kind_names) ? board->kind_names[kind] : "?");
    wire_key(writer, "number");
    wire_put_u64(writer, atomic_load(&slot->number));
    wire_key(writer, "pid");
    wire_put_i64(writer, pid);
    wire_key(writer, "state");
    wire_put_text(writer, proc_state_name((enum proc_state)atomic_load(&slot->state)));
    wire_key(writer, "generation");
    wire_put_u64(writer, atomic_load(&slot->generation));
    wire_key(writer, "uptime_s");
    wire_put_u64(writer, age_ms(now_mono_ms, atomic_load(&slot->started_mono_ms)) / 1000);
    wire_key(writer, "heartbeat_age_ms");
    wire_put_u64(writer, age_ms(now_mono_ms, atomic_load(&slot->heartbeat_mono_ms)));
    wire_key(writer, "restarts");
    wire_put_u64(writer, restarts);
    wire_key(writer, "last_exit");
    put_last_exit(writer, atomic_load(&slot->last_exit), restarts > 0);
    wire_key(writer, "private_bytes");
    wire_put_u64(writer, memory.private_bytes);
    wire_key(writer, "shared_bytes");
    wire_put_u64(writer, memory.shared_bytes);
    wire_end(writer);
}

/* The slots that are in use now; their states may change meanwhile, so they are chosen once. */
static uint32_t
slots_in_use(const struct proc_board *board, uint16_t *out_slots)
{
    uint32_t count = 0;

    for (unsigned i = 0; i < PROC_SLOTS; i++) {
        if (atomic_load(&board->slots[i].state) != PROC_STATE_NONE) {
            out_slots[count++] = (uint16_t)i;
        }
    }
    return count;
}

static uint32_t
workers_ready(const struct proc_board *board)
{
    uint32_t count = 0;

    for (unsigned i = PROC_SLOT_WORKER_FIRST; i < PROC_SLOTS; i++) {
        count += atomic_load(&board->slots[i].state) == PROC_STATE_READY ? 1 : 0;
    }
    return count;
}

static void
put_reloads(struct wire_writer *writer, const struct proc_board *board)
{
    uint32_t failures = atomic_load(&board->reload_failures);
    size_t len = strnlen(board->last_reload_error, sizeof(board->last_reload_error));

    wire_object(writer, 3);
    wire_key(writer, "done");
    wire_put_u64(writer, atomic_load(&board->reloads));
    wire_key(writer, "failed");
    wire_put_u64(writer, failures);
    wire_key(writer, "last_error");
    if (failures > 0) {
        wire_put_string(writer, bytes_of(board->last_reload_error, len));
    } else {
        wire_put_null(writer);
    }
    wire_end(writer);
}

void
api_put_workers(struct wire_writer *writer, const struct proc_board *board, uint64_t now_mono_ms)
{
    uint16_t slots[PROC_SLOTS];
    uint32_t count = slots_in_use(board, slots);

    wire_array(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        put_process(writer, board, slots[i], now_mono_ms);
    }
    wire_end(writer);
}

/* What is outside and used: where, and whether it answers now. */
static void
put_sources(struct wire_writer *writer, const struct conf *conf, const struct stats *stats)
{
    bool has_redis = conf->redis.address[0] != '\0';

    wire_object(writer, 1);
    wire_key(writer, "redis");
    wire_object(writer, 3);
    wire_key(writer, "address");
    if (has_redis) {
        wire_put_text(writer, conf->redis.address);
    } else {
        wire_put_null(writer);
    }
    wire_key(writer, "workers_up");
    wire_put_u64(writer, stats_sum(stats, STATS_REDIS_UP));
    wire_key(writer, "bus_up");
    wire_put_bool(writer, stats_sum(stats, STATS_REDIS_BUS_UP) > 0);
    wire_end(writer);
    wire_end(writer);
}

void
api_put_status(struct wire_writer *writer, const struct api_status *status)
{
    const struct conf *conf = status->conf;
    const struct proc_board *board = status->board;
    const struct stats *stats = status->stats;
    uint64_t now_wall_ms = status->now_wall_ms;
    uint64_t started_ms = atomic_load(&board->started_wall_ms);

    wire_object(writer, 13);
    wire_key(writer, "name");
    wire_put_text(writer, "augury");
    wire_key(writer, "version");
    wire_put_text(writer, PACKAGE_VERSION);
    wire_key(writer, "started");
    api_put_time(writer, started_ms);
    wire_key(writer, "uptime_s");
    wire_put_u64(writer, age_ms(now_wall_ms, started_ms) / 1000);
    wire_key(writer, "generation");
    wire_put_u64(writer, atomic_load(&board->generation));
    wire_key(writer, "workers_wanted");
    wire_put_u64(writer, atomic_load(&board->workers_wanted));
    wire_key(writer, "workers_ready");
    wire_put_u64(writer, workers_ready(board));
    wire_key(writer, "model_versions");
    wire_put_u64(writer, stats_sum(stats, STATS_MODEL_VERSIONS));
    wire_key(writer, "cache");
    wire_object(writer, 1);
    api_put_condition(writer, status->cache_board);
    wire_end(writer);
    wire_key(writer, "listen");
    wire_array(writer, conf->listen_count);
    for (uint32_t i = 0; i < conf->listen_count; i++) {
        wire_put_text(writer, conf->listen[i].address);
    }
    wire_end(writer);
    wire_key(writer, "sources");
    put_sources(writer, conf, stats);
    wire_key(writer, "reloads");
    put_reloads(writer, board);
    wire_key(writer, "processes");
    api_put_workers(writer, board, clock_mono_ms());
    wire_end(writer);
}

unsigned
api_get_status(struct api_call *call)
{
    const struct api_options *api = &call->api->options;

    struct api_status status = {.conf = api->conf,
                                .board = api->board,
                                .stats = api->stats,
                                .cache_board = api->cache_board,
                                .now_wall_ms = call->now_wall_ms};

    api_put_status(&call->writer, &status);
    buf_put_text(call->answer->headers, "Cache-Control: no-store\r\n");
    return 200;
}
