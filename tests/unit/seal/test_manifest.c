/* SPDX-License-Identifier: MIT */
/* test_manifest.c - the text that a signature vouches for. */
#include "augury/seal.h"

#include "../../tap.h"

#define SHA "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static const char whole[] = "augury-manifest: 1\n"
                            "model: nfl-wp\n"
                            "version: 3\n"
                            "created: 2026-11-21T12:00:00Z\n"
                            "expires: 2028-02-29T00:00:00Z\n"
                            "file: " SHA " 3 model two.json\n"
                            "file: " SHA " 3 schema.json\n";

static void
a_manifest_is_read_and_written_alike(void)
{
    struct seal_manifest manifest;
    struct err err;
    struct buf buf;

    CHECK_INT(seal_manifest_read(bytes_of_text(whole), &manifest, &err), 0);
    CHECK(bytes_equal_text(manifest.model, "nfl-wp"));
    CHECK_INT(manifest.version, 3);
    CHECK_INT(manifest.created_wall_ms, 1795262400000);
    CHECK_INT(manifest.expires_wall_ms, 1835395200000);
    CHECK_INT(manifest.file_count, 2);
    CHECK(bytes_equal_text(manifest.files[0].name, "model two.json"));
    CHECK_INT(manifest.files[0].size_bytes, 3);
    CHECK_INT(manifest.files[1].sha256[0], 0xba);
    CHECK_INT(manifest.files[1].sha256[31], 0xad);
    buf_init(&buf, SEAL_MANIFEST_BYTES_MAX);
    seal_manifest_put(&manifest, &buf);
    CHECK(bytes_equal_text(buf_view(&buf), whole));
    buf_fini(&buf);
}

static void
only_the_file_has_to_be_there(void)
{
    struct seal_manifest manifest;
    struct err err;

    CHECK_INT(seal_manifest_read(bytes_of_text("augury-manifest: 1\nfile: " SHA " 3 m\n"),
                                 &manifest, &err),
              0);
    CHECK_INT(manifest.model.len, 0);
    CHECK_INT(manifest.version, 0);
    CHECK_INT(manifest.expires_wall_ms, 0);
}

static void
what_is_not_understood_is_refused_with_its_line(void)
{
    static const struct {
        const char *text, *at;
    } wrong[] = {
        {"", ""},
        {"augury-manifest: 1\nfile: " SHA " 3 m", ""},
        {"augury-manifest: 1\r\nfile: " SHA " 3 m\r\n", ""},
        {"augury-manifest: 1\nfile: " SHA " 3 m\xc3\xa9\n", ""},
        {"augury-manifest: 2\nfile: " SHA " 3 m\n", "line 1"},
        {"file: " SHA " 3 m\n", "line 1"},
        {"augury-manifest: 1\n", "line 2"},
        {"augury-manifest: 1\ncolour: red\nfile: " SHA " 3 m\n", "line 2"},
        {"augury-manifest: 1\n\nfile: " SHA " 3 m\n", "line 2"},
        {"augury-manifest: 1\nmodel: a\nmodel: b\nfile: " SHA " 3 m\n", "line 3"},
        {"augury-manifest: 1\nmodel: \nfile: " SHA " 3 m\n", "line 2"},
        {"augury-manifest: 1\nversion: 0\nfile: " SHA " 3 m\n", "line 2"},
        {"augury-manifest: 1\nversion: 4294967296\nfile: " SHA " 3 m\n", "line 2"},
        {"augury-manifest: 1\nexpires: tomorrow\nfile: " SHA " 3 m\n", "line 2"},
        {"augury-manifest: 1\nfile: abc 3 m\n", "line 2"},
        {"augury-manifest: 1\nfile: " SHA "0 3 m\n", "line 2"},
        {"augury-manifest: 1\nfile: " SHA " x m\n", "line 2"},
        {"augury-manifest: 1\nfile: " SHA " 3\n", "line 2"},
        {"augury-manifest: 1\nfile: " SHA " 3 a/b\n", "line 2"},
    };

    for (size_t i = 0; i < AUGURY_COUNT(wrong); i++) {
        struct seal_manifest manifest;
        struct err err = {.rc = 0};
        CHECK_INT(seal_manifest_read(bytes_of_text(wrong[i].text), &manifest, &err),
                  AUGURY_ERR_INVALID);
        CHECK_TEXT(err.code, "invalid_manifest");
        CHECK_TEXT(err.at, wrong[i].at);
    }
}

static void
a_manifest_of_too_many_files_is_refused(void)
{
    struct seal_manifest manifest;
    struct err err;
    struct buf buf;

    buf_init(&buf, SEAL_MANIFEST_BYTES_MAX);
    buf_put_text(&buf, "augury-manifest: 1\n");
    for (int i = 0; i < SEAL_MANIFEST_FILES_MAX; i++) {
        buf_put_text(&buf, "file: " SHA " 3 m\n");
    }
    CHECK_INT(seal_manifest_read(buf_view(&buf), &manifest, &err), 0);
    buf_put_text(&buf, "file: " SHA " 3 m\n");
    CHECK_INT(seal_manifest_read(buf_view(&buf), &manifest, &err), AUGURY_ERR_INVALID);
    CHECK_CONTAINS(err.reason, "16");
    buf_fini(&buf);
}

static void
times_are_days_or_seconds_of_the_calendar(void)
{
    static const char *const wrong[] = {"2027-02-29",
                                        "2027-13-01",
                                        "2027-00-10",
                                        "2027-1-1",
                                        "27-01-01",
                                        "1999-12-31",
                                        "2027-01-31T24:00:00Z",
                                        "2027-01-31T12:00:00",
                                        "2027-01-31 12:00:00Z",
                                        "2100-02-29",
                                        ""};
    uint64_t ms = 0;

    CHECK_INT(seal_time_read(bytes_of_text("2000-01-01"), &ms), 0);
    CHECK_INT(ms, 946684800000);
    CHECK_INT(seal_time_read(bytes_of_text("2000-02-29T23:59:59Z"), &ms), 0);
    CHECK_INT(ms, 951868799000);
    CHECK_INT(seal_time_read(bytes_of_text("2026-12-31"), &ms), 0);
    CHECK_INT(ms, 1798675200000);
    for (size_t i = 0; i < AUGURY_COUNT(wrong); i++) {
        CHECK_INT(seal_time_read(bytes_of_text(wrong[i]), &ms), AUGURY_ERR_INVALID);
    }
}

int
main(void)
{
    TAP_RUN(a_manifest_is_read_and_written_alike);
    TAP_RUN(only_the_file_has_to_be_there);
    TAP_RUN(what_is_not_understood_is_refused_with_its_line);
    TAP_RUN(a_manifest_of_too_many_files_is_refused);
    TAP_RUN(times_are_days_or_seconds_of_the_calendar);
    return tap_done();
}
