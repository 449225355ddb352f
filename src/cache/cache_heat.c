/* SPDX-License-Identifier: MIT */
/*
 * cache_heat.c - which entries have been asked for lately, and which were let go of lately: what
 * the eviction decides by, in shared memory, so that it outlives the keeper.
 * Counters: words of 14 bits of a key's lo and a count of 0 to 3, four to a bucket, those of count
 * 0 free. A hit of any process raises its own by a plain load and store: two at once may count as
 * one. A hit that finds no free word in a full bucket lowers all that are there, so that what
 * nobody asks for any more fades. Nothing is wrong then, only judged a little less well. (Counters
 * without the 14 bits, shared by chance, cost half a point of hit ratio: every new key clears
 * somebody's.)
 * Ghosts: fingerprints of the entries that were last let go of, first in, first out; the keeper's
 * alone. A bucket of eight, and a bit for each number given out, whether it still counts.
 * Both tables begin small and double; a doubled table begins as two copies of the old one, so that
 * nothing is forgotten. A keeper killed in here leaves at worst some hints wrong: every index is
 * masked, every loop ends.
 */
#include "cache_priv.h"

#include <string.h>

enum {
    COUNTERS_AN_ENTRY = 2,
    COUNTERS = 4, /* a bucket */
    COUNT_MAX = 3,
    TAG_SHIFT = 50, /* the highest 14 bits of lo */
    BITS_MIN = 14,  /* of counters, and of ghosts */
    BITS_MAX = 28,
    WAYS = 8,
    BYTES_AN_ENTRY = 512, /* of the map: the smallest entries are about so large */
};

struct ghost {
    uint32_t print;
    uint32_t number;
};

struct cache_heat {
    unsigned counter_bits_max;
    unsigned ghost_bits_max;
    atomic_uint counter_bits;
    unsigned ghost_bits;
    uint32_t newest; /* number given out last */
    uint32_t oldest; /* this one and all before it count no more */
    uint32_t live;
};

static unsigned
bits_of(uint64_t count)
{
    unsigned bits = BITS_MIN;

    while (bits < BITS_MAX && (UINT64_C(1) << bits) < count) {
        bits++;
    }
    return bits;
}

static size_t
header_bytes(void)
{
    return (sizeof(struct cache_heat) + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
}

static unsigned
counter_bits_max(size_t map_bytes)
{
    return bits_of((uint64_t)map_bytes / BYTES_AN_ENTRY * COUNTERS_AN_ENTRY);
}

/* A quarter more than entries: few buckets overflow then. */
static uint64_t
ghost_slots(uint64_t entries)
{
    return entries + entries / 4;
}

static unsigned
ghost_bits_max(size_t map_bytes)
{
    return bits_of(ghost_slots((uint64_t)map_bytes / BYTES_AN_ENTRY));
}

/* Two numbers a ghost have a bit: those taken early leave gaps. */
static size_t
live_bytes(unsigned ghost_bits)
{
    return (size_t)2 << ghost_bits >> 3;
}

size_t
cache_heat_bytes(size_t map_bytes)
{
    unsigned ghosts = ghost_bits_max(map_bytes);

    return header_bytes() + ((size_t)2 << counter_bits_max(map_bytes)) +
           (sizeof(struct ghost) << ghosts) + live_bytes(ghosts);
}

struct cache_heat *
cache_heat_attach(void *shared_memory, size_t map_bytes)
{
    struct cache_heat *heat = shared_memory;

    heat->counter_bits_max = counter_bits_max(map_bytes);
    heat->ghost_bits_max = ghost_bits_max(map_bytes);
    heat->ghost_bits = BITS_MIN;
    atomic_store(&heat->counter_bits, BITS_MIN);
    return heat;
}

/* ---- counters ------------------------------------------------------------------------------ */

static atomic_ushort *
counters_of(struct cache_heat *heat)
{
    return (atomic_ushort *)((uint8_t *)heat + header_bytes());
}

static atomic_ushort *
counters_at(struct cache_heat *heat, uint64_t lo)
{
    unsigned bits = atomic_load_explicit(&heat->counter_bits, memory_order_relaxed);
    uint64_t mask = (UINT64_C(1) << bits) - 1;

    return counters_of(heat) + (lo & mask & ~(uint64_t)(COUNTERS - 1));
}

/* The word with lo's bits and a count of 0. */
static unsigned
word_of(uint64_t lo)
{
    return (unsigned)(lo >> TAG_SHIFT) << 2;
}

static unsigned
word_get(atomic_ushort *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void
word_set(atomic_ushort *word, unsigned value)
{
    atomic_store_explicit(word, (unsigned short)value, memory_order_relaxed);
}

/* lo's word when it counts, else NULL; *out_free: one that is free, or NULL. */
static atomic_ushort *
word_find(struct cache_heat *heat, uint64_t lo, atomic_ushort **out_free)
{
    atomic_ushort *words = counters_at(heat, lo);
    unsigned mine = word_of(lo);

    *out_free = NULL;
    for (size_t i = 0; i < COUNTERS; i++) {
        unsigned word = word_get(&words[i]);
        if ((word & COUNT_MAX) == 0) {
            *out_free = &words[i];
        } else if ((word ^ mine) <= COUNT_MAX) {
            return &words[i];
        }
    }
    return NULL;
}

void
cache_heat_prefetch(struct cache_heat *heat, uint64_t lo)
{
    __builtin_prefetch(counters_at(heat, lo), 1);
}

void
cache_heat_touch(struct cache_heat *heat, uint64_t lo)
{
    atomic_ushort *free, *word = word_find(heat, lo, &free);

    if (word != NULL) {
        unsigned value = word_get(word);
        if ((value & COUNT_MAX) < COUNT_MAX) {
            word_set(word, value + 1);
        }
        return;
    }
    if (free != NULL) {
        word_set(free, word_of(lo) | 1);
        return;
    }
    word = counters_at(heat, lo);
    for (size_t i = 0; i < COUNTERS; i++) {
        unsigned value = word_get(&word[i]);
        word_set(&word[i], value - ((value & COUNT_MAX) > 0 ? 1 : 0));
    }
}

unsigned
cache_heat_of(struct cache_heat *heat, uint64_t lo)
{
    atomic_ushort *free, *word = heat == NULL ? NULL : word_find(heat, lo, &free);

    return word == NULL ? 0 : word_get(word) & COUNT_MAX;
}

void
cache_heat_set(struct cache_heat *heat, uint64_t lo, unsigned count)
{
    atomic_ushort *free, *word = heat == NULL ? NULL : word_find(heat, lo, &free);

    if (word != NULL) {
        word_set(word, word_of(lo) | count);
    } else if (heat != NULL && free != NULL && count > 0) {
        word_set(free, word_of(lo) | count);
    }
}

/* ---- ghosts -------------------------------------------------------------------------------- */

static struct ghost *
ghosts_of(struct cache_heat *heat)
{
    return (struct ghost *)((uint8_t *)counters_of(heat) + ((size_t)2 << heat->counter_bits_max));
}

static struct ghost *
bucket_of(struct cache_heat *heat, uint64_t lo)
{
    uint64_t mask = (UINT64_C(1) << heat->ghost_bits) - 1;
    return ghosts_of(heat) + (lo & mask & ~(uint64_t)(WAYS - 1));
}

/* The byte and the bit that say whether a number still counts. */
static uint8_t *
live_byte(struct cache_heat *heat, uint32_t number, uint8_t *out_bit)
{
    uint8_t *live = (uint8_t *)(ghosts_of(heat) + ((size_t)1 << heat->ghost_bits_max));
    uint32_t at = number & ((UINT32_C(2) << heat->ghost_bits_max) - 1);

    *out_bit = (uint8_t)(1u << (at & 7));
    return &live[at >> 3];
}

static bool
is_live(struct cache_heat *heat, uint32_t number)
{
    uint8_t bit;

    return number - heat->oldest - 1 < heat->newest - heat->oldest &&
           (*live_byte(heat, number, &bit) & bit) != 0;
}

static void
lay_down(struct cache_heat *heat, uint32_t number)
{
    uint8_t bit;
    uint8_t *byte = live_byte(heat, number, &bit);

    if ((*byte & bit) != 0) {
        *byte = (uint8_t)(*byte & ~bit);
        heat->live -= heat->live > 0 ? 1 : 0;
    }
}

static struct ghost *
ghost_find(struct cache_heat *heat, uint64_t lo)
{
    struct ghost *bucket = bucket_of(heat, lo);

    for (size_t i = 0; i < WAYS; i++) {
        if (bucket[i].print == (uint32_t)(lo >> 32) && is_live(heat, bucket[i].number)) {
            return &bucket[i];
        }
    }
    return NULL;
}

bool
cache_ghost_take(struct cache_heat *heat, uint64_t lo)
{
    struct ghost *ghost = heat == NULL ? NULL : ghost_find(heat, lo);

    if (ghost == NULL) {
        return false;
    }
    lay_down(heat, ghost->number);
    return true;
}

/* A free place of the bucket, or its oldest. */
static struct ghost *
place_for(struct cache_heat *heat, uint64_t lo)
{
    struct ghost *bucket = bucket_of(heat, lo);
    struct ghost *oldest = bucket;

    for (size_t i = 0; i < WAYS; i++) {
        if (!is_live(heat, bucket[i].number)) {
            return &bucket[i];
        }
        if (heat->newest - bucket[i].number > heat->newest - oldest->number) {
            oldest = &bucket[i];
        }
    }
    lay_down(heat, oldest->number);
    return oldest;
}

void
cache_ghost_add(struct cache_heat *heat, uint64_t lo, uint64_t most)
{
    uint8_t bit;

    if (heat == NULL || ghost_find(heat, lo) != NULL) {
        return;
    }
    struct ghost *ghost = place_for(heat, lo);
    uint32_t number = ++heat->newest;
    uint8_t *byte = live_byte(heat, number, &bit);
    *byte |= bit;
    heat->live++;
    *ghost = (struct ghost){.print = (uint32_t)(lo >> 32), .number = number};
    uint32_t span = UINT32_C(2) << heat->ghost_bits_max;
    while (heat->oldest != heat->newest &&
           (heat->live > most || heat->newest - heat->oldest >= span)) {
        lay_down(heat, ++heat->oldest);
    }
}

/* ---- growth -------------------------------------------------------------------------------- */

void
cache_heat_fit(struct cache_heat *heat, uint64_t entries)
{
    unsigned bits = atomic_load_explicit(&heat->counter_bits, memory_order_relaxed);

    while (bits < heat->counter_bits_max && (UINT64_C(1) << bits) < entries * COUNTERS_AN_ENTRY) {
        atomic_ushort *words = counters_of(heat);
        for (size_t i = 0, count = (size_t)1 << bits; i < count; i++) {
            word_set(&words[count + i], word_get(&words[i]));
        }
        atomic_store_explicit(&heat->counter_bits, ++bits, memory_order_release);
    }
    while (heat->ghost_bits < heat->ghost_bits_max &&
           (UINT64_C(1) << heat->ghost_bits) < ghost_slots(entries)) {
        struct ghost *ghosts = ghosts_of(heat);
        size_t count = (size_t)1 << heat->ghost_bits;
        memcpy(ghosts + count, ghosts, count * sizeof(*ghosts));
        heat->ghost_bits++;
    }
}

uint64_t
cache_heat_used_bytes(const struct cache_heat *heat)
{
    unsigned bits = atomic_load_explicit(&heat->counter_bits, memory_order_relaxed);

    return (UINT64_C(2) << bits) + (sizeof(struct ghost) << heat->ghost_bits) +
           live_bytes(heat->ghost_bits);
}
