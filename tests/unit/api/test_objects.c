/* SPDX-License-Identifier: MIT */
/*
 * test_objects.c - what objects are called, how they are stored, which file is read for a name, and
 * when something is made anew early. The calls over HTTP are tested in 70_objects.
 */
#include "../../../src/api/api_fetch.h"

#include "../../tap.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- names ----------------------------------------------------------------------------------- */

static void
a_name_is_segments_of_few_characters(void)
{
    static const char *const good[] = {"a",   "a/b",   "players/2024:x~y_z-1.json",
                                       "...", "a/..b", ".a"};
    static const char *const bad[] = {"",    "/",    "a/",   "/a",  "a//b",     ".",     "..",
                                      "a/.", "../a", "a/..", "a b", "a%2fb",    "a\\b",  "a?b",
                                      "a#b", "a\nb", "a*b",  "a!b", "\xc3\xa4", "a/./b", "a/../b"};
    char longest[OBJECT_NAME_MAX + 2];

    for (size_t i = 0; i < AUGURY_COUNT(good); i++) {
        CHECK(object_name_is_good(bytes_of_text(good[i])));
    }
    for (size_t i = 0; i < AUGURY_COUNT(bad); i++) {
        CHECK(!object_name_is_good(bytes_of_text(bad[i])));
    }
    CHECK(!object_name_is_good(bytes_of("a\0b", 3)));
    memset(longest, 'a', sizeof(longest));
    CHECK(object_name_is_good(bytes_of(longest, OBJECT_NAME_MAX)));
    CHECK(!object_name_is_good(bytes_of(longest, OBJECT_NAME_MAX + 1)));
}

static void
no_name_meets_the_key_of_an_absence(void)
{
    char value[OBJECT_KEY_MAX];
    char absence[OBJECT_KEY_MAX];
    struct bytes name = bytes_of_text("players/a");

    CHECK(bytes_equal_text(object_key(OBJECT_KEY_VALUE, name, value), "object:players/a"));
    CHECK(bytes_equal_text(object_key(OBJECT_KEY_ABSENCE, name, absence), "object:!players/a"));
    CHECK(!object_name_is_good(bytes_of_text("!players/a")));
}

static void
the_type_follows_from_the_extension(void)
{
    CHECK_TEXT(object_type_of_name(bytes_of_text("a/b.json")), "application/json");
    CHECK_TEXT(object_type_of_name(bytes_of_text("a.JSON")), "application/json");
    CHECK_TEXT(object_type_of_name(bytes_of_text("a.tar.gz")), "application/gzip");
    CHECK_TEXT(object_type_of_name(bytes_of_text(".json")), "application/octet-stream");
    CHECK_TEXT(object_type_of_name(bytes_of_text("json")), "application/octet-stream");
}

/* ---- the stored form ------------------------------------------------------------------------- */

/* docs/formats.md, "Objects", byte by byte. */
static void
the_stored_form_is_as_documented(void)
{
    static const uint8_t wanted[] = {
        1,    0,    10,   0,    0,    0,    0,    0,    /* form, type bytes */
        0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, /* modified */
        0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, /* mtime */
        3,    0,    0,    0,    0,    0,    0,    0,    /* bytes of the file */
        't',  'e',  'x',  't',  '/',  'p',  'l',  'a',  'i', 'n', 'a', 'b', 'c'};
    struct object object = {.type = bytes_of_text("text/plain"),
                            .content = bytes_of_text("abc"),
                            .modified_wall_ms = 0x0102030405060708,
                            .source_mtime_ns = 0x1112131415161718,
                            .source_bytes = 3};
    uint8_t stored[sizeof(wanted)];
    struct object again;

    CHECK_INT(object_encoded_len(&object), sizeof(wanted));
    object_encode(&object, stored);
    CHECK(memcmp(stored, wanted, sizeof(wanted)) == 0);
    CHECK(object_decode(bytes_of(stored, sizeof(stored)), &again));
    CHECK(bytes_equal_text(again.type, "text/plain") && bytes_equal_text(again.content, "abc"));
    CHECK(again.modified_wall_ms == object.modified_wall_ms);
    CHECK(again.source_mtime_ns == object.source_mtime_ns && again.source_bytes == 3);
}

static void
bytes_that_are_no_object_are_refused(void)
{
    struct object object = {.type = bytes_of_text("text/plain"), .content = bytes_of_text("abc")};
    struct object again;
    uint8_t stored[64];
    size_t len = object_encoded_len(&object);

    object_encode(&object, stored);
    for (size_t cut = 0; cut < OBJECT_HEADER_BYTES + object.type.len; cut++) {
        CHECK(!object_decode(bytes_of(stored, cut), &again));
    }
    CHECK(object_decode(bytes_of(stored, len), &again));
    stored[0] = 2; /* another form */
    CHECK(!object_decode(bytes_of(stored, len), &again));
    stored[0] = 1;
    stored[2] = 0; /* no type */
    CHECK(!object_decode(bytes_of(stored, len), &again));
    stored[3] = 0xff; /* a type beyond the end */
    CHECK(!object_decode(bytes_of(stored, len), &again));
    stored[2] = 10;
    stored[3] = 0;
    stored[OBJECT_HEADER_BYTES + 4] = '\n'; /* a type that would end its header line */
    CHECK(!object_decode(bytes_of(stored, len), &again));
}

static void
what_fits_a_ring_is_what_may_be_put(void)
{
    struct conf conf = {.cache.ring_bytes = 1 << 20};

    CHECK_INT(object_content_max(&conf), (1 << 19) - 1024);
    conf.cache.ring_bytes = 64 << 20;
    CHECK_INT(object_content_max(&conf), CACHE_VALUE_MAX - 1024);
}

/* ---- files ----------------------------------------------------------------------------------- */

struct folder {
    struct conf_object section;
    char outside[64];
};

static void
write_file(const struct folder *folder, const char *name, const char *content)
{
    char path[400];

    snprintf(path, sizeof(path), "%s/%s", folder->section.folder, name);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    fputs(content, file);
    fclose(file);
}

static void
folder_init(struct folder *folder)
{
    char path[400];

    *folder = (struct folder){.section = {.content_type = "auto", .max_bytes = 4096}};
    snprintf(folder->outside, sizeof(folder->outside), "/tmp/augury-objects-XXXXXX");
    CHECK(mkdtemp(folder->outside) != NULL);
    snprintf(folder->section.folder, sizeof(folder->section.folder), "%s/in", folder->outside);
    CHECK_INT(mkdir(folder->section.folder, 0755), 0);
    snprintf(path, sizeof(path), "%s/deep", folder->section.folder);
    CHECK_INT(mkdir(path, 0755), 0);
    write_file(folder, "a.json", "{}");
    write_file(folder, "deep/b", "deep");
    write_file(folder, "empty", "");
    write_file(folder, "../secret", "secret");
}

static void
folder_fini(struct folder *folder)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf '%s'", folder->outside);
    CHECK_INT(system(command), 0);
}

/* The name's first segment is the section's. fetch->stored is to be freed. */
static enum fetch_outcome
read_name(const struct folder *folder, const char *name, struct api_fetch *fetch)
{
    *fetch = (struct api_fetch){.section = &folder->section, .name = bytes_of_text(name)};
    buf_init(&fetch->stored, CACHE_VALUE_MAX);
    fetch_folder_read(fetch);
    return fetch->outcome;
}

static enum fetch_outcome
outcome_of(const struct folder *folder, const char *name)
{
    struct api_fetch fetch;
    enum fetch_outcome outcome = read_name(folder, name, &fetch);

    buf_fini(&fetch.stored);
    return outcome;
}

static bool
is_content(const struct api_fetch *fetch, const char *wanted)
{
    size_t head = OBJECT_HEADER_BYTES + fetch_type(fetch).len;
    struct bytes stored = buf_view(&fetch->stored);

    return stored.len >= head &&
           bytes_equal_text(bytes_of(stored.data + head, stored.len - head), wanted);
}

static void
the_file_below_the_folder_is_read(void)
{
    struct folder folder;
    struct api_fetch fetch;

    folder_init(&folder);
    CHECK_INT(read_name(&folder, "x/a.json", &fetch), FETCH_DONE);
    CHECK(is_content(&fetch, "{}"));
    CHECK(bytes_equal_text(fetch_type(&fetch), "application/json"));
    CHECK_INT(fetch.bytes, 2);
    /* The same file again is not read; another time or size is. */
    struct api_fetch known = fetch;
    known.has_known = true;
    known.known_mtime_ns = fetch.mtime_ns;
    known.known_bytes = 2;
    fetch_folder_read(&known);
    CHECK_INT(known.outcome, FETCH_UNCHANGED);
    known.known_mtime_ns--;
    fetch_folder_read(&known);
    CHECK_INT(known.outcome, FETCH_DONE);
    fetch.stored = known.stored;
    buf_fini(&fetch.stored);
    CHECK_INT(read_name(&folder, "x/deep/b", &fetch), FETCH_DONE);
    CHECK(is_content(&fetch, "deep"));
    buf_fini(&fetch.stored);
    CHECK_INT(read_name(&folder, "x/empty", &fetch), FETCH_DONE);
    CHECK(is_content(&fetch, ""));
    buf_fini(&fetch.stored);
    folder_fini(&folder);
}

static void
what_is_no_file_is_absent_or_an_error(void)
{
    static const struct {
        const char *name;
        enum fetch_outcome outcome;
    } cases[] = {
        {"x/none", FETCH_ABSENT},      {"x/deep", FETCH_ABSENT},
        {"x/deep/none", FETCH_ABSENT}, {"x/none/none", FETCH_ABSENT},
        {"x/a.json/b", FETCH_ABSENT},  {"x/link", FETCH_FAILED},
        {"x/inside", FETCH_FAILED},    {"x/out/secret", FETCH_FAILED},
        {"x/pipe", FETCH_FAILED},      {"x/loop", FETCH_FAILED},
        {"x/large", FETCH_FAILED},     {"x", FETCH_ABSENT},
        {"x/", FETCH_ABSENT},          {"x//a.json", FETCH_ABSENT},
    };
    struct folder folder;
    char large[4098];
    char path[400];

    folder_init(&folder);
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    write_file(&folder, "large", large);
    snprintf(path, sizeof(path), "%s/link", folder.section.folder);
    CHECK_INT(symlink("../secret", path), 0);
    snprintf(path, sizeof(path), "%s/inside", folder.section.folder);
    CHECK_INT(symlink("a.json", path), 0);
    snprintf(path, sizeof(path), "%s/out", folder.section.folder);
    CHECK_INT(symlink("..", path), 0);
    snprintf(path, sizeof(path), "%s/loop", folder.section.folder);
    CHECK_INT(symlink("loop", path), 0);
    snprintf(path, sizeof(path), "%s/pipe", folder.section.folder);
    CHECK_INT(mkfifo(path, 0644), 0);
    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        enum fetch_outcome outcome = outcome_of(&folder, cases[i].name);
        if (outcome != cases[i].outcome) {
            printf("# %s\n", cases[i].name);
        }
        CHECK_INT(outcome, cases[i].outcome);
    }
    /* The folder itself may be a link, but must be there. */
    snprintf(path, sizeof(path), "%s/current", folder.outside);
    CHECK_INT(symlink("in", path), 0);
    memcpy(folder.section.folder, path, strlen(path) + 1);
    CHECK_INT(outcome_of(&folder, "x/a.json"), FETCH_DONE);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(outcome_of(&folder, "x/a.json"), FETCH_FAILED);
    folder_fini(&folder);
}

/* A file that is written in place, as it should not be: its length changes all the time. */
static void *
rewrite(void *arg)
{
    struct folder *folder = arg;
    char text[500];
    char path[400];

    memset(text, 'a', sizeof(text));
    snprintf(path, sizeof(path), "%s/torn", folder->section.folder);
    for (unsigned i = 0; i < 3000; i++) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        for (size_t at = 0; fd >= 0 && at < 3000; at += sizeof(text)) {
            if (pwrite(fd, text, sizeof(text), (off_t)at) < 0) {
                break;
            }
        }
        close(fd);
    }
    return NULL;
}

static void
what_is_read_is_as_long_as_the_file_was_or_an_error(void)
{
    struct folder folder;
    struct api_fetch fetch;
    pthread_t thread;
    unsigned done = 0;
    unsigned failed = 0;

    folder_init(&folder);
    write_file(&folder, "torn", "");
    CHECK_INT(pthread_create(&thread, NULL, rewrite, &folder), 0);
    for (unsigned i = 0; i < 2000; i++) {
        enum fetch_outcome outcome = read_name(&folder, "x/torn", &fetch);
        done += outcome == FETCH_DONE;
        failed += outcome == FETCH_FAILED;
        CHECK(outcome != FETCH_DONE ||
              fetch.stored.len == OBJECT_HEADER_BYTES + fetch_type(&fetch).len + fetch.bytes);
        buf_fini(&fetch.stored);
    }
    pthread_join(thread, NULL);
    printf("# %u read, %u given up\n", done, failed);
    CHECK_INT(outcome_of(&folder, "x/torn"), FETCH_DONE);
    folder_fini(&folder);
}

/* ---- early ----------------------------------------------------------------------------------- */

/* By the paper, a refresh begins with probability exp(-left / cost). */
static void
early_refreshes_come_as_often_as_the_paper_says(void)
{
    static const uint64_t left_ms[] = {0, 50, 100, 200, 400};
    enum { DRAWS = 200000, COST_MS = 100, NOW = 1000000 };
    uint64_t random = 88172645463325252;

    for (size_t i = 0; i < AUGURY_COUNT(left_ms); i++) {
        struct api_early early = {
            .now_wall_ms = NOW, .expires_wall_ms = NOW + left_ms[i], .cost_us = COST_MS * 1000};
        double wanted = exp(-(double)left_ms[i] / COST_MS);
        unsigned begun = 0;
        for (unsigned draw = 0; draw < DRAWS; draw++) {
            begun += api_is_early(&early, &random) ? 1 : 0;
        }
        double got = (double)begun / DRAWS;
        if (fabs(got - wanted) > 0.005) {
            printf("# %u ms left: %g, want %g\n", (unsigned)left_ms[i], got, wanted);
        }
        CHECK(fabs(got - wanted) <= 0.005);
    }
}

static void
what_costs_nothing_or_is_far_from_its_end_is_not_refreshed(void)
{
    uint64_t random = 1;
    struct api_early cheap = {.now_wall_ms = 1000, .expires_wall_ms = 1001, .cost_us = 0};
    struct api_early far = {.now_wall_ms = 1000, .expires_wall_ms = 86401000, .cost_us = 100000};

    for (unsigned i = 0; i < 100000; i++) {
        CHECK(!api_is_early(&cheap, &random));
        CHECK(!api_is_early(&far, &random));
    }
}

int
main(void)
{
    TAP_RUN(a_name_is_segments_of_few_characters);
    TAP_RUN(no_name_meets_the_key_of_an_absence);
    TAP_RUN(the_type_follows_from_the_extension);
    TAP_RUN(the_stored_form_is_as_documented);
    TAP_RUN(bytes_that_are_no_object_are_refused);
    TAP_RUN(what_fits_a_ring_is_what_may_be_put);
    TAP_RUN(the_file_below_the_folder_is_read);
    TAP_RUN(what_is_no_file_is_absent_or_an_error);
    TAP_RUN(what_is_read_is_as_long_as_the_file_was_or_an_error);
    TAP_RUN(early_refreshes_come_as_often_as_the_paper_says);
    TAP_RUN(what_costs_nothing_or_is_far_from_its_end_is_not_refreshed);
    return tap_done();
}
