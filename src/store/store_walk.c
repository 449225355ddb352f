/* SPDX-License-Identifier: MIT */
/*
 * store_walk.c - finds a record of a snapshot by its number, reading LMDB's pages itself.
 * Why: mdb_get() halves every page, and among a million records each of those ten to fifteen looks
 * is a line of memory far away. The page above says which numbers a page holds; appended numbers
 * and those of digests lie evenly between them, so the place is guessed and one or two lines are
 * looked at. Where a table begins is asked for once a commit, not once a snapshot.
 * Offsets are those of LMDB 0.9's data format (version word 1, see store_file.c) on 64-bit
 * machines. A snapshot's pages do not change while it is live.
 * Invariants: (1) whatever is in a page, nothing outside the environment's pages is read; (2) what
 * looks different from what is expected ends as WALK_UNSURE, and LMDB is asked.
 */
#include "store_priv.h"

#include <string.h>

enum {
    PAGE_FLAGS = 10,
    PAGE_LOWER = 12,
    PAGE_PAGES = 12, /* of a long value's first page */
    PAGE_HEADER = 16,
    IS_BRANCH = 1,
    IS_LEAF = 2,
    IS_LONG = 4,
    NODE_FLAGS = 4,
    NODE_KEY_LEN = 6,
    NODE_KEY = 8,
    NODE_DATA = 16, /* after a key of 8 bytes */
    VALUE_IS_LONG = 1,
    RECORD_BYTES = 48, /* of a table, among the environment's names */
    RECORD_ROOT = 40,
    DEPTH_MAX = 32,
    LINE_BYTES = 64,
    LINES_SOON = 12, /* the processor fetches on by itself */
    GUESSES = 4,     /* then it halves: numbers may lie as unevenly as they like */
};

struct page {
    const uint8_t *at;
    size_t bytes;
    size_t slots;
    bool is_leaf;
};

/* What the pages above say of the numbers in a page: low <= number < high. */
struct bounds {
    uint64_t low, high;
    bool has_low, has_high;
};

/* ---- where the map and the tables begin ---------------------------------------------------- */

/* The record lies in the page that the meta page of this commit names. */
static void
map_find(struct store_txn *txn, const uint8_t *record)
{
    uint64_t page;

    txn->map = NULL;
    txn->map_moves = atomic_load_explicit(&txn->store->map_moves, memory_order_relaxed);
    const uint8_t *at = record - ((uintptr_t)record & (txn->store->page_bytes - 1));
    /* A page begins with its number. */
    if (store_file_names_page(txn->store->env, txn->txn_id, txn->store->page_bytes, &page) == 0 &&
        native64(at) == page) {
        txn->map = at - page * txn->store->page_bytes;
    }
}

/* Once a commit. */
static uint64_t
root_find(struct store_txn *txn, store_table_id table)
{
    struct store *store = txn->store;
    MDB_envinfo info;
    struct bytes name = bytes_of_text(store->specs[table].name);
    MDB_val key = store_val(name), record;

    txn->roots[table] = (struct store_root){.txn_id = txn->txn_id};
    int rc = mdb_get(txn->txn, store->names, &key, &record);
    if (rc != 0 || record.mv_size != RECORD_BYTES || mdb_env_info(store->env, &info) != 0) {
        return 0;
    }
    if (txn->map == NULL ||
        txn->map_moves != atomic_load_explicit(&store->map_moves, memory_order_relaxed)) {
        map_find(txn, record.mv_data);
    }
    txn->page_end = 0;
    if (txn->map == NULL) {
        return 0;
    }
    /* Another process may have made more of it than is mapped here. */
    uint64_t mapped = info.me_mapsize / store->page_bytes;
    txn->page_end = info.me_last_pgno < mapped ? info.me_last_pgno + 1 : mapped;
    txn->roots[table].page = native64((const uint8_t *)record.mv_data + RECORD_ROOT);
    return txn->roots[table].page;
}

/* ---- pages --------------------------------------------------------------------------------- */

static bool
page_open(const struct store_txn *txn, uint64_t number, struct page *out_page)
{
    size_t bytes = txn->store->page_bytes;

    if (number >= txn->page_end) {
        return false;
    }
    const uint8_t *at = txn->map + number * bytes;
    unsigned flags = native16(at + PAGE_FLAGS), lower = native16(at + PAGE_LOWER);
    if ((flags != IS_LEAF && flags != IS_BRANCH) || lower < PAGE_HEADER || lower > bytes) {
        return false;
    }
    *out_page = (struct page){
        .at = at, .bytes = bytes, .slots = (lower - PAGE_HEADER) / 2, .is_leaf = flags == IS_LEAF};
    return true;
}

/* NULL: no node whose first bytes the page could hold. */
static const uint8_t *
node_at(const struct page *page, size_t slot, size_t bytes)
{
    size_t at = native16(page->at + PAGE_HEADER + 2 * slot);

    return at <= page->bytes - bytes ? page->at + at : NULL;
}

/* A slot to look at next, first <= slot < end: where the number would be if they lay evenly. */
static size_t
slot_guess(const struct bounds *bounds, uint64_t number, size_t first, size_t end, size_t low_slot)
{
    double share = (double)(number - bounds->low) * (double)(end - low_slot) /
                   (double)(bounds->high - bounds->low);
    size_t slot = low_slot + (size_t)share;

    slot = slot < first ? first : slot;
    return slot < end ? slot : end - 1;
}

static size_t
slot_next(const struct bounds *bounds, uint64_t number, size_t first, size_t end, size_t low_slot,
          unsigned looks)
{
    if (!bounds->has_low) {
        return first;
    }
    if (!bounds->has_high) {
        return end - 1;
    }
    return looks < GUESSES ? slot_guess(bounds, number, first, end, low_slot)
                           : first + (end - first) / 2;
}

/* The first slot whose number is greater; *bounds become those of what lies between it and the one
 * before. A branch's slot 0 holds no number: what is less than that of slot 1 lies below it. */
static bool
slot_find(const struct page *page, uint64_t number, struct bounds *bounds, size_t *out_slot)
{
    size_t first = page->is_leaf ? 0 : 1, end = page->slots, low_slot = 0;

    for (unsigned looks = 0; first < end; looks++) {
        size_t slot = slot_next(bounds, number, first, end, low_slot, looks);
        const uint8_t *node = node_at(page, slot, NODE_DATA);
        if (node == NULL || native16(node + NODE_KEY_LEN) != sizeof(number)) {
            return false;
        }
        uint64_t here = native64(node + NODE_KEY);
        if (here <= number) {
            low_slot = slot;
            first = slot + 1;
            bounds->low = here;
            bounds->has_low = true;
            if (here == number && page->is_leaf) {
                break;
            }
        } else {
            end = slot;
            bounds->high = here;
            bounds->has_high = true;
        }
    }
    *out_slot = first;
    return true;
}

/* 0, which is no page of a table: not to be known. */
static uint64_t
child_of(const struct page *page, size_t slot)
{
    const uint8_t *node = node_at(page, slot, NODE_KEY);

    return node == NULL ? 0 : native32(node) | (uint64_t)native16(node + NODE_FLAGS) << 32;
}

/* The three lines that a look into a branch takes, if it was filled by appending. */
static void
branch_prefetch(const struct store_txn *txn, uint64_t at, const struct bounds *bounds,
                uint64_t number)
{
    size_t bytes = txn->store->page_bytes;
    size_t slots = (bytes - PAGE_HEADER) / (NODE_DATA + 2);

    if (at >= txn->page_end || !bounds->has_low || !bounds->has_high) {
        return;
    }
    const uint8_t *page = txn->map + at * bytes;
    size_t slot = slot_guess(bounds, number, 1, slots, 0);
    __builtin_prefetch(page);
    __builtin_prefetch(page + PAGE_HEADER + 2 * slot);
    __builtin_prefetch(page + bytes - NODE_DATA * (slot + 1));
}

/* ---- values -------------------------------------------------------------------------------- */

static enum store_walk
long_value(const struct store_txn *txn, uint64_t number, size_t len, struct bytes *out_value)
{
    size_t bytes = txn->store->page_bytes;

    if (number >= txn->page_end) {
        return STORE_WALK_UNSURE;
    }
    const uint8_t *at = txn->map + number * bytes;
    uint64_t pages = native32(at + PAGE_PAGES);
    if (native16(at + PAGE_FLAGS) != IS_LONG || pages > txn->page_end - number ||
        len + PAGE_HEADER > pages * bytes) {
        return STORE_WALK_UNSURE;
    }
    *out_value = bytes_of(at + PAGE_HEADER, len);
    return STORE_WALK_FOUND;
}

static enum store_walk
value_at(const struct store_txn *txn, const struct page *page, const uint8_t *node,
         struct bytes *out_value)
{
    if (node == NULL) {
        return STORE_WALK_UNSURE;
    }
    size_t len = native32(node), room = page->bytes - (size_t)(node - page->at) - NODE_DATA;
    unsigned flags = native16(node + NODE_FLAGS);

    if (flags == VALUE_IS_LONG && room >= sizeof(uint64_t)) {
        return long_value(txn, native64(node + NODE_DATA), len, out_value);
    }
    if (flags != 0 || len > room) {
        return STORE_WALK_UNSURE;
    }
    *out_value = bytes_of(node + NODE_DATA, len);
    return STORE_WALK_FOUND;
}

/* ---- the walk ------------------------------------------------------------------------------ */

enum store_walk
store_walk_u64(struct store_txn *txn, store_table_id table, uint64_t number,
               struct bytes *out_value)
{
    struct bounds bounds = {0};
    struct page page;
    size_t slot;
    bool is_known = txn->roots[table].txn_id == txn->txn_id;
    uint64_t at = is_known ? txn->roots[table].page : root_find(txn, table);

    for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
        if (!page_open(txn, at, &page) || !slot_find(&page, number, &bounds, &slot)) {
            return STORE_WALK_UNSURE;
        }
        if (page.is_leaf) {
            if (slot == 0 || bounds.low != number) {
                return STORE_WALK_ABSENT;
            }
            return value_at(txn, &page, node_at(&page, slot - 1, NODE_DATA), out_value);
        }
        at = child_of(&page, slot - 1);
        branch_prefetch(txn, at, &bounds, number);
    }
    return STORE_WALK_UNSURE;
}

/* ---- lines --------------------------------------------------------------------------------- */

uint32_t
store_line_of(const struct store_txn *snapshot, struct bytes value)
{
    if (snapshot->page_end == 0) {
        return 0;
    }
    uint64_t line = (uint64_t)(value.data - snapshot->map) / LINE_BYTES;
    return line <= UINT32_MAX ? (uint32_t)line : 0;
}

void
store_line_prefetch(const struct store_txn *snapshot, uint32_t line)
{
    size_t page_lines = snapshot->store->page_bytes / LINE_BYTES;
    uint64_t page = line / page_lines;

    if (line == 0 || page >= snapshot->page_end) {
        return;
    }
    const uint8_t *at = snapshot->map + page * snapshot->store->page_bytes;
    size_t first = line % page_lines;
    size_t end = first + LINES_SOON < page_lines ? first + LINES_SOON : page_lines;
    __builtin_prefetch(at);
    for (size_t i = first; i < end; i++) {
        __builtin_prefetch(at + i * LINE_BYTES);
    }
}
