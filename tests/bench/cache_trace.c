/* SPDX-License-Identifier: MIT */
/*
 * cache_trace.c - hit ratios of a request trace: each request is looked up in a real cache (keeper,
 * rings, environment in memory) and put after a miss, with a quota of entries, so that sizes
 * compare with those of simulators that count every object as one. Beside it what LRU would hit.
 * Usage: cache_trace FORMAT FILE SIZE...
 * A SIZE of the form MEMORY/DISK has a tier on disk below, and counts what either answers.
 * FORMAT: be32, be64 (keys, big-endian, one a request) or text (one a line). FILE: also .gz or .xz.
 * Prints a line a size: size, hit ratio, hit ratio of LRU.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../../src/cache/cache_disk.h"

static const uint64_t now_ms = UINT64_C(1700000000000);

struct trace {
    uint64_t *keys; /* numbered from 0 in the order of their first request */
    size_t count, room;
    uint32_t unique;
};

static void
must(int rc, const char *what)
{
    if (rc != 0) {
        fprintf(stderr, "cache_trace: %s: %d\n", what, rc);
        exit(1);
    }
}

/* ---- the trace ----------------------------------------------------------------------------- */

static FILE *
trace_open(const char *path)
{
    char command[4200];
    size_t len = strlen(path);
    const char *ending = len > 3 ? path + len - 3 : "";
    const char *tool = strcmp(ending, ".xz") == 0 ? "xz" : strcmp(ending, ".gz") == 0 ? "gzip" : "";

    if (*tool == '\0') {
        return fopen(path, "rb");
    }
    if (strchr(path, '\'') != NULL || access(path, R_OK) != 0) {
        return NULL;
    }
    snprintf(command, sizeof(command), "%s -dc '%s'", tool, path);
    return popen(command, "r");
}

static void
trace_add(struct trace *trace, uint64_t key)
{
    if (trace->count == trace->room) {
        trace->room = trace->room == 0 ? 1 << 16 : trace->room * 2;
        trace->keys = realloc(trace->keys, trace->room * sizeof(*trace->keys));
        must(trace->keys == NULL, "realloc");
    }
    trace->keys[trace->count++] = key;
}

static void
trace_read(struct trace *trace, FILE *file, const char *format)
{
    size_t width = strcmp(format, "be32") == 0 ? 4 : strcmp(format, "be64") == 0 ? 8 : 0;
    uint8_t bytes[8];
    char line[4096];

    while (width > 0 && fread(bytes, 1, width, file) == width) {
        uint64_t key = 0;
        for (size_t i = 0; i < width; i++) {
            key = key << 8 | bytes[i];
        }
        trace_add(trace, key);
    }
    while (width == 0 && fgets(line, sizeof(line), file) != NULL) {
        trace_add(trace, hash64_of(bytes_of(line, strcspn(line, "\r\n"))));
    }
}

/* Keys become numbers from 0. */
static void
trace_number(struct trace *trace)
{
    size_t slots = 1024;
    while (slots < 2 * trace->count) {
        slots *= 2;
    }
    uint64_t *keys = calloc(slots, sizeof(*keys));
    uint32_t *numbers = calloc(slots, sizeof(*numbers)); /* + 1; 0: free */

    must(keys == NULL || numbers == NULL, "calloc");
    for (size_t i = 0; i < trace->count; i++) {
        uint64_t key = trace->keys[i];
        size_t at = (key * UINT64_C(0x9e3779b97f4a7c15)) >> 20 & (slots - 1);
        while (numbers[at] != 0 && keys[at] != key) {
            at = (at + 1) & (slots - 1);
        }
        if (numbers[at] == 0) {
            keys[at] = key;
            numbers[at] = ++trace->unique;
        }
        trace->keys[i] = numbers[at] - 1;
    }
    free(keys);
    free(numbers);
}

/* ---- LRU, for comparison ------------------------------------------------------------------- */

/* A ring of neighbours by number; the last place is both ends. */
struct lru {
    uint32_t *newer, *older;
    uint8_t *is_in;
};

static void
lru_unlink(struct lru *lru, uint32_t key)
{
    lru->newer[lru->older[key]] = lru->newer[key];
    lru->older[lru->newer[key]] = lru->older[key];
}

static void
lru_link(struct lru *lru, uint32_t end, uint32_t key)
{
    lru->older[key] = lru->older[end];
    lru->newer[key] = end;
    lru->newer[lru->older[end]] = key;
    lru->older[end] = key;
}

static double
lru_ratio(const struct trace *trace, uint64_t size)
{
    uint32_t end = trace->unique;
    struct lru lru = {.newer = calloc(end + 1, sizeof(uint32_t)),
                      .older = calloc(end + 1, sizeof(uint32_t)),
                      .is_in = calloc(end + 1, 1)};
    uint64_t hits = 0, entries = 0;

    must(lru.newer == NULL || lru.older == NULL || lru.is_in == NULL, "calloc");
    lru.newer[end] = lru.older[end] = end;
    for (size_t i = 0; i < trace->count; i++) {
        uint32_t key = (uint32_t)trace->keys[i];
        if (lru.is_in[key] != 0) {
            hits++;
            lru_unlink(&lru, key);
        } else if (entries < size) {
            entries++;
        } else {
            uint32_t oldest = lru.newer[end];
            lru_unlink(&lru, oldest);
            lru.is_in[oldest] = 0;
        }
        lru_link(&lru, end, key);
        lru.is_in[key] = 1;
    }
    free(lru.newer);
    free(lru.older);
    free(lru.is_in);
    return (double)hits / (double)trace->count;
}

/* ---- the cache ----------------------------------------------------------------------------- */

static bool
ask(struct cache *cache, uint64_t number)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "object:%012llu", (unsigned long long)number);
    struct bytes key = bytes_of(text, (size_t)len);
    struct cache_query query = {.class = CACHE_OBJECT, .key = key, .now_wall_ms = now_ms};
    struct cache_item item = {.class = CACHE_OBJECT,
                              .key = key,
                              .value = bytes_of(text, 8),
                              .created_wall_ms = now_ms,
                              .expires_wall_ms = now_ms + 3600 * 1000};
    struct cache_hit hit;
    bool more = true;

    must(cache_snapshot_begin(cache), "snapshot");
    int rc = cache_get(cache, &query, &hit);
    cache_snapshot_end(cache);
    if (rc == 0) {
        return true;
    }
    must(cache_put(cache, &item), "put");
    while (more) {
        must(cache_keeper_turn(cache, now_ms, &more), "turn");
    }
    while (cache->below != NULL && !cache_rings_are_empty(cache->below->rings)) {
        cache->disk->next_mono_ns = 0; /* requests come faster here than in life: it may keep up */
        cache_disk_turn(cache);
    }
    return false;
}

static void
folder_make(char *room, size_t size)
{
    snprintf(room, size, "%s/augury-trace-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    must(mkdtemp(room) == NULL, "mkdtemp");
}

static void
folder_remove(const char *dir)
{
    static const char *const names[] = {"data.mdb", "lock.mdb", "mark", "lock"};
    char path[80];

    for (size_t i = 0; i < AUGURY_COUNT(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

/* disk 0: no such tier. */
static double
cache_ratio(const struct trace *trace, uint64_t size, uint64_t disk)
{
    enum { MAP = 1 << 30, RING = 1 << 16, DAY_S = 86400 };
    char dir[64], disk_dir[64];
    struct cache *cache = NULL;
    uint64_t hits = 0;
    struct cache_disk_options below = {.dir = disk_dir, .size_bytes = MAP, .entries = disk};

    folder_make(dir, sizeof(dir));
    folder_make(disk_dir, sizeof(disk_dir));
    below.memory_ttl_s[CACHE_OBJECT] = below.disk_ttl_s[CACHE_OBJECT] = DAY_S;
    int fd = eventfd(0, EFD_NONBLOCK);
    struct cache_board_options board = {
        .ring_bytes = RING, .slots = 1, .map_bytes = MAP, .keeper_wake_fd = fd};
    board.disk_bytes = disk > 0 ? MAP : 0;
    size_t board_bytes = cache_board_bytes(&board);
    void *shared = shm_map(board_bytes);
    must(shared == NULL, "shm_map");
    struct cache_options options = {.dir = dir,
                                    .map_bytes = MAP,
                                    .is_keeper = true,
                                    .board = cache_board_attach(shared, &board),
                                    .disk = disk > 0 ? &below : NULL};
    must(cache_open(&options, &cache, NULL, NULL), "open");
    cache_keeper_quota_entries(cache, size);
    for (size_t i = 0; i < trace->count; i++) {
        hits += ask(cache, trace->keys[i]) ? 1 : 0;
        if (i % 4096 == 0) {
            must(cache_keeper_tick(cache, now_ms), "tick");
        }
    }
    cache_close(&cache);
    folder_remove(dir);
    folder_remove(disk_dir);
    shm_unmap(&shared, board_bytes);
    close(fd);
    return (double)hits / (double)trace->count;
}

int
main(int argc, char **argv)
{
    struct trace trace = {0};

    if (argc < 4) {
        fprintf(stderr, "usage: cache_trace be32|be64|text FILE SIZE...\n");
        return 2;
    }
    FILE *file = trace_open(argv[2]);
    if (file == NULL) {
        fprintf(stderr, "cache_trace: cannot read %s\n", argv[2]);
        return 1;
    }
    trace_read(&trace, file, argv[1]);
    fclose(file);
    if (trace.count == 0) {
        fprintf(stderr, "cache_trace: no requests in %s\n", argv[2]);
        return 1;
    }
    trace_number(&trace);
    for (int i = 3; i < argc; i++) {
        char *end = NULL;
        uint64_t size = strtoull(argv[i], &end, 10);
        uint64_t disk = *end == '/' ? strtoull(end + 1, NULL, 10) : 0;
        printf("%s\t%.4f\t%.4f\n", argv[i], cache_ratio(&trace, size, disk),
               lru_ratio(&trace, size + disk));
        fflush(stdout);
    }
    free(trace.keys);
    return 0;
}
