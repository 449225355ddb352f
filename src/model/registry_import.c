/* SPDX-License-Identifier: MIT */
/*
 * registry_import.c - a foreign file, or another form of a stored version, becomes the next version
 * of a name.
 * Invariants: reading, compiling and checking happen before the transaction begins, so that writers
 * wait for each other for a copy's time only; version, blob, record, serial number and label are
 * one transaction.
 */
#include <string.h>

#include "augury/seal.h"
#include "registry_internal.h"
#include "replay.h"

#define REPLAY_MEMORY_MAX ((size_t)4 << 30)

struct import {
    struct registry *registry;
    struct bytes name;
    uint32_t version; /* asked for; 0: the next. After import_choose(): the one it gets */
    enum registry_import_flags flags;
    bool is_first;
    uint32_t base; /* the version that it is another form of; 0: none */
    struct buf blob;
    struct meta meta;
};

/* Everything that needs no transaction: compile, check what was compiled, take the digests. */
static int
import_compile(struct import *import, const struct registry_import *asked, struct err *err)
{
    struct model model;
    int rc = model_import(asked->file, asked->options, &import->blob, err);

    if (rc == 0) {
        rc = model_open(buf_view(&import->blob), MODEL_CHECK_ALL, &model, err);
    }
    if (rc != 0) {
        return rc;
    }
    rc = seal_sha256(asked->file, import->meta.source_sha256);
    if (rc != 0) {
        return err_set(err, rc, "digest_failed", "SHA-256 of the file failed");
    }
    import->meta.source_bytes = asked->file.len;
    import->meta.blob_bytes = import->blob.len;
    import->meta.content = model.content;
    return 0;
}

/* A model that answers otherwise than its maker says is refused before anybody asks it. */
static int
import_replay(struct import *import, const struct registry_import *asked, struct err *err)
{
    static const enum replay_output outputs[] = {
        [REGISTRY_GOLDEN_PREDICTION] = REPLAY_PREDICTIONS,
        [REGISTRY_GOLDEN_MARGIN] = REPLAY_MARGINS,
        [REGISTRY_GOLDEN_PROBABILITIES] = REPLAY_PROBABILITIES,
    };
    struct registry_golden golden = {.row_count = 0};
    struct registry_evidence *evidence = &import->meta.evidence;
    struct model model;
    struct arena arena;
    int rc = model_open(buf_view(&import->blob), MODEL_CHECK_HEADER, &model, err);

    if (rc == 0) {
        rc = asked->golden(asked->golden_arg, &model, &golden, err);
    }
    if (rc == 0 && arena_init(&arena, REPLAY_MEMORY_MAX) != 0) {
        rc = err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for golden rows");
    }
    if (rc != 0) {
        return rc;
    }
    struct replay replay = {.code = "golden_mismatch",
                            .output = outputs[golden.output],
                            .row_count = golden.row_count,
                            .rows = golden.rows,
                            .expected = golden.expected,
                            .tolerance = golden.tolerance};
    rc = replay_run(&model, &replay, &arena, err);
    arena_fini(&arena);
    evidence->golden_rows = golden.row_count;
    evidence->golden_tolerance = golden.tolerance;
    memcpy(evidence->golden_sha256, golden.sha256, sizeof(evidence->golden_sha256));
    return rc;
}

/* What is true of the source is true of every form of it: the record is the base's, but for what
 * describes the blob. */
static int
import_take_base(struct import *import, struct store_txn *txn, struct err *err)
{
    struct key key = key_of_version(import->name, import->base);
    struct meta base;
    struct bytes record;
    int rc = store_find(txn, TABLE_META, key_view(&key), &record);

    if (rc == 0) {
        rc = meta_decode(record, key_view(&key), &base);
    }
    if (rc == AUGURY_NOT_FOUND) {
        return err_set(err, AUGURY_ERR_STATE, "version_gone",
                       "version %u of \"%.*s\" has been unloaded meanwhile", import->base,
                       (int)import->name.len, (const char *)import->name.data);
    }
    if (rc != 0) {
        return write_failed(rc, "reading the registry", err);
    }
    base.blob_bytes = import->meta.blob_bytes;
    base.content = import->meta.content;
    base.imported_wall_ms = import->meta.imported_wall_ms;
    import->meta = base;
    return 0;
}

/* A blob that would share a page is padded; the record knows its true length. */
static int
import_pad(struct import *import)
{
    size_t stored_min = import->registry->stored_min;

    if (import->blob.len < stored_min) {
        size_t pad = stored_min - import->blob.len;
        uint8_t *room = buf_reserve(&import->blob, pad);
        if (room != NULL) {
            memset(room, 0, pad);
            buf_commit(&import->blob, pad);
        }
    }
    return buf_finish(&import->blob);
}

static int
import_choose(struct import *import, struct store_txn *txn, struct err *err)
{
    uint32_t highest = 0;
    int rc = version_get(txn, TABLE_SERIAL, import->name, &highest);

    if (rc < 0) {
        return write_failed(rc, "reading the registry", err);
    }
    if (import->version == 0 && highest == UINT32_MAX) {
        return err_set(err, AUGURY_ERR_LIMIT, "versions_used_up", "no version number is left");
    }
    if (import->version == 0) {
        import->version = highest + 1;
    }
    if (import->version <= highest) {
        bool is_there = version_exists(txn, import->name, import->version) == 0;
        return err_set(err, AUGURY_ERR_EXISTS, "version_exists",
                       "version %u of \"%.*s\" %s; the next is %u", import->version,
                       (int)import->name.len, (const char *)import->name.data,
                       is_there ? "is there already"
                                : "lies below versions given out before, and none is used twice",
                       highest == UINT32_MAX ? highest : highest + 1);
    }
    size_t count;
    rc = versions_count(txn, import->name, &count);
    import->is_first = rc == 0 && count == 0;
    return rc == 0 ? 0 : write_failed(rc, "reading the registry", err);
}

static int
import_put(struct import *import, struct store_txn *txn)
{
    struct key key = key_of_version(import->name, import->version);
    uint8_t record[META_BYTES];

    meta_encode(&import->meta, key_view(&key), record);
    int rc = store_put(txn, TABLE_BLOB, key_view(&key), buf_view(&import->blob), STORE_PUT_NEW);

    if (rc == 0) {
        rc = store_put(txn, TABLE_META, key_view(&key), bytes_of(record, sizeof(record)),
                       STORE_PUT_NEW);
    }
    if (rc == 0) {
        rc = version_put(txn, TABLE_SERIAL, import->name, import->version);
    }
    if (rc == 0 && (import->is_first || (import->flags & REGISTRY_IMPORT_USE) != 0)) {
        rc = label_put(txn, import->name, REGISTRY_LABEL_STABLE, import->version);
    }
    return rc;
}

static int
import_store_once(struct import *import, struct err *err)
{
    struct store_txn *txn = NULL;
    int rc = store_begin(import->registry->store, &txn);

    if (rc != 0) {
        return write_failed(rc, "beginning a change of the registry", err);
    }
    rc = import_choose(import, txn, err);
    if (rc == 0 && import->base != 0) {
        rc = import_take_base(import, txn, err);
    }
    if (rc != 0) {
        store_abort(&txn);
        return rc;
    }
    rc = import_put(import, txn);
    if (rc == 0) {
        rc = store_commit(&txn);
    }
    store_abort(&txn);
    return rc == 0 ? 0 : write_failed(rc, "storing the model", err);
}

/* A commit that leaves every record as it is. */
static int
commit_nothing(struct store *store)
{
    struct bytes key = bytes_of("", 1); /* no name is a NUL */
    struct store_txn *txn = NULL;
    int rc = store_begin(store, &txn);

    if (rc == 0) {
        rc = version_put(txn, TABLE_SERIAL, key, 1);
    }
    if (rc == 0) {
        rc = store_del(txn, TABLE_SERIAL, key);
    }
    if (rc == 0) {
        rc = store_commit(&txn);
    }
    store_abort(&txn);
    return rc;
}

/*
 * Pages that a commit frees can be used by the next but one. So a map that is full right after an
 * unload is not full any more after one more commit: without it, no import would ever succeed
 * again.
 */
static int
import_store(struct import *import, struct err *err)
{
    int rc = import_store_once(import, err);

    if (rc == AUGURY_ERR_FULL && commit_nothing(import->registry->store) == 0) {
        rc = import_store_once(import, err);
    }
    return rc;
}

static void
import_describe(const struct import *import, struct registry_entry *out_entry)
{
    bool is_stable = import->is_first || (import->flags & REGISTRY_IMPORT_USE) != 0;

    *out_entry = (struct registry_entry){
        .version = import->version,
        .labels = bytes_of_text(is_stable ? REGISTRY_LABEL_STABLE : ""),
        .source_bytes = import->meta.source_bytes,
        .blob_bytes = import->meta.blob_bytes,
        .imported_wall_ms = import->meta.imported_wall_ms,
        .evidence = import->meta.evidence,
    };
    memcpy(out_entry->name, import->name.data, import->name.len);
    hex_encode(bytes_of(import->meta.source_sha256, sizeof(import->meta.source_sha256)),
               out_entry->source_sha256);
}

/* Of a compiled and checked blob. */
static int
import_finish(struct import *import, struct registry_entry *out_entry, struct err *err)
{
    int rc = import_pad(import);

    if (rc != 0) {
        return write_failed(rc, "padding the model", err);
    }
    rc = import_store(import, err);
    if (rc == 0) {
        import_describe(import, out_entry);
    }
    return rc;
}

int
registry_import(struct registry *registry, const struct registry_import *asked,
                struct registry_entry *out_entry, struct err *err)
{
    struct import import = {.registry = registry,
                            .name = bytes_of_text(asked->name),
                            .version = asked->version,
                            .flags = asked->flags,
                            .meta.imported_wall_ms = asked->now_wall_ms};
    int rc = write_refused(registry, asked->name, err);

    if (rc != 0) {
        return rc;
    }
    if (asked->evidence != NULL) {
        import.meta.evidence = *asked->evidence;
    }
    buf_init(&import.blob, registry->blob_max);
    rc = import_compile(&import, asked, err);
    if (rc == 0 && asked->golden != NULL) {
        rc = import_replay(&import, asked, err);
    }
    if (rc == 0) {
        rc = import_finish(&import, out_entry, err);
    }
    buf_fini(&import.blob);
    return rc;
}

int
registry_derive(struct registry *registry, const char *name, uint32_t base, struct bytes blob,
                enum registry_import_flags flags, uint64_t now_wall_ms,
                struct registry_entry *out_entry, struct err *err)
{
    struct import import = {.registry = registry,
                            .name = bytes_of_text(name),
                            .base = base,
                            .flags = flags,
                            .meta.imported_wall_ms = now_wall_ms};
    struct model model;
    int rc = write_refused(registry, name, err);

    if (rc == 0) {
        rc = model_open(blob, MODEL_CHECK_ALL, &model, err);
    }
    if (rc != 0) {
        return rc;
    }
    import.meta.blob_bytes = blob.len;
    import.meta.content = model.content;
    buf_init(&import.blob, registry->blob_max);
    buf_put(&import.blob, blob.data, blob.len);
    rc = import_finish(&import, out_entry, err);
    buf_fini(&import.blob);
    return rc;
}
