/* SPDX-License-Identifier: MIT */
/*
 * cache_check.c - reads every record of a cache's environment, as one snapshot has them: entries
 * decode and their values match their checks, each is found under its key and nowhere else, index
 * records point at entries or before the head of a queue, no chunk is without its entry, and the
 * stored counts are those counted. One line of figures; each damage is a line on the standard
 * error, and then the status is 1. Usage: cache_check DIR.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/cache/cache_priv.h"

enum { WALK = 64, COMPLAINTS_MAX = 20 };

struct check {
    struct cache *cache;
    struct store_txn *txn;
    uint8_t *room;
    uint64_t entries, chunks, damaged;
    uint64_t entries_of_class[CACHE_CLASS_COUNT];
    struct cache_queue_state queues[CACHE_QUEUE_COUNT];
    uint64_t first_seqs[CACHE_QUEUE_COUNT];
};

static void
complain(struct check *check, const char *what, uint64_t number, struct bytes text)
{
    if (check->damaged++ < COMPLAINTS_MAX) {
        fprintf(stderr, "%s: %llu %.*s\n", what, (unsigned long long)number, (int)text.len,
                text.len == 0 ? "" : (const char *)text.data);
    }
}

static void
entry_check(struct check *check, const struct cache_entry *entry)
{
    size_t in_chunks = entry->value_len - entry->value.len;
    struct digest digest = cache_digest(check->cache, entry->text);
    struct cache_entry found;

    int rc = cache_entry_gather(check->txn, entry, check->room);
    if (rc != 0) {
        complain(check, "a value that is not whole", entry->place, entry->text);
    } else if (cache_value_check(bytes_of(check->room, entry->value_len)) != entry->value_check) {
        complain(check, "a value that does not match its check", entry->place, entry->text);
    }
    if (cache_entry_find(check->txn, digest.lo, &found) != 0 || found.place != entry->place) {
        complain(check, "an entry that the index does not know", entry->place, entry->text);
    }
    enum cache_queue queue = cache_place_queue(entry->place);
    check->entries++;
    check->entries_of_class[entry->class]++;
    check->queues[queue].entries++;
    check->queues[queue].bytes += cache_entry_cost(entry->text.len, entry->value_len);
    check->chunks += (in_chunks + CACHE_PAGE_VALUE_MAX - 1) / CACHE_PAGE_VALUE_MAX;
}

static int
entries_check(struct check *check)
{
    struct cache_entry entries[WALK];
    uint64_t from = 0;
    size_t count = 0;

    do {
        int rc = cache_entry_walk(check->txn, from, entries, WALK, &count, &from);
        if (rc != 0) {
            return rc;
        }
        for (size_t i = 0; i < count; i++) {
            entry_check(check, &entries[i]);
        }
    } while (from != 0);
    return 0;
}

/* Index records of what has left its queue may stay for a while; their places lie before its
 * head. */
static int
index_check(struct check *check, const struct cache_state *state)
{
    struct store_cursor *cursor = NULL;
    struct bytes key, value, stored;
    uint64_t lo = 0;

    int rc = store_cursor_open(check->txn, CACHE_TABLE_INDEX, &cursor);
    if (rc == 0) {
        rc = store_cursor_seek(cursor, bytes_of(&lo, sizeof(lo)), &key, &value);
    }
    while (rc == 0) {
        uint64_t place = 0;
        if (value.len == CACHE_INDEX_BYTES) {
            place = le32_get(value.data) | (uint64_t)le16_get(value.data + 4) << 32;
        }
        uint64_t seq = cache_place_seq(place);
        if (value.len != CACHE_INDEX_BYTES || seq >= state->next_seq) {
            complain(check, "an index record of no place", place, bytes_of(NULL, 0));
        } else if (seq >= check->first_seqs[cache_place_queue(place)] &&
                   cache_entry_stored(check->txn, place, &stored) != 0) {
            complain(check, "an index record without its entry", place, bytes_of(NULL, 0));
        }
        rc = store_cursor_next(cursor, &key, &value);
    }
    store_cursor_close(&cursor);
    return rc < 0 ? rc : 0;
}

static void
counts_check(struct check *check, const struct cache_state *state)
{
    uint64_t chunks = 0;

    for (int class = 0; class < CACHE_CLASS_COUNT; class ++) {
        if (check->entries_of_class[class] != state->entries_of_class[class]) {
            complain(check, "a class of another count", state->entries_of_class[class],
                     bytes_of_text(cache_class_name((enum cache_class) class)));
        }
    }
    for (int queue = 0; queue < CACHE_QUEUE_COUNT; queue++) {
        if (check->queues[queue].entries != state->queues[queue].entries ||
            check->queues[queue].bytes != state->queues[queue].bytes) {
            complain(check, "a queue of another count", state->queues[queue].entries,
                     bytes_of(NULL, 0));
        }
    }
    if (store_count(check->txn, CACHE_TABLE_CHUNK, &chunks) != 0 || chunks != check->chunks) {
        complain(check, "chunks without an entry, or the reverse", chunks, bytes_of(NULL, 0));
    }
}

static int
all_check(struct check *check)
{
    struct cache_state state;
    struct cache_entry head;
    size_t count = 0;

    int rc = cache_state_read(check->txn, &state);
    for (int queue = 0; rc == 0 && queue < CACHE_QUEUE_COUNT; queue++) {
        rc = cache_entry_read(check->txn, (enum cache_queue)queue, 0, &head, 1, &count);
        check->first_seqs[queue] =
            rc == 0 && count == 1 ? cache_place_seq(head.place) : state.next_seq;
    }
    if (rc == 0) {
        rc = entries_check(check);
    }
    if (rc == 0) {
        rc = index_check(check, &state);
    }
    if (rc == 0) {
        counts_check(check, &state);
    }
    return rc;
}

int
main(int argc, char **argv)
{
    struct check check = {.room = malloc(CACHE_VALUE_MAX)};
    struct cache_options options = {.dir = argc == 2 ? argv[1] : ""};
    struct err err = {0};

    if (argc != 2 || check.room == NULL) {
        fprintf(stderr, "usage: cache_check DIR\n");
        return 2;
    }
    int rc = cache_open(&options, &check.cache, NULL, &err);
    if (rc != 0) {
        fprintf(stderr, "%s: %s\n", argv[1], err.reason);
        return 2;
    }
    rc = cache_snapshot_begin(check.cache);
    if (rc == 0) {
        check.txn = check.cache->snapshot;
        rc = all_check(&check);
    }
    if (rc != 0) {
        complain(&check, augury_strerror(rc), 0, bytes_of(NULL, 0));
    }
    cache_snapshot_end(check.cache);
    cache_close(&check.cache);
    free(check.room);
    printf("entries=%llu chunks=%llu damaged=%llu\n", (unsigned long long)check.entries,
           (unsigned long long)check.chunks, (unsigned long long)check.damaged);
    return check.damaged == 0 ? 0 : 1;
}
