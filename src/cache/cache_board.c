/* SPDX-License-Identifier: MIT */
/*
 * cache_board.c - what all processes of the cache share beside the environment: one piece of shared
 * memory, made before the forks and divided among the files of this room. A part is added by a
 * pointer in struct cache_board, its size in parts_measure() and its attachment in
 * cache_board_attach().
 */
#include "cache_priv.h"
#include "redis_marks.h"

enum { PART_ALIGN = 4096, DISK_RING_BYTES = 8 << 20 };

static size_t
part_bytes(size_t bytes)
{
    return (bytes + PART_ALIGN - 1) & ~(size_t)(PART_ALIGN - 1);
}

static size_t
disk_heat_bytes(const struct cache_board_options *options)
{
    return options->disk_bytes > 0 ? part_bytes(cache_heat_bytes(options->disk_bytes)) : 0;
}

size_t
cache_board_bytes(const struct cache_board_options *options)
{
    return part_bytes(sizeof(struct cache_board)) + part_bytes(cache_flights_bytes()) +
           part_bytes(cache_mails_bytes()) + part_bytes(cache_size_log_bytes()) +
           part_bytes(cache_rings_bytes(options->ring_bytes, options->slots)) +
           part_bytes(cache_rings_bytes(DISK_RING_BYTES, 1)) + part_bytes(cache_invalid_bytes()) +
           part_bytes(cache_orders_bytes(options->slots)) + part_bytes(sizeof(struct cache_marks)) +
           part_bytes(cache_heat_bytes(options->map_bytes)) + disk_heat_bytes(options) +
           part_bytes(cache_hints_bytes(options->map_bytes)) +
           part_bytes(cache_shadow_bytes(options->slots)) + part_bytes(cache_door_bytes()) +
           part_bytes(cache_worths_bytes());
}

struct cache_board *
cache_board_attach(void *shared_memory, const struct cache_board_options *options)
{
    struct cache_board *board = shared_memory;
    uint8_t *part = (uint8_t *)shared_memory + part_bytes(sizeof(*board));

    AUGURY_ASSERT(options->slots > 0 && options->slots <= STATS_SLOTS);
    board->slots = options->slots;
    for (unsigned slot = 0; slot < STATS_SLOTS; slot++) {
        bool has_fd = options->wake_fds != NULL && slot < options->slots;
        board->wake_fds[slot] = has_fd ? options->wake_fds[slot] : -1;
    }
    board->flights = cache_flights_attach(part);
    part += part_bytes(cache_flights_bytes());
    board->mails = cache_mails_attach(part);
    part += part_bytes(cache_mails_bytes());
    board->size_log = cache_size_log_attach(part);
    part += part_bytes(cache_size_log_bytes());
    board->rings =
        cache_rings_attach(part, options->ring_bytes, options->slots, options->keeper_wake_fd);
    part += part_bytes(cache_rings_bytes(options->ring_bytes, options->slots));
    board->disk_rings = cache_rings_attach(part, DISK_RING_BYTES, 1, -1);
    atomic_store(&board->disk_rings->off, 1); /* until a keeper has opened it */
    part += part_bytes(cache_rings_bytes(DISK_RING_BYTES, 1));
    board->invalid = (struct cache_invalid *)part;
    part += part_bytes(cache_invalid_bytes());
    board->orders = (struct cache_order_slot *)part;
    part += part_bytes(cache_orders_bytes(options->slots));
    board->marks = (struct cache_marks *)part;
    part += part_bytes(sizeof(struct cache_marks));
    board->heat = cache_heat_attach(part, options->map_bytes);
    part += part_bytes(cache_heat_bytes(options->map_bytes));
    if (options->disk_bytes > 0) {
        board->disk_heat = cache_heat_attach(part, options->disk_bytes);
        part += disk_heat_bytes(options);
    }
    board->hints = cache_hints_attach(part, options->map_bytes);
    part += part_bytes(cache_hints_bytes(options->map_bytes));
    board->shadow = cache_shadow_attach(part, options->slots);
    part += part_bytes(cache_shadow_bytes(options->slots));
    board->door = (struct cache_door *)part;
    part += part_bytes(cache_door_bytes());
    board->worths = (struct cache_worths *)part;
    return board;
}

enum { READER_CRASHES_MAX = 2 };

void
cache_board_reader_crashed(struct cache_board *board, unsigned slot)
{
    bool was_below = slot < board->slots && atomic_exchange(&board->is_below[slot], 0) != 0;
    struct cache_rings *rings = was_below ? board->disk_rings : board->rings;

    if (atomic_fetch_add(&rings->reader_crashes, 1) + 1 >= READER_CRASHES_MAX) {
        atomic_store(&rings->reader_crashes, 0);
        atomic_store(&rings->damage, (atomic_load(&rings->epoch) & ~UINT64_C(1)) + 1);
    }
}

void
cache_board_keeper_crashed(struct cache_board *board)
{
    atomic_store(&board->rings->has_crashed, 1);
    atomic_store(&board->disk_rings->has_crashed, 1);
}
