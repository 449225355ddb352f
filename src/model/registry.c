/* SPDX-License-Identifier: MIT */
/*
 * registry.c - models by name, version and label: opening the environment, and reading it.
 * Invariants: a read snapshot is renewed between begin and end only; the table in use is that of
 * the snapshot's commit; a writer needs to tell nobody, because each begin compares the number of
 * the last commit.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "registry_internal.h"

static const struct store_table_spec table_specs[TABLE_COUNT] = {
    [TABLE_BLOB] = {.name = "blob", .flags = STORE_TABLE_BYTES},
    [TABLE_META] = {.name = "meta", .flags = STORE_TABLE_BYTES},
    [TABLE_LABEL] = {.name = "label", .flags = STORE_TABLE_BYTES},
    [TABLE_SERIAL] = {.name = "serial", .flags = STORE_TABLE_BYTES},
};

enum {
    READERS_MAX = 1024 /* processes that may read at once; 64 bytes each in the lock file */
};

/* ---- opening --------------------------------------------------------------------------------- */

/* A reader makes nothing: an environment that no writer has made yet is a normal no. */
static int
registry_is_there(const struct registry_options *options, struct err *err)
{
    char path[4096];
    struct stat stat_of_data;
    int len = snprintf(path, sizeof(path), "%s/data.mdb", options->dir);

    if (len < 0 || (size_t)len >= sizeof(path)) {
        return err_set(err, AUGURY_ERR_LIMIT, "path_too_long", "the folder's name is too long");
    }
    if (stat(path, &stat_of_data) != 0 && errno == ENOENT) {
        return err_set(err, AUGURY_NOT_FOUND, "no_registry",
                       "there is no model registry in %s: import a model, or start the daemon",
                       options->dir);
    }
    return 0;
}

static int
registry_open_store(struct registry *registry, const struct registry_options *options,
                    struct err *err)
{
    struct store_options store_options = {
        .dir = options->dir,
        .map_bytes = options->map_bytes,
        .max_readers = READERS_MAX,
        .flags = options->is_read_only ? STORE_READ_ONLY : STORE_CREATE,
        .tables = table_specs,
        .table_count = AUGURY_COUNT(table_specs),
    };

    return store_open(&store_options, &registry->store, NULL, err);
}

/* A blob below half a page would be stored inside a page with others, aligned to 2 bytes and
 * moved when they change. */
static int
registry_measure(struct registry *registry)
{
    struct store_usage usage;
    int rc = store_usage(registry->store, &usage);

    if (rc == 0) {
        registry->stored_min = usage.page_bytes;
        registry->blob_max = usage.map_bytes;
    }
    return rc;
}

static int
registry_setup(struct registry *registry, const struct registry_options *options, struct err *err)
{
    registry->is_read_only = options->is_read_only;
    registry->stats = options->stats;
    if (options->kernel != NULL) {
        int bad = model_kernel_check(options->kernel, err);
        if (bad != 0) {
            return bad;
        }
        (void)snprintf(registry->kernel, sizeof(registry->kernel), "%s", options->kernel);
    }
    int rc = registry_open_store(registry, options, err);
    if (rc != 0) {
        return rc;
    }
    rc = store_snapshot_new(registry->store, &registry->snapshot);
    if (rc == 0) {
        rc = registry_measure(registry);
    }
    for (size_t i = 0; i < AUGURY_COUNT(registry->tables) && rc == 0; i++) {
        rc = arena_init(&registry->tables[i].arena, TABLE_ARENA_BYTES);
    }
    return rc == 0 ? 0
                   : err_set(err, rc, "registry_open_failed",
                             "the model registry in %s could not be read: %s", options->dir,
                             augury_strerror(rc));
}

int
registry_open(const struct registry_options *options, struct registry **out_registry,
              struct err *err)
{
    int rc = options->is_read_only ? registry_is_there(options, err) : 0;
    if (rc != 0) {
        return rc;
    }
    struct registry *registry = calloc(1, sizeof(*registry));
    if (registry == NULL) {
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for the model registry");
    }
    rc = registry_setup(registry, options, err);
    if (rc != 0) {
        registry_close(&registry);
        return rc;
    }
    *out_registry = registry;
    return 0;
}

void
registry_close(struct registry **registry)
{
    struct registry *closing = *registry;

    if (closing == NULL) {
        return;
    }
    registry_snapshot_end(closing);
    for (size_t i = 0; i < AUGURY_COUNT(closing->tables); i++) {
        arena_fini(&closing->tables[i].arena);
    }
    store_snapshot_free(&closing->snapshot);
    store_close(&closing->store);
    free(closing);
    *registry = NULL;
}

int
registry_reader_check(struct registry *registry, unsigned *out_cleared)
{
    return store_reader_check(registry->store, out_cleared);
}

/* ---- snapshots ------------------------------------------------------------------------------- */

struct table *
registry_table(const struct registry *registry)
{
    return (struct table *)&registry->tables[registry->current];
}

static int
registry_resolve(struct registry *registry)
{
    unsigned next = registry->current ^ 1u;
    struct table *old = &registry->tables[registry->current];
    struct table *fresh = &registry->tables[next];

    memset(registry->slots, 0, sizeof(registry->slots));
    registry->is_resolved = false;
    int rc = table_resolve(fresh, old, registry->snapshot);
    if (rc != 0) {
        return rc;
    }
    registry->current = next;
    registry->resolved_txn_id = store_txn_id(registry->snapshot);
    registry->is_resolved = true;
    stats_add(registry->stats, STATS_MODEL_RELOADS, 1);
    return 0;
}

int
registry_snapshot_begin(struct registry *registry)
{
    AUGURY_ASSERT(!registry->is_in_snapshot);
    int rc = store_snapshot_renew(registry->snapshot);
    if (rc != 0) {
        return rc;
    }
    if (!registry->is_resolved || registry->resolved_txn_id != store_txn_id(registry->snapshot)) {
        rc = registry_resolve(registry);
    }
    if (rc != 0) {
        store_snapshot_reset(registry->snapshot);
        return rc;
    }
    registry->is_in_snapshot = true;
    return 0;
}

void
registry_snapshot_end(struct registry *registry)
{
    if (registry->is_in_snapshot) {
        store_snapshot_reset(registry->snapshot);
        registry->is_in_snapshot = false;
    }
}

uint64_t
registry_change_id(const struct registry *registry)
{
    AUGURY_ASSERT(registry->is_in_snapshot);
    return registry->resolved_txn_id;
}

size_t
registry_version_count(const struct registry *registry)
{
    AUGURY_ASSERT(registry->is_in_snapshot);
    return registry_table(registry)->count;
}

/* ---- finding --------------------------------------------------------------------------------- */

static bool
labels_contain(struct bytes labels, struct bytes label)
{
    size_t from = 0;

    while (from < labels.len) {
        const uint8_t *comma = memchr(labels.data + from, ',', labels.len - from);
        size_t end = comma == NULL ? labels.len : (size_t)(comma - labels.data);
        if (bytes_equal(bytes_of(labels.data + from, end - from), label)) {
            return true;
        }
        from = end + 1;
    }
    return false;
}

static struct version *
find_labelled(struct version *first, size_t count, struct bytes label)
{
    for (size_t i = 0; i < count; i++) {
        if (labels_contain(first[i].shown.entry.labels, label)) {
            return &first[i];
        }
    }
    return NULL;
}

/* NULL: no such version. */
static struct version *
find_selected(const struct table *table, struct bytes name, struct bytes selector)
{
    size_t count;
    uint64_t number;
    struct version *first = table_first(table, name, &count);

    if (first == NULL) {
        return NULL;
    }
    if (selector.len == 0) {
        struct version *stable = find_labelled(first, count, bytes_of_text(REGISTRY_LABEL_STABLE));
        return stable != NULL ? stable : &first[count - 1];
    }
    if (bytes_to_u64(selector, UINT32_MAX, &number) == 0) {
        return table_find(table, name, (uint32_t)number);
    }
    return find_labelled(first, count, selector);
}

static bool
slot_matches(const struct find_slot *slot, struct bytes name, struct bytes selector)
{
    return slot->version != NULL && slot->name_len == name.len &&
           slot->selector_len == selector.len && memcmp(slot->text, name.data, name.len) == 0 &&
           (selector.len == 0 || memcmp(slot->text + name.len, selector.data, selector.len) == 0);
}

static void
slot_fill(struct find_slot *slot, struct version *version, struct bytes name, struct bytes selector)
{
    memcpy(slot->text, name.data, name.len);
    if (selector.len > 0) {
        memcpy(slot->text + name.len, selector.data, selector.len);
    }
    slot->name_len = (uint8_t)name.len;
    slot->selector_len = (uint8_t)selector.len;
    slot->version = version;
}

/* Cheap on purpose: names differ in length or near their ends, and a slot compares everything. */
static size_t
slot_of(struct bytes name, struct bytes selector)
{
    uint32_t hash = (uint32_t)(name.len * 31 + selector.len);

    for (size_t i = 0; i < name.len; i++) {
        hash = hash * 33 + name.data[i];
    }
    for (size_t i = 0; i < selector.len; i++) {
        hash = hash * 33 + selector.data[i];
    }
    return (hash ^ hash >> 16) % FIND_SLOTS;
}

/* The version that is meant, opened or not. */
static int
find_version(const struct table *table, struct bytes name, struct bytes selector,
             struct version **out_version, struct err *err)
{
    if (name.len == 0 || name.len > MODEL_NAME_MAX) {
        return table_no_model(table, name, err);
    }
    struct version *version =
        selector.len > MODEL_LABEL_MAX ? NULL : find_selected(table, name, selector);
    if (version == NULL) {
        return table_no_version(table, name, selector, err);
    }
    *out_version = version;
    return 0;
}

int
registry_find_entry(struct registry *registry, struct bytes name, struct bytes selector,
                    const struct registry_entry **out_entry, struct err *err)
{
    struct version *version = NULL;

    AUGURY_ASSERT(registry->is_in_snapshot);
    int rc = find_version(registry_table(registry), name, selector, &version, err);
    if (rc == 0) {
        *out_entry = &version->shown.entry;
    }
    return rc;
}

int
registry_find(struct registry *registry, struct bytes name, struct bytes selector,
              const struct registry_model **out_model, struct err *err)
{
    struct find_slot *slot = &registry->slots[slot_of(name, selector)];

    AUGURY_ASSERT(registry->is_in_snapshot);
    if (!slot_matches(slot, name, selector)) {
        struct version *version = NULL;
        int rc = find_version(registry_table(registry), name, selector, &version, err);
        if (rc == 0) {
            rc = version_open(registry, version, err);
        }
        if (rc != 0) {
            return rc;
        }
        slot_fill(slot, version, name, selector);
    }
    *out_model = &slot->version->shown;
    return 0;
}

int
registry_each(struct registry *registry, size_t i, const struct registry_model **out_model,
              struct err *err)
{
    const struct table *table = registry_table(registry);

    AUGURY_ASSERT(registry->is_in_snapshot);
    if (i >= table->count) {
        return AUGURY_END;
    }
    *out_model = &table->versions[i].shown;
    return version_open(registry, &table->versions[i], err);
}

const struct registry_entry *
registry_entry_at(const struct registry *registry, size_t i)
{
    const struct table *table = registry_table(registry);

    AUGURY_ASSERT(registry->is_in_snapshot);
    return i < table->count ? &table->versions[i].shown.entry : NULL;
}

enum registry_damage
registry_damage(const struct registry *registry)
{
    const struct table *table = registry_table(registry);
    size_t damaged = 0;

    AUGURY_ASSERT(registry->is_in_snapshot);
    for (size_t i = 0; i < table->count; i++) {
        const struct version *version = &table->versions[i];
        damaged += version->is_refused || version->rc < 0 ? 1 : 0;
    }
    if (damaged == 0) {
        return REGISTRY_WHOLE;
    }
    return damaged < table->count ? REGISTRY_DAMAGED_IN_PART : REGISTRY_DAMAGED;
}
