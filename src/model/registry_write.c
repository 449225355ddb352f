/* SPDX-License-Identifier: MIT */
/*
 * registry_write.c - changes to the registry, each one transaction: use and unload here, import
 * beside; and the full check.
 * Invariants: a version is never given out twice, also after it was taken out (`serial` only
 * grows); a label names a version that is there.
 */
#include <string.h>

#include "registry_internal.h"

/* ---- refusals -------------------------------------------------------------------------------- */

int
write_refused(const struct registry *registry, const char *name, struct err *err)
{
    if (registry->is_read_only) {
        return err_set(err, AUGURY_ERR_DENIED, "read_only", "the registry is open for reading");
    }
    if (registry_name_is_valid(bytes_of_text(name))) {
        return 0;
    }
    return err_set(err, AUGURY_ERR_INVALID, "invalid_name",
                   "a model's name has 1 to %d characters, letters, digits, '.', '_' and '-', "
                   "and begins with a letter or digit",
                   MODEL_NAME_MAX);
}

int
write_failed(int rc, const char *doing, struct err *err)
{
    return err_set(err, rc, rc == AUGURY_ERR_FULL ? "registry_full" : "registry_failed", "%s: %s%s",
                   doing, augury_strerror(rc),
                   rc == AUGURY_ERR_FULL ? "; unload a version or give the models a larger map"
                                         : "");
}

/* What there is instead, as a reader is told. In the caller's snapshot when there is one: it
 * stays as it is. */
static int
no_version(struct registry *registry, const char *name, uint32_t version, struct err *err)
{
    char selector[VERSION_TEXT_MAX + 1] = "";
    bool was_in_snapshot = registry->is_in_snapshot;
    int rc = was_in_snapshot ? 0 : registry_snapshot_begin(registry);

    if (rc != 0) {
        return write_failed(rc, "reading the registry", err);
    }
    if (version != 0) {
        (void)snprintf(selector, sizeof(selector), "%u", version);
    }
    rc = table_no_version(registry_table(registry), bytes_of_text(name), bytes_of_text(selector),
                          err);
    if (!was_in_snapshot) {
        registry_snapshot_end(registry);
    }
    return rc;
}

/* ---- records in a write transaction ---------------------------------------------------------- */

int
version_get(struct store_txn *txn, enum registry_table_id table, struct bytes key,
            uint32_t *out_version)
{
    struct bytes record;
    int rc = store_find(txn, table, key, &record);

    return rc == 0 ? version_decode(record, out_version) : rc;
}

int
version_put(struct store_txn *txn, enum registry_table_id table, struct bytes key, uint32_t version)
{
    uint8_t record[4];

    le32_put(record, version);
    return store_put(txn, table, key, bytes_of(record, sizeof(record)), STORE_PUT_REPLACE);
}

int
label_put(struct store_txn *txn, struct bytes name, const char *label, uint32_t version)
{
    struct key key = key_of_label(name, bytes_of_text(label));

    return version_put(txn, TABLE_LABEL, key_view(&key), version);
}

/* The version that a label names, 0 for none. */
static int
label_get(struct store_txn *txn, struct bytes name, const char *label, uint32_t *out_version)
{
    struct key key = key_of_label(name, bytes_of_text(label));
    int rc = version_get(txn, TABLE_LABEL, key_view(&key), out_version);

    if (rc == AUGURY_NOT_FOUND) {
        *out_version = 0;
        rc = 0;
    }
    return rc;
}

int
version_exists(struct store_txn *txn, struct bytes name, uint32_t version)
{
    struct key key = key_of_version(name, version);
    struct bytes record;

    return store_find(txn, TABLE_META, key_view(&key), &record);
}

/* Counts the versions of a name. */
int
versions_count(struct store_txn *txn, struct bytes name, size_t *out_count)
{
    struct key prefix = key_prefix(name);
    struct store_cursor *cursor = NULL;
    struct bytes key, record;
    size_t count = 0;
    int rc = store_cursor_open(txn, TABLE_META, &cursor);

    if (rc != 0) {
        return rc;
    }
    rc = store_cursor_seek(cursor, key_view(&prefix), &key, &record);
    while (rc == 0 && key.len > prefix.len && memcmp(key.data, prefix.data, prefix.len) == 0) {
        count++;
        rc = store_cursor_next(cursor, &key, &record);
    }
    store_cursor_close(&cursor);
    if (rc < 0) {
        return rc;
    }
    *out_count = count;
    return 0;
}

/* ---- use ------------------------------------------------------------------------------------- */

int
registry_use(struct registry *registry, const char *name, uint32_t version, const char *label,
             struct err *err)
{
    struct store_txn *txn = NULL;
    int rc = write_refused(registry, name, err);

    if (rc == 0 && !label_is_valid(bytes_of_text(label))) {
        rc = err_set(err, AUGURY_ERR_INVALID, "invalid_label",
                     "a label has 1 to %d characters as a name has, and not digits alone",
                     MODEL_LABEL_MAX);
    }
    if (rc == 0) {
        rc = registry_verify(registry, name, version, err);
    }
    if (rc != 0) {
        return rc;
    }
    rc = store_begin(registry->store, &txn);
    if (rc == 0) {
        rc = version_exists(txn, bytes_of_text(name), version);
    }
    if (rc == 0) {
        rc = label_put(txn, bytes_of_text(name), label, version);
    }
    if (rc == 0) {
        rc = store_commit(&txn);
    }
    store_abort(&txn);
    if (rc == AUGURY_NOT_FOUND) {
        return no_version(registry, name, version, err);
    }
    return rc == 0 ? 0 : write_failed(rc, "moving the label", err);
}

/* ---- unload ---------------------------------------------------------------------------------- */

/* Deletes one label of the version. AUGURY_NOT_FOUND when there is none. One a call, because a
 * deletion moves what a cursor stands on. */
static int
label_del_one(struct store_txn *txn, struct bytes name, uint32_t version)
{
    struct key prefix = key_prefix(name);
    struct key found = {.len = 0};
    struct store_cursor *cursor = NULL;
    struct bytes key, record;
    int rc = store_cursor_open(txn, TABLE_LABEL, &cursor);

    if (rc != 0) {
        return rc;
    }
    rc = store_cursor_seek(cursor, key_view(&prefix), &key, &record);
    while (rc == 0 && found.len == 0 && key.len > prefix.len && key.len <= KEY_MAX &&
           memcmp(key.data, prefix.data, prefix.len) == 0) {
        uint32_t labelled = 0;
        if (version_decode(record, &labelled) < 0 || labelled == version) {
            memcpy(found.data, key.data, key.len);
            found.len = key.len;
        } else {
            rc = store_cursor_next(cursor, &key, &record);
        }
    }
    store_cursor_close(&cursor);
    if (rc < 0) {
        return rc;
    }
    return found.len == 0 ? AUGURY_NOT_FOUND : store_del(txn, TABLE_LABEL, key_view(&found));
}

static int
version_del(struct store_txn *txn, struct bytes name, uint32_t version)
{
    struct key key = key_of_version(name, version);
    int rc = store_del(txn, TABLE_META, key_view(&key));

    if (rc == 0) {
        rc = store_del(txn, TABLE_BLOB, key_view(&key));
        rc = rc == AUGURY_NOT_FOUND ? 0 : rc; /* damaged before: the version goes all the same */
    }
    while (rc == 0) {
        rc = label_del_one(txn, name, version);
        if (rc == AUGURY_NOT_FOUND) {
            return 0;
        }
    }
    return rc;
}

/* The lowest version of a name; AUGURY_NOT_FOUND. */
static int
version_lowest(struct store_txn *txn, struct bytes name, uint32_t *out_version)
{
    struct key prefix = key_prefix(name);
    struct store_cursor *cursor = NULL;
    struct bytes key, record, found;
    int rc = store_cursor_open(txn, TABLE_META, &cursor);

    if (rc != 0) {
        return rc;
    }
    rc = store_cursor_seek(cursor, key_view(&prefix), &key, &record);
    if (rc == 0) {
        rc = key_read_version(key, &found, out_version);
    }
    if (rc == AUGURY_END || (rc == 0 && !bytes_equal(found, name))) {
        rc = AUGURY_NOT_FOUND;
    }
    store_cursor_close(&cursor);
    return rc;
}

static int
versions_del(struct store_txn *txn, struct bytes name)
{
    uint32_t version;
    int rc = version_lowest(txn, name, &version);

    if (rc != 0) {
        return rc;
    }
    while (rc == 0) {
        rc = version_del(txn, name, version);
        if (rc == 0) {
            rc = version_lowest(txn, name, &version);
        }
    }
    return rc == AUGURY_NOT_FOUND ? 0 : rc;
}

static int
refuse_stable(struct store_txn *txn, struct bytes name, uint32_t version, struct err *err)
{
    uint32_t stable = 0;
    size_t count = 0;
    int rc = label_get(txn, name, REGISTRY_LABEL_STABLE, &stable);

    if (rc == 0) {
        rc = versions_count(txn, name, &count);
    }
    if (rc < 0) {
        return write_failed(rc, "reading the registry", err);
    }
    if (stable == version && count > 1) {
        return err_set(err, AUGURY_ERR_STATE, "version_in_use",
                       "version %u of \"%.*s\" has the label %s: point it at another version "
                       "first, or unload the whole model",
                       version, (int)name.len, (const char *)name.data, REGISTRY_LABEL_STABLE);
    }
    return 0;
}

int
registry_unload(struct registry *registry, const char *name, uint32_t version, struct err *err)
{
    struct bytes name_bytes = bytes_of_text(name);
    struct store_txn *txn = NULL;
    int rc = write_refused(registry, name, err);

    if (rc != 0) {
        return rc;
    }
    rc = store_begin(registry->store, &txn);
    if (rc != 0) {
        return write_failed(rc, "beginning a change of the registry", err);
    }
    rc = version == 0 ? 0 : refuse_stable(txn, name_bytes, version, err);
    if (rc != 0) {
        store_abort(&txn);
        return rc;
    }
    rc = version == 0 ? versions_del(txn, name_bytes) : version_del(txn, name_bytes, version);
    if (rc == 0) {
        rc = store_commit(&txn);
    }
    store_abort(&txn);
    if (rc == AUGURY_NOT_FOUND) {
        return no_version(registry, name, version, err);
    }
    return rc == 0 ? 0 : write_failed(rc, "unloading the model", err);
}

/* ---- verify ---------------------------------------------------------------------------------- */

static int
verify_one(const struct version *version, struct err *err)
{
    struct model model;
    int rc = version_check(version, MODEL_CHECK_ALL, &model, err);

    if (rc < 0) {
        (void)err_at(err, "%s@%u", version->shown.entry.name, version->shown.entry.version);
    }
    return rc;
}

/* In a snapshot. version 0: every version of the name. */
static int
verify_versions(const struct table *table, const char *name, uint32_t version, struct err *err)
{
    size_t count;
    struct version *first = table_first(table, bytes_of_text(name), &count);
    int rc = AUGURY_NOT_FOUND;

    for (size_t i = 0; i < count && (rc == 0 || rc == AUGURY_NOT_FOUND); i++) {
        if (version == 0 || first[i].shown.entry.version == version) {
            rc = verify_one(&first[i], err);
        }
    }
    return rc;
}

int
registry_verify(struct registry *registry, const char *name, uint32_t version, struct err *err)
{
    bool was_in_snapshot = registry->is_in_snapshot;
    int rc = was_in_snapshot ? 0 : registry_snapshot_begin(registry);

    if (rc != 0) {
        return write_failed(rc, "reading the registry", err);
    }
    rc = verify_versions(registry_table(registry), name, version, err);
    if (!was_in_snapshot) {
        registry_snapshot_end(registry);
    }
    return rc == AUGURY_NOT_FOUND ? no_version(registry, name, version, err) : rc;
}
