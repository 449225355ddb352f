/* SPDX-License-Identifier: MIT */
/*
 * cache_entry.c - entries, their chunks and their index records in the environment's tables.
 * Invariants: (1) an entry has one index record with its place; one that left its queue from the
 * head may leave its index record for a while, with a place before the head; (2) no record is over
 * CACHE_PAGE_VALUE_MAX, so that LMDB never searches for neighbouring pages, and a chunk is large
 * enough to have a page to itself, so that chunks which stay when their neighbours go waste
 * nothing; (3) seq only grows: entries, moved ones too, and chunks are appended.
 */
#include "cache_priv.h"

#include <string.h>

enum {
    /* LMDB: a node's header, its slot in the page, a u64 key; the largest value kept inside a
     * leaf. */
    NODE_OVERHEAD = 8 + 2 + 8,
    LEAF_VALUE_MAX = 2022,
    PAGE_BYTES = 4096,
    CHUNK_SEQ_BYTES = 6, /* after the header of a chunked entry */
    TEXT_BITS = 9,       /* of the first word: text length, then class, then flags */
    CLASS_BITS = 3,
    TRIM_MAX = 64, /* index records removed at once */
};
static const uint64_t max_48 = (UINT64_C(1) << 48) - 1;
static const uint32_t max_24 = (UINT32_C(1) << 24) - 1;

const struct store_table_spec cache_tables[CACHE_TABLE_COUNT] = {
    [CACHE_TABLE_INDEX] = {"index", STORE_TABLE_U64},
    [CACHE_TABLE_SMALL] = {"small", STORE_TABLE_U64},
    [CACHE_TABLE_MAIN] = {"main", STORE_TABLE_U64},
    [CACHE_TABLE_CHUNK] = {"chunk", STORE_TABLE_U64},
    [CACHE_TABLE_META] = {"meta", STORE_TABLE_BYTES},
    [CACHE_TABLE_INVALID] = {"invalid", STORE_TABLE_U64},
};

/* How much of a value lies in the entry's own record, and how many chunks before that. */
struct layout {
    size_t chunks;
    size_t inside;
};

uint32_t
cache_value_check(struct bytes value)
{
    return (uint32_t)hash64_of(value);
}

enum cache_queue
cache_place_queue(uint64_t place)
{
    return (place & cache_place_main) != 0 ? CACHE_QUEUE_MAIN : CACHE_QUEUE_SMALL;
}

uint64_t
cache_place_seq(uint64_t place)
{
    return place & (cache_place_main - 1);
}

uint64_t
cache_place_of(enum cache_queue queue, uint64_t seq)
{
    return seq | (queue == CACHE_QUEUE_MAIN ? cache_place_main : 0);
}

static store_table_id
table_of(enum cache_queue queue)
{
    return queue == CACHE_QUEUE_MAIN ? CACHE_TABLE_MAIN : CACHE_TABLE_SMALL;
}

static uint64_t
chunk_key(uint64_t seq, size_t index)
{
    return seq << CACHE_CHUNK_BITS | index;
}

static uint64_t
le48_get(const uint8_t *p)
{
    return le32_get(p) | (uint64_t)le16_get(p + 4) << 32;
}

/* What does not fit is stored as the most that does. */
static void
le48_put(uint8_t *p, uint64_t value)
{
    value = value > max_48 ? max_48 : value;
    le32_put(p, (uint32_t)value);
    le16_put(p + 4, (uint16_t)(value >> 32));
}

static uint32_t
le24_get(const uint8_t *p)
{
    return le16_get(p) | (uint32_t)p[2] << 16;
}

static void
le24_put(uint8_t *p, uint32_t value)
{
    value = value > max_24 ? max_24 : value;
    le16_put(p, (uint16_t)value);
    p[2] = (uint8_t)(value >> 16);
}

/* ---- one entry's bytes --------------------------------------------------------------------- */

static struct layout
layout_of(size_t text_len, size_t value_len)
{
    if (CACHE_ENTRY_HEADER + text_len + value_len <= CACHE_PAGE_VALUE_MAX) {
        return (struct layout){.inside = value_len};
    }
    struct layout layout = {.chunks = value_len / CACHE_PAGE_VALUE_MAX,
                            .inside = value_len % CACHE_PAGE_VALUE_MAX};
    if (CACHE_ENTRY_HEADER + CHUNK_SEQ_BYTES + text_len + layout.inside > CACHE_PAGE_VALUE_MAX) {
        layout.chunks++;
        layout.inside = 0;
    }
    return layout;
}

static size_t
header_bytes(struct layout layout)
{
    return CACHE_ENTRY_HEADER + (layout.chunks > 0 ? CHUNK_SEQ_BYTES : 0);
}

bool
cache_entry_decode(struct bytes stored, struct cache_entry *out_entry)
{
    const uint8_t *p = stored.data;

    if (stored.len < CACHE_ENTRY_HEADER) {
        return false;
    }
    unsigned word = le16_get(p);
    struct cache_entry entry = {
        .value_check = le32_get(p + 2),
        .created_wall_ms = le48_get(p + 6),
        .expires_wall_ms = le48_get(p + 12),
        .stamp = le48_get(p + 18),
        .cost_us = le32_get(p + 24),
        .value_len = le24_get(p + 28),
        .stale_s = le24_get(p + 31),
        .class = (uint8_t)(word >> TEXT_BITS & ((1u << CLASS_BITS) - 1)),
        .flags = (uint8_t)(word >> (TEXT_BITS + CLASS_BITS)),
    };
    for (size_t i = 0; i < CACHE_TAGS; i++) {
        entry.tags[i] = le16_get(p + 34 + 2 * i);
    }
    size_t text_len = word & ((1u << TEXT_BITS) - 1);
    struct layout layout = layout_of(text_len, entry.value_len);
    size_t header = header_bytes(layout);
    if (text_len > CACHE_KEY_TEXT_MAX || entry.value_len > CACHE_VALUE_MAX ||
        entry.class >= CACHE_CLASS_COUNT ||
        entry.flags != (layout.chunks > 0 ? CACHE_ENTRY_CHUNKED : 0) ||
        stored.len != header + text_len + layout.inside) {
        return false;
    }
    entry.chunk_seq = layout.chunks > 0 ? le48_get(p + CACHE_ENTRY_HEADER) : 0;
    entry.stored = stored;
    entry.text = bytes_of(p + header, text_len);
    entry.value = bytes_of(p + header + text_len, layout.inside);
    *out_entry = entry;
    return true;
}

static void
entry_encode(const struct cache_entry *entry, uint64_t seq, struct layout layout, uint8_t *out)
{
    unsigned flags = layout.chunks > 0 ? CACHE_ENTRY_CHUNKED : 0;
    size_t header = header_bytes(layout);

    le16_put(out, (uint16_t)(entry->text.len | (unsigned)entry->class << TEXT_BITS |
                             flags << (TEXT_BITS + CLASS_BITS)));
    le32_put(out + 2, entry->value_check);
    le48_put(out + 6, entry->created_wall_ms);
    le48_put(out + 12, entry->expires_wall_ms);
    le48_put(out + 18, entry->stamp);
    le32_put(out + 24, entry->cost_us);
    le24_put(out + 28, (uint32_t)entry->value.len);
    le24_put(out + 31, entry->stale_s);
    for (size_t i = 0; i < CACHE_TAGS; i++) {
        le16_put(out + 34 + 2 * i, entry->tags[i]);
    }
    if (layout.chunks > 0) {
        le48_put(out + CACHE_ENTRY_HEADER, seq);
    }
    memcpy(out + header, entry->text.data, entry->text.len);
    if (layout.inside > 0) {
        memcpy(out + header + entry->text.len, entry->value.data + entry->value.len - layout.inside,
               layout.inside);
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
    struct layout layout = layout_of(text_len, value_len);

    /* Pages of the index, whose keys are random, are two thirds full. */
    size_t cost = record_cost(CACHE_INDEX_BYTES) * 3 / 2;
    cost += record_cost(header_bytes(layout) + text_len + layout.inside);
    cost += layout.chunks * record_cost(CACHE_PAGE_VALUE_MAX);
    return (uint32_t)cost;
}

/* ---- reading ------------------------------------------------------------------------------- */

int
cache_entry_stored(struct store_txn *txn, uint64_t place, struct bytes *out_stored)
{
    return store_find_u64(txn, table_of(cache_place_queue(place)), cache_place_seq(place),
                          out_stored);
}

int
cache_entry_at(struct store_txn *txn, uint64_t place, struct cache_entry *out_entry)
{
    struct bytes stored;

    int rc = cache_entry_stored(txn, place, &stored);
    if (rc != 0) {
        return rc;
    }
    if (!cache_entry_decode(stored, out_entry)) {
        return AUGURY_NOT_FOUND;
    }
    out_entry->place = place;
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
    rc = cache_entry_at(txn, le48_get(index.data), out_entry);
    if (rc == 0) {
        out_entry->lo = lo;
    }
    return rc;
}

int
cache_entry_gather(struct store_txn *txn, const struct cache_entry *entry, uint8_t *room)
{
    size_t in_chunks = entry->value_len - entry->value.len;
    size_t at = 0;

    for (size_t i = 0; at < in_chunks; i++) {
        struct bytes chunk;
        int rc = store_find_u64(txn, CACHE_TABLE_CHUNK, chunk_key(entry->chunk_seq, i), &chunk);
        if (rc != 0) {
            return rc;
        }
        size_t left = in_chunks - at;
        if (chunk.len != (left < CACHE_PAGE_VALUE_MAX ? left : CACHE_PAGE_VALUE_MAX)) {
            return AUGURY_NOT_FOUND;
        }
        memcpy(room + at, chunk.data, chunk.len);
        at += chunk.len;
    }
    if (entry->value.len > 0) {
        memcpy(room + at, entry->value.data, entry->value.len);
    }
    return 0;
}

int
cache_entry_read(struct store_txn *txn, enum cache_queue queue, uint64_t from_seq,
                 struct cache_entry *out_entries, size_t max, size_t *out_count)
{
    struct store_cursor *cursor = NULL;
    struct bytes key, value;
    size_t count = 0;

    int rc = store_cursor_open(txn, table_of(queue), &cursor);
    if (rc == 0) {
        rc = store_cursor_seek(cursor, bytes_of(&from_seq, sizeof(from_seq)), &key, &value);
    }
    while (rc == 0 && count < max) {
        uint64_t seq;
        if (key.len != sizeof(seq) || !cache_entry_decode(value, &out_entries[count])) {
            rc = AUGURY_ERR_CORRUPT;
            break;
        }
        memcpy(&seq, key.data, sizeof(seq));
        out_entries[count++].place = cache_place_of(queue, seq);
        rc = count < max ? store_cursor_next(cursor, &key, &value) : 0;
    }
    store_cursor_close(&cursor);
    if (rc < 0) {
        return rc;
    }
    *out_count = count;
    return 0;
}

int
cache_entry_walk(struct store_txn *txn, uint64_t from, struct cache_entry *out_entries, size_t max,
                 size_t *out_count, uint64_t *out_next)
{
    enum cache_queue queue = cache_place_queue(from);
    size_t count = 0, more = 0;

    int rc = cache_entry_read(txn, queue, cache_place_seq(from), out_entries, max, &count);
    if (rc == 0 && count < max && queue == CACHE_QUEUE_SMALL) {
        rc = cache_entry_read(txn, CACHE_QUEUE_MAIN, 0, out_entries + count, max - count, &more);
    }
    if (rc != 0) {
        return rc;
    }
    *out_count = count + more;
    *out_next = count + more == max ? out_entries[max - 1].place + 1 : 0;
    return 0;
}

/* ---- writing ------------------------------------------------------------------------------- */

/* A record that is gone already is no error: what matters is that it is not there. */
static int
del_if_there(struct store_txn *txn, store_table_id table, uint64_t key)
{
    int rc = store_del_u64(txn, table, key);
    return rc == AUGURY_NOT_FOUND ? 0 : rc;
}

static void
queue_add(struct cache_state *state, enum cache_queue queue, uint32_t cost)
{
    state->queues[queue].entries++;
    state->queues[queue].bytes += cost;
}

static void
queue_sub(struct cache_state *state, enum cache_queue queue, uint32_t cost)
{
    struct cache_queue_state *sums = &state->queues[queue];

    sums->entries -= sums->entries > 0 ? 1 : 0;
    sums->bytes -= sums->bytes > cost ? cost : sums->bytes;
}

int
cache_entry_behead(struct store_txn *txn, struct cache_state *state,
                   const struct cache_entry *entry)
{
    enum cache_queue queue = cache_place_queue(entry->place);
    struct layout layout = layout_of(entry->text.len, entry->value_len);

    int rc = store_del_u64(txn, table_of(queue), cache_place_seq(entry->place));
    for (size_t i = 0; rc == 0 && i < layout.chunks; i++) {
        rc = del_if_there(txn, CACHE_TABLE_CHUNK, chunk_key(entry->chunk_seq, i));
    }
    if (rc == 0) {
        state->entries_of_class[entry->class] -= state->entries_of_class[entry->class] > 0 ? 1 : 0;
        queue_sub(state, queue, cache_entry_cost(entry->text.len, entry->value_len));
    }
    return rc;
}

int
cache_entry_del(struct store_txn *txn, struct cache_state *state, const struct cache_entry *entry)
{
    int rc = del_if_there(txn, CACHE_TABLE_INDEX, entry->lo);
    return rc == 0 ? cache_entry_behead(txn, state, entry) : rc;
}

/* Keys of dead records among the next looks of them; *lo moves on, to 0 after the last. */
static int
index_dead_find(struct store_txn *txn, const uint64_t first_seqs[static CACHE_QUEUE_COUNT],
                uint64_t looks, uint64_t *lo, uint64_t out_keys[static TRIM_MAX], size_t *out_count)
{
    struct store_cursor *cursor = NULL;
    struct bytes key, value;
    uint64_t from = *lo;
    size_t count = 0;

    int rc = store_cursor_open(txn, CACHE_TABLE_INDEX, &cursor);
    if (rc == 0) {
        rc = store_cursor_seek(cursor, bytes_of(&from, sizeof(from)), &key, &value);
    }
    for (; rc == 0 && looks > 0 && count < TRIM_MAX; looks--) {
        uint64_t at, place = value.len == CACHE_INDEX_BYTES ? le48_get(value.data) : 0;
        memcpy(&at, key.data, sizeof(at));
        if (cache_place_seq(place) < first_seqs[cache_place_queue(place)]) {
            out_keys[count++] = at;
        }
        *lo = at + 1;
        rc = store_cursor_next(cursor, &key, &value);
    }
    store_cursor_close(&cursor);
    if (rc == AUGURY_END) {
        *lo = 0;
    }
    *out_count = count;
    return rc < 0 ? rc : 0;
}

int
cache_index_trim(struct store_txn *txn, const uint64_t first_seqs[static CACHE_QUEUE_COUNT],
                 uint64_t looks, uint64_t *lo)
{
    uint64_t keys[TRIM_MAX];
    size_t count = 0;

    int rc = index_dead_find(txn, first_seqs, looks, lo, keys, &count);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = store_del_u64(txn, CACHE_TABLE_INDEX, keys[i]);
    }
    return rc;
}

static int
chunks_put(struct store_txn *txn, uint64_t seq, struct bytes value)
{
    int rc = 0;

    for (size_t at = 0; rc == 0 && at < value.len; at += CACHE_PAGE_VALUE_MAX) {
        size_t left = value.len - at;
        struct bytes chunk =
            bytes_of(value.data + at, left < CACHE_PAGE_VALUE_MAX ? left : CACHE_PAGE_VALUE_MAX);
        rc = store_put_u64(txn, CACHE_TABLE_CHUNK, chunk_key(seq, at / CACHE_PAGE_VALUE_MAX), chunk,
                           STORE_PUT_APPEND);
    }
    return rc;
}

static int
index_put(struct store_txn *txn, uint64_t lo, uint64_t place)
{
    uint8_t record[CACHE_INDEX_BYTES];

    le48_put(record, place);
    return store_put_u64(txn, CACHE_TABLE_INDEX, lo, bytes_of(record, sizeof(record)),
                         STORE_PUT_REPLACE);
}

int
cache_entry_put(struct store_txn *txn, struct cache_state *state, enum cache_queue queue,
                const struct cache_entry *entry)
{
    struct layout layout = layout_of(entry->text.len, entry->value.len);
    size_t len = header_bytes(layout) + entry->text.len + layout.inside;
    uint64_t seq = state->next_seq++;
    uint8_t *room;

    int rc = index_put(txn, entry->lo, cache_place_of(queue, seq));
    if (rc == 0 && layout.chunks > 0) {
        rc = chunks_put(txn, seq, bytes_of(entry->value.data, entry->value.len - layout.inside));
    }
    if (rc == 0) {
        rc = store_reserve_u64(txn, table_of(queue), seq, len, STORE_PUT_APPEND, &room);
    }
    if (rc == 0) {
        entry_encode(entry, seq, layout, room);
        state->entries_of_class[entry->class]++;
        queue_add(state, queue, cache_entry_cost(entry->text.len, entry->value.len));
    }
    return rc;
}

int
cache_entry_move(struct store_txn *txn, struct cache_state *state, const struct cache_entry *entry)
{
    enum cache_queue from = cache_place_queue(entry->place);
    uint32_t cost = cache_entry_cost(entry->text.len, entry->value_len);
    uint8_t copy[CACHE_PAGE_VALUE_MAX];
    struct bytes stored;
    uint64_t seq = state->next_seq++;

    int rc = cache_entry_stored(txn, entry->place, &stored);
    if (rc == 0 && stored.len > sizeof(copy)) {
        rc = AUGURY_ERR_CORRUPT;
    }
    if (rc != 0) {
        return rc;
    }
    /* The page that it lies in may be the one that it goes to. */
    memcpy(copy, stored.data, stored.len);
    rc = store_del_u64(txn, table_of(from), cache_place_seq(entry->place));
    if (rc == 0) {
        rc =
            store_put_u64(txn, CACHE_TABLE_MAIN, seq, bytes_of(copy, stored.len), STORE_PUT_APPEND);
    }
    if (rc == 0) {
        rc = index_put(txn, entry->lo, cache_place_of(CACHE_QUEUE_MAIN, seq));
    }
    if (rc == 0) {
        queue_sub(state, from, cost);
        queue_add(state, CACHE_QUEUE_MAIN, cost);
    }
    return rc;
}

/* ---- the state ----------------------------------------------------------------------------- */

int
cache_state_read(struct store_txn *txn, struct cache_state *out_state)
{
    struct bytes stored;

    int rc = store_find(txn, CACHE_TABLE_META, bytes_of_text("state"), &stored);
    if (rc != 0) {
        return rc;
    }
    const uint8_t *p = stored.data;
    if (stored.len != CACHE_STATE_BYTES || le64_get(p) != CACHE_FORMAT) {
        return AUGURY_ERR_CORRUPT;
    }
    out_state->next_seq = le64_get(p + 8);
    out_state->quota_bytes = le64_get(p + 16);
    for (size_t i = 0; i < CACHE_CLASS_COUNT; i++) {
        out_state->entries_of_class[i] = le64_get(p + 24 + 8 * i);
    }
    for (size_t i = 0; i < CACHE_QUEUE_COUNT; i++) {
        out_state->queues[i].entries = le64_get(p + 72 + 16 * i);
        out_state->queues[i].bytes = le64_get(p + 80 + 16 * i);
    }
    out_state->has_evicted = p[104] != 0;
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
    for (size_t i = 0; i < CACHE_QUEUE_COUNT; i++) {
        le64_put(record + 72 + 16 * i, state->queues[i].entries);
        le64_put(record + 80 + 16 * i, state->queues[i].bytes);
    }
    record[104] = state->has_evicted ? 1 : 0;
    return store_put(txn, CACHE_TABLE_META, bytes_of_text("state"),
                     bytes_of(record, sizeof(record)), STORE_PUT_REPLACE);
}
