/* SPDX-License-Identifier: MIT */
/*
 * test_registry.c - models by name, version and label: what a change does, who sees it when, and
 * what is given back. Processes are forked before any environment is opened, as in the daemon.
 */
#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../oracle/oracle.h"
#include "../../tap.h"
#include "augury/registry.h"
#include "augury/store.h"

#define SMALL_FILE "tests/data/models-xgboost/agaricus/model.json"
#define OTHER_FILE "tests/data/models-xgboost/gblinear-agaricus/model.json"
#define LARGE_FILE "tests/data/models-xgboost/nfl-completion-probability/model.ubj"
/* sha256sum of SMALL_FILE */
#define SMALL_SHA256 "1846daa42aeceebdef2c3d02a6ffc9e4a032abcef26e5fb309463753cb498ef2"

enum { MAP_BYTES = 64 << 20, NOW_MS = 1234567 };

/* ---- one registry in a folder of its own ----------------------------------------------------- */

struct place {
    char dir[64];
    struct registry *registry;
    struct err err;
};

static bool
place_make(struct place *place)
{
    const char *tmp = getenv("TMPDIR");

    memset(place, 0, sizeof(*place));
    (void)snprintf(place->dir, sizeof(place->dir), "%.40s/registry.XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(place->dir) != NULL;
}

static int
place_open_sized(struct place *place, bool is_read_only, size_t map_bytes)
{
    struct registry_options options = {
        .dir = place->dir, .map_bytes = map_bytes, .is_read_only = is_read_only};

    return registry_open(&options, &place->registry, &place->err);
}

static int
place_open(struct place *place, bool is_read_only)
{
    return place_open_sized(place, is_read_only, MAP_BYTES);
}

static void
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
import_as(struct place *place, const char *name, uint32_t version, const char *path,
          enum registry_import_flags flags, struct registry_entry *out_entry)
{
    static const struct model_import_options none = {.names = NULL};
    struct buf file;

    if (!oracle_read(path, &file)) {
        return AUGURY_ERR_IO;
    }
    int rc = registry_import(place->registry, name, version, buf_view(&file), &none, flags, NOW_MS,
                             out_entry, &place->err);
    buf_fini(&file);
    return rc;
}

static int
import_small(struct place *place, const char *name)
{
    struct registry_entry entry;

    return import_as(place, name, 0, SMALL_FILE, 0, &entry);
}

/* The version that a selector means in a snapshot of its own; 0 for none. */
static uint32_t
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

/* Every version as "name@version[labels] ", into out. */
static void
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

/* The margin of a row of zeros, which tells the three files apart. */
static float
margin_of(const struct model *model)
{
    static float row[256];
    void *scratch = aligned_alloc(64, (model_scratch_bytes(model) / 64 + 1) * 64);
    float margin = 0.0f;

    if (scratch != NULL && model->feature_count <= AUGURY_COUNT(row) && model->output_count == 1) {
        model_margins(model, row, 1, scratch, &margin);
    }
    free(scratch);
    return margin;
}

/* ---- versions and labels --------------------------------------------------------------------- */

static void
the_first_version_of_a_name_gets_the_label_stable(void)
{
    struct place place;
    struct registry_entry entry;
    char list[256];

    CHECK(place_make(&place));
    CHECK_INT(place_open(&place, false), 0);
    CHECK_INT(import_as(&place, "wp", 0, SMALL_FILE, 0, &entry), 0);
    CHECK_TEXT(entry.name, "wp");
    CHECK_INT(entry.version, 1);
    CHECK_TEXT(entry.source_sha256, SMALL_SHA256);
    CHECK_INT(entry.source_bytes, 2627);
    CHECK_INT(entry.imported_wall_ms, NOW_MS);
    CHECK(bytes_equal_text(entry.labels, "stable"));
    CHECK_INT(import_as(&place, "wp", 0, OTHER_FILE, 0, &entry), 0);
    CHECK_INT(entry.version, 2);
    CHECK_INT(entry.labels.len, 0);
    CHECK_INT(import_small(&place, "another"), 0);
    list_all(&place, list, sizeof(list));
    CHECK_TEXT(list, "another@1[stable] wp@1[stable] wp@2[] ");
    CHECK_INT(selected(&place, "wp", ""), 1);
    CHECK_INT(selected(&place, "wp", "2"), 2);
    place_remove(&place);
}

static void
an_import_with_use_and_a_moved_label_choose_the_version(void)
{
    struct place place;
    struct registry_entry entry;
    char list[256];

    CHECK(place_make(&place));
    CHECK_INT(place_open(&place, false), 0);
    CHECK_INT(import_small(&place, "wp"), 0);
    CHECK_INT(import_as(&place, "wp", 0, OTHER_FILE, REGISTRY_IMPORT_USE, &entry), 0);
    CHECK(bytes_equal_text(entry.labels, "stable"));
    CHECK_INT(selected(&place, "wp", ""), 2);
    CHECK_INT(registry_use(place.registry, "wp", 1, "canary", &place.err), 0);
    CHECK_INT(registry_use(place.registry, "wp", 1, "previous", &place.err), 0);
    list_all(&place, list, sizeof(list));
    CHECK_TEXT(list, "wp@1[canary,previous] wp@2[stable] ");
    CHECK_INT(selected(&place, "wp", "canary"), 1);
    CHECK_INT(registry_use(place.registry, "wp", 1, "stable", &place.err), 0);
    CHECK_INT(selected(&place, "wp", ""), 1);
    CHECK_INT(selected(&place, "wp", "canar"), 0);
    place_remove(&place);
}

static void
a_version_number_is_never_used_twice(void)
{
    struct place place;
    struct registry_entry entry;

    CHECK(place_make(&place));
    CHECK_INT(place_open(&place, false), 0);
    CHECK_INT(import_small(&place, "wp"), 0);
    CHECK_INT(import_small(&place, "wp"), 0);
    CHECK_INT(registry_unload(place.registry, "wp", 2, &place.err), 0);
    CHECK_INT(import_as(&place, "wp", 2, SMALL_FILE, 0, &entry), AUGURY_ERR_EXISTS);
    CHECK_CONTAINS(place.err.reason, "the next is 3");
    CHECK_INT(import_as(&place, "wp", 1, SMALL_FILE, 0, &entry), AUGURY_ERR_EXISTS);
    CHECK_CONTAINS(place.err.reason, "is there already");
    CHECK_INT(import_as(&place, "wp", 0, SMALL_FILE, 0, &entry), 0);
    CHECK_INT(entry.version, 3);
    CHECK_INT(import_as(&place, "wp", 10, SMALL_FILE, 0, &entry), 0);
    CHECK_INT(registry_unload(place.registry, "wp", 0, &place.err), 0);
    registry_close(&place.registry);
    CHECK_INT(place_open(&place, false), 0);
    CHECK_INT(import_as(&place, "wp", 0, SMALL_FILE, 0, &entry), 0);
    CHECK_INT(entry.version, 11);
    CHECK(bytes_equal_text(entry.labels, "stable"));
    place_remove(&place);
}

static void
a_version_in_use_is_not_unloaded_and_its_labels_go_with_it(void)
{
    struct place place;
    char list[256];

    CHECK(place_make(&place));
    CHECK_INT(place_open(&place, false), 0);
    CHECK_INT(import_small(&place, "wp"), 0);
    CHECK_INT(import_small(&place, "wp"), 0);
    CHECK_INT(import_small(&place, "wpx"), 0);
    CHECK_INT(registry_use(place.registry, "wp", 2, "canary", &place.err), 0);
    CHECK_INT(registry_use(place.registry, "wp", 2, "night", &place.err), 0);
    CHECK_INT(registry_unload(place.registry, "wp", 1, &place.err), AUGURY_ERR_STATE);
    CHECK_CONTAINS(place.err.reason, "label stable");
    CHECK_INT(registry_unload(place.registry, "wp", 2, &place.err), 0);
    list_all(&place, list, sizeof(list));
    CHECK_TEXT(list, "wp@1[stable] wpx@1[stable] ");
    CHECK_INT(registry_unload(place.registry, "wp", 1, &place.err), 0);
    list_all(&place, list, sizeof(list));
    CHECK_TEXT(list, "wpx@1[stable] ");
    place_remove(&place);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void
what_is_not_there_is_refused_with_what_is(void)
{
    const struct registry_model *found = NULL;
    struct place place;

    CHECK(place_make(&place));
    CHECK_INT(place_open(&place, false), 0);
    CHECK_INT(selected(&place, "wp", ""), 0);
    CHECK_TEXT(place.err.reason, "no model \"wp\"; no model has been imported");
    CHECK_INT(import_small(&place, "wp"), 0);
    CHECK_INT(import_small(&place, "wp"), 0);
    CHECK_INT(import_small(&place, "cp"), 0);
    CHECK_INT(registry_snapshot_begin(place.registry), 0);
    CHECK_INT(registry_find(place.registry, bytes_of_text("w\x01p\xff\""), bytes_of_text(""),
                            &found, &place.err),
              AUGURY_NOT_FOUND);
    CHECK_TEXT(place.err.code, "model_not_found");
    CHECK_TEXT(place.err.reason, "no model \"w?p??\"; there are: cp, wp");
    CHECK_INT(
        registry_find(place.registry, bytes_of_text("wp"), bytes_of_text("7"), &found, &place.err),
        AUGURY_NOT_FOUND);
    CHECK_TEXT(place.err.code, "version_not_found");
    CHECK_TEXT(place.err.reason,
               "model \"wp\" has no version or label \"7\"; there are: 1 (stable), 2");
    registry_snapshot_end(place.registry);
    CHECK_INT(registry_unload(place.registry, "wp", 9, &place.err), AUGURY_NOT_FOUND);
    CHECK_CONTAINS(place.err.reason, "there are: 1 (stable), 2");
    CHECK_INT(registry_use(place.registry, "nfl", 1, "stable", &place.err), AUGURY_NOT_FOUND);
    CHECK_CONTAINS(place.err.reason, "there are: cp, wp");
    place_remove(&place);
}

static void
names_and_labels_outside_the_rules_are_refused(void)
{
    static const char *const bad_names[] = {"", "-wp", ".wp", "w p", "w/p", "w@1", "w\xc3\xa9"};
    static const char *const bad_labels[] = {"", "12", "-x", "a b", "a,b"};
    struct place place;
    char longest[MODEL_NAME_MAX + 2];

    memset(longest, 'a', sizeof(longest) - 1);
    longest[MODEL_NAME_MAX + 1] = '\0';
    CHECK(place_make(&place));
    CHECK_INT(place_open(&place, false), 0);
    CHECK_INT(import_small(&place, longest), AUGURY_ERR_INVALID);
    CHECK_INT(import_small(&place, longest + 1), 0);
    CHECK_INT(selected(&place, longest + 1, "1"), 1);
    CHECK_INT(selected(&place, longest, "1"), 0);
    for (size_t i = 0; i < AUGURY_COUNT(bad_names); i++) {
        CHECK_INT(import_small(&place, bad_names[i]), AUGURY_ERR_INVALID);
        CHECK_TEXT(place.err.code, "invalid_name");
    }
    for (size_t i = 0; i < AUGURY_COUNT(bad_labels); i++) {
        CHECK_INT(registry_use(place.registry, longest + 1, 1, bad_labels[i], &place.err),
                  AUGURY_ERR_INVALID);
        CHECK_TEXT(place.err.code, "invalid_label");
    }
    CHECK_INT(registry_use(place.registry, longest + 1, 1, "7b", &place.err), 0);
    place_remove(&place);
}

static void
a_file_that_is_no_model_changes_nothing(void)
{
    struct place place;
    struct registry_entry entry;

    CHECK(place_make(&place));
    CHECK_INT(place_open(&place, false), 0);
    CHECK(import_as(&place, "wp", 0, "tests/tap.h", 0, &entry) < 0);
    CHECK(place.err.reason[0] != '\0');
    CHECK_INT(selected(&place, "wp", ""), 0);
    CHECK_INT(import_as(&place, "wp", 0, SMALL_FILE, 0, &entry), 0);
    CHECK_INT(entry.version, 1);
    place_remove(&place);
}

static void
a_full_map_refuses_an_import_and_keeps_what_it_has(void)
{
    struct place place;
    char list[1024];
    struct registry_entry entry;
    int rc = 0;
    unsigned imported = 0;

    CHECK(place_make(&place));
    CHECK_INT(place_open_sized(&place, false, 4 << 20), 0);
    CHECK_INT(import_small(&place, "small"), 0);
    while (rc == 0 && imported < 100) {
        rc = import_as(&place, "large", 0, LARGE_FILE, 0, &entry);
        imported += rc == 0 ? 1 : 0;
    }
    CHECK_INT(rc, AUGURY_ERR_FULL);
    CHECK(imported > 0);
    CHECK_CONTAINS(place.err.reason, "larger map");
    CHECK_INT(selected(&place, "large", ""), 1);
    CHECK_INT(selected(&place, "small", ""), 1);
    CHECK_INT(registry_verify(place.registry, "large", 0, &place.err), 0);
    list_all(&place, list, sizeof(list));
    CHECK_INT(registry_unload(place.registry, "large", 0, &place.err), 0);
    CHECK_INT(import_as(&place, "large", 0, LARGE_FILE, 0, &entry), 0);
    CHECK_INT(entry.version, imported + 1);
    place_remove(&place);
}

static void
a_reader_makes_no_registry(void)
{
    struct place place;

    CHECK(place_make(&place));
    CHECK_INT(place_open(&place, true), AUGURY_NOT_FOUND);
    CHECK_TEXT(place.err.code, "no_registry");
    CHECK_INT(place_open(&place, false), 0);
    registry_close(&place.registry);
    CHECK_INT(place_open(&place, true), 0);
    CHECK_INT(selected(&place, "wp", ""), 0);
    CHECK_INT(import_small(&place, "wp"), AUGURY_ERR_DENIED);
    CHECK_INT(registry_use(place.registry, "wp", 1, "stable", &place.err), AUGURY_ERR_DENIED);
    CHECK_INT(registry_unload(place.registry, "wp", 1, &place.err), AUGURY_ERR_DENIED);
    place_remove(&place);
}

/* ---- damage ---------------------------------------------------------------------------------- */

/* Flips one bit in each place of the file where `needle` is found, `offset` bytes on. */
static unsigned
file_flip(const char *dir, const char *needle, size_t offset)
{
    char path[128];
    struct buf file;
    unsigned flipped = 0;

    (void)snprintf(path, sizeof(path), "%s/data.mdb", dir);
    if (!oracle_read(path, &file)) {
        return 0;
    }
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    for (size_t i = 0; fd >= 0 && i + offset < file.len; i++) {
        if (memcmp(file.data + i, needle, strlen(needle)) == 0) {
            uint8_t byte = file.data[i + offset] ^ 1;
            flipped += pwrite(fd, &byte, 1, (off_t)(i + offset)) == 1 ? 1 : 0;
        }
    }
    (void)close(fd);
    buf_fini(&file);
    return flipped;
}

static void
a_damaged_blob_is_refused_and_the_others_serve(void)
{
    struct place place;
    char list[256];

    CHECK(place_make(&place));
    CHECK_INT(place_open(&place, false), 0);
    CHECK_INT(import_small(&place, "damaged"), 0);
    CHECK_INT(registry_verify(place.registry, "damaged", 1, &place.err), 0);
    registry_close(&place.registry);
    CHECK_INT(file_flip(place.dir, "AUGURYMD", 2000), 1);
    CHECK_INT(place_open(&place, false), 0);
    CHECK_INT(import_small(&place, "whole"), 0);
    CHECK_INT(registry_verify(place.registry, "damaged", 1, &place.err), AUGURY_ERR_CORRUPT);
    CHECK_CONTAINS(place.err.at, "damaged@1");
    CHECK_INT(registry_verify(place.registry, "whole", 1, &place.err), 0);
    CHECK_INT(selected(&place, "damaged", ""), 0);
    CHECK_INT(place.err.rc, AUGURY_ERR_CORRUPT);
    CHECK_INT(selected(&place, "whole", ""), 1);
    CHECK_INT(registry_unload(place.registry, "damaged", 1, &place.err), 0);
    list_all(&place, list, sizeof(list));
    CHECK_TEXT(list, "whole@1[stable] ");
    place_remove(&place);
}

static void
a_damaged_record_is_refused_by_its_checksum(void)
{
    struct place place;

    CHECK(place_make(&place));
    CHECK_INT(place_open(&place, false), 0);
    CHECK_INT(import_small(&place, "damaged"), 0);
    registry_close(&place.registry);
    /* NOW_MS + 1 in the record: the time of the import, 24 bits of it, little-endian. */
    CHECK(file_flip(place.dir, "\x87\xd6\x12", 0) >= 1);
    CHECK_INT(place_open(&place, false), 0);
    CHECK_INT(selected(&place, "damaged", ""), 0);
    CHECK_INT(place.err.rc, AUGURY_ERR_CORRUPT);
    CHECK_CONTAINS(place.err.reason, "checksum");
    CHECK_INT(registry_verify(place.registry, "damaged", 1, &place.err), AUGURY_ERR_CORRUPT);
    place_remove(&place);
}

/* ---- stored bytes ---------------------------------------------------------------------------------- */

/* docs/formats.md, "Model registry". */
static const char golden_head[] = "01000000" SMALL_SHA256 "00000000"
                                  "430a000000000000";
static const char golden_time[] = "87d6120000000000";

static int
golden_read(struct place *place, size_t table, struct bytes key, struct buf *out_value)
{
    static const struct store_table_spec tables[] = {{"blob", STORE_TABLE_BYTES},
                                                     {"meta", STORE_TABLE_BYTES},
                                                     {"label", STORE_TABLE_BYTES},
                                                     {"serial", STORE_TABLE_BYTES}};
    struct store_options options = {.dir = place->dir,
                                    .max_readers = 16,
                                    .flags = STORE_READ_ONLY,
                                    .tables = tables,
                                    .table_count = AUGURY_COUNT(tables)};
    struct store_txn *snapshot = NULL;
    struct store *store = NULL;
    struct bytes value;
    int rc = store_open(&options, &store, NULL, &place->err);

    buf_init(out_value, 1 << 20);
    rc = rc == 0 ? store_snapshot_new(store, &snapshot) : rc;
    rc = rc == 0 ? store_snapshot_renew(snapshot) : rc;
    rc = rc == 0 ? store_find(snapshot, (store_table_id)table, key, &value) : rc;
    if (rc == 0) {
        buf_put_bytes(out_value, value);
    }
    store_snapshot_free(&snapshot);
    store_close(&store);
    return rc;
}

static void
records_are_the_documented_bytes(void)
{
    static const uint8_t key[] = {'w', 'p', 0, 0, 0, 0, 1};
    struct bytes version_key = bytes_of(key, sizeof(key));
    struct place place;
    struct buf value, blob;
    char hex[2 * 88 + 1] = "";
    uint8_t covered[80 + sizeof(key)];

    CHECK(place_make(&place));
    CHECK_INT(place_open(&place, false), 0);
    CHECK_INT(import_small(&place, "wp"), 0);
    registry_close(&place.registry);
    CHECK_INT(golden_read(&place, 0, version_key, &blob), 0);
    CHECK_INT(golden_read(&place, 1, version_key, &value), 0);
    CHECK_INT(value.len, 88);
    hex_encode(buf_view(&value), hex);
    CHECK(strncmp(hex, golden_head, strlen(golden_head)) == 0);
    CHECK(strncmp(hex + 2 * 56, golden_time, strlen(golden_time)) == 0);
    CHECK_INT(le64_get(value.data + 48), le64_get(blob.data + 16));
    CHECK(memcmp(value.data + 64, blob.data + 24, 16) == 0);
    memcpy(covered, value.data, 80);
    memcpy(covered + 80, key, sizeof(key));
    CHECK(le64_get(value.data + 80) == hash64_of(bytes_of(covered, sizeof(covered))));
    buf_fini(&value);
    buf_fini(&blob);
    CHECK_INT(golden_read(&place, 2, bytes_of("wp\0stable", 9), &value), 0);
    CHECK(bytes_equal(buf_view(&value), bytes_of("\1\0\0", 4)));
    buf_fini(&value);
    CHECK_INT(golden_read(&place, 3, bytes_of("wp", 2), &value), 0);
    CHECK(bytes_equal(buf_view(&value), bytes_of("\1\0\0", 4)));
    buf_fini(&value);
    place_remove(&place);
}

/* ---- two processes --------------------------------------------------------------------------- */

/* Prints and ends the process's part: children tell by their exit status. */
#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            printf("# %s:%d: %s (%s)\n", __FILE__, __LINE__, #cond, place->err.reason);            \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

/* Each side works while it has the turn. */
struct turns {
    int in;
    int out;
};

static void
turn_give(const struct turns *turns)
{
    if (write(turns->out, "t", 1) != 1) {
        _exit(9);
    }
}

static void
turn_wait(const struct turns *turns)
{
    char byte;

    if (read(turns->in, &byte, 1) != 1) {
        _exit(8); /* the other side has gone */
    }
}

typedef int side(struct place *place, const struct turns *turns);

static pid_t
side_start(side *run, struct place *place, int pipes[2][2], unsigned which)
{
    fflush(stdout);
    pid_t child = fork();
    if (child != 0) {
        return child;
    }
    struct turns turns = {.in = pipes[which][0], .out = pipes[which ^ 1][1]};
    (void)close(pipes[which ^ 1][0]);
    (void)close(pipes[which][1]);
    int code = run(place, &turns);
    registry_close(&place->registry);
    fflush(stdout);
    _exit(code);
}

/* Runs both sides to their ends; true when both left with 0. */
static bool
sides_run(struct place *place, side *reader, side *writer)
{
    int pipes[2][2];
    int status[2] = {-1, -1};
    pid_t children[2];

    if (!place_make(place) || pipe(pipes[0]) != 0 || pipe(pipes[1]) != 0) {
        return false;
    }
    children[0] = side_start(reader, place, pipes, 0);
    children[1] = side_start(writer, place, pipes, 1);
    for (size_t i = 0; i < 2; i++) {
        (void)close(pipes[i][0]);
        (void)close(pipes[i][1]);
    }
    for (size_t i = 0; i < 2; i++) {
        (void)waitpid(children[i], &status[i], 0);
    }
    place_remove(place);
    if (status[0] != 0 || status[1] != 0) {
        printf("# reader %x, writer %x\n", (unsigned)status[0], (unsigned)status[1]);
    }
    return status[0] == 0 && status[1] == 0;
}

static int
seeing_reader(struct place *place, const struct turns *turns)
{
    turn_wait(turns);
    MUST(place_open(place, true) == 0);
    MUST(selected(place, "wp", "") == 0);
    turn_give(turns);
    turn_wait(turns); /* imported */
    MUST(selected(place, "wp", "") == 1);
    turn_give(turns);
    turn_wait(turns); /* imported with use */
    MUST(selected(place, "wp", "") == 2);
    MUST(selected(place, "wp", "1") == 1);
    turn_give(turns);
    turn_wait(turns); /* unloaded */
    MUST(selected(place, "wp", "1") == 0);
    MUST(selected(place, "wp", "2") == 2);
    return 0;
}

static int
seeing_writer(struct place *place, const struct turns *turns)
{
    struct registry_entry entry;

    MUST(place_open(place, false) == 0);
    turn_give(turns);
    turn_wait(turns);
    MUST(import_small(place, "wp") == 0);
    turn_give(turns);
    turn_wait(turns);
    MUST(import_as(place, "wp", 0, OTHER_FILE, REGISTRY_IMPORT_USE, &entry) == 0);
    turn_give(turns);
    turn_wait(turns);
    MUST(registry_unload(place->registry, "wp", 1, &place->err) == 0);
    turn_give(turns);
    return 0;
}

static void
a_reader_sees_a_commit_of_another_process_at_its_next_snapshot(void)
{
    struct place place;

    CHECK(sides_run(&place, seeing_reader, seeing_writer));
}

static int
holding_reader(struct place *place, const struct turns *turns)
{
    const struct registry_model *found = NULL;

    turn_wait(turns);
    MUST(place_open(place, true) == 0);
    MUST(registry_snapshot_begin(place->registry) == 0);
    MUST(registry_find(place->registry, bytes_of_text("wp"), bytes_of_text(""), &found,
                       &place->err) == 0);
    uint64_t before = registry_change_id(place->registry);
    float margin = margin_of(&found->model);
    MUST(margin != 0.0f);
    turn_give(turns);
    turn_wait(turns); /* unloaded, and others written many times over */
    MUST(registry_change_id(place->registry) == before);
    MUST(margin_of(&found->model) == margin);
    MUST(model_open(bytes_of(found->model.blob, found->model.blob_bytes), MODEL_CHECK_ALL,
                    &(struct model){.blob = NULL}, &place->err) == 0);
    registry_snapshot_end(place->registry);
    MUST(selected(place, "wp", "") == 0);
    MUST(selected(place, "other", "") == 20);
    MUST(registry_snapshot_begin(place->registry) == 0);
    MUST(registry_change_id(place->registry) != before);
    registry_snapshot_end(place->registry);
    return 0;
}

static int
holding_writer(struct place *place, const struct turns *turns)
{
    struct registry_entry entry;

    MUST(place_open(place, false) == 0);
    MUST(import_small(place, "wp") == 0);
    turn_give(turns);
    turn_wait(turns);
    MUST(registry_unload(place->registry, "wp", 0, &place->err) == 0);
    for (uint32_t i = 1; i <= 20; i++) {
        MUST(import_as(place, "other", 0, OTHER_FILE, REGISTRY_IMPORT_USE, &entry) == 0);
        MUST(i == 1 || registry_unload(place->registry, "other", i - 1, &place->err) == 0);
    }
    turn_give(turns);
    return 0;
}

static void
a_model_stays_whole_until_the_snapshot_that_found_it_ends(void)
{
    struct place place;

    CHECK(sides_run(&place, holding_reader, holding_writer));
}

enum { FLIPS = 300 };

static int
racing_reader(struct place *place, const struct turns *turns)
{
    const struct registry_model *found = NULL;
    unsigned seen[3] = {0, 0, 0};
    float margins[3] = {0.0f, 0.0f, 0.0f};

    turn_wait(turns);
    MUST(place_open(place, true) == 0);
    turn_give(turns);
    while (seen[0] < 1000000 &&
           (seen[1] < 50 || seen[2] < 50 || selected(place, "done", "") == 0)) {
        MUST(registry_snapshot_begin(place->registry) == 0);
        MUST(registry_find(place->registry, bytes_of_text("wp"), bytes_of_text("stable"), &found,
                           &place->err) == 0);
        uint32_t kind = found->entry.version % 2 + 1;
        float margin = margin_of(&found->model);
        MUST(margins[kind] == 0.0f || margins[kind] == margin);
        margins[kind] = margin;
        seen[kind]++;
        seen[0]++;
        registry_snapshot_end(place->registry);
    }
    MUST(seen[1] >= 50 && seen[2] >= 50 && margins[1] != margins[2]);
    return 0;
}

/* Each turn a new version takes the label and the one before goes: at no time may the label name
 * nothing. */
static int
racing_writer(struct place *place, const struct turns *turns)
{
    struct registry_entry entry;

    MUST(place_open(place, false) == 0);
    MUST(import_small(place, "wp") == 0);
    turn_give(turns);
    turn_wait(turns);
    for (uint32_t i = 2; i <= FLIPS; i++) {
        MUST(import_as(place, "wp", 0, i % 2 == 0 ? OTHER_FILE : SMALL_FILE, REGISTRY_IMPORT_USE,
                       &entry) == 0);
        MUST(registry_unload(place->registry, "wp", i - 1, &place->err) == 0);
    }
    MUST(import_small(place, "done") == 0);
    return 0;
}

static void
a_label_always_names_a_whole_version_while_versions_come_and_go(void)
{
    struct place place;

    CHECK(sides_run(&place, racing_reader, racing_writer));
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* A line of /proc/self/status in kB ("RssAnon:", "RssFile:"). */
static long
status_kb(const char *name)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long kb = -1;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0) {
            kb = strtol(line + strlen(name), NULL, 10);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return kb;
}

/* What this process has of the environment's map, in kB: Rss of data.mdb in /proc/self/smaps. */
static long
map_kb(void)
{
    FILE *file = fopen("/proc/self/smaps", "r");
    char line[512];
    bool is_map = false;
    long kb = 0;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strchr(line, '-') != NULL && strchr(line, '/') != NULL) {
            is_map = strstr(line, "/data.mdb") != NULL;
        } else if (is_map && strncmp(line, "Rss:", 4) == 0) {
            kb += strtol(line + 4, NULL, 10);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return kb;
}

/* The address sanitizer keeps freed memory for a while, on purpose. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { IS_PRIVATE_MEMORY_OURS = 0 };
#else
enum { IS_PRIVATE_MEMORY_OURS = 1 };
#endif

enum { ROUNDS = 1000, ROUNDS_WARM = 100 };

static int
flat_reader(struct place *place, const struct turns *turns)
{
    const struct registry_model *found = NULL;
    long anon_kb = 0;
    long file_kb = 0;

    turn_wait(turns);
    MUST(place_open(place, true) == 0);
    for (int round = 0; round < ROUNDS; round++) {
        turn_give(turns);
        turn_wait(turns); /* imported */
        MUST(registry_snapshot_begin(place->registry) == 0);
        MUST(registry_find(place->registry, bytes_of_text("wp"), bytes_of_text(""), &found,
                           &place->err) == 0);
        MUST(margin_of(&found->model) != 0.0f);
        registry_snapshot_end(place->registry);
        turn_give(turns);
        turn_wait(turns); /* unloaded */
        MUST(selected(place, "wp", "") == 0);
        if (round == ROUNDS_WARM) {
            anon_kb = status_kb("RssAnon:");
            file_kb = status_kb("RssFile:");
        }
    }
    turn_give(turns);
    printf("# reader: RssAnon %+ld kB, RssFile %+ld kB over %d rounds\n",
           status_kb("RssAnon:") - anon_kb, status_kb("RssFile:") - file_kb, ROUNDS - ROUNDS_WARM);
    MUST(IS_PRIVATE_MEMORY_OURS == 0 || status_kb("RssAnon:") - anon_kb < 256);
    MUST(status_kb("RssFile:") - file_kb < 256);
    return 0;
}

static int
flat_writer(struct place *place, const struct turns *turns)
{
    char path[128];
    long anon_kb = 0;
    off_t file_bytes = 0;

    (void)snprintf(path, sizeof(path), "%s/data.mdb", place->dir);
    MUST(place_open(place, false) == 0);
    turn_give(turns);
    for (int round = 0; round < ROUNDS; round++) {
        turn_wait(turns);
        MUST(import_small(place, "wp") == 0);
        turn_give(turns);
        turn_wait(turns);
        MUST(registry_unload(place->registry, "wp", 0, &place->err) == 0);
        turn_give(turns);
        if (round == ROUNDS_WARM) {
            struct buf file;
            MUST(oracle_read(path, &file));
            file_bytes = (off_t)file.len;
            buf_fini(&file);
            anon_kb = status_kb("RssAnon:");
        }
    }
    turn_wait(turns);
    long grown_kb = status_kb("RssAnon:") - anon_kb;
    struct buf file;
    MUST(oracle_read(path, &file));
    printf("# writer: RssAnon %+ld kB, file %+ld bytes of %ld\n", grown_kb,
           (long)file.len - (long)file_bytes, (long)file_bytes);
    MUST((long)file.len - (long)file_bytes <= 64 << 10);
    buf_fini(&file);
    MUST(IS_PRIVATE_MEMORY_OURS == 0 || grown_kb < 512);
    return 0;
}

static void
a_thousand_imports_and_unloads_leave_file_and_private_memory_flat(void)
{
    struct place place;

    CHECK(sides_run(&place, flat_reader, flat_writer));
}

static int
giving_reader(struct place *place, const struct turns *turns)
{
    const struct registry_model *found = NULL;

    turn_wait(turns);
    MUST(place_open(place, true) == 0);
    MUST(selected(place, "small", "") == 1);
    long before_kb = map_kb();
    turn_give(turns);
    turn_wait(turns); /* imported */
    MUST(registry_snapshot_begin(place->registry) == 0);
    MUST(registry_find(place->registry, bytes_of_text("large"), bytes_of_text(""), &found,
                       &place->err) == 0);
    long blob_kb = (long)(found->model.blob_bytes / 1024);
    registry_snapshot_end(place->registry);
    long with_kb = map_kb();
    MUST(with_kb - before_kb >= blob_kb);
    turn_give(turns);
    turn_wait(turns); /* unloaded */
    MUST(selected(place, "small", "") == 1);
    long after_kb = map_kb();
    printf("# the map with a blob of %ld kB: %+ld kB, after its end: %+ld kB\n", blob_kb,
           with_kb - before_kb, after_kb - before_kb);
    MUST(after_kb - before_kb <= 64);
    return 0;
}

static int
giving_writer(struct place *place, const struct turns *turns)
{
    struct registry_entry entry;

    MUST(place_open(place, false) == 0);
    MUST(import_small(place, "small") == 0);
    turn_give(turns);
    turn_wait(turns);
    MUST(import_as(place, "large", 0, LARGE_FILE, 0, &entry) == 0);
    turn_give(turns);
    turn_wait(turns);
    MUST(registry_unload(place->registry, "large", 1, &place->err) == 0);
    turn_give(turns);
    return 0;
}

static void
a_reader_gives_the_mapped_pages_of_an_unloaded_model_back(void)
{
    struct place place;

    CHECK(sides_run(&place, giving_reader, giving_writer));
}

static void
finding_a_model_again_allocates_nothing(void)
{
    struct place place;
    const struct registry_model *found = NULL;

    CHECK(place_make(&place));
    CHECK_INT(place_open(&place, false), 0);
    CHECK_INT(import_small(&place, "wp"), 0);
    CHECK_INT(selected(&place, "wp", "stable"), 1);
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < 1000; i++) {
        CHECK_INT(registry_snapshot_begin(place.registry), 0);
        CHECK_INT(registry_find(place.registry, bytes_of_text("wp"), bytes_of_text("stable"),
                                &found, &place.err),
                  0);
        CHECK_INT(mallinfo2().uordblks, before);
        registry_snapshot_end(place.registry);
    }
    place_remove(&place);
}

int
main(void)
{
    TAP_RUN(the_first_version_of_a_name_gets_the_label_stable);
    TAP_RUN(an_import_with_use_and_a_moved_label_choose_the_version);
    TAP_RUN(a_version_number_is_never_used_twice);
    TAP_RUN(a_version_in_use_is_not_unloaded_and_its_labels_go_with_it);
    TAP_RUN(what_is_not_there_is_refused_with_what_is);
    TAP_RUN(names_and_labels_outside_the_rules_are_refused);
    TAP_RUN(a_file_that_is_no_model_changes_nothing);
    TAP_RUN(a_full_map_refuses_an_import_and_keeps_what_it_has);
    TAP_RUN(a_reader_makes_no_registry);
    TAP_RUN(a_damaged_blob_is_refused_and_the_others_serve);
    TAP_RUN(a_damaged_record_is_refused_by_its_checksum);
    TAP_RUN(records_are_the_documented_bytes);
    TAP_RUN(a_reader_sees_a_commit_of_another_process_at_its_next_snapshot);
    TAP_RUN(a_model_stays_whole_until_the_snapshot_that_found_it_ends);
    TAP_RUN(a_label_always_names_a_whole_version_while_versions_come_and_go);
    TAP_RUN(a_thousand_imports_and_unloads_leave_file_and_private_memory_flat);
    TAP_RUN(a_reader_gives_the_mapped_pages_of_an_unloaded_model_back);
    TAP_RUN(finding_a_model_again_allocates_nothing);
    return tap_done();
}
