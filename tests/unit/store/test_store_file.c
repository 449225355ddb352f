/* SPDX-License-Identifier: MIT */
/* test_store_file.c - folders, rights, and files that are absent, short, empty or foreign. */
#include "store_case.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>

#include "../../tap.h"

enum { RECORDS = 400 };

static const enum store_flags cache_flags = STORE_CREATE | STORE_DISPOSABLE;

/* A closed environment with RECORDS records of a page each. */
static bool
case_fill(struct store_case *c, enum store_flags flags)
{
    static uint8_t page[4000];
    struct store_txn *txn = NULL;

    if (!case_init(c) || case_open(c, flags, NULL, NULL) != 0 || store_begin(c->store, &txn) != 0) {
        return false;
    }
    memset(page, 0xa5, sizeof(page));
    for (uint64_t i = 0; i < RECORDS; i++) {
        if (store_put_u64(txn, TABLE_U64, i, bytes_of(page, sizeof(page)), 0) != 0) {
            return false;
        }
    }
    bool good = store_commit(&txn) == 0;
    store_close(&c->store);
    return good;
}

static bool
case_truncate(struct store_case *c, off_t size)
{
    char path[300];

    case_path(c, "data.mdb", path, sizeof(path));
    return truncate(path, size) == 0;
}

static off_t
case_size(struct store_case *c)
{
    char path[300];
    struct stat st;

    case_path(c, "data.mdb", path, sizeof(path));
    return stat(path, &st) == 0 ? st.st_size : -1;
}

static uint64_t
case_count(struct store_case *c)
{
    struct store_txn *snapshot = NULL;
    uint64_t count = UINT64_MAX;

    if (store_snapshot_new(c->store, &snapshot) == 0 && store_snapshot_renew(snapshot) == 0) {
        (void)!store_count(snapshot, TABLE_U64, &count);
    }
    store_snapshot_free(&snapshot);
    return count;
}

static void
folder_and_files_are_for_the_owner_alone(void)
{
    struct store_case c;
    char path[300];
    struct stat st;

    mode_t old = umask(0);
    CHECK(case_init(&c));
    struct store_options options = case_options(&c, STORE_CREATE);
    case_path(&c, "deep/er", path, sizeof(path));
    options.dir = path;
    CHECK_INT(store_open(&options, &c.store, NULL, NULL), 0);
    umask(old);
    CHECK_INT(stat(path, &st), 0);
    CHECK_INT(st.st_mode & 0777, 0700);
    char file[320];
    snprintf(file, sizeof(file), "%s/data.mdb", path);
    CHECK_INT(stat(file, &st), 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    unlink(file);
    snprintf(file, sizeof(file), "%s/lock.mdb", path);
    CHECK_INT(stat(file, &st), 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    unlink(file);
    rmdir(path);
    case_path(&c, "deep", path, sizeof(path));
    rmdir(path);
    case_fini(&c);
}

static void
an_absent_environment_is_not_found_by_a_reader(void)
{
    struct store_case c;
    struct err err;

    CHECK(case_init(&c));
    CHECK_INT(case_open(&c, STORE_READ_ONLY, NULL, &err), AUGURY_NOT_FOUND);
    CHECK_TEXT(err.code, "store_absent");
    CHECK(c.store == NULL);
    case_fini(&c);
}

static void
a_truncated_cache_is_moved_aside_and_made_anew(void)
{
    static const int quarters[] = {0, 1, 2, 3};

    for (size_t i = 0; i < AUGURY_COUNT(quarters); i++) {
        struct store_case c;
        bool was_damaged = false;
        char path[300];

        CHECK(case_fill(&c, cache_flags));
        CHECK(case_truncate(&c, case_size(&c) * quarters[i] / 4));
        CHECK_INT(case_open(&c, cache_flags, &was_damaged, NULL), 0);
        CHECK(was_damaged);
        CHECK_INT(case_count(&c), 0);
        case_path(&c, "data.mdb.damaged", path, sizeof(path));
        CHECK_INT(access(path, F_OK), 0);
        case_fini(&c);
    }
}

static void
a_file_that_lacks_one_page_in_use_is_noticed(void)
{
    struct store_case c;
    bool was_damaged = false;

    CHECK(case_fill(&c, cache_flags));
    /* The last page may be a free one; of the last eight one holds a record. */
    CHECK(case_truncate(&c, case_size(&c) - 8 * 4096));
    CHECK_INT(case_open(&c, cache_flags, &was_damaged, NULL), 0);
    CHECK(was_damaged);
    case_fini(&c);
}

static void
a_short_file_whose_missing_pages_are_free_is_good(void)
{
    struct store_case c;
    struct store_txn *txn = NULL;
    bool was_damaged = true;

    CHECK(case_fill(&c, cache_flags));
    CHECK_INT(case_open(&c, cache_flags, NULL, NULL), 0);
    /* Frees the pages at the end, then lets the commit's own pages move to the front. */
    for (uint64_t i = 0; i < 3; i++) {
        CHECK_INT(store_begin(c.store, &txn), 0);
        for (uint64_t k = 0; k < RECORDS / 4; k++) {
            CHECK_INT(store_del_u64(txn, TABLE_U64, RECORDS - 1 - i * (RECORDS / 4) - k), 0);
        }
        CHECK_INT(store_commit(&txn), 0);
    }
    for (uint64_t i = 0; i < 4; i++) {
        CHECK_INT(store_begin(c.store, &txn), 0);
        CHECK_INT(store_put_u64(txn, TABLE_U64, 0, bytes_of_text("x"), 0), 0);
        CHECK_INT(store_commit(&txn), 0);
    }
    uint64_t count = case_count(&c);
    off_t size = case_size(&c);
    store_close(&c.store);
    CHECK(case_truncate(&c, size - 4 * 4096));
    CHECK_INT(case_open(&c, cache_flags, &was_damaged, NULL), 0);
    CHECK(!was_damaged);
    CHECK_INT(case_count(&c), count);
    CHECK_INT(case_size(&c), size);
    case_fini(&c);
}

static void
random_bytes_are_no_environment(void)
{
    struct store_case c;
    bool was_damaged = false;
    char path[300];
    uint64_t noise[1024];

    CHECK(case_fill(&c, cache_flags));
    case_path(&c, "data.mdb", path, sizeof(path));
    FILE *file = fopen(path, "r+b");
    CHECK(file != NULL);
    uint64_t state = 88172645463325252u;
    for (size_t i = 0; i < AUGURY_COUNT(noise); i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise[i] = state;
    }
    CHECK_INT(fwrite(noise, sizeof(noise), 1, file), 1);
    fclose(file);
    CHECK_INT(case_open(&c, cache_flags, &was_damaged, NULL), 0);
    CHECK(was_damaged);
    CHECK_INT(case_count(&c), 0);
    case_fini(&c);
}

static void
a_durable_environment_is_never_moved_aside(void)
{
    static const off_t sizes[] = {0, 100, 4096, 8192, 40960};

    for (size_t i = 0; i < AUGURY_COUNT(sizes); i++) {
        struct store_case c;
        struct err err = {0};

        CHECK(case_fill(&c, STORE_CREATE));
        CHECK(case_truncate(&c, sizes[i]));
        CHECK_INT(case_open(&c, STORE_CREATE, NULL, &err), AUGURY_ERR_CORRUPT);
        CHECK_TEXT(err.code, "store_damaged");
        CHECK_CONTAINS(err.reason, c.dir);
        CHECK(c.store == NULL);
        case_fini(&c);
    }
}

static void
a_reader_refuses_a_truncated_file_instead_of_dying(void)
{
    struct store_case c;

    CHECK(case_fill(&c, cache_flags));
    CHECK(case_truncate(&c, case_size(&c) / 2));
    CHECK_INT(case_open(&c, STORE_READ_ONLY | STORE_DISPOSABLE, NULL, NULL), AUGURY_ERR_CORRUPT);
    case_fini(&c);
}

static void
a_full_file_system_is_an_error_not_a_signal(void)
{
    struct store_case c;
    struct store_txn *txn = NULL;
    static uint8_t page[4000];
    int rc = 0;

    CHECK(case_init(&c));
    if (mount("tmpfs", c.dir, "tmpfs", 0, "size=1m") != 0) {
        case_fini(&c);
        SKIP("no right to mount a tmpfs");
    }
    CHECK_INT(case_open(&c, cache_flags, NULL, NULL), 0);
    for (uint64_t i = 0; rc == 0 && i < 1000; i++) {
        rc = store_begin(c.store, &txn);
        if (rc == 0) {
            rc = store_put_u64(txn, TABLE_U64, i, bytes_of(page, sizeof(page)), 0);
        }
        if (rc == 0) {
            rc = store_commit(&txn);
        }
        store_abort(&txn);
    }
    int seen = rc;
    store_close(&c.store);
    umount(c.dir);
    case_fini(&c);
    CHECK_INT(seen, AUGURY_ERR_IO);
}

int
main(void)
{
    TAP_RUN(folder_and_files_are_for_the_owner_alone);
    TAP_RUN(an_absent_environment_is_not_found_by_a_reader);
    TAP_RUN(a_truncated_cache_is_moved_aside_and_made_anew);
    TAP_RUN(a_file_that_lacks_one_page_in_use_is_noticed);
    TAP_RUN(a_short_file_whose_missing_pages_are_free_is_good);
    TAP_RUN(random_bytes_are_no_environment);
    TAP_RUN(a_durable_environment_is_never_moved_aside);
    TAP_RUN(a_reader_refuses_a_truncated_file_instead_of_dying);
    TAP_RUN(a_full_file_system_is_an_error_not_a_signal);
    return tap_done();
}
