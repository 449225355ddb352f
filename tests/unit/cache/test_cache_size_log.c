/* SPDX-License-Identifier: MIT */
/* test_cache_size_log.c - the history that one process writes while others read it. */
#include "../../tap.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "augury/cache_size.h"

static struct cache_board *
board_new(void)
{
    struct cache_board_options options = {.ring_bytes = 1 << 16, .slots = 2, .keeper_wake_fd = -1};
    void *memory = shm_map(cache_board_bytes(&options));

    return memory == NULL ? NULL : cache_board_attach(memory, &options);
}

/* Every figure of a record says the same number, so that one of two halves is told. */
static void
note(struct cache_board *board, uint64_t number, enum cache_size_action action)
{
    struct cache_size_config config = {.base_bytes = number};
    struct cache_size_record record = {
        .wall_ms = number,
        .sample = {.now_ms = number, .total_bytes = number},
        .decision = {.action = action, .from_bytes = number, .to_bytes = number}};

    cache_size_note(board, &config, number, &record);
}

static bool
is_whole(const struct cache_size_record *record)
{
    return record->sample.now_ms == record->wall_ms &&
           record->sample.total_bytes == record->wall_ms &&
           record->decision.to_bytes == record->wall_ms;
}

static void
the_last_hundred_are_kept_oldest_first(void)
{
    struct cache_board *board = board_new();
    struct cache_size_history history;

    CHECK(board != NULL);
    cache_size_read(board, &history);
    CHECK_INT(history.count, 0);
    for (uint64_t i = 1; i <= 250; i++) {
        note(board, i, i % 10 == 0 ? CACHE_SIZE_GROW : CACHE_SIZE_HOLD);
    }
    cache_size_read(board, &history);
    CHECK_INT(history.count, CACHE_SIZE_RECORDS);
    CHECK_INT(history.pinned_bytes, 250);
    for (uint64_t i = 0; i < CACHE_SIZE_RECORDS; i++) {
        CHECK_INT(history.records[i].wall_ms, 151 + i);
        CHECK(is_whole(&history.records[i]));
    }
    CHECK_INT(history.change_count, 25);
    CHECK_INT(history.changes[0].wall_ms, 10);
    CHECK_INT(history.changes[24].wall_ms, 250);
}

static void *
write_many(void *arg)
{
    for (uint64_t i = 1; i <= 20000; i++) {
        note(arg, i, CACHE_SIZE_SHRINK);
    }
    return NULL;
}

static void
a_reader_beside_the_writer_sees_whole_records(void)
{
    struct cache_board *board = board_new();
    struct cache_size_history history;
    pthread_t writer;
    unsigned seen = 0;

    CHECK(board != NULL);
    CHECK_INT(pthread_create(&writer, NULL, write_many, board), 0);
    for (unsigned i = 0; i < 2000; i++) {
        cache_size_read(board, &history);
        for (uint32_t k = 0; k < history.count; k++) {
            CHECK(is_whole(&history.records[k]));
            CHECK(k == 0 || history.records[k].wall_ms == history.records[k - 1].wall_ms + 1);
        }
        seen += history.count > 0 ? 1 : 0;
    }
    CHECK_INT(pthread_join(writer, NULL), 0);
    cache_size_read(board, &history);
    CHECK_INT(history.records[history.count - 1].wall_ms, 20000);
    CHECK(seen > 0 || history.count > 0);
}

static void
a_writer_killed_anywhere_leaves_what_the_next_one_can_use(void)
{
    struct cache_board *board = board_new();
    struct cache_size_history history;

    CHECK(board != NULL);
    for (unsigned i = 0; i < 50; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            for (uint64_t n = 1;; n++) {
                note(board, n, n % 3 == 0 ? CACHE_SIZE_SHRINK : CACHE_SIZE_HOLD);
            }
        }
        usleep(200 + i * 20);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        cache_size_read(board, &history); /* returns, with records or without */
        note(board, 5, CACHE_SIZE_HOLD);
        cache_size_read(board, &history);
        CHECK(history.count > 1 || i == 0);
        /* In a full ring the oldest place is the one that was being written. */
        for (uint32_t k = 1; k < history.count; k++) {
            CHECK(is_whole(&history.records[k]));
        }
    }
}

int
main(void)
{
    TAP_RUN(the_last_hundred_are_kept_oldest_first);
    TAP_RUN(a_reader_beside_the_writer_sees_whole_records);
    TAP_RUN(a_writer_killed_anywhere_leaves_what_the_next_one_can_use);
    return tap_done();
}
