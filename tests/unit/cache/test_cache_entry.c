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
entry_written(struct cache_case *c, const struct cache_entry *entry, struct cache_state *out_state)
{
    struct store_txn *txn = NULL;
    struct cache_state state = {.next_seq = 7, .quota_bytes = 0x11223344, .has_evicted = true};

    if (store_begin(c->cache->store, &txn) != 0 ||
        cache_entry_put(txn, &state, CACHE_QUEUE_SMALL, entry) != 0 ||
        cache_state_write(txn, &state) != 0) {
        store_abort(&txn);
        return NULL;
    }
    *out_state = state;
    return txn;
}

static const struct cache_entry golden = {
    .lo = 0x0807060504030201,
    .created_wall_ms = 0x161514131211,
    .expires_wall_ms = 0x262524232221,
    .stamp = 0x363534333231,
    .stale_s = 0x434241,
    .cost_us = 0x54535251,
    .value_check = 0x64636261,
    .tags = {0x7271, 0x7473, 0x7675},
    .class = CACHE_RESPONSE,
    .text = {(const uint8_t *)"k:1", 3},
    .value = {(const uint8_t *)"value", 5},
};

static const uint8_t golden_entry[] = {
    /* 3 + (4 << 9) */
    0x03, 0x08, 0x61, 0x62, 0x63, 0x64, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x21, 0x22, 0x23, 0x24,
    0x25, 0x26, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x51, 0x52, 0x53, 0x54, 5,    0,    0,    0x41,
    0x42, 0x43, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 'k',  ':',  '1',  'v',  'a',  'l',  'u',  'e'};

static void
records_have_the_bytes_that_the_documents_say(void)
{
    static const uint8_t small[] = {7, 0, 0, 0, 0, 0x00}, main[] = {8, 0, 0, 0, 0, 0x80};
    uint8_t record[120] = {3, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0x44, 0x33, 0x22, 0x11};
    struct cache_case c;
    struct cache_state state;
    struct cache_entry entry;
    struct bytes found;

    record[24 + 8 * CACHE_RESPONSE] = 1;
    record[72 + 16] = 1;
    /* (6 + 18) * 3 / 2 of the index, 40 + 3 + 5 + 18 of the entry. */
    record[80 + 16] = 36 + 66;
    record[104] = 1;
    CHECK(case_begin(&c, 16 * MIB, 64 * 1024));
    struct store_txn *txn = entry_written(&c, &golden, &state);
    CHECK(txn != NULL);
    CHECK_INT(store_find_u64(txn, CACHE_TABLE_INDEX, golden.lo, &found), 0);
    CHECK(bytes_equal(found, bytes_of(small, sizeof(small))));
    CHECK_INT(store_find_u64(txn, CACHE_TABLE_SMALL, 7, &found), 0);
    CHECK(bytes_equal(found, bytes_of(golden_entry, sizeof(golden_entry))));
    CHECK_INT(cache_entry_find(txn, golden.lo, &entry), 0);
    CHECK_INT(cache_entry_move(txn, &state, &entry), 0);
    CHECK_INT(store_find_u64(txn, CACHE_TABLE_INDEX, golden.lo, &found), 0);
    CHECK(bytes_equal(found, bytes_of(main, sizeof(main))));
    CHECK_INT(store_find_u64(txn, CACHE_TABLE_SMALL, 7, &found), AUGURY_NOT_FOUND);
    CHECK_INT(store_find_u64(txn, CACHE_TABLE_MAIN, 8, &found), 0);
    CHECK(bytes_equal(found, bytes_of(golden_entry, sizeof(golden_entry))));
    CHECK_INT(cache_state_write(txn, &state), 0);
    CHECK_INT(store_find(txn, CACHE_TABLE_META, bytes_of_text("state"), &found), 0);
    CHECK(bytes_equal(found, bytes_of(record, sizeof(record))));
    store_abort(&txn);
    case_fini(&c);
}

static bool
is_golden_but_for_the_value(const struct cache_entry *entry)
{
    return entry->created_wall_ms == golden.created_wall_ms &&
           entry->expires_wall_ms == golden.expires_wall_ms && entry->stamp == golden.stamp &&
           entry->stale_s == golden.stale_s && entry->cost_us == golden.cost_us &&
           entry->value_check == golden.value_check && entry->class == golden.class &&
           memcmp(entry->tags, golden.tags, sizeof(golden.tags)) == 0 &&
           bytes_equal(entry->text, golden.text);
}

static void
an_entry_is_read_as_it_was_written(void)
{
    struct cache_case c;
    struct cache_state state;
    struct cache_entry entry, huge = golden;

    huge.expires_wall_ms = huge.created_wall_ms = huge.stamp = UINT64_MAX;
    huge.stale_s = UINT32_MAX;
    CHECK(case_begin(&c, 16 * MIB, 64 * 1024));
    struct store_txn *txn = entry_written(&c, &golden, &state);
    CHECK(txn != NULL);
    CHECK_INT(cache_entry_find(txn, golden.lo, &entry), 0);
    CHECK(is_golden_but_for_the_value(&entry));
    CHECK(bytes_equal(entry.value, golden.value));
    store_abort(&txn);
    /* What the bytes do not hold is kept as the most that they do. */
    txn = entry_written(&c, &huge, &state);
    CHECK(txn != NULL);
    CHECK_INT(cache_entry_find(txn, golden.lo, &entry), 0);
    CHECK_INT(entry.expires_wall_ms, (UINT64_C(1) << 48) - 1);
    CHECK_INT(entry.stale_s, (1 << 24) - 1);
    store_abort(&txn);
    case_fini(&c);
}

static void
a_long_value_lies_in_chunks_of_one_page(void)
{
    static const struct {
        size_t value, inside;
        uint64_t chunks;
    } forms[] = {{4037, 4037, 0}, {4038, 0, 1},      {4080, 0, 1},
                 {4081, 1, 1},    {12241, 1, 3},     {4080 * 2 + 4031, 4031, 2},
                 {12192, 0, 3},   {1 << 20, 16, 257}};
    static uint8_t value[1 << 20];
    struct cache_case c;
    struct cache_entry entry = golden;
    struct cache_state state;
    struct bytes found;

    CHECK(case_begin(&c, 16 * MIB, 64 * 1024));
    for (size_t i = 0; i < AUGURY_COUNT(forms); i++) {
        entry.value = bytes_of(value, forms[i].value);
        struct store_txn *txn = entry_written(&c, &entry, &state);
        CHECK(txn != NULL);
        CHECK_INT(store_find_u64(txn, CACHE_TABLE_SMALL, 7, &found), 0);
        CHECK_INT(found.len, 40 + (forms[i].chunks > 0 ? 6u : 0u) + 3 + forms[i].inside);
        CHECK_INT(found.data[1] >> 4, forms[i].chunks > 0 ? 1 : 0);
        uint64_t chunks = 0;
        CHECK_INT(store_count(txn, CACHE_TABLE_CHUNK, &chunks), 0);
        CHECK_INT(chunks, forms[i].chunks);
        for (uint64_t k = 0; k < chunks; k++) {
            CHECK_INT(store_find_u64(txn, CACHE_TABLE_CHUNK, 7 << 9 | k, &found), 0);
            CHECK(found.len > 2022 && found.len <= 4080);
        }
        store_abort(&txn);
    }
    case_fini(&c);
}

static void
a_moved_entry_keeps_its_chunks_and_goes_whole(void)
{
    static uint8_t value[4080 * 3 + 1], room[4080 * 3 + 1];
    struct cache_case c;
    struct cache_entry entry = golden, found;
    struct cache_state state;
    struct bytes stored;
    uint64_t left = 1;

    for (size_t i = 0; i < sizeof(value); i++) {
        value[i] = (uint8_t)(i * 7 >> 3);
    }
    entry.value = bytes_of(value, sizeof(value));
    CHECK(case_begin(&c, 16 * MIB, 64 * 1024));
    struct store_txn *txn = entry_written(&c, &entry, &state);
    CHECK(txn != NULL);
    for (int round = 0; round < 3; round++) {
        CHECK_INT(cache_entry_find(txn, golden.lo, &found), 0);
        CHECK_INT(cache_entry_move(txn, &state, &found), 0);
    }
    CHECK_INT(cache_entry_find(txn, golden.lo, &found), 0);
    CHECK_INT(cache_place_seq(found.place), 10);
    CHECK_INT(cache_place_queue(found.place), CACHE_QUEUE_MAIN);
    CHECK_INT(state.queues[CACHE_QUEUE_SMALL].bytes, 0);
    CHECK_INT(state.queues[CACHE_QUEUE_MAIN].entries, 1);
    CHECK_INT(cache_entry_gather(txn, &found, room), 0);
    CHECK(memcmp(room, value, sizeof(value)) == 0);
    CHECK_INT(cache_entry_del(txn, &state, &found), 0);
    CHECK_INT(state.queues[CACHE_QUEUE_MAIN].bytes, 0);
    CHECK_INT(store_count(txn, CACHE_TABLE_CHUNK, &left), 0);
    CHECK_INT(left, 0);
    CHECK_INT(store_find_u64(txn, CACHE_TABLE_INDEX, golden.lo, &stored), AUGURY_NOT_FOUND);
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
        bytes[0] = (uint8_t)(round >> 4 & 15);
        bytes[1] &= 0x0e;
        bytes[28] = (uint8_t)(round & 15);
        bytes[29] = bytes[30] = 0;
        if (cache_entry_decode(bytes_of(bytes, len), &entry)) {
            accepted++;
            CHECK(entry.text.data + entry.text.len + entry.value.len == bytes + len);
            CHECK(entry.class < CACHE_CLASS_COUNT);
        }
    }
    CHECK(accepted > 0);
    memset(bytes, 0, sizeof(bytes));
    CHECK(cache_entry_decode(bytes_of(bytes, CACHE_ENTRY_HEADER), &entry));
    CHECK(!cache_entry_decode(bytes_of(bytes, CACHE_ENTRY_HEADER - 1), &entry));
    bytes[1] = 0x10; /* says that it has chunks */
    CHECK(!cache_entry_decode(bytes_of(bytes, CACHE_ENTRY_HEADER + 6), &entry));
    bytes[1] = 6 << 1; /* a class that is none */
    CHECK(!cache_entry_decode(bytes_of(bytes, CACHE_ENTRY_HEADER), &entry));
    CHECK(!cache_entry_decode(bytes_of(bytes, 0), &entry));
}

int
main(void)
{
    TAP_RUN(records_have_the_bytes_that_the_documents_say);
    TAP_RUN(an_entry_is_read_as_it_was_written);
    TAP_RUN(a_long_value_lies_in_chunks_of_one_page);
    TAP_RUN(a_moved_entry_keeps_its_chunks_and_goes_whole);
    TAP_RUN(bytes_that_are_no_entry_are_refused);
    return tap_done();
}
