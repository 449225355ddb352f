/* SPDX-License-Identifier: MIT */
/*
 * store_priv.h - what the files of this room share.
 * Invariant: lmdb.h is included by this room alone, and no MDB_ code leaves it (store_code).
 */
#pragma once

#include <lmdb.h>
#include <stdatomic.h>
#include <string.h>

#include "augury/store.h"

struct store {
    MDB_env *env;
    MDB_dbi names; /* the table of the tables' names */
    MDB_dbi tables[STORE_TABLES_MAX];
    const struct store_table_spec *specs;
    size_t table_count;
    size_t page_bytes;
    enum store_flags flags;
    /* Snapshots between renew and reset and open write transactions: the map may move only when
     * there is none. */
    atomic_uint active;
    atomic_uint map_moves;
    /* store_punch.c: the page below which its next slice goes on, 0: a new round begins; how many
     * pages one call of the system takes, 0: not known yet; and whether the file system has
     * refused. */
    uint64_t punch_hand;
    uint64_t punch_piece_pages;
    bool cannot_punch;
};

/* Where a table began at a commit; page 0: not known. */
struct store_root {
    uint64_t txn_id;
    uint64_t page;
};

struct store_txn {
    struct store *store;
    MDB_txn *txn;
    bool is_snapshot;
    bool is_live; /* between renew and reset, or begin and commit */
    /* store_walk.c, of a snapshot: the commit that it sees, the map as it was when it lay so
     * (map_moves), NULL if not known, and the page after the last. */
    uint64_t txn_id;
    const uint8_t *map;
    unsigned map_moves;
    uint64_t page_end;
    struct store_root roots[STORE_TABLES_MAX];
};

static inline MDB_val
store_val(struct bytes bytes)
{
    /* LMDB takes void * and writes only through MDB_RESERVE. */
    union {
        const void *in;
        void *out;
    } data = {.in = bytes.data};
    return (MDB_val){.mv_size = bytes.len, .mv_data = data.out};
}

/* LMDB writes native words, aligned by 2. */
static inline unsigned
native16(const uint8_t *p)
{
    uint16_t value;
    memcpy(&value, p, sizeof(value));
    return value;
}

static inline uint32_t
native32(const uint8_t *p)
{
    uint32_t value;
    memcpy(&value, p, sizeof(value));
    return value;
}

static inline uint64_t
native64(const uint8_t *p)
{
    uint64_t value;
    memcpy(&value, p, sizeof(value));
    return value;
}

/* ---- store_code.c -------------------------------------------------------------------------- */

/* The one translation of what LMDB and the system say. */
int store_code(int mdb_rc);

/* ---- store_file.c: the folder and the file, looked at before LMDB maps it ------------------ */

enum store_file_state {
    STORE_FILE_ABSENT,
    STORE_FILE_GOOD,
    STORE_FILE_DAMAGED,
};

struct store_file {
    enum store_file_state state;
    const char *reason;  /* of STORE_FILE_DAMAGED: static words */
    uint64_t page_bytes; /* of STORE_FILE_GOOD */
    uint64_t first_missing_page,
        page_end; /* pages in use by number that the file was too short for */
};

/* Readers write their place into the lock file: the folder's group may. */
int store_lock_share(const char *dir);
/* Reads the newest meta page and compares the file's size with it. A short file is made long enough
 * (with zeros, never shorter), so that no read of the map can raise SIGBUS. */
int store_file_check(const char *dir, struct store_file *out_file, struct err *err);
/* A file that was too short is good only if all that it lacked is free or has been written
 * since. */
int store_file_check_missing(MDB_env *env, const struct store_file *file);

/* The page of the table of names at commit txn_id. AUGURY_NOT_FOUND: it has more than one, or there
 * have been commits since. */
int store_file_names_page(MDB_env *env, uint64_t txn_id, size_t page_bytes, uint64_t *out_page);

/* ---- store_walk.c: a snapshot's records by their numbers, past LMDB ------------------------ */

enum store_walk {
    STORE_WALK_FOUND,
    STORE_WALK_ABSENT,
    STORE_WALK_UNSURE, /* ask LMDB */
};
/* Of a snapshot that is live and a table of STORE_TABLE_U64. */
enum store_walk store_walk_u64(struct store_txn *txn, store_table_id table, uint64_t number,
                               struct bytes *out_value);

/* ---- store.c ------------------------------------------------------------------------------- */

/* Counts the pages of the free list as txn sees it. */
int store_free_pages(MDB_txn *txn, uint64_t *out_pages);
