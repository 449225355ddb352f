/* SPDX-License-Identifier: MIT */
/* test_cache_disk_keep.c - which entries the disk keeps, that none comes back which a newer one has
 * replaced, and the notes of other rooms. */
#include "disk_case.h"

#include "../../tap.h"

/* Asks for the keys on disk: memory's entries have expired by then. */
static unsigned
found_later(struct disk_case *d, uint64_t first, uint64_t count)
{
    uint64_t later = case_now + 3600 * 1000;
    unsigned found = 0;
    size_t len = 0;

    for (uint64_t i = first; i < first + count; i++) {
        found += case_get(&d->c, i, &len, later) == 0 ? 1 : 0;
        if (i % 16 == 0) {
            (void)settle(d);
        }
    }
    (void)settle(d);
    return found;
}

static void
what_was_asked_for_on_disk_outlives_what_was_not(void)
{
    struct disk_case d;

    CHECK(disk_init(&d));
    cache_close(&d.c.cache);
    d.disk_bytes = 32 * MIB;
    d.options.entries = 1000;
    CHECK(start_anew(&d, false));
    CHECK(put_some(&d, 0, 1500, 100)); /* full, and has let go */
    CHECK_INT(found_later(&d, 1440, 50), 50);
    CHECK(put_some(&d, 2000, 1200, 100)); /* more than it holds */
    CHECK_INT(stats_sum(d.c.stats, STATS_CACHE_PUTS_DROPPED), 0);
    unsigned asked = found_later(&d, 1440, 50), others = found_later(&d, 1000, 400);
    printf("# %u of 50 that were asked for, %u of 400 others\n", asked, others);
    CHECK(asked > 45);
    CHECK(others < 350);
    CHECK_INT(cache_keeper_tick(d.c.cache, case_now), 0);
    CHECK(cache_entries_of(&d.c.cache->below->keeper.state) <= 1000);
    disk_fini(&d);
}

static void
after_a_reboot_what_was_asked_for_comes_back_first(void)
{
    struct disk_case d;
    struct cache_usage usage;
    size_t len = 0;

    CHECK(disk_init(&d));
    cache_close(&d.c.cache);
    d.disk_bytes = 32 * MIB;
    CHECK(start_anew(&d, false));
    CHECK(put_some(&d, 0, 9000, 4000)); /* 37 MB: it lets go */
    uint64_t kept = 0;
    while (kept < 9000 && found_later(&d, kept, 1) == 0) {
        kept++;
    }
    CHECK(found_later(&d, kept, 50) > 40);
    CHECK(put_some(&d, 9000, 3000, 4000));
    CHECK(start_anew(&d, true));
    CHECK(settle(&d));
    CHECK_INT(cache_usage(d.c.cache, &usage), 0);
    CHECK(usage.used_bytes >= 7 * MIB && usage.used_bytes <= 10 * MIB);
    uint64_t before = hits_on_disk(&d);
    unsigned back = 0;
    for (uint64_t i = kept; i < kept + 50; i++) {
        back += case_get(&d.c, i, &len, case_now) == 0 ? 1 : 0;
    }
    printf("# %u of 50 back, %llu of them on disk alone\n", back,
           (unsigned long long)(hits_on_disk(&d) - before));
    CHECK(back > 40);
    disk_fini(&d);
}

/* ---- orders, and a disk that is behind ------------------------------------------------------- */

static int
object_put(struct disk_case *d, int order, uint8_t version)
{
    uint8_t value[300];
    uint64_t ticket;
    struct cache_item item = {.class = CACHE_OBJECT,
                              .key = bytes_of_text("object:o/1"),
                              .value = bytes_of(value, sizeof(value)),
                              .created_wall_ms = case_now,
                              .expires_wall_ms = case_now + MEMORY_TTL_S * UINT64_C(1000),
                              .stamp = cache_stamp(d->c.cache)};

    memset(value, version, sizeof(value));
    return cache_order(d->c.cache, (enum cache_order_kind)order, &item, 0, &ticket);
}

/* The version, 0: none; at that time. */
static int
object_get(struct disk_case *d, uint64_t now)
{
    struct cache_hit hit;
    int version = 0;

    if (cache_snapshot_begin(d->c.cache) == 0) {
        int rc = case_look(&d->c, CACHE_OBJECT, bytes_of_text("object:o/1"), now, &hit);
        version = rc == 0 ? hit.value.data[0] : 0;
        cache_snapshot_end(d->c.cache);
    }
    return version;
}

/* As if others had taken all of its room. */
static bool
memory_loses_all(struct disk_case *d)
{
    struct store_txn *txn = NULL;
    struct cache_state state;

    return cache_write_begin(d->c.cache, &txn, &state) == 0 && cache_evict_all(txn, &state) == 0 &&
           cache_write_end(d->c.cache, &txn, 0, &state) == 0;
}

/* One group of memory, while the disk stands still. */
static int
turn_of_memory(struct disk_case *d)
{
    bool more = false;

    d->c.cache->disk->next_mono_ns = UINT64_MAX;
    return cache_keeper_turn(d->c.cache, case_now, &more);
}

static void
turn_of_disk(struct disk_case *d)
{
    d->c.cache->disk->next_mono_ns = 0;
    cache_disk_turn(d->c.cache);
}

static void
what_waits_for_the_disk_does_not_come_after_a_newer_one(void)
{
    struct disk_case d;

    CHECK(disk_init(&d));
    CHECK_INT(object_put(&d, CACHE_ORDER_PUT, 1), 0);
    CHECK_INT(turn_of_memory(&d), 0);
    CHECK(!cache_rings_are_empty(d.c.board->disk_rings));
    CHECK_INT(object_put(&d, CACHE_ORDER_PUT, 2), 0);
    /* Version 2 is committed in memory, and neither of both on disk. */
    struct cache_ring_record filler = {
        .item = {.class = CACHE_PREDICTION, .key = bytes_of_text("prediction:x")}};
    uint8_t big[40000] = {0};
    filler.item.value = bytes_of(big, sizeof(big));
    filler.item.created_wall_ms = case_now;
    filler.item.expires_wall_ms = case_now + 3600 * 1000;
    filler.value_check = cache_value_check(filler.item.value);
    CHECK_INT(cache_ring_put(d.c.board->disk_rings, 0, &filler), 0); /* a group ends behind it */
    CHECK_INT(cache_ring_put(d.c.board->disk_rings, 0, &filler), 0);
    CHECK_INT(turn_of_memory(&d), 0);
    turn_of_disk(&d);
    CHECK(!cache_rings_are_empty(d.c.board->disk_rings)); /* version 2 still waits */
    CHECK_INT(object_get(&d, case_now), 2);
    CHECK(memory_loses_all(&d));
    CHECK_INT(object_get(&d, case_now), 0);
    turn_of_disk(&d);
    CHECK_INT(object_get(&d, case_now), 2);
    disk_fini(&d);
}

static void
an_order_about_what_the_disk_alone_has_finds_it(void)
{
    struct disk_case d;

    CHECK(disk_init(&d));
    CHECK_INT(object_put(&d, CACHE_ORDER_PUT, 1), 0);
    CHECK(settle(&d));
    CHECK(memory_loses_all(&d));
    CHECK_INT(object_put(&d, CACHE_ORDER_PUT_IF_ABSENT, 2), 0);
    CHECK(settle(&d));
    CHECK_INT(object_get(&d, case_now), 1);
    CHECK_INT(object_put(&d, CACHE_ORDER_PURGE, 0), 0);
    CHECK(settle(&d));
    CHECK_INT(object_get(&d, case_now), 0);
    disk_fini(&d);
}

static void
a_copy_that_was_read_before_a_newer_put_is_not_kept(void)
{
    struct disk_case d;
    uint64_t entries = 0;

    CHECK(disk_init(&d));
    CHECK_INT(object_put(&d, CACHE_ORDER_PUT, 1), 0);
    CHECK(settle(&d));
    /* A copy of version 1 is on its way up when version 2 comes, and memory lets go of that. */
    CHECK(memory_loses_all(&d));
    CHECK_INT(object_get(&d, case_now), 1);
    struct cache_ring_record copy;
    uint64_t tail = cache_ring_tail(d.c.rings, 0);
    unsigned bad = 0;
    CHECK_INT(cache_ring_peek(d.c.rings, 0, &tail, &copy, &bad), 0);
    CHECK(copy.item.is_copy && copy.item.is_from_disk);
    uint8_t value[300];
    char key[64];
    memcpy(value, copy.item.value.data, sizeof(value));
    snprintf(key, sizeof(key), "%.*s", (int)copy.item.key.len, (const char *)copy.item.key.data);
    copy.item.value = bytes_of(value, sizeof(value));
    copy.item.key = bytes_of_text(key);
    cache_ring_take(d.c.rings, 0, tail);
    CHECK_INT(object_put(&d, CACHE_ORDER_PUT, 2), 0);
    CHECK_INT(turn_of_memory(&d), 0);
    CHECK(memory_loses_all(&d));
    CHECK_INT(cache_ring_put(d.c.rings, 0, &copy), 0);
    CHECK_INT(turn_of_memory(&d), 0);
    CHECK_INT(object_get(&d, case_now), 0);
    turn_of_disk(&d);
    CHECK(settle(&d));
    CHECK_INT(object_get(&d, case_now), 2);
    CHECK_INT(cache_keeper_flush(d.c.cache, &entries), 0);
    disk_fini(&d);
}

/* ---- notes ------------------------------------------------------------------------------- */

static void
a_note_outlives_a_reboot_but_not_another_secret(void)
{
    struct disk_case d;
    uint8_t room[CACHE_NOTE_MAX], value[CACHE_NOTE_MAX];
    struct bytes name = bytes_of_text("habits/007");
    size_t len = 0;

    CHECK(disk_init(&d));
    memset(value, 7, sizeof(value));
    CHECK_INT(cache_keeper_note_get(d.c.cache, name, room, &len), AUGURY_NOT_FOUND);
    CHECK_INT(cache_keeper_note_put(d.c.cache, name, bytes_of(value, 10)), 0);
    CHECK_INT(cache_keeper_note_put(d.c.cache, name, bytes_of(value, sizeof(value))), 0);
    CHECK(start_anew(&d, true));
    CHECK_INT(cache_keeper_note_get(d.c.cache, name, room, &len), 0);
    CHECK(len == sizeof(value) && memcmp(room, value, len) == 0);
    CHECK(put_some(&d, 0, 20, 300));
    CHECK(start_anew(&d, false));
    CHECK_INT(cache_keeper_note_get(d.c.cache, name, room, &len), 0);
    memset(d.c.cache->below->secret, 1, sizeof(d.c.cache->below->secret));
    cache_disk_settle(d.c.cache);
    CHECK_INT(cache_keeper_note_get(d.c.cache, name, room, &len), AUGURY_NOT_FOUND);
    CHECK(put_some(&d, 30, 20, 300));
    disk_fini(&d);
}

static void
without_a_disk_a_note_lies_in_memory(void)
{
    struct cache_case c;
    uint8_t room[CACHE_NOTE_MAX];
    size_t len = 0;

    CHECK(case_begin(&c, 16 * MIB, 1 * MIB));
    CHECK_INT(cache_keeper_note_put(c.cache, bytes_of_text("x"), bytes_of_text("y")), 0);
    CHECK_INT(cache_keeper_note_get(c.cache, bytes_of_text("x"), room, &len), 0);
    CHECK(len == 1 && room[0] == 'y');
    CHECK_INT(cache_keeper_note_get(c.cache, bytes_of_text("xx"), room, &len), AUGURY_NOT_FOUND);
    case_fini(&c);
}

int
main(void)
{
    TAP_RUN(what_was_asked_for_on_disk_outlives_what_was_not);
    TAP_RUN(after_a_reboot_what_was_asked_for_comes_back_first);
    TAP_RUN(what_waits_for_the_disk_does_not_come_after_a_newer_one);
    TAP_RUN(an_order_about_what_the_disk_alone_has_finds_it);
    TAP_RUN(a_copy_that_was_read_before_a_newer_put_is_not_kept);
    TAP_RUN(a_note_outlives_a_reboot_but_not_another_secret);
    TAP_RUN(without_a_disk_a_note_lies_in_memory);
    return tap_done();
}
