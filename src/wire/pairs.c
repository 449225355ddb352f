/* SPDX-License-Identifier: MIT */
/*
 * pairs.c - finds a key that an object holds twice.
 * Few keys are compared pairwise behind a 64-bit sieve. More go through a hash table; as its hash
 * has no secret, a document can be written whose keys collide, so a long probe gives up and the
 * keys are sorted instead.
 */
#include "decode.h"

#include <string.h>

enum { PAIRS_FEW = 16, PAIRS_PROBE_MAX = 32 };

struct slot {
    uint32_t hash;
    uint32_t index_plus_1; /* 0: empty */
};

static bool
keys_equal(const struct wire_pair *a, const struct wire_pair *b)
{
    return a->key.len == b->key.len && memcmp(a->key.data, b->key.data, a->key.len) == 0;
}

/* A guess at the key in 6 bits: most different keys differ in it. */
static unsigned
sieve_bit(const struct wire_pair *pair)
{
    size_t len = pair->key.len;

    if (len == 0) {
        return 0;
    }
    unsigned mixed = pair->key.data[len - 1] * 13u + pair->key.data[len / 2] * 7u +
                     pair->key.data[0] * 3u + (unsigned)len;
    return mixed & 63;
}

static int
check_few(const struct wire_pair *pairs, uint32_t count, uint32_t *out_index)
{
    uint64_t seen = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t bit = UINT64_C(1) << sieve_bit(&pairs[i]);
        for (uint32_t k = 0; (seen & bit) != 0 && k < i; k++) {
            if (keys_equal(&pairs[k], &pairs[i])) {
                *out_index = i;
                return AUGURY_ERR_EXISTS;
            }
        }
        seen |= bit;
    }
    return 0;
}

static int
compare_keys(const struct wire_pair *a, const struct wire_pair *b)
{
    if (a->key.len != b->key.len) {
        return a->key.len < b->key.len ? -1 : 1;
    }
    return memcmp(a->key.data, b->key.data, a->key.len);
}

/* Merges the runs [0, half) and [half, count) of from into to. */
static void
merge_runs(const struct wire_pair *pairs, const uint32_t *from, uint32_t half, uint32_t count,
           uint32_t *to)
{
    uint32_t left = 0;
    uint32_t right = half;

    for (uint32_t i = 0; i < count; i++) {
        bool take_left = right == count || (left < half && compare_keys(&pairs[from[left]],
                                                                        &pairs[from[right]]) <= 0);
        to[i] = take_left ? from[left++] : from[right++];
    }
}

/* Stable merge sort of the indices, from the bottom up; qsort() may call malloc. */
static const uint32_t *
sort_indices(const struct wire_pair *pairs, uint32_t count, uint32_t *order, uint32_t *spare)
{
    for (uint32_t i = 0; i < count; i++) {
        order[i] = i;
    }
    for (uint64_t width = 1; width < count; width *= 2) {
        for (uint64_t at = 0; at < count; at += 2 * width) {
            uint32_t run = (uint32_t)(count - at < 2 * width ? count - at : 2 * width);
            uint32_t half = (uint32_t)(run < width ? run : width);
            merge_runs(pairs, order + at, half, run, spare + at);
        }
        uint32_t *sorted = spare;
        spare = order;
        order = sorted;
    }
    return order;
}

static int
check_by_sorting(struct arena *arena, const struct wire_pair *pairs, uint32_t count,
                 uint32_t *out_index)
{
    uint32_t *room = arena_alloc(arena, 2 * (size_t)count * sizeof(*room));

    if (room == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    const uint32_t *order = sort_indices(pairs, count, room, room + count);
    for (uint32_t i = 1; i < count; i++) {
        if (keys_equal(&pairs[order[i - 1]], &pairs[order[i]])) {
            *out_index = order[i];
            return AUGURY_ERR_EXISTS;
        }
    }
    return 0;
}

/* 0 done, AUGURY_MORE when the probe is too long to be chance. */
static int
slot_insert(struct slot *slots, size_t mask, const struct wire_pair *pairs, uint32_t i)
{
    uint64_t hash = hash64_of(pairs[i].key);
    uint32_t tag = (uint32_t)(hash >> 32);

    for (size_t probe = 0; probe < PAIRS_PROBE_MAX; probe++) {
        struct slot *slot = &slots[(hash + probe) & mask];
        if (slot->index_plus_1 == 0) {
            *slot = (struct slot){.hash = tag, .index_plus_1 = i + 1};
            return 0;
        }
        if (slot->hash == tag && keys_equal(&pairs[slot->index_plus_1 - 1], &pairs[i])) {
            return AUGURY_ERR_EXISTS;
        }
    }
    return AUGURY_MORE;
}

static int
check_by_hashing(struct arena *arena, const struct wire_pair *pairs, uint32_t count,
                 uint32_t *out_index)
{
    size_t size = 4 * PAIRS_FEW;

    while (size < 2 * (size_t)count) {
        size *= 2;
    }
    struct slot *slots = arena_zalloc(arena, size, sizeof(*slots));
    if (slots == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        int rc = slot_insert(slots, size - 1, pairs, i);
        if (rc == AUGURY_MORE) {
            return check_by_sorting(arena, pairs, count, out_index);
        }
        if (rc != 0) {
            *out_index = i;
            return rc;
        }
    }
    return 0;
}

int
pairs_check_unique(struct arena *arena, const struct wire_pair *pairs, uint32_t count,
                   uint32_t *out_index)
{
    if (count <= PAIRS_FEW) {
        return check_few(pairs, count, out_index);
    }
    size_t mark = arena->used;
    int rc = check_by_hashing(arena, pairs, count, out_index);
    if (arena->used > arena->high) {
        arena->high = arena->used;
    }
    arena->used = mark;
    return rc;
}
