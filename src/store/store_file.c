/* SPDX-License-Identifier: MIT */
/*
 * store_file.c - an environment's folder and file, looked at before LMDB maps it: LMDB trusts the
 * page numbers in the file, and a page past the end of the file is SIGBUS.
 * Offsets are those of LMDB 0.9's data format (lmdb.h, MDB_VERSION 0.9; version word 1) on 64-bit
 * machines.
 * Invariant: a file in use is only ever made longer here.
 */
#include "store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    META_HEADER = 16, /* a page's header before its meta record */
    META_MAGIC = META_HEADER,
    META_VERSION = META_HEADER + 4,
    META_PAGE_BYTES = META_HEADER + 24,
    META_NAMES_DEPTH = META_HEADER + 78, /* of the table of the tables' names */
    META_NAMES_ROOT = META_HEADER + 112,
    META_LAST_PAGE = META_HEADER + 120,
    META_TXN_ID = META_HEADER + 128,
    META_END = META_HEADER + 136,
    LMDB_DATA_VERSION = 1,
    STORE_PATH_MAX = 4096,
    /* 4 GiB of pages made and freed again by one transaction: more is a wrong number. */
    MISSING_PAGES_MAX = 1 << 20,
};
static const uint32_t meta_magic = 0xBEEFC0DEu;

struct meta {
    uint64_t page_bytes;
    uint64_t last_page;
    uint64_t txn_id;
};

static bool
path_join(const char *dir, const char *name, char *out_path)
{
    int len = snprintf(out_path, STORE_PATH_MAX, "%s/%s", dir, name);
    return len > 0 && len < STORE_PATH_MAX;
}

int
store_folder_make(const char *dir, struct err *err)
{
    char path[STORE_PATH_MAX];
    size_t len = strlen(dir);

    if (len == 0 || len >= sizeof(path)) {
        return err_set(err, AUGURY_ERR_LIMIT, "path_too_long", "folder name: 1 to %zu bytes",
                       sizeof(path) - 1);
    }
    memcpy(path, dir, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        path[i] = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST && access(path, F_OK) != 0) {
            int rc = errno == EACCES || errno == EPERM ? AUGURY_ERR_DENIED : AUGURY_ERR_IO;
            return err_set(err, rc, "folder", "cannot make folder %s: %s", path, strerror(errno));
        }
        path[i] = dir[i];
    }
    return 0;
}

int
store_lock_share(const char *dir)
{
    char path[STORE_PATH_MAX];

    return path_join(dir, "lock.mdb", path) && chmod(path, 0660) == 0 ? 0 : AUGURY_ERR_IO;
}

/* false when the bytes are no meta page of this format. */
static bool
meta_decode(const uint8_t *page, struct meta *out_meta)
{
    uint64_t page_bytes = native32(page + META_PAGE_BYTES);

    if (native32(page + META_MAGIC) != meta_magic ||
        native32(page + META_VERSION) != LMDB_DATA_VERSION || page_bytes < 512 ||
        page_bytes > 65536 || (page_bytes & (page_bytes - 1)) != 0) {
        return false;
    }
    out_meta->page_bytes = page_bytes;
    out_meta->last_page = native64(page + META_LAST_PAGE);
    out_meta->txn_id = native64(page + META_TXN_ID);
    return true;
}

/* The newer of the two meta pages; NULL and a set *out_meta, or why the file is damaged. */
static const char *
meta_read(int fd, struct meta *out_meta)
{
    uint8_t page[META_END];
    struct meta first, second;

    ssize_t got = pread(fd, page, sizeof(page), 0);
    if (got == 0) {
        return "the file is empty";
    }
    if (got != (ssize_t)sizeof(page) || !meta_decode(page, &first)) {
        return "the first page is not LMDB's";
    }
    got = pread(fd, page, sizeof(page), (off_t)first.page_bytes);
    if (got != (ssize_t)sizeof(page) || !meta_decode(page, &second) ||
        second.page_bytes != first.page_bytes) {
        return "the second page is not LMDB's";
    }
    *out_meta = second.txn_id > first.txn_id ? second : first;
    if (out_meta->last_page < 1 || out_meta->last_page >= (UINT64_C(1) << 47) / first.page_bytes) {
        return "the number of the last page is impossible";
    }
    return NULL;
}

/* Bytes between the file's end and the last page's: LMDB does not write a new page that was freed
 * again in the same transaction, so a good file may be short. */
static int
file_lengthen(const char *path, int fd, struct store_file *file)
{
    struct stat st;

    if (fstat(fd, &st) != 0) {
        return AUGURY_ERR_IO;
    }
    uint64_t pages = (uint64_t)st.st_size / file->page_bytes;
    if (pages >= file->page_end) {
        return 0;
    }
    if (file->page_end - pages > MISSING_PAGES_MAX) {
        return AUGURY_ERR_CORRUPT;
    }
    int writable = open(path, O_RDWR | O_CLOEXEC);
    if (writable < 0) {
        return errno == EACCES || errno == EPERM ? AUGURY_ERR_DENIED : AUGURY_ERR_IO;
    }
    int rc = posix_fallocate(writable, (off_t)((file->page_end - 1) * file->page_bytes),
                             (off_t)file->page_bytes);
    close(writable);
    file->first_missing_page = pages;
    return rc == 0 ? 0 : AUGURY_ERR_IO;
}

int
store_file_check(const char *dir, struct store_file *out_file, struct err *err)
{
    char path[STORE_PATH_MAX];
    struct meta meta;

    if (!path_join(dir, "data.mdb", path)) {
        return err_set(err, AUGURY_ERR_LIMIT, "path_too_long", "folder name: at most %d bytes",
                       STORE_PATH_MAX - 10);
    }
    *out_file = (struct store_file){.state = STORE_FILE_ABSENT};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        int rc = store_code(errno);
        return rc == AUGURY_NOT_FOUND
                   ? 0
                   : err_set(err, rc, "store_open", "%s: %s", path, strerror(errno));
    }
    out_file->reason = meta_read(fd, &meta);
    if (out_file->reason != NULL) {
        out_file->state = STORE_FILE_DAMAGED;
    } else {
        out_file->state = STORE_FILE_GOOD;
        out_file->page_bytes = meta.page_bytes;
        out_file->page_end = meta.last_page + 1;
        out_file->first_missing_page = out_file->page_end;
        if (file_lengthen(path, fd, out_file) != 0) {
            out_file->state = STORE_FILE_DAMAGED;
            out_file->reason = "the file is shorter than it says";
        }
    }
    close(fd);
    return 0;
}

int
store_file_names_page(MDB_env *env, uint64_t txn_id, size_t page_bytes, uint64_t *out_page)
{
    uint8_t page[META_END];
    struct meta meta;
    uint16_t depth;
    int fd;

    if (mdb_env_get_fd(env, &fd) != 0 ||
        pread(fd, page, sizeof(page), (off_t)((txn_id & 1) * page_bytes)) != sizeof(page)) {
        return AUGURY_ERR_IO;
    }
    memcpy(&depth, page + META_NAMES_DEPTH, sizeof(depth));
    if (!meta_decode(page, &meta) || meta.txn_id != txn_id || depth != 1) {
        return AUGURY_NOT_FOUND;
    }
    *out_page = native64(page + META_NAMES_ROOT);
    return 0;
}

struct missing {
    int fd;
    uint64_t page_bytes;
    uint64_t first, end;
    uint8_t *is_free; /* a byte a page of first … end - 1 */
};

static bool
page_is_zero(const struct missing *missing, uint64_t page)
{
    uint8_t data[512];

    for (uint64_t at = 0; at < missing->page_bytes; at += sizeof(data)) {
        ssize_t got =
            pread(missing->fd, data, sizeof(data), (off_t)(page * missing->page_bytes + at));
        if (got != (ssize_t)sizeof(data)) {
            return true;
        }
        for (size_t i = 0; i < sizeof(data); i++) {
            if (data[i] != 0) {
                return false;
            }
        }
    }
    return true;
}

static int
missing_mark_free(MDB_txn *txn, const struct missing *missing)
{
    MDB_cursor *cursor;
    MDB_val key, value;

    int rc = mdb_cursor_open(txn, 0, &cursor);
    if (rc != 0) {
        return store_code(rc);
    }
    for (rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST); rc == 0;
         rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
        const uint8_t *list = value.mv_data;
        uint64_t count = value.mv_size < 8 ? 0 : native64(list);
        if (value.mv_size < 8 || count > value.mv_size / 8 - 1) {
            rc = MDB_CORRUPTED;
            break;
        }
        for (uint64_t i = 1; i <= count; i++) {
            uint64_t page = native64(list + 8 * i);
            if (page >= missing->first && page < missing->end) {
                missing->is_free[page - missing->first] = 1;
            }
        }
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : store_code(rc);
}

int
store_file_check_missing(MDB_env *env, const struct store_file *file)
{
    MDB_txn *txn = NULL;
    struct missing missing = {
        .page_bytes = file->page_bytes,
        .first = file->first_missing_page,
        .end = file->page_end,
    };

    if (missing.first >= missing.end) {
        return 0;
    }
    int rc = AUGURY_ERR_NOMEM;
    missing.is_free = calloc(missing.end - missing.first, 1);
    if (missing.is_free == NULL) {
        goto out;
    }
    rc = store_code(mdb_env_get_fd(env, &missing.fd));
    if (rc == 0) {
        rc = store_code(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn));
    }
    if (rc == 0) {
        rc = missing_mark_free(txn, &missing);
    }
    for (uint64_t page = missing.first; rc == 0 && page < missing.end; page++) {
        if (missing.is_free[page - missing.first] == 0 && page_is_zero(&missing, page)) {
            rc = AUGURY_ERR_CORRUPT;
        }
    }
out:
    if (txn != NULL) {
        mdb_txn_abort(txn);
    }
    free(missing.is_free);
    return rc;
}

int
store_set_aside(const char *dir)
{
    static const char *const names[] = {"lock.mdb", "data.mdb"};
    char from[STORE_PATH_MAX], to[STORE_PATH_MAX];

    for (size_t i = 0; i < AUGURY_COUNT(names); i++) {
        char aside[32];
        snprintf(aside, sizeof(aside), "%s.damaged", names[i]);
        if (!path_join(dir, names[i], from) || !path_join(dir, aside, to)) {
            return AUGURY_ERR_LIMIT;
        }
        if (rename(from, to) != 0 && errno != ENOENT) {
            return AUGURY_ERR_IO;
        }
    }
    return 0;
}
