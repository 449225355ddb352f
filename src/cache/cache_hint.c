/* SPDX-License-Identifier: MIT */
/*
 * cache_hint.c - where entries lie, by their lo, in shared memory: a lookup that finds its word
 * needs no walk down the index, whose keys are random and, among a million entries, far away.
 * Words of 16 bits of lo and a place, five to a bucket, and beside each the line of the map where a
 * reader last saw the entry: a bucket is one line of the processor's cache. The keeper writes words
 * with its transactions; nobody removes them. The bucket is named by low bits of lo and the 16
 * begin where those of the smallest table end, so that each word of a table that doubles is known
 * to belong to one half or the other.
 * Invariant: only a hint. The entry at the place must have the key's text, and what is not found so
 * is looked for in the index; a word that is not true any more names a place that is gone, and
 * places are never used again. A line is fetched into the processor's cache while the table is
 * walked to the place, and nothing is read by it.
 */
#include "cache_priv.h"

enum {
    WORDS = 5,     /* a bucket */
    BITS_MIN = 11, /* of buckets */
    BITS_MAX = 25,
    BUCKET_SHIFT = 3, /* the lowest bits of lo, unused; then those of the bucket */
    TAG_SHIFT = BUCKET_SHIFT + BITS_MIN,
    ENTRIES_A_BUCKET = 3, /* at most, on average */
    BYTES_AN_ENTRY = 512, /* of the map: the smallest entries are about so large */
};
static const uint64_t place_mask = (UINT64_C(1) << CACHE_PLACE_BITS) - 1;

struct bucket {
    _Alignas(CACHE_LINE) atomic_uint_least64_t words[WORDS];
    atomic_uint_least32_t nears[WORDS];
};

struct cache_hints {
    unsigned bits_max;
    atomic_uint bits;
    struct bucket buckets[];
};

/* So many buckets that few overflow. */
static unsigned
bits_for(uint64_t entries)
{
    unsigned bits = BITS_MIN;

    while (bits < BITS_MAX && ((uint64_t)ENTRIES_A_BUCKET << bits) < entries) {
        bits++;
    }
    return bits;
}

size_t
cache_hints_bytes(size_t map_bytes)
{
    return sizeof(struct cache_hints) +
           (sizeof(struct bucket) << bits_for(map_bytes / BYTES_AN_ENTRY));
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
    return (uint64_t)sizeof(struct bucket)
           << atomic_load_explicit(&hints->bits, memory_order_relaxed);
}

static struct bucket *
bucket_of(struct cache_hints *hints, uint64_t lo)
{
    unsigned bits = atomic_load_explicit(&hints->bits, memory_order_acquire);
    return &hints->buckets[lo >> BUCKET_SHIFT & ((UINT64_C(1) << bits) - 1)];
}

static uint64_t
word_of(uint64_t lo, uint64_t place)
{
    return lo >> TAG_SHIFT << CACHE_PLACE_BITS | place;
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
cache_hint_find(struct cache_hints *hints, uint64_t lo, atomic_uint_least32_t **out_near)
{
    struct bucket *bucket = bucket_of(hints, lo);

    for (size_t i = 0; i < WORDS; i++) {
        uint64_t word = atomic_load_explicit(&bucket->words[i], memory_order_relaxed);
        if (is_word_of(word, lo)) {
            *out_near = &bucket->nears[i];
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

static void
hint_set(struct bucket *bucket, size_t i, uint64_t word, uint32_t near)
{
    atomic_store_explicit(&bucket->nears[i], near, memory_order_relaxed);
    atomic_store_explicit(&bucket->words[i], word, memory_order_relaxed);
}

void
cache_hint_put(struct cache_hints *hints, uint64_t lo, uint64_t place)
{
    if (hints == NULL) {
        return;
    }
    struct bucket *bucket = bucket_of(hints, lo);
    uint64_t next_seq = cache_place_seq(place) + 1, age_most = 0;
    size_t oldest = 0;

    for (size_t i = 0; i < WORDS; i++) {
        uint64_t word = atomic_load_explicit(&bucket->words[i], memory_order_relaxed);
        if (is_word_of(word, lo)) {
            oldest = i;
            break;
        }
        if (age_of(word, next_seq) > age_most) {
            age_most = age_of(word, next_seq);
            oldest = i;
        }
    }
    hint_set(bucket, oldest, word_of(lo, place), 0);
}

/* Copies to the bucket above what belongs there when the table doubles; to NULL: removes it. */
static void
bucket_move(struct bucket *from, struct bucket *to, unsigned bits)
{
    for (size_t i = 0; i < WORDS; i++) {
        uint64_t word = atomic_load_explicit(&from->words[i], memory_order_relaxed);
        bool is_above = (word >> CACHE_PLACE_BITS >> (bits - BITS_MIN) & 1) != 0;
        if (is_above && to != NULL) {
            hint_set(to, i, word, atomic_load_explicit(&from->nears[i], memory_order_relaxed));
        } else if (is_above) {
            hint_set(from, i, 0, 0);
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
        size_t count = (size_t)1 << bits;
        for (size_t i = 0; i < count; i++) {
            bucket_move(&hints->buckets[i], &hints->buckets[count + i], bits);
        }
        atomic_store_explicit(&hints->bits, bits + 1, memory_order_release);
        for (size_t i = 0; i < count; i++) {
            bucket_move(&hints->buckets[i], NULL, bits);
        }
    }
}
