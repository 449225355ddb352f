/* SPDX-License-Identifier: MIT */
/*
 * bench_cache.c - the cache alone: cost of a hit (digest of the key's text, lookup, comparison,
 * copy of 1 KiB; keys by Zipf) beside that of a plain LMDB lookup of the same records by their
 * 8-byte numbers with the same snapshots in the same run, and entries a second through ring, group
 * commit and eviction. One TSV line a figure: name, ours, unit, peer,
 * peer's figure, ratio (above 1: we are better).
 */
#include <lmdb.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "augury/cache.h"

enum { ENTRIES = 10000, KEY = 57, VALUE = 1024, LOOKUPS = 2000000, ROUNDS = 5, PUTS = 400000 };
static const uint64_t now_ms = UINT64_C(1700000000000);

struct bench {
    char dir[64];
    void *shared;
    struct cache *cache;
    char (*keys)[64];
    uint32_t *order;
};

static void
must(int rc, const char *what)
{
    if (rc != 0) {
        fprintf(stderr, "bench_cache: %s: %d\n", what, rc);
        exit(1);
    }
}

/* CPU time of this process: other work on the machine does not count. */
static uint64_t
cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void
drain(struct bench *b)
{
    bool more = true;

    while (more) {
        must(cache_keeper_turn(b->cache, now_ms, &more), "turn");
    }
}

/* Which entry each lookup asks for: Zipf with exponent 0.99, the popular ones spread over the
 * table. */
static void
order_fill(struct bench *b)
{
    double *until = calloc(ENTRIES, sizeof(*until));
    double sum = 0;
    uint64_t state = 88172645463325252u;

    must(until == NULL, "calloc");
    for (unsigned i = 0; i < ENTRIES; i++) {
        sum += pow(i + 1, -0.99);
        until[i] = sum;
    }
    for (size_t i = 0; i < LOOKUPS; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        double at = (double)(state >> 11) * 0x1p-53 * sum;
        unsigned low = 0, high = ENTRIES - 1;
        while (low < high) {
            unsigned middle = (low + high) / 2;
            if (until[middle] < at) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        b->order[i] = (uint32_t)(low * UINT64_C(7919) % ENTRIES);
    }
    free(until);
}

static void
bench_open(struct bench *b)
{
    enum { RING = 8 << 20 };

    snprintf(b->dir, sizeof(b->dir), "%s/augury-bench-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    must(mkdtemp(b->dir) == NULL, "mkdtemp");
    struct cache_board_options board = {
        .ring_bytes = RING, .slots = 1, .keeper_wake_fd = eventfd(0, EFD_NONBLOCK)};
    b->shared = shm_map(cache_board_bytes(&board));
    must(b->shared == NULL, "shm_map");
    struct cache_options options = {
        .dir = b->dir,
        .map_bytes = (size_t)1 << 30,
        .is_keeper = true,
        .board = cache_board_attach(b->shared, &board),
    };
    must(cache_open(&options, &b->cache, NULL, NULL), "open");
    b->keys = calloc(ENTRIES, sizeof(*b->keys));
    b->order = calloc(LOOKUPS, sizeof(*b->order));
    must(b->keys == NULL || b->order == NULL, "calloc");
    order_fill(b);
    for (unsigned i = 0; i < ENTRIES; i++) {
        snprintf(b->keys[i], sizeof(b->keys[i]), "prediction:nfl-wp@3#1f2e3d4c5b6a7988:%020u", i);
    }
}

static int
item_put(struct bench *b, struct bytes key, struct bytes value)
{
    struct cache_item item = {.class = CACHE_PREDICTION,
                              .key = key,
                              .value = value,
                              .created_wall_ms = now_ms,
                              .expires_wall_ms = now_ms + 3600 * 1000};

    return cache_put(b->cache, &item);
}

static void
entries_put(struct bench *b)
{
    static uint8_t value[VALUE];

    memset(value, 1, sizeof(value));
    for (unsigned i = 0; i < ENTRIES; i++) {
        must(item_put(b, bytes_of_text(b->keys[i]), bytes_of(value, sizeof(value))), "put");
        if (i % 100 == 0) {
            drain(b);
        }
    }
    drain(b);
}

/* ns a hit, the best of ROUNDS. per_snapshot lookups share one renewed and reset snapshot: 1 is a
 * request of one row, 16 one of sixteen. */
static double
hit_ns(struct bench *b, size_t per_snapshot)
{
    static uint8_t out[VALUE];
    double best = 1e9;
    struct cache_hit hit;
    uint64_t sum = 0;

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t begin = cpu_ns();
        for (size_t i = 0; i < LOOKUPS; i += per_snapshot) {
            must(cache_snapshot_begin(b->cache), "snapshot");
            for (size_t k = i; k < i + per_snapshot; k++) {
                const char *key = b->keys[b->order[k]];
                struct cache_query query = {
                    .class = CACHE_PREDICTION, .key = bytes_of(key, KEY), .now_wall_ms = now_ms};
                must(cache_get(b->cache, &query, &hit), "get");
                memcpy(out, hit.value.data, VALUE);
                sum += out[k % VALUE];
            }
            cache_snapshot_end(b->cache);
        }
        double ns = (double)(cpu_ns() - begin) / LOOKUPS;
        best = ns < best ? ns : best;
    }
    must(sum == 0, "values read");
    return best;
}

/* The peer: mdb_get of 8-byte keys under the same renew and reset, the value copied out
 * likewise. */
static double
lmdb_ns(const struct bench *b, size_t per_snapshot)
{
    static uint8_t value[VALUE], out[VALUE];
    char dir[96];
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    double best = 1e9;
    uint64_t sum = 0;

    memset(value, 1, sizeof(value));
    must(mdb_env_create(&env), "env");
    must(mdb_env_set_mapsize(env, (size_t)1 << 30), "mapsize");
    snprintf(dir, sizeof(dir), "%s.peer", b->dir);
    must(mdb_env_open(env, dir, MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOTLS, 0600), "peer");
    must(mdb_txn_begin(env, NULL, 0, &txn), "begin");
    must(mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &dbi), "dbi");
    for (uint64_t i = 0; i < ENTRIES; i++) {
        uint64_t id = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
        MDB_val key = {8, &id}, val = {VALUE, value};
        must(mdb_put(txn, dbi, &key, &val, 0), "peer put");
    }
    must(mdb_txn_commit(txn), "commit");
    must(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), "read");
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t begin = cpu_ns();
        for (size_t i = 0; i < LOOKUPS; i++) {
            if (i % per_snapshot == 0) {
                mdb_txn_reset(txn);
                must(mdb_txn_renew(txn), "renew");
            }
            uint64_t id = (b->order[i] + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);
            MDB_val key = {8, &id}, val;
            must(mdb_get(txn, dbi, &key, &val), "peer get");
            memcpy(out, val.mv_data, VALUE);
            sum += out[i % VALUE];
        }
        double ns = (double)(cpu_ns() - begin) / LOOKUPS;
        best = ns < best ? ns : best;
    }
    mdb_txn_abort(txn);
    mdb_env_close(env);
    unlink(dir);
    snprintf(dir, sizeof(dir), "%s.peer-lock", b->dir);
    unlink(dir);
    must(sum == 0, "values read");
    return best;
}

/* Entries a second with a mix of sizes up to 64 KiB, evicting to a quota of 256 MiB. */
static double
put_rate(struct bench *b)
{
    static uint8_t value[65536];
    char key[64];
    uint64_t begin = 0;

    cache_keeper_quota(b->cache, 256u << 20);
    for (uint64_t i = 0; i < 2 * PUTS; i++) {
        if (i == PUTS) {
            begin = cpu_ns(); /* the first half fills */
        }
        uint64_t mixed = i * UINT64_C(0x9e3779b97f4a7c15) >> 40;
        size_t len = mixed % 64 == 0 ? mixed % 65536 : mixed % 3000;
        int n = snprintf(key, sizeof(key), "prediction:nfl-wp@3#1f2e3d4c5b6a7988:%020llu",
                         (unsigned long long)i);
        must(item_put(b, bytes_of(key, (size_t)n), bytes_of(value, len)), "put");
        if (i % 64 == 63) {
            drain(b);
        }
    }
    drain(b);
    return PUTS / ((double)(cpu_ns() - begin) / 1e9);
}

/* Bytes of pages an entry of 1 KiB takes beyond its value. */
static double
overhead_bytes(struct bench *b)
{
    struct cache_usage usage;

    must(cache_usage(b->cache, &usage), "usage");
    return (double)usage.used_bytes / (double)usage.entries - VALUE;
}

static void
print_hits(struct bench *b, const char *name, const char *peer_name, size_t per_snapshot)
{
    double ours = hit_ns(b, per_snapshot);
    double peer = lmdb_ns(b, per_snapshot);

    printf("%s\t%.0f\tns\t%s\t%.0f\t%.2f\n", name, ours, peer_name, peer, peer / ours);
}

int
main(void)
{
    struct bench b = {0};
    struct cache_usage usage;

    bench_open(&b);
    entries_put(&b);
    double overhead = overhead_bytes(&b);
    print_hits(&b, "cache.hit_hot", "mdb_get, renew and reset each", 1);
    print_hits(&b, "cache.hit_hot_16", "mdb_get, renew and reset each 16", 16);
    double rate = put_rate(&b);
    must(cache_usage(b.cache, &usage), "usage");
    printf("cache.put_rate\t%.0f\tentries/s\t-\t-\t-\n", rate);
    printf("cache.overhead_1k\t%.0f\tbytes\t-\t-\t-\n", overhead);
    printf("cache.file_per_used\t%.3f\tratio\t-\t-\t-\n",
           (double)usage.file_blocks_bytes / (double)usage.used_bytes);
    cache_close(&b.cache);
    static const char *const names[] = {"data.mdb", "lock.mdb"};
    for (size_t i = 0; i < AUGURY_COUNT(names); i++) {
        char path[80];
        snprintf(path, sizeof(path), "%s/%s", b.dir, names[i]);
        unlink(path);
    }
    rmdir(b.dir);
    free(b.keys);
    free(b.order);
    return 0;
}
