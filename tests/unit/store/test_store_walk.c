/* SPDX-License-Identifier: MIT */
/* test_store_walk.c - records found by their numbers past LMDB are those that LMDB's own cursor
 * finds; what is damaged ends as "ask LMDB". */
#include "store_case.h"

#include <fcntl.h>
#include <sys/wait.h>

#include "../../../src/store/store_priv.h"
#include "../../tap.h"

enum { COUNT = 3000 };

static uint64_t
mixed(uint64_t number)
{
    number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
    return number ^ number >> 31;
}

/* ---- how numbers may lie ------------------------------------------------------------------- */

static uint64_t
in_a_row(uint64_t i)
{
    return i + 1000000;
}

static uint64_t
with_gaps(uint64_t i)
{
    return i * i % 7 + i * 11;
}

static uint64_t
anywhere(uint64_t i)
{
    return mixed(i);
}

/* Most of them close together at one end, the rest ever further apart up to the last number. */
static uint64_t
unevenly(uint64_t i)
{
    return i % 50 == 0 ? UINT64_MAX >> i / 50 : i;
}

static size_t
value_bytes(uint64_t i)
{
    return i % 97 == 0 ? 9000 : i % 13 == 0 ? 2100 : mixed(i) % 1500;
}

static bool
records_put(struct store *store, uint64_t (*number_of)(uint64_t))
{
    static uint8_t value[9000];
    struct store_txn *txn = NULL;
    int rc = store_begin(store, &txn);

    for (uint64_t i = 0; rc == 0 && i < COUNT; i++) {
        memset(value, (int)(i & 255), sizeof(value));
        rc = store_put_u64(txn, TABLE_U64, number_of(i), bytes_of(value, value_bytes(i)), 0);
    }
    return rc == 0 && store_commit(&txn) == 0;
}

/* What LMDB's cursor says of number; NULL data: it is not there. */
static struct bytes
cursor_says(struct store_txn *snapshot, uint64_t number)
{
    struct store_cursor *cursor = NULL;
    struct bytes key, value, found = {0};

    if (store_cursor_open(snapshot, TABLE_U64, &cursor) == 0 &&
        store_cursor_seek(cursor, bytes_of(&number, sizeof(number)), &key, &value) == 0 &&
        memcmp(key.data, &number, sizeof(number)) == 0) {
        found = value;
    }
    store_cursor_close(&cursor);
    return found;
}

/* Looks that differ from the cursor's, of 0 to COUNT numbers and their neighbours. */
static unsigned
differences(struct store_txn *snapshot, uint64_t (*number_of)(uint64_t))
{
    unsigned wrong = 0;

    for (uint64_t i = 0; i < 3 * COUNT; i++) {
        uint64_t number = number_of(i / 3) + i % 3 - 1;
        struct bytes value = {0}, wanted = cursor_says(snapshot, number);
        enum store_walk walk = store_walk_u64(snapshot, TABLE_U64, number, &value);
        bool is_same =
            wanted.data == NULL
                ? walk == STORE_WALK_ABSENT
                : walk == STORE_WALK_FOUND && value.data == wanted.data && value.len == wanted.len;
        wrong += is_same ? 0 : 1;
    }
    return wrong;
}

static void
numbers_are_found_however_they_lie(void)
{
    static uint64_t (*const ways[])(uint64_t) = {in_a_row, with_gaps, anywhere, unevenly};

    for (size_t way = 0; way < AUGURY_COUNT(ways); way++) {
        struct store_case c;
        struct store_txn *snapshot = NULL;
        CHECK(case_init(&c));
        CHECK_INT(case_open(&c, STORE_CREATE | STORE_DISPOSABLE, NULL, NULL), 0);
        CHECK(records_put(c.store, ways[way]));
        CHECK_INT(store_snapshot_new(c.store, &snapshot), 0);
        CHECK_INT(store_snapshot_renew(snapshot), 0);
        CHECK_INT(differences(snapshot, ways[way]), 0);
        store_snapshot_free(&snapshot);
        case_fini(&c);
    }
}

/* As a queue does: numbers are appended, the first ones go, here and there one in the middle. */
static void
every_commit_is_seen(void)
{
    struct store_case c;
    struct store_txn *snapshot = NULL, *txn = NULL;
    unsigned wrong = 0;

    CHECK(case_init(&c));
    CHECK_INT(case_open(&c, STORE_CREATE | STORE_DISPOSABLE, NULL, NULL), 0);
    CHECK(records_put(c.store, in_a_row));
    CHECK_INT(store_snapshot_new(c.store, &snapshot), 0);
    for (uint64_t i = 0; i < 300; i++) {
        uint64_t gone[] = {in_a_row(i), in_a_row(i + 700)}, new = in_a_row(COUNT + i);
        CHECK_INT(store_begin(c.store, &txn), 0);
        for (size_t k = 0; k < 2; k++) {
            int rc = store_del_u64(txn, TABLE_U64, gone[k]);
            CHECK(rc == 0 || rc == AUGURY_NOT_FOUND);
        }
        CHECK_INT(store_put_u64(txn, TABLE_U64, new, bytes_of(&i, 8), STORE_PUT_APPEND), 0);
        CHECK_INT(store_commit(&txn), 0);
        CHECK_INT(store_snapshot_renew(snapshot), 0);
        uint64_t looks[] = {gone[0], gone[1], gone[0] + 1, gone[1] + 1, new, new + 1};
        for (size_t k = 0; k < AUGURY_COUNT(looks); k++) {
            struct bytes value = {0}, wanted = cursor_says(snapshot, looks[k]);
            enum store_walk walk = store_walk_u64(snapshot, TABLE_U64, looks[k], &value);
            wrong += walk == STORE_WALK_UNSURE || value.data != wanted.data ? 1 : 0;
        }
        store_snapshot_reset(snapshot);
    }
    CHECK_INT(wrong, 0);
    CHECK_INT(store_snapshot_renew(snapshot), 0);
    CHECK_INT(differences(snapshot, in_a_row), 0);
    store_snapshot_free(&snapshot);
    case_fini(&c);
}

static void
a_map_that_moved_is_found_again(void)
{
    struct store_case c;
    struct store_txn *snapshot = NULL;
    struct bytes value;
    int status = 0;

    CHECK(case_init(&c));
    struct store_options options = case_options(&c, STORE_CREATE | STORE_DISPOSABLE);
    options.map_bytes = 8u << 20;
    CHECK_INT(store_open(&options, &c.store, NULL, NULL), 0);
    CHECK(records_put(c.store, with_gaps));
    CHECK_INT(store_snapshot_new(c.store, &snapshot), 0);
    CHECK_INT(store_snapshot_renew(snapshot), 0);
    CHECK_INT(differences(snapshot, with_gaps), 0);
    store_snapshot_reset(snapshot);
    pid_t pid = fork();
    if (pid == 0) {
        struct store *store = NULL;
        options.map_bytes = 64u << 20;
        bool good = store_open(&options, &store, NULL, NULL) == 0;
        _exit(good && records_put(store, in_a_row) && records_put(store, anywhere) ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    CHECK_INT(status, 0);
    CHECK_INT(store_snapshot_renew(snapshot), 0);
    CHECK_INT(store_walk_u64(snapshot, TABLE_U64, anywhere(5), &value), STORE_WALK_FOUND);
    CHECK_INT(differences(snapshot, in_a_row), 0);
    CHECK_INT(differences(snapshot, anywhere), 0);
    store_snapshot_free(&snapshot);
    case_fini(&c);
}

/* ---- damage -------------------------------------------------------------------------------- */

/* Writes over some bytes of pages that are neither LMDB's meta pages nor the table of names. */
static bool
pages_damage(const struct store_case *c, uint64_t names_page, uint64_t page_bytes, uint64_t seed)
{
    char path[300];
    struct stat st;

    case_path(c, "data.mdb", path, sizeof(path));
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool good = fd >= 0 && fstat(fd, &st) == 0;
    for (uint64_t i = 0; good && i < 400; i++) {
        uint64_t word = mixed(seed * 1000 + i), pages = (uint64_t)st.st_size / page_bytes;
        uint64_t page = 2 + word % (pages - 2),
                 at = word >> 32 & (i % 2 == 0 ? 63 : page_bytes - 9);
        if (page != names_page) {
            uint64_t bytes = i % 5 == 0 ? UINT64_MAX : mixed(word);
            size_t len = 1 + i % sizeof(bytes);
            good = pwrite(fd, &bytes, len, (off_t)(page * page_bytes + at)) == (ssize_t)len;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return good;
}

/* Every byte of what is found can be read, and lies in the environment's pages. */
static void
damaged_pages_are_never_left(void)
{
    unsigned ends[3] = {0}, sum = 0;

    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct store_case c;
        struct store_txn *snapshot = NULL;
        uint64_t names_page = 0;
        CHECK(case_init(&c));
        CHECK_INT(case_open(&c, STORE_CREATE | STORE_DISPOSABLE, NULL, NULL), 0);
        CHECK(records_put(c.store, seed % 2 == 0 ? in_a_row : anywhere));
        CHECK_INT(store_snapshot_new(c.store, &snapshot), 0);
        CHECK_INT(store_snapshot_renew(snapshot), 0);
        size_t page_bytes = c.store->page_bytes;
        CHECK_INT(store_file_names_page(c.store->env, snapshot->txn_id, page_bytes, &names_page),
                  0);
        CHECK(pages_damage(&c, names_page, page_bytes, seed));
        for (uint64_t i = 0; i < COUNT; i++) {
            uint64_t number = seed % 2 == 0 ? in_a_row(i) : anywhere(i);
            struct bytes value = {0};
            ends[store_walk_u64(snapshot, TABLE_U64, number, &value)]++;
            for (size_t k = 0; k < value.len; k++) {
                sum += value.data[k];
            }
        }
        store_snapshot_free(&snapshot);
        case_fini(&c);
    }
    printf("# found %u, absent %u, unsure %u, sum %u\n", ends[0], ends[1], ends[2], sum);
    CHECK(ends[STORE_WALK_FOUND] > 0);
    CHECK(ends[STORE_WALK_UNSURE] > 0);
}

/* ---- lines --------------------------------------------------------------------------------- */

static void
any_line_may_be_fetched(void)
{
    struct store_case c;
    struct store_txn *snapshot = NULL;
    struct bytes value, again;

    CHECK(case_init(&c));
    CHECK_INT(case_open(&c, STORE_CREATE | STORE_DISPOSABLE, NULL, NULL), 0);
    CHECK(records_put(c.store, in_a_row));
    CHECK_INT(store_snapshot_new(c.store, &snapshot), 0);
    CHECK_INT(store_snapshot_renew(snapshot), 0);
    store_line_prefetch(snapshot, 1); /* nothing is known yet */
    CHECK_INT(store_find_u64(snapshot, TABLE_U64, in_a_row(1), &value), 0);
    uint32_t line = store_line_of(snapshot, value);
    CHECK(line != 0);
    for (uint64_t i = 0; i < 100000; i++) {
        store_line_prefetch(snapshot, (uint32_t)(i < 50000 ? i : mixed(i)));
    }
    store_line_prefetch(snapshot, UINT32_MAX);
    CHECK_INT(store_find_u64(snapshot, TABLE_U64, in_a_row(1), &again), 0);
    CHECK(again.data == value.data);
    CHECK_INT(store_line_of(snapshot, again), line);
    /* Those of one page are in its order, 64 bytes each. */
    CHECK_INT(store_line_of(snapshot, bytes_of(value.data + 640, 1)), line + 10);
    store_snapshot_free(&snapshot);
    case_fini(&c);
}

int
main(void)
{
    TAP_RUN(numbers_are_found_however_they_lie);
    TAP_RUN(every_commit_is_seen);
    TAP_RUN(a_map_that_moved_is_found_again);
    TAP_RUN(damaged_pages_are_never_left);
    TAP_RUN(any_line_may_be_fetched);
    return tap_done();
}
