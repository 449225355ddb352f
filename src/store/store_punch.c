/* SPDX-License-Identifier: MIT */
/*
 * store_punch.c - gives the blocks of free pages back to the file system.
 * Why it is safe: LMDB's free list says for each commit which pages it freed. A page freed by
 * commit N is in no tree that a reader of N or later can reach, and LMDB itself writes over it as
 * soon as N is less than the last commit and than every reader's. Holes are punched in just those
 * pages, by the same comparison, under the same lock (a write transaction is open, so nothing
 * commits and no reader can begin at an older commit), so they hurt nobody whom the next write
 * would not have hurt. A process killed before, between or after two holes leaves free pages with
 * or without contents: nobody reads them. LMDB writes a page that it takes from the list whole,
 * and never reads what was in it (without MDB_WRITEMAP, which this room does not use).
 * Invariants: (1) pages 0 and 1 (the metas) and pages past the last one are never touched; (2) a
 * hand goes from the highest page down: LMDB reuses the lowest ones first; (3) one call of the
 * system covers so many pages as take about PIECE_NS on this file system at this moment, so that
 * the clock is looked at often enough.
 */
#include "store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    META_PAGES = 2,
    PIECE_PAGES_MIN = 16,
    PIECE_PAGES_FIRST = 64,
    PIECE_PAGES_MAX = 1024,
    PIECE_NS =
        250 * 1000, /* a call that takes more than twice this is halved, half of it doubled */
    WINDOW_PAGES = 1 << 16, /* free pages are looked up for so many at once */
    WORD_BITS = 64,
};

/* One slice's work; lives between begin and end of its transaction. */
struct punch {
    MDB_txn *snapshot; /* the last commit, under the lock */
    int fd;
    uint64_t page_bytes;
    uint64_t oldest;   /* free pages of earlier commits than this may go */
    uint64_t page_end; /* the last page + 1 */
    uint64_t deadline_ns;
    uint64_t left_pages;
    uint64_t piece_pages;
    uint64_t window; /* the first page of is_free */
    uint64_t is_free[WINDOW_PAGES / WORD_BITS];
};

/* ---- what is free -------------------------------------------------------------------------- */

/* A line of LMDB's list of readers: process, thread, commit or "-". A line that cannot be read
 * counts as a reader of everything. */
static int
on_reader(const char *line, void *arg)
{
    uint64_t *oldest = arg;
    const char *last = strrchr(line, ' ');
    char *end = NULL;

    if (strstr(line, "txnid") != NULL || strstr(line, "no active readers") != NULL) {
        return 0;
    }
    if (last == NULL) {
        *oldest = 0;
        return 0;
    }
    if (last[1] == '-') {
        return 0;
    }
    uint64_t txn_id = strtoull(last + 1, &end, 10);
    if (end == last + 1) {
        txn_id = 0;
    }
    *oldest = txn_id < *oldest ? txn_id : *oldest;
    return 0;
}

static uint64_t
page_of(const uint8_t *list, uint64_t index)
{
    uint64_t page;
    memcpy(&page, list + 8 * index, sizeof(page));
    return page;
}

/* The first place in a descending list of count pages (1 to count) whose page is below end. */
static uint64_t
list_seek(const uint8_t *list, uint64_t count, uint64_t end)
{
    uint64_t low = 1, high = count + 1;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (page_of(list, middle) < end) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static void
window_mark(struct punch *punch, const uint8_t *list, uint64_t count, uint64_t end)
{
    for (uint64_t i = list_seek(list, count, end); i <= count; i++) {
        uint64_t page = page_of(list, i);
        if (page < punch->window || page >= end) {
            return;
        }
        uint64_t bit = page - punch->window;
        punch->is_free[bit / WORD_BITS] |= UINT64_C(1) << (bit % WORD_BITS);
    }
}

/* Finds the free pages from punch->window to end. */
static int
window_fill(struct punch *punch, uint64_t end)
{
    MDB_cursor *cursor;
    MDB_val key, value;

    memset(punch->is_free, 0, sizeof(punch->is_free));
    int rc = mdb_cursor_open(punch->snapshot, 0, &cursor);
    if (rc != 0) {
        return store_code(rc);
    }
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        const uint8_t *list = value.mv_data;
        uint64_t count = value.mv_size < 8 ? 0 : page_of(list, 0);
        if (key.mv_size != 8 || value.mv_size < 8 || count > value.mv_size / 8 - 1) {
            rc = MDB_CORRUPTED;
            break;
        }
        if (page_of(key.mv_data, 0) >= punch->oldest) {
            rc = MDB_NOTFOUND;
            break;
        }
        window_mark(punch, list, count, end);
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : store_code(rc);
}

static bool
window_is_free(const struct punch *punch, uint64_t page)
{
    uint64_t bit = page - punch->window;
    return (punch->is_free[bit / WORD_BITS] >> (bit % WORD_BITS) & 1) != 0;
}

/* ---- holes --------------------------------------------------------------------------------- */

/* The first page from page on that has contents; page itself where the file system cannot tell. */
static uint64_t
page_with_data(const struct punch *punch, uint64_t page)
{
    off_t at = lseek(punch->fd, (off_t)(page * punch->page_bytes), SEEK_DATA);

    if (at < 0) {
        return errno == ENXIO ? punch->page_end : page;
    }
    return (uint64_t)at / punch->page_bytes;
}

static int
hole_make(const struct punch *punch, uint64_t first, uint64_t end)
{
    int done;

    AUGURY_ASSERT(first >= META_PAGES && first < end && end <= punch->page_end);
    do {
        done = fallocate(punch->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         (off_t)(first * punch->page_bytes),
                         (off_t)((end - first) * punch->page_bytes));
    } while (done != 0 && errno == EINTR);
    if (done == 0) {
        return 0;
    }
    return errno == EOPNOTSUPP || errno == ENOSYS ? AUGURY_ERR_UNSUPPORTED : AUGURY_ERR_IO;
}

/* How long the last call took says how much the next one may cover. */
static void
piece_adapt(struct punch *punch, uint64_t pages, uint64_t took_ns)
{
    if (took_ns > 2 * PIECE_NS && punch->piece_pages > PIECE_PAGES_MIN) {
        punch->piece_pages /= 2;
    } else if (took_ns < PIECE_NS / 2 && pages == punch->piece_pages &&
               punch->piece_pages < PIECE_PAGES_MAX) {
        punch->piece_pages *= 2;
    }
}

static int
piece_punch(struct punch *punch, uint64_t first, uint64_t end)
{
    uint64_t begin_ns = clock_mono_ns();

    int rc = hole_make(punch, first, end);
    if (rc == 0) {
        punch->left_pages -= end - first;
        piece_adapt(punch, end - first, clock_mono_ns() - begin_ns);
    }
    return rc;
}

static bool
punch_is_over(const struct punch *punch)
{
    return punch->left_pages == 0 || clock_mono_ns() >= punch->deadline_ns;
}

/* Punches the free pages of the window that has been filled, from *hand down. */
static int
window_punch(struct punch *punch, uint64_t *hand)
{
    while (*hand > punch->window) {
        uint64_t end = *hand;
        while (end > punch->window && !window_is_free(punch, end - 1)) {
            end--;
        }
        uint64_t first = end;
        uint64_t least = end > punch->left_pages ? end - punch->left_pages : 0;
        uint64_t piece = punch->piece_pages;
        least = end > piece && end - piece > least ? end - piece : least;
        while (first > punch->window && first > least && window_is_free(punch, first - 1)) {
            first--;
        }
        uint64_t data = first < end ? page_with_data(punch, first) : end;
        if (data < end) {
            int rc = piece_punch(punch, data, end);
            if (rc != 0) {
                return rc;
            }
        }
        *hand = first;
        if (punch_is_over(punch)) {
            return 0;
        }
    }
    return 0;
}

/* Windows from *hand down to the first page; AUGURY_END when it has come there. */
static int
punch_down(struct punch *punch, uint64_t *hand)
{
    if (*hand == 0 || *hand > punch->page_end) {
        *hand = punch->page_end;
    }
    while (*hand > META_PAGES) {
        punch->window = *hand > META_PAGES + WINDOW_PAGES ? *hand - WINDOW_PAGES : META_PAGES;
        if (page_with_data(punch, punch->window) >= *hand) {
            *hand = punch->window;
            continue;
        }
        int rc = window_fill(punch, *hand);
        if (rc == 0) {
            rc = window_punch(punch, hand);
        }
        if (rc != 0) {
            return rc;
        }
        if (*hand > META_PAGES && punch_is_over(punch)) {
            return 0;
        }
    }
    *hand = 0;
    return AUGURY_END;
}

static int
blocks_bytes(int fd, uint64_t *out_bytes)
{
    struct stat st;

    if (fstat(fd, &st) != 0) {
        return AUGURY_ERR_IO;
    }
    *out_bytes = (uint64_t)st.st_blocks * 512;
    return 0;
}

/* Under the lock: which commit is the oldest that anybody may still read, and where the file
 * ends. */
static int
punch_begin(struct store *store, struct punch *punch)
{
    MDB_envinfo info;
    MDB_stat stat;

    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &punch->snapshot);
    if (rc == 0) {
        rc = mdb_env_get_fd(store->env, &punch->fd);
    }
    if (rc == 0) {
        rc = mdb_env_info(store->env, &info);
    }
    if (rc == 0) {
        rc = mdb_env_stat(store->env, &stat);
    }
    if (rc != 0) {
        return store_code(rc);
    }
    punch->page_bytes = stat.ms_psize;
    punch->page_end = info.me_last_pgno + 1;
    punch->oldest = mdb_txn_id(punch->snapshot);
    /* Nothing commits under the lock: another number is a commit that failed half-way. */
    if (info.me_last_txnid != punch->oldest) {
        return AUGURY_ERR_STATE;
    }
    return mdb_reader_list(store->env, on_reader, &punch->oldest) < 0 ? AUGURY_ERR_IO : 0;
}

int
store_punch(struct store *store, uint64_t max_bytes, uint64_t max_ns, uint64_t *out_punched_bytes)
{
    struct store_txn *lock = NULL;
    struct punch punch = {.deadline_ns = clock_mono_ns() + max_ns,
                          .piece_pages = store->punch_piece_pages > 0 ? store->punch_piece_pages
                                                                      : PIECE_PAGES_FIRST};
    uint64_t before = 0, after = 0;

    if (store->cannot_punch) {
        return AUGURY_ERR_UNSUPPORTED;
    }
    int rc = store_begin(store, &lock);
    if (rc != 0) {
        return rc;
    }
    rc = punch_begin(store, &punch);
    if (rc == 0) {
        rc = blocks_bytes(punch.fd, &before);
    }
    if (rc == 0) {
        punch.left_pages = max_bytes / punch.page_bytes > 0 ? max_bytes / punch.page_bytes : 1;
        rc = punch_down(&punch, &store->punch_hand);
    }
    if (punch.snapshot != NULL) {
        mdb_txn_abort(punch.snapshot);
    }
    store_abort(&lock);
    store->punch_piece_pages = punch.piece_pages;
    store->cannot_punch = rc == AUGURY_ERR_UNSUPPORTED;
    if (rc >= 0 && blocks_bytes(punch.fd, &after) != 0) {
        rc = AUGURY_ERR_IO;
    }
    if (rc >= 0) {
        *out_punched_bytes = before > after ? before - after : 0;
    }
    return rc;
}
