/* SPDX-License-Identifier: MIT */
/* test_cache_disk.c - the tier below memory: what comes back after a reboot, what must not, and
 * keepers killed anywhere. A reboot is a new board and a memory folder without files. */
#include "disk_case.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "../../tap.h"

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
    TAP_RUN(a_keeper_killed_anywhere_revives_nothing);
    return tap_done();
}
