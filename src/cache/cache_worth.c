/* SPDX-License-Identifier: MIT */
/*
 * cache_worth.c - what is worth keeping. Two parts of the board, both hints that any process may
 * write at any time with relaxed atomics:
 * the door remembers keys that were to be kept lately, two generations of bits, so that what is
 * asked for once and never again takes no place and no time of the keeper;
 * the worths remember what a row costs to make and what it costs to find, measured now and then by
 * those who do it, so that what is made faster than found is not looked up.
 * Invariant: whatever is read here, the answer is the same; only its way differs.
 */
#include "cache_priv.h"

#include <string.h>

enum {
    DOOR_WORDS = 8192, /* 512 Ki bits a generation */
    DOOR_KEYS = 40000, /* in a generation, two bits each: 1 key in 20 seems known falsely at most */
    FREE_PER_S = 1000, /* kept at first sight in a second, by each process */
    DEAR_US = 50,      /* what took so long to make is kept at first sight */
    WORTHS = 128,
    WORTH_WAYS = 4,
    WORTH_NAME_WORDS = 12,
    SAMPLES_MIN = 32, /* before a judgement */
    SMOOTH_SHIFT = 3, /* a new sample counts for an eighth */
    SPIKE_MAX = 4,    /* a sample counts for so many times what was known at most */
    MARGIN = 2,       /* how much cheaper making has to be */
};

struct cache_door {
    atomic_uint generation; /* the lowest bit is the one in use */
    atomic_uint count;      /* keys in it */
    atomic_uint_least64_t bits[2][DOOR_WORDS];
};

struct cache_cost {
    atomic_uint_least32_t ns; /* a row, smoothed */
    atomic_uint_least32_t samples;
};

struct cache_worth {
    _Alignas(CACHE_LINE) atomic_uint_least64_t id; /* 0: free */
    atomic_uint_least64_t name[WORTH_NAME_WORDS];
    struct cache_cost make[CACHE_SHAPES];
    struct cache_cost find[CACHE_SHAPES];
    atomic_uint_least64_t bypassed; /* rows */
};

struct cache_worths {
    struct cache_worth list[WORTHS];
};

/* ---- the door -------------------------------------------------------------------------------- */

size_t
cache_door_bytes(void)
{
    return sizeof(struct cache_door);
}

/* Whether both bits of the hash were set. */
static bool
bits_set(atomic_uint_least64_t *bits, uint64_t hash)
{
    uint64_t places[2] = {hash % (DOOR_WORDS * 64), (hash >> 32) % (DOOR_WORDS * 64)};
    bool were_set = true;

    for (size_t i = 0; i < AUGURY_COUNT(places); i++) {
        uint64_t bit = UINT64_C(1) << (places[i] & 63);
        were_set = (atomic_fetch_or_explicit(&bits[places[i] / 64], bit, memory_order_relaxed) &
                    bit) != 0 &&
                   were_set;
    }
    return were_set;
}

static bool
bits_are_set(atomic_uint_least64_t *bits, uint64_t hash)
{
    uint64_t places[2] = {hash % (DOOR_WORDS * 64), (hash >> 32) % (DOOR_WORDS * 64)};
    bool are_set = true;

    for (size_t i = 0; i < AUGURY_COUNT(places); i++) {
        uint64_t word = atomic_load_explicit(&bits[places[i] / 64], memory_order_relaxed);
        are_set = are_set && (word >> (places[i] & 63) & 1) != 0;
    }
    return are_set;
}

/* One process wins the change of generation; should it die on the way, the next one changes once
 * more. */
static void
door_turn(struct cache_door *door, unsigned generation)
{
    unsigned next = generation + 1;

    if (!atomic_compare_exchange_strong(&door->generation, &generation, next)) {
        return;
    }
    for (size_t i = 0; i < DOOR_WORDS; i++) {
        atomic_store_explicit(&door->bits[next & 1][i], 0, memory_order_relaxed);
    }
    atomic_store_explicit(&door->count, 0, memory_order_relaxed);
}

bool
cache_door_knows(struct cache_door *door, uint64_t hash)
{
    unsigned generation = atomic_load_explicit(&door->generation, memory_order_relaxed);

    if (bits_set(door->bits[generation & 1], hash)) {
        return true;
    }
    if (atomic_fetch_add_explicit(&door->count, 1, memory_order_relaxed) >= DOOR_KEYS) {
        door_turn(door, generation);
        generation++;
        (void)bits_set(door->bits[generation & 1], hash);
    }
    return bits_are_set(door->bits[(generation + 1) & 1], hash);
}

/* A little is free: on a machine with time to spare the second request is answered from the cache,
 * and a flood of keys that never come again is still kept out. */
static bool
budget_take(struct cache *cache)
{
    uint64_t second = clock_mono_coarse_ns() / 1000000000;

    if (cache->free_second != second) {
        cache->free_second = second;
        cache->free_left = FREE_PER_S;
    }
    if (cache->free_left == 0) {
        return false;
    }
    cache->free_left--;
    return true;
}

enum cache_admission
cache_admission_of(const char *word)
{
    if (strcmp(word, "always") == 0) {
        return CACHE_ADMIT_ALWAYS;
    }
    return strcmp(word, "second") == 0 ? CACHE_ADMIT_SECOND : CACHE_ADMIT_AUTO;
}

bool
cache_admits(struct cache *cache, const struct cache_item *item)
{
    if (item->admission == CACHE_ADMIT_ALWAYS || cache->board == NULL) {
        return true;
    }
    if (item->admission == CACHE_ADMIT_AUTO && item->cost_us >= DEAR_US) {
        return true;
    }
    return cache_door_knows(cache->board->door, hash64_of(item->key)) ||
           (item->admission == CACHE_ADMIT_AUTO && budget_take(cache));
}

/* ---- worths ---------------------------------------------------------------------------------- */

size_t
cache_worths_bytes(void)
{
    return sizeof(struct cache_worths);
}

/* Takes the line over; who measures there at this moment measures a little for the wrong one. */
static void
worth_reset(struct cache_worth *worth, uint64_t id, struct bytes name)
{
    uint64_t words[WORTH_NAME_WORDS] = {0};

    memcpy(words, name.data, name.len < sizeof(words) ? name.len : sizeof(words));
    for (size_t i = 0; i < WORTH_NAME_WORDS; i++) {
        atomic_store_explicit(&worth->name[i], words[i], memory_order_relaxed);
    }
    for (size_t i = 0; i < CACHE_SHAPES; i++) {
        atomic_store_explicit(&worth->make[i].samples, 0, memory_order_relaxed);
        atomic_store_explicit(&worth->find[i].samples, 0, memory_order_relaxed);
    }
    atomic_store_explicit(&worth->bypassed, 0, memory_order_relaxed);
    atomic_store_explicit(&worth->id, id, memory_order_relaxed);
}

struct cache_worth *
cache_worth_of(struct cache *cache, uint64_t id, struct bytes name)
{
    struct cache_worth *room = NULL;

    if (cache->board == NULL) {
        return NULL;
    }
    id = id != 0 ? id : 1;
    for (size_t way = 0; way < WORTH_WAYS; way++) {
        struct cache_worth *worth = &cache->board->worths->list[(id + way) % WORTHS];
        uint64_t held = atomic_load_explicit(&worth->id, memory_order_relaxed);
        if (held == id) {
            return worth;
        }
        room = room == NULL && held == 0 ? worth : room;
    }
    room = room != NULL ? room : &cache->board->worths->list[id % WORTHS];
    worth_reset(room, id, name);
    return room;
}

/* Two who measure at once lose a sample, no more. */
static void
cost_observe(struct cache_cost *cost, uint64_t ns)
{
    uint32_t samples = atomic_load_explicit(&cost->samples, memory_order_relaxed);
    uint64_t known = atomic_load_explicit(&cost->ns, memory_order_relaxed);
    uint64_t most = samples == 0 ? UINT32_MAX : known * SPIKE_MAX + 1;

    ns = ns < most ? ns : most; /* a process that was put aside is no cost of the work */
    if (samples > 0) {
        ns = (known * ((1 << SMOOTH_SHIFT) - 1) + ns) >> SMOOTH_SHIFT;
    }
    atomic_store_explicit(&cost->ns, (uint32_t)(ns < UINT32_MAX ? ns : UINT32_MAX),
                          memory_order_relaxed);
    atomic_store_explicit(&cost->samples, samples < UINT32_MAX ? samples + 1 : samples,
                          memory_order_relaxed);
}

void
cache_worth_made(struct cache_worth *worth, enum cache_shape shape, uint64_t ns)
{
    cost_observe(&worth->make[shape], ns);
}

void
cache_worth_found(struct cache_worth *worth, enum cache_shape shape, uint64_t ns)
{
    cost_observe(&worth->find[shape], ns);
}

static uint64_t
cost_known(const struct cache_cost *cost)
{
    bool is_known = atomic_load_explicit(&cost->samples, memory_order_relaxed) >= SAMPLES_MIN;

    return is_known ? atomic_load_explicit(&cost->ns, memory_order_relaxed) : 0;
}

uint64_t
cache_worth_make_ns(const struct cache_worth *worth, enum cache_shape shape)
{
    return cost_known(&worth->make[shape]);
}

bool
cache_worth_is_known(const struct cache_worth *worth, enum cache_shape shape)
{
    return cost_known(&worth->make[shape]) > 0 && cost_known(&worth->find[shape]) > 0;
}

bool
cache_worth_is_cheap(const struct cache_worth *worth, enum cache_shape shape)
{
    uint64_t make = cost_known(&worth->make[shape]);
    uint64_t find = cost_known(&worth->find[shape]);

    return make > 0 && find > 0 && make * MARGIN < find;
}

void
cache_worth_bypassed(struct cache_worth *worth, size_t rows)
{
    atomic_fetch_add_explicit(&worth->bypassed, rows, memory_order_relaxed);
}

bool
cache_worth_at(const struct cache *cache, size_t *i, struct cache_worth_row *out_row)
{
    while (cache->board != NULL && *i < WORTHS) {
        const struct cache_worth *worth = &cache->board->worths->list[(*i)++];
        struct cache_worth_row row = {0};
        if (atomic_load_explicit(&worth->id, memory_order_relaxed) == 0) {
            continue;
        }
        for (size_t word = 0; word < WORTH_NAME_WORDS; word++) {
            uint64_t bytes = atomic_load_explicit(&worth->name[word], memory_order_relaxed);
            memcpy(row.name + word * sizeof(bytes), &bytes, sizeof(bytes));
        }
        row.name[sizeof(row.name) - 1] = '\0';
        for (int shape = 0; shape < CACHE_SHAPES; shape++) {
            row.make_ns[shape] = cost_known(&worth->make[shape]);
            row.find_ns[shape] = cost_known(&worth->find[shape]);
            row.is_bypassed[shape] = cache_worth_is_cheap(worth, (enum cache_shape)shape);
        }
        row.bypassed_rows = atomic_load_explicit(&worth->bypassed, memory_order_relaxed);
        *out_row = row;
        return true;
    }
    return false;
}
