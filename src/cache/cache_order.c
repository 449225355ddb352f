/* SPDX-License-Identifier: MIT */
/*
 * cache_order.c - what only the keeper may do, asked by a worker: the order goes through the ring,
 * the result comes back through the board.
 * Invariants: (1) an order is done once: its result is stored in the commit that does it, and a
 * keeper that finds it in the ring again, because the last one was killed before it moved the tail,
 * repeats the result instead of the work; (2) results come in the order of their tickets, so a
 * result given twice is seen to be; (3) a ticket's highest bits name the process that drew it, and
 * results of another process are nobody's.
 */
#include "cache_disk.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "augury/seal.h"

enum {
    ANSWERS = 1024,        /* that wait for their worker */
    OUTSTANDING_MAX = 512, /* so those of a group that is done twice fit beside them */
    STORED_BYTES = 12,     /* ticket (8), result (4) */
    PROCESS_SHIFT = 40,    /* the lower bits of a ticket count */
    ORDER_SHARE = 2,       /* of the quota, what is put by order takes this part at most */
};

struct order_answer {
    atomic_uint_least64_t ticket;
    atomic_int_least32_t rc;
};

/* Of one slot. */
struct cache_order_slot {
    _Alignas(CACHE_LINE) atomic_uint_least64_t process; /* highest bits of its tickets */
    _Alignas(CACHE_LINE) atomic_uint_least64_t head;    /* answers ever given; keeper */
    _Alignas(CACHE_LINE) atomic_uint_least64_t tail;    /* answers ever taken; worker */
    struct order_answer answers[ANSWERS];
};

size_t
cache_orders_bytes(unsigned slots)
{
    return slots * sizeof(struct cache_order_slot);
}

static struct cache_order_slot *
slot_of(struct cache *cache, unsigned slot)
{
    AUGURY_ASSERT(slot < cache->board->slots);
    return &cache->board->orders[slot];
}

uint64_t
cache_value_tag(struct bytes value)
{
    return hash64_of(value);
}

/* ---- the worker's side --------------------------------------------------------------------- */

int
cache_order_slot_begin(struct cache *cache)
{
    struct cache_order_slot *slot = slot_of(cache, cache->slot);
    uint32_t process = 0;

    /* Random: an environment outlives the board, and with it the results that it stores. */
    int rc = seal_random((uint8_t *)&process, sizeof(process));
    if (rc != 0) {
        return rc;
    }
    cache->order_ticket = cache->order_answered = (uint64_t)process << PROCESS_SHIFT;
    atomic_store(&slot->process, cache->order_ticket);
    atomic_store(&slot->tail, atomic_load(&slot->head));
    return 0;
}

int
cache_order(struct cache *cache, enum cache_order_kind kind, const struct cache_item *item,
            uint64_t match, uint64_t *out_ticket)
{
    struct cache_ring_record record = {
        .item = *item,
        .value_check = cache_value_check(item->value),
        .order = (uint8_t)(kind + 1),
        .ticket = cache->order_ticket + 1,
        .match = match,
    };

    AUGURY_ASSERT(kind < CACHE_ORDER_COUNT && item->class < CACHE_CLASS_COUNT);
    if (cache->rings == NULL || atomic_load(&cache->rings->off) != 0) {
        return AUGURY_ERR_STATE;
    }
    if (item->key.len > CACHE_KEY_TEXT_MAX || item->value.len > CACHE_VALUE_MAX) {
        return AUGURY_ERR_LIMIT;
    }
    if (cache->order_ticket - cache->order_answered >= OUTSTANDING_MAX) {
        return AUGURY_ERR_FULL;
    }
    int rc = cache_ring_put(cache->rings, cache->slot, &record);
    if (rc == 0) {
        stats_add(cache->stats, STATS_CACHE_ORDERS, 1);
        *out_ticket = ++cache->order_ticket;
    }
    return rc;
}

bool
cache_order_result(struct cache *cache, uint64_t *out_ticket, int *out_rc)
{
    if (cache->rings == NULL) {
        return false;
    }
    struct cache_order_slot *slot = slot_of(cache, cache->slot);
    uint64_t tail = atomic_load_explicit(&slot->tail, memory_order_relaxed);
    while (tail != atomic_load_explicit(&slot->head, memory_order_acquire)) {
        struct order_answer *answer = &slot->answers[tail % ANSWERS];
        uint64_t ticket = atomic_load_explicit(&answer->ticket, memory_order_relaxed);
        int rc = atomic_load_explicit(&answer->rc, memory_order_relaxed);
        atomic_store_explicit(&slot->tail, ++tail, memory_order_release);
        /* Neither another process's nor one that was given already. */
        if (ticket > cache->order_answered && ticket <= cache->order_ticket) {
            cache->order_answered = ticket;
            *out_ticket = ticket;
            *out_rc = rc;
            return true;
        }
    }
    return false;
}

/* ---- results: kept with the commit, given after it ----------------------------------------- */

static struct bytes
stored_key(unsigned slot, char room[static 32])
{
    memcpy(room, "orders:", 7);
    return bytes_of(room, 7 + u64_to_text(slot, room + 7));
}

/* The result of an order that a commit has done already. */
static bool
stored_find(struct store_txn *txn, const struct cache_ring_record *record, int *out_result)
{
    char room[32];
    struct bytes stored;

    if (store_find(txn, CACHE_TABLE_META, stored_key(record->slot, room), &stored) != 0) {
        return false;
    }
    for (size_t at = 0; at + STORED_BYTES <= stored.len; at += STORED_BYTES) {
        if (le64_get(stored.data + at) == record->ticket) {
            *out_result = (int32_t)le32_get(stored.data + at + 8);
            return true;
        }
    }
    return false;
}

/* Those of one slot, in the place of its last ones: a ring is done in order, so whatever is still
 * in there of the last ones is in this group too. */
static int
slot_store(struct store_txn *txn, unsigned slot, const struct cache_ring_record *records,
           const int *results, size_t count)
{
    uint8_t stored[CACHE_GROUP_ENTRIES * STORED_BYTES];
    char room[32];
    size_t len = 0;

    for (size_t i = 0; i < count; i++) {
        if (records[i].order != 0 && records[i].slot == slot) {
            le64_put(stored + len, records[i].ticket);
            le32_put(stored + len + 8, (uint32_t)results[i]);
            len += STORED_BYTES;
        }
    }
    return store_put(txn, CACHE_TABLE_META, stored_key(slot, room), bytes_of(stored, len),
                     STORE_PUT_REPLACE);
}

/* true at the last order of its slot in the group. */
static bool
is_last_order(const struct cache_ring_record *records, size_t i, size_t count)
{
    for (size_t next = i + 1; next < count; next++) {
        if (records[next].order != 0 && records[next].slot == records[i].slot) {
            return false;
        }
    }
    return records[i].order != 0;
}

int
cache_orders_store(struct cache *cache, struct store_txn *txn,
                   const struct cache_ring_record *records, const int *results, size_t count)
{
    int rc = 0;

    (void)cache;
    AUGURY_ASSERT(count <= CACHE_GROUP_ENTRIES);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (is_last_order(records, i, count)) {
            int known;
            /* All of this slot's were done before: what is stored may know more than this group. */
            bool is_repeat = stored_find(txn, &records[i], &known);
            rc = is_repeat ? 0 : slot_store(txn, records[i].slot, records, results, count);
        }
    }
    return rc;
}

/* true: its worker has something to take. */
static bool
answer_give(struct cache *cache, const struct cache_ring_record *record, int result)
{
    struct cache_order_slot *slot = slot_of(cache, record->slot);
    uint64_t head = atomic_load_explicit(&slot->head, memory_order_relaxed);

    if (record->ticket >> PROCESS_SHIFT != atomic_load(&slot->process) >> PROCESS_SHIFT ||
        head - atomic_load_explicit(&slot->tail, memory_order_acquire) >= ANSWERS) {
        return false;
    }
    struct order_answer *answer = &slot->answers[head % ANSWERS];
    atomic_store_explicit(&answer->ticket, record->ticket, memory_order_relaxed);
    atomic_store_explicit(&answer->rc, result, memory_order_relaxed);
    atomic_store_explicit(&slot->head, head + 1, memory_order_release);
    return true;
}

static void
slot_wake(struct cache *cache, unsigned slot)
{
    uint64_t one = 1;

    if (cache->board->wake_fds[slot] >= 0) {
        /* EAGAIN: the counter is full, so the worker is awake already. */
        ssize_t written = write(cache->board->wake_fds[slot], &one, sizeof(one));
        (void)written;
    }
}

void
cache_orders_answer(struct cache *cache, const struct cache_ring_record *records,
                    const int *results, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (records[i].order == 0) {
            continue;
        }
        (void)answer_give(cache, &records[i], results[i]);
        if (is_last_order(records, i, count)) {
            slot_wake(cache, records[i].slot);
        }
    }
}

void
cache_rings_refuse(struct cache *cache, int rc)
{
    struct cache_rings *rings = cache->rings;
    struct cache_ring_record record;
    unsigned bad = 0;

    for (unsigned slot = 0; slot < rings->slots; slot++) {
        uint64_t tail = cache_ring_tail(rings, slot);
        bool is_waiting = false;
        while (cache_ring_peek(rings, slot, &tail, &record, &bad) == 0) {
            is_waiting = (record.order != 0 && answer_give(cache, &record, rc)) || is_waiting;
        }
        if (is_waiting) {
            slot_wake(cache, slot);
        }
        cache_ring_take(rings, slot, tail);
    }
}

/* ---- the keeper's side --------------------------------------------------------------------- */

/* 0; AUGURY_ERR_EXISTS: another value lies there. */
static int
match_check(struct store_txn *txn, const struct cache_entry *entry, uint64_t match)
{
    if (match == CACHE_MATCH_ANY) {
        return 0;
    }
    if (entry->value_check != (uint32_t)match) {
        return AUGURY_ERR_EXISTS;
    }
    if ((entry->flags & CACHE_ENTRY_CHUNKED) == 0) {
        return cache_value_tag(entry->value) == match ? 0 : AUGURY_ERR_EXISTS;
    }
    uint8_t *room = malloc(entry->value_len);
    if (room == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    int rc = cache_entry_gather(txn, entry, room);
    if (rc == 0 && cache_value_tag(bytes_of(room, entry->value_len)) != match) {
        rc = AUGURY_ERR_EXISTS;
    }
    free(room);
    return rc;
}

/* It would go again at once, and whoever has put it was told that it is there. */
static bool
is_without_room(const struct cache *cache, const struct cache_item *item)
{
    uint64_t quota = cache->keeper.state.quota_bytes;
    uint64_t cost = cache_entry_cost(item->key.len, item->value.len);

    return cost > quota / ORDER_SHARE;
}

/* Read before something was invalidated that holds for it: by now, or in this transaction. */
static bool
is_outdated(const struct cache *cache, const struct cache_item *item)
{
    struct cache_entry entry = {.lo = cache_digest(cache, item->key).lo,
                                .stamp = item->stamp,
                                .class = (uint8_t)item->class,
                                .text = item->key};

    memcpy(entry.tags, item->tags, sizeof(entry.tags));
    return cache_is_late(cache, &entry) || cache_moves_kill(cache, &entry);
}

static int
put_do(struct cache *cache, struct store_txn *txn, struct cache_state *state,
       const struct cache_ring_record *record, int *out_result)
{
    struct cache_ring_record stamped = *record;
    uint64_t written = 0;

    if (is_without_room(cache, &record->item)) {
        *out_result = AUGURY_ERR_FULL;
        return 0;
    }
    if (record->item.is_fetched && is_outdated(cache, &record->item)) {
        *out_result = AUGURY_ERR_EXISTS;
        return 0;
    }
    /* What a client says now is newer than any invalidation before it. */
    stamped.item.stamp = cache->keeper.moves.clock;
    return cache_record_write(cache, txn, state, &stamped, &written);
}

/* No lookup finds what was made in the future, which is what a clock that was put back leaves. A
 * condition must not find it either. By the later of two times: the keeper's may be that of its
 * last turn. */
static bool
is_found_by_lookups(const struct cache *cache, const struct cache_ring_record *record,
                    const struct cache_entry *entry)
{
    uint64_t now = cache->keeper.now_wall_ms;

    now = record->item.created_wall_ms > now ? record->item.created_wall_ms : now;
    return entry->created_wall_ms <= now + CACHE_FUTURE_MS;
}

/* The answer of the condition: 0, AUGURY_NOT_FOUND, AUGURY_ERR_EXISTS; or a failure. */
static int
condition_check(struct cache *cache, struct store_txn *txn, const struct cache_ring_record *record,
                struct cache_entry *out_entry)
{
    int rc = cache_live_find(cache, txn, record->item.key, out_entry);
    bool is_put = record->order == 1 + CACHE_ORDER_PUT_IF_ABSENT ||
                  record->order == 1 + CACHE_ORDER_PUT_IF_MATCH;

    if (rc == 0 && is_put && !is_found_by_lookups(cache, record, out_entry)) {
        rc = AUGURY_NOT_FOUND;
    }
    switch ((enum cache_order_kind)(record->order - 1)) {
    case CACHE_ORDER_PUT_IF_ABSENT:
        return rc == 0 ? AUGURY_ERR_EXISTS : rc == AUGURY_NOT_FOUND ? 0 : rc;
    case CACHE_ORDER_PUT_IF_MATCH:
    case CACHE_ORDER_PURGE_IF_MATCH:
        return rc == 0 ? match_check(txn, out_entry, record->match) : rc;
    default: return rc;
    }
}

static bool
is_answer(int rc)
{
    return rc == 0 || rc == AUGURY_NOT_FOUND || rc == AUGURY_ERR_EXISTS;
}

static int
purge_do(struct cache *cache, struct store_txn *txn, struct cache_state *state,
         const struct cache_ring_record *record, int *out_result)
{
    uint64_t lo = cache_digest(cache, record->item.key).lo;
    struct cache_entry entry;

    int rc = condition_check(cache, txn, record, &entry);
    *out_result = rc;
    bool is_done = rc == 0 || (rc == AUGURY_NOT_FOUND && record->order == 1 + CACHE_ORDER_PURGE);
    if (!is_done) {
        return is_answer(rc) ? 0 : rc;
    }
    /* Also without an entry: one may be under way, and answers rendered from it may be left. */
    cache_move_key(cache, lo, record->item.class);
    /* And one past its time, which nobody is told of: it might answer as stale. */
    rc = cache_entry_find(txn, lo, &entry);
    if (rc == 0 && bytes_equal(entry.text, record->item.key)) {
        rc = cache_entry_del(txn, state, &entry);
        return rc == AUGURY_NOT_FOUND ? AUGURY_ERR_CORRUPT : rc;
    }
    return rc == AUGURY_NOT_FOUND ? 0 : rc;
}

static int
order_do(struct cache *cache, struct store_txn *txn, struct cache_state *state,
         const struct cache_ring_record *record, int *out_result)
{
    struct cache_entry entry;
    int rc = 0;

    *out_result = 0;
    switch ((enum cache_order_kind)(record->order - 1)) {
    case CACHE_ORDER_PUT: return put_do(cache, txn, state, record, out_result);
    case CACHE_ORDER_PUT_IF_ABSENT:
    case CACHE_ORDER_PUT_IF_MATCH:
        rc = condition_check(cache, txn, record, &entry);
        *out_result = rc;
        return rc == 0 ? put_do(cache, txn, state, record, out_result) : is_answer(rc) ? 0 : rc;
    case CACHE_ORDER_PURGE:
    case CACHE_ORDER_PURGE_IF_MATCH: return purge_do(cache, txn, state, record, out_result);
    case CACHE_ORDER_INVALIDATE_TAG: cache_move_tag(cache, record->item.key); return 0;
    case CACHE_ORDER_INVALIDATE_CLASS: cache_move_class(cache, record->item.class); return 0;
    case CACHE_ORDER_COUNT: break;
    }
    return AUGURY_ERR_INVALID;
}

int
cache_order_do(struct cache *cache, struct store_txn *txn, struct cache_state *state,
               const struct cache_ring_record *record, int *out_result)
{
    struct cache_entry entry;
    bool is_of_key = record->order != 1 + CACHE_ORDER_INVALIDATE_TAG &&
                     record->order != 1 + CACHE_ORDER_INVALIDATE_CLASS;

    if (stored_find(txn, record, out_result)) {
        return 0;
    }
    if (is_of_key && cache_live_find(cache, txn, record->item.key, &entry) == AUGURY_NOT_FOUND) {
        int rc = cache_below_pull(cache, txn, state, record->item.key);
        if (rc != 0) {
            return rc;
        }
    }
    return order_do(cache, txn, state, record, out_result);
}

void
cache_order_tell(struct cache *cache, const struct cache_ring_record *record, int result)
{
    if (result != 0 &&
        !(result == AUGURY_NOT_FOUND && record->order == 1 + (int)CACHE_ORDER_PURGE)) {
        return;
    }
    if (record->item.is_fetched) {
        return;
    }
    switch ((enum cache_order_kind)(record->order - 1)) {
    case CACHE_ORDER_INVALIDATE_TAG:
        cache_news_tell(cache, CACHE_NEWS_TAG, record->item.key);
        break;
    case CACHE_ORDER_INVALIDATE_CLASS:
        cache_news_tell(cache, CACHE_NEWS_CLASS,
                        bytes_of_text(cache_class_name(record->item.class)));
        break;
    default: cache_news_tell(cache, CACHE_NEWS_KEY, record->item.key); break;
    }
}
