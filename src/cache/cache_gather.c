/* SPDX-License-Identifier: MIT */
/*
 * cache_gather.c - records of all rings, in the order in which they were put. A client whose worker
 * was killed asks another one: what the dead one left in its ring comes before what was ordered
 * after its death, whichever ring the keeper happens to look into first.
 * Invariants: (1) records of one ring come in its order; (2) an order that was put in its ring
 * before another one drew its number comes before that one: numbers are looked at before the rings,
 * and what drew a later one waits for the next group; (3) a number that nobody drew yet is no
 * reason to wait.
 */
#include <stdlib.h>

#include "cache_priv.h"

/* The next record of a ring that has one. */
struct front {
    unsigned slot;
    unsigned bad;  /* passed over before it */
    uint64_t tail; /* behind it */
    struct cache_ring_record record;
};

struct cache_gather {
    uint64_t limit; /* numbers that were drawn before the rings were looked at */
    size_t count;
    struct front fronts[];
};

struct cache_gather *
cache_gather_new(unsigned slots)
{
    return calloc(1, sizeof(struct cache_gather) + slots * sizeof(struct front));
}

/* false: no more for this group; the tail is then behind what was passed over at the end. */
static bool
front_fill(struct cache *cache, struct front *front, unsigned *bad)
{
    struct cache_keeper *keeper = &cache->keeper;

    front->bad = 0;
    front->tail = keeper->tails[front->slot];
    if (cache_ring_peek(cache->rings, front->slot, &front->tail, &front->record, &front->bad) !=
        0) {
        keeper->tails[front->slot] = front->tail;
        *bad += front->bad;
        return false;
    }
    /* Later than the last number that was drawn: not written by cache_ring_put(). */
    if (front->record.number > cache_ring_number(cache->rings)) {
        front->record.number = 0;
    }
    return front->record.number <= keeper->gather->limit;
}

void
cache_gather_begin(struct cache *cache, unsigned *bad)
{
    struct cache_gather *gather = cache->keeper.gather;
    struct cache_rings *rings = cache->rings;

    gather->limit = cache_ring_number(rings);
    gather->count = 0;
    for (unsigned i = 0; i < rings->slots; i++) {
        struct front *front = &gather->fronts[gather->count];
        front->slot = (cache->keeper.next_slot + i) % rings->slots;
        cache->keeper.tails[front->slot] = cache_ring_tail(rings, front->slot);
        gather->count += front_fill(cache, front, bad) ? 1 : 0;
    }
    cache->keeper.next_slot =
        cache->keeper.next_slot + 1 < rings->slots ? cache->keeper.next_slot + 1 : 0;
}

bool
cache_gather_next(struct cache *cache, struct cache_ring_record *out_record, unsigned *bad)
{
    struct cache_gather *gather = cache->keeper.gather;
    size_t first = 0;

    if (gather->count == 0) {
        return false;
    }
    for (size_t i = 1; i < gather->count; i++) {
        if (gather->fronts[i].record.number < gather->fronts[first].record.number) {
            first = i;
        }
    }
    struct front *front = &gather->fronts[first];
    *out_record = front->record;
    *bad += front->bad;
    cache->keeper.tails[front->slot] = front->tail;
    if (!front_fill(cache, front, bad)) {
        *front = gather->fronts[--gather->count];
    }
    return true;
}
