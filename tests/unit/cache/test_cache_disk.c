/* SPDX-License-Identifier: MIT */
/* test_cache_disk.c - the tier below memory: what comes back after a reboot, what must not, and
 * keepers killed anywhere. A reboot is a new board and a memory folder without files. */
#include "cache_case.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "../../../src/cache/cache_disk.h"
#include "../../tap.h"

enum { MIB = 1 << 20, MEMORY_TTL_S = 60, DISK_TTL_S = 86400 };

struct disk_case {
    struct cache_case c;
    char disk[300];
    struct cache_disk_options options;
    size_t disk_bytes; /* of the board that start_anew() makes */
};

static int
disk_open(struct disk_case *d, bool is_keeper, unsigned slot)
{
    struct cache_options options = {.dir = d->c.dir,
                                    .map_bytes = d->c.map_bytes,
                                    .is_keeper = is_keeper,
                                    .board = d->c.board,
                                    .slot = slot,
                                    .stats = stats_slot(d->c.stats, slot),
                                    .disk = &d->options};
    struct err err = {0};

    int rc = cache_open(&options, &d->c.cache, NULL, &err);
    if (rc == 0 && is_keeper) {
        cache_keeper_quota(d->c.cache, 16 * MIB);
    }
    return rc;
}

static bool
disk_init(struct disk_case *d)
{
    *d = (struct disk_case){0};
    if (!case_init(&d->c, 64 * MIB, 1 * MIB)) {
        return false;
    }
    snprintf(d->disk, sizeof(d->disk), "%s.disk", d->c.dir);
    d->options = (struct cache_disk_options){.dir = d->disk, .size_bytes = 32 * MIB};
    for (int i = 0; i < CACHE_CLASS_COUNT; i++) {
        d->options.memory_ttl_s[i] = MEMORY_TTL_S;
        d->options.disk_ttl_s[i] = i == CACHE_RESPONSE ? 0 : DISK_TTL_S;
    }
    return disk_open(d, true, 0) == 0;
}

static void
files_remove(const char *dir)
{
    static const char *const names[] = {"data.mdb", "lock.mdb", "mark", "data.mdb.damaged",
                                        "lock.mdb.damaged"};
    char path[400];

    for (size_t i = 0; i < AUGURY_COUNT(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
}

static void
disk_fini(struct disk_case *d)
{
    cache_close(&d->c.cache);
    files_remove(d->disk);
    rmdir(d->disk);
    case_fini(&d->c);
}

/* Everything that a process had is gone; with_memory: the files of memory too. */
static bool
start_anew(struct disk_case *d, bool without_memory)
{
    struct cache_board_options options = {.ring_bytes = d->c.ring_bytes,
                                          .slots = CASE_SLOTS,
                                          .map_bytes = d->c.map_bytes,
                                          .disk_bytes = d->disk_bytes,
                                          .keeper_wake_fd = d->c.wake_fd};

    cache_close(&d->c.cache);
    if (without_memory) {
        files_remove(d->c.dir);
    }
    d->c.shared = shm_map(cache_board_bytes(&options)); /* the old one is left to the process */
    d->c.board = cache_board_attach(d->c.shared, &options);
    d->c.rings = d->c.board->rings;
    return disk_open(d, true, 0) == 0;
}

/* Turns until nothing is under way, on disk too. */
static bool
settle(struct disk_case *d)
{
    for (int i = 0; i < 2000; i++) {
        if (case_drain(&d->c) != 0) {
            return false;
        }
        if (d->c.cache->below->store == NULL ||
            (cache_rings_are_empty(d->c.board->disk_rings) && !cache_warm_is_due(d->c.cache))) {
            return true;
        }
        usleep(1000);
    }
    return false;
}

static bool
put_some(struct disk_case *d, uint64_t first, uint64_t count, size_t len)
{
    for (uint64_t i = first; i < first + count; i++) {
        if (case_put(&d->c, i, len, MEMORY_TTL_S) != 0) {
            return false;
        }
        if (i % 16 == 0 && !settle(d)) {
            return false;
        }
    }
    return settle(d);
}

static uint64_t
hits_on_disk(struct disk_case *d)
{
    return stats_sum(d->c.stats, STATS_DISK_HITS_PREDICTION);
}

static void
a_miss_in_memory_is_answered_from_disk_and_comes_up(void)
{
    struct disk_case d;
    size_t len = 0;
    uint64_t later = case_now + 3600 * 1000;

    CHECK(disk_init(&d));
    CHECK(put_some(&d, 0, 50, 500));
    CHECK(put_some(&d, 50, 3, 20000));
    CHECK_INT(case_get(&d.c, 7, &len, case_now), 0);
    CHECK_INT(hits_on_disk(&d), 0);
    CHECK_INT(case_get(&d.c, 7, &len, later), 0);
    CHECK_INT(len, 500);
    CHECK_INT(case_get(&d.c, 51, &len, later), 0);
    CHECK_INT(len, 20000);
    CHECK_INT(hits_on_disk(&d), 2);
    CHECK_INT(case_get(&d.c, 51, &len, case_now + (DISK_TTL_S + 1) * UINT64_C(1000)),
              AUGURY_NOT_FOUND);
    CHECK_INT(case_get(&d.c, 999, &len, later), AUGURY_NOT_FOUND);
    disk_fini(&d);
}

static void
after_a_reboot_memory_is_filled_from_disk(void)
{
    struct disk_case d;
    size_t len = 0;
    uint64_t entries = 0;

    CHECK(disk_init(&d));
    CHECK(put_some(&d, 0, 500, 700));
    CHECK(start_anew(&d, true));
    CHECK(settle(&d));
    CHECK(cache_warm_ended(d.c.cache, &entries));
    CHECK_INT(entries, 500);
    CHECK(!cache_warm_ended(d.c.cache, &entries));
    uint64_t before = hits_on_disk(&d);
    for (uint64_t i = 0; i < 500; i++) {
        CHECK_INT(case_get(&d.c, i, &len, case_now), 0);
    }
    CHECK_INT(hits_on_disk(&d), before);
    disk_fini(&d);
}

static void
only_half_of_memory_is_filled_and_the_newest_first(void)
{
    struct disk_case d;
    struct cache_usage usage;
    size_t len = 0;

    CHECK(disk_init(&d));
    CHECK(put_some(&d, 0, 2500, 4000)); /* 10 MiB, of 16 MiB */
    CHECK(start_anew(&d, true));
    CHECK(settle(&d));
    CHECK_INT(cache_usage(d.c.cache, &usage), 0);
    printf("# %llu KiB of memory\n", (unsigned long long)usage.used_bytes >> 10);
    CHECK(usage.used_bytes >= 7 * MIB && usage.used_bytes <= 10 * MIB);
    uint64_t before = hits_on_disk(&d);
    CHECK_INT(case_get(&d.c, 2499, &len, case_now), 0);
    CHECK_INT(hits_on_disk(&d), before);
    CHECK_INT(case_get(&d.c, 0, &len, case_now), 0);
    CHECK_INT(hits_on_disk(&d), before + 1);
    disk_fini(&d);
}

static void
what_was_invalidated_stays_dead_after_a_reboot(void)
{
    struct disk_case d;
    char key[64];
    size_t len = 0;

    CHECK(disk_init(&d));
    CHECK(put_some(&d, 0, 20, 300));
    CHECK_INT(cache_keeper_purge(d.c.cache, case_key(3, key, sizeof(key))), 0);
    CHECK(start_anew(&d, true));
    CHECK(settle(&d));
    CHECK_INT(case_get(&d.c, 3, &len, case_now), AUGURY_NOT_FOUND);
    CHECK_INT(case_get(&d.c, 4, &len, case_now), 0);
    CHECK_INT(cache_keeper_ban(d.c.cache, bytes_of_text("prediction:*5"), NULL), 0);
    CHECK(start_anew(&d, true));
    CHECK(settle(&d));
    CHECK_INT(case_get(&d.c, 5, &len, case_now), AUGURY_NOT_FOUND);
    CHECK_INT(case_get(&d.c, 4, &len, case_now), 0);
    CHECK_INT(cache_keeper_invalidate_class(d.c.cache, CACHE_PREDICTION), 0);
    CHECK_INT(case_get(&d.c, 4, &len, case_now), AUGURY_NOT_FOUND);
    CHECK(start_anew(&d, true));
    CHECK(settle(&d));
    CHECK_INT(case_get(&d.c, 4, &len, case_now), AUGURY_NOT_FOUND);
    CHECK(put_some(&d, 30, 1, 300) && d.c.cache != NULL);
    disk_fini(&d);
}

static void
a_ban_ends_when_the_disk_has_been_swept_too(void)
{
    struct disk_case d;
    struct cache_ban bans[CACHE_BANS];
    size_t len = 0;

    CHECK(disk_init(&d));
    CHECK(put_some(&d, 0, 200, 300));
    CHECK_INT(cache_keeper_ban(d.c.cache, bytes_of_text("prediction:*"), NULL), 0);
    for (int i = 0; i < 10 && cache_bans(d.c.cache, bans) > 0; i++) {
        CHECK_INT(cache_keeper_tick(d.c.cache, case_now), 0);
    }
    CHECK_INT(cache_bans(d.c.cache, bans), 0);
    CHECK_INT(cache_entries_of(&d.c.cache->below->keeper.state), 0);
    CHECK_INT(case_get(&d.c, 4, &len, case_now), AUGURY_NOT_FOUND);
    disk_fini(&d);
}

static void
a_purge_of_what_only_the_disk_has_finds_it(void)
{
    struct disk_case d;
    char key[64];
    size_t len = 0;
    uint64_t later = case_now + 3600 * 1000;
    bool more;

    CHECK(disk_init(&d));
    CHECK(put_some(&d, 0, 20, 300));
    CHECK_INT(cache_keeper_turn(d.c.cache, later, &more), 0); /* memory's are over by then */
    CHECK_INT(cache_keeper_purge(d.c.cache, case_key(3, key, sizeof(key))), 0);
    CHECK_INT(case_get(&d.c, 3, &len, later), AUGURY_NOT_FOUND);
    CHECK_INT(cache_keeper_purge(d.c.cache, case_key(3, key, sizeof(key))), AUGURY_NOT_FOUND);
    disk_fini(&d);
}

static void
what_was_open_when_the_machine_stopped_is_not_read(void)
{
    struct disk_case d;
    size_t len = 0;
    char path[400];

    CHECK(disk_init(&d));
    CHECK(put_some(&d, 0, 20, 300));
    cache_close(&d.c.cache);
    snprintf(path, sizeof(path), "%s/mark", d.disk);
    FILE *mark = fopen(path, "w");
    CHECK(mark != NULL && fputs("00000000-0000-0000-0000-000000000000", mark) > 0);
    fclose(mark);
    CHECK(start_anew(&d, true));
    CHECK(settle(&d));
    CHECK_INT(case_get(&d.c, 3, &len, case_now), AUGURY_NOT_FOUND);
    CHECK(put_some(&d, 0, 20, 300));
    disk_fini(&d);
}

static void
a_damaged_disk_costs_its_contents_alone(void)
{
    struct disk_case d;
    size_t len = 0;
    char path[400];

    CHECK(disk_init(&d));
    CHECK(put_some(&d, 0, 200, 3000));
    cache_close(&d.c.cache);
    snprintf(path, sizeof(path), "%s/data.mdb", d.disk);
    CHECK_INT(truncate(path, 5 * 4096), 0);
    CHECK(start_anew(&d, false));
    CHECK(settle(&d));
    CHECK_INT(case_get(&d.c, 3, &len, case_now), 0);
    CHECK_INT(hits_on_disk(&d), 0);
    CHECK(put_some(&d, 1000, 20, 300));
    CHECK(start_anew(&d, true));
    CHECK(settle(&d));
    CHECK_INT(case_get(&d.c, 1003, &len, case_now), 0);
    disk_fini(&d);
}

static void
a_folder_that_cannot_be_used_costs_the_tier_alone(void)
{
    struct disk_case d;
    size_t len = 0;

    CHECK(disk_init(&d));
    cache_close(&d.c.cache);
    files_remove(d.disk);
    rmdir(d.disk);
    FILE *file = fopen(d.disk, "w"); /* a file in the place of the folder */
    CHECK(file != NULL);
    fclose(file);
    CHECK(start_anew(&d, false));
    CHECK(!cache_disk_is_up(d.c.cache));
    CHECK(put_some(&d, 0, 20, 300));
    CHECK_INT(case_get(&d.c, 3, &len, case_now), 0);
    CHECK_INT(unlink(d.disk), 0);
    for (int i = 0; i < 200 && !cache_disk_is_up(d.c.cache); i++) {
        usleep(10000);
        CHECK_INT(cache_keeper_tick(d.c.cache, case_now), 0);
    }
    CHECK(cache_disk_is_up(d.c.cache));
    CHECK(put_some(&d, 20, 20, 300));
    CHECK(stats_sum(d.c.stats, STATS_DISK_PUTS) > 0);
    disk_fini(&d);
}

static void
what_the_disk_does_is_counted_and_its_condition_told(void)
{
    struct disk_case d;
    struct cache_condition condition;
    size_t len = 0;

    CHECK(disk_init(&d));
    CHECK(cache_disk_condition(d.c.board, &condition));
    CHECK(!condition.is_off && condition.off_since_wall_ms == 0);
    CHECK(put_some(&d, 0, 3500, 12000)); /* 42 MB, of 32 MiB */
    CHECK_INT(cache_keeper_tick(d.c.cache, case_now), 0);
    CHECK(stats_sum(d.c.stats, STATS_DISK_EVICTED) > 500);
    CHECK_INT(stats_sum(d.c.stats, STATS_DISK_QUOTA_BYTES), 32 * MIB);
    CHECK(stats_sum(d.c.stats, STATS_DISK_FILE_BYTES) > 20 * MIB);
    uint64_t misses = stats_sum(d.c.stats, STATS_DISK_MISSES);
    CHECK_INT(case_get(&d.c, 9999, &len, case_now), AUGURY_NOT_FOUND);
    CHECK_INT(stats_sum(d.c.stats, STATS_DISK_MISSES), misses + 1);
    cache_keeper_off(d.c.cache->below);
    CHECK(cache_disk_condition(d.c.board, &condition));
    CHECK(condition.is_off && condition.off_since_wall_ms > 0);
    disk_fini(&d);
}

static void
figures_are_right_at_once_after_a_class_was_flushed(void)
{
    struct disk_case d;

    CHECK(disk_init(&d));
    CHECK(put_some(&d, 0, 200, 300));
    CHECK_INT(cache_keeper_invalidate_class(d.c.cache, CACHE_PREDICTION), 0);
    CHECK_INT(stats_sum(d.c.stats, STATS_CACHE_ENTRIES), 200);
    cache_keeper_sweep_dead(d.c.cache);
    CHECK_INT(stats_sum(d.c.stats, STATS_CACHE_ENTRIES), 0);
    CHECK_INT(stats_sum(d.c.stats, STATS_DISK_ENTRIES), 0);
    disk_fini(&d);
}

static void
a_reader_that_died_of_the_disk_costs_the_disk_alone(void)
{
    struct disk_case d;

    CHECK(disk_init(&d));
    CHECK(put_some(&d, 0, 20, 300));
    for (int i = 0; i < 2; i++) {
        atomic_store(&d.c.board->is_below[3], 1); /* it was reading there */
        cache_board_reader_crashed(d.c.board, 3);
    }
    CHECK_INT(cache_keeper_tick(d.c.cache, case_now), 0);
    CHECK_INT(stats_sum(d.c.stats, STATS_DISK_REPLACED), 1);
    CHECK_INT(stats_sum(d.c.stats, STATS_CACHE_REPLACED), 0);
    CHECK_INT(cache_entries_of(&d.c.cache->below->keeper.state), 0);
    CHECK_INT(cache_entries_of(&d.c.cache->keeper.state), 20);
    disk_fini(&d);
}

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

/* ---- killed anywhere ------------------------------------------------------------------------- */

enum { KEYS = 4096 };
struct told {
    volatile uint64_t purged[KEYS]; /* the round in which it was purged, 0: never */
    volatile long puts;
};

static void
keeper_child(struct disk_case *d, struct told *told, uint64_t first)
{
    char key[64];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!start_anew(d, false)) {
        _exit(1);
    }
    for (uint64_t i = first;; i++) {
        uint64_t number = i % KEYS;
        bool more = true;
        if (told->purged[number] == 0 && case_put(&d->c, number, 400, MEMORY_TTL_S) == 0) {
            told->puts++;
        }
        if (i % 8 == 7 && cache_keeper_turn(d->c.cache, case_now, &more) != 0) {
            _exit(2);
        }
        if (i % 32 == 31) {
            int rc = cache_keeper_purge(d->c.cache, case_key(number, key, sizeof(key)));
            if (rc < 0) {
                _exit(3);
            }
            told->purged[number] = 1;
        }
    }
}

static void
a_keeper_killed_anywhere_revives_nothing(void)
{
    struct disk_case d;
    size_t len = 0;
    unsigned seed = 7, found = 0;
    struct told *told =
        mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(told != MAP_FAILED);
    CHECK(disk_init(&d));
    cache_close(&d.c.cache);
    for (uint64_t round = 0; round < 40; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            keeper_child(&d, told, round * 97);
        }
        seed = seed * 1103515245u + 12345u;
        usleep(20000 + (seed >> 16) % 20000);
        int status = 0;
        CHECK_INT(waitpid(pid, &status, WNOHANG), 0);
        kill(pid, SIGKILL);
        CHECK_INT(waitpid(pid, &status, 0), pid);
        if (round % 4 != 3) {
            continue;
        }
        CHECK(start_anew(&d, true));
        CHECK(settle(&d));
        for (uint64_t i = 0; i < KEYS; i++) {
            int rc = case_get(&d.c, i, &len, case_now);
            CHECK(rc == 0 || rc == AUGURY_NOT_FOUND);
            CHECK(rc != 0 || told->purged[i] == 0);
            found += rc == 0;
        }
        cache_close(&d.c.cache);
    }
    printf("# %ld puts, %u found afterwards\n", told->puts, found);
    CHECK(found > 100);
    munmap(told, sizeof(*told));
    disk_fini(&d);
}

/* Who has put an object has said how long it is true, be it as long as the class is kept. */
static void
an_object_lives_no_longer_on_disk_than_it_was_put_for(void)
{
    struct bytes key = bytes_of_text("object:a");
    struct disk_case d;
    struct cache_hit hit;
    uint64_t later = case_now + (MEMORY_TTL_S + 1) * UINT64_C(1000);

    CHECK(disk_init(&d));
    CHECK_INT(case_put_at(&d.c, CACHE_OBJECT, key, bytes_of_text("v"), case_now, MEMORY_TTL_S), 0);
    CHECK(put_some(&d, 0, 1, 500));
    CHECK_INT(cache_snapshot_begin(d.c.cache), 0);
    CHECK_INT(case_look(&d.c, CACHE_OBJECT, key, case_now, &hit), 0);
    CHECK_INT(case_look(&d.c, CACHE_OBJECT, key, later, &hit), AUGURY_NOT_FOUND);
    cache_snapshot_end(d.c.cache);
    size_t len = 0;
    CHECK_INT(case_get(&d.c, 0, &len, later), 0);
    disk_fini(&d);
}

/* Another daemon's keeper has it: each would contradict what the other remembers. */
static void
a_folder_has_one_keeper(void)
{
    struct disk_case d;
    size_t len = 0;

    CHECK(disk_init(&d));
    CHECK(put_some(&d, 0, 5, 500));
    cache_close(&d.c.cache);
    int fd = open(d.disk, O_RDONLY | O_DIRECTORY);
    CHECK(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0);
    CHECK(start_anew(&d, true));
    CHECK(!cache_disk_is_up(d.c.cache));
    CHECK(strstr(cache_disk_why(d.c.cache), "another daemon uses it") != NULL);
    CHECK(put_some(&d, 5, 5, 500));
    CHECK_INT(case_get(&d.c, 7, &len, case_now), 0);
    CHECK_INT(case_get(&d.c, 1, &len, case_now), AUGURY_NOT_FOUND);
    close(fd);
    d.c.cache->below->keeper.retry_mono_ms = 0;
    CHECK_INT(cache_keeper_tick(d.c.cache, case_now), 0);
    CHECK(cache_disk_is_up(d.c.cache));
    fd = open(d.disk, O_RDONLY | O_DIRECTORY);
    CHECK(flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK);
    close(fd);
    disk_fini(&d);
}

int
main(void)
{
    TAP_RUN(a_miss_in_memory_is_answered_from_disk_and_comes_up);
    TAP_RUN(after_a_reboot_memory_is_filled_from_disk);
    TAP_RUN(only_half_of_memory_is_filled_and_the_newest_first);
    TAP_RUN(what_was_invalidated_stays_dead_after_a_reboot);
    TAP_RUN(a_ban_ends_when_the_disk_has_been_swept_too);
    TAP_RUN(a_purge_of_what_only_the_disk_has_finds_it);
    TAP_RUN(what_was_open_when_the_machine_stopped_is_not_read);
    TAP_RUN(a_damaged_disk_costs_its_contents_alone);
    TAP_RUN(a_folder_that_cannot_be_used_costs_the_tier_alone);
    TAP_RUN(an_object_lives_no_longer_on_disk_than_it_was_put_for);
    TAP_RUN(a_folder_has_one_keeper);
    TAP_RUN(what_the_disk_does_is_counted_and_its_condition_told);
    TAP_RUN(figures_are_right_at_once_after_a_class_was_flushed);
    TAP_RUN(a_reader_that_died_of_the_disk_costs_the_disk_alone);
    TAP_RUN(what_was_asked_for_on_disk_outlives_what_was_not);
    TAP_RUN(after_a_reboot_what_was_asked_for_comes_back_first);
    TAP_RUN(a_note_outlives_a_reboot_but_not_another_secret);
    TAP_RUN(without_a_disk_a_note_lies_in_memory);
    TAP_RUN(a_keeper_killed_anywhere_revives_nothing);
    return tap_done();
}
