/* SPDX-License-Identifier: MIT */
/*
 * store_txn.c - snapshots, write transactions, records and walks.
 * Invariants: a snapshot is live between renew and reset only; a map that another process has
 * enlarged is followed when this process has nothing live, so that no borrowed bytes move.
 */
#include "store_priv.h"

#include <stdlib.h>

struct store_cursor {
    MDB_cursor *cursor;
};

static void
txn_live(struct store_txn *txn, bool is_live)
{
    if (txn->is_live == is_live) {
        return;
    }
    txn->is_live = is_live;
    if (is_live) {
        atomic_fetch_add_explicit(&txn->store->active, 1, memory_order_relaxed);
    } else {
        atomic_fetch_sub_explicit(&txn->store->active, 1, memory_order_relaxed);
    }
}

/* After MDB_MAP_RESIZED: takes the size in the file over. */
static int
map_follow(struct store *store)
{
    if (atomic_load_explicit(&store->active, memory_order_relaxed) != 0) {
        return MDB_MAP_RESIZED;
    }
    atomic_fetch_add_explicit(&store->map_moves, 1, memory_order_relaxed);
    return mdb_env_set_mapsize(store->env, 0);
}

/* 0 when the reason of mdb_rc has been removed and one more try is worth it, else mdb_rc. */
static int
begin_mend(struct store *store, int mdb_rc)
{
    int dead = 0;

    if (mdb_rc == MDB_MAP_RESIZED) {
        return map_follow(store);
    }
    if (mdb_rc == MDB_READERS_FULL && mdb_reader_check(store->env, &dead) == 0 && dead > 0) {
        return 0;
    }
    return mdb_rc;
}

int
store_snapshot_new(struct store *store, struct store_txn **out_snapshot)
{
    struct store_txn *snapshot = calloc(1, sizeof(*snapshot));
    if (snapshot == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    snapshot->store = store;
    snapshot->is_snapshot = true;
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &snapshot->txn);
    if (rc != 0 && begin_mend(store, rc) == 0) {
        rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &snapshot->txn);
    }
    if (rc != 0) {
        free(snapshot);
        return store_code(rc);
    }
    mdb_txn_reset(snapshot->txn);
    *out_snapshot = snapshot;
    return 0;
}

int
store_snapshot_renew(struct store_txn *snapshot)
{
    AUGURY_ASSERT(snapshot->is_snapshot && !snapshot->is_live);
    int rc = mdb_txn_renew(snapshot->txn);
    if (rc != 0 && begin_mend(snapshot->store, rc) == 0) {
        rc = mdb_txn_renew(snapshot->txn);
    }
    if (rc == 0) {
        snapshot->txn_id = mdb_txn_id(snapshot->txn);
        txn_live(snapshot, true);
    }
    return store_code(rc);
}

void
store_snapshot_reset(struct store_txn *snapshot)
{
    if (snapshot->is_live) {
        mdb_txn_reset(snapshot->txn);
        txn_live(snapshot, false);
    }
}

void
store_snapshot_free(struct store_txn **snapshot)
{
    if (*snapshot == NULL) {
        return;
    }
    AUGURY_ASSERT((*snapshot)->is_snapshot);
    mdb_txn_abort((*snapshot)->txn);
    txn_live(*snapshot, false);
    free(*snapshot);
    *snapshot = NULL;
}

uint64_t
store_txn_id(const struct store_txn *txn)
{
    return txn->is_live && txn->is_snapshot ? txn->txn_id : mdb_txn_id(txn->txn);
}

int
store_begin(struct store *store, struct store_txn **out_txn)
{
    if ((store->flags & STORE_READ_ONLY) != 0) {
        return AUGURY_ERR_DENIED;
    }
    struct store_txn *txn = calloc(1, sizeof(*txn));
    if (txn == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    txn->store = store;
    int rc = mdb_txn_begin(store->env, NULL, 0, &txn->txn);
    if (rc != 0 && begin_mend(store, rc) == 0) {
        rc = mdb_txn_begin(store->env, NULL, 0, &txn->txn);
    }
    if (rc != 0) {
        free(txn);
        return store_code(rc);
    }
    txn_live(txn, true);
    *out_txn = txn;
    return 0;
}

static void
txn_free(struct store_txn **txn)
{
    txn_live(*txn, false);
    free(*txn);
    *txn = NULL;
}

int
store_commit(struct store_txn **txn)
{
    AUGURY_ASSERT(!(*txn)->is_snapshot);
    int rc = store_code(mdb_txn_commit((*txn)->txn));
    txn_free(txn);
    /* A commit has no table or key to miss: ENOENT and the like are the file system's. */
    return rc > 0 ? AUGURY_ERR_IO : rc;
}

void
store_abort(struct store_txn **txn)
{
    if (*txn == NULL) {
        return;
    }
    AUGURY_ASSERT(!(*txn)->is_snapshot);
    mdb_txn_abort((*txn)->txn);
    txn_free(txn);
}

static MDB_dbi
table_of(const struct store_txn *txn, store_table_id table)
{
    AUGURY_ASSERT(table < txn->store->table_count);
    return txn->store->tables[table];
}

int
store_find(struct store_txn *txn, store_table_id table, struct bytes key, struct bytes *out_value)
{
    MDB_val mdb_key = store_val(key), value;

    int rc = mdb_get(txn->txn, table_of(txn, table), &mdb_key, &value);
    if (rc == 0) {
        *out_value = bytes_of(value.mv_data, value.mv_size);
    }
    return store_code(rc);
}

int
store_find_u64(struct store_txn *txn, store_table_id table, uint64_t key, struct bytes *out_value)
{
    AUGURY_ASSERT(table < txn->store->table_count);
    if (txn->is_snapshot && txn->is_live && txn->store->specs[table].flags == STORE_TABLE_U64) {
        enum store_walk walk = store_walk_u64(txn, table, key, out_value);
        if (walk != STORE_WALK_UNSURE) {
            return walk == STORE_WALK_FOUND ? 0 : AUGURY_NOT_FOUND;
        }
    }
    return store_find(txn, table, bytes_of(&key, sizeof(key)), out_value);
}

static unsigned
put_flags(enum store_put_flags flags)
{
    unsigned mdb = 0;

    if ((flags & STORE_PUT_NEW) != 0) {
        mdb |= MDB_NOOVERWRITE;
    }
    if ((flags & STORE_PUT_APPEND) != 0) {
        mdb |= MDB_APPEND;
    }
    return mdb;
}

int
store_put(struct store_txn *txn, store_table_id table, struct bytes key, struct bytes value,
          enum store_put_flags flags)
{
    MDB_val mdb_key = store_val(key), mdb_value = store_val(value);

    return store_code(
        mdb_put(txn->txn, table_of(txn, table), &mdb_key, &mdb_value, put_flags(flags)));
}

int
store_put_u64(struct store_txn *txn, store_table_id table, uint64_t key, struct bytes value,
              enum store_put_flags flags)
{
    return store_put(txn, table, bytes_of(&key, sizeof(key)), value, flags);
}

int
store_reserve_u64(struct store_txn *txn, store_table_id table, uint64_t key, size_t value_len,
                  enum store_put_flags flags, uint8_t **out_room)
{
    MDB_val mdb_key = {.mv_size = sizeof(key), .mv_data = &key};
    MDB_val value = {.mv_size = value_len};

    int rc =
        mdb_put(txn->txn, table_of(txn, table), &mdb_key, &value, put_flags(flags) | MDB_RESERVE);
    if (rc == 0) {
        *out_room = value.mv_data;
    }
    return store_code(rc);
}

int
store_del(struct store_txn *txn, store_table_id table, struct bytes key)
{
    MDB_val mdb_key = store_val(key);

    return store_code(mdb_del(txn->txn, table_of(txn, table), &mdb_key, NULL));
}

int
store_del_u64(struct store_txn *txn, store_table_id table, uint64_t key)
{
    return store_del(txn, table, bytes_of(&key, sizeof(key)));
}

int
store_clear(struct store_txn *txn, store_table_id table)
{
    return store_code(mdb_drop(txn->txn, table_of(txn, table), 0));
}

int
store_count(struct store_txn *txn, store_table_id table, uint64_t *out_count)
{
    MDB_stat stat;

    int rc = mdb_stat(txn->txn, table_of(txn, table), &stat);
    if (rc == 0) {
        *out_count = stat.ms_entries;
    }
    return store_code(rc);
}

int
store_cursor_open(struct store_txn *txn, store_table_id table, struct store_cursor **out_cursor)
{
    struct store_cursor *cursor = calloc(1, sizeof(*cursor));
    if (cursor == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    int rc = mdb_cursor_open(txn->txn, table_of(txn, table), &cursor->cursor);
    if (rc != 0) {
        free(cursor);
        return store_code(rc);
    }
    *out_cursor = cursor;
    return 0;
}

void
store_cursor_close(struct store_cursor **cursor)
{
    if (*cursor == NULL) {
        return;
    }
    mdb_cursor_close((*cursor)->cursor);
    free(*cursor);
    *cursor = NULL;
}

static int
cursor_step(struct store_cursor *cursor, MDB_cursor_op op, MDB_val *key, struct bytes *out_key,
            struct bytes *out_value)
{
    MDB_val value;

    int rc = mdb_cursor_get(cursor->cursor, key, &value, op);
    if (rc == MDB_NOTFOUND) {
        return AUGURY_END;
    }
    if (rc == 0) {
        *out_key = bytes_of(key->mv_data, key->mv_size);
        *out_value = bytes_of(value.mv_data, value.mv_size);
    }
    return store_code(rc);
}

int
store_cursor_seek(struct store_cursor *cursor, struct bytes key, struct bytes *out_key,
                  struct bytes *out_value)
{
    MDB_val mdb_key = store_val(key);

    return cursor_step(cursor, key.len == 0 ? MDB_FIRST : MDB_SET_RANGE, &mdb_key, out_key,
                       out_value);
}

int
store_cursor_next(struct store_cursor *cursor, struct bytes *out_key, struct bytes *out_value)
{
    MDB_val key = {0};

    return cursor_step(cursor, MDB_NEXT, &key, out_key, out_value);
}
