/* SPDX-License-Identifier: MIT */
/*
 * test_registry_shared.c - one registry in two processes: who sees a change when, and what memory a
 * change takes and gives back. Both are forked before any environment is opened, as in the daemon.
 */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../tap.h"
#include "registry_place.h"

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
    long anon_kb = status_kb("RssAnon:");
    turn_give(turns);
    turn_wait(turns); /* imported */
    MUST(registry_snapshot_begin(place->registry) == 0);
    MUST(registry_find(place->registry, bytes_of_text("large"), bytes_of_text(""), &found,
                       &place->err) == 0);
    long blob_kb = (long)(found->model.blob_bytes / 1024);
    registry_snapshot_end(place->registry);
    long with_kb = map_kb();
    MUST(with_kb - before_kb >= blob_kb);
    /* The model is the map's: nothing of it is copied. */
    MUST(IS_PRIVATE_MEMORY_OURS == 0 || status_kb("RssAnon:") - anon_kb <= 64);
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

int
main(void)
{
    TAP_RUN(a_reader_sees_a_commit_of_another_process_at_its_next_snapshot);
    TAP_RUN(a_model_stays_whole_until_the_snapshot_that_found_it_ends);
    TAP_RUN(a_label_always_names_a_whole_version_while_versions_come_and_go);
    TAP_RUN(a_thousand_imports_and_unloads_leave_file_and_private_memory_flat);
    TAP_RUN(a_reader_gives_the_mapped_pages_of_an_unloaded_model_back);
    return tap_done();
}
