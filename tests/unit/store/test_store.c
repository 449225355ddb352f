/* SPDX-License-Identifier: MIT */
/* test_store.c - records, snapshots, transactions and walks of one environment, also between
 * processes. */
#include "store_case.h"

#include <signal.h>
#include <sys/wait.h>

#include "../../tap.h"

static bool
put_text(struct store *store, const char *key, const char *value)
{
    struct store_txn *txn = NULL;

    return store_begin(store, &txn) == 0 &&
           store_put(txn, TABLE_BYTES, bytes_of_text(key), bytes_of_text(value),
                     STORE_PUT_REPLACE) == 0 &&
           store_commit(&txn) == 0;
}

static void
a_record_is_found_after_its_commit_and_not_before(void)
{
    struct store_case c;
    struct store_txn *snapshot = NULL, *txn = NULL;
    struct bytes value = {0};

    CHECK(case_init(&c));
    CHECK_INT(case_open(&c, STORE_CREATE, NULL, NULL), 0);
    CHECK_INT(store_begin(c.store, &txn), 0);
    CHECK_INT(store_put(txn, TABLE_BYTES, bytes_of_text("k"), bytes_of_text("v"), 0), 0);
    CHECK_INT(store_snapshot_new(c.store, &snapshot), 0);
    CHECK_INT(store_snapshot_renew(snapshot), 0);
    CHECK_INT(store_find(snapshot, TABLE_BYTES, bytes_of_text("k"), &value), AUGURY_NOT_FOUND);
    CHECK(value.data == NULL);
    CHECK_INT(store_commit(&txn), 0);
    CHECK(txn == NULL);
    CHECK_INT(store_find(snapshot, TABLE_BYTES, bytes_of_text("k"), &value), AUGURY_NOT_FOUND);
    store_snapshot_reset(snapshot);
    CHECK_INT(store_snapshot_renew(snapshot), 0);
    CHECK_INT(store_find(snapshot, TABLE_BYTES, bytes_of_text("k"), &value), 0);
    CHECK(bytes_equal_text(value, "v"));
    store_snapshot_free(&snapshot);
    case_fini(&c);
}

static void
an_aborted_write_leaves_nothing(void)
{
    struct store_case c;
    struct store_txn *txn = NULL;
    uint64_t count = 9;

    CHECK(case_init(&c));
    CHECK_INT(case_open(&c, STORE_CREATE, NULL, NULL), 0);
    CHECK_INT(store_begin(c.store, &txn), 0);
    CHECK_INT(store_put_u64(txn, TABLE_U64, 1, bytes_of_text("x"), 0), 0);
    store_abort(&txn);
    CHECK_INT(store_begin(c.store, &txn), 0);
    CHECK_INT(store_count(txn, TABLE_U64, &count), 0);
    CHECK_INT(count, 0);
    store_abort(&txn);
    case_fini(&c);
}

static void
put_flags_refuse_a_known_key_and_a_step_back(void)
{
    struct store_case c;
    struct store_txn *txn = NULL;
    uint8_t *room = NULL;
    struct bytes value;

    CHECK(case_init(&c));
    CHECK_INT(case_open(&c, STORE_CREATE, NULL, NULL), 0);
    CHECK_INT(store_begin(c.store, &txn), 0);
    CHECK_INT(store_put_u64(txn, TABLE_U64, 5, bytes_of_text("a"), STORE_PUT_NEW), 0);
    CHECK_INT(store_put_u64(txn, TABLE_U64, 5, bytes_of_text("b"), STORE_PUT_NEW),
              AUGURY_ERR_EXISTS);
    CHECK_INT(store_put_u64(txn, TABLE_U64, 4, bytes_of_text("b"), STORE_PUT_APPEND),
              AUGURY_ERR_EXISTS);
    CHECK_INT(store_reserve_u64(txn, TABLE_U64, 6, 3, STORE_PUT_APPEND, &room), 0);
    memcpy(room, "xyz", 3);
    CHECK_INT(store_find_u64(txn, TABLE_U64, 6, &value), 0);
    CHECK(bytes_equal_text(value, "xyz"));
    CHECK_INT(store_find_u64(txn, TABLE_U64, 5, &value), 0);
    CHECK(bytes_equal_text(value, "a"));
    CHECK_INT(store_del_u64(txn, TABLE_U64, 5), 0);
    CHECK_INT(store_del_u64(txn, TABLE_U64, 5), AUGURY_NOT_FOUND);
    CHECK_INT(store_commit(&txn), 0);
    case_fini(&c);
}

static void
a_walk_goes_in_the_order_of_keys(void)
{
    struct store_case c;
    struct store_txn *txn = NULL;
    struct store_cursor *cursor = NULL;
    struct bytes key, value;
    uint64_t seek = 300, number;

    CHECK(case_init(&c));
    CHECK_INT(case_open(&c, STORE_CREATE, NULL, NULL), 0);
    CHECK_INT(store_begin(c.store, &txn), 0);
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t shuffled = i * 387 % 1000; /* 387 and 1000 share no factor */
        CHECK_INT(store_put_u64(txn, TABLE_U64, shuffled, bytes_of(&shuffled, 8), 0), 0);
    }
    CHECK_INT(store_cursor_open(txn, TABLE_U64, &cursor), 0);
    int rc = store_cursor_seek(cursor, bytes_of(&seek, 8), &key, &value);
    for (uint64_t want = 300; want < 1000; want++) {
        CHECK_INT(rc, 0);
        memcpy(&number, key.data, 8);
        CHECK_INT(number, want);
        CHECK(bytes_equal(key, value));
        rc = store_cursor_next(cursor, &key, &value);
    }
    CHECK_INT(rc, AUGURY_END);
    CHECK_INT(store_cursor_seek(cursor, bytes_of(NULL, 0), &key, &value), 0);
    memcpy(&number, key.data, 8);
    CHECK_INT(number, 0);
    store_cursor_close(&cursor);
    CHECK_INT(store_clear(txn, TABLE_U64), 0);
    CHECK_INT(store_count(txn, TABLE_U64, &number), 0);
    CHECK_INT(number, 0);
    store_abort(&txn);
    case_fini(&c);
}

static void
a_full_map_says_full_and_works_again_after_clearing(void)
{
    struct store_case c;
    struct store_txn *txn = NULL;
    static uint8_t page[4000];
    uint64_t stored = 0;
    int rc = 0;

    CHECK(case_init(&c));
    struct store_options options = case_options(&c, STORE_CREATE | STORE_DISPOSABLE);
    options.map_bytes = 1u << 20;
    CHECK_INT(store_open(&options, &c.store, NULL, NULL), 0);
    while (rc == 0 && stored < 10000) {
        CHECK_INT(store_begin(c.store, &txn), 0);
        rc = store_put_u64(txn, TABLE_U64, stored, bytes_of(page, sizeof(page)), 0);
        if (rc == 0) {
            rc = store_commit(&txn);
        }
        store_abort(&txn);
        stored += rc == 0 ? 1 : 0;
    }
    CHECK_INT(rc, AUGURY_ERR_FULL);
    CHECK(stored > 200 && stored < 256);
    CHECK_INT(store_begin(c.store, &txn), 0);
    CHECK_INT(store_clear(txn, TABLE_U64), 0);
    CHECK_INT(store_commit(&txn), 0);
    for (uint64_t i = 0; i < 10; i++) {
        CHECK_INT(store_begin(c.store, &txn), 0);
        CHECK_INT(store_put_u64(txn, TABLE_U64, 20000 + i, bytes_of(page, sizeof(page)), 0), 0);
        CHECK_INT(store_commit(&txn), 0);
    }
    case_fini(&c);
}

static void
usage_counts_pages_that_deleting_gives_back(void)
{
    struct store_case c;
    struct store_txn *txn = NULL;
    struct store_usage empty, full, emptied;
    static uint8_t page[4000];

    CHECK(case_init(&c));
    CHECK_INT(case_open(&c, STORE_CREATE | STORE_DISPOSABLE, NULL, NULL), 0);
    CHECK_INT(store_usage(c.store, &empty), 0);
    CHECK_INT(store_begin(c.store, &txn), 0);
    for (uint64_t i = 0; i < 1000; i++) {
        CHECK_INT(store_put_u64(txn, TABLE_U64, i, bytes_of(page, sizeof(page)), 0), 0);
    }
    CHECK_INT(store_commit(&txn), 0);
    CHECK_INT(store_usage(c.store, &full), 0);
    CHECK(full.used_pages >= empty.used_pages + 1000);
    CHECK(full.used_pages <= empty.used_pages + 1020);
    CHECK(full.file_blocks_bytes >= 1000 * full.page_bytes);
    CHECK(full.txn_id > empty.txn_id);
    CHECK_INT(full.map_bytes, 64u << 20);
    CHECK_INT(store_begin(c.store, &txn), 0);
    CHECK_INT(store_clear(txn, TABLE_U64), 0);
    CHECK_INT(store_commit(&txn), 0);
    CHECK_INT(store_usage(c.store, &emptied), 0);
    CHECK(emptied.free_pages >= 1000);
    CHECK(emptied.used_pages <= empty.used_pages + 8);
    case_fini(&c);
}

/* In a child: opens read-only, takes a snapshot, tells by one byte, then waits to be killed. */
static pid_t
fork_reader(struct store_case *c, int tell_fd)
{
    pid_t pid = fork();
    if (pid != 0) {
        return pid;
    }
    struct store *store = NULL;
    struct store_txn *snapshot = NULL;
    struct store_options options = case_options(c, STORE_READ_ONLY);
    bool good = store_open(&options, &store, NULL, NULL) == 0 &&
                store_snapshot_new(store, &snapshot) == 0 && store_snapshot_renew(snapshot) == 0;
    if (write(tell_fd, good ? "1" : "0", 1) == 1) {
        pause();
    }
    _exit(1);
}

static void
slots_of_killed_readers_are_cleared(void)
{
    enum { READERS = 7 };
    struct store_case c;
    struct store_txn *snapshot = NULL;
    pid_t pids[READERS];
    int fds[2];
    char told;
    unsigned cleared = 99;

    CHECK(case_init(&c));
    CHECK_INT(case_open(&c, STORE_CREATE | STORE_DISPOSABLE, NULL, NULL), 0);
    CHECK_INT(pipe(fds), 0);
    for (int i = 0; i < READERS; i++) {
        pids[i] = fork_reader(&c, fds[1]);
        CHECK(pids[i] > 0);
        CHECK_INT(read(fds[0], &told, 1), 1);
        CHECK_INT(told, '1');
    }
    CHECK_INT(store_reader_check(c.store, &cleared), 0);
    CHECK_INT(cleared, 0);
    for (int i = 0; i < READERS; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    CHECK_INT(store_reader_check(c.store, &cleared), 0);
    CHECK_INT(cleared, READERS);
    CHECK_INT(store_snapshot_new(c.store, &snapshot), 0);
    store_snapshot_free(&snapshot);
    close(fds[0]);
    close(fds[1]);
    case_fini(&c);
}

static void
a_full_reader_table_heals_when_its_readers_are_dead(void)
{
    enum { READERS = 8 };
    struct store_case c;
    struct store_txn *snapshot = NULL;
    int fds[2];
    char told;

    CHECK(case_init(&c));
    CHECK_INT(case_open(&c, STORE_CREATE | STORE_DISPOSABLE, NULL, NULL), 0);
    CHECK_INT(pipe(fds), 0);
    pid_t pids[READERS];
    for (int i = 0; i < READERS; i++) {
        pids[i] = fork_reader(&c, fds[1]);
        CHECK_INT(read(fds[0], &told, 1), 1);
        CHECK_INT(told, '1');
    }
    CHECK_INT(store_snapshot_new(c.store, &snapshot), AUGURY_ERR_BUSY);
    for (int i = 0; i < READERS; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    CHECK_INT(store_snapshot_new(c.store, &snapshot), 0);
    store_snapshot_free(&snapshot);
    close(fds[0]);
    close(fds[1]);
    case_fini(&c);
}

static void
a_reader_cannot_begin_a_write(void)
{
    struct store_case c;
    struct store_txn *txn = NULL;

    CHECK(case_init(&c));
    CHECK_INT(case_open(&c, STORE_CREATE, NULL, NULL), 0);
    CHECK(put_text(c.store, "k", "v"));
    store_close(&c.store);
    CHECK_INT(case_open(&c, STORE_READ_ONLY, NULL, NULL), 0);
    CHECK_INT(store_begin(c.store, &txn), AUGURY_ERR_DENIED);
    CHECK(txn == NULL);
    case_fini(&c);
}

static void
a_map_enlarged_by_another_process_is_followed(void)
{
    struct store_case c;
    struct store_txn *snapshot = NULL;
    struct bytes value;
    int status = 0;

    CHECK(case_init(&c));
    struct store_options options = case_options(&c, STORE_CREATE | STORE_DISPOSABLE);
    options.map_bytes = 1u << 20;
    CHECK_INT(store_open(&options, &c.store, NULL, NULL), 0);
    CHECK_INT(store_snapshot_new(c.store, &snapshot), 0);
    pid_t pid = fork();
    if (pid == 0) {
        static uint8_t page[4000];
        struct store *store = NULL;
        struct store_txn *txn = NULL;
        options.map_bytes = 8u << 20;
        bool good = store_open(&options, &store, NULL, NULL) == 0 && store_begin(store, &txn) == 0;
        for (uint64_t i = 0; good && i < 1000; i++) {
            good = store_put_u64(txn, TABLE_U64, i, bytes_of(page, sizeof(page)), 0) == 0;
        }
        _exit(good && store_commit(&txn) == 0 ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    CHECK_INT(status, 0);
    CHECK_INT(store_snapshot_renew(snapshot), 0);
    CHECK_INT(store_find_u64(snapshot, TABLE_U64, 999, &value), 0);
    CHECK_INT(value.len, 4000);
    store_snapshot_free(&snapshot);
    case_fini(&c);
}

static void
a_key_that_is_too_long_is_refused(void)
{
    struct store_case c;
    struct store_txn *txn = NULL;
    static uint8_t key[512];

    CHECK(case_init(&c));
    CHECK_INT(case_open(&c, STORE_CREATE, NULL, NULL), 0);
    CHECK_INT(store_begin(c.store, &txn), 0);
    CHECK_INT(store_put(txn, TABLE_BYTES, bytes_of(key, 511), bytes_of_text("v"), 0), 0);
    CHECK_INT(store_put(txn, TABLE_BYTES, bytes_of(key, 512), bytes_of_text("v"), 0),
              AUGURY_ERR_LIMIT);
    store_abort(&txn);
    case_fini(&c);
}

int
main(void)
{
    TAP_RUN(a_record_is_found_after_its_commit_and_not_before);
    TAP_RUN(an_aborted_write_leaves_nothing);
    TAP_RUN(put_flags_refuse_a_known_key_and_a_step_back);
    TAP_RUN(a_walk_goes_in_the_order_of_keys);
    TAP_RUN(a_full_map_says_full_and_works_again_after_clearing);
    TAP_RUN(usage_counts_pages_that_deleting_gives_back);
    TAP_RUN(slots_of_killed_readers_are_cleared);
    TAP_RUN(a_full_reader_table_heals_when_its_readers_are_dead);
    TAP_RUN(a_reader_cannot_begin_a_write);
    TAP_RUN(a_map_enlarged_by_another_process_is_followed);
    TAP_RUN(a_key_that_is_too_long_is_refused);
    return tap_done();
}
