/* SPDX-License-Identifier: MIT */
/*
 * bench_cache.c - the cache alone: cost of a hit (digest of the key's text, lookup, comparison,
 * copy of 1 KiB; keys by Zipf over 10,000, and uniform over a million) beside that of a plain LMDB
 * lookup of the same records by their 8-byte numbers with the same snapshots in the same run;
 * entries a second through ring, group commit and eviction, with values of 0.2 to 64 KiB; bytes
 * that an entry takes besides its value, its key's text of 57 bytes, counters,
 * ghosts and hints included.
 * Times are CPU times of this process: other work on the machine does not count.
 * One TSV line a figure: name, ours, unit, peer, peer's figure, ratio (above 1: we are better).
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

enum {
    KEY = 57,
    VALUE = 1024,
    LOOKUPS = 1000000,
    ROUNDS = 5,
    PUTS = 400000,
    PUTS_A_DRAIN = 256,
    TURNS_MAX = 1 << 20,
};
static const size_t map_bytes = (size_t)4 << 30;
static const uint64_t now_ms = UINT64_C(1700000000000);

struct bench {
    char dir[64];
    void *shared;
    size_t shared_bytes;
    struct cache *cache;
    unsigned entries;
    size_t value_len;
    uint32_t *order;
    uint32_t *turn_ns; /* of put_rate; turns of them */
    size_t turns;
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
        uint64_t begin = b->turn_ns != NULL ? cpu_ns() : 0;
        must(cache_keeper_turn(b->cache, now_ms, &more), "turn");
        if (b->turn_ns != NULL && b->turns < TURNS_MAX) {
            b->turn_ns[b->turns++] = (uint32_t)(cpu_ns() - begin);
        }
    }
}

static uint64_t
random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Which entry each lookup asks for: Zipf with exponent 0.99, the popular ones spread over the
 * table. */
static void
order_by_zipf(struct bench *b)
{
    double *until = calloc(b->entries, sizeof(*until));
    double sum = 0;
    uint64_t state = 88172645463325252u;

    must(until == NULL, "calloc");
    for (unsigned i = 0; i < b->entries; i++) {
        sum += pow(i + 1, -0.99);
        until[i] = sum;
    }
    for (size_t i = 0; i < LOOKUPS; i++) {
        double at = (double)(random_next(&state) >> 11) * 0x1p-53 * sum;
        unsigned low = 0, high = b->entries - 1;
        while (low < high) {
            unsigned middle = (low + high) / 2;
            if (until[middle] < at) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        b->order[i] = (uint32_t)(low * UINT64_C(7919) % b->entries);
    }
    free(until);
}

static void
order_uniform(struct bench *b)
{
    uint64_t state = 88172645463325252u;

    for (size_t i = 0; i < LOOKUPS; i++) {
        b->order[i] = (uint32_t)(random_next(&state) % b->entries);
    }
}

/* The texts are made as they are asked for: a server has its keys at hand, not in memory as far
 * away as the entries. */
static struct bytes
key_of(uint64_t number, char room[static 64])
{
    static const char begin[] = "prediction:nfl-wp@3#1f2e3d4c5b6a7988:";
    size_t len = sizeof(begin) - 1;

    memcpy(room, begin, len);
    for (size_t i = KEY; i > len; i--) {
        room[i - 1] = (char)('0' + number % 10);
        number /= 10;
    }
    return bytes_of(room, KEY);
}

static void
bench_open(struct bench *b, unsigned entries, size_t value_len)
{
    enum { RING = 8 << 20 };

    *b = (struct bench){.entries = entries, .value_len = value_len};
    snprintf(b->dir, sizeof(b->dir), "%s/augury-bench-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    must(mkdtemp(b->dir) == NULL, "mkdtemp");
    struct cache_board_options board = {.ring_bytes = RING,
                                        .slots = 1,
                                        .map_bytes = map_bytes,
                                        .keeper_wake_fd = eventfd(0, EFD_NONBLOCK)};
    b->shared_bytes = cache_board_bytes(&board);
    b->shared = shm_map(b->shared_bytes);
    must(b->shared == NULL, "shm_map");
    struct cache_options options = {
        .dir = b->dir,
        .map_bytes = map_bytes,
        .is_keeper = true,
        .board = cache_board_attach(b->shared, &board),
    };
    must(cache_open(&options, &b->cache, NULL, NULL), "open");
    b->order = calloc(LOOKUPS, sizeof(*b->order));
    must(b->order == NULL, "calloc");
}

static void
bench_close(struct bench *b)
{
    static const char *const names[] = {"data.mdb", "lock.mdb"};

    cache_close(&b->cache);
    for (size_t i = 0; i < AUGURY_COUNT(names); i++) {
        char path[80];
        snprintf(path, sizeof(path), "%s/%s", b->dir, names[i]);
        unlink(path);
    }
    rmdir(b->dir);
    shm_unmap(&b->shared, b->shared_bytes);
    free(b->order);
    free(b->turn_ns);
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
    char room[64];

    memset(value, 1, sizeof(value));
    for (unsigned i = 0; i < b->entries; i++) {
        must(item_put(b, key_of(i, room), bytes_of(value, b->value_len)), "put");
        if (i % 100 == 0) {
            drain(b);
        }
    }
    drain(b);
    must(cache_keeper_tick(b->cache, now_ms), "tick");
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
    char room[64];

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t begin = cpu_ns();
        for (size_t i = 0; i < LOOKUPS; i += per_snapshot) {
            must(cache_snapshot_begin(b->cache), "snapshot");
            for (size_t k = i; k < i + per_snapshot; k++) {
                struct cache_query query = {.class = CACHE_PREDICTION,
                                            .key = key_of(b->order[k], room),
                                            .now_wall_ms = now_ms};
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
    must(mdb_env_set_mapsize(env, map_bytes), "mapsize");
    snprintf(dir, sizeof(dir), "%s.peer", b->dir);
    must(mdb_env_open(env, dir, MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOTLS, 0600), "peer");
    must(mdb_txn_begin(env, NULL, 0, &txn), "begin");
    must(mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &dbi), "dbi");
    for (uint64_t i = 0; i < b->entries; i++) {
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

static int
compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Entries a second with values of 0.2 to 64 KiB (2.1 KiB on average), evicting to a quota of
 * 256 MiB, in groups as the keeper makes them. */
static double
put_rate(struct bench *b)
{
    static uint8_t value[65536];
    uint64_t begin = 0;
    char room[64];

    cache_keeper_quota(b->cache, 256u << 20);
    for (uint64_t i = 0; i < 2 * PUTS; i++) {
        if (i == PUTS) {
            /* The first half fills. */
            b->turn_ns = calloc(TURNS_MAX, sizeof(*b->turn_ns));
            must(b->turn_ns == NULL, "calloc");
            begin = cpu_ns();
        }
        uint64_t mixed = i * UINT64_C(0x9e3779b97f4a7c15) >> 40;
        size_t len = 200 + (mixed % 64 == 0 ? mixed % (65536 - 200) : mixed % 2800);
        must(item_put(b, key_of(i, room), bytes_of(value, len)), "put");
        if (i % PUTS_A_DRAIN == PUTS_A_DRAIN - 1) {
            drain(b);
        }
    }
    drain(b);
    return PUTS / ((double)(cpu_ns() - begin) / 1e9);
}

/* Bytes that an entry takes beyond its value: pages, its share of counters, ghosts, hints. */
static double
overhead_bytes(struct bench *b)
{
    struct cache_usage usage;

    must(cache_usage(b->cache, &usage), "usage");
    return (double)(usage.used_bytes + usage.board_bytes) / (double)usage.entries -
           (double)b->value_len;
}

static void
print_hits(struct bench *b, const char *name, const char *peer_name, size_t per_snapshot)
{
    double ours = hit_ns(b, per_snapshot);
    double peer = lmdb_ns(b, per_snapshot);

    printf("%s\t%.0f\tns\t%s\t%.0f\t%.2f\n", name, ours, peer_name, peer, peer / ours);
    fflush(stdout);
}

static void
bench_hot(void)
{
    struct bench b;

    bench_open(&b, 10000, VALUE);
    entries_put(&b);
    order_by_zipf(&b);
    print_hits(&b, "cache.hit_hot", "mdb_get, renew and reset each", 1);
    print_hits(&b, "cache.hit_hot_16", "mdb_get, renew and reset each 16", 16);
    bench_close(&b);
}

static void
bench_million(void)
{
    struct bench b;

    bench_open(&b, 1000000, VALUE);
    entries_put(&b);
    order_uniform(&b);
    print_hits(&b, "cache.hit_1m", "mdb_get, renew and reset each", 1);
    printf("cache.overhead_1k\t%.0f\tbytes\t-\t-\t-\n", overhead_bytes(&b));
    bench_close(&b);
    bench_open(&b, 1000000, 100);
    entries_put(&b);
    printf("cache.overhead_100\t%.0f\tbytes\t-\t-\t-\n", overhead_bytes(&b));
    bench_close(&b);
}

static void
bench_puts(void)
{
    struct bench b;
    struct cache_usage usage;

    bench_open(&b, 0, 0);
    double rate = put_rate(&b);
    must(cache_usage(b.cache, &usage), "usage");
    qsort(b.turn_ns, b.turns, sizeof(*b.turn_ns), compare_u32);
    printf("cache.put_rate\t%.0f\tentries/s\t-\t-\t-\n", rate);
    size_t p50 = b.turns / 2, p99 = b.turns / 100 * 99;
    printf("cache.commit_p50\t%.0f\tus\t-\t-\t-\n", (double)b.turn_ns[p50] / 1e3);
    printf("cache.commit_p99\t%.0f\tus\t-\t-\t-\n", (double)b.turn_ns[p99] / 1e3);
    printf("cache.file_per_used\t%.3f\tratio\t-\t-\t-\n",
           (double)usage.file_blocks_bytes / (double)usage.used_bytes);
    bench_close(&b);
}

/* An argument names one of the three parts. */
int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } parts[] = {{"hot", bench_hot}, {"million", bench_million}, {"puts", bench_puts}};

    for (size_t i = 0; i < AUGURY_COUNT(parts); i++) {
        if (argc < 2 || strcmp(argv[1], parts[i].name) == 0) {
            parts[i].run();
        }
    }
    return 0;
}
