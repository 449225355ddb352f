/* SPDX-License-Identifier: MIT */
/*
 * cache_size_log.c - the history of the controller in shared memory: the last samples with what was
 * decided on each, and the last changes. One writer, the supervisor; a sequence word that is odd
 * while it writes lets readers take a copy that is whole. A writer killed in between leaves it odd;
 * the next one begins where that one ended.
 */
#include "augury/cache_size.h"
#include "cache_priv.h"

enum { READ_TRIES = 64 };

struct cache_size_log {
    _Alignas(CACHE_LINE) atomic_uint sequence;
    struct cache_size_history history; /* records and changes are rings here: … */
    uint64_t record_total;             /* … the next one goes to total % size */
    uint64_t change_total;
};

const char *
cache_size_action_name(enum cache_size_action action)
{
    static const char *const names[CACHE_SIZE_ACTION_COUNT] = {
        [CACHE_SIZE_HOLD] = "hold",     [CACHE_SIZE_GROW] = "grow",
        [CACHE_SIZE_SHRINK] = "shrink", [CACHE_SIZE_EMERGENCY] = "emergency",
        [CACHE_SIZE_SET] = "set",
    };

    return (unsigned)action < CACHE_SIZE_ACTION_COUNT ? names[action] : "unknown";
}

const char *
cache_size_reason_name(enum cache_size_reason reason)
{
    static const char *const names[CACHE_SIZE_REASON_COUNT] = {
        [CACHE_SIZE_STEADY] = "steady",          [CACHE_SIZE_OFF] = "not_automatic",
        [CACHE_SIZE_PINNED] = "pinned",          [CACHE_SIZE_CONFIGURED] = "configured",
        [CACHE_SIZE_BLIND] = "memory_unknown",   [CACHE_SIZE_STARTING] = "starting",
        [CACHE_SIZE_FROZEN] = "frozen",          [CACHE_SIZE_COOLING] = "cooling",
        [CACHE_SIZE_TIGHT] = "too_little_room",  [CACHE_SIZE_RISING] = "others_grow",
        [CACHE_SIZE_AT_RULE] = "at_memory_step", [CACHE_SIZE_AT_FLOOR] = "at_floor",
        [CACHE_SIZE_HEADROOM] = "headroom",      [CACHE_SIZE_RULE] = "memory_step",
        [CACHE_SIZE_CPU_BUSY] = "cpu_busy",      [CACHE_SIZE_OUT_OF_ROOM] = "no_headroom",
        [CACHE_SIZE_LIMIT_HIT] = "limit_hit",    [CACHE_SIZE_STALLED] = "memory_stalls",
        [CACHE_SIZE_RECOVERING] = "recovering",  [CACHE_SIZE_EARNED] = "earned",
    };

    return (unsigned)reason < CACHE_SIZE_REASON_COUNT ? names[reason] : "unknown";
}

/* ---- the rings ------------------------------------------------------------------------------- */

size_t
cache_size_log_bytes(void)
{
    return sizeof(struct cache_size_log);
}

struct cache_size_log *
cache_size_log_attach(void *shared_memory)
{
    return shared_memory;
}

void
cache_size_note(struct cache_board *board, const struct cache_size_config *config,
                uint64_t pinned_bytes, const struct cache_size_record *record)
{
    struct cache_size_log *log = board->size_log;
    struct cache_size_history *history = &log->history;

    atomic_store_explicit(&log->sequence,
                          atomic_load_explicit(&log->sequence, memory_order_relaxed) | 1U,
                          memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    history->config = *config;
    history->pinned_bytes = pinned_bytes;
    /* The total last: half a record counts for nothing, and is written over. */
    history->records[log->record_total % CACHE_SIZE_RECORDS] = *record;
    atomic_signal_fence(memory_order_release);
    log->record_total++;
    if (record->decision.action != CACHE_SIZE_HOLD) {
        history->changes[log->change_total % CACHE_SIZE_CHANGES] = *record;
        atomic_signal_fence(memory_order_release);
        log->change_total++;
    }
    atomic_fetch_add_explicit(&log->sequence, 1, memory_order_release);
}

/* A ring, oldest first. */
static uint32_t
ring_copy(const struct cache_size_record *ring, uint64_t total, uint32_t size,
          struct cache_size_record *out_records)
{
    uint32_t count = total < size ? (uint32_t)total : size;

    for (uint32_t i = 0; i < count; i++) {
        out_records[i] = ring[(total - count + i) % size];
    }
    return count;
}

void
cache_size_read(const struct cache_board *board, struct cache_size_history *out_history)
{
    const struct cache_size_log *log = board->size_log;

    for (int i = 0; i < READ_TRIES; i++) {
        unsigned before = atomic_load_explicit(&log->sequence, memory_order_acquire);
        if ((before & 1U) != 0) {
            continue;
        }
        out_history->config = log->history.config;
        out_history->pinned_bytes = log->history.pinned_bytes;
        out_history->count = ring_copy(log->history.records, log->record_total, CACHE_SIZE_RECORDS,
                                       out_history->records);
        out_history->change_count = ring_copy(log->history.changes, log->change_total,
                                              CACHE_SIZE_CHANGES, out_history->changes);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&log->sequence, memory_order_relaxed) == before) {
            return;
        }
    }
    memset(out_history, 0, sizeof(*out_history));
}
