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

enum {
    CONFIG_WORDS = sizeof(struct cache_size_config) / sizeof(uint64_t),
    RECORD_WORDS = sizeof(struct cache_size_record) / sizeof(uint64_t),
};
_Static_assert(sizeof(struct cache_size_config) % sizeof(uint64_t) == 0, "whole words");
_Static_assert(sizeof(struct cache_size_record) % sizeof(uint64_t) == 0, "whole words");

/* Words, each read and written as one: a reader may come at any time, and then tries again. */
struct cache_size_log {
    _Alignas(CACHE_LINE) atomic_uint sequence;
    atomic_uint_least64_t config[CONFIG_WORDS];
    atomic_uint_least64_t pinned_bytes;
    /* Ever written; the next one goes to total % size. */
    atomic_uint_least64_t record_total, change_total;
    atomic_uint_least64_t records[CACHE_SIZE_RECORDS][RECORD_WORDS];
    atomic_uint_least64_t changes[CACHE_SIZE_CHANGES][RECORD_WORDS];
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
        [CACHE_SIZE_STEADY] = "steady",           [CACHE_SIZE_OFF] = "not_automatic",
        [CACHE_SIZE_PINNED] = "pinned",           [CACHE_SIZE_CONFIGURED] = "configured",
        [CACHE_SIZE_BLIND] = "memory_unknown",    [CACHE_SIZE_STARTING] = "starting",
        [CACHE_SIZE_FROZEN] = "frozen",           [CACHE_SIZE_COOLING] = "cooling",
        [CACHE_SIZE_TIGHT] = "too_little_room",   [CACHE_SIZE_RISING] = "others_grow",
        [CACHE_SIZE_AT_RULE] = "at_memory_step",  [CACHE_SIZE_AT_FLOOR] = "at_floor",
        [CACHE_SIZE_HEADROOM] = "headroom",       [CACHE_SIZE_RULE] = "memory_step",
        [CACHE_SIZE_FILE_SYSTEM] = "file_system", [CACHE_SIZE_CPU_BUSY] = "cpu_busy",
        [CACHE_SIZE_OUT_OF_ROOM] = "no_headroom", [CACHE_SIZE_LIMIT_HIT] = "limit_hit",
        [CACHE_SIZE_STALLED] = "memory_stalls",   [CACHE_SIZE_RECOVERING] = "recovering",
        [CACHE_SIZE_EARNED] = "earned",
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

static void
words_put(atomic_uint_least64_t *words, const void *from, size_t count)
{
    uint64_t word;

    for (size_t i = 0; i < count; i++) {
        memcpy(&word, (const uint8_t *)from + i * sizeof(word), sizeof(word));
        atomic_store_explicit(&words[i], word, memory_order_relaxed);
    }
}

static void
words_get(const atomic_uint_least64_t *words, void *out_to, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t word = atomic_load_explicit(&words[i], memory_order_relaxed);
        memcpy((uint8_t *)out_to + i * sizeof(word), &word, sizeof(word));
    }
}

/* The total after the record: half a record counts for nothing, and is written over. */
static void
ring_put(atomic_uint_least64_t (*ring)[RECORD_WORDS], uint32_t size, atomic_uint_least64_t *total,
         const struct cache_size_record *record)
{
    uint64_t at = atomic_load_explicit(total, memory_order_relaxed);

    words_put(ring[at % size], record, RECORD_WORDS);
    atomic_store_explicit(total, at + 1, memory_order_release);
}

void
cache_size_note(struct cache_board *board, const struct cache_size_config *config,
                uint64_t pinned_bytes, const struct cache_size_record *record)
{
    struct cache_size_log *log = board->size_log;
    unsigned sequence = atomic_load_explicit(&log->sequence, memory_order_relaxed) | 1U;

    atomic_store_explicit(&log->sequence, sequence, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    words_put(log->config, config, CONFIG_WORDS);
    atomic_store_explicit(&log->pinned_bytes, pinned_bytes, memory_order_relaxed);
    ring_put(log->records, CACHE_SIZE_RECORDS, &log->record_total, record);
    if (record->decision.action != CACHE_SIZE_HOLD) {
        ring_put(log->changes, CACHE_SIZE_CHANGES, &log->change_total, record);
    }
    atomic_store_explicit(&log->sequence, sequence + 1, memory_order_release);
}

/* A ring, oldest first. */
static uint32_t
ring_get(const atomic_uint_least64_t (*ring)[RECORD_WORDS], uint32_t size,
         const atomic_uint_least64_t *total, struct cache_size_record *out_records)
{
    uint64_t end = atomic_load_explicit(total, memory_order_relaxed);
    uint32_t count = end < size ? (uint32_t)end : size;

    for (uint32_t i = 0; i < count; i++) {
        words_get(ring[(end - count + i) % size], &out_records[i], RECORD_WORDS);
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
        words_get(log->config, &out_history->config, CONFIG_WORDS);
        out_history->pinned_bytes = atomic_load_explicit(&log->pinned_bytes, memory_order_relaxed);
        out_history->count =
            ring_get(log->records, CACHE_SIZE_RECORDS, &log->record_total, out_history->records);
        out_history->change_count =
            ring_get(log->changes, CACHE_SIZE_CHANGES, &log->change_total, out_history->changes);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&log->sequence, memory_order_relaxed) == before) {
            return;
        }
    }
    memset(out_history, 0, sizeof(*out_history));
}
