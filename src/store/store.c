/* SPDX-License-Identifier: MIT */
/*
 * store.c - opens, closes and measures an environment.
 * Flags of LMDB, each from a measurement: never MDB_WRITEMAP (a full tmpfs is SIGBUS with it, EIO
 * without); MDB_NOTLS (a snapshot belongs to whoever holds it, not to a thread); MDB_NORDAHEAD
 * (reads are random); disposable environments skip every sync, durable ones make each.
 */
#include "store_priv.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum {
    OPEN_RETRY_MS = 2000,
    OPEN_PAUSE_MS = 10,
    /* A page that another process is just writing may look damaged once or twice, not for this
     * long. */
    DAMAGE_RETRY_MS = 200,
};

static unsigned
env_flags(enum store_flags flags)
{
    unsigned env = MDB_NOTLS | MDB_NORDAHEAD;

    if ((flags & STORE_READ_ONLY) != 0) {
        env |= MDB_RDONLY;
    }
    if ((flags & STORE_DISPOSABLE) != 0) {
        env |= MDB_NOSYNC | MDB_NOMETASYNC;
    }
    return env;
}

static int
tables_open(struct store *store, const struct store_options *options)
{
    MDB_txn *txn = NULL;
    MDB_stat stat = {0};
    bool is_reader = (options->flags & STORE_READ_ONLY) != 0;
    unsigned create = !is_reader && (options->flags & STORE_CREATE) != 0 ? MDB_CREATE : 0;

    int rc = mdb_txn_begin(store->env, NULL, is_reader ? MDB_RDONLY : 0, &txn);
    if (rc == 0) {
        rc = mdb_env_stat(store->env, &stat);
    }
    if (rc == 0) {
        rc = mdb_dbi_open(txn, NULL, 0, &store->names);
    }
    for (size_t i = 0; rc == 0 && i < options->table_count; i++) {
        unsigned flags = (options->tables[i].flags & STORE_TABLE_U64) != 0 ? MDB_INTEGERKEY : 0;
        rc = mdb_dbi_open(txn, options->tables[i].name, flags | create, &store->tables[i]);
    }
    if (rc == 0) {
        rc = mdb_txn_commit(txn);
    } else if (txn != NULL) {
        mdb_txn_abort(txn);
    }
    store->specs = options->tables;
    store->table_count = options->table_count;
    store->page_bytes = stat.ms_psize;
    return store_code(rc);
}

static int
env_open(const struct store_options *options, const struct store_file *file,
         struct store **out_store)
{
    struct store *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    store->flags = options->flags;
    int rc = store_code(mdb_env_create(&store->env));
    if (rc == 0 && options->map_bytes > 0) {
        rc = store_code(mdb_env_set_mapsize(store->env, options->map_bytes));
    }
    if (rc == 0) {
        rc = store_code(mdb_env_set_maxdbs(store->env, STORE_TABLES_MAX));
    }
    if (rc == 0 && options->max_readers > 0) {
        rc = store_code(mdb_env_set_maxreaders(store->env, options->max_readers));
    }
    if (rc == 0) {
        mdb_mode_t mode = (options->flags & STORE_GROUP) != 0 ? 0640 : 0600;
        rc = store_code(mdb_env_open(store->env, options->dir, env_flags(options->flags), mode));
    }
    if (rc == 0 && (options->flags & STORE_GROUP) != 0) {
        rc = store_lock_share(options->dir);
    }
    if (rc == 0 && file->state == STORE_FILE_GOOD) {
        rc = store_file_check_missing(store->env, file);
    }
    if (rc == 0) {
        rc = tables_open(store, options);
    }
    if (rc != 0) {
        store_close(&store);
        return rc;
    }
    *out_store = store;
    return 0;
}

/* One look at the file and one try to open it. */
static int
open_once(const struct store_options *options, struct store **out_store, struct err *err)
{
    struct store_file file;

    int rc = store_file_check(options->dir, &file, err);
    if (rc != 0) {
        return rc;
    }
    bool may_create =
        (options->flags & STORE_CREATE) != 0 && (options->flags & STORE_READ_ONLY) == 0;
    if (file.state == STORE_FILE_ABSENT && !may_create) {
        return err_set(err, AUGURY_NOT_FOUND, "store_absent", "%s holds no environment",
                       options->dir);
    }
    if (file.state == STORE_FILE_DAMAGED) {
        return err_set(err, AUGURY_ERR_CORRUPT, "store_damaged", "%s/data.mdb is damaged: %s",
                       options->dir, file.reason);
    }
    rc = env_open(options, &file, out_store);
    switch (rc) {
    case 0: return 0;
    case AUGURY_NOT_FOUND:
        return err_set(err, rc, "store_absent", "%s lacks a table that it should have",
                       options->dir);
    case AUGURY_ERR_CORRUPT:
        return err_set(err, rc, "store_damaged",
                       "%s/data.mdb is damaged: its pages contradict each other", options->dir);
    default:
        return err_set(err, rc, "store_open", "cannot open %s: %s", options->dir,
                       augury_strerror(rc));
    }
}

static void
pause_ms(long ms)
{
    struct timespec pause = {.tv_nsec = ms * 1000000L};
    nanosleep(&pause, NULL);
}

static int
open_with_retry(const struct store_options *options, struct store **out_store, struct err *err)
{
    uint64_t begin = clock_mono_ms();

    for (;;) {
        int rc = open_once(options, out_store, err);
        uint64_t waited = clock_mono_ms() - begin;
        if ((rc == AUGURY_ERR_CORRUPT && waited < DAMAGE_RETRY_MS) ||
            (rc == AUGURY_ERR_BUSY && waited < OPEN_RETRY_MS)) {
            pause_ms(OPEN_PAUSE_MS);
            continue;
        }
        return rc;
    }
}

int
store_open(const struct store_options *options, struct store **out_store, bool *out_was_damaged,
           struct err *err)
{
    bool is_writer = (options->flags & STORE_READ_ONLY) == 0;
    bool was_damaged = false;

    if (options->table_count > STORE_TABLES_MAX) {
        return err_set(err, AUGURY_ERR_LIMIT, "store_tables", "at most %d tables",
                       STORE_TABLES_MAX);
    }
    if (is_writer && (options->flags & STORE_CREATE) != 0) {
        int rc = store_folder_make(options->dir, err);
        if (rc != 0) {
            return rc;
        }
    }
    int rc = open_with_retry(options, out_store, err);
    if (rc == AUGURY_ERR_CORRUPT && is_writer && (options->flags & STORE_CREATE) != 0 &&
        (options->flags & STORE_DISPOSABLE) != 0) {
        was_damaged = true;
        rc = store_set_aside(options->dir);
        if (rc != 0) {
            return err_set(err, rc, "store_aside", "cannot move the damaged files in %s aside",
                           options->dir);
        }
        rc = open_with_retry(options, out_store, err);
    }
    if (rc == 0 && out_was_damaged != NULL) {
        *out_was_damaged = was_damaged;
    }
    return rc;
}

void
store_close(struct store **store)
{
    if (*store == NULL) {
        return;
    }
    AUGURY_ASSERT(atomic_load(&(*store)->active) == 0);
    mdb_env_close((*store)->env);
    free(*store);
    *store = NULL;
}

int
store_sync(struct store *store)
{
    return store_code(mdb_env_sync(store->env, 1));
}

int
store_reader_check(struct store *store, unsigned *out_cleared)
{
    int dead = 0;

    int rc = store_code(mdb_reader_check(store->env, &dead));
    if (rc == 0 && out_cleared != NULL) {
        *out_cleared = (unsigned)dead;
    }
    return rc;
}

/* Table 0 is LMDB's free list: transaction id → count, then that many page numbers. Only the counts
 * are read. */
int
store_free_pages(MDB_txn *txn, uint64_t *out_pages)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    uint64_t pages = 0;

    int rc = mdb_cursor_open(txn, 0, &cursor);
    if (rc != 0) {
        return store_code(rc);
    }
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        uint64_t count = 0;
        if (value.mv_size >= sizeof(count)) {
            memcpy(&count, value.mv_data, sizeof(count));
        }
        pages += count;
    }
    mdb_cursor_close(cursor);
    if (rc != MDB_NOTFOUND) {
        return store_code(rc);
    }
    *out_pages = pages;
    return 0;
}

/* The numbers of one commit: a commit between the two calls is noticed and the reading repeated. */
static int
usage_read(struct store *store, MDB_txn *txn, struct store_usage *usage)
{
    enum { TRIES = 16 };
    MDB_envinfo info;
    MDB_stat stat;

    for (int i = 0; i < TRIES; i++) {
        int rc = mdb_env_info(store->env, &info);
        if (rc == 0) {
            mdb_txn_reset(txn);
            rc = mdb_txn_renew(txn);
        }
        if (rc != 0) {
            return store_code(rc);
        }
        if (mdb_txn_id(txn) == info.me_last_txnid) {
            break;
        }
    }
    int rc = store_code(mdb_env_stat(store->env, &stat));
    if (rc == 0) {
        rc = store_free_pages(txn, &usage->free_pages);
    }
    if (rc != 0) {
        return rc;
    }
    uint64_t pages = info.me_last_pgno + 1;
    usage->map_bytes = info.me_mapsize;
    usage->used_pages = pages > usage->free_pages ? pages - usage->free_pages : 0;
    usage->page_bytes = stat.ms_psize;
    usage->live_bytes = usage->used_pages * usage->page_bytes;
    usage->reader_slots = info.me_numreaders;
    usage->txn_id = info.me_last_txnid;
    return 0;
}

int
store_usage(struct store *store, struct store_usage *out_usage)
{
    struct store_usage usage = {0};
    struct store_txn *snapshot = NULL;
    struct stat st;
    int fd;

    int rc = store_snapshot_new(store, &snapshot);
    if (rc == 0) {
        rc = store_snapshot_renew(snapshot);
    }
    if (rc == 0) {
        rc = usage_read(store, snapshot->txn, &usage);
    }
    if (rc == 0) {
        rc = store_code(mdb_env_get_fd(store->env, &fd));
    }
    if (rc == 0 && fstat(fd, &st) != 0) {
        rc = AUGURY_ERR_IO;
    }
    if (rc == 0) {
        usage.file_blocks_bytes = (uint64_t)st.st_blocks * 512;
        *out_usage = usage;
    }
    store_snapshot_free(&snapshot);
    return rc;
}
