/* SPDX-License-Identifier: MIT */
/* test_cache_entry.c - the stored records: golden bytes of docs/formats.md, borders, and bytes that
 * are none. */
#include "cache_case.h"

#include "../../../src/cache/cache_priv.h"
#include "../../tap.h"

enum { MIB = 1 << 20 };

/* Writes one entry and its state into the case's environment, and opens a transaction that sees
 * them. */
static struct store_txn *
entry_written(struct cache_case *c, const struct cache_entry *entry)
{
    struct store_txn *txn = NULL;
    struct cache_state state = {.next_seq = 8, .quota_bytes = 0x11223344};

    if (store_begin(c->cache->store, &txn) != 0 || cache_entry_put(txn, &state, entry) != 0 ||
        cache_state_write(txn, &state) != 0) {
        store_abort(&txn);
        return NULL;
    }
    return txn;
}

static const struct cache_entry golden = {
    .lo = 0x0807060504030201,
    .hi = 0x1817161514131211,
    .seq = 7,
    .created_wall_ms = 0x2827262524232221,
    .expires_wall_ms = 0x3837363534333231,
    .stamp = 0x5857565554535251,
    .stale_s = 0x64636261,
    .cost_us = 0x74737271,
    .value_check = 0x44434241,
    .tags = {0x8281, 0x8483, 0x8685},
    .class = CACHE_RESPONSE,
    .text = {(const uint8_t *)"k:1", 3},
    .value = {(const uint8_t *)"value", 5},
};

static void
records_have_the_bytes_that_the_documents_say(void)
{
    static const uint8_t index[] = {0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
                                    7,    0,    0,    0,    0,    0,    0,    0};
    static const uint8_t entry[] = {
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16,
        0x17, 0x18, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x31, 0x32, 0x33, 0x34,
        0x35, 0x36, 0x37, 0x38, 5,    0,    0,    0,    0x41, 0x42, 0x43, 0x44, 3,    0,
        4,    2,    0,    0,    0,    0,    0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58,
        0x61, 0x62, 0x63, 0x64, 0x71, 0x72, 0x73, 0x74, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86,
        0,    0,    'k',  ':',  '1',  'v',  'a',  'l',  'u',  'e'};
    /* 24 + 18 of the queue, (16 + 18) * 3 / 2 of the index, 72 + 3 + 5 + 18 of the entry: 191. */
    static const uint8_t queue[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
                                    0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38,
                                    191,  0,    0,    0,    4,    0,    0,    0};
    uint8_t state[80] = {2, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0x44, 0x33, 0x22, 0x11};
    struct cache_case c;
    struct bytes found;

    state[24 + 8 * CACHE_RESPONSE] = 1;
    CHECK(case_begin(&c, 16 * MIB, 64 * 1024));
    struct store_txn *txn = entry_written(&c, &golden);
    CHECK(txn != NULL);
    CHECK_INT(store_find_u64(txn, CACHE_TABLE_INDEX, golden.lo, &found), 0);
    CHECK(bytes_equal(found, bytes_of(index, sizeof(index))));
    CHECK_INT(store_find_u64(txn, CACHE_TABLE_ENTRY, 7, &found), 0);
    CHECK(bytes_equal(found, bytes_of(entry, sizeof(entry))));
    CHECK_INT(store_find_u64(txn, CACHE_TABLE_QUEUE, 7, &found), 0);
    CHECK(bytes_equal(found, bytes_of(queue, sizeof(queue))));
    CHECK_INT(store_find(txn, CACHE_TABLE_META, bytes_of_text("state"), &found), 0);
    CHECK(bytes_equal(found, bytes_of(state, sizeof(state))));
    store_abort(&txn);
    case_fini(&c);
}

static void
a_long_value_lies_in_chunks_of_one_page(void)
{
    static uint8_t value[4080 * 3 + 1];
    struct cache_case c;
    struct cache_entry entry = golden;
    struct bytes found;

    entry.value = bytes_of(value, sizeof(value));
    CHECK(case_begin(&c, 16 * MIB, 64 * 1024));
    struct store_txn *txn = entry_written(&c, &entry);
    CHECK(txn != NULL);
    CHECK_INT(store_find_u64(txn, CACHE_TABLE_ENTRY, 7, &found), 0);
    CHECK_INT(found.len, 72 + 3);
    CHECK_INT(found.data[44], 1);
    for (uint64_t i = 0; i < 4; i++) {
        CHECK_INT(store_find_u64(txn, CACHE_TABLE_CHUNK, 7 << 9 | i, &found), 0);
        CHECK_INT(found.len, i < 3 ? 4080 : 1);
    }
    CHECK_INT(store_find_u64(txn, CACHE_TABLE_CHUNK, 7 << 9 | 4, &found), AUGURY_NOT_FOUND);
    store_abort(&txn);
    case_fini(&c);
}

static void
bytes_that_are_no_entry_are_refused(void)
{
    uint8_t bytes[600];
    uint64_t state = 88172645463325252u;
    struct cache_entry entry;
    unsigned accepted = 0;

    for (int round = 0; round < 200000; round++) {
        for (size_t i = 0; i < 96; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes[i] = (uint8_t)state;
        }
        size_t len = (state >> 32) % 96;
        bytes[43] = CACHE_FORMAT;
        bytes[32] = (uint8_t)(round & 15);
        bytes[33] = bytes[34] = bytes[35] = bytes[41] = 0;
        bytes[40] = (uint8_t)(round >> 4 & 15);
        if (cache_entry_decode(bytes_of(bytes, len), &entry)) {
            accepted++;
            CHECK(entry.text.data + entry.text.len + entry.value.len == bytes + len);
            CHECK(entry.class < CACHE_CLASS_COUNT);
        }
    }
    CHECK(accepted > 0);
    memset(bytes, 0, sizeof(bytes));
    CHECK(!cache_entry_decode(bytes_of(bytes, CACHE_ENTRY_HEADER), &entry)); /* format 0 */
    CHECK(!cache_entry_decode(bytes_of(bytes, 0), &entry));
}

int
main(void)
{
    TAP_RUN(records_have_the_bytes_that_the_documents_say);
    TAP_RUN(a_long_value_lies_in_chunks_of_one_page);
    TAP_RUN(bytes_that_are_no_entry_are_refused);
    return tap_done();
}
