/* SPDX-License-Identifier: MIT */
/*
 * test_registry.c - models by name, version and label: what a change does, what is refused, what
 * damage does, and which bytes are stored.
 */
#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <unistd.h>

#include "../../tap.h"
#include "augury/store.h"
#include "registry_place.h"

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
another_form_of_a_version_is_the_next_one_of_the_same_source(void)
{
    static const struct model_import_options none = {.names = NULL};
    struct place place;
    struct registry_entry entry;
    struct buf file, blob;

    CHECK(place_make(&place));
    CHECK_INT(place_open(&place, false), 0);
    CHECK_INT(import_small(&place, "wp"), 0);
    buf_init(&blob, 1 << 20);
    CHECK(oracle_read(OTHER_FILE, &file));
    CHECK_INT(model_import(buf_view(&file), &none, &blob, &place.err), 0);
    CHECK_INT(registry_derive(place.registry, "wp", 1, buf_view(&blob), 0, NOW_MS + 1, &entry,
                              &place.err),
              0);
    CHECK_INT(entry.version, 2);
    CHECK_INT(entry.labels.len, 0);
    CHECK_TEXT(entry.source_sha256, SMALL_SHA256);
    CHECK_INT(entry.source_bytes, 2627);
    CHECK_INT(entry.blob_bytes, blob.len);
    CHECK_INT(entry.imported_wall_ms, NOW_MS + 1);
    CHECK_INT(selected(&place, "wp", ""), 1);
    CHECK_INT(
        registry_derive(place.registry, "wp", 7, buf_view(&blob), 0, NOW_MS, &entry, &place.err),
        AUGURY_ERR_STATE);
    CHECK_TEXT(place.err.code, "version_gone");
    blob.data[blob.len - 1] ^= 1;
    CHECK_INT(registry_derive(place.registry, "wp", 1, buf_view(&blob), REGISTRY_IMPORT_USE, NOW_MS,
                              &entry, &place.err),
              AUGURY_ERR_CORRUPT);
    CHECK_INT(selected(&place, "wp", ""), 1);
    CHECK_INT(registry_verify(place.registry, "wp", 0, &place.err), 0);
    buf_fini(&blob);
    buf_fini(&file);
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
a_model_compiled_in_another_format_is_no_fault_of_who_asks(void)
{
    struct place place;

    CHECK(place_make(&place));
    CHECK_INT(place_open(&place, false), 0);
    CHECK_INT(import_small(&place, "older"), 0);
    registry_close(&place.registry);
    CHECK_INT(file_flip(place.dir, "AUGURYMD", 8), 1); /* the number of the format */
    CHECK_INT(place_open(&place, false), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(selected(&place, "older", ""), 0);
        CHECK_INT(place.err.rc, AUGURY_ERR_CORRUPT);
        CHECK_TEXT(place.err.code, "unknown_blob_format");
        CHECK_CONTAINS(place.err.reason, "import the source again");
    }
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

/* ---- stored bytes ---------------------------------------------------------------------------- */

/* docs/formats.md, "Model registry". */
static const char golden_head[] = "02000000" SMALL_SHA256 "00000000"
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
    char hex[2 * 272 + 1] = "";
    uint8_t covered[264 + sizeof(key)];

    CHECK(place_make(&place));
    CHECK_INT(place_open(&place, false), 0);
    CHECK_INT(import_small(&place, "wp"), 0);
    registry_close(&place.registry);
    CHECK_INT(golden_read(&place, 0, version_key, &blob), 0);
    CHECK_INT(golden_read(&place, 1, version_key, &value), 0);
    CHECK_INT(value.len, 272);
    hex_encode(buf_view(&value), hex);
    CHECK(strncmp(hex, golden_head, strlen(golden_head)) == 0);
    CHECK(strncmp(hex + 2 * 56, golden_time, strlen(golden_time)) == 0);
    CHECK_INT(le64_get(value.data + 48), le64_get(blob.data + 16));
    CHECK(memcmp(value.data + 64, blob.data + 24, 16) == 0);
    memcpy(covered, value.data, 264);
    memcpy(covered + 264, key, sizeof(key));
    CHECK(le64_get(value.data + 264) == hash64_of(bytes_of(covered, sizeof(covered))));
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

/* Written by hand at the documented offsets, read back by a registry. */
static void
what_vouched_for_a_version_is_kept(void)
{
    static const uint8_t key[] = {'w', 'p', 0, 0, 0, 0, 1};
    struct registry_evidence evidence = {
        .signer = "ops", .golden_rows = 0x010203, .golden_tolerance = 1.0};
    const struct registry_model *found = NULL;
    struct place place;
    struct buf value;

    for (int i = 0; i < REGISTRY_SHA256_BYTES; i++) {
        evidence.key_id[i] = (uint8_t)(1 + i);
        evidence.manifest_sha256[i] = (uint8_t)(65 + i);
        evidence.golden_sha256[i] = (uint8_t)(129 + i);
    }
    CHECK(place_make(&place));
    CHECK_INT(place_open(&place, false), 0);
    CHECK_INT(import_with(&place, "wp", SMALL_FILE, &evidence), 0);
    CHECK_INT(registry_snapshot_begin(place.registry), 0);
    CHECK_INT(
        registry_find(place.registry, bytes_of_text("wp"), bytes_of("", 0), &found, &place.err), 0);
    CHECK(memcmp(&found->entry.evidence, &evidence, sizeof(evidence)) == 0);
    registry_snapshot_end(place.registry);
    registry_close(&place.registry);
    CHECK_INT(golden_read(&place, 1, bytes_of(key, sizeof(key)), &value), 0);
    CHECK_INT(le32_get(value.data + 36), 0x010203);
    CHECK(le64_get(value.data + 80) == UINT64_C(0x3ff0000000000000));
    CHECK(value.data[88] == 129 && value.data[119] == 160);
    CHECK(value.data[120] == 1 && value.data[151] == 32);
    CHECK(value.data[152] == 65 && value.data[183] == 96);
    CHECK(memcmp(value.data + 184, "ops\0", 5) == 0);
    buf_fini(&value);
    place_remove(&place);
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
    TAP_RUN(another_form_of_a_version_is_the_next_one_of_the_same_source);
    TAP_RUN(a_version_number_is_never_used_twice);
    TAP_RUN(a_version_in_use_is_not_unloaded_and_its_labels_go_with_it);
    TAP_RUN(what_is_not_there_is_refused_with_what_is);
    TAP_RUN(names_and_labels_outside_the_rules_are_refused);
    TAP_RUN(a_file_that_is_no_model_changes_nothing);
    TAP_RUN(a_full_map_refuses_an_import_and_keeps_what_it_has);
    TAP_RUN(a_reader_makes_no_registry);
    TAP_RUN(a_damaged_blob_is_refused_and_the_others_serve);
    TAP_RUN(a_model_compiled_in_another_format_is_no_fault_of_who_asks);
    TAP_RUN(a_damaged_record_is_refused_by_its_checksum);
    TAP_RUN(records_are_the_documented_bytes);
    TAP_RUN(what_vouched_for_a_version_is_kept);
    TAP_RUN(finding_a_model_again_allocates_nothing);
    return tap_done();
}
