/* SPDX-License-Identifier: MIT */
/*
 * cache_hint.c - where entries lie, by their lo, in shared memory: a lookup that finds its word
 * needs no walk down the index, whose keys are random and, among a million entries, far away.
 * Words of 16 bits of lo and a place, eight to a bucket: one line of the processor's cache. The
 * keeper writes them with its transactions; nobody removes them. The bucket is named by the lowest
 * bits of lo and the 16 begin where those of the smallest table end, so that each word of a table
 * that doubles is known to belong to one half or the other.
 * Invariant: only a hint. The entry at the place must have the key's text, and what is not found so
 * is looked for in the index; a word that is not true any more names a place that is gone, and
 * places are never used again.
 */
#include "cache_priv.h"

enum {
    WORDS = 8, /* a bucket */
    BITS_MIN = 14,
    BITS_MAX = 28,
    BYTES_AN_ENTRY = 512, /* of the map: the smallest entries are about so large */
};
static const uint64_t place_mask = (UINT64_C(1) << CACHE_PLACE_BITS) - 1;

struct cache_hints {
    unsigned bits_max;
    atomic_uint bits;
    _Alignas(CACHE_LINE) atomic_uint_least64_t words[];
};

/* A quarter more than entries: few buckets overflow then. */
static unsigned
bits_for(uint64_t entries)
{
    unsigned bits = BITS_MIN;

    while (bits < BITS_MAX && (UINT64_C(1) << bits) < entries + entries / 4) {
        bits++;
    }
    return bits;
}

size_t
cache_hints_bytes(size_t map_bytes)
{
    return sizeof(struct cache_hints) +
           (sizeof(atomic_uint_least64_t) << bits_for(map_bytes / BYTES_AN_ENTRY));
}

struct cache_hints *
cache_hints_attach(void *shared_memory, size_t map_bytes)
{
    struct cache_hints *hints = shared_memory;

    hints->bits_max = bits_for(map_bytes / BYTES_AN_ENTRY);
    atomic_store(&hints->bits, BITS_MIN);
    return hints;
}

uint64_t
cache_hints_used_bytes(const struct cache_hints *hints)
{
    return (uint64_t)sizeof(uint64_t) << atomic_load_explicit(&hints->bits, memory_order_relaxed);
}

static atomic_uint_least64_t *
bucket_of(struct cache_hints *hints, uint64_t lo)
{
    unsigned bits = atomic_load_explicit(&hints->bits, memory_order_acquire);
    return &hints->words[lo & ((UINT64_C(1) << bits) - 1) & ~(uint64_t)(WORDS - 1)];
}

static uint64_t
word_of(uint64_t lo, uint64_t place)
{
    return lo >> BITS_MIN << CACHE_PLACE_BITS | place;
}

static bool
is_word_of(uint64_t word, uint64_t lo)
{
    return word != 0 && (word ^ word_of(lo, 0)) <= place_mask;
}

void
cache_hint_prefetch(struct cache_hints *hints, uint64_t lo)
{
    __builtin_prefetch(bucket_of(hints, lo));
}

uint64_t
cache_hint_find(struct cache_hints *hints, uint64_t lo)
{
    atomic_uint_least64_t *words = bucket_of(hints, lo);

    for (size_t i = 0; i < WORDS; i++) {
        uint64_t word = atomic_load_explicit(&words[i], memory_order_relaxed);
        if (is_word_of(word, lo)) {
            return word & place_mask;
        }
    }
    return 0;
}

/* How long ago a word was written, in seqs. */
static uint64_t
age_of(uint64_t word, uint64_t next_seq)
{
    return word == 0 ? UINT64_MAX : next_seq - cache_place_seq(word & place_mask);
}

void
cache_hint_put(struct cache_hints *hints, uint64_t lo, uint64_t place)
{
    if (hints == NULL) {
        return;
    }
    atomic_uint_least64_t *words = bucket_of(hints, lo), *oldest = &words[0];
    uint64_t next_seq = cache_place_seq(place) + 1, age_most = 0;

    for (size_t i = 0; i < WORDS; i++) {
        uint64_t word = atomic_load_explicit(&words[i], memory_order_relaxed);
        if (is_word_of(word, lo)) {
            oldest = &words[i];
            break;
        }
        if (age_of(word, next_seq) > age_most) {
            age_most = age_of(word, next_seq);
            oldest = &words[i];
        }
    }
    atomic_store_explicit(oldest, word_of(lo, place), memory_order_relaxed);
}

/* upper 1: copies what belongs to the upper half of the doubled table; 0: removes it below. */
static void
half_move(struct cache_hints *hints, unsigned bits, unsigned upper)
{
    size_t count = (size_t)1 << bits;

    for (size_t i = 0; i < count; i++) {
        uint64_t word = atomic_load_explicit(&hints->words[i], memory_order_relaxed);
        bool is_above = (word >> CACHE_PLACE_BITS >> (bits - BITS_MIN) & 1) != 0;
        if (is_above) {
            atomic_store_explicit(&hints->words[upper != 0 ? count + i : i], upper != 0 ? word : 0,
                                  memory_order_relaxed);
        }
    }
}

void
cache_hints_fit(struct cache_hints *hints, uint64_t entries)
{
    unsigned bits = atomic_load_explicit(&hints->bits, memory_order_relaxed);
    unsigned wanted = bits_for(entries);

    for (; bits < wanted && bits < hints->bits_max; bits++) {
        /* Readers go on in the lower half until the upper one is filled; it is cleared after. */
        half_move(hints, bits, 1);
        atomic_store_explicit(&hints->bits, bits + 1, memory_order_release);
        half_move(hints, bits, 0);
    }
}
