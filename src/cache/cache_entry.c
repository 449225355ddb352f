/* SPDX-License-Identifier: MIT */
/*
 * cache_entry.c - entries, their chunks and their queue records in the environment's tables.
 * Invariants: (1) an entry has one index and one queue record with its seq; (2) no record is over
 * CACHE_PAGE_VALUE_MAX, so that LMDB never searches for neighbouring pages; (3) seq only grows, so
 * entries, chunks and queue records are appended.
 */
#include "cache_priv.h"

#include <string.h>

enum {
    /* LMDB: a node's header, its slot in the page, a u64 key; the largest value kept inside a
     * leaf. */
    NODE_OVERHEAD = 8 + 2 + 8,
    LEAF_VALUE_MAX = 2022,
    PAGE_BYTES = 4096,
};

uint32_t
cache_value_check(struct bytes value)
{
    return (uint32_t)hash64_of(value);
}

static size_t
chunk_count(size_t value_len)
{
    return (value_len + CACHE_PAGE_VALUE_MAX - 1) / CACHE_PAGE_VALUE_MAX;
}

static bool
is_inline(size_t text_len, size_t value_len)
{
    return CACHE_ENTRY_HEADER + text_len + value_len <= CACHE_PAGE_VALUE_MAX;
}

static uint64_t
chunk_key(uint64_t seq, size_t index)
{
    return seq << CACHE_CHUNK_BITS | index;
}

bool
cache_entry_decode(struct bytes stored, struct cache_entry *out_entry)
{
    const uint8_t *p = stored.data;

    if (stored.len < CACHE_ENTRY_HEADER || p[43] != CACHE_FORMAT) {
        return false;
    }
    struct cache_entry entry = {
        .lo = le64_get(p),
        .hi = le64_get(p + 8),
        .created_wall_ms = le64_get(p + 16),
        .expires_wall_ms = le64_get(p + 24),
        .value_len = le32_get(p + 32),
        .value_check = le32_get(p + 36),
        .class = p[42],
        .flags = p[44],
        .stamp = le64_get(p + 48),
        .stale_s = le32_get(p + 56),
        .cost_us = le32_get(p + 60),
    };
    for (size_t i = 0; i < CACHE_TAGS; i++) {
        entry.tags[i] = le16_get(p + 64 + 2 * i);
    }
    size_t text_len = le16_get(p + 40);
    size_t left = stored.len - CACHE_ENTRY_HEADER;
    size_t inside = (entry.flags & CACHE_ENTRY_CHUNKED) != 0 ? 0 : entry.value_len;
    if (text_len > CACHE_KEY_TEXT_MAX || entry.value_len > CACHE_VALUE_MAX ||
        entry.class >= CACHE_CLASS_COUNT || left != text_len + inside) {
        return false;
    }
    entry.text = bytes_of(p + CACHE_ENTRY_HEADER, text_len);
    entry.value = bytes_of(p + CACHE_ENTRY_HEADER + text_len, inside);
    *out_entry = entry;
    return true;
}

static void
entry_encode(const struct cache_entry *entry, uint8_t *out)
{
    memset(out, 0, CACHE_ENTRY_HEADER);
    le64_put(out, entry->lo);
    le64_put(out + 8, entry->hi);
    le64_put(out + 16, entry->created_wall_ms);
    le64_put(out + 24, entry->expires_wall_ms);
    le32_put(out + 32, (uint32_t)entry->value.len);
    le32_put(out + 36, entry->value_check);
    le16_put(out + 40, (uint16_t)entry->text.len);
    out[42] = entry->class;
    out[43] = CACHE_FORMAT;
    out[44] = is_inline(entry->text.len, entry->value.len) ? 0 : CACHE_ENTRY_CHUNKED;
    le64_put(out + 48, entry->stamp);
    le32_put(out + 56, entry->stale_s);
    le32_put(out + 60, entry->cost_us);
    for (size_t i = 0; i < CACHE_TAGS; i++) {
        le16_put(out + 64 + 2 * i, entry->tags[i]);
    }
    memcpy(out + CACHE_ENTRY_HEADER, entry->text.data, entry->text.len);
    if (out[44] == 0 && entry->value.len > 0) {
        memcpy(out + CACHE_ENTRY_HEADER + entry->text.len, entry->value.data, entry->value.len);
    }
}

static size_t
record_cost(size_t len)
{
    return len <= LEAF_VALUE_MAX ? NODE_OVERHEAD + len : NODE_OVERHEAD + 8 + PAGE_BYTES;
}

uint32_t
cache_entry_cost(size_t text_len, size_t value_len)
{
    /* Pages of the index, whose keys are random, are two thirds full. */
    size_t cost = record_cost(CACHE_QUEUE_BYTES) + record_cost(CACHE_INDEX_BYTES) * 3 / 2;

    if (is_inline(text_len, value_len)) {
        return (uint32_t)(cost + record_cost(CACHE_ENTRY_HEADER + text_len + value_len));
    }
    cost += record_cost(CACHE_ENTRY_HEADER + text_len);
    cost += value_len / CACHE_PAGE_VALUE_MAX * record_cost(CACHE_PAGE_VALUE_MAX);
    if (value_len % CACHE_PAGE_VALUE_MAX != 0) {
        cost += record_cost(value_len % CACHE_PAGE_VALUE_MAX);
    }
    return (uint32_t)cost;
}

int
cache_entry_at(struct store_txn *txn, uint64_t seq, struct cache_entry *out_entry)
{
    struct bytes stored;

    int rc = store_find_u64(txn, CACHE_TABLE_ENTRY, seq, &stored);
    if (rc != 0) {
        return rc;
    }
    if (!cache_entry_decode(stored, out_entry)) {
        return AUGURY_NOT_FOUND;
    }
    out_entry->seq = seq;
    return 0;
}

int
cache_entry_find(struct store_txn *txn, uint64_t lo, struct cache_entry *out_entry)
{
    struct bytes index;

    int rc = store_find_u64(txn, CACHE_TABLE_INDEX, lo, &index);
    if (rc != 0) {
        return rc;
    }
    if (index.len != CACHE_INDEX_BYTES) {
        return AUGURY_NOT_FOUND;
    }
    uint64_t hi = le64_get(index.data);
    rc = cache_entry_at(txn, le64_get(index.data + 8), out_entry);
    if (rc == 0 && (out_entry->lo != lo || out_entry->hi != hi)) {
        return AUGURY_NOT_FOUND;
    }
    return rc;
}

int
cache_entry_gather(struct store_txn *txn, const struct cache_entry *entry, uint8_t *room)
{
    size_t at = 0;

    for (size_t i = 0; at < entry->value_len; i++) {
        struct bytes chunk;
        int rc = store_find_u64(txn, CACHE_TABLE_CHUNK, chunk_key(entry->seq, i), &chunk);
        if (rc != 0) {
            return rc;
        }
        size_t left = entry->value_len - at;
        if (chunk.len != (left < CACHE_PAGE_VALUE_MAX ? left : CACHE_PAGE_VALUE_MAX)) {
            return AUGURY_NOT_FOUND;
        }
        memcpy(room + at, chunk.data, chunk.len);
        at += chunk.len;
    }
    return 0;
}

/* A record that is gone already is no error: what matters is that it is not there. */
static int
del_if_there(struct store_txn *txn, store_table_id table, uint64_t key)
{
    int rc = store_del_u64(txn, table, key);
    return rc == AUGURY_NOT_FOUND ? 0 : rc;
}

int
cache_entry_del(struct store_txn *txn, struct cache_state *state, const struct cache_entry *entry)
{
    uint64_t seq = entry->seq;
    uint8_t class = entry->class;
    size_t chunks = (entry->flags & CACHE_ENTRY_CHUNKED) != 0 ? chunk_count(entry->value_len) : 0;

    int rc = store_del_u64(txn, CACHE_TABLE_INDEX, entry->lo);
    if (rc == 0) {
        rc = store_del_u64(txn, CACHE_TABLE_ENTRY, seq);
    }
    for (size_t i = 0; rc == 0 && i < chunks; i++) {
        rc = del_if_there(txn, CACHE_TABLE_CHUNK, chunk_key(seq, i));
    }
    if (rc == 0) {
        rc = del_if_there(txn, CACHE_TABLE_QUEUE, seq);
    }
    if (rc == 0 && state->entries_of_class[class] > 0) {
        state->entries_of_class[class]--;
    }
    return rc;
}

static int
chunks_put(struct store_txn *txn, uint64_t seq, struct bytes value)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < chunk_count(value.len); i++) {
        size_t at = i * CACHE_PAGE_VALUE_MAX;
        size_t left = value.len - at;
        struct bytes chunk =
            bytes_of(value.data + at, left < CACHE_PAGE_VALUE_MAX ? left : CACHE_PAGE_VALUE_MAX);
        rc = store_put_u64(txn, CACHE_TABLE_CHUNK, chunk_key(seq, i), chunk, STORE_PUT_APPEND);
    }
    return rc;
}

static int
queue_put(struct store_txn *txn, const struct cache_entry *entry)
{
    uint8_t record[CACHE_QUEUE_BYTES] = {0};

    le64_put(record, entry->lo);
    le64_put(record + 8, entry->expires_wall_ms);
    le32_put(record + 16, cache_entry_cost(entry->text.len, entry->value.len));
    record[20] = entry->class;
    return store_put_u64(txn, CACHE_TABLE_QUEUE, entry->seq, bytes_of(record, sizeof(record)),
                         STORE_PUT_APPEND);
}

static int
index_put(struct store_txn *txn, const struct cache_entry *entry)
{
    uint8_t record[CACHE_INDEX_BYTES];

    le64_put(record, entry->hi);
    le64_put(record + 8, entry->seq);
    return store_put_u64(txn, CACHE_TABLE_INDEX, entry->lo, bytes_of(record, sizeof(record)),
                         STORE_PUT_REPLACE);
}

/* Whatever is stored under lo goes; a record that cannot be decoded is simply overwritten. */
static int
displace(struct store_txn *txn, struct cache_state *state, uint64_t lo)
{
    struct cache_entry old;

    int rc = cache_entry_find(txn, lo, &old);
    if (rc == 0) {
        return cache_entry_del(txn, state, &old);
    }
    return rc == AUGURY_NOT_FOUND ? 0 : rc;
}

int
cache_entry_put(struct store_txn *txn, struct cache_state *state, const struct cache_entry *entry)
{
    size_t len = CACHE_ENTRY_HEADER + entry->text.len;
    uint8_t *room;

    bool is_whole = is_inline(entry->text.len, entry->value.len);
    int rc = displace(txn, state, entry->lo);
    if (rc == 0) {
        rc = index_put(txn, entry);
    }
    if (rc == 0) {
        rc = queue_put(txn, entry);
    }
    if (rc == 0 && !is_whole) {
        rc = chunks_put(txn, entry->seq, entry->value);
    }
    if (rc == 0) {
        len += is_whole ? entry->value.len : 0;
        rc = store_reserve_u64(txn, CACHE_TABLE_ENTRY, entry->seq, len, STORE_PUT_APPEND, &room);
    }
    if (rc == 0) {
        entry_encode(entry, room);
        state->entries_of_class[entry->class]++;
    }
    return rc;
}

bool
cache_queued_decode(struct bytes key, struct bytes value, struct cache_queued *out_queued)
{
    if (key.len != 8 || value.len != CACHE_QUEUE_BYTES || value.data[20] >= CACHE_CLASS_COUNT) {
        return false;
    }
    memcpy(&out_queued->seq, key.data, 8);
    out_queued->lo = le64_get(value.data);
    out_queued->expires_wall_ms = le64_get(value.data + 8);
    out_queued->cost_bytes = le32_get(value.data + 16);
    out_queued->class = value.data[20];
    return true;
}

int
cache_queued_del(struct store_txn *txn, struct cache_state *state,
                 const struct cache_queued *queued)
{
    struct cache_entry entry;

    int rc = cache_entry_find(txn, queued->lo, &entry);
    if (rc == 0 && entry.seq == queued->seq) {
        return cache_entry_del(txn, state, &entry);
    }
    if (rc < 0) {
        return rc;
    }
    rc = del_if_there(txn, CACHE_TABLE_ENTRY, queued->seq);
    return rc == 0 ? del_if_there(txn, CACHE_TABLE_QUEUE, queued->seq) : rc;
}

int
cache_queue_read(struct store_txn *txn, uint64_t from_seq, struct cache_queued *out_queued,
                 size_t max, size_t *out_count)
{
    struct store_cursor *cursor = NULL;
    struct bytes key, value;
    size_t count = 0;

    int rc = store_cursor_open(txn, CACHE_TABLE_QUEUE, &cursor);
    if (rc == 0) {
        rc = store_cursor_seek(cursor, bytes_of(&from_seq, sizeof(from_seq)), &key, &value);
    }
    while (rc == 0 && count < max) {
        if (!cache_queued_decode(key, value, &out_queued[count])) {
            rc = AUGURY_ERR_CORRUPT;
            break;
        }
        count++;
        rc = store_cursor_next(cursor, &key, &value);
    }
    store_cursor_close(&cursor);
    if (rc < 0) {
        return rc;
    }
    *out_count = count;
    return 0;
}

int
cache_state_read(struct store_txn *txn, struct cache_state *out_state)
{
    struct bytes stored;

    int rc = store_find(txn, CACHE_TABLE_META, bytes_of_text("state"), &stored);
    if (rc != 0) {
        return rc;
    }
    if (stored.len != CACHE_STATE_BYTES || le64_get(stored.data) != CACHE_FORMAT) {
        return AUGURY_ERR_CORRUPT;
    }
    out_state->next_seq = le64_get(stored.data + 8);
    out_state->quota_bytes = le64_get(stored.data + 16);
    for (size_t i = 0; i < CACHE_CLASS_COUNT; i++) {
        out_state->entries_of_class[i] = le64_get(stored.data + 24 + 8 * i);
    }
    return 0;
}

int
cache_state_write(struct store_txn *txn, const struct cache_state *state)
{
    uint8_t record[CACHE_STATE_BYTES] = {0};

    le64_put(record, CACHE_FORMAT);
    le64_put(record + 8, state->next_seq);
    le64_put(record + 16, state->quota_bytes);
    for (size_t i = 0; i < CACHE_CLASS_COUNT; i++) {
        le64_put(record + 24 + 8 * i, state->entries_of_class[i]);
    }
    return store_put(txn, CACHE_TABLE_META, bytes_of_text("state"),
                     bytes_of(record, sizeof(record)), STORE_PUT_REPLACE);
}
