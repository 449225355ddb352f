/* SPDX-License-Identifier: MIT */
/*
 * registry_table.c - the versions that one snapshot sees, resolved anew after each commit.
 * Invariants: a version's `stored` bytes are those of the snapshot that the table was resolved in,
 * and are read only while a snapshot of the same commit is renewed; a view that is dropped gives
 * its pages back to the system.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "registry_internal.h"

/* ---- pages ----------------------------------------------------------------------------------- */

/*
 * The map is shared and read-only, so a page that is given back comes back with its contents when
 * anyone needs it: rounding outwards to whole pages is safe, and takes the page with the record's
 * header along.
 */
static void
pages_give_back(struct bytes stored)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = (uintptr_t)stored.data & ~(page - 1);
    uintptr_t to = ((uintptr_t)stored.data + stored.len + page - 1) & ~(page - 1);

    if (to > from) {
        (void)madvise((void *)from, to - from, MADV_DONTNEED);
    }
}

static void
version_drop(struct version *version)
{
    if (version->is_open) {
        pages_give_back(version->stored);
        version->is_open = false;
    }
}

void
table_drop(struct table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        version_drop(&table->versions[i]);
    }
    table->versions = NULL;
    table->count = 0;
}

/* ---- resolving ------------------------------------------------------------------------------- */

/* Finds the blob of a version; its records must agree in length. */
static int
version_find_blob(struct version *version, struct store_txn *snapshot, struct bytes key)
{
    struct bytes stored;
    int rc = store_find(snapshot, TABLE_BLOB, key, &stored);

    if (rc < 0) {
        return rc;
    }
    if (rc == AUGURY_NOT_FOUND || stored.len < version->shown.entry.blob_bytes) {
        version->rc = AUGURY_ERR_CORRUPT;
        return 0;
    }
    version->stored = bytes_of(stored.data, (size_t)version->shown.entry.blob_bytes);
    return 0;
}

/* AUGURY_NOT_FOUND: the key names no version; one damaged record must not hide the others. */
static int
version_fill(struct version *version, struct store_txn *snapshot, struct bytes key,
             struct bytes record)
{
    struct registry_entry *entry = &version->shown.entry;
    struct bytes name;
    struct meta meta;

    if (key_read_version(key, &name, &entry->version) < 0) {
        return AUGURY_NOT_FOUND;
    }
    memcpy(entry->name, name.data, name.len);
    if (meta_decode(record, key, &meta) < 0) {
        version->rc = AUGURY_ERR_CORRUPT;
        return 0;
    }
    hex_encode(bytes_of(meta.source_sha256, sizeof(meta.source_sha256)), entry->source_sha256);
    entry->source_bytes = meta.source_bytes;
    entry->blob_bytes = meta.blob_bytes;
    entry->imported_wall_ms = meta.imported_wall_ms;
    entry->evidence = meta.evidence;
    version->content = meta.content;
    return version_find_blob(version, snapshot, key);
}

static int
table_read_versions(struct table *table, struct store_txn *snapshot)
{
    struct store_cursor *cursor = NULL;
    uint64_t count = 0;
    int rc = store_count(snapshot, TABLE_META, &count);

    if (rc == 0) {
        rc = store_cursor_open(snapshot, TABLE_META, &cursor);
    }
    if (rc != 0) {
        return rc;
    }
    struct bytes key, record;
    table->versions = arena_zalloc(&table->arena, count, sizeof(*table->versions));
    rc = table->versions == NULL ? AUGURY_ERR_NOMEM
                                 : store_cursor_seek(cursor, bytes_of("", 1), &key, &record);
    while (rc == 0 && table->count < count) {
        rc = version_fill(&table->versions[table->count], snapshot, key, record);
        if (rc >= 0) {
            table->count += rc == 0 ? 1 : 0;
            rc = store_cursor_next(cursor, &key, &record);
        }
    }
    store_cursor_close(&cursor);
    return rc == AUGURY_END ? 0 : rc;
}

/* Appends a label to the comma-separated list of the version that it names. */
static int
version_add_label(struct version *version, struct arena *arena, struct bytes label)
{
    struct bytes before = version->shown.entry.labels;
    size_t len = before.len + (before.len > 0 ? 1 : 0) + label.len;
    uint8_t *text = arena_alloc_aligned(arena, len, 1);

    if (text == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    if (before.len > 0) {
        memcpy(text, before.data, before.len);
        text[before.len] = ',';
    }
    memcpy(text + len - label.len, label.data, label.len);
    version->shown.entry.labels = bytes_of(text, len);
    return 0;
}

/* A label goes with its version in one transaction: one that names none is damage, and is passed
 * over. */
static int
table_add_label(struct table *table, struct bytes key, struct bytes record)
{
    const uint8_t *nul = memchr(key.data, '\0', key.len);
    uint32_t number;

    if (nul == NULL || version_decode(record, &number) < 0) {
        return 0;
    }
    size_t name_len = (size_t)(nul - key.data);
    struct version *version = table_find(table, bytes_of(key.data, name_len), number);
    return version == NULL ? 0
                           : version_add_label(version, &table->arena,
                                               bytes_of(nul + 1, key.len - name_len - 1));
}

static int
table_read_labels(struct table *table, struct store_txn *snapshot)
{
    struct store_cursor *cursor = NULL;
    struct bytes key, record;
    int rc = store_cursor_open(snapshot, TABLE_LABEL, &cursor);

    if (rc != 0) {
        return rc;
    }
    rc = store_cursor_seek(cursor, bytes_of("", 1), &key, &record);
    while (rc == 0) {
        rc = table_add_label(table, key, record);
        if (rc == 0) {
            rc = store_cursor_next(cursor, &key, &record);
        }
    }
    store_cursor_close(&cursor);
    return rc == AUGURY_END ? 0 : rc;
}

/* The order of keys: names by memcmp with the shorter first, then numbers. */
static int
version_compare(const struct version *version, struct bytes name, uint32_t number)
{
    size_t len = strlen(version->shown.entry.name);
    int order = memcmp(version->shown.entry.name, name.data, len < name.len ? len : name.len);

    if (order == 0 && len != name.len) {
        order = len < name.len ? -1 : 1;
    }
    if (order == 0 && version->shown.entry.version != number) {
        order = version->shown.entry.version < number ? -1 : 1;
    }
    return order;
}

/* Moves what is still true of an old version to its fresh self. */
static void
version_take_over(struct version *fresh, struct version *old)
{
    if (!digest_equal(fresh->content, old->content)) {
        return;
    }
    fresh->is_checked = old->is_checked;
    if (old->is_open && fresh->stored.data == old->stored.data &&
        fresh->stored.len == old->stored.len) {
        fresh->shown.model = old->shown.model;
        fresh->is_open = true;
        old->is_open = false;
    }
}

static void
table_take_over(struct table *fresh, struct table *old)
{
    for (size_t i = 0; i < old->count; i++) {
        const struct registry_entry *entry = &old->versions[i].shown.entry;
        struct version *same = table_find(fresh, bytes_of_text(entry->name), entry->version);
        if (same != NULL) {
            version_take_over(same, &old->versions[i]);
        }
    }
    table_drop(old);
}

int
table_resolve(struct table *fresh, struct table *old, struct store_txn *snapshot)
{
    fresh->versions = NULL;
    fresh->count = 0;
    arena_reset(&fresh->arena, TABLE_ARENA_KEEP);
    int rc = table_read_versions(fresh, snapshot);

    if (rc == 0) {
        rc = table_read_labels(fresh, snapshot);
    }
    if (rc == 0) {
        table_take_over(fresh, old);
    }
    return rc;
}

/* ---- questions ------------------------------------------------------------------------------- */

/* The first version that does not come before (name, number). */
static size_t
table_lower_bound(const struct table *table, struct bytes name, uint32_t number)
{
    size_t from = 0;
    size_t to = table->count;

    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (version_compare(&table->versions[middle], name, number) < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

struct version *
table_find(const struct table *table, struct bytes name, uint32_t version)
{
    size_t i = table_lower_bound(table, name, version);

    return i < table->count && version_compare(&table->versions[i], name, version) == 0
               ? &table->versions[i]
               : NULL;
}

struct version *
table_first(const struct table *table, struct bytes name, size_t *out_count)
{
    size_t first = table_lower_bound(table, name, 0);
    size_t end = first;

    while (end < table->count && bytes_equal_text(name, table->versions[end].shown.entry.name)) {
        end++;
    }
    *out_count = end - first;
    return end > first ? &table->versions[first] : NULL;
}

int
version_check(const struct version *version, enum model_blob_check check, struct model *out_model,
              struct err *err)
{
    const struct registry_entry *entry = &version->shown.entry;
    struct model model;

    if (version->rc < 0) {
        return err_set(err, version->rc, "corrupt_model",
                       "what is stored of \"%s\" version %u does not match its checksum: import "
                       "the model again",
                       entry->name, entry->version);
    }
    int rc = model_open(version->stored, check, &model, err);
    if (rc < 0) {
        /* A blob of another format is no fault of who asks: the store is what must be mended. */
        rc = rc == AUGURY_ERR_UNSUPPORTED ? AUGURY_ERR_CORRUPT : rc;
        if (err != NULL) {
            err->rc = rc;
            (void)err_at(err, "%s@%u", entry->name, entry->version);
        }
        return rc;
    }
    if (!digest_equal(model.content, version->content)) {
        return err_set(err, AUGURY_ERR_CORRUPT, "corrupt_model",
                       "the blob of \"%s\" version %u is not the one that its record describes: "
                       "import the model again",
                       entry->name, entry->version);
    }
    *out_model = model;
    return 0;
}

int
version_open(const struct registry *registry, struct version *version, struct err *err)
{
    struct model model;

    if (version->is_open) {
        return 0;
    }
    int rc = version_check(version, version->is_checked ? MODEL_CHECK_HEADER : MODEL_CHECK_ALL,
                           &version->shown.model, err);
    if (rc == 0) {
        model_prefer_kernel(&version->shown.model, registry->kernel);
    }
    version->is_open = rc == 0;
    version->is_checked = version->is_checked || rc == 0;
    version->is_refused = rc != 0;
    /* Damage is looked for once: every request for the model would read all of it otherwise. What
     * the header tells is told anew. */
    if (rc == AUGURY_ERR_CORRUPT &&
        model_open(version->stored, MODEL_CHECK_HEADER, &model, NULL) == 0) {
        version->rc = rc;
    }
    return rc;
}

/* ---- refusals that say what there is --------------------------------------------------------- */

enum { LIST_MAX = 12, SHOWN_MAX = 40 };

/* What a person asked for, safe to repeat in a message: short, printable ASCII. */
struct shown_text {
    char text[SHOWN_MAX + 4];
};

static struct shown_text
shown_text_of(struct bytes asked)
{
    struct shown_text shown = {""};
    size_t len = asked.len < SHOWN_MAX ? asked.len : SHOWN_MAX;

    for (size_t i = 0; i < len; i++) {
        uint8_t c = asked.data[i];
        shown.text[i] = c >= ' ' && c < 0x7f && c != '"' ? (char)c : '?';
    }
    if (asked.len > SHOWN_MAX) {
        memcpy(shown.text + len, "...", 4);
    }
    return shown;
}

int
table_no_model(const struct table *table, struct bytes name, struct err *err)
{
    char list[240] = "";
    size_t used = 0;
    size_t shown = 0;

    for (size_t i = 0; i < table->count && used < sizeof(list) - MODEL_NAME_MAX - 8; i++) {
        const char *here = table->versions[i].shown.entry.name;
        if (i > 0 && strcmp(here, table->versions[i - 1].shown.entry.name) == 0) {
            continue;
        }
        if (shown == LIST_MAX) {
            (void)snprintf(list + used, sizeof(list) - used, ", ...");
            break;
        }
        used +=
            (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", shown > 0 ? ", " : "", here);
        shown++;
    }
    return err_set(err, AUGURY_NOT_FOUND, "model_not_found", "no model \"%s\"; %s%s",
                   shown_text_of(name).text,
                   shown > 0 ? "there are: " : "no model has been imported", list);
}

int
table_no_version(const struct table *table, struct bytes name, struct bytes selector,
                 struct err *err)
{
    char list[240] = "";
    size_t used = 0;
    size_t count;
    const struct version *first = table_first(table, name, &count);

    if (first == NULL) {
        return table_no_model(table, name, err);
    }
    /* The newest matter most: at most LIST_MAX of them, in order. */
    size_t from = count > LIST_MAX ? count - LIST_MAX : 0;
    for (size_t i = from; i < count && used < sizeof(list) - 64; i++) {
        const struct registry_entry *entry = &first[i].shown.entry;
        int labels = (int)(entry->labels.len < SHOWN_MAX ? entry->labels.len : SHOWN_MAX);
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%u%s%.*s%s",
                                 i > from ? ", " : (from > 0 ? "..., " : ""), entry->version,
                                 labels > 0 ? " (" : "", labels, (const char *)entry->labels.data,
                                 labels > 0 ? ")" : "");
    }
    return err_set(err, AUGURY_NOT_FOUND, "version_not_found",
                   "model \"%s\" has no version or label \"%s\"; there are: %s",
                   first->shown.entry.name, shown_text_of(selector).text, list);
}
