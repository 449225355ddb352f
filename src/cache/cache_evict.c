/* SPDX-License-Identifier: MIT */
/*
 * cache_evict.c - which entries are kept: S3-FIFO (Yang and others, "FIFO queues are all you need
 * for cache eviction", SOSP 2023). New entries go to the small queue, a tenth of the cache; those
 * that were asked for at least twice by the time they reach its head move to main, the others are
 * let go and remembered as ghosts; a key that comes back while it is remembered goes to main at
 * once. In main an entry that was asked for goes to the end again, its count one less. Until the
 * cache is full for the first time, what does not fit small goes to main. On disk, which is asked
 * for what memory has let go of, once is enough: the entry comes up into memory, and is not asked
 * for there again soon. Beyond the paper: a
 * dead entry at either head, expired or invalidated, goes first, whatever was asked of it.
 * The queues are the entry tables in the order of their keys. A hit changes a counter
 * (cache_heat.c), never a queue.
 */
#include "cache_priv.h"

#include <string.h>

enum {
    HEADS = 16, /* read at once */
    /* Entries a transaction: bounds its time when the quota falls, and the dirty pages that LMDB
     * keeps for ever. */
    EVICT_MAX = 512,
    /* Entries moved a transaction: so many, and twice the ones that went. Then nothing more is
     * spared. */
    MOVES_FREE = 256,
    MOVES_EACH = 2,
    TRIM_LOOKS = 8,   /* index records looked at for each entry that went: an eighth is dead */
    SMALL_SHARE = 10, /* small is a tenth */
    MOVE_COUNT = 2,   /* hits that take an entry from small to main */
    MOVE_COUNT_DISK = 1,
};

/* The head of a queue, some entries long, as it was when it was read. */
struct head {
    struct cache_entry entries[HEADS];
    size_t at, count;
    uint64_t from_seq;
};

struct evictor {
    struct cache *cache;
    struct store_txn *txn;
    struct cache_state *state;
    struct head heads[CACHE_QUEUE_COUNT];
    uint64_t freed_bytes, gone, moved;
};

/* ---- sizes --------------------------------------------------------------------------------- */

static bool
small_is_full(const struct cache *cache, const struct cache_state *state)
{
    const struct cache_queue_state *small = &state->queues[CACHE_QUEUE_SMALL];
    uint64_t most = cache->keeper.quota_entries;

    return most > 0 ? small->entries >= most / SMALL_SHARE
                    : small->bytes >= state->quota_bytes / SMALL_SHARE;
}

/* Over what small leaves it, of all that there is. */
static bool
main_is_over(const struct cache *cache, const struct cache_state *state)
{
    const struct cache_queue_state *small = &state->queues[CACHE_QUEUE_SMALL];
    const struct cache_queue_state *main = &state->queues[CACHE_QUEUE_MAIN];
    uint64_t most = cache->keeper.quota_entries;
    uint64_t all = small->bytes + main->bytes;

    return most > 0 ? main->entries > most - most / SMALL_SHARE
                    : main->bytes > all - all / SMALL_SHARE;
}

static uint64_t
ghosts_most(const struct cache *cache, const struct cache_state *state)
{
    uint64_t entries = cache->keeper.quota_entries;

    if (entries == 0) {
        entries =
            state->queues[CACHE_QUEUE_SMALL].entries + state->queues[CACHE_QUEUE_MAIN].entries;
    }
    return entries - entries / SMALL_SHARE;
}

enum cache_queue
cache_evict_admit(struct cache *cache, const struct cache_state *state, uint64_t lo)
{
    if (cache->tier == CACHE_TIER_DISK && cache->heat == NULL) {
        return CACHE_QUEUE_SMALL; /* by age alone */
    }
    bool was_here = cache_ghost_take(cache->heat, lo);

    cache_heat_set(cache->heat, lo, 0);
    return was_here || (!state->has_evicted && small_is_full(cache, state)) ? CACHE_QUEUE_MAIN
                                                                            : CACHE_QUEUE_SMALL;
}

void
cache_evict_remember(struct cache *cache, const struct cache_state *state, uint64_t lo)
{
    cache_ghost_add(cache->heat, lo, ghosts_most(cache, state));
}

/* ---- the two heads ------------------------------------------------------------------------- */

/* AUGURY_END: the queue is empty. Whoever deals with the entry moves .at on. */
static int
head_of(struct evictor *e, enum cache_queue queue, const struct cache_entry **out_entry)
{
    struct head *head = &e->heads[queue];

    if (head->at == head->count) {
        int rc =
            cache_entry_read(e->txn, queue, head->from_seq, head->entries, HEADS, &head->count);
        head->at = 0;
        if (rc != 0) {
            head->count = 0;
            return rc;
        }
        for (size_t i = 0; i < head->count; i++) {
            struct cache_entry *entry = &head->entries[i];
            entry->lo = cache_digest(e->cache, entry->text).lo;
            head->from_seq = cache_place_seq(entry->place) + 1;
        }
    }
    *out_entry = &head->entries[head->at];
    return head->at < head->count ? 0 : AUGURY_END;
}

static int
let_go(struct evictor *e, const struct cache_entry *entry)
{
    e->freed_bytes += cache_entry_cost(entry->text.len, entry->value_len);
    e->gone++;
    e->heads[cache_place_queue(entry->place)].at++;
    return cache_entry_behead(e->txn, e->state, entry);
}

static int
move_to_main(struct evictor *e, const struct cache_entry *entry, unsigned count)
{
    e->moved++;
    e->heads[cache_place_queue(entry->place)].at++;
    cache_heat_set(e->cache->heat, entry->lo, count);
    cache_hint_put(e->cache->hints, entry->lo,
                   cache_place_of(CACHE_QUEUE_MAIN, e->state->next_seq));
    return cache_entry_move(e->txn, e->state, entry);
}

/* A dead one of the two heads goes. AUGURY_NOT_FOUND: both live. */
static int
evict_dead(struct evictor *e)
{
    for (int queue = 0; queue < CACHE_QUEUE_COUNT; queue++) {
        const struct cache_entry *entry;
        int rc = head_of(e, (enum cache_queue)queue, &entry);
        if (rc < 0) {
            return rc;
        }
        if (rc == 0 && cache_entry_is_dead(e->cache, entry)) {
            return let_go(e, entry);
        }
    }
    return AUGURY_NOT_FOUND;
}

static unsigned
move_count(const struct cache *cache)
{
    return cache->tier == CACHE_TIER_DISK ? MOVE_COUNT_DISK : MOVE_COUNT;
}

/* One entry of a queue goes, after those before it that are worth more have moved. AUGURY_END: all
 * of it has moved. */
static int
evict_from(struct evictor *e, enum cache_queue queue)
{
    unsigned enough = queue == CACHE_QUEUE_SMALL ? move_count(e->cache) : 1;
    const struct cache_entry *entry;

    for (;;) {
        int rc = head_of(e, queue, &entry);
        if (rc != 0) {
            return rc;
        }
        unsigned count = cache_heat_of(e->cache->heat, entry->lo);
        bool is_spared = count >= enough && e->moved < MOVES_FREE + MOVES_EACH * e->gone;
        if (!is_spared && queue == CACHE_QUEUE_SMALL) {
            cache_evict_remember(e->cache, e->state, entry->lo);
        }
        if (!is_spared) {
            return let_go(e, entry);
        }
        rc = move_to_main(e, entry, queue == CACHE_QUEUE_SMALL ? 0 : count - 1);
        if (rc != 0) {
            return rc;
        }
    }
}

static int
evict_one(struct evictor *e)
{
    int rc = evict_dead(e);

    if (rc != AUGURY_NOT_FOUND) {
        return rc;
    }
    e->state->has_evicted = true;
    if (!main_is_over(e->cache, e->state)) {
        rc = evict_from(e, CACHE_QUEUE_SMALL);
    }
    return rc == AUGURY_NOT_FOUND || rc == AUGURY_END ? evict_from(e, CACHE_QUEUE_MAIN) : rc;
}

/* Index records of what went are removed later, many of a page at once: their keys are random, and
 * a page changed for each would be half the work of a commit. */
static int
index_trim(struct evictor *e)
{
    uint64_t first_seqs[CACHE_QUEUE_COUNT];

    for (int queue = 0; queue < CACHE_QUEUE_COUNT; queue++) {
        const struct cache_entry *entry;
        int rc = head_of(e, (enum cache_queue)queue, &entry);
        if (rc < 0) {
            return rc;
        }
        first_seqs[queue] = rc == 0 ? cache_place_seq(entry->place) : e->state->next_seq;
    }
    return cache_index_trim(e->txn, first_seqs, e->gone * TRIM_LOOKS, &e->cache->keeper.trim_lo);
}

/* ---- what the keeper asks for -------------------------------------------------------------- */

int
cache_evict_all(struct store_txn *txn, struct cache_state *state)
{
    static const enum cache_table tables[] = {CACHE_TABLE_INDEX, CACHE_TABLE_SMALL,
                                              CACHE_TABLE_MAIN, CACHE_TABLE_CHUNK};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < AUGURY_COUNT(tables); i++) {
        rc = store_clear(txn, tables[i]);
    }
    memset(state->entries_of_class, 0, sizeof(state->entries_of_class));
    memset(state->queues, 0, sizeof(state->queues));
    state->has_evicted = false;
    return rc;
}

int
cache_evict(struct cache *cache, struct store_txn *txn, struct cache_state *state,
            const struct cache_need *need, uint64_t *evicted)
{
    struct evictor e = {.cache = cache, .txn = txn, .state = state};
    int rc = 0;

    while (rc == 0 && e.gone < EVICT_MAX && cache_entries_of(state) > 0 &&
           (e.freed_bytes < need->bytes || e.gone < need->entries)) {
        rc = evict_one(&e);
    }
    if (rc == 0 && e.gone > 0) {
        rc = index_trim(&e);
    }
    *evicted += e.gone;
    /* Empty queues while entries are counted: what is left can never be found. */
    return rc == AUGURY_END ? cache_evict_all(txn, state) : rc;
}
