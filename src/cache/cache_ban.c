/* SPDX-License-Identifier: MIT */
/*
 * cache_ban.c - patterns of keys that are no longer true: they hold at once for whatever was
 * stamped before them, while the sweep removes it. When it has passed all entries a ban ends.
 * Invariants: (1) readers never wait: a slot is read between two looks at its version, and one that
 * is being written counts as a match; (2) what was stamped before a ban that has ended comes too
 * late, whatever its key: the sweep would not meet it any more; (3) a match takes time of text ×
 * pattern at most, and no stack.
 */
#include "cache_priv.h"

#include <string.h>

enum { VERSION_TRIES = 8 };

static uint64_t
relaxed(const atomic_uint_least64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static uint64_t
acquired(const atomic_uint_least64_t *word)
{
    return atomic_load_explicit(word, memory_order_acquire);
}

/* ---- patterns ------------------------------------------------------------------------------ */

/* Bytes of the set that begins at pattern.data[at] with '['; 0: it is not closed. */
static size_t
set_bytes(struct bytes pattern, size_t at)
{
    size_t i = at + 1;

    if (i < pattern.len && (pattern.data[i] == '!' || pattern.data[i] == '^')) {
        i++;
    }
    /* A bracket that comes first is a member. */
    for (size_t first = i; i < pattern.len; i++) {
        if (pattern.data[i] == ']' && i > first) {
            return i + 1 - at;
        }
    }
    return 0;
}

static bool
set_has(const uint8_t *set, size_t len, uint8_t byte)
{
    size_t i = 1;
    bool is_negated = set[1] == '!' || set[1] == '^';
    bool is_member = false;

    i += is_negated ? 1 : 0;
    for (; i + 1 < len; i++) {
        if (i + 3 < len && set[i + 1] == '-') {
            is_member = is_member || (set[i] <= byte && byte <= set[i + 2]);
            i += 2;
        } else {
            is_member = is_member || set[i] == byte;
        }
    }
    return is_member != is_negated;
}

/* Bytes of the pattern that take this byte of the text, 0: they do not. */
static size_t
token_take(struct bytes pattern, size_t at, uint8_t byte)
{
    uint8_t first = at < pattern.len ? pattern.data[at] : 0;

    if (at >= pattern.len) {
        return 0;
    }
    if (first == '?') {
        return 1;
    }
    if (first == '[') {
        size_t len = set_bytes(pattern, at);
        return len > 0 && set_has(pattern.data + at, len, byte) ? len : 0;
    }
    if (first == '\\' && at + 1 < pattern.len) {
        return pattern.data[at + 1] == byte ? 2 : 0;
    }
    return first == byte ? 1 : 0;
}

bool
cache_glob_match(struct bytes pattern, struct bytes text)
{
    size_t at = 0, star = SIZE_MAX, from = 0, i = 0;

    while (i < text.len) {
        if (at < pattern.len && pattern.data[at] == '*') {
            star = ++at;
            from = i;
            continue;
        }
        size_t taken = token_take(pattern, at, text.data[i]);
        if (taken > 0) {
            at += taken;
            i++;
        } else if (star != SIZE_MAX) {
            /* The last star takes one byte more; earlier ones never need to. */
            at = star;
            i = ++from;
        } else {
            return false;
        }
    }
    while (at < pattern.len && pattern.data[at] == '*') {
        at++;
    }
    return at == pattern.len;
}

int
cache_ban_check(struct bytes pattern, struct err *err)
{
    if (pattern.len == 0 || pattern.len > CACHE_BAN_BYTES) {
        return err_set(err, AUGURY_ERR_INVALID, "bad_pattern",
                       "a pattern has 1 to %d bytes, not %zu", (int)CACHE_BAN_BYTES, pattern.len);
    }
    for (size_t at = 0; at < pattern.len; at++) {
        if (pattern.data[at] == '\\') {
            if (++at == pattern.len) {
                return err_set(err, AUGURY_ERR_INVALID, "bad_pattern",
                               "a backslash ends the pattern; \\\\ is the byte itself");
            }
        } else if (pattern.data[at] == '[') {
            size_t len = set_bytes(pattern, at);
            if (len == 0) {
                return err_set(err, AUGURY_ERR_INVALID, "bad_pattern",
                               "the set that begins at byte %zu is not closed: [a-z]; \\[ is the "
                               "byte itself",
                               at + 1);
            }
            at += len - 1;
        }
    }
    return 0;
}

/* ---- slots --------------------------------------------------------------------------------- */

static void
slot_write(struct cache_ban_slot *slot, uint64_t stamp, uint64_t created_wall_ms,
           struct bytes pattern)
{
    uint64_t words[CACHE_BAN_BYTES / 8] = {0};
    uint64_t version = relaxed(&slot->version);

    if (pattern.len > 0) {
        memcpy(words, pattern.data, pattern.len);
    }
    /* Whoever sees one of the words sees the odd version before it. */
    atomic_store_explicit(&slot->version, version | 1, memory_order_relaxed);
    atomic_store_explicit(&slot->stamp, stamp, memory_order_release);
    atomic_store_explicit(&slot->created_wall_ms, created_wall_ms, memory_order_release);
    atomic_store_explicit(&slot->swept, 0, memory_order_release);
    atomic_store_explicit(&slot->len, pattern.len, memory_order_release);
    for (size_t i = 0; i < AUGURY_COUNT(words); i++) {
        atomic_store_explicit(&slot->pattern[i], words[i], memory_order_release);
    }
    atomic_store_explicit(&slot->version, (version | 1) + 1, memory_order_release);
}

/* false: it is being written, again and again. */
static bool
slot_read(const struct cache_ban_slot *slot, struct cache_ban *out_ban)
{
    for (int tries = 0; tries < VERSION_TRIES; tries++) {
        uint64_t words[CACHE_BAN_BYTES / 8];
        uint64_t version = atomic_load_explicit(&slot->version, memory_order_acquire);
        out_ban->stamp = acquired(&slot->stamp);
        out_ban->created_wall_ms = acquired(&slot->created_wall_ms);
        out_ban->swept = acquired(&slot->swept);
        out_ban->len = acquired(&slot->len);
        for (size_t i = 0; i < AUGURY_COUNT(words); i++) {
            words[i] = acquired(&slot->pattern[i]);
        }
        if ((version & 1) == 0 && relaxed(&slot->version) == version &&
            out_ban->len <= CACHE_BAN_BYTES) {
            memcpy(out_ban->pattern, words, sizeof(words));
            return true;
        }
    }
    return false;
}

static struct bytes
pattern_of(const struct cache_ban *ban)
{
    return bytes_of(ban->pattern, ban->len);
}

/* The stamp of the newest ban is what lookups compare first. */
static void
newest_set(struct cache_invalid *invalid)
{
    uint64_t newest = 0;

    for (size_t i = 0; i < CACHE_BANS; i++) {
        uint64_t stamp = relaxed(&invalid->bans[i].stamp);
        newest = stamp > newest ? stamp : newest;
    }
    atomic_store_explicit(&invalid->ban_newest, newest, memory_order_release);
}

bool
cache_ban_find(const struct cache_invalid *invalid, const struct cache_entry *entry,
               size_t *out_slot)
{
    struct cache_ban ban;

    if (atomic_load_explicit(&invalid->ban_newest, memory_order_acquire) <= entry->stamp) {
        return false;
    }
    for (size_t i = 0; i < CACHE_BANS; i++) {
        const struct cache_ban_slot *slot = &invalid->bans[i];
        if (relaxed(&slot->stamp) <= entry->stamp && (relaxed(&slot->version) & 1) == 0) {
            continue;
        }
        bool is_whole = slot_read(slot, &ban);
        if (!is_whole ||
            (ban.stamp > entry->stamp && cache_glob_match(pattern_of(&ban), entry->text))) {
            *out_slot = i;
            return true;
        }
    }
    return false;
}

void
cache_ban_count(struct cache_invalid *invalid, size_t slot)
{
    atomic_fetch_add_explicit(&invalid->bans[slot].swept, 1, memory_order_relaxed);
}

size_t
cache_bans(const struct cache *cache, struct cache_ban *out_bans)
{
    size_t count = 0;

    for (size_t i = 0; i < CACHE_BANS; i++) {
        if (slot_read(&cache->invalid->bans[i], &out_bans[count]) && out_bans[count].stamp != 0) {
            count++;
        }
    }
    return count;
}

/* ---- moves: one write transaction's bans --------------------------------------------------- */

/* The slot of a ban with the same pattern, which the new one stands for too, or a free one. */
static bool
slot_choose(const struct cache_invalid *invalid, struct bytes pattern, size_t *out_slot)
{
    struct cache_ban ban;
    bool has_free = false;

    for (size_t i = 0; i < CACHE_BANS; i++) {
        bool is_read = slot_read(&invalid->bans[i], &ban);
        if (is_read && ban.stamp != 0 && bytes_equal(pattern_of(&ban), pattern)) {
            *out_slot = i;
            return true;
        }
        if (!has_free && (!is_read || ban.stamp == 0)) {
            *out_slot = i;
            has_free = true;
        }
    }
    return has_free;
}

bool
cache_move_ban(struct cache *cache, struct bytes pattern)
{
    struct cache_moves *moves = &cache->keeper.moves;
    size_t slot = 0;

    AUGURY_ASSERT(moves->ban_len == 0 && pattern.len > 0 && pattern.len <= CACHE_BAN_BYTES);
    if (!slot_choose(cache->invalid, pattern, &slot)) {
        return false;
    }
    moves->ban_slot = slot;
    moves->ban_stamp = ++moves->clock;
    moves->ban_len = pattern.len;
    memcpy(moves->ban_pattern, pattern.data, pattern.len);
    if (!bytes_start_with(pattern, "response:")) {
        moves->classes[CACHE_RESPONSE] = moves->clock;
    }
    return true;
}

void
cache_move_retire(struct cache *cache, uint64_t stamp)
{
    cache->keeper.moves.retire = stamp;
}

static bool
is_retired(const struct cache_ban_slot *slot, uint64_t retire)
{
    return relaxed(&slot->stamp) != 0 && relaxed(&slot->stamp) <= retire;
}

size_t
cache_bans_due(const struct cache *cache, uint64_t stamp)
{
    size_t count = 0;

    for (size_t i = 0; i < CACHE_BANS; i++) {
        count += is_retired(&cache->invalid->bans[i], stamp) ? 1 : 0;
    }
    return count;
}

static int
ban_put(struct store_txn *txn, size_t slot, const struct cache_ban *ban)
{
    uint8_t row[CACHE_BAN_ROW + CACHE_BAN_BYTES];

    le64_put(row, ban->stamp);
    le64_put(row + 8, ban->created_wall_ms);
    memcpy(row + CACHE_BAN_ROW, ban->pattern, ban->len);
    return store_put_u64(txn, CACHE_TABLE_INVALID, CACHE_KEY_BAN + slot,
                         bytes_of(row, CACHE_BAN_ROW + ban->len), STORE_PUT_REPLACE);
}

static struct cache_ban
ban_of_moves(const struct cache *cache)
{
    const struct cache_moves *moves = &cache->keeper.moves;
    struct cache_ban ban = {.stamp = moves->ban_stamp,
                            .created_wall_ms = cache->keeper.now_wall_ms,
                            .len = moves->ban_len};

    memcpy(ban.pattern, moves->ban_pattern, moves->ban_len);
    return ban;
}

int
cache_bans_store(struct cache *cache, struct store_txn *txn)
{
    const struct cache_moves *moves = &cache->keeper.moves;
    int rc = 0;

    if (moves->ban_len > 0) {
        struct cache_ban ban = ban_of_moves(cache);
        rc = ban_put(txn, moves->ban_slot, &ban);
    }
    for (size_t i = 0; rc == 0 && i < CACHE_BANS; i++) {
        if (is_retired(&cache->invalid->bans[i], moves->retire)) {
            rc = store_del_u64(txn, CACHE_TABLE_INVALID, CACHE_KEY_BAN + i);
            rc = rc == AUGURY_NOT_FOUND ? 0 : rc;
        }
    }
    return rc;
}

void
cache_bans_publish(struct cache *cache)
{
    const struct cache_moves *moves = &cache->keeper.moves;
    struct cache_invalid *invalid = cache->invalid;

    for (size_t i = 0; i < CACHE_BANS; i++) {
        if (is_retired(&invalid->bans[i], moves->retire)) {
            slot_write(&invalid->bans[i], 0, 0, bytes_of(NULL, 0));
        }
    }
    if (moves->ban_len > 0) {
        struct cache_ban ban = ban_of_moves(cache);
        slot_write(&invalid->bans[moves->ban_slot], ban.stamp, ban.created_wall_ms,
                   pattern_of(&ban));
    }
    newest_set(invalid);
}

/* ---- the environment's knowledge ----------------------------------------------------------- */

void
cache_ban_take(struct cache_invalid *invalid, size_t slot, struct bytes row)
{
    if (slot >= CACHE_BANS || row.len <= CACHE_BAN_ROW ||
        row.len > CACHE_BAN_ROW + CACHE_BAN_BYTES) {
        return;
    }
    uint64_t stamp = le64_get(row.data);
    if (stamp > relaxed(&invalid->bans[slot].stamp)) {
        slot_write(&invalid->bans[slot], stamp, le64_get(row.data + 8),
                   bytes_of(row.data + CACHE_BAN_ROW, row.len - CACHE_BAN_ROW));
        newest_set(invalid);
    }
}

void
cache_bans_repair(struct cache_invalid *invalid)
{
    for (size_t i = 0; i < CACHE_BANS; i++) {
        if ((relaxed(&invalid->bans[i].version) & 1) != 0) {
            slot_write(&invalid->bans[i], 0, 0, bytes_of(NULL, 0));
        }
    }
    newest_set(invalid);
}

int
cache_bans_give(const struct cache_invalid *invalid, struct store_txn *txn)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < CACHE_BANS; i++) {
        struct cache_ban ban;
        if (slot_read(&invalid->bans[i], &ban) && ban.stamp != 0) {
            rc = ban_put(txn, i, &ban);
        }
    }
    return rc;
}
