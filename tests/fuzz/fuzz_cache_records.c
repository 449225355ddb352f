/* SPDX-License-Identifier: MIT */
/*
 * fuzz_cache_records.c - what the cache reads of memory and files that others wrote: entries of the
 * environment, and a ring as a killed process may leave it. The first byte chooses. Properties: a
 * decoded record lies within its bytes and its bounds; a ring comes to its end whatever is in it,
 * and takes records afterwards.
 */
#include "../../src/cache/cache_priv.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RING_BYTES = 4096, INDICES = 16, SLOTS = 2 };

/* Reading every byte is the check; this keeps the compiler from leaving it out. */
static void
touch(struct bytes bytes)
{
    uint8_t all = 0;

    for (size_t i = 0; i < bytes.len; i++) {
        all |= bytes.data[i];
    }
    __asm__ volatile("" : : "r"(all));
}

static void
check_entry(struct bytes stored)
{
    struct cache_entry entry;

    if (!cache_entry_decode(stored, &entry)) {
        return;
    }
    touch(entry.text);
    touch(entry.value);
    AUGURY_ASSERT(entry.class < CACHE_CLASS_COUNT && entry.text.len <= CACHE_KEY_TEXT_MAX);
    AUGURY_ASSERT(entry.value_len <= CACHE_VALUE_MAX && entry.value.len <= entry.value_len);
    AUGURY_ASSERT(entry.value.data + entry.value.len == stored.data + stored.len);
}

static void
read_ring(struct cache_rings *rings)
{
    struct cache_ring_record record;
    uint64_t tail = cache_ring_tail(rings, 1);
    unsigned bad = 0;
    size_t records = 0;

    while (cache_ring_peek(rings, 1, &tail, &record, &bad) == 0) {
        touch(record.item.key);
        touch(record.item.value);
        AUGURY_ASSERT(record.slot == 1 && record.item.class < CACHE_CLASS_COUNT);
        AUGURY_ASSERT(++records <= RING_BYTES / 8);
    }
    cache_ring_take(rings, 1, tail);
    AUGURY_ASSERT(cache_rings_are_empty(rings));
}

/* head, tail, then what lies in the ring. */
static void
check_ring(const uint8_t *data, size_t size)
{
    struct cache_ring_record record = {.item = {.class = CACHE_OBJECT,
                                                .key = bytes_of_text("object:a"),
                                                .value = bytes_of_text("hello")}};
    size_t bytes = cache_rings_bytes(RING_BYTES, SLOTS);
    uint8_t *memory = aligned_alloc(4096, bytes);

    AUGURY_ASSERT(memory != NULL);
    memset(memory, 0, bytes);
    struct cache_rings *rings = cache_rings_attach(memory, RING_BYTES, SLOTS, -1);
    atomic_store(&rings->ring[1].head, le64_get(data));
    atomic_store(&rings->ring[1].tail, le64_get(data + 8));
    size_t len = size - INDICES < RING_BYTES ? size - INDICES : RING_BYTES;
    memcpy(memory + bytes - RING_BYTES, data + INDICES, len);
    read_ring(rings);
    record.value_check = cache_value_check(record.item.value);
    int rc = cache_ring_put(rings, 1, &record);
    AUGURY_ASSERT(rc == 0);
    uint64_t tail = cache_ring_tail(rings, 1);
    unsigned bad = 0;
    rc = cache_ring_peek(rings, 1, &tail, &record, &bad);
    AUGURY_ASSERT(rc == 0 && bad == 0 && bytes_equal_text(record.item.value, "hello"));
    free(memory);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && (data[0] & 1) == 0) {
        check_entry(bytes_of(data + 1, size - 1));
    } else if (size > INDICES) {
        check_ring(data + 1, size - 1);
    }
    return 0;
}
