/* SPDX-License-Identifier: MIT */
/*
 * bench_cache_churn.c - how large the file of the cache is beside what is live, under churn: one
 * process writes and evicts under a small quota, mixed sizes up to 64 KiB, while two others read
 * as workers do. First the quota falls from 64 MiB to 8 MiB: seconds until the file has followed.
 * Then samples ten times a second: the worst, and the means of the first and the last tenth, which
 * are alike when nothing grows. One TSV line a figure: name, ours, unit, peer, peer's figure,
 * ratio. Usage: bench_cache_churn [seconds].
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "augury/cache.h"

enum {
    MIB = 1 << 20,
    QUOTA = 8 * MIB,
    QUOTA_BEFORE = 64 * MIB,
    MAP = 256 * MIB,
    RING = 8 * MIB,
    READERS = 2,
    KEYS = 100000,
    SAMPLE_MS = 100,
};
static const uint64_t now_ms = UINT64_C(1700000000000);

struct churn {
    char dir[64];
    struct cache_board *board;
    struct stats *stats;
    struct cache *cache;
    uint64_t puts;
};

static void
must(int rc, const char *what)
{
    if (rc != 0) {
        fprintf(stderr, "bench_cache_churn: %s: %d\n", what, rc);
        exit(1);
    }
}

static struct bytes
key_of(uint64_t number, char *room, size_t size)
{
    int n = snprintf(room, size, "prediction:nfl-wp@3#1f2e3d4c5b6a7988:%020llu",
                     (unsigned long long)(number % KEYS));
    return bytes_of(room, (size_t)n);
}

static int
open_as(struct churn *churn, bool is_keeper, unsigned slot)
{
    struct cache_options options = {.dir = churn->dir,
                                    .map_bytes = MAP,
                                    .is_keeper = is_keeper,
                                    .board = churn->board,
                                    .slot = slot,
                                    .stats = stats_slot(churn->stats, slot)};

    return cache_open(&options, &churn->cache, NULL, NULL);
}

static void
read_for_ever(struct churn *churn, unsigned slot)
{
    struct arena arena;
    struct cache_hit hit;
    char room[64];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    must(arena_init(&arena, 4 * MIB), "arena");
    must(open_as(churn, false, slot), "reader");
    for (uint64_t i = slot;; i += 7) {
        arena_reset(&arena, 0);
        must(cache_snapshot_begin(churn->cache), "snapshot");
        for (uint64_t k = 0; k < 16; k++) {
            struct cache_query query = {.class = CACHE_PREDICTION,
                                        .key = key_of(i * 31 + k, room, sizeof(room)),
                                        .now_wall_ms = now_ms,
                                        .arena = &arena};
            int rc = cache_get(churn->cache, &query, &hit);
            must(rc < 0 ? rc : 0, "get");
        }
        cache_snapshot_end(churn->cache);
        if (i % 64 == 0) {
            usleep(200);
        }
    }
}

static void
put_some(struct churn *churn)
{
    static uint8_t value[65536];
    char room[64];
    bool more = false;

    for (int i = 0; i < 64; i++, churn->puts++) {
        uint64_t mixed = churn->puts * UINT64_C(0x9e3779b97f4a7c15) >> 40;
        size_t len = mixed % 64 == 0 ? mixed % sizeof(value) : mixed % 3000;
        struct cache_item item = {.class = CACHE_PREDICTION,
                                  .key = key_of(mixed, room, sizeof(room)),
                                  .value = bytes_of(value, len),
                                  .created_wall_ms = now_ms,
                                  .expires_wall_ms = now_ms + 3600 * 1000};
        memcpy(value, &churn->puts, sizeof(churn->puts));
        int rc = cache_put(churn->cache, &item);
        while (rc == AUGURY_ERR_FULL) {
            must(cache_keeper_turn(churn->cache, now_ms, &more), "turn");
            rc = cache_put(churn->cache, &item);
        }
        must(rc, "put");
    }
    must(cache_keeper_turn(churn->cache, now_ms, &more), "turn");
}

static double
ratio(struct churn *churn)
{
    struct cache_usage usage;

    must(cache_usage(churn->cache, &usage), "usage");
    return (double)usage.file_blocks_bytes / (double)usage.used_bytes;
}

/* Puts until the quota is full, then until the file has followed a smaller one. */
static void
shrink(struct churn *churn)
{
    struct cache_usage usage = {0};

    cache_keeper_quota(churn->cache, QUOTA_BEFORE);
    while (usage.used_bytes < (uint64_t)QUOTA_BEFORE / 100 * 95) {
        put_some(churn);
        must(cache_usage(churn->cache, &usage), "usage");
    }
    uint64_t begin = clock_mono_ms();
    cache_keeper_quota(churn->cache, QUOTA);
    do {
        bool more;
        must(cache_keeper_turn(churn->cache, now_ms, &more), "turn");
        must(cache_usage(churn->cache, &usage), "usage");
    } while (usage.used_bytes > QUOTA || (double)usage.file_blocks_bytes > 1.2 * QUOTA);
    printf("cache.shrink_seconds\t%.2f\ts\t-\t-\t-\n", (double)(clock_mono_ms() - begin) / 1e3);
}

static void
churn_for(struct churn *churn, uint64_t seconds)
{
    uint64_t samples = seconds * 1000 / SAMPLE_MS;
    double worst = 0, first = 0, last = 0;
    struct stats_summary punch, cpu, commit;

    uint64_t begin = clock_mono_ms(), puts = churn->puts;
    for (uint64_t i = 0; i < samples; i++) {
        while (clock_mono_ms() - begin < (i + 1) * SAMPLE_MS) {
            put_some(churn);
        }
        double now = ratio(churn);
        worst = now > worst ? now : worst;
        first += i < samples / 10 ? now : 0;
        last += i >= samples - samples / 10 ? now : 0;
        if (i % 10 == 9) {
            must(cache_keeper_tick(churn->cache, now_ms), "tick");
        }
    }
    stats_summarise(churn->stats, STATS_CACHE_PUNCH, &punch);
    stats_summarise(churn->stats, STATS_CACHE_PUNCH_CPU, &cpu);
    stats_summarise(churn->stats, STATS_CACHE_COMMIT, &commit);
    uint64_t tenth_samples = samples / 10;
    double tenth = (double)tenth_samples;
    printf("cache.file_over_live\t%.3f\tratio\tfirst tenth\t%.3f\t%.3f\n", last / tenth,
           first / tenth, first / last);
    printf("cache.file_over_live_worst\t%.3f\tratio\t-\t-\t-\n", worst);
    printf("cache.churn_rate\t%.0f\tentries/s\t-\t-\t-\n",
           (double)(churn->puts - puts) / (double)seconds);
    printf("cache.punch_share\t%.4f\tof the time\tp99 ms\t%.2f\t-\n",
           (double)punch.sum_ns / 1e9 / (double)seconds, (double)punch.p99_ns / 1e6);
    printf("cache.punch_longest\t%.2f\tms\tof the processor\t%.2f\t-\n", (double)punch.max_ns / 1e6,
           (double)cpu.max_ns / 1e6);
    printf("cache.commit_p99\t%.2f\tms\t-\t-\t-\n", (double)commit.p99_ns / 1e6);
}

int
main(int argc, char **argv)
{
    struct churn churn = {0};
    uint64_t seconds = argc > 1 ? strtoull(argv[1], NULL, 10) : 5;
    struct cache_board_options board = {
        .ring_bytes = RING, .slots = READERS + 1, .keeper_wake_fd = eventfd(0, EFD_NONBLOCK)};

    must(seconds == 0, "usage: bench_cache_churn [seconds]");
    snprintf(churn.dir, sizeof(churn.dir), "%s/augury-churn-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    must(mkdtemp(churn.dir) == NULL, "mkdtemp");
    churn.board = cache_board_attach(shm_map(cache_board_bytes(&board)), &board);
    churn.stats = stats_attach(shm_map(stats_bytes()));
    must(open_as(&churn, true, 0), "open");
    pid_t pids[READERS];
    for (unsigned i = 0; i < READERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            read_for_ever(&churn, i + 1);
        }
    }
    shrink(&churn);
    churn_for(&churn, seconds);
    for (unsigned i = 0; i < READERS; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    cache_close(&churn.cache);
    static const char *const names[] = {"data.mdb", "lock.mdb"};
    for (size_t i = 0; i < AUGURY_COUNT(names); i++) {
        char path[80];
        snprintf(path, sizeof(path), "%s/%s", churn.dir, names[i]);
        unlink(path);
    }
    return rmdir(churn.dir) == 0 ? 0 : 1;
}
