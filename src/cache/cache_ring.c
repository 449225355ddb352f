/* SPDX-License-Identifier: MIT */
/*
 * cache_ring.c - one ring of bytes a worker slot, from its worker to the keeper, in shared memory.
 * Invariants: (1) only the slot's process stores head, and last: a producer killed in the middle
 * has published nothing; (2) only the keeper stores tail, after the commit: a keeper killed
 * anywhere loses nothing; (3) head and tail count bytes for ever, so a new process goes on where
 * the last one stopped; (4) nothing in a ring is trusted: a length that does not fit is passed
 * over, never followed. A record lies in one piece; the rest of the ring before its start is a
 * padding record.
 * Wake: the producer stores head, then reads sleeping; the keeper stores sleeping, then reads the
 * heads. Both in one total order (seq_cst), so one of them sees the other.
 */
#include "cache_priv.h"

#include <string.h>
#include <unistd.h>

enum {
    RECORD_HEADER = 64,
    ORDER_HEADER = RECORD_HEADER + 16,
    RECORD_ALIGN = 8,
    RECORD_MAGIC = 0xCA,
    PADDING_MAGIC = 0xFA,
};

static size_t
ring_round(size_t ring_bytes)
{
    size_t rounded = 4096;

    while (rounded < ring_bytes) {
        rounded *= 2;
    }
    return rounded;
}

static size_t
header_bytes(unsigned slots)
{
    size_t bytes = sizeof(struct cache_rings) + slots * sizeof(struct cache_ring);
    return (bytes + 4095) & ~(size_t)4095;
}

size_t
cache_rings_bytes(size_t ring_bytes, unsigned slots)
{
    return header_bytes(slots) + slots * ring_round(ring_bytes);
}

struct cache_rings *
cache_rings_attach(void *shared_memory, size_t ring_bytes, unsigned slots, int wake_fd)
{
    struct cache_rings *rings = shared_memory;

    AUGURY_ASSERT(slots > 0);
    rings->ring_bytes = ring_round(ring_bytes);
    rings->slots = slots;
    rings->wake_fd = wake_fd;
    return rings;
}

static uint8_t *
ring_data(struct cache_rings *rings, unsigned slot)
{
    return (uint8_t *)rings + header_bytes(rings->slots) + slot * rings->ring_bytes;
}

static uint64_t
record_align(uint64_t bytes)
{
    return (bytes + RECORD_ALIGN - 1) & ~(uint64_t)(RECORD_ALIGN - 1);
}

static size_t
record_header(uint8_t order)
{
    return order == 0 ? RECORD_HEADER : ORDER_HEADER;
}

static size_t
record_bytes(uint8_t order, size_t text_len, size_t value_len)
{
    return record_align(record_header(order) + text_len + value_len);
}

static void
record_encode(const struct cache_ring_record *record, uint64_t number, size_t bytes, uint8_t *p)
{
    const struct cache_item *item = &record->item;

    le32_put(p, (uint32_t)bytes);
    p[4] = RECORD_MAGIC;
    p[5] = (uint8_t)item->class;
    le16_put(p + 6, (uint16_t)item->key.len);
    le32_put(p + 8, (uint32_t)item->value.len);
    le32_put(p + 12, record->value_check);
    le64_put(p + 16, item->created_wall_ms);
    le64_put(p + 24, item->expires_wall_ms);
    le64_put(p + 32, item->stamp);
    le32_put(p + 40, item->stale_s);
    le32_put(p + 44, item->cost_us);
    for (size_t i = 0; i < CACHE_TAGS; i++) {
        le16_put(p + 48 + 2 * i, item->tags[i]);
    }
    p[54] = record->order;
    p[55] = (uint8_t)((item->is_fetched ? 1 : 0) | (item->is_copy ? 2 : 0) |
                      (item->is_from_disk ? 4 : 0));
    le64_put(p + 56, number);
    if (record->order != 0) {
        le64_put(p + 64, record->ticket);
        le64_put(p + 72, record->match);
    }
    p += record_header(record->order);
    if (item->key.len > 0) {
        memcpy(p, item->key.data, item->key.len);
    }
    if (item->value.len > 0) {
        memcpy(p + item->key.len, item->value.data, item->value.len);
    }
}

static void
wake(struct cache_rings *rings)
{
    uint64_t one = 1;

    if (atomic_load_explicit(&rings->sleeping, memory_order_seq_cst) == 0 ||
        atomic_exchange(&rings->sleeping, 0) == 0) {
        return;
    }
    /* EAGAIN: the counter is full, so the keeper is awake already. A wake lost to a kill costs one
     * tick of delay. */
    ssize_t written = write(rings->wake_fd, &one, sizeof(one));
    (void)written;
}

int
cache_ring_put(struct cache_rings *rings, unsigned slot, const struct cache_ring_record *record)
{
    AUGURY_ASSERT(slot < rings->slots);
    struct cache_ring *ring = &rings->ring[slot];
    uint64_t size = rings->ring_bytes;
    size_t need = record_bytes(record->order, record->item.key.len, record->item.value.len);

    if (need > size / 2) {
        return AUGURY_ERR_LIMIT;
    }
    uint64_t head = record_align(atomic_load_explicit(&ring->head, memory_order_relaxed));
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    uint64_t at = head & (size - 1);
    uint64_t padding = size - at < need ? size - at : 0;
    /* Unsigned: indices that contradict each other read as a full ring. */
    if (head - tail > size || size - (head - tail) < padding + need) {
        return AUGURY_ERR_FULL;
    }
    uint8_t *data = ring_data(rings, slot);
    if (padding > 0) {
        le32_put(data + at, (uint32_t)padding);
        data[at + 4] = PADDING_MAGIC;
        at = 0;
    }
    /* An order draws its number before it is seen: whoever has seen it draws a later one. */
    uint64_t number =
        record->order == 0 ? cache_ring_number(rings) : atomic_fetch_add(&rings->number, 1) + 1;
    record_encode(record, number, need, data + at);
    atomic_store_explicit(&ring->head, head + padding + need, memory_order_seq_cst);
    wake(rings);
    return 0;
}

/* p: at least bytes long, as the record's own length says. */
static bool
record_decode(const uint8_t *p, size_t bytes, struct cache_ring_record *out_record)
{
    if (bytes < RECORD_HEADER || p[4] != RECORD_MAGIC) {
        return false;
    }
    uint8_t order = p[54];
    size_t text_len = le16_get(p + 6);
    size_t value_len = le32_get(p + 8);
    if (order > CACHE_ORDER_COUNT || text_len > CACHE_KEY_TEXT_MAX || value_len > CACHE_VALUE_MAX ||
        p[5] >= CACHE_CLASS_COUNT || record_bytes(order, text_len, value_len) != bytes) {
        return false;
    }
    const uint8_t *text = p + record_header(order);
    struct cache_ring_record record = {
        .item = {.class = (enum cache_class)p[5],
                 .key = bytes_of(text, text_len),
                 .value = bytes_of(text + text_len, value_len),
                 .created_wall_ms = le64_get(p + 16),
                 .expires_wall_ms = le64_get(p + 24),
                 .stamp = le64_get(p + 32),
                 .stale_s = le32_get(p + 40),
                 .cost_us = le32_get(p + 44),
                 .is_fetched = (p[55] & 1) != 0,
                 .is_copy = (p[55] & 2) != 0,
                 .is_from_disk = (p[55] & 4) != 0},
        .value_check = le32_get(p + 12),
        .order = order,
        .ticket = order == 0 ? 0 : le64_get(p + 64),
        .match = order == 0 ? 0 : le64_get(p + 72),
        .number = le64_get(p + 56),
    };
    for (size_t i = 0; i < CACHE_TAGS; i++) {
        record.item.tags[i] = le16_get(p + 48 + 2 * i);
    }
    if (cache_value_check(record.item.value) != record.value_check) {
        return false;
    }
    *out_record = record;
    return true;
}

int
cache_ring_peek(struct cache_rings *rings, unsigned slot, uint64_t *tail,
                struct cache_ring_record *out_record, unsigned *out_bad)
{
    struct cache_ring *ring = &rings->ring[slot];
    const uint8_t *data = ring_data(rings, slot);
    uint64_t size = rings->ring_bytes;

    for (;;) {
        uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
        if (head == *tail) {
            return AUGURY_END;
        }
        /* A record's first eight bytes never wrap: everything is a multiple of eight. */
        *tail = record_align(*tail);
        uint64_t at = *tail & (size - 1);
        uint64_t bytes = le32_get(data + at);
        if (head - *tail > size || bytes < RECORD_ALIGN || bytes % RECORD_ALIGN != 0 ||
            bytes > head - *tail || bytes > size - at) {
            *tail = head;
            (*out_bad)++;
            return AUGURY_END;
        }
        *tail += bytes;
        if (record_decode(data + at, bytes, out_record)) {
            out_record->slot = slot;
            return 0;
        }
        *out_bad += data[at + 4] == PADDING_MAGIC && at + bytes == size ? 0 : 1;
    }
}

uint64_t
cache_ring_tail(struct cache_rings *rings, unsigned slot)
{
    return atomic_load_explicit(&rings->ring[slot].tail, memory_order_relaxed);
}

uint64_t
cache_ring_number(struct cache_rings *rings)
{
    return atomic_load_explicit(&rings->number, memory_order_acquire);
}

void
cache_ring_take(struct cache_rings *rings, unsigned slot, uint64_t tail)
{
    atomic_store_explicit(&rings->ring[slot].tail, tail, memory_order_release);
}

bool
cache_rings_are_empty(struct cache_rings *rings)
{
    for (unsigned slot = 0; slot < rings->slots; slot++) {
        if (atomic_load_explicit(&rings->ring[slot].head, memory_order_seq_cst) !=
            cache_ring_tail(rings, slot)) {
            return false;
        }
    }
    return true;
}
