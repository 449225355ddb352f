/* SPDX-License-Identifier: MIT */
/*
 * test_store_punch.c - blocks of free pages go back to the file system, and nothing else: beside
 * readers in other processes, under a reader that stays, after a kill anywhere, where the file
 * system refuses. Each test runs in a folder in memory (/dev/shm) and in one on TMPDIR.
 */
#include "store_case.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../../tap.h"

enum { SECOND_NS = 1000 * 1000 * 1000, KEYS = 3000, VALUE_MAX = 6000 };

static const char *const *case_folders;

/* ---- records whose value says what it should be ---------------------------------------------- */

/* Version of a value in its first eight bytes, its key in the next, then a pattern of both. */
static size_t
value_len(uint64_t key, uint64_t version)
{
    return 16 + (key * 2654435761u + version * 40503u) % (VALUE_MAX - 16);
}

static uint8_t
value_byte(uint64_t key, uint64_t version, size_t i)
{
    return (uint8_t)((key + 1) * 31 + version * 7 + i * 131 + (i >> 8));
}

static int
record_put(struct store_txn *txn, uint64_t key, uint64_t version)
{
    uint8_t value[VALUE_MAX];
    size_t len = value_len(key, version);

    memcpy(value, &version, 8);
    memcpy(value + 8, &key, 8);
    for (size_t i = 16; i < len; i++) {
        value[i] = value_byte(key, version, i);
    }
    return store_put_u64(txn, TABLE_U64, key, bytes_of(value, len), STORE_PUT_REPLACE);
}

static bool
record_is_good(uint64_t key, struct bytes value)
{
    uint64_t version, stored;

    if (value.len < 16) {
        return false;
    }
    memcpy(&version, value.data, 8);
    memcpy(&stored, value.data + 8, 8);
    if (stored != key || value.len != value_len(key, version)) {
        return false;
    }
    for (size_t i = 16; i < value.len; i++) {
        if (value.data[i] != value_byte(key, version, i)) {
            return false;
        }
    }
    return true;
}

/* Writes the keys from first to end, or deletes them. */
static bool
keys_write(struct store *store, uint64_t first, uint64_t end, uint64_t version)
{
    struct store_txn *txn = NULL;
    int rc = store_begin(store, &txn);

    for (uint64_t key = first; rc == 0 && key < end; key++) {
        rc = record_put(txn, key, version);
    }
    if (rc == 0) {
        rc = store_commit(&txn);
    }
    store_abort(&txn);
    return rc == 0;
}

static bool
keys_delete(struct store *store, uint64_t first, uint64_t end)
{
    struct store_txn *txn = NULL;
    int rc = store_begin(store, &txn);

    for (uint64_t key = first; rc >= 0 && key < end; key++) {
        rc = store_del_u64(txn, TABLE_U64, key);
    }
    rc = rc < 0 ? rc : store_commit(&txn);
    store_abort(&txn);
    return rc == 0;
}

/* Two more commits: what was freed before them is then free for everybody. */
static bool
settle(struct store *store)
{
    return keys_write(store, KEYS, KEYS + 1, 1) && keys_write(store, KEYS, KEYS + 1, 2);
}

/* Every record that a live snapshot sees; -1: a wrong one. */
static int64_t
count_good(struct store_txn *snapshot)
{
    struct store_cursor *cursor = NULL;
    struct bytes key, value;
    int64_t count = 0;

    int rc = store_cursor_open(snapshot, TABLE_U64, &cursor);
    if (rc == 0) {
        rc = store_cursor_seek(cursor, bytes_of(NULL, 0), &key, &value);
    }
    for (; rc == 0; rc = store_cursor_next(cursor, &key, &value)) {
        uint64_t number;
        memcpy(&number, key.data, 8);
        if (!record_is_good(number, value)) {
            rc = AUGURY_ERR_CORRUPT;
            break;
        }
        count++;
    }
    store_cursor_close(&cursor);
    return rc == AUGURY_END ? count : -1;
}

static int64_t
count_good_now(struct store *store)
{
    struct store_txn *snapshot = NULL;
    int64_t count = -1;

    if (store_snapshot_new(store, &snapshot) == 0 && store_snapshot_renew(snapshot) == 0) {
        count = count_good(snapshot);
    }
    store_snapshot_free(&snapshot);
    return count;
}

/* Slices until a round is complete; < 0: a failure. */
static int64_t
punch_round(struct store *store, uint64_t max_bytes)
{
    uint64_t total = 0;
    int rc = 0;

    for (int i = 0; rc == 0 && i < 1000000; i++) {
        uint64_t punched = 0;
        rc = store_punch(store, max_bytes, SECOND_NS, &punched);
        total += punched;
        if (punched > max_bytes) {
            return AUGURY_ERR_LIMIT;
        }
    }
    return rc == AUGURY_END ? (int64_t)total : rc < 0 ? rc : AUGURY_ERR_TIMEOUT;
}

/* ---- cases on both kinds of file system ------------------------------------------------------ */

static bool
punch_case_init(struct store_case *c, const char *folder)
{
    *c = (struct store_case){0};
    snprintf(c->dir, sizeof(c->dir), "%s/augury-punch-XXXXXX", folder);
    return mkdtemp(c->dir) != NULL &&
           case_open(c, STORE_CREATE | STORE_DISPOSABLE, NULL, NULL) == 0;
}

static void
blocks_fall_to_what_is_live(const char *folder)
{
    struct store_case c;
    struct store_usage before, after;

    CHECK(punch_case_init(&c, folder));
    CHECK(keys_write(c.store, 0, KEYS, 1));
    CHECK(keys_delete(c.store, 0, KEYS / 4 * 3));
    CHECK(settle(c.store));
    CHECK_INT(store_usage(c.store, &before), 0);
    CHECK(before.file_blocks_bytes > 3 * before.live_bytes);
    CHECK(punch_round(c.store, 1u << 20) > (int64_t)(2 * before.live_bytes));
    CHECK_INT(store_usage(c.store, &after), 0);
    CHECK_INT(after.live_bytes, before.live_bytes);
    CHECK(after.file_blocks_bytes * 10 < after.live_bytes * 12);
    CHECK_INT(count_good_now(c.store), KEYS / 4 + 1);
    CHECK_INT(punch_round(c.store, 1u << 20), 0);
    case_fini(&c);
}

static void
holes_are_written_again(const char *folder)
{
    struct store_case c;

    CHECK(punch_case_init(&c, folder));
    for (uint64_t version = 1; version < 20; version++) {
        CHECK(keys_write(c.store, 0, KEYS / 4, version));
        CHECK(keys_delete(c.store, version, KEYS / 8));
        CHECK(settle(c.store));
        CHECK(punch_round(c.store, 1u << 20) > 0);
        CHECK_INT(count_good_now(c.store), KEYS / 4 - (KEYS / 8 - (int64_t)version) + 1);
    }
    store_close(&c.store);
    CHECK_INT(case_open(&c, STORE_CREATE | STORE_DISPOSABLE, NULL, NULL), 0);
    CHECK_INT(count_good_now(c.store), KEYS / 4 - (KEYS / 8 - 19) + 1);
    case_fini(&c);
}

static void
a_slice_keeps_to_its_bytes(const char *folder)
{
    struct store_case c;
    uint64_t punched = 0;

    CHECK(punch_case_init(&c, folder));
    CHECK(keys_write(c.store, 0, KEYS, 1));
    CHECK(keys_delete(c.store, 0, KEYS));
    CHECK(settle(c.store));
    CHECK_INT(store_punch(c.store, 16 * 4096, SECOND_NS, &punched), 0);
    CHECK(punched > 0 && punched <= 16 * 4096);
    /* Time that is over still allows one piece, so that a round ends at last. */
    CHECK_INT(store_punch(c.store, 1u << 30, 0, &punched), 0);
    CHECK(punched <= 1024 * 4096);
    case_fini(&c);
}

static void
a_reader_that_stays_keeps_what_it_sees(const char *folder)
{
    struct store_case c;
    struct store_txn *old = NULL;
    struct store_usage usage;

    CHECK(punch_case_init(&c, folder));
    CHECK(keys_write(c.store, 0, KEYS, 1));
    CHECK_INT(store_snapshot_new(c.store, &old), 0);
    CHECK_INT(store_snapshot_renew(old), 0);
    CHECK(keys_delete(c.store, 0, KEYS));
    CHECK(settle(c.store));
    CHECK(punch_round(c.store, 1u << 20) < 16 * 4096);
    CHECK_INT(count_good(old), KEYS);
    CHECK_INT(store_usage(c.store, &usage), 0);
    CHECK(usage.file_blocks_bytes > 20 * usage.live_bytes);
    store_snapshot_reset(old);
    CHECK(punch_round(c.store, 1u << 20) > (int64_t)KEYS * 2000);
    CHECK_INT(store_usage(c.store, &usage), 0);
    CHECK(usage.file_blocks_bytes < 3 * usage.live_bytes);
    store_snapshot_free(&old);
    case_fini(&c);
}

/* ---- beside readers in other processes ------------------------------------------------------- */

struct shared {
    volatile int stop;
    volatile long rounds[4];
};

static void
reader_child(const struct store_case *c, struct shared *shared, int number)
{
    struct store *store = NULL;
    struct store_txn *snapshot = NULL;
    struct store_options options = case_options(c, STORE_READ_ONLY);
    uint64_t x = 88172645463325252u + (uint64_t)number;

    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed check ends the test without us */
    if (store_open(&options, &store, NULL, NULL) != 0 ||
        store_snapshot_new(store, &snapshot) != 0) {
        _exit(1);
    }
    while (!shared->stop) {
        if (store_snapshot_renew(snapshot) != 0) {
            _exit(2);
        }
        for (int i = 0; i < 64; i++) {
            struct bytes value;
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            int rc = store_find_u64(snapshot, TABLE_U64, x % KEYS, &value);
            if (rc < 0 || (rc == 0 && !record_is_good(x % KEYS, value))) {
                _exit(3);
            }
        }
        store_snapshot_reset(snapshot);
        shared->rounds[number]++;
    }
    _exit(0);
}

/* A reader that the machine has put to sleep with its snapshot keeps pages: the map may be full
 * until it goes on. */
static bool
round_write(struct store *store, uint64_t version)
{
    uint64_t first = version * 97 % (KEYS - 200), gone = version * 193 % (KEYS - 150);
    struct timespec pause = {.tv_nsec = 1000000};

    for (int i = 0; i < 10000; i++) {
        if (keys_write(store, first, first + 200, version) &&
            keys_delete(store, gone, gone + 150)) {
            return true;
        }
        nanosleep(&pause, NULL);
    }
    return false;
}

static void
readers_beside_it_never_see_a_hole(const char *folder)
{
    enum { READERS = 3 };
    struct store_case c;
    pid_t pids[READERS];
    uint64_t version = 0, total = 0;
    struct shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(shared != MAP_FAILED);
    CHECK(punch_case_init(&c, folder));
    CHECK(keys_write(c.store, 0, KEYS / 4, 1));
    for (int i = 0; i < READERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            reader_child(&c, shared, i);
        }
    }
    while (version < 300) {
        uint64_t punched = 0;
        CHECK(round_write(c.store, ++version));
        CHECK(store_punch(c.store, 1u << 20, SECOND_NS / 500, &punched) >= 0);
        total += punched;
    }
    shared->stop = 1;
    for (int i = 0; i < READERS; i++) {
        int status = -1;
        waitpid(pids[i], &status, 0);
        CHECK_INT(status, 0);
        CHECK(shared->rounds[i] > 0);
    }
    CHECK(total > 1u << 20);
    CHECK(count_good_now(c.store) > 0);
    munmap(shared, sizeof(*shared));
    case_fini(&c);
}

/* ---- killed anywhere ------------------------------------------------------------------------- */

/* Writes and punches until it is killed. After each commit it says which version it was. */
static void
writer_child(const struct store_case *c, struct shared *shared, uint64_t version)
{
    struct store *store = NULL;
    struct store_options options = case_options(c, STORE_CREATE | STORE_DISPOSABLE);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (store_open(&options, &store, NULL, NULL) != 0) {
        _exit(1);
    }
    for (;; version++) {
        uint64_t first = version * 97 % (KEYS - 100), punched = 0;
        if (!keys_write(store, first, first + 60, version)) {
            _exit(2);
        }
        shared->rounds[0] = (long)version;
        if (!keys_delete(store, version * 193 % (KEYS - 60), version * 193 % (KEYS - 60) + 50) ||
            store_punch(store, 256u << 10, SECOND_NS / 1000, &punched) < 0) {
            _exit(3);
        }
        shared->rounds[1] += (long)punched;
    }
}

/* One writer in four is killed after its first commit, the rest wherever they are, also while they
 * open: on a busy machine all of them would die there. */
static void
writer_wait(const volatile struct shared *shared, long before)
{
    for (int i = 0; i < 5000 && shared->rounds[0] == before; i++) {
        usleep(1000);
    }
}

static int
kill_rounds(const char *folder, int rounds)
{
    struct store_case c;
    struct shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned seed = 12345;
    int bad = 0;

    if (shared == MAP_FAILED || !punch_case_init(&c, folder)) {
        return -1;
    }
    store_close(&c.store);
    for (int i = 0; i < rounds; i++) {
        long before = shared->rounds[0];
        pid_t pid = fork();
        if (pid == 0) {
            writer_child(&c, shared, (uint64_t)shared->rounds[0] + 1);
        }
        if (i % 4 == 3) {
            writer_wait(shared, before);
        }
        seed = seed * 1103515245u + 12345u;
        usleep(500 + (seed >> 16) % 5000);
        int status = 0;
        bad += waitpid(pid, &status, WNOHANG) != 0; /* it stopped by itself */
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        bad += case_open(&c, STORE_CREATE, NULL, NULL) != 0;
        bad += count_good_now(c.store) < 0;
        store_close(&c.store);
    }
    bad += shared->rounds[0] < rounds / 4 || shared->rounds[1] < 1 << 20;
    printf("# %d kills, %ld commits, %ld KiB punched\n", rounds, shared->rounds[0],
           shared->rounds[1] >> 10);
    munmap(shared, sizeof(*shared));
    case_fini(&c);
    return bad;
}

static void
a_writer_killed_anywhere_leaves_every_record(const char *folder)
{
    const char *rounds = getenv("AUGURY_SOAK_ROUNDS");

    CHECK_INT(kill_rounds(folder, rounds != NULL ? (int)strtol(rounds, NULL, 10) : 200), 0);
}

/* ---- where the file system cannot ------------------------------------------------------------ */

/* From here on this process's fallocate says EOPNOTSUPP. */
static bool
fallocate_forbid(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fallocate, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = AUGURY_COUNT(filter), .filter = filter};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* In a child: 0 good, else the number of the step that failed; 77: no filters here. */
static int
refusal_child(const char *folder)
{
    struct store_case c;
    uint64_t punched = 99;

    if (!punch_case_init(&c, folder) || !keys_write(c.store, 0, KEYS / 4, 1) ||
        !keys_delete(c.store, 0, KEYS / 8) || !settle(c.store)) {
        return 1;
    }
    if (!fallocate_forbid()) {
        return 77;
    }
    for (int i = 0; i < 2; i++) {
        int rc = store_punch(c.store, 1u << 20, SECOND_NS, &punched);
        if (rc != AUGURY_ERR_UNSUPPORTED || punched != 99) {
            return 2;
        }
    }
    if (count_good_now(c.store) != KEYS / 4 - KEYS / 8 + 1 ||
        !keys_write(c.store, 0, KEYS / 4, 2) || count_good_now(c.store) != KEYS / 4 + 1) {
        return 3;
    }
    case_fini(&c);
    return 0;
}

static void
a_refusal_is_said_once_and_harms_nothing(const char *folder)
{
    int status = -1;

    pid_t pid = fork();
    if (pid == 0) {
        _exit(refusal_child(folder));
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    if (status == 77 << 8) {
        SKIP("this kernel takes no system call filters");
    }
    CHECK_INT(status, 0);
}

/* ---- main ------------------------------------------------------------------------------------ */

#define PUNCH_TEST(test)                                                                           \
    static void test##_in_memory(void)                                                             \
    {                                                                                              \
        test(case_folders[0]);                                                                     \
    }                                                                                              \
    static void test##_on_disk(void)                                                               \
    {                                                                                              \
        test(case_folders[1]);                                                                     \
    }

PUNCH_TEST(blocks_fall_to_what_is_live)
PUNCH_TEST(holes_are_written_again)
PUNCH_TEST(a_slice_keeps_to_its_bytes)
PUNCH_TEST(a_reader_that_stays_keeps_what_it_sees)
PUNCH_TEST(readers_beside_it_never_see_a_hole)
PUNCH_TEST(a_writer_killed_anywhere_leaves_every_record)
PUNCH_TEST(a_refusal_is_said_once_and_harms_nothing)

int
main(void)
{
    const char *tmp = getenv("TMPDIR");
    const char *disk = tmp != NULL ? tmp : "/tmp";
    const char *const folders[] = {access("/dev/shm", W_OK) == 0 ? "/dev/shm" : disk, disk};

    case_folders = folders;
    TAP_RUN(blocks_fall_to_what_is_live_in_memory);
    TAP_RUN(blocks_fall_to_what_is_live_on_disk);
    TAP_RUN(holes_are_written_again_in_memory);
    TAP_RUN(holes_are_written_again_on_disk);
    TAP_RUN(a_slice_keeps_to_its_bytes_in_memory);
    TAP_RUN(a_slice_keeps_to_its_bytes_on_disk);
    TAP_RUN(a_reader_that_stays_keeps_what_it_sees_in_memory);
    TAP_RUN(a_reader_that_stays_keeps_what_it_sees_on_disk);
    TAP_RUN(readers_beside_it_never_see_a_hole_in_memory);
    TAP_RUN(readers_beside_it_never_see_a_hole_on_disk);
    TAP_RUN(a_writer_killed_anywhere_leaves_every_record_in_memory);
    TAP_RUN(a_writer_killed_anywhere_leaves_every_record_on_disk);
    TAP_RUN(a_refusal_is_said_once_and_harms_nothing_in_memory);
    TAP_RUN(a_refusal_is_said_once_and_harms_nothing_on_disk);
    return tap_done();
}
