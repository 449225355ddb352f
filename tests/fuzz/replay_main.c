/* SPDX-License-Identifier: MIT */
/*
 * replay_main.c - a plain main for the fuzz targets, so that every build runs them without clang's
 * libFuzzer. Feeds the target each file of its corpus, every prefix of the small ones, and seeded
 * mutations of all; one TAP line a file. The corpus of tests/fuzz/fuzz_<name> is
 * tests/fuzz/corpus/<name>/; arguments name other files to replay (a finding of "make fuzz"). A
 * crash or a sanitizer report ends the program and so fails the test.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REPLAY_PREFIXES_BELOW = 2048, REPLAY_MUTATIONS = 200, REPLAY_CHANGES = 4 };

/* xorshift64*: the same mutations on every machine. */
static uint64_t
next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1du;
}

/* Runs the target over an exact-size copy, so that the address sanitizer sees a read past the
 * end. */
static void
run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size == 0 ? 1 : size);
    if (copy == NULL) {
        abort();
    }
    if (size > 0) {
        memcpy(copy, data, size);
    }
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void
run_mutations(uint8_t *data, size_t size, uint64_t seed)
{
    for (int round = 0; round < REPLAY_MUTATIONS; round++) {
        uint8_t before[REPLAY_CHANGES];
        size_t at[REPLAY_CHANGES];
        for (size_t i = 0; i < REPLAY_CHANGES; i++) {
            at[i] = (size_t)(next_random(&seed) % size);
            before[i] = data[at[i]];
            data[at[i]] = (uint8_t)next_random(&seed);
        }
        run(data, size);
        for (size_t i = REPLAY_CHANGES; i-- > 0;) {
            data[at[i]] = before[i];
        }
    }
}

static uint8_t *
read_file(const char *path, size_t *out_size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        return NULL;
    }
    long size = ftell(file);
    uint8_t *data = size < 0 ? NULL : malloc((size_t)size + 1);
    rewind(file);
    if (data != NULL && fread(data, 1, (size_t)size, file) != (size_t)size) {
        free(data);
        data = NULL;
    }
    fclose(file);
    *out_size = data == NULL ? 0 : (size_t)size;
    return data;
}

/* Returns whether the file could be read; what the target does with it shows by the program's
 * death alone. */
static int
replay(const char *path)
{
    size_t size;
    uint8_t *data = read_file(path, &size);
    if (data == NULL) {
        return 0;
    }
    run(data, size);
    for (size_t n = 0; size < REPLAY_PREFIXES_BELOW && n < size; n++) {
        run(data, n);
    }
    if (size > 0) {
        run_mutations(data, size, size * 2654435761u + 1);
    }
    free(data);
    return 1;
}

static int
is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* "…/fuzz_http_head" -> "http_head" */
static const char *
target_name(const char *program)
{
    const char *name = strrchr(program, '/');
    name = name == NULL ? program : name + 1;
    if (strncmp(name, "lt-", 3) == 0) {
        name += 3;
    }
    return strncmp(name, "fuzz_", 5) == 0 ? name + 5 : name;
}

static int
report(int number, const char *name, int is_ok)
{
    printf("%sok %d - replayed %s\n", is_ok ? "" : "not ", number, name);
    fflush(stdout);
    return is_ok ? 0 : 1;
}

static int
replay_corpus(const char *program)
{
    const char *source = getenv("AUGURY_SOURCE");
    char folder[2048];
    char path[4096];
    struct dirent **entries = NULL;
    int failures = 0;

    snprintf(folder, sizeof(folder), "%s/tests/fuzz/corpus/%s", source == NULL ? "." : source,
             target_name(program));
    int count = scandir(folder, &entries, is_visible, alphasort);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        failures += report(i + 1, entries[i]->d_name, replay(path));
        free(entries[i]);
    }
    free(entries);
    if (count <= 0) {
        printf("# %s is missing or empty\n", folder);
        failures += report(1, "no corpus", 0);
        count = 1;
    }
    printf("1..%d\n", count);
    return failures == 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
    int failures = 0;

    if (argc < 2) {
        return replay_corpus(argv[0]);
    }
    for (int i = 1; i < argc; i++) {
        failures += report(i, argv[i], replay(argv[i]));
    }
    printf("1..%d\n", argc - 1);
    return failures == 0 ? 0 : 1;
}
