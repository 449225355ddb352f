/* SPDX-License-Identifier: MIT */
/*
 * cache_reader.c - one entry at a time for programs that are no process of the daemon.
 * Invariants: (1) nothing of the map is held between two calls, and what is handed out is a copy
 * whose check has held; (2) whatever the environment knows of invalidations holds, as of the
 * snapshot that the entry comes from; (3) an environment that has been replaced is not asked: its
 * file is looked at before each lookup; (4) nothing here needs more than store and base.
 */
#include "cache_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { READER_PATH_MAX = 4096 };

struct cache_reader {
    struct store *store; /* NULL: none is open */
    struct store_txn *snapshot;
    struct cache_invalid *invalid;
    dev_t device; /* of the file that is open */
    ino_t inode;
    uint8_t secret[DIGEST_SECRET_BYTES];
    char *dir;
    char *path;
};

static void
environment_close(struct cache_reader *reader)
{
    store_snapshot_free(&reader->snapshot);
    store_close(&reader->store);
}

static int
secret_read(struct cache_reader *reader)
{
    struct bytes secret;

    int rc = store_snapshot_renew(reader->snapshot);
    if (rc != 0) {
        return rc;
    }
    rc = store_find(reader->snapshot, CACHE_TABLE_META, bytes_of_text("secret"), &secret);
    if (rc == 0 && secret.len != sizeof(reader->secret)) {
        rc = AUGURY_ERR_CORRUPT;
    }
    if (rc == 0) {
        memcpy(reader->secret, secret.data, sizeof(reader->secret));
    }
    store_snapshot_reset(reader->snapshot);
    return rc;
}

static int
file_look(const struct cache_reader *reader, struct stat *out_status)
{
    if (stat(reader->path, out_status) == 0) {
        return 0;
    }
    return errno == EACCES ? AUGURY_ERR_DENIED : AUGURY_NOT_FOUND;
}

static int
environment_open(struct cache_reader *reader, struct err *err)
{
    struct store_options options = {.dir = reader->dir,
                                    .flags = STORE_READ_ONLY,
                                    .tables = cache_tables,
                                    .table_count = CACHE_TABLE_COUNT};
    struct stat before, after;

    int rc = file_look(reader, &before);
    if (rc != 0) {
        return err_set(err, rc, "cache_absent", "%s: %s", reader->dir,
                       rc == AUGURY_NOT_FOUND ? "there is no cache" : strerror(EACCES));
    }
    rc = store_open(&options, &reader->store, NULL, err);
    if (rc == 0) {
        rc = store_snapshot_new(reader->store, &reader->snapshot);
    }
    if (rc == 0) {
        rc = secret_read(reader);
    }
    if (rc == 0 && (file_look(reader, &after) != 0 || after.st_ino != before.st_ino)) {
        rc = AUGURY_NOT_FOUND; /* it is being replaced just now */
    }
    if (rc != 0) {
        environment_close(reader);
        return rc;
    }
    reader->device = before.st_dev;
    reader->inode = before.st_ino;
    memset(reader->invalid, 0, cache_invalid_bytes());
    return 0;
}

/* Follows to another environment. */
static int
environment_check(struct cache_reader *reader)
{
    struct stat status;

    int rc = file_look(reader, &status);
    if (rc != 0) {
        return rc;
    }
    if (reader->store != NULL && status.st_ino == reader->inode &&
        status.st_dev == reader->device) {
        return 0;
    }
    environment_close(reader);
    return environment_open(reader, NULL);
}

int
cache_reader_open(const char *dir, struct cache_reader **out_reader, struct err *err)
{
    char path[READER_PATH_MAX];
    int len = snprintf(path, sizeof(path), "%s/data.mdb", dir);

    if (len < 0 || (size_t)len >= sizeof(path)) {
        return err_set(err, AUGURY_ERR_LIMIT, "path_too_long", "the folder's name is too long");
    }
    struct cache_reader *reader = calloc(1, sizeof(*reader));
    if (reader != NULL) {
        reader->dir = strdup(dir);
        reader->path = strdup(path);
        reader->invalid = calloc(1, cache_invalid_bytes());
    }
    int rc =
        reader == NULL || reader->dir == NULL || reader->path == NULL || reader->invalid == NULL
            ? AUGURY_ERR_NOMEM
            : environment_open(reader, err);
    if (rc != 0) {
        cache_reader_close(&reader);
        return rc;
    }
    *out_reader = reader;
    return 0;
}

void
cache_reader_close(struct cache_reader **reader)
{
    if (*reader == NULL) {
        return;
    }
    environment_close(*reader);
    free((*reader)->invalid);
    free((*reader)->dir);
    free((*reader)->path);
    free(*reader);
    *reader = NULL;
}

static bool
is_valid(const struct cache_reader *reader, const struct cache_entry *entry, struct bytes key,
         uint64_t now_wall_ms)
{
    return bytes_equal(entry->text, key) && entry->expires_wall_ms > now_wall_ms &&
           entry->created_wall_ms <= now_wall_ms + CACHE_FUTURE_MS &&
           cache_death_of(reader->invalid, entry) == CACHE_ALIVE;
}

/* Within the snapshot. */
static int
entry_copy(struct cache_reader *reader, const struct cache_entry *entry, void *room,
           size_t room_bytes, struct cache_hit *hit)
{
    int rc = 0;

    hit->value = bytes_of(NULL, entry->value_len);
    if (entry->value_len > room_bytes) {
        return AUGURY_ERR_LIMIT;
    }
    hit->value.data = room;
    if ((entry->flags & CACHE_ENTRY_CHUNKED) != 0) {
        rc = cache_entry_gather(reader->snapshot, entry, room);
    } else if (entry->value.len > 0) {
        memcpy(room, entry->value.data, entry->value.len);
    }
    if (rc == 0 && cache_value_check(hit->value) != entry->value_check) {
        rc = AUGURY_ERR_CORRUPT;
    }
    return rc;
}

static int
entry_get(struct cache_reader *reader, struct bytes key, uint64_t now_wall_ms, void *room,
          size_t room_bytes, struct cache_hit *hit)
{
    struct cache_entry entry;

    int rc = cache_invalid_follow(reader->invalid, reader->snapshot);
    if (rc == 0) {
        rc = cache_entry_find(reader->snapshot, digest_with_secret(key, reader->secret).lo, &entry);
    }
    if (rc == 0 && !is_valid(reader, &entry, key, now_wall_ms)) {
        rc = AUGURY_NOT_FOUND;
    }
    if (rc != 0) {
        return rc;
    }
    *hit = (struct cache_hit){.created_wall_ms = entry.created_wall_ms,
                              .expires_wall_ms = entry.expires_wall_ms,
                              .stamp = entry.stamp,
                              .stale_s = entry.stale_s,
                              .cost_us = entry.cost_us};
    return entry_copy(reader, &entry, room, room_bytes, hit);
}

int
cache_reader_get(struct cache_reader *reader, struct bytes key, uint64_t now_wall_ms, void *room,
                 size_t room_bytes, struct cache_hit *out_hit)
{
    if (key.len > CACHE_KEY_TEXT_MAX) {
        return AUGURY_NOT_FOUND;
    }
    int rc = environment_check(reader);
    if (rc == 0) {
        rc = store_snapshot_renew(reader->snapshot);
    }
    if (rc != 0) {
        return rc;
    }
    rc = entry_get(reader, key, now_wall_ms, room, room_bytes, out_hit);
    store_snapshot_reset(reader->snapshot);
    return rc;
}
