/* SPDX-License-Identifier: MIT */
/*
 * store.h - ordered tables of bytes kept in one LMDB environment.
 * Room: store (floor 1, uses base). Library: lmdb, here only. Process: worker, supervisor, cli;
 * open after fork, never in the master.
 * Ownership: the caller owns environments and transactions; bytes found belong to the map and die
 * with the transaction.
 * Errors: 0 done, > 0 a normal no, < 0 a failure; every LMDB code is translated in one function.
 * Never logs.
 * Rules: one open of a folder per process; a read snapshot is renewed and reset within one turn of
 * the loop, never held.
 */
#pragma once

#include "augury/base.h"

struct store;     /* an open environment */
struct store_txn; /* a read snapshot or a write transaction */

enum { STORE_TABLES_MAX = 16 };
typedef uint32_t store_table_id; /* index of a table in the list given at open */

enum store_flags {
    STORE_READ_ONLY = 1 << 0, /* workers: the map is read-only, no write transaction can begin */
    STORE_CREATE = 1 << 1,    /* make folder (0700) and files (0600) when absent */
    STORE_DISPOSABLE =
        1 << 2, /* no syncs; a damaged environment is moved aside (".damaged") and made anew */
    STORE_GROUP = 1 << 3, /* its files may be read by the folder's group (0640, lock 0660) */
};

enum store_table_flags {
    STORE_TABLE_BYTES = 0,    /* keys are bytes, ordered by memcmp; 511 B at most */
    STORE_TABLE_U64 = 1 << 0, /* keys are native 64-bit integers (MDB_INTEGERKEY) */
};

struct store_table_spec {
    const char *name;
    enum store_table_flags flags;
};

struct store_options {
    const char *dir;
    size_t map_bytes; /* reserved, sparse, fixed for an environment in use; 0: as it was made */
    unsigned max_readers;
    enum store_flags flags;
    /* Opened, and made if STORE_CREATE; they outlive the environment. */
    const struct store_table_spec *tables;
    size_t table_count;
};

/* Opens an environment; retries for 2 s while another process opens or closes it. *out_was_damaged
 * (may be NULL) tells that a disposable environment was moved aside. */
AUGURY_MUST_USE int store_open(const struct store_options *options, struct store **out_store,
                               bool *out_was_damaged, struct err *err);
void store_close(struct store **store);
/* Makes a folder and those above it, 0700. */
AUGURY_MUST_USE int store_folder_make(const char *dir, struct err *err);
/* Writes everything out, also of an environment that is disposable. */
AUGURY_MUST_USE int store_sync(struct store *store);
/* Renames the files of a closed environment to "….damaged", so that the next open makes it anew.
 * Processes that have it open keep the old map until they close it. The renamed file keeps its
 * memory or disk space until it is deleted. */
AUGURY_MUST_USE int store_set_aside(const char *dir);

/* Clears the slots of readers that died; *out_cleared (may be NULL) counts them. Call after any
 * child's death and each tick. */
AUGURY_MUST_USE int store_reader_check(struct store *store, unsigned *out_cleared);

struct store_usage {
    uint64_t map_bytes;
    uint64_t used_pages; /* pages that hold data or structure: last page + 1 - free pages */
    uint64_t free_pages;
    uint64_t page_bytes;
    uint64_t live_bytes;        /* used_pages in bytes */
    uint64_t file_blocks_bytes; /* what the file really takes from the system */
    unsigned reader_slots; /* most in use at once; grows for ever if dead readers are not cleared */
    uint64_t txn_id;       /* of the last commit: changes whenever anyone writes */
};
AUGURY_MUST_USE int store_usage(struct store *store, struct store_usage *out_usage);

/* Gives blocks of free pages back to the file system: a slice of up to max_bytes and about max_ns,
 * in which no commit can happen. Only pages that no reader and no older commit can reach. 0: there
 * may be more, the next slice goes on below; AUGURY_END: a round over the whole file is complete.
 * Both set *out_punched_bytes, by how much the file's blocks fell. AUGURY_ERR_UNSUPPORTED, then and
 * ever after: the file system cannot; no harm done. Process: the one that writes. */
AUGURY_MUST_USE int store_punch(struct store *store, uint64_t max_bytes, uint64_t max_ns,
                                uint64_t *out_punched_bytes);

/* ---- snapshots: reads ---------------------------------------------------------------------- */

/* Made once, then renewed and reset: both are cheap (tens of ns). A new snapshot is not renewed
 * yet. */
AUGURY_MUST_USE int store_snapshot_new(struct store *store, struct store_txn **out_snapshot);
AUGURY_MUST_USE int store_snapshot_renew(struct store_txn *snapshot);
void store_snapshot_reset(struct store_txn *snapshot);
void store_snapshot_free(struct store_txn **snapshot);
uint64_t store_txn_id(const struct store_txn *txn); /* of a snapshot: the commit that it sees */

/* ---- writes -------------------------------------------------------------------------------- */

AUGURY_MUST_USE int store_begin(struct store *store, struct store_txn **out_txn);
/* Frees the transaction in every case. AUGURY_ERR_FULL: map full; AUGURY_ERR_IO: the file system
 * refused (a full tmpfs). */
AUGURY_MUST_USE int store_commit(struct store_txn **txn);
void store_abort(struct store_txn **txn);

/* ---- records ------------------------------------------------------------------------------- */

/* Looks up key. 0 sets *out_value (borrowed until the transaction ends, 2-byte aligned at least; 16
 * bytes past a page boundary when larger than half a page); AUGURY_NOT_FOUND leaves it
 * untouched. */
AUGURY_MUST_USE int store_find(struct store_txn *txn, store_table_id table, struct bytes key,
                               struct bytes *out_value);
AUGURY_MUST_USE int store_find_u64(struct store_txn *txn, store_table_id table, uint64_t key,
                                   struct bytes *out_value);

/* Where in the map a value that was found in a snapshot begins, in lines of 64 bytes; 0: not
 * known. */
uint32_t store_line_of(const struct store_txn *snapshot, struct bytes value);
/* A value that begins in that line is soon looked up, if the line is still its: the start of its
 * page and the first lines of the value. Any number does no harm. */
void store_line_prefetch(const struct store_txn *snapshot, uint32_t line);

enum store_put_flags {
    STORE_PUT_REPLACE = 0,
    STORE_PUT_NEW = 1 << 0,    /* AUGURY_ERR_EXISTS when the key is there */
    STORE_PUT_APPEND = 1 << 1, /* the key is greater than every key in the table */
};
AUGURY_MUST_USE int store_put(struct store_txn *txn, store_table_id table, struct bytes key,
                              struct bytes value, enum store_put_flags flags);
AUGURY_MUST_USE int store_put_u64(struct store_txn *txn, store_table_id table, uint64_t key,
                                  struct bytes value, enum store_put_flags flags);
/* As put, but hands out room for value_len bytes to be filled before anything else is done in the
 * transaction. */
AUGURY_MUST_USE int store_reserve_u64(struct store_txn *txn, store_table_id table, uint64_t key,
                                      size_t value_len, enum store_put_flags flags,
                                      uint8_t **out_room);
AUGURY_MUST_USE int store_del(struct store_txn *txn, store_table_id table, struct bytes key);
AUGURY_MUST_USE int store_del_u64(struct store_txn *txn, store_table_id table, uint64_t key);
AUGURY_MUST_USE int store_clear(struct store_txn *txn,
                                store_table_id table); /* deletes every record */
AUGURY_MUST_USE int store_count(struct store_txn *txn, store_table_id table, uint64_t *out_count);

/* ---- walks (a cursor is closed before its transaction ends) -------------------------------- */

struct store_cursor;
AUGURY_MUST_USE int store_cursor_open(struct store_txn *txn, store_table_id table,
                                      struct store_cursor **out_cursor);
void store_cursor_close(struct store_cursor **cursor);
/* First record with a key >= key (seek), the next one. AUGURY_END after the last. */
AUGURY_MUST_USE int store_cursor_seek(struct store_cursor *cursor, struct bytes key,
                                      struct bytes *out_key, struct bytes *out_value);
AUGURY_MUST_USE int store_cursor_next(struct store_cursor *cursor, struct bytes *out_key,
                                      struct bytes *out_value);
