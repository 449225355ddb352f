/* SPDX-License-Identifier: MIT */
/*
 * cache_shadow.c - what half and twice the quota would hit: a part of the keys, one in 64 of a
 * large cache, is followed through three S3-FIFO caches of its own, of half, the same and twice the
 * entries that there is room for; keys alone. Workers hand what they look up to the keeper through
 * rings that lose the oldest; the keeper replays them once a second.
 * The sample is by key, so that a cache of n entries is seen as one of n / 64. Entries count as one
 * each, whatever their size. Whether the few keys that are asked for most are in the sample is
 * chance: lookups that it has too many or too few are theirs, and theirs are hits (the correction
 * of SHARDS: Waldspurger et al., FAST 2015, "SHARDS-adj").
 * Invariants: a word in a ring is a key and nothing more; a simulated cache has room for SIM_MAX
 * keys, and a sparser sample is taken before they are more.
 */
#include "cache_priv.h"

#include <stdlib.h>
#include <string.h>

enum {
    RING = 4096, /* lookups a slot that wait */
    BITS_MIN = 3,
    BITS_USUAL = 6,
    BITS_MAX = 16,
    SIM_MIN = 1024, /* keys of the middle cache: with fewer the sample becomes denser */
    SIM_MAX = 1 << 15,
    SAMPLE_SHIFT = 40,      /* which bits of lo decide; others choose buckets */
    COUNTS_HALVE = 1 << 17, /* lookups after which all counts are halved: old ones fade */
    COUNTS_LEAST = 1000,    /* before that nothing is shown */
    SMALL_SHARE = 10,
    MOVE_COUNT = 2,
    COUNT_MAX = 3,
    SIMS = 3,
};

/* ---- on the board -------------------------------------------------------------------------- */

struct shadow_ring {
    _Alignas(CACHE_LINE) atomic_uint_least64_t head; /* lookups ever handed in; its process's */
    atomic_uint_least32_t total; /* of that process, those that are not in the sample too */
    atomic_uint_least64_t keys[RING];
};

struct cache_shadow_board {
    unsigned slots;
    atomic_uint bits;           /* 1 key in 1 << bits */
    atomic_uint lookups;        /* that the ratios rest on; 0: not known */
    atomic_uint hits[SIMS];     /* of 10,000 */
    struct shadow_ring rings[]; /* one a slot */
};

size_t
cache_shadow_bytes(unsigned slots)
{
    return sizeof(struct cache_shadow_board) + slots * sizeof(struct shadow_ring);
}

struct cache_shadow_board *
cache_shadow_attach(void *shared_memory, unsigned slots)
{
    struct cache_shadow_board *board = shared_memory;

    board->slots = slots;
    atomic_store(&board->bits, BITS_USUAL);
    return board;
}

static bool
is_sampled(uint64_t lo, unsigned bits)
{
    return (lo >> SAMPLE_SHIFT & ((UINT64_C(1) << bits) - 1)) == 0;
}

void
cache_shadow_look(struct cache_shadow_board *board, unsigned slot, uint64_t lo, uint32_t total)
{
    if (!is_sampled(lo, atomic_load_explicit(&board->bits, memory_order_relaxed))) {
        return;
    }
    struct shadow_ring *ring = &board->rings[slot];
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    atomic_store_explicit(&ring->keys[head % RING], lo, memory_order_relaxed);
    atomic_store_explicit(&ring->total, total, memory_order_relaxed);
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

bool
cache_shadow_read(const struct cache_board *board, double *out_half, double *out_same,
                  double *out_twice)
{
    const struct cache_shadow_board *shadow = board->shadow;

    if (atomic_load_explicit(&shadow->lookups, memory_order_acquire) == 0) {
        return false;
    }
    *out_half = atomic_load_explicit(&shadow->hits[0], memory_order_relaxed) / 1e4;
    *out_same = atomic_load_explicit(&shadow->hits[1], memory_order_relaxed) / 1e4;
    *out_twice = atomic_load_explicit(&shadow->hits[2], memory_order_relaxed) / 1e4;
    return true;
}

/* ---- one simulated cache ------------------------------------------------------------------- */

enum place { NOWHERE, SMALL, MAIN, GHOST, QUEUES };

struct cell {
    uint64_t key;
    uint8_t place;
    uint8_t count;
};

/* First in, first out; a key whose place is another by now is passed over. */
struct fifo {
    uint64_t *keys; /* QUEUE_ROOM of them */
    uint64_t head, tail;
    size_t live;
};

/* A ghost that is taken leaves its key in the ring: twice the room. */
enum { CELLS = 4 * SIM_MAX, QUEUE_ROOM = 2 * SIM_MAX };

struct sim {
    struct cell *cells; /* CELLS of them, open addressing */
    struct fifo queues[QUEUES];
    size_t room; /* in keys */
    bool has_evicted;
    uint64_t hits;
};

struct cache_shadow {
    struct sim sims[SIMS];
    uint64_t tails[STATS_SLOTS];
    uint32_t totals[STATS_SLOTS];
    uint64_t lookups;
    double all; /* lookups that those are the sample of */
    unsigned bits;
};

static size_t
cell_home(uint64_t key)
{
    return (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) % CELLS;
}

/* The key's cell, or the free one where it would be. */
static struct cell *
cell_of(struct sim *sim, uint64_t key)
{
    size_t at = cell_home(key);

    while (sim->cells[at].place != NOWHERE && sim->cells[at].key != key) {
        at = (at + 1) % CELLS;
    }
    return &sim->cells[at];
}

/* Closes the gap, so that no search ends early. */
static void
cell_free(struct sim *sim, struct cell *cell)
{
    size_t gap = (size_t)(cell - sim->cells);

    for (size_t at = (gap + 1) % CELLS; sim->cells[at].place != NOWHERE; at = (at + 1) % CELLS) {
        size_t home = cell_home(sim->cells[at].key);
        if ((at - home) % CELLS >= (at - gap) % CELLS) {
            sim->cells[gap] = sim->cells[at];
            gap = at;
        }
    }
    sim->cells[gap].place = NOWHERE;
}

/* The oldest key that is in the queue, or NULL. */
static struct cell *
fifo_pop(struct sim *sim, enum place place)
{
    struct fifo *fifo = &sim->queues[place];

    while (fifo->head != fifo->tail) {
        struct cell *cell = cell_of(sim, fifo->keys[fifo->head++ % QUEUE_ROOM]);
        if (cell->place == place) {
            fifo->live--;
            return cell;
        }
    }
    return NULL;
}

static void
fifo_push(struct sim *sim, enum place place, struct cell *cell)
{
    struct fifo *fifo = &sim->queues[place];

    if (fifo->tail - fifo->head == QUEUE_ROOM) {
        struct cell *oldest = fifo_pop(sim, place);
        uint64_t key = cell->key;
        if (oldest != NULL && oldest != cell) {
            cell_free(sim, oldest);
            cell = cell_of(sim, key); /* it may have moved */
        }
    }
    fifo->keys[fifo->tail++ % QUEUE_ROOM] = cell->key;
    fifo->live++;
    cell->place = (uint8_t)place;
}

static void
ghost_add(struct sim *sim, struct cell *cell)
{
    fifo_push(sim, GHOST, cell);
    while (sim->queues[GHOST].live > sim->room - sim->room / SMALL_SHARE) {
        struct cell *oldest = fifo_pop(sim, GHOST);
        if (oldest == NULL) {
            return;
        }
        cell_free(sim, oldest);
    }
}

/* true: one went. */
static bool
evict_small(struct sim *sim)
{
    struct cell *cell;

    while ((cell = fifo_pop(sim, SMALL)) != NULL) {
        if (cell->count < MOVE_COUNT) {
            ghost_add(sim, cell);
            return true;
        }
        cell->count = 0;
        fifo_push(sim, MAIN, cell);
    }
    return false;
}

static void
evict_main(struct sim *sim)
{
    struct cell *cell;

    while ((cell = fifo_pop(sim, MAIN)) != NULL) {
        if (cell->count == 0) {
            cell_free(sim, cell);
            return;
        }
        cell->count--;
        fifo_push(sim, MAIN, cell);
    }
}

static void
sim_make_room(struct sim *sim)
{
    const struct fifo *small = &sim->queues[SMALL], *main = &sim->queues[MAIN];

    while (small->live + main->live + 1 > sim->room) {
        sim->has_evicted = true;
        if (main->live > sim->room - sim->room / SMALL_SHARE || !evict_small(sim)) {
            evict_main(sim);
        }
    }
}

static void
sim_look(struct sim *sim, uint64_t key)
{
    struct cell *cell = cell_of(sim, key);

    if (cell->place == SMALL || cell->place == MAIN) {
        cell->count = cell->count < COUNT_MAX ? (uint8_t)(cell->count + 1) : cell->count;
        sim->hits++;
        return;
    }
    bool was_here = cell->place == GHOST;
    if (was_here) {
        sim->queues[GHOST].live--;
        cell_free(sim, cell);
    }
    sim_make_room(sim);
    bool is_full = sim->queues[SMALL].live >= sim->room / SMALL_SHARE;
    cell = cell_of(sim, key);
    *cell = (struct cell){.key = key};
    fifo_push(sim, was_here || (!sim->has_evicted && is_full) ? MAIN : SMALL, cell);
}

/* ---- the keeper's -------------------------------------------------------------------------- */

void
cache_shadow_free(struct cache_shadow **shadow)
{
    if (*shadow == NULL) {
        return;
    }
    for (size_t i = 0; i < SIMS; i++) {
        free((*shadow)->sims[i].cells);
        for (int queue = SMALL; queue < QUEUES; queue++) {
            free((*shadow)->sims[i].queues[queue].keys);
        }
    }
    free(*shadow);
    *shadow = NULL;
}

struct cache_shadow *
cache_shadow_new(void)
{
    struct cache_shadow *shadow = calloc(1, sizeof(*shadow));
    bool good = shadow != NULL;

    for (size_t i = 0; good && i < SIMS; i++) {
        shadow->sims[i].cells = calloc(CELLS, sizeof(struct cell));
        good = shadow->sims[i].cells != NULL;
        for (int queue = SMALL; good && queue < QUEUES; queue++) {
            shadow->sims[i].queues[queue].keys = calloc(QUEUE_ROOM, sizeof(uint64_t));
            good = shadow->sims[i].queues[queue].keys != NULL;
        }
    }
    if (!good) {
        cache_shadow_free(&shadow);
        return NULL;
    }
    shadow->bits = BITS_USUAL;
    return shadow;
}

/* Another sample knows other keys: all begins anew. */
static void
shadow_reset(struct cache_shadow *shadow, struct cache_shadow_board *board, unsigned bits)
{
    for (size_t i = 0; i < SIMS; i++) {
        struct sim *sim = &shadow->sims[i];
        memset(sim->cells, 0, CELLS * sizeof(struct cell));
        for (int queue = SMALL; queue < QUEUES; queue++) {
            struct fifo *fifo = &sim->queues[queue];
            fifo->head = fifo->tail = fifo->live = 0;
        }
        sim->has_evicted = false;
        sim->hits = 0;
    }
    shadow->lookups = 0;
    shadow->all = 0.0;
    shadow->bits = bits;
    atomic_store(&board->lookups, 0);
    atomic_store(&board->bits, bits);
}

/* As many keys as the sample's part of the entries that there is room for. */
static void
shadow_fit(struct cache_shadow *shadow, struct cache_shadow_board *board, uint64_t entries)
{
    unsigned bits = shadow->bits;

    while (bits > BITS_MIN && entries >> bits < SIM_MIN) {
        bits--;
    }
    while (bits < BITS_MAX && entries >> bits > SIM_MAX / 2) {
        bits++;
    }
    if (bits != shadow->bits || atomic_load(&board->bits) != bits) {
        shadow_reset(shadow, board, bits);
    }
    for (size_t i = 0; i < SIMS; i++) {
        uint64_t room = (entries << i >> 1) >> bits;
        shadow->sims[i].room = room < 2 ? 2 : room > SIM_MAX ? SIM_MAX : (size_t)room;
    }
}

/* Lookups of the slot since the last time; a new process begins at nothing. */
static uint32_t
total_since(struct cache_shadow *shadow, const struct shadow_ring *ring, unsigned slot)
{
    uint32_t total = atomic_load_explicit(&ring->total, memory_order_relaxed);
    uint32_t since = total >= shadow->totals[slot] ? total - shadow->totals[slot] : total;

    shadow->totals[slot] = total;
    return since;
}

static void
ring_replay(struct cache_shadow *shadow, struct cache_shadow_board *board, unsigned slot)
{
    struct shadow_ring *ring = &board->rings[slot];
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    uint64_t tail = shadow->tails[slot];
    uint64_t handed_in = head - tail;

    if (handed_in == 0) {
        return;
    }
    tail = handed_in > RING ? head - RING : tail;
    shadow->all +=
        (double)total_since(shadow, ring, slot) * (double)(head - tail) / (double)handed_in;
    for (; tail != head; tail++) {
        uint64_t key = atomic_load_explicit(&ring->keys[tail % RING], memory_order_relaxed);
        if (!is_sampled(key, shadow->bits)) {
            continue; /* of an earlier, denser sample */
        }
        shadow->lookups++;
        for (size_t i = 0; i < SIMS; i++) {
            sim_look(&shadow->sims[i], key);
        }
    }
    shadow->tails[slot] = tail;
}

static void
ratios_show(struct cache_shadow *shadow, struct cache_shadow_board *board)
{
    if (shadow->lookups >= COUNTS_HALVE) {
        shadow->lookups /= 2;
        shadow->all /= 2;
        for (size_t i = 0; i < SIMS; i++) {
            shadow->sims[i].hits /= 2;
        }
    }
    if (shadow->lookups < COUNTS_LEAST) {
        return;
    }
    double expected = shadow->all / (double)(UINT64_C(1) << shadow->bits);
    double missing = expected - (double)shadow->lookups;
    for (size_t i = 0; i < SIMS; i++) {
        double ratio = ((double)shadow->sims[i].hits + missing) / expected;
        ratio = ratio > 1.0 ? 1.0 : ratio >= 0.0 ? ratio : 0.0;
        atomic_store_explicit(&board->hits[i], (unsigned)(ratio * 10000 + 0.5),
                              memory_order_relaxed);
    }
    atomic_store_explicit(&board->lookups, (unsigned)shadow->lookups, memory_order_release);
}

void
cache_shadow_tick(struct cache_shadow *shadow, struct cache_shadow_board *board, uint64_t entries)
{
    shadow_fit(shadow, board, entries);
    for (unsigned slot = 0; slot < board->slots; slot++) {
        ring_replay(shadow, board, slot);
    }
    ratios_show(shadow, board);
}
