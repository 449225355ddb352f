/* SPDX-License-Identifier: MIT */
/* test_cache.c - what one keeper promises: answers, borders, expiry, eviction, purge, verification,
 * damage. */
#include "cache_case.h"

#include <sys/mount.h>

#include "../../../src/cache/cache_priv.h"
#include "../../tap.h"

enum { MIB = 1 << 20 };

static void
values_of_every_size_come_back_whole(void)
{
    static const size_t sizes[] = {0,    1,    8,    100,  1978, 1979,  1980,
                                   2022, 2023, 2047, 2048, 3979, 3980,  3981,
                                   4031, 4032, 4080, 4081, 8160, 65536, 1 << 20};
    struct cache_case c;
    size_t len = 0;

    CHECK(case_begin(&c, 64 * MIB, 4 * MIB));
    for (size_t i = 0; i < AUGURY_COUNT(sizes); i++) {
        CHECK_INT(case_put(&c, i, sizes[i], 60), 0);
    }
    CHECK_INT(case_drain(&c), 0);
    for (size_t i = 0; i < AUGURY_COUNT(sizes); i++) {
        CHECK_INT(case_get(&c, i, &len, case_now), 0);
        CHECK_INT(len, sizes[i]);
    }
    CHECK_INT(stats_sum(c.stats, STATS_CACHE_HITS_PREDICTION), AUGURY_COUNT(sizes));
    CHECK_INT(case_get(&c, 999, &len, case_now), AUGURY_NOT_FOUND);
    CHECK_INT(stats_sum(c.stats, STATS_CACHE_MISSES_PREDICTION), 1);
    case_fini(&c);
}

static void
what_is_too_large_is_refused_and_counted(void)
{
    struct cache_case c;
    static uint8_t value[CACHE_VALUE_MAX + 1];
    static uint8_t text[CACHE_KEY_TEXT_MAX + 1];

    memset(text, 'k', sizeof(text));
    CHECK(case_begin(&c, 64 * MIB, 4 * MIB));
    CHECK_INT(case_put_at(&c, CACHE_OBJECT, bytes_of_text("object:a"),
                          bytes_of(value, sizeof(value)), case_now, 60),
              AUGURY_ERR_LIMIT);
    CHECK_INT(case_put_at(&c, CACHE_OBJECT, bytes_of(text, sizeof(text)), bytes_of(value, 1),
                          case_now, 60),
              AUGURY_ERR_LIMIT);
    CHECK_INT(stats_sum(c.stats, STATS_CACHE_PUTS_DROPPED), 2);
    CHECK_INT(case_put_at(&c, CACHE_OBJECT, bytes_of(text, CACHE_KEY_TEXT_MAX),
                          bytes_of(value, CACHE_VALUE_MAX), case_now, 60),
              0);
    CHECK_INT(case_drain(&c), 0);
    struct cache_hit hit;
    CHECK_INT(cache_snapshot_begin(c.cache), 0);
    CHECK_INT(case_look(&c, CACHE_OBJECT, bytes_of(text, CACHE_KEY_TEXT_MAX), case_now, &hit), 0);
    CHECK(bytes_equal(hit.value, bytes_of(value, CACHE_VALUE_MAX)));
    cache_snapshot_end(c.cache);
    case_fini(&c);
}

static void
a_full_ring_drops_and_counts_and_never_waits(void)
{
    struct cache_case c;
    size_t len;
    uint64_t taken = 0;

    CHECK(case_begin(&c, 64 * MIB, 64 * 1024));
    while (case_put(&c, taken, 1000, 60) == 0) {
        taken++;
    }
    CHECK(taken >= 50 && taken <= 65);
    CHECK_INT(case_put(&c, taken, 1000, 60), AUGURY_ERR_FULL);
    CHECK_INT(stats_sum(c.stats, STATS_CACHE_PUTS_DROPPED), 2);
    CHECK_INT(case_drain(&c), 0);
    for (uint64_t i = 0; i < taken; i++) {
        CHECK_INT(case_get(&c, i, &len, case_now), 0);
    }
    CHECK_INT(case_put(&c, taken, 1000, 60), 0);
    case_fini(&c);
}

static void
an_entry_expires_and_is_swept(void)
{
    struct cache_case c;
    struct cache_usage usage;
    size_t len;

    CHECK(case_begin(&c, 64 * MIB, 4 * MIB));
    for (uint64_t i = 0; i < 2000; i++) {
        CHECK_INT(case_put(&c, i, i % 2 == 0 ? 100 : 5000, i % 2 == 0 ? 10 : 1000), 0);
        if (i % 100 == 0) {
            CHECK_INT(case_drain(&c), 0);
        }
    }
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(case_get(&c, 10, &len, case_now + 9999), 0);
    CHECK_INT(case_get(&c, 10, &len, case_now + 10000), AUGURY_NOT_FOUND);
    CHECK_INT(stats_sum(c.stats, STATS_CACHE_EXPIRED), 1);
    CHECK_INT(case_get(&c, 11, &len, case_now + 10000), 0);
    for (int i = 0; i < 50; i++) {
        CHECK_INT(cache_keeper_tick(c.cache, case_now + 10000), 0);
    }
    CHECK_INT(stats_sum(c.stats, STATS_CACHE_EXPIRED_SWEPT), 1000);
    CHECK_INT(cache_usage(c.cache, &usage), 0);
    CHECK_INT(usage.entries, 1000);
    CHECK_INT(usage.entries_of_class[CACHE_PREDICTION], 1000);
    CHECK_INT(case_get(&c, 10, &len, case_now), AUGURY_NOT_FOUND);
    CHECK_INT(case_get(&c, 11, &len, case_now), 0);
    case_fini(&c);
}

static void
the_last_put_of_a_key_wins_and_leaves_nothing_behind(void)
{
    struct cache_case c;
    struct cache_usage usage;
    struct cache_hit hit;
    static uint8_t large[20000];

    CHECK(case_begin(&c, 64 * MIB, 4 * MIB));
    struct bytes key = bytes_of_text("object:logo");
    for (int round = 0; round < 50; round++) {
        CHECK_INT(case_put_at(&c, CACHE_OBJECT, key, bytes_of_text("old"), case_now, 60), 0);
        CHECK_INT(case_put_at(&c, CACHE_OBJECT, key, bytes_of(large, sizeof(large)), case_now, 60),
                  0);
        CHECK_INT(case_put_at(&c, CACHE_OBJECT, key, bytes_of_text("new"), case_now, 60), 0);
        CHECK_INT(case_drain(&c), 0);
    }
    CHECK_INT(cache_snapshot_begin(c.cache), 0);
    CHECK_INT(case_look(&c, CACHE_OBJECT, key, case_now, &hit), 0);
    CHECK(bytes_equal_text(hit.value, "new"));
    CHECK_INT(hit.created_wall_ms, case_now);
    CHECK_INT(hit.expires_wall_ms, case_now + 60000);
    cache_snapshot_end(c.cache);
    CHECK_INT(cache_usage(c.cache, &usage), 0);
    CHECK_INT(usage.entries, 1);
    CHECK_INT(usage.entries_of_class[CACHE_OBJECT], 1);
    CHECK(usage.used_bytes < 64 * 4096);
    case_fini(&c);
}

/* Sizes from 0 to 64 KiB, most of them small. */
static size_t
churn_size(uint64_t number)
{
    uint64_t mixed = number * UINT64_C(0x9e3779b97f4a7c15) >> 40;
    return mixed % 16 == 0 ? mixed % 65536 : mixed % 3000;
}

static void
a_full_cache_keeps_its_quota_and_what_is_left_is_whole(void)
{
    enum { PUTS = 60000, QUOTA = 16 * MIB };
    struct cache_case c;
    struct cache_usage usage;
    uint64_t most = 0;
    size_t len;

    CHECK(case_begin(&c, 256 * MIB, 4 * MIB));
    cache_keeper_quota(c.cache, QUOTA);
    for (uint64_t i = 0; i < PUTS; i++) {
        CHECK_INT(case_put(&c, i, churn_size(i), 600), 0);
        if (i % 50 == 0) {
            CHECK_INT(case_drain(&c), 0);
            CHECK_INT(cache_usage(c.cache, &usage), 0);
            most = usage.used_bytes > most ? usage.used_bytes : most;
        }
    }
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(cache_usage(c.cache, &usage), 0);
    CHECK(most <= QUOTA);
    CHECK(usage.used_bytes > QUOTA / 10 * 8);
    CHECK(usage.file_blocks_bytes < QUOTA / 10 * 14);
    CHECK_INT(usage.quota_bytes, QUOTA);
    uint64_t found = 0;
    for (uint64_t i = 0; i < PUTS; i++) {
        int rc = case_get(&c, i, &len, case_now);
        CHECK(rc == 0 ? len == churn_size(i) : rc == AUGURY_NOT_FOUND);
        found += rc == 0 ? 1 : 0;
    }
    CHECK_INT(found, usage.entries);
    CHECK_INT(case_get(&c, PUTS - 1, &len, case_now), 0);
    CHECK_INT(stats_sum(c.stats, STATS_CACHE_EVICTED), PUTS - usage.entries);
    printf("# most %.3f of the quota, at the end %.3f, file %.3f, %llu entries\n",
           (double)most / QUOTA, (double)usage.used_bytes / QUOTA,
           (double)usage.file_blocks_bytes / QUOTA, (unsigned long long)usage.entries);
    case_fini(&c);
}

static void
a_lower_quota_is_kept_without_new_entries(void)
{
    struct cache_case c;
    struct cache_usage usage;

    CHECK(case_begin(&c, 128 * MIB, 4 * MIB));
    for (uint64_t i = 0; i < 20000; i++) {
        CHECK_INT(case_put(&c, i, 200 + i % 900, 600), 0);
        if (i % 500 == 0) {
            CHECK_INT(case_drain(&c), 0);
        }
    }
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(cache_usage(c.cache, &usage), 0);
    CHECK(usage.used_bytes > 12 * MIB);
    cache_keeper_quota(c.cache, 4 * MIB);
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(cache_usage(c.cache, &usage), 0);
    CHECK(usage.used_bytes <= 4 * MIB);
    /* Pages thinned out by many removals are joined only when they are three quarters empty; new
     * entries fill them. */
    uint64_t thinned = usage.entries;
    CHECK(thinned > 500);
    for (uint64_t i = 20000; i < 30000; i++) {
        CHECK_INT(case_put(&c, i, 200 + i % 900, 600), 0);
        if (i % 100 == 0) {
            CHECK_INT(case_drain(&c), 0);
        }
    }
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(cache_usage(c.cache, &usage), 0);
    CHECK(usage.used_bytes <= 4 * MIB);
    CHECK(usage.entries > 2500);
    printf("# %llu entries left, %llu after new ones\n", (unsigned long long)thinned,
           (unsigned long long)usage.entries);
    cache_keeper_quota(c.cache, UINT64_MAX);
    CHECK_INT(cache_usage(c.cache, &usage), 0);
    CHECK_INT(usage.quota_bytes, 128 * (uint64_t)MIB / 10 * 7);
    case_fini(&c);
}

static void
a_map_too_small_for_its_quota_drops_and_goes_on(void)
{
    struct cache_case c;
    size_t len;
    bool more;

    CHECK(case_begin(&c, 2 * MIB, 4 * MIB));
    /* Past the public clamp: as if the map were full of what readers hold. */
    c.cache->keeper.state.quota_bytes = 64 * (uint64_t)MIB;
    for (uint64_t i = 0; i < 3000; i++) {
        CHECK_INT(case_put(&c, i, 3000, 600), 0);
        if (i % 100 == 99) {
            do {
                int rc = cache_keeper_turn(c.cache, case_now, &more);
                CHECK(rc == 0 || rc == AUGURY_ERR_FULL);
            } while (more);
        }
    }
    c.cache->keeper.state.quota_bytes = 1 * (uint64_t)MIB;
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(case_put(&c, 5000, 3000, 600), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(case_get(&c, 5000, &len, case_now), 0);
    case_fini(&c);
}

static void
purge_and_flush_remove_also_what_is_still_in_the_rings(void)
{
    struct cache_case c;
    struct cache_usage usage;
    uint64_t flushed = 0;
    char key[64];
    size_t len;

    CHECK(case_begin(&c, 64 * MIB, 4 * MIB));
    CHECK_INT(case_put(&c, 1, 100, 600), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(case_put(&c, 2, 9000, 600), 0);
    CHECK_INT(cache_keeper_purge(c.cache, case_key(3, key, sizeof(key))), AUGURY_NOT_FOUND);
    CHECK_INT(cache_keeper_purge(c.cache, case_key(1, key, sizeof(key))), 0);
    CHECK_INT(case_put(&c, 4, 9000, 600), 0);
    CHECK_INT(cache_keeper_purge(c.cache, case_key(4, key, sizeof(key))), 0);
    CHECK_INT(case_get(&c, 1, &len, case_now), AUGURY_NOT_FOUND);
    CHECK_INT(case_get(&c, 4, &len, case_now), AUGURY_NOT_FOUND);
    CHECK_INT(case_get(&c, 2, &len, case_now), 0);
    CHECK_INT(case_put(&c, 5, 100, 600), 0);
    CHECK_INT(cache_keeper_flush(c.cache, &flushed), 0);
    CHECK_INT(stats_of_slot(c.stats, 0, STATS_CACHE_ENTRIES), 0); /* and not a second later */
    CHECK_INT(flushed, 2);
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(case_get(&c, 5, &len, case_now), AUGURY_NOT_FOUND);
    CHECK_INT(case_get(&c, 2, &len, case_now), AUGURY_NOT_FOUND);
    CHECK_INT(cache_usage(c.cache, &usage), 0);
    CHECK_INT(usage.entries, 0);
    CHECK_INT(usage.entries_of_class[CACHE_PREDICTION], 0);
    CHECK_INT(case_put(&c, 6, 100, 600), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(case_get(&c, 6, &len, case_now), 0);
    case_fini(&c);
}

static void
a_purge_reaches_what_lies_last_in_full_rings(void)
{
    enum { COUNT = 10000 };
    struct cache_case c;
    char key[64];
    size_t len;

    CHECK(case_begin(&c, 64 * MIB, 4 * MIB));
    for (uint64_t i = 0; i < COUNT; i++) {
        CHECK_INT(case_put(&c, i, 8, 600), 0);
    }
    CHECK_INT(cache_keeper_purge(c.cache, case_key(COUNT - 1, key, sizeof(key))), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(case_get(&c, COUNT - 1, &len, case_now), AUGURY_NOT_FOUND);
    CHECK_INT(case_get(&c, COUNT - 2, &len, case_now), 0);
    case_fini(&c);
}

/* When the wall clock is put back, an entry must not live for that much longer. */
static void
an_entry_from_the_future_is_a_miss_until_it_is_made_anew(void)
{
    struct cache_case c;
    struct bytes key = bytes_of_text("prediction:wp@3:row");
    uint64_t earlier = case_now - 3600 * 1000;
    struct cache_hit hit;

    CHECK(case_begin(&c, 64 * MIB, 4 * MIB));
    CHECK_INT(case_put_at(&c, CACHE_PREDICTION, key, bytes_of_text("v"), case_now, 60), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(cache_snapshot_begin(c.cache), 0);
    CHECK_INT(case_look(&c, CACHE_PREDICTION, key, case_now - 1000, &hit), 0);
    CHECK_INT(case_look(&c, CACHE_PREDICTION, key, earlier, &hit), AUGURY_NOT_FOUND);
    cache_snapshot_end(c.cache);
    bool more = false;
    CHECK_INT(case_put_at(&c, CACHE_PREDICTION, key, bytes_of_text("v"), earlier, 60), 0);
    CHECK_INT(cache_keeper_turn(c.cache, earlier, &more), 0);
    CHECK_INT(cache_snapshot_begin(c.cache), 0);
    CHECK_INT(case_look(&c, CACHE_PREDICTION, key, earlier, &hit), 0);
    CHECK_INT(hit.created_wall_ms, earlier);
    cache_snapshot_end(c.cache);
    case_fini(&c);
}

static void
put_and_check_created(struct cache_case *c, uint64_t now, uint64_t created)
{
    struct bytes key = bytes_of_text("prediction:wp@3:row");
    struct cache_hit hit;

    CHECK_INT(case_put_at(c, CACHE_PREDICTION, key, bytes_of_text("v"), now, 60), 0);
    CHECK_INT(case_drain(c), 0);
    CHECK_INT(cache_snapshot_begin(c->cache), 0);
    CHECK_INT(case_look(c, CACHE_PREDICTION, key, now, &hit), 0);
    cache_snapshot_end(c->cache);
    CHECK_INT(hit.created_wall_ms, created);
}

/* Workers that miss at once do so some milliseconds apart. */
static void
an_answer_that_several_workers_hand_in_is_written_once(void)
{
    struct cache_case c;

    CHECK(case_begin(&c, 64 * MIB, 4 * MIB));
    put_and_check_created(&c, case_now, case_now);
    put_and_check_created(&c, case_now + 300, case_now);
    put_and_check_created(&c, case_now + 5000, case_now + 5000);
    CHECK_INT(stats_sum(c.stats, STATS_CACHE_COMMITTED), 2);
    case_fini(&c);
}

/* Writes an entry under another key's lo: what a 64-bit collision would leave. */
static int
forge(struct cache_case *c, const struct cache_entry *entry)
{
    struct store_txn *txn = NULL;
    struct cache_state state = c->cache->keeper.state;
    struct cache_entry old;

    int rc = store_begin(c->cache->store, &txn);
    if (rc == 0 && cache_entry_find(txn, entry->lo, &old) == 0) {
        rc = cache_entry_del(txn, &state, &old);
    }
    if (rc == 0) {
        rc = cache_entry_put(txn, &state, CACHE_QUEUE_SMALL, entry);
    }
    rc = rc == 0 ? cache_state_write(txn, &state) : rc;
    rc = rc == 0 ? store_commit(&txn) : rc;
    store_abort(&txn);
    c->cache->keeper.state = state;
    return rc;
}

static void
a_hit_compares_the_text_the_class_and_the_value(void)
{
    struct cache_case c;
    char room[64];
    size_t len;
    uint64_t collisions = 0;

    CHECK(case_begin(&c, 64 * MIB, 4 * MIB));
    struct bytes key = case_key(7, room, sizeof(room));
    struct bytes value = bytes_of_text("another key's answer");
    struct cache_entry good = {
        .lo = cache_digest(c.cache, key).lo,
        .created_wall_ms = case_now,
        .expires_wall_ms = case_now + 60000,
        .value_check = cache_value_check(value),
        .class = CACHE_PREDICTION,
        .text = key,
        .value = value,
    };
    struct cache_entry other_text = good, longer_text = good, other_class = good;
    longer_text.text = bytes_of_text("prediction:wp@3#0123456789abcdef:00000000000000070");
    other_text.text = bytes_of_text("prediction:wp@3#0123456789abcdef:0000000000000008");
    other_class.class = CACHE_OBJECT;
    const struct cache_entry *forged[] = {&other_text, &longer_text, &other_class};
    for (size_t i = 0; i < AUGURY_COUNT(forged); i++) {
        CHECK_INT(forge(&c, forged[i]), 0);
        CHECK_INT(case_get(&c, 7, &len, case_now), AUGURY_NOT_FOUND);
        collisions++;
        CHECK_INT(stats_sum(c.stats, STATS_CACHE_COLLISIONS), collisions);
    }
    /* The same entry unforged is found: the value is not the key's own, and so known as such. */
    CHECK_INT(forge(&c, &good), 0);
    CHECK_INT(case_get(&c, 7, &len, case_now), -99);
    good.value_check ^= 1;
    CHECK_INT(forge(&c, &good), 0);
    CHECK_INT(case_get(&c, 7, &len, case_now), AUGURY_NOT_FOUND);
    /* A value that does not match its check is damage: the keeper makes the environment anew. */
    CHECK_INT(cache_keeper_tick(c.cache, case_now), 0);
    CHECK_INT(stats_sum(c.stats, STATS_CACHE_REPLACED), 1);
    CHECK_INT(case_put(&c, 7, 100, 60), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(case_get(&c, 7, &len, case_now), 0);
    case_fini(&c);
}

static void
a_put_takes_the_place_of_a_colliding_entry(void)
{
    struct cache_case c;
    char room[64];
    struct cache_usage usage;
    size_t len;

    CHECK(case_begin(&c, 64 * MIB, 4 * MIB));
    struct bytes value = bytes_of_text("x");
    struct cache_entry entry = {
        .lo = cache_digest(c.cache, case_key(7, room, sizeof(room))).lo,
        .created_wall_ms = case_now,
        .expires_wall_ms = case_now + 60000,
        .value_check = cache_value_check(value),
        .class = CACHE_OBJECT,
        .text = bytes_of_text("object:other"),
        .value = value,
    };
    CHECK_INT(forge(&c, &entry), 0);
    CHECK_INT(case_put(&c, 7, 100, 60), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(case_get(&c, 7, &len, case_now), 0);
    CHECK_INT(cache_usage(c.cache, &usage), 0);
    CHECK_INT(usage.entries, 1);
    CHECK_INT(usage.entries_of_class[CACHE_OBJECT], 0);
    case_fini(&c);
}

static void
the_secret_is_random_and_for_the_owner_alone(void)
{
    struct cache_case a, b;
    uint8_t zero[DIGEST_SECRET_BYTES] = {0};
    char path[300];
    struct stat st;

    mode_t old = umask(0);
    CHECK(case_begin(&a, 16 * MIB, 64 * 1024));
    CHECK(case_begin(&b, 16 * MIB, 64 * 1024));
    umask(old);
    CHECK(memcmp(a.cache->secret, zero, sizeof(zero)) != 0);
    CHECK(memcmp(a.cache->secret, b.cache->secret, sizeof(zero)) != 0);
    CHECK(!digest_equal(cache_digest(a.cache, bytes_of_text("k")),
                        cache_digest(b.cache, bytes_of_text("k"))));
    case_path(&a, "data.mdb", path, sizeof(path));
    CHECK_INT(stat(path, &st), 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    uint8_t before[DIGEST_SECRET_BYTES];
    memcpy(before, a.cache->secret, sizeof(before));
    cache_close(&a.cache);
    CHECK_INT(case_open(&a, true, 0, NULL), 0);
    CHECK(memcmp(a.cache->secret, before, sizeof(before)) == 0);
    case_fini(&a);
    case_fini(&b);
}

static void
entries_survive_a_restart(void)
{
    struct cache_case c;
    bool was_damaged = true;
    size_t len;

    CHECK(case_begin(&c, 64 * MIB, 4 * MIB));
    CHECK_INT(case_put(&c, 1, 50000, 600), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(case_put(&c, 2, 100, 600), 0); /* stays in the ring */
    cache_close(&c.cache);
    CHECK_INT(case_open(&c, true, 0, &was_damaged), 0);
    CHECK(!was_damaged);
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(case_get(&c, 1, &len, case_now), 0);
    CHECK_INT(case_get(&c, 2, &len, case_now), 0);
    case_fini(&c);
}

/* Overwrites part of data.mdb; len 0 truncates at at. */
static bool
harm(struct cache_case *c, off_t at, size_t len)
{
    char path[300];

    case_path(c, "data.mdb", path, sizeof(path));
    if (len == 0) {
        return truncate(path, at) == 0;
    }
    FILE *file = fopen(path, "r+b");
    bool good = file != NULL && fseek(file, at, SEEK_SET) == 0;
    for (size_t i = 0; good && i < len; i++) {
        good = fputc((int)(i * 151 + 7) & 255, file) != EOF;
    }
    return file != NULL && fclose(file) == 0 && good;
}

static void
a_damaged_file_is_replaced_and_the_cache_goes_on(void)
{
    static const struct {
        off_t at;
        size_t len;
    } harms[] = {{0, 0}, {100, 0}, {8192, 0}, {40960, 0}, {0, 8192}, {16, 200}, {4096, 4096}};

    for (size_t i = 0; i < AUGURY_COUNT(harms); i++) {
        struct cache_case c;
        bool was_damaged = false;
        size_t len;

        CHECK(case_begin(&c, 64 * MIB, 4 * MIB));
        for (uint64_t k = 0; k < 500; k++) {
            CHECK_INT(case_put(&c, k, 1000, 600), 0);
        }
        CHECK_INT(case_drain(&c), 0);
        cache_close(&c.cache);
        CHECK(harm(&c, harms[i].at, harms[i].len));
        CHECK_INT(case_open(&c, true, 0, &was_damaged), 0);
        CHECK(was_damaged);
        CHECK_INT(stats_sum(c.stats, STATS_CACHE_REPLACED), 1);
        CHECK_INT(case_get(&c, 1, &len, case_now), AUGURY_NOT_FOUND);
        CHECK_INT(case_put(&c, 1, 1000, 600), 0);
        CHECK_INT(case_drain(&c), 0);
        CHECK_INT(case_get(&c, 1, &len, case_now), 0);
        case_fini(&c);
    }
}

static void
a_full_file_system_turns_the_cache_off_until_there_is_room(void)
{
    struct cache_case c;
    size_t len;
    bool more;
    int rc = 0;

    CHECK(case_init(&c, 64 * MIB, 4 * MIB));
    if (mount("tmpfs", c.dir, "tmpfs", 0, "size=2m") != 0) {
        case_fini(&c);
        SKIP("no right to mount a tmpfs");
    }
    rc = case_open(&c, true, 0, NULL);
    for (uint64_t i = 0; rc == 0 && i < 5000; i++) {
        rc = case_put(&c, i, 1000, 600);
        if (rc == 0 && i % 20 == 0) {
            rc = cache_keeper_turn(c.cache, case_now, &more);
        }
    }
    int refused = rc;
    int missed = case_get(&c, 1, &len, case_now);
    int dropped = case_put(&c, 1, 100, 60);
    uint64_t alarms = stats_sum(c.stats, STATS_CACHE_COMMIT_FAILURES);
    /* More room, and the time of the next try has come. */
    int grown = mount("tmpfs", c.dir, "tmpfs", MS_REMOUNT, "size=16m");
    c.cache->keeper.retry_mono_ms = 0;
    int ticked = cache_keeper_tick(c.cache, case_now);
    int put = case_put(&c, 9999, 1000, 600);
    int drained = case_drain(&c);
    int found = case_get(&c, 9999, &len, case_now);
    cache_close(&c.cache);
    umount(c.dir);
    case_fini(&c);
    CHECK_INT(refused, AUGURY_ERR_IO);
    CHECK_INT(missed, AUGURY_NOT_FOUND);
    CHECK_INT(dropped, AUGURY_ERR_FULL);
    CHECK(alarms >= 1);
    CHECK_INT(grown, 0);
    CHECK_INT(ticked, 0);
    CHECK_INT(put, 0);
    CHECK_INT(drained, 0);
    CHECK_INT(found, 0);
}

static void
classes_are_counted_apart(void)
{
    struct cache_case c;
    struct cache_usage usage;
    struct cache_hit hit;

    CHECK(case_begin(&c, 64 * MIB, 4 * MIB));
    for (int class = 0; class < CACHE_CLASS_COUNT; class ++) {
        const char *name = cache_class_name((enum cache_class) class);
        CHECK_INT(case_put_at(&c, (enum cache_class) class, bytes_of_text(name),
                              bytes_of_text(name), case_now, 60),
                  0);
    }
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(cache_snapshot_begin(c.cache), 0);
    for (int class = 0; class < CACHE_CLASS_COUNT; class ++) {
        const char *name = cache_class_name((enum cache_class) class);
        CHECK_INT(case_look(&c, (enum cache_class) class, bytes_of_text(name), case_now, &hit), 0);
        CHECK(bytes_equal_text(hit.value, name));
    }
    cache_snapshot_end(c.cache);
    CHECK_INT(stats_sum(c.stats, STATS_CACHE_HITS_OBJECT), 1);
    CHECK_INT(stats_sum(c.stats, STATS_CACHE_HITS_PREDICTION), 1);
    CHECK_INT(cache_usage(c.cache, &usage), 0);
    for (int class = 0; class < CACHE_CLASS_COUNT; class ++) {
        CHECK_INT(usage.entries_of_class[class], 1);
    }
    CHECK_INT(usage.oldest_created_wall_ms, case_now);
    case_fini(&c);
}

int
main(void)
{
    TAP_RUN(values_of_every_size_come_back_whole);
    TAP_RUN(what_is_too_large_is_refused_and_counted);
    TAP_RUN(a_full_ring_drops_and_counts_and_never_waits);
    TAP_RUN(an_entry_expires_and_is_swept);
    TAP_RUN(the_last_put_of_a_key_wins_and_leaves_nothing_behind);
    TAP_RUN(a_full_cache_keeps_its_quota_and_what_is_left_is_whole);
    TAP_RUN(a_lower_quota_is_kept_without_new_entries);
    TAP_RUN(a_map_too_small_for_its_quota_drops_and_goes_on);
    TAP_RUN(purge_and_flush_remove_also_what_is_still_in_the_rings);
    TAP_RUN(a_purge_reaches_what_lies_last_in_full_rings);
    TAP_RUN(an_entry_from_the_future_is_a_miss_until_it_is_made_anew);
    TAP_RUN(an_answer_that_several_workers_hand_in_is_written_once);
    TAP_RUN(a_hit_compares_the_text_the_class_and_the_value);
    TAP_RUN(a_put_takes_the_place_of_a_colliding_entry);
    TAP_RUN(the_secret_is_random_and_for_the_owner_alone);
    TAP_RUN(entries_survive_a_restart);
    TAP_RUN(a_damaged_file_is_replaced_and_the_cache_goes_on);
    TAP_RUN(a_full_file_system_turns_the_cache_off_until_there_is_room);
    TAP_RUN(classes_are_counted_apart);
    return tap_done();
}
