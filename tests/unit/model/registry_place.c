/* SPDX-License-Identifier: MIT */
/* registry_place.c - making, filling, asking and removing a registry in a folder of its own. */
#include "registry_place.h"

#include <string.h>
#include <unistd.h>

bool
place_make(struct place *place)
{
    const char *tmp = getenv("TMPDIR");

    memset(place, 0, sizeof(*place));
    (void)snprintf(place->dir, sizeof(place->dir), "%.40s/registry.XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(place->dir) != NULL;
}

int
place_open_sized(struct place *place, bool is_read_only, size_t map_bytes)
{
    struct registry_options options = {
        .dir = place->dir, .map_bytes = map_bytes, .is_read_only = is_read_only};

    return registry_open(&options, &place->registry, &place->err);
}

int
place_open(struct place *place, bool is_read_only)
{
    return place_open_sized(place, is_read_only, MAP_BYTES);
}

void
place_remove(struct place *place)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "open.lock"};
    char path[128];

    registry_close(&place->registry);
    for (size_t i = 0; i < AUGURY_COUNT(files); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", place->dir, files[i]);
        (void)unlink(path);
    }
    if (rmdir(place->dir) != 0) {
        printf("# %s is not empty\n", place->dir);
    }
}

static int
import_file(struct place *place, const char *path, struct registry_import import,
            struct registry_entry *out_entry)
{
    static const struct model_import_options none = {.names = NULL};
    struct buf file;

    if (!oracle_read(path, &file)) {
        return AUGURY_ERR_IO;
    }
    import.file = buf_view(&file);
    import.options = &none;
    import.now_wall_ms = NOW_MS;
    int rc = registry_import(place->registry, &import, out_entry, &place->err);
    buf_fini(&file);
    return rc;
}

int
import_as(struct place *place, const char *name, uint32_t version, const char *path,
          enum registry_import_flags flags, struct registry_entry *out_entry)
{
    struct registry_import import = {.name = name, .version = version, .flags = flags};

    return import_file(place, path, import, out_entry);
}

int
import_with(struct place *place, const char *name, const char *path,
            const struct registry_evidence *evidence)
{
    struct registry_import import = {.name = name, .evidence = evidence};
    struct registry_entry entry;

    return import_file(place, path, import, &entry);
}

int
import_small(struct place *place, const char *name)
{
    struct registry_entry entry;

    return import_as(place, name, 0, SMALL_FILE, 0, &entry);
}

uint32_t
selected(struct place *place, const char *name, const char *selector)
{
    const struct registry_model *found = NULL;
    uint32_t version = 0;

    if (registry_snapshot_begin(place->registry) != 0) {
        return 0;
    }
    if (registry_find(place->registry, bytes_of_text(name), bytes_of_text(selector), &found,
                      &place->err) == 0) {
        version = found->entry.version;
    }
    registry_snapshot_end(place->registry);
    return version;
}

void
list_all(struct place *place, char *out, size_t out_size)
{
    const struct registry_model *found = NULL;
    size_t used = 0;

    out[0] = '\0';
    if (registry_snapshot_begin(place->registry) != 0) {
        return;
    }
    for (size_t i = 0; registry_each(place->registry, i, &found, &place->err) == 0; i++) {
        const struct registry_entry *entry = &found->entry;
        used += (size_t)snprintf(out + used, out_size - used, "%s@%u[%.*s] ", entry->name,
                                 entry->version, (int)entry->labels.len,
                                 (const char *)entry->labels.data);
    }
    registry_snapshot_end(place->registry);
}

float
margin_of(const struct model *model)
{
    static float row[256];
    void *scratch = aligned_alloc(64, (model_scratch_bytes(model, 1) / 64 + 1) * 64);
    float margin = 0.0f;

    if (scratch != NULL && model->feature_count <= AUGURY_COUNT(row) && model->output_count == 1) {
        model_margins(model, row, 1, scratch, &margin);
    }
    free(scratch);
    return margin;
}
