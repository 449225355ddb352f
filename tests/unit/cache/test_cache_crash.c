/* SPDX-License-Identifier: MIT */
/*
 * test_cache_crash.c - several processes at once, killed at any instruction: producers and readers,
 * and the keeper in the middle of its commits. Whatever is found must be the key's own value, and
 * everything must go on.
 */
#include "cache_case.h"

#include <errno.h>
#include <sched.h>
#include <time.h>

#include "../../../src/cache/cache_priv.h"
#include "../../tap.h"

enum { MIB = 1 << 20, KEYS = 3000, WORKERS = 4 };

/* What the processes tell one another. */
struct board {
    atomic_uint stop;
    atomic_ullong hits, wrong, errors, puts;
};

static size_t
size_of(uint64_t number)
{
    return number % 10 == 0 ? 5000 + number * 13 % 20000 : number * 37 % 2500;
}

/* Looks up and puts at random until told to stop. */
static void
work(struct cache_case *c, struct board *board, unsigned slot, uint64_t seed)
{
    size_t len = 0;

    if (case_open(c, false, slot, NULL) != 0) {
        atomic_fetch_add(&board->errors, 1);
        return;
    }
    while (atomic_load(&board->stop) == 0) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        uint64_t number = seed % KEYS;
        int rc = case_get(c, number, &len, case_now);
        if (rc == 0) {
            atomic_fetch_add(&board->hits, 1);
            rc = len == size_of(number) ? 0 : -99;
        }
        if (rc == -99) {
            atomic_fetch_add(&board->wrong, 1);
        } else if (rc < 0) {
            atomic_fetch_add(&board->errors, 1);
        } else if (rc == AUGURY_NOT_FOUND && case_put(c, number, size_of(number), 600) == 0) {
            atomic_fetch_add(&board->puts, 1);
        }
    }
}

static pid_t
fork_worker(struct cache_case *c, struct board *board, unsigned slot, uint64_t seed)
{
    pid_t pid = fork();
    if (pid == 0) {
        work(c, board, slot, seed);
        _exit(0);
    }
    return pid;
}

/* The supervisor's loop without its sleep. */
static void
keep(struct cache_case *c, struct board *board, uint64_t quota)
{
    bool more;

    if (case_open(c, true, 0, NULL) != 0) {
        _exit(1);
    }
    cache_keeper_quota(c->cache, quota);
    for (unsigned turn = 0; atomic_load(&board->stop) == 0; turn++) {
        if (cache_keeper_turn(c->cache, case_now, &more) != 0) {
            atomic_fetch_add(&board->errors, 1);
        }
        if (turn % 500 == 0 && cache_keeper_tick(c->cache, case_now) != 0) {
            atomic_fetch_add(&board->errors, 1);
        }
        if (!more) {
            sched_yield();
        }
    }
}

static pid_t
fork_keeper(struct cache_case *c, struct board *board, uint64_t quota)
{
    pid_t pid = fork();
    if (pid == 0) {
        keep(c, board, quota);
        _exit(0);
    }
    return pid;
}

static void
wait_us(long us)
{
    struct timespec pause = {.tv_nsec = us * 1000};
    nanosleep(&pause, NULL);
}

static void
kill_and_wait(pid_t pid)
{
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

/* As many records in each table as the state says; index records may be left over. */
static bool
tables_agree(struct cache *cache)
{
    const struct cache_state *state = &cache->keeper.state;
    uint64_t small = 0, main = 0, index = 0;

    bool good = store_snapshot_renew(cache->snapshot) == 0 &&
                store_count(cache->snapshot, CACHE_TABLE_SMALL, &small) == 0 &&
                store_count(cache->snapshot, CACHE_TABLE_MAIN, &main) == 0 &&
                store_count(cache->snapshot, CACHE_TABLE_INDEX, &index) == 0;
    store_snapshot_reset(cache->snapshot);
    return good && small == state->queues[CACHE_QUEUE_SMALL].entries &&
           main == state->queues[CACHE_QUEUE_MAIN].entries && index >= small + main &&
           small + main == cache_entries_of(state);
}

static bool
readers_are_clean(struct cache *cache)
{
    unsigned cleared = 0;

    return store_reader_check(cache->store, &cleared) == 0 && cleared == 0;
}

static void
workers_killed_at_any_time_harm_nothing(void)
{
    enum { KILLS = 60 };
    struct cache_case c;
    struct cache_usage usage;
    pid_t workers[WORKERS];
    size_t len;

    struct board *board = shm_map(sizeof(*board));
    CHECK(board != NULL && case_begin(&c, 64 * MIB, 256 * 1024));
    cache_close(&c.cache); /* a fork must not inherit an open environment */
    pid_t keeper = fork_keeper(&c, board, 8 * MIB);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = fork_worker(&c, board, i + 1, i * 7919 + 1);
    }
    for (unsigned i = 0; i < KILLS; i++) {
        wait_us(5000 + i * 211);
        kill_and_wait(workers[i % WORKERS]);
        workers[i % WORKERS] = fork_worker(&c, board, i % WORKERS + 1, i * 104729 + 11);
    }
    atomic_store(&board->stop, 1);
    for (unsigned i = 0; i < WORKERS; i++) {
        waitpid(workers[i], NULL, 0);
    }
    waitpid(keeper, NULL, 0);
    CHECK_INT(atomic_load(&board->wrong), 0);
    CHECK_INT(atomic_load(&board->errors), 0);
    CHECK(atomic_load(&board->hits) > 1000);
    bool was_damaged = true;
    CHECK_INT(case_open(&c, true, 0, &was_damaged), 0);
    CHECK(!was_damaged);
    cache_keeper_quota(c.cache, 8 * MIB);
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(cache_keeper_tick(c.cache, case_now), 0);
    CHECK(readers_are_clean(c.cache));
    CHECK(tables_agree(c.cache));
    CHECK_INT(cache_usage(c.cache, &usage), 0);
    CHECK(usage.used_bytes <= 8 * MIB);
    uint64_t found = 0;
    for (uint64_t number = 0; number < KEYS; number++) {
        int rc = case_get(&c, number, &len, case_now);
        CHECK(rc == 0 || rc == AUGURY_NOT_FOUND);
        found += rc == 0 ? 1 : 0;
    }
    CHECK_INT(found, usage.entries);
    printf("# %llu hits, %llu puts, %d kills\n", (unsigned long long)atomic_load(&board->hits),
           (unsigned long long)atomic_load(&board->puts), KILLS);
    case_fini(&c);
}

static void
a_keeper_killed_in_the_middle_of_commits_loses_nothing_that_was_committed(void)
{
    enum { KILLS = 60 };
    struct cache_case c;
    struct cache_usage usage;
    pid_t workers[WORKERS];

    struct board *board = shm_map(sizeof(*board));
    CHECK(board != NULL && case_begin(&c, 64 * MIB, 256 * 1024));
    cache_close(&c.cache);
    pid_t keeper = fork_keeper(&c, board, 8 * MIB);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = fork_worker(&c, board, i + 1, i * 7919 + 1);
    }
    for (unsigned i = 0; i < KILLS; i++) {
        uint64_t before = atomic_load(&board->puts);
        for (int k = 0; k < 400 && atomic_load(&board->puts) < before + 300; k++) {
            wait_us(500);
        }
        wait_us(i * 97);
        kill_and_wait(keeper);
        keeper = fork_keeper(&c, board, 8 * MIB);
    }
    atomic_store(&board->stop, 1);
    for (unsigned i = 0; i < WORKERS; i++) {
        waitpid(workers[i], NULL, 0);
    }
    waitpid(keeper, NULL, 0);
    CHECK_INT(atomic_load(&board->wrong), 0);
    CHECK_INT(atomic_load(&board->errors), 0);
    CHECK(atomic_load(&board->hits) > 1000);
    bool was_damaged = true;
    CHECK_INT(case_open(&c, true, 0, &was_damaged), 0);
    CHECK(!was_damaged);
    CHECK_INT(case_drain(&c), 0);
    CHECK(cache_rings_are_empty(c.rings));
    CHECK_INT(cache_keeper_tick(c.cache, case_now), 0);
    CHECK(readers_are_clean(c.cache));
    CHECK(tables_agree(c.cache));
    CHECK_INT(cache_usage(c.cache, &usage), 0);
    CHECK_INT(usage.entries, usage.entries_of_class[CACHE_PREDICTION]);
    CHECK(usage.entries > 100);
    printf("# %llu hits, %llu puts, %llu entries after %d kills\n",
           (unsigned long long)atomic_load(&board->hits),
           (unsigned long long)atomic_load(&board->puts), (unsigned long long)usage.entries, KILLS);
    case_fini(&c);
}

static void
a_worker_opens_anew_when_the_keeper_replaces_the_environment(void)
{
    struct cache_case c;
    int to_child[2], from_child[2];
    char told = 0;
    size_t len;

    CHECK(case_begin(&c, 64 * MIB, 256 * 1024));
    CHECK_INT(case_put(&c, 1, 1000, 600), 0);
    CHECK_INT(case_drain(&c), 0);
    cache_close(&c.cache);
    CHECK_INT(pipe(to_child), 0);
    CHECK_INT(pipe(from_child), 0);
    pid_t pid = fork();
    if (pid == 0) {
        /* Sees 1, then (told by a byte) neither entry nor old secret, then what the new environment
         * gets. */
        bool good = case_open(&c, false, 1, NULL) == 0 && case_get(&c, 1, &len, case_now) == 0;
        uint8_t old[DIGEST_SECRET_BYTES];
        memcpy(old, c.cache->secret, sizeof(old));
        good = write(from_child[1], good ? "1" : "0", 1) == 1 && read(to_child[0], &told, 1) == 1;
        good = good && case_get(&c, 1, &len, case_now) == AUGURY_NOT_FOUND;
        good = good && memcmp(old, c.cache->secret, sizeof(old)) != 0;
        good = good && case_put(&c, 2, 1000, 600) == 0;
        good = write(from_child[1], good ? "1" : "0", 1) == 1 && read(to_child[0], &told, 1) == 1;
        good = good && case_get(&c, 2, &len, case_now) == 0;
        _exit(write(from_child[1], good ? "1" : "0", 1) == 1 ? 0 : 1);
    }
    CHECK_INT(read(from_child[0], &told, 1), 1);
    CHECK_INT(told, '1');
    char path[300];
    case_path(&c, "data.mdb", path, sizeof(path));
    FILE *file = fopen(path, "r+b");
    CHECK(file != NULL);
    for (int i = 0; i < 8192; i++) {
        fputc(i & 255, file);
    }
    fclose(file);
    bool was_damaged = false;
    CHECK_INT(case_open(&c, true, 0, &was_damaged), 0);
    CHECK(was_damaged);
    CHECK_INT(write(to_child[1], "x", 1), 1);
    CHECK_INT(read(from_child[0], &told, 1), 1);
    CHECK_INT(told, '1');
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(write(to_child[1], "x", 1), 1);
    CHECK_INT(read(from_child[0], &told, 1), 1);
    CHECK_INT(told, '1');
    waitpid(pid, NULL, 0);
    case_fini(&c);
}

/* One keeper that opens a sound environment and dies inside LMDB; false when it was not sound. */
static bool
keeper_dies_inside_lmdb(struct cache_case *c)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        bool was_damaged = true;
        bool good = case_open(c, true, 0, &was_damaged) == 0 && !was_damaged;
        atomic_store(&c->rings->in_commit, 1);
        kill(getpid(), good ? SIGKILL : SIGTERM);
    }
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void
a_keeper_that_keeps_crashing_in_lmdb_gets_a_new_environment(void)
{
    struct cache_case c;
    bool was_damaged = true;

    CHECK(case_begin(&c, 64 * MIB, 256 * 1024));
    cache_close(&c.cache);
    for (int death = 0; death < 3; death++) {
        CHECK(keeper_dies_inside_lmdb(&c));
        cache_board_keeper_crashed(c.board);
    }
    CHECK_INT(case_open(&c, true, 0, &was_damaged), 0);
    CHECK(was_damaged);
    cache_close(&c.cache);
    CHECK_INT(case_open(&c, true, 0, &was_damaged), 0);
    CHECK(!was_damaged);
    case_fini(&c);
}

static void
a_keeper_killed_inside_lmdb_keeps_its_environment_however_often(void)
{
    struct cache_case c;
    bool was_damaged = true;

    CHECK(case_begin(&c, 64 * MIB, 256 * 1024));
    cache_close(&c.cache);
    for (int death = 0; death < 10; death++) {
        CHECK(keeper_dies_inside_lmdb(&c));
    }
    CHECK_INT(case_open(&c, true, 0, &was_damaged), 0);
    CHECK(!was_damaged);
    case_fini(&c);
}

static void
a_worker_waits_for_the_keeper_to_make_the_environment(void)
{
    struct cache_case c;
    size_t len;

    CHECK(case_init(&c, 64 * MIB, 256 * 1024));
    pid_t pid = fork();
    if (pid == 0) {
        bool good = case_open(&c, false, 1, NULL) == 0 &&
                    case_get(&c, 1, &len, case_now) == AUGURY_NOT_FOUND;
        _exit(good ? 0 : 1);
    }
    wait_us(100000);
    CHECK_INT(case_open(&c, true, 0, NULL), 0);
    int status = 1;
    waitpid(pid, &status, 0);
    CHECK_INT(status, 0);
    case_fini(&c);
}

static void
a_keeper_that_crashes_while_it_opens_gets_a_new_environment_at_once(void)
{
    struct cache_case c;

    CHECK(case_begin(&c, 64 * MIB, 256 * 1024));
    for (int is_crash = 0; is_crash < 2; is_crash++) {
        bool was_damaged = is_crash == 0;
        cache_close(&c.cache);
        atomic_fetch_or(&c.rings->epoch, 1);
        atomic_store(&c.rings->in_commit, 1);
        if (is_crash != 0) {
            cache_board_keeper_crashed(c.board);
        }
        CHECK_INT(case_open(&c, true, 0, &was_damaged), 0);
        CHECK_INT(was_damaged, is_crash != 0);
    }
    case_fini(&c);
}

static void
the_second_worker_that_dies_of_what_it_read_makes_the_environment_anew(void)
{
    struct cache_case c;
    size_t len;

    CHECK(case_begin(&c, 64 * MIB, 256 * 1024));
    CHECK_INT(case_put(&c, 1, 1000, 600), 0);
    CHECK_INT(case_drain(&c), 0);
    cache_board_reader_crashed(c.board, 1);
    CHECK_INT(cache_keeper_tick(c.cache, case_now), 0);
    CHECK_INT(case_get(&c, 1, &len, case_now), 0);
    cache_board_reader_crashed(c.board, 1);
    CHECK_INT(cache_keeper_tick(c.cache, case_now), 0);
    CHECK_INT(case_get(&c, 1, &len, case_now), AUGURY_NOT_FOUND);
    CHECK_INT(stats_sum(c.stats, STATS_CACHE_REPLACED), 1);
    case_fini(&c);
}

/* Between two keepers there may be nothing to open for longer than a worker waits. */
static void
a_worker_that_began_without_an_environment_finds_it_later(void)
{
    struct cache_case c;
    int to_child[2], from_child[2], status = 1;
    char told = 0;
    size_t len;

    CHECK(case_init(&c, 64 * MIB, 256 * 1024));
    CHECK_INT(pipe(to_child), 0);
    CHECK_INT(pipe(from_child), 0);
    pid_t pid = fork();
    if (pid == 0) {
        bool good = case_open(&c, false, 1, NULL) == 0 &&
                    case_get(&c, 1, &len, case_now) == AUGURY_NOT_FOUND;
        good = write(from_child[1], good ? "1" : "0", 1) == 1 && read(to_child[0], &told, 1) == 1;
        bool found = false;
        for (int i = 0; good && !found && i < 500; i++) {
            wait_us(10000);
            found = case_get(&c, 1, &len, case_now) == 0;
        }
        _exit(found ? 0 : 1);
    }
    CHECK_INT(read(from_child[0], &told, 1), 1);
    CHECK_INT(told, '1');
    CHECK_INT(case_open(&c, true, 0, NULL), 0);
    CHECK_INT(case_put(&c, 1, 1000, 600), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(write(to_child[1], "x", 1), 1);
    waitpid(pid, &status, 0);
    CHECK_INT(status, 0);
    case_fini(&c);
}

/* A worker in the middle of a read; it goes on for ever. */
static pid_t
fork_reader(const struct cache_case *c)
{
    struct cache_case mine = *c;
    int pipe_fds[2];
    char told = 0;

    if (pipe(pipe_fds) != 0) {
        return -1;
    }
    pid_t pid = fork();
    if (pid == 0) {
        mine.cache = NULL; /* the parent's environment is not used here */
        alarm(30);         /* whatever becomes of the parent */
        bool reads = case_open(&mine, false, 1, NULL) == 0 && cache_snapshot_begin(mine.cache) == 0;
        if (write(pipe_fds[1], reads ? "1" : "0", 1) == 1) {
            pause(); /* until it is killed */
        }
        _exit(1);
    }
    close(pipe_fds[1]);
    bool reads = read(pipe_fds[0], &told, 1) == 1 && told == '1';
    close(pipe_fds[0]);
    return reads ? pid : -1;
}

/* One entry over and over until more than the map has been written. */
static int
map_write_over(struct cache_case *c)
{
    const size_t len = 32 * 1024;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < 2 * c->map_bytes / len; i++) {
        rc = case_put(c, 7, len + i % 2, 600); /* the same would not be written */
        (void)case_drain(c);
    }
    return rc;
}

static void
pages_that_a_reader_holds_are_no_reason_to_evict(void)
{
    for (int is_killed = 0; is_killed <= 1; is_killed++) {
        struct cache_case c;
        size_t len = 0;

        CHECK(case_begin(&c, 16 * MIB, 256 * 1024));
        CHECK_INT(case_put(&c, 1, 1000, 600), 0);
        CHECK_INT(case_drain(&c), 0);
        pid_t reader = fork_reader(&c);
        CHECK(reader > 0);
        if (is_killed) {
            kill(reader, SIGKILL);
            waitpid(reader, NULL, 0);
        }
        CHECK_INT(map_write_over(&c), 0);
        CHECK_INT(case_get(&c, 1, &len, case_now), 0);
        CHECK_INT(stats_sum(c.stats, STATS_CACHE_EVICTED), 0);
        CHECK(is_killed == (stats_sum(c.stats, STATS_CACHE_PUTS_DROPPED) == 0));
        if (!is_killed) {
            kill(reader, SIGKILL);
            waitpid(reader, NULL, 0);
        }
        CHECK_INT(case_put(&c, 2, 1000, 600), 0);
        CHECK_INT(case_drain(&c), 0);
        CHECK_INT(case_get(&c, 2, &len, case_now), 0);
        case_fini(&c);
    }
}

int
main(void)
{
    TAP_RUN(workers_killed_at_any_time_harm_nothing);
    TAP_RUN(a_keeper_killed_in_the_middle_of_commits_loses_nothing_that_was_committed);
    TAP_RUN(a_worker_opens_anew_when_the_keeper_replaces_the_environment);
    TAP_RUN(a_keeper_that_keeps_crashing_in_lmdb_gets_a_new_environment);
    TAP_RUN(a_keeper_killed_inside_lmdb_keeps_its_environment_however_often);
    TAP_RUN(a_worker_waits_for_the_keeper_to_make_the_environment);
    TAP_RUN(a_keeper_that_crashes_while_it_opens_gets_a_new_environment_at_once);
    TAP_RUN(the_second_worker_that_dies_of_what_it_read_makes_the_environment_anew);
    TAP_RUN(a_worker_that_began_without_an_environment_finds_it_later);
    TAP_RUN(pages_that_a_reader_holds_are_no_reason_to_evict);
    return tap_done();
}
