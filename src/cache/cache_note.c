/* SPDX-License-Identifier: MIT */
/*
 * cache_note.c - small things that other rooms keep beside the entries, over starts: on disk where
 * there is that tier, else in memory. They are worth as much as the entries: gone with the
 * environment, when it is damaged or begins empty.
 * Invariant: a note is not larger than one page, like every record.
 */
#include "cache_disk.h"

#include <string.h>

enum { PREFIX_BYTES = 5, NAME_MAX_BYTES = 64 };

static struct cache *
home_of(struct cache *cache)
{
    return cache->below != NULL ? cache->below : cache;
}

/* No other record of the table begins like that. */
static struct bytes
note_key(struct bytes name, uint8_t room[static PREFIX_BYTES + NAME_MAX_BYTES])
{
    AUGURY_ASSERT(name.len > 0 && name.len <= NAME_MAX_BYTES);
    memcpy(room, "note/", PREFIX_BYTES);
    memcpy(room + PREFIX_BYTES, name.data, name.len);
    return bytes_of(room, PREFIX_BYTES + name.len);
}

int
cache_keeper_note_put(struct cache *cache, struct bytes name, struct bytes value)
{
    struct cache *home = home_of(cache);
    uint8_t room[PREFIX_BYTES + NAME_MAX_BYTES];
    struct store_txn *txn = NULL;
    struct cache_state state;

    AUGURY_ASSERT(cache->is_keeper && value.len <= CACHE_NOTE_MAX);
    if (home->store == NULL) {
        return AUGURY_ERR_STATE;
    }
    int rc = cache_write_begin(home, &txn, &state);
    if (rc != 0) {
        return rc;
    }
    rc = store_put(txn, CACHE_TABLE_META, note_key(name, room), value, STORE_PUT_REPLACE);
    rc = cache_write_end(home, &txn, rc, &state);
    cache_keeper_react(home, rc);
    return rc;
}

int
cache_keeper_note_get(struct cache *cache, struct bytes name, uint8_t *out_value, size_t *out_len)
{
    struct cache *home = home_of(cache);
    uint8_t room[PREFIX_BYTES + NAME_MAX_BYTES];
    struct bytes value;

    AUGURY_ASSERT(cache->is_keeper);
    int rc = home->store == NULL ? AUGURY_NOT_FOUND : store_snapshot_renew(home->snapshot);
    if (rc != 0) {
        return rc;
    }
    cache_keeper_enter(home);
    rc = store_find(home->snapshot, CACHE_TABLE_META, note_key(name, room), &value);
    if (rc == 0 && value.len > CACHE_NOTE_MAX) {
        rc = AUGURY_NOT_FOUND;
    }
    if (rc == 0) {
        memcpy(out_value, value.data, value.len);
        *out_len = value.len;
    }
    cache_keeper_leave(home, AUGURY_END); /* no commit, healthy or not */
    store_snapshot_reset(home->snapshot);
    return rc;
}
